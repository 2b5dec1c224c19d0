"""Writing a capture: each message a line, at once, without its secrets, into a file that only its owner can read.

Theory of operation. A `CaptureWriter` has the file, a `CaptureLink` is one connection in it, a `CapturedExchange` one
HTTP request with what comes back. A line is written with one call of the system when its message passes, so a process
that is killed leaves all of them, the last perhaps torn. What fails (a full disk) ends the recording and is logged;
what is recorded goes on. The file is locked, so that two processes never write into one.

Specification: none; docs/recording.md.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal

from ..logs import get_logger
from ..protocol import names
from ..protocol.bindings.sse import EventTooLarge, SSEParser
from .contents import ENDPOINT, content_of, http_without_secrets
from .lines import FORMAT, CaptureHeader, CaptureLine, HTTPPart, Mark, Sender, encode_line
from .redaction import Redaction, Redactor, is_active
from .tracking import RevisionTracker, era_of

__all__ = ["MAX_BYTES", "MAX_MESSAGE", "CaptureLink", "CaptureWriter", "CapturedExchange"]

_log: Final = get_logger("dovetail.recording")

MAX_BYTES: Final = 256 * 1024 * 1024
"""Bytes of one capture, by default (256 MiB); what comes later is not in it."""

MAX_MESSAGE: Final = 16 * 1024 * 1024
"""Bytes of a message that is kept, by default (16 MiB); of a longer one only its length is."""

_LAST_LINE: Final = 1024


class CaptureWriter:
    """Writes a capture into a file, which is made anew: ``Client(..., record=CaptureWriter("talk.jsonl"))``.

    ``path``: the file; what it held is gone. It can be read and written by its owner alone (0600). ``redaction``: what
    is secret, and left out; by default what `Redaction` knows. ``max_bytes``: how long the file may get (256 MiB), and
    ``max_message`` one message of it (16 MiB). ``place``: where the messages come from. ``on_write``: called when lines
    were written, by whatever thread wrote them, so it must not block; what it raises is logged. Raises OSError for a
    file that can't be written, ValueError for bounds that are none or a path at which another process records.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        redaction: Redaction | None = None,
        max_bytes: int = MAX_BYTES,
        max_message: int = MAX_MESSAGE,
        place: Literal["client", "server", "pipe", "relay"] = "client",
        on_write: Callable[[], None] | None = None,
    ) -> None:
        if max_bytes < _LAST_LINE * 2 or max_message < 1:
            raise ValueError(f"max_bytes is at least {_LAST_LINE * 2}, max_message at least 1")
        self.path: Final = Path(path)
        rules = Redaction() if redaction is None else redaction
        self._redactor = Redactor(rules)
        self._exact = not is_active(rules)
        self._on_write = on_write
        self._max_bytes, self.max_message = max_bytes, max_message
        self._lock = Lock()
        self._began = time.monotonic()
        self._count = self._links = self._exchanges = self._size = 0
        self._file: int | None = _opened(self.path)
        self._write(
            encode_line(
                CaptureHeader(
                    capture=FORMAT,
                    began=_now(),
                    software=f"dovetail {_version()}",
                    place=place,
                    redacted=is_active(rules),
                )
            )
        )

    @property
    def recording(self) -> bool:
        """Whether messages are still written: not after `close`, after a failure, or beyond ``max_bytes``."""
        return self._file is not None

    def link(self, transport: str, target: str = "") -> CaptureLink:
        """A connection begins. ``transport``: its word for it; ``target``: what it leads to, for people."""
        with self._lock:
            self._links += 1
            number = self._links
        found = CaptureLink(self, number, transport)
        found.mark("open", target)
        return found

    def close(self) -> None:
        """Write nothing more. Idempotent."""
        with self._lock:
            self._shut()

    def next_exchange(self) -> int:
        """The number of another HTTP request."""
        with self._lock:
            self._exchanges += 1
            return self._exchanges

    def put(
        self,
        link: CaptureLink,
        sender: Sender,
        data: bytes | None,
        http: HTTPPart | None = None,
        headers: Iterable[tuple[str, str]] = (),
        stated: str = "",
        omitted: int = 0,
    ) -> None:
        """A message, or the part of HTTP alone where ``data`` is None. ``headers`` are those of ``http``, as they are;
        ``omitted``: how long a message was that is too long.
        """
        with self._lock:
            if self._file is None:
                return
            place = http is not None and http.event == ENDPOINT
            fields, value = (
                ({"omitted": omitted}, None)
                if omitted
                else content_of(self._redactor, data, self.max_message, exact=self._exact, place=place)
            )
            revision = link.tracker.heard(sender, value, stated)
            if http is not None:
                http = http_without_secrets(self._redactor, http, headers)
            self._add(
                link=link.number,
                transport=link.transport,
                sender=sender,
                revision=revision,
                era=era_of(revision),
                http=http,
                **fields,
            )

    def mark(self, link: CaptureLink, mark: Mark, target: str = "") -> None:
        """Something happened that is no message."""
        with self._lock:
            if self._file is not None:
                target = self._redactor.target(target)
                self._add(link=link.number, transport=link.transport, mark=mark, target=target)

    def stderr(self, link: CaptureLink, line: str) -> None:
        """A line of standard error."""
        with self._lock:
            if self._file is not None:
                data = line.encode("utf-8", "surrogateescape")
                fields: dict[str, Any] = (
                    {"omitted": len(data)}
                    if len(data) > self.max_message
                    else {"text": self._redactor.text(data.decode("utf-8", "replace"))}
                )
                self._add(link=link.number, transport=link.transport, mark="stderr", **fields)

    def fault(self, link: CaptureLink, about: str, data: bytes | None, http: HTTPPart | None) -> None:
        """What passes was disturbed on purpose."""
        with self._lock:
            if self._file is not None:
                fields, _ = content_of(self._redactor, data, self.max_message, exact=self._exact)
                about = self._redactor.text(about)
                self._add(
                    link=link.number,
                    transport=link.transport,
                    mark="fault",
                    target=about,
                    http=http,
                    **fields,
                )

    def _add(self, **members: Any) -> None:
        self._count += 1
        seconds = round(time.monotonic() - self._began, 9)
        line = encode_line(CaptureLine(n=self._count, seconds=seconds, time=_now(), **members))
        if self._size + len(line) > self._max_bytes - _LAST_LINE:
            last = CaptureLine(n=self._count, seconds=seconds, time=_now(), mark="limit")
            self._write(encode_line(last))
            self._shut()
            _log.warning(
                "the recording %s has %d bytes, and is not gone on with: raise max_bytes",
                self.path,
                self._size,
            )
            return
        self._write(line)

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest and self._file is not None:
                rest = rest[os.write(self._file, rest) :]
        except OSError as problem:
            self._shut()
            _log.error("the recording %s is not gone on with: %s", self.path, problem.strerror or problem)
        self._size += len(line)
        if self._on_write is not None:
            try:
                self._on_write()
            except Exception:  # noqa: BLE001 - a fault of whoever watches costs the recording nothing
                _log.exception("on_write= of the recording %s failed", self.path)

    def _shut(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def __del__(self) -> None:
        if vars(self).get("_file") is not None:
            self._shut()


class CaptureLink:
    """One connection in a capture. ``endpoint``: where its server said that messages go (HTTP+SSE), else empty."""

    def __init__(self, writer: CaptureWriter, number: int, transport: str) -> None:
        self.writer: Final = writer
        self.number: Final = number
        self.transport: Final = transport
        self.tracker: Final = RevisionTracker()
        self.endpoint = ""

    def message(self, sender: Sender, data: bytes) -> None:
        """A message on a channel that carries nothing but messages."""
        self.writer.put(self, sender, data)

    def request(
        self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes | None
    ) -> CapturedExchange:
        """An HTTP request; gives what its response is told to."""
        given = list(headers)
        exchange = self.writer.next_exchange()
        stated = next((value for name, value in given if name.lower() == names.HEADER_PROTOCOL_VERSION), "")
        http = HTTPPart(exchange=exchange, method=method, target=target)
        self.writer.put(self, "client", body, http, given, stated)
        return CapturedExchange(self, exchange, stated)

    def stderr(self, line: str) -> None:
        """A line that the server of this link wrote to standard error, without its line end."""
        self.writer.stderr(self, line)

    def fault(self, about: str, data: bytes | None = None, exchange: int = 0) -> None:
        """What passes was disturbed on purpose, and who reads the capture is to know: ``about`` says how, in words.
        ``data``: what was passed on in place of a message; ``exchange``: the number of the HTTP request it is about.
        """
        http = HTTPPart(exchange=exchange) if exchange else None
        self.writer.fault(self, about, data, http)

    def mark(self, mark: Mark, target: str = "") -> None:
        """Something happened that is no message."""
        self.writer.mark(self, mark, target)


class CapturedExchange:
    """The response to an HTTP request, told as it comes: `begin`, then `feed` for each piece of it, then `end`.

    A document is one line, when it has ended; of an event stream each event is one, when it has come.
    """

    def __init__(self, link: CaptureLink, number: int, stated: str = "") -> None:
        self._link = link
        self.number: Final = number
        self._stated = stated
        self._head: tuple[int, list[tuple[str, str]]] = (0, [])
        self._pieces: list[bytes] = []
        self._length = 0
        self._parser: SSEParser | None = None
        self._ended = False

    def begin(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """The head of the response is there."""
        self._head = (status, list(headers))
        kind = next((value for name, value in self._head[1] if name.lower() == "content-type"), "")
        if kind.partition(";")[0].strip().lower() == names.MEDIA_SSE:
            self._parser = SSEParser(self._link.writer.max_message)
            http = HTTPPart(exchange=self.number, status=status)
            self._link.writer.put(self._link, "server", None, http, self._head[1], self._stated)

    def feed(self, chunk: bytes) -> None:
        """A piece of the body, as it is without compression."""
        if self._ended:
            return
        if self._parser is None:
            self._length += len(chunk)
            if self._length <= self._link.writer.max_message:
                self._pieces.append(chunk)
            else:
                self._pieces.clear()
            return
        try:
            events = self._parser.feed(chunk)
        except EventTooLarge as problem:
            events = problem.events
            self._parser = SSEParser(
                self._link.writer.max_message
            )  # what follows is read from its next event on
        for event in events:
            if event.event == ENDPOINT:
                self._link.endpoint = event.data.decode("utf-8", "replace")
            kind = "" if event.event == "message" else event.event
            http = HTTPPart(exchange=self.number, event=kind, id=event.id)
            self._link.writer.put(self._link, "server", event.data, http, (), self._stated)

    def end(self, *, broken: bool = False) -> None:
        """The response has ended, or broke off. Idempotent."""
        if self._ended:
            return
        self._ended = True
        end: Any = "broken" if broken else "complete"
        status, headers = self._head
        if self._parser is not None:
            status, headers = 0, []  # they were told when they came
        http = HTTPPart(exchange=self.number, status=status, end=end)
        omitted = self._length if self._length > self._link.writer.max_message else 0
        data = b"".join(self._pieces)
        self._link.writer.put(self._link, "server", data, http, headers, self._stated, omitted)
        self._pieces.clear()


def _opened(path: Path) -> int:
    """The file, empty, ours alone. Raises OSError, and ValueError where another process writes it."""
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    file = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o600)
    try:
        if stat.S_ISREG(os.fstat(file).st_mode):
            _lock(file, path)
            if hasattr(os, "fchmod"):
                os.fchmod(file, 0o600)
            os.ftruncate(file, 0)
        return file
    except BaseException:
        os.close(file)
        raise


def _lock(file: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(f"another recording is being written to {str(path)!r}; name another file") from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _version() -> str:
    try:
        return version("dovetail")
    except PackageNotFoundError:
        return "0"
