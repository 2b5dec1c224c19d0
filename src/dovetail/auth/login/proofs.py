"""How tokens are presented: plain, or with a proof of the key that they are bound to.

Theory of operation. A bound token goes out under the scheme DPoP, with a fresh proof for each request. A server may
want a nonce of its own in the proof; the newest one of each server is kept and used. A refusal that only asks for the
nonce is answered with it, once: if the nonce was there already, asking again would help nothing.

Specification: RFC 9449 sections 4, 7.1, 8.2 and 9; RFC 6750 section 2.1.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ...security.client_auth import Refusal
from ..challenges import Challenge
from ..dpop import DPoPKey
from .records import Tokens
from .token_endpoint import origin_key

__all__ = ["Proofs"]

_NONCE: Final = "dpop-nonce"
_WANTED: Final = "use_dpop_nonce"
_MAX_NONCE: Final = 1024


class Proofs:
    """Presents tokens. ``nonces``: the newest by origin, shared with the token endpoint."""

    def __init__(self, nonces: dict[str, str]) -> None:
        self._nonces = nonces
        self._key: tuple[str, DPoPKey] | None = None

    def headers(self, tokens: Tokens, method: str, url: str) -> dict[str, str]:
        """The credential headers for one request."""
        if tokens.dpop_key is None or tokens.token_type != "dpop":  # noqa: S105 - a kind of token
            return {"authorization": f"Bearer {tokens.access_token}"}
        key = self._key_of(tokens.dpop_key)
        proof = key.proof(
            method, url, access_token=tokens.access_token, nonce=self._nonces.get(origin_key(url))
        )
        return {"authorization": f"DPoP {tokens.access_token}", "dpop": proof}

    def answered(self, url: str, headers: Mapping[str, str]) -> None:
        """Keep the nonce of a response."""
        nonce = headers.get(_NONCE, "")
        if nonce and nonce.isascii() and nonce.isprintable() and len(nonce) <= _MAX_NONCE:
            self._nonces[origin_key(url)] = nonce

    def nonce_wanted(self, refusal: Refusal, challenges: Sequence[Challenge]) -> bool | None:
        """Whether to send again with the server's nonce; None if the refusal is about something else."""
        if not any(each.parameters.get("error") == _WANTED for each in challenges):
            return None
        proof = refusal.sent.get("dpop")
        if proof is None:
            return None
        self.answered(refusal.url, refusal.headers)
        newest = self._nonces.get(origin_key(refusal.url))
        return newest is not None and newest != _nonce_in(proof)

    def _key_of(self, jwk: Mapping[str, str]) -> DPoPKey:
        mark = jwk.get("x", "")
        if self._key is None or self._key[0] != mark:
            self._key = (mark, DPoPKey(jwk))
        return self._key[1]


def _nonce_in(proof: str) -> Any:
    """The nonce in a proof of ours."""
    part = proof.split(".")[1] if proof.count(".") == 2 else ""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))).get("nonce")
    except (msgspec.DecodeError, ValueError, AttributeError):
        return None
