"""Tasks in memory and in SQLite, written apart, must agree on every answer, over random histories; and whatever was
done, what the store in memory counts is what it has.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from agreement import History, Step, agree
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dovetail.stores import (
    MemoryStore,
    SQLiteStore,
    Store,
    StoreBounds,
    TaskBounds,
    TaskRecord,
    sqlite_tasks,
)
from dovetail.testing.store_contract import VirtualClock, a_task

BOUNDS = StoreBounds(tasks=TaskBounds(max_tasks=5, max_data=600))
BEGIN = 1_800_000_000.0

ids = st.sampled_from(["a", "b", "B", "é", "c", "d", "e"])
owners = st.sampled_from(["alice", "bob", "Bob"])
queue_names = st.sampled_from(["p", "q"])
holders = st.sampled_from(["v", "w"])
times = st.none() | st.integers(-5, 40).map(lambda seconds: BEGIN + seconds)
leases = st.integers(1, 12)
small = st.integers(0, 4)
data = st.sampled_from([b"", b"1", b"x" * 600, b"x" * 601])
queues = st.dictionaries(queue_names, st.none() | small)
records = st.builds(
    lambda id, owner, queue, due, expires, data: a_task(
        id, owner=owner, queue=queue, due=due, expires=expires, data=data
    ),
    ids,
    owners,
    queue_names,
    times,
    times,
    data,
)


def change(
    store: Store,
    id: str,
    ended: bool,
    due: float | None,
    expires: float | None,
    holder: str | None,
    stale: bool,
) -> Awaitable[TaskRecord | None]:
    """Change a task as somebody does who has loaded it; holder None: the one it has."""

    async def changed() -> TaskRecord | None:
        stored = await store.tasks.load(id)
        record = stored or a_task(id)
        wish = replace(
            record,
            ended=ended,
            due=due,
            expires=expires,
            holder=record.holder if holder is None else holder,
            status="new",
        )
        return await store.tasks.update(wish, expected_version=record.version - stale)

    return changed()


def step(
    name: str, make: Callable[..., Step], *parts: st.SearchStrategy[object]
) -> st.SearchStrategy[tuple[str, Step]]:
    return st.tuples(*parts).map(lambda drawn: (f"{name}{drawn}", make(*drawn)))


def queue_steps() -> st.SearchStrategy[tuple[str, Step]]:
    """What is asked of queues, and claims by an id."""
    return st.one_of(
        step(
            "claim_one",
            lambda i, h, m, t: lambda s: s.tasks.claim_one(i, h, most=m, lease=t),
            ids,
            holders,
            st.none() | st.integers(0, 2),
            leases,
        ),
        step("due", lambda q, n: lambda s: s.tasks.due(q, limit=n + 1), queue_names, small),
        step("next_due", lambda q: lambda s: s.tasks.next_due(q), st.sets(queue_names)),
    )


def steps() -> st.SearchStrategy[tuple[str, Step | int]]:
    create = step(
        "create", lambda r, m: lambda s: s.tasks.create(r, max_unended=m), records, st.integers(1, 4)
    )
    claim = step(
        "claim",
        lambda h, q, n, t: lambda s: s.tasks.claim(h, q, limit=n + 1, lease=t),
        holders,
        queues,
        small,
        leases,
    )
    return st.one_of(
        queue_steps(),
        st.integers(1, 9).map(lambda seconds: ("advance", seconds)),
        create,
        create,
        claim,
        claim,
        step(
            "update",
            lambda *drawn: lambda s: change(s, *drawn),
            ids,
            st.booleans(),
            times,
            times,
            st.none() | holders | st.just(""),
            st.booleans(),
        ),
        step("load", lambda i: lambda s: s.tasks.load(i), ids),
        step("renew", lambda h, i, t: lambda s: s.tasks.renew(h, i, lease=t), holders, st.sets(ids), leases),
        step(
            "record",
            lambda i, n, v, h: lambda s: s.tasks.record(i, n, v, holder=h),
            ids,
            st.sampled_from(["one", "two"]),
            data,
            holders,
        ),
        step("recorded", lambda i: lambda s: s.tasks.recorded(i), ids),
        step(
            "list",
            lambda o, a, n: lambda s: s.tasks.list(o, after=a, limit=n + 1),
            owners,
            st.none() | st.tuples(st.integers(0, 40).map(lambda seconds: BEGIN + seconds), ids),
            small,
        ),
        step(
            "count",
            lambda o, e: lambda s: s.tasks.count(o, ended=e),
            st.none() | owners,
            st.none() | st.booleans(),
        ),
        step("delete", lambda i: lambda s: s.tasks.delete(i), ids),
    )


def check_counts(store: MemoryStore) -> None:
    """What stands beside the records says what they say."""
    tasks = store.tasks
    every = [task.record for task in tasks._tasks.values()]
    assert tasks._bytes == sum(task.charge() for task in tasks._tasks.values())
    assert tasks._unended == sum(not record.ended for record in every)
    assert {owner: owned.unended for owner, owned in tasks._of.items()} == {
        owner: sum(record.owner == owner and not record.ended for record in every)
        for owner in {record.owner for record in every}
    }
    placed = sorted((created, id) for owned in tasks._of.values() for created, id in owned.places)
    assert placed == sorted((record.created, record.id) for record in every)
    lines = tasks._lines
    held = {record.id for record in every if lines._leases.rank(record.id) is not None}
    assert len(lines._leases) == len(held) == sum(len(queue.leases) for queue in lines._queues.values())
    assert Counter({owner: found.held for owner, found in lines._owners.items() if found.held}) == Counter(
        record.owner for record in every if record.id in held
    )
    waiting = {
        id for found in lines._owners.values() for line in found.lines.values() for id in line.waiting._at
    }
    assert waiting == {record.id for record in every if record.due is not None and record.id not in held}
    for name, queue in lines._queues.items():
        in_line = {owner for owner, found in lines._owners.items() if name in found.lines}
        assert set(queue.ready._at) | set(queue.later._at) == in_line
        assert not set(queue.ready._at) & set(queue.later._at)
        assert queue.ready or queue.later or queue.leases


@settings(max_examples=100, deadline=None)
@given(st.lists(steps(), min_size=10, max_size=80), st.sampled_from([1, 256]))
def test_tasks_in_memory_and_sqlite_agree(history: History, look: int) -> None:
    async def run(folder: str) -> None:
        clock = VirtualClock(BEGIN)
        async with (
            aclosing(MemoryStore(bounds=BOUNDS, clock=clock)) as memory,
            aclosing(SQLiteStore(Path(folder) / "store.db", bounds=BOUNDS, clock=clock)) as sqlite,
        ):
            await agree(memory, sqlite, clock, history, after=lambda: check_counts(memory))

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_tasks, "_LOOK", look)  # few tasks have to do for what it does with many
        asyncio.run(run(folder))
