"""Numbers that an operator may change, each with a default that is fit to be left alone.

Specification: OAuth 2.1 section 7.1 (short-lived tokens), 4.1.2 (codes); basic/authorization/security-considerations.
"""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["CHALLENGE_METHOD", "MAX_CODE_LIFETIME", "Bounds", "Lifetimes"]

MAX_CODE_LIFETIME: Final = 60.0
CHALLENGE_METHOD: Final = "S256"
"""The one ``code_challenge_method`` that is taken (RFC 7636)."""


class Lifetimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long things live, in seconds.

    `code`: at most 60. `access_token`: default 10 minutes. `refresh_idle`: a refresh token that is not used for so
    long ends; `refresh_total`: no chain of refreshes outlives it. `retry`: within so many seconds a refresh whose reply
    was lost may be sent again and gets the same answer. `interaction`: from the first page to the consent.
    `signing_key`: after so long a new key signs; the old one stays published until its tokens have ended.
    `unused_client`, `idle_client`: registrations that never led to a token, or led to none for so long, are forgotten.
    Raises `ValueError`.
    """

    code: float = 60.0
    access_token: float = 600.0
    refresh_idle: float = 14 * 86_400.0
    refresh_total: float = 90 * 86_400.0
    retry: float = 30.0
    interaction: float = 600.0
    signing_key: float = 30 * 86_400.0
    unused_client: float = 86_400.0
    idle_client: float = 180 * 86_400.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not 0 < getattr(self, name) < 10 * 365 * 86_400.0 and not (
                name == "retry" and self.retry == 0
            ):
                raise ValueError(
                    f"Lifetimes({name}=...) is a number of seconds above zero, and below ten years."
                )
        if self.code > MAX_CODE_LIFETIME:
            raise ValueError("Lifetimes(code=...): an authorization code lives for at most 60 seconds.")
        if self.access_token > 86_400.0:
            raise ValueError("Lifetimes(access_token=...): access tokens are short-lived; a day is the most.")


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much is taken from strangers.

    `body` and `head`: bytes of a request's body, and of its target and headers; `patience`: seconds for the whole body;
    `work`: seconds for a whole request. `clients`: registrations kept at once; `registration`: bytes of one.
    `documents`: client documents in the cache. `failures`: failed tries that one address has at once, and gets back
    one by one, each after `recovery` seconds. `fetches`: documents fetched at once.
    """

    body: int = 64 * 1024
    head: int = 32 * 1024
    patience: float = 10.0
    work: float = 30.0
    clients: int = 1_000
    registration: int = 16 * 1024
    documents: int = 256
    failures: int = 20
    recovery: float = 6.0
    fetches: int = 8
