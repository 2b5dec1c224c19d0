"""What the heads of requests and answers say, for all connections of a server.

Targets and lines of heads come again and again, so a bounded number of them is remembered. Whole heads do, too: most
clients send that of their last request again, with another length of the body at most. What was parsed once is not
parsed again (`RepeatedHead`). The lines that tell where an answer ends (`FRAMING`) are never copied from an
application: it says them, and who writes the answer decides.

Specification: RFC 9112, sections 3.2, 4, 5 and 6.3; RFC 9110, section 5.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from ....logs import get_logger

log = get_logger("dovetail.http")

#: The fields that are told apart instead of being written (ASGI has servers ignore the last).
FRAMING: Final = frozenset({b"content-length", b"connection", b"transfer-encoding"})
_MAX_REMEMBERED: Final = 512
_MAX_LENGTH: Final = 256
#: Bytes of a head that is remembered whole, and digits of a length that is looked at in one.
_MAX_HEAD: Final = 4096
_MAX_DIGITS: Final = 9
_LENGTH_LINE: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)(?=\r\n)", re.IGNORECASE)
_BAD_NAME: Final = re.compile(rb"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#@]+)(/[^?#]*)?(?:\?([^#]*))?", re.IGNORECASE)

Target = tuple[str, bytes, bytes, bytes | None]


class RequestRefused(Exception):
    """A request that is answered with nothing but a status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Dropped:
    """In the place of a list of headers: for trailers, which have no say in what was decided by the head."""

    def __len__(self) -> int:
        return 0

    def append(self, _header: tuple[bytes, bytes]) -> None:
        """Nothing is kept."""


DROPPED: Final = Dropped()


