"""State that a client carries for us, sealed so that it can neither read nor change it.

Theory of operation
-------------------
`AESGCMSealer` puts the content into the token: version, key id and nonce in the clear; the time it was
issued and the content encrypted. What the token is bound to (principal, request ...) is not in it but
goes into the authenticated data, with the purpose: a token opened for another principal or another purpose
fails like a forged one. Each purpose has its own key, made from the ring's by HKDF. Nonces are random; a key
is good for 2^32 tokens.

`HandleSealer` puts nothing into the token: it is a random handle into a bounded table of this process, for
installations without ``cryptography``. Same face, same failures.

Every failure is one `SealBroken` with one message: whoever tries forged tokens learns nothing from the
answers. A token has one spelling only; base64 with stray bits in its last character is refused.

Nothing is compressed: a token's length would tell how much its parts have in common, and whoever may put guesses
next to a secret would find out the secret, letter by letter. A token is as long as its content, so whoever seals what
the holder must not see pads it first, apart from what the holder chose (`dovetail.protocol.rounds.dump`).

What only those need who seal is imported there: a server that never asks starts without it.

Specification: basic/patterns/mrtr: request state is hostile input, integrity protected, bound and limited in
time.
"""

from __future__ import annotations

import os
import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

import msgspec

from ..protocol.errors import DovetailError
from .key_ring import KeyRing

__all__ = [
    "AESGCMSealer",
    "HandleSealer",
    "KeyRing",
    "SealBroken",
    "SealTooLarge",
    "Sealer",
    "default_sealer",
]

MIB: Final = 1024 * 1024
_VERSION: Final = b"\x01"
_HEAD: Final = 9
"""Bytes in front of the nonce: the version and the key's id. They are a multiple of three, so that the letters that
spell them spell nothing else, and a token shows its key as it is written."""

_NONCE: Final = 12
_TAG: Final = 16
_INSIDE: Final = struct.Struct(">BQ")
"""How the content is written (always `_PLAIN`), and when the token was issued (milliseconds since 1970)."""

