"""The names of `dovetail.host.configuration` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.host.configuration.approvals import Approvals
from dovetail.host.configuration.clear_text import ClearSecret, hidden, moved_to_keyring, secrets_in_clear
from dovetail.host.configuration.clients import ConfiguredClients, configured_clients
from dovetail.host.configuration.dangers import dangers_of
from dovetail.host.configuration.definitions import ServerDefinition, ServerTransport
from dovetail.host.configuration.entries import translated
from dovetail.host.configuration.files import ConfigurationChange, ConfigurationFile
from dovetail.host.configuration.hosts import HOSTS, Dialect, HostFormat, host_named
from dovetail.host.configuration.resolving import resolve
from dovetail.host.configuration.secrets import ServerSecrets
from dovetail.host.configuration.variables import Variables, VariableSyntax

__all__ = [
    "Approvals",
    "ClearSecret",
    "ConfigurationChange",
    "ConfigurationFile",
    "ConfiguredClients",
    "Dialect",
    "HOSTS",
    "HostFormat",
    "ServerDefinition",
    "ServerSecrets",
    "ServerTransport",
    "VariableSyntax",
    "Variables",
    "configured_clients",
    "dangers_of",
    "hidden",
    "host_named",
    "moved_to_keyring",
    "resolve",
    "secrets_in_clear",
    "translated",
]
