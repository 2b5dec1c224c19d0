"""What a connected server says of itself.

Specification: basic/lifecycle; 2026-07-28 server/discover.
"""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding

from ..views import CardView
from .card import card_rows
from .reader import TextReader
from .text import Row, block, inline, json_rows
from .view import SHOWN_ERRORS, InspectorView, error_rows

__all__ = ["ServerInfoView"]


class ServerInfoView(InspectorView):
    """Server info, capabilities, instructions, what was put up with, and the card of the server."""

    title = "Info"
    news = frozenset({"server", "server-removed"})
    BINDINGS: ClassVar = [Binding("c", "card", "Server card")]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._card: tuple[str, CardView] | None = None

    def compose(self) -> ComposeResult:
        """Called by Textual."""
        yield TextReader(id="info-text")

    def draw(self) -> None:
        """Show how it is now."""
        self.query_one(TextReader).show(self._rows(), stay=True)

    def action_card(self) -> None:
        """Get the card of the server."""
        if self.server is not None:
            self.run_worker(self._get_card(self.server.id), exclusive=True, group="card")

    async def _get_card(self, server: str) -> None:
        try:
            self._card = server, await self.inspection.card(server)
        except SHOWN_ERRORS as problem:
            self.complain(problem)
        else:
            self.draw()

    def _rows(self) -> list[Row]:
        rows = self._info_rows()
        if self._card is not None and self._card[0] == self.chosen.server:
            rows += card_rows(self._card[1])
        return rows

    def _info_rows(self) -> list[Row]:
        server = self.server
        if server is None:
            return [[("No server is chosen: 1 shows the servers.", "faint")]]
        try:
            info = self.inspection.info(server.id)
        except SHOWN_ERRORS as problem:
            view = server.view
            return error_rows(view.error if view.error is not None else problem)
        rows: list[Row] = [
            [
                ("revision      ", "key"),
                (inline(info.revision), "accent"),
                (f"  ({inline(info.era)})", "faint"),
            ]
        ]
        for warning in info.warnings:
            rows += [[("put up with   ", "warning")], *block(warning, "warning")]
        if info.instructions:
            rows += [[], [("Instructions", "title")], *block(info.instructions)]
        rows += [[], [("Server", "title")], *json_rows(info.server_info)]
        return [*rows, [], [("Capabilities", "title")], *json_rows(info.capabilities)]
