"""Version 1 of the official SDK as a client with tasks of 2025-11-25; the command line is that of `stepping.py`.

Written with `ClientSession.experimental`, as its own documentation teaches it: a call is sent as a task, looked at
until it asks or has ended, and its result fetched, which brings its questions. Runs in the environment of `mcp1`.

Follows: no page of the specification; the steps are those of `tests/interop/task_steps.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from mcp import ClientSession, McpError, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from stepping import TASK_STEPS, StepFailed, Target, expect, filled, main, within


def text_of(result: types.CallToolResult) -> str:
    """The text of a result that is one text."""
    return "".join(block.text for block in result.content if isinstance(block, types.TextContent))


async def answer(_context: object, params: types.ElicitRequestParams) -> types.ElicitResult:
    """Fill any form in."""
    schema: dict[str, Any] = getattr(params, "requestedSchema", {})
    return types.ElicitResult(action="accept", content=filled(schema["properties"]))


class Mcp1TaskSteps:
    """The steps, in terms of `ClientSession.experimental`."""

    def __init__(self, session: ClientSession, revision: str) -> None:
        self.session = session
        self.tasks = session.experimental
        self.revision = revision

    async def release(self, key: str) -> None:
        await self.session.call_tool("release", {"key": key})

    async def started(self, name: str, **arguments: str) -> str:
        return (await self.tasks.call_tool_as_task(name, arguments)).task.taskId

    async def result(self, task: str) -> types.CallToolResult:
        return await self.tasks.get_task_result(task, types.CallToolResult)

    async def until_said(self, task: str, message: str) -> None:
        async with within(5):
            async for now in self.tasks.poll_task(task):
                if now.statusMessage == message:
                    return

    async def call(self) -> str:
        """As a plain call."""
        await self.release("call")
        return expect(text_of(await self.session.call_tool("work", {"key": "call"})), "done call")

    async def start(self) -> str:
        task = await self.started("work", key="start")
        await self.until_said(task, "half way")
        expect((await self.tasks.get_task(task)).status, "working")
        await self.release("start")
        expect(text_of(await self.result(task)), "done start")
        return expect((await self.tasks.get_task(task)).status, "completed")

    async def progress(self) -> str:
        raise StepFailed("its call_tool_as_task takes no callback")

    async def error(self) -> str:
        task = await self.started("fail")
        result = await self.result(task)
        expect((await self.tasks.get_task(task)).status, "failed")
        return expect((result.isError, "no luck today" in text_of(result)), (True, True))

    async def failed(self) -> str:
        task = await self.started("refuse")
        try:
            await self.result(task)
        except McpError as error:
            return expect((error.error.code, error.error.message), (-31050, "not today"))
        raise StepFailed("no error came")

    async def ask(self) -> str:
        task = await self.started("ask")
        async with within(5):
            async for now in self.tasks.poll_task(task):
                if now.status == "input_required":
                    break
        return expect(text_of(await self.result(task)), "Hello, Ada")

    async def question(self) -> str:
        raise StepFailed("nothing is asked of it as a task")

    async def cancel(self) -> str:
        task = await self.started("endless", key="cancel")
        await self.until_said(task, "begun")
        expect((await self.tasks.cancel_task(task)).status, "cancelled")
        expect((await self.tasks.get_task(task)).status, "cancelled")
        return expect(text_of(await self.session.call_tool("was_cancelled", {"key": "cancel"})), "yes")

    async def unknown(self) -> str:
        try:
            await self.tasks.get_task("never-was")
        except McpError as error:
            return expect(error.error.code, -32602)
        raise StepFailed("no error came")

    async def listed(self) -> str:
        task = await self.started("work", key="listed")
        listed = (await self.tasks.list_tasks()).tasks
        await self.release("listed")
        return expect(task in [each.taskId for each in listed], True)


@contextlib.asynccontextmanager
async def connect(target: Target) -> AsyncIterator[Mcp1TaskSteps]:
    """Open a connection; it knows the handshake alone."""
    async with contextlib.AsyncExitStack() as stack:
        if target.command is not None:
            parameters = StdioServerParameters(command=target.command[0], args=target.command[1:])
            streams: Any = await stack.enter_async_context(stdio_client(parameters))
        else:
            streams = await stack.enter_async_context(streamable_http_client(target.url or ""))
        session = await stack.enter_async_context(
            ClientSession(streams[0], streams[1], elicitation_callback=answer)
        )
        opened = await session.initialize()
        yield Mcp1TaskSteps(session, str(opened.protocolVersion))


if __name__ == "__main__":
    main(connect, TASK_STEPS)
