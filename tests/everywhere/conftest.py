"""One loop for the whole folder, one server per transport on it, and one client per cell that tests share.

Sharing keeps the folder fast, and is a test in itself: what one test leaves behind meets the next. A test that
breaks its connection opens one of its own with `Spot.connect`.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from everywhere_cells import CELLS, Cell
from everywhere_spots import Clock, Host, Servers, Spot, gone

from dovetail import Client
from dovetail.client import eras

_tags = itertools.count(1)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def clock() -> Clock:
    return Clock(asyncio.get_running_loop())


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers(clock: Clock) -> AsyncIterator[Servers]:
    found = Servers()
    yield found
    await found.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=CELLS, ids=str)
async def shared_spot(request: pytest.FixtureRequest, servers: Servers) -> AsyncIterator[Spot]:
    """A client for each cell. All tests of a cell run one after another, so there is one at a time."""
    cell: Cell = request.param
    before = asyncio.all_tasks()
    target = await servers.target(cell.transport)
    host = Host()
    started = asyncio.all_tasks() - before
    client = Client(target, revision=cell.revision, **host.options())
    async with client:
        yield Spot(cell, target, host, client)
    await gone(before | started)


@pytest.fixture
def spot(shared_spot: Spot) -> Spot:
    """The cell's server and client, its host as if nothing had been."""
    shared_spot.host.reset()
    return shared_spot


@pytest.fixture
def cell(spot: Spot) -> Cell:
    return spot.cell


@pytest.fixture
def client(spot: Spot) -> Client:
    return spot.client


@pytest.fixture
def host(spot: Spot) -> Host:
    return spot.host


@pytest.fixture
def tag() -> str:
    """A word that no other test uses: servers are shared."""
    return f"tag-{next(_tags)}"


@pytest_asyncio.fixture(loop_scope="session")
async def fresh(clock: Clock) -> AsyncIterator[None]:
    """For tests that make their own servers: nothing is known of any server, and no task is left behind."""
    eras.clear()
    before = asyncio.all_tasks()
    yield
    await gone(before)
