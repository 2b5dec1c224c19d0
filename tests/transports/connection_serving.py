"""What the tests of our HTTP connection share: small applications on a real socket, and a peer that speaks bytes.

Every scenario runs on asyncio's own loop and on uvloop, and must leave nothing: no task, no file descriptor, no
connection, no exception that only the loop saw. Follows: no page of the specification.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import inspect
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn

from dovetail.transports.http1.server.connection import HTTPServerConnections

try:
    import uvloop
except ImportError:
    uvloop = None

LOOPS = ("asyncio",) if uvloop is None else ("asyncio", "uvloop")
if uvloop is not None:
    uvloop.new_event_loop().close()  # the first one opens what all others share

GET = b"GET /%b HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"


def start(status: Any = 200, *headers: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data: Any = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


#: Whose connections serve: ours, or those that uvicorn brings, which are the way out where ours do not fit.
_end: contextvars.ContextVar[str] = contextvars.ContextVar("end", default="own")


def on_both_ends(scenario: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """As `on_both_loops`, and with connections of ours and of uvicorn's, which do the same there."""
    return on_both_loops(scenario, ("own", "uvicorn"))


def on_both_loops(
    scenario: Callable[..., Coroutine[Any, Any, None]], ends: Sequence[str] = ("own",)
) -> Callable[..., None]:
    """Make a test of a scenario: it runs on each event loop, and what it leaves behind is a failure."""

    @pytest.mark.parametrize("loop", LOOPS)
    @pytest.mark.parametrize("end", ends)
    def test(loop: str, end: str, **given: Any) -> None:
        _end.set(end)
        troubles: list[Any] = []
        before = _descriptors()

        async def guarded() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
            async with asyncio.timeout(20):
                await scenario(**given)
            await settled(lambda: len(asyncio.all_tasks()) == 1)

        factory = asyncio.SelectorEventLoop if uvloop is None or loop == "asyncio" else uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(guarded())
        if _descriptors() > before:
            gc.collect()  # what the streams of the test itself have left
        assert not troubles, troubles
        assert _descriptors() <= before

    functools.update_wrapper(test, scenario, updated=())
    test.__dict__["pytestmark"] = [*getattr(test, "pytestmark", []), *scenario.__dict__.get("pytestmark", [])]
    test.__dict__.pop("__wrapped__", None)
    names = list(scenario.__annotations__)
    test.__signature__ = _signature(["loop", "end", *[name for name in names if name != "return"]])
    return test


def _signature(names: list[str]) -> Any:
    return inspect.Signature([inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names])


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


async def settled(so: Callable[[], object]) -> None:
    """Wait until something that nobody signals is so."""
    async with asyncio.timeout(10):
        while not so():  # noqa: ASYNC110 - sets tell nobody that they are empty
            await asyncio.sleep(0.002)


async def read(receive: Callable[[], Awaitable[Any]]) -> bytes | None:
    """The whole body of a request, None when the client left."""
    body = b""
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return None
        body += event["body"]
        if not event["more_body"]:
            return body


async def reply(send: Any, body: bytes = b"", status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    """A whole answer with a length."""
    fields = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Recorder:
    """An application that keeps what it was asked, and says so."""

    seen: list[tuple[str, str, bytes | None]] = field(default_factory=list)
    scopes: list[Any] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        body = await read(receive)
        self.seen.append((scope["method"], scope["path"], body))
        await reply(send, scope["path"].encode())


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.end = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.end.wait()

    async def shutdown(self, sockets: Any = None) -> None:
        for server in self.servers:
            server.close()
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()
        await settled(lambda: not self.server_state.connections and not self.server_state.tasks)


@dataclass
class Served:
    """A server. ``troubles``: what it logged."""

    server: _Server
    connections: HTTPServerConnections
    address: Any
    troubles: list[str]
    tls: Any = None

    async def open(self) -> Peer:
        if isinstance(self.address, str):
            return Peer(*await asyncio.open_unix_connection(self.address))
        return Peer(*await asyncio.open_connection(*self.address, ssl=self.tls))

    async def ask(self, data: bytes) -> Answer:
        """The answer to raw bytes, on a connection of their own."""
        peer = await self.open()
        try:
            peer.writer.write(data)
            return await peer.answer()
        finally:
            await peer.close()

    async def still_serves(self) -> None:
        answer = await self.ask(b"GET /still HTTP/1.1\r\nhost: a\r\n\r\n")
        assert answer.status in (200, 404)

    async def idle(self) -> None:
        """Wait until no connection and no task is left."""
        await settled(lambda: not self.server.server_state.tasks and not self.server.server_state.connections)


@contextlib.asynccontextmanager
async def serving(
    app: Any, *, patience: float = 10.0, uds: str | None = None, tls: Any = None, **options: Any
) -> AsyncIterator[Served]:
    """Serve an application with connections of ours, looked after a hundred times a second."""
    connections = HTTPServerConnections(patience)
    config = uvicorn.Config(
        app,
        **{
            "host": "127.0.0.1",
            "port": 0,
            "uds": uds,
            "http": connections if _end.get() == "own" else "httptools",
            "log_config": None,
            "access_log": False,
            "lifespan": "off",
            "ws": "none",
            "proxy_headers": False,
            "timeout_graceful_shutdown": 1,
            **options,
        },
    )
    server = _Server(config)
    troubles: list[str] = []
    watch = _Watch(troubles)
    task = asyncio.create_task(server.serve())
    logging.getLogger("dovetail.http").addHandler(watch)

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.01)
            connections.sweep()

    ticking = asyncio.create_task(tick())
    try:
        await settled(lambda: server.started or task.done())
        address = uds or server.servers[0].sockets[0].getsockname()[:2]
        yield Served(server, connections, address, troubles, tls)
    finally:
        server.end.set()
        await task
        ticking.cancel()
        logging.getLogger("dovetail.http").removeHandler(watch)


class _Watch(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    pairs: list[tuple[str, str]]
    body: bytes = b""


class Peer:
    """The other end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Answer:
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines if line)]
        return Answer(int(first.split()[1]), dict(pairs), pairs)

    async def answer(self, *, bodiless: bool = False) -> Answer:
        """The next whole answer. Raises IncompleteReadError where it is cut off."""
        found = await self.head()
        if bodiless or found.status in (100, 204, 304):
            return found
        if "transfer-encoding" in found.headers:
            assert "content-length" not in found.headers
            while size := int(await self.reader.readline(), 16):
                found.body += await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            assert await self.reader.readexactly(2) == b"\r\n"
        elif "content-length" in found.headers:
            found.body = await self.reader.readexactly(int(found.headers["content-length"]))
        else:
            found.body = await self.reader.read()
        return found

    async def ended(self) -> bool:
        """Wait for the end of the connection. Whether it was an orderly one."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return False

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()
