"""What a history of a cluster must not show: anything lost, doubled, out of order or wrong. A pure function.

Theory of operation
-------------------
`check` sorts the records by operation and holds each against these rules:

* **lost**: each operation ends once, in time. What ended in another way than with its answer ended so because of a
  fault that was there while it ran, or shortly before (`GRACE`: it takes that long until a death is known). A session
  is gone only where its store lost everything, and a stream can be resumed no more only where the store was down while
  it was written (`BACK`: until all workers know that it is there again).
* **doubled**: the app's own record has each key at most once, whatever the client was told; a client that was answered
  finds it there exactly once, and one that was told that nothing was done (`NOTHING_DONE`) finds nothing. No event id
  is read twice, no question asked twice, nothing answered twice.
* **order**: what a call reports comes as it was reported, without a gap; whoever comes back after an event hears the
  very next one first.
* **wrong**: an answer is that of its own call, and contains the reply to its own question.
* **deaf**: who listened when something changed, and goes on listening, is told so within `TOLD`.

Specification: none; what is promised is in docs/machines.md.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from history import Effect, Fault, Invoke, Opened, Outcome, Read, Record, Reply, Resume

#: Seconds after a fault for which it explains what goes wrong.
GRACE: Final = 10.0
#: Seconds after the store is back within which a stream may still be lost.
BACK: Final = 2.0
#: Seconds within which a change is told.
TOLD: Final = 10.0
#: Statuses that promise that nothing was done.
NOTHING_DONE: Final = frozenset({"404", "429", "503"})
#: What says in the app's record that an operation did its work.
WORKING: Final = ("work", "ask")


@dataclass(frozen=True)
class Violation:
    """What must not be. ``operation`` is -1 where it is of none."""

    rule: str
    operation: int
    text: str


@dataclass
class _Operation:
    invoke: Invoke
    opened: list[Opened] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    resumes: list[Resume] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    told: list[Read | Resume] = field(default_factory=list)

    def take(self, record: Opened | Read | Resume | Reply | Outcome) -> None:
        if isinstance(record, Opened):
            self.opened.append(record)
        elif isinstance(record, Reply):
            self.replies.append(record)
        elif isinstance(record, Outcome):
            self.outcomes.append(record)
        else:
            self.told.append(record)
            if isinstance(record, Read):
                self.reads.append(record)
            else:
                self.resumes.append(record)


def check(history: Sequence[Record]) -> list[Violation]:
    """Everything that is wrong with a history; empty if nothing is."""
    operations: dict[int, _Operation] = {}
    effects: Counter[tuple[str, str]] = Counter()
    faults: list[Fault] = []
    for record in history:
        if isinstance(record, Invoke):
            operations[record.operation] = _Operation(record)
        elif isinstance(record, Effect):
            effects[record.what, record.key] += 1
        elif isinstance(record, Fault):
            faults.append(record)
        else:
            operations[record.operation].take(record)
    found: list[Violation] = []
    for each in operations.values():
        found += _endings(each, faults)
        found += _effects(each, effects, faults)
        found += _events(each)
        found += _values(each)
    known = {operation.invoke.key for operation in operations.values()}
    found += [
        Violation("wrong", -1, f"{what} was done for {key}, which nobody asked for")
        for what, key in effects
        if key not in known
    ]
    found += _deaf(list(operations.values()))
    return found


def _endings(one: _Operation, faults: Sequence[Fault]) -> Iterator[Violation]:
    """Each operation ends once, and badly only for a reason."""
    number, invoke = one.invoke.operation, one.invoke
    if len(one.outcomes) != 1:
        yield Violation("lost", number, f"{invoke.what} {invoke.key} ended {len(one.outcomes)} times")
        return
    (outcome,) = one.outcomes
    if outcome.how == "hung":
        accepted = [each.status for each in one.opened]
        came = [each.what if isinstance(each, Read) else f"resumed {each.status}" for each in one.told]
        said = [each.status for each in one.replies]
        broken = [(each.what, round(each.at, 2), round(each.until, 2)) for each in faults]
        yield Violation(
            "lost",
            number,
            f"{invoke.what} {invoke.key} at {invoke.at:.2f}, answered with {accepted}: nothing more came after"
            f" {came}, replies {said}; faults: {broken}",
        )
        return
    if outcome.how in ("answer", "cancelled", "closed"):
        return
    during = _during(faults, invoke.at, outcome.at)
    if outcome.how == "session":
        during = [each for each in during if each.what == "empty"]
    elif outcome.how == "trimmed":
        during = [
            each
            for each in during
            if each.part == "engine" and each.what != "pause" and each.until + BACK >= invoke.at
        ]
    if not during:
        yield Violation(
            "lost", number, f"{invoke.what} {invoke.key}: {outcome.how} ({outcome.value}) without a fault"
        )


def _during(faults: Sequence[Fault], since: float, until: float) -> list[Fault]:
    """The faults that explain what went wrong in this time."""
    return [each for each in faults if each.at <= until and each.until + GRACE >= since]


def _effects(
    one: _Operation, effects: Counter[tuple[str, str]], faults: Sequence[Fault]
) -> Iterator[Violation]:
    """What was done, was done once, and as its client was told."""
    invoke = one.invoke
    number = invoke.operation
    for what in (*WORKING, "begun", "cancelled"):
        if effects[what, invoke.key] > 1:
            yield Violation(
                "doubled", number, f"{what} {invoke.key} was done {effects[what, invoke.key]} times"
            )
    if len(one.outcomes) != 1:
        return
    (outcome,) = one.outcomes
    if invoke.what in WORKING:
        done = effects[invoke.what, invoke.key]
        if outcome.how == "answer" and not done:
            yield Violation("lost", number, f"{invoke.what} {invoke.key} was answered, and nothing was done")
        if outcome.how == "refused" and outcome.value in NOTHING_DONE and done:
            yield Violation(
                "doubled", number, f"{invoke.what} {invoke.key} was refused ({outcome.value}) and done"
            )
    if outcome.how == "cancelled" and outcome.value == "202" and effects["begun", invoke.key]:
        killed = [
            each
            for each in faults
            if each.what != "pause" and each.at <= outcome.at + 1 and each.until >= invoke.at
        ]
        if not effects["cancelled", invoke.key] and not killed:
            yield Violation(
                "lost", number, f"the cancellation of {invoke.key} was taken, and nothing was cancelled"
            )


def _events(one: _Operation) -> Iterator[Violation]:
    """Each event once, and in order."""
    number = one.invoke.operation
    seen = Counter(each.event for each in one.reads if each.event)
    for event, count in seen.items():
        if count > 1:
            yield Violation("doubled", number, f"event {event} was read {count} times")
    after: dict[str, int] = {}
    for record in one.told:
        if isinstance(record, Resume):
            continue
        stream, _, position = record.event.rpartition("-")
        if not stream:
            continue
        last = after.get(stream)
        if last is not None and int(position) != last + 1 and seen[record.event] == 1:
            yield Violation("order", number, f"event {position} of a stream came after {last}")
        after[stream] = int(position)
    progress = [int(each.value) for each in one.reads if each.what == "progress"]
    for earlier, later in pairwise([0, *progress]):
        if later != earlier + 1:
            yield Violation("order", number, f"step {later} was told after step {earlier}")
    answered = [each for each in one.reads if each.what in ("answer", "error")]
    if len(answered) > 1:
        yield Violation("doubled", number, f"{one.invoke.key} was answered {len(answered)} times")
    if answered and one.reads[-1] is not answered[-1]:
        yield Violation("order", number, f"{one.invoke.key}: something was told after the answer")
    whole = any(each.how == "answer" for each in one.outcomes) and one.invoke.what == "work"
    if whole and progress and progress[-1] != one.invoke.steps:
        yield Violation("lost", number, f"{one.invoke.key} was answered, and told up to step {progress[-1]}")


def _values(one: _Operation) -> Iterator[Violation]:
    """Each answer is that of its call, each question is asked once."""
    invoke = one.invoke
    questions = [each.value for each in one.reads if each.what == "question"]
    if len(questions) > 1:
        yield Violation("doubled", invoke.operation, f"{invoke.key} asked {len(questions)} times")
    values = {each.value for each in one.outcomes if each.how == "answer"}
    if not values:
        return
    said = "".join(sorted({each.value for each in one.replies}))
    expected = {
        "work": f"done {invoke.key}",
        "ask": f"{invoke.key} {said}",
        "change": f"changed {invoke.key.partition(':')[0]}",
    }.get(invoke.what)
    if expected is not None and values != {expected}:
        yield Violation("wrong", invoke.operation, f"{invoke.what} {invoke.key} was answered {values}")


def _deaf(operations: Sequence[_Operation]) -> Iterator[Violation]:
    """Who listens is told."""
    heard: defaultdict[int, list[Read]] = defaultdict(list)
    listening: list[tuple[_Operation, float, float]] = []
    changes: list[tuple[str, float, float]] = []
    for one in operations:
        ended = one.outcomes[-1].at if one.outcomes else float("inf")
        if one.invoke.what == "listen" and one.opened and one.opened[0].status == 200:
            heard[one.invoke.operation] = [each for each in one.reads if each.what == "changed"]
            listening.append((one, one.opened[0].at, ended))
        elif one.invoke.what == "change" and any(each.how == "answer" for each in one.outcomes):
            changes.append((one.invoke.key.partition(":")[0], one.invoke.at, ended))
    for name, began, done in changes:
        for one, since, until in listening:
            names = one.invoke.key.split(":", 1)[1].split(",")
            if name not in names or since > began or until < done + TOLD:
                continue
            if not any(
                each.value == name and began <= each.at <= done + TOLD for each in heard[one.invoke.operation]
            ):
                yield Violation(
                    "deaf", one.invoke.operation, f"a change of {name} at {done:.2f} was not told"
                )
