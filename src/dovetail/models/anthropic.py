"""Tools in the words of Anthropic's Messages API.

Theory of operation. All answers of a turn are blocks of one message of the user, which has nothing before them. A
failure has a flag. Images and PDF are blocks of their own, up to a size beyond which the API refuses the request.

Specification: server/tools. Format: Messages, ``tools``, ``tool_use``, ``tool_result``.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

from .answers import CallAnswer, MediaPart, ModelCall, OfferedTool, called, member, members, pieces
from .media import encoded, kind_of
from .parameters import parameters_of

__all__ = ["MAX_IMAGE", "answered", "calls", "tools"]

MAX_IMAGE: Final = 5 * 1024 * 1024
"""Characters of Base64 that an image has at most; a larger one is named in words (5 MiB)."""
_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


def tools(offered: Iterable[OfferedTool]) -> list[dict[str, Any]]:
    """What goes into ``tools``."""
    found: list[dict[str, Any]] = []
    for each in offered:
        told = each.definition()
        schema, rest = parameters_of(told["input_schema"])
        description = "\n\n".join(text for text in (told.get("description", ""), rest) if text)
        found.append({"name": told["name"], "description": description, "input_schema": schema})
    return found


def calls(response: Any) -> list[ModelCall]:
    """The calls in a message, or in its content."""
    blocks = cast("list[Any]", response) if isinstance(response, list) else members(response, "content")
    return [
        called(member(each, "id") or "", member(each, "name") or "", member(each, "input"))
        for each in blocks
        if member(each, "type") == "tool_use"
    ]


def answered(answers: Sequence[tuple[ModelCall, CallAnswer]]) -> list[dict[str, Any]]:
    """The message that answers calls; none for no calls."""
    blocks = [_result(call, answer) for call, answer in answers]
    return [{"role": "user", "content": blocks}] if blocks else []


def _result(call: ModelCall, answer: CallAnswer) -> dict[str, Any]:
    content = [
        {"type": "text", "text": each} if isinstance(each, str) else each for each in pieces(answer, _block)
    ]
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": call.id, "content": content}
    if answer.is_error:
        result["is_error"] = True
    return result


def _block(part: MediaPart) -> dict[str, Any] | None:
    kind = kind_of(part)
    data = encoded(part) if kind in _IMAGES or kind == "application/pdf" else ""
    if kind in _IMAGES and len(data) <= MAX_IMAGE:
        return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}
    if kind == "application/pdf":
        return {"type": "document", "source": {"type": "base64", "media_type": kind, "data": data}}
    return None
