"""Pictures of each view of the Inspector's page, looked at before they are shown to others.

Theory of operation. A real Inspector looks at real servers: one with everything, one over HTTP whose conversation is
worth looking at, one that wants a login, one with a view and skills, and one with a card. Each view is opened in a
browser by its deep link, done what is to be seen there, and written down, light and dark. Those that the documentation
shows are made anew by name, small enough for the repository; nothing else is written there.

    python apps/inspector/tests/page_pictures.py            each view, into results/page/
    python apps/inspector/tests/page_pictures.py --docs     and those of the documentation, into docs/inspector/
"""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))

from bakery import app as bakery  # noqa: E402 - tools are on the path by now
from carded import card_of, carded  # noqa: E402 - tools are on the path by now
from inspected import ended, question, until  # noqa: E402 - tools are on the path by now
from page import build  # noqa: E402 - tools are on the path by now
from pictured import SKILL, apiary  # noqa: E402 - tools are on the path by now
from playwright.async_api import Page, ViewportSize  # noqa: E402 - tools are on the path by now
from seeing import SHOTS, SHOWCASE, Seen, browser, looking, path  # noqa: E402 - tools are on the path by now
from test_web_logins import protected  # noqa: E402 - tools are on the path by now

from dovetail.testing import served  # noqa: E402 - tools are on the path by now
from dovetail_authserver.testing import AuthorizationServer  # noqa: E402 - tools are on the path by now
from dovetail_inspector.inspection import Inspection  # noqa: E402 - tools are on the path by now
from dovetail_inspector.session.calls import CallRequest  # noqa: E402 - tools are on the path by now
from dovetail_inspector.session.questions import PersonAnswer  # noqa: E402 - tools are on the path by now
from dovetail_inspector.session.server import InspectedServer  # noqa: E402 - tools are on the path by now
from dovetail_inspector.views import ConnectionSettings, ServerTarget  # noqa: E402 - tools are on the path by now

DOCS = ROOT / "docs" / "inspector"
SIZE: ViewportSize = {"width": 1120, "height": 640}
MOST = 100_000
"""Bytes of a picture in the documentation."""
SHOWN = ("tools", "calls", "timeline", "logged-in", "app", "skill", "card")
"""Those of the documentation."""


class Pictures:
    """The page in a browser, and the servers that it shows. ``baked``: the number of a record that says much."""

    def __init__(
        self,
        inspection: Inspection,
        seen: Seen,
        servers: dict[str, InspectedServer],
        baked: int,
        authority: AuthorizationServer,
    ) -> None:
        self.inspection = inspection
        self.seen = seen
        self.page = seen.page
        self.servers = servers
        self.baked = baked
        self.authority = authority

    def at(self, server: str, *rest: str) -> str:
        """A place of a server, by its name."""
        return path("s", self.servers[server].id, *rest)

    async def still(self) -> None:
        """Wait until nothing is loaded any more."""
        await self.page.locator(".pane-view > *").first.wait_for()
        await self.page.locator("[aria-busy=true]").first.wait_for(state="detached")
        await self.page.mouse.move(0, 0)


async def tools(of: Pictures) -> None:
    """A form, filled in and called."""
    await of.seen.go(of.at("showcase", "tools", "greet"))
    await of.page.get_by_role("button", name="Call", exact=True).click()
    card = of.page.get_by_role("article", name="The server asks you")
    await card.get_by_label("Your name").fill("Ada")


async def questions(of: Pictures) -> None:
    """What the call before asks."""
    await of.seen.go(path("a", "questions"))
    await of.page.get_by_role("article", name="The server asks you").wait_for()


async def transcript(of: Pictures) -> None:
    """The conversation, with a call opened."""
    for each in of.inspection.questions.views:
        of.inspection.answer(each.id, PersonAnswer("decline"))
    n = of.baked
    await of.seen.go(of.at("bakery", "transcript", str(n)))
    await of.page.get_by_role("article", name=f"Record {n}").wait_for()


