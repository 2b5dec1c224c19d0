"""The hub: changes handed over at once where the listener can take them, told to each in order, from any thread."""

from __future__ import annotations

import asyncio
import threading
from contextlib import nullcontext

import pytest

from dovetail.protocol.listening import Change, everything
from dovetail.runtime import hub as hubs
from dovetail.runtime.hub import Hub, HubSubscription


def updated(number: int) -> Change:
    return Change("resource", f"note://{number}")


class Listener:
    """Iterates, and takes changes at once as long as it is ``ready``."""

    def __init__(self, hub: Hub) -> None:
        self.ready = True
        self.at_once: list[Change] = []
        self.all: list[Change] = []
        self.came = asyncio.Event()
        self.holds: asyncio.Event | None = None
        self.subscription: HubSubscription = hub.subscribe(everything, try_deliver=self.take)
        self.task = asyncio.get_running_loop().create_task(self.listen())

    def take(self, change: Change) -> bool:
        if self.ready:
            self.at_once.append(change)
            self.note(change)
        return self.ready

    def note(self, change: Change) -> None:
        self.all.append(change)
        self.came.set()

    async def listen(self) -> None:
        async for change in self.subscription:
            self.note(change)
            if self.holds is not None:
                await self.holds.wait()

    async def has(self, count: int) -> list[Change]:
        async with asyncio.timeout(10):
            while len(self.all) < count:
                self.came.clear()
                await self.came.wait()
        return self.all

    async def end(self) -> None:
        self.subscription.close()
        await self.task


async def listener(hub: Hub) -> Listener:
    made = Listener(hub)
    await asyncio.sleep(0)  # it waits for its first change from here on
    return made


async def test_a_listener_that_can_take_a_change_is_not_woken_for_it() -> None:
    hub = Hub()
    found = await listener(hub)
    for number in range(3):
        hub.publish(updated(number))
        hub.publish(updated(number))  # happened before anybody was told: told once
    assert found.all == []
    assert await found.has(3) == [updated(0), updated(1), updated(2)] == found.at_once
    await found.end()
    assert len(hub) == 0


async def test_what_a_listener_can_not_take_it_is_woken_for() -> None:
    hub = Hub()
    found = await listener(hub)
    found.ready = False
    hub.publish(updated(0))
    hub.publish(updated(1))
    assert await found.has(2) == [updated(0), updated(1)]
    assert found.at_once == []
    await found.end()


async def test_nothing_overtakes_what_a_listener_is_busy_with() -> None:
    hub = Hub()
    found = await listener(hub)
    found.ready, found.holds = False, asyncio.Event()
    hub.publish(updated(0))
    await found.has(1)
    found.ready = True  # but it still deals with the first
    hub.publish(updated(1))
    for _ in range(3):
        await asyncio.sleep(0)
    assert found.all == [updated(0)]
    found.holds.set()
    assert await found.has(2) == [updated(0), updated(1)]
    hub.publish(updated(2))
    assert await found.has(3) == [updated(0), updated(1), updated(2)]
    assert found.at_once == [updated(2)]
    await found.end()


async def test_others_get_their_turn_between_many_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "AT_ONCE", 4)
    hub = Hub()
    listeners = [await listener(hub) for _ in range(10)]
    told: list[int] = []
    hub.publish(updated(0))
    for _ in range(4):
        told.append(sum(len(each.all) for each in listeners))
        await asyncio.sleep(0)
    assert told == [0, 4, 8, 10]
    for each in listeners:
        await each.end()


async def test_however_much_is_published_in_one_turn_a_listener_is_due_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub()
    found = await listener(hub)
    due: list[int] = []
    hand = hubs._hand

    def noted(loop: asyncio.AbstractEventLoop, subscriptions: list[HubSubscription], begun: int) -> None:
        due.append(len(subscriptions))
        hand(loop, subscriptions, begun)

    monkeypatch.setattr(hubs, "_hand", noted)
    for number in range(1000):
        hub.publish(updated(number))
    assert await found.has(1000) == [updated(number) for number in range(1000)] == found.at_once
    found.ready = False
    for number in range(1000):
        hub.publish(updated(number))
    await found.has(2000)
    assert due == [1, 1]
    found.ready = True
    hub.publish(updated(0))
    assert (await found.has(2001))[-1] == updated(0) == found.at_once[-1]
    await found.end()


