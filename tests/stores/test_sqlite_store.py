"""The store in SQLite keeps the contract, alone and shared, and what is particular to it: threads, files,
faults.
"""
# ruff: noqa: ASYNC240 - these tests look at files, and nothing else runs in their loops

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from dovetail.stores import Event, SQLiteStore, StoreClosed, StoreFull, StoreUnavailable, sqlite_file
from dovetail.testing.store_contract import (
    CONTRACT_BOUNDS,
    SharedStoreContract,
    StoreContract,
    VirtualClock,
    a_session,
)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("dovetail-sqlite")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


class TestSQLiteStore(StoreContract, SharedStoreContract):
    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def advance(self, clock: VirtualClock) -> Callable[[float], None]:
        return clock.advance

    @pytest.fixture
    async def store(self, path: Path, clock: VirtualClock) -> AsyncIterator[SQLiteStore]:
        async with aclosing(SQLiteStore(path, bounds=CONTRACT_BOUNDS, clock=clock)) as store:
            yield store

    @pytest.fixture
    async def peer(self, path: Path, clock: VirtualClock) -> AsyncIterator[SQLiteStore]:
        async with aclosing(SQLiteStore(path, bounds=CONTRACT_BOUNDS, clock=clock)) as store:
            yield store


async def test_nothing_happens_before_the_first_operation(path: Path) -> None:
    before = len(threads())
    store = SQLiteStore(path)
    assert len(threads()) == before
    assert not path.exists()
    await store.kv.set("a", b"1")
    assert len(threads()) == before + 1
    await store.kv.get("a")
    assert len(threads()) == before + 3
    await store.aclose()
    assert len(threads()) == before
    assert [file.name for file in path.parent.iterdir()] == ["store.db"], (
        "the log of the last connection goes with it"
    )


async def test_a_closed_store_is_one_file_whichever_thread_ends_last(tmp_path: Path) -> None:
    """Who copies the file has all of it: of connections that close at one time none would bring the log into it."""
    for number in range(60):
        path = tmp_path / str(number) / "store.db"
        path.parent.mkdir()
        store = SQLiteStore(path, readers=16)
        await store.kv.set("a", b"1")
        await asyncio.gather(*(store.kv.get("a") for _ in range(400)))
        await store.aclose()
        assert [file.name for file in path.parent.iterdir()] == ["store.db"]


async def test_a_store_may_be_closed_unused(path: Path) -> None:
    store = SQLiteStore(path)
    await store.aclose()
    with pytest.raises(StoreClosed):
        await store.kv.get("a")
    assert not path.exists()


async def test_a_forgotten_store_ends_its_threads(path: Path) -> None:
    store = SQLiteStore(path)
    await store.kv.set("a", b"1")
    await store.kv.get("a")
    mine = threads()
    del store
    gc.collect()
    for thread in mine:
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()


async def test_files_are_for_the_owner_only(path: Path) -> None:
    before = os.umask(0)
    try:
        (path.parent / "link.db").symlink_to(path)
        store = SQLiteStore(path.parent / "link.db")
        await store.kv.set("a", b"1")
    finally:
        os.umask(before)
    modes = {
        file.name: stat.S_IMODE(file.lstat().st_mode)
        for file in path.parent.iterdir()
        if not file.is_symlink()
    }
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}
    await store.aclose()


async def test_everything_outlives_the_bundle(path: Path) -> None:
    async with aclosing(SQLiteStore(path)) as store:
        await store.kv.set("a", b"1")
        await store.sessions.create(a_session())
        await store.events.append("s", b"1")
    async with aclosing(SQLiteStore(path)) as store:
        assert await store.kv.get("a") == b"1"
        assert await store.sessions.count("alice") == 1
        assert await store.events.append("s", b"2") == 2
        assert await store.events.read("s", 0) == [Event(1, b"1"), Event(2, b"2")]


async def test_what_waits_at_the_close_ends(path: Path) -> None:
    store = SQLiteStore(path, busy_timeout=0.5)
    await store.kv.set("a", b"1")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = [asyncio.ensure_future(store.kv.set(f"{number}", b"")) for number in range(1_000)]
        await asyncio.sleep(0)
        await store.aclose()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {StoreClosed, StoreUnavailable}
    assert sum(isinstance(outcome, StoreClosed) for outcome in outcomes) >= 1_000 - 256


async def test_a_locked_file_is_unavailable_until_released(path: Path) -> None:
    async with aclosing(SQLiteStore(path, busy_timeout=0.05)) as store:
        await store.kv.set("a", b"1")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="Another writer"):
                await store.kv.set("a", b"2")
            assert await store.kv.get("a") == b"1", "readers do not mind"
            other.execute("ROLLBACK")
        await store.kv.set("a", b"3")
        assert await store.kv.get("a") == b"3"


async def test_a_failing_neighbour_harms_nobody(path: Path) -> None:
    async with aclosing(SQLiteStore(path, bounds=CONTRACT_BOUNDS)) as store:
        await store.events.append("closed", b"")
        await store.events.close("closed")
        outcomes = await asyncio.gather(
            *(store.events.append(name, b"x") for name in ("a", "closed") * 20), return_exceptions=True
        )
        assert outcomes[::2] == list(range(1, 21))
        assert {type(outcome).__name__ for outcome in outcomes[1::2]} == {"StreamEnded"}
        assert await store.events.last("closed") == 1


