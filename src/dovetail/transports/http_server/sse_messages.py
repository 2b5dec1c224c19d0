"""Messages of HTTP+SSE (2024-11-05) that are posted at another worker than the one that has their connection.

Theory of operation. The id of a connection ends with the name of its process. A worker that is posted a message for
another one's connection puts it into the store, with who posted it, and asks that process to take it, which answers
once it did. Where no answer comes, whoever takes the message out of the store decides: the other process had it, or the
client is told to send it again. The connection stays where it is, and ends with its process, as this transport has it.
Specification: 2024-11-05 basic/transports, "HTTP with SSE".
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from msgspec import Struct

from ...logs import get_logger
from ...security.principal import Principal
from ...stores.contracts import KeyValue
from ...stores.errors import StoreError, ValueTooLarge
from .answering import HTTPRefusal
from .endpoint_processes import EndpointProcesses, MessagePosted
from .limits import RETRY_SOON

__all__ = ["SSEMessages"]

log = get_logger("dovetail.http")

#: The part of the store that messages on their way may take.
SHARE: Final = 1 / 128
#: Seconds for which one stays there that nobody takes.
KEPT: Final = 30.0
_PROCESS: Final = re.compile(r"[0-9a-f]{16}")


class _PostedMessage(Struct, frozen=True, array_like=True):
    """``connection``: its id."""

    connection: str
    principal: Principal
    remote: str | None
    body: bytes


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_PostedMessage).decode
#: Takes a message of a connection of this process: False where it is not that of the caller, or is gone.
Take = Callable[[str, Principal, str | None, bytes], Awaitable[bool]]


class SSEMessages:
    """The way of messages from this process to the others, and from them."""

    def __init__(self, kv: KeyValue, processes: EndpointProcesses, take: Take) -> None:
        self._kv = kv.within("http/sse/", share=SHARE)
        self.processes = processes
        self._take = take
        processes.answer(MessagePosted, self._answer)

    async def hold(self, connection: str) -> None:
        """A connection begins here: others may be posted its messages."""
        if not await self.processes.ready():
            log.warning(
                "messages of a connection are taken at this worker alone: it does not hear the others"
            )
        try:
            await self.processes.hold(_name(connection))
        except StoreError as problem:
            log.warning("messages of a connection are taken at this worker alone: %s", problem)

    def release(self, connection: str) -> None:
        """It has ended."""
        self.processes.release(_name(connection))

    async def pass_on(
        self, process: str, connection: str, principal: Principal, remote: str | None, body: bytes
    ) -> bool:
        """Have a message taken by the process that has its connection. False where there is no such process or
        connection. Raises `HTTPRefusal` (413, 503), and `StoreError`; nothing was done then.
        """
        if not _PROCESS.fullmatch(process) or not await self.processes.lives(process):
            return False
        key = secrets.token_hex(16)
        try:
            await self._kv.set(key, _encode(_PostedMessage(connection, principal, remote, body)), ttl=KEPT)
        except ValueTooLarge as problem:
            raise HTTPRefusal(
                413, f"the message has {problem.size} bytes; at most {problem.limit} can be passed on"
            ) from None
        taken = await self.processes.ask(process, MessagePosted(key))
        if taken is None and await self._kv.take(key) is not None:
            raise HTTPRefusal(
                503, "the worker that has the connection does not answer; send it again", headers=RETRY_SOON
            )
        return taken is not False

    async def _answer(self, posted: MessagePosted, _: str) -> bool:
        found = await self._kv.take(posted.key)
        if found is None:
            return False
        try:
            message = _decode(found)
        except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
            log.warning("a message from another worker can't be read: %s", problem)
            return False
        return await self._take(message.connection, message.principal, message.remote, message.body)


def _name(connection: str) -> str:
    return f"sse/{hashlib.sha256(connection.encode()).hexdigest()}"
