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
from functools import lru_cache, partial

from ...protocol.listening import Change, change_in, everything
from ...protocol.revisions import Feature, Profile
from ...protocol.session import READY
from ...runtime import tap
from ...runtime.service import Service
from ...security.principal import Principal
from ...stores.contracts import Store
from .answering import EventWriter, HTTPRefusal, Receive, Send
from .claims import Claims
from .event_ids import REQUEST, STANDALONE, covers, parse_event_id
from .head import Head
from .permission import Permission
from .sessions import LiveSession, Sessions, SessionStream
from .settings import Settings
from .streams import MessageStream, Readable, StoredStream, check_position, deliver


class GetStreams:
    """The streams that clients read with GET."""

    def __init__(
        self,
        service: Service,
        settings: Settings,
        sessions: Sessions,
        store: Store,
        claims: Claims | None = None,
    ) -> None:
        self._service = service
        self._settings = settings
        self._sessions = sessions
        self._store = store
        self._claims = claims

    def writer(self, head: Head, send: Send, live: LiveSession, permission: Permission | None) -> EventWriter:
        """An event stream whose being open counts as the session's being in use, and whose reader is judged again."""
        settings = self._settings
        alive = partial(self._seen, live) if live.id else None
        if permission is not None:
            alive = partial(self._judged, permission, alive)
        return EventWriter(
            send,
            head.extra,
            limit=settings.send_timeout,
            interval=settings.keep_alive,
            alive=alive,
        )

    @staticmethod
    async def _judged(permission: Permission, seen: Callable[[], Awaitable[None]] | None) -> None:
        if seen is not None:
            await seen()
        await permission.judge()

    async def _seen(self, live: LiveSession) -> None:
        if not await self._sessions.seen(live.id) and live.standalone is not None:
            live.standalone.close()

    async def listen(
        self,
        head: Head,
        principal: Principal,
        profile: Profile,
        live: LiveSession,
        receive: Receive,
        send: Send,
        permission: Permission | None,
    ) -> None:
        """Serve the standalone stream. Raises `HTTPRefusal` (409) while another connection reads it."""
        present = live.standalone
        if present is not None:
            if present.stream.reader is not None:
                raise HTTPRefusal(
                    409, "the session's stream is being read already; close that connection first"
                )
            self._drop(live, present)
        stream = MessageStream(
            STANDALONE,
            self._store.events if profile.has(Feature.RESUMABLE) else None,
            live.prefix,
            priming=profile.has(Feature.POLLING),
        )
        live.standalone = standalone = SessionStream(stream)
        self._hear(live, standalone, principal)
        await stream.open()
        await self._serve(head, live, standalone, 0, receive, send, permission)

    def _hear(self, live: LiveSession, standalone: SessionStream, principal: Principal) -> None:
        """From now on, hear what this caller may hear, and as long; what waits already, as far as that goes for it."""
        before, standalone.changes = (
            standalone.changes,
            self._service.hub.subscribe(
                self._service.hearing(principal, "http"),
                until=principal.expires,
                told=partial(self._wake_teller, live, standalone),
            ),
        )
        if before is not None:
            while (change := before.take()) is not None:
                standalone.changes.offer(change)
            before.close()

    async def resume(
        self,
        head: Head,
        principal: Principal,
        profile: Profile,
        live: LiveSession,
        last: bytes,
        receive: Receive,
        send: Send,
        permission: Permission | None,
    ) -> None:
        """Serve what a client missed of one stream of its session, and what is still to come, as far and as long as the
        token goes that it comes back with. Raises `HTTPRefusal` (400, 403).
        """
        id, after = parse_event_id(last)
        if not profile.has(Feature.RESUMABLE):
            raise HTTPRefusal(400, f"streams can't be resumed in revision {profile.revision}")
        await check_position(self._store.events, live.prefix + id, after)
        if not covers(id, principal.scopes):
            raise HTTPRefusal(403, "the call that this stream answers came with a token that has more scopes")
        hears = self._service.hearing(principal, "http")
        admits = None if hears is everything else partial(_admits, hears)
        standalone = live.standalone
        if standalone is not None and standalone.stream.id == id:
            self._hear(live, standalone, principal)
            await self._serve(head, live, standalone, after, receive, send, permission, admits)
            return
        stream = live.streams.get(id)
        claims = self._claims
        died = None if claims is None or id[0] != REQUEST else partial(claims.settle, link=live.link)
        found: Readable = stream or StoredStream(
            id, self._store.events, live.prefix, self._settings.linger, died
        )
        token = None if stream is None else stream.attach()
        writer = self.writer(head, send, live, permission)
        if permission is not None:
            permission.watch(found.wake, until_expiry=True)
        try:
            await writer.start()
            await deliver(found, after, writer, token, receive, self._settings.retry, permission, admits)
        finally:
            writer.close()
            if stream is not None and token is not None:
                stream.detach(token)

    async def _serve(
        self,
        head: Head,
        live: LiveSession,
        standalone: SessionStream,
        after: int,
        receive: Receive,
        send: Send,
        permission: Permission | None,
        admits: Callable[[bytes], bool] | None = None,
    ) -> None:
        stream = standalone.stream
        standalone.stay()
        token = stream.attach()
        writer = self.writer(head, send, live, permission)
        if permission is not None:
            permission.watch(stream.wake)  # of its expiry the changes know
        try:
            await writer.start()
            await deliver(stream, after, writer, token, receive, self._settings.retry, permission, admits)
        finally:
            writer.close()
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
        if standalone.teller is None:
            standalone.teller = asyncio.get_running_loop().create_task(self._tell(live, standalone))

    async def _tell(self, live: LiveSession, standalone: SessionStream) -> None:
        """Put the changes that wait on the stream; end it after the last."""
        changes = standalone.changes
        try:
            while (changes := standalone.changes) is not None and (change := changes.take()) is not None:
                if not await self._tell_one(live, standalone.stream, change):
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

    async def _tell_one(self, live: LiveSession, stream: MessageStream, change: Change) -> bool:
        """Tell of a change if the session is to hear of it. False when the session has ended."""
        state = await self._sessions.state(live.id)
        if state is None:
            return False
        if state.phase == READY and (change.kind != "resource" or change.uri in state.subscriptions):
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
