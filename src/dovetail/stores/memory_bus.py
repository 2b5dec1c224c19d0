"""The bus in memory: for the tasks, threads and event loops of one process.

Theory of operation
-------------------
Publishing puts the message into the queue of each listener; `listeners` does the rest. A publisher that runs in the
same event loop as a listener would fill its queue before the loop has turned once, so it lets the loop turn where a
queue is half full.

Specification: none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dovetail.stores.bounds import BusBounds, check_key, check_value
from dovetail.stores.listeners import BusListeners

__all__ = ["MemoryBus"]


class MemoryBus:
    """A `Bus` in this process."""

    def __init__(self, bounds: BusBounds = BusBounds()) -> None:
        self._bounds = bounds
        self._listeners = BusListeners(bounds)

    async def publish(self, channel: str, data: bytes) -> None:
        """See `Bus.publish`."""
        check_key(channel, "channel")
        check_value(data, self._bounds.max_message, "message")
        if self._listeners.tell(channel, data):
            await asyncio.sleep(0)

    async def listen(self, channel: str, heard: Callable[[bytes | None], None]) -> Callable[[], None]:
        """See `Bus.listen`."""
        check_key(channel, "channel")
        return self._listeners.add(channel, heard)

    def close(self) -> None:
        """Nobody hears anything any more; every later call raises `StoreClosed`."""
        self._listeners.close()
