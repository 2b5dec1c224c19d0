"""The requests of one POST in the stateful era, and what answers them.

Most calls end at once, and one body answers them: JSON, or the whole of an event stream. When one is slow, or says
something on its way, what it says and what answers it becomes a `MessageStream`: from then on nothing depends on the
connection any more.
Specification: 2025-11-25 basic/transports "Sending Messages to the Server"; 2025-03-26 the same, with
batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast

from msgspec import Raw

from ...logs import get_logger
from ...protocol import messages, names
from ...protocol.bindings.sse import encode_event
from ...protocol.call import Call, PeerResponse
from ...protocol.errors import FeatureUnavailable, RPCError, Unanswered
from ...protocol.revisions import Feature, Profile
from ...protocol.session import ServerSession, SessionState
from ...protocol.types.requests import RequestId
from ...runtime import tap
from ...runtime.channel import Channel
from ...runtime.connection import CLIENT, beyond_batch, read_answer, taken_back
from ...stores.contracts import EventLog
from ...stores.errors import StoreError
from .claims import Claims
from .endpoint_request import EndpointRequest
from .event_ids import REQUEST, new_stream_id
from .head import PlainHeaders
from .holding import HeldBytes
from .live_sessions import LiveSession
from .sessions import Sessions
from .streams import MessageStream
from .watching import RequestWatch

log = get_logger("dovetail.http")

_NOTHING: Final = encode_event(b"")
#: Seconds after which it is looked whether a question is still read, at the earliest.
_LOOK_AGAIN: Final = 0.05


class Posted:
    """What one POST asked for. ``streamable``: whether its answer may become a stream; ``log``: where one is kept, if
    the revision can resume it. ``scopes``: the caller's, which whoever comes back for it needs as well. ``alone``:
    whether what the client answers is sure to find its question. ``left``: the
    requests that are not done with. ``abandoned``: no connection waits for the answer any more. ``shortfall``: the
    scopes that a call's token would need. ``batch``: bytes that the answers of a batch may have together; 0 for none.
    ``claims``: where it is noted who runs the ``requests``, if others may have to tell of our death. ``kept``: told
    that an answer was kept whole, if its session may end in another process.
    """

    __slots__ = (
        "_kept",
        "_log",
        "_scopes",
        "_waiter",
        "_watch",
        "abandoned",
        "alone",
        "batch",
        "claims",
        "kept",
        "left",
        "live",
        "loop",
        "profile",
        "replies",
        "requests",
        "shortfall",
        "stream",
        "streamable",
    )

    def __init__(
        self,
        live: LiveSession,
        profile: Profile,
        log: EventLog | None,
        watch: RequestWatch,
        *,
        batch: int,
        streamable: bool,
        alone: bool = True,
        scopes: frozenset[str] = frozenset(),
    ) -> None:
        self.live = live
        self.profile = profile
        self.batch = batch
        self.streamable = streamable
        self.alone = alone
        self.stream: MessageStream | None = None
        self.left = 0
        self.replies: list[bytes] = []
        self.shortfall: tuple[str, ...] | None = None
        self.requests: list[RequestId] = []
        self.claims: Claims | None = None
        self.kept: Callable[[LiveSession], Awaitable[None]] | None = None
        self.abandoned = False
        self.loop = watch.loop
        self._kept = 0
        self._log = log
        self._scopes = scopes
        self._watch = watch
        self._waiter: asyncio.Future[None] | None = None

    @property
    def resumable(self) -> bool:
        """Whether a client can come back for the answer."""
        return self._kept_in is not None if self.stream is None else self.stream.resumable

    async def say(self, message: bytes, *, urgent: bool = False) -> None:
        """Send a message that belongs to the requests; the first one makes a stream of the answer."""
        if not self.streamable:
            return
        if tap.listeners:
            self._note(message)
        stream = await self.begin()
        await stream.put(message, urgent=urgent)

    async def reply(self, stream: MessageStream, data: bytes) -> None:
        """Send the response to one of the requests. As long as there is no stream, it is one of the ``replies``."""
        if tap.listeners and not stream.over:
            self._note(data)
        await stream.put(data, urgent=True)

    def keep(self, call: Call, data: bytes) -> None:
        """Keep the response to one request of a batch until all are there, as long as there is room for it."""
        if self._kept + len(data) > self.batch:
            data = beyond_batch(call, self.batch)
        self._kept += len(data)
        self.replies.append(data)

    async def begin(self) -> MessageStream:
        """The answer is a stream from now on. Idempotent."""
        if self.stream is not None:
            return self.stream
        priming = self.profile.has(Feature.POLLING)
        self.stream = stream = MessageStream(
            REQUEST, self._kept_in, self.live.prefix, priming=priming, scopes=self._scopes
        )
        if self.abandoned:
            stream.abandon()
        self.live.streams[stream.id] = stream
        self.wake()
        await self.claim()
        await stream.open()
        held, self.replies = self.replies, []
        for data in held:
            if tap.listeners:
                self._note(data)
            await stream.put(data, urgent=True, at_once=True)  # whoever reads may be the one who waits here
        return stream

    async def claim(self) -> None:
        """Note who runs the requests, where others could not know: before their client can, and when more came."""
        stream = self.stream
        if self.claims is not None and stream is not None and stream.resumable and not stream.over:
            stream.released = self.claims.release
            await self.claims.hold(stream.name, self.profile.revision, self.requests)

    def one_over(self) -> MessageStream | None:
        """One of the requests is done with, answered or cancelled. Gives the stream if that is to `end` now."""
        self.left -= 1
        if self.left:
            return None
        self.wake()
        if self.stream is not None:
            self.live.streams.pop(self.stream.id, None)
        return self.stream

    def decided(self) -> Awaitable[None]:
        """Wait until the answer is complete; or, where it may be one, a stream; or slow enough to become one. To be
        asked for only while there are requests ``left``, and no ``stream``.
        """
        if not self.streamable:
            return self.over()
        self._watch.answer_awaited(self.wake)
        waiter = self._waiter = self.loop.create_future()
        return waiter

    async def over(self) -> None:
        """Wait until every request is done with."""
        while self.left:
            self._waiter = self.loop.create_future()
            await self._waiter

    def wake(self) -> None:
        """Let whoever waits look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def abandon(self) -> None:
        """The connection that was to read the answer is not there, unless it read already."""
        self.abandoned = True
        if self.stream is not None:
            self.stream.abandon()

    @property
    def nothing(self) -> bool:
        """Whether all is done with and nothing is to be answered."""
        return not (self.left or self.replies or self.stream)

    def body(self) -> bytes:
        """The answer as one JSON body; empty when nothing is to be answered."""
        if not self.replies:
            return b""
        data = b"[" + b",".join(self.replies) + b"]" if self.batch else self.replies[0]
        if tap.listeners:
            self._note(data)
        return data

    async def events(self, retry: float) -> bytes:
        """The answer as a whole stream: for a client that wants one, though all is known. What it needs to come back
        for it is in the log before.
        """
        replies, features = self.replies, self.profile.features
        kept_in = None if self.live.over else self._log
        if tap.listeners:
            for data in replies:
                self._note(data)
        said = [b"", *replies] if Feature.POLLING in features else replies
        if said and kept_in is not None and Feature.RESUMABLE in features:
            name = new_stream_id(REQUEST, self._scopes)
            try:
                await kept_in.keep(self.live.prefix + name, said)
            except StoreError as problem:
                log.warning("a stream cannot be resumed: %s", problem)
            else:
                if self.kept is not None:
                    await self.kept(self.live)
                id = name.encode()
                first = encode_event(said[0]) if said[0] else _NOTHING
                parts = [b"id: %b-1\nretry: %d\n%b" % (id, max(0, int(retry * 1000)), first)]
                for at in range(1, len(said)):
                    parts += (b"id: %b-%d\n" % (id, at + 1), encode_event(said[at]))
                return b"".join(parts)
        return b"".join([encode_event(data) for data in replies])

    @property
    def _kept_in(self) -> EventLog | None:
        return self._log if self.profile.has(Feature.RESUMABLE) and not self.live.over else None

    def _note(self, message: bytes) -> None:
        tap.note(self.live.link, "server", True, "http", message, self.profile.revision)


