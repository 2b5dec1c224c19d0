"""SIGHUP replaces workers by others with new code: nobody is refused meanwhile, and what does not start does no harm.

Each test is a real server and its processes; what they wait for is a line that the server says, or a file that the test
makes. Follows: no page of the specification.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import os
import pty
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dovetail import Client
from dovetail.protocol.revisions import STATELESS

APP = """
import asyncio, os, sys
from pathlib import Path
from dovetail import App, Context

HERE = Path(__file__).parent
VERSION = "one"
app = App("rolled")


@app.tool
async def version() -> str:
    return VERSION


@app.tool
async def pid() -> int:
    return os.getpid()


@app.tool
async def held(ctx: Context) -> str:
    await ctx.progress(1)
    (HERE / "held").touch()
    while not (HERE / "release").exists():
        await asyncio.sleep(0.01)
    return VERSION


@app.tool
async def ask(ctx: Context) -> str:
    return f"{VERSION} {await ctx.elicit('Your name?', str)}"


@app.tool
async def remember(ctx: Context) -> int:
    times = await ctx.session.get("times", 0) + 1
    await ctx.session.set("times", times)
    return times
"""
LOADING = """
import time
print("loading", file=sys.stderr, flush=True)
while not (HERE / "loaded").exists():
    time.sleep(0.01)
"""
PROGRAM = 'if __name__ == "__main__":\n    app.run("http", port=0, workers=2, sessions=False)\n'
META = {
    "io.modelcontextprotocol/protocolVersion": STATELESS[-1],
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
ROLLED = "new workers serve"


class Server:
    """A server with workers, and what it says on standard error."""

    def __init__(self, folder: Path, *command: str, **options: Any) -> None:
        self.folder = folder
        self.file = folder / "app.py"
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, cwd=folder, start_new_session=True, **options
        )
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.closing(self.process.stderr or io.StringIO()) as lines:
            for line in lines:
                self.said.append(line)
                self._lines.put(line)
        self._lines.put(None)

    def until(self, text: str) -> str:
        """Wait for a line with this text in it."""
        while (line := self._lines.get(timeout=40)) is not None:
            if text in line:
                return line
        raise AssertionError(f"it ended without saying {text!r}: {''.join(self.said)}")

    def ended(self) -> int:
        """Wait until all of its processes are gone, which share its standard error; gives the status of the first."""
        self._reader.join(40)
        assert not self._reader.is_alive(), "".join(self.said)
        return self.process.wait(10)

    def clean_up(self) -> None:
        """Leave no process behind."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join()

    def gone(self, child: int) -> None:
        """Wait until a process that it has made is gone."""
        while child in self.children():
            signal.sigtimedwait([], 0.02)

    def write(self, version: str, more: str = "", *, program: bool = False) -> None:
        """Put new code into the file."""
        text = APP.replace('"one"', json.dumps(version)) + more + (PROGRAM if program else "")
        self.file.write_text(text)

    def roll(self) -> None:
        """Ask for new workers."""
        self.process.send_signal(signal.SIGHUP)

    def serving(self) -> str:
        """Wait until it serves; gives the URL."""
        return self.until("serving on").rpartition(" ")[2].strip()

    def children(self, process: int | None = None) -> list[int]:
        """The processes that one has made."""
        number = self.process.pid if process is None else process
        return [int(each) for each in Path(f"/proc/{number}/task/{number}/children").read_text().split()]


@contextlib.contextmanager
def served(folder: Path, *words: str, program: bool = False, **options: Any) -> Iterator[tuple[Server, str]]:
    """A server with two workers that serves, and where; its processes are gone afterwards."""
    file = folder / "app.py"
    file.write_text(APP + (PROGRAM if program else ""))
    run = [sys.executable, "-m", "dovetail", "run", str(file), "--http", "0", "--workers", "2"]
    words = words or ("--store", str(folder / "store.db"))
    server = Server(folder, *([sys.executable, str(file)] if program else [*run, *words]), **options)
    try:
        yield server, server.serving()
        if server.process.poll() is None:
            server.process.terminate()
            assert server.ended() == 0
    finally:
        server.clean_up()


