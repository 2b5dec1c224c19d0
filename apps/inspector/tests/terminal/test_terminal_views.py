"""Each view of the terminal face, driven by keys, on a server that runs."""

import subprocess
import sys

import app_server
import pytest
from inspected import ended, kitchen, until
from terminals import read, screen_text, shown, terminal
from textual.widgets import Input, TextArea

from dovetail.linting import Finding
from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.calls import CallRequest
from dovetail_inspector.terminal.command import run
from dovetail_inspector.terminal.rows import RowList
from dovetail_inspector.terminal.transcript import ConversationView
from dovetail_inspector.transcript import transcript
from dovetail_inspector.views import ConnectionSettings, ServerTarget

SIZES = [(60, 24), (80, 24), (140, 40)]


@pytest.mark.parametrize("size", SIZES)
async def test_a_tool_is_called_by_its_form(inspection, tmp_path, size):
    server = await kitchen(inspection, tmp_path)
    async with terminal(inspection, size) as (app, pilot):
        await shown(app, pilot, "kitchen", "ready", server.view.revision)
        await pilot.press("2")
        await read(app, "info-text", "Cook.", '"tools"')
        await pilot.press("3")
        await shown(app, pilot, "bake", "5 tools")
        await pilot.press("enter")
        await shown(app, pilot, "Call bake", "flour *")
        await pilot.press("f5")
        await shown(app, pilot, "flour is needed")
        await pilot.press(*"300", "f4")
        area = app.screen.query_one("#whole", TextArea)
        assert '"flour": 300' in area.text
        area.load_text('{"flour": 300, "fillings": [{"name": "apple"}], "more": 1}')
        await pilot.press("f4", "f4")
        assert '"apple"' in area.text
        assert '"more": 1' in area.text
        area.load_text('{"flour": 300, "fillings": [{"name": "apple"}]}')
        await pilot.press("f5")
        text = await read(app, "call-text", "done", '"grams": 400', "step 3", "what the tool's schema says")
        assert "3 of 3" in text
        await pilot.press("f4")
        await read(app, "call-text", '"structuredContent"')
        await pilot.press("escape", "escape", "6")
        await shown(app, pilot, "tools/call", "bake")


async def test_a_tool_that_fails_one_that_is_cancelled_and_a_task(inspection, tmp_path):
    server = await kitchen(inspection, tmp_path)
    async with terminal(inspection) as (app, pilot):
        await pilot.press("3")
        await shown(app, pilot, "5 tools")
        await pilot.press("slash", *"fail", "enter")
        await shown(app, pilot, "1 of 5 tools")
        await pilot.press("enter", "f5")
        await read(app, "call-text", "says that it failed", "it burned")
        await pilot.press("escape", "escape")
        app.query_one("#tools-filter", Input).value = "wait"
        await pilot.pause()
        await pilot.press("enter", "f5")
        await read(app, "call-text", "running")
        await pilot.press("c")
        await read(app, "call-text", "cancelled")
        await pilot.press("escape", "escape")
        app.query_one("#tools-filter", Input).value = "slow"
        await pilot.pause()
        await pilot.press("enter")
        await shown(app, pilot, "Call slow")
        await pilot.click("#as_task")
        await read(app, "call-text", "task", "done")
        assert inspection.calls.views[-1].task
        await pilot.press("escape", "escape", "6")
        await shown(app, pilot, "fail", "wait", "slow", "task")
        with pytest.raises(LookupError):
            inspection.server("s9")
        assert server.view.state == "ready"


async def test_a_tool_says_that_it_has_a_view_and_where_that_is_shown(inspection):
    target = ServerTarget(command=sys.executable, args=[app_server.__file__])
    server = inspection.add("tower", target)
    server.connect()
    await server.connected()
    async with terminal(inspection, (140, 40)) as (app, pilot):
        await pilot.press("3")
        await shown(app, pilot, "clock  view", "6 tools")
        await read(app, "tools-detail", "ui://clock/face", "shown in the page", "without --tui")
        await pilot.press("enter")
        await shown(app, pilot, "It has a view")
        await pilot.press("escape")
        app.query_one("#tools-filter", Input).value = "refresh"
        await read(app, "tools-detail", "for views alone")


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_a_question_comes_over_everything(inspection, tmp_path, revision):
    server = await kitchen(inspection, tmp_path, ConnectionSettings(revision=revision))
    async with terminal(inspection) as (app, pilot):
        call = inspection.call(server.id, CallRequest(kind="tool", name="serve"))
        await shown(app, pilot, "kitchen asks", "Who eats?", "value *")
        await pilot.press("f5")
        await shown(app, pilot, "value is needed")
        await pilot.press("escape")
        await shown(app, pilot, "1 question (F2)")
        await pilot.press("f2")
        await shown(app, pilot, "Who eats?")
        await pilot.press(*"Ada", "f5")
        assert (await ended(inspection, call)).result["content"][0]["text"] == "for Ada"
        await until(lambda: "Who eats?" not in screen_text(app))
        call = inspection.call(server.id, CallRequest(kind="tool", name="serve"))
        await shown(app, pilot, "Who eats?")
        inspection.calls.cancel(call.id)
        await until(lambda: "Who eats?" not in screen_text(app))


