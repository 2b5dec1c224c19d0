"""Proof of possession (DPoP): tokens that are good only together with a key.

Theory of operation. A client signs each request: method, address, time, a fresh id and the token's digest, with a key
that it never shows. `DPoPKey` makes such proofs; `ProofChecker` checks them, for a protected server and an
authorization server alike. A proof is good for one request: its id is kept in the store until its time is over. A
checker that demands nonces makes them by itself, from the keys that all workers share or, without such, from one that
they find in the store; a nonce is good for five to ten minutes.

Specification: RFC 9449.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

from ..protocol.errors import DovetailError
from ..security.key_ring import KeyRing
from ..stores.contracts import KeyValue, Store
from .resources import origin_of
from .signed import ALGORITHMS, Compact, KeyUnusable, SignatureInvalid, VerifyingKey, read_compact

__all__ = ["DPOP_ALGORITHMS", "DPoPKey", "NonceRequired", "ProofChecker", "ProofInvalid"]

DPOP_ALGORITHMS: Final = ("ES256", "ES384", "ES512", "Ed25519", "EdDSA", "PS256", "RS256")
"""The algorithms of proofs, the first is ours."""

SHARE: Final = 1 / 8
KEY_SHARE: Final = 1 / 8
_TYPE: Final = "dpop+jwt"
_SLOT: Final = 300.0
_MAX_PROOF: Final = 8 * 1024
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH_SAFE: Final = _UNRESERVED | frozenset(b"!$&'()*+,;=:@")


class ProofInvalid(DovetailError):
    """A proof does not prove anything. The message is fit for the answer and quotes nothing of the proof."""


class NonceRequired(ProofInvalid):
    """A proof lacks the server's nonce, or has an old one. ``nonce`` goes into the DPoP-Nonce header of the answer."""

    def __init__(self, nonce: str) -> None:
        super().__init__("a proof with the nonce of this answer is required")
        self.nonce = nonce


class DPoPKey:
    """A key of a client, and the proofs that it makes (ES256)."""

    def __init__(self, jwk: Mapping[str, str]) -> None:
        """``jwk``: what `export` gave. Raises ValueError for anything else."""
        self._jwk = dict(jwk)
        if self._jwk.get("kty") != "EC" or self._jwk.get("crv") != "P-256" or not self._jwk.get("d"):
            raise ValueError("a key for proofs is a private key on the curve P-256")
        self._public = {name: self._jwk[name] for name in ("crv", "kty", "x", "y")}
        self._key = _private_key(self._jwk)
        self.thumbprint: str = self._key.thumbprint()

    @classmethod
    def generate(cls) -> DPoPKey:
        """A new key."""
        return cls(_new_key())

    def export(self) -> dict[str, str]:
        """The key as a JWK, private part included: a secret, to be kept like one."""
        return dict(self._jwk)

    def proof(
        self, method: str, url: str, *, access_token: str | None = None, nonce: str | None = None
    ) -> str:
        """The value of the DPoP header of one request. ``access_token``: the token that goes with it; ``nonce``: the
        newest that this server gave. Raises ValueError for a URL that can't be signed.
        """
        claims: dict[str, Any] = {
            "jti": secrets.token_urlsafe(18),
            "htm": method.upper(),
            "htu": _without_query(url),
            "iat": int(time.time()),
        }
        if access_token is not None:
            claims["ath"] = _digest(access_token)
        if nonce is not None:
            claims["nonce"] = nonce
        header = {"typ": _TYPE, "alg": "ES256", "jwk": self._public}
        signed = f"{_part(header)}.{_part(claims)}".encode("ascii")
        from joserfc.jws import JWSRegistry

        signature = JWSRegistry.algorithms["ES256"].sign(signed, self._key)
        return f"{signed.decode('ascii')}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode('ascii')}"

    def __repr__(self) -> str:
        return f"DPoPKey(thumbprint={self.thumbprint!r})"


