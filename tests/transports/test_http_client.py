"""Streamable HTTP, the client's side, against servers that behave: both eras, sessions, resumption."""

import asyncio
import json
import subprocess
import sys

import pytest
from scripted import (
    INITIALIZED,
    MODERN_RESULT,
    SESSION,
    STATEFUL,
    STATELESS,
    TOOL_RESULT,
    Collector,
    Wire,
    answer_to,
    error_to,
    initialize,
    initialized_notice,
    log_notice,
    modern_call,
    opened,
    ping,
    scripted,
    stateful,
    tool_call,
)
from scripted_auth import Scripted

from dovetail.protocol.envelope import Kind
from dovetail.protocol.errors import (
    Closed,
    ConnectFailed,
    ConnectionLost,
    HTTPStatusError,
    LocalProtocolError,
    LoginRequired,
    RemoteProtocolError,
    SessionEnded,
)
from dovetail.transports.http_client.transport import HTTPTransport


@pytest.mark.requirement(
    "R2511-TRANSPORT-HTTP-002",
    "R2511-TRANSPORT-HTTP-003",
    "R2511-TRANSPORT-HTTP-004",
    "R2511-TRANSPORT-HTTP-005",
    "R2511-TRANSPORT-HTTP-044",
    "R2511-TRANSPORT-HTTP-050",
    "R2511-VERSIONING-007",
)
async def test_a_stateful_conversation_carries_its_headers() -> None:
    async with scripted(stateful) as server:
        transport, _ = await opened(server.url, headers={"X-Key": "k"})
        reply = await transport.request(initialize())
        assert reply.status == 200
        assert json.loads(bytes(reply.message.body)) == INITIALIZED
        await transport.send(initialized_notice())
        await transport.request(ping(1))
        await transport.end_session()
        await transport.close()
    first, notice, second, last = server.requests
    assert [r.method for r in server.requests] == ["POST", "POST", "POST", "DELETE"]
    assert "mcp-session-id" not in first.headers
    assert "mcp-protocol-version" not in first.headers
    for request in (notice, second, last):
        assert request.headers["mcp-session-id"] == SESSION
        assert request.headers["mcp-protocol-version"] == STATEFUL
    for request in (first, notice, second):
        assert request.headers["accept"] == "application/json, text/event-stream"
        assert request.headers["content-type"] == "application/json"
        assert isinstance(request.json, dict)
    assert all(request.headers["x-key"] == "k" for request in server.requests)
    assert server.connections == 1


@pytest.mark.requirement(
    "R2607-TRANSPORT-HTTP-002",
    "R2607-TRANSPORT-HTTP-003",
    "R2607-TRANSPORT-HTTP-004",
    "R2607-TRANSPORT-HTTP-005",
    "R2607-TRANSPORT-HTTP-006",
    "R2607-TRANSPORT-HTTP-017",
    "R2607-TRANSPORT-HTTP-018",
)
async def test_a_stateless_request_carries_its_headers_and_no_session() -> None:
    async def script(wire: Wire) -> None:
        await wire.result(MODERN_RESULT, headers={"Mcp-Session-Id": SESSION})

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        await transport.request(modern_call(1))
        await transport.request(modern_call(2))
        await transport.end_session()
        await transport.close()
    assert [r.method for r in server.requests] == ["POST", "POST"]
    for request in server.requests:
        assert request.headers["mcp-protocol-version"] == STATELESS
        assert request.headers["mcp-method"] == "tools/call"
        assert request.headers["mcp-name"] == "work"
        assert "mcp-session-id" not in request.headers
        assert request.headers["accept"] == "application/json, text/event-stream"


async def test_a_stateless_request_names_no_session_even_if_there_is_one() -> None:
    async def script(wire: Wire) -> None:
        if wire.request.json["method"] == "initialize":
            await stateful(wire)
        else:
            await wire.result(MODERN_RESULT)

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        await transport.request(initialize(0))
        await transport.request(modern_call(1))
        await transport.close()
    assert "mcp-session-id" not in server.requests[1].headers


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-009", "R2607-TRANSPORT-HTTP-011")
@pytest.mark.parametrize("modern", [False, True])
async def test_an_event_stream_hands_over_what_comes_before_the_answer(modern: bool) -> None:
    async def script(wire: Wire) -> None:
        await wire.stream()
        await wire.chunk(b": keep-alive\n\n")
        for number in range(3):
            await wire.event(log_notice(str(number)))
        await wire.event(answer_to(wire.request.id, MODERN_RESULT if modern else TOOL_RESULT))
        await wire.end()

    async with scripted(script) as server:
        transport, receiver = await opened(server.url)
        out = modern_call(7) if modern else tool_call(7)
        reply = await transport.request(out)
        assert reply.message.id == 7
        assert receiver.texts == ["0", "1", "2"]
        assert {related for _, related in receiver.messages} == {7}
        await transport.request(modern_call(8) if modern else tool_call(8))
        await transport.close()
    assert server.connections == 1, "the connection was not used again after the stream ended"


