"""Whether a request is the recorded one, and what differs where it is not.

Theory of operation. Values are compared as JSON, whatever the order of members. A placeholder that stands for a secret
fits any text or number, a text with placeholders any text that agrees around them.

Specification: none; docs/recording.md, "Replay".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

from msgspec import Struct

from ..capture.redaction import PLACEHOLDER

__all__ = ["Difference", "differences", "fits", "ignored"]

_LONG: Final = 80
_DEEPEST: Final = 100
_NAMES: Final = ("name", "uri", "uriTemplate")
_ABSENT: Final = object()


class Difference(Struct, frozen=True, kw_only=True):
    """One place at which two values differ: a JSON ``pointer``, and what stands there, None for nothing (``missing``:
    in which of them).
    """

    pointer: str
    recorded: Any
    found: Any
    missing: str = ""

    def __str__(self) -> str:
        recorded = "nothing" if self.missing == "recorded" else _shown(self.recorded)
        found = "nothing" if self.missing == "found" else _shown(self.found)
        return f"{self.pointer or 'the whole'}: recorded {recorded}, now {found}"


def fits(recorded: Any, found: Any) -> bool:
    """Whether a value is what was recorded."""
    return next(differences(recorded, found), None) is None


def differences(
    recorded: Any, found: Any, pointer: str = "", *, by_name: bool = False, both_redacted: bool = False
) -> Iterator[Difference]:
    """The places at which a value is not what was recorded, in the order of the recorded one. Values are those that
    JSON has; nothing raises for them, and below 100 levels it is told only that something differs.

    A placeholder of a secret in ``recorded`` fits what stands in its place. ``pointer``: what the pointers begin with
    (default: ""). ``by_name``: whether the entries of two lists belong together by ``name``, ``uri`` or
    ``uriTemplate``, where each has one of its own, so that one entry more is one difference; a pointer is then into
    ``found``, where that has the entry (default: by their places). ``both_redacted``: whether ``found`` may have
    placeholders, too (default: no).
    """
    return _ValueComparison(by_name, both_redacted).compared(recorded, found, pointer, 0)


def ignored(found: Iterable[Difference], pointers: Iterable[str]) -> Iterator[Difference]:
    """Those that are not at one of these places, or below; ``*`` stands for any one member or item."""
    patterns = [
        re.compile(
            "/".join("[^/]*" if part == "*" else re.escape(part) for part in each.split("/")) + "(?:/.*)?"
        )
        for each in pointers
    ]
    for each in found:
        if not any(pattern.fullmatch(each.pointer) for pattern in patterns):
            yield each


class _ValueComparison(Struct, frozen=True):
    """See `differences`."""

    by_name: bool
    both_redacted: bool

    def compared(self, recorded: Any, found: Any, pointer: str, depth: int) -> Iterator[Difference]:
        if recorded is _ABSENT:
            yield Difference(pointer=pointer, recorded=None, found=found, missing="recorded")
        elif found is _ABSENT:
            yield Difference(pointer=pointer, recorded=recorded, found=None, missing="found")
        elif depth < _DEEPEST and isinstance(recorded, dict) and isinstance(found, dict):
            before, now = cast("dict[str, Any]", recorded), cast("dict[str, Any]", found)
            for name in [*before, *(each for each in now if each not in before)]:
                below = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
                yield from self.compared(before.get(name, _ABSENT), now.get(name, _ABSENT), below, depth + 1)
        elif depth < _DEEPEST and isinstance(recorded, list) and isinstance(found, list):
            old, new = cast("list[Any]", recorded), cast("list[Any]", found)
            for there, here, at in self._paired(old, new):
                yield from self.compared(there, here, f"{pointer}/{at}", depth + 1)
        elif not self._same(recorded, found):
            yield Difference(pointer=pointer, recorded=recorded, found=found)

    def _paired(self, old: list[Any], new: list[Any]) -> Iterator[tuple[Any, Any, int]]:
        """Entries that belong together, and where they stand."""
        before, now = (_named(old), _named(new)) if self.by_name else (None, None)
        if before is None or now is None:
            for at in range(max(len(old), len(new))):
                yield old[at] if at < len(old) else _ABSENT, new[at] if at < len(new) else _ABSENT, at
            return
        for name, at in before.items():
            yield old[at], new[now[name]] if name in now else _ABSENT, now.get(name, at)
        for name, at in now.items():
            if name not in before:
                yield _ABSENT, new[at], at

    def _same(self, recorded: Any, found: Any) -> bool:
        if isinstance(recorded, bool) or isinstance(found, bool):
            return recorded is found
        try:
            if recorded == found:
                return True
        except RecursionError:
            return False  # so deep that nobody would see where
        return _redacted(recorded, found) or (self.both_redacted and _redacted(found, recorded))


def _named(items: list[Any]) -> dict[str, int] | None:
    """Where each entry stands, by its name or address; None where not all have one of their own."""
    found: dict[str, int] = {}
    for at, item in enumerate(items):
        members = cast("dict[str, Any]", item) if isinstance(item, dict) else {}
        name = next((members[each] for each in _NAMES if isinstance(members.get(each), str)), None)
        if name is None or name in found:
            return None
        found[name] = at
    return found


def _redacted(recorded: Any, found: Any) -> bool:
    """Whether a value may be what placeholders in a text stand for."""
    if not isinstance(recorded, str) or not PLACEHOLDER.search(recorded):
        return False
    if PLACEHOLDER.fullmatch(recorded):
        return isinstance(found, (str, int, float))
    return isinstance(found, str) and _around(recorded, found)


def _around(recorded: str, found: str) -> bool:
    """Whether a text agrees with a recorded one around its placeholders."""
    parts = PLACEHOLDER.split(recorded)
    if not found.startswith(parts[0]) or len(found) < sum(map(len, parts)) or not found.endswith(parts[-1]):
        return False
    at = len(parts[0])
    for part in parts[1:-1]:
        at = found.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return at <= len(found) - len(parts[-1])


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."
