"""Values of parameters as text: every style in which a path, a query, a header or a cookie holds them.

Theory of operation. A value is a primitive, a list of these, or an object of these; each becomes text, escaped, and
only then is it joined by the delimiters of the style, which stay as they are. What is deeper than that has no form
that the specification knows and goes as JSON. Null is nothing: it is not sent.

What comes out can't leave its place. In a path everything but unreserved characters is escaped, and a value that is a
step upwards, however it is written, is refused, since no escape protects it from a server that looks twice. A header
has no escapes, so what would end it is refused.

Specification: OpenAPI 3.0.4 and 3.1.1, "Style Values" and "Appendix C"; RFC 6570; RFC 3986; RFC 6265 section 4.1.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast
from urllib.parse import quote, unquote

import msgspec

from .operations import OperationParameter

__all__ = ["Unsendable", "as_text", "cookie_pairs", "header_value", "path_part", "query_pairs", "query_text"]

Escape: TypeAlias = Callable[[str], str]
_SLASHES: Final = re.compile(r"[/\\]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_HEADER: Final = re.compile(r"[\x20-\x7e\t]*")
_TRIPLE: Final = re.compile(r"(%[0-9A-Fa-f]{2})")
_RESERVED: Final = ":/?@!$'()*,;="
_COOKIE: Final = "!#$&'()*+-./:<=>?@[]^_`{|}~"


class Unsendable(Exception):
    """A value that has no place where its parameter puts it; the text says why, for the model."""


def as_text(value: Any) -> str:
    """A primitive as text; anything else as JSON."""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def path_part(parameter: OperationParameter, value: Any) -> str:
    """What stands in a path for a value. Raises `Unsendable`."""
    _check_steps(value)
    if parameter.media:
        return quote(as_text(value), safe="")
    prefix = {"simple": "", "label": ".", "matrix": ";"}[parameter.style]
    pairs, plain = _parts(value, _escaped)
    if not pairs and not plain:
        raise Unsendable("it is empty, and a path needs something there")
    if parameter.style == "matrix":
        return _matrix(parameter, pairs, plain, isinstance(value, list))
    explode = parameter.explode
    if pairs:
        written = (
            [f"{key}={item}" for key, item in pairs] if explode else [each for pair in pairs for each in pair]
        )
    else:
        written = plain
    found = prefix + ((prefix or ",") if explode else ",").join(written)
    if not found:
        raise Unsendable("it is empty, and a path needs something there")
    return found


def query_pairs(parameter: OperationParameter, value: Any) -> list[str]:
    """The parts of a query, ``name=value``, that a value is."""
    escape = _escaped_but_reserved if parameter.allow_reserved else _escaped
    name = _escaped(parameter.name)
    if parameter.media:
        return [f"{name}={_escaped(_media_text(value))}"]
    return _form(name, value, parameter.style, parameter.explode, escape)


def query_text(name: str, value: Any, style: str, explode: bool, allow_reserved: bool) -> list[str]:
    """The parts of a form's body that a property is; blanks are written as ``+``, as forms have them."""
    escape = _escaped_but_reserved if allow_reserved else _escaped
    return [part.replace("%20", "+") for part in _form(_escaped(name), value, style, explode, escape)]


def header_value(parameter: OperationParameter, value: Any) -> str:
    """A value as the value of a header. Raises `Unsendable`."""
    if parameter.media:
        found = _media_text(value)
    else:
        pairs, plain = _parts(value, str)
        if pairs:
            found = ",".join(f"{key}={item}" if parameter.explode else f"{key},{item}" for key, item in pairs)
        else:
            found = ",".join(plain)
    if not _HEADER.fullmatch(found):
        raise Unsendable("a header takes visible ASCII characters and blanks, and no line breaks")
    return found.strip(" \t")


def cookie_pairs(parameter: OperationParameter, value: Any) -> list[str]:
    """The parts of a cookie header, ``name=value``, that a value is."""
    if parameter.media:
        return [f"{parameter.name}={_in_cookie(_media_text(value))}"]
    return _form(parameter.name, value, "form", parameter.explode, _in_cookie)


def _form(name: str, value: Any, style: str, explode: bool, escape: Escape) -> list[str]:
    if style == "deepObject" and isinstance(value, dict):
        return _deep(name, cast("dict[str, Any]", value), escape)
    pairs, plain = _parts(value, escape)
    delimiter = {"spaceDelimited": "%20", "pipeDelimited": "%7C"}.get(style, ",")
    if isinstance(value, dict):
        if explode:
            return [f"{key}={item}" for key, item in pairs]
        return [f"{name}={delimiter.join(each for pair in pairs for each in pair)}"] if pairs else []
    if isinstance(value, list):
        if explode or style == "deepObject":
            return [f"{name}={item}" for item in plain]
        return [f"{name}={delimiter.join(plain)}"] if plain else []
    return [f"{name}={plain[0]}"] if plain else []


def _matrix(
    parameter: OperationParameter, pairs: list[tuple[str, str]], plain: list[str], listed: bool
) -> str:
    name = _escaped(parameter.name)
    if pairs:
        if parameter.explode:
            return "".join(f";{key}={item}" for key, item in pairs)
        return f";{name}={','.join(each for pair in pairs for each in pair)}"
    if listed and parameter.explode:
        return "".join(f";{name}={item}" if item else f";{name}" for item in plain)
    written = ",".join(plain)
    return f";{name}={written}" if written else f";{name}"


def _deep(name: str, value: Mapping[str, Any], escape: Escape) -> list[str]:
    """``name[key]=value``; further levels as further brackets, which is what servers that have them read."""
    found: list[str] = []
    for key, item in value.items():
        inner = f"{name}%5B{_escaped(key)}%5D"
        if isinstance(item, dict):
            found += _deep(inner, cast("dict[str, Any]", item), escape)
        elif isinstance(item, list):
            found += [
                f"{inner}={escape(as_text(each))}" for each in cast("list[Any]", item) if each is not None
            ]
        elif item is not None:
            found.append(f"{inner}={escape(as_text(item))}")
    return found


def _parts(value: Any, escape: Escape) -> tuple[list[tuple[str, str]], list[str]]:
    """The pairs of an object, or the parts of anything else, as text."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return [(escape(key), escape(as_text(item))) for key, item in members.items() if item is not None], []
    if isinstance(value, list):
        return [], [escape(as_text(item)) for item in cast("list[Any]", value) if item is not None]
    return [], [] if value is None else [escape(as_text(value))]


def _media_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _escaped(value: str) -> str:
    return quote(value, safe="", errors="replace")


def _escaped_but_reserved(value: str) -> str:
    """RFC 6570's reserved expansion, but for what would end the parameter or the query."""
    return "".join(
        part if _TRIPLE.fullmatch(part) else quote(part, safe=_RESERVED, errors="replace")
        for part in _TRIPLE.split(value)
    )


def _in_cookie(value: str) -> str:
    return quote(value, safe=_COOKIE, errors="replace")


def _check_steps(value: Any) -> None:
    """Refuse what a path takes for a step, or for its end. Raises `Unsendable`."""
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            _check_steps(key)
            _check_steps(item)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            _check_steps(item)
    elif isinstance(value, str):
        seen = value
        for _ in range(4):
            if _CONTROL.search(seen):
                raise Unsendable("it has a control character, which no path may have")
            if any(part.split(";")[0].strip() in (".", "..") for part in _SLASHES.split(seen)):
                raise Unsendable('it has "." or ".." as a step of a path; name the thing itself')
            plain = unquote(seen)
            if plain == seen:
                return
            seen = plain
        raise Unsendable("it is escaped again and again; write it plainly")
