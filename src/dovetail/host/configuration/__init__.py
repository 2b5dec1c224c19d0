"""The servers that a person has configured: in the files of the hosts, and in our own.

Theory of operation. `HOSTS` says where each host has its file and what it calls things. A `ConfigurationFile` is one
of them as it was read; a `ServerDefinition` is one server, whichever host it is of. What would be written is shown as a
`ConfigurationChange` first. `dangers_of` marks what a command could do, an `Approvals` remembers what a person agreed
to, by content and not by name, and `resolve` gives variables and secrets their values when a server is opened. Most
programs want `configured_clients`, which does both for a whole file.

Specification: basic/transports; "Security Best Practices", "Local MCP Server Compromise".
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from ...lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
        "dovetail.host.configuration.approvals": ("Approvals",),
        "dovetail.host.configuration.clear_text": (
            "ClearSecret",
            "hidden",
            "moved_to_keyring",
            "secrets_in_clear",
        ),
        "dovetail.host.configuration.clients": ("ConfiguredClients", "configured_clients"),
        "dovetail.host.configuration.dangers": ("dangers_of",),
        "dovetail.host.configuration.definitions": ("ServerDefinition", "ServerTransport"),
        "dovetail.host.configuration.entries": ("translated",),
        "dovetail.host.configuration.files": ("ConfigurationChange", "ConfigurationFile"),
        "dovetail.host.configuration.hosts": ("HOSTS", "Dialect", "HostFormat", "host_named"),
        "dovetail.host.configuration.resolving": ("resolve",),
        "dovetail.host.configuration.secrets": ("ServerSecrets",),
        "dovetail.host.configuration.variables": ("VariableSyntax", "Variables"),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
