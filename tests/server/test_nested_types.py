"""Constraints, texts and defaults hold at every depth, whoever made the classes on the way there.

The reference is `type_models`: it builds types that mix all that authors mix, and knows which values they take.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from argument_types import plan_for
from hypothesis import given, settings
from hypothesis import strategies as st
from type_models import FAMILIES, JSON, RANGES, SHAPES, Field, Shape, bounded_by

from dovetail.server.arguments import BadArguments


def read(plan: Any, value: Any) -> str:
    """What is said against an argument; nothing if it is taken."""
    try:
        plan.decode(json.dumps({"x": value}).encode())
    except BadArguments as refusal:
        return str(refusal) or "refused without a word"
    return ""


@st.composite
def near(draw: st.DrawFn, value: Any) -> Any:
    """A value, one thing somewhere in it replaced."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(value)))
        rest = {key: item for key, item in value.items() if key != name}
        return rest if draw(st.booleans()) else {**rest, name: draw(near(value[name]))}
    if isinstance(value, list) and value and draw(st.booleans()):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], draw(near(value[index])), *value[index + 1 :]]
    return draw(JSON)


@settings(max_examples=300, deadline=None)
@given(shape=SHAPES, data=st.data())
def test_schema_acceptance_and_refusal_are_what_the_reference_says(shape: Shape, data: st.DataObject) -> None:
    """Every value that the type takes is taken, no other is, and the schema says which, with texts and defaults."""
    plan = plan_for(shape.annotation)
    jsonschema.Draft202012Validator.check_schema(plan.schema)
    schema = jsonschema.Draft202012Validator(plan.schema)
    for check in shape.checks:
        check(plan.schema["properties"]["x"], plan.schema)
    right = data.draw(shape.values)
    for value in (right, data.draw(shape.near), data.draw(shape.near), data.draw(near(right))):
        expected = shape.takes(value)
        assert schema.is_valid({"x": value}) == expected, (value, plan.schema)
        told = read(plan, value)
        assert (not told) == expected, (value, told, plan.schema)


@pytest.mark.parametrize("library", sorted(RANGES))
@pytest.mark.parametrize("inner", sorted(FAMILIES))
@pytest.mark.parametrize("outer", sorted(FAMILIES))
@pytest.mark.parametrize("many", [False, True])
def test_a_bound_holds_on_each_class_inside_each_other(
    outer: str, inner: str, library: str, many: bool
) -> None:
    """Every library's mark, on a field of every kind of class, inside of every other, alone and in a list."""
    if outer == "pydantic" and inner in ("attrs", "struct"):
        return  # pydantic refuses such a model
    shape = bounded_by(library)
    kind = FAMILIES[inner]("Inner", [Field("a", shape, False, "", shape.annotation)], False)
    inside = Shape(kind, shape.takes, shape.values, shape.near)
    holder = FAMILIES[outer]("Outer", [Field("b", inside, False, "", kind)], False)
    plan = plan_for(list[holder] if many else holder)

    def value(number: int) -> Any:
        held: Any = [number] if inner == "namedtuple" else {"a": number}
        whole: Any = [held] if outer == "namedtuple" else {"b": held}
        return [whole] if many else whole

    assert not read(plan, value(3))
    assert "expected at most 3, got the integer 4" in read(plan, value(4))
    assert "expected at least -2, got the integer -3" in read(plan, value(-3))
    said = [each for each in _all(plan.schema) if each.get("maximum") == 3 and each.get("minimum") == -2]
    assert len(said) == 1


def _all(tree: Any) -> list[dict[str, Any]]:
    """Every schema in a schema."""
    inner = list(tree.values()) if isinstance(tree, dict) else tree if isinstance(tree, list) else []
    found = [part for each in inner for part in _all(each)]
    return [tree, *found] if isinstance(tree, dict) else found
