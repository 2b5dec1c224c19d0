"""What the HTTP client sends, and how large and compressed bodies pass: in bounded pieces, at the slower one's pace."""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress

import pytest
from http1_talking import HEADERS, echo, post, serving, talking, until, whole
from scripted import Wire

from dovetail.protocol.errors import ConnectionLost, LocalProtocolError
from dovetail.transports.http1.client import origins


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No file descriptor more than before."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before


# Large things


async def test_a_server_that_sends_more_than_is_read_has_to_wait() -> None:
    size, sent = 30_000_000, 0

    async def script(wire: Wire) -> None:
        nonlocal sent
        await wire.raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(30):
            await wire.raw(b"x" * 1_000_000)
            sent += 1_000_000

    async with talking(script) as (server, backend):
        answer = await post(backend, server)
        (connection,) = backend._open
        await until(lambda: connection._stopped)
        for _ in range(200):
            await asyncio.sleep(0)
        assert sent < size / 2
        assert answer._held < 1_000_000  # type: ignore[attr-defined]  # nothing else tells what waits in it
        assert len(await whole(answer)) == size
        assert not connection._stopped
        await whole(await post(backend, server))  # and what was stopped goes on with the next request
        assert server.connections == 1


async def test_what_is_left_unread_of_a_whole_answer_does_not_stop_the_connection() -> None:
    """The answer ends while the server was asked to wait: the next request must be heard."""
    size = 600_000

    async def script(wire: Wire) -> None:
        await wire.answer(200, b"x" * size)

    async with talking(script) as (server, backend):
        first = await post(backend, server)
        (connection,) = backend._open
        await until(lambda: connection._stopped or connection._answer is None)
        assert len(await whole(first)) == size
        assert len(await whole(await post(backend, server))) == size


