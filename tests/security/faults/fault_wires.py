"""One app on every transport, spoken to in raw bytes, so that the same test can be run in every cell.

A `Talk` is one client's conversation: `post` sends bytes that get no answer of their own, `exchange` sends a
request and gives every message that comes until its response. Over HTTP each is a POST of its own.
Follows: no page of the specification.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from dovetail import App
from dovetail.protocol import names
from dovetail.runtime.connection import ServerConnection
from dovetail.transports.stdio.server import serve_stdio
from dovetail.transports.stdio.streams import StdioStreams
from dovetail.transports.unix.server import serve_unix

serving_kit: Any = importlib.import_module("http_serving")

STATEFUL = "2025-11-25"
STATELESS = "2026-07-28"
FIRST = "2024-11-05"
CLIENT = {"name": "fault", "version": "1"}
EVERYTHING = {"sampling": {}, "roots": {}, "elicitation": {}}
HTTP_MODES: dict[str, dict[str, Any]] = {
    "http": {},
    "http json": {"responses": "json"},
    "http sse": {"responses": "sse"},
    "http without sessions": {"sessions": False},
    "http 2024": {"http_sse": True},
}
LINES = ("memory", "unix", "stdio")
EVERY = (*LINES, *HTTP_MODES)


def meta(**more: Any) -> dict[str, Any]:
    """What a request of the stateless era carries."""
    return {
        names.META_PROTOCOL_VERSION: STATELESS,
        names.META_CLIENT_CAPABILITIES: EVERYTHING,
        names.META_CLIENT_INFO: CLIENT,
        **more,
    }


def request(method: str, id: Any, params: dict[str, Any] | None = None) -> bytes:
    """A request as bytes."""
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}}).encode()


def notice(method: str, params: dict[str, Any] | None = None) -> bytes:
    """A notification as bytes."""
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params or {}}).encode()


def call(name: str, id: Any, *, modern: bool = False, token: Any = None, **arguments: Any) -> bytes:
    """A tool call as bytes. ``token`` asks for progress."""
    asked = {} if token is None else {"progressToken": token}
    params: dict[str, Any] = {"name": name, "arguments": arguments}
    if modern:
        params["_meta"] = meta(**asked, **{names.META_LOG_LEVEL: "debug"})
    elif asked:
        params["_meta"] = asked
    return request("tools/call", id, params)


class Talk:
    """A conversation over a channel that carries everything: messages come in by `take`. Over lines ``write`` sends
    bytes that need not be a whole line.
    """

    def __init__(self, send: Callable[[bytes], Awaitable[None]], revision: str = STATEFUL) -> None:
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.revision = revision
        self.write = send
        self._send = send

    def take(self, data: bytes) -> None:
        """A message from the server."""
        self.inbox.put_nowait(json.loads(data))

    async def post(self, body: bytes) -> None:
        """Send something that gets no answer."""
        await self._send(body)

    async def exchange(self, body: bytes) -> AsyncIterator[Any]:
        """Send a request; every message until its response, which is the last."""
        await self._send(body)
        id = json.loads(body)["id"]
        while True:
            message = await asyncio.wait_for(self.inbox.get(), 20)
            yield message
            if isinstance(message, dict) and message.get("id") == id and "method" not in message:
                return

    async def answer(self, body: bytes) -> Any:
        """The response to a request."""
        last: Any = None
        async for message in self.exchange(body):
            last = message
        return last

    async def open(self) -> Talk:
        """Initialize."""
        params = {"protocolVersion": self.revision, "capabilities": EVERYTHING, "clientInfo": CLIENT}
        opened = await self.answer(request("initialize", 0, params))
        assert opened["result"]["protocolVersion"] == self.revision, opened
        await self.post(notice("notifications/initialized"))
        return self


class HTTPTalk(Talk):
    """A conversation by POSTs. ``authorization`` is sent with each."""

    def __init__(self, port: int, authorization: str = "") -> None:
        super().__init__(self._post)
        self.prober: Any = serving_kit.Prober(port)
        self.authorization = authorization

    def headers(self, body: bytes) -> dict[str, str]:
        """What goes with a body: the mirrors of the stateless era, credentials."""
        extra = {"Authorization": self.authorization} if self.authorization else {}
        message = json.loads(body)
        params = message.get("params", {}) if isinstance(message, dict) else {}
        if names.META_PROTOCOL_VERSION not in params.get("_meta", {}):
            return extra
        extra |= {"MCP-Protocol-Version": STATELESS, "Mcp-Method": message["method"], "Mcp-Session-Id": ""}
        if "name" in params:
            extra["Mcp-Name"] = params["name"]
        return extra

    async def _post(self, body: bytes) -> None:
        answer = await self.prober.send("POST", body, self.headers(body))
        assert answer.status == 202, answer

    async def exchange(self, body: bytes) -> AsyncIterator[Any]:
        id = json.loads(body)["id"]
        stream = await self.prober.stream("POST", body, self.headers(body))
        connection = stream.connection
        try:
            if stream.answer.headers.get("content-type") != "text/event-stream":
                length = int(stream.answer.headers.get("content-length", "0"))
                yield json.loads(await connection.reader.readexactly(length))
                return
            while (event := await asyncio.wait_for(stream.next(), 20)) is not None:
                if event.data:
                    message = json.loads(event.data)
                    yield message
                    if message.get("id") == id and "method" not in message:
                        return
        finally:
            self.prober.opened.remove(connection)
            await connection.close()

    async def open(self) -> Talk:
        extra = {"Authorization": self.authorization} if self.authorization else {}
        params = {"protocolVersion": self.revision, "capabilities": EVERYTHING, "clientInfo": CLIENT}
        answer = await self.prober.send("POST", request("initialize", 0, params), extra)
        assert answer.status == 200, answer
        self.prober.session = answer.headers.get("mcp-session-id")
        self.prober.revision = self.revision
        await self.post(notice("notifications/initialized"))
        return self

    async def close(self) -> None:
        """Close every connection."""
        for connection in self.prober.opened:
            await connection.close()


class OldTalk(Talk):
    """A conversation over HTTP+SSE."""

    def __init__(self, port: int, authorization: str = "") -> None:
        super().__init__(self._post, FIRST)
        self.prober: Any = serving_kit.Prober(port)
        self.extra = {"Authorization": authorization} if authorization else {}
        self.path = ""
        self.stream: Any = None
        self._reading: asyncio.Task[None] | None = None

    async def connect(self) -> OldTalk:
        """Open the stream."""
        self.stream = await self.prober.stream("GET", None, self.extra, path="/mcp/sse")
        self.path = (await self.stream.next()).data.decode()
        self._reading = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        while (event := await self.stream.next()) is not None:
            self.take(event.data)

    async def _post(self, body: bytes) -> None:
        answer = await self.prober.send("POST", body, self.extra, path=self.path)
        assert answer.status == 202, answer

    async def close(self) -> None:
        """Close the stream."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        for connection in self.prober.opened:
            await connection.close()


