"""The run: who goes when, what came of it, and how far it is.

Theory of operation: group by group, so that what is compared is measured within a minute or two; within a
group round by round, in the order A B C and then C B A, so that a machine that slows down slows everyone. The
process that runs this is bound to the load's core and is the load. A measure that fails is taken out with its
reason for that contestant; a wrong answer is a failure.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .contestants import Contestant, Pace
from .figures import Sample
from .measures import Group, Turn
from .measures.turn import reason_of

Say = Callable[[str], None]


@dataclass
class Results:
    """Everything a run found. ``measures``: by measure and contestant, a sample for each round, None where there is
    none. ``reasons``: why, by measure and contestant. ``growth``: by plot and contestant, pairs of x and y.
    """

    about: dict[str, Any] = field(default_factory=dict[str, Any])
    measures: dict[str, dict[str, list[Sample | None]]] = field(
        default_factory=dict[str, dict[str, list[Sample | None]]]
    )
    reasons: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    growth: dict[str, dict[str, list[tuple[float, float]]]] = field(
        default_factory=dict[str, dict[str, list[tuple[float, float]]]]
    )

    def put(self, measure: str, name: str, turn: int, outcome: Sample | str) -> None:
        """Keep what came of one measure in one round."""
        kept = self.measures.setdefault(measure, {}).setdefault(name, [])
        kept += [None] * (turn + 1 - len(kept))
        if isinstance(outcome, str):
            self.reasons.setdefault(measure, {}).setdefault(name, outcome)
        else:
            kept[turn] = outcome


@dataclass
class Progress:
    """How far a run is, and how long the rest takes, judged by what is done."""

    total: int
    say: Say
    done: int = 0
    began: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    def tell(self, what: str) -> None:
        """Say what comes now."""
        left = ""
        if self.done:
            seconds = self.elapsed() / self.done * (self.total - self.done)
            left = (
                f", about {seconds / 60:.0f} min left" if seconds >= 90 else f", about {seconds:.0f} s left"
            )
        self.say(f"[{self.done * 100 // max(self.total, 1):3} %{left}] {what}")
        self.done += 1


def order(names: Sequence[str], turn: int) -> list[str]:
    """Who goes when in a round: A B C, then C B A."""
    return list(names) if turn % 2 == 0 else list(reversed(names))


def run(
    groups: Sequence[Group],
    everyone: Mapping[str, Contestant],
    *,
    who: Sequence[str],
    rounds: int,
    pace: Pace,
    results: Results,
    progress: Progress,
) -> None:
    """Measure all groups."""
    for group in groups:
        names = [name for name in group.who if name in who]
        for turn in range(rounds):
            for name in order(names, turn):
                progress.tell(f"{', '.join(group.measures)}: round {turn + 1} of {rounds}, {name}")
                one_turn(group, everyone, name, turn, pace, results, progress.say)


def one_turn(
    group: Group,
    everyone: Mapping[str, Contestant],
    name: str,
    turn: int,
    pace: Pace,
    results: Results,
    say: Say,
) -> None:
    """One contestant's turn in a group."""
    if all(name in results.reasons.get(measure, {}) for measure in group.measures):
        return
    told: set[str] = set()

    def record(measure: str, outcome: Sample | str) -> None:
        told.add(measure)
        if isinstance(outcome, str) and name not in results.reasons.get(measure, {}):
            say(f"  {name} has no {measure}: {brief(outcome)}")
        results.put(measure, name, turn, outcome)

    try:
        group.run(Turn(everyone[name], pace, everyone, record))
    except Exception as problem:  # noqa: BLE001 - half an hour of measuring is not lost to one bug; it is shown
        reason = reason_of(problem)
        for measure in group.measures:
            if measure not in told:
                record(measure, reason)


def brief(reason: str) -> str:
    """The first line of a reason, and the last if there are more."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 else f"{lines[0][:120]} ... {lines[-1][:160]}"


def failures(results: Results, name: str) -> list[str]:
    """The measures that failed for a contestant, with the reason."""
    return [
        f"{measure}: {brief(reasons[name])}"
        for measure, reasons in results.reasons.items()
        if reasons.get(name, "").startswith("failed")
    ]


def bind_to(cores: frozenset[int] | None) -> None:
    """Run this process on these cores only."""
    if cores is not None:
        os.sched_setaffinity(0, cores)
