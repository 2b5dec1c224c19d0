"""The client's transport over a unix socket: one JSON message per line, to a server that runs already.

Theory of operation. One reader task feeds a `LineSplitter` and a `SharedChannel`, and stops reading while the
channel is full. A writer waits for room before it writes, so a message is on its way completely or not at
all, and a server that does not read costs the time limit and no memory. After a loss, `open` may be called
again.
Specification: none of its own; the framing is that of basic/transports, "stdio" (custom transports are
allowed there).
"""

import asyncio
import os
from contextlib import suppress
from typing import Final

from ...protocol.bindings.lines import DEFAULT_MAX_LINE, LineSplitter, LineTooLong, frame
from ...protocol.errors import (
    Closed,
    ConnectFailed,
    ConnectionLost,
    DovetailError,
    LocalProtocolError,
    MessageTooLarge,
    TransportError,
    not_sent,
)
from ..client_transport import Outgoing, ReceivedResponse, Receiver
from ..shared_channel import ChannelMaker, SharedChannel

__all__ = ["UnixTransport"]

_CHUNK: Final = 256 * 1024


class UnixTransport:
    """A server that listens on a unix socket. It follows `client_transport.Transport`.

    ``path``: the socket. ``max_message``: bytes of one message (default 64 MiB). ``connect_timeout`` (default
    10) and ``send_timeout``, for a server that does not read (default 30), are in seconds. ``channel``: what makes the
    channel (default: `SharedChannel`).
    """

    name: str = "unix"
    http: bool = False
    shared: bool = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_message: int = DEFAULT_MAX_LINE,
        connect_timeout: float = 10.0,
        send_timeout: float = 30.0,
        channel: ChannelMaker = SharedChannel,
    ) -> None:
        self.path: Final = os.fspath(path)
        self._max_message = max_message
        self._connect_timeout = connect_timeout
        self._send_timeout = send_timeout
        self._make_channel = channel
        self._channel: SharedChannel | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._closed = False

    async def open(self, receiver: Receiver) -> None:
        """Connect. Raises `ConnectFailed`, which names the socket and the reason."""
        if self._closed:
            raise Closed("this transport is closed; make a new one")
        if self._channel is not None and self._channel.ended is None:
            raise LocalProtocolError("this transport is open already")
        try:
            async with asyncio.timeout(self._connect_timeout):
                reader, writer = await asyncio.open_unix_connection(self.path)
        except TimeoutError:
            raise ConnectFailed(
                f"{self.describe()} did not answer within {self._connect_timeout:g} s"
            ) from None
        except (OSError, ValueError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else None
            raise ConnectFailed(f"cannot connect to {self.describe()}: {reason or problem}") from None
        if self._closed:
            writer.transport.abort()
            raise Closed("this transport was closed while it opened")
        self._writer = writer
        channel = self._channel = self._make_channel(self.name, self._write)
        channel.attach(receiver)
        self._reading = asyncio.create_task(self._read(reader, channel), name="dovetail: read unix socket")

    async def request(self, out: Outgoing) -> ReceivedResponse:
        """Send a request and await its response. Raises `ConnectionLost` when the connection ends."""
        return await self._opened().request(out)

    async def send(self, out: Outgoing) -> None:
        """Send a notification or a response."""
        await self._opened().send(out)

    async def listen(self) -> None:
        """Nothing to do: everything comes in on the one channel."""

    async def end_session(self) -> None:
        """Nothing to do: the session ends with the connection."""

    async def close(self) -> None:
        """End the connection and fail what is open. Idempotent, bounded."""
        self._closed = True
        if self._channel is not None:
            self._channel.close()
        reading = self._reading
        if reading is not None and reading is not asyncio.current_task():
            reading.cancel()
            await asyncio.wait({reading})
        self._drop()

    def describe(self) -> str:
        """The socket's path."""
        return f"unix socket {self.path}"

    def _opened(self) -> SharedChannel:
        if self._channel is None:
            raise LocalProtocolError("this transport is not open yet")
        return self._channel

    async def _write(self, data: bytes) -> None:
        line = frame(data)
        try:
            async with asyncio.timeout(self._send_timeout), self._turn:
                writer = self._writer
                if writer is None or writer.is_closing():
                    raise not_sent(
                        ConnectionLost(f"the connection to {self.describe()} has ended; nothing was sent")
                    )
                await writer.drain()
                writer.write(line)
        except TimeoutError:
            late = f"the server at {self.describe()} has not read for {self._send_timeout:g} s"
            raise not_sent(TransportError(f"{late}; nothing was sent")) from None
        except OSError as problem:  # of what was sent before
            reason = f"the connection to {self.describe()} has ended: {problem.strerror or problem}"
            raise not_sent(ConnectionLost(reason)) from None

    async def _read(self, reader: asyncio.StreamReader, channel: SharedChannel) -> None:
        splitter = LineSplitter(self._max_message)
        error: DovetailError = ConnectionLost(f"the server at {self.describe()} ended the connection")
        try:
            while chunk := await reader.read(_CHUNK):
                self._take(chunk, splitter, channel)
                if not channel.may_read:
                    await channel.room()
            last = splitter.close()
            if last is not None:
                channel.accept(last)
        except OSError as problem:
            error = ConnectionLost(
                f"the connection to {self.describe()} broke: {problem.strerror or problem}"
            )
        finally:
            channel.lose(error)
            self._drop()

    def _take(self, chunk: bytes, splitter: LineSplitter, channel: SharedChannel) -> None:
        try:
            lines = splitter.feed(chunk)
        except LineTooLong as problem:
            lines = problem.lines
            channel.spoil(MessageTooLarge(f"the server at {self.describe()} sent too much: {problem}"))
        for line in lines:
            channel.accept(line)

    def _drop(self) -> None:
        if self._writer is not None:
            with suppress(OSError):
                self._writer.transport.abort()
