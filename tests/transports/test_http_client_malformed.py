"""What the HTTP client makes of answers that are none, or too many: one outcome, and never another's answer.

A connection about which anything is in doubt is not used again. Where our reading differs from that of aiohttp, which
read these answers before, ours is the stricter; the places are listed here.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from http1_talking import until
from scripted import Wire, scripted

from dovetail.protocol.errors import ConnectionLost, DovetailError
from dovetail.transports.http1.client.aiohttp_backend import AiohttpBackend
from dovetail.transports.http1.client.connection import HEAD_LIMIT, HTTP1Response, HTTPClientConnection
from dovetail.transports.http1.client.http1_backend import HTTP1Backend
from dovetail.transports.http1.client.http_backend import HTTPBackend

pytestmark = pytest.mark.hostile

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GOOD = OK + b"Content-Length: 2\r\n\r\n{}"

LOST: dict[str, bytes] = {
    "nothing": b"",
    "no http": b"garbage\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00",
    "another protocol": b"ICY 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a space before": b" " + GOOD,
    "an unknown version": b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a short status": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a long status": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a status of letters": b"HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a status below 100": b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a status below 100 and an answer": b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n" + GOOD,
    "another protocol from here": b"HTTP/1.1 101 Yes\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "a switch and an answer": b"HTTP/1.1 101 Yes\r\n\r\n" + GOOD,
    "interim and nothing": b"HTTP/1.1 100 Continue\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "the same length twice": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": OK + b"Content-Length: 2, 2\r\n\r\n{}",
    "length and chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunks and length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a coding before chunks": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunks twice": OK
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "an unknown coding": OK + b"Transfer-Encoding: xchunked\r\n\r\n{}",
    "a signed length": OK + b"Content-Length: +2\r\n\r\n{}",
    "a negative length": OK + b"Content-Length: -2\r\n\r\n{}",
    "a hexadecimal length": OK + b"Content-Length: 0x2\r\n\r\n{}",
    "no length": OK + b"Content-Length: \r\n\r\n{}",
    "a huge length": OK + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "too short": OK + b"Content-Length: 3\r\n\r\n{}",
    "a NUL": OK + b"X-A: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
    "an escape": OK + b"X-A: a\x1b[31m\r\nContent-Length: 2\r\n\r\n{}",
    "a bare CR": OK + b"X-A: a\rb\r\nContent-Length: 2\r\n\r\n{}",
    "no colon": OK + b"nothing\r\nContent-Length: 2\r\n\r\n{}",
    "no name": OK + b": empty\r\nContent-Length: 2\r\n\r\n{}",
    "a name of two words": OK + b"X A: a\r\nContent-Length: 2\r\n\r\n{}",
    "a name that is no text": OK + b"\x80\xff: a\r\nContent-Length: 2\r\n\r\n{}",
    "many lines": OK + b"X: y\r\n" * 300 + b"Content-Length: 2\r\n\r\n{}",
    "a long line": OK + b"X: " + b"y" * 70_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    "a long reason": b"HTTP/1.1 200 " + b"y" * 300_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    "no size of a chunk": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "a huge chunk": CHUNKED + b"fffffffffffffffff2\r\n{}\r\n0\r\n\r\n",
    "a chunk that goes on": CHUNKED + b"2\r\n{}x\r\n0\r\n\r\n",
    "a chunk without its end": CHUNKED + b"2\r\n{}0\r\n\r\n",
    "no last chunk": CHUNKED + b"2\r\n{}\r\n",
    "half a last chunk": CHUNKED + b"2\r\n{}\r\n0\r\n",
    "a length among the trailers": CHUNKED + b"2\r\n{}\r\n0\r\nContent-Length: 7\r\n\r\n",
    "a long chunk extension": CHUNKED + b"2;" + b"a=b;" * 80_000 + b"\r\n{}\r\n0\r\n\r\n",
    "long trailers": CHUNKED + b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 80_000 + b"\r\n",
}

TAKEN: dict[str, tuple[bytes, int, bytes, bool]] = {
    # what arrives, status, body, whether the connection is used again
    "plain": (GOOD, 200, b"{}", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", True),
    "a strange status": (b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\n{}", 999, b"{}", True),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD, 200, b"{}", True),
    "interim with a length": (b"HTTP/1.1 100 C\r\nContent-Length: 5\r\n\r\n" + GOOD, 200, b"{}", True),
    "hints": (b"HTTP/1.1 103 Hints\r\nContent-Type: x/y\r\n\r\n" * 3 + GOOD, 200, b"{}", True),
    "empty lines before": (b"\r\n\r\n" + GOOD, 200, b"{}", True),
    "empty lines after": (GOOD + b"\r\n\r\n", 200, b"{}", True),
    "lines without CR": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", 200, b"{}", True),
    "a folded line": (OK + b"X-A: a\r\n  b\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", True),
    "chunks": (CHUNKED + b"1\r\n{\r\n1;a=b\r\n}\r\n0\r\n\r\n", 200, b"{}", True),
    "chunks, loudly": (OK + b"transfer-encoding: Chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200, b"{}", True),
    "a space after a size": (CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n", 200, b"{}", True),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\nX-T: v\r\nContent-Type: x/y\r\n\r\n", 200, b"{}", True),
    "no body": (b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n", 204, b"", True),
    "not modified": (b"HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\n", 304, b"", True),
    "up to the end": (OK + b"\r\n{}", 200, b"{}", False),
    "no coding at all": (OK + b"Transfer-Encoding: identity\r\n\r\n{}", 200, b"{}", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", False),
    "a body where none may be": (b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n{}", 204, b"", False),
    "more than was told": (OK + b"Content-Length: 2\r\n\r\n{}x", 200, b"{}", False),
    "two answers": (GOOD + OK + b"Content-Length: 6\r\n\r\nforged", 200, b"{}", False),
    "more after the last": (
        OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}" + GOOD,
        200,
        b"{}",
        False,
    ),
    "a long line": (OK + b"X: " + b"y" * 60_000 + b"\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", True),
    "a long body": (OK + b"Content-Length: 900000\r\n\r\n" + b"y" * 900_000, 200, b"y" * 900_000, True),
}


async def fetched(backend: HTTPBackend, url: str) -> tuple[int, dict[str, str], bytes]:
    response = await backend.request("POST", url, [("a", "b")], b"x")
    try:
        body = b""
        while piece := await response.read():
            body += piece
        return response.status, dict(response.headers), body
    finally:
        response.close()


@pytest.mark.parametrize("what", LOST)
async def test_what_is_no_answer_is_a_loss(what: str) -> None:
    async def script(wire: Wire) -> None:
        if len(wire.server.requests) == 1:
            await wire.raw(LOST[what])
            wire.cut()
        else:
            await wire.answer(200, b"mine")

    async with scripted(script) as server, asyncio.timeout(10):
        backend = HTTP1Backend()
        with pytest.raises(ConnectionLost) as caught:
            await fetched(backend, server.url)
        assert not caught.value.retry_safe
        assert len(str(caught.value)) < 400
        assert str(caught.value).isprintable()
        assert (await fetched(backend, server.url))[2] == b"mine"
        assert server.connections == 2
        await backend.close()


@pytest.mark.parametrize("what", TAKEN)
async def test_an_odd_answer_is_taken_and_the_next_is_its_own(what: str) -> None:
    raw, status, body, again = TAKEN[what]

    async def script(wire: Wire) -> None:
        if len(wire.server.requests) > 1:
            await wire.answer(200, b"mine", headers={"X-Next": "yes"})
            return
        await wire.raw(raw)
        if b"content-length" not in raw.lower() and b"chunked" not in raw.lower():
            wire.cut()
        elif not again:
            await wire.gone.wait()
            wire.cut()

    async with scripted(script) as server, asyncio.timeout(10):
        backend = HTTP1Backend()
        found = await fetched(backend, server.url)
        assert (found[0], found[2]) == (status, body)
        assert await fetched(backend, server.url) == (200, {"content-length": "4", "x-next": "yes"}, b"mine")
        assert server.connections == (1 if again else 2)
        await backend.close()


async def test_headers_that_come_several_times_and_folded_are_joined() -> None:
    async def script(wire: Wire) -> None:
        await wire.raw(
            OK + b"X-A: 1\r\nx-a: 2\r\nX-B: a\r\n\t b\r\nX-C: \xc3\xa9\xff\r\nContent-Length: 0\r\n\r\n"
        )

    async with scripted(script) as server:
        backend = HTTP1Backend()
        _, headers, _ = await fetched(backend, server.url)
        assert headers["x-a"] == "1, 2"
        assert headers["x-b"].split() == ["a", "b"]
        assert headers["x-c"] == "\u00e9\udcff"
        await backend.close()


async def test_bytes_that_nobody_asked_for_end_a_waiting_connection() -> None:
    """A second answer comes late, while the connection waits: it must not answer the next request."""
    late = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.answer(200, b"mine")
        if len(wire.server.requests) == 1:
            await late.wait()
            await wire.raw(OK + b"Content-Length: 6\r\n\r\nforged")
            await wire.gone.wait()
            wire.cut()

    async with scripted(script) as server, asyncio.timeout(10):
        backend = HTTP1Backend()
        assert (await fetched(backend, server.url))[2] == b"mine"
        late.set()
        await until(lambda: not backend._open)
        assert (await fetched(backend, server.url))[2] == b"mine"
        assert server.connections == 2
        await backend.close()


async def test_an_answer_to_head_has_no_body() -> None:
    async def script(wire: Wire) -> None:
        await wire.raw(OK + b"Content-Length: 5\r\n\r\n")
        if wire.request.method == "POST":
            await wire.raw(b"whole")

    async with scripted(script) as server, asyncio.timeout(10):
        backend = HTTP1Backend()
        response = await backend.request("HEAD", server.url, [])
        assert response.headers["content-length"] == "5"
        assert await response.read() == b""
        assert response.ended
        assert (await fetched(backend, server.url))[2] == b"whole"
        await backend.close()


# Any cutting of the same bytes


class Pool:
    """A pool that notes what it is told."""

    def __init__(self) -> None:
        self.freed = 0

    def connection(self) -> HTTPClientConnection:
        loop = asyncio.get_running_loop()
        return HTTPClientConnection(loop, "there", [], free=self.free, gone=lambda _: None)

    def free(self, connection: HTTPClientConnection) -> None:
        self.freed += 1


class Still(asyncio.Transport):
    """A transport that goes nowhere."""

    def __init__(self, unsent: int = 0) -> None:
        super().__init__()
        self.aborted = False
        self.written = 0
        self._unsent = unsent

    def write(self, data: Any) -> None:
        self.written += len(data)

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return self._unsent

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def read(pieces: list[bytes], *, end: bool) -> tuple[object, ...]:
    """What a connection makes of these bytes: the outcome, and last whether it may be used again."""
    pool, transport = Pool(), Still()
    connection = pool.connection()
    connection.connection_made(transport)
    answer: HTTP1Response = connection.send(b"", b"", bodiless=False)
    for piece in pieces:
        if transport.aborted:
            break
        connection.data_received(piece)
    free = bool(pool.freed) and not transport.aborted
    if end:
        connection.eof_received()
    connection.connection_lost(None)
    if answer.failure is not None:
        return ("lost", False)
    body = b""
    try:
        while piece := await answer.read():
            body += piece
    except ConnectionLost:
        return ("lost", False)
    return (answer.status, tuple(answer.headers.items()), body, free)


@pytest.mark.parametrize("size, unsent", [(1_000_000, 0), (10, 5)])
async def test_an_answer_to_half_a_request_leaves_no_connection_to_use(size: int, unsent: int) -> None:
    """Be the rest yet to be written, or written and yet to leave: it would follow."""
    pool, transport = Pool(), Still(unsent)
    connection = pool.connection()
    connection.connection_made(transport)
    answer = connection.send(b"", b"x" * size, bodiless=False)
    connection.data_received(GOOD)
    assert await answer.read() == b"{}"
    assert not pool.freed
    assert transport.aborted


@pytest.mark.parametrize("how", ["an answer", "an end"])
async def test_no_more_of_a_request_is_sent_once_it_is_answered_or_lost(how: str) -> None:
    pool, transport = Pool(), Still()
    connection = pool.connection()
    connection.connection_made(transport)
    body = b"x" * 5_000_000
    answer = connection.send(b"", body, bodiless=False)
    connection.pause_writing()
    sending = asyncio.create_task(connection.send_rest(answer, body))
    await asyncio.sleep(0)
    if how == "an answer":
        connection.data_received(OK + b"Content-Length: 5\r\n\r\n{}")
        connection.resume_writing()
    else:
        connection.connection_lost(None)
    async with asyncio.timeout(5):
        await sending
    assert transport.written < 1000
    connection.connection_lost(None)


@pytest.mark.parametrize("what", [*LOST, *TAKEN])
async def test_any_cutting_of_the_same_bytes_is_read_the_same(what: str) -> None:
    raw = LOST[what] if what in LOST else TAKEN[what][0]
    if len(raw) > HEAD_LIMIT:
        raw = raw[: 2 * HEAD_LIMIT]
    # Empty lines are passed over; but who finds one alone, while the connection waits, can't know what will follow.
    same = -1 if what == "empty lines after" else None
    once = (await read([raw], end=True))[:same]
    cut = random.Random(what)
    for _ in range(10):
        places = sorted(cut.randrange(len(raw) + 1) for _ in range(cut.randrange(1, 6)))
        pieces = [raw[a:b] for a, b in zip([0, *places], [*places, len(raw)], strict=True) if a < b]
        assert (await read(pieces, end=True))[:same] == once, pieces
    if len(raw) < 500:
        assert (await read([raw[at : at + 1] for at in range(len(raw))], end=True))[:same] == once


# Against aiohttp


def mutated(chance: random.Random) -> bytes:
    """An answer, more or less."""
    seeds = [raw for raw, *_ in TAKEN.values() if len(raw) < 500] + [
        raw for raw in LOST.values() if 0 < len(raw) < 500
    ]
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randrange(3)):
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                del data[at : at + chance.randrange(1, 6)]
            case 2:
                data[at:at] = chance.choice([b"\r\n", b"\n", b" ", b"\x00", b"0", b"chunked", b"2", b":"])
            case _:
                data[at:at] = data[: chance.randrange(1, 40)]
        data = data or bytearray(b"x")
    return bytes(data)


STRICTER: dict[str, Callable[[bytes], bool]] = {
    "101 is nobody's answer": lambda raw: b" 101" in raw,
    "a status below 100": lambda raw: b" 0" in raw.partition(b"\r\n\r\n")[0],
    "a transfer coding that was not asked for": lambda raw: b"transfer-encoding" in raw.lower(),
    "a control character in a header": lambda raw: _CONTROL.search(raw) is not None,
}
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


async def test_aiohttp_reads_no_answer_differently() -> None:
    """Where both take an answer, it is the same; ours takes none that aiohttp refuses, but for what follows it."""
    chance = random.Random(2026)
    sample = [mutated(chance) for _ in range(1200)]
    told = b""

    async def script(wire: Wire) -> None:
        await wire.raw(told)
        wire.cut()

    async def outcome(backend: HTTPBackend, url: str) -> tuple[object, ...] | None:
        try:
            status, headers, body = await fetched(backend, url)
        except (DovetailError, TimeoutError):
            return None
        return status, {name.rstrip(): value for name, value in headers.items()}, body

    both = 0
    async with scripted(script) as server, AsyncExitStack() as closing:
        ours, theirs = HTTP1Backend(keep_alive=0.0), AiohttpBackend(keep_alive=0.0)
        closing.push_async_callback(ours.close)
        closing.push_async_callback(theirs.close)
        for told in sample:
            found, other = await outcome(ours, server.url), await outcome(theirs, server.url)
            if found is not None and other is not None:
                both += 1
                assert found == other, told
            elif found is not None:
                assert await followed(told), told
            elif other is not None:
                assert any(reason(told) for reason in STRICTER.values()), told
    assert both > 150


async def followed(raw: bytes) -> bool:
    """Whether an answer is complete before its last byte: then what follows is what the other did not like."""
    for size in range(len(raw)):
        found = await read([raw[:size]], end=False)
        if found[0] != "lost":
            return True
    return False
