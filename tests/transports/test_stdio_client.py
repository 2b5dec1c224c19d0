"""The client's stdio transport against real processes that behave and that do not."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from scripted import STATEFUL, Collector, initialized_notice, ping, tool_call

from dovetail.protocol import messages
from dovetail.protocol.errors import (
    Closed,
    ConnectFailed,
    LocalProtocolError,
    MessageTooLarge,
    RemoteProtocolError,
    ServerExited,
    TransportError,
)
from dovetail.transports.client_transport import Outgoing
from dovetail.transports.stdio.client import StdioTransport

COMMAND = [sys.executable, str(Path(__file__).with_name("line_server.py"))]


def work(id: int, how: str) -> Outgoing:
    call = tool_call(id)
    return Outgoing(call.data.replace(b'"work"', f'"{how}"'.encode()), id, call.method, False, STATEFUL)


@asynccontextmanager
async def opened(
    command: list[str] | None = None, **options: Any
) -> AsyncIterator[tuple[StdioTransport, Collector]]:
    transport, receiver = StdioTransport(command or COMMAND, **options), Collector()
    await transport.open(receiver)
    try:
        yield transport, receiver
    finally:
        await transport.close()


@pytest.mark.requirement("R2511-TRANSPORT-STDIO-009", "R2607-TRANSPORT-STDIO-005")
async def test_calls_notices_and_answers_to_the_server_share_the_channel() -> None:
    async with opened() as (transport, receiver):
        assert (transport.name, transport.http, transport.shared) == ("stdio", False, True)
        await transport.send(initialized_notice())
        replies = await asyncio.gather(*(transport.request(ping(number)) for number in range(100)))
        assert [reply.message.id for reply in replies] == list(range(100))
        assert {reply.status for reply in replies} == {None}
        await transport.request(work(101, "notices"))
        assert receiver.texts == ["0", "1", "2"]
        assert {related for _, related in receiver.messages} == {None}
        await transport.listen()
        await transport.end_session()


async def test_a_question_of_the_server_is_answered() -> None:
    async with opened() as (transport, receiver):
        call = asyncio.create_task(transport.request(work(1, "ask")))
        [(question, _)] = await receiver.have(1)
        assert question.id is not None
        await transport.send(Outgoing(messages.result(question.id, b"{}"), None, "", False, STATEFUL))
        await call


async def test_f28_a_response_does_not_overtake_what_came_before_it() -> None:
    """F28: with a slow receiver the server is paused, nothing is lost, and order is kept."""
    stderr: list[str] = []
    async with opened(on_stderr=stderr.append) as (transport, receiver):
        receiver.gate.clear()
        call = asyncio.create_task(transport.request(work(1, "flood")))
        done, _ = await asyncio.wait({call}, timeout=0.3)
        assert not done
        assert stderr == [], "the server was not made to wait"
        receiver.gate.set()
        await call
        assert receiver.texts == [str(number) for number in range(5000)]


@pytest.mark.requirement("R2511-TRANSPORT-STDIO-007", "R2607-TRANSPORT-STDIO-003")
async def test_f59_noise_is_reported_and_ends_nothing() -> None:
    noise: list[str] = []
    stderr: list[str] = []
    async with opened(on_noise=noise.append, on_stderr=stderr.append) as (transport, receiver):
        await transport.request(work(1, "noise"))
        assert noise == ["Loading... 100%", "[INFO] ready"]
        assert transport.noise == 2
        assert receiver.messages == []
        await transport.request(ping(2))
    assert stderr == ["something on stderr"]


@pytest.mark.hostile
async def test_what_is_no_message_is_dropped_and_an_answer_that_is_malformed_fails_its_call() -> None:
    async with opened() as (transport, receiver):
        await transport.request(work(1, "malformed"))
        with pytest.raises(RemoteProtocolError):
            await transport.request(work(2, "broken"))
        await transport.request(ping(3))
        assert receiver.messages == []


async def test_a_response_that_is_too_large_fails_its_call_only() -> None:
    async with opened(max_message=100_000) as (transport, _):
        with pytest.raises(MessageTooLarge, match="max_message"):
            await transport.request(work(1, "large"))
        await transport.request(ping(2))


async def test_f38_f54_a_crash_fails_all_calls_at_once_with_status_and_last_words() -> None:
    """F38, F54."""
    async with opened() as (transport, receiver):
        waiting = [asyncio.create_task(transport.request(work(number, "silence"))) for number in range(5)]
        async with asyncio.timeout(10):
            with pytest.raises(ServerExited) as caught:
                await transport.request(work(9, "crash"))
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert caught.value.status == 3
        assert "disk is on fire" in caught.value.stderr
        assert not caught.value.retry_safe
        assert {type(outcome) for outcome in outcomes} == {ServerExited}
        assert len({id(outcome) for outcome in outcomes}) == 5
        assert receiver.texts == ["last words"]
        assert len(receiver.losses) == 1
        with pytest.raises(ServerExited):
            await transport.request(ping(10))


async def test_a_killed_server_is_a_loss() -> None:
    async with opened() as (transport, receiver):
        with pytest.raises(ServerExited) as caught:
            await transport.request(work(1, "kill"))
        assert caught.value.status == -9
        assert len(receiver.losses) == 1


async def test_an_answer_before_the_end_still_counts() -> None:
    async with opened() as (transport, receiver):
        await transport.request(work(1, "answer and exit"))
        await receiver.ended.wait()
        assert isinstance(receiver.losses[0], ServerExited)


async def test_a_server_that_ended_can_be_started_again() -> None:
    async with opened() as (transport, receiver):
        for _ in range(3):
            with pytest.raises(ServerExited):
                await transport.request(work(1, "kill"))
            await transport.open(receiver)
            await transport.request(ping(2))
        with pytest.raises(LocalProtocolError):
            await transport.open(receiver)
        assert len(receiver.losses) == 3


@pytest.mark.parametrize("how", ["silence", "deaf"])
async def test_closing_fails_what_is_open_and_ends(how: str) -> None:
    async with opened(grace=0.1) as (transport, receiver):
        call = asyncio.create_task(transport.request(work(1, how)))
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await asyncio.gather(transport.close(), transport.close())
            with pytest.raises(Closed):
                await call
        with pytest.raises(Closed):
            await transport.request(ping(2))
        with pytest.raises(Closed):
            await transport.open(receiver)
        assert receiver.losses == []


async def test_a_cancelled_call_leaves_the_channel_in_order() -> None:
    async with opened() as (transport, receiver):
        call = asyncio.create_task(transport.request(work(1, "silence")))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await transport.request(ping(2))
        assert receiver.messages == []


async def test_f29_a_server_that_does_not_read_costs_the_time_limit() -> None:
    """F29."""
    async with opened(send_timeout=0.2, grace=0.1) as (transport, _):
        call = asyncio.create_task(transport.request(work(1, "deaf")))
        await asyncio.sleep(0)  # it is written first
        large = work(2, "x" * 300_000)
        waiting = asyncio.create_task(transport.request(large))
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            with pytest.raises(TransportError, match="nothing was sent"):
                await transport.request(work(3, "silence"))
        call.cancel()
        waiting.cancel()
        await asyncio.wait({call, waiting})


@pytest.mark.parametrize("command", [["/no/such/program"], ["/etc/passwd"], ["a\0b"]])
async def test_f53_what_cannot_be_started_says_so(command: list[str]) -> None:
    """F53."""
    transport = StdioTransport(command)
    with pytest.raises(ConnectFailed) as caught:
        await transport.open(Collector())
    assert caught.value.retry_safe
    with pytest.raises(Closed):
        await transport.request(ping())
    await transport.close()


async def test_a_server_that_exits_at_once_is_a_loss_with_its_words() -> None:
    script = "import sys; sys.stderr.write('no configuration'); sys.exit(7)"
    async with opened([sys.executable, "-c", script]) as (transport, _):
        async with asyncio.timeout(10):
            with pytest.raises(ServerExited) as caught:
                await transport.request(ping())
        assert caught.value.status == 7
        assert "no configuration" in str(caught.value)
        assert "-c" not in transport.describe()


async def test_f63_f64_many_starts_and_ends_leave_nothing() -> None:
    """F63, F64."""
    before = len(os.listdir("/proc/self/fd"))
    for number in range(10):
        transport = StdioTransport(COMMAND, grace=0.5)
        opening = asyncio.create_task(transport.open(Collector()))
        if number % 2:
            for _ in range(number):
                await asyncio.sleep(0)
            opening.cancel()
            await asyncio.wait({opening})
        else:
            await opening
            await transport.request(ping())
        await transport.close()
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    assert len(asyncio.all_tasks()) == 1
