"""Random types in every mixture, each with what it means said a second time, by nobody but these few lines.

A `Shape` builds a real annotation out of what authors build theirs of, and knows by itself which JSON it takes. So it
can judge the library without asking it, msgspec or pydantic anything.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, Optional

import annotated_types
import attrs
import msgspec
import pydantic
import typing_extensions
from hypothesis import strategies as st

from dovetail.server.markers import Doc, Length, Range

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from([0.5, 1.0, "", "a", "b", "abcd", "1", "true"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=4,
)
_numbers = itertools.count()

RANGES: dict[str, Callable[[int, int], Any]] = {
    "ours": Range,
    "annotated_types": lambda low, high: annotated_types.Interval(ge=low, le=high),
    "msgspec": lambda low, high: msgspec.Meta(ge=low, le=high),
    "pydantic": lambda low, high: pydantic.Field(ge=low, le=high),
}
LENGTHS: dict[str, Callable[[int, int], Any]] = {
    "ours": Length,
    "annotated_types": annotated_types.Len,
    "msgspec": lambda low, high: msgspec.Meta(min_length=low, max_length=high),
    "pydantic": lambda low, high: pydantic.Field(min_length=low, max_length=high),
}
TEXTS: dict[str, Callable[[str], Any]] = {
    "ours": Doc,
    "plain": str,
    "msgspec": lambda text: msgspec.Meta(description=text),
    "pydantic": lambda text: pydantic.Field(description=text),
}


class Color(enum.Enum):
    """Colours."""

    RED = "red"
    BLUE = "blue"
    ASH = "ash"


@dataclasses.dataclass(frozen=True)
class Shape:
    """``annotation``: the type. ``takes``: whether it takes a JSON value. ``values``: some that it takes; ``near``:
    some that look like these, of which it may refuse a part.

    ``default``: a Python value and its JSON, or None. ``checks``: each takes the schema of this shape and the whole
    schema, and asserts what has to be said there. ``kinds``: what classes are inside. ``nullable``: None is taken.
    """

    annotation: Any
    takes: Callable[[Any], bool]
    values: st.SearchStrategy[Any]
    near: st.SearchStrategy[Any]
    default: tuple[Any, Any] | None = None
    checks: tuple[Callable[[dict[str, Any], dict[str, Any]], None], ...] = ()
    kinds: frozenset[str] = frozenset()
    nullable: bool = False


def resolved(node: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """A schema, or the one that it refers to."""
    return whole["$defs"][node["$ref"].removeprefix("#/$defs/")] if "$ref" in node else node


def not_null(node: dict[str, Any]) -> dict[str, Any]:
    """The branch of an optional schema that is not null."""
    return next((each for each in node.get("anyOf", ()) if each.get("type") != "null"), node)


def _is_integer(value: Any) -> bool:
    return not isinstance(value, bool) and (
        isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _choice(values: list[Any], annotation: Any, default: Any) -> Shape:
    def check(node: dict[str, Any], _: dict[str, Any]) -> None:
        assert node["enum"] == values, node

    return Shape(
        annotation,
        lambda value: any(type(value) is type(each) and value == each for each in values),
        st.sampled_from(values),
        st.sampled_from([*values, values[0].upper(), "", None, 1]),
        (default, values[0]),
        (check,),
    )


INTEGERS = st.sampled_from([-3, -2, 0, 3, 4, 99, 3.0, 4.0, 0.5, "1", True, None])
STRINGS = st.sampled_from(["", "a", "bc", "def", 1, None, ["a"]])

SCALARS: list[Shape] = [
    Shape(int, _is_integer, st.integers(-9, 9), INTEGERS, (3, 3)),
    Shape(float, _is_number, st.sampled_from([1, 0.5, -2.0]), INTEGERS, (0.5, 0.5)),
    Shape(
        str,
        lambda value: isinstance(value, str),
        st.sampled_from(["", "a", "1", "true"]),
        STRINGS,
        ("a", "a"),
    ),
    Shape(bool, lambda value: isinstance(value, bool), st.booleans(), INTEGERS, (True, True)),
    _choice(["z", "a", "m"], Literal["z", "a", "m"], "z"),
    _choice(["red", "blue", "ash"], Color, Color.RED),
]


def bounded_by(library: str) -> Shape:
    """A number from -2 to 3, by the marks of one library."""

    def check(node: dict[str, Any], _: dict[str, Any]) -> None:
        assert (node["minimum"], node["maximum"]) == (-2, 3), node

    return Shape(
        Annotated[int, RANGES[library](-2, 3)],
        lambda value: _is_integer(value) and -2 <= value <= 3,
        st.integers(-2, 3),
        INTEGERS,
        (1, 1),
        (check,),
    )


@st.composite
def bounded(draw: st.DrawFn) -> Shape:
    """A number, a text or a list with bounds, by any library's marks."""
    library = draw(st.sampled_from(sorted(RANGES)))
    if draw(st.booleans()):
        return bounded_by(library)

    def check_length(node: dict[str, Any], _: dict[str, Any]) -> None:
        assert (node["minLength"], node["maxLength"]) == (1, 2), node

    return Shape(
        Annotated[str, LENGTHS[library](1, 2)],
        lambda value: isinstance(value, str) and 1 <= len(value) <= 2,
        st.sampled_from(["a", "bc"]),
        STRINGS,
        ("b", "b"),
        (check_length,),
    )