async def by_call(of: Pictures) -> None:
    """The conversation call by call."""
    await of.seen.go(of.at("bakery", "transcript") + "?by=call")
    calls = of.page.get_by_role("listbox", name="Calls")
    await calls.get_by_role("option").filter(has_text="bake").first.click()
    await calls.focus()
    await of.page.keyboard.press("ArrowRight")
    await calls.get_by_role("option").filter(has_text="notifications/progress").first.wait_for()
    await of.page.get_by_role("button", name="Close the details").click()


async def network(of: Pictures) -> None:
    """An exchange, opened."""
    await of.seen.go(of.at("bakery", "network"))
    rows = of.page.get_by_role("listbox", name="HTTP exchanges").get_by_role("option")
    await rows.filter(has_text="tools/call bake").click()
    await of.page.get_by_role("article", name="Exchange").wait_for()


async def login(of: Pictures) -> None:
    """A login that waits at a step."""
    server = of.servers["notes"]
    await of.seen.go(of.at("notes", "login"))
    for _ in range(3):
        await until(lambda: server.logins.view.waiting)
        server.logins.step()
        await asyncio.sleep(0)
    await until(lambda: server.logins.view.waiting)
    await of.page.locator(".login-step[data-tone=ask]").wait_for()


async def question_of_login(of: Pictures) -> None:
    """The address of a login, before it is opened."""
    of.servers["notes"].logins.step(run=True)
    await question(of.inspection)
    await of.page.get_by_role("article", name="The server wants you to log in").wait_for()


async def logged_in(of: Pictures) -> None:
    """A login that came to its end."""
    asked = await question(of.inspection)
    of.inspection.answer(asked.id, PersonAnswer("accept"))
    await of.authority.approve(asked.url)
    await of.page.locator(".login-step").filter(has_text="Tokens are kept").wait_for()


async def app_view(of: Pictures) -> None:
    """A tool's view, with the messages that passed."""
    await of.seen.go(of.at("apiary", "tools", "weigh"))
    await of.page.get_by_role("button", name="Call", exact=True).click()
    view = of.page.frame_locator("iframe.app-frame").frame_locator("iframe")
    await view.get_by_text("38 kg").wait_for()
    await of.page.get_by_text("What it may do").click()
    await of.page.get_by_role("dialog", name="View of weigh").evaluate("each => each.scrollIntoView()")


async def app_asks(of: Pictures) -> None:
    """What a view wants to call, before it may."""
    view = of.page.frame_locator("iframe.app-frame").frame_locator("iframe")
    await view.get_by_role("button", name="Weigh again").click()
    card = of.page.get_by_role("article", name="A view wants to call a tool")
    await card.wait_for()
    await card.evaluate("each => each.scrollIntoView()")


async def skill(of: Pictures) -> None:
    """A skill of which a file is not what its entry promised."""
    await of.seen.go(of.at("apiary", "skills", SKILL))
    await of.page.get_by_role("button", name="Check all files", exact=True).click()
    await of.page.get_by_role("status", name="Verdict").wait_for()


async def card(of: Pictures) -> None:
    """A card that says something else than its server."""
    await of.seen.go(of.at("weather", "info"))
    part = of.page.get_by_role("region", name="Server card")
    await part.get_by_role("button", name="Get the card").click()
    await part.get_by_role("table").wait_for()
    await part.evaluate("each => each.scrollIntoView()")


def place(server: str, *rest: str) -> Callable[[Pictures], Awaitable[None]]:
    """A view that only has to be opened."""

    async def opened(of: Pictures) -> None:
        await of.seen.go(of.at(server, *rest) if server else path("a", *rest))

    return opened


