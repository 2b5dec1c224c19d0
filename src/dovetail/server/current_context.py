"""The context of the call that runs, for code far below the function that was called.

Theory of operation. To import this module is to say that somebody will ask: from then on, calls are noted (see
`ambient`). What is asked for in a call that began before can't be there, and the error says so.

Specification: none.
"""

from __future__ import annotations

import sys
from types import FrameType

from ..runtime.dispatch import call_in
from .ambient import RUNNING, NoContext
from .context import Context
from .running import AMBIENCE

__all__ = ["current_context"]


def current_context() -> Context:
    """The `Context` of the tool, resource, prompt, completion or method that runs, without having been handed it: in
    the function itself, in what it calls, in tasks that it starts, and in the thread that a plain function runs in.

    To take a parameter ``ctx: Context`` is clearer and costs nothing; this is for code that can't be given one. Import
    it where the module begins. Raises `NoContext` elsewhere: where no call runs, and in a task that goes on after its
    call has ended.
    """
    running = RUNNING.get(None)
    if running is None:
        if _in_call(sys._getframe(1)):  # pyright: ignore[reportPrivateUsage] - no other way to running frames
            raise NoContext(
                "this call began before current_context was there, so it has none; write `from dovetail import"
                " current_context` at the top of the module"
            )
        raise NoContext(
            "no call runs here: current_context is for code below a tool, resource, prompt, completion or method. A"
            " thread that you start yourself needs contextvars.copy_context().run; elsewhere, hand over what is needed"
        )
    if running.context is None:
        raise NoContext(
            "the call that started this task has ended; take from the context what is needed while the call runs, or"
            " wait for the task before the call ends"
        )
    return running.context


def _in_call(frame: FrameType | None) -> bool:
    """Whether a call is answered above."""
    while frame is not None:
        if call_in(frame) is not None:
            return True
        frame = frame.f_back
    return False


AMBIENCE.used = True
