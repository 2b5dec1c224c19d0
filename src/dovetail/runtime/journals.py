"""Where the journals of rounds are between two requests, and what a call that runs ``once`` has done.

Theory of operation
-------------------
A journal travels through the client, sealed. One whose seal would be longer than ``spill`` characters stays here
instead, in the key-value store, and the client carries its sealed place. A store that other workers do not see must
not be used for that, so without one of its own (``kv`` None) nothing is spilled.

A call has one place, which each round overwrites. The journal of the round before stays beside the newest one: a
client whose reply was lost sends the last request that it has again, and none before that.

A call that runs once claims each step before it runs. The claim is one atomic `add` under the call's nonce, so of
two workers that were sent the same request one runs the step; the result replaces the claim. A claim without a
result is a step whose outcome nobody knows: somebody is at it now, or a crash cut it short. The final answer is kept
by `dovetail.runtime.redemptions`. All of it outlives the state that could bring the call back, and then goes.

Nobody's calls fill the store for others: rounds have a share of it, and in that each caller has one. Whose a call is
stands in its journal, since a caller may come back from another address.

Specification: basic/patterns/mrtr, "Server Requirements"; basic/patterns/cancellation (a re-issued request).
"""

import time
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Final

from msgspec import Raw, Struct

from ..logs import get_logger
from ..protocol import codec, rounds
from ..protocol.errors import InternalError, InvalidParams, ToolError
from ..protocol.types.requests import RetryParams
from ..security.callers import caller_of
from ..security.sealing import Sealer, SealTooLarge
from ..stores.contracts import KeyValue
from ..stores.errors import StoreError, StoreFull
from .channel import Channel
from .redemptions import Redemptions

log = get_logger("dovetail.server")

SPILL: Final = 8 * 1024
MAX_JOURNAL: Final = 4 * 1024 * 1024
SHARE: Final = 3 / 8
CALLER_SHARE: Final = 1 / 6
_KEPT: Final = 2 * rounds.LIFETIME
_WHOLE: Final = b"J"
_AWAY: Final = b"H"
_NULL: Final = Raw(b"null")


class OutcomeUnknown(ToolError):
    """A step was begun by an earlier attempt at the same call, and what came of it was never recorded.

    It may have done its work, or not, or still be at it. It is not repeated: find out by ``ctx.step_key(step)``, or
    tell the person. ``step``: its name.
    """

    def __init__(self, step: str, detail: str) -> None:
        super().__init__(f"the outcome of the step {step!r} is unknown: {detail}; it is not repeated")
        self.step = step


