"""Descriptions that other values carry: icons, annotations, implementations. Specification: basic/index,
schema.
"""

from typing import Literal

from .wire import Open

Role = Literal["user", "assistant"]


class Icon(Open, frozen=True, kw_only=True):
    """An image that stands for a thing in a user interface. ``src`` is an https or data URI. Since
    2025-11-25.
    """

    src: str
    mime_type: str | None = None
    sizes: list[str] | None = None
    theme: Literal["light", "dark"] | None = None


class Annotations(Open, frozen=True, kw_only=True):
    """Hints for the client: for whom, how important (0 to 1), last modified (ISO 8601)."""

    audience: list[Role] | None = None
    priority: float | None = None
    last_modified: str | None = None


class Implementation(Open, frozen=True, kw_only=True):
    """Name and version of a client or server, as it describes itself. Never a ground for a security decision."""

    name: str
    version: str
    title: str | None = None
    description: str | None = None
    website_url: str | None = None
    icons: list[Icon] | None = None
