"""What a check says of a token, and for how long that is believed.

Theory of operation. A `TokenCheck` is a setting: which issuer, which way of checking. For each endpoint it makes a
`Checker`, which holds what is learned on the way (keys, answers). A good verdict is kept for a while under the digest
of the token, so that a busy client costs one signature and not one per request; it is never kept past the token's
end, and the table is bounded.

Specification: basic/authorization, "Token Handling"; RFC 7662, section 4 (caching).
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from ...protocol.errors import DovetailError
from ...security.fetching import Fetcher
from ...security.principal import Principal

__all__ = [
    "Checker",
    "CheckContext",
    "TokenCheck",
    "InvalidToken",
    "Unavailable",
    "Verdicts",
    "Verified",
    "token_digest",
]

_MAX_VERDICTS: Final = 10_000


class InvalidToken(DovetailError):
    """A token is not good here. The message is fit for the answer: ASCII, and it quotes nothing of the token."""


class Unavailable(DovetailError):
    """Whether a token is good can't be said now: what is needed for that does not answer."""

    retry_safe = True


class Verified(msgspec.Struct, frozen=True):
    """A token that is good. ``expires``: until when, in seconds since the epoch; ``key``: the thumbprint of the key
    that it is bound to, empty for a bearer token.
    """

    principal: Principal
    expires: float
    key: str = ""


class CheckContext(msgspec.Struct, frozen=True):
    """Where a check works. ``resource``: what tokens must be for; ``fetcher`` makes a fetcher for one errand;
    ``expand`` adds the scopes that others imply; ``leeway``: seconds that clocks may be apart.
    """

    resource: str
    fetcher: Callable[[], Fetcher]
    expand: Callable[[frozenset[str]], frozenset[str]]
    leeway: float = 30.0
    clock: Callable[[], float] = time.time


class Checker(Protocol):
    """Checks tokens of one issuer for one resource. Safe to use from many requests at once. It may have a method
    ``check_from(token, network)`` as well, which is told where the token was shown (see `network_of`).
    """

    @property
    def keep(self) -> float:
        """For how many seconds a good verdict may be kept."""
        ...

    async def check(self, token: str) -> Verified:
        """Check a token. Raises `InvalidToken` and `Unavailable`."""
        ...


class TokenCheck(Protocol):
    """A way of checking the tokens of one issuer."""

    @property
    def issuer(self) -> str:
        """The issuer, exactly as its tokens and its metadata name it."""
        ...

    @property
    def opaque(self) -> bool:
        """Whether tokens that say nothing about their issuer are for this check."""
        ...

    def checker(self, surroundings: CheckContext) -> Checker:
        """A checker for one endpoint."""
        ...


class Verdicts:
    """Good verdicts by the digest of their token."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, Verified]] = OrderedDict()

    def get(self, digest: bytes) -> Verified | None:
        """A verdict that can still be believed."""
        found = self._kept.get(digest)
        if found is None:
            return None
        if self._clock() >= found[0]:
            del self._kept[digest]
            return None
        return found[1]

    def put(self, digest: bytes, verified: Verified, keep: float) -> None:
        """Keep a verdict for so many seconds, and not past the token's end."""
        until = min(self._clock() + keep, verified.expires)
        self._kept[digest] = (until, verified)
        self._kept.move_to_end(digest)
        while len(self._kept) > _MAX_VERDICTS:
            self._kept.popitem(last=False)

    def __len__(self) -> int:
        return len(self._kept)


def token_digest(token: str) -> bytes:
    """What a token is remembered by: never the token itself."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


Claims = dict[str, Any]
