"""What an upstream says of itself, and for how long that may be kept.

Theory of operation. A stateless upstream says it when it is connected to, with the time for which that holds. When that
is over, what it said is told on as stale, and it is asked again, once for all who want to know: whoever asks next is
told what it says now. A stateful upstream says it once for each connection, and nothing about time.

Specification: server/discover; server/utilities/caching.
"""

import asyncio
from typing import Any

from ..client import Client
from ..errors import DovetailError
from ..logs import get_logger
from ..protocol import names
from ..server.entries import CacheScope
from ..types import DiscoverResult, ServerCapabilities
from .kept_results import hints_of

log = get_logger("dovetail.proxy")


class UpstreamDescription:
    """Of one upstream; ``timeout``: seconds that it has to say it again."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._client: Client | None = None
        self._told: DiscoverResult | None = None
        self._until = 0.0
        self._asking: asyncio.Task[None] | None = None

    def opened(self, client: Client) -> None:
        """The connection of the proxy itself was opened, maybe anew."""
        self._client = client
        self._take(client.discovered)

    def _take(self, told: DiscoverResult | None) -> None:
        self._told = told
        if told is not None:
            hints = hints_of(told.ttl_ms, told.cache_scope)
            self._until = asyncio.get_running_loop().time() + hints.ttl

    @property
    def capabilities(self) -> ServerCapabilities | None:
        """What it offers; None if it did not say. Raises `LocalProtocolError` before it was connected to."""
        if self._told is not None:
            return self._told.capabilities
        return None if self._client is None else self._client.server_capabilities

    @property
    def instructions(self) -> str | None:
        """What it says of its use. Raises `LocalProtocolError` before it was connected to."""
        if self._told is not None:
            return self._told.instructions
        return None if self._client is None else self._client.instructions

    def hints(self) -> tuple[float, CacheScope] | None:
        """What is left of the time for which this holds, in seconds, and for whom; None where it does not say. In the
        event loop: where nothing is left, it is asked again.
        """
        if self._told is None:
            return None
        left = self._until - asyncio.get_running_loop().time()
        if left <= 0 and self._asking is None and self._client is not None:
            self._asking = asyncio.create_task(self._ask(self._client))
        return max(left, 0.0), "public" if self._told.cache_scope == "public" else "private"

    async def _ask(self, client: Client) -> None:
        try:
            found: Any = await client.request(names.DISCOVER, timeout=self._timeout, into=DiscoverResult)
            if client is self._client:
                self._take(found)
        except DovetailError as problem:
            log.debug("%s did not say again what it offers: %s", client.describe(), problem)
        finally:
            self._asking = None

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait((self._asking,))


__all__ = ["UpstreamDescription"]
