"""Schemas from anyone: dialects, references, bounds, what a violation says, and header annotations."""

from __future__ import annotations

import builtins
import json
import socket
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.protocol.schema import (
    MAX_SCHEMA_BYTES,
    MAX_SCHEMA_DEPTH,
    MAX_SUBSCHEMAS,
    MAX_VIOLATIONS,
    ExternalReference,
    InvalidSchema,
    SchemaTooLarge,
    UnknownDialect,
    compile_schema,
    explain,
)

Schema = dict[str, Any]


@pytest.fixture
def no_io(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("a schema caused input or output")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(builtins, "open", refuse)


@pytest.mark.requirement("R2607-SCHEMA-006", "R2607-SCHEMA-008", "R2511-SCHEMA-002", "R2511-SCHEMA-004")
def test_without_a_dialect_2020_12_holds() -> None:
    validator = compile_schema({"prefixItems": [{"type": "integer"}], "items": False})
    assert validator.dialect == "2020-12"
    assert validator.is_valid([1])
    assert not validator.is_valid(["a"])
    assert not validator.is_valid([1, 2])


@pytest.mark.requirement("R2607-SCHEMA-009", "R2511-SCHEMA-005")
@pytest.mark.parametrize(
    "dialect, name, schema, good, bad",
    [
        (
            "http://json-schema.org/draft-04/schema#",
            "draft-04",
            {"maximum": 5, "exclusiveMaximum": True},
            4,
            5,
        ),
        ("http://json-schema.org/draft-06/schema#", "draft-06", {"exclusiveMaximum": 5}, 4, 5),
        ("http://json-schema.org/draft-07/schema#", "draft-07", {"if": {"const": 1}, "then": False}, 2, 1),
        ("http://json-schema.org/draft-07/schema", "draft-07", {"items": [{"type": "null"}]}, [None], [1]),
        (
            "https://json-schema.org/draft/2019-09/schema",
            "2019-09",
            {"items": [{"type": "null"}]},
            [None],
            [1],
        ),
        (
            "https://json-schema.org/draft/2020-12/schema",
            "2020-12",
            {"prefixItems": [{"type": "null"}]},
            [None],
            [1],
        ),
    ],
)
def test_each_dialect_is_its_own(dialect: str, name: str, schema: Schema, good: object, bad: object) -> None:
    validator = compile_schema({"$schema": dialect, **schema})
    assert validator.dialect == name
    assert validator.is_valid(good)
    assert not validator.is_valid(bad)


@pytest.mark.requirement("R2607-SCHEMA-010", "R2511-SCHEMA-006")
@pytest.mark.parametrize(
    "schema",
    [
        {"$schema": "http://json-schema.org/draft-03/schema#"},
        {"$schema": "https://evil.example/schema"},
        {"$schema": ""},
        {"properties": {"a": {"$schema": "https://evil.example/schema"}}},
    ],
)
@pytest.mark.usefixtures("no_io")
def test_an_unknown_dialect_is_named_with_the_supported_ones_r17(schema: Schema) -> None:
    with pytest.raises(UnknownDialect, match=r"2020-12, 2019-09, draft-07, draft-06, draft-04"):
        compile_schema(schema)


@pytest.mark.requirement("R2607-SCHEMA-012", "R2511-SCHEMA-008")
@pytest.mark.parametrize(
    "schema",
    [
        {"type": "text"},
        {"type": 5},
        {"$schema": 5},
        {"minLength": -1},
        {"properties": []},
        {"pattern": "("},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#missing"},
        {"enum": {1, 2}},
        {5: "x"},
    ],
)
def test_invalid_schemas(schema: Schema) -> None:
    with pytest.raises(InvalidSchema):
        compile_schema(schema)


@pytest.mark.parametrize(
    "document", [b"", b"{", b"[]", b"true", b"5", b"\xff", b'{"a":"\xff"}', b"[" * 100_000]
)
def test_documents_that_are_no_schema_object(document: bytes) -> None:
    with pytest.raises((InvalidSchema, SchemaTooLarge)):
        compile_schema(document)


EXTERNAL: list[Schema] = [
    {"$ref": "http://127.0.0.1:9/s"},
    {"$ref": "https://evil.example/s#/$defs/a"},
    {"$ref": "file:///etc/passwd"},
    {"$ref": "//host/s"},
    {"$ref": "/etc/passwd"},
    {"$ref": "other.json"},
    {"$ref": "data:application/json,{}"},
    {"$ref": "urn:uuid:00000000-0000-0000-0000-000000000000"},
    {"$ref": "HTTP://evil.example/s"},
    {"$ref": "http://[bad"},
    {"$dynamicRef": "http://evil.example/s#a"},
    {"$dynamicRef": "other#a"},
    {"$id": "http://evil.example/a/", "$ref": "b"},
    {"$id": "http://evil.example/a", "$ref": "http://evil.example/b"},
    {"$id": "file:///etc/", "properties": {"a": {"$ref": "passwd"}}},
    {"$defs": {"a": {"$id": "http://evil.example/", "items": {"$ref": "x"}}}},
    {"allOf": [{"not": {"if": {"contains": {"$ref": "http://evil.example/"}}}}]},
    {"dependentSchemas": {"a": {"$ref": "http://evil.example/"}}},
    {"$ref": "#/stash/a", "stash": {"a": {"$ref": "http://evil.example/"}}},
    {"$ref": "http://json-schema.org/draft-03/schema"},
    {"$schema": "https://json-schema.org/draft/2019-09/schema", "$recursiveRef": "http://evil.example/"},
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "dependencies": {"a": {"$ref": "http://evil.example/"}},
    },
    {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "id": "http://evil.example/",
        "items": {"$ref": "x"},
    },
]


