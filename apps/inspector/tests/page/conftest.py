"""A built page, a browser, and a server that is looked at."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import pytest
from page import build
from playwright.async_api import Browser
from seeing import SHOWCASE, Seen, browser, looking

from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.server import InspectedServer
from dovetail_inspector.views import ServerTarget


@pytest.fixture(scope="session")
def built_page() -> None:
    """The page, as it is in the tree: the first process builds it, the others wait for that."""
    build()


@pytest.fixture
async def chromium(built_page: None) -> AsyncIterator[Browser]:
    """A browser."""
    async with browser() as found:
        if found is None:
            pytest.skip("no-chromium: nothing on the PATH, and Playwright installed none")
        yield found


@pytest.fixture
async def seen(inspection: Inspection, chromium: Browser) -> AsyncIterator[Seen]:
    """The page of an Inspector without servers, in a browser."""
    async with looking(inspection, chromium) as found:
        yield found


@pytest.fixture
async def showcase(inspection: Inspection) -> InspectedServer:
    """The server that has everything, connected."""
    server = inspection.add("showcase", ServerTarget(command=sys.executable, args=[str(SHOWCASE)]))
    server.connect()
    await server.connected()
    assert server.view.state == "ready", server.view.error
    return server
