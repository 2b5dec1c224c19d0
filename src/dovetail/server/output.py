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
from typing import Any, Final, cast, get_args, get_origin

from msgspec import UNSET
from msgspec.structs import replace

from ..protocol.types.content import BLOCKS, TextContent
from ..protocol.types.requests import InputRequired, Result
from ..protocol.types.tools import CallToolResult
from . import hints
from .data import (
    MAX_ANSWER,
    MEDIA,
    AnswerTooLarge,
    DataPlan,
    OutputMismatch,
    check_returns,
    check_size,
    data_in,
    encode,
    may_be_none,
    promises,
)
from .signature import MISSING, Plan

__all__ = ["OutputMismatch", "OutputPlan"]

_SHOWN: Final = (*BLOCKS, *MEDIA)
_RESULTS: Final = (CallToolResult, InputRequired)


class OutputPlan(DataPlan):
    """How a tool's results are described and written.

    ``schema``: the output schema, or None where nothing is promised. ``wraps``: the schema's root is not of
    type object, so revisions that allow only objects carry the value inside of one. ``convert``: from a value
    to a result; raises `OutputMismatch` and `AnswerTooLarge`.
    """

    __slots__ = ("_items_are_anything", "_may_be_none", "convert")

    def __init__(self, plan: Plan, *, schema: dict[str, Any] | None = None) -> None:
        """Raises `RegistrationError`. ``schema`` replaces the one derived from the return annotation."""
        check_returns(plan, "a tool")
        super().__init__(plan)
        self._may_be_none = may_be_none(plan.returns)
        self._items_are_anything = schema is None and _is_list_of_anything(plan.returns)
        self.convert: Callable[[Any], CallToolResult]
        if schema is not None:
            self.schema = schema
            self.convert = self._data
        elif not promises(plan.returns):
            self.convert = self._anything
        elif (data := data_in(plan.returns, _is_shown)) is MISSING or _is_content(plan.returns):
            _refuse_other_results(plan)
            self.convert = self._text if hints.without_markers(plan.returns) is str else self._content
        else:
            _refuse_other_results(plan)
            self._promise(plan, data)
            self.convert = self._data
        self._compile(plan, "output schema")

    def _text(self, value: Any) -> CallToolResult:
        if type(value) is str:
            if len(value) > MAX_ANSWER:
                raise AnswerTooLarge(MAX_ANSWER)
            return CallToolResult(content=[TextContent(text=value)])
        return self._content(value)

    def _content(self, value: Any) -> CallToolResult:
        if isinstance(value, Result):
            return self._built(value)
        if value is None and not self._may_be_none:
            raise OutputMismatch(
                f"{self._name}() returned None, but promises text or content by its annotation; is there a way"
                " through it without a return?"
            )
        blocks = self._blocks(value)
        check_size(blocks)
        return CallToolResult(content=blocks)

    def _blocks(self, value: Any) -> list[Any]:
        if value is None:
            return []
        if isinstance(value, str):
            return [
                TextContent(text=str.__str__(value))
            ]  # an enumeration's own text names the member instead
        if isinstance(value, BLOCKS):
            return [value]
        if isinstance(value, MEDIA):
            return [self._medium(value)]
        if isinstance(value, (list, tuple)):
            return [block for item in cast("list[Any]", value) for block in self._blocks(item)]
        self._refuse_foreign(value)
        raise OutputMismatch(
            f"{self._name}() returned a {type(value).__qualname__}, but promises text or content by its annotation"
        )

    def _anything(self, value: Any) -> CallToolResult:
        if type(value) is str:
            return self._text(value)
        if value is None or isinstance(value, (str, Result, *_SHOWN)):
            return self._content(value)
        if _has_shown(value):
            return CallToolResult(content=self._mixed(value)[0])
        self._refuse_foreign(cast("object", value))
        plain = self._plain(value)
        text = TextContent(text=self._json(plain))
        if isinstance(plain, dict):
            return CallToolResult(content=[text], structured_content=cast("Any", plain))
        return CallToolResult(content=[text])

    def _data(self, value: Any) -> CallToolResult:
        if type(value) is self._fitting:
            return CallToolResult(
                content=[TextContent(text=encode(value).decode())], structured_content=value
            )
        if isinstance(value, Result):
            return self._whole(value)
        if isinstance(value, _SHOWN):
            raise OutputMismatch(
                f"{self._name}() returned a {type(value).__qualname__} alone, but promises data by its schema;"
                " return a CallToolResult with both"
            )
        if self._items_are_anything and _has_shown(value):
            blocks, items = self._mixed(value)
            return CallToolResult(content=blocks, structured_content=items)
        plain = self._plain(value)
        text = self._json(plain)
        self._check(plain, 4 * len(text))  # bytes of a character, at most
        return CallToolResult(content=[TextContent(text=text)], structured_content=plain)

    def _mixed(self, value: Any) -> tuple[list[Any], list[Any]]:
        """The content of a list in which there is some, and the list as data, which says of media what they are."""
        blocks: list[Any] = []
        items: list[Any] = []
        for item in value:
            if item is None or isinstance(item, (str, *_SHOWN)):
                shown = self._blocks(item)
                items += [_outline(each) for each in shown] if isinstance(item, _SHOWN) else [item]
            else:
                plain = self._plain(item)
                items.append(plain)
                shown = [TextContent(text=self._json(plain))]
            blocks += shown
        check_size(blocks)
        return blocks, items

    def _whole(self, value: Result) -> CallToolResult:
        """A full result as it is; without an error it has to keep the promise of the schema."""
        built = self._built(value)
        if isinstance(value, CallToolResult) and not value.is_error:
            if value.structured_content is UNSET:
                raise OutputMismatch(
                    f"{self._name}() has an output schema, but returned a result without structured content"
                )
            self._check(built.structured_content)
        return built

    def _built(self, value: Result) -> CallToolResult:
        """A result that the author built, whose members nobody has looked at yet: it has to read as it is written."""
        if isinstance(value, InputRequired):
            return cast("CallToolResult", value)
        if not isinstance(value, CallToolResult):
            raise OutputMismatch(
                f"{self._name}() returned a {type(value).__qualname__}, which is no result of a tool"
            )
        given: Any = value.structured_content
        if given is not UNSET and type(given) is not dict:  # of a dataclass, say, no revision knows the shape
            value = replace(value, structured_content=self._plain(given))
        sendable = self._sendable(value)
        if sendable.content or sendable.is_error or sendable.structured_content is UNSET:
            return sendable
        text = TextContent(text=self._json(sendable.structured_content))  # some read nothing else
        whole = replace(sendable, content=[text])
        check_size(whole)
        return whole


