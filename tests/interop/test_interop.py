"""Every cell of the matrix, held against what was expected before it was run: both ways.

A step that should work and does not fails the cell, and so does one that works although it should not: then
what we say about that peer is out of date. Every frame that our side sent or received is held against its
definition, as in all other tests; a peer that breaks one is known for it, or the cell fails.

Follows: basic/lifecycle, basic/transports, basic/versioning of all revisions; what is asked of whom is in
`steps.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from interop.conftest import MATRIX
from interop.conversation import Outcome, converse, crowd
from interop.installing import Peers
from interop.steps import STATEFUL, STATELESS, STEPS, WORKS, Cell, Expectation, cells, expectations
from interop.wire_file import frames
from oracle.checker import Fault, Oracle

EXPECTED = expectations()


def judge(outcome: Outcome, expected: Expectation) -> dict[str, str]:
    """For each step one of: works, cannot, broken, unexpected."""
    marks: dict[str, str] = {}
    for step in STEPS:
        works, should = outcome.steps[step] == WORKS, expected.steps[step] == WORKS
        marks[step] = {(True, True): "works", (False, False): "cannot", (False, True): "broken"}.get(
            (works, should), "unexpected"
        )
    return marks


def known_breaches(faults: list[Fault], expected: Expectation) -> list[str]:
    """What is wrong with the messages, a line each, but for what this peer is known to get wrong."""
    received = {fault.definition for fault in faults if not fault.sent}
    unknown = [str(fault) for fault in faults if fault.sent or fault.definition not in expected.breaches]
    mended = [
        f"{each} is in order, although expected.toml says: {expected.breaches[each]}"
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
            found.append(f"{step} works ({seen}), although expected.toml says: {expected.steps[step]}")
    return found


@pytest.mark.timeout(150)
@pytest.mark.parametrize("cell", list(cells()), ids=str)
def test_cell(
    cell: Cell,
    peers: Peers,
    folder: Path,
    oracle: Oracle,
    record_property: Callable[[str, object], None],
) -> None:
    """The conversation goes as expected, and what our side says in it keeps to the schemas."""
    outcome = converse(cell, peers, folder)
    for path in outcome.wire:
        for frame in frames(path):
            oracle.observe(frame)
    faults = known_breaches(oracle.take(), EXPECTED[cell])
    marks = judge(outcome, EXPECTED[cell])
    record_property(MATRIX, [str(cell), marks])
    found = complaints(outcome, EXPECTED[cell], marks) + faults
    assert not found, "\n".join((f"{cell}:", *found, outcome.said))
    assert outcome.wire or cell.role == "alone", "our side kept no record of what it said"


@pytest.mark.timeout(150)
def test_a_crowd_of_both_eras_at_one_endpoint(peers: Peers, folder: Path, oracle: Oracle) -> None:
    """One server of ours serves several implementations at once, some stateful and some stateless."""
    guests = [
        Cell(peer, "client", "http", revision)
        for peer in ("mcp", "typescript")
        for revision in (STATEFUL[-1], STATELESS)
    ]
    outcome = crowd(guests, peers, folder)
    for path in outcome.wire:
        for frame in frames(path):
            oracle.observe(frame)
    assert outcome.wire
    assert (outcome.steps, outcome.killed) == ({}, False)


def test_the_expectations_cover_every_cell() -> None:
    """The table says one thing about each step of each cell, and gives a reason for each that cannot work."""
    assert set(EXPECTED) == set(cells())
    assert all(len(said) > 20 for each in EXPECTED.values() for said in each.steps.values() if said != WORKS)


def test_an_unexpected_success_is_told() -> None:
    """The comparison goes both ways."""
    outcome = Outcome(dict.fromkeys(STEPS, WORKS) | {"call": "broke"}, {"ask": "Hello"})
    expected = Expectation(dict.fromkeys(STEPS, WORKS) | {"ask": "has no questions"}, {})
    marks = judge(outcome, expected)
    assert (marks["call"], marks["ask"], marks["read"]) == ("broken", "unexpected", "works")
    assert complaints(outcome, expected, marks) == [
        "call should work: broke",
        "ask works (Hello), although expected.toml says: has no questions",
    ]
