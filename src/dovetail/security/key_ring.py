"""Keys that seal, and keys that only open any more.

Theory of operation. The first key of a ring seals; every key opens, so that state sealed before a rotation
outlives it. Rotation over many workers is done in two steps: add the new key behind the old one everywhere,
then put it in front. A secret of any length from 32 bytes becomes one AES-256 key; the id that a token
carries to find its key is the start of that key's SHA-256 and tells nothing about it.

Specification: basic/patterns/mrtr: integrity protection of request state.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final, final

__all__ = ["KeyRing"]

_MIN_SECRET: Final = 32
_MAX_KEYS: Final = 16
_KEY_ID: Final = 8


@final
class KeyRing:
    """One to 16 keys, newest first. Immutable. Never shows a key."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[bytes]) -> None:
        """``keys``: 32 bytes each, newest first. See `generate` and `from_secrets`. Raises `ValueError`."""
        found = {key_id(key): key for key in keys}
        if not 1 <= len(found) <= _MAX_KEYS:
            raise ValueError(f"a key ring has 1 to {_MAX_KEYS} different keys, not {len(found)}")
        if any(len(key) != _MIN_SECRET for key in found.values()):
            raise ValueError(
                "a key has exactly 32 bytes; use KeyRing.from_secrets for secrets of other lengths"
            )
        self._keys = found

    @classmethod
    def generate(cls) -> KeyRing:
        """A ring with one random key. What it seals opens in this process only."""
        return cls([os.urandom(_MIN_SECRET)])

    @classmethod
    def from_secrets(cls, secret_values: Iterable[bytes]) -> KeyRing:
        """A ring from shared secrets, the newest first, each random and at least 32 bytes. Raises
        `ValueError`.
        """
        return cls([_key_from(secret) for secret in secret_values])

    def rotated(self, new: bytes) -> KeyRing:
        """A ring in which the key from the secret ``new`` seals and the present ones open (the newest 15 of
        them).
        """
        first = _key_from(new)
        rest = [key for key in self._keys.values() if key != first]
        return KeyRing([first, *rest[: _MAX_KEYS - 1]])

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        """Pairs of key id (8 bytes) and key, the sealing one first."""
        return self._keys.items()

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"KeyRing({len(self._keys)} keys)"

    def __reduce__(self) -> str:
        raise TypeError("a key ring is not pickled: hand the secrets over by a way made for secrets")


def key_id(key: bytes) -> bytes:
    """The first 8 bytes of the key's SHA-256."""
    import hashlib  # a server without keys starts without it

    return hashlib.sha256(key).digest()[:_KEY_ID]


def _key_from(secret: bytes) -> bytes:
    if len(secret) < _MIN_SECRET:
        raise ValueError(f"a secret needs at least {_MIN_SECRET} random bytes; this one has {len(secret)}")
    import hmac

    return hmac.digest(b"dovetail key ring", secret, "sha256")  # HKDF-Extract, RFC 5869 section 2.2
