"""Reading documents: their two forms, two versions, and what somebody may have put into one to harm who reads it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from capturing import document, operation, parameter

from dovetail.openapi import DocumentInvalid, OpenAPIProvider
from dovetail.openapi.documents import MAX_LEVELS
from dovetail.types import Tool, compile_schema, encode

SERVER = "https://api.example.com"


def tools(given: Any, **options: Any) -> dict[str, Tool]:
    """The tools of a document."""
    provider = OpenAPIProvider(given, server=SERVER, **options)
    return {each.name: each.described for each in provider.known("tools", None) or ()}


def body(schema: Any, version: str = "3.1.0", **components: Any) -> dict[str, Any]:
    """A document with one operation, whose body has this schema."""
    content = {"application/json": {"schema": schema}}
    described = operation(requestBody={"required": True, "content": content})
    return document({"/p": {"post": described}}, version=version, components={"schemas": components})


def sent(schema: Any, version: str = "3.0.3", **components: Any) -> Any:
    """What becomes of a schema that is a property of a body."""
    whole = {"type": "object", "properties": {"it": schema}}
    return tools(body(whole, version, **components))["it"].input_schema["properties"]["it"]


YAML = b"""
openapi: 3.0.3
info: {title: Countries, version: 1.0}
x-shared: &shared
  description: well
paths:
  /of/{code}:
    get:
      operationId: by_code
      parameters:
        - {name: code, in: path, required: yes-it-is, schema: {type: string, enum: [NO, SE, on], example: 2024-01-01}}
      responses:
        200: *shared
        404:
          <<: *shared
