"""Saying what is wrong with a value, so that a person or a model can put it right.

Theory of operation. A validator reports keyword, place and value; this module turns one such
report into three short texts: where, what was expected, what came. Texts are bounded, control
characters are escaped, and the value itself is quoted only if it is a plain scalar that neither
the schema nor the name of its property marks as secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

__all__ = ["Violation", "explain", "looks_secret", "one_of", "path_text", "summary", "taken_as", "wanted"]

_MAX_QUOTE: Final = 40
_MAX_EXPECTED: Final = 240
_MAX_PATH: Final = 200
_MAX_NESTED: Final = 4
_SECRET_WORDS: Final = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "credential",
)


class Violation(Struct, frozen=True):
    """One thing wrong with a value.

    ``path``: where, like ``items[2].name``; ``""`` is the value itself. ``expected`` and ``got``:
    short texts. ``keyword``: the JSON Schema keyword that failed. ``branch``: of several alternatives, the name of
    the one that the value seems to be meant for, or "".
    """

    path: str
    expected: str
    got: str
    keyword: str
    branch: str = ""


def explain(violations: Iterable[Violation]) -> str:
    """One line for each violation; empty text for none."""
    return "\n".join(
        f"{v.path or '(the whole value)'}: expected {v.expected}, got {v.got}{taken_as(v)}"
        for v in violations
    )


def taken_as(violation: Violation) -> str:
    """Which alternative the value was compared with, to be put behind what is said of it; "" if there was one."""
    return f" (taken as {_clip(violation.branch, _MAX_QUOTE)})" if violation.branch else ""


def one_of(values: Sequence[object]) -> str:
    """What a choice of values asks for."""
    return "one of " + _listed(values)


def path_text(path: Sequence[str | int]) -> str:
    """Write an instance path as ``items[2].name``, odd names quoted in brackets."""
    parts: list[str] = []
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif step.isascii() and step.replace("-", "_").isidentifier():
            parts.append(f".{step}" if parts else step)
        else:
            parts.append(f"[{_quote(step)}]")
    text = "".join(parts)
    return text if len(text) <= _MAX_PATH else f"{text[:80]}...{text[-80:]}"


def looks_secret(name: str) -> bool:
    """Whether a property of this name probably holds a secret."""
    folded = name.casefold().replace("-", "_")
    return any(word in folded for word in _SECRET_WORDS)


def summary(value: object, *, hide: bool) -> str:
    """Type and, for a scalar that may be shown, the value; sizes for containers."""
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return f"an array of {len(value)}"  # pyright: ignore[reportUnknownArgumentType] - only counted
    if isinstance(value, dict):
        return f"an object with {_counted(len(value), 'member')}"  # pyright: ignore[reportUnknownArgumentType] - only counted
    if hide:
        return f"{'an' if _type_name(value) == 'integer' else 'a'} {_type_name(value)} (not shown)"
    if isinstance(value, str):
        return f"the string {_quote(value)}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"the {_type_name(value)} {_number(value)}"


def _type_name(value: object) -> str:
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "boolean"
    return "integer" if isinstance(value, int) else "number"


def _number(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 128:
        return "with more than 38 digits"
    return _clip(str(value), _MAX_QUOTE)


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _quote(text: str) -> str:
    clipped = _clip(text, _MAX_QUOTE)
    printable = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in clipped)
    return '"' + printable.replace('"', '\\"') + '"'


def _listed(values: Sequence[object]) -> str:
    shown = [_quote(v) if isinstance(v, str) else summary(v, hide=False) for v in values[:12]]
    more = f" and {len(values) - 12} more" if len(values) > 12 else ""
    return _clip(", ".join(shown) + more, _MAX_EXPECTED)


_WANTED: Final[dict[str, Callable[[Any], str]]] = {
    "type": lambda kind: "a value of type " + " or ".join(kind.types),
    "enum": lambda kind: one_of(kind.options),
    "const": lambda kind: "exactly " + _listed([kind.expected_value]),
    "minimum": lambda kind: f"at least {kind.limit}",
    "maximum": lambda kind: f"at most {kind.limit}",
    "exclusiveMinimum": lambda kind: f"more than {kind.limit}",
    "exclusiveMaximum": lambda kind: f"less than {kind.limit}",
    "minLength": lambda kind: f"at least {_counted(kind.limit, 'character')}",
    "maxLength": lambda kind: f"at most {_counted(kind.limit, 'character')}",
    "minItems": lambda kind: f"at least {_counted(kind.limit, 'item')}",
    "maxItems": lambda kind: f"at most {_counted(kind.limit, 'item')}",
    "additionalItems": lambda kind: f"at most {_counted(kind.limit, 'item')}",
    "minProperties": lambda kind: f"at least {_counted(kind.limit, 'member')}",
    "maxProperties": lambda kind: f"at most {_counted(kind.limit, 'member')}",
    "multipleOf": lambda kind: f"a multiple of {kind.multiple_of}",
    "pattern": lambda kind: (
        f"text matching the pattern {_clip(getattr(kind, 'pattern', 'of the schema'), 100)}"
    ),
    "format": lambda kind: f"text in the format {kind.format}",
    "uniqueItems": lambda _: "items that all differ",
    "contains": lambda _: "at least one item as the schema's contains describes",
    "anyOf": lambda kind: _alternatives(kind.context),
    "oneOf": lambda kind: _alternatives(kind.context),
    "not": lambda _: "something that the schema's not does not describe",
    "falseSchema": lambda _: "no value here",
    "propertyNames": lambda _: "member names as the schema's propertyNames describes",
}


def _alternatives(context: Sequence[Sequence[Any]]) -> str:
    """What the branches of a composition want, when each can be said in a few words."""
    if context and not any(context):
        return "a value fitting exactly one of the alternatives"
    wants = dict.fromkeys(_wants(context, _MAX_NESTED))
    if not wants:
        return "a value fitting one of the alternatives of the schema"
    return _clip(", or ".join(wants), _MAX_EXPECTED)


def _wants(context: Sequence[Sequence[Any]], depth: int) -> Iterator[str]:
    """What each branch wants, as far as it is short; alternatives inside of one are among them."""
    for branch in context[:6]:
        if not branch or depth < 0:
            continue
        kind = branch[0].kind
        if kind.name in ("type", "const", "enum"):
            yield wanted(kind.name, kind)
        elif kind.name in ("anyOf", "oneOf"):
            yield from _wants(kind.context, depth - 1)


def wanted(keyword: str, kind: Any) -> str:
    """What a failed keyword asks for; ``kind`` is the validator's description of the failure."""
    describe = _WANTED.get(keyword)
    return describe(kind) if describe else f"a value that satisfies {_clip(keyword, 40)}"
