"""What tools, resources and prompts have in common: a list that can be searched, and one of them in full.

Theory of operation. What a server lists is fetched once per connection, and again when it says that it changed, or when
it is asked for. Side by side where there is room, else one above the other.

Specification: server/utilities/pagination.
"""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.widgets import Input, Static

from ..session.server import InspectedServer
from .reader import TextReader
from .rows import RowList
from .text import Row, counted, inline
from .view import InspectorView, error_rows

__all__ = ["ListingView"]

_WIDE = 100


class ListingView(InspectorView):
    """A list. ``listings``: which kinds are fetched, in this order."""

    listings: ClassVar[tuple[str, ...]] = ()
    news = frozenset({"server", "server-removed", "changed"})
    DEFAULT_CSS = """
    ListingView Container { height: 1fr; layout: vertical; }
    ListingView Container > RowList { height: 1fr; }
    ListingView Container > TextReader { height: 1fr; border-top: solid $primary; }
    ListingView Container.wide { layout: horizontal; }
    ListingView Container.wide > RowList { width: 2fr; height: 100%; }
    ListingView Container.wide > TextReader {
        width: 3fr; height: 100%; border-top: none; border-left: solid $primary;
    }
    ListingView > Static { color: $text-muted; height: 1; }
    """
    BINDINGS: ClassVar = [
        Binding("slash", "filter", "Filter"),
        Binding("r", "reload", "List again"),
        Binding("p", "pages", "Page by page", show=False),
        Binding("n", "next", "Next page", show=False),
    ]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.items: list[tuple[str, dict[str, Any]]] = []
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self._paged = False
        self._pages = 0
        self._next: dict[str, str] = {}
        self._of: tuple[Any, ...] = ()
        self._problem: BaseException | None = None

    def compose(self) -> ComposeResult:
        """Called by Textual."""
        name = type(self).title.lower()
        yield Input(placeholder=f"filter {name}", compact=True, id=f"{name}-filter")
        with Container():
            yield RowList(lambda: len(self.seen), lambda at: self.row(*self.seen[at]), id=f"{name}-list")
            yield TextReader(id=f"{name}-detail")
        yield Static(Content(""), id=f"{name}-count")

    def row(self, kind: str, item: dict[str, Any]) -> Row:
        """One in the list."""
        raise NotImplementedError  # each kind of listing says it

    def detail(self, kind: str, item: dict[str, Any]) -> list[Row]:
        """One in full."""
        raise NotImplementedError  # each kind of listing says it

    def choose(self, kind: str, item: dict[str, Any]) -> None:
        """Enter was pressed on one."""
        raise NotImplementedError  # each kind of listing says it

    async def fetched(self, server: InspectedServer, kind: str) -> list[dict[str, Any]]:
        """All of one kind as the server has them now, or its first page."""
        if not self._paged:
            return await server.listed(kind)
        return await self._page(server, kind, None)

    async def _page(self, server: InspectedServer, kind: str, cursor: str | None) -> list[dict[str, Any]]:
        items, following = await server.page(kind, cursor)
        self._pages += 1
        if following is not None:
            self._next[kind] = following
        return items

    @property
    def at_cursor(self) -> tuple[str, dict[str, Any]] | None:
        """What the cursor is on."""
        at = self.query_one(RowList).cursor
        return self.seen[at] if at < len(self.seen) else None

    def draw(self) -> None:
        """Show how it is now; fetches what was not fetched from this connection."""
        server = self.server
        ready = server is not None and server.view.state in ("ready", "renewing")
        of = (self.chosen.server, server.transcript if server is not None else None, ready)
        if of != self._of:
            self._of = of
            self.items = []
            self._problem = None
            if ready:
                self.action_reload()
        self._filtered()

    def stale(self) -> None:
        """The server says that the list is another."""
        self._of = ()
        if self.display:
            self.draw()

    def action_filter(self) -> None:
        """Write into the filter."""
        self.query_one(Input).focus()

    def action_reload(self) -> None:
        """Ask the server again."""
        if self.server is not None:
            self.run_worker(self._load, exclusive=True, group="load")

    def action_pages(self) -> None:
        """One page at a time, or all of them."""
        self._paged = not self._paged
        self.action_reload()

    def action_next(self) -> None:
        """The next page, where there is one."""
        if self.server is not None and self._next:
            self.run_worker(self._load_next(self.server), exclusive=True, group="load")

    async def _load_next(self, server: InspectedServer) -> None:
        kind = next(iter(self._next))
        cursor = self._next.pop(kind)
        try:
            self.items += [(kind, each) for each in await self._page(server, kind, cursor)]
        except Exception as failed:  # noqa: BLE001 - whatever it is: the person sees it, and the view goes on
            self._problem = failed
            self.complain(failed)
        self._filtered()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Another filter."""
        event.stop()
        self._filtered()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter goes to the list."""
        event.stop()
        self.query_one(RowList).focus()

    def on_row_list_row_moved(self, event: RowList.RowMoved) -> None:
        """Another one in full."""
        event.stop()
        self._detailed()

    def on_row_list_row_chosen(self, event: RowList.RowChosen) -> None:
        """Do what one does with it."""
        event.stop()
        found = self.at_cursor
        if found is not None:
            self.choose(*found)

    def on_resize(self, event: events.Resize) -> None:
        """Side by side, where there is room."""
        self.query_one(Container).set_class(event.size.width >= _WIDE, "wide")

    async def _load(self) -> None:
        server = self.server
        found: list[tuple[str, dict[str, Any]]] = []
        problem: BaseException | None = None
        self._pages, self._next = 0, {}
        for kind in self.listings:
            try:
                if server is not None:
                    found += [(kind, each) for each in await self.fetched(server, kind)]
            except Exception as failed:  # noqa: BLE001 - whatever it is: the person sees it, and the view goes on
                problem = failed
        self.items, self._problem = found, problem
        self._filtered()

    def _filtered(self) -> None:
        words = self.query_one(Input).value.lower().split()
        self.seen = [each for each in self.items if all(word in _searched(each[1]) for word in words)]
        self.query_one(RowList).renew()
        of = f"{len(self.seen):,} of " if words else ""
        what = counted(len(self.items), type(self).title.lower().removesuffix("s"))
        self.query_one(Static).update(Content(f" {of}{what}{self._paging()}"))
        self._detailed()

    def _paging(self) -> str:
        """How far a list is that is looked at page by page."""
        if not self._paged or not self._pages:
            return ""
        following = next(iter(self._next.values()), None)
        rest = "the last one" if following is None else f"next cursor (n): {inline(following, 60)}"
        return f"  {counted(self._pages, 'page')}, {rest}"

    def _detailed(self) -> None:
        found = self.at_cursor
        reader = self.query_one(TextReader)
        if found is not None:
            reader.show(self.detail(*found))
        elif self._problem is not None:
            reader.show(error_rows(self._problem))
        elif self.server is None:
            reader.show([[("No server is chosen: 1 shows the servers.", "faint")]])
        else:
            state = self.server.view.state
            text = "" if state == "ready" else f"{self.server.name} is {state}."
            reader.show([[(inline(text), "faint")]])


def _searched(item: dict[str, Any]) -> str:
    return " ".join(
        each
        for each in (
            item.get("name"),
            item.get("title"),
            item.get("uri"),
            item.get("uriTemplate"),
            item.get("description"),
        )
        if isinstance(each, str)
    ).lower()
