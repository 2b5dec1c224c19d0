"""Everything an app offers, by name, and the lists that clients see of it.

Looking up an entry is a dictionary access, however many there are. A list is encoded once per revision and
page and kept until something changes; a change is published, so that clients hear of it.
"""

import secrets
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ..protocol.call import Call
from ..protocol.errors import InvalidParams, ResourceNotFound
from ..protocol.listening import Change, Kind
from ..protocol.paging import decode_cursor, encode_cursor, page
from ..protocol.revisions import Feature, Profile
from ..protocol.types import (
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PageParams,
)
from .entries import PromptEntry, ResourceEntry, ToolEntry, hinted
from .signature import RegistrationError

T = TypeVar("T")


class Shelf(Generic[T]):
    """The entries of one kind, in the order in which they were added. ``seen``: there was one at some time."""

    def __init__(self, kind: Kind, what: str, publish: Callable[[Change], None]) -> None:
        self._change = Change(kind)
        self._what = what
        self._publish = publish
        self._entries: dict[str, T] = {}
        self.pages: dict[Any, bytes] = {}
        self.seen = False

    def add(self, name: str, entry: T) -> None:
        """Add an entry. Raises `RegistrationError` for a name that is taken."""
        if name in self._entries:
            raise RegistrationError(
                f"there is a {self._what} {name!r} already; remove it first, or use another name"
            )
        self._entries[name] = entry
        self.seen = True
        self._changed()

    def remove(self, name: str) -> None:
        """Take an entry out. Raises KeyError when there is none."""
        del self._entries[name]
        self._changed()

    def get(self, name: str) -> T | None:
        """The entry of a name."""
        return self._entries.get(name)

    def all(self) -> list[T]:
        """The entries, oldest first."""
        return list(self._entries.values())

    def _changed(self) -> None:
        self.pages.clear()
        self._publish(self._change)


class Catalog:
    """The entries of an app. ``page_size`` bounds one page of a list, ``list_ttl`` (seconds) is for clients
    that cache.
    """

    def __init__(self, publish: Callable[[Change], None], *, page_size: int, list_ttl: float) -> None:
        self.tools: Shelf[ToolEntry] = Shelf("tools", "tool", publish)
        self.resources: Shelf[ResourceEntry] = Shelf("resources", "resource", publish)
        self.templates: Shelf[ResourceEntry] = Shelf("resources", "resource template", publish)
        self.prompts: Shelf[PromptEntry] = Shelf("prompts", "prompt", publish)
        self._page_size = page_size
        self._ttl_ms = int(max(list_ttl, 0.0) * 1000)
        self._cursor_key = secrets.token_bytes(32)

    def list_tools(self, call: Call) -> bytes:
        """A page of tools, encoded."""
        return self._list(self.tools, call, lambda entry: entry.tool, _tools)

    def list_resources(self, call: Call) -> bytes:
        """A page of resources, encoded."""
        return self._list(self.resources, call, lambda entry: entry.described, _resources)

    def list_templates(self, call: Call) -> bytes:
        """A page of resource templates, encoded."""
        return self._list(self.templates, call, lambda entry: entry.described, _templates)

    def list_prompts(self, call: Call) -> bytes:
        """A page of prompts, encoded."""
        return self._list(self.prompts, call, lambda entry: entry.prompt, _prompts)

    def find_resource(self, uri: str) -> tuple[ResourceEntry, dict[str, str | list[str]]]:
        """The entry that reads a URI and the variables in it. Raises `ResourceNotFound`."""
        entry = self.resources.get(uri)
        if entry is not None:
            return entry, {}
        for entry in self.templates.all():
            if entry.template is not None:
                try:
                    variables = entry.template.match(uri)
                except ValueError:
                    variables = None
                if variables is not None:
                    return entry, variables
        raise ResourceNotFound(f"there is no resource {uri[:256]!r}", uri=uri[:2048])

    def _list(
        self,
        shelf: Shelf[T],
        call: Call,
        describe: Callable[[T], Any],
        build: Callable[[list[Any], str | None], Any],
    ) -> bytes:
        params = call.params
        cursor = params.cursor if isinstance(params, PageParams) else None
        profile = call.profile
        key = (profile.revision, cursor)
        body = shelf.pages.get(key)
        if body is None:
            body = self._page(shelf, call.method, profile, cursor, describe, build)
            if len(shelf.pages) < 10_000:
                shelf.pages[key] = body
        return body

    def _page(
        self,
        shelf: Shelf[T],
        method: str,
        profile: Profile,
        cursor: str | None,
        describe: Callable[[T], Any],
        build: Callable[[list[Any], str | None], Any],
    ) -> bytes:
        binding = method.encode()
        start = 0
        if cursor is not None:
            position = decode_cursor(cursor, binding, self._cursor_key)
            if not isinstance(position, int):
                raise InvalidParams("the cursor is not valid here; list again without a cursor")
            start = position
        part = page(shelf.all(), start, self._page_size)
        following = None
        if part.next_position is not None:
            following = encode_cursor(part.next_position, binding, self._cursor_key)
        result = build([describe(entry) for entry in part.items], following)
        if profile.has(Feature.CACHE_HINTS):
            result = hinted(result, self._ttl_ms, "public")
        return profile.encode(result)


def _tools(items: list[Any], cursor: str | None) -> ListToolsResult:
    return ListToolsResult(tools=items, next_cursor=cursor)


def _resources(items: list[Any], cursor: str | None) -> ListResourcesResult:
    return ListResourcesResult(resources=items, next_cursor=cursor)


def _templates(items: list[Any], cursor: str | None) -> ListResourceTemplatesResult:
    return ListResourceTemplatesResult(resource_templates=items, next_cursor=cursor)


def _prompts(items: list[Any], cursor: str | None) -> ListPromptsResult:
    return ListPromptsResult(prompts=items, next_cursor=cursor)
