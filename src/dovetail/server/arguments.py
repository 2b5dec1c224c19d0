"""A call's arguments: from bytes into the author's types, and what to say when they do not fit.

Theory of operation. All input parameters become the fields of one Struct type, read by one decoder straight
from the bytes, and one JSON Schema that is derived from the same annotations. That is the whole of a good
call.

A call that does not fit is read again, slowly. Numbers such as 1.0 count as integers, as JSON Schema wants
it; nothing else is forgiven. Then every problem is looked up, in the schema first, and in each argument's own
decoder for what a schema cannot say (a date that does not exist, a rule in ``__post_init__``), and told in
one line: where, what was expected, what came. Values that may be secret are never repeated.

Specification: server/tools, "Tool" and "Error Handling"; 2026-07-28 basic/transports/streamable-http, "Schema
Extension".
"""

from __future__ import annotations

import collections.abc
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, cast, get_origin

import msgspec
from msgspec import Raw

from ..protocol.codec import DECODE_ERRORS
from ..protocol.errors import DovetailError
from ..protocol.schema import (
    HeaderParameter,
    InvalidHeaderAnnotation,
    SchemaError,
    Validator,
    compile_schema,
    explain,
    header_parameters,
)
from ..protocol.violations import Violation, path_text, summary
from . import hints, native, pydantic_models
from .pydantic_models import Adapted
from .signature import MISSING, Parameter, Plan

__all__ = ["ArgumentsPlan", "BadArguments", "integral", "owner", "redacted", "sensitive"]

_MAX_LINES: Final = 10
_MAX_TEXT: Final = 300
_PLACE: Final = re.compile(r" - at `(?:key` in `)?\$(.*?)`$", re.DOTALL)
_SENSITIVE: Final = re.compile(
    r"(?i:passw|passphrase|pwd|secret|token|credential|apikey)|(?<![A-Za-z])(?i:key)(?![a-z])|[a-z]Key(?![a-z])"
)


class BadArguments(DovetailError):
    """The arguments do not fit the tool.

    The text, one line for each problem, is for the model that sent them.
    """

    retry_safe = True

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


