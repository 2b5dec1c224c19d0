"""The stateful era over HTTP: sessions, requests with streams of their own, the standalone stream,
resumption.

``initialize`` makes a session once it was accepted; every later request finds its record, and must come
from the same principal. A call runs in a task of its own: a client that loses its connection, or a
framework that cancels a request, does not end it; ``notifications/cancelled`` and the end of the session
do. What a call says goes out on the stream of its request, changes on the standalone stream, each message
on one stream only.

Decisions where the pages leave room: a second standalone stream is refused (409) while the first is read;
an event id that cannot be resumed from is a 400, for a 404 would tell the client that its session is gone;
an error that answers a request has status 200, but for one that made no sense as a message. Specification:
2025-03-26 to 2025-11-25, basic/transports "Streamable HTTP".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final, cast

from ...protocol import envelope, messages, names
from ...protocol.bindings.sse import encode_event
from ...protocol.call import Call, Cancellation, MessageRefused, Notification, PeerResponse
from ...protocol.envelope import Kind, Malformed, Message
from ...protocol.errors import INVALID_REQUEST, InternalError, InvalidRequest, RPCError
from ...protocol.revisions import ASSUMED_WITHOUT_HEADER, Feature, Profile
from ...protocol.session import READY, ServerSession, SessionState
from ...runtime import tap
from ...runtime.beginning import task_maker
from ...runtime.connection import IN_FLIGHT, STUBBORN
from ...runtime.dispatch import EncodedResponse, shutdown_response
from ...runtime.service import Service
from ...security.authenticator import Authenticator, Gatekeeper
from ...security.principal import Principal
from ...stores.contracts import Store
from ...stores.memory import MemoryStore
from .answering import STREAM, HTTPRefusal, Receive, Send, answer
from .claims import Claims
from .head import LAST_EVENT_ID, METHOD, NAME, SESSION, Head
from .limits import RETRY_SOON, EndpointLimits
from .listening import GetStreams
from .origin_check import JSON_OK, SSE_OK
from .permission import permission_of
from .posting import Posted, PostedChannel
from .sessions import ATTEMPTS, LiveSession, SessionRequest, Sessions, contended
from .settings import Settings
from .stepping_up import answer_forbidden, lacks_scopes
from .streams import deliver
from .watching import RequestWatch

Event = Call | Cancellation | PeerResponse | Notification
_NO_SESSION: Final = ""
#: After which part of the time for the end it answers for a handler that was cancelled and goes on.
_OBEDIENT: Final = 0.02


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
        self._store = store
        self._sessions = Sessions(service, store, settings)
        # What is in this process alone dies with it: then nobody is left to tell.
        self._claims = None if isinstance(store, MemoryStore) else Claims(store.kv, store.events)
        self._listeners = GetStreams(service, settings, self._sessions, store, self._claims)
        self._tasks: dict[asyncio.Task[None], tuple[Call, PostedChannel, Posted]] = {}
        self._alone = settings.workers == 1
        self._closing = False

    # One message

    async def serve(
        self,
        head: Head,
        principal: Principal,
        body: bytes,
        message: Message,
        readable: int,
        watch: RequestWatch,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer a POST of one message."""
        opening = message.method == names.INITIALIZE and message.kind is Kind.REQUEST
        if opening and (SESSION not in head.headers or not self._settings.sessions):
            await self._open(head, principal, body, message, send)
            return
        entered = await self._enter(head, principal)
        try:
            if tap.listeners:
                revision = entered.session.profile.revision
                tap.note(entered.live.link, "server", False, "http", body, revision)
            if METHOD in head.headers or NAME in head.headers:
                head.check_stated(message)
            serving = self._serve_one(head, principal, entered, message, readable, watch, receive, send)
            del body, message  # a call may go on for long, and needs only what was read of it
            await serving
        except MessageRefused as refused:
            profile = entered.session.profile
            said = messages.error(None if refused.silent else refused.id, refused.error, profile)
            code = profile.code(refused.error)
            status = 400 if refused.silent or refused.id is None or code == INVALID_REQUEST else 200
            if tap.listeners:
                tap.note(entered.live.link, "server", True, "http", said, profile.revision)
            await answer(send, status, said, head.extra)
        finally:
            self._sessions.leave(entered.live)

    async def _serve_one(
        self,
        head: Head,
        principal: Principal,
        entered: SessionRequest,
        message: Message,
        readable: int,
        watch: RequestWatch,
        receive: Receive,
        send: Send,
    ) -> None:
        if message.method in self._service.profiles.ordered and message.kind is Kind.REQUEST:
            reply = await self._steer(head, principal, entered, message)
            if tap.listeners:
                tap.note(
                    entered.live.link, "server", True, "http", reply.data, entered.session.profile.revision
                )
            if lacks_scopes(reply):
                await answer_forbidden(self._gate, head, reply.shortfall, reply.data, send)
            else:
                await self._answer_at_once(head, reply.data, readable, send)
            return
        event = entered.session.receive(message)
        if self._sessions.to_save(entered):
            event = await self._save(principal, entered, message, event)
        del message
        if isinstance(event, Call):
            posted = self._post(entered, principal, event.profile, readable, watch, batch=False)
            self._start(event, head, principal, entered, posted)
            try:
                await self._respond(head, principal, entered, posted, readable, receive, send)
            finally:
                posted.abandon()
                if posted.left:
                    await self._leave_running(head, posted)
        else:
            self._settle_event(event, entered.live)
            await answer(send, 202, b"", head.extra)

    async def _open(
        self, head: Head, principal: Principal, body: bytes, message: Message, send: Send
    ) -> None:
        """Answer ``initialize``. The session is made only once the request was accepted."""
        self._header_revision(head)
        id = self._sessions.new_id() if self._settings.sessions else _NO_SESSION
        live = LiveSession(id)
        if tap.listeners:
            tap.note(live.link, "server", False, "http", body)
        session = self._service.session()
        status = 200
        channel = self._channel(head, principal, session, None)
        try:
            head.check_stated(message)
            event = cast("Call", session.receive(message))
            reply = await self._service.dispatcher.answer(event, channel)
        except MessageRefused as refused:
            reply = EncodedResponse(
                messages.error(refused.id, refused.error, session.profile),
                session.profile.code(refused.error),
            )
            status = 400 if reply.code == INVALID_REQUEST else 200
        extra = head.extra
        if id and reply.code is None:
            await self._sessions.create(id, principal, session, remote=head.remote)
            extra = (*extra, (SESSION, id.encode()))
        if tap.listeners:
            tap.note(live.link, "server", True, "http", reply.data, session.state.revision or None)
        await answer(send, status, reply.data, extra)

    def _enter(self, head: Head, principal: Principal) -> Awaitable[SessionRequest]:
        """Find the session of a request. Raises `HTTPRefusal`."""
        stated = self._header_revision(head)
        if not self._settings.sessions:
            return self._without(stated or self._assumed())
        # The header SHOULD name the session's revision; another one that is served changes nothing.
        return self._sessions.enter(head.headers.get(SESSION), principal)

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
        self, principal: Principal, entered: SessionRequest, message: Message, event: Event
    ) -> Event:
        """Save what a message changed; the engine reads it again where somebody else changed the session meanwhile."""
        for _ in range(ATTEMPTS):
            if entered.record is None or await self._sessions.save(entered.record, entered.session):
                return event
            await self._sessions.renew(entered, principal)
            event = entered.session.receive(message)
        raise contended()

    async def _steer(
        self, head: Head, principal: Principal, entered: SessionRequest, message: Message
    ) -> EncodedResponse:
        """Answer a request that steers the session, and save what that changed."""
        for _ in range(ATTEMPTS):
            event = cast("Call", entered.session.receive(message))
            channel = self._channel(head, principal, entered.session, None)
            reply = await self._service.dispatcher.answer(event, channel)
            if entered.record is None or await self._sessions.save(entered.record, entered.session):
                return reply
            await self._sessions.renew(entered, principal)
        raise contended()

    def _settle_event(self, event: Event, live: LiveSession) -> None:
        """An answer finds its waiter, a cancellation its call, a notification of an extension's its handler."""
        if isinstance(event, Cancellation):
            live.cancel(event.id)
        elif isinstance(event, PeerResponse):
            waiter = live.asked.take(event.id)
            if waiter is not None and not waiter.done():
                waiter.set_result(event)
        elif isinstance(event, Notification) and self._service.extensions.hears:
            self._service.extensions.hear("client", event.method, event.params)

    async def refuse_unreadable(
        self, head: Head, principal: Principal, body: bytes, problem: Malformed, refusal: HTTPRefusal
    ) -> None:
        """Raise the refusal of a message that can't be read. Where it was to answer a question of its session, that one
        ends: nothing better would come.
        """
        if SESSION in head.headers and self._settings.sessions:
            with suppress(HTTPRefusal):  # of a session that is not the caller's
                entered = await self._enter(head, principal)
                try:
                    self._fail_question(entered.live, body, problem)
                finally:
                    self._sessions.leave(entered.live)
        raise refusal

    @staticmethod
    def _fail_question(live: LiveSession, data: bytes, problem: Malformed) -> None:
        """End the question that an unreadable message would have answered, if there is one."""
        if not live.asks:
            return
        id = live.asked.named_in(data) if problem.id is None else problem.id
        waiter = live.asked.take(id)
        if waiter is not None and not waiter.done():
            waiter.set_exception(RPCError(f"the client's answer is malformed: {problem}"))

    # Calls

    def _channel(
        self, head: Head, principal: Principal, session: ServerSession, posted: Posted | None
    ) -> PostedChannel:
        settings = self._settings
        channel = PostedChannel(head, principal, session, posted, self._sessions)
        if not settings.sessions:
            channel.lasting = False
        if settings.responses == "json":
            channel.speaking = False
        return channel

    def _post(
        self,
        entered: SessionRequest,
        principal: Principal,
        profile: Profile,
        readable: int,
        watch: RequestWatch,
        *,
        batch: bool,
    ) -> Posted:
        streamable = bool(readable & SSE_OK) and (
            self._settings.responses != "json" or not readable & JSON_OK
        )
        log = None if entered.record is None else self._store.events
        batch_limit = IN_FLIGHT * self._service.max_message if batch else 0
        posted = Posted(
            entered.live,
            profile,
            log,
            watch,
            batch=batch_limit,
            streamable=streamable,
            alone=self._alone,
            scopes=principal.scopes,
        )
        posted.claims = self._claims
        return posted

    def _start(
        self, call: Call, head: Head, principal: Principal, entered: SessionRequest, posted: Posted
    ) -> None:
        running = entered.live.running
        if call.id in running:
            raise MessageRefused(InvalidRequest(f"the request id {call.id!r} is in use"), call.id)
        if len(running) >= self._service.max_running:
            raise HTTPRefusal(
                503,
                f"the session has {len(running)} requests in progress; wait",
                id=call.id,
                headers=RETRY_SOON,
                link=entered.live.link,
                revision=call.profile.revision,
            )
        channel = self._channel(head, principal, entered.session, posted)
        channel.owned = True
        if head.held is not None:
            channel.lean = True
            channel.held = head.held.keep()
        posted.left += 1
        if self._claims is not None:
            posted.requests.append(call.id)
        running[call.id] = channel
        channel.task = task = task_maker(posted.loop)(self._run(call, channel, posted))
        if not task.done():
            self._tasks[task] = (call, channel, posted)

    async def _leave_running(self, head: Head, posted: Posted) -> None:
        """The request of calls that still run is over. As they go on without it, they are counted, and one beyond the
        limit is cut short: its client, which can come back for that, is gone.
        """
        for channel in tuple(posted.live.running.values()):
            if not isinstance(channel, PostedChannel) or channel.posted is not posted:
                continue
            channel.lingering = self._limits.let_linger(head)
            task = channel.task
            if channel.lingering is None and task in self._tasks:
                await self._answer_for(self._tasks[task][0], channel, posted)
                channel.stop()

    async def _run(self, call: Call, channel: PostedChannel, posted: Posted) -> None:
        channel.begun = True
        try:
            if channel.cancelled:
                return
            try:
                reply = await self._service.dispatcher.answer(call, channel)
            except asyncio.CancelledError:
                if not self._closing:
                    raise
                reply = shutdown_response(call)
            if channel.cancelled:
                if not self._closing:
                    return  # the handler swallowed it: nothing more is said of this request
                reply = shutdown_response(call)
            if self._answered(call, channel, posted, reply) and posted.stream is not None:
                await posted.reply(posted.stream, reply.data)
        finally:
            if not channel.ended:
                channel.ended = True
                posted.live.running.pop(call.id, None)
            stream = None if channel.over else posted.one_over()
            channel.over = True
            try:
                if stream is not None:
                    await stream.end()
            finally:
                if channel.held is not None:
                    channel.held.release()
                if channel.lingering is not None:
                    channel.lingering.release()
                if posted.abandoned:  # else whoever waits for the answer does that
                    self._sessions.settle(posted.live)
                try:
                    if channel.clean_ups:
                        await channel.tidy()
                finally:
                    if channel.task is not None:
                        self._tasks.pop(channel.task, None)

    @staticmethod
    def _answered(call: Call, channel: PostedChannel, posted: Posted, reply: EncodedResponse) -> bool:
        """Take the reply to a call; a stream is still to have it then. False if it was answered before."""
        if channel.ended:
            return False
        channel.ended = True
        # Before the client can know: an id that was answered is free.
        posted.live.running.pop(call.id, None)
        if reply.code is not None and lacks_scopes(reply):
            posted.shortfall = reply.shortfall
        if posted.stream is None:
            if posted.batch:
                posted.keep(call, reply.data)
            else:
                posted.replies.append(reply.data)
        return True

    async def _answer_for(self, call: Call, channel: PostedChannel, posted: Posted) -> None:
        """Answer a call whose handler does not end, though it was cancelled."""
        reply = shutdown_response(call)
        if self._answered(call, channel, posted, reply) and posted.stream is not None:
            await posted.reply(posted.stream, reply.data)
        if not channel.over:
            channel.over = True
            stream = posted.one_over()
            if stream is not None:
                await stream.end()

    async def _respond(
        self,
        head: Head,
        principal: Principal,
        entered: SessionRequest,
        posted: Posted,
        readable: int,
        receive: Receive,
        send: Send,
    ) -> None:
        """One body if everything ends soon and says nothing on its way, else a stream that lasts."""
        if posted.left and posted.stream is None:
            await posted.decided()
        if posted.streamable and (posted.stream or posted.left):
            if self._limits.take_stream(head):
                try:
                    await self._stream(head, principal, entered, posted, receive, send)
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
            await answer(send, 200 if body else 202, body, head.extra, kind=STREAM)
        else:
            body = posted.body()
            await answer(send, 200 if body else 202, body, head.extra)

    async def _stream(
        self,
        head: Head,
        principal: Principal,
        entered: SessionRequest,
        posted: Posted,
        receive: Receive,
        send: Send,
    ) -> None:
        stream = await posted.begin()
        token = stream.attach()
        permission = permission_of(self._authenticator, head, principal)
        if permission is not None:
            permission.watch(stream.wake)
        writer = self._listeners.writer(head, send, entered.live, permission)
        try:
            await writer.start()
            await deliver(stream, 0, writer, token, receive, self._settings.retry, permission)
        finally:
            stream.detach(token)
            writer.close()
            if permission is not None:
                permission.close()

    async def _answer_at_once(self, head: Head, data: bytes, readable: int, send: Send) -> None:
        """JSON, or a stream of one event for a client that reads nothing else."""
        if readable & JSON_OK:
            await answer(send, 200, data, head.extra)
            return
        await answer(send, 200, encode_event(data), head.extra, kind=STREAM)

    # Batches

    async def serve_batch(
        self,
        head: Head,
        principal: Principal,
        body: bytes,
        readable: int,
        watch: RequestWatch,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer a POST of several messages, in the one revision that has them."""
        entered = await self._enter(head, principal)
        try:
            serving = self._serve_batch(head, principal, entered, body, readable, watch, receive, send)
            del body
            await serving
        finally:
            self._sessions.leave(entered.live)

    async def _serve_batch(
        self,
        head: Head,
        principal: Principal,
        entered: SessionRequest,
        body: bytes,
        readable: int,
        watch: RequestWatch,
        receive: Receive,
        send: Send,
    ) -> None:
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
        posted = self._post(entered, principal, profile, readable, watch, batch=True)
        posted.left = 1  # until all have been started
        try:
            while items:
                data = await self._take_item(bytes(items.pop()), head, principal, entered, posted)
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
                await answer(send, 202, b"", head.extra)
            else:
                await self._respond(head, principal, entered, posted, readable, receive, send)
        finally:
            posted.abandon()
            if posted.left:
                await self._leave_running(head, posted)

    async def _take_item(
        self, item: bytes, head: Head, principal: Principal, entered: SessionRequest, posted: Posted
    ) -> bytes | None:
        """Start one message of a batch; gives its answer when that is known at once."""
        profile: Profile = entered.session.profile
        try:
            message = envelope.read(item)
            if message.method == names.INITIALIZE:
                raise MessageRefused(InvalidRequest("initialize must not be part of a batch"), message.id)
            head.check_stated(message)
            if entered.record is not None:
                await self._sessions.renew(entered, principal)
            if message.method in self._service.profiles.ordered and message.kind is Kind.REQUEST:
                return (await self._steer(head, principal, entered, message)).data
            event = entered.session.receive(message)
            if self._sessions.to_save(entered):
                event = await self._save(principal, entered, message, event)
            if isinstance(event, Call):
                self._start(event, head, principal, entered, posted)
            else:
                self._settle_event(event, entered.live)
        except Malformed as problem:
            self._fail_question(entered.live, item, problem)
            return None if problem.response else messages.error(problem.id, problem.error, profile)
        except HTTPRefusal as refusal:  # the other messages are answered all the same
            return messages.error(refusal.id, refusal.problem, profile)
        except MessageRefused as refused:
            return None if refused.silent else messages.error(refused.id, refused.error, profile)
        return None

    # Sessions and their streams

    async def listen(self, head: Head, principal: Principal, receive: Receive, send: Send) -> None:
        """Answer a GET: the standalone stream, or the rest of any stream of the session."""
        last = head.headers.get(LAST_EVENT_ID)
        entered = await self._enter(head, principal)
        live, profile = entered.live, entered.session.profile
        del entered  # a stream that stays open for days keeps no more than it needs
        permission = permission_of(self._authenticator, head, principal)
        listeners = self._listeners
        if not self._limits.take_stream(head):
            self._sessions.leave(live)
            self._limits.check_stream(head)
        try:
            if last is not None and last.strip():
                await listeners.resume(head, principal, profile, live, last, receive, send, permission)
            else:
                await listeners.listen(head, principal, profile, live, receive, send, permission)
        finally:
            if permission is not None:
                permission.close()
            self._limits.leave_stream(head)
            self._sessions.leave(live)

    async def end(self, head: Head, principal: Principal) -> None:
        """Answer a DELETE: end the session and everything of it."""
        entered = await self._enter(head, principal)
        await self._sessions.end(entered.live.id)

    def begin_drain(self) -> None:
        """End the standalone streams, so that clients come back elsewhere."""
        for live in self._sessions.all_live():
            if live.standalone is not None:
                live.standalone.close()

    async def idle(self) -> None:
        """Wait until no call is in progress."""
        while self._tasks:
            done, _ = await asyncio.wait(tuple(self._tasks))
            for task in done:  # what was cancelled before it began could not say that it is over
                self._tasks.pop(task, None)

    async def close(self) -> None:
        """Cancel what still runs; who waits for it is told, also where a handler swallows that. The sessions themselves
        stay in the store.
        """
        self._closing = True
        await asyncio.sleep(0)  # what was only just started begins, so that it ends by its own code
        ending = set(self._tasks)
        waited = [running for running in self._tasks.values() if not running[1].cancelled]
        for task in ending:
            task.cancel()
        for live in self._sessions.all_live():
            ending.update(live.close())
        if ending:
            _, stubborn = await asyncio.wait(ending, timeout=_OBEDIENT * self._settings.drain)
            if stubborn:
                for call, channel, posted in waited:
                    if channel.task in stubborn:
                        await self._answer_for(call, channel, posted)
                await asyncio.wait(stubborn, timeout=STUBBORN)
        if self._claims is not None:
            self._claims.rest()
        self._closing = False
