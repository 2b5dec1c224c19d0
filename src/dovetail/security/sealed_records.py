"""Records in a store that nobody else can read, change or put into each other's place.

Theory of operation
-------------------
With a key ring each record is sealed, bound to what it is a record of and to its own key: one that was changed, copied
to another key, or written by somebody without the keys does not open. A record lives as long as the store keeps it, so
the seal has no clock of its own, and clocks that differ harm nothing.

Without a key ring a record stands as it is. That is sound only where the store is this user's alone; `check_private`
refuses others.

Specification: OAuth 2.1 section 7.1; 2025-11-25 basic/security_best_practices "Session Hijacking".
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from ..stores.contracts import KeyValue, Store
from .key_ring import KeyRing
from .sealing import AESGCMSealer, SealBroken

__all__ = ["SealedRecords", "check_private", "keyed_name"]

_PLAIN: Final = b"P"
_SEALED: Final = b"S"
_FOR_EVER: Final = 1.0  # by a clock that stands still


def check_private(store: Store, keys: KeyRing | None, *, allow_unsealed: bool, what: str) -> None:
    """Raise ValueError where ``what``, unsealed, could be read by others than this user."""
    if keys is None and not allow_unsealed and not getattr(store.kv, "owner_only", False):
        raise ValueError(
            f"{what} would stand in the store for everybody to read who can read that: give keys=KeyRing(...), the same"
            " in all processes, or say allow_unsealed=True"
        )


def keyed_name(keys: KeyRing | None, *parts: str) -> str:
    """The name of a record: a digest of what it is for, which without the keys nobody can make who guesses that."""
    key = b""
    if keys is not None:
        _, newest = next(iter(keys.items()))
        key = hmac.digest(newest, b"dovetail record names", "sha256")
    text = "\0".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "backslashreplace")
    return hashlib.blake2b(text, digest_size=24, key=key).hexdigest()


class SealedRecords:
    """Records of one purpose in ``kv``, of at most ``max_bytes`` each. ``keys`` None: they are not sealed.

    Every method raises what the store raises.
    """

    def __init__(self, kv: KeyValue, purpose: str, keys: KeyRing | None, *, max_bytes: int) -> None:
        self._kv = kv
        self._purpose = purpose
        self._max_bytes = max_bytes
        self._sealer = (
            None
            if keys is None
            else AESGCMSealer(keys, purpose, max_age=_FOR_EVER, max_bytes=max_bytes, clock=lambda: 0.0)
        )

    async def read(self, key: str) -> tuple[bytes | None, bytes | None]:
        """What a record holds, and how it stands in the store; the first is None for one that can't be read."""
        raw = await self._kv.get(key)
        return (None if raw is None else self._opened(key, raw)), raw

    def sealed(self, key: str, data: bytes) -> bytes | None:
        """How a record is to stand in the store. None for one that is too large."""
        if len(data) > self._max_bytes:
            return None
        if self._sealer is None:
            return _PLAIN + data
        return _SEALED + self._sealer.seal(data, binding=key.encode()).encode("ascii")

    def _opened(self, key: str, raw: bytes) -> bytes | None:
        kind, rest = raw[:1], raw[1:]
        if self._sealer is None:
            return rest if kind == _PLAIN and len(rest) <= self._max_bytes else None
        if kind != _SEALED:  # with keys, what is not sealed was written by somebody who has none
            return None
        try:
            return self._sealer.open(rest.decode("latin-1"), binding=key.encode())
        except SealBroken:
            return None
