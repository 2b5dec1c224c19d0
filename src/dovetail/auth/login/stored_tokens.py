"""Tokens in a store: one place for all processes, and machines, that log in as the same client.

Theory of operation. A record of `records` is an entry of the store, sealed where there are keys. The lock of a key is a
lease: others get it when its holder dies, however far the clocks of the machines are apart (`stores.leases`).

A process that stood still may lose its lease without knowing. Two things keep that from doing harm. Right before a
refresh token is used, `confirm` looks whether the lease is still ours: with a server that takes each refresh token
once, a second use would end the grant. And what is written under a lock replaces only what was read under it: whoever
comes late does not write old tokens over new ones.

A store that is away fails nobody who has good tokens: they are in memory, and what is to be written waits there until
the store is back. Whoever needs the lock is told `AuthorizationUnavailable`; to renew without it would risk the grant.

Specification: OAuth 2.1 sections 4.3 and 7.1; 2026-07-28 basic/authorization/security-considerations "Token Theft".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple, TypeVar

from ...logs import get_logger
from ...security.key_ring import KeyRing
from ...security.sealed_records import SealedRecords, check_private
from ...stores.contracts import Store
from ...stores.errors import StoreError
from ...stores.leases import Lease
from .problems import AuthorizationUnavailable, TokensChanged

__all__ = ["StoredTokens"]

log = get_logger("dovetail.auth")
T = TypeVar("T")

SHARE: Final = 1 / 32
"""The part of a store that tokens may take."""
MAX_RECORD: Final = 256 * 1024
"""Bytes of one record."""
LIFETIME: Final = 180 * 86_400.0
"""Seconds after which tokens that nobody renewed are forgotten."""
LEASE: Final = 15.0
"""Seconds after which the lock of a process that died on another machine is free."""
KEEP: Final = 3600.0
"""Seconds by the store's clock after which such a lock is forgotten: clocks may differ by nearly as much."""
LOCK_TIME: Final = 60.0
"""Seconds to wait for a lock."""
PATIENCE: Final = 10.0
"""Seconds that the store has for each answer."""


class _HeldLock:
    """A lock that a task holds: its lease, and what it read since then, by key, as it stood in the store."""

    def __init__(self, key: str, lease: Lease) -> None:
        self.key = key
        self.lease = lease
        self.read: dict[str, bytes | None] = {}


class _WaitingRecord(NamedTuple):
    """What the store has yet to take, in place of ``read``, if that is known."""

    data: bytes
    raw: bytes
    known: bool
    read: bytes | None


