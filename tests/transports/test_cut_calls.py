"""Calls that the end of a server cuts are answered as such: on every transport, in both eras, without a traceback.

Each test is a real process, and nothing in it waits for time to pass. Follows: basic/lifecycle "Shutdown".
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ending_peers import Peer, peer
from http_serving import CLIENT, Prober, serving

from dovetail import App
from dovetail.transports.http_server.asgi import HTTPApp

SHORT = {"drain": 2.0}
OPENING = {"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}, "clientInfo": CLIENT}
CUT = "the server is shutting down, and cancelled the call"


def told(answer: Any, id: int) -> None:
    """It says of this call that the end of the server cancelled it."""
    assert answer["id"] == id, answer
    assert answer["error"] == {"code": -32603, "message": CUT}


async def open_session(one: Peer) -> None:
    assert one.lines is not None
    one.lines.send("initialize", OPENING, stateful=True)
    await one.lines.next()
    one.lines.say(method="notifications/initialized")


def quiet(one: Peer) -> None:
    assert not one.server.said("Traceback"), one.server.log


@pytest.mark.parametrize("transport", ["stdio", "unix"])
@pytest.mark.parametrize("stateful", [True, False])
@pytest.mark.parametrize("tool", ["hang", "swallow", "block"])
async def test_lines(transport: str, stateful: bool, tool: str, tmp_path: Path) -> None:
    """Also of handlers that swallow their cancellation, and of threads that nobody can cancel."""
    async with peer(transport, tmp_path, options=SHORT) as one:
        assert one.lines is not None
        if stateful:
            await open_session(one)
        id = one.lines.send("tools/call", {"name": tool, "arguments": {}}, stateful=stateful)
        await one.server.until(f"note: {tool}")
        one.server.signal(signal.SIGTERM)
        told(await one.lines.next(), id)
        assert await one.lines.next() is None
        await one.server.ended()
        quiet(one)


async def test_lines_in_a_batch(tmp_path: Path) -> None:
    async with peer("stdio", tmp_path, options=SHORT) as one:
        assert one.lines is not None
        one.lines.send("initialize", {**OPENING, "protocolVersion": "2025-03-26"}, stateful=True)
        await one.lines.next()
        one.lines.say(method="notifications/initialized")
        calls = [
            {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": {}}}
            for id, tool in ((10, "pid"), (11, "hang"), (12, "swallow"))
        ]
        one.lines.writer.write(json.dumps(calls).encode() + b"\n")
        await one.server.until("note: hang")
        await one.server.until("note: swallow")
        one.server.signal(signal.SIGTERM)
        answers: Any = await one.lines.next()
        by_id = {answer["id"]: answer for answer in answers}
        assert "result" in by_id[10]
        told(by_id[11], 11)
        told(by_id[12], 12)
        await one.server.ended()
        quiet(one)


@pytest.mark.parametrize("tool", ["hang", "swallow"])
async def test_stdio_after_the_end_of_the_input(tool: str, tmp_path: Path) -> None:
    """What can be finished in time is, since the client may still read; what cannot is cut, and told."""
    async with peer("stdio", tmp_path, options={"grace": 0.5, "drain": 2.0}) as one:
        assert one.lines is not None
        id = one.lines.call(tool)
        await one.server.until(f"note: {tool}")
        one.lines.writer.close()
        told(await one.lines.next(), id)
        await one.server.ended()
        quiet(one)


async def test_stdio_finishes_after_the_end_of_the_input(tmp_path: Path) -> None:
    async with peer("stdio", tmp_path, options={"grace": 60.0}) as one:
        assert one.lines is not None
        await open_session(one)
        id = one.lines.send("tools/call", {"name": "wait", "arguments": {}}, stateful=True)
        await one.server.until("note: wait")
        asking = one.lines.send("tools/call", {"name": "ask", "arguments": {}}, stateful=True)
        question = await one.lines.next()
        assert question is not None
        assert question["method"] == "elicitation/create"
        one.lines.writer.close()
        unanswered = await one.lines.next()  # which tells that the end of the input was seen
        assert unanswered is not None
        assert unanswered["id"] == asking
        one.server.signal(signal.SIGUSR1)
        answer = await one.lines.next()
        assert answer is not None
        assert (answer["id"], answer["result"]["content"][0]["text"]) == (id, "waited")
        assert await one.server.ended() == 0


@asynccontextmanager
async def called(one: Peer, tool: str, era: str) -> AsyncIterator[Any]:
    """A call over HTTP that goes on; gives the task that waits for its answer."""
    assert one.prober is not None
    prober = one.prober
    if era == "stateful":
        await prober.ready()
        body, headers = prober.message("tools/call", {"name": tool, "arguments": {}}, id=7), {}
    else:
        body, headers = prober.modern("tools/call", {"name": tool, "arguments": {}}, id=7)
    if era == "stateless, event stream":
        headers["Accept"] = "text/event-stream"
    if era == "stateless, JSON":
        headers["Accept"] = "application/json"
    answer = asyncio.create_task(prober.send("POST", body, headers))
    await one.server.until(f"note: {tool}")
    yield answer


ERAS = ["stateful", "stateless", "stateless, event stream", "stateless, JSON"]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", ["hang", "block"])
async def test_http(era: str, tool: str, tmp_path: Path) -> None:
    async with peer("http", tmp_path, options=SHORT) as one, called(one, tool, era) as answer:
        one.server.signal(signal.SIGTERM)
        found = await answer
        assert found.status == 200
        said = [json.loads(event.data) for event in found.events if event.data] or [found.json]
        told(said[-1], 7)
        await one.server.ended()
        quiet(one)


async def test_http_stateful_handlers_that_swallow(tmp_path: Path) -> None:
    async with peer("http", tmp_path, options=SHORT) as one, called(one, "swallow", "stateful") as answer:
        one.server.signal(signal.SIGTERM)
        found = await answer
        assert found.status == 200
        told([json.loads(event.data) for event in found.events if event.data][-1], 7)
        await one.server.ended()
        quiet(one)


@pytest.mark.parametrize("swallowing", [False, True])
async def test_http_sse(swallowing: bool) -> None:
    """The transport of 2024-11-05, under a server that is not ours."""
    app, begun, over = App("old"), asyncio.Event(), asyncio.Event()

    @app.tool
    async def hang() -> str:
        begun.set()
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                if not swallowing:
                    raise
        return "never"

    endpoint = app.asgi(http_sse=True, drain=1.0)
    assert isinstance(endpoint, HTTPApp)
    async with serving(endpoint) as port:
        prober = Prober(port)
        stream = await prober.stream("GET", None, path="/mcp/sse")
        first = await stream.next()
        assert first is not None
        path = first.data.decode()

        async def say(message: bytes) -> None:
            assert (await prober.send("POST", message, path=path)).status == 202

        await say(prober.message("initialize", {**OPENING, "protocolVersion": "2024-11-05"}, id=1))
        await stream.next()
        await say(prober.message("notifications/initialized", notice=True))
        await say(prober.message("tools/call", {"name": "hang", "arguments": {}}, id=7))
        await begun.wait()
        draining = asyncio.create_task(endpoint.drain(0.05))
        answer = await stream.next()
        assert answer is not None
        told(json.loads(answer.data), 7)
        over.set()
        assert await stream.next() is None, "and the stream ends"
        await draining
        for connection in prober.opened:
            await connection.close()
