"""What the page asks of conversations: their records, what is made of them, exports and comparisons.

Specification: none; docs/inspector.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from dovetail.recording import CaptureHeader, CaptureLine

from ..comparing.captures import compare_captures
from ..exporting.har import har
from ..exporting.jsonl import jsonl, redacted
from ..exporting.otlp import otlp
from ..inspection import Inspection
from ..session.calls import CallRequest
from ..timeline.latencies import BOUNDS
from ..transcript.transcript import Transcript
from .answers import BadRequest, RouteRow, answer, body_of

__all__ = ["capture_routes"]

_MOST_RECORDS: Final = 2000
_PIECE: Final = 64 * 1024
_DIGITS: Final = 12


class _Sent(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    server: str
    body: Any


class _Renamed(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    name: str


class _Export(NamedTuple):
    """A form in which a conversation can be taken away."""

    media: str
    suffix: str
    write: Any


_EXPORTS: Final = {
    "jsonl": _Export("application/jsonl", "jsonl", jsonl),
    "har": _Export("application/json", "har", har),
    "otlp": _Export("application/json", "otlp.json", otlp),
}


def capture_routes(inspection: Inspection) -> list[RouteRow]:
    """Their rows."""
    here = _CaptureRoutes(inspection)
    return [
        ("GET", "/api/transcripts/{id}/records", here.records),
        ("GET", "/api/transcripts/{id}/records/{n}", here.record),
        ("GET", "/api/transcripts/{id}/timeline", here.timeline),
        ("GET", "/api/transcripts/{id}/export", here.export),
        ("GET", "/api/transcripts/{id}/findings", here.findings),
        ("POST", "/api/transcripts/{id}/send", here.send),
        ("PATCH", "/api/transcripts/{id}", here.rename),
        ("DELETE", "/api/transcripts/{id}", here.forget),
        ("POST", "/api/captures", here.open_capture),
        ("GET", "/api/compare/transcripts", here.compare),
    ]


class _CaptureRoutes:
    def __init__(self, inspection: Inspection) -> None:
        self._inspection: Final = inspection

    async def records(self, request: Request) -> Response:
        found = self._of(request)
        start, limit = _number(request, "start", 1), _number(request, "limit", 200)
        query = request.query_params.get("query", "")
        return answer(await asyncio.to_thread(found.page, start, min(limit, _MOST_RECORDS), query))

    async def record(self, request: Request) -> Response:
        given = request.path_params["n"]
        if not given.isdecimal() or len(given) > _DIGITS:
            raise LookupError("a record has a number")
        return answer(await asyncio.to_thread(self._of(request).detail, int(given)))

    async def timeline(self, request: Request) -> Response:
        found = await asyncio.to_thread(self._of(request).timeline)
        return answer(
            {
                "spans": found.spans,
                "latencies": found.latencies.rows(),
                "bounds": BOUNDS,
                "seconds": found.seconds,
                "dropped": found.dropped,
            }
        )

    async def findings(self, request: Request) -> Response:
        return answer({"rules": self._of(request).rules()})

    async def export(self, request: Request) -> Response:
        found = self._of(request)
        form = _EXPORTS.get(request.query_params.get("format", "jsonl"))
        redact = request.query_params.get("redact", "yes")
        if form is None or redact not in ("yes", "no"):
            raise BadRequest("format is jsonl, har or otlp; redact is yes or no")
        header: CaptureHeader = found.header
        lines: Iterable[CaptureLine] = _TranscriptLines(found)
        if redact == "yes":
            header, lines = redacted(header, lines)
        name = (
            "".join(each if each.isalnum() or each in "-_." else "-" for each in found.name)[:80] or "capture"
        )
        disposition = f'attachment; filename="{name.encode("ascii", "replace").decode()}.{form.suffix}"'
        return StreamingResponse(
            _pieces(form.write(header, lines)),
            media_type=form.media,
            headers={"content-disposition": disposition},
        )

    async def compare(self, request: Request) -> Response:
        a, b = (self._inspection.transcript(request.query_params.get(each, "")) for each in ("a", "b"))
        ignored = request.query_params.getlist("ignore")
        return answer(await asyncio.to_thread(compare_captures, a.lines, b.lines, ignored))

    async def send(self, request: Request) -> Response:
        """A message of the conversation once more, as it was or edited, to a server that is connected."""
        self._of(request)
        wanted = await body_of(request, _Sent)
        try:
            message = msgspec.convert(wanted.body, dict[str, Any])
            params = msgspec.convert(message.get("params"), dict[str, Any] | None)
            method = msgspec.convert(message.get("method"), str)
        except msgspec.ValidationError:
            raise BadRequest(
                "what is sent is a request or a notification: an object with a method and params"
            ) from None
        call = CallRequest(kind="request", method=method, params=params, notification="id" not in message)
        return answer(self._inspection.call(wanted.server, call), 201)

    async def rename(self, request: Request) -> Response:
        wanted = await body_of(request, _Renamed)
        return answer(self._inspection.rename(request.path_params["id"], wanted.name))

    async def forget(self, request: Request) -> Response:
        self._inspection.forget(request.path_params["id"])
        return answer({})

    async def open_capture(self, request: Request) -> Response:
        name = request.query_params.get("name", "a capture")
        return answer(self._inspection.take_capture(await request.body(), name[:200]), 201)

    def _of(self, request: Request) -> Transcript:
        return self._inspection.transcript(request.path_params["id"])


class _TranscriptLines:
    """The lines of a conversation, which can be iterated again."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript

    def __iter__(self) -> Iterator[CaptureLine]:
        return self._transcript.lines()


def _pieces(written: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces."""
    gathered = bytearray()
    for each in written:
        gathered += each
        if len(gathered) >= _PIECE:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


def _number(request: Request, name: str, default: int) -> int:
    """A number of the query. Raises `BadRequest`."""
    given = request.query_params.get(name)
    if given is None:
        return default
    if not given.isdecimal() or len(given) > _DIGITS:
        raise BadRequest(f"{name} is a number")
    return int(given)
