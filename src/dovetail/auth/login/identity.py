"""The client at the token endpoint: who it is, and how it proves that.

Theory of operation. An `Identity` is bound to the issuer that knows it, and signs its requests to that issuer only.
Four ways of proof exist: none (a public client), the secret in an Authorization header (both parts form-encoded
first), the secret in the form, or an assertion signed with a private key, made for this one issuer and good for a
minute.

Specification: RFC 6749 section 2.3.1, RFC 7523 sections 2.2 and 3; OpenID Connect Core section 9; 2026-07-28
basic/authorization/client-registration.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from ..metadata import AuthorizationServerMetadata
from .problems import CredentialsUnbound, RegistrationFailed

__all__ = ["Identity", "SigningKey", "method_for"]

NONE: Final = "none"
BASIC: Final = "client_secret_basic"
POST: Final = "client_secret_post"
KEY_JWT: Final = "private_key_jwt"
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFE: Final = 60
_ALGORITHMS: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "Ed25519"}
_ALLOWED: Final = (
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
    "EdDSA",
    "PS256",
    "PS384",
    "PS512",
    "RS256",
    "RS384",
    "RS512",
)


class SigningKey:
    """A private key that signs assertions: PEM text, or a JWK.

    ``algorithm``: default by the kind of key (RS256 for RSA). Raises ValueError for what is no private key, ImportError
    without the extra.
    """

    def __init__(self, key: str | bytes | Mapping[str, Any], algorithm: str | None = None) -> None:
        jwk, jose_error = _jose()
        kinds: dict[str, Any] = {"EC": jwk.ECKey, "RSA": jwk.RSAKey, "OKP": jwk.OKPKey}
        self._key: Any = None
        if isinstance(key, Mapping):
            candidates = [kinds[str(key.get("kty"))]] if key.get("kty") in kinds else []
            material: Any = dict(key)
        else:
            candidates, material = list(kinds.values()), key
        for kind in candidates:
            try:
                found = kind.import_key(material)
            except (jose_error, ValueError, TypeError, KeyError):
                continue
            if getattr(found, "is_private", False):
                self._key = found
                break
        if self._key is None:
            raise ValueError("the key is no private key of the kinds EC, RSA or Ed25519, as PEM or JWK")
        curve = str(self._key.as_dict(private=False).get("crv", ""))
        self.algorithm = algorithm or _ALGORITHMS.get(curve, "RS256")
        if self.algorithm not in _ALLOWED:
            raise ValueError(f"assertions are signed with one of {', '.join(_ALLOWED)}, not {algorithm!r}")
        self._id = key.get("kid") if isinstance(key, Mapping) else None

    def sign(self, claims: Mapping[str, Any], *, type: str = "JWT") -> str:
        """A signed JWT of these claims."""
        from joserfc import jwt

        header = {"alg": self.algorithm, "typ": type, **({"kid": str(self._id)} if self._id else {})}
        return jwt.encode(header, dict(claims), self._key, algorithms=[self.algorithm])

    def public(self) -> dict[str, Any]:
        """The public part, as a JWK to be published."""
        found: dict[str, Any] = {"alg": self.algorithm, "use": "sig", **self._key.as_dict(private=False)}
        return {**found, "kid": str(self._id)} if self._id else found

    def __repr__(self) -> str:
        return f"<SigningKey {self.algorithm}>"


class Identity:
    """A client that one issuer knows. ``method`` is one of the token endpoint's authentication methods."""

    def __init__(
        self,
        issuer: str,
        client_id: str,
        *,
        method: str = NONE,
        secret: str | None = None,
        key: SigningKey | None = None,
    ) -> None:
        if method in (BASIC, POST) and not secret:
            raise RegistrationFailed(f"{method} needs a client secret, and there is none for {issuer}")
        if method == KEY_JWT and key is None:
            raise RegistrationFailed(f"{method} needs a private key, and there is none for {issuer}")
        if method not in (NONE, BASIC, POST, KEY_JWT):
            raise RegistrationFailed(
                f"{issuer} wants the client to authenticate in a way that is not known here"
            )
        self.issuer = issuer
        self.client_id = client_id
        self.method = method
        self._secret = secret
        self._key = key

    @property
    def confidential(self) -> tuple[str, ...]:
        """What must not be shown to anybody else, as it is and as it is sent."""
        return () if not self._secret else (self._secret, _encoded(self._secret))

    def sign(self, issuer: str, fields: dict[str, str], headers: dict[str, str]) -> None:
        """Add the client's proof to a request to the token endpoint of ``issuer``.

        Raises `CredentialsUnbound`, and adds nothing, if that is another issuer than the one it belongs to.
        """
        if issuer != self.issuer:
            raise CredentialsUnbound("the client's credentials belong to another authorization server")
        if self.method == BASIC:
            # No client_id in the form beside it: strict servers take that for a second way to authenticate.
            pair = f"{_encoded(self.client_id)}:{_encoded(self._secret or '')}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode("ascii")).decode("ascii")
            return
        fields["client_id"] = self.client_id
        if self.method == POST:
            fields["client_secret"] = self._secret or ""
        elif self.method == KEY_JWT and self._key is not None:
            now = int(time.time())
            fields["client_assertion_type"] = _ASSERTION_TYPE
            fields["client_assertion"] = self._key.sign(
                {
                    "iss": self.client_id,
                    "sub": self.client_id,
                    "aud": issuer,
                    "iat": now,
                    "exp": now + _ASSERTION_LIFE,
                    "jti": secrets.token_urlsafe(18),
                }
            )

    def __repr__(self) -> str:
        return f"<Identity {self.client_id!r} at {self.issuer!r}, {self.method}>"


def method_for(
    server: AuthorizationServerMetadata, *, secret: bool, key: bool, given: str | None = None
) -> str:
    """The method to authenticate with, of those that the server takes and the credentials allow.

    ``given``: what the caller or the registration says; it is final. Raises `RegistrationFailed` if none fits.
    """
    if given is not None:
        return given
    possible: Sequence[str] = (KEY_JWT,) if key else (BASIC, POST) if secret else (NONE,)
    supported = server.token_endpoint_auth_methods_supported
    if supported is None:
        return possible[0]
    for method in possible:
        if method in supported:
            return method
    if not key and not secret:
        return NONE  # many servers do not list what public clients do; if it is not taken, the answer says so
    raise RegistrationFailed(
        f"{server.issuer} takes {', '.join(supported)[:200]}, and the credentials given allow {', '.join(possible)}"
    )


def _encoded(part: str) -> str:
    """Form-encoded, with a space as %20, which those read as well who take a plus for a plus."""
    return quote(part, safe="")


def _jose() -> tuple[Any, type[Exception]]:
    try:
        from joserfc import jwk
        from joserfc.errors import JoseError
    except ImportError:
        raise ImportError("signing assertions needs joserfc: pip install 'dovetail[auth]'") from None
    return jwk, JoseError
