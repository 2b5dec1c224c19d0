"""The HTTP backend that clients use unless they are given another: HTTP/1.1 on plain asyncio.

Theory of operation. Connections are kept for the next request to the same origin, the one that was used last first,
for a few seconds, sooner than common servers close them; one timer looks after all that wait. There is no limit on
connections in use, since an answer to the server needs one while calls hold theirs; the transport limits calls
instead. No redirect is followed, no cookie kept, no ``.netrc`` read.

A server may close a connection that waits, and what it said last may still lie unread, if the program kept the event
loop busy meanwhile. So a connection on which anything lies unread is not used, and none that waited for longer than the
server said it keeps them. What is left is the race that HTTP has: a server that closes while the request is on its way.

A request goes out once. If its connection ends before any of the answer came, it is sent again, on a new connection,
only if it is ``repeatable``. A request that is cancelled closes its connection: the answer may still come.

What this does not do, aiohttp does: URLs for which the environment names a proxy go through it (`aiohttp_backend`),
and only then is aiohttp loaded.
Specification: RFC 9110; RFC 9112, section 9.3.1 "Retrying Requests"; the rest is ours.
"""

import asyncio
import errno
import math
import ssl as tls
from typing import Final, NamedTuple

from ....protocol.errors import Closed, ConnectFailed, LocalProtocolError, closed_in_use
from ...deadlines import nothing_sent
from .connection import HTTPClientConnection, shortened
from .http_backend import BackendResponse, ConnectRefused, Headers, HTTPBackend
from .origins import OriginServer, has_body, head_of, origin_of
from .proxies import proxy_for

__all__ = ["HTTP1Backend"]

_MAX_IDLE: Final = 100
_MAX_POOLS: Final = 256
_MAX_HEADS: Final = 64
_MAX_HEAD: Final = 4096
_CLOSE_TIME: Final = 5.0
_NO_BODY: Final = b""


class _Pool(NamedTuple):
    """Where a URL leads: to a place whose connections wait in ``idle``."""

    server: OriginServer
    idle: list[HTTPClientConnection]


