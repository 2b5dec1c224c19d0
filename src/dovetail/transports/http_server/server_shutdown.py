"""Noticing that the ASGI server is about to go, while there is something open that it would wait for.

Theory of operation. ASGI tells an application of the end by ``lifespan.shutdown``, and servers say so only after their
connections have closed, which an event stream never does by itself; to an application that is mounted in a framework
nobody says it at all. But each server begins its end, whatever brought that about (a signal, a word of its parent
process, so many requests served, a line of code), by closing the socket that it listens on. So while requests are in
progress for longer than a moment, a timer looks a few times a second whether this process still listens where the
first request came in. No handler of a signal is touched, no part of any server is known, and nothing depends on which
thread runs the loop.

Who is mounted has a lifespan that nobody ends. Mostly it ends itself when the loop is closed or abandoned (see
`dovetail.runtime.service`); but uvicorn, when it is done, raises the signal again that ended it, and the process is
gone at once. uvicorn waits for its tasks before, so one of ours is among these (`UvicornHost`), which is over when the
lifespan is.

Where a system does not list the open files of a process (Windows), or the address is not found among them, nothing is
noticed: then the end comes as the server has it.

Specification: ASGI 3.0, "HTTP" (``server``) and "Lifespan"; the rest is operation, not protocol.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

from .answering import Scope
from .limits import EndpointLimits
from .watching import RequestTicker

#: How often it is looked, in seconds.
INTERVAL: Final = 0.2
_OPEN_FILES: Final = "/dev/fd"
_WILDCARDS: Final = frozenset({"0.0.0.0", "::"})

Address = tuple[str, int | None]


class ServerShutdown:
    """Calls ``leave`` when the server no longer listens, as long as there are requests. ``limits`` and ``pulse`` tell
    of those that may stay.
    """

    def __init__(self, limits: EndpointLimits, pulse: RequestTicker, leave: Callable[[], None]) -> None:
        limits.lasting = pulse.lasting = self.watch
        self._limits = limits
        self._pulse = pulse
        self._leave = leave
        self._address: Address | None = None
        self._sockets: list[int] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def note(self, scope: Scope) -> None:
        """A request came in: this is where the server listens."""
        address = _address(scope)
        if address != self._address:
            self._address, self._sockets = address, None

    def ignore(self) -> None:
        """Somebody else will say when the end has come."""
        self._limits.lasting = self._pulse.lasting = None

    def watch(self) -> None:
        """There is something that may stay: look on from now. Idempotent."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop and self._address is not None and self._listens():
            self._loop = loop
            loop.call_later(INTERVAL, self._look, loop)

    def returned(self, scope: Scope) -> bool:
        """Whether the server of this request listens again, or another one does in its place."""
        self._address, self._sockets = _address(scope), None
        return self._listens()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not loop:
            return
        if not self._limits.requests:
            self._loop = None
        elif self._listens():
            loop.call_later(INTERVAL, self._look, loop)
        else:
            self._loop = None
            self._leave()

    def _listens(self) -> bool:
        """Whether this process still listens there."""
        address = self._address
        if address is None:
            return False
        if self._sockets is None:
            self._sockets = [number for number in _open_files() if _is_listening(number, address)]
        else:
            self._sockets = [number for number in self._sockets if _is_listening(number, address)]
        return bool(self._sockets)


class UvicornHost:
    """The uvicorn that runs this loop; ``server`` is it."""

    def __init__(self, server: Any) -> None:
        self._server = server

    @classmethod
    def around(cls) -> UvicornHost | None:
        """The one that handles the signals of this process, in the thread that does; None when there is none."""
        if threading.current_thread() is not threading.main_thread():
            return None
        server: Any = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
        tasks = getattr(getattr(server, "server_state", None), "tasks", None)
        # One that was asked to end before anything was served is not the one that serves: its handler was left behind.
        return (
            cls(server) if isinstance(tasks, set) and getattr(server, "should_exit", None) is False else None
        )

    def keep(self, what: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that the server waits for before it ends."""
        tasks: set[asyncio.Task[Any]] = self._server.server_state.tasks
        task = asyncio.get_running_loop().create_task(what)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    async def ends(self) -> None:
        """Wait until the server has been asked to end."""
        while not self._server.should_exit:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(INTERVAL)


def _address(scope: Scope) -> Address | None:
    """Where a request came in: a host and a port, or the path of a unix socket."""
    server: Any = scope.get("server")
    if not server or not isinstance(server[0], str):
        return None
    port = server[1] if len(server) > 1 else None
    return server[0], None if port is None else int(port)


def _open_files() -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(_OPEN_FILES) if name.isdecimal())
    except OSError:
        return []


def _is_listening(number: int, address: Address) -> bool:
    """Whether a file of this process is a socket that listens at an address."""
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return False
        sock = socket.socket(fileno=number)
    except OSError:
        return False
    try:
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return False
        name: Any = sock.getsockname()
    except OSError:
        return False
    finally:
        sock.detach()  # it is the server's, and stays open
    host, port = address
    if isinstance(name, (str, bytes)):
        return port is None and os.fsdecode(name) == host
    return bool(name[1] == port and (name[0] == host or name[0] in _WILDCARDS))
