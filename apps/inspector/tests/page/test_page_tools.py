"""Tools in the page: found, filled in, called, cancelled."""

from __future__ import annotations

import base64
import sys

import pytest
from inspected import until
from playwright.async_api import expect
from seeing import SHOWCASE, path

from dovetail_inspector.views import ServerTarget


async def test_a_nested_form_is_filled_in_and_shown_as_json_without_a_loss(
    seen, showcase, inspection, tmp_path
):
    page = seen.page
    photo = tmp_path / "a.png"
    photo.write_bytes(b"\x89PNG of a kind")
    await seen.open(path("s", showcase.view.id, "tools", "order"))
    await page.get_by_label("name required").fill("Ada")
    await seen.button("Add an item").click()
    await page.get_by_label("sku").fill("wrong")
    await expect(page.locator(".field-error").get_by_text("has to look like")).to_be_visible()
    await page.get_by_label("sku").fill("AB-12")
    await page.get_by_label("count").fill("3")
    await seen.button("Add an item").click()
    await page.get_by_label("sku").nth(1).fill("CD-3")
    await seen.button("Move item 2 up").click()
    await expect(page.get_by_label("sku").first).to_have_value("CD-3")
    await page.get_by_label("street").fill("Elm 5")
    await page.get_by_label("Kind of delivery").select_option("Picked up")
    await page.get_by_label("Kind of delivery").select_option("By post")
    await expect(page.get_by_label("street")).to_have_value("Elm 5")
    await page.get_by_label("wrapping").select_option("box")
    await page.get_by_label("fragile").check()
    await page.get_by_label("File for photo").set_input_files(photo)
    await page.get_by_role("group", name="extra").get_by_role("button", name="Add").click()
    await page.get_by_label("Name of a further member").fill("colour")
    await page.get_by_label("Name of a further member").press("Enter")
    await page.get_by_label("colour", exact=True).fill("red")
    await seen.check_access()
    await seen.shoot("form")
    await seen.button("JSON").first.click()
    editor = page.get_by_label("Arguments of order").get_by_role("textbox").or_(page.locator(".cm-content"))
    await expect(editor).to_contain_text("Elm 5")
    await seen.check_access()
    await seen.shoot("json")
    await editor.press("Control+End")
    await editor.press("Backspace")
    await expect(seen.button("Form")).to_be_disabled()
    await expect(seen.button("Call")).to_be_disabled()
    await page.keyboard.type("}")
    await seen.button("Form").click()
    await expect(page.get_by_label("colour", exact=True)).to_have_value("red")
    await seen.button("Call").click()
    result = page.get_by_role("article", name="Call of order")
    await expect(result.get_by_text("fits the tool's schema")).to_be_visible()
    await seen.check_access()
    (call,) = inspection.calls.views
    assert call.params["arguments"] == {
        "customer": {"name": "Ada"},
        "items": [{"count": 1, "sku": "CD-3"}, {"count": 3, "sku": "AB-12"}],
        "delivery": {"kind": "post", "street": "Elm 5"},
        "wrapping": "box",
        "tags": ["fragile"],
        "photo": base64.b64encode(photo.read_bytes()).decode(),
        "extra": {"colour": "red"},
    }


async def test_pictures_sounds_and_links_are_shown(seen, showcase):
    page = seen.page
    await seen.open(path("s", showcase.view.id, "tools", "show"))
    await seen.button("Call").click()
    picture = page.get_by_role("img", name="image/png that the server gave")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 48
    await expect(page.get_by_label("audio/wav that the server gave")).to_be_visible()
    await seen.button("as JSON").click()
    await expect(page.get_by_role("group", name="The text as JSON")).to_be_visible()
    await seen.check_access()
    await seen.shoot("content")
    await seen.button("Read it").click()
    await expect(page.get_by_role("heading", name="What is on today")).to_be_visible()


