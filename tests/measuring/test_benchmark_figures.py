"""The benchmark's own arithmetic: medians, ratios round by round, verdicts, units, where an answer ends, plots."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks import goals, page, report
from benchmarks.contestants import FLOOR, MCP, MCP_FAST, OURS
from benchmarks.figures import Spread, digits, percentile, ratios, scaled, spread, verdict
from benchmarks.goals import ROWS, Goal, Row, judge
from benchmarks.load.answers import Reader, messages, passes
from benchmarks.load.wire import call, line, stateless
from benchmarks.measures import groups
from benchmarks.plots import apart, bars, lines
from benchmarks.processes import Broken
from benchmarks.suite import Results, order


def test_percentile_is_the_nearest_rank() -> None:
    assert percentile(list(range(1, 101)), 99) == 99
    assert percentile([3, 1, 2], 50) == 2
    assert percentile([7], 99) == 7


def test_ratios_are_taken_in_each_round() -> None:
    ours = [{"rate": 10.0}, {"rate": 30.0}, None, {"rate": 8.0}]
    theirs = [{"rate": 5.0}, {"rate": 3.0}, {"rate": 1.0}, {"rate": 0.0}]
    assert ratios(ours, theirs, "rate") == Spread(6.0, 2.0, 10.0)
    assert ratios([], theirs, "rate") is None


def test_spread_leaves_out_rounds_without_the_figure() -> None:
    assert spread([{"ms": 3.0}, None, {"cpu": 1.0}, {"ms": 1.0}], "ms") == Spread(2.0, 1.0, 3.0)
    assert spread([None], "ms") is None


@pytest.mark.parametrize(
    "value,bound,sense,expected",
    [
        (8.0, 8, "at least", "met"),
        (7.9, 8, "at least", "missed"),
        (0.2, 0.25, "at most", "met"),
        (0.3, 0.25, "at most", "missed"),
        (None, 1, "at least", "-"),
    ],
)
def test_verdict(value, bound, sense, expected) -> None:
    assert verdict(value, bound, sense) == expected


@pytest.mark.parametrize(
    "value,unit,expected",
    [
        (1234567, "/s", "1,230,000 /s"),
        (52.49, "us", "52.5 us"),
        (1234, "us", "1.23 ms"),
        (0.05, "ms", "50.0 us"),
        (2048, "B", "2.00 KiB"),
        (34402304, "B", "32.8 MiB"),
        (0, "x", "0 x"),
    ],
)
def test_scaled(value, unit, expected) -> None:
    assert scaled(value, unit) == expected


def test_digits_of_a_small_figure() -> None:
    assert (digits(0.125), digits(8), digits(999.6)) == ("0.125", "8.00", "1000")


def test_a_goal_of_speed_turns_times_around() -> None:
    measured = {"x": {OURS: [{"cpu": 10.0}, {"cpu": 20.0}], MCP: [{"cpu": 100.0}, {"cpu": 100.0}]}}
    row = Row("x", "x", "cpu", "us", more=False)
    faster = judge(row, Goal(8), measured)
    assert faster.value is not None
    assert (faster.value.low, faster.value.high) == pytest.approx((5, 10))
    assert faster.verdict == "missed"
    assert faster.value.median == pytest.approx(7.5)
    share = judge(row, Goal(0.151, "share"), measured)
    assert share.value is not None
    assert share.value.median == pytest.approx(0.15)
    assert share.verdict == "met"


def test_the_fastest_peer_is_looked_for_where_less_is_better() -> None:
    samples = {OURS: [{"ms": 1.0}], MCP: [{"ms": 9.0}], MCP_FAST: [{"ms": 7.0}], FLOOR: [{"ms": 0.1}]}
    assert goals.fastest(samples, "ms", more=False) == MCP_FAST
    assert goals.fastest(samples, "ms", more=True) == MCP


def test_a_goal_without_figures_has_no_verdict() -> None:
    for row in ROWS:
        assert {judge(row, goal, {}).verdict for goal in row.goals} <= {"-"}


def test_every_row_is_measured_and_every_measure_is_shown() -> None:
    measured = {name for group in groups() for name in group.measures}
    named = {row.measure for row in ROWS} | {
        goal.measure for row in ROWS for goal in row.goals if goal.measure
    }
    assert named == measured


def test_rounds_go_there_and_back() -> None:
    assert [order("ABC", turn) for turn in range(3)] == [["A", "B", "C"], ["C", "B", "A"], ["A", "B", "C"]]


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"


def test_an_answer_is_whole_when_its_length_is_there() -> None:
    answer = HEAD % 10 + b"0123456789"
    for cut in range(1, len(answer)):
        reader = Reader()
        assert reader.feed(answer[:cut]) is None
        assert reader.feed(answer[cut:]) == b"0123456789"
        assert reader.feed(answer) == b"0123456789"


def test_an_answer_in_chunks_is_whole_with_the_last() -> None:
    event = b'id: 1\r\nevent: message\r\ndata: {"id":1,"result":{}}\r\n\r\n'
    first, second = event[:20], event[20:]
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (first, second)) + b"0\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    for cut in range(1, len(answer)):
        reader = Reader()
        assert reader.feed(answer[:cut]) is None
        whole = reader.feed(answer[cut:])
        assert whole is not None
        assert messages(whole) == [{"id": 1, "result": {}}]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        HEAD % 1 + b"12",
    ],
)
def test_a_refusal_is_no_answer(answer) -> None:
    with pytest.raises(Broken):
        Reader().feed(answer)


def test_an_error_does_not_pass() -> None:
    assert passes(b'{"result":{"content":[{"text":"3"}]}}', b'"text":"3"')
    assert not passes(b'{"result":{"content":[{"text":"3"}],"isError":true}}', b'"text":"3"')
    assert not passes(b'{"error":{"message":"\\"text\\":\\"3\\""}}', b'"error"')
    assert not passes(b'{"result":{}}', b'"text":"3"')


def test_requests_differ_in_their_id_alone_and_tell_their_length() -> None:
    request = stateless(1, "tools/call", call("add", a=1, b=2))
    first, second = request.next(), request.next()
    assert first != second
    assert len(first) == len(second)
    head, _, body = first.partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head + b"\r\n"
    assert json.loads(body)["params"]["arguments"] == {"a": 1, "b": 2}
    assert line("ping", {}).next().endswith(b"}\n")


def test_labels_keep_apart_and_in_order() -> None:
    places = apart({"a": 100.0, "b": 101.0, "c": 102.0, "d": 300.0}, 16)
    assert list(places) == ["a", "b", "c", "d"]
    assert places["b"] - places["a"] == pytest.approx(16)
    assert places["b"] == pytest.approx(101)
    assert places["d"] == 300


def test_plots_are_well_formed_and_stay_inside() -> None:
    drawn = lines("A & B", "x", "y", {OURS: [(1, 5.0), (256, 90.0)], MCP: [(1, 50.0)]}, marks=(1, 256))
    drawn_bars = bars("C", "/s", [(OURS, "ours", 10.0), (FLOOR, "floor", 0.0)])
    for svg in (drawn, drawn_bars):
        root = ElementTree.fromstring(svg)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for circle in root.iter("{http://www.w3.org/2000/svg}circle"):
            assert 0 < float(circle.attrib["cx"]) < width
            assert 0 < float(circle.attrib["cy"]) < height
        assert "prefers-color-scheme:dark" in svg


def test_the_page_is_made_from_results_that_were_saved(tmp_path: Path) -> None:
    results = Results(
        about={
            "date": "2026-01-01",
            "command": "python -m benchmarks",
            "commit": "",
            "rounds": 1,
            "pinned": True,
            "versions": {"mcp": {"mcp": "2.3.0"}},
            "machine": dict.fromkeys(
                ("processor", "cores", "memory", "system", "python", "load before"), "?"
            ),
        }
    )
    for name, rate in ((OURS, 900.0), (MCP, 100.0)):
        sample = {"rate": rate, "cpu": 1e6 / rate, "p50": 1.0, "p99": 2.0, "busy": 0.95}
        results.put("call 64", name, 0, sample)
        results.growth.setdefault("tools cpu", {})[name] = [(1, 10.0), (1000, 20.0)]
    results.put("fan-out", MCP, 0, "it cannot")
    report.save(results, tmp_path / "results.json")
    written = page.write(report.load(tmp_path / "results.json"), tmp_path)
    text = written[0].read_text()
    assert (
        "| HTTP 2026-07-28 tools/call, 64 connections | at least 8 x mcp | 9.00 (9.00 to 9.00) | met |"
        in text
    )
    assert "mcp: no fan-out: it cannot" in text
    assert "95% busy" in text
    assert {path.name for path in written} == {"performance.md", "calls.svg", "tools.svg"}
    assert all(f"performance/{path.name}" in text for path in written[1:])
