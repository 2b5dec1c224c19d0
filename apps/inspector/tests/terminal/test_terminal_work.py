"""The views of what one does besides calling: tasks, logins, comparing, checks, faults; driven by keys."""

import sys

import pytest
from between_running import around
from inspected import ended, kitchen, question, until
from terminals import read, screen_text, shown, terminal
from test_web_logins import WHOLE, protected
from textual.widgets import Input, TextArea

from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.calls import CallRequest
from dovetail_inspector.session.questions import PersonAnswer
from dovetail_inspector.terminal.compare import CompareView
from dovetail_inspector.terminal.rows import RowList
from dovetail_inspector.terminal.tasks import TasksView
from dovetail_inspector.terminal.transcript import RecordsView
from dovetail_inspector.views import ConnectionSettings, ServerTarget

LONG = """
import asyncio
from dovetail import App
from dovetail.extensions.tasks import tasks

app = App("kiln", extensions=[tasks()])


@app.tool(task="required")
async def burn() -> str:
    \"\"\"Take for ever.\"\"\"
    await asyncio.sleep(600)
    return "never"


@app.tool(task="required")
async def dry() -> str:
    \"\"\"Be quick.\"\"\"
    return "dry"


if __name__ == "__main__":
    app.run()
"""


async def started(inspection, folder, text, name="server", settings=None):
    """A server of this text, connected."""
    place = folder / f"{name}.py"
    place.write_text(text)
    server = inspection.add(name, ServerTarget(command=sys.executable, args=[str(place)]), settings)
    server.connect()
    await server.connected()
    assert server.view.state == "ready", server.view.error
    return server


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
@pytest.mark.parametrize("size", [(60, 24), (120, 40)])
async def test_tasks_are_seen_opened_and_cancelled(inspection, tmp_path, revision, size):
    server = await started(inspection, tmp_path, LONG, settings=ConnectionSettings(revision=revision))
    async with terminal(inspection, size) as (app, pilot):
        await pilot.press("T")
        await shown(app, pilot, "0 tasks")
        done = inspection.call(server.id, CallRequest(kind="tool", name="dry", as_task=True))
        await ended(inspection, done)
        inspection.call(server.id, CallRequest(kind="tool", name="burn", as_task=True))
        await shown(
            app, pilot, "2 tasks, of which 1 not over", "tools/call dry", "tools/call burn", "working"
        )
        rows = app.query_one("#tasks-list", RowList)
        for at, name in enumerate(app.query_one(TasksView).tasks):
            rows.move_to(at)
            if name["status"] == "working":
                break
        await read(app, "tasks-detail", "Its call", "burn", "working")
        await pilot.press("c")
        await shown(app, pilot, "∅ cancelled", "2 tasks")
        await pilot.press("enter")
        await read(app, "call-text", "burn")
        await pilot.press("escape")
        await server.disconnect()
        await shown(app, pilot, "server is idle")


async def test_a_login_is_gone_through_step_by_step(inspection, monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "here there")
    async with protected() as (url, authority), terminal(inspection, (120, 40)) as (app, pilot):
        server = inspection.add("notes", ServerTarget(url=url))
        await pilot.press("L")
        await shown(app, pilot, "notes is idle; logins go by themselves")
        await pilot.press("s", "c")
        await shown(app, pilot, "The server refuses", "A step waits", "L")
        await read(app, "logins-detail", "401", "www-authenticate")
        for count in range(2, 5):
            await pilot.press("n")
            await until(lambda: server.logins.view.waiting and len(server.logins.view.steps) == count)  # noqa: B023 - it is over within this turn
        await shown(app, pilot, "Metadata of the authorization server", "client → authority")
        await pilot.press("a")
        asked = await question(inspection)
        await shown(app, pilot, "notes asks", "It leads to", "forward the port, ssh -L")
        inspection.answer(asked.id, PersonAnswer("accept"))
        await authority.approve(asked.url)
        await server.connected()
        assert server.view.state == "ready", server.view.error
        assert [step.kind for step in server.logins.view.steps][-1] == WHOLE[-1]
        await shown(app, pilot, "Tokens are kept", "notes is ready; each step of a login waits")
        await pilot.press("n")
        await shown(app, pilot, "no step of a login waits")
        await pilot.press("f")
        await until(lambda: not server.logins.view.steps)
        await shown(app, pilot, "Nobody logged in here")


