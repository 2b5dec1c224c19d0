"""A call's arguments: from bytes into the author's types, and what to say when they do not fit.

Theory of operation. All input parameters become the fields of one Struct type, read by one decoder straight
from the bytes, and one JSON Schema that is derived from the same annotations. That is the whole of a good
call.

The decoder enforces what the schema says, but for marks on fields of classes whose maker does not know them: where
there are some, a call has to fit the schema as well.

A call that does not fit is read again, slowly. Numbers such as 1.0 count as integers, as JSON Schema wants it. If
leniency is asked for, texts are read as the JSON that they hold where they do not fit as they are
(``leniency``), and pydantic's own leniency comes last. Then every problem is looked up, in the schema first, and in
each argument's own decoder for what a schema cannot say (a date that does not exist, a rule in ``__post_init__``),
and told in one line: where, what was expected, what came. Values that may be secret are never repeated.

Specification: server/tools, "Tool" and "Error Handling"; 2026-07-28 basic/transports/streamable-http, "Schema
Extension".
"""

from __future__ import annotations

import collections.abc
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, cast, get_origin

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from ..protocol.codec import DECODE_ERRORS
from ..protocol.errors import DovetailError
from ..protocol.schema.validator import (
    HeaderParameter,
    InvalidHeaderAnnotation,
    SchemaError,
    Validator,
    compile_schema,
    explain,
    header_parameters,
)
from ..protocol.schema.violations import Violation, one_of, path_text, summary, taken_as
from . import describing, hints, inputs, native, pydantic_models
from .defaults import fits
from .pydantic_models import Adapted
from .signature import MISSING, Parameter, Plan
from .withheld import redacted, sensitive

__all__ = ["ArgumentsPlan", "BadArguments", "integral", "nearest", "owner"]

