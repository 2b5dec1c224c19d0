"""Conversations with one fault each: its rule finds it, and no other rule finds an error."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import seeded_contents
import seeded_http
import seeded_messages
import seeded_requests
from talking import Said

from dovetail.linting import RULES, Finding, lint_capture

SEEDS: list[tuple[str, Callable[[], Said]]] = [
    *seeded_messages.SEEDS,
    *seeded_requests.SEEDS,
    *seeded_http.SEEDS,
    *seeded_contents.SEEDS,
]


def told(found: list[Finding]) -> str:
    """Findings for a failure."""
    return "\n".join(f"{each.line} {each.severity} {each.rule} {each.where}: {each.what}" for each in found)


@pytest.mark.parametrize("rule,made", SEEDS, ids=[f"{rule}-{made.__name__}" for rule, made in SEEDS])
def test_a_fault_is_found_by_its_rule_alone(rule: str, made: Callable[[], Said]) -> None:
    said = made()
    found = lint_capture(said.lines)
    assert rule in {each.rule for each in found}, told(found)
    assert {each.rule for each in found if each.severity == "error"} <= {rule}, told(found)
    for each in found:
        assert each.severity == RULES[each.rule].severity
        assert 1 <= each.line <= len(said.lines)
        assert each.what.isprintable()
        assert 0 < len(each.what) <= 400


def test_every_rule_has_a_fault_that_it_finds() -> None:
    assert set(RULES) - {rule for rule, _ in SEEDS} == set()
