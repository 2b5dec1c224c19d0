"""Server-sent events: an encoder and an incremental parser.

Theory of operation. The encoder is one ``join``: a message from our codec holds no newline, so
the common event is a single ``data`` line; anything else is split as the format asks.

The parser is fed chunks as they come from a socket, cut at any byte. Lines end in LF, CR or
CRLF. A CR at the end of a chunk ends its line at once (the event is not held back to wait for a
byte that may never come) and an LF at the start of the next chunk is then swallowed. An
unfinished line and the data of an unfinished event live in two growing buffers, so no byte is
copied more than a fixed number of times and parsing takes time linear in the input. Both
buffers together are bounded; beyond the bound the parser fails for good with `EventTooLarge`.

Data stays bytes: whether it is JSON, and UTF-8, is for the codec to say.

Specification: basic/transports (Streamable HTTP, and HTTP+SSE of 2024-11-05); the format itself
is the "Server-sent events" section of the WHATWG HTML standard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..errors import MessageTooLarge

__all__ = [
    "DEFAULT_MAX_EVENT_BYTES",
    "EventTooLarge",
    "SSEParser",
    "ServerSentEvent",
    "comment",
    "encode_event",
    "priming_event",
]

DEFAULT_MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
"""Bytes one event may take while it is being read, by default (4 MiB)."""

_LF: Final = 0x0A  # one byte is sought as a number: as a bytes object it costs ten times as much
_CR: Final = 0x0D
_BOM: Final = b"\xef\xbb\xbf"
_RETRY_LIMIT: Final = 2**31 - 1
_RETRY_DIGITS: Final = 10


class EventTooLarge(MessageTooLarge):
    """One event outgrew the parser's bound. The parser is unusable afterwards; end the stream.

    ``limit`` is the bound in bytes; ``events`` holds the events completed by the same chunk
    before the large one, which are still good.
    """

    def __init__(self, limit: int, events: list[ServerSentEvent]) -> None:
        super().__init__(f"an event of the stream exceeds {limit} bytes; the stream cannot be read further")
        self.limit = limit
        self.events = events


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One dispatched event.

    ``data``: the data lines joined by LF, possibly empty (a priming event has empty data).
    ``event``: the event type, ``"message"`` unless the stream named one.
    ``id``: the stream's last event id when this event was dispatched; ``""`` if it never set one.
    """

    data: bytes
    event: str = "message"
    id: str = ""


def encode_event(
    data: bytes, *, event: bytes | None = None, id: str | None = None, retry: int | None = None
) -> bytes:
    """Encode one event, ending in the blank line that dispatches it.

    ``data`` may hold line breaks (LF, CR, CRLF): it is sent as several data lines and arrives
    with LF in their place. ``event`` is the type, left out when None. ``id`` becomes the
    reader's last event id. ``retry`` is in milliseconds.

    Raises ValueError if ``event`` or ``id`` holds a line break or NUL, or ``retry`` is negative.
    """
    plain = _LF not in data and _CR not in data
    if plain and event is None and id is None and retry is None:
        return b"data: %b\n\n" % data
    parts: list[bytes] = []
    if event is not None:
        _refuse_breaks("event type", event)
        parts += (b"event: ", event, b"\n")
    if id is not None:
        encoded = id.encode("utf-8")
        _refuse_breaks("event id", encoded)
        parts += (b"id: ", encoded, b"\n")
    if retry is not None:
        if retry < 0:
            raise ValueError(f"retry is {retry}; give milliseconds, zero or more")
        parts.append(b"retry: %d\n" % retry)
    if not plain:
        for line in data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
            parts += (b"data: ", line, b"\n")
        parts.append(b"\n")
    else:
        parts += (b"data: ", data, b"\n\n")
    return b"".join(parts)


def priming_event(id: str, retry: int | None = None) -> bytes:
    """Encode the event that primes a client to resume: an id and an empty data field.

    Specification: 2025-11-25 basic/transports, "Sending Messages to the Server".
    """
    return encode_event(b"", id=id, retry=retry)


def comment(text: bytes = b"") -> bytes:
    """Encode a comment, which readers ignore; used to keep an idle stream alive.

    ``text`` may hold line breaks: each line becomes a comment line of its own.
    """
    if not text:
        return b":\n\n"
    lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return b"".join([b": " + line + b"\n" for line in lines]) + b"\n"


def _refuse_breaks(what: str, value: bytes) -> None:
    if b"\n" in value or b"\r" in value or b"\0" in value:
        raise ValueError(f"the {what} of a server-sent event holds a line break or NUL; remove it")


class SSEParser:
    """Incremental parser of one event stream.

    ``max_event_bytes`` bounds what is kept for one event: its data and type, and the line being
    read (default 4 MiB). Comments are not kept and may be any number.

    ``last_event_id`` is the id to resume from: that of the last finished block that set one, ``""``
    at the start. ``retry`` is the reconnection time in milliseconds the stream asked for, or None;
    values beyond 2**31 - 1 are read as that.
    """

    def __init__(self, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        if max_event_bytes < 1:
            raise ValueError("max_event_bytes must be at least 1")
        self.last_event_id = ""
        self.retry: int | None = None
        self._limit = max_event_bytes
        self._line = bytearray()
        self._data = bytearray()
        self._has_data = False
        self._event = ""
        self._id = ""
        self._after_cr = False
        self._at_start = True
        self._finished = False

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Read the next bytes of the stream; return the events they complete, in order.

        Raises EventTooLarge (then the parser is finished), or ValueError if it is finished already.
        """
        if self._finished:
            raise ValueError("this event stream is finished; make a new parser for a new stream")
        events: list[ServerSentEvent] = []
        if not chunk:
            return events
        if self._after_cr and chunk[0] == 0x0A:
            chunk = chunk[1:]
        self._after_cr = False
        for piece in chunk.splitlines(keepends=True):
            text = piece.rstrip(b"\r\n")
            if self._used() + len(text) > self._limit:
                self.close()
                raise EventTooLarge(self._limit, events)
            if len(text) == len(piece):
                self._line += piece
                break
            if self._line:
                self._line += text
                text = bytes(self._line)
                self._line.clear()
            self._take_line(text, events)
        if chunk.endswith(b"\r"):
            self._after_cr = True
        return events

    def close(self) -> bool:
        """Finish the stream and free its buffers. True if an unfinished event was dropped."""
        cut = bool(self._line) or self._has_data
        self._finished = True
        self._line.clear()
        self._reset()
        return cut

    def _used(self) -> int:
        return len(self._line) + len(self._data) + len(self._event)

    def _reset(self) -> None:
        self._data.clear()
        self._has_data = False
        self._event = ""

    def _take_line(self, line: bytes, events: list[ServerSentEvent]) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch(events)
            return
        name, colon, value = line.partition(b":")
        if colon and not name:
            return
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data += value
            self._data += b"\n"
            self._has_data = True
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            digits = value.lstrip(b"0") or b"0"
            self.retry = _RETRY_LIMIT if len(digits) > _RETRY_DIGITS else min(int(digits), _RETRY_LIMIT)

    def _dispatch(self, events: list[ServerSentEvent]) -> None:
        self.last_event_id = self._id
        if self._has_data:
            del self._data[-1]
            events.append(ServerSentEvent(bytes(self._data), self._event or "message", self._id))
        self._reset()
