"""What the server says of itself, and its public keys.

Theory of operation. One document, made once, served at the three places where clients look: where RFC 8414 puts it, and
where OpenID Connect Discovery does, before and behind the issuer's path. It lists what is really there and nothing
else; the two members that only OpenID Connect demands are added at its places, for clients that insist on them, though
no ID tokens are issued here.

Specification: RFC 8414 sections 2 and 3; RFC 9207 section 3; RFC 9449 section 5.1; OAuth Client ID Metadata Document;
basic/authorization/authorization-server-discovery.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from dovetail.auth.oauth import DPOP_ALGORITHMS

from .assertions import ASSERTION_ALGORITHMS, TrustedIssuer
from .clients import CLIENT_CREDENTIALS, CODE, JWT_BEARER, METHODS, REFRESH
from .granting import ID_JAG_PROFILE
from .key_store import ALGORITHM
from .parts import Parts
from .settings import CHALLENGE_METHOD

__all__ = ["document", "openid_extra", "places"]

_OAUTH: Final = "/.well-known/oauth-authorization-server"
_OPENID: Final = "/.well-known/openid-configuration"


def document(
    parts: Parts, *, registration: bool, documents: bool, trusted: Sequence[TrustedIssuer]
) -> dict[str, Any]:
    """The metadata (RFC 8414)."""
    urls = parts.place.urls
    own = any(CLIENT_CREDENTIALS in client.grants for client in parts.directory.listed.values())
    grants = [CODE, REFRESH, *([CLIENT_CREDENTIALS] if own else []), *([JWT_BEARER] if trusted else [])]
    proven = list(METHODS[1:])
    found: dict[str, Any] = {
        "issuer": parts.place.issuer,
        "authorization_endpoint": urls.authorize,
        "token_endpoint": urls.token,
        "jwks_uri": urls.jwks,
        "revocation_endpoint": urls.revoke,
        "introspection_endpoint": urls.introspect,
        "scopes_supported": list(parts.scopes.words),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": grants,
        "token_endpoint_auth_methods_supported": list(METHODS),
        "token_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": list(METHODS),
        "revocation_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "introspection_endpoint_auth_methods_supported": proven,
        "introspection_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "code_challenge_methods_supported": [CHALLENGE_METHOD],
        "authorization_response_iss_parameter_supported": True,
        "client_id_metadata_document_supported": documents,
        "dpop_signing_alg_values_supported": list(DPOP_ALGORITHMS),
    }
    if parts.resources:
        found["protected_resources"] = list(parts.resources.values())
    if registration:
        found["registration_endpoint"] = urls.register
    if any(each.kind == "enterprise" for each in trusted):
        found["authorization_grant_profiles_supported"] = [ID_JAG_PROFILE]
    return found


def openid_extra() -> dict[str, Any]:
    """What OpenID Connect Discovery demands besides."""
    return {"subject_types_supported": ["public"], "id_token_signing_alg_values_supported": [ALGORITHM]}


def places(path: str) -> tuple[str, tuple[str, ...]]:
    """The path of the metadata for an issuer with this path, and those where OpenID Connect looks."""
    return f"{_OAUTH}{path}", (
        f"{_OPENID}{path}",
        f"{path}{_OPENID}",
    )
