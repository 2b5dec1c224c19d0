"""Schemas from anyone: dialects, references, bounds, what a violation says, and header annotations."""

from __future__ import annotations

import builtins
import json
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.protocol.schema import validator as schemas
from dovetail.protocol.schema.screening import screen
from dovetail.protocol.schema.validator import (
    MAX_SCHEMA_BYTES,
    MAX_SCHEMA_DEPTH,
    MAX_SUBSCHEMAS,
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
        assert validator.check(hostile)[0].keyword in ("pattern", "work")
    assert compile_schema({"pattern": "^(?!x)a"}).is_valid("ab")


def test_a_pattern_that_gives_up_is_a_violation_with_words() -> None:
    validator = compile_schema({"pattern": "(?:(?=a*b)|a)*c"})
    assert validator.check("a" * 3000)[0].expected == "text matching the pattern of the schema"


@pytest.mark.parametrize("part", [r"\p{L}", ".", r"\S", "[^a]"])
def test_patterns_that_are_too_much_work_to_compile(part: str) -> None:
    schema = {"properties": {f"p{n}": {"pattern": f"{part}{{{900 + n}}}"} for n in range(100)}}
    with pytest.raises(SchemaTooLarge, match="patterns"):
        compile_schema(schema)
    compile_schema({"properties": {f"p{n}": {"pattern": f"^[a-z]+-{n}$"} for n in range(500)}})


def big(members: int) -> dict[str, int]:
    return {f"k{n}": n for n in range(members)}


def each(schema: Schema) -> Schema:
    return {"items": schema}


def unevaluated(levels: int) -> Schema:
    schema: Schema = {"properties": {"a": {}}}
    for _ in range(levels):
        schema = {"allOf": [schema], "unevaluatedProperties": False}
    return schema


TOO_MUCH: dict[str, tuple[Schema, Any]] = {
    "enum of numbers": (each({"enum": [n + 0.5 for n in range(4000)]}), [3999.5] * 20_000),
    "enum of integers, asked for numbers": (each({"enum": list(range(4000))}), [3999.0] * 20_000),
    "enum of objects": (each({"enum": [{"a": n} for n in range(1500)]}), [{"a": 1499}] * 6_000),
    "enum of large objects": (each({"enum": [big(50) | {"z": n} for n in range(300)]}), [big(51)] * 2_000),
    "const": (each({"const": big(5_000)}), [big(5_000)] * 100),
    "anyOf": (each({"anyOf": [{"const": n} for n in range(2_000)]}), [1999] * 20_000),
    "oneOf": (each({"oneOf": [{"required": ["a"]} for _ in range(2_000)]}), [{}] * 20_000),
    "contains": (each({"contains": {"enum": [n + 0.5 for n in range(500)]}}), [[1.5] * 500] * 50),
    "patternProperties": (
        {"patternProperties": {f"[a-z]{n}(x|y)*$": {} for n in range(1_000)}},
        {f"k{n}": 1 for n in range(20_000)},
    ),
    "uniqueItems of huge integers": ({"uniqueItems": True}, [10**4000 + n for n in range(500)]),
    "huge integers": (each({"minimum": 0.5}), [10**4000] * 2_000),
    "unevaluated in one place": (unevaluated(20), {"a": 1}),
    "a pattern with many states": ({"pattern": "1[01]{5000}x"}, "01" * 50_000),
    "look-ahead": ({"pattern": "(?:(?=a*b)|a)*c"}, "a" * 50_000),
    "references that multiply": (
        {
            "items": {"$ref": "#/$defs/a0"},
            "$defs": {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(14)}
            | {"a14": {"type": "object"}},
        },
        [{}] * 2_000,
    ),
    "recursion": (
        {
            "$dynamicAnchor": "n",
            "items": {"$dynamicRef": "#n"},
            "allOf": [{"items": {"$dynamicRef": "#n"}}] * 1_000,
        },
        [[[]]] * 20_000,
    ),
    "a metaschema": (each({"$ref": "https://json-schema.org/draft/2020-12/schema"}), [{}] * 20_000),
}


@pytest.mark.requirement("R2607-SCHEMA-016")
@pytest.mark.parametrize("name", TOO_MUCH)
def test_v26_f14_a_check_that_may_be_too_much_work_is_refused_before_it_begins(name: str) -> None:
    schema, value = TOO_MUCH[name]
    validator = compile_schema(schema)
    untouched = Untouched()
    validator._engine = untouched  # a validator that must not be asked
    assert not validator.is_valid(value)
    assert [found.keyword for found in validator.check(value)] == ["work"]
    assert "too much work" in explain(validator.check(value))


class Untouched:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")


@pytest.fixture(autouse=True)
def _forget() -> None:
    """Validators of other tests are not met again: some here are spoiled."""
    schemas._cache.clear()


def row(members: int) -> Schema:
    kinds: list[Schema] = [
        {"type": "string", "maxLength": 4000},
        {"type": "integer", "minimum": 0},
        {"type": "number"},
        {"enum": [f"k{n}" for n in range(50)]},
        {"enum": list(range(50))},
        {"type": ["string", "null"]},
    ]
    properties = {f"p{n}": kinds[n % 6] for n in range(members)}
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


def filled(members: int) -> dict[str, Any]:
    values = ["words, and more of them " * 12, 5, 1.5, "k49", 49, None]
    return {f"p{n}": values[n % 6] for n in range(members)}


def tree(levels: int) -> dict[str, Any]:
    return {"name": "x" * 300, "children": [tree(levels - 1), tree(levels - 1)] if levels else []}


ENOUGH: dict[str, tuple[Schema, Any]] = {
    "10 MB of rows of 10": (
        {"properties": {"rows": {"type": "array", "items": row(10)}}},
        {"rows": [filled(10)] * 18_000},
    ),
    "10 MB of rows of 30": ({"type": "array", "items": row(30)}, [filled(30)] * 6_000),
    "10 MB of text": ({"properties": {"t": {"type": "string"}}}, {"t": "words, and " * 1_000_000}),
    "10 MB of tree": (
        {
            "$ref": "#/$defs/n",
            "$defs": {
                "n": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "children": {"items": {"$ref": "#/$defs/n"}}},
                    "required": ["name"],
                }
            },
        },
        tree(14),
    ),
    "an enum of 1000": ({"enum": [{"a": n} for n in range(1000)]}, {"a": 999}),
    "an enum of 1000 numbers": ({"enum": [n + 0.5 for n in range(1000)]}, 999.5),
    "1000 unique strings": ({"uniqueItems": True}, [str(n) for n in range(1000)]),
    "look-ahead beside 10 MB": (
        {"properties": {"t": {"type": "string"}, "u": {"pattern": "^(?=.*[A-Z]).+$"}}},
        {"t": "words, and " * 1_000_000, "u": "aB"},
    ),
}


