"""How often each caller may call single tools.

Theory of operation. A token bucket for each tool and caller, beside the one that an app has for all of a caller's calls
(``App(rate_limit=...)``). Where the app has a store that others share, so are the buckets: `SharedRateLimiter` takes
some calls out of them at once, so most calls ask nobody. Tools that are named share nothing; all others have one table,
in which only tools that are known to exist have a place of their own.

Specification: server/tools, "Security Considerations" ("rate limit tool invocations").
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from dovetail.errors import RateLimited
from dovetail.extensions import Call, Channel, Encoded, Handler, Result, Serving
from dovetail.security import RateLimiter, SharedRateLimiter, caller_of
from dovetail.stores import MemoryKeyValue
from dovetail.types import CallToolParams

from .results import methods_with
from .serving import AppMiddleware

__all__ = ["ToolRateLimit"]

_OTHERS = ""


class ToolRateLimit(AppMiddleware):
    """Limits the calls of tools, for each caller: ``App(middleware=[ToolRateLimit({"search": (2.0, 10)})])``.

    ``limits``: by name of the tool, how many calls a second in the long run, and how many at once. ``others``: the same
    for each tool that is not named (None: they have no limit); those that a provider does not know without waiting
    share one. The caller is the principal, a machine's by its network; without one the network, and all of this machine
    are one. Each round of a call that asks counts, as it is a request; the runs of a task do not. Beyond a limit a call
    is answered with `RateLimited`, which says when to try again. Raises ValueError for a rate that is not above zero
    and a burst below 1.
    """

    methods = methods_with(CallToolParams)

    def __init__(
        self, limits: Mapping[str, tuple[float, int]], *, others: tuple[float, int] | None = None
    ) -> None:
        super().__init__()
        given = dict(limits) if others is None else {**limits, _OTHERS: others}
        self._limiters: dict[str, RateLimiter | SharedRateLimiter] = {
            tool: RateLimiter(rate, burst) for tool, (rate, burst) in given.items()
        }

    @asynccontextmanager
    async def lifespan(self, serving: Serving) -> AsyncGenerator[None]:
        """See `Middleware`: where the app has a store that others may share, its buckets are there."""
        async with super().lifespan(serving):
            store = serving.store
            if store is not None and not isinstance(store.kv, MemoryKeyValue):
                self._limiters = {
                    tool: SharedRateLimiter(
                        each.rate, each.burst, kv=store.kv, name=f"{serving.name}/tools/{tool}"
                    )
                    if isinstance(each, RateLimiter)
                    else each
                    for tool, each in self._limiters.items()
                }
            yield

    def __call__(self, call: Call, channel: Channel, handler: Handler) -> Awaitable[Result | Encoded]:
        """See `Middleware`. Raises `RateLimited`."""
        params: Any = call.params
        tool = params.name if params.name in self._limiters else self.known_tool(call)
        limiter = self._limiters.get(tool, self._limiters.get(_OTHERS))
        if limiter is None or channel.durable is not None:
            return handler(call, channel)
        wait = limiter.take((tool, caller_of(channel.principal, channel.remote)))
        if isinstance(wait, (int, float)):
            _refuse(tool, wait)
            return handler(call, channel)
        return self._admitted(tool, wait, call, channel, handler)

    async def _admitted(
        self, tool: str, wait: Awaitable[float], call: Call, channel: Channel, handler: Handler
    ) -> Result | Encoded:
        _refuse(tool, await wait)
        return await handler(call, channel)


def _refuse(tool: str, wait: float) -> None:
    """Raise `RateLimited` where there is something to wait for, in seconds."""
    if wait > 0:
        seconds = math.ceil(wait * 1000) / 1000  # never too early
        of = f"of {tool!r}" if tool else "of such tools"
        told = "1 second" if math.ceil(wait) == 1 else f"{math.ceil(wait)} seconds"
        raise RateLimited(f"too many calls {of}; try again in {told}", data={"retryAfter": seconds})
