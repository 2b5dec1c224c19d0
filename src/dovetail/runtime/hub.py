"""Changes and who hears of them, within this process.

A `Subscription` keeps what its listener has not taken yet as a set, so a slow listener of a fast change
costs one entry, and is told once. Over many processes a bus will feed the same hub.
"""

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from ..protocol.listening import Change

MAX_WAITING = 10_000
_LONG = 30 * 24 * 3600.0


class Subscription:
    """Changes for one listener, in the order in which they first happened. Ends when closed by either side."""

    def __init__(self, hub: "Hub", wants: Callable[[Change], bool]) -> None:
        self._hub = hub
        self._wants = wants
        self._waiting: dict[Change, None] = {}
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None

    def end_at(self, moment: float) -> None:
        """End the subscription at a moment, in seconds since the epoch."""
        seconds = min(max(moment - time.time(), 0.0), _LONG)
        self._timer = self._loop.call_later(seconds, self.close)

    def offer(self, change: Change) -> None:
        """Take a change if it is wanted. Beyond the bound a listener so far behind is not told of new kinds
        of change. May be called from any thread.
        """
        if threading.get_ident() == self._thread:
            self._take(change)
        else:
            with suppress(RuntimeError):  # its loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._take, change)

    def _take(self, change: Change) -> None:
        if self._wants(change) and len(self._waiting) < MAX_WAITING:
            self._waiting[change] = None
            self._wake.set()

    def close(self) -> None:
        """End the subscription; what is waiting is still delivered."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._wake.set()
        self._hub.forget(self)

    async def __aiter__(self) -> AsyncIterator[Change]:
        while True:
            while self._waiting:
                change = next(iter(self._waiting))
                del self._waiting[change]
                yield change
            if self._ended:
                return
            self._wake.clear()
            await self._wake.wait()


class Hub:
    """Where changes are published."""

    def __init__(self) -> None:
        self._subscriptions: dict[Subscription, None] = {}

    def subscribe(self, wants: Callable[[Change], bool], *, until: float = math.inf) -> Subscription:
        """Hear of changes from now on, ``until`` a moment in seconds since the epoch."""
        subscription = Subscription(self, wants)
        if until != math.inf:
            subscription.end_at(until)
        self._subscriptions[subscription] = None
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Take a subscription out."""
        self._subscriptions.pop(subscription, None)

    def publish(self, change: Change) -> None:
        """Tell everyone who wants to know. Never waits; may be called from any thread."""
        for subscription in tuple(self._subscriptions):
            subscription.offer(change)

    def close(self) -> None:
        """End all subscriptions gracefully."""
        for subscription in tuple(self._subscriptions):
            subscription.close()

    def __len__(self) -> int:
        return len(self._subscriptions)
