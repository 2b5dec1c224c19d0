"""The client's unix socket transport, and the shared channel below it, against a scripted peer."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from scripted import (
    STATEFUL,
    TOOL_RESULT,
    Collector,
    answer_to,
    error_to,
    initialized_notice,
    log_notice,
    ping,
    tool_call,
)

from dovetail.protocol.errors import (
    Closed,
    ConnectFailed,
    ConnectionLost,
    LocalProtocolError,
    MessageTooLarge,
    TransportError,
)
from dovetail.transports.client_transport import Outgoing
from dovetail.transports.shared_channel import QUEUE_MESSAGES, SharedChannel
from dovetail.transports.unix.client import UnixTransport

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


@asynccontextmanager
async def peered(path: Path, peer: Peer, **options: Any) -> AsyncIterator[tuple[UnixTransport, Collector]]:
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await peer(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, path)
    transport, receiver = UnixTransport(path, **options), Collector()
    try:
        await transport.open(receiver)
        yield transport, receiver
    finally:
        await transport.close()
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await server.wait_closed()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sock"


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer everything, in small pieces."""
    while data := await reader.readline():
        message = json.loads(data)
        if "id" in message:
            result = TOOL_RESULT if message["method"] == "tools/call" else {}
            reply = line(log_notice(str(message["id"]))) + line(answer_to(message["id"], result))
            writer.write(reply[:7])
            await writer.drain()
            writer.write(reply[7:])


@pytest.mark.requirement("R2607-LIFECYCLE-036", "R2607-TRANSPORT-STDIO-006")
async def test_requests_and_notices(path: Path) -> None:
    async with peered(path, echo) as (transport, receiver):
        assert (transport.name, transport.http, transport.shared) == ("unix", False, True)
        await transport.send(initialized_notice())
        calls = (transport.request(tool_call(number)) for number in range(50))
        replies = await asyncio.gather(*calls)
        assert [reply.message.id for reply in replies] == list(range(50))
        assert receiver.texts == [str(number) for number in range(50)]


@pytest.mark.hostile
async def test_an_answer_cut_at_any_byte_is_an_answer_or_a_loss(path: Path) -> None:
    whole = line(answer_to(1, TOOL_RESULT))
    cut = 0

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(whole[:cut])

    answered: list[int] = []
    promises: set[bool] = set()
    async with peered(path, peer) as (transport, receiver):
        for cut in range(len(whole) + 1):
            async with asyncio.timeout(5):
                try:
                    await transport.request(tool_call(1))
                except ConnectionLost as problem:
                    promises.add(problem.retry_safe)
                else:
                    answered.append(cut)
                await receiver.ended.wait()
            receiver.ended.clear()
            await transport.open(receiver)
        assert len(receiver.losses) == len(whole) + 1
    assert promises == {False}
    # a last line without its end counts if it is whole
    assert answered == [len(whole) - 1, len(whole)]


async def test_a_flood_is_stopped_at_the_sender(path: Path) -> None:
    sent = 0

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readline()
        notice = line(log_notice("x" * 2000))
        for _ in range(20_000):
            writer.write(notice)
            await writer.drain()
            sent += 1
        writer.write(line(answer_to(1)))
        await asyncio.sleep(60)

    async with peered(path, peer) as (transport, receiver):
        receiver.gate.clear()
        call = asyncio.create_task(transport.request(ping(1)))
        await asyncio.wait({call}, timeout=0.5)
        assert sent < 4 * QUEUE_MESSAGES
        receiver.gate.set()
        await call
        assert len(receiver.messages) == 20_000


async def test_a_line_too_long_fails_the_only_call(path: Path) -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(line(answer_to(1, {"x": "y" * 10_000})))
        await echo(reader, writer)

    async with peered(path, peer, max_message=1000) as (transport, _):
        with pytest.raises(MessageTooLarge):
            await transport.request(ping(1))
        await transport.request(ping(2))


async def test_a_server_that_does_not_read_costs_the_time_limit(path: Path) -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with peered(path, peer, send_timeout=0.1) as (transport, _):
        large = Outgoing(ping().data + b" " * 1_000_000, 1, "ping", False, STATEFUL)
        call = asyncio.create_task(transport.request(large))
        await asyncio.sleep(0)  # it is written first
        async with asyncio.timeout(5):
            with pytest.raises(TransportError, match="nothing was sent"):
                await transport.request(ping(2))
        call.cancel()
        await asyncio.wait({call})


async def test_closing_fails_what_is_open_from_any_task(path: Path) -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with peered(path, peer) as (transport, receiver):
        call = asyncio.create_task(transport.request(ping(1)))
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await asyncio.gather(transport.close(), transport.close())
            with pytest.raises(Closed):
                await call
        with pytest.raises(Closed):
            await transport.open(receiver)
        assert receiver.losses == []


