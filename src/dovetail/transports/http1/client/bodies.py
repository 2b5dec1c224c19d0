"""Bodies that come compressed, a bounded piece at a time.

Theory of operation. We ask for gzip and deflate, so these are undone; a body in any other encoding can't be read. A
few bytes may swell to thousands of times their size, so no step gives more than `PIECE` bytes, and whoever reads
counts. A gzip body may have several members, one after the other; deflate comes with and without zlib's frame.
Specification: RFC 9110 section 8.4.1; RFC 1950 to 1952.
"""

import zlib
from typing import Any, Final

__all__ = ["PIECE", "Unpacker", "unpacker_for"]

PIECE: Final = 256 * 1024
"""Bytes that one step gives at most (256 KiB)."""

_GZIP: Final = 31
_ZLIB: Final = 15
_BARE: Final = -15
_DEFLATED: Final = 8


class Unpacker:
    """Undoes one encoding, ``gzip`` or ``deflate``. Raises `zlib.error` for what is not in it."""

    def __init__(self, encoding: str) -> None:
        self._gzip = encoding != "deflate"
        self._inner: Any = None
        self._left = b""
        self._full = False

    @property
    def fed(self) -> bool:
        """Whether there may be more to come without any more input."""
        return self._full or bool(self._left)

    @property
    def whole(self) -> bool:
        """Whether what came so far may be all there is."""
        return self._inner is None and not self._left

    def feed(self, data: bytes) -> bytes:
        """The next piece of the body; empty if more input is needed. ``data`` may be empty."""
        data = self._left + data if self._left else data
        piece = b""
        while (data or self._full) and not piece:
            if self._inner is None:
                self._inner = zlib.decompressobj(_GZIP if self._gzip else _frame(data))
            piece = self._inner.decompress(data, PIECE)
            data = self._inner.unconsumed_tail
            self._full = len(piece) == PIECE  # then there may be more inside
            if self._inner.eof:
                data, self._inner, self._full = self._inner.unused_data, None, False
                if data and not self._gzip:
                    raise zlib.error("there is more after the end")
        self._left = data
        return piece


def unpacker_for(encoding: str) -> Unpacker | None:
    """What undoes a Content-Encoding; None where nothing is to be undone. Raises `zlib.error` for any other."""
    plain = encoding.strip().lower()
    if plain in ("", "identity"):
        return None
    if plain in ("gzip", "x-gzip", "deflate"):
        return Unpacker(plain)
    raise zlib.error("an encoding that was not asked for")


def _frame(data: bytes) -> int:
    return _ZLIB if data[0] & 0x0F == _DEFLATED else _BARE
