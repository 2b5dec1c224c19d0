"""What a prompt says: from the value that its function returns to the messages that a client gets.

Theory of operation. A list is a list of messages; anything else is one. A message is a `PromptMessage`, or a dict with
a role and content as the protocol writes it; text, content blocks and media are messages of the person. Everything
else is data, and becomes JSON text in such a message, written and checked as a tool's is (`data.py`). The annotation is
looked at once, at registration: what can't be served is refused there, and a None where something was promised is an
error of the author's.

Specification: server/prompts, "PromptMessage".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final, Union, cast, get_args, get_origin

from ..protocol import codec
from ..protocol.types import GetPromptResult, PromptMessage, Role, TextContent
from ..protocol.types.content import BLOCKS
from ..protocol.types.requests import InputRequired, Result
from . import hints, native
from .data import (
    MEDIA,
    DataPlan,
    OutputMismatch,
    check_returns,
    check_size,
    encode,
    is_list,
    may_be_none,
    promises,
)
from .signature import Plan

__all__ = ["MessagesPlan", "assistant", "user"]

_SAID: Final = (str, PromptMessage, *BLOCKS, *MEDIA)
_RESULTS: Final = (GetPromptResult, InputRequired)
_LISTS: Final = (list, tuple, Sequence, Iterable, Collection)
_ROLE, _CONTENT = "role", "content"


class MessagesPlan(DataPlan):
    """How the values of one prompt's function are written. ``description``: the prompt's."""

    __slots__ = ("_description", "_may_be_none", "_only", "_texts")

    def __init__(self, plan: Plan, description: str | None) -> None:
        """Raises `RegistrationError` for a function that returns what is no message."""
        check_returns(plan, "a prompt")
        super().__init__(plan)
        self._description = description
        self._may_be_none = promises(plan.returns) and may_be_none(plan.returns)
        #: Text is promised; and nothing but messages, text, blocks and media is.
        self._texts, self._only = True, False
        if not promises(plan.returns):
            return
        kinds = list(_kinds(plan.returns))
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, Result) and not issubclass(kind, _RESULTS):
                raise plan.refuse(
                    f"returns a {kind.__name__}, which is no result of a prompt; return str, PromptMessage, "
                    "or a list of these"
                )
        if not kinds:
            raise plan.refuse(
                "returns nothing by its annotation, and a prompt is what its function returns; return str, "
                "PromptMessage, or a list of these"
            )
        data = tuple(each for each in kinds if not _is_said(each))
        self._texts = any(hints.without_markers(each) is str for each in kinds)
        self._only = not data
        if data:
            self._promise(plan, Union[data])  # noqa: UP007 - computed
            self._compile(plan, "what it returns")

    def result(self, value: Any) -> GetPromptResult:
        """The result of getting the prompt. Raises `OutputMismatch` and `AnswerTooLarge`."""
        result = self._result(value)
        check_size(result)
        return result

    def _result(self, value: Any) -> GetPromptResult:
        if isinstance(value, GetPromptResult):
            return self._sendable(value)
        if value is None and self._may_be_none:
            return GetPromptResult(description=self._description, messages=[])
        items = cast("Sequence[Any]", value) if is_list(value) else [value]
        said = [message for item in items for message in self._messages(item)]
        return GetPromptResult(description=self._description, messages=said)

    def _messages(self, item: Any) -> list[PromptMessage]:
        if isinstance(item, PromptMessage):
            return [self._sendable(item)]
        if isinstance(item, dict) and {_ROLE, _CONTENT} <= cast("dict[Any, Any]", item).keys():
            return self._of_dict(cast("dict[str, Any]", item))
        return [self._said("user", item)]

    def _of_dict(self, item: dict[str, Any]) -> list[PromptMessage]:
        """The messages of a dict with a role: one, or where its content is a list, one for each part."""
        content = item[_CONTENT]
        parts = cast("list[Any]", content) if isinstance(content, list) else [content]
        messages: list[PromptMessage] = []
        for part in parts:
            if isinstance(part, dict) and "type" in part:
                try:
                    data = codec.encode({**item, _CONTENT: part})
                    messages.append(codec.reader(PromptMessage).keep(data))
                except Exception as problem:
                    raise OutputMismatch(
                        f"{self._name}() returned a dict that is no message: {problem}"
                    ) from problem
            else:
                messages.append(self._sendable(self._said(item[_ROLE], part)))
        return messages

    def _said(self, role: Role, content: Any) -> PromptMessage:
        if isinstance(content, MEDIA):
            return PromptMessage(role=role, content=self._medium(content))
        if isinstance(content, str):
            text = str.__str__(content)  # an enumeration's own text names the member instead
            if self.schema is not None and not self._texts:
                self._check(text, 4 * len(text))
            return PromptMessage(role=role, content=TextContent(text=text))
        if isinstance(content, BLOCKS):
            return PromptMessage(role=role, content=content)
        if isinstance(content, Result):
            raise OutputMismatch(
                f"{self._name}() returned a {type(content).__qualname__}, which is no message"
            )
        self._refuse_foreign(content)
        if content is None or self._only:
            told = "None" if content is None else f"a {type(content).__qualname__}"
            raise OutputMismatch(f"{self._name}() returned {told}, and a prompt gives text or messages")
        return PromptMessage(role=role, content=TextContent(text=self._written(content)))


def user(content: Any) -> PromptMessage:
    """A message of the person: text, a content block, an `Image`, `Audio` or `File`, or data for JSON.

    Raises TypeError for what can't be written as JSON, OSError and `MediaTooLarge` for media that can't be read.
    """
    return _of("user", content)


def assistant(content: Any) -> PromptMessage:
    """A message of the model; as `user`."""
    return _of("assistant", content)


def _of(role: Role, content: Any) -> PromptMessage:
    if isinstance(content, MEDIA):
        content = content.block()
    elif isinstance(content, str):
        content = TextContent(text=str.__str__(content))
    elif not isinstance(content, BLOCKS):
        content = TextContent(text=encode(native.to_plain(content)).decode())
    return PromptMessage(role=role, content=content)


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types of what a function returns: its own, or where that is a list, those of its items."""
    for member in hints.union_members(hints.without_markers(annotation)):
        kind = hints.without_markers(member)
        if get_origin(kind) in _LISTS and get_args(kind):
            inside = [
                each for part in get_args(kind) for each in hints.union_members(hints.without_markers(part))
            ]
            yield from (each for each in inside if each not in (Ellipsis, None, type(None)))
        elif kind in (list, tuple):
            yield Any
        elif kind not in (None, type(None)):
            yield member


def _is_said(annotation: Any) -> bool:
    """Whether values of a type are messages, or go into them as they are."""
    kind = hints.without_markers(annotation)
    return isinstance(kind, type) and (kind is str or issubclass(kind, (*_SAID[1:], *_RESULTS)))