_MAX_LINES: Final = 10
_MAX_TEXT: Final = 300
_UNBOUNDED: Final = {"default", "description", "type"}
"""What a schema says of values that are of its type, and of no more."""
_PLACE: Final = re.compile(r" - at `(?:key` in `)?\$(.*?)`$", re.DOTALL)
#: What to write, where the decoder only says that something is not valid.
_EXPECTED: Final = {
    "Invalid RFC3339 encoded date": "expected a date such as 2024-01-31 (RFC 3339)",
    "Invalid RFC3339 encoded datetime": "expected a date and time such as 2024-01-31T12:00:00Z (RFC 3339)",
    "Invalid RFC3339 encoded time": "expected a time such as 12:00:00 (RFC 3339)",
    "Invalid ISO8601 duration": "expected a duration such as PT1H30M (ISO 8601)",
    "Invalid UUID": "expected a UUID such as 123e4567-e89b-12d3-a456-426614174000",
    "Invalid decimal string": "expected a decimal number such as 12.50",
    "Invalid base64 encoded string": "expected Base64",
}


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
        "_judged",
        "_kinds",
        "_made",
        "_secret",
        "_strict",
        "_struct",
        "_validator",
        "_values",
        "headers",
        "names",
        "schema",
    )

    def __init__(self, plan: Plan, *, schema: dict[str, Any] | None = None, strict: bool = True) -> None:
        """Raises `RegistrationError`. ``schema`` replaces the derived one; the one input is then a dict. ``strict``:
        no text is taken for what it holds.
        """
        self.names = tuple(each.name for each in plan.inputs)
        self._strict = strict
        self._kinds: list[Any] = []
        self._made: dict[int, Callable[[Any], Any]] = {}
        self._secret: frozenset[str] = frozenset()
        self._struct: Any = None
        self._judged = False
        self._decode: Callable[[bytes | Raw], Any]
        self._values: Callable[[Any], tuple[Any, ...]]
        if schema is None:
            given = self._of_types(plan)
            self._decode, self._values = self._reader(), self._values_of_types()
        else:
            given = ()
            self._decode, self._values = self._of_schema(plan, schema), tuple
        self._adapted = tuple(
            (index, kind) for index, kind in enumerate(self._kinds) if isinstance(kind, Adapted)
        )
        try:
            self.headers: tuple[HeaderParameter, ...] = header_parameters(self.schema)
            self._validator: Validator = compile_schema(self.schema)
        except (InvalidHeaderAnnotation, SchemaError) as problem:
            raise plan.refuse(str(problem)) from problem
        self._refuse_shown_secrets(plan)
        self._check_defaults(plan, given)

    def _refuse_shown_secrets(self, plan: Plan) -> None:
        """Refuse a secret that clients would repeat in a header, where routers and logs see it. Raises
        `RegistrationError`.
        """
        for header in self.headers:
            member: Any = self.schema
            for name in header.path:
                member = member["properties"][name]
            if member.get("writeOnly") is True:
                raise plan.refuse(
                    f"{'.'.join(header.path)!r} is a Secret, and its Header would show it to whatever stands between"
                    " client and server; leave one of the two out",
                    header.path[0],
                )

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

    def _of_types(self, plan: Plan) -> tuple[Parameter, ...]:
        """Work out what reads the inputs, and the schema; gives the inputs, those with ``= None`` as optional."""
        fields: list[Any] = []
        given: list[Parameter] = []
        for each in plan.inputs:
            parameter = replace(each, annotation=inputs.accepted(each.annotation, each.default))
            kind = inputs.reader(plan, parameter)
            given.append(parameter)
            self._kinds.append(kind)
            fields.append(inputs.struct_field(len(fields), parameter, self._read_as(parameter, kind)))
        described, definitions = describing.describe(self._kinds, output=False)
        properties: dict[str, Any] = {}
        for parameter, kind, schema in zip(given, self._kinds, described, strict=True):
            properties[parameter.name] = inputs.property_of(parameter, kind, schema)
        self._secret = frozenset(name for name, each in properties.items() if each.get("writeOnly"))
        self._judged = any(map(inputs.unenforced, self._kinds))
        self.schema: dict[str, Any] = {"type": "object", "properties": properties}
        if required := [each.name for each in given if each.required]:
            self.schema["required"] = required
        self.schema["additionalProperties"] = False
        if definitions:
            self.schema["$defs"] = definitions
        self._struct = msgspec.defstruct(
            f"{plan.name}_arguments",
            fields,
            rename={f"field{index}": name for index, name in enumerate(self.names)},
            kw_only=True,
            forbid_unknown_fields=True,
            gc=False,
        )
        return tuple(given)

    def _read_as(self, parameter: Parameter, kind: Any) -> Any:
        """What the Struct reads for a parameter; its values are `_made` of that where it is another type."""
        if isinstance(kind, Adapted):
            return Raw
        prepared = native.prepare(kind)
        if parameter.required or parameter.default is None:  # others may have such objects in their defaults
            found = native.twin(prepared)
            if found is not None:
                prepared, self._made[len(self._kinds) - 1] = found
        return prepared

    def _reader(self) -> Callable[[bytes | Raw], Any]:
        decode = native.decoder(self._struct, strict=True).decode
        if not self._judged:
            return decode
        any_json = msgspec.json.Decoder().decode

        def judged(raw: bytes | Raw) -> Any:
            if not self._validator.is_valid(any_json(raw), size=len(memoryview(raw))):
                raise msgspec.ValidationError("the arguments do not fit the schema")
            return decode(raw)

        return judged

    def _values_of_types(self) -> Callable[[Any], tuple[Any, ...]]:
        """What takes the values out of the Struct that was read, whole."""
        made = tuple(self._made.items())
        complete = native.completion(
            [
                None if isinstance(each, Adapted) or place in self._made else each
                for place, each in enumerate(self._kinds)
            ]
        )
        if complete is None and not made:
            return msgspec.structs.astuple

        def values(read: Any) -> tuple[Any, ...]:
            found = msgspec.structs.astuple(read)
            if made:
                given = list(found)
                for place, convert in made:
                    given[place] = convert(given[place])
                found = tuple(given)
            if complete is not None:
                complete(found)
            return found

        return values

    def _check_defaults(self, plan: Plan, given: Sequence[Parameter]) -> None:
        """Refuse a default that is no value of its parameter. Raises `RegistrationError`."""
        plain: dict[str, Any] = {}
        for parameter, kind in zip(given, self._kinds, strict=False):
            default = parameter.default
            if (
                default is MISSING or default is None
            ):  # None where it does not fit is `x: str = None`; no bound holds it
                continue
            if not fits(default, parameter.annotation):
                raise plan.refuse(inputs.no_default(parameter, ""), parameter.name)
            bounded = not self.schema["properties"][parameter.name].keys() <= _UNBOUNDED
            if (
                bounded
                and (said := inputs.comparable(kind, default)) is not MISSING
                and not _reads(kind, said)
            ):
                plain[parameter.name] = said
        wrong = {place[0] for place, _ in self._validator.misfits(plain) if place} if plain else ()
        for parameter in given:
            if parameter.name in wrong:
                alone: dict[str, Any] = {**self.schema, "required": []}
                violations = compile_schema(alone).check({parameter.name: plain[parameter.name]})
                raise plan.refuse(inputs.no_default(parameter, violations[0].expected), parameter.name)

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

    def _adapt(self, values: tuple[Any, ...], *, strict: bool = True) -> tuple[Any, ...]:
        out = list(values)
        for index, kind in self._adapted:
            if isinstance(out[index], Raw):
                out[index] = kind.read_strictly(out[index]) if strict else kind.read(out[index])
        return tuple(out)

    def _again(self, raw: bytes | Raw | None) -> tuple[Any, ...]:
        """The second reading: integral floats are integers, and texts what they hold, if that is asked for.

        Raises `BadArguments` with everything that is wrong.
        """
        data = bytes(raw) if raw is not None else b""
        if not data.strip() or (data.strip() == b"null" and not self._strict):
            return self.decode(b"{}")  # some clients write null for no arguments
        for better in (integral(data), None if self._strict else self._mended(data)):
            if better is not None:
                data = better
                try:
                    values = self._values(self._decode(data))
                    return self._adapt(values) if self._adapted else values
                except DECODE_ERRORS:
                    continue
        if not (self._strict or self._judged or self._struct is None):
            try:
                values = self._values(native.decoder(self._struct).decode(data))
                return self._adapt(values, strict=False)
            except DECODE_ERRORS:
                pass
        raise BadArguments(self._problems(data))

    def _mended(self, data: bytes) -> bytes | None:
        """The same arguments, texts that do not fit read as what they hold; None where there are none."""
        try:
            from .leniency import mended  # for arguments that do not fit alone

            tree = mended(msgspec.json.decode(data), self._validator)
        except DECODE_ERRORS:
            return None
        if tree is None:
            return None
        better = msgspec.json.encode(tree)
        return integral(better) or better

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
            return f"{path}: no such argument; {nearest(unknown or path, properties)}"
        if violation.keyword == "required":
            return (
                f"{path}: required but missing; expected {self._wanted_at(path, name)}{taken_as(violation)}"
            )
        hide = sensitive(path) or name in self._secret
        if hide and violation.got.startswith(("the ", "true", "false")):
            violation = replace(violation, got="a value that is not shown")
        return explain([violation])

    def _wanted_at(self, path: str, name: str | None) -> str:
        """What belongs where something is missing, in words. ``name``: the argument that the path begins with."""
        if name is None:
            return "a value"
        from .schema_places import schemas_at  # for what went wrong

        below = path[len(path_text([name])) :]
        return _wanted(list(schemas_at(self.schema, self.schema["properties"][name], below)))

    def _misread(self, arguments: dict[str, Any], faulty: set[str]) -> Iterator[str]:
        """What is wrong with the arguments in which the schema sees nothing wrong."""
        for name, kind in zip(self.names, self._kinds, strict=True):
            if name not in arguments or name in faulty:
                continue
            data = msgspec.json.encode(arguments[name])
            try:
                self._read_one(kind, integral(data) or data)
            except DECODE_ERRORS as problem:
                hide = name in self._secret
                for place, text in _causes(name, problem):
                    shown = "not acceptable" if hide or sensitive(place) else redacted(text, arguments[name])
                    yield f"{place}: {_clip(shown, _MAX_TEXT)}"

    def _read_one(self, kind: Any, data: bytes) -> Any:
        """One argument by its own type."""
        if not isinstance(kind, Adapted):
            return native.decoder(native.prepare(kind), strict=self._strict).decode(data)
        return kind.read_strictly(data) if self._strict else kind.read(data)


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


