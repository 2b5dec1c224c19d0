"""F27 to F30: many calls at once, readers that are slow or never come, clients that drip."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from fault_wires import HTTPTalk, OldTalk, call, ended, request, serve, serving_kit
from leak_oracle import traced

from dovetail import App, Client, Context
from dovetail.transports.http_server.asgi import HTTPApp
from dovetail.transports.unix import server as unix

CALLS = 1000
MIB = 1024 * 1024


def busy() -> App:
    app = App("busy", rate_limit=None)

    @app.tool
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    @app.tool
    def add_in_thread(a: int, b: int) -> int:
        return a + b

    return app


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
@pytest.mark.parametrize("kind", ["memory", "unix", "http"])
async def test_f27_a_thousand_calls_at_once_are_each_answered_once(
    kind: str, revision: str, tmp_path: Path
) -> None:
    app = busy()
    async with (
        serving(app, kind, tmp_path) as target,
        Client(target, revision=revision, timeout=60) as client,
    ):
        calls = [
            client.call_tool("add" if number % 4 else "add_in_thread", {"a": number, "b": 1})
            for number in range(CALLS)
        ]
        results = await asyncio.gather(*calls)
        assert [result.value for result in results] == list(range(1, CALLS + 1))


@asynccontextmanager
async def serving(app: App, kind: str, folder: Path) -> AsyncIterator[Any]:
    if kind == "memory":
        yield app
    elif kind == "http":
        async with serving_kit.serving(app.asgi()) as port:
            yield f"http://127.0.0.1:{port}/mcp"
    else:
        ready = asyncio.Event()
        server = asyncio.create_task(unix.serve_unix(app.service, path=folder / "s", ready=ready))
        await asyncio.wait_for(ready.wait(), 5)
        yield f"unix:{folder / 's'}"
        await ended(server)


@pytest.mark.parametrize("cell", ["memory", "unix", "stdio"])
async def test_f27_calls_beyond_the_bound_are_refused_and_the_others_answered(cell: str) -> None:
    app = App("bounded")
    release = asyncio.Event()

    @app.tool
    async def hold() -> str:
        await release.wait()
        return "held"

    app.service.max_running = 50
    async with serve(app, cell) as connect:
        talk = await (await connect()).open()
        for id in range(1, 101):
            await talk.post(call("hold", id))
        answers: dict[int, Any] = {}
        while len(answers) < 50:
            message = await asyncio.wait_for(talk.inbox.get(), 10)
            answers[message["id"]] = message
        assert {message["error"]["code"] for message in answers.values()} == {-32600}
        assert sorted(answers) == list(range(51, 101))
        release.set()
        while len(answers) < 100:
            message = await asyncio.wait_for(talk.inbox.get(), 10)
            assert message["id"] not in answers
            answers[message["id"]] = message
        assert (await talk.answer(call("hold", 1)))["result"]["content"][0]["text"] == "held"


async def test_f27_a_burst_of_clients_is_let_in(tmp_path: Path) -> None:
    """Three hundred at once: more than the usual backlog of a listening socket."""
    async with serving(busy(), "unix", tmp_path) as target:
        clients = [Client(target, revision="2025-11-25") for _ in range(300)]
        await asyncio.gather(*(client.open() for client in clients))
        results = await asyncio.gather(*(client.call_tool("add", {"a": 1, "b": 1}) for client in clients))
        assert {result.value for result in results} == {2}
        await asyncio.gather(*(client.close() for client in clients))


# F28, F29


class Talkative:
    """An app that says more than anybody can keep, and a note of when it stopped."""

    def __init__(self) -> None:
        self.app = App("talkative", rate_limit=None)
        self.said = 0
        self.stopped = asyncio.Event()

        @self.app.tool
        async def talk(ctx: Context) -> str:
            try:
                for step in range(100_000):
                    await ctx.progress(step, message="x" * 10_000)
                    self.said = step
            finally:
                self.stopped.set()
            return "all"

        @self.app.tool
        async def large() -> str:
            return "y" * 100_000


def talk_line(id: int) -> bytes:
    return call("talk", id, token="t") + b"\n"


OPENING = (
    request(
        "initialize",
        0,
        {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}},
    )
    + b"\n"
)


@pytest.mark.usefixtures("unwatched")
async def test_f29_a_unix_client_that_never_reads_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix, "_SEND_TIMEOUT", 0.3)
    talkative = Talkative()
    async with serving(talkative.app, "unix", tmp_path) as target:
        with traced() as peak:
            deaf = socket.socket(socket.AF_UNIX)
            deaf.connect(str(tmp_path / "s"))
            deaf.sendall(OPENING + talk_line(1))
            async with Client(target) as client:
                assert (await client.call_tool("large")).text == "y" * 100_000
                await asyncio.wait_for(talkative.stopped.wait(), 10)
                await client.ping()
        assert peak.bytes < 16 * MIB
        assert talkative.said < 90_000
        deaf.close()


async def ask_on(writer: asyncio.StreamWriter) -> None:
    for id in range(1, 100_000):
        writer.write(call("large", id) + b"\n")
        await writer.drain()
        if id % 20 == 0:
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("unwatched")
async def test_f29_answers_do_not_pile_up_for_a_client_that_only_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on asking while it never reads: after the time limit it is cut off, so what it gets is bounded."""
    monkeypatch.setattr(unix, "_SEND_TIMEOUT", 0.2)
    app = Talkative().app
    async with serving(app, "unix", tmp_path) as target:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        reader._transport.pause_reading()  # pyright: ignore[reportAttributeAccessIssue] - a client that never reads
        writer.write(OPENING)
        async with asyncio.timeout(20):
            with pytest.raises(ConnectionError):
                await ask_on(writer)
        writer.transport.abort()
        async with Client(target) as client:
            await client.ping()


