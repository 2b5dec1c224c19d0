"""What a `Bus` does: the fourth part of `store_contract`.

Theory of operation
-------------------
Run as a part of `StoreContract`, which says how. A bus may lose messages where it says so; what these tests wait for is
never a message but a `Hearing` that has all it is to have, and where a test fills queues it publishes a last word until
that is heard.

Specification: none.
"""
# ruff: noqa: S101 - a suite of tests is made of assertions

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from typing import cast

try:
    import pytest
except ImportError as error:
    raise ImportError(
        "The contract suite of the stores runs in pytest: pip install pytest pytest-asyncio"
    ) from error

from dovetail.stores.contracts import Store
from dovetail.stores.errors import KeyInvalid, StoreClosed, ValueTooLarge
from dovetail.testing.store_setting import BAD_KEYS, CONTRACT_BOUNDS

__all__ = ["BusContract", "Hearing", "SharedBusContract", "check_order"]

LAST = b"the last word"


class Hearing:
    """What one listener has heard so far. Call it with what it hears; `until` waits in any event loop."""

    def __init__(self) -> None:
        self.said: list[bytes | None] = []
        self._changed = threading.Condition()

    def __call__(self, data: bytes | None) -> None:
        with self._changed:
            self.said.append(data)
            self._changed.notify_all()

    async def until(self, enough: Callable[[list[bytes | None]], bool]) -> list[bytes | None]:
        """Wait until `enough(said)`, then give what was said. Raises `AssertionError` after 30 seconds."""

        def wait() -> bool:
            with self._changed:
                return self._changed.wait_for(lambda: enough(self.said), 30)

        assert await asyncio.to_thread(wait), f"after 30 s only {len(self.said)} messages were heard"
        return self.said

    async def count(self, number: int) -> list[bytes | None]:
        """Wait until there are so many."""
        return await self.until(lambda said: len(said) >= number)


def check_order(said: Iterable[bytes | None], publisher: bytes = b"") -> int:
    """See that the numbers that one publisher said, counting from 0, came in order and at most once, and that where one
    is missing a None came first. Gives how many came.
    """
    following, gap, came = 0, False, 0
    for data in said:
        if data is None:
            gap = True
        elif data != LAST and data.startswith(publisher):
            number = int(data.removeprefix(publisher))
            assert number >= following, f"{number} came after {following - 1}"
            assert gap or number == following, f"{following} is missing before {number}, and nobody was told"
            following, gap, came = number + 1, False, came + 1
    return came


async def say_the_last_word(store: Store, *hearings: Hearing) -> None:
    """Publish it until all have heard it: where queues are full it may be lost."""
    while not all(LAST in hearing.said for hearing in hearings):
        await store.bus.publish("news", LAST)
        await asyncio.sleep(0.01)


def nothing(data: bytes | None) -> None:
    """Hear it and do nothing."""


