"""The calls of the stateful era that run in this process: how one begins, how it is answered, how all of them end.

A call runs in a task of its own: a client that loses its connection, or a framework that cancels a request, does not
end it; ``notifications/cancelled`` and the end of the session do. At the end of the server, calls that still run are
answered as cut short, also where a handler swallows its cancellation. Specification: 2025-03-26 to 2025-11-25,
basic/transports "Sending Messages to the Server"; basic/utilities/cancellation.
"""

from __future__ import annotations

import asyncio
from typing import Final

from ...protocol.call import Call, MessageRefused
from ...protocol.errors import InvalidRequest
from ...protocol.revisions import Profile
from ...protocol.session import ServerSession
from ...runtime.beginning import task_maker
from ...runtime.connection import IN_FLIGHT, STUBBORN
from ...runtime.dispatch import EncodedResponse, shutdown_response
from ...runtime.service import Service
from ...stores.contracts import EventLog
from .answering import HTTPRefusal
from .claims import Claims
from .endpoint_request import EndpointRequest, PostRequest
from .head import Head
from .limits import RETRY_SOON, EndpointLimits
from .origin_check import JSON_OK, SSE_OK
from .posting import Posted, PostedChannel
from .sessions import SessionRequest, Sessions
from .settings import Settings
from .stepping_up import lacks_scopes

#: After which part of the time for the end it answers for a handler that was cancelled and goes on.
_OBEDIENT: Final = 0.02


class SessionCalls:
    """The calls of all sessions of one endpoint. ``events``: where their streams are kept; ``claims``: where it is
    noted that they run here, if others may have to tell of our death.
    """

    def __init__(
        self,
        service: Service,
        settings: Settings,
        limits: EndpointLimits,
        sessions: Sessions,
        events: EventLog,
        claims: Claims | None,
    ) -> None:
        self._service = service
        self._settings = settings
        self._limits = limits
        self._sessions = sessions
        self._events = events
        self._claims = claims
        self._tasks: dict[asyncio.Task[None], tuple[Call, PostedChannel, Posted]] = {}
        self._alone = settings.workers == 1 or claims is not None
        self._closing = False

    def channel(
        self, request: EndpointRequest, session: ServerSession, posted: Posted | None = None
    ) -> PostedChannel:
        """The way back of a call; ``posted``: what it is part of, if it may say something on its way."""
        settings = self._settings
        channel = PostedChannel(request, session, posted, self._sessions)
        if not settings.sessions:
            channel.lasting = False
        if settings.responses == "json":
            channel.speaking = False
        return channel

    def posted(
        self, request: PostRequest, entered: SessionRequest, profile: Profile, *, batch: bool
    ) -> Posted:
        """What a POST asks for: nothing yet."""
        readable = request.readable
        streamable = bool(readable & SSE_OK) and (
            self._settings.responses != "json" or not readable & JSON_OK
        )
        posted = Posted(
            entered.live,
            profile,
            None if entered.record is None else self._events,
            request.watch,
            batch=IN_FLIGHT * self._service.max_message if batch else 0,
            streamable=streamable,
            alone=self._alone,
            scopes=request.principal.scopes,
        )
        posted.claims = self._claims
        if self._claims is not None:
            posted.kept = self._sessions.kept
        return posted

    def start(self, call: Call, request: PostRequest, entered: SessionRequest, posted: Posted) -> None:
        """Run a call. Raises `MessageRefused` for an id in use, `HTTPRefusal` (503) where its session runs too many."""
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
        channel = self.channel(request, entered.session, posted)
        channel.owned = True
        held = request.head.held
        if held is not None:
            channel.lean = True
            channel.held = held.keep()
        posted.left += 1
        if self._claims is not None:
            posted.requests.append(call.id)
        running[call.id] = channel
        channel.task = task = task_maker(posted.loop)(self._run(call, channel, posted))
        if not task.done():
            self._tasks[task] = (call, channel, posted)

    async def leave_running(self, head: Head, posted: Posted) -> None:
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
                    return  # raised, it would stay with its task, and with it the call, until the collector comes
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
        self._closing = False
