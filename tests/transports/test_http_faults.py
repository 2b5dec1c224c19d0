"""Streamable HTTP, the client's side, against servers that die, lie, stall, flood and lead astray."""

import asyncio
import gzip
import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from scripted import (
    MODERN_RESULT,
    TOOL_RESULT,
    Collector,
    Wire,
    answer_to,
    error_to,
    event,
    head,
    initialized_notice,
    log_notice,
    modern_call,
    opened,
    ping,
    response,
    scripted,
    tool_call,
)

from dovetail.protocol.errors import (
    ConnectFailed,
    ConnectionLost,
    DovetailError,
    HTTPStatusError,
    MessageTooLarge,
    RemoteProtocolError,
    TransportError,
)
from dovetail.transports.client_transport import Outgoing
from dovetail.transports.http_client.transport import HTTPTransport

SECRET = "Bearer top-secret-token"


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No file descriptor more than before."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before


def json_answer(out: Outgoing) -> bytes:
    result = MODERN_RESULT if out.stateless else TOOL_RESULT
    return response(200, json.dumps(answer_to(out.id or 0, result)).encode(), "application/json")


def stream_answer(out: Outgoing) -> bytes:
    result = MODERN_RESULT if out.stateless else TOOL_RESULT
    body = event(log_notice()) + event(answer_to(out.id or 0, result))
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}) + chunks


@pytest.mark.hostile
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("build", [json_answer, stream_answer])
@pytest.mark.parametrize("make", [tool_call, modern_call])
async def test_f36_an_answer_cut_at_any_byte_is_an_answer_or_a_loss(
    make: Any, build: Any, reset: bool
) -> None:
    """F36: exactly one outcome at once, the truth about a retry, and a tool call is sent once."""
    whole = build(make(1))
    cut = 0

    async def script(wire: Wire) -> None:
        await wire.raw(whole[:cut])
        if reset:
            await asyncio.sleep(0)
            wire.reset()
        else:
            wire.cut()

    answered: list[int] = []
    promises: set[bool] = set()
    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        for cut in range(len(whole)):
            before = len(server.requests)
            async with asyncio.timeout(5):
                try:
                    reply = await transport.request(make(1))
                except ConnectionLost as problem:
                    promises.add(problem.retry_safe)
                else:
                    assert reply.message.id == 1
                    answered.append(cut)
            assert len(server.requests) == before + 1
        await transport.close()
    assert promises == {False}
    # only the last bytes of a stream, after the answer's own, are dispensable
    assert all(cut >= len(whole) - 9 for cut in answered)


ODD: dict[str, tuple[bytes, type[DovetailError]]] = {
    "no content": (response(204), HTTPStatusError),
    "accepted": (response(202), HTTPStatusError),
    "html": (response(200, b"<html><script>evil</script><h1>Hi\x1b[31m</h1>", "text/html"), HTTPStatusError),
    "no type": (response(200, b"{}"), HTTPStatusError),
    "wrong charset": (response(200, b"{}", "application/json; charset=utf-16"), HTTPStatusError),
    "bad gateway": (response(502, b"<h1>Bad gateway</h1>", "text/html"), HTTPStatusError),
    "proxy login": (response(407, b"", "text/html"), HTTPStatusError),
    "upgrade": (head(101, {}), TransportError),
    "strange status": (response(999, b"x"), HTTPStatusError),
    "no json": (response(200, b"nonsense", "application/json"), RemoteProtocolError),
    "empty json": (response(200, b"", "application/json"), RemoteProtocolError),
    "no message": (response(200, b"{}", "application/json"), RemoteProtocolError),
    "wrong id": (response(200, json.dumps(answer_to(77)).encode(), "application/json"), RemoteProtocolError),
    "text of another id": (
        response(200, json.dumps(answer_to("77")).encode(), "application/json"),
        RemoteProtocolError,
    ),
    "notice": (response(200, json.dumps(log_notice()).encode(), "application/json"), RemoteProtocolError),
    "deep": (response(200, b"[" * 100_000, "application/json"), RemoteProtocolError),
    "invalid utf-8": (response(200, b'{"\xff":1}', "application/json"), RemoteProtocolError),
    "no http": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", ConnectionLost),
    "binary": (bytes(range(256)) * 4, ConnectionLost),
    "large header": (head(200, {"X": "y" * 100_000}), ConnectionLost),
    "many headers": (head(200, {f"X-{n}": "y" for n in range(5000)}), ConnectionLost),
    "two lengths": (head(200, {"Content-Length": "3", "content-length": "5"}) + b"abcde", ConnectionLost),
    "bad length": (head(200, {"Content-Length": "-5"}), ConnectionLost),
    "bad chunk": (
        head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}) + b"zz\r\n",
        ConnectionLost,
    ),
    "empty stream": (head(200, {"Content-Type": "text/event-stream", "Content-Length": "0"}), ConnectionLost),
}


