"""Modules that tests have written, and what is in them."""

from __future__ import annotations

import ast
import importlib.util
import io
import itertools
import json
import subprocess
import sys
import tokenize
from pathlib import Path
from types import ModuleType
from typing import Any

from dovetail import Client
from dovetail.codegen import ServerSurface, generate, surface_of

PYRIGHT = str(Path(sys.executable).with_name("basedpyright"))
RUFF = str(Path(sys.executable).with_name("ruff"))
IMPORTS = {
    "__future__",
    "collections.abc",
    "dataclasses",
    "typing",
    "dovetail",
    "dovetail.client",
    "dovetail.codegen",
    "dovetail.types",
}
CALLED = {"TypedDict", "dataclass", "_call", "_read", "_prompt"}
_numbers = itertools.count()


async def surface(app, **options) -> ServerSurface:
    """What an app offers."""
    async with Client(app, **options) as client:
        return await surface_of(client)


def loaded(source: str, folder: Path) -> ModuleType:
    """The module of a text, imported from a file."""
    name = f"written_{next(_numbers)}"
    path = folder / f"{name}.py"
    path.write_text(source, "utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


async def module_of(app, folder: Path, **options) -> ModuleType:
    """The module that is written for an app, imported."""
    return loaded(generate(await surface(app), **options), folder)


def formatted(source: str) -> str:
    """What the formatter makes of it."""
    command = [RUFF, "format", "--isolated", "--line-length", "110", "--stdin-filename", "tools.py", "-"]
    return subprocess.run(command, input=source.encode(), capture_output=True, check=True).stdout.decode()


def complaints(folder: Path) -> list[dict[str, Any]]:
    """What the type checker has to say against the files of a folder, by the strictest rules."""
    strict = {"typeCheckingMode": "strict", "pythonVersion": "3.11", "failOnWarnings": True}
    (folder / "pyrightconfig.json").write_text(json.dumps(strict))
    command = [PYRIGHT, "--pythonpath", sys.executable, "--outputjson", "-p", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] >= len(list(folder.glob("*.py")))
    return found["generalDiagnostics"]


def check_harmless(source: str) -> ast.Module:
    """See that a module consists of what the generator writes, and of nothing that a server brought along."""
    tree = ast.parse(source)
    defined = {each.name for each in ast.walk(tree) if isinstance(each, ast.ClassDef)}
    defined |= {
        each.id for each in ast.walk(tree) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    }
    imported = {
        each.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for each in node.names
    }
    keywords = {each.arg for each in ast.walk(tree) if isinstance(each, ast.arg)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.module in IMPORTS, ast.dump(node)
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            assert name in CALLED, ast.dump(node)
        elif isinstance(node, ast.Attribute):
            assert isinstance(node.value, ast.Name), ast.dump(node)
            assert node.value.id == "self", ast.dump(node)
        elif isinstance(node, ast.Name):
            known = (
                defined
                | imported
                | keywords
                | {"bool", "bytes", "dict", "float", "int", "list", "str", "tuple"}
            )
            assert node.id in known, node.id
        assert not isinstance(
            node, (ast.Import, ast.Lambda, ast.Delete, ast.Global, ast.For, ast.With, ast.Try)
        )
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert [type(each) for each in node.body] == [ast.Expr, ast.Return], ast.dump(node)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            assert token.string == "# fmt: skip", token.string
    return tree
