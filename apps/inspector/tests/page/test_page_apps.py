"""Views of apps in the page: opened for a call, told of it, served, and shown with all that passes."""

from __future__ import annotations

import sys
from pathlib import Path

import app_server
import pytest
from inspected import until
from playwright.async_api import FrameLocator, Locator, expect
from seeing import Seen, path

from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.server import InspectedServer
from dovetail_inspector.views import ConnectionSettings, ServerTarget


@pytest.fixture
async def tower(inspection: Inspection) -> InspectedServer:
    """The server with a view, connected."""
    place = str(Path(app_server.__file__))
    server = inspection.add("tower", ServerTarget(command=sys.executable, args=[place]))
    server.connect()
    await server.connected()
    assert server.view.state == "ready", server.view.error
    return server


def view_in(seen: Seen) -> FrameLocator:
    """The document of the view that is seen."""
    return seen.page.frame_locator("iframe.app-frame").frame_locator("iframe")


def panel(seen: Seen, tool: str = "clock") -> Locator:
    """The view with what is said of it."""
    return seen.page.get_by_role("dialog", name=f"View of {tool}")


async def opened(seen: Seen, server: InspectedServer, tool: str = "clock") -> FrameLocator:
    """Call a tool in the page; its view opens by itself."""
    await seen.open(path("s", server.id, "tools", tool))
    await seen.button("Call").click()
    view = view_in(seen)
    await expect(view.locator("#mode")).to_have_text("mode inline")
    return view


async def said(seen: Seen, view: FrameLocator, button: str, text: str) -> None:
    """Press a button of the view, and see what it was answered."""
    await view.get_by_role("button", name=button, exact=True).click()
    await expect(view.locator("#said")).to_contain_text(text)


async def test_a_call_shows_its_view_with_what_passes_beside_it(seen, tower):
    view = await opened(seen, tower)
    await expect(view.locator("#input")).to_have_text('input {"city":"Oslo"}')
    await expect(view.locator("#result")).to_have_text("result noon in Oslo")
    shown = panel(seen)
    passed = shown.get_by_role("list", name="Messages, oldest first").get_by_role("listitem")
    wanted = (
        "ui/notifications/sandbox-proxy-ready",
        "ui/notifications/sandbox-resource-ready",
        "ui/initialize",
        "result",
        "ui/notifications/initialized",
        "ui/notifications/tool-input",
        "ui/notifications/tool-result",
    )
    for at, method in enumerate(wanted):
        await expect(passed.nth(at)).to_contain_text(method)
    await passed.nth(2).get_by_role("button").first.click()
    await expect(passed.nth(2)).to_contain_text('"2026-01-26"')
    await passed.nth(1).get_by_role("button").first.click()
    await expect(passed.nth(1)).to_contain_text("connectDomains")
    await expect(shown).to_contain_text("'; script-src *")
    await expect(shown).to_contain_text(f"connect-src {app_server.CONNECT}")
    frame = seen.page.locator("iframe.app-frame")
    assert await frame.get_attribute("sandbox") == "allow-scripts allow-same-origin allow-forms"
    assert await frame.get_attribute("allow") == "clipboard-write"
    await expect(frame).to_have_css("height", "418px")  # what the view said, within its border
    await seen.check_access()
    await seen.fits()
    await seen.shoot("app")


async def test_what_a_view_asks_for(seen, tower, inspection):
    view = await opened(seen, tower)
    await view.get_by_role("button", name="Refresh").click()
    card = seen.page.get_by_role("article", name="A view wants to call a tool")
    await expect(card).to_contain_text("refresh")
    await seen.button("Decline", card).click()
    await expect(view.locator("#said")).to_have_text("error -32000: Tool call denied by user")
    await view.get_by_role("button", name="Refresh").click()
    await seen.check_access()
    await seen.button("Allow all of this view", card).click()
    await expect(view.locator("#said")).to_contain_text("13 o'clock")
    await said(seen, view, "Call a tool that is not for views", "error -32000")
    await said(seen, view, "Ask for nonsense", "error -32601")
    await said(seen, view, "Open a bad link", "Invalid URL")
    await said(seen, view, "Read a resource", "twelve numbers")
    await said(seen, view, "List", '["clock","sleepy","lost","refresh","wind"]')
    await said(seen, view, "Say something", "{}")
    await said(seen, view, "Tell the model", "{}")
    await expect(panel(seen).get_by_role("group", name="Context for a model")).to_contain_text("hour")
    await view.get_by_role("textbox", name="Typed").fill("noon")
    await said(seen, view, "Send", "typed noon")
    assert [each.name for each in inspection.calls.views] == [
        "clock",
        "ui://clock/face",
        "refresh",
        "clock://face",
    ]


async def test_an_address_is_opened_by_the_person_alone(seen, tower):
    view = await opened(seen, tower)
    opened_pages: list[str] = []
    await seen.page.context.route("https://clock.example/**", lambda route: route.fulfill(body="the clock"))
    seen.page.context.on("page", lambda page: opened_pages.append(page.url))
    await view.get_by_role("button", name="Open a link").click()
    card = seen.page.get_by_role("article", name="A view wants to open an address")
    await expect(card).to_contain_text("https://clock.example/now")
    assert opened_pages == []
    async with seen.page.context.expect_page() as waited:
        await seen.button("Open clock.example", card).click()
    other = await waited.value
    await other.wait_for_url("https://clock.example/now")
    assert await other.evaluate("window.opener") is None
    await expect(view.locator("#said")).to_have_text("{}")
    await other.close()


