"""Serving lines on a unix socket: the framing of stdio, many clients at once.

Whoever may open the socket file may call: it is made for its owner alone. Specification:
basic/transports/stdio (2026-07-28), which lets any reliable byte stream carry its framing.
"""

import asyncio
import os
import signal
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path

from ..protocol import messages
from ..protocol.bindings.lines import LineSplitter, LineTooLong, frame
from ..protocol.errors import ConnectFailed, InvalidRequest
from ..runtime.connection import ServerConnection
from ..runtime.service import Service

_CHUNK = 256 * 1024
_SEND_TIMEOUT = 60.0


async def serve_unix(
    service: Service,
    *,
    path: str | os.PathLike[str],
    max_clients: int = 1000,
    ready: asyncio.Event | None = None,
) -> None:
    """Serve lines on the unix socket ``path`` until cancelled, or until SIGTERM or SIGINT. Raises
    `ConnectFailed`.

    ``max_clients`` bounds the connections at a time; ``ready`` is set once clients can connect. A socket
    file that nobody listens on any more is replaced; any other file is left alone.
    """
    place = Path(path)
    await asyncio.to_thread(_clear_stale, place)
    clients: set[asyncio.Task[None]] = set()

    async def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(clients) >= max_clients:
            writer.close()
            return
        clients.add(task)
        try:
            await _serve_client(service, reader, writer)
        except asyncio.CancelledError:
            pass  # the server ends; asyncio 3.11 would report a cancelled client as an error of the loop
        finally:
            clients.discard(task)

    await service.start()
    mask = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(serve_client, place, limit=_CHUNK, backlog=max_clients)
    except OSError as problem:
        await service.stop()
        raise ConnectFailed(f"can't listen on the unix socket {place}: {problem.strerror}") from None
    finally:
        os.umask(mask)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError, ValueError, RuntimeError):
            loop.add_signal_handler(number, stopping.set)
    try:
        sys.stderr.write(f"dovetail: serving on {place}\n")
        if ready is not None:
            ready.set()
        await stopping.wait()
    finally:
        server.close()
        for task in tuple(clients):
            task.cancel()
        if clients:
            await asyncio.wait(tuple(clients))
        await service.stop()
        await asyncio.to_thread(place.unlink, missing_ok=True)


async def _serve_client(service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async def send(message: bytes) -> None:
        writer.write(frame(message))
        try:
            async with asyncio.timeout(_SEND_TIMEOUT):
                await writer.drain()
        except TimeoutError:
            writer.transport.abort()  # a client that only writes would make its answers pile up
            raise

    connection = ServerConnection(service, send, transport="unix")
    splitter = LineSplitter(service.max_message)
    try:
        while chunk := await reader.read(_CHUNK):
            try:
                lines = splitter.feed(chunk)
            except LineTooLong as problem:
                lines = problem.lines
                refusal = InvalidRequest(f"a message may have at most {service.max_message} bytes")
                await send(messages.error(None, refusal))
            for line in lines:
                await connection.receive(line)
    except (OSError, TimeoutError):
        pass
    finally:
        await connection.close()
        writer.close()


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
