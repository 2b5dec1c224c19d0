"""Where the page begins, and what is seen of a call that was just made."""

from __future__ import annotations

from playwright.async_api import expect
from seeing import path


async def test_with_one_server_it_begins_with_its_tools(seen, showcase) -> None:
    await seen.page.goto(f"{seen.address}/#token={seen.access.token}")
    await expect(seen.page.get_by_role("listbox", name="tools")).to_be_visible()
    await expect(seen.page).to_have_url(f"{seen.address}/#{path('s', showcase.view.id, 'tools')}")


async def test_with_none_it_begins_with_the_servers(seen) -> None:
    await seen.page.goto(f"{seen.address}/#token={seen.access.token}")
    await expect(seen.page.get_by_role("heading", name="Servers").first).to_be_visible()


async def test_what_becomes_of_a_call_is_scrolled_to(seen, showcase) -> None:
    await seen.page.set_viewport_size({"width": 1000, "height": 420})
    await seen.open(path("s", showcase.view.id, "tools", "order"))
    called = seen.page.get_by_role("article", name="Call of greet")
    await seen.go(path("s", showcase.view.id, "tools", "greet"))
    await seen.button("Call").click()
    await expect(called.get_by_label("Your name")).to_be_in_viewport()
