"""Tasks in Redis: they agree with those in memory and leave nothing behind, whatever becomes of the server in the
middle of work nothing confirmed is lost and no attempt is given twice, and a full server still lets work be done.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from agreement import History, agree
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from redis_server import RedisServer, running_server
from task_traffic import TaskTraffic, share_out
from test_task_agreement import BEGIN, BOUNDS, steps

from dovetail.stores import MemoryStore, RedisStore, StoreFull
from dovetail.testing.store_contract import VirtualClock, a_task


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    yield from running_server(tmp_path / "redis")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    yield from running_server(tmp_path_factory.mktemp("redis"))


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    async with aclosing(RedisStore(server.url, timeout=0.5)) as store:
        yield store


def scripts_run(server: RedisServer) -> int:
    """How many scripts the server was asked for."""
    found = re.search(rb"cmdstat_evalsha:calls=(\d+)", server.command("INFO", "commandstats"))
    assert found is not None
    return int(found[1])


def kept_keys(server: RedisServer) -> set[str]:
    """The keys of tasks, without what they all begin with."""
    found = re.findall(rb"\{dovetail:tasks\}:(\S+)", server.command("KEYS", "*"))
    return {key.decode() for key in found}


@settings(max_examples=100, deadline=None)
@given(history=st.lists(steps(), min_size=10, max_size=80))
def test_tasks_in_memory_and_redis_agree(shared: RedisServer, history: History) -> None:
    """Written apart, each is the other's oracle. Once all tasks are gone, so is all that stood beside them."""

    async def run() -> None:
        clock = VirtualClock(BEGIN)
        async with (
            aclosing(MemoryStore(bounds=BOUNDS, clock=clock)) as memory,
            aclosing(RedisStore(shared.url, bounds=BOUNDS, clock=clock)) as redis,
        ):
            await agree(memory, redis, clock, history)
            for owner in ("alice", "bob", "Bob"):
                for record in await redis.tasks.list(owner):
                    assert await redis.tasks.delete(record.id)

    shared.command("FLUSHALL")
    asyncio.run(run())
    assert kept_keys(shared) <= {"layout"}


async def test_processes_and_loops_share_the_work(server: RedisServer, store: RedisStore) -> None:
    await share_out("redis", server.url, store)


async def test_a_killed_server_takes_no_task_with_it(server: RedisServer, store: RedisStore) -> None:
    traffic = TaskTraffic(store)
    for _ in range(3):
        await traffic.more(200)
        server.kill()
        await traffic.refusals(8)
        await asyncio.to_thread(server.start)
    await traffic.more(200)
    await traffic.check()


async def test_a_paused_server_loses_no_task(server: RedisServer, store: RedisStore) -> None:
    traffic = TaskTraffic(store)
    await traffic.more(100)
    server.pause()
    await traffic.refusals(8)
    assert traffic.uncertain >= 2, "nobody knows what becomes of what was sent"
    server.resume()
    await traffic.more(100)
    await traffic.check()


async def test_a_server_without_our_scripts_gets_them_again(server: RedisServer, store: RedisStore) -> None:
    traffic = TaskTraffic(store)
    for _ in range(5):
        await traffic.more(50)
        assert server.command("SCRIPT", "FLUSH") == b"+OK\r\n"
    await traffic.check()
    assert not traffic.refused


