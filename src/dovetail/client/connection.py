"""The life of a client's connection: opened once, renewed when a session or a process ends, closed from anywhere.

There is one `Link` at a time. Opening and renewing run in tasks of their own, of which there is at most one, so that
any number of calls wait for the same attempt and a caller that is cancelled disturbs nobody else. An opening that
nobody waits for any more is given up. What has become of the connection stands in `states`; what the server tells goes
through `notifications`.
Specification: basic/lifecycle; basic/transports "Session Management" (2025-11-25); basic/transports/stdio.
"""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Final

from ..logs import get_logger
from ..protocol.errors import (
    Closed,
    DovetailError,
    FeatureUnavailable,
    HTTPStatusError,
    LocalProtocolError,
    RPCError,
    SessionEnded,
    closed_in_use,
    copy_of,
    not_sent,
)
from ..protocol.listening import Change
from ..protocol.opening import Verdict, from_status
from ..protocol.revisions import Feature
from . import eras
from .callbacks import CallbackQueue
from .held_resources import HeldResources
from .link import Link, RequestSettings
from .listening import Subscription
from .notifications import Notifications
from .opening import Opener
from .options import Options
from .states import States
from .targets import ClientTarget
from .timeouts import CallTimeout
from .unclosed import LoopEndHook, Process, warn

log = get_logger("dovetail.client")

MAX_RESTARTS: Final = 5
RESTART_WINDOW: Final = 180.0
_LONGEST_PAUSE: Final = 10.0


