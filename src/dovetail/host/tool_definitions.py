"""What a tool was when somebody agreed to it, and what has become of it: fingerprints, changes, hidden characters.

Theory of operation. Whatever a model reads of a tool, and whatever decides what a call of it means, is its definition:
all that the server lists but icons and ``_meta``. Its fingerprint is a digest of that. A server may change a definition
at any time; who agreed to the one before has not agreed to this one, and is shown what is different.

Text may hold characters that a person does not see and a model reads: tags, marks of direction, fillers, joiners and
variation selectors that have nothing before them to join or to vary. They are found, and named by their code points;
what a model is told has their escapes in their place. Of a schema that is only what describes: values are compared.

Specification: server/tools, "Security Considerations".
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast
from unicodedata import category

from msgspec import Struct

from ..types import Tool

__all__ = [
    "ToolChange",
    "changes_of",
    "definition_of",
    "fingerprint_of",
    "hidden_in",
    "visible",
    "visible_schema",
]

_NOT_READ: Final = ("_meta", "icons")
_SEEN: Final = frozenset("\n\t\r")
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
#: Letters, marks and signs by their category, invisible all the same.
_UNSEEN: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_SELECTORS: Final = range(0xE0100, 0xE01F0)
#: Parts of words and of emoji, each behind something: two in a row write a text of their own.
_PARTS: Final = frozenset("\u200c\u200d" + "".join(map(chr, range(0xFE00, 0xFE10))))
_JOINER: Final = "\u200d"
_VALUES: Final = frozenset({"const", "default", "enum", "examples"})
_TEXTS: Final = frozenset({"$comment", "description", "title"})
_NAMED: Final = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
_SHOWN: Final = 8


class ToolChange(Struct, frozen=True):
    """A part of a tool's definition that is not what it was: ``before`` and ``after`` as JSON, empty for nothing."""

    part: str
    before: str
    after: str


def definition_of(tool: Tool) -> dict[str, Any]:
    """All of a tool that a model or a caller goes by, as the server wrote it."""
    return {name: value for name, value in tool.to_wire().items() if name not in _NOT_READ}


def fingerprint_of(definition: Mapping[str, Any]) -> str:
    """A digest of a definition."""
    return hashlib.sha256(_text(definition).encode("ascii")).hexdigest()


def changes_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[ToolChange, ...]:
    """What is different."""
    parts = sorted(before.keys() | after.keys())
    texts = [
        (part, *(_text(each[part]) if part in each else "" for each in (before, after))) for part in parts
    ]
    return tuple(ToolChange(part, old, new) for part, old, new in texts if old != new)


def hidden_in(definition: Mapping[str, Any]) -> tuple[str, ...]:
    """Characters of a server's texts that a person does not see and a model reads, by where they are, each in words:
    "description: 12 hidden characters (U+E0041, ...)".

    ``definition``: texts, or values of JSON that have texts in them, by what they are called: the definition of a tool,
    or ``{"SKILL.md": text}``. Nothing is changed; `visible` shows them. Never raises for values that JSON has.
    Specification: server/tools, "Security Considerations".
    """
    found: list[str] = []
    for part, value in definition.items():
        odd = (text for text in _texts(value) if not (text.isascii() and text.isprintable()))
        counted = Counter(each for text in odd for each in _hidden(text))
        if counted:
            points = ", ".join(f"U+{ord(each):04X}" for each in sorted(counted)[:_SHOWN])
            more = ", ..." if len(counted) > _SHOWN else ""
            found.append(f"{part}: {counted.total()} hidden characters ({points}{more})")
    return tuple(found)


def visible(text: str) -> str:
    r"""A text for a model, or for a person: escapes (``\u202e``) in the place of what nobody sees; line breaks and
    tabs stay. Never raises. Specification: server/tools, "Security Considerations".
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(each) if hidden else each for each, hidden in _judged(text))


def visible_schema(schema: Any, *, named: bool = False) -> Any:
    """A schema for a model: its titles and descriptions as `visible` has them, all else as it is. ``named``: its
    members are schemas by names that are the server's own.
    """
    if isinstance(schema, list):
        return [visible_schema(each) for each in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    found = cast("dict[str, Any]", schema)
    return {name: _visible_member(name, each, named=named) for name, each in found.items()}


def _visible_member(name: str, value: Any, *, named: bool) -> Any:
    if named:
        return visible_schema(value)
    if name in _VALUES:
        return value
    if isinstance(value, str):
        return visible(value) if name in _TEXTS else value
    return visible_schema(value, named=name in _NAMED)


def _hidden(text: str) -> Iterator[str]:
    return (each for each, hidden in _judged(text) if hidden)


def _judged(text: str) -> Iterator[tuple[str, bool]]:
    """Each character, and whether it is one that nobody sees."""
    before = ""
    for each in text:
        if each in _PARTS:  # an emoji may have a selector and then a joiner
            varied = before not in _PARTS or (each == _JOINER and before == "\ufe0f")
            yield each, not before or before.isspace() or not varied
        else:
            yield each, _is_hidden(each)
        before = each


def _is_hidden(character: str) -> bool:
    if character.isascii():
        return not character.isprintable() and character not in _SEEN
    return ord(character) in _SELECTORS or character in _UNSEEN or category(character) in _HIDDEN


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, names of members included. What is nested is bounded by what is read at all."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in cast("dict[str, Any]", value).items():
            yield name
            yield from _texts(member)
    elif isinstance(value, list):
        for member in cast("list[Any]", value):
            yield from _texts(member)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
