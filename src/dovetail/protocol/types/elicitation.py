"""Elicitation: the server asks the person. Specification: client/elicitation (since 2025-06-18)."""

from typing import Any, Literal

from .requests import Notice, Params, Result

ElicitValue = str | int | float | bool | list[str]


class ElicitParams(Params, frozen=True, kw_only=True):
    """Parameters of ``elicitation/create``: a form (``requested_schema``), or, with mode "url", an address
    to visit.

    ``elicitation_id`` exists in 2025-11-25 only.
    """

    message: str
    mode: Literal["form", "url"] | None = None
    requested_schema: dict[str, Any] | None = None
    url: str | None = None
    elicitation_id: str | None = None


class ElicitResult(Result, frozen=True, kw_only=True):
    """What the person did; ``content`` only when a form was accepted."""

    action: Literal["accept", "decline", "cancel"]
    content: dict[str, ElicitValue | None] | None = None


class ElicitationCompleteNotice(Notice, frozen=True, kw_only=True):
    """Parameters of ``notifications/elicitation/complete`` (2025-11-25 only)."""

    elicitation_id: str
