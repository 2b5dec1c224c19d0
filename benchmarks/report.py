"""The results on the terminal, and as a file that the page is made from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .contestants import EVERYONE, OURS
from .figures import Spread, scaled, spread
from .goals import ROWS, Judged, Row, judge
from .suite import Results, brief

COLOURS = {"met": "green", "missed": "red", "-": "dim"}


def cell(results: Results, row: Row, name: str, figure: str | None = None, unit: str | None = None) -> str:
    """A figure of a contestant, or "-"."""
    middle = spread(results.measures.get(row.measure, {}).get(name, ()), figure or row.figure)
    return scaled(middle.median, unit or row.unit) if middle else "-"


def judged(results: Results) -> list[tuple[Row, list[Judged]]]:
    """Each row with what came of its goals."""
    return [(row, [judge(row, goal, results.measures) for goal in row.goals]) for row in ROWS]


def told(value: Spread | None) -> str:
    """A ratio with its least and most."""
    if value is None:
        return "-"
    return f"{plain(value.median)} ({plain(value.low)} to {plain(value.high)})"


def plain(value: float) -> str:
    """A figure that fits a narrow column."""
    return scaled(value, "B") if value >= 1024 else scaled(value, "")


def show(results: Results, console: Console) -> None:
    """The table, then what is missing and why."""
    names = measured_names(results)
    table = Table(
        "measure", *(("dovetail",) if OURS in names else ()), *[name for name in names if name != OURS]
    )
    for heading in ("goal", "ratio (least to most)", ""):
        table.add_column(heading)
    ordered = sorted(names, key=lambda name: name != OURS)
    for row, found in judged(results):
        if row.measure not in results.measures:
            continue
        figures = [_cells(results, row, name) for name in ordered]
        goals = "\n".join(each.text for each in found)
        values = "\n".join(told(each.value) for each in found)
        verdicts = "\n".join(f"[{COLOURS[each.verdict]}]{each.verdict}[/]" for each in found)
        table.add_row(row.title, *figures, goals, values, verdicts, end_section=True)
    console.print(table)
    for line in missing(results):
        console.print(f"[dim]{line}[/]", highlight=False)
    for line in saturated(results):
        console.print(f"[yellow]{line}[/]", highlight=False)


def _cells(results: Results, row: Row, name: str) -> str:
    first = cell(results, row, name)
    if row.beside == "cpu" and first != "-":
        return f"{first}\n[dim]{cell(results, row, name, 'cpu', 'us')}[/]"
    if row.beside == "copies" and first != "-":
        return f"{first}\n[dim]{cell(results, row, name, 'copies', 'copies')}[/]"
    return first


def measured_names(results: Results) -> list[str]:
    """Who took part, in the usual order."""
    there = {name for samples in results.measures.values() for name in samples}
    return [name for name in EVERYONE if name in there]


def missing(results: Results) -> list[str]:
    """Who has no figure, and why; reasons that many measures share, once."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for measure, reasons in results.reasons.items():
        for name, reason in reasons.items():
            grouped.setdefault((name, brief(reason)), []).append(measure)
    return [f"{name}: no {', '.join(measures)}: {reason}" for (name, reason), measures in grouped.items()]


def saturated(results: Results) -> list[str]:
    """Where the load was so busy that it may have been what limited the rate."""
    lines: list[str] = []
    for measure, samples in results.measures.items():
        for name, rounds in samples.items():
            busy = spread(rounds, "busy")
            if busy and busy.median > 0.9:
                lines.append(
                    f"{measure}, {name}: the load was {busy.median:.0%} busy; its rate is the load's limit"
                )
    return lines


def goals_missed(results: Results) -> int:
    """How many goals were missed."""
    return sum(each.verdict == "missed" for _, found in judged(results) for each in found)


def save(results: Results, path: Path) -> None:
    """Write the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dataclasses.asdict(results), indent=1) + "\n")


def load(path: Path) -> Results:
    """Read it again."""
    found: dict[str, Any] = json.loads(path.read_text())
    return Results(**found)


def median_of(results: Results, measure: str, names: Sequence[str], figure: str) -> list[tuple[str, float]]:
    """The medians of a figure, of those who have it."""
    samples = results.measures.get(measure, {})
    found = [(name, spread(samples.get(name, ()), figure)) for name in names]
    return [(name, middle.median) for name, middle in found if middle is not None]
