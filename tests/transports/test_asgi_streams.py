"""Streams of the stateful era on real sockets: priming, polling, resumption, the standalone stream."""

from __future__ import annotations

import asyncio
import json

import pytest
from http_serving import Bench, Prober, Stream, bench, serving, until

from dovetail.protocol.listening import Change
from dovetail.stores import EventBounds, MemoryStore, StoreBounds
from dovetail.stores.errors import StoreUnavailable
from dovetail.transports.http_server.asgi import HTTPApp

RESUMABLE = ["2025-03-26", "2025-06-18", "2025-11-25"]


def texts(events):
    return [json.loads(event.data) for event in events if event.data]


async def resume(prober: Prober, last: str) -> Stream:
    return await prober.stream("GET", headers={"Last-Event-ID": last})


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-010", "R2511-TRANSPORT-HTTP-034", "R2511-TRANSPORT-HTTP-036")
async def test_a_stream_begins_with_an_event_to_resume_from():
    async with bench(retry=0.25) as (found, prober):
        await prober.ready()
        stream = await prober.tool_stream("wait", key="a")
        first = await stream.next()
        assert first is not None
        assert (first.data, bool(first.id)) == (b"", True)
        assert stream.parser.retry == 250
        found.event(found.gates, "a").set()
        rest = await stream.rest()
        assert texts(rest)[0]["result"]["content"][0]["text"] == "waited a"
        assert rest[0].id != first.id


@pytest.mark.requirement("R2506-TRANSPORT-HTTP-001", "R2506-TRANSPORT-HTTP-003", "R2511-TRANSPORT-HTTP-015")
@pytest.mark.requirement("R2511-TRANSPORT-HTTP-019", "R2506-TRANSPORT-HTTP-002")
@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18"])
async def test_older_revisions_are_not_primed(revision):
    async with bench() as (_, prober):
        await prober.ready(revision)
        stream = await prober.tool_stream("talk")
        events = await stream.rest()
        assert all(event.data for event in events)
        assert all(bool(event.id) == (revision != "2024-11-05") for event in events)


@pytest.mark.parametrize("revision", RESUMABLE)
@pytest.mark.requirement("R2511-TRANSPORT-HTTP-022", "R2511-TRANSPORT-HTTP-038", "R2511-TRANSPORT-HTTP-039")
async def test_f39_a_lost_stream_is_resumed_without_gap_or_repetition(revision):
    async with bench() as (found, prober):
        await prober.ready(revision)
        stream = await prober.tool_stream("talk", key="a", times=6, pause_after=3)
        events = []
        while not events or not events[-1].data or json.loads(events[-1].data)["params"]["progress"] < 2:
            event = await stream.next()
            assert event is not None
            events.append(event)
        stream.connection.abort()
        found.event(found.gates, "a").set()
        await asyncio.wait_for(found.event(found.finished, "a").wait(), 5)
        rest = texts(await (await resume(prober, events[-1].id)).rest())
        assert [message["params"]["progress"] for message in rest[:-1]] == [3, 4, 5]
        assert rest[-1]["result"]["content"][0]["text"] == "talked a"
        again = texts(await (await resume(prober, events[-1].id)).rest())
        assert again == rest


async def test_a_resumed_stream_goes_on_live():
    async with bench() as (found, prober):
        await prober.ready()
        stream = await prober.tool_stream("talk", key="a", times=4, pause_after=1)
        first = await stream.next()
        assert first is not None
        stream.connection.abort()
        again = await resume(prober, first.id)
        assert texts([await again.next(), await again.next()])[1]["params"]["progress"] == 1
        found.event(found.gates, "a").set()
        assert texts(await again.rest())[-1]["result"]["content"][0]["text"] == "talked a"


