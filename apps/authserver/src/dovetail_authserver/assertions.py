"""Signed statements of others: a client's that it is itself, an identity provider's or a platform's about somebody.

Theory of operation. All are JWTs and are checked in the same order: read strictly, find the key of the one who must
have signed (keys that the token brings along are not looked at), check the signature, then who says it (`iss`), to whom
(`aud`: this server, and nobody else), for how long, and that it was not used before. Key sets are kept for minutes; an
unknown key id makes us look again, but not more often than every half a minute.

Specification: RFC 7521; RFC 7523 section 3; Identity Assertion JWT Authorization Grant (draft) sections 4.3 and 5;
extension "Enterprise-Managed Authorization"; RFC 8725.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Literal, TypeGuard, cast

import msgspec

from dovetail.auth.oauth import KeyUnusable, SignatureInvalid, VerifyingKey, read_compact
from dovetail.security import Fetcher, FetchFailed, FetchRefused
from dovetail.stores import KeyValue

from .clients import digest
from .login import User

__all__ = ["ASSERTION_ALGORITHMS", "AssertionChecker", "AssertionInvalid", "KeySets", "TrustedIssuer"]

ASSERTION_ALGORITHMS: Final = ("ES256", "ES384", "ES512", "Ed25519", "EdDSA", "PS256", "RS256")
_SKEW: Final = 30.0
_LONGEST: Final = 3600.0
_KEPT: Final = 300.0
_AGAIN: Final = 30.0
_MAX_SETS: Final = 64
_MAX_KEYS: Final = 64
_MAX_JTI: Final = 512


class AssertionInvalid(Exception):
    """Why a statement proves nothing; fit for an answer, quotes nothing of it."""


class TrustedIssuer(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whose statements about others are taken for a login, where the operator says so.

    `issuer`: its `iss`, exactly; `jwks` or `jwks_uri`: its keys. `kind`: "workload", a platform that vouches for its
    programs (JWT bearer, RFC 7523), or "enterprise", an identity provider that issues ID-JAGs. `clients`: the client
    ids that may use it. `accept(claims)` gives the user it is about, or None to refuse; without it, a workload's or
    person's subject here is ``issuer#sub``, so that no outside name ever meets one of ours. `subjects`: the only `sub`
    values taken (None: all). `scopes`: all that can be had. `once`: each statement counts once only (default: those of
    "enterprise" do; a workload's token is usually a file that is read many times). Raises `ValueError`.
    """

    issuer: str
    clients: Sequence[str]
    kind: Literal["workload", "enterprise"] = "workload"
    jwks: Mapping[str, Any] | None = None
    jwks_uri: str = ""
    accept: Callable[[Mapping[str, Any]], User | None] | None = None
    subjects: Sequence[str] | None = None
    scopes: Sequence[str] | None = None
    once: bool | None = None

    def __post_init__(self) -> None:
        if not self.issuer or not self.clients:
            raise ValueError("A trusted issuer has a name, and at least one client that may use it.")
        if bool(self.jwks) == bool(self.jwks_uri):
            raise ValueError(f"issuer {self.issuer!r}: give either jwks or jwks_uri.")

    @property
    def single_use(self) -> bool:
        """Whether each statement counts once only."""
        return self.kind == "enterprise" if self.once is None else self.once


class KeySets:
    """Public keys, given or fetched."""

    def __init__(self, fetcher: Fetcher, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, list[VerifyingKey]]] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}

    async def find(self, jwks: Mapping[str, Any] | None, uri: str, kid: str | None) -> list[VerifyingKey]:
        """The keys that may have signed a token with this key id. Raises `AssertionInvalid`."""
        if jwks is not None:
            return _chosen(_keys_of(jwks), kid)
        kept = self._kept.get(uri)
        if kept is None or self._clock() - kept[0] > _KEPT:
            return _chosen(await self._fetch(uri, _KEPT), kid)
        found = _chosen(kept[1], kid)
        if not found and self._clock() - kept[0] > _AGAIN:
            found = _chosen(await self._fetch(uri, _AGAIN), kid)
        return found

    async def _fetch(self, uri: str, fresh: float) -> list[VerifyingKey]:
        lock = self._locks.setdefault(uri, asyncio.Lock())
        try:
            async with lock:
                kept = self._kept.get(uri)
                if kept is not None and self._clock() - kept[0] <= fresh:
                    return kept[1]  # somebody else fetched while we waited
                keys = _keys_of(await self._fetcher.get_json(uri))
        except (FetchRefused, FetchFailed):
            raise AssertionInvalid("the signer's keys can't be fetched now") from None
        finally:
            if not lock.locked():
                self._locks.pop(uri, None)
        self._kept[uri] = (self._clock(), keys)
        self._kept.move_to_end(uri)
        while len(self._kept) > _MAX_SETS:
            self._kept.popitem(last=False)
        return keys


