"""Sampling: the server asks the client's model. Deprecated since 2026-07-28 (SEP-2577): call a model
provider instead.

Specification: client/sampling.
"""

from typing import Any, Literal

from msgspec import field

from .content import SamplingContent, TextContent
from .metadata import Role
from .requests import Params, Result
from .tools import Tool
from .wire import Meta, Open


class ModelHint(Open, frozen=True, kw_only=True):
    """A part of a model's name that the server would like."""

    name: str | None = None


class ModelPreferences(Open, frozen=True, kw_only=True):
    """What matters to the server when the client picks a model; priorities from 0 to 1."""

    hints: list[ModelHint] | None = None
    cost_priority: float | None = None
    speed_priority: float | None = None
    intelligence_priority: float | None = None


class SamplingMessage(Open, frozen=True, kw_only=True):
    """One message of the conversation; several blocks since 2025-11-25."""

    role: Role
    content: SamplingContent | list[SamplingContent]
    meta: Meta | None = field(default=None, name="_meta")

    @property
    def text(self) -> str:
        """All text blocks, joined by line breaks."""
        return _text_of(self.content)


class ToolChoice(Open, frozen=True, kw_only=True):
    """Whether the model may, must or must not use tools. Since 2025-11-25."""

    mode: Literal["auto", "required", "none"] | None = None


class CreateMessageParams(Params, frozen=True, kw_only=True):
    """Parameters of ``sampling/createMessage``."""

    messages: list[SamplingMessage]
    max_tokens: int
    model_preferences: ModelPreferences | None = None
    system_prompt: str | None = None
    include_context: Literal["none", "thisServer", "allServers"] | None = None
    temperature: float | None = None
    stop_sequences: list[str] | None = None
    metadata: dict[str, Any] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None


class CreateMessageResult(Result, frozen=True, kw_only=True):
    """The message that the client's model wrote."""

    role: Role
    content: SamplingContent | list[SamplingContent]
    model: str
    stop_reason: str | None = None

    @property
    def text(self) -> str:
        """All text blocks, joined by line breaks."""
        return _text_of(self.content)


def _text_of(content: SamplingContent | list[SamplingContent]) -> str:
    blocks = content if isinstance(content, list) else [content]
    return "\n".join(block.text for block in blocks if isinstance(block, TextContent))
