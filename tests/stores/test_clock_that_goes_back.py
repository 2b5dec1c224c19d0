"""The time of day is set back, or forth again: what is in use does not end for it, and what has expired goes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from redis_server import RedisServer, running_server

from dovetail.stores import Event, MemoryStore, RedisStore, SQLiteStore, Store
from dovetail.stores.namespaces import COST
from dovetail.testing.store_contract import VirtualClock, a_session

HOUR = 3600.0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    yield from running_server(tmp_path_factory.mktemp("redis"))


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def store(request: pytest.FixtureRequest, clock: VirtualClock, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store
    if request.param == "memory":
        made = MemoryStore(clock=clock)
    elif request.param == "sqlite":
        made = SQLiteStore(tmp_path / "store.db", clock=clock)
    else:
        server: RedisServer = request.getfixturevalue("redis")
        server.command("FLUSHALL")
        made = RedisStore(server.url, clock=clock)
    async with aclosing(made):
        yield made


@pytest.mark.parametrize("used", ["touch", "save"])
async def test_a_session_in_use_outlives_it(store: Store, clock: VirtualClock, used: str) -> None:
    await store.sessions.create(a_session())
    clock.advance(-2 * HOUR)
    if used == "touch":
        assert await store.sessions.touch("s")
    else:
        assert await store.sessions.save(a_session(version=2), expected_version=1)
    assert await store.sessions.load("s") is not None
    clock.advance(2 * HOUR)
    assert await store.sessions.load("s") is not None
    clock.advance(HOUR)
    assert await store.sessions.load("s") is None
    assert await store.sessions.count() == 0


async def test_events_that_were_just_appended_outlive_it(store: Store, clock: VirtualClock) -> None:
    await store.events.append("s", b"1")
    clock.advance(-HOUR)
    assert await store.events.append("s", b"2") == 2
    clock.advance(HOUR)
    assert await store.events.read("s", 0) == [Event(1, b"1"), Event(2, b"2")]
    clock.advance(900)
    assert await store.events.append("s", b"3") == 3
    assert await store.events.read("s", 2) == [Event(3, b"3")]


async def test_values_keep_their_time_to_live(store: Store, clock: VirtualClock) -> None:
    await store.kv.set("a", b"1", ttl=10)
    clock.advance(-HOUR)
    await store.kv.set("a", b"2", ttl=10)
    await store.kv.set("b", b"1", ttl=10)
    clock.advance(10)
    assert [await store.kv.get(key) for key in ("a", "b")] == [None, None]
    assert [key async for key in store.kv.scan()] == []


async def test_what_is_kept_after_it_does_not_wait_behind_what_was_kept_before(clock: VirtualClock) -> None:
    """Or an hour of streams would pile up."""
    store = MemoryStore(clock=clock)
    await store.events.keep("before", [b"x" * 1000])
    clock.advance(-HOUR)
    for number in range(1_000):
        await store.events.keep(f"after/{number}", [b"x" * 1000])
    clock.advance(901)
    for number in range(200):
        await store.events.keep(f"later/{number}", [b"x" * 1000])
    held: Callable[[], int] = lambda: store.events._bytes  # noqa: E731 - what nothing else shows
    assert held() < 300 * (1000 + 10 * COST)
    assert await store.events.drop_prefix("after/") == 0
    assert await store.events.last("before") == 1