class AssertionChecker:
    """Checks statements made to this server: for its issuer, or its token endpoint where that is as good."""

    def __init__(
        self,
        audience: str,
        endpoint: str,
        keys: KeySets,
        replays: KeyValue,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._audience = audience
        self._endpoint = endpoint
        self._keys = keys
        self._replays = replays
        self._clock = clock

    def peek(self, assertion: str) -> Mapping[str, Any]:
        """What it claims, unproven. Raises `AssertionInvalid`."""
        return self._read(assertion).claims

    async def check(
        self,
        assertion: str,
        *,
        issuer: str,
        jwks: Mapping[str, Any] | None,
        jwks_uri: str,
        types: Collection[str | None],
        endpoint_fits: bool,
        once: bool,
    ) -> Mapping[str, Any]:
        """Its claims, proven. `types`: what its ``typ`` may be, in lower case (None: absent). Raises
        `AssertionInvalid`.
        """
        token = self._read(assertion)
        kind = token.header.get("typ")
        if (kind.lower() if isinstance(kind, str) else kind) not in types:
            raise AssertionInvalid("it is not of the type that is expected here (typ)")
        candidates = await self._keys.find(jwks, jwks_uri, token.header.get("kid"))
        if not any(key.verifies(token) for key in candidates):
            raise AssertionInvalid("it is not signed with a key of its issuer")
        claims = token.claims
        if claims.get("iss") != issuer:
            raise AssertionInvalid("it is not from the issuer that is expected here (iss)")
        if not self._is_audience(claims.get("aud"), endpoint_fits=endpoint_fits):
            raise AssertionInvalid("it is not for this server alone (aud)")
        ends = self._check_times(claims, demand_iat=once)
        if once:
            await self._use(issuer, claims.get("jti"), ends)
        return claims

    def _read(self, assertion: str) -> Any:
        try:
            return read_compact(assertion, ASSERTION_ALGORITHMS)
        except SignatureInvalid as problem:
            raise AssertionInvalid(str(problem)) from None

    def _is_audience(self, shown: Any, *, endpoint_fits: bool) -> bool:
        if isinstance(shown, list):
            entries = cast("list[Any]", shown)
            shown = entries[0] if len(entries) == 1 else None
        return shown == self._audience or (endpoint_fits and shown == self._endpoint)

    def _check_times(self, claims: Mapping[str, Any], *, demand_iat: bool) -> float:
        now = self._clock()
        ends, begins, issued = claims.get("exp"), claims.get("nbf"), claims.get("iat")
        if not _is_time(ends) or ends <= now - _SKEW:
            raise AssertionInvalid("it has ended, or does not say when it does (exp)")
        if ends > now + _LONGEST + _SKEW:
            raise AssertionInvalid("it is good for more than an hour (exp)")
        if begins is not None and (not _is_time(begins) or begins > now + _SKEW):
            raise AssertionInvalid("it is not good yet (nbf)")
        if (issued is None and demand_iat) or (
            issued is not None and not (_is_time(issued) and issued <= now + _SKEW)
        ):
            raise AssertionInvalid("it is from the future, or does not say of when it is (iat)")
        return float(ends)

    async def _use(self, issuer: str, id: Any, ends: float) -> None:
        if not isinstance(id, str) or not 1 <= len(id) <= _MAX_JTI:
            raise AssertionInvalid("it has no id (jti)")
        left = max(1.0, ends - self._clock() + 2 * _SKEW)
        if not await self._replays.add(digest(f"{issuer}\0{id}"), b"1", ttl=left):
            raise AssertionInvalid("it was used before (jti)")


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _keys_of(jwks: Mapping[str, Any]) -> list[VerifyingKey]:
    listed = jwks.get("keys")
    found: list[VerifyingKey] = []
    for each in cast("list[Any]", listed)[:_MAX_KEYS] if isinstance(listed, list) else ():
        try:
            if isinstance(each, dict):
                found.append(VerifyingKey(cast("dict[str, Any]", each)))
        except KeyUnusable:
            continue  # a set may hold keys for other uses
    return found


def _chosen(keys: list[VerifyingKey], kid: str | None) -> list[VerifyingKey]:
    return [key for key in keys if kid is None or key.id in ("", kid)]
