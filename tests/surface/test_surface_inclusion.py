"""Whether one schema takes all that another takes: what is called compatible never breaks anybody."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schema_pairs import as_described, pairs, values

from dovetail.surface.inclusion import Inclusion

SLOW = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)


def validator(schema: Any) -> Any:
    """An independent judge, or None for a schema that is none."""
    try:
        return jsonschema_rs.Draft202012Validator(schema)
    except ValueError:
        return None


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
@given(pairs(), st.lists(values(), min_size=12, max_size=12))
def test_what_is_proven_holds(pair, tried):
    """No value that the sender gives, as described, is refused by the receiver when nothing was found."""
    sender, receiver = pair
    sends, takes = validator(as_described(sender)), validator(receiver)
    if sends is None or takes is None:
        return
    found = Inclusion(sender, receiver).misfits()
    for each in found:
        if each.proven:
            (value,) = each.examples
            assert validator(sender).is_valid(value)
            assert not takes.is_valid(value)
    if not found:
        for value in tried:
            assert not sends.is_valid(value) or takes.is_valid(value)
