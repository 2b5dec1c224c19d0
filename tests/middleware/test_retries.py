"""What is made again, and what is not: in both eras, with what the client heard on the way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dovetail import App, Client, ConnectFailed, Context, ToolAnnotations, ToolError
from dovetail.client import ToolResult
from dovetail.errors import InternalError
from dovetail.middleware import Retries
from dovetail.protocol.revisions import REVISIONS

BOTH = pytest.mark.parametrize("revision", [REVISIONS[-2], REVISIONS[-1]])
READS = ToolAnnotations(read_only_hint=True)


class TryAgain(ToolError):
    """An author's, who says that nothing was done."""

    retry_safe = True


def flaky(failures: int, problem: Exception, runs: list[Any]) -> Any:
    async def fetch(word: str = "") -> str:
        """Fetch something."""
        runs.append(word)
        if len(runs) <= failures:
            raise problem
        return f"fetched {word} at the {len(runs)}. time"

    return fetch


@BOTH
@pytest.mark.parametrize("hints", [READS, ToolAnnotations(idempotent_hint=True)])
async def test_what_does_no_harm_is_made_again(revision: str, hints: ToolAnnotations) -> None:
    runs: list[str] = []
    app = App("flaky", middleware=[Retries(3, backoff=0.001)])
    app.add_tool(flaky(2, ConnectionResetError("gone"), runs), annotations=hints)
    async with Client(app, revision=revision) as client:
        assert (await client.call_tool("fetch", {"word": "it"})).text == "fetched it at the 3. time"


@pytest.mark.parametrize(
    "problem,hints,times",
    [
        (ConnectionResetError("gone"), None, 1),
        (ConnectFailed("nothing was sent to somebody else"), None, 1),
        (TryAgain("not now"), None, 3),
        (ToolError("no such word"), READS, 1),
        (ValueError("a bug"), READS, 1),
        (ConnectFailed("no"), READS, 3),
        (TimeoutError("slow"), READS, 3),
    ],
)
async def test_and_nothing_else(problem: Exception, hints: ToolAnnotations | None, times: int) -> None:
    runs: list[str] = []
    app = App("flaky", middleware=[Retries(3, backoff=0.001)])
    app.add_tool(flaky(99, problem, runs), annotations=hints)
    async with Client(app) as client:
        assert (await client.call_tool("fetch", {"word": "it"})).is_error
    assert len(runs) == times


@BOTH
async def test_resources_and_prompts_too(revision: str) -> None:
    runs: list[str] = []
    app = App("flaky", middleware=[Retries(2, backoff=0.001)])
    app.add_resource(flaky(1, OSError("gone"), runs), "flaky://{word}")
    app.add_prompt(flaky(2, OSError("gone"), runs), name="prompt")
    async with Client(app, revision=revision) as client:
        assert (await client.read("flaky://x")).contents[0].text == "fetched x at the 2. time"
        runs.clear()
        with pytest.raises(InternalError, match="failed"):
            await client.get_prompt("prompt")
    assert len(runs) == 2


async def test_no_attempt_begins_after_its_time() -> None:
    runs: list[str] = []
    app = App("flaky", middleware=[Retries(1000, backoff=0.01, within=0.05)])
    app.add_tool(flaky(9999, OSError("gone"), runs), annotations=READS)
    async with Client(app) as client:
        assert (await client.call_tool("fetch")).is_error
    assert 1 < len(runs) < 6


async def test_a_person_is_not_asked_twice() -> None:
    asked: list[Any] = []
    app = App("asking", middleware=[Retries(3, backoff=0.001)])

    @app.tool(annotations=READS)
    async def sure(ctx: Context) -> str:
        await ctx.elicit("Sure?", bool)
        raise OSError("gone")

    def answer(question: Any) -> dict[str, bool]:
        asked.append(question)
        return {"value": True}

    for revision in (REVISIONS[-2], REVISIONS[-1]):
        async with Client(app, revision=revision, elicitation=answer) as client:
            assert (await client.call_tool("sure")).is_error
    assert len(asked) == 2, "once in each era"


@BOTH
async def test_progress_only_ever_grows(revision: str) -> None:
    runs: list[int] = []
    heard: list[float] = []
    app = App("steps", middleware=[Retries(2, backoff=0.001)])

    @app.tool(annotations=READS)
    async def walk(ctx: Context) -> str:
        runs.append(1)
        for step in (1, 2, 3, 4):
            await ctx.progress(step)
            if step == 3 and len(runs) == 1:
                raise OSError("gone")
        return "there"

    async with Client(app, revision=revision) as client:
        found: ToolResult = await client.call_tool("walk", progress=lambda at, *_: heard.append(at.progress))
        assert found.text == "there"
    assert heard == [1, 2, 3, 4]


async def test_a_call_that_is_taken_back_is_not_made_again() -> None:
    runs: list[int] = []
    begun, ended = asyncio.Event(), asyncio.Event()
    app = App("slow", middleware=[Retries(3, backoff=0.001)])

    @app.tool(annotations=READS)
    async def wait() -> str:
        runs.append(1)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    async with Client(app) as client:
        call = asyncio.create_task(client.call_tool("wait"))
        await begun.wait()
        call.cancel()
        await ended.wait()
    assert len(runs) == 1


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 attempt"):
        Retries(0)
