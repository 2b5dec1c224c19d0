"""The HTTP backend for what goes through proxies: aiohttp, with everything that surprises switched off.

Theory of operation. Where the environment names a proxy for a URL, `http1_backend` hands the request on to this one;
it can also be given to a transport as its ``backend``. aiohttp moves bytes; what it would do beyond that is decided
here. Redirects are not followed, cookies are not kept, ``.netrc`` is not read (aiohttp couples that to proxies from
the environment, so those are looked up here, once per URL and never for loopback addresses). There is no limit on
connections, since an answer to the server needs one while calls hold theirs; the transport limits calls
instead. Idle connections are given up after a few seconds, sooner than common servers do it, so that a
request hardly ever meets a connection that is just being closed. If one does all the same, it is sent again
only if it is ``repeatable``: a tool call goes out once.

A compressed body is decompressed piece by piece, each of bounded size; whoever reads it counts.
Specification: RFC 9112 section 9.3.1 "Retrying Requests"; the rest is ours.
"""

import asyncio
import errno
import io
import socket
import ssl as tls
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_address
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

from ....protocol.bindings.origins import is_local_name
from ....protocol.errors import (
    Closed,
    ConnectFailed,
    ConnectionLost,
    LocalProtocolError,
    TransportError,
    closed_in_use,
)
from ....security.addresses import is_loopback
from .http_backend import BackendResponse, ConnectRefused, Headers
from .proxies import proxy_for

__all__ = ["AiohttpBackend"]

_LARGE_BODY: Final = 512 * 1024
_MAX_HEADERS: Final = 128
_MAX_HEADER: Final = 16 * 1024
#: Turns of the event loop until it has read the end of a kept connection that came while it stood still.
_TURNS: Final = 3
_CLOSE_TIME: Final = 5.0


def _aiohttp() -> ModuleType:
    try:
        import aiohttp
    except ImportError:
        raise ImportError("talking HTTP needs aiohttp: pip install 'dovetail[client]'") from None
    return aiohttp


class AiohttpBackend:
    """An `HTTPBackend` on aiohttp. Make and use it inside one running event loop.

    ``unix_socket``: connect there whatever host a URL names. ``ssl``: a context, for private authorities or
    client certificates. ``connect_timeout``: seconds for name, connection and handshake together (default
    10). ``keep_alive``: seconds an idle connection is kept (default 4, below the 5 of common servers).
    ``trust_env``: use the proxies of the environment (default). Raises ImportError, which names the extra,
    without aiohttp.
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
        aiohttp: Any = _aiohttp()
        options: dict[str, Any] = {"limit": 0, "keepalive_timeout": keep_alive}
        if unix_socket is None:
            options["resolver"] = _resolver(aiohttp)
            connector = aiohttp.TCPConnector(ssl=True if ssl is None else ssl, **options)
        else:
            connector = aiohttp.UnixConnector(unix_socket, **options)
        self._http: Any = aiohttp
        self._connect_timeout = connect_timeout
        self._proxy = lru_cache(maxsize=64)(proxy_for if trust_env and unix_socket is None else _no_proxy)
        self._session: Any = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=connect_timeout, sock_connect=None, sock_read=None
            ),
            trust_env=False,
            auto_decompress=True,
            max_line_size=_MAX_HEADER,
            max_field_size=_MAX_HEADER,
            max_headers=_MAX_HEADERS,
            skip_auto_headers=("content-type", "user-agent"),
        )

    async def request(
        self, method: str, url: str, headers: Headers, body: bytes | None = None, *, repeatable: bool = False
    ) -> BackendResponse:
        """Send a request and await the headers of its response; see `HTTPBackend.request`."""
        if self._session.closed:
            raise Closed("the connection was closed")
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        while True:
            data = io.BytesIO(body) if body is not None and len(body) > _LARGE_BODY else body
            try:
                response = await self._session.request(
                    method, url, headers=headers, data=data, allow_redirects=False, proxy=self._proxy(url)
                )
            except (OSError, RuntimeError, ValueError, self._http.ClientError) as problem:
                failure = self._translated(problem, url)
                if not repeatable or not isinstance(failure, ConnectionLost):
                    raise failure from None
                repeatable = False
            else:
                return _AiohttpResponse(response, self._http.ClientError, url)

    def _translated(self, problem: Exception, url: str) -> Exception:
        http, origin = self._http, _origin(url)
        if self._session.closed:
            return closed_in_use("the connection was closed while it was in use")
        if isinstance(problem, http.ConnectionTimeoutError):
            return ConnectFailed(f"cannot connect to {origin}: no answer within {self._connect_timeout:g} s")
        if isinstance(problem, (http.ClientConnectorError, http.ClientConnectorCertificateError)):
            kind = ConnectRefused if _nobody_listens(problem) else ConnectFailed
            return kind(f"cannot connect to {origin}: {_reason(problem)}")
        if isinstance(problem, http.ClientHttpProxyError):
            return ConnectFailed(
                f"cannot connect to {origin}: the proxy refused with status {getattr(problem, 'status', 0)}"
            )
        if isinstance(problem, http.ClientResponseError):
            return ConnectionLost(
                f"{origin} did not answer in proper HTTP: {_shortened(str(getattr(problem, 'message', '')))}"
            )
        if isinstance(problem, (http.ServerDisconnectedError, OSError)):
            return ConnectionLost(f"{origin} ended the connection before it answered")
        if isinstance(problem, (http.InvalidURL, ValueError)):
            return LocalProtocolError(f"the request to {origin} cannot be made: {type(problem).__name__}")
        return TransportError(f"the request to {origin} failed: {type(problem).__name__}")

    async def close(self) -> None:
        """Close all connections. Idempotent, bounded."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIME):
                await self._session.close()


