"""Data that an author's function returns: from the value to JSON, and the schema that says what it looks like.

Theory of operation. Tools, resources, prompts and methods of an app's own return data in the same ways, so they share
this: plain values, dataclasses, Structs, TypedDicts, attrs classes, pydantic models, and dates, paths, URLs and
enumerations inside of any. What the annotation says is described in JSON Schema when the function is registered, and
a type that can't be is refused there, with file and line. Each value is then written as plain JSON values and checked
against that schema: what breaks the promise of its annotation is an error of the author's, never sent.

Specification: server/tools, "Output Schema".
"""

from __future__ import annotations

import collections.abc
from collections.abc import Callable
from typing import Any, Final, TypeVar, Union, cast, get_origin

import msgspec

from ..protocol import codec
from ..protocol.errors import DovetailError, ToolError
from ..protocol.json_size import json_size
from ..protocol.schema.validator import SchemaError, Validator, compile_schema, explain
from ..protocol.types.content import BLOCKS
from . import describing, hints, native, pydantic_models
from .media import Audio, File, Image
from .pydantic_models import Adapted
from .signature import MISSING, Plan

__all__ = [
    "MAX_ANSWER",
    "MEDIA",
    "AnswerTooLarge",
    "DataPlan",
    "OutputMismatch",
    "check_returns",
    "check_size",
    "data_in",
    "encode",
    "is_list",
    "may_be_none",
    "promises",
]

