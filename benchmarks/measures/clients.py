"""What a client spends on a call: over HTTP, and against a server in its own process.

Over HTTP all clients call the same server, ours, on the other core; what counts is the CPU of the client's
process alone. In memory, each calls a server of its own library, so its CPU is that of both.
"""

from __future__ import annotations

import json

from ..contestants import FASTMCP, FLOOR, MCP, OURS, TYPESCRIPT
from ..processes import Broken
from .turn import Group, Turn


def over_http(turn: Turn) -> None:
    """One call after the other over HTTP."""
    server, port = turn.everyone[OURS].serve_http()
    with server:
        turn.record("client http", _calls(turn, "http", f"http://127.0.0.1:{port}/mcp"))


def in_memory(turn: Turn) -> None:
    """One call after the other in memory."""
    turn.record("client memory", _calls(turn, "memory", "-"))


def _calls(turn: Turn, how: str, where: str) -> dict[str, float]:
    with turn.who.call(how, where, str(turn.pace.warm), str(turn.pace.run)) as client:
        line = client.read_line(30 + turn.pace.warm + turn.pace.run)
        if not line.startswith(b"{"):
            raise Broken(f"the client failed: {line.decode('utf-8', 'replace')}{client.said()}")
        told = json.loads(line)
        return {"cpu": told["cpu"] / told["count"] * 1e6, "rate": told["count"] / told["seconds"]}


GROUPS = (
    Group(("client http",), over_http, (OURS, MCP, FASTMCP, TYPESCRIPT, FLOOR)),
    Group(("client memory",), in_memory, (OURS, MCP, FASTMCP, TYPESCRIPT)),
)
