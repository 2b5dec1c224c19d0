"""The connections of the HTTP client: how they are made, kept, used again and let go."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from http1_talking import HEADERS, echo, post, serving, talking, until, whole
from scripted import Wire

from dovetail.protocol.errors import Closed, ConnectFailed, ConnectionLost, LocalProtocolError
from dovetail.transports.http1.client import http1_backend, origins
from dovetail.transports.http1.client.aiohttp_backend import AiohttpBackend
from dovetail.transports.http1.client.http1_backend import HTTP1Backend
from dovetail.transports.http1.client.http_backend import ConnectRefused


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No file descriptor more than before."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before


# Keeping


async def test_a_connection_is_used_again_the_last_one_first() -> None:
    async with talking(echo) as (server, backend):
        for _ in range(3):
            assert await whole(await post(backend, server, b"one")) == b"one"
        assert server.connections == 1
        bodies = await asyncio.gather(*[post(backend, server, b"%d" % n) for n in range(4)])
        assert [await whole(each) for each in bodies] == [b"0", b"1", b"2", b"3"]
        assert server.connections == 4
        await whole(await post(backend, server))
        last = server.requests[-1].connection
        await whole(await post(backend, server))
        assert server.requests[-1].connection == last
        assert server.connections == 4


async def test_an_idle_connection_is_given_up() -> None:
    gone = asyncio.Event()

    async def script(wire: Wire) -> None:
        await echo(wire)
        if len(wire.server.requests) == 1:
            await wire.gone.wait()
            gone.set()
            wire.cut()

    async with talking(script, keep_alive=0.05) as (server, backend):
        await whole(await post(backend, server))
        await gone.wait()
        await whole(await post(backend, server))
        assert server.connections == 2


class Impatient:
    """A server in a thread of its own, so that it goes on while our loop stands still. It closes each connection once
    it has answered ``answers`` requests on it, without a word before; then ``closed`` is set. ``headers``: more lines.
    """

    def __init__(self, answers: int = 1, headers: bytes = b"") -> None:
        self.closed = threading.Event()
        self.connections = 0
        self._answers = answers
        self._headers = headers
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/mcp"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Impatient:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                for _ in range(self._answers):
                    if not connection.recv(1 << 16):
                        break
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n%b\r\n{}" % self._headers)
            self.closed.set()


@pytest.mark.parametrize("answers", [1, 2, 3])
@pytest.mark.parametrize("kind", [HTTP1Backend, AiohttpBackend])
async def test_a_connection_that_was_closed_while_nobody_read_is_not_used(kind: Any, answers: int) -> None:
    """The end of the connection lies unread, since the loop stood still: it is noticed before anything is sent."""
    backend = kind()
    with Impatient(answers) as server:
        for _ in range(10):
            server.closed.clear()
            for _ in range(answers):
                assert await whole(await backend.request("POST", server.url, HEADERS, b"x")) == b"{}"
            assert server.closed.wait(10)  # blocks the loop, as a busy program does
        assert server.connections == 10
        await backend.close()


@pytest.mark.parametrize(
    "told,connections", [("timeout=1", 2), ("timeout=5, max=100", 1), ("max=100", 1), ("timeout=x", 1)]
)
async def test_a_server_says_how_long_it_keeps_a_connection(told: str, connections: int) -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(200, wire.request.body, headers={"Keep-Alive": told})

    async with talking(script, keep_alive=60.0) as (server, backend):
        await whole(await post(backend, server))
        (connection,) = backend._open
        connection.since -= 0.5
        await whole(await post(backend, server))
        assert server.connections == connections


async def test_what_is_too_old_is_not_used_even_if_nobody_swept() -> None:
    async with talking(echo, keep_alive=60.0) as (server, backend):
        await whole(await post(backend, server))
        (connection,) = backend._open
        connection.since -= 61.0
        await whole(await post(backend, server))
        assert server.connections == 2


async def test_idle_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1_backend, "_MAX_IDLE", 2)
    async with talking(echo) as (server, backend):
        answers = await asyncio.gather(*[post(backend, server) for _ in range(5)])
        for answer in answers:
            await whole(answer)
        assert [len(way.idle) for way in backend._idle.values()] == [2]


async def test_a_server_that_leaves_is_not_asked_again_on_the_same_connection() -> None:
    """It closed while the connection waited; that is known, so not even a tool call fails."""

    async def script(wire: Wire) -> None:
        await echo(wire)
        wire.cut()

    async with talking(script) as (server, backend):
        for _ in range(3):
            await whole(await post(backend, server))
            await until(lambda: not backend._open)  # the loop has seen the end
        assert server.connections == 3


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nConnection: Close, x\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
    ],
)
async def test_a_server_that_says_it_closes_is_believed(head: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.raw(head)
        await wire.gone.wait()
        wire.cut()

    async with talking(script) as (server, backend):
        for _ in range(2):
            assert await whole(await post(backend, server)) == b"x"
        assert server.connections == 2


# Sending again


@pytest.mark.parametrize("repeatable", [True, False])
async def test_what_met_a_dying_connection_is_sent_again_once_if_it_may_be(repeatable: bool) -> None:
    async def script(wire: Wire) -> None:
        if len(wire.server.requests) in (2, 4, 5):
            wire.cut()
        else:
            await echo(wire)

    async with talking(script) as (server, backend):
        await whole(await post(backend, server))
        if repeatable:
            await whole(await post(backend, server, repeatable=True))
            with pytest.raises(ConnectionLost):
                await post(backend, server, repeatable=True)
            assert len(server.requests) == 5
        else:
            with pytest.raises(ConnectionLost) as caught:
                await post(backend, server)
            assert not caught.value.retry_safe
            assert len(server.requests) == 2


async def test_nothing_is_sent_again_once_there_was_an_answer() -> None:
    async def script(wire: Wire) -> None:
        await wire.raw(b"HTTP/1.1 20")
        wire.cut()

    async with talking(script) as (server, backend):
        with pytest.raises(ConnectionLost):
            await post(backend, server, repeatable=True)
        assert len(server.requests) == 1


# Letting go


@pytest.mark.parametrize("stage", ["head", "body", "upload"])
@pytest.mark.parametrize("how", ["cancelled", "closed"])
async def test_a_request_that_is_given_up_takes_its_connection_along(stage: str, how: str) -> None:
    here, release, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if stage == "body":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
        else:
            here.set()
        await release.wait()
        with suppress(ConnectionError):
            while await reader.read(1 << 20):
                pass
        gone.set()

    async with serving(serve) as (url, backend):

        async def talk() -> None:
            size = 50_000_000 if stage == "upload" else 1
            response = await backend.request("POST", url, HEADERS, b"x" * size)
            try:
                assert await response.read() == b"x"
                here.set()
                await response.read()
            finally:
                response.close()

        task = asyncio.create_task(talk())
        await here.wait()
        if how == "cancelled":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await backend.close()
            with pytest.raises(ConnectionLost if stage == "body" else Closed) as caught:
                await task
            assert not caught.value.retry_safe
        release.set()
        await gone.wait()
        await backend.close()
        assert not backend._open
        with pytest.raises(Closed):
            await backend.request("POST", url, HEADERS, b"x")


async def test_closing_ends_what_is_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def never(*_: object) -> socket.socket:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(origins, "_reach", never)
    backend = HTTP1Backend()
    task = asyncio.create_task(backend.request("POST", "http://example.invalid/", HEADERS, b"x"))
    await begun.wait()
    async with asyncio.timeout(5):
        await asyncio.gather(backend.close(), backend.close())
        with pytest.raises(Closed):
            await task


@pytest.mark.parametrize("who", ["the server", "us"])
async def test_a_connection_that_is_closed_as_it_opens_carries_nothing(
    who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = origins.OriginServer.connect

    async def closed_at_once(
        place: origins.OriginServer, loop: asyncio.AbstractEventLoop, factory: Any
    ) -> Any:
        connection = await connect(place, loop, factory)
        if who == "us":
            await backend.close()
        else:
            connection.discard()
            while connection._transport is not None:  # noqa: ASYNC110 - the loop tells it, and nobody else
                await asyncio.sleep(0)
        return connection

    async with talking(echo) as (server, backend):
        monkeypatch.setattr(origins.OriginServer, "connect", closed_at_once)
        with pytest.raises(Closed if who == "us" else ConnectFailed) as caught:
            await post(backend, server)
        assert caught.value.retry_safe
        assert not server.requests
        await until(lambda: not backend._open)


async def test_an_answer_that_is_let_go_early_is_not_mixed_up_with_the_next() -> None:
    async def script(wire: Wire) -> None:
        if len(wire.server.requests) == 1:
            await wire.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
            await wire.gone.wait()
            wire.cut()
        else:
            await wire.answer(200, b"second")

    async with talking(script) as (server, backend):
        first = await post(backend, server)
        assert await first.read() == b"first"
        assert not first.ended
        first.close()
        first.close()
        assert await whole(await post(backend, server)) == b"second"
        first.close()
        assert await whole(await post(backend, server)) == b"second"
        assert server.connections == 2


# Places


async def addresses(monkeypatch: pytest.MonkeyPatch, found: list[tuple[str, int]]) -> None:
    """Make every name have these addresses."""

    async def look_up(*_: object, **__: object) -> Any:
        return [
            (socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
            for host, port in found
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)


async def test_another_address_is_tried_when_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = closed.getsockname()[1]
        async with talking(echo) as (server, backend):
            port = int(server.url.rpartition(":")[2].partition("/")[0])
            await addresses(monkeypatch, [("127.0.0.1", dead), ("127.0.0.1", dead), ("127.0.0.1", port)])
            answer = await backend.request("POST", "http://server.example/", HEADERS, b"found")
            assert await whole(answer) == b"found"
            await addresses(monkeypatch, [("127.0.0.1", dead), ("127.0.0.1", dead)])
            with pytest.raises(ConnectRefused):
                await backend.request("POST", "http://other.example/", HEADERS, b"x")
            await addresses(monkeypatch, [])
            with pytest.raises(ConnectFailed):
                await backend.request("POST", "http://nowhere.example/", HEADERS, b"x")


async def test_another_address_is_tried_when_one_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow one is let go, whatever becomes of it."""
    monkeypatch.setattr(origins, "_STAGGER", 0.01)
    stuck = asyncio.Event()
    connect = asyncio.get_running_loop().sock_connect

    async def slowly(sock: socket.socket, address: Any) -> None:
        if address[1] == 9:
            try:
                await asyncio.Event().wait()
            finally:
                stuck.set()
        await connect(sock, address)

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", slowly)
    async with talking(echo) as (server, backend):
        port = int(server.url.rpartition(":")[2].partition("/")[0])
        await addresses(monkeypatch, [("127.0.0.1", 9), ("127.0.0.1", port)])
        answer = await backend.request("POST", "http://server.example/", HEADERS, b"found")
        assert await whole(answer) == b"found"
        await stuck.wait()


