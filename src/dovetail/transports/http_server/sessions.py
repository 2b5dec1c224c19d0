"""Sessions of the stateful era, as HTTP has them: a record in the store, and what this process holds of it
meanwhile.

A session is found by its id and belongs to a principal: for anyone else it does not exist, in words and
status alike. The record is loaded for each request and saved when the engine says that it changed, by
compare-and-set, so any worker can serve any request. What cannot be stored (calls in progress, questions
waiting for answers, open streams) is a `LiveSession`: made when it is first needed, forgotten when nothing
runs any more. Specification: 2025-11-25 basic/transports "Session Management"; "Security Best Practices",
"Session Hijacking".
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

from msgspec.structs import replace

from ...logs import get_logger
from ...protocol.bindings.headers import is_session_id
from ...protocol.codec import DECODE_ERRORS
from ...protocol.errors import FeatureUnavailable
from ...protocol.session import ServerSession, SessionState
from ...protocol.types.requests import RequestId
from ...runtime.connection import STUBBORN
from ...runtime.observer import is_anybody
from ...runtime.service import Service
from ...security.callers import network_of
from ...security.limits import LogThrottle
from ...security.principal import Principal
from ...stores.contracts import SessionRecord, Store
from ...stores.errors import StoreError, StoreFull, ValueTooLarge
from ...stores.memory import MemoryStore
from ...stores.outages import StoreOutages
from .answering import HTTPRefusal
from .endpoint_processes import LOOK_AGAIN, EndpointProcesses, SessionOver
from .limits import RETRY_SOON
from .live_sessions import LiveSession, session_digest
from .session_durations import SessionDurations
from .settings import Settings
from .store_failed import StoreFailed
from .stored_cancellations import StoredCancellations
from .stored_questions import StoredQuestions

log = get_logger("dovetail.http")

#: How often a request is judged anew when others change the session meanwhile.
ATTEMPTS: Final = 16
#: Seconds for which a session that was seen need not be seen again.
_LATELY: Final = 0.05
#: A time ahead of the clock of any store counts as now: sessions live by that clock alone.
_NOW: Final = 1e11
_RETRY_LATER: Final = ((b"retry-after", b"30"),)
_UNKNOWN: Final = "there is no such session; initialize a new one"
_ELSEWHERE: Final = (
    "there is no such session here: another process opened it, before a restart or as another worker, and keeps its "
    "sessions to itself; initialize a new one"
)
_MARK: Final = "."
#: Characters of a request id up to which other processes are told that it is cancelled.
_LONG_ID: Final = 1024
#: Sessions of which it is known that answers were kept whole here lately: their end may be heard of after that.
KEPT_LATELY: Final = 1000


_AT: Final = "@"


def _owns(principal: Principal, owner: str) -> bool:
    """Whether a session is the caller's; an anonymous one may come from another address than at first."""
    if principal.is_anonymous:
        return owner.partition(_AT)[0] == principal.key
    return owner == principal.key


class SessionRequest:
    """A request that found its session; who is done with it says `Sessions.leave`. ``record`` is None where there are
    no sessions.
    """

    __slots__ = ("live", "record", "session")

    def __init__(self, record: SessionRecord | None, session: ServerSession, live: LiveSession) -> None:
        self.record = record
        self.session = session
        self.live = live
        live.visits += 1


