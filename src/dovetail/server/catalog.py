"""Everything an app offers, by name, and the lists that clients see of it.

A list is encoded once per revision, page and view of it, and kept until something changes; a change is published, so
that clients hear of it, each only of what it can see.

Specification: server/utilities/pagination, server/utilities/caching; server/resources, "Subscriptions".
"""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Literal, Protocol, TypeVar

from ..protocol.call import Call
from ..protocol.errors import ResourceNotFound
from ..protocol.header_parameters import HeaderParameter
from ..protocol.listening import Change, everything, parents_of
from ..protocol.messages import CachedResult
from ..protocol.paging import CursorPosition, decode_cursor, encode_cursor, page, resume, shortened
from ..protocol.revisions import Feature, Profile
from ..protocol.types import (
    CallToolParams,
    GetPromptParams,
    JSONSchema,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PageParams,
    ReadResourceParams,
    Result,
)
from ..protocol.uri_template.template import URITemplate
from ..runtime.channel import Channel
from ..runtime.dispatch import Encoded
from ..runtime.extension import ServedTool
from ..security.authenticator import InsufficientScope
from ..security.principal import Principal
from .access import is_judged
from .entries import PromptEntry, ResourceEntry, ToolEntry, hinted
from .registry import Registry, RegistryView

T = TypeVar("T")
ListKind = Literal["tools", "resources", "templates", "prompts"]
"""What there are lists of."""

_NO_TARGET = ("", "")
_LISTS = ("tools", "prompts", "resources")
_LIST_OF: Final[dict[str, ListKind]] = {
    "tool": "tools",
    "prompt": "prompts",
    "resource": "resources",
}


class MountedHearing(Protocol):
    """What one listener hears of mounted resources that have to be asked for; see `HeardResources`."""

    def must_ask(self, change: Change) -> bool: ...

    async def hears(self, change: Change) -> bool: ...


class Mounted(Protocol):
    """What is mounted on an app; see `Composition`. Apps on which nothing is mounted load nothing of it."""

    @property
    def instructions(self) -> str | None: ...

    @property
    def discovery_hints(self) -> tuple[float, Literal["public", "private"]] | None: ...

    async def watch(self, uris: Sequence[str]) -> None: ...

    async def unwatch(self, uris: Sequence[str]) -> None: ...

    @property
    def single_use(self) -> bool: ...

    @property
    def guarded(self) -> bool: ...

    def offers(self, what: str) -> bool: ...

    def knows(self, kind: ListKind, name: str) -> bool: ...

    def is_hidden(self, kind: ListKind, name: str, principal: Principal) -> bool: ...

    def fingerprint(self, kind: str, principal: Principal) -> Hashable: ...

    def hides(self, kind: str, principal: Principal) -> bool: ...

    def hears(self, uri: str, principal: Principal) -> bool: ...

    def surely_shows(self, uri: str, principal: Principal) -> bool: ...

    def must_ask(self, uri: str, principal: Principal) -> bool: ...

    async def shows(self, call: Call, channel: Channel, uri: str) -> bool | None: ...

    def heard(self, call: Call, channel: Channel) -> MountedHearing | None: ...

    async def lacking(self, uri: str, call: Call, channel: Channel) -> Sequence[str]: ...

    def header_parameters(self, name: str, principal: Principal | None) -> tuple[HeaderParameter, ...]: ...

    def served_tools(self) -> Sequence[ServedTool]: ...

    def served_tool(self, name: str, channel: Channel | None) -> ServedTool | None: ...

    @property
    def everything(self) -> Any: ...

    def living(self) -> AbstractAsyncContextManager[None]: ...

    async def page(self, kind: ListKind, call: Call, channel: Channel) -> Result | CachedResult: ...

    def call_tool(self, call: Call, channel: Channel) -> Awaitable[Result | Encoded]: ...

    async def find_resource(self, call: Call, channel: Channel, uri: str) -> object: ...

    async def read(self, call: Call, channel: Channel, uri: str) -> Result | Encoded: ...

    async def get_prompt(self, call: Call, channel: Channel) -> Result | Encoded: ...

    async def complete(self, call: Call, channel: Channel) -> Result | Encoded: ...


class VersionedTools(Protocol):
    """The tools of an app that have versions; see `OwnVersions`. Apps that have none load nothing of it."""

    def remove(self, name: str, version: str | None) -> bool: ...


