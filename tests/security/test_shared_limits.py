"""A rate limit holds over all processes that share a store, and each limits alone where the store is away."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from postgres_server import PostgresServer, migrated, needs_postgres
from redis_server import RedisServer, running_server

from dovetail import App
from dovetail.protocol import codec, envelope
from dovetail.runtime.channel import Channel
from dovetail.security import shared_limits
from dovetail.security.shared_limits import SharedRateLimiter
from dovetail.stores import MemoryStore, RedisStore, SQLiteStore, StoreUnavailable

WORKER = Path(__file__).parent / "limit_worker.py"
RATE, BURST = 20.0, 64
LEASE = BURST // shared_limits.LEASES


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    yield from running_server(tmp_path / "redis")


@pytest.fixture(
    params=["sqlite", "redis", pytest.param("postgres", marks=needs_postgres)],
)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store for several processes, by its URL."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'store.db'}"
    if request.param == "redis":
        return request.getfixturevalue("redis").url
    server: PostgresServer = request.getfixturevalue("postgres")
    schema = f"s{time.monotonic_ns()}"
    return f"{await migrated(server, schema)}&schema={schema}"


class Worker:
    """A process with a limiter of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode()

    async def do(self, **told: Any) -> int:
        """How many calls it admitted."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(told).encode() + b"\n")
        return int(await self.line())


@asynccontextmanager
async def working(
    url: str, *ahead: float, rate: float = RATE, burst: int = BURST
) -> AsyncIterator[list[Worker]]:
    """Processes whose clocks are so many seconds ahead."""
    async with AsyncExitStack() as stack:
        workers: list[Worker] = []
        for seconds in ahead:
            words = [sys.executable, str(WORKER), url, *map(str, (rate, burst, seconds))]
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe)
            stack.push_async_callback(process.wait)
            if process.stdin is not None:
                stack.callback(process.stdin.close)
            workers.append(Worker(process))
        for worker in workers:
            assert await worker.line() == "ready\n"
        yield workers


async def together(workers: list[Worker], **told: Any) -> int:
    return sum(await asyncio.gather(*(worker.do(**told) for worker in workers)))


async def test_a_burst_is_one_burst_for_all(url: str) -> None:
    async with working(url, 0, 0, 0) as workers:
        began = time.monotonic()
        admitted = await together(workers, key="k", calls=200)
        most = BURST + RATE * (time.monotonic() - began)
        assert BURST - len(workers) * LEASE <= admitted <= most + 1, "a thundering start takes what there is"
        assert await together(workers, key="other", calls=5) == 15


async def test_the_rate_is_one_rate_for_all(url: str) -> None:
    async with working(url, 0, 0) as workers:
        began = time.monotonic()
        admitted = await together(workers, key="k", calls=100)
        admitted += await together(workers, key="k", seconds=2.0)
        took = time.monotonic() - began
        assert admitted <= BURST + RATE * took + 1
        assert admitted >= BURST + RATE * 2.0 * 0.7 - 2 * LEASE, "nor is less admitted than may be"


async def test_what_a_process_does_not_spend_goes_back(url: str) -> None:
    """At a rate that refills nothing while the test lasts."""
    async with working(url, 0, 0, rate=0.01) as (one, other):
        assert await one.do(key="k", calls=1) == 1
        await asyncio.sleep(shared_limits.TERM * 2)  # the lease has to end, and nothing but time ends it
        assert await other.do(key="k", calls=100) == BURST - 1


@pytest.mark.parametrize("ahead", [-30.0, 30.0])
async def test_clocks_that_differ(url: str, ahead: float) -> None:
    async with working(url, 0, ahead) as (one, other):
        began = time.monotonic()
        admitted = await one.do(key="k", calls=100)
        for _ in range(3):
            admitted += await other.do(key="k", calls=100)
            admitted += await one.do(key="k", calls=100)
        # The later clock counts from when it is first seen: that is worth one burst, once.
        assert admitted <= 2 * BURST + RATE * (time.monotonic() - began) + 1
        began = time.monotonic()
        admitted = await together([one, other], key="k", seconds=1.0)
        took = time.monotonic() - began
        assert RATE * 0.5 <= admitted <= RATE * took + 2 * LEASE + 1, "and nobody starves"


async def take(limiter: SharedRateLimiter, key: str) -> float:
    wait: float | Awaitable[float] = limiter.take(key)
    return wait if isinstance(wait, (int, float)) else await wait


async def test_an_engine_that_is_away_and_comes_back(
    redis: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_limits, "RETRY", 0.05)
    store = RedisStore(redis.url, timeout=0.5)
    limiter = SharedRateLimiter(0.01, 32, kv=store.kv, name="test")
    with caplog.at_level(logging.INFO, "dovetail.server"):
        assert await take(limiter, "k") == 0
        redis.kill()
        admitted = [await take(limiter, "k") for _ in range(100)]
        assert 31 <= admitted.count(0.0) <= 34, "this process alone decides, by the same numbers"
        told = [
            each.getMessage() for each in caplog.records if "over all processes together" in each.getMessage()
        ]
        assert len(told) == 1
        redis.start()
        while not any("again" in each.getMessage() for each in caplog.records):
            await take(limiter, "elsewhere")
            await asyncio.sleep(0.02)
    assert await take(limiter, "another") == 0
    await store.aclose()


async def test_an_engine_that_stands_still_holds_up_nobody_for_long(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_limits, "PATIENCE", 0.2)
    store = RedisStore(redis.url, timeout=2.0)
    limiter = SharedRateLimiter(1000.0, 1000, kv=store.kv, name="test")
    assert await take(limiter, "k") == 0
    redis.pause()
    began = time.monotonic()
    answers = await asyncio.gather(*(take(limiter, f"k{number}") for number in range(500)))
    assert answers.count(0.0) == 500
    assert time.monotonic() - began < 2.0
    began = time.monotonic()
    assert all([await take(limiter, f"more{number}") == 0 for number in range(500)])
    assert time.monotonic() - began < 0.5, "nobody waits for what is known to be away"
    redis.resume()
    await store.aclose()


async def test_a_call_with_an_allowance_asks_nobody(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store.db")
    limiter = SharedRateLimiter(1000.0, 1600, kv=store.kv, name="test")
    assert await take(limiter, "k") == 0
    plain = [limiter.take("k") for _ in range(99)]
    assert plain == [0.0] * 99, "the rest of a lease is there without waiting"
    await store.aclose()


class Hurt:
    """Keys whose records are not what they were."""

    def __init__(self, value: bytes) -> None:
        self.kv = MemoryStore().kv
        self.value = value

    def within(self, prefix: str, *, share: float | None = None) -> Any:
        return self

    async def get(self, key: str) -> bytes | None:
        return await self.kv.get(key) or self.value

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, *, ttl: float | None = None
    ) -> bool:
        if await self.kv.get(key) is None:
            if expected != self.value:
                return False
            await self.kv.set(key, self.value)
        return await self.kv.compare_and_set(key, expected, value, ttl=ttl)


@pytest.mark.parametrize(
    "record",
    [
        b"short",
        b"x" * 16,
        shared_limits._RECORD.pack(math.nan, 0.0),
        shared_limits._RECORD.pack(math.inf, 1.0),
        shared_limits._RECORD.pack(1e300, 0.0),
    ],
)
async def test_a_record_that_makes_no_sense_is_a_full_bucket(record: bytes) -> None:
    limiter = SharedRateLimiter(0.01, 32, kv=cast("Any", Hurt(record)), name="test")
    answers = [await take(limiter, "k") for _ in range(40)]
    assert answers.count(0.0) == 32
    assert all(0 < each < 200 for each in answers[32:])


async def test_what_is_kept_is_bounded() -> None:
    store = MemoryStore()
    limiter = SharedRateLimiter(1000.0, 16, kv=store.kv, name="test", max_keys=50)
    answers = await asyncio.gather(*(take(limiter, f"k{number}") for number in range(3000)))
    assert answers.count(0.0) == 3000
    assert len(limiter) <= 50
    keys = [key async for key in store.kv.scan()]
    assert len(keys) <= 3000
    assert all(re.fullmatch(r"limits/[0-9a-f]{40}", key) for key in keys), "they name nobody"


async def test_a_store_that_is_full_limits_nobody_more(caplog: pytest.LogCaptureFixture) -> None:
    class Full(Hurt):
        async def compare_and_set(
            self, key: str, expected: bytes | None, value: bytes | None, *, ttl: float | None = None
        ) -> bool:
            raise StoreUnavailable("no room")

    limiter = SharedRateLimiter(0.01, 3, kv=cast("Any", Full(b"")), name="test")
    assert [await take(limiter, "k") == 0 for _ in range(5)] == [True, True, True, False, False]
    assert "no room" in caplog.text


class Remote(Channel):
    """A caller somewhere else."""

    remote = "203.0.113.1"


async def test_an_app_with_a_shared_store_shares_its_limit(tmp_path: Path) -> None:
    """Two apps of one name stand for two processes; one that keeps all in memory has its own."""

    def make(store: Any) -> App:
        app = App("limited", rate_limit=0.001, burst=4, store=store)

        @app.tool
        async def quick() -> str:
            return "quick"

        app.asgi(sessions=False)
        return app

    async def code(app: App) -> int | None:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {"name": "quick", "arguments": {}, "_meta": meta}
        data = codec.encode({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        call = app.service.exchange.judge(envelope.read(data))
        return (await app.service.dispatcher.answer(call, Remote())).code

    stores = [SQLiteStore(tmp_path / "store.db") for _ in range(2)]
    one, other = make(stores[0]), make(stores[1])
    assert [await code(app) for app in (one, other, one, other, one, other)].count(-31429) == 2
    alone = [make(MemoryStore()), make(None)]
    for app in alone:
        assert [await code(app) for _ in range(5)].count(None) == 4
    for store in stores:
        await store.aclose()
