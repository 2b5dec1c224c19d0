"""Lists one page at a time, and the order of servers, in the terminal."""

from __future__ import annotations

from terminals import shown, terminal
from test_lists_and_order import connected, paged

from dovetail.testing import served
from dovetail_inspector.views import ServerTarget


async def test_a_list_is_looked_at_page_by_page_and_servers_are_moved(inspection):
    async with served(paged().asgi()) as url:
        await connected(inspection, url)
        inspection.add("other", ServerTarget(url=url))
        async with terminal(inspection) as (app, pilot):
            await pilot.press("3")
            await shown(app, pilot, "5 tools")
            await pilot.press("p")
            await shown(app, pilot, "2 tools", "1 page, next cursor (n): ")
            await pilot.press("n")
            await shown(app, pilot, "4 tools", "tool_3", "2 pages")
            await pilot.press("n")
            await shown(app, pilot, "5 tools", "3 pages, the last one")
            await pilot.press("n", "p")
            text = await shown(app, pilot, "5 tools")
            assert "pages" not in text
            await pilot.press("1", "right_square_bracket")
            assert list(inspection.servers) == ["s2", "s1"]
            assert app.chosen.server == "s1"
            await pilot.press("left_square_bracket")
            assert list(inspection.servers) == ["s1", "s2"]
