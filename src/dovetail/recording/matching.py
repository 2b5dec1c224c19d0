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


def differences(recorded: Any, found: Any, pointer: str = "") -> Iterator[Difference]:
    """The places at which a value is not what was recorded."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        before, now = cast("dict[str, Any]", recorded), cast("dict[str, Any]", found)
        for name in [*before, *(each for each in now if each not in before)]:
            below = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            yield from _compared(before.get(name, _ABSENT), now.get(name, _ABSENT), below)
    elif isinstance(recorded, list) and isinstance(found, list):
        old, new = cast("list[Any]", recorded), cast("list[Any]", found)
        for at in range(max(len(old), len(new))):
            there = old[at] if at < len(old) else _ABSENT
            yield from _compared(there, new[at] if at < len(new) else _ABSENT, f"{pointer}/{at}")
    elif not _same(recorded, found):
        yield Difference(pointer=pointer, recorded=recorded, found=found)


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


def _compared(recorded: Any, found: Any, pointer: str) -> Iterator[Difference]:
    if recorded is _ABSENT:
        yield Difference(pointer=pointer, recorded=None, found=found, missing="recorded")
    elif found is _ABSENT:
        yield Difference(pointer=pointer, recorded=recorded, found=None, missing="found")
    else:
        yield from differences(recorded, found, pointer)


def _same(recorded: Any, found: Any) -> bool:
    if isinstance(recorded, bool) or isinstance(found, bool):
        return recorded is found
    if isinstance(recorded, str) and recorded != found and PLACEHOLDER.search(recorded):
        if PLACEHOLDER.fullmatch(recorded):
            return isinstance(found, (str, int, float))
        return isinstance(found, str) and _around(recorded, found)
    return recorded == found


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
