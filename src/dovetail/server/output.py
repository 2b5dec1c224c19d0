"""A function's result: from the author's value to a tool result, and the schema that promises it.

Theory of operation. The return annotation decides once, at registration, between three ways. *Content*: text,
content blocks and media go out as they are and promise nothing. *Data*: any other type gives an output
schema, and each value becomes plain JSON, is checked against that schema and sent both as structured content
and as text. *Anything*: without an annotation the value itself decides, and nothing is promised.

A value that breaks the promise is an error of the author's, never sent: `OutputMismatch`.

Specification: server/tools, "Tool Result" and "Output Schema".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Union, cast, get_args, get_origin

import msgspec
from msgspec import UNSET

from ..protocol import codec
from ..protocol.errors import DovetailError
from ..protocol.schema import SchemaError, Validator, compile_schema, explain
from ..protocol.types.content import (
    AudioContent,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    UnknownContent,
)
from ..protocol.types.requests import InputRequired, Result
from ..protocol.types.tools import CallToolResult
from . import hints, native, pydantic_models
from .media import Audio, File, Image
from .pydantic_models import Adapted
from .signature import MISSING, Plan

__all__ = ["OutputMismatch", "OutputPlan"]

_BLOCKS: Final = (TextContent, ImageContent, AudioContent, ResourceLink, EmbeddedResource, UnknownContent)
_MEDIA: Final = (Image, Audio, File)
_SHOWN: Final = (*_BLOCKS, *_MEDIA)
_WHOLLY_SAID: Final = {"integer": int, "boolean": bool}
"""Types whose every value is JSON, and fits a schema that says no more than this."""
_encode: Final = msgspec.json.Encoder(enc_hook=native.encode_hook).encode


class OutputMismatch(DovetailError):
    """A function's result is not what its annotation or output schema promises, or no JSON.

    For the author's log only.
    """


class OutputPlan:
    """How a function's results are described and written.

    ``schema``: the output schema, or None where nothing is promised. ``wraps``: the schema's root is not of
    type object, so revisions that allow only objects carry the value inside of one. ``convert``: from a value
    to a result; raises `OutputMismatch`.
    """

    __slots__ = ("_adapted", "_fitting", "_name", "_validator", "convert", "schema", "wraps")

    def __init__(self, plan: Plan, *, schema: dict[str, Any] | None = None) -> None:
        """Raises `RegistrationError`. ``schema`` replaces the one derived from the return annotation."""
        self._name = plan.name
        self._adapted: Adapted | None = None
        self._validator: Validator | None = None
        self._fitting: type | None = None
        self.schema = schema
        self.convert: Callable[[Any], CallToolResult]
        if schema is not None:
            self.convert = self._data
        elif _is_content(plan.returns):
            self.convert = self._text if hints.without_markers(plan.returns) is str else self._content
        elif hints.without_markers(plan.returns) in (MISSING, Any, object):
            self.convert = self._anything
        else:
            self.schema = self._derive(plan)
            self.convert = self._data
        self.wraps = self.schema is not None and self.schema.get("type") != "object"
        if self.schema is not None:
            try:
                compiled = compile_schema(self.schema)
            except SchemaError as problem:
                raise plan.refuse(f"output schema: {problem}") from problem
            plain = self.schema.keys() <= {"type", "description"}
            if self.wraps or not plain:
                self._validator = compiled
            if plain and self._adapted is None:
                self._fitting = _WHOLLY_SAID.get(str(self.schema.get("type")))

    def _derive(self, plan: Plan) -> dict[str, Any]:
        """The schema of the data that a function may return.

        Blocks and full results in a union do not count.
        """
        members = hints.union_members(plan.returns)
        data = tuple(each for each in members if not _is_shown(each))
        annotation: Any = plan.returns if len(data) == len(members) else Union[data]  # noqa: UP007 - computed
        problem: Exception | None = None
        if not pydantic_models.only_pydantic(annotation):
            try:
                described, definitions = native.describe(
                    [native.prepare(annotation, output=True)], output=True
                )
                return native.inlined(described[0], definitions)
            except Exception as failure:  # noqa: BLE001 - pydantic may still serve what msgspec does not
                problem = failure
        self._adapted = pydantic_models.adapt(annotation)
        try:
            if self._adapted is not None:
                described, definitions = native.describe([self._adapted], output=True)
                return native.inlined(described[0], definitions)
        except Exception as failure:  # noqa: BLE001 - told below
            problem = failure
        reason = " ".join(str(problem).split())[:300]
        raise plan.refuse(
            f"results of type {annotation!r:.120} cannot be described in JSON Schema ({reason});"
            " return a dataclass, a TypedDict, plain types or str, or annotate `-> Any` to promise nothing"
        ) from problem

    def _text(self, value: Any) -> CallToolResult:
        if type(value) is str:
            return CallToolResult(content=[TextContent(text=value)])
        return self._content(value)

    def _content(self, value: Any) -> CallToolResult:
        if isinstance(value, Result):
            return self._built(value)
        return CallToolResult(content=self._blocks(value))

    def _blocks(self, value: Any) -> list[Any]:
        if value is None:
            return []
        if isinstance(value, str):
            return [TextContent(text=str(value))]
        if isinstance(value, _BLOCKS):
            return [value]
        if isinstance(value, _MEDIA):
            return [self._medium(value)]
        if isinstance(value, (list, tuple)):
            return [block for item in cast("list[Any]", value) for block in self._blocks(item)]
        raise OutputMismatch(
            f"{self._name}() returned a {type(value).__qualname__}, but promises text or content by its annotation"
        )

    def _medium(self, value: Image | Audio | File) -> Any:
        try:
            return value.block()
        except (OSError, ValueError) as problem:
            raise OutputMismatch(f"{self._name}() returned media that cannot be read: {problem}") from problem

    def _anything(self, value: Any) -> CallToolResult:
        if type(value) is str:
            return CallToolResult(content=[TextContent(text=value)])
        if value is None or isinstance(value, (str, Result, *_SHOWN)):
            return self._content(value)
        if isinstance(value, (list, tuple)) and value:
            items = cast("list[Any]", value)
            if any(isinstance(item, _SHOWN) for item in items):
                return self._content(items)
        plain = self._plain(value)
        text = TextContent(text=self._json(plain))
        if isinstance(plain, dict):
            return CallToolResult(content=[text], structured_content=cast("Any", plain))
        return CallToolResult(content=[text])

    def _data(self, value: Any) -> CallToolResult:
        if type(value) is self._fitting:
            return CallToolResult(
                content=[TextContent(text=_encode(value).decode())], structured_content=value
            )
        if isinstance(value, Result):
            return self._whole(value)
        if isinstance(value, _SHOWN):
            raise OutputMismatch(
                f"{self._name}() returned a {type(value).__qualname__} alone, but promises data by its schema;"
                " return a CallToolResult with both"
            )
        plain = self._plain(value)
        text = self._json(plain)
        self._check(plain, 4 * len(text))  # bytes of a character, at most
        return CallToolResult(content=[TextContent(text=text)], structured_content=plain)

    def _whole(self, value: Result) -> CallToolResult:
        """A full result as it is; without an error it has to keep the promise of the schema."""
        if isinstance(value, CallToolResult) and not value.is_error:
            if value.structured_content is UNSET:
                raise OutputMismatch(
                    f"{self._name}() has an output schema, but returned a result without structured content"
                )
            self._check(value.structured_content)
        return self._built(value)

    def _built(self, value: Result) -> CallToolResult:
        """A result that the author built, whose members nobody has looked at yet: it has to read as it is written."""
        if isinstance(value, InputRequired):
            return cast("CallToolResult", value)
        if not isinstance(value, CallToolResult):
            raise OutputMismatch(
                f"{self._name}() returned a {type(value).__qualname__}, which is no result of a tool"
            )
        try:
            codec.reader(CallToolResult).read(codec.encode(value))
        except Exception as problem:
            raise OutputMismatch(
                f"{self._name}() returned a CallToolResult that cannot be sent: {problem}"
            ) from problem
        return value

    def _plain(self, value: Any) -> Any:
        try:
            return native.to_plain(value) if self._adapted is None else self._adapted.plain(value)
        except Exception as problem:
            raise OutputMismatch(
                f"{self._name}() returned a value that cannot be written as JSON: {problem}"
            ) from problem

    def _json(self, plain: Any) -> str:
        try:
            return _encode(plain).decode()
        except Exception as problem:
            raise OutputMismatch(
                f"{self._name}() returned a value that cannot be written as JSON: {problem}"
            ) from problem

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


def _is_shown(annotation: Any) -> bool:
    """Whether values of a type go out as content or as full results."""
    kind = hints.without_markers(annotation)
    return isinstance(kind, type) and issubclass(kind, (*_SHOWN, Result))


def _is_content(annotation: Any) -> bool:
    """Whether an annotation promises nothing but text, content and full results."""
    members = [hints.without_markers(each) for each in hints.union_members(hints.without_markers(annotation))]
    if members == [str]:
        return True
    return all(
        each in (str, None, type(None)) or _is_shown(each) or _is_content_list(each) for each in members
    )


def _is_content_list(annotation: Any) -> bool:
    """Whether a list or tuple holds content: blocks, media and text, but not text alone, which is data."""
    if get_origin(annotation) not in (list, tuple):
        return False
    parts = [each for each in get_args(annotation) if each is not Ellipsis]
    kinds = [
        hints.without_markers(kind)
        for part in parts
        for kind in hints.union_members(hints.without_markers(part))
    ]
    return any(map(_is_shown, kinds)) and all(kind in (str, type(None)) or _is_shown(kind) for kind in kinds)
