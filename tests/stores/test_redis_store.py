"""The store in Redis keeps the contract, alone and shared."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing

import pytest
from redis_server import RedisServer, running_server

from dovetail.stores import RedisStore
from dovetail.testing.store_contract import (
    CONTRACT_BOUNDS,
    SharedStoreContract,
    StoreContract,
    VirtualClock,
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
