"""The store in PostgreSQL keeps the contract, shared by bundles and processes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing

import pytest
from agreement import History, agree
from hypothesis import given, settings
from hypothesis import strategies as st
from postgres_server import PostgresServer, migrated, needs_postgres
from test_store_agreement import BOUNDS, steps

from dovetail.stores import Event, MemoryStore, PostgresStore
from dovetail.testing.store_contract import (
    CONTRACT_BOUNDS,
    SharedStoreContract,
    StoreContract,
    VirtualClock,
    a_session,
)

pytestmark = needs_postgres
_numbers = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
async def schema(server: PostgresServer) -> str:
    schema = f"s{next(_numbers)}"
    await migrated(server, schema)
    return schema


class TestPostgresStore(StoreContract, SharedStoreContract):
    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def advance(self, clock: VirtualClock) -> Callable[[float], None]:
        return clock.advance

    @pytest.fixture
    async def store(
        self, server: PostgresServer, schema: str, clock: VirtualClock
    ) -> AsyncIterator[PostgresStore]:
        async with aclosing(
            PostgresStore(server.url, bounds=CONTRACT_BOUNDS, clock=clock, schema=schema)
        ) as store:
            yield store

    @pytest.fixture
    async def peer(
        self, server: PostgresServer, schema: str, clock: VirtualClock
    ) -> AsyncIterator[PostgresStore]:
        async with aclosing(
            PostgresStore(server.url, bounds=CONTRACT_BOUNDS, clock=clock, schema=schema)
        ) as store:
            yield store


async def test_a_clock_that_goes_back_ends_nothing_that_is_in_use(
    server: PostgresServer, schema: str
) -> None:
    clock = VirtualClock()
    async with aclosing(PostgresStore(server.url, schema=schema, clock=clock)) as store:
        await store.sessions.create(a_session())
        await store.events.append("s", b"1")
        clock.advance(-7200)
        assert await store.sessions.touch("s")
        assert await store.events.append("s", b"2") == 2
        clock.advance(7200)
        assert await store.sessions.load("s") is not None
        assert await store.events.read("s", 0) == [Event(1, b"1"), Event(2, b"2")]


@settings(max_examples=40, deadline=None)
@given(history=st.lists(steps(), min_size=5, max_size=60))
def test_memory_and_postgres_agree(server: PostgresServer, history: History) -> None:
    """Written apart, each is the other's oracle."""

    async def run() -> None:
        schema, clock = f"agree{next(_numbers)}", VirtualClock()
        await migrated(server, schema)
        async with (
            aclosing(MemoryStore(bounds=BOUNDS, clock=clock)) as memory,
            aclosing(PostgresStore(server.url, schema=schema, bounds=BOUNDS, clock=clock)) as postgres,
        ):
            await agree(memory, postgres, clock, history)

    asyncio.run(run())
