"""What is measured: a module for each part of the table, a function for each server that is started.

`groups` has them all. A group starts one fresh process for one contestant in one round, and takes from it one
or more measures.
"""

from __future__ import annotations

from . import (
    calls,
    catalogue,
    clients,
    memory,
    payloads,
    pipes,
    proxies,
    scaling,
    starting,
    streaming,
    tasks,
    users,
)
from .turn import Group, Turn

__all__ = ["Group", "Turn", "groups"]


def groups() -> tuple[Group, ...]:
    """All groups of the table, in its order."""
    return (
        *calls.GROUPS,
        *pipes.GROUPS,
        *starting.GROUPS,
        *catalogue.GROUPS,
        *payloads.GROUPS,
        *memory.GROUPS,
        *clients.GROUPS,
        *streaming.GROUPS,
        *proxies.GROUPS,
        *users.GROUPS,
        *scaling.GROUPS,
        *tasks.GROUPS,
    )
