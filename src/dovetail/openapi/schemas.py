"""Schemas of a document as JSON Schema 2020-12: each tool's with the definitions that it uses, and no others.

Theory of operation. A schema of the document is translated once, and what it refers to by name stays a reference:
``#/components/schemas/Pet`` becomes ``#/$defs/Pet``, whose body is translated when it is first needed. So circles need
no care, and a definition that a thousand tools use is one value in memory. A tool's schema gets the closure of what it
refers to. Where that is more bytes than the author allows, the definitions that are furthest from the root are left
open (``{}``: any value), so a schema never refuses what the document's own would take; ``oneOf`` around one that is
left open becomes ``anyOf``, for it would fit together with another.

3.0 has a dialect of its own: ``nullable``, booleans as ``exclusiveMinimum``, references that hide what is beside them.
What is not a keyword of JSON Schema (``discriminator``, ``xml``, ``x-...``), or has a value that the keyword can't
have, is left out. What is read-only is not asked of who sends, what is write-only not promised to who receives.

Specification: OpenAPI 3.0.4 and 3.1.1, "Schema Object"; JSON Schema 2020-12.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

from dovetail.errors import SchemaError
from dovetail.types import compile_schema

from .documents import Document
from .errors import DocumentInvalid
from .keywords import MANY, NAMED, ONE
from .plain import flag, is_mapping, is_schema, items, mapping

__all__ = ["Direction", "Schemas"]

Direction: TypeAlias = Literal["sent", "received"]

_TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_TEXTS: Final = frozenset(
    {"contentEncoding", "contentMediaType", "description", "format", "pattern", "title"}
)
_FLAGS: Final = frozenset({"deprecated", "readOnly", "uniqueItems", "writeOnly"})
_COUNTS: Final = frozenset(
    (
        *("maxContains", "maxItems", "maxLength", "maxProperties", "minContains", "minItems", "minLength"),
        *("minProperties",),
    )
)
_LIMITS: Final = frozenset({"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum"})
_REFERENCE: Final = "#/$defs/"
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")
_EXAMPLE: Final = 500
"""Bytes that an example may have to be shown."""


class Schemas:
    """The schemas of one document, as one direction sees them: what is ``sent`` to the API, or ``received`` from it."""

    def __init__(self, document: Document, direction: Direction) -> None:
        self._document = document
        self._hidden = "readOnly" if direction == "sent" else "writeOnly"
        self._names: dict[str, str] = {}
        self._references: dict[str, str] = {}
        self._bodies: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}
        self._uses: dict[str, tuple[str, ...]] = {}

    def translated(self, schema: Any) -> Any:
        """A schema in the words of 2020-12; what it refers to is named by ``#/$defs/...``, for `complete`."""
        if isinstance(schema, bool):
            return schema
        given = mapping(schema)
        reference = given.get("$ref")
        if isinstance(reference, str):
            target = {"$ref": _REFERENCE + self._named(reference)}
            if self._document.is_3_0:  # what stands beside it means nothing there, but people write it
                return {
                    **target,
                    **{key: given[key] for key in ("description",) if isinstance(given.get(key), str)},
                }
            return {**target, **self._keywords({key: given[key] for key in given if key != "$ref"})}
        found = self._keywords(given)
        return self._of_3_0(given, found) if self._document.is_3_0 else found

    def unfolded(self, schema: Any) -> Any:
        """What a translated schema is without references at its root."""
        for _ in range(32):
            reference = mapping(schema).get("$ref")
            if not isinstance(reference, str):
                return schema
            beside = {key: value for key, value in mapping(schema).items() if key != "$ref"}
            body = self._body(reference.removeprefix(_REFERENCE))
            schema = {**body, **beside} if is_mapping(body) else body
        return {}

    def complete(self, schema: Any, limit: int) -> tuple[dict[str, Any], list[str]]:
        """A translated schema with the definitions that it uses, within about ``limit`` bytes; and the names of those
        that had to be left open. Raises `DocumentInvalid` for a reference that leads nowhere.
        """
        root: dict[str, Any] = {**schema} if is_mapping(schema) else ({} if schema else {"not": {}})
        room = limit - _size(root)
        wanted = deque(dict.fromkeys(_used(root)))
        seen, kept, left = set(wanted), cast("dict[str, Any]", {}), cast("list[str]", [])
        while wanted:
            name = wanted.popleft()
            body = self._body(name)
            room -= self._sizes[name] + len(name) + 4
            if room < 0:
                left.append(name)
                room += self._sizes[name]
                continue
            kept[name] = body
            for each in self._uses[name]:
                if each not in seen:
                    seen.add(each)
                    wanted.append(each)
        if left:
            opened = frozenset(left)
            root = _opened(root, opened)
            kept = {name: _opened(body, opened) for name, body in kept.items()}
            kept.update((name, {}) for name in left)
        if kept:
            root["$defs"] = {name: kept[name] for name in sorted(kept)}
        return root, left

    def _named(self, reference: str) -> str:
        """The name of the definition that a reference leads to."""
        found = self._names.get(reference)
        if found is None:
            parts = [part for part in reference.split("/") if part not in ("#", "", "components", "schemas")]
            plain = (
                _NOT_IN_NAMES.sub("_", "_".join(parts[-3:]).replace("~1", "_")).strip("_")[:80] or "Schema"
            )
            found, number = plain, 1
            while found in self._references:
                number += 1
                found = f"{plain}_{number}"
            self._names[reference] = found
            self._references[found] = reference
        return found

    def _body(self, name: str) -> Any:
        """A definition, translated. Raises `DocumentInvalid`."""
        if name not in self._bodies:
            found = self._document.lookup(self._references[name])
            body = self.translated(found if is_schema(found) else {})
            self._bodies[name] = body
            self._sizes[name] = _size(body)
            self._uses[name] = tuple(dict.fromkeys(_used(body)))
        return self._bodies[name]

    def _keywords(self, given: dict[str, Any]) -> dict[str, Any]:
        """What JSON Schema knows of a schema's members."""
        found: dict[str, Any] = {}
        for key, value in given.items():
            if key in NAMED:
                named = mapping(value)
                if key == "properties":
                    found[key] = self._properties(named)
                elif key == "patternProperties":
                    found[key] = self._each({name: named[name] for name in named if _compiles(name)})
                else:
                    found[key] = self._each(named)
            elif key in ONE:
                if is_schema(value):
                    found[key] = self.translated(value)
            elif key in MANY:
                branches = [self.translated(each) for each in items(value) if is_schema(each)]
                if branches:
                    found[key] = branches
            elif (kept := _kept(key, value)) is not None:
                found[kept[0]] = kept[1]
        self._ask(given, found)
        return found

    def _each(self, schemas: dict[str, Any]) -> dict[str, Any]:
        return {name: self.translated(each) for name, each in schemas.items() if is_schema(each)}

    def _properties(self, schemas: dict[str, Any]) -> dict[str, Any]:
        return self._each(
            {name: each for name, each in schemas.items() if not flag(mapping(each).get(self._hidden))}
        )

    def _ask(self, given: dict[str, Any], found: dict[str, Any]) -> None:
        """What has to be there, of what there is to send or to receive."""
        properties = mapping(given.get("properties"))
        required = [
            each
            for each in dict.fromkeys(each for each in items(given.get("required")) if isinstance(each, str))
            if not flag(mapping(properties.get(each)).get(self._hidden))
        ]
        if required:
            found["required"] = required

    def _of_3_0(self, given: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
        """What 3.0 says by keywords of its own."""
        for strict, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if given.get(strict) is True and limit in found:
                found[strict] = found.pop(limit)
        if not flag(given.get("nullable")):
            return found
        if "enum" in found and None not in found["enum"]:
            found["enum"] = [*found["enum"], None]
        kind = found.get("type")
        if isinstance(kind, str):
            found["type"] = [kind, "null"] if kind != "null" else kind
        elif kind is not None:
            found["type"] = list(dict.fromkeys([*items(kind), "null"]))
        beside = [key for key in (*MANY, "not") if key in found]
        if not beside:
            return found
        about = {key: found.pop(key) for key in ("title", "description", "default") if key in found}
        return {**about, "anyOf": [found, {"type": "null"}]}


def _kept(key: str, value: Any) -> tuple[str, Any] | None:
    """A keyword that has no schema in it, with its value; None where one of both is nothing to JSON Schema."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits: object
    if key == "pattern":
        fits = isinstance(value, str) and _compiles(value)
    elif key in _TEXTS:
        fits = isinstance(value, str)
    elif key in _FLAGS:
        fits = isinstance(value, bool) and value
    elif key in _COUNTS:
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    elif key in _LIMITS:
        fits = number
    elif key == "multipleOf":
        fits = number and value > 0
    elif key == "enum":
        fits = bool(items(value))
    elif key == "type":
        kinds = [each for each in (items(value) or [value]) if isinstance(each, str) and each in _TYPES]
        return (key, kinds if len(kinds) > 1 else kinds[0]) if kinds else None
    elif key == "example":
        return ("examples", [value]) if _size(value) <= _EXAMPLE else None
    elif key == "examples":
        fits = bool(items(value)) and _size(items(value)) <= _EXAMPLE
    elif key == "dependentRequired":
        fits = bool(mapping(value)) and all(isinstance(each, list) for each in mapping(value).values())
    else:
        fits = key in ("const", "default")
    return (key, value) if fits else None


@lru_cache(2048)
def _compiles(pattern: str) -> bool:
    """Whether a pattern is a regular expression that values can be held against."""
    try:
        compile_schema({"type": "string", "pattern": pattern, "maxLength": 1})
    except SchemaError:
        return False
    return True


def _used(schema: Any) -> Iterator[str]:
    """The names of the definitions that a translated schema refers to by itself."""
    level: list[Any] = [schema]
    while level:
        members = mapping(level.pop())
        reference = members.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(_REFERENCE)
        for key, value in members.items():
            if key in NAMED:
                level += mapping(value).values()
            elif key in ONE:
                level.append(value)
            elif key in MANY:
                level += items(value)


def _opened(schema: Any, opened: frozenset[str]) -> Any:
    """A schema where some definitions allow anything: it takes at least what it took before."""
    if not is_mapping(schema):
        return schema
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in NAMED:
            found[key] = {name: _opened(each, opened) for name, each in mapping(value).items()}
        elif key in MANY:
            found[key] = [_opened(each, opened) for each in items(value)]
        elif key in ONE:
            found[key] = _opened(value, opened)
        else:
            found[key] = value
    for key in ("not", "if"):
        if key in found and not opened.isdisjoint(_used(found[key])):
            for each in (key,) if key == "not" else ("if", "then", "else"):
                found.pop(each, None)
    if "oneOf" in found and not opened.isdisjoint(
        name for each in items(found["oneOf"]) for name in _used(each)
    ):
        found["allOf"] = [*items(found.get("allOf")), {"anyOf": found.pop("oneOf")}]
    return found


def _size(value: Any) -> int:
    """Bytes of a value as JSON; more than any limit where it is none."""
    try:
        return len(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        raise DocumentInvalid("a schema of the document has a value that is none of JSON's") from None
