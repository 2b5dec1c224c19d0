"""Taking annotations apart and putting them together again.

Theory of operation. One walk goes through what carries other types inside it (``Annotated``, unions, the
built-in and ``collections.abc`` containers, ``type X = ...`` aliases) and leaves everything else, user
generics included, as it is. What is done to a leaf and to the markers of ``Annotated`` is up to the caller.
"""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Final, cast, get_args, get_origin

import msgspec

__all__ = [
    "MISSING",
    "alias_value",
    "described",
    "leaves",
    "markers_of",
    "rebuild",
    "refers_to_itself",
    "union_members",
    "without_markers",
]

_DEPTH: Final = 32
_CONTAINERS: Final = frozenset(
    {
        list,
        dict,
        tuple,
        set,
        frozenset,
        collections.abc.Collection,
        collections.abc.Mapping,
        collections.abc.MutableMapping,
        collections.abc.MutableSequence,
        collections.abc.MutableSet,
        collections.abc.Sequence,
        collections.abc.Set,
    }
)


class _Missing:
    """No default, or no annotation."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""Stands where there is no default or no annotation."""


def alias_value(annotation: Any) -> Any:
    """What a ``type X = ...`` alias stands for, its parameters filled in; any other annotation as it is.

    An alias that refers to itself stands for itself: whoever went into it would never come out.
    """
    for _ in range(_DEPTH):
        alias = _alias(annotation)
        if alias is None or refers_to_itself(annotation):
            break
        annotation = _filled_in(alias, get_args(annotation))
    return annotation


def refers_to_itself(annotation: Any) -> bool:
    """Whether an annotation is an alias that is part of what it stands for."""
    alias = _alias(annotation)
    stack: list[Any] = [] if alias is None else [alias.__value__]
    seen: list[Any] = []
    while stack:
        part = stack.pop()
        inner = _alias(part)
        if inner is alias:
            return True
        if inner is not None and inner not in seen:
            seen.append(inner)
            stack.append(inner.__value__)
        if get_origin(part) is not typing.Literal:
            stack.extend(get_args(part))
    return False


def _alias(annotation: Any) -> Any:
    """The alias that an annotation is, with or without parameters, or None."""
    for each in (annotation, get_origin(annotation)):
        if type(each).__name__ == "TypeAliasType":
            return each
    return None


def _filled_in(alias: Any, arguments: tuple[Any, ...]) -> Any:
    value, known = alias.__value__, dict(zip(alias.__type_params__, arguments, strict=False))
    if isinstance(value, typing.TypeVar):
        return known.get(value, value)
    parameters: tuple[Any, ...] = getattr(value, "__parameters__", ())
    return value[tuple(known.get(each, each) for each in parameters)] if known and parameters else value


def union_members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; of anything else, itself alone."""
    annotation = alias_value(annotation)
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)


def without_markers(annotation: Any) -> Any:
    """The type inside ``Annotated`` and aliases."""
    annotation = alias_value(annotation)
    while get_origin(annotation) is Annotated:
        annotation = alias_value(get_args(annotation)[0])
    return annotation


def markers_of(annotation: Any) -> tuple[Any, ...]:
    """All markers around a type, the innermost first."""
    annotation = alias_value(annotation)
    found: tuple[Any, ...] = ()
    while get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        found = (*marks, *found)
        annotation = alias_value(inner)
    return found


def described(marks: Sequence[Any]) -> str:
    """The description among markers: a `Doc`, a plain string or anything with ``documentation``.

    The last one counts.
    """
    for mark in reversed(marks):
        if isinstance(mark, str):
            return mark
        text = getattr(mark, "documentation", None)
        said = getattr(mark, "meta", mark)
        if text is None and (isinstance(said, msgspec.Meta) or hasattr(mark, "json_schema_extra")):
            text = getattr(said, "description", None)
        if isinstance(text, str):
            return text
    return ""


def rebuild(
    annotation: Any,
    leaf: Callable[[Any], Any],
    marked: Callable[[Any, tuple[Any, ...]], Any],
    depth: int = 0,
) -> Any:
    """The same annotation, each leaf replaced by ``leaf(type)``, ``Annotated`` by ``marked(type, markers)``."""
    annotation = alias_value(annotation)
    if depth > _DEPTH:
        return annotation

    def again(part: Any) -> Any:
        return part if part is Ellipsis else rebuild(part, leaf, marked, depth + 1)

    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return marked(again(arguments[0]), arguments[1:])
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(again(part) for part in arguments)]  # noqa: UP007 - the members are computed
    if origin in _CONTAINERS and arguments:
        return leaf(cast("Any", origin)[tuple(again(part) for part in arguments)])
    return leaf(annotation)


def leaves(annotation: Any, depth: int = 0) -> Iterator[Any]:
    """Every type and every marker in an annotation, the arguments of all generics included."""
    annotation = alias_value(annotation)
    yield annotation
    if get_origin(annotation) is typing.Literal or depth > _DEPTH:
        return
    for part in get_args(annotation):
        yield from leaves(part, depth + 1)
