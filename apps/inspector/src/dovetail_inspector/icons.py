"""Which icon of a tool, a prompt, a resource or a server the page draws.

Theory of operation. An icon is drawn from its own bytes alone: data that `dovetail.host.safe_icons` lets pass, which is
a PNG, JPEG, GIF or WebP image as its first bytes say, and not large. An address is never asked for, so a server does
not learn when somebody looks; and no SVG is drawn, which may hold a program and takes a browser what time it likes.

Specification: basic/index, "icons".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from dovetail.host import safe_icons
from dovetail.types import Icon

__all__ = ["icon_of"]

_LOOKED_AT: Final = 20


def icon_of(thing: Mapping[str, Any]) -> int | None:
    """Which of the ``icons`` of a thing, as on the wire, is drawn: the first that may be, None where none is."""
    icons = thing.get("icons")
    listed = cast("list[Any]", icons)[:_LOOKED_AT] if isinstance(icons, list) else []
    for at, each in enumerate(listed):
        address = cast("dict[str, Any]", each).get("src") if isinstance(each, dict) else None
        if isinstance(address, str) and safe_icons([Icon(src=address)]):
            return at
    return None
