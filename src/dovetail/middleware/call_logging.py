"""A line for each call, with what the exception was and, where it is asked for, the arguments.

Theory of operation. As `dovetail.telemetry.CallLog`, which also knows of what was refused before it became a call; this
one stands where it is put among other middleware. `dovetail.logs.log_json` writes each record as one line of JSON.
Callers and sessions are digests; what the schema of a tool calls secret, and what it does not speak of, is in no
record.

Specification: server/tools, "Security Considerations" ("log tool usage for audit purposes").
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import Any, Final

from dovetail.extensions import Call, Channel, Encoded, Handler, Result
from dovetail.logs import get_logger
from dovetail.telemetry import digest_of, redacted
from dovetail.types import CallToolParams, ListenParams

from .failures import Failures
from .serving import AppMiddleware
from .timing import CallOutcome, outcome_of

__all__ = ["CallLogging"]

log: Final = get_logger("dovetail.calls")
#: Bytes that the arguments in one record may have.
MAX_ARGUMENTS: Final = 4096
_LEVELS: Final = {"ok": logging.INFO, "input_required": logging.INFO}


class CallLogging(AppMiddleware):
    """Logs each call: ``App(middleware=[CallLogging()])``, and `dovetail.logs.log_json` for lines of JSON.

    The logger is ``dovetail.calls``; what worked is of level INFO, what did not WARNING. Fields: ``method``, ``target``
    (the tool, of those that there are), ``request_id``, ``principal``, ``session``, ``transport``, ``revision``,
    ``outcome`` (as `CallTiming` has it), ``error_type`` (the class of the exception, also where its caller was told
    nothing), ``duration_ms``. ``arguments``: whether records have the arguments of tools, at most 4 KiB, redacted
    (False).
    """

    def __init__(self, *, arguments: bool = False) -> None:
        super().__init__()
        self._arguments = arguments

    def __call__(self, call: Call, channel: Channel, handler: Handler) -> Awaitable[Result | Encoded]:
        """See `Middleware`."""
        if isinstance(call.params, ListenParams):  # it ends when nobody listens any more
            return handler(call, channel)
        return self._logged(call, channel, handler)

    async def _logged(self, call: Call, channel: Channel, handler: Handler) -> Result | Encoded:
        fields = self._fields(call, channel)
        begun = time.perf_counter()
        outcome: CallOutcome = "error"
        problem: BaseException | None = None
        with Failures(channel) as failures:
            try:
                result = await handler(call, channel)
                outcome = outcome_of(result)
                return result
            except asyncio.CancelledError as cancelled:
                outcome, problem = "cancelled", cancelled
                raise
            except BaseException as raised:
                problem = raised
                raise
            finally:
                known = failures.last if outcome in ("tool_error", "error") and failures.last else problem
                _write(
                    fields,
                    outcome,
                    "" if known is None else type(known).__name__,
                    time.perf_counter() - begun,
                )

    def _fields(self, call: Call, channel: Channel) -> dict[str, Any]:
        principal, params = channel.principal, call.params
        fields: dict[str, Any] = {
            "method": call.method,
            "target": self.known_tool(call),
            "request_id": str(call.id)[:128],
            "session": digest_of(channel.session_id),
            "principal": "" if principal.is_anonymous else digest_of(principal.key),
            "transport": channel.transport,
            "revision": call.profile.revision,
        }
        if self._arguments and isinstance(params, CallToolParams) and self.serving is not None:
            served = self.serving.find_tool(params.name)
            schema = None if served is None else served.tool.input_schema
            fields["arguments"] = redacted(bytes(params.arguments), schema, limit=MAX_ARGUMENTS)
        return fields


def _write(fields: dict[str, Any], outcome: CallOutcome, error_type: str, seconds: float) -> None:
    level = _LEVELS.get(outcome, logging.WARNING)
    if not log.isEnabledFor(level):
        return
    fields |= {"outcome": outcome, "error_type": error_type, "duration_ms": round(seconds * 1000, 3)}
    what = f"{fields['method']} {fields['target']}".rstrip()
    log.log(level, "%s: %s in %g ms", what, error_type or outcome, fields["duration_ms"], extra=fields)