async def test_a_stream_that_stays_open_after_the_answer_is_let_go() -> None:
    async def script(wire: Wire) -> None:
        await wire.stream()
        await wire.event(answer_to(wire.request.id))
        await wire.gone.wait()
        wire.cut()

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        async with asyncio.timeout(5):
            await transport.request(ping())
            await transport.close()


async def test_an_answer_on_another_stream_ends_its_call() -> None:
    async def script(wire: Wire) -> None:
        if wire.request.method == "GET":
            await wire.stream()
            await wire.server.seen(2)
            await wire.event(answer_to(4, TOOL_RESULT))
            await wire.gone.wait()
        else:
            await wire.stream()
            await wire.gone.wait()
        wire.cut()

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        await transport.listen()
        async with asyncio.timeout(5):
            reply = await transport.request(tool_call(4))
        assert reply.message.id == 4
        await transport.close()


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-047")
async def test_a_lost_session_is_told_and_a_new_one_taken() -> None:
    sessions = iter(["sess-1a", "sess-2b"])

    async def script(wire: Wire) -> None:
        if wire.request.json["method"] == "initialize":
            await wire.result(INITIALIZED, headers={"Mcp-Session-Id": next(sessions)})
        elif wire.request.headers["mcp-session-id"] == "sess-1a":
            await wire.json(error_to(None, -32001, "Session not found"), 404)
        else:
            await wire.result()

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        await transport.request(initialize(0))
        with pytest.raises(SessionEnded) as caught:
            await transport.request(ping(1))
        assert caught.value.retry_safe
        assert "sess-1a" not in str(caught.value)
        await transport.request(initialize(2))
        await transport.request(ping(3))
        await transport.close()
    assert "mcp-session-id" not in server.requests[2].headers
    assert server.requests[3].headers["mcp-session-id"] == "sess-2b"


@pytest.mark.hostile
@pytest.mark.parametrize("session", ["has space", "x" * 200, "\x7f", "caf\u00e9"])
async def test_an_illegal_session_id_is_refused(session: str) -> None:
    async def script(wire: Wire) -> None:
        await wire.result(INITIALIZED, headers={"Mcp-Session-Id": session})

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        with pytest.raises((RemoteProtocolError, ConnectionLost)) as caught:
            await transport.request(initialize())
        assert session not in str(caught.value)
        assert not transport.has_session
        await transport.close()


async def test_json_rpc_errors_of_any_status_are_replies() -> None:
    statuses = iter([200, 400, 404, 500])

    async def script(wire: Wire) -> None:
        status = next(statuses)
        await wire.json(error_to(wire.request.id if status < 404 else None), status)

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        for number, status in enumerate([200, 400, 404, 500]):
            reply = await transport.request(ping(number))
            assert (reply.status, reply.message.kind, reply.message.id) == (status, Kind.ERROR, number)
        await transport.close()


@pytest.mark.requirement("R2511-AUTH-055")
async def test_credentials_come_from_the_url_or_a_function_and_are_asked_for_each_request() -> None:
    count = 0

    async def fresh() -> dict[str, str]:
        nonlocal count
        count += 1
        return {"Authorization": f"Bearer token-{count}"}

    async with scripted(stateful) as server:
        transport, _ = await opened(server.url, headers=fresh)
        await transport.request(ping(1))
        await transport.request(ping(2))
        await transport.close()
        named, _ = await opened(server.url.replace("//", "//user:pa%20ss@"))
        await named.request(ping(3))
        assert "pa" not in named.describe().removesuffix("/mcp")
        await named.close()
    sent = [r.headers["authorization"] for r in server.requests]
    assert sent == ["Bearer token-1", "Bearer token-2", "Basic dXNlcjpwYSBzcw=="]


@pytest.mark.parametrize(
    "status,challenge", [(401, 'Bearer scope="a b"'), (403, 'Bearer error="insufficient_scope", scope="a b"')]
)
async def test_a_refusal_for_want_of_authorization_carries_the_challenge(status: int, challenge: str) -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(status, b"no", "text/plain", headers={"WWW-Authenticate": challenge})

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        with pytest.raises(LoginRequired) as caught:
            await transport.request(tool_call())
        assert caught.value.status == status
        assert caught.value.challenge == challenge
        assert caught.value.retry_safe
        with pytest.raises(LoginRequired):
            await transport.send(initialized_notice())
        await transport.close()