async def test_a_listener_that_fails_costs_nobody_else_anything() -> None:
    hub = Hub()
    first, bad, last = [await listener(hub) for _ in range(3)]

    def fail(change: Change) -> bool:
        raise ValueError("as asked")

    bad.subscription._try_deliver = fail
    hub.publish(updated(0))
    for each in (first, bad, last):
        assert await each.has(1) == [updated(0)]
        await each.end()


async def test_changes_of_other_threads_are_told_on_the_loop() -> None:
    hub = Hub()
    found = [await listener(hub) for _ in range(3)]
    here = threading.get_ident()
    threads: list[int] = []
    for each in found:
        each.subscription._wants = lambda _: threads.append(threading.get_ident()) is None
    await asyncio.to_thread(hub.publish, updated(0))
    for each in found:
        assert await each.has(1) == [updated(0)]
        await each.end()
    assert threads == [here] * 3


async def test_a_loop_that_is_closed_hears_nothing() -> None:
    hub = Hub()

    async def listen() -> None:
        hub.subscribe(everything)

    await asyncio.to_thread(asyncio.run, listen())
    found = await listener(hub)
    hub.publish(updated(0))
    assert await found.has(1) == [updated(0)]
    await found.end()
    assert len(hub) == 1
    hub.close()


async def test_the_end_comes_after_what_waits() -> None:
    hub = Hub()
    found = await listener(hub)
    hub.publish(updated(0))
    hub.close()
    async with asyncio.timeout(10):
        await found.task
    assert found.all == [updated(0)]


async def test_who_may_have_missed_changes_is_told_of_each_thing_once() -> None:
    hub = Hub()
    missed = [updated(number) for number in range(3)]
    subscription = hub.subscribe(lambda change: change.uri != "note://1", doubted=lambda: iter(missed))
    hub.publish(updated(7))
    hub.doubt()
    hub.doubt()  # before anybody was told: once all the same
    assert [subscription.take() for _ in range(4)] == [updated(7), updated(0), updated(2), None]
    subscription.close()


async def test_doubt_is_told_in_the_loop_of_who_listens_whatever_thread_it_comes_from() -> None:
    hub = Hub()
    threads: list[int] = []

    def missed() -> list[Change]:
        threads.append(threading.get_ident())
        return [updated(0)]

    subscription = hub.subscribe(everything, doubted=missed)
    await asyncio.to_thread(hub.doubt)
    async with asyncio.timeout(10):
        assert await anext(subscription) == updated(0)
    assert threads == [threading.get_ident()]
    assert subscription.take() is None
    subscription.close()


async def test_who_sees_to_it_alone_is_only_told_of_a_doubt() -> None:
    hub = Hub()
    doubts: list[str] = []
    subscription = hub.subscribe(everything, doubted=lambda: doubts.append("doubt"))
    silent = hub.subscribe(everything)
    hub.doubt()
    assert [subscription.take(), silent.take()] == [None, None]
    assert doubts == ["doubt"]
    subscription.close()
    hub.doubt()
    assert doubts == ["doubt"]
    silent.close()


async def test_what_found_a_listener_too_far_behind_is_made_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "MAX_WAITING", 3)
    hub = Hub()
    subscription = hub.subscribe(everything, doubted=lambda: map(updated, range(5)))
    for number in (0, 1, 2, 2, 0):
        hub.publish(updated(number))
    assert [subscription.take() for _ in range(4)] == [
        updated(0),
        updated(1),
        updated(2),
        None,
    ]  # none was lost
    for number in range(5):
        hub.publish(updated(number))
    found: list[Change] = []
    while (change := subscription.take()) is not None:
        found.append(change)
    assert found == [updated(number) for number in (0, 1, 2, 0, 1, 2, 3, 4)]
    subscription.close()


