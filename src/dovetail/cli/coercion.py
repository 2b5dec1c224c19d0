"""Words of a command line, turned into the values that a JSON schema wants.

``key=value`` is read by the schema of ``key``: as text, number, boolean, null, or JSON for lists and objects;
a key given several times makes a list. ``key:=value`` is JSON as it stands. Where the schema says nothing,
what reads as a JSON number, boolean, null, list or object is that, and everything else is text. ``key@=FILE`` is the
same with the contents of a file (``-``: standard input), ``key:@=FILE`` with its JSON; where the schema wants base64,
the bytes of the file are written so. A value is never read as the name of a file: any text arrives as it was typed.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from .exits import UsageError
from .sources import Sources, as_text

__all__ = ["Pair", "arguments_of", "object_of", "pairs", "read_value", "texts", "variables_of"]

Schema = Mapping[str, Any]
_PAIR: Final = re.compile(r"(?P<key>[^=]+?)(?P<json>:?)(?P<file>@?)=(?P<value>.*)", re.DOTALL)
_ORDER: Final = ("null", "boolean", "integer", "number", "array", "object", "string")
_DEPTH: Final = 16


class Pair(NamedTuple):
    """One ``key=value``. ``json``: the value is JSON as it stands. ``file``: where it was read, with its ``data``."""

    key: str
    value: str
    json: bool = False
    file: str | None = None
    data: bytes = b""

    @property
    def text(self) -> str:
        """The value as text. Raises `UsageError` for a file that is none."""
        return self.value if self.file is None else as_text(self.data, self.file, repr(self.key))


def arguments_of(given: Sequence[Pair], document: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """The arguments of a tool: those of ``document``, then each pair, by the schema. Raises `UsageError`."""
    found = dict(document)
    properties = _members(schema, "properties")
    collected: dict[str, list[str]] = {}
    for pair in given:
        if pair.json:
            found[pair.key] = _json(pair.key, pair.text)
        elif pair.file is not None and _wants_base64(_members(properties, pair.key), schema):
            collected.setdefault(pair.key, []).append(base64.b64encode(pair.data).decode())
        else:
            collected.setdefault(pair.key, []).append(pair.text)
    for key, values in collected.items():
        found[key] = _value(key, values, _members(properties, key), schema)
    return found


def texts(given: Sequence[Pair]) -> dict[str, str]:
    """Pairs where every value is text: arguments of prompts. Raises `UsageError`."""
    return {pair.key: pair.text for pair in given}


def variables_of(given: Sequence[Pair]) -> dict[str, Any]:
    """The variables of a URI template: texts, JSON as it stands, a list where a name comes several times. Raises
    `UsageError`.
    """
    found: dict[str, Any] = {}
    for pair in given:
        value: Any = _json(pair.key, pair.text) if pair.json else pair.text
        found[pair.key] = [*_listed(found[pair.key]), value] if pair.key in found else value
    return found


def pairs(given: Sequence[str], sources: Sources | None = None) -> list[Pair]:
    """The words as pairs, files read. Without ``sources`` no file can be named. Raises `UsageError`."""
    found: list[Pair] = []
    for word in given:
        match = _PAIR.fullmatch(word)
        if match is None or match["key"] in (":", "@", ":@"):
            raise UsageError(f"{word!r} is not KEY=VALUE (or KEY:=JSON, or KEY@=FILE)")
        key, value = match["key"], match["value"]
        if not _is_unicode(word):
            raise UsageError(f"{word!r} is not text in UTF-8; KEY@=FILE gives bytes")
        if match["file"] and sources is None:
            key += "@"
        file = value if match["file"] and sources is not None else None
        data = b"" if file is None or sources is None else sources.data(file, repr(key))
        found.append(Pair(key, value, bool(match["json"]), file, data))
    return found


def object_of(document: str) -> dict[str, Any]:
    """``--args``: a JSON object. Raises `UsageError`."""
    value = _json("--args", document)
    if not isinstance(value, dict):
        raise UsageError('--args is a JSON object, such as \'{"city": "Oslo"}\'')
    return cast("dict[str, Any]", value)


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
                raise UsageError(f"{key!r} was given {len(values)} times and is no list")
            return [read_value(value, _items(branches), root) for value in values]
        return read_value(values[0], schema, root)
    except ValueError as problem:
        raise UsageError(f"{key!r} can't be {values[0][:80]!r}: {problem}") from None


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


def _listed(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def _is_unicode(text: str) -> bool:
    """False for what the shell gave us and is no UTF-8: it came as lone surrogates."""
    return text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text)


def _wants_base64(schema: Schema, root: Schema) -> bool:
    return any(branch.get("contentEncoding") == "base64" for branch in _branches(schema, root))


def _json(key: str, text: str) -> Any:
    try:
        return _loads(text)
    except ValueError as problem:
        raise UsageError(f"{key} is not JSON: {problem}") from None
