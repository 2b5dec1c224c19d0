"""Which addresses may be reached on the word of somebody else.

Theory of operation. A URL that a server names is a way to make us knock at doors it cannot reach itself. Only
plain public unicast addresses pass; everything that the IANA registries reserve is refused, and so is every
notation that carries another address inside (mapped, NAT64, 6to4, Teredo), whatever that inner address is.
Loopback and private ranges pass when they are asked for by name; link-local ranges and the well-known
addresses of cloud metadata services never do.

This module is pure: it looks at one address that has been resolved already. Specification: 2026-07-28
"Security Best Practices", Server-Side Request Forgery; RFC 6890, RFC 6052, RFC 3056, RFC 4380.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from ..protocol.errors import DovetailError

__all__ = ["AddressPolicy", "AddressRefused"]

_NEVER: Final = frozenset(
    {
        IPv4Address("100.100.100.200"),  # metadata services that do not use a link-local address
        IPv4Address("168.63.129.16"),
        IPv6Address("fd00:ec2::254"),
        IPv6Address("fd20:ce::254"),
    }
)
_PRIVATE_4: Final = tuple(
    IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)
_SPECIAL_4: Final = tuple(
    (IPv4Network(text), what)
    for text, what in (
        ("0.0.0.0/8", "unspecified"),
        ("169.254.0.0/16", "link-local"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "reserved"),
        ("192.52.193.0/24", "reserved"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.175.48.0/24", "reserved"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_LOOPBACK_4: Final = IPv4Network("127.0.0.0/8")
_LOOPBACK_6: Final = IPv6Address("::1")
_PRIVATE_6: Final = IPv6Network("fc00::/7")
_PUBLIC_6: Final = IPv6Network("2000::/3")
_SPECIAL_6: Final = tuple(
    (IPv6Network(text), what)
    for text, what in (
        ("::/128", "unspecified"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("::/96", "IPv4-compatible"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "NAT64"),
        ("100::/64", "discard-only"),
        ("2001::/32", "Teredo"),
        ("2001:db8::/32", "documentation"),
        ("2001::/23", "reserved"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)


class AddressRefused(DovetailError):
    """An address that must not be reached. Nothing was sent. ``allowed_by``: the option that would allow it, or ""."""

    retry_safe = True

    def __init__(self, message: str, *, allowed_by: str = "") -> None:
        super().__init__(message)
        self.allowed_by = allowed_by


class AddressPolicy:
    """Which addresses may be reached: public ones, and with ``allow_loopback`` or ``allow_private`` those too.

    ``allow_loopback``: 127.0.0.0/8 and ::1. ``allow_private``: RFC 1918, 100.64.0.0/10 and fc00::/7.
    """

    __slots__ = ("allow_loopback", "allow_private")

    def __init__(self, allow_loopback: bool = False, allow_private: bool = False) -> None:
        self.allow_loopback = allow_loopback
        self.allow_private = allow_private

    def check(self, ip: str | IPv4Address | IPv6Address) -> None:
        """Raise `AddressRefused`, which names the kind of address, unless ``ip`` may be reached."""
        try:
            address = ip_address(ip) if isinstance(ip, str) else ip
        except ValueError:
            raise AddressRefused("not an IP address in its usual notation") from None
        kind = self._kind(address)
        if kind is not None:
            option = {"loopback": "allow_loopback", "private": "allow_private"}.get(kind, "")
            raise AddressRefused(f"the address {address} is not a public one ({kind})", allowed_by=option)

    def _kind(self, address: IPv4Address | IPv6Address) -> str | None:
        """What is wrong with an address; None: nothing."""
        if address in _NEVER:
            return "cloud metadata"
        if is_loopback(address):
            return None if self.allow_loopback else "loopback"
        if isinstance(address, IPv4Address):
            if any(address in network for network in _PRIVATE_4):
                return None if self.allow_private else "private"
            return next((what for network, what in _SPECIAL_4 if address in network), None)
        if address.scope_id is not None:
            return "scoped"
        if address in _PRIVATE_6:
            return None if self.allow_private else "private"
        special = next((what for network, what in _SPECIAL_6 if address in network), None)
        return special or (None if address in _PUBLIC_6 else "reserved")


def is_loopback(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is this machine, in the plain notation: a mapped 127.0.0.1 is not."""
    return address in _LOOPBACK_4 if isinstance(address, IPv4Address) else address == _LOOPBACK_6