@pytest.mark.usefixtures("unwatched")
async def test_f28_f29_a_stdio_client_that_stops_reading_stops_the_talker_not_the_server() -> None:
    talkative = Talkative()
    async with serve(talkative.app, "stdio") as connect:
        talk = await (await connect()).open()
        with traced() as peak:
            stream = talk.exchange(call("talk", 1, token="t"))
            await anext(stream)
            await talk.post(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}')
            await asyncio.wait_for(talkative.stopped.wait(), 20)
        assert talkative.said < 90_000
        assert peak.bytes < 64 * MIB
        assert "result" in await talk.answer(request("ping", "after"))


@pytest.mark.usefixtures("unwatched")
async def test_f29_a_client_of_2024_that_never_reads_loses_its_stream_and_nobody_elses() -> None:
    talkative = Talkative()
    http = cast("HTTPApp", talkative.app.asgi(http_sse=True, send_timeout=0.3))
    async with serving_kit.serving(http) as port:
        deaf = OldTalk(port)
        await (await deaf.connect()).open()
        await ended(deaf._reading)  # pyright: ignore[reportArgumentType] - it is there once connected
        deaf.stream.connection.writer.transport.pause_reading()
        with traced() as peak:
            await deaf.post(call("talk", 1, token="t"))
            await asyncio.wait_for(talkative.stopped.wait(), 20)
        assert peak.bytes < 24 * MIB
        assert talkative.said < 90_000
        await serving_kit.until(lambda: not http._limits.streams)
        other = HTTPTalk(port)
        await other.open()
        assert "result" in await other.answer(request("ping", 1))
        deaf.stream.connection.abort()
        await deaf.close()
        await other.close()


@pytest.mark.usefixtures("unwatched")
async def test_f28_a_slow_reader_of_a_stateful_stream_costs_bounded_memory() -> None:
    talkative = Talkative()
    async with serving_kit.serving(talkative.app.asgi(send_timeout=30.0)) as port:
        talk = HTTPTalk(port)
        await talk.open()
        with traced() as peak:
            stream = await talk.prober.stream("POST", call("talk", 1, token="t"))
            for _ in range(20):
                await stream.next()
                await asyncio.sleep(0.01)
        assert peak.bytes < 24 * MIB
        assert talkative.said < 5000
        await talk.prober.send("DELETE")
        await asyncio.wait_for(talkative.stopped.wait(), 10)
        await talk.close()


# F30


@pytest.mark.parametrize("path", ["/mcp", "/mcp/messages?session=x"])
async def test_f30_hundreds_of_dripping_bodies_are_given_up_while_others_are_served(path: str) -> None:
    http = cast("HTTPApp", App("slow").asgi(http_sse=True, body_timeout=0.3))
    async with serving_kit.serving(http) as port:
        fields = {"host": "localhost", "content-type": "application/json", "content-length": "100"}
        head = serving_kit.head_bytes("POST", path, fields)
        drips = [await serving_kit.Connection.open(port) for _ in range(200)]
        for drip in drips:
            await drip.send(head + b"{")
        talk = HTTPTalk(port)
        await talk.open()
        assert "result" in await talk.answer(request("ping", 1))
        answers = await asyncio.wait_for(asyncio.gather(*(drip.answer() for drip in drips)), 10)
        assert {answer.status for answer in answers} == {408}
        assert not http._limits.requests
        for drip in drips:
            await drip.close()
        await talk.close()


async def test_f30_idle_connections_cost_no_place() -> None:
    http = cast("HTTPApp", App("idle").asgi(max_requests=10))
    async with serving_kit.serving(http) as port:
        idle = [await serving_kit.Connection.open(port) for _ in range(300)]
        talk = HTTPTalk(port)
        await talk.open()
        assert http._limits.requests == 0
        assert (await talk.answer(request("ping", 1)))["result"] == {}
        for each in idle:
            await each.close()
        await talk.close()
