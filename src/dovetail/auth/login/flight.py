"""Work that several tasks want at once, done once.

Theory of operation. The first to ask starts a task, the others wait for the same one. Whoever is cancelled while
waiting leaves; when the last one has left, the work is cancelled too. So a login goes on when the call that began it
is cancelled, as long as anybody else waits for it.

Lasting work goes on even when nobody waits any more: a refresh token may be used up by the request that is on its way,
and only its answer has the next one. It is given a moment to end by itself when it is stopped.

Specification: none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

__all__ = ["SingleFlight"]

T = TypeVar("T")
_GRACE: Final = 5.0


class SingleFlight(Generic[T]):
    """At most one run of a piece of work at a time, shared by all who ask for it meanwhile. ``lasting``: it is not
    cancelled with those who wait for it.
    """

    def __init__(self, *, lasting: bool = False) -> None:
        self._lasting = lasting
        self._task: asyncio.Task[T] | None = None
        self._waiting = 0

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The outcome of ``work``, or of the run that is on already; errors are shared as well."""
        task = self._task
        if task is None or task.done():
            task = self._task = asyncio.create_task(work(), name="dovetail-login")
            task.add_done_callback(_told)
            self._waiting = 0
        self._waiting += 1
        try:
            return await asyncio.shield(task)
        finally:
            if task is self._task:
                self._waiting -= 1
                if self._waiting == 0 and (task.done() or not self._lasting):
                    self._task = None
                    task.cancel()

    async def stop(self) -> None:
        """End the run that is on."""
        task, self._task = self._task, None
        if task is not None:
            if self._lasting:
                await asyncio.wait([task], timeout=_GRACE)
            task.cancel()
            await asyncio.wait([task])


def _told(task: asyncio.Task[Any]) -> None:
    """How the work failed was told to those who waited; if all had left, it matters to nobody."""
    if not task.cancelled():
        task.exception()
