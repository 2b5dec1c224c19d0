"""What one call costs a client, a pipe and a round of questions, in things that can be counted without a clock.

Each bound is a little above what is true today. Whoever has to raise one says in the commit what it buys.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest
from counting import Counted, fewest

from dovetail import App, Client, Context
from dovetail.protocol import names
from dovetail.protocol.revisions import STATELESS
from dovetail.runtime import tap
from dovetail.security.sealing import AESGCMSealer
from dovetail.transports.http1.client.http1_backend import HTTP1Backend
from dovetail.transports.http_client.transport import HTTPTransport
from dovetail.transports.stdio.descriptor_io import DescriptorWriter

#: Functions of ours that one call runs through: of the client alone over HTTP, of both sides in memory.
FUNCTIONS = {"http": 58, "memory": 83}
#: Functions of ours that a request runs through below the transport, its answer of three headers included.
OF_A_REQUEST = 16
#: What ``from dovetail import Client`` does without: it is loaded by clients that use it. Each of them takes time.
UNNEEDED = (
    "aiohttp",
    "dovetail.capture.redaction",
    "dovetail.capture.writing",
    "dovetail.server",
    "dovetail.transports.http1",
    "dovetail.transports.http_client",
    "dovetail.transports.stdio.client",
    "email",
    "httptools",
    "importlib.metadata",
    "jsonschema_rs",
    "pydantic",
    "tempfile",
    "zipfile",
)
#: Modules of ours that it loads.
MOST_MODULES = 122
#: Functions of ours that a round takes beyond two plain calls, both requests together.
OF_A_ROUND = 152


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the oracle, which reads every message of the other tests: here its work would be counted too."""
    monkeypatch.setattr(tap, "listeners", [])


class Posted:
    """What the app answered to a request, as the seam of HTTP clients wants it."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body

    def whole(self, most: int) -> bytes | None:
        body, self._body = self._body, b""
        return body or None

    @property
    def ended(self) -> bool:
        return not self._body

    def close(self) -> None: ...


class Wire:
    """A backend that hands each request to an app in process, with the counting held off meanwhile."""

    def __init__(self, app: App) -> None:
        self._endpoint: Callable[..., Awaitable[None]] = app.asgi()

    async def request(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None = None,
        *,
        repeatable: bool = False,
    ) -> Posted:
        counting = sys.getprofile()
        sys.setprofile(None)
        try:
            return await self._answer(method, headers, body or b"")
        finally:
            sys.setprofile(counting)

    async def _answer(self, method: str, headers: Sequence[tuple[str, str]], body: bytes) -> Posted:
        parts, answers = [{"type": "http.request", "body": body}], list[dict[str, Any]]()

        async def receive() -> dict[str, Any]:
            return parts.pop() if parts else await asyncio.get_running_loop().create_future()

        async def send(event: dict[str, Any]) -> None:
            answers.append(event)

        given = [("host", "localhost"), ("content-length", str(len(body))), *headers]
        scope = {
            "type": "http",
            "method": method,
            "path": "/mcp",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in given],
        }
        await self._endpoint(scope, receive, send)
        found = {name.decode(): value.decode() for name, value in answers[0]["headers"]}
        return Posted(answers[0]["status"], found, b"".join(each.get("body", b"") for each in answers))

    async def close(self) -> None: ...


def small_app() -> App:
    app = App("cost")

    @app.tool
    async def add(a: int, b: int) -> int:
        return a + b

    @app.tool
    async def greet(ctx: Context) -> str:
        return f"Hello, {await ctx.elicit('What is your name?', str)}"

    return app


@asynccontextmanager
async def connected(way: str) -> AsyncIterator[Client]:
    """A client that has called already, in memory or over HTTP."""
    app = small_app()
    target = app if way == "memory" else HTTPTransport("http://localhost/mcp", backend=Wire(app))
    async with Client(target) as client:
        for _ in range(5):
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
        yield client
    await app.service.stop()


@pytest.mark.parametrize("way", ["http", "memory"])
async def test_functions_of_a_client_call(way: str) -> None:
    async with connected(way) as client:
        counted = await fewest(lambda: client.call_tool("add", {"a": 1, "b": 2}))
    assert counted.functions.total() <= FUNCTIONS[way], counted.functions.most_common()


async def test_codings_of_a_client_call() -> None:
    """Out: the arguments and the parameters around them. In: envelope and result; and the result once more, which shows
    that it has no member that nobody knows.
    """
    async with connected("http") as client:
        counted = await fewest(lambda: client.call_tool("add", {"a": 1, "b": 2}))
    assert counted.codec.total() <= 2 + 2 + 1


@pytest.mark.parametrize("way,tasks", [("http", 0), ("memory", 1)])
async def test_tasks_and_timers_of_a_client_call(
    way: str, tasks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No task but the server's own, and no timer: the deadlines of all calls share one."""
    async with connected(way) as client:
        loop = asyncio.get_running_loop()
        made: Counter[str] = Counter()
        call_at = loop.call_at

        def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
            made["tasks"] += 1
            return asyncio.Task(coroutine, loop=loop, **options)

        def timed(*given: Any, **options: Any) -> asyncio.TimerHandle:
            made["timers"] += 1
            return call_at(*given, **options)

        loop.set_task_factory(factory)
        monkeypatch.setattr(loop, "call_at", timed)
        for _ in range(100):
            await client.call_tool("add", {"a": 1, "b": 2})
        monkeypatch.undo()
        loop.set_task_factory(None)
    assert made["tasks"] == 100 * tasks
    # Over HTTP the server's one timer for all its requests ticks in this process, too.
    assert made["timers"] <= (50 if way == "http" else 1)


