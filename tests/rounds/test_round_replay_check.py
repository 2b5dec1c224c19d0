"""The replay check: what leads to a question is run twice, and a body that asks something else fails with a lesson."""

import itertools
import logging
import random
from typing import Annotated, Any

import pytest
from playing import ALL, by_message, play

from dovetail import App, Context, Depends
from dovetail.protocol.revisions import STATELESS

MODERN = pytest.mark.parametrize("revision", STATELESS)
ANSWERS = by_message({"A?": "a", "B?": "b"})
numbers = itertools.count(1)


async def text_in_question(ctx: Context) -> str:
    return await ctx.elicit(f"Number {next(numbers)}?", str)


async def other_key(ctx: Context) -> str:
    return await ctx.elicit("A?", str, key=f"key-{next(numbers)}")


async def sometimes(ctx: Context) -> str:
    if next(numbers) % 2 == 0:
        return "never asked"
    return await ctx.elicit("A?", str)


async def new_step(ctx: Context) -> str:
    await ctx.step(f"step-{next(numbers)}", lambda: 1)
    return await ctx.elicit("A?", str)


async def raises(ctx: Context) -> str:
    if next(numbers) % 2 == 0:
        raise LookupError("gone")
    return await ctx.elicit("A?", str)


@MODERN
@pytest.mark.parametrize("body", [text_in_question, other_key, sometimes, new_step, raises])
async def test_a_body_that_diverges_is_told_at_once(
    revision: str, body: Any, connect: Any, caplog: Any, monkeypatch: Any
) -> None:
    monkeypatch.setitem(globals(), "numbers", itertools.count(1))
    app = App("diverging", replay_check=True)
    app.add_tool(body, name="tool")
    wire = await connect(app, revision, ALL)
    with caplog.at_level(logging.CRITICAL, "dovetail.server"):
        error = await wire.error("tools/call", {"name": "tool"})
    assert error["code"] == -32603
    assert f"{body.__name__} does not replay" in error["message"]
    assert "ctx.step" in error["message"]


@MODERN
async def test_a_body_that_replays_is_run_twice_and_heard_once(revision: str, connect: Any) -> None:
    app = App("fine", replay_check=True)
    runs, drawn, opened = [], [], []

    async def session() -> Any:
        opened.append("in")
        try:
            yield len(opened)
        finally:
            opened.append("out")

    def draw() -> float:
        drawn.append(1)
        return random.random()

    @app.tool
    async def tool(ctx: Context, items: list[int], it: Annotated[int, Depends(session)]) -> str:
        runs.append(list(items))
        items.clear()
        await ctx.progress(len(runs))
        number = await ctx.step("draw", draw)
        first = await ctx.elicit("A?", str, key="a")
        again = await ctx.step("again", lambda: number)
        assert again == number
        return first + await ctx.elicit("B?", str, key="b")

    wire = await connect(app, revision, ALL)
    assert (await play(wire, "tool", ANSWERS, items=[1, 2])).text == "ab"
    assert runs == [[1, 2]] * 5  # two for each question, one to the end
    assert len(drawn) == 1
    assert opened == ["in", "out"] * 5
    assert wire.inbox.empty()


@MODERN
async def test_without_the_check_nothing_runs_twice(revision: str, connect: Any) -> None:
    app = App("plain")
    runs = []

    @app.tool
    async def tool(ctx: Context) -> str:
        runs.append(1)
        return await ctx.elicit("A?", str)

    await (await connect(app, revision, ALL)).result("tools/call", {"name": "tool"})
    assert len(runs) == 1
