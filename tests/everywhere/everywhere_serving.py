"""Serving an app in this process and connecting to it, one way for each transport of the matrix.

Servers run on the loop of the tests, so the oracle hears both ends; stdio is a process of its own. Follows: no
page of the specification.
"""

import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final
from unittest import mock

import uvicorn
from everywhere_app import make_app
from everywhere_cells import TRANSPORTS

from dovetail import App
from dovetail.transports.unix.server import serve_unix

SCRIPT: Final = Path(__file__).with_name("everywhere_app.py")


class QuietServer(uvicorn.Server):
    """A server that leaves the signals of the test process alone, and tells when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.asked_to_end = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.asked_to_end.wait()

    async def shutdown(self, sockets: Any = None) -> None:
        """Cut every connection: a server that is gone says no goodbye."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        while self.server_state.tasks:
            await asyncio.wait(tuple(self.server_state.tasks))
        await self.lifespan.shutdown()


@contextlib.asynccontextmanager
async def serving(asgi: Any, *, port: int = 0, uds: str | None = None) -> AsyncIterator[int]:
    """Serve an ASGI application on a port (0: a free one) or a unix socket; gives the port."""
    config = uvicorn.Config(
        asgi,
        port=port,
        uds=uds,
        log_config=None,
        access_log=False,
        lifespan="on",
        loop="asyncio",
        ws="none",
        timeout_keep_alive=100_000,  # the tests move the clock: an idle connection must survive that
    )
    server = QuietServer(config)
    task = asyncio.create_task(server.serve())
    ready = asyncio.create_task(server.ready.wait())
    await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if task.done():
        raise RuntimeError("the server did not start") from task.exception()
    try:
        yield 0 if uds else server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.asked_to_end.set()
        await task


@contextlib.asynccontextmanager
async def serving_unix(app: App, path: str) -> AsyncIterator[None]:
    """Serve lines on a unix socket, without taking the signals of the test process."""
    ready = asyncio.Event()
    refusal = NotImplementedError  # what a loop that cannot take signals raises
    with mock.patch.object(asyncio.get_running_loop(), "add_signal_handler", side_effect=refusal):
        task = asyncio.create_task(serve_unix(app.service, path=path, ready=ready))
        await ready.wait()
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


def command(transport: str = "stdio", **options: Any) -> list[str]:
    """The command that serves the app in a process; ``options`` are "app" and "run"."""
    return [sys.executable, str(SCRIPT), transport, json.dumps(options)]


@contextlib.asynccontextmanager
async def place(transport: str, app: App | None = None, **asgi: Any) -> AsyncIterator[Any]:
    """A server of the transport; gives what a `Client` is pointed at. ``asgi`` are more options of `App.asgi`."""
    with tempfile.TemporaryDirectory() as folder:
        socket = os.path.join(folder, "s")
        if transport == "stdio":
            yield command()
            return
        app = app or make_app()
        if transport == "memory":
            yield app
        elif transport == "unix":
            async with serving_unix(app, socket):
                yield f"unix:{socket}"
        elif transport == "http-uds":
            async with serving(app.asgi(**asgi), uds=socket):
                yield f"http+unix://{socket}:/mcp"
        else:
            async with serving(app.asgi(**TRANSPORTS[transport], **asgi)) as port:
                yield f"http://127.0.0.1:{port}/mcp" + ("/sse" if transport == "sse-2024" else "")


class ServedProcess:
    """A server in a process that can be killed. ``url`` is where it serves."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.kill()
        await self.process.wait()


@contextlib.asynccontextmanager
async def http_process(**options: Any) -> AsyncIterator[ServedProcess]:
    """The app served over HTTP by a process of its own, by `App.run`."""
    options["run"] = {"port": 0, **options.get("run", {})}
    process = await asyncio.create_subprocess_exec(
        *command("http", **options), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        line = (await process.stderr.readline()).decode()
        found = re.search(r"http://\S+", line)
        assert found is not None, line + (await process.stderr.read()).decode()
        yield ServedProcess(process, found[0])
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
