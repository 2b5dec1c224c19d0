"""Handlers that block the event loop are named in the log while they do; what sleeps, waits or runs in a thread is not.

A block takes as long as the test says, by its own nature: nothing here waits for the log but the log itself. Follows:
no page of the specification.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dovetail import App, Client
from dovetail.runtime import stalls

SERVER = """
import asyncio, os, sys, time
import logging
from dovetail import App

logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(name)s %(message)s")
app = App("stuck")

@app.tool
async def crunch() -> str:
    await asyncio.sleep(0.01)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        time.sleep(0.05)  # the line that blocks
        if os.path.exists(sys.argv[1]):
            break
    return "done"

app.run("stdio")
"""


def call(tool: str, id: int = 1) -> bytes:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": tool, "arguments": {}, "_meta": meta}
    message = {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}
    return json.dumps(message).encode() + b"\n"


def test_a_handler_that_blocks_is_named_while_it_does(tmp_path: Path) -> None:
    script, enough = tmp_path / "stuck.py", tmp_path / "enough"
    script.write_text(SERVER)
    with subprocess.Popen(
        [sys.executable, str(script), str(enough)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        server.stdin.write(call("crunch"))
        server.stdin.flush()
        line = server.stderr.readline().decode()
        assert "tools/call 'crunch' blocks the event loop, for more than" in line, line
        number = next(n for n, text in enumerate(SERVER.splitlines(), 1) if "the line that blocks" in text)
        assert f"{script}, line {number}, in crunch" in line or f"{script}, line {number + 1}" in line, line
        enough.touch()
        assert json.loads(server.stdout.readline())["result"]["content"][0]["text"] == "done"
        assert "turns again; tools/call 'crunch' had blocked it for" in server.stderr.readline().decode()
        server.stdin.close()
        assert server.wait(30) == 0


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalls, "INTERVAL", 0.05)
    stalls._watcher.rest()  # one that is in the middle of a longer interval


async def told(caplog: pytest.LogCaptureFixture, text: str) -> str:
    """The line of the log with this text, once it is there."""
    async with asyncio.timeout(20):
        while True:
            for record in caplog.records:
                if text in record.getMessage():
                    return record.getMessage()
            await asyncio.sleep(0.01)


async def asleep() -> None:
    """Wait until the thread sleeps."""
    async with asyncio.timeout(20):
        while not stalls._watcher.asleep:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("revision", ["2024-11-05", "2025-11-25", "2026-07-28"])
@pytest.mark.parametrize("timeout", [None, 60.0])
async def test_in_every_era_and_with_a_deadline(
    revision: str, timeout: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    app = App("stuck")
    seen = threading.Event()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "blocks the event loop" in record.getMessage():
                seen.set()

    @app.tool(timeout=timeout)
    async def crunch() -> str:
        assert seen.wait(20)
        return "done"

    heard = Heard()
    logging.getLogger("dovetail.server").addHandler(heard)
    try:
        async with Client(app, revision=revision) as client:
            assert (await client.call_tool("crunch")).text == "done"
            assert "tools/call 'crunch' blocks" in await told(caplog, "blocks the event loop")
            await told(caplog, "turns again; tools/call 'crunch'")
    finally:
        logging.getLogger("dovetail.server").removeHandler(heard)


@pytest.mark.usefixtures("brief")
async def test_waiting_and_threads_are_not_named_and_the_thread_sleeps_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App("fine")
    enough = threading.Event()

    @app.tool
    async def waits() -> str:
        await asyncio.sleep(0.3)
        return "waited"

    @app.tool
    def works() -> str:
        assert enough.wait(20)
        return "worked"

    async with Client(app) as client:
        working = asyncio.create_task(client.call_tool("works"))
        assert (await client.call_tool("waits")).text == "waited"
        assert not stalls._watcher.asleep, "a call is in progress"
        enough.set()
        assert (await working).text == "worked"
        await asleep()
        assert not stalls._watcher._loops
        # And the next call wakes it.
        assert (await client.call_tool("waits")).text == "waited"
        assert not stalls._watcher.asleep
    assert not [record for record in caplog.records if "event loop" in record.getMessage()]


@pytest.mark.usefixtures("brief")
async def test_a_change_stream_keeps_nobody_awake() -> None:
    app = App("streams")

    @app.tool
    async def quick() -> str:
        return "done"

    async with Client(app) as client, client.listen(tools=True):
        assert (await client.call_tool("quick")).text == "done"
        await asleep()


@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("brief")
async def test_a_process_becomes_two_without_the_thread() -> None:
    """Python warns of forks of processes with threads, and is right."""
    app = App("forks")

    @app.tool
    async def quick() -> str:
        return "done"

    async with Client(app) as client:
        assert (await client.call_tool("quick")).text == "done"
        assert any(thread.name == "dovetail-stalls" for thread in threading.enumerate())
        stalls._watcher.rest()
        assert not any(thread.name == "dovetail-stalls" for thread in threading.enumerate())
        assert (await client.call_tool("quick")).text == "done"
        assert any(thread.name == "dovetail-stalls" for thread in threading.enumerate())
