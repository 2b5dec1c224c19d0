"""Answers that are known soon, as whole event streams; and writes that the server takes at once, or does not."""

from __future__ import annotations

import asyncio
import json

import pytest
from http_serving import Bench, Prober, bench, serving

from dovetail.protocol.errors import ConnectionLost
from dovetail.transports.http_server.answering import Begun, EventWriter
from dovetail.transports.http_server.asgi import HTTPApp


async def test_a_quick_answer_is_a_whole_stream_that_can_be_resumed():
    async with bench(responses="sse", slow_after=5, retry=0.25) as (_, prober):
        await prober.ready()
        answer = await prober.tool("echo", text="hello")
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["content-length"] == str(len(answer.body))
        primed, said = answer.events
        assert (primed.data, answer.body.count(b"retry: 250\n")) == (b"", 1)
        assert "hello" in said.data.decode()
        again = await (await prober.stream("GET", headers={"Last-Event-ID": primed.id})).rest()
        assert [(event.id, event.data) for event in again] == [(said.id, said.data)]
        nothing = await (await prober.stream("GET", headers={"Last-Event-ID": said.id})).rest()
        assert nothing == []


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-010")
async def test_a_slow_answer_is_primed_before_it_is_known():
    async with bench(responses="sse") as (found, prober):
        await prober.ready()
        stream = await prober.tool_stream("wait", key="a")
        first = await stream.next()
        assert first is not None
        assert (first.data, bool(first.id)) == (b"", True)
        found.event(found.gates, "a").set()
        assert "waited a" in (await stream.rest())[-1].data.decode()


async def test_without_a_session_a_whole_stream_has_no_ids():
    async with bench(responses="sse", sessions=False, slow_after=5) as (_, prober):
        prober.revision = "2025-11-25"
        answer = await prober.tool("echo", text="hello")
        assert [event.id for event in answer.events] == [""]
        assert json.loads(answer.events[0].data)["result"]


class Gate:
    """A ``send`` that takes events at once, until it is shut."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.open = asyncio.Event()
        self.open.set()
        self.tasks: set[object] = set()

    async def send(self, event) -> None:
        self.tasks.add(asyncio.current_task())
        if not self.open.is_set():
            await self.open.wait()
        self.taken.append(event.get("body", b"head"))


async def test_events_keep_their_order_when_the_first_has_to_wait():
    gate = Gate()
    writer = EventWriter(gate.send, (), limit=5, interval=60)
    await writer.start(b"1")
    assert gate.tasks == {asyncio.current_task()}
    gate.open.clear()
    writes = [asyncio.create_task(writer.write(b"%d" % number)) for number in range(2, 6)]
    await asyncio.sleep(0)
    writes[2].cancel()
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(*writes, return_exceptions=True)
    await writer.finish(b"6")
    assert gate.taken == [b"head", b"1", b"2", b"3", b"5", b"6"]
    assert not writer.broken


@pytest.mark.parametrize("how", ["time", "cancel", "gone"])
async def test_a_write_that_does_not_get_through_ends_the_stream(how):
    gate = Gate()

    async def send(event) -> None:
        if how == "gone" and event.get("body") == b"2":
            raise BrokenPipeError
        await gate.send(event)

    writer = EventWriter(send, (), limit=0.01 if how == "time" else 5, interval=60)
    await writer.start(b"1")
    gate.open.clear()
    writing = asyncio.create_task(writer.write(b"2"))
    await asyncio.sleep(0)
    if how == "cancel":
        writing.cancel()
    with pytest.raises((ConnectionLost, asyncio.CancelledError)):
        await writing
    gate.open.set()
    with pytest.raises(ConnectionLost):
        await writer.write(b"3")
    assert gate.taken == [b"head", b"1"]
    writer.close()


async def test_what_was_begun_by_hand_goes_on_in_its_task():
    seen: list[object] = []

    async def work(turns: int) -> None:
        for _ in range(turns):
            seen.append(asyncio.current_task())
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            seen.append("in time")

    begun = Begun(work(2))
    assert not begun.over
    await begun
    assert seen == [asyncio.current_task()] * 2 + ["in time"]
    assert Begun(_nothing()).over


async def _nothing() -> None:
    return


async def test_a_call_that_is_cancelled_before_its_first_step_is_over(monkeypatch: pytest.MonkeyPatch):
    """Both messages are taken in one turn of the loop: nothing of the call has run, and nothing of it stays."""
    # With a task factory, tasks take their first step in the next turn on every Python.
    asyncio.get_running_loop().set_task_factory(lambda loop, work, **kw: asyncio.Task(work, loop=loop, **kw))
    found = Bench()
    app = HTTPApp(found.service)
    async with serving(app) as port:
        prober = await Prober(port).ready()
        stateful, session = app._stateful, prober.session or ""
        start = stateful._calls.start

        def start_and_cancel(call, *rest):
            start(call, *rest)
            stateful._sessions.live(session).cancel(call.id)

        monkeypatch.setattr(stateful._calls, "start", start_and_cancel)
        answer = await prober.tool("wait", key="a")
        assert (answer.status, answer.body) == (202, b"")
        assert not found.event(found.started, "a").is_set()
        assert not stateful._calls._tasks
        assert not stateful._sessions._live


async def test_without_a_free_stream_the_answer_is_still_one_that_the_client_reads():
    async with bench(max_streams=1) as (found, prober):
        await prober.ready()
        standing = await prober.stream("GET")
        await standing.next()
        body = prober.message("tools/call", {"name": "wait", "arguments": {"key": "a"}})
        stream = asyncio.create_task(prober.stream("POST", body, {"accept": "text/event-stream"}))
        await found.event(found.started, "a").wait()
        found.event(found.gates, "a").set()
        answer = await stream
        assert answer.answer.headers["content-type"] == "text/event-stream"
        assert "waited a" in (await answer.rest())[-1].data.decode()
