"""Icons of servers in the page: a picture is drawn from its own bytes, and nothing else is."""

from __future__ import annotations

import base64

import pytest
from playwright.async_api import expect
from seeing import path

from dovetail import App, Icon
from dovetail.testing import served
from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.server import InspectedServer
from dovetail_inspector.views import ServerTarget

#: A picture of 8 by 8 points, as the browser writes it.
PICTURE = """kind => {
    const made = document.createElement("canvas");
    made.width = made.height = 8;
    made.getContext("2d").fillRect(0, 0, 8, 8);
    return made.toDataURL(kind);
}"""
SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8' onload='window.ran = 1'><script>1</script></svg>"


def named(name: str) -> str:
    """What the template reads."""
    return name


def dressed(icons: dict[str, str]) -> App:
    """An app with a tool for each icon; the first is also its own, and that of a prompt, a resource and a template."""
    first = [Icon(src=next(iter(icons.values())))]
    app = App("dressed", icons=first)
    app.add_prompt(lambda: "x", name="wave", description="One.", icons=first)
    app.add_resource(lambda: "x", uri="a://b", description="One.", icons=first)
    app.add_resource(named, uri="a://{name}", description="One.", icons=first)
    for name, address in icons.items():
        app.add_tool(lambda: "x", name=name, description="One.", icons=[Icon(src=address)])
    return app


async def connected(inspection: Inspection, url: str) -> InspectedServer:
    """A server at a URL."""
    server = inspection.add("dressed", ServerTarget(url=url))
    server.connect()
    await server.connected()
    assert server.view.state == "ready", server.view.error
    return server


@pytest.mark.requirement("R2511-SCHEMA-015", "R2511-SCHEMA-024", "R2607-SCHEMA-033", "R2607-SCHEMA-056")
async def test_r22_pictures_are_drawn_beside_what_they_are_of(seen, inspection):
    page = seen.page
    await seen.open()
    icons = {kind: await page.evaluate(PICTURE, f"image/{kind}") for kind in ("png", "jpeg", "webp")}
    assert all(each.startswith(f"data:image/{kind};base64,") for kind, each in icons.items())
    async with served(dressed(icons).asgi()) as url:
        server = await connected(inspection, url)
        for place in (
            *(("tools", kind) for kind in icons),
            ("prompts", "wave"),
            ("resources", "a://b"),
            ("info",),
        ):
            await seen.go(path("s", server.id, *place))
            icon = page.locator("img.own-icon")
            await expect(icon).to_have_attribute("src", icons.get(place[-1], icons["png"]))
            assert await icon.evaluate("image => image.decode().then(() => image.naturalWidth)") == 8
            await seen.check_access()
        await seen.go(path("s", server.id, "resources") + "?of=templates")
        await page.get_by_role("option").click()
        await expect(page.locator("img.own-icon")).to_have_attribute("src", icons["png"])


@pytest.mark.hostile
async def test_r22_what_leads_elsewhere_or_may_hold_a_program_is_not_drawn(seen, inspection):
    page = seen.page
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    svg = base64.b64encode(SVG.encode()).decode()
    icons = {
        "svg": f"data:image/svg+xml;base64,{svg}",
        "liar": f"data:image/png;base64,{svg}",
        "page": f"data:text/html;base64,{svg}",
        "far": "https://elsewhere.example/pixel.png",
        "script": "javascript:window.ran=3",
        "file": "file:///etc/passwd",
    }
    await seen.open()
    async with served(dressed(icons).asgi()) as url:
        server = await connected(inspection, url)
        for name in icons:
            await seen.go(path("s", server.id, "tools", name))
            await expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
            assert await page.locator("img").count() == 0
        await seen.go(path("s", server.id, "info"))
        await expect(page.get_by_role("heading", name="dressed", exact=True)).to_be_visible()
        assert await page.locator("img").count() == 0
    assert await seen.ran() is None
    assert [each for each in asked if not each.startswith((seen.address, "blob:"))] == []
