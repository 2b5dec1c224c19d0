"""V2, F36, F38: connections that break at every byte, in both directions, and peers that die.

The POST of a call is cut at every byte beside the HTTP transport; here the requests that steer a session are,
while a handler runs that must not notice, and the answers that a client waits for.
"""

import asyncio
import json
import logging
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from fault_wires import FIRST, HTTPTalk, OldTalk, call, request, serving_kit

from dovetail import App, Client, ConnectionLost, InternalError, RequestTimeout
from dovetail.transports.client_transport import Outgoing, ReceivedResponse
from dovetail.transports.http_server.asgi import HTTPApp
from dovetail.transports.unix.client import UnixTransport

pytestmark = pytest.mark.hostile


class Running:
    """An app with a handler that runs until it is let go."""

    def __init__(self) -> None:
        self.app = App("running")
        self.begun, self.release, self.stopped = asyncio.Event(), asyncio.Event(), asyncio.Event()

        @self.app.tool
        async def hold() -> str:
            self.begun.set()
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.stopped.set()
                raise
            return "held"


async def cut(port: int, whole: bytes, at: int, *, listen: bool = False) -> None:
    """Send so many bytes, and go: by RST for odd counts, by FIN for even ones."""
    connection: Any = await serving_kit.Connection.open(port)
    await connection.send(whole[:at])
    if listen:
        async with asyncio.timeout(5):
            await connection.head()
    if at % 2:
        connection.abort()
    else:
        await connection.close()


async def cut_everywhere(port: int, whole: bytes, end: int) -> None:
    for start in range(0, end, 50):
        await asyncio.gather(*(cut(port, whole, at) for at in range(start, min(start + 50, end))))


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_v2_requests_cut_at_every_byte_disturb_no_handler(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    running = Running()
    http = cast("HTTPApp", running.app.asgi(linger=0.0))
    async with serving_kit.serving(http) as port:
        talk = HTTPTalk(port)
        await talk.open()
        held = asyncio.create_task(talk.answer(call("hold", 7)))
        await asyncio.wait_for(running.begun.wait(), 5)
        body = request("ping", 8) if method == "POST" else b""
        fields = {"content-type": "application/json", "content-length": str(len(body))} if body else {}
        whole = serving_kit.head_bytes(method, "/mcp", talk.prober.headers(fields)) + body
        await cut_everywhere(port, whole, len(whole))  # all but the whole request
        if method == "GET":
            for _ in range(5):
                await cut(port, whole, len(whole), listen=True)
                await serving_kit.until(lambda: http._limits.streams == 1)
        assert not running.stopped.is_set()
        assert "result" in await talk.answer(request("ping", 9))
        if method == "DELETE":
            await cut(port, whole, len(whole), listen=True)
            await asyncio.wait_for(running.stopped.wait(), 5)
            held.cancel()
            await asyncio.wait({held})
        else:
            running.release.set()
            assert (await held)["result"]["content"][0]["text"] == "held"
        await serving_kit.until(
            lambda: not (http._limits.requests or http._limits.streams or http._stateful._calls._tasks)
        )
        assert not http._stateful._sessions._live
        await talk.close()
    assert not caplog.records


async def test_v2_the_transport_of_2024_survives_cuts_at_every_byte(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    running = Running()
    http = cast("HTTPApp", running.app.asgi(http_sse=True))
    async with serving_kit.serving(http) as port:
        talk = OldTalk(port)
        await (await talk.connect()).open()
        held = asyncio.create_task(talk.answer(call("hold", 7)))
        await asyncio.wait_for(running.begun.wait(), 5)
        body = request("ping", 8)
        fields = {"content-type": "application/json", "content-length": str(len(body))}
        message = serving_kit.head_bytes("POST", talk.path, talk.prober.headers(fields)) + body
        opening = serving_kit.head_bytes("GET", "/mcp/sse", talk.prober.headers())
        await cut_everywhere(port, message, len(message))
        await cut_everywhere(port, opening, len(opening))
        for _ in range(5):
            await cut(port, opening, len(opening), listen=True)
        await serving_kit.until(lambda: http._limits.streams == 1)
        assert not running.stopped.is_set()
        running.release.set()
        assert (await held)["result"]["content"][0]["text"] == "held"
        await talk.close()
        await serving_kit.until(lambda: not (http._limits.requests or http._limits.streams))
    assert not caplog.records


async def test_v2_a_framework_that_cancels_requests_leaves_no_task() -> None:
    """Not every ASGI server waits for a request to end by itself."""
    running = Running()
    http = cast("HTTPApp", running.app.asgi(http_sse=True))
    sent: list[Any] = []
    silence = asyncio.Event()

    async def receive() -> Any:
        await silence.wait()

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/mcp/sse",
        "headers": [(b"host", b"localhost"), (b"accept", b"text/event-stream")],
    }
    before = asyncio.all_tasks()
    serving = asyncio.create_task(http(scope, receive, send))
    await serving_kit.until(lambda: len(sent) == 2)
    serving.cancel()
    await asyncio.wait({serving})
    await running.app.service.stop()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before
    assert not http._limits.streams


# Answers that are cut: F36


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[Any, list[int]]]:
    """A unix server that answers each request with so many bytes of an answer and goes."""
    at = [0]

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer[: at[0]])
        if at[0] % 2:
            await writer.drain()
        writer.close()

    with tempfile.TemporaryDirectory() as folder:
        server = await asyncio.start_unix_server(peer, Path(folder) / "s")
        yield Path(folder) / "s", at
        server.close()
        await server.wait_closed()


