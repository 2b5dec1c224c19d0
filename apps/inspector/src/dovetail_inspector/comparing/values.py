"""What is different between two JSON values, as places and in words.

Theory of operation. `dovetail.recording.differences` finds them; members and the entries of lists are compared by their
names, so that one more tool is one difference, and a placeholder of a secret fits any text on either side.

Specification: RFC 6901 (JSON Pointer).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final, cast

from msgspec import Struct

from dovetail.recording import differences

__all__ = ["MOST_CHANGES", "ValueChange", "changes_of", "told", "without"]

MOST_CHANGES: Final = 200
"""Places that are told of one pair of values."""
_LONG: Final = 80
_MISSING: Final = {"": "", "recorded": "a", "found": "b"}


class ValueChange(Struct, frozen=True):
    """One place at which two values differ: a JSON pointer (into the second value, where that has it, else into the
    first), and what stands there. ``missing``: "a" or "b" where one of them has nothing there.
    """

    pointer: str
    a: Any = None
    b: Any = None
    missing: str = ""

    def __str__(self) -> str:
        place = self.pointer or "the whole"
        if self.missing == "a":
            return f"{place}: {told(self.b)} is new"
        if self.missing == "b":
            return f"{place}: {told(self.a)} is gone"
        return f"{place}: was {told(self.a)}, is {told(self.b)}"


def changes_of(a: Any, b: Any) -> list[ValueChange]:
    """The places at which they differ, at most `MOST_CHANGES`. Never raises for values that JSON has."""
    found = differences(a, b, by_name=True, both_redacted=True)
    return [
        ValueChange(each.pointer, each.recorded, each.found, _MISSING[each.missing])
        for each in islice(found, MOST_CHANGES)
    ]


def told(value: Any) -> str:
    """A value in a few words."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__}"
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."


def without(value: Any, patterns: Iterable[str]) -> Any:
    """A value without what stands at these places; ``*`` stands for any one member or item."""
    wanted = [tuple(_plain(part) for part in each.split("/")[1:]) for each in patterns]
    return _without(value, [each for each in wanted if each])


def _without(value: Any, wanted: list[tuple[str, ...]]) -> Any:
    if not wanted:
        return value
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {
            name: _without(item, _below(wanted, name))
            for name, item in members.items()
            if not _ends(wanted, name)
        }
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [
            _without(item, _below(wanted, str(at)))
            for at, item in enumerate(items)
            if not _ends(wanted, str(at))
        ]
    return value


def _below(wanted: list[tuple[str, ...]], name: str) -> list[tuple[str, ...]]:
    return [each[1:] for each in wanted if len(each) > 1 and each[0] in ("*", name)]


def _ends(wanted: list[tuple[str, ...]], name: str) -> bool:
    return any(len(each) == 1 and each[0] in ("*", name) for each in wanted)


def _plain(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")