class ProofChecker:
    """Checks proofs. ``store`` keeps the ids of proofs that were used, and must be shared by all workers.

    ``nonces``: demand a nonce in each proof. ``keys``: what all workers make nonces of; without, the store has a key
    for that. ``room``: where ids of proofs are kept; by default a share of the store, in which each key has its own
    (`SHARE`, `KEY_SHARE`), so that nobody's proofs fill it for others. ``window``: for how many seconds a proof is
    good, and how far the clocks may be apart. ``algorithms``: those allowed. Raises ValueError for an algorithm that
    is not one for proofs.
    """

    def __init__(
        self,
        store: Store,
        *,
        nonces: bool = False,
        keys: KeyRing | None = None,
        room: KeyValue | None = None,
        window: float = 60.0,
        algorithms: Collection[str] = DPOP_ALGORITHMS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not algorithms or not ALGORITHMS.issuperset(algorithms):
            raise ValueError(f"proofs are signed with some of {', '.join(sorted(ALGORITHMS))}")
        if not 0 < window <= 3600:
            raise ValueError("the window of a proof is above zero and at most 3600 seconds")
        self.algorithms = tuple(algorithms)
        self._kv = store.kv.within("dpop/", share=SHARE) if room is None else room
        self._by_key = room is None
        self._nonces = nonces
        self._window = window
        self._clock = clock
        self._nonce_keys = [] if keys is None else [_nonce_key(key) for _, key in keys.items()]

    async def check(
        self,
        proof: str,
        method: str,
        url: str,
        access_token: str | None = None,
        thumbprint: str | None = None,
    ) -> str:
        """The thumbprint of the key that signed the request. ``access_token``: the token that came with it;
        ``thumbprint``: the one that the token is bound to.

        Raises `ProofInvalid`, or `NonceRequired`, and `StoreError`.
        """
        token, key = self._read(proof)
        print_ = key.thumbprint
        claims = token.claims
        if claims.get("htm") != method:
            raise ProofInvalid("the proof is for another method")
        if _normal(claims.get("htu")) != _normal(url):
            raise ProofInvalid("the proof is for another address")
        now = self._clock()
        issued = claims.get("iat")
        if (
            isinstance(issued, bool)
            or not isinstance(issued, (int, float))
            or not now - self._window <= issued <= now + self._window
        ):
            raise ProofInvalid("the proof is not of this time: its iat is too far from the server's clock")
        if access_token is not None and not _equal(claims.get("ath"), _digest(access_token)):
            raise ProofInvalid("the proof is for another token")
        if thumbprint is not None and not _equal(print_, thumbprint):
            raise ProofInvalid("the token is bound to another key")
        if self._nonces:
            await self._check_nonce(claims.get("nonce"), now)
        id = claims.get("jti")
        if not isinstance(id, str) or not 1 <= len(id) <= 1024:
            raise ProofInvalid("the proof has no id")
        used = hashlib.sha256(f"{print_}\0{id}".encode("utf-8", "surrogatepass")).hexdigest()
        kv = self._kv.within(f"{print_}/", share=KEY_SHARE) if self._by_key else self._kv
        if not await kv.add(f"used/{used}", b"1", ttl=2 * self._window + 1):
            raise ProofInvalid("the proof was used before")
        return print_

    async def nonce(self) -> str:
        """A nonce that is good now, for the DPoP-Nonce header of any answer."""
        return _nonce((await self._keys())[0], int(self._clock() // _SLOT))

    def _read(self, proof: str) -> tuple[Compact, VerifyingKey]:
        if len(proof) > _MAX_PROOF:
            raise ProofInvalid(f"the proof has more than {_MAX_PROOF} characters")
        try:
            token = read_compact(proof, self.algorithms)
        except SignatureInvalid as problem:
            raise ProofInvalid(f"the proof can't be read: {problem}") from None
        if token.header.get("typ") != _TYPE:
            raise ProofInvalid(f"the proof is not of the type {_TYPE}")
        shown = token.header.get("jwk")
        if not isinstance(shown, dict):
            raise ProofInvalid("the proof does not show its key")
        try:
            key = VerifyingKey(shown)  # pyright: ignore[reportUnknownArgumentType] - JSON, looked at there
        except KeyUnusable as problem:
            raise ProofInvalid(f"the proof's key can't be used: {problem}") from None
        if not key.verifies(token):
            raise ProofInvalid("the proof is not signed with the key that it shows")
        return token, key

    async def _check_nonce(self, shown: Any, now: float) -> None:
        keys = await self._keys()
        slot = int(now // _SLOT)
        if not any(_equal(shown, _nonce(key, each)) for key in keys for each in (slot, slot - 1)):
            raise NonceRequired(_nonce(keys[0], slot))

    async def _keys(self) -> list[bytes]:
        """What nonces are made of, the newest first: the same in all workers. One that is in the store was made by the
        first that needed it.
        """
        if not self._nonce_keys:
            found = await self._kv.get("nonce-key")
            while found is None:
                made = secrets.token_bytes(32)
                found = made if await self._kv.add("nonce-key", made) else await self._kv.get("nonce-key")
                await asyncio.sleep(0)
            self._nonce_keys = [found]
        return self._nonce_keys


def _nonce_key(key: bytes) -> bytes:
    return hmac.digest(key, b"dovetail dpop nonce key", "sha256")


def _nonce(key: bytes, slot: int) -> str:
    made = hmac.new(key, b"dovetail dpop nonce 1\0%d" % slot, hashlib.sha256).digest()[:18]
    return base64.urlsafe_b64encode(made).decode("ascii")


def _equal(shown: Any, expected: str) -> bool:
    return isinstance(shown, str) and shown.isascii() and hmac.compare_digest(shown, expected)


def _digest(token: str) -> str:
    digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _part(value: dict[str, Any]) -> str:
    data = json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _without_query(url: str) -> str:
    text = url.partition("#")[0].partition("?")[0]
    origin = origin_of(text)
    return origin + (urlsplit(text).path or "/")


def _normal(url: Any) -> str | None:
    """An address as RFC 3986 makes spellings of one address equal, without query and fragment; None for no address."""
    if not isinstance(url, str):
        return None
    text = url.partition("#")[0].partition("?")[0]
    try:
        origin = origin_of(text)
    except ValueError:
        return None
    return origin + (re.sub(r"(?:%[0-9A-Fa-f]{2})+|[^%]", _spelled, urlsplit(text).path) or "/")


def _spelled(match: re.Match[str]) -> str:
    """Percent-encodings in capitals, and none of characters that need none."""
    return "".join(
        chr(byte)
        if byte in _UNRESERVED or (byte in _PATH_SAFE | {0x2F} and match[0][0] != "%")
        else f"%{byte:02X}"
        for byte in unquote_to_bytes(match[0])
    )


def _new_key() -> dict[str, str]:
    generated = _joserfc_ec().generate_key("P-256", auto_kid=False)
    return {name: str(value) for name, value in generated.as_dict(private=True).items()}


def _private_key(jwk: dict[str, str]) -> Any:
    from joserfc.errors import JoseError

    try:
        return _joserfc_ec().import_key({name: jwk[name] for name in ("crv", "kty", "x", "y", "d")})
    except (JoseError, ValueError, KeyError, TypeError):
        raise ValueError("the key for proofs can't be read") from None


def _joserfc_ec() -> Any:
    try:
        from joserfc.jwk import ECKey
    except ImportError:
        raise ImportError("proofs need the extra 'auth': pip install 'dovetail[auth]'") from None
    return ECKey
