"""Values that fit a schema, as small as can be: what a caller might send, to be tried where two schemas differ.

Theory of operation. Nothing here has to be right: a sample is a guess, and whoever uses one lets a validator judge it.
So patterns and rules between members are not solved; what the schema itself names as an example is tried first.

Specification: none.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any, Final, cast

from .shapes import Shape

__all__ = [
    "NOTHING",
    "around",
    "bounds",
    "list_of",
    "list_with",
    "object_of",
    "other_texts",
    "sample",
    "samples",
]

NOTHING: Final = object()
"""No value was found."""
_DEEPEST: Final = 12
_LONGEST: Final = 4096
_FORMS: Final = {
    "date": "2024-01-31",
    "date-time": "2024-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "a@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.com",
}


def samples(shape: Shape, kinds: frozenset[str] | None = None) -> list[Any]:
    """A value of each kind that may fit; ``kinds``: of these alone."""
    found = [
        _of_kind(shape, kind, 0) for kind in sorted(shape.types if kinds is None else shape.types & kinds)
    ]
    return [each for each in found if each is not NOTHING]


def sample(shape: Shape, depth: int = 0) -> Any:
    """One value that may fit; `NOTHING` where none was found."""
    if depth > _DEEPEST or not shape.types:
        return NOTHING
    named = shape.values()
    if named is None:
        named = [each for listed in shape.all("examples", list) for each in listed]
        named += [node["default"] for node in shape.nodes if "default" in node]
        named = [each for each in named if shape.tree.fits(shape, each)]
    if named:
        return next((each for each in named if shape.tree.fits(shape, each) is not False), NOTHING)
    for node, branches in shape.branches():
        for branch in branches:
            found = sample(shape.also(branch, of=node), depth + 1)
            if found is not NOTHING:
                return found
        return NOTHING
    order = ("string", "object", "integer", "array", "boolean", "fraction", "null")
    return next((found for kind in order if (found := _of_kind(shape, kind, depth)) is not NOTHING), NOTHING)


def _of_kind(shape: Shape, kind: str, depth: int) -> Any:
    if kind not in shape.types:
        return NOTHING
    match kind:
        case "null":
            return None
        case "boolean":
            return True
        case "string":
            return _text(shape)
        case "integer":
            return _number(shape, whole=True)
        case "fraction":
            return _number(shape, whole=False)
        case "array":
            count = max((int(each) for each in shape.all("minItems", (int, float))), default=0)
            items = [sample(shape.item(index), depth + 1) for index in range(min(count, 16))]
            return NOTHING if NOTHING in items or count > 16 else items
        case _:
            members = {name: sample(shape.member(name), depth + 1) for name in sorted(shape.required())}
            return NOTHING if NOTHING in members.values() else members


def _text(shape: Shape) -> str | object:
    named = next((_FORMS[each] for each in shape.all("format", str) if each in _FORMS), "")
    shortest = max((int(each) for each in shape.all("minLength", (int, float))), default=0)
    if shortest > _LONGEST:
        return NOTHING
    return named if len(named) >= max(shortest, 1) else "a" * shortest


def _number(shape: Shape, *, whole: bool) -> Any:
    low, high, _, above = bounds(shape)
    step = next((Fraction(str(each)) for each in shape.all("multipleOf", (int, float)) if each > 0), None)
    if whole:
        step = step if step is not None and step.denominator == 1 else Fraction(1)
        if low is None:
            found = Fraction(0) if high is None or high >= 0 else floor(high / step) * step
        else:
            found = ceil(low / step) * step
        found += step if (found, True) == (low, bounds(shape)[2]) else 0
        found -= step if (found, True) == (high, above) and low is None else 0
        return int(found)
    if low is not None and high is not None:
        return float((low + high) / 2)
    return float(low + Fraction(1, 2)) if low is not None else float((high or Fraction(1)) - Fraction(1, 2))


def bounds(shape: Shape) -> tuple[Fraction | None, Fraction | None, bool, bool]:
    """The lower and the upper bound of numbers, and whether each is itself excluded."""
    low, high, below, above = None, None, False, False
    for node in shape.nodes:
        for keyword, excluding in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            for word in (keyword, excluding):
                value = node.get(word)
                if isinstance(value, bool) or not isinstance(value, int | float):
                    continue
                bound = (Fraction(str(value)), word == excluding or node.get(excluding) is True)
                if keyword == "minimum" and (low is None or bound > (low, below)):
                    low, below = bound
                if keyword == "maximum" and (high is None or (-bound[0], bound[1]) > (-high, above)):
                    high, above = bound
    return low, high, below, above


def around(*bounds: Fraction, whole: bool) -> tuple[Any, ...]:
    """Numbers at and beside some bounds, to be tried."""
    found: list[Any] = []
    for each in bounds:
        near = (each, each - 1, each + 1) if whole else (each, each - Fraction(1, 2), each + Fraction(1, 2))
        found += [int(number) if number.denominator == 1 else float(number) for number in near]
    return tuple(dict.fromkeys(found))


def other_texts(sender: Shape) -> list[str]:
    """Texts that may fit, to be held against a pattern or a list."""
    if "string" not in sender.types:
        return []
    found = [each for each in samples(sender, frozenset({"string"})) if isinstance(each, str)]
    length = len(found[0]) if found else 1
    return [*found, "~" * max(length, 1), "A" * max(length, 1), "0" * max(length, 1), "a b", "-"]


def list_of(sender: Shape, count: int) -> list[Any]:
    if count > 256:
        return []
    items = [sample(sender.item(index)) for index in range(count)]
    if NOTHING in items:
        return []
    different = [
        index if isinstance(each, int) and not isinstance(each, bool) else each
        for index, each in enumerate(items)
    ]
    return [items, different]


def list_with(sender: Shape, index: int, item: Any, least: int) -> list[Any]:
    """A list that has a value at an index."""
    before = [sample(sender.item(each)) for each in range(index)]
    return [*before, item, *([item] * (min(least, 64) - index - 1))]


def object_of(sender: Shape, *, every: bool = False) -> dict[str, Any]:
    """An object that may fit: with what is required, or with ``every`` member described."""
    if every:
        names = sorted(sender.described())
        return {name: each for name in names if (each := sample(sender.member(name))) is not NOTHING}
    (found,) = samples(sender, frozenset({"object"})) or [{}]
    return dict(cast("dict[str, Any]", found))
