"""Many texts in little space are the texts that were put in, and no others."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.protocol import text_set
from dovetail.protocol.text_set import TextSet

texts = st.lists(st.text(st.characters(exclude_categories=())), max_size=50)


@settings(deadline=None)
@given(texts, texts)
def test_it_has_what_a_set_has(within: list[str], others: list[str]) -> None:
    found = TextSet(within)
    assert len(found) == len(set(within))
    assert set(found) == set(within)
    assert all(text in found for text in within)
    assert all((text in found) is (text in set(within)) for text in others)
    assert 7 not in found


@settings(deadline=None)
@given(texts)
def test_texts_of_one_hash_are_told_apart(within: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_set, "hash", lambda _: 1, raising=False)
        found = TextSet(within)
        assert all(text in found for text in within)
        assert "none of them".join(within) + "none of them" not in found


def test_it_takes_little_more_than_the_texts() -> None:
    within = [f"held://{number:06d}/{'x' * 50}" for number in range(10_000)]
    size = sum(map(len, within))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        found = TextSet(within)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 10_000
    assert after - before < size + 20 * len(within)
