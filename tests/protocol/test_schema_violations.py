"""What a violation says, to the model and to people: where, what was expected, what came; and no secrets."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.protocol.schema.validator import (
    MAX_VIOLATIONS,
    compile_schema,
    explain,
)

Schema = dict[str, Any]


def each(schema: Schema) -> Schema:
    return {"items": schema}


@pytest.mark.parametrize(
    "schema, value, told",
    [
        (each({"type": "integer"}), ["x"] * 100_000, "[0]: expected a value of type integer"),
        (
            {"anyOf": [each({"type": "integer"})]},
            ["x"] * 100_000,
            "(the whole value): expected a value that fits",
        ),
    ],
)
def test_what_is_too_much_to_explain_is_told_in_short(schema: Schema, value: Any, told: str) -> None:
    validator = compile_schema(schema)
    asked: list[str] = []
    validator._engine = Watched(validator._engine or validator._make(), asked)  # the same, overheard
    text = explain(validator.check(value))
    assert text.startswith(told)
    assert "iter_errors" not in asked  # it gathers every error before it gives the first


class Watched:
    def __init__(self, engine: Any, asked: list[str]) -> None:
        self._engine, self._asked = engine, asked

    def __getattr__(self, name: str) -> Any:
        self._asked.append(name)
        return getattr(self._engine, name)


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


@pytest.mark.parametrize(
    "schema,value,told",
    [
        ({"minLength": 1}, "", "at least 1 character, got"),
        ({"minLength": 2}, "", "at least 2 characters, got"),
        ({"maxItems": 1}, [1, 2], "at most 1 item, got an array of 2"),
        ({"minItems": 3}, [], "at least 3 items, got"),
        ({"minProperties": 2}, {"a": 1}, "at least 2 members, got an object with 1 member"),
        ({"maxProperties": 1}, {"a": 1, "b": 2}, "at most 1 member, got an object with 2 members"),
    ],
)
def test_one_is_one(schema: Schema, value: Any, told: str) -> None:
    assert explain(compile_schema(schema).check(value)).startswith(f"(the whole value): expected {told}")


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
