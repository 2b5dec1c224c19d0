"""Everything an app offers, by name, and the lists that clients see of it.

A list is encoded once per revision, page and view of it, and kept until something changes; a change is published, so
that clients hear of it, each only of what it can see.

Specification: server/utilities/pagination, server/utilities/caching; server/resources, "Subscriptions".
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..protocol.call import Call
from ..protocol.errors import ResourceNotFound
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
)
from ..runtime.channel import Channel
from ..security.authenticator import InsufficientScope
from ..security.principal import Principal
from .access import is_judged
from .entries import PromptEntry, ResourceEntry, ToolEntry, hinted
from .registry import Registry, RegistryView

T = TypeVar("T")

_NO_TARGET = ("", "")
_LISTS = ("tools", "prompts", "resources")


class Catalog:
    """The entries of an app. ``name``: the app's, for cursors. ``page_size`` bounds one page of a list, ``list_ttl``
    (seconds) is for clients that cache.
    """

    def __init__(
        self, publish: Callable[[Change], None], *, name: str, page_size: int, list_ttl: float
    ) -> None:
        self.tools: Registry[ToolEntry] = Registry("tools", "tool", publish)
        self.resources: Registry[ResourceEntry] = Registry("resources", "resource", publish)
        self.templates: Registry[ResourceEntry] = Registry("resources", "resource template", publish)
        self.prompts: Registry[PromptEntry] = Registry("prompts", "prompt", publish)
        self._page_size = page_size
        self._ttl_ms = int(max(list_ttl, 0.0) * 1000)
        self._app = name.encode("utf-8", "surrogatepass")

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
        """Whether any entry requires something of its callers."""
        return any(
            registry.guarded for registry in (self.tools, self.resources, self.templates, self.prompts)
        )

    @property
    def single_use(self) -> bool:
        """Whether the state of calls of any entry counts once."""
        registries = (self.tools, self.resources, self.templates, self.prompts)
        return any(entry.single_use for registry in registries for entry in registry.all())

    def find_resource(
        self, uri: str, channel: Channel | None = None
    ) -> tuple[ResourceEntry, dict[str, str | list[str]]]:
        """The entry that reads a URI and the variables in it. Raises `ResourceNotFound`, and `InsufficientScope`."""
        registry, name, variables = self._locate(uri)
        entry = None if registry is None else registry.get(name)
        if entry is None or (
            registry is not None
            and registry.guarded
            and channel is not None
            and not registry.admits(name, channel)
        ):
            raise ResourceNotFound(f"there is no resource {uri[:256]!r}", uri=uri[:2048])
        return entry, variables

    def target_of(self, call: Call) -> tuple[str, str]:
        """What a call is about, if that is registered under the very name: its kind and that name; else two empty
        texts.
        """
        params: Any = call.params
        if isinstance(params, CallToolParams):
            return ("tool", params.name) if self.tools.get(params.name) is not None else _NO_TARGET
        if isinstance(params, GetPromptParams):
            return ("prompt", params.name) if self.prompts.get(params.name) is not None else _NO_TARGET
        if isinstance(params, ReadResourceParams):
            return ("resource", params.uri) if self.resources.get(params.uri) is not None else _NO_TARGET
        return _NO_TARGET

    def is_hidden(self, kind: str, name: str, principal: Principal) -> bool:
        """Whether a caller may not know of what is registered under that name."""
        registries: dict[str, Registry[Any]] = {
            "tool": self.tools,
            "prompt": self.prompts,
            "resource": self.resources,
        }
        registry = registries.get(kind)
        return registry is not None and bool(registry.guarded) and name in registry.hidden(principal)

    def schema_of(self, tool: str) -> JSONSchema | None:
        """What the arguments of a tool have to be."""
        entry = self.tools.get(tool)
        return None if entry is None else entry.tool.input_schema

    def check_subscriptions(self, uris: Sequence[str], channel: Channel) -> None:
        """Raise `InsufficientScope` for resources that the caller may hear of with more scopes: all of these at once.

        One that it may not read for another reason passes, as one that does not exist does: nothing is told of either.
        """
        if not (self.resources.guarded or self.templates.guarded):
            return
        lacking: list[str] = []
        for uri in uris:
            try:
                self.find_resource(uri, channel)
            except InsufficientScope as problem:
                lacking += problem.scopes
            except ResourceNotFound:
                continue
        if lacking:
            raise InsufficientScope(lacking)

    def hearing(self, principal: Principal, transport: str) -> Callable[[Change], bool]:
        """Which changes a listener may hear of: those in what it can see."""
        if not is_judged(principal, transport):
            return everything
        return _ListenerAccess(self, principal).hears

    def fingerprint(self, kind: str, principal: Principal) -> int:
        """A number that changes when what a caller, who is judged, can see of a list does."""
        if kind == "resources":
            return hash((self.resources.fingerprint(principal), self.templates.fingerprint(principal)))
        return (self.tools if kind == "tools" else self.prompts).fingerprint(principal)

    def hides(self, kind: str, principal: Principal) -> bool:
        """Whether there is anything in a list that a caller, who is judged, can't see."""
        if kind == "resources":
            return bool(self.resources.hidden(principal) or self.templates.hidden(principal))
        return bool((self.tools if kind == "tools" else self.prompts).hidden(principal))

    def may_hear(self, uri: str, principal: Principal) -> bool:
        """Whether a caller, who is judged, may hear of a resource. One that is no entry is judged as the nearest entry
        that it is below of.
        """
        if not (self.resources.guarded or self.templates.guarded):
            return True
        for each in (uri, *parents_of(uri)):
            registry, name, _ = self._locate(each)
            if registry is not None:
                needed = registry.guarded.get(name)
                return needed is None or needed.holds(principal)
        return True

    def _locate(self, uri: str) -> tuple[Registry[ResourceEntry] | None, str, dict[str, str | list[str]]]:
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
        view = registry.view(channel, self._page_size)
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
        entries = registry.visible(view)
        start = 0 if place is None else resume([name for name, _ in entries], place)
        usual = place is None or (
            (start, start % self._page_size) == (place.after, 0)
            and shortened(entries[start - 1][0]) == place.name
        )
        part = page(entries, start, self._page_size)
        following = None
        if part.next_position is not None:
            following = encode_cursor(part.next_position, part.items[-1][0], binding)
        result = build([describe(entry) for _, entry in part.items], following)
        if profile.has(Feature.CACHE_HINTS):
            result = hinted(result, self._ttl_ms, "private" if view.private else "public")
        return CachedResult(profile.encode(result)), usual


