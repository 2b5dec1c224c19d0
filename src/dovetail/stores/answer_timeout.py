"""How long a store waits for its engine: time in which this process stood still does not count.

Theory of operation
-------------------
A process that was stopped, or whose machine was busy, finds its deadlines passed and the answers there, in this order.
So the time is taken in parts, each begun when the one before it ends: what stood still lost one part at most, and the
answers are read in the next.

Specification: none.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

__all__ = ["AnswerTimeout"]

_PARTS: Final = 8


class AnswerTimeout:
    """``async with AnswerTimeout(seconds) as timeout:`` raises `TimeoutError` where the body takes longer."""

    __slots__ = ("_left", "_loop", "_part", "_timeout", "_timer")

    def __init__(self, seconds: float) -> None:
        self._part = seconds / _PARTS
        self._left = _PARTS
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> AnswerTimeout:
        await self._timeout.__aenter__()
        self._timer = self._loop.call_later(self._part, self._passed)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._timer is not None:
            self._timer.cancel()
        return await self._timeout.__aexit__(kind, error, trace)

    def begin_again(self) -> None:
        """From now on there is all the time again: something came."""
        self._left = _PARTS + 1  # a part of the time before is still to pass

    def _passed(self) -> None:
        self._left -= 1
        if self._left > 0:
            self._timer = self._loop.call_later(self._part, self._passed)
        else:
            self._timer = None
            self._timeout.reschedule(self._loop.time())
