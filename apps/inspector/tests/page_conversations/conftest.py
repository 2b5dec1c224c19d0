"""A person before the page, and servers whose conversations are looked at."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import bakery
import pytest
from inspected import ended
from seeing import Seen

from dovetail.testing import served
from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.calls import CallRequest
from dovetail_inspector.session.server import InspectedServer
from dovetail_inspector.views import CallView, ConnectionSettings, ServerTarget

REFUSED: Final = "Failed to load resource"
"""How a browser's console begins to tell of an answer that is no success; the page tells of it where it was asked."""


class Desk:
    """An Inspector, and a person before its page. ``page``: the browser's."""

    def __init__(self, inspection: Inspection, seen: Seen) -> None:
        self.inspection: Final = inspection
        self.page: Final = seen.page
        self.barriers: Final = seen.barriers
        self.overflow: Final = seen.overflow
        self._seen: Final = seen

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
        await self.page.goto(f"{self._seen.address}/#/{place}")


@pytest.fixture
async def desk(inspection: Inspection, seen: Seen) -> AsyncIterator[Desk]:
    """The page, open."""
    await seen.open()
    yield Desk(inspection, seen)
    seen.wrong[:] = [each for each in seen.wrong if REFUSED not in each]


@pytest.fixture
async def http_bakery() -> AsyncIterator[Callable[[Desk], Awaitable[InspectedServer]]]:
    """Connects a desk to the bakery over HTTP."""
    async with served(bakery.app.asgi()) as url:

        async def connect(desk: Desk) -> InspectedServer:
            return await desk.connected(ServerTarget(url=url), revision="2026-07-28")

        yield connect
