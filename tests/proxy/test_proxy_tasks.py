"""Tools that run as tasks at the upstream: plain calls of them, and tasks of the proxy's own."""

import asyncio
from typing import Any

import pytest

from dovetail import App, Client, Context, ToolError
from dovetail.errors import DovetailError, InternalError, RPCError
from dovetail.extensions.tasks import tasks
from dovetail.proxy import ProxyProvider, proxy_app

NEW = "2026-07-28"
OLD = "2025-11-25"
REVISIONS = ("2024-11-05", "2025-06-18", OLD, NEW)


class Seen:
    """What was seen of the tool that never ends."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()


def upstream(seen: Seen | None = None) -> App:
    app = App("behind", extensions=[tasks()])

    @app.tool(task="required")
    async def build(name: str) -> str:
        await asyncio.sleep(0.05)
        return f"built {name}"

    @app.tool(task="required")
    async def failing() -> str:
        raise ToolError("the job failed")

    @app.tool(task="optional")
    async def broken() -> str:
        raise InternalError("the job can't be done here")

    @app.tool(task="optional")
    async def named(ctx: Context) -> str:
        return f"hello {await ctx.elicit('who?', str)}"

    @app.tool(task="required")
    async def endless() -> str:
        assert seen is not None
        seen.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.ended.set()
        return "never"

    @app.tool
    async def quick() -> str:
        return "at once"

    return app


def front(theirs: str, seen: Seen | None = None) -> App:
    app = App("front", extensions=[tasks()])
    app.mount("far", ProxyProvider(upstream(seen), revision=theirs))
    return app


@pytest.mark.parametrize("theirs", [OLD, NEW])
@pytest.mark.parametrize("ours", REVISIONS)
async def test_a_task_of_the_upstream_is_a_plain_call_of_the_proxy(theirs: str, ours: str) -> None:
    async with Client(
        proxy_app(upstream(), revision=theirs), revision=ours, elicitation=lambda asked: "Ada"
    ) as client:
        assert [tool.execution async for tool in client.tools()] == [None] * 6
        result = await client.call_tool("build", {"name": "it"})
        assert (result.text, result.is_error, "related-task" in str(result.meta)) == (
            "built it",
            False,
            False,
        )
        assert (await client.call_tool("quick")).text == "at once"
        failed = await client.call_tool("failing")
        assert failed.is_error
        assert "the job failed" in failed.text
        if ours >= "2025-06-18":
            assert (await client.call_tool("named")).text == "hello Ada"


@pytest.mark.parametrize("theirs", [OLD, NEW])
@pytest.mark.parametrize("ours", [OLD, NEW])
async def test_a_task_of_the_proxy_is_made_asked_for_and_ends(theirs: str, ours: str) -> None:
    async with Client(
        front(theirs), revision=ours, extensions=[tasks()], elicitation=lambda asked: "Ada"
    ) as client:
        if (theirs, ours) != (
            NEW,
            OLD,
        ):  # in 2025-11-25 the list says which may be tasks; in 2026-07-28 nothing does
            started = await client.start_tool("far_build", {"name": "it"})
            assert (await started.status()).status in ("working", "completed")
            assert (await started.result()).text == "built it"
            started = await client.start_tool("far_named")
            assert (await started.result()).text == "hello Ada"
            started = await client.start_tool("far_broken")
            with pytest.raises(RPCError, match="the job can't be done here"):
                await started.result()
        assert (await client.call_tool("far_failing")).is_error
        assert (await client.call_tool("far_quick")).text == "at once"


@pytest.mark.parametrize("theirs", [OLD, NEW])
@pytest.mark.parametrize("ours", [OLD, NEW])
async def test_a_task_that_is_cancelled_is_cancelled_at_the_upstream(theirs: str, ours: str) -> None:
    seen = Seen()
    async with Client(front(theirs, seen), revision=ours, extensions=[tasks()]) as client:
        if (theirs, ours) == (NEW, OLD):
            waiting: asyncio.Task[Any] = asyncio.create_task(client.call_tool("far_endless"))
            await asyncio.wait_for(seen.begun.wait(), 10)
            waiting.cancel()
        else:
            started = await client.start_tool("far_endless")
            await asyncio.wait_for(seen.begun.wait(), 10)
            await started.cancel()
        await asyncio.wait_for(seen.ended.wait(), 10)


async def test_what_one_caller_does_not_know_of_tasks_another_does() -> None:
    async with Client(front(NEW), revision=NEW) as plain, Client(front(NEW), extensions=[tasks()]) as knowing:
        assert (await plain.call_tool("far_build", {"name": "a"})).text == "built a"
        assert (await (await knowing.start_tool("far_build", {"name": "b"})).result()).text == "built b"
        with pytest.raises(DovetailError):
            await knowing.start_tool("far_nothing")
