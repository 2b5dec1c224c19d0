"""Streamable HTTP, the client's side, against servers that never come to an end: nobody else may suffer for it."""

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from scripted import (
    INITIALIZED,
    SESSION,
    TOOL_RESULT,
    Wire,
    answer_to,
    event,
    head,
    initialize,
    log_notice,
    opened,
    ping,
    scripted,
    stateful,
    tool_call,
)

from dovetail.client import Client
from dovetail.protocol.errors import ConnectionLost, DovetailError, MessageTooLarge, RequestTimeout
from dovetail.transports.http_client import resumption
from dovetail.transports.http_client.answers import EndpointResponse

pytestmark = pytest.mark.hostile

JSON = {"Content-Type": "application/json"}
STREAM = {"Content-Type": "text/event-stream"}
CHUNKED = {"Transfer-Encoding": "chunked"}
NOTICE = event(log_notice("again"))


def swollen(data: bytes, times: int) -> bytes:
    """A gzip body that becomes ``times`` times ``data``."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(data) for _ in range(times)) + packer.flush()


def endless(first: bytes, piece: bytes, pause: float = 0) -> Callable[[Wire], Any]:
    """A server that goes on until its client has gone."""

    async def script(wire: Wire) -> None:
        await wire.raw(first)
        with suppress(ConnectionError):
            while not wire.gone.is_set():
                await wire.raw(piece)
                await asyncio.sleep(pause)
        wire.cut()

    return script


ENDLESS: dict[str, tuple[bytes, bytes, float, type[Exception]]] = {
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 0, ConnectionLost),
    "early hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 100, 0, ConnectionLost),
    "slow headers": (b"HTTP/1.1 200 OK\r\n", b"X", 0.01, TimeoutError),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 100, 0, ConnectionLost),
    "a header": (b"HTTP/1.1 200 OK\r\nX-A: ", b"b" * 1000, 0, ConnectionLost),
    "a reason": (b"HTTP/1.1 200 ", b"x" * 1000, 0, ConnectionLost),
    "a folded header": (b"HTTP/1.1 200 OK\r\nX: a\r\n", b" b" * 1000 + b"\r\n", 0, ConnectionLost),
    "trailers": (head(200, JSON | CHUNKED) + b"0\r\n", b"X-A: b\r\n" * 1000, 0, ConnectionLost),
    "a chunk extension": (head(200, JSON | CHUNKED) + b"5;", b"a=b;" * 1000, 0, ConnectionLost),
    "chunk digits": (head(200, JSON | CHUNKED), b"0" * 1000, 0, ConnectionLost),
    "a short body": (head(200, JSON | {"Content-Length": "100000"}), b" ", 0.01, TimeoutError),
    "a huge chunk": (head(200, JSON | CHUNKED) + b"fffffffffffffff\r\n", b" " * 10_000, 0, MessageTooLarge),
    "a line": (head(200, STREAM), b"x" * 10_000, 0, MessageTooLarge),
    "events": (head(200, STREAM), NOTICE * 10, 0, TimeoutError),
    "a slow refusal": (head(500, {}), b"x", 0.01, TimeoutError),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_what_has_no_end_is_bounded_or_stopped_from_outside(what: str) -> None:
    first, piece, pause, kind = ENDLESS[what]
    async with scripted(endless(first, piece, pause)) as server:
        transport, receiver = await opened(server.url, max_message=200_000)
        receiver.message = ignore
        async with asyncio.timeout(20):
            with pytest.raises(kind):
                async with asyncio.timeout(0.3 if kind is TimeoutError else None):
                    await transport.request(tool_call(1))
        await transport.close()


async def ignore(message: Any, related: Any) -> None:
    pass


BODIES: dict[str, tuple[dict[str, str], bytes, int]] = {
    "json": (JSON, b"0" * 1_000_000, 400),
    "html": ({"Content-Type": "text/html"}, b"0" * 1_000_000, 400),
    "a comment": (STREAM, b": " + b"c" * 999_997 + b"\n", 400),
    "events": (STREAM, NOTICE * 1000, 1000),
}


@pytest.mark.parametrize("what", BODIES)
async def test_f9_a_small_body_that_swells_takes_neither_memory_nor_the_loop(what: str) -> None:
    """F9, V29: 100 MB and more out of a few kilobytes. Others run meanwhile, and deadlines hold."""
    headers, data, times = BODIES[what]
    bomb = swollen(data, times)
    assert len(bomb) < 1_000_000

    async def script(wire: Wire) -> None:
        announced = {"Content-Encoding": "gzip", "Content-Length": str(len(bomb) + 1)}
        with suppress(ConnectionError):
            await wire.raw(head(200, headers | announced) + bomb)
        await wire.gone.wait()
        wire.cut()

    turns = 0
    taken: list[int] = []  # for each message, in which turn of the others it was handed over

    async def take(message: Any, related: Any) -> None:
        taken.append(turns)

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with scripted(script) as server:
        transport, receiver = await opened(server.url, max_message=1_000_000)
        receiver.message = take
        other = asyncio.create_task(others())
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            async with asyncio.timeout(30):
                with pytest.raises((DovetailError, TimeoutError)):
                    async with asyncio.timeout(1):
                        await transport.request(ping(1))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        other.cancel()
        await transport.close()
    assert peak - before < 30_000_000
    assert turns > 5
    assert max(Counter(taken).values(), default=0) <= 512


async def test_reading_what_is_there_already_lets_others_run() -> None:
    class Full:
        """A response whose body never makes anybody wait."""

        status, headers, ended = 200, {}, False

        async def read(self) -> bytes:
            return b"x" * 65_536

        def close(self) -> None:
            pass

    answer, before = EndpointResponse(Full(), {}), 0
    for _ in range(5):
        ran: list[bool] = []
        asyncio.get_running_loop().call_soon(ran.append, True)
        for _ in range(8):  # half a mebibyte
            await answer.read()
        before += len(ran)
    assert before == 5


async def test_f25_messages_without_an_answer_do_not_move_the_deadline() -> None:
    """F25: hundreds of events a second forever, none of them progress of this call."""

    async def script(wire: Wire) -> None:
        if wire.request.method == "POST" and wire.request.json["method"] == "tools/call":
            await endless(head(200, STREAM), NOTICE, 0.005)(wire)
        else:
            await stateful(wire)

    async with (
        scripted(script) as server,
        Client(server.url, revision="2025-11-25", timeout=0.3, max_timeout=30) as client,
    ):
        async with asyncio.timeout(20):
            with pytest.raises(RequestTimeout):
                await client.call_tool("x")


@pytest.mark.parametrize(
    "body",
    [swollen(b"0" * 100_000, 3)[:200], b"nonsense" * 10, gzip.compress(b"{}") + b"tail", b"\x00\x01" * 50],
    ids=["cut", "garbage", "tail", "raw"],
)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "unheard-of"])
async def test_a_broken_encoding_is_a_typed_error(encoding: str, body: bytes) -> None:
    async def script(wire: Wire) -> None:
        if wire.request.id == 1:
            await wire.raw(head(200, JSON | {"Content-Encoding": encoding, "Connection": "close"}) + body)
            wire.cut()
        else:
            await stateful(wire)

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        async with asyncio.timeout(10):
            with pytest.raises(DovetailError) as caught:
                await transport.request(tool_call(1))
            assert len(str(caught.value)) < 700
            await transport.request(ping(2))
        await transport.close()


async def test_bytes_beyond_the_announced_length_answer_nothing() -> None:
    """A second answer hidden behind the first must not be taken for that of the next request."""
    forged = json.dumps(answer_to(2, {"forged": True})).encode()
    hidden = head(200, JSON | {"Content-Length": str(len(forged))}) + forged

    async def script(wire: Wire) -> None:
        if wire.request.id == 1:
            good = json.dumps(answer_to(1)).encode()
            await wire.raw(head(200, JSON | {"Content-Length": str(len(good))}) + good + hidden)
        else:
            await wire.result()

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        await transport.request(ping(1))
        reply = await transport.request(ping(2))
        assert b"forged" not in bytes(reply.message.body)
        await transport.close()


async def test_only_the_answer_to_initialize_names_a_session() -> None:
    async def script(wire: Wire) -> None:
        if wire.request.method == "DELETE":
            await wire.answer(200, headers={"Mcp-Session-Id": "stolen"})
        elif wire.request.json["method"] == "initialize":
            await wire.result(INITIALIZED, headers={"Mcp-Session-Id": SESSION})
        elif wire.request.id == 3:
            await wire.stream(**{"Mcp-Session-Id": "stolen"})
            await wire.event(answer_to(3, TOOL_RESULT))
            await wire.end()
        else:
            await wire.result(headers={"Mcp-Session-Id": "stolen"})

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        await transport.request(initialize(1))
        await transport.request(ping(2))
        await transport.request(tool_call(3))
        await transport.request(ping(4))
        await transport.end_session()
        await transport.close()
    assert {r.headers["mcp-session-id"] for r in server.requests[1:]} == {SESSION}


@pytest.mark.parametrize("id", ["x" * 100_000, "a\x01b", "\x1b[31m"])
async def test_an_event_id_that_no_header_carries_cannot_be_resumed_from(
    id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumption, "pause", asyncio.sleep)

    async def script(wire: Wire) -> None:
        await wire.stream()
        await wire.event(id="fine", retry=0)
        await wire.event(log_notice(), id=id, retry=0)
        await wire.end()

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        with pytest.raises(ConnectionLost, match="event id") as caught:
            await transport.request(tool_call(1))
        assert not caught.value.retry_safe
        await transport.close()
    assert len(server.requests) == 1
