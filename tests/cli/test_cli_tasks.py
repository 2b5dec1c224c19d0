"""Tasks on the command line: started in one process, waited for in another, over a store that both servers share."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dovetail.extensions.tasks import names

pytestmark = [
    pytest.mark.vendor_methods(
        names.GET, names.UPDATE, names.CANCEL, names.NOTIFY, names.TASK_IDS, names.RESULT_TASK
    )
]
SERVER = '''
import asyncio

from dovetail import App, Context
from dovetail.extensions.tasks import tasks
from dovetail.stores import SQLiteStore

app = App("bakery", extensions=[tasks()], store=SQLiteStore({store!r}))


@app.tool(task="required")
async def bake(loaves: int) -> str:
    """Bake."""
    await asyncio.sleep(0.05 * loaves)
    return f"{{loaves}} loaves"


@app.tool(task="required")
async def burn() -> str:
    """Burn."""
    from dovetail.errors import ToolError

    raise ToolError("all black")


@app.tool(task="optional")
async def greet(ctx: Context) -> str:
    """Greet."""
    return "Hello " + await ctx.elicit("Who?", str)


@app.tool
async def now() -> str:
    """At once."""
    return "now"
'''


@pytest.fixture
def server(tmp_path: Path) -> str:
    path = tmp_path / "server.py"
    path.write_text(SERVER.format(store=str(tmp_path / "tasks.db")))
    return str(path)


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
def test_a_call_waits_through_its_task(run, server: str, revision: str) -> None:
    assert run("call", server, "bake", "loaves=2", "-r", revision)[:2] == (0, "2 loaves\n")
    assert run("call", server, "greet", "--answer", "value=Ann", "-r", revision)[:2] == (0, "Hello Ann\n")


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
def test_a_call_is_detached_and_waited_for_by_its_handle(run, server: str, revision: str) -> None:
    speak = ("-r", revision)
    code, handle, err = run("call", server, "bake", "loaves=3", "--detach", *speak)
    assert (code, len(handle.split())) == (0, 1)
    assert "tasks wait" in err
    handle = handle.strip()
    code, shown, _ = run("tasks", "show", server, handle, "--json", *speak)
    assert (code, json.loads(shown)["status"] in ("working", "completed")) == (0, True)
    assert run("tasks", "wait", server, handle, *speak)[:2] == (0, "3 loaves\n")
    code, shown, _ = run("tasks", "show", server, handle, *speak)
    assert "status: completed\n" in shown


def test_what_a_task_asks_is_asked_where_it_is_waited_for(run, server: str) -> None:
    handle = run("call", server, "greet", "--detach", "-q")[1].strip()
    assert run("tasks", "wait", server, handle, "--answer", "value=Ann")[:2] == (0, "Hello Ann\n")


def test_a_tool_that_failed_in_a_task_failed(run, server: str) -> None:
    handle = run("call", server, "burn", "--detach", "-q")[1].strip()
    code, out, err = run("tasks", "wait", server, handle)
    assert (code, out, "all black" in err) == (1, "", True)


def test_an_answer_that_comes_at_once_is_shown(run, server: str) -> None:
    code, out, err = run("call", server, "now", "--detach")
    assert (code, out) == (0, "now\n")
    assert "at once" in err


def test_a_task_is_cancelled_and_listed(run, server: str) -> None:
    program = ("--", sys.executable, "-m", "dovetail", "run", server)
    code, out, _ = run("call", "bake", "loaves=1000", "--detach", "--json", *program)
    assert code == 0
    made = json.loads(out)
    assert run("tasks", "cancel", made["handle"], *program)[0] == 0
    code, out, err = run("tasks", "wait", made["handle"], *program)
    assert (code, out, "was cancelled" in err) == (4, "", True)
    code, out, _ = run("tasks", "list", server, "-r", "2025-11-25")
    assert (code, made["id"] in out, "cancelled" in out) == (0, True, True)
    code, out, _ = run("tasks", "list", server, "-r", "2025-11-25", "--json")
    assert [each["status"] for each in json.loads(out)["tasks"]] == ["cancelled"]
    assert run("tasks", "show", server, made["id"])[1].startswith(f"id: {made['id']}\n")
    code, _, err = run("tasks", "list", server)
    assert (code, "-r 2025-11-25" in err) == (4, True)


def test_what_is_no_task_is_refused(run, server: str) -> None:
    code, _, err = run("tasks", "wait", server, "dovetail-task-1.nonsense")
    assert (code, "no handle" in err) == (4, True)
    code, _, err = run("tasks", "wait", server, "nonsense")
    assert (code, "knows no task 'nonsense'" in err) == (4, True)
