"""What a server said, as rows that are safe to draw: text and a kind, no markup, no escapes, of a known width.

Theory of operation. A row is a list of pieces, and a piece is a text with the name of how it looks (`KINDS`). Nobody
reads markup out of it, so brackets are brackets. Characters on which a terminal acts are shown as escapes (the rules of
`dovetail.security.in_place`); so are those on whose width terminals don't agree: joiners, selectors of emoji, and marks
heaped upon one letter. JSON keeps to JSON's own escapes, so that what is shown can be edited and sent.

Specification: server/tools and client/elicitation, "Security Considerations".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

from dovetail.security import in_place, passage

try:
    from rich.cells import cell_len, chop_cells, set_cell_size
except ImportError:
    raise ImportError("the terminal face needs Textual: pip install 'dovetail-inspector[tui]'") from None

__all__ = [
    "KINDS",
    "Piece",
    "Row",
    "acts",
    "block",
    "cells",
    "counted",
    "fitted",
    "inline",
    "json_rows",
    "json_text",
    "size_text",
    "time_text",
    "wrapped",
]

Piece = tuple[str, str]
"""A text that is safe to draw, and one of `KINDS`."""
Row = list[Piece]

KINDS: Final = ("plain", "title", "key", "string", "number", "faint", "good", "warning", "error", "accent")

_LONGEST_INLINE: Final = 1000
_LONGEST_STRING: Final = 64 * 1024
_MOST_CHARACTERS: Final = 256 * 1024
_MOST_ROWS: Final = 10_000
_DEEPEST: Final = 60
_MARKS: Final = 4
_UNSURE: Final = re.compile("[\u200c\u200d\ufe00-\ufe0f\u20e3\U000e0100-\U000e01ef]")


def inline(text: str, most: int = _LONGEST_INLINE) -> str:
    """A text in one line, safe to draw; one that is longer than ``most`` characters is cut."""
    if len(text) > most:
        return f"{_drawn(in_place(text[:most]))}..."
    return _drawn(in_place(text))


def block(text: str, kind: str = "plain", most: int = _MOST_CHARACTERS) -> list[Row]:
    """A text of several lines, safe to draw; one that is longer than ``most`` characters is cut, and says so."""
    rows: list[Row] = [
        [(_drawn(each.expandtabs(4)), kind)] for each in passage(text[:most]).split("\n")[:_MOST_ROWS]
    ]
    if len(text) > most:
        rows.append(
            [(f"... {len(text):,} characters, of which {most:,} are shown; an export has all", "faint")]
        )
    elif len(rows) == _MOST_ROWS:
        rows.append([(f"... more than {_MOST_ROWS:,} lines; an export has all", "faint")])
    return rows


def json_text(value: Any) -> str:
    """A value as JSON to be edited: whole, the same value when read again, and nothing in it acts on a terminal."""
    return _escaped(json.dumps(value, indent=2, ensure_ascii=False))


def json_rows(value: Any, most: int = _MOST_CHARACTERS) -> list[Row]:
    """A value as JSON to be read; of one that is large, the beginning, and how much is missing."""
    return list(_JSONRows(most).rows(value))


def acts(text: str) -> bool:
    """Whether something in a text of several lines would act on a terminal, or is of a width that is unsure."""
    return (
        any(in_place(each) != each or _UNSURE.match(each) for each in set(text) - {"\n", "\r", "\t"})
        or _without_heaps(text) != text
    )


def cells(row: Row) -> int:
    """How many columns a row takes."""
    return sum(cell_len(text) for text, _ in row)


def fitted(text: str, width: int) -> str:
    """A text that is safe already, in exactly so many columns: filled up, or cut with an ellipsis."""
    if width <= 0:
        return ""
    length = cell_len(text)
    if length <= width:
        return text + " " * (width - length)
    return set_cell_size(text, width - 1) + "…"


def wrapped(rows: Iterable[Row], width: int) -> Iterator[Row]:
    """The rows, those that are wider than ``width`` broken, where there is one at a space."""
    width = max(width, 4)
    for row in rows:
        if sum(len(text) for text, _ in row) * 2 <= width or cells(row) <= width:
            yield row
            continue
        line: Row = []
        left = width
        for text, kind in row:
            for part in _parts(text, left, width):
                if part is None:
                    yield line
                    line, left = [], width
                else:
                    line.append((part, kind))
                    left -= cell_len(part)
        yield line


def counted(count: int, what: str) -> str:
    """So many of something, whose plural ends with an s."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def size_text(size: int) -> str:
    """A number of bytes for people."""
    if size < 1024:
        return f"{size} B"
    return f"{size / 1024:.1f} KiB" if size < 1024 * 1024 else f"{size / 1024 / 1024:.1f} MiB"


