"""Tools for models: what each provider calls a tool, a call and a result, and a client of models for sampling and chat.

A host has its tools in the words of a model's API (`tool_definitions`), finds the calls in what the model answered
(`calls_of`), and gives back what came of them (`messages_of`). `Host.tools_for` and `Host.run_tool_calls` do all of it.
`ChatModel` asks a model over HTTP.

Specification: server/tools, "Tool Result"; client/sampling; client best practices.
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from ..lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
        "dovetail.models.answers": ("CallAnswer", "MediaPart", "ModelCall", "OfferedTool"),
        "dovetail.models.formats": (
            "FRAMEWORKS",
            "FormatName",
            "ToolCaller",
            "bound_tools",
            "calls_of",
            "messages_of",
            "tool_definitions",
        ),
        "dovetail.models.chat_content": ("chat_messages",),
        "dovetail.models.chat_model": ("ChatModel", "ChatReply", "ModelFailed"),
        "dovetail.models.sampling": ("sampling_with",),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