def _reads(kind: Any, plain: Any) -> bool:
    """Whether what reads the type takes this value, and enforces all that the schema says of it.

    Then nothing is left to look up in the schema, whose validator takes ten milliseconds to load.
    """
    if isinstance(kind, Adapted) or inputs.unenforced(kind):
        return False
    try:
        native.decoder(native.prepare(kind), strict=True).decode(msgspec.json.encode(plain))
    except DECODE_ERRORS:
        return False
    return True


def _takes_dict(annotation: Any) -> bool:
    plain = hints.without_markers(annotation)
    return plain is Any or plain is dict or get_origin(plain) in (dict, *_MAPPINGS)


_MAPPINGS: Final = (collections.abc.Mapping, collections.abc.MutableMapping)


def _causes(name: str, problem: BaseException) -> Iterator[tuple[str, str]]:
    text = str(problem)
    place = _PLACE.search(text)
    where = name + (place[1].replace("[...]", "[]") if place else "")
    listed = pydantic_models.problems(problem) or pydantic_models.problems(problem.__cause__)
    if not listed:
        told = text[: place.start()] if place else text
        yield where, _EXPECTED.get(told, told)
    for steps, message in listed[:_MAX_LINES]:
        yield where + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps), message


def owner(path: str, names: Iterable[str]) -> str | None:
    """Which of some names the path of a violation starts with."""
    for name in names:
        start = path_text([name])
        if path == start or path.startswith((start + ".", start + "[")):
            return name
    return None


def nearest(name: str, known: Collection[str], *, of: str = "tool") -> str:
    """What is said beside an argument that there is not: what it may have meant, of those that a tool or prompt has."""
    if not known:
        return f"the {of} takes no arguments"
    import difflib  # for what went wrong

    close = difflib.get_close_matches(name[:100], list(known), n=1, cutoff=0.5)
    if close:
        return f'did you mean "{close[0]}"?'
    return "known are " + _clip(", ".join(known), _MAX_TEXT)


def _wanted(schemas: Sequence[Mapping[str, Any]]) -> str:
    """What one of these schemas asks for, in words: the values, where each has few, such as the tags of a union."""
    if schemas and all("enum" in each or "const" in each for each in schemas):
        values = [value for each in schemas for value in each.get("enum", [each.get("const")])]
        return one_of(list({msgspec.json.encode(value): value for value in values}.values()))
    found = {_of_type(each) for each in schemas}
    return found.pop() if len(found) == 1 else "a value"


def _of_type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, str):
        return f"a value of type {kind}" + (
            f" in the format {schema['format']}" if "format" in schema else ""
        )
    return "a value"


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
