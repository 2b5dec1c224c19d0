"""Who may talk to this endpoint: the Host and Origin headers.

Theory of operation. A web page can make a browser send requests to a server on the same machine,
and can point its own name at that machine (DNS rebinding). Two headers give it away, which pages
cannot forge: Host, the name the browser thinks it talks to, and Origin, where the page came from.
Both are parsed strictly, and what does not parse is refused; comparing is then exact. Nothing is
matched by prefix, suffix or substring, apart from an explicit leading ``*.`` in an allow-list.

Addresses count only in their plain form: browsers write any other spelling (``127.1``, ``0x7f.1``,
a trailing dot after digits) plainly before sending, so the others are refused.

Specification: basic/transports, "Security Warning" (stateful era); streamable-http, "Security &
Endpoint" (2026-07-28).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

__all__ = [
    "Authority",
    "Origin",
    "OriginPolicy",
    "OriginRefusal",
    "is_local_name",
    "parse_host",
    "parse_origin",
]

_MAX_HOST: Final = 300
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,31}")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_OWS: Final = " \t"
_ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class Authority:
    """A host and perhaps a port. ``host`` is in lower case, without a trailing dot or brackets."""

    host: str
    port: int | None = None

    @property
    def is_loopback(self) -> bool:
        """``localhost``, 127.0.0.0/8 or ::1, and nothing that merely looks like them."""
        return self.host in ("localhost", "::1") or (self.host[:4] == "127." and _is_ipv4(self.host))


@dataclass(frozen=True, slots=True)
class Origin:
    """A parsed origin; the port is filled in for http and https."""

    scheme: str
    authority: Authority


@dataclass(frozen=True, slots=True)
class OriginRefusal:
    """Why a request is refused: the HTTP status to answer with, and a reason fit for the body and the log."""

    status: int
    reason: str


def parse_host(value: bytes | str | None) -> Authority | None:
    """Parse a Host header: a name, an IPv4 address or a bracketed IPv6 address, and perhaps a port.

    None for anything else: user information, paths, lists, percent-encodings, non-ASCII names
    (browsers send those as ``xn--``), zone identifiers, odd spellings of addresses.
    """
    text = _ascii(value)
    if text is None:
        return None
    if text.startswith("["):
        inner, bracket, rest = text[1:].partition("]")
        host = _ipv6(inner) if bracket else None
        if rest and not rest.startswith(":"):
            return None
        port = rest[1:] if rest else None
    else:
        name, colon, port_text = text.partition(":")
        host = _name(name)
        port = port_text if colon else None
    if host is None:
        return None
    if port is None:
        return Authority(host)
    if not _PORT.fullmatch(port) or int(port) > 65535:
        return None
    return Authority(host, int(port))


def parse_origin(value: bytes | str | None) -> Origin | None:
    """Parse an Origin header of the form ``scheme://host[:port]``; None for anything else, also ``null``."""
    text = _ascii(value)
    if text is None:
        return None
    scheme, separator, rest = text.partition("://")
    authority = parse_host(rest) if separator else None
    if authority is None or not _SCHEME.fullmatch(scheme):
        return None
    if authority.port is None:
        authority = Authority(authority.host, _DEFAULT_PORTS.get(scheme))
    return Origin(scheme, authority)


def is_local_name(host: str) -> bool:
    """Whether a host (of a URL: without brackets) says itself that it is this machine: ``localhost`` and every name
    below it, 127.0.0.0/8, ::1. Such names mean nothing else to anybody, so nobody else is asked about them (RFC 6761,
    section 6.3).
    """
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return _is_ipv4(name) if name[:4] == "127." else ":" in name and _ipv6(name) == "::1"


def _ascii(value: bytes | str | None) -> str | None:
    """The trimmed lower-case text of a header, if it is short ASCII."""
    if value is None or len(value) > _MAX_HOST or not value.isascii():
        return None
    text = value.decode("ascii") if isinstance(value, bytes) else value
    return text.strip(_OWS).lower()


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def _ipv6(text: str) -> str | None:
    try:
        return None if "%" in text else str(IPv6Address(text))
    except AddressValueError:
        return None


def _name(text: str) -> str | None:
    """A host name or IPv4 address. A name whose last label is a number is an address or nothing."""
    name = text.removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return None
    if _NUMBER.fullmatch(labels[-1]):
        return text if _is_ipv4(text) else None
    return name


