"""Tool parameters that are repeated in HTTP headers: reading the annotations of an input schema.

Theory of operation. The whole schema is walked once, without recursion. A position is *plain* if
only ``properties`` keywords lead to it from the root; only a plain position below the root may be
annotated, so the argument has one exact path. Where data may stand (``const``, ``enum``,
``default``, ``examples``) nothing is an annotation; everywhere else, unknown keywords included,
a stray annotation makes the tool definition invalid.

Specification: 2026-07-28 basic/transports/streamable-http, "Schema Extension".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias, cast

from msgspec import Struct

from . import names
from .errors import DovetailError

__all__ = ["SAFE_INTEGER", "HeaderParameter", "InvalidHeaderAnnotation", "ParameterKind", "header_parameters"]

SAFE_INTEGER: Final = 2**53 - 1
"""The largest integer, either sign, that every JSON reader keeps exactly."""

ParameterKind: TypeAlias = Literal["string", "integer", "boolean"]

_KINDS: Final[dict[str, ParameterKind]] = {"string": "string", "integer": "integer", "boolean": "boolean"}
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
_DATA: Final = frozenset(("const", "enum", "default", "examples", "example", "required"))
_NAMED: Final = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))
_MAX_NODES: Final = 100_000
_Path: TypeAlias = tuple[str, ...]


class InvalidHeaderAnnotation(DovetailError, ValueError):
    """An annotation breaks the rules, so the tool definition is invalid over HTTP.

    ``path``: where, in property names from the root of the input schema. ``reason``: why.
    """

    def __init__(self, path: tuple[str, ...], reason: str) -> None:
        where = ".".join(path) or "the root"
        super().__init__(f"{names.X_MCP_HEADER} at {where} of the input schema: {reason}")
        self.path = path
        self.reason = reason


class HeaderParameter(Struct, frozen=True):
    """One annotated parameter.

    ``path``: property names leading to the argument. ``header``: the whole header name in lower
    case. ``kind``: the JSON type of the parameter.
    """

    path: tuple[str, ...]
    header: str
    kind: Literal["string", "integer", "boolean"]


def header_parameters(input_schema: object) -> tuple[HeaderParameter, ...]:
    """Read the annotated parameters of a tool's input schema, in the order of the schema.

    Raises InvalidHeaderAnnotation for the first annotation that breaks a rule: it stands where
    the argument has no fixed path, its value is no HTTP field name or names one twice (case does
    not count), or its parameter is not declared as exactly a string, an integer or a boolean.
    """
    found: dict[str, HeaderParameter] = {}
    for path, plain, schema in _positions(input_schema):
        if names.X_MCP_HEADER not in schema:
            continue
        if not plain or not path:
            raise InvalidHeaderAnnotation(
                path, "only a parameter reached through properties alone can have one"
            )
        parameter = _read(path, schema)
        if parameter.header in found:
            other = ".".join(found[parameter.header].path)
            raise InvalidHeaderAnnotation(path, f"the parameter {other} has the same header")
        found[parameter.header] = parameter
    return tuple(found.values())


def _read(path: _Path, schema: dict[str, object]) -> HeaderParameter:
    header = schema[names.X_MCP_HEADER]
    if not isinstance(header, str):
        raise InvalidHeaderAnnotation(path, "its value is not a string")
    if not header:
        raise InvalidHeaderAnnotation(path, "its value is empty")
    if not _TOKEN.fullmatch(header):
        raise InvalidHeaderAnnotation(path, f"{header[:60]!a} cannot be part of an HTTP field name")
    declared = schema.get("type")
    kind = _KINDS.get(declared) if isinstance(declared, str) else None
    if kind is None:
        raise InvalidHeaderAnnotation(path, "its type must be exactly string, integer or boolean")
    return HeaderParameter(path, names.HEADER_PARAM_PREFIX + header.lower(), kind)


def _positions(root: object) -> Iterator[tuple[_Path, bool, dict[str, object]]]:
    """Every object that could be a schema: its property names from the root, and whether it is plain."""
    stack: list[tuple[_Path, bool, object]] = [((), True, root)]
    budget = _MAX_NODES
    while stack:
        path, plain, node = stack.pop()
        budget -= 1
        if budget < 0:
            raise InvalidHeaderAnnotation((), f"the schema has more than {_MAX_NODES} parts")
        if isinstance(node, list):
            stack.extend((path, False, item) for item in reversed(cast("list[object]", node)))
        if not isinstance(node, dict):
            continue
        schema = cast("dict[str, object]", node)
        yield path, plain, schema
        inner: list[tuple[_Path, bool, object]] = []
        for key, value in schema.items():
            if key in _DATA:
                continue
            if key in _NAMED and isinstance(value, dict):
                straight = plain and key == "properties"
                members = cast("dict[str, object]", value)
                inner.extend(((*path, name), straight, child) for name, child in members.items())
            elif isinstance(value, dict | list):
                inner.append((path, False, cast("object", value)))
        stack.extend(reversed(inner))
