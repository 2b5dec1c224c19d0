"""Which era is the other side? The client's decision tables, without I/O.

A client that speaks both eras sends a modern request first (``server/discover``) and reads the outcome:

====================================  =====================  ===========================================
outcome                               stdio, memory, unix    HTTP
====================================  =====================  ===========================================
a discover result                     stateless              stateless
a recognized modern error             stateless, as it says  stateless, as it says
any other JSON-RPC error              stateful               stateful (at 200 or 4xx)
401, 403                              -                      log in first; decides nothing
other 4xx, body not a JSON-RPC error  -                      stateful; on 400, 404, 405 perhaps HTTP+SSE
5xx, silence, no connection           silence: stateful      decides nothing: an error
====================================  =====================  ===========================================

A recognized modern error is one with a code that only the stateless era has (-32020 to -32022), or, over
HTTP, -32601 at status 404. The era belongs to the server, so it may be remembered per process or origin.
Specification: basic/versioning "Backward Compatibility", basic/transports/stdio and /streamable-http
"Backward Compatibility".
"""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final, cast

from msgspec import Struct

from .errors import HEADER_MISMATCH, METHOD_NOT_FOUND, MISSING_CAPABILITY, UNSUPPORTED_VERSION
from .types.requests import ErrorObject

MODERN_CODES: Final = frozenset({HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION})


class Verdict(Enum):
    """What an outcome says about the server."""

    STATELESS = "stateless"
    RETRY = "retry"
    STATEFUL = "stateful"
    LOGIN = "login"
    UNDECIDED = "undecided"


class Finding(Struct, frozen=True):
    """A verdict; for RETRY, the ``revisions`` that the server says it speaks."""

    verdict: Verdict
    revisions: tuple[str, ...] = ()


def from_error(error: ErrorObject, *, status: int | None = None) -> Finding:
    """What a JSON-RPC error in answer to the probe says. ``status`` is the HTTP status, None on other
    transports.
    """
    if status in (401, 403):
        return Finding(Verdict.LOGIN)
    if status is not None and status >= 500:
        return Finding(Verdict.UNDECIDED)
    if error.code == UNSUPPORTED_VERSION:
        return Finding(Verdict.RETRY, supported_in(error.data))
    if error.code in MODERN_CODES:
        return Finding(Verdict.STATELESS)
    if error.code == METHOD_NOT_FOUND and status == 404:
        return Finding(Verdict.STATELESS)
    return Finding(Verdict.STATEFUL)


def from_status(status: int) -> Finding:
    """What an HTTP answer without a JSON-RPC error in its body says."""
    if status in (401, 403):
        return Finding(Verdict.LOGIN)
    return Finding(Verdict.STATEFUL if 400 <= status < 500 else Verdict.UNDECIDED)


def from_silence(*, http: bool) -> Finding:
    """What no answer within the time for probing says: over stdio an old server may ignore what it does not
    know.
    """
    return Finding(Verdict.UNDECIDED if http else Verdict.STATEFUL)


def may_be_http_sse(status: int | None) -> bool:
    """Whether a refused ``initialize`` may mean the transport of 2024-11-05, to be tried with a GET."""
    return status in (400, 404, 405)


def supported_in(data: Any) -> tuple[str, ...]:
    """The revisions that an unsupported-version error lists."""
    if isinstance(data, dict):
        listed = cast("dict[str, Any]", data).get("supported")
        if isinstance(listed, list):
            return tuple(item for item in cast("list[Any]", listed) if isinstance(item, str))
    return ()


def common(ours: Sequence[str], theirs: Sequence[str]) -> str | None:
    """The newest revision that both sides speak; ``ours`` is oldest first."""
    return next((revision for revision in reversed(ours) if revision in theirs), None)
