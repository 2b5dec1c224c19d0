"""Bodies of requests, as bytes: JSON, forms, parts with files, text, bytes.

Theory of operation. What the schema says is checked before; here a value only has to have a place in its bytes. A
part's name and file name are escaped as browsers do it (``%22`` for a quote), so none of them can begin another
header. The boundary is random, and made anew where a part has it.

Specification: OpenAPI 3.0.4 and 3.1.1, "Media Type Object" and "Encoding Object"; RFC 7578; the URL standard,
"application/x-www-form-urlencoded serializing".
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping, Set
from typing import Any, Final, NamedTuple

import msgspec

from .operations import MediaType
from .plain import flag, is_mapping, items, mapping, text
from .plans import CallPlan
from .styles import Unsendable, as_text, query_text

__all__ = ["WrittenBody", "written_body"]

_LINE: Final = re.compile(r"[\x20-\x7e]*")
_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:;[\x20-\x7e]*)?")


class WrittenBody(NamedTuple):
    """A body with its media type."""

    type: str
    data: bytes


class _FilePart(NamedTuple):
    data: bytes
    name: str
    type: str


def written_body(
    plan: CallPlan, properties: Mapping[str, Any], whole: Any, has_whole: bool
) -> WrittenBody | None:
    """The body of a call: of its ``properties``, or ``whole`` where there is such an argument; None for none.

    Raises `Unsendable`.
    """
    media = plan.media
    if media is None:
        return None
    given = has_whole or properties or (plan.body_required and plan.writing in ("json", "form", "multipart"))
    if not given:
        return None
    value = whole if has_whole else dict(properties)
    if plan.writing == "json":
        kind = media.type if "*" not in media.type else "application/json"
        return WrittenBody(kind, msgspec.json.encode(value))
    if plan.writing == "form":
        return WrittenBody(media.type, _form(mapping(value), media.encoding))
    if plan.writing == "multipart":
        files = {each.property for each in plan.arguments if each.is_file}
        return _parts(mapping(value), media, None if has_whole else files)
    if plan.writing == "text":
        kind = media.type if "*" not in media.type else "text/plain"
        charset = "" if "charset" in kind else "; charset=utf-8"
        return WrittenBody(kind + charset, as_text(value).encode("utf-8", "replace"))
    file = _file(value, "the body")
    kind = file.type or (media.type if "*" not in media.type else "application/octet-stream")
    return WrittenBody(kind, file.data)


def _form(value: Mapping[str, Any], encoding: Mapping[str, Any]) -> bytes:
    found: list[str] = []
    for name, item in value.items():
        if item is None:
            continue
        said = mapping(encoding.get(name))
        styled = any(key in said for key in ("style", "explode", "allowReserved"))
        if not styled and is_mapping(item):
            item = as_text(item)  # noqa: PLW2901 - what has no style goes as the text of its media type
        style = text(said.get("style")) or "form"
        explode = flag(said.get("explode"), style in ("form", "deepObject"))
        found += query_text(name, item, style, explode, flag(said.get("allowReserved")))
    return "&".join(found).encode()


def _parts(value: Mapping[str, Any], media: MediaType, files: Set[str | None] | None) -> WrittenBody:
    """``files``: which of them are files; None where the schema does not tell, and each says it itself."""
    parts: list[tuple[bytes, bytes]] = []
    for name, item in value.items():
        said = text(mapping(media.encoding.get(name)).get("contentType"))
        for each in items(item) or [item]:
            if each is not None and each != []:
                file = name in files if files is not None else _is_file(each)
                parts.append(_part(name, each, said, file))
    boundary = secrets.token_hex(16).encode()
    while any(boundary in data for _, data in parts):
        boundary = secrets.token_hex(16).encode()
    body = b"".join(b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, head, data) for head, data in parts)
    kind = media.type.partition(";")[0] if "*" not in media.type else "multipart/form-data"
    return WrittenBody(f"{kind}; boundary={boundary.decode()}", body + b"--%b--\r\n" % boundary)


def _part(name: str, value: Any, said: str, file: bool) -> tuple[bytes, bytes]:
    """The head and the data of one part. ``said``: the media types that the document has for it."""
    head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
    first = said.partition(",")[0].strip()
    kind = first if _TYPE.fullmatch(first) and "*" not in first else ""
    if file:
        found = _file(value, name)
        data, kind = found.data, found.type or kind or "application/octet-stream"
        head += f'; filename="{_quoted(found.name or name)}"'
    elif not isinstance(value, (str, int, float, bool)):
        data, kind = msgspec.json.encode(value), kind or "application/json"
    else:
        data = as_text(value).encode("utf-8", "replace")
    if kind:
        head += f"\r\nContent-Type: {kind}"
    return head.encode("utf-8", "replace"), data


def _is_file(value: Any) -> bool:
    members = set(mapping(value))
    return bool(members & {"blob", "text"}) and members <= {"blob", "text", "filename", "mimeType"}


def _file(value: Any, where: str) -> _FilePart:
    given = mapping(value)
    if "blob" in given and "text" in given:
        raise Unsendable(f"{where} has both text and blob; give one of them")
    kind = text(given.get("mimeType"))
    if kind and not (_TYPE.fullmatch(kind) and _LINE.fullmatch(kind)):
        raise Unsendable(f"the mimeType of {where} is no media type, such as image/png")
    if "text" in given:
        return _FilePart(text(given["text"]).encode("utf-8", "replace"), text(given.get("filename")), kind)
    if "blob" not in given:
        raise Unsendable(f"{where} is a file: give its text, or its bytes in base64 as blob")
    try:
        data = base64.b64decode(text(given["blob"]), validate=True)
    except (binascii.Error, ValueError):
        raise Unsendable(f"the blob of {where} is not base64") from None
    return _FilePart(data, text(given.get("filename")), kind)


def _quoted(name: str) -> str:
    """A name between quotes, as the multipart of browsers has it."""
    return "".join(
        f"%{ord(each):02X}" if each in '"\r\n' or ord(each) < 0x20 or ord(each) == 0x7F else each
        for each in name
    )
