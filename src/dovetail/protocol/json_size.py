"""How large a value is as JSON, about, without writing it.

Texts are counted by their characters and numbers as a few, so that it is cheap and never more than half a dozen times
too little; what escapes and the encoding add is left out. Counting ends as soon as a bound is passed: a list that
holds one long text ten thousand times is not gone through to its end.

Specification: none.
"""

from collections import deque
from typing import Any, Final, cast

from msgspec import Raw, Struct

__all__ = ["json_size"]

_NUMBER: Final = 8
_MEMBER: Final = 4
_SHORT: Final = (int, float, bool, type(None))
_LISTS: Final = (list, tuple, set, frozenset, deque)


def json_size(value: Any, most: int) -> int:
    """Bytes of a value as JSON, about. Beyond ``most`` it is some number above that. Raises RecursionError for what is
    nested deeper than Python goes.
    """
    return most - _left(value, most)


def _left(value: Any, left: int) -> int:
    """What is left of so many bytes once a value is written; below 0 where it is too large, and then not all of it was
    looked at.
    """
    kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType] - any type at all
    if kind is str:
        return left - len(value)
    if kind in _SHORT:
        return left - _NUMBER
    if kind is dict:
        return _left_of_members(cast("dict[Any, Any]", value), left)
    if isinstance(value, _LISTS):
        return _left_of_items(value, left)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return left - len(cast("bytes", value)) * 4 // 3
    if isinstance(value, Raw):
        return left - len(value)
    if isinstance(value, Struct):
        return _left_of_items([getattr(value, name) for name in value.__struct_fields__], left)
    if isinstance(value, str):
        return left - len(value)
    members = cast("Any", value if isinstance(value, dict) else getattr(value, "__dict__", None))
    return left - _NUMBER if members is None else _left_of_members(members, left)


# The same loop stands in both of these: by way of one another they would take a sixth longer.
def _left_of_members(members: dict[Any, Any], left: int) -> int:
    left -= _MEMBER * len(members)
    for key, item in members.items():
        if type(key) is str:
            left -= len(key)
        kind: Any = type(item)  # pyright: ignore[reportUnknownVariableType] - as above
        if kind is str:
            left -= len(item)
        elif kind in _SHORT:
            left -= _NUMBER
        else:
            left = _left(item, left)
        if left < 0:
            break
    return left


def _left_of_items(items: Any, left: int) -> int:
    left -= len(items)
    for item in items:
        kind: Any = type(item)  # pyright: ignore[reportUnknownVariableType] - as above
        if kind is str:
            left -= len(item)
        elif kind in _SHORT:
            left -= _NUMBER
        else:
            left = _left(item, left)
        if left < 0:
            break
    return left
