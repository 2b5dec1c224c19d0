"""Defaults of dataclasses, in the instances that msgspec makes.

Theory of operation. A default of a dataclass is an attribute of the class, too. msgspec takes it for one of the
instance, so it does not set it, and does not write it either: an object that was read and is given back would lose
what was not said. So values of types that lead to such a class are gone through once after they were read, and get
what their ``__init__`` would have set. For all other types there is nothing to do, and nothing is done.

Specification: none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast, get_origin

from .members import classes, family, members

__all__ = ["completed"]

_Table = Mapping[type, tuple[tuple[tuple[str, Any], ...], tuple[str, ...]]]
_WALKED: Final = ("dataclass", "attrs", "namedtuple", "struct")


def completed(annotations: Iterable[Any]) -> Callable[[Any], None] | None:
    """What completes values of these types, in place; None where there is nothing to complete.

    The function takes a value of any of the types, or a list or tuple of them.
    """
    table: dict[type, tuple[tuple[tuple[str, Any], ...], tuple[str, ...]]] = {}
    lacking = False
    for annotation in annotations:
        for kind in classes(annotation, into_pydantic=False):
            origin = cast("type", get_origin(kind) or kind)
            if family(origin) in _WALKED:
                defaults = _defaults(origin) if family(origin) == "dataclass" else ()
                lacking = lacking or bool(defaults)
                table[origin] = (defaults, tuple(each.name for each in members(kind)))
    if not lacking:
        return None
    return lambda value: _complete(value, table)


def _defaults(kind: type) -> tuple[tuple[str, Any], ...]:
    """The fields whose default stands in the class, for instances with a dict of their own."""
    if not kind.__dictoffset__:
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
