"""House rules on rooms: `transports/` is a few of them, joined by few arrows, and nowhere in the package do rooms go in
a circle.

A room is a folder with modules in it, or a module that stands beside the rooms of its folder. An arrow says that one
imports from the other, at the top of a module or inside a function.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter

import pytest
from source_tree import Source, package_sources

MOST_ROOMS = 12
MOST_ARROWS = 16

Dotted = tuple[str, ...]
Arrow = tuple[str, str]


def imported(source: Source, modules: frozenset[Dotted]) -> Iterator[Dotted]:
    """The modules of ours that a module imports, wherever in it."""
    package = source.parts if source.name.endswith("/__init__.py") else source.parts[:-1]
    for node in ast.walk(source.tree):
        match node:
            case ast.Import(names=names):
                named = [tuple(alias.name.split(".")) for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                above = package[: len(package) - level + 1] if level else ()
                target = (*above, *(module.split(".") if module else ()))
                inner = [(*target, alias.name) for alias in names]
                named = [each if each in modules else target for each in inner]
            case _:
                continue
        yield from (each for each in named if each in modules)


def arrows(sources: Iterable[Source]) -> set[tuple[Dotted, Dotted]]:
    """Who imports whom, module by module."""
    sources = tuple(sources)
    modules = frozenset(source.parts for source in sources)
    return {(source.parts, each) for source in sources for each in imported(source, modules)}


def rooms(folder: Dotted, sources: Iterable[Source]) -> tuple[set[str], set[Arrow]]:
    """The rooms below a folder, and the arrows between them. A folder whose ``__init__`` alone is in it, and imports
    nothing, is the way to its rooms and no room itself.
    """
    sources = tuple(each for each in sources if each.parts[: len(folder)] == folder)
    joined = arrows(sources)
    packages = {each.parts for each in sources if each.name.endswith("/__init__.py")}
    importing = {one for one, _ in joined}

    def room_of(module: Dotted) -> str:
        inside = module if module in packages or module[:-1] == folder else module[:-1]
        return "/".join(inside[len(folder) :])

    places = {
        room_of(each.parts) for each in sources if each.parts not in packages or each.parts in importing
    }
    between = {(room_of(one), room_of(other)) for one, other in joined}
    return places, {(one, other) for one, other in between if one != other}


def circle(between: Iterable[Arrow]) -> str:
    """One circle among arrows, or the empty string."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for one, other in between:
        sorter.add(one, other)
    try:
        sorter.prepare()
    except CycleError as found:
        return " -> ".join(reversed(found.args[1]))
    return ""


def circles(sources: Iterable[Source]) -> list[str]:
    """A circle of each folder in which rooms, taken with all that is below them, import each other."""
    joined = arrows(sources)
    folders = {module[:depth] for pair in joined for module in pair for depth in range(1, len(module))}
    found: list[str] = []
    for folder in sorted(folders):
        depth = len(folder)
        inside = {
            (one[depth], other[depth])
            for one, other in joined
            if one[:depth] == other[:depth] == folder and len(one) > depth and len(other) > depth
        }
        if went := circle((one, other) for one, other in inside if one != other):
            found.append(f"{'.'.join(folder)}: {went}")
    return found


def test_transports_is_a_few_rooms_joined_by_few_arrows() -> None:
    places, between = rooms(("dovetail", "transports"), package_sources())
    assert {"http_client", "http_server", "http1/client", "http1/server", "stdio", "unix"} <= places
    assert len(places) <= MOST_ROOMS, sorted(places)
    assert len(between) <= MOST_ARROWS, sorted(between)
    assert circle(between) == ""


def test_rooms_go_in_no_circle_at_any_depth() -> None:
    assert circles(package_sources()) == []


def sources_of(**texts: str) -> list[Source]:
    """Small modules below ``transports``, by their dotted names with two underscores for a dot."""
    folders = {"src/dovetail/__init__.py": "", "src/dovetail/transports/__init__.py": ""}
    for name in texts:
        for depth in range(1, len(name.split("__"))):
            folders["/".join(["src/dovetail/transports", *name.split("__")[:depth], "__init__.py"])] = ""
    files = {f"src/dovetail/transports/{name.replace('__', '/')}.py": text for name, text in texts.items()}
    return [Source(name, text) for name, text in {**folders, **files}.items()]


@pytest.mark.parametrize(
    "text",
    [
        "from ..pipes import client",
        "from ..pipes.client import Client",
        "from dovetail.transports.pipes.client import Client",
        "import dovetail.transports.pipes.client",
        "def later():\n    from ..pipes.client import Client",
    ],
)
def test_an_arrow_is_found_however_it_is_written(text: str) -> None:
    places, between = rooms(
        ("dovetail", "transports"), sources_of(wires__server=text, pipes__client="Client = 1")
    )
    assert places == {"wires", "pipes"}
    assert between == {("wires", "pipes")}


def test_circles_are_found() -> None:
    wrong = sources_of(
        wires__near__one="from ...pipes.client import Client",
        wires__far__two="x = 1",
        pipes__client="from ..wires.far.two import x",
    )
    _, between = rooms(("dovetail", "transports"), wrong)
    assert circle(between) == "", "no circle between the rooms themselves"
    assert len(circles(wrong)) == 1, "but between what they are in"
    assert circle([("a", "b"), ("b", "c"), ("c", "a")])
