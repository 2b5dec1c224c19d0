"""Docstrings in the four usual manners, and in none: what stays, what goes, and where to."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterator
from re import _parser as parser  # type: ignore[attr-defined] # nothing public tells how an expression is built
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.server import docstrings
from dovetail.server.docstrings import class_docstring, parse_docstring

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
EPYTEXT = """Forecast the weather.

    More about it.

    @param city: name of
        the city
    @type city: str
    @param days: how many (at most 14) days: ahead
    @param rest: no
    @return: nothing
    """


@pytest.mark.parametrize("doc", [GOOGLE, NUMPY, SPHINX, EPYTEXT])
def test_the_four_manners_say_the_same(doc):
    """Text and parameters, whatever the manner."""
    found = parse_docstring(doc)
    assert found.text == "Forecast the weather.\n\nMore about it."
    assert found.parameters == {
        "city": "name of\nthe city",
        "days": "how many (at most 14) days: ahead",
        "rest": "no",
    }


WHOLE = """Delete a note.

Do not use this to empty a folder: call ``empty`` instead.

It takes:

- the note itself,
- its history.

```python
Args:
    this is code, and no section
```

{parameters}

{notes}
"""
KEPT = """Delete a note.

Do not use this to empty a folder: call ``empty`` instead.

It takes:

- the note itself,
- its history.

```python
Args:
    this is code, and no section
```

{notes}"""
GOOGLE_NOTES = """Note:
    It cannot be undone.

Example:
    delete("a")

Warnings:
    Slow."""
NUMPY_NOTES = """Notes
-----
It cannot be undone.

Examples
--------
>>> delete("a")"""


@pytest.mark.parametrize(
    "parameters,notes",
    [
        (
            "Args:\n    name: which one\n\nReturns:\n    whether it was there\n\nRaises:\n    KeyError: no",
            GOOGLE_NOTES,
        ),
        (
            "Parameters\n----------\nname : str\n    which one\n\nReturns\n-------\nbool\n    whether\n",
            NUMPY_NOTES,
        ),
        (":param name: which one\n:returns: whether\n    it was there\n:raises KeyError: no", GOOGLE_NOTES),
        ("@param name: which one\n@return: whether\n@raise KeyError: no", GOOGLE_NOTES),
        ("Attributes:\n    name: which one\n\nYields:\n    one\n\nWarns:\n    UserWarning: no", GOOGLE_NOTES),
    ],
)
def test_all_but_the_sections_about_the_code_stays_as_written(parameters, notes):
    """Paragraphs, lists, code, notes, examples and warnings; one empty line where a section was."""
    found = parse_docstring(WHOLE.format(parameters=parameters, notes=notes))
    assert found.text == KEPT.format(notes=notes)
    assert found.parameters == {"name": "which one"}


TEXT = ["what to look for:", "", "- words,", "- ``a:b``", "", "Not code."]


def indented(lines: list[str], by: str) -> str:
    """Lines that follow others, further in."""
    return "\n".join(by + line if line else "" for line in lines)


@pytest.mark.parametrize(
    "doc",
    [
        f"A.\n\nArgs:\n    query: {TEXT[0]}\n{indented(TEXT[1:], '        ')}\n    b: c",
        f"A.\n\nParameters\n----------\nquery : str\n{indented(TEXT, '    ')}\nb\n    c",
        f"A.\n\n:param query: {TEXT[0]}\n{indented(TEXT[1:], '    ')}\n:param b: c",
    ],
)
def test_the_text_of_a_parameter_keeps_its_lines(doc):
    """Paragraphs and lists, whatever the manner."""
    assert parse_docstring(doc).parameters == {"query": "\n".join(TEXT), "b": "c"}


def test_a_section_that_says_nothing_of_parameters_is_text():
    """Nothing that an author wrote is lost because it is in no manner."""
    doc = "A.\n\nArgs:\n    the usual ones"
    assert parse_docstring(doc).text == doc


def test_entries_as_people_write_them():
    """With bullets, quotes, types and stars."""
    found = parse_docstring("A.\n\nArgs:\n    - `a` (int): one\n    * **b: two\n    c(list[str]): three")
    assert found.parameters == {"a": "one", "b": "two", "c": "three"}


class Described:
    """A thing.

    Not for squares.

    Attributes:
        x: across
    """


@dataclasses.dataclass
class Made:
    x: int


class Heir(Described): ...


def test_classes_are_described_by_their_own_words_alone():
    """Not by what Python writes for a dataclass, and not by a base's."""
    found = class_docstring(Described)
    assert (found.text, found.parameters) == ("A thing.\n\nNot for squares.", {"x": "across"})
    assert class_docstring(Made).text == class_docstring(Heir).text == ""


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
    assert (found.text, found.parameters) == ("", {})