@pytest.mark.parametrize("name", ENOUGH)
def test_large_results_of_ordinary_schemas_are_checked(name: str) -> None:
    schema, value = ENOUGH[name]
    validator = compile_schema(schema)
    assert validator.check(value) == []
    assert validator.is_valid(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
NAMED = st.text("ab$\u00e9", max_size=3)
PLAINLY = st.recursive(
    st.fixed_dictionaries(
        {}, optional={"type": st.sampled_from(["string", "object", "none", "array"]), "enum": JSON}
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "title": JSON,
            "type": st.sampled_from(["object", "array", "integer", "", "any"]) | JSON,
            "default": JSON,
            "properties": st.dictionaries(NAMED, inner, max_size=3) | JSON,
            "required": st.lists(NAMED, max_size=3) | JSON,
            "additionalProperties": st.booleans() | inner | JSON,
            "items": inner | JSON,
            "anyOf": st.lists(inner, max_size=2) | JSON,
            "enum": st.lists(st.text(max_size=2), max_size=3) | JSON,
            "writeOnly": st.booleans() | JSON,
            **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), NUMBERS | JSON),
            **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), NUMBERS | JSON),
        },
    ),
    max_leaves=8,
)


@given(PLAINLY)
def test_what_is_compiled_only_when_it_is_needed_surely_compiles(schema: dict[str, Any]) -> None:
    """A schema that is no good is refused when it is given, never when the first value comes."""
    if schemas._is_plain(schema):
        schemas._compile(schema, screen(schema))


def test_a_plain_schema_is_compiled_by_its_first_value() -> None:
    schema = {"type": "object", "properties": {"lazily": {"type": "integer"}}, "required": ["lazily"]}
    validator = compile_schema(schema)
    assert validator._engine is None
    assert validator.is_valid({"lazily": 1})
    assert not validator.is_valid({"lazily": "x"})
    assert validator.check({})[0].path == "lazily"
    for told in (
        {"type": "string", "pattern": "["},
        {"type": "objects"},
        {"required": ["a", "a"]},
        {"maximum": float("inf")},
        {"minLength": -1},
        {"minItems": True},
    ):
        with pytest.raises(InvalidSchema):
            compile_schema(told)
