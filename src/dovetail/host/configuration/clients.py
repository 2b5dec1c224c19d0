"""From the entries of a configuration to clients, of those that can be used; why the others can't.

Specification: basic/transports; "Security Best Practices", "Local MCP Server Compromise".
"""

from collections.abc import Mapping
from typing import NamedTuple

from ...client import Client
from ..naming import server_name
from .approvals import Approvals
from .definitions import ServerDefinition
from .errors import ConfigurationError, ConfigurationUnreadable
from .resolving import resolve
from .variables import Variables

__all__ = ["ConfiguredClients", "configured_clients"]


class ConfiguredClients(NamedTuple):
    """``clients``: by the names that a `Host` or a `Gateway` takes. ``left_out``: why there is none of an entry, by
    the name that it has in the configuration.
    """

    clients: dict[str, Client]
    left_out: dict[str, ConfigurationError]


def configured_clients(
    entries: Mapping[str, ServerDefinition],
    *,
    approvals: Approvals | None,
    variables: Variables | None = None,
) -> ConfiguredClients:
    """Clients of configured servers, none of them opened: ``Host(configured_clients(file.servers, ...).clients)``.

    ``entries``: as `ConfigurationFile.servers` has them. ``approvals``: what the person agreed to; an entry that is not
    among it is left out, since it is run with the rights of this process. None asks nobody: for a configuration that is
    the program's own. ``variables``: as of `resolve`.

    An entry that is switched off or lacks a value costs itself alone. A name that a host does not take becomes what
    `dovetail.host.server_name` says. Raises ImportError, which names the extra, for a secret of the keyring without the
    package keyring, and `ConfigurationUnreadable` for a file of approvals that is none.
    """
    found = ConfiguredClients({}, {})
    for name, entry in entries.items():
        try:
            if approvals is not None:
                approvals.check(entry)
            target, options = resolve(entry, variables)
        except ConfigurationUnreadable:
            raise
        except ConfigurationError as problem:
            found.left_out[name] = problem
        else:
            found.clients[server_name(name)] = Client(target, **options)
    return found
