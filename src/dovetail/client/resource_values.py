"""What a resource holds, as a type that a caller asks for; and the URI that a template and its variables mean.

Specification: server/resources.
"""

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from ..protocol import codec
from ..protocol.errors import LocalProtocolError, RemoteProtocolError
from ..protocol.types import ReadResourceResult
from ..protocol.uri_template.template import TemplateError, URITemplate, URITooLong
from .results import converted

__all__ = ["expanded", "resource_into"]

T = TypeVar("T")
_UNFIT: Final = (msgspec.MsgspecError, ValueError, TypeError)


def expanded(template: str, variables: Mapping[str, Any]) -> str:
    """The URI that a template means. Raises `LocalProtocolError` for a template that is none, a variable that it does
    not have, and a value that can't stand in one.
    """
    try:
        parsed = URITemplate(template, expand_only=True)
        if unknown := [name for name in variables if name not in parsed.variables]:
            there = ", ".join(parsed.variables) or "none"
            raise LocalProtocolError(f"{template!r} has no variable {unknown[0]!r}; it has {there}")
        return parsed.expand(variables)
    except (TemplateError, URITooLong) as problem:
        raise LocalProtocolError(str(problem)) from None


def resource_into(uri: str, found: ReadResourceResult, kind: type[T]) -> T:
    """The one content of a resource as a type: ``str`` and ``bytes`` as it is, anything else from the JSON in it.

    Raises `RemoteProtocolError` where it does not fit, or where there are several contents, or none.
    """
    if kind is ReadResourceResult:
        return converted(found, kind)
    if len(found.contents) != 1:
        raise RemoteProtocolError(
            f"the resource {uri!r} has {len(found.contents)} contents, so it is no {_name(kind)};"
            " read it without into= to have them all"
        )
    held = found.contents[0]
    try:
        data = b64decode(held.blob or "", validate=True) if held.text is None else held.text.encode()
        if kind is bytes:
            return converted(data, kind)
        return converted(data.decode() if kind is str else codec.decode(data), kind)
    except (*_UNFIT, *codec.DECODE_ERRORS, NotBase64) as problem:
        raise RemoteProtocolError(f"the resource {uri!r} is no {_name(kind)}: {problem}") from None


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))
