"""What came of a cell, held against what was expected: both ways, and each message against its definition.

Follows: no page of the specification.
"""

from __future__ import annotations

from interop.conversation import Outcome
from interop.steps import WORKS, Expectation
from interop.wire_file import frames
from oracle.checker import Fault, Oracle


def judge(outcome: Outcome, expected: Expectation) -> dict[str, str]:
    """For each step one of: works, cannot, broken, unexpected."""
    marks: dict[str, str] = {}
    for step, said in expected.steps.items():
        works, should = outcome.steps[step] == WORKS, said == WORKS
        marks[step] = {(True, True): "works", (False, False): "cannot", (False, True): "broken"}.get(
            (works, should), "unexpected"
        )
    return marks


def faults_of(outcome: Outcome, oracle: Oracle) -> list[Fault]:
    """What is wrong with the messages that our side sent and received."""
    for path in outcome.wire:
        for frame in frames(path):
            oracle.observe(frame)
    return oracle.take()


def known_breaches(faults: list[Fault], expected: Expectation) -> list[str]:
    """What is wrong with the messages, a line each, but for what this peer is known to get wrong."""
    received = {fault.definition for fault in faults if not fault.sent}
    unknown = [str(fault) for fault in faults if fault.sent or fault.definition not in expected.breaches]
    mended = [
        f"{each} is in order, although the table says: {expected.breaches[each]}"
        for each in expected.breaches
        if each not in received
    ]
    return unknown + mended


def complaints(outcome: Outcome, expected: Expectation, marks: dict[str, str]) -> list[str]:
    """What did not come as expected, a line each."""
    found: list[str] = []
    for step, mark in marks.items():
        if mark == "broken":
            found.append(f"{step} should work: {outcome.steps[step]}")
        elif mark == "unexpected":
            seen = outcome.details.get(step, "")
            found.append(f"{step} works ({seen}), although the table says: {expected.steps[step]}")
    return found
