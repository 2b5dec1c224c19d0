"""Spans and latencies of captures: real ones over every transport, in both eras, and cases by hand."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest
from capture_samples import (
    ERAS,
    TRANSPORTS,
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
    tells,
)

from dovetail.recording import Capture
from dovetail.testing import Transport
from dovetail_inspector.timeline.kept import Timeline
from dovetail_inspector.timeline.latencies import BOUNDS, OTHER, Latencies
from dovetail_inspector.timeline.span import Span
from dovetail_inspector.timeline.spans import Spans


def spans_of(capture: Capture, most: int = 10_000) -> list[Span]:
    """All spans of a capture, in the order of their ids."""
    spans, found = Spans(most), dict[int, Span]()
    for line in capture:
        found |= {each.id: each for each in spans.line(line)}
    return [found[each] for each in sorted(found)]


def named(found: list[Span], name: str) -> Span:
    """The one of a name."""
    (span,) = [each for each in found if each.name == name]
    return span


@pytest.mark.parametrize("revision", ERAS)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_real_conversation(transport: Transport, revision: str, tmp_path: Path) -> None:
    capture = await sample(tmp_path / "talk.jsonl", transport, revision)
    found = spans_of(capture)
    by_id = {each.id: each for each in found}
    assert all(each.end is not None and each.end >= each.start for each in found), found
    for each in found:
        parent = by_id.get(each.parent)
        assert (parent is None) == (each.kind == "connection")
        if parent is not None:
            assert parent.start <= each.start
            assert parent.link == each.link
        assert each.record <= each.ended
        assert each.outcome not in ("", "unknown")
    calls = {each.name: each for each in found if each.kind == "call"}
    assert {"tools/list", "tools/call add", "tools/call tell", "resources/read note://a"} <= calls.keys()
    assert calls["tools/call fail"].outcome == "failed"
    assert {calls[f"tools/call {each}"].outcome for each in ("add", "ask", "tell", "touch")} == {"ok"}
    assert [each.method for each in calls["tools/call tell"].notes].count("notifications/progress") == 2
    (question,) = [each for each in found if each.kind == "question"]
    assert (question.method, question.outcome, question.parent) == (
        "elicitation/create",
        "ok",
        calls["tools/call ask"].id,
    )
    assert question.sender == "server"
    rounds = [each for each in found if each.kind == "round"]
    if revision == ERAS[1]:
        assert [each.outcome for each in rounds] == ["input-required", "ok"]
        assert {each.lane for each in rounds} == {calls["tools/call ask"].lane}
        assert calls["tools/call ask"].rounds == 2
    else:
        assert rounds == []
    watched = [each for each in found if each.kind == "subscription"]
    assert len(watched) == 1
    assert watched[0].outcome in ("closed", "cancelled", "ok")
    exchanges = [each for each in found if each.kind == "http"]
    assert bool(exchanges) == transport.startswith("http")
    assert all(each.code in (200, 202, 204) for each in exchanges)


@pytest.mark.parametrize("revision", ERAS)
async def test_lanes_never_hold_two_at_once(revision: str, tmp_path: Path) -> None:
    found = spans_of(await sample(tmp_path / "talk.jsonl", "http", revision))
    lanes: dict[tuple[int, int], list[Span]] = {}
    for each in found:
        if each.kind != "round":
            lanes.setdefault((each.link, each.lane), []).append(each)
    for lane in lanes.values():
        for before, after in pairwise(lane):
            assert before.end is not None
            assert before.ended <= after.record


def test_calls_at_once_have_lanes_of_their_own() -> None:
    found = spans_of(
        hand(
            "open",
            client(asks(1, "tools/call", name="a")),
            client(asks(2, "tools/call", name="b")),
            server(gives(1)),
            client(asks(3, "tools/call", name="c")),
            server(gives(3)),
            server(gives(2)),
            "close",
        )
    )
    assert [(each.name, each.lane) for each in found[1:]] == [
        ("tools/call a", 1),
        ("tools/call b", 2),
        ("tools/call c", 1),
    ]


NEW = {"era": "stateless", "revision": "2026-07-28"}
CASES: list[tuple[str, list[Any], dict[str, str]]] = [
    (
        "an error",
        [client(asks(1, "tools/call", name="a")), server(refuses(1, -32602, "no such"))],
        {"tools/call a": "error"},
    ),
    (
        "given up",
        [
            client(asks(1, "tools/call", name="a")),
            client(tells("notifications/cancelled", requestId=1)),
            server(gives(1)),
        ],
        {"tools/call a": "cancelled"},
    ),
    ("no answer", ["open", client(asks(1, "ping")), "close"], {"ping": "unanswered"}),
    ("still open", [client(asks(1, "ping"))], {"ping": ""}),
    (
        "the person said no",
        [
            client(asks(1, "tools/call", name="a")),
            server(asks("s", "elicitation/create")),
            client(gives("s", action="decline")),
            server(gives(1)),
        ],
        {"elicitation/create": "declined", "tools/call a": "ok"},
    ),
    (
        "rounds without questions",
        [
            client(asks(1, "tools/call", name="a")),
            server(gives(1, resultType="input_required", requestState="x")),
            client(asks(2, "tools/call", name="a", requestState="x")),
            server(gives(2, isError=True)),
        ],
        {"tools/call a": "failed", "tools/call a, round 1": "input-required", "tools/call a, round 2": "failed"},
    ),
    (
        "rounds without a state",
        [
            client(asks(1, "tools/call", name="a")),
            server(gives(1, resultType="input_required", inputRequests={"q": {"method": "roots/list"}})),
            client(asks(2, "tools/call", name="a", inputResponses={"q": {"roots": []}})),
            server(gives(2)),
        ],
        {"tools/call a": "ok", "roots/list": "ok", "tools/call a, round 2": "ok"},
    ),
    (
        "a task of 2025-11-25",
        [
            client(asks(1, "tools/call", name="a", task={})),
            server(gives(1, task={"taskId": "t", "status": "working"})),
            client(asks(2, "tasks/get", taskId="t")),
            server(gives(2, taskId="t", status="working")),
            server(tells("notifications/tasks/status", taskId="t", status="completed")),
        ],
        {"tools/call a": "task", "task t": "ok", "tasks/get": "ok"},
    ),
    (
        "a task of the extension",
        [
            client(asks(1, "tools/call", name="a")),
            server(gives(1, resultType="task", taskId="t", status="working")),
            client(asks(2, "tasks/get", taskId="t")),
            server(gives(2, taskId="t", status="failed")),
        ],
        {"tools/call a": "task", "task t": "failed"},
    ),
    (
        "the result of a task",
        [
            client(asks(1, "tools/call", name="a", task={})),
            server(gives(1, task={"taskId": "t", "status": "working"})),
            client(asks(2, "tasks/result", taskId="t")),
            server(gives(2, content=[])),
        ],
        {"tools/call a": "task", "task t": "ok", "tasks/result": "ok"},
    ),
    (
        "a batch",
        [
            client([asks(1, "ping"), asks(2, "tools/list"), tells("notifications/x")]),
            server([gives(2), refuses(1, -1, "")]),
        ],
        {"ping": "error", "tools/list": "ok"},
    ),
    (
        "a refusal over HTTP",
        [
            client(asks(1, "ping"), http={"exchange": 1, "method": "POST", "target": "/mcp?x=1"}),
            {"sender": "server", "text": "no", "http": {"exchange": 1, "status": 403, "end": "complete"}},
        ],
        {"ping": "error", "POST /mcp": "error"},
    ),
    (
        "a stream that breaks off",
        [
            client(asks(1, "ping"), **NEW, http={"exchange": 1, "method": "POST", "target": "/"}),
            {"sender": "server", "http": {"exchange": 1, "status": 200}},
            {"sender": "server", **NEW, "http": {"exchange": 1, "end": "broken"}},
        ],
        {"ping": "cancelled", "POST /": "broken", "events": "broken"},
    ),
]  # fmt: skip


@pytest.mark.parametrize("lines,expected", [each[1:] for each in CASES], ids=[each[0] for each in CASES])
def test_outcomes(lines: list[Any], expected: dict[str, str]) -> None:
    found = {each.name: each.outcome for each in spans_of(hand(*lines))}
    assert {name: found.get(name) for name in expected} == expected


def test_what_a_task_is_asked_belongs_to_it() -> None:
    found = spans_of(hand(*CASES[7][1]))
    assert named(found, "task t").parent == named(found, "tools/call a").id
    assert named(found, "tasks/get").parent == named(found, "task t").id


def test_a_response_belongs_to_its_exchange_first() -> None:
    """Two clients behind one relay use the same ids."""
    post = {"method": "POST", "target": "/"}
    found = spans_of(
        hand(
            client(asks(1, "tools/call", name="a"), http={"exchange": 1, **post}),
            client(asks(1, "tools/call", name="b"), http={"exchange": 2, **post}),
            server(gives(1, isError=True), http={"exchange": 1, "status": 200, "end": "complete"}),
            server(gives(1), http={"exchange": 2, "status": 200, "end": "complete"}),
        )
    )
    assert (named(found, "tools/call a").outcome, named(found, "tools/call b").outcome) == ("failed", "ok")


def test_what_is_open_is_bounded() -> None:
    asked = [client(asks(each, "tools/call", name=f"a{each}")) for each in range(100)]
    found = spans_of(hand(*asked), most=10)
    assert sum(each.outcome == "unknown" for each in found) == 91  # with the connection
    assert sum(not each.outcome for each in found) == 10


async def test_latencies_of_a_real_conversation(tmp_path: Path) -> None:
    async with recorded_client(tmp_path / "talk.jsonl", "memory", ERAS[1]) as opened:
        for each in range(20):
            await opened.call_tool("add", {"a": each, "b": 1})
    timeline = Timeline()
    for line in Capture.read(tmp_path / "talk.jsonl"):
        timeline.line(line)
    rows = {each.method: each for each in timeline.latencies.rows()}
    assert rows["tools/call"].count == 20
    assert 0 < rows["tools/call"].p50 <= rows["tools/call"].p99 <= rows["tools/call"].max
    assert sum(rows["tools/call"].histogram) == 20
    assert len(rows["tools/call"].histogram) == len(BOUNDS) + 1


def test_rounds_count_each_for_itself() -> None:
    timeline = Timeline()
    for line in hand(*CASES[6][1]):
        timeline.line(line)
    rows = {each.method: each.count for each in timeline.latencies.rows()}
    assert rows == {"tools/call": 2, "roots/list": 1}


def test_percentiles_are_exact_and_then_nearly() -> None:
    values = [((each * 7919) % 10_007) / 1000 for each in range(10_000)]
    exact, folded = Latencies(), Latencies(exact=1_000)
    for each in values:
        exact.add("a", each)
        folded.add("a", each)
    (right,), (near,) = exact.rows(), folded.rows()
    assert right.exact
    assert not near.exact
    assert right.p50 == sorted(values)[4_999]
    assert right.p99 == sorted(values)[9_899]
    assert right.p90 == pytest.approx(quantiles(values, n=10)[-1], rel=0.001)
    for name in ("p50", "p90", "p95", "p99"):
        assert getattr(near, name) == pytest.approx(getattr(right, name), rel=0.011)
    assert (near.max, near.count, near.histogram) == (right.max, right.count, right.histogram)


def test_latencies_are_bounded() -> None:
    latencies = Latencies(exact=100, in_all=500)
    for each in range(5_000):
        latencies.add(f"method-{each % 1_000}", 0.1)
    rows = latencies.rows()
    assert len(rows) == 501
    assert rows[0].method == OTHER
    assert sum(each.count for each in rows) == 5_000
    assert sum(each.count for each in rows if each.exact) <= 500


def test_a_timeline_keeps_the_newest() -> None:
    timeline = Timeline(most=10)
    for line in read_slowly(bulk(400)):
        timeline.line(line)
    assert timeline.dropped == 82
    assert len([each for each in timeline.spans if each.outcome]) == 10
    assert timeline.latencies.rows()[0].count == 92
    assert timeline.spans == sorted(timeline.spans, key=lambda each: (each.start, each.id))


def test_memory_does_not_grow_with_the_capture() -> None:
    """What six times as many lines leave is the same."""
    held: list[int] = []
    for count in (4_000, 24_000):
        timeline = Timeline(most=1_000)
        tracemalloc.start()
        for line in read_slowly(bulk(count)):
            timeline.line(line)
        held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert held[1] - held[0] < 500_000, held
