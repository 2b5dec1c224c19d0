"""Where the journals of rounds are between two requests, and what a call that runs ``once`` has done.

Theory of operation
-------------------
A journal travels through the client, sealed. One whose seal would be longer than ``spill`` characters stays here
instead, in the key-value store under a random name; the client carries the sealed name. A store that other workers
do not see must not be used for that, so without one of its own (``kv`` None) nothing is spilled.

A call that runs once claims each step before it runs. The claim is one atomic `add` under the call's nonce, so of
two workers that were sent the same request one runs the step; the result replaces the claim. A claim without a
result is a step whose outcome nobody knows: somebody is at it now, or a crash cut it short. The final answer is kept
under the same nonce. All of it outlives the state that could bring the call back, and then goes.

Specification: basic/patterns/mrtr, "Server Requirements"; basic/patterns/cancellation (a re-issued request).
"""

import os
import time
from typing import Final

from msgspec import Raw, Struct

from ..protocol import codec, rounds
from ..protocol.errors import InvalidParams, ToolError
from ..security.sealing import Sealer, SealTooLarge
from ..stores.contracts import KeyValue

SPILL: Final = 8 * 1024
_KEPT: Final = 2 * rounds.LIFETIME
_WHOLE: Final = b"J"
_AWAY: Final = b"H"


class OutcomeUnknown(ToolError):
    """A step was begun by an earlier attempt at the same call, and what came of it was never recorded.

    It may have done its work, or not, or still be at it. It is not repeated: find out by ``ctx.step_key(step)``, or
    tell the person. ``step``: its name.
    """

    def __init__(self, step: str, detail: str) -> None:
        super().__init__(f"the outcome of the step {step!r} is unknown: {detail}; it is not repeated")
        self.step = step


class _Claim(Struct, frozen=True):
    """What the store holds of a step: ``result`` once there is one, ``failed`` when it raised."""

    result: Raw | None = None
    failed: str | None = None


_CLAIMED: Final = codec.encode(_Claim())


class Ledger:
    """The journals and claims of an app. ``kv`` is shared by all its workers, or None.

    ``spill``: characters of sealed state above which a journal stays in the store.
    """

    def __init__(self, sealer: Sealer, *, kv: KeyValue | None = None, spill: int = SPILL) -> None:
        self._sealer = sealer
        self._kv = kv
        self._spill = spill

    async def seal(self, journal: rounds.Journal, binding: bytes) -> str:
        """The state that brings the journal back. Raises `SealTooLarge` where nothing can hold it."""
        data = rounds.dump(journal)
        try:
            state = self._sealer.seal(_WHOLE + data, binding=binding)
        except SealTooLarge:
            if self._kv is None:
                raise
        else:
            if len(state) <= self._spill or self._kv is None:
                return state
        handle = os.urandom(24).hex()
        await self._kv.set(f"journal/{handle}", data, ttl=_KEPT)
        return self._sealer.seal(_AWAY + handle.encode(), binding=binding)

    async def open(self, state: str, binding: bytes) -> rounds.Journal:
        """The journal. Raises `SealBroken` and `DECODE_ERRORS` for what is none, `InvalidParams` for a stale one."""
        content = self._sealer.open(state, binding=binding)
        data: bytes | None = content[1:]
        if content[:1] == _AWAY:
            data = None if self._kv is None else await self._kv.get(f"journal/{content[1:].decode()}")
        elif content[:1] != _WHOLE:
            data = None
        if data is None:
            raise InvalidParams("the request state has expired; send the request again without it")
        return rounds.load(data, now=time.time())

    # Calls that run once

    async def claim(self, nonce: str, step: str) -> Raw | None:
        """None for whoever is to run the step; the result if it ran before. Raises `OutcomeUnknown`."""
        kv = self._store()
        key = _place(nonce, step)
        if await kv.add(key, _CLAIMED, ttl=_KEPT):
            return None
        found = await kv.get(key)
        claim = _Claim() if found is None else codec.reader(_Claim).read(found)
        if claim.failed is not None:
            raise OutcomeUnknown(step, f"it failed with {claim.failed} before")
        if claim.result is None:
            raise OutcomeUnknown(step, "it was begun before and is still at it, or was cut short")
        return claim.result

    async def record(self, nonce: str, step: str, result: bytes) -> None:
        """The claimed step has this result."""
        await self._store().set(_place(nonce, step), codec.encode(_Claim(Raw(result))), ttl=_KEPT)

    async def fail(self, nonce: str, step: str, kind: str) -> None:
        """The claimed step raised an exception of this kind."""
        await self._store().set(_place(nonce, step), codec.encode(_Claim(failed=kind)), ttl=_KEPT)

    async def keep(self, nonce: str, answer: bytes) -> bytes:
        """Keep the final answer of a call; gives the one that counts, which is the first."""
        kv = self._store()
        if await kv.add(f"answer/{nonce}", answer, ttl=_KEPT):
            return answer
        return await kv.get(f"answer/{nonce}") or answer

    async def kept(self, nonce: str) -> bytes | None:
        """The final answer of a call, if it came to one."""
        return await self._store().get(f"answer/{nonce}")

    def _store(self) -> KeyValue:
        if self._kv is None:
            raise RuntimeError("a tool that runs once needs a store that all workers share: App(store=...)")
        return self._kv


def _place(nonce: str, step: str) -> str:
    """Where the claim of a step is; an author's name for it may be of any length."""
    import hashlib

    return f"step/{nonce}/{hashlib.sha256(step.encode()).hexdigest()}"
