"""What a context has: the usual ways to log, and for names that other libraries use, what to write here."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import reference

from dovetail import App, Client, Context
from dovetail.protocol.revisions import REVISIONS
from dovetail.server.other_names import MEANT

USUAL = {
    *("client_id", "delete_state", "elicit_form", "fastmcp", "get_state", "list_roots", "read_resource"),
    *("report_progress", "request_context", "send_notification", "send_tool_list_changed", "set_state"),
}


def of(ctx: Context, level: str) -> Callable[..., Awaitable[None]]:
    return {"debug": ctx.debug, "info": ctx.info, "warning": ctx.warning, "error": ctx.error}[level]


@pytest.mark.parametrize("revision", REVISIONS)
async def test_each_level_has_a_way_of_its_own(revision: str) -> None:
    app = App("x")
    levels = ["debug", "info", "warning", "error"]

    @app.tool
    async def talk(ctx: Context) -> None:
        for level in levels:
            await of(ctx, level)({"level": level}, logger="talk")

    heard: list[tuple[str, Any, str | None]] = []

    def hear(message: Any) -> None:
        heard.append((message.level, message.data, message.logger))

    async with Client(app, revision=revision, logging=hear, log_level="debug") as client:
        await client.call_tool("talk")
    assert heard == [(level, {"level": level}, "talk") for level in levels]


async def test_names_of_other_libraries_say_what_to_write(caplog: pytest.LogCaptureFixture) -> None:
    app = App("x")
    told: dict[str, str] = {}

    @app.tool
    async def look(ctx: Context) -> None:
        for name in (*MEANT, "no_such_thing"):
            try:
                getattr(ctx, name)
            except AttributeError as problem:
                told[name] = str(problem)
        for name in ("send_log_message", "create_message", "no_such_thing"):
            try:
                getattr(ctx.session, name)
            except AttributeError as problem:
                told[f"session.{name}"] = str(problem)

    async with Client(app, revision="2025-11-25") as client:
        assert not (await client.call_tool("look")).is_error
    assert told.keys() >= {*MEANT, *USUAL}, "a name that is there needs no word about it"
    assert told["report_progress"] == (
        "a Context has no 'report_progress'; write `await ctx.progress(progress, total, message)`"
    )
    assert "ctx.session.set(key, value)" in told["set_state"]
    assert told["session.send_log_message"].endswith("write `await ctx.log(level, data)`")
    assert told["no_such_thing"] == "a Context has no 'no_such_thing'"
    assert told["session.no_such_thing"] == "a Session has no 'no_such_thing'"


def test_what_is_to_be_written_is_there() -> None:
    """The advice names only what exists."""
    for advice in MEANT.values():
        for name in re.findall(r"ctx\.(\w+)", advice):
            assert hasattr(Context, name) or name in Context.__slots__, advice


async def test_a_context_shows_an_author_what_the_pages_teach_and_nothing_else() -> None:
    """What runs a body keeps on its context has no name there that completion would offer."""
    app = App("x")

    @app.tool(timeout=60.0)
    async def look(ctx: Context) -> list[str]:
        return [name for name in dir(ctx) if not name.startswith("_")]

    async with Client(app) as client:
        shown = await client.call_tool("look", into=list[str])
    assert {"elicit", "progress", "principal", "state"} <= set(shown)
    assert [name for name in shown if reference.example_of_method("Context", name) is None] == []
