"""Credentials over HTTP: where they do not go, what breaks, and the transport of 2024-11-05."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from scripted import (
    Collector,
    Wire,
    answer_to,
    event,
    opened,
    ping,
    scripted,
    stateful,
    tool_call,
)
from scripted_auth import CHALLENGE, Scripted, accepts, guarded

from dovetail.protocol.errors import (
    ConnectionLost,
    LocalProtocolError,
    LoginRequired,
    RemoteProtocolError,
)
from dovetail.security.client_auth import Refusal
from dovetail.transports.http_client.sse_2024 import HTTPSSETransport
from dovetail.transports.http_client.transport import HTTPTransport


async def test_a_request_that_may_be_repeated_is_so_with_a_proof_of_its_own() -> None:
    auth = Scripted()

    async def script(wire: Wire) -> None:
        if len(wire.server.requests) in (2, 4):
            wire.cut()
        else:
            await stateful(wire)

    async with scripted(script) as server:
        transport, _ = await opened(server.url, auth=auth)
        await transport.request(ping(1))
        await transport.request(ping(2))
        with pytest.raises(ConnectionLost):
            await transport.request(tool_call(3))
        await transport.close()
    assert [r.id for r in server.requests] == [1, 2, 2, 3]
    assert len({r.headers["dpop"] for r in server.requests}) == 4


@pytest.mark.parametrize(
    "url, headers", [("http://u:p@127.0.0.1:9/mcp", None), ("http://127.0.0.1:9/mcp", {"AUTHORIZATION": "x"})]
)
def test_two_sources_of_credentials_are_refused(url: str, headers: Any) -> None:
    with pytest.raises(LocalProtocolError, match="authorization"):
        HTTPTransport(url, headers=headers, auth=Scripted())


async def test_two_sources_of_credentials_are_refused_when_they_show_only_later() -> None:
    async with scripted(stateful) as server:
        transport, _ = await opened(server.url, headers=lambda: {"Authorization": "x"}, auth=Scripted())
        with pytest.raises(LocalProtocolError, match="authorization"):
            await transport.request(ping())
        await transport.close()
        other, _ = await opened(server.url, headers=lambda: {"dpop": "x"}, auth=Scripted())
        with pytest.raises(LocalProtocolError, match="dpop"):
            await other.request(ping())
        await other.close()
    assert server.requests == []


@pytest.mark.hostile
@pytest.mark.parametrize("header", [{"Mcp-Session-Id": "x"}, {"Authorization": "a\r\nb: c"}, {"Host\n": "a"}])
async def test_credentials_that_break_things_are_not_sent(header: dict[str, str]) -> None:
    class Broken(Scripted):
        async def headers(self, method: str, url: str) -> Mapping[str, str]:
            return header

    async with scripted(stateful) as server:
        transport, _ = await opened(server.url, auth=Broken())
        with pytest.raises(LocalProtocolError) as caught:
            await transport.request(ping())
        assert "b: c" not in str(caught.value)
        await transport.close()
    assert server.requests == []


async def test_f34_one_that_breaks_is_contained(caplog: pytest.LogCaptureFixture) -> None:
    """F34: an error that names no secret; a listener that fails costs nothing."""

    class Broken(Scripted):
        broken = ""

        async def headers(self, method: str, url: str) -> Mapping[str, str]:
            if self.broken == "headers":
                raise RuntimeError(self.token)
            return await super().headers(method, url)

        async def refused(self, refusal: Refusal) -> bool:
            raise TimeoutError(self.token)

        def answered(self, url: str, headers: Mapping[str, str]) -> None:
            raise RuntimeError(self.token)

    auth = Broken()

    async def script(wire: Wire) -> None:
        await guarded(stateful, int(wire.request.id == 2))(wire)

    caplog.set_level(logging.DEBUG)
    async with scripted(script) as server:
        transport, _ = await opened(server.url, auth=auth)
        await transport.request(tool_call(1))
        with pytest.raises(LoginRequired, match="TimeoutError") as caught:
            await transport.request(tool_call(2))
        assert "secret" not in str(caught.value)
        auth.broken = "headers"
        with pytest.raises(LocalProtocolError, match="RuntimeError") as unsent:
            await transport.request(tool_call(3))
        assert "secret" not in str(unsent.value)
        await transport.close()
    assert "secret" not in caplog.text
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [301, 307, 308])
async def test_v32_credentials_follow_no_redirect(status: int) -> None:
    async with scripted(stateful) as other:

        async def script(wire: Wire) -> None:
            await wire.answer(status, headers={"Location": other.url})

        async with scripted(script) as server:
            transport, _ = await opened(server.url, auth=Scripted())
            with pytest.raises(Exception, match="Redirects are not followed"):
                await transport.request(ping())
            await transport.close()
    assert other.requests == []


# The transport of 2024-11-05


async def old_opened(url: str, **options: Any) -> tuple[HTTPSSETransport, Collector]:
    transport, receiver = HTTPSSETransport(url, **options), Collector()
    try:
        await transport.open(receiver)
    except BaseException:
        await transport.close()
        raise
    return transport, receiver


class Old:
    """A server of 2024-11-05 whose answers come on the stream; it demands a token for both."""

    def __init__(self, endpoint: str = "/messages") -> None:
        self.endpoint = endpoint
        self.stream: asyncio.Queue[bytes] = asyncio.Queue()
        self.get, self.post = 1, 2

    async def __call__(self, wire: Wire) -> None:
        if not accepts(wire, self.get if wire.request.method == "GET" else self.post):
            await wire.answer(401, headers=CHALLENGE)
        elif wire.request.method == "POST":
            self.stream.put_nowait(event(answer_to(wire.request.id)))
            await wire.answer(202)
        else:
            await wire.stream()
            await wire.chunk(f"event: endpoint\ndata: {self.endpoint}\n\n".encode())
            while True:
                await wire.chunk(await self.stream.get())


async def test_the_transport_of_2024_asks_for_credentials_too() -> None:
    auth = Scripted()
    async with scripted(Old()) as server:
        transport, _ = await old_opened(server.url, auth=auth)
        async with asyncio.timeout(5):
            await transport.request(ping(1))
        await transport.close()
    assert [r.method for r in server.requests] == ["GET", "GET", "POST", "POST"]
    assert [refusal.url for refusal in auth.refusals] == [server.url, server.url.replace("/mcp", "/messages")]


async def test_the_deadlines_of_the_transport_of_2024_stand_still_too() -> None:
    auth = Scripted()
    auth.gate.clear()
    async with scripted(Old()) as server:
        opening = asyncio.create_task(
            old_opened(server.url, auth=auth, connect_timeout=0.2, send_timeout=0.2)
        )
        await auth.asked.wait()
        assert not (await asyncio.wait({opening}, timeout=0.5))[0]
        auth.gate.set()
        transport, _ = await opening
        auth.gate.clear()
        auth.asked.clear()
        call = asyncio.create_task(transport.request(ping(1)))
        await auth.asked.wait()
        assert not (await asyncio.wait({call}, timeout=0.5))[0]
        auth.gate.set()
        await call
        await transport.close()


@pytest.mark.hostile
@pytest.mark.parametrize(
    "endpoint",
    [
        "http://localhost:9/messages",
        "https://127.0.0.1/messages",
        "//evil.invalid/messages",
        "http://127.0.0.1@evil.invalid/",
        "http://127.0.0.1\\@evil.invalid/",
        "http+unix:///run/other.sock:/mcp",
        "data:text/plain,x",
    ],
)
async def test_an_endpoint_of_another_origin_gets_no_credentials(endpoint: str) -> None:
    async with scripted(Old(endpoint)) as server:
        with pytest.raises(RemoteProtocolError) as caught:
            await old_opened(server.url, auth=Scripted())
        assert "secret" not in str(caught.value)
    assert {r.method for r in server.requests} == {"GET"}


async def test_falling_back_to_2024_takes_the_credentials_along() -> None:
    auth = Scripted()
    transport = HTTPTransport("http://127.0.0.1:9/mcp", headers={"X-Key": "k"}, auth=auth)
    fallen: Any = transport.fall_back_to_sse()
    assert fallen.endpoint.auth is auth
    assert await fallen.endpoint.headers() == {"x-key": "k"}
    await transport.close()
    await fallen.close()
