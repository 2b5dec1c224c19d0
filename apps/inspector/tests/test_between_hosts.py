"""Into a host's configuration and out again: nothing is written unasked, and undoing is exact."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from between_running import INSPECT, SERVER
from between_server import app

from dovetail import Client
from dovetail.errors import ConfigurationError
from dovetail.host.configuration import Approvals, ConfigurationFile
from dovetail.recording import Capture
from dovetail.testing import served
from dovetail_inspector.between.hosts import entries_named, put_between, taken_out, write
from dovetail_inspector.between.live import live_relays

SECRET = "s3cr3t-value"
#: Written by hand, as no program would.
CURSOR = """{
  // mine
  "mcpServers": {
    "sums": { "command": "COMMAND", "args": ["SERVER"],   "env": {"KEY": "SECRET"}, "mine": [1, 2] },
    "far":  {"url": "URL", "headers": {"Authorization": "Bearer SECRET"}},
    "odd":  {"url": "${env:WHERE}/mcp"}
  }
}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of this test's own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    return tmp_path


@pytest.fixture
def cursor(home: Path) -> Path:
    """The configuration of a host."""
    path = home / ".cursor" / "mcp.json"
    path.parent.mkdir()
    path.write_text(filled("http://127.0.0.1:1/mcp?key=1"))
    return path


def filled(url: str) -> str:
    """The text of the configuration."""
    text = CURSOR.replace("COMMAND", sys.executable).replace("SERVER", str(SERVER))
    return text.replace("SECRET", SECRET).replace("URL", url)


def text_of(path: Path) -> str:
    """What is in a file, byte for byte."""
    return path.read_bytes().decode()


def put(path: Path, text: str) -> None:
    """Write a file."""
    path.write_text(text)