T = TypeVar("T")
MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes that an answer may have, about: what clients take of one message."""
MEDIA: Final = (Image, Audio, File)

encode: Final = msgspec.json.Encoder(enc_hook=native.encode_hook).encode
#: Types whose every value is JSON, and fits a schema that says no more than this.
_WHOLLY_SAID: Final = {"integer": int, "boolean": bool}
_YIELDING: Final = frozenset(
    {
        collections.abc.AsyncGenerator,
        collections.abc.AsyncIterable,
        collections.abc.AsyncIterator,
        collections.abc.Generator,
        collections.abc.Iterator,
    }
)
_TO_AWAIT: Final = frozenset({collections.abc.Awaitable, collections.abc.Coroutine})
#: Packages of other libraries, and of our own client, whose results and blocks look like ours and are not.
_FOREIGN: Final = ("fastmcp", "mcp", "dovetail.client")
_MEANT: Final = {
    "ToolResult": "dovetail.CallToolResult(content=[...], structured_content=...)",
    "Message": "dovetail.PromptMessage, or user(...) and assistant(...)",
    "UserMessage": "dovetail.user(...)",
    "AssistantMessage": "dovetail.assistant(...)",
    "PromptResult": "dovetail.GetPromptResult",
    "ResourceResult": "dovetail.ReadResourceResult",
    "ResourceContent": "dovetail.ResourceContents",
    "TextResourceContents": "dovetail.ResourceContents",
    "BlobResourceContents": "dovetail.ResourceContents",
}
_OURS: Final = frozenset(
    {
        *(each.__name__ for each in (*BLOCKS, Audio, File, Image)),
        *("CallToolResult", "GetPromptResult", "PromptMessage", "ReadResourceResult"),
    }
)


class OutputMismatch(DovetailError):
    """A function's result is not what its annotation or output schema promises, or no JSON: mend one of the two.

    It is for the author: in the log, and for middleware. The caller only hears that the call failed.
    """


class AnswerTooLarge(ToolError):
    """What a function returned is larger than an answer may be (``most``, in bytes): give it in pages, or as a
    resource.
    """

    def __init__(self, most: int) -> None:
        super().__init__(
            f"the answer would have more than {most} bytes, and none is sent that large; ask for less at once"
        )


def check_size(value: Any, most: int = MAX_ANSWER) -> None:
    """Raise `AnswerTooLarge` for a value whose JSON would have more than ``most`` bytes, about.

    What a function returns may be far smaller than what it says: a list that holds one long text ten thousand times.
    msgspec's encoder ends the process where it finds no memory, so it is not left to that.
    """
    if json_size(value, most) > most:
        raise AnswerTooLarge(most)


class DataPlan:
    """How the data that one function returns is described and written.

    ``schema``: what its annotation promises, None where it promises nothing. ``wraps``: the schema's root is not of
    type object.
    """

    __slots__ = ("_adapted", "_fitting", "_name", "_validator", "schema", "wraps")

    def __init__(self, plan: Plan) -> None:
        self._name = plan.name
        self._adapted: Adapted | None = None
        self._validator: Validator | None = None
        self._fitting: type | None = None
        self.schema: dict[str, Any] | None = None
        self.wraps = False

    def _promise(self, plan: Plan, annotation: Any) -> None:
        """Derive the schema from an annotation. Raises `RegistrationError` where there is none."""
        self.schema = self._derive(plan, annotation)

    def _compile(self, plan: Plan, what: str) -> None:
        """Make ready to check values against the schema. Raises `RegistrationError`."""
        if self.schema is None:
            return
        self.wraps = self.schema.get("type") != "object"
        try:
            compiled = compile_schema(self.schema)
        except SchemaError as problem:
            raise plan.refuse(f"{what}: {problem}") from problem
        plain = self.schema.keys() <= {"type", "description"}
        if self.wraps or not plain:
            self._validator = compiled
        if plain and self._adapted is None:
            self._fitting = _WHOLLY_SAID.get(str(self.schema.get("type")))

    def _derive(self, plan: Plan, annotation: Any) -> dict[str, Any]:
        problem: Exception | None = None
        if not pydantic_models.only_pydantic(annotation):
            try:
                described, definitions = describing.describe([annotation], output=True)
                return describing.inlined(described[0], definitions)
            except Exception as failure:  # noqa: BLE001 - pydantic may still serve what msgspec does not
                problem = failure
        self._adapted = pydantic_models.adapt(annotation)
        try:
            if self._adapted is not None:
                described, definitions = describing.describe([self._adapted], output=True)
                return describing.inlined(described[0], definitions)
        except Exception as failure:  # noqa: BLE001 - told below
            problem = failure
        reason = " ".join(str(problem).split())[:300]
        raise plan.refuse(
            f"results of type {annotation!r:.120} cannot be described in JSON Schema ({reason});"
            " return a dataclass, a TypedDict, plain types or str, or annotate `-> Any` to promise nothing"
        ) from problem

    def _written(self, value: Any) -> str:
        """A value as JSON text, checked. Raises `OutputMismatch`."""
        plain = self._plain(value)
        text = self._json(plain)
        if self.schema is not None:
            self._check(plain, 4 * len(text))  # bytes of a character, at most
        return text

    def _plain(self, value: Any) -> Any:
        """A value as plain JSON values. Raises `OutputMismatch` and `AnswerTooLarge`."""
        try:
            plain = native.to_plain(value) if self._adapted is None else self._adapted.plain(value)
            check_size(plain, MAX_ANSWER // 2)  # tools send it twice, and as JSON in a text it grows
        except AnswerTooLarge:
            raise
        except Exception as problem:
            self._refuse_foreign(value)
            raise OutputMismatch(
                f"{self._name}() returned a value that cannot be written as JSON: {problem}"
            ) from problem
        return plain

    def _json(self, plain: Any) -> str:
        try:
            written = encode(plain)
        except Exception as problem:
            raise OutputMismatch(
                f"{self._name}() returned a value that cannot be written as JSON: {problem}"
            ) from problem
        self._refuse_no_number(plain, written)
        return written.decode()

    def _refuse_no_number(self, plain: Any, written: bytes) -> None:
        """Raise `OutputMismatch` for NaN and the infinities, which the encoder writes as null."""
        if (told := codec.no_number_in(plain, written)) is not None:
            raise OutputMismatch(
                f"{self._name}() returned a number that JSON does not have: {told}; return None or a text in its place"
            )

    def _check(self, plain: Any, size: int | None = None) -> None:
        if self._validator is None:
            if type(plain) is dict:
                return
            told = f"expected an object, got {type(plain).__name__}"
        elif self._validator.is_valid(plain, size=size):
            return
        else:
            told = explain(self._validator.check(plain, size=size))
        raise OutputMismatch(f"{self._name}() returned a value that does not fit its output schema:\n{told}")

    def _medium(self, value: Image | Audio | File) -> Any:
        try:
            return value.block()
        except (OSError, ValueError) as problem:
            raise OutputMismatch(f"{self._name}() returned media that cannot be read: {problem}") from problem

    def _sendable(self, built: T) -> T:
        """What the author built, whose members nobody has looked at yet: it has to read as it is written, and not to be
        too large.
        """
        check_size(built)
        try:
            written = codec.encode(built)
            codec.reader(type(built)).read(written)
        except Exception as problem:
            raise OutputMismatch(
                f"{self._name}() returned a {type(built).__name__} that cannot be sent: {problem}"
            ) from problem
        self._refuse_no_number(getattr(built, "structured_content", None), written)
        return built

    def _refuse_foreign(self, value: object) -> None:
        """Raise `OutputMismatch` for a value that looks like one of ours and is another library's."""
        if type(value).__module__ != "builtins" and (meant := _meant(type(value))) is not None:
            raise OutputMismatch(f"{self._name}() returned a {_full(type(value))}; {meant}")


