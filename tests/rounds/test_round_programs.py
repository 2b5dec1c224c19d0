"""Random programs of questions, steps and failures, replayed over rounds and over redeploys, against one direct run.

A program is a tree. Run directly, every question is answered where it stands. Run in rounds, a wire carries each
question to the same answers, and between rounds the server may be another process with the same keys. Both must come
to the same result, do each step once, and, as all steps are deterministic, do no step that the direct run did not.
"""

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from playing import ALL, accept

from dovetail import App, Context
from dovetail.protocol.revisions import STATELESS
from wire_of_server import Wire

KEY = "k" * 32


@dataclass(frozen=True)
class Ask:
    """A question; ``named``: with a key."""

    text: int
    named: bool


@dataclass(frozen=True)
class Step:
    """A step that takes some turns of the loop; ``fails``: raises instead."""

    turns: int
    fails: bool


@dataclass(frozen=True)
class Both:
    """Parts at the same time; ``how`` they are joined."""

    parts: tuple[Any, ...]
    how: str


@dataclass(frozen=True)
class Then:
    """Parts one after another; ``catch``: failures become values; ``tidy``: counts that `finally` ran."""

    parts: tuple[Any, ...]
    catch: bool


LEAVES = st.one_of(
    st.builds(Ask, st.integers(0, 3), st.booleans()),
    st.builds(Step, st.integers(0, 4), st.sampled_from([False, False, False, True])),
)
PROGRAMS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(
            Both, st.lists(inner, max_size=3).map(tuple), st.sampled_from(["group", "gather", "exceptions"])
        ),
        st.builds(Then, st.lists(inner, max_size=3).map(tuple), st.booleans()),
    ),
    max_leaves=8,
)


class Failed(Exception):
    """What a failing step raises."""


class World:
    """How a program meets questions and steps. ``alone``: whether the running part is the body's own task."""

    def __init__(self, ctx: Context | None) -> None:
        self.ctx = ctx
        self.done: list[str] = []
        self.tidied = self.entered = 0

    async def run(self, node: Any, path: str = "p", *, alone: bool = True) -> Any:
        self.entered += 1
        try:
            return await self._run(node, path, alone)
        finally:
            self.tidied += 1

    async def _run(self, node: Any, path: str, alone: bool) -> Any:
        if isinstance(node, Ask):
            message = f"{path}: {node.text}?"
            if self.ctx is None:
                return answer_to(message)
            return await self.ctx.elicit(message, int, key=path if node.named or not alone else None)
        if isinstance(node, Step):
            if self.ctx is None:
                return await self._work(node, path)
            return await self.ctx.step(path, self._work, node, path)
        if isinstance(node, Then):
            values = []
            for number, part in enumerate(node.parts):
                try:
                    values.append(await self.run(part, f"{path}.{number}", alone=alone))
                except (Failed, ExceptionGroup):
                    if not node.catch:
                        raise
                    values.append("failed")
            return values
        parts = [self.run(part, f"{path}.{number}", alone=False) for number, part in enumerate(node.parts)]
        if node.how == "group":
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(part) for part in parts]
            return [task.result() for task in tasks]
        found = await asyncio.gather(*parts, return_exceptions=True)
        failures = [each for each in found if isinstance(each, BaseException)]
        assert all(isinstance(each, (Failed, ExceptionGroup)) for each in failures)
        if failures and node.how == "gather":
            raise Failed
        return ["failed" if isinstance(each, BaseException) else each for each in found]

    async def _work(self, node: Step, path: str) -> str:
        for _ in range(node.turns):
            await asyncio.sleep(0)
        self.done.append(path)
        if node.fails:
            raise Failed
        return path


def answer_to(message: str) -> int:
    return sum(message.encode()) % 97


def steps_fail(node: Any) -> bool:
    if isinstance(node, Step):
        return node.fails
    return any(steps_fail(part) for part in getattr(node, "parts", ()))


def deployed(program: Any, worlds: list[World]) -> App:
    """A server that runs the program; the other processes of it are alike."""
    app = App("programs", keys=[KEY])

    @app.tool
    async def tool(ctx: Context) -> str:
        worlds.append(World(ctx))
        try:
            return repr(await worlds[-1].run(program))
        except (Failed, ExceptionGroup):
            return "failed"

    return app


async def in_rounds(program: Any, redeploys: list[bool]) -> tuple[str, list[World], int]:
    worlds: list[World] = []
    app = deployed(program, worlds)
    wire = Wire(app, STATELESS[-1], ALL)
    params: dict[str, Any] = {"name": "tool", "arguments": {}}
    result = await wire.result("tools/call", params)
    for number in itertools.count():
        if result["resultType"] == "complete":
            await wire.close()
            return result["content"][0]["text"], worlds, number
        if redeploys[number % len(redeploys)]:
            await wire.close()
            wire = Wire(deployed(program, worlds), STATELESS[-1], ALL)
        answers = {
            key: accept(answer_to(each["params"]["message"])) for key, each in result["inputRequests"].items()
        }
        again = {**params, "inputResponses": answers, "requestState": result["requestState"]}
        result = await wire.result("tools/call", again)
    raise AssertionError


def climbing(levels: int, beside: Any) -> Any:
    """A failure that climbs through so many groups, towards one that has a question in it."""
    program: Any = Both((Ask(0, False), Step(0, True)), "group")
    for _ in range(levels):
        program = Both((program,), "group")
    return Both((beside, program), "group")


@given(PROGRAMS, st.lists(st.booleans(), min_size=1, max_size=3))
@example(climbing(1, Ask(0, False)), [False])
@example(climbing(1, Both((Ask(0, False),), "gather")), [False])
@example(climbing(12, Ask(0, False)), [False])
@settings(max_examples=150, deadline=None)
def test_a_program_in_rounds_is_the_program(program: Any, redeploys: list[bool]) -> None:
    async def both() -> None:
        async with asyncio.timeout(5):  # a round that does not close is soon found
            await compare()

    async def compare() -> None:
        direct = World(None)
        try:
            wanted = repr(await direct.run(program))
        except (Failed, ExceptionGroup):
            wanted = "failed"
        got, worlds, rounds = await in_rounds(program, redeploys)
        assert got == wanted
        assert all(world.tidied == world.entered for world in worlds)
        assert rounds == len(worlds) - 1
        done = [path for world in worlds for path in world.done]
        if not steps_fail(
            program
        ):  # a step that failed is not recorded: it runs again, and what it stops may differ
            assert sorted(done) == sorted(direct.done)
        again, _, same = await in_rounds(program, redeploys)
        assert (again, same) == (got, rounds)  # the same program always takes the same rounds

    asyncio.run(both())


@pytest.mark.parametrize("how", ["group", "gather", "exceptions"])
@pytest.mark.parametrize("turns", [0, 3, 50])
async def test_a_step_however_long_is_in_the_round(how: str, turns: int) -> None:
    program = Both((Ask(0, True), Step(turns, False), Then((Step(turns, False), Ask(1, True)), False)), how)
    text, worlds, rounds = await in_rounds(program, [False])
    assert rounds == 1
    assert sorted(path for world in worlds for path in world.done) == ["p.1", "p.2.0"]
    assert text.startswith("[")