class BusContract:
    """What a `Bus` does."""

    async def test_bus_tells_everyone_who_listens(self, store: Store) -> None:
        first, second, other = Hearing(), Hearing(), Hearing()
        await store.bus.publish("news", b"before anybody listens")
        for hearing in (first, second):
            await store.bus.listen("news", hearing)
        await store.bus.listen("new", other)
        for data in (b"", b"\0\xff", b"x" * CONTRACT_BOUNDS.bus.max_message):
            await store.bus.publish("news", data)
        await store.bus.publish("new", LAST)
        for hearing in (first, second):
            assert await hearing.count(3) == [b"", b"\0\xff", b"x" * CONTRACT_BOUNDS.bus.max_message]
        assert await other.count(1) == [LAST], "what one channel tells, no other does"

    async def test_bus_takes_names_literally(self, store: Store) -> None:
        names = [
            "a*",
            "ab",
            "A*",
            "a?",
            "[a]",
            "a",
            "{a}b",
            "a:b",
            'a"b',
            "a'b",
            "\ud7ff",
            "é" * 512,
            "x" * 512,
        ]
        hearings = {name: Hearing() for name in names}
        for name, hearing in hearings.items():
            await store.bus.listen(name, hearing)
        for name in names:
            await store.bus.publish(name, name.encode())
        for name, hearing in hearings.items():
            assert await hearing.count(1) == [name.encode()]

    async def test_bus_keeps_the_order_of_each_publisher(self, store: Store) -> None:
        hearing = Hearing()
        await store.bus.listen("news", hearing)

        async def publish(name: bytes) -> None:
            for number in range(100):
                await store.bus.publish("news", name + b"%d" % number)

        await asyncio.gather(publish(b"a"), publish(b"b"), publish(b"c"))
        await say_the_last_word(store, hearing)
        said = hearing.said
        assert sum(check_order(said, name) for name in (b"a", b"b", b"c")) >= CONTRACT_BOUNDS.bus.max_waiting

    async def test_bus_does_not_lose_what_one_says_in_peace(self, store: Store) -> None:
        hearing = Hearing()
        await store.bus.listen("news", hearing)
        for number in range(200):
            await store.bus.publish("news", b"%d" % number)
            if number % 20 == 0:
                await hearing.count(number + 1)
        assert await hearing.count(200) == [b"%d" % number for number in range(200)]

    async def test_bus_ends_for_who_ends_it(self, store: Store) -> None:
        gone, staying = Hearing(), Hearing()
        end = await store.bus.listen("news", gone)
        await store.bus.listen("news", staying)
        await store.bus.publish("news", b"0")
        await gone.count(1)
        end()
        end()
        await store.bus.publish("news", b"1")
        assert await staying.count(2) == [b"0", b"1"]
        assert gone.said == [b"0"]
        end = await store.bus.listen("news", gone)
        await store.bus.publish("news", b"2")
        await gone.count(2)
        await asyncio.to_thread(end)
        await store.bus.publish("news", b"3")
        assert await staying.count(4) == [b"0", b"1", b"2", b"3"]
        assert gone.said == [b"0", b"2"]

    async def test_bus_can_be_left_while_it_is_heard(self, store: Store) -> None:
        heard: list[bytes | None] = []
        ending: list[Callable[[], None]] = []

        def once(data: bytes | None) -> None:
            heard.append(data)
            ending[0]()

        ending.append(await store.bus.listen("news", once))
        staying = Hearing()
        await store.bus.listen("news", staying)
        await asyncio.gather(*(store.bus.publish("news", b"x") for _ in range(10)))
        await staying.count(10)
        assert heard == [b"x"]

    async def test_bus_bears_who_comes_and_goes(self, store: Store) -> None:
        """The last one leaves while the next one comes: who has come hears, and hears once."""
        for turn in range(30):
            hearing = Hearing()
            ends = [await store.bus.listen("news", nothing) for _ in range(2)]
            coming = [asyncio.ensure_future(store.bus.listen("news", hearing)) for _ in range(2)]
            for end in ends:
                end()
            ends = list(await asyncio.gather(*coming))
            ends.pop()()
            await store.bus.publish("news", b"%d" % turn)
            assert await hearing.count(1) == [b"%d" % turn]
            ends.pop()()

    async def test_bus_bears_cancelled_listeners(self, store: Store) -> None:
        cancelled, hearing = Hearing(), Hearing()
        coming = [asyncio.ensure_future(store.bus.listen("news", cancelled)) for _ in range(4)]
        await asyncio.sleep(0)
        for task in coming:
            task.cancel()
        ends = await asyncio.gather(*coming, return_exceptions=True)
        await store.bus.listen("news", hearing)
        await store.bus.publish("news", b"x")
        await hearing.count(1)
        assert len(cancelled.said) <= sum(not isinstance(end, BaseException) for end in ends)

    async def test_bus_bears_a_listener_that_raises(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        def failing(data: bytes | None) -> None:
            raise ValueError(f"it was {data!r} that I could not bear")

        hearing = Hearing()
        await store.bus.listen("a secret channel", failing)
        await store.bus.listen("a secret channel", hearing)
        with caplog.at_level(logging.DEBUG):
            for number in range(3):
                await store.bus.publish("a secret channel", b"secret %d" % number)
            await hearing.count(3)
        told = [record.getMessage() for record in caplog.records if "ValueError" in record.getMessage()]
        assert told, "the log is told of it"
        assert not any("secret" in line for line in caplog.text.splitlines())

    async def test_bus_refuses_what_it_cannot_carry(self, store: Store) -> None:
        limit = CONTRACT_BOUNDS.bus.max_message
        with pytest.raises(ValueTooLarge) as caught:
            await store.bus.publish("news", b"x" * (limit + 1))
        assert (caught.value.size, caught.value.limit) == (limit + 1, limit)
        with pytest.raises(TypeError):
            await store.bus.publish("news", cast("bytes", bytearray(b"mutable")))
        for name in BAD_KEYS:
            with pytest.raises(KeyInvalid):
                await store.bus.publish(name, b"")
            with pytest.raises(KeyInvalid):
                await store.bus.listen(name, nothing)

    async def test_bus_serves_several_event_loops(self, store: Store) -> None:
        ready, done = threading.Barrier(4), threading.Barrier(4)
        hearings = [Hearing() for _ in range(3)]

        async def work(number: int) -> int:
            end = await store.bus.listen("news", hearings[number])
            await asyncio.to_thread(ready.wait, 30)
            for turn in range(20):
                await store.bus.publish("news", b"%d:%d" % (number, turn))
            await asyncio.to_thread(done.wait, 30)
            said = await hearings[number].until(lambda said: LAST in said)
            end()
            return sum(check_order(said, b"%d:" % publisher) for publisher in range(3))

        async def end_them() -> None:
            await asyncio.to_thread(ready.wait, 30)
            await asyncio.to_thread(done.wait, 30)  # else it would come before what others have yet to say
            await say_the_last_word(store, *hearings)

        ending = asyncio.ensure_future(end_them())
        counts = await asyncio.gather(*(asyncio.to_thread(asyncio.run, work(number)) for number in range(3)))
        await ending
        assert all(count >= 20 for count in counts), counts
        hearing = Hearing()
        await store.bus.listen("news", hearing)
        await store.bus.publish("news", b"the loops of the others are closed by now")
        await hearing.count(1)

    async def test_bus_outlives_the_loop_of_a_listener(self, store: Store) -> None:
        async def leave_without_a_word() -> None:
            await store.bus.listen("news", nothing)

        await asyncio.to_thread(asyncio.run, leave_without_a_word())
        hearing = Hearing()
        await store.bus.listen("news", hearing)
        for number in range(3):
            await store.bus.publish("news", b"%d" % number)
        assert await hearing.count(3) == [b"0", b"1", b"2"]

    async def test_bus_tells_a_slow_listener_what_it_missed(self, store: Store) -> None:
        """It delays nobody, takes no more than its bounds, and knows of each gap."""
        holding, held = threading.Event(), threading.Event()
        slow, quick = Hearing(), Hearing()

        def hear_slowly(data: bytes | None) -> None:
            if not slow.said:
                held.set()
                assert holding.wait(60)
            slow(data)

        async def listen_slowly() -> None:
            end = await store.bus.listen("news", hear_slowly)
            listening.set()
            await slow.until(lambda said: LAST in said)
            end()

        listening = threading.Event()
        thread = asyncio.ensure_future(asyncio.to_thread(asyncio.run, listen_slowly()))
        try:
            assert await asyncio.to_thread(listening.wait, 30)
            await store.bus.listen("news", quick)
            for number in range(20 * CONTRACT_BOUNDS.bus.max_waiting):
                await store.bus.publish("news", b"%d" % number)
                if number % 10 == 0:
                    await quick.until(lambda said, number=number: b"%d" % number in said)
            assert await asyncio.to_thread(held.wait, 30)
        finally:
            holding.set()
        await say_the_last_word(store, slow)
        await thread
        assert check_order(slow.said) >= CONTRACT_BOUNDS.bus.max_waiting
        assert None not in quick.said, "others have missed nothing"
        assert check_order(quick.said) == 20 * CONTRACT_BOUNDS.bus.max_waiting

    async def test_bus_once_closed_stays_closed(self, store: Store) -> None:
        hearing = Hearing()
        end = await store.bus.listen("news", hearing)
        await store.aclose()
        with pytest.raises(StoreClosed):
            await store.bus.publish("news", b"")
        with pytest.raises(StoreClosed):
            await store.bus.listen("news", hearing)
        end()
        assert hearing.said == []


class SharedBusContract:
    """What the buses of two bundles on the same data do, wherever they run."""

    async def test_shared_bus_is_heard_by_both(self, store: Store, peer: Store) -> None:
        here, there = Hearing(), Hearing()
        await store.bus.listen("news", here)
        await peer.bus.listen("news", there)
        expected = list[bytes | None]()
        for number in range(30):
            expected.append(b"%d" % number)
            await (store, peer)[number % 2].bus.publish("news", b"%d" % number)
            for hearing in (here, there):
                await hearing.count(len(expected))
        assert here.said == there.said == expected

    async def test_shared_bus_keeps_the_order_of_each_publisher(self, store: Store, peer: Store) -> None:
        hearing = Hearing()
        await store.bus.listen("news", hearing)

        async def publish(bundle: Store, name: bytes) -> None:
            for number in range(200):
                await bundle.bus.publish("news", name + b"%d" % number)

        await asyncio.gather(publish(store, b"a"), publish(peer, b"b"))
        await say_the_last_word(peer, hearing)
        assert (
            sum(check_order(hearing.said, name) for name in (b"a", b"b")) >= CONTRACT_BOUNDS.bus.max_waiting
        )

    async def test_shared_bus_tells_what_is_written_already(self, store: Store, peer: Store) -> None:
        """Whoever hears of a write reads it: the message never overtakes the data that it is about."""
        hearing = Hearing()
        await peer.bus.listen("news", hearing)
        for number in range(20):
            await store.kv.set("a", b"%d" % number)
            await store.bus.publish("news", b"%d" % number)
            await hearing.count(number + 1)
            assert await peer.kv.get("a") == b"%d" % number

    async def test_shared_bus_outlives_a_peer(self, store: Store, peer: Store) -> None:
        hearing = Hearing()
        await store.bus.listen("news", hearing)
        await peer.bus.listen("news", nothing)
        await peer.bus.publish("news", b"0")
        await hearing.count(1)
        await peer.aclose()
        await store.bus.publish("news", b"1")
        assert await hearing.count(2) == [b"0", b"1"]