class Sessions:
    """All sessions of one endpoint. ``processes``: those that serve them beside this one, None where there can't be
    any; ``questions``: the way of answers between them; ``outages``: of the endpoint's store. In seconds: ``retry``:
    when clients come back to a stream; ``linger``: how long one that lost a stream has for that; ``answer_timeout``:
    how long a question waits for its answer.
    """

    def __init__(
        self,
        service: Service,
        store: Store,
        settings: Settings,
        processes: EndpointProcesses | None = None,
    ) -> None:
        self.retry = settings.retry
        self.linger = settings.linger
        self.answer_timeout = settings.answer_timeout
        self.outages = StoreOutages(log)
        self._service = service
        self._store = store
        self._live: dict[str, LiveSession] = {}
        #: The same by their digests, by which other processes name them.
        self._by_digest: dict[str, LiveSession] = {}
        self._processes = processes
        self.questions: StoredQuestions | None = None
        self._cancellations: StoredCancellations | None = None
        #: How long those lasted that nobody ended, where somebody wants to know.
        self.durations: SessionDurations | None = None
        if is_anybody(service.observer):
            self.durations = SessionDurations(store.sessions, service.observer)
            if processes is not None:
                processes.missed(self.durations.doubt)
        if processes is not None:
            self.questions = StoredQuestions(store.kv, processes, settings.answer_timeout)
            self._cancellations = StoredCancellations(store.kv, processes, self.known_by, self.all_live)
            processes.hear(SessionOver, self._hear_end)
            processes.missed(self._suspect_all)
        #: Sessions that may have ended, and the task that looks whether they have.
        self._suspected: set[str] = set()
        #: The sessions of which answers were kept whole here lately, by their digests.
        self._kept: dict[str, str] = {}
        self._looking: asyncio.Task[None] | None = None
        # Where nobody else sees the store, ids tell whose they are: a session that another process has is not unknown.
        self._mark = secrets.token_hex(4) if isinstance(store, MemoryStore) else ""
        self._said = False
        self._seldom = LogThrottle()

    def new_id(self) -> str:
        """An id for a session: 256 random bits, and perhaps a mark that tells whose it is."""
        id = secrets.token_urlsafe(32)
        return f"{id}{_MARK}{self._mark}" if self._mark else id

    async def create(
        self, id: str, principal: Principal, session: ServerSession, *, remote: str | None
    ) -> None:
        """Keep a session that was opened. Raises `HTTPRefusal` (503) when there are too many.

        Anonymous callers are counted by network, so that one of them can't use up the sessions of all; where they have
        too many, the idlest one ends.
        """
        network = network_of(remote) if principal.is_anonymous and remote else ""
        owner = f"{principal.key}{_AT}{network}" if network else principal.key
        record = SessionRecord(
            id=id, version=1, created=_NOW, seen=_NOW, principal=owner, data=session.state.dump()
        )
        try:
            await self._look_after()
            gone = await self._store.sessions.create(record)
        except StoreFull as full:
            if self._seldom.due((full.what, owner)):
                log.warning(
                    "%.300s gets no session, for there are %d %s (see SessionBounds); this is said once a minute",
                    principal,
                    full.limit,
                    full.what,
                )
            raise HTTPRefusal(
                503, "the server has as many sessions as it takes; retry later", headers=_RETRY_LATER
            ) from None
        except StoreError as problem:
            raise StoreFailed(problem) from None
        if self.durations is not None:
            self.durations.opened(session_digest(id), id, session.state.revision)
        if gone:
            await self._let_go(gone, owner)

    async def _let_go(self, ids: Sequence[str], owner: str) -> None:
        """End what is left of sessions that had to go for a new one."""
        if self._seldom.due(owner):
            log.warning(
                "%d sessions of callers without a name ended to make room for one of %.100s (see SessionBounds); "
                "this is said once a minute",
                len(ids),
                owner,
            )
        for id in ids:
            await self._end_everywhere(id, counted=False)

    async def _look_after(self) -> None:
        """End what goes on for sessions that have expired: nobody can come back for it. Each session that opens
        pays for looking at two, so what is left of dead ones can't pile up.
        """
        for id in tuple(islice(self._live, 2)):
            live = self._live[id] = self._live.pop(id)  # to the end of the line
            if await self._store.sessions.load(id) is None and self._live.get(id) is live:
                await self._end_everywhere(id, counted=False)

    async def enter(self, id: bytes | None, principal: Principal) -> SessionRequest:
        """Find the session of a request. Raises `HTTPRefusal`: 400 without an id, 404 for all that is not the
        caller's.
        """
        if id is None:
            raise HTTPRefusal(
                400, "the request has no session id; initialize first, and send the id that comes back"
            )
        text = id.decode("latin-1").strip(" \t")
        if not is_session_id(text):
            raise HTTPRefusal(404, _UNKNOWN)
        try:
            record = await self._store.sessions.load(text)
        except StoreError as problem:
            raise StoreFailed(problem) from None
        if record is None and self.durations is not None:
            self.durations.ended(session_digest(text), counted=False)
        if record is None or not _owns(principal, record.principal):
            raise HTTPRefusal(404, _ELSEWHERE if self._elsewhere(text) else _UNKNOWN)
        try:
            state = SessionState.load(record.data)
        except DECODE_ERRORS as problem:
            _lost(problem)
            raise HTTPRefusal(404, _UNKNOWN) from None
        if self.durations is not None:
            self.durations.seen(session_digest(text))
        return SessionRequest(record, self._service.session(state), self.live(text))

    def _elsewhere(self, id: str) -> bool:
        """Whether another process opened a session, and kept it to itself. The log is told of the first."""
        _, marked, mark = id.partition(_MARK)
        if not self._mark or not marked or mark == self._mark:
            return False
        if not self._said:
            self._said = True
            log.warning(
                "a client came with a session that another process opened. Sessions are kept in the memory of the "
                "process that opens them: a restart loses them, and no other worker knows them. A store keeps them: "
                "App(store=SQLiteStore(path)), the same for all workers"
            )
        return True

    async def renew(self, entered: SessionRequest, principal: Principal) -> None:
        """Take the newer record of a session that somebody else changed. Raises `HTTPRefusal`, as `enter` does."""
        newer = await self.enter(entered.live.id.encode(), principal)
        self.leave(newer.live)
        entered.record, entered.session = newer.record, newer.session

    def leave(self, live: LiveSession) -> None:
        """A request is done with its session."""
        live.visits -= 1
        if not live.visits:
            self.settle(live)

    @staticmethod
    def to_save(entered: SessionRequest) -> bool:
        """Whether something is to be saved: what a request changed, or that the session is in use."""
        record = entered.record
        if record is None:
            return False
        return entered.session.changed or not 0 <= time.time() - record.seen < _LATELY

    async def save(self, record: SessionRecord, session: ServerSession) -> bool:
        """Save what a request changed, and note that the session is in use. False when another save was first: the
        request has to be judged again, on the newer record. Raises `HTTPRefusal`.
        """
        sessions = self._store.sessions
        try:
            if not session.changed:
                await sessions.touch(record.id)
                return True
            changed = replace(record, version=record.version + 1, data=session.state.dump())
            saved = await sessions.save(changed, expected_version=record.version)
        except (StoreFull, ValueTooLarge):
            text = "the sessions here, or those of this caller, keep as much as they may; end one, or subscribe to less"
            raise HTTPRefusal(503, text, headers=_RETRY_LATER) from None
        except StoreError as problem:
            raise StoreFailed(problem) from None
        if saved:
            session.changed = False
        return saved

    async def state(self, id: str) -> SessionState | None:
        """The state of a session as stored now, None when it has ended or cannot be read."""
        try:
            record = await self._store.sessions.load(id)
            return None if record is None else SessionState.load(record.data)
        except StoreError as problem:
            log.warning("a session is told of no more changes: %s", problem)
        except DECODE_ERRORS as problem:
            _lost(problem)
        return None

    async def read(self, live: LiveSession) -> tuple[SessionRecord, SessionState]:
        """A session as stored now. Raises `FeatureUnavailable` when it has ended or can't be read, and `StoreError`."""
        record = await self._store.sessions.load(live.id)
        if record is not None:
            try:
                return record, SessionState.load(record.data)
            except DECODE_ERRORS as problem:
                _lost(problem)
        raise FeatureUnavailable("the session has ended")

    async def change(self, live: LiveSession, change: Callable[[SessionState], None]) -> None:
        """Change the record of a session and save it. Of one process, one change after the other; where another worker
        was faster, again on the newer record. Raises what ``change`` raises, and as `read` does.
        """
        async with live.changing:
            while True:
                record, state = await self.read(live)
                change(state)
                newer = replace(record, version=record.version + 1, data=state.dump())
                if await self._store.sessions.save(newer, expected_version=record.version):
                    return

    async def seen(self, id: str) -> bool:
        """Note that a session is in use. False when it has ended: then what goes on for it here ends, too."""
        try:
            here = await self._store.sessions.touch(id)
        except StoreError as problem:
            log.warning("that a session is in use could not be noted: %s", problem)
            return True
        if not here:
            self._suspect((id,))
        return here

    async def end(self, id: str) -> None:
        """End a session and everything of it."""
        try:
            await self._store.sessions.delete(id)
        except StoreError as problem:
            raise StoreFailed(problem) from None
        finally:
            await self._end_everywhere(id, counted=True)

    async def _end_everywhere(self, id: str, *, counted: bool) -> None:
        """End what is left of a session here, and have it ended in other processes. ``counted``: how long it lasted is
        told by the caller.
        """
        if self.durations is not None:
            self.durations.ended(session_digest(id), counted=counted)
        if self._processes is not None:
            await self._processes.say_all(SessionOver(session_digest(id), counted))
        await self._end_here(self._live.get(id) or LiveSession(id))

    async def _end_here(self, live: LiveSession) -> None:
        if self._live.pop(live.id, None) is not None:
            self._by_digest.pop(live.digest, None)
        live.over = True
        tasks = live.close()
        if tasks:
            await asyncio.wait(tasks, timeout=STUBBORN)
        for stream in tuple(live.streams.values()):
            await stream.end()
        self._kept.pop(live.digest, None)
        await self._drop_streams(live.prefix)  # last, for what was about to be said has been said by now

    async def _drop_streams(self, prefix: str) -> None:
        try:
            await self._store.events.drop_prefix(prefix)
        except StoreError as problem:  # what is left expires by itself
            log.warning("the streams of a session that ended could not be dropped: %s", problem)

    async def kept(self, live: LiveSession) -> None:
        """An answer was kept whole, while its session may have ended in another process: what that dropped before is
        dropped again when its word comes.
        """
        if live.over:
            await self._drop_streams(live.prefix)
            return
        self._kept.pop(live.digest, None)
        self._kept[live.digest] = live.id
        if len(self._kept) > KEPT_LATELY:
            del self._kept[next(iter(self._kept))]

    def _hear_end(self, word: SessionOver) -> None:
        if self.durations is not None:
            self.durations.ended(word.session, counted=word.counted)
        live = self._by_digest.get(word.session)
        if live is not None:
            self._suspect((live.id,))
        elif (id := self._kept.pop(word.session, None)) is not None:
            self._suspect((id,))

    def _suspect_all(self) -> None:
        """Words may have been lost: some sessions may have ended."""
        self._suspect(live.id for live in self._live.values() if live.id and live.lasts)

    def _suspect(self, ids: Iterable[str]) -> None:
        self._suspected.update(ids)
        if self._suspected and (self._looking is None or self._looking.done()):
            self._looking = asyncio.get_running_loop().create_task(self._end_suspected())

    async def _end_suspected(self) -> None:
        """End here those sessions that the store no longer has; of which it does not say, those later."""
        unknown: set[str] = set()
        while self._suspected:
            id = self._suspected.pop()
            try:
                if await self._store.sessions.load(id) is None:
                    await self._end_here(self._live.get(id) or LiveSession(id))
            except StoreError as problem:
                log.debug("it could not be seen whether a session has ended: %s", problem)
                unknown.add(id)
        if unknown:
            asyncio.get_running_loop().call_later(LOOK_AGAIN, self._suspect, unknown)

    async def cancel(self, live: LiveSession, id: RequestId) -> None:
        """Cancel a call of a session, in whichever process it runs. Raises `HTTPRefusal` (503) where that is not known
        to come about.
        """
        if live.cancel(id) or self._cancellations is None:
            return
        if isinstance(id, str) and len(id) > _LONG_ID:
            log.debug("a call with a very long id can be cancelled at the worker that runs it alone")
            return
        try:
            await self._cancellations.pass_on(live.digest, id)
        except StoreError as problem:
            raise StoreFailed(problem) from None

    def __len__(self) -> int:
        return len(self._live)

    def live(self, id: str) -> LiveSession:
        """What this process holds of a session."""
        found = self._live.get(id)
        if found is None:
            processes = self._processes
            asker = "" if processes is None else f"{processes.id}."
            found = self._live[id] = LiveSession(id, asker)
            if processes is not None:
                self._by_digest[found.digest] = found
        return found

    def known_by(self, digest: str) -> LiveSession | None:
        """What this process holds of a session that another one names."""
        return self._by_digest.get(digest)

    def peek(self, id: str) -> LiveSession | None:
        """What this process holds of a session, if anything."""
        return self._live.get(id)

    def settle(self, live: LiveSession) -> None:
        """Forget a live session when nothing of it goes on."""
        if live.quiet and self._live.get(live.id) is live:
            del self._live[live.id]
            if self._processes is not None:
                del self._by_digest[live.digest]

    def all_live(self) -> list[LiveSession]:
        """Every live session."""
        return list(self._live.values())


def contended() -> HTTPRefusal:
    """The refusal of a request that never got its turn."""
    return HTTPRefusal(
        503, "the session is being changed by too many requests at once; retry", headers=RETRY_SOON
    )


def _lost(problem: Exception) -> None:
    """The log is told of a session that can't be read; its client is told that there is none, and opens another."""
    log.warning("a session is lost to its client, for its record can't be read: %s", problem)
