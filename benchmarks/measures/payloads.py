"""Arguments and results that are not small: nested ones, and ones of ten megabytes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from ..contestants import FASTMCP, FLOOR, MCP, MCP_FAST, OURS, TYPESCRIPT, Cannot
from ..figures import Sample
from ..load import http, wire
from ..load.answers import passes
from ..load.stdio import Pipe
from ..processes import Broken, Process
from .calls import load
from .turn import Group, Turn

# Who has a tool for items of which type. "model": pydantic, or zod.
TYPES = {
    OURS: ("struct", "dataclass", "model"),
    MCP: ("dataclass", "model"),
    MCP_FAST: ("dataclass", "model"),
    FASTMCP: ("dataclass", "model"),
    TYPESCRIPT: ("model",),
    FLOOR: ("struct",),
}
LARGE = 10_000_000
# In each round, after the one whose memory is watched.
TIMES = 5


def nested(turn: Turn) -> None:
    """An argument of a hundred items with ten fields each, 2026-07-28, 16 connections."""
    arguments = {"items": wire.items()}
    with turn.http("nested") as (server, port):
        for kind in ("struct", "dataclass", "model"):
            name = f"nested {kind}"
            with turn.measure(name):
                if kind not in TYPES[turn.who.name]:
                    raise Cannot("it has no such type")
                params = wire.call(f"nested_{kind}", **arguments)
                scripts = [
                    http.Script(wire.stateless(port, "tools/call", params), b'"text":"300"')
                    for _ in range(16)
                ]
                opened = [http.Connection(port, script) for script in scripts]
                turn.record(name, load(turn, server, opened).sample())


def large_http(turn: Turn) -> None:
    """Ten megabytes as a result and as an argument, over HTTP, one call at a time."""
    with turn.http("large") as (server, port), http.connect(port) as sock:
        cases = _large(lambda params: wire.stateless(port, "tools/call", params))
        for name, request, expected, small in cases:
            with turn.measure(f"large http {name}"):
                if turn.who.name == FASTMCP and name == "argument":
                    raise Cannot("it refuses bodies of more than 4 MiB and has no option for that")
                ask = _asker(lambda asked, wanted: passes(http.exchange(sock, asked.next())[1], wanted))
                turn.record(f"large http {name}", weighed(server, ask, request, expected, small))


def large_stdio(turn: Turn) -> None:
    """The same on stdio."""
    with turn.who.serve_stdio("large") as server:
        pipe = Pipe(server)

        def answered(asked: wire.Request, wanted: bytes) -> bool:
            return passes(pipe.ask_bytes(asked.next()), wanted)

        for name, request, expected, small in _large(lambda params: wire.line("tools/call", params)):
            with turn.measure(f"large stdio {name}"):
                turn.record(
                    f"large stdio {name}", weighed(server, _asker(answered), request, expected, small)
                )


Ask = Callable[[wire.Request, bytes], None]
Case = tuple[str, wire.Request, bytes, tuple[wire.Request, bytes]]


def _large(make: Callable[[wire.Json], wire.Request]) -> list[Case]:
    """Name, request, what its answer holds, and the same with little in it."""
    few = (make(wire.call("make", size=10)), b'"text":"xxxxxxxxxx"')
    return [
        ("result", make(wire.call("make", size=LARGE)), b"x" * 1000, few),
        ("argument", make(wire.call("take", text="x" * LARGE)), b'"text":"%d"' % LARGE, few),
    ]


def _asker(answered: Callable[[wire.Request, bytes], bool]) -> Ask:
    def ask(request: wire.Request, expected: bytes) -> None:
        if not answered(request, expected):
            raise Broken("a wrong answer")

    return ask


def weighed(
    server: Process, ask: Ask, request: wire.Request, expected: bytes, small: tuple[wire.Request, bytes]
) -> Sample:
    """Milliseconds of a call and its CPU, and how often the payload stood in memory at once, by the first call."""
    for _ in range(20):
        ask(*small)
    before = server.resident()
    server.forget_peak()
    ask(request, expected)
    copies = (server.peak() - before) / LARGE
    took: list[float] = []
    cpu = server.cpu()
    for _ in range(TIMES):
        began = time.perf_counter()
        ask(request, expected)
        took.append(time.perf_counter() - began)
    return {
        "ms": statistics.median(took) * 1e3,
        "cpu": (server.cpu() - cpu) / TIMES * 1e6,
        "copies": max(copies, 0.0),
    }


HTTP = (OURS, MCP, MCP_FAST, FASTMCP, TYPESCRIPT, FLOOR)
STDIO = (OURS, MCP, FASTMCP, TYPESCRIPT, FLOOR)
GROUPS = (
    Group(("nested struct", "nested dataclass", "nested model"), nested, HTTP),
    Group(("large http result", "large http argument"), large_http, HTTP),
    Group(("large stdio result", "large stdio argument"), large_stdio, STDIO),
)
