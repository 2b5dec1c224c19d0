"""Captures as JSON lines, HTTP archives and traces: of real conversations, and of lines that nobody wrote."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from capture_samples import (
    ERAS,
    asks,
    bulk,
    client,
    gives,
    hand,
    read_slowly,
    recorded_client,
    refuses,
    sample,
    server,
)
from har_schema import HAR

from dovetail.recording import Capture, CaptureHeader, redacted_lines
from dovetail.testing import Transport
from dovetail_inspector.exporting.har import MAX_BODY, MAX_OPEN, har
from dovetail_inspector.exporting.jsonl import jsonl, redacted
from dovetail_inspector.exporting.moments import Moments
from dovetail_inspector.exporting.otlp import BATCH, otlp

VALID = jsonschema_rs.validator_for(HAR)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def archive(capture: Capture) -> dict[str, Any]:
    """Its archive, which is held against the format."""
    found = json.loads(b"".join(har(capture.header, capture)))
    VALID.validate(found)
    return found["log"]


def traced(capture: Capture) -> list[dict[str, Any]]:
    """Its spans, each held against what the encoding asks for."""
    found: list[dict[str, Any]] = []
    for line in b"".join(otlp(capture.header, capture)).splitlines():
        (resource,) = json.loads(line)["resourceSpans"]
        (scope,) = resource["scopeSpans"]
        assert 0 < len(scope["spans"]) <= BATCH
        found += scope["spans"]
    for each in found:
        assert len(bytes.fromhex(each["traceId"])) == 16
        assert len(bytes.fromhex(each["spanId"])) == 8
        assert 0 < int(each["startTimeUnixNano"]) <= int(each["endTimeUnixNano"])
        assert each["kind"] in (1, 2, 3)
        for fact in each["attributes"]:
            ((kind, value),) = fact["value"].items()
            assert kind in ("stringValue", "intValue")
            assert isinstance(value, str)
    assert len({each["spanId"] for each in found}) == len(found)
    return found


def facts(span: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a span."""
    return {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}


