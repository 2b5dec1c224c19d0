"""An observed store keeps the contract of stores, says that it is what it wraps, and tells of each operation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from dovetail.runtime.observed_store import ObservedStore
from dovetail.runtime.observer import ObserverGroup
from dovetail.stores import MemoryStore, ValueTooLarge
from dovetail.telemetry import ObservedOperation, Observer
from dovetail.testing.store_contract import CONTRACT_BOUNDS, StoreContract, VirtualClock


class Noting(Observer):
    def __init__(self) -> None:
        self.ended: list[ObservedOperation] = []

    def end(self, operation: ObservedOperation, begun: Any) -> None:
        self.ended.append(operation)


class TestObservedStore(StoreContract):
    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def advance(self, clock: VirtualClock) -> Callable[[float], None]:
        return clock.advance

    @pytest.fixture
    async def store(self, clock: VirtualClock) -> AsyncIterator[Any]:
        inner = MemoryStore(bounds=CONTRACT_BOUNDS, clock=clock)
        async with aclosing(ObservedStore(inner, ObserverGroup([Noting()]))) as store:
            yield store


async def test_it_says_what_it_wraps_and_tells_of_each_operation() -> None:
    noting = Noting()
    store: Any = ObservedStore(MemoryStore(bounds=CONTRACT_BOUNDS), ObserverGroup([noting]))
    assert isinstance(store, MemoryStore)
    await store.kv.set("a", b"1")
    assert await store.kv.within("x/").get("b") is None
    with pytest.raises(ValueTooLarge):
        await store.kv.set("a", b"1" * 100_000_000)
    told = [(each.role, each.method, each.backend, each.error_type) for each in noting.ended]
    assert told == [
        ("store", "kv.set", "memory", ""),
        ("store", "kv.get", "memory", ""),
        ("store", "kv.set", "memory", "ValueTooLarge"),
    ]
    await store.aclose()
