"""Messages of the protocol, of prompts and of sampling, as messages of the Chat Completions API.

Theory of operation. A text, an image, a sound or a document is a part of a message; what has no place is named. What an
assistant said is text and calls of tools. Results of tools are messages of their own, which come before what else the
same message has.

Specification: client/sampling, "Message Content"; server/prompts, "Content Types".
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

from msgspec import UNSET, Struct

from ..protocol.types.content import content_type
from ..types import (
    PromptMessage,
    Resource,
    ResourceContents,
    SamplingMessage,
    ToolResultContent,
    ToolUseContent,
)
from .answers import CallAnswer, MediaPart, ModelCall, label
from .openai_chat import answered, media_block

__all__ = ["chat_messages"]

_DEFAULT: Final = "application/octet-stream"


class _DecodedMedia(Struct, frozen=True):
    kind: str
    media_type: str
    data: bytes


def chat_messages(
    messages: Iterable[PromptMessage | SamplingMessage], name_of: Callable[[str], str] = str
) -> list[dict[str, Any]]:
    """The messages, in their order. ``name_of``: what a tool is called in the conversation."""
    found: list[dict[str, Any]] = []
    for message in messages:
        content: Any = message.content
        blocks = cast("list[Any]", content) if isinstance(content, list) else [content]
        results = [each for each in blocks if isinstance(each, ToolResultContent)]
        found += answered([_result(each) for each in results])
        said = [each for each in blocks if not isinstance(each, (ToolUseContent, ToolResultContent))]
        used = [each for each in blocks if isinstance(each, ToolUseContent)]
        if message.role == "assistant":
            found.append(_of_assistant(said, used, name_of))
        elif said:
            found.append({"role": "user", "content": _content([_part(each) for each in said])})
    return found


def _of_assistant(
    said: Sequence[Any], used: Sequence[ToolUseContent], name_of: Callable[[str], str]
) -> dict[str, Any]:
    """What an assistant said is text there, whatever it was."""
    texts = [each if isinstance(each, str) else label(each) for each in map(_part, said)]
    message: dict[str, Any] = {"role": "assistant", "content": "\n".join(texts) or None}
    if used:
        message["tool_calls"] = [
            {
                "id": each.id,
                "type": "function",
                "function": {"name": name_of(each.name), "arguments": json.dumps(each.input)},
            }
            for each in used
        ]
    elif not texts:
        message["content"] = ""
    return message


def _content(parts: Sequence[str | MediaPart]) -> str | list[dict[str, Any]]:
    """A text where there is nothing else, for servers that read nothing else."""
    placed = [each if isinstance(each, str) else (media_block(each) or label(each)) for each in parts]
    if all(isinstance(each, str) for each in placed):
        return "\n".join(str(each) for each in placed)
    return [{"type": "text", "text": each} if isinstance(each, str) else each for each in placed]


def _result(result: ToolResultContent) -> tuple[ModelCall, CallAnswer]:
    parts = tuple(_part(each) for each in result.content)
    if not parts and result.structured_content is not UNSET:
        parts = (json.dumps(result.structured_content, ensure_ascii=False),)
    answer = CallAnswer(parts=parts, is_error=bool(result.is_error))
    return ModelCall(id=result.tool_use_id, name="a tool"), answer


def _part(block: Any) -> str | MediaPart:
    """A block as a text or as media."""
    known = content_type(block)
    if known is None:
        return "[content of a kind that is not known here]"
    if known.text:
        return getattr(block, known.text)
    if known.base64:
        return _media(known.label, getattr(block, "mime_type", _DEFAULT), getattr(block, known.base64))
    if known.contents:
        held: ResourceContents = getattr(block, known.contents)
        return (
            held.text or ""
            if held.blob is None
            else _media(known.label, held.mime_type or _DEFAULT, held.blob)
        )
    if isinstance(block, Resource):
        return f"[{known.label}: {block.title or block.name}: {block.uri}]"
    return f"[{known.label}]"


def _media(kind: str, media_type: str, encoded: str) -> str | MediaPart:
    try:
        return _DecodedMedia(kind, media_type, base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        return f"[{kind}, {media_type}, which is no Base64]"
