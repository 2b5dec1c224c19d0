"""A tool that gives resources back, in an app that has none."""

import pytest

from dovetail import App
from dovetail.revisions import REVISIONS
from dovetail.types import EmbeddedResource, ResourceContents
from wires import Connect


@pytest.mark.parametrize("revision", REVISIONS)
async def test_what_a_tool_embeds_declares_no_lists(revision: str, connect: Connect) -> None:
    app = App("mill")

    @app.tool
    async def recipe() -> EmbeddedResource:
        return EmbeddedResource(resource=ResourceContents(uri="mill://recipe", text="rye"))

    wire = await connect(app, revision)
    (block,) = (await wire.call("recipe"))["content"]
    assert block["resource"] == {"uri": "mill://recipe", "text": "rye"}
    opened = await wire.result("server/discover") if wire.stateless else None
    assert opened is None or "resources" not in opened["capabilities"]
    assert (await wire.error("resources/list"))["code"] == -32601
