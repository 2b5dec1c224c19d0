"""Memory and SQLite, written apart, must agree on every answer: each is the other's oracle, over random
histories.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from agreement import History, Step, agree
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.stores import (
    EventBounds,
    MemoryStore,
    SessionBounds,
    SQLiteStore,
    Store,
    StoreBounds,
)
from dovetail.testing.store_contract import VirtualClock, a_session

BOUNDS = StoreBounds(
    sessions=SessionBounds(max_sessions=3, max_per_principal=2, idle_ttl=10, absolute_ttl=25),
    events=EventBounds(max_events=3, max_bytes=8, ttl=10, position_ttl=25),
)

keys = st.sampled_from(["a", "a/", "a/b", "b"])
values = st.sampled_from([b"", b"1", b"22", b"x" * 9])
maybe = st.none() | values
ttls = st.none() | st.integers(1, 30)
small = st.integers(0, 5)


async def scan(store: Store, prefix: str) -> list[str]:
    return sorted([key async for key in store.kv.scan(prefix)])


def steps() -> st.SearchStrategy[tuple[str, Step | int]]:
    def step(
        name: str, make: Callable[..., Step], *parts: st.SearchStrategy[object]
    ) -> st.SearchStrategy[tuple[str, Step]]:
        return st.tuples(*parts).map(lambda drawn: (f"{name}{drawn}", make(*drawn)))

    return st.one_of(
        st.integers(1, 12).map(lambda seconds: ("advance", seconds)),
        step("get", lambda k: lambda s: s.kv.get(k), keys),
        step("set", lambda k, v, t: lambda s: s.kv.set(k, v, ttl=t), keys, values, ttls),
        step("add", lambda k, v, t: lambda s: s.kv.add(k, v, ttl=t), keys, values, ttls),
        step("take", lambda k: lambda s: s.kv.take(k), keys),
        step(
            "cas", lambda k, e, v, t: lambda s: s.kv.compare_and_set(k, e, v, ttl=t), keys, maybe, maybe, ttls
        ),
        step("expire", lambda k, t: lambda s: s.kv.expire(k, t), keys, st.integers(1, 30)),
        step("scan", lambda p: lambda s: scan(s, p), st.sampled_from(["", "a", "a/"])),
        step(
            "create",
            lambda i, p: lambda s: s.sessions.create(a_session(i, principal=p)),
            keys,
            st.sampled_from(["p", "q", "", "anonymous@a", "anonymous@b"]),
        ),
        step("load", lambda i: lambda s: s.sessions.load(i), keys),
        step(
            "save",
            lambda i, v: lambda s: s.sessions.save(a_session(i, version=v + 1), expected_version=v),
            keys,
            small,
        ),
        step("touch", lambda i: lambda s: s.sessions.touch(i), keys),
        step("delete", lambda i: lambda s: s.sessions.delete(i), keys),
        step("count", lambda p: lambda s: s.sessions.count(p), st.none() | st.sampled_from("pq")),
        step("append", lambda n, v: lambda s: s.events.append(n, v), keys, values),
        step("append", lambda n, v: lambda s: s.events.append(n, v), keys, values),
        step("read", lambda n, a, m: lambda s: s.events.read(n, a, m + 1), keys, small, small),
        step("last", lambda n: lambda s: s.events.last(n), keys),
        step("close", lambda n: lambda s: s.events.close(n), keys),
        step("is_closed", lambda n: lambda s: s.events.is_closed(n), keys),
        step("drop", lambda n: lambda s: s.events.drop(n), keys),
        step("drop_prefix", lambda p: lambda s: s.events.drop_prefix(p), keys),
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(steps(), min_size=5, max_size=60))
def test_memory_and_sqlite_agree(history: History) -> None:
    async def run(folder: str) -> None:
        clock = VirtualClock()
        async with (
            aclosing(MemoryStore(bounds=BOUNDS, clock=clock)) as memory,
            aclosing(SQLiteStore(Path(folder) / "store.db", bounds=BOUNDS, clock=clock)) as sqlite,
        ):
            await agree(memory, sqlite, clock, history)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(folder))