class Catalog:
    """The entries of an app. ``name``: the app's, for cursors. ``page_size`` bounds one page of a list, ``list_ttl``
    (seconds) is for clients that cache. ``mask_errors``: what fails unforeseen says nothing of why.
    """

    def __init__(
        self,
        publish: Callable[[Change], None],
        *,
        name: str,
        page_size: int,
        list_ttl: float,
        mask_errors: bool,
    ) -> None:
        self.tools: Registry[ToolEntry] = Registry("tools", "tool", publish)
        self.resources: Registry[ResourceEntry] = Registry("resources", "resource", publish)
        self.templates: Registry[ResourceEntry] = Registry("resources", "resource template", publish)
        self.prompts: Registry[PromptEntry] = Registry("prompts", "prompt", publish)
        self._shapes: dict[Hashable, URITemplate] = {}
        self.page_size = page_size
        self.ttl_ms = int(max(list_ttl, 0.0) * 1000)
        self.mask_errors = mask_errors
        self.publish = publish
        self._app = name.encode("utf-8", "surrogatepass")
        self.mounted: Mounted | None = None
        self.versions: VersionedTools | None = None

    def list_tools(self, call: Call, channel: Channel) -> CachedResult:
        """A page of tools, encoded."""
        return self._list(self.tools, call, channel, lambda entry: entry.tool, _tools)

    def list_resources(self, call: Call, channel: Channel) -> CachedResult:
        """A page of resources, encoded."""
        return self._list(self.resources, call, channel, lambda entry: entry.described, _resources)

    def list_templates(self, call: Call, channel: Channel) -> CachedResult:
        """A page of resource templates, encoded."""
        return self._list(self.templates, call, channel, lambda entry: entry.described, _templates)

    def list_prompts(self, call: Call, channel: Channel) -> CachedResult:
        """A page of prompts, encoded."""
        return self._list(self.prompts, call, channel, lambda entry: entry.prompt, _prompts)

    @property
    def guarded(self) -> bool:
        """Whether any entry requires something of its callers, or anything that is mounted."""
        registries = (self.tools, self.resources, self.templates, self.prompts)
        return any(registry.guarded for registry in registries) or (
            self.mounted is not None and self.mounted.guarded
        )

    @property
    def single_use(self) -> bool:
        """Whether the state of calls of any entry counts once."""
        registries = (self.tools, self.resources, self.templates, self.prompts)
        return any(entry.single_use for registry in registries for entry in registry.all()) or (
            self.mounted is not None and self.mounted.single_use
        )

    def find_resource(
        self, uri: str, channel: Channel | None = None
    ) -> tuple[ResourceEntry, dict[str, str | list[str]]]:
        """The entry that reads a URI and the variables in it. Raises `ResourceNotFound`, and `InsufficientScope`."""
        registry, name, variables = self.locate(uri)
        entry = None if registry is None else registry.get(name)
        if entry is None or (
            registry is not None
            and registry.guarded
            and channel is not None
            and not registry.admits(name, channel)
        ):
            raise ResourceNotFound(f"there is no resource {uri[:256]!r}", uri=uri[:2048])
        return entry, variables

    def twin_of(self, template: URITemplate) -> URITemplate | None:
        """Another template that matches the very same URIs, if there is one; from now on ``template`` is known."""
        other = self._shapes.setdefault(template.shape, template)
        if other != template and self.templates.get(other.template) is not None:
            return other
        self._shapes[template.shape] = template
        if len(self._shapes) > 2 * len(self.templates) + 100:  # templates that were removed
            known = {
                shape: each
                for shape, each in self._shapes.items()
                if self.templates.get(each.template) is not None
            }
            self._shapes = {**known, template.shape: template}
        return None

    def target_of(self, call: Call) -> tuple[str, str]:
        """What a call is about, if that is registered under the very name: its kind and that name; else two empty
        texts.
        """
        params: Any = call.params
        if isinstance(params, CallToolParams):
            kind, name, registry = "tool", params.name, self.tools
        elif isinstance(params, GetPromptParams):
            kind, name, registry = "prompt", params.name, self.prompts
        elif isinstance(params, ReadResourceParams):
            kind, name, registry = "resource", params.uri, self.resources
        else:
            return _NO_TARGET
        if registry.get(name) is not None or (
            self.mounted is not None and self.mounted.knows(_LIST_OF[kind], name)
        ):
            return kind, name
        return _NO_TARGET

    def is_hidden(self, kind: str, name: str, principal: Principal) -> bool:
        """Whether a caller may not know of what is registered under that name."""
        registries: dict[str, Registry[Any]] = {
            "tool": self.tools,
            "prompt": self.prompts,
            "resource": self.resources,
        }
        registry = registries.get(kind)
        if registry is None:
            return False
        if registry.get(name) is None and self.mounted is not None:
            return self.mounted.is_hidden(_LIST_OF[kind], name, principal)
        return bool(registry.guarded) and name in registry.hidden(principal)

    def schema_of(self, tool: str) -> JSONSchema | None:
        """What the arguments of a tool have to be."""
        entry = self.tools.get(tool)
        return None if entry is None else entry.tool.input_schema

    async def check_subscriptions(self, uris: Sequence[str], call: Call, channel: Channel) -> None:
        """Raise `InsufficientScope` for resources that the caller may hear of with more scopes: all of these at once.

        One that it may not read for another reason passes, as one that does not exist does: nothing is told of either.
        """
        if not (self.resources.guarded or self.templates.guarded or self.mounted is not None):
            return
        if is_judged(channel.principal, channel.transport):
            lacking: list[str] = []
            for uri in uris:
                if self.mounted is not None and self.locate(uri)[0] is None:
                    lacking += await self.mounted.lacking(uri, call, channel)
                else:
                    lacking += self.lacking_for_own(uri, channel.principal)
            if lacking:
                raise InsufficientScope(lacking)

    def lacking_for_own(self, uri: str, principal: Principal) -> Sequence[str]:
        """The scopes that a caller, who is judged, lacks for a resource of the app's own; none for one that it may not
        know of.
        """
        registry, name, _ = self.locate(uri)
        needed = None if registry is None else registry.guarded.get(name)
        if needed is None or not needed.allows(principal) or principal.scopes.issuperset(needed.scopes):
            return ()
        return needed.scopes

    def hearing(self, principal: Principal, transport: str) -> Callable[[Change], bool]:
        """Which changes a listener may hear of: those in what it can see."""
        if not is_judged(principal, transport):
            return everything
        return _ListenerAccess(self, principal).hears

    def fingerprint(self, kind: str, principal: Principal) -> Hashable:
        """What changes when what a caller, who is judged, can see of a list does."""
        if kind == "resources":
            own = hash((self.resources.fingerprint(principal), self.templates.fingerprint(principal)))
        else:
            own = (self.tools if kind == "tools" else self.prompts).fingerprint(principal)
        return own if self.mounted is None else (own, self.mounted.fingerprint(kind, principal))

    def hides(self, kind: str, principal: Principal) -> bool:
        """Whether there is anything in a list that a caller, who is judged, can't see."""
        if self.mounted is not None and self.mounted.hides(kind, principal):
            return True
        if kind == "resources":
            return bool(self.resources.hidden(principal) or self.templates.hidden(principal))
        return bool((self.tools if kind == "tools" else self.prompts).hidden(principal))

    def may_hear(self, uri: str, principal: Principal) -> bool:
        """Whether a caller, who is judged, may hear of a resource."""
        if not (self.resources.guarded or self.templates.guarded) and self.mounted is None:
            return True
        if not self.may_hear_of_own(
            uri, principal
        ):  # it, or what it is below of; what is mounted may show it
            return self.mounted is not None and self.mounted.surely_shows(uri, principal)
        return self.mounted is None or self.locate(uri)[0] is not None or self.mounted.hears(uri, principal)

    def may_hear_of_own(self, uri: str, principal: Principal) -> bool:
        """The same, as far as the app's own entries go. What is none is judged as the nearest that it is below of."""
        for each in (uri, *parents_of(uri)):
            registry, name, _ = self.locate(each)
            if registry is not None:
                needed = registry.guarded.get(name)
                return needed is None or needed.holds(principal)
        return True

    def locate(self, uri: str) -> tuple[Registry[ResourceEntry] | None, str, dict[str, str | list[str]]]:
        """The registry and name of the entry that reads a URI, and the variables in it."""
        if self.resources.get(uri) is not None:
            return self.resources, uri, {}
        for entry in self.templates.all():
            template = entry.template
            if template is not None:
                try:
                    variables = template.match(uri)
                except ValueError:
                    variables = None
                if variables is not None:
                    return self.templates, template.template, variables
        return None, "", {}

    def part(
        self, registry: Registry[T], call: Call, channel: Channel, cursor: str | None
    ) -> tuple[Sequence[tuple[str, T]], str | None]:
        """Some of the entries that the caller can see, by name, and the cursor of those that follow."""
        view = registry.view(channel, self.page_size)
        binding = b"%b\0%b\0%b" % (self._app, call.method.encode(), view.binding)
        return self._cut(
            registry.visible(view), binding, None if cursor is None else decode_cursor(cursor, binding)
        )[:2]

    def _list(
        self,
        registry: Registry[T],
        call: Call,
        channel: Channel,
        describe: Callable[[T], Any],
        build: Callable[[list[Any], str | None], Any],
    ) -> CachedResult:
        params = call.params
        cursor = params.cursor if isinstance(params, PageParams) else None
        profile = call.profile
        view = registry.view(channel, self.page_size)
        key = (profile.revision, cursor, view.key)
        body = registry.page(key)
        if body is None:
            binding = b"%b\0%b\0%b" % (self._app, call.method.encode(), view.binding)
            place = None if cursor is None else decode_cursor(cursor, binding)
            body, usual = self._page(registry, view, binding, profile, place, describe, build)
            if usual:  # anybody can make up a place, as many as there are entries
                registry.keep(key, body)
        return body

    def _page(
        self,
        registry: Registry[T],
        view: RegistryView,
        binding: bytes,
        profile: Profile,
        place: CursorPosition | None,
        describe: Callable[[T], Any],
        build: Callable[[list[Any], str | None], Any],
    ) -> tuple[CachedResult, bool]:
        """The page that starts at a place, and whether it is one of those that the list is cut into from its start."""
        items, following, usual = self._cut(registry.visible(view), binding, place)
        result = build([describe(entry) for _, entry in items], following)
        if profile.has(Feature.CACHE_HINTS):
            result = hinted(result, self.ttl_ms, "private" if view.private else "public")
        return CachedResult(profile.encode(result)), usual

    def _cut(
        self, entries: list[tuple[str, T]], binding: bytes, place: CursorPosition | None
    ) -> tuple[Sequence[tuple[str, T]], str | None, bool]:
        """The part of some entries that starts at a place, the cursor of what follows, and whether it is one of those
        that they are cut into from their start.
        """
        start = 0 if place is None else resume([name for name, _ in entries], place)
        usual = place is None or (
            (start, start % self.page_size) == (place.after, 0)
            and shortened(entries[start - 1][0]) == place.name
        )
        part = page(entries, start, self.page_size)
        if part.next_position is None:
            return part.items, None, usual
        return part.items, encode_cursor(part.next_position, part.items[-1][0], binding), usual


