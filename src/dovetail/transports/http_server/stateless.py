"""A request of the stateless era: judged, run and answered in the task that the ASGI server made for it.

An answer is one JSON object, unless the handler emitted something first: then it is an event stream, which
begins with that message and ends with the response. The client's departure cancels the handler, and nothing
more is sent.

The ladder of refusals: shape, ``_meta`` there at all, headers against the body, revision, capabilities,
method, parameters, and the headers that mirror parameters. Refused requests carry a status of 4xx and their
JSON-RPC error under their id. Session and event ids mean nothing here and are not looked at. Specification:
2026-07-28 basic/transports/streamable-http.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, cast

from ...protocol import codec, exchange, names
from ...protocol.bindings.headers import check_mirrors, check_parameters, plainly_agree
from ...protocol.bindings.sse import encode_event
from ...protocol.call import Call, MessageRefused
from ...protocol.envelope import Kind, Message
from ...protocol.errors import (
    HEADER_MISMATCH,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    PARSE_ERROR,
    UNSUPPORTED_VERSION,
    ConnectionLost,
    HeaderMismatch,
    InvalidRequest,
)
from ...protocol.header_parameters import HeaderParameter
from ...protocol.types.tools import CallToolParams
from ...runtime import tap
from ...runtime.channel import Channel
from ...runtime.dispatch import error_response, shutdown_response
from ...runtime.service import Service
from ...security.authenticator import INSUFFICIENT_SCOPE, Authenticator, Gatekeeper
from ...security.principal import Principal
from .answering import EventWriter, HeaderList, HTTPRefusal, Send, answer, heard
from .endpoint_request import PostRequest
from .head import VERSION, Head, PlainHeaders
from .limits import EndpointLimits
from .origin_check import JSON_OK, SSE_OK
from .permission import Permission, permission_of
from .settings import Settings
from .stepping_up import FORBIDDEN, answer_forbidden

#: The status that goes with an error's code; any other error is an answer like a result.
STATUS: Final[Mapping[int, int]] = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
    METHOD_NOT_FOUND: 404,
    INSUFFICIENT_SCOPE: FORBIDDEN,
}


class Stateless:
    """Serves requests that stand alone."""

    def __init__(
        self,
        service: Service,
        settings: Settings,
        limits: EndpointLimits,
        gate: Gatekeeper | None = None,
        authenticator: Authenticator | None = None,
    ) -> None:
        self.authenticator = authenticator
        self._service = service
        self._settings = settings
        self._limits = limits
        self._gate = gate

    async def serve(self, request: PostRequest, body: bytes, message: Message) -> None:
        """Answer one message."""
        head, readable, watch = request.head, request.readable, request.watch
        link = heard(body, head.revision) if tap.listeners else ""
        if message.kind is not Kind.REQUEST:
            await self._take_notice(head, message, request.send)
            return
        call = self._judge(head, message, request.principal, link)
        settings = self._settings
        if call.method == names.SUBSCRIPTIONS_LISTEN:
            self._expect_stream(head, readable, message, link)
        elif settings.responses == "json" and readable & JSON_OK:
            request.readable = readable = JSON_OK
        del body, message
        channel = _ExchangeChannel(self, request, link)
        if settings.responses == "json":
            channel.speaking = False
        watch.call_begins()
        try:
            try:
                reply = await self._service.dispatcher.answer(call, channel)
            except asyncio.CancelledError:
                if watch.take_gone():
                    if not channel.revoked:
                        tap.left(link)
                        return
                    reply = error_response(
                        call, InvalidRequest("the token that the call came with is good no more")
                    )
                elif watch.take_evicted():
                    reply = shutdown_response(call)
                else:
                    raise
            finally:
                channel.ended = True
                watch.close()
                if channel.writer is not None:
                    channel.release(channel.writer)
            if tap.listeners:
                tap.note(link, "server", True, "http", reply.data, call.profile.revision)
            status = 200 if reply.code is None else STATUS.get(reply.code, 200)
            if channel.writer is not None or (
                status == 200 and (readable == SSE_OK or settings.responses == "sse")
            ):
                await channel.finish(reply.data)
            elif status == FORBIDDEN:
                await answer_forbidden(self._gate, head, reply.shortfall, reply.data, request.send)
            else:
                await answer(
                    request.send, status, reply.head, head.extra, tail=reply.tail, remote=head.remote
                )
        finally:
            if channel.clean_ups:
                await channel.tidy()

    def _judge(self, head: Head, message: Message, principal: Principal, link: str) -> Call:
        """The ladder. Raises `HTTPRefusal`."""
        try:
            try:
                call = self._service.exchange.judge(message, head.revision)
            except MessageRefused as refused:
                self._check_headers_first(head, message, refused)
                raise
            name = call.subject
            if not plainly_agree(head.headers, revision=call.profile.revision, method=call.method, name=name):
                if names.HEADER_NAME not in head.routing and not self._has_to_name(call):
                    name = None
                check_mirrors(head.routing, revision=call.profile.revision, method=call.method, name=name)
            parameters_of = self._service.header_parameters
            if parameters_of is not None and call.method == names.TOOLS_CALL:
                parameters = parameters_of(call, principal)
                if parameters:
                    self._check_parameters(head.routing, call, parameters)
            return call
        except MessageRefused as refused:
            problem = refused.error
        except HeaderMismatch as mismatch:
            problem = mismatch
        status = 404 if problem.code == METHOD_NOT_FOUND else 400
        raise HTTPRefusal(status, problem, id=message.id, link=link, revision=self._service.stateless[-1])

    @staticmethod
    def _has_to_name(call: Call) -> bool:
        """Whether the name header has to be there. The protocol requires it for methods of its own; of an extension's
        some clients send none, and nobody is misled by a header that is not there.
        """
        return not call.profile.client_requests[call.method].extension

    def _check_headers_first(self, head: Head, message: Message, refused: MessageRefused) -> None:
        """What the headers get wrong is named before what the judge found, but for a missing ``_meta``."""
        claimed = exchange.claimed_revision(message)
        if claimed is not None:
            check_mirrors(head.routing, revision=claimed, method=message.method, name=None)
        elif head.revision is None:
            known = ", ".join((*self._service.stateful, *self._service.stateless))
            raise HeaderMismatch(
                f"Header mismatch: {VERSION} is missing; supported revisions: {known}",
                data={"supported": [*self._service.stateful, *self._service.stateless]},
            ) from refused

    @staticmethod
    def _check_parameters(
        routing: Mapping[str, bytes], call: Call, parameters: Sequence[HeaderParameter]
    ) -> None:
        params = cast("CallToolParams", call.params)
        try:
            arguments = codec.decode(params.arguments) if params.arguments else None
        except codec.DECODE_ERRORS:
            arguments = None
        mapping = cast("Mapping[str, object]", arguments) if isinstance(arguments, dict) else None
        check_parameters(routing, mapping, parameters)

    def _expect_stream(self, head: Head, readable: int, message: Message, link: str) -> None:
        if not readable & SSE_OK:
            text = f"the answer is an event stream: the client has to accept {names.MEDIA_SSE}"
            raise HTTPRefusal(406, InvalidRequest(text), id=message.id, link=link)
        self._limits.check_stream(head)

    async def _take_notice(self, head: Head, message: Message, send: Send) -> None:
        """No notification of this era travels over HTTP: one is accepted and means nothing. Responses are
        refused.
        """
        if message.kind is not Kind.NOTIFICATION:
            raise HTTPRefusal(400, InvalidRequest("a client sends no responses in this revision"))
        claimed = exchange.claimed_revision(message) or head.revision
        if claimed not in self._service.stateless:
            raise HTTPRefusal(400, self._service.exchange.unsupported(claimed or ""))
        try:
            head.check_stated(message)
            if head.revision is not None:
                stated = {VERSION: head.routing[VERSION], names.HEADER_METHOD: b""}
                check_mirrors(stated, revision=claimed, method="", name=None)
        except MessageRefused as refused:
            raise HTTPRefusal(400, refused.error) from None
        except HeaderMismatch as mismatch:
            raise HTTPRefusal(400, mismatch) from None
        await answer(send, 202, b"", head.extra)

    def writer(self, send: Send, extra: HeaderList, permission: Permission | None = None) -> EventWriter:
        """A new event stream, whose reader is judged again."""
        settings = self._settings
        alive = None if permission is None else permission.judge
        return EventWriter(
            send, extra, limit=settings.send_timeout, interval=settings.keep_alive, alive=alive
        )

    @property
    def limits(self) -> EndpointLimits:
        """What counts open streams."""
        return self._limits


class _ExchangeChannel(Channel):
    """The way back of one exchange: makes an event stream of the answer when something is emitted."""

    transport = "http"
    tidies = True
    revoked = False
    _permission: Permission | None = None

    def __init__(self, owner: Stateless, request: PostRequest, link: str) -> None:
        self.principal = request.principal
        self.remote = request.head.remote
        self.ended = False
        self.writer: EventWriter | None = None
        self._owner = owner
        self._request = request
        self._link = link

    @property
    def headers(self) -> Mapping[str, str]:
        """See `Channel`."""
        return PlainHeaders(self._request.head.headers)

    @property
    def abandoned(self) -> bool:
        """See `Channel`: the client has left, or the server's task is being cancelled."""
        return self._request.watch.gone or self._request.watch.evicted or super().abandoned

    def tell(self, message: bytes) -> bool:
        """See `Channel`."""
        writer = self.writer
        if writer is None or writer.pushing is None or self.ended or not writer.push(encode_event(message)):
            return False
        if tap.listeners:
            tap.note(self._link, "server", True, "http", message, self._request.head.revision)
        return True

    async def emit(self, message: bytes) -> None:
        """Send a notification; the first one makes a stream of the answer."""
        if self.ended or not self._request.readable & SSE_OK:
            return
        event = encode_event(message)
        try:
            if self.writer is None and not await self.open():
                return
            writer = cast("EventWriter", self.writer)
            if tap.listeners:
                tap.note(self._link, "server", True, "http", message, self._request.head.revision)
            await writer.write(event)
        except ConnectionLost:
            self._request.watch.leave()
            await asyncio.sleep(0)  # the cancellation arrives where the handler waits: here at the latest

    async def open(self) -> bool:
        """Begin the event stream. False when there is no place for one more."""
        if not self._owner.limits.take_stream(self._request.head):
            return False
        permission = permission_of(self._owner.authenticator, self._request.head, self.principal)
        if permission is not None:
            self._permission = permission
            permission.watch(self._revoke)
        writer = self._owner.writer(self._request.send, self._request.head.extra, permission)
        self.writer = writer
        await writer.start()
        return True

    def _revoke(self) -> None:
        """The caller's token was revoked: what only listens ends in good order, any other call is cancelled."""
        if self.lapse is not None:
            self.lapse()
        else:
            self.revoked = True
            self._request.watch.leave()

    def release(self, writer: EventWriter) -> None:
        """Give the stream's place back."""
        if self._permission is not None:
            self._permission.close()
        self._owner.limits.leave_stream(self._request.head)
        writer.close()

    async def finish(self, data: bytes) -> None:
        """Send the response and end the stream."""
        writer = self.writer
        try:
            if writer is None:
                writer = self._owner.writer(self._request.send, self._request.head.extra)
                await writer.start()
            await writer.finish(encode_event(data))
        except ConnectionLost:
            return
