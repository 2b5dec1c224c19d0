"""Arguments: the schema, the decoder, their agreement, and what a model is told."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import json
import subprocess
import sys
import uuid
from typing import Annotated, Any, Literal, TypeVar

import jsonschema
import msgspec
import pydantic
import pytest
from argument_types import Attrs, Color, Model, Node, Options, Pair, Place, Size, complaint, plan_for, plan_of
from typing_extensions import TypeAliasType

from dovetail.server.arguments import ArgumentsPlan
from dovetail.server.markers import Doc, Header, Length, Pattern, Range, Secret
from dovetail.server.signature import RegistrationError, inspect_function


def forecast(
    city: str,
    days: Annotated[int, Range(1, 14)] = 3,
    region: Annotated[Color, Header("Region")] = Color.RED,
    *,
    token: Annotated[str, Doc("how to get in")] = "",
):
    """Forecast.

    Args:
        city: name of the city
        token: not used, the marker says more
    """


@pytest.mark.requirement("R2511-TOOLS-005", "R2511-TOOLS-026")
def test_the_schema_says_what_the_signature_says():
    """Root, properties, constraints, defaults, descriptions, header."""
    plan = plan_of(forecast)
    assert plan.schema == {
        "type": "object",
        "properties": {
            "city": {"description": "name of the city", "type": "string"},
            "days": {"type": "integer", "minimum": 1, "maximum": 14, "default": 3},
            "region": {
                "enum": ["red", "blue"],
                "type": "string",
                "description": "Colours.",
                "x-mcp-header": "Region",
                "default": "red",
            },
            "token": {"description": "how to get in", "type": "string"},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    assert [(each.path, each.kind) for each in plan.headers] == [(("region",), "string")]
    assert plan.decode(b'{"city":"Oslo","token":"t"}') == ("Oslo", 3, Color.RED, "t")
    assert plan.named(b'{"city":"Oslo"}') == {"city": "Oslo", "days": 3, "region": Color.RED, "token": ""}


@pytest.mark.parametrize("raw", [None, b"", b"{}", b" {} ", msgspec.Raw(b"{}"), msgspec.Raw(b"")])
def test_no_arguments(raw):
    """None at all is an empty object."""

    def tool(): ...

    plan = plan_of(tool)
    assert plan.schema == {"type": "object", "properties": {}, "additionalProperties": False}
    assert plan.decode(raw) == ()
    assert "takes no arguments" in complaint(plan, {"a": 1})


@pytest.mark.parametrize(
    "annotation,given,value",
    [
        (int, 3, 3),
        (int, 3.0, 3),
        (int, 2**70, 2**70),
        (float, 1, 1.0),
        (bool, True, True),
        (str | None, None, None),
        (Any, {"a": [1]}, {"a": [1]}),
        (dict, {"a": 1}, {"a": 1}),
        (list, [1, "a"], [1, "a"]),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[int], [1, 1], {1}),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (Literal["a", 1], 1, 1),
        (Color, "red", Color.RED),
        (Size, 2, Size.L),
        (dt.datetime, "2026-01-02T03:04:05Z", dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)),
        (dt.date, "2026-01-02", dt.date(2026, 1, 2)),
        (dt.time, "03:04:05", dt.time(3, 4, 5)),
        (dt.timedelta, "PT90S", dt.timedelta(seconds=90)),
        (uuid.UUID, "00000000-0000-0000-0000-000000000001", uuid.UUID(int=1)),
        (decimal.Decimal, "1.50", decimal.Decimal("1.50")),
        (decimal.Decimal, 1.5, decimal.Decimal("1.5")),
        (bytes, "aGk=", b"hi"),
        (Place, {"x": 1}, Place(1)),
        (list[Place] | None, [{"x": 1.0}], [Place(1)]),
        (Options, {"a": 1}, {"a": 1}),
        (Pair, [1], Pair(1)),
        (Node, {"name": "a", "children": [{"name": "b"}]}, Node("a", [Node("b")])),
        (Attrs, {"a": 1}, Attrs(1)),
        (Model, {"name": "abc"}, Model(name="abc")),
        (
            list[Model],
            [{"name": "abc", "parent": {"name": "def"}}],
            [Model(name="abc", parent=Model(name="def"))],
        ),
        (Model | None, None, None),
        (dict[str, Model], {"a": {"name": "abc"}}, {"a": Model(name="abc")}),
        (int | Model, {"name": "abc"}, Model(name="abc")),
        (Place | Model, {"x": 3}, Place(3)),
        (Annotated[int | None, Range(1, 3)], 2, 2),
        (Annotated[int, pydantic.Field(gt=2)], 3, 3),
    ],
)
def test_types(annotation, given, value):
    """What comes out is the author's type, and the schema takes what the decoder takes."""
    plan = plan_for(annotation)
    assert plan.decode(json.dumps({"x": given}).encode()) == (value,)
    jsonschema.Draft202012Validator.check_schema(plan.schema)
    jsonschema.Draft202012Validator(plan.schema).validate({"x": given})


