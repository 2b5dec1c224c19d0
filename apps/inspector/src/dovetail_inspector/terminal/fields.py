"""The fields of a form, made from a JSON schema, and the value that they hold: without a terminal.

Theory of operation. Each member of an object schema becomes a field that a terminal has: a line of text, a number, a
choice, several choices, yes or no; what is none of these (objects, arrays, alternatives) is a field of JSON, so every
schema has a form. An empty field leaves its member out. Members that the schema does not name are kept beside.

Specification: server/tools, "Tool"; client/elicitation, "Requested Schema"; JSON Schema 2020-12.
"""

from __future__ import annotations

import json
from typing import Any, Final, Literal, cast

from msgspec import Struct

from .text import json_text

__all__ = ["FieldInvalid", "FormField", "fields_of", "text_of", "value_of"]

FieldKind = Literal["text", "number", "integer", "choice", "choices", "json"]
_REFERENCES: Final = 20
_MOST_FIELDS: Final = 200
_MOST_CHOICES: Final = 1000


class FieldInvalid(ValueError):
    """What stands in a field is not what belongs there; the text says what does."""


class FormField(Struct, frozen=True, kw_only=True):
    """A member of an object. ``title`` and ``description`` as the server wrote them; ``choices``: what may be chosen,
    each with what it is called; ``default``: the value that is suggested, where ``has_default``.
    """

    name: str
    kind: FieldKind
    title: str = ""
    description: str = ""
    required: bool = False
    has_default: bool = False
    default: Any = None
    choices: tuple[tuple[str, Any], ...] = ()


def fields_of(schema: Any) -> list[FormField]:
    """The fields of an object schema; none for anything else. What is beyond 200 can be written as JSON alone."""
    root = _mapping(schema)
    plain = _resolved(root, root)
    needed = plain.get("required")
    required = {str(each) for each in cast("list[Any]", needed)} if isinstance(needed, list) else set[str]()
    return [
        _field(name, _resolved(_mapping(each), root), required=name in required)
        for name, each in list(_mapping(plain.get("properties")).items())[:_MOST_FIELDS]
    ]


def text_of(field: FormField, value: Any) -> str:
    """A value as it stands in a field that is written in."""
    if field.kind == "text" and isinstance(value, str):
        return value
    return json_text(value) if field.kind == "json" else json.dumps(value, ensure_ascii=False)


def value_of(field: FormField, text: str) -> Any:
    """The value of a field that is written in. Raises `FieldInvalid`, and `LookupError` for one that is left out."""
    if not text.strip() and (field.kind != "text" or not text):
        if field.required:
            raise FieldInvalid("is needed")
        raise LookupError(field.name)
    match field.kind:
        case "integer":
            return _integer(text.strip())
        case "number":
            try:
                return _json(text.strip(), (int, float))
            except FieldInvalid:
                raise FieldInvalid("is a number") from None
        case "json":
            return _json(text, object)
        case _:
            return text


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise FieldInvalid("is a whole number") from None


def _json(text: str, kind: Any) -> Any:
    try:
        found: Any = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise FieldInvalid("is nested too deeply") from None
    except ValueError as problem:
        raise FieldInvalid(f"is no JSON: {problem}") from None
    if not isinstance(found, kind) or (isinstance(found, bool) and kind is not object):
        raise FieldInvalid("is something else")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _field(name: str, schema: dict[str, Any], *, required: bool) -> FormField:
    kind, choices = _kind(schema)
    return FormField(
        name=name,
        kind=kind,
        title=_words(schema.get("title")),
        description=_words(schema.get("description")),
        required=required,
        has_default="default" in schema,
        default=schema.get("default"),
        choices=choices,
    )


def _kind(schema: dict[str, Any]) -> tuple[FieldKind, tuple[tuple[str, Any], ...]]:
    choices = _choices(schema)
    if choices:
        return "choice", choices
    match schema.get("type"):
        case "string":
            return "text", ()
        case "integer":
            return "integer", ()
        case "number":
            return "number", ()
        case "boolean":
            return "choice", (("true", True), ("false", False))
        case "array":
            several = _choices(_mapping(schema.get("items")))
            return ("choices", several) if several else ("json", ())
        case _:
            return "json", ()


def _choices(schema: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """What may be chosen: of ``enum`` (with ``enumNames``), or alternatives that are constants with titles."""
    values: Any = schema.get("enum")
    if isinstance(values, list) and values:
        names: Any = schema.get("enumNames")
        titles = cast("list[Any]", names) if isinstance(names, list) else []
        return tuple(
            (_words(titles[at]) if at < len(titles) else _shown(value), value)
            for at, value in enumerate(cast("list[Any]", values)[:_MOST_CHOICES])
        )
    for alternatives in (schema.get("oneOf"), schema.get("anyOf")):
        if isinstance(alternatives, list) and alternatives:
            found = [_mapping(each) for each in cast("list[Any]", alternatives)[:_MOST_CHOICES]]
            if all("const" in each for each in found):
                return tuple(
                    (_words(each.get("title")) or _shown(each["const"]), each["const"]) for each in found
                )
    return ()


def _resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """A schema without a reference at its top, and without the alternative that it may be null."""
    for _ in range(_REFERENCES):
        reference = schema.get("$ref")
        alternatives: Any = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(reference, str) and reference.startswith("#"):
            rest = {each: schema[each] for each in schema if each != "$ref"}
            schema = {**_pointed(root, reference), **rest}
        elif isinstance(alternatives, list):
            others = [
                each for each in map(_mapping, cast("list[Any]", alternatives)) if each.get("type") != "null"
            ]
            if len(others) != 1 or len(others) == len(cast("list[Any]", alternatives)):
                return schema
            schema = {
                **others[0],
                **{each: schema[each] for each in schema if each not in ("anyOf", "oneOf")},
            }
        else:
            kinds: Any = schema.get("type")
            if isinstance(kinds, list):
                plain = [each for each in cast("list[Any]", kinds) if each != "null"]
                schema = {**schema, "type": plain[0] if len(plain) == 1 else None}
            return schema
    return {}


def _pointed(root: dict[str, Any], reference: str) -> dict[str, Any]:
    found: Any = root
    for each in reference.removeprefix("#").split("/")[1:]:
        found = _mapping(found).get(each.replace("~1", "/").replace("~0", "~"))
    return _mapping(found)


def _words(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
