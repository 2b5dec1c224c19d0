"""Changes and who hears of them, within this process.

A `HubSubscription` keeps what its listener has not taken yet as a set, so a slow listener of a fast change
costs one entry, and is told once. A listener that can take a change without waiting is not even woken for it: in the
next turns of its event loop all such listeners are handed what waits for them, so many in each turn that whatever
else the loop has to do gets its turn too.

A list that changes a thousand times in a row is told of at once, and then ever more seldom (`CALM`, twice as long each
time, up to `LONGEST_CALM`), the last time after the last change. That is counted once for all listeners of an event
loop: nobody has a timer of its own.

Over many processes a `ChangeRelay` passes on what is published (`relay`), and tells the hub what others published
(`tell`). Where some of that may have been lost on the way, everyone is told of all that they may have missed (`doubt`):
who listens says what that is (``doubted``), and it is handed over one by one, so that it takes no memory, however
much it is. What finds a listener's bound met is lost too, and made good the same way once that listener has caught up.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Protocol

from ..protocol.listening import Change

MAX_WAITING = 10_000
#: How many listeners are handed something in one turn of the event loop.
AT_ONCE = 100
#: How many changes one of them is handed in one turn.
AT_ONCE_EACH = 1_000
#: Seconds in which a list that changes again and again is told of once: of the first pause, and of the longest.
CALM = 0.1
LONGEST_CALM = 1.0
_LONG = 30 * 24 * 3600.0
_LISTS = frozenset({"tools", "prompts", "resources"})


class HubSubscription:
    """Changes for one listener, in the order in which they first happened. Ends when closed by either side.

    Whoever listens iterates over it, and may have changes delivered while it waits for the next: ``try_deliver`` takes
    one there and then, and gives False if it can't. Or ``on_change`` is called when there is something to `take`, or
    the end has come. ``doubted`` gives what may have been missed where changes were lost, or None where it sees to
    that itself.
    """

    __slots__ = (
        "_doubted",
        "_doubts",
        "_try_deliver",
        "_hub",
        "_overran",
        "_timer",
        "_on_change",
        "_waiter",
        "_waiting",
        "_wants",
        "ended",
        "loop",
    )

    def __init__(
        self,
        hub: "Hub",
        wants: Callable[[Change], bool],
        on_change: Callable[[], None] | None = None,
        try_deliver: Callable[[Change], bool] | None = None,
        doubted: Callable[[], Iterable[Change] | None] | None = None,
    ) -> None:
        self._hub = hub
        self._wants = wants
        self._on_change = on_change
        self._try_deliver = try_deliver
        self._doubted = doubted
        self._doubts: Iterator[Change] | None = None
        self._overran = False
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
        listener so far behind is not told of new kinds of change, but of all that it may have missed once it has caught
        up.
        """
        waiting = self._waiting
        if not self._wants(change):
            return False
        if len(waiting) >= MAX_WAITING:
            self._overran = self._overran or change not in waiting
            return False
        first = not waiting and self._doubts is None  # else it is due already, or about to look for itself
        waiting[change] = None
        if self._try_deliver is not None:
            return first
        self._wake()
        return False

    def doubt(self) -> bool:
        """Changes may have been lost: be told of all that may have been missed. True if there is something to `hand`
        over in a moment.
        """
        first = not self._waiting and self._doubts is None
        if not self._begin_doubt():
            return False
        if self._try_deliver is not None:
            return first
        self._wake()
        return False

    def hand(self) -> bool:
        """Give what waits to a listener that waits for it; wake the listener for what it does not take so. True if
        there is more, for another turn.
        """
        waiter, try_deliver = self._waiter, self._try_deliver
        if waiter is None or waiter.done() or try_deliver is None:
            return False  # it is about to look for itself
        waiting = self._waiting
        try:
            for _ in range(AT_ONCE_EACH):
                if not waiting and ((self._doubts is None and not self._overran) or self._next() is None):
                    return False
                change = next(iter(waiting))
                if not try_deliver(change):
                    break
                del waiting[change]
            else:
                return bool(waiting) or self._doubts is not None
        except Exception:  # noqa: BLE001, S110 - the listener meets the same problem itself; others hear all the same
            pass
        if not waiter.done():
            waiter.set_result(None)
        return False

    def _wake(self) -> None:
        if self._on_change is not None:
            self._on_change()
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
        change = self._next()
        if change is not None:
            del self._waiting[change]
        return change

    def _next(self) -> Change | None:
        """The change that `take` gives next, which stays where it is."""
        waiting = self._waiting
        for change in waiting:
            return change
        if self._overran and self._doubts is None:
            self._overran = False
            self._begin_doubt()
        if self._doubts is not None:
            for change in self._doubts:
                waiting[change] = None
                return change
            self._doubts = None
        return None

    def _begin_doubt(self) -> bool:
        """Have what may have been missed come after what waits. Whether there is anything."""
        missed = None if self._doubted is None or self.ended else self._doubted()
        if missed is not None:
            self._doubts = filter(self._wants, missed)
        return missed is not None

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


class Relay(Protocol):
    """What brings changes to other processes, and theirs here."""

    def publish(self, change: Change) -> None:
        """Tell the other processes. Never waits; may be called from any thread."""
        ...

    def hearing(self) -> AbstractAsyncContextManager[None]:
        """Around the life of what is served: tell the hub what other processes publish."""
        ...

    def serving(self) -> AbstractAsyncContextManager[None]:
        """Around the time in which it is served, in that: lists may change from now on, and in the end all is sent."""
        ...


