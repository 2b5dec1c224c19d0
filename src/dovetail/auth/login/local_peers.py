"""Whose program is at the other end of a connection within this machine.

Theory of operation. Whoever can connect to a loopback address may be another user of the machine, and what guards a
login (its address, with the state in it) stands on the browser's command line, for all to see. Linux says whose each
socket is. The other end has to be some program's still, and to belong to this user, or to the superuser, who forwards
connections for others: of what a program has sent and left, nobody knows any more whose it was. Where the system's
table can't be read, or does not list our own socket, nothing can be said; that is so on other systems.

Specification: RFC 8252, section 8.3 (loopback redirection); the table is Linux's ``/proc/net/tcp``.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

__all__ = ["is_strange"]

_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTENING: Final = "0A"
_NOBODYS: Final = "0"


def is_strange(own: tuple[Any, ...], peer: tuple[Any, ...]) -> bool:
    """Whether the other end of a connection, from ``peer`` to ``own`` (addresses as sockets have them), is known to be
    no program of this user that waits for an answer.
    """
    entries = list(_entries())
    own_end, peer_end = _spellings(own), _spellings(peer)
    if not any(local in own_end and state == _LISTENING for local, _, state, _, _ in entries):
        return False
    allowed = _allowed()
    return not any(
        local in peer_end and remote in own_end and uid in allowed and inode != _NOBODYS
        for local, remote, _, uid, inode in entries
    )


def _allowed() -> frozenset[str]:
    """The users whose programs may come: this one, and who became it by sudo."""
    getuid = getattr(os, "getuid", None)
    own = str(getuid()) if getuid is not None else ""
    return frozenset({"0", own, *([os.environ.get("SUDO_UID", "")] if own == "0" else ())})


def _entries() -> Iterator[tuple[str, str, str, str, str]]:
    """Local address, remote address, state, user and inode of each socket."""
    for table in _TABLES:
        try:
            with open(table, encoding="ascii") as lines:
                next(lines, "")
                for line in lines:
                    fields = line.split()
                    if len(fields) > 9:
                        yield fields[1], fields[2], fields[3], fields[7], fields[9]
        except (OSError, UnicodeDecodeError):
            continue


def _spellings(address: tuple[Any, ...]) -> frozenset[str]:
    """An address and port as the tables have it; one of IPv4 may stand among those of IPv6 as well."""
    host, port = str(address[0]), int(address[1])
    if ":" in host:
        packed = [IPv6Address(host).packed]
    else:
        packed = [IPv4Address(host).packed, IPv6Address(f"::ffff:{host}").packed]
    return frozenset(f"{_words(each)}:{port:04X}" for each in packed)


def _words(packed: bytes) -> str:
    """Words of 32 bits in the order of this machine."""
    count = len(packed) // 4
    return "".join(f"{word:08X}" for word in struct.unpack(f"={count}I", packed))
