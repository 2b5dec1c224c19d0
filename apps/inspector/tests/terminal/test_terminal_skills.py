"""Skills in the terminal: listed, read and checked."""

from __future__ import annotations

import pytest
from inspected import kitchen
from skilled import GIT, PDF, Skilled
from terminals import read, shown, terminal
from textual.widgets import Input

from dovetail.testing import served
from dovetail_inspector.views import ServerTarget

pytestmark = pytest.mark.vendor_methods("skills/list", "skills/get", "resources/directory/read")


async def test_a_skill_is_read_and_checked(inspection):
    skilled = Skilled()
    skilled.unlisted = [skilled.skills.pop()]
    async with served(skilled.app.asgi()) as url:
        server = inspection.add("skilled", ServerTarget(url=url))
        server.connect()
        await server.connected()
        async with terminal(inspection) as (app, pilot):
            await pilot.press("S")
            await shown(app, pilot, "git-workflow", "1 skill")
            assert skilled.read == []
            await pilot.press("enter")
            await read(app, "skill-text", "frontmatter", "passed", "Commit often.")
            skilled.files["skill://git-workflow/new\u202e.md"] = "a\u202eb"
            app.screen.query_one("#path", Input).value = "nothing.md"
            await pilot.press("f5")
            text = await read(app, "skill-text", "listed", "failed", "A host must not use this content.")
            assert "\u202e" not in text
            await pilot.press("escape")
            skilled.files[GIT] += "\u202emore"
            await pilot.press("v")
            text = await read(
                app, "skills-detail", "failed  1 file", "a host must not use the skill", "digest"
            )
            assert "not in the entry" in text
            assert "\u202e" not in text
            await pilot.press("o", *PDF, "enter")
            await read(app, "skill-text", "passed", "See references/FORMS.md.")


async def test_a_server_without_skills_says_so(inspection, tmp_path):
    await kitchen(inspection, tmp_path)
    async with terminal(inspection) as (app, pilot):
        await pilot.press("S")
        await read(app, "skills-detail", "does not declare io.modelcontextprotocol/skills")
