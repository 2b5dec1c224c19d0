"""Servers and callbacks that misbehave: every call still ends once, with an error that says what happened."""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from must_peer import RawPeer

from dovetail.client import Client, ElicitRequest, questions
from dovetail.client.callbacks import CallbackQueue
from dovetail.client.link import MAX_ASKED, MAX_QUESTIONS
from dovetail.client.timeouts import CallTimeout
from dovetail.protocol.errors import (
    Closed,
    ConnectionLost,
    InternalError,
    LocalProtocolError,
    RemoteProtocolError,
    RequestTimeout,
    RPCError,
)
from dovetail.protocol.revisions import STATEFUL
from dovetail.protocol.types import ProgressNotice

SERVER = [sys.executable, str(Path(__file__).parent / "servers" / "hostile.py")]
OK = '{"jsonrpc":"2.0","id":$ID,"result":{"content":[{"type":"text","text":"ok"}]}}'

pytestmark = pytest.mark.hostile


async def say(client: Client, *lines: str, **options: Any) -> str:
    return (await client.call_tool("say", {"lines": list(lines)}, **options)).text


@pytest.mark.parametrize(
    "line, kind",
    [
        ('{"jsonrpc":"2.0","id":$ID,"result":{}}', RemoteProtocolError),
        ('{"jsonrpc":"2.0","id":$ID,"result":{"content":5}}', RemoteProtocolError),
        ('{"jsonrpc":"2.0","id":$ID,"result":{"content":[{"type":"text"}]}}', RemoteProtocolError),
        ('{"jsonrpc":"2.0","id":$ID,"result":[]}', RemoteProtocolError),
        ('{"jsonrpc":"2.0","id":$ID,"error":{"code":"x"}}', RemoteProtocolError),
        ('{"jsonrpc":"2.0","id":$ID,"error":{"code":-32000,"message":"m","data":[1]}}', RPCError),
        ('{"jsonrpc":"2.0","id":$ID,"error":{"code":1,"message":"m"},"result":{}}', RemoteProtocolError),
        ('{"jsonrpc":"1.0","id":$ID,"result":{}}', RemoteProtocolError),
    ],
)
async def test_results_that_are_none(line: str, kind: type[Exception]) -> None:
    async with Client(SERVER) as client:
        with pytest.raises(kind) as caught:
            await say(client, line, timeout=5)
        assert not isinstance(caught.value, RequestTimeout)
        assert await say(client, OK) == "ok"


async def test_a_result_too_deep_to_read_has_no_id_and_ends_by_the_deadline() -> None:
    async with Client(SERVER) as client:
        with pytest.raises(RequestTimeout):
            await say(
                client,
                '{"jsonrpc":"2.0","id":$ID,"result":' + "[" * 100_000 + "]" * 100_000 + "}",
                timeout=0.3,
            )
        assert await say(client, OK) == "ok"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "not json",
        "[]",
        '{"jsonrpc":"2.0"}',
        '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}',
        '{"jsonrpc":"2.0","id":999999,"result":{}}',
        '{"jsonrpc":"2.0","method":"notifications/progress"}',
        '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":99,"progress":1}}',
        '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"loud"}}',
        '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":$ID}}',
        '{"jsonrpc":"2.0","method":"notifications/cancelled"}',
        '{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":5}}',
        '{"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{"elicitationId":"none"}}',
        '{"jsonrpc":"2.0","method":"acme/what","params":{"a":1}}',
        '{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{"messages":5}}',
        '{"jsonrpc":"2.0","id":"q","method":"elicitation/create"}',
        '{"jsonrpc":"2.0","id":{},"method":"ping"}',
        '{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
    ],
)
async def test_noise_before_the_answer_harms_nothing(line: str) -> None:
    heard: list[Any] = []
    async with Client(
        SERVER, on_notification=lambda *what: heard.append(what), elicitation=lambda _: {}
    ) as client:
        assert await say(client, line, OK, OK, timeout=5) == "ok"
        assert await say(client, OK) == "ok"
        await client.ping()
    assert heard == ([("acme/what", {"a": 1})] if "acme" in line else [])


