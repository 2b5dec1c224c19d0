"""What a person granted: codes that are exchanged once, and refresh tokens that change with each use.

Theory of operation
-------------------
A code is spent by the first try, right or wrong: one compare-and-set turns its record into the mark ``spent``, so of
any number of tries in any number of processes one gets the record. Whoever comes later finds the mark, and ends the
grant that came of it, with every token.

A grant is one record. A refresh token is ``<handle>.<secret>``: the handle stays and finds the grant, the secret
changes with each refresh and the record holds only its digest. A refresh is one compare-and-set too. The answer is
kept in the record, sealed with the secret that asked for it: when a reply is lost, the same token gets the same
answer again for some seconds, as long as the new one has not been used. Any other old or made-up secret for a handle
means that somebody else has, or had, one of its tokens: the grant ends (reuse detection).

Codes, handles and secrets are random; the store holds digests of them only.

Specification: OAuth 2.1 sections 4.1.2, 4.1.3 and 4.3.1; RFC 9700 sections 2.2.2 and 4.14.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from dovetail.stores import KeyValue

from .clients import digest
from .refusals import invalid_grant
from .settings import Lifetimes

__all__ = ["CodeRecord", "Grant", "Grants", "Issued", "new_handle"]

_SPENT: Final = b"spent "
_UNKNOWN: Final = "The code or token is not valid here: unknown, ended, used before, or another client's."


class CodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a code stands for."""

    client_id: str
    redirect_uri: str
    challenge: str
    subject: str
    resource: str
    scopes: tuple[str, ...]
    grant: str
    handle: str
    claims: dict[str, Any] = {}
    thumbprint: str = ""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a person granted to a client, for as long as it lasts. `ends`: seconds since the epoch."""

    id: str
    client_id: str
    subject: str
    resource: str
    scopes: tuple[str, ...]
    claims: dict[str, Any]
    thumbprint: str
    ends: float
    current: str = ""
    previous: str = ""
    rotated: float = 0.0
    answer: str = ""


class Issued(msgspec.Struct, frozen=True):
    """One answer of the token endpoint. `ends`: when the access token does."""

    access_token: str
    ends: float
    scope: str
    token_type: str
    refresh_token: str = ""

    def __repr__(self) -> str:
        return "Issued(...)"


Make = Callable[[Grant, tuple[str, ...], str], Awaitable[Issued]]


class Grants:
    """The codes and grants of one server, in its store."""

    def __init__(self, kv: KeyValue, lifetimes: Lifetimes, *, clock: Callable[[], float] = time.time) -> None:
        self._codes = kv.within("code/", share=1 / 8)
        self._grants = kv.within("grant/", share=1 / 4)
        self._lifetimes = lifetimes
        self._clock = clock

    async def new_code(self, record: CodeRecord) -> str:
        """A code for this record."""
        code = secrets.token_urlsafe(32)
        await self._codes.set(digest(code), msgspec.json.encode(record), ttl=self._lifetimes.code)
        return code

    async def spend(self, code: str) -> CodeRecord:
        """Spend the code, whoever shows it. Raises `OAuthError`; a second try ends the grant."""
        key = digest(code)
        raw = await self._codes.get(key)
        if raw is None:
            raise invalid_grant(_UNKNOWN)
        if not raw.startswith(_SPENT):
            record = msgspec.json.decode(raw, type=CodeRecord)
            mark = _SPENT + record.grant.encode("ascii")
            if await self._codes.compare_and_set(key, raw, mark, ttl=self._lifetimes.refresh_total):
                return record
            raw = await self._codes.get(key) or b""
        # Of two who show one code one is a thief, and nobody knows which of them came first.
        grant = raw.removeprefix(_SPENT).decode("ascii")
        if grant:
            await self._end_early(grant)
        raise invalid_grant(_UNKNOWN)

    async def begin(self, record: CodeRecord, thumbprint: str, *, refreshing: bool) -> tuple[Grant, str]:
        """The grant that a code turns into, and its first refresh token (or "")."""
        secret = secrets.token_urlsafe(32) if refreshing else ""
        lifetimes = self._lifetimes
        grant = Grant(
            id=record.grant,
            client_id=record.client_id,
            subject=record.subject,
            resource=record.resource,
            scopes=record.scopes,
            claims=record.claims,
            thumbprint=thumbprint,
            ends=self._clock() + (lifetimes.refresh_total if refreshing else lifetimes.access_token + 60),
            current=digest(secret) if secret else "",
        )
        # `add`: where the code's second showing was faster, there is the mark that ends the grant.
        if not await self._grants.add(grant.id, msgspec.json.encode(grant), ttl=self._left(grant)):
            raise invalid_grant(_UNKNOWN)
        return grant, f"{record.handle}.{secret}" if secret else ""

    async def get(self, id: str) -> Grant | None:
        """The grant, or None when it has ended."""
        found = await self._read(id)
        return None if found is None else found[1]

    async def find(self, refresh_token: str) -> Grant | None:
        """The grant of a refresh token, whether or not the token is the current one."""
        handle, dot, _ = refresh_token.partition(".")
        return await self.get(grant_id(handle)) if dot else None

    async def refresh(
        self, refresh_token: str, check: Callable[[Grant], tuple[str, ...]], make: Make
    ) -> Issued:
        """Turn a refresh token into new tokens. `check` judges the grant before anything changes and gives the scopes;
        `make` makes the tokens, given the new refresh token. Raises `OAuthError`.
        """
        handle, dot, secret = refresh_token.partition(".")
        id = grant_id(handle)
        while True:
            found = await self._read(id) if dot and secret else None
            if found is None or not found[1].current:
                raise invalid_grant(_UNKNOWN)
            raw, grant = found
            scopes = check(grant)
            shown = digest(secret)
            if hmac.compare_digest(shown, grant.previous) and self._in_retry(grant):
                return self._again(grant, secret)
            if not hmac.compare_digest(shown, grant.current):
                await self.end(id)
                raise invalid_grant(_UNKNOWN)
            issued = await self._rotate(raw, grant, secret, handle, scopes, make)
            if issued is not None:
                return issued

    async def end(self, id: str) -> bool:
        """End the grant and every token of it. False when it had ended."""
        return await self._grants.delete(id)

    async def _rotate(
        self, raw: bytes, grant: Grant, secret: str, handle: str, scopes: tuple[str, ...], make: Make
    ) -> Issued | None:
        """One try; None when another refresh was first."""
        following = secrets.token_urlsafe(32)
        issued = await make(grant, scopes, f"{handle}.{following}")
        after = msgspec.structs.replace(
            grant,
            current=digest(following),
            previous=digest(secret),
            rotated=self._clock(),
            answer=_seal(secret, grant.id, msgspec.json.encode(issued)),
        )
        moved = await self._grants.compare_and_set(
            grant.id, raw, msgspec.json.encode(after), ttl=self._left(after)
        )
        return issued if moved else None

    def _again(self, grant: Grant, secret: str) -> Issued:
        return msgspec.json.decode(_unseal(secret, grant.id, grant.answer), type=Issued)

    def _in_retry(self, grant: Grant) -> bool:
        return self._clock() - grant.rotated <= self._lifetimes.retry

    async def _read(self, id: str) -> tuple[bytes, Grant] | None:
        raw = await self._grants.get(id)
        if raw is None or raw == _SPENT:
            return None
        grant = msgspec.json.decode(raw, type=Grant)
        return (raw, grant) if grant.ends > self._clock() else None

    async def _end_early(self, id: str) -> None:
        """End a grant that may not be stored yet: its first showing is on its way to `begin`."""
        await self._grants.set(id, _SPENT, ttl=self._lifetimes.refresh_total)

    def _left(self, grant: Grant) -> float:
        left = grant.ends - self._clock()
        return max(1.0, min(left, self._lifetimes.refresh_idle) if grant.current else left)


def new_handle() -> tuple[str, str]:
    """A handle for refresh tokens and the id of its grant, from which nobody finds the handle."""
    handle = secrets.token_urlsafe(16)
    return handle, grant_id(handle)


def grant_id(handle: str) -> str:
    """The id of the grant with this handle."""
    made = hashlib.sha256(b"grant " + handle.encode("utf-8", "surrogatepass")).digest()[:18]
    return base64.urlsafe_b64encode(made).decode("ascii")


def _cipher(secret: str) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(hmac.digest(secret.encode("utf-8", "surrogatepass"), b"dovetail refresh answer", "sha256"))


def _seal(secret: str, id: str, answer: bytes) -> str:
    nonce = secrets.token_bytes(12)
    return base64.b64encode(nonce + _cipher(secret).encrypt(nonce, answer, id.encode())).decode("ascii")


def _unseal(secret: str, id: str, sealed: str) -> bytes:
    raw = base64.b64decode(sealed)
    return _cipher(secret).decrypt(raw[:12], raw[12:], id.encode())
