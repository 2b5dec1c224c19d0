"""Print, area by area, how many of the specification's MUST rows have a test that names them.

The rows are those of ``tests/requirements.csv``; a row has a test if its id stands in a ``requirement``
marker somewhere under ``tests/``. The markers are read from the source, so nothing is run. Rows that no test
of ours can prove stand in ``tests/must/not_ours.toml``, each with its reason.

    python tools/requirements_report.py               the table
    python tools/requirements_report.py --missing AREA   the ids of an area that have none
    python tools/requirements_report.py --strict      fail unless every row has a test or a reason, and not both

``--strict`` leaves out the areas that are not built yet: authorization and tasks.
"""

from __future__ import annotations

import ast
import csv
import sys
import tomllib
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
BINDING = frozenset({"MUST", "MUST NOT"})
LATER = frozenset({"auth", "tasks"})


def claimed() -> set[str]:
    """Every id that a test's marker names."""
    found: set[str] = set()
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.requirement"):
                found |= {
                    each.value
                    for each in node.args
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
    return found


def excused() -> dict[str, str]:
    """The rows that are not ours to prove, with their reasons."""
    with (TESTS / "must" / "not_ours.toml").open("rb") as file:
        groups = tomllib.load(file)["rows"]
    return {id: group["reason"] for group in groups for id in group["ids"]}


def faults(rows: list[dict[str, str]]) -> list[str]:
    """What ``--strict`` finds wrong."""
    tested, reasons = claimed(), excused()
    known = {row["id"] for row in rows}
    required = {row["id"] for row in rows if row["area"] not in LATER}
    return [
        *(f"{id}: neither a test nor a reason" for id in sorted(required - tested - reasons.keys())),
        *(f"{id}: has a test, and a reason why it has none" for id in sorted(tested & reasons.keys())),
        *(f"{id}: has a reason, but is no MUST row" for id in sorted(reasons.keys() - known)),
    ]


def main(arguments: list[str]) -> int:
    """Print the table, what is missing from one area, or what is wrong."""
    with (TESTS / "requirements.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["level"] in BINDING]
    tested = claimed()
    match arguments:
        case ["--missing", area]:
            print(*(row["id"] for row in rows if row["area"] == area and row["id"] not in tested), sep="\n")
        case ["--strict"]:
            found = faults(rows)
            print(*found, sep="\n")
            print(f"{len(found)} faults")
            return 1 if found else 0
        case []:
            total = Counter(row["area"] for row in rows)
            done = Counter(row["area"] for row in rows if row["id"] in tested)
            for area in sorted(total):
                share = done[area] * 20 // total[area]
                print(f"{area:<16} {done[area]:>4} of {total[area]:>4}  {'#' * share}{'.' * (20 - share)}")
            print(f"{'all':<16} {done.total():>4} of {total.total():>4}")
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
