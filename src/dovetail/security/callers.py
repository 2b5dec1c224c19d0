"""Whom a limit counts for: one notion for all of them.

Theory of operation. Who showed credentials is counted by name, wherever the call comes from; a program that calls for
itself by name and network, since it may run in many places. Who has no name is counted by network. Callers on this
machine that have no name can't be told apart, for a proxy may stand behind them: they share what there is, and no limit
for one caller holds for them.

Specification: none; whatever a caller can use up has a bound.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Final

from .principal import Principal

__all__ = ["HERE", "caller_of", "is_loopback", "network_of", "outside", "unidentified"]

HERE: Final = ""
"""The network of callers on this machine, and of those without an address."""


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Where one caller may have many addresses: an IPv4 address alone, or a /64 of IPv6, which one machine has to
    itself.
    """
    if ":" not in address:
        return address[:64]
    from ipaddress import IPv6Address, IPv6Network  # only callers by IPv6 need what it needs

    try:
        found = IPv6Address(address)
    except ValueError:
        return address[:64]
    return str(found.ipv4_mapped or IPv6Network((int(found), 64), strict=False))


def is_loopback(remote: str) -> bool:
    """Whether a peer's address is this machine's own."""
    return remote.startswith(("127.", "::ffff:127.")) or remote in ("::1", "localhost")


@lru_cache(maxsize=4096)
def outside(remote: str | None) -> str:
    """The network of a caller without a name, `HERE` if that is this machine."""
    return HERE if remote is None or is_loopback(remote) else network_of(remote)


@lru_cache(maxsize=4096)
def unidentified(remote: str | None) -> Hashable:
    """The key of a caller who may still show a name: not that of one who has none. None on this machine."""
    network = outside(remote)
    return ("", network) if network else None


def caller_of(principal: Principal, remote: str | None) -> Hashable:
    """The key that a caller is counted under; that of one without a name is a text, `HERE` on this machine."""
    if not principal.issuer:
        return outside(remote)
    name = (principal.issuer, principal.subject, principal.client_id)
    if remote is not None and principal.is_machine:
        return (*name, network_of(remote))
    return name
