"""Forms: what is asked, in each revision's grammar, and how answers become values."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Annotated, Any, Literal

import pytest
from form_types import RAW, Attrs, Booking, Color, Model, Options, Pair, Person, Size, Titled
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.server.forms import AnswerInvalid, Form
from dovetail.server.markers import Format, Length, Titles
from dovetail.server.signature import RegistrationError


def test_everything_a_form_can_ask():
    """Titles, bounds, formats, defaults, choices, in the newest grammar."""
    assert Form.of(Booking).schema() == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 20, "description": "who travels"},
            "mail": {"type": "string", "format": "email"},
            "seats": {"type": "integer", "minimum": 1, "maximum": 9, "default": 1},
            "price": {"type": "number", "default": 9.5},
            "color": {
                "type": "string",
                "enum": ["red", "blue"],
                "description": "Colours, not in the order of the alphabet.",
                "default": "red",
            },
            "size": {"type": "string", "enum": ["1", "2"], "description": "Sizes."},
            "reply": {
                "type": "string",
                "oneOf": [{"const": "y", "title": "Yes, please"}, {"const": "n", "title": "No"}],
                "description": "Members with texts of their own.",
                "default": "y",
            },
            "extras": {
                "type": "array",
                "items": {"type": "string", "enum": ["wifi", "meal"]},
                "minItems": 0,
                "maxItems": 2,
                "default": ["meal"],
            },
            "day": {"type": "string", "format": "date"},
            "at": {"type": "string", "format": "date-time"},
            "window": {"type": "boolean", "default": True},
            "code": {"type": "string"},
        },
        "required": ["name", "mail"],
    }


def test_the_answer_becomes_the_value():
    """Choices, dates, integral floats, defaults."""
    answer = {
        "name": "Ada",
        "mail": "a@b",
        "seats": 2.0,
        "size": "2",
        "extras": ["wifi"],
        "at": "2026-01-02T03:04:05Z",
        "code": "AB",
    }
    value = Form.of(Booking).read(answer)
    assert value == Booking(
        "Ada",
        "a@b",
        2,
        size=Size.L,
        extras=["wifi"],
        at=dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        code="AB",
    )
    assert type(value.seats) is int
    assert Form.of(Booking).read({"name": "Ada", "mail": "a@b", "size": None}) == Booking("Ada", "a@b")


@pytest.mark.requirement("R2506-ELICITATION-004", "R2511-ELICITATION-057", "R2607-ELICITATION-046")
def test_wrong_answers_name_their_fields():
    """All of them at once."""
    with pytest.raises(AnswerInvalid) as caught:
        Form.of(Booking).read(
            {
                "name": "",
                "mail": "nobody",
                "seats": 10,
                "price": -1,
                "color": "pink",
                "day": "2026-02-30",
                "code": "ab",
            }
        )
    assert set(caught.value.fields) == {"name", "mail", "seats", "price", "color", "day", "code"}
    with pytest.raises(AnswerInvalid) as caught:
        Form.of(Booking).read({})
    assert set(caught.value.fields) == {"name", "mail"}


@pytest.mark.parametrize(
    "answer", [None, [], "a", 3, {"value": None}, {"value": []}, {"value": {"a": 1}}, {"other": 1}]
)
def test_hostile_answers(answer):
    """Anything may come back."""
    with pytest.raises(AnswerInvalid):
        Form.of(int).read(answer)
    with pytest.raises(AnswerInvalid):
        Form.raw(
            {"type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"]}
        ).read(answer)


@pytest.mark.parametrize(
    "kind,field,answer,value",
    [
        (bool, {"type": "boolean"}, True, True),
        (str, {"type": "string"}, "a", "a"),
        (int, {"type": "integer"}, 3.0, 3),
        (float, {"type": "number"}, 1, 1.0),
        (Color, {"type": "string", "enum": ["red", "blue"]}, "blue", Color.BLUE),
        (Literal["b", "a"], {"type": "string", "enum": ["b", "a"]}, "a", "a"),
        (Literal[2, 1], {"type": "string", "enum": ["2", "1"]}, "1", 1),
        (
            list[Color],
            {"type": "array", "items": {"type": "string", "enum": ["red", "blue"]}},
            ["red"],
            [Color.RED],
        ),
        (set[Size], {"type": "array", "items": {"type": "string", "enum": ["1", "2"]}}, ["1"], {Size.S}),
        (dt.date, {"type": "string", "format": "date"}, "2026-01-02", dt.date(2026, 1, 2)),
        (Annotated[str, Format("uri")], {"type": "string", "format": "uri"}, "a:b", "a:b"),
        (Annotated[str, "say it"], {"type": "string", "description": "say it"}, "a", "a"),
        (
            Annotated[Literal["r", "g"], Titles({"g": "Green"})],
            {"type": "string", "oneOf": [{"const": "r", "title": "r"}, {"const": "g", "title": "Green"}]},
            "g",
            "g",
        ),
        (
            list[Titled],
            {
                "type": "array",
                "items": {"anyOf": [{"const": "y", "title": "Yes, please"}, {"const": "n", "title": "No"}]},
            },
            ["y"],
            [Titled.Y],
        ),
    ],
)
def test_single_values(kind, field, answer, value):
    """One field named value, unwrapped when read."""
    form = Form.of(kind)
    asked = form.schema()["properties"]["value"]
    if "description" not in field:
        asked = {key: item for key, item in asked.items() if key != "description"}
    assert asked == field
    assert form.schema()["required"] == ["value"]
    found = form.read({"value": answer})
    assert found == value
    assert type(found) is type(value)


def test_optional_single_value():
    """`int | None` may be left empty."""
    form = Form.of(int | None)
    assert "required" not in form.schema()
    assert form.read({}) is None
    assert form.read({"value": None}) is None
    assert form.read({"value": 3}) == 3


@pytest.mark.parametrize(
    "kind,answer,value",
    [
        (Pair, {"a": 1}, Pair(1)),
        (Options, {"a": 1}, {"a": 1, "c": None}),
        (Options, {"a": 1, "b": "x", "c": "y", "zzz": 1}, {"a": 1, "b": "x", "c": "y"}),
        (Person, {"firstName": "Ada", "shoeSize": "1"}, Person("Ada", Size.S)),
        (Person, {"firstName": "Ada"}, Person("Ada")),
        (Model, {"name": "Ada", "color": "red"}, Model(name="Ada", color=Color.RED)),
        (Attrs, {"a": 1}, Attrs(1)),
        (Attrs, {"a": 1, "c": ["blue"]}, Attrs(1, c=[Color.BLUE])),
    ],
)
def test_every_kind_of_class(kind, answer, value):
    """Each is read into itself."""
    assert Form.of(kind).read(answer) == value


def test_pydantic_models():
    """Constraints in the form's grammar, the model's own checks when read."""
    form = Form.of(Model)
    assert form.schema()["properties"]["count"] == {"type": "integer", "minimum": 4, "default": 7}
    assert form.schema()["properties"]["name"] == {"type": "string", "minLength": 2, "description": "a name"}
    with pytest.raises(AnswerInvalid) as caught:
        form.read({"name": "a", "count": 1})
    assert caught.value.fields == ("name", "count")


@dataclasses.dataclass
class Nested:
    """Not flat."""

    inner: Booking


@dataclasses.dataclass
class Careful:
    """Checks what no field alone can."""

    low: int
    high: int

    def __post_init__(self):
        if self.low > self.high:
            raise ValueError("low is above high")


def test_rules_between_fields():
    """A class's own check is an invalid answer too."""
    assert Form.of(Careful).read({"low": 1, "high": 2}) == Careful(1, 2)
    with pytest.raises(AnswerInvalid, match="low is above high"):
        Form.of(Careful).read({"low": 2, "high": 1})


