"""Icons of servers: which a host lets be drawn, and which a gateway passes on."""

import base64
from typing import Any

import pytest

from dovetail import App, Client, Icon
from dovetail.gateway import Gateway
from dovetail.host import Host, HostPolicy, safe_icons
from dovetail.host.icons import MAX_ICON_DATA, MAX_ICONS
from dovetail.testing.serving import served

PNG, JPEG, GIF = b"\x89PNG\r\n\x1a\n" + b"\0" * 16, b"\xff\xd8\xff\xe0" + b"\0" * 16, b"GIF89a" + b"\0" * 16
WEBP = b"RIFF\0\0\0\0WEBPVP8 "
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
URL = "https://mail.example:8443/mcp"
OWN = "https://mail.example:8443/icon.png"
ROWS = pytest.mark.requirement("R2511-SCHEMA-017", "R2511-SCHEMA-018", "R2607-SCHEMA-035", "R2607-SCHEMA-036")


def data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def safe(address: str, url: str = URL) -> bool:
    return [icon.src for icon in safe_icons([Icon(src=address)], url)] == [address]


@pytest.mark.requirement("R2511-SCHEMA-022", "R2607-SCHEMA-054")
@ROWS
@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "file:///etc/passwd",
        "ftp://mail.example/icon.png",
        "ws://mail.example:8443/icon.png",
        "http://mail.example:8443/icon.png",
        "x-app://icon",
        "//mail.example:8443/icon.png",
        "icon.png",
        "",
        "https://mail.example/icon.png",
        "https://mail.example:8443@evil.example/icon.png",
        "https://user:secret@mail.example:8443/icon.png",
        "https://mail.example.evil.example:8443/icon.png",
        "https://sub.mail.example:8443/icon.png",
        "https:\\\\mail.example:8443\\icon.png",
        "https://mail.example:8443/icon.png\nX: y",
        " https://mail.example:8443/icon.png",
        "blob:https://mail.example:8443/icon.png",
    ],
)
def test_r22_an_address_that_leads_elsewhere_is_not_drawn(address: str) -> None:
    assert not safe(address)
    assert safe(OWN)


@ROWS
def test_a_server_without_a_url_has_no_origin() -> None:
    assert not safe(OWN, "")
    assert not safe("https://mail.example:8443/icon.png", "http://mail.example:8443/mcp")
    assert safe(data("image/png", PNG), "")


@pytest.mark.requirement("R2511-SCHEMA-023", "R2607-SCHEMA-055")
@ROWS
@pytest.mark.parametrize(
    "kind,content,is_safe",
    [
        ("image/png", PNG, True),
        ("image/jpeg", JPEG, True),
        ("image/jpg", JPEG, True),
        ("image/gif", GIF, True),
        ("image/webp", WEBP, True),
        ("IMAGE/PNG", PNG, True),
        ("image/png", JPEG, False),
        ("image/png", SVG, False),
        ("image/webp", b"RIFF\0\0\0\0WAVE", False),
        ("image/svg+xml", SVG, False),
        ("text/html", PNG, False),
        ("image/png", b"", False),
    ],
)
def test_r22_data_is_what_its_first_bytes_say(kind: str, content: bytes, is_safe: bool) -> None:
    assert safe(data(kind, content)) is is_safe


@ROWS
def test_r22_data_is_bounded_and_whole() -> None:
    head = PNG[:8]
    assert safe(data("image/png", head + b"\0" * (MAX_ICON_DATA - len(head))))
    assert not safe(data("image/png", head + b"\0" * (MAX_ICON_DATA + 1)))
    assert not safe(f"data:image/png,{PNG[:8]!r}")
    assert not safe(data("image/png", PNG) + "!")
    assert len(safe_icons([Icon(src=OWN)] * (MAX_ICONS + 5), URL)) == MAX_ICONS
    assert safe_icons(None, URL) == []


def drawn() -> App:
    given: Any = [
        Icon(src=data("image/png", PNG)),
        Icon(src="https://elsewhere.example/pixel.png"),
        Icon(src="javascript:alert(1)"),
    ]
    app = App("drawn", icons=given)

    @app.tool(icons=given)
    async def draw() -> str:
        return "drawn"

    @app.prompt(icons=given)
    async def paint() -> str:
        return "paint"

    @app.resource("paint://red", icons=given)
    async def red() -> str:
        return "red"

    return app


@ROWS
async def test_r22_a_host_gives_those_that_may_be_drawn_and_fetches_none() -> None:
    """What is fetched would be seen: the server is on a socket of this machine, and its icons elsewhere."""
    async with (
        served(drawn().asgi()) as url,
        Host({"far": url, "near": drawn()}, policy=HostPolicy(default="allow")) as host,
    ):
        await host.settled(timeout=20)
        things = [*await host.tools(), *await host.prompts(), *await host.resources(), "far", "near"]
        assert len(things) == 8
        for thing in things:
            assert [icon.src[:14] for icon in host.icons(thing)] == ["data:image/png"]


@ROWS
async def test_r22_a_gateway_passes_on_no_other() -> None:
    async with served(drawn().asgi()) as url:
        gateway = Gateway({"far": url, "near": drawn()})
        async with Client(gateway.app, revision="2026-07-28") as client:
            shown = {tool.name: tool.icons or [] async for tool in client.tools()}
            assert [icon.src[:14] for icon in shown["far__draw"]] == ["data:image/png"]
            near = [icon.src.partition(",")[0] for icon in shown["near__draw"]]
            assert near == ["data:image/png;base64", "https://elsewhere.example/pixel.png"]
            for listed in (
                [each async for each in client.prompts()],
                [each async for each in client.resources()],
            ):
                for each in listed:
                    assert not any("javascript" in icon.src for icon in each.icons or [])
