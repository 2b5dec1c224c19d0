"""The fields of the classes that authors describe data with, whoever made the class.

Theory of operation. Dataclasses, attrs classes, TypedDicts, NamedTuples, msgspec Structs and pydantic models all are
names with annotations and defaults. This module reads them as one thing, generic parameters filled in and markers
kept, and walks from an annotation to every class that it leads to. Annotations written as strings are resolved where
their class was defined.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NotRequired,
    Required,
    TypeAlias,
    TypeVar,
    cast,
    get_args,
    get_origin,
)

import msgspec
from msgspec import Struct

from . import hints
from .hints import MISSING

__all__ = ["Family", "Member", "classes", "family", "members"]

Family: TypeAlias = Literal["dataclass", "attrs", "typeddict", "namedtuple", "struct", "pydantic"]
_UNRESOLVED: Final = (AttributeError, KeyError, NameError, SyntaxError, TypeError)
"""What evaluating annotations raises."""

_PRESENCE: Final = ("Required", "NotRequired", "ReadOnly")


class Member(Struct, frozen=True):
    """One field. ``name``: as the class has it; ``wire``: as JSON has it. ``default``: MISSING, or a value that all
    instances share; ``factory``: what makes one, or None.
    """

    name: str
    wire: str
    annotation: Any
    required: bool
    default: Any = MISSING
    factory: Callable[[], Any] | None = None


def family(kind: Any) -> Family | None:
    """What made a class (given as it is, or with its parameters); None for anything else."""
    origin: Any = get_origin(kind) or kind
    if not isinstance(origin, type):
        return None
    return _family(cast("Any", origin))


def _family(origin: Any) -> Family | None:
    if issubclass(origin, msgspec.Struct):
        return "struct"
    if hasattr(origin, "__pydantic_core_schema__") or hasattr(origin, "__is_pydantic_dataclass__"):
        return "pydantic"
    if typing.is_typeddict(origin) or _is_other_typeddict(origin):
        return "typeddict"
    if dataclasses.is_dataclass(origin):
        return "dataclass"
    if hasattr(origin, "__attrs_attrs__"):
        return "attrs"
    return "namedtuple" if hasattr(origin, "_fields") and hasattr(origin, "_field_defaults") else None


def members(kind: Any) -> tuple[Member, ...]:
    """The fields of a class that has a `family`. Raises NameError where a name in an annotation is not known."""
    try:
        return _known_members(kind)
    except TypeError:  # not hashable, or not to be resolved, which is said again
        return _members(kind)


def _members(kind: Any) -> tuple[Member, ...]:
    made = family(kind)
    return tuple(_READERS[made](kind)) if made is not None else ()


_known_members = lru_cache(maxsize=256)(_members)


def classes(annotation: Any, *, into_pydantic: bool = True) -> Iterator[Any]:
    """Every class with fields that an annotation leads to, each once; what cannot be resolved leads nowhere.

    ``into_pydantic``: also those that only pydantic's classes lead to, and these.
    """
    seen: set[Any] = set()
    stack = [annotation]
    while stack:
        for part in hints.leaves(stack.pop()):
            made = family(part)
            if made is None or part in seen or (made == "pydantic" and not into_pydantic):
                continue
            seen.add(part)
            yield part
            try:
                stack.extend(member.annotation for member in members(part))
            except _UNRESOLVED:  # what reads the type says it better, when it is asked to
                continue


def _is_other_typeddict(kind: Any) -> bool:
    """Whether `typing_extensions` made a TypedDict, which the standard library does not know for one of its own."""
    return hasattr(kind, "__required_keys__") and dict in kind.__bases__


def _of_struct(kind: Any) -> Iterator[Member]:
    for each in msgspec.structs.fields(kind):
        default = MISSING if each.default is msgspec.NODEFAULT else each.default
        factory = None if each.default_factory is msgspec.NODEFAULT else each.default_factory
        yield Member(each.name, each.encode_name, each.type, each.required, default, factory)


def _of_pydantic(kind: Any) -> Iterator[Member]:
    fields: dict[str, Any] = getattr(kind, "model_fields", None) or getattr(kind, "__pydantic_fields__", {})
    for name, info in fields.items():
        annotation = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
        alias = info.validation_alias if isinstance(info.validation_alias, str) else info.alias
        default: Any = MISSING if info.is_required() or info.default_factory is not None else info.default
        yield Member(name, alias or name, annotation, info.is_required(), default, info.default_factory)


def _of_typeddict(kind: Any) -> Iterator[Member]:
    origin: Any = get_origin(kind) or kind
    needed: set[str] = set(origin.__required_keys__)
    for name, hint in _hints(kind).items():
        required, annotation = name in needed, hint
        while getattr(get_origin(annotation), "_name", None) in _PRESENCE:
            # Python 3.11 does not see these in annotations that are strings
            if get_origin(annotation) is Required:
                required = True
            elif get_origin(annotation) is NotRequired:
                required = False
            annotation = get_args(annotation)[0]
        yield Member(name, name, annotation, required)


def _of_dataclass(kind: Any) -> Iterator[Member]:
    found = _hints(kind)
    for each in dataclasses.fields(get_origin(kind) or kind):
        default = MISSING if each.default is dataclasses.MISSING else each.default
        factory = None if each.default_factory is dataclasses.MISSING else each.default_factory
        required = default is MISSING and factory is None
        yield Member(each.name, each.name, found[each.name], required, default, factory)


def _of_attrs(kind: Any) -> Iterator[Member]:
    found = _hints(kind)
    attr: Any = sys.modules["attr"]
    for each in (get_origin(kind) or kind).__attrs_attrs__:
        default, factory = (MISSING if each.default is attr.NOTHING else each.default), None
        if isinstance(default, attr.Factory):
            default, factory = MISSING, cast("Any", default).factory
        required = default is MISSING and factory is None
        yield Member(each.name, each.name, found[each.name], required, default, factory)


def _of_namedtuple(kind: Any) -> Iterator[Member]:
    found = _hints(kind)
    origin: Any = get_origin(kind) or kind
    for name in origin._fields:
        default = origin._field_defaults.get(name, MISSING)
        yield Member(name, name, found.get(name, Any), default is MISSING, default)


_READERS: Final[dict[Family, Callable[[Any], Iterator[Member]]]] = {
    "attrs": _of_attrs,
    "dataclass": _of_dataclass,
    "namedtuple": _of_namedtuple,
    "pydantic": _of_pydantic,
    "struct": _of_struct,
    "typeddict": _of_typeddict,
}


def _hints(kind: Any) -> dict[str, Any]:
    """The annotations of a class and its bases as types, markers kept, generic parameters filled in."""
    origin: type = get_origin(kind) or kind
    filled = dict(_parameters(kind, {}))
    if issubclass(
        origin, dict
    ):  # a TypedDict is a plain dict to Python, and has the annotations of its bases
        filled[origin] = {name: item for known in filled.values() for name, item in known.items()}
    found: dict[str, Any] = {}
    for base in reversed(origin.__mro__):
        names = {**vars(base), **{each.__name__: each for each in getattr(base, "__type_params__", ())}}
        holder = type(
            "Holder", (), {"__annotations__": inspect.get_annotations(base), "__module__": base.__module__}
        )
        for name, hint in typing.get_type_hints(holder, localns=names, include_extras=True).items():
            found[name] = _filled(hint, filled.get(base, {}))
    return found


def _parameters(kind: Any, scope: dict[Any, Any]) -> Iterator[tuple[type, dict[Any, Any]]]:
    """What the generic parameters of a class and of its bases stand for."""
    origin = get_origin(kind) or kind
    if not isinstance(origin, type):
        return
    given = tuple(_filled(each, scope) for each in get_args(kind))
    inner = dict(zip(getattr(origin, "__parameters__", ()), given, strict=False)) if given else {}
    for base in vars(origin).get("__orig_bases__", origin.__bases__):
        if get_origin(base) is not typing.Generic:
            yield from _parameters(base, inner)
    yield origin, inner


def _filled(annotation: Any, known: dict[Any, Any]) -> Any:
    if isinstance(annotation, TypeVar):
        return known.get(annotation, annotation)
    open_ones: Any = getattr(annotation, "__parameters__", ())
    if not known or not isinstance(open_ones, tuple) or not open_ones or isinstance(annotation, type):
        return annotation
    return annotation[tuple(known.get(each, each) for each in cast("tuple[Any, ...]", open_ones))]
