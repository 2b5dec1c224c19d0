"""What an app has itself, as a provider: the entries of its catalog.

Specification: none.
"""

from collections.abc import Hashable, Sequence
from typing import Any

from msgspec.structs import replace

from ...protocol.call import Call
from ...protocol.errors import MethodNotFound
from ...protocol.types import Prompt, Resource, ResourceTemplate, Result, Tool
from ...runtime.channel import Channel
from ...runtime.dispatch import Encoded
from ...security.principal import Principal
from ..access import Requirement
from ..catalog import Catalog, ListKind
from ..completion import Completers
from ..entries import PromptEntry, ResourceEntry, ToolEntry
from ..registry import Registry
from .provider import Offer, Provided, ProvidedPage, Provider
from .transform import asking


class OwnEntries(Provider):
    """The entries of the app called ``name``: listed and found here, answered for by the app (`AppProvider`)."""

    def __init__(self, name: str, catalog: Catalog, completers: Completers) -> None:
        self._name = name
        self._catalog = catalog
        self._completers = completers
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
        return await self._find("tools", channel, name)

    async def find_resource(
        self, call: Call, channel: Channel, uri: str
    ) -> Provided[Resource] | Provided[ResourceTemplate] | None:
        """The resource of a URI, or the template that it fits, if the caller may know of it."""
        registry, name, _ = self._catalog.locate(uri)
        if registry is None:
            return None
        kind: ListKind = "resources" if registry is self._catalog.resources else "templates"
        return await self._find(kind, channel, name)

    async def find_template(
        self, call: Call, channel: Channel, template: str
    ) -> Provided[ResourceTemplate] | None:
        """The template that is written so, if the caller may know of it."""
        return await self._find("templates", channel, template)

    async def find_prompt(self, call: Call, channel: Channel, name: str) -> Provided[Prompt] | None:
        """The prompt of a name, if the caller may know of it."""
        return await self._find("prompts", channel, name)

    async def _find(self, kind: ListKind, channel: Channel, name: str) -> Any:
        registry = self._registries[kind]
        entry = registry.get(name)
        return (
            None
            if entry is None or name in registry.hidden_from(channel)
            else self._of(registry, name, entry)
        )

    async def _page(
        self, kind: ListKind, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Any]:
        registry = self._registries[kind]
        part, following = self._catalog.part(registry, call, channel, cursor)
        return ProvidedPage([self._of(registry, name, entry) for name, entry in part], following)

    # What can be known without waiting

    def known(self, kind: ListKind, principal: Principal | None) -> Sequence[Provided[Any]] | None:
        """All that a caller sees in a list."""
        registry = self._registries[kind]
        hidden = frozenset[str]() if principal is None else registry.hidden(principal)
        return [self._of(registry, name, entry) for name, entry in registry.named() if name not in hidden]

    def known_one(self, kind: ListKind, name: str, principal: Principal | None) -> Provided[Any] | None:
        """The entry of a name, if a caller sees it."""
        registry = self._registries[kind]
        entry = registry.get(name)
        if entry is None or (
            principal is not None and registry.guarded and name in registry.hidden(principal)
        ):
            return None
        return self._of(registry, name, entry)

    def fingerprint(self, kind: ListKind, principal: Principal | None) -> Hashable | None:
        """What is equal as long as a caller sees the same list."""
        return self._registries[kind].fingerprint(principal)

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
        return self._catalog.may_hear_of_own(uri, principal)

    async def shows(self, call: Call, channel: Channel, uri: str) -> bool | None:
        """Whether who asks sees the resource of a URI; None where the app has none."""
        if not self.may_have("resources", uri):
            return None
        principal = asking(channel)
        return principal is None or self.hears(uri, principal)

    def lacking(self, uri: str, principal: Principal) -> Sequence[str]:
        """The scopes that a caller lacks to hear of a resource."""
        return self._catalog.lacking_for_own(uri, principal)

    # Its things

    def _of(self, registry: Registry[Any], name: str, entry: Any) -> Provided[Any]:
        """An entry as it is given to others, the same each time."""
        found = self._provided.get(entry)
        if found is None:
            if len(self._provided) > 2 * sum(len(each) for each in self._registries.values()) + 100:
                self._provided.clear()  # entries that were removed
            found = self._provided[entry] = replace(
                self._made(entry, registry.guarded.get(name)), tags=registry.tags.get(name, frozenset())
            )
        return found

    def _made(self, entry: Any, needed: Requirement | None) -> Provided[Any]:
        scopes = () if needed is None else needed.scopes
        completed = _by_the_app if len(self._completers) else None
        if isinstance(entry, ToolEntry):
            return Provided(
                described=entry.tool,
                answer=_by_the_app,
                scopes=scopes,
                task=entry.served.task,
                asks_first=entry.served.asks_first,
            )
        if isinstance(entry, PromptEntry):
            return Provided(described=entry.prompt, answer=_by_the_app, complete=completed, scopes=scopes)
        if isinstance(entry, ResourceEntry):
            described: Any = entry.described
            return Provided(
                described=described,
                answer=_by_the_app,
                complete=None if entry.template is None else completed,
                scopes=scopes,
            )
        raise TypeError(f"a {type(entry).__name__} is no entry of a catalog")


async def _by_the_app(call: Call, _channel: Channel) -> Result | Encoded:
    raise MethodNotFound(f"{call.method!r} is answered by the app that has the entry")


__all__ = ["OwnEntries"]
