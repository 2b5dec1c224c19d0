"""The store in PostgreSQL keeps the contract, shared by bundles and processes."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing

import pytest
from postgres_server import PostgresServer, migrated, needs_postgres

from dovetail.stores import PostgresStore
from dovetail.testing.store_contract import CONTRACT_BOUNDS, SharedStoreContract, StoreContract, VirtualClock

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
