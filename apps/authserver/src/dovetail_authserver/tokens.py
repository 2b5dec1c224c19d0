"""Access tokens: signed, short-lived, for one resource.

Theory of operation. An access token is a JWT that a resource server checks by itself with our published keys: issuer,
audience (the one resource that was asked for), client, subject, scopes, and the key it is bound to if it is. The claim
``gid`` names the grant it came from, so that introspection tells at once when the grant ended; a token that was revoked
by itself is remembered until it would have ended.

Specification: RFC 9068; RFC 8707 section 2; RFC 7662 section 2.2; RFC 9449 section 6.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from dovetail.auth.oauth import SignatureInvalid, read_compact
from dovetail.stores import KeyValue

from .key_store import ALGORITHM, KeyStore
from .settings import Lifetimes

__all__ = ["AccessTokens", "TokenSubject"]

_TYPE: Final = "at+jwt"
_OURS: Final = frozenset(
    (
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "client_id",
        "scope",
        "gid",
        "cnf",
        "act",
        "active",
        "token_type",
    )
)
"""Claims that a login hook can't set."""


class TokenSubject(msgspec.Struct, frozen=True):
    """What a token is about: who (`subject`, with `claims`), by which `client_id`, for which `resource`, with which
    `scope`; `thumbprint` of the key that it is bound to, and `grant`, the id of what it came from (or "").
    """

    subject: str
    client_id: str
    resource: str
    scope: str
    claims: dict[str, Any] = {}
    thumbprint: str = ""
    grant: str = ""


class AccessTokens:
    """Makes access tokens and tells what they are good for."""

    def __init__(
        self,
        issuer: str,
        key_store: KeyStore,
        kv: KeyValue,
        lifetimes: Lifetimes,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = issuer
        self._key_store = key_store
        self._revoked = kv
        self._lifetime = lifetimes.access_token
        self._clock = clock

    async def issue(self, about: TokenSubject) -> tuple[str, float]:
        """A token and when it ends (seconds since the epoch)."""
        now = int(self._clock())
        ends = now + int(max(1, self._lifetime))
        claims = {name: value for name, value in about.claims.items() if name not in _OURS}
        claims |= {
            "iss": self._issuer,
            "sub": about.subject,
            "aud": about.resource,
            "client_id": about.client_id,
            "scope": about.scope,
            "iat": now,
            "exp": ends,
            "jti": secrets.token_urlsafe(16),
        }
        if about.thumbprint:
            claims["cnf"] = {"jkt": about.thumbprint}
        if about.grant:
            claims["gid"] = about.grant
        key = await self._key_store.signing()
        return key.sign(claims, type=_TYPE), float(ends)

    async def read(self, token: str) -> Mapping[str, Any] | None:
        """The claims of a token of ours that has not ended and was not revoked; None for anything else."""
        try:
            found = read_compact(token, (ALGORITHM,))
        except SignatureInvalid:
            return None
        claims = found.claims
        keys = [key for key in await self._key_store.published() if key.id == found.header.get("kid")]
        if found.header.get("typ") != _TYPE or not any(key.verifying.verifies(found) for key in keys):
            return None
        if claims.get("iss") != self._issuer or not claims.get("exp", 0) > self._clock():
            return None
        return None if await self._revoked.get(str(claims.get("jti"))) is not None else claims

    async def revoke(self, claims: Mapping[str, Any]) -> None:
        """Remember that this token is over, until it would have ended."""
        left = float(claims["exp"]) - self._clock()
        if left > 0:
            await self._revoked.set(str(claims["jti"]), b"1", ttl=left + 1)