async def test_functions_and_writes_of_an_http_request() -> None:
    """One write, one look at what comes back, no task and no timer."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: now\r\nContent-Length: 2\r\n\r\n{}"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 16):
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    backend = HTTP1Backend()
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    headers = (("accept", "application/json"), ("content-type", "application/json"))
    made: Counter[str] = Counter()
    counted = Counted()

    async def post() -> None:
        response: Any = await backend.request("POST", url, headers, b"{}")
        assert response.whole(10) == b"{}"
        assert response.ended
        response.close()

    def tallied(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made["tasks"] += 1
        return asyncio.Task(coroutine, loop=loop, **options)

    loop = asyncio.get_running_loop()
    try:
        for _ in range(2):
            await post()
        (connection,), sweeper = backend._open, backend._sweeper
        assert connection._transport is not None
        connection._transport = cast("asyncio.Transport", Tallied(connection._transport, made))
        loop.set_task_factory(tallied)
        for _ in range(10):
            with counted:
                await post()
        assert backend._sweeper is sweeper
    finally:
        loop.set_task_factory(None)
        await backend.close()
        server.close()
        await server.wait_closed()
    assert counted.functions.total() <= 10 * OF_A_REQUEST, counted.functions.most_common()
    assert made == {"writes": 10}


class Tallied:
    """A transport whose writes are counted."""

    def __init__(self, inner: asyncio.Transport, made: Counter[str]) -> None:
        self._inner = inner
        self._made = made

    def write(self, data: bytes) -> None:
        self._made["writes"] += 1
        self._inner.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def request(name: str, **members: Any) -> bytes:
    meta = {names.META_PROTOCOL_VERSION: STATELESS[-1], names.META_CLIENT_CAPABILITIES: {"elicitation": {}}}
    params = {"name": name, "arguments": {}, "_meta": meta, **members}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": names.TOOLS_CALL, "params": params}).encode()


async def test_functions_and_seals_of_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round is two requests. It is sealed once and opened once, its form is encoded once for all rounds."""
    app = small_app()
    wire = Wire(app)
    sealed: Counter[str] = Counter()
    for work in ("seal", "open"):
        genuine = getattr(AESGCMSealer, work)

        def noted(*given: Any, genuine: Any = genuine, work: str = work, **options: Any) -> Any:
            sealed[work] += 1
            return genuine(*given, **options)

        monkeypatch.setattr(AESGCMSealer, work, noted)

    async def post(name: str, **members: Any) -> tuple[dict[str, Any], int]:
        headers = [
            ("content-type", names.MEDIA_JSON),
            ("accept", f"{names.MEDIA_JSON}, {names.MEDIA_SSE}"),
            (names.HEADER_PROTOCOL_VERSION, STATELESS[-1]),
            (names.HEADER_METHOD, names.TOOLS_CALL),
            (names.HEADER_NAME, name),
        ]
        with Counted() as counted:
            answer = await wire._answer("POST", headers, request(name, **members))
        return json.loads(await answer.read())["result"], counted.functions.total()

    async def a_round() -> int:
        asked, first = await post("greet")
        answers = {key: {"action": "accept", "content": {"value": "Ada"}} for key in asked["inputRequests"]}
        told, second = await post("greet", inputResponses=answers, requestState=asked["requestState"])
        assert told["content"][0]["text"] == "Hello, Ada"
        return first + second

    await a_round()
    # What is done by the clock falls into some of them at most.
    plain = min([(await post("add", arguments={"a": 1, "b": 2}))[1] for _ in range(5)])
    sealed.clear()
    functions = min([await a_round() for _ in range(5)])
    assert sealed == {"seal": 5, "open": 5}
    assert functions - 2 * plain <= OF_A_ROUND, (functions, plain)
    await app.service.stop()


async def test_answers_to_requests_that_come_together_leave_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 64 calls in one piece the answers go out in a few writes, not in 64."""
    read, write = os.pipe()
    writer = DescriptorWriter(write)
    writes: list[int] = []
    genuine = os.writev

    def counted(descriptor: int, views: Any) -> int:
        writes.append(descriptor)
        return genuine(descriptor, views)

    monkeypatch.setattr(os, "writev", counted)
    # However slow the machine: nothing is sent early for having waited.
    monkeypatch.setattr("dovetail.transports.stdio.descriptor_io._MOMENT", 60.0)
    writer.gather()
    await asyncio.gather(*(writer.write(b"%d\n" % number) for number in range(64)))
    await writer.flush()
    assert len(writes) == 1
    assert os.read(read, 1 << 16) == b"".join(b"%d\n" % number for number in range(64))
    writer.close()
    for end in (read, write):
        with suppress(OSError):
            os.close(end)


def test_a_client_loads_little_before_it_is_made() -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    loaded, bare = (
        subprocess.run(
            [sys.executable, "-I", "-c", f"import asyncio, msgspec, sys; {line}; print(*sys.modules)"],
            capture_output=True,
            timeout=60,
            check=True,
            env=plain,
        )
        for line in ("from dovetail import Client", "pass")
    )
    ours = set(loaded.stdout.decode().split()) - set(bare.stdout.decode().split())
    assert sorted(ours & set(UNNEEDED)) == []
    assert len([name for name in ours if name.startswith("dovetail")]) <= MOST_MODULES
