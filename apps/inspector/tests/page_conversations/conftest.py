"""The built page in a real browser, before a real Inspector that looks at a real server."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import bakery
import pytest
from inspected import ended
from page import BUILT, PAGE, build

from dovetail.testing import served
from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.calls import CallRequest
from dovetail_inspector.session.server import InspectedServer
from dovetail_inspector.views import CallView, ConnectionSettings, ServerTarget
from dovetail_inspector.web.access import Access
from dovetail_inspector.web.serving import WebFace, listener, serve

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome", "chromium-headless-shell")
PATIENCE: Final = 15_000
_AXE: Final = """async (rules) => (await axe.run(document, {runOnly: rules})).violations.map(
    (each) => `${each.id}: ${each.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`)"""


def _chromium() -> str | None:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    folder = os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright"
    installed = sorted(Path(folder).glob("*/*/chrome")) + sorted(Path(folder).glob("*/*/headless_shell"))
    return found or next(map(str, installed), None)


@pytest.fixture(scope="session")
def built_page() -> Path:
    """The page, built if it is not; one process builds while others wait."""
    build()
    return BUILT


class Desk:
    """An Inspector, and a person before it. ``page``: the browser's; ``errors``: what scripts of the page threw."""

    def __init__(self, inspection: Inspection, address: str, page: Any) -> None:
        self.inspection: Final = inspection
        self.address: Final = address
        self.page: Final = page
        self.errors: Final[list[str]] = []
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    async def baker(self, revision: str = "2026-07-28", **settings: Any) -> InspectedServer:
        """The bakery over stdio, connected."""
        target = ServerTarget(command=sys.executable, args=[bakery.__file__])
        return await self.connected(target, revision=revision, **settings)

    async def connected(self, target: ServerTarget, **settings: Any) -> InspectedServer:
        """A server, connected."""
        server = self.inspection.add("bakery", target, ConnectionSettings(**settings))
        server.connect()
        await server.connected()
        assert server.view.state == "ready", server.view.error
        return server

    async def call(self, server: InspectedServer, name: str, **arguments: Any) -> CallView:
        """A tool of it, called to the end."""
        view = self.inspection.call(server.id, CallRequest(kind="tool", name=name, arguments=arguments))
        return await ended(self.inspection, view)

    async def go(self, place: str) -> None:
        """Show a place of the page, such as ``s/s1/transcript``."""
        await self.page.goto(f"{self.address}/#/{place}")

    async def barriers(self) -> list[str]:
        """What keeps people out who don't see, or use no mouse, as far as axe can tell."""
        axe = PAGE / "node_modules" / "axe-core" / "axe.min.js"
        await self.page.evaluate(axe.read_text())
        return await self.page.evaluate(_AXE, ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"])

    async def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        return await self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


@pytest.fixture
async def desk(built_page: Path) -> AsyncIterator[Desk]:
    """The page, open. No script of it may have failed at the end."""
    chromium = _chromium()
    if chromium is None:
        pytest.skip("no-chromium: there is no browser to show the page in")
    from playwright.async_api import async_playwright

    async with AsyncExitStack() as held:
        inspection = await held.enter_async_context(Inspection())
        sock = held.enter_context(listener(0))
        address = f"http://127.0.0.1:{sock.getsockname()[1]}"
        access = Access(sock.getsockname()[1])
        started = asyncio.Event()
        face = WebFace(inspection, access, page=built_page)
        running = asyncio.create_task(serve(face, sock, started=started.set))
        held.push_async_callback(asyncio.wait, [running])
        held.callback(running.cancel)
        await started.wait()
        driver = await held.enter_async_context(async_playwright())
        browser = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        held.push_async_callback(browser.close)
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        made = Desk(inspection, address, page)
        await page.goto(f"{address}/#token={access.token}")
        await page.get_by_role("navigation", name="Servers and captures").wait_for()
        yield made
        assert made.errors == []


@pytest.fixture
async def http_bakery() -> AsyncIterator[Callable[[Desk], Awaitable[InspectedServer]]]:
    """Connects a desk to the bakery over HTTP."""
    async with served(bakery.app.asgi()) as url:

        async def connect(desk: Desk) -> InspectedServer:
            return await desk.connected(ServerTarget(url=url), revision="2026-07-28")

        yield connect
