"""What a change of a tool's schemas is called: broken, doubtful or harmless, for arguments and for results."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from dovetail.surface.schema_changes import SchemaChange, schema_changes


def obj(properties: dict[str, Any] | None = None, /, **rest: Any) -> dict[str, Any]:
    """A schema of an object."""
    return {"type": "object", **({} if properties is None else {"properties": properties}), **rest}


TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
NODE = {
    "properties": {"v": WHOLE, "next": {"anyOf": [{"$ref": "#/$defs/N"}, {"type": "null"}]}},
    "type": "object",
}


def tree(value: dict[str, Any]) -> dict[str, Any]:
    """A schema that contains itself."""
    node = {**NODE, "properties": {**NODE["properties"], "v": value}}
    return obj({"n": {"$ref": "#/$defs/N"}}, **{"$defs": {"N": node}})


def one_of(*kinds: str) -> dict[str, Any]:
    """Alternatives that a member tells apart."""
    branches = [obj({"kind": {"const": kind}, "size": WHOLE}, required=["kind"]) for kind in kinds]
    return obj({"what": {"oneOf": branches}})


#: What changes, from what, to what; what it is to callers, and to readers.
CASES: dict[str, tuple[Any, Any, str, str]] = {
    "a new required argument": (
        obj({"a": TEXT}),
        obj({"a": TEXT, "b": TEXT}, required=["b"]),
        "breaking",
        "compatible",
    ),
    "a new optional argument": (obj({"a": TEXT}), obj({"a": TEXT, "b": TEXT}), "compatible", "compatible"),
    "the first argument, optional": (obj(), obj({"b": TEXT}), "compatible", "compatible"),
    "an argument becomes required": (
        obj({"a": TEXT}),
        obj({"a": TEXT}, required=["a"]),
        "breaking",
        "compatible",
    ),
    "one becomes optional": (obj({"a": TEXT}, required=["a"]), obj({"a": TEXT}), "compatible", "breaking"),
    "one is removed from an open object": (
        obj({"a": TEXT, "b": TEXT}),
        obj({"a": TEXT}),
        "possible",
        "possible",
    ),
    "one is removed from a closed object": (
        obj({"a": TEXT, "b": TEXT}),
        obj({"a": TEXT}, additionalProperties=False),
        "breaking",
        "possible",
    ),
    "an object is closed": (
        obj({"a": TEXT}),
        obj({"a": TEXT}, additionalProperties=False),
        "possible",
        "compatible",
    ),
    "an object is opened": (
        obj({"a": TEXT}, additionalProperties=False),
        obj({"a": TEXT}),
        "compatible",
        "possible",
    ),
    "a map is closed": (
        obj({"m": obj(additionalProperties=True)}),
        obj({"m": obj({}, additionalProperties=False)}),
        "breaking",
        "compatible",
    ),
    "a narrower type": (obj({"a": {"type": "number"}}), obj({"a": WHOLE}), "breaking", "compatible"),
    "a wider type": (obj({"a": WHOLE}), obj({"a": {"type": "number"}}), "compatible", "breaking"),
    "null is gone": (
        obj({"a": {"anyOf": [TEXT, {"type": "null"}]}}),
        obj({"a": TEXT}),
        "breaking",
        "compatible",
    ),
    "null may come": (obj({"a": TEXT}), obj({"a": {"type": ["string", "null"]}}), "compatible", "breaking"),
    "a value is gone": (
        obj({"a": {"enum": ["x", "y"]}}),
        obj({"a": {"enum": ["x"]}}),
        "breaking",
        "compatible",
    ),
    "a value is new": (
        obj({"a": {"enum": ["x"]}}),
        obj({"a": {"enum": ["x", "y"]}}),
        "compatible",
        "breaking",
    ),
    "texts become a list": (obj({"a": TEXT}), obj({"a": {"enum": ["x"]}}), "breaking", "compatible"),
    "a lower bound": (obj({"a": WHOLE}), obj({"a": {**WHOLE, "minimum": 1}}), "breaking", "compatible"),
    "a tighter bound": (
        obj({"a": {**WHOLE, "maximum": 9}}),
        obj({"a": {**WHOLE, "exclusiveMaximum": 9}}),
        "breaking",
        "compatible",
    ),
    "the same bound, said otherwise": (
        obj({"a": {**WHOLE, "maximum": 8}}),
        obj({"a": {**WHOLE, "exclusiveMaximum": 9}}),
        "cosmetic",
        "cosmetic",
    ),
    "shorter texts": (obj({"a": TEXT}), obj({"a": {**TEXT, "maxLength": 3}}), "breaking", "compatible"),
    "a pattern": (obj({"a": TEXT}), obj({"a": {**TEXT, "pattern": "^x"}}), "breaking", "compatible"),
    "a pattern that nothing here solves": (
        obj({"a": {**TEXT, "pattern": "^[a-z]{3}$"}}),
        obj({"a": {**TEXT, "pattern": "^[a-z]{3}[0-9]?$"}}),
        "possible",
        "possible",
    ),
    "a format": (obj({"a": TEXT}), obj({"a": {**TEXT, "format": "email"}}), "possible", "compatible"),
    "fewer items": (
        obj({"a": {"type": "array"}}),
        obj({"a": {"type": "array", "maxItems": 2}}),
        "breaking",
        "compatible",
    ),
    "items of another type": (
        obj({"a": {"type": "array", "items": TEXT}}),
        obj({"a": {"type": "array", "items": WHOLE}}),
        "breaking",
        "breaking",
    ),
    "items only once": (
        obj({"a": {"type": "array", "items": TEXT}}),
        obj({"a": {"type": "array", "items": TEXT, "uniqueItems": True}}),
        "breaking",
        "compatible",
    ),
    "deep in a tree": (tree(WHOLE), tree({"type": "number"}), "compatible", "breaking"),
    "narrower in a tree": (tree({"type": "number"}), tree(WHOLE), "breaking", "compatible"),
    "written with a reference": (
        obj({"a": TEXT}),
        obj({"a": {"$ref": "#/$defs/T"}}, **{"$defs": {"T": TEXT}}),
        "cosmetic",
        "cosmetic",
    ),
    "an alternative is gone": (one_of("x", "y"), one_of("x"), "breaking", "compatible"),
    "an alternative is new": (one_of("x"), one_of("x", "y"), "compatible", "breaking"),
    "a rule is new": (
        obj({"a": TEXT}),
        obj({"a": TEXT}, **{"if": {"required": ["a"]}, "then": {"minProperties": 2}}),
        "breaking",
        "compatible",
    ),
    "a rule that is no longer there": (
        obj({"a": TEXT}, **{"not": {"required": ["a"]}}),
        obj({"a": TEXT}),
        "compatible",
        "breaking",
    ),
    "a reference to elsewhere": (
        obj({"a": TEXT}),
        obj({"a": {"$ref": "https://example.com/other.json"}}),
        "possible",
        "possible",
    ),
    "another dialect": (
        obj({"a": TEXT}),
        obj({"a": TEXT}, **{"$schema": "http://json-schema.org/draft-07/schema#"}),
        "possible",
        "possible",
    ),
    "a description": (obj({"a": TEXT}), obj({"a": {**TEXT, "description": "b"}}), "warning", "warning"),
    "a default": (
        obj({"a": {**TEXT, "default": "a"}}),
        obj({"a": {**TEXT, "default": "b"}}),
        "warning",
        "warning",
    ),
    "a title": (obj({"a": TEXT}), obj({"a": {**TEXT, "title": "b"}}), "cosmetic", "cosmetic"),
    "a header is new": (
        obj({"a": TEXT}),
        obj({"a": {**TEXT, "x-mcp-header": "Region"}}),
        "possible",
        "cosmetic",
    ),
}
ORDER = ("breaking", "possible", "warning", "compatible", "cosmetic")


def worst(found: list[SchemaChange]) -> str:
    """The worst of what was found."""
    return min((each.severity for each in found), key=ORDER.index, default="nothing")


@pytest.mark.parametrize("old, new, for_callers, for_readers", CASES.values(), ids=CASES)
def test_the_judgement(old, new, for_callers, for_readers):
    """Arguments and results are judged in opposite directions."""
    arguments, results = schema_changes(old, new, "input"), schema_changes(old, new, "output")
    assert worst(arguments) == for_callers, arguments
    assert worst(results) == for_readers, results


@pytest.mark.parametrize("old, new", [case[:2] for case in CASES.values()], ids=CASES)
def test_no_difference_is_silent(old, new):
    """Whatever is different is told, and what is the same is not."""
    for direction in ("input", "output"):
        assert schema_changes(old, new, direction)
        assert schema_changes(old, old, direction) == []


def test_an_example_shows_what_breaks():
    """A value that was right, and is not any more."""
    old, new = (
        obj({"a": TEXT, "b": {"enum": [1, 2]}}, required=["a"]),
        obj({"a": TEXT, "b": {"enum": [1]}}, required=["a"]),
    )
    (change,) = schema_changes(old, new, "input")
    assert change.example == {"a": "", "b": 2}
    assert (change.path, change.place) == (("b",), "properties/b")
    assert "the value 2 is no longer taken" in change.what
    (harmless,) = schema_changes(old, new, "output")
    assert harmless.example is UNSET


@pytest.mark.parametrize(
    "old,new,told",
    [
        ({"default": 2}, {}, "the default is another: 2 became none"),
        ({}, {"default": None}, "the default is another: none became null"),
        ({"default": None}, {"default": "none"}, 'the default is another: null became "none"'),
    ],
)
def test_what_is_not_said_is_no_null(old: dict[str, Any], new: dict[str, Any], told: str) -> None:
    found = schema_changes(obj({"a": {**TEXT, **old}}), obj({"a": {**TEXT, **new}}), "input")
    assert [each.what for each in found if each.severity == "warning"] == [told]


def test_the_place_of_what_is_referred_to_is_that_of_its_definition():
    """However deep it is used, it is told once, and where it is written."""
    (change,) = schema_changes(tree({"type": "number"}), tree(WHOLE), "input")
    assert change.place == "$defs/N/properties/v"
    assert change.example == {"n": {"v": 0.5}}


@pytest.mark.hostile
@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"anyOf": [{"$ref": "#"}, {"type": "string"}]},
        {"type": "anything"},
        {"properties": []},
        {"required": "a", "enum": 3},
        {"items": 3, "minItems": 1e308},
        {"minimum": True, "pattern": "("},
        obj({"a": {"$ref": "#/$defs/gone"}}),
        obj({"a": {"minItems": 10**9, "uniqueItems": True, "type": "array"}}),
        {"anyOf": [{"anyOf": [{"type": kind} for kind in ("string", "integer")]} for _ in range(40)]},
    ],
    ids=str,
)
def test_what_is_no_schema_is_never_called_compatible(schema):
    """It ends, raises nothing, and does not say more than it knows."""
    for direction in ("input", "output"):
        for old, new in ((schema, obj({"a": WHOLE})), (obj({"a": WHOLE}), schema)):
            assert schema_changes(old, new, direction)


@pytest.mark.hostile
def test_a_large_schema_is_compared_within_bounds():
    """Thousands of members that refer to each other."""
    names = [f"n{index}" for index in range(300)]

    def mesh(kind: str) -> dict[str, Any]:
        links = {name: {"$ref": f"#/$defs/{name}"} for name in names[:12]}
        return obj(links, **{"$defs": {name: obj({**links, "v": {"type": kind}}) for name in names}})

    assert worst(schema_changes(mesh("number"), mesh("integer"), "input")) in ("breaking", "possible")
