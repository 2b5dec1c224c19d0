"""ASGI servers as processes, and a client that speaks plain bytes to them. Follows: no page of the specification."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
BIN: Final = Path(sys.executable).parent
META: Final = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
STATEFUL: Final = "2025-11-25"
#: What a person who ends a server must not be shown.
NOISE: Final = (
    "Traceback",
    "CancelledError",
    "ASGI callable",
    "Exception",
    "ERROR",
    "CRITICAL",
    "never awaited",
)

#: Seconds from the signal until a server is gone.
_GONE: Final = 2.0
_turns: Final = itertools.count(os.getpid() * 101)

SERVERS: Final[Mapping[str, Callable[[str, int, int], list[str]]]] = {
    "uvicorn": lambda app, port, workers: [
        str(BIN / "uvicorn"), "--port", str(port), "--workers", str(workers), app
    ],
    "gunicorn": lambda app, port, workers: [
        str(BIN / "gunicorn"), "--no-control-socket", "-k", "uvicorn_worker.UvicornWorker",
        "-b", f"127.0.0.1:{port}", "-w", str(workers), app,
    ],
    "granian": lambda app, port, workers: [
        str(BIN / "granian"), "--interface", "asgi", "--port", str(port), "--workers", str(workers), app
    ],
    "hypercorn": lambda app, port, workers: [
        str(BIN / "hypercorn"), "-b", f"127.0.0.1:{port}", "-w", str(workers), app
    ],
    # Told in other places than on the command line, which has fewer or none.
    "uvicorn by a variable": lambda app, port, workers: [
        "/usr/bin/env", f"UVICORN_WORKERS={workers}", str(BIN / "uvicorn"), "--port", str(port), app
    ],
    "gunicorn by a variable": lambda app, port, workers: [
        "/usr/bin/env", f"GUNICORN_CMD_ARGS=-w{workers}",
        str(BIN / "gunicorn"), "--no-control-socket", "-k", "uvicorn_worker.UvicornWorker",
        "-b", f"127.0.0.1:{port}", app,
    ],
    "gunicorn by a file": lambda app, port, workers: [
        str(BIN / "gunicorn"), "-c", f"told_{workers}.conf.py", "--no-control-socket",
        "-k", "uvicorn_worker.UvicornWorker", "-b", f"127.0.0.1:{port}", app,
    ],
    "gunicorn by a module": lambda app, port, workers: [
        str(BIN / "gunicorn"), "-c", f"python:told_{workers}_module", "--no-control-socket",
        "-k", "uvicorn_worker.UvicornWorker", "-b", f"127.0.0.1:{port}", app,
    ],
    "granian by a variable": lambda app, port, workers: [
        "/usr/bin/env", f"GRANIAN_WORKERS={workers}",
        str(BIN / "granian"), "--interface", "asgi", "--port", str(port), app,
    ],
    "hypercorn by a file": lambda app, port, workers: [
        str(BIN / "hypercorn"), "-c", f"told_{workers}.toml", "-b", f"127.0.0.1:{port}", app
    ],
    "a program": lambda app, port, workers: [
        sys.executable, "program.py", str(port), app, str(workers)
    ],
}  # fmt: skip
TOLD_ELSEWHERE: Final = tuple(name for name in SERVERS if " by " in name)
PLAIN: Final = ("uvicorn", "gunicorn", "granian", "hypercorn")


def free_port() -> int:
    """A port that no connection going out takes by chance, and no other process of these tests."""
    while True:
        port = 20_000 + next(_turns) % 12_000
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                sock.bind(("127.0.0.1", port))
                return port


def gone() -> float:
    """Seconds that a server has for its end: two, and more where other programs want the machine many times over."""
    return _GONE * max(1.0, os.getloadavg()[0] / (2 * (os.cpu_count() or 1)))


class Server:
    """A server in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, path: str, notes: Path) -> None:
        self.process = process
        self.port = port
        self.path = path
        self._notes = notes
        self._opened: list[Stream] = []
        self.said = asyncio.ensure_future(self._listen())

    async def _listen(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.read()).decode()

    @property
    def notes(self) -> list[str]:
        return self._notes.read_text("utf-8").splitlines() if self._notes.exists() else []

    async def until(self, settled: Callable[[], object]) -> None:
        """Wait for what the process tells nobody of but a file or a port."""
        async with asyncio.timeout(30):
            while not settled():
                assert self.process.returncode is None, await self.said
                await asyncio.sleep(0.02)

    async def accepting(self) -> None:
        def accepts() -> bool:
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", self.port)) == 0

        await self.until(accepts)

    async def end(self) -> float:
        """Send SIGTERM, and give the seconds until the process was gone."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await self.process.wait()
        return time.monotonic() - began

    # Requests

    async def send(
        self, method: str, message: Any, headers: Mapping[str, str], path: str | None = None
    ) -> Stream:
        body = b"" if message is None else json.dumps(message).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = [
            f"{method} {path or self.path} HTTP/1.1",
            f"host: 127.0.0.1:{self.port}",
            "accept: application/json, text/event-stream",
            *([f"content-type: application/json\r\ncontent-length: {len(body)}"] if body else []),
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        self._opened.append(Stream(reader, writer))
        return self._opened[-1]

    async def close_connections(self, but: Stream | None = None) -> None:
        """Close every connection to it, which a server may keep for a next request."""
        for stream in self._opened:
            if stream is not but:
                await stream.close()

    async def close(self) -> None:
        """Close every connection to it, and wait until it is gone."""
        await self.close_connections()
        await self.process.wait()
        await self.said

    async def ask(self, method: str, params: Mapping[str, Any] | None = None, **headers: str) -> Stream:
        """A request of the stateless era."""
        whole = {**(params or {}), "_meta": META}
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": whole}
        given = {"mcp-protocol-version": "2026-07-28", "mcp-method": method, **headers}
        if "name" in whole:
            given["mcp-name"] = whole["name"]
        return await self.send("POST", message, given)

    async def open_session(self, **capabilities: Any) -> dict[str, str]:
        """Open a session; gives the headers of its requests."""
        info = {
            "protocolVersion": STATEFUL,
            "capabilities": capabilities,
            "clientInfo": {"name": "raw", "version": "1"},
        }
        opened = await self.send(
            "POST", {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": info}, {}
        )
        head = await opened.head()
        headers = {"mcp-session-id": head["mcp-session-id"], "mcp-protocol-version": STATEFUL}
        ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        for each in (opened, await self.send("POST", ready, headers)):
            await each.head()
            await each.close()
        return headers

    async def listen(self) -> Stream:
        """Open the standalone stream of a session."""
        return await self.send("GET", None, await self.open_session())

    async def call(self, name: str, session: Mapping[str, str] | None = None) -> Stream:
        if session is None:
            return await self.ask("tools/call", {"name": name, "arguments": {}})
        params = {"name": name, "arguments": {}}
        return await self.send(
            "POST", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, session
        )


class Stream:
    """One connection, and the answer that comes on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.status = 0
        self._head: dict[str, str] | None = None

    async def head(self) -> dict[str, str]:
        if self._head is None:
            async with asyncio.timeout(30):
                raw = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = raw.decode("latin-1").strip().split("\r\n")
            self.status = int(first.split()[1])
            self._head = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
        return self._head

    async def some(self, text: bytes) -> bytes:
        """The body up to a text."""
        await self.head()
        async with asyncio.timeout(30):
            return await self.reader.readuntil(text)

    async def rest(self) -> bytes:
        """What still comes until the server closes the connection."""
        await self.head()
        async with asyncio.timeout(30):
            return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def served(
    server: str,
    target: str,
    folder: Path,
    *,
    workers: int = 1,
    path: str = "/mcp",
    where: Path = HERE,
    wait: bool = True,
    **environment: str,
) -> AsyncIterator[Server]:
    """A server that accepts connections; killed at the end if it is still there."""
    port = free_port()
    notes = folder / f"notes-{port}"
    given = {key: value for key, value in os.environ.items() if key != "WEB_CONCURRENCY"}
    process = await asyncio.create_subprocess_exec(
        *SERVERS[server](target, port, workers),
        cwd=where,
        env={**given, "NOTES": str(notes), "PYTHONPATH": str(where), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    found = Server(process, port, path, notes)
    try:
        if wait:
            await found.accepting()
        yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await found.close()
