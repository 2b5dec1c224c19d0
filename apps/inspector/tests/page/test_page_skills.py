"""Skills in the page: listed, read and checked; nothing of them is run."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect
from seeing import path
from skilled import GIT, PDF, Skilled, entry_of

from dovetail.testing import served
from dovetail_inspector.views import ServerTarget

pytestmark = pytest.mark.vendor_methods("skills/list", "skills/get", "resources/directory/read")


async def connected(inspection: Any, url: str) -> Any:
    server = inspection.add("skilled", ServerTarget(url=url))
    server.connect()
    await server.connected()
    return server


async def test_a_skill_is_chosen_read_and_checked(seen, inspection):
    page = seen.page
    skilled = Skilled()
    skilled.files[GIT] += "<img src=x onerror='window.ran = 1'>\u202e\u3164\n"
    skilled.skills[0] = entry_of(skilled.files, GIT, skilled.skills[0]["frontmatter"])
    async with served(skilled.app.asgi()) as url:
        server = await connected(inspection, url)
        await seen.open(path("s", server.id, "info"))
        await page.get_by_role("link", name="Skills").click()
        await seen.check_access()
        await page.get_by_role("listbox", name="skills").get_by_role("option", name="git-workflow").click()
        assert skilled.read == []
        await seen.button("Read SKILL.md").press("Enter")
        file = page.get_by_role("article", name=f"File {GIT}")
        await expect(file.get_by_text("frontmatter: passed")).to_be_visible()
        await expect(file.get_by_label("Text of the file")).to_contain_text(
            "<img src=x onerror='window.ran = 1'>⟨U+202E⟩⟨U+3164⟩"
        )
        await expect(file.get_by_text("2 hidden characters (U+202E, U+3164)")).to_be_visible()
        assert await seen.ran() is None
        await seen.check_access()
        await seen.shoot("skill")
        await page.get_by_role("option", name="pdf-processing").click()
        skilled.files["skill://acme/pdf-processing/references/FORMS.md"] = "else"
        skilled.files["skill://acme/pdf-processing/new.md"] = "new"
        await seen.button("Check all files").click()
        verdict = page.get_by_role("status", name="Verdict")
        await expect(verdict).to_contain_text("1 of 3 files is not what the entry promised")
        await expect(verdict).to_contain_text("skill://acme/pdf-processing/new.md")
        row = page.get_by_role("table", name="Files of the skill").get_by_role(
            "row", name="references/FORMS.md"
        )
        await expect(row.get_by_text("failed", exact=True)).to_be_visible()
        await page.get_by_label("Another file of the skill").fill("new.md")
        await page.get_by_label("Another file of the skill").press("Enter")
        added = page.get_by_role("article", name="File skill://acme/pdf-processing/new.md")
        await expect(added.get_by_text("listed: failed")).to_be_visible()
        await expect(added.get_by_text("A host must not use this content.")).to_be_visible()
        await seen.check_access()
        await seen.shoot("skill-failed")
        await page.set_viewport_size({"width": 320, "height": 640})
        await seen.fits()


async def test_a_skill_in_no_list_is_found_by_its_address(seen, inspection):
    page = seen.page
    skilled = Skilled()
    skilled.unlisted, skilled.skills = [skilled.skills[1]], [skilled.skills[0]] * 2
    async with served(skilled.app.asgi()) as url:
        server = await connected(inspection, url)
        await seen.open(path("s", server.id, "skills"))
        await expect(page.get_by_text("skill-listed-twice")).to_be_visible()
        await page.get_by_label("Address of a skill").fill(PDF)
        await page.get_by_label("Address of a skill").press("Enter")
        await expect(page.get_by_role("heading", name="pdf-processing")).to_be_visible()
        await expect(page.get_by_text("in no list")).to_be_visible()
        await seen.go(path("s", server.id, "skills", "skill://nothing/SKILL.md"))
        await expect(page.get_by_role("alert")).to_contain_text("no skill is served at")
        await seen.check_access()
        (said,) = seen.wrong
        assert "502" in said  # the browser's own word on an answer that is an error
        seen.wrong.clear()


async def test_a_server_without_skills_has_no_such_view(seen, showcase):
    await seen.open(path("s", showcase.view.id, "info"))
    views = seen.page.get_by_role("navigation", name="Views")
    await expect(views.get_by_role("link", name="Tools")).to_be_visible()
    await expect(views.get_by_role("link", name="Skills")).to_have_count(0)
