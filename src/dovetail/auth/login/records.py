"""What is kept of a login, and how it is found again.

Theory of operation. A record says itself whom it is for: issuer, client and resource stand in it, and it is used only
for these. Three kinds exist: tokens, a registration of this client at one authorization server, and a pointer from
the address of an MCP server to the tokens last used there, which outlives them and knows their scopes. Times are
absolute (seconds since 1970), so that they mean the same after a restart. Keys are digests, fit for file names.

Specification: 2026-07-28 basic/authorization/client-registration "Authorization Server Binding"; OAuth 2.1 section 7.1.
"""

import hashlib
import math
from typing import Final, TypeVar

import msgspec

__all__ = ["Pointer", "Registration", "Tokens", "decode", "encode", "key_of"]

R = TypeVar("R", bound=msgspec.Struct)
_MARGIN: Final = 30.0


class Tokens(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One grant. ``by``: "login" or "refresh", how ``access_token`` came. ``requested``: the scopes asked for;
    ``granted``: those given. ``login_id`` names the login that began at ``login_at``; refreshes change neither.
    ``legacy``: by the rules of 2025-03-26. ``dpop_key``: the key that the tokens are bound to, as a JWK.
    """

    issuer: str
    client_id: str
    resource: str
    access_token: str
    login_id: str
    token_type: str = "bearer"  # noqa: S105 - a kind of token
    by: str = "login"
    expires_at: float | None = None
    obtained_at: float = 0.0
    login_at: float = 0.0
    refresh_token: str | None = None
    requested: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()
    legacy: bool = False
    dpop_key: dict[str, str] | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        """Those asked for, and those given besides."""
        return tuple(dict.fromkeys((*self.requested, *self.granted)))

    def stale(self, now: float) -> bool:
        """Whether the access token has expired, or is about to: 30 s, or a tenth of a short life, before."""
        if self.expires_at is None:
            return False
        life = max(0.0, self.expires_at - self.obtained_at)
        return now >= self.expires_at - min(_MARGIN, life / 10)

    def expired(self, now: float) -> bool:
        """Whether the access token has expired."""
        return self.expires_at is not None and now >= self.expires_at

    def __repr__(self) -> str:
        return f"<Tokens of {self.issuer!r} for {self.resource!r}>"


class Registration(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """This client at one authorization server, as it registered there."""

    issuer: str
    client_id: str
    method: str
    client_secret: str | None = None
    redirect_uri: str = ""
    scopes: tuple[str, ...] = ()
    expires_at: float | None = None

    def __repr__(self) -> str:
        return f"<Registration {self.client_id!r} at {self.issuer!r}>"


class Pointer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which tokens were last used at an MCP server, and their ``scopes``: the next login asks for these again."""

    issuer: str
    client_id: str
    resource: str
    scopes: tuple[str, ...] = ()


def key_of(kind: str, *parts: str) -> str:
    """The key of a record: its kind, and a digest of what it is for."""
    digest = hashlib.sha256("\0".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()
    return f"{kind}-{digest[:40]}"


def encode(record: msgspec.Struct) -> bytes:
    """A record as JSON."""
    return msgspec.json.encode(record)


def decode(data: bytes | None, kind: type[R]) -> R | None:
    """The record in JSON; None for what is none of this kind, which is as good as nothing."""
    if data is None:
        return None
    try:
        record = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError):
        return None
    times = [getattr(record, name, None) for name in ("expires_at", "obtained_at", "login_at")]
    return record if all(time is None or math.isfinite(time) for time in times) else None
