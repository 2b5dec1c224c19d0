"""Heads of answers that come again, and need not be parsed again.

Theory of operation. A server says nearly the same before each of its answers. What the parser made of the last head on
a connection is kept; an answer that begins with the same bytes, but for the length of its body, and brings all of that
body along, is what the parser would make of it. Anything else goes to the parser, which alone says what is HTTP.
Specification: RFC 9112, sections 4, 5 and 6.3.
"""

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["BODILESS", "RepeatedAnswerHead"]

BODILESS: Final = frozenset({204, 304})
"""Statuses of answers that have no body, whatever their heads say."""

#: Bytes of a head that is kept, and digits of a length that is looked at.
_MAX_HEAD: Final = 4096
_MAX_DIGITS: Final = 9
_END: Final = b"\r\n\r\n"
_LENGTH: Final = "content-length"
_LENGTH_LINE: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)\r\n", re.IGNORECASE)
#: What has more to be done with a body than to take it.
_CODINGS: Final = frozenset({"content-encoding", "transfer-encoding"})


class RepeatedAnswerHead:
    """The head of an answer as the parser read it, for the next ones on its connection."""

    __slots__ = ("_after", "_before", "_first", "_headers", "_size", "status")

    def __init__(self, before: bytes, after: bytes, status: int, headers: Mapping[str, str]) -> None:
        length = headers[_LENGTH]
        self.status: Final = status
        self._first = b"%b%b%b" % (before, length.encode("ascii"), after)
        self._size = len(self._first) + int(length)
        self._before = before
        self._after = after
        self._headers = dict(headers)

    @classmethod
    def of(cls, data: bytes, status: int, headers: Mapping[str, str]) -> "RepeatedAnswerHead | None":
        """That of the one whole answer that ``data`` is, which was read as ``status`` and ``headers``. None where there
        is more to it than to know its bytes.
        """
        end = data.find(_END, 0, _MAX_HEAD)
        if end < 0 or status in BODILESS or data.count(b"\n", 0, end) != data.count(b"\r\n", 0, end):
            return None  # after a line that ends otherwise, the parser may have found the end elsewhere
        length = _LENGTH_LINE.search(data, 0, end + 2)
        if length is None or len(data) - end - len(_END) != int(length[1][:_MAX_DIGITS]):
            return None
        if headers.get(_LENGTH) != length[1].decode("ascii") or not _CODINGS.isdisjoint(headers):
            return None
        at, to = length.span(1)
        return cls(data[:at], data[to : end + len(_END)], status, headers)

    def read(self, data: bytes) -> tuple[dict[str, str], bytes] | None:
        """Headers and body of the one whole answer that ``data`` is; None for anything else."""
        first = self._first
        if len(data) == self._size and data.startswith(first):
            return self._headers.copy(), data[len(first) :]
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        at = len(before)
        end = data.find(b"\r", at, at + _MAX_DIGITS + 1)
        length = data[at:end]
        if end < 0 or not length.isdigit() or not data.startswith(after, end):
            return None
        begin = end + len(after)
        if len(data) - begin != int(length):
            return None
        headers = self._headers.copy()
        headers[_LENGTH] = length.decode("ascii")
        return headers, data[begin:]