class _Calm:
    """When changes of lists may be told again in one event loop, after which pause, and which wait for that."""

    __slots__ = ("due", "held", "pause")

    def __init__(self) -> None:
        self.due: dict[Change, float] = {}
        self.pause: dict[Change, float] = {}
        self.held: set[Change] = set()


class Hub:
    """Where changes are published. ``relay``: what brings those that are published here to other processes."""

    def __init__(self) -> None:
        self.relay: Relay | None = None
        self._subscriptions: dict[asyncio.AbstractEventLoop, dict[HubSubscription, None]] = {}
        self._calm: dict[asyncio.AbstractEventLoop, _Calm] = {}

    def subscribe(
        self,
        wants: Callable[[Change], bool],
        *,
        until: float = math.inf,
        on_change: Callable[[], None] | None = None,
        try_deliver: Callable[[Change], bool] | None = None,
        doubted: Callable[[], Iterable[Change] | None] | None = None,
    ) -> HubSubscription:
        """Hear of changes from now on, ``until`` a moment in seconds since the epoch. ``on_change``, ``try_deliver``
        and ``doubted``, which are called in this event loop: see `HubSubscription`.
        """
        subscription = HubSubscription(self, wants, on_change, try_deliver, doubted)
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
        """Tell everyone who wants to know, in other processes too. Never waits; may be called from any thread."""
        self.tell(change)
        if self.relay is not None:
            self.relay.publish(change)

    def tell(self, change: Change, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Tell everyone in this process who wants to know, or in one loop. Never waits; may be called from any
        thread.
        """
        self._each(change, loop)

    def doubt(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Changes may have been lost: tell everyone in this process, or in one loop, of all that they may have missed.
        Never waits; may be called from any thread.
        """
        self._each(None, loop)

    def _each(self, change: Change | None, only: asyncio.AbstractEventLoop | None) -> None:
        """Tell all subscriptions of a change, or (None) of a doubt, each in its loop."""
        if not self._subscriptions:
            return
        here = _running_loop()
        for loop in tuple(self._subscriptions):
            if only is not None and loop is not only:
                continue
            if loop is here:
                self._tell_in(loop, change)
            else:
                with suppress(RuntimeError):  # that loop is closed: nobody listens any more
                    loop.call_soon_threadsafe(self._tell_in, loop, change)

    def _tell_in(self, loop: asyncio.AbstractEventLoop, change: Change | None) -> None:
        """Tell all subscriptions of one loop, on that loop; of a list that was told of a moment ago, later."""
        if change is not None and change.kind in _LISTS and self._holds(loop, change):
            return
        _tell(loop, tuple(self._subscriptions.get(loop, ())), change)

    def _holds(self, loop: asyncio.AbstractEventLoop, change: Change) -> bool:
        """Whether a change is held back for a while; if not, the next one is."""
        calm = self._calm.get(loop)
        if calm is None:
            self._calm = {each: kept for each, kept in self._calm.items() if not each.is_closed()}
            calm = self._calm[loop] = _Calm()
        if change in calm.held:
            return True
        now, due, pause = loop.time(), calm.due.get(change, 0.0), calm.pause.get(change, 0.0)
        if due > now:
            calm.held.add(change)
            loop.call_at(due, self._tell_held, loop, calm, change)
            return True
        quiet = now - due >= pause
        self._told(calm, change, now, CALM if quiet else min(2 * pause, LONGEST_CALM))
        return False

    def _tell_held(self, loop: asyncio.AbstractEventLoop, calm: _Calm, change: Change) -> None:
        if change in calm.held:
            calm.held.discard(change)
            self._told(calm, change, loop.time(), min(2 * calm.pause[change], LONGEST_CALM))
            _tell(loop, tuple(self._subscriptions.get(loop, ())), change)

    def _told(self, calm: _Calm, change: Change, now: float, pause: float) -> None:
        calm.pause[change], calm.due[change] = pause, now + pause

    def close(self) -> None:
        """End all subscriptions gracefully; what was held back is told before."""
        here = _running_loop()
        if here is not None and (calm := self._calm.get(here)) is not None:
            for change in tuple(calm.held):
                self._tell_held(here, calm, change)
        for group in tuple(self._subscriptions.values()):
            for subscription in tuple(group):
                subscription.close()

    def __len__(self) -> int:
        return sum(map(len, self._subscriptions.values()))


def _tell(
    loop: asyncio.AbstractEventLoop,
    subscriptions: Sequence[HubSubscription],
    change: Change | None,
) -> None:
    """Tell listeners of one loop, on that loop."""
    if change is None:
        due = [subscription for subscription in subscriptions if subscription.doubt()]
    else:
        due = [subscription for subscription in subscriptions if subscription.offer(change)]
    if due:
        loop.call_soon(_hand, loop, due, 0)


def _hand(loop: asyncio.AbstractEventLoop, due: Sequence[HubSubscription], begun: int) -> None:
    """Hand over what waits, to some of those for whom something does; and to the others in the next turns."""
    end = begun + AT_ONCE
    if end < len(due):
        loop.call_soon(_hand, loop, due, end)
    more = [subscription for subscription in due[begun:end] if subscription.hand()]
    if more:
        loop.call_soon(_hand, loop, more, 0)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
