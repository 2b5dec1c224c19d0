"""Brings notifications to callbacks: in order, one callback at a time, without ever holding up the reader of messages.

A plain function is called at once. What a coroutine function returns is awaited in a task of the queue's own, so
that a callback may use the client. Both run in the context (`contextvars`) that is given with what they are told. What
waits is bounded: beyond the limit the oldest is dropped and counted. A callback that raises is logged and heard no
more of.
Specification: basic/patterns/progress, server/utilities/logging.
"""

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any, Final

from ..logs import get_logger
from .answers import CallInfo
from .calling import takes_call

log = get_logger("dovetail.client")
LIMIT: Final = 1024


class CallbackQueue:
    """Calls one callback; ``what`` names it in the log. ``arity``: how many arguments it is given besides the call.

    ``context``: where it runs unless something else is said; None for that of whoever has something to tell.
    """

    def __init__(
        self, callback: Callable[..., Any], what: str, limit: int = LIMIT, *, arity: int = 1
    ) -> None:
        self._callback = callback
        self._what = what
        self._limit = limit
        self._takes_call = takes_call(callback, arity)
        self._waiting: deque[tuple[Awaitable[Any], Context]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.context: Context | None = None
        self.dropped = 0

    def put(self, *arguments: Any, call: CallInfo | None = None, context: Context | None = None) -> None:
        """Call the callback, in a copy of ``context``. Never raises."""
        if self._takes_call:
            arguments = (*arguments, call)
        context = context or self.context
        own = copy_context() if context is None else context.copy()
        try:
            outcome = own.run(self._callback, *arguments)
        except Exception:  # whatever a user's callback raises is contained here
            log.exception("the %s callback failed", self._what)
            return
        if not inspect.isawaitable(outcome):
            return
        if len(self._waiting) >= self._limit:
            self.dropped += 1
            _forget(self._waiting.popleft()[0])
        self._waiting.append((outcome, own))
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def drain(self) -> None:
        """Wait until everything put so far was delivered."""
        if self._task is not None and self._task is not asyncio.current_task():
            await asyncio.wait((self._task,))

    def close(self) -> None:
        """Deliver nothing more."""
        while self._waiting:
            _forget(self._waiting.popleft()[0])
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while self._waiting:
                outcome, context = self._waiting.popleft()
                try:
                    if inspect.iscoroutine(outcome):
                        outcome = asyncio.create_task(outcome, context=context)
                    await outcome
                except Exception:  # as above
                    log.exception("the %s callback failed", self._what)
        finally:
            self._task = None


def _forget(outcome: Awaitable[Any]) -> None:
    if inspect.iscoroutine(outcome):
        outcome.close()
    elif isinstance(outcome, asyncio.Future):
        outcome.cancel()
