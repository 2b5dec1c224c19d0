"""The conversation in the page: rows, details, search, calls, pins, sending again; and text that is not believed."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest


def records(desk: Any) -> Any:
    return desk.page.get_by_role("listbox", name="Records")


async def test_what_is_said_appears_while_one_looks_and_its_answer_is_a_key_away(desk: Any) -> None:
    server = await desk.baker()
    await desk.go(f"s/{server.id}/transcript")
    await records(desk).get_by_role("option").filter(has_text="server/discover").first.wait_for()
    await desk.call(server, "bake", flour=300)
    asked = records(desk).get_by_role("option").filter(has_text=re.compile(r"tools/call.*flour")).first
    await asked.click()
    details = desk.page.get_by_role("article", name=re.compile("Record"))
    await details.get_by_text('"flour"', exact=False).or_(details.get_by_text("flour:")).first.wait_for()
    await records(desk).focus()
    await desk.page.keyboard.press("j")
    await details.get_by_text("grams").first.wait_for()
    assert await records(desk).get_by_role("option", selected=True).filter(has_text="response").count() == 1


async def test_a_link_leads_to_a_record_and_back(desk: Any) -> None:
    server = await desk.baker()
    view = await desk.call(server, "burn")
    n = view.records[0]
    await desk.go(f"s/{server.id}/transcript/{n}")
    details = desk.page.get_by_role("article", name=f"Record {n}")
    await details.get_by_role("heading", name="tools/call").wait_for()
    await details.get_by_role("button", name=re.compile("Show record")).first.click()
    await desk.page.get_by_role("article", name=re.compile(f"Record (?!{n}$)")).wait_for()
    await desk.page.go_back()
    await details.wait_for()
    await details.get_by_role("button", name="Close the details").click()
    await details.wait_for(state="detached")
    assert desk.page.url.endswith(f"s/{server.id}/transcript")


async def test_searching_by_words_fields_and_hints(desk: Any) -> None:
    server = await desk.baker()
    await desk.call(server, "bake", flour=1)
    await desk.call(server, "rest", seconds=0)
    await desk.go(f"s/{server.id}/transcript")
    field = desk.page.get_by_role("combobox", name="Search the conversation")
    await field.fill("name:rest")
    await desk.page.get_by_text("2 records found").wait_for()
    await field.fill("is:st")
    await desk.page.get_by_role("option", name=re.compile("is:stderr")).wait_for()
    await field.press("ArrowDown")
    await field.press("Enter")
    await desk.page.get_by_text("1 record found").wait_for()
    await records(desk).get_by_text("the bell rings").wait_for()
    assert "q=is" in desk.page.url
    # What comes later is found, too.
    await desk.call(server, "bake", flour=2)
    await desk.page.get_by_text("2 records found").wait_for()
    await field.fill("nobody said this")
    await desk.page.get_by_role("heading", name="Nothing like that was said").wait_for()


async def test_calls_have_what_belongs_to_them_under_them(desk: Any) -> None:
    server = await desk.baker()
    view = await desk.call(server, "bake", flour=1)
    await desk.go(f"s/{server.id}/transcript/{view.records[0]}?by=call")
    calls = desk.page.get_by_role("listbox", name="Calls")
    row = calls.get_by_role("option").filter(has_text="bake")
    await row.first.click()
    before = await calls.get_by_role("option").count()
    await calls.focus()
    await desk.page.keyboard.press("ArrowRight")
    await calls.get_by_role("option").filter(has_text="notifications/progress").nth(2).wait_for()
    assert await calls.get_by_role("option").count() >= before + 4
    await desk.page.keyboard.press("ArrowLeft")
    await (
        calls.get_by_role("option").filter(has_text="notifications/progress").first.wait_for(state="detached")
    )


async def test_pins_stay_when_the_page_is_loaded_again(desk: Any) -> None:
    server = await desk.baker()
    await desk.go(f"s/{server.id}/transcript/2")
    await desk.page.get_by_role("article", name="Record 2").wait_for()
    await records(desk).focus()
    await desk.page.keyboard.press("p")
    await desk.page.get_by_role("button", name="Let it go").wait_for()
    await desk.page.reload()
    pins = desk.page.get_by_role("combobox", name="Pinned records")
    await pins.select_option("2")
    await desk.page.get_by_role("article", name="Record 2").wait_for()


async def test_a_request_is_changed_and_sent_again(desk: Any) -> None:
    server = await desk.baker()
    view = await desk.call(server, "bake", flour=1)
    await desk.go(f"s/{server.id}/transcript/{view.records[0]}")
    await desk.page.get_by_role("button", name="Edit and send again").click()
    dialog = desk.page.get_by_role("dialog", name="Edit and send again")
    editor = dialog.locator(".cm-content")
    await editor.click()
    await desk.page.keyboard.press("Control+a")
    await desk.page.keyboard.insert_text("{ no")
    await dialog.get_by_role("button", name="Send", exact=True).is_disabled()
    await desk.page.keyboard.press("Control+a")
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "bake", "arguments": {"flour": 7}},
    }
    await desk.page.keyboard.insert_text(json.dumps(body))
    await dialog.get_by_role("button", name="Send", exact=True).click()
    await dialog.get_by_text("done").wait_for()
    desk.inspection.catch_up()
    sent = [each for each in desk.inspection.transcripts[server.transcript] if each.method == "tools/call"]
    assert [each.summary for each in sent if each.kind == "request"][-1] == '{"flour": 7}'


async def test_nothing_that_a_server_says_runs_or_hides(desk: Any) -> None:
    server = await desk.baker()
    view = await desk.call(server, "shout")
    await desk.go(f"s/{server.id}/transcript/{view.records[0]}")
    await desk.page.get_by_role("button", name=re.compile("Show record")).first.click()
    details = desk.page.get_by_role("article", name=re.compile("Record"))
    await details.get_by_text("onerror").first.wait_for()
    await details.get_by_role("button", name="As it came").click()
    await details.locator("pre.raw").wait_for()
    shown = await desk.page.locator("body").inner_text()
    assert "\u202e" not in shown
    assert "\x1b" not in shown
    assert await desk.page.evaluate("window.struck") is None
    assert await desk.page.locator("img, script:not([src])").count() == 0


@pytest.mark.parametrize("count", [10_000])
async def test_a_long_conversation_is_seen_by_what_is_in_view(desk: Any, tmp_path: Any, count: int) -> None:
    place = tmp_path / "long.jsonl"
    with place.open("w") as file:
        file.write('{"capture":1,"began":"2026-01-01T00:00:00.000000Z","redacted":false}\n')
        for n in range(1, count + 1):
            line = {
                "n": n,
                "seconds": n / 1000,
                "time": "2026-01-01T00:00:00.000000Z",
                "link": 1,
                "transport": "stdio",
                "sender": "client" if n % 2 else "server",
                "body": {
                    "jsonrpc": "2.0",
                    "id": (n + 1) // 2,
                    **({"method": "ping"} if n % 2 else {"result": {}}),
                },
            }
            file.write(json.dumps(line) + "\n")
    view = desk.inspection.open_capture(place)
    await desk.go(f"t/{view.id}/transcript")
    await desk.page.get_by_text(f"{count:,} records").wait_for()
    await records(desk).focus()
    await desk.page.keyboard.press("End")
    last = records(desk).get_by_role("option", selected=True)
    await last.filter(has_text=f"{count}").wait_for()
    assert await last.get_attribute("aria-posinset") == str(count)
    assert await last.get_attribute("aria-setsize") == str(count)
    assert await records(desk).get_by_role("option").count() < 100
    await desk.page.keyboard.press("PageUp")
    await desk.page.keyboard.press("Home")
    await desk.page.wait_for_url("**/transcript/1")
    assert await last.get_attribute("aria-posinset") == "1"