async def test_a_full_server_takes_no_task_and_lets_work_be_done(tmp_path: Path) -> None:
    clock = VirtualClock()
    for server in running_server(tmp_path / "redis", "maxmemory 16mb", "maxmemory-policy noeviction"):
        async with aclosing(RedisStore(server.url, clock=clock)) as store:
            await store.tasks.create(a_task("stands nowhere", owner="carol"), max_unended=9)
            (held,) = await store.tasks.claim("v", {"q": None}, limit=1, lease=1)
            assert await store.tasks.update(replace(held, due=None), expected_version=1) is not None
            clock.advance(1)
            assert await store.tasks.next_due(["q"]) is None
            await store.tasks.create(a_task("first", data=b"x" * 10_000), max_unended=9)
            await store.tasks.create(a_task("second", owner="bob"), max_unended=9)
            outcomes = await asyncio.gather(
                *(
                    store.tasks.create(
                        a_task(f"{number}", due=None, expires=clock() + 60, data=b"x" * 100_000),
                        max_unended=1_000,
                    )
                    for number in range(200)
                ),
                return_exceptions=True,
            )
            kept = outcomes.count(None)
            assert 50 <= kept < 190
            assert {type(outcome) for outcome in outcomes if outcome is not None} == {StoreFull}
            server.command("CONFIG", "SET", "maxmemory", "4mb")  # so that nothing small fits either
            with pytest.raises(StoreFull):
                await store.tasks.create(a_task("more"), max_unended=1_000)
            assert await store.tasks.count() == kept + 3, "what was refused left nothing"
            first, second = await store.tasks.claim("w", {"q": None}, limit=10**12, lease=30)
            assert len(await store.tasks.list("bob", limit=10**12)) == 1
            assert await store.tasks.renew("w", ["first", "second"], lease=60) == {"first", "second"}
            assert await store.tasks.renew("v", ["stands nowhere"], lease=60) == {"stands nowhere"}
            with pytest.raises(StoreFull):
                await store.tasks.record("first", "step", b"x", holder="w")
            with pytest.raises(StoreFull):
                await store.tasks.update(replace(second, data=b"x" * 10_000), expected_version=1)
            assert await store.tasks.load("second") == second
            assert await store.tasks.update(replace(second, ended=True), expected_version=1) is not None
            assert await store.tasks.update(replace(first, data=b"", due=0.0), expected_version=1) is not None
            clock.advance(60)
            await store.tasks.create(a_task("more", data=b"x" * 10_000), max_unended=1_000)
            assert await store.tasks.count() == 4, "what has expired makes room by itself"


async def test_leases_go_by_the_clock_of_the_server(server: RedisServer, store: RedisStore) -> None:
    """Where none was given; what the scripts are told as the time then is nonsense."""
    assert store.tasks._clock is None
    begin = time.time()
    await store.tasks.create(a_task(expires=begin + 1_000), max_unended=1)
    (held,) = await store.tasks.claim("w", {"q": None}, limit=1, lease=30)
    assert begin - 1 < held.created <= held.updated < time.time() + 1
    due = await store.tasks.next_due(["q"])
    assert due is not None
    assert 0 < due <= 30
    async with aclosing(RedisStore(server.url, clock=VirtualClock(begin + 500))) as ahead:
        assert await ahead.tasks.next_due(["q"]) == 0, "a clock that was given counts"
        await ahead.kv.set("swept", b"")
    assert await store.tasks.load("t") is not None


async def test_what_expires_is_swept_in_pieces(server: RedisServer) -> None:
    """No script goes on for longer than a bounded number of tasks takes, and what counts is right all the same."""
    clock = VirtualClock()
    async with aclosing(RedisStore(server.url, clock=clock)) as store:
        for turn in range(3):
            await asyncio.gather(
                *(
                    store.tasks.create(
                        a_task(f"{turn}/{n}", owner=f"o{n % 3}", expires=clock() + 10), max_unended=9_000
                    )
                    for n in range(1_700)
                )
            )
            held = await store.tasks.claim("w", {"q": None}, limit=1_200, lease=5)
            assert len(held) == 1_200
            clock.advance(5)
            assert await store.tasks.next_due(["q"]) == 0, "all leases are over"
            clock.advance(5)
            if turn == 0:
                before = scripts_run(server)
                assert await store.tasks.count() == 0
                assert scripts_run(server) - before >= 1_700 // 500
            elif turn == 1:
                assert await store.tasks.list("o1") == []
            else:
                assert await store.tasks.claim("w", {"q": 1}, limit=5, lease=5) == []
        await store.tasks.create(a_task("last"), max_unended=1)
        assert await store.tasks.delete("last")
    assert kept_keys(server) == {"layout"}


async def test_a_namespace_and_a_layout_of_their_own(server: RedisServer, store: RedisStore) -> None:
    async with aclosing(RedisStore(server.url, namespace="other")) as other:
        await store.tasks.create(a_task(), max_unended=1)
        assert await other.tasks.load("t") is None
        await other.tasks.create(a_task(), max_unended=1)
        assert len(await store.tasks.claim("w", {"q": None}, limit=5, lease=30)) == 1
        assert len(await other.tasks.claim("w", {"q": None}, limit=5, lease=30)) == 1
