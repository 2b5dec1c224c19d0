"""House rule on the names of classes: one concept, one name. No two classes of the package, or of an application, are
called the same, so that a search for a name finds what it is.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from source_tree import Source, python_sources

#: Names that two classes may have, and why. (None does.)
SAME: Mapping[str, str] = {}


def places(sources: Iterable[Source]) -> dict[str, list[str]]:
    """Where each class is defined, by its name; a leading underscore makes no other name of it."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef):
                found[node.name.lstrip("_")].append(source.at(node))
    return found


def repeated(sources: Iterable[Source]) -> dict[str, list[str]]:
    """The names that more than one class has."""
    return {name: where for name, where in places(sources).items() if len(where) > 1}


def shipped() -> tuple[Source, ...]:
    """The files that users install: the package, and the applications beside it."""
    return tuple(
        each
        for each in python_sources()
        if each.name.startswith("src/") or (each.name.startswith("apps/") and "/src/" in each.name)
    )


def test_no_two_classes_have_one_name() -> None:
    wrong = {name: where for name, where in repeated(shipped()).items() if name not in SAME}
    assert wrong == {}, "\n".join(f"{name}: {', '.join(where)}" for name, where in wrong.items())


#: Acronyms as a class spells them: all letters large, so that one search finds all. (What a program or a package is
#: called, `AiohttpBackend`, is a word.)
ACRONYMS = frozenset(
    {"ASGI", "CLI", "DPOP", "HTML", "HTTP", "JSON", "JWK", "JWT", "OAUTH", "RPC", "SQL", "SSE", "TLS", "URI"}
    | {"URL"}
)
#: Those that the field itself writes otherwise.
WRITTEN = {"DPOP": "DPoP", "OAUTH": "OAuth"}


def misspelt(name: str) -> list[str]:
    """The acronyms in the words of a class's name that are not written as `ACRONYMS` and `WRITTEN` have them."""
    words = re.findall(r"[A-Z][a-z]+", name)
    return [
        each for each in ACRONYMS if each.capitalize() in words and WRITTEN.get(each) != each.capitalize()
    ]


def test_acronyms_are_written_in_one_way() -> None:
    wrong = {name: misspelt(name) for name in places(shipped()) if misspelt(name)}
    assert wrong == {}
    assert [misspelt(each) for each in ("HttpBackend", "_UriTooLong", "JSONRpc")] == [
        ["HTTP"],
        ["URI"],
        ["RPC"],
    ]
    assert not any(map(misspelt, ("HTTPBackend", "DPoPKey", "OAuthClient", "Urls", "AiohttpBackend")))


def test_each_exception_is_one_and_has_a_reason() -> None:
    found = repeated(shipped())
    for name, reason in SAME.items():
        assert name in found, f"{name} is no longer defined twice: take it off the table"
        assert len(reason) > 20


def test_a_name_used_twice_is_found() -> None:
    one = Source("src/dovetail/one.py", "class Way: ...\nclass Other: ...\n")
    two = Source("src/dovetail/two.py", "def make():\n    class _Way: ...\n")
    assert set(repeated([one, two])) == {"Way"}
    assert repeated([one]) == {}