async def test_a_resumed_stream_of_this_process_is_followed_not_looked_at_again_and_again():
    found = Bench()
    app = HTTPApp(found.service)
    async with serving(app) as port:
        prober = await Prober(port).ready()
        stream = await prober.tool_stream("talk", key="a", times=2, pause_after=0)
        first = await stream.next()
        assert first is not None
        again = await resume(prober, first.id)
        assert texts([await again.next()])[0]["params"]["progress"] == 0
        rest = await stream.rest()
        assert len(rest) <= 1  # the earlier connection was let go
        live = app._stateful._sessions.live(prober.session or "")
        assert [followed.reader is not None for followed in live.streams.values()] == [True]
        found.event(found.gates, "a").set()
        assert "result" in texts(await again.rest())[-1]
        for connection in prober.opened:
            await connection.close()


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-011", "R2511-TRANSPORT-HTTP-013")
async def test_polling_a_stream_that_the_server_closed():
    async with bench() as (found, prober):
        await prober.ready()
        stream = await prober.tool_stream("poll", key="a")
        events = await stream.rest()
        assert [event.data for event in events] == [b""]
        assert stream.parser.retry == 50
        again = await resume(prober, events[0].id)
        found.event(found.gates, "a").set()
        assert texts(await again.rest())[-1]["result"]["content"][0]["text"] == "polled a"


async def test_polling_means_nothing_where_nothing_can_be_resumed():
    async with bench() as (found, prober):
        await prober.ready("2024-11-05")
        found.event(found.gates, "a").set()
        assert (await prober.tool("poll", key="a")).json["result"]["content"][0]["text"] == "polled a"


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-001", "R2511-TRANSPORT-HTTP-025", "R2511-TRANSPORT-HTTP-033")
@pytest.mark.requirement("R2511-TRANSPORT-HTTP-028", "R2511-TRANSPORT-HTTP-027")
async def test_changes_are_told_on_the_standalone_stream_alone():
    async with bench() as (found, prober):
        await prober.ready()
        await prober.call("resources/subscribe", {"uri": "notes://mine"})
        standing = await prober.stream("GET")
        assert standing.answer.status == 200
        assert standing.answer.headers["content-type"] == "text/event-stream"
        await standing.next()
        working = await prober.tool_stream("wait", key="a")
        await working.next()
        found.hub.publish(Change("resource", "notes://other"))
        found.hub.publish(Change("resource", "notes://mine"))
        found.hub.publish(Change("tools"))
        said = texts([await standing.next(), await standing.next()])
        assert [message["method"] for message in said] == [
            "notifications/resources/updated",
            "notifications/tools/list_changed",
        ]
        assert said[0]["params"]["uri"] == "notes://mine"
        found.event(found.gates, "a").set()
        assert [("result" in message) for message in texts(await working.rest())] == [True]
        found.hub.publish(Change("prompts"))
        (later,) = texts([await standing.next()])
        assert later["method"] == "notifications/prompts/list_changed", (
            "the response came on its own stream alone"
        )


async def test_v18_a_second_standalone_stream_is_refused_and_the_first_goes_on():
    async with bench() as (found, prober):
        await prober.ready()
        standing = await prober.stream("GET")
        await standing.next()
        second = await prober.send("GET")
        assert second.status == 409
        found.hub.publish(Change("tools"))
        assert texts([await standing.next()])[0]["method"] == "notifications/tools/list_changed"


async def test_a_standalone_stream_is_resumed_with_what_changed_meanwhile():
    async with bench() as (found, prober):
        await prober.ready()
        standing = await prober.stream("GET")
        first = await standing.next()
        assert first is not None
        standing.connection.abort()
        found.hub.publish(Change("tools"))
        again = await resume(prober, first.id)
        assert texts([await again.next()])[0]["method"] == "notifications/tools/list_changed"
        found.hub.publish(Change("prompts"))
        assert texts([await again.next()])[0]["method"] == "notifications/prompts/list_changed"
        assert (await prober.send("GET")).status == 409