class PostedChannel(Channel):
    """A call's way back. ``posted``: the requests that it is of. ``held``: its part of the caller's bytes;
    ``lingering``: its place among the calls whose requests are over.
    """

    transport = "http"
    tidies = True
    task: asyncio.Task[None] | None = None
    begun = ended = over = False
    held: HeldBytes | None = None
    lingering: HeldBytes | None = None

    def __init__(
        self,
        request: EndpointRequest,
        session: ServerSession,
        posted: Posted | None,
        sessions: Sessions,
    ) -> None:
        head = request.head  # and no more of the request: a call may outlive it
        self.principal = request.principal
        self.remote = head.remote
        self.session = session
        self._head = head
        self.posted = posted
        self._sessions = sessions

    def stop(self) -> asyncio.Task[None]:
        """See `RunningCall`. A task that is cancelled before its first step never runs any of its code: so it is
        told.
        """
        task = cast("asyncio.Task[None]", self.task)
        self.cancelled = True
        if self.begun:
            task.cancel()
        return task

    @property
    def headers(self) -> Mapping[str, str]:
        """See `Channel`."""
        return PlainHeaders(self._head.headers)

    @property
    def session_id(self) -> str | None:
        """See `Channel`."""
        live = self._live
        return None if live is None else live.digest

    async def read_session(self) -> SessionState:
        """See `Channel`."""
        live = self._live
        return await super().read_session() if live is None else (await self._sessions.read(live))[1]

    async def change_session(self, change: Callable[[SessionState], None]) -> None:
        """See `Channel`."""
        live = self._live
        await (super().change_session(change) if live is None else self._sessions.change(live, change))

    @property
    def _live(self) -> LiveSession | None:
        posted = self.posted
        return posted.live if posted is not None and posted.live.id else None

    async def emit(self, message: bytes) -> None:
        """Send a notification on the stream of the call's request."""
        if not self.ended and self.posted is not None:
            await self.posted.say(message)

    async def ask(self, method: str, params: bytes) -> Raw:
        """Ask on the stream of the call's request; the answer comes by a POST of its own."""
        posted = self.posted
        if self.ended or posted is None or not posted.live.id:
            return await super().ask(method, params)
        if not posted.streamable:
            raise FeatureUnavailable(
                f"{method} can't be sent: the client did not accept an event stream as the answer"
            )
        questions = self._sessions.questions
        if not posted.alone and questions is None:
            raise FeatureUnavailable(
                f"{method} can't be sent: the answer may reach another worker, which does not know the question; "
                "give the workers a store that they share"
            )
        session = cast("ServerSession", self.session)
        asked = posted.live.asked
        id = asked.next_id()
        message = session.ask(id, method, params)
        waiter: asyncio.Future[PeerResponse] = asyncio.get_running_loop().create_future()
        asked.add(id, waiter)
        try:
            if questions is not None:
                await questions.register(id, posted.live.digest, asked)
            await posted.say(message, urgent=True)
            answer = await self._answer_to(method, waiter, await posted.begin())
        except (asyncio.CancelledError, Unanswered) as why:
            if asked.take(id) is not None:
                notice = session.profile.encode(taken_back(id, why))
                await posted.say(messages.notification(names.NOTIFY_CANCELLED, notice), urgent=True)
            raise
        except RPCError as problem:  # the answer can't be read
            problem.of_call(method, CLIENT)
            raise
        finally:
            if questions is not None:
                await questions.forget(id)
        return read_answer(method, answer)

    async def _answer_to(
        self, method: str, waiter: asyncio.Future[PeerResponse], stream: MessageStream
    ) -> PeerResponse:
        """Wait for the answer to a question. Raises `Unanswered` when it has had its time, or when its stream was read
        by nobody for as long as a client has to come back.
        """
        loop, linger, limit = asyncio.get_running_loop(), self._sessions.linger, self._sessions.answer_timeout
        end = loop.time() + limit
        while not waiter.done():
            now = loop.time()
            since = now if stream.left is None else stream.left
            if now >= end:
                raise Unanswered(f"{method} was not answered within {limit:g} seconds")
            if stream.left is not None and now >= since + linger:
                raise Unanswered(f"{method} was not answered: the client has left, and did not come back")
            # While somebody reads, it is enough to look again when he could have been away for long enough.
            await asyncio.wait((waiter,), timeout=min(end, since + max(linger, _LOOK_AGAIN)) - now)
        return waiter.result()

    async def close_stream(self, retry: float | None = None) -> None:
        """See `Channel`. Makes a stream of the answer first, for the client to have something to come back
        to.
        """
        posted = self.posted
        if self.ended or posted is None or not posted.streamable or not posted.resumable:
            return
        stream = await posted.begin()
        stream.hang_up(self._sessions.retry if retry is None else retry)
