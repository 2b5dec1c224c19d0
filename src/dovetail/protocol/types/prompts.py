"""Prompts and completion. Specification: server/prompts, server/utilities/completion."""

from msgspec import field

from .. import names
from .content import ContentBlock
from .metadata import Icon, Role
from .requests import PageParams, PageResult, Params, Result, RetryParams
from .wire import Meta, Open, Wire


class PromptArgument(Open, frozen=True, kw_only=True):
    """One argument of a prompt; its value is always text."""

    name: str
    title: str | None = None
    description: str | None = None
    required: bool | None = None


class Prompt(Open, frozen=True, kw_only=True):
    """A prompt as clients see it."""

    name: str
    title: str | None = None
    description: str | None = None
    arguments: list[PromptArgument] | None = None
    icons: list[Icon] | None = None
    meta: Meta | None = field(default=None, name="_meta")


class PromptMessage(Open, frozen=True, kw_only=True):
    """One message of a prompt."""

    role: Role
    content: ContentBlock


class ListPromptsParams(PageParams, frozen=True, kw_only=True):
    """Parameters of ``prompts/list``."""


class ListPromptsResult(PageResult, frozen=True, kw_only=True):
    """One page of prompts."""

    prompts: list[Prompt]


class GetPromptParams(RetryParams, frozen=True, kw_only=True):
    """Parameters of ``prompts/get``."""

    name: str
    arguments: dict[str, str] | None = None


class GetPromptResult(Result, frozen=True, kw_only=True):
    """The messages of a prompt."""

    messages: list[PromptMessage]
    description: str | None = None


class PromptReference(Wire, frozen=True, kw_only=True, tag_field="type", tag=names.REF_PROMPT):
    """Names a prompt whose argument is to be completed."""

    name: str
    title: str | None = None


class ResourceReference(Wire, frozen=True, kw_only=True, tag_field="type", tag=names.REF_RESOURCE):
    """Names a resource template (or a resource) whose variable is to be completed."""

    uri: str


class CompletionArgument(Wire, frozen=True, kw_only=True):
    """The argument being typed and what is typed so far."""

    name: str
    value: str


class CompletionContext(Wire, frozen=True, kw_only=True):
    """The arguments settled already. Since 2025-06-18."""

    arguments: dict[str, str] | None = None


class CompleteParams(Params, frozen=True, kw_only=True):
    """Parameters of ``completion/complete``."""

    ref: PromptReference | ResourceReference
    argument: CompletionArgument
    context: CompletionContext | None = None


class Completion(Open, frozen=True, kw_only=True):
    """At most 100 values; ``total`` may say how many there are."""

    values: list[str]
    total: int | None = None
    has_more: bool | None = None


class CompleteResult(Result, frozen=True, kw_only=True):
    """Suggestions for an argument."""

    completion: Completion