async def test_a_failing_operation_leaves_no_trace(path: Path) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO kv (key, value) VALUES ('half', x'00')")
        raise RuntimeError("half way")

    def lost(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")
        raise RuntimeError("and all is lost")

    async with aclosing(SQLiteStore(path)) as store:
        for failing in (half, lost):
            outcomes = await asyncio.gather(
                store.kv.set("before", b"1"),
                store._executor.write(failing),
                store.kv.set("after", b"1"),
                return_exceptions=True,
            )
            assert [type(outcome) for outcome in outcomes] == [type(None), RuntimeError, type(None)]
            assert [key async for key in store.kv.scan()] == ["after", "before"]
            await asyncio.gather(store.kv.delete("before"), store.kv.delete("after"))


async def test_a_file_full_of_what_expired_makes_room(path: Path) -> None:
    clock = VirtualClock()
    async with aclosing(SQLiteStore(path, max_bytes=1024 * 1024, clock=clock)) as store:
        await asyncio.gather(*(store.kv.set(f"{number}", b"x" * 4_000, ttl=60) for number in range(160)))
        clock.advance(60)
        await store.kv.set("big", b"x" * 700_000)
        assert await store.kv.get("big") == b"x" * 700_000


async def test_a_full_file_says_so_and_recovers(path: Path) -> None:
    clock = VirtualClock()
    async with aclosing(SQLiteStore(path, max_bytes=1024 * 1024, clock=clock)) as store:
        small = [store.kv.set(f"small{number}", b"x") for number in range(50)]
        big = [store.kv.set(f"big{number}", b"x" * 200_000, ttl=60) for number in range(10)]
        outcomes = await asyncio.gather(*small, *big, return_exceptions=True)
        assert outcomes[:50] == [None] * 50, "small ones fit beside those that do not"
        kept = outcomes[50:].count(None)
        assert 1 <= kept < 10
        assert sum(isinstance(outcome, StoreFull) for outcome in outcomes) == 10 - kept
        assert len([key async for key in store.kv.scan("big")]) == kept
        clock.advance(60)
        await asyncio.gather(*(store.kv.set(f"new{number}", b"x" * 200_000) for number in range(kept)))
    assert path.stat().st_size <= 1024 * 1024


async def test_a_damaged_file_is_unavailable(path: Path) -> None:
    path.write_bytes(b"this is no database at all" * 1_000)
    async with aclosing(SQLiteStore(path)) as store:
        with pytest.raises(StoreUnavailable, match="damaged"):
            await store.kv.get("a")
        with pytest.raises(StoreUnavailable, match="damaged"):
            await store.kv.set("a", b"")
        path.unlink()
        await store.kv.set("a", b"1")
        assert await store.kv.get("a") == b"1", "a good file in its place is taken up"


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    async with aclosing(SQLiteStore(tmp_path / "missing" / "store.db")) as store:
        with pytest.raises(StoreUnavailable, match="directory must exist"):
            await store.kv.set("a", b"")
        (tmp_path / "missing").mkdir()
        await store.kv.set("a", b"")


async def test_a_file_of_an_older_schema_is_brought_up_to_date(path: Path) -> None:
    """What is in it stays, and counts toward no share until it is written again."""
    with closing(sqlite3.connect(path)) as old:
        for statement in sqlite_file.STEPS[0].split(";"):
            old.execute(statement)
        old.execute("CREATE TABLE dovetail_schema (version INTEGER PRIMARY KEY)")
        old.execute("INSERT INTO dovetail_schema VALUES (1)")
        old.execute("INSERT INTO kv VALUES ('a/1', ?, NULL)", (b"x" * 60_000,))
        old.commit()
    async with aclosing(SQLiteStore(path, bounds=CONTRACT_BOUNDS)) as store:
        a = store.kv.within("a/", share=1 / 4096)
        assert await a.get("1") == b"x" * 60_000
        await a.set("2", b"x" * 60_000)
        with pytest.raises(StoreFull):
            await a.set("1", b"x" * 60_000)
        assert await a.delete("1")
        assert await a.delete("2")
        await a.set("1", b"x" * 60_000)


async def test_a_newer_schema_is_refused(path: Path) -> None:
    async with aclosing(SQLiteStore(path)) as store:
        await store.kv.set("a", b"1")
    with closing(sqlite3.connect(path)) as other:
        other.execute("INSERT INTO dovetail_schema VALUES (999)")
        other.commit()
    async with aclosing(SQLiteStore(path)) as store:
        with pytest.raises(StoreUnavailable, match="upgrade"):
            await store.kv.get("a")


async def test_what_expired_leaves_the_file(path: Path) -> None:
    clock = VirtualClock()
    async with aclosing(SQLiteStore(path, clock=clock)) as store:
        for start in range(0, 1_000, 50):
            await asyncio.gather(*(store.kv.set(f"{start + n}", b"", ttl=10) for n in range(50)))
            await asyncio.gather(*(store.events.append(f"{start + n}", b"") for n in range(50)))
            clock.advance(1_000)
        clock.advance(86_400)
        for number in range(100):
            await store.kv.set("a", b"%d" % number)
    with closing(sqlite3.connect(path)) as other:
        counts = [
            other.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("kv", "stream", "event")
        ]
    assert counts == [1, 0, 0]


@pytest.mark.parametrize("path", ["", ":memory:"])
def test_memory_is_no_file(path: str) -> None:
    with pytest.raises(ValueError, match="MemoryStore"):
        SQLiteStore(path)
