"""More than one message for a request: progress, changes told to many, and a round of questions."""

from __future__ import annotations

import time
from typing import Any

from ..contestants import EVERYONE, FASTMCP, FLOOR, MCP, MCP_FAST, OURS, TYPESCRIPT, Cannot
from ..figures import Sample
from ..load import http, wire
from ..load.answers import message, messages
from ..load.streams import Streams
from ..processes import Broken, Process
from .calls import THREE, load, stateless_request
from .memory import open_listening
from .turn import Group, Turn

NOTIFICATIONS = 100
LISTENERS = 500
CONNECTIONS = 16
UPDATED = b"notifications/resources/updated"


def progress(turn: Turn) -> None:
    """A call that reports progress a hundred times, 2026-07-28, 4 connections."""
    with turn.http("streams") as (server, port):
        meta = wire.stateless_meta(progress=7)
        request = wire.stateless(port, "tools/call", wire.call("report"), meta=meta)
        with http.connect(port) as sock:
            came = messages(http.exchange(sock, request.next())[1])
        if len(came) != NOTIFICATIONS + 1:
            raise Broken(f"{len(came)} messages came, not {NOTIFICATIONS + 1}")
        opened = [http.Connection(port, http.Script(request, b'"text":"done"')) for _ in range(4)]
        sample = load(turn, server, opened).sample()
        turn.record("progress", sample | {"message": sample["cpu"] / (NOTIFICATIONS + 1)})


def fan_out(turn: Turn) -> None:
    """A change told to 500 listen streams."""
    if turn.who.name == FASTMCP:
        raise Cannot("it has no subscriptions/listen")
    with turn.http("streams") as (server, port), Streams(server) as streams, http.connect(port) as sock:
        open_listening(streams, port, LISTENERS)
        touch = wire.stateless(port, "tools/call", wire.call("touch"))
        _told(server, sock, streams, touch, turn.pace.warm)
        turn.record("fan-out", _told(server, sock, streams, touch, turn.pace.run))


def _told(
    server: Process,
    sock: http.socket.socket,
    streams: Streams,
    touch: wire.Request,
    seconds: float,
) -> Sample:
    """Touch and wait for all, again and again."""
    cpu, began, times = server.cpu(), time.perf_counter(), 0
    worst = 0.0
    while (now := time.perf_counter()) < began + seconds or times < 3:
        sock.sendall(touch.next())
        worst = max(worst, streams.all_get(UPDATED) - now)
        reader = http.Reader()
        while reader.feed(sock.recv(1 << 16)) is None:
            pass
        times += 1
    took = time.perf_counter() - began
    count = times * LISTENERS
    return {"rate": count / took, "cpu": (server.cpu() - cpu) / count * 1e6, "last": worst * 1e3}


def rounds(turn: Turn) -> None:
    """A call that asks one question, answered in a second request; and plain calls on the same server."""
    if turn.who.name == FLOOR:
        raise Cannot("it has no state to seal")
    with turn.http("streams") as (server, port):
        plain = [
            http.Connection(port, http.Script(stateless_request(port), THREE)) for _ in range(CONNECTIONS)
        ]
        call = load(turn, server, plain).sample()
        opened = [http.Connection(port, Asked(port).script) for _ in range(CONNECTIONS)]
        sample = load(turn, server, opened).sample()
        turn.record("round", sample | {"calls": sample["cpu"] / (2 * call["cpu"])})


class Asked:
    """The two requests of a round: the call, then the same with the answer and the state."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._meta = wire.stateless_meta(elicitation=True)
        request = wire.stateless(port, "tools/call", wire.call("ask"), meta=self._meta)
        self.script = http.Script(request, b"Hello, Ada", self.follow)
        self._ids = iter(range(1, 1 << 62))

    def follow(self, body: bytes) -> bytes | None:
        """The second request, or None for the answer to it."""
        if b'"inputRequests"' not in body:
            return None
        result: dict[str, Any] = message(body)["result"]
        params = wire.call("ask") | {
            "inputResponses": {key: _answer(asked) for key, asked in result["inputRequests"].items()},
            "_meta": self._meta,
        }
        if "requestState" in result:
            params["requestState"] = result["requestState"]
        again = {"jsonrpc": "2.0", "id": next(self._ids), "method": "tools/call", "params": params}
        return wire.http(self._port, wire.encoded(again), wire.stateless_headers("tools/call", "ask"))


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    fields = asked["params"]["requestedSchema"]["properties"]
    return {"action": "accept", "content": dict.fromkeys(fields, "Ada")}


GROUPS = (
    Group(("progress",), progress, EVERYONE),
    Group(("fan-out",), fan_out, (OURS, MCP, MCP_FAST, FASTMCP, TYPESCRIPT, FLOOR)),
    Group(("round",), rounds, (OURS, MCP, MCP_FAST, FASTMCP, TYPESCRIPT, FLOOR)),
)
