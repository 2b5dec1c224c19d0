"""House rules on applications: they use public names of the library alone, and the library knows of none.

An application is what a stranger could have written. What it imports of ``dovetail`` is looked up in the list of public
names (`tools/public_api.py`), name by name; so are the attributes of packages that it imports whole. The same holds for
its tests. The other way round nothing under ``src/`` names an application: its command is found by entry point.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import public_api
import pytest
import workspace
from source_tree import ROOT, Source, findings, library_sources, python_sources

APPLICATIONS = workspace.applications()


@cache
def public() -> dict[str, frozenset[str]]:
    """The public names of the library, by module."""
    return {module: frozenset(public_api.names_of(module)) for module in public_api.PUBLIC}


def is_ours(module: str) -> bool:
    """Whether a dotted name is the library's."""
    return module.partition(".")[0] == "dovetail"


def package_of(node: ast.expr, whole: dict[str, str]) -> str:
    """The public package that an expression is, of those imported ``whole`` or inside of them; "" if it is none."""
    match node:
        case ast.Name(id=name):
            return whole.get(name, "")
        case ast.Attribute(value=value, attr=attr):
            inner = f"{package_of(value, whole)}.{attr}"
            return inner if inner in public() else ""
        case _:
            return ""


def private_names(source: Source) -> Iterator[str]:
    """What is imported of the library, or used of a package of it, and is not public."""
    whole: dict[str, str] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                if is_ours(each.name):
                    if each.name not in public():
                        yield f"{source.at(node)}: {each.name} is no public package"
                    bound = each.asname or "dovetail"
                    whole[bound] = each.name if each.asname else "dovetail"
        elif isinstance(node, ast.ImportFrom) and not node.level and is_ours(node.module or ""):
            module = node.module or ""
            for each in node.names:
                if f"{module}.{each.name}" in public():
                    whole[each.asname or each.name] = f"{module}.{each.name}"
                elif each.name not in public().get(module, ()):
                    yield f"{source.at(node)}: {each.name} of {module} is no public name"
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Attribute):
            continue
        package = package_of(node.value, whole)
        if package and node.attr not in public()[package] and f"{package}.{node.attr}" not in public():
            yield f"{source.at(node)}: {node.attr} of {package} is no public name"


def by_name_of_module(source: Source) -> Iterator[str]:
    """Imports that are made of text: nobody sees what they reach."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "import_module",
            "__import__",
        ):
            text = ast.unparse(node.args[0]) if node.args else ""
            if "__name__" not in text:
                yield f"{source.at(node)}: imports {text}; only its own package may be imported by text"


def names_an_application(source: Source) -> Iterator[str]:
    """Imports of an application, and strings that could become one."""
    packages = [each.package.name for each in APPLICATIONS] or ["dovetail_authserver"]
    for node in ast.walk(source.tree):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (
            f"{source.at(node)}: imports {name}" for name in names if name.partition(".")[0] in packages
        )
    for node, value in source.strings():
        if any(re.search(rf"\b{package}\b", value) for package in packages):
            yield f"{source.at(node)}: names an application"


def of_applications(folder: str) -> list[Source]:
    """The files of all applications in one of their folders."""
    return [each for each in python_sources() if re.match(rf"apps/[^/]+/{folder}/", each.name)]


def test_there_are_applications():
    """Or the rules would prove nothing."""
    assert "dovetail-authserver" in [each.name for each in APPLICATIONS]
    assert len(of_applications("src")) > 20


@pytest.mark.parametrize("folder", ["src", "tests"])
def test_applications_use_public_names(folder):
    """In what they ship, and in what they are tested with."""
    assert findings(private_names, of_applications(folder)) == ""


def test_applications_import_nothing_by_text():
    """A lazy package finds its own modules; nothing else is looked up."""
    assert findings(by_name_of_module, of_applications("src")) == ""


def test_the_library_names_no_application():
    """What it finds of them, it finds by entry point."""
    assert findings(names_an_application, library_sources()) == ""


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda each: each.name)
def test_an_application_is_declared_as_all_are(application):
    """Name, version, what it needs, its command, its contract, its page."""
    project, library = application.declared["project"], workspace.library().declared["project"]
    short = application.folder.name
    assert project["name"] == f"dovetail-{short}"
    assert application.package.name == f"dovetail_{short}"
    assert project["version"] == library["version"]
    assert project["requires-python"] == library["requires-python"]
    needed = [each for each in project["dependencies"] if re.match(r"dovetail\b(?!-)", each)]
    assert len(needed) == 1
    assert re.fullmatch(rf"dovetail(\[[\w,]+\])?=={re.escape(library['version'])}", needed[0])
    commands = project["entry-points"]["dovetail.commands"]
    assert all(value.startswith(f"{application.package.name}.command:") for value in commands.values())
    (face,) = (
        each for each in application.declared["tool"]["importlinter"]["contracts"] if each["id"] == "face"
    )
    assert face["source_modules"] == [application.package.name]
    assert face["forbidden_modules"] == ["dovetail.**"]
    allowed = {each.partition(" -> ")[2] for each in face["ignore_imports"]}
    assert allowed <= public().keys()
    assert (application.folder / "README.md").is_file()
    assert (application.folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert any(application.tests.glob("test_*.py"))


WRONG = [
    (private_names, "from dovetail.lazy_names import LazyNames\n"),
    (private_names, "from dovetail.security.fetching import Fetcher\n"),
    (private_names, "from dovetail.security import AddressPolicy\n"),
    (private_names, "from dovetail import stores\nx = stores.memory\n"),
    (private_names, "import dovetail.protocol.names\n"),
    (private_names, "import dovetail\nx = dovetail.server.app.App\n"),
    (private_names, "import dovetail.stores\nx = dovetail.stores.sqlite\n"),
    (private_names, "from dovetail.stores import *\n"),
    (private_names, "def f():\n    from dovetail.auth import dpop\n"),
    (by_name_of_module, "import importlib\nx = importlib.import_module('dovetail.' + 'logs')\n"),
    (names_an_application, "from dovetail_authserver import AuthServer\n"),
    (names_an_application, "x = 'dovetail_authserver.server'\n"),
]


@pytest.mark.parametrize("rule,text", WRONG, ids=lambda value: getattr(value, "__name__", ""))
def test_the_rules_can_fail(rule, text):
    """Each rule finds the wrong it is there for."""
    assert list(rule(Source("apps/some/src/dovetail_some/x.py", text)))


FINE = [
    (
        private_names,
        "from dovetail import App, DovetailError\nfrom dovetail.auth import oauth\nx = oauth.verifies\n",
    ),
    (private_names, "import dovetail.stores\nx = dovetail.stores.MemoryStore\n"),
    (private_names, "from .dovetail import anything\nfrom dovetail_other import thing\n"),
    (by_name_of_module, "from importlib import import_module\nx = import_module(f'{__name__}.part')\n"),
    (names_an_application, "x = 'dovetail.commands'\n"),
]


@pytest.mark.parametrize("rule,text", FINE, ids=lambda value: getattr(value, "__name__", ""))
def test_the_rules_let_pass(rule, text):
    """No rule finds what is right."""
    assert not list(rule(Source("apps/some/src/dovetail_some/x.py", text)))
