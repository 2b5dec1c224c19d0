"""What everything that outlives a request is written against.

Theory of operation
-------------------
A handler, a session or a stream never assumes that it stays on one process, so nothing above this floor keeps
such state itself: it asks a `Store`, which bundles five small contracts.

* `KeyValue`: bytes under string keys, with expiry and the two atomic moves that coordination needs: `take`
  (exactly one of many takers wins) and `compare_and_set`.
* `SessionStore`: records of stateful-era sessions, versioned so that two workers cannot overwrite each other
  unseen.
* `EventLog`: what was sent on a stream, numbered, so that a client that lost its connection can resume.
* `Bus`: a word to whoever listens at the moment, in whatever process; nothing of it is kept.
* `TaskStore`: work that outlives the request which asked for it, and is done by whichever worker claims it.

Rules that hold for all of them, and that `dovetail.testing.store_contract` checks on every backend:

* Each method is atomic and linearizable: once it has returned, every later call anywhere on the same data
  sees it.
* Expiry follows the store's clock (seconds since the epoch). What has expired is invisible at once, whenever
  it may be swept; it counts toward no bound that it would make fail.
* Methods may be called from any task, and from several event loops at once.
* A cancelled call may have taken effect or not; so may one that raises a `StoreUnavailable` which is `uncertain`. Any
  other error means that it had none.
* After `aclose` every call raises `StoreClosed`. Any call may raise `StoreUnavailable`.
* Keys, ids and stream names have 1 to 512 characters without NUL (`KeyInvalid`). No error quotes them.

Specification: "Session Management" and "Resumability and Redelivery" in basic/transports of 2025-03-26 to
2025-11-25.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Protocol

import msgspec

__all__ = [
    "Bus",
    "Event",
    "EventLog",
    "KeyValue",
    "SessionRecord",
    "SessionStore",
    "Store",
    "TaskRecord",
    "TaskStore",
]


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One session of the stateful era, as stored.

    `id` and `principal` are keys; the principal of an anonymous caller is "" or begins with "anonymous", and no other
    one does. `version` counts the saves.
    `created` and `seen` are seconds since the epoch. `data` belongs to whoever runs the session: the store
    never looks inside.
    """

    id: str
    version: int
    created: float
    seen: float
    principal: str
    data: bytes


class Event(msgspec.Struct, frozen=True, gc=False):
    """One entry of a stream: its `sequence` (from 1) and its `data`."""

    sequence: int
    data: bytes


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One task, as stored.

    `id` and `owner` (whose it is) are keys, and so is `queue`: what it waits in until a worker claims it. `version`
    counts the changes. `status` is a word of the engine's, at most 64 characters; `ended`: it will never change again.
    Times are seconds since the epoch: `created`, `updated` (the last change), `expires` (None: never), and `due`: from
    when it may be claimed, None for one that waits for something else. `holder`: who claimed it ("" for nobody), and
    `attempts`: how often it was. `data` belongs to the engine: the store never looks inside.
    """

    id: str
    owner: str
    queue: str
    version: int = 0
    status: str
    ended: bool = False
    created: float
    updated: float
    expires: float | None = None
    due: float | None = None
    holder: str = ""
    attempts: int = 0
    data: bytes


class KeyValue(Protocol):
    """Bytes under string keys."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None when there is none."""
        ...

    async def set(self, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """Put `value` under `key`, for `ttl` seconds or until deleted; an earlier value and its expiry are
        replaced.

        Raises `ValueTooLarge` for one value over its bound, `StoreFull` when all together are.
        """
        ...

    async def add(self, key: str, value: bytes, *, ttl: float | None = None) -> bool:
        """`set`, but only where there is no value. True for the one caller who put it there. ``ttl`` in seconds."""
        ...

    async def take(self, key: str) -> bytes | None:
        """Get and delete in one move. Of concurrent takers exactly one gets the value; the others get
        None.
        """
        ...

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, *, ttl: float | None = None
    ) -> bool:
        """Replace `expected` by `value` in one move; False, and nothing changed, when something else is
        there.

        None stands for "no value": as `expected` it adds, as `value` it deletes. A `ttl` of None clears the
        expiry.
        """
        ...

    async def delete(self, key: str) -> bool:
        """Remove the value. False when there was none."""
        ...

    async def expire(self, key: str, ttl: float) -> bool:
        """Let the present value live for `ttl` seconds from now, be that longer or shorter. False when there
        is none.
        """
        ...

    def scan(self, prefix: str = "") -> AsyncIterator[str]:
        """The keys that start with `prefix`, in no promised order, read in bounded pages.

        A key that is there all the while comes exactly once; one that comes or goes meanwhile, at most once.
        """
        ...

    def within(self, prefix: str, *, share: float | None = None) -> "KeyValue":
        """A view of the keys that start with `prefix`, under names without it. Views nest.

        The prefix is joined as it is, so end it with a separator: "codes/" and "codes/old/" overlap by
        intent, "a" and "ab" by mistake. It counts toward the length of keys. Raises `KeyInvalid` when it is
        empty.

        `share`: what is written through this view, and views of it, may take that part (above 0, at most 1) of
        `max_bytes`, or of the share that the view stands in; beyond it writes raise `StoreFull`, once what has expired
        is swept. Outermost shares are set aside: a full one takes no room from others, nor do others from it. Raises
        `ValueError` where they would be more than the whole, and for shares more than two deep.
        """
        ...


