"""What a connected server says of itself.

Specification: basic/lifecycle; 2026-07-28 server/discover.
"""

from __future__ import annotations

from textual.app import ComposeResult

from .reader import TextReader
from .text import Row, block, inline, json_rows
from .view import SHOWN_ERRORS, InspectorView, error_rows

__all__ = ["ServerInfoView"]


class ServerInfoView(InspectorView):
    """Server info, capabilities, instructions, and what was put up with."""

    title = "Info"
    news = frozenset({"server", "server-removed"})

    def compose(self) -> ComposeResult:
        """Called by Textual."""
        yield TextReader(id="info-text")

    def draw(self) -> None:
        """Show how it is now."""
        self.query_one(TextReader).show(self._rows(), stay=True)

    def _rows(self) -> list[Row]:
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
