"""Sampling with tools: which conversations are in order.

Every use of a tool by the assistant is followed at once by a message of the user that holds its result,
and results stand alone. Servers check what they send by this, clients what they are sent. Specification:
client/sampling, "Message Content Constraints" (since 2025-11-25).
"""

from collections.abc import Iterable

from .types.content import SamplingContent, ToolResultContent, ToolUseContent
from .types.sampling import SamplingMessage


def blocks(content: SamplingContent | list[SamplingContent]) -> list[SamplingContent]:
    """The content of a message as a list."""
    return content if isinstance(content, list) else [content]


def imbalance(messages: Iterable[SamplingMessage]) -> str | None:
    """What is out of order in a conversation, or None."""
    waiting: set[str] = set()
    for message in messages:
        content = blocks(message.content)
        results = [block for block in content if isinstance(block, ToolResultContent)]
        uses = [block for block in content if isinstance(block, ToolUseContent)]
        if results and (len(results) != len(content) or message.role != "user"):
            return "a message with tool results is a user's and holds nothing else"
        if uses and message.role != "assistant":
            return "only the assistant uses tools"
        answered = [block.tool_use_id for block in results]
        if set(answered) != waiting or len(answered) != len(waiting):
            return "tool results must answer exactly the tool uses of the message before"
        waiting = {block.id for block in uses}
        if len(waiting) != len(uses):
            return "two tool uses of one message have the same id"
    return "the last message uses tools whose results are missing" if waiting else None
