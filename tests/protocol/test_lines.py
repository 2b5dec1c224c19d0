"""Newline framing: cutting, tolerance, the bound, and messages that would not fit one line."""

from __future__ import annotations

import itertools
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.protocol.bindings.lines import LineSplitter, LineTooLong, frame


@pytest.mark.parametrize(
    "stream, lines",
    [
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"\n\r\n  \n\t\r\na\n", [b"a"]),
        (b"a\rb\n", [b"a\rb"]),
        (b"a", []),
        (b"", []),
        ("a\u2028b\u0085c\n".encode(), ["a\u2028b\u0085c".encode()]),
        (b"a\x0bb\x0cc\x1cd\n", [b"a\x0bb\x0cc\x1cd"]),
    ],
)
def test_streams(stream: bytes, lines: list[bytes]) -> None:
    assert LineSplitter().feed(stream) == lines
    splitter = LineSplitter()
    assert [line for byte in stream for line in splitter.feed(bytes([byte]))] == lines


def test_a_last_line_without_its_end() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"a\nb\r") == [b"a"]
    assert splitter.close() == b"b"
    assert splitter.close() is None


def test_a_long_line_takes_its_own_length_of_memory() -> None:
    """Though it comes in many pieces: what came becomes the line, without a copy beside it."""
    splitter, piece, count = LineSplitter(), b"x" * 256 * 1024, 32
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(count):
            assert splitter.feed(piece) == []
        (line,) = splitter.feed(b"\n")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(line) == count * len(piece)
    assert peak - before < 1.3 * len(line)


def test_a_long_line_is_reported_once_and_costs_nothing_else() -> None:
    splitter = LineSplitter(max_line=10)
    with pytest.raises(LineTooLong, match="10 bytes") as caught:
        splitter.feed(b"first\n" + b"x" * 11)
    assert caught.value.lines == [b"first"]
    assert splitter.feed(b"x" * 1000) == []
    assert splitter.feed(b"tail\nnext\n") == [b"next"]


def test_lines_on_both_sides_of_a_long_one_in_one_chunk() -> None:
    with pytest.raises(LineTooLong) as caught:
        LineSplitter(max_line=5).feed(b"one\n" + b"x" * 9 + b"\ntwo\n" + b"y" * 7 + b"\nthree\n")
    assert caught.value.lines == [b"one", b"two", b"three"]


def test_the_bound_counts_across_chunks_and_admits_its_own_length() -> None:
    splitter = LineSplitter(max_line=10)
    assert splitter.feed(b"12345") == []
    assert splitter.feed(b"67890\n") == [b"1234567890"]
    splitter.feed(b"1234567890")
    with pytest.raises(LineTooLong):
        splitter.feed(b"1")


def test_v33_a_gigabyte_without_a_newline_is_not_kept() -> None:
    splitter = LineSplitter(max_line=1 << 20)
    chunk = bytes(1 << 20)
    splitter.feed(chunk)
    with pytest.raises(LineTooLong):
        splitter.feed(chunk)
    for _ in range(1022):
        assert splitter.feed(chunk) == []
    assert splitter.close() is None


@pytest.mark.requirement("R2607-TRANSPORT-STDIO-001", "R2511-TRANSPORT-STDIO-005")
@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_framed_message_is_one_line_of_the_same_value(value: object) -> None:
    pretty = json.dumps(value, indent="\r\n ").encode()
    framed = frame(pretty)
    assert framed.count(b"\n") == 1
    assert framed.endswith(b"\n")
    assert b"\r" not in framed
    assert json.loads(framed) == value
    assert LineSplitter().feed(framed) == [framed[:-1]]


@given(stream=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=8))
def test_cuts_change_nothing(stream: bytes, cuts: list[int]) -> None:
    splitter = LineSplitter()
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    found = [line for start, end in itertools.pairwise(edges) for line in splitter.feed(stream[start:end])]
    assert found == LineSplitter().feed(stream)
