"""Pages and their cursors.

Theory of operation. A cursor is the position where the next page starts, sealed: position, then a
keyed digest over the position and over what the cursor belongs to (the method, the principal, and
the identity of the list). It keeps nothing secret, but nobody can make one up, and one made for
another list, method or principal does not open. Servers that share a key understand each other's
cursors; nothing is stored. Bad cursors are an InvalidParams error, as the specification asks.

Specification: server/utilities/pagination of every revision.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from .errors import InvalidParams

__all__ = ["MAX_CURSOR", "MAX_POSITION", "InvalidCursor", "Page", "decode_cursor", "encode_cursor", "page"]

MAX_POSITION: Final = 1024
"""Bytes a position may have: the UTF-8 of a text, or the digits of an integer."""
MAX_CURSOR: Final = 4 * (1 + MAX_POSITION + 16) // 3 + 4
"""Characters of the longest cursor; longer ones are refused unread."""

_MAC_BYTES: Final = 16
_INTEGER: Final = b"i"
_TEXT: Final = b"t"

T = TypeVar("T")


class InvalidCursor(InvalidParams):
    """A cursor that this server did not give out for this list, or that is damaged or out of date."""

    def __init__(self) -> None:
        super().__init__("The cursor is not valid here; list again without a cursor")


class Page(Generic[T]):
    """Some consecutive items, and where the next page starts (None: this is the last)."""

    __slots__ = ("items", "next_position")

    def __init__(self, items: Sequence[T], next_position: int | None) -> None:
        self.items = items
        self.next_position = next_position


def encode_cursor(position: str | int, binding: bytes, key: bytes) -> str:
    """Seal a position into a cursor.

    ``binding`` says what the cursor belongs to; ``key`` is secret, at least 16 bytes.
    Raises ValueError for a short key, or a position beyond `MAX_POSITION` or negative.
    """
    if isinstance(position, int):
        if position < 0 or position.bit_length() > 63:
            raise ValueError("a position must fit 63 bits and not be negative")
        payload = _INTEGER + b"%d" % position
    else:
        payload = _TEXT + position.encode("utf-8")
        if len(payload) > MAX_POSITION + 1:
            raise ValueError(f"a position has more than {MAX_POSITION} bytes")
    return base64.urlsafe_b64encode(payload + _digest(payload, binding, key)).rstrip(b"=").decode("ascii")


def decode_cursor(cursor: str, binding: bytes, key: bytes) -> str | int:
    """Open a cursor that `encode_cursor` made with the same binding and key. Raises InvalidCursor."""
    if len(cursor) > MAX_CURSOR or not cursor.isascii():
        raise InvalidCursor
    try:
        sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise InvalidCursor from None
    payload, mac = sealed[:-_MAC_BYTES], sealed[-_MAC_BYTES:]
    if not payload or not hmac.compare_digest(mac, _digest(payload, binding, key)):
        raise InvalidCursor
    if base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii") != cursor:
        raise InvalidCursor
    return int(payload[1:]) if payload[:1] == _INTEGER else payload[1:].decode("utf-8")


def _digest(payload: bytes, binding: bytes, key: bytes) -> bytes:
    if len(key) < _MAC_BYTES:
        raise ValueError(f"the cursor key has {len(key)} bytes; use {_MAC_BYTES} or more")
    framed = b"dovetail cursor 1\0%d\0" % len(binding) + binding + payload
    return hmac.new(key, framed, hashlib.sha256).digest()[:_MAC_BYTES]


def page(items: Sequence[T], cursor_position: int | None, size: int) -> Page[T]:
    """Cut one page out of a list: ``size`` items from ``cursor_position`` (None: the start).

    A position beyond the end gives an empty last page: the list shrank meanwhile.
    Raises ValueError if ``size`` is not positive or the position is negative.
    """
    start = cursor_position or 0
    if size < 1 or start < 0:
        raise ValueError("a page needs a positive size and a position of zero or more")
    end = start + size
    return Page(items[start:end], end if end < len(items) else None)