_HEAD_LETTERS: Final = _HEAD * 4 // 3
_LEAST: Final = -(-(_HEAD + _NONCE + _INSIDE.size + _TAG) * 4 // 3)
"""Letters of the shortest token."""

_PLAIN: Final = 0
_SKEW: Final = 60.0
"""Seconds that the clock of another worker may be ahead of ours."""

_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
#: From the alphabet for URLs to the other one; whatever is no letter becomes one that is in none.
_FROM_URL: Final = bytes(
    {0x2D: 0x2B, 0x5F: 0x2F}.get(each, each if bytes([each]).isalnum() else 0x21) for each in range(256)
)
#: By how many letters stand in the last group of four: those that may be last, which have no bits to spare, and how the
#: codec reads the token.
_ENDINGS: Final = (("", b'"%b"'), ("", b""), ("AQgw", b'"%b=="'), ("AEIMQUYcgkosw048", b'"%b="'))
#: Both are in C from end to end, and many times as fast as `binascii` with what is as good as random.
_write: Final = msgspec.json.Encoder().encode
_read: Final = msgspec.json.Decoder(bytes).decode
_HANDLE_COST: Final = 400
"""Bytes that an entry of the table costs besides its content, roughly."""


class SealBroken(DovetailError):
    """A token that does not open: forged, damaged, too old, unknown, or sealed for somebody else. What
    it was sealed for begins again.
    """

    def __init__(self) -> None:
        super().__init__("the state is not valid here; start the request again from its beginning")


class SealTooLarge(DovetailError):
    """Content over the bound; nothing was sealed. Keep it in a store and seal its handle. ``limit`` in bytes."""

    def __init__(self, message: str, limit: int) -> None:
        super().__init__(message)
        self.limit = limit


class Sealer(Protocol):
    """Seals bytes into a text that only opens again with the same binding."""

    def seal(self, plaintext: bytes, *, binding: bytes) -> str:
        """A URL-safe token for ``plaintext``. Raises `SealTooLarge`."""
        ...

    def open(self, token: str, *, binding: bytes) -> bytes:
        """What was sealed. Raises `SealBroken`, whatever is wrong."""
        ...


class AESGCMSealer:
    """Seals with AES-256-GCM, under the keys of a `KeyRing`.

    ``purpose`` keeps tokens of different uses apart. ``max_age``: seconds a token opens (default 3600).
    ``max_bytes``: content of one token (default 1 MiB). ``clock``: seconds since 1970. Raises ImportError without the
    extra, ValueError for an empty purpose and for bounds that are not above zero.
    """

    def __init__(
        self,
        keyring: KeyRing,
        purpose: str,
        *,
        max_age: float = 3600.0,
        max_bytes: int = MIB,
        clock: Callable[[], float] = time.time,
    ) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise ImportError("sealing needs cryptography: pip install 'dovetail[server]'") from error
        if not purpose:
            raise ValueError("a sealer needs a purpose, which keeps its tokens apart from all others")
        if not max_age > 0 or max_bytes < 1:
            raise ValueError("max_age and max_bytes must be above zero")
        name = purpose.encode()
        context = struct.pack(">I", len(name)) + name
        #: By the letters that a token begins with: what opens it, and what it is bound to whatever its binding.
        self._ciphers = {
            _spell(_VERSION + identity): (
                AESGCM(_key_for_purpose(key, context)),
                _VERSION + identity + context,
            )
            for identity, key in keyring.items()
        }
        self._newest, self._bound = next(iter(self._ciphers.values()))
        self._head = self._bound[:_HEAD]
        self._invalid: type[Exception] = InvalidTag
        self._max_age = max_age
        self._max_bytes = max_bytes
        self._max_token = (max_bytes + 128) * 4 // 3 + 4
        self._clock = clock

    def seal(self, plaintext: bytes, *, binding: bytes) -> str:
        """A token for ``plaintext`` that opens with ``binding`` only. Raises `SealTooLarge`."""
        if len(plaintext) > self._max_bytes:
            raise SealTooLarge(
                f"{len(plaintext)} bytes to seal, more than {self._max_bytes}", self._max_bytes
            )
        nonce = os.urandom(_NONCE)
        inside = _INSIDE.pack(_PLAIN, int(self._clock() * 1000)) + plaintext
        return _spell(self._head + nonce + self._newest.encrypt(nonce, inside, self._bound + binding))

    def open(self, token: str, *, binding: bytes) -> bytes:
        """What was sealed. Raises `SealBroken`, whatever is wrong."""
        known = self._ciphers.get(token[:_HEAD_LETTERS])
        if known is None or not _LEAST <= len(token) <= self._max_token:
            raise SealBroken
        cipher, bound = known
        raw = _unspell(token)
        try:
            inside = cipher.decrypt(raw[_HEAD : _HEAD + _NONCE], raw[_HEAD + _NONCE :], bound + binding)
        except self._invalid:
            raise SealBroken from None
        written, issued = _INSIDE.unpack_from(inside)
        age = self._clock() - issued / 1000
        if written != _PLAIN or not -_SKEW <= age <= self._max_age:
            raise SealBroken
        return inside[_INSIDE.size :]


class _HandleEntry(NamedTuple):
    expires: float
    binding: bytes
    content: bytes


class HandleSealer:
    """Keeps the content in this process and gives out random handles of 256 bits.

    At most ``max_entries`` (default 10,000) and ``max_bytes`` (default 64 MiB) together, each for ``ttl``
    seconds (default 600); the oldest go first. ``clock`` gives seconds and never goes back.
    """

    def __init__(
        self,
        *,
        max_entries: int = 10_000,
        max_bytes: int = 64 * MIB,
        ttl: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_entries < 1 or max_bytes < 1 or not ttl > 0:
            raise ValueError("max_entries, max_bytes and ttl must be above zero")
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._ttl = ttl
        self._clock = clock
        self._entries: OrderedDict[bytes, _HandleEntry] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def seal(self, plaintext: bytes, *, binding: bytes) -> str:
        """A handle for ``plaintext`` that opens with ``binding`` only. Raises `SealTooLarge`."""
        cost = len(plaintext) + _HANDLE_COST
        if cost > self._max_bytes:
            raise SealTooLarge(
                f"{len(plaintext)} bytes to keep, more than the whole table may have", self._max_bytes
            )
        now = self._clock()
        self._forget_expired(now)
        while self._entries and (
            len(self._entries) >= self._max_entries or self._bytes + cost > self._max_bytes
        ):
            self._forget_oldest()
        handle = os.urandom(32)
        self._entries[handle] = _HandleEntry(now + self._ttl, _digest(binding), bytes(plaintext))
        self._bytes += cost
        return _spell(handle)

    def open(self, token: str, *, binding: bytes) -> bytes:
        """What was sealed, as often as it is asked for. Raises `SealBroken`, whatever is wrong."""
        from hmac import compare_digest

        self._forget_expired(self._clock())
        entry = self._entries.get(_unspell(token)) if len(token) < 64 else None
        if entry is None or not compare_digest(entry.binding, _digest(binding)):
            raise SealBroken
        return entry.content

    def _forget_expired(self, now: float) -> None:
        # All live equally long, so the order of sealing is the order of expiry.
        while self._entries and next(iter(self._entries.values())).expires <= now:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, entry = self._entries.popitem(last=False)
        self._bytes -= len(entry.content) + _HANDLE_COST


def default_sealer(purpose: str, keyring: KeyRing | None = None) -> Sealer:
    """The best sealer there is: AES-GCM if ``cryptography`` is installed, else handles of this process.

    Without a ``keyring`` a random one is made, whose tokens open in this process only. A key ring without
    ``cryptography`` is an `ImportError`: silently falling back would break it for all other workers.
    """
    if keyring is None:
        from importlib.util import find_spec

        if find_spec("cryptography") is None:
            return HandleSealer()
    return AESGCMSealer(keyring or KeyRing.generate(), purpose)


def _key_for_purpose(key: bytes, context: bytes) -> bytes:
    """HKDF-Expand (RFC 5869, section 2.3) to one block of 32 bytes; the key is uniform already."""
    import hmac

    return hmac.digest(key, b"dovetail seal" + context + b"\x01", "sha256")


def _digest(data: bytes) -> bytes:
    import hashlib

    return hashlib.sha256(data).digest()


def _spell(raw: bytes) -> str:
    return _write(raw).translate(_TO_URL, b'"=').decode("ascii")


def _unspell(token: str) -> bytes:
    """The bytes of a token. Raises `SealBroken` unless it is spelled exactly as `_spell` does."""
    over = len(token) % 4
    last, quoted = _ENDINGS[over]
    if over and token[-1] not in last:
        raise SealBroken
    try:
        return _read(quoted % token.encode("ascii").translate(_FROM_URL))
    except (UnicodeEncodeError, msgspec.ValidationError):
        raise SealBroken from None
