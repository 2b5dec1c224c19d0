"""The address on this machine to which the browser comes back.

Theory of operation. A small HTTP server on the loopback addresses and a port that was free, open for one login: on both
of them, since a browser that is sent to ``localhost`` may try either, and another user could listen on the other one.
It takes a GET of one path; everything else gets a page that says so and changes nothing: other paths, other methods,
other hosts in the Host header, other people's states, half requests, floods, and programs of other users of this
machine, where the system tells whose they are (`local_peers`). What a proper answer is, is not decided here: the taker
is given the parameters and says which page to show. The page of the right answer is shown when the login is
really over, so that it never claims what then fails; a second request for it, by a reload, gets the same page.

Specification: RFC 8252 sections 7.3 and 8.3; OAuth 2.1 section 8.4; 2026-07-28 basic/authorization
"Communication Security".
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Self
from urllib.parse import urlsplit

from .authorization import single_valued
from .local_peers import is_strange
from .pages import CallbackPage, render
from .problems import LoginFailed

__all__ = ["Loopback", "Taker"]

_HEAD_LIMIT: Final = 24 * 1024
_HEAD_TIME: Final = 10.0
_WRITE_TIME: Final = 5.0
_CONNECTIONS: Final = 32
_TRIES: Final = 8
_ADDRESSES: Final = ("127.0.0.1", "::1")
_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})

#: Given the parameters of an answer, does what they are for and says which page to show.
Taker = Callable[[dict[str, str]], Awaitable[CallbackPage]]


class Loopback:
    """The server for one login: ``async with Loopback() as loopback: ...``.

    ``port``: 0 for any that is free. ``path``: of the redirect address. ``name``: how this machine is called in it.
    ``covers_localhost``: whether it is reached by that name, whichever address a browser takes for it. Raises
    `LoginFailed` when the port is taken.
    """

    def __init__(self, port: int = 0, *, path: str = "/callback", name: str = "127.0.0.1") -> None:
        if name not in _HOSTS:
            raise ValueError("the browser may come back to this machine only")
        self._wanted = port
        self._path = path
        self._name = name
        self._servers: list[asyncio.Server] = []
        self._taker: Taker | None = None
        self._handlers: dict[asyncio.Task[None], None] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self.port = 0
        self.covers_localhost = False

    @property
    def redirect_uri(self) -> str:
        """Where the browser is sent back to."""
        return f"http://{self._name}:{self.port}{self._path}"

    def check(self, redirect_uri: str) -> None:
        """Raise `LoginFailed` for a redirect address by which a browser may reach somebody else on this machine."""
        if urlsplit(redirect_uri).hostname == "localhost" and not self.covers_localhost:
            raise _taken(self.port, "somebody else listens on it at another loopback address")

    def listen_for(self, taker: Taker) -> None:
        """From now on, give answers to ``taker``; before, they get the page of a stranger."""
        self._taker = taker

    async def __aenter__(self) -> Self:
        sockets = self._open()
        self.port = int(sockets[0].getsockname()[1])
        for sock in sockets:
            self._servers.append(
                await asyncio.start_server(self._connected, sock=sock, limit=_HEAD_LIMIT, backlog=16)
            )
        return self

    def _open(self) -> list[socket.socket]:
        """Sockets at both addresses, at the same port. Raises `LoginFailed`."""
        for _ in range(1 if self._wanted else _TRIES):
            sockets = self._bound()
            self.covers_localhost = len(sockets) == len(_ADDRESSES) or not _has_ipv6()
            if self.covers_localhost or (self._wanted and self._name != "localhost"):
                return sockets
            for sock in sockets:
                sock.close()
        raise _taken(self._wanted, "somebody else listens on it at another loopback address")

    def _bound(self) -> list[socket.socket]:
        """The first address, which has to be had, and the other one at the same port, if that can be had."""
        first, other = _ADDRESSES if self._name != "[::1]" else _ADDRESSES[::-1]
        try:
            sockets = [_listening(first, self._wanted)]
        except OSError as problem:
            raise _taken(self._wanted, problem.strerror or type(problem).__name__) from None
        with suppress(OSError):
            sockets.append(_listening(other, int(sockets[0].getsockname()[1])))
        return sockets

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        if self._answering:  # the last page may still be on its way to the browser
            await asyncio.wait(list(self._answering), timeout=_WRITE_TIME)
        late = list(self._handlers)  # a browser opens connections that it then does not use
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._handlers) >= _CONNECTIONS:  # whoever has said nothing for longest makes room
            oldest = next((each for each in self._handlers if each not in self._answering), None)
            if oldest is None:
                writer.transport.abort()
                return
            del self._handlers[oldest]
            oldest.cancel()
        task = asyncio.create_task(self._handle(reader, writer))
        self._handlers[task] = None
        task.add_done_callback(lambda done: self._handlers.pop(done, None))

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        try:
            async with asyncio.timeout(_HEAD_TIME):
                head = await reader.readuntil(b"\r\n\r\n")
            if task is not None:
                self._answering.add(task)
            strange = await asyncio.to_thread(
                is_strange, writer.get_extra_info("sockname"), writer.get_extra_info("peername")
            )
            page = CallbackPage.STRANGE if strange else await self._page(head)
            async with asyncio.timeout(_WRITE_TIME):
                writer.write(render(page))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            return
        finally:
            if task is not None:
                self._answering.discard(task)
            writer.transport.abort()

    async def _page(self, head: bytes) -> CallbackPage:
        """The page for one request."""
        lines = head.decode("latin-1").split("\r\n")
        parts = lines[0].split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            return CallbackPage.MALFORMED
        hosts = [line.partition(":")[2].strip().lower() for line in lines[1:] if line[:5].lower() == "host:"]
        if len(hosts) != 1 or hosts[0] not in {f"{name}:{self.port}" for name in _HOSTS}:
            return CallbackPage.FORBIDDEN
        try:
            target = urlsplit(parts[1])
        except ValueError:
            return CallbackPage.MALFORMED
        if target.path != self._path or target.netloc or not parts[1].startswith("/"):
            return CallbackPage.NOT_FOUND
        if parts[0] != "GET":
            return CallbackPage.METHOD
        try:
            answer = single_valued(target.query)
        except LoginFailed:
            return CallbackPage.MALFORMED
        return CallbackPage.STRANGER if self._taker is None else await self._taker(answer)


def _listening(address: str, port: int) -> socket.socket:
    """A socket that nobody else can bind as well. Raises OSError."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)  # Windows lets others bind it, too, without
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR if exclusive is None else exclusive, 1)
        if ":" in address:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
        sock.listen(16)
    except BaseException:
        sock.close()
        raise
    return sock


def _has_ipv6() -> bool:
    """Whether this machine has the loopback address of IPv6."""
    try:
        _listening("::1", 0).close()
    except OSError:
        return False
    return True


def _taken(port: int, reason: str) -> LoginFailed:
    return LoginFailed(
        f"port {port} on this machine, to which the browser is to come back, can't be used: {reason}; close what"
        " has it, or choose another"
    )
