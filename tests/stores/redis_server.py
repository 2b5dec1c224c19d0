"""A real redis-server, started and stopped by the tests, in a folder and on a port of its own.

Theory of operation
-------------------
`RedisServer` is one process of the Redis that is installed. It keeps an append-only file, so that it can be killed and
started again and has what it has confirmed. `fresh_server` is a fixture's body: a server that is there once it is used,
or a skip for the reason ``no-redis``.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")


def need_redis() -> str:
    """The path of the server's program. Skips the test where there is none."""
    if PROGRAM is None:
        pytest.skip("no-redis: there is no redis-server on the path")
    return PROGRAM


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RedisServer:
    """One server. ``options`` are lines of its configuration, such as ``maxmemory 8mb``."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.folder = folder
        self.port = free_port() if port is None else port
        # Until it has been there: somebody else may take the port before it does.
        self._movable = port is None
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> RedisServer:
        """Start it and wait until it says that it takes connections."""
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f'dir "{self.folder}"',
            "appendonly yes",
            "appendfsync no",  # the death of the process loses nothing that it has written, and no test cuts the power
            'save ""',
            "daemonize no",
            "logfile ''",
            "enable-debug-command yes",
            *self.options,
        ]
        (self.folder / "redis.conf").write_text("\n".join(lines) + "\n")
        log = self.folder / "log"
        with log.open("ab") as output:
            said = output.tell()
            self.process = subprocess.Popen(
                [need_redis(), str(self.folder / "redis.conf")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        give_up = time.monotonic() + 30
        while b"eady to accept connections" not in log.read_bytes()[said:]:
            ended = self.process.poll() is not None
            if ended and self._movable and b"Failed listening" in log.read_bytes()[said:]:
                self.port = free_port()
                return self.start()
            if ended or time.monotonic() > give_up:
                raise RuntimeError(f"redis-server did not start:\n{log.read_text()}")
            time.sleep(0.005)
        self._movable = False
        return self

    def kill(self) -> None:
        """End it at once, without a word to anybody."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Stop it where it stands."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def command(self, *words: str | bytes, port: int | None = None) -> bytes:
        """Send one command and give the first bytes of the answer."""
        encoded = [word if isinstance(word, bytes) else word.encode() for word in words]
        request = b"*%d\r\n" % len(encoded) + b"".join(
            b"$%d\r\n%s\r\n" % (len(each), each) for each in encoded
        )
        with socket.create_connection(("127.0.0.1", port or self.port), timeout=10) as connection:
            connection.sendall(request)
            return connection.recv(65_536)

    def _signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)


def running_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """The body of a fixture: a server that runs until the test is over."""
    need_redis()
    server = RedisServer(folder, *options)
    try:
        yield server.start()
    finally:
        server.kill()


@asynccontextmanager
async def slow_way(port: int, delay: float) -> AsyncIterator[int]:
    """A port from which each way to another takes ``delay`` seconds, whatever is on it already."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while chunk := await reader.read(65_536):
                loop.call_later(delay, writer.write, chunk)
        loop.call_later(delay, writer.close)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        ends.append(back)
        ends.append(writer)
        await asyncio.gather(carry(reader, back), carry(there, writer))

    ends = list[asyncio.StreamWriter]()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for end in ends:
            end.close()
            with suppress(OSError):
                await end.wait_closed()
