"""The card of a server as rows: what it says, what the server says, and what is wrong with it.

Specification: SEP-2127, discovery.
"""

from __future__ import annotations

from typing import Any, Final

from ..views import CardView, FindingView
from .text import Row, inline, json_rows

__all__ = ["card_rows", "note_rows"]

_LONGEST: Final = 300
_STATES: Final = {"same": "good", "differs": "error", "missing": "warning"}
_SEVERITIES: Final = {"error": "error", "warning": "warning", "hint": "accent"}


def card_rows(card: CardView) -> list[Row]:
    """A card that was got, or why there is none."""
    rows: list[Row] = [[], [("Server card", "title"), (f"  {inline(card.url)}", "faint")]]
    if card.message:
        rows.append([(inline(card.message), "error" if card.state == "failed" else "plain")])
    for each in card.facts:
        rows.append([(f"{inline(each.fact):<26}", "key"), (each.state, _STATES[each.state])])
        if each.note:
            rows.append([(f"  {inline(each.note)}", "faint")])
        if each.state == "same":
            rows.append([(f"  {_said(each.card)}", "plain")])
        else:
            rows.append([("  the card    ", "faint"), (_said(each.card), "plain")])
            rows.append([("  the server  ", "faint"), (_said(each.server), "plain")])
    rows += note_rows(card.notes)
    if card.state == "found" and not card.notes:
        rows.append([("Nothing is wrong with it by its schema.", "faint")])
    if card.content is not None:
        rows += [[], *json_rows(card.content)]
    return rows


def note_rows(notes: list[FindingView]) -> list[Row]:
    """What is wrong with something, each in two rows."""
    rows: list[Row] = []
    for each in notes:
        rows.append([(f"{each.severity:<8}", _SEVERITIES[each.severity]), (inline(each.what), "plain")])
        rows.append([(f"        {inline(each.rule)}  {inline(each.requirement)}", "faint")])
    return rows


def _said(value: Any) -> str:
    """A value in one row."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return inline(value, _LONGEST)
    return inline(" ".join("".join(text for text, _ in row).strip() for row in json_rows(value)), _LONGEST)