@pytest.mark.requirement("R2607-SCHEMA-013", "R2607-SCHEMA-014", "R2607-SCHEMA-015")
@pytest.mark.parametrize("schema", EXTERNAL)
@pytest.mark.usefixtures("no_io")
def test_v26_external_references_are_refused_and_nothing_is_fetched(schema: Schema) -> None:
    with pytest.raises(ExternalReference, match="nothing is fetched"):
        compile_schema(schema)


@pytest.mark.parametrize(
    "schema, good, bad",
    [
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}, 1, "x"),
        ({"$ref": "#a", "$defs": {"q": {"$anchor": "a", "type": "integer"}}}, 1, "x"),
        ({"$id": "http://h.example/r", "$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}, 1, "x"),
        ({"$id": "http://h.example/r", "$ref": "c", "$defs": {"a": {"$id": "c", "type": "integer"}}}, 1, "x"),
        ({"$ref": "c", "$defs": {"a": {"$id": "c", "type": "integer"}}}, 1, "x"),
        ({"$ref": "urn:x:y", "$defs": {"a": {"$id": "urn:x:y", "type": "integer"}}}, 1, "x"),
        ({"properties": {"a": {"$ref": "#"}}, "type": "object"}, {"a": {}}, {"a": 1}),
        ({"$dynamicRef": "#n", "$defs": {"q": {"$dynamicAnchor": "n", "type": "integer"}}}, 1, "x"),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, {"type": "object"}, {"type": 3}),
        ({"properties": {"$ref": {"type": "integer"}}}, {"$ref": 1}, {"$ref": "x"}),
        ({"const": {"$ref": "http://evil.example/"}}, {"$ref": "http://evil.example/"}, 1),
        ({"enum": [{"$ref": "//h"}, 1], "default": {"$ref": "//h"}, "examples": [{"$schema": "q"}]}, 1, 2),
    ],
)
@pytest.mark.usefixtures("no_io")
def test_references_inside_the_document_work(schema: Schema, good: object, bad: object) -> None:
    validator = compile_schema(schema)
    assert validator.is_valid(good)
    assert not validator.is_valid(bad)


def nested(levels: int) -> Schema:
    schema: Schema = {}
    for _ in range(levels - 1):
        schema = {"not": schema}
    return schema


