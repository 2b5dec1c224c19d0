"""Streams over several workers: one standalone stream of a session, wherever it is opened and resumed; and streams of
calls that another worker reads. Follows: 2025-11-25 basic/transports "Listening for Messages from the Server",
"Multiple Connections", "Resumability and Redelivery".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_serving import ENGINES, OpenStore, Worker, running_engine, said, tool, workers
from http_serving import Prober, Stream, until

from dovetail.protocol.bindings.sse import ServerSentEvent
from dovetail.protocol.listening import Change
from dovetail.transports.http_server import streams

TOOLS = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
PROMPTS = {"jsonrpc": "2.0", "method": "notifications/prompts/list_changed"}


@pytest.fixture(scope="module", params=ENGINES)
def open_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenStore]:
    yield from running_engine(request.param, tmp_path_factory.mktemp("engine"))


@pytest.fixture
def sqlite(tmp_path: Any) -> Iterator[OpenStore]:
    yield from running_engine("sqlite", tmp_path)


async def heard(stream: Stream) -> ServerSentEvent:
    """The next event with a message."""
    async with asyncio.timeout(5):
        while (event := await stream.next()) is not None:
            if event.data:
                return event
    raise AssertionError("the stream has ended")


def reader(worker: Worker, prober: Prober) -> object:
    standalone = worker.app._stateful._sessions.live(prober.session or "").standalone
    return None if standalone is None else standalone.stream.reader


async def left(worker: Worker, prober: Prober, stream: Stream) -> None:
    """The client closes its stream, and the worker has noticed."""
    await stream.connection.close()
    await until(lambda: reader(worker, prober) is None)


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-033")
async def test_one_standalone_stream_over_all_workers(open_store: OpenStore) -> None:
    async with workers(open_store) as (one, two):
        prober = await one.prober().ready()
        other = two.prober(prober)
        first = await prober.stream("GET")
        assert first.answer.status == 200
        assert (await other.send("GET")).status == 409
        assert (await prober.another().send("GET")).status == 409
        one.bench.hub.publish(Change("tools"))
        assert json.loads((await heard(first)).data) == TOOLS
        await left(one, prober, first)
        second = await other.stream("GET")
        assert second.answer.status == 200, "one that nobody reads is let go of"
        assert (await prober.send("GET")).status == 409
        two.bench.hub.publish(Change("prompts"))
        assert json.loads((await heard(second)).data) == PROMPTS
        assert reader(one, prober) is None


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-033")
async def test_of_many_at_once_one_is_served(open_store: OpenStore) -> None:
    async with workers(open_store, 3) as found:
        prober = await found[0].prober().ready()
        opened = await asyncio.gather(
            *(found[number % 3].prober(prober).stream("GET") for number in range(9))
        )
        statuses = sorted(stream.answer.status for stream in opened)
        assert statuses[0] == 200
        assert set(statuses[1:]) <= {409, 503}


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-035", "R2511-TRANSPORT-HTTP-039")
async def test_the_standalone_stream_goes_on_at_another_worker(open_store: OpenStore) -> None:
    """What changed before, while nobody read and after; numbers go on, and nothing is lost."""
    async with workers(open_store, 3) as found:
        one, two, three = found
        prober = await one.prober().ready()
        stream = await prober.stream("GET")
        one.bench.hub.publish(Change("tools"))
        event = await heard(stream)
        await left(one, prober, stream)
        one.bench.hub.publish(Change("prompts"))
        resumed = await two.prober(prober).stream("GET", headers={"Last-Event-ID": event.id or ""})
        assert resumed.answer.status == 200
        second = await heard(resumed)
        assert json.loads(second.data) == PROMPTS
        two.bench.hub.publish(Change("resources"))
        third = await heard(resumed)
        assert b"resources" in third.data
        # Once more, while the other connection still reads: it stops, and this one goes on.
        again = await three.prober(prober).stream("GET", headers={"Last-Event-ID": event.id or ""})
        assert [(await heard(again)).id for _ in range(2)] == [second.id, third.id]
        assert await resumed.next() is None
        three.bench.hub.publish(Change("tools"))
        fourth = await heard(again)
        names = {(each.id or "").rpartition("-")[0] for each in (event, second, third, fourth)}
        assert len(names) == 1, "it is the same stream"
        numbers = [int((each.id or "").rpartition("-")[2]) for each in (event, second, third, fourth)]
        assert numbers == sorted(set(numbers))
        assert reader(one, prober) is None
        assert reader(two, prober) is None


async def test_what_a_worker_that_died_may_not_have_told_is_told_again(
    sqlite: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with workers(sqlite) as (one, two):
        prober = await one.prober().ready()
        for uri in ("note://a", "note://b"):
            assert (await prober.call("resources/subscribe", {"uri": uri})).status == 200
        stream = await prober.stream("GET")
        one.bench.hub.publish(Change("tools"))
        event = await heard(stream)
        processes = two.app._stateful._processes

        async def dead(process: str) -> bool:
            return False

        monkeypatch.setattr(processes, "lives", dead)
        resumed = await two.prober(prober).stream("GET", headers={"Last-Event-ID": event.id or ""})
        told = [json.loads((await heard(resumed)).data) for _ in range(4)]
        assert {each["method"] for each in told[:2]} == {
            "notifications/tools/list_changed",
            "notifications/resources/list_changed",
        }
        assert sorted(each["params"]["uri"] for each in told[2:]) == ["note://a", "note://b"]


async def test_what_is_subscribed_to_at_one_worker_is_told_at_another(open_store: OpenStore) -> None:
    async with workers(open_store) as (one, two):
        prober = await one.prober().ready()
        stream = await prober.stream("GET")
        other = two.prober(prober)
        for method in ("resources/subscribe", "resources/unsubscribe"):
            assert (await other.call(method, {"uri": "note://a"})).status == 200
            one.bench.hub.publish(Change("resource", "note://a"))
            if method == "resources/subscribe":
                assert b"note://a" in (await heard(stream)).data
        one.bench.hub.publish(Change("tools"))
        assert json.loads((await heard(stream)).data) == TOOLS, "and no more of what is not subscribed to"


async def test_a_stream_of_a_call_is_pushed_to_another_worker(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not found by looking: nobody looks for as long as this takes."""
    monkeypatch.setattr(streams, "_RARELY", 3600.0)
    async with workers(open_store) as (one, two):
        prober = await one.prober().ready()
        stream = await prober.stream("POST", tool(prober, "talk", id=7, key="a", pause_after=1))
        events = [await heard(stream), await heard(stream)]
        resumed = await two.prober(prober).stream("GET", headers={"Last-Event-ID": events[0].id or ""})
        assert (await heard(resumed)).id == events[1].id
        one.bench.event(one.bench.gates, "a").set()
        assert json.loads((await heard(resumed)).data)["method"] == "notifications/progress"
        async with asyncio.timeout(10):
            assert (await said(resumed))["result"]
            assert await said(resumed) is None