def call(connection: http.client.HTTPConnection, tool: str = "version") -> tuple[int, str]:
    """The status of a call, and the text that it gives."""
    params = {"name": tool, "arguments": {}, "_meta": META}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": STATELESS[-1],
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }
    connection.request("POST", "/mcp", body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    return answer.status, json.loads(text)["result"]["content"][0]["text"] if answer.status == 200 else text


def port_of(url: str) -> int:
    found = re.search(r":(\d+)/", url)
    assert found
    return int(found[1])


def one_call(url: str, tool: str = "version") -> str:
    """What a tool says over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(url), timeout=30)
    with contextlib.closing(connection):
        status, text = call(connection, tool)
    assert status == 200, text
    return text


def settled(url: str, version: str) -> bool:
    """Wait until the old workers have heard that they accept no more connections."""
    while {one_call(url) for _ in range(10)} != {version}:
        pass
    return True


def appears(path: Path) -> None:
    """Wait until there is such a file."""
    while not path.exists():
        time.sleep(0.01)  # nothing tells of it but the file


class Callers:
    """Clients that call without a pause, over connections that they keep, until they are told to stop."""

    def __init__(self, url: str, count: int) -> None:
        self.said: set[str] = set()
        self.wrong: list[Any] = []
        self._port = port_of(url)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]

    def __enter__(self) -> Callers:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()

    def _call(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        with contextlib.closing(connection):
            while not self._stop.is_set():
                try:
                    status, text = call(connection)
                except (OSError, http.client.HTTPException) as problem:
                    self.wrong.append(repr(problem))
                    return
                if status == 200:
                    self.said.add(text)
                else:
                    self.wrong.append(text)


def test_nobody_is_refused_while_workers_are_replaced(tmp_path: Path) -> None:
    with served(tmp_path) as (server, url):
        with Callers(url, 4) as callers:
            for version in ("two!", "three"):
                server.write(version)
                server.roll()
                server.until(ROLLED)
                assert one_call(url) in callers.said | {version}
        assert callers.wrong == []
        assert callers.said >= {"one"}
        # Whoever opens a connection now is served by new code alone.
        assert settled(url, "three")


async def test_sessions_questions_and_calls_outlive_a_roll(tmp_path: Path) -> None:
    with served(tmp_path) as (server, url):

        async def rolled(version: str) -> None:
            server.write(version)
            server.roll()
            await asyncio.to_thread(server.until, ROLLED)

        async def name(question: Any) -> dict[str, str]:
            old = server.children()
            await rolled("two!")
            for worker in old:
                await asyncio.to_thread(server.gone, worker)
            return {"value": "Ada"}

        async with Client(url, elicitation=name) as client:
            assert (await client.call_tool("ask")).text == "two! Ada", "new code opens what old code sealed"
        async with Client(url, revision="2025-11-25") as client:
            assert (await client.call_tool("remember")).value in (1, {"result": 1})
            holding = asyncio.ensure_future(client.call_tool("held"))
            await asyncio.to_thread(appears, tmp_path / "held")
            await rolled("three")
            assert (await client.call_tool("remember")).value in (2, {"result": 2})
            assert settled(url, "three")
            (tmp_path / "release").touch()
            assert (await holding).text == "two!", "it ends where it began"


async def test_who_listens_listens_on(tmp_path: Path) -> None:
    """A subscription that an old worker has ends with it, and the client opens another one at a new worker."""
    more = """
@app.tool
async def change() -> str:
    app.resource_updated("x://y")
    return VERSION


@app.resource("x://y")
async def thing() -> str:
    return VERSION
"""
    (tmp_path / "app.py").write_text(APP + more)
    with served(tmp_path) as (server, _):
        server.write("two!", more)
        server.roll()
        server.until(ROLLED)
        url = server.said[0].rpartition(" ")[2].strip()
        async with Client(url) as client, client.listen(resources=["x://y"]) as changes:
            server.write("three", more)
            server.roll()
            await asyncio.to_thread(server.until, ROLLED)

            async def change_until_heard() -> None:
                while True:  # in whichever of the two workers the subscription is
                    assert (await client.call_tool("change")).text in ("two!", "three")
                    await asyncio.sleep(0.05)

            changing = asyncio.ensure_future(change_until_heard())
            try:
                async with asyncio.timeout(30):
                    async for _ in changes:
                        if (await client.call_tool("version")).text == "three":
                            break
            finally:
                changing.cancel()


def test_new_code_that_is_broken_does_no_harm(tmp_path: Path) -> None:
    with served(tmp_path) as (server, url):
        for wrong, said in (("\nx = (\n", "SyntaxError"), ("\nraise ValueError('not today')\n", "not today")):
            server.write("two!", wrong)
            server.roll()
            server.until(said)
            line = server.until("does not serve")
            assert "ended with status 3" in line
            assert "The old workers go on" in line
            assert one_call(url) == "one"
        victim = int(one_call(url, "pid"))
        os.kill(victim, signal.SIGKILL)
        server.until(f"worker {victim} was killed by SIGKILL")
        assert {one_call(url) for _ in range(5)} == {"one"}, "the old code is still there for new workers"
        server.write("three")
        server.roll()
        server.until(ROLLED)
        assert settled(url, "three")


def test_a_lifespan_that_fails_keeps_the_old_workers(tmp_path: Path) -> None:
    failing = """
from contextlib import asynccontextmanager

@asynccontextmanager
async def life(app):
    raise RuntimeError("no database")
    yield

app = App("rolled", lifespan=life)
"""
    with served(tmp_path) as (server, url):
        server.write("two!", failing)
        server.roll()
        server.until("no database")
        server.until("The old workers go on")
        assert one_call(url) == "one"


def test_two_signals_at_once(tmp_path: Path) -> None:
    """They are one roll, or two; in the end there is the newest code, and nothing else."""
    with served(tmp_path) as (server, url):
        server.write("two!", LOADING)
        server.roll()
        server.until("loading")
        server.write("three")
        server.roll()
        server.roll()
        (tmp_path / "loaded").touch()
        server.until(ROLLED)
        server.until(ROLLED)
        assert settled(url, "three")
        *old, leader = sorted(server.children())
        for each in old:  # they are still finishing
            server.gone(each)
        assert len(server.children(leader)) == 2


@pytest.mark.parametrize("times", [1, 2])
def test_an_end_during_a_roll(times: int, tmp_path: Path) -> None:
    with served(tmp_path) as (server, _):
        server.write("two!", LOADING)
        server.roll()
        server.until("loading")
        for _ in range(times):
            server.process.terminate()
        assert server.ended() == 0
        assert not any("killing" in line for line in server.said)


def test_a_worker_that_is_killed_during_a_roll(tmp_path: Path) -> None:
    with served(tmp_path) as (server, url):
        server.write("two!", LOADING)
        server.roll()
        server.until("loading")
        victim = int(one_call(url, "pid"))
        os.kill(victim, signal.SIGKILL)
        server.until("another one starts in 0 seconds")
        assert one_call(url) == "one"
        (tmp_path / "loaded").touch()
        server.until(ROLLED)
        assert settled(url, "two!")
        victim = int(one_call(url, "pid"))
        os.kill(victim, signal.SIGKILL)
        server.until(f"worker {victim} was killed by SIGKILL; another one starts")
        assert settled(url, "two!")


def test_the_parent_of_new_workers_is_replaced(tmp_path: Path) -> None:
    with served(tmp_path) as (server, url):
        server.write("two!")
        server.roll()
        server.until(ROLLED)
        leader = server.children()[-1]
        os.kill(leader, signal.SIGKILL)
        server.until(f"the parent of the workers, {leader} was killed by SIGKILL")
        assert settled(url, "two!")


def test_whoever_kills_the_parent_ends_them_all(tmp_path: Path) -> None:
    with served(tmp_path) as (server, _):
        server.write("two!")
        server.roll()
        server.until(ROLLED)
        server.process.kill()
        assert server.ended() == -signal.SIGKILL


def test_a_program_is_started_again(tmp_path: Path) -> None:
    """`App.run` in a program of the author's rolls as the command does."""
    with served(tmp_path, program=True) as (server, url):
        server.write("two!", program=True)
        server.roll()
        server.until(ROLLED)
        assert settled(url, "two!")


def test_another_address_is_refused(tmp_path: Path) -> None:
    with served(tmp_path, program=True) as (server, url):
        server.file.write_text((APP + PROGRAM).replace("port=0", "port=1"))
        server.roll()
        server.until("another address")
        server.until("The old workers go on")
        assert one_call(url) == "one"


def test_a_program_that_came_by_a_pipe_says_why_it_does_not_roll(tmp_path: Path) -> None:
    text = APP.replace("Path(__file__).parent", f"Path({str(tmp_path)!r})") + PROGRAM
    (tmp_path / "app.py").write_text(text)
    with (tmp_path / "app.py").open() as source:
        server = Server(tmp_path, sys.executable, "-", stdin=source)
    try:
        url = server.serving()
        server.roll()
        server.until("it was not started from a file")
        assert one_call(url) == "one"
        server.process.terminate()
        assert server.ended() == 0
    finally:
        server.clean_up()


def test_nohup_keeps_out_the_signal(tmp_path: Path) -> None:
    with served(tmp_path, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as (server, url):
        server.write("two!")
        server.roll()
        victim = int(one_call(url, "pid"))
        os.kill(victim, signal.SIGKILL)
        server.until("another one starts")  # a signal that counted would have been heard before this one
        assert server.children()
        assert one_call(url) == "one"


def test_a_terminal_that_goes_away_ends_the_server(tmp_path: Path) -> None:
    """Its hang-up is the same signal, and is no wish for new code."""
    (tmp_path / "app.py").write_text(APP)
    terminal, other = pty.openpty()
    run = [sys.executable, "-m", "dovetail", "run", str(tmp_path / "app.py"), "--http", "0", "--workers", "2"]
    claim = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    server = Server(tmp_path, sys.executable, "-c", claim, *run, "--no-sessions", stdin=other)
    os.close(other)
    try:
        url = server.serving()
        server.write("two!")
        server.roll()
        server.until(ROLLED)
        assert settled(url, "two!"), "while it is there, the signal is a wish"
        os.close(terminal)
        assert server.ended() == 0
    finally:
        server.clean_up()
