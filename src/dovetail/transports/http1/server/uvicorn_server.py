"""uvicorn as this project runs it: draining at the first signal, over in time, patient with clients only so long.

How long the end may take is shared out by `dovetail.runtime.shutdown`; `connection` has the connections. Those
hold on to what is no public face of uvicorn's. So they serve with the minor versions that they were tried with
(`TRIED`); with any other, uvicorn's own do, on httptools: slower, and with fewer bounds of ours.

Specification: none; this is operation, not protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, Protocol, cast

from ....logs import get_logger
from ....runtime.shutdown import CALLS, CANCELLED, ORDERLY, SPARE, Shutdown, ShutdownWaiter, calls_in_progress
from ...http_server.answering import Drainable
from .generations import ChildEnds
from .workers import RETIRING

try:
    import uvicorn
except ImportError:
    raise ImportError("serving over HTTP needs uvicorn: pip install 'dovetail[server]'") from None

log = get_logger("dovetail.http")

#: The minor versions of uvicorn that connections of ours were tried with: those that `pyproject.toml` allows.
TRIED: Final = frozenset({"0.53", "0.54"})
_STOCK: Final = "httptools"
#: What uvicorn sleeps, in seconds, before it looks whether connections have closed.
_NAP: Final = 0.1
#: After how many of uvicorn's ticks, which are naps, connections are looked at.
_SWEEP: Final = 5


class Swept(Protocol):
    """Connections that are looked after in uvicorn's ticks, as ours are."""

    def sweep(self) -> None:
        """Close the connections whose time is up."""
        ...

    def retire(self) -> None:
        """Let each connection end with the next answer."""
        ...

    @property
    def idle(self) -> bool:
        """Whether any connection waits for its next request."""
        ...


def choose(patience: float, wanted: str | None = None) -> Swept | None:
    """The connections to serve with; None for uvicorn's own.

    ``wanted``: "own", "uvicorn", or None, which is ours where the uvicorn that is installed is one of those tried.
    ``patience``: how long the head of a request may take, in seconds; uvicorn's own know no such bound.
    """
    tried = ".".join(uvicorn.__version__.split(".")[:2]) in TRIED
    if wanted == "uvicorn" or (wanted is None and not tried):
        if wanted is None:
            log.warning(
                "uvicorn %s is not one that connections of ours were tried with (%s): its own serve, on httptools. "
                "They are slower, and header_timeout does not count",
                uvicorn.__version__,
                ", ".join(sorted(TRIED)),
            )
        return None
    from .connection import HTTPServerConnections  # which an unknown uvicorn may not have room for

    return HTTPServerConnections(patience)


def run(
    app: Drainable,
    sock: socket.socket,
    ending: Shutdown,
    pipes: ChildEnds | None,
    connections: Swept | None,
    started: Callable[[], None],
    **settings: Any,
) -> None:
    """Serve on a socket until ``ending`` is asked for, or until the parent says so, who may be at the other end of
    ``pipes``. ``connections``: what `choose` gave. ``started`` is called once requests are served. Raises what the
    application raises when it starts.
    """
    server = _Server(app, ending, pipes, connections, started, settings)
    server.run(sockets=[sock])
    if server.problem is not None:
        raise server.problem


async def serve(
    app: Drainable,
    sock: socket.socket,
    ending: Shutdown,
    connections: Swept | None,
    started: Callable[[], None],
    **settings: Any,
) -> None:
    """Do what `run` does, in the running loop, also until it is cancelled."""
    server = _Server(app, ending, None, connections, started, settings, guest=True)
    await ending.after(server.serve(sockets=[sock]))
    if server.problem is not None:
        raise server.problem


