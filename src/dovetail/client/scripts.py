"""Does a Python file start a server when it is run, or does it only have an app in it that somebody else has to run?

The file is not run to find out, and its text is not searched: its syntax tree is followed as Python would follow it
when the file is the program. That is the top level, with what ``if __name__ == "__main__":`` guards, and from there
into functions of the same file that are called. A server is started by a method of an object that is called ``run``,
``serve`` or the like (``app.run()``), or by a library that runs what it is given (``uvicorn.run(app)``). Where the
way leads out of the file, to a function that was imported, its name has to do: ``main``, ``run``, ``serve``.

One that is started over HTTP, or on a socket, does not count: whoever starts the file speaks to its standard input.

A file that does not import Dovetail has no app of ours in it: it is run as it is. So is one that Python can't read,
since Python says best what is wrong with it.
Specification: none.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from typing import Final

_STARTS: Final = frozenset(
    {
        "run",
        "run_async",
        "run_forever",
        "run_http_async",
        "run_sse_async",
        "run_stdio_async",
        "run_streamable_http_async",
        "serve",
        "serve_forever",
    }
)
"""Methods that start a server."""

_ELSEWHERE: Final = frozenset({"http", "sse", "streamable-http", "unix"})
"""What such a method is told to serve over, where that is not standard input and output."""

_SERVES: Final = frozenset({"granian", "gunicorn", "hypercorn", "uvicorn"})
"""Modules whose functions of such a name start a server."""

_RUNS: Final = frozenset({"anyio", "asyncio", "curio", "trio", "uvloop"})
"""Modules that run a function or coroutine of the caller's."""

_HANDS_ON: Final = frozenset(
    {"run", "run_until_complete", "backend_run", "create_task", "gather", "wait_for"}
)
"""Functions and methods that run what they are given."""

_ENTRIES: Final = frozenset({"cli", "main", "run", "serve", "start", "start_server"})
"""Functions of other files whose name says that they are a program."""

_Functions = ast.FunctionDef | ast.AsyncFunctionDef


def runs_itself(source: bytes) -> bool:
    """Whether a file is to be run as it is; else it has an app in it that has to be run."""
    try:
        tree = ast.parse(source)
        names = _ScriptNames(tree)
        return not names.ours or _ScriptWalk(names).starts(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True


class _ScriptNames:
    """What the names of a file stand for. ``ours``: whether it imports Dovetail anywhere. ``commands``: the functions
    that something decorates, as a command line does with its commands.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.ours = False
        self.modules: dict[str, str] = {}
        self.imported: dict[str, str] = {}
        self.functions: dict[str, _Functions] = {}
        self.commands: dict[str, list[str]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for each in node.names:
                    self._module(each.name, each.asname)
            elif isinstance(node, ast.ImportFrom):
                self._from(node)
            elif isinstance(node, _Functions):
                self.functions.setdefault(node.name, node)
                for each in node.decorator_list:
                    made_by = each.func if isinstance(each, ast.Call) else each
                    if isinstance(made_by, ast.Attribute):
                        self.commands.setdefault(_root(made_by) or "", []).append(node.name)

    def _module(self, name: str, alias: str | None) -> None:
        top = name.partition(".")[0]
        self.ours |= top == "dovetail"
        self.modules[alias or top] = top

    def _from(self, node: ast.ImportFrom) -> None:
        top = (node.module or "").partition(".")[0]
        self.ours |= top == "dovetail" and not node.level
        for each in node.names:
            self.imported[each.asname or each.name] = top if not node.level else ""


class _ScriptWalk:
    """Follows a program from statement to statement, each function once."""

    def __init__(self, names: _ScriptNames) -> None:
        self._names = names
        self._seen: set[str] = set()

    def starts(self, body: Iterable[ast.stmt]) -> bool:
        """Whether running these statements starts a server."""
        return any(self._call_starts(call) for statement in body for call in _calls(statement))

    def _call_starts(self, call: ast.Call) -> bool:
        """Whether a call starts a server. What stands in its arguments is looked at by itself."""
        called = call.func
        if isinstance(called, ast.Name):
            return self._function_starts(called.id) or self._imported_starts(called.id, call)
        if not isinstance(called, ast.Attribute):
            return False
        root = _root(called)
        module = None if root is None else self._names.modules.get(root)
        if module is None:
            if called.attr in _HANDS_ON and any(self._given_starts(each) for each in call.args):
                return True
            return called.attr in _STARTS and not _serves_elsewhere(call)
        if module in _SERVES:
            return called.attr in _STARTS
        if module in _RUNS:
            return called.attr in _HANDS_ON and any(self._given_starts(each) for each in call.args)
        return module == "dovetail" and called.attr in _STARTS

    def _function_starts(self, name: str) -> bool:
        """Whether a function of this file does, when it is called."""
        if name in self._seen:
            return False
        self._seen.add(name)
        function = self._names.functions.get(name)
        if function is not None:
            return self.starts(function.body)
        return any(self._function_starts(each) for each in self._names.commands.get(name, ()))

    def _imported_starts(self, name: str, call: ast.Call) -> bool:
        """Whether a function does that was imported by its name."""
        origin = self._names.imported.get(name)
        if origin is None or name in self._names.functions:
            return False
        if origin in _SERVES:
            return True
        if origin in _RUNS:
            return name in _HANDS_ON and any(self._given_starts(each) for each in call.args)
        return origin not in sys.stdlib_module_names and name in _ENTRIES

    def _given_starts(self, given: ast.expr) -> bool:
        """Whether something does that is handed on to be run: ``main``, ``app.serve``. Calls are looked at anyway."""
        if isinstance(given, ast.Name):
            origin = self._names.imported.get(given.id)
            if origin is not None:
                return origin not in sys.stdlib_module_names and given.id in _ENTRIES
            return self._function_starts(given.id)
        if isinstance(given, ast.Attribute):
            root = _root(given)
            return given.attr in _STARTS and (root is None or root not in self._names.modules)
        return False


def _serves_elsewhere(call: ast.Call) -> bool:
    """Whether a server is plainly started over something else than standard input and output."""
    named = (each.value for each in call.keywords if each.arg == "transport")
    return any(
        isinstance(each, ast.Constant) and each.value in _ELSEWHERE for each in (*call.args[:1], *named)
    )


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    """The calls that are made when something is run as the program: not those in functions that it only defines."""
    if isinstance(node, _Functions):
        for each in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
            yield from _calls(each)
        return
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, ast.If):
        taken = _truth(node.test)
        branches: list[ast.AST] = [node.test]
        branches += node.body if taken is not False else []
        branches += node.orelse if taken is not True else []
        for each in branches:
            yield from _calls(each)
        return
    if isinstance(node, ast.Call):
        yield node
    for each in ast.iter_child_nodes(node):
        yield from _calls(each)


def _truth(test: ast.expr) -> bool | None:
    """How a condition ends in a file that is the program; None if that can't be told."""
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        found = _truth(test.operand)
        return None if found is None else not found
    if isinstance(test, (ast.Name, ast.Attribute)):
        name = test.id if isinstance(test, ast.Name) else test.attr
        return False if name == "TYPE_CHECKING" else None
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        sides = (test.left, test.comparators[0])
        named = any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)
        told = next((side.value for side in sides if isinstance(side, ast.Constant)), None)
        if named and isinstance(test.ops[0], ast.Eq):
            return told == "__main__"
        if named and isinstance(test.ops[0], ast.NotEq):
            return told != "__main__"
    return None


def _root(attribute: ast.Attribute) -> str | None:
    """The name that a chain of attributes begins with."""
    node: ast.expr = attribute
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
