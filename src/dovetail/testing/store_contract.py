"""The suite that defines what a store is: every backend runs it, ours and yours.

Theory of operation
-------------------
Subclass `StoreContract` in a test module and give it two fixtures: `store`, a fresh and empty bundle with the
bounds `CONTRACT_BOUNDS`, and `advance`, a function that moves the store's clock by some seconds.
`VirtualClock` is such a clock. A backend that several processes share subclasses `SharedStoreContract` too,
whose fixture `peer` is a second bundle on the same data as `store`.

    class TestMyStore(StoreContract):
        @pytest.fixture
        def clock(self): return VirtualClock()

        @pytest.fixture
        def advance(self, clock): return clock.advance

        @pytest.fixture
        async def store(self, clock):
            async with contextlib.aclosing(MyStore(bounds=CONTRACT_BOUNDS, clock=clock)) as store:
                yield store

The tests are coroutines: pytest-asyncio in its auto mode runs them.

Specification: "Session Management" and "Resumability and Redelivery" in basic/transports of 2025-03-26 to
2025-11-25.
"""
# ruff: noqa: S101 - a suite of tests is made of assertions

from __future__ import annotations

import asyncio

try:
    import pytest
except ImportError as error:
    raise ImportError(
        "The contract suite of the stores runs in pytest: pip install pytest pytest-asyncio"
    ) from error

from dovetail.stores.contracts import Store
from dovetail.stores.errors import StoreClosed, StoreError
from dovetail.testing.bus_contract import BusContract, SharedBusContract
from dovetail.testing.event_log_contract import EventLogContract
from dovetail.testing.key_value_contract import SHARE, KeyValueContract, filled
from dovetail.testing.session_contract import SessionContract
from dovetail.testing.store_setting import CONTRACT_BOUNDS, Advance, VirtualClock, a_session, a_task, scanned
from dovetail.testing.task_store_contract import SharedTaskContract, TaskContract

__all__ = [
    "CONTRACT_BOUNDS",
    "Advance",
    "SharedStoreContract",
    "StoreContract",
    "VirtualClock",
    "a_session",
    "a_task",
]


