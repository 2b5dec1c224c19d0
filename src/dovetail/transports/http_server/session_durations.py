"""How long sessions lasted that nobody ended: they expire in the store, or had to go for others.

Theory of operation. The store drops what has expired without a word, so what was opened here is remembered here, by the
digest of its id, and looked for now and then; also when a client comes with it and is told that it is gone. It lasted
until it was last seen to be in use. The process that opened a session counts it, and no other: so each is counted once,
or never, where that process ends first. One that a client ended is counted by the worker that was asked to
(`Stateful.end`), whose word makes it forgotten here; where words may have been lost, nobody knows which of the two it
was, and it is not counted. Made only where somebody watches.

Specification: OpenTelemetry, "Semantic conventions for Model Context Protocol (MCP)", "mcp.server.session.duration".
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from ...logs import get_logger
from ...runtime.observer import Observer
from ...stores.contracts import SessionStore
from ...stores.errors import StoreError

__all__ = ["SessionDurations"]

log = get_logger("dovetail.http")

#: Sessions that are remembered; those opened beyond that are not counted when they expire.
MAX_SESSIONS: Final = 10_000
#: Seconds between two looks, and how many sessions are looked for in each.
LOOK: Final = 60.0
AT_ONCE: Final = 500


class _OpenedSession:
    """``opened`` and ``seen`` in seconds since the epoch; ``doubted``: a word of its end may have been lost."""

    __slots__ = ("doubted", "id", "opened", "revision", "seen")

    def __init__(self, id: str, revision: str) -> None:
        self.id = id
        self.revision = revision
        self.opened = self.seen = time.time()
        self.doubted = False


class SessionDurations:
    """The sessions that this process opened and that have not ended as far as it knows."""

    def __init__(self, sessions: SessionStore, observer: Observer) -> None:
        self._sessions = sessions
        self._observer = observer
        self._known: dict[str, _OpenedSession] = {}
        self._looking: asyncio.Task[None] | None = None

    def opened(self, digest: str, id: str, revision: str) -> None:
        """A session was opened here."""
        if len(self._known) < MAX_SESSIONS:
            self._known[digest] = _OpenedSession(id, revision)
            loop = asyncio.get_running_loop()
            if self._looking is None or self._looking.done() or self._looking.get_loop() is not loop:
                self._looking = loop.create_task(self._look_for_all())

    def seen(self, digest: str) -> None:
        """A request of it is served."""
        session = self._known.get(digest)
        if session is not None:
            session.seen = time.time()

    def ended(self, digest: str, *, counted: bool) -> None:
        """A session has ended; ``counted``: that was told already."""
        session = self._known.pop(digest, None)
        if session is not None and not counted and not session.doubted:
            seconds = max(session.seen - session.opened, 0.0)
            self._observer.session_ended("server", session.revision, "http", seconds)

    def doubt(self) -> None:
        """Words may have been lost."""
        for session in self._known.values():
            session.doubted = True

    async def _look_for_all(self) -> None:
        while self._known:
            await asyncio.sleep(LOOK)
            await self.look()

    async def look(self) -> None:
        """Find out which have gone, of those that were not looked for the longest."""
        for digest in tuple(self._known)[:AT_ONCE]:
            session = self._known.get(digest)
            if session is None:
                continue
            try:
                record = await self._sessions.load(session.id)
            except StoreError as problem:
                log.debug("it could not be seen whether sessions have expired: %s", problem)
                return
            if record is None:
                self.ended(digest, counted=False)
            elif self._known.pop(digest, None) is not None:
                session.seen, session.doubted = max(session.seen, min(record.seen, time.time())), False
                self._known[digest] = session  # to the end of the line

    async def close(self) -> None:
        """Look no more."""
        looking, self._looking = self._looking, None
        if looking is not None and looking.get_loop() is asyncio.get_running_loop():
            looking.cancel()
            await asyncio.wait((looking,))
