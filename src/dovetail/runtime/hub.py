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
    """Changes for one listener, in the order in which they first happened. Ends when closed by either side.

    Whoever listens iterates over it; or is ``told`` when there is something to `take`, or the end has come.
    """

    __slots__ = ("_hub", "_loop", "_thread", "_timer", "_told", "_waiter", "_waiting", "_wants", "ended")

    def __init__(
        self, hub: "Hub", wants: Callable[[Change], bool], told: Callable[[], None] | None = None
    ) -> None:
        self._hub = hub
        self._wants = wants
        self._told = told
        self._waiting: dict[Change, None] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._timer: asyncio.TimerHandle | None = None
        self.ended = False

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
            self._wake()

    def _wake(self) -> None:
        if self._told is not None:
            self._told()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """End the subscription; what is waiting is still delivered."""
        self.ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._hub.forget(self)
        self._wake()

    def take(self) -> Change | None:
        """The change that has waited longest; None when there is none."""
        for change in self._waiting:
            del self._waiting[change]
            return change
        return None

    def __aiter__(self) -> AsyncIterator[Change]:
        return self

    async def __anext__(self) -> Change:
        while (change := self.take()) is None:
            if self.ended:
                raise StopAsyncIteration
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return change


class Hub:
    """Where changes are published."""

    def __init__(self) -> None:
        self._subscriptions: dict[Subscription, None] = {}

    def subscribe(
        self,
        wants: Callable[[Change], bool],
        *,
        until: float = math.inf,
        told: Callable[[], None] | None = None,
    ) -> Subscription:
        """Hear of changes from now on, ``until`` a moment in seconds since the epoch. ``told``: see `Subscription`."""
        subscription = Subscription(self, wants, told)
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