async def test_a_flood_of_questions_is_bounded() -> None:
    running, most, release = 0, 0, asyncio.Event()

    async def slow(_: ElicitRequest) -> dict[str, Any]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1
        return {}

    schema = json.dumps({"message": "m", "requestedSchema": {"type": "object", "properties": {}}})
    lines = [
        f'{{"jsonrpc":"2.0","id":"q{n}","method":"elicitation/create","params":{schema}}}' for n in range(500)
    ]
    async with Client(SERVER, elicitation=slow) as client:
        assert await say(client, *lines, OK) == "ok"
        await client.ping()
        assert most == MAX_QUESTIONS
        release.set()
        assert await say(client, OK) == "ok"


@pytest.mark.requirement("R2511-CANCELLATION-007")
async def test_a_question_that_is_taken_back_ends() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow(_: ElicitRequest) -> dict[str, Any]:
        begun.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()
        return {}

    schema = json.dumps({"message": "m", "requestedSchema": {"type": "object", "properties": {}}})
    ask = f'{{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{schema}}}'
    async with Client(SERVER, elicitation=slow) as client:
        await say(client, ask, OK)
        await begun.wait()
        await say(
            client, '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q"}}', OK
        )
        await ended.wait()


async def test_callbacks_that_raise_are_contained(caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("callback")

    async def fail_later(*_: object) -> None:
        raise RuntimeError("callback")

    line = '{"jsonrpc":"2.0","method":"notifications/%s","params":%s}'
    lines = [
        line % ("message", '{"level":"info","data":1}'),
        line % ("tools/list_changed", "{}"),
        line % ("progress", '{"progressToken":$ID,"progress":1}'),
        OK,
    ]
    for callback in (fail, fail_later):
        async with Client(SERVER, logging=callback, on_change=callback, on_notification=callback) as client:
            assert await say(client, *lines, progress=callback) == "ok"
    assert caplog.text.count("callback failed") >= 3


async def test_a_server_that_goes_silent_after_half_a_line() -> None:
    program = "import sys; sys.stdin.readline(); sys.stdout.write('{\"jsonrpc\"'); sys.stdout.flush()"
    with pytest.raises(ConnectionLost):
        await Client([sys.executable, "-c", program], revision="2025-11-25").open()


# The guard


async def test_a_guard_ends_what_it_guards_and_nothing_else() -> None:
    with pytest.raises(RequestTimeout), CallTimeout("x", 0.01):
        await asyncio.sleep(5)
    with CallTimeout("x", 0.01):
        pass
    await asyncio.sleep(0.02)
    guard = CallTimeout("x", None)
    guard.abort(Closed("before"))
    with pytest.raises(Closed), guard:
        raise AssertionError
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_someone_elses_cancellation_wins_over_the_guards() -> None:
    guard = CallTimeout("x", None)

    async def work() -> None:
        with guard:
            await asyncio.sleep(5)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    guard.abort(Closed("now"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    task = asyncio.create_task(work2(other := CallTimeout("x", None)))
    await asyncio.sleep(0)
    other.abort(Closed("now"))
    with pytest.raises(Closed):
        await task
    assert other.ended


async def work2(guard: CallTimeout) -> None:
    with guard:
        await asyncio.sleep(5)


async def test_guards_nest() -> None:
    with pytest.raises(RequestTimeout, match="outer"), CallTimeout("outer", 0.01), CallTimeout("inner", 5):
        await asyncio.sleep(5)
    with CallTimeout("outer", 5):
        with pytest.raises(RequestTimeout, match="inner"), CallTimeout("inner", 0.01):
            await asyncio.sleep(5)
        await asyncio.sleep(0)


async def test_a_held_guard_waits_until_the_maximum() -> None:
    with pytest.raises(RequestTimeout) as caught, CallTimeout("x", 0.02, 0.1, held=lambda: True):
        await asyncio.sleep(5)
    assert "0.1" in str(caught.value)


async def test_a_courier_keeps_order_and_bounds(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "dovetail.client")
    heard: list[int] = []
    go = asyncio.Event()

    async def slow(number: int) -> None:
        await go.wait()
        heard.append(number)

    callback_queue = CallbackQueue(slow, "test", limit=3)
    for number in range(6):
        callback_queue.put(number)
    go.set()
    await callback_queue.drain()
    assert heard == [3, 4, 5]
    assert callback_queue.dropped == 3
    callback_queue.put(7)
    callback_queue.close()
    await asyncio.sleep(0)
    assert heard == [3, 4, 5]
    _ = ProgressNotice


FORM = {"message": "m", "requestedSchema": {"type": "object", "properties": {}}}


def asking(number: int, revision: str) -> RawPeer:
    """A server whose tool asks so many questions, one after the other, before it answers."""
    calls: list[Any] = []

    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        if message.get("method") == "tools/call":
            calls.append(message["id"])
            answered = 0
        else:
            answered = int(message["id"][1:]) + 1
        if answered < number:
            peer.say(id=f"q{answered}", method="elicitation/create", params=FORM)
        else:
            peer.result(calls[-1], content=[{"type": "text", "text": "ok"}])

    return RawPeer(answer, revision=revision)


def refusals(peer: RawPeer) -> list[str]:
    return [message["error"]["message"] for message in peer.seen if "error" in message]


@pytest.mark.requirement("R2511-ELICITATION-039", "R2511-SAMPLING-016")
async def test_a_server_that_asks_all_the_time_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "QUESTION_BURST", 64)
    shown: list[ElicitRequest] = []
    peer = asking(200, STATEFUL[-1])
    async with Client(peer, elicitation=lambda form: shown.append(form) or {}, question_rate=0.001) as client:
        assert (await client.call_tool("t")).text == "ok"
        assert len(shown) == 64
        assert len(refusals(peer)) == 200 - 64
        assert (
            "ask 64 questions at once and then 0.001 per second (question_rate= of the client); ask again in"
            in refusals(peer)[0]
        )


@pytest.mark.requirement("R2511-ELICITATION-039", "R2511-SAMPLING-016")
async def test_one_call_asks_no_more_than_it_may() -> None:
    shown: list[ElicitRequest] = []
    peer = asking(MAX_ASKED + 5, STATEFUL[-1])
    async with Client(peer, elicitation=lambda form: shown.append(form) or {}, question_rate=None) as client:
        for times in (1, 2):
            assert (await client.call_tool("t")).text == "ok"
            assert len(shown) == times * MAX_ASKED
        assert refusals(peer) == [f"the call has asked {MAX_ASKED} questions, which is all that one may"] * 10


@pytest.mark.requirement("R2607-SAMPLING-022")
async def test_rounds_are_held_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "QUESTION_BURST", 64)
    shown: list[Any] = []
    sampling = {
        "method": "sampling/createMessage",
        "params": {"messages": [], "maxTokens": 5},
    }

    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        asked = {f"q{number}": sampling for number in range(40)}
        peer.result(message["id"], resultType="input_required", requestState="s", inputRequests=asked)

    # Not in a thread: those that have not begun when one is refused are shown to nobody, with their call.
    async def model(params: Any) -> str:
        shown.append(params)
        return "yes"

    async with Client(RawPeer(answer), sampling=model, question_rate=0.001) as client:
        with pytest.raises(InternalError, match="64 questions at once"):
            await client.call_tool("t")
    assert len(shown) == 64


@pytest.mark.parametrize("rate", [0, -1, True, "5"])
def test_a_rate_is_a_number_above_zero(rate: Any) -> None:
    with pytest.raises(LocalProtocolError, match="question_rate"):
        Client(RawPeer(lambda peer, message: None), question_rate=rate)
