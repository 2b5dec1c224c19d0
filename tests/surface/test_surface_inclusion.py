"""Whether one schema takes all that another takes: what is called compatible never breaks anybody."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schema_pairs import ALIKE, PLAIN, SAID_OTHERWISE, SENDERS, Change, as_described, changes
from schema_values import judge, near

from dovetail.surface.inclusion import Inclusion


@cache
def changed(name: str) -> tuple[Change, ...]:
    """All that is one change away from a schema."""
    return tuple(changes(SENDERS[name]))


def check(sender: Any, receiver: Any, *, bare: bool = False) -> None:
    """What is found compatible takes all that is sent, and what is proven not to be is shown by a value."""
    described = as_described(sender, bare=bare)
    sends, takes = judge(described, formats=True), judge(receiver, formats=True)
    if sends is None or takes is None:
        return
    found = Inclusion(sender, receiver, bare=bare).misfits()
    for each in found:
        if each.proven:
            (value,) = each.examples
            gives, refuses = judge(sender), judge(receiver)
            assert gives is not None
            assert refuses is not None
            assert gives(value), (sender, receiver, each)
            assert not refuses(value), (sender, receiver, each)
    if not found:
        broken = [each for each in near(described, receiver) if sends(each) and not takes(each)]
        assert not broken, (sender, receiver, broken[:3])


@pytest.mark.parametrize("name", SENDERS)
def test_one_change_that_is_found_compatible_breaks_nobody(name):
    """Each schema against each that is one change away, and the other way around where that is not plain to see."""
    schema = SENDERS[name]
    for change in changed(name):
        if not change.looser:
            check(schema, change.schema)
        if not change.tighter:
            check(change.schema, schema)


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_only_loosened_is_found_compatible(name):
    """No caution without a reason: a receiver that asks less than before takes all that was sent before."""
    schema = SENDERS[name]
    for change in changed(name):
        if change.looser:
            found = Inclusion(schema, change.schema).misfits()
            assert not found, change


@pytest.mark.parametrize("name", SAID_OTHERWISE)
def test_the_same_in_other_words_is_found_compatible(name):
    """A promise that the sender makes with another keyword than the one that the receiver asks with."""
    assert not Inclusion(*SAID_OTHERWISE[name]).misfits()
    check(*SAID_OTHERWISE[name])


@pytest.mark.parametrize("name", ALIKE)
def test_what_looks_alike_is_not_taken_for_the_same(name):
    """Pairs whose parts say the same, and not their whole."""
    sender, receiver = ALIKE[name]
    assert Inclusion(sender, receiver).misfits()
    check(sender, receiver)


@pytest.mark.parametrize("name", [each for each in SENDERS if SENDERS[each].get("type") == "object"])
def test_a_bare_sender_is_held_to_what_it_describes_and_no_less(name):
    """Arguments that are described by nobody: of the outermost object, not even where it describes none."""
    schema = SENDERS[name]
    for change in changed(name):
        if not change.looser and change.what.startswith("with"):
            check(schema, change.schema, bare=True)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(sorted(SENDERS)), st.integers(0, 10_000), st.integers(0, 10_000))
def test_two_changes_that_are_found_compatible_break_nobody(name, first, second):
    """Changes that hide each other: one of the sender, one of the receiver."""
    possible = changed(name)
    sender, receiver = (possible[each % len(possible)].schema for each in (first, second))
    check(sender, receiver)