@pytest.mark.parametrize("size", [(60, 24), (140, 40)])
async def test_conversations_and_offers_are_compared(inspection, tmp_path, size):
    server = await kitchen(inspection, tmp_path)
    for grams in (1, 1):
        call = CallRequest(kind="tool", name="bake", arguments={"flour": grams})
        await ended(inspection, inspection.call(server.id, call))
    first = server.transcript
    async with terminal(inspection, size) as (app, pilot):
        await pilot.press("C")
        await shown(app, pilot, "Choose two.")
        await pilot.press("s")
        await shown(app, pilot, "kitchen at ", "Choose two, or take")
        server.connect()
        await server.connected()
        call = CallRequest(kind="tool", name="bake", arguments={"flour": 2})
        await ended(inspection, inspection.call(server.id, call))
        view = app.current
        assert isinstance(view, CompareView)
        await pilot.press("m")
        await shown(app, pilot, "1 changed", "only in the first")
        assert (view._pair[0], len(view._all) > len(view.rows)) == (first, True)
        changed = next(at for at, each in enumerate(view.rows) if each.kind == "changed")
        app.query_one("#compare-list", RowList).focus()
        app.query_one("#compare-list", RowList).move_to(changed)
        await read(app, "compare-detail", "/params/arguments/flour", "- 1", "+ 2")
        await pilot.press("d")
        assert len(view.rows) == len(view._all)
        await pilot.press("x")
        await read(app, "compare-detail", "by the")
        assert view._pair[1] == first
        field = app.query_one("#compare-ignore", Input)
        field.focus()
        field.value = "/params/arguments /result"
        await pilot.press("enter")
        await shown(app, pilot, "0 changed")
        await pilot.press("enter")
        assert app.current.id == "transcript"


async def test_what_two_servers_offer_is_compared(inspection, tmp_path):
    await kitchen(inspection, tmp_path)
    other = await started(inspection, tmp_path, LONG)
    async with terminal(inspection, (120, 40)) as (app, pilot):
        await pilot.press("C", "s")
        await shown(app, pilot, "kitchen at ")
        app.chosen.server = other.id
        await pilot.press("s")
        await shown(app, pilot, "server at ", "breaking", "bake")
        app.query_one("#compare-list", RowList).focus()
        await read(app, "compare-detail", "breaking", "- ")
        await pilot.press("m")
        await shown(app, pilot, "only in the second")
        inspection.forget(other.transcript)
        await pilot.press("r")
        await shown(app, pilot, "Choose two.")


async def test_checks_are_kept_edited_and_run(tmp_path):
    async with Inspection() as inspection:
        server = await kitchen(inspection, tmp_path)
        call = CallRequest(kind="tool", name="bake", arguments={"flour": 3, "fillings": []})
        await ended(inspection, inspection.call(server.id, call))
        async with terminal(inspection, (120, 40)) as (app, pilot):
            await pilot.press("K")
            await shown(app, pilot, "There are no checks yet", "0 checks")
            await pilot.press("r", "7")
            view = app.current
            assert isinstance(view, RecordsView)
            view.look_for("kind:response name:bake")
            await shown(app, pilot, "1 of ")
            app.query_one("#transcript-list", RowList).focus()
            await pilot.press("s")
            await shown(app, pilot, "Kept as a check")
            await pilot.press("K")
            await shown(app, pilot, "tools/call bake", "1 check")
            await pilot.press("r")
            await shown(app, pilot, "✓ tools/call bake", "1 passed")
            await pilot.press("e")
            area = app.screen.query_one(TextArea)
            area.load_text(area.text.replace('"/grams" = 3', '"/grams" = 4'))
            await pilot.press("f5")
            await until(lambda: len(app.screen_stack) == 1)
            await pilot.press("enter")
            await shown(app, pilot, "✗ tools/call bake", "1 failed")
            await read(app, "checks-detail", "failed", "4")
            await pilot.press("e")
            app.screen.query_one(TextArea).load_text("[[check")
            await pilot.press("f5")
            await shown(app, pilot, "is no TOML")


