"""Which process runs the calls of a stream, where several share a store: so that the death of one is told by another.

Theory of operation. A call that is slow or says something is answered by a stream that its client may resume at any
worker. When the worker that runs it dies, nobody would ever end that stream. So each stream has a *claim* in the store:
its process, and the requests that it answers. As long as a process has claims it gives signs of life
(`EndpointProcesses`). Whoever serves somebody else's stream from the log looks for that sign; where it is missing, it
answers the requests in the dead one's place, once, and ends the stream.

An answer that comes at once needs no stream, and so no claim.

Specification: 2025-11-25 basic/transports "Resumability and Redelivery".
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ...logs import get_logger
from ...protocol import codec, envelope, messages
from ...protocol.envelope import Kind, Malformed
from ...protocol.errors import InternalError
from ...protocol.revisions import PROFILES
from ...protocol.types.requests import RequestId
from ...runtime import tap
from ...stores.contracts import EventLog, KeyValue
from ...stores.errors import StoreError
from .endpoint_processes import EndpointProcesses

log = get_logger("dovetail.http")

#: Seconds for which a claim is kept that nobody comes back for.
_KEPT: Final = 24 * 3600.0
_STREAM: Final = "stream/"


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
        self._held: set[str] = set()

    async def hold(self, stream: str, revision: str, requests: list[RequestId]) -> None:
        """A stream begins here. Where the store fails, nobody else will tell of our death."""
        self._held.add(stream)
        try:
            await self._processes.hold(stream)
            claim = _StreamClaim(self._processes.id, revision, requests)
            await self._kv.set(_STREAM + stream, codec.encode(claim), ttl=_KEPT)
            if stream not in self._held:  # it ended meanwhile
                await self._kv.delete(_STREAM + stream)
        except StoreError as problem:
            log.warning("a stream can't be claimed: %s", problem)

    async def release(self, stream: str) -> None:
        """A stream has ended."""
        self._held.discard(stream)
        self._processes.release(stream)
        try:
            await self._kv.delete(_STREAM + stream)
        except StoreError as problem:
            log.debug("a claim could not be given up: %s", problem)

    async def settle(self, stream: str, link: str) -> str | None:
        """The other process that writes a stream, if there is one that lives; where it has died, the stream is ended
        in its place. ``link``: what its session is called on the tap. Raises `StoreError`.
        """
        found = await self._kv.get(_STREAM + stream)
        if found is None:
            return None
        claim = codec.reader(_StreamClaim).read(found)
        if await self._processes.lives(claim.process):
            return None if claim.process == self._processes.id else claim.process
        if await self._kv.take(_STREAM + stream) is None:
            return None  # another worker tells it
        log.warning("a process that ran %d calls of a session has died", len(claim.requests))
        answered = await self._answered(stream)
        for id in claim.requests:
            if id not in answered:
                problem = InternalError(
                    "the process that ran the call has died; whether it did its work is unknown"
                )
                data = messages.error(id, problem, PROFILES[claim.revision])
                if tap.listeners:
                    tap.note(link, "server", True, "http", data, claim.revision)
                await self._events.append(stream, data)
        await self._events.close(stream)
        return None

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
