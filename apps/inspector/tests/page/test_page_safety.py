"""A hostile server in the page: nothing of it runs, nothing is loaded, and the page lives."""

from __future__ import annotations

from playwright.async_api import expect
from seeing import path


async def test_what_a_server_says_stays_text(seen, showcase):
    page = seen.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await seen.open(path("s", showcase.view.id, "tools", "hostile"))
    await seen.button("Call").click()
    panel = page.get_by_role("article", name="Call of hostile")
    await expect(panel.get_by_text("<script>window.ran = 1</script>").first).to_be_visible()
    await expect(panel.get_by_text("⟨U+202E⟩").first).to_be_visible()
    await expect(panel.get_by_text("image/svg+xml")).to_be_visible()
    assert await panel.locator("img, svg:not(.icon), script, iframe, object, embed").count() == 0
    links = await page.locator("a[href]").evaluate_all("links => links.map(each => each.href)")
    assert all(each.startswith(("http://", "https://", "blob:")) for each in links)
    await page.get_by_text("Definition as it came").click()
    await seen.check_access()
    await seen.shoot("hostile")
    assert await seen.ran() is None
    assert all(each.startswith((seen.address, "blob:")) for each in asked)


async def test_no_script_of_a_page_runs_but_its_own(seen, showcase):
    await seen.open(path("s", showcase.view.id, "info"))
    await seen.page.evaluate(
        """() => {
            const made = document.createElement("script");
            made.textContent = "window.ran = 1";
            document.body.append(made);
            const button = document.createElement("button");
            button.setAttribute("onclick", "window.ran = 2");
            document.body.append(button);
            button.click();
            const image = document.createElement("img");
            image.src = "http://192.0.2.1/x.png";
            document.body.append(image);
        }"""
    )
    assert await seen.ran() is None
    await seen.page.wait_for_function("() => true")
    assert len(seen.wrong) >= 2
    assert all("Content Security Policy" in each or "policy" in each for each in seen.wrong)
    seen.wrong.clear()
