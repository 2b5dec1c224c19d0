"""Dataclasses, read as Structs of the same fields.

Theory of operation. msgspec reads a Struct in a third of the time that it takes for a dataclass, whose attributes it
sets one by one, leaving out those that were not said (`class_defaults`). So where an argument leads to dataclasses
through plain containers alone, their *twins* are read: Structs with the same fields and defaults, of which the classes'
own ``__init__`` makes what the author gets. That is done where it is sure to come to the same: where dataclasses wrote
that ``__init__``, and it takes the fields and nothing else. All other types are read as they are.

What does not fit is read again, without twins, by whoever tells what was wrong.

Specification: none.
"""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Iterable
from itertools import starmap
from typing import Annotated, Any, Final, NamedTuple, cast, get_args, get_origin

import msgspec
from msgspec.structs import astuple

from . import hints
from .members import Member, classes, family, members

__all__ = ["twin"]

Convert = Callable[[Any], Any]
_LISTS: Final = (
    list, collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Collection,
)  # fmt: skip
_DICTS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_SCALARS: Final = frozenset({bool, float, int, str, types.NoneType})
_EMPTY: Final = (list, dict, tuple)
_GENERATED: Final = "<string>"
"""Where the code of an ``__init__`` stands that nobody wrote."""


class _NoTwin(Exception):
    """A type is to be read as it is."""


class _Read(NamedTuple):
    """What is read for a type. ``convert`` makes the type's value of one that was read, ``convert_all`` of many."""

    annotation: Any
    convert: Convert
    convert_all: Callable[[Iterable[Any]], Iterable[Any]]


def twin(annotation: Any) -> tuple[Any, Convert] | None:
    """What to read in place of a type, and what makes the type's values of what was read; None for a type that is read
    as it is.

    The second raises what msgspec would: `msgspec.ValidationError`, and what else a ``__post_init__`` raises.
    """
    if not _leads(annotation):
        return None
    try:
        read = _Twins().of(annotation)
    except (_NoTwin, NameError, TypeError):  # whoever reads the type says what is wrong with it
        return None
    convert = read.convert

    def converted(value: Any) -> Any:
        try:
            return convert(value)
        except (TypeError, ValueError) as problem:
            raise msgspec.ValidationError(str(problem)) from problem

    return read.annotation, converted


class _Twins:
    """The twins of one annotation. A class that leads to itself has none."""

    def __init__(self) -> None:
        self._made: dict[type, _Read] = {}
        self._open: set[type] = set()

    def of(self, annotation: Any) -> _Read:
        """What is read for a part that leads to a dataclass. Raises `_NoTwin`."""
        kind = hints.alias_value(annotation)
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Annotated:
            inner = self.of(arguments[0])
            return inner._replace(annotation=Annotated[(inner.annotation, *arguments[1:])])
        if origin in (typing.Union, types.UnionType):
            return self._union(arguments)
        if origin in _LISTS:
            item = self.of(arguments[0])
            return _one_by_one(list[item.annotation], lambda values: list(item.convert_all(values)))
        if origin is tuple and arguments[1:] == (...,):
            item = self.of(arguments[0])
            return _one_by_one(tuple[item.annotation, ...], lambda values: tuple(item.convert_all(values)))
        if origin in _DICTS and not _leads(arguments[0]):
            item = self.of(arguments[1])
            return _one_by_one(
                dict[arguments[0], item.annotation],
                lambda values: dict(zip(values, item.convert_all(values.values()), strict=True)),
            )
        if origin is None and family(kind) == "dataclass":
            return self._dataclass(kind)
        raise _NoTwin

    def _union(self, parts: tuple[Any, ...]) -> _Read:
        """A type beside scalars."""
        others = [each for each in parts if each not in _SCALARS]
        if len(others) != 1:
            raise _NoTwin
        item = self.of(others[0])
        convert, scalars = item.convert, [each for each in parts if each in _SCALARS]
        return _one_by_one(
            typing.Union[(item.annotation, *scalars)],
            lambda value: value if value.__class__ in _SCALARS else convert(value),
        )

    def _dataclass(self, kind: type) -> _Read:
        if kind in self._open:
            raise _NoTwin
        if kind not in self._made:
            self._open.add(kind)
            self._made[kind] = self._made_for(kind)
            self._open.discard(kind)
        return self._made[kind]

    def _made_for(self, kind: type) -> _Read:
        fields = members(kind)
        if not _is_made_by_init(kind, fields):
            raise _NoTwin
        inner = {
            place: self.of(each.annotation) for place, each in enumerate(fields) if _leads(each.annotation)
        }
        if not all(_is_empty_default(fields[place]) for place in inner):
            raise _NoTwin
        struct: Any = msgspec.defstruct(
            kind.__name__,
            [
                _field(f"field{place}", each, inner[place].annotation if place in inner else each.annotation)
                for place, each in enumerate(fields)
            ],
            rename={f"field{place}": each.name for place, each in enumerate(fields)},
            kw_only=True,
            gc=False,
        )
        if not inner:
            return _plain(struct, kind)

        def convert(value: Any) -> Any:
            given = list(astuple(value))
            for place, read in inner.items():
                given[place] = read.convert(given[place])
            return kind(*given)

        return _one_by_one(struct, convert)


def _plain(struct: Any, kind: type) -> _Read:
    """A class all of whose fields are read as they are."""

    def convert(value: Any) -> Any:
        return kind(*astuple(value))

    def convert_all(values: Iterable[Any]) -> Iterable[Any]:
        return starmap(kind, map(astuple, values))

    return _Read(struct, convert, convert_all)


def _one_by_one(annotation: Any, convert: Convert) -> _Read:
    def convert_all(values: Iterable[Any]) -> Iterable[Any]:
        return map(convert, values)

    return _Read(annotation, convert, convert_all)


def _leads(annotation: Any) -> bool:
    """Whether there are dataclasses in what a type leads to."""
    return any(family(each) == "dataclass" for each in classes(annotation, into_pydantic=False))


def _is_made_by_init(kind: type, fields: tuple[Member, ...]) -> bool:
    """Whether a class is what dataclasses make of its fields, no more and no less."""
    init = vars(kind).get("__init__")
    if (
        type(kind) is not type
        or kind.__new__ is not object.__new__
        or "__dataclass_fields__" not in vars(kind)
        or not isinstance(init, types.FunctionType)
        or init.__code__.co_filename != _GENERATED
        or not (cast("Any", kind).__dataclass_params__.frozen or kind.__setattr__ is object.__setattr__)
    ):
        return False
    taken = list(inspect.signature(init).parameters.values())[1:]
    return [(each.name, each.kind) for each in taken] == [
        (each.name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for each in fields
    ]


def _is_empty_default(field: Member) -> bool:
    """Whether the default of a field, if it has one, has no objects in it."""
    return field.required or field.default is None or field.factory in _EMPTY


def _field(name: str, field: Member, read: Any) -> Any:
    if field.required:
        return (name, read)
    if field.factory is not None:
        return (name, read, msgspec.field(default_factory=field.factory))
    default = field.default
    if default.__class__ in _SCALARS:
        return (name, read, default)
    return (name, read, msgspec.field(default_factory=lambda: default))
