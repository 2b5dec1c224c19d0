"""Logging in, seen step by step: a real server behind a real authorization server, and the person's browser."""

from __future__ import annotations

from typing import Any

from playwright.async_api import expect
from seeing import path
from test_web_logins import protected

from dovetail_inspector.views import ConnectionSettings, ServerTarget


def step(seen: Any, title: str) -> Any:
    """The step with a title."""
    return seen.page.locator(".login-step").filter(has_text=title)


async def agree(seen: Any) -> None:
    """Open the address that the question names, and allow what the authorization server asks for there."""
    card = seen.page.get_by_role("article", name="The server wants you to log in")
    async with seen.page.context.expect_page() as opened:
        await card.get_by_role("button", name="Open 127.0.0.1").click()
    popup = await opened.value
    await popup.get_by_role("button", name="Allow").click()
    await expect(popup.get_by_text("signed in")).to_be_visible()
    await popup.close()


async def test_a_login_is_stepped_through_to_its_end(seen, inspection):
    page = seen.page
    async with protected() as (url, _):
        settings = ConnectionSettings(step_login=True)
        server = inspection.add("notes", ServerTarget(url=url), settings)
        await seen.open(path("s", server.id, "login"))
        await expect(page.get_by_role("heading", name="Nobody has logged in yet")).to_be_visible()
        await seen.check_access()
        await seen.button("Log in", page.get_by_role("group", name="The login")).click()
        await expect(page.get_by_text("a step waits for you")).to_be_visible()
        refused = step(seen, "The server refuses")
        await expect(refused.get_by_text("waits", exact=True)).to_be_visible()
        await expect(refused.get_by_text("HTTP 401", exact=True)).to_be_visible()
        await refused.get_by_text("Headers of the answer").click()
        await expect(refused.get_by_role("row").filter(has_text="www-authenticate")).to_be_visible()
        await seen.check_access()
        await seen.button("Go on").click()
        metadata = step(seen, "Metadata of the server")
        await expect(metadata.get_by_text("waits", exact=True)).to_be_visible()
        await expect(metadata.get_by_role("group", name="Answer").get_by_text("resource:")).to_be_visible()
        await expect(refused.get_by_role("button", expanded=False)).to_be_visible()
        await seen.check_access()
        await seen.shoot("login-step")
        assert inspection.questions.views == []
        await page.get_by_role("link", name="Login waits").wait_for()
        await seen.button("Run to the end").click()
        await expect(page.get_by_role("article", name="The server wants you to log in")).to_be_visible()
        await seen.check_access()
        await seen.shoot("login-question")
        await agree(seen)
        await expect(page.locator(".pane-head").get_by_text("connected")).to_be_visible()
        await expect(step(seen, "Tokens are kept").get_by_text("done", exact=True)).to_be_visible()
        steps = server.logins.view.steps
        assert [each.kind for each in steps][-2:] == ["token", "kept"]
        await expect(page.locator(".login-step")).to_have_count(len(steps))
        token = page.locator(".login-step").nth(len(steps) - 2)
        await token.get_by_role("button", expanded=False).click()
        await expect(
            token.get_by_role("group", name="What was sent: Token").get_by_text("grant_type")
        ).to_be_visible()
        await expect(token.locator(".login-whole code").first).to_have_text(steps[-2].requirement)
        await seen.check_access()
        await seen.shoot("login")
        await page.set_viewport_size({"width": 320, "height": 640})
        await seen.fits()
        await seen.check_access()


async def test_a_login_that_is_refused_says_what_to_do_and_is_begun_anew(seen, inspection):
    page = seen.page
    async with protected() as (url, _):
        server = inspection.add("notes", ServerTarget(url=url))
        server.connect()
        await seen.open(path("s", server.id, "tools"))
        await page.locator(".notice").get_by_role("button", name="Answer").click()
        await seen.button("Decline").click()
        await server.connected()
        assert server.view.state == "login"
        await seen.go(path("s", server.id, "tools"))
        await expect(page.get_by_role("heading", name="The server wants to know who you are")).to_be_visible()
        await seen.check_access()
        await seen.shoot("login-needed")
        await seen.button("The login, step by step").click()
        await expect(page.get_by_role("alert")).to_contain_text("the login was declined")
        failed = step(seen, "The login ended")
        await expect(failed.locator(".note-box")).to_contain_text("log in once more")
        await seen.check_access()
        await seen.shoot("login-failed")
        await page.get_by_label(
            "Stop at each step"
        ).click()  # not check(): it is, once the Inspector has said so
        await expect(page.get_by_label("Stop at each step")).to_be_checked()
        assert server.settings.step_login
        before = len(server.logins.view.steps)
        assert before
        await seen.button("Log in anew").click()
        await expect(page.get_by_text("a step waits for you")).to_be_visible()
        await expect(page.locator(".login-step")).to_have_count(1)
        await seen.button("Refuse").click()
        await expect(page.locator(".pane-head").get_by_text("not connected")).to_be_visible()
        await expect(page.get_by_text("a step waits for you")).to_be_hidden()
        await seen.button("Forget it").click()
        await expect(page.get_by_role("heading", name="Nobody has logged in yet")).to_be_visible()


async def test_a_server_that_is_started_has_no_login(seen, showcase):
    page = seen.page
    await seen.open(path("s", showcase.view.id, "info"))
    views = page.get_by_role("navigation", name="Views")
    await expect(views.get_by_role("link", name="Tools")).to_be_visible()
    await expect(views.get_by_role("link", name="Login")).to_have_count(0)
