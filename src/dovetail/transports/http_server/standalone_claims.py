"""Which process has the standalone stream of a session: one at a time, of all that share a store.

Theory of operation. Each message goes out on one stream only, so a session has one standalone stream. Who opens it
claims it in the store. Where another process has the claim, that one is asked to let go: it does so unless its stream
is being read, or another connection resumes that very stream. One that has died is not waited for; what it may not
have told is then told again. Specification: 2025-11-25 basic/transports "Listening for Messages from the Server",
"Multiple Connections".
"""

from __future__ import annotations

from functools import partial
from typing import Final

from msgspec import Struct

from ...logs import get_logger
from ...protocol import codec
from ...protocol.errors import InternalError
from ...stores.contracts import Store
from ...stores.errors import StoreError, StreamUnknown
from .answering import HTTPRefusal
from .endpoint_processes import EndpointProcesses, StandaloneWanted
from .limits import RETRY_SOON
from .live_sessions import LiveSession
from .streams import MessageStream, Settle

__all__ = ["StandaloneClaims", "being_read"]

log = get_logger("dovetail.http")

#: Seconds for which a claim is kept that nobody gives up: longer than sessions live.
KEPT: Final = 7 * 24 * 3600.0
_ATTEMPTS: Final = 8


class _StandaloneClaim(Struct, frozen=True):
    process: str
    stream: str


def being_read() -> HTTPRefusal:
    """The refusal of a second stream."""
    return HTTPRefusal(409, "the session's stream is being read already; close that connection first")


class StandaloneClaims:
    """The claims of this process, and what becomes of those of others."""

    def __init__(self, store: Store, processes: EndpointProcesses) -> None:
        self.processes = processes
        self._kv = store.kv.within("http/claims/standalone/")
        self._events = store.events

    async def claim(self, live: LiveSession, stream: MessageStream) -> None:
        """Claim a new stream. Raises `HTTPRefusal` (409) while another process has one that is read, 503 where it does
        not say; and `StoreError`.
        """
        for _ in range(_ATTEMPTS):
            found = await self._kv.get(live.digest)
            claim = _read(found)
            if claim is not None and claim.process != self.processes.id:
                wanted = StandaloneWanted(live.digest, claim.stream, resumed=False)
                if await self._let_go(claim, wanted):
                    await self._close(live, claim.stream)
            if await self._take(live, stream, found):
                return
        raise _unsettled()

    async def take_over(self, live: LiveSession, stream: MessageStream, id: str) -> bool | None:
        """Claim a stream ``id`` of another process, and let ``stream`` go on with it. Whether that one has died, so
        that nobody knows what it has told; None where no process has it. Raises `HTTPRefusal` (503) and `StoreError`.
        """
        found = await self._kv.get(live.digest)
        claim = _read(found)
        if claim is None:
            if await self._events.is_closed(live.prefix + id):
                return None
            died = True  # or its end could not be noted
        elif claim.stream != id:
            return None
        else:
            died = claim.process == self.processes.id or await self._let_go(
                claim, StandaloneWanted(live.digest, id, resumed=True)
            )
        stream.go_on(id, await self._events.last(live.prefix + id))
        if not await self._take(live, stream, found):
            raise _unsettled()
        return died

    async def _let_go(self, claim: _StandaloneClaim, wanted: StandaloneWanted) -> bool:
        """Have a process let go of its stream. Whether it has died. Raises `HTTPRefusal`."""
        if not await self.processes.lives(claim.process):
            return True
        let_go = await self.processes.ask(claim.process, wanted)
        if let_go is None:
            if await self.processes.lives(claim.process):
                raise _unsettled()
            return True
        if not let_go:
            raise being_read()
        return False

    async def _close(self, live: LiveSession, id: str) -> None:
        try:
            await self._events.close(live.prefix + id)
        except StreamUnknown:
            log.debug("a stream of a process that has died was never written")

    async def _take(self, live: LiveSession, stream: MessageStream, found: bytes | None) -> bool:
        mine = codec.encode(_StandaloneClaim(self.processes.id, stream.id))
        taken = False
        try:
            await self.processes.hold(stream.id)  # before others can see the claim
            taken = await self._kv.compare_and_set(live.digest, found, mine, ttl=KEPT)
        finally:
            if not taken:
                self.processes.release(stream.id)
        stream.released = partial(self._release, live.digest, stream.id, mine) if taken else None
        return taken

    async def _release(self, digest: str, id: str, mine: bytes, _name: str, _left: Settle | None) -> None:
        """A stream has ended. Where its log does not say so, whoever resumes it goes on with it."""
        self.processes.release(id)
        try:
            await self._kv.compare_and_set(digest, mine, None)
        except StoreError as problem:
            log.debug("a claim could not be given up: %s", problem)

    async def is_held(self, live: LiveSession, stream: MessageStream) -> bool:
        """Whether a stream is still this process's, or it could not be seen."""
        try:
            claim = _read(await self._kv.get(live.digest))
        except StoreError as problem:
            log.debug("it could not be seen whether a stream is still claimed: %s", problem)
            return True
        return claim is not None and (claim.process, claim.stream) == (self.processes.id, stream.id)

    def hand_over(self, stream: MessageStream) -> None:
        """A stream goes on in another process, which takes the claim."""
        stream.handed_over, stream.released = True, None
        self.processes.release(stream.id)


def _read(found: bytes | None) -> _StandaloneClaim | None:
    """A claim; None where there is none, or one that can't be read, which is replaced."""
    try:
        return None if found is None else codec.reader(_StandaloneClaim).read(found)
    except codec.DECODE_ERRORS as problem:
        log.warning("the claim of a session's stream can't be read: %s", problem)
        return None


def _unsettled() -> HTTPRefusal:
    return HTTPRefusal(
        503,
        InternalError("the worker that has the session's stream does not say whether it is read; retry"),
        headers=RETRY_SOON,
    )
