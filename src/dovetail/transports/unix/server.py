"""Serving lines on a unix socket: the framing of stdio, many clients at once.

Whoever may open the socket file may call: it is made for its owner alone. A client that only shut its sending side
still gets its answers; one that is gone has its calls cancelled at once (where the system tells the two apart). A
signal ends the server as it does on stdio: no more clients and calls, those in progress may finish. Specification:
basic/transports/stdio (2026-07-28), which lets any reliable byte stream carry its framing.
"""

import asyncio
import os
import select
import socket
import stat
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, cast

from ...logs import get_logger
from ...protocol import messages
from ...protocol.bindings.lines import LineSplitter, LineTooLong, frame
from ...protocol.errors import ConnectFailed, InvalidRequest
from ...runtime.connection import ANSWER_TIMEOUT, STUBBORN, ServerConnection
from ...runtime.service import Service
from ...runtime.shutdown import CALLS, LIMIT, ORDERLY, SPARE, Shutdown, ShutdownWaiter, calls_in_progress

log = get_logger("dovetail.server")

_CHUNK = 256 * 1024
_SEND_TIMEOUT = 60.0
#: Seconds that a client which sends no more is answered, where the system does not say whether it is still there.
_UNSEEN: Final = 60.0
#: Seconds in which the answers of calls that were cut short may leave.
_TELLING: Final = 1.0


def run_unix(
    service: Service,
    *,
    path: str | os.PathLike[str],
    max_clients: int = 1000,
    drain: float = LIMIT,
    answer_timeout: float = ANSWER_TIMEOUT,
) -> None:
    """Serve lines on a unix socket until a signal (SIGTERM, SIGINT, SIGHUP). Blocks; owns the process.

    ``drain``: seconds that the end may take; a process that is still there then ends with status 70 (see
    `dovetail.runtime.shutdown`). Else as `serve_unix`.
    """
    ending = Shutdown(drain)
    with ending.enforced():
        asyncio.run(
            serve_unix(
                service, path=path, max_clients=max_clients, answer_timeout=answer_timeout, ending=ending
            )
        )


async def serve_unix(
    service: Service,
    *,
    path: str | os.PathLike[str],
    max_clients: int = 1000,
    answer_timeout: float = ANSWER_TIMEOUT,
    ready: asyncio.Event | None = None,
    ending: Shutdown | None = None,
) -> None:
    """Serve lines on the unix socket ``path`` until cancelled, or until ``ending`` is asked for (default: by a signal).
    Raises `ConnectFailed`.

    ``max_clients`` bounds the connections at a time; ``answer_timeout``: seconds that a client has to answer a
    question; ``ready`` is set once clients can connect. A socket file that nobody listens on any more is replaced; any
    other file is left alone.
    """
    place = Path(path)
    await asyncio.to_thread(_clear_stale, place)
    ending = ending or Shutdown()
    clients = _Clients(service, max_clients, answer_timeout, ending)
    with ending.hearing():
        heard = ShutdownWaiter(ending)
        asked = asyncio.ensure_future(heard.asked.wait())
        started = asyncio.ensure_future(service.start())
        try:
            await asyncio.wait((started, asked), return_when=asyncio.FIRST_COMPLETED)
            if not started.done():
                return
            started.result()
            server = await _listen(clients, place, max_clients)
            try:
                sys.stderr.write(f"dovetail: serving on {place}\n")
                if ready is not None:
                    ready.set()
                await asked
                server.close()
                service.hub.close()  # a change stream is a call that would never end by itself
                await clients.drain(heard)
            finally:
                server.close()
                ending.begin()
                await clients.close()
                await asyncio.to_thread(place.unlink, missing_ok=True)
        finally:
            asked.cancel()
            started.cancel()
            ending.begin()
            await ending.within(service.stop(), "the lifespan")


async def _listen(clients: "_Clients", place: Path, backlog: int) -> asyncio.Server:
    mask = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(clients.serve, place, limit=_CHUNK, backlog=backlog)
    except OSError as problem:
        raise ConnectFailed(f"can't listen on the unix socket {place}: {problem.strerror}") from None
    finally:
        os.umask(mask)


