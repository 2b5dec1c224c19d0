"""What a `TaskStore` does: the fifth part of `store_contract`.

Theory of operation
-------------------
Run as a part of `StoreContract`, which says how.

Specification: none; the extension of tasks is served from such a store.
"""
# ruff: noqa: S101 - a suite of tests is made of assertions

from __future__ import annotations

import asyncio
from collections import Counter

from msgspec.structs import replace

from dovetail.stores.contracts import Store
from dovetail.testing.claimed_task_contract import ClaimedTaskContract
from dovetail.testing.kept_task_contract import KeptTaskContract
from dovetail.testing.store_setting import a_task
from dovetail.testing.task_setting import claimed, created, ended, loaded

__all__ = ["SharedTaskContract", "TaskContract"]


class TaskContract(KeptTaskContract, ClaimedTaskContract):
    """What a `TaskStore` does."""


class SharedTaskContract:
    """What two bundles on the same tasks do. Fixtures: `store` and `peer`."""

    async def test_shared_tasks_are_seen_at_once(self, store: Store, peer: Store) -> None:
        for number in range(10):
            record = await created(store, a_task(f"{number}"))
            assert await peer.tasks.load(f"{number}") == record
            (held,) = await claimed(peer, "peer")
            assert await loaded(store, f"{number}") == held
            assert await claimed(store) == []
            assert await peer.tasks.record(held.id, "step", b"1", holder="peer")
            assert await store.tasks.recorded(held.id) == {"step": b"1"}
            done = await ended(peer, held)
            assert (await store.tasks.list("alice"))[-1] == done
            assert await store.tasks.count(ended=True) == number + 1

    async def test_shared_tasks_are_claimed_by_one(self, store: Store, peer: Store) -> None:
        for number in range(40):
            await created(store, a_task(f"{number}", owner=f"o{number % 4}"))
        pages = await asyncio.gather(
            *(
                claimed(bundle, f"{name}{number}", limit=2, q=30)
                for number in range(20)
                for name, bundle in (("w", store), ("p", peer))
            )
        )
        taken = [record for page in pages for record in page]
        assert len({record.id for record in taken}) == len(taken) == 30
        assert {record.attempts for record in taken} == {1}
        assert sorted(Counter(record.owner for record in taken).values()) == [7, 7, 8, 8]
        await asyncio.gather(
            *(ended(bundle, each) for each, bundle in zip(taken, [store, peer] * 15, strict=True))
        )
        rest = [*await claimed(peer, limit=6, q=10), *await claimed(store, limit=99, q=10)]
        assert len({record.id for record in [*taken, *rest]}) == 40

    async def test_shared_task_limits_hold(self, store: Store, peer: Store) -> None:
        outcomes = await asyncio.gather(
            *(
                bundle.tasks.create(a_task(f"{name}{number}"), max_unended=9)
                for number in range(20)
                for name, bundle in (("w", store), ("p", peer))
            ),
            return_exceptions=True,
        )
        assert outcomes.count(None) == await store.tasks.count() == await peer.tasks.count() == 9

    async def test_shared_task_that_is_named_is_given_once(self, store: Store, peer: Store) -> None:
        for number in range(10):
            await created(store, a_task(f"{number}"))
        taken = await asyncio.gather(
            *(
                bundle.tasks.claim_one(f"{number}", f"w{place}", most=7, lease=30)
                for number in range(10)
                for place, bundle in enumerate((store, peer, store, peer))
            )
        )
        assert len({record.id for record in taken if record is not None}) == 7
        assert sum(record is not None for record in taken) == 7
        assert len(await peer.tasks.due("q", limit=99)) == 3

    async def test_shared_task_changes_have_one_winner(self, store: Store, peer: Store) -> None:
        record = await created(store)
        outcomes = await asyncio.gather(
            *(
                bundle.tasks.update(replace(record, data=b"%d" % number), expected_version=0)
                for number in range(20)
                for bundle in (store, peer)
            )
        )
        assert [outcome for outcome in outcomes if outcome is not None] == [await loaded(peer)]

    async def test_shared_task_that_is_ended_elsewhere_is_lost(self, store: Store, peer: Store) -> None:
        await created(store)
        (held,) = await claimed(peer, "peer", lease=10)
        assert 0 < (await store.tasks.next_due(["q"]) or 0) <= 10
        assert not await store.tasks.record("t", "step", b"", holder="w")
        done = await ended(store, held)
        assert await peer.tasks.update(held, expected_version=held.version) is None
        assert not await peer.tasks.record("t", "step", b"", holder="peer")
        assert await peer.tasks.renew("peer", ["t"], lease=10) == set()
        assert await peer.tasks.load("t") == done
