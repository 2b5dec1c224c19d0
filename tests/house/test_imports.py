"""House rules on imports: what `import dovetail` costs, what the core needs, where extras may be imported."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import pytest
from source_tree import ROOT, Source, findings, imported_modules, package_sources

EXTRAS = frozenset(
    {
        "aiohttp",
        "asyncpg",
        "cryptography",
        "cyclopts",
        "dbos",
        "httptools",
        "joserfc",
        "opentelemetry",
        "prometheus_client",
        "pydantic",
        "redis",
    }
    | {"rich", "uvicorn", "uvloop"}
)
HEAVY = sorted(EXTRAS | {"asyncio", "http.client", "sqlite3", "ssl"})


def test_importing_the_package_is_cheap():
    """`import dovetail` loads no optional package, no event loop, no TLS and no database."""
    probe = f"import sys, dovetail; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_importing_the_package_loads_next_to_nothing():
    """Not even `typing`, which takes longer to import than all of what is left; a name loads what it needs."""
    probe = "import sys; before = set(sys.modules); import dovetail; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.startswith("dovetail")} == {"dovetail", "dovetail.lazy_names"}
    assert not loaded & {"typing", "collections", "re", "msgspec"}


def test_the_core_is_two_packages():
    """Installing Dovetail installs msgspec and jsonschema-rs and nothing behind them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[<>=]", each, maxsplit=1)[0] for each in project["dependencies"]]
    assert names == ["msgspec", "jsonschema-rs"]


def test_all_is_every_extra_that_the_package_uses():
    """`dovetail[all]` leaves none out but engines of tasks, which operators choose."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["all"] == [f"dovetail[{','.join(name for name in extras if name not in {'all', 'dbos'})}]"]


def raises_anew(handler: ast.ExceptHandler) -> bool:
    """Whether an ``except`` clause turns a missing package into an error of its own."""
    catches = handler.type is not None and re.search(
        r"\b(ImportError|ModuleNotFoundError)\b", ast.unparse(handler.type)
    )
    return bool(catches) and any(isinstance(node, ast.Raise) for node in ast.walk(handler))


def eager_imports(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Imports that run when the module is imported, except those guarded by an error that names the extra."""
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.Try):
            if not any(map(raises_anew, node.handlers)):
                yield from eager_imports(node.body)
            for branch in (*(handler.body for handler in node.handlers), node.orelse, node.finalbody):
                yield from eager_imports(branch)
        elif isinstance(node, ast.If | ast.With):
            yield from eager_imports(node.body)
            yield from eager_imports(getattr(node, "orelse", []))
        elif isinstance(node, ast.ClassDef):
            yield from eager_imports(node.body)


#: Rooms that are loaded by one function, which names the extra where it is missing; Textual brings rich.
BEHIND_A_DOOR = ("apps/inspector/src/dovetail_inspector/terminal/",)


def eager_extras(source: Source) -> Iterator[str]:
    """Optional packages imported at the top of a module, with no word on what to install."""
    if source.name.startswith(BEHIND_A_DOOR):
        return
    for node in eager_imports(source.tree.body):
        for name in imported_modules(node):
            if name.split(".")[0] in EXTRAS:
                yield f"{source.at(node)}: {name} at the top; import it where it is used, and name the extra"


def test_extras_are_imported_lazily():
    """The rule holds for what is shipped."""
    assert findings(eager_extras, package_sources()) == ""


GUARDED = (
    "try:\n    import aiohttp\nexcept ImportError as e:\n    raise ImportError('dovetail[client]') from e\n"
)
SILENT = "try:\n    import aiohttp\nexcept ImportError:\n    aiohttp = None\n"


@pytest.mark.parametrize(
    "text,count",
    [
        ("import aiohttp\n", 1),
        ("from rich.table import Table\n", 1),
        ("class A:\n    import rich\n", 1),
        (SILENT, 1),
        (GUARDED, 0),
        ("def f():\n    import aiohttp\n", 0),
        ("import msgspec\n", 0),
    ],
)
def test_the_rule_on_extras_can_fail(text, count):
    """It finds what it is there for, and only that."""
    assert len(list(eager_extras(Source("src/dovetail/x.py", text)))) == count
