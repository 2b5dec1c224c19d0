"""The resources that the session of a client is subscribed to, however many of its own subscriptions want each.

Specification: server/resources "Subscriptions" (2024-11-05 to 2025-11-25).
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from ..protocol import names
from ..protocol.types import SubscribeParams
from .link import Link, RequestSettings
from .options import Options


class HeldResources:
    """Counts who wants a resource: the first is subscribed for, the last unsubscribed. ``ready`` gives the open link;
    ``session``: the `StoredSession`, which keeps what is held, or None.
    """

    def __init__(self, options: Options, ready: Callable[[], Awaitable[Link]]) -> None:
        self._options = options
        self._ready = ready
        self._counts: dict[str, int] = {}
        self.session: Any = None

    def __len__(self) -> int:
        return len(self._counts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __contains__(self, uri: object) -> bool:
        return uri in self._counts

    async def hold(self, uri: str, settings: RequestSettings | None = None) -> None:
        """Subscribe to a resource in the stateful era, unless that was done. Raises what the request raises."""
        count = self._counts.get(uri, 0)
        self._counts[uri] = count + 1
        self._note()
        if count == 0:
            try:
                await self._subscribe(await self._ready(), uri, settings)
            except BaseException:
                self._drop(uri)
                raise

    async def release(
        self, uri: str, settings: RequestSettings | None = None, *, quietly: bool = False
    ) -> None:
        """Unsubscribe when nobody else wants it, unless ``quietly``. Raises what the request raises."""
        if uri in self._counts and not self._drop(uri) and not quietly:
            link = await self._ready()
            await link.ask(
                names.RESOURCES_UNSUBSCRIBE, SubscribeParams(uri=uri), settings or self._settings()
            )

    def _drop(self, uri: str) -> int:
        """Count one less. How many want it still."""
        left = self._counts[uri] = self._counts[uri] - 1
        if left <= 0:
            del self._counts[uri]
        self._note()
        return left

    def restored(self) -> tuple[str, ...]:
        """The resources that a session was subscribed to which was taken up: once, and held from now on."""
        if self.session is None:
            return ()
        found, self.session.restored = self.session.restored, ()
        for uri in found:
            self._counts[uri] = self._counts.get(uri, 0) + 1
        return found

    async def subscribe_again(self, link: Link) -> None:
        """Tell a session that is new of all of them. Raises what the requests raise."""
        for uri in tuple(self._counts):
            await self._subscribe(link, uri)

    async def _subscribe(self, link: Link, uri: str, settings: RequestSettings | None = None) -> None:
        await link.ask(names.RESOURCES_SUBSCRIBE, SubscribeParams(uri=uri), settings or self._settings())

    def _settings(self) -> RequestSettings:
        return RequestSettings(timeout=self._options.timeout, maximum=self._options.max_timeout)

    def _note(self) -> None:
        if self.session is not None:
            self.session.changed()
