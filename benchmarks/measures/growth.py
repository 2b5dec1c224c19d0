"""How cost grows: with connections, tools, bytes and processes. Points for the plots, once each.

A point is taken like a measure of the table, on a fresh server for each contestant and each size that the
server has to know, and in one go for what only the load varies. A contestant that takes too long for a point
is left out of the larger ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..contestants import EVERYONE, FASTMCP, FLOOR, MCP, MCP_FAST, OURS, TYPESCRIPT, Cannot, Contestant, Pace
from ..load import http, wire
from ..processes import Broken
from .calls import THREE, load, stateless_request
from .turn import Turn

CONNECTIONS = (1, 4, 16, 64, 256)
TOOLS = (1, 10, 100, 1000, 10_000)
BYTES = (100, 1000, 10_000, 100_000, 1_000_000, 10_000_000)
WORKERS = (1, 2)
# Beyond so many microseconds of CPU for a call, the larger sizes are left out.
TOO_SLOW = 400_000

Point = Callable[[str, float, float], None]


def connections(turn: Turn, put: Point) -> None:
    """Requests per second, and the CPU of each, at 1 to 256 connections."""
    with turn.http() as (server, port):
        for count in CONNECTIONS:
            scripts = [http.Script(stateless_request(port), THREE) for _ in range(count)]
            sample = load(turn, server, [http.Connection(port, script) for script in scripts]).sample()
            put("connections rate", count, sample["rate"])
            put("connections p99", count, sample["p99"])


def tools(turn: Turn, put: Point) -> None:
    """CPU of a call among 1 to 10,000 tools."""
    for count in TOOLS:
        with turn.http(tools=count) as (server, port):
            scripts = [http.Script(stateless_request(port), THREE) for _ in range(4)]
            sample = load(turn, server, [http.Connection(port, script) for script in scripts]).sample()
        put("tools cpu", count, sample["cpu"])
        if sample["cpu"] > TOO_SLOW / 10:
            return


def payload(turn: Turn, put: Point) -> None:
    """CPU of a call with a result, and with an argument, of 100 bytes to 10 MB."""
    with turn.http("large") as (server, port):
        for kind in ("result", "argument"):
            for count in BYTES:
                params = (
                    wire.call("make", size=count) if kind == "result" else wire.call("take", text="x" * count)
                )
                expected = b"x" * 100 if kind == "result" else b'"text":"%d"' % count
                script = http.Script(wire.stateless(port, "tools/call", params), expected)
                try:
                    sample = load(turn, server, [http.Connection(port, script)]).sample()
                except (Broken, OSError):
                    break
                put(f"{kind} cpu", count, sample["cpu"])


def workers(turn: Turn, put: Point) -> None:
    """Requests per second of one process and of two, which share all cores with the load."""
    for count in WORKERS:
        with turn.http(workers=count, spread=True) as (server, port):
            scripts = [http.Script(stateless_request(port), THREE) for _ in range(32)]
            sample = load(turn, server, [http.Connection(port, script) for script in scripts]).sample()
        put("workers rate", count, sample["rate"])


Plot = tuple[Callable[[Turn, Point], None], tuple[str, ...]]
PLOTS: tuple[Plot, ...] = (
    (connections, EVERYONE),
    (tools, (OURS, MCP, FASTMCP, TYPESCRIPT)),
    (payload, (OURS, MCP, MCP_FAST, FASTMCP, TYPESCRIPT, FLOOR)),
    (workers, (OURS, MCP_FAST, FLOOR)),
)


def grow(
    everyone: Mapping[str, Contestant],
    who: Sequence[str],
    pace: Pace,
    found: dict[str, dict[str, list[tuple[float, float]]]],
    tell: Callable[[str], None],
    say: Callable[[str], None],
) -> None:
    """Take all points."""
    for measure, names in PLOTS:
        for name in names:
            if name not in who:
                continue
            tell(f"growth with {measure.__name__}, {name}")

            def put(plot: str, x: float, y: float, name: str = name) -> None:
                found.setdefault(plot, {}).setdefault(name, []).append((x, y))

            try:
                measure(Turn(everyone[name], pace, everyone, lambda *_: None), put)
            except (Cannot, Broken, OSError) as problem:
                say(f"  {name} has no growth with {measure.__name__}: {problem}")


def steps(who: Sequence[str]) -> int:
    """How many there are."""
    return sum(name in who for _, names in PLOTS for name in names)