@pytest.mark.requirement("R2511-CANCELLATION-009", "R2607-CANCELLATION-018")
async def test_progress_is_seen_and_a_call_is_cancelled(seen, showcase, inspection):
    page = seen.page
    await seen.open(path("s", showcase.view.id, "tools", "count"))
    await seen.button("Call").click()
    await expect(page.get_by_text("counted to 5")).to_be_visible()
    await expect(page.get_by_text("at 5")).to_be_visible()
    await seen.button("Start over").click()
    await page.get_by_label("seconds", exact=True).fill("0.05")
    await seen.button("Call").click()
    await expect(page.get_by_role("list", name="Calls of this tool").get_by_role("listitem")).to_have_count(2)
    await seen.check_access()
    await seen.go(path("s", showcase.view.id, "tools", "wait"))
    await seen.button("Call").click()
    panel = page.get_by_role("article", name="Call of wait")
    await expect(panel.get_by_text("running")).to_be_visible()
    await seen.button("Cancel", panel).click()
    await expect(panel.get_by_text("cancelled").first).to_be_visible()
    await until(lambda: inspection.calls.views[-1].state == "cancelled")


async def test_tools_are_searched_and_chosen_by_keyboard_alone(seen, showcase):
    page = seen.page
    await seen.open(path("s", showcase.view.id, "tools"))
    await page.get_by_label("Search tools").fill("model ask")
    options = page.get_by_role("listbox", name="tools").get_by_role("option")
    await expect(options).to_have_count(1)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="think", exact=True)).to_be_visible()
    await page.get_by_label("Search tools").fill("")
    await page.get_by_role("listbox", name="tools").focus()
    await page.keyboard.press("Home")
    await expect(page.get_by_role("heading", name="order", exact=True)).to_be_visible()
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("heading", name="echo", exact=True)).to_be_visible()
    await page.keyboard.press("Control+k")
    await page.keyboard.type("tool sho")
    await seen.check_access()
    await seen.shoot("palette")
    await page.get_by_role("dialog").get_by_text("show", exact=True).click()
    await expect(page.get_by_role("heading", name="show", exact=True)).to_be_visible()
    await seen.shoot("tools")


async def test_a_call_as_a_keyboard_makes_it(seen, showcase, inspection):
    page = seen.page
    await seen.open(path("s", showcase.view.id, "tools", "echo"))
    await page.get_by_label("text", exact=True).fill("from the keyboard")
    await page.keyboard.press("Control+Enter")
    panel = page.get_by_role("article", name="Call of echo")
    await expect(panel.locator(".prose").first).to_have_text("from the keyboard")
    await page.get_by_text("Options").click()
    await page.get_by_label("_meta").fill('{"a.example/x": 1}')
    await seen.button("Call").click()
    await until(lambda: len(inspection.calls.views) == 2 and inspection.calls.views[-1].state == "done")


async def test_a_narrow_window_shows_all(seen, showcase):
    page = seen.page
    await page.set_viewport_size({"width": 320, "height": 640})
    for view in ("info", "tools", "resources", "prompts"):
        await seen.open(path("s", showcase.view.id, view))
        await seen.fits()
        await page.goto("about:blank")
    await seen.open(path("s", showcase.view.id, "tools", "order"))
    await expect(page.get_by_label("name required")).to_be_visible()
    await seen.fits()
    await seen.check_access()
    await seen.shoot("narrow")
    await seen.button("Servers and views").click()
    await page.get_by_role("navigation", name="Servers and captures").get_by_text("Questions").click()
    await expect(page.get_by_text("Nobody asks anything")).to_be_visible()
    await seen.fits()


async def test_ten_thousand_tools_are_scrolled_and_searched(seen, inspection):
    page = seen.page
    server = inspection.add("many", ServerTarget(command=sys.executable, args=[str(SHOWCASE), "10000"]))
    server.connect()
    await server.connected()
    await seen.open(path("s", server.view.id, "tools"))
    tools = page.get_by_role("listbox", name="tools")
    await expect(tools).to_be_visible(timeout=30_000)
    await tools.focus()
    await page.keyboard.press("End")
    last = tools.get_by_role("option", name="tool 9999")
    await expect(last).to_be_in_viewport()
    await expect(last).to_have_attribute("aria-setsize", "10000")
    assert await tools.get_by_role("option").count() < 60
    await page.get_by_label("Search tools").fill("tool_4321")
    await expect(tools.get_by_role("option")).to_have_count(1)
    await seen.check_access()