@given(st.text(alphabet="Args:\n x(-)param,*", max_size=300))
def test_any_text_is_read(doc):
    """Nothing raises."""
    parse_docstring(doc)


def steps(doc: str) -> int:
    """Calls, of Python and of C, that reading a text takes, and lines that are looked at: no clock."""
    counted = 0

    def count(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal counted
        counted += 1
        return count

    before = sys.gettrace(), sys.getprofile()
    sys.setprofile(count)
    sys.settrace(count)
    try:
        parse_docstring(doc)
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
    return counted


GROWING: list[Callable[[int], str]] = [
    lambda n: "Args:\n" + "    a: b\n" * n,
    lambda n: "Args:\n" * n,
    lambda n: ":param a: b\n" * n,
    lambda n: "Parameters\n----------\n" * n,
    lambda n: "Parameters\n----------\n" + "a, b : c\n    d\n" * n,
    lambda n: "Args:\n\n\n" * n,
    lambda n: "word\n" * n,
]


@pytest.mark.parametrize("grow", GROWING)
def test_twice_the_lines_take_twice_the_steps(grow: Callable[[int], str]) -> None:
    """Linear, whatever the text."""
    steps(grow(10))
    assert steps(grow(1000)) < 2.2 * steps(grow(500)) + 100


PUMPS: dict[str, tuple[str, str, str]] = {
    "spaces after a name": ("x", " ", "y"),
    "brackets": ("x (", "()", ""),
    "filled brackets": ("x (", "(a)", "y"),
    "open brackets": ("x ", "(", ""),
    "a long name": ("", "x", "("),
    "text in brackets": ("x (", "a", ""),
    "spaces in brackets": ("x (", " ", ""),
    "spaces after a colon": ("x:", " ", ""),
    "spaces after param": (":param ", " ", ""),
    "words after param": (":param ", "a ", ""),
    "spaces after a title": ("Args:", " ", "x"),
    "words of a title": ("", "A ", ""),
    "a long type": (":type ", "a ", ""),
    "stars": ("", "*", ""),
}


@pytest.mark.parametrize("name", PUMPS)
@pytest.mark.parametrize("expression", ["_GOOGLE", "_ENTRY", "_FIELD", "_FIELD_OF_CODE", "_FENCE"])
def test_twice_the_line_takes_twice_the_steps_of_each_expression(expression: str, name: str) -> None:
    """In steps of an engine that goes back as `re` does: a quadratic expression takes four times as many."""
    pattern: re.Pattern[str] = getattr(docstrings, expression)
    before, pump, after = PUMPS[name]
    few, many = (Matching(pattern, before + pump * times + after).steps for times in (600, 1200))
    assert many <= 2.5 * few + 100


@pytest.mark.parametrize(
    "expression, start, pump",
    [(r"x\s*(?:y)?\s*:", "x", " "), (r"(?:a+)+b", "", "a"), (r"(?:a|a)*b", "", "a")],
)
def test_steps_that_grow_faster_are_seen(expression: str, start: str, pump: str) -> None:
    """The judge is judged."""
    few, many = (Matching(re.compile(expression), start + pump * times).steps for times in (7, 14))
    assert many > 2.5 * few


def test_the_counting_engine_agrees_with_re() -> None:
    """On whether a line matches."""
    lines = [before + pump * 3 + after for before, pump, after in PUMPS.values()]
    lines += [
        "x: y",
        "x (int, optional): y",
        "*args (a (b) c): d",
        ":param int x: y",
        ":type x: y",
        "Args:",
        "Args: x",
    ]
    for expression in ("_GOOGLE", "_ENTRY", "_FIELD", "_FIELD_OF_CODE", "_FENCE"):
        pattern: re.Pattern[str] = getattr(docstrings, expression)
        for line in lines:
            assert Matching(pattern, line).found == (pattern.match(line) is not None), (expression, line)


class Matching:
    """An expression matched at the start of a text by going back and trying again, every step counted."""

    def __init__(self, pattern: re.Pattern[str], text: str) -> None:
        self.text = text
        self.steps = 0
        self._one: dict[int, re.Pattern[str]] = {}
        self.found = next(self._sequence([*parser.parse(pattern.pattern)], 0), None) is not None

    def _sequence(self, parts: list[Any], at: int) -> Iterator[int]:
        if not parts:
            yield at
            return
        for end in self._part(parts[0], at):
            yield from self._sequence(parts[1:], end)

    def _part(self, part: Any, at: int) -> Iterator[int]:
        self.steps += 1
        code, argument = str(part[0]), part[1]
        if code in ("MAX_REPEAT", "MIN_REPEAT"):
            yield from self._repeated(argument, at)
        elif code == "SUBPATTERN":
            yield from self._sequence([*argument[3]], at)
        elif code == "BRANCH":
            for branch in argument[1]:
                yield from self._sequence([*branch], at)
        elif code == "AT":
            if "BOUNDARY" in str(argument):
                around = [self.text[index : index + 1].isalnum() for index in (at - 1, at) if index >= 0]
                if len(set(around)) == 2:
                    yield at
            elif at == (0 if "BEGINNING" in str(argument) else len(self.text)):
                yield at
        elif self._takes(part, at):
            yield at + 1

    def _takes(self, part: Any, at: int) -> bool:
        """Whether one character is one that a part takes."""
        if at >= len(self.text):
            return False
        code, argument, character = str(part[0]), part[1], self.text[at]
        if code in ("LITERAL", "NOT_LITERAL"):
            return (ord(character) == argument) is (code == "LITERAL")
        if code == "ANY":
            return character != "\n"
        assert code == "IN", code
        inside = [each for each in argument if str(each[0]) != "NEGATE"]
        return any(self._in(each, character) for each in inside) is (len(inside) == len(argument))

    def _in(self, each: Any, character: str) -> bool:
        code, argument = str(each[0]), each[1]
        if code == "RANGE":
            return argument[0] <= ord(character) <= argument[1]
        if code == "CATEGORY":
            kinds = {"SPACE": str.isspace, "DIGIT": str.isdigit, "WORD": lambda c: c.isalnum() or c == "_"}
            _, *negated, kind = str(argument).split("_")
            return kinds[kind](character) is not bool(negated)
        return ord(character) == argument

    def _repeated(self, argument: Any, at: int) -> Iterator[int]:
        least, most, inner = argument
        parts = [*inner]
        if len(parts) == 1 and str(parts[0][0]) in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            end = at
            while end - at < most and self._takes(parts[0], end):
                self.steps += 1
                end += 1
            while end - at >= least:  # goes back one at a time
                self.steps += 1
                yield end
                end -= 1
            return
        trying = [(at, 0, self._sequence(parts, at))]
        while trying:
            start, times, more = trying[-1]
            self.steps += 1
            end = next(more, None) if times < most else None
            if end is not None and end > start:
                trying.append((end, times + 1, self._sequence(parts, end)))
            elif end is None:
                trying.pop()
                if times >= least:
                    yield start


LONG: list[str] = [
    "Args:\n" + "    a(" * 20_000,
    ":param " + " " * 60_000,
    "S.\n\nArgs:\n    x (" + "(" * 60_000 + "\n\nEnd",
    "S.\n\nArgs:\n    x" + " " * 60_000 + "y\n\nEnd",
    "A " * 32_000,
]


@pytest.mark.parametrize("doc", LONG, ids=range(len(LONG)))
def test_a_long_line_takes_few_steps(doc: str) -> None:
    """Lines are looked at whole, not a character at a time; beyond 64 KiB nothing is."""
    assert steps(doc) < 600
    assert len(parse_docstring(doc + "x" * 100_000).text) <= 64 * 1024
