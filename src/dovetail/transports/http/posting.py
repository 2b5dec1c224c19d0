"""The requests of one POST in the stateful era, and what answers them.

Most calls end at once, and one JSON body answers them. When one is slow, or says something on its way, what
it says and what answers it becomes a stream: from then on nothing depends on the connection any more.
Specification: 2025-11-25 basic/transports "Sending Messages to the Server"; 2025-03-26 the same, with
batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

from msgspec import Raw

from ...protocol import messages, names
from ...protocol.call import Answer
from ...protocol.errors import FeatureUnavailable
from ...protocol.session import ServerSession
from ...protocol.types.notifications import CancelledNotice
from ...runtime import tap
from ...runtime.channel import Channel
from ...runtime.connection import read_answer
from ...security.principal import Principal
from .head import Head, PlainHeaders
from .sessions import LiveSession
from .streams import MessageStream


class Posted:
    """What one POST asked for. ``streamable``: whether its answer may become a stream. ``alone``: whether
    what the client answers is sure to reach this process. ``shortfall``: the scopes that a call's token would need.
    """

    def __init__(
        self,
        live: LiveSession,
        stream: MessageStream,
        *,
        batch: bool,
        streamable: bool,
        revision: str,
        alone: bool = True,
    ) -> None:
        self.live = live
        self.stream = stream
        self.batch = batch
        self.streamable = streamable
        self.revision = revision
        self.alone = alone
        self.streaming = False
        self.left = 0
        self.replies: list[bytes] = []
        self.shortfall: tuple[str, ...] | None = None
        self._decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._over: asyncio.Event | None = None

    async def say(self, message: bytes, *, urgent: bool = False) -> None:
        """Send a message that belongs to the requests; the first one makes a stream of the answer."""
        if not self.streamable:
            return
        if tap.listeners:
            tap.note(self.live.link, "server", True, "http", message, self.revision)
        await self.begin()
        await self.stream.put(message, urgent=urgent)

    async def reply(self, data: bytes, *, at_once: bool = False) -> None:
        """The response to one of the requests."""
        if self.streaming:
            if tap.listeners:
                tap.note(self.live.link, "server", True, "http", data, self.revision)
            await self.stream.put(data, urgent=True, at_once=at_once)
        else:
            self.replies.append(data)

    async def begin(self) -> None:
        """The answer is a stream. Idempotent."""
        if self.streaming:
            return
        self.streaming = True
        self.live.streams[self.stream.id] = self.stream
        self._decide()
        await self.stream.open()
        held, self.replies = self.replies, []
        for data in held:
            await self.reply(data, at_once=True)  # whoever reads may be the one who waits here

    async def one_over(self) -> None:
        """One of the requests is done with, answered or cancelled."""
        self.left -= 1
        if self.left == 0:
            self.live.streams.pop(self.stream.id, None)
            self._decide()
            if self._over is not None:
                self._over.set()
            await self.stream.end()

    async def decided(self, seconds: float) -> None:
        """Wait until the answer is a stream or complete, at most so long."""
        if self._decided.done() or self.left == 0:
            return
        timer = asyncio.get_running_loop().call_later(seconds, self._decide)
        try:
            await self._decided
        finally:
            timer.cancel()

    async def over(self) -> None:
        """Wait until every request is done with."""
        self._over = asyncio.Event()
        if self.left:
            await self._over.wait()

    @property
    def nothing(self) -> bool:
        """Whether all is done with and nothing is to be answered."""
        return not (self.left or self.replies or self.streaming)

    def body(self) -> bytes:
        """The answer as one JSON body; empty when nothing is to be answered."""
        if not self.replies:
            return b""
        data = b"[" + b",".join(self.replies) + b"]" if self.batch else self.replies[0]
        if tap.listeners:
            tap.note(self.live.link, "server", True, "http", data, self.revision)
        return data

    def _decide(self) -> None:
        if not self._decided.done():
            self._decided.set_result(None)


class PostedChannel(Channel):
    """A call's way back. ``sessionless``: there is no session in which a question could find its answer."""

    transport = "http"
    tidies = True

    def __init__(
        self, head: Head, principal: Principal, session: ServerSession, posted: Posted | None, retry: float
    ) -> None:
        self.principal = principal
        self.remote = head.remote
        self.session = session
        self.ended = False
        self._head = head
        self._posted = posted
        self._retry = retry

    @property
    def headers(self) -> Mapping[str, str]:
        """See `Channel`."""
        return PlainHeaders(self._head.headers)

    async def emit(self, message: bytes) -> None:
        """Send a notification on the stream of the call's request."""
        if not self.ended and self._posted is not None:
            await self._posted.say(message)

    async def ask(self, method: str, params: bytes) -> Raw:
        """Ask on the stream of the call's request; the answer comes by a POST of its own."""
        posted = self._posted
        if self.ended or posted is None or not posted.live.id:
            return await super().ask(method, params)
        if not posted.streamable:
            raise FeatureUnavailable(
                f"{method} can't be sent: the client did not accept an event stream as the answer"
            )
        if not posted.alone:
            raise FeatureUnavailable(
                f"{method} can't be sent: the answer may reach another worker, which does not know the question; "
                "serve with one worker, or to clients of the stateless era"
            )
        session = cast("ServerSession", self.session)
        asked = posted.live.asked
        id = asked.next_id()
        message = session.ask(id, method, params)
        waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        asked.add(id, waiter)
        try:
            await posted.say(message, urgent=True)
            answer = await waiter
        except asyncio.CancelledError:
            if asked.take(id) is not None:
                notice = session.profile.encode(CancelledNotice(request_id=id))
                await posted.say(messages.notification(names.NOTIFY_CANCELLED, notice), urgent=True)
            raise
        return read_answer(answer)

    async def close_stream(self, retry: float | None = None) -> None:
        """See `Channel`. Makes a stream of the answer first, for the client to have something to come back
        to.
        """
        posted = self._posted
        if self.ended or posted is None or not posted.streamable or not posted.stream.resumable:
            return
        await posted.begin()
        posted.stream.hang_up(self._retry if retry is None else retry)