class _ListenerAccess:
    """What a listener, who is judged, may hear of."""

    __slots__ = ("_catalog", "_hid", "_known", "_principal")

    def __init__(self, catalog: Catalog, principal: Principal) -> None:
        self._catalog = catalog
        self._principal = principal
        self._known = [catalog.fingerprint(kind, principal) for kind in _LISTS]
        #: Which lists hid something, a bit each: there are as many of these as listeners.
        self._hid = sum(1 << place for place, kind in enumerate(_LISTS) if catalog.hides(kind, principal))

    def hears(self, change: Change) -> bool:
        """Whether the listener is to hear of a change."""
        if change.kind == "resource":
            return self._catalog.may_hear(change.uri, self._principal)
        if change.notification:
            return True  # whoever brings that kind of change was asked when the listener came
        place, now = _LISTS.index(change.kind), self._catalog.fingerprint(change.kind, self._principal)
        before, self._known[place] = self._known[place], now
        hides = self._catalog.hides(change.kind, self._principal)
        bit = 1 << place
        hid, self._hid = self._hid & bit, self._hid | bit if hides else self._hid & ~bit
        # A list that changed in another process is the same here. Who sees all of it may hear of that; for all others
        # it may be a change of something that they can't see, or that they could not see before it was removed.
        return now != before or not (hides or hid)


def _tools(items: list[Any], cursor: str | None) -> ListToolsResult:
    return ListToolsResult(tools=items, next_cursor=cursor)


def _resources(items: list[Any], cursor: str | None) -> ListResourcesResult:
    return ListResourcesResult(resources=items, next_cursor=cursor)


def _templates(items: list[Any], cursor: str | None) -> ListResourceTemplatesResult:
    return ListResourceTemplatesResult(resource_templates=items, next_cursor=cursor)


def _prompts(items: list[Any], cursor: str | None) -> ListPromptsResult:
    return ListPromptsResult(prompts=items, next_cursor=cursor)
