"""Words of a command line, turned into the values that a JSON schema wants.

``key=value`` is read by the schema of ``key``: as text, number, boolean, null, or JSON for lists and objects;
a key given several times makes a list. ``key:=value`` is JSON as it stands. Where the schema says nothing,
what reads as a JSON number, boolean, null, list or object is that, and everything else is text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from .exits import Usage

__all__ = ["arguments_of", "pairs", "read_value", "texts"]

Schema = Mapping[str, Any]
_PAIR: Final = re.compile(r"(?P<key>[^=]+?)(?P<json>:?)=(?P<value>.*)", re.DOTALL)
_ORDER: Final = ("null", "boolean", "integer", "number", "array", "object", "string")
_DEPTH: Final = 16


def arguments_of(given: Sequence[str], document: str | None, schema: Schema) -> dict[str, Any]:
    """The arguments of a tool: those of ``document`` (a JSON object), then each ``key=value``. Raises
    `Usage`.
    """
    found: dict[str, Any] = {}
    if document is not None:
        found = _object(document)
    properties = _members(schema, "properties")
    collected: dict[str, list[str]] = {}
    for key, value, is_json in pairs(given):
        if is_json:
            found[key] = _json(key, value)
        else:
            collected.setdefault(key, []).append(value)
    for key, values in collected.items():
        found[key] = _value(key, values, _members(properties, key), schema)
    return found


def texts(given: Sequence[str]) -> dict[str, str]:
    """``key=value`` where every value is text: arguments of prompts. Raises `Usage`."""
    return {key: value for key, value, _ in pairs(given)}


def pairs(given: Sequence[str]) -> list[tuple[str, str, bool]]:
    """Key, value, and whether the value is JSON. Raises `Usage`."""
    found: list[tuple[str, str, bool]] = []
    for word in given:
        match = _PAIR.fullmatch(word)
        if match is None or match["key"] == ":":
            raise Usage(f"{word!r} is not KEY=VALUE (or KEY:=JSON)")
        found.append((match["key"], match["value"], bool(match["json"])))
    return found


def read_value(text: str, schema: Schema, root: Schema | None = None) -> Any:
    """One value as a schema wants it. Raises ValueError, which says what was expected."""
    root = schema if root is None else root
    branches = _branches(schema, root)
    for branch in branches:
        for constant in _constants(branch):
            if text == constant or (not isinstance(constant, str) and text == json.dumps(constant)):
                return constant
    kinds = [kind for branch in branches for kind in _kinds(branch)]
    if not kinds:
        return _guess(text)
    for kind in sorted(set(kinds), key=_ORDER.index):
        try:
            return _as(kind, text, branches, root)
        except ValueError:
            continue
    raise ValueError(f"expected {' or '.join(dict.fromkeys(kinds))}")


def _value(key: str, values: list[str], schema: Schema, root: Schema) -> Any:
    branches = _branches(schema, root)
    listed = any("array" in _kinds(branch) for branch in branches)
    try:
        if len(values) > 1:
            if branches and not listed and any(_kinds(branch) for branch in branches):
                raise Usage(f"{key!r} was given {len(values)} times and is no list")
            return [read_value(value, _items(branches), root) for value in values]
        return read_value(values[0], schema, root)
    except ValueError as problem:
        raise Usage(f"{key!r} can't be {values[0][:80]!r}: {problem}") from None


def _as(kind: str, text: str, branches: list[Schema], root: Schema) -> Any:
    if kind == "string":
        return text
    if kind == "array" and not text.lstrip().startswith("["):
        return [read_value(text, _items(branches), root)]
    if kind == "boolean" and text.lower() in ("true", "false", "yes", "no"):
        return text.lower() in ("true", "yes")
    value = _loads(text)
    fits = {
        "null": value is None,
        "boolean": isinstance(value, bool),
        "integer": _is_number(value) and float(value).is_integer(),
        "number": _is_number(value),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }
    if not fits.get(kind, True):
        raise ValueError(f"expected {kind}")
    return int(value) if kind == "integer" else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) != float("inf")


def _loads(text: str) -> Any:
    """JSON as the standard has it: no NaN, no Infinity. Raises ValueError."""

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _guess(text: str) -> Any:
    if text[:1] in '[{-0123456789tfn"':
        try:
            return _loads(text)
        except ValueError:
            return text
    return text


def _branches(schema: Schema, root: Schema, depth: int = 0) -> list[Schema]:
    """The schema with local references and alternatives resolved, each alternative by itself."""
    if depth > _DEPTH:
        return []
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        target: Any = root
        for part in reference[2:].split("/"):
            target = _members(target, part.replace("~1", "/").replace("~0", "~"))
        return _branches(target, root, depth + 1)
    found: list[Schema] = []
    for word in ("anyOf", "oneOf", "allOf"):
        alternatives = schema.get(word)
        if isinstance(alternatives, list):
            for each in cast("list[Any]", alternatives):
                if isinstance(each, dict):
                    found += _branches(cast("Schema", each), root, depth + 1)
    return [schema, *found] if "type" in schema or "enum" in schema or not found else found


def _kinds(schema: Schema) -> list[str]:
    kind = schema.get("type")
    listed = cast("list[Any]", kind) if isinstance(kind, list) else [kind]
    return [each for each in listed if each in _ORDER]


def _constants(schema: Schema) -> list[Any]:
    enum: Any = schema.get("enum")
    constants = list(cast("list[Any]", enum)) if isinstance(enum, list) else []
    return [*constants, schema["const"]] if "const" in schema else constants


def _items(branches: list[Schema]) -> Schema:
    for branch in branches:
        if found := _members(branch, "items"):
            return found
    return {}


def _members(schema: Any, name: str) -> Schema:
    found = cast("Schema", schema).get(name) if isinstance(schema, dict) else None
    return cast("Schema", found) if isinstance(found, dict) else {}


def _object(document: str) -> dict[str, Any]:
    value = _json("--args", document)
    if not isinstance(value, dict):
        raise Usage('--args is a JSON object, such as \'{"city": "Oslo"}\'')
    return cast("dict[str, Any]", value)


def _json(key: str, text: str) -> Any:
    try:
        return _loads(text)
    except ValueError as problem:
        raise Usage(f"{key} is not JSON: {problem}") from None
