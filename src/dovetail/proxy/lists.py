"""What the upstream lists: pages as they are asked for, and what is known of each thing by its name.

Theory of operation. A page is the upstream's own, under its own cursor, and kept as `kept_results` says. To find a
thing by its name, all pages are read once and again when the name is not among them; what is known of a thing only has
to be good enough to pass calls on, for the upstream judges them. A list that has no end, or takes its time, is given
up, and not begun again at once. Who lists page by page gets no more of it either: what was spent stands in the cursor.

Specification: server/utilities/pagination, server/utilities/caching.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Self
from weakref import WeakKeyDictionary

from msgspec import Struct
from msgspec.structs import replace

from ..errors import DovetailError
from ..extensions import Change, Principal
from ..protocol import names
from ..protocol.errors import copy_of, in_seconds
from ..protocol.paging import InvalidCursor
from ..providers import ListKind
from ..types import PageResult, encode
from .connections import Connection
from .failures import unanswered
from .kept_results import NOT_KEPT, CacheHints, KeptResults, hints_of

MAX_THINGS: Final = 10_000
"""Things of one kind that an upstream may list."""
MAX_LISTED: Final = 32 * 1024 * 1024
"""Bytes, as JSON, that they have together (32 MiB)."""
MAX_PAGES: Final = 1000
"""Pages that they are listed on."""
MAX_READING: Final = 60.0
"""Seconds that all pages may take together."""
_AGAIN: Final = 1.0
"""Seconds in which a list is not read again for a name that it does not have, or that could not be read."""
_DIGITS: Final = 9
"""Digits of a number in a cursor."""
_METHODS: Final[dict[ListKind, str]] = {
    "tools": names.TOOLS_LIST,
    "resources": names.RESOURCES_LIST,
    "templates": names.RESOURCES_TEMPLATES_LIST,
    "prompts": names.PROMPTS_LIST,
}
_OF_CHANGE: Final[dict[str, tuple[ListKind, ...]]] = {
    "tools": ("tools",),
    "prompts": ("prompts",),
    "resources": ("resources", "templates"),
}


class ListedPage(Struct, frozen=True):
    """A page of the upstream's. ``size``: bytes of its things, as JSON. ``hints``: for how long it may be kept, and for
    whom; None where the upstream tells of changes in the list. ``partial``: it says that it could not list everything.
    """

    items: Sequence[Any]
    next: str | None
    size: int
    hints: CacheHints | None
    partial: bool = False


class ListSpending(Struct, frozen=True):
    """Where a list goes on, and what was spent on it so far: as text, a cursor of this provider's. The upstream's own
    ``cursor`` is in it, so that a list which has no end is noticed though each page is asked for by itself.
    """

    pages: int = 0
    milliseconds: int = 0
    cursor: str | None = None

    @classmethod
    def of(cls, cursor: str | None) -> Self:
        """What a cursor says. Raises `InvalidCursor`."""
        if cursor is None:
            return cls()
        pages, milliseconds, own, *_ = [*cursor.split(":", 2), "", ""]
        for each in (pages, milliseconds):
            if not (each.isascii() and each.isdecimal() and len(each) <= _DIGITS):
                raise InvalidCursor
        return cls(int(pages), int(milliseconds), own)

    def after(self, cursor: str | None, seconds: float) -> Self | None:
        """The same after one page more; None where no other follows."""
        if cursor is None or cursor == self.cursor:
            return None
        return type(self)(self.pages + 1, self.milliseconds + round(seconds * 1000), cursor)

    @property
    def is_enough(self) -> bool:
        """Whether no more is spent on it."""
        return self.pages >= MAX_PAGES or self.milliseconds >= MAX_READING * 1000

    def __str__(self) -> str:
        return f"{self.pages}:{self.milliseconds}:{self.cursor}"


class _Known:
    """What is known of the lists of one connection."""

    def __init__(self) -> None:
        self.named: dict[ListKind, dict[str, Any]] = {}
        self.read: dict[ListKind, float] = {}
        self.failed: dict[ListKind, tuple[float, DovetailError]] = {}
        self.reading: dict[ListKind, asyncio.Task[dict[str, Any]]] = {}
        self.stale: set[ListKind] = set()
        self.partial: set[ListKind] = set()

    def is_recent(self, kind: ListKind) -> bool:
        """Whether a list was read so shortly ago that it is not read again for a name."""
        return asyncio.get_running_loop().time() - self.read[kind] < _AGAIN


class Lists:
    """The lists of a proxy's upstream. ``timeout``: seconds for a page. ``kept``: where pages are kept."""

    def __init__(self, timeout: float, kept: KeptResults) -> None:
        self._timeout = timeout
        self._kept = kept
        self._known: WeakKeyDictionary[Connection, _Known] = WeakKeyDictionary()

    def changed(self, connection: Connection, change: Change | None) -> None:
        """The upstream told of a change; or may be another one (None)."""
        known = self._known.get(connection)
        if known is None:
            return
        if change is None:
            known.named.clear()
        else:
            known.stale.update(_OF_CHANGE.get(change.kind, ()))

    async def page(
        self,
        kind: ListKind,
        connection: Connection,
        cursor: str | None,
        principal: Principal,
        *,
        fresh: bool = False,
    ) -> ListedPage:
        """A page, for a caller; with what is left of its time. ``fresh``: as it is now. Raises as `Client.list_tools`
        does.
        """
        method, subject = _METHODS[kind], "" if cursor is None else f"c{cursor}"
        found = None if fresh else self._kept.get(connection, method, subject, principal)
        if found is not None:
            return replace(found[0], hints=found[1])
        changes = self._kept.changes(connection)
        try:
            async with asyncio.timeout(self._timeout):
                page = await _fetched(kind, connection, cursor)
        except TimeoutError:
            raise unanswered(
                f"it did not list its {kind} within {in_seconds(self._timeout)}", retry_safe=True
            ) from None
        self._kept.put(
            connection, method, subject, principal, page, page.hints, size=page.size, changes=changes
        )
        return page

    def at_hand(self, kind: ListKind, connection: Connection, name: str) -> Any:
        """The thing of that name, if it is known already: an upstream that changes again and again has its list read
        for that once in a while.
        """
        known = self._known.get(connection)
        found = None if known is None or kind not in known.named else known.named[kind].get(name)
        if known is None or found is None or (kind in known.stale and not known.is_recent(kind)):
            return None
        return found

    async def find(self, kind: ListKind, connection: Connection, name: str, principal: Principal) -> Any:
        """The thing of that name, None where there is none. Raises as `page` does, and `UpstreamFailed` where it may be
        in a part of the list that the upstream does not have now.
        """
        found = self.at_hand(kind, connection, name)
        if found is not None:
            return found
        known = self._of(connection)
        if kind in known.named and kind not in known.stale and known.is_recent(kind):
            return _missing(known, kind)
        failed = known.failed.get(kind)
        if failed is not None and asyncio.get_running_loop().time() - failed[0] < _AGAIN:
            raise copy_of(failed[1])
        task = known.reading.get(kind)
        if task is None:
            reading = self._read(kind, connection, known, principal)
            task = known.reading[kind] = asyncio.create_task(reading)
            task.add_done_callback(lambda done: _read(known, kind, done))
        return (await asyncio.shield(task)).get(name) or _missing(known, kind)

    async def _read(
        self, kind: ListKind, connection: Connection, known: _Known, principal: Principal
    ) -> dict[str, Any]:
        """All things of a list by their names, as they are now if they were read before."""
        fresh = kind in known.named
        changes = self._kept.changes(connection)
        try:
            async with asyncio.timeout(MAX_READING):
                named, partial = await self._all(kind, connection, principal, fresh=fresh)
        except TimeoutError:
            problem = unanswered(
                f"it did not list all of its {kind} within {in_seconds(MAX_READING)}", retry_safe=True
            )
            known.failed[kind] = asyncio.get_running_loop().time(), problem
            raise problem from None
        except DovetailError as problem:
            known.failed[kind] = asyncio.get_running_loop().time(), problem
            raise
        known.named[kind] = named
        (known.partial.add if partial else known.partial.discard)(kind)
        known.read[kind] = asyncio.get_running_loop().time()
        if changes == self._kept.changes(connection):
            known.stale.discard(kind)
        else:
            known.stale.add(kind)
        return named

    async def _all(
        self, kind: ListKind, connection: Connection, principal: Principal, *, fresh: bool
    ) -> tuple[dict[str, Any], bool]:
        """All things of a list by their names; whether the upstream could not list everything."""
        named: dict[str, Any] = {}
        size, partial = 0, False
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = await self.page(kind, connection, cursor, principal, fresh=fresh)
            size += page.size
            partial = partial or page.partial
            if size > MAX_LISTED:
                raise unanswered(f"its {kind} are more than {MAX_LISTED // 2**20} MiB", retry_safe=True)
            for each in page.items:
                named.setdefault(_name(each), each)
            if page.next is None or page.next in seen:
                return named, partial
            if len(named) >= MAX_THINGS or len(seen) >= MAX_PAGES:
                raise unanswered(
                    f"it lists more than {MAX_THINGS} {kind}, or on more than {MAX_PAGES} pages",
                    retry_safe=True,
                )
            seen.add(page.next)
            cursor = page.next

    def _of(self, connection: Connection) -> _Known:
        known = self._known.get(connection)
        if known is None:
            known = self._known[connection] = _Known()
        return known


