"""Our client as a driver: the command line of `peers/stepping.py`, and `--wire FILE`; `--everything` for that
server, `--record FILE` for a recording.

Follows: no page of the specification; the steps are those of `steps.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

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
from wire_file import record

from dovetail import Client, RPCError

NOTE = "note://a"


class OurSteps:
    """The steps, in terms of `dovetail.Client`."""

    def __init__(self, client: Client, logged: asyncio.Queue[object]) -> None:
        self.client = client
        self.logged = logged
        self.revision = client.revision

    async def names(self) -> set[str]:
        tools = {each.name async for each in self.client.tools()}
        resources = {each.uri async for each in self.client.resources()}
        templates = {each.uri_template async for each in self.client.resource_templates()}
        prompts = {each.name async for each in self.client.prompts()}
        return tools | resources | templates | prompts

    async def text(self, uri: str) -> str:
        return str(getattr((await self.client.read(uri)).contents[0], "text", None))

    async def lists(self) -> str:
        wanted = {"add", "fail", "slow", "ask", "touch", NOTE, "note://by/{name}", "greet"}
        return expect_all(await self.names(), wanted)

    async def read(self) -> str:
        return expect(
            [await self.text(NOTE), await self.text("note://by/Ada")], ["first note", "note by Ada"]
        )

    async def prompt(self) -> str:
        message = (await self.client.get_prompt("greet", {"name": NAME})).messages[0]
        return expect(getattr(message.content, "text", None), "Greet Ada")

    async def complete(self) -> str:
        return expect((await self.client.complete("greet", "name", "A")).values, ["Ada", "Alan"])

    async def call(self) -> str:
        result = await self.client.call_tool("add", {"a": 2, "b": 3})
        return expect(result.raise_on_error().text, "5")

    async def tool_error(self) -> str:
        result = await self.client.call_tool("fail", {})
        if not result.is_error:
            raise StepFailed("the result is not marked as an error")
        return expect("no luck today" in result.text, True)

    async def protocol_error(self) -> str:
        return await self.refused("missing://x")

    async def refused(self, uri: str) -> str:
        try:
            await self.client.read(uri)
        except RPCError as error:
            return expect_not_found(error.code)
        raise StepFailed("no error came")

    async def given_up(self, name: str, arguments: dict[str, Any]) -> list[float]:
        async def call(note: Callable[[float], None]) -> object:
            return await self.client.call_tool(name, arguments, progress=lambda notice: note(notice.progress))

        return await abandoned_after_progress(call)

    async def progress(self) -> str:
        return expect(await self.given_up("slow", {"key": "progress"}), [1, 2, 3])

    async def cancel(self) -> str:
        await self.given_up("slow", {"key": "cancel"})
        return expect((await self.client.call_tool("was_cancelled", {"key": "cancel"})).text, "yes")

    async def log(self) -> str:
        if self.revision >= "2026" or self.client.server_capabilities.logging is not None:
            await self.client.set_log_level("info")
        await self.client.call_tool("tell", {})
        data = await self.next_logged()
        # FastMCP wraps what its servers log.
        return expect(data["msg"] if isinstance(data, dict) else data, "something is odd")

    async def next_logged(self) -> Any:
        async with within(5):
            return await self.logged.get()

    async def ask(self) -> str:
        return expect((await self.client.call_tool("ask", {})).text, "Hello, Ada")

    async def sample(self) -> str:
        return expect((await self.client.call_tool("think", {})).text, f"The model says {MODEL_SAYS}")

    async def both(self) -> str:
        return expect((await self.client.call_tool("both", {})).text, f"{NAME} hears {MODEL_SAYS}")

    async def roots(self) -> str:
        return expect((await self.client.call_tool("where", {})).text, ROOT)

    async def change(self, cause: str, arguments: dict[str, Any], **wanted: Any) -> str:
        async with self.client.listen(**wanted) as events:
            await self.client.call_tool(cause, arguments)
            async with within(5):
                change = await anext(aiter(events))
        return f"{change.kind} {change.uri}".strip()

    async def list_changed(self) -> str:
        return expect(await self.change("touch", {}, tools=True), "tools")

    async def updated(self) -> str:
        return expect(await self.change("touch", {}, resources=[NOTE]), f"resource {NOTE}")


class EverythingSteps(OurSteps):
    """The same of `server-everything`, whose tools have names of their own and which ignores cancellation."""

    document = "demo://resource/static/document/features.md"

    async def lists(self) -> str:
        wanted = {"get-sum", "trigger-long-running-operation", "simple-prompt", self.document}
        return expect_all(await self.names(), wanted | {"demo://resource/dynamic/text/{resourceId}"})

    async def read(self) -> str:
        plain = await self.text(self.document)
        dynamic = await self.text("demo://resource/dynamic/text/1")
        return expect(
            [plain.startswith("# Everything Server"), dynamic.startswith("Resource 1:")], [True, True]
        )

    async def prompt(self) -> str:
        message = (await self.client.get_prompt("args-prompt", {"city": "Oslo"})).messages[0]
        return expect("Oslo" in str(getattr(message.content, "text", None)), True)

    async def complete(self) -> str:
        found = await self.client.complete("completable-prompt", "department", "S")
        return expect(found.values, ["Sales", "Support"])

    async def call(self) -> str:
        result = await self.client.call_tool("get-sum", {"a": 2, "b": 3})
        return expect(result.raise_on_error().text, "The sum of 2 and 3 is 5.")

    async def tool_error(self) -> str:
        result = await self.client.call_tool("get-sum", {"a": "two", "b": 3})
        if not result.is_error:
            raise StepFailed("the result is not marked as an error")
        return result.text[:60]

    async def protocol_error(self) -> str:
        return await self.refused("demo://missing")

    async def progress(self) -> str:
        seen: list[float] = []
        arguments = {"duration": 0.3, "steps": 3}
        result = await self.client.call_tool(
            "trigger-long-running-operation", arguments, progress=lambda notice: seen.append(notice.progress)
        )
        expect("completed" in result.raise_on_error().text, True)
        return expect(seen, [1, 2, 3])

    async def cancel(self) -> str:
        await self.given_up("trigger-long-running-operation", {"duration": 60, "steps": 1200})
        return await self.call()

    async def ask(self) -> str:
        result = await self.client.call_tool("trigger-elicitation-request", {})
        return expect("- Name: Ada" in result.raise_on_error().text, True)

    async def log(self) -> str:
        await self.client.set_log_level("info")
        await self.client.request("resources/subscribe", {"uri": self.document})
        while not str(await self.next_logged()).startswith("Received Subscribe Resource request"):
            pass  # it also logs that it got the roots
        await self.client.request("resources/unsubscribe", {"uri": self.document})
        return "heard of the subscription"

    async def sample(self) -> str:
        result = await self.client.call_tool("trigger-sampling-request", {"prompt": "What is two and two?"})
        return expect(f'"text": "{MODEL_SAYS}"' in result.raise_on_error().text, True)

    async def roots(self) -> str:
        result = await self.client.call_tool("get-roots-list", {})
        return expect(f"URI: {ROOT}" in result.raise_on_error().text, True)

    async def list_changed(self) -> str:
        arguments = {"name": "note.gz", "data": "data:text/plain,hello"}
        return expect(await self.change("gzip-file-as-resource", arguments, resource_list=True), "resources")

    async def updated(self) -> str:
        seen = await self.change("toggle-subscriber-updates", {}, resources=[self.document])
        await self.client.call_tool("toggle-subscriber-updates", {})
        return expect(seen, f"resource {self.document}")


@contextlib.asynccontextmanager
async def connect_to(
    target: Target, kind: type[OurSteps], recording: str | None = None
) -> AsyncIterator[OurSteps]:
    """Open a connection, in the revision asked for or in whatever a question finds out."""
    revision = "auto" if target.probe else target.revision
    logged: asyncio.Queue[object] = asyncio.Queue()
    async with Client(
        target.command or target.url,
        revision=revision,
        elicitation=lambda form: filled(form.fields),
        sampling=lambda _params: MODEL_SAYS,
        roots=[ROOT],
        logging=lambda notice: logged.put_nowait(notice.data),
        record=recording,
    ) as client:
        yield kind(client, logged)


if __name__ == "__main__":
    wire = sys.argv.index("--wire")
    record(sys.argv[wire + 1])
    del sys.argv[wire : wire + 2]
    steps: type[OurSteps] = OurSteps
    if "--everything" in sys.argv:
        sys.argv.remove("--everything")
        steps = EverythingSteps
    recording: str | None = None
    if "--record" in sys.argv:
        at = sys.argv.index("--record")
        recording = sys.argv[at + 1]
        del sys.argv[at : at + 2]
    main(lambda target: connect_to(target, steps, recording))
