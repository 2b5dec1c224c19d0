"""Proof Key for Code Exchange: the secret that ties an authorization code to who asked for it.

Theory of operation
-------------------
A client makes a random verifier, sends its SHA-256 (the challenge) with the authorization request and the verifier
itself with the token request. A code that somebody else gets hold of is useless without the verifier. Only the method
``S256`` exists here: ``plain`` protects from nobody who can read the authorization request.

Specification: RFC 7636 sections 4.1, 4.2 and 4.6; basic/authorization, "Authorization Code Protection".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import Final

__all__ = ["METHOD", "challenge_of", "is_challenge", "is_verifier", "new_verifier", "verifies"]

METHOD: Final = "S256"
"""The one ``code_challenge_method`` that is sent and accepted."""

_VERIFIER: Final = re.compile(r"[A-Za-z0-9\-._~]{43,128}")
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9\-_]{43}")


def new_verifier() -> str:
    """A fresh verifier: 43 characters that hold 256 random bits."""
    return secrets.token_urlsafe(32)


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a verifier: 43 characters of base64url. Raises `ValueError` unless it is a verifier."""
    if not is_verifier(verifier):
        raise ValueError("A code verifier has 43 to 128 characters of A-Z a-z 0-9 - . _ ~ (RFC 7636, 4.1).")
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def is_verifier(text: str) -> bool:
    """Whether `text` has the form of a verifier."""
    return _VERIFIER.fullmatch(text) is not None


def is_challenge(text: str) -> bool:
    """Whether `text` has the form of an S256 challenge."""
    return _CHALLENGE.fullmatch(text) is not None


def verifies(challenge: str, verifier: str) -> bool:
    """Whether `verifier` is the one behind `challenge`, compared in constant time. Never raises."""
    if not is_challenge(challenge) or not is_verifier(verifier):
        return False
    return hmac.compare_digest(challenge_of(verifier), challenge)
