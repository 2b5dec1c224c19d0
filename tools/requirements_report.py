"""Print, area by area, how many of the specification's MUST rows have a test that names them.

The rows are those of ``tests/requirements.csv``; a row has a test if its id stands in a ``requirement`` marker of a
test, under ``tests/`` or of an application. The markers are read from the source, so nothing is run. Rows that no test
of ours can prove stand in ``tests/must/not_ours.toml``, each with its reason.

    python tools/requirements_report.py               the table: tested, not ours, neither
    python tools/requirements_report.py --missing AREA   the ids of an area that have neither a test nor a reason
    python tools/requirements_report.py --strict      fail unless every row has a test or a reason, and not both

Authorization is the area ``auth``, together with what other areas say of it: ``security``, and the rows on who a caller
is among elicitation and lifecycle.
"""

from __future__ import annotations

import ast
import csv
import sys
import tomllib
from collections import Counter
from functools import cache

from workspace import ROOT, applications

TESTS = ROOT / "tests"
BINDING = frozenset({"MUST", "MUST NOT"})


def named_rows(text: str) -> set[str]:
    """Every id that the markers in a file of tests name."""
    found: set[str] = set()
    if "mark.requirement" not in text:  # most files; to parse one takes a hundred times as long as to look
        return found
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="requirement", value=ast.Name(id="mark") | ast.Attribute(attr="mark"))
            ):
                found |= {
                    each.value
                    for each in node.args
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
            case _:
                pass
    return found


@cache
def claimed() -> frozenset[str]:
    """Every id that a test's marker names."""
    folders = [TESTS, *(each.tests for each in applications())]
    files = (each for folder in folders for each in folder.rglob("*.py"))
    return frozenset(row for path in files for row in named_rows(path.read_text("utf-8")))


def excused() -> dict[str, str]:
    """The rows that are not ours to prove, with their reasons."""
    with (TESTS / "must" / "not_ours.toml").open("rb") as file:
        groups = tomllib.load(file)["rows"]
    return {id: group["reason"] for group in groups for id in group["ids"]}


def faults(rows: list[dict[str, str]]) -> list[str]:
    """What ``--strict`` finds wrong."""
    tested, reasons = claimed(), excused()
    known = {row["id"] for row in rows}
    required = {row["id"] for row in rows}
    return [
        *(f"{id}: neither a test nor a reason" for id in sorted(required - tested - reasons.keys())),
        *(f"{id}: has a test, and a reason why it has none" for id in sorted(tested & reasons.keys())),
        *(f"{id}: has a reason, but is no MUST row" for id in sorted(reasons.keys() - known)),
    ]


def _left(others: int, missing: int) -> str:
    """What is not tested, in words."""
    said = [f"{others} not ours"] if others else []
    return ", ".join([*said, f"{missing} with neither"] if missing else said)


def main(arguments: list[str]) -> int:
    """Print the table, what is missing from one area, or what is wrong."""
    with (TESTS / "requirements.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["level"] in BINDING]
    tested = claimed()
    match arguments:
        case ["--missing", area]:
            known = tested | excused().keys()
            print(*(row["id"] for row in rows if row["area"] == area and row["id"] not in known), sep="\n")
        case ["--strict"]:
            found = faults(rows)
            print(*found, sep="\n")
            print(f"{len(found)} faults")
            return 1 if found else 0
        case []:
            total = Counter(row["area"] for row in rows)
            done = Counter(row["area"] for row in rows if row["id"] in tested)
            reasons = excused().keys() - tested
            others = Counter(row["area"] for row in rows if row["id"] in reasons)
            for area in sorted(total):
                share, rest = (count[area] * 20 // total[area] for count in (done, others))
                missing = total[area] - done[area] - others[area]
                bar = f"{'#' * share}{'-' * rest}".ljust(20, "." if missing else "-")
                print(
                    f"{area:<16} {done[area]:>4} of {total[area]:>4}  {bar}  {_left(others[area], missing)}".rstrip()
                )
            missing = total.total() - done.total() - others.total()
            print(
                f"{'all':<16} {done.total():>4} of {total.total():>4}  {' ' * 20}  {_left(others.total(), missing)}"
            )
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