async def test_changes_are_kept_for_an_absent_client_only_for_a_while():
    async with bench(linger=0.02) as (found, prober):
        await prober.ready()
        standing = await prober.stream("GET")
        await standing.next()
        assert len(found.hub) == 1
        standing.connection.abort()
        await until(lambda: not (len(found.hub)))
        fresh = await prober.stream("GET")
        assert fresh.answer.status == 200


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-035", "R2511-TRANSPORT-HTTP-039")
@pytest.mark.parametrize(
    "last", ["17", "r-1", "r" + "0" * 24 + "-1", "\x81", "x" * 5000, "r" + "0" * 24 + "-9" * 20]
)
async def test_f40_an_event_id_that_means_nothing_is_refused(last):
    async with bench() as (_, prober):
        await prober.ready()
        answer = await prober.send("GET", headers={"Last-Event-ID": last})
        assert answer.status == 400
        assert "id" not in answer.json
        assert (await prober.call("ping")).status == 200


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-035", "R2511-TRANSPORT-HTTP-039")
async def test_f39_what_is_resumed_is_one_stream_of_several_and_no_event_id_comes_twice():
    async with bench() as (found, prober):
        await prober.ready()
        standing = await prober.stream("GET")
        one = await prober.tool_stream("talk", key="a", times=2, pause_after=1)
        first, broken_off = await standing.next(), await one.next()
        assert first is not None
        assert broken_off is not None
        one.connection.abort()
        events = [first, broken_off, *await (await prober.tool_stream("talk", times=2)).rest()]
        found.hub.publish(Change("tools"))
        told = await standing.next()
        assert told is not None
        found.event(found.gates, "a").set()
        await asyncio.wait_for(found.event(found.finished, "a").wait(), 5)
        resumed = await resume(prober, broken_off.id)
        rest = await asyncio.wait_for(resumed.rest(), 5)
        said = texts(rest)
        assert {message.get("method", "result") for message in said} == {"notifications/progress", "result"}
        assert said[-1]["result"]["content"][0]["text"] == "talked a"
        ids = [event.id for event in (*events, told, *rest)]
        assert all(ids)
        assert len(set(ids)) == len(ids)


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-039")
async def test_f39_what_a_later_standalone_stream_said_is_not_repeated_on_an_earlier_one():
    async with bench() as (found, prober):
        await prober.ready()
        earlier = await prober.stream("GET")
        last = await earlier.next()
        assert last is not None
        earlier.connection.abort()
        while (later := await prober.stream("GET")).answer.status == 409:  # noqa: ASYNC110 - nobody tells that the first is lost
            await asyncio.sleep(0.005)
        begun = await later.next()
        found.hub.publish(Change("tools"))
        told = await later.next()
        assert None not in (begun, told)
        resumed = await resume(prober, last.id)
        assert await asyncio.wait_for(resumed.rest(), 5) == []


async def test_f40_an_event_id_of_another_session_or_position_is_refused():
    async with bench() as (_, prober):
        await prober.ready()
        stream = await prober.tool_stream("talk")
        last = (await stream.rest())[-1].id
        assert (await prober.send("GET", headers={"Last-Event-ID": last + "0"})).status == 400
        other = prober.another()
        other.session = None
        await other.ready()
        assert (await other.send("GET", headers={"Last-Event-ID": last})).status == 400
        assert await (await resume(prober, last)).rest() == []


async def test_f40_trimmed_events_are_named_not_skipped():
    store = MemoryStore(bounds=StoreBounds(events=EventBounds(max_events=3)))
    async with bench(store=store) as (found, prober):
        await prober.ready()
        stream = await prober.tool_stream("wait", key="a")
        first = await stream.next()
        assert first is not None
        stream.connection.abort()
        other = await prober.tool_stream("talk", key="b", times=1)
        await other.rest()
        found.event(found.gates, "a").set()
        await found.event(found.finished, "a").wait()
        kept = await resume(prober, first.id)
        assert len(texts(await kept.rest())) == 1
        lost = await prober.tool_stream("talk", key="c", times=1, pause_after=0)
        last = await lost.next()
        assert last is not None
        lost.connection.abort()
        found.event(found.gates, "c").set()
        await found.event(found.finished, "c").wait()
        live = await prober.tool_stream("talk", key="d", times=20)
        seen = texts(await live.rest())
        assert len(seen) in range(22)


