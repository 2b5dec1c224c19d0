"""What a parameter has when nobody gives it: whether it fits, and that no call sees what another did to it.

Theory of operation. A default that is no value of its type is a mistake that shows only when a model leaves the
argument out, so it is looked for at registration, without running anything of the author's. ``None`` is the exception:
``x: str = None`` says in everybody's code that x may be left out, and a function with that default knows what to do
with None. So it is read as ``str | None``, and a client may send null.

A list that a call appends to would be there for the next call. So what can be changed (lists, dicts, sets, instances
of data classes and models) is copied for each call; all else, sentinels above all, is the author's very object.
"""

from __future__ import annotations

import collections.abc
import copy
import dataclasses
import types
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, Literal, Optional, TypeVar, cast, get_args, get_origin

import msgspec

from . import hints
from .members import family

__all__ = ["FACTORIES", "fits", "fresh", "maker", "widened"]

FACTORIES: Final[tuple[Any, ...]] = (list, dict, set, frozenset, tuple, bytearray)
"""Factories of defaults that are known to make the same each time, and to do nothing else."""

_EMPTY: Final = (list, dict, set)
_MUTABLE: Final = (list, dict, set, bytearray)
_DEPTH: Final = 16


def maker(default: Any) -> Callable[[], Any] | None:
    """What makes the default of one call, or None where all calls may share it."""
    if type(default) in _EMPTY and not default:
        return cast("Callable[[], Any]", type(default))
    return (lambda: copy.deepcopy(default)) if _may_change(default, 0) else None


def fresh(default: Any) -> Any:
    """The default of one call."""
    make = maker(default)
    return default if make is None else make()


def widened(annotation: Any, default: Any) -> Any:
    """``x: T = None`` as ``T | None``; anything else as it is."""
    if default is not None or fits(None, annotation):
        return annotation
    if marks := hints.markers_of(annotation):
        return Annotated[(Optional[hints.without_markers(annotation)], *marks)]  # noqa: UP045 - the type is computed
    return Optional[annotation]  # noqa: UP045 - the same


def fits(value: Any, annotation: Any) -> bool:
    """Whether a value is of a type, as far as that can be seen; constraints do not count."""
    kind = hints.without_markers(annotation)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, each) for each in arguments)
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in arguments)
    if hasattr(kind, "__supertype__"):
        return fits(value, kind.__supertype__)
    if kind is None:
        return value is None
    if isinstance(kind, TypeVar) or kind is Any or kind is object:
        return True
    base = origin or kind
    if not isinstance(base, type):
        return True
    if base is float:
        return isinstance(value, int | float)
    if family(base) == "typeddict":
        return isinstance(value, dict)
    try:
        return isinstance(value, base) and _parts_fit(value, base, arguments)
    except TypeError:  # a protocol that cannot be asked
        return True


def _parts_fit(value: Any, base: type, arguments: tuple[Any, ...]) -> bool:
    """Whether what a container holds is of the types that its annotation names."""
    if not arguments or family(base) is not None:
        return True
    if isinstance(value, tuple) and base is tuple:
        parts = cast("tuple[Any, ...]", value)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return _all_fit(parts, arguments[0])
        return len(parts) == len(arguments) and all(map(fits, parts, arguments))
    if isinstance(value, dict) and len(arguments) == 2:
        members = cast("dict[Any, Any]", value)
        return _all_fit(members, arguments[0]) and _all_fit(members.values(), arguments[1])
    if isinstance(value, collections.abc.Collection) and len(arguments) == 1:
        return _all_fit(cast("Iterable[Any]", value), arguments[0])
    return True


def _all_fit(values: Iterable[Any], annotation: Any) -> bool:
    return all(fits(each, annotation) for each in values)


def _may_change(value: Any, depth: int) -> bool:
    if isinstance(value, _MUTABLE):
        return True
    if isinstance(value, tuple | frozenset):
        parts = cast("Iterable[Any]", value)
        return depth < _DEPTH and any(_may_change(each, depth + 1) for each in parts)
    if isinstance(value, type) or family(type(value)) is None:
        return False
    if isinstance(value, msgspec.Struct):
        names = value.__struct_fields__
        frozen = value.__struct_config__.frozen
    elif dataclasses.is_dataclass(value):
        names = tuple(each.name for each in dataclasses.fields(value))
        frozen = cast("Any", value).__dataclass_params__.frozen
    else:
        return True
    parts = (getattr(value, name, None) for name in names)
    return not frozen or (depth < _DEPTH and any(_may_change(each, depth + 1) for each in parts))
