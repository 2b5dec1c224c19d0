"""The servers of a gateway as one source: asked side by side, found by name.

Theory of operation. Names say which server a thing is of, so a look-up asks that one alone. A list asks all servers at
once, and has what those gave that answered in time: one that is slow or away costs its own part, and the list says that
it is not whole. So does one whose list has no end, or takes its time page by page, which its proxy gives up. Serving
begins when all servers are settled, or after a moment, whichever is first.

Specification: server/utilities/pagination.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final

from ..errors import DovetailError, InvalidParams, RequestTimeout
from ..extensions import Call, Change, Channel
from ..host.naming import server_of
from ..logs import get_logger
from ..providers import AskingRunner, ListKind, Provided, ProvidedPage
from ..security.principal import Principal
from ..server.providers.composite import LIST, PAGE_BYTES, PAGES_AT_ONCE, Composite, PageHints
from ..server.providers.transform import asking
from ..types import Prompt, Tool, encode
from .door import GatewayDoor
from .server import GatewayServer

__all__ = ["GatewayServers"]

log = get_logger("dovetail.gateway")
FIRST_WAIT: Final = 2.0
"""Seconds that serving waits for the servers; clients that find out the era of a server on stdio wait no longer than
five.
"""
_PAGE: Final = 1000


class GatewayServers(Composite):
    """``servers`` in their order, which counts where ``bare`` names may be those of several."""

    def __init__(
        self,
        label: str,
        servers: Sequence[GatewayServer],
        door: GatewayDoor,
        *,
        bare: bool,
        patience: float,
        ttl: float,
    ) -> None:
        super().__init__(label, list(servers), page_size=_PAGE, ttl=ttl)
        self._servers = servers
        self._by_name = {each.name: each for each in servers}
        self._door = door
        self._bare = bare
        self._patience = patience

    async def _page(
        self, kind: ListKind, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Any]:
        """All first pages, asked for at once; pages after the first of a server come one after the other."""
        if cursor is not None:
            return await self._following(kind, call, channel, cursor)
        pages = await asyncio.gather(*(self._listed(kind, each, call, channel) for each in self._servers))
        found: dict[str, Provided[Any]] = {}
        partial, hints, one = False, PageHints(self._ttl), self._has_one_lister(kind)
        for place, page in enumerate(pages):
            if page is None:
                partial = True
                continue
            partial = partial or page.partial
            hints.add(page, self._servers[place].fingerprint(kind, asking(channel)) is not None)
            for each in page.items:
                if not (self._bare or kind in ("resources", "templates")) or not await self._is_shadowed(
                    kind, each, place, call, channel
                ):
                    found.setdefault(each.name, each)
            if page.next is not None:
                following = f"{place}:{page.next}"
                return ProvidedPage(list(found.values()), following, partial, hints.ttl, hints.scope(one))
        return ProvidedPage(list(found.values()), None, partial, hints.ttl, hints.scope(one=True))

    async def _following(
        self, kind: ListKind, call: Call, channel: Channel, cursor: str
    ) -> ProvidedPage[Any]:
        """What is listed from a place on. Raises `InvalidCursor`."""
        place, inner = self._place(cursor)
        found: dict[str, Provided[Any]] = {}
        partial, size, hints, one = False, 0, PageHints(self._ttl), self._has_one_lister(kind)
        clock = asyncio.get_running_loop().time
        until = clock() + self._patience
        for _ in range(PAGES_AT_ONCE):  # a page may be empty, and another follow
            page = await self._listed(kind, self._servers[place], call, channel, inner)
            following = None if page is None or page.next == inner else page.next
            if page is None:
                partial = True
            else:
                partial = partial or page.partial
                hints.add(page, self._servers[place].fingerprint(kind, asking(channel)) is not None)
                for each in page.items:
                    if not await self._is_shadowed(kind, each, place, call, channel):
                        found.setdefault(each.name, each)
                        size += len(encode(each.described))
            place, inner = (place, following) if following is not None else (place + 1, None)
            if place >= len(self._servers):
                return ProvidedPage(list(found.values()), None, partial, hints.ttl, hints.scope(one))
            if len(found) >= _PAGE or size >= PAGE_BYTES or clock() >= until:
                break
        following = f"{place}:{inner or ''}"
        return ProvidedPage(list(found.values()), following, partial, hints.ttl, hints.scope(one))

    async def _listed(
        self,
        kind: ListKind,
        server: GatewayServer,
        call: Call,
        channel: Channel,
        cursor: str | None = None,
    ) -> ProvidedPage[Any] | None:
        """A page of a server, None where it did not come in time, or the server is known to be away."""
        if server.status.state in ("failed", "needs_login"):
            return None
        try:
            async with asyncio.timeout(self._patience):
                return await LIST[kind](server)(call, channel, cursor)
        except InvalidParams:
            raise  # the caller's own
        except TimeoutError:
            log.warning("%s: its %s were not listed within %g seconds", server.name, kind, self._patience)
        except DovetailError as problem:
            log.warning("%s: its %s are not listed: %s", server.name, kind, problem)
        except Exception:
            log.exception("%s: its %s are not listed", server.name, kind)
        return None

    # One thing

    async def tool_versions(self, call: Call, channel: Channel, name: str) -> Sequence[Provided[Tool]]:
        """The tool of that name, of the server that is in the name."""
        if self._bare:
            return await super().tool_versions(call, channel, name)
        server = self._by_name.get(server_of(name))
        return () if server is None else await server.tool_versions(call, channel, name)

    def tool_at_hand(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
        """The tool of that name, where the server that is in the name is certain of it."""
        if self._bare:
            return super().tool_at_hand(call, channel, name)
        server = self._by_name.get(server_of(name))
        return None if server is None else server.tool_at_hand(call, channel, name)

    def known_one(self, kind: ListKind, name: str, principal: Principal | None) -> Provided[Any] | None:
        """None: no server is known to have anything without being asked."""
        return None

    def knows(self, kind: ListKind, name: str) -> bool:
        """Whether any is known to have a thing of that name: none is."""
        return False

    async def find_prompt(self, call: Call, channel: Channel, name: str) -> Provided[Prompt] | None:
        """The prompt of that name, of the server that is in the name."""
        if self._bare:
            return await super().find_prompt(call, channel, name)
        server = self._by_name.get(server_of(name))
        return None if server is None else await server.find_prompt(call, channel, name)

    def may_have(self, kind: ListKind, name: str) -> bool:
        """Whether any could have a thing of that name."""
        if self._bare or kind in ("resources", "templates"):
            return super().may_have(kind, name)
        return server_of(name) in self._by_name

    # Their lives

    def mounted(self, asking: AskingRunner) -> None:
        """Called when it is mounted."""
        self._door.asking = asking
        for each in self._servers:
            each.mounted(asking)

    def life(self, publish: Callable[[Change], None]) -> AbstractAsyncContextManager[None]:
        """Around the time in which all of them are served."""
        return self._live_together(publish)

    @asynccontextmanager
    async def _live_together(self, publish: Callable[[Change], None]) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for each in self._servers:
                await stack.enter_async_context(each.life(publish))
            await asyncio.gather(*(_settled(each) for each in self._servers))
            yield


async def _settled(server: GatewayServer) -> None:
    """Wait until it is known what has become of a server, for a moment."""
    try:
        await server.wait_for("new", "ready", "failed", "needs_login", timeout=FIRST_WAIT)
    except RequestTimeout:
        log.info("%s is not there yet", server.name)