async def test_no_server_is_a_failed_connection(path: Path) -> None:
    transport = UnixTransport(path)
    with pytest.raises(LocalProtocolError):
        await transport.request(ping())
    with pytest.raises(ConnectFailed, match="No such file") as caught:
        await transport.open(Collector())
    assert caught.value.retry_safe
    await transport.close()


class Recorder:
    """The writing end of a channel under test."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.problem: Exception | None = None

    async def write(self, data: bytes) -> None:
        if self.problem is not None:
            raise self.problem
        self.sent.append(data)


async def waiting(channel: SharedChannel, id: int) -> asyncio.Task[Any]:
    task = asyncio.create_task(channel.request(ping(id)))
    await asyncio.sleep(0)
    return task


async def test_a_failed_write_fails_its_call_and_the_cause_of_a_loss_wins() -> None:
    wire = Recorder()
    channel = SharedChannel("memory", wire.write)
    channel.attach(Collector())
    wire.problem = TransportError("stuck")
    with pytest.raises(TransportError, match="stuck"):
        await channel.request(ping(1))
    channel.lose(ConnectionLost("gone"))
    with pytest.raises(ConnectionLost, match="gone"):
        await channel.request(ping(2))


@pytest.mark.requirement(
    "R2511-CANCELLATION-007", "R2607-CANCELLATION-016", "R2511-CANCELLATION-006", "R2607-CANCELLATION-015"
)
async def test_a_late_response_and_one_without_a_waiter_harm_nobody() -> None:
    wire, receiver = Recorder(), Collector()
    channel = SharedChannel("memory", wire.write)
    channel.attach(receiver)
    first = await waiting(channel, 1)
    second = await waiting(channel, 2)
    first.cancel()
    await asyncio.wait({first})
    channel.accept(line(answer_to(1)))
    channel.accept(line(answer_to(2)))
    channel.accept(line(answer_to(2)))
    await second
    assert channel.late == 2
    assert receiver.messages == []


@pytest.mark.hostile
async def test_a_batch_is_taken_apart_and_an_error_without_an_id_goes_to_the_receiver() -> None:
    wire, receiver = Recorder(), Collector()
    channel = SharedChannel("memory", wire.write)
    channel.attach(receiver)
    first, second = await waiting(channel, 1), await waiting(channel, 2)
    channel.accept(line([log_notice("a"), answer_to(2), answer_to(1)]))
    await asyncio.gather(first, second)
    channel.accept(line(error_to(None, -32700, "what?")))
    await receiver.have(2)
    assert [message.kind.name for message, _ in receiver.messages] == ["NOTIFICATION", "ERROR"]


async def test_a_receiver_that_fails_costs_its_message_only() -> None:
    class Faulty(Collector):
        async def message(self, message: Any, related: Any) -> None:
            raise RuntimeError("boom")

        def missed(self) -> None: ...

        def lost(self, error: Any) -> None:
            raise RuntimeError("boom")

    channel = SharedChannel("memory", Recorder().write)
    channel.attach(Faulty())
    call = await waiting(channel, 1)
    channel.accept(line(log_notice()))
    channel.accept(line(answer_to(1)))
    await call
    last = await waiting(channel, 2)
    channel.lose(ConnectionLost("gone"))
    with pytest.raises(ConnectionLost):
        await last


async def test_pressure_is_told_once_each_way() -> None:
    presses: list[bool] = []
    receiver = Collector()
    channel = SharedChannel("memory", Recorder().write, pressure=presses.append)
    channel.attach(receiver)
    receiver.gate.clear()
    for number in range(QUEUE_MESSAGES - 1):
        channel.accept(line(log_notice(str(number))))
    assert presses == []
    for number in range(5):
        channel.accept(line(log_notice(str(number))))
    assert presses == [True]
    assert not channel.may_read
    receiver.gate.set()
    async with asyncio.timeout(5):
        await channel.room()
    assert presses == [True, False]
    channel.close()


async def test_what_came_before_a_loss_is_handed_over_first() -> None:
    receiver = Collector()
    channel = SharedChannel("memory", Recorder().write)
    channel.attach(receiver)
    receiver.gate.clear()
    first, second = await waiting(channel, 1), await waiting(channel, 2)
    channel.accept(line(log_notice("last")))
    channel.accept(line(answer_to(1)))
    channel.lose(ConnectionLost("gone"))
    channel.lose(ConnectionLost("gone again"))
    done, _ = await asyncio.wait({first}, timeout=0.05)
    assert not done, "the response overtook the notice before it"
    receiver.gate.set()
    await first
    with pytest.raises(ConnectionLost, match=r"gone$"):
        await second
    assert receiver.texts == ["last"]
    assert len(receiver.losses) == 1