@st.composite
def optional(draw: st.DrawFn, inner: Shape) -> Shape:
    """``T | None``; for numbers, bounds may stand around the whole."""
    if inner.nullable:
        return inner

    def checks(node: dict[str, Any], whole: dict[str, Any]) -> None:
        assert {"type": "null"} in node["anyOf"], node
        for check in inner.checks:
            check(not_null(node), whole)

    found = Shape(
        Optional[inner.annotation],  # noqa: UP045 - the type is computed
        lambda value: value is None or inner.takes(value),
        st.none() | inner.values,
        inner.near,
        (None, None),
        (checks,),
        inner.kinds,
        nullable=True,
    )
    if inner.annotation is not int or not draw(st.booleans()):
        return found

    def bounds(node: dict[str, Any], _: dict[str, Any]) -> None:
        assert (not_null(node)["minimum"], not_null(node)["maximum"]) == (-2, 3), node

    # msgspec itself refuses a class with a mark of its own in this place
    library = draw(st.sampled_from([each for each in sorted(RANGES) if each != "msgspec"]))
    return dataclasses.replace(
        found,
        annotation=Annotated[found.annotation, RANGES[library](-2, 3)],
        takes=lambda value: value is None or (_is_integer(value) and -2 <= value <= 3),
        values=st.none() | st.integers(-2, 3),
        checks=(bounds,),
    )


@st.composite
def listed(draw: st.DrawFn, inner: Shape) -> Shape:
    """A list, perhaps of one or two."""
    limited = draw(st.booleans())
    library = draw(st.sampled_from(sorted(LENGTHS)))

    def checks(node: dict[str, Any], whole: dict[str, Any]) -> None:
        assert node["type"] == "array"
        assert (node.get("minItems"), node.get("maxItems")) == ((1, 2) if limited else (None, None)), node
        for check in inner.checks:
            check(node["items"], whole)

    annotation = list[inner.annotation]
    return Shape(
        Annotated[annotation, LENGTHS[library](1, 2)] if limited else annotation,
        lambda value: (
            isinstance(value, list) and all(map(inner.takes, value)) and (not limited or 1 <= len(value) <= 2)
        ),
        st.lists(inner.values, min_size=int(limited), max_size=2),
        st.lists(inner.values | inner.near, max_size=3),
        checks=(checks,),
        kinds=inner.kinds,
    )


def keyed(inner: Shape) -> Shape:
    """A dict of text to something."""

    def checks(node: dict[str, Any], whole: dict[str, Any]) -> None:
        for check in inner.checks:
            check(node["additionalProperties"], whole)

    return Shape(
        dict[str, inner.annotation],
        lambda value: isinstance(value, dict) and all(map(inner.takes, value.values())),
        st.dictionaries(st.sampled_from("ab"), inner.values, max_size=2),
        st.dictionaries(st.sampled_from("ab"), inner.values | inner.near, max_size=2),
        checks=(checks,),
        kinds=inner.kinds,
    )


class Field(NamedTuple):
    """One field of a class: ``text`` is its description or ""."""

    name: str
    shape: Shape
    has_default: bool
    text: str
    annotation: Any


@st.composite
def record(draw: st.DrawFn, inner: st.SearchStrategy[Shape]) -> Shape:
    """A class with one to three fields, made by any of the libraries that make classes."""
    shapes = draw(st.lists(inner, min_size=1, max_size=3))
    fields: list[Field] = []
    for name, shape in zip("abc", shapes, strict=False):
        has_default = shape.default is not None and draw(st.booleans())
        text = draw(st.sampled_from(["", "what it is"]))
        annotation = shape.annotation
        if text:
            annotation = Annotated[annotation, TEXTS[draw(st.sampled_from(sorted(TEXTS)))](text)]
        fields.append(Field(name, shape, has_default, text, annotation))
    fields.sort(key=lambda each: each.has_default)
    kinds = frozenset[str]().union(*(each.shape.kinds for each in fields))
    families = sorted(FAMILIES)
    if kinds & {"attrs", "struct"}:  # pydantic refuses a model with such a field
        families.remove("pydantic")
    family = draw(st.sampled_from(families))
    documented = draw(st.booleans())
    kind = FAMILIES[family](f"{family.title()}{next(_numbers)}", fields, documented)
    return _shape_of(family, kind, fields, kinds | {family}, documented)


