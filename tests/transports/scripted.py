"""Scripted peers for the client transports: HTTP servers that do exactly what a test says, byte by byte.

A script is a coroutine called for each request with a `Wire`. It may answer properly, or badly, or cut the
connection wherever it likes. What arrived is kept in ``requests``. Also here: a receiver that collects, and
legal messages to send.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from dovetail.protocol.envelope import Message
from dovetail.protocol.errors import DovetailError
from dovetail.protocol.revisions import PROFILES
from dovetail.protocol.types.requests import RequestId
from dovetail.transports.client_transport import Outgoing
from dovetail.transports.http_client.transport import HTTPTransport

STATEFUL = "2025-11-25"
STATELESS = "2026-07-28"
SESSION = "session-0123456789"


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    time: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> Any:
        return self.json.get("id")


@dataclass
class Wire:
    """The server's end of one exchange."""

    request: Request
    writer: asyncio.StreamWriter
    server: ScriptedServer
    gone: asyncio.Event
    ended: bool = False

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(
        self,
        status: int,
        body: bytes = b"",
        content_type: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        await self.raw(response(status, body, content_type, headers))

    async def json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        await self.answer(status, json.dumps(value).encode(), "application/json", headers)

    async def result(self, result: Any = None, headers: dict[str, str] | None = None) -> None:
        await self.json({"jsonrpc": "2.0", "id": self.request.id, "result": result or {}}, 200, headers)

    async def stream(self, **headers: str) -> None:
        await self.raw(
            head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"} | headers)
        )

    async def event(self, value: Any = None, id: str | None = None, retry: int | None = None) -> None:
        await self.chunk(event(value, id=id, retry=retry))

    async def chunk(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")

    def cut(self) -> None:
        """End the connection with FIN."""
        self.ended = True
        self.writer.close()

    def reset(self) -> None:
        """End the connection with RST."""
        self.ended = True
        sock: socket.socket = self.writer.get_extra_info("socket")
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Wire], Awaitable[None]]


@dataclass
class ScriptedServer:
    """A running server. ``requests``: what arrived; ``connections``: how many were made."""

    script: Script
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    failures: list[BaseException] = field(default_factory=list)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def seen(self, count: int) -> list[Request]:
        """Wait until so many requests have arrived."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= count)
        return self.requests

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.connections += 1
        number = self.connections
        try:
            while (request := await _read_request(reader, number)) is not None:
                async with self.arrived:
                    self.requests.append(request)
                    self.arrived.notify_all()
                wire = Wire(request, writer, self, asyncio.Event())
                watch = asyncio.create_task(_watch(reader, wire))
                try:
                    await self.script(wire)
                finally:
                    watch.cancel()
                    await asyncio.wait({watch})
                if wire.ended:
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except Exception as problem:  # noqa: BLE001 - raised again at the end of the test
            self.failures.append(problem)
        finally:
            self.tasks.discard(task)
            writer.close()


async def _watch(reader: asyncio.StreamReader, wire: Wire) -> None:
    """Notice that the client is gone, without eating its next request."""
    while not reader.at_eof():  # noqa: ASYNC110 - a stream has no event for its end that leaves its bytes alone
        await asyncio.sleep(0.005)
    wire.gone.set()


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Request | None:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
    method, path, _ = first.split(" ")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        assert name.lower() not in headers, f"the client sent {name} twice"
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body, connection, asyncio.get_running_loop().time())


@asynccontextmanager
async def scripted(script: Script, *, unix: str | None = None) -> AsyncIterator[ScriptedServer]:
    """Run a script. On the way out, faults of the script itself are raised."""
    scripted_server = ScriptedServer(script)
    if unix is None:
        server = await asyncio.start_server(scripted_server.serve, "127.0.0.1", 0, limit=2**20)
        scripted_server.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    else:
        server = await asyncio.start_unix_server(scripted_server.serve, unix, limit=2**20)
        scripted_server.url = f"http+unix://{unix}:/mcp"
    try:
        yield scripted_server
    finally:
        server.close()
        tasks = list(scripted_server.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await server.wait_closed()
        if scripted_server.failures:
            raise scripted_server.failures[0]


def head(status: int, headers: dict[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {status} Whatever",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def response(
    status: int, body: bytes = b"", content_type: str | None = None, headers: dict[str, str] | None = None
) -> bytes:
    """A whole response."""
    all_headers = {"Content-Length": str(len(body))} | (headers or {})
    if content_type is not None:
        all_headers["Content-Type"] = content_type
    return head(status, all_headers) + body


def event(value: Any = None, *, id: str | None = None, retry: int | None = None) -> bytes:
    """A server-sent event, with an empty data field for None."""
    lines = [f"id: {id}"] if id is not None else []
    if retry is not None:
        lines.append(f"retry: {retry}")
    lines.append(f"data: {'' if value is None else json.dumps(value)}")
    return ("\n".join(lines) + "\n\n").encode()


def answer_to(id: RequestId, result: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "result": {} if result is None else result}


def error_to(id: RequestId | None, code: int = -32601, message: str = "no such method") -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}


TOOL_RESULT: dict[str, Any] = {"content": [{"type": "text", "text": "done"}]}


def log_notice(text: str = "hello") -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": text}}


def ping(id: RequestId = 1, revision: str = STATEFUL) -> Outgoing:
    """A ping of the stateful era: harmless, so it may be sent twice."""
    return _outgoing({"jsonrpc": "2.0", "id": id, "method": "ping"}, revision)


def tool_call(id: RequestId = 1, revision: str = STATEFUL) -> Outgoing:
    """A tool call: never to be sent twice."""
    params: dict[str, Any] = {"name": "work", "arguments": {}}
    return _outgoing({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}, revision)


def initialize(id: RequestId = 0) -> Outgoing:
    params = {
        "protocolVersion": STATEFUL,
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    return _outgoing({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": params}, "")


INITIALIZED: dict[str, Any] = {
    "protocolVersion": STATEFUL,
    "capabilities": {"tools": {}, "logging": {}},
    "serverInfo": {"name": "scripted", "version": "1"},
}


def modern_call(id: RequestId = 1) -> Outgoing:
    """A tool call of the stateless era, with its headers."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": STATELESS,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params: dict[str, Any] = {"_meta": meta, "name": "work", "arguments": {}}
    message = {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}
    headers = (("mcp-method", "tools/call"), ("mcp-name", "work"))
    return Outgoing(json.dumps(message).encode(), id, "tools/call", True, STATELESS, headers)


