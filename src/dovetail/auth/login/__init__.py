"""Getting tokens: what a client can be given as ``auth=``.

Theory of operation. `settings` holds what a caller says, `resolving` makes the `ClientAuth` of it, `credentials` keeps,
renews and presents tokens, and `telling` tells of each step. `interactive` and `machine` are the ways to get them;
discovery, registration, the token endpoint, the callback address and the stores have a module each.

Specification: basic/authorization and its extensions.
"""

from ..metadata import AuthorizationServerMetadata
from .bearer import Bearer
from .credentials import OAuthCredentials
from .discovery import Discovered
from .identity import SigningKey
from .machine import TokenSource
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
    TokensChanged,
)
from .records import Tokens
from .resolving import resolve
from .settings import (
    ClientCredentials,
    EnterpriseManaged,
    LoginOptions,
    OAuth,
    PrivateKey,
    WorkloadIdentity,
    discover_login,
)
from .steps import LoginExchange, LoginStep, LoginStepKind, LoginStepOutcome
from .storage import FileTokens, KeyringTokens, MemoryTokens, StoredTokens, TokenStore
from .telling import LoginStepHandler

__all__ = [
    "OAuth",
    "Bearer",
    "ClientCredentials",
    "EnterpriseManaged",
    "LoginOptions",
    "WorkloadIdentity",
    "SigningKey",
    "PrivateKey",
    "TokenSource",
    "Tokens",
    "TokenStore",
    "MemoryTokens",
    "FileTokens",
    "KeyringTokens",
    "StoredTokens",
    "OAuthCredentials",
    "Discovered",
    "AuthorizationServerMetadata",
    "LoginVisit",
    "LoginStep",
    "LoginExchange",
    "LoginStepKind",
    "LoginStepOutcome",
    "LoginStepHandler",
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
    "TokensChanged",
    "ScopeRefused",
    "StorageUnsafe",
]
