"""Each revision before each revision, both sides in this process: lists, calls, questions, progress and logs pass."""

import asyncio
from typing import Any

import pytest

from dovetail import App, Client, Context, CreateMessageResult, TextContent
from dovetail.proxy import proxy_app

REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")


def upstream() -> App:
    app = App("upstream", instructions="Ask kindly.")

    @app.tool
    async def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    @app.tool
    async def two_names(ctx: Context) -> str:
        first = await ctx.elicit("first?", str)
        second = await ctx.elicit("second?", str)
        return f"{first} {second}"

    @app.tool
    async def think(ctx: Context) -> str:
        message = await ctx.sample("what?")
        assert isinstance(message.content, TextContent)
        roots = await ctx.roots()
        return f"{message.content.text} in {roots[0].uri}"

    @app.tool
    async def tell(ctx: Context) -> str:
        await ctx.log("debug", "too fine")
        for part in range(3):
            await ctx.progress(part, 3)
            await ctx.log("warning", {"part": part})
        return "told"

    @app.resource("note://a")
    async def note() -> str:
        return "a note"

    @app.resource("book://{name}")
    async def book(name: str) -> str:
        return f"the book {name}"

    @app.prompt
    async def greet(name: str) -> str:
        return f"Greet {name}."

    @app.completion("greet", "name")
    async def names(typed: str) -> list[str]:
        return [name for name in ("Ada", "Alan") if name.startswith(typed)]

    return app


def options(heard: list[Any]) -> dict[str, Any]:
    return {
        "elicitation": lambda request: request.message.rstrip("?").title(),
        "sampling": lambda params: CreateMessageResult(
            role="assistant", content=TextContent(text="hm"), model="m", stop_reason="endTurn"
        ),
        "roots": ["file:///home"],
        "logging": lambda notice: heard.append((notice.level, notice.data)),
        "log_level": "warning",
    }


@pytest.mark.parametrize("ours", REVISIONS)
@pytest.mark.parametrize("theirs", REVISIONS)
async def test_all_passes_between_all_revisions(theirs: str, ours: str) -> None:
    heard: list[Any] = []
    app = proxy_app(upstream(), revision=theirs)
    async with Client(app, revision=ours, **options(heard)) as client:
        assert client.revision == ours
        assert [each.name async for each in client.tools()] == ["add", "two_names", "think", "tell"]
        assert [each.uri async for each in client.resources()] == ["note://a"]
        assert [each.uri_template async for each in client.resource_templates()] == ["book://{name}"]
        assert [each.name async for each in client.prompts()] == ["greet"]
        assert (await client.call_tool("add", {"a": 1, "b": 2})).value in (3, "3")
        for uri, text in (("note://a", "a note"), ("book://emma", "the book emma")):
            (contents,) = (await client.read(uri)).contents
            assert (contents.uri, contents.text) == (uri, text)
        assert "Greet Ada." in str(await client.get_prompt("greet", {"name": "Ada"}))
        assert (await client.complete("greet", "name", "Al")).values == ["Alan"]
        told: list[float] = []
        result = await client.call_tool("tell", progress=lambda notice: told.append(notice.progress))
        assert (result.text, told) == ("told", [0, 1, 2])
        assert heard == [("warning", {"part": part}) for part in range(3)]
        assert (await client.call_tool("think")).text == "hm in file:///home"
        if min(theirs, ours) >= "2025-06-18":
            assert (await client.call_tool("two_names")).text == "First Second"


@pytest.mark.parametrize("ours", REVISIONS[2:])
async def test_callers_are_asked_what_is_theirs(ours: str) -> None:
    """Many callers at once, each of a name of its own: nobody is asked for somebody else."""
    app = proxy_app(upstream(), revision="2025-11-25")

    async def one(name: str) -> str:
        async with Client(
            app, revision=ours, elicitation=lambda request: f"{name}-{request.message}"
        ) as client:
            said = await asyncio.gather(*(client.call_tool("two_names") for _ in range(4)))
            assert len({each.text for each in said}) == 1
            return said[0].text

    names = [f"caller{number}" for number in range(6)]
    async with Client(app):  # the lifespan of the app goes on
        found = await asyncio.gather(*map(one, names))
    assert found == [f"{name}-first? {name}-second?" for name in names]


@pytest.mark.parametrize("ours", REVISIONS)
@pytest.mark.parametrize("theirs", REVISIONS)
async def test_changes_pass_between_all_revisions(theirs: str, ours: str) -> None:
    """What an upstream adds and changes is told to who listens, whichever way each side tells of it."""
    there = upstream()
    async with Client(proxy_app(there, revision=theirs), revision=ours) as client:
        assert client.instructions == "Ask kindly."
        async with client.listen(tools=True, prompts=True, resources=["note://a"]) as changes:
            assert changes.acknowledged.resource_subscriptions == ["note://a"]
            await client.list_tools()
            for change in (
                lambda: there.resource_updated("note://a"),
                lambda: there.add_tool(later),
                lambda: there.remove_tool("later"),
            ):
                change()
                await anext(changes)
            assert "later" not in [tool.name async for tool in client.tools(fresh=True)]


async def later() -> str:
    return "later"
