"""A line in the log for each call, with fields that programs can read.

Theory of operation. The logger is ``dovetail.calls``. A record has the same fields every time (``extra`` of `logging`):
`dovetail.logs.JSONFormatter` writes them, and any other structured formatter can. Sessions and callers are digests;
arguments, results and addresses are in no field. A peer's words are made safe to show before a handler sees them.

Specification: none.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from ..logs import get_logger
from ..protocol.safe_text import one_line
from ..runtime.observer import ObservedOperation, Observer, RefusedMessage, digest_of

__all__ = ["CallLog"]

calls: Final = get_logger("dovetail.calls")
_SHOWN: Final = 128
_LEVELS: Final = {"ok": logging.INFO, "input_required": logging.INFO}


class CallLog(Observer):
    """An observer that logs each call: ``App(telemetry=CallLog())``, and the same for a `Client`.

    Fields: ``role`` ("server" or "client"), ``method``, ``target``, ``request_id``, ``session``, ``principal``,
    ``transport``, ``revision``, ``outcome``, ``error_type``, ``duration_ms``; of what was refused ``reason`` and
    ``status``. What worked is of level INFO, what did not WARNING. ``stores``: whether operations of stores are logged
    as well, at DEBUG, with ``backend``.
    """

    def __init__(self, *, stores: bool = False) -> None:
        self._stores = stores

    def end(self, operation: ObservedOperation, begun: Any) -> None:
        """See `Observer`."""
        if operation.role == "fetch":
            return
        if operation.role == "store":
            level = logging.DEBUG
            if not self._stores:
                return
        else:
            level = _LEVELS.get(operation.outcome, logging.WARNING)
        if not calls.isEnabledFor(level):
            return
        milliseconds = round(operation.duration * 1000, 3)
        fields: dict[str, Any] = {
            "role": operation.role,
            "method": operation.method,
            "target": operation.target,
            "outcome": operation.outcome,
            "error_type": operation.error_type,
            "duration_ms": milliseconds,
        }
        if operation.role == "store":
            fields["backend"] = operation.backend
        else:
            fields |= {
                "request_id": "" if operation.id is None else one_line(str(operation.id)[:_SHOWN]),
                "session": digest_of(operation.session),
                "principal": "" if operation.principal.is_anonymous else digest_of(operation.principal.key),
                "transport": operation.transport,
                "revision": operation.revision,
            }
        what = f"{operation.method} {operation.target}" if operation.target else operation.method
        ended = operation.error_type or operation.outcome
        calls.log(level, "%s %s: %s in %g ms", operation.role, what, ended, milliseconds, extra=fields)

    def refused(self, refusal: RefusedMessage) -> None:
        """See `Observer`."""
        fields = {
            "role": "server",
            "reason": refusal.reason,
            "status": refusal.status,
            "transport": refusal.transport,
            "principal": "" if refusal.principal.is_anonymous else digest_of(refusal.principal.key),
            "error_type": "" if refusal.code is None else str(refusal.code),
        }
        calls.warning("refused: %s", refusal.reason, extra=fields)