async def test_rounds_are_answered_as_json(inspection, tmp_path):
    server = await kitchen(inspection, tmp_path, ConnectionSettings(step_rounds=True))
    async with terminal(inspection) as (app, pilot):
        call = inspection.call(server.id, CallRequest(kind="tool", name="serve", arguments={}))
        await shown(app, pilot, "Round 1", "inputRequests")
        area = app.screen.query_one(TextArea)
        assert '"action": "accept"' in area.text
        area.load_text(area.text.replace('"content": {}', '"content": {"value": "Bob"}'))
        await pilot.press("f5")
        assert (await ended(inspection, call)).result["content"][0]["text"] == "for Bob"


async def test_resources_and_prompts(inspection, tmp_path):
    await kitchen(inspection, tmp_path)
    async with terminal(inspection) as (app, pilot):
        await pilot.press("4")
        await shown(app, pilot, "menu://today")
        await pilot.press("enter")
        await read(app, "call-text", "done", "pie")
        await pilot.press("escape", "s")
        await read(app, "call-text", "resources/subscribe", "done")
        await pilot.press("escape")
        await shown(app, pilot, "◉ menu://today")
        await pilot.press("u", "escape", "5")
        await shown(app, pilot, "order", "dish (needed)")
        await pilot.press("enter", *"pi")
        field = app.screen.query_one("#field-0", Input)
        await until(lambda: field._suggestion == "pie")
        await pilot.press("right", "f5")
        await read(app, "call-text", "One pie, please.", "user")


async def test_the_transcript_is_searched_and_shown_in_full(inspection, tmp_path):
    server = await kitchen(inspection, tmp_path)
    call = inspection.call(server.id, CallRequest(kind="tool", name="bake", arguments={"flour": 4321}))
    await ended(inspection, call)
    async with terminal(inspection) as (app, pilot):
        await pilot.press("7")
        await shown(app, pilot, "tools/call", "bake", "records")
        await pilot.press("slash", *"4321 from:client", "enter")
        await shown(app, pilot, "1 of ")
        await pilot.press("enter")
        await read(app, "transcript-detail", '"flour": 4321', "request", "by the client")
        await pilot.press("escape", "b")
        await shown(app, pilot, "group:", "5 of ")
        await pilot.press("home", "p")
        await read(app, "transcript-detail", "response", '"grams": 4321')
        view = app.current
        assert isinstance(view, ConversationView)
        view.look_for("kind:request method:tools/call")
        await shown(app, pilot, "1 of ")
        await pilot.press("e")
        await shown(app, pilot, "Send to kitchen")
        await pilot.press("f5")
        await read(app, "call-text", "done", '"grams": 4321')
        await pilot.press("escape", "escape", "0")
        await shown(app, pilot, "the oven is hot")
        await pilot.press("8")
        await shown(app, pilot, "tools/call bake", "█")
        await pilot.press("l", "plus", "minus")
        await shown(app, pilot, "p95")
        await pilot.press("enter")
        assert app.current.id == "transcript"


async def test_findings_and_logs_are_shown(tmp_path, monkeypatch):
    class Grumbler:
        """Finds a fault in every request for a tool."""

        def line(self, line):
            if isinstance(line.value, dict) and line.value.get("method") == "tools/call":
                yield Finding(line.n, "odd-one", "warning", "[b]I don't like it[/b]", "", "", "", "client")

    monkeypatch.setattr(transcript, "_linter", Grumbler)
    async with Inspection() as inspection:
        server = await kitchen(inspection, tmp_path)
        await ended(inspection, inspection.call(server.id, CallRequest(kind="tool", name="fail")))
        async with terminal(inspection) as (app, pilot):
            await pilot.press("9")
            await shown(app, pilot, "odd-one: [b]I don't like it[/b]", "1 of ")
            await pilot.press("enter")
            await read(app, "findings-detail", "warning: [b]I don't like it[/b]")
            await pilot.press("minus")
            await shown(app, pilot, "No log messages came")
            notice = {"server": server.id, "level": "error", "logger": "oven", "data": {"heat": "[red]\x1b"}}
            inspection.events.publish("log", notice)
            await shown(app, pilot, "error", "oven", "[red]\\u001b")


