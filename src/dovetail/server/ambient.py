"""Which call runs: what `current_context` finds. Loaded once anybody may ask for it.

Theory of operation. A body that runs is noted in a context variable, which the tasks that it starts inherit and the
thread of a plain function gets. That is done from the moment on at which a program imports `current_context`; in all
others a plain call passes through nothing for it. What a task finds that outlives its call is the note, from which the
context was taken when the call ended.

Specification: none.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from ..protocol.errors import LocalProtocolError
from .context import Context

__all__ = ["RUNNING", "AmbientCall", "NoContext"]


class NoContext(LocalProtocolError):
    """`current_context` was asked where no call runs, or no longer; the text says which, and what to do."""


class AmbientCall:
    """One run of a body. ``context``: its own, None once it has ended."""

    __slots__ = ("_token", "context")

    def __init__(self, context: Context) -> None:
        self.context: Context | None = context
        self._token = RUNNING.set(self)

    def end(self) -> None:
        """The body has ended. To be called in the task that made it."""
        self.context = None
        RUNNING.reset(self._token)


RUNNING: Final[ContextVar[AmbientCall]] = ContextVar("dovetail-running-call")
