"""What ends a call or a session at one worker ends it at all of them. Follows: 2025-11-25 basic/transports "Session
Management", basic/utilities/cancellation.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_serving import ENGINES, OpenStore, running_engine, said, tool, workers
from http_serving import Prober, until

from dovetail.protocol.revisions import STATEFUL
from dovetail.stores.contracts import Event
from dovetail.stores.errors import StoreUnavailable, StreamUnknown


@pytest.fixture(scope="module", params=ENGINES)
def open_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenStore]:
    yield from running_engine(request.param, tmp_path_factory.mktemp("engine"))


@pytest.fixture
def sqlite(tmp_path: Any) -> Iterator[OpenStore]:
    yield from running_engine("sqlite", tmp_path)


def cancelled(prober: Prober, id: Any) -> bytes:
    return prober.message("notifications/cancelled", {"requestId": id}, notice=True)


@pytest.mark.parametrize("revision", STATEFUL)
async def test_a_call_is_cancelled_at_another_worker(open_store: OpenStore, revision: str) -> None:
    async with workers(open_store) as (one, two):
        prober = await one.prober().ready(revision)
        other = two.prober(prober)
        for id in (7, "seven"):
            stream = await prober.stream("POST", tool(prober, "talk", id=id, key=str(id), pause_after=0))
            assert (await said(stream))["method"] == "notifications/progress"
            assert (await other.send("POST", cancelled(prober, id))).status == 202
            await asyncio.wait_for(one.bench.event(one.bench.cancelled, str(id)).wait(), 5)
            assert await said(stream) is None
        await until(lambda: not (one.live or two.live))


async def test_a_call_is_cancelled_where_the_worker_has_only_begun_to_listen(
    sqlite: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No call begins before its worker hears: what another one said of it by then would be lost."""
    async with workers(sqlite) as (one, two):
        slow, listen = asyncio.Event(), one.app.store.bus.listen

        async def listen_late(channel: str, heard: Any) -> Any:
            slow.set()
            await asyncio.sleep(0.3)
            return await listen(channel, heard)

        monkeypatch.setattr(one.app.store.bus, "listen", listen_late)
        prober = await one.prober().ready()
        assert slow.is_set()
        stream = await prober.stream("POST", tool(prober, "talk", id=7, key="a", pause_after=0))
        assert (await said(stream))["method"] == "notifications/progress"
        assert (await two.prober(prober).send("POST", cancelled(prober, 7))).status == 202
        await asyncio.wait_for(one.bench.event(one.bench.cancelled, "a").wait(), 5)


async def test_a_bus_that_is_away_keeps_no_call_waiting(
    sqlite: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with workers(sqlite) as (one, _):

        async def away(channel: str, heard: Any) -> Any:
            raise StoreUnavailable("the bus is away")

        monkeypatch.setattr(one.app.store.bus, "listen", away)
        began = asyncio.get_running_loop().time()
        prober = await one.prober().ready()
        assert (await prober.tool("echo")).status == 200
        assert asyncio.get_running_loop().time() - began < 1.5


async def test_nobody_cancels_calls_of_another_session(sqlite: OpenStore) -> None:
    async with workers(sqlite) as (one, two):
        prober, thief = await one.prober().ready(), await two.prober().ready()
        stream = await prober.stream("POST", tool(prober, "talk", id=7, key="a", pause_after=0))
        assert (await said(stream))["method"] == "notifications/progress"
        assert (await thief.send("POST", cancelled(thief, 7))).status == 202
        other = two.prober(prober)
        for id in (8, "7", "x" * 5000):
            assert (await other.send("POST", cancelled(prober, id))).status == 202
        one.bench.event(one.bench.gates, "a").set()
        while "result" not in (told := await said(stream)):
            assert told["method"] == "notifications/progress"


@pytest.mark.requirement("R2511-CANCELLATION-007")
async def test_a_thousand_cancellations_of_nothing(sqlite: OpenStore) -> None:
    async with workers(sqlite) as (one, two):
        prober = await one.prober().ready()
        stream = await prober.stream("POST", tool(prober, "talk", id=7, key="a", pause_after=0))
        assert (await said(stream))["method"] == "notifications/progress"
        other = two.prober(prober)
        for first in range(1000, 2000, 50):
            answers = await asyncio.gather(
                *(other.send("POST", cancelled(prober, id)) for id in range(first, first + 50))
            )
            assert {answer.status for answer in answers} <= {202, 503}
        one.bench.event(one.bench.gates, "a").set()
        while "result" not in (told := await said(stream)):
            assert told["method"] == "notifications/progress"
        await until(lambda: not (one.live or two.live))


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-046")
@pytest.mark.parametrize("revision", ["2025-03-26", STATEFUL[-1]])
async def test_a_session_that_is_ended_at_another_worker(open_store: OpenStore, revision: str) -> None:
    async with workers(open_store, 3) as (one, two, three):
        prober = await one.prober().ready(revision, {"roots": {}})
        stream = await prober.stream("POST", tool(prober, "talk", id=7, key="a", pause_after=0))
        asking = await prober.stream("POST", tool(prober, "ask", id=8))
        standalone = await three.prober(prober).stream("GET")
        assert standalone.answer.status == 200
        assert (await said(stream))["method"] == "notifications/progress"
        assert (await said(asking))["method"] == "roots/list"
        prefix = one.app._stateful._sessions.live(prober.session or "").prefix
        assert await events_below(one.app.store, prefix, stream_of(one, prober)) > 0
        assert (await two.prober(prober).send("DELETE")).status == 204
        await asyncio.wait_for(one.bench.event(one.bench.cancelled, "a").wait(), 5)
        for each in (stream, asking, standalone):
            async with asyncio.timeout(5):
                while await each.next() is not None:
                    pass
        await until(lambda: not (one.live or two.live or three.live))
        assert await two.app.store.events.drop_prefix(prefix) == 0, "nothing is left in the log"
        assert (await prober.tool("echo")).status == 404


def stream_of(worker: Any, prober: Prober) -> list[str]:
    live = worker.app._stateful._sessions.live(prober.session or "")
    return [stream.name for stream in live.streams.values()]


async def events_below(store: Any, prefix: str, names: list[str]) -> int:
    found: list[Event] = []
    for name in names:
        assert name.startswith(prefix)
        try:
            found += await store.events.read(name, 0)
        except StreamUnknown:
            continue
    return len(found)


async def test_where_no_word_comes_an_ended_session_is_found(
    sqlite: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word was lost, and the bus says so."""
    async with workers(sqlite) as (one, two):
        prober = await one.prober().ready()
        stream = await prober.stream("POST", tool(prober, "talk", id=7, key="a", pause_after=0))
        assert (await said(stream))["method"] == "notifications/progress"
        processes = one.app._stateful._processes
        assert processes is not None
        with monkeypatch.context() as changed:
            changed.setattr(processes, "_hears", {})  # whatever is said now is lost
            changed.setattr(processes, "_missed", [])  # also where a busy bus says that by itself
            assert (await two.prober(prober).send("DELETE")).status == 204
            await two.app.store.bus.publish("http/all", b"the last word")
            heard = asyncio.Event()
            await one.app.store.bus.listen("http/all", lambda data: heard.set())
            await two.app.store.bus.publish("http/all", b"after it")
            await asyncio.wait_for(heard.wait(), 5)
        assert not one.bench.event(one.bench.cancelled, "a").is_set()
        processes._heard(None)
        await asyncio.wait_for(one.bench.event(one.bench.cancelled, "a").wait(), 5)
        assert json.dumps(await said(stream)) == "null"
        await until(lambda: not one.live)