async def test_a_view_is_maximized_by_either_and_comes_back_as_it_was(seen, tower):
    view = await opened(seen, tower)
    await view.get_by_role("textbox", name="Typed").fill("kept")
    shown = panel(seen)
    await said(seen, view, "Take all of it", '{"mode":"fullscreen"}')
    await expect(view.locator("#mode")).to_have_text("mode fullscreen")
    await expect(seen.button("Back to the page", shown)).to_be_visible()
    box = await shown.bounding_box()
    assert box is not None
    assert (box["x"], box["y"], box["width"]) == (0, 0, 1180)
    await view.get_by_role("button", name="Refresh").click()
    await seen.button("Allow", shown.get_by_role("article", name="A view wants to call a tool")).click()
    await expect(view.locator("#said")).to_contain_text("13 o'clock")
    await seen.check_access()
    await seen.shoot("app-maximized")
    await seen.button("Messages", shown).focus()
    await seen.page.keyboard.press("Escape")
    await expect(view.locator("#mode")).to_have_text("mode inline")
    await expect(view.get_by_role("textbox", name="Typed")).to_have_value("kept")
    await seen.button("Maximize", shown).click()
    await expect(view.locator("#mode")).to_have_text("mode fullscreen")
    await seen.button("Back to the page", shown).click()
    await expect(view.locator("#mode")).to_have_text("mode inline")


async def test_a_view_hears_of_light_and_dark(seen, tower):
    await seen.page.emulate_media(color_scheme="light")
    view = await opened(seen, tower)
    await expect(view.locator("#theme")).to_have_text("theme light")
    await seen.page.emulate_media(color_scheme="dark")
    await expect(view.locator("#theme")).to_have_text("theme dark")
    await seen.button("As the system").click()
    await expect(view.locator("#theme")).to_have_text("theme light")


async def test_a_view_is_opened_while_its_call_goes_on(seen, tower):
    view = await opened(seen, tower, "sleepy")
    await expect(view.locator("#input")).to_have_text("input {}")
    await expect(view.locator("#result")).to_have_text("")
    await seen.button("Cancel", seen.page.get_by_role("article", name="Call of sleepy")).click()
    await expect(view.locator("#result")).to_have_text("cancelled: the call was cancelled")


async def test_a_view_is_closed_opened_and_loaded_anew(seen, tower, inspection):
    view = await opened(seen, tower)
    shown = panel(seen)
    await seen.button("Close view", shown).click()
    await expect(shown).to_contain_text("The view is closed: the person closed it.")
    await expect(shown.get_by_role("list", name="Messages, oldest first")).to_contain_text(
        "ui/resource-teardown"
    )
    await expect(shown.get_by_role("list", name="Messages, oldest first")).to_contain_text(
        "notifications/message"
    )
    await seen.button("Reload view", shown).click()
    await expect(view.locator("#result")).to_have_text("result noon in Oslo")
    await view.get_by_role("button", name="Leave").click()
    await expect(shown).to_contain_text("the view asked for it")
    await seen.button("Put away", shown).click()
    await expect(shown).to_have_count(0)
    await seen.button("Open its view").click()
    await expect(view.locator("#result")).to_have_text("result noon in Oslo")
    assert len(inspection.calls.views) == 4  # the tool once, and the document for each time


async def test_a_view_that_is_left_has_its_last_words(seen, tower, inspection):
    await opened(seen, tower)
    await seen.go(path("s", tower.id, "info"))
    await expect(seen.page.get_by_role("heading", name="tower").first).to_be_visible()
    view = inspection.apps.view("a1")
    assert view.state in ("running", "closing", "closed")
    await until(lambda: inspection.apps.view("a1").state == "closed")
    methods = [
        inspection.apps.message("a1", n).method for n in range(1, inspection.apps._all["a1"].count + 1)
    ]
    words = [
        each for each in methods if each != "ui/notifications/size-changed"
    ]  # sizes change when they will
    assert words[-3:] == ["ui/resource-teardown", "notifications/message", ""]
    await expect(seen.page.locator("iframe")).to_have_count(0)


async def test_a_call_of_a_view_may_take_its_time_and_be_stopped(seen, tower, inspection):
    tower.change(settings=ConnectionSettings(ask_app_calls=False))
    view = await opened(seen, tower)
    await view.get_by_role("button", name="Call slowly").click()
    await expect(view.locator("#lists")).to_have_text("step 1")
    await view.get_by_role("button", name="Stop that").click()
    await until(lambda: inspection.calls.views[-1].state == "cancelled")


async def test_a_view_that_is_not_there_says_so(seen, tower):
    await seen.open(path("s", tower.id, "tools", "lost"))
    await seen.button("Call").click()
    await expect(panel(seen, "lost")).to_contain_text("the view ui://clock/gone can't be read")
    await expect(seen.page.locator("iframe")).to_have_count(0)
    await seen.check_access()
    (said,) = seen.wrong
    assert "status of 400" in said  # the browser's own word on an answer that is an error
    assert "/apps" in said
    seen.wrong.clear()


async def test_a_view_ends_with_its_server(seen, tower):
    await opened(seen, tower)
    await tower.disconnect()
    await expect(seen.page.locator("iframe")).to_have_count(0)


async def test_tools_say_that_they_have_a_view(seen, tower):
    await seen.open(path("s", tower.id, "tools"))
    for name, badges in (("clock", "view"), ("sleepy", "view"), ("refresh", "for views")):
        row = seen.page.get_by_role("option", name=name).or_(seen.page.get_by_role("button", name=name)).first
        await expect(row).to_contain_text(badges)
    await expect(seen.page.locator("iframe")).to_have_count(0)
