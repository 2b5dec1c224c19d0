"""What it takes to begin: imports, the first answer on stdio, and the memory of a server that gave one."""

from __future__ import annotations

import statistics
import time

from ..contestants import FASTMCP, FLOOR, MCP, OURS, TYPESCRIPT, Contestant
from ..load.stdio import Pipe
from .turn import Group, Turn

# What a server needs: the class it is written with.
SERVERS = {
    OURS: "dovetail; dovetail.App",
    MCP: "mcp.server; mcp.server.MCPServer",
    FASTMCP: "fastmcp; fastmcp.FastMCP",
}


def imports(turn: Turn) -> None:
    """Importing the package, and importing what a server needs, beyond starting the interpreter."""
    who = turn.who
    for measure, what in (("import", who.module), ("import server", SERVERS[who.name])):
        with turn.measure(measure):
            took = [_import(who, what) - _import(who, None) for _ in range(turn.pace.spawns)]
            turn.record(measure, {"ms": statistics.median(took) * 1e3})


def _import(who: Contestant, what: str | None) -> float:
    """Seconds from the start of an interpreter to its end."""
    with who.import_of(what) as process:
        process.wait(60)
        return time.perf_counter() - process.started


def first_answer(turn: Turn) -> None:
    """From the start of the process to its answer to ``initialize``, and the most memory it had by then."""
    took: list[float] = []
    peaks: list[int] = []
    for _ in range(turn.pace.spawns):
        with turn.who.serve_stdio() as server:
            took.append(Pipe(server).first_answer)
            peaks.append(server.peak())
    turn.record("first answer", {"ms": statistics.median(took) * 1e3})
    turn.record("peak memory", {"bytes": statistics.median(peaks)})


GROUPS = (
    Group(("import", "import server"), imports, (OURS, MCP, FASTMCP)),
    Group(("first answer", "peak memory"), first_answer, (OURS, MCP, FASTMCP, TYPESCRIPT, FLOOR)),
)
