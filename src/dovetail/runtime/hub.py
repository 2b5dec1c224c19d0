"""Changes and who hears of them, within this process.

A `HubSubscription` keeps what its listener has not taken yet as a set, so a slow listener of a fast change
costs one entry, and is told once. A listener that can take a change without waiting is not even woken for it: in the
next turns of its event loop all such listeners are handed what waits for them, so many in each turn that whatever
else the loop has to do gets its turn too. Over many processes a bus will feed the same hub.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

from ..protocol.listening import Change

MAX_WAITING = 10_000
#: How many listeners are handed something in one turn of the event loop.
AT_ONCE = 100
_LONG = 30 * 24 * 3600.0


class HubSubscription:
    """Changes for one listener, in the order in which they first happened. Ends when closed by either side.

    Whoever listens iterates over it, and may have itself ``handed`` changes while it waits for the next: a function
    that takes one there and then, and gives False if it can't. Or it is ``told`` when there is something to `take`,
    or the end has come.
    """

    __slots__ = ("_handed", "_hub", "_timer", "_told", "_waiter", "_waiting", "_wants", "ended", "loop")

    def __init__(
        self,
        hub: "Hub",
        wants: Callable[[Change], bool],
        told: Callable[[], None] | None = None,
        handed: Callable[[Change], bool] | None = None,
    ) -> None:
        self._hub = hub
        self._wants = wants
        self._told = told
        self._handed = handed
        self._waiting: dict[Change, None] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.loop = asyncio.get_running_loop()
        self.ended = False

    def end_at(self, moment: float) -> None:
        """End the subscription at a moment, in seconds since the epoch."""
        seconds = min(max(moment - time.time(), 0.0), _LONG)
        self._timer = self.loop.call_later(seconds, self.close)

    def offer(self, change: Change) -> bool:
        """Take a change if it is wanted. True if there is something to `hand` over in a moment. Beyond the bound a
        listener so far behind is not told of new kinds of change.
        """
        if not self._wants(change) or len(self._waiting) >= MAX_WAITING:
            return False
        first = not self._waiting  # else it is due already, or about to look for itself
        self._waiting[change] = None
        if self._handed is not None:
            return first
        self._wake()
        return False

    def hand(self) -> None:
        """Give what waits to a listener that waits for it; wake the listener for what it does not take so."""
        waiter, handed = self._waiter, self._handed
        if waiter is None or waiter.done() or handed is None:
            return  # it is about to look for itself
        waiting = self._waiting
        try:
            while waiting:
                change = next(iter(waiting))
                if not handed(change):
                    break
                del waiting[change]
        except Exception:  # noqa: BLE001 - the listener meets the same problem itself, and others hear all the same
            waiter.set_result(None)
        if waiting and not waiter.done():
            waiter.set_result(None)

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
            self._waiter = self.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return change


class Hub:
    """Where changes are published."""

    def __init__(self) -> None:
        self._subscriptions: dict[asyncio.AbstractEventLoop, dict[HubSubscription, None]] = {}

    def subscribe(
        self,
        wants: Callable[[Change], bool],
        *,
        until: float = math.inf,
        told: Callable[[], None] | None = None,
        handed: Callable[[Change], bool] | None = None,
    ) -> HubSubscription:
        """Hear of changes from now on, ``until`` a moment in seconds since the epoch. ``told`` and ``handed``: see
        `HubSubscription`.
        """
        subscription = HubSubscription(self, wants, told, handed)
        if until != math.inf:
            subscription.end_at(until)
        self._subscriptions.setdefault(subscription.loop, {})[subscription] = None
        return subscription

    def forget(self, subscription: HubSubscription) -> None:
        """Take a subscription out."""
        group = self._subscriptions.get(subscription.loop)
        if group is not None:
            group.pop(subscription, None)
            if not group:
                self._subscriptions.pop(subscription.loop, None)

    def publish(self, change: Change) -> None:
        """Tell everyone who wants to know. Never waits; may be called from any thread."""
        if not self._subscriptions:
            return
        here = _running_loop()
        for loop, group in tuple(self._subscriptions.items()):
            if loop is here:
                _offer(loop, tuple(group), change)
            else:
                with suppress(RuntimeError):  # that loop is closed: nobody listens any more
                    loop.call_soon_threadsafe(_offer, loop, tuple(group), change)

    def close(self) -> None:
        """End all subscriptions gracefully."""
        for group in tuple(self._subscriptions.values()):
            for subscription in tuple(group):
                subscription.close()

    def __len__(self) -> int:
        return sum(map(len, self._subscriptions.values()))


def _offer(loop: asyncio.AbstractEventLoop, subscriptions: Sequence[HubSubscription], change: Change) -> None:
    """Tell listeners of one loop, on that loop."""
    due = [subscription for subscription in subscriptions if subscription.offer(change)]
    if due:
        loop.call_soon(_hand, loop, due, 0)


def _hand(loop: asyncio.AbstractEventLoop, due: Sequence[HubSubscription], begun: int) -> None:
    """Hand over what waits, to some of those for whom something does; and to the others in the next turns."""
    end = begun + AT_ONCE
    if end < len(due):
        loop.call_soon(_hand, loop, due, end)
    for subscription in due[begun:end]:
        subscription.hand()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
