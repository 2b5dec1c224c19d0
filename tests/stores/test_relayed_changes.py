"""A change in one process reaches the listeners of every process that shares the store, in both eras.

Real processes on real engines: SQLite, Redis and PostgreSQL. Specification: basic/patterns/subscriptions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from relayed_worker import OVENS
from shared_engines import KINDS, Engine, Workers, running_engine, workers_on

from dovetail import Client
from dovetail.client import Subscription
from dovetail.extensions import Extension
from dovetail.protocol import listening
from dovetail.runtime import change_relay

STATEFUL, STATELESS = "2025-11-25", "2026-07-28"
BAKING = Extension(identifier="com.example/baking", changes=[OVENS])


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("shared")
    yield from running_engine(request.param, folder)


@pytest.fixture
def engine(running: Engine) -> Engine:
    running.clear()
    return running


@pytest.fixture
async def workers(engine: Engine) -> AsyncIterator[Workers]:
    async with workers_on(engine) as workers:
        yield workers


async def heard(subscription: Subscription, count: int) -> list[str]:
    """The next so many changes: what changed, or which list."""
    found: list[str] = []
    for _ in range(count):
        async with asyncio.timeout(20):  # for each: how long all take says how busy the machine is
            change = await anext(subscription)
        found.append(change.uri or change.kind)
    return found


@asynccontextmanager
async def listeners(urls: list[str], *resources: str) -> AsyncIterator[list[Subscription]]:
    """Those of all the workers, in both eras."""
    async with AsyncExitStack() as stack:
        found: list[Subscription] = []
        for url in urls:
            for revision in (STATEFUL, STATELESS):
                client = await stack.enter_async_context(Client(url, revision=revision))
                found.append(
                    await stack.enter_async_context(
                        client.listen(tools=True, prompts=True, resources=list(resources))
                    )
                )
        yield found


async def test_a_change_reaches_the_listeners_of_all_processes_in_both_eras(workers: Workers) -> None:
    urls = [await workers.serve() for _ in range(3)]
    async with listeners(urls, "note://a", "note://b") as subscriptions, Client(urls[0]) as client:
        await client.call_tool("touch", {"uris": ["note://a"]})
        for each in subscriptions:
            assert await heard(each, 1) == ["note://a"]
        await client.call_tool("grow", {"name": "six"})
        for each in subscriptions:
            assert await heard(each, 1) == ["tools"]
        # Order, and nothing of what nobody listens to.
        await client.call_tool("touch", {"uris": ["note://b", "note://other", "note://a"]})
        for each in subscriptions:
            assert await heard(each, 2) == ["note://b", "note://a"]
        await client.call_tool("touch", {"uris": ["note://ab", "note://a/below"]})
        for each in subscriptions:
            assert await heard(each, 1) == ["note://a/below"]


@pytest.mark.parametrize("how", ["sync", "async", "thread"])
async def test_a_job_that_serves_nothing_is_heard_though_it_ends_at_once(workers: Workers, how: str) -> None:
    urls = [await workers.serve() for _ in range(2)]
    wanted = [f"note://{number}" for number in range(5)]
    async with listeners(urls, *wanted) as subscriptions:
        await workers.job(how, *wanted)
        for each in subscriptions:
            found = await heard(each, len(wanted))
            assert (
                sorted(found) if how == "thread" else found
            ) == wanted  # and of no list: that was the import


@pytest.mark.vendor_methods(OVENS.notification, OVENS.filter)
async def test_kinds_of_change_that_extensions_bring_are_relayed(workers: Workers) -> None:
    one, two = [await workers.serve() for _ in range(2)]
    async with (
        Client(one) as client,
        Client(two, revision=STATELESS, extensions=[BAKING]) as other,
        other.listen(further={"ovens": ["7"]}) as ovens,
    ):
        await client.call_tool("bake", {"oven": "8"})
        await client.call_tool("bake", {"oven": "7"})
        async with asyncio.timeout(20):
            change = await anext(ovens)
        assert (change.kind, change.uri) == ("oven", "7")
        assert set(change.data) >= {"oven", "by"}


async def test_what_a_client_keeps_of_one_process_is_let_go_when_another_changes_it(workers: Workers) -> None:
    one, two = [await workers.serve() for _ in range(2)]
    async with (
        Client(one) as client,
        Client(two, revision=STATELESS) as other,
        other.listen(tools=True, resources=["note://a"]) as changes,
    ):
        read = [str(await other.read("note://a")) for _ in range(2)]
        assert read[0] == read[1]
        await client.call_tool("touch", {"uris": ["note://a"]})
        assert await heard(changes, 1) == ["note://a"]
        assert str(await other.read("note://a")) != read[0]


async def test_ten_thousand_changes_of_a_job_are_heard_quickly(workers: Workers) -> None:
    url = await workers.serve()
    count = listening.MAX_RESOURCES
    async with (
        Client(url, revision=STATELESS) as client,
        client.listen(resources=[f"note://{number}" for number in range(count)]) as changes,
    ):
        reading = asyncio.ensure_future(
            heard(changes, count)
        )  # it keeps no more than 4,096 that nobody reads
        await workers.job("sync", str(count))
        assert await reading == [f"note://{number}" for number in range(count)]


@pytest.mark.parametrize("running", KINDS[1:], indirect=True)
async def test_who_listens_while_the_engine_is_away_is_told_of_all_it_may_have_missed(
    workers: Workers, engine: Engine
) -> None:
    urls = [await workers.serve() for _ in range(2)]
    async with (
        listeners(urls, "note://a", "note://b") as subscriptions,
        Client(urls[0], revision=STATELESS) as client,
    ):
        await client.call_tool("touch", {"uris": ["note://a"]})
        for each in subscriptions:
            assert await heard(each, 1) == ["note://a"]
        engine.kill()
        await client.call_tool("touch", {"uris": ["note://b"]})
        assert await heard(subscriptions[1], 1) == ["note://b"]  # here, at once
        engine.start()
        for each in subscriptions:
            found: set[str] = set()
            while not found >= {"tools", "note://a", "note://b"}:
                found.update(await heard(each, 1))


@pytest.mark.parametrize("running", KINDS[1:], indirect=True)
async def test_a_worker_that_starts_while_the_engine_is_away_serves_and_hears_later(
    workers: Workers, engine: Engine
) -> None:
    engine.kill()
    try:
        url = await workers.serve()
        async with (
            Client(url, revision=STATELESS) as client,
            client.listen(resources=["note://a"]) as changes,
        ):
            assert (await client.call_tool("one")).text
            engine.start()
            assert await heard(changes, 1) == ["note://a"]  # it may have been missed
            await workers.job("sync", "note://a")
            assert await heard(changes, 1) == ["note://a"]
    finally:
        if engine.server is not None and engine.server.process is None:
            engine.start()


@pytest.mark.parametrize("running", KINDS[1:], indirect=True)
async def test_a_job_whose_engine_is_away_ends_all_the_same_and_says_so(
    workers: Workers, engine: Engine
) -> None:
    engine.kill()
    try:
        began = time.monotonic()
        await workers.job("sync", "note://a")
        assert time.monotonic() - began < change_relay.EXIT + 10
        log = "\n".join(workers.logs[-1])
        assert log.count("other processes are not told of changes") == 1
        assert "others were not told of 1 changes" in log
    finally:
        engine.start()
