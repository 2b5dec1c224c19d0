"""Identifiers of the extensions by which clients authorize themselves in other ways, as they stand on the wire.

Theory of operation. A setting for ``Client(auth=...)`` says in its ``extensions`` which of these it is, as plain data,
and the client declares them. `dovetail.extensions.authorization` makes values of them, for servers, and for clients
whose credentials come from elsewhere.

Specification: the extensions oauth-client-credentials, enterprise-managed-authorization, auth/dpop and auth/wif.
"""

from typing import Final

__all__ = ["CLIENT_CREDENTIALS", "ENTERPRISE_MANAGED", "DPOP", "WORKLOAD_IDENTITY"]

CLIENT_CREDENTIALS: Final = "io.modelcontextprotocol/oauth-client-credentials"
ENTERPRISE_MANAGED: Final = "io.modelcontextprotocol/enterprise-managed-authorization"
DPOP: Final = "io.modelcontextprotocol/auth/dpop"
WORKLOAD_IDENTITY: Final = "io.modelcontextprotocol/auth/wif"