class _ListenerAccess:
    """What a listener, who is judged, may hear of."""

    __slots__ = ("_catalog", "_known", "_principal")

    def __init__(self, catalog: Catalog, principal: Principal) -> None:
        self._catalog = catalog
        self._principal = principal
        self._known = [catalog.fingerprint(kind, principal) for kind in _LISTS]

    def hears(self, change: Change) -> bool:
        """Whether the listener is to hear of a change."""
        if change.kind == "resource":
            return self._catalog.may_hear(change.uri, self._principal)
        if change.notification:
            return True  # whoever brings that kind of change was asked when the listener came
        place, now = _LISTS.index(change.kind), self._catalog.fingerprint(change.kind, self._principal)
        before, self._known[place] = self._known[place], now
        # A list that changed in another process is the same here. Who sees all of it may hear of that; for all others
        # it may be a change of something that they can't see.
        return now != before or not self._catalog.hides(change.kind, self._principal)


def _tools(items: list[Any], cursor: str | None) -> ListToolsResult:
    return ListToolsResult(tools=items, next_cursor=cursor)


def _resources(items: list[Any], cursor: str | None) -> ListResourcesResult:
    return ListResourcesResult(resources=items, next_cursor=cursor)


def _templates(items: list[Any], cursor: str | None) -> ListResourceTemplatesResult:
    return ListResourceTemplatesResult(resource_templates=items, next_cursor=cursor)


def _prompts(items: list[Any], cursor: str | None) -> ListPromptsResult:
    return ListPromptsResult(prompts=items, next_cursor=cursor)
