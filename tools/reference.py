"""The reference of the public names: what there is, and which tested block of a page shows it.

Theory of operation. What is public is said in ``tools/public_api.py``; names come in the order in which their module
lists them. For each of them, and for each method and option of the classes that users hold in their hands
(`SHOWN`), the pages are searched for the smallest statement that uses it (`page_uses`); their blocks are run by
``tests/docs``, so whatever is shown works. ``tools/docs.py`` writes the pages from this, and
``tests/docs/test_reference.py`` demands that nothing is without an example.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, get_overloads

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "docs")]

from page_blocks import Block  # noqa: E402 - what the tests read the pages with
from page_uses import Key, uses  # noqa: E402 - it lies beside this file, too
from public_api import BUILT_ON, EVERY, GIVEN, NOT_PUBLIC, PROGRAMS, names_of  # noqa: E402 - it lies beside this file, wherever this is

#: Classes whose methods are all looked up by users, and so shown one by one.
SHOWN = (
    ("dovetail", "App"),
    ("dovetail", "Context"),
    ("dovetail", "Client"),
    ("dovetail.client", "Subscription"),
)
#: Calls whose options are shown one by one: where the signature is, and what a page writes to call it.
OPTIONS = {
    "App": ("dovetail", "App"),
    "App.add_tool": ("dovetail", "App.add_tool"),
    "App.add_resource": ("dovetail", "App.add_resource"),
    "App.add_prompt": ("dovetail", "App.add_prompt"),
    "App.run": ("dovetail", "App.run"),
    "App.asgi": ("dovetail", "App.asgi"),
    "Client": ("dovetail", "Client"),
    "Client.call_tool": ("dovetail", "Client.call_tool"),
    "Client.read": ("dovetail", "Client.read"),
}
#: Calls that take all options of another, where these are shown.
ELSEWHERE = {"App.run": "App.asgi", "Client.read": "Client.call_tool"}
#: What a page may write instead of a call: the decorators take the options of what they decorate with.
SPELLINGS = {
    "App.add_tool": ("App.tool", "App.add_tool"),
    "App.add_resource": ("App.resource", "App.add_resource"),
    "App.add_prompt": ("App.prompt", "App.add_prompt"),
    "App.run": ("App.run", "App.serve"),
    "App.asgi": ("App.asgi", "App.run", "App.serve"),
    "Client": ("Client", "Client.sync", "connected"),
    "Client.read": ("Client.read", "Client.tools"),  # all but `call_tool` take the same
}


@dataclass(frozen=True)
class Entry:
    """A public name: its package, and the object behind it."""

    package: str
    name: str
    value: Any

    @property
    def dotted(self) -> str:
        """As one imports it."""
        return f"{self.package}.{self.name}"


@cache
def packages() -> dict[str, list[Entry]]:
    """Every public module with its names, as its ``__all__`` orders them."""
    return {
        each: [Entry(each, name, getattr(module(each), name)) for name in names_of(each)] for each in EVERY
    }


def module(package: str) -> ModuleType:
    """The package itself."""
    return importlib.import_module(package)


def members_of(kind: type) -> dict[str, Any]:
    """What stands in a class, and in what it is built on as `BUILT_ON` says."""
    built_on = [each for each in reversed(kind.__mro__[1:]) if each.__name__ in BUILT_ON]
    return {name: value for each in (*built_on, kind) for name, value in vars(each).items()}


def methods_of(kind: type) -> list[str]:
    """The methods and properties of a class that its users call."""
    return [
        name
        for name, value in members_of(kind).items()
        if not name.startswith(("_", "test_"))  # a contract suite is a class of tests
        and f"{kind.__name__}.{name}" not in NOT_PUBLIC
        and (inspect.isroutine(value) or isinstance(value, (property, staticmethod, classmethod)))
    ]


def made_by_users(kind: type) -> bool:
    """Whether users call a class, and are not only given what it makes."""
    return kind.__name__ not in GIVEN


def hidden_of(kind: type) -> list[str]:
    """The methods and properties of a class that `NOT_PUBLIC` names."""
    return [name for name in members_of(kind) if f"{kind.__name__}.{name}" in NOT_PUBLIC]


def typed_options(function: Callable[..., Any]) -> list[type]:
    """The TypedDicts that say what ``**options`` of a call, or of its overloads, may be."""
    found: list[type] = []
    for each in (function, *get_overloads(function)):
        for parameter in inspect.signature(each).parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                found += getattr(parameter.annotation, "__args__", ())
    return found


def options_of(function: Callable[..., Any]) -> list[str]:
    """The keyword options of a call, those of `typed_options` among them."""
    parameters = inspect.signature(function).parameters.values()
    found = [each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY]
    found += [name for each in typed_options(function) for name in each.__annotations__]
    return list(dict.fromkeys(found))


def called(call: str) -> Any:
    """What a row of `OPTIONS` is about."""
    package, path = OPTIONS[call]
    return functools.reduce(getattr, path.split("."), module(package))


def option_rows() -> Iterator[tuple[str, str]]:
    """Every call whose options are shown, with each option; those of `ELSEWHERE` are left out."""
    for call in OPTIONS:
        shown = options_of(called(ELSEWHERE[call])) if call in ELSEWHERE else ()
        yield from ((call, option) for option in options_of(called(call)) if option not in shown)


def _smallest(keys: Iterable[Key]) -> Block | None:
    blocks = [block for key in keys for block in uses().get(key, ())]
    return min(blocks, key=lambda block: (block.text.count("\n"), block.page, block.line), default=None)


def example_of(entry: Entry) -> Block | None:
    """The smallest tested statement that calls a name, or else uses it (importing it alone does not count)."""
    calls, uses_it = ((name, id(entry.value)) for name in (f"{entry.name}()", entry.name))
    return _smallest([calls]) or _smallest([uses_it])


def example_of_method(kind: str, name: str) -> Block | None:
    """The smallest tested statement that calls or reads a method or property of a class."""
    return _smallest([f"{kind}.{name}"])


def example_of_option(call: str, option: str) -> Block | None:
    """The smallest tested statement that gives an option to a call."""
    return _smallest([f"{each}({option}=)" for each in SPELLINGS.get(call, (call,))])


def without_example() -> list[str]:
    """Everything that no tested block shows."""
    missing: list[str] = []
    for package, entries in packages().items():
        if package in PROGRAMS:
            continue  # they have pages of their own
        missing += [entry.dotted for entry in entries if example_of(entry) is None]
    for package, name in SHOWN:
        kind = getattr(module(package), name)
        missing += [
            f"{package}.{name}.{each}" for each in methods_of(kind) if example_of_method(name, each) is None
        ]
    missing += [
        f"{call}({option}=)" for call, option in option_rows() if example_of_option(call, option) is None
    ]
    return missing


if __name__ == "__main__":
    nothing = without_example()
    sys.stdout.write("".join(f"{each}\n" for each in nothing) + f"{len(nothing)} without an example\n")