def _refuse_other_results(plan: Plan) -> None:
    """Refuse an annotation that names the result of something else than a tool. Raises `RegistrationError`."""
    for member in hints.union_members(hints.without_markers(plan.returns)):
        kind = hints.without_markers(member)
        if isinstance(kind, type) and issubclass(kind, Result) and not issubclass(kind, _RESULTS):
            raise plan.refuse(
                f"returns a {kind.__name__}, which is no result of a tool; return a CallToolResult, or the data itself"
            )


def _has_shown(value: Any) -> bool:
    """Whether a value is a list that has content or media in it."""
    return isinstance(value, (list, tuple)) and any(
        isinstance(item, _SHOWN) for item in cast("list[Any]", value)
    )


def _outline(block: Any) -> Any:
    """What a block of content is, for who reads the data: a text, or of what kind the content beside it is."""
    if isinstance(block, TextContent):
        return block.text
    said = {"type": block.type, "mimeType": getattr(block, "mime_type", UNSET)}
    return {key: value for key, value in said.items() if value is not UNSET}


def _is_list_of_anything(annotation: Any) -> bool:
    """Whether an annotation promises a list, and nothing of what is in it."""
    return any(
        (kind := hints.without_markers(each)) in (list, tuple)
        or (get_origin(kind) in (list, tuple) and set(get_args(kind)) <= {Any, object, Ellipsis})
        for each in hints.union_members(hints.without_markers(annotation))
    )


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