class _Server(uvicorn.Server):
    """uvicorn's server. ``problem``: why it did not start. ``guest``: the process is not its own."""

    _heard: ShutdownWaiter

    def __init__(
        self,
        app: Drainable,
        ending: Shutdown,
        pipes: ChildEnds | None,
        connections: Swept | None,
        started: Callable[[], None],
        settings: dict[str, Any],
        *,
        guest: bool = False,
    ) -> None:
        options: dict[str, Any] = {"http": connections or _STOCK, **settings}
        super().__init__(uvicorn.Config(cast("Any", app), **options))
        self._app = app
        self._ending = ending
        self._pipes = pipes
        self._retired: float | None = None
        self._connections = connections
        self._tell_started = started
        self._guest = guest
        self.problem: Exception | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Handle the signals that end a server, and raise none again."""
        self._ending.listen(self._asked)
        with self._ending.hearing():
            yield

    def _asked(self) -> None:
        self.should_exit = True
        self.force_exit = self._ending.asked > 1

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, unless an end is asked for meanwhile; what was made until then is out of the collector's sight."""
        self._heard = heard = ShutdownWaiter(self._ending)
        if self._pipes is not None:
            loop = asyncio.get_running_loop()
            loop.add_reader(self._pipes.end, self._let_go, self._pipes.end)
            loop.add_reader(self._pipes.retire, self._retire, self._pipes.retire)
        await _unless_asked(self._begin(sockets), heard)

    async def _begin(self, sockets: list[socket.socket] | None) -> None:
        try:
            await self._app.start()
            await super().startup(sockets=sockets)
        except SystemExit:
            self.problem = RuntimeError("uvicorn did not start; see the log")
        except Exception as problem:  # noqa: BLE001 - raised again outside of uvicorn, which would only log it
            self.problem = problem
        if self.problem is not None:
            self.should_exit = True
            return
        self._tell_started()
        if not self._guest:
            gc.collect()
            gc.freeze()

    async def on_tick(self, counter: int) -> bool:
        """Look after connections that have had their time, besides what uvicorn does."""
        if counter % _SWEEP == 0 and self._connections is not None:
            self._connections.sweep()
        if self._retired is not None and (
            self._connections is None
            or not self._connections.idle
            or asyncio.get_running_loop().time() >= self._retired
        ):
            self._ending.ask_once()
        return await super().on_tick(counter)

    def _let_go(self, end: int) -> None:
        asyncio.get_running_loop().remove_reader(end)
        self._ending.ask_once()

    def _retire(self, end: int) -> None:
        """Others serve now: take no more connections. Those that are open get one more answer each, for who is about
        to send a request on one would only learn that it is gone.
        """
        loop = asyncio.get_running_loop()
        loop.remove_reader(end)
        for server in getattr(self, "servers", ()):
            server.close()
        if self._connections is None or not self.started:
            self._ending.ask_once()
            return
        self._connections.retire()
        self._retired = loop.time() + RETIRING

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, drain the application, and only then wait for connections to close."""
        ending = self._ending
        ending.begin()
        for server in self.servers:
            server.close()
        await _drain(self._app, ending, self._heard, self.server_state.tasks)
        if self.force_exit:
            _abort(self.server_state.connections)
        usual = self.config.timeout_graceful_shutdown
        self.config.timeout_graceful_shutdown = cast("int", _patience(ending, usual))
        await ending.within(super().shutdown(sockets=sockets), "the lifespan")


def _abort(connections: set[Any]) -> None:
    """Close connections, whatever they have not sent yet."""
    for connection in tuple(connections):
        connection.transport.abort()


def _patience(ending: Shutdown, usual: float | None) -> float:
    """Seconds that connections have to close."""
    most = max(0.0, ending.left(ORDERLY) - _NAP)
    return most if usual is None else min(most, usual)


async def _unless_asked(starting: Coroutine[Any, Any, None], heard: ShutdownWaiter) -> None:
    """Start, unless an end is asked for meanwhile."""
    task = asyncio.ensure_future(starting)
    asked = asyncio.ensure_future(heard.asked.wait())
    await asyncio.wait((task, asked), return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if task.done():
        task.result()
    else:
        task.cancel()


async def _drain(
    app: Drainable, ending: Shutdown, heard: ShutdownWaiter, tasks: set[asyncio.Task[None]]
) -> None:
    """Let the application finish while there is time; it cancels and answers itself what takes longer. Then end
    uvicorn's tasks, in which requests are served.
    """
    drained = asyncio.ensure_future(app.drain(ending.left(CALLS)))
    now = asyncio.ensure_future(heard.now.wait())
    first = asyncio.FIRST_COMPLETED
    try:
        await asyncio.wait((drained, now), timeout=ending.left(SPARE), return_when=first)
        if now.done() and not drained.done():
            log.warning("shutting down with requests in progress: %s", ", ".join(calls_in_progress()))
        if not (drained.done() and ending.left(CALLS)):
            for task in tuple(tasks):
                task.cancel()
            await asyncio.wait((drained, now), timeout=ending.left(CANCELLED), return_when=first)
            # A task that is cancelled before its first step never leaves by itself.
            tasks.difference_update([task for task in tasks if task.done()])
    finally:
        drained.cancel()
        now.cancel()
