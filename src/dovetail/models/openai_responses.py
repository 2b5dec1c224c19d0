"""Tools in the words of OpenAI's Responses API.

Theory of operation. A call is an item of the response, its answer an item of the next request, with text, images and
documents. Strict mode is on unless it is switched off, and takes only few schemas; so it is switched off. There is no
flag for a failure, so the text says it.

Specification: server/tools. Format: Responses, ``function_call`` and ``function_call_output``.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

from .answers import CallAnswer, MediaPart, ModelCall, OfferedTool, called, member, members, pieces
from .media import encoded, kind_of
from .openai_chat import function

__all__ = ["answered", "calls", "tools"]

_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


def tools(offered: Iterable[OfferedTool]) -> list[dict[str, Any]]:
    """What goes into ``tools``."""
    return [{"type": "function", **function(each), "strict": False} for each in offered]


def calls(response: Any) -> list[ModelCall]:
    """The calls in a response, or in a list of its items."""
    items = cast("list[Any]", response) if isinstance(response, list) else members(response, "output")
    return [
        called(member(each, "call_id") or "", member(each, "name") or "", member(each, "arguments"))
        for each in items
        if member(each, "type") == "function_call"
    ]


def answered(answers: Sequence[tuple[ModelCall, CallAnswer]]) -> list[dict[str, Any]]:
    """The items that answer calls."""
    return [
        {"type": "function_call_output", "call_id": call.id, "output": _output(answer)}
        for call, answer in answers
    ]


def _output(answer: CallAnswer) -> str | list[dict[str, Any]]:
    found = list(pieces(answer, _block))
    if answer.is_error:
        found.insert(0, "The call failed:")
    if all(isinstance(each, str) for each in found):
        return "\n".join(cast("list[str]", found))
    return [{"type": "input_text", "text": each} if isinstance(each, str) else each for each in found]


def _block(part: MediaPart) -> dict[str, Any] | None:
    kind = kind_of(part)
    if kind in _IMAGES:
        url = f"data:{kind};base64,{encoded(part)}"
        return {"type": "input_image", "image_url": url, "detail": "auto"}
    if kind == "application/pdf":
        data = f"data:{kind};base64,{encoded(part)}"
        return {"type": "input_file", "filename": "result.pdf", "file_data": data}
    return None
