"""What a schema says of the value at a place, for telling what is missing there.

Specification: none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

__all__ = ["schemas_at"]

_STEP: Final = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")
_DEFINITIONS: Final = "#/$defs/"
_DEPTH: Final = 32

Schema = Mapping[str, Any]


def schemas_at(root: Schema, first: Schema, path: str) -> list[Schema]:
    """What may stand at a path such as ``[0].url`` below ``first``, a part of ``root``: one schema for each alternative
    that has such a place, none where that cannot be told.
    """
    found = list(_alternatives(root, first, 0))
    for step in _STEP.finditer(path):
        inner = [_member(each, step[1]) for each in found]
        found = [each for one in inner if one is not None for each in _alternatives(root, one, 0)]
    return found


def _alternatives(root: Schema, schema: Schema, depth: int) -> Iterator[Schema]:
    """The schema with what it refers to in its place, or its alternatives, if it is made of some."""
    if depth > _DEPTH:
        return
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith(_DEFINITIONS):
        inner = cast("dict[str, Schema]", root.get("$defs") or {}).get(reference.removeprefix(_DEFINITIONS))
        if inner is not None:
            yield from _alternatives(root, inner, depth + 1)
        return
    choices: list[Schema] = [*(schema.get("anyOf") or ()), *(schema.get("oneOf") or ())]
    if not choices:
        yield schema
    for each in choices:
        yield from _alternatives(root, each, depth + 1)


def _member(schema: Schema, name: str | None) -> Schema | None:
    """The schema of a member, or of an item where there is no name."""
    properties = cast("Schema", schema.get("properties") or {})
    inner = schema.get("items") if name is None else properties.get(name)
    return cast("Schema", inner) if isinstance(inner, dict) else None
