"""What a run over many tasks must not show: anything lost, doubled, or changed once it had ended. A pure function.

* **lost**: each task whose client was told of it ended once, and the store says the same. What nobody was told of is no
  more than the creations that failed.
* **doubled**: a step was begun once, and once more at most for each run of its task that was cut short, which the store
  has counted; one that runs once never again. One question was asked, under one key.
* **wrong**: what a task came to is made of its own answer, and of both of its steps. A cancelled one stays so.

Specification: none; what is promised is in docs/machines.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

STEPS = ("pack", "go")


@dataclass
class TaskHistory:
    """What one client saw of its task. ``cancelled``: that it was told so; ``refused``: creations that failed before.
    ``ended``: status and text, each time it was told.
    """

    key: str
    once: bool
    id: str = ""
    refused: int = 0
    asked: set[str] = field(default_factory=set)
    cancelled: bool = False
    ended: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class KeptTask:
    """What the store has of a task in the end. ``cut``: runs of it that died or were let go of."""

    id: str
    status: str
    cut: int
    used: frozenset[str]


def check(histories: Sequence[TaskHistory], kept: Iterable[KeptTask], effects: Iterable[str]) -> list[str]:
    """What is wrong, a line for each. ``effects``: "begun STEP KEY", of the app's own record."""
    there = {each.id: each for each in kept}
    begun = Counter(tuple(line.split()[1:]) for line in effects)
    found = [line for each in histories for line in _wrong(each, there.get(each.id), begun)]
    unknown = there.keys() - {each.id for each in histories}
    refused = sum(each.refused for each in histories)
    if len(unknown) > refused:
        found.append(
            f"doubled: {len(unknown)} tasks are there of which nobody was told, and {refused} failed"
        )
    return found


def _wrong(history: TaskHistory, kept: KeptTask | None, begun: Counter[tuple[str, ...]]) -> Iterator[str]:
    key = history.key
    if not history.id or kept is None:
        yield f"lost: {key} was never created, or is not there any more"
        return
    if len(set(history.ended)) != 1:
        yield f"lost or doubled: {key} ended {history.ended}"
        return
    status, text = history.ended[0]
    if kept.status != status:
        yield f"wrong: {key} ended {status!r}, and the store says {kept.status!r}"
    if history.cancelled != (status == "cancelled"):
        yield f"wrong: {key} was cancelled: {history.cancelled}, and ended {status!r}"
    if not history.asked | kept.used <= {"where"}:
        yield f"doubled: {key} was asked {sorted(history.asked | kept.used)}"
    times = {step: begun[step, key] for step in STEPS}
    most = 1 if history.once else 1 + kept.cut
    if max(times.values()) > most:
        yield f"doubled: of {key} steps were begun {times} times, and {kept.cut} runs were cut short"
    yield from _misfit(history, status, text, times, kept.cut)


def _misfit(history: TaskHistory, status: str, text: str, times: dict[str, int], cut: int) -> Iterator[str]:
    """What does not fit how a task ended."""
    unsure = history.once and cut and "the outcome of the step" in text
    if status == "completed" and not unsure:
        if text != f"pack go {history.key}":
            yield f"wrong: {history.key} came to {text!r}"
        if min(times.values()) < 1:
            yield f"lost: {history.key} was completed, and its steps begun {times} times"
    elif status not in ("completed", "cancelled"):
        yield f"lost: {history.key} ended {status!r}: {text}"
