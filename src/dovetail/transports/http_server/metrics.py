"""A page that says what is counted, for whoever collects metrics.

Theory of operation. What it shows is nobody's secret, and still nobody's business: it is for this machine, unless
addresses are allowed by name. A request that came through a proxy says so in its headers, and then its sender's
address is the proxy's: it is not taken for one from here. Like a prober, a collector names a server by whatever address
it has, so for who may read, Host does not matter; a page in a browser says where it is from, and reads nothing.

Specification: none; this is operation, not protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from .answering import Scope, Send, answer
from .head import Head

__all__ = ["MetricsPage"]

_READ_ONLY: Final = ("GET", "HEAD")
_FORWARDED: Final = (b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via")
_LOCAL: Final = "unix"


class MetricsPage:
    """Answers at ``path`` with what ``render`` gives for an ``Accept`` header: the page and its content type.

    ``allowed``: addresses and networks that may read it besides this machine, and "unix" for who comes by a unix
    socket. Raises ValueError for what is none.
    """

    def __init__(
        self, path: str, render: Callable[[str], tuple[bytes, str]], allowed: Sequence[str] = ()
    ) -> None:
        if path[:1] != "/" or not path.rstrip("/"):
            raise ValueError(f"metrics={path!r} is no path beside the endpoint; write one such as '/metrics'")
        self.path = path.rstrip("/")
        self._render = render
        self._local = _LOCAL in allowed
        self._allowed: list[IPv4Network | IPv6Network] = []
        for each in allowed:
            if each != _LOCAL:
                try:
                    self._allowed.append(ip_network(each))
                except ValueError as problem:
                    raise ValueError(f"metrics_allow_ips: {problem}") from None

    def at(self, path: str) -> bool:
        """Whether this is the page's path."""
        return path.rstrip("/") == self.path

    async def serve(self, scope: Scope, head: Head, send: Send) -> bool:
        """Answer a request to read. False when it is none, not for here, or not from one who may."""
        path: str = scope["path"]
        root: str = scope.get("root_path", "").rstrip("/")
        if root and path.startswith(root + "/"):
            path = path[len(root) :]
        if not self.at(path) or head.method not in _READ_ONLY or not self.readable(head):
            return False
        accept = head.headers.get(b"accept", b"").decode("latin-1")[:1024]
        body, kind = await asyncio.to_thread(self._render, accept)
        extra = ((b"cache-control", b"no-store"),)
        await answer(
            send, 200, b"" if head.method == "HEAD" else body, extra, kind=((b"content-type", kind.encode()),)
        )
        return True

    def readable(self, head: Head) -> bool:
        """Whether a request is from one who may read."""
        headers = head.headers
        if b"origin" in headers or headers.get(b"sec-fetch-site", b"none") != b"none":
            return False
        if head.remote is None:
            return self._local
        try:
            address = ip_address(head.remote)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        address = address if mapped is None else mapped
        if any(address in network for network in self._allowed):
            return True
        return address.is_loopback and not any(name in headers for name in _FORWARDED)
