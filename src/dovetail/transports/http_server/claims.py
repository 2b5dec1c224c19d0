"""Which process runs the calls of a stream, where several share a store: so that the death of one is told by another.

Theory of operation. A call that is slow or says something is answered by a stream that its client may resume at any
worker. When the worker that runs it dies, nobody would ever end that stream. So each stream has a *claim* in the store:
its process, and the requests that it answers. As long as a process has claims it gives signs of life
(`EndpointProcesses`). Whoever serves somebody else's stream from the log looks for that sign; where it is missing, it
answers the requests in the dead one's place, once, and ends the stream.

An answer that comes at once needs no stream, and so no claim. What the store could not take of a claim, or of the end
of a stream, is tried again until it does: else clients would wait for an end that nobody tells. Whoever tells of a
death has the claim meanwhile, so that it is told to the end though he dies as well.

Specification: 2025-11-25 basic/transports "Resumability and Redelivery".
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ...logs import get_logger
from ...protocol import codec, envelope, messages
from ...protocol.envelope import Kind, Malformed
from ...protocol.errors import InternalError
from ...protocol.revisions import PROFILES
from ...protocol.types.requests import RequestId
from ...runtime import tap
from ...stores.contracts import EventLog, KeyValue
from ...stores.errors import StoreError, StreamEnded, StreamUnknown
from .endpoint_processes import EndpointProcesses
from .streams import Settle

log = get_logger("dovetail.http")

#: Seconds for which a claim is kept that nobody comes back for.
_KEPT: Final = 24 * 3600.0
_STREAM: Final = "stream/"
#: Seconds before the store is tried again, at first and at most.
_AGAIN: Final = 0.1
_AGAIN_AT_MOST: Final = 5.0
#: How many streams are to be tried again at most; those beyond are left to expire.
MAX_UNSETTLED: Final = 10_000


class _StreamClaim(Struct, frozen=True):
    """``process`` runs the calls that answer ``requests``, in a revision."""

    process: str
    revision: str
    requests: list[RequestId]


class Claims:
    """The claims of this process, and what it says of those of others."""

    def __init__(self, kv: KeyValue, events: EventLog, processes: EndpointProcesses) -> None:
        self._kv = kv.within("http/claims/")
        self._events = events
        self._processes = processes
        self._held: dict[str, _StreamClaim] = {}
        #: What the store could not take: the ends of streams, and the claims of those that go on.
        self._ends: dict[str, Settle] = {}
        self._unclaimed: set[str] = set()
        self._trying: asyncio.Task[None] | None = None

    async def hold(self, stream: str, revision: str, requests: list[RequestId]) -> None:
        """A stream begins here, or answers more requests."""
        self._held[stream] = _StreamClaim(self._processes.id, revision, requests)
        if not await self._claim(stream):
            self._unclaimed.add(stream)
            self._try_again()

    async def _claim(self, stream: str) -> bool:
        """Note a claim. False where the store failed, and nobody else would tell of our death."""
        try:
            await self._processes.hold(stream)
            claim = self._held.get(stream)
            if claim is not None:
                await self._kv.set(_STREAM + stream, codec.encode(claim), ttl=_KEPT)
            if stream not in self._held:  # it ended meanwhile
                self._processes.release(stream)
                await self._kv.delete(_STREAM + stream)
        except StoreError as problem:
            log.warning("a stream can't be claimed yet: %s", problem)
            return False
        return True

    async def release(self, stream: str, left: Settle | None) -> None:
        """A stream has ended; ``left``: its log does not say so yet."""
        if left is not None and len(self._ends) < MAX_UNSETTLED:
            self._ends[stream] = left
            self._try_again()
            return
        self._held.pop(stream, None)
        self._unclaimed.discard(stream)
        self._processes.release(stream)
        try:
            await self._kv.delete(_STREAM + stream)
        except StoreError as problem:
            log.debug("a claim could not be given up: %s", problem)

    def _try_again(self) -> None:
        if self._trying is None or self._trying.done():
            self._trying = asyncio.get_running_loop().create_task(self._go_on_trying())

    async def _go_on_trying(self) -> None:
        pause = _AGAIN
        while self._ends or self._unclaimed:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _AGAIN_AT_MOST)
            for stream in tuple(self._unclaimed):
                if not await self._claim(stream):
                    break
                self._unclaimed.discard(stream)
            for stream, settle in tuple(self._ends.items()):
                if not await settle():
                    break
                del self._ends[stream]
                await self.release(stream, None)
                pause = _AGAIN

    async def close(self) -> None:
        """Try nothing again: the other processes take this one for dead, and tell the end of what is left."""
        trying, self._trying = self._trying, None
        if trying is not None and trying.get_loop() is asyncio.get_running_loop():
            trying.cancel()
            await asyncio.wait((trying,))
        self._ends.clear()
        self._unclaimed.clear()

    async def settle(self, stream: str, link: str) -> str | None:
        """The other process that writes a stream, if there is one that lives; where it has died, the stream is ended
        in its place. ``link``: what its session is called on the tap. Raises `StoreError`.
        """
        found = await self._kv.get(_STREAM + stream)
        if found is None:
            return None
        claim = codec.reader(_StreamClaim).read(found)
        if claim.process == self._processes.id:
            if stream in self._held:
                return None
        elif await self._processes.lives(claim.process):
            return claim.process
        # From here on it is ours: when the store fails in the midst of it, or we die, it is gone on with.
        mine = replace(claim, process=self._processes.id)
        self._held[stream] = mine
        taken = False
        try:
            await self._processes.hold(stream)
            taken = await self._kv.compare_and_set(_STREAM + stream, found, codec.encode(mine), ttl=_KEPT)
        finally:
            if not taken:  # another worker tells it
                self._held.pop(stream, None)
                self._processes.release(stream)
        if taken:
            log.warning("a process that ran %d calls of a session has died", len(claim.requests))
            tell = partial(self._tell_death, stream, mine, link)
            await self.release(stream, None if await tell() else tell)
        return None

    async def _tell_death(self, stream: str, claim: _StreamClaim, link: str) -> bool:
        """End a stream of a process that has died: each request that it did not answer is answered. False where the
        store failed.
        """
        try:
            answered = await self._answered(stream)
            for id in claim.requests:
                if id not in answered:
                    problem = InternalError(
                        "the process that ran the call has died; whether it did its work is unknown"
                    )
                    data = messages.error(id, problem, PROFILES[claim.revision])
                    await self._events.append(stream, data)
                    if tap.listeners:
                        tap.note(link, "server", True, "http", data, claim.revision)
            await self._events.close(stream)
        except (StreamUnknown, StreamEnded):
            log.debug("a stream of a process that has died had ended, or was never written")
        except StoreError as problem:
            log.warning("the death of a process could not be told yet: %s", problem)
            return False
        return True

    async def _answered(self, stream: str) -> set[RequestId]:
        """The requests whose answers are in the log. Of what was trimmed nothing is known."""
        answered: set[RequestId] = set()
        after = max(0, await self._events.last(stream) - _LATEST)
        while found := await self._events.read(stream, after, _LATEST):
            after = found[-1].sequence
            for event in found:
                try:
                    message = envelope.read(event.data) if event.data else None
                except Malformed:
                    continue
                if (
                    message is not None
                    and message.kind in (Kind.RESULT, Kind.ERROR)
                    and message.id is not None
                ):
                    answered.add(message.id)
        return answered


#: How many of the last events of a stream are looked at for answers.
_LATEST: Final = 64
