"""The arguments of a call as a record may have them: without what is secret, and not longer than allowed.

Theory of operation. What is secret is said by the schema that the tool shows to its clients: `Secret` in an annotation
makes it ``writeOnly``, as do pydantic's secret types, at any depth. So arguments are walked together with their schema.
Wherever several schemas may hold for a value (``anyOf``, ``allOf``, ``if`` and the like), one that calls it secret is
enough; what no schema speaks of is not shown either, for a secret that was put in the wrong place is still one. What
can't be read is not shown at all.

Specification: JSON Schema 2020-12 Validation, 9.4 "readOnly" and "writeOnly"; server/tools, "Security Considerations".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from ..protocol import codec

__all__ = ["REDACTED", "UNDECLARED", "redacted"]

REDACTED: Final = "[redacted]"
UNDECLARED: Final = "[undeclared]"
CUT: Final = "[cut]"
#: How deep values and schemas are followed, how many members and items are shown, and characters of one text.
DEPTH: Final = 16
ITEMS: Final = 64
TEXT: Final = 512
#: Schemas that may hold for one value; beyond that it is not shown.
SCHEMAS: Final = 64

_Schema = Mapping[str, Any]
_BRANCHES: Final = ("allOf", "anyOf", "oneOf")
_SINGLE: Final = ("if", "then", "else")


def redacted(arguments: bytes, schema: Mapping[str, Any] | None, *, limit: int) -> Any:
    """Plain values, of at most ``limit`` bytes as JSON; `CUT` for what is longer or can't be read."""
    try:
        values: Any = codec.decode(arguments) if arguments else {}
    except codec.DECODE_ERRORS:
        return CUT
    shown = _Walk(schema or {}).shown(values, [schema or {}], DEPTH)
    return shown if len(codec.encode(shown)) <= limit else CUT


class _Walk:
    """One walk through arguments. ``root``: the schema that references begin in."""

    def __init__(self, root: _Schema) -> None:
        self._root = root

    def shown(self, value: Any, schemas: list[_Schema], depth: int) -> Any:
        holding = list(self._holding(schemas))
        if any(each.get("writeOnly") is True or each.get("format") == "password" for each in holding):
            return REDACTED
        if depth == 0 or len(holding) > SCHEMAS:
            return CUT
        if isinstance(value, dict):
            return self._members(cast("dict[str, Any]", value), holding, depth)
        if isinstance(value, list):
            items = cast("list[Any]", value)
            shown = [
                self.shown(item, _of_items(holding, at), depth - 1) if _of_items(holding, at) else UNDECLARED
                for at, item in enumerate(items[:ITEMS])
            ]
            return [*shown, CUT] if len(items) > ITEMS else shown
        if isinstance(value, str) and len(value) > TEXT:
            return value[:TEXT] + CUT
        return value

    def _members(self, value: dict[str, Any], holding: list[_Schema], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for at, (name, member) in enumerate(value.items()):
            if at == ITEMS:
                found[CUT] = len(value) - ITEMS
                break
            schemas = _of_member(holding, name)
            found[name[:TEXT]] = self.shown(member, schemas, depth - 1) if schemas else UNDECLARED
        return found

    def _holding(self, schemas: list[_Schema]) -> Iterator[_Schema]:
        """All schemas that may hold for a value, references and branches opened."""
        waiting, seen = list(schemas), set[int]()
        while waiting and len(seen) <= SCHEMAS:
            each = waiting.pop()
            if id(each) in seen:
                continue
            seen.add(id(each))
            yield each
            reference = each.get("$ref")
            if isinstance(reference, str):
                waiting += _schemas(self._find(reference))
            for key in _BRANCHES:
                waiting += _schemas(each.get(key))
            for key in _SINGLE:
                waiting += _schemas(each.get(key))

    def _find(self, reference: str) -> Any:
        """What a reference within the schema leads to; None for any other. A schema that can't be found is none."""
        if not reference.startswith("#"):
            return None
        place: Any = self._root
        for part in reference[1:].split("/")[1:]:
            if not isinstance(place, dict):
                return None
            place = cast("dict[str, Any]", place).get(part.replace("~1", "/").replace("~0", "~"))
        return place


def _schemas(value: Any) -> list[_Schema]:
    if isinstance(value, dict):
        return [cast("_Schema", value)]
    if isinstance(value, list):
        return [each for each in cast("list[Any]", value) if isinstance(each, dict)]
    return []


def _of_member(holding: list[_Schema], name: str) -> list[_Schema]:
    found: list[_Schema] = []
    for each in holding:
        properties = each.get("properties")
        own = cast("dict[str, Any]", properties).get(name) if isinstance(properties, dict) else None
        if own is not None:
            found += _schemas(own)
            continue
        patterns = each.get("patternProperties")
        if isinstance(patterns, dict):  # which of them fit is not asked: one that is secret is enough
            found += [one for many in cast("dict[str, Any]", patterns).values() for one in _schemas(many)]
        found += _schemas(each.get("additionalProperties"))
    return found


def _of_items(holding: list[_Schema], at: int) -> list[_Schema]:
    found: list[_Schema] = []
    for each in holding:
        first = _schemas(each.get("prefixItems"))
        found += first[at : at + 1] if at < len(first) else _schemas(each.get("items"))
    return found
