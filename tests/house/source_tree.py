"""What the house rules read: the project's files, and the syntax trees of its Python source.

Rules are functions from a parsed file to findings ("path:line: what"), so that each can be tried on a small
wrong piece of source first: a rule that cannot fail proves nothing.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "dovetail"
PYTHON_FOLDERS = ("src", "apps", "conftest.py", "tests", "tools", "examples", "conformance", "benchmarks")
#: What is shipped: the library, and each application.
SHIPPED = re.compile(r"(?:apps/[^/]+/)?src/")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Source:
    """One Python file; ``name`` is its path from the root of the project, with forward slashes."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text, self.name)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of a module's dotted name: ``src/dovetail/a/__init__.py`` is ("dovetail", "a")."""
        parts = SHIPPED.sub("", self.name, count=1).removesuffix(".py").split("/")
        return tuple(parts[:-1] if parts[-1] == "__init__" else parts)

    def at(self, node: ast.AST) -> str:
        """Where a node stands."""
        return f"{self.name}:{getattr(node, 'lineno', 1)}"

    @cached_property
    def docstrings(self) -> frozenset[int]:
        """The ids of the constants that are docstrings, or strings standing alone as a statement."""
        return frozenset(
            id(node.value)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        )

    @cached_property
    def annotations(self) -> frozenset[int]:
        """The ids of the constants inside ``Literal[...]``: a type has to spell its values out."""
        return frozenset(
            id(inner)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Subscript) and _last_name(node.value).endswith("Literal")
            for inner in ast.walk(node.slice)
        )

    def strings(self) -> Iterator[tuple[ast.Constant, str]]:
        """Every string that the program can use: no docstrings, nothing inside ``Literal[...]``."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                if id(node) in self.docstrings or id(node) in self.annotations:
                    continue
                value = node.value
                yield node, value.decode("latin-1") if isinstance(value, bytes) else value

    def definitions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


@cache
def project_files() -> tuple[Path, ...]:
    """The files that are, or would be, committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = (ROOT / name for name in sorted(set(listed.split("\0"))) if name)
    return tuple(path for path in paths if path.is_file())


def _last_name(node: ast.expr) -> str:
    """What stands last in a dotted name; "" for what is none."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


@cache
def python_sources() -> tuple[Source, ...]:
    """Every Python file of the project."""
    found = (path.relative_to(ROOT) for path in project_files() if path.suffix == ".py")
    return tuple(
        Source(path.as_posix(), (ROOT / path).read_text("utf-8"))
        for path in found
        if path.parts[0] in PYTHON_FOLDERS
    )


@cache
def package_sources() -> tuple[Source, ...]:
    """The files of what is shipped: those of the library, and those of the applications."""
    return tuple(source for source in python_sources() if SHIPPED.match(source.name))


@cache
def library_sources() -> tuple[Source, ...]:
    """The files of the library alone."""
    return tuple(source for source in package_sources() if source.name.startswith("src/"))


def findings(rule: Callable[[Source], Iterable[str]], sources: Iterable[Source]) -> str:
    """What a rule finds in these files, a line each; nothing found is the empty string."""
    return "\n".join(finding for source in sources for finding in rule(source))


def imported_modules(node: ast.AST) -> list[str]:
    """The dotted names an import statement names."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom():
            return [node.module or ""]
        case _:
            return []