class StoredTokens:
    """Tokens in a `Store`, shared by all processes that have it; the store stays the caller's to close.

    ``keys``: they are sealed with; all processes need the same. Without, they stand in the store as they are, which is
    refused (ValueError) unless the store is this user's alone (`MemoryStore`, `SQLiteStore`) or ``allow_unsealed``.
    Raises ImportError, which names the extra, for keys without the package cryptography.
    """

    def __init__(self, store: Store, *, keys: KeyRing | None = None, allow_unsealed: bool = False) -> None:
        check_private(store, keys, allow_unsealed=allow_unsealed, what="tokens")
        self._kv = store.kv.within("client/tokens/", share=SHARE)
        self._sealed = SealedRecords(self._kv, "client tokens", keys, max_bytes=MAX_RECORD)
        self._held: dict[asyncio.Task[Any] | None, _HeldLock] = {}
        self._waiting: dict[str, _WaitingRecord] = {}

    async def read(self, key: str) -> bytes | None:
        """The record, or None. Raises `AuthorizationUnavailable`."""
        if (waiting := self._waiting.get(key)) is not None and not await self._written(key, waiting):
            return waiting.data
        data, raw = await self._asked(self._sealed.read(key))
        held = self._held.get(asyncio.current_task())
        if held is not None:
            held.read[key] = raw
        if raw is not None and data is None:
            log.warning("a record of a login can't be read: it was sealed with other keys, or was damaged")
        return data

    async def write(self, key: str, data: bytes) -> None:
        """Keep a record, in one step. Raises `AuthorizationUnavailable` for one of more than 256 KiB, and
        `TokensChanged` where another process has written it since it was read under the lock.
        """
        raw = self._sealed.sealed(key, data)
        if raw is None:
            raise AuthorizationUnavailable(f"a record of {len(data)} bytes is too large to keep")
        held = self._held.get(asyncio.current_task())
        known = held is not None and key in held.read
        record = _WaitingRecord(data, raw, known, held.read[key] if held is not None and known else None)
        try:
            if not await self._put(key, record):
                raise TokensChanged("another process has renewed the tokens; try again")
        except (StoreError, TimeoutError) as problem:
            # It may be the only copy: the token before it is used up.
            log.warning("tokens are kept in memory until the store takes them: %s", _said(problem))
            self._waiting[key] = record
        else:
            self._waiting.pop(key, None)
            if held is not None:
                held.read[key] = raw

    async def remove(self, key: str) -> None:
        """Forget a record. Raises `AuthorizationUnavailable`."""
        self._waiting.pop(key, None)
        held = self._held.get(asyncio.current_task())
        if held is None or key not in held.read:
            await self._asked(self._kv.delete(key))
        elif held.read[key] is not None:
            # Where it is another one by now, that one is somebody's new login.
            await self._asked(self._kv.compare_and_set(key, held.read[key], None))
            held.read[key] = None

    @asynccontextmanager
    async def lock(self, key: str) -> AsyncGenerator[None]:
        """Hold the lock of a key, against all processes; a task holds one at a time. Raises TimeoutError after a
        minute, and `AuthorizationUnavailable`.
        """
        lease = Lease(self._kv, f"lock-{key}", ttl=LEASE, keep=KEEP)
        task = asyncio.current_task()
        renewing: asyncio.Task[None] | None = None
        try:
            try:
                async with asyncio.timeout(LOCK_TIME):
                    await lease.wait()
            except StoreError as problem:
                raise _away(problem) from None
            self._held[task] = _HeldLock(key, lease)
            renewing = asyncio.create_task(_renew(lease), name="dovetail: lock of tokens")
            yield
        finally:
            if renewing is not None:
                del self._held[task]
                renewing.cancel()
                await asyncio.wait([renewing])
            with suppress(StoreError, TimeoutError):
                await self._in_time(lease.release())

    async def confirm(self, key: str) -> None:
        """See that this task still holds the lock of a key, for a while to come. Raises `TokensChanged` if it does not,
        and `AuthorizationUnavailable`.
        """
        held = self._held.get(asyncio.current_task())
        if held is None or held.key != key or not await self._asked(held.lease.renew()):
            raise TokensChanged("another process took over the tokens while this one stood still; try again")

    async def _put(self, key: str, record: _WaitingRecord) -> bool:
        """Put a record where it belongs; False where something else stands there by now."""
        if not record.known:
            await self._in_time(self._kv.set(key, record.raw, ttl=LIFETIME))
            return True
        work = self._kv.compare_and_set(key, record.read, record.raw, ttl=LIFETIME)
        return await self._in_time(work) or await self._in_time(self._kv.get(key)) == record.raw

    async def _written(self, key: str, waiting: _WaitingRecord) -> bool:
        """Whether a record waits no longer: the store has it, or something newer."""
        try:
            await self._put(key, waiting)
        except (StoreError, TimeoutError):
            return False
        if self._waiting.get(key) is waiting:
            del self._waiting[key]
        return True

    async def _in_time(self, work: Coroutine[Any, Any, T]) -> T:
        async with asyncio.timeout(PATIENCE):
            return await work

    async def _asked(self, work: Coroutine[Any, Any, T]) -> T:
        """What the store answers; that it is away is named as what it is to a caller: no authorization."""
        try:
            return await self._in_time(work)
        except (StoreError, TimeoutError) as problem:
            raise _away(problem) from None

    def __repr__(self) -> str:
        return "<StoredTokens>"


async def _renew(lease: Lease) -> None:
    while True:
        await asyncio.sleep(lease.ttl / 3)
        with suppress(StoreError):  # `confirm` finds out, before it matters
            if not await lease.renew():
                return


def _away(problem: Exception) -> AuthorizationUnavailable:
    return AuthorizationUnavailable(f"the store of the tokens can't be used: {_said(problem)}")


def _said(problem: Exception) -> str:
    return str(problem) or "it does not answer"