class ArgumentsPlan:
    """How a function's arguments are described and read.

    ``schema``: the input schema, of type object. ``headers``: the parameters that are repeated in HTTP
    headers. ``names``: the names of the arguments, in the order of the values that `decode` gives.
    """

    __slots__ = (
        "_adapted",
        "_decode",
        "_kinds",
        "_secret",
        "_validator",
        "_values",
        "headers",
        "names",
        "schema",
    )

    def __init__(self, plan: Plan, *, schema: dict[str, Any] | None = None) -> None:
        """Raises `RegistrationError`. ``schema`` replaces the derived one; the one input is then a dict."""
        self.names = tuple(each.name for each in plan.inputs)
        self._kinds: list[Any] = []
        self._secret: frozenset[str] = frozenset()
        self._decode: Callable[[bytes | Raw], Any]
        self._values: Callable[[Any], tuple[Any, ...]]
        if schema is None:
            self._decode, self._values = self._of_types(plan), msgspec.structs.astuple
        else:
            self._decode, self._values = self._of_schema(plan, schema), tuple
        self._adapted = tuple(
            (index, kind.read) for index, kind in enumerate(self._kinds) if isinstance(kind, Adapted)
        )
        try:
            self.headers: tuple[HeaderParameter, ...] = header_parameters(self.schema)
            self._validator: Validator = compile_schema(self.schema)
        except (InvalidHeaderAnnotation, SchemaError) as problem:
            raise plan.refuse(str(problem)) from problem

    def decode(self, raw: bytes | Raw | None) -> tuple[Any, ...]:
        """The values of the arguments in the order of `names`, defaults filled in. Raises `BadArguments`."""
        try:
            values = self._values(self._decode(b"{}" if raw is None else raw))
            return self._adapt(values) if self._adapted else values
        except DECODE_ERRORS:
            return self._again(raw)

    def named(self, raw: bytes | Raw | None) -> dict[str, Any]:
        """As `decode`, by name."""
        return dict(zip(self.names, self.decode(raw), strict=True))

    def _of_types(self, plan: Plan) -> Callable[[bytes | Raw], Any]:
        fields: list[Any] = []
        subjects: list[Any] = []
        inputs: list[Parameter] = []
        for each in plan.inputs:
            annotation, default = pydantic_models.split_default(each.annotation, each.default, MISSING)
            parameter = Parameter(each.name, annotation, default, each.description)
            kind = _kind(plan, parameter)
            inputs.append(parameter)
            subjects.append(kind)
            self._kinds.append(kind)
            fields.append(_field(len(fields), parameter, Raw if isinstance(kind, Adapted) else kind))
        described, definitions = native.describe(subjects, output=False)
        properties: dict[str, Any] = {}
        for parameter, kind, schema in zip(inputs, self._kinds, described, strict=True):
            properties[parameter.name] = _property(parameter, kind, schema)
        self._secret = frozenset(name for name, each in properties.items() if each.get("writeOnly"))
        self.schema: dict[str, Any] = {"type": "object", "properties": properties}
        if required := [each.name for each in inputs if each.required]:
            self.schema["required"] = required
        self.schema["additionalProperties"] = False
        if definitions:
            self.schema["$defs"] = definitions
        struct = msgspec.defstruct(
            f"{plan.name}_arguments",
            fields,
            rename={f"field{index}": name for index, name in enumerate(self.names)},
            kw_only=True,
            forbid_unknown_fields=True,
            gc=False,
        )
        return native.decoder(struct).decode

    def _of_schema(self, plan: Plan, schema: dict[str, Any]) -> Callable[[bytes | Raw], tuple[Any, ...]]:
        if not isinstance(schema, dict) or schema.get("type") != "object":  # pyright: ignore[reportUnnecessaryIsInstance] - authors' code is not always checked
            raise plan.refuse('an input schema needs "type": "object" at its root')
        if len(plan.inputs) != 1 or not _takes_dict(plan.inputs[0].annotation):
            raise plan.refuse(
                "with an explicit input schema the function takes one input, a dict:"
                " `arguments: dict[str, Any]` (injected parameters do not count)"
            )
        self.schema = schema
        decode = msgspec.json.Decoder(dict[str, Any]).decode

        def read(raw: bytes | Raw) -> tuple[Any, ...]:
            value = decode(raw)
            if not self._validator.is_valid(value):
                raise msgspec.ValidationError("the arguments do not fit the schema")
            return (value,)

        return read

    def _adapt(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        out = list(values)
        for index, read in self._adapted:
            if isinstance(out[index], Raw):
                out[index] = read(out[index])
        return tuple(out)

    def _again(self, raw: bytes | Raw | None) -> tuple[Any, ...]:
        """The second reading: integral floats are integers.

        Raises `BadArguments` with everything that is wrong.
        """
        data = bytes(raw) if raw is not None else b""
        if not data.strip():
            return self.decode(b"{}")
        if integers := integral(data):
            try:
                values = self._values(self._decode(integers))
                return self._adapt(values) if self._adapted else values
            except DECODE_ERRORS:
                pass
        raise BadArguments(self._problems(data))

    def _problems(self, data: bytes) -> list[str]:
        try:
            tree = msgspec.json.decode(data)
        except DECODE_ERRORS as problem:
            return [f"(the arguments): cannot be read: {_clip(str(problem), _MAX_TEXT)}"]
        if not isinstance(tree, dict):
            return [f"(the arguments): expected an object, got {summary(cast('object', tree), hide=True)}"]
        arguments = cast("dict[str, Any]", tree)
        lines: list[str] = []
        faulty: set[str] = set()
        for violation in self._validator.check(arguments):
            faulty.add(owner(violation.path, self.names) or "")
            lines.append(self._told(violation, arguments))
        if self._kinds:
            lines += self._misread(arguments, faulty)
        return lines[:_MAX_LINES] or ["(the arguments): do not fit the input schema of the tool"]

    def _told(self, violation: Violation, arguments: dict[str, Any]) -> str:
        path = violation.path
        properties = cast("dict[str, Any]", self.schema.get("properties") or {})
        name = owner(path, properties)
        if violation.keyword == "additionalProperties" and name is None:
            unknown = owner(
                path, islice((each for each in arguments if each not in properties), _MAX_LINES * 2)
            )
            return f"{path}: no such argument; {_nearest(unknown or path, properties)}"
        if violation.keyword == "required":
            wanted = (
                _wanted(properties[name]) if name is not None and path == path_text([name]) else "a value"
            )
            return f"{path}: required but missing; expected {wanted}"
        hide = sensitive(path) or name in self._secret
        if hide and violation.got.startswith(("the ", "true", "false")):
            violation = Violation(path, violation.expected, "a value that is not shown", violation.keyword)
        return explain([violation])

    def _misread(self, arguments: dict[str, Any], faulty: set[str]) -> Iterator[str]:
        """What is wrong with the arguments in which the schema sees nothing wrong."""
        for name, kind in zip(self.names, self._kinds, strict=True):
            if name not in arguments or name in faulty:
                continue
            data = msgspec.json.encode(arguments[name])
            read = kind.read if isinstance(kind, Adapted) else native.decoder(kind).decode
            try:
                read(integral(data) or data)
            except DECODE_ERRORS as problem:
                hide = name in self._secret
                for place, text in _causes(name, problem):
                    shown = "not acceptable" if hide or sensitive(place) else redacted(text, arguments[name])
                    yield f"{place}: {_clip(shown, _MAX_TEXT)}"


def integral(data: bytes) -> bytes | None:
    """The same JSON with numbers like 1.0 and 1e3 written as integers.

    None where there are none, or it is no JSON.
    """
    found = False

    def number(text: str) -> float | int:
        nonlocal found
        value = float(text)
        if value - value != 0.0:
            raise ValueError("the number is out of range")
        if value.is_integer() and abs(value) < 2**63:
            found = True
            return int(value)
        return value

    try:
        tree = msgspec.json.Decoder(float_hook=number).decode(data)
        return msgspec.json.encode(tree) if found else None
    except (*DECODE_ERRORS, OverflowError):
        return None


def sensitive(path: str) -> bool:
    """Whether a path passes something whose name suggests a secret."""
    return _SENSITIVE.search(path) is not None


def redacted(text: str, value: Any) -> str:
    """A text without those parts of a value that may be secret, wherever it repeats them."""
    stack: list[tuple[bool, Any]] = [(False, value)]
    while stack:
        hide, node = stack.pop()
        if isinstance(node, dict):
            for name, item in cast("dict[str, Any]", node).items():
                stack.append((hide or sensitive(name), item))
        elif isinstance(node, list):
            stack.extend((hide, item) for item in cast("list[Any]", node))
        elif hide and node is not None and not isinstance(node, bool) and str(node):
            text = text.replace(str(node), "(not shown)")
    return text


def _kind(plan: Plan, parameter: Parameter) -> Any:
    """What reads a parameter: a type prepared for msgspec, or pydantic's adapter.

    Raises `RegistrationError`.
    """
    annotation = parameter.annotation
    if pydantic_models.only_pydantic(annotation):
        adapted = pydantic_models.adapt(annotation)
        if adapted is not None:
            return _describable(plan, parameter, adapted)
    try:
        prepared = native.prepare(annotation)
        native.describe([prepared], output=False)
        native.decoder(prepared)
    except Exception as problem:
        adapted = None if isinstance(problem, NameError) else pydantic_models.adapt(annotation)
        if adapted is not None:
            return _describable(plan, parameter, adapted)
        raise plan.refuse(_unreadable(annotation, problem), parameter.name) from problem
    return prepared


def _describable(plan: Plan, parameter: Parameter, adapted: Adapted) -> Adapted:
    try:
        native.describe([adapted], output=False)
    except Exception as problem:
        raise plan.refuse(
            f"has no JSON Schema: {_clip(str(problem), _MAX_TEXT)}", parameter.name
        ) from problem
    return adapted


def _unreadable(annotation: Any, problem: Exception) -> str:
    reason = _clip(" ".join(str(problem).split()), _MAX_TEXT)
    if isinstance(problem, NameError):
        return f"{_clip(repr(annotation), 120)}: {reason} where that type is defined; define both in the module itself"
    advice = "use plain types, a dataclass, a TypedDict or a pydantic model"
    if "more than one" in reason:
        advice = "tell the members of the union apart with tagged msgspec Structs, or use pydantic models"
    return f"arguments of type {_clip(repr(annotation), 120)} cannot be read from JSON ({reason}); {advice}"


def _field(index: int, parameter: Parameter, kind: Any) -> Any:
    """A field of the Struct: numbered, so that no parameter's name means anything to Python's classes."""
    name, default = f"field{index}", parameter.default
    if default is MISSING:
        return (name, kind)
    if default is None or isinstance(default, bool | int | float | str | bytes):
        return (name, kind, default)
    return (name, kind, msgspec.field(default_factory=lambda: default))


def _property(parameter: Parameter, kind: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of one argument, with what the author said about it."""
    text = hints.described(hints.markers_of(parameter.annotation)) or parameter.description
    out = {"description": text} if text else {}
    out.update((key, item) for key, item in schema.items() if key not in ("description", "title", "default"))
    if not text and isinstance(schema.get("description"), str):
        out["description"] = schema["description"]
    if parameter.default is not MISSING and not schema.get("writeOnly") and not sensitive(parameter.name):
        try:
            plain = (
                kind.plain(parameter.default)
                if isinstance(kind, Adapted)
                else native.to_plain(parameter.default)
            )
            data = msgspec.json.encode(plain)
            (kind.read if isinstance(kind, Adapted) else native.decoder(kind).decode)(data)
        except Exception:  # noqa: BLE001 - a default that is no value of the type is the author's, but no part of the schema
            return out
        out["default"] = plain
    return out


def _takes_dict(annotation: Any) -> bool:
    plain = hints.without_markers(annotation)
    return plain is Any or plain is dict or get_origin(plain) in (dict, *_MAPPINGS)


_MAPPINGS: Final = (collections.abc.Mapping, collections.abc.MutableMapping)


def _causes(name: str, problem: BaseException) -> Iterator[tuple[str, str]]:
    text = str(problem)
    place = _PLACE.search(text)
    where = name + (place[1].replace("[...]", "[]") if place else "")
    cause: BaseException | None = problem if pydantic_models.problems(problem) else problem.__cause__
    listed = pydantic_models.problems(cause)
    if not listed:
        yield where, (text[: place.start()] if place else text)
    for steps, message in listed[:_MAX_LINES]:
        yield where + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps), message


def owner(path: str, names: Iterable[str]) -> str | None:
    """Which of some names the path of a violation starts with."""
    for name in names:
        start = path_text([name])
        if path == start or path.startswith((start + ".", start + "[")):
            return name
    return None


def _nearest(name: str, known: dict[str, Any]) -> str:
    if not known:
        return "the tool takes no arguments"
    close = difflib.get_close_matches(name[:100], list(known), n=1, cutoff=0.5)
    if close:
        return f'did you mean "{close[0]}"?'
    return "known are " + _clip(", ".join(known), _MAX_TEXT)


def _wanted(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return _clip("one of " + ", ".join(map(repr, schema["enum"])), _MAX_TEXT)
    kind = schema.get("type")
    if isinstance(kind, str):
        return f"a value of type {kind}" + (
            f" in the format {schema['format']}" if "format" in schema else ""
        )
    return "a value"


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
