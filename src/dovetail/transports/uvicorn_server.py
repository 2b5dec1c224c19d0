"""uvicorn as this project runs it: draining at the first signal, over in time, patient with clients only so long.

How long the end may take is shared out by `dovetail.runtime.ending`. uvicorn is an extra, so its classes are extended
where they are first needed, when something is served.

Specification: none; this is operation, not protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import Coroutine, Generator
from typing import Any, Final, Protocol, cast

from ..runtime.ending import CALLS, ORDERLY, SPARE, Ending, Heard, calls_in_progress
from .http.answering import Receive, Scope, Send

log = logging.getLogger("dovetail.http")

#: What uvicorn sleeps, in seconds, before it looks whether connections have closed.
_NAP: Final = 0.1


class Drainable(Protocol):
    """An ASGI application that can be asked to come to an end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        ...

    async def drain(self, limit: float | None = None) -> None:
        """Take no more requests and wait for those in progress, at most ``limit`` seconds."""
        ...

    @property
    def drain_limit(self) -> float:
        """Seconds that the end of the server may take."""
        ...


def run(app: Drainable, sock: socket.socket, ending: Ending, leash: int | None, **settings: Any) -> bool:
    """Serve on a socket until ``ending`` is asked for, or until the other end of ``leash``, a pipe, is closed. False
    when the application did not start. Raises ImportError.
    """
    import uvicorn

    class DrainingServer(uvicorn.Server):
        """uvicorn's server. ``failed`` says that it did not start."""

        def __init__(self) -> None:
            super().__init__(uvicorn.Config(app, **settings))
            self.failed = False

        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None]:
            """Handle the signals that end a server, and raise none again."""
            ending.listen(self._asked)
            with ending.hearing():
                yield

        def _asked(self) -> None:
            self.should_exit = True
            self.force_exit = ending.asked > 1

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            """Start, unless an end is asked for meanwhile; what was made until then is out of the collector's sight."""
            self._heard = heard = Heard(ending)
            if leash is not None:
                asyncio.get_running_loop().add_reader(leash, self._let_go, leash)
            await _unless_asked(self._begin(sockets), heard)

        async def _begin(self, sockets: list[socket.socket] | None) -> None:
            try:
                await super().startup(sockets=sockets)
            except SystemExit:
                self.failed = self.should_exit = True
                return
            gc.collect()
            gc.freeze()

        def _let_go(self, leash: int) -> None:
            asyncio.get_running_loop().remove_reader(leash)
            ending.ask_once()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            """Take no more connections, drain the application, and only then wait for connections to close."""
            ending.begin()
            for server in self.servers:
                server.close()
            await _drain(app, ending, self._heard, self.server_state.tasks)
            if self.force_exit:
                _abort(self.server_state.connections)
            usual = self.config.timeout_graceful_shutdown
            self.config.timeout_graceful_shutdown = cast("int", _patience(ending, usual))
            await ending.within(super().shutdown(sockets=sockets), "the lifespan")

    server = DrainingServer()
    server.run(sockets=[sock])
    return not server.failed


def _abort(connections: set[Any]) -> None:
    """Close connections, whatever they have not sent yet."""
    for connection in tuple(connections):
        connection.transport.abort()


def _patience(ending: Ending, usual: float | None) -> float:
    """Seconds that connections have to close."""
    most = max(0.0, ending.left(ORDERLY) - _NAP)
    return most if usual is None else min(most, usual)


async def _unless_asked(starting: Coroutine[Any, Any, None], heard: Heard) -> None:
    """Start, unless an end is asked for meanwhile."""
    task = asyncio.ensure_future(starting)
    asked = asyncio.ensure_future(heard.asked.wait())
    await asyncio.wait((task, asked), return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if task.done():
        task.result()
    else:
        task.cancel()


async def _drain(app: Drainable, ending: Ending, heard: Heard, tasks: set[asyncio.Task[None]]) -> None:
    """Let the application finish while there is time; then end uvicorn's tasks, in which requests are served."""
    drained = asyncio.ensure_future(app.drain(ending.left()))
    now = asyncio.ensure_future(heard.now.wait())
    first = asyncio.FIRST_COMPLETED
    try:
        await asyncio.wait((drained, now), timeout=ending.left(CALLS), return_when=first)
        if not drained.done():
            log.warning("shutting down with requests in progress: %s", ", ".join(calls_in_progress()))
        if not (drained.done() and ending.left(CALLS)):
            for task in tuple(tasks):
                task.cancel()
            await asyncio.wait((drained, now), timeout=ending.left(SPARE), return_when=first)
    finally:
        drained.cancel()
        now.cancel()


def patient(limit: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol with a limit for the head of a request, in seconds. Raises ImportError."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class PatientProtocol(HttpToolsProtocol):
        """uvicorn's connection, for clients that take at most ``limit`` seconds for the head of a request."""

        _deadline: asyncio.TimerHandle | None = None
        _heading = False

        def connection_made(self, transport: asyncio.Transport) -> None:
            """A client is there, and has yet to say what it wants."""
            super().connection_made(transport)
            self._arm()

        def data_received(self, data: bytes) -> None:
            """Something came. Most heads come whole, and need no timer."""
            super().data_received(data)
            if self._heading:
                self._arm()

        def on_message_begin(self) -> None:
            """The first byte of a request."""
            super().on_message_begin()
            self._heading = True

        def on_headers_complete(self) -> None:
            """The whole head."""
            self._heading = False
            self._disarm()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            """The client is gone."""
            self._disarm()
            super().connection_lost(exc)

        def _arm(self) -> None:
            if self._deadline is None:
                self._deadline = self.loop.call_later(limit, self._too_slow)

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
