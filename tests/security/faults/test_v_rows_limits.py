"""What a peer can make us hold or do is bounded: V28, V30, V31, V33, F11, F78."""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from fault_wires import CLIENT, EVERYTHING, HTTPTalk, Talk, call, ended, request, serve, serving_kit
from leak_oracle import traced

from dovetail import App, Context
from dovetail.protocol import envelope
from dovetail.protocol.errors import MessageTooLarge
from dovetail.stores import MemoryStore
from dovetail.stores.bounds import SessionBounds, StoreBounds
from dovetail.transports.client_transport import Outgoing
from dovetail.transports.http_server.asgi import HTTPApp
from dovetail.transports.stdio.client import StdioTransport
from dovetail.transports.unix.client import UnixTransport

pytestmark = pytest.mark.hostile
MIB = 1024 * 1024
FLOOD = 64


async def pong(talk: Talk) -> None:
    assert (await talk.answer(request("ping", "p")))["result"] == {}


# Lines without an end (V33)


@pytest.mark.parametrize("cell", ["stdio", "unix"])
async def test_v33_f11_a_server_drops_a_line_without_end(cell: str) -> None:
    async with serve(App("lines", max_message=MIB), cell) as connect:
        talk = await (await connect()).open()
        piece = b"x" * (256 * 1024)
        with traced() as peak:
            for _ in range(FLOOD * 4):
                await talk.write(piece)
            refused = await asyncio.wait_for(talk.inbox.get(), 10)  # at the bound, not at the end of the line
            await talk.write(b"\n")
            await pong(talk)
        assert (refused["error"]["code"], refused.get("id")) == (-32600, None)
        assert peak.bytes < 8 * MIB
        assert talk.inbox.empty()


FLOODING = f"""
import sys
for line in sys.stdin:
    if '"tools/list"' in line:
        for _ in range({FLOOD}):
            sys.stdout.write("x" * {MIB})
        sys.stdout.write("\\n")
    else:
        sys.stdout.write('{{"jsonrpc":"2.0","id":2,"result":{{}}}}\\n')
    sys.stdout.flush()
"""


class Deaf:
    """A receiver that hears nothing."""

    async def message(self, message: Any, related: Any) -> None:
        raise AssertionError(message)

    def missed(self) -> None: ...

    def lost(self, error: Any) -> None:
        raise AssertionError(error)


@asynccontextmanager
async def flooding(kind: str) -> AsyncIterator[Any]:
    """A client's transport to a server that answers the first request with a line that does not end."""
    if kind == "stdio":
        transport: Any = StdioTransport([sys.executable, "-c", FLOODING], max_message=MIB)
        await transport.open(Deaf())
        yield transport
        await transport.close()
        return

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if b'"tools/list"' in line:
                for _ in range(FLOOD):
                    writer.write(b"x" * MIB)
                    await writer.drain()
                writer.write(b"\n")
            else:
                writer.write(b'{"jsonrpc":"2.0","id":2,"result":{}}\n')
        writer.close()

    with tempfile.TemporaryDirectory() as folder:
        server = await asyncio.start_unix_server(peer, Path(folder) / "s")
        transport = UnixTransport(Path(folder) / "s", max_message=MIB)
        await transport.open(Deaf())
        yield transport
        await transport.close()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("kind", ["stdio", "unix"])
async def test_v33_f11_a_client_drops_a_line_without_end(kind: str) -> None:
    async with flooding(kind) as transport:
        with traced() as peak:
            out = Outgoing(request("tools/list", 1), 1, "tools/list", False, "2025-11-25")
            with pytest.raises(MessageTooLarge):
                await asyncio.wait_for(transport.request(out), 20)
            again = Outgoing(request("ping", 2), 2, "ping", False, "2025-11-25")
            assert (await asyncio.wait_for(transport.request(again), 20)).message.id == 2
        assert peak.bytes < 12 * MIB


def test_v33_the_work_on_a_long_line_grows_with_its_length() -> None:
    """Many small pieces of one line: twice the bytes, about twice the time."""
    from dovetail.protocol.bindings.lines import LineSplitter

    def spent(pieces: int) -> float:
        splitter, began = LineSplitter(256 * MIB), time.process_time()
        for _ in range(pieces):
            splitter.feed(b"x" * 512)
        return time.process_time() - began

    spent(20_000)
    small, large = min(spent(20_000) for _ in range(3)), min(spent(80_000) for _ in range(3))
    assert large < 12 * small + 0.05


