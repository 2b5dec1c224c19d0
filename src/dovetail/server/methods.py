"""The methods that a server answers, one handler each, and the dictionary that finds them.

Specification: server/*, basic/lifecycle, basic/utilities, basic/patterns/subscriptions.
"""

import math
from collections.abc import Awaitable, Hashable, Sequence
from contextlib import suppress
from typing import Any, cast
from urllib.parse import quote

from ..logs import get_logger
from ..protocol import names
from ..protocol.call import Call
from ..protocol.errors import (
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    RateLimited,
    ResourceNotFound,
    TransportError,
)
from ..protocol.header_parameters import HeaderParameter
from ..protocol.listening import Listening, everything
from ..protocol.revisions.profiles import ServedRevisions
from ..protocol.session import ServerSession
from ..protocol.types import (
    CallToolParams,
    CompleteParams,
    DiscoverResult,
    GetPromptParams,
    Implementation,
    InitializeParams,
    ListChanged,
    ListenParams,
    ListenResult,
    PromptReference,
    ReadResourceParams,
    ResourcesCapability,
    Result,
    ServerCapabilities,
    SetLevelParams,
    SubscribeParams,
)
from ..runtime.channel import Channel
from ..runtime.dispatch import Handler
from ..runtime.extension import Extensions
from ..runtime.hub import Hub
from ..security.callers import HERE, caller_of, outside
from ..security.limits import CallLimiter, LogThrottle, RateLimiter
from ..security.principal import ANONYMOUS, Principal
from . import offering
from .catalog import Catalog, Mounted
from .completion import Completers
from .registry import Registry

log = get_logger("dovetail.server")

_EMPTY = Result()
_DISCOVER_TTL_MS = 3_600_000


