"""An app as a provider: what it offers, mounted on another app.

Theory of operation. Lists come from the app's own catalog. Whatever is used goes the way that a client's request to the
app would go: through its middleware, its extensions and its checks of who may. Its observers are not told: the app that
is served tells of each call once. Middleware of the app that looks at lists is asked, too, and what it leaves out is
not shown.

The app keeps its own lifespan, state and dependencies; the app that it is mounted on enters them.

Specification: none.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from msgspec.structs import replace

from ...protocol import names
from ...protocol.call import Call
from ...protocol.errors import MethodNotFound
from ...protocol.listening import Change
from ...protocol.types import (
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    Prompt,
    Resource,
    ResourceTemplate,
    Result,
    Tool,
)
from ...runtime.channel import Channel
from ...runtime.dispatch import Encoded, Handler, Middleware, composed
from ...runtime.service import Service
from ...security.principal import Principal
from ..catalog import ListKind
from ..entries import CacheScope
from .calls import of_version, typed
from .provider import Offer, Provided, ProvidedPage, Provider, as_listed, name_of
from .versions import asked_version, chosen, marked

_LISTS: Final[dict[ListKind, tuple[str, type[Result], str]]] = {
    "tools": (names.TOOLS_LIST, ListToolsResult, "tools"),
    "resources": (names.RESOURCES_LIST, ListResourcesResult, "resources"),
    "templates": (names.RESOURCES_TEMPLATES_LIST, ListResourceTemplatesResult, "resource_templates"),
    "prompts": (names.PROMPTS_LIST, ListPromptsResult, "prompts"),
}
_USE: Final[dict[ListKind, str]] = {
    "tools": names.TOOLS_CALL,
    "resources": names.RESOURCES_READ,
    "templates": names.RESOURCES_READ,
    "prompts": names.PROMPTS_GET,
}


class AppProvider(Provider):
    """What the app called ``name`` offers. ``entries`` gives what it has, with all that is mounted on it; ``handlers``
    its methods; ``service`` the app as transports see it; ``instructions`` what it says of its use.
    """

    def __init__(
        self,
        name: str,
        *,
        entries: Callable[[], Provider],
        handlers: Callable[[], Mapping[str, Handler]],
        middleware: Sequence[Middleware],
        service: Callable[[], Service],
        instructions: Callable[[], str | None],
    ) -> None:
        self._name = name
        self._entries = entries
        self._make_handlers = handlers
        self._handlers: dict[str, Handler] | None = None
        self._middleware = middleware
        self._service = service
        self._instructions = instructions

    @property
    def label(self) -> str:
        """The app's name."""
        return self._name

    @property
    def offers(self) -> frozenset[Offer]:
        """What the app has had so far."""
        return self._entries().offers

    @property
    def instructions(self) -> str | None:
        """What the app says of its use, or what is mounted on it."""
        return self._instructions() or self._entries().instructions

    @property
    def discovery_hints(self) -> tuple[float, CacheScope] | None:
        """For how long what is mounted on the app says of itself may be kept, and for whom."""
        return self._entries().discovery_hints

    @property
    def gathers(self) -> bool:
        """Whether it makes its pages of those of others: of what is mounted on it."""
        return True

    @property
    def single_use(self) -> bool:
        """Whether the state of calls of anything that it has counts once."""
        return self._entries().single_use

    @property
    def guarded(self) -> bool:
        """Whether anything that it has requires that callers are known."""
        return self._entries().guarded

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        """A page of its tools."""
        return await self._page(
            "tools", await self._entries().list_tools(call, channel, cursor), call, channel
        )

    async def list_resources(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Resource]:
        """A page of its resources."""
        page = await self._entries().list_resources(call, channel, cursor)
        return await self._page("resources", page, call, channel)

    async def list_templates(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[ResourceTemplate]:
        """A page of its resource templates."""
        page = await self._entries().list_templates(call, channel, cursor)
        return await self._page("templates", page, call, channel)

    async def list_prompts(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Prompt]:
        """A page of its prompts."""
        page = await self._entries().list_prompts(call, channel, cursor)
        return await self._page("prompts", page, call, channel)

    async def find_tool(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
        """The tool of a name, if the caller may know of it."""
        return chosen(await self.tool_versions(call, channel, name), asked_version(call))

    async def tool_versions(self, call: Call, channel: Channel, name: str) -> Sequence[Provided[Tool]]:
        """All versions of the tool of a name that the caller may know of."""
        found = [
            self._answered("tools", each) for each in await self._entries().tool_versions(call, channel, name)
        ]
        return await self._listed("tools", found, call, channel) if found and self._middleware else found

    async def find_resource(
        self, call: Call, channel: Channel, uri: str
    ) -> Provided[Resource] | Provided[ResourceTemplate] | None:
        """The resource of a URI, or the template that it fits, if the caller may know of it."""
        found = await self._entries().find_resource(call, channel, uri)
        if self._middleware:  # which may judge by all that lists say
            found = await as_listed(self._entries(), found, call, channel, uri)
        kind: ListKind = "resources" if found and isinstance(found.described, Resource) else "templates"
        return await self._left(kind, found, call, channel)

    async def find_template(
        self, call: Call, channel: Channel, template: str
    ) -> Provided[ResourceTemplate] | None:
        """The template that is written so, if the caller may know of it."""
        found = await self._entries().find_template(call, channel, template)
        return await self._left("templates", found, call, channel)

    async def find_prompt(self, call: Call, channel: Channel, name: str) -> Provided[Prompt] | None:
        """The prompt of a name, if the caller may know of it."""
        return await self._left(
            "prompts", await self._entries().find_prompt(call, channel, name), call, channel
        )

    async def _page(
        self, kind: ListKind, page: ProvidedPage[Any], call: Call, channel: Channel
    ) -> ProvidedPage[Any]:
        found = [self._answered(kind, each) for each in page.items]
        if not self._middleware:
            return replace(page, items=found)
        left = await self._listed(kind, found, call, channel)  # which may look at who asks
        return replace(page, items=left, scope="private")

    async def _left(self, kind: ListKind, found: Provided[Any] | None, call: Call, channel: Channel) -> Any:
        """What was found, if the app's middleware leaves it in a list."""
        if found is None or (
            found.whole is not None and await self._left("resources", found.whole, call, channel) is None
        ):
            return None
        answered = self._answered(kind, found)
        left = await self._listed(kind, [answered], call, channel) if self._middleware else [answered]
        return left[0] if left else None

    async def _listed(
        self, kind: ListKind, found: list[Provided[Any]], call: Call, channel: Channel
    ) -> list[Provided[Any]]:
        """What the app's middleware leaves of a list, and as it describes it."""
        method, result, member = _LISTS[kind]
        described = [
            each.described if each.version is None else marked(each.described, each.version) for each in found
        ]

        async def give(_call: Call, _channel: Channel) -> Result | Encoded:
            members: dict[str, Any] = {member: list(described)}
            return result(**members)

        asked = call if call.method == method else _asking_for_list(call, method)
        left = typed(await composed(give, self._middleware, method)(asked, channel), result)
        by_name = {name_of(one): each for one, each in zip(described, found, strict=True)}
        by_version = {_key(one): each for one, each in zip(described, found, strict=True)}
        remaining: list[Any] = getattr(left, member, [])
        return [
            each if each.described is one else replace(each, described=one)
            for one in remaining
            if (each := by_version.get(_key(one)) or by_name.get(name_of(one))) is not None
        ]

    # What can be known without waiting

    def known(self, kind: ListKind, principal: Principal | None) -> Sequence[Provided[Any]] | None:
        """All that a caller sees in a list; with middleware it has to be asked."""
        known = None if self._middleware else self._entries().known(kind, principal)
        return None if known is None else [self._answered(kind, each) for each in known]

    def known_one(self, kind: ListKind, name: str, principal: Principal | None) -> Provided[Any] | None:
        """The thing of a name, if a caller sees it."""
        found = None if self._middleware else self._entries().known_one(kind, name, principal)
        return None if found is None else self._answered(kind, found)

    def fingerprint(self, kind: ListKind, principal: Principal | None) -> Hashable | None:
        """What is equal as long as a caller sees the same list."""
        return None if self._middleware else self._entries().fingerprint(kind, principal)

    def knows(self, kind: ListKind, name: str) -> bool:
        """Whether the app has a thing of that name."""
        return self._entries().knows(kind, name)

    def may_have(self, kind: ListKind, name: str) -> bool:
        """Whether the app may have a thing of that name."""
        return self._entries().may_have(kind, name)

    def hears(self, uri: str, principal: Principal) -> bool:
        """Whether a caller may hear of a change in a resource."""
        return self._entries().hears(uri, principal)

    def must_ask(self, uri: str, principal: Principal) -> bool:
        """Whether the app has to be asked if a caller sees a resource: middleware may hide what it has."""
        entries = self._entries()
        return entries.must_ask(uri, principal) or (
            bool(self._middleware) and entries.may_have("resources", uri)
        )

    async def shows(self, call: Call, channel: Channel, uri: str) -> bool | None:
        """Whether who asks sees the resource of a URI; None where there is none."""
        shown = await self._entries().shows(call, channel, uri)
        if not shown or not self._middleware:
            return shown
        return await self.find_resource(call, channel, uri) is not None

    def lacking(self, uri: str, principal: Principal) -> Sequence[str]:
        """The scopes that a caller lacks to hear of a resource."""
        return self._entries().lacking(uri, principal)

    async def watch(self, uri: str) -> None:
        """Somebody listens to a resource."""
        await self._entries().watch(uri)

    async def unwatch(self, uri: str) -> None:
        """One listener less."""
        await self._entries().unwatch(uri)

    # Its life

    def life(self, publish: Callable[[Change], None]) -> AbstractAsyncContextManager[None]:
        """Around the time in which it is served: the app's own lifespan."""
        return self._live(publish)

    @asynccontextmanager
    async def _live(self, publish: Callable[[Change], None]) -> AsyncGenerator[None]:
        service = self._service()
        await service.enter()
        try:
            hearing = asyncio.create_task(self._pass_on(service, publish), name="dovetail-mounted-changes")
            try:
                await asyncio.sleep(0)  # from here on it hears
                yield
            finally:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)
        finally:
            await service.leave()

    async def _pass_on(self, service: Service, publish: Callable[[Change], None]) -> None:
        async for change in service.hub.subscribe(_any):
            publish(change)

    # Its things

    def _answered(self, kind: ListKind, found: Provided[Any]) -> Provided[Any]:
        """A thing, answered for by the app as a client's request would be."""
        complete = found.complete and self._by(names.COMPLETION_COMPLETE)
        answer = self._by(_USE[kind])
        if found.version is not None:
            answer = _in_version(answer, found.version)
        return replace(found, answer=answer, complete=complete)

    def _by(self, method: str) -> Handler:
        def answer(call: Call, channel: Channel) -> Awaitable[Result | Encoded]:
            if self._handlers is None:  # now all is registered
                made = self._make_handlers()
                self._handlers = {name: composed(each, self._middleware, name) for name, each in made.items()}
            handler = self._handlers.get(method)
            if handler is None:
                raise MethodNotFound(f"{self._name} does not have the method {method!r}")
            return handler(call, channel)

        return answer


def _asking_for_list(call: Call, method: str) -> Call:
    """The call as one for a list, which is what middleware that looks at lists is asked."""
    kind = call.profile.client_requests[method].params
    return replace(call, method=method, params=kind(meta=call.params.meta))


def _in_version(handler: Handler, version: str) -> Handler:
    """The app is told which version of its tool was chosen: what it would choose itself may not be shown."""

    def answer(call: Call, channel: Channel) -> Awaitable[Result | Encoded]:
        return handler(of_version(call, channel, version), channel)

    return answer


def _key(described: Any) -> tuple[str, object]:
    """What a thing is known by in a list: its name, and of a tool that has versions which one it is."""
    version = (described.meta or {}).get(names.META_VERSION) if isinstance(described, Tool) else None
    return name_of(described), version


def _any(_: Change) -> bool:
    return True


__all__ = ["AppProvider"]
