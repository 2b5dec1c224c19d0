"""Connections to an API are kept for as long as the app serves, and nothing of one call is left in the next.

Follows: RFC 9112, section 9.3 "Persistence".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from capturing import OK, Capturing, answer, capturing, document, operation, parameter

from dovetail import App, Client
from dovetail.openapi import OpenAPIProvider

PATHS = {
    "/read": {"get": operation(parameter("query")) | {"operationId": "read"}},
    "/write": {"post": operation(parameter("query")) | {"operationId": "write"}},
}


@asynccontextmanager
async def calling(server: Capturing, max_answer: int = 1024 * 1024) -> AsyncIterator[Client]:
    """A client of an app that offers these operations."""
    app = App("front")
    provider = OpenAPIProvider(
        document(PATHS), server=server.url, allow_loopback=True, timeout=5, max_answer=max_answer
    )
    app.mount(None, provider)
    async with Client(app) as client:
        yield client


async def test_calls_share_a_connection_which_ends_with_the_app() -> None:
    async with capturing() as server:
        async with calling(server) as client:
            for name in ("read", "write") * 5:
                assert not (await client.call_tool(name)).is_error
            assert (server.connections, len(server.serving), len(server.requests)) == (1, 1, 10)
            assert all(each.header("connection") == [] for each in server.requests)
            (connection,) = server.serving
        await asyncio.wait_for(connection, 5)
        async with calling(server) as client:
            await client.call_tool("read")
        assert server.connections == 2


async def test_calls_at_once_have_connections_of_their_own() -> None:
    async with capturing() as server, calling(server) as client:
        found = await asyncio.gather(*(client.call_tool("write") for _ in range(8)))
        assert not any(each.is_error for each in found)
        assert server.connections <= 8
        before = server.connections
        await asyncio.gather(*(client.call_tool("write") for _ in range(before)))
        assert server.connections == before


async def test_a_connection_that_its_server_ends_costs_no_call() -> None:
    async with capturing() as server, calling(server) as client:
        for _ in range(3):
            server.answers.append(answer("200 OK", b"{}", "content-type: application/json"))
            assert not (await client.call_tool("write")).is_error
        await client.call_tool("read")
        (writer,) = server.serving.values()
        writer.close()  # without a word before
        assert not (await client.call_tool("read")).is_error
        assert len(server.requests) == 5


async def test_what_is_left_of_an_answer_is_none_of_the_next() -> None:
    more = OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"
    long = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5000\r\n\r\n" + b"x" * 5000
    async with capturing() as server, calling(server, max_answer=1000) as client:
        server.answers += [more, OK, long]
        for _ in range(2):
            assert (await client.call_tool("read")).text == "{}"
        assert "more than 1000 bytes" in (await client.call_tool("read")).text
        assert (await client.call_tool("read")).text == "{}"


async def test_a_call_that_is_given_up_takes_its_connection_with_it() -> None:
    async with capturing() as server, calling(server) as client:
        await client.call_tool("read")
        server.answers.append(b"")
        call = asyncio.ensure_future(client.call_tool("write"))
        while len(server.requests) < 2:  # noqa: ASYNC110 - the server keeps them, and tells nobody
            await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.wait([call])
        assert (await client.call_tool("read")).text == "{}"
        assert server.connections == 2
