"""What a person at a terminal sees of a task: a bar while it goes on, its questions, its result, and nothing else."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dovetail.cli.screen import ProgressBar, Screen
from dovetail.types import ProgressNotice

SERVER = '''
import asyncio
from pathlib import Path

from dovetail import App, Context
from dovetail.extensions.tasks import TaskOptions, tasks
from dovetail.stores import SQLiteStore

folder = Path(__file__).parent
app = App("bakery", extensions=[tasks()], store=SQLiteStore(folder / "tasks.db"))
options = TaskOptions(support="required", poll=0.1)


@app.tool(task=options)
async def bake(ctx: Context) -> str:
    """Bake until somebody has seen that it does."""
    await ctx.progress(1, 4, "kneading")
    while not (folder / "seen").exists():
        await asyncio.sleep(0.02)
    return "four loaves"


@app.tool(task=options)
async def order(ctx: Context) -> str:
    """Order, for whom is to be said."""
    return "bread for " + await ctx.elicit("Who wants bread?", str)
'''
BAR = "━"
REVISIONS = ["2026-07-28", "2025-11-25"]


@pytest.fixture
def server(tmp_path: Path) -> str:
    path = tmp_path / "server.py"
    path.write_text(SERVER)
    return str(path)


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("later", [False, True], ids=["call", "wait"])
def test_a_bar_says_how_far_a_task_is_until_its_result_comes(
    terminal, run, server: str, revision: str, later: bool
) -> None:
    words = ["call", server, "bake"]
    if later:
        words = ["tasks", "wait", server, run(*words, "--detach", "-q", "-r", revision)[1].strip()]
    shown = terminal(*words, "-r", revision)
    assert BAR in shown.wait_for("kneading")
    Path(server).with_name("seen").touch()
    assert shown.result() == (0, "four loaves\n")
    shown.wait_for("\x1b[1A\x1b[2K")
    assert BAR not in shown.shown, "the bar is taken away, and nothing stands in its place"


@pytest.mark.parametrize("revision", REVISIONS)
def test_nothing_is_drawn_where_a_person_answers_a_task(terminal, server: str, revision: str) -> None:
    shown = terminal("call", server, "order", "-r", revision)
    shown.wait_for("Who wants bread?")
    shown.wait_for("[text] ")
    shown.type("Ann")
    assert BAR not in shown.wait_for("Ann")
    assert shown.result() == (0, "bread for Ann\n")


def test_a_bar_that_is_hidden_stays_away_whatever_is_reported() -> None:
    screen, drawn = Screen(), StringIO()
    console: Any = Console(file=drawn, force_terminal=True, width=80)
    screen.err = console
    bar = ProgressBar(screen, "bake")
    with bar.hidden():
        bar.report(ProgressNotice(progress_token=1, progress=1, total=4, message="kneading"))
        assert drawn.getvalue() == ""
    bar.report(ProgressNotice(progress_token=1, progress=2, total=4, message="baking"))
    bar.hide()
    first = drawn.getvalue().partition("\n")[0]
    assert ("baking" in first, "50%" in first, "kneading" in first) == (True, True, False)
