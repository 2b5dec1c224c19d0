"""Gateways: many servers as one, in both eras, with a policy, records and credentials of each caller's own.

Theory of operation. It stands on `dovetail.proxy`, which passes what is said, and on `dovetail.host`, which has names,
states, policies and records; here they become an `App`.

Specification: none; of what passes, that of the two sides.
"""

from .credentials import PrincipalTokens
from .gateway import Gateway
from .server import GatewayServer

__all__ = ["Gateway", "GatewayServer", "PrincipalTokens"]
