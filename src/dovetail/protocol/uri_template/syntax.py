"""The syntax of URI templates: cutting one into literals and expressions, and what the operators of these mean.

Theory of operation. One scan from brace to brace; every error names the template and the offset.
Literals are kept in the form they have in a URI: what a URI cannot hold is percent-encoded, and
the hexadecimal digits of percent-encodings are upper case. URIs to be matched are brought into the
same form, so comparing is plain text comparison. RFC 6570 appendix A is a table: what each operator
puts first and between, whether it writes names, what follows the name of an empty value, and whether
reserved characters pass.

Specification: RFC 6570, section 2 and appendix A.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias
from urllib.parse import quote

from msgspec import Struct

from ..errors import DovetailError

__all__ = [
    "MAX_TEMPLATE",
    "MAX_URI",
    "RULES",
    "Expression",
    "Part",
    "Rule",
    "TemplateError",
    "TemplateTooLong",
    "URITooLong",
    "VarSpec",
    "normalise",
    "parse",
]

MAX_TEMPLATE: Final = 8 * 1024
"""Characters a template may have."""
MAX_URI: Final = 64 * 1024
"""Characters a URI may have, to be matched or when expanded."""

_RESERVED_OPERATORS: Final = "=,!@|"
_NAME: Final = re.compile(r"(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})+(?:\.(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})+)*")
_PREFIX: Final = re.compile(r"[1-9][0-9]{0,3}")
_BAD_LITERAL: Final = re.compile(r'[\x00-\x20"<>\\^`{|}\x7f\ud800-\udfff]|%(?![0-9A-Fa-f]{2})')
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TRIPLET: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_ASCII: Final = "".join(chr(code) for code in range(0x21, 0x7F))


class TemplateError(DovetailError, ValueError):
    """A URI template is malformed or cannot be matched, or a value does not fit it."""


class TemplateTooLong(TemplateError):
    """A template is longer than `MAX_TEMPLATE` characters."""


class URITooLong(DovetailError, ValueError):
    """A URI is longer than `MAX_URI` characters."""

    def __init__(self, length: int) -> None:
        super().__init__(f"a URI of {length} characters is longer than {MAX_URI}; shorten it")


class Rule(Struct, frozen=True):
    """How an operator expands."""

    first: str
    between: str
    named: bool
    if_empty: str
    reserved: bool


RULES: Final = {
    "": Rule("", ",", False, "", False),
    "+": Rule("", ",", False, "", True),
    "#": Rule("#", ",", False, "", True),
    ".": Rule(".", ".", False, "", False),
    "/": Rule("/", "/", False, "", False),
    ";": Rule(";", ";", True, "", False),
    "?": Rule("?", "&", True, "=", False),
    "&": Rule("&", "&", True, "=", False),
}


class VarSpec(Struct, frozen=True):
    """One variable of an expression: its name, its prefix length (0: none), and whether it explodes."""

    name: str
    prefix: int
    explode: bool


class Expression(Struct, frozen=True):
    """What stands between braces: operator (``""`` for none), variables, offset in the template."""

    operator: str
    specs: tuple[VarSpec, ...]
    offset: int


Part: TypeAlias = str | Expression


def parse(template: str) -> tuple[Part, ...]:
    """Cut a template into literals and expressions, in turn. Raises TemplateError, TemplateTooLong."""
    if len(template) > MAX_TEMPLATE:
        raise TemplateTooLong(f"a URI template of {len(template)} characters is longer than {MAX_TEMPLATE}")
    parts: list[Part] = []
    position = 0
    while position < len(template):
        opening = template.find("{", position)
        end = len(template) if opening < 0 else opening
        if end > position:
            parts.append(_literal(template, position, end))
        if opening < 0:
            break
        closing = template.find("}", opening)
        if closing < 0:
            raise _error(template, opening, "the brace is not closed")
        parts.append(_expression(template, opening, closing))
        position = closing + 1
    return tuple(parts)


def _error(template: str, offset: int, what: str) -> TemplateError:
    return TemplateError(f"URI template {template[:200]!r}, offset {offset}: {what}")


def _literal(template: str, start: int, end: int) -> str:
    bad = _BAD_LITERAL.search(template, start, end)
    if bad is not None:
        raise _error(template, bad.start(), f"{bad[0]!a} cannot stand in a URI; percent-encode it")
    text = normalise(template[start:end])
    if text is None:
        raise _error(template, start, "a percent sign is not followed by two hexadecimal digits")
    return text


def _expression(template: str, opening: int, closing: int) -> Expression:
    body = template[opening + 1 : closing]
    if not body:
        raise _error(template, opening, "the braces are empty")
    operator = body[0] if body[0] in RULES else ""
    if body[0] in _RESERVED_OPERATORS:
        raise _error(template, opening + 1, f"the operator {body[0]!r} is reserved and has no meaning yet")
    specs: list[VarSpec] = []
    offset = opening + 1 + len(operator)
    for piece in body[len(operator) :].split(","):
        specs.append(_varspec(template, offset, piece))
        offset += len(piece) + 1
    return Expression(operator, tuple(specs), opening)


def _varspec(template: str, offset: int, piece: str) -> VarSpec:
    name, colon, digits = piece.partition(":")
    explode = not colon and name.endswith("*")
    name = name.removesuffix("*") if explode else name
    if not _NAME.fullmatch(name):
        raise _error(template, offset, f"{piece[:60]!a} is not a variable name")
    if colon and not _PREFIX.fullmatch(digits):
        raise _error(template, offset, f"{digits[:60]!a} is not a prefix length from 1 to 9999")
    return VarSpec(name, int(digits) if colon else 0, explode)


def normalise(uri: str) -> str | None:
    """Bring a URI into the form literals have; None if it holds a broken percent-encoding or surrogate."""
    if _BAD_PERCENT.search(uri):
        return None
    if not uri.isascii():
        try:
            uri = quote(uri, safe=_ASCII)
        except UnicodeEncodeError:
            return None
    return _TRIPLET.sub(lambda triplet: triplet[0].upper(), uri) if "%" in uri else uri
