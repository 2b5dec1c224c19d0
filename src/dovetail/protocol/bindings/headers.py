"""HTTP headers that repeat the body, media types, and session identifiers.

Theory of operation. In the stateless era a request says a few things twice: in the body, and in
headers where intermediaries can read them. The client derives the headers from the body
(`mirror`); the server refuses a request in which the two disagree (`check_mirrors`), or in which
such a header comes twice, because two readers could then act on different values.

Text that a header cannot carry as it is travels as ``=?base64?...?=``, a form that any text
looking like it must also take, so decoding is never a guess. A value is decoded strictly: one
text has one encoding.

Everything scans its input a fixed number of times; texts beyond a bound are refused unread.

Specification: 2026-07-28 basic/transports/streamable-http, "Request Metadata"; RFC 9110 for field
values, Accept and Content-Type; 2025-11-25 basic/transports, "Session Management".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from msgspec import Raw, Struct

from .. import codec, names
from ..errors import DovetailError, HeaderMismatch
from ..header_parameters import SAFE_INTEGER, HeaderParameter, ParameterKind
from .media import accepts, is_json_content_type

__all__ = [
    "MAX_HEADER_VALUE",
    "MAX_SESSION_ID",
    "InvalidHeaderValue",
    "accepts",
    "check_mirrors",
    "check_parameters",
    "check_stated",
    "decode_value",
    "encode_value",
    "is_json_content_type",
    "is_session_id",
    "mirror",
    "parameter_matches",
    "plainly_agree",
    "render_parameter",
    "routing_headers",
]

MAX_HEADER_VALUE: Final = 16 * 1024
"""Characters of one header value that are read; HTTP servers usually stop earlier."""

MAX_SESSION_ID: Final = 128
"""Characters a session identifier may have."""

_PREFIX: Final = "=?base64?"
_SUFFIX: Final = "?="
_LEGAL: Final = re.compile(r"[\t\x20-\x7e]*")
_LEGAL_BYTES: Final = re.compile(rb"[\t\x20-\x7e]*")
_SESSION_ID: Final = re.compile(rf"[\x21-\x7e]{{1,{MAX_SESSION_ID}}}")
_INTEGER: Final = re.compile(r"(-?[0-9]{1,16})(?:\.0{0,16})?")
_OWS: Final = " \t"


class _NamedParams(Struct, frozen=True):
    """What a request is about, whatever it is."""

    name: Any = None
    uri: Any = None


class InvalidHeaderValue(DovetailError, ValueError):
    """A header value, or a value meant for a header, that the protocol does not allow."""


def encode_value(text: str) -> str:
    """Give ``text`` the form in which a header carries it.

    Visible ASCII with inner spaces and tabs stays as it is, the empty text too; everything else,
    and whatever looks encoded already, becomes ``=?base64?...?=`` over its UTF-8.

    Raises InvalidHeaderValue for text that is not Unicode (a lone surrogate).
    Specification: streamable-http, "Value Encoding".
    """
    looks_encoded = text.startswith(_PREFIX) and text.endswith(_SUFFIX)
    if not looks_encoded and text == text.strip(_OWS) and _LEGAL.fullmatch(text):
        return text
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidHeaderValue("the text holds a lone surrogate and cannot be sent in a header") from None
    return f"{_PREFIX}{base64.b64encode(encoded).decode('ascii')}{_SUFFIX}"


def decode_value(value: bytes | str) -> str:
    """Read a header value back into text; white space around it does not count.

    Raises InvalidHeaderValue if it is longer than `MAX_HEADER_VALUE`, holds anything but visible
    ASCII, space and tab, or claims to be Base64 and is not exactly one UTF-8 text's encoding.
    """
    text = _legal_text(value)
    if not (text.startswith(_PREFIX) and text.endswith(_SUFFIX)):
        return text
    inner = text[len(_PREFIX) : -len(_SUFFIX)]
    try:
        if len(text) < len(_PREFIX) + len(_SUFFIX):
            raise ValueError
        decoded = base64.b64decode(inner, validate=True)
        if base64.b64encode(decoded).decode("ascii") != inner:
            raise ValueError
        return decoded.decode("utf-8")
    except ValueError:
        raise InvalidHeaderValue("the value is marked as Base64 but is not valid Base64 of UTF-8") from None


def _legal_text(value: bytes | str) -> str:
    if len(value) > MAX_HEADER_VALUE:
        raise InvalidHeaderValue(f"the value is longer than {MAX_HEADER_VALUE} characters")
    if isinstance(value, bytes):
        if not _LEGAL_BYTES.fullmatch(value):
            raise InvalidHeaderValue("the value holds characters other than visible ASCII, space and tab")
        return value.decode("ascii").strip(_OWS)
    if not _LEGAL.fullmatch(value):
        raise InvalidHeaderValue("the value holds characters other than visible ASCII, space and tab")
    return value.strip(_OWS)


def render_parameter(value: object) -> str | None:
    """Text of an argument for its header, not yet encoded; None (no header) for ``None``.

    Integers come in decimal, also when written as a float (``42.0``); booleans as ``true`` and
    ``false``. Raises InvalidHeaderValue for other types, fractions, and integers beyond 2**53 - 1.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    integer = _as_integer(value)
    if integer is None:
        raise InvalidHeaderValue(f"a header carries text, integers and booleans, not {type(value).__name__}")
    if abs(integer) > SAFE_INTEGER:
        raise InvalidHeaderValue(f"a header carries integers from -{SAFE_INTEGER} to {SAFE_INTEGER} only")
    return str(integer)


