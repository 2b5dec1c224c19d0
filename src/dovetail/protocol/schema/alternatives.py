"""Which of several alternatives a value was meant for, and what is wrong with it as that.

Theory of operation. A validator that finds none of ``anyOf`` or ``oneOf`` fitting says what is wrong with each. All of
that is no help: whoever sends a point with a bad coordinate does not want to hear that null was expected. So the
branches are compared. One that wants another type altogether was not meant. One that wants another value of a tag (a
property with a single value, as ``kind`` has in a discriminated union) was not meant either. Of the rest, the one was
meant that lacks the fewest members and has the fewest others wrong; what is wrong with it is told in place of the
whole, at its own path, and if there was a choice with the name of the branch. Where every branch wants another tag,
the tag is what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

__all__ = ["Mismatch", "faults"]

Path: TypeAlias = tuple[str | int, ...]
_OTHER: Final = frozenset({"const", "enum", "falseSchema", "type"})
_DEPTH: Final = 16


class Mismatch(NamedTuple):
    """One error of a validator. ``branch``: the name of the alternative that it is about, or "". ``tags``: the values
    that would have been taken, where every alternative wanted another; else empty.
    """

    error: Any
    branch: str = ""
    tags: tuple[object, ...] = ()


def faults(error: Any, depth: int = 0) -> Iterator[Mismatch]:
    """What an error comes to: itself, or those of the alternative that was meant."""
    if error.kind.name not in ("anyOf", "oneOf") or depth > _DEPTH:
        yield Mismatch(error)
        return
    root: Path = tuple(error.instance_path)
    branches = list(_branches(error, root))
    fitting = [each for each in branches if not any(_is_other(fault, root) for fault in each)]
    if not all(branches) or not fitting:
        yield Mismatch(error)
        return
    tags = [tag for each in fitting if (tag := _tag(each, root)) is not None]
    if len(tags) == len(fitting) > 1 and len({tuple(each.instance_path) for each in tags}) == 1:
        yield Mismatch(tags[0], tags=tuple(value for each in tags for value in _single(each)))
        return
    best = min(fitting, key=lambda branch: (_tag(branch, root) is not None, *_distance(branch, root)))
    name = _name(best, root) if len(fitting) > 1 else ""
    for each in best:
        for fault in faults(each, depth + 1):
            yield fault._replace(branch=fault.branch or name)


def _branches(error: Any, root: Path) -> Iterator[Sequence[Any]]:
    """What is wrong with each branch; alternatives inside of alternatives of one value are one choice."""
    for branch in error.kind.context:
        if (
            len(branch) == 1
            and branch[0].kind.name in ("anyOf", "oneOf")
            and tuple(branch[0].instance_path) == root
        ):
            yield from _branches(branch[0], root)
        else:
            yield branch


def _is_other(error: Any, root: Path) -> bool:
    """Whether an error says that the value is of another type than the branch is about."""
    return error.kind.name in _OTHER and tuple(error.instance_path) == root


def _tag(branch: Iterable[Any], root: Path) -> Any:
    """The error of a tag in a branch, or None."""
    for error in branch:
        path = tuple(error.instance_path)
        if len(path) == len(root) + 1 and isinstance(path[-1], str) and _single(error):
            return error
    return None


def _single(error: Any) -> list[object]:
    """The one value that a property may have; empty where it may have others."""
    kind = error.kind
    if kind.name == "const":
        return [kind.expected_value]
    return list(kind.options) if kind.name == "enum" and len(kind.options) == 1 else []


def _distance(branch: Iterable[Any], root: Path) -> tuple[int, int]:
    """How far a value is from a branch: members that are missing or too many, and all that is wrong."""
    shape = count = 0
    for error in branch:
        count += 1
        if tuple(error.instance_path) == root:
            shape += len(getattr(error.kind, "unexpected", ())) or 1
    return shape, count


def _name(branch: Iterable[Any], root: Path) -> str:
    """The name of the definition that a branch refers to, where an error tells it."""
    for error in branch:
        path, steps = tuple(error.instance_path), list(error.schema_path)
        named = len(steps) > 2 and steps[0] in ("$defs", "definitions")
        own = path == root or (len(path) > len(root) and steps[2:4] == ["properties", path[len(root)]])
        if named and own:
            return str(steps[1])
    return ""
