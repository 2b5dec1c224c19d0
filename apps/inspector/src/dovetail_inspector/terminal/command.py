"""``dovetail inspect --tui``: run the terminal face until the person leaves it.

Specification: none; docs/inspector-terminal.md.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from typing import Final

from ..inspection import Inspection

__all__ = ["NoTerminal", "check_terminal", "run"]

_LOOK: Final = 1.0
"""Seconds between two looks whether the terminal is still there."""


class NoTerminal(Exception):
    """There is nothing here to draw on, or nobody to press keys; the text says what to do."""


def check_terminal() -> None:
    """Raises `NoTerminal` where standard input or standard error (which is what is drawn on) is no terminal, or one
    that only takes lines.
    """
    for name, stream in (("input", sys.__stdin__), ("error", sys.__stderr__)):
        if stream is None or stream.closed or not stream.isatty():
            raise NoTerminal(f"standard {name} is no terminal; leave --tui out, or over SSH add -t")
    if os.environ.get("TERM") == "dumb":
        raise NoTerminal("this terminal only takes lines (TERM=dumb); leave --tui out, or use another one")


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

    # What was loaded until now stays; looking it through for garbage again and again is a tenth of a second each time,
    # which is seen while one scrolls.
    gc.collect()
    gc.freeze()
    terminal = InspectorTerminal(inspection)
    watching = asyncio.create_task(_leave_with_terminal(terminal.exit))
    try:
        return await terminal.run_async() or 0
    finally:
        watching.cancel()
        gc.unfreeze()


async def _leave_with_terminal(leave: Callable[[], object]) -> None:
    """Leave where the terminal is gone. A signal tells of that, but not who started this without one of its own; what
    reads keys would find their end again and again, for ever.
    """
    try:
        import termios
    except ImportError:  # on Windows
        return
    keys = sys.__stdin__
    while keys is not None:
        await asyncio.sleep(_LOOK)
        try:
            termios.tcgetattr(keys)
        except (termios.error, ValueError):
            leave()
            return
