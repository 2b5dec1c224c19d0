"""A server that is killed while a call runs: over for good, or back on the same port."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from http_serving import until

from dovetail.client import Client
from dovetail.protocol.errors import ConnectFailed, ConnectionLost, RequestTimeout, SessionEnded
from dovetail.transports.http_client import resumption

SERVER = Path(__file__).parent / "dying_server.py"


class Process:
    """The server, as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}/mcp"
        self.port = port

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().strip()

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def running(port: int = 0, *store: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SERVER), str(port), *store, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    server = Process(process, int(await process.stdout.readline()))
    try:
        yield server
    finally:
        await server.kill()


class Pauses:
    """Stands in for the waiting between two tries: it lasts until ``over`` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = asyncio.Event()
        self.over = asyncio.Event()
        monkeypatch.setattr(resumption, "pause", self)

    async def __call__(self, seconds: float) -> None:
        self.begun.set()
        await self.over.wait()


async def test_f38_a_server_that_was_killed_ends_its_calls_soon() -> None:
    """F38: a client that holds an event id does not wait for a dead server until its own deadline."""
    heard = asyncio.Event()
    async with running() as server, Client(server.url, revision="2025-11-25", timeout=30) as client:
        call = asyncio.create_task(client.call_tool("forever", progress=lambda _: heard.set()))
        assert await server.line() == "begun"
        await heard.wait()
        await server.kill()
        with pytest.raises(ConnectionLost, match="gone") as caught:
            await call
        assert not isinstance(caught.value, RequestTimeout)
        assert not caught.value.retry_safe
        with pytest.raises(ConnectFailed) as unsent:
            await client.call_tool("echo", {"text": "x"})
        assert unsent.value.retry_safe


async def test_f39_a_server_that_remembers_and_is_back_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F39, F69: killed after the answer was stored and before it was fetched; session and answer are there."""
    pauses = Pauses(monkeypatch)
    store = tmp_path / "store.db"

    def stored() -> bool:
        files = (each for each in tmp_path.iterdir() if each.is_file())  # beside them is the socket of a bus
        return any(b"the answer of old" in file.read_bytes() for file in files)

    async with (
        running(0, str(store)) as first,
        Client(first.url, revision="2025-11-25", timeout=30) as client,
    ):
        call = asyncio.create_task(client.call_tool("poll"))
        await pauses.begun.wait()
        await client.call_tool("release")
        await until(stored)
        await first.kill()
        async with running(first.port, str(store)):
            pauses.over.set()
            assert (await call).text == "the answer of old"
            assert (await client.call_tool("echo", {"text": "again"})).text == "again"


async def test_f42_a_server_that_is_back_and_forgot_ends_the_call_and_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F42: told at once, not sent again since it was accepted; what comes next has a new session."""
    pauses = Pauses(monkeypatch)
    heard = asyncio.Event()
    async with running() as first, Client(first.url, revision="2025-11-25", timeout=30) as client:
        call = asyncio.create_task(client.call_tool("forever", progress=lambda _: heard.set()))
        await heard.wait()
        await first.kill()
        await pauses.begun.wait()
        async with running(first.port) as second:
            pauses.over.set()
            with pytest.raises(SessionEnded) as caught:
                await call
            assert not caught.value.retry_safe
            assert (await client.call_tool("echo", {"text": "again"})).text == "again"
            second.process.kill()
            assert await second.line() == "", "the call was made a second time"
