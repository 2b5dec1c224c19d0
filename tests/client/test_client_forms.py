"""Forms as servers send them: what may be null is shown as what may be left out; nothing crashes, whatever comes."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.cli.answering import TerminalHandlers
from dovetail.cli.coercion import pairs
from dovetail.cli.fields import fields_of
from dovetail.client import Accept, Client, ElicitRequest
from dovetail.client.elicitation import answer_elicitation
from dovetail.client.form_fields import plain_form
from dovetail.client.options import Options
from dovetail.protocol.errors import InternalError, InvalidParams
from dovetail.protocol.types import ElicitParams

TEXT = {"type": "string", "title": "Name", "minLength": 2}
COLOURS = ["red", "blue"]


def form(field: Any, *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": field}, "required": list(required)}


NULLABLE = {
    "list of types": ({"type": ["string", "null"], "minLength": 2}, {"type": "string", "minLength": 2}),
    "null first": ({"type": ["null", "integer"]}, {"type": "integer"}),
    "one type in a list": ({"type": ["boolean"]}, {"type": "boolean"}),
    "any of": (
        {"anyOf": [{"type": "string", "minLength": 2}, {"type": "null"}], "title": "Name", "default": None},
        TEXT,
    ),
    "one of": ({"oneOf": [{"type": "null"}, {"type": "number"}]}, {"type": "number"}),
    "a choice": (
        {"anyOf": [{"type": "string", "enum": COLOURS}, {"type": "null"}]},
        {"type": "string", "enum": COLOURS},
    ),
    "a choice with null in it": (
        {"type": ["string", "null"], "enum": ["red", None, "blue"], "enumNames": ["Red", "-", "Blue"]},
        {"type": "string", "enum": COLOURS, "enumNames": ["Red", "Blue"]},
    ),
    "titled choices with null": (
        {
            "type": ["string", "null"],
            "oneOf": [{"const": "red", "title": "Red"}, {"const": None, "title": "-"}],
        },
        {"type": "string", "oneOf": [{"const": "red", "title": "Red"}]},
    ),
    "several": (
        {"anyOf": [{"type": "array", "items": {"type": "string", "enum": COLOURS}}, {"type": "null"}]},
        {"type": "array", "items": {"type": "string", "enum": COLOURS}},
    ),
}


@pytest.mark.parametrize("name", NULLABLE)
def test_a_field_that_may_be_null_is_shown_plain(name: str) -> None:
    given, shown = NULLABLE[name]
    plain = plain_form(form(given))
    assert plain["properties"]["a"] == shown
    (field,) = fields_of(plain)
    assert field.hint()
    assert field.title()


def test_a_plain_form_stays_as_it_is() -> None:
    plain = form(TEXT, "a")
    assert plain_form(plain) is plain


@pytest.mark.parametrize(
    "field",
    [
        {"type": ["string", "integer"]},
        {"type": "null"},
        {"type": ["null"]},
        {"type": {}},
        {"type": [["string"]]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"anyOf": [{"type": "null"}]},
        {"anyOf": [True, {"type": "null"}]},
        {"$ref": "#/$defs/x"},
        {"type": "string", "oneOf": [True]},
        {"type": "string", "oneOf": [{"title": "no const"}]},
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"anyOf": [5]}},
        {"enum": ["a"]},
        [],
        None,
    ],
)
def test_what_no_form_holds_is_refused_politely(field: Any) -> None:
    with pytest.raises(InvalidParams):
        plain_form(form(field))


@pytest.mark.parametrize(
    "answer, content",
    [({"a": None}, {}), ({}, {}), (None, None), ({"a": "Ada"}, {"a": "Ada"}), ("Ada", {"a": "Ada"})],
)
async def test_a_null_is_an_answer_left_out(answer: Any, content: Any) -> None:
    """No result can carry a null: the schema of `ElicitResult` has none."""
    schema = form({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None})
    params = ElicitParams(message="m", requested_schema=schema)
    result = await answer_elicitation(params, Options(elicitation=lambda _: answer), "s")
    assert result.content == content


@pytest.mark.parametrize(
    "answer, content",
    [
        ({"name": "Ada", "nick": None}, {"name": "Ada", "nicer": "x"}),
        ({"name": "Ada", "nicer": None}, {"name": "Ada", "nick": "Bob"}),
        ({"name": None}, {"name": "Eve", "nick": "Bob", "nicer": "x"}),
        ({}, {"name": "Eve", "nick": "Bob", "nicer": "x"}),
    ],
)
@pytest.mark.requirement("R2511-ELICITATION-011", "R2607-ELICITATION-012")
async def test_what_a_person_takes_out_is_not_suggested_again(answer: Any, content: Any) -> None:
    fields = {
        "name": {"type": "string", "default": "Eve"},
        "nick": {"type": "string", "default": "Bob"},
        "nicer": {"type": "string", "default": "x"},
    }
    schema = {"type": "object", "properties": fields, "required": ["name"]}
    params = ElicitParams(message="m", requested_schema=schema)
    result = await answer_elicitation(params, Options(elicitation=lambda _: answer), "s")
    assert result.content == content


async def test_an_answer_that_names_no_field_says_how_to_name_them() -> None:
    """As of a handler that gives an object of its own for a form of several fields."""

    def handler(request: ElicitRequest) -> Any:
        return object()

    fields = {"sure": {"type": "boolean"}, "colour": {"type": "string"}}
    schema = {"type": "object", "properties": fields}
    params = ElicitParams(message="?", requested_schema=schema)
    with pytest.raises(InternalError, match=r"has to give a dict with 'sure', 'colour'"):
        await answer_elicitation(params, Options(elicitation=handler), "server")


async def test_a_null_for_what_is_required_does_not_fit() -> None:
    params = ElicitParams(message="m", requested_schema=form({"type": ["string", "null"]}, "a"))
    with pytest.raises(InternalError):
        await answer_elicitation(params, Options(elicitation=lambda _: {"a": None}), "s")


@pytest.mark.requirement("R2511-ELICITATION-056", "R2607-ELICITATION-045")
@pytest.mark.parametrize(
    "kind,given,fits",
    [
        ("date", "2026-02-28", True),
        ("date", "tomorrow", False),
        ("date", "2026-02-30", False),
        ("date", "20260228", False),
        ("date-time", "2026-02-28T10:00:00Z", True),
        ("date-time", "2026-02-28 10:00:00+01:00", True),
        ("date-time", "10:00", False),
        ("uri", "tomorrow", True),
    ],
)
async def test_dates_and_times_have_to_be_some(kind: str, given: str, fits: bool) -> None:
    """No schema judges them, and a server would only ask again."""
    schema = form({"type": "string", "format": kind})
    params = ElicitParams(message="When?", requested_schema=schema)
    options = Options(elicitation=lambda _: given)
    (field,) = fields_of(schema)
    if fits:
        assert (await answer_elicitation(params, options, "s")).content == {"a": given}
        assert field.read(given) == given
        return
    with pytest.raises(InternalError, match=f"a: expected a {kind} such as 2026-01-31.*, got '{given}'"):
        await answer_elicitation(params, options, "s")
    with pytest.raises(ValueError, match=f"expected a {kind} such as"):
        field.read(given)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "field", [{"type": ["string", "null"]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}]
)
async def test_so_it_is_over_the_wire(scripted: Callable[..., list[str]], field: dict[str, Any]) -> None:
    asked = {"message": "m", "requestedSchema": form(field)}
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": asked}),
        '{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}',
    ]
    shown: list[ElicitRequest] = []

    def fill(request: ElicitRequest) -> dict[str, Any]:
        shown.append(request)
        return {"a": None}

    script = {"tools/call": [lines, {"content": []}], "prompts/get": [{"messages": []}]}
    async with Client(scripted(script), elicitation=fill) as client:
        await client.call_tool("t")
        while not shown:
            await client.ping()
        assert shown[0].fields == {"a": {"type": "string"}}


async def test_the_command_line_shows_and_answers_them() -> None:
    schema = plain_form(
        {"type": "object", "properties": {name: each for name, (each, _) in NULLABLE.items()}}
    )
    answers = await TerminalHandlers(yes=True).form(ElicitRequest(server="s", message="m", schema=schema))
    assert isinstance(answers, Accept)
    given = ElicitRequest(server="s", message="m", schema=plain_form(form(NULLABLE["null first"][0])))
    assert await TerminalHandlers(pairs(["a=5"])).form(given) == Accept({"a": 5})


WORDS = [
    "type",
    "anyOf",
    "oneOf",
    "enum",
    "items",
    "const",
    "default",
    "title",
    "enumNames",
    "minimum",
    "$ref",
    "a",
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["string", "null", "array", "x", "object"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(WORDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=400)
@given(JSON, JSON)
async def test_no_form_crashes(field: Any, required: Any) -> None:
    """It is shown, or refused with `InvalidParams`; and what is shown can be shown by the command line."""
    schema: dict[str, Any] = {"type": "object", "properties": {"a": field}}
    if required is not None:
        schema["required"] = required
    try:
        plain = plain_form(schema)
    except InvalidParams:
        return
    for each in fields_of(plain):
        assert each.hint() + each.title() + each.description()
    params = ElicitParams(message="m", requested_schema=schema)
    with contextlib.suppress(InvalidParams, InternalError):
        await answer_elicitation(params, Options(elicitation=lambda _: {"a": "x"}), "s", lists=False)
