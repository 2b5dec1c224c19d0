"""Streams of the stateful era that break: resumed, given up, or left alone; and the standalone stream."""

import asyncio
import logging

import pytest
from scripted import (
    SESSION,
    STATEFUL,
    TOOL_RESULT,
    Wire,
    answer_to,
    event,
    head,
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

from dovetail.protocol.envelope import Kind
from dovetail.protocol.errors import ConnectionLost, LoginRequired
from dovetail.transports.http_client import resumption


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waiting takes no time, and is written down."""
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(resumption, "pause", pause)
    return waits


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-014", "R2506-TRANSPORT-HTTP-004")
@pytest.mark.parametrize("reset", [False, True])
async def test_a_broken_stream_is_resumed_after_the_time_the_server_asked_for(reset: bool) -> None:
    ended: list[float] = []

    async def script(wire: Wire) -> None:
        if wire.request.method == "POST":
            await wire.stream()
            await wire.event(id="a-1", retry=300)
            await wire.event(log_notice("first"), id="a-2")
            await asyncio.sleep(0.02)
            ended.append(asyncio.get_running_loop().time())
            if reset:
                wire.reset()
            else:
                await wire.end()
        else:
            await wire.stream()
            await wire.event(log_notice("second"), id="a-3")
            await wire.event(answer_to(5, TOOL_RESULT), id="a-4")
            await wire.end()

    async with scripted(script) as server:
        transport, receiver = await opened(server.url)
        reply = await transport.request(tool_call(5))
        assert reply.message.kind is Kind.RESULT
        assert receiver.texts == ["first", "second"]
        assert [related for _, related in receiver.messages] == [5, 5]
        await transport.close()
    post, get = server.requests
    assert (post.method, get.method) == ("POST", "GET")
    assert get.headers["last-event-id"] == "a-2"
    assert get.headers["accept"] == "text/event-stream"
    assert get.headers["mcp-protocol-version"] == STATEFUL
    assert 0.28 <= get.time - ended[0] <= 0.5


@pytest.mark.requirement("R2503-TRANSPORT-HTTP-009", "R2511-TRANSPORT-HTTP-012")
async def test_a_server_may_let_its_client_poll() -> None:
    polls = 0

    async def script(wire: Wire) -> None:
        nonlocal polls
        await wire.stream()
        if wire.request.method == "GET":
            polls += 1
        if polls < 20:
            await wire.event(id=f"poll-{polls}", retry=1)
        else:
            await wire.event(answer_to(1), id="last")
        await wire.end()

    async with scripted(script) as server:
        transport, _ = await opened(server.url, resume_attempts=3)
        await transport.request(ping(1))
        await transport.close()
    assert [r.headers.get("last-event-id") for r in server.requests[1:4]] == ["poll-0", "poll-1", "poll-2"]


async def test_a_stateless_stream_is_not_resumed() -> None:
    async def script(wire: Wire) -> None:
        await wire.stream()
        await wire.event(id="x", retry=1)
        await wire.end()

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        with pytest.raises(ConnectionLost) as caught:
            await transport.request(modern_call())
        assert not caught.value.retry_safe
        await transport.close()
    assert len(server.requests) == 1


async def test_a_stateful_stream_without_event_ids_is_lost() -> None:
    async def script(wire: Wire) -> None:
        await wire.stream()
        await wire.event(log_notice())
        wire.cut()

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        with pytest.raises(ConnectionLost):
            await transport.request(tool_call())
        await transport.close()
    assert len(server.requests) == 1


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-024")
async def test_the_standalone_stream_brings_messages_and_comes_back() -> None:
    gets = 0

    async def script(wire: Wire) -> None:
        nonlocal gets
        if wire.request.method != "GET":
            await stateful(wire)
            return
        gets += 1
        await wire.stream()
        await wire.event(log_notice(str(gets)), id=f"g-{gets}", retry=1)
        if gets == 1:
            wire.reset()
        elif gets == 2:
            await wire.end()
        else:
            await wire.gone.wait()
            wire.cut()

    async with scripted(script) as server:
        transport, receiver = await opened(server.url)
        await transport.request(initialize())
        await transport.send(initialized_notice())
        await transport.listen()
        await receiver.have(3)
        assert receiver.texts == ["1", "2", "3"]
        assert {related for _, related in receiver.messages} == {None}
        assert receiver.misses == 0, "each time it went on from where it was left"
        await transport.close()
        gets_seen = [r for r in server.requests if r.method == "GET"]
    assert [r.headers.get("last-event-id") for r in gets_seen] == [None, "g-1", "g-2"]
    assert all(r.headers["accept"] == "text/event-stream" for r in gets_seen)
    assert all(r.headers["mcp-session-id"] == SESSION for r in gets_seen)


@pytest.mark.parametrize("named", [True, False])
async def test_where_the_standalone_stream_cannot_go_on_something_may_have_been_missed(named: bool) -> None:
    """What its events are called is not known any more, or they have no names: it begins anew, and that is told."""
    gets = 0

    async def script(wire: Wire) -> None:
        nonlocal gets
        if wire.request.method != "GET":
            await stateful(wire)
            return
        if "last-event-id" in wire.request.headers:
            await wire.answer(400)
            return
        gets += 1
        await wire.stream()
        await wire.event(log_notice(str(gets)), id=f"g-{gets}" if named else None, retry=1)
        if gets == 1:
            wire.reset()
        else:
            await wire.gone.wait()
            wire.cut()

    async with scripted(script) as server:
        transport, receiver = await opened(server.url)
        await transport.request(initialize())
        await transport.send(initialized_notice())
        await transport.listen()
        await receiver.have(2)
        assert receiver.texts == ["1", "2"]
        assert receiver.misses == 1
        await transport.close()
        asked = [r.headers.get("last-event-id") for r in server.requests if r.method == "GET"]
    assert asked == ([None, "g-1", None] if named else [None, None])


async def test_a_server_without_a_standalone_stream_is_not_asked_again() -> None:
    async with scripted(stateful) as server:
        transport, _ = await opened(server.url)
        await transport.request(initialize())
        await transport.send(initialized_notice())
        await transport.listen()
        await server.seen(3)
        await transport.request(ping(3))
        await transport.close()
    assert [r.method for r in server.requests].count("GET") == 1


@pytest.mark.hostile
async def test_a_resumable_stream_cut_at_any_byte_loses_and_doubles_nothing(pauses: list[float]) -> None:
    """F39: after each cut, the rest comes from the last event on; each message once, in order."""
    events = [event(log_notice(str(number)), id=f"e-{number}") for number in range(4)]
    events.append(event(answer_to(1, TOOL_RESULT), id="e-4"))
    prime = event(id="e-p", retry=0)
    whole = prime + b"".join(events)
    cut = 0

    async def script(wire: Wire) -> None:
        await wire.raw(head(200, {"Content-Type": "text/event-stream", "Connection": "close"}))
        if wire.request.method == "POST":
            await wire.raw(whole[:cut])
        else:
            last = wire.request.headers["last-event-id"]
            await wire.raw(b"".join(events[0 if last == "e-p" else int(last[2:]) + 1 :]))
        wire.cut()

    async with scripted(script) as server:
        for cut in range(len(whole) + 1):
            transport, receiver = await opened(server.url)
            async with asyncio.timeout(5):
                if cut < len(prime):
                    with pytest.raises(ConnectionLost):
                        await transport.request(tool_call(1))
                else:
                    await transport.request(tool_call(1))
                    assert receiver.texts == ["0", "1", "2", "3"]
            await transport.close()


@pytest.mark.parametrize("status", [400, 404, 405, 410])
async def test_a_stream_that_the_server_forgot_is_a_loss_and_asked_for_once(
    status: int, pauses: list[float]
) -> None:
    """F40: no loop, and no claim that a retry is safe: the call was accepted."""

    async def script(wire: Wire) -> None:
        if wire.request.method == "POST":
            await wire.stream()
            await wire.event(id="x", retry=0)
            await wire.end()
        else:
            await wire.answer(status, b"unknown event", "text/plain")

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        with pytest.raises(ConnectionLost, match="could not be resumed") as caught:
            await transport.request(tool_call())
        assert not caught.value.retry_safe
        await transport.close()
    assert len(server.requests) == 2


async def test_resuming_waits_longer_each_time_and_ends(pauses: list[float]) -> None:
    async def script(wire: Wire) -> None:
        if wire.request.method == "POST":
            await wire.stream()
            await wire.event(id="x")
            wire.reset()
        elif len(wire.server.requests) == 2:
            await wire.answer(503, headers={"Retry-After": "17"})
        elif len(wire.server.requests) == 3:
            wire.reset()
        else:
            await wire.stream()
            await wire.end()

    async with scripted(script) as server:
        transport, _ = await opened(server.url, resume_attempts=6)
        with pytest.raises(ConnectionLost) as caught:
            await transport.request(tool_call())
        assert not caught.value.retry_safe
        await transport.close()
    assert len(pauses) == 6
    assert pauses[1] == 17
    assert pauses[5] > pauses[3] > pauses[2]
    assert max(pauses) <= 60


async def test_f38_nobody_listening_is_given_up_soon_and_counted_in_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F38: refused connections are few; any answer starts the count anew, and the server's own wait is kept to."""
    waits: list[float] = []
    port = 0
    server: asyncio.Server | None = None

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if asked.startswith(b"POST"):
            body = event(id="x", retry=20_000)
            writer.write(head(200, {"Content-Type": "text/event-stream", "Connection": "close"}) + body)
        else:
            writer.write(head(503, {"Content-Length": "0", "Connection": "close"}))
        await writer.drain()
        writer.close()

    async def pause(seconds: float) -> None:
        nonlocal server
        waits.append(seconds)
        assert server is not None
        if len(waits) == 4:
            server = await asyncio.start_server(serve, "127.0.0.1", port)
        elif server.is_serving():
            server.close()
            await server.wait_closed()

    monkeypatch.setattr(resumption, "pause", pause)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport, _ = await opened(f"http://127.0.0.1:{port}/mcp")
    with pytest.raises(ConnectionLost, match="gone") as caught:
        await transport.request(tool_call())
    assert not caught.value.retry_safe
    await transport.close()
    assert waits[0] == 20
    assert max(waits[1:4]) < 1
    assert waits[4] >= 20, "an answer came, and the time that the server asked for counts"
    assert len(waits[5:]) == 4
    assert 1.8 < sum(waits[5:]) <= 2.5


async def test_an_absurd_reconnection_time_is_clamped(pauses: list[float]) -> None:
    async def script(wire: Wire) -> None:
        await wire.stream()
        if wire.request.method == "POST":
            await wire.chunk(b"id: x\nretry: 99999999999999999999\ndata:\n\n")
        else:
            await wire.event(answer_to(1), id="y")
        await wire.end()

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        await transport.request(ping(1))
        await transport.close()
    assert pauses == [60]


async def test_authorization_lost_while_a_call_runs_is_no_safe_retry(pauses: list[float]) -> None:
    async def script(wire: Wire) -> None:
        if wire.request.method == "POST":
            await wire.stream()
            await wire.event(id="x", retry=0)
            await wire.end()
        else:
            await wire.answer(401, headers={"WWW-Authenticate": "Bearer"})

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        with pytest.raises(LoginRequired) as caught:
            await transport.request(tool_call())
        assert not caught.value.retry_safe
        await transport.close()


async def test_an_event_without_an_id_does_not_lose_the_place(pauses: list[float]) -> None:
    """A stream resumed after "a" brings an event without an id, and breaks again: "a" is still the last."""

    async def script(wire: Wire) -> None:
        number = len(wire.server.requests)
        await wire.stream()
        if number == 1:
            await wire.event(id="a", retry=0)
        elif number == 2:
            await wire.event(log_notice())
        else:
            await wire.event(answer_to(1), id="b")
        await wire.end()

    async with scripted(script) as server:
        transport, _ = await opened(server.url)
        await transport.request(ping(1))
        await transport.close()
    assert [r.headers.get("last-event-id") for r in server.requests] == [None, "a", "a"]


@pytest.mark.parametrize("how", ["gone", "session", "never there", "login"])
async def test_a_standalone_stream_that_cannot_be_is_given_up_and_calls_go_on(
    how: str, pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """F40: no loop at one request a second."""
    ended = asyncio.Event()

    async def script(wire: Wire) -> None:
        if wire.request.method != "GET":
            await stateful(wire)
        elif how == "gone":
            wire.reset()
        elif how == "session":
            await wire.answer(404)
        elif how == "login":
            await wire.answer(401, headers={"WWW-Authenticate": "Bearer"})
        else:
            await wire.answer(200, b"<html>", "text/html")

    class Log(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("no longer listening"):
                # A session that is gone is opened anew by the next call: nothing to warn of.
                assert record.levelno == (logging.DEBUG if how == "session" else logging.WARNING)
                ended.set()

    handler = Log(logging.DEBUG)
    logger = logging.getLogger("dovetail.transports")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        async with scripted(script) as server:
            transport, receiver = await opened(server.url, resume_attempts=4)
            await transport.request(initialize())
            await transport.send(initialized_notice())
            await transport.listen()
            async with asyncio.timeout(5):
                await ended.wait()
            await transport.request(ping(3))
            await transport.end_session()
            await transport.close()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert receiver.losses == []
    assert SESSION not in caplog.text
    tries = [r.method for r in server.requests].count("GET")
    assert tries == 1 if how != "gone" else 4 <= tries <= 10


async def test_listening_again_replaces_the_stream() -> None:
    open_now = 0
    most = 0

    async def script(wire: Wire) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await wire.stream()
        await wire.event(log_notice())
        await wire.gone.wait()
        open_now -= 1
        wire.cut()

    async with scripted(script) as server:
        transport, receiver = await opened(server.url)
        for number in range(1, 4):
            await transport.listen()
            await receiver.have(number)
        await transport.close()
    assert len(server.requests) == 3
