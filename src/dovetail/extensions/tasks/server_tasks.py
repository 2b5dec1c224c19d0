"""The tasks of one server while it runs: made, found, answered, cancelled, and told of.

Theory of operation. A task is a record in the store, and nothing else: this process may end at any moment, and any
other that shares the store goes on with it. All changes are made by compare-and-set, so of two that want to end a task
one does. Who waits for a change hears a word over the store's bus and reads the record again; words are hints, and
where one may have been lost everybody looks.

Whose a task is, its record says. What is unknown, expired or somebody else's is answered alike. Callers without a name
share no list: their tasks are found by their ids alone, which nobody guesses.

Specification: the extension io.modelcontextprotocol/tasks; 2025-11-25, basic/utilities/tasks.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from msgspec import Raw
from msgspec.structs import replace

from dovetail.errors import InternalError, InvalidParams, RPCError
from dovetail.extensions import Call, Channel, ServedTool, Serving, TaskOptions
from dovetail.security import get_logger, network_of
from dovetail.stores import (
    Lease,
    Store,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreOutages,
    StoreUnavailable,
    TaskExists,
    TaskRecord,
    TaskStore,
    TooManyTasks,
    ValueTooLarge,
)

from . import views
from .changes import TASK_CHANGES
from .records import StoredCall, TaskData
from .wire import TaskStatus

log = get_logger("dovetail.tasks")

_WORK: Final = b"+"
_CHANGED: Final = b"="
_CANCELLED: Final = b"-"
_TOLD: Final = b"?"
MOST_TOLD: Final = 64 * 1024
"""Bytes of a task that is told to listeners with all that it says; of a longer one they hear by asking."""
SEAT: Final = 15.0
"""Seconds after which the questions of a task are put by another one who waits, where who put them stood still."""
_SEAT_KEPT: Final = 60.0


class ServerTasks:
    """The tasks of a server. ``max_unended``: how many tasks of one caller may go on at a time."""

    def __init__(self, serving: Serving, store: Store, *, max_unended: int) -> None:
        self.serving = serving
        self._store = store
        self._max_unended = max_unended
        self._outages = StoreOutages(log, "the store of tasks")
        self._channel = f"tasks/{serving.name}"
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._seats = store.kv.within("tasks/asking/", share=1 / 64)
        self.on_due: Callable[[TaskRecord], Awaitable[None]] = _nobody
        self.on_work: Callable[[], None] = _nothing
        self.on_change: Callable[[], None] = _nothing
        self.on_cancel: Callable[[str | None], None] = _nothing_of
        self.on_told: Callable[[str], object] = _nothing_of

    @property
    def tasks(self) -> TaskStore:
        """The records."""
        return self._store.tasks

    @asynccontextmanager
    async def hearing(self) -> AsyncGenerator[None]:
        """Around the life of the server."""
        end = await self._store.bus.listen(self._channel, self._heard)
        try:
            yield
        finally:
            end()

    def _unavailable(self, problem: StoreError) -> InternalError:
        """What a caller is told when the store can't serve."""
        if isinstance(problem, StoreFull):
            return InternalError("the server keeps as many tasks as it may; try again in a few minutes")
        self._outages.note(problem)
        return InternalError("the server can't reach its tasks at this moment; try again")

    def queue_of(self, tool: str) -> str:
        """What tasks of a tool wait in."""
        return f"{self.serving.name}/{tool}"

    # Made, found

    async def create(
        self,
        call: Call,
        channel: Channel,
        served: ServedTool,
        options: TaskOptions,
        *,
        ttl: float | None = None,
        state: str = "",
    ) -> tuple[TaskRecord, TaskData]:
        """Keep a call as a task that is to be run. ``ttl``: seconds that the client asked for. ``state``:
        what was asked and answered before. Raises `InvalidParams` for one that is too large to be kept, `InternalError`
        where there is no room.
        """
        now = time.time()
        data = TaskData(
            call=StoredCall.of(call, channel.principal, channel.transport),
            poll=options.poll,
            state=state,
            retries=options.retries,
            backoff=options.backoff,
        )
        record = TaskRecord(
            id=secrets.token_urlsafe(24),
            owner=owner_of(channel),
            queue=self.queue_of(served.tool.name),
            status="working",
            created=now,
            updated=now,
            expires=now + (options.ttl if ttl is None else min(ttl, options.ttl)),
            due=now,
            data=data.encoded(),
        )
        try:
            await self._keep(record)
        except TooManyTasks:
            raise InternalError(
                f"{self._max_unended} of your tasks have not ended, and there may be no more; wait for some, or cancel "
                "them"
            ) from None
        except ValueTooLarge as problem:
            raise InvalidParams(
                f"the call is too large to be kept as a task: {problem.size} bytes, and {problem.limit} are allowed"
            ) from None
        except StoreError as problem:
            raise self._unavailable(problem) from problem
        await self.on_due(record)
        return record, data

    async def _keep(self, record: TaskRecord) -> None:
        """Keep a new task. Where the answer did not come it is kept once more, under the id that nobody else has."""
        try:
            await self.tasks.create(record, max_unended=self._max_unended)
        except StoreUnavailable as problem:
            if not problem.uncertain:
                raise
            with suppress(TaskExists):
                await self.tasks.create(record, max_unended=self._max_unended)

    async def find(self, id: object, channel: Channel) -> tuple[TaskRecord, TaskData]:
        """A task of the caller's. Raises `InvalidParams` for one that is unknown, expired, or somebody else's."""
        record: TaskRecord | None = None
        if isinstance(id, str) and 1 <= len(id) <= 512 and "\0" not in id:
            try:
                record = await self.tasks.load(id)
            except StoreError as problem:
                raise self._unavailable(problem) from problem
        if record is not None:
            data = TaskData.of(record)
            if data.call.caller.principal().key == channel.principal.key:
                return record, data
        raise unknown()

    async def may_listen(self, key: str, id: str) -> bool:
        """Whether a task is there, and belongs to the principal with that key. Raises `InternalError`."""
        if not 1 <= len(id) <= 512 or "\0" in id:
            return False
        try:
            record = await self.tasks.load(id)
        except StoreError as problem:
            raise self._unavailable(problem) from problem
        return record is not None and TaskData.of(record).call.caller.principal().key == key

    async def list(self, channel: Channel, after: tuple[float, str] | None, limit: int) -> list[TaskRecord]:
        """Tasks of the caller, oldest first, that follow one."""
        try:
            return await self.tasks.list(owner_of(channel), after=after, limit=limit)
        except StoreError as problem:
            raise self._unavailable(problem) from problem

    # Changed

    async def change(
        self,
        record: TaskRecord,
        status: TaskStatus,
        data: TaskData,
        *,
        due: float | None = None,
        holder: str = "",
    ) -> TaskRecord | None:
        """Change a task, if nobody did since it was read; None if somebody did. Whoever waits is told. Raises
        `StoreError`.
        """
        ended = status in ("completed", "failed", "cancelled")
        if ended:
            data.end()
        changed: TaskRecord | None = await self.tasks.update(
            replace(record, status=status, ended=ended, due=due, holder=holder, data=data.encoded()),
            expected_version=record.version,
        )
        if changed is not None:
            await self.tell_change(changed, data)
            if due is not None and not holder:
                await self.on_due(changed)
        return changed

    async def answer(self, id: str, channel: Channel, responses: Mapping[str, Raw]) -> None:
        """Give answers to the open questions of a task; what is not open is ignored. Once all are answered it goes on.

        Raises `InvalidParams` for a task that is not the caller's, `InternalError`.
        """
        while True:
            record, data = await self.find(id, channel)
            if record.status != "input_required" or not data.respond(dict(responses)):
                return
            answered = data.is_answered
            try:
                if await self.change(
                    record,
                    "working" if answered else "input_required",
                    data,
                    due=time.time() if answered else None,
                ):
                    return
            except ValueTooLarge:
                raise InvalidParams("the answers are too large to be kept with the task") from None
            except StoreError as problem:
                raise self._unavailable(problem) from problem

    async def cancel(self, id: str, channel: Channel) -> tuple[TaskRecord, TaskData] | None:
        """Cancel a task; None if it had ended. Raises `InvalidParams` for one that is not the caller's, and
        `InternalError`.
        """
        while True:
            record, data = await self.find(id, channel)
            if record.ended:
                return None
            data.message = "The task was cancelled by request."
            try:
                changed = await self.change(record, "cancelled", data)
            except StoreError as problem:
                raise self._unavailable(problem) from problem
            if changed is not None:
                return changed, data

    async def fail(self, id: str, channel: Channel, problem: RPCError) -> None:
        """End a task that waits for an answer with the error that came in its stead. Raises as `cancel` does."""
        while True:
            record, data = await self.find(id, channel)
            if record.status != "input_required":
                return
            data.error, data.message = views.error_of(problem, problem.code), problem.message
            try:
                if await self.change(record, "failed", data):
                    return
            except StoreError as failure:
                raise self._unavailable(failure) from failure

    # Told

    @asynccontextmanager
    async def watching(self, id: str) -> AsyncGenerator[asyncio.Event]:
        """An event that is set whenever the task may have changed; clear it, then look."""
        event = asyncio.Event()
        group = self._waiting.setdefault(id, set())
        group.add(event)
        try:
            yield event
        finally:
            group.discard(event)
            if not group and self._waiting.get(id) is group:
                del self._waiting[id]

    def seat(self, id: str) -> Lease:
        """The right to put the questions of a task: one of all who wait for it has that, in whatever process."""
        return Lease(self._seats, id, ttl=SEAT, keep=_SEAT_KEPT)

    async def tell_waiting(self, id: str) -> None:
        """Have all look who wait for a task."""
        await self._say(_CHANGED + id.encode())

    async def pass_on(self, id: str) -> None:
        """Pass on to other processes that a client told of a task of its own."""
        await self._say(_TOLD + id.encode())

    async def tell_work(self) -> None:
        """Tell workers that something is due."""
        self.on_work()
        await self._say(_WORK)

    async def tell_change(self, record: TaskRecord, data: TaskData) -> None:
        """Tell who waits for a task, and who listens to it, that it changed."""
        cancelled = record.status == "cancelled"
        self._changed(record.id, stop=cancelled)
        if len(record.data) <= MOST_TOLD:  # first: who listens need not wait until the bus has the word
            self.serving.publish(TASK_CHANGES.change(record.id, views.notified(record, data)))
        await self._say((_CANCELLED if cancelled else _CHANGED) + record.id.encode())

    async def _say(self, word: bytes) -> None:
        # Whoever may have missed it is told so when the engine is back.
        with suppress(StoreClosed, StoreUnavailable):
            await self._store.bus.publish(self._channel, word)

    def _heard(self, word: bytes | None) -> None:
        if word is None:
            self.on_work()
            self.on_cancel(None)
            for group in self._waiting.values():
                _set(group)
        elif word == _WORK:
            self.on_work()
        elif word.startswith(_TOLD):
            self.on_told(word[1:].decode("utf-8", "replace"))
        elif word.startswith((_CHANGED, _CANCELLED)):
            self._changed(word[1:].decode("utf-8", "replace"), stop=word.startswith(_CANCELLED))

    def _changed(self, id: str, *, stop: bool) -> None:
        if stop:
            self.on_cancel(id)
        self.on_change()
        _set(self._waiting.get(id, ()))


def owner_of(channel: Channel) -> str:
    """In whose name a task is counted and listed: callers without a name are one network."""
    key, remote = channel.principal.key, channel.remote
    return f"{key} {network_of(remote)}" if channel.principal.is_anonymous and remote else key


def key_of(id: str) -> str:
    """A name for a task, by which it can't be found: the same for all its runs."""
    return hashlib.sha256(b"key of " + id.encode()).hexdigest()[:32]


def unknown() -> InvalidParams:
    """The answer for a task that is not there for who asks."""
    return InvalidParams("there is no such task: it has expired, or never was")


def _set(events: Iterable[asyncio.Event]) -> None:
    for event in tuple(events):
        event.set()


async def _nobody(record: TaskRecord) -> None:
    """Nobody is told of tasks that are due yet."""


def _nothing() -> None:
    """Nobody works here."""


def _nothing_of(id: str | None) -> None:
    """Nobody works here."""
