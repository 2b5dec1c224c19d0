"""The person at the browser, played: a real Chromium without a window, or a stand-in that walks the pages.

Theory of operation: a headless Chromium is started with its debugging port, and driven by the few commands of the
DevTools protocol that it takes to open an address and press a button. It keeps what a browser keeps: cookies, the
pages' security policies, redirects. Where there is none, `Walker` uses the form-filling stand-in of
`dovetail_authserver.testing`, which is no browser; the demo says which of the two it was.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from dovetail_authserver.testing import Browser

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 20.0
FLAGS = ("--headless", "--disable-gpu", "--no-first-run", "--disable-extensions", "--remote-debugging-port=0")


def find_chromium() -> str | None:
    """A Chromium on the PATH, or among the browsers that Playwright installed."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    folder = os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright"
    for pattern in ("*/*/headless_shell", "*/*/chrome-headless-shell", "*/*/chrome"):
        for path in sorted(Path(folder).glob(pattern)):
            found = found or str(path)
    return found


class Chromium:
    """One page of a running Chromium."""

    kind = "Chromium, without a window"

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._session = ""
        self.titles: list[str] = []

    async def open_page(self) -> None:
        """Open the page that the others work with."""
        target = await self._ask("Target.createTarget", url="about:blank")
        attached = await self._ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        await self._ask("Page.enable")

    async def log_in(self, url: str, user: str) -> bool:
        """Open the address, choose who to be if the page asks, and press Allow; ends at the client's own page."""
        issuer = urlsplit(url).netloc
        await self._ask("Page.navigate", url=url)
        async with asyncio.timeout(PATIENCE):
            while True:
                host, title, button = await self._look(user)
                if host not in ("", issuer):
                    self.titles.append(title)
                    return True
                if button:
                    self.titles.append(title)
                    await self._evaluate(f"window.pressed = true; document.querySelector({button!r}).click()")
                await asyncio.sleep(0.05)  # the page tells nobody here when it is there

    async def _look(self, user: str) -> tuple[str, str, str]:
        """Where the page is, its title, and the button to press, once it is loaded and nothing was pressed."""
        seen = await self._evaluate(
            "document.readyState === 'complete' && !window.pressed ? [location.host, document.title,"
            f" [`button[value='{user}']`, `button[value='allow']`].find(s => document.querySelector(s)) || '']"
            " : ['', '', '']"
        )
        return (seen[0], seen[1], seen[2]) if isinstance(seen, list) else ("", "", "")

    async def _evaluate(self, expression: str) -> Any:
        said = await self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        return said.get("result", {}).get("value")

    async def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        asked: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        await self._socket.send_json(asked)
        async for message in self._socket:
            said = json.loads(message.data)
            if said.get("id") == self._number:
                return said.get("result", {})
        raise OSError("the browser ended")


class Walker:
    """Fills in the forms itself, where there is no browser."""

    kind = "a stand-in that fills in the forms (no Chromium was found)"

    def __init__(self) -> None:
        self.titles: list[str] = []

    async def log_in(self, url: str, user: str) -> bool:
        """See `Chromium.log_in`."""
        async with Browser(url) as browser:
            shown = await browser.open(url)
            while not shown.left:
                self.titles.append(shown.text.partition("<title>")[2].partition("</title>")[0])
                if ("decision", "allow") in shown.forms[0].buttons:
                    shown = await browser.submit(shown, decision="allow")
                else:
                    shown = await browser.submit(shown, user=user)
            return await browser.visit(shown.left) < 400


@contextlib.asynccontextmanager
async def browser() -> AsyncGenerator[Chromium | Walker]:
    """A browser for as long as the block lasts."""
    program = find_chromium()
    if program is None:
        yield Walker()
        return
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as folder:
        root = ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
        process = await asyncio.create_subprocess_exec(
            program,
            *FLAGS,
            *root,
            f"--user-data-dir={folder}",
            "about:blank",
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stderr is not None
        try:
            async with asyncio.timeout(PATIENCE):
                address = await address_in(process.stderr)
            async with aiohttp.ClientSession() as session, session.ws_connect(address) as socket:
                made = Chromium(socket)
                await made.open_page()
                yield made
        finally:
            with contextlib.suppress(ProcessLookupError):
                end_all(process)
            await process.wait()


def end_all(process: asyncio.subprocess.Process) -> None:
    """End the browser with everything that it started."""
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


async def address_in(stream: asyncio.StreamReader) -> str:
    """Where the browser listens for commands, which is the first thing that it says."""
    async for line in stream:
        text = line.decode(errors="replace")
        if text.startswith("DevTools listening on "):
            return text.split()[-1]
    raise OSError("the browser ended before it listened")