class SessionStore(Protocol):
    """Sessions of the stateful era. The id finds a session; it never proves who is asking: compare
    `principal`.
    """

    async def create(self, record: SessionRecord) -> Sequence[str]:
        """Keep a new session. Times ahead of the store's clock count as now. Gives the ids of sessions that had to go
        for it.

        Expired ones are swept first. At `max_per_principal` the idlest session of an anonymous principal goes, at
        `max_sessions` the idlest of any anonymous one: the one that was not seen for longest; but where more than half
        of them were never saved, the oldest of those. Raises `StoreFull` where there is none that may go;
        `SessionExists` when a live session has the id; `ValueTooLarge` for its data.
        """
        ...

    async def load(self, id: str) -> SessionRecord | None:
        """The session, or None when there is none or it has ended. Loading is not being seen: `touch` is."""
        ...

    async def save(self, record: SessionRecord, *, expected_version: int) -> bool:
        """Replace data and version if the stored version is still `expected_version`; the session is seen
        now.

        `record.version` must be above it (`ValueError`). `created` and `principal` stay as they were at
        creation, whatever the record says: a session never changes hands. False when the session is gone or
        another save was first: load it again. Raises `ValueTooLarge` for its data.
        """
        ...

    async def touch(self, id: str) -> bool:
        """The session is seen now. Leaves the version alone, so no save is lost to it. False when it is
        gone.
        """
        ...

    async def delete(self, id: str) -> bool:
        """End the session. False when it was gone."""
        ...

    async def count(self, principal_key: str | None = None) -> int:
        """How many sessions live: those of one principal, or all."""
        ...


