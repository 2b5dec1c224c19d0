"""What a server's transports need of it, in one place: how to judge, open, dispatch, and where changes come
from.

The `App` makes one; each transport holds it. Nothing in it belongs to a connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from ..protocol.call import Call
from ..protocol.exchange import Exchange
from ..protocol.header_parameters import HeaderParameter
from ..protocol.session import ServerSession, SessionState
from ..protocol.types.capabilities import ServerCapabilities
from .dispatch import Dispatcher
from .hub import Hub


class Service:
    """A server as its transports see it.

    ``stateful`` and ``stateless`` are the revisions served in each era, oldest first; either may be empty,
    not both. ``max_running`` bounds the calls in progress on one connection, ``max_message`` (bytes) one
    message. ``header_parameters`` gives the arguments of a call that HTTP headers must repeat.
    """

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        hub: Hub,
        capabilities: Callable[[], ServerCapabilities],
        stateful: Sequence[str],
        stateless: Sequence[str],
        custom: frozenset[str] = frozenset(),
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
        max_running: int = 1000,
        max_message: int = 16 * 1024 * 1024,
        header_parameters: Callable[[Call], Sequence[HeaderParameter]] | None = None,
    ) -> None:
        self.dispatcher = dispatcher
        self.hub = hub
        self.capabilities = capabilities
        self.stateful = tuple(stateful)
        self.stateless = tuple(stateless)
        self.custom = custom
        self.exchange = Exchange(self.stateless, announced=[*reversed(self.stateless), *reversed(self.stateful)], custom=custom)
        self.max_running = max_running
        self.max_message = max_message
        self.header_parameters = header_parameters
        self._lifespan = lifespan
        self._running: AbstractAsyncContextManager[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Lock | None = None

    def session(self, state: SessionState | None = None) -> ServerSession:
        """The engine of a session: a new one, or one from its record."""
        return ServerSession(state, custom=self.custom)

    @property
    def started(self) -> bool:
        """Whether the lifespan has been entered on the running loop."""
        return self._loop is asyncio.get_running_loop()

    async def start(self) -> None:
        """Enter the app's lifespan, once per event loop: a loop that replaced a dead one starts anew.

        Raises what the lifespan raises; the next call tries again.
        """
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._starting is None or getattr(self._starting, "_loop", None) not in (None, loop):
            self._starting = asyncio.Lock()
        async with self._starting:
            if self._loop is loop:
                return
            running = self._lifespan() if self._lifespan is not None else None
            if running is not None:
                await running.__aenter__()
            self._running = running
            self._loop = loop

    async def stop(self) -> None:
        """End all change streams gracefully and leave the lifespan. Does nothing when it was not entered on
        this loop.
        """
        if self._loop is not asyncio.get_running_loop():
            return
        self.hub.close()
        running, self._running, self._loop = self._running, None, None
        if running is not None:
            await running.__aexit__(None, None, None)


Send = Callable[[bytes], Awaitable[None]]
