"""Many tools: what listing them costs, and what they cost a call."""

from __future__ import annotations

from ..contestants import FASTMCP, FLOOR, MCP, MCP_FAST, OURS, TYPESCRIPT
from ..load import http, wire
from ..processes import Broken
from .calls import THREE, load, stateless_request
from .turn import Group, Turn

CONNECTIONS = 16


def thousand(turn: Turn) -> None:
    """tools/list of a thousand tools, and tools/call among them, in 2026-07-28."""
    with turn.http(tools=1000) as (server, port):
        with turn.measure("call of 1000"):
            turn.record("call of 1000", call_load(turn, server, port).sample())
        with turn.measure("list 1000"):
            request = wire.stateless(port, "tools/list", {})
            check_all(port, request, 1000)
            opened = [http.Connection(port, http.Script(request, b'"tool_00999"')) for _ in range(4)]
            turn.record("list 1000", load(turn, server, opened).sample())


def five(turn: Turn) -> None:
    """tools/call among five tools, for comparison: the same load, next to the other."""
    with turn.http(tools=5) as (server, port):
        turn.record("call of 5", call_load(turn, server, port).sample())


def call_load(turn: Turn, server: http.Watched, port: int) -> http.Load:
    """The load of calls."""
    scripts = [http.Script(stateless_request(port), THREE) for _ in range(CONNECTIONS)]
    return load(turn, server, [http.Connection(port, script) for script in scripts])


def check_all(port: int, request: wire.Request, count: int) -> None:
    """Raises `Broken` unless one page lists all."""
    with http.connect(port) as sock:
        found = len(http.ask(sock, request)["tools"])
    if found != count:
        raise Broken(f"{found} tools on a page, not {count}")


WHO = (OURS, MCP, MCP_FAST, FASTMCP, TYPESCRIPT, FLOOR)
GROUPS = (Group(("call of 5",), five, WHO), Group(("call of 1000", "list 1000"), thousand, WHO))
