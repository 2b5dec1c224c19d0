"""One body, unchanged, as a plain call and as a task: in both eras, over every transport."""

from __future__ import annotations

from typing import Any

import pytest
from task_peer import BOTH, STATELESS, app_of, asking, yes

from dovetail import App, Context

TRANSPORTS = ("memory", "stdio", "http-json", "http-sse")


def app_with(worked: list[str]) -> App:
    app = app_of()

    @app.tool(task="optional")
    async def greet(ctx: Context) -> dict[str, Any]:
        """Two steps, a question between them, progress, and a result."""

        async def work(what: str) -> str:
            worked.append(what)
            return what.upper()

        before = await ctx.step("before", work, "a")
        await ctx.progress(1, 2, "half")
        name = await ctx.elicit("Who?", str, key="name")
        after = await ctx.step("after", work, "b")
        await ctx.progress(2, 2, "done")
        return {"greeting": f"{before} {name} {after}"}

    return app


@pytest.mark.requirement("R2511-TASKS-045", "R2511-TASKS-071", "RXTSK-TASKS-062")
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("revision", BOTH)
async def test_one_body_is_a_plain_call_and_a_task(revision: str, transport: str) -> None:
    came_to: list[dict[str, Any]] = []
    for as_task in (False, True):
        worked: list[str] = []
        answer = yes() if revision == STATELESS else "Ada"
        async with asking(app_with(worked), revision, transport, as_task=as_task, answer=answer) as asked:
            came_to.append(await asked.run("greet", answer))
        assert worked == ["a", "b"]
        assert asked.asked == ["Who?"]
    assert came_to[0] == came_to[1]
    assert came_to[0]["structuredContent"] == {"greeting": "A Ada B"}
