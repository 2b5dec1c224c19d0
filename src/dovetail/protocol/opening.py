"""Which era is the other side? The client's decision tables, without I/O.

A client that speaks both eras sends a modern request first (``server/discover``) and reads the outcome:

====================================  =====================  ===========================================
outcome                               stdio, memory, unix    HTTP
====================================  =====================  ===========================================
a discover result                     stateless              stateless
a recognized modern error             stateless, as it says  stateless, as it says
"method not found" (-32601)           stateful               stateful, whatever the status
any other JSON-RPC error              stateful               stateful (at 2xx or 4xx)
401                                   -                      log in first; decides nothing
403, 407, 408, 425, 429               -                      decides nothing: an error
2xx, other 4xx, 501, no message       -                      stateful; on 400, 404, 405 perhaps HTTP+SSE
other 5xx, 3xx, no connection         -                      decides nothing: an error
silence                               stateful               decides nothing: an error
an answer that breaks the protocol    stateful               stateful
====================================  =====================  ===========================================

A recognized modern error is one with a code that only the stateless era has (-32020 to -32022). "Method not found"
is none here, not even at 404, where servers of that era say it of methods they lack: ``server/discover`` they have to
have. Bridges answer so, when an old server behind them does not know it. The era belongs to the server, so it may be
remembered per process or origin.
Specification: basic/versioning "Backward Compatibility", basic/transports/stdio and /streamable-http
"Backward Compatibility".
"""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final, cast

from msgspec import Struct

from .errors import HEADER_MISMATCH, METHOD_NOT_FOUND, MISSING_CAPABILITY, UNSUPPORTED_VERSION
from .types.requests import ErrorObject

_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404
_NOT_IMPLEMENTED: Final = 501
#: Forbidden, proxy authentication, request timeout, too early, too many requests: of the caller, or of the moment.
_NO_SIGN: Final = frozenset({403, 407, 408, 425, 429})
MODERN_CODES: Final = frozenset({HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION})


class Verdict(Enum):
    """What an outcome says about the server."""

    STATELESS = "stateless"
    RETRY = "retry"
    STATEFUL = "stateful"
    LOGIN = "login"
    UNDECIDED = "undecided"


class EraFinding(Struct, frozen=True):
    """A verdict; for RETRY, the ``revisions`` that the server says it speaks."""

    verdict: Verdict
    revisions: tuple[str, ...] = ()


def from_error(error: ErrorObject, *, status: int | None = None) -> EraFinding:
    """What a JSON-RPC error in answer to the probe says. ``status`` is the HTTP status, None on other
    transports.
    """
    if status == _UNAUTHORIZED:
        return EraFinding(Verdict.LOGIN)
    if status in _NO_SIGN:
        return EraFinding(Verdict.UNDECIDED)
    if error.code == METHOD_NOT_FOUND:
        return EraFinding(Verdict.STATEFUL)
    if status is not None and status >= 500:
        return EraFinding(Verdict.UNDECIDED)
    if error.code == UNSUPPORTED_VERSION:
        return EraFinding(Verdict.RETRY, supported_in(error.data))
    if error.code in MODERN_CODES:
        return EraFinding(Verdict.STATELESS)
    return EraFinding(Verdict.STATEFUL)


def from_status(status: int) -> EraFinding:
    """What an HTTP answer without a JSON-RPC error in its body says."""
    if status == _UNAUTHORIZED:
        return EraFinding(Verdict.LOGIN)
    if status in _NO_SIGN:
        return EraFinding(Verdict.UNDECIDED)
    old = status < 300 or 400 <= status < 500 or status == _NOT_IMPLEMENTED
    return EraFinding(Verdict.STATEFUL if old else Verdict.UNDECIDED)


def from_silence(*, http: bool) -> EraFinding:
    """What no answer within the time for probing says: over stdio an old server may ignore what it does not
    know.
    """
    return EraFinding(Verdict.UNDECIDED if http else Verdict.STATEFUL)


def may_be_http_sse(status: int | None, code: int | None = None) -> bool:
    """Whether a refused ``initialize`` may mean the transport of 2024-11-05, to be tried with a GET. ``code``: that of
    the JSON-RPC error in its body, if there was one: some are said by servers of the stateless era alone.
    """
    if code in MODERN_CODES or (code == METHOD_NOT_FOUND and status == _NOT_FOUND):
        return False
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
