"""A server that no longer listens is at its end: what is open ends. One that listens again is served."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from http_serving import Bench, Prober, QuietServer, serving, until

from dovetail import App
from dovetail.protocol import names
from dovetail.revisions import STATELESS
from dovetail.transports.http_server.asgi import HTTPApp
from dovetail.transports.http_server.head import Head
from dovetail.transports.http_server.limits import EndpointLimits
from dovetail.transports.http_server.server_shutdown import ServerShutdown
from dovetail.transports.http_server.settings import Settings
from dovetail.transports.http_server.watching import RequestTicker

HEAD = Head({"method": "POST", "headers": []})


@contextlib.asynccontextmanager
async def listening(app: HTTPApp) -> AsyncIterator[tuple[QuietServer, Prober]]:
    """A server whose socket a test closes, as every server does first."""
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="off", loop="asyncio")
    server = QuietServer(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    prober = Prober(server.servers[0].sockets[0].getsockname()[1])
    try:
        yield server, prober
    finally:
        for connection in prober.opened:
            await connection.close()
        server.asked_to_end.set()
        await task


async def test_streams_end_when_the_server_no_longer_listens_and_another_one_is_served() -> None:
    found = Bench()
    app = HTTPApp(found.service)
    async with listening(app) as (server, prober):
        await prober.ready()
        stream = await prober.stream("GET")
        await stream.next()
        server.servers[0].close()
        assert await stream.rest() == []
    async with serving(app, lifespan="off") as port:
        again = Prober(port)
        assert (await again.ask("server/discover")).status == 200


async def test_a_handler_that_an_ended_server_left_behind_ends_nobody() -> None:
    """Two servers of one process that do not end in the order in which they began leave the handler of one."""
    gone = uvicorn.Server(uvicorn.Config(App("gone").asgi()))
    gone.should_exit = True
    before = signal.signal(signal.SIGTERM, gone.handle_exit)
    transport = httpx.ASGITransport(App("here").asgi())  # mounted: nobody begins or ends its lifespan
    meta = {names.META_PROTOCOL_VERSION: STATELESS[-1], names.META_CLIENT_CAPABILITIES: {}}
    asked = {"jsonrpc": "2.0", "id": 1, "method": names.DISCOVER, "params": {"_meta": meta}}
    headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": STATELESS[-1]}
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9") as client:
            for _ in range(3):
                answer = await client.post(
                    "/mcp", json=asked, headers={**headers, "mcp-method": names.DISCOVER}
                )
                assert answer.status_code == 200, answer.text
                await asyncio.sleep(0.05)  # for whoever would end it
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_call_that_outlasts_the_drain_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    """In both eras, and where it has begun to say something."""
    found = Bench()
    app = HTTPApp(found.service, drain=0.3)
    async with listening(app) as (server, prober):
        body, headers = prober.modern("tools/call", {"name": "wait", "arguments": {"key": "a"}})
        modern = await prober.start("POST", body, headers)
        await prober.ready()
        stateful = await prober.tool_stream("wait", key="b")
        await stateful.next()
        await until(lambda: len(found.gates) == 2)
        server.servers[0].close()
        answered = await modern.answer()
        assert "shutting down" in answered.body.decode()
        assert b"shutting down" in (await stateful.rest())[-1].data
    assert "requests in progress" in caplog.text


async def test_nothing_is_looked_at_where_nothing_is_open() -> None:
    left: list[str] = []
    limits = EndpointLimits(Settings())
    departure = ServerShutdown(limits, RequestTicker(1.0), lambda: left.append("left"))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        departure.note({"server": sock.getsockname()})
        limits.take_request(HEAD)
        departure.watch()
        limits.leave_request(HEAD)
        await asyncio.sleep(0.25)
    departure.watch()
    assert left == []


@pytest.mark.parametrize("kind", ["wildcard", "text port", "unix"])
async def test_the_socket_is_found_by_what_servers_say_of_it(kind: str, tmp_path: Path) -> None:
    gone = asyncio.Event()
    limits = EndpointLimits(Settings())
    departure = ServerShutdown(limits, RequestTicker(1.0), gone.set)
    if kind == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(tmp_path / "s"))
        sock.listen()
        server = (str(tmp_path / "s"), None)
    else:
        sock = socket.create_server(("0.0.0.0" if kind == "wildcard" else "127.0.0.1", 0))
        port = sock.getsockname()[1]
        server = ("127.0.0.1", str(port) if kind == "text port" else port)
    departure.note({"server": server})
    limits.take_request(HEAD)
    departure.watch()
    sock.close()
    async with asyncio.timeout(5):
        await gone.wait()


async def test_what_is_not_found_is_never_missed() -> None:
    """A test client, say, whose server has no socket."""
    limits = EndpointLimits(Settings())
    left: list[str] = []
    for server in (None, ("testserver", 80), ("testserver", None)):
        departure = ServerShutdown(limits, RequestTicker(1.0), lambda: left.append("left"))
        departure.note({"server": server})
        limits.take_request(HEAD)
        departure.watch()
    await asyncio.sleep(0.25)
    assert left == []


def with_session(port: int, session: str | None, revision: str | None) -> Prober:
    prober = Prober(port)
    prober.session, prober.revision = session, revision
    return prober


async def test_a_session_of_another_process_is_not_lost_silently(caplog: pytest.LogCaptureFixture) -> None:
    """A restarted server, or another worker that nobody told us of."""
    app = App("restarted", store=None)
    async with serving(app.asgi()) as port:
        prober = await Prober(port).ready()
        session = prober.session
    async with serving(app.asgi()) as port:
        after = with_session(port, session, prober.revision)
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                refused = await after.call("tools/list")
                assert refused.status == 404
                assert "another process" in refused.json["error"]["message"]
        assert caplog.text.count("another process opened") == 1
        own = await Prober(port).ready()
        assert own.session is not None
        unknown = with_session(port, "A" * 43, prober.revision)
        assert "another process" not in (await unknown.call("tools/list")).json["error"]["message"]
