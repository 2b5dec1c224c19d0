"""Arguments as models send them: read as what they hold if leniency is asked for, which an app does by default."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import Annotated, Any, Literal

import pydantic
import pytest
from argument_types import Color, Model, Place, Size, plan_of
from hypothesis import given, settings
from hypothesis import strategies as st
from type_models import JSON, SHAPES, Shape

from dovetail import App, Client
from dovetail.server import leniency
from dovetail.server.arguments import ArgumentsPlan, BadArguments
from dovetail.server.markers import Range
from dovetail.server.pydantic_models import only_pydantic
from dovetail.server.signature import inspect_function


def lenient(annotation: Any, **options: Any) -> ArgumentsPlan:
    """The plan of a function with one parameter, x, texts read as what they hold."""

    def tool(x): ...

    tool.__annotations__["x"] = annotation
    return ArgumentsPlan(inspect_function(tool), strict=False, **options)


def taken(plan: ArgumentsPlan, value: Any) -> Any:
    """What the function gets for an argument."""
    return plan.decode(json.dumps({"x": value}).encode())[0]


@dataclasses.dataclass
class Filter:
    """A class with a class inside."""

    limit: Annotated[int | None, Range(1, 10)] = None
    place: Place | None = None
    tags: list[str] = dataclasses.field(default_factory=list)


class Lax(pydantic.BaseModel):
    """Takes what pydantic takes."""

    size: int = 1
    on: bool = False


@pytest.mark.parametrize(
    "annotation,given,value",
    [
        (int, "5", 5),
        (int, " 5 ", 5),
        (int, "5.0", 5),
        (float, "1.5", 1.5),
        (float, "2", 2.0),
        (bool, "true", True),
        (bool, "False", False),
        (int | None, "null", None),
        (list[int], "[1, 2]", [1, 2]),
        (list[int], ["1", 2, "3"], [1, 2, 3]),
        (list[int], '["1", 2]', [1, 2]),
        (list[str], '["1", "a"]', ["1", "a"]),
        (dict[str, int], '{"a": "1"}', {"a": 1}),
        (Place, '{"x": 1}', Place(1)),
        (Place, {"x": "1"}, Place(1)),
        (Place | None, '{"x": "1"}', Place(1)),
        (list[Place | None], ['{"x": 1}', None], [Place(1), None]),
        (Filter, '{"limit": "3", "place": "{\\"x\\": 2}", "tags": "[\\"a\\"]"}', Filter(3, Place(2), ["a"])),
        (Literal[1, 2], "2", 2),
        (Size, "1", Size.S),
        (Model, '{"name": "abc", "size": "2"}', Model(name="abc", size=2)),
        (list[Model], '[{"name": "abc"}]', [Model(name="abc")]),
        (Annotated[int, pydantic.Field(ge=3)], "3", 3),
        (Lax, {"on": "yes"}, Lax(on=True)),
        (list[Lax], [{"on": "yes"}], [Lax(on=True)]),
        # a text that fits stays what it is
        (str, "5", "5"),
        (str, "[1]", "[1]"),
        (str | None, "null", "null"),
        (int | str, "5", "5"),
        (list[str] | str, '["a"]', '["a"]'),
        (Any, "5", "5"),
        (Literal["1", 2], "1", "1"),
        (dict[str, str], {"a": "1"}, {"a": "1"}),
        (list[int | str], ["1", 2], ["1", 2]),
        (dt.date, "2026-01-02", dt.date(2026, 1, 2)),
        (Color, "red", Color.RED),
    ],
)
def test_texts_are_read_as_what_they_hold_where_they_do_not_fit(
    annotation: Any, given: Any, value: Any
) -> None:
    """Numbers, booleans, null, lists and objects, at every depth; a text where a text is welcome stays one."""
    found = taken(lenient(annotation), given)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "annotation,given,told",
    [
        (int, "five", 'x: expected a value of type integer, got the string "five"'),
        (int, "1.5", 'x: expected a value of type integer, got the string "1.5"'),
        (int, '"5"', 'x: expected a value of type integer, got the string "\\"5\\""'),
        (int, "", 'x: expected a value of type integer, got the string ""'),
        (int, True, "x: expected a value of type integer, got true"),
        (str, 5, "x: expected a value of type string, got the integer 5"),
        (bool, "yes", 'x: expected a value of type boolean, got the string "yes"'),
        (Place, "5", 'x: expected a value of type object, got the string "5"'),
        (Place, '{"x": "a"}', 'x.x: expected a value of type integer, got the string "a"'),
        (Annotated[int, Range(1, 3)], "9", "x: expected at most 3, got the integer 9"),
        (Filter, {"limit": "99"}, "x.limit: expected at most 10, got the integer 99"),
        (list[int], "[" * 5000, "x: expected a value of type array"),
        (list[int], "1e999", "x: expected a value of type array"),
    ],
)
def test_what_holds_nothing_better_is_refused_as_it_came(annotation: Any, given: Any, told: str) -> None:
    """Nothing is guessed, and what is read has to fit like anything else."""
    with pytest.raises(BadArguments) as caught:
        taken(lenient(annotation), given)
    assert str(caught.value).startswith(told)


def test_an_explicit_schema_is_met_the_same_way() -> None:
    """The dict that the function gets holds numbers and lists too."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "s": {"type": "string"}},
    }

    def tool(arguments: dict[str, Any]): ...

    plan = ArgumentsPlan(inspect_function(tool), schema=schema, strict=False)
    assert plan.decode(b'{"n":"5","s":"5"}') == ({"n": 5, "s": "5"},)
    with pytest.raises(BadArguments, match='got the string "x"'):
        plan.decode(b'{"n":"x"}')


