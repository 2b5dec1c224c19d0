"""One channel for everything: whose answer is this, and who takes the rest?

Theory of operation. Over pipes, unix sockets, memory and HTTP+SSE, answers, notifications and the server's
own requests all come in on one stream. A `SharedChannel` keeps the open requests by id and sorts what comes
in: an awaited response ends its request at once; anything else goes to the `Receiver`, one message after
another, by a task that exists only while there is something to hand over. Order is kept throughout: a
response does not overtake the progress that came before it.

What has come in but is not handed over yet is bounded. Beyond the bound ``pressure`` is called with True, and
with False once it is over; a reader with a loop of its own waits for `room` instead. So a flood stops at the
sender and not in our memory.

When the stream is lost, what came in before is still handed over, then every open request fails with the
cause, each with an exception of its own. Nothing is ever awaited without an end: closing fails what is open
at once.
Specification: basic/transports of every revision; basic/index, "Responses".
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final

from ..logs import get_logger
from ..protocol import envelope
from ..protocol.correlation import OpenRequests
from ..protocol.envelope import Kind, Malformed, Message
from ..protocol.errors import (
    DovetailError,
    LocalProtocolError,
    RemoteProtocolError,
    closed_in_use,
    copy_of,
    not_sent,
)
from ..runtime import tap
from .client_transport import Outgoing, ReceivedResponse, Receiver

__all__ = ["QUEUE_BYTES", "QUEUE_MESSAGES", "ChannelMaker", "SharedChannel", "link"]

QUEUE_MESSAGES: Final = 1000
"""Messages that may wait to be handed over before the reader is asked to pause."""

QUEUE_BYTES: Final = 16 * 1024 * 1024
"""Bytes that may wait to be handed over before the reader is asked to pause (16 MiB)."""

_log: Final = get_logger("dovetail.transports")
_links: Final = count(1)


def link(name: str) -> str:
    """A name for one connection, for the tap."""
    return f"{name}-client-{next(_links)}"


class SharedChannel:
    """The open requests of one channel, and the way of everything else to the receiver.

    ``name`` is the transport's word for the tap, ``write`` sends one message completely and raises a
    `DovetailError` if it cannot, which is ``retry_safe`` if nothing was sent. ``pressure`` is told when the
    reader should pause (True) and go on (False). ``late`` counts responses that nobody waited for,
    ``malformed`` messages that were none.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[bytes], Awaitable[None]],
        *,
        pressure: Callable[[bool], None] | None = None,
    ) -> None:
        self.late = 0
        self.malformed = 0
        self._name = name
        self._link = link(name)
        self._write = write
        self._pressure = pressure
        self._open: OpenRequests[asyncio.Future[ReceivedResponse]] = OpenRequests()
        self._receiver: Receiver | None = None
        self._waiting: deque[tuple[Message, int]] = deque()
        self._bytes = 0
        self._pump: asyncio.Task[None] | None = None
        self._room: asyncio.Event = asyncio.Event()
        self._room.set()
        self._ending: DovetailError | None = None
        self._end: DovetailError | None = None

    def attach(self, receiver: Receiver) -> None:
        """Say who takes what is not an awaited response. Before that, such messages wait."""
        self._receiver = receiver
        self._start_pump()

    @property
    def ended(self) -> DovetailError | None:
        """Why the channel is over, or None while it is open."""
        return self._end

    async def request(self, out: Outgoing) -> ReceivedResponse:
        """Send a request and await its response. Raises what ended the channel, or what the write raised."""
        self._check_open()
        if out.id is None:
            raise LocalProtocolError("a request needs an id; send notifications with send()")
        answer: asyncio.Future[ReceivedResponse] = asyncio.get_running_loop().create_future()
        self._open.add(out.id, answer)
        try:
            await self._send(out)
            return await answer
        finally:
            self._open.take(out.id)
            if answer.done() and not answer.cancelled():
                answer.exception()

    async def send(self, out: Outgoing) -> None:
        """Send a notification or a response."""
        self._check_open()
        await self._send(out)

    async def _send(self, out: Outgoing) -> None:
        if tap.listeners:
            tap.note(self._link, "client", True, self._name, out.data, out.revision or None)
        try:
            await self._write(out.data)
        except DovetailError as problem:
            if self._end is not None:
                raise (not_sent(self._end) if problem.retry_safe else copy_of(self._end)) from None
            raise

    def accept(self, data: bytes) -> None:
        """Take one message (or batch) from the peer. Never raises; what is no message is dropped and counted."""
        if self._end is not None or self._ending is not None:
            return
        if tap.listeners:
            tap.note(self._link, "client", False, self._name, data)
        try:
            if envelope.is_batch(data):
                for item in envelope.split_batch(data):
                    self._accept_one(bytes(item))
            else:
                self._accept_one(data)
        except Malformed as problem:
            self._refuse(problem)

    def _accept_one(self, data: bytes) -> None:
        try:
            message = envelope.read(data)
        except Malformed as problem:
            self._refuse(problem)
            return
        if self._pump is None and not self._waiting and self._answers(message):
            return
        self._waiting.append((message, len(data)))
        self._bytes += len(data)
        if self.full and self._room.is_set():
            self._room.clear()
            if self._pressure is not None:
                self._pressure(True)
        self._start_pump()

    def _refuse(self, problem: Malformed) -> None:
        self.malformed += 1
        waiter = self._open.take(problem.id)
        if waiter is None:
            _log.warning("%s: the server sent something that is no message: %s", self._name, problem)
        elif not waiter.done():
            waiter.set_exception(RemoteProtocolError(f"the response is malformed: {problem}"))

    def _answers(self, message: Message) -> bool:
        """Whether a message was a response, now dealt with. One without an id is the receiver's business."""
        if message.id is None or message.kind is Kind.REQUEST or message.kind is Kind.NOTIFICATION:
            return False
        waiter = self._open.take(message.id)
        if waiter is None:
            meant = envelope.under_number(message, self._open)
            if meant is not None:
                message, waiter = meant, self._open.take(meant.id)
        if waiter is None or waiter.done():
            self.late += 1
        else:
            waiter.set_result(ReceivedResponse(message))
        return True

    @property
    def full(self) -> bool:
        """Whether enough is waiting that the reader should pause."""
        return len(self._waiting) >= QUEUE_MESSAGES or self._bytes >= QUEUE_BYTES

    @property
    def may_read(self) -> bool:
        """Whether the reader may go on: false from `full` until there is room again."""
        return self._room.is_set()

    async def room(self) -> None:
        """Wait until the channel takes more, or is over."""
        await self._room.wait()

    def _start_pump(self) -> None:
        if self._pump is None and self._waiting and self._receiver is not None and self._end is None:
            self._pump = asyncio.get_running_loop().create_task(self._hand_over(self._receiver))

    async def _hand_over(self, receiver: Receiver) -> None:
        while self._waiting:
            message, size = self._waiting[0]
            if not self._answers(message):
                try:
                    await receiver.message(message, None)
                except Exception as problem:  # noqa: BLE001 - a faulty receiver must not silence the channel
                    _log.error(
                        "%s: taking in %s failed: %s",
                        self._name,
                        message.kind.name.lower(),
                        type(problem).__name__,
                    )
            if self._end is not None:
                break
            self._waiting.popleft()
            self._bytes -= size
            if not self.full and not self._room.is_set():
                self._room.set()
                if self._pressure is not None:
                    self._pressure(False)
        self._pump = None
        if self._ending is not None and self._end is None:
            self._finish(self._ending)

    def spoil(self, error: DovetailError) -> None:
        """One message was lost on the way in. If only one request is open, it must have been its response."""
        if len(self._open) == 1:
            waiter = self._open.take(next(iter(self._open)))
            if waiter is not None and not waiter.done():
                waiter.set_exception(error)
        else:
            _log.warning("%s: %s", self._name, error)

    def lose(self, error: DovetailError) -> None:
        """The stream is gone: hand over what is there, then fail all that is open and tell the receiver."""
        if self._end is not None or self._ending is not None:
            return
        self._ending = error
        if self._pump is None:
            self._finish(error)

    def _finish(self, error: DovetailError) -> None:
        self._shut(error)
        if self._receiver is not None:
            try:
                self._receiver.lost(error)
            except Exception as problem:  # noqa: BLE001 - a faulty receiver must not keep a loss from ending
                _log.error("%s: reporting the loss failed: %s", self._name, type(problem).__name__)

    def close(self) -> None:
        """We are done: whatever is open fails with `Closed`, what waits is dropped. Idempotent."""
        if self._end is None:
            self._shut(closed_in_use("the connection was closed while the call was open"))
        pump, self._pump = self._pump, None
        if pump is not None and pump is not asyncio.current_task():
            pump.cancel()

    def _shut(self, error: DovetailError) -> None:
        self._end = error
        self._waiting.clear()
        self._bytes = 0
        self._room.set()
        for _, waiter in self._open.drain():
            if not waiter.done():
                waiter.set_exception(copy_of(error))

    def _check_open(self) -> None:
        error = self._end or self._ending
        if error is not None:
            raise not_sent(error)


ChannelMaker = Callable[..., SharedChannel]
"""What makes the channel of a transport: `SharedChannel`, or what takes the same and does more."""
