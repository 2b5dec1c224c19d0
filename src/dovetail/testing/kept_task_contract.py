"""What becomes of a task that is kept: the first half of `task_store_contract`.

Theory of operation
-------------------
Run as a part of `StoreContract`, which says how.

Specification: none; the extension of tasks is served from such a store.
"""
# ruff: noqa: S101 - a suite of tests is made of assertions

from __future__ import annotations

import asyncio
from typing import cast

try:
    import pytest
except ImportError as error:
    raise ImportError(
        "The contract suite of the stores runs in pytest: pip install pytest pytest-asyncio"
    ) from error

from msgspec.structs import replace

from dovetail.stores.contracts import Store, TaskRecord
from dovetail.stores.errors import KeyInvalid, StoreFull, TaskExists, TooManyTasks, ValueTooLarge
from dovetail.testing.store_setting import BAD_KEYS, Advance, a_task
from dovetail.testing.task_setting import ANY, UNUSUAL, claimed, created, ended, ids, loaded

__all__ = ["KeptTaskContract"]


class KeptTaskContract:
    """What becomes of a task that is kept."""

    async def test_task_is_kept_as_created(self, store: Store) -> None:
        assert await store.tasks.load("t") is None
        given = replace(
            a_task(due=2e11, expires=3e11, data=b"\0\xff"), version=7, attempts=3, holder="somebody"
        )
        assert await store.tasks.create(given, max_unended=1) is None
        record = await loaded(store)
        assert record == replace(
            given, version=0, attempts=0, holder="", created=record.created, updated=record.created
        )
        assert record.created < 1e11, "times ahead of the clock count as now"
        with pytest.raises(TaskExists):
            await store.tasks.create(a_task(owner="mallory"), max_unended=10)
        assert await loaded(store) == record
        assert await store.tasks.delete("t")
        assert not await store.tasks.delete("t")
        assert await store.tasks.load("t") is None

    async def test_task_times_in_the_past_stay(self, store: Store) -> None:
        record = await created(store, created=5.25, updated=6.5, due=7.125)
        assert (record.created, record.updated, record.due) == (5.25, 6.5, 7.125)

    async def test_task_that_ended_before_it_was_kept_is_never_due(self, store: Store) -> None:
        record = await created(store, ended=True, status="failed")
        assert (record.ended, record.due, record.status) == (True, None, "failed")
        assert await claimed(store) == []
        assert await store.tasks.count("alice", ended=True) == 1

    async def test_task_update_replaces_what_may_change(self, store: Store, advance: Advance) -> None:
        before = await created(store)
        advance(5)
        wish = TaskRecord(
            id="t",
            owner="mallory",
            queue="other",
            version=99,
            status="input_required",
            created=1.0,
            updated=1.0,
            expires=3e11,
            due=None,
            holder="",
            attempts=99,
            data=b"\0\xff",
        )
        after = await store.tasks.update(wish, expected_version=0)
        assert after == replace(
            before,
            version=1,
            status="input_required",
            updated=before.created + 5,
            expires=3e11,
            due=None,
            data=b"\0\xff",
        )
        assert await loaded(store) == after
        assert await store.tasks.list("mallory") == []
        assert await claimed(store, other=None) == []

    async def test_task_update_compares_versions(self, store: Store) -> None:
        record = await created(store)
        assert await store.tasks.update(record, expected_version=1) is None
        assert await store.tasks.update(a_task("other"), expected_version=0) is None
        first = await store.tasks.update(replace(record, data=b"1"), expected_version=0)
        assert first is not None
        assert await store.tasks.update(replace(record, data=b"2"), expected_version=0) is None
        assert await loaded(store) == first

    async def test_task_one_of_many_updaters_wins(self, store: Store) -> None:
        record = await created(store)
        outcomes = await asyncio.gather(
            *(
                store.tasks.update(replace(record, data=b"%d" % number), expected_version=0)
                for number in range(50)
            )
        )
        assert [outcome for outcome in outcomes if outcome is not None] == [await loaded(store)]

    async def test_task_that_ended_never_changes(self, store: Store, advance: Advance) -> None:
        await created(store)
        (held,) = await claimed(store)
        done = await ended(store, held, data=b"result")
        assert (done.holder, done.due, done.ended, done.version) == ("", None, True, 2)
        assert await loaded(store) == done
        again = await store.tasks.update(replace(done, ended=False, due=0.0), expected_version=done.version)
        assert again is None
        assert await store.tasks.renew("w", ["t"], lease=10) == set()
        assert not await store.tasks.record("t", "step", b"", holder="w")
        advance(100)
        assert await claimed(store) == []
        assert await loaded(store) == done

    async def test_task_expiry_in_every_state(self, store: Store, advance: Advance) -> None:
        at = (await created(store, a_task("clock"))).created + 10
        await store.tasks.delete("clock")
        for id, due in (("held", 0.0), ("lapsed", 0.0), ("waits", 0.0), ("later", at + 5), ("asks", None)):
            await created(store, a_task(id, due=due, queue=id, expires=at))
        await ended(store, await created(store, a_task("ended", expires=at)))
        await claimed(store, lease=30, held=None)
        await claimed(store, lease=5, lapsed=None)
        names = ["held", "lapsed", "waits", "later", "asks", "ended"]
        assert await store.tasks.record("held", "step", b"1", holder="w")
        advance(9.75)
        assert sorted(ids(await store.tasks.list("alice"))) == sorted(names)
        before = {name: await loaded(store, name) for name in names}
        advance(0.25)
        for name in names:
            assert await store.tasks.load(name) is None
            assert await store.tasks.update(before[name], expected_version=before[name].version) is None
            assert await store.tasks.recorded(name) == {}
            assert not await store.tasks.record(name, "step", b"2", holder="w")
            assert await store.tasks.next_due([name]) is None
            assert not await store.tasks.delete(name)
        assert await store.tasks.renew("w", names, lease=10) == set()
        assert await store.tasks.claim("w", dict.fromkeys(names), limit=9, lease=10) == []
        assert await store.tasks.list("alice") == []
        assert await store.tasks.count() == 0
        again = await created(store, a_task("held"))
        assert (again.version, again.attempts) == (0, 0)
        assert await store.tasks.recorded("held") == {}, "its name is another task's now"

    async def test_task_expiry_can_be_moved(self, store: Store, advance: Advance) -> None:
        now = (await created(store, a_task("ever"))).created
        for id in ("longer", "shorter", "never"):
            await created(store, a_task(id, expires=now + 100))
        for id, expires in (("longer", now + 1000), ("shorter", now + 10), ("never", None)):
            record = replace(await loaded(store, id), expires=expires)
            assert await store.tasks.update(record, expected_version=0) is not None
        advance(10)
        assert sorted(ids(await store.tasks.list("alice"))) == ["ever", "longer", "never"]
        advance(100)
        assert sorted(ids(await store.tasks.list("alice"))) == ["ever", "longer", "never"]
        advance(1e9)
        assert sorted(ids(await store.tasks.list("alice"))) == ["ever", "never"]
        gone = replace(await loaded(store, "ever"), expires=1.0)
        assert (await store.tasks.update(gone, expected_version=0)) == replace(
            gone, version=1, updated=now + 1e9 + 110
        )
        assert await store.tasks.load("ever") is None

    async def test_task_owner_has_a_limit(self, store: Store, advance: Advance) -> None:
        first = await created(store, a_task("0"))
        await created(store, a_task("1", due=None, expires=first.created + 10))
        await store.tasks.create(a_task("2"), max_unended=3)
        await claimed(store)
        with pytest.raises(TooManyTasks) as caught:
            await store.tasks.create(a_task("3"), max_unended=3)
        assert caught.value.limit == 3
        assert await store.tasks.load("3") is None
        await store.tasks.create(a_task("other", owner="bob"), max_unended=1)
        await store.tasks.create(a_task("3"), max_unended=4)
        with pytest.raises(TaskExists):
            await store.tasks.create(a_task("3"), max_unended=4)
        await ended(store, await loaded(store, "2"))
        await store.tasks.create(a_task("4"), max_unended=4)
        with pytest.raises(TooManyTasks):
            await store.tasks.create(a_task("5"), max_unended=4)
        advance(10)
        await store.tasks.create(a_task("5"), max_unended=4)
        assert await store.tasks.delete("4")
        await store.tasks.create(a_task("6"), max_unended=4)
        with pytest.raises(TooManyTasks):
            await store.tasks.create(a_task("7"), max_unended=0)

    async def test_task_limits_hold_in_a_crowd(self, store: Store, advance: Advance) -> None:
        now = (await created(store, a_task("clock"))).created
        await store.tasks.delete("clock")
        some = await asyncio.gather(
            *(store.tasks.create(a_task(f"a{number}"), max_unended=7) for number in range(40)),
            return_exceptions=True,
        )
        assert some.count(None) == await store.tasks.count("alice") == 7
        assert sum(isinstance(problem, TooManyTasks) for problem in some) == 33
        more = await asyncio.gather(
            *(
                store.tasks.create(a_task(f"b{number}", owner="b", expires=now + 10), max_unended=1000)
                for number in range(120)
            ),
            return_exceptions=True,
        )
        assert more.count(None) == await store.tasks.count("b") == 93
        full = [problem for problem in more if problem is not None]
        assert all(isinstance(problem, StoreFull) and problem.limit == 100 for problem in full)
        advance(10)
        await asyncio.gather(*(created(store, a_task(f"c{number}", owner="c")) for number in range(93)))
        with pytest.raises(StoreFull):
            await created(store, a_task("one more"))
        assert await store.tasks.delete("c0")
        await created(store, a_task("one more", owner="d"))

    async def test_task_steps_are_recorded(self, store: Store, advance: Advance) -> None:
        record = await created(store)
        assert await store.tasks.recorded("t") == {}
        assert not await store.tasks.record("t", "one", b"x", holder="w"), "nobody holds it"
        (held,) = await claimed(store)
        assert await store.tasks.record("t", "one", b"1", holder="w")
        assert await store.tasks.record("t", "two", b"\0\xff" * 100, holder="w")
        assert await store.tasks.record("t", "one", b"other", holder="w"), "the earlier one stays"
        assert not await store.tasks.record("t", "three", b"x", holder="v")
        assert not await store.tasks.record("none", "one", b"x", holder="w")
        kept = {"one": b"1", "two": b"\0\xff" * 100}
        assert await store.tasks.recorded("t") == kept
        assert await loaded(store) == held, "recording is no change"
        released = await store.tasks.update(replace(held, holder=""), expected_version=held.version)
        assert released is not None
        assert not await store.tasks.record("t", "three", b"x", holder="w")
        (held,) = await claimed(store, "v")
        assert await store.tasks.record("t", "three", b"", holder="v")
        await ended(store, held)
        assert await store.tasks.recorded("t") == {**kept, "three": b""}, "until the task goes"
        assert await store.tasks.delete("t")
        assert await store.tasks.recorded("t") == {}
        assert await created(store, record) == record
        assert await store.tasks.recorded("t") == {}

    async def test_task_one_of_many_results_stays(self, store: Store) -> None:
        await created(store)
        await claimed(store)
        done = await asyncio.gather(
            *(store.tasks.record("t", "one", b"%d" % number, holder="w") for number in range(30))
        )
        assert done == [True] * 30
        first = await store.tasks.recorded("t")
        assert await store.tasks.record("t", "one", b"late", holder="w")
        assert await store.tasks.recorded("t") == first

    async def test_task_results_have_a_bound_together(self, store: Store) -> None:
        await created(store, data=b"x" * 4_096)
        await created(store, a_task("u"))
        await claimed(store, limit=2)
        assert await store.tasks.record("t", "one", b"x" * 2_000, holder="w")
        assert await store.tasks.record("t", "two", b"x" * (4_096 - 2_000 - 2 * 256 - 6), holder="w")
        with pytest.raises(ValueTooLarge) as caught:
            await store.tasks.record("t", "three", b"", holder="w")
        assert (caught.value.size, caught.value.limit) == (4_096 + 256 + 5, 4_096)
        assert await store.tasks.record("t", "one", b"x" * 4_000, holder="w"), "nothing is added"
        assert not await store.tasks.record("t", "three", b"", holder="v")
        with pytest.raises(ValueTooLarge):
            await store.tasks.record("t", "one", b"x" * 4_097, holder="w")
        assert sorted(await store.tasks.recorded("t")) == ["one", "two"]
        assert await store.tasks.record("u", "one", b"x" * 3_000, holder="w"), "each task has its own"
        assert await store.tasks.delete("u")
        await created(store, a_task("u"))
        await claimed(store)
        assert await store.tasks.record("u", "one", b"x" * 3_000, holder="w")

    async def test_task_lists_are_read_in_pages(self, store: Store, advance: Advance) -> None:
        expected: list[str] = []
        for second in range(5):
            for name in ("b", "a", "c"):
                await created(store, a_task(f"{name}{second}", due=None))
            await created(store, a_task(f"bob{second}", owner="bob"))
            expected += [f"{name}{second}" for name in "abc"]
            advance(1)
        assert ids(await store.tasks.list("alice")) == expected
        assert ids(await store.tasks.list("alice", limit=4)) == expected[:4]
        touched = await loaded(store, "a0")
        await store.tasks.update(replace(touched, data=b"new", due=0.0), expected_version=0)
        await claimed(store)
        assert ids(await store.tasks.list("alice")) == expected, "what changes keeps its place"
        seen: list[str] = []
        after: tuple[float, str] | None = None
        while page := await store.tasks.list("alice", after=after, limit=4):
            seen += ids(page)
            assert page[0] == await loaded(store, page[0].id)
            after = (page[-1].created, page[-1].id)
        assert seen == expected
        assert await store.tasks.list("nobody") == []
        assert ids(await store.tasks.list("alice", limit=10_000)) == expected

    async def test_task_lists_bear_what_goes_meanwhile(self, store: Store, advance: Advance) -> None:
        now = (await created(store, a_task("00"))).created
        for number in range(1, 30):
            await created(store, a_task(f"{number:02}", expires=now + 10 if number % 7 == 6 else None))
            advance(0.125)
        seen: list[str] = []
        after: tuple[float, str] | None = None
        turn = 0
        while page := await store.tasks.list("alice", after=after, limit=5):
            seen += ids(page)
            after = (page[-1].created, page[-1].id)
            assert await store.tasks.delete(page[-1].id), "the last one of the page goes"
            assert await store.tasks.delete(page[0].id)
            turn += 1
            if turn == 2:
                advance(10)
            await created(store, a_task(f"new{turn}", owner="bob"))
        steady = [f"{number:02}" for number in range(30) if number % 7 != 6 or number < 10]
        assert seen == steady

    async def test_task_counts(self, store: Store) -> None:
        assert await store.tasks.count() == await store.tasks.count("alice") == 0
        for number in range(4):
            await created(store, a_task(f"a{number}"))
        await created(store, a_task("b", owner="bob"))
        await ended(store, await loaded(store, "a0"))
        await claimed(store)
        count = store.tasks.count
        assert [
            await count("alice"),
            await count("alice", ended=True),
            await count("alice", ended=False),
        ] == [
            4,
            1,
            3,
        ]
        assert [await count(), await count(ended=True), await count(ended=False)] == [5, 1, 4]
        assert [await count("bob", ended=True), await count("nobody", ended=False)] == [0, 0]
        await store.tasks.delete("a0")
        assert [await count(), await count(ended=True)] == [4, 0]

    async def test_task_names_may_be_unusual(self, store: Store) -> None:
        for name in UNUSUAL:
            await created(store, TaskRecord(
                id=name, owner=name, queue=name, status=name[:64], created=1e11, updated=1e11, due=0.0, data=b""
            ))  # fmt: skip
        assert await store.tasks.count() == len(set(UNUSUAL))
        for name in UNUSUAL:
            assert await store.tasks.next_due([name]) == 0
            (held,) = await store.tasks.claim(name, {name: 1}, limit=5, lease=10)
            assert (held.id, held.owner, held.queue, held.holder) == (name, name, name, name)
            assert await store.tasks.renew(name, [name], lease=10) == {name}
            assert await store.tasks.record(name, name, name.encode(), holder=name)
            assert await store.tasks.recorded(name) == {name: name.encode()}
            assert await store.tasks.list(name) == [held]
            assert await store.tasks.list(name, after=(held.created, name)) == []
            assert await store.tasks.count(name) == 1
            assert (await ended(store, held)).status == "completed"
        for name in UNUSUAL:
            assert await store.tasks.delete(name)
        assert await store.tasks.count() == 0

    async def test_task_ids_sort_by_their_characters(self, store: Store) -> None:
        for id in UNUSUAL:
            await created(store, a_task(id), created=1.0)
        assert ids(await store.tasks.list("alice")) == sorted(UNUSUAL)

    async def test_task_refuses_what_it_cannot_keep(self, store: Store) -> None:
        tasks = store.tasks
        await tasks.create(a_task(data=b"x" * 4_096), max_unended=10)
        for data, problem in (
            (b"x" * 4_097, ValueTooLarge),
            (cast("bytes", bytearray(b"mutable")), TypeError),
        ):
            with pytest.raises(problem):
                await tasks.create(a_task("u", data=data), max_unended=10)
            with pytest.raises(problem):
                await tasks.update(a_task(data=data), expected_version=0)
            with pytest.raises(problem):
                await tasks.record("t", "one", data, holder="w")
        for bad in BAD_KEYS:
            calls = (
                lambda bad=bad: tasks.create(a_task(bad), max_unended=10),
                lambda bad=bad: tasks.create(a_task("u", owner=bad), max_unended=10),
                lambda bad=bad: tasks.create(a_task("u", queue=bad), max_unended=10),
                lambda bad=bad: tasks.load(bad),
                lambda bad=bad: tasks.update(a_task(bad), expected_version=0),
                lambda bad=bad: tasks.claim(bad, ANY, limit=1, lease=1),
                lambda bad=bad: tasks.claim("w", {"q": None, bad: 1}, limit=1, lease=1),
                lambda bad=bad: tasks.claim_one(bad, "w", most=None, lease=1),
                lambda bad=bad: tasks.claim_one("t", bad, most=None, lease=1),
                lambda bad=bad: tasks.renew(bad, ["t"], lease=1),
                lambda bad=bad: tasks.renew("w", ["t", bad], lease=1),
                lambda bad=bad: tasks.next_due(["q", bad]),
                lambda bad=bad: tasks.due(bad, limit=1),
                lambda bad=bad: tasks.record(bad, "one", b"", holder="w"),
                lambda bad=bad: tasks.record("t", bad, b"", holder="w"),
                lambda bad=bad: tasks.record("t", "one", b"", holder=bad),
                lambda bad=bad: tasks.recorded(bad),
                lambda bad=bad: tasks.list(bad),
                lambda bad=bad: tasks.list("alice", after=(1.0, bad)),
                lambda bad=bad: tasks.count(bad),
                lambda bad=bad: tasks.delete(bad),
            )
            for call in calls:
                with pytest.raises(KeyInvalid):
                    await call()
        for status in ("x" * 65, "a\0b", "\ud800"):
            with pytest.raises(KeyInvalid):
                await tasks.create(replace(a_task("u"), status=status), max_unended=10)
            with pytest.raises(KeyInvalid):
                await tasks.update(replace(a_task(), status=status), expected_version=0)
        with pytest.raises(KeyInvalid):
            await tasks.update(replace(a_task(), holder="x" * 513), expected_version=0)
        assert await tasks.count() == 1
        assert (await loaded(store)).version == 0
        assert await tasks.renew("w", [], lease=1) == set()
        assert await tasks.claim("w", {}, limit=1, lease=1) == []
        assert await tasks.next_due([]) is None

    async def test_task_refuses_numbers_that_cannot_be(self, store: Store) -> None:
        tasks = store.tasks
        await created(store)
        for time in (float("nan"), float("inf"), float("-inf")):
            for name in ("created", "updated", "expires", "due"):
                wrong = replace(a_task("u"), **{name: time})
                with pytest.raises(ValueError, match="finite"):
                    await tasks.create(wrong, max_unended=10)
                with pytest.raises(ValueError, match="finite"):
                    await tasks.update(replace(wrong, id="t"), expected_version=0)
        for lease in (0, -1, float("inf"), float("nan")):
            with pytest.raises(ValueError, match="lease"):
                await tasks.claim("w", ANY, limit=1, lease=lease)
            with pytest.raises(ValueError, match="lease"):
                await tasks.claim_one("t", "w", most=None, lease=lease)
            with pytest.raises(ValueError, match="lease"):
                await tasks.renew("w", ["t"], lease=lease)
        for limit in (0, -1):
            with pytest.raises(ValueError, match="least one"):
                await tasks.claim("w", ANY, limit=limit, lease=1)
            with pytest.raises(ValueError, match="least one"):
                await tasks.due("q", limit=limit)
            with pytest.raises(ValueError, match="least one"):
                await tasks.list("alice", limit=limit)
        assert (await loaded(store)).version == 0
        assert await tasks.count() == 1