VIEWS: dict[str, Callable[[Pictures], Awaitable[None]]] = {
    "servers": place("", "servers"),
    "info": place("showcase", "info"),
    "tools": tools,
    "questions": questions,
    "resources": place("showcase", "resources"),
    "prompts": place("showcase", "prompts", "explain"),
    "transcript": transcript,
    "calls": by_call,
    "network": network,
    "timeline": place("bakery", "timeline"),
    "lint": place("bakery", "lint"),
    "logs": place("bakery", "logs"),
    "tasks": place("bakery", "tasks"),
    "stderr": place("showcase", "stderr"),
    "captures": place("", "captures"),
    "compare": place("", "compare"),
    "checks": place("", "checks"),
    "faults": place("", "faults"),
    "login": login,
    "login-question": question_of_login,
    "logged-in": logged_in,
    "app": app_view,
    "app-asks": app_asks,
    "skills": place("apiary", "skills"),
    "skill": skill,
    "card": card,
}


@asynccontextmanager
async def before_the_page() -> AsyncIterator[Pictures]:
    """All that is to be seen."""
    async with (
        Inspection() as inspection,
        served(bakery.asgi()) as url,
        served(apiary().asgi()) as hives,
        carded() as weather,
        protected() as (behind, authority),
        browser() as found,
    ):
        if found is None:
            raise SystemExit(
                "no Chromium is here; install one, or let Playwright: playwright install chromium"
            )
        quiet = ConnectionSettings(log_level="info", sampling=False)
        targets = {
            "showcase": (ServerTarget(command=sys.executable, args=[str(SHOWCASE)]), ConnectionSettings()),
            "bakery": (ServerTarget(url=url), quiet),
            "notes": (ServerTarget(url=behind), ConnectionSettings(step_login=True)),
            "apiary": (ServerTarget(url=hives), ConnectionSettings()),
            "weather": (ServerTarget(url=weather.url), ConnectionSettings()),
        }
        weather.write(card_of(weather.url, version="1.1.0", websiteUrl=None))
        servers = {name: inspection.add(name, *how) for name, how in targets.items()}
        for each in servers.values():
            each.connect()
        await servers["showcase"].connected()
        for name in ("bakery", "apiary", "weather"):
            await servers[name].connected()
        baked = await talk(inspection, servers["bakery"])
        async with looking(inspection, found) as seen:
            await seen.page.set_viewport_size(SIZE)
            await seen.open()
            yield Pictures(inspection, seen, servers, baked, authority)


async def talk(inspection: Inspection, server: InspectedServer) -> int:
    """Calls at once; gives the number of the record of one that has everything."""

    async def call(name: str, **arguments: Any) -> int:
        request = CallRequest(kind="tool", name=name, arguments=arguments)
        return (await ended(inspection, inspection.call(server.id, request))).records[0]

    waits = call("rest", seconds=0.3), call("rest", seconds=0.12)
    baked, *_ = await asyncio.gather(call("bake", flour=300), *waits, call("burn"))
    return baked


async def take(docs: bool) -> None:
    """Take all of them. Ends with `SystemExit` for one that is too large for the documentation."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    async with before_the_page() as of:
        for name, show in VIEWS.items():
            await show(of)
            await of.still()
            await of.seen.shoot(name)
            sys.stdout.write(f"{name}: results/page/{name}-light.png, -dark.png\n")
            if docs and name in SHOWN:
                await publish(of.page, name)


async def publish(page: Page, name: str) -> None:
    """Write what is seen, light, as the documentation has it. Ends with `SystemExit` if it is too large."""
    await page.emulate_media(color_scheme="light", reduced_motion="reduce")
    session = await page.context.new_cdp_session(page)
    shot = await session.send("Page.captureScreenshot", {"format": "webp", "quality": 88})
    await session.detach()
    picture = base64.b64decode(shot["data"])
    if len(picture) > MOST:
        raise SystemExit(f"{name}: {len(picture):,} bytes, and the documentation takes {MOST:,}")
    DOCS.mkdir(parents=True, exist_ok=True)
    (DOCS / f"{name}.webp").write_bytes(picture)
    sys.stdout.write(f"docs/inspector/{name}.webp: {len(picture):,} bytes\n")


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--docs"]):
        raise SystemExit(__doc__)
    build()
    asyncio.run(take(bool(sys.argv[1:])))