# Long batches: V28


@pytest.mark.usefixtures("unwatched")
async def test_v28_long_batches_hold_nobody_else_up() -> None:
    """10^5 pings in one body, from eight clients at once: refused, while another client is served."""
    app = App("batches")
    body = b"[" + b",".join([request("ping", 1)] * 40_000) + b"]"
    async with serving_kit.serving(app.asgi()) as port:
        bystander = HTTPTalk(port)
        await bystander.open()
        villains = [HTTPTalk(port) for _ in range(8)]
        for talk in villains:
            talk.revision = "2025-03-26"
            await talk.open()
        flood = [asyncio.create_task(talk.prober.send("POST", body)) for talk in villains]
        served = 0
        while not all(task.done() for task in flood):
            await pong(bystander)
            served += 1
        assert {task.result().status for task in flood} == {400}
        assert served
        for talk in (bystander, *villains):
            await talk.close()


@pytest.mark.usefixtures("unwatched")
async def test_v28_a_batch_that_is_allowed_lets_others_in_between() -> None:
    """By the order of events: others are answered after its first piece has ended and before its last one has."""
    app = App("fair")
    order: list[str] = []
    answered = asyncio.Event()

    @app.tool
    async def piece(number: int) -> str:
        if number == 99:
            await answered.wait()  # it does not end before somebody else has been served
        order.append("piece")
        return "done"

    async with serving_kit.serving(app.asgi()) as port:
        bystander, villain = HTTPTalk(port), HTTPTalk(port)
        villain.revision = "2025-03-26"
        for talk in (bystander, villain):
            await talk.open()
        body = b"[" + b",".join(call("piece", id, number=id) for id in range(100)) + b"]"
        heavy = asyncio.create_task(villain.prober.send("POST", body))
        await serving_kit.until(lambda: "piece" in order)
        async with asyncio.timeout(10):
            await pong(bystander)
        order.append("pong")
        answered.set()
        assert (await heavy).status == 200
        assert (order[0], order[-1], order.count("piece")) == ("piece", "piece", 100)
        assert order.index("pong") < len(order) - 1
        for talk in (bystander, villain):
            await talk.close()


def test_v28_refusing_a_batch_costs_the_same_whatever_its_length() -> None:
    """In counts of work: no message of it is looked at; its bytes are, in large pieces."""

    def steps(length: int) -> int:
        body = b"[" + b",".join([request("ping", 1)] * length) + b"]"
        counted = 0

        def count(*_: Any) -> None:
            nonlocal counted
            counted += 1

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            envelope.split_batch(body)
        except envelope.Malformed:
            return counted
        finally:
            sys.setprofile(before)
        raise AssertionError("the batch was taken")

    assert steps(20_000) <= steps(2000) + 20_000 // 50


# Progress tokens: each notice repeats the token


@pytest.mark.parametrize("token", ["t" * 1025, 10**400, 2**63], ids=["text", "digits", "beyond 64 bits"])
@pytest.mark.parametrize("cell", ["stdio", "unix", "http"])
async def test_a_progress_token_is_bounded(cell: str, token: Any) -> None:
    app = App("tokens")
    ran: list[float] = []

    @app.tool
    async def work(ctx: Context) -> str:
        ran.append(1)
        await ctx.progress(1)
        return "done"

    async with serve(app, cell) as connect:
        talk = await (await connect()).open()
        for modern in (False, True):
            refused = await talk.answer(call("work", f"r{modern}", token=token, modern=modern))
            assert refused["error"]["code"] == -32602
            assert len(json.dumps(refused)) < 800
        assert not ran
        kept = [message async for message in talk.exchange(call("work", "kept", token="t" * 1024))]
        assert ran
        assert kept[0]["params"]["progressToken"] == "t" * 1024


# Sessions and what hangs on them (V30, V31, F78)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


OPENING = {"protocolVersion": "2025-11-25", "capabilities": EVERYTHING, "clientInfo": CLIENT}