def _as_integer(value: object) -> int | None:
    """The integer that a JSON number stands for, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None


def parameter_matches(header_text: str, body_value: object, kind: ParameterKind) -> bool:
    """Whether a decoded header says the same as the argument in the body.

    Integers compare as numbers (``42.0`` is ``42``), within the safe range; anything else as text.
    """
    if kind == "integer":
        integer = _as_integer(body_value)
        if integer is not None:
            match = _INTEGER.fullmatch(header_text)
            return match is not None and abs(integer) <= SAFE_INTEGER and int(match[1]) == integer
    try:
        return render_parameter(body_value) == header_text
    except InvalidHeaderValue:
        return False


def mirror(
    method: str,
    name: str | None,
    arguments: Mapping[str, object] | None = None,
    header_parameters: Sequence[HeaderParameter] = (),
) -> list[tuple[str, str]]:
    """Headers a client adds to a request, beside the revision: method, name, annotated arguments.

    ``name`` is what the name header repeats: ``params.name`` or ``params.uri`` (or an extension's
    counterpart), None for methods that have none. ``arguments`` are those of the tool call, and
    ``header_parameters`` what `dovetail.protocol.header_parameters` read from the tool's schema.

    Raises InvalidHeaderValue, naming the argument, if one cannot be carried by a header.
    """
    headers = [(names.HEADER_METHOD, encode_value(method))]
    if name is not None:
        headers.append((names.HEADER_NAME, encode_value(name)))
    for parameter in header_parameters:
        try:
            text = render_parameter(_value_at(arguments, parameter.path))
            if text is not None:
                headers.append((parameter.header, encode_value(text)))
        except InvalidHeaderValue as error:
            where = ".".join(parameter.path)
            raise InvalidHeaderValue(f"argument {where} is repeated in a header: {error}") from None
    return headers


def _value_at(arguments: Mapping[str, object] | None, path: tuple[str, ...]) -> object:
    value: object = arguments
    for key in path:
        if not isinstance(value, Mapping):
            return None
        members = cast("Mapping[object, object]", value)
        value = members.get(key)
    return value


def routing_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, bytes]:
    """Pick the headers that repeat the body, by lower-case name: revision, method, name, parameters.

    ``headers`` are pairs of raw name and value in any case, as a server receives them.
    Raises HeaderMismatch if one of them comes twice.
    """
    found: dict[str, bytes] = {}
    for raw_name, value in headers:
        if raw_name[: len(_MIRRORS)].lower() != _MIRRORS:
            continue
        name = raw_name.decode("latin-1").lower()
        if name not in _ROUTING and not name.startswith(names.HEADER_PARAM_PREFIX):
            continue
        if name in found:
            raise HeaderMismatch(f"Header mismatch: {_shown(name)} is sent more than once")
        found[name] = value
    return found


_VERSION: Final = names.HEADER_PROTOCOL_VERSION.encode()
_METHOD: Final = names.HEADER_METHOD.encode()
_NAME: Final = names.HEADER_NAME.encode()
_MIRRORS: Final = names.HEADER_PREFIX.encode()
_NAMED: Final = {names.TOOLS_CALL: "name", names.PROMPTS_GET: "name", names.RESOURCES_READ: "uri"}
_ROUTING: Final = frozenset((names.HEADER_PROTOCOL_VERSION, names.HEADER_METHOD, names.HEADER_NAME))


def plainly_agree(headers: Mapping[bytes, bytes], *, revision: str, method: str, name: str | None) -> bool:
    """Whether ``headers`` as received plainly say what the body says: legal as they are, and the same.

    `check_mirrors` looks at all others, and says what is wrong.
    """
    if headers.get(_VERSION) != revision.encode() or headers.get(_METHOD) != method.encode():
        return False
    return name is None or (
        name.isascii()
        and headers.get(_NAME) == name.encode()
        and name.isprintable()
        and name[:2] != _PREFIX[:2]
    )


def check_mirrors(routing: Mapping[str, bytes], *, revision: str, method: str, name: str | None) -> None:
    """Server side: refuse a request whose headers and body disagree on revision, method or name.

    ``routing`` comes from `routing_headers`; the rest is what the body says, ``name`` being None
    for methods that have none (the name header is then not looked at).
    Raises HeaderMismatch. Specification: streamable-http, "Server Validation".
    """
    _check_equal(routing, names.HEADER_PROTOCOL_VERSION, revision, encoded=False)
    _check_equal(routing, names.HEADER_METHOD, method, encoded=False)
    if name is not None:
        _check_equal(routing, names.HEADER_NAME, name, encoded=True)


def check_stated(routing: Mapping[str, bytes], *, method: str, params: bytes | Raw) -> None:
    """Server side, where nothing requires these headers: refuse a message that one which is there contradicts.

    Whoever routes or allows requests by their headers believes them in every revision. ``method`` is empty for a
    message that has none; ``params`` are as they came. Raises HeaderMismatch.
    """
    if names.HEADER_METHOD in routing:
        _check_equal(routing, names.HEADER_METHOD, method, encoded=False)
    member = _NAMED.get(method)
    if member is not None and params and names.HEADER_NAME in routing:
        try:
            name = getattr(codec.reader(_NamedParams).read(params), member)
        except codec.DECODE_ERRORS:
            return  # nothing is done with such parameters
        if isinstance(name, str):
            _check_equal(routing, names.HEADER_NAME, name, encoded=True)


def _check_equal(routing: Mapping[str, bytes], header: str, expected: str, *, encoded: bool) -> None:
    value = routing.get(header)
    if value is None:
        raise HeaderMismatch(f"Header mismatch: {header} is missing; the body says {_shown(expected)}")
    if (
        expected.isascii()
        and expected.isprintable()
        and value == expected.encode()
        and expected[:2] != _PREFIX[:2]
    ):
        return  # the plain case: legal as it is, and the same
    try:
        text = decode_value(value) if encoded else _legal_text(value)
    except InvalidHeaderValue as error:
        raise HeaderMismatch(f"Header mismatch: {header}: {error}") from None
    if text != expected:
        said = f"header value {_shown(text)} does not match body value {_shown(expected)}"
        raise HeaderMismatch(f"Header mismatch: {header} {said}")


def check_parameters(
    routing: Mapping[str, bytes],
    arguments: Mapping[str, object] | None,
    header_parameters: Sequence[HeaderParameter],
) -> None:
    """Server side: refuse a tool call whose annotated arguments and parameter headers disagree.

    A header must be there exactly when its argument is there and not null. Parameter headers that
    no annotation names are left alone. Raises HeaderMismatch; arguments are never quoted in it.
    """
    for parameter in header_parameters:
        header, where = parameter.header, ".".join(parameter.path)
        raw = routing.get(header)
        body = _value_at(arguments, parameter.path)
        if raw is None:
            if body is not None:
                raise HeaderMismatch(f"Header mismatch: {header} is missing; the body has argument {where}")
            continue
        if body is None:
            raise HeaderMismatch(f"Header mismatch: {header} is sent but the body has no argument {where}")
        try:
            text = decode_value(raw)
        except InvalidHeaderValue as error:
            raise HeaderMismatch(f"Header mismatch: {header}: {error}") from None
        if not parameter_matches(text, body, parameter.kind):
            raise HeaderMismatch(f"Header mismatch: {header} does not match argument {where} of the body")


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")


def is_session_id(value: bytes | str) -> bool:
    """Whether ``value`` can be a session identifier: 1 to 128 visible ASCII characters, no space."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    return _SESSION_ID.fullmatch(text) is not None
