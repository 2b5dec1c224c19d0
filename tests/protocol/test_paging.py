"""Cursors that only their maker can make, and pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.protocol.errors import INVALID_PARAMS
from dovetail.protocol.paging import (
    MAX_CURSOR,
    MAX_POSITION,
    InvalidCursor,
    decode_cursor,
    encode_cursor,
    page,
)

KEY = b"k" * 32
POSITIONS = st.integers(0, 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(position=POSITIONS, binding=st.binary(max_size=50))
def test_a_cursor_gives_its_position_back(position: str | int, binding: bytes) -> None:
    cursor = encode_cursor(position, binding, KEY)
    assert decode_cursor(cursor, binding, KEY) == position
    assert len(cursor) <= MAX_CURSOR


def test_the_longest_cursor_fits() -> None:
    cursor = encode_cursor("x" * MAX_POSITION, b"", KEY)
    assert decode_cursor(cursor, b"", KEY) == "x" * MAX_POSITION


@pytest.mark.requirement("R2607-PAGINATION-007", "R2607-PAGINATION-003")
@pytest.mark.parametrize(
    "cursor", ["", "x", "=", "====", "é", "a" * 22, "A" * 10**6, "\0", "a b", "5", "\ud800"]
)
def test_invented_cursors_are_invalid_params(cursor: str) -> None:
    with pytest.raises(InvalidCursor) as caught:
        decode_cursor(cursor, b"b", KEY)
    assert caught.value.code == INVALID_PARAMS


def test_foreign_cursors_are_refused() -> None:
    cursor = encode_cursor(5, b"tools/list\0anna", KEY)
    for binding, key in (
        (b"tools/list\0bert", KEY),
        (b"prompts/list\0anna", KEY),
        (b"tools/list\0anna", b"x" * 32),
    ):
        with pytest.raises(InvalidCursor):
            decode_cursor(cursor, binding, key)


def test_binding_and_position_cannot_be_shifted_into_each_other() -> None:
    one = encode_cursor("bc", b"a", KEY)
    assert one != encode_cursor("c", b"ab", KEY)
    assert encode_cursor("5", b"", KEY) != encode_cursor(5, b"", KEY)


@given(position=POSITIONS, data=st.data())
def test_no_character_of_a_cursor_can_change(position: str | int, data: st.DataObject) -> None:
    cursor = encode_cursor(position, b"b", KEY)
    index = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.sampled_from("ABab01-_=+/").filter(lambda c: c != cursor[index]))
    for forged in (cursor[:index] + other + cursor[index + 1 :], cursor[:index], cursor + other):
        with pytest.raises(InvalidCursor):
            decode_cursor(forged, b"b", KEY)


@pytest.mark.parametrize("position", [-1, 2**63, "x" * (MAX_POSITION + 1)])
def test_positions_are_bounded(position: str | int) -> None:
    with pytest.raises(ValueError, match="position"):
        encode_cursor(position, b"", KEY)


def test_weak_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="key"):
        encode_cursor(1, b"", b"short")


@given(items=st.lists(st.integers(), max_size=30), size=st.integers(1, 12))
def test_pages_cover_the_list_once(items: list[int], size: int) -> None:
    seen: list[int] = []
    position: int | None = None
    while True:
        part = page(items, position, size)
        assert len(part.items) <= size
        seen += part.items
        position = part.next_position
        if position is None:
            break
    assert seen == items


def test_pages_of_a_list_that_shrank_and_of_nonsense() -> None:
    beyond = page([1, 2], 9, 5)
    assert (list(beyond.items), beyond.next_position) == ([], None)
    for position, size in ((-1, 5), (0, 0)):
        with pytest.raises(ValueError, match="positive"):
            page([1], position, size)
