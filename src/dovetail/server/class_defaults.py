"""Defaults of dataclasses, in the instances that msgspec makes.

Theory of operation. A default of a dataclass is an attribute of the class, too. msgspec takes it for one of the
instance, so it does not set it, and does not write it either: an object that was read and is given back would lose
what was not said. So values of types that lead to such a class are gone through once after they were read, as far as
the types lead there, and get what their ``__init__`` would have set. For all others nothing is done.

Specification: none.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, cast, get_origin

from .members import classes, family, members

__all__ = ["completed"]

#: Of each class: its defaults, how many attributes an instance has that lacks none, and the fields to look into.
_Table = Mapping[type, tuple[tuple[tuple[str, Any], ...], int, tuple[str, ...]]]
_LISTS: Final = frozenset({list, tuple, set, frozenset})
_WALKED: Final = ("dataclass", "attrs", "namedtuple", "struct")


def completed(annotations: Sequence[Any]) -> Callable[[Sequence[Any]], None] | None:
    """What completes values of these types, one for each, in place; None where there is nothing to complete."""
    found = {_origin(kind) for each in annotations for kind in classes(each, into_pydantic=False)}
    lacking = {kind: said for kind in found if (said := _defaults(kind))}
    if not lacking:
        return None

    def leads(annotation: Any) -> bool:
        return any(_origin(kind) in lacking for kind in classes(annotation, into_pydantic=False))

    table = {
        kind: (
            lacking.get(kind, ()),
            _whole(kind),
            tuple(each.name for each in members(kind) if leads(each.annotation)),
        )
        for kind in found
        if family(kind) in _WALKED
    }
    places = [place for place, each in enumerate(annotations) if leads(each)]

    def complete(values: Sequence[Any]) -> None:
        for place in places:
            _complete(values[place], table)

    return complete


def _origin(kind: Any) -> type:
    return cast("type", get_origin(kind) or kind)


def _defaults(kind: type) -> tuple[tuple[str, Any], ...]:
    """The fields of a dataclass whose default stands in the class, for instances with a dict of their own."""
    if family(kind) != "dataclass" or not kind.__dictoffset__:
        return ()
    return tuple(
        (each.name, each.default)
        for each in members(kind)
        if not each.required
        and each.factory is None
        and inspect.getattr_static(kind, each.name, None) is each.default
    )


def _whole(kind: type) -> int:
    """How many attributes an instance has that lacks none; beyond all counting where it may have others besides."""
    plain = kind.__new__ is object.__new__ and not hasattr(kind, "__post_init__")
    return len(members(kind)) if plain else sys.maxsize


def _complete(value: Any, table: _Table) -> None:
    kind = cast("type[object]", value.__class__)
    if kind is dict:
        _complete_all(value.values(), table)
    elif kind in _LISTS:
        _complete_all(value, table)
    elif kind in table:
        _complete_all((value,), table)


def _complete_all(values: Iterable[Any], table: _Table) -> None:
    """Complete some values that are most often of one kind, leading nowhere, and whole: for those little is done."""
    usual, whole = None, 0
    for value in values:
        kind = value.__class__
        if kind is usual and len(value.__dict__) >= whole:
            continue
        entry = table.get(kind)
        if entry is None:
            _complete(value, table)
            continue
        defaults, whole, fields = entry
        usual = None if fields or not defaults else kind
        if defaults and len(own := value.__dict__) < whole:
            for name, default in defaults:
                own.setdefault(name, default)
        for name in fields:
            _complete(getattr(value, name, None), table)
