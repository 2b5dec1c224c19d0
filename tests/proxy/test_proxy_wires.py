"""A stdio server behind HTTP: a process of its own for each revision that is spoken with it, and callers of all."""

import sys
from pathlib import Path

import pytest

from dovetail import Client
from dovetail.proxy import proxy_app
from dovetail.testing.serving import served

REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
SERVER = """
from dovetail import App, Context

app = App("behind")

@app.tool
async def greet(ctx: Context) -> str:
    await ctx.progress(1, 2)
    await ctx.log("warning", "asking")
    return "hello " + await ctx.elicit("who?", str)

@app.tool
async def large(size: int) -> str:
    return "x" * size

app.run()
"""


@pytest.mark.parametrize("theirs", REVISIONS)
async def test_stdio_behind_http(theirs: str, tmp_path: Path) -> None:
    path = tmp_path / "behind.py"
    path.write_text(SERVER)
    async with served(proxy_app([sys.executable, str(path)], revision=theirs).asgi()) as url:
        for ours in REVISIONS:
            told: list[float] = []
            logs: list[object] = []
            async with Client(
                url,
                revision=ours,
                elicitation=lambda request: "Ada",
                log_level="warning",
                logging=lambda notice, logs=logs: logs.append(notice.data),
            ) as client:
                text = (await client.call_tool("large", {"size": 300_000})).text
                assert len(text) == 300_000
                if min(theirs, ours) >= "2025-06-18":
                    result = await client.call_tool(
                        "greet", progress=lambda notice, told=told: told.append(notice.progress)
                    )
                    assert result.text == "hello Ada"
                    rounds = 2 if theirs == "2026-07-28" else 1  # runs of the tool, each of which logs
                    assert told == [1] * (
                        rounds if ours == "2026-07-28" else 1
                    )  # a round is a request of its own
                    assert logs == ["asking"] * rounds
