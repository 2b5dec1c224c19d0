"""Client and server in one process. Bytes travel all the same, so what works here works on a wire.

The client's end is the usual shared channel, the server's end the usual connection; each writes by calling
the other.
"""

from __future__ import annotations

from types import CoroutineType
from typing import Any

from ..protocol.errors import Closed
from ..runtime.connection import ServerConnection
from ..runtime.service import Service
from .client_transport import Outgoing, ReceivedResponse, Receiver
from .shared_channel import ChannelMaker, SharedChannel


class MemoryTransport:
    """A client's transport to a service in the same process. ``channel``: what makes the channel."""

    name = "memory"
    http = False
    shared = True

    def __init__(self, service: Service, *, channel: ChannelMaker = SharedChannel) -> None:
        self._service = service
        self._make_channel = channel
        self._channel: SharedChannel | None = None
        self._connection: ServerConnection | None = None

    async def open(self, receiver: Receiver) -> None:
        """Connect; the app's lifespan is entered if nobody did so before, and left with the last such client."""
        await self._service.enter()
        self._connection = ServerConnection(self._service, self._from_server, transport=self.name)
        self._channel = self._make_channel(self.name, self._connection.receive)
        self._channel.attach(receiver)

    def request(self, out: Outgoing) -> CoroutineType[Any, Any, ReceivedResponse]:
        """Send a request and wait for its answer."""
        return self._opened().request(out)

    def send(self, out: Outgoing) -> CoroutineType[Any, Any, None]:
        """Send a notification or an answer."""
        return self._opened().send(out)

    async def listen(self) -> None:
        """Nothing to open: one channel carries everything."""

    async def end_session(self) -> None:
        """Nothing to end beyond the connection."""

    async def close(self) -> None:
        """End the connection; calls in progress are cancelled. Idempotent."""
        connection, self._connection = self._connection, None
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
        if connection is not None:
            try:
                await connection.close()
            finally:
                await self._service.leave()

    def describe(self) -> str:
        """For messages to people."""
        return "an app in this process"

    async def _from_server(self, data: bytes) -> None:
        channel = self._channel
        if channel is not None:
            channel.accept(data)
            if not channel.may_read:
                await channel.room()

    def _opened(self) -> SharedChannel:
        if self._channel is None:
            raise Closed("the connection is not open")
        return self._channel
