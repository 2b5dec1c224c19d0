"""Pages and their cursors.

Theory of operation. A cursor says where the next page starts: how many items came before, and the name of the last of
them. After that comes a digest over both and over what the cursor belongs to (the app, the method, the principal).

There is no key in it, and none is missing. Whoever makes up a cursor gets a page of a list that it may read from the
beginning anyway: who sees what is decided for each request, never by a cursor. What the digest is for is that a
damaged cursor, or that of another list, is an error and not a wrong page. So every process that serves the same list
understands the cursors of all others and of those before a restart, with nothing shared and nothing stored. Bad
cursors are an InvalidParams error, as the specification asks.

Lists change between two pages. The name tells where the last page ended, though items before it came or went; if it
is gone itself, the number tells, less one: an item may then be seen twice, but none is missed for that.

Specification: server/utilities/pagination of every revision.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from .errors import InvalidParams

__all__ = [
    "MAX_CURSOR",
    "MAX_NAME",
    "InvalidCursor",
    "ItemPage",
    "CursorPosition",
    "decode_cursor",
    "decode_part_cursor",
    "encode_cursor",
    "encode_part_cursor",
    "page",
    "resume",
]

MAX_NAME: Final = 256
"""Characters of a name that stands in a cursor as it is; a digest stands for a longer one."""
_DIGITS: Final = 18
_DIGEST: Final = 16
MAX_CURSOR: Final = 4 * (_DIGITS + 1 + 4 * MAX_NAME + _DIGEST) // 3 + 4
"""Characters of the longest cursor; longer ones are refused unread."""

MAX_PART_CURSOR: Final = 64 * 1024
"""The same of one that has a cursor of somebody else's in it."""

T = TypeVar("T")


class InvalidCursor(InvalidParams):
    """A cursor that was not given out for this list, or that is damaged: list again without one."""

    def __init__(self) -> None:
        super().__init__("The cursor is not valid here; list again without a cursor")


class CursorPosition(NamedTuple):
    """Where a page starts: after so many items, the last of which has this name (see `shortened`)."""

    after: int
    name: str


class ItemPage(Generic[T]):
    """Some consecutive items, and how many come before the next page (None: this is the last)."""

    __slots__ = ("items", "next_position")

    def __init__(self, items: Sequence[T], next_position: int | None) -> None:
        self.items = items
        self.next_position = next_position


def shortened(name: str) -> str:
    """A name as it stands in a cursor."""
    if len(name) <= MAX_NAME:
        return name
    return "#" + _sha256(name.encode("utf-8", "surrogatepass")).hex()


def encode_cursor(after: int, name: str, binding: bytes) -> str:
    """The cursor of the page that starts after so many items, the last of which has this name.

    ``binding`` says what the cursor belongs to. Raises ValueError for a number below one or of more than 18 digits.
    """
    if not 1 <= after < 10**_DIGITS:
        raise ValueError(f"a page starts after 1 to 10**{_DIGITS} items, not {after}")
    payload = b"%d\0%b" % (after, shortened(name).encode("utf-8", "surrogatepass"))
    return base64.urlsafe_b64encode(payload + _digest(payload, binding)).rstrip(b"=").decode("ascii")


def decode_cursor(cursor: str, binding: bytes) -> CursorPosition:
    """Read a cursor that `encode_cursor` made with the same binding. Raises InvalidCursor."""
    if len(cursor) > MAX_CURSOR or not cursor.isascii():
        raise InvalidCursor
    try:
        whole = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise InvalidCursor from None
    payload, digest = whole[:-_DIGEST], whole[-_DIGEST:]
    if digest != _digest(payload, binding):
        raise InvalidCursor
    number, nul, name = payload.partition(b"\0")
    # Anybody can make a digest, so what is left is looked at like any other input; a place has one spelling.
    if not nul or not number.isdigit() or len(number) > _DIGITS or number[:1] == b"0":
        raise InvalidCursor
    if base64.urlsafe_b64encode(whole).rstrip(b"=").decode("ascii") != cursor:
        raise InvalidCursor
    try:
        return CursorPosition(int(number), name.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        raise InvalidCursor from None


def encode_part_cursor(inner: str, binding: bytes) -> str:
    """The cursor of what follows in a list that somebody else cuts into pages, whose own cursor is ``inner``."""
    payload = inner.encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(payload + _digest(payload, binding)).rstrip(b"=").decode("ascii")


def decode_part_cursor(cursor: str, binding: bytes) -> str:
    """The cursor that `encode_part_cursor` was given with the same binding. Raises InvalidCursor."""
    if len(cursor) > MAX_PART_CURSOR or not cursor.isascii():
        raise InvalidCursor
    try:
        whole = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        payload, digest = whole[:-_DIGEST], whole[-_DIGEST:]
        if digest != _digest(payload, binding):
            raise InvalidCursor
        return payload.decode("utf-8", "surrogatepass")
    except ValueError:
        raise InvalidCursor from None


def _digest(payload: bytes, binding: bytes) -> bytes:
    framed = b"dovetail cursor 2\0%d\0" % len(binding) + binding + payload
    return _sha256(framed)[:_DIGEST]


def _sha256(data: bytes) -> bytes:
    import hashlib  # most lists have one page

    return hashlib.sha256(data).digest()


def resume(names: Sequence[str], place: CursorPosition) -> int:
    """How many of the items with these names come before the page that starts at a place.

    0 to their number, whatever the place says.
    """
    after, name = place
    if after <= len(names) and shortened(names[after - 1]) == name:
        return after
    for index, each in enumerate(names):
        if each == name or (len(each) > MAX_NAME and shortened(each) == name):
            return index + 1
    return min(after - 1, len(names))


def page(items: Sequence[T], start: int, size: int) -> ItemPage[T]:
    """Cut one page out of a list: ``size`` items, after the first ``start``.

    A start beyond the end gives an empty last page: the list shrank meanwhile.
    Raises ValueError if ``size`` is not positive or ``start`` is negative.
    """
    if size < 1 or start < 0:
        raise ValueError("a page needs a positive size and a start of zero or more")
    end = start + size
    return ItemPage(items[start:end], end if end < len(items) else None)
