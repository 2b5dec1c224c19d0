"""The life of a client's connection: opened once, renewed when a session or a process ends, closed from anywhere.

There is one `Link` at a time. Opening and renewing run in tasks of their own, of which there is at most one, so that
any number of calls wait for the same attempt and a caller that is cancelled disturbs nobody else. Everything that the
link takes in passes here and is handed to the subscriptions and callbacks it concerns.
Specification: basic/lifecycle; basic/transports "Session Management" (2025-11-25); basic/transports/stdio.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from ..protocol import names
from ..protocol.call import Notification
from ..protocol.errors import Closed, DovetailError, LocalProtocolError
from ..protocol.listening import Change, subscription_of
from ..protocol.revisions import Feature
from ..protocol.types import (
    AcknowledgedNotice,
    ElicitationCompleteNotice,
    MessageNotice,
    RequestId,
    ResourceUpdatedNotice,
    SubscribeParams,
)
from ..transports.shared_channel import again
from .courier import Courier
from .link import Link, Wish
from .listening import Subscription
from .opening import Opener
from .options import Options
from .targets import Place

log = logging.getLogger("dovetail.client")

MAX_RESTARTS: Final = 5
RESTART_WINDOW: Final = 180.0
_LONGEST_PAUSE: Final = 10.0
_CHANGES: Final = {
    names.NOTIFY_TOOLS_CHANGED: Change("tools"),
    names.NOTIFY_PROMPTS_CHANGED: Change("prompts"),
    names.NOTIFY_RESOURCES_CHANGED: Change("resources"),
}
_MAX_VISITS: Final = 256


class Connection:
    """One client's connection. ``changed`` is told of every change before anybody else."""

    def __init__(self, place: Place, options: Options, changed: Callable[[Change], None]) -> None:
        self.place = place
        self.options = options
        self._changed = changed
        self._link: Link | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._working: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._subscriptions: set[Subscription] = set()
        self._held: dict[str, int] = {}
        self._visits: dict[str, asyncio.Event] = {}
        self._restarts: deque[float] = deque()
        self._retired: set[Link] = set()
        self.couriers: list[Courier] = []
        self._logging = self._courier(options.logging, "logging")
        self._on_change = self._courier(options.on_change, "on_change")
        self._on_notification = self._courier(options.on_notification, "on_notification")

    def _courier(self, callback: Callable[..., Any] | None, what: str) -> Courier | None:
        if callback is None:
            return None
        courier = Courier(callback, what)
        self.couriers.append(courier)
        return courier

    # Opening and closing

    @property
    def link(self) -> Link:
        """The link as it is. Raises `LocalProtocolError` before opening."""
        if self._link is None or not self._link.opened:
            raise LocalProtocolError("the client is not open; use it inside `async with Client(...)`")
        return self._link

    async def open(self) -> None:
        """Connect.

        Does nothing when open; many may wait for one attempt. Raises what `Opener.open` raises, or `Closed`.
        """
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        self._check()
        if self._link is not None and self._link.opened and self._working is None:
            return
        try:
            await self._work(self._open)
        except asyncio.CancelledError:
            if self._closing is None:
                await self.close()
            raise

    async def _open(self) -> None:
        before = self._link
        link = self._link = Link(self.place.make(), self.options, self)
        try:
            await self._opener(link).open()
        except BaseException:
            self._link = before
            await link.close(quietly=True)
            if self._closing is not None:
                raise Closed("the client was closed while it was opening") from None
            raise
        self._autolisten(link)

    def _opener(self, link: Link) -> Opener:
        return Opener(link, self.place.key, self.place.make if self.place.again else None)

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
            raise again(link.lost_by)
        return link

    async def renew(self, link: Link, generation: int) -> None:
        """The session is gone: open a new one, unless that has happened since. Raises what opening raises."""
        if link is self._link and link.generation == generation:
            await self._work(lambda: self._renew(link))

    async def reopen(self, link: Link) -> None:
        """The server is not what it was: find out anew, on a new transport where one can be made."""
        if link is self._link:
            await self._work(lambda: self._replace(link))

    async def close(self) -> None:
        """End everything. Idempotent, bounded, from any task of the loop."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        for courier in self.couriers:
            courier.close()
        for subscription in tuple(self._subscriptions):
            subscription.ended()
        link, working = self._link, self._working
        for retired in tuple(self._retired):
            await retired.close(quietly=True)
        if link is not None:
            await link.close()
        if working is not None and not working.done():
            working.cancel()
            await asyncio.wait((working,), timeout=5)
        await self._close_auth()

    async def _close_auth(self) -> None:
        """Let go of what got the credentials, if it was made for this client."""
        if self.place.auth is None:
            return
        try:
            async with asyncio.timeout(5):
                await self.place.auth.close()
        except Exception as problem:  # noqa: BLE001 - closing ends, whatever becomes of it
            log.warning("letting go of the credentials failed: %s", type(problem).__name__)

    async def _work(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run the one attempt, or wait for the one that runs. A cancelled waiter leaves it running."""
        if self._working is None:
            self._working = asyncio.create_task(work())
            self._working.add_done_callback(self._worked)
        await self._worked_out(self._working)

    async def _worked_out(self, working: asyncio.Task[None]) -> None:
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closing is None or not working.cancelled() or task is None or task.cancelling():
                raise
            raise Closed("the client was closed while it was opening") from None

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._working = None
        if not task.cancelled():
            task.exception()  # those who waited were told; nobody may have

    def _check(self) -> None:
        if self._closing is not None:
            raise Closed("the client is closed")
        if self._loop is None:
            raise LocalProtocolError("the client is not open; use it inside `async with Client(...)`")
        if self._loop is not asyncio.get_running_loop():
            raise LocalProtocolError(
                "the client was opened on another event loop; use it there, or use Client.sync"
            )

    # Renewal

    async def _renew(self, link: Link) -> None:
        await self._opener(link).again()
        link.generation += 1
        await self._resubscribe(link)
        for subscription in tuple(self._subscriptions):
            subscription.missed()  # nobody knows what changed between the two sessions

    async def _replace(self, link: Link) -> None:
        if not self.place.again:
            raise LocalProtocolError(
                "the server changed; a client that was given a transport can't connect anew"
            )
        await self._open()
        self._retired.add(link)
        self.link.start(self._retire(link))
        await self._resubscribe(self.link)

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
                log.error("the server ended %d times in a short while and is not started again", MAX_RESTARTS)
                for subscription in tuple(self._subscriptions):
                    subscription.lost(lost, error, final=True)
                return
            pause = min(0.1 * 2 ** len(self._restarts), _LONGEST_PAUSE)
            self._restarts.append(now)
            log.warning("the server is gone (%s); starting it again", error)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads retries, keeps no secret
            old = self._link
            try:
                if old is not None:
                    await old.close(quietly=True)
                link = Link(self.place.make(), self.options, self)
                self._link = link
                await self._opener(link).open()
                await self._resubscribe(link)
                if link.lost_by is not None:
                    raise link.lost_by
            except DovetailError as problem:
                if self._link is not None and self._link is not old:
                    self._link.opened = True
                    self._link.lost_by = self._link.lost_by or problem
                error = problem
                continue
            if not link.stateless:
                for subscription in tuple(self._subscriptions):
                    subscription.missed()
            self._autolisten(link)
            return

    async def _resubscribe(self, link: Link) -> None:
        for uri in tuple(self._held):
            await self._subscribe(link, uri)

    def _autolisten(self, link: Link) -> None:
        """In the stateless era changes are told to those who listen: do so for the host's callback."""
        if self._on_change is None or not link.profile.has(Feature.LISTEN):
            return
        if any(subscription.background and not subscription.over for subscription in self._subscriptions):
            return
        wanted = Subscription.filter_for(link.capabilities)
        if wanted is not None:
            link.start(self._listen_quietly(Subscription(self, wanted, again=True, background=True)))

    async def _listen_quietly(self, subscription: Subscription) -> None:
        try:
            await subscription.open()
        except DovetailError as problem:
            log.warning("listening for changes failed: %s", problem)

    # Subscriptions

    def admit(self, subscription: Subscription) -> None:
        """Tell the subscription of changes from now on."""
        self._subscriptions.add(subscription)

    def dismiss(self, subscription: Subscription) -> None:
        """Tell it of nothing more."""
        self._subscriptions.discard(subscription)

    async def hold_resource(self, uri: str) -> None:
        """Subscribe to a resource in the stateful era, unless that was done. Raises what the request raises."""
        count = self._held.get(uri, 0)
        self._held[uri] = count + 1
        if count == 0:
            try:
                await self._subscribe(await self.ready(), uri)
            except BaseException:
                self._drop(uri)
                raise

    async def release_resource(self, uri: str) -> None:
        """Unsubscribe when nobody else wants it."""
        if uri in self._held and not self._drop(uri) and self._closing is None:
            link = await self.ready()
            await link.ask(names.RESOURCES_UNSUBSCRIBE, SubscribeParams(uri=uri), self._wish())

    def _drop(self, uri: str) -> int:
        left = self._held[uri] = self._held[uri] - 1
        if left <= 0:
            del self._held[uri]
        return left

    async def _subscribe(self, link: Link, uri: str) -> None:
        await link.ask(names.RESOURCES_SUBSCRIBE, SubscribeParams(uri=uri), self._wish())

    def _wish(self) -> Wish:
        return Wish(timeout=self.options.timeout, maximum=self.options.max_timeout)

    # What links tell (see `link.Owner`)

    def noticed(self, link: Link, event: Notification, related: RequestId | None) -> None:
        """A notification, read."""
        params = event.params
        if isinstance(params, MessageNotice):
            if self._logging is not None:
                self._logging.put(params)
            return
        if isinstance(params, AcknowledgedNotice):
            subscription = self._find(params.meta, related)
            if subscription is not None:
                subscription.acknowledge(params)
            return
        if isinstance(params, ElicitationCompleteNotice):
            event_of = self._visits.get(params.elicitation_id)
            if event_of is not None:
                event_of.set()
            return
        change = (
            Change("resource", params.uri)
            if isinstance(params, ResourceUpdatedNotice)
            else _CHANGES.get(event.method)
        )
        if change is not None:
            self._tell(link, change, getattr(params, "meta", None), related)
        elif event.method not in link.profile.server_notices and self._on_notification is not None:
            self._on_notification.put(event.method, params)

    def _tell(self, link: Link, change: Change, meta: object, related: RequestId | None) -> None:
        self._changed(change)
        if link.stateless:
            subscription = self._find(meta, related)
            if subscription is None:
                log.debug("a change that belongs to no subscription was dropped")
                return
            subscription.put(change)
            heard = subscription.background
        else:
            for subscription in tuple(self._subscriptions):
                if subscription.wants(change):
                    subscription.put(change)
            heard = True
        if heard and self._on_change is not None:
            self._on_change.put(change)

    def _find(self, meta: object, related: RequestId | None) -> Subscription | None:
        id = subscription_of(meta)
        if id is None:
            id = related
        if id is None:
            return None
        return next(
            (item for item in self._subscriptions if item.id == id and type(item.id) is type(id)), None
        )

    def ended(self, link: Link, id: RequestId) -> None:
        """The server ended a subscription."""
        for subscription in tuple(self._subscriptions):
            if subscription.id == id:
                subscription.ended()

    def lost(self, link: Link, error: DovetailError) -> None:
        """The connection is gone."""
        if link is not self._link:
            return
        restarts = self.options.restart and self.place.process and self._closing is None
        for subscription in tuple(self._subscriptions):
            subscription.lost(link, error, final=not restarts)
        if restarts and link.opened and self._working is None:
            self._working = asyncio.create_task(self._restart(link, error))
            self._working.add_done_callback(self._worked)

    # Visits of the stateful era

    async def visited(self, ids: list[str], seconds: float | None) -> None:
        """Wait until the server told that all these visits are done, or the time is up."""
        events = [self._visits[id] for id in ids if id in self._visits]
        try:
            async with asyncio.timeout(seconds):
                for event in events:
                    await event.wait()
        except TimeoutError:
            log.info("the server did not tell that the visit is done; going on")
        finally:
            for id in ids:
                self._visits.pop(id, None)

    def expect_visit(self, id: str) -> None:
        """Listen for the end of a visit."""
        if len(self._visits) >= _MAX_VISITS:
            raise LocalProtocolError(f"more than {_MAX_VISITS} visits are awaited")
        self._visits.setdefault(id, asyncio.Event())
