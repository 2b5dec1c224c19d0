"""A walk over all views of a server, and what has to be so in each of them."""

from __future__ import annotations

from collections.abc import Sequence

from playwright.async_api import expect
from seeing import Seen, path

from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.server import InspectedServer

__all__ = ["ALL", "OF_CAPTURE", "OF_SERVER", "reacts", "safe", "walk"]

OF_CAPTURE = ("transcript", "network", "timeline", "lint")
OF_SERVER = ("info", "tools", "resources", "prompts", *OF_CAPTURE, "stderr", "logs", "tasks")
LONG = 120_000  # milliseconds, where a server says a lot
ALL = ("servers", "questions", "captures", "compare", "checks", "faults")
FOUND = """() => ({
    links: [...document.querySelectorAll("a[href]")].map((each) => each.href),
    foreign: ["script", "iframe", "object", "embed", "base", "style"]
        .map((each) => document.querySelectorAll(`main ${each}`).length).reduce((a, b) => a + b),
    sources: [...document.querySelectorAll("[src]")].map((each) => each.src),
    handlers: [...document.querySelectorAll("*")].filter((each) =>
        [...each.attributes].some((one) => one.name.startsWith("on"))).length,
    polluted: Object.keys(Object.prototype).length + ("ran" in {} ? 1 : 0),
    ran: window.ran === undefined ? null : window.ran,
})"""


async def reacts(seen: Seen) -> None:
    """The page answers to keys: its palette comes and goes."""
    await seen.page.keyboard.press("Control+k")
    palette = seen.page.get_by_role("combobox", name="Command or place")
    await expect(palette).to_be_visible()
    await seen.page.keyboard.press("Escape")
    await expect(palette).to_have_count(0)


async def safe(seen: Seen) -> None:
    """Nothing that a server said is more than text, and no link leads where a browser would run something."""
    found = await seen.page.evaluate(FOUND)
    assert all(each.startswith(("http://", "https://", "blob:")) for each in found["links"]), found["links"]
    assert all(each.startswith(("blob:", seen.address)) for each in found["sources"]), found["sources"]
    assert (found["foreign"], found["handlers"], found["polluted"], found["ran"]) == (0, 0, 0, None)


async def settled(seen: Seen) -> None:
    """A view has come, with what it shows."""
    await expect(seen.page.locator("main").first).to_be_visible()
    await expect(seen.page.locator("[aria-busy=true]")).to_have_count(0, timeout=LONG)


async def walk(
    seen: Seen, inspection: Inspection, server: InspectedServer, tools: Sequence[str] = (), errors: int = 0
) -> None:
    """Go to every view of a server, and of everything. ``tools``: those that are looked at one by one; ``errors``: how
    many boxes of errors a view may have at most.
    """
    inspection.catch_up()
    places = [path("s", server.id, each) for each in OF_SERVER]
    places += [path("s", server.id, "tools", each) for each in tools]
    places += [path("a", each) for each in ALL]
    if server.transcript is not None:
        places += [path("t", server.transcript, each) for each in OF_CAPTURE]
    for each in places:
        await seen.go(each)
        await settled(seen)
        boxes = await seen.page.locator(".error-box").all_inner_texts()
        own = [text for text in boxes if "-32601" not in text]  # that the server has no such method
        assert len(own) <= errors, (each, own)
        await safe(seen)
    await reacts(seen)
