"""Getting tokens: what a client can be given as ``auth=``.

Theory of operation. `settings` holds what a caller says, `resolving` makes the `ClientAuth` of it, `credentials` keeps,
renews and presents tokens. `interactive` and `machine` are the ways to get them; discovery, registration, the token
endpoint, the callback address and the stores have a module each.

Specification: basic/authorization and its extensions.
"""

from .bearer import Bearer
from .credentials import Credentials
from .discovery import Discovered
from .identity import SigningKey
from .person import LoginVisit
from .problems import (
    AuthorizationError,
    AuthorizationUnavailable,
    CredentialsUnbound,
    DiscoveryFailed,
    LoginDenied,
    LoginFailed,
    LoginTimeout,
    RegistrationFailed,
    ScopeRefused,
    StorageUnsafe,
    TokenRefused,
)
from .resolving import resolve
from .settings import ClientCredentials, EnterpriseManaged, OAuth, WorkloadIdentity, discover_login
from .storage import FileTokens, KeyringTokens, MemoryTokens, TokenStore

__all__ = [
    "OAuth",
    "Bearer",
    "ClientCredentials",
    "EnterpriseManaged",
    "WorkloadIdentity",
    "SigningKey",
    "TokenStore",
    "MemoryTokens",
    "FileTokens",
    "KeyringTokens",
    "Credentials",
    "Discovered",
    "LoginVisit",
    "discover_login",
    "resolve",
    "AuthorizationError",
    "AuthorizationUnavailable",
    "DiscoveryFailed",
    "RegistrationFailed",
    "CredentialsUnbound",
    "LoginFailed",
    "LoginDenied",
    "LoginTimeout",
    "TokenRefused",
    "ScopeRefused",
    "StorageUnsafe",
]
