"""JSON Schema: compiling schemas that come from anyone, and checking values against them.

Theory of operation. A schema is screened (``screening``), compiled once and kept by its content; one that is
sure to compile is compiled when the first value comes. Compilation never fetches anything. Patterns run on a
linear-time regular expression engine; a schema whose patterns need more than that engine has (look-around, back
references) is compiled on a backtracking engine with a hard limit, and a text on which a pattern
exceeds the limit counts as not matching. Checking collects at most ten violations, in words that
a model can act on.

Checking is never more than a bounded amount of work (``budget``): a value for which schema and size together
may ask for more does not fit, and the one violation says so (keyword ``"work"``). A value that can be judged, but not
explained, within the bound has its first violation told alone, or none in particular.

Dialects: 2020-12, which is the default, 2019-09, draft-07, draft-06 and draft-04.

Specification: 2026-07-28 basic/index, "JSON Schema Usage".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from threading import Lock
from typing import Any, Final, cast

import msgspec

from ..bounded import Bounded
from ..header_parameters import HeaderParameter, InvalidHeaderAnnotation, header_parameters
from .budget import MAX_EXPLANATION, MAX_WORK, amount_of
from .patterns import BACKTRACKS
from .screening import (
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
from .violations import Violation, explain, looks_secret, one_of, path_text, summary, wanted

__all__ = [
    "DIALECTS",
    "MAX_MISFITS",
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

MAX_MISFITS: Final = 1_000
"""Places of one value that are told not to fit."""

_CACHED: Final = 256
MAX_CACHED_BYTES: Final = 8 * 1024 * 1024
"""Bytes of the schemas whose compiled form is kept for the next one that is the same, of the whole process."""
_MAX_EXPLAINED: Final = 5_000
"""Errors that explaining one value may lead to: each alternative of a recursive schema has its own, at each level."""
_WORK: Final = "work"
_EXPANDED: Final = ("additionalProperties", "unevaluatedProperties")
_ENGINES: dict[str, Any] = {}
#: What a schema is made of that surely compiles, and of what type each is; see `_is_plain`.
_PLAIN: Final[dict[str, type | tuple[type, ...]]] = {
    "title": str,
    "description": str,
    "type": str,
    "default": object,
    "writeOnly": bool,
    "properties": dict,
    "required": list,
    "additionalProperties": (bool, dict),
    "items": dict,
    "anyOf": list,
    "enum": list,
    "minimum": (int, float),
    "maximum": (int, float),
    "exclusiveMinimum": (int, float),
    "exclusiveMaximum": (int, float),
    "minLength": int,
    "maxLength": int,
    "minItems": int,
    "maxItems": int,
}
_TYPES: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_SMALL_DOCUMENT: Final = 2048
"""Bytes of a document that is its own key."""
_cache: Final[Bounded[bytes, Validator]] = Bounded(_CACHED, MAX_CACHED_BYTES)
_caching: Final = Lock()


class Validator:
    """A compiled schema. Make one with `compile_schema`. Immutable; may be shared by threads.

    ``dialect``: the usual name of the schema's dialect, such as ``"2020-12"``.
    """

    __slots__ = ("_engine", "_free", "_price", "_schema", "_screening", "dialect")

    def __init__(self, schema: dict[str, object], engine: Any, screening: Screening) -> None:
        self._schema = schema
        self._engine: Any = engine
        self._screening = screening
        self._price = screening.price
        self._free = screening.price.free_size()
        self.dialect = screening.dialect

    def _make(self) -> Any:
        """Make the engine, for the first value."""
        self._engine = _compile(self._schema, self._screening)[0]
        return self._engine

    def is_valid(self, value: object, *, size: int | None = None) -> bool:
        """Whether ``value`` (JSON as Python builtins) fits, and can be judged within bounds. No JSON does not fit.

        ``size``: bytes of the value as JSON, where the caller knows them.
        """
        try:
            return self._affords(value, size) and (self._engine or self._make()).is_valid(value)
        except ValueError:
            return False

    def check(self, value: object, *, size: int | None = None) -> list[Violation]:
        """What is wrong with ``value`` (JSON as Python builtins): nothing, or up to ten violations.

        ``size``: bytes of the value as JSON, where the caller knows them.
        """
        try:
            if not self._affords(value, size):
                expected = "a value that can be checked against its schema within bounds"
                return [Violation("", expected, "one that would take too much work", _WORK)]
            if (self._engine or self._make()).is_valid(value):
                return []
            return self._explained(value)
        except ValueError:
            return [Violation("", "a JSON value of moderate depth", "something else", "type")]

    def _affords(self, value: object, size: int | None) -> bool:
        """Whether judging ``value`` is within `MAX_WORK`."""
        if size is not None and size <= self._free:
            return True
        return self._price.of(amount_of(value)) <= MAX_WORK or self._price.of_value(value) <= MAX_WORK

    def _explained(self, value: object) -> list[Violation]:
        """Violations of a value that does not fit, as many as can be found within `MAX_EXPLANATION`."""
        fan = self._screening.fan
        if fan > 1 and fan ** _depth(value) > _MAX_EXPLAINED:
            return [Violation("", "a value that fits the recursive schema", "one that does not", "anyOf")]
        if self._price.explaining * amount_of(value).parts <= MAX_EXPLANATION:
            return list(islice(self._violations(self._engine.iter_errors(value)), MAX_VIOLATIONS))
        if self._screening.branches:  # one error would hold those of all branches
            return [Violation("", "a value that fits the schema", "one that does not", "anyOf")]
        import jsonschema_rs

        try:
            self._engine.validate(value)
        except jsonschema_rs.ValidationError as error:
            return list(islice(self._violations([error]), MAX_VIOLATIONS))
        return []

    def _violations(self, errors: Iterable[Any]) -> Iterator[Violation]:
        from .alternatives import faults  # for values that do not fit alone

        for fault in (fault for error in errors for fault in faults(error)):
            error = fault.error
            path, kind, keyword = error.instance_path, error.kind, error.kind.name
            if fault.tags:
                got = summary(error.instance, hide=self._hides(path))
                yield Violation(path_text(path), one_of(fault.tags), got, keyword)
            elif keyword == "required":
                name = cast("str", kind.property)
                place = path_text([*path, name])
                yield Violation(place, "a value, as it is required", "nothing", keyword, fault.branch)
            elif keyword in _EXPANDED:
                for name in cast("list[str]", kind.unexpected):
                    yield Violation(path_text([*path, name]), "no such member", "one", keyword, fault.branch)
            elif keyword == "falseSchema":
                # The validator gives the parent's path here, so the value cannot be told secret or not.
                closed = error.schema_path[-1:] and error.schema_path[-1] in _EXPANDED
                expected = "an object without members" if closed else "no value here"
                yield Violation(path_text(path), expected, "a member" if closed else "one", keyword)
            else:
                got = summary(error.instance, hide=self._hides(path))
                yield Violation(path_text(path), wanted(keyword, kind), got, keyword, fault.branch)

    def misfits(self, value: object) -> list[tuple[tuple[str | int, ...], str]]:
        """Where something in ``value`` does not fit, with the keyword that says so, up to `MAX_MISFITS`; none where
        telling it all would be too much work.
        """
        try:
            parts = amount_of(value).parts
            if not self._affords(value, None) or self._price.explaining * parts > MAX_EXPLANATION:
                return []
            if (fan := self._screening.fan) > 1 and fan ** _depth(value) > _MAX_EXPLAINED:
                return []
            from .alternatives import faults  # as above

            errors = (self._engine or self._make()).iter_errors(value)
            found = (fault.error for error in errors for fault in faults(error))
            return [(tuple(each.instance_path), each.kind.name) for each in islice(found, MAX_MISFITS)]
        except ValueError:
            return []

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
    key, size = _key(document) if document else b"", len(document)
    known = _recall(key)
    if known is not None:
        return known
    screening = screen(parsed)
    if not document:
        document = _encode(parsed)
        key, size = _key(document), len(document)
        known = _recall(key)
        if known is not None:
            return known
    if _is_plain(parsed):
        validator = Validator(parsed, None, screening)
    else:
        engine, goes_back = _compile(parsed, screening)
        if goes_back and not screening.goes_back:
            screening = screen(parsed, backtracking=True)
        validator = Validator(parsed, engine, screening)
    _remember(key, validator, size)
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


def _engines() -> dict[str, Any]:
    """The makers of validators, by dialect."""
    if not _ENGINES:
        import jsonschema_rs  # which takes a tenth of the time that a server needs to start

        _ENGINES.update(
            {
                "2020-12": jsonschema_rs.Draft202012Validator,
                "2019-09": jsonschema_rs.Draft201909Validator,
                "draft-07": jsonschema_rs.Draft7Validator,
                "draft-06": jsonschema_rs.Draft6Validator,
                "draft-04": jsonschema_rs.Draft4Validator,
            }
        )
    return _ENGINES


def _key(document: bytes) -> bytes:
    """What a compiled schema is kept by."""
    if len(document) <= _SMALL_DOCUMENT:
        return document
    import hashlib  # as the validator, only for who needs it

    return hashlib.sha256(document).digest()


def _is_plain(schema: object) -> bool:
    """Whether a schema says so little that it is sure to compile: then that can wait until there is a value to check,
    and a server whose tools take plain values starts without a validator.
    """
    if not isinstance(schema, dict):
        return False
    return all(_is_plainly(name, said) for name, said in cast("dict[str, object]", schema).items())


def _is_plainly(name: str, said: object) -> bool:
    kind = _PLAIN.get(name)
    if kind is None or not isinstance(said, kind):
        return False
    match name:
        case "type":
            return said in _TYPES
        case "properties":
            return all(map(_is_plain, cast("dict[str, object]", said).values()))
        case "items":
            return _is_plain(said)
        case "additionalProperties":
            return isinstance(said, bool) or _is_plain(said)
        case "anyOf":
            return bool(said) and all(map(_is_plain, cast("list[object]", said)))
        case "enum" | "required":
            texts = cast("list[object]", said)
            all_texts = all(isinstance(each, str) for each in texts)
            return all_texts and len(set(texts)) == len(texts) and (name == "required" or bool(texts))
        case "minLength" | "maxLength" | "minItems" | "maxItems":
            return not isinstance(said, bool) and 0 <= cast("int", said) < 2**63
        case "title" | "description" | "default" | "writeOnly":
            return True
        case _:  # a bound, which JSON can say
            return not isinstance(said, bool) and math.isfinite(cast("float", said))


def _compile(schema: dict[str, object], screening: Screening) -> tuple[Any, bool]:
    """The validator, and whether it matches patterns by going back and trying again."""
    import jsonschema_rs

    engine = _engines()[screening.dialect]
    try:
        return engine(schema, offline=True, pattern_options=jsonschema_rs.RegexOptions()), False
    except ValueError:
        pass
    limited = jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACKS)
    try:
        return engine(schema, offline=True, pattern_options=limited), True
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
    if not key:
        return None
    with _caching:
        return _cache.get(key)


def _remember(key: bytes, validator: Validator, size: int) -> None:
    with _caching:
        _cache.put(key, validator, size)