async def test_v30_openings_that_fail_leave_nothing() -> None:
    store = MemoryStore()
    app = App("openings")
    http = cast("HTTPApp", app.asgi(store=store))
    async with serving_kit.serving(http) as port:
        talk = HTTPTalk(port)
        for headers in (
            {},
            {"MCP-Protocol-Version": "1999-01-01"},
            {"Mcp-Session-Id": "made-up"},
            {"host": "evil"},
        ):
            for params in (
                {},
                {"protocolVersion": 5},
                {**OPENING, "clientInfo": 5},
                {**OPENING, "x": "y" * 100_000},
            ):
                for _ in range(10):
                    answer = await talk.prober.send("POST", request("initialize", 1, params), headers)
                    assert answer.status >= 400 or "error" in answer.json
                    assert "mcp-session-id" not in answer.headers
        assert await store.sessions.count() == 0
        assert not http._stateful._sessions._live
        await talk.close()


async def test_v31_f78_a_flood_of_openings_is_bounded_and_passes() -> None:
    clock = Clock()
    bounds = SessionBounds(max_sessions=60, max_per_principal=40, idle_ttl=100.0)
    store = MemoryStore(bounds=StoreBounds(sessions=bounds), clock=clock)
    http = cast("HTTPApp", App("flood").asgi(store=store))
    async with serving_kit.serving(http) as port:
        early = HTTPTalk(port)
        await early.open()
        talk = HTTPTalk(port)
        statuses: list[int] = []
        for _ in range(300):
            answer = await talk.prober.send("POST", request("initialize", 1, OPENING))
            statuses.append(answer.status)
        assert set(statuses) == {200}  # nobody behind this address is kept out
        assert await store.sessions.count() == 40  # the bound of one network, before that of all
        assert len(http._stateful._sessions._live) <= 1
        await pong(early)  # it is in use: others went before it
        clock.now += 101
        assert (await talk.prober.send("POST", request("initialize", 1, OPENING))).status == 200
        assert await store.sessions.count() == 1
        for each in (early, talk):
            await each.close()


async def test_f78_calls_of_sessions_that_expired_are_ended() -> None:
    """A client that opens a session, is asked something and never comes back holds nothing for ever."""
    clock = Clock()
    store = MemoryStore(bounds=StoreBounds(sessions=SessionBounds(idle_ttl=100.0)), clock=clock)
    app = App("abandoned")
    asked, ended = asyncio.Semaphore(0), asyncio.Semaphore(0)

    @app.tool
    async def ask(ctx: Context) -> str:
        asked.release()
        try:
            return str(await ctx.sample("well?", max_tokens=1))
        finally:
            ended.release()

    http = cast("HTTPApp", app.asgi(store=store))
    async with serving_kit.serving(http) as port:
        for _ in range(5):
            talk = HTTPTalk(port)
            await talk.open()
            stream = await talk.prober.stream("POST", call("ask", 1))
            await asyncio.wait_for(asked.acquire(), 5)
            await stream.next()
            await talk.close()
        assert len(http._stateful._calls._tasks) == 5
        clock.now += 101
        for _ in range(5):
            talk = HTTPTalk(port)
            await talk.open()
            await talk.close()
        async with asyncio.timeout(5):
            for _ in range(5):
                await ended.acquire()
        await serving_kit.until(lambda: not http._stateful._sessions._live)


async def test_f78_refused_requests_leave_nothing_of_their_sessions() -> None:
    http = cast("HTTPApp", App("refused").asgi(max_streams=1))
    async with serving_kit.serving(http) as port:
        first = HTTPTalk(port)
        await first.open()
        stream = await first.prober.stream("GET")
        await stream.next()
        live = http._stateful._sessions._live
        for _ in range(5):
            talk = HTTPTalk(port)
            await talk.open()
            batch = b"[" + request("ping", 1) + b"]"
            for method, body, status in (("GET", None, 503), ("POST", batch, 400), ("POST", b"{}", 400)):
                assert (await talk.prober.send(method, body)).status == status
                assert list(live) == [first.prober.session]
            await talk.close()
        await first.close()