@pytest.mark.parametrize("challenge", [None, "Bearer", 'Bearer error="invalid_token"', "Basic realm=x"])
async def test_a_403_that_asks_for_no_scope_is_no_matter_of_logging_in(challenge: str | None) -> None:
    auth = Scripted()

    async def script(wire: Wire) -> None:
        headers = {} if challenge is None else {"WWW-Authenticate": challenge}
        await wire.answer(403, b"blocked by a rule", "text/plain", headers=headers)

    async with scripted(script) as server:
        transport, _ = await opened(server.url, auth=auth)
        with pytest.raises(HTTPStatusError, match=r"403.*not allow.*blocked by a rule") as caught:
            await transport.request(tool_call())
        assert not isinstance(caught.value, LoginRequired)
        await transport.close()
    assert auth.refusals == []
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "header",
    [
        {"mcp-session-id": "x"},
        {"Mcp-Param-A": "x"},
        {"Content-Length": "1"},
        {"X-A": "a\r\nb: c"},
        {"X\n": "a"},
        {"X-A": "\u20ac"},
    ],
)
async def test_headers_that_break_things_are_refused_before_anything_is_sent(header: dict[str, str]) -> None:
    with pytest.raises(LocalProtocolError):
        await opened("http://127.0.0.1:9/mcp", headers=header)


@pytest.mark.parametrize(
    "url", ["ftp://x/", "http://", "localhost:80", "http://h:99999/", "http+unix://x", "http://a b/"]
)
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(LocalProtocolError):
        HTTPTransport(url)


async def test_http_over_a_unix_socket(tmp_path: object) -> None:
    path = f"{tmp_path}/s.sock"
    async with scripted(stateful, unix=path) as server:
        transport, _ = await opened(server.url)
        await transport.request(ping())
        await transport.close()
    assert server.requests[0].path == "/mcp"
    assert server.requests[0].headers["host"] == "localhost"
    gone, _ = await opened(f"http+unix://{path}.none:/mcp")
    with pytest.raises(ConnectFailed):
        await gone.request(ping())
    await gone.close()


@pytest.mark.requirement("R2607-CANCELLATION-007")
@pytest.mark.parametrize("streaming", [False, True])
async def test_cancelling_a_call_closes_its_stream_and_nothing_else(streaming: bool) -> None:
    gone = asyncio.Event()

    async def script(wire: Wire) -> None:
        if wire.request.id == 1:
            if streaming:
                await wire.stream()
                await wire.event(log_notice())
            await wire.gone.wait()
            gone.set()
            wire.cut()
        else:
            await wire.result(MODERN_RESULT)

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        task = asyncio.create_task(transport.request(modern_call(1)))
        await server.seen(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            await gone.wait()
        await transport.request(modern_call(2))
        await transport.close()


@pytest.mark.parametrize("stage", ["headers", "stream", "pause"])
async def test_closing_fails_what_is_open_at_once(stage: str) -> None:
    async def script(wire: Wire) -> None:
        if stage != "headers":
            await wire.stream()
            await wire.event(id="x", retry=60_000)
        if stage == "pause":
            await wire.end()
        else:
            await wire.gone.wait()
            wire.cut()

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        task = asyncio.create_task(transport.request(tool_call()))
        await server.seen(1)
        await asyncio.sleep(0.05)
        async with asyncio.timeout(2):
            await asyncio.gather(transport.close(), transport.close())
            with pytest.raises(Closed) as caught:
                await task
            assert not caught.value.retry_safe, "it may have done its work"
        with pytest.raises(Closed):
            await transport.request(ping(2))
        with pytest.raises(Closed):
            await transport.send(initialized_notice())
        await transport.close()


async def test_many_calls_at_once_each_get_their_own_answer() -> None:
    async def script(wire: Wire) -> None:
        await wire.stream()
        await wire.event(log_notice(str(wire.request.id)))
        await wire.event(answer_to(wire.request.id, TOOL_RESULT))
        await wire.end()

    async with scripted(script) as server:
        transport, receiver = await opened(server.url)
        replies = await asyncio.gather(*(transport.request(tool_call(number)) for number in range(200)))
        assert [reply.message.id for reply in replies] == list(range(200))
        assert all(
            str(related) == text for (_, related), text in zip(receiver.messages, receiver.texts, strict=True)
        )
        await transport.close()


async def test_the_same_id_twice_is_refused() -> None:
    async def script(wire: Wire) -> None:
        await wire.gone.wait()
        wire.cut()

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        first = asyncio.create_task(transport.request(ping(1)))
        await server.seen(1)
        with pytest.raises(LocalProtocolError):
            await transport.request(ping(1))
        await transport.close()
        with pytest.raises(Closed):
            await first


async def test_without_an_http_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httptools", None)
    for name in ("http1_backend", "connection"):
        monkeypatch.delitem(sys.modules, f"dovetail.transports.http1.client.{name}", raising=False)
    transport = HTTPTransport("http://127.0.0.1:9/mcp")
    with pytest.raises(ImportError, match=r"dovetail\[client\]"):
        await transport.open(Collector())
    await transport.close()


def test_importing_the_transports_loads_no_http_library() -> None:
    code = (
        "import sys, dovetail.transports.http_client.transport, dovetail.transports.http_client.sse_2024;"
        "sys.exit(bool({'aiohttp', 'httptools'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
