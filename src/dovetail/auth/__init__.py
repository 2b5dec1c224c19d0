"""Authorization: checking tokens (the server's side) and getting them (the client's).

Theory of operation. `Protected` is what ``App(auth=...)`` takes: which resource the app is, and who issues tokens for
it. `jwt` and `introspection` are the two ways of checking tokens; `providers` has the first ready for well-known
issuers. `OAuth`, `Bearer` and the others are what ``Client(auth=...)`` takes; `login` is behind them. Cryptography and
outbound fetches come with the extra ``auth``, and are imported when they are first needed.

Specification: basic/authorization.
"""

from .login import (
    AuthorizationError,
    Bearer,
    ClientCredentials,
    EnterpriseManaged,
    FileTokens,
    KeyringTokens,
    MemoryTokens,
    OAuth,
    StoredTokens,
    WorkloadIdentity,
    discover_login,
)
from .protecting import Protected, introspection, jwt

__all__ = [
    "Protected",
    "introspection",
    "jwt",
    "OAuth",
    "Bearer",
    "ClientCredentials",
    "EnterpriseManaged",
    "WorkloadIdentity",
    "FileTokens",
    "KeyringTokens",
    "MemoryTokens",
    "StoredTokens",
    "AuthorizationError",
    "discover_login",
]