async def test_f78_a_batch_beyond_the_bound_is_answered_item_by_item() -> None:
    app = App("many")
    release = asyncio.Event()

    @app.tool
    async def hold() -> str:
        await release.wait()
        return "held"

    app.service.max_running = 3
    http = cast("HTTPApp", app.asgi())
    async with serving_kit.serving(http) as port:
        talk = HTTPTalk(port)
        talk.revision = "2025-03-26"
        await talk.open()
        body = b"[" + b",".join(call("hold", id) for id in range(1, 6)) + b"]"
        stream = await talk.prober.stream("POST", body)
        release.set()
        answers = [json.loads(event.data) for event in await stream.rest() if event.data]
        assert {each["id"]: "result" in each for each in answers} == {
            1: True,
            2: True,
            3: True,
            4: False,
            5: False,
        }
        await serving_kit.until(lambda: not http._stateful._sessions._live)
        await talk.close()


async def test_f78_ending_a_session_does_not_wait_for_a_handler_that_will_not_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from dovetail.transports.http_server import session_calls, sessions

    monkeypatch.setattr(sessions, "STUBBORN", 0.1)
    monkeypatch.setattr(session_calls, "STUBBORN", 0.1)
    app = App("stubborn")
    begun, release = asyncio.Event(), asyncio.Event()

    @app.tool
    async def stubborn() -> str:
        begun.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "at last"

    http = cast("HTTPApp", app.asgi(drain=0.1))
    async with serving_kit.serving(http) as port:
        talk = HTTPTalk(port)
        await talk.open()
        waiting = asyncio.create_task(talk.prober.send("POST", call("stubborn", 1)))
        await asyncio.wait_for(begun.wait(), 5)
        assert (await asyncio.wait_for(talk.prober.send("DELETE"), 5)).status == 204
        async with asyncio.timeout(5):
            await http.drain()
        release.set()
        await ended(waiting)
        await talk.close()


@pytest.mark.parametrize("pad,times", [(100, 1000), (200_000, 120), (3_000_000, 4)])
@pytest.mark.parametrize("revision", ["2025-03-26", "2025-11-25"])
async def test_f41_a_talkative_call_never_loses_its_answer(pad: int, times: int, revision: str) -> None:
    """The event log keeps 8 MiB of a stream: what its reader has not read yet must not be trimmed."""
    app = App("talkative")

    @app.tool
    async def talk(ctx: Context) -> str:
        for step in range(times):
            await ctx.progress(step, message="x" * pad)
        return "y" * pad

    async with serving_kit.serving(app.asgi()) as port:
        client = HTTPTalk(port)
        client.revision = revision
        await client.open()
        heard = [message async for message in client.exchange(call("talk", 1, token="t"))]
        assert [message["params"]["progress"] for message in heard[:-1]] == list(range(times))
        assert heard[-1]["result"]["content"][0]["text"] == "y" * pad
        await client.close()


async def test_f41_a_batch_of_large_answers_is_told_whole() -> None:
    """They are there before anybody reads the stream that they make."""
    app = App("large")
    release = asyncio.Event()

    @app.tool
    async def large() -> str:
        return "y" * 2_000_000

    @app.tool
    async def hold() -> str:
        await release.wait()
        return "held"

    async with serving_kit.serving(app.asgi()) as port:
        talk = HTTPTalk(port)
        talk.revision = "2025-03-26"
        await talk.open()
        body = b"[" + b",".join([call("large", 1), call("large", 2), call("hold", 3)]) + b"]"
        stream = await talk.prober.stream("POST", body)
        async with asyncio.timeout(10):
            early = {json.loads((await stream.next()).data)["id"] for _ in range(2)}
            release.set()
            rest = {json.loads(event.data)["id"] for event in await stream.rest()}
        assert (early, rest) == ({1, 2}, {3})
        await talk.close()


async def test_f27_a_call_that_has_run_is_not_answered_with_an_invitation_to_retry() -> None:
    """No stream is free when it begins to talk: 503 says that the same request may be sent again."""
    app = App("crowded")
    ran: list[str] = []

    @app.tool
    async def talk(ctx: Context) -> str:
        await ctx.progress(1)
        ran.append("once")
        await asyncio.sleep(0.05)
        return "done"

    async with serving_kit.serving(app.asgi(max_streams=1)) as port:
        client = HTTPTalk(port)
        await client.open()
        await (await client.prober.stream("GET")).next()
        answer = await client.prober.send("POST", call("talk", 1, token="t"))
        assert ran == ["once"]
        assert answer.status == 500
        await client.close()
