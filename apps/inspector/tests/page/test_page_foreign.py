"""Servers that nobody here wrote, in the Inspector: its core lists and calls them, and its page walks over all views.

`make interop` runs it, with `--foreign`; without that it is no part of a run. An error box is a fault, unless the
server itself is what failed; so is whatever the browser complains of.

Follows: server/tools of all revisions; tests/interop/foreign.toml has the servers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from inspected import ended
from playwright.async_api import expect
from seeing import path
from walking import walk

from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.calls import CallRequest
from dovetail_inspector.session.server import InspectedServer
from dovetail_inspector.views import ConnectionSettings, ServerTarget
from interop.foreign_servers import Foreign, Installed, install_foreign, servers
from interop.foreign_ways import Place, at, left_behind

#: The official one that has everything, over all transports; and fifteen more, of both registries.
NAMES = (
    *("@modelcontextprotocol/server-everything", "mcp-server-time", "mcp-server-git", "mcp-server-sqlite"),
    *(
        "excel-mcp-server",
        "office-word-mcp-server",
        "mcp-alchemy",
        "mcp-server-tree-sitter",
        "code-index-mcp",
    ),
    *("@modelcontextprotocol/server-filesystem", "@modelcontextprotocol/server-memory", "time-mcp"),
    *("@modelcontextprotocol/server-pdf", "@modelcontextprotocol/server-threejs", "@upstash/context7-mcp"),
    "@cyanheads/git-mcp-server",
)
TABLE = servers()
CHOSEN = [each for each in TABLE if each.name in NAMES]
WITH_VIEWS = [each for each in TABLE if each.name == "@modelcontextprotocol/server-budget-allocator"]


@pytest.fixture(scope="session")
def installed() -> Installed:
    """Everything that was set up when the run started."""
    return install_foreign(TABLE, lambda _text: None)


@pytest.fixture
def place(server: Foreign, installed: Installed, tmp_path: Path) -> Iterator[Place]:
    """A server, ready to be reached."""
    with at(server, installed, tmp_path) as found:
        yield found


async def reached(inspection: Inspection, server: Foreign, place: Place) -> InspectedServer:
    """A server, connected."""
    target = (
        ServerTarget(url=place.target)
        if isinstance(place.target, str)
        else ServerTarget(
            command=place.target[0], args=place.target[1:], env=place.env, cwd=str(place.folder)
        )
    )
    inspected = inspection.add(server.name, target, ConnectionSettings(revision=server.pinned))
    inspected.connect()
    await inspected.connected()
    assert inspected.view.state == "ready", inspected.view.error
    return inspected


@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", CHOSEN, ids=str)
async def test_a_server_of_somebody_else(
    seen, inspection, server: Foreign, place: Place, tmp_path: Path
) -> None:
    inspected = await reached(inspection, server, place)
    assert inspected.view.revision == server.revision
    tools = (await inspection.listed(inspected.id, "tools")).items
    # A server may offer more to who declares more, and the Inspector declares all that there is.
    assert len(tools) >= server.tools
    request = CallRequest(kind="tool", name=server.call.tool, arguments=place.arguments)
    call = await ended(inspection, inspection.call(inspected.id, request))
    assert call.state == ("failed" if server.call.error == "protocol" else "done")
    assert place.says in str(call.result or call.error)
    await seen.open(path("s", inspected.id))
    await walk(seen, inspection, inspected, [each["name"] for each in tools[:5]])
    await inspected.disconnect()
    assert left_behind(tmp_path) == [] or not isinstance(place.target, list)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", WITH_VIEWS, ids=str)
async def test_a_view_of_somebody_else(seen, inspection, server: Foreign, place: Place) -> None:
    """The official example of an app: it greets with the library of the extension, and shows what its tool gave."""
    inspected = await reached(inspection, server, place)
    await seen.open(path("s", inspected.id, "tools", server.call.tool))
    await seen.button("Call").click()
    view = seen.page.frame_locator("iframe.app-frame").frame_locator("iframe")
    await expect(view.get_by_text("Marketing").first).to_be_visible()
    dialog = seen.page.get_by_role("dialog", name=f"View of {server.call.tool}")
    await expect(dialog).to_contain_text("running")
    await expect(dialog.get_by_role("list", name="Messages, oldest first")).to_contain_text("size-changed")
    assert inspection.apps.view("a1").app["name"] == "Budget Allocator"
    await seen.button("Close view", dialog).click()
    await expect(dialog).to_contain_text("The view is closed: the person closed it.")
    await inspected.disconnect()
