"""The stateful era over HTTP: sessions, requests with streams of their own, the standalone stream,
resumption.

``initialize`` makes a session once it was accepted; every later request finds its record, and must come
from the same principal. What a message does is decided here; how calls run, in `session_calls`. What a call says goes
out on the stream of its request, changes on the standalone stream, each message on one stream only.

Decisions where the pages leave room: a second standalone stream is refused (409) while the first is read;
an event id that cannot be resumed from is a 400, for a 404 would tell the client that its session is gone;
an error that answers a request has status 200, but for one that made no sense as a message. Specification:
2025-03-26 to 2025-11-25, basic/transports "Streamable HTTP".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final, cast

from ...logs import get_logger
from ...protocol import envelope, messages, names
from ...protocol.bindings.sse import encode_event
from ...protocol.call import Call, Cancellation, MessageRefused, Notification, PeerResponse
from ...protocol.envelope import Kind, Malformed, Message
from ...protocol.errors import INVALID_REQUEST, InternalError, InvalidRequest, RPCError
from ...protocol.revisions import ASSUMED_WITHOUT_HEADER, Feature, Profile
from ...protocol.session import READY, SessionState
from ...runtime import tap
from ...runtime.dispatch import EncodedResponse
from ...runtime.observer import RefusedMessage
from ...runtime.service import Service
from ...security.authenticator import Authenticator, Gatekeeper
from ...stores.contracts import Store
from ...stores.memory import MemoryStore
from .answering import STREAM, HTTPRefusal, answer, unreadable
from .claims import Claims
from .endpoint_processes import EndpointProcesses
from .endpoint_request import EndpointRequest, PostRequest
from .head import LAST_EVENT_ID, METHOD, NAME, SESSION, Head
from .limits import EndpointLimits
from .listening import GetStreams
from .live_sessions import LiveSession
from .origin_check import JSON_OK, SSE_OK
from .permission import permission_of
from .posting import Posted
from .session_calls import SessionCalls
from .sessions import ATTEMPTS, SessionRequest, Sessions, contended
from .settings import Settings
from .standalone_claims import StandaloneClaims
from .stepping_up import answer_forbidden, lacks_scopes
from .store_failed import StoreFailed
from .stream_readers import StreamReaders
from .streams import deliver

log = get_logger("dovetail.http")

Event = Call | Cancellation | PeerResponse | Notification
_NO_SESSION: Final = ""


class Stateful:
    """Serves the stateful era."""

    def __init__(
        self,
        service: Service,
        settings: Settings,
        limits: EndpointLimits,
        store: Store,
        gate: Gatekeeper | None = None,
        authenticator: Authenticator | None = None,
    ) -> None:
        self._service = service
        self._gate = gate
        self._authenticator = authenticator
        self._settings = settings
        self._limits = limits
        self._processes: EndpointProcesses | None = None
        self._claims = claims = readers = standalones = None
        if settings.sessions and not isinstance(
            store, MemoryStore
        ):  # else nobody but this process knows of any
            self._processes = processes = EndpointProcesses(store.kv, store.bus)
            self._claims = claims = Claims(store.kv, store.events, processes)
        self._sessions = sessions = Sessions(service, store, settings, self._processes)
        if self._processes is not None and claims is not None:
            readers = StreamReaders(self._processes, claims, sessions)
            standalones = StandaloneClaims(store, self._processes)
        self._calls = SessionCalls(service, settings, limits, sessions, store.events, claims)
        self._listeners = GetStreams(service, settings, sessions, store, readers, standalones)

    def note(self, refusal: HTTPRefusal) -> None:
        """A request, or one of several in a batch, is refused: the log is told where the store is to blame."""
        if isinstance(refusal, StoreFailed):
            self._sessions.outages.note(refusal.fault)

    @property
    def processes(self) -> EndpointProcesses | None:
        """Those that share the store, this one among them; None where there can't be others."""
        return self._processes

    # One message

    async def serve(self, request: PostRequest, body: bytes, message: Message) -> None:
        """Answer a POST of one message."""
        head = request.head
        opening = message.method == names.INITIALIZE and message.kind is Kind.REQUEST
        if opening and (SESSION not in head.headers or not self._settings.sessions):
            await self._open(request, body, message)
            return
        entered = await self._enter(request)
        try:
            if tap.listeners:
                revision = entered.session.profile.revision
                tap.note(entered.live.link, "server", False, "http", body, revision)
            if METHOD in head.headers or NAME in head.headers:
                head.check_stated(message)
            serving = self._serve_one(request, entered, message)
            del body, message  # a call may go on for long, and needs only what was read of it
            await serving
        except MessageRefused as refused:
            self._tell(refused, request)
            profile = entered.session.profile
            said = messages.error(None if refused.silent else refused.id, refused.error, profile)
            code = profile.code(refused.error)
            status = 400 if refused.silent or refused.id is None or code == INVALID_REQUEST else 200
            if tap.listeners:
                tap.note(entered.live.link, "server", True, "http", said, profile.revision)
            await answer(request.send, status, said, head.extra)
        finally:
            self._sessions.leave(entered.live)

    async def _serve_one(self, request: PostRequest, entered: SessionRequest, message: Message) -> None:
        head = request.head
        if message.method in self._service.profiles.ordered and message.kind is Kind.REQUEST:
            reply = await self._steer(request, entered, message)
            if tap.listeners:
                tap.note(
                    entered.live.link, "server", True, "http", reply.data, entered.session.profile.revision
                )
            if lacks_scopes(reply):
                await answer_forbidden(self._gate, head, reply.shortfall, reply.data, request.send)
            else:
                await self._answer_at_once(request, reply.data)
            return
        event = entered.session.receive(message)
        if self._sessions.to_save(entered):
            event = await self._save(request, entered, message, event)
        del message
        if isinstance(event, Call):
            calls = self._calls
            posted = calls.posted(request, entered, event.profile, batch=False)
            calls.start(event, request, entered, posted)
            try:
                await self._respond(request, posted)
            finally:
                posted.abandon()
                if posted.left:
                    await calls.leave_running(head, posted)
        else:
            elsewhere = self._settle_event(event, entered.live)
            if elsewhere is not None:
                await elsewhere
            await answer(request.send, 202, b"", head.extra)

    async def _open(self, request: PostRequest, body: bytes, message: Message) -> None:
        """Answer ``initialize``. The session is made only once the request was accepted."""
        head = request.head
        self._header_revision(head)
        id = self._sessions.new_id() if self._settings.sessions else _NO_SESSION
        live = LiveSession(id)
        if tap.listeners:
            tap.note(live.link, "server", False, "http", body)
        session = self._service.session()
        status = 200
        channel = self._calls.channel(request, session)
        try:
            head.check_stated(message)
            event = cast("Call", session.receive(message))
            reply = await self._service.dispatcher.answer(event, channel)
        except MessageRefused as refused:
            self._tell(refused, request)
            reply = EncodedResponse(
                messages.error(refused.id, refused.error, session.profile),
                session.profile.code(refused.error),
            )
            status = 400 if reply.code == INVALID_REQUEST else 200
        extra = head.extra
        if id and reply.code is None:
            await self._sessions.create(id, request.principal, session, remote=head.remote)
            extra = (*extra, (SESSION, id.encode()))
        if tap.listeners:
            tap.note(live.link, "server", True, "http", reply.data, session.state.revision or None)
        await answer(request.send, status, reply.data, extra)

    def _enter(self, request: EndpointRequest) -> Awaitable[SessionRequest]:
        """Find the session of a request. Raises `HTTPRefusal`."""
        stated = self._header_revision(request.head)
        if not self._settings.sessions:
            return self._without(stated or self._assumed())
        if self._processes is not None and not self._processes.begin(asyncio.get_running_loop()):
            return self._enter_first(self._processes, request)
        # The header SHOULD name the session's revision; another one that is served changes nothing.
        return self._sessions.enter(request.head.headers.get(SESSION), request.principal)

    async def _enter_first(self, processes: EndpointProcesses, request: EndpointRequest) -> SessionRequest:
        """A call that began before this process hears could be cancelled at another one without its hearing of it."""
        await processes.tried()
        return await self._sessions.enter(request.head.headers.get(SESSION), request.principal)

    async def _without(self, revision: str) -> SessionRequest:
        """For a request where there are no sessions."""
        session = self._service.session(SessionState(revision=revision, phase=READY))
        return SessionRequest(None, session, LiveSession(_NO_SESSION))

    def _header_revision(self, head: Head) -> str | None:
        stated = head.revision
        if stated is not None and stated not in self._service.stateful:
            raise HTTPRefusal(400, self._service.exchange.unsupported(stated))
        return stated

    def _assumed(self) -> str:
        assumed = ASSUMED_WITHOUT_HEADER.revision
        return assumed if assumed in self._service.stateful else self._service.stateful[-1]

    # What a message does

    async def _save(
        self, request: PostRequest, entered: SessionRequest, message: Message, event: Event
    ) -> Event:
        """Save what a message changed; the engine reads it again where somebody else changed the session meanwhile."""
        for _ in range(ATTEMPTS):
            if entered.record is None or await self._sessions.save(entered.record, entered.session):
                return event
            await self._sessions.renew(entered, request.principal)
            event = entered.session.receive(message)
        raise contended()

    async def _steer(
        self, request: PostRequest, entered: SessionRequest, message: Message
    ) -> EncodedResponse:
        """Answer a request that steers the session, and save what that changed."""
        for _ in range(ATTEMPTS):
            event = cast("Call", entered.session.receive(message))
            channel = self._calls.channel(request, entered.session)
            reply = await self._service.dispatcher.answer(event, channel)
            if entered.record is None or await self._sessions.save(entered.record, entered.session):
                return reply
            await self._sessions.renew(entered, request.principal)
        raise contended()

    def _settle_event(self, event: Event, live: LiveSession) -> Awaitable[None] | None:
        """An answer finds its waiter, a cancellation its call, a notification of an extension's its handler. Gives what
        is to be awaited, where that may be in another process.
        """
        if isinstance(event, Cancellation):
            log.debug("request %r was cancelled: %s", event.id, (event.reason or "no reason given")[:256])
            return self._sessions.cancel(live, event.id)
        if isinstance(event, PeerResponse):
            waiter = live.asked.take(event.id) if live.asks else None
            if waiter is not None and not waiter.done():
                waiter.set_result(event)
            elif self._sessions.questions is not None:
                return self._sessions.questions.pass_on(live.digest, event)
        elif isinstance(event, Notification) and self._service.extensions.hears:
            self._service.extensions.hear("client", event.method, event.params)
        return None

    async def refuse_unreadable(self, request: PostRequest, body: bytes, problem: Malformed) -> None:
        """Raise the refusal (`unreadable`) of a message that can't be read. Where it was to answer a question of its
        session, that one ends: nothing better would come.
        """
        if SESSION in request.head.headers and self._settings.sessions:
            with suppress(HTTPRefusal):  # of a session that is not the caller's
                entered = await self._enter(request)
                try:
                    await self._fail_question(entered.live, body, problem)
                finally:
                    self._sessions.leave(entered.live)
        raise unreadable(body, request.head.revision, problem)

    async def _fail_question(self, live: LiveSession, data: bytes, problem: Malformed) -> None:
        """End the question that an unreadable message would have answered, if there is one."""
        if live.asks:
            id = live.asked.named_in(data) if problem.id is None else problem.id
            waiter = live.asked.take(id)
            if waiter is not None:
                if not waiter.done():
                    waiter.set_exception(RPCError(f"the client's answer is malformed: {problem}"))
                return
        if self._sessions.questions is not None:
            await self._sessions.questions.pass_on_unreadable(live.digest, problem.id, data, problem)

    # Answers

    async def _respond(self, request: PostRequest, posted: Posted) -> None:
        """One body if everything ends soon and says nothing on its way, else a stream that lasts."""
        head, readable, send = request.head, request.readable, request.send
        if posted.left and posted.stream is None:
            await posted.decided()
        if posted.streamable and (posted.stream or posted.left):
            if self._limits.take_stream(head):
                try:
                    await self._stream(request, posted)
                finally:
                    self._limits.leave_stream(head)
                return
            posted.streamable = posted.stream is not None
            posted.abandon()
            await posted.over()
        if posted.stream is not None:
            # No 503: that would promise that nothing was done.
            raise HTTPRefusal(
                500, InternalError("the call has run, and there was no stream free for its answer")
            )
        settings = self._settings
        if posted.shortfall is not None and not posted.batch:
            await answer_forbidden(self._gate, head, posted.shortfall, posted.body(), send)
        elif readable & SSE_OK and (settings.responses == "sse" or not readable & JSON_OK):
            body = await posted.events(settings.retry)
            await answer(send, 200 if body else 202, body, head.extra, kind=STREAM, remote=head.remote)
        else:
            body = posted.body()
            await answer(send, 200 if body else 202, body, head.extra, remote=head.remote)

    async def _stream(self, request: PostRequest, posted: Posted) -> None:
        stream = await posted.begin()
        token = stream.attach()
        permission = permission_of(self._authenticator, request.head, request.principal)
        if permission is not None:
            permission.watch(stream.wake)
        connection = self._listeners.connection(request, posted.live, permission)
        try:
            await connection.writer.start()
            await deliver(stream, 0, connection, token, self._settings.retry)
        finally:
            stream.detach(token)
            connection.writer.close()
            if permission is not None:
                permission.close()

    @staticmethod
    async def _answer_at_once(request: PostRequest, data: bytes) -> None:
        """JSON, or a stream of one event for a client that reads nothing else."""
        if request.readable & JSON_OK:
            await answer(request.send, 200, data, request.head.extra)
            return
        await answer(request.send, 200, encode_event(data), request.head.extra, kind=STREAM)

    # Batches

    async def serve_batch(self, request: PostRequest, body: bytes) -> None:
        """Answer a POST of several messages, in the one revision that has them."""
        entered = await self._enter(request)
        try:
            serving = self._serve_batch(request, entered, body)
            del body
            await serving
        finally:
            self._sessions.leave(entered.live)

    async def _serve_batch(self, request: PostRequest, entered: SessionRequest, body: bytes) -> None:
        profile = entered.session.profile
        if not profile.has(Feature.BATCHES):
            raise HTTPRefusal(400, f"batches do not exist in revision {profile.revision}")
        if tap.listeners:
            tap.note(entered.live.link, "server", False, "http", body, profile.revision)
        try:
            items = envelope.split_batch(body)
        except Malformed as problem:
            raise HTTPRefusal(400, problem.error) from None
        del body
        items.reverse()
        posted = self._calls.posted(request, entered, profile, batch=True)
        posted.left = 1  # until all have been started
        try:
            while items:
                data = await self._take_item(bytes(items.pop()), request, entered, posted)
                if data is None:
                    pass
                elif posted.stream is None:
                    posted.replies.append(data)
                else:
                    await posted.reply(posted.stream, data)
            await posted.claim()
            stream = posted.one_over()
            if stream is not None:
                await stream.end()
            if posted.nothing:
                await answer(request.send, 202, b"", request.head.extra)
            else:
                await self._respond(request, posted)
        finally:
            posted.abandon()
            if posted.left:
                await self._calls.leave_running(request.head, posted)

    async def _take_item(
        self, item: bytes, request: PostRequest, entered: SessionRequest, posted: Posted
    ) -> bytes | None:
        """Start one message of a batch; gives its answer when that is known at once."""
        profile: Profile = entered.session.profile
        try:
            message = envelope.read(item)
            if message.method == names.INITIALIZE:
                raise MessageRefused(InvalidRequest("initialize must not be part of a batch"), message.id)
            request.head.check_stated(message)
            if entered.record is not None:
                await self._sessions.renew(entered, request.principal)
            if message.method in self._service.profiles.ordered and message.kind is Kind.REQUEST:
                return (await self._steer(request, entered, message)).data
            event = entered.session.receive(message)
            if self._sessions.to_save(entered):
                event = await self._save(request, entered, message, event)
            if isinstance(event, Call):
                self._calls.start(event, request, entered, posted)
            else:
                elsewhere = self._settle_event(event, entered.live)
                if elsewhere is not None:
                    await elsewhere
        except Malformed as problem:
            with suppress(HTTPRefusal):  # nobody is to be told that this message could not be passed on
                await self._fail_question(entered.live, item, problem)
            return None if problem.response else messages.error(problem.id, problem.error, profile)
        except HTTPRefusal as refusal:  # the other messages are answered all the same
            self.note(refusal)
            return messages.error(refusal.id, refusal.problem, profile)
        except MessageRefused as refused:
            self._tell(refused, request)
            return None if refused.silent else messages.error(refused.id, refused.error, profile)
        return None

    # Sessions and their streams

    async def listen(self, request: EndpointRequest) -> None:
        """Answer a GET: the standalone stream, or the rest of any stream of the session."""
        head = request.head
        last = head.headers.get(LAST_EVENT_ID)
        entered = await self._enter(request)
        live, profile = entered.live, entered.session.profile
        del entered  # a stream that stays open for days keeps no more than it needs
        permission = permission_of(self._authenticator, head, request.principal)
        listeners = self._listeners
        if not self._limits.take_stream(head):
            self._sessions.leave(live)
            self._limits.check_stream(head)
        try:
            if last is not None and last.strip():
                await listeners.resume(request, profile, live, last, permission)
            else:
                await listeners.listen(request, profile, live, permission)
        finally:
            if permission is not None:
                permission.close()
            self._limits.leave_stream(head)
            self._sessions.leave(live)

    async def end(self, request: EndpointRequest) -> None:
        """End a session, as a DELETE asks, and everything of it."""
        entered = await self._enter(request)
        await self._sessions.end(entered.live.id)
        if entered.record is not None:
            seconds = max(time.time() - entered.record.created, 0.0)
            revision = entered.session.profile.revision
            self._service.observer.session_ended("server", revision, "http", seconds)

    def _tell(self, refused: MessageRefused, request: EndpointRequest) -> None:
        """Whoever watches hears of a message that broke the protocol."""
        self._service.observer.refused(
            RefusedMessage.by_engine(refused.error, "http", request.principal, request.head.remote)
        )

    def begin_drain(self) -> None:
        """End the standalone streams, so that clients come back elsewhere."""
        for live in self._sessions.all_live():
            if live.standalone is not None:
                live.standalone.close()

    @property
    def sessions_in_use(self) -> int:
        """Sessions of which something runs in this process."""
        return len(self._sessions)

    async def idle(self) -> None:
        """Wait until no call is in progress."""
        await self._calls.idle()

    async def close(self) -> None:
        """Cancel what still runs; who waits for it is told. The sessions themselves stay in the store."""
        await self._calls.close()
        if self._sessions.durations is not None:
            await self._sessions.durations.close()
        if self._claims is not None:
            await self._claims.close()
        if self._processes is not None:
            await self._processes.close()