async def test_a_stream_of_a_call_is_read_where_no_word_comes(
    sqlite: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with workers(sqlite) as (one, two):
        prober = await one.prober().ready()
        stream = await prober.stream("POST", tool(prober, "talk", id=7, key="a", pause_after=0))
        event = await heard(stream)
        processes = one.app._stateful._processes
        monkeypatch.setattr(processes, "_answers", {})
        resumed = await two.prober(prober).stream("GET", headers={"Last-Event-ID": event.id or ""})
        one.bench.event(one.bench.gates, "a").set()
        async with asyncio.timeout(10):
            while "result" not in (await said(resumed)):
                pass


async def test_a_worker_that_was_taken_for_dead_gives_up_its_stream(
    sqlite: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood still for a while; when it goes on, another one has its stream, and goes on having it alone."""
    async with workers(sqlite) as (one, two):
        prober = await one.prober().ready()
        stream = await prober.stream("GET")
        one.bench.hub.publish(Change("tools"))
        event = await heard(stream)

        async def dead(process: str) -> bool:
            return False

        monkeypatch.setattr(two.app._stateful._processes, "lives", dead)
        resumed = await two.prober(prober).stream("GET", headers={"Last-Event-ID": event.id or ""})
        assert resumed.answer.status == 200
        await until(lambda: reader(two, prober) is not None)
        processes = one.app._stateful._processes
        assert processes is not None
        processes._heard(None)
        assert await said(stream) is None, "the connection at the first worker ends"
        await until(lambda: reader(one, prober) is None)
        two.bench.hub.publish(Change("prompts"))
        async with asyncio.timeout(10):
            while json.loads((await heard(resumed)).data) != PROMPTS:
                pass


async def test_a_claim_that_is_damaged_keeps_nobody_out(sqlite: OpenStore) -> None:
    async with workers(sqlite) as (one, two):
        prober = await one.prober().ready()
        digest = one.app._stateful._sessions.live(prober.session or "").digest
        await one.app.store.kv.set(f"http/claims/standalone/{digest}", b"\xff{")
        assert (await two.prober(prober).stream("GET")).answer.status == 200
        assert (await prober.send("GET")).status == 409
