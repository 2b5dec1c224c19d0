"""What differs between two values, of which one was recorded."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dovetail.recording import differences

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def found(recorded: Any, now: Any, **options: Any) -> list[str]:
    return [str(each) for each in differences(recorded, now, **options)]


def test_by_place_and_by_name() -> None:
    recorded = [{"name": "a", "v": 1}, {"name": "b"}]
    now = [{"name": "b"}, {"name": "a", "v": 2}, {"name": "c"}]
    assert found(recorded, now, by_name=True) == [
        "/1/v: recorded 1, now 2",
        "/2: recorded nothing, now {'name': 'c'}",
    ]
    assert found(recorded, now)[0] == "/0/name: recorded 'a', now 'b'"
    # Two of one name have none of their own.
    assert found([{"name": "a"}, {"name": "a"}], [{"name": "a"}], by_name=True) == [
        "/1: recorded {'name': 'a'}, now nothing"
    ]


def test_a_placeholder_fits_on_the_side_where_it_may_stand() -> None:
    assert found({"key": "[redacted-1]", "n": "[redacted-2]"}, {"key": "abc", "n": 7}) == []
    assert found("Bearer [redacted-1]", "Basic abc") != []
    assert found("abc", "[redacted-1]") != []
    assert found("abc", "[redacted-1]", both_redacted=True) == []
    assert found("[redacted-1]", ["abc"], both_redacted=True) != []
    assert found("[redacted-1]", True) != []


@given(VALUES, st.booleans(), st.booleans())
def test_a_value_is_itself(value: Any, by_name: bool, both_redacted: bool) -> None:
    assert found(value, value, by_name=by_name, both_redacted=both_redacted) == []


def test_what_is_too_deep_differs_and_raises_nothing() -> None:
    one: Any = 1
    other: Any = 2
    for _ in range(5000):
        one, other = [one], [other]
    (place,) = differences(one, other)
    assert place.pointer.count("/") == 100
