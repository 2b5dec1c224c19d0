"""What is different between two JSON values, as places and in words.

Theory of operation. Members are compared by name, and so are the entries of a list whose entries all have a name or an
address of their own, so that one more tool is one difference; other lists by place. A placeholder of a secret
(``[redacted-1]``) fits any text.

Specification: RFC 6901 (JSON Pointer).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

from msgspec import Struct

__all__ = ["MOST_CHANGES", "ValueChange", "changes_of", "is_at", "told", "without"]

MOST_CHANGES: Final = 200
"""Places that are told of one pair of values."""
_LONG: Final = 80
_DEEP: Final = 100
_ABSENT: Final = object()
_NAMES: Final = ("name", "uri", "uriTemplate")
_PLACEHOLDER: Final = re.compile(r"\[redacted-[0-9]+\]")


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
    found: list[ValueChange] = []
    for each in _changes(a, b, "", 0):
        found.append(each)
        if len(found) >= MOST_CHANGES:
            break
    return found


def told(value: Any) -> str:
    """A value in a few words."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__}"
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."


def is_at(pointer: str, patterns: Iterable[str]) -> bool:
    """Whether a place is at or below one of these; ``*`` stands for any one member or item."""
    parts = pointer.split("/")
    for pattern in patterns:
        wanted = pattern.split("/")
        if len(parts) >= len(wanted) and all(
            each in ("*", part) for each, part in zip(wanted, parts, strict=False)
        ):
            return True
    return False


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


def _changes(a: Any, b: Any, pointer: str, depth: int) -> Iterator[ValueChange]:
    if a is _ABSENT:
        yield ValueChange(pointer, None, b, "a")
    elif b is _ABSENT:
        yield ValueChange(pointer, a, None, "b")
    elif depth < _DEEP and isinstance(a, dict) and isinstance(b, dict):
        old, new = cast("dict[str, Any]", a), cast("dict[str, Any]", b)
        for name in [*old, *(each for each in new if each not in old)]:
            below = f"{pointer}/{_escaped(name)}"
            yield from _changes(old.get(name, _ABSENT), new.get(name, _ABSENT), below, depth + 1)
    elif depth < _DEEP and isinstance(a, list) and isinstance(b, list):
        yield from _items(cast("list[Any]", a), cast("list[Any]", b), pointer, depth)
    elif not _same(a, b):
        yield ValueChange(pointer, a, b)


def _items(a: list[Any], b: list[Any], pointer: str, depth: int) -> Iterator[ValueChange]:
    old, new = _by_name(a), _by_name(b)
    if old is None or new is None:
        for at in range(max(len(a), len(b))):
            there, here = (each[at] if at < len(each) else _ABSENT for each in (a, b))
            yield from _changes(there, here, f"{pointer}/{at}", depth + 1)
        return
    for name, at in old.items():
        if name in new:
            yield from _changes(a[at], b[new[name]], f"{pointer}/{new[name]}", depth + 1)
        else:
            yield ValueChange(f"{pointer}/{at}", a[at], None, "b")
    for name, at in new.items():
        if name not in old:
            yield ValueChange(f"{pointer}/{at}", None, b[at], "a")


def _by_name(items: list[Any]) -> dict[str, int] | None:
    """Where each entry stands, by its name or address; None where not all have one of their own."""
    found: dict[str, int] = {}
    for at, item in enumerate(items):
        if not isinstance(item, dict):
            return None
        members = cast("dict[str, Any]", item)
        name = next((members[each] for each in _NAMES if isinstance(members.get(each), str)), None)
        if name is None or name in found:
            return None
        found[name] = at
    return found


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, str) and isinstance(b, str) and a != b:
        return _around(a, b) or _around(b, a)
    try:
        return bool(a == b)
    except RecursionError:
        return False  # so deep that nobody would see where


def _around(pattern: str, text: str) -> bool:
    """Whether a text agrees with another around its placeholders."""
    parts = _PLACEHOLDER.split(pattern)
    if len(parts) == 1 or len(text) < sum(map(len, parts)):
        return False
    if not text.startswith(parts[0]) or not text.endswith(parts[-1]):
        return False
    at = len(parts[0])
    for part in parts[1:-1]:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return at <= len(text) - len(parts[-1])


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _plain(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")
