"""Captures that nobody of ours wrote: torn, huge, with anything in the place of anything. Nothing raises."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from capture_samples import BEGAN, asks, client, gives, hand, server
from har_schema import HAR
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.recording import Capture, CaptureHeader, CaptureLine, redacted_lines
from dovetail.surface import SurfaceUnreadable
from dovetail_inspector.checks.saving import CheckNotSaved, add_check, check_of_call
from dovetail_inspector.comparing.captures import compare_captures
from dovetail_inspector.comparing.surfaces import surface_of_capture
from dovetail_inspector.exporting.har import har
from dovetail_inspector.exporting.jsonl import jsonl
from dovetail_inspector.exporting.otlp import otlp
from dovetail_inspector.timeline.kept import Timeline
from dovetail_inspector.timeline.spans import Spans

ARCHIVE = jsonschema_rs.validator_for(HAR)
WORDS = st.sampled_from(
    [
        *("initialize", "server/discover", "tools/call", "tools/list", "resources/subscribe", "tasks/get"),
        *(
            "resources/unsubscribe",
            "tasks/result",
            "subscriptions/listen",
            "elicitation/create",
            "a",
            "t",
            "",
        ),
        *("notifications/cancelled", "notifications/progress", "notifications/tasks/status", "completed"),
        *("input_required", "task", "accept", "decline", "cursor", "\x00", "é", "http://a/b?c=d"),
    ]
)
NAMES = st.sampled_from(
    [
        *("name", "uri", "_meta", "progressToken", "requestId", "requestState", "inputRequests", "isError"),
        *("inputResponses", "taskId", "status", "task", "resultType", "method", "action", "content", "text"),
        *("tools", "traceparent", "io.modelcontextprotocol/subscriptionId", "nextCursor", "x"),
    ]
)
ATOMS = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=10,
)
IDS = st.integers(1, 3) | st.sampled_from(["1", "t"]) | ATOMS
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0"),
        "id": IDS,
        "method": WORDS | VALUES,
        "params": VALUES,
        "result": VALUES,
        "error": VALUES | st.fixed_dictionaries({"code": VALUES, "message": VALUES}),
    },
)
HTTP = st.fixed_dictionaries(
    {"exchange": st.integers(0, 3)},
    optional={
        "method": st.sampled_from(["GET", "POST", ""]),
        "target": WORDS,
        "status": st.integers(-1, 700),
        "headers": st.dictionaries(
            st.sampled_from(["content-type", "cookie", "set-cookie", "location", "mcp-session-id"]),
            st.sampled_from(["text/event-stream", "a=b; c", "\x7f", "é"]),
        ),
        "event": WORDS,
        "id": WORDS,
        "end": st.sampled_from(["complete", "broken", ""]),
    },
)
LINES = st.fixed_dictionaries(
    {
        "n": st.integers(-1, 5),
        "seconds": st.floats(allow_nan=False, allow_infinity=False),
        "time": WORDS,
    },
    optional={
        "link": st.integers(-1, 2),
        "transport": WORDS,
        "sender": st.sampled_from(["client", "server"]),
        "revision": WORDS,
        "era": st.sampled_from(["stateful", "stateless", "x"]),
        "http": HTTP,
        "body": MESSAGES | st.lists(MESSAGES, max_size=3) | VALUES,
        "text": WORDS,
        "base64": WORDS,
        "omitted": st.integers(-1, 9),
        "mark": st.sampled_from(["open", "close", "limit", "stderr"]),
        "target": WORDS,
    },
)
DECODER = msgspec.json.Decoder(CaptureLine)


def everything(header: CaptureHeader, lines: list[CaptureLine]) -> None:
    """All that is made of a capture."""
    timeline = Timeline(most=5)
    spans = Spans(most=3)
    for line in lines:
        for each in [*timeline.line(line), *spans.line(line)]:
            assert each.parent >= 0
    timeline.latencies.rows()
    ARCHIVE.validate(json.loads(b"".join(har(header, lines))))
    for data in otlp(header, lines):
        json.loads(data)
    assert len(list(jsonl(header, lines))) == len(lines) + 1
    assert len(list(redacted_lines(lines, twice=True))) == len(lines)
    assert compare_captures(lambda: lines, lambda: lines).same
    str(compare_captures(lambda: lines, lambda: lines[::2]))
    try:
        surface_of_capture(lines)
    except SurfaceUnreadable as problem:
        assert str(problem)  # noqa: PT017 - it may raise this and nothing else
    for line in lines:
        try:
            add_check("", check_of_call(lines, line.n, server="s"))
        except CheckNotSaved as problem:
            assert str(problem)  # noqa: PT017 - it may raise this and nothing else


@settings(max_examples=300, deadline=None)  # it judges what is found, not how busy the machine is
@given(st.lists(LINES, max_size=8), st.sampled_from([BEGAN, "", "never", "9999-12-31T23:59:59Z"]))
def test_anything_in_the_place_of_anything(lines: list[dict[str, Any]], began: str) -> None:
    header = CaptureHeader(capture=1, began=began, place="client")
    everything(header, [DECODER.decode(msgspec.json.encode(each)) for each in lines])


def test_a_torn_capture() -> None:
    whole = b"".join(
        jsonl(
            CaptureHeader(capture=1, began=BEGAN),
            hand("open", client(asks(1, "ping")), server(gives(1)), "close"),
        )
    )
    for size in range(len(whole.split(b"\n")[0]) + 1, len(whole), 7):
        capture = Capture.parse(whole[:size])
        everything(capture.header, capture.lines)


@pytest.mark.parametrize("depth", [100, 900])
def test_deep_messages(depth: int) -> None:
    deep: Any = 1
    for _ in range(depth):
        deep = {"x": deep}
    capture = hand(
        client(asks(1, "tools/call", name="a", arguments=deep)), server(gives(1, structuredContent=deep))
    )
    everything(capture.header, capture.lines)


def test_a_large_message() -> None:
    text = "x" * 4_000_000
    capture = hand(
        client(asks(1, "tools/call", name=text)), server(gives(1, content=[{"type": "text", "text": text}]))
    )
    timeline = Timeline()
    for line in capture:
        timeline.line(line)
    assert all(len(each.name) < 500 for each in timeline.spans)
    assert len(str(compare_captures(lambda: capture, lambda: capture.lines[:1]))) < 2_000
    saved = check_of_call(capture, 1, server="s")
    assert len(saved["expect"]["text"]["contains"]) == 200
