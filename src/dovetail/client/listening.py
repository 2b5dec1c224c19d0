"""Hearing of changes, in both eras through one door.

In the stateless era each `Subscription` is one ``subscriptions/listen`` request that stays open: its notifications
carry its id, the first acknowledges it, its response ends it gracefully, a failure of the connection ends it as a
loss. In the stateful era list changes come unasked and resources are subscribed to one by one; the same object
filters them.

Iterating gives `Change`s. A graceful end ends the iteration, a loss raises; with ``again``, both are followed by
listening anew: a server ends streams when it is replaced, or a token expires. Once the new stream is acknowledged, and
not before, all that is listened to counts as changed: whoever reads it anew then misses nothing that comes later. What
waits to be read is bounded and coalesced: a change that waits already is not added twice.
Specification: basic/patterns/subscriptions; server/resources "Subscriptions" (2025-11-25).
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Protocol, cast

import msgspec

from ..logs import get_logger
from ..protocol import names
from ..protocol.errors import (
    ConnectionLost,
    DovetailError,
    LocalProtocolError,
    RemoteProtocolError,
    RequestTimeout,
    TransportError,
    in_seconds,
)
from ..protocol.listening import Change, ChangeType, is_below
from ..protocol.types import (
    AcknowledgedNotice,
    ListenParams,
    RequestId,
    ServerCapabilities,
    SubscriptionFilter,
)
from ..transports.deadlines import deadline
from .link import Link, RequestSettings

log = get_logger("dovetail.client")
LIMIT: Final = 4096
"""Changes that may wait to be read."""
MAX_BYTES: Final = 4 * 1024 * 1024
"""Characters that their URIs may have together."""
RETRIES: Final = 8
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 30.0
_PATIENCE: Final = 5.0  # seconds for the stream of a stateful server to open before listening goes on without
_PARTING: Final = 1.0  # seconds for the response of a subscription whose end was told
_NAMED: Final = 3  # resources that a warning names
_SHOWN: Final = 128  # characters of each
_SETTLED: Final = 10.0  # seconds after which a loss is no longer part of the trouble before


class ChangeSource(Protocol):
    """Where the changes of subscriptions come from."""

    def admit(self, subscription: "Subscription") -> None:
        """Tell the subscription of changes from now on."""
        ...

    def dismiss(self, subscription: "Subscription") -> None:
        """Tell it of nothing more."""
        ...

    def heard(self, change: Change) -> None:
        """Tell the host's callback of a change."""
        ...

    def forget(self, change: Change) -> None:
        """Keep nothing more of what may have changed."""
        ...


class SubscriptionOwner(Protocol):
    """What a subscription needs of its client."""

    @property
    def notifications(self) -> ChangeSource:
        """Where changes come from."""
        ...

    async def ready(self) -> Link:
        """The open link. Raises `Closed` or what the connection was lost by."""
        ...

    async def hold_resource(self, uri: str, settings: RequestSettings | None = None) -> None:
        """Subscribe to a resource in the stateful era, unless another subscription did."""
        ...

    async def release_resource(self, uri: str, settings: RequestSettings | None = None) -> None:
        """Unsubscribe when nobody else wants it."""
        ...