@pytest.mark.parametrize(
    "annotation", [complex, object, type, list[complex], Annotated[str, Range(1, 2)], Place | Node]
)
def test_what_cannot_be_read_is_refused_at_registration(annotation, monkeypatch):
    """Naming function, parameter and place; never at call time."""
    monkeypatch.delitem(sys.modules, "pydantic")
    with pytest.raises(RegistrationError) as caught:
        plan_for(annotation)
    assert caught.value.parameter == "x"
    assert caught.value.function == "tool"
    assert "argument_types.py:" in str(caught.value)


@pytest.mark.parametrize(
    "annotation",
    [Annotated[str | None, Header("A")], Annotated[float, Header("A")], Annotated[str, Header("no blanks")]],
)
@pytest.mark.requirement("R2607-TRANSPORT-HTTP-030", "R2607-TRANSPORT-HTTP-033")
def test_bad_headers_are_refused_at_registration(annotation):
    """The annotation's rules are checked before anything is served."""
    with pytest.raises(RegistrationError, match="tool"):
        plan_for(annotation)


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-032")
def test_two_headers_of_one_name():
    """Case does not count."""

    def tool(a: Annotated[str, Header("Q")], b: Annotated[str, Header("q")]): ...

    with pytest.raises(RegistrationError):
        plan_of(tool)


@pytest.mark.requirement("R2511-TOOLS-020")
def test_every_problem_is_told_on_its_line():
    """Schema problems and those only the types know, unknown names and missing ones."""

    def tool(city: str, days: Annotated[int, Range(1, 14)], when: dt.date, where: Place, color: Color): ...

    text = complaint(
        plan_of(tool),
        {"citty": "Oslo", "days": 99, "when": "2026-02-30", "where": {"x": 7}, "color": "pink"},
    )
    assert sorted(text.splitlines()) == [
        'citty: no such argument; did you mean "city"?',
        "city: required but missing; expected a value of type string",
        'color: expected one of "red", "blue", got the string "pink"',
        "days: expected at most 14, got the integer 99",
        "when: expected a date such as 2024-01-31 (RFC 3339)",
        "where: 7 is taken by home",
    ]


@pytest.mark.parametrize(
    "kind, told",
    [
        (dt.date, "expected a date such as 2024-01-31 (RFC 3339)"),
        (dt.datetime, "expected a date and time such as 2024-01-31T12:00:00Z (RFC 3339)"),
        (dt.time, "expected a time such as 12:00:00 (RFC 3339)"),
        (dt.timedelta, "expected a duration such as PT1H30M (ISO 8601)"),
        (uuid.UUID, "expected a UUID such as 123e4567-e89b-12d3-a456-426614174000"),
        (decimal.Decimal, "expected a decimal number such as 12.50"),
        (bytes, "expected Base64"),
    ],
)
def test_what_is_no_date_is_told_with_one_that_is(kind, told):
    assert complaint(plan_for(kind), {"x": "yesterday"}) == f"x: {told}"
    assert complaint(plan_for(list[kind]), {"x": ["yesterday"]}) == f"x[0]: {told}"
    example = told.split("such as ")[-1].split(" ")[0]
    if example != "Base64":
        plan_for(kind).decode(json.dumps({"x": example}).encode())


def test_places_inside():
    """Problems deep inside name their path."""
    plan = plan_for(dict[str, list[Place]])
    assert complaint(plan, {"x": {"a": [{"x": 1}, {"x": "q"}]}}).startswith(
        "x.a[1].x: expected a value of type integer"
    )
    text = complaint(plan_for(list[Model]), {"x": [{"name": "ok"}, {"name": "root"}]})
    assert text == "x[1].name: Value error, root is taken"


@pytest.mark.parametrize("given", ["1", 1.5, True, None, [1]])
def test_nothing_but_integral_floats_is_forgiven(given):
    """Strict, except for what JSON Schema itself calls an integer."""
    complaint(plan_for(int), {"x": given})


SECRET = "hunter2-very-secret"