async def test_ipv6() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.read()

    async with serving(serve, "::1") as (url, backend):
        assert await whole(await backend.request("GET", url, HEADERS)) == b"ok"


async def test_without_a_proxy_aiohttp_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    async with talking(echo) as (server, backend):
        assert await whole(await post(backend, server)) == b"x"
        monkeypatch.setenv("http_proxy", server.url)
        with pytest.raises(ImportError, match=r"dovetail\[client\]"):
            await backend.request("POST", "http://server.example/", HEADERS, b"x")
        monkeypatch.setenv("http_proxy", "socks5://127.0.0.1")
        with pytest.raises(ConnectFailed, match="socks5"):
            await backend.request("POST", "http://another.example/", HEADERS, b"x")


# What callers may say in a head


def test_a_caller_may_name_the_host() -> None:
    """For a server behind an address that is not its name: one line says so, in the place of the URL's."""
    head = origins.head_of("POST", "http://127.0.0.1:8000/mcp", [("Host", "tides.example")])
    assert head.lower().count(b"host:") == 1
    assert b"Host: tides.example\r\n" in head


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding"])
def test_a_caller_does_not_say_where_a_body_ends(name: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"the header '{name}' can't be given"):
        origins.head_of("POST", "http://127.0.0.1/mcp", [(name, "5")])
