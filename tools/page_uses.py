"""What the statements of the pages use: public names, methods and properties of some classes, options of calls.

Theory of operation. A page is read from its top, as Python runs it. A `Reading` knows which names it imported from
Dovetail, and of which class its variables are: by what was assigned, by annotations, by ``with``. So ``asyncio.Event``
is no use of `Event`, and ``uvicorn.run(port=8000)`` none of `App.run`. What is used has a key: ``(name, id of the
object)`` for a name, with ``name()`` where it is called; ``"App.tool"`` for a method, ``"App.tool(title=)"`` for an
option.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import workspace
from page_blocks import Block, blocks_of, pages

Key = tuple[str, int] | str

#: The packages whose names are public names of ours.
OURS = {each.package.name for each in workspace.distributions()}
#: Whose methods are told apart, by what pages make them of or annotate them with.
KINDS = {
    **{each: each for each in ("App", "Client", "Context", "Subscription")},
    "BlockingClient": "Client",  # the same, blocking
}
#: What gives one of these: functions by name, methods by class and name.
GIVES = {
    "connected": "Client",
    "Client.sync": "Client",
    "Client.open": "Client",
    "Client.listen": "Subscription",
}


@cache
def uses() -> dict[Key, list[Block]]:
    """The statements that use something, each as a block of its own lines."""
    found: dict[Key, list[Block]] = {}
    for page in pages():
        reading = Reading()
        for block in blocks_of(page):
            if block.language == "python" and block.verb != "not run":
                for statement, text in statements(block.text):
                    reading.learn(statement)
                    for use in reading.uses(statement):
                        found.setdefault(use, []).append(replace(block, text=text))
    return found


def statements(source: str) -> Iterator[tuple[ast.stmt, str]]:
    """The statements of a block, those inside of an ``if`` for themselves, each with its lines."""
    tree = compile(source, "block", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    lines = source.splitlines()
    for statement in tree.body:
        for each in statement.body if isinstance(statement, ast.If) else [statement]:
            marks = getattr(each, "decorator_list", ())
            first = min([each.lineno, *(mark.lineno for mark in marks)])
            yield each, textwrap.dedent("\n".join(lines[first - 1 : each.end_lineno])) + "\n"


def _imported(module: str, name: str) -> Any:
    """What ``from module import name`` gives: the module's own, or a module below it."""
    found = import_module(module)
    return getattr(found, name) if name in dir(found) else import_module(f"{module}.{name}")


class Reading:
    """What a page has said so far."""

    def __init__(self) -> None:
        self._imported: dict[str, Any] = {}
        self._kinds: dict[str, str | None] = {"app": "App"}  # what other files of a page call it, too

    def learn(self, statement: ast.stmt) -> None:
        """Take in what a statement imports and assigns."""
        for node in ast.walk(statement):
            match node:
                case ast.ImportFrom(module=str(module), names=names) if module.partition(".")[0] in OURS:
                    for each in names:
                        self._imported[each.asname or each.name] = _imported(module, each.name)
                case ast.ImportFrom(names=names):
                    for each in names:
                        if each.name == "app":
                            self._kinds[each.asname or each.name] = "App"
                case ast.Import(names=[ast.alias(name="dovetail")]):
                    self._imported["dovetail"] = import_module("dovetail")
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._kinds[name] = self._kind(value)
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                    self._kinds[name] = self._class(annotation)
                case ast.arg(arg=name, annotation=ast.Name() as annotation):
                    self._kinds[name] = self._class(annotation)
                case ast.withitem(context_expr=value, optional_vars=ast.Name(id=name)):
                    self._kinds[name] = self._kind(value)
                case _:
                    pass

    def uses(self, statement: ast.stmt) -> set[Key]:
        """The keys of what a statement uses."""
        found: set[Key] = set()
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and node.id in self._imported:
                found.add((node.id, id(self._imported[node.id])))
            elif isinstance(node, ast.Attribute):
                package = self._imported.get(node.value.id) if isinstance(node.value, ast.Name) else None
                if isinstance(package, ModuleType):
                    found.add((node.attr, id(getattr(package, node.attr))))
                elif (kind := self._kind(node.value)) is not None:
                    found.add(f"{kind}.{node.attr}")
            elif isinstance(node, ast.Call) and (called := self._called(node)) is not None:
                if called in self._imported:
                    found.add((f"{called}()", id(self._imported[called])))
                found |= {f"{called}({keyword.arg}=)" for keyword in node.keywords if keyword.arg}
        return found

    def _kind(self, value: ast.expr) -> str | None:
        """The class of a value, as far as that is known; of a class, itself."""
        match value:
            case ast.Name(id=name):
                return self._class(value) or self._kinds.get(name)
            case ast.Await(value=awaited):
                return self._kind(awaited)
            case ast.Call():
                called = self._called(value) or ""
                return KINDS.get(called) or GIVES.get(called)
            case _:
                return None

    def _class(self, annotation: ast.expr) -> str | None:
        name = annotation.id if isinstance(annotation, ast.Name) else ""
        return KINDS.get(name) if name in self._imported else None

    def _called(self, call: ast.Call) -> str | None:
        """What is called: the name of something imported, or a method of a class that is told apart."""
        match call.func:
            case ast.Name(id=name) if name in self._imported:
                return name
            case ast.Attribute(value=value, attr=attr):
                kind = self._kind(value)
                return None if kind is None else f"{kind}.{attr}"
            case _:
                return None