class StoreContract(KeyValueContract, SessionContract, EventLogContract, BusContract, TaskContract):
    """What a bundle does. Subclass it with the fixtures `store` and `advance`."""

    async def test_store_serves_several_event_loops(self, store: Store) -> None:
        async def work(number: int) -> int:
            for step in range(5):
                await store.events.append(f"t{number}", b"%d" % step)
                await store.kv.set(f"k{number}", b"%d" % step)
            return await store.kv.take("prize") == b"1" and len(await store.events.read(f"t{number}", 0)) == 5

        await store.kv.set("prize", b"1")
        wins = await asyncio.gather(*(asyncio.to_thread(asyncio.run, work(number)) for number in range(4)))
        assert sum(wins) == 1
        assert len(await scanned(store, "k")) == 4

    async def test_store_bears_cancelled_callers(self, store: Store) -> None:
        tasks = [asyncio.ensure_future(store.events.append("s", b"x")) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        numbers = [number for number in done if isinstance(number, int)]
        assert len(set(numbers)) == len(numbers) >= 5
        assert max(numbers) <= await store.events.last("s") <= 10

    async def test_store_errors_quote_no_key(self, store: Store) -> None:
        secret = "not-to-be-told"  # noqa: S105 - a word to look for
        await store.sessions.create(a_session(secret))
        await store.events.append(secret, b"")
        await store.events.close(secret)
        await store.tasks.create(a_task(secret, owner=secret, queue=secret), max_unended=1)
        await store.tasks.claim(secret, {secret: None}, limit=1, lease=10)
        calls = (
            lambda: store.sessions.create(a_session(secret)),
            lambda: store.sessions.load(secret + "\0"),
            lambda: store.events.append(secret, b""),
            lambda: store.events.read(secret, 2),
            lambda: store.events.last(secret + "x"),
            lambda: store.tasks.create(a_task(secret), max_unended=1),
            lambda: store.tasks.create(a_task("t", owner=secret), max_unended=1),
            lambda: store.tasks.claim(secret + "\0", {"q": None}, limit=1, lease=1),
            lambda: store.tasks.record(secret, secret, b"x" * 4_090, holder=secret),
        )
        for call in calls:
            with pytest.raises(StoreError) as caught:
                await call()
            assert secret not in str(caught.value)

    async def test_store_once_closed_stays_closed(self, store: Store) -> None:
        await store.kv.set("a", b"1")
        await asyncio.gather(store.aclose(), store.aclose())
        await store.aclose()
        calls = (
            lambda: store.kv.get("a"),
            lambda: store.kv.set("a", b"2"),
            lambda: scanned(store),
            lambda: store.sessions.create(a_session()),
            lambda: store.sessions.load("s"),
            store.sessions.count,
            lambda: store.events.append("s", b""),
            lambda: store.events.read("s", 0),
            lambda: store.tasks.create(a_task(), max_unended=1),
            lambda: store.tasks.load("t"),
            lambda: store.tasks.update(a_task(), expected_version=0),
            lambda: store.tasks.claim("w", {"q": None}, limit=1, lease=1),
            lambda: store.tasks.claim_one("t", "w", most=None, lease=1),
            lambda: store.tasks.renew("w", ["t"], lease=1),
            lambda: store.tasks.next_due(["q"]),
            lambda: store.tasks.due("q", limit=1),
            lambda: store.tasks.record("t", "step", b"", holder="w"),
            lambda: store.tasks.recorded("t"),
            lambda: store.tasks.list("alice"),
            store.tasks.count,
            lambda: store.tasks.delete("t"),
        )
        for call in calls:
            with pytest.raises(StoreClosed):
                await call()


class SharedStoreContract(SharedBusContract, SharedTaskContract):
    """What two bundles on the same data do, wherever they run. Subclass it with the fixtures `store` and
    `peer`.
    """

    async def test_shared_writes_are_seen_at_once(self, store: Store, peer: Store) -> None:
        for number in range(20):
            await store.kv.set("a", b"%d" % number)
            assert await peer.kv.get("a") == b"%d" % number
            assert await peer.events.append("s", b"") == 2 * number + 1
            assert await store.events.append("s", b"") == 2 * number + 2
        await store.sessions.create(a_session())
        assert await peer.sessions.touch("s")
        assert await peer.sessions.count("alice") == 1

    async def test_shared_moves_have_one_winner(self, store: Store, peer: Store) -> None:
        for turn in range(5):
            await store.kv.set("a", b"prize")
            taken = await asyncio.gather(
                *(bundle.kv.take("a") for _ in range(50) for bundle in (store, peer))
            )
            assert taken.count(b"prize") == 1
            added = await asyncio.gather(
                *(bundle.kv.add(f"b{turn}", b"") for _ in range(50) for bundle in (store, peer))
            )
            assert added.count(True) == 1

    async def test_shared_caps_hold(self, store: Store, peer: Store) -> None:
        creations = (
            bundle.sessions.create(a_session(f"{name}{number}"))
            for number in range(10)
            for name, bundle in (("a", store), ("b", peer))
        )
        outcomes = await asyncio.gather(*creations, return_exceptions=True)
        assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 8
        assert await store.sessions.count() == await peer.sessions.count() == 8

    async def test_shared_room_is_counted_together(self, store: Store, peer: Store) -> None:
        views = [bundle.kv.within("one/", share=SHARE) for bundle in (store, peer)]
        outcomes = await asyncio.gather(
            *(view.set(f"{at}{number}", b"x" * 760) for number in range(50) for at, view in enumerate(views)),
            return_exceptions=True,
        )
        assert 55 <= outcomes.count(None) <= 64
        assert await filled(peer.kv.within("two/", share=SHARE)) >= 55

    async def test_shared_store_outlives_a_peer(self, store: Store, peer: Store) -> None:
        await peer.kv.set("a", b"1")
        await store.kv.get("a")
        await peer.aclose()
        assert await store.kv.take("a") == b"1"
