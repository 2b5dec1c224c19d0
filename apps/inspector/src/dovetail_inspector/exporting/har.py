"""HTTP exchanges of a capture as an HTTP Archive, which browsers and proxies read.

Theory of operation. An exchange is an entry as soon as it has ended, so entries stand in the order of their ends; what
has no answer has the status 0, as browsers have it. The events of a stream are its body, written as the format has
them, and besides each by itself in ``_eventSourceMessages``, as in archives of browsers. Numbers of lines are in
``_records``. Messages of other transports are no HTTP, so they are counted and not here.

What the capture does not know is said so: sizes of heads are -1. A document's line is written when it has ended, so its
``receive`` is 0 and all of its time is in ``wait``.

Specification: HTTP Archive 1.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final
from urllib.parse import parse_qsl, urljoin, urlsplit

from msgspec import UNSET, Struct, field

from dovetail.recording import CaptureHeader, CaptureLine, HTTPPart

from .moments import Moments

__all__ = ["MAX_BODY", "MAX_OPEN", "har"]

MAX_BODY: Final = 16 * 1024 * 1024
"""Bytes of events that an entry has; of what comes later it says how many there were."""
MAX_EVENTS: Final = 100_000
"""Events that an entry has."""
MAX_OPEN: Final = 1_000
"""Exchanges without an end that are held; beyond these the oldest is written as it is."""
MAX_HELD: Final = 64 * 1024 * 1024
"""Bytes of these that are held."""
_EVENTS: Final = "text/event-stream"
_CENTURY: Final = 3.2e9
_NOWHERE: Final = "http://unknown.invalid"


class _OpenEntry(Struct):
    """An exchange that has not ended."""

    request: CaptureLine
    part: HTTPPart
    origin: str
    began: float = 0.0
    status: int = 0
    headers: dict[str, str] = {}
    text: list[str] = field(default_factory=list[str])
    encoding: str = ""
    size: int = 0
    left_out: int = 0
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    records: list[int] = field(default_factory=list[int])
    comment: str = ""


def har(header: CaptureHeader, lines: Iterable[CaptureLine]) -> Iterator[bytes]:
    """The archive, in pieces: a JSON document of its own. Never raises for what the lines say."""
    archive = _Archive(Moments(header.began))
    creator = {"name": "dovetail-inspector", "version": _version()}
    yield f'{{"log":{{"version":"1.2","creator":{json.dumps(creator)},"entries":['.encode()
    comma = ""
    for line in lines:
        for entry in archive.line(line):
            yield f"{comma}\n{json.dumps(entry)}".encode()
            comma = ","
    for entry in archive.rest():
        yield f"{comma}\n{json.dumps(entry)}".encode()
        comma = ","
    yield f'],"comment":{json.dumps(archive.comment(header))}}}}}\n'.encode()


class _Archive:
    """The exchanges that are open, and what was counted."""

    def __init__(self, moments: Moments) -> None:
        self._moments = moments
        self._open: dict[int, _OpenEntry] = {}
        self._origins: dict[int, str] = {}
        self._others = 0
        self._held = 0

    def comment(self, header: CaptureHeader) -> str:
        """What the archive says of itself."""
        secrets = "without" if header.redacted else "with"
        said = f"Made of a capture of the Model Context Protocol, {secrets} its secrets."
        if self._others:
            said += (
                f" {self._others} messages of it went over pipes or in memory; they are no HTTP, so they are"
                " not here: export the capture as JSON lines for them."
            )
        return said

    def line(self, line: CaptureLine) -> Iterator[dict[str, Any]]:
        """Take a line; gives the entries that are whole."""
        if line.mark is not UNSET:
            if line.mark == "open" and len(self._origins) < MAX_OPEN:
                self._origins[line.link] = line.target
            return
        part = line.http
        if part is None:
            self._others += 1
        elif part.method:
            if part.exchange in self._open:
                yield self._closed(part.exchange, line.seconds, "its end is not in the capture")
            found = _OpenEntry(request=line, part=part, origin=self._origins.get(line.link, ""))
            found.records.append(line.n)
            self._held += _length(line)
            self._open[part.exchange] = found
        elif (entry := self._open.get(part.exchange)) is not None:
            self._take(entry, line, part)
            if part.end:
                broken = "the response broke off" if part.end == "broken" else ""
                yield self._closed(part.exchange, line.seconds, broken)
        while len(self._open) > MAX_OPEN or (self._held > MAX_HELD and self._open):
            yield self._closed(next(iter(self._open)), line.seconds, "what came of it later is not here")

    def rest(self) -> Iterator[dict[str, Any]]:
        """The entries that have no end."""
        for exchange, entry in tuple(self._open.items()):
            end = max(entry.began, entry.request.seconds)
            yield self._closed(exchange, end, "its end is not in the capture")

    def _closed(self, exchange: int, end: float, comment: str) -> dict[str, Any]:
        entry = self._open.pop(exchange)
        entry.comment = comment
        self._held -= _length(entry.request) + entry.size
        return self._entry(entry, end)

    def _take(self, entry: _OpenEntry, line: CaptureLine, part: HTTPPart) -> None:
        """What came of a response."""
        if part.status:
            entry.began, entry.status, entry.headers = line.seconds, part.status, part.headers
        text, encoding = _text_of(line)
        data, stream = text, _is_stream(entry)
        if stream and (text or part.event or part.id):
            text = _event(part, data)
        size = len(text.encode("utf-8", "surrogatepass"))
        if stream and (entry.size + size > MAX_BODY or len(entry.events) >= MAX_EVENTS):
            entry.left_out += size
            return
        entry.records.append(line.n)
        entry.left_out += line.omitted
        if not text:
            return
        entry.text.append(text)
        entry.encoding = encoding
        entry.size += size
        self._held += size
        if stream:
            entry.events.append(
                {
                    "time": self._moments.nanoseconds(line.seconds) / 1_000_000_000,
                    "eventName": part.event or "message",
                    "eventId": part.id,
                    "data": data,
                    "_record": line.n,
                }
            )

    def _entry(self, entry: _OpenEntry, end: float) -> dict[str, Any]:
        start = entry.request.seconds
        wait = _milliseconds((entry.began or end) - start)
        receive = _milliseconds(end - entry.began) if entry.began else 0.0
        found: dict[str, Any] = {
            "startedDateTime": self._moments.iso(start),
            "time": wait + receive,
            "request": _request(entry),
            "response": _response(entry),
            "cache": {},
            "timings": {"blocked": -1, "dns": -1, "connect": -1, "send": 0, "wait": wait, "receive": receive},
            "connection": str(entry.request.link),
            "_records": entry.records,
            "_revision": entry.request.revision,
        }
        if entry.events:
            found["_resourceType"] = "eventsource"
            found["_eventSourceMessages"] = entry.events
        comments = [entry.comment] if entry.comment else []
        if entry.left_out:
            comments.append(f"{entry.left_out} bytes of the body are not here")
        if comments:
            found["comment"] = "; ".join(comments)
        return found


def _request(entry: _OpenEntry) -> dict[str, Any]:
    text, encoding = _text_of(entry.request)
    headers = entry.part.headers
    url = _url(entry)
    found: dict[str, Any] = {
        "method": entry.part.method,
        "url": url,
        "httpVersion": "HTTP/1.1",
        "cookies": _cookies(headers.get("cookie", "")),
        "headers": _pairs(headers.items()),
        "queryString": _pairs(_query(url)),
        "headersSize": -1,
        "bodySize": entry.request.omitted or len(entry.request.body if entry.request.body is not UNSET else text),
    }  # fmt: skip
    if text or entry.request.omitted:
        found["postData"] = {"mimeType": headers.get("content-type", ""), "params": [], "text": text}
        if encoding:
            found["postData"]["comment"] = f"encoded in {encoding}"
        if entry.request.omitted:
            found["postData"]["comment"] = f"{entry.request.omitted} bytes are not in the capture"
    return found


def _response(entry: _OpenEntry) -> dict[str, Any]:
    try:
        phrase = HTTPStatus(entry.status).phrase
    except ValueError:
        phrase = ""
    content: dict[str, Any] = {
        "size": entry.size + entry.left_out,
        "mimeType": entry.headers.get("content-type", ""),
        "text": "".join(entry.text),
    }
    if entry.encoding:
        content["encoding"] = entry.encoding
    return {
        "status": entry.status,
        "statusText": phrase,
        "httpVersion": "HTTP/1.1",
        "cookies": _cookies(entry.headers.get("set-cookie", "")),
        "headers": _pairs(entry.headers.items()),
        "content": content,
        "redirectURL": entry.headers.get("location", ""),
        "headersSize": -1,
        "bodySize": -1 if entry.left_out or not entry.status else entry.size,
    }


def _length(line: CaptureLine) -> int:
    return len(_text_of(line)[0])


def _is_stream(entry: _OpenEntry) -> bool:
    return entry.headers.get("content-type", "").partition(";")[0].strip().lower() == _EVENTS


def _event(part: HTTPPart, data: str) -> str:
    """A server-sent event as it is written."""
    lines = [f"event: {part.event}"] if part.event else []
    lines += [f"id: {part.id}"] if part.id else []
    lines += [f"data: {each}" for each in data.split("\n")]
    return "\n".join([*lines, "", ""])


def _text_of(line: CaptureLine) -> tuple[str, str]:
    """The message of a line as text, and how it is encoded."""
    if line.body is not UNSET:
        return bytes(line.body).decode("utf-8", "replace"), ""
    return (line.base64, "base64") if line.base64 else (line.text, "")


def _url(entry: _OpenEntry) -> str:
    """The whole address of a request, as far as it is known."""
    target = entry.part.target
    try:
        origin = entry.origin if urlsplit(entry.origin).scheme in ("http", "https") else ""
        url = urljoin(origin or _NOWHERE, target)
        return url if urlsplit(url).scheme in ("http", "https") else f"{_NOWHERE}/"
    except ValueError:
        return f"{_NOWHERE}/"


def _query(url: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(urlsplit(url).query, keep_blank_values=True)
    except ValueError:
        return []


def _cookies(text: str) -> list[dict[str, str]]:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(text)
    except CookieError:
        return []
    return [{"name": name, "value": each.value} for name, each in jar.items()]


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs]


def _milliseconds(seconds: float) -> float:
    return round(min(max(seconds, 0.0), _CENTURY) * 1_000, 6)


def _version() -> str:
    try:
        return version("dovetail-inspector")
    except PackageNotFoundError:
        return "0"
