"""The fixtures that authors test with, tried as an author would: in a project of its own, by a pytest of its own."""

import asyncio
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dovetail import App, Context
from dovetail.protocol.revisions import REVISIONS
from dovetail.testing import Answers, connected, run_virtual
from dovetail.testing.clock import StoodStill

PROJECT = """
import itertools
from typing import Annotated

import pytest
from dovetail import App, Context, Depends
from dovetail.testing import Answers

app_ = App("project")
numbers = itertools.count()

def price() -> int:
    return 3

@app_.tool
async def buy(ctx: Context, cost: Annotated[int, Depends(price)]) -> str:
    return f"{cost} {await ctx.elicit('Buy?', bool)}"

@app_.tool
async def broken(ctx: Context) -> str:
    return await ctx.elicit(f"{next(numbers)}?", str)

@pytest.fixture
def app():
    return app_

@pytest.mark.mcp(revisions=["2025-06-18", "2025-11-25", "2026-07-28"])
async def test_buying(connect):
    answers = Answers({"Buy?": True})
    async with connect(elicitation=answers, overrides={price: lambda: 5}) as client:
        assert (await client.call_tool("buy")).text == "5 True"
    assert answers.asked == ["Buy?"] and not answers.unused

@pytest.mark.mcp(revisions=["2026-07-28"], transports=["memory"])
async def test_diverging(connect):
    async with connect(app_, elicitation=lambda _: "x") as client:
        with pytest.raises(Exception, match="does not replay"):
            await client.call_tool("broken")

async def test_everywhere(connect, mcp_revision, mcp_transport):
    async with connect() as client:
        assert client.revision == mcp_revision
        assert {tool.name async for tool in client.tools()} == {"buy", "broken"}
"""


def test_a_project_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_project.py").write_text(textwrap.dedent(PROJECT))
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers"]
    done = subprocess.run(
        [*command, "-p", "dovetail.testing.plugin"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert f"{6 + 1 + 2 * len(REVISIONS)} passed" in done.stdout, done.stdout + done.stderr


async def test_answers_that_nobody_wrote_fail_the_call() -> None:
    app = App("asking")

    @app.tool
    async def ask(ctx: Context) -> str:
        return await ctx.elicit("Name?", str) + await ctx.elicit("Name?", str)

    answers = Answers({"Name?": ["Ada", "Grace"], "Never?": 1})
    async with connected(app, elicitation=answers) as client:
        assert (await client.call_tool("ask")).text == "AdaGrace"
    assert answers.unused == ["Never?"]
    with pytest.raises(AssertionError, match="no answer is written for 'Age"):
        await Answers({"Name?": 1})(type("Form", (), {"message": "Age?"})())  # type: ignore[arg-type]  # a stand-in


def test_the_clock_jumps() -> None:
    async def main() -> float:
        start = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        await asyncio.gather(asyncio.sleep(5), asyncio.sleep(10))
        return asyncio.get_running_loop().time() - start

    assert run_virtual(main()) == 3610


def test_a_clock_with_nothing_to_jump_to_says_so() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(StoodStill):
        run_virtual(main())
