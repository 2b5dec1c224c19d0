"""Tools in the words of OpenAI's Chat Completions API, which many other providers and local servers speak.

Theory of operation. A message with role ``tool`` answers a call, and holds text alone. Images, sounds and documents
follow in a message of the user, which has to come after the answers to all calls of the turn. There is no flag for a
failure, so the text says it. A description that is longer than the API takes goes on in that of the parameters.

Specification: server/tools. Format: Chat Completions, ``tools``, ``tool_calls``.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from .answers import CallAnswer, MediaPart, ModelCall, OfferedTool, called, member, members, pieces
from .media import encoded, kind_of
from .parameters import parameters_of

__all__ = ["MAX_DESCRIPTION", "answered", "calls", "function", "media_block", "tools"]

MAX_DESCRIPTION: Final = 1024
"""Characters of a description that the API takes; the rest stands in the description of the parameters."""
_MORE: Final = " [goes on in the description of the parameters]"
_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_SOUNDS: Final = {"audio/wav": "wav", "audio/mpeg": "mp3"}


def tools(offered: Iterable[OfferedTool]) -> list[dict[str, Any]]:
    """What goes into ``tools``."""
    return [{"type": "function", "function": function(each)} for each in offered]


def function(offered: OfferedTool) -> dict[str, Any]:
    """A tool as a function, as both APIs of OpenAI have it."""
    told = offered.definition()
    schema, rest = parameters_of(told["input_schema"])
    description = "\n\n".join(each for each in (told.get("description", ""), rest) if each)
    if len(description) > MAX_DESCRIPTION:
        end = MAX_DESCRIPTION - len(_MORE)
        schema["description"] = "\n\n".join(filter(None, (description[end:], schema.get("description"))))
        description = f"{description[:end]}{_MORE}"
    return {"name": told["name"], "description": description, "parameters": schema}


def calls(response: Any) -> list[ModelCall]:
    """The calls in a completion, or in its message."""
    choices = members(response, "choices")
    message = member(choices[0], "message") if choices else response
    found: list[ModelCall] = []
    for each in members(message, "tool_calls"):
        wanted = member(each, "function")
        if wanted is not None:  # else a tool of another kind, which the program made itself
            found.append(
                called(member(each, "id") or "", member(wanted, "name") or "", member(wanted, "arguments"))
            )
    return found


def answered(answers: Sequence[tuple[ModelCall, CallAnswer]]) -> list[dict[str, Any]]:
    """The messages that answer calls."""
    messages: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    for call, answer in answers:
        lines: list[str] = []
        for piece in pieces(answer, media_block):
            if isinstance(piece, str):
                lines.append(piece)
            else:
                shown += [{"type": "text", "text": f"From the result of {call.name} ({call.id}):"}, piece]
                lines.append(f"[{piece['type']}: in the message after the results]")
        text = "\n".join(lines)
        messages.append(
            {
                "role": "tool",
                "tool_call_id": call.id,
                "content": f"The call failed: {text}" if answer.is_error else text,
            }
        )
    if shown:
        messages.append({"role": "user", "content": shown})
    return messages


def media_block(part: MediaPart) -> dict[str, Any] | None:
    """Media as a part of a user's message; None for what has no place there."""
    kind = kind_of(part)
    if kind in _IMAGES:
        return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{encoded(part)}"}}
    if kind in _SOUNDS:
        return {"type": "input_audio", "input_audio": {"data": encoded(part), "format": _SOUNDS[kind]}}
    if kind == "application/pdf":
        data = f"data:{kind};base64,{encoded(part)}"
        return {"type": "file", "file": {"filename": "result.pdf", "file_data": data}}
    return None