class JournalTooLarge(ToolError):
    """What a call has recorded, answers and results of steps, is more than it may carry from round to round:
    let steps give less.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the answers and steps of the call came to more than {limit} bytes, too many to go on with"
        )


class _StepClaim(Struct, frozen=True):
    """What the store holds of a step: its ``result`` once it is ``done``, ``failed`` when it raised."""

    done: bool = False
    result: Raw = _NULL
    failed: str | None = None


_CLAIMED: Final = codec.encode(_StepClaim())


class _JournalPosition(Struct, frozen=True, array_like=True):
    """Where a journal is that did not travel."""

    owner: str
    nonce: str
    round: int


class _StoredJournal(Struct, frozen=True):
    """What is there: the journal of a round, and that of the round before if it was there as well."""

    round: int
    journal: Raw
    before: Raw = _NULL


class Journals:
    """The journals and claims of an app. ``audience``: what its request state is good for. ``kv`` is shared by all its
    workers, or None.

    ``spill``: characters of sealed state above which a journal stays in the store. ``stored_sealer`` gives what seals
    where that has to be fetched first; it may raise `StoreError`.
    """

    def __init__(
        self,
        sealer: Sealer | None,
        *,
        audience: str,
        kv: KeyValue | None = None,
        spill: int = SPILL,
        stored_sealer: Callable[[], Awaitable[Sealer]] | None = None,
    ) -> None:
        self._sealer = sealer
        self._stored_sealer = stored_sealer
        self._audience = audience
        self._kv = None if kv is None else room_of_rounds(kv)
        self._spill = spill
        self.redemptions = Redemptions(self._room)

    def failed(self, problem: StoreError) -> InternalError:
        """What a caller is told whose call the store can't keep at this moment. To be called in the event loop."""
        if isinstance(problem, StoreFull):
            return InternalError(
                "the server keeps as much for calls that wait for answers as it may; answer or give up some, or try "
                "again in a few minutes"
            )
        self._outages.note(problem)
        return InternalError("the server can't keep the call at this moment; try again")

    @cached_property
    def _outages(self):
        from ..stores.outages import StoreOutages  # of a store that is never away nothing is told

        return StoreOutages(log, "the store of calls between their rounds")

    def binding(self, method: str, params: RetryParams, channel: Channel) -> bytes:
        """What the state of a request is bound to: it opens for the same request of the same caller, here."""
        return rounds.binding_of(method, params, principal=channel.principal.key, audience=self._audience)

    def assign(self, journal: rounds.Journal, channel: Channel) -> None:
        """Say whose call it is, where that was not said: in whose share of the store it is kept."""
        if not journal.owner:
            import hashlib  # with all that it brings, a server that never asks needs none of it

            caller = repr(caller_of(channel.principal, channel.remote))
            journal.owner = hashlib.sha256(caller.encode()).hexdigest()[:24]

    def seal(self, journal: rounds.Journal, binding: bytes) -> str | None:
        """The state that brings the journal back, where that travels whole; None where something has to be awaited
        first: see `seal_away`. Raises `JournalTooLarge` where nothing may hold it.
        """
        data = rounds.dump(journal)
        if len(data) > MAX_JOURNAL:
            raise JournalTooLarge(MAX_JOURNAL)
        sealer = self._sealer
        if sealer is None:
            return None
        try:
            state = sealer.seal(_WHOLE + data, binding=binding)
        except SealTooLarge as problem:
            if self._kv is None:
                raise JournalTooLarge(problem.limit) from problem
            return None
        return state if len(state) <= self._spill or self._kv is None else None

    async def seal_away(
        self, journal: rounds.Journal, binding: bytes, channel: Channel, *, before: bytes | None = None
    ) -> str:
        """The same where `seal` gave none: once there is a sealer, or with the journal left in the store. ``before``:
        what `open_away` found there for the round before. Raises `JournalTooLarge` and `StoreError`.
        """
        if self._sealer is None:
            await self._seals()
            state = self.seal(journal, binding)
            if state is not None:
                return state
        self.assign(journal, channel)
        await self._put_away(journal, rounds.dump(journal), before)
        place = _JournalPosition(journal.owner, journal.nonce, journal.round)
        sealer = await self._seals()
        return sealer.seal(_AWAY + codec.encode(place), binding=binding)

    async def _seals(self) -> Sealer:
        if self._sealer is not None:
            return self._sealer
        if self._stored_sealer is None:
            raise RuntimeError("journals need a sealer, or what gives one")
        self._sealer = await self._stored_sealer()
        return self._sealer

    async def _put_away(self, journal: rounds.Journal, data: bytes, before: bytes | None) -> None:
        kv, key = self._room(journal.owner), f"journal/{journal.nonce}"
        value = codec.encode(
            _StoredJournal(journal.round, Raw(data), _NULL if before is None else Raw(before))
        )
        while True:
            there = await kv.get(key)
            if there is not None and codec.reader(_StoredJournal).read(there).round > journal.round:
                return  # an attempt that nobody waits for any more: the call has gone further
            if await kv.compare_and_set(key, there, value, ttl=rounds.LIFETIME + rounds.SKEW):
                return

    def open(self, state: str, binding: bytes) -> rounds.Journal | None:
        """The journal of a state that brings it whole; None where something has to be awaited first: see `open_away`.

        Raises `SealBroken` and `DECODE_ERRORS` for what is none, and `InvalidParams` for a stale one.
        """
        if self._sealer is None:
            return None
        content = self._sealer.open(state, binding=binding)
        return rounds.load(content[1:], now=time.time()) if content[:1] == _WHOLE else None

    async def open_away(self, state: str, binding: bytes) -> tuple[rounds.Journal, bytes | None]:
        """The same where `open` gave none: the journal, and as bytes if it was in the store. Raises as `open`, and
        `StoreError`.
        """
        sealer = await self._seals()
        content = sealer.open(state, binding=binding)
        if content[:1] == _WHOLE:
            return rounds.load(content[1:], now=time.time()), None
        if content[:1] == _AWAY and self._kv is not None:
            place = codec.reader(_JournalPosition).read(content[1:])
            found = await self._find(place)
            if found is not None:
                journal = rounds.load(found, now=time.time())
                journal.owner = place.owner
                return journal, found
        raise InvalidParams("the request state has expired; send the request again without it")

    async def _find(self, place: _JournalPosition) -> bytes | None:
        there = await self._room(place.owner).get(f"journal/{place.nonce}")
        if there is None:
            return None
        kept = codec.reader(_StoredJournal).read(there)
        if kept.round == place.round:
            return bytes(kept.journal)
        before = bytes(kept.before) if kept.round == place.round + 1 else b"null"
        return None if before == b"null" else before

    # Calls that run once

    async def claim(self, journal: rounds.Journal, step: str) -> Raw | None:
        """None for whoever is to run the step; the result if it ran before. Raises `OutcomeUnknown`."""
        kv, key = self._room(journal.owner), _step(journal.nonce, step)
        if await kv.add(key, _CLAIMED, ttl=_KEPT):
            return None
        found = await kv.get(key)
        try:
            claim = _StepClaim() if found is None else codec.reader(_StepClaim).read(found)
        except codec.DECODE_ERRORS as problem:
            log.warning("the record of the step %r can't be read: %s", step, problem)
            raise OutcomeUnknown(step, "the record of what came of it can't be read") from None
        if claim.failed is not None:
            raise OutcomeUnknown(step, f"it failed with {claim.failed} before")
        if not claim.done:
            raise OutcomeUnknown(step, "it was begun before and is still at it, or was cut short")
        return claim.result

    async def record(self, journal: rounds.Journal, step: str, result: bytes) -> None:
        """The claimed step has this result."""
        value = codec.encode(_StepClaim(done=True, result=Raw(result)))
        await self._room(journal.owner).set(_step(journal.nonce, step), value, ttl=_KEPT)

    async def fail(self, journal: rounds.Journal, step: str, kind: str) -> None:
        """The claimed step raised an exception of this kind."""
        value = codec.encode(_StepClaim(failed=kind))
        await self._room(journal.owner).set(_step(journal.nonce, step), value, ttl=_KEPT)

    def _room(self, owner: str) -> KeyValue:
        """What is kept for a caller."""
        if self._kv is None:
            raise RuntimeError("what runs once needs a store that all workers share: App(store=...)")
        return self._kv.within(f"{owner}/", share=CALLER_SHARE)


def room_of_rounds(kv: KeyValue) -> KeyValue:
    """The share of a store that calls have between their rounds. Raises ValueError where too much is given away."""
    return kv.within("rounds/", share=SHARE)


def _step(nonce: str, step: str) -> str:
    """Where the claim of a step is; an author's name for it may be of any length."""
    import hashlib

    return f"step/{nonce}/{hashlib.sha256(step.encode()).hexdigest()}"
