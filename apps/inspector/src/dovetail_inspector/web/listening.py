"""Sockets of this machine alone, and serving an application on them with uvicorn.

Specification: basic/transports, "Security Warning".
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["listener", "serve_on"]


def listener(port: int, host: str = "127.0.0.1") -> socket.socket:
    """A socket of this machine alone. Raises OSError for a port that is taken, OverflowError for none."""
    found = bound(port, host, shared=True)
    try:
        found.listen()
    except OSError:
        found.close()
        raise
    return found


def bound(port: int, host: str, *, shared: bool = False) -> socket.socket:
    """A socket with an address, which takes no connections yet. ``shared``: also where one that ended had it shortly
    ago; such a socket has to listen at once, or others could have its address, too.
    """
    # With its protocol named, asyncio turns Nagle's algorithm off for it.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared and hasattr(socket, "SO_REUSEADDR") and not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
    except (OSError, OverflowError):
        found.close()
        raise
    return found


async def serve_on(
    app: Any,
    sockets: Sequence[socket.socket],
    *,
    started: Callable[[], None],
    ending: Callable[[], None] = lambda: None,
) -> None:
    """Take connections until it is cancelled, which ends those that there are. ``started``: called when they are taken,
    ``ending``: before they are ended.

    Raises ImportError without uvicorn, which names the extra.
    """
    try:
        import uvicorn
    except ImportError:
        raise ImportError("the page needs uvicorn: pip install 'dovetail[server]'") from None

    class PageServer(uvicorn.Server):
        """uvicorn, which says when it takes connections, and leaves signals to whoever runs it."""

        async def startup(self, sockets: list[Any] | None = None) -> None:
            """Called by uvicorn."""
            await super().startup(sockets=sockets)
            started()

        async def shutdown(self, sockets: list[Any] | None = None) -> None:
            """Called by uvicorn."""
            ending()
            await super().shutdown(sockets=sockets)

        @contextmanager
        def capture_signals(self) -> Generator[None]:
            """Called by uvicorn, whose own would send SIGTERM on to a process that still has captures to remove."""
            yield

    config = uvicorn.Config(
        app,
        log_level="error",  # what another page asks for in vain is no matter of the terminal
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
        access_log=False,
    )
    server = PageServer(config)
    serving = asyncio.create_task(server.serve(sockets=[*sockets]), name="the page")
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await asyncio.wait((serving,))