async def test_a_large_request_goes_at_the_servers_pace() -> None:
    body = os.urandom(1_000_000) * 20
    held: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        (connection,) = backend._open
        await until(lambda: connection._room is not None)
        assert connection._transport is not None
        held.append(connection._transport.get_write_buffer_size())
        assert await reader.readexactly(len(body)) == body
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert await reader.read() == b""

    async with serving(serve) as (url, backend):
        answer = await backend.request("POST", url, HEADERS, body)
        assert await whole(answer) == b"ok"
        assert [len(way.idle) for way in backend._idle.values()] == [1]
    assert max(held) < 1_000_000


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_server_may_refuse_a_large_request_before_it_has_it(leaves: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        if leaves:
            writer.write_eof()
        with suppress(ConnectionError):
            while await reader.read(1 << 20):
                pass

    async with serving(serve) as (url, backend):
        answer = await backend.request("POST", url, HEADERS, b"x" * 50_000_000)
        assert answer.status == 413
        assert await whole(answer) == b"no"
        assert all(not way.idle for way in backend._idle.values())


# What is sent


async def test_a_request_leaves_in_one_piece() -> None:
    pieces: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pieces.append(await reader.read(1 << 16))
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with serving(serve) as (url, backend):
        await whole(await backend.request("POST", f"{url}a%20b?c=d e#f", HEADERS, b"body"))
    host = url.removeprefix("http://").rstrip("/").encode()
    assert pieces == [
        b"POST /a%%20b?c=d%%20e HTTP/1.1\r\nhost: %b\r\nx-a: b\r\ncontent-length: 4\r\n\r\nbody" % host
    ]


@pytest.mark.parametrize(
    "method,body,length",
    [("GET", None, None), ("DELETE", None, None), ("POST", None, "0"), ("POST", b"", "0")],
)
async def test_the_length_of_a_body_is_told_where_there_may_be_one(
    method: str, body: bytes | None, length: str | None
) -> None:
    async with talking(echo) as (server, backend):
        await whole(await backend.request(method, server.url, HEADERS, body))
        assert server.requests[0].headers.get("content-length") == length


@pytest.mark.hostile
@pytest.mark.parametrize(
    "method,headers",
    [
        ("POST", [("a\r\nb", "c")]),
        ("POST", [("a b", "c")]),
        ("POST", [("", "c")]),
        ("POST", [("a:", "c")]),
        ("POST", [("a", "b\r\nc: d")]),
        ("POST", [("a", "b\nc")]),
        ("POST", [("a", "b\x00c")]),
        ("POST", [("a", "b\x7fc")]),
        ("PO ST", []),
        ("POST\r\n", []),
        ("", []),
    ],
)
async def test_f15_what_would_be_read_as_other_lines_is_not_sent(
    method: str, headers: list[tuple[str, str]]
) -> None:
    """F15."""
    async with talking(echo) as (server, backend):
        with pytest.raises(LocalProtocolError) as caught:
            await backend.request(method, server.url, headers, b"x")
        assert "c: d" not in str(caught.value)
        assert server.connections == 0


@pytest.mark.parametrize(
    "url,target,host",
    [
        ("http://h/a b\r\nX: y", "/a%20bX:%20y", "h"),
        ("http://h/\u00e9?q=\u20ac", "/%C3%A9?q=%E2%82%AC", "h"),
        ('http://h/"<>^`{|}\\', "/%22%3C%3E%5E%60%7B%7C%7D%5C", "h"),
        ("http://user:word@H:80/%7e?a=%2f", "/%7e?a=%2f", "h"),
        ("https://h:443", "/", "h"),
        ("https://h:80?q", "/?q", "h:80"),
        ("http://[::1]:81/", "/", "[::1]:81"),
        ("http://m\u00fcnchen.example/", "/", "xn--mnchen-3ya.example"),
    ],
)
def test_the_first_lines_of_a_head(url: str, target: str, host: str) -> None:
    lines = origins.head_of("GET", url, [("a", "\u00e9")]).decode().split("\r\n")
    assert lines == [f"GET {target} HTTP/1.1", f"host: {host}", "a: \u00e9", ""]


@pytest.mark.parametrize(
    "url", ["http://a\u0000b/", "http://a b/", "ftp://h/", "http://" + "\u00fc" * 300 + "/"]
)
def test_hosts_that_are_none(url: str) -> None:
    with pytest.raises(LocalProtocolError):
        origins.origin_of(url)


# Compression


def packed(data: bytes, bits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    "encoding,body",
    [
        ("gzip", packed(b"x" * 1_000_000, 31)),
        ("X-GZIP", packed(b"x" * 500_000, 31) + packed(b"x" * 500_000, 31)),
        ("deflate", packed(b"x" * 1_000_000, 15)),
        ("deflate", packed(b"x" * 1_000_000, -15)),
        ("identity", b"x" * 1_000_000),
        ("", b"x" * 1_000_000),
    ],
)
@pytest.mark.parametrize("size", [7, 1 << 20])
async def test_bodies_come_unpacked_in_bounded_pieces(encoding: str, body: bytes, size: int) -> None:
    async def script(wire: Wire) -> None:
        headers = {"Content-Encoding": encoding, "Content-Length": str(len(body))}
        lines = [f"{name}: {value}" for name, value in headers.items()]
        await wire.raw("\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode())
        step = max(size, len(body) // 500)
        for at in range(0, len(body), step):
            await wire.raw(body[at : at + step])

    async with talking(script) as (server, backend):
        answer = await post(backend, server)
        total = 0
        while piece := await answer.read():
            assert len(piece) <= 1 << 19
            assert not piece.strip(b"x")
            total += len(piece)
        assert total == 1_000_000
        assert answer.ended
        await whole(await post(backend, server))
        assert server.connections == 1


@pytest.mark.hostile
@pytest.mark.parametrize(
    "encoding,body",
    [
        ("gzip", packed(b"x" * 1000, 31)[:-4]),
        ("gzip", packed(b"x" * 1000, 31) + b"tail"),
        ("gzip", b"not at all"),
        ("deflate", packed(b"x" * 1000, 15) + b"tail"),
        ("deflate", packed(b"x" * 1000, 15)[:-4]),
        ("deflate", packed(b"x" * 1000, 15) * 2),
        ("br", b"anything"),
        ("gzip, gzip", packed(packed(b"x", 31), 31)),
    ],
)
async def test_a_body_that_cannot_be_unpacked_is_a_loss(encoding: str, body: bytes) -> None:
    async def script(wire: Wire) -> None:
        if len(wire.server.requests) == 1:
            await wire.answer(200, body, headers={"Content-Encoding": encoding})
        else:
            await echo(wire)

    async with talking(script) as (server, backend):
        answer = await post(backend, server)
        with pytest.raises(ConnectionLost, match="cut off"):
            await whole(answer)
        with pytest.raises(ConnectionLost, match="cut off"):
            await answer.read()
        answer.close()
        assert await whole(await post(backend, server, b"next")) == b"next"
