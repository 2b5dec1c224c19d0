"""The format of a capture: a line that says what it is, then one line for each message, all of them JSON objects.

Theory of operation. The first line is a `CaptureHeader`, each other one a `CaptureLine`. Who reads knows lines by their
members and lets pass what it does not know, so members may be added; the number of the format changes where old readers
would take a line for something else. ``capture.schema.json`` beside this file says the same as a JSON Schema.

Specification: none; docs/recording.md, "The format".
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

__all__ = [
    "FORMAT",
    "CaptureHeader",
    "CaptureInvalid",
    "CaptureLine",
    "HTTPPart",
    "Mark",
    "Sender",
    "capture_schema",
    "encode_line",
]

FORMAT: Final = 1
"""The number of the format that is written, and the highest that is read."""

Sender = Literal["client", "server"]
Mark = Literal["open", "close", "limit", "stderr", "fault"]


class CaptureInvalid(ValueError):
    """A file is no capture, or not one that can be read here; the text names the line and says why."""


class CaptureHeader(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first line. ``capture``: the number of the format. ``began``: when, as RFC 3339 in UTC. ``software``: what
    wrote it. ``place``: where it listened: in a client, in a server, between the pipes of a host and a server, or as an
    HTTP relay. ``redacted``: whether secrets were looked for.
    """

    capture: int
    began: str
    software: str = ""
    place: Literal["client", "server", "pipe", "relay", ""] = ""
    redacted: bool = True


class HTTPPart(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of HTTP a line belongs to. ``exchange``: the number of the request within the capture, which its response
    and each event of that have, too. A request has ``method`` and ``target`` (path and query), a response ``status``,
    both ``headers`` (names in lower case). ``event``: the type of a server-sent event, ``id`` its id; ``end``: the
    response ended, "complete" or "broken" off.
    """

    exchange: int
    method: str = ""
    target: str = ""
    status: int = 0
    headers: dict[str, str] = {}
    event: str = ""
    id: str = ""
    end: Literal["complete", "broken", ""] = ""


class CaptureLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message, or (``mark``) something else that happened.

    ``n``: its number, from 1. ``seconds``: since the capture began, by a clock that is never set; ``time``: when, as
    RFC 3339 in UTC. ``link``: the number of the connection, or session; ``transport``: "stdio", "http", "sse", "unix"
    or "memory". ``sender``: who said it. ``revision`` and ``era``: in which it was said, as far as that was known.

    A message is in one of these: ``body``, where it is JSON; ``text``, where it is other text; ``base64``, where it is
    none. ``omitted``: how many bytes it had, where it was too long to be kept. ``mark``: "open" (a link began;
    ``target`` says to what), "close" (it ended), "limit" (the capture is full, and nothing that came later is in it),
    "stderr" (``text`` is a line that a server which was started wrote to standard error), "fault" (a relay was told to
    disturb what passes: ``target`` says how; a message in it is what was passed on in place of another).
    """

    n: int
    seconds: float
    time: str
    link: int = 0
    transport: str = ""
    sender: Sender | UnsetType = UNSET
    revision: str = ""
    era: str = ""
    http: HTTPPart | None = None
    body: Raw | UnsetType = UNSET
    text: str = ""
    base64: str = ""
    omitted: int = 0
    mark: Mark | UnsetType = UNSET
    target: str = ""

    @property
    def value(self) -> Any:
        """The message as plain values; None where it is no JSON, or none that can be read: with a number that is too
        large, or nested too deep.
        """
        if self.body is UNSET:
            return None
        try:
            return _any.decode(self.body)
        except (msgspec.MsgspecError, RecursionError):
            return None

    @property
    def data(self) -> bytes:
        """The message as bytes; empty where the line has none. Raises ValueError for ``base64`` that is none."""
        if self.body is not UNSET:
            return bytes(self.body)
        if self.base64:
            try:
                return base64.b64decode(self.base64, validate=True)
            except binascii.Error as problem:
                raise ValueError(f"the base64 of line {self.n} can't be read: {problem}") from None
        return self.text.encode()


_any: Final = msgspec.json.Decoder()
_encoder: Final = msgspec.json.Encoder()


def encode_line(line: CaptureHeader | CaptureLine) -> bytes:
    """A line as bytes, its line end included."""
    return _encoder.encode(line) + b"\n"


def capture_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the format: each line of a capture is an instance of it."""
    return _any.decode(Path(__file__).with_name("capture.schema.json").read_bytes())
