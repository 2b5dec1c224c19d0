"""What one value is held against: another value, or a table of conditions, all of which have to hold.

=========================  ==================================================================
``equals = VALUE``         it is that (what is no table means this)
``contains = VALUE``       it has that in it: a text a text, a list an item; a list: all of them
``matches = PATTERN``      a text in which the regular expression finds something
``type = NAME``            string, number, integer, boolean, object, array or null
``one_of = [...]``         it is one of them
``at_least``, ``at_most``  a number not below, not above
``length = N``             of a text, a list, an object
``exists = false``         there is nothing
=========================  ==================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

from msgspec import UNSET

from ..comparing.values import changes_of, told
from .variables import names_in

__all__ = ["MatcherInvalid", "judged_of", "misfits"]

_MOST: Final = 1_000_000
"""Characters of a text that a pattern is looked for in."""


class MatcherInvalid(ValueError):
    """What a check expects is no condition; the text says what is wrong with it."""


def misfits(wanted: Any, found: Any, *, exists: bool = True) -> Iterator[str]:
    """What does not hold, in words that follow the name of the place. ``exists``: whether there is anything."""
    conditions = judged_of(wanted)
    expected: Any = conditions.get("exists", True)
    if not exists:
        if expected:
            yield "is not there"
        return
    if not expected:
        yield f"is there: {told(found)}"
        return
    for name, value in conditions.items():
        if name != "exists":
            yield from _TESTS[name](value, found)


def judged_of(wanted: Any) -> dict[str, Any]:
    """The conditions in what is expected. Raises `MatcherInvalid` for what is none."""
    if wanted is UNSET:
        return {}
    if not isinstance(wanted, dict):
        return {"equals": wanted}
    conditions = cast("dict[str, Any]", wanted)
    for name, value in conditions.items():
        if name == "exists":
            if not isinstance(value, bool):
                raise MatcherInvalid("exists is true or false")
        elif name not in _TESTS:
            raise MatcherInvalid(
                f"there is no condition {name!r}; there are exists, {', '.join(_TESTS)}"
                " (an object is expected by equals = {...})"
            )
        elif name == "type" and value not in _TYPES:
            raise MatcherInvalid(f"there is no type {value!r}; there are {', '.join(_TYPES)}")
        elif name == "one_of" and not isinstance(value, list):
            raise MatcherInvalid("one_of is a list")
        elif next(names_in(value), None) is not None:
            continue  # it is known when the check runs
        elif name in ("at_least", "at_most", "length") and not _is_number(value):
            raise MatcherInvalid(f"{name} is a number")
        elif name == "matches":
            if not isinstance(value, str):
                raise MatcherInvalid("matches is a regular expression, in a text")
            try:
                re.compile(value)
            except re.error as problem:
                raise MatcherInvalid(f"matches = {value!r:.80} is no regular expression: {problem}") from None
    return conditions


def _equals(wanted: Any, found: Any) -> Iterator[str]:
    for each in changes_of(wanted, found):
        place = f" at {each.pointer}" if each.pointer else ""
        if each.missing == "b":
            yield f"has nothing{place}, and should have {told(each.a)}"
        elif each.missing == "a":
            yield f"has {told(each.b)}{place}, and should have nothing there"
        else:
            yield f"is {told(each.b)}{place}, and should be {told(each.a)}"


def _contains(wanted: Any, found: Any) -> Iterator[str]:
    for each in cast("list[Any]", wanted) if isinstance(wanted, list) else [wanted]:
        if isinstance(found, str):
            inside = isinstance(each, str) and each in found
        elif isinstance(found, list):
            inside = any(not changes_of(each, item) for item in cast("list[Any]", found))
        else:
            inside = isinstance(found, dict) and each in cast("dict[str, Any]", found)
        if not inside:
            yield f"is {told(found)}, and should contain {told(each)}"


def _matches(wanted: Any, found: Any) -> Iterator[str]:
    if not isinstance(found, str) or re.search(wanted, found[:_MOST]) is None:
        yield f"is {told(found)}, and should match {wanted!r:.80}"


def _type(wanted: Any, found: Any) -> Iterator[str]:
    if not _TYPES[wanted](found):
        yield f"is {told(found)}, and should be of the type {wanted}"


def _one_of(wanted: Any, found: Any) -> Iterator[str]:
    if all(changes_of(each, found) for each in wanted):
        yield f"is {told(found)}, and should be one of {told(wanted)}"


def _at_least(wanted: Any, found: Any) -> Iterator[str]:
    if not _is_number(found) or found < wanted:
        yield f"is {told(found)}, and should be at least {wanted}"


def _at_most(wanted: Any, found: Any) -> Iterator[str]:
    if not _is_number(found) or found > wanted:
        yield f"is {told(found)}, and should be at most {wanted}"


def _length(wanted: Any, found: Any) -> Iterator[str]:
    if not isinstance(found, (str, list, dict)):
        yield f"is {told(found)}, which has no length, and should have {wanted}"
    elif len(cast("list[Any]", found)) != wanted:
        yield f"has the length {len(cast('list[Any]', found))}, and should have {wanted}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TESTS: Final[Mapping[str, Callable[[Any, Any], Iterator[str]]]] = {
    "equals": _equals,
    "contains": _contains,
    "matches": _matches,
    "type": _type,
    "one_of": _one_of,
    "at_least": _at_least,
    "at_most": _at_most,
    "length": _length,
}
_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
}
