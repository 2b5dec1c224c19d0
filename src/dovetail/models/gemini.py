"""Tools in the words of Google's Gemini API, as JSON; its SDK reads the same (`types.Content.model_validate_json`).

Theory of operation. All tools are declarations of one tool. An answer is a part of a message of the user, with what
came of the call under ``output``, or ``error``, and media beside it. A name has to begin with a letter or ``_``, so one
that begins with a digit gets a ``_`` before it, for which no server of a host can have a tool. Calls may have no id;
their answers are told apart by name and order.

Specification: server/tools. Format: Gemini API, ``FunctionDeclaration``, ``FunctionCall``, ``FunctionResponse``.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from ..errors import LocalProtocolError
from .answers import CallAnswer, MediaPart, ModelCall, OfferedTool, called, member, members, pieces
from .media import encoded, kind_of
from .parameters import parameters_of

__all__ = ["answered", "calls", "tools"]

_MEDIA: Final = frozenset({"image/png", "image/jpeg", "image/webp", "application/pdf"})
_LONGEST: Final = 64


def tools(offered: Iterable[OfferedTool]) -> list[dict[str, Any]]:
    """What goes into ``tools``. Raises `LocalProtocolError` for a name that can't be written."""
    declared: list[dict[str, Any]] = []
    for each in offered:
        told = each.definition()
        schema, rest = parameters_of(told["input_schema"])
        declared.append(
            {
                "name": _name(told["name"]),
                "description": "\n\n".join(text for text in (told.get("description", ""), rest) if text),
                "parametersJsonSchema": schema,
            }
        )
    return [{"functionDeclarations": declared}] if declared else []


def calls(response: Any) -> list[ModelCall]:
    """The calls in a response, or in the content of a candidate."""
    candidates = members(response, "candidates")
    content = member(candidates[0], "content") if candidates else response
    found: list[ModelCall] = []
    for part in members(content, "parts"):
        wanted = member(part, "functionCall", "function_call")
        if wanted is not None:
            call = called(member(wanted, "id") or "", member(wanted, "name") or "", member(wanted, "args"))
            if call.name[:1] == "_" and call.name[1:2].isdigit():
                call = msgspec.structs.replace(call, name=call.name[1:])
            found.append(call)
    return found


def answered(answers: Sequence[tuple[ModelCall, CallAnswer]]) -> list[dict[str, Any]]:
    """The message that answers calls; none for no calls."""
    parts = [{"functionResponse": _response(call, answer)} for call, answer in answers]
    return [{"role": "user", "parts": parts}] if parts else []


def _response(call: ModelCall, answer: CallAnswer) -> dict[str, Any]:
    lines: list[str] = []
    media: list[dict[str, Any]] = []
    for piece in pieces(answer, _block):
        if isinstance(piece, str):
            lines.append(piece)
        else:
            media.append(piece)
            lines.append(f"[{piece['inlineData']['mimeType']}: part {len(media)} of this result]")
    response: dict[str, Any] = {
        "name": _name(call.name),
        "response": {"error" if answer.is_error else "output": "\n".join(lines)},
    }
    if call.id:
        response["id"] = call.id
    if media:
        response["parts"] = media
    return response


def _block(part: MediaPart) -> dict[str, Any] | None:
    kind = kind_of(part)
    return {"inlineData": {"mimeType": kind, "data": encoded(part)}} if kind in _MEDIA else None


def _name(name: str) -> str:
    written = f"_{name}" if name[:1].isdigit() else name
    if len(written) > _LONGEST:
        raise LocalProtocolError(
            f"the tool {name!r} can't be offered to Gemini: with the '_' before its digit its name is longer than "
            f"{_LONGEST} characters; give its server a name that begins with a letter"
        )
    return written
