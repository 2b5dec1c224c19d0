"""Views of apps in the page: opened for a call, told of it, served, and shown with all that passes."""

from __future__ import annotations

import sys
from pathlib import Path

import app_server
import pytest
from playwright.async_api import FrameLocator, Locator, expect
from seeing import Seen, path

from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.server import InspectedServer
from dovetail_inspector.views import ServerTarget


@pytest.fixture
async def tower(inspection: Inspection) -> InspectedServer:
    """The server with a view, connected."""
    place = str(Path(app_server.__file__))
    server = inspection.add("tower", ServerTarget(command=sys.executable, args=[place]))
    server.connect()
    await server.connected()
    assert server.view.state == "ready", server.view.error
    return server


def view_in(seen: Seen) -> FrameLocator:
    """The document of the view that is seen."""
    return seen.page.frame_locator("iframe.app-frame").frame_locator("iframe")


def panel(seen: Seen, tool: str = "clock") -> Locator:
    """The view with what is said of it."""
    return seen.page.get_by_role("dialog", name=f"View of {tool}")


async def opened(seen: Seen, server: InspectedServer, tool: str = "clock") -> FrameLocator:
    """Call a tool in the page; its view opens by itself."""
    await seen.open(path("s", server.id, "tools", tool))
    await seen.button("Call").click()
    view = view_in(seen)
    await expect(view.locator("#mode")).to_have_text("mode inline")
    return view


async def test_a_call_shows_its_view(seen, tower):
    view = await opened(seen, tower)
    await expect(view.locator("#input")).to_have_text('input {"city":"Oslo"}')
    await expect(view.locator("#result")).to_have_text("result noon in Oslo")
    await seen.shoot("app")
