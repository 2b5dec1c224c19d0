"""What a tool gave, in the shape that callers want: a value, text, content, or an exception.

Specification: server/tools, "Tool Result".
"""

from typing import Any, TypeVar, cast

import msgspec
from msgspec import UNSET

from ..protocol import codec
from ..protocol.errors import RemoteProtocolError, ToolError
from ..protocol.revisions.projection import WRAPPED, unwrapped
from ..protocol.safe_text import safe
from ..protocol.types import CallToolResult, ContentBlock, Meta, TextContent

T = TypeVar("T")


class ToolFailed(ToolError):
    """A tool reported an error. ``result`` is the whole result; the message is its text, safe to show to a person
    or a model, who can call it otherwise.
    """

    def __init__(self, message: str, result: "ToolResult") -> None:
        super().__init__(message)
        self.result = result

    def __str__(self) -> str:
        return safe(super().__str__())


class OutputInvalid(RemoteProtocolError):
    """A tool's structured content is not what its output schema, or ``into``, promises. ``result`` is the whole result;
    tell those who run the server.
    """

    def __init__(self, message: str, result: "ToolResult") -> None:
        super().__init__(message)
        self.result = result


class ToolResult:
    """The result of a tool call. ``raw`` is the result as the protocol has it.

    ``unchecked_because``: why the structured content was not held against the tool's output schema, in a few words;
    None if it was, and fits. See `checked`.
    """

    __slots__ = ("raw", "tool", "unchecked_because")

    def __init__(
        self, tool: str, raw: CallToolResult, unchecked_because: str | None = "the tool was not listed yet"
    ) -> None:
        self.tool = tool
        self.raw = raw
        self.unchecked_because = unchecked_because

    @property
    def checked(self) -> bool:
        """Whether the structured content was held against the output schema of the last listing, and fits."""
        return self.unchecked_because is None

    @property
    def content(self) -> list[ContentBlock]:
        """The content blocks."""
        return self.raw.content

    @property
    def text(self) -> str:
        """All text blocks, joined by line breaks."""
        return "\n".join(block.text for block in self.raw.content if isinstance(block, TextContent))

    @property
    def has_structured(self) -> bool:
        """Whether there is structured content; it may be null."""
        return self.raw.structured_content is not UNSET

    @property
    def structured(self) -> Any:
        """The structured content, any JSON value; None if there is none."""
        return None if self.raw.structured_content is UNSET else self.raw.structured_content

    @property
    def value(self) -> Any:
        """The structured content, or, where there is none, the text.

        What our server had to put into an object, for a revision that allows nothing else, is out of it again.
        """
        return self.text if self.raw.structured_content is UNSET else unwrapped(self.raw)

    @property
    def is_error(self) -> bool:
        """Whether the tool failed; the content says how."""
        return bool(self.raw.is_error)

    @property
    def meta(self) -> Meta:
        """The ``_meta`` of the result."""
        return self.raw.meta or {}

    def to_wire(self) -> dict[str, Any]:
        """The whole result as plain JSON values, as the server sent it: its own members, and those nobody knows."""
        return self.raw.to_wire()

    def raise_on_error(self) -> "ToolResult":
        """The result itself. Raises `ToolFailed` if the tool failed."""
        if self.is_error:
            raise ToolFailed(self.text or f"the tool {self.tool!r} failed without saying why", self)
        return self

    def into(self, kind: type[T]) -> T:
        """The value as a type. Raises `ToolFailed`, or `OutputInvalid` if it does not fit."""
        self.raise_on_error()
        if kind is str and not self.has_structured:
            return cast("T", self.text)
        value = self.structured
        if not self.has_structured:
            try:
                value = codec.decode(self.text.encode())
            except codec.DECODE_ERRORS:
                value = self.text
        try:
            return converted(value, kind)
        except (msgspec.MsgspecError, ValueError, TypeError) as problem:
            if isinstance(value, dict) and set(cast("dict[str, Any]", value)) == {WRAPPED}:
                try:
                    return converted(cast("dict[str, Any]", value)[WRAPPED], kind)
                except (msgspec.MsgspecError, ValueError, TypeError):
                    pass
            name = getattr(kind, "__name__", str(kind))
            raise OutputInvalid(f"the result of {self.tool!r} is no {name}: {problem}", self) from None

    def __repr__(self) -> str:
        state = "failed" if self.is_error else "ok"
        return f"<ToolResult of {self.tool!r}: {state}, {len(self.content)} blocks>"


def converted(value: Any, kind: type[T]) -> T:
    """A value as a type that msgspec or pydantic reads. Raises what these raise."""
    validate = getattr(kind, "model_validate", None)
    return validate(value) if validate is not None else msgspec.convert(value, kind)
