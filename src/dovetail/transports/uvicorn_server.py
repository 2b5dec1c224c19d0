"""uvicorn as this project runs it: draining at the first signal, patient with clients only so long.

uvicorn is an extra, so its classes are extended where they are first needed, when something is served.

Specification: none; this is operation, not protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Generator
from types import FrameType
from typing import Any, Protocol

from .http.answering import Receive, Scope, Send


class Drainable(Protocol):
    """An ASGI application that can be asked to come to an end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        ...

    async def drain(self, limit: float | None = None) -> None:
        """Take no more requests and wait for those in progress."""
        ...


def run(app: Drainable, sock: socket.socket, **settings: Any) -> bool:
    """Serve on a socket until a signal ends it. False when the application did not start. Raises ImportError."""
    import uvicorn

    class DrainingServer(uvicorn.Server):
        """uvicorn's server. ``failed`` says that it did not start."""

        def __init__(self) -> None:
            super().__init__(uvicorn.Config(app, **settings))
            self.failed = False

        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None]:
            """Handle the signals that end a server, and raise none again: an end that was asked for is a success."""
            handled = (signal.SIGINT, signal.SIGTERM)
            before = {number: signal.signal(number, self.handle_exit) for number in handled}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """Begin to end; at the second signal, end now."""
            if self.should_exit:
                self.force_exit = True
                for connection in tuple(self.server_state.connections):
                    connection.transport.abort()
            self.should_exit = True

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            """Start; what was made until then is no longer looked at by the garbage collector."""
            try:
                await super().startup(sockets=sockets)
            except SystemExit:
                self.failed = self.should_exit = True
                return
            gc.collect()
            gc.freeze()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            """Take no more connections, drain the application, and only then wait for connections to close."""
            for server in self.servers:
                server.close()
            drained = asyncio.ensure_future(app.drain())
            while not drained.done() and not self.force_exit:
                await asyncio.wait((drained,), timeout=0.05)
            drained.cancel()
            await super().shutdown(sockets=sockets)

    server = DrainingServer()
    server.run(sockets=[sock])
    return not server.failed


def patient(limit: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol with a limit for the head of a request, in seconds. Raises ImportError."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class PatientProtocol(HttpToolsProtocol):
        """uvicorn's connection, for clients that take at most ``limit`` seconds for the head of a request."""

        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            """A client is there, and has yet to say what it wants."""
            super().connection_made(transport)
            self._arm()

        def on_message_begin(self) -> None:
            """The first byte of a request."""
            super().on_message_begin()
            self._arm()

        def on_headers_complete(self) -> None:
            """The whole head."""
            self._disarm()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            """The client is gone."""
            self._disarm()
            super().connection_lost(exc)

        def _arm(self) -> None:
            if self._deadline is None:
                self._deadline = asyncio.get_running_loop().call_later(limit, self._too_slow)

        def _disarm(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _too_slow(self) -> None:
            self._deadline = None
            cycle: Any = self.cycle
            # An answer to an earlier request of the connection may still be on its way.
            if cycle is None or cycle.response_complete:
                self.transport.abort()

    return PatientProtocol
