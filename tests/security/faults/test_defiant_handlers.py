"""``timeout=`` is kept against functions that swallow their cancellation: the caller is answered, the log names them.

On every transport and in both eras; and however many such calls come, a bounded number of them goes on.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fault_wires import EVERY, call, serve

from dovetail import App, Client, Context, Depends
from dovetail.protocol.errors import InternalError
from dovetail.server import running


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "OBEDIENCE", 0.05)


class Defiant:
    """A tool that goes on until it is told to end, whatever is cancelled meanwhile."""

    def __init__(self) -> None:
        self.enough, self.over = asyncio.Event(), asyncio.Event()
        self.running = 0
        self.begun = 0

    async def __call__(self) -> str:
        self.running += 1
        self.begun += 1
        try:
            while not self.enough.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.enough.wait()
        finally:
            self.running -= 1
            if not self.running:
                self.over.set()
        return "at last"

    async def end(self) -> None:
        self.enough.set()
        await self.over.wait()


@pytest.mark.parametrize("modern", [False, True])
@pytest.mark.parametrize("cell", EVERY)
async def test_the_caller_is_answered_and_the_log_names_the_function(
    cell: str, modern: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app, defiant = App("deadlines"), Defiant()

    @app.tool(timeout=0.05)
    async def stubborn() -> str:
        return await defiant()

    @app.tool
    async def fine() -> str:
        return "fine"

    with caplog.at_level(logging.ERROR, logger="dovetail.server"):
        async with serve(app, cell) as connect:
            talk = await connect()
            if not modern:
                await talk.open()
            answer = await talk.answer(call("stubborn", 1, modern=modern))
            assert answer["result"]["isError"]
            assert answer["result"]["content"][0]["text"] == "stubborn took longer than 0.05 seconds"
            assert defiant.running == 1
            assert (await talk.answer(call("fine", 2, modern=modern)))["result"]["content"][0][
                "text"
            ] == "fine"
            await defiant.end()
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.getMessage().startswith("stubborn has not ended 0.05 seconds after it was cancelled")


async def test_resources_prompts_and_methods_are_answered_too() -> None:
    app, defiant = App("deadlines", timeout=0.05), Defiant()

    @app.resource("notes://one")
    async def one() -> str:
        return await defiant()

    @app.prompt
    async def asks() -> str:
        return await defiant()

    async with Client(app) as client:
        with pytest.raises(InternalError, match="one took longer than"):
            await client.read("notes://one")
        with pytest.raises(InternalError, match="asks took longer than"):
            await client.get_prompt("asks")
        await defiant.end()


async def test_so_many_go_on_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MOST_DEFIANT", 3)
    app, defiant = App("deadlines"), Defiant()

    @app.tool(timeout=0.01)
    async def stubborn() -> str:
        return await defiant()

    async with Client(app) as client:
        texts = [(await client.call_tool("stubborn")).text for _ in range(6)]
        assert [text.endswith("took longer than 0.01 seconds") for text in texts] == [True] * 3 + [False] * 3
        assert texts[-1] == "stubborn is not run: 3 earlier calls of it go on after their time was up"
        assert defiant.begun == 3
        await defiant.end()
        assert (await client.call_tool("stubborn")).text == "at last", "and then it runs again"


async def test_a_function_that_obeys_is_not_named(caplog: pytest.LogCaptureFixture) -> None:
    app = App("deadlines")
    cleaned: list[str] = []

    @app.tool(timeout=0.02)
    async def obeys() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("up")
        return "never"

    async with Client(app) as client:
        assert "took longer than" in (await client.call_tool("obeys")).text
    assert cleaned == ["up"]
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_a_cancellation_of_the_client_reaches_the_function() -> None:
    app, begun, ended = App("deadlines"), asyncio.Event(), asyncio.Event()

    @app.tool(timeout=60.0)
    async def slow() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.set()
            raise
        return "never"

    async with Client(app) as client:
        calling = asyncio.create_task(client.call_tool("slow"))
        await begun.wait()
        calling.cancel()
        async with asyncio.timeout(10):
            await ended.wait()


async def test_what_ends_a_loop_ends_only_its_call() -> None:
    app = App("deadlines")

    @app.tool(timeout=60.0)
    async def leaves() -> str:
        raise SystemExit(3)

    async with Client(app) as client:
        with pytest.raises(InternalError):
            await client.call_tool("leaves")
        with pytest.raises(InternalError):
            await client.call_tool("leaves")


async def test_dependencies_are_left_by_the_task_that_entered_them_after_the_answer() -> None:
    """A task group can be left by no other; and it is still the answer that comes first."""
    app, happened = App("deadlines"), asyncio.Queue[str]()
    answered = asyncio.Event()

    async def group() -> AsyncIterator[str]:
        entered_by = asyncio.current_task()
        async with asyncio.TaskGroup():
            yield "in a group"
            await answered.wait()
            happened.put_nowait("left" if asyncio.current_task() is entered_by else "left elsewhere")

    @app.tool(timeout=60.0)
    async def grouped(where: Annotated[str, Depends(group)], ctx: Context) -> str:
        await ctx.progress(1)
        return where

    async with Client(app) as client:
        assert (await client.call_tool("grouped")).text == "in a group"
        answered.set()
        async with asyncio.timeout(10):
            assert await happened.get() == "left"


async def test_questions_are_asked_from_within_a_deadline() -> None:
    app = App("deadlines")

    @app.tool(timeout=60.0)
    async def asks(ctx: Context) -> str:
        first = await ctx.elicit("First?", str)
        second = await ctx.elicit("Second?", str)
        return f"{first} {second}"

    async def answer(question: Any) -> Any:
        return {"value": question.message}

    for revision in ("2025-11-25", "2026-07-28"):
        async with Client(app, revision=revision, elicitation=answer) as client:
            assert (await client.call_tool("asks")).text == "First? Second?"
