"""Which lines of a server's standard output can be messages.

Theory of operation. Servers print banners, log lines and progress bars where only messages belong. Telling
them apart must cost a message nothing, so an object is known by its first two characters; whether it is
whole, the decoder finds out anyway. Arrays (batches, in the one revision that has them) are rare and log
lines such as "[INFO] ready" begin alike, so those are parsed.

Specification: basic/transports, "stdio".
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

__all__ = ["BYTE_ORDER_MARK", "may_be_message"]

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""What some systems write before the first line; not part of it."""

_OBJECT: Final = re.compile(rb'\s*\{\s*["}]')


def may_be_message(line: bytes) -> bool:
    """Whether ``line`` begins like a JSON object or is a JSON array."""
    return _OBJECT.match(line) is not None or _is_array(line)


def _is_array(line: bytes) -> bool:
    if not line.lstrip().startswith(b"["):
        return False
    try:
        msgspec.json.decode(line, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True