MODERN_RESULT: dict[str, Any] = {"resultType": "complete", **TOOL_RESULT}


def initialized_notice() -> Outgoing:
    return _outgoing({"jsonrpc": "2.0", "method": "notifications/initialized"}, STATEFUL)


def _outgoing(message: dict[str, Any], revision: str) -> Outgoing:
    method = message.get("method", "")
    repeatable = method in PROFILES.repeatable
    return Outgoing(
        json.dumps(message).encode(), message.get("id"), method, False, revision, repeatable=repeatable
    )


class Collector:
    """A receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.messages: list[tuple[Message, RequestId | None]] = []
        self.losses: list[DovetailError] = []
        self.misses = 0
        self.changed = asyncio.Condition()
        self.gate = asyncio.Event()
        self.gate.set()
        self.ended = asyncio.Event()

    async def message(self, message: Message, related: RequestId | None) -> None:
        await self.gate.wait()
        self.messages.append((message, related))
        async with self.changed:
            self.changed.notify_all()

    def missed(self) -> None:
        self.misses += 1

    def lost(self, error: DovetailError) -> None:
        self.losses.append(error)
        self.ended.set()

    async def have(self, count: int) -> list[tuple[Message, RequestId | None]]:
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.messages) >= count)
        return self.messages

    @property
    def methods(self) -> list[str]:
        return [message.method for message, _ in self.messages]

    @property
    def texts(self) -> list[str]:
        return [json.loads(bytes(message.params))["data"] for message, _ in self.messages]


async def stateful(wire: Wire) -> None:
    """A good server of the stateful era, with a session and no standalone stream."""
    if wire.request.method != "POST":
        await wire.answer(405)
    elif wire.request.json["method"] == "initialize":
        await wire.result(INITIALIZED, headers={"Mcp-Session-Id": SESSION})
    elif wire.request.id is None:
        await wire.answer(202)
    elif wire.request.json["method"] == "tools/call":
        await wire.result(TOOL_RESULT)
    else:
        await wire.result()


async def opened(url: str, **options: Any) -> tuple[HTTPTransport, Collector]:
    """An open HTTP transport and its receiver."""
    transport, receiver = HTTPTransport(url, **options), Collector()
    await transport.open(receiver)
    return transport, receiver
