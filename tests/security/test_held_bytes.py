"""What clients make an endpoint hold is bounded in bytes, for all and for each, and let go of when nobody needs it."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from asgi_peer import Exchange, Peer
from soak_talk import KIB, MIB, initialize, message, modern

from dovetail import App, Context
from dovetail.protocol.errors import Unanswered
from dovetail.protocol.listening import MAX_URI, MAX_URIS
from dovetail.runtime import tap
from dovetail.security.authenticator import Credentials
from dovetail.security.principal import ANONYMOUS, Principal
from dovetail.stores import MemorySessions
from dovetail.transports.http_server.asgi import HTTPApp
from dovetail.transports.http_server.head import Head
from dovetail.transports.http_server.holding import SMALL, heaviest

pytestmark = pytest.mark.hostile
HERE, THERE, ELSEWHERE = "127.0.0.1", "203.0.113.7", "198.51.100.7"
LIMIT = MIB
#: The least budget: what holds one message of any size.
LEAST = heaviest(LIMIT)
ECHO = modern("tools/call", {"name": "echo", "arguments": {"text": "x"}})


@pytest.fixture(autouse=True)
def unwatched() -> Iterator[None]:
    """Without the schema oracle, which keeps and decodes what it reads."""
    listening, tap.listeners[:] = tap.listeners[:], []
    yield
    tap.listeners[:] = listening


class Tokens:
    """Callers are who their token says; without one nobody in particular."""

    async def authenticate(self, request: Credentials) -> Principal:
        return (
            Principal("https://issuer.test", request.authorization[0]) if request.authorization else ANONYMOUS
        )


def small_app(**options: Any) -> App:
    app = App("held", **{"max_message": LIMIT, "rate_limit": None, **options})

    @app.tool
    async def echo(text: str) -> str:
        return text

    @app.resource("held://{+path}")
    async def some(path: str) -> str:
        return path

    return app


@asynccontextmanager
async def endpoint(app: App | None = None, **options: Any) -> AsyncIterator[HTTPApp]:
    http = cast("HTTPApp", (app or small_app()).asgi(**options))
    async with http.lifespan():
        yield http


async def until(so: Any) -> None:
    async with asyncio.timeout(10):
        while not so():  # noqa: ASYNC110 - tables tell nobody that they are empty
            await asyncio.sleep(0.002)


async def fill(peer: Peer, size: int = LIMIT - 1, most: int = 100) -> tuple[list[Exchange], Exchange | None]:
    """Begin bodies that never end, until one is refused; gives those that wait, and the refused one."""
    waiting: list[Exchange] = []
    for _ in range(most):
        exchange = peer.begin(ECHO[1])
        exchange.part(b" " * size, more=True)
        done, _ = await asyncio.wait((exchange.task,), timeout=0.01)
        if done:
            return waiting, exchange
        waiting.append(exchange)
    return waiting, None


# Bodies that never end


async def test_bodies_that_never_end_are_bounded_together(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "dovetail.http")
    async with endpoint(max_held=4 * MIB) as http:
        total = http._limits.bytes.total
        assert total == max(4 * MIB, LEAST)
        waiting, refused = await fill(Peer(http, HERE))
        assert refused is not None
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["connection"] == "close"
        assert len(waiting) == total // LIMIT
        assert http._limits.bytes.all <= total
        _, again = await fill(Peer(http, HERE), most=1)
        assert again is not None
        assert len([each for each in caplog.records if "max_held" in each.getMessage()]) == 1
        assert (await Peer(http, HERE).post(*ECHO).over()).status == 200, "small messages pass all the same"
        for each in waiting:
            await each.gone()
        assert http._limits.bytes.all == 0
        large = modern("tools/call", {"name": "echo", "arguments": {"text": "x" * (LIMIT // 2)}})
        assert (await Peer(http, HERE).post(*large).over()).status == 200
        assert http._limits.bytes.all == 0


async def test_what_is_too_much_is_refused_before_it_is_sent() -> None:
    async with endpoint(max_held=1) as http:
        waiting, _ = await fill(Peer(http, HERE))
        held = http._limits.bytes.all
        announced = Peer(http, HERE).begin({**ECHO[1], "content-length": str(LIMIT)})
        assert (await announced.over()).status == 503
        assert http._limits.bytes.all == held
        for each in waiting:
            await each.gone()
        # Who only announces something holds nothing yet.
        silent = [Peer(http, HERE).begin({**ECHO[1], "content-length": str(LIMIT)}) for _ in range(50)]
        await asyncio.sleep(0.01)
        assert not any(each.task.done() for each in silent)
        assert http._limits.bytes.all == 0
        for each in silent:
            await each.gone()


async def test_one_network_never_holds_what_all_may() -> None:
    async with endpoint(max_held=8 * LEAST) as http:
        waiting, refused = await fill(Peer(http, THERE))
        assert refused is not None
        assert refused.status == 503
        assert len(waiting) <= 2 * LEAST // LIMIT
        others, _ = await fill(Peer(http, ELSEWHERE), most=1)
        local, _ = await fill(Peer(http, HERE), most=len(waiting) + 1)
        assert len(others) == 1
        assert len(local) == len(waiting) + 1, "who comes from this machine may be many, behind a proxy"
        for each in (*waiting, *others, *local):
            await each.gone()
        assert len(http._limits.bytes) == 0


async def test_addresses_of_one_ipv6_network_are_one_caller() -> None:
    async with endpoint(max_held=8 * LEAST) as http:
        waiting: list[Exchange] = []
        for number in range(2 * LEAST // LIMIT + 2):
            more, _ = await fill(Peer(http, f"2001:db8::{number:x}"), most=1)
            waiting += more
        assert len(waiting) <= 2 * LEAST // LIMIT
        other, _ = await fill(Peer(http, "2001:db8:0:1::1"), most=1)
        assert len(other) == 1
        for each in (*waiting, *other):
            await each.gone()


async def test_callers_with_names_are_kept_a_part_and_counted_by_name() -> None:
    async with endpoint(max_held=8 * LEAST, authenticate=Tokens()) as http:
        nameless: list[Exchange] = []
        for number in range(16):
            more, _ = await fill(Peer(http, f"198.51.100.{number}"))
            nameless += more
        assert http._limits.bytes.all <= 4 * LEAST
        one, _ = await fill(Peer(http, THERE, "alice"))
        two, _ = await fill(Peer(http, ELSEWHERE, "alice"))
        assert 1 <= len(one) <= 2 * LEAST // LIMIT
        assert not two, "one person, wherever from"
        bob, _ = await fill(Peer(http, THERE, "bob"), most=1)
        assert len(bob) == 1
        for each in (*nameless, *one, *bob):
            await each.gone()
        assert len(http._limits.bytes) == 0


async def test_a_body_in_tiny_parts_is_held_as_one() -> None:
    """A part of a byte would take fifty."""
    async with endpoint() as http:
        exchange = Peer(http, HERE).begin(ECHO[1])
        size = 32 * KIB
        tracemalloc.start()
        try:
            for _ in range(size):
                exchange.part(b" ", more=True)
            await until(lambda: http._limits.bytes.all >= size - 1)
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < 3 * size, held
        await exchange.gone()


async def test_many_small_items_count_as_what_they_become() -> None:
    async with endpoint(max_held=2 * LEAST) as http:
        body, headers = modern("tools/call", {"name": "echo", "arguments": {"text": [0] * 20_000}})
        held: list[int] = []
        hold = http._limits.hold

        def noted(head: Any, size: int) -> None:
            held.append(size)
            hold(head, size)

        http._limits.hold = noted
        await Peer(http, HERE).post(body, headers).over()
        assert held[-1] > len(body) + 20_000 * 64
        assert http._limits.bytes.all == 0


async def test_messages_that_are_not_large_are_looked_at_once_there_is_not_plenty() -> None:
    """Unseen, they would fill what there is long before their bytes do."""
    async with endpoint(max_held=2 * LEAST) as http:
        total = http._limits.bytes.total
        body, _ = modern("tools/call", {"name": "echo", "arguments": {"text": "x" * 20_000}})
        assert total < 100 * heaviest(len(body)), "or the number says nothing"
        held: list[int] = []
        for _ in range(100):
            before = http._limits.bytes.all
            http._limits.hold_message(Head({"type": "http", "method": "POST", "headers": []}), body)
            held.append(http._limits.bytes.all - before)
        assert held[0] == heaviest(len(body))
        assert held[-1] < 2 * len(body)
        assert held.index(held[-1]) == total // 2 // held[0]


# Subscriptions


def uris(count: int, size: int = 80) -> list[str]:
    return [f"held://{number:06d}/".ljust(size, "x") for number in range(count)]


async def test_a_subscription_holds_its_resources_and_not_its_message() -> None:
    named = uris(9_000)
    size = sum(map(len, named))
    async with endpoint() as http:
        tracemalloc.start()
        try:
            streams = [Peer(http, HERE).listen(named) for _ in range(2)]
            for each in streams:
                await each.hears(b"acknowledged")
                each.said.clear()
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            more = [Peer(http, HERE).listen(named) for _ in range(4)]
            for each in more:
                await each.hears(b"acknowledged")
                each.said.clear()
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        each_holds = (after - before) / 4
        assert each_holds < 1.4 * size, each_holds / size
        assert each_holds <= http._limits.bytes.all / 6 <= 2 * size
        await asyncio.sleep(0)
        http.service.hub.publish(_updated(named[4_321]))
        http.service.hub.publish(_updated("held://never"))
        for each in streams:
            await each.hears(named[4_321].encode())
            assert b"never" not in each.said
        for each in (*streams, *more):
            await each.gone()
        assert http._limits.bytes.all == 0
        assert len(http.service.hub) == 0


def _updated(uri: str) -> Any:
    from dovetail.protocol.listening import Change

    return Change("resource", uri)


async def test_subscriptions_are_bounded_in_bytes() -> None:
    named = uris(9_000)
    async with endpoint(max_held=1) as http:
        streams: list[Exchange] = []
        refused = 0
        for _ in range(40):
            exchange = Peer(http, HERE).listen(named)
            streams.append(exchange)
            await until(lambda each=exchange: each.said)
            refused += exchange.status == 503
        assert refused >= 20
        assert http._limits.bytes.all <= LEAST
        for each in streams:
            await each.gone()
        assert http._limits.bytes.all == 0


@pytest.mark.parametrize(
    "named", [["held://" + "x" * MAX_URI], uris(MAX_URIS // 100 + 1, 100)], ids=["long", "many"]
)
async def test_uris_of_a_subscription_have_a_length(named: list[str]) -> None:
    async with endpoint() as http:
        refused = await Peer(http, HERE).listen(named).over()
        assert refused.json["error"]["code"] == -32602
        assert "characters" in refused.json["error"]["message"]
        assert http._limits.bytes.all == 0


async def test_uris_that_a_session_subscribes_to_have_a_length() -> None:
    async with endpoint() as http:
        peer = Peer(http, HERE)
        await peer.open()

        async def subscribe(uri: str) -> Any:
            params = {"uri": uri}
            return (
                await peer.post(message("resources/subscribe", params, id=uri[:20]), peer.session).over()
            ).json

        assert (await subscribe("held://" + "x" * MAX_URI))["error"]["code"] == -32602
        said: Any = {}
        for number in range(MAX_URIS // (8 * KIB) + 1):
            said = await subscribe(f"held://{number:06d}/".ljust(8 * KIB, "x"))
            if "error" in said:
                break
        assert said["error"]["code"] == -32602
        assert "together" in said["error"]["message"]
        (record,) = cast("MemorySessions", http.store.sessions)._records.values()
        assert len(record.data) < MAX_URIS + 64 * KIB
        # What has to be escaped counts as it is kept.
        assert "error" in await subscribe("held://" + "\x01" * 2_000)


# Calls that ask, and whose client is gone


class Asking:
    """An app with a tool that asks."""

    def __init__(self) -> None:
        self.app = small_app()
        self.ended: list[str] = []

        @self.app.tool
        async def ask(ctx: Context, text: str) -> str:
            try:
                answer = await ctx.elicit("well?", bool)
            except BaseException as problem:
                self.ended.append(f"{type(problem).__name__}: {problem}")
                raise
            self.ended.append("answered")
            return f"{answer} {len(text)}"


async def asked(http: HTTPApp, size: int, address: str = HERE) -> tuple[Peer, Exchange]:
    peer = Peer(http, address)
    await peer.open({"elicitation": {}})
    exchange = peer.call("ask", text="x" * size)
    await exchange.hears(b"elicitation/create")
    return peer, exchange


async def test_a_question_ends_when_its_client_does_not_come_back(caplog: pytest.LogCaptureFixture) -> None:
    asking = Asking()
    async with endpoint(asking.app, linger=0.1) as http:
        peer, exchange = await asked(http, LIMIT // 2)
        assert http._limits.bytes.all >= LIMIT // 2
        await exchange.gone()
        assert http._limits.bytes.all >= LIMIT // 2, "it may come back"
        await until(lambda: asking.ended)
        assert asking.ended[0].startswith("Unanswered")
        await until(lambda: not http._stateful._calls._tasks)
        assert http._limits.bytes.all == 0
        assert not http._stateful._sessions._live
        assert await peer.in_use()
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_question_that_is_read_goes_on_and_one_that_was_answered_is_answered() -> None:
    asking = Asking()
    async with endpoint(asking.app, linger=0.05) as http:
        peer, exchange = await asked(http, 100)
        await asyncio.sleep(0.3)  # far beyond what an unread one has
        assert not asking.ended
        question = next(
            json.loads(line[6:]) for line in exchange.said.decode().splitlines() if line.startswith("data: {")
        )
        answer = {
            "jsonrpc": "2.0",
            "id": question["id"],
            "result": {"action": "accept", "content": {"value": True}},
        }
        assert (await peer.post(json.dumps(answer).encode(), peer.session).over()).status == 202
        await exchange.over()
        assert asking.ended == ["answered"]


async def test_a_question_has_a_lifetime_though_it_is_read() -> None:
    asking = Asking()
    async with endpoint(asking.app, answer_timeout=0.1) as http:
        _, exchange = await asked(http, 100)
        await exchange.over()
        assert asking.ended[0].startswith("Unanswered")
        assert b"notifications/cancelled" in exchange.said, "the client need not ask anybody any more"
        assert b"was not answered" in exchange.said


async def test_calls_that_ask_are_bounded_in_bytes() -> None:
    """Those whose clients are gone count as well, as long as they may come back: here until their sessions end."""
    async with endpoint(Asking().app, max_held=1, linger=3600.0) as http:
        statuses: list[int] = []
        peers = [Peer(http, HERE) for _ in range(20)]
        for peer in peers:
            await peer.open({"elicitation": {}})
            exchange = peer.call("ask", text="x" * (LIMIT - 1000))
            await until(lambda each=exchange: each.said)
            statuses.append(exchange.status)
            await exchange.gone()
        assert statuses.count(503) >= 5
        assert http._limits.bytes.all <= LEAST
        for peer in peers:
            await peer.begin(peer.session, method="DELETE").whole(b"")
        await until(lambda: http._limits.bytes.all == 0)
    async with endpoint(Asking().app, max_held=1, linger=1.0) as http:
        _, exchange = await asked(http, LIMIT - 1000)
        await exchange.gone()
        await until(lambda: http._limits.bytes.all == 0)


async def test_a_call_that_asks_holds_its_arguments_once_and_lets_go_of_them_at_once() -> None:
    """The message is let go of once it was read; and no exception keeps the arguments until rubbish is collected."""
    asking = Asking()
    size = LIMIT - 1000
    async with endpoint(asking.app, linger=0.3) as http:
        _, exchange = await asked(http, size)
        await exchange.gone()
        await until(lambda: not http._stateful._calls._tasks)
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            exchanges = await _many_asked(http, size)
            held, _ = tracemalloc.get_traced_memory()
            for exchange in exchanges:
                await exchange.gone()
            await until(lambda: not http._stateful._calls._tasks)
            left, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
        assert (held - before) / 4 < 1.3 * size, (held - before) / 4 / size
        assert left - before < size, (left - before) / size


async def _many_asked(http: HTTPApp, size: int) -> list[Exchange]:
    return [(await asked(http, size))[1] for _ in range(4)]


async def test_the_mark_of_a_request_outlives_its_message() -> None:
    """``_meta`` stays, for whoever looks at it later."""
    seen: list[Any] = []
    app = small_app()

    async def looking(call: Any, channel: Any, handler: Any) -> Any:
        result = await handler(call, channel)
        seen.append((call.meta, bytes(call.raw), call.progress_token))
        return result

    app = App("marked", max_message=LIMIT, middleware=[looking])

    @app.tool
    async def echo(text: str) -> int:
        return len(text)

    async with endpoint(app) as http:
        peer = Peer(http, HERE)
        await peer.open()
        for size, whole in ((10, True), (SMALL, False)):
            arguments = {"text": "x" * size}
            params = {"_meta": {"progressToken": 7, "x/y": [1]}, "name": "echo", "arguments": arguments}
            answer = await peer.post(message("tools/call", params, id=size), peer.session).over()
            assert answer.json["result"]["structuredContent"] == {"result": size}
            meta, raw, token = seen[-1]
            assert (meta, token) == ({"progressToken": 7, "x/y": [1]}, 7)
            assert (b"arguments" in raw) is whole


def test_an_unanswered_question_is_one_that_nobody_answered() -> None:
    from dovetail.protocol.errors import Dismissed

    assert issubclass(Unanswered, Dismissed), "who handles that one handles this one"


# The transport of 2024-11-05


async def connect(http: HTTPApp, address: str) -> tuple[Peer, Exchange, str]:
    """A connection, and where its messages go."""
    peer = Peer(http, address)
    stream = peer.begin({}, method="GET", path="/mcp/sse")
    await stream.hears(b"event: endpoint")
    target = bytes(stream.said).split(b"data: ", 1)[1].split(b"\n", 1)[0].strip().decode()
    await peer.begin({}, path=target).whole(initialize({"elicitation": {}}, "2024-11-05"))
    await stream.hears(b'"id":0')
    return peer, stream, target


async def test_connections_of_the_oldest_transport_are_bounded_in_bytes_together() -> None:
    release = asyncio.Event()
    app = small_app()

    @app.tool
    async def wait(text: str) -> str:
        await release.wait()
        return ""

    async with endpoint(app, http_sse=True, max_held=1) as http:
        params = {"name": "wait", "arguments": {"text": "x" * (LIMIT - 1000)}}
        streams: list[Exchange] = []
        statuses: list[int] = []
        for number in range(20):
            peer, stream, target = await connect(http, HERE)
            streams.append(stream)
            sent = await peer.begin({}, path=target).whole(message("tools/call", params, id=number))
            statuses.append(sent.status)
        assert statuses.count(202) == LEAST // LIMIT
        assert set(statuses) == {202, 503}
        release.set()
        for each in streams:
            await each.gone()
        peer, stream, target = await connect(http, HERE)
        assert (await peer.begin({}, path=target).whole(message("tools/call", params, id=1))).status == 202
        await stream.gone()
        assert http._limits.bytes.all == 0


# Calls that outlive their requests


async def test_calls_whose_clients_have_left_are_bounded_for_one_caller_and_for_all() -> None:
    """A small call holds no bytes that count, and its request is over: nothing else would bound how many go on."""
    asking = Asking()
    async with endpoint(asking.app, max_requests=12, linger=60.0) as http:

        async def leave(count: int, address: str) -> Peer:
            peer = Peer(http, address)
            await peer.open({"elicitation": {}})
            for _ in range(count):
                exchange = peer.call("ask", text="x")
                await exchange.hears(b"elicitation/create")
                await exchange.gone()
            return peer

        one = await leave(8, THERE)
        await until(lambda: len(http._stateful._calls._tasks) == 3)  # a quarter of twelve
        assert http._limits.lingering == 3
        assert len(asking.ended) == 5
        other = await leave(2, ELSEWHERE)
        assert http._limits.lingering == len(http._stateful._calls._tasks) == 5, (
            "which costs nobody else anything"
        )
        here = await leave(20, HERE)
        await until(lambda: len(http._stateful._calls._tasks) == 12)
        assert http._limits.lingering == 12
        assert (await Peer(http, HERE).post(*ECHO).over()).status == 200
        for peer in (one, other, here):
            await peer.begin(peer.session, method="DELETE").over()
        await until(lambda: not http._stateful._calls._tasks)
        assert http._limits.lingering == 0
        assert not http._stateful._sessions._live


async def test_who_comes_back_for_a_call_that_was_cut_short_is_told_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asking = Asking()
    async with endpoint(asking.app, max_requests=4, linger=60.0) as http:
        peer = Peer(http, THERE)
        await peer.open({"elicitation": {}})
        last = b""
        for _ in range(2):
            exchange = peer.call("ask", text="x")
            await exchange.hears(b"elicitation/create")
            await exchange.gone()
            last = next(line for line in bytes(exchange.said).splitlines() if line.startswith(b"id: "))[4:]
        await until(lambda: len(http._stateful._calls._tasks) == 1)
        again = await peer.begin({**peer.session, "last-event-id": last.decode()}, method="GET").over()
        assert b'"id":2' in again.said
        assert b'"error"' in again.said
        await peer.begin(peer.session, method="DELETE").over()
        await until(lambda: not http._stateful._calls._tasks)
    assert "clients have left" in caplog.text