"""


def test_yaml_means_what_its_version_1_2_says() -> None:
    (tool,) = tools(YAML).values()
    code = tool.input_schema["properties"]["code"]
    assert code == {"type": "string", "enum": ["NO", "SE", "on"], "examples": ["2024-01-01"]}


def test_json_with_a_mark_and_the_path_of_a_file(tmp_path) -> None:
    path = tmp_path / "api.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(body({"type": "integer"})).encode())
    assert tools(str(path))["it"] == tools(path)["it"] == tools(path.read_bytes())["it"]


@pytest.mark.parametrize(
    "given,told",
    [
        ({"swagger": "2.0", "paths": {}}, "Swagger 2.0"),
        ({"openapi": "4.0.0", "paths": {}}, "only 3.0 and 3.1"),
        ({"paths": {}}, '"openapi"'),
        (b"[]", "no object"),
        (b"", "documents"),
        (b'{"openapi": ', "not JSON"),
        (b"openapi: 3.1.0\n\tx: 1", "not YAML"),
        (b"openapi: !!python/object:os.system x", "none of JSON's kinds"),
        (b"? [a]\n: 1", "no text"),
        (b"a: 1\n---\nb: 2", "2 documents"),
        ({"openapi": "3.1.0", "x": {1, 2}.__iter__}, "no plain value"),
        ({"openapi": "3.1.0", "paths": ["/x"]}, "is no object, from each path"),
        ({"openapi": "3.0.3", "paths": None}, "is no object, from each path"),
    ],
)
def test_what_is_no_document(given, told) -> None:
    with pytest.raises(DocumentInvalid, match=told):
        OpenAPIProvider(given)


@pytest.mark.parametrize(
    "given, told",
    [
        ("absent.yaml", "there is no file 'absent.yaml' in "),
        (".", "the file '.' can't be read: Is a directory"),
        ("a\0b", "can't be read"),
        ("openapi: 3.1.0\npaths: {}", "a text is the path of a file; give a document itself as bytes"),
        ('{"openapi": "3.1.0"}', "a text is the path of a file"),
    ],
    ids=["absent", "folder", "no path", "YAML", "JSON"],
)
def test_a_file_that_cannot_be_read(given, told, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DocumentInvalid, match=told):
        OpenAPIProvider(given)


def test_what_is_larger_than_allowed(tmp_path) -> None:
    path = tmp_path / "large.json"
    path.write_bytes(json.dumps(body({})).encode())
    for source in (path, path.read_bytes()):
        with pytest.raises(DocumentInvalid, match="limit="):
            OpenAPIProvider(source, limit=100)


LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 30)
)
STAIRS = "a0: &a0 {x: 1}\n" + "".join(
    f"a{level}: &a{level} {{x: *a{level - 1}}}\n" for level in range(1, 5000)
)


@pytest.mark.parametrize(
    "text,told",
    [
        (LAUGHS, "aliases unfolded"),
        (STAIRS, "aliases unfolded"),
        ("a: " + "[" * 100_000, "deeper"),
        ("- " * 100_000, "deeper"),
        ("a: &a [*a]", "has not ended"),
        ('{"a": ' * 300 + "1" + "}" * 300, "deeper"),
        ('{"a": ' * 100_000, "deeper|not JSON"),
        ("a: *nothing", "not YAML|has not ended"),
    ],
    ids=["laughs", "stairs", "brackets", "dashes", "circle", "levels", "endless", "unknown"],
)
def test_a_document_that_unfolds_or_goes_down_without_end(text, told) -> None:
    began = time.process_time()
    with pytest.raises(DocumentInvalid, match=told):
        OpenAPIProvider(text.encode())
    assert time.process_time() - began < 5


def test_references_that_double_stay_small() -> None:
    """Each of forty schemas refers twice to the next: unfolded, a trillion."""
    names = [f"S{number}" for number in range(40)]
    schemas: dict[str, Any] = {
        name: {
            "type": "object",
            "properties": {side: {"$ref": f"#/components/schemas/{after}"} for side in "ab"},
        }
        for name, after in zip(names, [*names[1:], "Last"], strict=True)
    }
    tool = tools(body({"$ref": "#/components/schemas/S0"}, Last={"type": "string"}, **schemas))["it"]
    assert len(encode(tool)) < 8000
    assert len(tool.input_schema["$defs"]) == 40  # the first is unfolded, for its properties are arguments


def test_schemas_that_refer_to_themselves() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}}}
    tool = tools(body({"$ref": "#/components/schemas/Node"}, Node=node))["it"]
    assert tool.input_schema["properties"] == {"next": {"$ref": "#/$defs/Node"}}
    validator = compile_schema(tool.input_schema)
    assert validator.is_valid({"next": {"next": {}}})
    assert not validator.is_valid({"next": {"next": 1}})


@pytest.mark.parametrize(
    "reference",
    [
        "file:///etc/passwd",
        "http://127.0.0.1:1/x.json#/a",
        "other.yaml#/a",
        "#/components/schemas/None",
        "#/%ff/~2",
        "#nowhere",
        "#/openapi/x",
    ],
)
def test_a_reference_out_of_the_document_costs_its_operation(reference) -> None:
    given = body({"type": "object", "properties": {"x": {"$ref": reference}}})
    given["paths"]["/well"] = {"get": operation(operationId="well")}
    provider = OpenAPIProvider(given, server=SERVER)
    assert [each.id for each in provider.operations] == ["well"]
    ((label, reason),) = provider.left_out
    assert label == "POST /p"
    assert reference[:20] in reason


def test_path_items_and_parameters_that_refer_in_a_circle() -> None:
    given = document(
        {
            "/a": {"$ref": "#/paths/~1b"},
            "/b": {"$ref": "#/paths/~1a"},
            "/c": {"get": operation({"$ref": "#/components/parameters/p"})},
            "/d": {"get": operation(operationId="d")},
        },
        components={"parameters": {"p": {"$ref": "#/components/parameters/p"}}},
    )
    provider = OpenAPIProvider(given, server=SERVER)
    assert [each.path for each in provider.operations] == ["/d"]
    assert {each.operation for each in provider.left_out} == {"/a", "/b", "GET /c"}


WRONG: list[Any] = [None, True, 1, "x", [], [[]], {"x": []}, [{"a": 1}]]


GOOD: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "T", "version": "1"},
    "servers": [{"url": "https://{v}.example.com", "variables": {"v": {"default": "a", "enum": ["a"]}}}],
    "security": [{"key": []}],
    "tags": [],
    "paths": {
        "/p/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "post": {
                "operationId": "it",
                "tags": ["t"],
                "summary": "s",
                "deprecated": True,
                "parameters": [
                    {
                        "name": "q",
                        "in": "query",
                        "style": "form",
                        "explode": True,
                        "content": {"application/json": {"schema": {}}},
                    }
                ],
                "requestBody": {
                    "required": True,
                    "content": {
                        "multipart/form-data": {
                            "schema": {
                                "type": "object",
                                "properties": {"f": {"type": "string", "format": "binary"}},
                            },
                            "encoding": {"f": {"contentType": "image/png"}},
                        }
                    },
                },
                "responses": {
                    "200": {
                        "description": "",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/S"}}},
                    }
                },
            },
        }
    },
    "components": {
        "schemas": {
            "S": {
                "type": "object",
                "nullable": True,
                "required": ["a"],
                "enum": [1],
                "properties": {
                    "a": {
                        "type": "integer",
                        "minimum": 1,
                        "exclusiveMinimum": True,
                        "format": "int32",
                        "pattern": "a",
                        "items": {},
                        "allOf": [{}],
                    }
                },
            }
        },
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X"}},
    },
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each part of a value."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [path, *(each for key, member in members for each in places(member, (*path, key)))]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_values_of_wrong_types_are_as_if_they_were_not_there(wrong) -> None:
    """A member of every kind has a value of another kind: nothing but typed errors comes of it."""
    for path in places(GOOD):
        broken = json.loads(json.dumps(GOOD))
        if not path:
            continue
        holder = broken
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = wrong
        try:
            provider = OpenAPIProvider(broken, auth={"key": "k"})
        except (DocumentInvalid, ValueError):
            continue
        for each in provider.known("tools", None) or ():
            compile_schema(each.described.input_schema)
            if each.described.output_schema is not None:
                compile_schema(each.described.output_schema)


@pytest.mark.parametrize(
    "given,expected",
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"enum": ["a"], "nullable": True}, {"enum": ["a", None]}),
        (
            {"allOf": [{"type": "object"}], "nullable": True},
            {"anyOf": [{"allOf": [{"type": "object"}]}, {"type": "null"}]},
        ),
        (
            {"type": "integer", "minimum": 1, "exclusiveMinimum": True},
            {"type": "integer", "exclusiveMinimum": 1},
        ),
        ({"type": "integer", "maximum": 1, "exclusiveMaximum": False}, {"type": "integer", "maximum": 1}),
        ({"type": "file", "x-y": 1, "xml": {}, "discriminator": {}, "example": 5}, {"examples": [5]}),
        ({"type": "string", "pattern": "(?<!a"}, {"type": "string"}),
        (
            {"type": "object", "required": True, "properties": {"default": {"type": "string"}}},
            {"type": "object", "properties": {"default": {"type": "string"}}},
        ),
        (
            {
                "type": "object",
                "required": ["a", "b"],
                "properties": {"a": {"readOnly": True}, "b": {"writeOnly": True}},
            },
            {"type": "object", "properties": {"b": {"writeOnly": True}}, "required": ["b"]},
        ),
    ],
)
def test_schemas_of_3_0_in_the_words_of_2020_12(given, expected) -> None:
    assert sent(given) == expected


def test_definitions_beyond_the_limit_are_left_open() -> None:
    """A schema that is cut takes whatever the whole one takes."""
    large = {"type": "object", "properties": {f"member{number}": {"type": "string"} for number in range(200)}}
    other = {"type": "object", "required": ["only"], "properties": {"only": {"type": "string"}}}
    choice = {"oneOf": [{"$ref": "#/components/schemas/Large"}, {"$ref": "#/components/schemas/Other"}]}
    given = body({"type": "object", "properties": {"it": choice}}, Large=large, Other=other)
    whole, cut = (tools(given, max_schema=size)["it"].input_schema for size in (100_000, 2000))
    assert whole["$defs"].keys() == cut["$defs"].keys() == {"Large", "Other"}
    assert cut["$defs"]["Large"] == {}
    assert compile_schema(whole).is_valid({"it": {"member1": "x"}})
    for value in ({"it": {"member1": "x"}}, {"it": {"only": "x"}}):
        assert compile_schema(cut).is_valid(value), "oneOf would take it for both"


def test_each_tool_has_the_definitions_that_it_uses() -> None:
    schemas = {name: {"type": "object", "properties": {"x": {"type": "string"}}} for name in "ABC"}
    paths = {
        f"/{name}": {
            "post": operation(
                operationId=name,
                requestBody={
                    "content": {
                        "application/json": {
                            "schema": {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}
                        }
                    }
                },
            )
        }
        for name in "ABC"
    }
    found = tools(document(paths, components={"schemas": schemas}))
    assert {name: list(tool.input_schema["$defs"]) for name, tool in found.items()} == {
        name: [name] for name in "ABC"
    }


def test_parameters_that_no_request_may_have() -> None:
    paths = {
        "/a": {
            "get": operation(
                parameter("header", name="Host"),
                parameter("header", name="Content-Type", required=True),
                operationId="a",
            )
        },
        "/b": {
            "get": operation(parameter("header", name="Transfer-Encoding", required=True), operationId="b")
        },
        "/c": {"get": operation(parameter("header", name="X\r\nY", required=True), operationId="c")},
        "/d": {"get": operation(parameter("cookie", name="a;b"), operationId="d")},
    }
    provider = OpenAPIProvider(document(paths), server=SERVER)
    assert [(each.id, each.parameters) for each in provider.operations] == [("a", ())]
    assert len(provider.left_out) == 3


@pytest.mark.parametrize("key", ["not", "items", "allOf", "properties", "additionalProperties"])
def test_a_schema_as_deep_as_a_document_may_be(key) -> None:
    """It is described whole; whether a value fits, the API has to say where it is too deep to be checked here."""
    schema: Any = {"type": "string"}
    for _ in range(MAX_LEVELS // 2 - 15 if key in ("allOf", "properties") else MAX_LEVELS - 20):
        schema = {key: {"allOf": [schema], "properties": {"p": schema}}.get(key, schema)}
    whole = {"type": "object", "required": ["it"], "properties": {"it": schema}}
    for limit in (100, 1_000_000):
        (tool,) = tools(body(whole), max_schema=limit).values()
        assert tool.input_schema["required"] == ["it"]


@pytest.mark.parametrize(
    "id, summary, description, read",
    [
        ("create_user_users_post", "Create User", "For admins only.", "For admins only."),
        ("createUser", "Create a user", "For admins only.", "Create a user\n\nFor admins only."),
        ("createUser", "Create user", "", "Create user"),
        ("", "Create a user", "Create a user, for admins.", "Create a user, for admins."),
        ("", "New", "For admins only.", "New\n\nFor admins only."),
    ],
)
def test_a_summary_that_is_the_name_adds_nothing(id: str, summary: str, description: str, read: str) -> None:
    described = {"operationId": id, "summary": summary, "description": description}
    (tool,) = tools(document({"/users": {"post": described}})).values()
    assert tool.description == read
