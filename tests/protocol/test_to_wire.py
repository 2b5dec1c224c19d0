"""`to_wire`: any value of the protocol as the JSON that it stands for, unknown members in their places."""

import json
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, Raw, Struct

import dovetail
from dovetail import ToolResult
from dovetail.protocol import codec, types
from dovetail.protocol.types import (
    CallToolParams,
    CallToolResult,
    GetPromptResult,
    InputRequest,
    InputRequired,
    ListResourcesResult,
    ListToolsResult,
    ReadResourceResult,
    ServerCapabilities,
    Tool,
)

NEW = {"x-new": {"deep": [1, None]}}
ICON = {"src": "https://example.com/i.png", "mimeType": "image/png", **NEW}
CAME: dict[Any, dict[str, Any]] = {
    ListToolsResult: {
        "tools": [
            {
                "name": "t",
                "inputSchema": {"type": "object"},
                "annotations": {"readOnlyHint": True, **NEW},
                "icons": [ICON],
                "_meta": {"a/b": 1},
                **NEW,
            }
        ],
        "nextCursor": "",
        "ttlMs": 5,
        **NEW,
    },
    ListResourcesResult: {
        "resources": [{"uri": "a://b", "name": "n", "mimeType": "text/plain", "size": 1, **NEW}]
    },
    CallToolResult: {
        "content": [
            {"type": "text", "text": "a", "annotations": {"audience": ["user"], **NEW}, **NEW},
            {"type": "resource_link", "uri": "a://b", "name": "n", **NEW},
            {"type": "resource", "resource": {"uri": "a://b", "text": "x", **NEW}, **NEW},
            {"type": "hologram", "rays": [1, 2], **NEW},
        ],
        "structuredContent": {"n": 1.5, "none": None},
        "isError": False,
        **NEW,
    },
    GetPromptResult: {
        "messages": [{"role": "user", "content": {"type": "image", "data": "", "mimeType": "a/b"}, **NEW}]
    },
    ReadResourceResult: {"contents": [{"uri": "a://b", "blob": "AA==", "mimeType": "a/b", **NEW}]},
    ServerCapabilities: {"tools": {"listChanged": True, **NEW}, "tasks": {"list": {}}, **NEW},
}


@pytest.mark.parametrize("kind", CAME, ids=lambda kind: kind.__name__)
def test_what_came_is_what_is_shown(kind: Any) -> None:
    came = CAME[kind]
    shown = codec.reader(kind).keep(json.dumps(came).encode()).to_wire()
    assert shown == came
    assert "\ue000" not in json.dumps(shown, ensure_ascii=False)


def test_a_tool_result_shows_the_whole_result() -> None:
    raw = codec.reader(CallToolResult).keep(json.dumps(CAME[CallToolResult]).encode())
    assert ToolResult("t", raw).to_wire() == CAME[CallToolResult]


def test_every_public_type_has_it() -> None:
    public = [getattr(types, name) for name in types.__all__] + [
        getattr(dovetail, name) for name in dovetail.__all__
    ]
    structs = {kind for kind in public if isinstance(kind, type) and issubclass(kind, Struct)}
    assert Tool in structs
    lacking = {kind for kind in structs if kind.__module__.startswith("dovetail.protocol.types")} - {
        kind for kind in structs if hasattr(kind, "to_wire")
    }
    assert not lacking


def test_bytes_that_are_read_later_are_shown_as_values() -> None:
    assert CallToolParams(name="t", arguments=Raw(b'{"a":1}')).to_wire() == {
        "name": "t",
        "arguments": {"a": 1},
    }
    asked = InputRequired(input_requests={"k": InputRequest(method="m", params=Raw(b'{"b":[2]}'))})
    assert asked.to_wire() == {"inputRequests": {"k": {"method": "m", "params": {"b": [2]}}}}


def test_what_is_there_by_default_is_not_shown_and_null_is_a_value() -> None:
    assert CallToolResult(content=[]).to_wire() == {"content": []}
    assert CallToolResult(content=[], structured_content=None).to_wire() == {
        "content": [],
        "structuredContent": None,
    }
    assert CallToolResult(content=[]).structured_content is UNSET


def test_it_is_the_callers_to_change() -> None:
    tool = Tool(name="t", input_schema={"type": "object"}, extra={"x": {"deep": 1}})
    shown = tool.to_wire()
    shown["inputSchema"]["type"] = shown["x"]["deep"] = "changed"
    assert tool.to_wire() == {"name": "t", "inputSchema": {"type": "object"}, "x": {"deep": 1}}
    assert msgspec.structs.replace(tool, name="u").to_wire()["name"] == "u"
