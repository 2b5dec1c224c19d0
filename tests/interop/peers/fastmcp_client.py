"""FastMCP as a client; the command line is that of `stepping.py`.

Written with its public `Client`. It has no method to subscribe or to listen, so those two steps use the session that it
hands out, which is the official SDK's. Runs in the environment of `fastmcp`.

Follows: no page of the specification; the steps are those of `tests/interop/steps.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import AsyncIterator, Callable
from typing import Any

import mcp_types as types
from fastmcp import Client
from fastmcp.client import SSETransport, StdioTransport, StreamableHttpTransport
from mcp import MCPError
from mcp.client.subscriptions import ResourceUpdated, ToolsListChanged, listen
from stepping import (
    MODEL_SAYS,
    NAME,
    ROOT,
    StepFailed,
    Target,
    abandoned_after_progress,
    expect,
    expect_all,
    expect_not_found,
    filled,
    main,
    within,
)

NOTE = "note://a"


def text_of(result: Any) -> str:
    """The text of a result that is one text."""
    return "".join(block.text for block in result.content if isinstance(block, types.TextContent))


async def answer(_message: str, _type: object, params: types.ElicitRequestParams, _context: object) -> Any:
    """Fill any form in."""
    schema: dict[str, Any] = getattr(params, "requested_schema", {})
    return filled(schema["properties"])


class FastMcpSteps:
    """The steps, in terms of `fastmcp.Client`."""

    def __init__(self, client: Client[Any], heard: asyncio.Queue[object]) -> None:
        self.client = client
        self.heard = heard
        self.revision = client.protocol_version or ""

    async def lists(self) -> str:
        tools = {tool.name for tool in await self.client.list_tools()}
        resources = {str(each.uri) for each in await self.client.list_resources()}
        templates = {each.uri_template for each in await self.client.list_resource_templates()}
        prompts = {each.name for each in await self.client.list_prompts()}
        wanted = {"add", "fail", "slow", "ask", "touch", NOTE, "note://by/{name}", "greet"}
        return expect_all(tools | resources | templates | prompts, wanted)

    async def read(self) -> str:
        plain = (await self.client.read_resource(NOTE))[0]
        by = (await self.client.read_resource("note://by/Ada"))[0]
        return expect(
            [getattr(plain, "text", None), getattr(by, "text", None)], ["first note", "note by Ada"]
        )

    async def prompt(self) -> str:
        message = (await self.client.get_prompt("greet", {"name": NAME})).messages[0]
        return expect(getattr(message.content, "text", None), "Greet Ada")

    async def complete(self) -> str:
        ref = types.PromptReference(name="greet")
        return expect(
            (await self.client.complete(ref, {"name": "name", "value": "A"})).values, ["Ada", "Alan"]
        )

    async def call(self) -> str:
        return expect(text_of(await self.client.call_tool("add", {"a": 2, "b": 3})), "5")

    async def tool_error(self) -> str:
        result = await self.client.call_tool("fail", {}, raise_on_error=False)
        if not result.is_error:
            raise StepFailed("the result is not marked as an error")
        return expect("no luck today" in text_of(result), True)

    async def protocol_error(self) -> str:
        try:
            await self.client.read_resource("missing://x")
        except MCPError as error:
            return expect_not_found(error.code)
        raise StepFailed("no error came")

    async def slow(self, key: str) -> list[float]:
        async def call(note: Callable[[float], None]) -> object:
            async def progressed(value: float, _total: float | None, _message: str | None) -> None:
                note(value)

            return await self.client.call_tool("slow", {"key": key}, progress_handler=progressed)

        return await abandoned_after_progress(call)

    async def progress(self) -> str:
        return expect(await self.slow("progress"), [1, 2, 3])

    async def cancel(self) -> str:
        await self.slow("cancel")
        return expect(text_of(await self.client.call_tool("was_cancelled", {"key": "cancel"})), "yes")

    async def log(self) -> str:
        meta = None
        if self.revision >= "2026":
            meta = {"io.modelcontextprotocol/logLevel": "info"}
        elif (
            self.client.server_capabilities is not None
            and self.client.server_capabilities.logging is not None
        ):
            await self.client.set_logging_level("info")
        await self.client.call_tool("tell", {}, meta=meta)
        message = await self.until_heard(types.LoggingMessageNotification)
        data = getattr(message, "params").data  # noqa: B009 - its class is known only at run time
        # FastMCP wraps what its own servers log.
        return expect(data["msg"] if isinstance(data, dict) else data, "something is odd")

    async def sample(self) -> str:
        return expect(text_of(await self.client.call_tool("think", {})), f"The model says {MODEL_SAYS}")

    async def both(self) -> str:
        return expect(text_of(await self.client.call_tool("both", {})), f"{NAME} hears {MODEL_SAYS}")

    async def roots(self) -> str:
        return expect(text_of(await self.client.call_tool("where", {})), ROOT)

    async def ask(self) -> str:
        return expect(text_of(await self.client.call_tool("ask", {})), "Hello, Ada")

    async def until_heard(self, wanted: type[object]) -> object:
        async with within(5):
            while True:
                message = await self.heard.get()
                if isinstance(message, wanted):
                    return message

    async def list_changed(self) -> str:
        if self.revision >= "2026":
            async with listen(self.client.session, tools_list_changed=True) as events:
                await self.client.call_tool("touch", {})
                async with within(5):
                    return expect(await anext(aiter(events)), ToolsListChanged())
        await self.client.call_tool("touch", {})
        return type(await self.until_heard(types.ToolListChangedNotification)).__name__

    async def updated(self) -> str:
        if self.revision >= "2026":
            async with listen(self.client.session, resource_subscriptions=[NOTE]) as events:
                await self.client.call_tool("touch", {})
                async with within(5):
                    return expect(await anext(aiter(events)), ResourceUpdated(uri=NOTE))
        await self.client.session.subscribe_resource(NOTE)
        await self.client.call_tool("touch", {})
        message = await self.until_heard(types.ResourceUpdatedNotification)
        return expect(str(getattr(message, "params").uri), NOTE)  # noqa: B009 - its class is known only at run time


@contextlib.asynccontextmanager
async def connect(target: Target) -> AsyncIterator[FastMcpSteps]:
    """Open a connection, with a question about the era first if that is asked for."""
    transport: Any
    if target.command is not None:
        transport = StdioTransport(target.command[0], target.command[1:], keep_alive=False)
    else:
        transport = (SSETransport if target.transport == "sse" else StreamableHttpTransport)(target.url or "")
    heard: asyncio.Queue[object] = asyncio.Queue()

    async def hear(message: object) -> None:
        heard.put_nowait(message)

    mode = "auto" if target.probe else "legacy"
    async with Client(
        transport,
        mode=mode,
        elicitation_handler=answer,
        sampling_handler=lambda *_given: MODEL_SAYS,
        roots=[ROOT],
        message_handler=hear,
    ) as client:
        yield FastMcpSteps(client, heard)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(connect)
