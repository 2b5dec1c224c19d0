"""What happens at the edges: windows of five lines, servers that die, captures that somebody made up."""

import json
import os
import signal
import sys

import pytest
from inspected import kitchen, until
from terminals import read, screen_text, shown, terminal
from test_terminal_hostile import EVIL, safe

from dovetail_inspector.session.calls import CallRequest
from dovetail_inspector.terminal.app import VIEW_KEYS
from dovetail_inspector.views import ServerTarget

DYING = """
import json, os, sys
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "tools/call":
        print("[b]last words\\x1b[2J", file=sys.stderr, flush=True)
        os.kill(os.getpid(), 9)
    result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
              "serverInfo": {"name": "d", "version": "1"}}
    result["tools"] = [{"name": "die" + "e" * 1_000_000, "inputSchema": {"type": "object"}}]
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


@pytest.mark.parametrize("keys", [VIEW_KEYS[:6], VIEW_KEYS[6:11], VIEW_KEYS[11:]])
async def test_a_window_of_five_lines_and_back(inspection, tmp_path, keys):
    await kitchen(inspection, tmp_path)
    async with terminal(inspection, (100, 30)) as (app, pilot):
        for key in keys:
            await pilot.press("minus" if key == "-" else key)
            await pilot.resize_terminal(20, 5)
            await pilot.pause()
            await pilot.press("down", "end", "enter")
            await pilot.pause()
            assert screen_text(app)
            await pilot.resize_terminal(100, 30)
            await pilot.press("escape", "escape")
            await pilot.pause()
            assert len(app.screen_stack) == 1
        await pilot.press("1")
        await shown(app, pilot, "kitchen", "ready", "target")


@pytest.mark.hostile
async def test_a_server_that_dies_in_a_call_is_told_and_nothing_else_ends(inspection, tmp_path):
    place = tmp_path / "dying.py"
    place.write_text(DYING)
    server = inspection.add("dying", ServerTarget(command=sys.executable, args=[str(place)]))
    server.connect()
    await server.connected()
    assert server.view.state == "ready", server.view.error
    async with terminal(inspection, (80, 24)) as (app, pilot):
        await pilot.press("3")
        await shown(app, pilot, "1 tool", "dieeee")
        await pilot.press("enter")
        await shown(app, pilot, "No fields", "Escape closes")
        call = inspection.call(server.id, CallRequest(kind="tool", name="die"))
        await until(lambda: inspection.calls.view(call.id).state == "failed")
        await pilot.press("escape", "6")
        await shown(app, pilot, "tools/call", "die")
        await pilot.press("enter")
        await read(app, "call-text", "failed")
        await pilot.press("escape", "0")
        await shown(app, pilot, "[b]last words")
        safe(app)
        await pilot.press("1", "c")
        await server.connected()
        await shown(app, pilot, "dying  ready")


async def test_a_started_server_that_is_killed_is_seen_to_be_gone(inspection, tmp_path):
    place = tmp_path / "named.py"
    place.write_text(
        "import os, pathlib\nfrom dovetail import App\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\nApp('named').run()\n"
    )
    server = inspection.add("named", ServerTarget(command=sys.executable, args=[str(place)]))
    server.connect()
    await server.connected()
    async with terminal(inspection, (80, 24)) as (app, pilot):
        await shown(app, pilot, "named  ready")
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        await until(lambda: server.view.state != "ready")
        await until(lambda: "● named  ready" not in screen_text(app))
        for key in VIEW_KEYS:
            await pilot.press("minus" if key == "-" else key)
            await pilot.pause()
        assert app.is_running


@pytest.mark.hostile
async def test_a_capture_that_somebody_made_up_is_shown_as_text(inspection, tmp_path):
    place = tmp_path / "[b]\x1b]0;evil\x07.jsonl"
    said = {"jsonrpc": "2.0", "id": EVIL, "method": EVIL, "params": {"name": EVIL, EVIL: "\t" * 5000}}
    http = {"exchange": 1, "status": 10**9, "headers": {EVIL: EVIL}, "event": EVIL, "target": EVIL}
    lines = [
        {"capture": 1, "began": EVIL, "software": EVIL},
        {"n": 1, "seconds": 0, "time": EVIL, "link": 1, "sender": "client", "body": said, "transport": EVIL},
        {"n": 2, "seconds": 1e300, "time": EVIL, "link": -1, "sender": "server", "text": EVIL * 20_000},
        {"n": 2, "seconds": -5, "time": EVIL, "mark": "stderr", "text": EVIL},
        {"n": 3, "seconds": 1, "time": EVIL, "mark": "fault", "target": EVIL, "revision": EVIL, "era": EVIL},
        {
            "n": 4,
            "seconds": 1,
            "time": EVIL,
            "sender": "server",
            "body": {"id": EVIL, "result": EVIL},
            "http": http,
        },
    ]
    place.write_bytes(b"\n".join(json.dumps(each).encode() for each in lines) + b"\n{\xff\n[[[[\n")
    inspection.open_capture(place)
    async with terminal(inspection, (100, 30)) as (app, pilot):
        await shown(app, pilot, "[b]\\x1b]0;evil")
        for key in VIEW_KEYS:
            await pilot.press("minus" if key == "-" else key)
            await pilot.pause()
            await pilot.press("home", "enter")
            await pilot.pause()
            safe(app)
            await pilot.press("escape", "escape")
        assert app.is_running
