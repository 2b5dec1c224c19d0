"""What all formats are made of and into: a tool that is offered, a call of a model, and what came of it.

Theory of operation. A format is a few pure functions on these. What a tool gave is parts in their order, texts and
media; so each format puts everything in its place that it has one for, and names the rest in words. An empty result is
said in words, too: some providers refuse one, and a model may take it for a mistake.

Specification: server/tools, "Tool Result", "Error Handling".
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType

__all__ = [
    "CallAnswer",
    "MediaPart",
    "ModelCall",
    "OfferedTool",
    "called",
    "label",
    "member",
    "members",
    "pieces",
]

_EMPTY: Final = "(the tool gave no content)"
_UNEXPLAINED: Final = "(the tool failed and did not say why)"


class OfferedTool(Protocol):
    """A tool that a model may be told of, such as a `dovetail.host.HostTool`."""

    def definition(self) -> Mapping[str, Any]:
        """``name`` (1 to 64 letters, digits, ``_`` and ``-``), ``description``, and ``input_schema``, JSON Schema."""
        ...


class MediaPart(Protocol):
    """What is no text in a result, such as a `dovetail.host.HostBlob`: bytes, and what a server says that they are."""

    @property
    def kind(self) -> str:
        """What a reader is told that it is, such as "image"."""
        ...

    @property
    def media_type(self) -> str:
        """What the server says that it is; nothing goes by that."""
        ...

    @property
    def data(self) -> bytes:
        """The bytes."""
        ...


class ModelCall(Struct, frozen=True, kw_only=True):
    """A model wants a tool called. ``id``: what the answer has to name; empty where the API has none.

    ``problem``: why the ``arguments`` can't be read, for the model; such a call is not made. Empty if they can.
    """

    id: str
    name: str
    arguments: dict[str, Any] = {}
    problem: str = ""


class CallAnswer(Struct, frozen=True, kw_only=True):
    """What came of a call, for a model: texts and media in their order. ``is_error``: the texts say what went wrong.

    ``structured``: the structured content, if there is any.
    """

    parts: tuple[str | MediaPart, ...]
    is_error: bool = False
    structured: Any | UnsetType = UNSET


def called(id: str, name: str, arguments: Any) -> ModelCall:
    """A call as an API has it, where ``arguments`` are an object, JSON of one, or nothing at all."""
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments or "{}")
        except (msgspec.DecodeError, RecursionError) as problem:
            return ModelCall(id=id, name=name, problem=f"the arguments are no JSON: {problem}")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping):
        return ModelCall(id=id, name=name, problem="the arguments have to be a JSON object")
    return ModelCall(id=id, name=name, arguments=dict(cast("Mapping[str, Any]", arguments)))


def pieces(
    answer: CallAnswer, placed: Callable[[MediaPart], dict[str, Any] | None]
) -> Iterator[str | dict[str, Any]]:
    """The answer part by part: a text, or what ``placed`` makes of media; what it has no place for is named instead."""
    empty = True
    for part in answer.parts:
        given = part if isinstance(part, str) else (placed(part) or label(part))
        if given:
            empty = False
            yield given
    if empty:
        yield _UNEXPLAINED if answer.is_error else _EMPTY


def label(part: MediaPart) -> str:
    """Media in words."""
    return f"[{part.kind}, {part.media_type}, {len(part.data)} bytes, which can't be shown to this model]"


def member(value: Any, *names: str) -> Any:
    """A member of an object of an API, by the first of its names that it has: plain JSON, or a type of its SDK."""
    for name in names:
        found = (
            cast("Mapping[str, Any]", value).get(name)
            if isinstance(value, Mapping)
            else getattr(value, name, None)
        )
        if found is not None:
            return found
    return None


def members(value: Any, *names: str) -> Sequence[Any]:
    """A list in an object of an API; empty if it has none."""
    found: Any = member(value, *names)
    return cast("Sequence[Any]", found) if isinstance(found, (list, tuple)) else ()
