"""Names of tools, of operations that have ids of any kind, or none.

Theory of operation. An ``operationId`` is kept as far as a tool may be called so: other characters than letters,
digits, ``_`` and ``-`` become ``_`` (dots too, since many models refuse them), and what is longer than 64 is cut.
Without one, method and path are the name. Where two come to the same, the later one of the document gets a number, so
a name changes only if something before it does.

Specification: server/tools, "Tool Names"; OpenAPI, "Operation Object".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from .operations import APIOperation

__all__ = ["MAX_NAME", "name_arguments", "name_operations"]

MAX_NAME: Final = 64
_OTHER: Final = re.compile(r"[^A-Za-z0-9_-]+")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def name_operations(operations: Iterable[APIOperation], given: Mapping[str, str]) -> list[str]:
    """A name for each, in their order. ``given``: names by operationId, or by method and path (``GET /pets``).

    Raises ValueError for a name in ``given`` that no tool may have, that is there twice, or that is for none of them.
    """
    listed = list(operations)
    for name in given.values():
        if not _NAME.fullmatch(name):
            raise ValueError(f"names=: {name!r} is no name of a tool; use letters, digits, _, - and .")
    if len(set(given.values())) != len(given):
        raise ValueError("names=: two operations are given the same name")
    taken = set(given.values())
    used: set[str] = set()
    found: list[str] = []
    for each in listed:
        key = next((one for one in (each.id, each.label) if one and one in given), None)
        if key is not None and key not in used:
            used.add(key)
            found.append(given[key])
        else:
            found.append(_free(_plain(each.id or f"{each.method.lower()}{each.path}") or "operation", taken))
    if left := [each for each in given if each not in used]:
        raise ValueError(
            f"names=: the document has no operation {left[0]!r}; name one by its operationId or as 'GET /pets'"
        )
    return found


def name_arguments(wanted: Iterable[tuple[str, str]]) -> list[str]:
    """A name for each argument, of its place (``path``, ``query``, ``body``...) and its name there.

    Where several places have the same name, that of the path keeps it, and the others say where they go: ``query_id``.
    """
    listed = [(place, _plain(name) or place) for place, name in wanted]
    shared: dict[str, list[str]] = {}
    for place, name in listed:
        shared.setdefault(name, []).append(place)
    taken: set[str] = {name for name, places in shared.items() if len(places) == 1 or "path" in places}
    found: list[str] = []
    kept: set[str] = set()
    for place, name in listed:
        alone = len(shared[name]) == 1 or (place == "path" and name not in kept)
        if alone:
            kept.add(name)
            found.append(name)
        else:
            found.append(_free(f"{place}_{name}"[:MAX_NAME], taken))
    return found


def _plain(name: str) -> str:
    return re.sub(r"_{3,}", "__", _OTHER.sub("_", name)).strip("_")[:MAX_NAME].rstrip("_-")


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number where it is taken; it is taken now."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name[: MAX_NAME - len(str(number)) - 1]}_{number}"
    taken.add(found)
    return found
