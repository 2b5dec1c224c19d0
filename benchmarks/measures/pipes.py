"""tools/call on stdio, in revision 2025-11-25."""

from __future__ import annotations

from ..contestants import FASTMCP, FLOOR, MCP, OURS, TYPESCRIPT
from ..load import wire
from ..load.stdio import Pipe
from .calls import ADD, THREE
from .turn import Group, Turn


def calls(turn: Turn) -> None:
    """One at a time, and 64 in flight."""
    with turn.who.serve_stdio() as server:
        pipe = Pipe(server)
        request = wire.line("tools/call", ADD)
        for count in (1, 64):
            with turn.measure(f"stdio {count}"):
                pipe.run(request, THREE, turn.pace.warm, count)
                turn.record(f"stdio {count}", pipe.run(request, THREE, turn.pace.run, count))


GROUPS = (Group(("stdio 1", "stdio 64"), calls, (OURS, MCP, FASTMCP, TYPESCRIPT, FLOOR)),)
