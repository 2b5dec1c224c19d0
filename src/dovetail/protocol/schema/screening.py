"""A look at a schema before it is compiled: size, dialect, references, and which values are secret.

Theory of operation. Schemas come from peers, so nothing is compiled before one walk, iterative and
bounded, has seen all of it. First the plain JSON is measured. Then schemas alone are visited:
what stands in ``const``, ``enum``, ``default`` or ``examples`` is data, not schema. The walk
tracks the base URI that ``$id`` sets, and every reference must resolve to a resource that the
document itself embeds, or to a published metaschema, which the validator carries. Whatever else
hides a reference from this walk meets a validator that has no retriever; nothing is ever fetched.

Secrets: a schema marked ``writeOnly`` or with format ``password`` makes the property that holds
it secret, also through local references and compositions. Where the name of the property cannot
be known (a pattern, an array, the root), every value of the document counts as secret.

Specification: 2026-07-28 basic/index, "JSON Schema Usage"; JSON Schema 2020-12, sections 8 and 10.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias, cast
from urllib.parse import unquote, urldefrag, urljoin

from msgspec import Struct, field

from ..errors import DovetailError
from .budget import Price, price_of
from .unfolding import MAX_UNFOLDED, reference_targets, unfold

__all__ = [
    "DEFAULT_DIALECT",
    "DIALECTS",
    "MAX_PATTERN_WORK",
    "MAX_SCHEMA_BYTES",
    "MAX_SCHEMA_DEPTH",
    "MAX_SUBSCHEMAS",
    "MAX_UNFOLDED",
    "ExternalReference",
    "InvalidSchema",
    "SchemaError",
    "SchemaTooLarge",
    "Screening",
    "UnknownDialect",
    "screen",
]

MAX_SCHEMA_BYTES: Final = 256 * 1024
"""Bytes a schema may have as compact JSON."""
MAX_SCHEMA_DEPTH: Final = 64
"""Levels of nested objects and arrays in a schema."""
MAX_SUBSCHEMAS: Final = 5_000
"""Schemas inside one schema."""
MAX_PATTERN_WORK: Final = 300_000_000
"""Work that compiling all patterns of a schema may be, in nanoseconds, about."""

DEFAULT_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DIALECTS: Final = {
    DEFAULT_DIALECT: "2020-12",
    "https://json-schema.org/draft/2019-09/schema": "2019-09",
    "http://json-schema.org/draft-07/schema": "draft-07",
    "http://json-schema.org/draft-06/schema": "draft-06",
    "http://json-schema.org/draft-04/schema": "draft-04",
}
"""Supported dialects: identifier without fragment, and its usual name."""

_OLD: Final = frozenset(("draft-04", "draft-06", "draft-07"))
_METASCHEMA: Final = re.compile(
    r"https://json-schema\.org/draft/20(?:19-09|20-12)/(?:schema|meta/[a-z-]+)"
    r"|http://json-schema\.org/draft-0[467]/schema"
)
_ONE: Final = frozenset(
    (
        *("if", "then", "else", "not", "contains", "items", "additionalItems", "unevaluatedItems"),
        *("additionalProperties", "unevaluatedProperties", "propertyNames", "contentSchema"),
    )
)
_LIST: Final = frozenset(("allOf", "anyOf", "oneOf", "prefixItems", "items"))
_MAP: Final = frozenset(
    ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
)
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_UNKNOWN_BASE: Final = "http://schema.invalid/"
_Owner: TypeAlias = str
_EVERYTHING: Final = ""
_CONTAINERS: Final = frozenset[type]((dict, list))


class SchemaError(DovetailError, ValueError):
    """A JSON Schema cannot be used."""


class SchemaTooLarge(SchemaError):
    """A schema is beyond a bound on bytes, depth or number of subschemas."""


class UnknownDialect(SchemaError):
    """``$schema`` names a dialect that is not supported. ``dialect`` is what it names."""

    def __init__(self, dialect: str) -> None:
        supported = ", ".join(DIALECTS.values())
        super().__init__(f"the schema dialect {_shown(dialect)} is not supported; supported are {supported}")
        self.dialect = dialect


class ExternalReference(SchemaError):
    """A schema refers to something outside itself. ``reference`` is the reference as written."""

    def __init__(self, reference: str) -> None:
        super().__init__(
            f"the schema refers to {_shown(reference)}, which is not part of it;"
            " nothing is fetched, so put the definition under $defs"
        )
        self.reference = reference


class InvalidSchema(SchemaError):
    """A schema is not valid in its dialect."""


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 120 else text[:117] + "...")


class Screening(Struct):
    """What the walk found: the dialect's usual name, the names of secret properties, or that all are.

    ``fan``: alternatives of the widest composition in a recursive schema, else 0. ``price``: what it costs to check
    a value. ``goes_back``: whether a pattern is known to need the backtracking engine. ``branches``: whether anyOf or
    oneOf stand in it, each error of which holds the errors of all its alternatives.
    """

    dialect: str
    secret_names: frozenset[str]
    all_secret: bool
    fan: int
    price: Price
    goes_back: bool
    branches: bool


class _SchemaWalk(Struct):
    """State of one walk. Values belong to a property (``p`` + name), a definition (``#`` + name), or all."""

    dialect: str
    resources: set[str] = field(default_factory=set[str])
    references: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    secret: set[_Owner] = field(default_factory=set[str])
    borrowed: dict[_Owner, set[_Owner]] = field(default_factory=dict[str, set[str]])
    visited: list[tuple[dict[str, object], str]] = field(default_factory=list[tuple[dict[str, object], str]])


def screen(schema: dict[str, object], *, backtracking: bool = False) -> Screening:
    """Screen a schema document. Raises SchemaTooLarge, UnknownDialect, ExternalReference or InvalidSchema.

    ``backtracking``: take every pattern for one that needs the backtracking engine.
    """
    _measure(schema)
    walk = _SchemaWalk(_dialect(schema.get("$schema", DEFAULT_DIALECT)))
    _visit_all(walk, schema)
    for base, reference in walk.references:
        target = urldefrag(_join(base, reference)).url
        if target not in walk.resources and not _METASCHEMA.fullmatch(target):
            raise ExternalReference(reference)
    targets = reference_targets(walk.visited, _join)
    weight, recursive = unfold(walk.visited, _applied, targets)
    if weight > MAX_UNFOLDED:
        raise SchemaTooLarge(
            f"the schema stands for more than {MAX_UNFOLDED} schemas: its references multiply"
        )
    price, compiling, goes_back = price_of(schema, _applied, targets, backtracking=backtracking)
    if compiling > MAX_PATTERN_WORK:
        raise SchemaTooLarge(
            "the patterns of the schema are too much work to compile: they repeat too large sets"
        )
    secret = _spread(walk)
    names = frozenset(owner[1:] for owner in secret if owner.startswith("p"))
    fan = max(_alternatives(each) for each, _ in walk.visited) if recursive else 0
    branches = any("anyOf" in each or "oneOf" in each for each, _ in walk.visited)
    return Screening(walk.dialect, names, _EVERYTHING in secret, fan, price, goes_back, branches)


def _alternatives(schema: dict[str, object]) -> int:
    lists = (schema.get(keyword) for keyword in ("anyOf", "oneOf", "allOf"))
    return sum(len(cast("list[object]", each)) for each in lists if isinstance(each, list))


def _measure(schema: object) -> None:
    """Refuse JSON that is nested too deep, or has more parts than its byte bound could hold."""
    level: list[object] = [schema]
    parts, depth = 0, 0
    while level:
        depth += 1
        if depth > MAX_SCHEMA_DEPTH:
            raise SchemaTooLarge(f"the schema is nested deeper than {MAX_SCHEMA_DEPTH} levels")
        below: list[object] = []
        for node in level:
            if isinstance(node, dict):
                inner = list(cast("dict[object, object]", node).values())
            else:
                inner = cast("list[object]", node)
            parts += len(inner)
            if parts > MAX_SCHEMA_BYTES:
                raise SchemaTooLarge(f"the schema is larger than {MAX_SCHEMA_BYTES} bytes")
            below += [part for part in inner if type(part) in _CONTAINERS]
        level = below


def _dialect(declared: object) -> str:
    if not isinstance(declared, str):
        raise InvalidSchema("$schema is not a string; name a dialect or leave it out")
    dialect = DIALECTS.get(declared.removesuffix("#"))
    if dialect is None:
        raise UnknownDialect(declared)
    return dialect


def _join(base: str, reference: str) -> str:
    if not reference or reference.startswith("#"):
        return base
    try:
        return urljoin(base, reference)
    except ValueError:
        raise ExternalReference(reference) from None


def _visit_all(walk: _SchemaWalk, root: dict[str, object]) -> None:
    walk.resources.add(_UNKNOWN_BASE)
    stack: list[tuple[dict[str, object], str, _Owner]] = [(root, _UNKNOWN_BASE, _EVERYTHING)]
    count = 0
    while stack:
        schema, base, owner = stack.pop()
        count += 1
        if count > MAX_SUBSCHEMAS:
            raise SchemaTooLarge(f"the schema holds more than {MAX_SUBSCHEMAS} schemas")
        base = _enter(walk, schema, base, owner)
        walk.visited.append((schema, base))
        for child, child_owner in _children(schema, owner):
            stack.append((child, base, child_owner))


def _enter(walk: _SchemaWalk, schema: dict[str, object], base: str, owner: _Owner) -> str:
    """Note what one schema declares; return the base URI that holds inside it."""
    if "$schema" in schema:
        _dialect(schema["$schema"])
    reference = schema.get("$ref")
    identifier = schema.get("id" if walk.dialect == "draft-04" else "$id")
    if isinstance(identifier, str) and not (walk.dialect in _OLD and reference is not None):
        base = urldefrag(_join(base, identifier)).url
        walk.resources.add(base)
    for keyword in _REFERENCES:
        target = schema.get(keyword)
        if isinstance(target, str):
            walk.references.append((base, target))
            walk.borrowed.setdefault(owner, set()).update(_lenders(target))
    if schema.get("writeOnly") is True or schema.get("format") == "password":
        walk.secret.add(owner)
    for keyword in ("$anchor", "$dynamicAnchor", "$id", "id"):
        anchor = schema.get(keyword)
        if isinstance(anchor, str):
            for lender in _lenders(anchor):
                walk.borrowed.setdefault(lender, set()).add(owner)
    return base


def _lenders(reference: str) -> list[_Owner]:
    """Owners that a reference may borrow from: every name in it, as a definition and as a property."""
    spelled = unquote(reference).replace("#", "/").split("/")
    plain = [name.replace("~1", "/").replace("~0", "~") for name in spelled if name]
    return [kind + name for name in plain for kind in "#p"]


def _children(schema: dict[str, object], owner: _Owner) -> list[tuple[dict[str, object], _Owner]]:
    """The schemas directly inside one, each with the property or definition that its value belongs to."""
    found: list[tuple[object, _Owner]] = []
    for key, value in schema.items():
        if key in _MAP and isinstance(value, dict):
            for name, child in cast("dict[str, object]", value).items():
                found.append((child, _owner_of(key, name, owner)))
        elif key in _LIST and isinstance(value, list):
            found.extend((child, owner) for child in cast("list[object]", value))
        elif key in _ONE:
            found.append((value, owner))
    return [(cast("dict[str, object]", child), who) for child, who in found if isinstance(child, dict)]


def _applied(schema: dict[str, object]) -> list[dict[str, object]]:
    """The schemas that apply where this one does, or below: its children without its definitions."""
    applying = {key: value for key, value in schema.items() if key not in ("$defs", "definitions")}
    return [child for child, _ in _children(applying, _EVERYTHING)]


def _owner_of(keyword: str, name: str, owner: _Owner) -> _Owner:
    if keyword == "properties":
        return "p" + name
    if keyword in ("$defs", "definitions"):
        return "#" + name
    return owner


def _spread(walk: _SchemaWalk) -> set[_Owner]:
    """Owners that are secret themselves or borrow from one that is."""
    lenders: dict[_Owner, list[_Owner]] = {}
    for borrower, sources in walk.borrowed.items():
        for source in sources:
            lenders.setdefault(source, []).append(borrower)
    secret: set[_Owner] = set()
    pending = list(walk.secret)
    while pending:
        owner = pending.pop()
        if owner not in secret:
            secret.add(owner)
            pending.extend(lenders.get(owner, ()))
    return secret
