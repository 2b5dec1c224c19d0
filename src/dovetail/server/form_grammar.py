"""The restricted schemas of forms: making them, checking them, and cutting them to what a revision knows.

Theory of operation. A form is a flat object whose members are texts, numbers, yes-or-no, choices and lists of
choices. Everything is kept in the newest form (choices with titles are ``oneOf``, or ``anyOf`` inside of a
list); `cut` writes the older one, in which titles stand in ``enumNames`` and only yes-or-no has a default.
What a form cannot say about a value (an exclusive bound, a pattern) is left out here and still checked when
the answer is read.

Specification: client/elicitation, "Requested Schema".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from ..protocol.errors import FeatureUnavailable

__all__ = ["FORMATS", "check", "choices", "cut", "restrict"]

FORMATS: Final = ("email", "uri", "date", "date-time")
_MAX_FIELDS: Final = 100
_MAX_CHOICES: Final = 1000
_ALWAYS: Final = frozenset({"type", "title", "description", "default"})
_STRING: Final = _ALWAYS | {"minLength", "maxLength", "format"}
_NUMBER: Final = _ALWAYS | {"minimum", "maximum"}
_ARRAY: Final = _ALWAYS | {"items", "minItems", "maxItems"}
_ROOT: Final = frozenset({"$schema", "type", "properties", "required"})


def choices(schema: Mapping[str, Any]) -> list[tuple[Any, str | None]] | None:
    """The values of a choice with their titles, or None if the schema is none.

    Of a list of choices, give the ``items``.
    """
    for key in ("oneOf", "anyOf"):
        listed = cast("list[Any]", schema.get(key)) if isinstance(schema.get(key), list) else []
        options = [
            cast("dict[str, Any]", each) for each in listed if isinstance(each, dict) and "const" in each
        ]
        if options and len(options) == len(listed):
            return _titled(schema, [(each["const"], each.get("title")) for each in options])
    if isinstance(schema.get("enum"), list):
        values = cast("list[Any]", schema["enum"])
        titles = cast("list[Any]", schema.get("enumNames") or [None] * len(values))
        return list(zip(values, titles, strict=False))
    return [(schema["const"], None)] if "const" in schema else None


def restrict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema of one value as a form can carry it. Raises ValueError that says why it cannot."""
    out = {key: schema[key] for key in ("title", "description", "default") if key in schema}
    options = choices(schema)
    kind = schema.get("type")
    if options is not None:
        return {"type": "string", **_listing(options, "oneOf"), **out}
    if isinstance(kind, list) and "number" in kind:
        kind = "number"
    if kind == "string":
        if "contentEncoding" in schema:
            raise ValueError("bytes cannot be filled in")
        text = {key: schema[key] for key in ("minLength", "maxLength") if key in schema}
        if schema.get("format") in FORMATS:
            text["format"] = schema["format"]
        return {"type": "string", **text, **out}
    if kind in ("integer", "number"):
        return {"type": kind, **_bounds(schema, kind), **out}
    if kind == "boolean":
        return {"type": "boolean", **out}
    if kind == "array":
        return {**_multiple(schema), **out}
    if kind == "object" or "$ref" in schema:
        raise ValueError("a form is flat: an object inside of it cannot be filled in")
    raise ValueError("a form has texts, numbers, yes-or-no, dates and choices only")


def check(schema: Mapping[str, Any]) -> None:
    """Check a whole form schema that an author wrote.

    Raises ValueError that names the member and what is wrong.
    """
    if schema.get("type") != "object" or not isinstance(schema.get("properties"), dict):
        raise ValueError('a form schema has "type": "object" and "properties"')
    if extra := sorted(schema.keys() - _ROOT):
        raise ValueError(f"a form schema has no {extra[0]!r}")
    properties = cast("dict[str, Any]", schema["properties"])
    if len(properties) > _MAX_FIELDS:
        raise ValueError(f"a form has at most {_MAX_FIELDS} fields")
    required = schema.get("required", [])
    if not isinstance(required, list) or not properties.keys() >= set(cast("list[Any]", required)):
        raise ValueError('"required" lists names of properties')
    for name, each in properties.items():
        if not isinstance(each, dict):
            raise ValueError(f"{name}: is not an object")
        try:
            _check_field(cast("dict[str, Any]", each))
        except ValueError as problem:
            raise ValueError(f"{name}: {problem}") from None


def cut(schema: Mapping[str, Any], *, defaults: bool, enum_forms: bool) -> dict[str, Any]:
    """A form schema as a revision allows it.

    Without ``defaults`` only yes-or-no keeps its default; without ``enum_forms`` titles move to
    ``enumNames``. Raises `FeatureUnavailable` where a choice of several values is needed and the revision has
    none.
    """
    out = {key: item for key, item in schema.items() if key != "$schema" or enum_forms}
    out["properties"] = {
        name: _cut_field(name, each, defaults=defaults, enum_forms=enum_forms)
        for name, each in cast("dict[str, dict[str, Any]]", schema["properties"]).items()
    }
    return out


def _cut_field(name: str, field: dict[str, Any], *, defaults: bool, enum_forms: bool) -> dict[str, Any]:
    out = dict(field)
    if not enum_forms:
        if out.get("type") == "array":
            raise FeatureUnavailable(
                f"the field {name!r} chooses several values, which the client's revision cannot ask for;"
                " ask one yes-or-no question for each"
            )
        options = choices(out)
        if "oneOf" in out and options is not None:
            del out["oneOf"]
            out["enum"] = [value for value, _ in options]
            out["enumNames"] = [str(value) if title is None else title for value, title in options]
    if not defaults and out.get("type") != "boolean":
        out.pop("default", None)
    return out


