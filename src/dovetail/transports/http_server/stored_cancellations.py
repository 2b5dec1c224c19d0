"""Cancellations of calls that run in another process.

Theory of operation. Which process runs a call is not known, so all are told (`CallCancelled`). A word may be lost, when
the engine was away and who listens has not come back yet; but the client was told that its cancellation was taken. So
it stays in the store for a while, and a process that may have missed words looks there for each call that it runs.
Specification: 2025-11-25 basic/utilities/cancellation.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Final

from ...logs import get_logger
from ...protocol import codec
from ...protocol.types.requests import RequestId
from ...stores.contracts import KeyValue
from ...stores.errors import StoreError, StoreFull
from .endpoint_processes import LOOK_AGAIN, CallCancelled, EndpointProcesses
from .live_sessions import LiveSession

__all__ = ["StoredCancellations"]

log = get_logger("dovetail.http")

#: The part of the store that cancellations may take, and the part of that which is one session's.
SHARE: Final = 1 / 64
SESSION_SHARE: Final = 1 / 2
#: Seconds for which one is kept: longer than it takes until who missed a word knows that.
KEPT: Final = 60.0


class StoredCancellations:
    """The way of cancellations from this process to the others, and from them. ``known_by``: what this process holds of
    the session with a digest; ``all_live``: every session that it holds something of.
    """

    def __init__(
        self,
        kv: KeyValue,
        processes: EndpointProcesses,
        known_by: Callable[[str], LiveSession | None],
        all_live: Callable[[], list[LiveSession]],
    ) -> None:
        self._kv = kv.within("http/cancelled/", share=SHARE)
        self._processes = processes
        self._known_by = known_by
        self._all_live = all_live
        self._missed = False
        self._looking: asyncio.Task[None] | None = None
        processes.hear(CallCancelled, self._heard)
        processes.missed(self._look)

    def _of(self, session: str) -> KeyValue:
        return self._kv.within(f"{session[:32]}/", share=SESSION_SHARE)

    async def pass_on(self, session: str, id: RequestId) -> None:
        """Have a call of a session cancelled in whichever process runs it. Raises `StoreError` where none may have
        heard of it.
        """
        try:
            await self._of(session).set(_key(id), b"1", ttl=KEPT)
        except (
            StoreFull
        ) as full:  # of cancellations that hardly anybody needs: this one, too, is most likely heard
            log.debug("a cancellation is said, and not kept: %s", full)
        await self._processes.say_all(CallCancelled(session, id))

    def _heard(self, word: CallCancelled) -> None:
        live = self._known_by(word.session)
        if live is not None:
            live.cancel(word.id)

    def _look(self) -> None:
        """Words may have been lost."""
        self._missed = True
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._cancel_missed())

    async def _cancel_missed(self) -> None:
        unknown = False
        while self._missed:
            self._missed = False
            for live in [live for live in self._all_live() if live.running]:
                kv = self._of(live.digest)
                for id in tuple(live.running):
                    try:
                        if await kv.get(_key(id)) is not None:
                            live.cancel(id)
                    except StoreError as problem:
                        log.debug("it could not be seen whether a call was cancelled: %s", problem)
                        unknown = True
        if unknown:
            asyncio.get_running_loop().call_later(LOOK_AGAIN, self._look)


def _key(id: RequestId) -> str:
    return hashlib.sha256(codec.encode(id)).hexdigest()