def promises(annotation: Any) -> bool:
    """Whether an annotation says anything about the result."""
    return hints.without_markers(annotation) not in (MISSING, Any, object)


def is_list(value: Any) -> bool:
    """Whether a value is a list or tuple of things; a named tuple is one thing."""
    return isinstance(value, (list, tuple)) and not hasattr(cast("object", value), "_fields")


def may_be_none(annotation: Any) -> bool:
    """Whether None is among what an annotation allows."""
    return not promises(annotation) or any(
        hints.without_markers(each) in (None, type(None))
        for each in hints.union_members(hints.without_markers(annotation))
    )


def data_in(annotation: Any, is_shown: Callable[[Any], bool]) -> Any:
    """The part of an annotation that is data: a union without the members that go out in other ways. MISSING if no
    member is data.
    """
    members = hints.union_members(hints.without_markers(annotation))
    data = tuple(each for each in members if not is_shown(each))
    if not data:
        return MISSING
    return annotation if len(data) == len(members) else Union[data]  # noqa: UP007 - computed


def check_returns(plan: Plan, what: str) -> None:
    """Refuse a function whose results nothing here can serve, whatever they hold. ``what`` it is: "a tool".

    Raises `RegistrationError`.
    """
    if plan.flavor in ("generator", "async generator"):
        raise plan.refuse(
            f"is a generator, and {what} gives its result once, at its end: collect what it yields and return a list"
            " (to tell how far the work is: `await ctx.progress(...)`)"
        )
    if plan.returns is MISSING:
        return
    for part in hints.leaves(plan.returns):
        if (meant := _meant(part)) is not None:
            raise plan.refuse(f"returns a {_full(part)}; {meant}")
    for member in hints.union_members(hints.without_markers(plan.returns)):
        kind = hints.without_markers(member)
        origin = get_origin(kind) or kind
        if not isinstance(origin, type):
            continue
        if origin in _YIELDING:
            raise plan.refuse(
                f"returns something to iterate over, {kind!r:.120}, and {what} gives its result whole:"
                " return a list, and annotate `-> list[...]`"
            )
        if origin in _TO_AWAIT:
            raise plan.refuse(
                f"says that it returns something to await, {kind!r:.120}: write `async def`, and annotate what it gives"
            )


def _meant(kind: Any) -> str | None:
    """What to write in place of a type that another library, or our client, has for the same thing."""
    if not isinstance(kind, type):
        return None
    module = kind.__module__ if isinstance(kind.__module__, str) else ""  # pyright: ignore[reportUnnecessaryIsInstance] - classes may lie
    if not any(module == each or module.startswith(each + ".") for each in _FOREIGN):
        return None
    name = kind.__name__
    if name in _MEANT:
        return f"write {_MEANT[name]}"
    return f"write dovetail.{name}" if name in _OURS else None


def _full(kind: type) -> str:
    return f"{kind.__module__.partition('.')[0]} {kind.__name__}" if kind.__module__ else kind.__name__
