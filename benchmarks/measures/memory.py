"""What a server keeps: for a session that nobody uses, for a stream on which nothing happens.

Theory of operation: some are opened first, so that what is made once is made; then many more, and the growth
of the server's private memory is parted among those. A stream of 2025-11-25 is one GET of one of the
sessions, and its connection is part of it; a listen stream likewise.
"""

from __future__ import annotations

from ..contestants import FASTMCP, FLOOR, MCP, MCP_FAST, OURS, TYPESCRIPT, Cannot
from ..load import http, wire
from ..load.streams import Streams
from ..processes import Process
from .turn import Group, Turn

# So many first: they use up what earlier work left free. Ours gives nobody more than a thousand sessions.
FIRST_SESSIONS = 300
FIRST_STREAMS = 60
ACKNOWLEDGED = b"subscriptions/acknowledged"


def sessions(turn: Turn) -> None:
    """Idle sessions, then a GET stream for many of them."""
    with turn.http(mode="sessions") as (server, port), Streams(server) as streams:
        ids: list[str] = []
        with http.connect(port) as sock:
            _opened(sock, port, ids, FIRST_SESSIONS)
            before = server.memory()
            _opened(sock, port, ids, turn.pace.sessions)
            turn.record("idle session", {"bytes": (server.memory() - before) / turn.pace.sessions})
        with turn.measure("get stream"):
            each = iter(ids)
            for _ in range(FIRST_STREAMS):
                _get(streams, port, next(each))
            before = server.memory()
            for _ in range(turn.pace.streams):
                _get(streams, port, next(each))
            turn.record("get stream", {"bytes": (server.memory() - before) / turn.pace.streams})


def _opened(sock: http.socket.socket, port: int, ids: list[str], count: int) -> None:
    for _ in range(count):
        session = http.open_session(sock, port)
        if session is None:
            raise Cannot("it gives no session id")
        ids.append(session)


def _get(streams: Streams, port: int, session: str) -> None:
    streams.open(port, wire.http_get(port, wire.stateful_headers(session)), b"\r\n\r\n")


def listening(turn: Turn) -> None:
    """Listen streams of 2026-07-28."""
    if turn.who.name == FASTMCP:
        raise Cannot("it has no subscriptions/listen")
    with turn.http("streams") as (server, port), Streams(server) as streams:
        turn.record("listen stream", {"bytes": listen_bytes(server, port, streams, turn.pace.streams)})


def listen_bytes(server: Process, port: int, streams: Streams, count: int) -> float:
    """Bytes of memory for each of so many listen streams."""
    open_listening(streams, port, FIRST_STREAMS)
    before = server.memory()
    open_listening(streams, port, count)
    return (server.memory() - before) / count


def open_listening(streams: Streams, port: int, count: int) -> None:
    """Open so many streams that listen to one resource."""
    request = wire.stateless(
        port, "subscriptions/listen", {"notifications": {"resourceSubscriptions": ["note://a"]}}
    )
    for _ in range(count):
        streams.open(port, request.next(), ACKNOWLEDGED)


GROUPS = (
    Group(("idle session", "get stream"), sessions, (OURS, MCP, MCP_FAST, FASTMCP, TYPESCRIPT)),
    Group(("listen stream",), listening, (OURS, MCP, MCP_FAST, FASTMCP, TYPESCRIPT, FLOOR)),
)
