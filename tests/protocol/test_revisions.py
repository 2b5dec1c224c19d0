"""The revision tables against the schemas: a field that a table lets through exists, one that it drops does not."""

import json
from pathlib import Path
from typing import Any

import pytest

from dovetail.protocol import codec, types
from dovetail.protocol.errors import FeatureUnavailable, ResourceNotFound, UnsupportedVersion
from dovetail.protocol.revisions import PROFILES, REVISIONS, STATEFUL, STATELESS, Feature
from dovetail.protocol.types.content import CONTENT, CONTENT_NAMES
from dovetail.protocol.types.wire import EXTRA_KEY

SCHEMAS = Path(__file__).parents[2] / "src" / "dovetail" / "specification" / "schemas"

#: Our type, and the definition it stands for where the name differs.
DEFINITIONS = {
    "Annotations": "Annotations",
    "AudioContent": "AudioContent",
    "CallToolResult": "CallToolResult",
    "ClientCapabilities": "ClientCapabilities",
    "CompleteResult": "CompleteResult",
    "EmbeddedResource": "EmbeddedResource",
    "GetPromptResult": "GetPromptResult",
    "Icon": "Icon",
    "ImageContent": "ImageContent",
    "Implementation": "Implementation",
    "InitializeResult": "InitializeResult",
    "ListPromptsResult": "ListPromptsResult",
    "ListResourceTemplatesResult": "ListResourceTemplatesResult",
    "ListResourcesResult": "ListResourcesResult",
    "ListToolsResult": "ListToolsResult",
    "ModelPreferences": "ModelPreferences",
    "Prompt": "Prompt",
    "PromptArgument": "PromptArgument",
    "PromptMessage": "PromptMessage",
    "ReadResourceResult": "ReadResourceResult",
    "Resource": "Resource",
    "ResourceLink": "ResourceLink",
    "ResourceTemplate": "ResourceTemplate",
    "Root": "Root",
    "SamplingMessage": "SamplingMessage",
    "ServerCapabilities": "ServerCapabilities",
    "TextContent": "TextContent",
    "Tool": "Tool",
    "ToolAnnotations": "ToolAnnotations",
}


def _definitions(revision: str) -> dict[str, Any]:
    schema = json.loads((SCHEMAS / f"{revision}.json").read_text())
    return schema.get("$defs") or schema["definitions"]


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
@pytest.mark.parametrize("revision", REVISIONS)
def test_fields_that_pass_are_those_of_the_schema(revision: str, name: str) -> None:
    definition = _definitions(revision).get(DEFINITIONS[name])
    if definition is None:
        return
    kind = getattr(types, name)
    ours = {field.encode_name for field in codec.fields(kind)} - {EXTRA_KEY}
    passing = ours - PROFILES[revision].absent.get(kind, frozenset())
    known = set(definition["properties"]) - {"type"}
    if revision == "2024-11-05" and name == "Annotations":
        known = {"audience", "priority"}
    assert passing == known


def _methods(revision: str, union: str) -> set[str]:
    found: set[str] = set()
    definitions = _definitions(revision)
    for branch in definitions.get(union, {}).get("anyOf", []):
        target = definitions[branch["$ref"].rsplit("/", 1)[-1]]
        found.add(target["properties"]["method"]["const"])
    return found


TASKS = {"tasks/get", "tasks/result", "tasks/list", "tasks/cancel", "notifications/tasks/status"}


@pytest.mark.parametrize("revision", REVISIONS)
def test_methods_are_those_of_the_schema(revision: str) -> None:
    profile = PROFILES[revision]
    assert set(profile.client_requests) == _methods(revision, "ClientRequest") - TASKS
    assert set(profile.client_notices) == (
        _methods(revision, "ClientNotification") - TASKS or {"notifications/cancelled"}
    )
    assert set(profile.server_notices) == _methods(revision, "ServerNotification") - TASKS
    asked = _methods(revision, "ServerRequest") or _methods(revision, "InputRequest")
    assert set(profile.server_requests) == asked - TASKS


def test_eras() -> None:
    assert STATEFUL == ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
    assert STATELESS == ("2026-07-28",)


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.requirement("R2607-LIFECYCLE-018")
def test_resource_not_found_has_the_code_of_the_revision(revision: str) -> None:
    code = PROFILES[revision].code(ResourceNotFound("gone"))
    assert code == (-32602 if revision in STATELESS else -32002)


@pytest.mark.parametrize("revision", REVISIONS)
def test_unsupported_version_has_the_code_of_the_revision(revision: str) -> None:
    code = PROFILES[revision].code(UnsupportedVersion("no"))
    assert code == (-32022 if revision in STATELESS else -32602)


