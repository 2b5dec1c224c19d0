"""Lists one page at a time, links that fill a form, and the order of servers, in the page."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from playwright.async_api import expect
from seeing import path
from test_lists_and_order import connected, paged

from dovetail.testing import served
from dovetail_inspector.views import ServerTarget


def link(place: str, values: Any) -> str:
    return f"{place}?arguments={quote(values if isinstance(values, str) else json.dumps(values))}"


async def test_a_list_is_looked_at_page_by_page(seen, inspection):
    page = seen.page
    async with served(paged().asgi()) as url:
        server = await connected(inspection, url)
        await seen.open(path("s", server.id, "tools"))
        tools = page.get_by_role("listbox", name="tools").get_by_role("option")
        await expect(tools).to_have_count(5)
        await seen.button("List tools one page at a time").press("Enter")
        await expect(tools).to_have_count(2)
        pages = page.get_by_role("group", name="Pages")
        await expect(pages).to_contain_text("1 page")
        await expect(pages.locator(".mono")).not_to_be_empty()
        await seen.check_access()
        await seen.shoot("pages")
        await seen.button("Next page").click()
        await expect(tools).to_have_count(4)
        await expect(tools.filter(has_text="tool_3").get_by_text("note")).to_be_visible()
        await expect(tools.filter(has_text="tool_2").get_by_text("note")).to_have_count(0)
        await seen.button("Next page").click()
        await expect(tools).to_have_count(5)
        await expect(pages).to_contain_text("3 pages")
        await expect(pages).to_contain_text("that is all")
        await page.set_viewport_size({"width": 320, "height": 640})
        await seen.fits()
        await seen.button("List tools one page at a time").click()
        await expect(pages).to_have_count(0)


async def test_v55_a_link_fills_a_form_and_calls_nothing(seen, inspection, showcase):
    page = seen.page
    await seen.open(link(path("s", showcase.id, "tools", "echo"), {"text": "from a link"}))
    await expect(page.get_by_text("A link filled this form.")).to_be_visible()
    await expect(page.get_by_label("text", exact=True)).to_have_value("from a link")
    await seen.check_access()
    assert "arguments" not in await page.evaluate("location.hash")
    await seen.go(link(path("s", showcase.id, "tools", "echo"), {"text": "another"}))
    await expect(page.get_by_label("text", exact=True)).to_have_value("another")
    await seen.go(link(path("s", showcase.id, "tools", "echo"), "[1]"))
    await expect(page.get_by_role("alert")).to_contain_text("no object")
    await expect(page.get_by_label("text", exact=True)).to_have_value("another")
    await seen.go(link(path("s", showcase.id, "prompts", "explain"), {"topic": "boats"}))
    await expect(page.get_by_label("topic")).to_have_value("boats")
    assert [each for each in inspection.calls.views if each.kind in ("tool", "prompt")] == []
    await expect(
        page.get_by_role("button", name="Copy a link to this form as it is filled in")
    ).to_be_visible()


async def test_servers_are_put_in_order(seen, inspection):
    page = seen.page
    for name in ("one", "two"):
        inspection.add(name, ServerTarget(url="http://127.0.0.1:1/mcp"))
    await seen.open("/")
    cards = page.locator(".servers article")
    await expect(cards.nth(0)).to_have_attribute("aria-label", "one")
    await expect(seen.button("Move up", cards.nth(0))).to_be_disabled()
    await seen.button("Move up", cards.nth(1)).press("Enter")
    await expect(cards.nth(0)).to_have_attribute("aria-label", "two")
    assert list(inspection.servers) == ["s2", "s1"]
    names = page.get_by_role("navigation", name="Servers and captures").locator(".nav-item")
    await expect(names.filter(has_text="one")).to_be_visible()
    await page.reload()
    await expect(cards.nth(0)).to_have_attribute("aria-label", "two")
    await seen.check_access()
