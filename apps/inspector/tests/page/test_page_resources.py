"""Resources and prompts in the page: read, watched, completed, rendered."""

from __future__ import annotations

from playwright.async_api import expect
from seeing import path


async def test_a_resource_is_read_and_watched(seen, showcase):
    page = seen.page
    await seen.open(path("s", showcase.view.id, "resources"))
    await page.get_by_role("option", name="What is on today").click()
    await seen.button("Read").click()
    panel = page.get_by_role("article", name="Call of note://today")
    await expect(panel.get_by_text("nothing yet")).to_be_visible()
    await seen.button("Subscribe").click()
    await expect(seen.button("Subscribed")).to_be_visible()
    await seen.check_access()
    await seen.shoot("resource")
    await showcase.client.call_tool("change", {"text": "something new"})
    await expect(panel.get_by_text("something new")).to_be_visible()
    await expect(page.get_by_text("changed once")).to_be_visible()
    await seen.button("Subscribed").click()
    await expect(seen.button("Subscribe")).to_be_visible()
    await seen.button("Subscribe").click()
    await expect(seen.button("Subscribed")).to_be_visible()
    showcase.connect()  # another session knows nothing of what was subscribed to in this one
    await showcase.connected()
    await expect(seen.button("Subscribe")).to_be_visible()


async def test_a_picture_that_is_a_resource_is_shown(seen, showcase):
    page = seen.page
    await seen.open(path("s", showcase.view.id, "resources", "picture://small"))
    await seen.button("Read").click()
    await expect(page.get_by_role("img", name="image/png that the server gave")).to_be_visible()


async def test_a_template_is_filled_in_with_completions(seen, showcase):
    page = seen.page
    await seen.open(path("s", showcase.view.id, "resources"))
    await seen.button("Templates").click()
    await page.get_by_role("option", name="doc://{folder}/{name}").click()
    await page.get_by_label("folder").fill("let")
    await expect(page.locator("datalist option[value=letters]")).to_have_count(1)
    await page.get_by_label("folder").fill("letters")
    await page.get_by_label("name").fill("a")
    await expect(page.locator("datalist option[value=ann]")).to_have_count(1)
    await page.get_by_label("name").fill("ann/é")
    await expect(page.get_by_label("The address that is read")).to_have_text("doc://letters/ann%2F%C3%A9")
    await page.get_by_label("name").fill("ann")
    await seen.check_access()
    await seen.shoot("template")
    await seen.button("Read").click()
    await expect(page.get_by_text("ann of letters")).to_be_visible()


async def test_a_prompt_is_filled_in_and_rendered(seen, showcase):
    page = seen.page
    await seen.open(path("s", showcase.view.id, "prompts", "explain"))
    await page.get_by_label("topic").fill("boats")
    await page.get_by_label("tone").fill("p")
    await expect(page.locator("datalist option")).to_have_count(3)
    await page.get_by_label("tone").fill("pirate")
    await seen.button("Get").click()
    await expect(page.get_by_text("Explain boats in a pirate tone.")).to_be_visible()
    await expect(page.get_by_role("img", name="image/png that the server gave")).to_be_visible()
    await seen.check_access()
    await seen.shoot("prompt")
