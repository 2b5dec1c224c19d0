"""What a scenario's run means: good, bad, or bad as expected.

Theory of operation: the suite writes every check it made into a file; nothing is read off its prose. A scenario is good
only if it succeeded in something, failed in nothing, warned of nothing and ended well. ``expected_failures.yml`` names
the scenarios that may fail, which are authorization and extension scenarios only; one that no longer fails, or that
does not exist, has to leave the list.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plan import Plan, Scenario

EXPECTED = Path(__file__).with_name("expected_failures.yml")
# Added to every scenario by the newest release: that no message broke the schema. Alone it proves nothing.
ALWAYS = "wire-schema-valid"
# Checks that are skipped or merely told of when the scenario's point was missed; here they have to succeed.
DEMANDED = {
    "server-sse-polling": "server-sse-disconnect-resume",
    "authorization-server": "authorization-code-grant",
}
TAIL = 1500  # characters of output shown for a scenario that did not end well


class ListError(Exception):
    """The list of expected failures is wrong; the message says where."""


@dataclass(frozen=True)
class Outcome:
    """One scenario, run. ``problems``: a line for each failing check, and for what else went wrong."""

    scenario: Scenario
    counts: Counter[str]
    problems: tuple[str, ...]
    seconds: float

    @property
    def good(self) -> bool:
        """Whether nothing is to be said against it."""
        return not self.problems


def judge(scenario: Scenario, results: Path, *, status: int | None, said: str, seconds: float) -> Outcome:
    """The outcome, from the files that the suite wrote. ``status`` is its exit status, None when time ran out."""
    checks = [
        check for file in sorted(results.rglob("checks.json")) for check in json.loads(file.read_text())
    ]
    counts = Counter(str(check["status"]) for check in checks)
    problems = [_told(check) for check in checks if check["status"] in ("FAILURE", "WARNING")]
    if status is None:
        problems.append(f"did not end in time\n{said[-TAIL:]}")
    elif not checks:
        problems.append(f"made no checks (exit {status})\n{said[-TAIL:]}")
    elif status and not problems:
        noise = "".join(file.read_text()[-TAIL:] for file in sorted(results.rglob("stderr.txt")))
        problems.append(f"every check is good, but the run failed (exit {status})\n{noise or said[-TAIL:]}")
    elif not problems:
        proven = {check["id"] for check in checks if check["status"] == "SUCCESS"} - {ALWAYS}
        demanded = DEMANDED.get(scenario.name)
        if not proven:
            problems.append("proved nothing: every check was skipped or only told something")
        elif demanded is not None and demanded not in proven:
            problems.append(f"did not prove {demanded}")
    return Outcome(scenario, counts, tuple(problems), seconds)


def _told(check: dict[str, Any]) -> str:
    why = check.get("errorMessage") or (check.get("details") or {}).get("message") or ""
    return f"{check['status']} {check['id']}: {check['description']}" + (f"\n{why}" if why else "")


def read_expected(path: Path = EXPECTED) -> dict[str, set[str]]:
    """The scenarios that may fail, by role. The file is a mapping of lists with comments, and no other YAML."""
    found: dict[str, set[str]] = {"server": set(), "client": set(), "authorization": set()}
    role = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        if text.removesuffix(":") in found and text.endswith(":"):
            role = text.removesuffix(":")
        elif text.startswith("- ") and role:
            name = text[2:].strip()
            if name in found[role]:
                raise ListError(f"{path.name}:{number}: {name} stands there twice")
            found[role].add(name)
        else:
            raise ListError(f"{path.name}:{number}: neither 'server:', 'client:' nor '- scenario': {text}")
    return found


def check_list(expected: dict[str, set[str]], plan: Plan) -> list[str]:
    """What is wrong with the list itself: scenarios that do not exist, or that have to pass."""
    wrong: list[str] = []
    for role, listed in expected.items():
        for name in sorted(listed):
            if (role, name) not in plan.tags:
                wrong.append(f"{EXPECTED.name}: no release has the {role} scenario {name}")
            elif not plan.may_be_expected(role, name):
                wrong.append(
                    f"{EXPECTED.name}: {name} has to pass; only authorization and extensions may fail"
                )
    return wrong


def stale(expected: dict[str, set[str]], outcomes: Iterable[Outcome]) -> list[str]:
    """Entries whose scenario was run and failed nowhere."""
    fates: dict[tuple[str, str], set[bool]] = {}
    for outcome in outcomes:
        fates.setdefault((outcome.scenario.role, outcome.scenario.name), set()).add(outcome.good)
    return [
        f"{EXPECTED.name}: the {role} scenario {name} passes now; take it off the list"
        for role, listed in expected.items()
        for name in sorted(listed)
        if fates.get((role, name)) == {True}
    ]


_COLUMNS = (
    "suite",
    "role",
    "scenarios",
    "passed",
    "failed",
    "expected",
    "checks",
    "good",
    "bad",
    "warned",
    "skipped",
)


def table(outcomes: Iterable[Outcome], expected: dict[str, set[str]]) -> str:
    """One row for each suite and role: scenarios, then checks."""
    rows: dict[tuple[str, str], Counter[str]] = {}
    for outcome in outcomes:
        scenario = outcome.scenario
        row = rows.setdefault((scenario.suite, scenario.role), Counter())
        fate = (
            "passed" if outcome.good else "expected" if scenario.name in expected[scenario.role] else "failed"
        )
        counts = outcome.counts
        row.update({"scenarios": 1, fate: 1, "good": counts["SUCCESS"], "bad": counts["FAILURE"]})
        row.update({"warned": counts["WARNING"], "skipped": counts["SKIPPED"]})
        row["checks"] = row["good"] + row["bad"] + row["warned"] + row["skipped"]
    lines = [list(_COLUMNS)]
    lines += [
        [suite, role, *(str(row[name]) for name in _COLUMNS[2:])] for (suite, role), row in rows.items()
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column < 2 else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
