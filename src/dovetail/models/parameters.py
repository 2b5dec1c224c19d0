"""The input schema of a tool, as APIs of models take it.

Theory of operation. A server may use all of JSON Schema; APIs refuse a request where the schema of any of its tools is
not plainly an object: with no ``type``, with no ``properties``, or with ``anyOf``, ``oneOf``, ``allOf``, ``not``,
``enum`` or ``const`` at the top. So the top is made plain: what alternatives have is put together, what only some of
them require is not required, and what was said there is told in words beside the description. The server checks the
arguments all the same. Below the top nothing is changed.

Specification: server/tools, "Tool" (``inputSchema``).
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

__all__ = ["parameters_of"]

_REFUSED: Final = ("allOf", "anyOf", "oneOf", "not", "enum", "const")
_ALTERNATIVES: Final = ("anyOf", "oneOf")
_DROPPED: Final = ("$schema", "$id", "$ref")
_DEPTH: Final = 8
_TOLD: Final = 2_000


def parameters_of(schema: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """A schema that is an object at its top, and in words what it could not say any more (empty: nothing)."""
    plain = _merged(schema, schema, 0)
    left = {name: schema[name] for name in _REFUSED if name in schema}
    result = {name: value for name, value in schema.items() if name not in (*_REFUSED, *_DROPPED)}
    result["type"] = "object"
    result["properties"] = plain["properties"]
    if plain["required"]:
        result["required"] = plain["required"]
    else:
        result.pop("required", None)
    if not left:
        return result, ""
    told = json.dumps(left, ensure_ascii=False)
    if len(told) > _TOLD:
        told = f"{told[:_TOLD]} [cut]"
    return result, f"The arguments also have to fit this JSON Schema: {told}"


def _merged(schema: Any, whole: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """``properties`` and ``required`` of a schema, with those of all that is put together at its top."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return {"properties": properties, "required": required}
    own = cast("Mapping[str, Any]", schema)
    if isinstance(own.get("properties"), Mapping):
        properties.update(own["properties"])
    _require(required, _texts(own.get("required")))
    target = _referred(own.get("$ref"), whole)
    for each in (*_list(own.get("allOf")), target):
        found = _merged(each, whole, depth + 1)
        _include(properties, found["properties"])
        _require(required, found["required"])
    for name in _ALTERNATIVES:
        branches = [_merged(each, whole, depth + 1) for each in _list(own.get(name))]
        if branches:
            _include(properties, _either([each["properties"] for each in branches]))
            _require(
                required,
                [
                    each
                    for each in branches[0]["required"]
                    if all(each in one["required"] for one in branches)
                ],
            )
    return {"properties": properties, "required": required}


def _include(properties: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add properties; one that is there already, and says something, stays as it is."""
    for name, value in more.items():
        if properties.get(name) in (None, True, {}):
            properties[name] = value


def _either(branches: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The properties of alternatives; where these say different things of one, any of them may be meant."""
    said: dict[str, list[Any]] = {}
    for branch in branches:
        for name, value in branch.items():
            several = said.setdefault(name, [])
            if value not in several:
                several.append(value)
    return {name: values[0] if len(values) == 1 else {"anyOf": values} for name, values in said.items()}


def _require(required: list[str], more: Iterable[str]) -> None:
    required += [each for each in more if each not in required]


def _referred(reference: Any, whole: Mapping[str, Any]) -> Any:
    """What a reference at the top leads to inside the schema; None for one that leads elsewhere."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    value: Any = whole
    for step in reference[2:].split("/"):
        if not isinstance(value, Mapping):
            return None
        value = cast("Mapping[str, Any]", value).get(step.replace("~1", "/").replace("~0", "~"))
    return value


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [each for each in _list(value) if isinstance(each, str)]
