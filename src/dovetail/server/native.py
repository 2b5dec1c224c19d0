"""Types that msgspec reads: made ready for it, and described in JSON Schema 2020-12.

Theory of operation. An annotation is first *prepared*: markers become msgspec's, constraints on ``T | None``
move to ``T``, and what msgspec's schema leaves unsaid (the format of a date and time) is added. The generated
schemas are then made to say exactly what the decoder takes: a choice gets its type, a decimal may be a
number, a set may repeat itself on the way in. All annotations of one function are described together, so that
they share their ``$defs``.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Optional, cast, get_args, get_origin

import msgspec

from . import hints, pydantic_models
from .pydantic_models import Adapted

__all__ = ["decode_hook", "decoder", "describe", "encode_hook", "inlined", "prepare", "to_plain"]

_REF: Final = "#/$defs/"
_MAPS: Final = ("properties", "patternProperties", "$defs", "dependentSchemas")
_ONE: Final = ("items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else")
_MANY: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_CONSTRAINTS: Final = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "tz")
_FOREIGN: Final = {"gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length"}


def prepare(annotation: Any, *, output: bool = False) -> Any:
    """The annotation as msgspec should see it."""

    def leaf(kind: Any) -> Any:
        if output:
            return kind
        if kind is datetime.datetime:
            return Annotated[kind, msgspec.Meta(extra_json_schema={"format": "date-time"})]
        if kind is datetime.time:
            return Annotated[kind, msgspec.Meta(extra_json_schema={"format": "time"})]
        if get_origin(kind) is dict and hints.without_markers(get_args(kind)[0]) is int:
            return Annotated[
                kind, msgspec.Meta(extra_json_schema={"propertyNames": {"pattern": "^-?(0|[1-9][0-9]*)$"}})
            ]
        return kind

    return hints.rebuild(annotation, leaf, _marked)


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """A strict decoder. Raises TypeError for what msgspec cannot read."""
    return msgspec.json.Decoder(kind, dec_hook=decode_hook)


def decode_hook(kind: type, value: Any) -> Any:
    """Reads the models that msgspec meets inside of other types, by pydantic's rules for JSON."""
    if pydantic_models.is_model(kind):
        return cast("Any", kind).model_validate_json(msgspec.json.encode(value))
    raise NotImplementedError(  # msgspec's contract for hooks: what to raise for a type that the hook does not know
        f"values of {kind!r} cannot be read from JSON"
    )


def encode_hook(value: Any) -> Any:
    """Writes what msgspec does not know: models as their JSON, paths and addresses as text."""
    if isinstance(value, os.PathLike):
        return os.fsdecode(cast("os.PathLike[str]", value))
    if type(value).__module__ == "ipaddress":
        return str(value)
    return pydantic_models.to_plain(value)


def to_plain(value: Any) -> Any:
    """A value as plain JSON values. Raises TypeError (or what a part of it raises) where that cannot be."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=encode_hook)


def describe(
    subjects: Sequence[Any | Adapted], *, output: bool
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The schema of each subject (a prepared type, or one that pydantic serves) and their common ``$defs``.

    Raises TypeError for types that have no schema.
    """
    native = [each for each in subjects if not isinstance(each, Adapted)]
    adapted: list[Adapted | type] = [each for each in subjects if isinstance(each, Adapted)]
    models: list[type] = []

    def note(kind: type) -> dict[str, Any]:
        if output and hasattr(kind, "__fspath__"):
            return {"type": "string", "format": "path"}
        if not pydantic_models.is_model(kind):
            raise NotImplementedError  # msgspec's contract for hooks: it then says which type has no schema
        if kind not in models:
            models.append(kind)
        return {"type": "object"}  # for now: msgspec takes an empty one for none

    _, components = _components(native, note)
    described, definitions = pydantic_models.schemas([*adapted, *models], output=output, taken=components)
    of_model = dict(zip(models, described[len(adapted) :], strict=True))
    plain, components = _components(native, lambda kind: of_model[kind] if kind in of_model else note(kind))
    definitions = {**components, **definitions}
    for name, body in definitions.items():
        if body.get("title") == name:
            del body["title"]
        _polish(body, output=output)
    queue, foreign = iter(plain), iter(described)
    schemas: list[dict[str, Any]] = []
    for each in subjects:
        schema = dict(next(foreign if isinstance(each, Adapted) else queue))
        _polish(schema, output=output)
        schemas.append(schema)
    choices = {name: body for name, body in definitions.items() if "enum" in body}
    whole = [cast("dict[str, Any]", _inline_choices(each, choices)) for each in schemas]
    kept = {name: _inline_choices(body, choices) for name, body in definitions.items() if name not in choices}
    return whole, _reachable(whole, kept)