@pytest.mark.requirement("R2607-SCHEMA-016")
def test_bounds_on_bytes_depth_and_number() -> None:
    compile_schema(nested(MAX_SCHEMA_DEPTH))
    wide: Schema = {"properties": {f"p{n}": {} for n in range(MAX_SUBSCHEMAS - 1)}}
    compile_schema(wide)
    wide["properties"]["one more"] = {}
    loop: Schema = {}
    loop["not"] = loop
    shared: Schema = {}
    for _ in range(40):
        shared = {"anyOf": [shared, shared]}
    big = {"description": "x" * MAX_SCHEMA_BYTES}
    for schema in (
        nested(MAX_SCHEMA_DEPTH + 1),
        nested(100_000),
        wide,
        loop,
        big,
        shared,
        {"enum": [0] * 300_000},
    ):
        with pytest.raises(SchemaTooLarge):
            compile_schema(schema)
    with pytest.raises(SchemaTooLarge):
        compile_schema(json.dumps(big).encode())


def test_equal_content_is_compiled_once() -> None:
    assert compile_schema({"type": "integer", "title": "once"}) is compile_schema(
        {"type": "integer", "title": "once"}
    )
    assert compile_schema(b'{"type":"null","title":"b"}') is compile_schema({"type": "null", "title": "b"})


def test_the_cache_is_bounded() -> None:
    first = compile_schema({"title": "first"})
    for number in range(300):
        compile_schema({"title": f"n{number}"})
    assert compile_schema({"title": "first"}) is not first


def test_patterns_cannot_run_away() -> None:
    hostile = "a" * 5000 + "!"
    for pattern in ("^(a+)+$", "^(a|a)*$", "^(a|aa)+$", r"^(?=a)(a+)+\1$", "^(.*a){20}$"):
        validator = compile_schema({"type": "string", "pattern": pattern})
        assert not validator.is_valid(hostile)
        assert validator.check(hostile)[0].keyword == "pattern"
    assert compile_schema({"pattern": "^(?!x)a"}).is_valid("ab")


PERSON: Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[A-Z]"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "kind": {"enum": ["a", "b", None]},
        "items": {"type": "array", "maxItems": 2, "items": {"type": "object", "required": ["id"]}},
        "either": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "one": {"oneOf": [{"minimum": 1}, {"minimum": 2}]},
        "odd name": {"const": 5},
    },
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "value, lines",
    [
        ({"name": "Ann"}, ""),
        (5, "(the whole value): expected a value of type object, got the integer 5"),
        ({}, "name: expected a value, as it is required, got nothing"),
        ({"name": 5}, "name: expected a value of type string, got the integer 5"),
        ({"name": "A"}, 'name: expected at least 2 characters, got the string "A"'),
        ({"name": "Anneliese"}, 'name: expected at most 5 characters, got the string "Anneliese"'),
        ({"name": "ann"}, 'name: expected text matching the pattern ^[A-Z], got the string "ann"'),
        ({"name": "Ann", "age": -1}, "age: expected at least 0, got the integer -1"),
        ({"name": "Ann", "age": 1.5}, "age: expected a value of type integer, got the number 1.5"),
        ({"name": "Ann", "age": True}, "age: expected a value of type integer, got true"),
        ({"name": "Ann", "kind": "c"}, 'kind: expected one of "a", "b", null, got the string "c"'),
        (
            {"name": "Ann", "items": [{"id": 1}, {}]},
            "items[1].id: expected a value, as it is required, got nothing",
        ),
        ({"name": "Ann", "items": [{"id": 1}] * 3}, "items: expected at most 2 items, got an array of 3"),
        (
            {"name": "Ann", "either": "x"},
            'either: expected a value of type integer, or a value of type null, got the string "x"',
        ),
        (
            {"name": "Ann", "one": 3},
            "one: expected a value fitting exactly one of the alternatives, got the integer 3",
        ),
        ({"name": "Ann", "odd name": 4}, '["odd name"]: expected exactly the integer 5, got the integer 4'),
        ({"name": "Ann", "nme": "B"}, "nme: expected no such member, got one"),
    ],
)
def test_what_a_violation_says(value: object, lines: str) -> None:
    assert explain(compile_schema(PERSON).check(value)) == lines