def _shape_of(family: str, kind: Any, fields: list[Field], kinds: frozenset[str], documented: bool) -> Shape:
    is_array, no_defaults = family == "namedtuple", family == "typeddict"
    required = [each for each in fields if not each.has_default]

    def takes(value: Any) -> bool:
        if is_array:
            pairs = list(zip(value, fields, strict=False)) if isinstance(value, list) else []
            return (
                isinstance(value, list)
                and len(required) <= len(value) <= len(fields)
                and all(each.shape.takes(item) for item, each in pairs)
            )
        return (
            isinstance(value, dict)
            and all(each.name in value for each in required)
            and all(each.shape.takes(value[each.name]) for each in fields if each.name in value)
        )

    def checks(node: dict[str, Any], whole: dict[str, Any]) -> None:
        body = resolved(node, whole)
        assert body.get("description") == ("A class.\n\nNot for all." if documented else None), body
        for index, each in enumerate(fields):
            part = body["prefixItems"][index] if is_array else body["properties"][each.name]
            if each.text or "enum" not in part:
                said = part.get("description")
                assert said == (each.text or None), (each, part)
            if each.has_default and not no_defaults:
                assert part["default"] == each.shape.default[1], part  # type: ignore[index] # has_default says so
            for check in each.shape.checks:
                check(part, whole)

    objects = st.fixed_dictionaries(
        {each.name: each.shape.values for each in required},
        optional={each.name: each.shape.values for each in fields if each.has_default},
    )
    arrays = st.tuples(*(each.shape.values for each in fields)).flatmap(
        lambda items: st.integers(len(required), len(fields)).map(lambda size: list(items[:size]))
    )
    near = {each.name: each.shape.values | each.shape.near for each in fields}
    near_objects = st.fixed_dictionaries({}, optional=near) | st.fixed_dictionaries(near)
    near_arrays = st.tuples(*near.values()).map(list) | st.lists(JSON, max_size=3)
    if is_array:
        return Shape(kind, takes, arrays, near_arrays, checks=(checks,), kinds=kinds)
    return Shape(kind, takes, objects, near_objects, checks=(checks,), kinds=kinds)


DOC = "A class.\n\n    Not for all.\n    "


def _body(fields: list[Field], documented: bool) -> dict[str, Any]:
    defaults = {
        each.name: each.shape.default[0] for each in fields if each.has_default and each.shape.default
    }
    annotations = {each.name: each.annotation for each in fields}
    return {
        **({"__doc__": DOC} if documented else {}),
        **defaults,
        "__annotations__": annotations,
        "__module__": __name__,
    }


def _dataclass(name: str, fields: list[Field], documented: bool) -> Any:
    return dataclasses.dataclass(type(name, (), _body(fields, documented)))


def _attrs(name: str, fields: list[Field], documented: bool) -> Any:
    return attrs.define(type(name, (), _body(fields, documented)))


def _struct(name: str, fields: list[Field], documented: bool) -> Any:
    return types.new_class(name, (msgspec.Struct,), {}, lambda space: space.update(_body(fields, documented)))


def _pydantic(name: str, fields: list[Field], documented: bool) -> Any:
    return types.new_class(
        name, (pydantic.BaseModel,), {}, lambda space: space.update(_body(fields, documented))
    )


def _namedtuple(name: str, fields: list[Field], documented: bool) -> Any:
    return types.new_class(name, (NamedTuple,), {}, lambda space: space.update(_body(fields, documented)))


def _typeddict(name: str, fields: list[Field], documented: bool) -> Any:
    absent = {
        each.name: typing_extensions.NotRequired[each.annotation] if each.has_default else each.annotation
        for each in fields
    }
    # pydantic takes the standard library's only since Python 3.12
    made: Any = typing_extensions.TypedDict(name, absent)  # type: ignore[operator, misc] # made at run time
    made.__doc__ = DOC if documented else None
    made.__module__ = __name__
    return made


FAMILIES: dict[str, Callable[[str, list[Field], bool], Any]] = {
    "attrs": _attrs,
    "dataclass": _dataclass,
    "namedtuple": _namedtuple,
    "pydantic": _pydantic,
    "struct": _struct,
    "typeddict": _typeddict,
}


def _larger(inner: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    return st.one_of(
        record(inner), record(inner), inner.flatmap(listed), inner.flatmap(optional), inner.map(keyed)
    )


SHAPES: st.SearchStrategy[Shape] = st.recursive(st.sampled_from(SCALARS) | bounded(), _larger, max_leaves=5)
