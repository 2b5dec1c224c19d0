"""Exchanges, standard error, logs, findings and captures in the page, and whether everyone can use these views."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from bakery import HOSTILE


async def saved(download: Any) -> str:
    """What the browser saved as a file."""
    place = Path(await (await download.value).path())
    return await asyncio.to_thread(place.read_text)


async def test_exchanges_have_headers_bodies_and_the_events_of_their_stream(
    desk: Any, http_bakery: Any
) -> None:
    server = await http_bakery(desk)
    await desk.call(server, "bake", flour=300)
    await desk.go(f"s/{server.id}/network")
    exchanges = desk.page.get_by_role("listbox", name="HTTP exchanges")
    row = exchanges.get_by_role("option").filter(has_text="tools/call bake")
    await row.click()
    details = desk.page.get_by_role("article", name=re.compile("Exchange"))
    await details.get_by_role("row").filter(has_text=re.compile(r"mcp-method\s*MCP\s*tools/call")).wait_for()
    await details.get_by_text(re.compile("answered after .*, ended after")).wait_for()
    events = details.get_by_role("listitem")
    await events.filter(has_text="notifications/progress").nth(2).wait_for()
    await events.filter(has_text="response").get_by_role("button", expanded=False).click()
    await details.get_by_text("grams").first.wait_for()
    await desk.page.get_by_role("searchbox", name="Search the exchanges").fill("nothing like it")
    await desk.page.get_by_role("heading", name="No exchange is like that").wait_for()


async def test_standard_error_is_shown_line_by_line_and_saved_whole(desk: Any) -> None:
    server = await desk.baker()
    await desk.call(server, "bake", flour=1)
    await desk.call(server, "shout")
    await desk.go(f"s/{server.id}/stderr")
    lines = desk.page.get_by_role("listbox", name="Lines of standard error")
    await lines.get_by_text("the bell rings").wait_for()
    await lines.get_by_role("option").filter(has_text="onerror").click()
    whole = desk.page.get_by_role("region", name=re.compile("Line .* whole"))
    shown = await whole.inner_text()
    assert "onerror" in shown
    assert not {"\u202e", "\x1b"} & set(shown)
    assert await desk.page.evaluate("window.struck") is None
    async with desk.page.expect_download() as download:
        await desk.page.get_by_role("button", name="Save as text").click()
    bell, shout = (await saved(download)).splitlines()
    assert bell.endswith(" the bell rings")
    assert HOSTILE[:40] in shout


async def test_logs_are_shown_from_a_level_on_and_saved(desk: Any) -> None:
    server = await desk.baker(log_level="info")
    await desk.go(f"s/{server.id}/logs")
    await desk.page.get_by_role("heading", name="The server has logged nothing").wait_for()
    await desk.call(server, "bake", flour=1)
    lines = desk.page.get_by_role("listbox", name="Log messages")
    await lines.get_by_text("the oven is hot").wait_for()
    await desk.page.get_by_label("Shown").select_option("error")
    await desk.page.get_by_role("heading", name="No message is like that").wait_for()
    await desk.page.get_by_label("Shown").select_option("warning")
    await lines.get_by_role("option").filter(has_text="bakery.oven").click()
    await desk.page.get_by_role("region", name="The message, whole").wait_for()
    async with desk.page.expect_download() as download:
        await desk.page.get_by_role("button", name="Save as JSON lines").click()
    (line,) = (await saved(download)).splitlines()
    assert json.loads(line)["data"] == "the oven is hot"
    await desk.page.reload()  # what was told before a page was opened is there as well
    await lines.get_by_text("the oven is hot").wait_for()


def broken(folder: Path) -> Path:
    """A capture with an answer that nobody asked for."""
    place = folder / "broken talk.jsonl"
    lines: list[dict[str, Any]] = [
        {"n": 1, "mark": "open", "target": "broken"},
        {"n": 2, "sender": "client", "body": {"jsonrpc": "2.0", "id": 1, "method": "ping"}},
        {"n": 3, "sender": "server", "body": {"jsonrpc": "2.0", "id": 1, "result": {}}},
        {"n": 4, "sender": "server", "body": {"jsonrpc": "2.0", "id": 77, "result": {}}},
    ]
    always = {"seconds": 0.5, "time": "2026-01-01T00:00:00.500000Z", "link": 1, "transport": "stdio"}
    header = {"capture": 1, "began": "2026-01-01T00:00:00.000000Z", "place": "client", "redacted": True}
    place.write_text(
        "".join(json.dumps(each) + "\n" for each in (header, *({**each, **always} for each in lines)))
    )
    return place


async def test_a_capture_is_opened_renamed_and_removed(desk: Any, tmp_path: Path) -> None:
    await desk.go("a/captures")
    await desk.page.get_by_role("heading", name="No conversation yet").wait_for()
    await desk.page.get_by_label("Captures to open").set_input_files(broken(tmp_path))
    await desk.page.get_by_role("listbox", name="Records").get_by_role("option").nth(2).wait_for()
    await desk.go("a/captures")
    await desk.page.get_by_text("4 records").wait_for()
    await desk.page.get_by_role("button", name="Rename broken talk.jsonl").click()
    await desk.page.get_by_role("textbox", name="Name").fill("a better name")
    await desk.page.get_by_role("button", name="Rename", exact=True).click()
    await desk.page.get_by_role("link", name="a better name").first.wait_for()
    await desk.page.get_by_role("button", name="Remove a better name").click()
    await desk.page.get_by_role("heading", name="No conversation yet").wait_for()
    assert desk.inspection.transcripts == {}


async def test_what_is_no_capture_is_refused_with_a_reason(desk: Any, tmp_path: Path) -> None:
    (tmp_path / "picture.jsonl").write_bytes(b"\x89PNG\r\n\x1a\n")
    await desk.go("a/captures")
    await desk.page.get_by_label("Captures to open").set_input_files(tmp_path / "picture.jsonl")
    await desk.page.get_by_role("log", name="Notes").get_by_text("picture.jsonl:").wait_for()
    assert desk.inspection.transcripts == {}


async def test_an_export_with_secrets_is_warned_of(desk: Any, tmp_path: Path) -> None:
    desk.inspection.open_capture(broken(tmp_path))
    await desk.go("a/captures")
    await desk.page.get_by_role("button", name=re.compile("^Save ")).click()
    dialog = desk.page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Save", exact=True).wait_for()
    await dialog.get_by_role("checkbox", name=re.compile("Leave secrets out")).uncheck()
    await dialog.get_by_text("Whoever has it can use them").wait_for()
    await dialog.get_by_role("button", name="Save with secrets").wait_for()
    await desk.page.keyboard.press("Escape")
    await dialog.wait_for(state="detached")


VIEWS = [
    "transcript",
    "transcript/6",
    "transcript?by=call",
    "stderr",
    "logs",
    "tasks",
    "lint",
    "timeline",
    "network",
]
PLACES = ["captures", "compare", "compare/surfaces", "checks", "faults"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everyone_can_use_these_views_in_windows_of_any_width(
    desk: Any, http_bakery: Any, scheme: str
) -> None:
    server = await desk.baker(log_level="info") if scheme == "light" else await http_bakery(desk)
    await desk.call(server, "bake", flour=1)
    await desk.call(server, "burn")
    await desk.page.emulate_media(color_scheme=scheme)
    barriers: dict[str, list[str]] = {}
    for place in [*(f"s/{server.id}/{each}" for each in VIEWS), *(f"a/{each}" for each in PLACES)]:
        await desk.go(place)
        await desk.page.locator(".pane-view > *").first.wait_for()
        await desk.page.locator("[aria-busy=true]").first.wait_for(state="detached")
        for width in (1280, 320):
            await desk.page.set_viewport_size({"width": width, "height": 800})
            found = await desk.barriers()
            if over := await desk.overflow():
                found.append(f"{over} pixels wider than its window")
            if found:
                barriers[f"{place} at {width}"] = found
    assert not barriers, json.dumps(barriers, indent=1)
