"""How an operation is called with the arguments of a tool: its input schema, and where each argument goes.

Theory of operation. Parameters are arguments. The properties of a body that is a plain object are arguments beside
them, which is how models call best; any other body is one argument, ``body``. Of several media types the first of
JSON, form, multipart, text and bytes is taken. A file is an object with its ``text``, or its bytes in base64 as
``blob``.

Specification: server/tools; OpenAPI 3.0.4 and 3.1.1, "Parameter Object", "Request Body Object", "Media Type Object".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias

import msgspec

from .operations import APIOperation, MediaType, OperationParameter, RequestBody
from .plain import is_mapping, items, mapping, text
from .schemas import Schemas
from .tool_names import name_arguments

__all__ = ["FILE", "PlannedArgument", "CallPlan", "is_file", "is_json", "plan_of"]

#: How a body is written.
Writing: TypeAlias = Literal["json", "form", "multipart", "text", "bytes"]

FILE: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A file: its text, or its bytes in base64 as blob.",
    "properties": {
        "text": {"type": "string"},
        "blob": {"type": "string", "contentEncoding": "base64"},
        "filename": {"type": "string"},
        "mimeType": {"type": "string"},
    },
    "additionalProperties": False,
}
_WRITINGS: Final[tuple[Writing, ...]] = ("json", "form", "multipart", "text", "bytes")
_NOT_PLAIN: Final = (
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "patternProperties",
    "dependentSchemas",
    "enum",
    "const",
)


class PlannedArgument(msgspec.Struct, frozen=True):
    """One argument: a ``parameter``, a ``property`` of the body, or, with neither, the whole body."""

    name: str
    parameter: OperationParameter | None = None
    property: str | None = None
    is_file: bool = False


class CallPlan(msgspec.Struct, frozen=True):
    """How an operation is called. ``media`` and ``writing`` are of its body, if it has one; ``left_open``: the
    definitions that its input schema has no room for.
    """

    operation: APIOperation
    arguments: tuple[PlannedArgument, ...]
    input_schema: dict[str, Any]
    left_open: tuple[str, ...]
    media: MediaType | None = None
    writing: Writing | None = None
    body_required: bool = False


def is_json(media_type: str) -> bool:
    """Whether a media type is one of JSON."""
    kind = media_type.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json") or kind == "text/json"


def is_file(schema: Any) -> bool:
    """Whether a translated schema is that of a file: bytes, not text."""
    given = mapping(schema)
    if text(given.get("format")) == "binary":
        return True
    media = text(given.get("contentMediaType"))
    return (
        bool(media)
        and not media.startswith("text/")
        and not is_json(media)
        and "contentEncoding" not in given
    )


def plan_of(
    operation: APIOperation, schemas: Schemas, *, without: Iterable[OperationParameter], limit: int
) -> CallPlan:
    """How to call an operation. ``without``: parameters that are filled in otherwise. ``limit``: bytes of the input
    schema, about. Raises `DocumentInvalid`.
    """
    hidden = {(each.place, each.name.lower()) for each in without}
    parameters = [each for each in operation.parameters if (each.place, each.name.lower()) not in hidden]
    chosen = None if operation.body is None else _chosen(operation.body)
    media, writing = chosen or (None, None)
    required = operation.body is not None and operation.body.required
    whole: Any = {} if media is None else schemas.translated(media.schema)
    merged = (
        {} if media is None or operation.body is None else _merged(schemas.unfolded(whole), writing, required)
    )
    wanted = [(each.place, each.name) for each in parameters] + [("body", name) for name in merged]
    if media is not None and not merged:
        wanted.append(("body", "body"))
    names = name_arguments(wanted)
    found: list[PlannedArgument] = []
    properties: dict[str, Any] = {}
    asked: list[str] = []
    for name, parameter in zip(names, parameters, strict=False):
        found.append(PlannedArgument(name, parameter))
        properties[name] = _described(schemas.translated(parameter.schema), parameter, name)
        if parameter.required:
            asked.append(name)
    needed = items(mapping(schemas.unfolded(whole)).get("required")) if merged else []
    for name, (key, schema) in zip(names[len(parameters) :], merged.items(), strict=False):
        plain = schemas.unfolded(schema)
        file = writing == "multipart" and (
            is_file(plain) or is_file(schemas.unfolded(mapping(plain).get("items")))
        )
        found.append(PlannedArgument(name, property=key, is_file=file))
        properties[name] = _sent_as(
            _with_files(schema, schemas) if writing == "multipart" else schema, key, name
        )
        if required and key in needed:
            asked.append(name)
    if media is not None and not merged:
        found.append(PlannedArgument(names[-1], is_file=writing == "bytes"))
        properties[names[-1]] = _whole_body(whole, media, writing, operation.body)
        if required:
            asked.append(names[-1])
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if asked:
        schema["required"] = asked
    complete, left = schemas.complete(schema, limit)
    return CallPlan(operation, tuple(found), complete, tuple(left), media, writing, required)


def _chosen(body: RequestBody) -> tuple[MediaType, Writing]:
    ways: list[tuple[MediaType, Writing]] = [(each, _writing(each.type)) for each in body.media]
    return min(ways, key=lambda way: _WRITINGS.index(way[1]))


def _writing(media_type: str) -> Writing:
    kind = media_type.partition(";")[0].strip()
    if is_json(kind) or kind in ("*/*", "application/*"):
        return "json"
    if kind == "application/x-www-form-urlencoded":
        return "form"
    if kind.startswith("multipart/"):
        return "multipart"
    return "text" if kind.startswith("text/") or kind.endswith(("+xml", "/xml", "yaml")) else "bytes"


def _merged(schema: Any, writing: Writing | None, required: bool) -> dict[str, Any]:
    """The properties of a body that can be arguments themselves; else none. A form is one whatever it says."""
    given = mapping(schema)
    properties = mapping(given.get("properties"))
    if (
        writing not in ("json", "form", "multipart")
        or not properties
        or given.get("type", "object") != "object"
    ):
        return {}
    if writing == "json":
        if any(key in given for key in _NOT_PLAIN) or given.get("additionalProperties", False) not in (
            False,
            {},
        ):
            return {}
        if not required and given.get("required"):
            return {}  # all of it or nothing
    return properties


def _described(schema: Any, parameter: OperationParameter, name: str) -> Any:
    found: dict[str, Any] = {**mapping(schema)} if schema is not False else {"not": {}}
    if parameter.description:
        found["description"] = parameter.description
    if parameter.deprecated:
        found["deprecated"] = True
    return _sent_as(found, parameter.name, name)


def _sent_as(schema: Any, sent: str, name: str) -> Any:
    """The schema of an argument that is called otherwise than what it is sent as."""
    if sent == name or not is_mapping(schema):
        return schema
    said = text(schema.get("description")).strip()
    return {**schema, "description": f"{said} (sent as {sent})".strip()}


def _with_files(schema: Any, schemas: Schemas) -> Any:
    """The schema of a part: where it is a file, or a list of files, that of files."""
    plain = mapping(schemas.unfolded(schema))
    said = {key: plain[key] for key in ("description",) if text(plain.get(key))}
    if is_file(plain):
        return {**FILE, **said}
    if is_file(schemas.unfolded(plain.get("items"))):
        return {"type": "array", "items": FILE, **said}
    return schema


def _whole_body(
    schema: Any, media: MediaType, writing: Writing | None, body: RequestBody | None
) -> dict[str, Any]:
    said = "" if body is None else body.description
    if writing == "bytes":
        return {**FILE, **({"description": said} if said else {})}
    if writing == "text":
        found: dict[str, Any] = {"type": "string"}
        said = said or f"The body, as {media.type}."
    elif writing == "multipart":
        found = {"type": "object"}
    else:
        found = {**mapping(schema)} if schema is not False else {"not": {}}
    return {**found, "description": said} if said else found
