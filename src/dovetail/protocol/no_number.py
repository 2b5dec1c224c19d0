"""Numbers that JSON does not have: NaN and the infinities.

The encoder writes them as null, which is no number; so what is written for somebody else is looked at first, where
a null was written.

Specification: basic/index (JSON-RPC 2.0, RFC 8259 section 6).
"""

from math import isfinite
from typing import Any, cast

__all__ = ["no_number"]


def no_number(value: Any) -> str | None:
    """Where plain JSON values have a number that is none, with what stands there (``"rows[2].mean is nan"``); None
    where all can be written.
    """
    found = _found(value, "")
    return None if found is None else f"{found[0] or 'the value'} is {found[1]}"


def _found(value: Any, place: str) -> tuple[str, float] | None:
    if isinstance(value, float):
        return None if isfinite(value) else (place, value)
    if isinstance(value, dict):
        for key, item in cast("dict[Any, Any]", value).items():
            told = str(key)[:100]
            if (found := _found(item, f"{place}.{told}" if place else told)) is not None:
                return found
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(cast("list[Any]", value)):
            if (found := _found(item, f"{place}[{index}]")) is not None:
                return found
    return None