class Login(msgspec.Struct):
    """Fields with telling names, and a check that talks too much."""

    user: str
    password: str

    def __post_init__(self):
        raise ValueError(f"cannot log in with {self.password}")


@pytest.mark.parametrize(
    "name,annotation,given",
    [
        ("password", int, SECRET),
        ("api_key", Literal["a"], SECRET),
        ("privateKey", Annotated[str, Pattern("^a")], SECRET),
        ("plain", Annotated[int, Secret], SECRET),
        ("plain", Annotated[str, Secret, Length(1, 3)], SECRET),
        ("access_token", Model, {"name": SECRET, "size": SECRET}),
        ("login", Login, {"user": "u", "password": SECRET}),
        ("logins", list[Login], [{"user": "u", "password": SECRET}]),
        ("secret", dt.date, SECRET),
        ("key", uuid.UUID, SECRET),
    ],
)
def test_secrets_are_never_echoed(name, annotation, given):
    """Not by schema, type, validator or the author's own words."""

    def tool(**_): ...

    scope: dict[str, Any] = {"annotation": annotation}
    exec(f"def tool({name}: annotation): ...", scope)
    text = complaint(plan_of(scope["tool"]), {name: given})
    assert SECRET not in text
    assert name in text


def test_names_in_any_script():
    """Names that are no ASCII identifiers are matched and suggested too."""

    def tool(größe: int, tag: dt.date | None = None): ...  # noqa: PLC2401 - the point of it

    text = complaint(plan_of(tool), {"größe ": 1, "tag": "x"})
    assert 'did you mean "größe"?' in text
    assert "required but missing; expected a value of type integer" in text
    assert "tag: expected a date" in text
    assert complaint(plan_of(tool), {"größe": "x"}).count("\n") == 0


def test_long_values_are_cut():
    """A megabyte of argument makes no megabyte of error."""
    assert len(complaint(plan_for(int), {"x": "a" * 1_000_000, **{f"y{i}": 1 for i in range(1000)}})) < 5000


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"null",
        b"{",
        b'{"x":1e400}',
        b'{"x":' + b"9" * 5000 + b"}",
        b'{"x":"\xff"}',
        b'{"x":"\\ud800"}',
        b'{"x":' + b"[" * 100_000,
        b'{"x":NaN}',
        b"\x00",
        b'{"x":1}}',
    ],
)
def test_hostile_bytes(data):
    """Anything that is no object of arguments is refused in words."""
    assert complaint(plan_for(int), data)
    assert complaint(plan_for(Model), data)


def test_names_that_mean_something_to_python():
    """No name of a parameter collides with the machinery."""

    def tool(self: int, cls: int, _x__: int, _y: int, class_: int, gc: int, kw_only: int): ...

    values = {
        name: index for index, name in enumerate(("self", "cls", "_x__", "_y", "class_", "gc", "kw_only"))
    }
    assert plan_of(tool).decode(json.dumps(values).encode()) == tuple(range(7))


T = TypeVar("T")
Twice = TypeAliasType("Twice", tuple[T, list[T]], type_params=(T,))


def test_aliases_with_parameters():
    """What they stand for, filled in."""
    plan = plan_for(Twice[Annotated[int, Range(1, 3)]])
    assert plan.decode(b'{"x":[1,[2]]}') == ((1, [2]),)
    assert complaint(plan, {"x": [1, [9]]}).startswith("x[1][0]: expected at most 3")


def endless():
    """An alias that refers to itself: the statement, where Python has it, else what looks like it."""
    if sys.version_info >= (3, 12):
        scope: dict[str, Any] = {"__name__": __name__}
        exec("type JSON = dict[str, JSON] | list[JSON] | int", scope)
        return scope["JSON"]
    alias: Any = type("TypeAliasType", (), {"__type_params__": ()})()
    alias.__value__ = dict[str, alias] | list[alias] | int
    return alias


def test_an_alias_that_refers_to_itself_is_not_gone_into_for_ever(monkeypatch):
    """pydantic reads it, where Python has it; without pydantic it is refused in words."""
    if sys.version_info >= (3, 12):
        assert plan_for(endless()).decode(b'{"x":{"a":[1,{}]}}') == ({"a": [1, {}]},)
    monkeypatch.delitem(sys.modules, "pydantic")
    with pytest.raises(RegistrationError, match="refers to itself"):
        plan_for(list[endless()])