async def test_two_workers_share_streams():
    """F41: what one worker runs, another can give back."""
    store = MemoryStore()
    one, two = Bench(), Bench()
    async with (
        serving(HTTPApp(one.service, store=store)) as first,
        serving(HTTPApp(two.service, store=store)) as second,
    ):
        prober = await Prober(first).ready()
        stream = await prober.tool_stream("wait", key="a")
        priming = await stream.next()
        assert priming is not None
        stream.connection.abort()
        prober.port = second
        again = await resume(prober, priming.id)
        one.event(one.gates, "a").set()
        assert texts(await again.rest())[-1]["result"]["content"][0]["text"] == "waited a"
        for connection in prober.opened:
            await connection.close()


class FailingEvents:
    """An event log that fails from the n-th append on."""

    def __init__(self, events, good):
        self.events = events
        self.good = good

    def __getattr__(self, name):
        return getattr(self.events, name)

    async def append(self, stream, data):
        self.good -= 1
        if self.good < 0:
            raise StoreUnavailable("as asked")
        return await self.events.append(stream, data)


@pytest.mark.parametrize("good", range(6))
async def test_f41_a_log_that_fails_costs_resumption_and_nothing_else(good):
    store = MemoryStore()
    store.events = FailingEvents(store.events, good)  # pyright: ignore[reportAttributeAccessIssue] - a broken one, on purpose
    async with bench(store=store) as (_, prober):
        await prober.ready()
        events = await (await prober.tool_stream("talk", times=3)).rest()
        said = texts(events)
        assert [message["params"]["progress"] for message in said[:-1]] == [0, 1, 2]
        assert "result" in said[-1]
        marked = [event.id for event in events if event.id]
        if good < 5 and marked:
            assert (await prober.send("GET", headers={"Last-Event-ID": marked[-1]})).status == 400


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-032")
async def test_many_streams_of_one_session_at_once():
    async with bench() as (found, prober):
        await prober.ready()
        streams = [await prober.tool_stream("wait", key=str(number)) for number in range(12)]
        for number in reversed(range(12)):
            found.event(found.gates, str(number)).set()
        ids = set()
        for number, stream in enumerate(streams):
            events = await stream.rest()
            assert texts(events)[-1]["result"]["content"][0]["text"] == f"waited {number}"
            ids.update(event.id for event in events)
        assert len(ids) == 24


async def test_f28_a_slow_reader_holds_up_its_own_call_only():
    """A client that does not read: its call waits, nothing piles up, others are served."""
    async with bench(send_timeout=0.3) as (found, prober):
        await prober.ready()
        big = prober.message(
            "tools/call", {"name": "talk", "arguments": {"key": "slow", "times": 100_000, "pad": 10_000}}
        )
        connection = await prober.start("POST", big)
        await found.event(found.started, "slow").wait()
        assert (await asyncio.wait_for(prober.call("ping"), 5)).status == 200
        connection.abort()
        notice = prober.message("notifications/cancelled", {"requestId": prober.ids - 1}, notice=True)
        await prober.send("POST", notice)
        await asyncio.wait_for(found.event(found.cancelled, "slow").wait(), 10)


async def test_live_tables_are_empty_when_nothing_runs():
    store = MemoryStore()
    found = Bench()
    app = HTTPApp(found.service, store=store, linger=0.0)
    async with serving(app) as port:
        prober = await Prober(port).ready()
        await (await prober.tool_stream("talk")).rest()
        standing = await prober.stream("GET")
        await standing.next()
        for connection in prober.opened:
            await connection.close()
        await until(
            lambda: not (app._stateful._sessions._live or app._limits.streams or app._limits.requests)
        )
        assert len(found.hub) == 0
