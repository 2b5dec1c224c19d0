"""House rules on `host/`: it is on public names alone, as the host that somebody else writes would be."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator

import pytest
from source_tree import Source, findings, library_sources
from test_applications import private_names, public

ROOM = [each for each in library_sources() if each.parts[:2] == ("dovetail", "host")]
#: What a front is made of, and what is one of its own kind.
OWN = ("dovetail.host", "dovetail.lazy_names")


def module_of(source: Source, node: ast.ImportFrom) -> str:
    """The module that a relative import names."""
    package = source.parts if source.name.endswith("__init__.py") else source.parts[:-1]
    kept = package[: len(package) - node.level + 1]
    return ".".join([*kept, *([node.module] if node.module else [])])


def is_public(module: str, name: str) -> bool:
    """Whether a name is one of a public module, there or under another address."""
    if name in public().get(module, ()) or f"{module}.{name}" in public():
        return True
    found = getattr(importlib.import_module(module), name)
    return any(
        name in names and getattr(importlib.import_module(at), name) is found
        for at, names in public().items()
    )


def private_imports(source: Source) -> Iterator[str]:
    """What is imported of the house outside of the room, and is not public."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            module = module_of(source, node)
            if module.startswith(OWN):
                continue
            for each in node.names:
                if not is_public(module, each.name):
                    yield f"{source.at(node)}: {each.name} of {module} is no public name"


def test_there_is_a_room() -> None:
    names = [each.name for each in ROOM]
    assert "src/dovetail/host/host.py" in names
    assert "src/dovetail/host/configuration/hosts.py" in names


@pytest.mark.parametrize("rule", [private_names, private_imports], ids=lambda rule: rule.__name__)
def test_hosts_use_public_names(rule) -> None:
    assert findings(rule, ROOM) == ""


@pytest.mark.parametrize(
    "rule,text",
    [
        (private_names, "from dovetail.client.calling import takes_call\n"),
        (private_imports, "from ..client.calling import takes_call\n"),
        (private_imports, "from ..protocol.safe_text import safe\n"),
        (private_imports, "from ..security import fetching\n"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_rules_can_fail(rule, text) -> None:
    assert list(rule(Source("src/dovetail/host/some.py", text)))


def test_the_rules_let_pass_what_is_public() -> None:
    text = "from ..client import Client\nfrom .gate import ConsentGate\nfrom ..security import one_line\n"
    assert not list(private_imports(Source("src/dovetail/host/some.py", text)))
