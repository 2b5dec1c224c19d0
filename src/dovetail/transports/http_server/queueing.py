"""Large messages wait for each other, so that small ones wait for none of them.

Theory of operation. A message of many megabytes holds the event loop for as long as it takes to read it, and several
that became whole at the same moment would hold it one right after the other. So each turn of the loop takes one of
them, and between two of them it sees to all else that is ready. A large message that comes alone waits for one turn.

Specification: none; whatever a caller can use up has a bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

#: Bytes of a message from which on it waits for its turn: what is smaller is read within a millisecond.
LARGE: Final = 256 * 1024


class Queue:
    """Lets one through in each turn of the event loop, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[asyncio.Future[None], float]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def age(self) -> float:
        """Seconds that the oldest has waited; 0 where none waits."""
        loop = self._loop
        return loop.time() - self._waiting[0][1] if loop is not None and self._waiting else 0.0

    async def turn(self) -> None:
        """Wait for a turn, at least until the next one of the loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # nothing is under way, or was on a loop that is gone
            self._loop = loop
            self._waiting.clear()
            loop.call_soon(self._next, loop)
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.append((waiter, loop.time()))
        await waiter

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not loop:
            return
        waiting = self._waiting
        while waiting:
            waiter, _ = waiting.popleft()
            if not waiter.done():  # else whoever waited was cancelled
                waiter.set_result(None)
                loop.call_soon(self._next, loop)
                return
        self._loop = None
