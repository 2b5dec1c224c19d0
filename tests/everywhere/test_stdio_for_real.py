"""Real processes on real pipes: whatever a server prints, the wire is clean; whatever ends it, it ends in order.

The wire is read raw here: each line of standard output has to be a message. Follows: basic/transports "stdio",
basic/lifecycle "Shutdown".
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dovetail import Client

NOISY = str(Path(__file__).with_name("everywhere_noisy.py"))
WAYS = (
    "print",
    "write",
    "original",
    "descriptor",
    "C",
    "C without a flush",
    "child",
    "shell",
    "reader",
    "fork",
    "logging",
    "warning",
    "input",
)
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "raw", "version": "1"},
}


#: Python holds back what is printed to a pipe, unless told otherwise: then nothing can be done for who prints before
#: serving, but by `dovetail run`.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


class Raw:
    """A server process, spoken to in lines. ``life`` gives what it noted, and ends when the process does."""

    def __init__(self, folder: Path, *words: str, command: Sequence[str] = (), **env: str) -> None:
        fifo = folder / "life"
        os.mkfifo(fifo)
        self.life: list[str] = []
        self._told = threading.Condition()
        self.ended = threading.Event()
        threading.Thread(target=self._watch, args=(fifo,), daemon=True).start()
        self.process = subprocess.Popen(
            [sys.executable, *(command or (NOISY,)), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**BUFFERED, "LIFE": str(fifo), **env},
        )
        self.said: list[dict[str, Any]] = []
        self._ids = 0

    def _watch(self, fifo: Path) -> None:
        with fifo.open() as lines:
            for line in lines:
                with self._told:
                    self.life.append(line.strip())
                    self._told.notify_all()
        self.ended.set()

    def until(self, note: str) -> None:
        """Wait until the process noted something."""
        with self._told:
            assert self._told.wait_for(lambda: note in self.life, 20), self.life

    def send(self, method: str, params: Any = None, *, notice: bool = False) -> int:
        self._ids += 1
        message = {"jsonrpc": "2.0", "method": method, **({} if notice else {"id": self._ids})}
        if params is not None:
            message["params"] = params
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()
        return self._ids

    def answer(self, id: int) -> dict[str, Any]:
        """The answer to a request; every line until then has to be a message."""
        assert self.process.stdout is not None
        while True:
            line = self.process.stdout.readline()
            assert line, self.process.stderr and self.process.stderr.read()
            message = json.loads(line)
            assert message["jsonrpc"] == "2.0"
            self.said.append(message)
            if message.get("id") == id:
                return message

    def open(self) -> None:
        self.answer(self.send("initialize", INITIALIZE))
        self.send("notifications/initialized", notice=True)

    def call(self, tool: str, **arguments: Any) -> str:
        answer = self.answer(self.send("tools/call", {"name": tool, "arguments": arguments}))
        return answer["result"]["content"][0]["text"]

    def finish(self) -> tuple[int, list[dict[str, Any]], str]:
        """Close its input if that is open, wait for its end: exit status, last messages, standard error."""
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err.decode()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Raw]]:
    started: list[Raw] = []

    def begin(*words: str, **options: Any) -> Raw:
        started.append(Raw(tmp_path, *words, **options))
        return started[-1]

    yield begin
    for raw in started:
        if raw.process.poll() is None:
            raw.process.kill()
        raw.process.communicate()


@pytest.mark.requirement("R2511-TRANSPORT-STDIO-008", "R2607-TRANSPORT-STDIO-004")
def test_whatever_is_printed_the_wire_is_clean(start: Callable[..., Raw]) -> None:
    raw = start()
    raw.open()
    for way in WAYS:
        assert raw.call("shout", how=way) == ("nothing to read" if way == "input" else way)
    assert raw.call("shout_in_a_thread") == "done"
    status, rest, err = raw.finish()
    assert (status, rest) == (0, [])
    assert len(raw.said) == len(WAYS) + 2
    for text in (
        "printed by the lifespan",
        "printed by the end of the lifespan",
        "printed while the file was read",
        "half a line",
        "to the original",
        "from C\n",
        "from C, at once",
        "from C, some day",
        "from a child",
        "from a shell",
        "from a fork",
        "logged to standard output",
        "warned",
        "from a thread",
    ):
        assert text in err, text


def test_what_is_printed_before_serving_goes_astray_nowhere(start: Callable[..., Raw]) -> None:
    """`dovetail run` reads the file after it has taken the streams."""
    raw = start(command=["-m", "dovetail", "run", NOISY], PYTHONUNBUFFERED="1")
    raw.open()
    assert raw.call("shout", how="print") == "print"
    status, rest, err = raw.finish()
    assert (status, rest) == (0, [])
    assert "printed while the file was read" in err


@pytest.mark.parametrize(
    "target", [[sys.executable, NOISY], NOISY, f"{sys.executable} {NOISY}"], ids=["list", "path", "text"]
)
async def test_a_client_hears_no_noise(target: Any) -> None:
    async with Client(target) as client:
        for way in WAYS:
            answer = (await client.call_tool("shout", {"how": way})).text
            assert answer == ("nothing to read" if way == "input" else way)


@pytest.mark.parametrize("how", ["end of input", "SIGTERM", "SIGINT"])
@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.requirement("R2607-TRANSPORT-STDIO-013")
def test_an_idle_server_ends_in_order(start: Callable[..., Raw], how: str, *, opened: bool) -> None:
    raw = start()
    if opened:
        raw.open()
    raw.until("entered")
    if how == "end of input":
        assert raw.process.stdin is not None
        raw.process.stdin.close()
        raw.process.stdin = None
    else:
        raw.process.send_signal(getattr(signal, how))
    status, rest, err = raw.finish()
    assert (status, rest) == (0, [])
    assert raw.ended.wait(20)
    assert raw.life == ["entered", "left"]
    assert "Traceback" not in err


@pytest.mark.parametrize("how", ["end of input", "SIGTERM", "SIGINT"])
def test_a_busy_server_ends_in_order(start: Callable[..., Raw], how: str) -> None:
    raw = start("0.05", "6")
    raw.open()
    raw.send("tools/call", {"name": "hang"})
    raw.until("hanging")
    if how == "end of input":
        assert raw.process.stdin is not None
        raw.process.stdin.close()
        raw.process.stdin = None
    else:
        raw.process.send_signal(getattr(signal, how))
    status, rest, err = raw.finish()
    assert status == 0
    (told,) = rest
    assert told["error"]["message"] == "the server is shutting down, and cancelled the call"
    assert raw.ended.wait(20)
    assert raw.life == ["entered", "hanging", "cancelled", "left"]
    assert "Traceback" not in err


def test_calls_that_end_soon_are_answered_after_the_end_of_input(start: Callable[..., Raw]) -> None:
    raw = start()
    raw.open()
    ids = [raw.send("tools/call", {"name": "shout", "arguments": {"how": "child"}}) for _ in range(3)]
    status, rest, _ = raw.finish()
    assert status == 0
    assert sorted(message["id"] for message in rest) == ids


def test_a_change_stream_does_not_keep_a_server(start: Callable[..., Raw]) -> None:
    """A subscription of the stateless era is a call that never ends by itself; it ends with the input."""
    raw = start("1000")
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    }
    id = raw.send("subscriptions/listen", {"_meta": meta, "notifications": {"toolsListChanged": True}})
    assert raw.process.stdout is not None
    assert json.loads(raw.process.stdout.readline())["method"] == "notifications/subscriptions/acknowledged"
    status, rest, _ = raw.finish()
    assert status == 0
    assert [message.get("id", message.get("method")) for message in rest] == ["notifications/cancelled", id]


def test_a_child_that_stays_does_not_hold_the_wire(start: Callable[..., Raw], tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    os.mkfifo(hold)
    raw = start()
    raw.open()
    assert raw.call("leave_child", wait_for=str(hold)) == "left"
    process = raw.process
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdin = None
    assert process.stdout.read() == b""
    assert process.wait(20) == 0
    with hold.open("w"):  # the child has been waiting for this all the time
        pass


PARENT = """
import asyncio
import sys