def test_a_thousand_texts_are_read_and_more_are_not() -> None:
    """Bounded work, whatever comes."""
    assert taken(lenient(list[int]), ["1"] * 1000) == [1] * 1000
    with pytest.raises(BadArguments):
        taken(lenient(list[int]), ["1"] * 100_000)


def test_strictly_nothing_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even by pydantic; and a call that fits costs nothing, lenient or not."""

    def tool(x: int, model: Lax, models: list[Lax]): ...

    right = b'{"x":5,"model":{"size":2},"models":[{"on":true}]}'
    monkeypatch.setattr(leniency, "mended", None)
    for strict in (True, False):
        plan = ArgumentsPlan(inspect_function(tool), strict=strict)
        assert plan.decode(right) == (5, Lax(size=2), [Lax(on=True)])
    plan = plan_of(tool)
    for wrong in ({"x": "5"}, {"model": {"size": "2"}}, {"model": "{}"}, {"models": [{"on": "yes"}]}):
        with pytest.raises(BadArguments):
            plan.decode(json.dumps({**json.loads(right), **wrong}).encode())


async def test_the_app_says_it_for_all_and_a_tool_for_itself() -> None:
    """Lenient by default."""
    strict, loose = App("strict", strict=True), App("loose")

    def double(n: int) -> int:
        return 2 * n

    for app in (strict, loose):
        app.tool(double)
        app.tool(name="exact", strict=True)(double)
        app.tool(name="kind", strict=False)(double)
    for app, plain in ((strict, True), (loose, False)):
        async with Client(app) as client:
            for name, refused in (("double", plain), ("exact", True), ("kind", False)):
                result = await client.call_tool(name, {"n": "21"})
                assert result.is_error is refused, (app.name, name)
                assert refused or result.value == 42


@settings(max_examples=200, deadline=None)
@given(shape=SHAPES, data=st.data())
def test_what_fits_is_never_read_otherwise(shape: Shape, data: st.DataObject) -> None:
    """Leniency takes all that strictness takes, as the same, and nothing that no reading of its texts fits."""

    def tool(x): ...

    tool.__annotations__["x"] = shape.annotation
    plan = inspect_function(tool)
    strict, loose = ArgumentsPlan(plan), ArgumentsPlan(plan, strict=False)
    right = data.draw(shape.values)
    assert taken(loose, right) == taken(strict, right)
    text = right if isinstance(right, str) else json.dumps(right)
    assert taken(loose, text) == taken(strict, text if shape.takes(text) else right)
    odd = data.draw(JSON)
    by_pydantic = "pydantic" in shape.kinds or only_pydantic(
        shape.annotation
    )  # which takes true for 1, and more
    if not shape.takes(odd) and not _texts(odd) and not by_pydantic:
        with pytest.raises(BadArguments):
            taken(loose, odd)


def _texts(value: Any) -> bool:
    """Whether there is a text in a value: then who knows what it holds."""
    if isinstance(value, dict):
        return any(map(_texts, value.values()))
    return isinstance(value, str) or (isinstance(value, list) and any(map(_texts, value)))
