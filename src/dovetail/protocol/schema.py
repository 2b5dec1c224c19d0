"""JSON Schema: compiling schemas that come from anyone, and checking values against them.

Theory of operation. A schema is screened (``schema_screening``), compiled once and kept by the
hash of its content. Compilation never fetches anything. Patterns run on a linear-time regular
expression engine; a schema whose patterns need more than that engine has (look-around, back
references) is compiled on a backtracking engine with a hard limit, and a text on which a pattern
exceeds the limit counts as not matching. Checking collects at most ten violations, in words that
a model can act on.

Dialects: 2020-12, which is the default, 2019-09, draft-07, draft-06 and draft-04.

Specification: 2026-07-28 basic/index, "JSON Schema Usage".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, cast

import jsonschema_rs
import msgspec

from .header_parameters import HeaderParameter, InvalidHeaderAnnotation, header_parameters
from .schema_screening import (
    DIALECTS,
    MAX_SCHEMA_BYTES,
    MAX_SCHEMA_DEPTH,
    MAX_SUBSCHEMAS,
    ExternalReference,
    InvalidSchema,
    SchemaError,
    SchemaTooLarge,
    Screening,
    UnknownDialect,
    screen,
)
from .violations import Violation, explain, looks_secret, path_text, summary, wanted

__all__ = [
    "DIALECTS",
    "MAX_SCHEMA_BYTES",
    "MAX_SCHEMA_DEPTH",
    "MAX_SUBSCHEMAS",
    "MAX_VIOLATIONS",
    "ExternalReference",
    "HeaderParameter",
    "InvalidHeaderAnnotation",
    "InvalidSchema",
    "SchemaError",
    "SchemaTooLarge",
    "UnknownDialect",
    "Validator",
    "Violation",
    "compile_schema",
    "explain",
    "header_parameters",
]

MAX_VIOLATIONS: Final = 10
"""Violations reported for one value."""

_CACHED: Final = 256
_MAX_EXPLAINED: Final = 5_000
"""Errors that explaining one value may lead to: each alternative of a recursive schema has its own, at each level."""
_BACKTRACK_LIMIT: Final = 100_000
_EXPANDED: Final = ("additionalProperties", "unevaluatedProperties")
_ENGINES: Final = {
    "2020-12": jsonschema_rs.Draft202012Validator,
    "2019-09": jsonschema_rs.Draft201909Validator,
    "draft-07": jsonschema_rs.Draft7Validator,
    "draft-06": jsonschema_rs.Draft6Validator,
    "draft-04": jsonschema_rs.Draft4Validator,
}
_cache: dict[bytes, Validator] = {}


class Validator:
    """A compiled schema. Make one with `compile_schema`. Immutable; may be shared by threads.

    ``dialect``: the usual name of the schema's dialect, such as ``"2020-12"``.
    """

    __slots__ = ("_engine", "_screening", "dialect")

    def __init__(self, engine: jsonschema_rs.Validator, screening: Screening) -> None:
        self._engine = engine
        self._screening = screening
        self.dialect = screening.dialect

    def is_valid(self, value: object) -> bool:
        """Whether ``value`` (JSON as Python builtins) fits. A value that is no JSON does not."""
        try:
            return self._engine.is_valid(value)
        except ValueError:
            return False

    def check(self, value: object) -> list[Violation]:
        """What is wrong with ``value`` (JSON as Python builtins): nothing, or up to ten violations."""
        try:
            if self._engine.is_valid(value):
                return []
            if self._screening.fan > 1 and self._screening.fan ** _depth(value) > _MAX_EXPLAINED:
                return [Violation("", "a value that fits the recursive schema", "one that does not", "anyOf")]
            return list(islice(self._violations(value), MAX_VIOLATIONS))
        except ValueError:
            return [Violation("", "a JSON value of moderate depth", "something else", "type")]

    def _violations(self, value: object) -> Iterator[Violation]:
        for error in self._engine.iter_errors(value):
            path, kind, keyword = error.instance_path, error.kind, error.kind.name
            if keyword == "required":
                name = cast("str", cast("Any", kind).property)
                yield Violation(path_text([*path, name]), "a value, as it is required", "nothing", keyword)
            elif keyword in _EXPANDED:
                for name in cast("list[str]", cast("Any", kind).unexpected):
                    yield Violation(path_text([*path, name]), "no such member", "one", keyword)
            elif keyword == "falseSchema":
                # The validator gives the parent's path here, so the value cannot be told secret or not.
                closed = error.schema_path[-1:] and error.schema_path[-1] in _EXPANDED
                expected = "an object without members" if closed else "no value here"
                yield Violation(path_text(path), expected, "a member" if closed else "one", keyword)
            else:
                got = summary(error.instance, hide=self._hides(path))
                yield Violation(path_text(path), wanted(keyword, kind), got, keyword)

    def _hides(self, path: Sequence[str | int]) -> bool:
        """Whether the value at ``path`` is secret: any property on the way is, by schema or by name."""
        if self._screening.all_secret:
            return True
        secret = self._screening.secret_names
        return any(isinstance(step, str) and (step in secret or looks_secret(step)) for step in path)


def _depth(value: object) -> int:
    """Levels of objects and arrays in a value, counted to 64."""
    level, depth = [value], 0
    while level and depth < 64:
        level = [part for each in level for part in _parts(each)]
        depth += 1
    return depth


def _parts(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast("dict[object, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []


def compile_schema(schema: dict[str, Any] | bytes) -> Validator:
    """Compile a schema, given as an object or as JSON bytes; equal content is compiled once.

    Raises SchemaTooLarge beyond 256 KiB, 64 levels or 5,000 subschemas; UnknownDialect,
    ExternalReference and InvalidSchema as their names say. All are SchemaError.
    """
    parsed: dict[str, object]
    if isinstance(schema, bytes):
        if len(schema) > MAX_SCHEMA_BYTES:
            raise SchemaTooLarge(f"the schema is larger than {MAX_SCHEMA_BYTES} bytes")
        parsed = _parse(schema)
        document = schema
    else:
        parsed = cast("dict[str, object]", schema)
        document = b""
    key = hashlib.sha256(document).digest() if document else b""
    known = _recall(key)
    if known is not None:
        return known
    screening = screen(parsed)
    if not document:
        key = hashlib.sha256(_encode(parsed)).digest()
        known = _recall(key)
        if known is not None:
            return known
    validator = Validator(_compile(parsed, screening), screening)
    _remember(key, validator)
    return validator


def _parse(document: bytes) -> dict[str, object]:
    try:
        parsed = msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise InvalidSchema("the schema is not JSON") from None
    if not isinstance(parsed, dict):
        raise InvalidSchema("the schema is not a JSON object")
    return cast("dict[str, object]", parsed)


def _encode(schema: dict[str, object]) -> bytes:
    try:
        document = msgspec.json.encode(schema)
    except (TypeError, ValueError, RecursionError):
        raise InvalidSchema("the schema holds something that is not JSON") from None
    if len(document) > MAX_SCHEMA_BYTES:
        raise SchemaTooLarge(f"the schema is larger than {MAX_SCHEMA_BYTES} bytes")
    return document


def _compile(schema: dict[str, object], screening: Screening) -> jsonschema_rs.Validator:
    engine = _ENGINES[screening.dialect]
    try:
        return engine(schema, offline=True, pattern_options=jsonschema_rs.RegexOptions())
    except ValueError:
        pass
    limited = jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACK_LIMIT)
    try:
        return engine(schema, offline=True, pattern_options=limited)
    except jsonschema_rs.ValidationError as error:
        message = error.message
        if "Resource '" in message and "registry" in message:
            raise ExternalReference(message.split("'")[1]) from None
        where = path_text(error.instance_path)
        raise InvalidSchema(
            f"the schema is not valid {screening.dialect}: {where}: {message[:200]}"
        ) from None
    except ValueError as error:
        raise InvalidSchema(f"the schema cannot be used: {str(error)[:200]}") from None


def _recall(key: bytes) -> Validator | None:
    validator = _cache.pop(key, None) if key else None
    if validator is not None:
        _cache[key] = validator
    return validator


def _remember(key: bytes, validator: Validator) -> None:
    _cache[key] = validator
    while len(_cache) > _CACHED:
        try:
            _cache.pop(next(iter(_cache)), None)
        except (StopIteration, RuntimeError):  # another thread changed it meanwhile; the next call trims
            break