class EventLog(Protocol):
    """Streams of numbered events, for resuming after a lost connection.

    A stream begins with its first append. Old events go when it outgrows `max_events` or `max_bytes`, all of
    them `ttl` seconds after the last append; then a closed stream is unknown, and an open one only remembers
    its position, for `position_ttl` seconds, so that its sequence goes on and never begins again under ids
    that a client has seen.

    Name the streams of a session with a common prefix that no other session shares (end it with a separator):
    `drop_prefix` ends them all.
    """

    async def append(self, stream: str, data: bytes) -> int:
        """Add an event and return its sequence: 1 for the first, and rising by one.

        Raises `StreamEnded` after `close`; `ValueTooLarge` for an event over `max_bytes`; `StoreFull`.
        """
        ...

    async def keep(self, stream: str, events: Sequence[bytes]) -> None:
        """Add all events of a new stream and close it, in one move. At least one event.

        Raises what `append` raises, and `StreamEnded` where the stream exists already; then nothing was added.
        """
        ...

    async def read(self, stream: str, after: int, limit: int = 256) -> list[Event]:
        """The events that follow sequence `after` (0: from the start), oldest first, at most `limit` (from
        1).

        An empty list means that there are none yet. Raises `EventsTrimmed` when any event after `after` is
        gone, and `StreamUnknown` for an unknown stream or a position that it never reached.
        """
        ...

    async def last(self, stream: str) -> int:
        """The newest sequence. Raises `StreamUnknown`."""
        ...

    async def close(self, stream: str) -> None:
        """Mark the stream as ended; it can still be read. Closing again changes nothing. Raises
        `StreamUnknown`.
        """
        ...

    async def is_closed(self, stream: str) -> bool:
        """Whether the stream has ended. Raises `StreamUnknown`."""
        ...

    async def drop(self, stream: str) -> bool:
        """Forget the stream and its position. False when it was unknown."""
        ...

    async def drop_prefix(self, prefix: str) -> int:
        """Forget every stream whose name starts with `prefix`, and say how many. Raises `KeyInvalid` when it
        is empty.
        """
        ...


class Bus(Protocol):
    """Messages between processes, for whoever listens at the moment.

    What one publisher says on one channel is heard in the order in which it was said, at most once each. Nothing is
    kept for those who listen later. Where messages may have been lost (the engine was away, or a listener too slow),
    the listener is told so by None, in the place where they are missing: whoever needs more reads it from the store.
    """

    async def publish(self, channel: str, data: bytes) -> None:
        """Tell everyone who listens on ``channel``, in this process too. Raises `ValueTooLarge` for data over its
        bound, and `StoreUnavailable` when it is not known whether anybody will hear of it.
        """
        ...

    async def listen(self, channel: str, heard: Callable[[bytes | None], None]) -> Callable[[], None]:
        """Have ``heard`` called, in the event loop that runs now, with each message that is published on ``channel``
        once this has returned. Gives what ends that; it may be called again, and from any thread.

        ``heard`` must neither wait nor raise: what it raises is logged, and others hear all the same.
        """
        ...


