"""What the HTTP tests share: a service made by hand, uvicorn on a real socket, and a client that speaks
plain bytes.

The client is a socket and an event-stream parser, so that a test sees exactly what the wire sees and can
send what no well-behaved client would. Follows: no page of the specification.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import uvicorn
from http_bench import CLIENT, META, MODERN, Bench

from dovetail.protocol.bindings.sse import ServerSentEvent, SSEParser
from dovetail.protocol.revisions import PROFILES, STATEFUL
from dovetail.transports.http1.server.connection import HTTPServerConnections
from dovetail.transports.http_server.asgi import HTTPApp


class QuietServer(uvicorn.Server):
    """A server that leaves the signals of the test process alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.asked_to_end = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self):
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.asked_to_end.wait()

    async def shutdown(self, sockets: Any = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        async with asyncio.timeout(10):
            while self.server_state.tasks:
                await asyncio.wait(tuple(self.server_state.tasks))
        await self.lifespan.shutdown()


@contextlib.asynccontextmanager
async def serving(
    app: Any,
    *,
    http: Literal["httptools", "h11"] | HTTPServerConnections = "httptools",
    root_path: str = "",
    lifespan: Literal["on", "off"] = "on",
) -> AsyncIterator[int]:
    """Serve an application on a free port of this loop, by uvicorn's connections or ours; gives the port."""
    config = uvicorn.Config(
        app,
        port=0,
        http=cast("Any", http),
        log_config=None,
        access_log=False,
        lifespan=lifespan,
        root_path=root_path,
        loop="asyncio",
        timeout_graceful_shutdown=1,
    )
    server = QuietServer(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            if task.done():
                task.result()
            await asyncio.sleep(0.001)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.asked_to_end.set()
        await task


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes = b""
    pairs: list[tuple[str, str]] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[ServerSentEvent]:
        return SSEParser().feed(self.body)


class Connection:
    """One TCP connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._rest = bytearray()
        self._chunked = False
        self._length = 0

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Answer:
        """The status line and the headers of the next answer."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")
        pairs = [
            (name.lower(), value.strip())
            for name, _, value in (line.partition(":") for line in lines if line)
        ]
        self._chunked = ("transfer-encoding", "chunked") in pairs
        self._length = int(dict(pairs).get("content-length", "0"))
        return Answer(int(first.split()[1]), dict(pairs), pairs=pairs)

    async def chunk(self) -> bytes:
        """The next chunk of a body, or all of one that is not chunked; empty at its end."""
        if not self._chunked:
            size, self._length = self._length, 0
            return await self.reader.readexactly(size)
        size = int(await self.reader.readline(), 16)
        data = await self.reader.readexactly(size)
        await self.reader.readexactly(2)
        return data

    async def answer(self) -> Answer:
        """The whole next answer."""
        found = await self.head()
        parts = []
        while part := await self.chunk():
            parts.append(part)
        found.body = b"".join(parts)
        return found

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def abort(self) -> None:
        self.writer.transport.abort()


class Stream:
    """An open event stream."""

    def __init__(self, connection: Connection, head: Answer) -> None:
        self.connection = connection
        self.answer = head
        self.parser = SSEParser()
        self.waiting: list[ServerSentEvent] = []
        self.ended = False

    async def next(self) -> ServerSentEvent | None:
        """The next event, None at the end of the stream."""
        while not self.waiting:
            if self.ended:
                return None
            try:
                data = await self.connection.chunk()
            except (asyncio.IncompleteReadError, ValueError, ConnectionError):
                data = b""
            if not data:
                self.ended = True
            self.waiting.extend(self.parser.feed(data))
        return self.waiting.pop(0)

    async def rest(self) -> list[ServerSentEvent]:
        found = []
        while (event := await self.next()) is not None:
            found.append(event)
        return found


def head_bytes(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Prober:
    """A client of one endpoint."""

    def __init__(self, port: int, path: str = "/mcp") -> None:
        self.port = port
        self.path = path
        self.session: str | None = None
        self.revision: str | None = None
        self.ids = 0
        self.opened: list[Connection] = []

    def another(self) -> Prober:
        """A second client of the same endpoint, with the same session."""
        other = Prober(self.port, self.path)
        other.opened, other.session, other.revision, other.ids = (
            self.opened,
            self.session,
            self.revision,
            1000,
        )
        return other

    def headers(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        found = {"host": f"127.0.0.1:{self.port}", "accept": "application/json, text/event-stream"}
        if self.session:
            found["Mcp-Session-Id"] = self.session
        if self.revision:
            found["MCP-Protocol-Version"] = self.revision
        found.update(extra or {})
        return {name: value for name, value in found.items() if value != ""}

    async def start(
        self,
        method: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        path: str | None = None,
    ) -> Connection:
        connection = await Connection.open(self.port)
        self.opened.append(connection)
        whole = self.headers(headers)
        if body is not None:
            whole = {"content-type": "application/json", "content-length": str(len(body)), **whole}
        await connection.send(
            head_bytes(method, path or self.path, {k: v for k, v in whole.items() if v}) + (body or b"")
        )
        return connection

    async def send(
        self,
        method: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        path: str | None = None,
    ) -> Answer:
        connection = await self.start(method, body, headers, path)
        try:
            return await connection.answer()
        finally:
            await connection.close()

    async def stream(
        self,
        method: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        path: str | None = None,
    ) -> Stream:
        connection = await self.start(method, body, headers, path)
        return Stream(connection, await connection.head())

    def message(self, method: str, params: Any = None, *, id: Any = None, notice: bool = False) -> bytes:
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if not notice:
            self.ids += 1
            message["id"] = self.ids if id is None else id
        if params is not None:
            message["params"] = params
        return json.dumps(message).encode()

    # The stateless era

    def modern(
        self, method: str, params: Any = None, *, id: Any = None, meta: Any = None
    ) -> tuple[bytes, dict[str, str]]:
        """A request of the stateless era and its headers."""
        whole = {"_meta": META if meta is None else meta, **(params or {})}
        headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
        name = whole.get("name") or whole.get("uri")
        if name is not None:
            headers["Mcp-Name"] = name
        return self.message(method, whole, id=id), headers

    async def ask(self, method: str, params: Any = None, **options: Any) -> Answer:
        body, headers = self.modern(method, params, **options)
        return await self.send("POST", body, headers)

    # The stateful era

    async def initialize(self, revision: str = STATEFUL[-1], capabilities: Any = None) -> Answer:
        params = {"protocolVersion": revision, "capabilities": capabilities or {}, "clientInfo": CLIENT}
        answer = await self.send("POST", self.message("initialize", params))
        if answer.status == 200 and "result" in answer.json:
            self.session = answer.headers.get("mcp-session-id")
            self.revision = answer.json["result"]["protocolVersion"]
        return answer

    async def ready(self, revision: str = STATEFUL[-1], capabilities: Any = None) -> Prober:
        answer = await self.initialize(revision, capabilities)
        assert answer.status == 200, answer
        assert (await self.send("POST", self.message("notifications/initialized", notice=True))).status == 202
        return self

    async def call(self, method: str, params: Any = None, **headers: str) -> Answer:
        return await self.send("POST", self.message(method, params), headers)

    async def tool(self, name: str, **arguments: Any) -> Answer:
        return await self.call("tools/call", {"name": name, "arguments": arguments})

    async def tool_stream(self, name: str, **arguments: Any) -> Stream:
        return await self.stream("POST", self.message("tools/call", {"name": name, "arguments": arguments}))


async def until(settled: Callable[[], object]) -> None:
    """Wait until something that nobody signals is so."""
    async with asyncio.timeout(5):
        while not settled():  # noqa: ASYNC110 - the tables of a server tell nobody that they are empty
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def bench(
    make: Callable[..., HTTPApp] = HTTPApp, *, service: Mapping[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[Bench, Prober]]:
    """A bench behind a real socket, and a prober for it. ``options`` go to the application."""
    found = Bench(**(service or {}))
    async with serving(make(found.service, **options)) as port:
        prober = Prober(port)
        try:
            yield found, prober
        finally:
            for connection in prober.opened:
                await connection.close()


__all__ = [
    "META",
    "MODERN",
    "PROFILES",
    "Answer",
    "Bench",
    "Connection",
    "Prober",
    "Stream",
    "bench",
    "head_bytes",
    "serving",
]
