"""The server that a suite talks to: one process, or three workers behind a proxy.

Theory of operation: a process has its output in a file, a group of its own, and is gone with all that it started when
it is no longer needed. Three workers are three processes, each at a port of its own, that share a store; a proxy gives
each request to the next of them, whoever sent it, so a scenario of several requests has to do with all.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import verdicts
from between import Between
from environment import SetUpError

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "cluster"))

from machines import ENGINES, MissingEngine, cluster  # noqa: E402 - found by the line above

__all__ = ["ENGINES", "Served", "process_of", "served", "tail_of"]

SERVER_START = 15.0  # seconds until the server has to take connections
GRACE = 3.0  # seconds between asking a process to end and ending it


@dataclass(frozen=True)
class Served:
    """A server. ``check`` raises `SetUpError` if a process of it has ended."""

    url: str
    check: Callable[[], None]


@asynccontextmanager
async def served(engine: str | None, folder: Path, between: Between | None = None) -> AsyncIterator[Served]:
    """The everything server: alone, behind what stands between, or as three workers that share a store of this kind.
    What they print is in the folder. Raises `SetUpError`.
    """
    way = _alone(folder, between) if engine is None else _clustered(engine, folder)
    async with way as found:
        yield found


@asynccontextmanager
async def _alone(folder: Path, between: Between | None) -> AsyncIterator[Served]:
    port, output = free_port(), folder / "output.txt"
    server = [sys.executable, str(HERE / "server.py")]
    command = [*server, "--port", str(port)]
    if between is not None:
        command = between.words([*server, "--stdio"], port, folder)
    async with process_of(command, output) as process:
        await _ready(port, process, output)
        if between is not None:
            await asyncio.to_thread(_first_call, f"http://127.0.0.1:{port}/mcp")

        def check() -> None:
            if process.returncode is not None:
                raise SetUpError(f"the server ended (exit {process.returncode}):\n{tail_of(output)}")

        yield Served(f"http://127.0.0.1:{port}/mcp", check)


@asynccontextmanager
async def _clustered(engine: str, folder: Path) -> AsyncIterator[Served]:
    command = [sys.executable, str(HERE / "server.py"), "--port"]
    try:
        async with cluster(engine, folder, command=command) as found:

            def check() -> None:
                for worker in found.workers:
                    if not worker.running:
                        raise SetUpError("a worker ended:\n" + "\n".join(worker.log)[-verdicts.TAIL :])

            try:
                yield Served(found.url, check)
            finally:
                for worker in found.workers:
                    text = "\n".join(worker.log)
                    (folder / f"worker {worker.number}.txt").write_text(text)
    except MissingEngine as missing:
        raise SetUpError(str(missing)) from None


async def end(process: asyncio.subprocess.Process) -> None:
    """End a process and everything it started: ask first, then insist."""
    if process.returncode is None:
        _signal(process, signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE)
    _signal(process, signal.SIGKILL)
    await process.wait()


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)  # it leads a group of its own


@asynccontextmanager
async def process_of(command: Sequence[str], output: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running process whose output goes to a file; it and its children are gone afterwards."""
    with output.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sink,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        await asyncio.shield(end(process))


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _first_call(url: str) -> None:
    """Call as a caller that can be asked, before the suite does: to a server of the stateful era such a call goes on a
    connection of its own, which on stdio is a process of its own, and the suite gives its answer 600 ms.
    """
    prefix = "io.modelcontextprotocol"
    meta = {f"{prefix}/protocolVersion": "2026-07-28", f"{prefix}/clientCapabilities": {"elicitation": {}}}
    params = {"name": "test_simple_text", "arguments": {}, "_meta": meta}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "test_simple_text",
    }
    request = urllib.request.Request(url, json.dumps(asked).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=SERVER_START) as response:
            answer = json.loads(response.read())
    except OSError as problem:
        raise SetUpError(f"the first call failed: {problem}") from None
    if "result" not in answer:
        raise SetUpError(f"the first call failed: {answer}")


async def _ready(port: int, process: asyncio.subprocess.Process, output: Path) -> None:
    deadline = time.monotonic() + SERVER_START
    while process.returncode is None and time.monotonic() < deadline:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)  # nothing tells that a port is open but trying it
        else:
            writer.close()
            return
    state = "ended" if process.returncode is not None else f"took no connection within {SERVER_START:.0f} s"
    raise SetUpError(f"the server {state}:\n{tail_of(output)}")


def tail_of(output: Path) -> str:
    """The end of what a process printed."""
    return output.read_text(errors="replace")[-verdicts.TAIL :]
