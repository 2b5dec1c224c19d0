"""Signed JSON: reading a compact JWS strictly, and checking its signature with one public key.

Theory of operation. Reading and checking are two steps, for the key is chosen by what was read. Reading is strict and
bounded, so that nothing is left to the taste of a library: three parts in plain base64url, JSON objects without
repeated names, an algorithm of the list that the caller gives (never ``none``, never one with a shared secret), no
``crit`` at all, for we understand no extension, and no ``b64``. Keys that a token brings along (``jwk``, ``jku``,
``x5u``, ``x5c``) are never looked at, except where the caller asks for one: a proof of possession shows its key.

joserfc does the arithmetic; it is imported when it is first needed.

Specification: RFC 7515, sections 4.1 and 5.2; RFC 7517, section 4; RFC 8725 (best practice for JWTs).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from typing import Any, Final, cast

import msgspec

from ..protocol.errors import DovetailError
from .strict_json import NotAnObject, read_object

__all__ = [
    "ALGORITHMS",
    "MAX_TOKEN",
    "Compact",
    "KeyUnusable",
    "SignatureInvalid",
    "VerifyingKey",
    "read_compact",
]

ALGORITHMS: Final = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
)
"""The algorithms that can be allowed: all have a public key. ``EdDSA`` is the name of ``Ed25519`` before RFC 9864."""
MAX_TOKEN: Final = 16 * 1024
"""Characters that a signed token may have."""

_MAX_HEADER: Final = 8 * 1024
_MAX_PAYLOAD: Final = 16 * 1024
_PART: Final = re.compile(r"[A-Za-z0-9_-]+")
_KIND: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_CURVE: Final = {
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "Ed25519": "Ed25519",
    "EdDSA": "Ed25519",
}
_PUBLIC: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_PRIVATE: Final = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
_RSA_BITS: Final = (2048, 8192)
_MAX_EXPONENT: Final = 11


class SignatureInvalid(DovetailError):
    """A token is not one, or is not signed as it has to be. The message quotes nothing of it."""


class KeyUnusable(DovetailError):
    """A key can't check signatures. The message quotes nothing of it."""


class Compact(msgspec.Struct, frozen=True):
    """A token, read and not yet checked."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes

    @property
    def algorithm(self) -> str:
        """How it says that it is signed: one of those that were allowed."""
        return cast("str", self.header["alg"])

    def __repr__(self) -> str:
        return f"Compact(alg={self.algorithm!r})"


def read_compact(token: str, algorithms: Collection[str]) -> Compact:
    """Read a token. Nothing in it is proven before a key `verifies` it. Raises `SignatureInvalid`."""
    if len(token) > MAX_TOKEN:
        raise SignatureInvalid(f"the token has more than {MAX_TOKEN} characters")
    parts = token.split(".", 3)
    if len(parts) != 3:
        raise SignatureInvalid("the token is no signed JWT: it does not have three parts")
    header_text, payload_text, signature_text = parts
    try:
        header = read_object(_decode(header_text), _MAX_HEADER)
        claims = read_object(_decode(payload_text), _MAX_PAYLOAD)
        signature = _decode(signature_text)
    except NotAnObject as problem:
        raise SignatureInvalid(f"the token can't be read: {problem}") from None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms or algorithm not in ALGORITHMS:
        raise SignatureInvalid("the token is signed with an algorithm that is not allowed here")
    if "crit" in header or "b64" in header:
        raise SignatureInvalid("the token demands an extension that is not understood here")
    if not isinstance(header.get("kid", ""), str) or len(header.get("kid", "")) > 512:
        raise SignatureInvalid("the token's key id is no text, or too long")
    return Compact(header, claims, f"{header_text}.{payload_text}".encode(), signature)


class VerifyingKey:
    """A public key that checks signatures. Raises `KeyUnusable` for anything else: shared secrets, private keys, keys
    for encryption, RSA keys outside 2048 to 8192 bits, curves that are not used for signatures here.

    ``id`` and ``algorithm`` are what the key says of itself, empty where it says nothing.
    """

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        kind = jwk.get("kty")
        if not isinstance(kind, str) or kind not in _PUBLIC:
            raise KeyUnusable("the key is of no kind that checks signatures here")
        if not _PRIVATE.isdisjoint(jwk):
            raise KeyUnusable("the key is not public")
        operations = jwk.get("key_ops")
        if jwk.get("use", "sig") != "sig" or (operations is not None and "verify" not in _listed(operations)):
            raise KeyUnusable("the key is not for signatures")
        self.id = _text(jwk.get("kid"))
        self.algorithm = _text(jwk.get("alg"))
        public = {name: _text(jwk.get(name)) for name in _PUBLIC[kind]}
        if any(not value or len(value) > 4096 for value in public.values()):
            raise KeyUnusable("the key lacks a part")
        if len(public.get("e", "")) > _MAX_EXPONENT:
            raise KeyUnusable("the RSA key's exponent is larger than any in use, and costly")
        self.kind = kind
        self.curve = public.get("crv", "")
        if kind != "RSA" and self.curve not in _CURVE.values():
            raise KeyUnusable("the key's curve is not used for signatures here")
        self.public = {"kty": kind, **public}
        if kind == "RSA" and not _RSA_BITS[0] <= _bits(public["n"]) <= _RSA_BITS[1]:
            raise KeyUnusable(f"the RSA key does not have {_RSA_BITS[0]} to {_RSA_BITS[1]} bits")
        self._key = _import_key(self.public)

    def fits(self, algorithm: str) -> bool:
        """Whether the key can check what is signed that way."""
        return (
            _KIND[algorithm[:2]] == self.kind
            and self.algorithm in ("", algorithm)
            and _CURVE.get(algorithm, self.curve) == self.curve
        )

    def verifies(self, token: Compact) -> bool:
        """Whether the token was signed by the owner of this key."""
        if not self.fits(token.algorithm):
            return False
        try:
            return bool(_algorithm(token.algorithm).verify(token.signed, token.signature, self._key))
        except (ValueError, TypeError):
            return False

    @property
    def thumbprint(self) -> str:
        """The SHA-256 thumbprint (RFC 7638)."""
        return self._key.thumbprint()

    def __repr__(self) -> str:
        return f"VerifyingKey(id={self.id!r}, kind={self.kind!r})"


def _decode(text: str) -> bytes:
    """Base64url without padding, in its one spelling."""
    if not text.isascii() or not _PART.fullmatch(text) or len(text) % 4 == 1:
        raise SignatureInvalid("the token is no signed JWT: a part is not base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise SignatureInvalid("the token is no signed JWT: a part is not base64url")
    return data


def _bits(number: str) -> int:
    """How many bits a number in base64url has; 0 for what is none."""
    try:
        return int.from_bytes(_decode(number)).bit_length()
    except SignatureInvalid:
        return 0


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise KeyUnusable("a member of the key is no text")
    return value


def _listed(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _import_key(public: dict[str, str]) -> Any:
    try:
        from joserfc.errors import JoseError
        from joserfc.jwk import import_key
    except ImportError:
        raise ImportError(
            "signatures are checked with the extra 'auth': pip install 'dovetail[auth]'"
        ) from None
    try:
        return import_key(cast("Any", public))
    except (JoseError, ValueError, TypeError, KeyError):
        raise KeyUnusable("the key's numbers make no key") from None


def _algorithm(name: str) -> Any:
    from joserfc.jws import JWSRegistry

    # By name and not by `get_alg`, which warns of EdDSA at every token: the allow-list was asked before.
    return JWSRegistry.algorithms[name]
