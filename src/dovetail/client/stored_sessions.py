"""The session of a stateful server over HTTP, for the process that comes next.

Theory of operation. What a client needs to go on in its session (the session id, the revision, what the server said of
itself, the place in the standalone stream, the resources it is subscribed to) is a record, written when the session is
opened and whenever it changes. A session is for one client at a time: whoever uses it holds its lease, so of two
processes the second opens one of its own, which is not kept. The lease of a process that died is free a moment later,
at once where this machine knows that it died (`stores.leases`).

A record is found by server, credentials, login, and what the client says of itself; it is worth nothing to anybody
else. Each time a session is taken up its *turn* is counted, before anything is sent: request ids must not be used twice
in a session, and nobody knows how many a process that was killed has used.

The place in the stream is written at intervals, so after a kill some of it is heard again; nothing is lost.

A process that stood still may find that another has its session. It then opens a new one. While the store is away the
session is gone on with: nobody else can take it there.

Specification: "Session Management" and "Resumability and Redelivery" in basic/transports of 2025-11-25; basic/index
"Requests".
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import Raw

from ..logs import get_logger
from ..protocol import codec
from ..protocol.bindings.headers import is_session_id
from ..protocol.errors import DovetailError
from ..stores.leases import Lease
from .client_records import ClientRecords, KeptRecord
from .link import Link
from .options import Options

__all__ = ["SavedSession", "StoredSession"]

log = get_logger("dovetail.client")

SHARE: Final = 1 / 32
"""The part of a store that sessions may take."""
LIFETIME: Final = 86_400.0
"""Seconds that a session is kept since it was last written; the server decides how long it lives."""
LEASE: Final = 60.0
"""Seconds after which the session of a process that died on another machine may be taken up."""
INTERVAL: Final = 3.0
"""Seconds between two looks at what changed."""
MAX_RECORD: Final = 1024 * 1024
"""Bytes of a session; one with more is not kept."""
MAX_TURNS: Final = 1 << 20
"""Times that one session is taken up: their request ids (`opening.IDS_IN_A_TURN`) are whole numbers of JSON."""
_MAX_POSITION: Final = 4096


class SavedSession(KeptRecord, frozen=True, kw_only=True):
    """What is needed to go on in a session. ``server``: the result of ``initialize``, as JSON. ``position``: the last
    event id of the standalone stream. ``turn``: how often it was taken up.
    """

    session: str
    revision: str
    server: Raw
    position: str = ""
    subscriptions: tuple[str, ...] = ()
    turn: int = 0

    def __repr__(self) -> str:
        return f"<SavedSession of {self.revision}>"


class StoredSession:
    """The session of one client in its store. ``account`` names server and credentials."""

    def __init__(self, records: ClientRecords, account: str, options: Options) -> None:
        self._records = records
        self._account = account
        self._options = options
        self._name = ""
        self._lease: Lease | None = None
        self._saved: SavedSession | None = None
        self._written_at = 0.0
        self._changed = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._turn = 0
        self.restored: tuple[str, ...] = ()
        """What the session was subscribed to when it was taken up."""
        self.subscriptions: Callable[[], tuple[str, ...]] = tuple
        """What the client is subscribed to; set by it."""

    @property
    def is_kept(self) -> bool:
        """Whether a session is kept now, and not ended with the client."""
        return self._saved is not None and self._lease is not None

    async def take(self, link: Link, auth: Any) -> SavedSession | None:
        """The session to go on in, if there is one and nobody else has it. From now on it is ours."""
        if not await self._leased(link, await _login(link, auth)):
            return None
        found, raw = await self._records.read(self._name, SavedSession)
        if found is None or raw is None:
            return None
        if not _is_sound(found) or found.revision not in self._options.stateful:
            await self._records.remove(self._name, raw)
            return None
        taken = msgspec.structs.replace(found, turn=found.turn + 1)
        if not await self._write(taken):
            return None
        self._turn, self.restored = taken.turn, taken.subscriptions
        return taken

    async def discard(self) -> None:
        """The server does not have the session any more."""
        self._saved, self.restored = None, ()
        await self._records.availability.ask(lambda: self._records.kv.delete(self._name), False)

    async def opened(self, link: Link, server: Any, auth: Any) -> None:
        """A new session was opened: keep it, if the server named it and nobody else keeps theirs in this place."""
        session, position = _state_of(link)
        self._saved = None
        if not session or not await self._leased(link, await _login(link, auth)):
            return
        body = Raw(codec.encode(server))
        revision = link.profile.revision
        await self._write(
            SavedSession(
                key=self._name,
                session=session,
                revision=revision,
                server=body,
                position=position,
                subscriptions=self.subscriptions(),
                turn=self._turn,  # the ids of the turns before are not used again in this process
            )
        )

    def keep(self, link: Link, lost: Callable[[], Awaitable[None]]) -> None:
        """Keep what is written true from now on. ``lost``: called when another process has the session."""
        if self._keeping is None and self.is_kept:
            self._keeping = asyncio.get_running_loop().create_task(
                self._keep(link, lost), name="dovetail: saved session"
            )

    def changed(self) -> None:
        """What the client is subscribed to has changed."""
        self._changed.set()

    async def leave(self, link: Link) -> None:
        """Write where the session stands, for the last time."""
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()
            await asyncio.wait((keeping,))
        await self._note(link)

    async def release(self) -> None:
        """Let others have it."""
        lease, self._lease = self._lease, None
        keeping, self._keeping = self._keeping, None
        if keeping is not None and keeping is not asyncio.current_task():
            keeping.cancel()
            await asyncio.wait((keeping,))
        if lease is not None:
            await self._records.availability.ask(lease.release, None)

    async def _leased(self, link: Link, login: str) -> bool:
        """Whether the place of this session is ours."""
        session = link.session
        said = codec.encode([session.info, session.capabilities, self._options.stateful]).decode()
        name = self._records.name("session", self._account, login, said)
        if self._lease is not None and name == self._name:
            return await self._records.availability.ask(self._lease.acquire, False)
        await self.release()
        lease = Lease(self._records.kv, f"lease-{name}", ttl=LEASE, keep=LEASE)
        if not await self._records.availability.ask(lease.acquire, False):
            return False
        self._name, self._lease = name, lease
        return True

    async def _write(self, saved: SavedSession) -> bool:
        if saved.turn > MAX_TURNS or await self._records.write(self._name, saved, ttl=LIFETIME) is None:
            return False
        self._saved, self._written_at = saved, asyncio.get_running_loop().time()
        return True

    async def _note(self, link: Link) -> None:
        """Write where the session stands, if that is news."""
        saved = self._saved
        session, position = _state_of(link)
        if saved is None or self._lease is None or session != saved.session:
            return
        now = msgspec.structs.replace(saved, position=position, subscriptions=self.subscriptions())
        if now != saved or asyncio.get_running_loop().time() - self._written_at > LIFETIME / 4:
            await self._write(now)

    async def _keep(self, link: Link, lost: Callable[[], Awaitable[None]]) -> None:
        while self._lease is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL):
                    await self._changed.wait()
            self._changed.clear()
            lease = self._lease
            ours = await self._records.availability.ask(lease.acquire, True)
            if ours:
                await self._note(link)
                continue
            log.warning(
                "another process has taken up the session of %s; a new one is opened", link.describe()
            )
            self._lease = self._saved = self._keeping = None
            with suppress(DovetailError):  # the next call tries again
                await lost()
            return


def _state_of(link: Link) -> tuple[str, str]:
    """The session id of a link, and its place in the standalone stream; both empty where there are none."""
    state: Any = getattr(link.transport, "session_state", None)
    return ("", "") if state is None else state


async def _login(link: Link, auth: Any) -> str:
    """Whose the session is, as far as the credentials tell: another login never gets it."""
    if auth is None:
        return ""
    transport: Any = link.transport
    with suppress(
        DovetailError
    ):  # what is wrong, the next request says; tokens are known once they were asked for
        await auth.headers("POST", transport.endpoint.url)
    name = getattr(auth, "cache_scope", None)
    return str(name()) if callable(name) else ""


def _is_sound(saved: SavedSession) -> bool:
    """Whether a record can be that of a session."""
    position = saved.position
    return (
        is_session_id(saved.session)
        and 0 <= saved.turn < MAX_TURNS
        and len(position) <= _MAX_POSITION
        and (not position or position.isprintable())
    )
