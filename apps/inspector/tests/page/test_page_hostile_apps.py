"""Views that attack, in a real browser: they get nothing, nothing of theirs leaves, and the page goes on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import hostile_app_server
import pytest
from inspected import until
from playwright.async_api import expect
from seeing import Seen, path
from walking import reacts

from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.server import InspectedServer
from dovetail_inspector.views import ServerTarget

pytestmark = [pytest.mark.hostile, pytest.mark.timeout(180)]
LONG = 90_000  # milliseconds: a flood takes a busy machine its time


@pytest.fixture
async def elsewhere() -> AsyncIterator[tuple[str, list[str]]]:
    """A place of the attacker's: its address, and what was asked of it."""
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).decode("latin-1"))
        writer.write(b"HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", asked


@pytest.fixture
async def hostile(inspection: Inspection, seen: Seen, elsewhere: tuple[str, list[str]]) -> InspectedServer:
    """The server of such views, which knows where the page is."""
    words = [str(Path(hostile_app_server.__file__)), seen.address, elsewhere[0]]
    server = inspection.add("hostile", ServerTarget(command=sys.executable, args=words))
    server.connect()
    await server.connected()
    assert server.view.state == "ready", server.view.error
    return server


def told(inspection: Inspection, id: str) -> list[Any]:
    """What a view said, and what it was answered."""
    hosted = inspection.apps._all[id]
    return [each.message for each in hosted.kept]


def tried_by(inspection: Inspection, id: str) -> dict[str, str]:
    """What came of each attempt of a view; nothing before it told."""
    said = told(inspection, id) if id in inspection.apps._all else []
    logs = [each["params"]["data"] for each in said if each and each.get("method") == "notifications/message"]
    return logs[0]["tried"] if logs else {}


def harmless(seen: Seen) -> None:
    """All that the browser complained of is what it kept the view from."""
    kept = ("Content Security Policy", "sandbox", "Blocked", "blocked", "policy", "Policy", "denied", "ERR_")
    assert [each for each in seen.wrong if not any(word in each for word in kept)] == []
    seen.wrong.clear()


async def test_nothing_is_reached_and_nothing_gets_out(seen, hostile, inspection, elsewhere):
    page, opened = seen.page, []
    page.on("popup", lambda popup: opened.append(popup.url))
    page.on("dialog", lambda dialog: opened.append(dialog.message))
    page.on("download", lambda download: opened.append(download.url))
    await seen.open(path("s", hostile.id, "tools", "plain"))
    await expect(seen.button("Call")).to_be_visible()
    beside = f"{path('s', hostile.id, 'tools', 'plain')}?beside={path('s', hostile.id, 'tools', 'escape')}"
    await seen.go(beside)
    left, right = page.locator(".pane").first, page.locator(".pane").last
    await seen.button("Call", left).click()
    await expect(left.get_by_role("dialog", name="View of plain")).to_contain_text(
        "ui/notifications/tool-result"
    )
    await page.evaluate("localStorage.setItem('kept', 'secret')")
    await seen.button("Call", right).click()
    tried = await until(lambda: tried_by(inspection, "a2"))
    assert len(tried) >= 30
    # A beacon is said to be on its way, whatever becomes of it.
    got = {name for name, each in tried.items() if each.startswith("GOT") and not name.startswith("beacon")}
    assert got == set(), tried
    # It left its own document then, or tried to.
    dialog = right.get_by_role("dialog", name="View of escape")
    await expect(dialog).to_contain_text("Kept from it by the browser")
    await expect(dialog).to_contain_text("that is the Inspector itself")
    assert elsewhere[1] == []
    assert opened == []
    assert "/top" not in page.url
    assert [each.name for each in inspection.calls.views if each.kind == "tool"] == ["plain", "escape"]
    assert [each.view.name for each in inspection.servers.values()] == ["hostile"]
    for id in ("a1", "a2"):
        said = [each for each in told(inspection, id) if each is not None]
        assert not [each for each in said if each.get("id") in ("direct", "other")]
        ready = [each for each in said if str(each.get("method")).endswith("sandbox-proxy-ready")]
        assert len(ready) == 1
    assert inspection.apps.view("a2").permissions == []
    assert await page.evaluate("localStorage.getItem('kept')") == "secret"
    assert await page.evaluate("window.name") == ""
    assert await seen.ran() is None
    await reacts(seen)
    harmless(seen)


async def test_a_flood_ends_its_view_and_not_the_page(seen, hostile, inspection):
    await seen.open(path("s", hostile.id, "tools", "flood"))
    await seen.button("Call").click()
    dialog = seen.page.get_by_role("dialog", name="View of flood")
    await expect(dialog).to_contain_text("it said more than anybody could read", timeout=LONG)
    await expect(seen.page.locator("iframe")).to_have_count(0)
    await expect(dialog).to_contain_text("messages were not read: they came too fast")
    await reacts(seen)
    assert inspection.apps.view("a1").state == "closed"


async def test_what_is_huge_deep_or_no_message_is_told_as_such(seen, hostile, inspection):
    await seen.open(path("s", hostile.id, "tools", "huge"))
    await seen.button("Call").click()
    view = seen.page.frame_locator("iframe.app-frame").frame_locator("iframe")
    await expect(view.locator("#said")).to_have_text("said it all", timeout=LONG)
    dialog = seen.page.get_by_role("dialog", name="View of huge")
    passed = dialog.get_by_role("list", name="Messages, oldest first")
    for note in ("longer than 4,194,304", "nested deeper than 100", "it is no object", "no method __proto__"):
        await expect(passed).to_contain_text(note)
    frame = await seen.page.locator("iframe.app-frame").bounding_box()
    assert frame is not None
    assert frame["height"] <= 2000
    for each in await passed.locator("button.app-message").all():
        await each.click()
    assert await seen.page.evaluate("({}).polluted === undefined && window.ran === undefined")
    await reacts(seen)


async def test_a_view_that_never_rests_keeps_nobody_from_the_page(seen, hostile, inspection):
    await seen.open(path("s", hostile.id, "tools", "busy"))
    await seen.button("Call").click()
    dialog = seen.page.get_by_role("dialog", name="View of busy")
    await expect(dialog).to_contain_text("ui/notifications/tool-result")
    await until(lambda: inspection.apps.view("a1").state == "running")
    for _ in range(5):
        await reacts(seen)
    await seen.button("Close view", dialog).click()
    await expect(dialog).to_contain_text("The view is closed")
    await expect(seen.page.locator("iframe")).to_have_count(0)
