"""Docstrings in the three usual manners, and in none."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.server.docstrings import parse_docstring

GOOGLE = """Forecast the weather.

    More about it.

    Args:
        city: name of
            the city
        days (int, optional): how many (at most 14) days: ahead
        *rest: no

    Returns:
        nothing: at all
    """
NUMPY = """Forecast the weather.

    More about it.

    Parameters
    ----------
    city : str
        name of
        the city
    days : int, optional
        how many (at most 14) days: ahead
    rest
        no

    Returns
    -------
    nothing : at all
    """
SPHINX = """Forecast the weather.

    More about it.

    :param city: name of
        the city
    :type city: str
    :param int days: how many (at most 14) days: ahead
    :param rest: no
    :returns: nothing
    """


@pytest.mark.parametrize("doc", [GOOGLE, NUMPY, SPHINX])
def test_the_three_manners_say_the_same(doc):
    """Summary, text and parameters, whatever the manner."""
    found = parse_docstring(doc)
    assert found.summary == "Forecast the weather."
    assert found.text == "Forecast the weather.\n\nMore about it."
    assert found.parameters == {
        "city": "name of the city",
        "days": "how many (at most 14) days: ahead",
        "rest": "no",
    }


def test_numpy_names_together():
    """Parameters that share a line share the text."""
    found = parse_docstring("A.\n\nParameters\n----------\nx, y : int\n    where\n")
    assert found.parameters == {"x": "where", "y": "where"}


def test_no_manner_is_all_text():
    """Words with colons are no sections."""
    doc = "Do it.\n\nNote that: this is text.\nArgs: on the same line"
    found = parse_docstring(doc)
    assert found.text == doc
    assert found.parameters == {}


@pytest.mark.parametrize("doc", [None, "", "   \n  "])
def test_nothing_is_nothing(doc):
    """No docstring, no text."""
    found = parse_docstring(doc)
    assert (found.summary, found.text, found.parameters) == ("", "", {})


@given(st.text(alphabet="Args:\n x(-)param,*", max_size=300))
def test_any_text_is_read(doc):
    """Nothing raises."""
    parse_docstring(doc)


@pytest.mark.parametrize(
    "doc",
    [
        "Args:\n" + "    a(" * 20_000,
        ":param " + " " * 60_000,
        "Args:\n  " + "x (" + "(" * 60_000,
        "A " * 32_000,
    ],
)
def test_long_docstrings_cost_little(doc):
    """Linear time, whatever the text."""
    started = time.thread_time()
    parse_docstring(doc)
    assert time.thread_time() - started < 5
