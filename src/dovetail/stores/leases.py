"""A right that one process at a time has, and that others get when it dies.

Theory of operation
-------------------
A lease is an entry that one of many adds, under a value that nobody else can have. Its holder renews it while it
lives, and each renewal changes the value. Whoever waits takes it over once the value has stood still for ``ttl``
seconds of the waiter's own time: no clock is compared with another, so it does not matter how far those of the machines
are apart. A holder that stood still finds at its next renewal that the lease is somebody else's.

The value also says which process holds it. Where that was one of this very system, and the system says that it has
ended, nobody waits. This is known on Linux alone: by the boot, the namespace of process ids, the id, and when the
process was started. Anywhere else, and of any other machine, nothing is concluded.

A lease that nobody waits for goes with its entry, ``keep`` seconds after the last renewal by the store's clock, which
may be that of each process: for a matter in which two holders do harm, that is much longer than clocks differ.

Specification: none.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from pathlib import Path
from typing import Final

import msgspec

from dovetail.stores.contracts import KeyValue

__all__ = ["Lease"]

_POLL_FROM: Final = 0.02
_POLL_TO: Final = 0.25
_PROC: Final = Path("/proc")


class _LeaseHolder(msgspec.Struct, frozen=True, array_like=True):
    """The value of a lease: what makes it unlike any other, the process that holds it, and how often it was renewed."""

    nonce: str
    system: str
    process: int
    started: int
    renewal: int


class Lease:
    """The right that stands under ``key`` of ``kv``. It is taken from who has not renewed it for ``ttl`` seconds, or is
    gone ``keep`` seconds after that, whichever somebody sees first.
    """

    def __init__(self, kv: KeyValue, key: str, *, ttl: float, keep: float) -> None:
        self.ttl: Final = ttl
        self._keep = keep
        self._kv = kv
        self._key = key
        self._nonce = secrets.token_hex(16)
        self._renewals = 0
        self._value: bytes | None = None
        self._seen: tuple[bytes, float] = (b"", 0.0)
        self._turn = asyncio.Lock()

    async def acquire(self) -> bool:
        """Whether the lease is ours now; one that was is renewed. Raises `StoreError`."""
        async with self._turn:
            return await self._renewed() or await self._taken()

    async def wait(self) -> None:
        """Wait until it is ours. Raises `StoreError`."""
        pause = _POLL_FROM
        while not await self.acquire():
            await asyncio.sleep(pause)  # nothing tells that a holder died
            pause = min(2 * pause, _POLL_TO)

    async def renew(self) -> bool:
        """Hold it on. False when it is ours no longer. Raises `StoreError`."""
        async with self._turn:
            return await self._renewed()

    async def release(self) -> None:
        """Let go of it, if it is ours. Raises `StoreError`."""
        async with self._turn:
            value, self._value = self._value, None
            if value is None or await self._kv.compare_and_set(self._key, value, None):
                return
            found = await self._kv.get(self._key)  # a renewal that was cancelled may have come to pass
            if found is not None and self._is_own(found):
                await self._kv.compare_and_set(self._key, found, None)

    async def _taken(self) -> bool:
        value = self._next()
        if await self._kv.add(self._key, value, ttl=self._keep):
            self._value = value
            return True
        found = await self._kv.get(self._key)
        if found is None or not self._is_free(found):
            return False
        return await self._put(found, value)

    async def _renewed(self) -> bool:
        before, value = self._value, self._next()
        if before is None:
            return False
        if await self._put(before, value):
            return True
        found = await self._kv.get(self._key)  # a renewal whose answer was lost may have come to pass
        if found is None or not self._is_own(found) or not await self._put(found, value):
            self._value = None
            return False
        return True

    def _is_own(self, found: bytes) -> bool:
        holder = _holder(found)
        return holder is not None and holder.nonce == self._nonce

    async def _put(self, before: bytes, value: bytes) -> bool:
        done = await self._kv.compare_and_set(self._key, before, value, ttl=self._keep)
        if done:
            self._value = value
        return done

    def _next(self) -> bytes:
        self._renewals += 1
        pid = os.getpid()
        return msgspec.json.encode(
            _LeaseHolder(self._nonce, _system(), pid, _start_of(pid) or 0, self._renewals)
        )

    def _is_free(self, found: bytes) -> bool:
        """Whether the holder of a lease is gone, or we have seen it stand still for long enough."""
        holder, now = _holder(found), time.monotonic()
        if holder is None or holder.nonce == self._nonce or _has_ended(holder):
            return True  # what is no lease is held by nobody
        if found != self._seen[0]:
            self._seen = (found, now)
        return now - self._seen[1] >= self.ttl


def _holder(value: bytes) -> _LeaseHolder | None:
    try:
        return msgspec.json.decode(value, type=_LeaseHolder)
    except (msgspec.DecodeError, RecursionError):
        return None


def _system() -> str:
    """What a process id means something in: this boot of this machine, and the namespace of its ids; else empty."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return ""


def _start_of(pid: int) -> int | None:
    """When a process was started, in ticks since the boot; 0 for one that has ended; None where it can't be known."""
    try:
        state, *rest = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        return 0 if state in (b"Z", b"X") else int(rest[18])
    except (OSError, ValueError, IndexError):
        return None


def _has_ended(holder: _LeaseHolder) -> bool:
    """Whether the holder of a lease was a process of this system that is no more."""
    if not holder.system or holder.system != _system() or holder.process <= 0 or not holder.started:
        return False
    try:
        os.kill(holder.process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    started = _start_of(holder.process)
    return started is not None and started != holder.started
