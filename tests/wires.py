"""Wires to apps, closed when the test is over."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest

from dovetail import App
from wire_of_server import Wire

Connect = Callable[..., Awaitable[Wire]]


@pytest.fixture
async def connect() -> AsyncGenerator[Connect]:
    """Opens a wire to an app: ``await connect(app, revision, capabilities)``."""
    open_wires: list[Wire] = []

    async def open_wire(app: App, revision: str, capabilities: dict[str, Any] | None = None) -> Wire:
        wire = Wire(app, revision, capabilities)
        open_wires.append(wire)
        await wire.open()
        return wire

    yield open_wire
    for wire in open_wires:
        await wire.close()
        await wire.app.service.stop()
