"""What callers are told when a tool fails that nobody foresaw would: the same, whatever the tool is behind."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dovetail import App, Client, Context, InternalError
from dovetail.errors import FeatureUnavailable
from dovetail.extensions import Call, Channel, TaskOptions
from dovetail.extensions.tasks import tasks
from dovetail.middleware import ErrorTable
from dovetail.providers import AskingRunner, Provided, ProvidedPage, Provider, PythonFiles
from dovetail.proxy import ProxyProvider
from dovetail.revisions import STATEFUL, STATELESS
from dovetail.types import CallToolResult, Prompt, Resource, TextContent, Tool

BOTH = pytest.mark.parametrize("revision", [STATEFUL[-1], STATELESS[-1]])
SECRET = "password hunter2"


class Rows(Provider):
    """A provider of somebody's own. ``problem``: what using any of it raises; ``task``: its tool may be one."""

    def __init__(self, problem: Exception, **more: Any) -> None:
        self.problem = problem
        self._more = more

    def mounted(self, asking: AskingRunner) -> None:
        self.asking = asking

    async def answer(self, call: Call, channel: Channel) -> Any:
        raise self.problem

    async def ask(self, call: Call, channel: Channel) -> Any:
        async def body(ctx: Context) -> CallToolResult:
            return CallToolResult(content=[TextContent(text=await ctx.elicit("who?", str))])

        return await self.asking(call, channel, body)

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        schema = {"type": "object"}
        return ProvidedPage(
            [
                Provided(described=Tool(name="grind", input_schema=schema), answer=self.answer, **self._more),
                Provided(described=Tool(name="ask", input_schema=schema), answer=self.ask),
            ]
        )

    async def list_resources(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Resource]:
        return ProvidedPage(
            [Provided(described=Resource(uri="mill://stone", name="stone"), answer=self.answer)]
        )

    async def list_prompts(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Prompt]:
        return ProvidedPage([Provided(described=Prompt(name="recipe"), answer=self.answer)])


def own(**options: Any) -> App:
    app = App("mill", **options)

    @app.tool
    async def grind() -> str:
        raise RuntimeError(SECRET)

    @app.tool
    async def ask(ctx: Context) -> str:
        return await ctx.elicit("who?", str)

    return app


def mounted(what: Any, **options: Any) -> App:
    app = App("town", **options)
    app.mount(None, what)
    return app


def files(folder: Path, **options: Any) -> App:
    (folder / "mill.py").write_text(
        f"from dovetail import Context, tool\n\n\n@tool\nasync def grind() -> str:\n"
        f"    raise RuntimeError({SECRET!r})\n\n\n@tool\n"
        "async def ask(ctx: Context) -> str:\n    return await ctx.elicit('who?', str)\n"
    )
    return mounted(PythonFiles(folder, **options), **options)


KINDS: dict[str, Callable[..., App]] = {
    "own": lambda _, **options: own(**options),
    "mounted": lambda _, **options: mounted(own(**options)),
    "files": files,
    "provider": lambda _, **options: mounted(Rows(RuntimeError(SECRET)), **options),
    "nested": lambda _, **options: mounted(mounted(Rows(RuntimeError(SECRET)), **options)),
    "stateful proxy": lambda _, **options: mounted(ProxyProvider(own(**options), revision=STATEFUL[-1])),
    "stateless proxy": lambda _, **options: mounted(ProxyProvider(own(**options), revision=STATELESS[-1])),
    "proxied provider": lambda _, **options: mounted(
        ProxyProvider(mounted(Rows(RuntimeError(SECRET)), **options))
    ),
}
OF_ALL = pytest.mark.parametrize("kind", KINDS)


@BOTH
@OF_ALL
async def test_a_tool_that_fails_gives_a_result_that_says_nothing_of_why(
    revision: str, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Client(KINDS[kind](tmp_path), revision=revision) as client:
        failed = await client.call_tool("grind")
    assert (failed.is_error, failed.text) == (True, "The tool 'grind' failed.")
    (told,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "the tool 'grind' failed" in told.getMessage()
    assert SECRET in caplog.text


@BOTH
@OF_ALL
async def test_an_author_may_have_it_say_why(revision: str, kind: str, tmp_path: Path) -> None:
    async with Client(KINDS[kind](tmp_path, mask_errors=False), revision=revision) as client:
        failed = await client.call_tool("grind")
    assert (failed.is_error, failed.text) == (True, f"RuntimeError: {SECRET}")


@OF_ALL
async def test_a_client_that_can_not_be_asked_is_told_alike(kind: str, tmp_path: Path) -> None:
    """In the stateful era, which has no error for it, by a result."""
    async with Client(KINDS[kind](tmp_path), revision=STATEFUL[-1]) as client:
        refused = await client.call_tool("ask")
    assert refused.is_error
    assert "'elicitation'" in refused.text


@BOTH
async def test_a_resource_or_prompt_of_a_provider_that_fails_is_named(
    revision: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Client(mounted(Rows(RuntimeError(SECRET))), revision=revision) as client:
        with pytest.raises(InternalError, match=r"^The resource 'mill://stone' failed\."):
            await client.read("mill://stone")
        with pytest.raises(InternalError, match=r"^The prompt 'recipe' failed\."):
            await client.get_prompt("recipe")
    assert SECRET in caplog.text


@BOTH
async def test_what_a_provider_foresaw_is_told_as_it_is(revision: str) -> None:
    refusal = InternalError("not before noon")
    async with Client(mounted(Rows(refusal)), revision=revision) as client:
        for asked in (client.call_tool("grind"), client.read("mill://stone"), client.get_prompt("recipe")):
            with pytest.raises(InternalError, match=r"^not before noon"):
                await asked
    async with Client(mounted(Rows(FeatureUnavailable("no water"))), revision=revision) as client:
        assert (await client.call_tool("grind")).text == "no water"


async def test_middleware_may_say_what_a_failure_of_a_provider_means() -> None:
    table = ErrorTable({RuntimeError: "the mill stands still"})
    async with Client(mounted(Rows(RuntimeError(SECRET)), middleware=[table])) as client:
        assert (await client.call_tool("grind")).text == "the mill stands still"


async def test_a_task_of_a_provider_that_fails_ends_as_one_of_the_app_does() -> None:
    app = mounted(Rows(RuntimeError(SECRET), task=TaskOptions()), extensions=[tasks()])
    async with Client(app, extensions=[tasks()]) as client:
        failed = await (await client.start_tool("grind")).result()
    assert (failed.is_error, failed.text) == (True, "The tool 'grind' failed.")
