"""Fixtures for tests of servers, found by pytest once dovetail is installed.

``connect`` gives a client of an app. A test that uses it runs once for each revision and each transport, with the
replay check on:

    async def test_booking(connect):
        async with connect(app, elicitation=Answers({"Sure?": True})) as client:
            assert (await client.call_tool("book")).text == "booked"

``@pytest.mark.mcp(revisions=[...], transports=[...])`` narrows what it runs over. Without an app ``connect()`` takes
the one that a fixture called ``app`` gives. Tests are coroutines, so a plugin that runs these is needed, such as
pytest-asyncio.

Specification: none.
"""

from collections.abc import Callable
from typing import Any

import pytest

# Every pytest that runs where dovetail is installed loads this file: the rest is imported by the tests that use it.


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", "mcp(revisions, transports): what the `connect` fixture runs over")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that connects over everything that it did not exclude."""
    if not {"mcp_revision", "mcp_transport"} & set(metafunc.fixturenames):
        return
    from ..protocol.revisions import REVISIONS
    from .serving import TRANSPORTS

    marker = metafunc.definition.get_closest_marker("mcp")
    for name, option, every in (
        ("mcp_revision", "revisions", REVISIONS),
        ("mcp_transport", "transports", TRANSPORTS),
    ):
        if name in metafunc.fixturenames:
            wanted = list((marker.kwargs.get(option) if marker is not None else None) or every)
            unknown = set(wanted) - set(every)
            if unknown:
                raise pytest.UsageError(f"mcp marker: there are no {option} {sorted(unknown)}")
            metafunc.parametrize(name, wanted, indirect=True)


@pytest.fixture
def mcp_revision(request: pytest.FixtureRequest) -> str:
    """The revision of this run of the test."""
    return request.param


@pytest.fixture
def mcp_transport(request: pytest.FixtureRequest) -> str:
    """The transport of this run of the test."""
    return request.param


@pytest.fixture
def connect(request: pytest.FixtureRequest, mcp_revision: str, mcp_transport: str) -> Callable[..., Any]:
    """``async with connect(app, **options) as client``: see `connected` for the options."""

    from .serving import connected

    def make(app: Any = None, **options: Any) -> Any:
        target = request.getfixturevalue("app") if app is None else app
        whole: dict[str, Any] = {"revision": mcp_revision, "transport": mcp_transport, **options}
        return connected(target, **whole)

    return make
