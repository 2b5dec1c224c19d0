"""Forms: asking a person for a typed value.

Theory of operation. A type is taken apart into fields, each of them described as any other type and then cut
down to what a form can carry (`form_grammar`). A single value makes a form with one field, "value". The
answer goes the same way back: checked against the schema, choices turned into the values they stand for, then
read into the type by the same decoder that reads arguments. Empty fields that have a default get it.

Specification: client/elicitation, "Requested Schema".
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Generic, TypeVar, cast, get_origin
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ..protocol.codec import DECODE_ERRORS
from ..protocol.errors import DovetailError
from ..protocol.schema.validator import Validator, Violation, compile_schema, explain
from . import describing, form_grammar, hints, native, pydantic_models
from .arguments import integral, owner
from .docstrings import parse_docstring
from .pydantic_models import Adapted
from .signature import MISSING, RegistrationError
from .withheld import redacted, sensitive

__all__ = ["AnswerInvalid", "Form"]

T = TypeVar("T")
VALUE: Final = "value"


class AnswerInvalid(DovetailError):
    """An answer does not fit its form, so the person is asked again. ``fields``: the names of those that are wrong.

    The text has a line for each.
    """

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.fields = tuple(dict.fromkeys(name for name, _ in problems))
        super().__init__("\n".join(text for _, text in problems))


class _SchemaField(Struct, frozen=True):
    """``name`` as in the form. ``values``: what each choice stands for, or None.

    ``nullable``: None is a value of it. ``plain``: what the schema takes is the value already.
    """

    name: str
    schema: dict[str, Any]
    required: bool
    nullable: bool
    values: Mapping[str, Any] | None
    read: Callable[[bytes], Any]
    plain: bool = False

    def value(self, item: Any) -> Any:
        """What an answer stands for, as JSON: of a choice that is not made of texts, the value itself."""
        if self.values is None:
            return item
        if isinstance(item, list):
            return [self._meaning(each) for each in cast("list[Any]", item)]
        return self._meaning(item)

    def _meaning(self, item: Any) -> Any:
        return self.values.get(item, item) if self.values is not None and isinstance(item, str) else item


#: Makes the value of an answer from its fields: as they came, and as their own types read them.
_Build = Callable[[dict[str, Any], dict[str, Any]], Any]


class Form(Generic[T]):
    """A form that asks for a ``T``. Make one with `of` or `raw`. Immutable."""

    __slots__ = ("_build", "_fields", "_schema", "_validator")

    def __init__(self, schema: dict[str, Any], fields: Mapping[str, _SchemaField], build: _Build) -> None:
        self._schema = schema
        self._fields = fields
        self._build = build
        self._validator: Validator = compile_schema(schema)

    @classmethod
    def of(cls, kind: Any) -> Form[Any]:
        """The form of a type; the same type gives the same form.

        A single value (bool, str, int, float, Enum, Literal, date, datetime, list of choices, each also ``|
        None``) is asked for alone; a dataclass, TypedDict, Struct, NamedTuple, attrs class or pydantic model
        gives a field for each member. Raises `RegistrationError` for what a form cannot express.
        """
        try:
            hash(kind)
        except TypeError:
            return _form_of(kind)
        return _cached_form_of(kind)

    @classmethod
    def raw(cls, schema: dict[str, Any]) -> Form[dict[str, Any]]:
        """The form of a ``requestedSchema`` as it is; answers are checked and given as dicts.

        Raises `RegistrationError` for what the grammar of forms does not allow.
        """
        try:
            form_grammar.check(schema)
        except ValueError as problem:
            raise RegistrationError(f"form schema: {problem}") from problem
        return Form(schema, {}, lambda content, _: content)

    def schema(self, *, defaults: bool = True, enum_forms: bool = True) -> dict[str, Any]:
        """The ``requestedSchema``, cut to what the client's revision allows (the features named likewise).

        Raises `FeatureUnavailable` for a choice of several values without ``enum_forms``.
        """
        return form_grammar.cut(self._schema, defaults=defaults, enum_forms=enum_forms)

    def read(self, content: Mapping[str, Any] | None, *, size: int | None = None) -> T:
        """The value of an answer, defaults filled in. Raises `AnswerInvalid` naming every wrong field.

        ``size``: bytes of the answer as it came, where the caller knows them.
        """
        properties: dict[str, dict[str, Any]] = self._schema["properties"]
        given: Any = {} if content is None else content
        if not isinstance(given, dict):
            raise AnswerInvalid([("", "the answer is not an object")])
        members = cast("dict[str, Any]", given)
        known = members
        if None in members.values() or not members.keys() <= properties.keys():
            known = {name: item for name, item in members.items() if name in properties and item is not None}
        found: list[tuple[str, str]] = []
        for violation in self._validator.check(known, size=size):
            name = owner(violation.path, properties) or violation.path
            found.append((name, _told(violation)))
        wrong = {name for name, _ in found} if found else ()
        read: dict[str, Any] = {}
        for name, item in known.items():
            if name not in wrong and (text := self._misfit(name, item, properties[name], read)):
                found.append((name, f"{name}: {text}"))
        if found:
            raise AnswerInvalid(found)
        if not self._fields:
            return self._build({**_defaults(properties), **members, **known}, read)
        try:
            return self._build(known, read)
        except DECODE_ERRORS as problem:
            raise AnswerInvalid([("", redacted(str(problem), known))]) from problem

    def _misfit(self, name: str, item: Any, schema: dict[str, Any], read: dict[str, Any]) -> str:
        """What is wrong with a value that the schema takes, or "": then ``read`` has what its type makes of it."""
        field = self._fields.get(name)
        if field is not None and field.plain:
            read[name] = item
            return ""
        check = _FORMATS.get(schema.get("format", ""))
        if check is not None and not check(item):
            return f"expected text in the format {schema['format']}"
        if field is None:
            return ""
        try:
            read[name] = field.read(_bytes(field.value(item)))
        except DECODE_ERRORS as problem:
            listed = pydantic_models.problems(problem) or pydantic_models.problems(problem.__cause__)
            text = "; ".join(message for _, message in listed) or str(problem)
            return "not acceptable" if sensitive(name) else redacted(text, item)[:300]
        return ""


def _form_of(kind: Any) -> Form[Any]:
    plain = hints.without_markers(kind)
    members = list(_members(plain))
    if not members:
        field = _field(VALUE, kind, MISSING, "", optional=False)
        return Form(
            _object([field]),
            {VALUE: field},
            lambda _, read: read[VALUE] if VALUE in read else field.read(b"null"),
        )
    fields = [
        _field(name, hint, default, text, optional=optional)
        for name, hint, default, text, optional in members
    ]
    return Form(_object(fields), {each.name: each for each in fields}, _builder(plain, fields))


_cached_form_of = lru_cache(maxsize=256)(_form_of)


def _object(fields: list[_SchemaField]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {each.name: each.schema for each in fields}}
    if required := [each.name for each in fields if each.required]:
        schema["required"] = required
    try:
        form_grammar.check(schema)
    except ValueError as problem:
        raise RegistrationError(f"as a form: {problem}") from problem
    return schema


def _field(name: str, hint: Any, default: Any, text: str, *, optional: bool) -> _SchemaField:
    """One field; ``optional``: may be left out without a default that is known."""
    members = hints.union_members(hints.without_markers(hint))
    nullable = type(None) in members
    try:
        prepared = native.prepare(_with_titles(hint))
        subject: Any = prepared
        if pydantic_models.only_pydantic(hint):
            subject = pydantic_models.adapt(_with_titles(hint)) or prepared
        described, definitions = describing.describe([subject], output=False)
        schema = _not_null(describing.inlined(described[0], definitions))
        restricted = form_grammar.restrict(schema)
        read = subject.read if isinstance(subject, Adapted) else native.reader(prepared)
    except Exception as problem:
        reason = " ".join(str(problem).split())[:300]
        raise RegistrationError(f"cannot be asked for in a form: {reason}", parameter=name) from problem
    restricted.pop("default", None)
    _order(restricted, _written_order(hint))
    options = form_grammar.choices(schema) or form_grammar.choices(schema.get("items") or {}) or []
    values = (
        {str(value): value for value, _ in options}
        if any(not isinstance(v, str) for v, _ in options)
        else None
    )
    if text and "description" not in restricted:
        restricted["description"] = text
    if default is not MISSING and default is not None:
        plain = native.to_plain(default() if isinstance(default, _Factory) else default)
        restricted["default"] = _as_answer(plain, choice=bool(options), number=restricted["type"] == "number")
    required = default is MISSING and not nullable and not optional
    return _SchemaField(name, restricted, required, nullable, values, read, plain=hint in (str, bool))


def _written_order(hint: Any) -> list[str]:
    """The values of the choices in an annotation, in the order in which the author wrote them."""
    found: list[str] = []
    for part in hints.leaves(hint):
        if isinstance(part, type) and issubclass(part, enum.Enum):
            found += [str(member.value) for member in part]
        elif get_origin(part) is typing.Literal:
            found += [str(each) for each in typing.get_args(part)]
    return found


def _order(field: dict[str, Any], written: list[str]) -> None:
    """Put the options of a choice into that order; others keep theirs, behind."""
    place = {name: index for index, name in enumerate(written)}
    for node in (field, cast("dict[str, Any]", field.get("items", {}))):
        for key in ("enum", "oneOf", "anyOf"):
            if key in node:
                node[key] = sorted(
                    cast("list[Any]", node[key]),
                    key=lambda each: place.get(_constant(each), len(place)),
                )


def _constant(option: Any) -> str:
    return cast("dict[str, Any]", option)["const"] if isinstance(option, dict) else option


def _as_answer(plain: Any, *, choice: bool, number: bool) -> Any:
    """A default as a form writes it."""
    if choice:
        return [str(each) for each in cast("list[Any]", plain)] if isinstance(plain, list) else str(plain)
    return float(plain) if number and isinstance(plain, str) else plain


class _Factory:
    """A default that is made anew each time."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make

    def __call__(self) -> Any:
        return self.make()


