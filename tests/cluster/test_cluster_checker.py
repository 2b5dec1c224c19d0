"""The checker of histories finds each kind of wrong in histories that were made wrong, and nothing in right ones.

Specification: none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from checker import GRACE, TOLD, check
from history import Effect, Fault, Invoke, Opened, Outcome, Read, Record, Reply, Resume, load, save

RIGHT: tuple[Record, ...] = (
    # A call whose stream is read at two workers.
    Invoke(1.0, 1, 0, "work", "k1", 3),
    Opened(1.1, 1, 200, 0),
    Read(1.2, 1, "ra-1", "primer"),
    Read(1.3, 1, "ra-2", "progress", "1"),
    Resume(1.4, 1, "ra-2", 200, 1),
    Read(1.5, 1, "ra-3", "progress", "2"),
    Read(1.6, 1, "ra-4", "progress", "3"),
    Read(1.7, 1, "ra-5", "answer", "done k1"),
    Outcome(1.8, 1, "answer", "done k1"),
    Effect("work", "k1"),
    # A question that is answered elsewhere.
    Invoke(2.0, 2, 1, "ask", "k2"),
    Opened(2.1, 2, 200, 1),
    Read(2.2, 2, "rb-1", "question", "q1"),
    Reply(2.3, 2, "q1", "hat", 202, 2),
    Read(2.4, 2, "rb-2", "answer", "k2 hat"),
    Outcome(2.5, 2, "answer", "k2 hat"),
    Effect("ask", "k2"),
    # A call whose worker is killed.
    Fault(3.0, 3.5, "kill", "worker 0"),
    Invoke(3.1, 3, 0, "work", "k3", 2),
    Opened(3.2, 3, 200, 0),
    Read(3.3, 3, "rc-1", "progress", "1"),
    Resume(3.6, 3, "rc-1", 200, 1),
    Read(9.0, 3, "rc-2", "error", "died"),
    Outcome(9.1, 3, "error", "died"),
    Effect("work", "k3"),
    # One that was refused meanwhile.
    Invoke(4.0, 4, 1, "work", "k4", 2),
    Opened(4.1, 4, 503),
    Outcome(4.2, 4, "refused", "503"),
    # A cancellation.
    Invoke(5.0, 5, 1, "endless", "k5"),
    Opened(5.1, 5, 200, 0),
    Outcome(5.2, 5, "cancelled", "202"),
    Effect("begun", "k5"),
    Effect("cancelled", "k5"),
    # A change, and who listens.
    Invoke(6.0, 6, 2, "listen", "l6:a,b"),
    Opened(6.1, 6, 200, 2),
    Invoke(40.0, 7, 1, "change", "a:k7"),
    Opened(40.1, 7, 200, 0),
    Read(40.2, 6, "sd-1", "changed", "a"),
    Read(40.2, 7, "", "answer", "changed a"),
    Outcome(40.3, 7, "answer", "changed a"),
    Outcome(60.0, 6, "closed"),
)


def without(*numbers: int) -> Callable[[Sequence[Record]], list[Record]]:
    return lambda history: [each for at, each in enumerate(history) if at not in numbers]


def instead(old: Record, *new: Record) -> Callable[[Sequence[Record]], list[Record]]:
    assert old in RIGHT

    def change(history: Sequence[Record]) -> list[Record]:
        at = history.index(old)
        return [*history[:at], *new, *history[at + 1 :]]

    return change


PROGRESS = Read(1.5, 1, "ra-3", "progress", "2")
ANSWER = Read(1.7, 1, "ra-5", "answer", "done k1")
LATE = 3.5 + GRACE + 1

WRONG: dict[str, tuple[str, Callable[[Sequence[Record]], list[Record]]]] = {
    "an operation never ends": ("lost", instead(Outcome(1.8, 1, "answer", "done k1"))),
    "it ends twice": ("lost", instead(RIGHT[8], RIGHT[8], Outcome(1.9, 1, "error", "died"))),
    "nothing comes": ("lost", instead(RIGHT[8], Outcome(41.8, 1, "hung"))),
    "an error without a fault": ("lost", instead(RIGHT[8], Outcome(1.8, 1, "error", "died"))),
    "a session is gone though nothing was emptied": (
        "lost",
        instead(RIGHT[27], Outcome(4.2, 4, "session", "404")),
    ),
    "events are gone though nothing happened": (
        "lost",
        lambda history: [
            *history,
            Invoke(LATE, 20, 1, "work", "k20", 1),
            Opened(LATE + 0.1, 20, 200, 0),
            Outcome(LATE + 0.2, 20, "trimmed", "400"),
        ],
    ),
    "events are gone though only a worker stood still, or the store did": (
        "lost",
        lambda history: [
            *history,
            Fault(100.0, 108.0, "pause", "worker 1"),
            Fault(100.0, 102.0, "pause", "engine"),
            Fault(100.0, 102.0, "kill", "worker 2"),
            Invoke(101.0, 20, 1, "work", "k20", 1),
            Opened(101.1, 20, 200, 0),
            Outcome(109.0, 20, "trimmed", "400"),
        ],
    ),
    "answered and not done": ("lost", instead(Effect("work", "k1"))),
    "done twice": ("doubled", instead(Effect("work", "k1"), Effect("work", "k1"), Effect("work", "k1"))),
    "done twice after a death": (
        "doubled",
        instead(Effect("work", "k3"), Effect("work", "k3"), Effect("work", "k3")),
    ),
    "refused and done": ("doubled", instead(RIGHT[27], RIGHT[27], Effect("work", "k4"))),
    "an event is read twice": ("doubled", instead(PROGRESS, PROGRESS, PROGRESS)),
    "an event comes again after resuming": ("doubled", instead(PROGRESS, RIGHT[3], PROGRESS)),
    "an event is skipped": ("order", instead(PROGRESS)),
    "events change places": ("order", lambda history: [*history[:5], history[6], history[5], *history[7:]]),
    "a step is told again under another id": (
        "order",
        instead(PROGRESS, PROGRESS, Read(1.55, 1, "", "progress", "2")),
    ),
    "the last step is lost": (
        "lost",
        lambda history: instead(ANSWER, Read(1.7, 1, "ra-4", "answer", "done k1"))(without(6)(history)),
    ),
    "answered twice": ("doubled", instead(ANSWER, ANSWER, Read(1.75, 1, "ra-6", "answer", "done k1"))),
    "answered, and told on": ("order", instead(ANSWER, ANSWER, Read(1.75, 1, "ra-6", "primer"))),
    "the answer of another": (
        "wrong",
        instead(RIGHT[8], Outcome(1.8, 1, "answer", "done k2")),
    ),
    "another answer to the question": ("wrong", instead(RIGHT[15], Outcome(2.5, 2, "answer", "k2 cap"))),
    "asked twice": ("doubled", instead(RIGHT[12], RIGHT[12], Read(2.25, 2, "rb-9", "question", "q2"))),
    "done for nobody": ("wrong", instead(Effect("work", "k1"), Effect("work", "k1"), Effect("work", "k99"))),
    "the cancellation is lost": ("lost", instead(Effect("cancelled", "k5"))),
    "not told": ("deaf", instead(Read(40.2, 6, "sd-1", "changed", "a"))),
    "told of something else": (
        "deaf",
        instead(Read(40.2, 6, "sd-1", "changed", "a"), Read(40.2, 6, "sd-1", "changed", "b")),
    ),
    "told before it was so": (
        "deaf",
        instead(Read(40.2, 6, "sd-1", "changed", "a"), Read(39.0, 6, "sd-1", "changed", "a")),
    ),
    "told too late": (
        "deaf",
        instead(Read(40.2, 6, "sd-1", "changed", "a"), Read(40.4 + TOLD, 6, "sd-1", "changed", "a")),
    ),
    "an error long after the fault": (
        "lost",
        lambda history: [
            *history,
            Invoke(LATE, 20, 1, "work", "k20", 1),
            Opened(LATE + 0.1, 20, 200, 0),
            Outcome(LATE + 0.2, 20, "broken"),
        ],
    ),
}


def test_nothing_is_wrong_with_a_right_history() -> None:
    assert check(RIGHT) == []


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_history_is_found_wrong(name: str) -> None:
    rule, change = WRONG[name]
    found = check(change(RIGHT))
    assert rule in {each.rule for each in found}, found


def test_a_listener_that_was_sent_away_was_told_to_look_again() -> None:
    gone = [
        Outcome(40.4, 6, "closed") if each == Outcome(60.0, 6, "closed") else each
        for each in RIGHT
        if each != Read(40.2, 6, "sd-1", "changed", "a")
    ]
    assert check(gone) == []


def test_a_store_that_lost_everything_explains_lost_sessions() -> None:
    emptied = instead(RIGHT[27], Outcome(4.2, 4, "session", "404"), Fault(3.9, 4.0, "empty", "engine"))(RIGHT)
    assert check(emptied) == []


def test_a_store_that_was_down_explains_a_stream_that_is_gone() -> None:
    gone = [
        *RIGHT,
        Fault(100.0, 102.0, "kill", "engine"),
        Invoke(101.0, 20, 1, "work", "k20", 1),
        Opened(101.1, 20, 200, 0),
        Outcome(103.0, 20, "trimmed", "400"),
    ]
    assert check(gone) == []


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    save(RIGHT, tmp_path / "history")
    assert load(tmp_path / "history") == list(RIGHT)
