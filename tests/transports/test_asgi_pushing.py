"""Messages that a server takes without anybody waiting: the same stream as by any other way, in the same order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from http_serving import Prober, Stream, serving

from dovetail import App, Context
from dovetail.protocol.errors import ConnectionLost
from dovetail.transports.http1.server.connection import HTTPServerConnections
from dovetail.transports.http_server.answering import Event, EventWriter, Pushing, Receive, Scope, Send

HOW = ["ours", "wrapped", "httptools", "h11"]
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
NOTES = 200


class Wrapped:
    """Middleware that looks at all that is sent, as one that compresses would."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.sent: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def note(event: Event) -> None:
            self.sent.append(event.get("body", b""))
            await send(event)

        await self.app(scope, receive, note)


def talkative() -> App:
    app = App("pushing")

    @app.tool
    async def report(ctx: Context, times: int) -> str:
        for done in range(times):
            await ctx.progress(done, times, message=f"step\n{done}")
            await ctx.log("info", {"done": done})
        return "done"

    @app.tool
    async def touch(first: int, last: int) -> str:
        for number in range(first, last):
            app.resource_updated(f"note://{number}")
        return "touched"

    for number in range(NOTES):
        app.add_resource(lambda: "text", f"note://{number}", name=f"note-{number}")
    return app


@contextlib.asynccontextmanager
async def served(how: str, **options: Any) -> AsyncIterator[tuple[App, Prober, Wrapped]]:
    app = talkative()
    endpoint = app.asgi(**options)
    wrapped = Wrapped(endpoint)
    http: Any = HTTPServerConnections(30.0) if how in ("ours", "wrapped") else how
    async with serving(wrapped if how == "wrapped" else endpoint, http=http) as port:
        prober = Prober(port)
        try:
            yield app, prober, wrapped
        finally:
            for connection in prober.opened:
                await connection.close()


async def listening(prober: Prober, id: int | str, wanted: dict[str, Any]) -> Stream:
    body, headers = prober.modern("subscriptions/listen", {"notifications": wanted}, id=id)
    stream = await prober.stream("POST", body, headers)
    acknowledged = await stream.next()
    assert acknowledged is not None
    assert b"acknowledged" in acknowledged.data
    return stream


async def touch(prober: Prober, first: int, last: int) -> None:
    answer = await prober.ask("tools/call", {"name": "touch", "arguments": {"first": first, "last": last}})
    assert answer.status == 200


@pytest.mark.parametrize("how", HOW)
async def test_what_a_call_says_comes_in_order_and_before_its_answer(how: str):
    meta = {**META, "progressToken": "p", "io.modelcontextprotocol/logLevel": "info"}
    params = {"name": "report", "arguments": {"times": 300}}
    async with served(how) as (_, prober, wrapped):
        body, headers = prober.modern("tools/call", params, meta=meta)
        answer = await prober.send("POST", body, headers)
        said = [json.loads(event.data) for event in answer.events]
        assert len(said) == 601
        for number in range(300):
            progress, logged = said[2 * number]["params"], said[2 * number + 1]["params"]
            assert progress == {
                "progressToken": "p",
                "progress": number,
                "total": 300,
                "message": f"step\n{number}",
            }
            assert logged == {"level": "info", "data": {"done": number}}
        assert said[-1]["result"]["content"][0]["text"] == "done"
        assert b"".join(wrapped.sent) == (answer.body if how == "wrapped" else b"")


@pytest.mark.requirement("R2607-SUBSCRIPTIONS-001", "R2607-SCHEMA-031")
@pytest.mark.parametrize("how", HOW)
async def test_each_stream_hears_of_what_it_named_under_its_own_id(how: str):
    async with served(how) as (app, prober, _):
        wanted = {"resourceSubscriptions": ["note://1", "note://3"]}
        streams = {id: await listening(prober, id, wanted) for id in (7, "seven", '"7"')}
        many = await listening(prober, 8, {"resourceSubscriptions": [f"note://{n}" for n in range(20)]})
        lists = await listening(prober, 9, {"toolsListChanged": True})
        await touch(prober, 0, 5)
        await asyncio.to_thread(app.resource_updated, "note://3")
        app.remove_tool("report")
        for id, stream in streams.items():
            assert [await heard(stream) for _ in range(3)] == [(id, f"note://{n}") for n in (1, 3, 3)]
        assert [await heard(many) for _ in range(6)] == [(8, f"note://{n}") for n in (0, 1, 2, 3, 4, 3)]
        assert await heard(lists) == (9, None)


