"""The GET of the stateful era: a session's standalone stream, and the resumption of any of its streams.

Changes are told on the standalone stream alone. While its client is away they are kept for a while, where
the client can come back for them. A change of a resource is told to a session that subscribed to it, as its
record says at that moment: another worker may have served the subscription. Specification: 2025-11-25
basic/transports "Listening for Messages from the Server", "Resumability and Redelivery".
"""

from __future__ import annotations

import asyncio

from ...protocol.revisions import PROFILES, Feature
from ...protocol.session import READY, ServerSession
from ...runtime import tap
from ...runtime.hub import Subscription
from ...runtime.service import Service
from ...security.principal import Principal
from ...stores.contracts import Store
from .answering import EventWriter, Receive, Refusal, Send
from .head import Head
from .sessions import LiveSession, Sessions, Standalone
from .settings import Settings
from .streams import (
    STANDALONE,
    MessageStream,
    Readable,
    StoredStream,
    check_position,
    deliver,
    parse_event_id,
)


class Listeners:
    """The streams that clients read with GET."""

    def __init__(self, service: Service, settings: Settings, sessions: Sessions, store: Store) -> None:
        self._service = service
        self._settings = settings
        self._sessions = sessions
        self._store = store

    def writer(self, head: Head, send: Send, live: LiveSession) -> EventWriter:
        """An event stream whose being open counts as the session's being in use."""

        async def alive() -> None:
            if live.id and not await self._sessions.seen(live.id) and live.standalone is not None:
                live.standalone.changes.close()

        settings = self._settings
        return EventWriter(
            send, head.extra, limit=settings.send_timeout, interval=settings.keep_alive, alive=alive
        )

    async def listen(
        self,
        head: Head,
        principal: Principal,
        session: ServerSession,
        live: LiveSession,
        receive: Receive,
        send: Send,
    ) -> None:
        """Serve the standalone stream. Raises `Refusal` (409) while another connection reads it."""
        present = live.standalone
        if present is not None:
            if present.stream.reader is not None:
                raise Refusal(409, "the session's stream is being read already; close that connection first")
            self._drop(live, present)
        profile = session.profile
        stream = MessageStream(
            STANDALONE,
            self._store.events if profile.has(Feature.RESUMABLE) else None,
            live.prefix,
            priming=profile.has(Feature.POLLING),
        )
        hears = self._service.hearing(principal, "http")
        standalone = Standalone(stream, self._service.hub.subscribe(hears, until=principal.expires))
        live.standalone = standalone
        standalone.teller = asyncio.create_task(self._tell(live, standalone))
        await stream.open()
        await self._serve(head, live, standalone, 0, receive, send)

    async def resume(
        self, head: Head, session: ServerSession, live: LiveSession, last: bytes, receive: Receive, send: Send
    ) -> None:
        """Serve what a client missed of one stream of its session, and what is still to come. Raises
        `Refusal` (400).
        """
        id, after = parse_event_id(last)
        if not session.profile.has(Feature.RESUMABLE):
            raise Refusal(400, f"streams can't be resumed in revision {session.profile.revision}")
        await check_position(self._store.events, live.prefix + id, after)
        standalone = live.standalone
        if standalone is not None and standalone.stream.id == id:
            await self._serve(head, live, standalone, after, receive, send)
            return
        stream = live.streams.get(id)
        found: Readable = stream or StoredStream(id, self._store.events, live.prefix, self._settings.linger)
        token = None if stream is None else stream.attach()
        writer = self.writer(head, send, live)
        try:
            await writer.start()
            await deliver(found, after, writer, token, receive, self._settings.retry)
        finally:
            writer.close()
            if stream is not None and token is not None:
                stream.detach(token)

    async def _serve(
        self, head: Head, live: LiveSession, standalone: Standalone, after: int, receive: Receive, send: Send
    ) -> None:
        stream = standalone.stream
        if standalone.expiry is not None:
            standalone.expiry.cancel()
            standalone.expiry = None
        token = stream.attach()
        writer = self.writer(head, send, live)
        try:
            await writer.start()
            await deliver(stream, after, writer, token, receive, self._settings.retry)
        finally:
            writer.close()
            if stream.reader is token:
                stream.detach(token)
                self._linger(live, standalone)

    def _linger(self, live: LiveSession, standalone: Standalone) -> None:
        """The client is away: keep what changes for a while, if it can come back for that."""
        if live.standalone is not standalone:
            return
        if standalone.stream.over or not standalone.stream.resumable:
            self._drop(live, standalone)
        else:
            loop = asyncio.get_running_loop()
            standalone.expiry = loop.call_later(self._settings.linger, self._drop, live, standalone)

    def _drop(self, live: LiveSession, standalone: Standalone) -> None:
        if standalone.expiry is not None:
            standalone.expiry.cancel()
        standalone.changes.close()
        if live.standalone is standalone:
            live.standalone = None
        self._sessions.settle(live)

    async def _tell(self, live: LiveSession, standalone: Standalone) -> None:
        """Put changes on the stream, until the subscription ends."""
        try:
            await self._tell_changes(live, standalone.stream, standalone.changes)
        finally:
            await standalone.stream.end()

    async def _tell_changes(self, live: LiveSession, stream: MessageStream, changes: Subscription) -> None:
        async for change in changes:
            state = await self._sessions.state(live.id)
            if state is None:
                return
            if state.phase != READY or (change.kind == "resource" and change.uri not in state.subscriptions):
                continue
            message = change.message(PROFILES[state.revision])
            if tap.listeners:
                tap.note(live.link, "server", True, "http", message, state.revision)
            await stream.put(message)
