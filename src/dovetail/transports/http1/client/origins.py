"""Where requests go, and how a connection to there is made: names, addresses, TLS.

Theory of operation. A name that has several addresses is tried at all of them, a moment apart, and the first that
answers is taken, IPv6 and IPv4 by turns ("happy eyeballs"). Names that mean this machine (``localhost`` and those below
it) lead to loopback addresses and nowhere else, whatever a resolver says: what goes there may go unencrypted.
Certificates and the names in them are checked. The lines of a request's head that do not depend on its body are made
once, and refused if they would be read as other lines.
Specification: RFC 8305; RFC 9110 sections 5.1, 5.5 and 7.2; RFC 9112 sections 3.2 and 5.
"""

import asyncio
import errno
import re
import socket
import ssl as tls
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import Final, TypeVar
from urllib.parse import SplitResult, quote, urlsplit

from ....protocol.bindings.origins import is_local_name
from ....protocol.errors import LocalProtocolError
from ....security.addresses import is_loopback
from .http_backend import Headers

__all__ = ["OriginServer", "has_body", "head_of", "origin_of"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

_Address = tuple[int, int, tuple[str | int | bytes, ...]]
_STAGGER: Final = 0.25
_PORTS: Final = {"http": 80, "https": 443}
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BAD_VALUE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ASCII_HOST: Final = re.compile(r"[!$&'()*+,\-.:;=_~%0-9A-Za-z]+")
#: What may stand in a target as it is: all of ASCII that is neither space nor control, but for what no URL has.
_PLAIN: Final = "!#$%&'()*+,-./:;=?@[]_~"
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE", "TRACE"})


class OriginServer:
    """The server of an origin. ``shown``: the origin, for errors."""

    def __init__(
        self, scheme: str, host: str, port: int, *, unix_socket: str | None, ssl: tls.SSLContext | None
    ) -> None:
        bare = f"[{host}]" if ":" in host else host
        self.shown: Final = f"{scheme}://{bare}" if port == _PORTS[scheme] else f"{scheme}://{bare}:{port}"
        self.host: Final = host
        self.port: Final = port
        self._unix = unix_socket
        self._secure = scheme == "https"
        self._ssl = ssl

    async def connect(self, loop: asyncio.AbstractEventLoop, factory: Callable[[], P]) -> P:
        """A new connection. Raises OSError, of TLS too; UnicodeError for a name that can't be one."""
        context, name = None, None
        if self._secure:
            context, name = self._ssl or _default_context(), self.host.rstrip(".")
        if self._unix is not None:
            _, protocol = await loop.create_unix_connection(
                factory, self._unix, ssl=context, server_hostname=name
            )
            return protocol
        sock = await _reach(loop, self.host, self.port)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            _, protocol = await loop.create_connection(factory, sock=sock, ssl=context, server_hostname=name)
        except BaseException:
            sock.close()
            raise
        return protocol


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL. Raises `LocalProtocolError` for what is no address of HTTP."""
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme)
    if port is None or not parts.hostname:
        raise LocalProtocolError(f"a request can't be sent to an address of kind {parts.scheme[:20]!r}")
    return parts.scheme, _ascii_host(parts.hostname), port


def head_of(method: str, url: str, headers: Headers) -> bytes:
    """The lines of a request's head, up to where the length of its body is told.

    A request that has no body by its nature ends there. A caller may name another host than the URL does (a server that
    is known by its name, at an address that is not). Raises `LocalProtocolError` for what HTTP can't carry, and for
    headers that say how a body is sent.
    """
    parts = urlsplit(url)
    lines = [f"{_token(method, 'method')} {_target(parts)} HTTP/1.1"]
    if not any(name.lower() == "host" for name, _ in headers):
        lines.append(f"host: {_host_line(parts)}")
    for name, value in headers:
        if name.lower() in _FRAMING:
            raise LocalProtocolError(
                f"the header {name!r} can't be given: it depends on the body that is sent"
            )
        if _BAD_VALUE.search(value):
            raise LocalProtocolError(
                f"the value of header {name[:40]!a} holds characters that HTTP does not carry"
            )
        lines.append(f"{_token(name, 'header')}: {value}")
    return "\r\n".join([*lines, ""]).encode()


def has_body(method: str, body: bytes | None) -> bool:
    """Whether the length of a body is told; most methods have one even if it is empty."""
    return body is not None or method not in _BODILESS


def _token(text: str, what: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise LocalProtocolError(f"{text[:40]!a} is not the name of an HTTP {what}")
    return text


def _target(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe=_PLAIN)
    return f"{path}?{quote(parts.query, safe=_PLAIN)}" if parts.query else path


def _host_line(parts: SplitResult) -> str:
    host = _ascii_host(parts.hostname or "")
    bare = f"[{host}]" if ":" in host else host
    return bare if parts.port in (None, _PORTS.get(parts.scheme)) else f"{bare}:{parts.port}"


def _ascii_host(host: str) -> str:
    try:
        plain = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        plain = ""
    if not _ASCII_HOST.fullmatch(plain):
        raise LocalProtocolError(f"{host[:80]!a} is not the name of a host")
    return plain


@lru_cache(maxsize=1)
def _default_context() -> tls.SSLContext:
    context = tls.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


# Addresses


async def _reach(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    """A socket that is connected to one of the host's addresses. Raises OSError."""
    literal = _literal(host, port)
    addresses = [literal] if literal is not None else await _look_up(loop, host, port)
    if len(addresses) == 1:
        return await _open(loop, addresses[0])
    return await _first(loop, addresses)


def _literal(host: str, port: int) -> _Address | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):
            socket.inet_pton(family, host)
            return family, 0, (host, port)
    return None


async def _look_up(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[_Address]:
    local = is_local_name(host)
    found = await loop.getaddrinfo("localhost" if local else host, port, type=socket.SOCK_STREAM)
    if local:
        found = [each for each in found if is_loopback(ip_address(str(each[4][0])))]
    families: dict[int, list[_Address]] = {}
    for family, _, protocol, _, address in found:
        families.setdefault(family, []).append((family, protocol, address))
    by_turns = chain.from_iterable(zip_longest(*families.values()))
    addresses = [address for address in by_turns if address is not None]
    if not addresses:
        raise OSError(f"{host} has no address")
    return addresses


async def _open(loop: asyncio.AbstractEventLoop, address: _Address) -> socket.socket:
    family, protocol, where = address
    sock = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


async def _first(loop: asyncio.AbstractEventLoop, addresses: list[_Address]) -> socket.socket:
    """Try one address after the other, the next when one failed or a moment has gone; the first to answer counts.

    Raises the refusal of one if any refused: then the host is there, and nobody listens.
    """
    left, failures = deque(addresses), list[BaseException]()
    trying: set[asyncio.Task[socket.socket]] = set()
    try:
        while left or trying:
            if left:
                trying.add(loop.create_task(_open(loop, left.popleft())))
            done, _ = await asyncio.wait(
                trying, timeout=_STAGGER if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                trying.discard(task)
                problem = task.exception()
                if problem is None:
                    return task.result()
                failures.append(problem)
    finally:
        for task in trying:
            task.cancel()
            task.add_done_callback(_closed)
    refused = [each for each in failures if getattr(each, "errno", None) == errno.ECONNREFUSED]
    raise (refused or failures)[0]


def _closed(task: asyncio.Task[socket.socket]) -> None:
    """Nobody wants this one any more."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