async def test_a_file_of_checks_is_opened_and_one_that_is_none_is_not(inspection, tmp_path):
    (tmp_path / "bakery.py").write_text("from dovetail import App\napp = App('b')\n")
    file = tmp_path / "checks.toml"
    file.write_text(
        'server = "bakery.py"\n[[check]]\nname = "[b]lists[/]"\ncall = { list = "tools" }\nexpect.listed = []\n'
        '[[check]]\nname = "gone"\nserver = "none.py"\ncall = { list = "tools" }\n'
    )
    async with terminal(inspection, (120, 40)) as (app, pilot):
        await pilot.press("K", "o")
        await pilot.pause()
        app.screen.query_one(Input).value = str(tmp_path / "nothing.toml")
        await pilot.press("enter")
        await shown(app, pilot, "No such file")
        app.screen.query_one(Input).value = str(tmp_path / "bakery.py")
        await pilot.press("enter")
        await shown(app, pilot, "is no TOML")
        app.screen.query_one(Input).value = str(file)
        await pilot.press("enter")
        await shown(app, pilot, "[b]lists[/]", "gone", "checks.toml")
        await pilot.press("f5")
        await shown(app, pilot, "1 passed, 1 error", "can't be asked")
        file.write_text("[[check]]\n")
        await pilot.press("1", "K")
        await read(app, "checks-detail", "CheckFileInvalid")


async def test_a_relay_is_seen_and_disturbed(inspection, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    async with terminal(inspection, (120, 40)) as (app, pilot):
        await pilot.press("F")
        await shown(app, pilot, "No relay runs", "0 relays")
        command = around(tmp_path / "talk.jsonl")
        server = inspection.add("between", ServerTarget(command=command[0], args=command[1:]))
        server.connect()
        await server.connected()
        await pilot.press("r")
        await shown(app, pilot, "1 relay, 0 faults", "between_server.py")
        await pilot.press("a")
        await pilot.pause()
        await pilot.press(*"nonsense", "enter")
        await shown(app, pilot, "there is no fault 'nonsense'")
        app.screen.query_one(Input).value = "error code=-32000 method=tools/call"
        await pilot.press("enter")
        await shown(app, pilot, "1 relay, 1 fault", "error", "struck 0 of 0")
        call = CallRequest(kind="tool", name="add", arguments={"a": 1, "b": 2})
        assert (await ended(inspection, inspection.call(server.id, call))).state == "failed"
        await shown(app, pilot, "struck 1 of 1")
        await pilot.press("down", "x")
        await shown(app, pilot, "1 relay, 0 faults")
        assert (await ended(inspection, inspection.call(server.id, call))).state == "done"
        await pilot.press("x")
        await shown(app, pilot, "Choose one of the faults")
        await pilot.press("enter")
        await until(lambda: app.current.id == "transcript")
        await shown(app, pilot, "tools/call", "add")
        await server.disconnect()
        await pilot.press("F")
        await shown(app, pilot, "No relay runs")
        assert "add" not in screen_text(app)


@pytest.mark.hostile
async def test_checks_in_which_something_acts_are_shown_and_not_edited(inspection, tmp_path):
    evil = "\u202e[b]\x9b31m"
    file = tmp_path / "checks.toml"
    file.write_text(f'server = "s"\n[[check]]\nname = "{evil}"\ncall = {{ tool = "{evil}" }}\n', "utf-8")
    inspection.checks.open(file)
    async with terminal(inspection, (100, 30)) as (app, pilot):
        await pilot.press("K")
        text = await shown(app, pilot, "\\u202e[b]\\u009b31m")
        assert not {"\u202e", "\x9b"} & set(text)
        await pilot.press("e")
        await shown(app, pilot, "Something in it would act")
        assert len(app.screen_stack) == 1
