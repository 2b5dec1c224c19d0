"""Files that say they are captures, and want to break whoever opens them: all that can be read of them is."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from dovetail_inspector.comparing.captures import compare_captures
from dovetail_inspector.exporting.har import har
from dovetail_inspector.exporting.jsonl import jsonl, redacted
from dovetail_inspector.exporting.otlp import otlp
from dovetail_inspector.inspection import Inspection
from dovetail_inspector.transcript.transcript import Transcript

HEADER = b'{"capture":1,"began":""}\n'
START = b'{"n":1,"seconds":0,"time":"",'


def line(**members: Any) -> bytes:
    """A line of a capture."""
    return json.dumps({"n": 1, "seconds": 0, "time": "", **members}).encode() + b"\n"


def said(body: bytes) -> bytes:
    """A message of a server, as it is written."""
    return START + b'"sender":"server","body":' + body + b"}\n"


GOOD = line(sender="client", body={"jsonrpc": "2.0", "id": 1, "method": "ping"})
POLLUTED = {"__proto__": {"ran": 1}, "constructor": {"prototype": {"ran": 1}}}
LINES = {
    "no JSON": (b"hello\n", 0),
    "bytes": (bytes(range(11, 256)) + b"\n", 0),
    "no object": (b"[]\n", 0),
    "wrong types": (b'{"n":"x","seconds":"y","time":3}\n', 0),
    "not a number": (b'{"n":1,"seconds":NaN,"time":""}\n', 0),
    "endless": (b'{"n":1,"seconds":1e999,"time":""}\n', 0),
    "half a character": (said(b'{"jsonrpc":"2.0","method":"\\ud800"}'), 0),
    "too deep": (said(b"[" * 100_000 + b"]" * 100_000), 0),
    "deep": (said(b'{"jsonrpc":"2.0","id":1,"result":' + b'{"a":' * 900 + b"1" + b"}" * 901), 1),
    "before the beginning": (line(seconds=-1e308, text="x"), 1),
    "long after it": (line(seconds=1e308, text="x"), 1),
    "a large number": (said(b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b',"result":{}}'), 1),
    "a larger one": (said(b'{"jsonrpc":"2.0","id":1e999,"result":{"x":1e400}}'), 1),
    "an id that is none": (line(sender="client", body={"id": {"a": [1]}, "method": "x"}), 1),
    "its number": (b'{"n":99999999999999999999,"seconds":0,"time":""}\n', 1),
    "less than nothing": (line(omitted=-5), 1),
    "base64 that is none": (line(base64="%%%"), 1),
    "headers": (
        line(http={"exchange": 1, "status": 200, "headers": {"<script>": "x", "cookie": "x" * 40_000}}),
        1,
    ),
    "names": (
        line(sender="client", body={"id": "__proto__", "method": "constructor", "params": POLLUTED}),
        1,
    ),
    "a list for members": (line(sender="client", body={"id": 1, "method": "tools/call", "params": [1]}), 1),
    "a long name": (line(sender="client", body={"id": 2, "method": "m" * 1_000_000, "params": {}}), 1),
}


def everything(transcript: Transcript) -> None:
    """All that a page can ask of it."""
    msgspec.json.encode(transcript.page(query="x"))
    for record in transcript.page().records:
        msgspec.json.encode(transcript.detail(record.n))
        assert len(record.method) <= 256
        assert len(record.summary) <= 160
    timeline = transcript.timeline()
    msgspec.json.encode([timeline.spans, timeline.latencies.rows()])
    for write in (jsonl, har, otlp):
        for header, lines in (
            (transcript.header, list(transcript.lines())),
            redacted(transcript.header, list(transcript.lines())),
        ):
            assert b"".join(write(header, lines))
    compare_captures(transcript.lines, transcript.lines, [])


@pytest.mark.hostile
@pytest.mark.parametrize("name", LINES)
async def test_a_line_that_can_not_be_read_costs_that_line_alone(inspection: Inspection, name: str) -> None:
    hostile, kept = LINES[name]
    view = inspection.take_capture(HEADER + GOOD + hostile + GOOD + GOOD, name)
    transcript = inspection.transcript(view.id)
    inspection.catch_up()
    everything(transcript)
    assert len(transcript) == 3 + kept
    assert len(transcript.problems) == 1 - kept
    assert [each.method for each in transcript][-2:] == ["ping", "ping"]


@pytest.mark.hostile
async def test_a_line_of_many_megabytes(inspection: Inspection) -> None:
    text = b"x" * 30_000_000
    body = said(b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"' + text + b'"}]}}')
    view = inspection.take_capture(HEADER + GOOD + body + GOOD, "long")
    inspection.catch_up()
    transcript = inspection.transcript(view.id)
    assert [each.size > len(text) for each in transcript] == [False, True, False]
    detail = transcript.detail(2)
    assert len(detail.text) + detail.truncated > len(text)
    assert len(msgspec.json.encode(detail)) < 1_000_000
    assert len(msgspec.json.encode(transcript.page())) < 10_000
    assert len(transcript.page(query="xxxx").records) == 1


@pytest.mark.hostile
@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\0" * 1000, HEADER[:-1], b'{"capture":2,"began":""}\n', b"[" * 100_000]
)
async def test_what_is_no_capture_is_refused(inspection: Inspection, data: bytes) -> None:
    if data == HEADER[:-1]:
        assert inspection.take_capture(data, "torn").count == 0
        return
    with pytest.raises(ValueError, match=r"recording"):
        inspection.take_capture(data, "x")
    assert inspection.transcripts == {}
    assert list(inspection.folder.iterdir()) == []
