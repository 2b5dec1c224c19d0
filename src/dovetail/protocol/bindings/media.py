"""Media types: does an Accept header allow a type, and is a body declared as JSON.

Theory of operation. Both questions are answered by one scan that cuts a header at its commas or
semicolons outside quoted text, then looks at each part alone. Malformed parts match nothing.

Specification: RFC 9110, sections 8.3 and 12.5.1; streamable-http, "Sending Messages".
"""

from __future__ import annotations

import re
from typing import Final

from .. import names

__all__ = ["MAX_MEDIA_HEADER", "accepts", "is_json_content_type"]

MAX_MEDIA_HEADER: Final = 8 * 1024
"""Characters of an Accept or Content-Type header that are read; a longer one matches nothing."""

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 - the grammar's name for it
_MEDIA_RANGE: Final = re.compile(rf"({_TOKEN})/({_TOKEN})")
_PARAMETER: Final = re.compile(rf'({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*")', re.DOTALL)
_WEIGHT: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_OWS: Final = " \t"


def accepts(accept: bytes | str | None, media_type: str) -> bool:
    """Whether an Accept header allows ``media_type`` (such as ``application/json``).

    No header (None) allows everything; an empty one nothing. The most specific matching range
    decides, and weight zero refuses. Join repeated Accept headers with a comma before asking.
    """
    if accept is None:
        return True
    text = _text(accept)
    if text is None:
        return False
    wanted_type, _, wanted_subtype = media_type.lower().partition("/")
    best, allowed = -1, False
    for part in _cut(text, ","):
        pieces = _cut(part, ";")
        match = _MEDIA_RANGE.fullmatch(pieces[0].strip(_OWS))
        if match is None:
            continue
        main, sub = match[1].lower(), match[2].lower()
        if (main, sub) == (wanted_type, wanted_subtype):
            rank = 2
        elif (main, sub) == (wanted_type, "*"):
            rank = 1
        elif (main, sub) == ("*", "*"):
            rank = 0
        else:
            continue
        weighs = _has_weight(pieces[1:])
        if rank > best:
            best, allowed = rank, weighs
        elif rank == best:
            allowed = allowed or weighs
    return allowed


def _has_weight(parameters: list[str]) -> bool:
    """False if a ``q`` parameter is zero or malformed."""
    for parameter in parameters:
        name, _, value = parameter.strip(_OWS).partition("=")
        if name.lower() == "q":
            return _WEIGHT.fullmatch(value) is not None and value.strip("0.") != ""
    return True


def is_json_content_type(value: bytes | str | None) -> bool:
    """Whether a Content-Type header says exactly ``application/json``, in UTF-8.

    Parameters are allowed if they are well-formed; a charset must be UTF-8. None is not JSON:
    a browser can send an untyped body across sites without asking.
    """
    text = None if value is None else _text(value)
    if text is None:
        return False
    essence, *parameters = _cut(text, ";")
    if essence.strip(_OWS).lower() != names.MEDIA_JSON:
        return False
    seen: set[str] = set()
    for parameter in parameters:
        stripped = parameter.strip(_OWS)
        if not stripped:
            continue
        match = _PARAMETER.fullmatch(stripped)
        if match is None:
            return False
        name = match[1].lower()
        if name in seen or (name == "charset" and match[2].strip('"').lower() != "utf-8"):
            return False
        seen.add(name)
    return True


def _text(value: bytes | str) -> str | None:
    if len(value) > MAX_MEDIA_HEADER:
        return None
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _cut(text: str, separator: str) -> list[str]:
    """Split at ``separator`` outside quoted strings."""
    if '"' not in text:
        return text.split(separator)
    parts: list[str] = []
    start, quoted, escaped = 0, False, False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return parts