def test_content_a_revision_lacks_becomes_text() -> None:
    result = types.CallToolResult(
        content=[types.ResourceLink(uri="a://b", name="b", title="Bee"), types.AudioContent.of(b"abc")]
    )
    old = codec.decode(PROFILES["2024-11-05"].encode(result))
    assert [block["type"] for block in old["content"]] == ["text", "text"]
    assert old["content"][0]["text"] == "Bee: a://b"
    assert "YWJj" not in old["content"][1]["text"]
    new = codec.decode(PROFILES["2025-11-25"].encode(result))
    assert [block["type"] for block in new["content"]] == ["resource_link", "audio"]


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_content_type_is_there_or_told_or_refused(revision: str) -> None:
    profile = PROFILES[revision]
    assert profile.content <= CONTENT_NAMES
    assert profile.content == _content_of_the_schema(revision)
    samples: dict[str, Any] = {
        "text": {"text": "x"},
        "image": {"data": "YQ==", "mimeType": "image/png"},
        "audio": {"data": "YQ==", "mimeType": "audio/wav"},
        "resource_link": {"uri": "a://b", "name": "b"},
        "resource": {"resource": {"uri": "a://b", "text": "x"}},
        "tool_use": {"id": "1", "name": "t", "input": {}},
        "tool_result": {"toolUseId": "1", "content": []},
    }
    for known in CONTENT:
        block = codec.reader(known.kind).read(codec.encode({"type": known.name, **samples[known.name]}))
        if known.name not in profile.content and known.as_text is None:
            with pytest.raises(FeatureUnavailable, match=known.name):
                profile.encode(block)
            continue
        there = codec.decode(profile.encode(block))
        assert there["type"] == (known.name if known.name in profile.content else "text")


def _content_of_the_schema(revision: str) -> set[str]:
    return {
        each["properties"]["type"]["const"]
        for name, each in _definitions(revision).items()
        if name.endswith(("Content", "EmbeddedResource", "ResourceLink")) and "properties" in each
        if "const" in each["properties"].get("type", {})
    }


def test_structured_content_that_is_no_object_is_wrapped_where_it_must_be_one() -> None:
    result = types.CallToolResult(content=[], structured_content=[1, 2])
    assert codec.decode(PROFILES["2025-06-18"].encode(result))["structuredContent"] == {"result": [1, 2]}
    assert codec.decode(PROFILES["2026-07-28"].encode(result))["structuredContent"] == [1, 2]
    assert "structuredContent" not in codec.decode(PROFILES["2025-03-26"].encode(result))


def test_null_is_structured_content_where_anything_is() -> None:
    result = types.CallToolResult(content=[], structured_content=None)
    assert codec.decode(PROFILES["2026-07-28"].encode(result))["structuredContent"] is None


def test_a_wrapped_schema_keeps_its_references() -> None:
    schema = {
        "type": "array",
        "items": {"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/Leaf"}]},
        "$defs": {"Leaf": {"type": "string"}},
    }
    tool = types.Tool(name="t", input_schema={"type": "object"}, output_schema=schema)
    sent = codec.decode(PROFILES["2025-06-18"].encode(types.ListToolsResult(tools=[tool])))
    wrapped = sent["tools"][0]["outputSchema"]
    assert wrapped["type"] == "object"
    assert wrapped["required"] == ["result"]
    assert wrapped["properties"]["result"]["items"]["anyOf"][0] == {"$ref": "#/properties/result"}
    assert wrapped["$defs"] == {"Leaf": {"type": "string"}}


def test_several_blocks_in_one_sampling_message_need_a_revision_that_has_them() -> None:
    blocks = [types.TextContent(text="a"), types.TextContent(text="b")]
    message = types.SamplingMessage(role="user", content=[blocks[0]])
    assert codec.decode(PROFILES["2025-06-18"].encode(message))["content"]["text"] == "a"
    with pytest.raises(FeatureUnavailable):
        PROFILES["2025-06-18"].encode(types.SamplingMessage(role="user", content=list(blocks)))


@pytest.mark.parametrize("revision", REVISIONS)
def test_unknown_members_and_content_come_back_unchanged(revision: str) -> None:
    data = (
        b'{"content":[{"type":"text","text":"a","future":{"x":[1]}},{"type":"hologram","depth":3}],'
        b'"isError":false,"later":null}'
    )
    result = codec.reader(types.CallToolResult).keep(data)
    assert isinstance(result.content[1], types.UnknownContent)
    assert result.content[1].type == "hologram"
    assert result.extra == {"later": None}
    again = codec.decode(PROFILES[revision].encode(result))
    assert again == json.loads(data)


def test_a_known_member_wins_over_one_in_extra() -> None:
    tool = types.Tool(name="real", input_schema={"type": "object"}, extra={"name": "forged", "x": 1})
    sent = codec.decode(codec.encode(tool))
    assert sent["name"] == "real"
    assert sent["x"] == 1


def test_an_integral_float_is_an_integer() -> None:
    found = codec.reader(types.ProgressNotice).read(b'{"progressToken":1.0,"progress":1}')
    assert found.progress_token == 1


@pytest.mark.parametrize("revision", REVISIONS)
def test_batches_exist_in_one_revision(revision: str) -> None:
    assert PROFILES[revision].has(Feature.BATCHES) == (revision == "2025-03-26")


@pytest.mark.parametrize("kind,name", [(types.Tool, "name"), (types.CompleteParams, "ref")])
def test_a_revision_brings_no_field_that_was_there_already(kind: type, name: str) -> None:
    """Whoever forgets to name it in the first revision is told; else every revision would have it."""
    with pytest.raises(
        ValueError, match=f"2027-01-31 brings {name} of {kind.__name__}, which {REVISIONS[-1]} has"
    ):
        PROFILES[REVISIONS[-1]].next("2027-01-31", present={kind: {name}})
