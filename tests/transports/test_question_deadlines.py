"""A question on a pipe, a socket or in memory has its time, and is then taken back at the client with a reason."""

import asyncio
import inspect
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dovetail import App, Client, Context
from dovetail.revisions import STATEFUL
from dovetail.runtime.connection import ServerConnection
from dovetail.transports.unix.server import serve_unix
from wire_of_server import Wire

SERVER = """
from dovetail import App, Context

app = App("asking")


@app.tool
async def think(ctx: Context) -> str:
    return (await ctx.sample("hm?")).text


app.run(answer_timeout=0.2)
"""


def asking() -> App:
    app = App("asking")

    @app.tool
    async def think(ctx: Context) -> str:
        return (await ctx.sample("hm?")).text

    return app


@asynccontextmanager
async def by_stdio(folder: Path) -> AsyncGenerator[Any]:
    script = folder / "server.py"
    script.write_text(SERVER)
    yield [sys.executable, str(script)]


@asynccontextmanager
async def by_socket(folder: Path) -> AsyncGenerator[Any]:
    ready, path = asyncio.Event(), folder / "s"
    task = asyncio.create_task(serve_unix(asking().service, path=path, answer_timeout=0.2, ready=ready))
    await ready.wait()
    yield f"unix:{path}"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.requirement("R2411-LIFECYCLE-003", "R2511-LIFECYCLE-022", "R2511-LIFECYCLE-023")
@pytest.mark.parametrize("serving", [by_stdio, by_socket])
@pytest.mark.parametrize("revision", STATEFUL)
async def test_a_client_that_never_answers_holds_no_call_for_ever(
    revision: str, serving: Any, tmp_path: Path
) -> None:
    taken_back = asyncio.Event()

    async def never(params: Any) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            taken_back.set()
            raise
        return ""

    async with serving(tmp_path) as target, Client(target, revision=revision, sampling=never) as client:
        result = await client.call_tool("think")
        await asyncio.wait_for(taken_back.wait(), 10)
        assert result.is_error
        assert result.text == "sampling/createMessage was not answered within 0.2 seconds"
        await client.ping()


@asynccontextmanager
async def wired(revision: str, answer_timeout: float, app: App) -> AsyncGenerator[Wire]:
    """A client in memory whose answers have so many seconds."""
    wire = Wire(app, revision, {"sampling": {}})
    wire.connection = ServerConnection(
        app.service, wire.connection._send, transport="memory", answer_timeout=answer_timeout
    )
    await wire.open()
    yield wire
    await wire.close()
    await app.service.stop()


@pytest.mark.requirement("R2411-LIFECYCLE-003", "R2511-LIFECYCLE-022", "R2511-CANCELLATION-008")
@pytest.mark.parametrize("revision", STATEFUL)
async def test_the_client_is_told_why_it_need_not_answer(revision: str) -> None:
    async with wired(revision, 0.1, asking()) as wire:
        answer = await wire.start("think", "tools/call", {"name": "think"})
        asked, notice = await wire.next(), await wire.next()
        assert (notice["method"], notice["params"]["requestId"]) == ("notifications/cancelled", asked["id"])
        assert notice["params"]["reason"] == "sampling/createMessage was not answered within 0.1 seconds"
        assert (await answer)["result"]["isError"]
    async with wired(revision, 60.0, asking()) as wire:
        await wire.start("think", "tools/call", {"name": "think"})
        asked = await wire.next()
        await wire.send(
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "think"}}
        )
        notice = await wire.next()
        assert notice["params"] == {"requestId": asked["id"], "reason": "the call that asked this has ended"}


@pytest.mark.requirement("R2511-LIFECYCLE-026")
@pytest.mark.parametrize("revision", STATEFUL)
async def test_progress_gives_a_question_no_more_time(revision: str) -> None:
    async with wired(revision, 0.3, asking()) as wire:
        answer = await wire.start("think", "tools/call", {"name": "think"})
        asked = await wire.next()
        for progress in range(100):
            if answer.done():
                break
            params = {"progressToken": asked["id"], "progress": progress}
            await wire.send({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
            await asyncio.wait((answer,), timeout=0.05)
        assert answer.result()["result"]["isError"]


@pytest.mark.requirement("R2511-LIFECYCLE-024")
@pytest.mark.parametrize("revision", STATEFUL)
async def test_an_author_may_give_a_question_less_time(revision: str) -> None:
    app = App("asking")

    @app.tool
    async def think(ctx: Context) -> str:
        try:
            async with asyncio.timeout(0.05):
                return (await ctx.sample("hm?")).text
        except TimeoutError:
            return "thought alone"

    async with wired(revision, 60.0, app) as wire:
        answer = await wire.start("think", "tools/call", {"name": "think"})
        asked, notice = await wire.next(), await wire.next()
        assert notice["params"]["requestId"] == asked["id"]
        assert (await answer)["result"]["content"][0]["text"] == "thought alone"


@pytest.mark.requirement("R2511-LIFECYCLE-022")
def test_a_question_has_a_deadline_wherever_none_is_set() -> None:
    assert inspect.signature(ServerConnection).parameters["answer_timeout"].default == 900.0
