"""Arguments as models send them: what a text holds, where a text is not what was asked for.

Theory of operation. Models write JSON in pieces, and some hosts hand on as text what should have been an object, a
list, a number or a boolean: ``"5"`` for 5, ``"[1, 2]"`` for [1, 2]. Such a text is read as the JSON that it holds, and
only where the schema refuses it as it is: so a text that fits stays what it is, also in a union with numbers, and what
was read has to fit like anything else. Nothing is guessed beyond that. It is done when the strict reading has failed,
so whoever sends what the schema says pays nothing.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..protocol.codec import DECODE_ERRORS
from ..protocol.schema.validator import Validator

__all__ = ["mended"]

_ROUNDS: Final = 4
"""Levels of JSON texts inside of JSON texts."""

_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None, "none": None}
_OTHER: Final = frozenset({"anyOf", "const", "enum", "oneOf", "type"})


def mended(tree: Any, validator: Validator) -> Any | None:
    """``tree`` (JSON as Python builtins; it is changed) with the texts that do not fit read as JSON where that fits
    better. None where there are none.
    """
    found = False
    tried: set[tuple[str | int, ...]] = set()
    for _ in range(_ROUNDS):
        before: dict[tuple[str | int, ...], str] = {}
        for place, _keyword in validator.misfits(tree):
            text = _at(tree, place)
            if not place or place in tried or not isinstance(text, str):
                continue
            tried.add(place)
            value = _held(text)
            if not isinstance(value, str):
                before[place] = text
                _put(tree, place, value)
        if not before:
            break
        for place, keyword in validator.misfits(tree):
            if keyword in _OTHER and place in before:  # it was not that either: let the error show what came
                _put(tree, place, before.pop(place))
        found = found or bool(before)
    return tree if found else None


def _held(text: str) -> Any:
    """What a text holds as JSON, a word in any case; the text itself where that is no JSON, or a text again."""
    word = text.strip()
    try:
        value = _WORDS[word.lower()] if word.lower() in _WORDS else msgspec.json.decode(word)
    except DECODE_ERRORS:
        return text
    return text if isinstance(value, str) else value


def _at(tree: Any, place: tuple[str | int, ...]) -> Any:
    for step in place:
        tree = tree[step]
    return tree


def _put(tree: Any, place: tuple[str | int, ...], value: Any) -> None:
    _at(tree, place[:-1])[place[-1]] = value
