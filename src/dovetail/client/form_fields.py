"""What a form is: a flat object of simple fields, as the specification allows it; and what servers send besides.

Libraries write an optional field as ``"type": ["string", "null"]`` or as an ``anyOf`` with null. No answer can carry a
null, so such a field is one that may be left out: it is shown as the plain field inside. Anything else that no form
holds is refused with words. Whoever shows a form meets only fields of the kinds below.
Specification: client/elicitation, "Requested Schema".
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final, cast

from ..protocol.errors import InvalidParams
from ..protocol.schema.validator import SchemaError, compile_schema

_PRIMITIVE: Final = frozenset({"string", "number", "integer", "boolean"})
_ALTERNATIVES: Final = ("anyOf", "oneOf")
_NULL: Final = "null"


def plain_form(schema: dict[str, Any]) -> dict[str, Any]:
    """A requested schema with plain fields only, which no answer fits that would not fit the given one.

    Raises `InvalidParams` unless it is what the specification allows, or the same with fields that may be null.
    """
    fields = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(fields, dict):
        raise InvalidParams("a requestedSchema is an object schema with properties")
    try:
        compile_schema(schema)
    except SchemaError as problem:
        raise InvalidParams(f"the requestedSchema can't be used: {problem}") from None
    plain = {name: _plain_field(name, field) for name, field in cast("dict[str, Any]", fields).items()}
    form = {**schema, "properties": plain}
    if form == schema:
        return schema
    try:
        compile_schema(form)
    except SchemaError as problem:
        raise InvalidParams(f"the requestedSchema can't be used: {problem}") from None
    return form


def _plain_field(name: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise _no_field(name)
    field = _without_null(cast("dict[str, Any]", given))
    kind = field.get("type")
    if kind == "array":
        items = field.get("items")
        if isinstance(items, dict) and _choices_of(cast("dict[str, Any]", items), name):
            return field
        raise _no_field(name)
    if not isinstance(kind, str) or kind not in _PRIMITIVE:
        raise _no_field(name)
    _choices_of(field, name)
    return field


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """A field that may be null as what it is otherwise."""
    plain = dict(field)
    kind: Any = plain.get("type")
    if isinstance(kind, list):
        kinds = [each for each in cast("list[Any]", kind) if each != _NULL]
        plain["type"] = kinds[0] if len(kinds) == 1 else kinds
    for word in _ALTERNATIVES:
        if isinstance(plain.get(word), list):
            branches = cast("list[Any]", plain[word])
            rest = [each for each in branches if each != {"type": _NULL} and not _is_null_choice(each)]
            if len(rest) < len(branches):
                del plain[word]
                if len(rest) == 1 and isinstance(rest[0], dict) and "const" not in rest[0]:
                    plain = {**_without_null(cast("dict[str, Any]", rest[0])), **plain}
                elif rest:
                    plain[word] = rest
    if isinstance(plain.get("enum"), list):
        choices, titles = cast("list[Any]", plain["enum"]), plain.get("enumNames")
        if None in choices:
            plain["enum"] = [each for each in choices if each is not None]
            if isinstance(titles, list):
                beside = zip(choices, cast("list[Any]", titles), strict=False)
                plain["enumNames"] = [title for each, title in beside if each is not None]
    if plain.get("default", field) is None:
        del plain["default"]
    return plain


def _is_null_choice(branch: Any) -> bool:
    return isinstance(branch, dict) and "const" in branch and cast("dict[str, Any]", branch)["const"] is None


def _choices_of(field: dict[str, Any], name: str) -> bool:
    """Whether a field is a choice. Raises `InvalidParams` for one whose choices can't be shown."""
    found = False
    for word in _ALTERNATIVES:
        if word in field:
            branches = cast("list[Any]", field[word])
            if not all(isinstance(each, dict) and "const" in each for each in branches):
                raise _no_field(name)
            found = True
    return found or isinstance(field.get("enum"), list)


def misformed(field: Mapping[str, Any], value: Any) -> str | None:
    """What is wrong with a text that has to be a date or a time, which a schema alone does not judge; None if nothing
    is.
    """
    name = field.get("format")
    form = _TIMES.get(name) if isinstance(name, str) else None
    if form is None or not isinstance(value, str):
        return None
    pattern, read, example = form
    try:
        if pattern.match(value):
            read(value)
            return None
    except ValueError:
        pass
    return f"expected a {name} such as {example}, got {value[:64]!r}"


_TIMES: Final[dict[str, tuple[re.Pattern[str], Callable[[str], object], str]]] = {
    "date": (re.compile(r"\d{4}-\d\d-\d\d$"), date.fromisoformat, "2026-01-31"),
    "date-time": (re.compile(r"\d{4}-\d\d-\d\d[Tt ]"), datetime.fromisoformat, "2026-01-31T18:30:00Z"),
}


def _no_field(name: str) -> InvalidParams:
    return InvalidParams(f"the field {name[:64]!r} of the form is neither text, number, boolean nor a choice")