class Methods:
    """The handlers of an app's methods. ``served``: the revisions that it speaks."""

    def __init__(
        self,
        *,
        info: Implementation,
        instructions: str | None,
        catalog: Catalog,
        completers: Completers,
        hub: Hub,
        served: ServedRevisions,
        extensions: Extensions,
        limiter: RateLimiter | None,
    ) -> None:
        self._info = info
        self._instructions = instructions
        self._catalog = catalog
        self._completers = completers
        self._hub = hub
        self._served = served
        self._extensions = extensions
        self._limiter: CallLimiter | None = limiter
        self._seldom = LogThrottle()

    def handlers(self) -> dict[str, Handler]:
        """All handlers by method name."""
        return {
            names.INITIALIZE: self._initialize,
            names.DISCOVER: self._discover,
            names.PING: self._ping,
            names.TOOLS_LIST: self._list_tools,
            names.TOOLS_CALL: self._call_tool,
            names.RESOURCES_LIST: self._list_resources,
            names.RESOURCES_TEMPLATES_LIST: self._list_templates,
            names.RESOURCES_READ: self._read,
            names.RESOURCES_SUBSCRIBE: self._subscribe,
            names.RESOURCES_UNSUBSCRIBE: self._unsubscribe,
            names.PROMPTS_LIST: self._list_prompts,
            names.PROMPTS_GET: self._get_prompt,
            names.COMPLETION_COMPLETE: self._complete,
            names.LOGGING_SET_LEVEL: self._set_level,
            names.SUBSCRIPTIONS_LISTEN: self._listen,
        }

    def capabilities(self) -> ServerCapabilities:
        """What the app offers: a kind of thing is offered from its first entry on."""
        catalog = self._catalog
        resources = (
            catalog.resources.seen or catalog.templates.seen or self._mounting("resources") is not None
        )
        tools = catalog.tools.seen or self._mounting("tools") is not None
        completions = len(self._completers) or self._mounting("completions") is not None
        prompts = catalog.prompts.seen or self._mounting("prompts") is not None
        return ServerCapabilities(
            logging={},
            completions={} if completions else None,
            tools=ListChanged(list_changed=True) if tools else None,
            prompts=ListChanged(list_changed=True) if prompts else None,
            resources=ResourcesCapability(subscribe=True, list_changed=True) if resources else None,
            extensions=self._extensions.declared or None,
        )

    def _mounting(self, what: str) -> Mounted | None:
        """What is mounted on the app, if there may be such things in it."""
        mounted = self._catalog.mounted
        return mounted if mounted is not None and mounted.offers(what) else None

    def _announced(self, channel: Channel) -> ServerCapabilities:
        return self._extensions.offered(offering.kept(self.capabilities(), channel), channel)

    def _told(self) -> str | None:
        """The app's instructions, or those of what is mounted on it."""
        mounted = self._catalog.mounted
        return (
            self._instructions if self._instructions is not None or mounted is None else mounted.instructions
        )

    # Opening and steering

    async def _initialize(self, call: Call, channel: Channel) -> bytes:
        session = _session(channel)
        result = session.open(
            cast("InitializeParams", call.params),
            info=self._info,
            capabilities=self._announced(channel),
            instructions=self._told(),
            supported=self._served.stateful,
        )
        # The call was made before a revision was agreed; its answer is the first message in the one that now is.
        return session.profile.encode(result)

    async def _discover(self, call: Call, channel: Channel) -> DiscoverResult:
        mounted = self._catalog.mounted
        ttl_ms, public = _DISCOVER_TTL_MS, channel.principal.is_anonymous
        if mounted is not None and (hints := mounted.discovery_hints) is not None:
            ttl_ms, public = min(ttl_ms, int(hints[0] * 1000)), public and hints[1] == "public"
        return DiscoverResult(
            supported_versions=self._served.announced,
            capabilities=self._announced(channel),
            instructions=self._told(),
            ttl_ms=ttl_ms,
            cache_scope="public" if public else "private",
        )

    async def _ping(self, call: Call, channel: Channel) -> Result:
        return _EMPTY

    async def _set_level(self, call: Call, channel: Channel) -> Result:
        offering.check_logs(channel)
        _session(channel).set_level(cast("SetLevelParams", call.params))
        return _EMPTY

    async def _subscribe(self, call: Call, channel: Channel) -> Result:
        offering.check_subscriptions(channel)
        uri = _ascii(cast("SubscribeParams", call.params).uri)
        try:
            self._catalog.find_resource(uri, channel)
        except ResourceNotFound:
            if self._catalog.mounted is None:
                raise
            await self._catalog.mounted.find_resource(call, channel, uri)
            _session(channel).subscribe(uri)
            await self._catalog.mounted.watch([uri])
        else:
            _session(channel).subscribe(uri)
        return _EMPTY

    async def _unsubscribe(self, call: Call, channel: Channel) -> Result:
        offering.check_subscriptions(channel)
        uri = _ascii(cast("SubscribeParams", call.params).uri)
        if self._catalog.mounted is not None and uri in _session(channel).state.subscriptions:
            await self._catalog.mounted.unwatch([uri])
        _session(channel).unsubscribe(uri)
        return _EMPTY

    # Lists

    async def _list_tools(self, call: Call, channel: Channel) -> Result | bytes:
        if (mounted := self._mounting("tools")) is not None:
            return await mounted.page("tools", call, channel)
        _offered(call, self._catalog.tools)
        return self._catalog.list_tools(call, channel)

    async def _list_resources(self, call: Call, channel: Channel) -> Result | bytes:
        if (mounted := self._mounting("resources")) is not None:
            return await mounted.page("resources", call, channel)
        _offered(call, self._catalog.resources, self._catalog.templates)
        return self._catalog.list_resources(call, channel)

    async def _list_templates(self, call: Call, channel: Channel) -> Result | bytes:
        if (mounted := self._mounting("resources")) is not None:
            return await mounted.page("templates", call, channel)
        _offered(call, self._catalog.resources, self._catalog.templates)
        return self._catalog.list_templates(call, channel)

    async def _list_prompts(self, call: Call, channel: Channel) -> Result | bytes:
        if (mounted := self._mounting("prompts")) is not None:
            return await mounted.page("prompts", call, channel)
        _offered(call, self._catalog.prompts)
        return self._catalog.list_prompts(call, channel)

    # Using

    def _call_tool(self, call: Call, channel: Channel) -> Awaitable[Result | bytes]:
        params: Any = call.params
        name: str = params.name
        tools = self._catalog.tools
        entry = tools.get(name)
        if entry is None or (tools.guarded and not tools.admits(name, channel)):
            if self._catalog.mounted is None:
                raise InvalidParams(f"there is no tool {name[:128]!r}")
            answer = self._catalog.mounted.call_tool
        elif params.meta is not None and params.meta.version is not None:
            raise InvalidParams(f"the tool {name[:128]!r} has no versions, and the call asks for one")
        else:
            answer = entry.answer
        if self._limiter is not None and (admitted := self._limit(self._limiter, channel)) is not None:
            return self._call_admitted(admitted, answer, call, channel)
        return answer(call, channel)

    async def _call_admitted(
        self, admitted: Awaitable[None], answer: Handler, call: Call, channel: Channel
    ) -> Result | bytes:
        """Call a tool once it is known that the caller may. Raises `RateLimited`."""
        await admitted
        return await answer(call, channel)

    async def _read(self, call: Call, channel: Channel) -> Result | bytes:
        uri = _ascii(cast("ReadResourceParams", call.params).uri)
        try:
            entry, variables = self._catalog.find_resource(uri, channel)
        except ResourceNotFound:
            if self._catalog.mounted is None:
                raise
            return await self._catalog.mounted.read(call, channel, uri)
        return await entry.read(call, channel, uri, variables)

    async def _get_prompt(self, call: Call, channel: Channel) -> Result | bytes:
        params = cast("GetPromptParams", call.params)
        prompts = self._catalog.prompts
        entry = prompts.get(params.name)
        if entry is None or (prompts.guarded and not prompts.admits(params.name, channel)):
            if self._catalog.mounted is not None:
                return await self._catalog.mounted.get_prompt(call, channel)
            raise InvalidParams(f"there is no prompt {params.name[:128]!r}")
        return await entry.get(call, channel, params.arguments or {})

    async def _complete(self, call: Call, channel: Channel) -> Result | bytes:
        if not len(self._completers) and self._mounting("completions") is None:
            raise MethodNotFound("this server completes nothing")
        if self._limiter is not None and (admitted := self._limit(self._limiter, channel)) is not None:
            await admitted
        try:
            self._check_completed(cast("CompleteParams", call.params), channel)
        except InvalidParams:
            if self._catalog.mounted is None:
                raise
            return await self._catalog.mounted.complete(call, channel)
        return await self._completers.complete(call, channel)

    def _check_completed(self, params: CompleteParams, channel: Channel) -> None:
        """Raise `InvalidParams` for an argument of something that is not there, or not for this caller; and
        `InsufficientScope`. Specification: server/utilities/completion, "Error Handling".
        """
        catalog, ref = self._catalog, params.ref
        if isinstance(ref, PromptReference):
            prompts = catalog.prompts
            if prompts.get(ref.name) is None or (prompts.guarded and not prompts.admits(ref.name, channel)):
                raise InvalidParams(f"there is no prompt {ref.name[:128]!r}")
            return
        registries = (catalog.resources, catalog.templates)
        known = any(registry.get(ref.uri) is not None for registry in registries)
        if not known or not all(
            not registry.guarded or registry.admits(ref.uri, channel) for registry in registries
        ):
            raise InvalidParams(f"there is no resource or template {ref.uri[:128]!r}")

    # Listening

    async def _listen(self, call: Call, channel: Channel) -> ListenResult:
        params = cast("ListenParams", call.params)
        further = await self._extensions.wanted(call, channel.principal)
        tells = self._extensions.telling(further, call.peer.capabilities)
        listening = Listening(call.id, params.notifications, self.capabilities(), call.profile, further)
        del further
        watched = params.notifications.resource_subscriptions or ()
        await self._catalog.check_subscriptions(watched, call, channel)
        if self._catalog.mounted is None:
            watched = ()  # nobody but what is mounted asks who listens
        del params
        call.forget()  # it goes on for days, and needs only what was read of it
        hears = self._catalog.hearing(channel.principal, channel.transport)
        heard = None if self._catalog.mounted is None else self._catalog.mounted.heard(call, channel)
        subscription = self._hub.subscribe(
            listening.wants
            if hears is everything and tells is None
            else lambda change: (
                listening.wants(change) and hears(change) and (tells is None or tells(change))
            ),
            until=channel.principal.expires,
            try_deliver=lambda change: (
                (heard is None or not heard.must_ask(change)) and channel.tell(listening.message(change))
            ),
            doubted=listening.missed,
        )
        channel.lapse = subscription.close
        try:
            if watched and self._catalog.mounted is not None:
                await self._catalog.mounted.watch(watched)
            await channel.emit(listening.acknowledgement())
            async for change in subscription:
                if heard is None or await heard.hears(change):
                    await channel.emit(listening.message(change))
        finally:
            subscription.close()
            channel.lapse = None  # or both would keep each other, and all that was subscribed to
            if watched and self._catalog.mounted is not None:
                await self._catalog.mounted.unwatch(watched)
        if channel.shared:
            with suppress(OSError, TransportError):
                await channel.emit(listening.ending())
        return listening.result()

    def header_parameters(self, call: Call, principal: Principal) -> Sequence[HeaderParameter]:
        """The arguments of a call over HTTP that headers must repeat; none for a tool that the caller may not use."""
        params, tools = call.params, self._catalog.tools
        entry = tools.get(params.name) if isinstance(params, CallToolParams) else None
        if entry is None and self._catalog.mounted is not None and isinstance(params, CallToolParams):
            return self._catalog.mounted.header_parameters(params.name, principal)
        if entry is None or (tools.guarded and entry.name in tools.hidden(principal)):
            return ()
        return entry.header_parameters

    def limit_by(self, limiter: CallLimiter) -> None:
        """Limit callers by that from now on. Nothing happens where there is no limit, or another one than that of
        this process already.
        """
        if isinstance(self._limiter, RateLimiter):
            self._limiter = limiter

    def _limit(self, limiter: CallLimiter, channel: Channel) -> Awaitable[None] | None:
        """Each caller has its own allowance (see `callers`); those on this machine that have no name are free. Raises
        `RateLimited`; what it gives has to be awaited, and raises that.
        """
        if channel.durable is not None:
            return None  # it was counted when it was asked for
        principal = channel.principal
        key = outside(channel.remote) if principal is ANONYMOUS else caller_of(principal, channel.remote)
        if key == HERE:
            return None
        wait = limiter.take(key)
        if not isinstance(wait, (int, float)):
            return self._admit(key, wait, channel)
        if wait > 0:
            raise self._limited(key, wait, channel)
        return None

    async def _admit(self, key: Hashable, wait: Awaitable[float], channel: Channel) -> None:
        """Wait until it is known whether a caller may call. Raises `RateLimited`."""
        if (seconds := await wait) > 0:
            raise self._limited(key, seconds, channel)

    def _limited(self, key: Hashable, wait: float, channel: Channel) -> RateLimited:
        """The error for who called too often. The log is told, but not each time."""
        if self._seldom.due(key):
            who = channel.principal
            log.warning(
                "%.300s from %s calls more often than it may (see rate_limit and burst of App): its calls are refused "
                "until it slows down; this is said once a minute",
                "a caller without a name" if who.is_anonymous else repr(who),
                channel.remote or "here",
            )
        tenths, thousandths = math.ceil(wait * 10) / 10, math.ceil(wait * 1000) / 1000  # never too early
        told = "1 second" if tenths == 1 else f"{tenths:g} seconds"
        return RateLimited(f"too many calls; try again in {told}", data={"retryAfter": thousandths})


def _ascii(uri: str) -> str:
    """A URI with the characters beyond ASCII, which RFC 3986 does not have, percent-encoded."""
    return uri if uri.isascii() else quote(uri, safe="".join(map(chr, range(128))))


def _session(channel: Channel) -> ServerSession:
    if channel.session is None:
        raise InvalidRequest("this request needs a session")
    return channel.session


def _offered(call: Call, *registries: Registry[Any]) -> None:
    if not any(registry.seen for registry in registries):
        raise MethodNotFound(f"this server does not offer what {call.method!r} lists")
