"""The person's part in the page: forms, addresses, the model's answers, rounds step by step."""

from __future__ import annotations

import sys

import pytest
from inspected import until
from playwright.async_api import expect
from seeing import SHOWCASE, path

from dovetail_inspector.views import ConnectionSettings, ServerTarget


async def test_a_form_is_answered_beside_its_call(seen, showcase, inspection):
    page = seen.page
    await seen.open(path("s", showcase.view.id, "tools", "greet"))
    await seen.button("Call").click()
    card = page.get_by_role("article", name="The server asks you")
    await expect(card.get_by_text("Who are you?")).to_be_visible()
    await card.get_by_label("Your name").fill("Ada")
    await card.get_by_label("mood").select_option("tired")
    await seen.check_access()
    await seen.shoot("question")
    await seen.button("Answer", card).click()
    await expect(page.get_by_text("hello {'mood': 'tired', 'name': 'Ada'}")).to_be_visible()
    assert not inspection.questions.views


async def test_a_question_is_declined_among_all(seen, showcase, inspection):
    page = seen.page
    await seen.open(path("s", showcase.view.id, "tools", "greet"))
    await seen.button("Call").click()
    await page.locator(".notice").get_by_role("button", name="Answer").click()
    await expect(page.get_by_role("heading", name="What servers ask")).to_be_visible()
    await seen.check_access()
    await seen.button("Decline").click()
    await expect(page.get_by_text("Nobody asks anything")).to_be_visible()
    await until(lambda: inspection.calls.views[-1].state != "running")


async def test_the_model_is_played_by_hand(seen, showcase):
    page = seen.page
    await seen.open(path("s", showcase.view.id, "tools", "think"))
    await seen.button("Call").click()
    card = page.get_by_role("article", name="The server asks your model")
    await expect(card.get_by_text("A word about boats?")).to_be_visible()
    await card.get_by_label("text required").fill("afloat")
    await seen.check_access()
    await seen.shoot("sampling")
    await seen.button("Answer", card).click()
    await expect(page.get_by_text("the model says afloat")).to_be_visible()


#: What the page gets of what it opens, kept where the test can look.
KEEPS_WHAT_OPENS = """() => {
    const real = window.open.bind(window);
    window.given = [];
    window.open = (...how) => { const got = real(...how); window.given.push(got === null); return got; };
}"""


@pytest.mark.requirement("R2511-ELICITATION-049", "R2607-ELICITATION-038")
async def test_r123_an_address_is_opened_only_when_it_was_looked_at(seen, showcase):
    """Nothing of it is asked for before; then it opens where neither side can look at the other."""
    page = seen.page
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    await seen.open(path("s", showcase.view.id, "tools", "enter"))
    await seen.button("Call").click()
    card = page.get_by_role("article", name="The server wants you to visit an address")
    await expect(card.locator(".address strong")).to_have_text("xn--pple-43d.example")
    await expect(card.get_by_text("letters of other alphabets")).to_be_visible()
    assert len(page.context.pages) == 1
    await seen.check_access()
    await seen.shoot("visit")
    assert [each for each in asked if not each.startswith((seen.address, "blob:"))] == []
    ahead = "link[rel=prefetch], link[rel=prerender], link[rel=preconnect], link[rel=dns-prefetch], iframe"
    assert await page.locator(ahead).count() == 0
    await page.evaluate(KEEPS_WHAT_OPENS)
    await page.context.route("**/sign-in*", lambda route: route.fulfill(body="a page of somebody else's"))
    async with page.context.expect_page() as opened:
        await card.get_by_role("button", name="Open").click()
    there = await opened.value
    await there.wait_for_load_state()
    assert await there.evaluate("[window.opener, document.referrer]") == [None, ""]
    assert await page.evaluate("window.given") == [True], "the page has no hold of the window"
    await expect(page.get_by_text("entered")).to_be_visible()


async def test_rounds_are_gone_through_step_by_step(seen, inspection):
    page = seen.page
    target = ServerTarget(command=sys.executable, args=[str(SHOWCASE)])
    server = inspection.add("stepped", target, ConnectionSettings(step_rounds=True))
    server.connect()
    await server.connected()
    await seen.open(path("s", server.view.id, "tools", "greet"))
    await seen.button("Call").click()
    card = page.get_by_role("article", name="The server needs more before it answers")
    await expect(card.get_by_text("round 1")).to_be_visible()
    await card.get_by_label("Your name").fill("Bea")
    await seen.check_access()
    await seen.shoot("round")
    await seen.button("Go on with these", card).click()
    await expect(page.get_by_text("hello {'mood': 'fine', 'name': 'Bea'}")).to_be_visible()