def size_of(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    """Bytes of a head."""
    return sum([len(name) + len(value) for name, value in headers], len(url))


def check_version(version: str, headers: list[tuple[bytes, bytes]]) -> None:
    """HTTP/1.0 is served, but has no chunks: who sends them is read differently by others. Raises `RequestRefused`."""
    if version != "1.0":
        raise RequestRefused(505)
    if any(name == b"transfer-encoding" for name, _ in headers):
        raise RequestRefused(400)


def with_host(host: bytes, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers with the host of a target in the place of their own. Raises `RequestRefused` where they have several."""
    others = [header for header in headers if header[0] != b"host"]
    if len(headers) - len(others) > 1:
        raise RequestRefused(400)
    return [(b"host", host), *others]


class Targets:
    """What requests ask for, below ``root``, the path that the application is mounted at."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._raw_root = urllib.parse.quote(root, safe="/%:@!$&'()*+,;=~").encode()
        self._known: dict[bytes, Target] = {}

    def read(self, url: bytes) -> Target:
        """Path, raw path, query, and for a target with a host that host, which replaces the one in the headers. Raises
        `RequestRefused`.
        """
        found = self._known.get(url)
        if found is None:
            found = self._parse(url)
            if len(url) <= _MAX_LENGTH:
                if len(self._known) >= _MAX_REMEMBERED:
                    self._known.clear()
                self._known[url] = found
        return found

    def _parse(self, url: bytes) -> Target:
        host = None
        if url[:1] == b"/" or url == b"*":
            raw, _, query = url.partition(b"?")
        else:
            absolute = _ABSOLUTE.fullmatch(url)
            if absolute is None:
                raise RequestRefused(400)
            host, raw, query = absolute[1], absolute[2] or b"/", absolute[3] or b""
        if b"#" in url or not url.isascii():
            raise RequestRefused(400)
        path = raw.decode("ascii")
        if "%" in path:
            path = urllib.parse.unquote(path)
        return self._root + path, self._raw_root + raw, query, host


class RepeatedHead:
    """The head of a POST with a body, as the parser read it, for requests that say the same and bring all of their body
    along; the length of the body may differ.
    """

    __slots__ = ("_after", "_before", "_headers", "_place", "_scope")

    def __init__(self, before: bytes, after: bytes, scope: dict[str, Any], place: int) -> None:
        self._before = before
        self._after = after
        self._scope = scope
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._place = place

    @classmethod
    def of(cls, data: bytes, scope: Mapping[str, Any]) -> RepeatedHead | None:
        """That of the one whole request that ``data`` is. None where there is more to a head than to know its bytes."""
        end = data.find(b"\r\n\r\n", 0, _MAX_HEAD)
        if end < 0 or not data.startswith(b"POST "):
            return None
        length = _LENGTH_LINE.search(data, 0, end + 2)
        if length is None or len(data) - end - 4 != int(length[1][:_MAX_DIGITS]):
            return None
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        names = [name for name, _ in headers]
        if names.count(b"content-length") != 1 or b"expect" in names or b"transfer-encoding" in names:
            return None
        kept = {**scope, "headers": headers.copy()}
        at, to = length.span(1)
        return cls(data[:at], data[to : end + 4], kept, names.index(b"content-length"))

    def read(self, data: bytes) -> tuple[dict[str, Any], bytes] | None:
        """Scope and body of the one whole request that ``data`` is; None for anything else."""
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
        scope = self._scope.copy()
        headers = scope["headers"] = self._headers.copy()
        headers[self._place] = (b"content-length", length)
        return scope, data[begin:]


class Lines:
    """The lines of the heads of answers."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], bytes] = {}
        self._common: object = None
        self._common_lines = b""
        self._common_framing: dict[bytes, bytes] = {}

    def head(
        self,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        common: list[tuple[bytes, bytes]],
        framing: dict[bytes, bytes],
    ) -> list[bytes]:
        """The lines of a head, without those of `FRAMING`, which go to ``framing``, and without the empty one at its
        end. ``common`` are the headers of all answers. Raises ValueError for what can't be in a head.
        """
        if self._common is not common:  # uvicorn makes a new list every second
            self._renew(common)
        lines = [_STATUS_LINES.get(status) or _status_line(status), self._common_lines]
        if self._common_framing:
            framing.update(self._common_framing)
        known = self._known
        for header in headers:
            try:
                line = known.get(header)
            except TypeError:  # a list, which ASGI allows
                line = None
            if line is None:
                name, value = header
                line = self._line(name, value, framing)
            lines.append(line)
        return lines

    def _renew(self, common: list[tuple[bytes, bytes]]) -> None:
        lines: list[bytes] = []
        framing: dict[bytes, bytes] = {}
        for name, value in common:
            try:
                lines.append(self._line(name, value, framing))
            except ValueError as problem:  # it must not cost the answers
                log.error("a header of all answers is left out: %s", problem)
        self._common, self._common_lines, self._common_framing = common, b"".join(lines), framing

    def _line(self, name: bytes, value: bytes, framing: dict[bytes, bytes]) -> bytes:
        low = name.lower()
        if low in FRAMING:
            _tell(low, value, framing)
            return b""
        if not name or _BAD_NAME.search(name):
            raise ValueError(f"{name[:60]!r} can't be the name of a header")
        _check(name, value)
        line = b"%b: %b\r\n" % (low, value)
        if len(line) <= _MAX_LENGTH:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[name, value] = line
        return line


def _tell(name: bytes, value: bytes, framing: dict[bytes, bytes]) -> None:
    """Keep what a header says of where an answer ends. Raises ValueError."""
    before = framing.get(name)
    if name == b"content-length":
        if not value.isdigit() or (before is not None and int(before) != int(value)):
            raise ValueError(f"an answer can't have a length of {value[:60]!r}")
        framing[name] = value
    else:
        _check(name, value)
        framing[name] = value if before is None else before + b", " + value


def _check(name: bytes, value: bytes) -> None:
    if _BAD_VALUE.search(value):
        raise ValueError(f"the header {name[:60]!r} has a control character in its value")


def _status_line(status: int) -> bytes:
    """The first line of an answer whose status has no name."""
    if not 200 <= status <= 999:
        raise ValueError(f"{status} is not the status of an answer")
    return b"HTTP/1.1 %d \r\n" % status


_STATUS_LINES: Final = {
    each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus if each >= 200
}