_Member = tuple[str, Any, Any, str, bool]


def _is_class(kind: Any) -> bool:
    return isinstance(kind, type)


def _has_plain_members(kind: Any) -> bool:
    return typing.is_typeddict(kind) or any(hasattr(kind, name) for name in ("__attrs_attrs__", "_fields"))


def _members(kind: Any) -> Iterator[_Member]:
    """Name in the form, annotation, default, description and whether it may be left out.

    Nothing for a single value.
    """
    if not _is_class(kind) or issubclass(kind, enum.Enum):
        origin = get_origin(kind)
        if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
            yield from _struct_members(kind, {})
        return
    texts = parse_docstring(kind.__doc__).parameters
    if issubclass(kind, msgspec.Struct):
        yield from _struct_members(kind, texts)
    elif pydantic_models.is_model(kind):
        for name, field in kind.model_fields.items():
            more = [msgspec.Meta(extra_json_schema=extra)] if (extra := _extra(field)) else []
            marks = (*field.metadata, *more)
            hint = Annotated[(field.annotation, *marks)] if marks else field.annotation
            default: Any = MISSING if field.is_required() else field.get_default(call_default_factory=True)
            text = field.description or texts.get(name, "")
            yield str(field.validation_alias or field.alias or name), hint, default, text, False
    elif dataclasses.is_dataclass(kind):
        resolved = typing.get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):
            if field.init:
                yield (
                    field.name,
                    resolved[field.name],
                    _dataclass_default(field),
                    texts.get(field.name, ""),
                    False,
                )
    elif _has_plain_members(kind):
        yield from _plain_members(kind, texts)


