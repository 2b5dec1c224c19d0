"""The input schema and the decoder take the same values, over generated types and values near them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import jsonschema
from argument_types import Attrs, Color, Node, Options, Pair, Place, Size, plan_for
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.server.arguments import ArgumentsPlan, BadArguments
from dovetail.server.markers import Length, Pattern, Range

PLAN = plan_for(dict[str, Place | None])


def is_taken(plan: ArgumentsPlan, data: bytes) -> bool:
    """Whether the decoder takes the arguments; if not, that it says why."""
    try:
        plan.decode(data)
    except BadArguments as refusal:
        if not str(refusal):
            raise AssertionError("refused without a word") from refusal
        return False
    return True


SCALARS = st.sampled_from(
    [
        (int, st.integers(-5, 5)),
        (float, st.floats(-4, 4)),
        (str, st.text(max_size=3)),
        (bool, st.booleans()),
        (Any, st.integers()),
        (Color, st.sampled_from(["red", "blue"])),
        (Size, st.sampled_from([1, 2])),
        (Literal["a", "b"], st.sampled_from(["a", "b"])),
        (Literal[1, "b"], st.sampled_from([1, "b"])),
        (Annotated[int, Range(-2, 3)], st.integers(-4, 5)),
        (Annotated[float, Range(max=2.5)], st.floats(0, 4)),
        (Annotated[str, Length(1, 2)], st.text(max_size=4)),
        (Annotated[str, Pattern("^[a-c]+$")], st.text("abcd", max_size=3)),
        (Place, st.fixed_dictionaries({"x": st.integers(0, 6)}, optional={"label": st.text(max_size=2)})),
        (Options, st.fixed_dictionaries({"a": st.integers()}, optional={"b": st.text(max_size=2)})),
        (Pair, st.tuples(st.integers(), st.text(max_size=2)).map(list)),
        (Attrs, st.fixed_dictionaries({"a": st.integers()})),
        (Node, st.fixed_dictionaries({"name": st.text(max_size=2)})),
    ]
)


def larger(inner):
    """Types that hold others, with values for them."""
    return st.one_of(
        inner.map(lambda t: (list[t[0]], st.lists(t[1], max_size=3))),
        inner.map(lambda t: (Annotated[list[t[0]], Length(1, 2)], st.lists(t[1], max_size=3))),
        inner.map(lambda t: (dict[str, t[0]], st.dictionaries(st.text(max_size=2), t[1], max_size=2))),
        inner.map(
            lambda t: (dict[int, t[0]], st.dictionaries(st.sampled_from(["1", "-2", "x"]), t[1], max_size=2))
        ),
        inner.map(lambda t: (t[0] | None, st.none() | t[1])),
        st.tuples(inner, inner).map(
            lambda t: (tuple[t[0][0], t[1][0]], st.tuples(t[0][1], t[1][1]).map(list))
        ),
        inner.map(lambda t: (tuple[t[0], ...], st.lists(t[1], max_size=2))),
    )


TYPES = st.recursive(SCALARS, larger, max_leaves=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-3, 3) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "x"]), inner, max_size=3)
    ),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_schema_and_decoder_agree(data):
    """What the schema takes, the decoder takes, and the other way round."""
    annotation, values = data.draw(TYPES)
    plan = plan_for(annotation)
    oracle = jsonschema.Draft202012Validator(plan.schema)
    for _ in range(3):
        arguments = data.draw(
            values.map(lambda x: {"x": x})
            | JSON.map(lambda x: {"x": x})
            | st.dictionaries(st.sampled_from("xy"), JSON)
        )
        accepted = is_taken(plan, json.dumps(arguments).encode())
        expected = oracle.is_valid(arguments)
        assert accepted == expected, (annotation, plan.schema, arguments)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.text('{}[]",:x1.e-+ \\u', max_size=40).map(str.encode))
def test_any_bytes(data):
    """No bytes raise anything but BadArguments."""
    is_taken(PLAN, data)
