"""How often each caller may use a server of a gateway.

Theory of operation. A token bucket for each limited server and caller, beside the one that the app has for all of a
caller's calls (``rate_limit`` of `App`). Where the app has a store that workers share, so are the buckets. What is
counted is what leaves for the server: calls, reads, prompts and completions, each round of those that ask.

Specification: server/tools, "Security Considerations" ("rate limit tool invocations").
"""

import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from ..errors import LocalProtocolError, RateLimited
from ..extensions import Call, Channel, Encoded, Handler, Result, Serving
from ..middleware.serving import AppMiddleware
from ..security import RateLimiter, SharedRateLimiter, caller_of
from ..stores import MemoryKeyValue

__all__ = ["ServerRateLimits"]


class ServerRateLimits(AppMiddleware):
    """``limits``: by server, how many calls a second in the long run, and how many at once. As middleware it only knows
    the app's store; servers limit their own things by `guarded`. Raises `LocalProtocolError` for a limit that can't be.
    """

    methods: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, limits: Mapping[str, tuple[float, int]]) -> None:
        super().__init__()
        self._limiters: dict[str, RateLimiter | SharedRateLimiter] = {}
        for server, given in limits.items():
            try:
                rate, burst = given
                self._limiters[server] = RateLimiter(rate, burst)
            except (TypeError, ValueError) as problem:
                raise LocalProtocolError(
                    f"the rate limit of the server {server!r} is calls a second and calls at once, such as (2.0, 10):"
                    f" {problem}"
                ) from None

    @asynccontextmanager
    async def lifespan(self, serving: Serving) -> AsyncGenerator[None]:
        """See `Middleware`: where the app has a store that others may share, the buckets are there."""
        async with super().lifespan(serving):
            store = serving.store
            if store is not None and not isinstance(store.kv, MemoryKeyValue):
                for server, each in self._limiters.items():
                    if isinstance(each, RateLimiter):
                        name = f"{serving.name}/servers/{server}"
                        self._limiters[server] = SharedRateLimiter(
                            each.rate, each.burst, kv=store.kv, name=name
                        )
            yield

    async def __call__(self, call: Call, channel: Channel, handler: Handler) -> Result | Encoded:
        """See `Middleware`: around no method."""
        return await handler(call, channel)

    def guarded(self, server: str, inner: Handler) -> Handler:
        """What answers for a thing of a server, as often as its callers may use that."""
        if server not in self._limiters:
            return inner

        async def answer(call: Call, channel: Channel) -> Result | Encoded:
            if channel.durable is None:  # a run of a task was counted when it was asked for
                await self._take(server, channel)
            return await inner(call, channel)

        return answer

    async def _take(self, server: str, channel: Channel) -> None:
        """Count one call. Raises `RateLimited`."""
        found: Any = self._limiters[server].take((server, caller_of(channel.principal, channel.remote)))
        wait: float = found if isinstance(found, (int, float)) else await found
        if wait > 0:
            seconds = math.ceil(wait * 1000) / 1000  # never too early
            told = "1 second" if math.ceil(wait) == 1 else f"{math.ceil(wait)} seconds"
            raise RateLimited(
                f"too many calls of the server {server!r}; try again in {told}", data={"retryAfter": seconds}
            )
