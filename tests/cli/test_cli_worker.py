"""``dovetail worker``: works off the tasks of an app that others serve, and says why where it can't."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dovetail import App
from dovetail.extensions import TaskOptions
from dovetail.extensions.tasks import tasks
from dovetail.stores import SQLiteStore
from wire_of_server import Wire

pytestmark = pytest.mark.vendor_methods("tasks/get", "tasks/cancel", "task")
DECLARED = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
FILE = """
import asyncio, sys
from dovetail import App
from dovetail.extensions.tasks import tasks

assert not {"dovetail.cli.commands", "cyclopts", "rich", "dovetail.client"} & set(sys.modules)
app = App("post", extensions=[tasks(room=0, lease=60)])

@app.tool(task="required")
async def report(seconds: float) -> str:
    print("began", seconds, file=sys.stderr, flush=True)
    await asyncio.sleep(seconds)
    return "written"

@app.tool
async def plain() -> str:
    return "plain"
"""


def serving(store: SQLiteStore) -> App:
    """The app as a server has it that leaves the work to others."""
    app = App("post", store=store, extensions=[tasks(room=0, lease=60, max_polls=None)])

    @app.tool(task=TaskOptions(support="required"))
    async def report(seconds: float) -> str:
        raise AssertionError("it runs where it was told not to")

    return app


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "post.py"
    path.write_text(FILE)
    return path


def command(file: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "dovetail", "worker", str(file), *words]


def said(log: Path, *words: str) -> None:
    """Wait until a worker has said so."""
    give_up = time.monotonic() + 30
    while not all(word in log.read_text() for word in words):
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.01)


async def test_it_works_off_what_others_took_and_lets_go_of_it_at_its_end(file: Path, tmp_path: Path) -> None:
    """The second worker goes on at once with what the first one let go of, long before a lease is over."""
    place, log = tmp_path / "store.db", tmp_path / "log"
    store = SQLiteStore(place)
    wire = Wire(serving(store), "2026-07-28", DECLARED)
    await wire.open()

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(command(file, "--store", str(place), "--at-once", "1"), stderr=output)

    first = start()
    await asyncio.to_thread(said, log, "working on the tasks of 'post': report\n")
    call = {"name": "report", "arguments": {"seconds": 0}}
    quick = (await wire.result("tools/call", call))["taskId"]
    async with asyncio.timeout(30):
        while (await wire.result("tasks/get", {"taskId": quick}))["status"] != "completed":  # noqa: ASYNC110 - it is elsewhere
            await asyncio.sleep(0.02)
    slow, waits = [
        (await wire.result("tools/call", {"name": "report", "arguments": {"seconds": seconds}}))["taskId"]
        for seconds in (3600.0, 3601.0)
    ]
    await asyncio.to_thread(said, log, "began 3600.0")
    assert (await store.tasks.load(waits)).holder == "", "one at a time"  # type: ignore[union-attr] - it is there
    first.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(first.wait, 20) == 0
    record = await store.tasks.load(slow)
    assert record is not None
    assert (record.status, record.holder) == ("working", "")
    second = start()
    await asyncio.to_thread(_began_again, log)
    second.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(second.wait, 20) == 0
    await wire.close()
    await wire.app.service.stop()
    await store.aclose()


def _began_again(log: Path) -> None:
    give_up = time.monotonic() + 30
    while log.read_text().count("began 36") < 2:
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.01)


@pytest.mark.parametrize(
    "text,words,why",
    [
        (FILE, (), "its tasks are in memory"),
        ("from dovetail import App\napp = App('x')\n", ("--store", "S"), "runs nothing as a task"),
        (FILE, ("--store", "S", "--at-once", "0"), "--at-once is at least 1"),
        (FILE, ("--store", "S", "--drain", "inf"), "--drain is above 0"),
        (FILE, ("--store", "ftp://x"), "--store:"),
    ],
)
def test_it_says_what_is_missing(tmp_path: Path, text: str, words: tuple[str, ...], why: str) -> None:
    file = tmp_path / "app.py"
    file.write_text(text)
    given = [str(tmp_path / "store.db") if word == "S" else word for word in words]
    ended = subprocess.run(command(file, *given), capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (2, ""), ended
    assert why in ended.stderr, ended
    assert ended.stderr.count("\n") == 1, ended.stderr


def test_its_help_is_there() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "dovetail", "worker", "--help"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0
    assert "--at-once" in ended.stdout
