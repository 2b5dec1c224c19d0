"""Expanding one expression of a URI template, by the rule of its operator.

Specification: RFC 6570, section 3.2 and appendix A.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, cast
from urllib.parse import quote

from .syntax import RULES, Expression, Rule, TemplateError, VarSpec

__all__ = ["expand_expression"]

_RESERVED: Final = ":/?#[]@!$&'()*+,;="
_TRIPLET: Final = re.compile(r"(%[0-9A-Fa-f]{2})")


def expand_expression(expression: Expression, values: Mapping[str, object]) -> str:
    """The text an expression stands for. Raises TemplateError for a value that has none."""
    rule = RULES[expression.operator]
    pieces: list[str] = []
    for spec in expression.specs:
        pieces.extend(_expand(rule, spec, values.get(spec.name)))
    return rule.first + rule.between.join(pieces) if pieces else ""


def _expand(rule: Rule, spec: VarSpec, value: object) -> list[str]:
    """What one variable contributes: nothing if undefined, several pieces if it explodes."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        members = cast("Mapping[object, object]", value)
        pairs = [(_text(spec, key), _text(spec, item)) for key, item in members.items() if item is not None]
        return _expand_pairs(rule, spec, pairs)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        sequence = cast("Sequence[object]", value)
        return _expand_items(rule, spec, [_text(spec, item) for item in sequence if item is not None])
    text = _text(spec, value)
    return [_with_name(rule, spec.name, _encode(rule, text[: spec.prefix] if spec.prefix else text))]


def _expand_pairs(rule: Rule, spec: VarSpec, pairs: list[tuple[str, str]]) -> list[str]:
    _refuse_prefix(spec)
    encoded = [(_encode(rule, key), _encode(rule, item)) for key, item in pairs]
    if not encoded:
        return []
    if spec.explode:
        return [f"{key}={item}" if item or not rule.named else key + rule.if_empty for key, item in encoded]
    return [_with_name(rule, spec.name, ",".join(f"{key},{item}" for key, item in encoded))]


def _expand_items(rule: Rule, spec: VarSpec, items: list[str]) -> list[str]:
    _refuse_prefix(spec)
    encoded = [_encode(rule, item) for item in items]
    if not encoded:
        return []
    if spec.explode:
        return [_with_name(rule, spec.name, item) for item in encoded]
    return [_with_name(rule, spec.name, ",".join(encoded))]


def _with_name(rule: Rule, name: str, encoded: str) -> str:
    if not rule.named:
        return encoded
    return f"{name}={encoded}" if encoded else name + rule.if_empty


def _refuse_prefix(spec: VarSpec) -> None:
    if spec.prefix:
        raise TemplateError(
            f"the template variable {spec.name} has a prefix length, so it takes a text, no list"
        )


def _text(spec: VarSpec, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise TemplateError(f"the template variable {spec.name} cannot be a {type(value).__name__}")


def _encode(rule: Rule, text: str) -> str:
    try:
        if not rule.reserved:
            return quote(text, safe="")
        pieces = _TRIPLET.split(text)
        return "".join(p if i % 2 else quote(p, safe=_RESERVED) for i, p in enumerate(pieces))
    except UnicodeEncodeError:
        raise TemplateError("a value for the template holds a lone surrogate, which has no UTF-8") from None
