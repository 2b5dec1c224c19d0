"""Tokens that are signed JWTs, checked with the issuer's public keys.

Theory of operation. The token is read, then judged by what it says, then its signature is checked: a token that would
be refused anyway costs no arithmetic and no fetch, and nothing that it says is believed before the signature holds.

An ID token tells a client who logged in; it is not for resources, and is refused where it can be told apart: by its
type, by claims that only ID tokens have (``nonce``, ``at_hash``, ``c_hash``), by what providers mark in it. The
audience check stands behind that: an ID token is for a client, not for this server.

Specification: basic/authorization, "Token Handling"; RFC 9068 (the profile of JWT access tokens); RFC 8725; OpenID
Connect Core 1.0, section 2.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from ..resources import authorization_server_urls, origin_of
from ..signed import ALGORITHMS, Compact, SignatureInvalid, read_compact
from .claims import ClaimRules, is_other_kind, verified
from .key_sets import Keys
from .verdicts import CheckContext, InvalidToken, TokenCheck, Verified

__all__ = ["JWT", "jwt"]

_ACCESS_TYPES: Final = frozenset(("at+jwt", "application/at+jwt"))
_LOOSE_TYPES: Final = _ACCESS_TYPES | {"jwt", "application/jwt"}
_ID_TOKEN_CLAIMS: Final = ("nonce", "at_hash", "c_hash")


class JWT(msgspec.Struct, frozen=True, kw_only=True):
    """See `jwt`, which makes one."""

    rules: ClaimRules
    jwks: str | None = None
    algorithms: frozenset[str] = ALGORITHMS
    typed: bool = False
    keep: float = 60.0

    @property
    def issuer(self) -> str:
        """The issuer."""
        return self.rules.issuer

    @property
    def opaque(self) -> bool:
        """JWTs say who issued them."""
        return False

    def checker(self, surroundings: CheckContext) -> _JWTChecker:
        """See `TokenCheck`."""
        return _JWTChecker(self, surroundings)


def jwt(
    issuer: str,
    *,
    audience: str | Sequence[str] | None = None,
    jwks: str | None = None,
    algorithms: Collection[str] = ALGORITHMS,
    typed: bool = False,
    client_claims: Sequence[str] = ("client_id", "azp", "cid", "appid"),
    required: Mapping[str, Any] | None = None,
    keep: float = 60.0,
) -> TokenCheck:
    """Check tokens that are JWTs signed by ``issuer``, which must be written exactly as in its metadata.

    ``audience``: what stands for this server in its tokens, one text or several; by default the resource itself.
    ``jwks``: where its keys are; by default its metadata says so. ``algorithms``: those allowed, all of them with
    public keys. ``typed``: take only tokens of the type ``at+jwt`` (RFC 9068). ``client_claims``: where the client's
    id stands, the first one there counts. ``required``: claims that must have these values. ``keep``: for how many
    seconds a good verdict may be used again (0 to 300).

    Raises ValueError for an issuer that can't be one, or for settings that would check nothing.
    """
    authorization_server_urls(issuer)
    if jwks is not None:
        origin_of(jwks)
    allowed = frozenset(algorithms)
    if not allowed or not allowed <= ALGORITHMS:
        raise ValueError(f"the algorithms of tokens are some of {', '.join(sorted(ALGORITHMS))}")
    if not 0 <= keep <= 300:
        raise ValueError("a verdict is kept for 0 to 300 seconds")
    rules = ClaimRules(
        issuer=issuer,
        audiences=audiences_of(audience),
        client_claims=tuple(client_claims),
        required=dict(required or {}),
    )
    return JWT(rules=rules, jwks=jwks, algorithms=allowed, typed=typed, keep=keep)


def audiences_of(audience: str | Sequence[str] | None) -> tuple[str, ...]:
    """What stands for this server; empty: the resource itself. Raises ValueError for what would let every token in or
    none.
    """
    if audience is None:
        return ()
    found = (audience,) if isinstance(audience, str) else tuple(audience)
    if not found or not all(found):
        raise ValueError("an audience is a text, or a list of some: leave it out for the resource itself")
    return found


class _JWTChecker:
    def __init__(self, settings: JWT, surroundings: CheckContext) -> None:
        self._settings = settings
        self._surroundings = surroundings
        self._keys = Keys(settings.issuer, settings.jwks, surroundings.fetcher)

    @property
    def keep(self) -> float:
        return self._settings.keep

    async def check(self, token: str) -> Verified:
        settings = self._settings
        try:
            read = read_compact(token, settings.algorithms)
        except SignatureInvalid as problem:
            raise InvalidToken(str(problem)) from None
        _check_kind(read, settings.typed)
        found = verified(read.claims, settings.rules, self._surroundings)
        for key in await self._keys.find(read.header.get("kid", ""), read.algorithm):
            if key.verifies(read):
                return found
        raise InvalidToken("the token's signature is not by a key of its issuer")


def _check_kind(read: Compact, typed: bool) -> None:
    """Raise `InvalidToken` for what is signed, but is no access token."""
    type_ = read.header.get("typ", "")
    if not isinstance(type_, str):
        raise InvalidToken("the token's type is no text")
    if type_.lower() in _ACCESS_TYPES:
        return
    if typed or (type_ and type_.lower() not in _LOOSE_TYPES):
        raise InvalidToken("the token is not of a type that is taken here")
    if is_other_kind(read.claims):
        raise InvalidToken("the token is no access token")
    if any(name in read.claims for name in _ID_TOKEN_CLAIMS):
        raise InvalidToken("the token is an ID token, which is for clients and not for servers")
