"""Servers for the HTTP client's own connections, and the backend that talks to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from scripted import ScriptedServer, Wire, scripted

from dovetail.transports.http1.client.http1_backend import HTTP1Backend
from dovetail.transports.http1.client.http_backend import BackendResponse

HEADERS = (("x-a", "b"),)


@asynccontextmanager
async def talking(
    script: Callable[[Wire], Awaitable[None]], *, unix: str | None = None, **options: Any
) -> AsyncIterator[tuple[ScriptedServer, HTTP1Backend]]:
    async with scripted(script, unix=unix) as server:
        backend = HTTP1Backend(unix_socket=unix, **options)
        try:
            async with asyncio.timeout(20):
                yield server, backend
        finally:
            await backend.close()


@asynccontextmanager
async def serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], host: str = "127.0.0.1"
) -> AsyncIterator[tuple[str, HTTP1Backend]]:
    """A server by hand, for what comes or goes in pieces; its URL."""
    served: set[asyncio.Task[Any]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.add(task)
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(one, host, 0, limit=4096)
    backend = HTTP1Backend()
    shown = f"[{host}]" if ":" in host else host
    try:
        async with asyncio.timeout(20):
            yield f"http://{shown}:{server.sockets[0].getsockname()[1]}/", backend
    finally:
        await backend.close()
        server.close()
        if served:
            await asyncio.wait(served)
        await server.wait_closed()


async def post(
    backend: HTTP1Backend, server: ScriptedServer, body: bytes = b"x", **options: Any
) -> BackendResponse:
    return await backend.request("POST", server.url, HEADERS, body, **options)


async def whole(response: BackendResponse) -> bytes:
    body = b""
    while piece := await response.read():
        body += piece
    assert response.ended
    response.close()
    return body


async def echo(wire: Wire) -> None:
    await wire.answer(200, wire.request.body)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until the condition holds; the test's timeout bounds it."""
    while not condition():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0)