class ClientConnection:
    """One client's connection. ``changed`` is told of every change before anybody else, ``renewed`` of every server
    that was opened anew: nothing that the one before said counts any more.
    """

    def __init__(
        self,
        target: ClientTarget,
        options: Options,
        changed: Callable[[Change], None],
        renewed: Callable[[], None],
    ) -> None:
        self.target = target
        self.options = options
        self._renewed = renewed
        self._link: Link | None = None
        self._link_type = Link
        if options.observer.all:
            from .observing import ObservedLink

            self._link_type = ObservedLink
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process: Process | None = None
        self._working: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._waiting = 0
        self._loop_end_hook: LoopEndHook | None = None
        self._closing: asyncio.Task[None] | None = None
        self.held = HeldResources(options, self.ready)
        self.notifications = Notifications(options, changed, self.held)
        self._end_session = False
        #: Calls that wait for more than one answer, and so for no link: the end of the client ends them.
        self.waits: set[CallTimeout] = set()
        self._restarts: deque[float] = deque()
        self._retired: set[Link] = set()
        self._on_state = None if options.on_state is None else CallbackQueue(options.on_state, "on_state")
        self.states = States(self._on_state)  # told of the end, too, so it is not closed like the others
        self.stored = _stored(target, options)
        if self._session is not None:
            self._session.subscriptions = lambda: tuple(self.held)
            self.held.session = self._session

    def _heard_in(self, context: Context) -> None:
        """Callbacks that belong to no call run in this context."""
        self.notifications.hear_in(context)
        if self._on_state is not None:
            self._on_state.context = context

    # Opening and closing

    @property
    def link(self) -> Link:
        """The link as it is. Raises `LocalProtocolError` before opening."""
        link = self._link
        if link is None or not (link.opened or link.expired):
            raise LocalProtocolError("the client is not open; use it inside `async with Client(...)`")
        return link

    @property
    def server(self) -> str:
        """The server, for error messages; empty before the first connection."""
        return "" if self._link is None else self._link.server

    async def open(self) -> None:
        """Connect, also anew after a loss.

        Does nothing when open; many may wait for one attempt, and the one that is cancelled is the only one that
        notices: the last to leave an opening ends it. Raises what `Opener.open` raises, or `Closed`; what a
        connection was lost by that can't be made anew.
        """
        loop = asyncio.get_running_loop()
        if self._loop is None or (self._link is None and self._working is None):
            self._loop = loop
            self._process = Process()
            self._heard_in(copy_context())
        while True:
            self._check()
            link, working = self._link, self._under_way
            if working is None:
                if link is not None and link.opened and link.lost_by is None:
                    return
                working = self._opening = self._begin(partial(self._open_or_renew, link))
            try:
                await self._worked_out(working)
            except asyncio.CancelledError:
                if working is self._opening and not self._waiting and not working.done():
                    working.cancel()
                    await asyncio.wait((working,))
                raise

    async def _open_or_renew(self, link: Link | None) -> None:
        if self._loop_end_hook is None:
            self._loop_end_hook = LoopEndHook(self.left_open)
            await self._loop_end_hook.begin()
        if link is None:
            await self._open()
        elif link.lost_by is None:
            await self._renew(link, None)
        else:
            await self._reconnect(link, link.lost_by)

    async def _open(self) -> None:
        before, state = self._link, self.states.current
        link = self._link = self._link_type(self.target.make(), self.options, self)
        self.states.now("opening" if state.state == "new" else "renewing", state.cause)
        try:
            await self._opened(link, take_up=before is None)
        except BaseException as problem:
            self._link = before
            await link.close(quietly=not link.greeted)
            if self._session is not None and before is None:
                await self._session.release()
            if self._closing is not None:
                raise Closed("the client was closed while it was opening") from None
            if before is None:
                self.states.now("new", problem if isinstance(problem, DovetailError) else None)
            raise
        if before is None:
            self.states.now("ready")
        self._autolisten(link)

    async def _opened(self, link: Link, *, take_up: bool) -> None:
        """Open a link, by what is kept of the server."""
        known, key = None if self.stored is None else self.stored.eras, self.target.key()
        if known is not None:
            await known.load(key)
        try:
            await self._opener(link).open(take_up=take_up)
        finally:
            if known is not None:
                await known.save(key)
        if self._session is not None:
            self._session.keep(link, partial(self._session_lost, link))

    @property
    def _session(self) -> Any:
        """The `StoredSession`, if sessions are kept."""
        return None if self.stored is None else self.stored.session

    async def _session_lost(self, link: Link) -> None:
        """Another process has the session of this link."""
        gone = SessionEnded(f"another process has taken up the session of {self.describe()}")
        await self.renew(link, link.generation, gone)

    def _opener(self, link: Link) -> Opener:
        renew = self.target.make if self.target.again else None
        auth = self.target.auth or self.options.auth
        return Opener(link, self.target.key(), renew, session=self._session, auth=auth)

    def at_hand(self) -> Link | None:
        """The link, if it is open and nothing has to be waited for; else `ready` says what there is to wait for."""
        link = self._link
        if (
            link is None
            or not link.opened
            or link.lost_by is not None
            or self._working is not None
            or self._closing is not None
            or self._loop is not asyncio.get_running_loop()
        ):
            return None
        return link

    async def ready(self) -> Link:
        """The open link, after any renewal in progress. Raises `Closed`, or what the connection was lost by."""
        if (
            self._working is not None
            or self._loop is not asyncio.get_running_loop()
            or self._closing is not None
        ):
            self._check()
            if self._working is not None:
                await self._worked_out(self._working)
        link = self.link
        if link.lost_by is not None:
            raise not_sent(link.lost_by)
        if link.expired:
            await self._work(lambda: self._renew(link, None))
            return await self.ready()
        return link

    async def renew(self, link: Link, generation: int, cause: DovetailError) -> None:
        """The session is gone: open a new one, unless that has happened since. Raises what opening raises."""
        if link is self._link and link.generation == generation:
            await self._work(lambda: self._renew(link, cause))

    async def reopen(self, link: Link, cause: DovetailError) -> None:
        """The server is not what it was: find out anew, on a new transport where one can be made."""
        if link is self._link:
            await self._work(lambda: self._replace(link, cause))

    def describe(self) -> str:
        """Names the server in messages."""
        return self.target.make().describe() if self._link is None else self._link.describe()

    @property
    def _is_left(self) -> bool:
        """Whether there is something to close, and nobody does."""
        return self._closing is None and self._link is not None and not self._forked

    @property
    def _forked(self) -> bool:
        return self._process is not None and not self._process.is_ours

    async def left_open(self) -> None:
        """The loop ends, and nobody closed the client: say so, and do it."""
        self._loop_end_hook = None  # it is what calls
        if self._is_left:
            try:
                warn(
                    self,
                    self.describe(),
                    "write `async with Client(...) as client:`, or await client.close() in its loop",
                )
            finally:
                await self.close()

    def dropped(self) -> None:
        """Nobody holds the client any more: the same. Whoever still listens to it may go on."""
        if not self._is_left:
            return
        loop = self._loop
        heard = any(not subscription.background for subscription in self.notifications.subscriptions)
        if loop is not None and not loop.is_closed() and not heard:
            loop.call_soon_threadsafe(self._begin_closing)
        warn(
            self,
            self.describe(),
            "write `async with Client(...) as client:`, or await client.close() when it is done",
        )

    async def close(self, *, end_session: bool = False) -> None:
        """End everything. Idempotent, bounded, from any task of the loop. In a forked child it ends nothing.

        ``end_session``: one that is kept, too.
        """
        if self._forked:
            return
        self._end_session = self._end_session or end_session
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        await asyncio.shield(self._begin_closing())

    def _begin_closing(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        return self._closing

    async def _close(self) -> None:
        leave = await self._leaving()
        self.notifications.visits.done()
        for each in tuple(self.waits):
            each.abort(closed_in_use("the client was closed"))
        self.states.now("closed")
        loop_end_hook, self._loop_end_hook = self._loop_end_hook, None
        if loop_end_hook is not None:
            await loop_end_hook.end()
        self.notifications.close()
        link, working = self._link, self._working
        for retired in tuple(self._retired):
            await retired.close(quietly=True)
        if link is not None:
            await link.close(leave=leave)
        if self._session is not None:
            await self._session.release()
        if working is not None and not working.done():
            working.cancel()
            await asyncio.wait((working,), timeout=5)
        await self._close_auth()
        if self.options.record is not None:
            self.options.record.close()

    async def _leaving(self) -> bool:
        """Have the store know what is to be known. Whether the session goes on without us."""
        if self.stored is None:
            return False
        if self.stored.results is not None:
            await self.stored.results.flush()
        session, link = self._session, self._link
        if session is None or link is None or not session.is_kept or not link.opened:
            return False
        await session.leave(link)
        if self._end_session:
            await session.discard()
        return not self._end_session

    async def _close_auth(self) -> None:
        """Let go of what got the credentials, if it was made for this client."""
        if self.target.auth is None:
            return
        try:
            async with asyncio.timeout(5):
                await self.target.auth.close()
        except Exception as problem:  # noqa: BLE001 - closing ends, whatever becomes of it
            log.warning("letting go of the credentials failed: %s", type(problem).__name__)

    async def _work(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run the one attempt, or wait for the one that runs. A cancelled waiter leaves it running."""
        await self._worked_out(self._under_way or self._begin(work))

    @property
    def _under_way(self) -> asyncio.Task[None] | None:
        """The attempt that runs. One that has ended counts no more, though nobody was told yet."""
        return None if self._working is None or self._working.done() else self._working

    def _begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        self._working = asyncio.create_task(work())
        self._working.add_done_callback(self._worked)
        return self._working

    async def _worked_out(self, working: asyncio.Task[None]) -> None:
        """Wait for an attempt; raises what it raised. One that was given up just before has come to nothing."""
        self._waiting += 1
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not working.cancelled() or task is None or task.cancelling():
                raise
            if self._closing is not None:
                raise Closed("the client was closed while it was opening") from None
        finally:
            self._waiting -= 1

    def _worked(self, task: asyncio.Task[None]) -> None:
        if task is self._working:
            self._working = self._opening = None
        if not task.cancelled():
            task.exception()  # those who waited were told; nobody may have

    def _check(self) -> None:
        if self._closing is not None:
            raise Closed("the client is closed")
        if self._loop is None:
            raise LocalProtocolError("the client is not open; use it inside `async with Client(...)`")
        if self._process is not None:
            self._process.check()
        if self._loop is not asyncio.get_running_loop():
            raise LocalProtocolError(
                "the client was opened on another event loop; use it there, or use Client.sync"
            )

    # Renewal

    async def _renew(self, link: Link, cause: DovetailError | None) -> None:
        self.states.now("renewing", cause)
        try:
            await self._opener(link).again()
        except (RPCError, HTTPStatusError, FeatureUnavailable) as refusal:
            if not self.target.again or not _is_another(refusal):
                self._settled(link, refusal)
                raise
            eras.forget(self.target.key())
            await self._replace(link, refusal)
            return
        except BaseException as problem:
            self._settled(link, problem)
            raise
        link.generation += 1
        if self._session is not None:
            self._session.keep(link, partial(self._session_lost, link))
        await self._goes_on(link)

    async def _replace(self, link: Link, cause: DovetailError) -> None:
        if not self.target.again:
            raise LocalProtocolError(
                "the server changed; a client that was given a transport can't connect anew"
            )
        self.states.now("renewing", cause)
        try:
            await self._open()
        except BaseException as problem:
            self._settled(link, problem)
            raise
        self._retired.add(link)
        self.link.start(self._retire(link))
        await self._goes_on(self.link)

    async def _reconnect(self, lost: Link, cause: DovetailError) -> None:
        """The connection was lost, and is wanted again."""
        if not self.target.again:
            raise not_sent(cause)
        self.states.now("renewing", cause)
        await lost.close(quietly=True)
        try:
            await self._open()
        except BaseException as problem:
            self._settled(lost, problem)
            raise
        await self._goes_on(self.link)

    async def _goes_on(self, link: Link) -> None:
        """The server was opened anew, and all is as before."""
        self.options.observer.reconnected(link.transport.name)
        try:
            await self._came_back(link)
        finally:
            self._settled(link, link.lost_by, renewed=True)

    async def _came_back(self, link: Link) -> None:
        """The server was opened anew: nobody knows what changed meanwhile, or whether it is the same."""
        self._renewed()
        await self.held.subscribe_again(link)
        if link.lost_by is not None:
            raise copy_of(link.lost_by)
        if not link.stateless:
            self.notifications.missed(link)

    def _settled(self, link: Link, cause: BaseException | None, *, renewed: bool = False) -> None:
        """An attempt is over: note what has become of the connection."""
        if link.opened and link.lost_by is None:
            self.states.now("ready", renewed=renewed)
        else:
            self.states.now("lost", cause if isinstance(cause, DovetailError) else link.lost_by)

    async def _retire(self, link: Link) -> None:
        """A link that was replaced: what is in progress on it may end in peace, but not forever."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(link.idle(), self.options.max_timeout)
        await link.close(quietly=True)
        self._retired.discard(link)

    async def _restart(self, lost: Link, error: DovetailError) -> None:
        while self._closing is None:
            now = time.monotonic()
            while self._restarts and now - self._restarts[0] > RESTART_WINDOW:
                self._restarts.popleft()
            if len(self._restarts) >= MAX_RESTARTS:
                log.error(
                    "%s ended %d times in a short while and is not started again",
                    self.describe(),
                    MAX_RESTARTS,
                )
                self.states.now("lost", error)
                self.notifications.lost(lost, error, final=True)
                return
            pause = min(0.1 * 2 ** len(self._restarts), _LONGEST_PAUSE)
            self._restarts.append(now)
            log.warning("%s is gone (%s); starting it again", self.describe(), error)
            self.states.now("renewing", error)
            await asyncio.sleep(pause * random.SystemRandom().uniform(0.5, 1))  # spreads retries
            old = self._link
            try:
                if old is not None:
                    await old.close(quietly=True)
                link = self._link_type(self.target.make(), self.options, self)
                self._link = link
                await self._opened(link, take_up=False)
                await self._came_back(link)
            except DovetailError as problem:
                if self._link is not None and self._link is not old:
                    self._link.opened = True
                    self._link.lost_by = self._link.lost_by or problem
                error = problem
                continue
            self.states.now("ready", renewed=True)
            self._autolisten(link)
            return

    def _autolisten(self, link: Link) -> None:
        """In the stateless era changes are told to those who listen: do so for the host's callback."""
        if not self.notifications.listens or not link.profile.has(Feature.LISTEN):
            return
        if any(
            subscription.background and not subscription.over
            for subscription in self.notifications.subscriptions
        ):
            return
        wanted = Subscription.filter_for(link.capabilities)
        if wanted is not None:
            link.start(self._listen_quietly(Subscription(self, wanted, again=True, background=True)))

    async def _listen_quietly(self, subscription: Subscription) -> None:
        try:
            await subscription.open()
        except DovetailError as problem:
            log.warning("listening for changes failed: %s", problem)

    # Subscriptions (see `listening.SubscriptionOwner`)

    async def hold_resource(self, uri: str, settings: RequestSettings | None = None) -> None:
        """Subscribe to a resource in the stateful era, unless that was done. Raises what the request raises."""
        await self.held.hold(uri, settings)

    async def release_resource(self, uri: str, settings: RequestSettings | None = None) -> None:
        """Unsubscribe when nobody else wants it."""
        await self.held.release(uri, settings, quietly=self._closing is not None)

    # What links tell, besides notifications (see `link.LinkObserver`)

    def answered(self) -> None:
        """A request of the server's was answered."""
        for each in self.waits:
            each.progress()

    def lost(self, link: Link, error: DovetailError) -> None:
        """The connection is gone."""
        if link is not self._link:
            return
        self.notifications.visits.done()
        restarts = self.options.restart and self.target.process and self._closing is None
        self.notifications.lost(link, error, final=not restarts)
        if self._under_way is not None:
            return  # the attempt meets it
        if restarts and link.opened:
            self.states.now("renewing", error)  # at once: whoever waits for "ready" now waits for the next
            self._begin(lambda: self._restart(link, error))
        elif link.opened:
            self.states.now("lost", error)


def _stored(target: ClientTarget, options: Options) -> Any:
    """The `StoredParts` of a client, if it has a store."""
    if options.store is None:
        return None
    from .stored_parts import StoredParts  # whoever keeps nothing imports nothing

    return StoredParts(options.store, target, options)


def _is_another(refusal: DovetailError) -> bool:
    """Whether a refusal to shake hands again means that another server has taken the place of the one before."""
    return not isinstance(refusal, HTTPStatusError) or (
        from_status(refusal.status).verdict is Verdict.STATEFUL
    )