def test_definitions_of_the_same_name():
    """Two types of one name get two definitions, whoever made them."""

    def make():
        class Model(pydantic.BaseModel):
            other: int

        return Model

    other = make()

    holder = dataclasses.make_dataclass("Holder", [("m", Model), ("o", other)])
    plan = plan_for(holder)
    jsonschema.Draft202012Validator(plan.schema).validate({"x": {"m": {"name": "ab"}, "o": {"other": 1}}})
    value = plan.decode(b'{"x":{"m":{"name":"ab"},"o":{"other":1}}}')[0]
    assert (value.m, value.o) == (Model(name="ab"), other(other=1))


def test_field_as_default():
    """`x: int = Field(...)`, as pydantic's users write it."""

    def tool(a: int = pydantic.Field(ge=3, description="an a"), b: int = pydantic.Field(7, le=9)): ...

    plan = plan_of(tool)
    assert plan.schema["required"] == ["a"]
    assert plan.schema["properties"]["a"] == {"description": "an a", "minimum": 3, "type": "integer"}
    assert plan.decode(b'{"a":3}') == (3, 7)
    complaint(plan, {"a": 2})


def test_explicit_schema():
    """The author's own schema: validated, and passed on as a dict."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

    def tool(arguments: dict[str, Any]): ...

    plan = plan_of(tool, schema=schema)
    assert plan.schema is schema
    assert plan.decode(b'{"a":1,"b":2}') == ({"a": 1, "b": 2},)
    assert plan.decode(b'{"a":1.0}') == ({"a": 1},)
    assert complaint(plan, {"b": 1}) == "a: required but missing; expected a value of type integer"
    for wrong in (
        {"type": "array"},
        {},
        {"type": "object", "properties": 3},
        {"type": "object", "$ref": "http://a/b"},
    ):
        with pytest.raises(RegistrationError):
            plan_of(tool, schema=wrong)
    with pytest.raises(RegistrationError, match="dict"):
        plan_of(forecast, schema=schema)


def test_pydantic_is_never_imported_for_others():
    """A server without pydantic models does not load it."""
    code = (
        "import sys\nfrom dovetail.server import arguments, output, forms, signature\n"
        "def f(a: int, b: list[str]) -> dict[str, int]: ...\n"
        "p = signature.inspect_function(f)\narguments.ArgumentsPlan(p); output.OutputPlan(p); forms.Form.of(bool)\n"
        "assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@dataclasses.dataclass
class Near:
    kind: Literal["near"]
    metres: int
    name: str


@dataclasses.dataclass
class Far:
    kind: Literal["far"]
    metres: float
    name: str


@pytest.mark.parametrize(
    "annotation,value,told",
    [
        (
            list[Near],
            [{"kind": "near"}],
            "x[0].metres: required but missing; expected a value of type integer",
        ),
        (
            Near | Far,
            {"kind": "far", "name": ""},
            "x.metres: required but missing; expected a value (taken as Far)",
        ),
        (
            Near | Far,
            {"kind": "far", "metres": 1},
            "x.name: required but missing; expected a value of type string (taken as Far)",
        ),
    ],
)
def test_what_is_missing_inside_is_described_where_it_is_known(
    annotation: Any, value: Any, told: str
) -> None:
    """Of alternatives that want different things of one name, none is guessed."""

    def place(x): ...

    place.__annotations__["x"] = annotation
    assert complaint(plan_of(place), {"x": value}).split("\n")[0] == told


def test_null_is_no_arguments_unless_the_tool_is_strict() -> None:
    def look(limit: int = 3): ...

    def needs(limit: int): ...

    assert ArgumentsPlan(inspect_function(look), strict=False).decode(b" null ") == (3,)
    assert (
        complaint(ArgumentsPlan(inspect_function(look)), b"null")
        == "(the arguments): expected an object, got null"
    )
    assert complaint(ArgumentsPlan(inspect_function(needs), strict=False), b"null").startswith(
        "limit: required"
    )


@pytest.mark.parametrize("first", ["", "import pydantic\n"])
def test_a_union_of_dataclasses_is_pydantics_to_read(first: str) -> None:
    """Without it the refusal says so; it is loaded by the author alone."""
    script = (
        f"{first}import dataclasses, typing, dovetail\n"
        "@dataclasses.dataclass\nclass A:\n    kind: typing.Literal['a']\n"
        "@dataclasses.dataclass\nclass B:\n    kind: typing.Literal['b']\n"
        "def tool(x: A | B) -> str: ...\n"
        "dovetail.App('x').add_tool(tool)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == bool(first)
    assert ("write `import pydantic` in the module" in done.stderr) != bool(first)
