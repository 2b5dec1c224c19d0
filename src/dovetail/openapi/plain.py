"""Plain values that somebody else wrote, taken as what they should be or as nothing.

Theory of operation. A document may have anything anywhere. Whoever reads a member of it says by these what kind it has
to be; one of another kind counts as not there, so no part of a document can make another part fail.
"""

from __future__ import annotations

from typing import Any, TypeGuard, cast

__all__ = ["flag", "is_mapping", "is_schema", "items", "mapping", "schema_in", "text"]


def is_mapping(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether the value is an object."""
    return isinstance(value, dict)


def is_schema(value: object) -> bool:
    """Whether the value is a schema: an object or a boolean."""
    return isinstance(value, (dict, bool))


def mapping(value: object) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """The value if it is an array, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def text(value: object) -> str:
    """The value if it is a text, else an empty one."""
    return value if isinstance(value, str) else ""


def flag(value: object, default: bool = False) -> bool:
    """The value if it is a boolean, else ``default``."""
    return value if isinstance(value, bool) else default


def schema_in(value: object) -> Any:
    """The value if it is a schema: an object or a boolean; else one that allows anything."""
    return cast("Any", value) if is_schema(value) else {}
