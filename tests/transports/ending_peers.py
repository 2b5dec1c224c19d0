"""Clients of `ending_server` over each transport, in raw messages. Follows: no page of the specification."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from http_serving import META, Connection, Prober

SERVER = Path(__file__).with_name("ending_server.py")
TRANSPORTS = ("stdio", "unix", "http")


class Process:
    """A server process. ``notes``: what it noted; ``log``: everything it wrote to standard error."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.log: list[str] = []
        self.notes: list[str] = []
        self._more = asyncio.Condition()
        self._over = False
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            async with self._more:
                self.log.append(line.decode().rstrip())
                if self.log[-1].startswith("note: "):
                    self.notes.append(self.log[-1].removeprefix("note: "))
                self._more.notify_all()
        async with self._more:
            self._over = True
            self._more.notify_all()

    async def until(self, text: str, count: int = 1) -> str:
        """Wait for so many lines with this text; gives the last."""
        try:
            async with asyncio.timeout(20), self._more:
                while len(found := [line for line in self.log if text in line]) < count:
                    assert not self._over, self.log
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} did not come: {self.log}") from None
        return found[count - 1]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end and that of all that held its standard error; gives the status."""
        async with asyncio.timeout(30):
            status = await self.process.wait()
            await self.reading
        return status

    def said(self, *texts: str) -> bool:
        whole = "\n".join(self.log)
        return all(text in whole for text in texts)


class Lines:
    """A peer that speaks in lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._ids = itertools.count(1)

    def send(self, method: str, params: Any = None, *, stateful: bool = False) -> int:
        id = next(self._ids)
        whole = {**(params or {}), **({} if stateful else {"_meta": META})}
        message = {"jsonrpc": "2.0", "id": id, "method": method, "params": whole}
        self.writer.write(json.dumps(message).encode() + b"\n")
        return id

    def say(self, **message: Any) -> None:
        self.writer.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def call(self, tool: str, **arguments: Any) -> int:
        return self.send("tools/call", {"name": tool, "arguments": arguments})

    async def next(self) -> dict[str, Any] | None:
        """The next message, None at the end."""
        async with asyncio.timeout(30):
            try:
                line = await self.reader.readline()
            except ConnectionError:
                line = b""
        return json.loads(line) if line else None

    async def text(self) -> str:
        message = await self.next()
        assert message is not None
        return message["result"]["content"][0]["text"]


@contextlib.asynccontextmanager
async def process(
    transport: str, *python: str, session: bool = False, **given: Any
) -> AsyncIterator[Process]:
    """Start a server process; whatever happens, it is gone afterwards."""
    pipe = asyncio.subprocess.PIPE
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *python,
        str(SERVER),
        json.dumps({"transport": transport, **given}),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        start_new_session=session,
    )
    server = Process(started)
    try:
        yield server
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()
        await _closed(started)
        server.reading.cancel()


async def _closed(ended: asyncio.subprocess.Process) -> None:
    """Wait until the ends of its pipes have been seen: those that are still open when the loop is closed are told of
    in some later test. Its workers hold them too, until they have gone.
    """
    assert ended.stdin is not None
    assert ended.stdout is not None
    ended.stdin.close()
    async with asyncio.timeout(30):
        with contextlib.suppress(OSError):
            await ended.stdin.wait_closed()
        with contextlib.suppress(RuntimeError):  # a call that nobody awaits is waiting for that end already
            await ended.stdout.read()


class Peer:
    """A client of a process: begins a call, and tells how it ended."""

    def __init__(self, server: Process, lines: Lines | None, prober: Prober | None) -> None:
        self.server = server
        self.lines = lines
        self.prober = prober
        self.tasks: list[asyncio.Task[Any]] = []

    async def begin(self, tool: str, **arguments: Any) -> asyncio.Task[Any]:
        """Call a tool; gives the task of its answer, None for none. To be awaited one after the other."""
        if self.lines is not None:
            self.lines.call(tool, **arguments)
            return self._kept(self.lines.next())
        assert self.prober is not None
        body, headers = self.prober.modern("tools/call", {"name": tool, "arguments": arguments})
        connection = await self.prober.start("POST", body, headers)
        return self._kept(_answer(connection))

    def _kept(self, doing: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        self.tasks.append(asyncio.create_task(doing))
        return self.tasks[-1]


async def _answer(connection: Connection) -> Any:
    try:
        answer = await connection.answer()
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        return None
    return answer.json if answer.body and answer.body[:1] == b"{" else None


@contextlib.asynccontextmanager
async def peer(transport: str, folder: Path, **given: Any) -> AsyncIterator[Peer]:
    """A server process and a client of it."""
    options = given["options"] = dict(given.get("options", {}))
    if transport == "unix":
        options["path"] = str(folder / "s")
    elif transport == "http":
        options["port"] = 0
    async with process(transport, **given) as server:
        if transport == "stdio":
            await server.until("entered")
            assert server.process.stdout is not None
            assert server.process.stdin is not None
            yield Peer(server, Lines(server.process.stdout, server.process.stdin), None)
        elif transport == "unix":
            await server.until("serving on")
            reader, writer = await asyncio.open_unix_connection(options["path"])
            try:
                yield Peer(server, Lines(reader, writer), None)
            finally:
                writer.transport.abort()
        else:
            prober = Prober(await port_of(server))
            await server.until("entered")
            try:
                yield Peer(server, None, prober)
            finally:
                for connection in prober.opened:
                    await connection.close()


async def port_of(server: Process) -> int:
    """The port that a server says it serves on."""
    found = re.search(r":(\d+)/", await server.until("serving on"))
    assert found is not None
    return int(found[1])