def inspect(*words: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command, with nobody to be asked."""
    return subprocess.run([*INSPECT, *words], capture_output=True, check=False, stdin=subprocess.DEVNULL)


async def test_a_server_that_is_started_has_us_around_it_until_it_has_not(cursor: Path, home: Path) -> None:
    before = text_of(cursor)
    shown = inspect("sums", "--fault", "delay seconds=0 method=tools/call", "--output", str(home / "t.jsonl"))
    assert shown.returncode == 1
    assert b"nothing was written" in shown.stderr
    assert b'+      "command": ' in shown.stdout or b'"--between"' in shown.stdout
    assert text_of(cursor) == before

    written = inspect(
        "sums", "--write", "--fault", "delay seconds=0 method=tools/call", "--output", str(home / "t.jsonl")
    )
    assert (written.returncode, text_of(cursor) != before) == (0, True)
    (entry,) = entries_named("sums")
    definition = entry.definition
    assert definition.command_line[-2:] == (sys.executable, str(SERVER))
    assert (definition.env, definition.extra) == ({"KEY": SECRET}, {"mine": [1, 2]})
    assert "// mine" in text_of(cursor)
    async with Client([*definition.command_line]) as client:  # as the host would
        assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
        (relay,) = live_relays()
        assert (relay.host, relay.server) == ("cursor", "sums")
    assert [each.target for each in Capture.read(home / "t.jsonl") if each.mark == "fault"]
    assert SECRET not in (home / "t.jsonl").read_text()

    assert b"leads through us already" in inspect("sums", "--write").stderr
    assert inspect("sums", "--undo").returncode == 1
    assert inspect("sums", "--undo", "--write").returncode == 0
    assert text_of(cursor) == before
    assert b"nothing to undo" in inspect("sums", "--undo", "--write").stderr
    for path in (home / ".local").rglob("*"):
        assert not path.is_file() or SECRET not in path.read_text()


def test_what_somebody_changed_meanwhile_stays_when_it_is_undone(cursor: Path) -> None:
    before = ConfigurationFile("cursor").servers
    (entry,) = entries_named("sums", host="cursor")
    write(entry, put_between(entry))
    cursor.write_text(text_of(cursor).replace("// mine", "// yours"))
    (entry,) = entries_named("sums", host="cursor")
    write(entry, taken_out(entry))
    assert ConfigurationFile("cursor").servers == before
    assert "// yours" in text_of(cursor)


def test_undoing_needs_nothing_but_the_entry(cursor: Path, home: Path) -> None:
    (entry,) = entries_named("sums")
    write(entry, put_between(entry, ["--fault", "drop"]))
    (home / ".local" / "state" / "dovetail" / "inspect" / "between.json").write_text("{torn")
    (entry,) = entries_named("sums")
    write(entry, taken_out(entry))
    (entry,) = entries_named("sums")
    assert entry.definition.command_line == (sys.executable, str(SERVER))


@pytest.fixture
def port() -> Iterator[int]:
    """One that nobody else is given meanwhile: it is bound, and not listened on."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


async def test_a_server_at_a_url_leads_to_us_for_as_long_as_we_run(
    cursor: Path, home: Path, port: int
) -> None:
    async with served(app.asgi()) as url:
        text = filled(f"{url}?key=1")
        put(cursor, text)
        process = await asyncio.create_subprocess_exec(
            *(*INSPECT, "far", "--write", "--http", str(port), "--output", str(home / "t.jsonl")),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        while b"leads to" not in (line := await process.stderr.readline()):
            assert line, "it did not start"
        definition = entries_named("far")[0].definition
        assert definition.url == f"http://127.0.0.1:{port}/mcp?key=1"
        assert definition.headers == {"Authorization": f"Bearer {SECRET}"}
        async with Client(definition.url) as client:
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
            assert [each.server for each in live_relays()] == ["far"]
        process.terminate()
        await process.stderr.read()
        assert await process.wait() == 0
        assert text_of(cursor) == text


def test_one_that_was_killed_is_undone_later(cursor: Path) -> None:
    before = text_of(cursor)
    (entry,) = entries_named("far")
    write(entry, put_between(entry, at="127.0.0.1:8001"))
    assert "127.0.0.1:8001" in text_of(cursor)
    assert inspect("far", "--undo", "--write").returncode == 0
    assert text_of(cursor) == before
    with pytest.raises(ConfigurationError, match="known to its host alone"):
        put_between(entries_named("odd")[0], at="127.0.0.1:8001")


def test_an_entry_of_ours_stays_approved(home: Path) -> None:
    file = ConfigurationFile("dovetail")
    file.path.parent.mkdir(parents=True, exist_ok=True)
    file.path.write_text(
        json.dumps({"mcpServers": {"sums": {"command": sys.executable, "args": [str(SERVER)]}}})
    )
    for approved in (False, True):
        (entry,) = entries_named("sums", host="dovetail")
        if approved:
            Approvals().add(entry.definition)
        write(entry, put_between(entry))
        (entry,) = entries_named("sums", host="dovetail")
        assert Approvals().has(entry.definition) == approved
        write(entry, taken_out(entry))
        assert Approvals().has(entries_named("sums", host="dovetail")[0].definition) == approved


def test_names_that_nobody_has_and_names_that_several_have(cursor: Path, home: Path) -> None:
    assert re.search(rb"no host has a server 'other'", inspect("other").stderr)
    gemini = home / ".gemini" / "settings.json"
    gemini.parent.mkdir()
    gemini.write_text('{"mcpServers": {"sums": {"command": "x"}}}')
    said = inspect("sums")
    assert said.returncode == 2
    assert b"there are several" in said.stderr
    assert b"Cursor" in said.stderr
    assert b"Gemini" in said.stderr
    assert inspect("gemini-cli:sums").returncode == 1
    assert inspect("sums", "--host", "cursor").returncode == 1
    cursor.write_text("{broken")
    assert inspect("cursor:sums").returncode == 3


def test_words_that_make_no_sense(cursor: Path) -> None:
    for words in ((), ("--nonsense",), ("sums", "--", "cat"), ("far", "--http", "x"), ("far", "--http", "0")):
        said = inspect(*words)
        assert said.returncode == 2, words
        assert said.stderr.startswith(b"dovetail inspect: ")
    assert inspect("ftp://127.0.0.1/x").returncode == 3