def _extra(field: Any) -> dict[str, Any]:
    """What a pydantic field adds to its schema, such as titles or a format."""
    extra = field.json_schema_extra
    return cast("dict[str, Any]", extra) if isinstance(extra, dict) else {}


def _struct_members(kind: Any, texts: Mapping[str, str]) -> Iterator[_Member]:
    for field in msgspec.structs.fields(kind):
        default: Any = MISSING
        if field.default is not msgspec.NODEFAULT:
            default = field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            default = _Factory(field.default_factory)
        yield field.encode_name, field.type, default, texts.get(field.name, ""), False


def _plain_members(kind: Any, texts: Mapping[str, str]) -> Iterator[_Member]:
    resolved = typing.get_type_hints(kind, include_extras=True)
    if typing.is_typeddict(kind):
        for name, hint in resolved.items():
            # Where annotations are strings, __required_keys__ knows only what `total` says.
            marked = get_origin(hint) in (typing.Required, typing.NotRequired)
            optional = name not in kind.__required_keys__
            if marked:
                optional = get_origin(hint) is typing.NotRequired
            yield name, typing.get_args(hint)[0] if marked else hint, MISSING, texts.get(name, ""), optional
        return
    if hasattr(kind, "_fields"):
        for name in kind._fields:
            yield (
                name,
                resolved.get(name, Any),
                kind._field_defaults.get(name, MISSING),
                texts.get(name, ""),
                False,
            )
        return
    for field in kind.__attrs_attrs__:
        default = field.default
        factory = getattr(default, "factory", None)
        known: Any = (
            MISSING
            if default is None or type(default).__name__ == "NOTHING" or repr(default) == "NOTHING"
            else default
        )
        if default is None:
            known = None
        yield (
            field.name,
            resolved[field.name],
            _Factory(factory) if factory else known,
            texts.get(field.name, ""),
            False,
        )


