"""Who may claim a task, and when: the second half of `task_store_contract`.

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

from dovetail.stores.contracts import Store, TaskRecord
from dovetail.testing.store_setting import Advance, a_task
from dovetail.testing.task_setting import ANY, claimed, created, ended, ids, loaded

__all__ = ["ClaimedTaskContract"]


class ClaimedTaskContract:
    """Who may claim a task, and when."""

    async def test_task_claim_takes_what_is_due(self, store: Store, advance: Advance) -> None:
        now = (await created(store, a_task("never", due=None))).created
        await created(store, a_task("elsewhere", queue="p"))
        for id, due in (("soon", now + 10), ("second", now - 1), ("first", now - 2), ("now", now)):
            await created(store, a_task(id, due=due))
        assert ids(await claimed(store, limit=2)) == ["first", "second"]
        assert ids(await claimed(store, limit=9)) == ["now"]
        advance(9.75)
        assert await claimed(store) == []
        advance(0.25)
        (held,) = await claimed(store, "v")
        assert held == replace(
            await loaded(store, "soon"), holder="v", version=1, attempts=1, updated=now + 10
        )
        assert (await loaded(store, "soon")) == held
        assert ids(await claimed(store, limit=9, p=None, q=None)) == ["elsewhere"]
        assert (await loaded(store, "never")).holder == ""

    async def test_task_no_attempt_is_given_twice(self, store: Store, advance: Advance) -> None:
        for number in range(40):
            await created(store, a_task(f"{number}", owner=f"o{number % 3}"))
        for attempt in range(1, 4):
            pages = await asyncio.gather(
                *(claimed(store, f"w{worker}", limit=1 + worker % 3, lease=10) for worker in range(30))
            )
            taken = [record for page in pages for record in page]
            assert len(taken) == 40
            assert len({record.id for record in taken}) == 40
            assert {(record.attempts, record.version) for record in taken} == {(attempt, attempt)}
            for worker, page in enumerate(pages):
                assert {record.holder for record in page} <= {f"w{worker}"}
            advance(10)

    async def test_task_lease_ends_by_the_clock_of_the_store(self, store: Store, advance: Advance) -> None:
        await created(store)
        (first,) = await claimed(store, "w", lease=10)
        assert await claimed(store, "v") == []
        advance(9.75)
        assert await claimed(store, "v") == []
        advance(0.25)
        (second,) = await claimed(store, "v", lease=10)
        assert (second.holder, second.attempts, second.version) == ("v", 2, 2)
        assert await store.tasks.update(replace(first, data=b"late"), expected_version=1) is None
        assert await store.tasks.renew("w", ["t"], lease=10) == set()
        assert not await store.tasks.record("t", "step", b"late", holder="w")
        assert await store.tasks.recorded("t") == {}
        assert await loaded(store) == second
        assert await store.tasks.record("t", "step", b"", holder="v")

    async def test_task_lease_that_is_over_takes_nothing_by_itself(
        self, store: Store, advance: Advance
    ) -> None:
        for id in ("updates", "renews", "records"):
            await created(store, a_task(id, queue=id))
            await store.tasks.claim("w", {id: 1}, limit=1, lease=10)
        advance(20)
        assert (await loaded(store, "renews")).holder == "w"
        assert await store.tasks.record("records", "step", b"1", holder="w")
        assert await store.tasks.renew("w", ["renews"], lease=10) == {"renews"}
        assert await claimed(store, "v", renews=1) == []
        record = await loaded(store, "updates")
        after = await store.tasks.update(replace(record, data=b"more"), expected_version=1)
        assert after is not None
        assert after.holder == "w"
        again = await claimed(store, "v", limit=9, updates=1, records=1, renews=1)
        assert sorted(ids(again)) == ["records", "updates"]

    async def test_task_leases_are_renewed(self, store: Store, advance: Advance) -> None:
        now = (await created(store, a_task("clock", queue="p"))).created
        for id in ("long", "short", "done", "free", "gone", "other", "idle"):
            expires = now + 5 if id == "gone" else None
            await created(store, a_task(id, expires=expires, due=None if id == "idle" else now - len(id)))
            await claimed(store, "v" if id == "other" else "w", lease=10)
        await ended(store, await loaded(store, "done"))
        free = await loaded(store, "free")
        assert await store.tasks.update(replace(free, holder=""), expected_version=1) is not None
        advance(5)
        names = ["long", "short", "done", "free", "gone", "other", "idle", "unknown"]
        before = await loaded(store, "long")
        assert await store.tasks.renew("w", names, lease=20) == {"long", "short"}
        assert await loaded(store, "long") == before, "to renew is no change"
        assert await store.tasks.renew("w", {"short"}, lease=1) == {"short"}
        assert ids(await claimed(store, "x", limit=9, lease=100)) == ["free"]
        advance(1)
        assert ids(await claimed(store, "x", limit=9, lease=100)) == ["short"]
        advance(4)
        assert ids(await claimed(store, "x", limit=9, lease=100)) == ["other"]
        advance(14.75)
        assert await claimed(store, "x") == []
        advance(0.25)
        assert ids(await claimed(store, "x", limit=9)) == ["long"]

    async def test_task_is_held_through_changes(self, store: Store, advance: Advance) -> None:
        await created(store)
        (held,) = await claimed(store, lease=10)
        advance(6)
        after = await store.tasks.update(replace(held, data=b"more"), expected_version=1)
        assert after is not None
        assert (after.holder, after.version, after.attempts) == ("w", 2, 1)
        assert await store.tasks.record("t", "step", b"", holder="w")
        assert await claimed(store, "v") == []
        advance(3.75)
        assert await claimed(store, "v") == []
        advance(0.25)
        assert ids(await claimed(store, "v")) == ["t"]

    async def test_task_may_be_let_go(self, store: Store, advance: Advance) -> None:
        now = (await created(store)).created
        (held,) = await claimed(store)
        waiting = await store.tasks.update(replace(held, holder="", due=None), expected_version=1)
        assert waiting == replace(held, holder="", due=None, version=2)
        assert await claimed(store, "v") == []
        assert await store.tasks.renew("w", ["t"], lease=5) == set()
        later = await store.tasks.update(replace(held, holder="", due=now + 5), expected_version=2)
        assert later is not None
        assert await claimed(store, "v") == []
        advance(5)
        (again,) = await claimed(store, "v")
        assert (again.attempts, again.version) == (2, 4)

    async def test_task_may_be_handed_over(self, store: Store, advance: Advance) -> None:
        await created(store)
        (held,) = await claimed(store, "w", lease=10)
        over = await store.tasks.update(replace(held, holder="v"), expected_version=1)
        assert over is not None
        assert over.holder == "v"
        assert not await store.tasks.record("t", "step", b"", holder="w")
        assert await store.tasks.renew("w", ["t"], lease=10) == set()
        assert await claimed(store, "x") == []
        advance(10)
        assert ids(await claimed(store, "x")) == ["t"]
        await created(store, a_task("u"))
        named = await store.tasks.update(replace(a_task("u"), holder="y"), expected_version=0)
        assert named is not None
        assert named.holder == "y"
        assert ids(await claimed(store, "x")) == ["u"], "nobody held it, so it has no lease"

    async def test_task_owners_take_turns(self, store: Store, advance: Advance) -> None:
        now = (await created(store, a_task("clock", queue="p"))).created
        for number in range(12):
            await created(store, a_task(f"a{number:02}", due=now - 100 + number))
        for number in range(3):
            await created(store, a_task(f"b{number}", owner="bob", due=now - 10 + number))
        await created(store, a_task("c0", owner="carol", due=now - 5))
        assert ids(await claimed(store, limit=5, lease=10)) == ["a00", "b0", "c0", "a01", "b1"]
        assert ids(await claimed(store, "v", limit=2, lease=20)) == ["a02", "b2"]
        await created(store, a_task("d0", owner="dave", due=now))
        assert ids(await claimed(store, limit=2, lease=20)) == ["d0", "a03"]
        await created(store, a_task("c1", owner="carol", due=now))
        assert ids(await claimed(store, limit=1, lease=20)) == ["c1"], "carol has one, alice four"
        await ended(store, await loaded(store, "c1"))
        await created(store, a_task("c2", owner="carol", due=now))
        await created(store, a_task("d1", owner="dave", due=now - 1))
        assert ids(await claimed(store, limit=1, lease=20)) == ["d1"], "one each: the one due for longest"
        advance(10)
        assert ids(await claimed(store, limit=3)) == ["c0", "b0", "c2"], "alice still has two, dave too"

    async def test_task_what_is_held_elsewhere_counts_for_its_owner(self, store: Store) -> None:
        now = (await created(store, a_task("clock", queue="r"))).created
        for number in range(3):
            await created(store, a_task(f"p{number}", queue="p"))
        assert len(await claimed(store, limit=2, p=None)) == 2
        await created(store, a_task("a", due=now - 100))
        await created(store, a_task("b0", owner="bob", due=now - 10))
        await created(store, a_task("b1", owner="bob", due=now - 9))
        await created(store, a_task("b2", owner="bob", due=now - 8))
        assert ids(await claimed(store, limit=3, p=2, q=None)) == ["b0", "b1", "a"]

    async def test_task_order_holds_across_queues(self, store: Store) -> None:
        now = (await created(store, a_task("clock", queue="r"))).created
        for number in range(6):
            await created(store, a_task(f"{number}", queue="pq"[number % 2], due=now - 10 + number))
        assert ids(await claimed(store, limit=9, q=None, p=None)) == ["0", "1", "2", "3", "4", "5"]

    async def test_task_queues_have_limits_over_all_holders(self, store: Store, advance: Advance) -> None:
        now = (await created(store, a_task("clock", queue="r"))).created
        for number in range(12):
            expires = now + 5 if number == 0 else None
            await created(
                store, a_task(f"{number:02}", owner=f"o{number}", due=now - 20 + number, expires=expires)
            )
        await created(store, a_task("p", queue="p", due=now))
        first = await claimed(store, "w", limit=2, lease=10, q=3)
        second = await claimed(store, "v", limit=2, lease=20, q=3)
        assert [ids(first), ids(second)] == [["00", "01"], ["02"]]
        assert ids(await claimed(store, "x", limit=5, q=3, p=1)) == ["p"]
        assert await claimed(store, q=2) == []
        assert await claimed(store, q=0) == []
        assert ids(await claimed(store, "x", limit=9, lease=20, q=4)) == ["03"]
        await ended(store, second[0])
        assert ids(await claimed(store, "x", limit=9, lease=20, q=4)) == ["04"]
        assert await store.tasks.delete("04")
        assert ids(await claimed(store, "x", limit=9, lease=20, q=4)) == ["05"]
        held = await loaded(store, "05")
        await store.tasks.update(replace(held, holder="", due=None), expected_version=1)
        assert ids(await claimed(store, "x", limit=9, lease=20, q=4)) == ["06"]
        advance(5)
        assert ids(await claimed(store, "x", limit=9, lease=20, q=4)) == ["07"], "00 expired"
        advance(5)
        assert ids(await claimed(store, "x", limit=9, lease=20, q=4)) == ["01"], "its lease is over"
        assert len(await claimed(store, "x", limit=9, q=None)) == 4

    async def test_task_limits_of_queues_hold_in_a_crowd(self, store: Store) -> None:
        for number in range(30):
            await created(store, a_task(f"{number}"))
        pages = await asyncio.gather(*(claimed(store, f"w{number}", limit=2, q=7) for number in range(20)))
        assert sum(map(len, pages)) == 7

    async def test_task_next_due(self, store: Store, advance: Advance) -> None:
        due = store.tasks.next_due
        assert await due(["q"]) is None
        now = (await created(store, a_task("asks", due=None))).created
        assert await due(["q"]) is None
        await created(store, a_task("later", due=now + 10, expires=now + 50))
        await created(store, a_task("other", due=now + 5, queue="p"))
        assert (await due(["q"]), await due(["p"]), await due(["q", "p", "r"])) == (10, 5, 5)
        advance(4)
        assert (await due(["q"]), await due(["p", "q"])) == (6, 1)
        advance(16)
        assert await due(["q"]) == 0
        await claimed(store, lease=12)
        assert await due(["q"]) == 12
        assert await store.tasks.renew("w", ["later"], lease=20) == {"later"}
        advance(5)
        assert await due(["q"]) == 15
        held = await loaded(store, "later")
        await store.tasks.update(replace(held, due=None), expected_version=1)
        assert await due(["q"]) == 15, "what is held is looked at again"
        advance(15)
        assert await due(["q"]) is None, "nobody may claim it"
        await store.tasks.update(replace(held, due=0.0), expected_version=2)
        assert await due(["q"]) == 0
        advance(10)
        assert await due(["q"]) is None, "it expired"
        await ended(store, await loaded(store, "other"))
        assert await due(["p"]) is None
        await created(store, a_task("once", queue="p"))
        await store.tasks.delete("once")
        assert await due(["p"]) is None

    async def test_task_claim_of_one_is_out_of_turn(self, store: Store, advance: Advance) -> None:
        async def one(id: str, holder: str = "w", *, most: int | None = None) -> TaskRecord | None:
            return await store.tasks.claim_one(id, holder, most=most, lease=10)

        now = (await created(store, a_task("first"))).created
        await created(store, a_task("last"))
        await created(store, a_task("later", due=now + 5))
        await created(store, a_task("never", due=None))
        await created(store, a_task("gone", due=now - 9, expires=now + 1))
        held = await one("last")
        assert held == replace(
            held or a_task(), id="last", holder="w", version=1, attempts=1, status="working"
        )
        assert await loaded(store, "last") == held
        assert [await one(id, "v") for id in ("last", "later", "never", "none")] == [None] * 4
        assert sorted(ids(await claimed(store, "v", limit=9))) == ["first", "gone"]
        advance(5)
        assert await one("gone") is None, "it expired"
        assert (await one("later", "u")) is not None
        advance(5)
        again = await one("last", "v")
        assert again is not None
        assert (again.holder, again.attempts, again.version) == ("v", 2, 2), "the lease was over"
        assert await store.tasks.renew("w", ["last"], lease=10) == set()
        await ended(store, again)
        assert await one("last") is None
        await store.tasks.update(replace(await loaded(store, "never"), due=0.0), expected_version=0)
        assert (await one("never")) is not None

    async def test_task_claim_of_one_keeps_the_limit_of_its_queue(
        self, store: Store, advance: Advance
    ) -> None:
        for number in range(6):
            await created(store, a_task(f"{number}", owner=f"o{number}"))
        await created(store, a_task("p", queue="p"))
        assert len(await claimed(store, limit=1, lease=10, q=2)) == 1
        outcomes = await asyncio.gather(
            *(store.tasks.claim_one(f"{number}", "v", most=3, lease=20) for number in range(6))
        )
        assert sum(each is not None for each in outcomes) == 2
        assert await store.tasks.claim_one("p", "v", most=1, lease=10) is not None
        waiting = await store.tasks.due("q", limit=9)
        assert await store.tasks.claim_one(waiting[0], "v", most=3, lease=10) is None
        assert await store.tasks.claim_one(waiting[0], "v", most=0, lease=10) is None
        advance(10)
        assert await store.tasks.claim_one(waiting[0], "v", most=3, lease=10) is not None, "a lease is over"
        assert await store.tasks.claim_one(waiting[1], "v", most=3, lease=10) is None
        assert await store.tasks.claim_one(waiting[1], "v", most=None, lease=10) is not None

    async def test_task_due_names_what_may_be_claimed(self, store: Store, advance: Advance) -> None:
        due = store.tasks.due
        assert await due("q", limit=9) == []
        now = (await created(store, a_task("never", due=None))).created
        for number, id in enumerate(("c", "a", "b")):
            await created(store, a_task(id, owner=f"o{number}", due=now - 2))
        await created(store, a_task("oldest", due=now - 3))
        await created(store, a_task("later", due=now + 5))
        await created(store, a_task("brief", due=now - 1, expires=now + 1))
        await created(store, a_task("other", queue="p"))
        assert await due("q", limit=9) == ["oldest", "a", "b", "c", "brief"]
        assert await due("q", limit=2) == ["oldest", "a"]
        assert await due("p", limit=9) == ["other"]
        assert (await loaded(store, "oldest")).version == 0
        assert ids(await claimed(store, limit=2, lease=10)) == ["oldest", "a"]
        assert await due("q", limit=9) == ["b", "c", "brief"]
        advance(5)
        assert await due("q", limit=9) == ["b", "c", "later"]
        advance(5)
        assert await due("q", limit=9) == ["oldest", "a", "b", "c", "later"], "the leases are over"
        assert await due("q", limit=3) == ["oldest", "a", "b"]
        await ended(store, await loaded(store, "oldest"))
        assert await store.tasks.renew("w", ["a"], lease=10) == {"a"}
        assert await due("q", limit=9) == ["b", "c", "later"]

    async def test_task_store_serves_several_event_loops(self, store: Store) -> None:
        for number in range(60):
            await created(store, a_task(f"{number}", owner=f"o{number % 5}"))

        async def work(worker: str) -> list[str]:
            done: list[str] = []
            while held := await store.tasks.claim(worker, ANY, limit=2, lease=30):
                for record in held:
                    assert await store.tasks.record(record.id, "by", worker.encode(), holder=worker)
                    await ended(store, record)
                    done.append(record.id)
            return done

        done = await asyncio.gather(
            *(asyncio.to_thread(asyncio.run, work(f"w{number}")) for number in range(4))
        )
        assert Counter(id for each in done for id in each) == Counter(f"{number}" for number in range(60))
        assert await store.tasks.count(ended=True) == 60
        for worker, each in enumerate(done):
            for id in each:
                assert await store.tasks.recorded(id) == {"by": b"w%d" % worker}

    async def test_task_store_bears_cancelled_callers(self, store: Store, advance: Advance) -> None:
        creating = [asyncio.ensure_future(created(store, a_task(f"{number}"))) for number in range(20)]
        await asyncio.sleep(0)
        for task in creating[::3]:
            task.cancel()
        outcomes = await asyncio.gather(*creating, return_exceptions=True)
        there = {record.id for record in await store.tasks.list("alice")}
        assert {record.id for record in outcomes if isinstance(record, TaskRecord)} <= there
        claiming = [asyncio.ensure_future(claimed(store, f"w{n}", limit=2, lease=10)) for n in range(20)]
        await asyncio.sleep(0)
        for task in claiming[::2]:
            task.cancel()
        pages = await asyncio.gather(*claiming, return_exceptions=True)
        got = [record.id for page in pages if not isinstance(page, BaseException) for record in page]
        assert len(got) == len(set(got))
        advance(10)
        assert {record.id for record in await claimed(store, limit=99)} == there, "none is lost"
