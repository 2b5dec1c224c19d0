"""Notifications and subscriptions. Specification: basic/patterns (or basic/utilities before 2026-07-28),
server/*.
"""

from typing import Any

from .requests import LogLevel, Notice, Params, ProgressToken, RequestId, Result
from .wire import Open


class InitializedNotice(Notice, frozen=True, kw_only=True):
    """Parameters of ``notifications/initialized``."""


class CancelledNotice(Notice, frozen=True, kw_only=True):
    """Parameters of ``notifications/cancelled``."""

    request_id: RequestId | None = None
    reason: str | None = None


class ProgressNotice(Notice, frozen=True, kw_only=True):
    """Parameters of ``notifications/progress``; ``progress`` grows with each."""

    progress_token: ProgressToken
    progress: float
    total: float | None = None
    message: str | None = None


class MessageNotice(Notice, frozen=True, kw_only=True):
    """Parameters of ``notifications/message``: a log message. Deprecated since 2026-07-28."""

    level: LogLevel
    data: Any
    logger: str | None = None


class ListChangedNotice(Notice, frozen=True, kw_only=True):
    """Parameters of the ``list_changed`` notifications."""


class ResourceUpdatedNotice(Notice, frozen=True, kw_only=True):
    """Parameters of ``notifications/resources/updated``."""

    uri: str


class SubscriptionFilter(Open, frozen=True, kw_only=True):
    """Which changes a listener wants to hear of."""

    tools_list_changed: bool | None = None
    prompts_list_changed: bool | None = None
    resources_list_changed: bool | None = None
    resource_subscriptions: list[str] | None = None


class ListenParams(Params, frozen=True, kw_only=True):
    """Parameters of ``subscriptions/listen``."""

    notifications: SubscriptionFilter


class ListenResult(Result, frozen=True, kw_only=True):
    """The graceful end of a subscription."""


class AcknowledgedNotice(Notice, frozen=True, kw_only=True):
    """Parameters of ``notifications/subscriptions/acknowledged``: the part of the filter that is honoured."""

    notifications: SubscriptionFilter
