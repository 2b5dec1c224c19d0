"""What a server said, as rows that are safe to draw."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from dovetail_inspector.terminal.text import (
    block,
    cells,
    fitted,
    inline,
    json_rows,
    json_text,
    wrapped,
)

ACTING = ["\x1b[2J", "\x9b31m", "\u202e", "\u2066", "\x07", "\r", "\x7f", "\u200d", "\ufe0f", "\U000e0041"]


@pytest.mark.parametrize("acting", ACTING)
def test_nothing_acts_on_the_terminal(acting):
    given = f"a{acting}b"
    texts = [inline(given), *(text for row in block(given) for text, _ in row)]
    texts += [text for row in json_rows({given: given}) for text, _ in row]
    texts.append(json_text({given: [given]}))
    for text in texts:
        assert acting[0] not in text
    assert json.loads(json_text({given: [given]})) == {given: [given]}
    assert json.loads("".join(text for row in json_rows([given]) for text, _ in row)) == [given]


def test_markup_is_text():
    assert (
        inline("[bold]x[/bold] [link=https://evil.example]y[/]")
        == "[bold]x[/bold] [link=https://evil.example]y[/]"
    )


def test_marks_are_not_heaped_up():
    heaped = inline("a" + "\u0301" * 50)
    assert heaped.count("\u0301") == 4
    assert inline("\u0301x") == "\\u0301x"
    assert inline("café ñ") == "café ñ"


@given(st.text(max_size=200), st.integers(1, 60))
def test_a_text_takes_exactly_the_columns_that_it_gets(text, width):
    assert cell_len(fitted(inline(text), width)) == width


@given(st.lists(st.text(max_size=120), max_size=4), st.integers(4, 40))
def test_wrapping_loses_nothing_and_keeps_the_width(texts, width):
    row = [(inline(each), "plain") for each in texts]
    lines = list(wrapped([row], width))
    assert all(cells(each) <= width for each in lines)
    assert "".join(t for each in lines for t, _ in each) == "".join(t for t, _ in row)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_json_is_the_same_value_however_it_is_shown(value):
    assert json.loads(json_text(value)) == value
    text = "".join(text for row in json_rows(value) for text, _ in row)
    assert json.loads(text) == value or "\\u0301" in text


def test_what_is_large_is_cut_and_says_so():
    rows = json_rows({"a": "x" * 10_000_000, "b": list(range(100_000))})
    assert sum(len(text) for row in rows for text, _ in row) < 600_000
    assert "10,000,000 characters" in str(rows)
    assert "an export has all" in rows[-1][0][0]
    assert "10,000,000 characters" in block("y" * 10_000_000)[-1][0][0]
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    assert len(json_rows(deep)) < 200
