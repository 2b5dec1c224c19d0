"""Our client at servers with tasks, as a driver: the command line of `peers/stepping.py`, and `--wire FILE`;
`--everything` for that server.

Follows: no page of the specification; the steps are those of `task_steps.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

from stepping import NAME, TASK_STEPS, StepFailed, Target, expect, filled, main, within
from wire_file import record

from dovetail import Client, RPCError
from dovetail.client import StartedCall, ToolResult
from dovetail.errors import TaskCancelled
from dovetail.extensions.tasks import tasks


class OurTaskSteps:
    """The steps, in terms of `dovetail.Client` and its handles."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.revision = client.revision

    async def release(self, key: str) -> None:
        (await self.client.call_tool("release", {"key": key})).raise_on_error()

    async def started(self, name: str, **arguments: str) -> StartedCall:
        started = await self.client.start_tool(name, arguments)
        if not started.id:
            raise StepFailed(f"the server made no task of {name}")
        return started

    async def result(self, name: str, **arguments: str) -> ToolResult:
        return await (await self.started(name, **arguments))

    async def until_said(self, started: StartedCall, message: str) -> None:
        async with within(5):
            async for now in started.updates():
                if now.message == message:
                    return
        raise StepFailed(f"the task never said {message!r}")

    async def call(self) -> str:
        await self.release("call")
        return expect((await self.client.call_tool("work", {"key": "call"})).text, "done call")

    async def start(self) -> str:
        started = await self.started("work", key="start")
        await self.until_said(started, "half way")
        expect((await started.status()).status, "working")
        await self.release("start")
        expect((await started).text, "done start")
        return expect((await started.status()).status, "completed")

    async def progress(self) -> str:
        said: list[str | None] = []
        heard = asyncio.Event()

        def told(notice: Any) -> None:
            said.append(notice.message)
            heard.set()

        started = await self.started("work", key="progress")
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(started.result(progress=told))
            async with within(5):
                await heard.wait()
            await self.release("progress")
        expect(waiting.result().text, "done progress")
        return expect(said[0], "half way")

    async def error(self) -> str:
        result = await self.result("fail")
        if not result.is_error:
            raise StepFailed("the result is not marked as an error")
        return expect("no luck today" in result.text, True)

    async def failed(self) -> str:
        try:
            await self.result("refuse")
        except RPCError as error:
            return expect((error.code, error.message), (-31050, "not today"))
        raise StepFailed("no error came")

    async def ask(self) -> str:
        return expect((await self.result("ask")).text, "Hello, Ada")

    async def question(self) -> str:
        return expect((await self.client.call_tool("put_off", {})).raise_on_error().text, "Hello, Ada")

    async def cancel(self) -> str:
        started = await self.started("endless", key="cancel")
        await self.until_said(started, "begun")
        await started.cancel()
        expect((await started.status()).status, "cancelled")
        await self.told_cancelled(started)
        return expect((await self.client.call_tool("was_cancelled", {"key": "cancel"})).text, "yes")

    async def told_cancelled(self, started: StartedCall) -> None:
        try:
            await started
        except TaskCancelled:
            return
        raise StepFailed("a result came of a task that was cancelled")

    async def unknown(self) -> str:
        try:
            await self.client.request("tasks/get", {"taskId": "never-was"}, into=dict[str, Any])
        except RPCError as error:
            return expect(error.code, -32602)
        raise StepFailed("no error came")

    async def listed(self) -> str:
        started = await self.started("work", key="listed")
        page = await self.client.request("tasks/list", {}, into=dict[str, Any])
        await self.release("listed")
        return expect(started.id in [each["taskId"] for each in page["tasks"]], True)


class EverythingTaskSteps(OurTaskSteps):
    """The same of `server-everything`, whose one task takes four seconds and may ask in the middle."""

    tool = "simulate-research-query"
    background: StartedCall

    async def call(self) -> str:
        """Wait through a task that asks, while another goes on."""
        self.background = await self.started(self.tool, topic="tasks")
        result = await self.client.call_tool(self.tool, {"topic": "python", "ambiguous": True})
        return expect("Research Report: python (snake)" in result.text, True)

    async def start(self) -> str:
        expect("Research Report: tasks" in (await self.background).text, True)
        return expect((await self.background.status()).status, "completed")

    async def progress(self) -> str:
        said: asyncio.Queue[str | None] = asyncio.Queue()
        started = await self.started(self.tool, topic="progress")
        waiting = asyncio.ensure_future(
            started.result(progress=lambda notice: said.put_nowait(notice.message))
        )
        async with within(5):
            while await said.get() != "Analyzing content...":
                pass  # it begins by gathering sources
        await started.cancel()
        with contextlib.suppress(TaskCancelled):
            await waiting
        return "told"

    async def cancel(self) -> str:
        started = await self.started(self.tool, topic="cancel")
        await started.cancel()
        expect((await started.status()).status, "cancelled")
        await self.told_cancelled(started)
        return "cancelled"

    async def question(self) -> str:
        result = (await self.client.call_tool("trigger-elicitation-request-async", {})).raise_on_error()
        return expect(f"Name: {NAME}" in result.text, True)

    async def listed(self) -> str:
        page = await self.client.request("tasks/list", {}, into=dict[str, Any])
        return expect(self.background.id in [each["taskId"] for each in page["tasks"]], True)


def answered(fields: Mapping[str, Any]) -> dict[str, Any]:
    """An answer to any form; of several meanings, the snake is meant."""
    return filled(dict(fields)) | ({"interpretation": "snake"} if "interpretation" in fields else {})


@contextlib.asynccontextmanager
async def connect_to(target: Target, kind: type[OurTaskSteps]) -> AsyncIterator[OurTaskSteps]:
    """Open a connection, in the revision asked for or in whatever a question finds out."""
    async with Client(
        target.command or target.url,
        revision="auto" if target.probe else target.revision,
        elicitation=lambda form: answered(form.fields),
        extensions=[tasks()],
    ) as client:
        yield kind(client)


if __name__ == "__main__":
    wire = sys.argv.index("--wire")
    record(sys.argv[wire + 1])
    del sys.argv[wire : wire + 2]
    steps: type[OurTaskSteps] = OurTaskSteps
    if "--everything" in sys.argv:
        sys.argv.remove("--everything")
        steps = EverythingTaskSteps
    main(lambda target: connect_to(target, steps), TASK_STEPS)