class _Clients:
    """Everyone who is connected."""

    def __init__(self, service: Service, most: int, answer_timeout: float, ending: Shutdown) -> None:
        self._service = service
        self._most = most
        self._answer_timeout = answer_timeout
        self._ending = ending
        self._serving: dict[asyncio.Task[None], ServerConnection] = {}
        self._refusing = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it is gone."""
        task = asyncio.current_task()
        if task is None or len(self._serving) >= self._most or self._refusing:
            writer.close()
            return
        connection = self._serving[task] = ServerConnection(
            self._service,
            _sender(writer),
            transport="unix",
            at_once=True,
            answer_timeout=self._answer_timeout,
        )
        try:
            await _serve_client(connection, self._service.max_message, reader, writer)
        except asyncio.CancelledError:
            pass  # the server ends; asyncio 3.11 would report a cancelled client as an error of the loop
        finally:
            try:
                await connection.close(min(STUBBORN, self._ending.left(ORDERLY)))
                writer.close()
                with suppress(OSError, TimeoutError):
                    async with asyncio.timeout(min(_SEND_TIMEOUT, self._ending.left(ORDERLY))):
                        await writer.wait_closed()  # what was answered has yet to be read
            finally:
                writer.transport.abort()
                del self._serving[task]

    async def drain(self, heard: ShutdownWaiter) -> None:
        """Take no more calls, and let those in progress finish while there is time."""
        self._refusing = True
        for connection in self._serving.values():
            connection.refuse()
        drained = asyncio.ensure_future(self._drained())
        now = asyncio.ensure_future(heard.now.wait())
        try:
            await asyncio.wait(
                (drained, now), timeout=self._ending.left(CALLS), return_when=asyncio.FIRST_COMPLETED
            )
            if not drained.done():
                log.warning("ending with calls in progress: %s", ", ".join(calls_in_progress()))
                patience = min(_TELLING, self._ending.left(SPARE))
                await asyncio.gather(
                    *(connection.cut(patience) for connection in tuple(self._serving.values())),
                    return_exceptions=True,
                )
        finally:
            drained.cancel()
            now.cancel()

    async def _drained(self) -> None:
        await asyncio.gather(*(connection.drain() for connection in self._serving.values()))

    async def close(self) -> None:
        """End the connections."""
        self._refusing = True
        for task in tuple(self._serving):
            task.cancel()
        if self._serving:
            await asyncio.wait(tuple(self._serving), timeout=self._ending.left(ORDERLY) + 0.1)


def _sender(writer: asyncio.StreamWriter) -> Callable[[bytes], Awaitable[None]]:
    async def send(message: bytes) -> None:
        writer.write(frame(message))
        try:
            async with asyncio.timeout(_SEND_TIMEOUT):
                await writer.drain()
        except TimeoutError:
            writer.transport.abort()  # a client that only writes would make its answers pile up
            raise

    return send


async def _serve_client(
    connection: ServerConnection, limit: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    splitter = LineSplitter(limit)
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            try:
                lines = splitter.feed(chunk)
            except LineTooLong as problem:
                lines = problem.lines
                await connection.write(
                    messages.error(None, InvalidRequest(f"a message may have at most {limit} bytes"))
                )
            for line in lines:
                await connection.receive(line)
        with _departure(writer) as gone:
            last = splitter.close()
            if last is not None and not gone.done():
                await connection.receive(last)
            connection.deafen()
            drained = asyncio.ensure_future(connection.drain())
            try:
                await asyncio.wait((drained, gone), return_when=asyncio.FIRST_COMPLETED)
            finally:
                drained.cancel()


@contextmanager
def _departure(writer: asyncio.StreamWriter) -> Generator[asyncio.Future[None]]:
    """Done once a client that sends no more does not read any more either.

    An epoll of its own tells only of that, and can be watched like any descriptor; elsewhere it is a matter of time.
    """
    loop = asyncio.get_running_loop()
    gone: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not gone.done():
            gone.set_result(None)

    if not hasattr(select, "epoll"):
        timer = loop.call_later(_UNSEEN, tell)
        try:
            yield gone
        finally:
            timer.cancel()
        return
    with select.epoll() as poll:
        poll.register(cast("socket.socket", writer.get_extra_info("socket")).fileno(), 0)
        if poll.poll(0):
            tell()
        loop.add_reader(poll.fileno(), tell)
        try:
            yield gone
        finally:
            loop.remove_reader(poll.fileno())


def _clear_stale(place: Path) -> None:
    """Remove a socket file that nobody listens on. Raises `ConnectFailed` when the place is taken."""
    try:
        mode = place.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConnectFailed(f"{place} exists and is no socket; choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(place))
        except (ConnectionRefusedError, FileNotFoundError):
            with suppress(FileNotFoundError):
                place.unlink()
            return
    raise ConnectFailed(f"another server is listening on {place}")
