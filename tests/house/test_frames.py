"""House rule: nobody reads the local variables of running functions, but those of functions that say so."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from source_tree import Source, findings, package_sources

MAY = {
    "src/dovetail/runtime/dispatch.py": "of functions of ours that are marked for it",
    "src/dovetail/server/signature.py": "of the function in which a type of an annotation was defined",
}
LOCALS = frozenset(
    {"f_locals", "getargvalues", "getcoroutinelocals", "getgeneratorlocals", "getasyncgenlocals"}
)


def looks_inside(source: Source) -> Iterator[str]:
    """Where a file reads local variables of another function."""
    for node in ast.walk(source.tree):
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)
        if name in LOCALS and source.name not in MAY:
            yield f"{source.at(node)}: {name}"


def test_nobody_looks_into_running_functions() -> None:
    assert not findings(looks_inside, package_sources())


@pytest.mark.parametrize("text", ["frame.f_locals.get('call')", "inspect.getargvalues(frame)"])
def test_the_rule_sees_who_does(text: str) -> None:
    assert list(looks_inside(Source("src/dovetail/server/x.py", text)))
