"""Input schemas become plain objects at their top, and lose nothing that arguments may be."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.models.parameters import parameters_of
from dovetail.types import compile_schema

REFUSED = {"allOf", "anyOf", "oneOf", "not", "enum", "const", "$ref", "$schema", "$id"}


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"type": "object", "required": []}])
def test_an_object_without_properties_has_none(schema: dict[str, Any]) -> None:
    assert parameters_of(schema) == ({"type": "object", "properties": {}}, "")


def test_what_is_plain_stays_as_it_is() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/b"}]}},
        "required": ["a"],
        "additionalProperties": False,
        "$defs": {"b": {"type": "integer"}},
    }
    assert parameters_of(schema) == (schema, "")


def test_alternatives_are_put_together() -> None:
    schema = {
        "type": "object",
        "properties": {"kind": {"enum": ["dog", "cat"]}},
        "required": ["kind"],
        "oneOf": [
            {
                "properties": {
                    "kind": {"const": "dog"},
                    "barks": {"type": "boolean"},
                    "age": {"type": "integer"},
                },
                "required": ["barks", "age"],
            },
            {"properties": {"kind": {"const": "cat"}, "age": {"type": "string"}}, "required": ["age"]},
        ],
    }
    found, told = parameters_of(schema)
    assert found == {
        "type": "object",
        "properties": {
            "kind": {"enum": ["dog", "cat"]},
            "barks": {"type": "boolean"},
            "age": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        },
        "required": ["kind", "age"],
    }
    said = told.removeprefix("The arguments also have to fit this JSON Schema: ")
    assert json.loads(said) == {"oneOf": schema["oneOf"]}


def test_what_is_all_required_together_is_required() -> None:
    schema = {
        "allOf": [
            {"$ref": "#/$defs/a~1b"},
            {"properties": {"y": {"type": "integer"}}, "required": ["y"]},
        ],
        "$defs": {"a/b": {"properties": {"x": {"type": "string"}}, "required": ["x"]}},
    }
    found, _ = parameters_of(schema)
    assert found["properties"] == {"y": {"type": "integer"}, "x": {"type": "string"}}
    assert sorted(found["required"]) == ["x", "y"]


@pytest.mark.parametrize("reference", ["#/$defs/a", "#/$defs/none", "https://example.com/schema", "#"])
def test_a_reference_that_leads_nowhere_or_in_a_circle_ends(reference: str) -> None:
    schema = {"$ref": reference, "$defs": {"a": {"$ref": "#/$defs/a", "properties": {"x": {}}}}}
    found, _ = parameters_of(schema)
    assert found["type"] == "object"
    assert set(found["properties"]) == ({"x"} if reference == "#/$defs/a" else set())


NAMES_OF_ALL = ("a", "b", "c")
NAMES = st.sampled_from(NAMES_OF_ALL)
VALUES = st.sampled_from([{"type": "string"}, {"type": "integer"}, {"const": 1}, {}, True])
PLAIN = st.fixed_dictionaries(
    {},
    optional={
        "properties": st.dictionaries(NAMES, VALUES, max_size=3),
        "required": st.lists(NAMES, unique=True, max_size=2),
    },
)
SCHEMAS = st.recursive(
    PLAIN,
    lambda inner: st.builds(
        lambda plain, more: {**plain, **more},
        PLAIN,
        st.dictionaries(
            st.sampled_from(["anyOf", "oneOf", "allOf"]), st.lists(inner, min_size=1, max_size=3), max_size=2
        ),
    ),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(NAMES, st.sampled_from(["x", 1, 2]), max_size=3)


@given(SCHEMAS, ARGUMENTS)
def test_the_top_is_plain_and_requires_no_more_than_before(
    schema: dict[str, Any], arguments: dict[str, Any]
) -> None:
    found, _ = parameters_of(schema)
    assert found["type"] == "object"
    assert not REFUSED & found.keys()
    assert found["properties"].keys() <= set(NAMES_OF_ALL)
    if compile_schema({"type": "object", **schema}).is_valid(arguments):
        assert set(found.get("required", ())) <= arguments.keys()
