"""Nothing is wrong with what our own server and client say: in each revision, over each transport."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from recorded_app import app

from dovetail import Client
from dovetail.linting import Finding, lint_capture
from dovetail.recording import Capture
from dovetail.revisions import REVISIONS
from dovetail.testing.serving import TRANSPORTS, Transport, connected

LIBRARY = Path(__file__).parents[2] / "examples" / "library" / "server.py"
#: What the app that is recorded does on purpose: it describes no arguments, and logs.
MEANT = {"arguments-undescribed", "deprecated", "tool-description-missing", "prompt-description-missing"}


async def ada(request: Any) -> dict[str, str]:
    """Who answers."""
    return {"value": "Ada"}


def wrong(path: Path) -> list[Finding]:
    """What is wrong in a recording, but for what is meant."""
    capture = Capture.read(path)
    assert len(capture) > 8
    return [each for each in lint_capture(capture) if each.rule not in MEANT]


async def use(client: Client) -> None:
    """Something of everything."""
    await client.list_tools()
    await client.list_resources()
    await client.list_prompts()
    assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
    await client.call_tool("tell", {})
    asked = (await client.call_tool("ask", {})).text
    assert "Ada" in asked or "elicitation" in asked  # the first revisions can't ask
    await client.call_tool("fail", {})
    await client.read("note://a")


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_over_every_transport(transport: Transport, revision: str, tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    options: dict[str, Any] = {"revision": revision, "record": path, "elicitation": ada}
    async with connected(app, transport=transport, **options) as client:
        await use(client)
    assert wrong(path) == []


@pytest.mark.parametrize("revision", REVISIONS)
async def test_the_library_over_a_pipe(revision: str, tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    async with Client(str(LIBRARY), revision=revision, record=path, elicitation=ada) as client:
        for tool in (await client.list_tools()).tools:
            assert tool.name
        await client.list_resources()
        await client.list_prompts()
    assert wrong(path) == []
