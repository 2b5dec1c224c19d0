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
from dovetail.testing.serving import TRANSPORTS

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


CLIENT = """
import os

import pytest
from test_project import app_, price

pytestmark = pytest.mark.mcp(revisions=["2025-11-25", "2026-07-28"])

@pytest.fixture
def app():
    return app_

@pytest.fixture
def mcp_overrides():
    return {price: lambda: os.getpid()}

@pytest.mark.asyncio
async def test_client(mcp_client, mcp_answers, mcp_transport):
    mcp_answers["Buy?"] = lambda form: form.message == "Buy?"
    assert (await mcp_client.call_tool("buy")).text == f"{os.getpid()} True"

@pytest.mark.asyncio
async def test_nobody_answers(mcp_client):
    try:
        await mcp_client.call_tool("buy")
    except Exception:
        pass

@pytest.mark.asyncio
@pytest.mark.mcp(transports=["http"], revisions=["2026-07-28"])
class TestNarrower:
    async def test_marked(self, mcp_client, mcp_transport):
        assert mcp_transport == "http"
"""


def run_pytest(folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers"]
    done = subprocess.run(
        [*command, "-p", "dovetail.testing.plugin", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_project_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_project.py").write_text(textwrap.dedent(PROJECT))
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    said = run_pytest(tmp_path)
    each = len(TRANSPORTS)
    assert f"{3 * each + 1 + each * len(REVISIONS)} passed" in said, said
    narrowed = run_pytest(tmp_path, "-o", "mcp_transports=memory stdio", "-k", "everywhere")
    assert f"{2 * len(REVISIONS)} passed" in narrowed, narrowed


def test_a_client_that_is_there(tmp_path: Path) -> None:
    """Also where coroutines have to be marked; an answer that nobody wrote fails the test at its end."""
    (tmp_path / "test_project.py").write_text(textwrap.dedent(PROJECT))
    (tmp_path / "test_client.py").write_text(textwrap.dedent(CLIENT))
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = strict\n")
    said = run_pytest(tmp_path, "test_client.py")
    each = 2 * len(TRANSPORTS)
    assert f"{each + each + 1} passed, {each} errors" in said, said
    assert said.count("no answer was written for 'Buy?'") >= each, said


@pytest.mark.parametrize(
    "marker", ["revisions=['1999-01-01']", "transports=['pigeon']", "'memory'", "transport=['memory']"]
)
def test_a_marker_that_says_nonsense(tmp_path: Path, marker: str) -> None:
    text = f"import pytest\n@pytest.mark.mcp({marker})\ndef test_x(mcp_revision, mcp_transport): ...\n"
    (tmp_path / "test_wrong.py").write_text(text)
    assert "mcp" in (said := run_pytest(tmp_path))
    assert "1 error" in said or "errors" in said, said


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
