"""What each side can do. Open maps: a capability that this version does not know is kept.

Specification: basic/lifecycle (stateful era, declared once), basic/versioning (stateless era, declared with
every request).
"""

from typing import Any

from .wire import Open

Settings = dict[str, Any]
"""The settings object of a capability or extension; ``{}`` says "supported, nothing to add"."""


class ListChanged(Open, frozen=True, kw_only=True):
    """Capability of prompts and tools: whether changes of the list are announced."""

    list_changed: bool | None = None


class RootsCapability(Open, frozen=True, kw_only=True):
    """Capability of roots; ``list_changed`` before 2026-07-28."""

    list_changed: bool | None = None


class ResourcesCapability(Open, frozen=True, kw_only=True):
    """Capability of resources: subscriptions to single resources, changes of the list."""

    subscribe: bool | None = None
    list_changed: bool | None = None


class SamplingCapability(Open, frozen=True, kw_only=True):
    """Capability of sampling; ``tools`` and ``context`` since 2025-11-25."""

    context: Settings | None = None
    tools: Settings | None = None


class ElicitationCapability(Open, frozen=True, kw_only=True):
    """Capability of elicitation; since 2025-11-25 with its modes. Neither set means form alone."""

    form: Settings | None = None
    url: Settings | None = None


class ClientCapabilities(Open, frozen=True, kw_only=True):
    """What a client offers."""

    experimental: dict[str, Settings] | None = None
    roots: RootsCapability | None = None
    sampling: SamplingCapability | None = None
    elicitation: ElicitationCapability | None = None
    tasks: Settings | None = None
    extensions: dict[str, Settings] | None = None


class ServerCapabilities(Open, frozen=True, kw_only=True):
    """What a server offers."""

    experimental: dict[str, Settings] | None = None
    logging: Settings | None = None
    completions: Settings | None = None
    prompts: ListChanged | None = None
    resources: ResourcesCapability | None = None
    tools: ListChanged | None = None
    tasks: Settings | None = None
    extensions: dict[str, Settings] | None = None
