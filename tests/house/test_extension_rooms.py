"""House rules on the rooms of `extensions/`, and on `openapi/`: each is on public names alone, as anybody's is."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator

import pytest
from source_tree import ROOT, Source, findings, library_sources
from test_applications import private_names, public

ROOMS = [
    each for each in library_sources() if each.parts[:2] == ("dovetail", "extensions") and each.parts[2:]
]


OPENAPI = [each for each in library_sources() if each.parts[:2] == ("dovetail", "openapi")]


def reaches_out(source: Source) -> Iterator[str]:
    """Relative imports of what is outside of the room: what an outsider could not write."""
    depth = len(source.parts) - (0 if source.name.endswith("__init__.py") else 1)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and depth - node.level + 1 < 3 and node.level:
            yield f"{source.at(node)}: a relative import that leaves the room; write the public name"


def test_there_are_rooms() -> None:
    assert "src/dovetail/extensions/authorization/__init__.py" in [each.name for each in ROOMS]


@pytest.mark.parametrize("rule", [private_names, reaches_out], ids=lambda rule: rule.__name__)
def test_rooms_use_public_names(rule) -> None:
    assert findings(rule, ROOMS) == ""


def test_openapi_uses_public_names() -> None:
    assert "src/dovetail/openapi/provider.py" in [each.name for each in OPENAPI]
    assert findings(private_names, OPENAPI) == ""


def test_the_contract_names_every_room() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = (each for each in contracts if each.get("id") == "extensions")
    assert set(contract["source_modules"]) == {".".join(each.parts[:3]) for each in ROOMS}
    assert {each.partition(" -> ")[2] for each in contract["ignore_imports"]} <= public().keys()


WRONG = [
    (private_names, "from dovetail.runtime.extension import Extensions\n"),
    (reaches_out, "from .. import Extension\n"),
    (reaches_out, "from ...auth import extension_names\n"),
]


@pytest.mark.parametrize("rule,text", WRONG, ids=lambda value: getattr(value, "__name__", ""))
def test_the_rules_can_fail(rule, text) -> None:
    assert list(rule(Source("src/dovetail/extensions/some/__init__.py", text)))


def test_a_room_may_have_modules_of_its_own() -> None:
    inside = Source("src/dovetail/extensions/some/parts.py", "from .names import X\nfrom . import names\n")
    assert not list(reaches_out(inside))


def test_the_front_knows_of_no_room() -> None:
    """Or rooms and front would go in a circle."""
    (front,) = (each for each in library_sources() if each.parts == ("dovetail", "extensions"))
    taken = [node for node in ast.walk(front.tree) if isinstance(node, ast.ImportFrom)]
    assert taken
    assert all(node.level == 2 and node.module for node in taken)