def _titled(schema: Mapping[str, Any], options: list[tuple[Any, str | None]]) -> list[tuple[Any, str | None]]:
    """Titles given beside an ``enum`` name some of its values.

    The enum says which there are, and in what order.
    """
    if not isinstance(schema.get("enum"), list):
        return options
    titles = {str(value): title for value, title in options}
    return [(value, titles.get(str(value))) for value in cast("list[Any]", schema["enum"])]


def _listing(options: list[tuple[Any, str | None]], key: str) -> dict[str, Any]:
    if not options or len(options) > _MAX_CHOICES:
        raise ValueError(f"a choice has from 1 to {_MAX_CHOICES} values")
    if any(isinstance(value, bool) or not isinstance(value, (str, int)) for value, _ in options):
        raise ValueError("the values of a choice are texts or whole numbers")
    names = [str(value) for value, _ in options]
    if len(set(names)) != len(names):
        raise ValueError("two values of the choice are written alike")
    if all(title is None for _, title in options):
        return {"enum": names}
    return {key: [{"const": str(value), "title": title or str(value)} for value, title in options]}


def _multiple(schema: Mapping[str, Any]) -> dict[str, Any]:
    items = schema.get("items")
    options = choices(cast("dict[str, Any]", items)) if isinstance(items, dict) else None
    if options is None:
        raise ValueError("a list in a form is a list of choices: list[Literal[...]] or a list of an Enum")
    listed = _listing(options, "anyOf")
    inner = {"type": "string", **listed} if "enum" in listed else listed
    sizes = {key: schema[key] for key in ("minItems", "maxItems") if key in schema}
    return {"type": "array", "items": inner, **sizes}


def _bounds(schema: Mapping[str, Any], kind: str) -> dict[str, Any]:
    out = {key: schema[key] for key in ("minimum", "maximum") if key in schema}
    if kind == "integer":
        if "exclusiveMinimum" in schema:
            out["minimum"] = int(schema["exclusiveMinimum"]) + 1
        if "exclusiveMaximum" in schema:
            out["maximum"] = int(schema["exclusiveMaximum"]) - 1
    return out


def _check_field(field: dict[str, Any]) -> None:
    kind = field.get("type")
    if kind == "string":
        _check_text(field)
    elif kind in ("integer", "number"):
        _only(field, _NUMBER)
    elif kind == "boolean":
        _only(field, _ALWAYS)
    elif kind == "array":
        _only(field, _ARRAY)
        items = field.get("items")
        if not isinstance(items, dict):
            raise ValueError('"items" says which values there are to choose from')
        inner = cast("dict[str, Any]", items)
        _only(inner, frozenset({"anyOf"}) if "anyOf" in inner else frozenset({"type", "enum"}))
        _check_options(inner)
        if "enum" in inner and inner.get("type") != "string":
            raise ValueError('"items" with "enum" has "type": "string"')
    else:
        raise ValueError('"type" is one of string, integer, number, boolean, array')
    for key in ("title", "description"):
        if not isinstance(field.get(key, ""), str):
            raise ValueError(f"{key!r} is not a text")
    for key in ("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum"):
        if isinstance(field.get(key, 0), bool) or not isinstance(field.get(key, 0), (int, float)):
            raise ValueError(f"{key!r} is not a number")
    if "default" in field and not _is_default(cast("str", kind), field["default"]):
        raise ValueError(f'"default" is no {kind}')


def _is_default(kind: str, value: Any) -> bool:
    if kind == "array":
        return _texts(value)
    if kind == "boolean" or isinstance(value, bool):
        return kind == "boolean" and isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str)
    return isinstance(value, int if kind == "integer" else (int, float))


def _check_text(field: dict[str, Any]) -> None:
    if "oneOf" in field:
        _only(field, _ALWAYS | {"oneOf"})
        _check_options(field)
    elif "enum" in field:
        _only(field, _ALWAYS | {"enum", "enumNames"})
        _check_options(field)
        names = field.get("enumNames")
        if names is not None and (not _texts(names) or len(names) != len(field["enum"])):
            raise ValueError('"enumNames" has one text for each value of "enum"')
    else:
        _only(field, _STRING)
        if field.get("format", "email") not in FORMATS:
            raise ValueError(f'"format" is one of {", ".join(FORMATS)}')


def _check_options(field: dict[str, Any]) -> None:
    key = next((each for each in ("oneOf", "anyOf", "enum") if each in field), "enum")
    listed = field.get(key)
    if not isinstance(listed, list) or not listed or len(cast("list[Any]", listed)) > _MAX_CHOICES:
        raise ValueError(f"{key!r} lists from 1 to {_MAX_CHOICES} values")
    if key == "enum":
        if not _texts(cast("list[Any]", listed)):
            raise ValueError('the values of "enum" are texts')
        return
    for option in cast("list[Any]", listed):
        if not isinstance(option, dict) or cast("dict[str, Any]", option).keys() != {"const", "title"}:
            raise ValueError(f'each of {key!r} has "const" and "title", and nothing else')
        if not _texts(list(cast("dict[str, Any]", option).values())):
            raise ValueError(f"const and title in {key!r} are texts")


def _texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(each, str) for each in cast("list[Any]", values))


def _only(field: dict[str, Any], allowed: frozenset[str]) -> None:
    if extra := sorted(field.keys() - allowed):
        raise ValueError(f"{extra[0]!r} is not allowed here in a form")
