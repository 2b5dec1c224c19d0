"""FastMCP as a client with tasks; the command line is that of `stepping.py`.

Written with its public `Client` and the handles of `fastmcp_tasks`, whose import alone makes every client wait through
tasks. Runs in the environment of `fastmcp`.

Follows: no page of the specification; the steps are those of `tests/interop/task_steps.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import AsyncIterator
from typing import Any

import mcp_types as types
from fastmcp import Client
from fastmcp.client import StdioTransport, StreamableHttpTransport
from fastmcp.exceptions import ToolError
from fastmcp_tasks import ToolTask, call_tool_task
from mcp import MCPError
from stepping import TASK_STEPS, StepFailed, Target, expect, filled, main, within


def text_of(result: Any) -> str:
    """The text of a result that is one text."""
    return "".join(block.text for block in result.content if isinstance(block, types.TextContent))


async def answer(_message: str, _type: object, params: types.ElicitRequestParams, _context: object) -> Any:
    """Fill any form in."""
    schema: dict[str, Any] = getattr(params, "requested_schema", {})
    return filled(schema["properties"])


class FastMcpTaskSteps:
    """The steps, in terms of `fastmcp.Client` and `fastmcp_tasks.ToolTask`."""

    def __init__(self, client: Client[Any]) -> None:
        self.client = client
        self.revision = client.protocol_version or ""

    async def release(self, key: str) -> None:
        await self.client.call_tool("release", {"key": key})

    async def until_said(self, task: ToolTask, message: str) -> None:
        async with within(5):
            while (await task.status()).status_message != message:  # noqa: ASYNC110 - its handle only tells who asks
                await asyncio.sleep(0.02)

    async def call(self) -> str:
        await self.release("call")
        return expect(text_of(await self.client.call_tool("work", {"key": "call"})), "done call")

    async def start(self) -> str:
        task = await call_tool_task(self.client, "work", {"key": "start"})
        await self.until_said(task, "half way")
        expect((await task.status()).status, "working")
        await self.release("start")
        expect(text_of(await task), "done start")
        return expect((await task.status()).status, "completed")

    async def progress(self) -> str:
        said: asyncio.Queue[str | None] = asyncio.Queue()

        async def progressed(_value: float, _total: float | None, message: str | None) -> None:
            said.put_nowait(message)

        work = self.client.call_tool("work", {"key": "progress"}, progress_handler=progressed)
        async with asyncio.TaskGroup() as group:
            call = group.create_task(work)
            try:
                async with within(0.5):
                    return expect(await said.get(), "half way")
            finally:
                await self.release("progress")
                await call

    async def error(self) -> str:
        result = await self.client.call_tool("fail", {}, raise_on_error=False)
        if not result.is_error:
            raise StepFailed("the result is not marked as an error")
        return expect("no luck today" in text_of(result), True)

    async def failed(self) -> str:
        task = await call_tool_task(self.client, "refuse", {})
        final = await task.wait(timeout=5)
        expect((final.status, (final.error or {}).get("code")), ("failed", -31050))
        try:
            await task
        except ToolError as error:
            return expect(str(error), "not today")
        raise StepFailed("no error came")

    async def ask(self) -> str:
        return expect(text_of(await self.client.call_tool("ask", {})), "Hello, Ada")

    async def question(self) -> str:
        raise StepFailed("the extension has no tasks of clients")

    async def cancel(self) -> str:
        task = await call_tool_task(self.client, "endless", {"key": "cancel"})
        await self.until_said(task, "begun")
        await task.cancel()
        expect((await task.wait(timeout=5)).status, "cancelled")
        return expect(text_of(await self.client.call_tool("was_cancelled", {"key": "cancel"})), "yes")

    async def unknown(self) -> str:
        await self.release("unknown")
        task = await call_tool_task(self.client, "work", {"key": "unknown"})
        task.create_result.task_id = "never-was"
        try:
            await task.status()
        except MCPError as error:
            return expect(error.code, -32602)
        raise StepFailed("no error came")

    async def listed(self) -> str:
        raise StepFailed("the extension has no list of tasks")


@contextlib.asynccontextmanager
async def connect(target: Target) -> AsyncIterator[FastMcpTaskSteps]:
    """Open a connection, with a question about the era first if that is asked for."""
    transport: Any
    if target.command is not None:
        transport = StdioTransport(target.command[0], target.command[1:], keep_alive=False)
    else:
        transport = StreamableHttpTransport(target.url or "")
    mode = "auto" if target.probe else "legacy"
    async with Client(transport, mode=mode, elicitation_handler=answer) as client:
        yield FastMcpTaskSteps(client)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(connect, TASK_STEPS)