async def test_servers_are_added_changed_and_removed(inspection, tmp_path):
    (tmp_path / "empty.py").write_text("from dovetail import App\napp = App('empty')\n")
    async with terminal(inspection) as (app, pilot):
        await shown(app, pilot, "No servers yet")
        await pilot.press("a", "enter")
        await shown(app, pilot, "Say what is to be looked at")
        app.screen.query_one("#target", Input).value = str(tmp_path / "empty.py")
        app.screen.query_one("#name", Input).value = "empty"
        await pilot.press("enter")
        await shown(app, pilot, "● empty  ready")
        await pilot.press("e")
        await shown(app, pilot, "Settings of empty")
        app.screen.query_one("#timeout", Input).value = "no"
        await pilot.press("enter")
        await shown(app, pilot, "are a number")
        app.screen.query_one("#timeout", Input).value = "7"
        app.screen.query_one("#name", Input).value = "other"
        await pilot.click("#keep")
        await shown(app, pilot, "other", "7 s")
        (server,) = inspection.servers.values()
        assert server.settings.timeout == 7
        await pilot.press("d")
        await shown(app, pilot, "other  idle")
        await pilot.press("c")
        await shown(app, pilot, "other  ready")
        await pilot.press("x")
        await until(lambda: not inspection.servers)


async def test_a_server_that_is_none_says_why(inspection, tmp_path):
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    async with terminal(inspection) as (app, pilot):
        await pilot.press("a")
        await pilot.pause()
        app.screen.query_one("#target", Input).value = str(tmp_path / "broken.py")
        await pilot.press("enter")
        await shown(app, pilot, "broken.py", "failed")
        await pilot.press("3")
        await shown(app, pilot, "is failed")


async def test_a_capture_of_one_face_opens_in_the_other(tmp_path):
    kept = tmp_path / "kept"
    async with Inspection(kept) as first:
        server = await kitchen(first, tmp_path)
        await ended(
            first, first.call(server.id, CallRequest(kind="tool", name="bake", arguments={"flour": 77}))
        )
        async with terminal(first) as (app, pilot):
            await pilot.press("w")
            await shown(app, pilot, "Export kitchen")
            app.screen.query_one("#path", Input).value = str(tmp_path / "out.jsonl")
            await pilot.click("#write")
            await until(lambda: (tmp_path / "out.jsonl").exists() and len(app.screen_stack) == 1)
            await pilot.press("w")
            await pilot.pause()
            app.screen.query_one("#path", Input).value = str(tmp_path / "out.jsonl")
            await pilot.click("#write")
            await shown(app, pilot, "File exists")
    (capture,) = kept.glob("*.jsonl")
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o077 == 0
    async with Inspection() as second, terminal(second) as (app, pilot):
        await pilot.press("o")
        await pilot.pause()
        for path in (capture, tmp_path / "out.jsonl"):
            app.screen.query_one("#path", Input).value = str(path)
            await pilot.press("enter")
            await until(lambda: len(app.screen_stack) == 1)
            await shown(app, pilot, path.name, "records")
            await pilot.press("o")
            await pilot.pause()
        app.screen.query_one("#path", Input).value = str(tmp_path / "kitchen.py")
        await pilot.press("enter")
        await shown(app, pilot, "Open a capture", "kitchen.py")
        await pilot.press("escape", "enter")
        await shown(app, pilot, "tools/call", "bake")
        assert app.current.id == "transcript"
        rows = app.query_one("#transcript-list", RowList)
        first, exported = second.transcripts.values()
        assert rows.count == len(first)
        said = [(each.n, each.kind, each.method, each.pair) for each in first]
        # It went on after it was exported: the connection was closed.
        assert said[: len(exported)] == [(each.n, each.kind, each.method, each.pair) for each in exported]
        assert "tools/call" in [each.method for each in exported]


async def test_all_views_of_nothing_say_so(inspection):
    async with terminal(inspection) as (app, pilot):
        for key in "234567890":
            await pilot.press(key)
            await shown(app, pilot, "o")
        await pilot.press("ctrl+t")
        assert app.theme == "textual-light"
        await pilot.press("ctrl+p")
        await shown(app, pilot, "Add a server")
        await pilot.press("escape", "q")
    assert app.return_value is None


def test_without_the_terminal_nothing_of_it_is_loaded():
    code = (
        "import sys, dovetail_inspector.inspection, dovetail_inspector.terminal.command; "
        "sys.exit(any(each.partition('.')[0] in ('textual', 'rich') for each in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_without_textual_it_says_what_to_install(inspection, monkeypatch):
    monkeypatch.setitem(sys.modules, "textual", None)
    with pytest.raises(ImportError, match=r"dovetail-inspector\[tui\]"):
        await run(inspection)
