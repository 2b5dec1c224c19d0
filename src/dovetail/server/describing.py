"""JSON Schema 2020-12 of annotations, saying exactly what is read (or written).

Theory of operation. One walk goes from an annotation to everything inside it, at any depth: types, markers, choices in
the order in which they were written, classes with their fields, defaults and docstrings. What a marker says is said in
the schema wherever it stands, whichever library it comes from, and whichever made the class around it. A marker that
does not suit its type raises TypeError, so that it is told at registration. All annotations of one function are
described together, so that they share their ``$defs``.

pydantic describes what pydantic reads. To its words is added what it does not know: the marks of others on its
fields, and our rule for docstrings.
"""

from __future__ import annotations

import collections.abc
import copy
import datetime
import decimal
import enum
import re
import types
import typing
import uuid
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar, cast, get_args, get_origin

import msgspec

from ..protocol.schema.violations import looks_secret
from . import hints, native, pydantic_models
from .defaults import FACTORIES
from .docstrings import class_docstring
from .hints import MISSING
from .members import Member, family, members
from .pydantic_models import Adapted

__all__ = ["describe", "inlined"]

_REF: Final = "#/$defs/"
_MAPS: Final = ("properties", "patternProperties", "$defs", "dependentSchemas")
_ONE: Final = ("items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else")
_MANY: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_TYPES: Final[dict[type, str]] = {str: "string", int: "integer", bool: "boolean"}
_INTEGER_KEYS: Final = "^-?(0|[1-9][0-9]*)$"
_SCALARS: Final[dict[Any, dict[str, Any]]] = {
    bool: {"type": "boolean"},
    bytearray: {"type": "string", "contentEncoding": "base64"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    datetime.date: {"type": "string", "format": "date"},
    datetime.datetime: {"type": "string", "format": "date-time"},
    datetime.time: {"type": "string", "format": "time"},
    datetime.timedelta: {"type": "string", "format": "duration"},
    decimal.Decimal: {"type": ["string", "number"], "format": "decimal"},
    float: {"type": "number"},
    int: {"type": "integer"},
    memoryview: {"type": "string", "contentEncoding": "base64"},
    msgspec.Raw: {},
    str: {"type": "string"},
    type(None): {"type": "null"},
    uuid.UUID: {"type": "string", "format": "uuid"},
    Any: {},
}
_WRITTEN: Final[dict[Any, dict[str, Any]]] = {
    **_SCALARS,
    datetime.datetime: {"type": "string"},  # without an offset it is no date-time of RFC 3339
    datetime.time: {"type": "string"},
    decimal.Decimal: {"type": "string", "format": "decimal"},
}
_ARRAYS: Final = (
    list,
    set,
    frozenset,
    collections.abc.Collection,
    collections.abc.MutableSequence,
    collections.abc.MutableSet,
    collections.abc.Sequence,
    collections.abc.Set,
)
_OBJECTS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_BOUNDS: Final = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
_LENGTHS: Final = {"string": "Length", "array": "Items", "object": "Properties"}


def describe(
    subjects: Sequence[Any | Adapted], *, output: bool
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The schema of each subject (a type, or one that pydantic serves) and their common ``$defs``.

    Raises TypeError for types that have no schema.
    """
    adapted = [each for each in subjects if isinstance(each, Adapted)]
    models: list[type] = []

    def note(kind: type) -> dict[str, Any]:
        if output and hasattr(kind, "__fspath__"):
            return {"type": "string", "format": "path"}
        if not pydantic_models.is_model(kind):
            raise TypeError(f"{kind!r} has no JSON Schema")
        if kind not in models:
            models.append(kind)
        return {}

    first = _Describing(note, output=output)
    plain = [{} if isinstance(each, Adapted) else first.schema(each) for each in subjects]
    if not adapted and not models:
        return plain, first.definitions
    foreign, definitions = _by_pydantic(adapted, models, output=output, taken=first.definitions)
    of_model = dict(zip(models, foreign[len(adapted) :], strict=True))
    walk = _Describing(lambda kind: dict(of_model[kind] if kind in of_model else note(kind)), output=output)
    queue = iter(foreign)
    schemas = [next(queue) if isinstance(each, Adapted) else walk.schema(each) for each in subjects]
    definitions = {**walk.definitions, **definitions}
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


class _Describing:
    """A walk over annotations that msgspec reads. ``foreign`` describes what it does not, or raises TypeError."""

    def __init__(self, foreign: Callable[[type], dict[str, Any]], *, output: bool) -> None:
        self.definitions: dict[str, dict[str, Any]] = {}
        self._names: dict[Any, str] = {}
        self._foreign = foreign
        self._output = output
        self._scalars = _WRITTEN if output else _SCALARS

    def schema(self, annotation: Any) -> dict[str, Any]:
        """The schema of one annotation; classes with fields are referred to."""
        kind = hints.alias_value(annotation)
        origin = get_origin(kind)
        if hints.refers_to_itself(kind):
            raise TypeError("a type alias that refers to itself is read by pydantic alone")
        if origin is Annotated:
            inner, *marks = get_args(kind)
            return self._marked(self.schema(inner), marks)
        if origin in (typing.Union, types.UnionType):
            return self._union(get_args(kind))
        if origin is Literal:
            return _choice(list(get_args(kind)))
        if family(kind) is not None:
            return self._foreign(kind) if family(kind) == "pydantic" else self._referred(kind)
        if origin is not None or kind in (*_ARRAYS, *_OBJECTS, tuple):
            return self._container(origin or kind, get_args(kind))
        return self._plain(kind)

    def _plain(self, kind: Any) -> dict[str, Any]:
        if kind is None:
            kind = type(None)
        if isinstance(kind, TypeVar):
            bound: Any = kind.__bound__ or Any
            return self._union(kind.__constraints__) if kind.__constraints__ else self.schema(bound)
        if hasattr(kind, "__supertype__"):
            return self.schema(kind.__supertype__)
        if _is_hashable(kind) and kind in self._scalars:
            return dict(self._scalars[kind])
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            text = class_docstring(cast("Any", kind)).text
            return {**_choice([each.value for each in kind]), **({"description": text} if text else {})}
        return self._foreign(cast("Any", kind))

    def _container(self, origin: Any, arguments: tuple[Any, ...]) -> dict[str, Any]:
        if origin is tuple:
            return self._tuple(arguments)
        if origin in _ARRAYS:
            out: dict[str, Any] = {"type": "array"}
            if arguments and (items := self.schema(arguments[0])):
                out["items"] = items
            if self._output and issubclass(origin, (set, frozenset)):
                out["uniqueItems"] = True
            return out
        if origin not in _OBJECTS:
            return self._foreign(origin[arguments] if arguments else origin)
        out = {"type": "object"}
        if arguments:
            if keys := self._keys(arguments[0]):
                out["propertyNames"] = keys
            if values := self.schema(arguments[1]):
                out["additionalProperties"] = values
        return out

    def _keys(self, kind: Any) -> dict[str, Any]:
        """What the names of an object's members are like: always text."""
        keys = self.schema(kind)
        if keys.get("type") == "integer":
            return {} if self._output else {"pattern": _INTEGER_KEYS}
        if keys.get("type") == "string":
            del keys["type"]
        return keys if keys.get("type") is None else {}

    def _tuple(self, arguments: tuple[Any, ...]) -> dict[str, Any]:
        if not arguments:
            return {"type": "array"}
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return self._container(list, arguments[:1])
        parts = [self.schema(each) for each in arguments if each != ()]
        size = len(parts)
        rest: dict[str, Any] = {"prefixItems": parts, "items": False} if parts else {}
        return {"type": "array", "minItems": size, "maxItems": size, **rest}

    def _union(self, kinds: Iterable[Any]) -> dict[str, Any]:
        given = [each for each in kinds if each is not msgspec.UnsetType]
        found = sorted(given, key=lambda each: each in (None, type(None)))  # what may be left out comes last
        if len(found) == 1:
            return self.schema(found[0])
        members = [self.schema(each) for each in found]
        out: dict[str, Any] = {"anyOf": members}
        structs = [hints.without_markers(each) for each in found if each not in (None, type(None))]
        if len(structs) > 1 and all(family(each) == "struct" for each in structs):
            configs = [(get_origin(each) or each).__struct_config__ for each in structs]
            if all(config.tag is not None for config in configs):
                names = [str(config.tag) for config in configs]
                references = [each["$ref"] for each in members if "$ref" in each]
                mapping = dict(zip(names, references, strict=False))
                out["discriminator"] = {"propertyName": configs[0].tag_field, "mapping": mapping}
        return out

    def _marked(self, node: dict[str, Any], marks: Iterable[Any]) -> dict[str, Any]:
        """A schema, and what markers say about it."""
        for meta in (meta for mark in marks for meta in native.metas(mark)):
            _limit(node, meta)
            for key in ("title", "description", "examples"):
                if (said := getattr(meta, key)) is not None:
                    node[key] = said
            node.update(meta.extra_json_schema or {})
        return node

    def _referred(self, kind: Any) -> dict[str, Any]:
        if kind not in self._names:
            plain = re.sub(r"[^a-zA-Z0-9.\-_]", "_", _written_name(kind))
            name, number = plain, 2
            while name in self.definitions:
                name, number = f"{plain}_{number}", number + 1
            self._names[kind] = name
            self.definitions[name] = {}
            self.definitions[name].update(self._fields(kind))
        return {"$ref": _REF + self._names[kind]}

    def _fields(self, kind: Any) -> dict[str, Any]:
        """The schema of a class with fields, as an object or, as its kind has it, an array."""
        origin = get_origin(kind) or kind
        texts = class_docstring(origin)
        out: dict[str, Any] = {"description": texts.text} if texts.text else {}
        listed = members(kind)
        parts = {each.wire: self._field(each, texts.parameters.get(each.name, "")) for each in listed}
        required = [each.wire for each in listed if each.required]
        config: Any = getattr(origin, "__struct_config__", None)
        if config is not None and config.tag is not None:
            parts = {config.tag_field: {"enum": [config.tag]}, **parts}
            required = [config.tag_field, *required]
        if family(kind) == "namedtuple" or (config is not None and config.array_like):
            out |= {"type": "array", "prefixItems": list(parts.values()), "minItems": len(required)}
            if config is None or config.forbid_unknown_fields:
                out["maxItems"] = len(parts)
            return out
        out |= {"type": "object", "properties": parts}
        if required:
            out["required"] = required
        if config is not None and config.forbid_unknown_fields:
            out["additionalProperties"] = False
        return out

    def _field(self, member: Member, text: str) -> dict[str, Any]:
        node = self.schema(member.annotation)
        if text and not hints.described(hints.markers_of(member.annotation)):
            node["description"] = text
        default: Any = member.default if member.factory is None else MISSING
        if member.factory is not None and member.factory in FACTORIES:
            default = member.factory()
        if default is MISSING or default is msgspec.UNSET:
            return node
        if not node.get("writeOnly") and not looks_secret(member.name):
            try:
                node["default"] = native.to_plain(default)
            except Exception:  # noqa: BLE001 - a default that JSON cannot say is the author's, but no part of the schema
                return node
        return node


def _is_hashable(kind: Any) -> bool:
    return isinstance(kind, Hashable)


def _choice(values: list[Any]) -> dict[str, Any]:
    """A schema of values, in their order; with their type where they share one."""
    kinds = {_TYPES.get(cast("Any", type(each))) for each in values}
    known = kinds.pop() if len(kinds) == 1 else None
    return {"enum": values, "type": known} if known else {"enum": values}


def _limit(node: dict[str, Any], meta: msgspec.Meta) -> None:
    """Add the constraints of a marker to a schema. Raises TypeError where one does not suit the type."""
    given = {name: item for name in native.CONSTRAINTS if (item := getattr(meta, name)) is not None}
    if not given:
        return
    branches = [each for each in node.get("anyOf", ()) if each.get("type") != "null"]
    if branches:
        for each in branches:
            _limit(each, meta)
        return
    kind = node.get("type")
    for name, item in given.items():
        if name in _BOUNDS and kind in ("integer", "number") and "enum" not in node:
            node[_BOUNDS[name]] = item
        elif name in ("min_length", "max_length") and kind in _LENGTHS and "enum" not in node:
            if "contentEncoding" in node:
                item = 4 * ((item + 2) // 3)  # noqa: PLW2901 - characters of base64 for that many bytes
            elif "format" in node:
                raise TypeError(f"`{name}` does not suit a text in the format {node['format']}")
            node[name[:3] + _LENGTHS[kind]] = item
        elif (
            name == "pattern" and kind == "string" and not {"enum", "format", "contentEncoding"} & node.keys()
        ):
            node["pattern"] = item
        elif name == "tz" and kind == "string" and node.get("format") in ("date-time", "time", None):
            if item:
                node["format"] = node.get("format") or "date-time"
            else:
                node.pop("format", None)
        else:
            raise TypeError(f"`{name}` does not suit a value of {_said(node)}")


def _said(node: dict[str, Any]) -> str:
    if "$ref" in node:
        return "a class"
    return f"type {node['type']}" if "type" in node and "enum" not in node else "a choice or of any type"


def _written_name(kind: Any) -> str:
    origin = get_origin(kind) or kind
    if not (arguments := get_args(kind)):
        return origin.__name__
    return f"{origin.__name__}[{', '.join(getattr(each, '__name__', repr(each)) for each in arguments)}]"


def _by_pydantic(
    adapted: list[Adapted], models: list[type], *, output: bool, taken: Iterable[str]
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """What pydantic says of what it reads, our marks and our rule for docstrings added."""
    edits = pydantic_models.edits([*(each.annotation for each in adapted), *models])
    marked = [mark for edit in edits for mark in edit.marked.values()]
    subjects: list[Adapted | type] = [*adapted, *models, *(edit.subject for edit in edits), *marked]
    found, definitions = pydantic_models.schemas(subjects, output=output, taken=set(taken))
    first = len(adapted) + len(models)
    properties = iter(found[first + len(edits) :])
    for edit, referred in zip(edits, found[first:], strict=False):
        said = {name: next(properties) for name in edit.marked}
        name = str(referred.get("$ref", "")).removeprefix(_REF)
        # a named tuple has no definition: it is described anew wherever it stands
        places = (
            [definitions[name]] if name in definitions else list(_like(dict(referred), [definitions, found]))
        )
        for body in places:
            _edit(body, edit, said)
    for name, body in definitions.items():
        if body.get("title") == name:
            del body["title"]
        _polish(body, output=output)
    for each in found:
        _polish(each, output=output)
    return [dict(each) for each in found[:first]], definitions


def _edit(body: dict[str, Any], edit: pydantic_models.Edit, said: dict[str, dict[str, Any]]) -> None:
    """Put into the schema of a class what its author says of it; ``said``: what to add to fields, by name."""
    if edit.text is not None:
        body.pop("description", None)
        body.update({"description": edit.text} if edit.text else {})
    parts: dict[str, dict[str, Any]] = body.get("properties") or dict(
        zip(edit.names, body.get("prefixItems", ()), strict=False)
    )
    for name, more in said.items():
        parts.get(name, {}).update(copy.deepcopy(more))
    for name, text in edit.texts.items():
        if name in parts:
            parts[name].setdefault("description", text)


def _like(sample: dict[str, Any], tree: Any) -> Iterator[dict[str, Any]]:
    """The arrays in a schema that say all that ``sample`` says."""
    sample = copy.deepcopy(sample)  # it stands in the tree itself
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(cast("list[Any]", node))
        elif isinstance(node, dict):
            members = cast("dict[str, Any]", node)
            stack.extend(members.values())
            if "prefixItems" in sample and all(members.get(key) == item for key, item in sample.items()):
                yield members


def _polish(schema: Any, *, output: bool) -> None:
    """Leave out of a schema of pydantic's, and of those inside it, what only repeats a name, or is not so."""
    if not isinstance(schema, dict):
        return
    node = cast("dict[str, Any]", schema)
    if "enum" in node and "type" not in node:
        node.update(_choice(node["enum"]))
    if not output:
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
