"""So many at once, the others one after the other.

Specification: none.
"""

import asyncio
from collections import deque

__all__ = ["Turns"]


class Turns:
    """At most ``limit`` turns at once; who waits for one gets it in the order of waiting. It is an `asyncio.Semaphore`
    without a coroutine for a turn that is free.
    """

    __slots__ = ("_free", "_waiting")

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a turn that is free. Whether there was one; else `wait` for it."""
        if self._free > 0:
            self._free -= 1
            return True
        return False

    async def wait(self) -> None:
        """Wait for a turn, and take it."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.give_back()  # it was given to us all the same
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            raise

    def give_back(self) -> None:
        """A turn is over: whoever has waited longest has it now."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1