def inlined(schema: dict[str, Any], definitions: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A schema that stands by itself.

    A reference at its root replaced by what it names, ``$defs`` as needed.
    """
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith(_REF):
        rest = {key: item for key, item in schema.items() if key != "$ref"}
        schema = {**definitions[reference.removeprefix(_REF)], **rest}
    needed = _reachable([schema], definitions)
    return {**schema, "$defs": needed} if needed else schema


def _components(
    native: list[Any], hook: Callable[[type], dict[str, Any]]
) -> tuple[tuple[dict[str, Any], ...], dict[str, dict[str, Any]]]:
    if not native:
        return (), {}
    return msgspec.json.schema_components(native, schema_hook=hook, ref_template=_REF + "{name}")


def _marked(inner: Any, marks: tuple[Any, ...]) -> Any:
    """Markers as msgspec understands them; constraints on a type that may be None go to the type itself."""
    metas = [meta for mark in marks if (meta := _as_meta(mark)) is not None]
    limits = [meta for meta in metas if any(getattr(meta, name) is not None for name in _CONSTRAINTS)]
    members = hints.union_members(inner)
    if limits and type(None) in members and len(members) == 2:
        value = next(each for each in members if each is not type(None))
        bounds = [msgspec.Meta(**{name: getattr(meta, name) for name in _CONSTRAINTS}) for meta in limits]
        inner = Optional[Annotated[(value, *bounds)]]  # noqa: UP045 - the inner type is computed
        metas = [
            msgspec.Meta(
                title=each.title, description=each.description, extra_json_schema=each.extra_json_schema
            )
            for each in metas
        ]
    return Annotated[(inner, *metas)] if metas else inner


def _as_meta(mark: Any) -> msgspec.Meta | None:
    if isinstance(mark, msgspec.Meta):
        return mark
    if text := hints.described([mark]):
        return msgspec.Meta(description=text)
    if type(mark).__module__.split(".")[0] == "annotated_types":
        given = {name: item for name in _FOREIGN if (item := getattr(mark, name, None)) is not None}
        return msgspec.Meta(**given) if given else None
    return None


def _polish(schema: Any, *, output: bool) -> None:
    """Make one generated schema, and those inside it, say what the decoder takes (or the encoder gives)."""
    if not isinstance(schema, dict):
        return
    node = cast("dict[str, Any]", schema)
    if "enum" in node and "type" not in node:
        kinds = {_TYPES.get(type(each)) for each in cast("list[object]", node["enum"])}
        if len(kinds) == 1 and None not in kinds:
            node["type"] = kinds.pop()
    if not output:
        if node.get("format") == "decimal":
            node["type"] = ["string", "number"]
        node.pop("uniqueItems", None)
    if node.get("required") == []:
        del node["required"]
    for key in _MAPS:
        for name, child in cast("dict[str, Any]", node.get(key, {})).items():
            if isinstance(child, dict) and cast("dict[str, Any]", child).get("title") == _title(name):
                del child["title"]
            _polish(child, output=output)
    for key in _ONE:
        _polish(node.get(key), output=output)
    for key in _MANY:
        for child in cast("list[Any]", node.get(key, [])):
            _polish(child, output=output)


_TYPES: Final[dict[type, str]] = {str: "string", int: "integer", bool: "boolean"}


def _title(name: str) -> str:
    return name.replace("_", " ").title()


def _inline_choices(node: Any, choices: dict[str, dict[str, Any]]) -> Any:
    if isinstance(node, dict):
        members = cast("dict[str, Any]", node)
        out = {key: _inline_choices(item, choices) for key, item in members.items()}
        reference = members.get("$ref")
        if isinstance(reference, str) and reference.removeprefix(_REF) in choices:
            del out["$ref"]
            return {**choices[reference.removeprefix(_REF)], **out}
        return out
    if isinstance(node, list):
        return [_inline_choices(item, choices) for item in cast("list[Any]", node)]
    return node


def _reachable(roots: Sequence[Any], definitions: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The definitions that are referred to, directly or through others."""
    found: set[str] = set()
    stack: list[Any] = list(roots)
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            members = cast("dict[str, Any]", node)
            reference = members.get("$ref")
            if isinstance(reference, str):
                name = reference.removeprefix(_REF)
                if name in definitions and name not in found:
                    found.add(name)
                    stack.append(definitions[name])
            stack.extend(members.values())
        elif isinstance(node, list):
            stack.extend(cast("list[Any]", node))
    return {name: body for name, body in definitions.items() if name in found}
