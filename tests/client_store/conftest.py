"""A store of each kind, in which clients keep what they keep; and a look for tasks that were left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from postgres_server import PROGRAMS, PostgresServer
from redis_server import RedisServer, running_server
from store_places import Place, place_of, sqlite_place

from dovetail.client import client_records, eras


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    yield from running_server(tmp_path_factory.mktemp("redis"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    if PROGRAMS is None:
        pytest.skip("no-postgres: the machine has no PostgreSQL to start")
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["memory", "sqlite", "redis", "postgres", "mixed"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A store of each kind."""
    made = await place_of(request.param, request, tmp_path)
    yield made
    await made.close()


@pytest.fixture(params=["sqlite", "redis", "postgres"])
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A store of each kind that other processes can open."""
    made = await place_of(request.param, request, tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def lasting(tmp_path: Path) -> AsyncIterator[Place]:
    """A file of SQLite."""
    made = sqlite_place(tmp_path / "kept")
    yield made
    await made.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client goes on without a store that is slow; on a busy machine each is, now and then."""
    monkeypatch.setattr(client_records, "PATIENCE", 60.0)


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """Each test starts knowing no server, and must leave no task behind."""
    eras.clear()
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    left = {
        each for each in left if "Service._live" not in repr(each)
    }  # of an app that is served until the loop ends
    if left:
        _, left = await asyncio.wait(left, timeout=2)
    assert not left, f"tasks were left behind: {left}"
