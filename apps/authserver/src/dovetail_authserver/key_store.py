"""The server's own keys: those that sign tokens, and those that seal what a browser carries for us.

Theory of operation. All keys are one record in the store, so that every worker signs and publishes the same. The newest
signs. When it is old enough, whoever notices first adds a new one (compare-and-set: one wins, the others read again);
the old one stays published until the last token that it can have signed has ended. With each signing key goes a secret
from which seals are made. With `key_ring` the record is sealed before it is stored, so that who reads the store's file
can't sign; without one, guard the file like a private key.

Specification: RFC 7517 section 5; RFC 9068 section 2.1; RFC 7638 (key ids).
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from dovetail.auth.oauth import VerifyingKey
from dovetail.security import AESGCMSealer, KeyRing, SealBroken
from dovetail.stores import KeyValue

from .settings import Lifetimes

__all__ = ["ALGORITHM", "TokenSigningKey", "KeyStore", "KeyStoreUnreadable"]

ALGORITHM: Final = "ES256"
_RECORD: Final = "keys"
_SKEW: Final = 60.0
_FOREVER: Final = 100 * 365 * 86_400.0


class KeyStoreUnreadable(RuntimeError):
    """The keys in the store can't be read with the key ring that was given."""


class _StoredKey(msgspec.Struct, frozen=True):
    created: float
    jwk: dict[str, str]
    secret: str


class TokenSigningKey:
    """One private key. Never shows itself."""

    def __init__(self, entry: _StoredKey) -> None:
        self.created = entry.created
        self._key = _import_private(entry.jwk)
        public = {name: value for name, value in entry.jwk.items() if name != "d"}
        self.id: str = self._key.thumbprint()
        self.public = {**public, "kid": self.id, "use": "sig", "alg": ALGORITHM}
        self.verifying = VerifyingKey(self.public)

    def sign(self, claims: dict[str, Any], *, type: str) -> str:
        """A signed JWT of this type."""
        from joserfc import jwt

        return jwt.encode(
            {"alg": ALGORITHM, "typ": type, "kid": self.id}, claims, self._key, algorithms=[ALGORITHM]
        )

    def __repr__(self) -> str:
        return f"SigningKey({self.id!r})"


class KeyStore:
    """The keys of one server in its store."""

    def __init__(
        self,
        kv: KeyValue,
        lifetimes: Lifetimes,
        *,
        key_ring: KeyRing | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._kv = kv
        self._lifetimes = lifetimes
        self._clock = clock
        self._sealer = (
            AESGCMSealer(key_ring, "authorization server keys", max_age=_FOREVER, clock=clock)
            if key_ring is not None
            else None
        )
        self._seen: bytes | None = None
        self._keys: list[TokenSigningKey] = []
        self._ring = KeyRing.generate()

    async def signing(self) -> TokenSigningKey:
        """The key that signs now."""
        await self._refresh()
        return self._keys[0]

    async def published(self) -> list[TokenSigningKey]:
        """All keys whose tokens may still be good, the newest first."""
        await self._refresh()
        return list(self._keys)

    async def ring(self) -> KeyRing:
        """Secrets for seals, the newest first."""
        await self._refresh()
        return self._ring

    async def rotate(self) -> None:
        """Sign with a new key from now on."""
        await self._refresh()
        await self._replace(force=True)
        await self._refresh()

    async def _refresh(self) -> None:
        """See what other workers see, and rotate when it is time."""
        while True:
            raw = await self._kv.get(_RECORD)
            if raw is not None and raw != self._seen:
                self._load(raw)
            if raw is not None and self._clock() - self._keys[0].created < self._lifetimes.signing_key:
                return
            await self._replace()

    async def _replace(self, *, force: bool = False) -> None:
        raw = await self._kv.get(_RECORD)
        now = self._clock()
        entries = [] if raw is None else self._open(raw)
        if entries and not force and now - entries[0].created < self._lifetimes.signing_key:
            return
        kept = [
            entry
            for index, entry in enumerate(entries)
            # A key's last token was signed when its successor came.
            if index == 0 or entries[index - 1].created + self._lifetimes.access_token + _SKEW > now
        ]
        made = _StoredKey(now, _generate(), base64.b64encode(secrets.token_bytes(32)).decode())
        await self._kv.compare_and_set(_RECORD, raw, self._close([made, *kept[:15]]))

    def _load(self, raw: bytes) -> None:
        entries = self._open(raw)
        self._keys = [TokenSigningKey(entry) for entry in entries]
        self._ring = KeyRing([base64.b64decode(entry.secret) for entry in entries])
        self._seen = raw

    def _open(self, raw: bytes) -> list[_StoredKey]:
        try:
            if self._sealer is not None:
                raw = self._sealer.open(raw.decode("ascii", "replace"), binding=b"")
            return msgspec.json.decode(raw, type=list[_StoredKey])
        except (SealBroken, msgspec.MsgspecError):
            raise KeyStoreUnreadable(
                "The store holds keys of another authorization server, or sealed with another key_ring; "
                "give the key_ring that it was made with, or a fresh store."
            ) from None

    def _close(self, entries: list[_StoredKey]) -> bytes:
        raw = msgspec.json.encode(entries)
        return raw if self._sealer is None else self._sealer.seal(raw, binding=b"").encode("ascii")


def _generate() -> dict[str, str]:
    made = _ec_key().generate_key("P-256", auto_kid=False).as_dict(private=True)
    return {name: str(made[name]) for name in ("kty", "crv", "x", "y", "d")}


def _import_private(jwk: dict[str, str]) -> Any:
    return _ec_key().import_key(dict(jwk))


def _ec_key() -> Any:
    try:
        from joserfc.jwk import ECKey
    except ImportError:
        raise ImportError(
            "the authorization server needs the extra 'auth': pip install 'dovetail[auth]'"
        ) from None
    return ECKey
