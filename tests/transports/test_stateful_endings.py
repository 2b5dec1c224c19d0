"""The stateful era over HTTP: calls that are cancelled, and what an endpoint without sessions does not offer.

Follows: 2025-11-25 basic/utilities/cancellation, basic/lifecycle "Capability Negotiation".
"""

from __future__ import annotations

import asyncio
import json

import pytest
from http_serving import Prober, Stream, bench, serving

from dovetail import App, Context
from dovetail.stores.memory import MemoryStore


def swallowing(events: dict[str, asyncio.Event]) -> App:
    app = App("swallowing")

    @app.tool
    async def swallow(ctx: Context) -> str:
        await ctx.progress(1)
        events["entered"].set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "swallowed"
        return "never"

    return app


@pytest.mark.parametrize("heard", [False, True])
async def test_a_cancelled_call_is_not_answered_even_if_its_handler_swallows_that(heard: bool):
    """The stream ends, before the client heard of the call or after."""
    events = {"entered": asyncio.Event()}
    async with serving(swallowing(events).asgi()) as port:
        prober = await Prober(port).ready()
        meta = {"_meta": {"progressToken": 1}} if heard else {}
        connection = await prober.start(
            "POST", prober.message("tools/call", {"name": "swallow", "arguments": {}, **meta}, id=7)
        )
        await events["entered"].wait()
        stream = Stream(connection, await connection.head()) if heard else None
        if stream is not None:
            while (event := await stream.next()) is not None and not event.data:
                pass
        notice = prober.message("notifications/cancelled", {"requestId": 7}, notice=True)
        assert (await prober.send("POST", notice)).status == 202
        if stream is None:
            head = await connection.head()
            if "content-length" in head.headers:  # cancelled before the answer became a stream
                assert (head.status, head.headers["content-length"]) == (202, "0")
                await connection.close()
                return
            stream = Stream(connection, head)
        assert [event.data for event in await stream.rest() if event.data] == []
        await connection.close()


async def test_a_call_is_found_though_the_store_was_slow_when_it_came(monkeypatch: pytest.MonkeyPatch):
    """Another request of the session came and went meanwhile: what the process holds of the session stays the same."""
    events = {"entered": asyncio.Event()}
    store = MemoryStore()
    slow, reached, touch = asyncio.Event(), asyncio.Event(), store.sessions.touch

    async def slowly(id: str) -> bool:
        if not reached.is_set():
            reached.set()
            await slow.wait()
        return await touch(id)

    async with serving(swallowing(events).asgi(store=store)) as port:
        prober = await Prober(port).ready()
        monkeypatch.setattr("dovetail.transports.http_server.sessions._LATELY", 0.0)
        monkeypatch.setattr(store.sessions, "touch", slowly)
        call = prober.message("tools/call", {"name": "swallow", "arguments": {}}, id=7)
        connection = await prober.start("POST", call)
        await reached.wait()
        assert (await prober.call("ping")).status == 200
        slow.set()
        await events["entered"].wait()
        notice = prober.message("notifications/cancelled", {"requestId": 7}, notice=True)
        assert (await prober.send("POST", notice)).status == 202
        async with asyncio.timeout(5):
            await connection.answer()  # which ends only with the call
        await connection.close()


async def test_a_call_that_is_cancelled_in_its_own_batch_keeps_no_client_waiting():
    async with bench() as (_, prober):
        await prober.ready("2025-03-26")
        call = json.loads(prober.message("tools/call", {"name": "wait", "arguments": {"key": "b"}}, id=7))
        notice = json.loads(prober.message("notifications/cancelled", {"requestId": 7}, notice=True))
        ping = json.loads(prober.message("ping", id=8))
        async with asyncio.timeout(20):
            answer = await prober.send("POST", json.dumps([call, notice, ping]).encode())
        streamed = [json.loads(event.data) for event in answer.events if event.data]
        found = streamed or answer.json
        assert [reply["id"] for reply in found] == [8]


async def test_without_sessions_nothing_is_offered_that_can_not_be_kept():
    app = App("plain")
    app.add_tool(lambda: None, name="t")
    app.add_resource(lambda: "text", "note://r")
    async with serving(app.asgi(sessions=False)) as port:
        prober = Prober(port)
        offered = (await prober.initialize()).json["result"]["capabilities"]
        assert offered == {"tools": {}, "resources": {}}
        for method, params in (
            ("logging/setLevel", {"level": "error"}),
            ("resources/subscribe", {"uri": "note://r"}),
            ("resources/unsubscribe", {"uri": "note://r"}),
        ):
            assert (await prober.call(method, params)).json["error"]["code"] == -32601
        modern = (await prober.ask("server/discover")).json["result"]["capabilities"]
        assert modern["tools"] == {"listChanged": True}, "there subscriptions need no session"
        for connection in prober.opened:
            await connection.close()