async def heard(stream: Stream) -> tuple[int | str, str | None]:
    event = await asyncio.wait_for(stream.next(), 10)
    assert event is not None
    params = json.loads(event.data)["params"]
    return params["_meta"]["io.modelcontextprotocol/subscriptionId"], params.get("uri")


async def test_f28_who_does_not_read_is_told_later_and_in_order_and_holds_up_nobody():
    """What has left for it arrives in order; then each change that happened meanwhile, once; then what is new."""
    rounds, large = 30, "x" * 1000
    async with served("ours") as (app, prober, _):
        slow = await listening(
            prober, large, {"resourceSubscriptions": [f"note://{n}" for n in range(NOTES)]}
        )
        slow.connection.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16
        )
        quick = await listening(prober, 2, {"resourceSubscriptions": ["note://1"]})
        for _ in range(rounds):
            await touch(prober, 1, NOTES)
            assert await heard(quick) == (2, "note://1")
        app.resource_updated("note://0")
        numbers = [-1]
        while numbers[-1] != 0:
            id, uri = await heard(slow)
            assert (id, uri is None) == (large, False)
            numbers.append(int(str(uri).removeprefix("note://")))
        told = numbers[1:-1]
        assert told == (list(range(1, NOTES)) * rounds)[: len(told)]
        assert NOTES < len(told) < rounds * (NOTES - 1)


class Request(Pushing):
    """What a server of ours gives: takes events at once, unless its client has to read first."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.full = False
        self.room = asyncio.Event()
        self.waits = asyncio.Event()

    async def send(self, event: Event) -> None:
        if self.full:
            self.waits.set()
            await self.room.wait()
        self.taken.append(event.get("body", b""))

    def push(self, data: bytes) -> bool:
        if not self.full:
            self.taken.append(data)
        return not self.full


async def test_nothing_is_pushed_past_an_event_that_has_to_wait():
    request = Request()
    writer = EventWriter(request.send, (), limit=5, interval=60)
    await writer.start()
    assert writer.push(b"1")
    request.full = True
    assert not writer.push(b"2")
    second = asyncio.create_task(writer.write(b"2"))
    await request.waits.wait()
    request.full = False  # but the second is still on its way
    assert not writer.push(b"3")
    third = asyncio.create_task(writer.write(b"3"))
    await asyncio.sleep(0)
    request.room.set()
    await asyncio.gather(second, third)
    assert writer.push(b"4")
    assert request.taken == [b"", b"", b"1", b"2", b"3", b"4"]
    writer.close()


async def test_nothing_is_pushed_after_an_event_that_did_not_get_through():
    request = Request()
    writer = EventWriter(request.send, (), limit=0.01, interval=60)
    await writer.start()
    request.full = True
    with pytest.raises(ConnectionLost):
        await writer.write(b"1")
    request.full = False
    assert not writer.push(b"2")
    with pytest.raises(ConnectionLost):
        await writer.write(b"2")
    writer.close()


async def test_what_is_pushed_keeps_a_stream_alive_without_comments():
    request = Request()
    writer = EventWriter(request.send, (), limit=5, interval=60)
    await writer.start()
    writer.push(b"1")
    writer._time()
    assert request.taken == [b"", b"", b"1"]
    writer._time()
    assert isinstance(writer._beating, asyncio.Task)
    await writer._beating
    assert request.taken == [b"", b"", b"1", b":\n\n"]
    writer.close()


def test_who_wraps_send_sees_all_that_is_sent():
    request = Request()

    async def wrapped(event: Event) -> None:
        await request.send(event)

    assert EventWriter(request.send, (), limit=5, interval=60).pushing is request
    assert EventWriter(wrapped, (), limit=5, interval=60).pushing is None