class _AiohttpResponse:
    """One response of aiohttp, as the client wants it."""

    __slots__ = ("_content", "_failure", "_response", "_url", "headers", "status")

    def __init__(self, response: Any, failure: type[Exception], url: str) -> None:
        self.status: int = response.status
        self.headers: Mapping[str, str] = _headers(response.headers)
        self._response = response
        self._content = response.content
        self._failure = failure
        self._url = url

    async def read(self) -> bytes:
        try:
            return await self._content.readany()
        except (OSError, RuntimeError, self._failure) as problem:
            reason = _shortened(str(problem)) or type(problem).__name__
            raise ConnectionLost(f"the answer of {_origin(self._url)} was cut off ({reason})") from None

    @property
    def ended(self) -> bool:
        return self._content.at_eof()

    def close(self) -> None:
        self._response.close()  # at the end of its body it has given its connection back already


def _headers(raw: Any) -> dict[str, str]:
    found: dict[str, str] = {name.lower(): value for name, value in raw.items()}
    if len(found) != len(raw):  # some came several times
        found = {name: ", ".join(raw.getall(name)) for name in found}
    return found


def _resolver(http: Any) -> Any:
    """The system's resolver, which is asked of this machine alone where a name means that."""
    system: Any = http.ThreadedResolver()

    class LoopbackResolver(http.abc.AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: int = socket.AF_INET
        ) -> list[dict[str, Any]]:
            if not is_local_name(host):
                return await system.resolve(host, port, family)
            found: list[dict[str, Any]] = await system.resolve("localhost", port, family)
            local = [{**each, "hostname": host} for each in found if is_loopback(ip_address(each["host"]))]
            if not local:
                raise OSError(f"{host} has no address")
            return local

        async def close(self) -> None:
            await system.close()

    return LoopbackResolver()


def _no_proxy(_: str) -> None:
    return None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _nobody_listens(problem: Exception) -> bool:
    """Whether a port, at one address of the host at least, refused; or a socket's file is not there."""
    inner = getattr(problem, "os_error", None)
    if getattr(inner, "errno", None) in (errno.ECONNREFUSED, errno.ENOENT):
        return True
    return f"[Errno {errno.ECONNREFUSED}]" in str(inner)  # several addresses, each with its own error


def _reason(problem: Exception) -> str:
    inner = getattr(problem, "os_error", None) or getattr(problem, "certificate_error", None) or problem
    return _shortened(getattr(inner, "strerror", None) or str(inner)) or type(inner).__name__


def _shortened(text: str) -> str:
    plain = "".join(character if character.isprintable() else " " for character in text[:200])
    return " ".join(plain.split())
