"""Credentials over HTTP: a scripted `ClientAuth` against servers that refuse, over real sockets."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from scripted import (
    MODERN_RESULT,
    SESSION,
    TOOL_RESULT,
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
from scripted_auth import CHALLENGE, STEP_UP, Scripted, accepts, guarded

from dovetail.protocol.envelope import Kind
from dovetail.protocol.errors import (
    Closed,
    LocalProtocolError,
    LoginRequired,
)
from dovetail.security.client_auth import MAX_ATTEMPTS, ClientAuth, Refusal
from dovetail.transports.deadlines import deadline


def test_the_scripted_one_follows_the_contract() -> None:
    assert isinstance(Scripted(), ClientAuth)
    refusal = Refusal(
        status=401, method="POST", url="u", challenges=(), headers={}, sent={"a": "secret"}, attempt=1
    )
    assert "secret" not in repr(refusal)
    assert "secret" not in str(refusal)


@pytest.mark.requirement("R2511-AUTH-055")
@pytest.mark.parametrize("make", [tool_call, modern_call])
@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_message_is_sent_again_with_new_credentials(make: Any, status: int) -> None:
    """401, and the step-up of 403."""
    auth = Scripted()

    async def script(wire: Wire) -> None:
        await wire.result(MODERN_RESULT if make is modern_call else TOOL_RESULT)

    async with scripted(guarded(script, status=status)) as server:
        transport, _ = await opened(server.url, auth=auth)
        reply = await transport.request(make(1))
        assert reply.message.kind is Kind.RESULT
        await transport.close()
    first, second = server.requests
    assert first.body == second.body
    assert [r.headers["dpop"] for r in server.requests] == ["secret-proof-1", "secret-proof-2"]
    (refusal,) = auth.refusals
    assert (refusal.status, refusal.method, refusal.url, refusal.attempt) == (status, "POST", server.url, 1)
    challenge = (CHALLENGE if status == 401 else STEP_UP)["WWW-Authenticate"]
    assert refusal.challenges == (challenge,)
    assert refusal.headers["www-authenticate"] == challenge
    assert refusal.sent["authorization"] == "Bearer secret-token-0"
    assert len(auth.heard) == 2
    assert server.connections == 1, "the connection was not used again"


async def test_a_nonce_asked_for_with_400_is_a_refusal_and_other_400s_are_not() -> None:
    auth = Scripted()
    challenge = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": "n-1"}

    async def script(wire: Wire) -> None:
        if wire.request.id == 2:
            await wire.json(error_to(2, -32602, "wrong"), 400, headers={"WWW-Authenticate": "Bearer"})
        elif accepts(wire):
            await wire.result(TOOL_RESULT)
        else:
            await wire.answer(400, headers=challenge)

    async with scripted(script) as server:
        transport, _ = await opened(server.url, auth=auth)
        await transport.request(tool_call(1))
        assert auth.heard[0][1]["dpop-nonce"] == "n-1"
        assert (await transport.request(tool_call(2))).message.kind is Kind.ERROR
        await transport.close()
    assert [refusal.status for refusal in auth.refusals] == [400]


@pytest.mark.hostile
async def test_an_endless_401_is_bounded() -> None:
    auth = Scripted()

    async def script(wire: Wire) -> None:
        echoed = f"{wire.request.headers['authorization']} {wire.request.headers['dpop']}"
        await wire.answer(401, echoed.encode(), "text/plain", headers=CHALLENGE)

    async with scripted(script) as server:
        transport, _ = await opened(server.url, auth=auth)
        with pytest.raises(LoginRequired) as caught:
            await transport.request(tool_call())
        assert caught.value.challenge == CHALLENGE["WWW-Authenticate"]
        assert caught.value.retry_safe
        for shown in (str(caught.value), repr(caught.value), caught.value.excerpt):
            assert "secret" not in shown
        await transport.close()
    assert len(server.requests) == MAX_ATTEMPTS
    assert [refusal.attempt for refusal in auth.refusals] == [1, 2, 3, 4]


async def test_no_means_login_required_and_keeps_a_json_rpc_error() -> None:
    auth = Scripted(willing=False)

    async def script(wire: Wire) -> None:
        if wire.request.id == 2:
            await wire.json(error_to(2, -32600, "not you"), 403)
        else:
            await wire.answer(401, b"no entry", "text/plain", headers=CHALLENGE)

    async with scripted(script) as server:
        transport, _ = await opened(server.url, auth=auth)
        with pytest.raises(LoginRequired) as caught:
            await transport.request(tool_call(1))
        assert caught.value.excerpt == "no entry"
        reply = await transport.request(tool_call(2))
        assert (reply.status, reply.message.kind) == (403, Kind.ERROR)
        with pytest.raises(LoginRequired):
            await transport.send(initialized_notice())
        await transport.close()
    assert len(server.requests) == 3


async def test_a_session_outlives_an_expired_token() -> None:
    """401 in the middle of a stateful session: nobody opens a new one."""
    auth = Scripted()
    wanted = 0

    async def script(wire: Wire) -> None:
        await guarded(stateful, wanted)(wire)

    async with scripted(script) as server:
        transport, _ = await opened(server.url, auth=auth)
        await transport.request(initialize())
        await transport.send(initialized_notice())
        wanted = 1
        await transport.request(tool_call(1))
        wanted = 2
        await transport.send(initialized_notice())
        assert transport.has_session
        wanted = 3
        await transport.end_session()
        await transport.close()
    assert [refusal.method for refusal in auth.refusals] == ["POST", "POST", "DELETE"]
    assert all(r.headers["mcp-session-id"] == SESSION for r in server.requests[1:])
    assert server.requests[-1].method == "DELETE"
    assert len(server.requests) == 8


async def test_a_resumed_stream_is_resumed_with_new_credentials() -> None:
    auth = Scripted()

    async def script(wire: Wire) -> None:
        await wire.stream()
        if wire.request.method == "POST":
            await wire.event(id="e-1", retry=0)
        else:
            await wire.event(answer_to(1, TOOL_RESULT), id="e-2")
        await wire.end()

    async def guard(wire: Wire) -> None:
        await guarded(script, int(wire.request.method == "GET"))(wire)

    async with scripted(guard) as server:
        transport, _ = await opened(server.url, auth=auth)
        await transport.request(tool_call(1))
        await transport.close()
    assert [r.method for r in server.requests] == ["POST", "GET", "GET"]
    assert all(r.headers["last-event-id"] == "e-1" for r in server.requests[1:])


@pytest.mark.parametrize("how", ["no", "raises", "breaks", "no credentials"])
async def test_a_call_that_cannot_be_resumed_for_want_of_credentials_is_no_safe_retry(how: str) -> None:
    class Unwilling(Scripted):
        async def headers(self, method: str, url: str) -> Mapping[str, str]:
            if how == "no credentials" and method == "GET":
                raise LocalProtocolError("the token cannot be refreshed")
            return await super().headers(method, url)

        async def refused(self, refusal: Refusal) -> bool:
            if how == "raises":
                raise LoginRequired("log in first", status=401)
            if how == "breaks":
                raise RuntimeError("secret-token-0")
            return False

    async def script(wire: Wire) -> None:
        if wire.request.method == "POST":
            await wire.stream()
            await wire.event(id="e-1", retry=0)
            await wire.end()
        else:
            await wire.answer(401, headers=CHALLENGE)

    async with scripted(script) as server:
        transport, _ = await opened(server.url, auth=Unwilling())
        with pytest.raises((LoginRequired, LocalProtocolError)) as caught:
            await transport.request(tool_call(1))
        assert not caught.value.retry_safe
        assert "secret" not in str(caught.value)
        await transport.close()


async def test_the_standalone_stream_asks_too_and_nobody_waits_for_it() -> None:
    auth = Scripted()

    async def script(wire: Wire) -> None:
        if wire.request.method != "GET":
            await stateful(wire)
        elif not accepts(wire):
            await wire.answer(401, headers=CHALLENGE)
        else:
            await wire.stream()
            await wire.event(log_notice("here"))
            await wire.gone.wait()
            wire.cut()

    async with scripted(script) as server:
        transport, receiver = await opened(server.url, auth=auth)
        await transport.request(initialize())
        auth.gate.clear()
        await transport.listen()
        await auth.asked.wait()
        await transport.request(ping(1))
        auth.gate.set()
        await receiver.have(1)
        await transport.close()
    assert receiver.texts == ["here"]


async def test_a_delete_that_needs_a_person_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dovetail.transports.http_client.transport._END_TIME", 0.1)
    auth = Scripted()
    async with scripted(stateful) as server:
        transport, _ = await opened(server.url, auth=auth)
        await transport.request(initialize())
        auth.gate.clear()
        server.script = guarded(stateful)
        async with asyncio.timeout(5):
            await transport.end_session()
        assert auth.waiting == 0
        await transport.close()


async def test_deadlines_stand_still_while_a_person_is_waited_for() -> None:
    """The transport's own, for a notification, and the caller's."""
    auth = Scripted()
    auth.gate.clear()
    async with scripted(guarded(stateful)) as server:
        transport, _ = await opened(server.url, auth=auth, send_timeout=0.2)
        sending = asyncio.create_task(transport.send(initialized_notice()))
        await auth.asked.wait()
        with pytest.raises(TimeoutError):  # three times as long as it may take
            async with asyncio.timeout(0.6):
                await asyncio.shield(sending)
        auth.gate.set()
        await sending
        await transport.close()


async def test_a_deadline_that_stood_still_goes_on_afterwards() -> None:
    auth = Scripted()

    async def script(wire: Wire) -> None:
        if accepts(wire):
            await wire.gone.wait()
            wire.cut()
        else:
            await wire.answer(401, headers=CHALLENGE)

    async with scripted(script) as server:
        transport, _ = await opened(server.url, auth=auth)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10), deadline(0.2):
                await transport.request(tool_call(1))
        assert len(server.requests) == 2
        await transport.close()


async def test_other_calls_go_on_while_one_waits_and_cancelling_it_leaves_nothing() -> None:
    auth = Scripted()

    async def script(wire: Wire) -> None:
        if wire.request.json["method"] == "tools/call":
            await wire.answer(401, b"x" * 300_000, "text/plain", headers=CHALLENGE)
        else:
            await stateful(wire)

    async with scripted(script) as server:
        transport, _ = await opened(server.url, auth=auth)
        auth.gate.clear()
        waiting = asyncio.create_task(transport.request(tool_call(1)))
        await auth.asked.wait()
        await transport.request(ping(2))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert auth.waiting == 0
        await transport.request(ping(3))
        await transport.close()
    assert server.connections == 1, "the one that waits held on to its connection"


@pytest.mark.parametrize("what", ["request", "send", "listen"])
async def test_closing_ends_the_wait_for_a_person(what: str) -> None:
    auth = Scripted()
    auth.gate.clear()
    async with scripted(guarded(stateful)) as server:
        transport, _ = await opened(server.url, auth=auth)
        if what == "listen":
            await transport.listen()
            call = None
        else:
            out = tool_call(1) if what == "request" else initialized_notice()
            call = asyncio.create_task(getattr(transport, what)(out))
        await auth.asked.wait()
        async with asyncio.timeout(5):
            await transport.close()
            if call is not None:
                with pytest.raises(Closed):
                    await call
    assert auth.waiting == 0
    assert len(server.requests) == 1


async def test_two_calls_refused_at_once_both_succeed() -> None:
    auth = Scripted()
    auth.gate.clear()
    async with scripted(guarded(stateful)) as server:
        transport, _ = await opened(server.url, auth=auth)
        calls = [asyncio.create_task(transport.request(tool_call(number))) for number in (1, 2)]
        async with asyncio.timeout(5):
            await server.seen(2)
            while len(auth.refusals) < 2:
                auth.asked.clear()
                await auth.asked.wait()
            auth.gate.set()
            replies = await asyncio.gather(*calls)
        assert [reply.message.id for reply in replies] == [1, 2]
        await transport.close()
    assert auth.number == 1
    assert len(server.requests) == 4
