"""House rules on the shape of files: sizes, names, docstrings, what may stand in them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from source_tree import Source, findings, imported_modules, package_sources, project_files, python_sources

FILE_LINES = 800  # `make check` mentions files from 500 on; here no noun is cut in two for a number
FUNCTION_LINES = 60
BANNED_NAMES = frozenset(
    {
        "util",
        "utils",
        "utility",
        "utilities",
        "helper",
        "helpers",
        "common",
        "manager",
        "base",
        "misc",
        "stuff",
    }
)
# Spelled in pieces, so that this file does not break its own rule.
MACHINE_PATHS = (
    "/" + "work/",
    "/" + "root/",
    "/" + "farm/",
    "/tmp/" + "venv",
    "/tmp/" + "ref/",
    "/opt/" + "wheels",
)
REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("deb", "debian", "org"),
        ("proxy", "golang", "org"),
    )
)
SILENCER = re.compile(r"#\s*(?:type:\s*ignore|pyright:\s*ignore|noqa|pragma:\s*no cover)(?P<rest>.*)")
CODES = re.compile(r"^\s*:?\s*(?:\[[^\]]*\]|[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*)?")
CLOCK_OR_FILE = frozenset({"open", "input", "now", "today", "utcnow"})


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function from its signature to its end, its docstring not counted."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def too_long(source: Source) -> Iterator[str]:
    """Files of more than 800 lines, functions longer than a screen."""
    if (lines := source.text.count("\n")) > FILE_LINES:
        yield f"{source.name}: {lines} lines; split it by meaning (at most {FILE_LINES})"
    for function in source.definitions():
        if (lines := body_lines(function)) > FUNCTION_LINES:
            yield f"{source.at(function)}: {function.name} has {lines} lines (at most {FUNCTION_LINES})"


def vague_name(source: Source) -> Iterator[str]:
    """Modules and packages whose name says nothing."""
    for part in source.parts:
        if BANNED_NAMES & set(part.split("_")):
            yield f"{source.name}: the name {part!r} says nothing about what is inside"


def without_docstring(source: Source) -> Iterator[str]:
    """Modules that do not open with what they are."""
    if not (ast.get_docstring(source.tree) or "").strip():
        yield f"{source.name}: no module docstring"


def type_checking(source: Source) -> Iterator[str]:
    """Imports that only the type checker sees hide a cycle."""
    for node in ast.walk(source.tree):
        named = (isinstance(node, ast.Name) and node.id) or (isinstance(node, ast.Attribute) and node.attr)
        if named == "TYPE_CHECKING":
            yield f"{source.at(node)}: TYPE_CHECKING; move what both sides need to a floor below"


def prints(source: Source) -> Iterator[str]:
    """``print`` belongs to a command line and to what says a line on standard error: on stdio, standard output is the
    wire.
    """
    if source.parts[:2] in (("dovetail", "cli"), ("dovetail", "last_resort")) or source.parts[1:] == (
        "command",
    ):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{source.at(node)}: print outside of a command line"


def shared_random(source: Source) -> Iterator[str]:
    """What draws from the generator that `random` shares disturbs programs that seed it, from threads of ours too."""
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="random"), attr=name)):
                if name not in ("Random", "SystemRandom"):
                    yield f"{source.at(node)}: random.{name}(); use random.SystemRandom()"
            case ast.ImportFrom(module="random"):
                yield f"{source.at(node)}: say random.SystemRandom() where it is used"


def random_in_strategies(source: Source) -> Iterator[str]:
    """What draws at random beside a strategy makes its examples others each time; Hypothesis can't tell it from threads
    of libraries that do so, and does not warn of it here.
    """
    if any(
        name.partition(".")[0] == "hypothesis"
        for node in ast.walk(source.tree)
        for name in imported_modules(node)
    ):
        yield from shared_random(source)


def unexplained_silence(source: Source) -> Iterator[str]:
    """A silenced check has its reason beside it."""
    for number, line in enumerate(source.text.splitlines(), 1):
        found = SILENCER.search(line)
        if found and "SILENCER" not in line:
            reason = CODES.sub("", found["rest"], count=1).strip(" -:#()")
            if len(reason) < 8:
                yield f"{source.name}:{number}: silences a check and does not say why"


def impure(source: Source) -> Iterator[str]:
    """The protocol neither awaits, opens nor asks for the time."""
    if source.parts[:2] != ("dovetail", "protocol"):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncWith | ast.AsyncFor):
            yield f"{source.at(node)}: the protocol does not await"
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in CLOCK_OR_FILE:
                yield f"{source.at(node)}: {called}() in the protocol"
        elif any(name in ("urllib.request", "urllib.error") for name in imported_modules(node)):
            yield f"{source.at(node)}: the protocol opens no connection"


def from_own_front(source: Source) -> Iterator[str]:
    """A module that imports what its own package re-exports has made a cycle.

    Not so a room of `extensions`, or `openapi`: it imports what an outsider does, and the front knows of no room.
    """
    modules = {other.parts for other in package_sources()}
    package = source.parts if source.name.endswith("/__init__.py") else source.parts[:-1]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            target = (*above, *(node.module or "").split(".")) if node.module else above
            outside = (
                ("dovetail",) if source.parts[:2] == ("dovetail", "openapi") else ("dovetail", "extensions")
            )
            if target == package[: len(target)] and target != outside:
                for alias in node.names:
                    if (*target, alias.name) not in modules:
                        yield f"{source.at(node)}: {alias.name} from {'.'.join(target)}, which holds it"


EVERYWHERE = (too_long, unexplained_silence, without_docstring, random_in_strategies)
IN_PACKAGE = (vague_name, type_checking, prints, shared_random, impure, from_own_front)


@pytest.mark.parametrize("rule", EVERYWHERE, ids=lambda rule: rule.__name__)
def test_every_python_file(rule):
    """Rules for all Python in the tree."""
    assert findings(rule, python_sources()) == ""


@pytest.mark.parametrize("rule", IN_PACKAGE, ids=lambda rule: rule.__name__)
def test_package(rule):
    """Rules for what is shipped."""
    assert findings(rule, package_sources()) == ""


def test_no_machine_path_or_registry_host():
    """The project names no folder of one machine, and no package registry."""
    found: list[str] = []
    for path in project_files():
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{path.name}: {word}" for word in (*MACHINE_PATHS, *REGISTRY_HOSTS) if word in text]
    assert not found


WRONG = [
    (too_long, "tests/x.py", "x = 1\n" * 801),
    (too_long, "tests/x.py", "def f():\n" + "    x = 1\n" * 60),
    (unexplained_silence, "tests/x.py", "x = 1  # " + "noqa: E501\n"),
    (unexplained_silence, "tests/x.py", "x = 1  # " + "type: ignore[misc]\n"),
    (without_docstring, "tests/x.py", "x = 1\n"),
    (vague_name, "src/dovetail/server/http_utils.py", ""),
    (vague_name, "src/dovetail/common/thing.py", ""),
    (type_checking, "src/dovetail/x.py", "import typing\nif typing.TYPE_CHECKING:\n    pass\n"),
    (prints, "src/dovetail/server/x.py", "print('hello')\n"),
    (prints, "apps/some/src/dovetail_some/x.py", "print('hello')\n"),
    (shared_random, "src/dovetail/client/x.py", "pause = random.uniform(0.5, 1)\n"),
    (shared_random, "src/dovetail/client/x.py", "from random import uniform\n"),
    (
        random_in_strategies,
        "tests/x.py",
        "import random\nfrom hypothesis import given\nx = random.choice('ab')\n",
    ),
    (impure, "src/dovetail/protocol/x.py", "async def f(): pass\n"),
    (impure, "src/dovetail/protocol/x.py", "when = datetime.now()\n"),
    (impure, "src/dovetail/protocol/x.py", "import urllib.request\n"),
    (from_own_front, "src/dovetail/protocol/x.py", "from dovetail.protocol import Nothing\n"),
    (from_own_front, "src/dovetail/protocol/x.py", "from . import Nothing\n"),
    (from_own_front, "src/dovetail/protocol/types/x.py", "from .. import Nothing\n"),
]


@pytest.mark.parametrize("rule,name,text", WRONG, ids=lambda value: getattr(value, "__name__", ""))
def test_the_rules_can_fail(rule, name, text):
    """Each rule finds the wrong it is there for."""
    assert list(rule(Source(name, text)))


FINE = [
    (too_long, "tests/x.py", "def f():\n    '''\n" + "    words\n" * 60 + "    '''\n"),
    (unexplained_silence, "tests/x.py", "x = 1  # " + "noqa: S105 - a key, not a secret\n"),
    (vague_name, "src/dovetail/protocol/base64_codec.py", ""),
    (prints, "src/dovetail/cli/x.py", "print('hello')\n"),
    (prints, "apps/some/src/dovetail_some/command.py", "print('hello')\n"),
    (from_own_front, "src/dovetail/protocol/types/x.py", "from .. import names\nfrom .x import Thing\n"),
]


@pytest.mark.parametrize("rule,name,text", FINE, ids=lambda value: getattr(value, "__name__", ""))
def test_the_rules_let_pass(rule, name, text):
    """No rule finds what is right."""
    assert not list(rule(Source(name, text)))
