"""What of a comparison of schemas does not fit, and how it is told.

Specification: none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

__all__ = ["Misfit", "distinct", "kinds_in_words", "plain_number", "shown", "weight"]

_SHOWN: Final = 60
_MANY: Final = {
    "null": "null",
    "boolean": "true and false",
    "integer": "whole numbers",
    "fraction": "numbers with a fraction",
    "string": "texts",
    "array": "lists",
    "object": "objects",
}


class Misfit(Struct, frozen=True, kw_only=True):
    """Something that the sender's schema takes and the receiver's does not, or may not.

    ``path``: names of members from the root; "[]" stands for the items of a list, "*" for members that nobody
    describes. ``keyword``: of the receiver's schema. ``what``: which values, as a plural. ``examples``: some of them,
    at first for this place, in the end for the root. ``sure``: whether the rule leaves no doubt.
    """

    path: tuple[str, ...] = ()
    keyword: str
    what: str
    examples: tuple[Any, ...] = ()
    sure: bool = True
    proven: bool = False


def distinct(found: Iterable[Misfit]) -> list[Misfit]:
    """Each once: alternatives tell the same several times. Their examples are all tried."""
    kept: dict[tuple[Any, ...], Misfit] = {}
    for each in found:
        key = (each.path, each.keyword, each.what)
        before = kept.get(key)
        examples = each.examples if before is None else (*before.examples, *each.examples)
        kept[key] = replace(each, examples=examples, sure=each.sure or (before is not None and before.sure))
    return list(kept.values())


def weight(found: list[Misfit]) -> tuple[int, int]:
    """How bad misfits are: a wrong type says that the alternative was not meant."""
    return sum(1 for each in found if each.keyword == "type" and not each.path), len(found)


def shown(value: Any) -> str:
    """A value as JSON, cut where it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def plain_number(bound: Fraction) -> str:
    return shown(int(bound) if bound.denominator == 1 else float(bound))


def kinds_in_words(refused: frozenset[str]) -> str:
    kinds = set(refused)
    if {"integer", "fraction"} <= kinds:
        kinds -= {"fraction"}
    words = {**_MANY, "integer": "numbers"} if {"integer", "fraction"} <= refused else _MANY
    if len(kinds) >= 6:
        return "values of any other type"
    return ", ".join(words[each] for each in _MANY if each in kinds)
