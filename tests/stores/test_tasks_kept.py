"""What is particular to the tasks of each store: bounds on all bytes and what piles up in memory; indexes and rows that
nobody can read in SQLite.
"""

from __future__ import annotations

import sqlite3
from contextlib import aclosing, closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from dovetail.stores import (
    MemoryStore,
    SQLiteStore,
    StoreBounds,
    StoreFull,
    TaskBounds,
    sqlite_file,
    sqlite_tasks,
)
from dovetail.stores.memory_tasks import TASK_COST
from dovetail.stores.ordering import Ranks
from dovetail.testing.store_contract import VirtualClock, a_task


async def test_tasks_have_a_bound_together() -> None:
    clock = VirtualClock()
    tasks = MemoryStore(bounds=StoreBounds(tasks=TaskBounds(max_bytes=10_000)), clock=clock).tasks
    await tasks.create(a_task(data=b"x" * 5_000, expires=clock() + 10), max_unended=10)
    with pytest.raises(StoreFull):
        await tasks.create(a_task("u", data=b"x" * 3_000), max_unended=10)
    (held,) = await tasks.claim("w", {"q": None}, limit=1, lease=5)
    with pytest.raises(StoreFull):
        await tasks.update(replace(held, data=b"x" * 9_000), expected_version=1)
    with pytest.raises(StoreFull):
        await tasks.record("t", "step", b"x" * 3_500, holder="w")
    assert await tasks.recorded("t") == {}
    assert await tasks.record("t", "step", b"x" * 2_000, holder="w")
    with pytest.raises(StoreFull):
        await tasks.update(replace(held, data=b"x" * 7_000), expected_version=1)
    assert await tasks.update(replace(held, data=b"x"), expected_version=1) is not None, "less always fits"
    await tasks.create(a_task("u", data=b"x" * 3_000), max_unended=10)
    clock.advance(10)
    await tasks.create(a_task("v", data=b"x" * 3_500), max_unended=10)
    assert await tasks.delete("u")
    assert await tasks.delete("v")
    assert tasks._bytes == 0


async def test_tasks_leave_nothing_behind() -> None:
    clock = VirtualClock()
    tasks = MemoryStore(clock=clock).tasks
    for number in range(3_000):
        await tasks.create(
            a_task(f"{number}", owner=f"o{number}", queue=f"q{number % 50}", expires=clock() + 20),
            max_unended=1,
        )
        for record in await tasks.claim("w", {f"q{number % 50}": None}, limit=1, lease=5):
            await tasks.renew("w", [record.id], lease=3)
        clock.advance(1)
    assert len(tasks._tasks) == 20
    clock.advance(20)
    assert await tasks.count() == 0
    lines = tasks._lines
    assert (tasks._of, lines._owners, lines._queues) == ({}, {}, {})
    assert len(lines._leases._heap) < 200
    assert len(tasks._deadlines._heap) < 200


async def test_a_clock_that_goes_back_ends_no_lease_and_loses_no_task() -> None:
    clock = VirtualClock()
    tasks = MemoryStore(clock=clock).tasks
    await tasks.create(a_task("soon", due=clock() + 10), max_unended=10)
    await tasks.create(a_task("now", due=clock()), max_unended=10)
    (held,) = await tasks.claim("w", {"q": None}, limit=1, lease=10)
    assert held.id == "now"
    clock.advance(12)
    assert await tasks.next_due(["q"]) == 0
    assert await tasks.claim("w", {"q": 0}, limit=1, lease=10) == []
    clock.advance(-10)
    assert [record.id for record in await tasks.claim("v", {"q": None}, limit=9, lease=10)] == ["now"]
    assert await tasks.next_due(["q"]) == 8
    clock.advance(8)
    assert [record.id for record in await tasks.claim("v", {"q": None}, limit=9, lease=10)] == ["soon"]


def test_ranks_rise_and_fall() -> None:
    ranks: Ranks[float] = Ranks()
    for number in range(1_000):
        ranks.put("a", -number)
        ranks.put("b", number)
    assert ranks.first() == (-999, "a")
    ranks.put("a", 2_000)
    assert ranks.first() == (999, "b")
    ranks.forget("b")
    ranks.forget("b")
    assert ranks.first() == (2_000, "a")
    assert len(ranks._heap) < 200
    ranks.forget("a")
    assert (ranks.first(), len(ranks), ranks.rank("a")) == (None, 0, None)