async def test_a_listener_that_missed_much_lets_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hubs, "AT_ONCE_EACH", 10)
    hub = Hub()
    handed: list[Change] = []
    subscription = hub.subscribe(
        everything,
        try_deliver=lambda change: handed.append(change) is None,
        doubted=lambda: map(updated, range(35)),
    )
    waiting = asyncio.ensure_future(anext(subscription))
    await asyncio.sleep(0)
    hub.doubt()
    seen: list[int] = []
    for _ in range(6):
        await asyncio.sleep(0)
        seen.append(len(handed))
    assert sorted(set(seen)) == [10, 20, 30, 35]
    waiting.cancel()
    subscription.close()


class Forwarded:
    """A relay that keeps what it is given."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def publish(self, change: Change) -> None:
        self.changes.append(change)

    def hearing(self) -> nullcontext[None]:
        return nullcontext()

    def serving(self) -> nullcontext[None]:
        return nullcontext()


async def test_what_is_published_here_is_relayed_and_what_is_told_is_not() -> None:
    hub = Hub()
    hub.relay = relay = Forwarded()
    subscription = hub.subscribe(everything)
    hub.publish(updated(0))
    hub.tell(updated(1))
    assert relay.changes == [updated(0)]
    assert [subscription.take(), subscription.take()] == [updated(0), updated(1)]
    subscription.close()


async def test_those_of_one_loop_can_be_told_alone() -> None:
    hub = Hub()
    here = hub.subscribe(everything, doubted=lambda: [updated(1)])
    there = await asyncio.to_thread(asyncio.run, _subscribed(hub))
    hub.tell(updated(0), asyncio.get_running_loop())
    hub.doubt(asyncio.get_running_loop())
    assert [here.take(), here.take(), here.take()] == [updated(0), updated(1), None]
    hub.tell(updated(2), there.loop)
    assert here.take() is None
    here.close()
    there.close()


async def _subscribed(hub: Hub) -> HubSubscription:
    return hub.subscribe(everything)


async def test_a_list_that_changes_again_and_again_is_told_of_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    now = [loop.time()]
    begun = now[0]
    monkeypatch.setattr(loop, "time", lambda: now[0])
    hub = Hub()
    told: list[tuple[str, float]] = []

    def take(change: Change) -> bool:
        told.append((change.kind, round(now[0] - begun, 3)))
        return True

    async def turns(seconds: float) -> None:
        for _ in range(20):
            now[0] += seconds / 20
            await asyncio.sleep(0)

    subscription = hub.subscribe(everything, try_deliver=take)
    task = loop.create_task(anext(aiter(subscription), None))
    await asyncio.sleep(0)
    for _ in range(1000):  # five seconds
        hub.publish(Change("tools"))
        now[0] += 0.005
        await asyncio.sleep(0)
    assert told[0] == ("tools", 0.005), "the first is told at once"
    assert 7 <= len(told) <= 9, "after 0.1 seconds, 0.2, 0.4, 0.8, and then one in each"
    hub.publish(updated(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert told[-1][0] == "resource", "which waits for nothing"
    count = len(told)
    await turns(1.5)
    assert [kind for kind, _ in told[count:]] == ["tools"], "one tells of what came last"
    await turns(5)
    assert len(told) == count + 1
    hub.publish(Change("tools"))
    await turns(0.01)
    assert len(told) == count + 2, "after some quiet the next one is told at once"
    monkeypatch.undo()
    subscription.close()
    await task


async def test_what_was_held_back_is_told_before_the_end() -> None:
    hub = Hub()
    one = await listener(hub)
    hub.publish(Change("tools"))
    await one.has(1)
    hub.publish(Change("tools"))
    hub.publish(Change("prompts"))
    hub.close()
    await one.task
    assert one.all == [Change("tools"), Change("prompts"), Change("tools")]