Connect = Callable[[], Awaitable[Talk]]


@contextlib.asynccontextmanager
async def serve(app: App, cell: str) -> AsyncIterator[Connect]:
    """Serve an app in one cell; gives the function that makes a conversation, not yet opened."""
    async with contextlib.AsyncExitStack() as stack:
        if cell == "memory":
            yield await _memory(app, stack)
        elif cell == "unix":
            yield await _unix(app, stack)
        elif cell == "stdio":
            yield await _stdio(app, stack)
        else:
            port = await stack.enter_async_context(serving_kit.serving(app.asgi(**HTTP_MODES[cell])))
            yield _http(port, cell, stack)


def _http(port: int, cell: str, stack: contextlib.AsyncExitStack) -> Connect:
    async def connect() -> Talk:
        if cell == "http 2024":
            old = OldTalk(port)
            stack.push_async_callback(old.close)
            return await old.connect()
        talk = HTTPTalk(port)
        stack.push_async_callback(talk.close)
        return talk

    return connect


async def _memory(app: App, stack: contextlib.AsyncExitStack) -> Connect:
    await app.service.start()
    stack.push_async_callback(app.service.stop)

    async def connect() -> Talk:
        async def take(data: bytes) -> None:
            talk.take(data)

        connection = ServerConnection(app.service, take, transport="memory")
        stack.push_async_callback(connection.close)
        talk = Talk(connection.receive)
        return talk

    return connect


async def _unix(app: App, stack: contextlib.AsyncExitStack) -> Connect:
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    path = str(Path(folder) / "s")
    ready = asyncio.Event()
    server = asyncio.create_task(serve_unix(app.service, path=path, ready=ready))
    stack.push_async_callback(ended, server)
    await asyncio.wait_for(ready.wait(), 10)

    async def connect() -> Talk:
        reader, writer = await asyncio.open_unix_connection(path, limit=64 * 1024 * 1024)
        stack.push_async_callback(closed, writer)
        return _lines(reader, writer, stack)

    return connect


async def _stdio(app: App, stack: contextlib.AsyncExitStack) -> Connect:
    async def connect() -> Talk:
        theirs, ours = os.pipe(), os.pipe()
        streams = StdioStreams(theirs[0], ours[1], max_line=app.service.max_message)
        server = asyncio.create_task(serve_stdio(app.service, streams, grace=0.1))
        stack.push_async_callback(ended, server)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
        incoming, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours[0], "rb", 0)
        )
        stack.callback(incoming.close)
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(theirs[1], "wb", 0)
        )
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        stack.callback(transport.close)
        return _lines(reader, writer, stack)

    return connect


def _lines(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stack: contextlib.AsyncExitStack
) -> Talk:
    async def send(body: bytes) -> None:
        writer.write(body + b"\n")
        await writer.drain()

    async def write(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    talk = Talk(send)
    talk.write = write

    async def read() -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                talk.take(line)

    stack.push_async_callback(ended, asyncio.create_task(read()))
    return talk


async def ended(task: asyncio.Task[None]) -> None:
    """End a task of the test's own."""
    task.cancel()
    await asyncio.wait({task})


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection of the test's own."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
