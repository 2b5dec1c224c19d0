"""The fields that a schema becomes, and their values."""

import pytest

from dovetail_inspector.terminal.fields import FieldInvalid, fields_of, text_of, value_of

SCHEMA = {
    "type": "object",
    "required": ["name", "size"],
    "properties": {
        "name": {"type": "string", "title": "Name", "default": "pie"},
        "size": {"$ref": "#/$defs/Size"},
        "weight": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "count": {"type": ["integer", "null"]},
        "hot": {"type": "boolean"},
        "kinds": {"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}, {"const": "b"}]}},
        "oven": {"type": "object", "properties": {"heat": {"type": "integer"}}},
        "either": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        "again": {"$ref": "#/$defs/Loop"},
    },
    "$defs": {"Size": {"enum": ["s", 1], "enumNames": ["small"]}, "Loop": {"$ref": "#/$defs/Loop"}},
}


def test_each_member_becomes_a_field():
    fields = {each.name: each for each in fields_of(SCHEMA)}
    assert {name: each.kind for name, each in fields.items()} == {
        "name": "text",
        "size": "choice",
        "weight": "number",
        "count": "integer",
        "hot": "choice",
        "kinds": "choices",
        "oven": "json",
        "either": "json",
        "again": "json",
    }
    assert fields["size"].choices == (("small", "s"), ("1", 1))
    assert fields["kinds"].choices == (("A", "a"), ("b", "b"))
    assert [name for name, each in fields.items() if each.required] == ["name", "size"]
    assert (fields["name"].has_default, fields["name"].default) == (True, "pie")


@pytest.mark.parametrize(
    "schema", [None, True, [], {}, {"properties": 3}, {"properties": {"a": 4}}, {"required": {}}]
)
def test_no_schema_is_too_odd(schema):
    assert len(fields_of(schema)) < 2


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("weight", "1.5", 1.5),
        ("weight", "2", 2),
        ("count", " 3 ", 3),
        ("oven", '{"heat": 1}', {"heat": 1}),
        ("name", " x", " x"),
    ],
)
def test_what_is_written_becomes_a_value(name, text, value):
    field = next(each for each in fields_of(SCHEMA) if each.name == name)
    assert value_of(field, text) == value
    assert value_of(field, text_of(field, value)) == value


@pytest.mark.parametrize(
    "name, text, problem",
    [
        ("count", "1.5", "whole number"),
        ("count", "x", "whole number"),
        ("weight", "true", "number"),
        ("weight", "NaN", "number"),
        ("oven", "{", "no JSON"),
        ("oven", "[" * 100_000, "JSON|nested"),
        ("name", "", "is needed"),
    ],
)
def test_what_does_not_fit_is_said(name, text, problem):
    field = next(each for each in fields_of(SCHEMA) if each.name == name)
    with pytest.raises(FieldInvalid, match=problem):
        value_of(field, text)


def test_an_empty_field_is_left_out():
    field = next(each for each in fields_of(SCHEMA) if each.name == "weight")
    with pytest.raises(LookupError):
        value_of(field, " ")
