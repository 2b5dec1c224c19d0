"""How long calls take.

Specification: none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from dovetail.extensions import Call, Channel, Encoded, Handler, Result
from dovetail.logs import get_logger
from dovetail.types import CallToolResult, InputRequired, ListenParams

from .serving import AppMiddleware

__all__ = ["CallOutcome", "CallTimer", "CallTiming", "outcome_of"]

log: Final = get_logger("dovetail.calls")
CallOutcome = Literal["ok", "tool_error", "input_required", "error", "cancelled"]


class CallTiming(Struct, frozen=True):
    """How long a call took. ``tool``: the name of the tool, of those that there are; "" for anything else. ``seconds``.

    ``outcome``: "ok"; "tool_error" for a result that says that the tool failed; "input_required" for questions of
    2026-07-28, each round of which is a call; "error" for an error of the protocol; "cancelled".
    """

    method: str
    tool: str
    seconds: float
    outcome: CallOutcome


def outcome_of(result: Result | Encoded) -> CallOutcome:
    """How a call went that gave a result."""
    if isinstance(result, InputRequired):
        return "input_required"
    return "tool_error" if isinstance(result, CallToolResult) and result.is_error else "ok"


class CallTimer(AppMiddleware):
    """Measures every call: ``App(middleware=[CallTimer(...)])``; first in the list, it counts what the others do, too.

    ``report``: called with the `CallTiming` of each call as it ends; it has to be quick, and must not raise. ``slow``:
    seconds from which on a call is logged as a warning (``dovetail.calls``; None, the default: no call is). ``meta``:
    the key of ``_meta`` under which the results of tools, resources and prompts tell the seconds, as in
    "example.org/seconds" (None, the default: they do not). A call that listens to changes takes as long as it is
    listened to, and is left out.
    """

    def __init__(
        self,
        report: Callable[[CallTiming], object] | None = None,
        *,
        slow: float | None = None,
        meta: str | None = None,
    ) -> None:
        super().__init__()
        self._report = report
        self._slow = slow
        self._meta = meta

    def __call__(self, call: Call, channel: Channel, handler: Handler) -> Awaitable[Result | Encoded]:
        """See `Middleware`."""
        if isinstance(call.params, ListenParams):
            return handler(call, channel)
        return self._timed(call, channel, handler)

    async def _timed(self, call: Call, channel: Channel, handler: Handler) -> Result | Encoded:
        tool = self.known_tool(call)
        begun = time.perf_counter()
        outcome: CallOutcome = "error"
        try:
            result = await handler(call, channel)
            outcome = outcome_of(result)
            if self._meta is not None and not isinstance(result, bytes):
                seconds = round(time.perf_counter() - begun, 6)
                result = replace(result, meta={**(result.meta or {}), self._meta: seconds})
            return result
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            self._tell(CallTiming(call.method, tool, time.perf_counter() - begun, outcome))

    def _tell(self, timing: CallTiming) -> None:
        if self._report is not None:
            self._report(timing)
        if self._slow is not None and timing.seconds >= self._slow:
            log.warning(
                "%s %s took %.3f seconds (%s)",
                timing.method,
                timing.tool,
                timing.seconds,
                timing.outcome,
                extra={
                    "method": timing.method,
                    "target": timing.tool,
                    "outcome": timing.outcome,
                    "duration_ms": round(timing.seconds * 1000, 3),
                },
            )
