"""Structured content that an author built without text goes out with text as well: some clients read nothing else."""

import json

import pytest

from dovetail import App, CallToolResult, TextContent
from dovetail.revisions import REVISIONS
from wires import Connect

EVERY = pytest.mark.parametrize("revision", REVISIONS)


@pytest.mark.requirement("R2607-TOOLS-037")
@EVERY
async def test_structured_content_without_content_is_text_as_well(revision: str, connect: Connect) -> None:
    app = App("mill")

    @app.tool
    async def flour() -> CallToolResult:
        return CallToolResult(content=[], structured_content={"kilos": 5, "grain": "r\u00f6ggen"})

    @app.tool(output_schema={"type": "object", "required": ["kilos"]})
    async def promised() -> CallToolResult:
        return CallToolResult(content=[], structured_content={"kilos": 5})

    @app.tool
    async def told() -> CallToolResult:
        return CallToolResult(content=[TextContent(text="five kilos")], structured_content={"kilos": 5})

    @app.tool
    async def nothing() -> CallToolResult:
        return CallToolResult(content=[])

    @app.tool
    async def failed() -> CallToolResult:
        return CallToolResult(content=[], structured_content={"kilos": 0}, is_error=True)

    wire = await connect(app, revision)
    texts = {
        name: [each["text"] for each in (await wire.call(name))["content"]]
        for name in ("flour", "promised", "told", "nothing", "failed")
    }
    assert json.loads(texts.pop("flour")[0]) == {"kilos": 5, "grain": "r\u00f6ggen"}
    assert json.loads(texts.pop("promised")[0]) == {"kilos": 5}
    assert texts == {"told": ["five kilos"], "nothing": [], "failed": []}
