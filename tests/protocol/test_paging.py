"""Cursors that every process understands and nobody can damage, and pages."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.protocol.errors import INVALID_PARAMS
from dovetail.protocol.paging import (
    MAX_CURSOR,
    MAX_NAME,
    CursorPosition,
    InvalidCursor,
    _digest,
    decode_cursor,
    encode_cursor,
    page,
    resume,
    shortened,
)

NUMBERS = st.integers(1, 10**18 - 1)
NAMES = st.text(max_size=300)


@given(after=NUMBERS, name=NAMES, binding=st.binary(max_size=50))
def test_a_cursor_gives_its_place_back(after: int, name: str, binding: bytes) -> None:
    cursor = encode_cursor(after, name, binding)
    assert decode_cursor(cursor, binding) == CursorPosition(after, shortened(name))
    assert len(cursor) <= MAX_CURSOR


def test_the_longest_cursor_fits() -> None:
    cursor = encode_cursor(10**18 - 1, "\U0001f600" * MAX_NAME, b"")
    assert decode_cursor(cursor, b"").name == "\U0001f600" * MAX_NAME
    assert len(encode_cursor(1, "x" * 10_000, b"")) < 150


@pytest.mark.requirement("R2607-PAGINATION-007", "R2607-PAGINATION-003", "R2511-PAGINATION-005")
@pytest.mark.parametrize(
    "cursor", ["", "x", "=", "====", "é", "a" * 22, "A" * 10**6, "\0", "a b", "5", "\ud800"]
)
def test_invented_cursors_are_invalid_params(cursor: str) -> None:
    with pytest.raises(InvalidCursor) as caught:
        decode_cursor(cursor, b"b")
    assert caught.value.code == INVALID_PARAMS


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"5",
        b"\0name",
        b"0\0name",
        b"05\0name",
        b"-1\0name",
        b"+1\0n",
        b"1" * 19 + b"\0n",
        b"x\0n",
        b"1\0\xff",
    ],
)
def test_made_up_cursors_with_a_right_digest_are_looked_at(payload: bytes) -> None:
    cursor = base64.urlsafe_b64encode(payload + _digest(payload, b"b")).rstrip(b"=").decode()
    with pytest.raises(InvalidCursor):
        decode_cursor(cursor, b"b")


def test_foreign_cursors_are_refused() -> None:
    cursor = encode_cursor(5, "five", b"tools/list\0anna")
    for binding in (b"tools/list\0bert", b"prompts/list\0anna", b""):
        with pytest.raises(InvalidCursor):
            decode_cursor(cursor, binding)


def test_binding_and_place_cannot_be_shifted_into_each_other() -> None:
    assert encode_cursor(12, "x", b"a") != encode_cursor(2, "x", b"a1")
    with pytest.raises(InvalidCursor):
        decode_cursor(encode_cursor(12, "x", b"a"), b"a1")


@given(after=NUMBERS, name=NAMES, data=st.data())
def test_no_character_of_a_cursor_can_change(after: int, name: str, data: st.DataObject) -> None:
    cursor = encode_cursor(after, name, b"b")
    index = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.sampled_from("ABab01-_=+/").filter(lambda c: c != cursor[index]))
    for damaged in (cursor[:index] + other + cursor[index + 1 :], cursor[:index], cursor + other):
        with pytest.raises(InvalidCursor):
            decode_cursor(damaged, b"b")


@pytest.mark.parametrize("after", [0, -1, 10**18])
def test_numbers_are_bounded(after: int) -> None:
    with pytest.raises(ValueError, match="starts after"):
        encode_cursor(after, "x", b"")


@given(items=st.lists(st.integers(), max_size=30), size=st.integers(1, 12))
def test_pages_cover_the_list_once(items: list[int], size: int) -> None:
    seen: list[int] = []
    position: int | None = 0
    while position is not None:
        part = page(items, position, size)
        assert len(part.items) <= size
        seen += part.items
        position = part.next_position
    assert seen == items


@pytest.mark.requirement("R2511-PAGINATION-002")
@given(
    names=st.lists(NAMES, min_size=1, max_size=20, unique=True),
    size=st.integers(1, 6),
    data=st.data(),
)
def test_no_name_is_missed_though_the_list_changes_between_two_pages(
    names: list[str], size: int, data: st.DataObject
) -> None:
    """What is there all the time is seen; twice at most if the very item at the end of a page went."""
    listed, seen, kept = list(names), list[str](), set(names)
    place: CursorPosition | None = None
    while True:
        part = page(listed, 0 if place is None else resume(listed, place), size)
        seen += part.items
        if part.next_position is None:
            break
        place = CursorPosition(part.next_position, shortened(part.items[-1]))
        if data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(listed))
            listed.remove(gone)
            kept.discard(gone)
        else:
            listed.insert(data.draw(st.integers(0, len(listed))), f"new {len(seen)}" + "x" * MAX_NAME)
    assert kept <= set(seen)


def test_a_place_in_a_list_that_has_become_shorter() -> None:
    assert resume(["a", "b"], CursorPosition(9, "z")) == 2
    assert resume([], CursorPosition(3, "z")) == 0
    assert resume(["b", "c"], CursorPosition(2, "b")) == 1
    assert resume(["a", "c"], CursorPosition(2, "b")) == 1
    long = "x" * 1000
    assert resume(["a", "b", long, "c"], CursorPosition(1, shortened(long))) == 3


def test_pages_of_a_list_that_shrank_and_of_nonsense() -> None:
    beyond = page([1, 2], 9, 5)
    assert (list(beyond.items), beyond.next_position) == ([], None)
    for position, size in ((-1, 5), (0, 0)):
        with pytest.raises(ValueError, match="positive"):
            page([1], position, size)