class _Prepared(NamedTuple):
    """The request of before: the next one is most often like it."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    pool: _Pool | None
    head: bytes


class HTTP1Backend:
    """An `HTTPBackend` of our own. Make and use it inside one running event loop.

    ``unix_socket``: connect there whatever host a URL names. ``ssl``: a context, for private authorities or client
    certificates; by default certificates are checked against the system's. ``connect_timeout``: seconds for name,
    connection and handshake together (default 10). ``keep_alive``: seconds an idle connection is kept (default 4,
    below the 5 of common servers). ``trust_env``: use the proxies of the environment (default).
    """

    def __init__(
        self,
        *,
        unix_socket: str | None = None,
        ssl: tls.SSLContext | None = None,
        connect_timeout: float = 10.0,
        keep_alive: float = 4.0,
        trust_env: bool = True,
    ) -> None:
        self.loop: Final = asyncio.get_running_loop()
        self._unix_socket = unix_socket
        self._ssl = ssl
        self._connect_timeout = connect_timeout
        self._keep_alive = keep_alive
        self._proxies = trust_env and unix_socket is None
        self._proxied: HTTPBackend | None = None
        self._heads: dict[tuple[object, ...], tuple[_Pool | None, bytes]] = {}
        self._last: _Prepared | None = None
        self._pools: dict[str, _Pool | None] = {}
        self._idle: dict[tuple[str, str, int], _Pool] = {}
        self._open: set[HTTPClientConnection] = set()
        self._attempts: set[asyncio.Timeout] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self._emptied: asyncio.Event | None = None

    async def request(
        self, method: str, url: str, headers: Headers, body: bytes | None = None, *, repeatable: bool = False
    ) -> BackendResponse:
        """Send a request and await the headers of its response; see `HTTPBackend.request`."""
        if self._closed:
            raise Closed("the connection was closed")
        last = self._last
        if last is not None and headers is last.headers and url == last.url and method == last.method:
            pool, head = last.pool, last.head
        else:
            pool, head = self._prepared(method, url, headers)
        if pool is None:
            return await self._through_proxy().request(method, url, headers, body, repeatable=repeatable)
        if body is None and has_body(method, body):
            body = _NO_BODY
        connection = self._waiting(pool)
        if connection is None:
            with nothing_sent():
                connection = await self._connected(pool)
        while True:
            answer = connection.send(head, body, bodiless=method == "HEAD")
            try:
                if connection.partial and body is not None:
                    await connection.send_rest(answer, body)
                await answer.begun
            except BaseException:
                connection.discard()
                raise
            if answer.failure is None:
                return answer
            if self._closed:
                raise closed_in_use("the connection was closed while it was in use")
            if not repeatable or answer.heard:
                raise answer.failure
            repeatable = False
            connection = await self._connected(pool)

    async def close(self) -> None:
        """Close all connections; requests that are open fail. Idempotent, bounded."""
        self._closed = True
        self._heads.clear()
        self._last = None
        if self._sweeper is not None:
            self._sweeper.cancel()
        for attempt in self._attempts:
            attempt.reschedule(0)
        for connection in tuple(self._open):
            connection.drop()
        if self._proxied is not None:
            await self._proxied.close()
        if self._open:
            self._emptied = self._emptied or asyncio.Event()
            try:
                async with asyncio.timeout(_CLOSE_TIME):
                    await self._emptied.wait()
            except TimeoutError:
                pass

    # Requests

    def _prepared(self, method: str, url: str, headers: Headers) -> tuple[_Pool | None, bytes]:
        """Where a request goes, and the head it begins with; both are kept for those like it."""
        key = (method, url, *headers)
        found = self._heads.get(key)
        if found is None:
            found = (self._pool(url), head_of(method, url, headers))
            if len(found[1]) > _MAX_HEAD:
                return found
            if len(self._heads) >= _MAX_HEADS:
                self._heads.clear()
            self._heads[key] = found
        if isinstance(headers, tuple):  # nobody can change it
            self._last = _Prepared(method, url, headers, *found)
        return found

    def _pool(self, url: str) -> _Pool | None:
        if url in self._pools:
            return self._pools[url]
        pool = None
        if not self._proxies or proxy_for(url) is None:
            origin = origin_of(url)
            pool = self._idle.get(origin)
            if pool is None:
                server = OriginServer(*origin, unix_socket=self._unix_socket, ssl=self._ssl)
                pool = self._idle[origin] = _Pool(server, [])
        if len(self._pools) >= _MAX_POOLS:
            self._pools.clear()
            self._idle.clear()
            self._heads.clear()
            self._last = None
        self._pools[url] = pool
        return pool

    def _through_proxy(self) -> HTTPBackend:
        if self._proxied is None:
            from .aiohttp_backend import AiohttpBackend

            self._proxied = AiohttpBackend(
                ssl=self._ssl, connect_timeout=self._connect_timeout, keep_alive=self._keep_alive
            )
        return self._proxied

    # Connections

    def _waiting(self, pool: _Pool) -> HTTPClientConnection | None:
        """A connection that was kept, if one is good enough still."""
        idle = pool.idle
        now = self.loop.time() if idle else 0.0
        while idle:
            connection = idle.pop()
            waited = now - connection.since
            if connection.quiet and waited <= self._keep_alive and waited <= connection.kept:
                return connection
            connection.drop()
        return None

    async def _connected(self, pool: _Pool) -> HTTPClientConnection:
        """A new connection. Raises `ConnectFailed` or `Closed`."""
        server = pool.server
        attempt = asyncio.timeout(self._connect_timeout)
        try:
            async with attempt:
                self._attempts.add(attempt)
                try:
                    connection = await server.connect(self.loop, lambda: self._new(pool))
                finally:
                    self._attempts.discard(attempt)
        except TimeoutError:
            self._check()
            raise ConnectFailed(
                f"cannot connect to {server.shown}: no answer within {self._connect_timeout:g} s"
            ) from None
        except OSError as problem:
            self._check()
            refused = problem.errno in (errno.ECONNREFUSED, errno.ENOENT)
            kind = ConnectRefused if refused else ConnectFailed
            raise kind(f"cannot connect to {server.shown}: {_reason(problem)}") from None
        except (ValueError, RuntimeError) as problem:
            raise LocalProtocolError(
                f"the request to {server.shown} cannot be made: {type(problem).__name__}"
            ) from None
        self._open.add(connection)
        if self._closed or not connection.usable:
            connection.drop()
            self._open.discard(connection)
            self._check()
            raise ConnectFailed(f"cannot connect to {server.shown}: it closed the connection at once")
        return connection

    def _new(self, pool: _Pool) -> HTTPClientConnection:
        return HTTPClientConnection(self.loop, pool.server.shown, pool.idle, free=self._free, gone=self._gone)

    def _check(self) -> None:
        if self._closed:
            raise Closed("the connection was closed")

    def _free(self, connection: HTTPClientConnection) -> None:
        """A connection has done its work and can do more."""
        if self._closed or len(connection.idle) >= _MAX_IDLE:
            connection.discard()
            return
        connection.since = self.loop.time()
        connection.idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(self._keep_alive, self._sweep)

    def _gone(self, connection: HTTPClientConnection) -> None:
        """A connection is closed."""
        self._open.discard(connection)
        if connection in connection.idle:
            connection.idle.remove(connection)
        if self._emptied is not None and not self._open:
            self._emptied.set()

    def _sweep(self) -> None:
        """Close what nobody used for a while."""
        oldest, soonest = self.loop.time() - self._keep_alive, math.inf
        for connection in tuple(self._open):
            if connection.since <= oldest:
                connection.drop()
            else:
                soonest = min(soonest, connection.since)
        waits = soonest < math.inf
        self._sweeper = self.loop.call_at(soonest + self._keep_alive, self._sweep) if waits else None


def _reason(problem: OSError) -> str:
    text = getattr(problem, "verify_message", None) or problem.strerror or str(problem)
    return shortened(text) or type(problem).__name__