class OriginPolicy:
    """The rule of one endpoint. Immutable.

    ``allowed_hosts``: names this server is reached by. ``api.example`` allows any port,
    ``api.example:8443`` that port only, ``*.example`` every name below, ``*`` every host.
    None (the default) allows loopback only.

    ``allowed_origins``: pages that may call it. ``https://app.example`` (its default port),
    ``https://app.example:*`` any port, ``https://*.example`` every name below, ``null`` opaque
    origins, ``*`` every origin. None (the default) allows loopback pages if hosts are loopback
    only, and otherwise pages of the very host they call, if that host is listed (not by ``*``).

    Raises ValueError for an entry that cannot be parsed.
    """

    __slots__ = ("_any_host", "_any_origin", "_hosts", "_loopback", "_null", "_origins", "_same_host")

    def __init__(
        self,
        allowed_hosts: tuple[str, ...] | None = None,
        allowed_origins: tuple[str, ...] | None = None,
    ) -> None:
        self._loopback = allowed_hosts is None
        self._any_host = _ANY in (allowed_hosts or ())
        self._hosts = frozenset(_host_entry(entry) for entry in allowed_hosts or () if entry != _ANY)
        self._same_host = allowed_origins is None and not self._any_host
        self._any_origin = _ANY in (allowed_origins or ())
        self._null = "null" in (allowed_origins or ())
        self._origins = frozenset(
            _origin_entry(entry) for entry in allowed_origins or () if entry not in (_ANY, "null")
        )

    @classmethod
    def for_bind(cls, address: str) -> OriginPolicy:
        """The default for a server bound to ``address``: loopback only there, else any host.

        A server reachable from outside cannot guess its names, so every Host passes; pages of
        other origins are then refused unless a policy with ``allowed_origins`` is given.
        """
        bare = f"[{address}]" if ":" in address else address
        authority = parse_host(bare)
        inside = authority is not None and authority.is_loopback
        return cls() if inside else cls(allowed_hosts=(_ANY,))

    def judge(
        self,
        host: bytes | str | None,
        origin: bytes | str | None = None,
        sec_fetch_site: bytes | str | None = None,
    ) -> OriginRefusal | None:
        """Judge one request by its Host, Origin and Sec-Fetch-Site headers; None lets it pass.

        Pass None for an absent header, and for a header sent more than once all values joined by a
        comma, which is refused. Without an Origin header a request is not from a page's script,
        unless Sec-Fetch-Site says ``cross-site``.
        """
        authority = parse_host(host)
        if not self._any_host and not (authority is not None and self._allows_host(authority)):
            return OriginRefusal(
                403, "the Host header does not name this server; see the server's allowed hosts"
            )
        if origin is not None:
            if not self._allows_origin(origin, authority):
                return OriginRefusal(
                    403, "the Origin header is not allowed; see the server's allowed origins"
                )
            return None
        if sec_fetch_site is not None and _ascii(sec_fetch_site) not in ("none", "same-origin", "same-site"):
            return OriginRefusal(403, "a cross-site request without an allowed Origin header is not accepted")
        return None

    def _allows_host(self, authority: Authority) -> bool:
        if self._loopback:
            return authority.is_loopback
        ports = [str(authority.port), _ANY] if authority.port is not None else ["80", "443", _ANY]
        return any((name, port) in self._hosts for name in _and_above(authority.host) for port in ports)

    def _allows_origin(self, header: bytes | str, host: Authority | None) -> bool:
        if self._any_origin:
            return True
        if _ascii(header) == "null":
            return self._null
        origin = parse_origin(header)
        if origin is None:
            return False
        at = origin.authority
        if self._same_host:
            if origin.scheme not in _DEFAULT_PORTS:
                return False
            if self._loopback:
                return at.is_loopback
            default = _DEFAULT_PORTS[origin.scheme]
            return host is not None and (at.host, at.port) == (host.host, host.port or default)
        return any(
            (origin.scheme, name, port) in self._origins
            for name in _and_above(at.host)
            for port in (str(at.port), _ANY)
        )


def _and_above(host: str) -> list[str]:
    """The host itself and the wildcards that cover it."""
    labels = host.split(".")
    return [host, *("*." + ".".join(labels[index:]) for index in range(1, len(labels)))]


def _host_entry(entry: str) -> tuple[str, str]:
    """An allow-list entry as name (perhaps ``*.`` and a name) and port (perhaps ``*``)."""
    wildcard = "*." if entry.startswith("*.") else ""
    bare = entry[len(wildcard) :].removesuffix(":*")
    authority = parse_host(bare)
    if authority is None:
        raise ValueError(f"allowed host {entry!r} is not a host name or address, with an optional port")
    return wildcard + authority.host, _ANY if authority.port is None else str(authority.port)


def _origin_entry(entry: str) -> tuple[str, str, str]:
    scheme, separator, rest = entry.partition("://")
    any_port = rest.endswith(":*")
    wildcard = "*." if rest.startswith("*.") else ""
    origin = parse_origin(f"{scheme}://{rest[len(wildcard) :].removesuffix(':*')}")
    if not separator or origin is None:
        raise ValueError(f"allowed origin {entry!r} is not of the form scheme://host[:port]")
    return origin.scheme, wildcard + origin.authority.host, _ANY if any_port else str(origin.authority.port)
