"""What stands between a host and its server: pipes byte for byte, HTTP as a relay; and the command that replays."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded_app import app
from test_recording_clients import ERAS, KEY, PASSWORD, answer, conversation

from dovetail import Client
from dovetail.recording import Capture, CaptureWriter, HTTPRelay, replay, replay_app
from dovetail.recording.tapping import record_servers
from dovetail.testing import Transport, connected, served

Run = Callable[..., tuple[int, str, str]]
SERVER = Path(__file__).with_name("recorded_app.py")
DOVETAIL = [sys.executable, "-m", "dovetail"]


def recorded(path: Path, *command: str) -> list[str]:
    """The command that a host starts in the place of another."""
    return [*DOVETAIL, "record", "-o", str(path), "--", *command]


@pytest.mark.parametrize("revision", ERAS)
async def test_a_host_starts_the_recorder_in_the_place_of_its_server(revision: str, tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    command = recorded(path, *DOVETAIL, "run", str(SERVER))
    async with Client(command, revision=revision, elicitation=answer) as client:
        came = await conversation(client)
    capture = Capture.read(path)
    assert capture.header.place == "pipe"
    text = path.read_text("utf-8")
    assert PASSWORD not in text
    assert KEY not in text
    async with Client(replay_app(capture, strict=True), elicitation=answer) as client:
        assert await conversation(client) == came


def test_every_byte_passes_both_ways_and_the_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    script = (
        "import sys; data = sys.stdin.buffer.read(); sys.stderr.write('beside'); "
        "sys.stdout.buffer.write(data[::-1]); sys.stdout.flush(); sys.exit(7)"
    )
    given = b"\x00\xff no newline \r\n" + bytes(range(256)) * 5000
    done = subprocess.run(
        recorded(path, sys.executable, "-c", script), input=given, capture_output=True, check=False
    )
    assert done.stdout == given[::-1]
    assert done.stderr == b"beside"
    assert done.returncode == 7
    lines = list(Capture.read(path))
    assert {each.sender for each in lines if not each.mark and (each.base64 or each.text)} == {
        "client",
        "server",
    }
    assert [each.text for each in lines if each.mark == "stderr"] == ["beside"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_server_once_and_end_the_recorder_alike(number: int, tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    script = (
        "import os, signal, sys, time\n"
        "got = []\n"
        "def hear(*_):\n"
        "    got.append(1)\n"
        "    os.write(1, b'heard\\n')\n"
        f"signal.signal({int(number)}, hear)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        f"print(len(got), flush=True)\n"
        f"signal.signal({int(number)}, signal.SIG_DFL)\n"
        "print('again', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        recorded(path, sys.executable, "-c", script),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        os.killpg(process.pid, number)  # as a host or a terminal does, to all of the group
        assert process.stdout.readline() == b"heard\n"
        process.stdin.write(b"go on\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"1\n"
        assert process.stdout.readline() == b"again\n"
        process.send_signal(number)  # its input stays open: at the end of that the server would end by itself
        assert process.wait(20) == -number


def test_a_killed_recorder_leaves_a_file_that_can_be_read_and_no_server(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    told = tmp_path / "ended"
    os.mkfifo(told)
    script = f"import sys; print('{{}}', flush=True); sys.stdin.read(); open({str(told)!r}, 'w').write('x')"
    with subprocess.Popen(
        recorded(path, sys.executable, "-c", script),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"{}\n"
        process.kill()
        process.wait(20)
        assert told.read_text() == "x"  # waits for the server, which ends at the end of its input
    assert [each.value for each in Capture.read(path) if each.sender == "server"] == [{}]


def test_a_command_that_is_not_there_and_words_that_make_no_sense(tmp_path: Path) -> None:
    def code(*words: str) -> int:
        done = subprocess.run(
            [*DOVETAIL, "record", "-o", str(tmp_path / "talk.jsonl"), *words],
            capture_output=True,
            check=False,
        )
        assert done.stderr.startswith(b"dovetail: ")
        return done.returncode

    assert code("--", "no-such-command-anywhere") == 3
    assert code() == 2
    assert code("http://127.0.0.1:1/mcp", "--", "cat") == 2
    assert code("--http", "8000", "--", "cat") == 2
    assert code("--redact-pattern", "(", "--", "cat") == 2
    assert code("ftp://127.0.0.1") == 4


@pytest.mark.parametrize("revision", ERAS)
async def test_a_relay_passes_http_on_and_records_it(revision: str, tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    writer = CaptureWriter(path, place="relay")
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        served(app.asgi()) as url,
        served(HTTPRelay(url, writer)) as between,
        Client(between, revision=revision, elicitation=answer, headers=headers) as client,
    ):
        came = await conversation(client)
    writer.close()
    text = path.read_text("utf-8")
    assert PASSWORD not in text
    assert KEY not in text
    capture = Capture.read(path)
    assert len({each.link for each in capture}) == 1
    async with Client(replay_app(capture, strict=True), elicitation=answer) as client:
        assert await conversation(client) == came


async def test_streams_flow_through_a_relay_and_the_client_may_go_away(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path / "talk.jsonl", place="relay")
    async with served(app.asgi()) as url, served(HTTPRelay(url, writer)) as between:
        for revision in ERAS:
            async with Client(between, revision=revision) as client:
                begun = asyncio.Event()
                call = asyncio.create_task(client.call_tool("wait", progress=lambda _: begun.set()))  # noqa: B023 - it is called before the next round
                await asyncio.wait_for(begun.wait(), 10)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
    writer.close()


async def test_a_relay_lets_no_page_of_others_through(tmp_path: Path) -> None:
    import aiohttp

    writer = CaptureWriter(tmp_path / "talk.jsonl", place="relay")
    async with (
        served(HTTPRelay("http://127.0.0.1:1/mcp", writer)) as between,
        aiohttp.ClientSession() as http,
    ):
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            async with http.post(between, headers=headers, data=b"{}") as refused:
                assert refused.status == 403
        async with http.post(between, data=b"{}") as gone:
            assert gone.status == 502
    writer.close()


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-050", "R2607-TRANSPORT-HTTP-063")
async def test_a_relay_passes_headers_of_parameters_on_and_refusals_back(tmp_path: Path) -> None:
    """Also those that no tool declares; and what the server says against a header is no success."""
    import aiohttp

    path = tmp_path / "talk.jsonl"
    writer = CaptureWriter(path, place="relay")
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    call = {"name": "add", "arguments": {"a": 1, "b": 2}, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "add",
        "Mcp-Param-Nobody-Knows": "=?base64?w6Q=?=",
    }
    heard: list[dict[bytes, bytes]] = []
    inner = app.asgi()

    async def listening(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            heard.append(dict(scope["headers"]))
        await inner(scope, receive, send)

    async with (
        served(listening) as url,
        served(HTTPRelay(url, writer)) as between,
        aiohttp.ClientSession() as http,
    ):
        async with http.post(between, headers=headers, json=body) as done:
            assert done.status == 200
        assert heard[-1][b"mcp-param-nobody-knows"] == b"=?base64?w6Q=?="
        async with http.post(between, headers={**headers, "Mcp-Name": "sub"}, json=body) as refused:
            assert refused.status == 400
            assert (await refused.json())["error"]["code"] == -32020
    writer.close()


@pytest.mark.parametrize("revision", ERAS)
async def test_the_same_server_answers_a_replay_alike_and_another_one_otherwise(
    revision: str, tmp_path: Path
) -> None:
    path = tmp_path / "talk.jsonl"
    async with Client(app, revision=revision, elicitation=answer, record=path) as client:
        for tool, arguments in (("add", {"a": 1, "b": 2}), ("ask", {}), ("tell", {}), ("fail", {})):
            await client.call_tool(tool, arguments, progress=lambda _: None)
    capture = Capture.read(path)
    for target in (app, replay_app(capture)):
        report = await replay(capture, target, strict=True)
        assert report.same, str(report)
        asked = list(dict.fromkeys(each.about for each in report.calls if each.about))
        assert asked == ["'add'", "'ask'", "'tell'", "'fail'"]
    async with served(app.asgi()) as url:
        report = await replay(capture, url, strict=True)
        assert report.same, str(report)
    changed = Capture.parse(path.read_bytes().replace(b"Hello, Ada", b"Hello, Bob"))
    report = await replay(changed, app)
    (differing,) = [each for each in report.calls if not each.same]
    assert differing.about == "'ask'"
    assert str(differing.differs[0]) == "/content/0/text: recorded 'Hello, Bob', now 'Hello, Ada'"
    assert (await replay(changed, app, ignore=["/content/*/text"])).same


def test_the_command_ends_with_1_where_something_differs(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "talk.jsonl"
    assert run("call", str(SERVER), "add", "--record", str(path), "-a", "a=1", "-a", "b=2")[:2] == (0, "3\n")
    code, out, err = run("replay", str(path), "--", *DOVETAIL, "run", str(SERVER))
    assert (code, out) == (0, "")
    assert "3 of 3 requests were answered as recorded" in err
    path.write_bytes(path.read_bytes().replace(b'"text":"3"', b'"text":"4"'))
    code, out, _ = run("replay", str(path), str(SERVER), "--json")
    assert code == 1
    (differing,) = [each for each in json.loads(out) if not each["same"]]
    assert differing["differs"] == [{"pointer": "/content/0/text", "recorded": "4", "found": "3"}]
    assert run("replay", str(path), str(SERVER), "--ignore", "/content/0/text")[0] == 0
    assert run("replay", str(tmp_path / "none.jsonl"), str(SERVER))[0] == 2


@pytest.mark.parametrize("revision", ERAS)
@pytest.mark.parametrize("transport", ["memory", "http"])
async def test_a_server_records_what_it_hears_and_says(
    transport: Transport, revision: str, tmp_path: Path
) -> None:
    path = tmp_path / "talk.jsonl"
    writer = CaptureWriter(path, place="server")
    end = record_servers(writer)
    try:
        async with connected(app, transport=transport, revision=revision, elicitation=answer) as client:
            came = await conversation(client)
    finally:
        end()
        writer.close()
    assert PASSWORD not in path.read_text("utf-8")
    async with Client(replay_app(Capture.read(path)), revision=revision, elicitation=answer) as client:
        assert await conversation(client) == came


async def test_the_commands_that_serve_and_relay_record(tmp_path: Path) -> None:
    """A server at a port that records itself, and a relay before it, both as commands."""
    served_at, relayed_at = tmp_path / "server.jsonl", tmp_path / "relay.jsonl"
    server = await begun(*DOVETAIL, "run", str(SERVER), "--http", "0", "--record", str(served_at))
    relay = await begun(*DOVETAIL, "record", "-o", str(relayed_at), server.url, "--http", "0")
    async with Client(relay.url) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).into(int) == 3
    assert await relay.ended() == 0
    assert await server.ended() == 0
    for path, place in ((served_at, "server"), (relayed_at, "relay")):
        capture = Capture.read(path)
        assert capture.header.place == place
        async with Client(replay_app(capture)) as client:
            assert (await client.call_tool("add", {"a": 1, "b": 2})).into(int) == 3


class Begun:
    """A server that was started: its ``url``."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def ended(self) -> int:
        """End it as its operator would; gives its exit code."""
        self.process.terminate()
        assert self.process.stderr is not None
        await self.process.stderr.read()
        return await self.process.wait()


async def begun(*command: str) -> Begun:
    """Start a server, which says where it is."""
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    said = ""
    while found := re.search(r"http://\S+", said) or (await process.stderr.readline()).decode():
        if isinstance(found, re.Match):
            return Begun(process, found[0].rstrip("."))
        said += found
    raise AssertionError(f"it did not start: {said}")
