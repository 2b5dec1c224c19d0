"""HTTP+SSE, the transport of 2024-11-05, deprecated since 2025-03-26: Streamable HTTP replaced it.

A GET opens the one stream of a connection; its first event names the address to which the client posts its
messages. The address holds an unguessable id, and the connection belongs to the principal that opened it:
for anyone else it does not exist. What a message asks for is done with the rights that its own request shows. The
connection stays in its process; where workers share a store, any of them takes its messages (`sse_messages`).
Eligible for removal with the revision that removes it; nothing else depends on this module.
Specification: 2024-11-05 basic/transports, "HTTP with SSE"; 2026-07-28 deprecated.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Hashable, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import parse_qs, quote

from ...logs import get_logger
from ...protocol import envelope
from ...protocol.bindings.sse import encode_event
from ...protocol.call import MessageRefused
from ...protocol.envelope import Malformed
from ...protocol.errors import ConnectionLost
from ...runtime.connection import ServerConnection
from ...runtime.service import Service
from ...security.authenticator import Authenticator
from ...security.principal import Principal
from ...stores.contracts import KeyValue
from ...stores.errors import StoreError
from .answering import EventWriter, HTTPRefusal, Receive, Scope, Send
from .endpoint_processes import EndpointProcesses
from .head import Head
from .limits import EndpointLimits
from .permission import permission_of
from .settings import Settings
from .sse_messages import SSEMessages
from .store_failed import StoreFailed

log = get_logger("dovetail.http")

_STREAM: Final = "/sse"
_MESSAGES: Final = "/messages"
_PARAMETER: Final = "session"
_MARK: Final = "."
_ELSEWHERE: Final = (
    "there is no such connection here: another process opened it, before a restart or as another worker, and a "
    "connection of this transport ends with its process, and is known to other workers by a store that they share alone"
)
_TELLING: Final = 0.5  # seconds for the answers of calls that were cut short to leave


class _SSEConnection:
    """One connection: who opened it, and where its messages go."""

    def __init__(self, principal: Principal, caller: Hashable, writer: EventWriter) -> None:
        self.key = principal.key
        self.caller = caller
        self.writer = writer
        self.closing = asyncio.Event()
        self.connection: ServerConnection | None = None
        self.order = asyncio.Lock()

    @property
    def held(self) -> int:
        """Bytes that its calls in progress hold."""
        return 0 if self.connection is None else self.connection.held

    async def send(self, message: bytes) -> None:
        """Write one message as an event. Raises `OSError` once the client is gone."""
        try:
            await self.writer.write(encode_event(message, event=b"message"))
        except ConnectionLost as lost:
            self.closing.set()
            raise BrokenPipeError(str(lost)) from None


class HTTPSSEServer:
    """Serves the two routes of the old transport."""

    ROUTES: Final[Mapping[str, str]] = {_STREAM: "GET", _MESSAGES: "POST"}

    def __init__(
        self,
        service: Service,
        settings: Settings,
        limits: EndpointLimits,
        authenticator: Authenticator | None = None,
        kv: KeyValue | None = None,
        processes: EndpointProcesses | None = None,
    ) -> None:
        self._authenticator = authenticator
        #: The way of messages that reach another worker, where there may be some that share the store.
        self._messages: SSEMessages | None = None
        if kv is not None and processes is not None:
            self._messages = SSEMessages(kv, processes, self._take_passed_on)
        self._service = service
        self._settings = settings
        self._limits = limits
        self._links: dict[str, _SSEConnection] = {}
        #: In the ids of connections of this process, to tell those of others; drawn when it is first needed.
        self._mark = ""

    async def open(
        self, head: Head, principal: Principal, scope: Scope, route: str, receive: Receive, send: Send
    ) -> None:
        """Serve the stream of a connection until either side ends it."""
        if not self._service.stateful:
            raise HTTPRefusal(405, "this server does not speak the revision of this transport")
        if not self._limits.take_stream(head):
            self._limits.check_stream(head)
        settings = self._settings
        permission = permission_of(self._authenticator, head, principal)
        alive = None if permission is None else permission.judge
        writer = EventWriter(
            send, head.extra, limit=settings.send_timeout, interval=settings.keep_alive, alive=alive
        )
        link = _SSEConnection(principal, head.caller, writer)
        if permission is not None:
            permission.watch(link.closing.set, until_expiry=True)
        link.connection = connection = ServerConnection(
            self._service,
            link.send,
            transport="http+sse",
            principal=principal,
            remote=head.remote,
            answer_timeout=settings.answer_timeout,
        )
        id = f"{secrets.token_urlsafe(32)}{_MARK}{self._own_mark()}"
        self._links[id] = link
        try:
            if self._messages is not None:
                await self._messages.hold(id)  # before the client knows where to post
            await writer.start(encode_event(self._address(scope, route, id), event=b"endpoint"))
            departed = asyncio.ensure_future(_departure(receive))
            closing = asyncio.ensure_future(link.closing.wait())
            try:
                await asyncio.wait((departed, closing), return_when=asyncio.FIRST_COMPLETED)
                gone = departed.done()
            finally:
                departed.cancel()
                closing.cancel()
            del self._links[id]
            await connection.close()
            if not gone:
                await writer.finish()
        except ConnectionLost:
            return
        finally:
            if permission is not None:
                permission.close()
            self._links.pop(id, None)
            if self._messages is not None:
                self._messages.release(id)
            writer.close()
            self._limits.leave_stream(head)
            await connection.close()

    async def take(self, head: Head, principal: Principal, body: bytes) -> None:
        """Take a posted message. Raises `HTTPRefusal`: 404 for a connection that is not the caller's, 503 where too
        much is held.
        """
        ids = (
            parse_qs(head.query.decode("latin-1"), max_num_fields=16).get(_PARAMETER, [])
            if head.query
            else []
        )
        link = self._links.get(ids[0]) if len(ids) == 1 else None
        if link is None and len(ids) == 1 and self._is_of_another(ids[0]):
            if head.routes:
                _check_stated(head, body)
            if not await self._pass_on(ids[0], principal, head.remote, body):
                raise HTTPRefusal(404, _ELSEWHERE)
            return
        if link is None or link.key != principal.key or link.connection is None:
            raise HTTPRefusal(404, "there is no such connection; open its stream first")
        if head.routes:
            _check_stated(head, body)
        if head.held is not None:
            links = self._links.values()
            own = sum(each.held for each in links if each.caller == head.caller)
            self._limits.check_besides(head, sum(each.held for each in links), own)
        if not await self._receive(link, principal, head.remote, body):
            raise HTTPRefusal(404, "the connection's stream is gone; open a new one")

    async def _receive(
        self, link: _SSEConnection, principal: Principal, remote: str | None, body: bytes
    ) -> bool:
        """Take a message of a connection. False where its stream is gone."""
        if link.connection is None:
            return False
        async with link.order:
            # What the stream was opened with may have been worth more, or less, than what this message shows.
            link.connection.sent_by(principal, remote)
            try:
                await link.connection.receive(body)
            except OSError:
                return False
        return True

    async def _pass_on(self, id: str, principal: Principal, remote: str | None, body: bytes) -> bool:
        """Have the process take a message that has its connection. False where there is none. Raises `HTTPRefusal`."""
        if self._messages is None:
            return False
        try:
            return await self._messages.pass_on(id.rpartition(_MARK)[2], id, principal, remote, body)
        except StoreError as problem:
            raise StoreFailed(problem) from None

    async def _take_passed_on(self, id: str, principal: Principal, remote: str | None, body: bytes) -> bool:
        """Take a message that another worker was posted: of the caller's connection, as if it had been posted here."""
        link = self._links.get(id)
        if link is None or link.key != principal.key:
            return False
        return await self._receive(link, principal, remote, body)

    def _own_mark(self) -> str:
        if not self._mark:
            self._mark = secrets.token_hex(4) if self._messages is None else self._messages.processes.id
        return self._mark

    def _is_of_another(self, id: str) -> bool:
        """Whether another process, or this one before it was started anew, gave this id."""
        _, marked, mark = id.partition(_MARK)
        return bool(marked) and mark != self._own_mark()

    def _address(self, scope: Scope, route: str, id: str) -> bytes:
        path: str = scope["path"]
        root: str = scope.get("root_path", "").rstrip("/")
        if root and not path.startswith(root + "/"):
            path = root + path
        base = path.removesuffix(route)
        return f"{quote(base)}{_MESSAGES}?{_PARAMETER}={id}".encode()

    async def drain(self) -> None:
        """Wait until every call of every connection was answered, then end the streams."""
        for link in list(self._links.values()):
            if link.connection is not None:
                await link.connection.drain()
            link.closing.set()

    async def close(self) -> None:
        """End the streams now. Calls in progress are answered as cut short."""
        links = list(self._links.values())
        running = [link.connection.cut(_TELLING) for link in links if link.connection is not None]
        await asyncio.gather(*running, return_exceptions=True)
        for link in links:
            link.closing.set()


def _check_stated(head: Head, body: bytes) -> None:
    """Raise `HTTPRefusal` (400) when a message contradicts the headers beside it. What can't be read is answered
    later.
    """
    with suppress(Malformed):
        for item in envelope.split_batch(body) if envelope.is_batch(body) else [body]:
            try:
                head.check_stated(envelope.read(bytes(item)))
            except Malformed:
                continue
            except MessageRefused as refused:
                raise HTTPRefusal(400, refused.error, id=None if refused.silent else refused.id) from None


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
