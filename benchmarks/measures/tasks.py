"""Tasks: how many start and end in a second, how soon their end is known, and what those that wait keep.

A task of the first is started, run, and asked for until its result is there, in each store; what counts beside the rate
is the CPU of the server, for engines run on the load's core. How soon an end is known is measured from the last line of
the body on. Those that wait are at a question that nobody answers; with the store in memory their records are part of
what is weighed, with Redis they are not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial

from ..contestants import FASTMCP, MCP, MCP_FAST, OURS, TYPESCRIPT, Cannot
from ..engines import STORES
from ..figures import percentile
from ..load import http, tasks, wire
from ..processes import Process
from .calls import ADD, THREE
from .scaling import serving
from .turn import Group, Turn

CONNECTIONS = 16
TOLD = 16
"""Tasks that one client waits for at a time."""
FIRST_WAITING = 500
WAITS = b'"status":"input_required"'
#: Which stores each has for its tasks.
KEPT = {OURS: STORES, FASTMCP: ("memory", "redis")}
#: Of so many of ours, the others make one: the figure is of each, and 10,000 would take them minutes.
SLOWER = 10


@contextmanager
def at_work(turn: Turn, kind: str, mode: str = "default") -> Generator[tuple[Process, int]]:
    """A server with tasks in a store of this kind, and its port. Raises `Cannot`."""
    kept = KEPT.get(turn.who.name)
    if kept is None:
        raise Cannot("it has no tasks of 2026-07-28")
    if kind not in kept:
        raise Cannot(f"it keeps tasks in {' or '.join(kept)} alone")
    with serving(turn, kind, "tasks", mode, sharing=tuple(KEPT)) as ((server, port),):
        yield server, port


def throughput(kind: str, turn: Turn) -> None:
    """Tasks that add two numbers: started, run, and their results fetched."""
    with at_work(turn, kind) as (server, port):
        spins = kind in ("memory", "sqlite")  # an engine needs the core, too

        def load(seconds: float) -> http.Load:
            return tasks.run(server, tasks.lanes(port, CONNECTIONS, ADD, THREE), seconds, spins=spins)

        load(turn.pace.warm)
        turn.record(f"task {kind}", load(turn.pace.run).sample())


def told(turn: Turn) -> None:
    """How soon who listens to tasks, or asks for them, knows that one has ended."""
    with at_work(turn, "memory") as (server, port):
        with turn.measure("task told"):
            if turn.who.name != OURS:
                raise Cannot("it tells nobody of tasks: they have to be asked for")
            turn.record("task told", _times(turn, lambda: tasks.listened(server, port, TOLD)))
        with turn.measure("task asked for"):
            turn.record("task asked for", _times(turn, lambda: tasks.polled(port, TOLD)))


def _times(turn: Turn, some: Callable[[], list[float]]) -> dict[str, float]:
    """Some, again and again: twice as long as a load runs, and `Pace.told` of them at least."""
    some()
    found: list[float] = []
    until = time.perf_counter() + 2 * turn.pace.run
    while time.perf_counter() < until or len(found) < turn.pace.told:
        found += some()
    return {"p50": percentile(found, 50) * 1e3, "p99": percentile(found, 99) * 1e3, "count": len(found)}


def waiting(kind: str, turn: Turn) -> None:
    """Tasks that wait for an answer, each seen to do so: the memory of each."""
    with at_work(turn, kind, "waiting") as (server, port):
        count = turn.pace.waiting if turn.who.name == OURS else turn.pace.waiting // SLOWER
        make = partial(_kept_waiting, server, port)
        make(min(FIRST_WAITING, count))
        before = server.memory()
        load = make(count)
        each = (server.memory() - before) / load.count
        turn.record(f"task waiting {kind}", {"bytes": each, "rate": load.count / load.seconds})


def _kept_waiting(server: Process, port: int, count: int) -> http.Load:
    """So many more tasks that wait."""
    opened = tasks.lanes(port, CONNECTIONS, wire.call("ask"), WAITS)
    return tasks.run(server, opened, 0, least=count, spins=False)


WHO = (OURS, MCP, MCP_FAST, FASTMCP, TYPESCRIPT)
GROUPS = (
    *(Group((f"task {kind}",), partial(throughput, kind), WHO) for kind in STORES),
    Group(("task told", "task asked for"), told, WHO),
    *(Group((f"task waiting {kind}",), partial(waiting, kind), WHO) for kind in ("memory", "redis")),
)
