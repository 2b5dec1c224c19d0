"""``dovetail inspect --tui``: run the terminal face until the person leaves it.

Specification: none; docs/inspector-terminal.md.
"""

from __future__ import annotations

from ..inspection import Inspection

__all__ = ["run"]


async def run(inspection: Inspection) -> int:
    """Show an Inspection in the terminal until the person leaves; gives the exit code. Raises ImportError without
    Textual, which names the extra.
    """
    try:
        import textual
    except ImportError:
        raise ImportError("the terminal face needs Textual: pip install 'dovetail-inspector[tui]'") from None
    del textual
    from .app import InspectorTerminal

    return await InspectorTerminal(inspection).run_async() or 0