class Losses:
    """A receiver that counts losses."""

    def __init__(self) -> None:
        self.lost_by: list[Exception] = []
        self.heard: list[Any] = []
        self.told = asyncio.Event()

    async def message(self, message: Any, related: Any) -> None:
        self.heard.append(message)

    def missed(self) -> None: ...

    def lost(self, error: Exception) -> None:
        self.lost_by.append(error)
        self.told.set()


async def test_f36_answers_over_lines_cut_at_every_byte_are_answers_or_losses() -> None:
    log = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}\n'
    answer = b'{"jsonrpc":"2.0","id":1,"result":{"content":[]}}\n'
    out = Outgoing(call("t", 1), 1, "tools/call", False, "2025-11-25")
    async with answering(log + answer) as (path, at):
        for cut_at in range(len(log + answer) + 1):
            at[0] = cut_at
            transport, losses = UnixTransport(path), Losses()
            await transport.open(losses)
            async with asyncio.timeout(5):
                (outcome,) = await asyncio.gather(transport.request(out), return_exceptions=True)
                await losses.told.wait()
            if cut_at < len(log + answer) - 1:  # the end of the line may be missing, no more
                assert isinstance(outcome, ConnectionLost)
                assert not outcome.retry_safe
            else:
                assert isinstance(outcome, ReceivedResponse)
            assert len(losses.lost_by) == 1
            assert len(losses.heard) == (cut_at >= len(log) - 1)
            await transport.close()


# Servers that die (F38)

SERVER = """
import asyncio, sys
from dovetail import App, Context
app = App("mortal")

@app.tool
async def hold(ctx: Context) -> str:
    await ctx.progress(1)
    sys.stderr.write("holding\\n")
    await asyncio.Event().wait()
    return ""

app.run(*eval(sys.argv[1]), **eval(sys.argv[2]))
"""
#: What a server says when its end cuts calls short, and all that it says.
ENDED = b"ending with calls in progress: tools/call 'hold'\n"


@asynccontextmanager
async def mortal(transport: str, **options: Any) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A server process that is up; gives it and the line that told so."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, repr((transport,)), repr(options), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            line = (await process.stderr.readline()).decode()
        yield process, line.strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def killed(transport: str, revision: str, path: Path, **options: Any) -> list[Any]:
    """What becomes of three calls whose server is killed, after the client has heard of each of them."""
    serving: dict[str, Any] = {"port": 0} if transport == "http" else {"path": str(path)}
    async with mortal(transport, **serving) as (process, line):
        target = line.rpartition(" ")[2] if transport == "http" else f"unix:{path}"
        async with Client(target, revision=revision, **options) as client:
            heard = asyncio.Semaphore(0)

            def progress(*_: object) -> None:
                heard.release()

            calls = [asyncio.create_task(client.call_tool("hold", progress=progress)) for _ in range(3)]
            for _ in range(3):
                await asyncio.wait_for(heard.acquire(), 10)
            process.kill()
            async with asyncio.timeout(5):
                return await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize(
    "transport,revision",
    [
        ("http", FIRST),
        ("http", "2026-07-28"),
        ("unix", FIRST),
        ("unix", "2025-11-25"),
        ("unix", "2026-07-28"),
    ],
)
async def test_f38_a_server_that_is_killed_fails_its_calls_at_once(
    transport: str, revision: str, tmp_path: Path
) -> None:
    """Where nothing can be resumed; the deadline of the calls is a minute."""
    outcomes = await killed(transport, revision, tmp_path / "s")
    assert {type(each) for each in outcomes} == {ConnectionLost}, outcomes
    assert not any(each.retry_safe for each in outcomes)


async def test_f38_calls_that_could_be_resumed_end_by_their_deadline(tmp_path: Path) -> None:
    """With an event id the client comes back for the rest, as the revision has it, and no longer than it may."""
    outcomes = await killed("http", "2025-11-25", tmp_path / "s", timeout=0.5)
    assert {type(each) for each in outcomes} <= {ConnectionLost, RequestTimeout}, outcomes
    assert not any(each.retry_safe for each in outcomes)


@pytest.mark.parametrize("how", ["once", "twice"])
async def test_f67_a_unix_server_ends_at_a_signal_with_calls_open(how: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with mortal("unix", path=str(path), drain=2.0) as (process, _):
        async with Client(f"unix:{path}") as client:
            pending = asyncio.create_task(client.call_tool("hold"))
            assert process.stderr is not None
            await asyncio.wait_for(process.stderr.readline(), 10)
            process.send_signal(signal.SIGTERM)
            if how == "twice":
                process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 10) == 0
            assert await process.stderr.read() == ENDED
            # Who asks twice wants it now; signals may also arrive as one.
            with pytest.raises((InternalError, ConnectionLost) if how == "twice" else InternalError):
                await asyncio.wait_for(pending, 5)
        assert not path.exists()


async def test_f67_a_stdio_server_ends_at_a_signal_with_calls_open() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SERVER,
        "('stdio',)",
        "{'drain': 2.0}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    opening = {"protocolVersion": FIRST, "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    process.stdin.write(request("initialize", 1, opening) + b"\n" + call("hold", 2) + b"\n")
    assert json.loads(await process.stdout.readline())["id"] == 1
    assert b"holding" in await asyncio.wait_for(process.stderr.readline(), 20)
    process.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0, err
    told = json.loads(out)
    assert (told["id"], told["error"]["message"]) == (
        2,
        "the server is shutting down, and cancelled the call",
    )
    assert err == ENDED
