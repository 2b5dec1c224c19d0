"""What the upstream lists: pages as they are asked for, and what is known of each thing by its name.

Theory of operation. A page is the upstream's own, under its own cursor; the client keeps it as long as the upstream's
hints allow, and here it is kept as long as an upstream that tells of changes told of none. To find a thing by its name,
all pages are read once and again when the name is not among them; what is known of a thing only has to be good enough
to pass calls on, for the upstream judges them.

Specification: server/utilities/pagination, server/utilities/caching.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from msgspec import Struct

from ..extensions import Change
from ..protocol.errors import in_seconds
from ..providers import ListKind
from .connections import Connection
from .failures import unanswered

MAX_THINGS: Final = 10_000
"""Things of one kind that an upstream may list."""
_AGAIN: Final = 1.0
"""Seconds in which a list is not read again for a name that it does not have."""
_OF_CHANGE: Final[dict[str, tuple[ListKind, ...]]] = {
    "tools": ("tools",),
    "prompts": ("prompts",),
    "resources": ("resources", "templates"),
}


class ListedPage(Struct, frozen=True):
    """A page of the upstream's."""

    items: Sequence[Any]
    next: str | None = None


class _Known:
    """What is known of the lists of one connection."""

    def __init__(self) -> None:
        self.pages: dict[tuple[ListKind, str | None], ListedPage] = {}
        self.named: dict[ListKind, dict[str, Any]] = {}
        self.read: dict[ListKind, float] = {}
        self.reading: dict[ListKind, asyncio.Task[None]] = {}
        self.changes = 0


class Lists:
    """The lists of a proxy's upstream. ``timeout``: seconds for a page."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._known: WeakKeyDictionary[Connection, _Known] = WeakKeyDictionary()

    def changed(self, connection: Connection, change: Change) -> None:
        """The upstream told of a change."""
        known = self._of(connection)
        known.changes += 1
        for kind in _OF_CHANGE.get(change.kind, ()):
            known.named.pop(kind, None)
            known.read.pop(kind, None)
            for key in [key for key in known.pages if key[0] == kind]:
                del known.pages[key]

    async def page(self, kind: ListKind, connection: Connection, cursor: str | None) -> ListedPage:
        """A page. Raises as `Client.list_tools` does."""
        known = self._of(connection)
        found = known.pages.get((kind, cursor))
        if found is not None:
            return found
        before = known.changes
        client = connection.client
        try:
            async with asyncio.timeout(self._timeout):
                if kind == "tools":
                    tools = await client.list_tools(cursor)
                    page = ListedPage(tools.tools, tools.next_cursor)
                elif kind == "resources":
                    resources = await client.list_resources(cursor)
                    page = ListedPage(resources.resources, resources.next_cursor)
                elif kind == "templates":
                    templates = await client.list_resource_templates(cursor)
                    page = ListedPage(templates.resource_templates, templates.next_cursor)
                else:
                    prompts = await client.list_prompts(cursor)
                    page = ListedPage(prompts.prompts, prompts.next_cursor)
        except TimeoutError:
            raise unanswered(
                f"it did not list its {kind} within {in_seconds(self._timeout)}", retry_safe=True
            ) from None
        if _tells(connection, kind) and before == known.changes and len(known.pages) < MAX_THINGS // 10:
            known.pages[kind, cursor] = page
        return page

    def at_hand(self, kind: ListKind, connection: Connection, name: str) -> Any:
        """The thing of that name, if it is known already."""
        known = self._known.get(connection)
        return None if known is None or kind not in known.named else known.named[kind].get(name)

    async def find(self, kind: ListKind, connection: Connection, name: str) -> Any:
        """The thing of that name, None where there is none. Raises as `page` does."""
        known = self._of(connection)
        named = known.named.get(kind)
        if named is not None and (found := named.get(name)) is not None:
            return found
        now = asyncio.get_running_loop().time()
        if named is not None and now - known.read[kind] < _AGAIN:
            return None
        task = known.reading.get(kind)
        if task is None:
            task = known.reading[kind] = asyncio.create_task(self._read(kind, connection, known))
            task.add_done_callback(lambda done: _read(known, kind, done))
        await asyncio.shield(task)
        return known.named.get(kind, {}).get(name)

    async def _read(self, kind: ListKind, connection: Connection, known: _Known) -> None:
        named: dict[str, Any] = {}
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = await self.page(kind, connection, cursor)
            for each in page.items:
                named.setdefault(_name(each), each)
            if page.next is None or page.next in seen:
                break
            if len(named) >= MAX_THINGS or len(seen) >= MAX_THINGS:
                raise unanswered(f"it lists more than {MAX_THINGS} {kind}, or pages of them")
            seen.add(page.next)
            cursor = page.next
        known.named[kind] = named
        known.read[kind] = asyncio.get_running_loop().time()

    def _of(self, connection: Connection) -> _Known:
        known = self._known.get(connection)
        if known is None:
            known = self._known[connection] = _Known()
        return known


def _read(known: _Known, kind: ListKind, task: "asyncio.Task[None]") -> None:
    known.reading.pop(kind, None)
    if not task.cancelled():
        task.exception()  # whoever waited was told


def _name(described: Any) -> str:
    uri = getattr(described, "uri", None) or getattr(described, "uri_template", None)
    return uri or described.name


def _tells(connection: Connection, kind: ListKind) -> bool:
    """Whether the upstream tells of changes of a list, and its pages carry no hints of their own."""
    client = connection.client
    if client.era == "stateless":
        return False
    offered = client.server_capabilities
    found = None if offered is None else getattr(offered, "resources" if kind == "templates" else kind)
    return found is not None and bool(found.list_changed)


__all__ = ["MAX_THINGS", "ListedPage", "Lists"]
