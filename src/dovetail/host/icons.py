"""Which icons of servers may be drawn: those that lead nowhere else, and hold what they say.

Theory of operation. What a server says of its icons is untrusted. An address is taken if it is https and of the origin
that the server itself is at, so that drawing it tells nobody else who uses what; no other scheme leads anywhere. Data
are taken if they are an image of a type that holds no program, as their first bytes say, and not large. Nothing is
fetched here.

Specification: basic/index, "icons".
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final

from ..security import FetchRefused, parse_url
from ..types import Icon

__all__ = ["MAX_ICONS", "MAX_ICON_DATA", "safe_icons", "url_of"]

MAX_ICONS: Final = 20
"""Icons of one thing that are looked at."""
MAX_ICON_DATA: Final = 256 * 1024
"""Bytes of an icon that is given as data (256 KiB)."""
_BEGIN: Final = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/jpg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
}


def safe_icons(icons: Sequence[Icon] | None, url: str = "", *, anywhere: bool = False) -> list[Icon]:
    """Of the icons of a tool, a prompt, a resource or a server those that may be drawn: at an https URL of the origin
    of the server's own ``url``, or data of a PNG, JPEG, GIF or WebP image of at most 256 KiB. A server without a URL
    has no origin, so none of its addresses is safe, unless they may lead ``anywhere``.

    Nothing is fetched. Who fetches one sends no credentials, follows no redirect to another origin, and believes what
    the first bytes say. Specification: basic/index, "icons".
    """
    found = list(icons or ())[:MAX_ICONS]
    return [icon for icon in found if _is_image(icon.src) or _is_near(icon.src, url, anywhere=anywhere)]


def url_of(target: Any) -> str:
    """The URL of a server, where its target is one; else nothing."""
    return (
        target if isinstance(target, str) and target[:8].lower().startswith(("http://", "https://")) else ""
    )


def _is_near(address: str, url: str, *, anywhere: bool) -> bool:
    """Whether an address is https, and of the origin of ``url``."""
    try:
        place = parse_url(address)
        return place.scheme == "https" and (anywhere or (bool(url) and place.origin == parse_url(url).origin))
    except FetchRefused:
        return False


def _is_image(address: str) -> bool:
    """Whether an address is data, of an image that begins as its type does."""
    head, comma, data = address.partition(",")
    if not comma or head[:5].lower() != "data:" or len(data) > MAX_ICON_DATA * 4 // 3 + 4:
        return False
    kind, _, coding = head[5:].lower().partition(";")
    begins = _BEGIN.get(kind)
    if begins is None or coding != "base64":
        return False
    try:
        whole = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return False
    if kind == "image/webp" and whole[8:12] != b"WEBP":
        return False
    return whole.startswith(begins)