@pytest.mark.hostile
@pytest.mark.parametrize("name", ODD)
async def test_f43_odd_answers_are_typed_errors_and_the_client_lives_on(name: str) -> None:
    """F43 and worse: one typed error, short and clean, and the next call works."""
    raw, kind = ODD[name]

    async def script(wire: Wire) -> None:
        if wire.request.id == 1:
            await wire.raw(raw)
            wire.cut()
        else:
            await wire.result()

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        async with asyncio.timeout(5):
            with pytest.raises(kind) as caught:
                await transport.request(tool_call(1))
        text = str(caught.value)
        assert len(text) < 700
        assert text.isprintable()
        assert "<" not in text
        assert "evil" not in text
        await transport.request(ping(2))
        await transport.close()


@pytest.mark.hostile
async def test_garbage_on_a_stream_is_counted_and_the_answer_still_arrives() -> None:
    async def script(wire: Wire) -> None:
        await wire.stream()
        for garbage in (b"nonsense", b"[]", b"{", b'{"jsonrpc":"1.0"}', b"\xff\xfe", b"[" * 5000):
            await wire.chunk(b"data: " + garbage + b"\n\n")
        await wire.chunk(b"event: other\ndata: {}\n\n")
        await wire.event(answer_to(99))
        await wire.event(answer_to(1))
        await wire.end()

    async with scripted(script) as server:
        transport, receiver = await opened(server.url)
        await transport.request(ping(1))
        assert transport.malformed == 6
        assert transport.late == 1
        assert receiver.messages == []
        await transport.close()


