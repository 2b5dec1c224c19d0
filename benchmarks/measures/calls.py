"""tools/call over HTTP, in each of the ways that servers answer it."""

from __future__ import annotations

import re

from ..contestants import FASTMCP, FLOOR, MCP, MCP_FAST, OURS, TYPESCRIPT
from ..load import http, wire
from ..load.answers import unchunked
from ..processes import Broken
from .turn import Group, Turn

THREE = b'"text":"3"'
ADD = wire.call("add", a=1, b=2)


def stateless_request(port: int) -> wire.Request:
    """A call in revision 2026-07-28."""
    return wire.stateless(port, "tools/call", ADD)


def load(turn: Turn, server: http.Watched, connections: list[http.Connection]) -> http.Load:
    """Warm up, then measure. Closes the connections."""
    try:
        http.run(server, connections, turn.pace.warm)
        return http.run(server, connections, turn.pace.run)
    finally:
        for connection in connections:
            connection.close()


def stateless(turn: Turn) -> None:
    """2026-07-28, at 16 and at 64 connections."""
    with turn.http() as (server, port):
        for count in (16, 64):
            with turn.measure(f"call {count}"):
                scripts = [http.Script(stateless_request(port), THREE) for _ in range(count)]
                opened = [http.Connection(port, script) for script in scripts]
                turn.record(f"call {count}", load(turn, server, opened).sample())


def plain(turn: Turn) -> None:
    """2025-11-25 without a session, answered with JSON, at 16 connections."""
    with turn.http(mode="plain") as (server, port):
        scripts = [
            http.Script(wire.stateful(port, "tools/call", ADD, session=None), THREE) for _ in range(16)
        ]
        opened = [http.Connection(port, script) for script in scripts]
        turn.record("plain", load(turn, server, opened).sample())


def session_json(turn: Turn) -> None:
    """2025-11-25 in a session for each of 16 connections, answered with JSON."""
    with turn.http(mode="json") as (server, port):
        turn.record("session json", load(turn, server, in_sessions(port, 16, b"application/json")).sample())


def session_sse(turn: Turn) -> None:
    """2025-11-25 in a session for each of 16 connections, answered as an event stream, each event logged."""
    with turn.http(mode="sse") as (server, port):
        opened = in_sessions(port, 16, b"text/event-stream")
        check_priming(opened[0])
        turn.record("session sse", load(turn, server, opened).sample())


def in_sessions(port: int, count: int, media: bytes) -> list[http.Connection]:
    """Connections with a session each. Raises `Broken` if answers are not of that media type."""
    opened: list[http.Connection] = []
    for _ in range(count):
        connection = http.Connection(port, http.Script(wire.Request(b"", b""), THREE))
        session = http.open_session(connection.sock, port)
        connection.script.request = wire.stateful(port, "tools/call", ADD, session=session)
        opened.append(connection)
    head, _ = http.exchange(opened[0].sock, opened[0].script.request.next())
    if media not in head.lower():
        raise Broken(f"the answer is not {media.decode()}: {head.decode()}")
    return opened


def check_priming(connection: http.Connection) -> None:
    """Raises `Broken` unless an answer begins with an event that has an id and no data, and the answer has an id."""
    _, body = http.exchange(connection.sock, connection.script.request.next())
    stream = unchunked(body).replace(b"\r\n", b"\n")
    events = [event for event in stream.split(b"\n\n") if event.strip() and not event.startswith(b":")]
    if len(events) != 2 or re.search(rb"^data: ?\S", events[0], re.MULTILINE):
        raise Broken(f"no priming event: {stream[:500]!r}")
    if not all(re.search(rb"^id: ?\S", event, re.MULTILINE) for event in events):
        raise Broken(f"events without ids: {stream[:500]!r}")


WHO = (OURS, MCP, MCP_FAST, FASTMCP, TYPESCRIPT, FLOOR)
GROUPS = (
    Group(("call 16", "call 64"), stateless, WHO),
    Group(("plain",), plain, WHO),
    Group(("session sse",), session_sse, WHO),
    Group(("session json",), session_json, WHO),
)
