"""What tools and resources say of views: which one a tool has, who may call the tool, and the document of a view.

Theory of operation. Everything here was written by a server, so nothing of it is taken for granted: what is not of its
type counts as not said; a ``visibility`` that can't be read lets nobody call the tool.

Specification: MCP Apps 2026-01-26, "UI Resource Format" and "Resource Discovery".
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final, cast

from msgspec import Struct

from ..session.declaring import APP_MIME_TYPE

__all__ = [
    "MAX_DOCUMENT",
    "AppDocument",
    "AppDocumentInvalid",
    "document_of",
    "resource_uri",
    "visible_to",
]

_SCHEME: Final = "ui://"
_FLAT: Final = "ui/resourceUri"
MAX_DOCUMENT: Final = 16 * 1024 * 1024
"""Bytes of the HTML of a view."""


class AppDocumentInvalid(ValueError):
    """What a server gave as the document of a view can't be shown as one; the text says why."""


class AppDocument(Struct, frozen=True):
    """The document of a view. ``ui``: its ``_meta.ui``, that of the contents where these have any, else of the list.
    ``notes``: what is wrong with it and did not keep it from being shown.
    """

    html: str
    ui: dict[str, Any]
    notes: list[str]


def resource_uri(tool: dict[str, Any]) -> str:
    """The address of the view that a tool has; "" for a tool without one."""
    meta = _members(tool.get("_meta"))
    for given in (_members(meta.get("ui")).get("resourceUri"), meta.get(_FLAT)):
        if isinstance(given, str) and given.startswith(_SCHEME):
            return given
    return ""


def visible_to(tool: dict[str, Any], who: str) -> bool:
    """Whether a tool may be called by ``who``, "model" or "app"; both where it does not say."""
    given = _members(_members(tool.get("_meta")).get("ui")).get("visibility")
    if given is None:
        return True
    return isinstance(given, list) and who in cast("list[Any]", given)


def document_of(uri: str, result: dict[str, Any], listed: dict[str, Any] | None = None) -> AppDocument:
    """The document in a result of ``resources/read``. ``listed``: the resource as the server lists it, if it does.

    Raises `AppDocumentInvalid`.
    """
    contents = [_members(each) for each in _items(result.get("contents"))]
    found = next((each for each in contents if each.get("uri") == uri), contents[0] if contents else None)
    if found is None:
        raise AppDocumentInvalid(f"{uri} has no contents")
    media = found.get("mimeType")
    if not isinstance(media, str) or _plain(media) != APP_MIME_TYPE:
        raise AppDocumentInvalid(f"a view is of the type {APP_MIME_TYPE}; {uri} is {media or 'of none'}")
    notes: list[str] = []
    if found.get("uri") != uri:
        notes.append(f"its contents say that they are those of {found.get('uri')}, not of {uri}")
    html = _text_of(found, uri)
    if "<!doctype html" not in html[:4096].lower():
        notes.append("it does not begin with <!doctype html>: a browser shows it in quirks mode")
    said = _members(found.get("_meta")).get("ui")
    if said is None:
        said = _members((listed or {}).get("_meta")).get("ui")
    elif not isinstance(said, dict):
        notes.append("_meta.ui is no object, and counts for nothing")
    return AppDocument(html, _members(said), notes)


def _text_of(contents: dict[str, Any], uri: str) -> str:
    """Raises `AppDocumentInvalid`."""
    text, blob = contents.get("text"), contents.get("blob")
    if isinstance(text, str):
        html = text
    elif isinstance(blob, str):
        try:
            html = base64.b64decode(blob, validate=True).decode("utf-8")
        except (binascii.Error, ValueError) as problem:
            raise AppDocumentInvalid(
                f"the blob of {uri} can't be read as UTF-8 in Base64: {problem}"
            ) from None
    else:
        raise AppDocumentInvalid(f"the contents of {uri} have neither a text nor a blob")
    if len(html) > MAX_DOCUMENT:
        raise AppDocumentInvalid(f"{uri} has {len(html):,} characters; a view has at most {MAX_DOCUMENT:,}")
    return html


def _plain(media: str) -> str:
    """A media type without spaces around its parts, in lower case."""
    return ";".join(part.strip().lower() for part in media.split(";"))


def _members(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _items(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
