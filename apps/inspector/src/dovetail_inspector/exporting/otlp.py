"""Spans of a capture as OTLP in JSON, which trace viewers and collectors take.

Theory of operation. Each request is a span, with its questions, rounds, tasks and HTTP exchanges below it. Where a
request brought a ``traceparent``, its span is a child of what that names, in its trace; else each request has a trace
of its own, with an id that is made of the capture, so that an export gives the same ids each time. Names and attributes
are those of `dovetail.telemetry`.

A line of the export is a whole request to a collector, of at most `BATCH` spans; a short capture has one line, which is
a JSON document.

Specification: OpenTelemetry protocol 1.x, "JSON Protobuf Encoding"; OpenTelemetry, "Semantic conventions for Model
Context Protocol (MCP)"; W3C Trace Context.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from dovetail.recording import CaptureHeader, CaptureLine

from ..timeline.span import Span
from ..timeline.spans import Spans
from .moments import Moments

__all__ = ["BATCH", "otlp"]

BATCH: Final = 250
"""Spans of one line."""
_TRACEPARENT: Final = re.compile(
    r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?"
)
_SERVER, _CLIENT, _INTERNAL = 2, 3, 1
_FAILED, _FINE = 2, 0
_TRANSPORTS: Final = {
    "http": {"network.transport": "tcp", "network.protocol.name": "http"},
    "sse": {"network.transport": "tcp", "network.protocol.name": "http"},
    "stdio": {"network.transport": "pipe"},
    "unix": {"network.transport": "unix"},
}
_OUTCOMES: Final = {
    "ok": "ok",
    "failed": "tool_error",
    "error": "error",
    "broken": "error",
    "input-required": "input_required",
    "task": "task",
    "declined": "declined",
    "cancelled": "cancelled",
}
_NAMED: Final = {"tools/call": "gen_ai.tool.name", "prompts/get": "gen_ai.prompt.name"}


def otlp(header: CaptureHeader, lines: Iterable[CaptureLine]) -> Iterator[bytes]:
    """The lines of the export. Never raises for what the capture says."""
    traces = _Traces(header)
    batch: list[str] = []
    for line in lines:
        batch += traces.line(line)
        while len(batch) >= BATCH:
            yield traces.request(batch[:BATCH])
            del batch[:BATCH]
    batch += traces.rest()
    for at in range(0, len(batch), BATCH):
        yield traces.request(batch[at : at + BATCH])


class _Traces:
    """The spans of one capture, and the traces of those that are open."""

    def __init__(self, header: CaptureHeader) -> None:
        self._header = header
        self._moments = Moments(header.began)
        self._spans = Spans()
        self._known: dict[int, str] = {}

    def request(self, spans: list[str]) -> bytes:
        """Spans as a collector takes them."""
        resource = {
            "service.name": f"mcp-{self._header.place or 'capture'}",
            "dovetail.capture.began": self._header.began,
            "dovetail.capture.software": self._header.software,
        }
        scope = {"name": "dovetail.inspector", "version": _version()}
        head = f'{{"resourceSpans":[{{"resource":{_json({"attributes": _attributes(resource)})},'
        spans_of_scope = f'"scopeSpans":[{{"scope":{_json(scope)},"spans":[{",".join(spans)}]}}]'
        return f"{head}{spans_of_scope}}}]}}\n".encode()

    def line(self, line: CaptureLine) -> list[str]:
        """The spans that a line ended, as JSON."""
        found: list[str] = []
        for each in self._spans.line(line):
            self._note(each)
            if each.outcome:
                found += self._made(each)
        return found

    def rest(self) -> list[str]:
        """The spans that have no end: they last until the end of the capture."""
        return [made for each in self._spans.open for made in self._made(each)]

    def _note(self, span: Span) -> None:
        """Remember in which trace what begins is, for what comes below it."""
        if span.id == span.root and span.id not in self._known:
            if len(self._known) >= 20_000:  # more than can be open at once
                self._known.pop(next(iter(self._known)))
            matched = _TRACEPARENT.fullmatch(span.trace)
            self._known[span.id] = matched[1] if matched else self._id(f"trace {span.id}", 16)

    def _made(self, span: Span) -> list[str]:
        if span.kind == "connection":
            return []  # it is as long as the capture, and above everything
        matched = _TRACEPARENT.fullmatch(span.trace)
        trace = self._known.get(span.root) or self._id(f"trace {span.root}", 16)
        end = self._spans.seconds if span.end is None else span.end
        found: dict[str, Any] = {
            "traceId": trace,
            "spanId": self._id(f"span {span.id}", 8),
            "name": span.name or span.kind,
            "kind": self._kind(span),
            "startTimeUnixNano": str(self._moments.nanoseconds(span.start)),
            "endTimeUnixNano": str(self._moments.nanoseconds(max(end, span.start))),
            "attributes": _attributes(_facts(span)),
            "status": _status(span),
        }
        if span.id != span.root:
            found["parentSpanId"] = self._id(f"span {span.parent}", 8)
        elif matched:
            found["parentSpanId"] = matched[2]
        if matched and matched[1] != trace:
            found["links"] = [{"traceId": matched[1], "spanId": matched[2]}]
        if span.notes:
            found["events"] = [
                {
                    "timeUnixNano": str(self._moments.nanoseconds(each.at)),
                    "name": "dovetail.notification",
                    "attributes": _attributes(
                        {"mcp.method.name": each.method, "dovetail.capture.line": each.record}
                    ),
                }
                for each in span.notes
            ]
        return [_json(found)]

    def _kind(self, span: Span) -> int:
        if span.kind in ("round", "task", "stream"):
            return _INTERNAL
        own = "server" if self._header.place == "server" else "client"
        return _CLIENT if span.sender == own else _SERVER

    def _id(self, what: str, size: int) -> str:
        return hashlib.blake2b(f"{self._header.began} {what}".encode(), digest_size=size).hexdigest()


def _facts(span: Span) -> dict[str, Any]:
    """The attributes of a span."""
    found: dict[str, Any] = {"dovetail.capture.line": span.record, "dovetail.capture.span": span.kind}
    if span.ended:
        found["dovetail.capture.last_line"] = span.ended
    if span.kind in ("http", "stream"):
        found |= {"http.request.method": span.method, "network.protocol.name": "http"}
        if span.target:
            found["url.path"] = span.target
        if span.code is not None:
            found["http.response.status_code"] = span.code
    else:
        found |= {"mcp.method.name": span.method, **_TRANSPORTS.get(span.transport, {})}
        if span.request is not None and span.kind != "task":
            found["jsonrpc.request.id"] = str(span.request)[:128]
        if span.target:
            found[_NAMED.get(span.method, "mcp.resource.uri")] = span.target
        if span.method == "tools/call":
            found["gen_ai.operation.name"] = "execute_tool"
        if span.code is not None:
            found |= {"error.type": str(span.code), "rpc.response.status_code": str(span.code)}
        elif span.outcome == "failed":
            found["error.type"] = "tool_error"
    if span.revision:
        found["mcp.protocol.version"] = span.revision
    if span.session:
        found["mcp.session.id"] = hashlib.sha256(span.session.encode()).hexdigest()[:16]
    found["dovetail.outcome"] = _OUTCOMES.get(span.outcome, "unanswered")
    return found


def _status(span: Span) -> dict[str, Any]:
    if span.outcome not in ("error", "failed", "broken"):
        return {"code": _FINE}
    return {"code": _FAILED, "message": span.message} if span.message else {"code": _FAILED}


def _attributes(facts: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": name, "value": {"intValue": str(value)} if _is_int64(value) else {"stringValue": str(value)}}
        for name, value in facts.items()
    ]


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _is_int64(value: Any) -> bool:
    return isinstance(value, int) and -(2**63) <= value < 2**63


def _version() -> str:
    try:
        return version("dovetail-inspector")
    except PackageNotFoundError:
        return "0"
