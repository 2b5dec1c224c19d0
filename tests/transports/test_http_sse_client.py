"""The client's HTTP+SSE transport of 2024-11-05 against scripted servers."""

import asyncio
from typing import Any

import pytest
from scripted import (
    TOOL_RESULT,
    Collector,
    Wire,
    answer_to,
    event,
    initialize,
    initialized_notice,
    log_notice,
    ping,
    scripted,
    tool_call,
)

from dovetail.protocol.errors import (
    Closed,
    ConnectFailed,
    ConnectionLost,
    DovetailError,
    HTTPStatusError,
    LoginRequired,
    MessageTooLarge,
    RemoteProtocolError,
)
from dovetail.transports.http_client.sse_2024 import HTTPSSETransport
from dovetail.transports.http_client.transport import HTTPTransport


class Old:
    """A server of 2024-11-05 on one URL: GET opens the stream, POSTs elsewhere put their answers on it."""

    def __init__(self, endpoint: str = "/messages?session=1") -> None:
        self.endpoint = endpoint
        self.stream: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def __call__(self, wire: Wire) -> None:
        if wire.request.method == "GET":
            await wire.stream()
            await wire.chunk(b"event: endpoint\ndata: " + self.endpoint.encode() + b"\n\n")
            while (data := await self._next(wire)) is not None:
                await wire.chunk(data)
            wire.cut()
        elif not wire.request.path.startswith("/messages"):
            await wire.answer(405)
        else:
            await wire.answer(202, b"Accepted", "text/plain")
            if wire.request.id is not None:
                self.stream.put_nowait(event(log_notice(str(wire.request.id))))
                result = TOOL_RESULT if wire.request.json["method"] == "tools/call" else {}
                self.stream.put_nowait(event(answer_to(wire.request.id, result)))

    async def _next(self, wire: Wire) -> bytes | None:
        item = asyncio.create_task(self.stream.get())
        gone = asyncio.create_task(wire.gone.wait())
        await asyncio.wait({item, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if item.done():
            return item.result()
        item.cancel()
        return None


async def opened(url: str, **options: Any) -> tuple[HTTPSSETransport, Collector]:
    transport, receiver = HTTPSSETransport(url, **options), Collector()
    try:
        await transport.open(receiver)
    except BaseException:
        await transport.close()
        raise
    return transport, receiver


@pytest.mark.requirement("R2411-TRANSPORT-HTTP-003")
async def test_posts_go_to_the_endpoint_and_answers_come_on_the_stream() -> None:
    async with scripted(Old()) as server:
        transport, receiver = await opened(server.url, headers={"Authorization": "Bearer abc"})
        assert (transport.name, transport.http, transport.shared) == ("sse", True, True)
        await transport.send(initialized_notice())
        replies = await asyncio.gather(*(transport.request(tool_call(number)) for number in range(20)))
        assert [reply.message.id for reply in replies] == list(range(20))
        assert sorted(receiver.texts) == sorted(str(number) for number in range(20))
        await transport.listen()
        await transport.end_session()
        await transport.close()
    get, *posts = server.requests
    assert (get.method, get.path, get.headers["accept"]) == ("GET", "/mcp", "text/event-stream")
    assert {post.path for post in posts} == {"/messages?session=1"}
    assert all(request.headers["authorization"] == "Bearer abc" for request in server.requests)


async def test_the_streamable_transport_falls_back() -> None:
    async with scripted(Old()) as server:
        first = HTTPTransport(server.url.replace("//", "//me:pw@"), headers={"X-A": "b"})
        await first.open(Collector())
        with pytest.raises(HTTPStatusError) as caught:
            await first.request(initialize())
        assert caught.value.status == 405
        second = first.fall_back_to_sse()
        await first.close()
        await second.open(Collector())
        await second.request(ping(1))
        await second.close()
    for request in server.requests:
        assert request.headers["x-a"] == "b"
        assert request.headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:1/messages",
        "https://127.0.0.1/messages",
        "//evil.example/messages",
        "http://evil.example/",
        "file:///etc/passwd",
        "http://user:word@{host}/messages",
        "javascript:alert(1)",
        "http://[broken",
        "x" * 5000,
    ],
)
async def test_an_endpoint_elsewhere_is_refused_before_anything_is_sent(endpoint: str) -> None:
    old = Old()
    async with scripted(old) as server:
        old.endpoint = endpoint.replace("{host}", server.url.split("/")[2])
        with pytest.raises(RemoteProtocolError):
            await opened(server.url, headers={"Authorization": "Bearer abc"})
    assert [request.method for request in server.requests] == ["GET"]