@pytest.mark.parametrize(
    "kind",
    [
        dict,
        list,
        list[str],
        list[Booking],
        Nested,
        Any,
        None,
        bytes,
        int | str,
        Literal[True],
        complex,
        object,
        tuple[int, int],
    ],
)
@pytest.mark.requirement("R2511-ELICITATION-063")
def test_what_no_form_can_ask(kind):
    """Refused when the form is made."""
    with pytest.raises(RegistrationError):
        Form.of(kind)


def test_secrets_are_not_repeated():
    """Wrong answers in fields with telling names."""

    @dataclasses.dataclass
    class Login:
        password: Annotated[str, Length(30)]

    Login.__annotations__ = {"password": Annotated[str, Length(30)]}
    with pytest.raises(AnswerInvalid) as caught:
        Form.of(Login).read({"password": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_forms_are_kept():
    """The same type is taken apart once."""
    assert Form.of(Booking) is Form.of(Booking)
    assert Form.of(Literal[1, 2]) is not Form.of(Literal["1", "2"])


def test_answers_do_not_share_defaults():
    """A default list is made anew."""
    first = Form.of(Attrs).read({"a": 1})
    first.c.append(Color.BLUE)
    assert Form.of(Attrs).read({"a": 1}).c == [Color.RED]


JSON = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.text())
    | st.dictionaries(st.text(), st.text())
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([each.name for each in dataclasses.fields(Booking)]), JSON))
def test_any_answer(content):
    """Whatever comes back is a value or an AnswerInvalid that says why."""
    for form in (Form.of(Booking), Form.raw(RAW)):
        try:
            form.read(content)
        except AnswerInvalid as refusal:
            if not str(refusal):
                raise AssertionError("refused without a word") from refusal


@given(st.sampled_from([Pair, Person, Attrs, bool, Color, list[Size], Booking]), st.data())
@settings(max_examples=60, deadline=None)
def test_what_a_form_offers_it_accepts(kind, data):
    """An answer made from the form's own schema is read."""
    form = Form.of(kind)
    answer: dict[str, Any] = {}
    for name, field in form.schema()["properties"].items():
        if field["type"] == "string" and "enum" in field:
            answer[name] = data.draw(st.sampled_from(field["enum"]))
        elif field["type"] == "array":
            answer[name] = data.draw(st.lists(st.sampled_from(field["items"]["enum"]), max_size=2))
        elif field["type"] in ("integer", "number"):
            answer[name] = data.draw(st.integers(int(field.get("minimum", 1)), int(field.get("maximum", 5))))
        elif field["type"] == "boolean":
            answer[name] = data.draw(st.booleans())
        elif "oneOf" in field:
            answer[name] = data.draw(st.sampled_from(field["oneOf"]))["const"]
        else:
            answer[name] = {"date": "2026-01-02", "date-time": "2026-01-02T03:04:05Z"}.get(
                field.get("format"), "A@B"
            )
    answer.pop("code", None)
    form.read(answer)