def time_text(seconds: float | None) -> str:
    """A duration for people."""
    if seconds is None:
        return ""
    if seconds < 0.001:
        return f"{seconds * 1_000_000:.0f} µs"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _parts(text: str, left: int, width: int) -> Iterator[str | None]:
    """Pieces of a text, the first of at most ``left`` columns, the others ``width``; None where a new line begins."""
    at = 0
    while at < len(text):
        # No column has more than a letter and its marks; what lies beyond is not looked at, for a text may be long.
        near = text[at : at + (left + 1) * (_MARKS + 1)]
        if at + len(near) == len(text) and cell_len(near) <= left:
            yield near
            return
        if left <= 0:
            yield None
            left = width
            continue
        head = near[:left] if near.isascii() else chop_cells(near, left)[0]
        if cell_len(head) > left:  # a wide character where one column is left
            yield None
            left = width
            continue
        space = head.rfind(" ")
        if space > len(head) // 2 and near[len(head) : len(head) + 1] != " ":
            head = head[: space + 1]
        yield head
        at += len(head)
        yield None
        left = width


def _drawn(text: str) -> str:
    """A safe text, of a width on which terminals agree."""
    if text.isascii():
        return text
    text = _UNSURE.sub(lambda found: _escape(found[0]), text)
    return _without_heaps(text)


def _without_heaps(text: str) -> str:
    from unicodedata import category

    marks = {each for each in set(text) if category(each) in ("Mn", "Me")}
    if not marks:
        return text
    found: list[str] = []
    heap = 0
    for each in text:
        heap = heap + 1 if each in marks else 0
        # One that stands before everything would be drawn upon what is not of this text.
        found.append(_escape(each) if heap > _MARKS or (heap and len(found) < heap) else each)
    return "".join(found)


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _escaped(text: str) -> str:
    """JSON in which characters that act, or whose width is unsure, stand as JSON's escapes."""
    if text.isascii() and "\x7f" not in text:
        return text
    acting = {
        ord(each): json.dumps(each)[1:-1] if each != "\x7f" else "\\u007f"
        for each in set(text)
        if (each == "\x7f" or not each.isascii()) and (in_place(each) != each or _UNSURE.match(each))
    }
    return text.translate(acting) if acting else text


class _JSONRows:
    """Writes one value; ``left``: characters that may still be written."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._rows = 0
        self._full = False

    def rows(self, value: Any) -> Iterator[Row]:
        yield from self._value(value, [], "", 0)
        if self._full:
            yield [("... and more, which is not shown here; an export has all", "faint")]

    def _value(self, value: Any, head: Row, comma: str, depth: int) -> Iterator[Row]:
        pad = "  " * depth
        if self._left <= 0 or self._rows >= _MOST_ROWS:
            self._full = True
            return
        self._rows += 1
        if isinstance(value, (dict, list)) and value:
            members = cast("dict[Any, Any] | list[Any]", value)
            opening, closing = "{}" if isinstance(members, dict) else "[]"
            if depth >= _DEEPEST:
                yield [(pad, "plain"), *head, (f"{opening} ... {closing}{comma}", "faint")]
                return
            yield [(pad, "plain"), *head, (opening, "plain")]
            yield from self._members(members, depth + 1)
            if not self._full:
                yield [(f"{pad}{closing}{comma}", "plain")]
            return
        yield [(pad, "plain"), *head, *self._plain(value), (comma, "plain")]

    def _members(self, members: dict[Any, Any] | list[Any], depth: int) -> Iterator[Row]:
        last = len(members) - 1
        pairs = members.items() if isinstance(members, dict) else ((None, each) for each in members)
        for at, (key, value) in enumerate(pairs):
            head: Row = [] if key is None else [(self._string(str(key))[0], "key"), (": ", "plain")]
            yield from self._value(value, head, "," if at < last else "", depth)
            if self._full:
                return

    def _plain(self, value: Any) -> Row:
        if isinstance(value, str):
            text, note = self._string(value)
            return [(text, "string"), (note, "faint")]
        text = _escaped(json.dumps(value, ensure_ascii=False, default=str))
        self._left -= len(text)
        return [(text, "number")]

    def _string(self, text: str) -> tuple[str, str]:
        most = max(min(_LONGEST_STRING, self._left), 80)
        shown = _without_heaps(_escaped(json.dumps(text[:most], ensure_ascii=False)))
        self._left -= len(shown)
        return shown, f" ({len(text):,} characters)" if len(text) > most else ""