@pytest.mark.parametrize("revision", ERAS)
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_json_lines_are_the_file(transport: Transport, revision: str, tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    capture = await sample(path, transport, revision)
    assert b"".join(jsonl(capture.header, capture)) == path.read_bytes()


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_exports_without_secrets(transport: Transport, tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    async with recorded_client(path, transport, ERAS[0]) as opened:
        await opened.call_tool("login", {"user": "ada", "password": "correct-horse-battery"})
    whole = Capture.read(path)
    assert b"correct-horse" in path.read_bytes()
    header, lines = redacted(whole.header, whole)
    data = b"".join(jsonl(header, lines))
    found = Capture.parse(data)
    assert found.header.redacted
    assert found.header.began == whole.header.began
    assert [(each.n, each.seconds) for each in found] == [(each.n, each.seconds) for each in whole]
    for export in (data, b"".join(har(header, found)), b"".join(otlp(header, found))):
        assert b"correct-horse" not in export


@pytest.mark.parametrize("revision", ERAS)
async def test_an_archive_has_every_exchange(revision: str, tmp_path: Path) -> None:
    capture = await sample(tmp_path / "talk.jsonl", "http", revision)
    log = archive(capture)
    asked = {each.n: each for each in capture if each.http is not None and each.http.method}
    assert len(log["entries"]) == len(asked)
    for entry in log["entries"]:
        line = asked[entry["_records"][0]]
        assert entry["request"]["url"].startswith("http://127.0.0.1:")
        assert entry["request"]["url"].endswith("/mcp")
        assert entry["startedDateTime"] == Moments(capture.header.began).iso(line.seconds)
        if entry["request"]["method"] == "POST":
            assert json.loads(entry["request"]["postData"]["text"]) == line.value
        assert entry["response"]["status"] in (200, 202, 204)
        assert entry["time"] == pytest.approx(sum(entry["timings"][each] for each in ("wait", "receive")))
    streams = [each for each in log["entries"] if "_eventSourceMessages" in each]
    assert streams
    for entry in streams:
        said = [json.loads(each["data"]) for each in entry["_eventSourceMessages"] if each["data"]]
        body = entry["response"]["content"]["text"]
        assert [json.loads(each[6:]) for each in body.split("\n") if each.startswith("data: {")] == said


def test_what_is_no_http_is_said_so() -> None:
    log = archive(hand("open", client(asks(1, "ping")), server(gives(1)), "close"))
    assert log["entries"] == []
    assert "2 messages" in log["comment"]


def test_an_archive_of_odd_exchanges() -> None:
    post = {"method": "POST", "target": "/mcp?a=b&c", "headers": {"cookie": "x=1; y=2"}}
    log = archive(
        hand(
            {"mark": "open", "target": "https://example.com/mcp"},
            client(asks(1, "ping"), http={"exchange": 1, **post}),
            {
                "sender": "server",
                "base64": "AP8=",
                "http": {
                    "exchange": 1,
                    "status": 599,
                    "headers": {"set-cookie": "z=3; Path=/"},
                    "end": "complete",
                },
            },
            client(asks(2, "ping"), http={"exchange": 2, **post}),
            {"sender": "server", "http": {"exchange": 9, "status": 200, "end": "complete"}},
            {"sender": "client", "omitted": 7, "http": {"exchange": 3, "method": "PUT", "target": "//[bad"}},
            {"sender": "server", "omitted": 99, "http": {"exchange": 3, "status": 200, "end": "broken"}},
            transport="http",
        )
    )
    first, broken, open_ = log["entries"]
    assert first["request"]["url"] == "https://example.com/mcp?a=b&c"
    assert first["request"]["queryString"] == [{"name": "a", "value": "b"}, {"name": "c", "value": ""}]
    assert first["request"]["cookies"] == [{"name": "x", "value": "1"}, {"name": "y", "value": "2"}]
    assert first["response"]["content"] == {"size": 4, "mimeType": "", "text": "AP8=", "encoding": "base64"}
    assert first["response"]["cookies"] == [{"name": "z", "value": "3"}]
    assert broken["comment"] == "the response broke off; 99 bytes of the body are not here"
    assert (open_["response"]["status"], open_["comment"]) == (0, "its end is not in the capture")


def test_an_archive_is_bounded() -> None:
    """Of an endless stream, and of requests that nobody answers."""
    text = "x" * 1_000_000
    stream = [
        client(asks(1, "ping"), http={"exchange": 1, "method": "GET", "target": "/"}),
        server({}, http={"exchange": 1, "status": 200, "headers": {"content-type": "text/event-stream"}}),
        *({"sender": "server", "text": text, "http": {"exchange": 1}} for _ in range(20)),
    ]
    (entry,) = archive(hand(*stream))["entries"]
    assert len(entry["response"]["content"]["text"]) <= MAX_BODY
    assert "bytes of the body are not here" in entry["comment"]
    silent = [
        client(asks(each, "ping"), http={"exchange": each, "method": "GET", "target": "/"})
        for each in range(1, MAX_OPEN + 11)
    ]
    entries = archive(hand(*silent))["entries"]
    assert len(entries) == MAX_OPEN + 10
    assert sum(each["comment"].startswith("what came") for each in entries) == 10


@pytest.mark.parametrize("revision", ERAS)
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_traces(transport: Transport, revision: str, tmp_path: Path) -> None:
    capture = await sample(tmp_path / "talk.jsonl", transport, revision)
    spans = traced(capture)
    assert [each["spanId"] for each in spans] == [each["spanId"] for each in traced(capture)]
    by_id = {each["spanId"]: each for each in spans}
    for each in spans:
        parent = by_id.get(each.get("parentSpanId", ""))
        if parent is not None:
            assert parent["traceId"] == each["traceId"]
            assert int(parent["startTimeUnixNano"]) <= int(each["startTimeUnixNano"])
    ask = next(each for each in spans if each["name"] == "tools/call ask")
    assert facts(ask)["gen_ai.tool.name"] == "ask"
    assert facts(ask)["gen_ai.operation.name"] == "execute_tool"
    assert facts(ask)["mcp.protocol.version"] == revision
    assert facts(ask)["dovetail.outcome"] == "ok"
    assert ask["kind"] == 3
    question = next(each for each in spans if each["name"] == "elicitation/create")
    assert (question["parentSpanId"], question["traceId"], question["kind"]) == (
        ask["spanId"],
        ask["traceId"],
        2,
    )
    fail = next(each for each in spans if each["name"] == "tools/call fail")
    assert (facts(fail)["error.type"], fail["status"]["code"]) == ("tool_error", 2)
    tell = next(each for each in spans if each["name"] == "tools/call tell")
    assert len(tell["events"]) >= 2
    exchanges = [each for each in spans if "http.response.status_code" in facts(each)]
    assert bool(exchanges) == (transport == "http")


def test_a_trace_goes_on() -> None:
    spans = traced(
        hand(
            client(asks(1, "tools/call", name="a", _meta={"traceparent": TRACE})),
            server(asks("s", "ping")),
            client(gives("s")),
            server(refuses(1, -32602, "no such tool")),
            client(asks(2, "ping", _meta={"traceparent": "00-" + "0" * 32 + "-00f067aa0ba902b7-01"})),
        )
    )
    below, call, other = spans
    assert (call["traceId"], call["parentSpanId"]) == tuple(TRACE.split("-")[1:3])
    assert (below["traceId"], below["parentSpanId"]) == (call["traceId"], call["spanId"])
    assert call["status"] == {"code": 2, "message": "no such tool"}
    assert facts(call)["rpc.response.status_code"] == "-32602"
    assert "parentSpanId" not in other
    assert facts(other)["dovetail.outcome"] == "unanswered"


def test_long_captures_come_in_batches() -> None:
    capture = hand(*(each for id in range(1_500) for each in (client(asks(id, "ping")), server(gives(id)))))
    assert len(list(otlp(capture.header, capture))) == 6
    assert len(traced(capture)) == 1_500


def test_exports_hold_little() -> None:
    """Of a capture of 6,000 lines (4 MB) no export holds more than 3 MB at once."""
    header = CaptureHeader(capture=1, began="2026-01-01T00:00:00Z")
    for export in (har, otlp):
        tracemalloc.start()
        assert sum(len(each) for each in export(header, read_slowly(bulk(6_000)))) > 100
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3_000_000, (export, peak)


def test_times_that_are_none() -> None:
    assert Moments("never").iso(1.5) == "1970-01-01T00:00:01.500000Z"
    assert Moments("9999-12-31T23:59:59Z").iso(1e300) == "1970-01-01T00:00:00.000000Z"
    assert Moments("9999-12-31T23:59:59Z").nanoseconds(float("inf")) == 2**63 - 1
    assert Moments("2026-01-01T02:00:00+02:00").iso(float("nan")) == "2026-01-01T00:00:00.000000Z"
    assert Moments("2026-01-01T00:00:00").nanoseconds(0.000000001) == 1767225600000000001


async def test_redacted_lines_need_lines_twice(tmp_path: Path) -> None:
    capture = await sample(tmp_path / "talk.jsonl")
    header, lines = redacted(capture.header, iter(capture))
    with pytest.raises(ValueError, match="iterated twice"):
        list(jsonl(header, lines))
    assert len(list(redacted_lines(capture))) == len(capture)
