"""Clients and servers of ours, which were given the same value, over every transport and in both vocabularies."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from must_peer import frames, parsed
from task_server import STATEFUL, STATELESS, VENDOR

from dovetail import App, Client, Context
from dovetail.errors import InvalidParams, RequestTimeout, ServerExited, TaskCancelled
from dovetail.extensions.tasks import names, tasks
from dovetail.testing import connected, served
from dovetail.types import ProgressNotice

pytestmark = [pytest.mark.vendor_methods(*VENDOR)]
Reach = Callable[..., AbstractAsyncContextManager[Client]]


def bakery() -> App:
    app = App("bakery", extensions=[tasks()])

    @app.tool(task="required")
    async def bake(loaves: int, ctx: Context) -> str:
        """Bake."""
        for each in range(loaves):
            await ctx.progress(each + 1, loaves, f"loaf {each + 1}")
            await asyncio.sleep(0.02)
        return f"{loaves} loaves"

    @app.tool(task="optional")
    async def greet(ctx: Context) -> str:
        """Greet."""
        return "Hello " + await ctx.elicit("Who?", str)

    @app.tool(task="required")
    async def refuse() -> str:
        """Refuse."""
        raise InvalidParams("no such oven", data={"oven": 3})

    @app.tool(task="required")
    async def rest() -> str:
        """Go on for ever."""
        await asyncio.Event().wait()
        return ""

    return app


@pytest.fixture(params=[STATELESS, STATEFUL])
def revision(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["memory", "stdio", "http-json", "http-sse"])
def reach(request: pytest.FixtureRequest, revision: str) -> Reach:
    return partial(
        connected,
        bakery(),
        transport=request.param,
        revision=revision,
        extensions=[tasks()],
        elicitation=lambda _: "Ann",
    )


async def test_a_call_waits_through_a_task(reach: Reach) -> None:
    async with reach() as client:
        assert (await client.call_tool("bake", {"loaves": 2})).value == "2 loaves"
        started = await client.start_tool("greet")
        assert started.id
        assert (await started).value == "Hello Ann"
        again = client.reopen(started.save())
        assert (await again.result()).value == "Hello Ann"
        assert [each.status async for each in again.updates()] == ["completed"]


async def test_the_error_of_a_tool_and_its_cancellation(reach: Reach) -> None:
    async with reach() as client:
        with pytest.raises(InvalidParams, match="no such oven") as raised:
            await client.call_tool("refuse")
        assert raised.value.data == {"oven": 3}
        started = await client.start_tool("rest")
        waiting = asyncio.create_task(started.result())
        await started.cancel()
        with pytest.raises(TaskCancelled):
            await waiting


async def test_progress_reaches_who_asked_for_it(revision: str) -> None:
    app = App("bakery", extensions=[tasks()])
    said = asyncio.Event()

    @app.tool(task="required")
    async def bake(ctx: Context) -> str:
        """Bake."""
        await ctx.progress(1, 3, "kneaded")
        await said.wait()
        return "done"

    heard: list[ProgressNotice] = []

    def hear(notice: ProgressNotice) -> None:
        heard.append(notice)
        said.set()

    async with Client(app, revision=revision, extensions=[tasks()]) as client:
        assert (await client.call_tool("bake", progress=hear)).value == "done"
    assert "kneaded" in (heard[0].message or "")


@pytest.mark.requirement("RXTSK-TRANSPORT-HTTP-001")
async def test_requests_about_a_task_name_it_in_a_header() -> None:
    """A server of ours answers 400 where header and body differ; a client that sent none would not come through."""
    seen: list[tuple[str, str]] = []

    class Noting:
        def __init__(self, app: Any) -> None:
            self._app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                headers = {key.decode(): value.decode() for key, value in scope["headers"]}
                seen.append((headers.get("mcp-method", ""), headers.get("mcp-name", "")))
            await self._app(scope, receive, send)

    async with (
        served(Noting(bakery().asgi())) as url,
        Client(url, revision=STATELESS, extensions=[tasks()], elicitation=lambda _: "Ann") as client,
    ):
        started = await client.start_tool("greet")
        assert (await started).value == "Hello Ann"
        await started.cancel()
    assert {method: name for method, name in seen if method.startswith("tasks/")} == {
        names.GET: started.id,
        names.UPDATE: started.id,
        names.CANCEL: started.id,
    }


@pytest.mark.parametrize("way", ["cancelled", "out of time"])
async def test_who_no_longer_waits_stops_the_work(revision: str, way: str) -> None:
    app = App("bakery", extensions=[tasks()])
    begun, stopped = asyncio.Event(), asyncio.Event()

    @app.tool(task="required")
    async def rest() -> str:
        """Go on for ever."""
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return ""

    with frames() as seen:
        async with Client(app, revision=revision, extensions=[tasks()]) as client:
            waiting = asyncio.create_task(
                client.call_tool("rest", timeout=0.5 if way == "out of time" else 60)
            )
            await begun.wait()
            if way == "cancelled":
                waiting.cancel()
            (ended,) = await asyncio.gather(waiting, return_exceptions=True)
            assert isinstance(ended, asyncio.CancelledError if way == "cancelled" else RequestTimeout)
            async with asyncio.timeout(10):
                await stopped.wait()
    assert [each for each in parsed(seen, "client") if each.get("method") == names.CANCEL]


SERVER = """
import asyncio
from dovetail import App
from dovetail.extensions.tasks import tasks
from dovetail.stores import SQLiteStore

app = App("bakery", extensions=[tasks(lease=1)], store=SQLiteStore({store!r}))

@app.tool(task="required")
async def bake() -> str:
    '''Bake.'''
    await asyncio.sleep(1)
    return "done"

@app.tool
async def die() -> str:
    '''Die.'''
    import os
    os._exit(1)
"""


async def test_a_server_that_starts_again_is_asked_again(tmp_path: Path, revision: str) -> None:
    path = tmp_path / "server.py"
    path.write_text(SERVER.format(store=str(tmp_path / "tasks.db")))
    command = [sys.executable, "-m", "dovetail", "run", str(path)]
    async with Client(command, revision=revision, extensions=[tasks()], restart=True) as client:
        waiting = asyncio.create_task((await client.start_tool("bake")).result())
        with pytest.raises(ServerExited):
            await client.call_tool("die")
        assert (await waiting).value == "done"
