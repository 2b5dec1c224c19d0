"""The store in Redis keeps the contract, alone and shared, and agrees with the one in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing

import pytest
from agreement import History, agree
from hypothesis import given, settings
from hypothesis import strategies as st
from redis_server import RedisServer, running_server
from test_store_agreement import BOUNDS, steps

from dovetail.stores import Event, EventBounds, MemoryStore, RedisStore, StoreBounds, StoreFull
from dovetail.testing.store_contract import (
    CONTRACT_BOUNDS,
    SharedStoreContract,
    StoreContract,
    VirtualClock,
    a_session,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    yield from running_server(tmp_path_factory.mktemp("redis"))


@pytest.fixture
def url(server: RedisServer) -> str:
    """A server with nothing in it."""
    assert server.command("FLUSHALL") == b"+OK\r\n"
    return server.url


class TestRedisStore(StoreContract, SharedStoreContract):
    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def advance(self, clock: VirtualClock) -> Callable[[float], None]:
        return clock.advance

    @pytest.fixture
    async def store(self, url: str, clock: VirtualClock) -> AsyncIterator[RedisStore]:
        async with aclosing(RedisStore(url, bounds=CONTRACT_BOUNDS, clock=clock)) as store:
            yield store

    @pytest.fixture
    async def peer(self, url: str, clock: VirtualClock) -> AsyncIterator[RedisStore]:
        async with aclosing(RedisStore(url, bounds=CONTRACT_BOUNDS, clock=clock)) as store:
            yield store


@settings(max_examples=100, deadline=None)
@given(history=st.lists(steps(), min_size=5, max_size=60))
def test_memory_and_redis_agree(server: RedisServer, history: History) -> None:
    async def run() -> None:
        clock = VirtualClock()
        async with (
            aclosing(MemoryStore(bounds=BOUNDS, clock=clock)) as memory,
            aclosing(RedisStore(server.url, bounds=BOUNDS, clock=clock)) as redis,
        ):
            await agree(memory, redis, clock, history)

    server.command("FLUSHALL")
    asyncio.run(run())


async def test_everything_outlives_the_bundle(url: str) -> None:
    async with aclosing(RedisStore(url)) as store:
        await store.kv.set("a", b"1")
        await store.sessions.create(a_session())
        await store.events.append("s", b"1")
    async with aclosing(RedisStore(url)) as store:
        assert await store.kv.get("a") == b"1"
        assert await store.sessions.count("alice") == 1
        assert await store.events.append("s", b"2") == 2
        assert await store.events.read("s", 0) == [Event(1, b"1"), Event(2, b"2")]


async def test_what_expired_leaves_the_server(server: RedisServer, url: str) -> None:
    clock = VirtualClock()
    async with aclosing(RedisStore(url, clock=clock)) as store:
        for start in range(0, 500, 50):
            await asyncio.gather(*(store.kv.set(f"{start + n}", b"", ttl=10) for n in range(50)))
            await asyncio.gather(*(store.events.append(f"{start + n}", b"") for n in range(50)))
            await store.sessions.create(a_session(f"{start}", principal="anonymous@a"))
            clock.advance(1_000)
        clock.advance(86_400)
        for number in range(100):
            await store.kv.set("a", b"%d" % number)
            await store.events.append("a", b"")
        assert await store.sessions.count() == 0
    keys = {line for line in server.command("KEYS", "*").split(b"\r\n") if line.startswith(b"{")}
    assert keys == {
        b"{dovetail:kv}:layout",
        b"{dovetail:kv}:values",
        b"{dovetail:kv}:names",
        b"{dovetail:sessions}:layout",
        b"{dovetail:events}:layout",
        b"{dovetail:events}:streams",
        b"{dovetail:events}:names",
        b"{dovetail:events}:due",
        b"{dovetail:events}:list:a",
    }
    assert server.command("HLEN", "{dovetail:kv}:values") == b":1\r\n"
    assert server.command("HLEN", "{dovetail:events}:streams") == b":1\r\n"


async def test_a_stream_keeps_to_its_bounds(server: RedisServer, url: str) -> None:
    bounds = StoreBounds(events=EventBounds(max_events=5, max_bytes=100))
    async with aclosing(RedisStore(url, bounds=bounds)) as store:
        for number in range(50):
            await store.events.append("s", b"x" * number)
        assert server.command("LLEN", "{dovetail:events}:list:s") == b":2\r\n"
        await store.events.keep("whole", [b"%d" % number for number in range(20)])
        assert [event.sequence for event in await store.events.read("whole", 15)] == list(range(16, 21))
        assert server.command("LLEN", "{dovetail:events}:list:whole") == b":5\r\n"
        with pytest.raises(ValueError, match="at least one"):
            await store.events.keep("none", [])


async def test_the_room_of_a_share_is_given_back(server: RedisServer, url: str) -> None:
    """However entries come and go: what is counted is what is there."""
    clock = VirtualClock()
    async with aclosing(RedisStore(url, bounds=CONTRACT_BOUNDS, clock=clock)) as store:
        outer = store.kv.within("o/", share=1 / 4096)
        inner = outer.within("i/", share=0.5)
        for turn in range(20):
            await outer.set("a", b"x" * turn, ttl=10)
            await inner.set("a", b"x" * (100 - turn))
            await store.kv.set("o/a", b"without a share")
            await inner.add("b", b"", ttl=5)
            assert await inner.compare_and_set("b", b"", b"more", ttl=5)
            await store.kv.take("o/i/a")
            clock.advance(6)
        for number in range(30):
            await store.kv.set("other", b"%d" % number)
        await store.kv.delete("o/i/b")
        assert server.command("EXISTS", "{dovetail:kv}:used", "{dovetail:kv}:shares") == b":0\r\n"
        with pytest.raises(StoreFull):
            await inner.set("c", b"x" * 32_768)
        assert server.command("EXISTS", "{dovetail:kv}:used", "{dovetail:kv}:shares") == b":0\r\n"