@pytest.mark.hostile
@pytest.mark.parametrize(
    "header, seconds",
    [("7", 7.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None), ("9" * 50, 86400.0)],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_says_when_to_come_back(status: int, header: str, seconds: float | None) -> None:
    async def script(wire: Wire) -> None:
        await wire.json(error_to(None, -32603, "busy"), status, headers={"Retry-After": header})

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        with pytest.raises(HTTPStatusError) as caught:
            await transport.request(tool_call())
        assert caught.value.status == status
        assert caught.value.retry_after == seconds
        assert caught.value.retry_safe
        await transport.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_v32_f44_redirects_are_refused_and_credentials_stay(status: int) -> None:
    """V32, F44."""

    async def elsewhere(wire: Wire) -> None:
        await wire.result()

    async with scripted(elsewhere) as other:

        async def script(wire: Wire) -> None:
            await wire.answer(status, headers={"Location": other.url.replace("//", "//u:p@") + "?key=hidden"})

        async with scripted(script) as server:
            transport, _ = await opened(server.url, headers={"Authorization": SECRET})
            with pytest.raises(HTTPStatusError) as caught:
                await transport.request(ping())
            assert caught.value.status == status
            assert other.url in str(caught.value)
            assert "hidden" not in str(caught.value)
            assert "u:p" not in str(caught.value)
            with pytest.raises(HTTPStatusError):
                await transport.send(initialized_notice())
            await transport.close()
        assert other.requests == []
        assert len(server.requests) == 2


@pytest.mark.hostile
async def test_what_we_sent_as_a_secret_is_not_shown_when_it_comes_back() -> None:
    async def script(wire: Wire) -> None:
        echoed = (
            f"your token {wire.request.headers['authorization']} and {wire.request.headers['x-key']} are bad"
        )
        await wire.answer(400, echoed.encode(), "text/plain")

    async with scripted(script) as server:
        headers = {"Authorization": SECRET, "X-Key": "key-0123456789"}
        transport, _ = await opened(server.url + "?api_key=in-the-query", headers=headers)
        with pytest.raises(HTTPStatusError) as caught:
            await transport.request(ping())
        for shown in (str(caught.value), caught.value.excerpt, repr(caught.value), transport.describe()):
            assert "top-secret" not in shown
            assert "key-0123456789" not in shown
            assert "in-the-query" not in shown
        await transport.close()
    assert server.requests[0].path.endswith("?api_key=in-the-query")


@pytest.mark.parametrize("safe", [True, False])
async def test_f45_a_connection_that_dies_idle_does_not_double_a_tool_call(safe: bool) -> None:
    """F45: the server closes a kept connection just as the next request arrives."""

    async def script(wire: Wire) -> None:
        if len(wire.server.requests) == 2:
            wire.cut()
        else:
            await wire.result(TOOL_RESULT if wire.request.json["method"] == "tools/call" else {})

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        await transport.request(ping(1))
        if safe:
            await transport.request(ping(2))
        else:
            with pytest.raises(ConnectionLost) as caught:
                await transport.request(tool_call(2))
            assert not caught.value.retry_safe
        await transport.request(tool_call(3))
        await transport.close()
    assert [r.id for r in server.requests] == ([1, 2, 2, 3] if safe else [1, 2, 3])


async def test_http_1_0_without_lengths_works() -> None:
    async def script(wire: Wire) -> None:
        stream = wire.request.id == 2
        kind = "text/event-stream" if stream else "application/json"
        body = event(answer_to(2)) if stream else json.dumps(answer_to(wire.request.id)).encode()
        await wire.raw(b"HTTP/1.0 200 OK\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + body)
        wire.cut()

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        await transport.request(ping(1))
        await transport.request(ping(2))
        await transport.close()


@pytest.mark.hostile
@pytest.mark.parametrize("how", ["length", "chunks", "gzip", "event", "comment"])
async def test_f9_f12_what_is_too_large_is_refused_before_it_is_kept(how: str) -> None:
    """F9, F12: a small bound, an endless body; a comment of any length is nothing to keep."""
    limit, piece = 100_000, b"x" * 50_000
    sent = 0

    async def script(wire: Wire) -> None:
        nonlocal sent
        kind = "text/event-stream" if how in ("event", "comment") else "application/json"
        headers = {"Content-Type": kind}
        if how == "length":
            await wire.raw(head(200, headers | {"Content-Length": str(10**12)}))
        elif how == "gzip":
            bomb = gzip.compress(b"0" * 50_000_000)
            await wire.raw(response(200, bomb, kind, headers={"Content-Encoding": "gzip"}))
            return
        else:
            await wire.raw(head(200, headers | {"Transfer-Encoding": "chunked"}))
            await wire.chunk({"event": b"data: ", "comment": b":", "chunks": b""}[how] + b"y")
        with suppress(ConnectionError):
            for _ in range(200 if how == "comment" else 100_000):
                await (wire.raw(piece) if how == "length" else wire.chunk(piece))
                sent += len(piece)
        if how == "comment":
            await wire.chunk(b"\n\n" + event(answer_to(1)))
            await wire.end()

    async with scripted(script) as server:
        transport, _ = await opened(server.url, max_message=limit)
        async with asyncio.timeout(10):
            if how == "comment":
                with pytest.raises(MessageTooLarge):
                    await transport.request(ping(1))
            else:
                with pytest.raises(MessageTooLarge):
                    await transport.request(ping(1))
        await transport.close()
    assert sent < 100_000_000


async def test_no_connection_is_a_safe_retry() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        transport, _ = await opened(f"http://127.0.0.1:{closed.getsockname()[1]}/mcp")
        with pytest.raises(ConnectFailed) as caught:
            await transport.request(tool_call())
        assert caught.value.retry_safe
        await transport.close()
    named, _ = await opened("http://no-such-host.invalid/mcp")
    with pytest.raises(ConnectFailed):
        await named.request(tool_call())
    await named.close()


async def test_a_host_that_does_not_answer_is_given_up() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting: list[socket.socket] = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(full.getsockname())
            waiting.append(client)
        transport, _ = await opened(f"http://127.0.0.1:{full.getsockname()[1]}/mcp", connect_timeout=0.2)
        async with asyncio.timeout(5):
            with pytest.raises(ConnectFailed) as caught:
                await transport.request(tool_call())
        assert caught.value.retry_safe
        await transport.close()
        for client in waiting:
            client.close()


async def test_tls_to_a_server_without_it_is_a_failed_connection() -> None:
    async def script(wire: Wire) -> None:
        await wire.result()

    async with scripted(script) as server:
        transport, _ = await opened(server.url.replace("http:", "https:"), connect_timeout=0.2)
        async with asyncio.timeout(5):
            with pytest.raises(ConnectFailed):
                await transport.request(ping())
        await transport.close()


async def test_a_notification_that_is_never_accepted_ends_in_time() -> None:
    async def script(wire: Wire) -> None:
        await wire.gone.wait()
        wire.cut()

    async with scripted(script) as server:
        transport, _ = await opened(server.url, send_timeout=0.1)
        async with asyncio.timeout(5):
            with pytest.raises(TransportError, match="did not accept"):
                await transport.send(initialized_notice())
        await transport.close()


async def test_a_receiver_that_fails_costs_its_message_only() -> None:
    class Faulty(Collector):
        async def message(self, message: Any, related: Any) -> None:
            raise RuntimeError("boom")

    async def script(wire: Wire) -> None:
        await wire.stream()
        await wire.event(log_notice())
        await wire.event(answer_to(1))
        await wire.end()

    async with scripted(script) as server:
        transport = HTTPTransport(server.url)
        await transport.open(Faulty())
        await transport.request(ping(1))
        await transport.close()


async def test_the_environment_gives_a_proxy_but_never_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(wire: Wire) -> None:
        await wire.result()

    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with scripted(script) as proxy, scripted(script) as server:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/mcp").replace("//", "//user:word@"))
        direct, _ = await opened(server.url)
        await direct.request(ping(1))
        await direct.close()
        through, _ = await opened("http://service.example/mcp", headers={"Authorization": SECRET})
        await through.request(ping(1))
        await through.close()
    assert len(server.requests) == 1
    assert [r.path for r in proxy.requests] == ["http://service.example/mcp"]
    assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")
    assert proxy.requests[0].headers["authorization"] == SECRET


async def test_neither_cookies_nor_netrc_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    async def script(wire: Wire) -> None:
        await wire.result(None, headers={"Set-Cookie": "a=b; Path=/"})

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        await transport.request(ping(1))
        await transport.request(ping(2))
        await transport.close()
    for request in server.requests:
        assert "cookie" not in request.headers
        assert "authorization" not in request.headers


async def test_hundreds_of_waiting_calls_do_not_keep_an_answer_to_the_server_out() -> None:
    async def script(wire: Wire) -> None:
        if wire.request.id is None:
            await wire.answer(202)
            return
        await wire.gone.wait()
        wire.cut()

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        calls = [asyncio.create_task(transport.request(ping(number))) for number in range(150)]
        await server.seen(150)
        async with asyncio.timeout(5):
            await transport.send(initialized_notice())
        await transport.close()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome).__name__ for outcome in outcomes} == {"Closed"}


@pytest.mark.parametrize("read", [0, 100, 700_000])
async def test_a_request_cut_while_it_is_sent_is_a_loss_and_not_sent_again(read: int) -> None:
    """F36, the other direction: the server goes away in the middle of what we send."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        if read:
            await reader.readexactly(read)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    transport, _ = await opened(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp")
    call = tool_call(1)
    large = Outgoing(
        call.data.replace(b'"work"', b'"' + b"w" * 1_000_000 + b'"'), 1, call.method, False, call.revision
    )
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionLost) as caught:
            await transport.request(large)
    assert not caught.value.retry_safe
    assert connections == 1
    await transport.close()
    server.close()
    await server.wait_closed()
