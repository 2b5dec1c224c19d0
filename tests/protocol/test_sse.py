"""The event stream encoder and parser, against the format's own rules and any way of cutting a stream."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.protocol.bindings.sse import (
    EventTooLarge,
    ServerSentEvent,
    SSEParser,
    comment,
    encode_event,
    priming_event,
)

LINE_ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])


def feed_all(parser: SSEParser, pieces: list[bytes]) -> None:
    for piece in pieces:
        parser.feed(piece)


def parse(stream: bytes, *cuts: int) -> list[ServerSentEvent]:
    parser = SSEParser()
    events: list[ServerSentEvent] = []
    edges = [0, *sorted(cuts), len(stream)]
    for start, end in itertools.pairwise(edges):
        events += parser.feed(stream[start:end])
    return events


@pytest.mark.parametrize(
    "stream, data",
    [
        (b"data: a\n\n", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\n\n", [b""]),
        (b"data\ndata\n\n", [b"\n"]),
        (b"data:\n\n", [b""]),
        (b"data: a", []),
        (b"data: a\n", []),
        (b"\n\n\n", []),
        (b"event: x\n\n", []),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a"]),
        (b"Data: a\n\n", []),
        (b" data: a\n\n", []),
        (b"unknown: a\ndata: b\n\n", [b"b"]),
        (b"data: a\r\rdata: b\r\n\r\ndata: c\n\n", [b"a", b"b", b"c"]),
        (b"data: a\r\n\r\n", [b"a"]),
        (b"data: a\r\ndata: b\r\n\r\n", [b"a\nb"]),
        (b"data: a:b: c\n\n", [b"a:b: c"]),
        (b"data: a\x0bb\x0cc\x1cd\xc2\x85\xe2\x80\xa8\n\n", [b"a\x0bb\x0cc\x1cd\xc2\x85\xe2\x80\xa8"]),
    ],
)
def test_streams(stream: bytes, data: list[bytes]) -> None:
    assert [event.data for event in parse(stream)] == data
    assert [event.data for event in parse(stream, *range(len(stream)))] == data


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-068")
def test_comments_are_ignored_without_end_and_without_memory() -> None:
    parser = SSEParser(max_event_bytes=64)
    for _ in range(100):
        assert parser.feed(comment(b"keep-alive") + b":\r\n:\n") == []
    assert parser.feed(b": x\ndata: a\n: y\n\n") == [ServerSentEvent(b"a")]


def test_types_ids_and_retry() -> None:
    parser = SSEParser()
    assert parser.feed(b"event: endpoint\nid: 7\nretry: 0250\ndata: /m\n\ndata: x\n\n") == [
        ServerSentEvent(b"/m", "endpoint", "7"),
        ServerSentEvent(b"x", "message", "7"),
    ]
    assert (parser.retry, parser.last_event_id) == (250, "7")


def test_id_with_nul_is_ignored_and_empty_id_resets() -> None:
    parser = SSEParser()
    parser.feed(b"id: 1\ndata\n\nid: 2\x003\ndata\n\n")
    assert parser.last_event_id == "1"
    parser.feed(b"id\n\n")
    assert parser.last_event_id == ""


def test_an_id_counts_once_its_block_ends_even_without_data() -> None:
    parser = SSEParser()
    assert parser.feed(b"id: 9\n") == []
    assert parser.last_event_id == ""
    assert parser.feed(b"\n") == []
    assert parser.last_event_id == "9"


@pytest.mark.parametrize(
    "value, expected",
    [
        (b"1e3", None),
        (b"-1", None),
        (b"", None),
        (b"\xd9\xa3", None),
        (b" 5", None),
        (b"9" * 5000, 2**31 - 1),
        (b"0", 0),
    ],
)
def test_retry_takes_digits_only(value: bytes, expected: int | None) -> None:
    parser = SSEParser()
    parser.feed(b"retry: " + value + b"\n\n")
    assert parser.retry == expected


def test_cr_at_the_end_of_a_chunk_dispatches_at_once() -> None:
    parser = SSEParser()
    assert parser.feed(b"data: a\r\n\r") == [ServerSentEvent(b"a")]
    assert parser.feed(b"\ndata: b\n\n") == [ServerSentEvent(b"b")]


@pytest.mark.parametrize(
    "stream",
    [b"data: " + b"x" * 200, b"x" * 200, (b"data: " + b"x" * 20 + b"\n") * 6, b"event: " + b"x" * 200],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_bound_holds_for_lines_and_for_data(stream: bytes, size: int) -> None:
    parser = SSEParser(max_event_bytes=100)
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    with pytest.raises(EventTooLarge, match="100 bytes"):
        feed_all(parser, pieces)
    with pytest.raises(ValueError, match="finished"):
        parser.feed(b"data: a\n\n")


def test_events_before_the_large_one_are_handed_over() -> None:
    with pytest.raises(EventTooLarge) as caught:
        SSEParser(max_event_bytes=50).feed(b"data: a\n\ndata: " + b"x" * 99)
    assert caught.value.events == [ServerSentEvent(b"a")]


def test_close_tells_whether_something_was_cut() -> None:
    whole, cut, open_line = SSEParser(), SSEParser(), SSEParser()
    whole.feed(b"data: a\n\n")
    cut.feed(b"data: a\n")
    open_line.feed(b"da")
    assert (whole.close(), cut.close(), open_line.close()) == (False, True, True)


def test_encoded_bytes() -> None:
    assert encode_event(b"{}") == b"data: {}\n\n"
    assert (
        encode_event(b"{}", event=b"message", id="5", retry=1)
        == b"event: message\nid: 5\nretry: 1\ndata: {}\n\n"
    )
    assert encode_event(b"a\r\nb\rc\nd\n") == b"data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"
    assert priming_event("1", 3) == b"id: 1\nretry: 3\ndata: \n\n"
    assert comment() == b":\n\n"
    assert parse(comment(b"a\ndata: evil\r\rdata: worse")) == []


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b"])
def test_line_breaks_cannot_be_smuggled_into_fields(bad: str) -> None:
    with pytest.raises(ValueError, match="line break or NUL"):
        encode_event(b"", id=bad)
    with pytest.raises(ValueError, match="line break or NUL"):
        encode_event(b"", event=bad.encode())


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 300), max_size=8))
def test_what_is_encoded_arrives_whatever_the_cuts(data: bytes, cuts: list[int]) -> None:
    stream = encode_event(data, id="x") + encode_event(b"end")
    normal = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events = parse(stream, *[min(cut, len(stream)) for cut in cuts])
    assert [event.data for event in events] == [normal, b"end"]


@given(
    lines=st.lists(
        st.tuples(st.sampled_from([b"", b"data: a", b"id: 4", b":c", b"event: e", b"data"]), LINE_ENDS),
        max_size=20,
    ),
    cuts=st.lists(st.integers(0, 300), max_size=12),
)
def test_cuts_change_nothing(lines: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    stream = b"".join(line + end for line, end in lines)
    assert parse(stream, *[min(cut, len(stream)) for cut in cuts]) == parse(stream)


@given(st.binary(max_size=400))
def test_no_input_breaks_the_parser(stream: bytes) -> None:
    parse(stream)


def count_calls(work: Callable[[], object]) -> int:
    calls = 0

    def tracer(_frame: object, _event: str, _argument: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(tracer)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def test_work_grows_with_the_input_and_no_faster() -> None:
    def work(chunks: int) -> Callable[[], object]:
        parser = SSEParser(max_event_bytes=10**7)
        return lambda: [parser.feed(b"data: aaaa") for _ in range(chunks)]

    assert count_calls(work(4000)) < 2.2 * count_calls(work(2000))
