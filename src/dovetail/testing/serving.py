"""An app, within reach of a client, for the length of a test.

Theory of operation. The app stays in the process and the loop of the test, whatever the transport. In memory the
client gets the app itself; bytes travel all the same. On stdio the client starts a process, as always, and that passes
the lines on to the app (`relay`). Over HTTP the app is served by uvicorn on a free port of this machine: "http-json"
answers with JSON where it can (a call that tells something, or asks in the stateful era, cannot), "http-sse" always
with an event stream. While the app is within reach, dependencies may be overridden and the replay check is on: each
body that asks is run twice and has to ask the same.

Specification: basic/transports.
"""

import asyncio
import contextlib
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Unpack, cast

from ..client import Client
from ..client.options import ClientOptions
from ..protocol.bindings.lines import LineSplitter, LineTooLong, frame
from ..runtime.connection import ServerConnection
from ..runtime.service import Service
from ..server.app import App

__all__ = ["TRANSPORTS", "connected", "served"]

Transport = Literal["memory", "stdio", "http", "http-json", "http-sse"]
TRANSPORTS: Final[tuple[Transport, ...]] = (
    "memory",
    *(("stdio",) if hasattr(socket, "AF_UNIX") else ()),
    "http-json",
    "http-sse",
)
"""What the fixtures run over. "http" is the server as it comes: JSON, unless a call is slow or tells something."""

_HTTP: Final[Mapping[str, dict[str, Any]]] = {
    "http": {},
    "http-json": {"slow_after": 5.0},
    "http-sse": {"responses": "sse"},
}
_RELAY: Final = Path(__file__).with_name("relay.py")
_CHUNK: Final = 1 << 16


@contextlib.asynccontextmanager
async def connected(
    app: App,
    *,
    transport: Transport = "memory",
    overrides: Mapping[Any, Callable[..., Any]] | None = None,
    replay_check: bool = True,
    **options: Unpack[ClientOptions],
) -> AsyncGenerator[Client]:
    """A client of an app: ``async with connected(app, revision="2025-06-18") as client``. Options as of `Client`.

    ``overrides``: dependencies to use in place of others meanwhile. Raises ValueError for a transport that does not
    exist, `ImportError` over HTTP without uvicorn or aiohttp.
    """
    with _prepared(app, overrides or {}, replay_check=replay_check):
        async with _target(app, transport) as target, Client(target, **options) as client:
            yield client


@contextlib.asynccontextmanager
async def _target(app: App, transport: str) -> AsyncGenerator[Any]:
    if transport == "memory":
        yield app
    elif transport == "stdio":
        async with _relayed(app.service) as command:
            yield command
    elif transport in _HTTP:
        async with served(app.asgi(**_HTTP[transport])) as url:
            yield url
    else:
        raise ValueError(f"there is no transport {transport!r}; there are {', '.join(TRANSPORTS)}")


@contextlib.asynccontextmanager
async def _relayed(service: Service) -> AsyncGenerator[list[str]]:
    """A service at the end of standard streams; gives the command that has them."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        tasks.add(task)
        try:
            await _serve_lines(service, reader, writer)
        finally:
            tasks.discard(task)

    with tempfile.TemporaryDirectory(prefix="dovetail-") as folder:
        path = str(Path(folder) / "s")
        await service.enter()
        server = await asyncio.start_unix_server(serve, path, limit=_CHUNK)
        try:
            yield [sys.executable, "-I", "-S", str(_RELAY), path]
        finally:
            server.close()
            if tasks:
                await asyncio.wait(tasks)
            await service.leave()


async def _serve_lines(service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async def send(message: bytes) -> None:
        writer.write(frame(message))
        await writer.drain()

    connection = ServerConnection(service, send, transport="stdio")
    splitter = LineSplitter(service.max_message)
    try:
        with contextlib.suppress(OSError, LineTooLong):
            while chunk := await reader.read(_CHUNK):
                for line in splitter.feed(chunk):
                    await connection.receive(line)
    finally:
        await connection.close()
        writer.close()


@contextlib.asynccontextmanager
async def served(application: Any) -> AsyncGenerator[str]:
    """An ASGI application on a free port; gives the URL of its endpoint.

    Raises ImportError without uvicorn: pip install 'dovetail[server]'.
    """
    try:
        import uvicorn
    except ImportError as missing:
        raise ImportError("serving over HTTP needs uvicorn: pip install 'dovetail[server]'") from missing

    class EmbeddedServer(uvicorn.Server):
        """Leaves the signals of the test's process alone."""

        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None]:
            yield

    config = uvicorn.Config(
        application,
        port=0,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    server = EmbeddedServer(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.001)
    port = cast("int", server.servers[0].sockets[0].getsockname()[1])
    try:
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        server.should_exit = True
        await task


@contextlib.contextmanager
def _prepared(
    app: App, overrides: Mapping[Any, Callable[..., Any]], *, replay_check: bool
) -> Generator[None]:
    before, checked = dict(app.overrides), app.replay_check
    app.overrides.update(overrides)
    app.replay_check = replay_check
    try:
        yield
    finally:
        app.overrides.clear()
        app.overrides.update(before)
        app.replay_check = checked
