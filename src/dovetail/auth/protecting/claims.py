"""From the claims of a token to the principal that it names.

Theory of operation. The same rules hold for the claims in a signed token and for those of an introspection answer:
who issued it (exactly this issuer), for whom (this resource, always), from when until when, for whose use. A claim
that is there and is not what it has to be refuses the token; none is skipped for being odd.

An audience is this resource if it is the same text, or the same URL after what RFC 3986 makes equal of scheme, host
and port (and of the lone slash after a host): paths are compared as they are, and nothing is matched by prefix.

Specification: RFC 9068, section 4; RFC 7519, section 4.1; RFC 7662, section 2.2; RFC 8707, section 2; RFC 7800 and
RFC 8705 (tokens that are bound to keys).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from ...security.principal import Principal
from ..resources import canonical_resource, same_issuer
from .verdicts import CheckContext, InvalidToken, Verified

__all__ = ["ClaimRules", "is_other_kind", "verified"]

_MAX_AUDIENCES: Final = 100
_MAX_SCOPES: Final = 1000
_MAX_NAME: Final = 2048
_NEVER: Final = 1e12  # seconds since the epoch, beyond any token's end
_OTHERS: Final = frozenset(("id", "id_token", "refresh", "refresh_token", "offline", "logout"))
_OTHER_KINDS: Final = {  # how issuers mark tokens that are none for resources: the claim, and its values
    "token_use": _OTHERS,
    "typ": _OTHERS,
    "token_type": _OTHERS | {f"urn:ietf:params:oauth:token-type:{each}" for each in _OTHERS},
}


class ClaimRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the claims of one issuer's tokens have to be. ``audiences``: what stands for this resource, the resource
    itself if empty; ``client_claims``: where the client's id stands, the first that is there counts; ``required``:
    claims that must have exactly this value. ``bare``: the claims come from the issuer's own answer, so the issuer
    and the end may be missing.
    """

    issuer: str
    audiences: tuple[str, ...] = ()
    client_claims: tuple[str, ...] = ("client_id", "azp", "cid", "appid")
    required: Mapping[str, Any] = {}
    bare: bool = False


def verified(claims: dict[str, Any], rules: ClaimRules, surroundings: CheckContext) -> Verified:
    """What the claims say, if they are good here and now. Raises `InvalidToken`."""
    issuer = claims.get("iss")
    if not (issuer is None and rules.bare) and not (
        isinstance(issuer, str) and same_issuer(issuer, rules.issuer)
    ):
        raise InvalidToken("the token is of another issuer")
    if rules.bare and is_other_kind(claims):
        raise InvalidToken("the token is no access token")
    _check_audience(claims.get("aud"), rules.audiences or (surroundings.resource,))
    expires = _check_time(claims, rules, surroundings)
    for name, value in rules.required.items():
        if claims.get(name) != value:
            raise InvalidToken(f"the claim {name} of the token is not what it has to be here")
    subject = _name(claims, "sub")
    client = next(filter(None, (_name(claims, name) for name in rules.client_claims)), "")
    if not (subject or client):
        raise InvalidToken("the token names neither a subject nor a client")
    scopes = surroundings.expand(_scopes(claims))
    until = expires + surroundings.leeway
    principal = Principal(rules.issuer, subject, client, scopes, claims, until)
    return Verified(principal, until, _bound_to(claims))


def is_other_kind(claims: Mapping[str, Any]) -> bool:
    """Whether the issuer says that this is a token, but none for resources: an ID token, a refresh token."""
    return any(
        isinstance(value := claims.get(name), str) and value.lower() in values
        for name, values in _OTHER_KINDS.items()
    )


def _check_audience(shown: Any, expected: tuple[str, ...]) -> None:
    audiences: list[Any] = cast("list[Any]", shown) if isinstance(shown, list) else [shown]
    if len(audiences) > _MAX_AUDIENCES or not all(isinstance(each, str) for each in audiences):
        raise InvalidToken("the token's audience is missing, or is no text or list of texts")
    for each in cast("list[str]", audiences):
        if any(each == other or _same_resource(each, other) for other in expected):
            return
    raise InvalidToken("the token is for another audience than this server")


def _same_resource(a: str, b: str) -> bool:
    if "://" not in a or "://" not in b:
        return False
    try:
        return canonical_resource(a) == canonical_resource(b)
    except ValueError:
        return False


def _check_time(claims: Mapping[str, Any], rules: ClaimRules, surroundings: CheckContext) -> float:
    """When the token ends. Raises `InvalidToken` outside its time."""
    now, leeway = surroundings.clock(), surroundings.leeway
    expires = _moment(claims, "exp")
    if expires is None:
        if not rules.bare:
            raise InvalidToken("the token has no end (exp)")
        expires = _NEVER
    if now >= expires + leeway:
        raise InvalidToken("the token has expired")
    for name, what in (("nbf", "is not good yet"), ("iat", "was issued in the future")):
        moment = _moment(claims, name)
        if moment is not None and moment > now + leeway:
            raise InvalidToken(f"the token {what}: see its {name} and the server's clock")
    return expires


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _NEVER:
        raise InvalidToken(f"the claim {name} of the token is no moment in time")
    return float(value) if math.isfinite(value) else _NEVER


def _name(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _MAX_NAME:
        raise InvalidToken(f"the claim {name} of the token is no text, or too long")
    return value


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """What the token grants: ``scope`` as RFC 9068 has it, else ``scp``; each a text of scopes or a list of them."""
    value = claims.get("scope")
    if value is None:
        value = claims.get("scp")
    if value is None:
        return frozenset()
    found: list[Any] = cast("list[Any]", value) if isinstance(value, list) else []
    if isinstance(value, str):
        found = [each for each in value.split(" ") if each]
    elif not isinstance(value, list) or not all(isinstance(each, str) for each in found):
        raise InvalidToken("the token's scopes are no text or list of texts")
    if len(found) > _MAX_SCOPES:
        raise InvalidToken(f"the token has more than {_MAX_SCOPES} scopes")
    return frozenset(cast("list[str]", found))


def _bound_to(claims: Mapping[str, Any]) -> str:
    """The thumbprint of the key that the token is bound to. Any other way of binding is none that could be checked
    here, and a bound token must not be taken for a bearer token.
    """
    bound = claims.get("cnf")
    if bound is None:
        return ""
    members = cast("dict[str, Any]", bound) if isinstance(bound, dict) else {}
    thumbprint = members.get("jkt")
    if not isinstance(thumbprint, str) or not thumbprint or len(members) != 1:
        raise InvalidToken(
            "the token is bound in a way that this server can't check (of cnf, only jkt is supported)"
        )
    return thumbprint