class TaskStore(Protocol):
    """Tasks: records that are changed by compare-and-set, and claimed by one worker at a time.

    A task that is `due` waits in its `queue`. Whoever claims it holds it for the seconds of its lease, and longer while
    it renews; after that anyone may claim it again. A lease that is over takes nothing away by itself: until somebody
    claims the task, its last holder may still renew, record and update. One that lost it is kept from writing: its
    version is old. Old tasks vanish when they expire, whatever becomes of them.

    The status has at most 64 characters, and times are finite: else `KeyInvalid` and `ValueError`. So for a lease that
    is not above 0 and finite, and for a limit below 1.
    """

    async def create(self, record: TaskRecord, *, max_unended: int) -> None:
        """Keep a new task; it is durable, and found by all, once this has returned. `version` and `attempts` begin at
        0, and nobody holds it, whatever the record says; `created` and `updated` ahead of the store's clock count as
        now.

        Raises `TaskExists` where there is one of that id, `TooManyTasks` where the owner has ``max_unended`` that have
        not ended, `ValueTooLarge` for its data, and `StoreFull`.
        """
        ...

    async def load(self, id: str) -> TaskRecord | None:
        """The task, or None when there is none or it has expired."""
        ...

    async def update(self, record: TaskRecord, *, expected_version: int) -> TaskRecord | None:
        """Replace `status`, `ended`, `expires`, `due`, `holder` and `data`, if the stored version is still
        ``expected_version`` and the task has not ended; the version grows by one, it is updated now. Gives the new
        record, None when it is gone, has ended, or was changed by somebody else: load it again.

        A holder that is named goes on holding it for as long as the lease says, which a task that nobody held does not
        have; "" lets go of it. One that ended is held by nobody, and is due never. `id`, `owner`, `queue`, `created`
        and `attempts` stay as they were. Raises `ValueTooLarge`, and `StoreFull`.
        """
        ...

    async def claim(
        self, holder: str, queues: Mapping[str, int | None], *, limit: int, lease: float
    ) -> list[TaskRecord]:
        """Hold up to ``limit`` tasks of these queues for ``lease`` seconds by the store's clock: those that are due and
        that nobody holds, or whose holder's lease is over. Each claim counts as an attempt and a change.

        ``queues``: by name, how many of it all workers together may hold at a time (None: any number). Of those that
        may be claimed, the next is one of an owner that has the fewest held at the moment, in all queues, and of those
        the one that is due for longest: nobody's thousand tasks make others wait. No two claimers ever get the same
        attempt.
        """
        ...

    async def claim_one(self, id: str, holder: str, *, most: int | None, lease: float) -> TaskRecord | None:
        """Hold this one task, out of its turn, as `claim` holds those that it picks: if it is due, nobody holds it (or
        the holder's lease is over), and fewer than ``most`` of its queue are held (None: any number). None where it is
        not to be had now; `load` says how it is.
        """
        ...

    async def renew(self, holder: str, ids: Collection[str], *, lease: float) -> set[str]:
        """Hold these on, for ``lease`` seconds from now; their versions stay. Gives those that are still ``holder``'s:
        of the others, somebody let go of them or ended them, they expired, or another one claimed them.
        """
        ...

    async def next_due(self, queues: Collection[str]) -> float | None:
        """In how many seconds by the store's clock there may be one to claim in these queues: when the next is due, or
        the next lease is over; at least 0. None where nothing waits and nothing is held. Limits of queues do not count.
        """
        ...

    async def due(self, queue: str, *, limit: int) -> list[str]:
        """The ids of tasks of this queue that are due and that nobody holds, or whose holder's lease is over: at most
        ``limit`` (from 1), the one that is due for longest first. It holds none of them, and changes nothing.
        """
        ...

    async def record(self, id: str, name: str, result: bytes, *, holder: str) -> bool:
        """Keep what a step of the task came to, beside it, until it goes; an earlier result of that name stays, which
        is True as well. The version stays. False, and nothing is kept, where the task is not ``holder``'s (any more).
        Raises `ValueTooLarge` where the results of one task, each with its name and 256 bytes more, come to more than
        its data may have, and `StoreFull`.
        """
        ...

    async def recorded(self, id: str) -> dict[str, bytes]:
        """What was recorded of the task, by name, in no promised order."""
        ...

    async def list(
        self, owner: str, *, after: tuple[float, str] | None = None, limit: int = 100
    ) -> list[TaskRecord]:
        """Tasks of one owner by `created` and then `id`, oldest first, at most ``limit`` (from 1): those that follow
        the one whose `created` and `id` are ``after``, also where that one is gone.
        """
        ...

    async def count(self, owner: str | None = None, *, ended: bool | None = None) -> int:
        """How many there are: of one owner or all, and such as have ended or have not, or both."""
        ...

    async def delete(self, id: str) -> bool:
        """Forget the task and what was recorded of it. False when there was none."""
        ...


class Store(Protocol):
    """The bundle that a server is given. `contextlib.aclosing(store)` closes it at the end of a block."""

    @property
    def kv(self) -> KeyValue:
        """Bytes under keys."""
        ...

    @property
    def sessions(self) -> SessionStore:
        """Sessions of the stateful era."""
        ...

    @property
    def events(self) -> EventLog:
        """Streams that can be resumed."""
        ...

    @property
    def bus(self) -> Bus:
        """Messages between the processes that share the store."""
        ...

    @property
    def tasks(self) -> TaskStore:
        """Work that any worker may do."""
        ...

    async def aclose(self) -> None:
        """Let go of files, threads and connections. Waiting operations end with `StoreClosed`. May be called
        again.
        """
        ...
