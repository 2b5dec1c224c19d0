"""What the tables of known faults and demands say (`tests/security/faults/README.md`): where each row is proved."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from source_tree import ROOT
from workspace import applications

TABLES = ROOT / "tests" / "security" / "faults" / "README.md"
WITHOUT = "## Rows without a test, and why"
ROWS = re.compile(r"\b([VFR])(\d+)(?:-[VFR](\d+))?\b")
TESTS = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)
IN_NAME = re.compile(r"(?<=_)[VFR]\d+(?=[_ ]|$)")
FILES = re.compile(r"`([\w/*]+)`")


@cache
def lines() -> tuple[tuple[frozenset[str], str, bool], ...]:
    """Of each line: its rows, what it says of them at last, and whether they have no test."""
    found: list[tuple[frozenset[str], str, bool]] = []
    part = ""
    for line in TABLES.read_text("utf-8").splitlines():
        if line.startswith("#"):
            part = line
        elif line.startswith("|"):
            first, *_, last = (each.strip() for each in line.strip("|").split("|"))
            rows = {
                f"{kind}{number}"
                for kind, begin, end in ROWS.findall(first)
                for number in range(int(begin), int(end or begin) + 1)
            }
            if rows:
                found.append((frozenset(rows), last, part == WITHOUT))
    return tuple(found)


@cache
def rows_by_file() -> dict[Path, frozenset[str]]:
    """By file the rows that names of its tests have, as ``-k`` looks for them."""
    folders = [ROOT / "tests", *(each.tests for each in applications())]
    return {
        path: frozenset(IN_NAME.findall(" ".join(TESTS.findall(path.read_text("utf-8"))).upper()))
        for folder in folders
        for path in folder.rglob("test_*.py")
    }


def test_each_row_has_a_test_or_a_reason() -> None:
    proved = frozenset[str]().union(*(rows for rows, _, without in lines() if not without))
    reasoned = frozenset[str]().union(*(rows for rows, _, without in lines() if without))
    assert {f"V{number}" for number in range(1, 61)} <= proved | reasoned
    found = frozenset[str]().union(*rows_by_file().values())
    assert proved - found == set(), "pytest -k finds none"
    assert reasoned & (found | proved) == set(), "there is a test: say where it is"


def test_each_row_is_proved_where_the_tables_say() -> None:
    wrong: list[str] = []
    for rows, where, without in lines():
        if without:
            continue
        there: set[str] = set()
        for file in FILES.findall(where):
            paths = [path for path in rows_by_file() if path.match(f"{file}.py")]
            wrong += [] if paths else [f"there is no {file}"]
            there.update(*(rows_by_file()[path] for path in paths))
        wrong += [f"{row}: no test of {where} has it in its name" for row in sorted(rows - there)]
    assert wrong == []
