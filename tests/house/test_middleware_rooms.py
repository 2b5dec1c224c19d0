"""House rules on `middleware/`: what is ready there is on public names alone, as anybody's middleware would be."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from source_tree import Source, findings, library_sources
from test_applications import private_names

ROOM = [each for each in library_sources() if each.parts[:2] == ("dovetail", "middleware")]


def reaches_out(source: Source) -> Iterator[str]:
    """Relative imports of what is outside of the room, but for the table of lazy names that its front is made of."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.level > 1 and node.module != "lazy_names":
            yield f"{source.at(node)}: a relative import that leaves the room; write the public name"


def test_there_is_a_room() -> None:
    assert len(ROOM) > 5


@pytest.mark.parametrize("rule", [private_names, reaches_out], ids=lambda rule: rule.__name__)
def test_ready_middleware_uses_public_names(rule) -> None:
    assert findings(rule, ROOM) == ""


@pytest.mark.parametrize(
    "rule,text",
    [
        (private_names, "from dovetail.runtime.dispatch import around\n"),
        (reaches_out, "from ..runtime.channel import Channel\n"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_rules_can_fail(rule, text) -> None:
    assert list(rule(Source("src/dovetail/middleware/some.py", text)))
