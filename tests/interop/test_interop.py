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
from interop.judging import complaints, faults_of, judge, known_breaches
from interop.steps import STATEFUL, STATELESS, STEPS, WORKS, Cell, Expectation, cells, expectations
from interop.talks import Talks
from oracle.checker import Oracle

EXPECTED = expectations()


@pytest.mark.timeout(150)
@pytest.mark.parametrize("cell", list(cells()), ids=str)
def test_cell(
    cell: Cell,
    peers: Peers,
    folder: Path,
    talks: Talks,
    oracle: Oracle,
    record_property: Callable[[str, object], None],
) -> None:
    """The conversation goes as expected, and what our side says in it keeps to the schemas."""
    outcome = converse(cell, peers, folder, talk=talks.path(cell))
    talks.keep(cell, outcome)
    faults = known_breaches(faults_of(outcome, oracle), EXPECTED[cell])
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
    assert outcome.wire
    assert [str(fault) for fault in faults_of(outcome, oracle)] == []
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
        "ask works (Hello), although the table says: has no questions",
    ]