def test_violations_are_few_and_short() -> None:
    validator = compile_schema({"items": {"type": "integer"}})
    violations = validator.check(["x" * 10_000] * 500)
    assert len(violations) == MAX_VIOLATIONS
    assert len(explain(violations)) < 1500
    wide = compile_schema({"additionalProperties": False, "maxProperties": 1, "properties": {"a": True}})
    assert len(wide.check({f"k{n}" * 500: n for n in range(500)})) == MAX_VIOLATIONS


@pytest.mark.parametrize("keyword", ["additionalProperties", "unevaluatedProperties"])
def test_an_object_that_takes_no_members_says_so_and_shows_none(keyword: str) -> None:
    text = explain(compile_schema({"type": "object", keyword: False}).check({"password": "hunter2"}))
    assert "hunter2" not in text
    assert "member" in text


def test_control_characters_do_not_reach_the_reader() -> None:
    text = explain(
        compile_schema({"additionalProperties": {"type": "null"}}).check(
            {"a\nb\x1b[0m": "c\nd\x1b[31m\u202e"}
        )
    )
    assert text.isprintable()


SECRET = "hunter2-5ecret"


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"v": {"type": "integer", "writeOnly": True}}},
        {"properties": {"v": {"type": "integer", "format": "password"}}},
        {"properties": {"v": {"$ref": "#/$defs/s"}}, "$defs": {"s": {"type": "integer", "writeOnly": True}}},
        {
            "properties": {"v": {"$ref": "#s"}},
            "$defs": {"x": {"$anchor": "s", "type": "integer", "writeOnly": True}},
        },
        {"properties": {"v": {"allOf": [{"writeOnly": True}, {"enum": [1]}]}}},
        {"properties": {"v": {"anyOf": [{"type": "integer", "writeOnly": True}, {"type": "null"}]}}},
        {"properties": {"v": {"$ref": "#/properties/w"}, "w": {"writeOnly": True, "type": "integer"}}},
        {
            "properties": {"v": {"$ref": "#/$defs/a"}},
            "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"maxLength": 1, "format": "password"}},
        },
        {"patternProperties": {"^v": {"maxLength": 1, "writeOnly": True}}},
        {"additionalProperties": {"maxLength": 1, "format": "password"}},
        {"properties": {"v": {"type": "integer"}}, "writeOnly": True},
    ],
)
def test_secret_values_are_not_shown(schema: Schema) -> None:
    text = explain(compile_schema(schema).check({"v": SECRET}))
    assert text.startswith("v: expected")
    assert SECRET not in text
    assert "(not shown)" in text


def test_secrets_inside_a_secret_object_or_by_name_are_not_shown() -> None:
    inner = {"properties": {"login": {"writeOnly": True, "properties": {"u": {"type": "integer"}}}}}
    assert SECRET not in explain(compile_schema(inner).check({"login": {"u": SECRET}}))
    for name in ("password", "api-key", "apiKey", "accessToken", "client_secret"):
        assert SECRET not in explain(
            compile_schema({"properties": {name: {"type": "null"}}}).check({name: SECRET})
        )


@pytest.mark.parametrize("value", [{1, 2}, {1: 2}, b"x", object(), "\ud800"])
def test_values_that_are_no_json_are_violations(value: object) -> None:
    validator = compile_schema({"type": "string", "maxLength": 0})
    assert not validator.is_valid(value)
    assert validator.check(value)


LEAF = st.sampled_from(
    [
        {},
        {"type": "integer"},
        {"type": "string"},
        {"minimum": 2},
        {"const": "a"},
        {"maxLength": 1},
        {"enum": [1, "a", None]},
    ]
)
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2)}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"items": inner, "required": st.just(["a"])}),
    ),
    max_leaves=6,
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "ab"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(schema=SCHEMAS, value=JSON)
def test_an_independent_validator_agrees(schema: Schema, value: Any) -> None:
    validator = compile_schema(schema)
    expected = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert validator.is_valid(value) is expected
    assert (validator.check(value) == []) is expected
