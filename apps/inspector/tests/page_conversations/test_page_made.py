"""What the page shows of what is made of conversations: timelines, comparisons, findings, exports; and tasks."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import bakery
import pytest
from test_page_conversations import broken, saved

from dovetail_inspector.session.calls import CallRequest


async def test_the_timeline_goes_from_span_to_span_by_keys_and_leads_to_the_record(desk: Any) -> None:
    server = await desk.baker()
    view = await desk.call(server, "bake", flour=1)
    await desk.go(f"s/{server.id}/timeline")
    chart = desk.page.get_by_role("application", name=re.compile("Timeline of"))
    await chart.focus()
    seen = desk.page.locator(".tl-seen")
    whole = await seen.inner_text()
    for _ in range(20):
        await desk.page.keyboard.press("ArrowDown")
        if "tools/call" in await desk.page.get_by_role("region", name="The chosen span").inner_text():
            break
    details = desk.page.get_by_role("region", name="The chosen span")
    assert "bake" in await details.inner_text()
    await desk.page.keyboard.press("+")
    assert await seen.inner_text() != whole
    await desk.page.keyboard.press("0")
    await seen.get_by_text(whole).wait_for()
    await desk.page.keyboard.press("Enter")
    await desk.page.get_by_role("article", name=f"Record {view.records[0]}").wait_for()


async def test_the_timeline_is_zoomed_and_moved_by_the_mouse_and_a_click_chooses(desk: Any) -> None:
    server = await desk.baker()
    await desk.call(server, "rest", seconds=0.2)
    await desk.go(f"s/{server.id}/timeline")
    canvas = desk.page.locator(".tl-canvas")
    seen = desk.page.locator(".tl-seen")
    whole = await seen.inner_text()
    box = await canvas.bounding_box()
    await desk.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 100)
    await desk.page.keyboard.down("Control")
    await desk.page.mouse.wheel(0, -400)
    await desk.page.keyboard.up("Control")
    zoomed = await seen.inner_text()
    assert zoomed != whole
    await desk.page.mouse.down()
    await desk.page.mouse.move(box["x"] + box["width"] / 2 + 120, box["y"] + 100, steps=4)
    await desk.page.mouse.up()
    assert await seen.inner_text() != zoomed
    await desk.page.get_by_role("button", name=re.compile("Show all")).click()
    # The row of the connection: it is as long as all of it.
    await desk.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 22 + 19 + 9)
    await desk.page.get_by_role("region", name="The chosen span").get_by_text("connection").first.wait_for()


async def test_spans_and_latencies_are_there_as_tables(desk: Any) -> None:
    server = await desk.baker()
    for _ in range(3):
        await desk.call(server, "rest", seconds=0.01)
    await desk.go(f"s/{server.id}/timeline?face=table")
    rows = desk.page.get_by_role("region", name="Spans", exact=True).get_by_role("row")
    await rows.filter(has_text="rest").nth(2).wait_for()
    await desk.go(f"s/{server.id}/timeline?face=latencies")
    row = desk.page.get_by_role("row").filter(has_text="tools/call")
    assert (await row.get_by_role("cell").all_inner_texts())[0] == "3"
    assert (
        "3 answers" in (await row.get_by_role("img").get_attribute("aria-label") or "")
        or await row.get_by_role("img").count()
    )


async def test_two_conversations_are_compared_place_by_place(desk: Any) -> None:
    server = await desk.baker()
    await desk.call(server, "bake", flour=1)
    first = server.transcript
    await server.disconnect()
    server.connect()
    await server.connected()
    await desk.call(server, "bake", flour=1)
    await desk.call(server, "burn")
    await desk.go(f"a/compare?a={first}&b={server.transcript}")
    rows = desk.page.get_by_role("listbox", name="Rows of the comparison")
    row = rows.get_by_role("option").filter(has_text="burn").first
    await row.filter(has_text="only in the second").wait_for()
    await row.click()
    await desk.page.get_by_role("region", name="Second").get_by_text("it burned").first.wait_for()
    await desk.page.get_by_role("region", name="First").get_by_text("nothing like it").wait_for()
    await desk.page.get_by_role("button", name=re.compile("the same")).click()
    await rows.get_by_role("option").filter(has_text="bake").first.wait_for()


async def test_what_a_server_offers_is_taken_down_and_compared(desk: Any) -> None:
    await desk.baker()
    await desk.go("a/compare/surfaces")
    take = desk.page.get_by_role("button", name="Take bakery now")
    await take.click()
    await desk.page.wait_for_url("**a=p1*")
    await take.click()
    await desk.page.get_by_role("heading", name="Both offer the same").wait_for()


async def test_findings_are_summed_up_and_lead_to_their_records(desk: Any, tmp_path: Path) -> None:
    view = desk.inspection.open_capture(broken(tmp_path))
    await desk.go(f"t/{view.id}/lint")
    rule = (
        desk.page.get_by_role("region", name="Broken rules")
        .get_by_role("listitem")
        .filter(has_text="response-unknown-id")
    )
    await rule.get_by_role("button", name="4", exact=True).click()
    details = desk.page.get_by_role("article", name="Record 4")
    await (
        details.get_by_role("region", name="Findings of the lint")
        .get_by_text("response-unknown-id")
        .wait_for()
    )
    await details.get_by_role("button", name="response-unknown-id").click()
    await desk.page.get_by_text("1 record found").wait_for()


@pytest.mark.parametrize(
    "form, member", [("JSON lines", "capture"), ("HAR", "log"), ("OTLP", "resourceSpans")]
)
async def test_a_conversation_is_saved_in_each_form(desk: Any, form: str, member: str) -> None:
    server = await desk.baker()
    await desk.call(server, "bake", flour=1)
    await desk.go("a/captures")
    await desk.page.get_by_role("button", name="Save bakery as a file").click()
    dialog = desk.page.get_by_role("dialog")
    await dialog.get_by_role("radio", name=re.compile(form)).check()
    async with desk.page.expect_download() as download:
        await dialog.get_by_role("button", name="Save", exact=True).click()
    text = await saved(download)
    assert member in json.loads(text.splitlines()[0] if form == "JSON lines" else text)


async def test_tasks_are_followed_and_cancelled(desk: Any) -> None:
    server = await desk.baker()
    request = CallRequest(kind="tool", name="ripen", arguments={}, as_task=True)
    call = desk.inspection.call(server.id, request)
    await desk.go(f"s/{server.id}/tasks")
    card = desk.page.get_by_role("region", name="Tasks").get_by_role("listitem").filter(has_text="working")
    await card.get_by_role("button", name="Cancel").click()
    await desk.page.get_by_role("region", name="Tasks").get_by_text("cancelled").first.wait_for()
    while desk.inspection.calls.view(call.id).state == "running":  # noqa: ASYNC110 - nothing else tells of it
        await asyncio.sleep(0.01)


async def test_a_call_is_kept_as_a_check_and_run(desk: Any) -> None:
    server = await desk.baker()
    view = await desk.call(server, "bake", flour=300)
    await desk.go(f"s/{server.id}/transcript/{view.records[0]}")
    await desk.page.get_by_role("button", name="Keep as a check").click()
    await desk.page.get_by_role("log", name="Notes").get_by_text("kept among the checks").wait_for()
    await desk.go("a/checks")
    text = desk.page.get_by_role("textbox", name="The checks, as TOML")
    assert "flour = 300" in await text.input_value()
    await desk.page.get_by_role("button", name="Run it").click()
    results = desk.page.get_by_role("region", name="Results")
    await results.get_by_text("1 of 1 check passed").wait_for()
    await text.fill((await text.input_value()).replace("flour = 300", "flour = 301"))
    await desk.page.get_by_text("changed, not kept yet").wait_for()
    await results.get_by_role("button", name="Again").click()
    await results.get_by_text("1 failed, 0 of 1 check passed").wait_for()
    assert "flour = 301" in desk.inspection.checks.text


async def test_faults_of_a_relay_are_put_in_force_counted_and_taken_out(
    desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    await desk.go("a/faults")
    await desk.page.get_by_role("heading", name="No relay runs").wait_for()
    words = ["-m", "dovetail", "inspect", "--between", "--", sys.executable, bakery.__file__]
    relay = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert relay.stdin is not None
    assert relay.stdout is not None
    try:
        await desk.page.get_by_text("All passes as it is.").wait_for()
        await desk.page.get_by_text("Put another in force").click()
        await desk.page.get_by_label(re.compile("^kind")).select_option("wrong-id")
        await desk.page.get_by_label(re.compile("^method")).fill("ping")
        await desk.page.get_by_text("wrong-id method=ping", exact=True).wait_for()
        await desk.page.get_by_role("button", name="Break it").click()
        row = desk.page.get_by_role("row").filter(has_text="wrong-id method=ping")
        await row.get_by_role("cell", name="0", exact=True).first.wait_for()
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"_meta": meta}}
        relay.stdin.write(json.dumps(ping).encode() + b"\n")
        await relay.stdin.drain()
        assert json.loads(await relay.stdout.readline())["id"] == "wrong"
        await row.get_by_role("cell", name="1", exact=True).nth(1).wait_for()
        await row.get_by_role("button", name=re.compile("Take out")).click()
        await desk.page.get_by_text("All passes as it is.").wait_for()
        await desk.page.get_by_role("button", name="What passes").click()
        await desk.page.get_by_role("listbox", name="Records").get_by_text("ping").first.wait_for()
    finally:
        relay.stdin.close()
        await relay.wait()
