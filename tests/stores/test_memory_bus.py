"""The bus in memory, and what every bus hands its messages to: queues with bounds, and a word for each gap."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from dovetail.stores import BusBounds, MemoryBus
from dovetail.stores.listeners import BusListeners
from dovetail.testing.bus_contract import Hearing

SMALL = BusBounds(max_message=100, max_waiting=4, max_waiting_bytes=150)


async def test_a_gap_is_told_where_it_is() -> None:
    listeners, hearing = BusListeners(SMALL), Hearing()
    listeners.add("news", hearing)
    for number in range(10):
        listeners.tell("news", b"%d" % number)
    await asyncio.sleep(0)
    listeners.tell("news", b"after")
    listeners.tell_all_of_a_gap()
    listeners.tell("news", None)
    await asyncio.sleep(0)
    assert hearing.said == [b"0", b"1", b"2", b"3", None, b"after", None]


async def test_a_queue_is_bounded_in_bytes_too() -> None:
    listeners, hearing = BusListeners(SMALL), Hearing()
    listeners.add("news", hearing)
    for size in (100, 51, 50):
        listeners.tell("news", b"x" * size)
    await asyncio.sleep(0)
    listeners.tell("news", b"y" * 151)
    await asyncio.sleep(0)
    assert hearing.said == [b"x" * 100, None, b"x" * 50, b"y" * 151], "one that is alone always fits"


async def test_a_publisher_lets_the_listeners_of_its_loop_hear() -> None:
    bus, hearing = MemoryBus(SMALL), Hearing()
    await bus.listen("news", hearing)
    for number in range(100):
        await bus.publish("news", b"%d" % number)
    assert await hearing.count(100) == [b"%d" % number for number in range(100)]


async def test_a_listener_hears_in_its_own_context() -> None:
    caller = contextvars.ContextVar("caller", default="nobody")
    bus, heard, whole = MemoryBus(), list[str](), Hearing()

    def hear(data: bytes | None) -> None:
        heard.append(caller.get())
        whole(data)

    caller.set("the listener")
    await bus.listen("news", hear)
    caller.set("the publisher")
    await bus.publish("news", b"")
    await whole.count(1)
    assert heard == ["the listener"]


async def test_a_listener_that_ends_the_loop_of_its_turn_hears_the_rest_later() -> None:
    """What is no `Exception` goes to the event loop, and the queue is not stuck after it."""
    loop, hearing, raised = asyncio.get_running_loop(), Hearing(), list[BaseException]()
    loop.set_exception_handler(lambda loop, context: raised.append(context["exception"]))
    bus = MemoryBus()

    def hear(data: bytes | None) -> None:
        hearing(data)
        if data == b"0":
            raise asyncio.CancelledError

    await bus.listen("news", hear)
    for number in range(3):
        await bus.publish("news", b"%d" % number)
    assert await hearing.count(3) == [b"0", b"1", b"2"]
    assert [type(error) for error in raised] == [asyncio.CancelledError]


async def test_whoever_has_left_is_forgotten() -> None:
    vacated = list[str]()
    listeners = BusListeners(SMALL, vacated.append)

    async def leave_without_a_word() -> None:
        listeners.add("news", Hearing())

    ends = [listeners.add("news", Hearing()) for _ in range(2)]
    await asyncio.to_thread(asyncio.run, leave_without_a_word())
    ends[0]()
    ends[1]()
    assert listeners.on("news")
    assert vacated == []
    listeners.tell("news", b"finds out that its loop is closed")
    assert not listeners.on("news")
    assert vacated == ["news"]
    ends[0]()
    assert vacated == ["news"]


@pytest.mark.parametrize("size", [0, 100])
async def test_what_waits_when_it_ends_is_not_heard(size: int) -> None:
    bus, hearing = MemoryBus(SMALL), Hearing()
    end = await bus.listen("news", hearing)
    await bus.publish("news", b"x" * (size // 4))
    end()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert hearing.said == []
