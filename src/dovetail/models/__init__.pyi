"""The names of `dovetail.models` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.models.answers import CallAnswer, MediaPart, ModelCall, OfferedTool
from dovetail.models.chat_content import chat_messages
from dovetail.models.chat_model import ChatModel, ChatReply, ModelFailed
from dovetail.models.formats import (
    FRAMEWORKS,
    FormatName,
    ToolCaller,
    bound_tools,
    calls_of,
    messages_of,
    tool_definitions,
)
from dovetail.models.sampling import sampling_with

__all__ = [
    "CallAnswer",
    "ChatModel",
    "ChatReply",
    "FRAMEWORKS",
    "FormatName",
    "MediaPart",
    "ModelCall",
    "ModelFailed",
    "OfferedTool",
    "ToolCaller",
    "bound_tools",
    "calls_of",
    "chat_messages",
    "messages_of",
    "sampling_with",
    "tool_definitions",
]