def _dataclass_default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return MISSING if field.default_factory is dataclasses.MISSING else _Factory(field.default_factory)


def _builder(kind: Any, fields: list[_SchemaField]) -> _Build:
    """What makes a value of a type from its fields."""
    if hasattr(kind, "_fields") and issubclass(kind, tuple):
        kind = cast("Any", kind)

        def build(_: dict[str, Any], read: dict[str, Any]) -> Any:
            blank = {
                each.name: None for each in fields if each.nullable and each.name not in kind._field_defaults
            }
            return kind(**{**blank, **read})

        return build
    blank = {each.name: None for each in fields if each.nullable and "default" not in each.schema}
    if typing.is_typeddict(kind):
        left_out = {name for name, _, _, _, optional in _members(kind) if optional}
        blank = {name: None for name in blank if name not in left_out}
    optional = {name for name, *_ in _defaulted(kind)}
    blank = {name: None for name in blank if name not in optional}
    adapted = pydantic_models.adapt(kind) if pydantic_models.only_pydantic(kind) else None
    read = adapted.read if adapted is not None else native.reader(kind)
    values = {each.name: each.value for each in fields}
    return lambda content, _: read(
        _bytes({**blank, **{name: values[name](item) for name, item in content.items()}})
    )


def _defaulted(kind: Any) -> Iterator[_Member]:
    return (each for each in _members(kind) if each[2] is not MISSING)


def _with_titles(hint: Any) -> Any:
    """The annotation, each Enum whose members have texts of their own marked with titles."""

    def leaf(kind: Any) -> Any:
        titles = _member_titles(kind) if isinstance(kind, type) and issubclass(kind, enum.Enum) else []
        return (
            Annotated[kind, msgspec.Meta(extra_json_schema={"oneOf": titles})]
            if titles
            else cast("Any", kind)
        )

    return hints.rebuild(hint, leaf, lambda inner, marks: Annotated[(inner, *marks)])


def _member_titles(kind: type[enum.Enum]) -> list[dict[str, Any]]:
    titles: list[dict[str, Any]] = []
    for member in kind:
        text = vars(member).get("__doc__") or getattr(member, "label", None)
        if isinstance(text, str) and text != kind.__doc__:
            titles.append({"const": member.value, "title": text})
    return titles


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without the choice of null: in a form, a field is left empty instead."""
    listed = schema.get("anyOf")
    if isinstance(listed, list):
        rest = [each for each in cast("list[dict[str, Any]]", listed) if each.get("type") != "null"]
        if len(rest) == 1:
            return {**rest[0], **{key: item for key, item in schema.items() if key != "anyOf"}}
    if isinstance(schema.get("enum"), list) and None in schema["enum"]:
        return {**schema, "enum": [each for each in schema["enum"] if each is not None]}
    return schema


def _defaults(properties: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    return {name: each["default"] for name, each in properties.items() if "default" in each}


def _told(violation: Violation) -> str:
    if violation.got.startswith(("the ", "true", "false")) and sensitive(violation.path):
        violation = Violation(
            violation.path, violation.expected, "a value that is not shown", violation.keyword
        )
    return explain([violation])


def _bytes(value: Any) -> bytes:
    data = msgspec.json.encode(value)
    return data if isinstance(value, (str, int)) else integral(data) or data


def _is_email(text: Any) -> bool:
    local, at, host = str(text).rpartition("@")
    return bool(local and at and host) and not any(each.isspace() for each in str(text))


def _is_uri(text: Any) -> bool:
    try:
        return bool(urlsplit(str(text)).scheme) and not any(each.isspace() for each in str(text))
    except ValueError:
        return False


def _reads_as(kind: Any) -> Callable[[Any], bool]:
    def check(text: Any) -> bool:
        try:
            msgspec.convert(text, kind)
        except msgspec.ValidationError:
            return False
        return True

    return check


_FORMATS: Final[dict[str, Callable[[Any], bool]]] = {
    "email": _is_email,
    "uri": _is_uri,
    "date": _reads_as(datetime.date),
    "date-time": _reads_as(datetime.datetime),
}
