"""Words into values by a schema, and text made safe."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.cli.coercion import Pair, arguments_of, pairs, read_value, texts
from dovetail.cli.exits import UsageError
from dovetail.cli.screen import as_json
from dovetail.cli.sources import Sources
from dovetail.cli.suggesting import check_arguments
from dovetail.protocol.safe_text import one_line, safe


@pytest.mark.parametrize(
    "schema,text,value",
    [
        ({"type": "string"}, "12", "12"),
        ({"type": "string"}, "", ""),
        ({"type": "integer"}, "12", 12),
        ({"type": "integer"}, "12.0", 12),
        ({"type": "number"}, "1e3", 1000.0),
        ({"type": "boolean"}, "Yes", True),
        ({"type": "boolean"}, "false", False),
        ({"type": "null"}, "null", None),
        ({"type": ["integer", "null"]}, "null", None),
        ({"type": ["integer", "string"]}, "x", "x"),
        ({"type": ["string", "integer"]}, "5", 5),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "5", 5),
        ({"oneOf": [{"const": "r", "title": "Red"}]}, "r", "r"),
        ({"enum": [1, 2, "three"]}, "2", 2),
        ({"enum": [1, 2, "three"]}, "three", "three"),
        ({"type": "array", "items": {"type": "integer"}}, "[1, 2]", [1, 2]),
        ({"type": "array", "items": {"type": "integer"}}, "3", [3]),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
        ({}, "true", True),
        ({}, "text", "text"),
        ({}, "007", "007"),
        ({}, "[oops", "[oops"),
    ],
)
def test_values(schema, text, value):
    """Each as its schema says; nothing said means JSON where it is JSON, else text."""
    found = read_value(text, schema)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "schema,text",
    [
        ({"type": "integer"}, "1.5"),
        ({"type": "integer"}, "true"),
        ({"type": "number"}, "NaN"),
        ({"type": "number"}, "1e999"),
        ({"type": "boolean"}, "1"),
        ({"type": "object"}, "[]"),
        ({"type": "object"}, "{"),
    ],
)
def test_values_that_do_not_fit(schema, text):
    """What was expected is said."""
    with pytest.raises(ValueError, match="expected"):
        read_value(text, schema)


def test_references_are_followed():
    """Also through ``$defs``, and one that leads in circles ends."""
    schema = {
        "$defs": {
            "size": {"type": "integer"},
            "a/b": {"$ref": "#/$defs/size"},
            "loop": {"$ref": "#/$defs/loop"},
        },
        "properties": {
            "n": {"$ref": "#/$defs/a~1b"},
            "l": {"$ref": "#/$defs/loop"},
            "m": {"$ref": "#/$defs/none"},
        },
    }
    assert arguments_of(pairs(["n=3", "l=x", "m=y"]), {}, schema) == {"n": 3, "l": "x", "m": "y"}


def test_keys():
    """The first equals sign divides; ``:=`` is JSON."""
    assert pairs(["a=b=c", "d:=[1]", "e="]) == [Pair("a", "b=c"), Pair("d", "[1]", json=True), Pair("e", "")]
    assert texts(pairs(["a=1"])) == {"a": "1"}
    for wrong in ("a", "=b", ":=1", "@=1", ":@=1"):
        with pytest.raises(UsageError):
            pairs([wrong], Sources())
    with pytest.raises(UsageError, match="not JSON"):
        arguments_of(pairs(["a:=x"]), {}, {})
    with pytest.raises(UsageError, match="no file"):
        pairs(["a@="], Sources())


@given(
    st.dictionaries(st.text(min_size=1).filter(lambda key: "=" not in key and key[-1] not in ":@"), st.text())
)
def test_any_text_gets_through(members):
    """Whatever a key or value holds, a text argument arrives as it was typed."""
    schema = {"properties": {key: {"type": "string"} for key in members}}
    given_pairs = pairs([f"{key}={value}" for key, value in members.items()], Sources())
    assert arguments_of(given_pairs, {}, schema) == members


@pytest.mark.parametrize(
    "schema", [{"properties": []}, {"properties": {"a": 1}}, {"properties": {"a": {"type": 7}}}]
)
def test_schemas_that_are_none(schema):
    """A server's nonsense is no reason to fail."""
    assert arguments_of(pairs(["a=1"]), {}, schema) == {"a": 1}
    check_arguments(pairs(["a=1"]), schema, "x")


def test_safe_text():
    """Shown as escapes; breaks, tabs and the joiners of emoji stay."""
    assert safe("a\x1b[2Jb\x00\x7f\x9b") == "a\\x1b[2Jb\\x00\\x7f\\x9b"
    assert safe("\u202eabc\u2066\u200f") == "\\u202eabc\\u2066\\u200f"
    assert safe("\U000e0041") == "\\U000e0041"
    assert safe("one\r\ntwo\tthree\rfour") == "one\ntwo\tthree\\x0dfour"
    assert safe("Grüße 你好 👩\u200d🚀") == "Grüße 你好 👩\u200d🚀"
    assert one_line("a\n\n b\x1b") == "a b\\x1b"
    assert len(one_line("x" * 10_000)) < 2100


@given(st.text())
def test_nothing_that_acts_gets_out(text):
    """No control, format or surrogate character is left, and JSON still holds the same value."""
    for character in safe(text):
        assert character in "\n\t\u200c\u200d" or unicodedata.category(character) not in ("Cc", "Cf", "Cs")
    shown = as_json({"text": text})
    assert json.loads(shown) == {"text": text}
    assert not any(
        unicodedata.category(each) in ("Cc", "Cf", "Cs") and each not in "\n\u200c\u200d" for each in shown
    )