class Subscription:
    """Changes as they happen: ``async with client.listen(...) as events: async for change in events: ...``.

    ``acknowledged`` is what the server agreed to tell of, ``missing`` what it did not. Since 2026-07-28, where a server
    says so itself, the client warns of that (not of what extensions bring: they judge it themselves). Who listens to a
    resource hears of what is below it, too: of ``notes://a/b`` for ``notes://a``. What a server tells besides is
    dropped.
    """

    def __init__(
        self,
        home: SubscriptionOwner,
        wanted: SubscriptionFilter,
        *,
        again: bool = False,
        background: bool = False,
        settings: RequestSettings | None = None,
        further: Mapping[ChangeType, list[str]] | None = None,
    ) -> None:
        self.acknowledged = SubscriptionFilter()
        self.id: RequestId | None = None
        self.again = again
        self.background = background
        self._owner = home
        self._further = further or {}
        told = {type.filter: subjects for type, subjects in self._further.items()}
        self._wanted = msgspec.structs.replace(wanted, extra=told) if told else wanted
        self._uris = tuple(dict.fromkeys(wanted.resource_subscriptions or ()))
        self._settings = settings
        self._waiting: OrderedDict[Change, None] = OrderedDict()
        self._size = 0
        self._wake = asyncio.Event()
        self._acked: asyncio.Future[None] | None = None
        self._over = False
        self._error: DovetailError | None = None
        self._task: asyncio.Task[None] | None = None
        self._held: list[str] = []
        self._link: Link | None = None
        self._reopening = False
        self._parted = asyncio.Event()

    async def __aenter__(self) -> "Subscription":
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Change:
        while not self._waiting:
            if self._over:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        change = self._waiting.popitem(last=False)[0]
        self._size -= len(change.uri)
        return change

    async def open(self) -> None:
        """Start listening and wait for the acknowledgement.

        Raises the server's `RPCError`, `TransportError`, `RequestTimeout`.
        """
        if self._task is not None or self._held or self._over:
            raise LocalProtocolError("a subscription can be opened once")
        link = await self._owner.ready()
        self._owner.notifications.admit(self)
        try:
            if link.stateless:
                await self._open_stream(link)
            else:
                await self._open_stateful(link)
        except BaseException:
            await self.close()
            raise

    def adopt(self) -> None:
        """Listen to what the session is subscribed to already."""
        self._owner.notifications.admit(self)
        self._held = list(self._uris)
        self.acknowledged = SubscriptionFilter(resource_subscriptions=list(self._uris))

    async def close(self) -> None:
        """Stop listening. Idempotent."""
        await self.release(None)

    async def release(self, settings: RequestSettings | None) -> None:
        """Do what `close` does; ``settings``: how a server of the stateful era is told."""
        self._finish(None)
        self._owner.notifications.dismiss(self)
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait((task,), timeout=5)
        held, self._held = self._held, []
        for uri in held:
            try:
                await self._owner.release_resource(uri, settings)
            except DovetailError as problem:
                log.debug("unsubscribing failed: %s", problem)

    @property
    def missing(self) -> SubscriptionFilter:
        """What was asked for and the server did not agree to tell of: it is listened to in vain."""
        wanted, told = self._wanted, self.acknowledged
        uris = told.resource_subscriptions or ()
        extra = told.extra or {}
        unheard = {
            type.filter: [each for each in subjects if each not in _listed(extra.get(type.filter))]
            for type, subjects in self._further.items()
        }
        return SubscriptionFilter(
            tools_list_changed=(wanted.tools_list_changed and not told.tools_list_changed) or None,
            prompts_list_changed=(wanted.prompts_list_changed and not told.prompts_list_changed) or None,
            resources_list_changed=(wanted.resources_list_changed and not told.resources_list_changed)
            or None,
            resource_subscriptions=[uri for uri in self._uris if uri not in uris] or None,
            extra={name: subjects for name, subjects in unheard.items() if subjects} or None,
        )

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self._over

    @staticmethod
    def filter_for(offered: ServerCapabilities | None) -> SubscriptionFilter | None:
        """A filter for all lists whose changes a server announces; None if there are none."""
        if offered is None:
            return None
        tools = offered.tools is not None and offered.tools.list_changed
        prompts = offered.prompts is not None and offered.prompts.list_changed
        resources = offered.resources is not None and offered.resources.list_changed
        wanted = SubscriptionFilter(
            tools_list_changed=tools or None,
            prompts_list_changed=prompts or None,
            resources_list_changed=resources or None,
        )
        return None if wanted == SubscriptionFilter() else wanted

    # What the client tells

    def wants(self, change: Change) -> bool:
        """Whether the subscription is to hear of a change."""
        if change.kind == "resource":
            return change.uri in self._uris or any(is_below(change.uri, uri) for uri in self._uris)
        if change.notification:
            return any(
                type.kind == change.kind and change.uri in wanted for type, wanted in self._further.items()
            )
        return bool(getattr(self._wanted, f"{change.kind}_list_changed"))

    def put(self, change: Change) -> None:
        """Something changed."""
        if self._over or change in self._waiting:
            return
        self._size += len(change.uri)
        if len(self._waiting) >= LIMIT or self._size > MAX_BYTES:
            much = f"{LIMIT} changes, or {MAX_BYTES} characters of their URIs,"
            self._finish(LocalProtocolError(f"more than {much} were not read"))
            return
        self._waiting[change] = None
        self._wake.set()

    def acknowledge(self, notice: AcknowledgedNotice) -> None:
        """The server told what it honours."""
        self.acknowledged = notice.notifications
        self._warn_of_missing()
        if self._acked is not None and not self._acked.done():
            self._acked.set_result(None)
        if self._reopening:
            self._reopening = False
            self.missed()

    def ended(self, *, final: bool = False) -> None:
        """The server said that it ends the subscription; ``final``: or the client does."""
        if final or not self.again or self._acked is None or not self._acked.done():
            self._finish(None)
        else:
            self._parted.set()

    def lost(self, link: Link, error: DovetailError, *, final: bool) -> None:
        """The connection is gone; ``final``: for good."""
        if final or (not link.stateless and not self.again):
            self._finish(error)

    def missed(self) -> None:
        """Changes may have been missed: everything that is listened to counts as changed."""
        for change in self._everything():
            self._owner.notifications.forget(change)  # or whoever reads it anew would get what was kept
            self.put(change)
            if self.background:
                self._owner.notifications.heard(change)

    # Inside

    def _warn_of_missing(self) -> None:
        missing = self.missing
        kinds = [
            name
            for name, lacks in (
                ("the list of tools", missing.tools_list_changed),
                ("the list of prompts", missing.prompts_list_changed),
                ("the list of resources", missing.resources_list_changed),
            )
            if lacks
        ]
        uris = missing.resource_subscriptions or []
        kinds += [ascii(uri[:_SHOWN]) for uri in uris[:_NAMED]]
        if len(uris) > _NAMED:
            kinds.append(f"{len(uris) - _NAMED} more resources")
        if kinds and self._link is not None:
            text = f"nobody will be told of changes of {', '.join(kinds)}: the server did not agree to that"
            self._link.warn("subscription", text, names.SUBSCRIPTIONS_LISTEN, uris[0] if uris else "")

    async def _open_stateful(self, link: Link) -> None:
        listening: Any = getattr(link.transport, "listening", None)
        if listening is not None:
            try:
                await asyncio.wait_for(listening.wait(), _PATIENCE)
            except TimeoutError:
                listening.set()  # it answers when there is something to tell: nobody need wait for that again
        if self._uris:
            for uri in self._uris:
                await self._owner.hold_resource(uri, self._settings)
                self._held.append(uri)
        offered = link.capabilities
        tools, prompts = offered and offered.tools, offered and offered.prompts
        resources = offered and offered.resources
        wanted = self._wanted
        self.acknowledged = SubscriptionFilter(
            tools_list_changed=True if wanted.tools_list_changed and tools and tools.list_changed else None,
            prompts_list_changed=True
            if wanted.prompts_list_changed and prompts and prompts.list_changed
            else None,
            resources_list_changed=(
                True if wanted.resources_list_changed and resources and resources.list_changed else None
            ),
            resource_subscriptions=list(self._held) or None,
        )

    async def _open_stream(self, link: Link) -> None:
        self._acked = asyncio.get_running_loop().create_future()
        acked = self._acked
        timeout = link.options.timeout if self._settings is None else self._settings.timeout
        with suppress(TimeoutError):
            async with deadline(timeout):
                task = self._task = asyncio.create_task(self._run(link))  # in here: it inherits the clock
                await asyncio.wait((acked, task), return_when=asyncio.FIRST_COMPLETED)
        if acked.done():
            return
        if self._over or (self._task is not None and self._task.done()):
            raise self._error or RemoteProtocolError(
                "the server ended the subscription before acknowledging it"
            )
        raise RequestTimeout(
            f"{link.describe()} did not acknowledge the subscription within {in_seconds(timeout or 0.0)}"
        )

    async def _run(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        attempts, pause = 0, _FIRST_PAUSE
        while attempts < RETRIES:
            begun = loop.time()
            error = await self._listen(link)
            first = (
                self._acked is None or not self._acked.done()
            )  # the first attempt is the caller's to repeat
            lost = error is None or isinstance(error, TransportError)
            if first or self._over or not self.again or not lost:
                self._finish(error)
                return
            log.info("the subscription ended (%s); listening again", error or "the server said so")
            if loop.time() - begun > _SETTLED:
                attempts, pause = 0, _FIRST_PAUSE
            attempts += 1
            await asyncio.sleep(pause * random.SystemRandom().uniform(0.5, 1))  # spreads retries
            pause = min(pause * 2, _LONGEST_PAUSE)
            try:
                link = await self._owner.ready()
            except DovetailError as problem:
                self._finish(problem)
                return
            self._reopening = True
        self._finish(
            ConnectionLost(f"the subscription to {link.describe()} was lost {RETRIES} times in a row")
        )

    async def _listen(self, link: Link) -> DovetailError | None:
        """One request until its end: None for a graceful one."""
        settings = RequestSettings(
            started=self._started, meta=None if self._settings is None else self._settings.meta
        )
        self._parted.clear()
        self._link = link
        asking = asyncio.ensure_future(
            link.ask(names.SUBSCRIPTIONS_LISTEN, ListenParams(notifications=self._wanted), settings)
        )
        parted = asyncio.ensure_future(self._parted.wait())
        try:
            await asyncio.wait((asking, parted), return_when=asyncio.FIRST_COMPLETED)
            # On a shared channel a server says so first; its response, if there is one, comes with it.
            await asyncio.wait((asking,), timeout=_PARTING)
            if asking.done():
                await asking
        except DovetailError as problem:
            return problem
        finally:
            self.id = None
            for each in (asking, parted):
                each.cancel()
            await asyncio.wait((asking, parted))
        return None

    def _started(self, id: RequestId) -> None:
        self.id = id

    def _everything(self) -> Sequence[Change]:
        changes: list[Change] = [Change("resource", uri) for uri in self._uris]
        changes += [
            Change(type.kind, each, type.notification)
            for type in self._further
            for each in self._further[type]
        ]
        if self._wanted.tools_list_changed:
            changes.append(Change("tools"))
        if self._wanted.prompts_list_changed:
            changes.append(Change("prompts"))
        if self._wanted.resources_list_changed:
            changes.append(Change("resources"))
        return changes

    def _finish(self, error: DovetailError | None) -> None:
        if self._over:
            return
        self._over = True
        self._error = error
        self._wake.set()


def _listed(told: Any) -> Sequence[Any]:
    """The subjects of a kind that an extension brings, as they were acknowledged."""
    return cast("list[Any]", told) if isinstance(told, list) else ()