from dovetail import Client

async def main():
    client = await Client([sys.executable, sys.argv[1], "0.05"], env={"LIFE": sys.argv[2]}).open()
    await client.call_tool("hang")

asyncio.run(main())
"""


def test_the_server_of_a_client_that_is_killed_ends(tmp_path: Path) -> None:
    """kill -9 lets nobody say goodbye: the end of its input tells the server."""
    fifo = tmp_path / "life"
    os.mkfifo(fifo)
    command = [sys.executable, "-c", PARENT, NOISY, str(fifo)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=env) as parent, fifo.open() as life:
        while life.readline().strip() != "hanging":
            pass
        parent.kill()
        assert life.read().split() == ["cancelled", "left"]  # and then the end: the process is gone
    assert parent.returncode == -signal.SIGKILL


async def test_the_server_of_a_client_that_is_cancelled_ends(tmp_path: Path) -> None:
    fifo = tmp_path / "life"
    os.mkfifo(fifo)
    read = asyncio.create_task(asyncio.to_thread(fifo.read_text))

    async def use() -> None:
        async with Client([sys.executable, NOISY], env={"LIFE": str(fifo)}) as client:
            hanging.set_result(client)
            await client.call_tool("hang")  # cancelled here

    hanging: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(use())
    client = await hanging
    await client.ping()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await read).split()[-1] == "left"
