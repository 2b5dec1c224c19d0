"""Arguments and results that are not small: nested ones, and ones of ten megabytes."""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Callable
from functools import partial

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
    """Ten megabytes as a result and as an argument, over HTTP, one call at a time.

    Each has a process of its own: memory that the other left free would not count as used.
    """
    for index, case in enumerate(CASES):
        with turn.measure(f"large http {case}"):
            if turn.who.name == FASTMCP and case == "argument":
                raise Cannot("it refuses bodies of more than 4 MiB and has no option for that")
            with turn.http("large") as (server, port), http.connect(port) as sock:
                cases = _large(partial(wire.stateless, port, "tools/call"))
                ask = _asker(partial(_over_http, sock))
                turn.record(f"large http {case}", weighed(server, ask, *cases[index]))


def large_stdio(turn: Turn) -> None:
    """The same on stdio."""
    for index, case in enumerate(CASES):
        with turn.measure(f"large stdio {case}"), turn.who.serve_stdio("large") as server:
            cases = _large(partial(wire.line, "tools/call"))
            ask = _asker(partial(_over_stdio, Pipe(server)))
            turn.record(f"large stdio {case}", weighed(server, ask, *cases[index]))


Ask = Callable[[wire.Request, bytes], None]
CASES = ("result", "argument")


def _over_http(sock: socket.socket, asked: wire.Request, wanted: bytes) -> bool:
    return passes(http.exchange(sock, asked.next())[1], wanted)


def _over_stdio(pipe: Pipe, asked: wire.Request, wanted: bytes) -> bool:
    return passes(pipe.ask_bytes(asked.next()), wanted)


def _large(
    make: Callable[[wire.Json], wire.Request],
) -> list[tuple[wire.Request, bytes, tuple[wire.Request, bytes]]]:
    """For each of `CASES`: request, what its answer holds, and the same with little in it."""
    few = (make(wire.call("make", size=10)), b'"text":"xxxxxxxxxx"')
    return [
        (make(wire.call("make", size=LARGE)), b"x" * 1000, few),
        (make(wire.call("take", text="x" * LARGE)), b'"text":"%d"' % LARGE, few),
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
