"""Defaults of dataclasses, in the instances that msgspec makes.

Theory of operation. A default of a dataclass is an attribute of the class, too. msgspec takes it for one of the
instance, so it does not set it, and does not write it either: an object that was read and is given back would lose
what was not said. So values of types that lead to such a class are gone through once after they were read, as far as
the types lead there, and get what their ``__init__`` would have set. For all others nothing is done.

Specification: none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast, get_origin

from .members import classes, family, members

__all__ = ["completed"]

_Table = Mapping[type, tuple[tuple[tuple[str, Any], ...], tuple[str, ...]]]
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
        kind: (lacking.get(kind, ()), tuple(each.name for each in members(kind) if leads(each.annotation)))
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


def _complete(value: Any, table: _Table) -> None:
    kind = cast("type[object]", value.__class__)
    if kind in table:
        defaults, fields = table[kind]
        if defaults:
            own = cast("dict[str, Any]", vars(value))
            for name, default in defaults:
                if name not in own:
                    own[name] = default
        for name in fields:
            _complete(getattr(value, name, None), table)
    elif kind is list or kind is tuple or kind is set or kind is frozenset:
        for item in value:
            _complete(item, table)
    elif kind is dict:
        for item in value.values():
            _complete(item, table)
