"""A browser that looks at an Inspector, and what tests ask of it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from page import modules
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Playwright, async_playwright, expect

from dovetail_inspector.inspection import Inspection
from dovetail_inspector.web.access import Access
from dovetail_inspector.web.serving import WebFace, listener, serve

__all__ = ["SHOWCASE", "Seen", "browser", "find_chromium", "looking", "path"]

SHOWCASE = Path(__file__).with_name("showcase.py")
SHOTS = Path(__file__).resolve().parents[3] / "results" / "page"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "chromium-headless-shell")
PATIENCE = 20_000  # milliseconds: a busy machine takes its time
# Rules of axe that hold for whole documents, best practices among them.
expect.set_options(timeout=PATIENCE)
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def find_chromium(playwright: Playwright) -> str | None:
    """A Chromium on the PATH, or the one that Playwright installed."""
    own = playwright.chromium.executable_path
    return next(filter(None, map(shutil.which, NAMES)), own if Path(own).exists() else None)


@cache
def _axe() -> str:
    return (modules() / "axe-core" / "axe.min.js").read_text()


def path(*parts: str) -> str:
    """A place of the page, as its deep links say it."""
    return "/" + "/".join(quote(each, safe="") for each in parts)


class Served:
    """The web face of an Inspector on a port of this machine, behind a line that can be cut and mended."""

    def __init__(self, inspection: Inspection) -> None:
        with listener(0) as found:
            self.port: int = found.getsockname()[1]
        self.access = Access(self.port)
        self._behind = listener(0)
        self._face = WebFace(inspection, self.access)
        self._running: asyncio.Task[None] | None = None
        self._line: asyncio.Server | None = None
        self._carried: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Serve."""
        started = asyncio.Event()
        self._running = asyncio.create_task(serve(self._face, self._behind, started=started.set))
        await started.wait()
        await self.mend()

    async def mend(self) -> None:
        """Take connections."""
        self._line = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    def cut(self) -> None:
        """Take none any more, and lose those that there are."""
        if self._line is not None:
            self._line.close()
        for each in self._carried:
            each.transport.abort()

    async def stop(self) -> None:
        """Serve no more."""
        self.cut()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        self._behind.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._behind.getsockname())
        self._carried |= {writer, back}
        try:
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        except OSError:
            pass  # it was cut, or the browser closed it
        finally:
            self._carried -= {writer, back}
            writer.close()
            back.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while some := await reader.read(65536):
        writer.write(some)
        await writer.drain()
    writer.close()


@dataclass
class Seen:
    """A page of a browser. ``wrong``: what it complained of (errors, and breaches of its policy)."""

    page: Page
    served: Served
    wrong: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Of the page, without its token."""
        return f"http://127.0.0.1:{self.served.port}"

    @property
    def access(self) -> Access:
        """Who may come in."""
        return self.served.access

    async def open(self, place: str = "/") -> None:
        """Log in with the token, and go to a place."""
        await self.page.goto(f"{self.address}/#token={self.access.token}&go={quote(place, safe='')}")
        await expect(self.page.locator(".shell")).to_be_visible()

    async def go(self, place: str) -> None:
        """Go to a place by its deep link."""
        await self.page.evaluate("place => { location.hash = place }", place)

    def button(self, name: str, within: Locator | None = None) -> Locator:
        """A button by its whole name."""
        return (within or self.page).get_by_role("button", name=name, exact=True)

    async def shoot(self, name: str) -> None:
        """Write how it looks, light and dark."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        for scheme in ("light", "dark"):
            await self.page.emulate_media(color_scheme=scheme)
            await self.page.screenshot(path=SHOTS / f"{name}-{scheme}.png", animations="disabled")

    async def barriers(self) -> list[str]:
        """What keeps people from using what is seen who don't see it, see it badly, or use no mouse."""
        await self.page.evaluate(_axe())
        found = await self.page.evaluate(
            "tags => axe.run(document, { runOnly: { type: 'tag', values: tags } })", TAGS
        )
        return [
            f"{each['id']}: {each['help']}: {node['target']} {node['failureSummary']}"
            for each in found["violations"]
            for node in each["nodes"]
        ]

    async def check_access(self) -> None:
        """Whether everybody can use what is seen, light and dark."""
        for scheme in ("light", "dark"):
            await self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            said = [f"{scheme}: {each}" for each in await self.barriers()]
            if said:
                raise AssertionError("\n".join(said))

    async def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        return await self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    async def ran(self) -> Any:
        """What a script of a server's would have left."""
        return await self.page.evaluate("window.ran")

    async def fits(self) -> None:
        """Nothing is wider than the window."""
        assert await self.overflow() <= 0


@asynccontextmanager
async def browser() -> AsyncIterator[Browser | None]:
    """A Chromium without a window; None where there is none."""
    async with async_playwright() as playwright:
        program = find_chromium(playwright)
        if program is None:
            yield None
            return
        # The superuser has no sandbox of its own kind to give to a browser.
        arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        launched = await playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield launched
        finally:
            await launched.close()


@asynccontextmanager
async def looking(inspection: Inspection, with_browser: Browser) -> AsyncIterator[Seen]:
    """The page of an Inspector in a browser; at the end it must not have complained."""
    served = Served(inspection)
    await served.start()
    context = await with_browser.new_context(viewport={"width": 1180, "height": 820}, locale="en-GB")
    context.set_default_timeout(PATIENCE)
    page = await context.new_page()
    seen = Seen(page, served)

    def complained(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            seen.wrong.append(f"{message.text} ({message.location['url']})")

    page.on("console", complained)
    page.on("pageerror", lambda problem: seen.wrong.append(str(problem)))
    try:
        yield seen
    finally:
        await context.close()
        await served.stop()
    assert not seen.wrong, seen.wrong
