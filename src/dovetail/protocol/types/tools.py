"""Tools. Specification: server/tools."""

from typing import Any, Literal

from msgspec import UNSET, Raw, UnsetType, field

from .content import ContentBlock
from .metadata import Icon
from .requests import PageParams, PageResult, Result, RetryParams
from .wire import Meta, Open, Wire

JSONSchema = dict[str, Any]


class ToolAnnotations(Open, frozen=True, kw_only=True):
    """Hints about what a tool does; untrusted unless the server is trusted. Since 2025-03-26."""

    title: str | None = None
    read_only_hint: bool | None = None
    destructive_hint: bool | None = None
    idempotent_hint: bool | None = None
    open_world_hint: bool | None = None


class ToolExecution(Wire, frozen=True, kw_only=True):
    """How a tool may be run as a task. 2025-11-25 only."""

    task_support: Literal["forbidden", "optional", "required"] | None = None


class Tool(Open, frozen=True, kw_only=True):
    """A tool as clients and models see it. The schemas are JSON Schema, by default 2020-12."""

    name: str
    input_schema: JSONSchema
    title: str | None = None
    description: str | None = None
    output_schema: JSONSchema | None = None
    annotations: ToolAnnotations | None = None
    execution: ToolExecution | None = None
    icons: list[Icon] | None = None
    meta: Meta | None = field(default=None, name="_meta")


class ListToolsParams(PageParams, frozen=True, kw_only=True):
    """Parameters of ``tools/list``."""


class ListToolsResult(PageResult, frozen=True, kw_only=True):
    """One page of tools."""

    tools: list[Tool]


class CallToolParams(RetryParams, frozen=True, kw_only=True):
    """Parameters of ``tools/call``. ``arguments`` stays bytes until the tool's own decoder reads it."""

    name: str
    arguments: Raw = Raw(b"")


class CallToolResult(Result, frozen=True, kw_only=True):
    """What a tool gave. ``is_error`` marks a failure that the model should see.

    ``structured_content`` is UNSET when there is none, since null is a value where any JSON is allowed
    (2026-07-28).
    """

    content: list[ContentBlock]
    structured_content: Any | UnsetType = UNSET
    is_error: bool | None = None
