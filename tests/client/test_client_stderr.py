"""What a server writes to standard error is seen: by default where this program's own goes, or by whom the host names.

Specification: basic/transports, "stdio": the client may capture or forward standard error, and concludes nothing of it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from dovetail import Client, LocalProtocolError, RequestTimeout, ServerExited
from dovetail.protocol.revisions import REVISIONS

SERVER = r"""
import os, sys, threading
from dovetail import App

app = App("talkative")
os.write(2, b"  starting, \xe2\x82\xac\n")

@app.tool
def say(text: str) -> None:
    "Write to standard error, and out."
    os.write(2, text.encode())

@app.tool
def die() -> None:
    os.write(2, b"last\nwords")
    os._exit(3)

@app.tool
def flood(lines: int) -> None:
    block = (b"x" * 999 + b"\n") * 100
    def write() -> None:
        for _ in range(lines // 100):
            sys.stderr.buffer.write(block)
        sys.stderr.buffer.write(b"over\n")
        sys.stderr.buffer.flush()
    threading.Thread(target=write).start()

app.run()
"""
COMMAND = [sys.executable, "-c", SERVER]


class Heard:
    """The lines that a handler was told, and a way to wait for one."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = asyncio.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self._more.set()

    async def until(self, line: str) -> None:
        async with asyncio.timeout(60):
            while line not in self.lines:
                self._more.clear()
                await self._more.wait()


@pytest.mark.parametrize("revision", [REVISIONS[0], REVISIONS[-1]])
async def test_a_handler_gets_each_line(revision: str, capfd: pytest.CaptureFixture[str]) -> None:
    heard = Heard()
    async with Client(COMMAND, revision=revision, on_stderr=heard) as client:
        await client.call_tool("say", {"text": "one\n\n    two\tthree\r\n\x1b[31mred\x1b[0m\nhalf a "})
        await client.call_tool("say", {"text": "line\n10%\r20%\r\nend"})
        await heard.until("20%")
    assert heard.lines == [
        "  starting, \u20ac",
        *("one", "", "    two\tthree", "red", "half a line", "10%", "20%", "end"),
    ]
    assert capfd.readouterr() == ("", "")


async def test_by_default_lines_go_to_our_own_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    async with Client(COMMAND) as client:
        await client.call_tool("say", {"text": "seen\n\x1b]0;title\x07moved"})
    assert capsys.readouterr().err == "  starting, \u20ac\nseen\nmoved\n"


def test_a_blocking_client_shows_them_too(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[str] = []
    with Client.sync(COMMAND, on_stderr=heard.append) as client:
        client.call_tool("say", {"text": "told\n"})
    assert heard == ["  starting, \u20ac", "told"]
    with Client.sync(COMMAND) as client:
        client.call_tool("say", {"text": "seen\n"})
    assert "seen" in capsys.readouterr().err


async def test_a_program_without_standard_error_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (None, open("/dev/null", "w")):  # noqa: SIM115, ASYNC230 - closed at once
        if stream is not None:
            stream.close()
        monkeypatch.setattr(sys, "stderr", stream)
        async with Client(COMMAND) as client:
            await client.call_tool("say", {"text": "for nobody\n"})


async def test_nobody_is_told_if_so_wanted(capfd: pytest.CaptureFixture[str]) -> None:
    async with Client(COMMAND, on_stderr=None) as client:
        with pytest.raises(ServerExited, match="last\nwords") as caught:
            await client.call_tool("die")
    assert caught.value.stderr.splitlines()[-2:] == ["last", "words"]
    assert capfd.readouterr() == ("", "")


async def test_the_last_words_come_before_the_loss() -> None:
    heard = Heard()
    async with Client(COMMAND, on_stderr=heard) as client:
        with pytest.raises(ServerExited):
            await client.call_tool("die")
        assert heard.lines[-2:] == ["last", "words"]


async def test_a_flood_is_told_whole_and_holds_nobody_up() -> None:
    """A hundred megabytes: calls are answered in between, and what waits is never more than the pipe and a piece."""
    heard, count = Heard(), 100_000
    async with Client(COMMAND, on_stderr=heard) as client:
        await client.call_tool("flood", {"lines": count})
        answered = 0
        while "over" not in heard.lines[-1:]:
            await client.call_tool("say", {"text": ""})
            answered += 1
        assert answered > 3
    assert len(heard.lines) == count + 2
    assert all(len(line) == 999 for line in heard.lines[1:-1])


async def test_a_handler_that_fails_is_reported_once_and_called_again() -> None:
    problems: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: problems.append(context))
    lines: list[str] = []

    def handler(line: str) -> None:
        lines.append(line)
        raise RuntimeError("as asked")

    async with Client(COMMAND, on_stderr=handler) as client:
        await client.call_tool("say", {"text": "one\ntwo\nthree\n"})
    assert lines[1:] == ["one", "two", "three"]
    assert [str(each["exception"]) for each in problems] == ["as asked"]


async def test_a_handler_that_would_have_to_be_awaited_is_refused() -> None:
    async def handler(line: str) -> None:
        raise AssertionError(line)

    for wrong in (handler, "stderr"):
        with pytest.raises(LocalProtocolError, match="on_stderr is a plain function"):
            Client(COMMAND, on_stderr=wrong)  # type: ignore[arg-type] - as somebody might


SILENT = r"""
import sys
print("running on http://127.0.0.1:1", file=sys.stderr, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("revision", ["auto", "2025-11-25", "2026-07-28"])
async def test_a_program_that_is_no_server_is_told_from_a_slow_one(revision: str) -> None:
    """One that serves HTTP, say, and never reads its standard input."""
    heard = Heard()
    options: dict[str, Any] = {"revision": revision, "timeout": 0.5, "probe_timeout": 0.1, "on_stderr": heard}
    client = Client([sys.executable, "-c", SILENT], **options)
    with pytest.raises(RequestTimeout) as failure:
        async with client:
            pass
    told = str(failure.value)
    assert told.count("it runs, and has sent no message: a server that is started reads") == 1
    assert "is named by its URL" in told
    if heard.lines:
        assert told.endswith("; it last wrote: running on http://127.0.0.1:1")
