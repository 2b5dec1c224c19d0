"""The grammar of forms in each revision, checked against the official schemas."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
from form_types import RAW, Attrs, Booking, Color, Model, Options, Pair, Person, Titled

from dovetail.protocol.errors import FeatureUnavailable
from dovetail.server.forms import AnswerInvalid, Form
from dovetail.server.signature import RegistrationError

SCHEMAS = Path(__file__).parents[2] / "src" / "dovetail" / "specification" / "schemas"


def definition(revision: str, name: str) -> jsonschema.Draft202012Validator:
    """The validator of one definition of the official schema, its objects closed."""
    document = json.loads((SCHEMAS / f"{revision}.json").read_text("utf-8"))
    for body in (document.get("$defs") or document["definitions"]).values():
        if body.get("type") == "object" and "properties" in body:
            body["additionalProperties"] = False
    key = "$defs" if "$defs" in document else "definitions"
    return jsonschema.Draft202012Validator({"$ref": f"#/{key}/{name}", key: document[key]})


@pytest.mark.requirement("R2506-ELICITATION-006")
def test_the_first_revision_of_forms():
    """Titles in enumNames, defaults on yes-or-no only, no choice of several."""

    @dataclasses.dataclass
    class Small:
        reply: Titled = Titled.Y
        color: Color = Color.RED
        seats: int = 1
        window: bool = True

    Small.__annotations__ = {"reply": Titled, "color": Color, "seats": int, "window": bool}
    form = Form.of(Small)
    schema = form.schema(defaults=False, enum_forms=False)
    properties = {
        name: {key: item for key, item in each.items() if key != "description"}
        for name, each in schema["properties"].items()
    }
    assert properties == {
        "reply": {"type": "string", "enum": ["y", "n"], "enumNames": ["Yes, please", "No"]},
        "color": {"type": "string", "enum": ["red", "blue"]},
        "seats": {"type": "integer"},
        "window": {"type": "boolean", "default": True},
    }
    assert "required" not in schema
    assert form.read({}) == Small()
    validator = definition("2025-06-18", "PrimitiveSchemaDefinition")
    for each in schema["properties"].values():
        validator.validate(each)
    with pytest.raises(FeatureUnavailable, match="extras"):
        Form.of(Booking).schema(enum_forms=False)


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
@pytest.mark.parametrize("kind", [Booking, Pair, Options, Person, Model, Attrs, bool, list[Titled]])
@pytest.mark.requirement("R2511-ELICITATION-063", "R2511-ELICITATION-064", "R2511-ELICITATION-065")
def test_the_newer_revisions_of_forms(kind, revision):
    """Every field is one of the definitions, closed."""
    validator = definition(revision, "PrimitiveSchemaDefinition")
    for each in Form.of(kind).schema()["properties"].values():
        validator.validate(each)


def test_raw_schemas_pass_through():
    """As they are; cut only for a revision that needs it."""
    form = Form.raw(RAW)
    assert form.schema() == RAW
    old = form.schema(defaults=False, enum_forms=False)
    assert old["properties"]["a"] == {"type": "string", "enum": ["x", "y"], "enumNames": ["X", "Y"]}
    assert old["properties"]["b"] == RAW["properties"]["b"]
    assert form.read({"d": 1, "b": "p"}) == {"a": "x", "b": "p", "d": 1}
    with pytest.raises(AnswerInvalid) as caught:
        form.read({"c": "yesterday", "b": "P"})
    assert set(caught.value.fields) == {"b", "c", "d"}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": "array", "properties": {}},
        {"type": "object", "properties": {}, "additionalProperties": False},
        {"type": "object", "properties": {}, "required": ["a"]},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"a": {"type": "object"}}},
        {"type": "object", "properties": {"a": {"type": "null"}}},
        {"type": "object", "properties": {"a": {"type": ["string", "null"]}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "a"}}},
        {"type": "object", "properties": {"a": {"type": "string", "format": "password"}}},
        {"type": "object", "properties": {"a": {"type": "string", "enum": []}}},
        {"type": "object", "properties": {"a": {"type": "string", "enum": [1]}}},
        {"type": "object", "properties": {"a": {"type": "string", "enum": ["a"], "enumNames": ["A", "B"]}}},
        {"type": "object", "properties": {"a": {"type": "string", "oneOf": [{"const": "a"}]}}},
        {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}},
        {"type": "object", "properties": {"a": {"type": "array"}}},
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": "1"}}},
        {"type": "object", "properties": {"a": {"type": "integer", "default": True}}},
        {"type": "object", "properties": {"a": {"type": "boolean", "default": 1}}},
        {"type": "object", "properties": {"a": {"type": "string", "title": 3}}},
        {"type": "object", "properties": {f"a{i}": {"type": "string"} for i in range(101)}},
    ],
)
@pytest.mark.requirement("R2511-ELICITATION-063", "R2511-ELICITATION-065")
def test_raw_schemas_outside_the_grammar(schema):
    """Refused when the form is made."""
    with pytest.raises(RegistrationError):
        Form.raw(schema)
