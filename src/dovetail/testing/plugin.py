"""Fixtures for tests of servers, found by pytest once dovetail is installed.

``mcp_client`` is a client of the app that a fixture called ``app`` gives. A test that uses it runs once for each
revision and each transport, with the replay check on:

    @pytest.fixture
    def app():
        return shop

    async def test_booking(mcp_client, mcp_answers):
        mcp_answers["Sure?"] = True
        assert (await mcp_client.call_tool("book")).text == "booked"

Redefine ``mcp_overrides`` (dependencies to use in place of others) or ``mcp_options`` (more options of `Client`) where
a test needs them. ``connect`` is for tests that connect by themselves: ``async with connect(app) as client``.
``surface_snapshot`` holds what an app, or a client's server, shows against a file that is reviewed
: ``await surface_snapshot(shop)``; ``pytest --update-surfaces`` writes it.
``@pytest.mark.mcp(revisions=[...], transports=[...])`` narrows what a test, a class or a module runs over, and so do
``mcp_revisions`` and ``mcp_transports`` in the configuration for all. The names say "mcp" because ``client`` is what
other plugins call theirs.

Tests are coroutines, so a plugin that runs these is needed; ``mcp_client`` needs pytest-asyncio.

Specification: none.
"""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

# Every pytest that runs where dovetail is installed loads this file: the rest is imported by the tests that use it.
try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:  # the fixture is there all the same, and pytest says that nothing runs it
    async_fixture = pytest.fixture


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of the configuration."""
    parser.addini("mcp_revisions", "the revisions that `mcp_client` and `connect` run over", "args")
    parser.addini("mcp_transports", "the transports that `mcp_client` and `connect` run over", "args")
    parser.addoption(
        "--update-surfaces",
        action="store_true",
        help="write the files of `surface_snapshot` anew, instead of comparing (or DOVETAIL_UPDATE_SURFACES=1)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers", "mcp(revisions, transports): what the `mcp_client` and `connect` fixtures run over"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that connects over everything that it did not exclude."""
    if not {"mcp_revision", "mcp_transport"} & set(metafunc.fixturenames):
        return
    from ..protocol.revisions import REVISIONS
    from .serving import TRANSPORTS

    marker = metafunc.definition.get_closest_marker("mcp")
    chosen: dict[str, Any] = {} if marker is None else dict(marker.kwargs)
    if marker is not None and (marker.args or chosen.keys() - {"revisions", "transports"}):
        raise pytest.UsageError("mcp marker: takes revisions=[...] and transports=[...]")
    for name, option, every in (
        ("mcp_revision", "revisions", REVISIONS),
        ("mcp_transport", "transports", TRANSPORTS),
    ):
        if name in metafunc.fixturenames:
            wanted: list[str] = list(chosen.get(option) or metafunc.config.getini(f"mcp_{option}") or every)
            unknown = set(wanted) - {*every, *(("http",) if option == "transports" else ())}
            if unknown:
                raise pytest.UsageError(
                    f"mcp: there are no {option} {', '.join(sorted(unknown))}; there are {', '.join(every)}"
                )
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
def mcp_answers() -> Any:
    """The answers that ``mcp_client`` gives to forms: `Answers`, to be filled by the test."""
    from .answers import Answers

    return Answers()


@pytest.fixture
def mcp_overrides() -> dict[Any, Callable[..., Any]]:
    """Dependencies that ``mcp_client`` uses in place of others; none, unless redefined."""
    return {}


@pytest.fixture
def mcp_options() -> dict[str, Any]:
    """More options for ``mcp_client``, as of `Client`; none, unless redefined."""
    return {}


@pytest.fixture
def surface_snapshot(request: pytest.FixtureRequest) -> Any:
    """Hold a surface against its file: ``await surface_snapshot(app)``, or of a client, or a `Surface`.

    The file is ``surfaces/NAME.json`` beside the test, NAME being that of the server, or what is given as ``name=``.
    """
    from .surface_check import SurfaceCheck, updating

    update = bool(request.config.getoption("--update-surfaces")) or updating()
    return SurfaceCheck(request.path.parent / "surfaces", update=update)


@pytest.fixture
def connect(request: pytest.FixtureRequest, mcp_revision: str, mcp_transport: str) -> Callable[..., Any]:
    """``async with connect(app, **options) as client``: see `connected` for the options."""

    from .serving import connected

    def make(app: Any = None, **options: Any) -> Any:
        target = request.getfixturevalue("app") if app is None else app
        whole: dict[str, Any] = {"revision": mcp_revision, "transport": mcp_transport, **options}
        return connected(target, **whole)

    return make


@async_fixture
async def mcp_client(
    request: pytest.FixtureRequest,
    mcp_revision: str,
    mcp_transport: str,
    mcp_answers: Any,
    mcp_overrides: dict[Any, Callable[..., Any]],
    mcp_options: dict[str, Any],
) -> AsyncGenerator[Any]:
    """A client of the app that the fixture ``app`` gives. A question without an answer fails the test at its end."""
    from .serving import connected

    whole: dict[str, Any] = {
        "revision": mcp_revision,
        "transport": mcp_transport,
        "overrides": mcp_overrides,
        "elicitation": mcp_answers,
        **mcp_options,
    }
    async with connected(request.getfixturevalue("app"), **whole) as client:
        yield client
    missed = getattr(mcp_answers, "unanswered", ())
    if missed:
        pytest.fail(f"no answer was written for {', '.join(map(repr, missed))}")
