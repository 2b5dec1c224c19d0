"""What several processes need, and many idle clients: stores that are shared, changes over three workers, a crowd.

A store is weighed by what it adds to a call in a session, which reads the session's record: the same call in memory
stands beside it, and so do the peer and the floor, which keep theirs in memory. Of three workers each has a third of
the listeners; the change happens at the first. The crowd is there and does nothing, but for one caller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from ..contestants import FLOOR, MCP, MCP_FAST, OURS
from ..engines import STORES, store_url
from ..load import http, wire
from ..load.streams import Streams
from ..processes import Process
from .calls import ADD, THREE, in_sessions, load
from .memory import open_listening
from .streaming import UPDATED
from .turn import Group, Turn

WORKERS = 3


@contextmanager
def serving(
    turn: Turn,
    kind: str,
    kit: str,
    mode: str = "default",
    count: int = 1,
    sharing: Sequence[str] = (OURS,),
) -> Generator[list[tuple[Process, int]]]:
    """So many servers, each with its port. Those of ``sharing`` share a store of this kind."""
    with ExitStack() as stack:
        who = turn.who
        if who.name in sharing:
            shared = {"BENCH_STORE": stack.enter_context(store_url(kind)), "DOVETAIL_KEYS": "k" * 40}
            who = replace(who, environment={**who.environment, **shared})
        servers: list[tuple[Process, int]] = []
        for _ in range(count):
            process, port = who.serve_http(kit, mode)
            stack.enter_context(process)
            servers.append((process, port))
        yield servers


def in_store(kind: str, turn: Turn) -> None:
    """2025-11-25 in a session for each of 16 connections, answered with JSON, the sessions in a store."""
    with serving(turn, kind, "calls", "json") as ((server, port),):
        turn.record(
            f"session {kind}", load(turn, server, in_sessions(port, 16, b"application/json")).sample()
        )


def fan_out_over_workers(turn: Turn) -> None:
    """A change at one of three workers, told to the listeners of all; at one worker for who shares no store."""
    count = WORKERS if turn.who.name == OURS else 1
    with ExitStack() as stack:
        servers = stack.enter_context(serving(turn, "redis", "streams", count=count))
        crowds = [stack.enter_context(Streams(server)) for server, _ in servers]
        listeners = turn.pace.listeners // count
        for streams, (_, port) in zip(crowds, servers, strict=True):
            open_listening(streams, port, listeners)
        touch = wire.stateless(servers[0][1], "tools/call", wire.call("touch"))
        with http.connect(servers[0][1]) as sock:
            _told(servers, sock, crowds, touch, turn.pace.warm)
            times, took, cpu, worst = _told(servers, sock, crowds, touch, turn.pace.run)
        told = times * listeners * count
        turn.record("fan-out 3", {"rate": told / took, "cpu": cpu / told * 1e6, "last": worst * 1e3})


def _told(
    servers: Sequence[tuple[Process, int]],
    sock: http.socket.socket,
    crowds: Sequence[Streams],
    touch: wire.Request,
    seconds: float,
) -> tuple[int, float, float, float]:
    """Touch and wait for all, again and again; gives how often, how long that took, its CPU, and the slowest."""
    before, began, times, worst = sum(server.cpu() for server, _ in servers), time.perf_counter(), 0, 0.0
    while (now := time.perf_counter()) < began + seconds or times < 3:
        http.exchange(sock, touch.next())
        for streams in crowds:
            worst = max(worst, streams.all_get(UPDATED) - now)
        times += 1
    took = time.perf_counter() - began
    return times, took, sum(server.cpu() for server, _ in servers) - before, worst


def crowd(turn: Turn) -> None:
    """Idle sessions and listen streams at one worker: its memory, its CPU meanwhile, and a call."""
    with turn.http("streams", "crowd") as (server, port), Streams(server) as streams:
        with http.connect(port) as sock:
            before = server.memory()
            for _ in range(turn.pace.crowd_sessions):
                http.open_session(sock, port)
        open_listening(streams, port, turn.pace.crowd_streams)
        grown = server.memory() - before
        cpu, began = server.cpu(), time.perf_counter()
        time.sleep(turn.pace.run)  # what is measured is what nothing costs
        idle = (server.cpu() - cpu) / (time.perf_counter() - began)
        connection = http.Connection(port, http.Script(wire.stateless(port, "tools/call", ADD), THREE))
        call = load(turn, server, [connection]).sample()
        turn.record("crowd", {"bytes": grown, "idle": idle * 1e3, "cpu": call["cpu"], "p99": call["p99"]})


def _in_store(kind: str) -> Callable[[Turn], None]:
    return partial(in_store, kind)


GROUPS = (
    *(
        Group(
            (f"session {kind}",),
            _in_store(kind),
            (OURS, MCP, MCP_FAST, FLOOR) if kind == "memory" else (OURS,),
        )
        for kind in STORES
    ),
    Group(("fan-out 3",), fan_out_over_workers, (OURS, MCP, MCP_FAST, FLOOR)),
    Group(("crowd",), crowd, (OURS, MCP, MCP_FAST)),
)