def _read(known: _Known, kind: ListKind, task: "asyncio.Task[dict[str, Any]]") -> None:
    known.reading.pop(kind, None)
    if not task.cancelled():
        task.exception()  # whoever waited was told


def _missing(known: _Known, kind: ListKind) -> None:
    """Nothing of a name is listed. Raises `UpstreamFailed` where it may be there all the same."""
    if kind in known.partial:
        raise unanswered(
            f"some of its {kind} are not there now, and it may be one of these; try again later",
            retry_safe=True,
        )


async def _fetched(kind: ListKind, connection: Connection, cursor: str | None) -> ListedPage:
    """A page as the upstream gives it now."""
    client = connection.client
    items: Sequence[Any]
    if kind == "tools":
        result: PageResult = await client.list_tools(cursor)
        items = result.tools
    elif kind == "resources":
        result = await client.list_resources(cursor)
        items = result.resources
    elif kind == "templates":
        result = await client.list_resource_templates(cursor)
        items = result.resource_templates
    else:
        result = await client.list_prompts(cursor)
        items = result.prompts
    if client.era == "stateless":
        hints: CacheHints | None = hints_of(result.ttl_ms, result.cache_scope)
    else:
        hints = None if _tells(connection, kind) else NOT_KEPT
    size = sum(len(encode(each)) for each in items)
    partial = bool((result.meta or {}).get(names.META_PARTIAL))
    return ListedPage(items, result.next_cursor, size, hints, partial)


def _name(described: Any) -> str:
    uri = getattr(described, "uri", None) or getattr(described, "uri_template", None)
    return uri or described.name


def _tells(connection: Connection, kind: ListKind) -> bool:
    """Whether the upstream tells of changes of a list."""
    offered = connection.client.server_capabilities
    found = None if offered is None else getattr(offered, "resources" if kind == "templates" else kind)
    return found is not None and bool(found.list_changed)


__all__ = ["MAX_THINGS", "ListSpending", "ListedPage", "Lists"]
