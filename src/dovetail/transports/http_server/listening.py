"""The GET of the stateful era: a session's standalone stream, and the resumption of any of its streams.

Changes are told on the standalone stream alone. While its client is away they are kept for a while, where
the client can come back for them. Whoever comes back hears what the token allows that it comes back with, for as
long as that does, whoever it was before. A change of a resource is told to a session that subscribed to it, as its
record says at that moment: another worker may have served the subscription. Specification: 2025-11-25
basic/transports "Listening for Messages from the Server", "Resumability and Redelivery".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import lru_cache, partial

from ...protocol.listening import Change, change_in, everything, is_heard, missed_in_session
from ...protocol.revisions import Feature, Profile
from ...protocol.session import READY
from ...runtime import tap
from ...runtime.service import Service
from ...security.principal import Principal
from ...stores.contracts import Store
from .answering import EventWriter, HTTPRefusal
from .endpoint_processes import StandaloneWanted
from .endpoint_request import EndpointRequest
from .event_ids import REQUEST, STANDALONE, covers, parse_event_id
from .live_sessions import LiveSession, SessionStream
from .permission import Permission
from .sessions import Sessions
from .settings import Settings
from .standalone_claims import StandaloneClaims, being_read
from .stream_readers import StreamReaders
from .streams import MessageStream, Readable, StoredStream, StreamConnection, check_position, deliver


class GetStreams:
    """The streams that clients read with GET."""

    def __init__(
        self,
        service: Service,
        settings: Settings,
        sessions: Sessions,
        store: Store,
        readers: StreamReaders | None = None,
        claims: StandaloneClaims | None = None,
    ) -> None:
        self._service = service
        self._settings = settings
        self._sessions = sessions
        self._store = store
        self._readers = readers
        self._claims = claims
        if claims is not None:
            claims.processes.answer(StandaloneWanted, self._let_go)
            claims.processes.missed(self._see_after_claims)
        self._seeing: asyncio.Task[None] | None = None

    def connection(
        self,
        request: EndpointRequest,
        live: LiveSession,
        permission: Permission | None,
        admits: Callable[[bytes], bool] | None = None,
    ) -> StreamConnection:
        """A connection whose being open counts as the session's being in use, and whose reader is judged again."""
        settings = self._settings
        alive = partial(self._seen, live) if live.id else None
        if permission is not None:
            alive = partial(self._judged, permission, alive)
        writer = EventWriter(
            request.send,
            request.head.extra,
            limit=settings.send_timeout,
            interval=settings.keep_alive,
            alive=alive,
        )
        return StreamConnection(writer, request.receive, permission, admits)

    @staticmethod
    async def _judged(permission: Permission, seen: Callable[[], Awaitable[None]] | None) -> None:
        if seen is not None:
            await seen()
        await permission.judge()

    async def _seen(self, live: LiveSession) -> None:
        if not await self._sessions.seen(live.id) and live.standalone is not None:
            live.standalone.close()

    async def listen(
        self, request: EndpointRequest, profile: Profile, live: LiveSession, permission: Permission | None
    ) -> None:
        """Serve the standalone stream. Raises `HTTPRefusal` (409) while another connection reads it."""
        async with self._deciding(live):
            present = live.standalone
            if present is not None:
                if present.stream.reader is not None:
                    raise being_read()
                self._drop(live, present)
            stream = self._new_stream(live, profile)
            if self._claims is not None:
                await self._claims.claim(live, stream)
                if live.over:  # meanwhile, at another worker
                    await stream.end()
                    raise HTTPRefusal(404, "the session has ended; initialize a new one")
            live.standalone = standalone = SessionStream(stream)
            self._hear(live, standalone, request.principal)
            token = self._attach(standalone)
        await self._serve(live, standalone, 0, self.connection(request, live, permission), token)

    def _deciding(self, live: LiveSession) -> AbstractAsyncContextManager[None]:
        """Held while it is decided where the standalone stream is; where it can be here alone, nobody waits."""
        return nullcontext() if self._claims is None else live.opening

    def _new_stream(self, live: LiveSession, profile: Profile) -> MessageStream:
        return MessageStream(
            STANDALONE,
            self._store.events if profile.has(Feature.RESUMABLE) else None,
            live.prefix,
            priming=profile.has(Feature.POLLING),
        )

    def _hear(self, live: LiveSession, standalone: SessionStream, principal: Principal) -> None:
        """From now on, hear what this caller may hear, and as long; what waits already, as far as that goes for it."""
        standalone.hears = hears = self._service.hearing(principal, "http")
        standalone.wake = standalone.wake or partial(self._wake_teller, live, standalone)
        before, standalone.changes = (
            standalone.changes,
            self._service.hub.subscribe(
                hears,
                until=principal.expires,
                on_change=standalone.wake,
                doubted=standalone.doubt,
            ),
        )
        if before is not None:
            while (change := before.take()) is not None:
                standalone.changes.offer(change)
            before.close()

    async def resume(
        self,
        request: EndpointRequest,
        profile: Profile,
        live: LiveSession,
        last: bytes,
        permission: Permission | None,
    ) -> None:
        """Serve what a client missed of one stream of its session, and what is still to come, as far and as long as the
        token goes that it comes back with. Raises `HTTPRefusal` (400, 403).
        """
        id, after = parse_event_id(last)
        principal = request.principal
        if not profile.has(Feature.RESUMABLE):
            raise HTTPRefusal(400, f"streams can't be resumed in revision {profile.revision}")
        await check_position(self._store.events, live.prefix + id, after)
        if not covers(id, principal.scopes):
            raise HTTPRefusal(403, "the call that this stream answers came with a token that has more scopes")
        hears = self._service.hearing(principal, "http")
        admits = None if hears is everything else partial(_admits, hears)
        connection = self.connection(request, live, permission, admits)
        if id[0] == STANDALONE:
            async with self._deciding(live):
                standalone = live.standalone
                if standalone is not None and standalone.stream.id == id:
                    self._hear(live, standalone, principal)
                else:
                    standalone = await self._take_over(live, profile, principal, id)
                token = None if standalone is None else self._attach(standalone)
            if standalone is not None and token is not None:
                await self._serve(live, standalone, after, connection, token)
                return
        stream = live.streams.get(id)
        token = None if stream is None else stream.attach()
        found: Readable = stream or self._stored(live, id)
        end_of_rings = None
        if self._readers is not None and stream is None:
            end_of_rings = self._readers.read(live.prefix + id, found.wake)
        if permission is not None:
            permission.watch(found.wake, until_expiry=True)
        try:
            await connection.writer.start()
            await deliver(found, after, connection, token, self._settings.retry)
        finally:
            connection.writer.close()
            if end_of_rings is not None:
                end_of_rings()
            if stream is not None and token is not None:
                stream.detach(token)

    def _stored(self, live: LiveSession, id: str) -> StoredStream:
        """A stream of another process, or one that has ended."""
        look = None
        if self._readers is not None and id[0] == REQUEST:
            look = partial(self._readers.look, live.digest, id, live.prefix + id, live.link)
        return StoredStream(id, self._store.events, live.prefix, self._settings.linger, look)

    async def _take_over(
        self, live: LiveSession, profile: Profile, principal: Principal, id: str
    ) -> SessionStream | None:
        """Go on with the standalone stream of another process; None where none has it. Raises `HTTPRefusal`."""
        claims = self._claims
        if claims is None:
            return None
        standalone = SessionStream(self._new_stream(live, profile))
        standalone.may_tell = False
        # From now on, so that nothing is lost between the other process and this one. Some may be told twice.
        self._hear(live, standalone, principal)
        died: bool | None = None
        try:
            died = await claims.take_over(live, standalone.stream, id)
        finally:
            if died is None and standalone.changes is not None:
                standalone.changes.close()
        if died is None:
            return None
        if live.standalone is not None:
            self._drop(live, live.standalone)
        live.standalone, standalone.may_tell = standalone, True
        if died:
            standalone.doubted = True
        self._wake_teller(live, standalone)
        return standalone

    async def _let_go(self, wanted: StandaloneWanted, process: str) -> bool:
        """Another process wants the standalone stream of a session: whether it may have it."""
        live = self._sessions.known_by(wanted.session)
        if live is None:
            return True
        async with live.opening:
            standalone = live.standalone
            if standalone is None or standalone.stream.id != wanted.stream:
                return True
            stream = standalone.stream
            if not wanted.resumed and stream.reader is not None:
                return False
            if wanted.resumed:
                self._give_up(live, standalone)
            else:
                self._drop(live, standalone)
            if standalone.teller is not None:
                await asyncio.wait((standalone.teller,))
            return True

    def _give_up(self, live: LiveSession, standalone: SessionStream) -> None:
        """The stream goes on in another process: its reader here stops, and what waits is told before."""
        stream = standalone.stream
        if self._claims is not None:
            self._claims.hand_over(stream)
        if stream.reader is not None:
            stream.detach(stream.reader)
            stream.wake()
        self._drop(live, standalone)

    def _see_after_claims(self) -> None:
        """This process may have been taken for dead, and others may have its streams."""
        if self._seeing is None or self._seeing.done():
            self._seeing = asyncio.get_running_loop().create_task(self._give_up_lost())

    async def _give_up_lost(self) -> None:
        claims = self._claims
        for live in [live for live in self._sessions.all_live() if live.standalone is not None]:
            async with live.opening:
                standalone = live.standalone
                if standalone is None or claims is None or await claims.is_held(live, standalone.stream):
                    continue
                self._give_up(live, standalone)

    @staticmethod
    def _attach(standalone: SessionStream) -> object:
        standalone.stay()
        return standalone.stream.attach()

    async def _serve(
        self,
        live: LiveSession,
        standalone: SessionStream,
        after: int,
        connection: StreamConnection,
        token: object,
    ) -> None:
        stream = standalone.stream
        if connection.permission is not None:
            connection.permission.watch(stream.wake)  # of its expiry the changes know
        try:
            await stream.open()
            await connection.writer.start()
            await deliver(stream, after, connection, token, self._settings.retry)
        finally:
            connection.writer.close()
            if stream.reader is token:
                stream.detach(token)
                self._linger(live, standalone)

    def _linger(self, live: LiveSession, standalone: SessionStream) -> None:
        """The client is away: keep what changes for a while, if it can come back for that."""
        if live.standalone is not standalone:
            return
        if standalone.stream.over or not standalone.stream.resumable:
            self._drop(live, standalone)
        else:
            loop = asyncio.get_running_loop()
            standalone.expiry = loop.call_later(self._settings.linger, self._drop, live, standalone)

    def _drop(self, live: LiveSession, standalone: SessionStream) -> None:
        standalone.stay()
        standalone.close()
        if live.standalone is standalone:
            live.standalone = None
        self._sessions.settle(live)

    def _wake_teller(self, live: LiveSession, standalone: SessionStream) -> None:
        if standalone.teller is None and standalone.may_tell:
            standalone.teller = asyncio.get_running_loop().create_task(self._tell(live, standalone))

    async def _tell(self, live: LiveSession, standalone: SessionStream) -> None:
        """Put the changes that wait on the stream; end it after the last."""
        changes = standalone.changes
        try:
            while (changes := standalone.changes) is not None:
                if standalone.doubted:
                    standalone.doubted = False
                    going_on = await self._tell_missed(live, standalone)
                elif (change := changes.take()) is not None:
                    going_on = await self._tell_one(live, standalone.stream, change)
                else:
                    break
                if not going_on:
                    changes.close()
                    break
        except BaseException:
            standalone.close()  # nothing comes after a gap
            raise
        finally:
            if standalone.teller is asyncio.current_task():
                standalone.teller = None
            if changes is None or changes.ended:
                await standalone.stream.end()

    async def _tell_missed(self, live: LiveSession, standalone: SessionStream) -> bool:
        """Tell of all that the session may have missed. False when it has ended."""
        state = await self._sessions.state(live.id)
        if state is None:
            return False
        for change in missed_in_session(state.subscriptions, self._service.capabilities()):
            if standalone.hears(change) and not await self._tell_one(live, standalone.stream, change):
                return False
        return True

    async def _tell_one(self, live: LiveSession, stream: MessageStream, change: Change) -> bool:
        """Tell of a change if the session is to hear of it. False when the session has ended."""
        state = await self._sessions.state(live.id)
        if state is None:
            return False
        if state.phase == READY and (change.kind != "resource" or is_heard(change.uri, state.subscriptions)):
            message = _message(change, self._service.profiles[state.revision])
            if tap.listeners:
                tap.note(live.link, "server", True, "http", message, state.revision)
            await stream.put(message)
        return True


def _admits(hears: Callable[[Change], bool], message: bytes) -> bool:
    """Whether somebody may hear a message of a stream: if it tells of a change, one of which they may hear."""
    change = change_in(message)
    return change is None or hears(change)


@lru_cache(maxsize=64)
def _message(change: Change, profile: Profile) -> bytes:
    """The same bytes for all sessions that hear of the same change."""
    return change.message(profile)
