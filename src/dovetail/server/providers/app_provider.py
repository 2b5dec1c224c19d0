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
from ..catalog import Catalog
from ..completion import Completers
from ..entries import PromptEntry, ResourceEntry, ToolEntry
from ..registry import Registry
from .calls import typed
from .provider import ListKind, Offer, Provided, ProvidedPage, Provider, name_of

_LISTS: Final[dict[ListKind, tuple[str, type[Result], str]]] = {
    "tools": (names.TOOLS_LIST, ListToolsResult, "tools"),
    "resources": (names.RESOURCES_LIST, ListResourcesResult, "resources"),
    "templates": (names.RESOURCES_TEMPLATES_LIST, ListResourceTemplatesResult, "resource_templates"),
    "prompts": (names.PROMPTS_LIST, ListPromptsResult, "prompts"),
}


class AppProvider(Provider):
    """What an app offers. ``handlers``: its methods, behind its middleware. ``service``: gives the app as transports
    see it. ``tagged``: tags and versions of its entries.
    """

    def __init__(
        self,
        name: str,
        catalog: Catalog,
        completers: Completers,
        *,
        handlers: Callable[[], tuple[object, Mapping[str, Handler]]],
        middleware: Sequence[Middleware],
        service: Callable[[], Service],
    ) -> None:
        self._name = name
        self._catalog = catalog
        self._completers = completers
        self._make_handlers = handlers
        self._handlers: dict[str, Handler] | None = None
        self._middleware = middleware
        self._service = service
        self._registries: dict[ListKind, Registry[Any]] = {
            "tools": catalog.tools,
            "resources": catalog.resources,
            "templates": catalog.templates,
            "prompts": catalog.prompts,
        }
        self._provided: dict[object, Provided[Any]] = {}

    @property
    def label(self) -> str:
        """The app's name."""
        return self._name

    @property
    def offers(self) -> frozenset[Offer]:
        """What the app has had so far."""
        catalog = self._catalog
        found: set[Offer] = set()
        if catalog.tools.seen:
            found.add("tools")
        if catalog.resources.seen or catalog.templates.seen:
            found.add("resources")
        if catalog.prompts.seen:
            found.add("prompts")
        if len(self._completers):
            found.add("completions")
        return frozenset(found)

    @property
    def single_use(self) -> bool:
        """Whether the state of calls of anything that it has counts once."""
        return self._catalog.single_use

    @property
    def guarded(self) -> bool:
        """Whether anything that it has requires that callers are known."""
        return self._catalog.guarded

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        """A page of its tools."""
        return await self._page("tools", call, channel, cursor)

    async def list_resources(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Resource]:
        """A page of its resources."""
        return await self._page("resources", call, channel, cursor)

    async def list_templates(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[ResourceTemplate]:
        """A page of its resource templates."""
        return await self._page("templates", call, channel, cursor)

    async def list_prompts(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Prompt]:
        """A page of its prompts."""
        return await self._page("prompts", call, channel, cursor)

    async def find_tool(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
        """The tool of a name, if the caller may know of it."""
        return await self._find("tools", call, channel, name)

    async def find_resource(
        self, call: Call, channel: Channel, uri: str
    ) -> Provided[Resource] | Provided[ResourceTemplate] | None:
        """The resource of a URI, or the template that it fits, if the caller may know of it."""
        registry, name, _ = self._catalog.locate(uri)
        if registry is None:
            return None
        kind: ListKind = "resources" if registry is self._catalog.resources else "templates"
        return await self._find(kind, call, channel, name)

    async def find_template(
        self, call: Call, channel: Channel, template: str
    ) -> Provided[ResourceTemplate] | None:
        """The template that is written so, if the caller may know of it."""
        return await self._find("templates", call, channel, template)

    async def find_prompt(self, call: Call, channel: Channel, name: str) -> Provided[Prompt] | None:
        """The prompt of a name, if the caller may know of it."""
        return await self._find("prompts", call, channel, name)

    async def _find(self, kind: ListKind, call: Call, channel: Channel, name: str) -> Any:
        registry = self._registries[kind]
        entry = registry.get(name)
        if entry is None or name in registry.hidden_from(channel):
            return None
        found = self._of(kind, entry)
        if not self._middleware:
            return found
        listed = await self._listed(kind, [found], call, channel)
        return listed[0] if listed else None

    async def _page(
        self, kind: ListKind, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Any]:
        part, following = self._catalog.part(self._registries[kind], call, channel, cursor)
        found = [self._of(kind, entry) for _, entry in part]
        return ProvidedPage(
            await self._listed(kind, found, call, channel) if self._middleware else found, following
        )

    async def _listed(
        self, kind: ListKind, found: list[Provided[Any]], call: Call, channel: Channel
    ) -> list[Provided[Any]]:
        """What the app's middleware leaves of a list, and as it describes it."""
        method, result, member = _LISTS[kind]

        async def give(_call: Call, _channel: Channel) -> Result | Encoded:
            members: dict[str, Any] = {member: [each.described for each in found]}
            return result(**members)

        handler = composed(give, self._middleware)
        asked = call if call.method == method else _asking_for_list(call, method)
        left = typed(await handler(asked, channel), result)
        by_name = {each.name: each for each in found}
        described: list[Any] = getattr(left, member, [])
        return [
            each if each.described is one else _described(each, one)
            for one in described
            if (each := by_name.get(name_of(one))) is not None
        ]

    # What can be known without waiting

    def known(self, kind: ListKind, principal: Principal | None) -> Sequence[Provided[Any]] | None:
        """All that a caller sees in a list; with middleware it has to be asked."""
        if self._middleware:
            return None
        registry = self._registries[kind]
        hidden = frozenset[str]() if principal is None else registry.hidden(principal)
        return [self._of(kind, entry) for name, entry in registry.named() if name not in hidden]

    def fingerprint(self, kind: ListKind, principal: Principal | None) -> Hashable | None:
        """What is equal as long as a caller sees the same list."""
        return None if self._middleware else self._registries[kind].fingerprint(principal)

    def knows(self, kind: ListKind, name: str) -> bool:
        """Whether the app has a thing of that name."""
        return self._registries[kind].get(name) is not None

    def may_have(self, kind: ListKind, name: str) -> bool:
        """Whether the app has a thing of that name."""
        if kind == "resources":
            return self._catalog.locate(name)[0] is not None
        return self.knows(kind, name)

    def hears(self, uri: str, principal: Principal) -> bool:
        """Whether a caller may hear of a change in a resource."""
        return self._catalog.may_hear(uri, principal)

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

    def _of(self, kind: ListKind, entry: Any) -> Provided[Any]:
        """An entry as it is given to others, the same each time."""
        found = self._provided.get(entry)
        if found is None:
            if len(self._provided) > 2 * sum(len(each) for each in self._registries.values()) + 100:
                self._provided.clear()  # entries that were removed
            found = self._provided[entry] = self._made(kind, entry)
        return found

    def _made(self, kind: ListKind, entry: Any) -> Provided[Any]:
        if isinstance(entry, ToolEntry):
            return Provided(
                described=entry.tool,
                answer=self._by(names.TOOLS_CALL),
                task=entry.served.task,
                asks_first=entry.served.asks_first,
            )
        complete = self._by(names.COMPLETION_COMPLETE) if len(self._completers) else None
        if isinstance(entry, PromptEntry):
            return Provided(described=entry.prompt, answer=self._by(names.PROMPTS_GET), complete=complete)
        if isinstance(entry, ResourceEntry):
            described: Any = entry.described
            completed = complete if kind == "templates" else None
            return Provided(described=described, answer=self._by(names.RESOURCES_READ), complete=completed)
        raise TypeError(f"a {type(entry).__name__} is no entry of {kind}")

    def _by(self, method: str) -> Handler:
        def answer(call: Call, channel: Channel) -> Awaitable[Result | Encoded]:
            if self._handlers is None:  # now all is registered
                _, handlers = self._make_handlers()
                self._handlers = {name: composed(each, self._middleware) for name, each in handlers.items()}
            handler = self._handlers.get(method)
            if handler is None:
                raise MethodNotFound(f"{self._name} does not have the method {method!r}")
            return handler(call, channel)

        return answer


def _asking_for_list(call: Call, method: str) -> Call:
    """The call as one for a list, which is what middleware that looks at lists is asked."""
    kind = call.profile.client_requests[method].params
    return replace(call, method=method, params=kind(meta=call.params.meta))


def _described(found: Provided[Any], described: Any) -> Provided[Any]:
    return replace(found, described=described)


def _any(_: Change) -> bool:
    return True


__all__ = ["AppProvider"]
