"""Who counts as one caller, where callers share what a server has: calls per second, room in its store.

Theory of operation. A principal is one caller, wherever it calls from. A caller without a name is its address (of
IPv6, its network of 64 bits); all of this machine are one.

Specification: none; see "Security Considerations" of server/tools.
"""

from .principal import Principal

__all__ = ["caller_of", "is_loopback", "network"]


def caller_of(principal: Principal, remote: str | None) -> tuple[str, str]:
    """What stands for a caller. ``remote``: its address, None where the transport has none."""
    if not principal.is_anonymous:
        return ("principal", principal.key)
    if remote is None or is_loopback(remote):
        return ("here", "")
    return ("network", network(remote))


def network(remote: str) -> str:
    """Who counts as one caller, by address."""
    if ":" not in remote:
        return remote
    from .addresses import network_of  # only callers by IPv6 need what it needs

    return network_of(remote)


def is_loopback(remote: str) -> bool:
    """Whether a peer's address is this machine's own."""
    return remote.startswith(("127.", "::ffff:127.")) or remote in ("::1", "localhost")
