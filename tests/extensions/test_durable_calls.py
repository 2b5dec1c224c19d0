"""A call that outlives its requests, run by an extension as one outside of this house would (`DurableCall`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from dovetail import App, Client, Context
from dovetail.extensions import Call, Channel, Extension, Handler, Middleware, ServedTool, Serving
from dovetail.revisions import STATEFUL
from dovetail.types import CallToolResult, InputRequired

KEY = "a-key-of-at-least-16"


class Kept:
    """One durable call: what was recorded of its steps, and what failed in it."""

    def __init__(self) -> None:
        self.key = KEY
        self.steps: dict[str, Raw] = {}
        self.begun: list[str] = []
        self.failures: list[Exception] = []

    async def began(self, step: str) -> None:
        self.begun.append(step)

    def ended(self, step: str) -> None:
        self.begun.remove(step)

    async def record(self, step: str, result: bytes) -> None:
        self.steps[step] = Raw(result)

    def failed(self, problem: Exception) -> None:
        self.failures.append(problem)


class DurableChannel(Channel):
    def __init__(self, kept: Kept) -> None:
        self.durable = kept


class Runs:
    """Runs every call of a tool durably: the first run, and each further one with what the one before left."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.kept = Kept()
        self.rounds: list[InputRequired] = []
        self.serving: Serving | None = None
        self._answers = answers
        self.extension = Extension(
            identifier="com.example/durable", around_tool=self.around_tool, lifespan=self.lifespan
        )

    def around_tool(self, served: ServedTool) -> Middleware | None:
        return self.run if served.task is not None else None

    @asynccontextmanager
    async def lifespan(self, serving: Serving) -> AsyncIterator[None]:
        self.serving = serving
        yield

    async def run(self, call: Call, channel: Channel, handler: Handler) -> Any:
        if channel.durable is not None:
            return await handler(call, channel)
        assert self.serving is not None
        params: Any = call.params
        while True:
            again: Call = replace(call, params=params)
            result = await self.serving.call(again, DurableChannel(self.kept))
            if not isinstance(result, InputRequired):
                return result
            self.rounds.append(result)
            requests = result.input_requests or {}
            params = replace(
                params,
                request_state=result.request_state,
                input_responses={key: Raw(self._answers[key]) for key in requests},
            )


@pytest.mark.parametrize("revision", [STATEFUL[-1], "2026-07-28"])
async def test_a_body_goes_on_from_what_was_kept(revision: str) -> None:
    runs = Runs({"name": b'{"action": "accept", "content": {"value": "Ada"}}'})
    app = App("durable", extensions=[runs.extension])
    worked: list[str] = []

    @app.tool(task="optional")
    async def greet(ctx: Context) -> str:
        """Greet somebody whose name has to be asked for."""

        async def work(what: str) -> str:
            worked.append(what)
            return what.upper()

        before = await ctx.step("before", work, "a")
        name = await ctx.elicit("Who?", str, key="name")
        after = await ctx.step("after", work, "b")
        return f"{before} {name} {after} {ctx.step_key('x')}"

    async with Client(app, revision=revision, elicitation=lambda question: None) as client:
        result = await client.call_tool("greet")
    assert isinstance(result.raw, CallToolResult) or result.value
    assert result.value == f"A Ada B {KEY}:x"
    assert worked == ["a", "b"]
    assert {key: bytes(value) for key, value in runs.kept.steps.items()} == {
        "before": b'"A"',
        "after": b'"B"',
    }
    assert len(runs.rounds) == 1


async def test_what_nobody_foresaw_is_told_beside_the_result() -> None:
    runs = Runs({})
    app = App("durable", extensions=[runs.extension])

    @app.tool(task="optional")
    async def fail() -> str:
        raise OSError("the disk is gone")

    async with Client(app) as client:
        result = await client.call_tool("fail")
    assert result.is_error
    assert [str(problem) for problem in runs.kept.failures] == ["the disk is gone"]


async def test_a_task_needs_what_runs_it() -> None:
    with pytest.raises(Exception, match=r"extensions=\[tasks\(\)\]"):
        App("without").add_tool(lambda: None, name="x", task="required")
