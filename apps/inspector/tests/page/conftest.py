"""A server that is looked at in the page."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from seeing import SHOWCASE

from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.server import InspectedServer
from dovetail_inspector.views import ServerTarget


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Servers that nobody here wrote are a matter of `make interop`, which installs them."""
    foreign = collection_path.name == "test_page_foreign.py"
    return True if foreign and not config.getoption("--foreign", default=False) else None


@pytest.fixture
async def showcase(inspection: Inspection) -> InspectedServer:
    """The server that has everything, connected."""
    server = inspection.add("showcase", ServerTarget(command=sys.executable, args=[str(SHOWCASE)]))
    server.connect()
    await server.connected()
    assert server.view.state == "ready", server.view.error
    return server