def test_what_a_task_costs_is_about_what_is_charged() -> None:
    import asyncio
    import tracemalloc

    async def fill(count: int) -> int:
        tasks = MemoryStore().tasks
        tracemalloc.start()
        try:
            for number in range(count):
                record = a_task(f"task-{number}", owner=f"o{number}", expires=3e9, data=b"")
                await tasks.create(record, max_unended=count)
            return tracemalloc.get_traced_memory()[0] // count
        finally:
            tracemalloc.stop()

    assert TASK_COST / 2 < asyncio.run(fill(3_000)) < TASK_COST * 1.5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


async def test_each_look_for_tasks_has_an_index(path: Path) -> None:
    """However many are kept: nothing reads them all, but for the few that are held."""
    queries = {
        "claim": (sqlite_tasks._EARLIEST, "task_due"),
        "claim by owners": (sqlite_tasks._FIRST_OF_EACH, "task_line"),
        "claim of one owner": (sqlite_tasks._FIRST_OF_ONE, "task_line"),
        "next due": (sqlite_tasks._NEXT[0], "task_due"),
        "next lease": (sqlite_tasks._NEXT[1], "task_lease"),
        "leases that are over": (sqlite_tasks._NEXT[2], "task_lease"),
        "held": (f"SELECT owner, count(*) {sqlite_tasks._LIVE} until > :now GROUP BY owner", "task_held"),
        "unended": (f"SELECT count(*) {sqlite_tasks._LIVE} owner = :owner AND ended = 0", "task_unended"),
        "list": (f"{sqlite_tasks._RECORD} WHERE owner = :owner ORDER BY created, id LIMIT 5", "task_owner"),
    }
    async with aclosing(SQLiteStore(path)) as store:
        await store.tasks.create(a_task(), max_unended=1)
    given = {"queue": "q", "owner": "o", "now": 1.0, "most": 5}
    with closing(sqlite3.connect(path)) as connection:
        for name, (query, index) in queries.items():
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", given)]
            assert any(index in step for step in plan), (name, plan)
            read_whole = [step for step in plan if step.startswith("SCAN") and step != "SCAN line"]
            assert read_whole == (["SCAN task USING COVERING INDEX task_held"] if name == "held" else []), (
                name
            )


async def test_a_task_that_cannot_be_read_harms_no_other(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with aclosing(SQLiteStore(path)) as store:
        for id in ("a", "b", "c", "d"):
            await store.tasks.create(a_task(id), max_unended=9)
        with closing(sqlite3.connect(path)) as other:
            other.execute("UPDATE task SET created = 'yesterday' WHERE id = 'a'")
            other.execute("UPDATE task SET status = CAST(x'ff' AS TEXT) WHERE id = 'b'")
            other.execute(
                "UPDATE task_data SET data = 7 WHERE number = (SELECT number FROM task WHERE id = 'c')"
            )
            other.commit()
        assert [await store.tasks.load(id) for id in "abc"] == [None] * 3
        assert [record.id for record in await store.tasks.list("alice")] == ["d"]
        assert [record.id for record in await store.tasks.claim("w", {"q": None}, limit=2, lease=5)] == ["d"]
        assert await store.tasks.claim("w", {"q": None}, limit=2, lease=5) == []
        assert "a task is lost" in caplog.text
        assert await store.tasks.delete("a")


async def test_a_task_of_sqlite_goes_with_all_that_is_kept_of_it(path: Path) -> None:
    clock = VirtualClock()
    async with aclosing(SQLiteStore(path, clock=clock)) as store:
        for number in range(50):
            await store.tasks.create(a_task(f"{number}", expires=clock() + 10), max_unended=99)
        for record in await store.tasks.claim("w", {"q": None}, limit=50, lease=5):
            await store.tasks.record(record.id, "step", b"", holder="w")
        clock.advance(10)
        for number in range(30):
            await store.kv.set("a", b"%d" % number)
    with closing(sqlite3.connect(path)) as other:
        tables = ("task", "task_data", "task_result")
        assert [other.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables] == [0, 0, 0]
        assert other.execute("SELECT tasks FROM task_total").fetchone() == (0,)
        assert (
            len(sqlite_file.STEPS) == other.execute("SELECT max(version) FROM dovetail_schema").fetchone()[0]
        )
