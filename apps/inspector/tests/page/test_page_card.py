"""The card of a server, beside what the server says, in the page."""

from __future__ import annotations

from carded import card_of, carded
from playwright.async_api import expect
from seeing import path

from dovetail_inspector.views import ServerTarget


async def test_the_page_holds_a_card_against_the_server(seen, inspection):
    page = seen.page
    async with carded() as weather:
        weather.write(card_of(weather.url, version="1.3.0", title="<b>Rain</b>\u202e", description=None))
        server = inspection.add("weather", ServerTarget(url=weather.url))
        server.connect()
        await server.connected()
        await seen.open(path("s", server.id, "info"))
        part = page.get_by_role("region", name="Server card")
        await expect(part.get_by_role("table")).to_have_count(0)
        assert weather.asked == []
        await part.get_by_role("textbox").press("Enter")
        table = part.get_by_role("table", name="The card beside the server")
        version = table.get_by_role("row", name="version 1.3.0")
        await expect(version).to_contain_text("1.3.0")
        await expect(version).to_contain_text("1.2.0")
        await expect(version.get_by_text("differs", exact=True)).to_be_visible()
        await expect(table.get_by_role("row", name="title")).to_contain_text("<b>Rain</b>⟨U+202E⟩")
        await expect(table.get_by_role("row", name="description")).to_contain_text("the card says nothing")
        await expect(part.get_by_text("card-schema")).to_be_visible()
        await expect(part.get_by_text("card-hidden")).to_be_visible()
        await seen.check_access()
        await seen.shoot("card")
        await page.set_viewport_size({"width": 320, "height": 640})
        await seen.fits()
        weather.status = 404
        await part.get_by_role("textbox").fill(f"{weather.url}/else/server-card")
        await seen.button("Get it again").click()
        await expect(part.get_by_text("none there")).to_be_visible()
        await expect(part.get_by_text("/else/server-card")).to_be_visible()
        await seen.check_access()


async def test_the_page_says_that_a_server_that_is_started_has_no_card(seen, showcase):
    await seen.open(path("s", showcase.id, "info"))
    part = seen.page.get_by_role("region", name="Server card")
    await expect(part).to_contain_text("A server that is started here has none")
    await expect(part.get_by_role("button")).to_have_count(0)
