"""Servers that want to do something to the terminal, or to whoever looks at it."""

import asyncio
import sys

import pytest
from inspected import until
from terminals import read, screen_text, shown, terminal

from dovetail_inspector.session.calls import CallRequest
from dovetail_inspector.session.questions import PersonAnswer
from dovetail_inspector.terminal.app import InspectorTerminal
from dovetail_inspector.terminal.rows import RowList
from dovetail_inspector.views import ServerTarget

EVIL = (
    "[bold red]x[/] [@click=app.quit]y[/] \x1b]8;;https://evil.example\x07z\x1b\\ \x1b[2J \u202eabc 👨‍👩‍👧 漢字 e"
    + "\u0301" * 20
)

SERVER = """
import json, sys

EVIL = @EVIL@

def tool(name):
    return {"name": name, "title": EVIL, "description": EVIL, "inputSchema": {"type": "object", "properties": {
        EVIL: {"type": "string", "title": EVIL, "description": EVIL, "default": EVIL},
        "pick": {"enum": [EVIL, "b"], "title": EVIL}}}}

TOOLS = [tool(EVIL), *({"name": f"tool-{n}", "inputSchema": {"type": "object"}} for n in range(10_000))]

def say(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

for line in sys.stdin:
    message = json.loads(line)
    match message.get("method"):
        case "initialize":
            result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": True}, "logging": {}},
                      "serverInfo": {"name": EVIL, "version": EVIL}, "instructions": EVIL}
        case "tools/list":
            result = {"tools": TOOLS}
        case "tools/call":
            print(EVIL, file=sys.stderr, flush=True)
            for n in range(3000):
                say({"method": "notifications/message", "params": {"level": "error", "logger": EVIL, "data": EVIL}})
            say({"method": "notifications/tools/list_changed"})
            result = {"content": [{"type": "text", "text": EVIL}, {"type": "text", "text": "w" * 10_000_000},
                                  {"type": "image", "mimeType": EVIL, "data": "AAAA"}], "isError": True}
        case _:
            result = {}
    if "id" in message:
        say({"id": message["id"], "result": result})
"""


async def evil(inspection, folder):
    """A server whose every word is hostile."""
    place = folder / "evil.py"
    place.write_text(SERVER.replace("@EVIL@", repr(EVIL)))
    server = inspection.add(EVIL, ServerTarget(command=sys.executable, args=[str(place)]))
    server.connect()
    await server.connected()
    assert server.view.state == "ready", server.view.error
    return server


def safe(app: InspectorTerminal) -> str:
    """The screen, which has none of what acts, and all of what was said."""
    text = screen_text(app)
    assert not {"\x1b", "\x07", "\u202e", "\u200d", "\x9b"} & set(text)
    return text


@pytest.mark.hostile
@pytest.mark.parametrize("size", [(60, 24), (120, 40)])
async def test_nothing_that_a_server_says_acts(inspection, tmp_path, size):
    server = await evil(inspection, tmp_path)
    async with terminal(inspection, size) as (app, pilot):
        for key in "123":
            await pilot.press(key)
            await pilot.pause()
            safe(app)
        await shown(app, pilot, "10,001 tools", "[bold red]x[/]")
        rows = app.query_one("#tools-list", RowList)
        await pilot.press("end")
        assert rows.cursor == 10_000
        await shown(app, pilot, "tool-9999")
        await pilot.press("home", "enter")
        await shown(app, pilot, "[@click=app.quit]")
        safe(app)
        await pilot.press("f4", "f4", "f5")
        await until(lambda: inspection.calls.views and inspection.calls.views[-1].state == "done")
        call = inspection.calls.views[-1]
        text = await read(app, "call-text", "says that it failed", "10,000,000 characters")
        assert "image" in text
        safe(app)
        # What was suggested goes out as it was suggested, though it was drawn otherwise.
        assert call.params["arguments"] == {EVIL: EVIL}
        await pilot.press("escape", "escape")
        for key in "678-0":
            await pilot.press("minus" if key == "-" else key)
            await pilot.pause()
            await pilot.press("end", "enter")
            await pilot.pause()
            safe(app)
            await pilot.press("escape")
        assert server.view.state == "ready"


@pytest.mark.hostile
async def test_an_address_is_shown_whole_and_its_host_marked(inspection):
    url = "https://bank.example@evil.example:8443/" + "a" * 300 + "\x1b[2J?bank.example"
    async with terminal(inspection, (80, 24)) as (app, pilot):
        asked = asyncio.create_task(
            inspection.questions.ask("s1", "visit", message="[b]Log in[/b]", url=url, host="evil.example")
        )
        text = await shown(app, pilot, "[b]Log in[/b]", "It leads to evil.example")
        assert "".join(text.split()).count("a" * 20)
        safe(app)
        await pilot.click("#decline")
        assert await asked == PersonAnswer("decline")


@pytest.mark.hostile
async def test_a_flood_of_questions_is_one_screen_at_a_time(inspection):
    async with terminal(inspection) as (app, pilot):
        asked = [
            asyncio.create_task(inspection.questions.ask("s1", "form", message=f"number {n}", schema={}))
            for n in range(200)
        ]
        await shown(app, pilot, "number 0")
        assert len(app.screen_stack) == 2
        inspection.questions.withdraw("s1")
        await asyncio.gather(*asked)
        await until(lambda: len(app.screen_stack) == 1)


@pytest.mark.hostile
async def test_a_call_of_what_is_not_there_is_told(inspection, tmp_path):
    server = await evil(inspection, tmp_path)
    async with terminal(inspection) as (app, pilot):
        inspection.call(server.id, CallRequest(kind="read", uri="x://y"))
        await pilot.press("6", "enter")
        await read(app, "call-text", "resources/read")
        safe(app)
