"""The shapes that requests, notifications and results are built from.

Specification: basic/index ("Messages", "_meta"), server/utilities/pagination, server/utilities/caching,
basic/patterns/mrtr.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Raw, field

from .. import names
from .capabilities import ClientCapabilities
from .metadata import Implementation
from .wire import Meta, Open, Wire

RequestId = int | str
MAX_PROGRESS_TOKEN: Final = 1024
"""Characters of a progress token. Each notice of progress repeats it."""
ProgressToken = (
    Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    | Annotated[str, msgspec.Meta(max_length=MAX_PROGRESS_TOKEN)]
)
LogLevel = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
LOG_LEVELS: tuple[LogLevel, ...] = (
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
)


class RequestMeta(Wire, frozen=True, kw_only=True):
    """The members of a request's ``_meta`` that the protocol itself reads, and the version of a tool that a call asks
    for. The whole object stays in the raw params.
    """

    progress_token: ProgressToken | None = None
    protocol_version: str | None = field(default=None, name=names.META_PROTOCOL_VERSION)
    client_info: Implementation | None = field(default=None, name=names.META_CLIENT_INFO)
    client_capabilities: ClientCapabilities | None = field(default=None, name=names.META_CLIENT_CAPABILITIES)
    log_level: LogLevel | None = field(default=None, name=names.META_LOG_LEVEL)
    version: str | None = field(default=None, name=names.META_VERSION)


class Params(Wire, frozen=True, kw_only=True):
    """Parameters of a request, as a server reads them."""

    meta: RequestMeta | None = field(default=None, name="_meta")


class PageParams(Params, frozen=True, kw_only=True):
    """Parameters of a list request. The empty string is a valid cursor."""

    cursor: str | None = None


class RetryParams(Params, frozen=True, kw_only=True):
    """Parameters of a request that may be answered with questions and then sent again (basic/patterns/mrtr)."""

    input_responses: dict[str, Raw] | None = None
    request_state: str | None = None


class Notice(Wire, frozen=True, kw_only=True):
    """Parameters of a notification."""

    meta: Meta | None = field(default=None, name="_meta")


class Result(Open, frozen=True, kw_only=True):
    """The result of a request; by itself, an empty one. ``result_type`` travels since 2026-07-28."""

    meta: Meta | None = field(default=None, name="_meta")
    result_type: str | None = None


class CacheableResult(Result, frozen=True, kw_only=True):
    """A result that says how long (``ttl_ms``, milliseconds) and for whom it may be kept. Since 2026-07-28."""

    ttl_ms: int | None = None
    cache_scope: Literal["public", "private"] | None = None


class PageResult(CacheableResult, frozen=True, kw_only=True):
    """One page of a list; each page is cacheable by itself. ``next_cursor`` None says that it is the last."""

    next_cursor: str | None = None


class InputRequest(Wire, frozen=True, kw_only=True):
    """A question inside an input-required result: a server-to-client request without envelope."""

    method: str
    params: Raw = Raw(b"")


class InputRequired(Result, frozen=True, kw_only=True):
    """The server needs answers before it can go on: ask, then send the request again. Specification:
    basic/patterns/mrtr.
    """

    input_requests: dict[str, InputRequest] | None = None
    request_state: str | None = None


class ErrorObject(Wire, frozen=True, kw_only=True):
    """A JSON-RPC error."""

    code: int
    message: str
    data: Any = None
