"""A store made of parts of several does what each of them does, and closes them all, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest

from dovetail.stores import MemoryStore, MixedStore, StoreClosed, StoreUnavailable
from dovetail.testing.store_contract import CONTRACT_BOUNDS, StoreContract, VirtualClock


class Counting(MemoryStore):
    closed = 0
    failing = False

    async def aclose(self) -> None:
        self.closed += 1
        await super().aclose()
        if self.failing:
            raise StoreUnavailable("It does not answer.")


class TestMixedStore(StoreContract):
    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def advance(self, clock: VirtualClock) -> Callable[[float], None]:
        return clock.advance

    @pytest.fixture
    async def store(self, clock: VirtualClock) -> AsyncIterator[MixedStore]:
        stores = [MemoryStore(bounds=CONTRACT_BOUNDS, clock=clock) for _ in range(4)]
        async with aclosing(
            MixedStore(stores[0], sessions=stores[1], bus=stores[2], tasks=stores[3])
        ) as store:
            yield store


async def test_each_part_comes_from_the_store_named_for_it() -> None:
    rest, kv, sessions, events, bus, tasks = (MemoryStore() for _ in range(6))
    mixed = MixedStore(rest, kv=kv, sessions=sessions, events=events, bus=bus, tasks=tasks)
    assert (mixed.kv, mixed.sessions, mixed.events, mixed.bus, mixed.tasks) == (
        kv.kv,
        sessions.sessions,
        events.events,
        bus.bus,
        tasks.tasks,
    )
    mixed = MixedStore(rest)
    assert (mixed.kv, mixed.sessions, mixed.events, mixed.bus, mixed.tasks) == (
        rest.kv,
        rest.sessions,
        rest.events,
        rest.bus,
        rest.tasks,
    )


async def test_all_are_closed_once_even_where_one_fails() -> None:
    rest, one, other = Counting(), Counting(), Counting()
    rest.failing = True
    mixed = MixedStore(rest, kv=one, sessions=one, events=rest, bus=other)
    with pytest.raises(StoreUnavailable):
        await mixed.aclose()
    assert [store.closed for store in (rest, one, other)] == [1, 1, 1]
    rest.failing = False
    await asyncio.gather(mixed.aclose(), mixed.aclose())
    with pytest.raises(StoreClosed):
        await mixed.bus.publish("news", b"")
