"""Which icon of a thing is drawn, of whatever stands in its place."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from test_lists_and_order import connected

from dovetail import App, Icon
from dovetail.testing import served
from dovetail_inspector.icons import icon_of

PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 16).decode()
SVG = "data:image/svg+xml;base64," + base64.b64encode(b"<svg/>").decode()


@pytest.mark.hostile
@pytest.mark.parametrize(
    "icons, at",
    [
        ([{"src": PNG}], 0),
        ([{"src": "https://a.example/a.png"}, {"src": SVG}, {"src": PNG}, {"src": PNG}], 2),
        ([5, None, {"src": 5}, {}, {"src": PNG}], 4),
        ([{"src": SVG}] * 20 + [{"src": PNG}], None),
        ([], None),
        ({"src": PNG}, None),
        (PNG, None),
        (None, None),
    ],
)
def test_r22_the_first_that_may_be_drawn_is_named(icons: Any, at: int | None) -> None:
    assert icon_of({"icons": icons}) == at
    assert icon_of({}) is None


async def test_lists_name_the_icons_of_their_entries_by_place(inspection):
    app = App("dressed", icons=[Icon(src=SVG), Icon(src=PNG)], page_size=2)
    for each in range(4):
        icons = [Icon(src=PNG)] if each in (1, 3) else None
        app.add_tool(lambda: "here", name=f"tool_{each}", description="One.", icons=icons)
    async with served(app.asgi()) as url:
        server = await connected(inspection, url)
        assert inspection.info(server.id).icon == 1
        assert (await inspection.listed(server.id, "tools")).icons == {1: 0, 3: 0}
        first = await inspection.listed_page(server.id, "tools")
        second = await inspection.listed_page(server.id, "tools", first.next_cursor)
        assert (first.icons, second.icons) == ({1: 0}, {1: 0})