@pytest.mark.parametrize("how", ["html", "status", "login", "nothing", "message first", "cut"])
async def test_what_is_no_such_server_is_a_typed_error(how: str) -> None:
    kinds: dict[str, type[DovetailError]] = {
        "html": HTTPStatusError,
        "status": HTTPStatusError,
        "login": LoginRequired,
        "nothing": ConnectFailed,
        "message first": RemoteProtocolError,
        "cut": ConnectionLost,
    }

    async def script(wire: Wire) -> None:
        if how == "html":
            await wire.answer(200, b"<html>", "text/html")
        elif how == "status":
            await wire.answer(404, b"no", "text/plain")
        elif how == "login":
            await wire.answer(401, headers={"WWW-Authenticate": "Bearer"})
        else:
            await wire.stream()
            if how == "message first":
                await wire.event(log_notice())
            if how != "cut":
                await wire.gone.wait()
            wire.cut()

    async with scripted(script) as server:
        async with asyncio.timeout(5):
            with pytest.raises(kinds[how]):
                await opened(server.url, connect_timeout=0.3 if how == "nothing" else 3.0)


async def test_the_end_of_the_stream_fails_what_is_open() -> None:
    old = Old()

    async def script(wire: Wire) -> None:
        if wire.request.method == "GET":
            await old(wire)
        else:
            await wire.answer(202)

    async with scripted(script) as server:
        transport, receiver = await opened(server.url)
        call = asyncio.create_task(transport.request(tool_call(1)))
        await server.seen(2)
        old.stream.put_nowait(None)
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionLost) as caught:
                await call
        assert not caught.value.retry_safe
        assert len(receiver.losses) == 1
        await transport.open(receiver)
        await transport.close()


async def test_a_refused_post_fails_its_call_only() -> None:
    old = Old()

    async def script(wire: Wire) -> None:
        if wire.request.method == "POST" and wire.request.id == 1:
            await wire.answer(500, b"oops", "text/plain")
        else:
            await old(wire)

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        with pytest.raises(HTTPStatusError, match="oops"):
            await transport.request(ping(1))
        await transport.request(ping(2))
        await transport.close()


@pytest.mark.hostile
async def test_an_event_beyond_the_limit_ends_the_stream_with_its_cause() -> None:
    old = Old()
    async with scripted(old) as server:
        transport, receiver = await opened(server.url, max_message=1000)
        old.stream.put_nowait(event(log_notice("fits")) + event(log_notice("y" * 5000)))
        await receiver.ended.wait()
        assert isinstance(receiver.losses[0], MessageTooLarge)
        assert receiver.texts == ["fits"]
        await transport.close()


@pytest.mark.hostile
async def test_a_stream_cut_at_any_byte_is_an_answer_or_a_loss() -> None:
    whole = event(answer_to(1, TOOL_RESULT))
    cut = 0

    async def script(wire: Wire) -> None:
        if wire.request.method == "POST":
            await wire.answer(202)
            return
        await wire.stream()
        await wire.chunk(b"event: endpoint\ndata: /messages\n\n")
        await wire.server.seen(len(wire.server.requests) + 1)
        await wire.raw(b"%x\r\n%s" % (len(whole), whole[:cut]))
        wire.cut()

    answered: list[int] = []
    async with scripted(script) as server:
        for cut in range(len(whole) + 1):
            transport, _ = await opened(server.url)
            async with asyncio.timeout(5):
                try:
                    await transport.request(tool_call(1))
                except ConnectionLost:
                    pass
                else:
                    answered.append(cut)
            await transport.close()
    assert answered == [len(whole)]


async def test_closing_is_possible_at_any_time_and_twice() -> None:
    async with scripted(Old()) as server:
        transport, receiver = await opened(server.url)
        await asyncio.gather(transport.close(), transport.close())
        for attempt in (
            transport.request(ping()),
            transport.send(initialized_notice()),
            transport.open(receiver),
        ):
            with pytest.raises(Closed):
                await attempt
        never = HTTPSSETransport(server.url)
        await never.close()
