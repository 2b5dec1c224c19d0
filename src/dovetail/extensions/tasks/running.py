"""One run of a task: its call is sent again, and what comes of it is kept.

Theory of operation. The body runs over what its runs before were answered and did (`DurableCall`). It ends in one of
four ways: it asks, and the task lets go of everything and waits as a record; it gives a result or fails, and the task
has ended; it failed and its author said that it may be tried again; or the worker has to let go of it, and another one
goes on. Whatever it is, it is one compare-and-set: a run whose lease was lost, or whose task was cancelled meanwhile,
changes nothing any more.

What is known to be lost nobody writes for; what the store could not take is tried again as long as the task is ours:
work that was done must not be done twice. Where the store was away for longer than the lease, and it was this worker
that claimed the task again, the run goes on: it is not begun a second time beside itself.

Specification: the extension io.modelcontextprotocol/tasks; 2025-11-25, basic/utilities/tasks.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from msgspec import Raw

from dovetail.errors import InternalError, RPCError
from dovetail.extensions import Call, Channel, Encoded
from dovetail.security import get_logger
from dovetail.stores import KeyInvalid, StoreClosed, StoreError, TaskRecord, ValueTooLarge
from dovetail.types import DECODE_ERRORS, CallToolResult, InputRequired, Result, decode, reader

from . import names, views
from .records import NOTHING, Reached, TaskData
from .server_tasks import ServerTasks, key_of
from .wire import TaskStatus

log = get_logger("dovetail.tasks")

MOST_CRASHES: Final = 5
"""Runs of one task that ended with the worker; then the task fails, or it would take one worker after the other."""
REACHED_EVERY: Final = 1.0
"""Seconds between two changes of a task that only say how far it is."""
_LAST: Final = 3600.0
"""The longest pause between two tries, in seconds."""
_SOON: Final = 0.1
"""Seconds until the store is given again what it could not take; twice as long each further time, up to `_SLOW`."""
_SLOW: Final = 5.0
_PROGRESS: Final = names.NOTIFY_PROGRESS.encode()
_T = TypeVar("_T")


class LeaseLost(InternalError):
    """The task is no longer this worker's."""


class TaskRun(Channel):
    """One run of a task, and the channel of its call. ``lost``: it is this worker's no longer, or has ended, or the
    store was closed.
    """

    def __init__(self, tasks: ServerTasks, record: TaskRecord, holder: str) -> None:
        self._tasks = tasks
        self._record = record
        self._holder = holder
        self._data = TaskData.of(record)
        self._turn = asyncio.Lock()
        self._told_at = time.monotonic()
        self._flush: asyncio.TimerHandle | None = None
        self._flushing: set[asyncio.Task[None]] = set()
        self._failure: Exception | None = None
        self._ending: tuple[TaskStatus, float | None] | None = None
        self._once: set[str] = set()
        self._settled = asyncio.Event()
        self._closing = False
        self.lost = False
        self.durable = self
        self.owned = True
        self.principal = self._data.call.caller.principal()
        self.transport = self._data.call.transport
        # What it calls is told of it (`Context.step_key`), and must not learn the id, by which the task is found.
        self.key = key_of(record.id)
        self.steps: Mapping[str, Raw] = {}

    @property
    def id(self) -> str:
        """Of the task."""
        return self._record.id

    # The durable call

    async def record(self, step: str, result: bytes) -> None:
        """Keep what a step came to. Raises `LeaseLost`, and `StoreError` for what no store would take."""
        if self.lost:
            raise LeaseLost("another worker has gone on with the task")
        try:
            kept = await self._insist(
                lambda: self._tasks.tasks.record(self.id, step, result, holder=self._holder)
            )
        except StoreClosed:
            self.lost = True
            raise
        if not kept:
            self.lost = True
            raise LeaseLost("another worker has gone on with the task")

    async def began(self, step: str) -> None:
        """A step that runs once is about to begin. Where the run is being ended, it does not: the run ends instead."""
        if self._closing:
            await asyncio.Event().wait()
        self._once.add(step)

    def ended(self, step: str) -> None:
        """What it came to was recorded, or it failed."""
        self._once.discard(step)
        if not self._once:
            self._settled.set()

    async def settle(self) -> None:
        """Begin no more steps that run once, and wait for those that did: a run that is ended in the middle of one
        leaves it unknown what became of it.
        """
        self._closing = True
        if self._once:
            self._settled.clear()
            await self._settled.wait()

    def failed(self, problem: Exception) -> None:
        """The body raised what nobody foresaw."""
        self._failure = problem

    # What the body says on its way

    async def emit(self, message: bytes) -> None:
        """Keep how far the work is. Log messages of a task go nowhere: no message of the protocol could carry them."""
        if _PROGRESS not in message[:200]:
            return
        members: dict[str, Any] = decode(message)["params"]
        self._data.reached = Reached(members["progress"], members.get("total"), members.get("message"))
        wait = self._told_at + REACHED_EVERY - time.monotonic()
        if wait <= 0:
            await self._tell_reached()
        elif self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(wait, self._flush_soon)

    def _flush_soon(self) -> None:
        task = asyncio.create_task(self._tell_reached())
        self._flushing.add(task)
        task.add_done_callback(self._flushing.discard)

    async def _tell_reached(self) -> None:
        """Let who asks know how far the work is. Nothing depends on it, so what the store can't take is left out."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        async with self._turn:
            if self.lost or self._data.reached is None:
                return
            self._told_at = time.monotonic()
            self._data.message = str(self._data.reached)
            try:
                self.lost = not await self._change("working", self._record.due, self._holder)
            except StoreError as problem:
                log.info("how far a task is could not be kept: %s", problem)

    # The run

    async def run(self) -> None:
        """Run the call, and keep what came of it. Raises only `asyncio.CancelledError`."""
        try:
            await self._run()
        except asyncio.CancelledError:
            await asyncio.shield(self.leave())
            raise
        except StoreError as problem:
            log.warning("a task could not be gone on with, and will be again: %s", problem)
        except Exception:
            log.exception("a task of %s failed", self._record.queue)
            self._data.error = views.error_of(
                InternalError("the server failed while it worked on the task"), -32603
            )
            self._ending = ("failed", None)
            await self.leave()
        finally:
            if self._flush is not None:
                self._flush.cancel()

    async def _run(self) -> None:
        data, stored = self._data, self._data.call
        if self._record.attempts - data.in_order > MOST_CRASHES:
            await self._end_with(
                InternalError(f"the work ended {MOST_CRASHES} times with its worker"), -32603
            )
            return
        if self._record.attempts > 1:
            recorded = await self._insist(lambda: self._tasks.tasks.recorded(self.id))
            self.steps = {name: Raw(result) for name, result in recorded.items()}
        params = stored.for_run(data.state, data.answers())
        serving = self._tasks.serving
        call = serving.request(
            stored.method,
            params,
            id=self.id,
            revision=stored.revision,
            peer=stored.peer,
            log_level=stored.log_level,
        )
        try:
            result = await serving.call(call, self)
        except RPCError as problem:
            await self._failed(problem, call.profile.code(problem))
        except Exception as problem:  # a tool's own are results: this is an error of the server's
            log.exception("a task of %s failed", self._record.queue)
            self._failure = problem
            await self._failed(InternalError("the server failed while it handled the request"), -32603)
        else:
            await self._came_to(call, result)

    async def _failed(self, problem: RPCError, code: int) -> None:
        if self.lost:
            return
        if isinstance(problem, InternalError) and self._data.failures < self._data.retries:
            await self._try_again()
        else:
            await self._end_with(problem, code)

    async def _came_to(self, call: Call, result: Result | Encoded) -> None:
        data = self._data
        if self.lost:
            return
        if isinstance(result, InputRequired):
            data.state = result.request_state or ""
            data.ask(dict(result.input_requests or {}))
            data.message = ""
            await self._move("input_required")
        elif self._failure is not None and data.failures < data.retries:
            await self._try_again()
        else:
            if not isinstance(result, Result):
                result = _read(result)
            data.is_error = isinstance(result, CallToolResult) and bool(result.is_error)
            data.result = Raw(call.profile.encode(views.complete(result)))
            data.message = ""
            await self._move("completed")

    async def _end_with(self, problem: RPCError, code: int) -> None:
        self._data.error, self._data.message = views.error_of(problem, code), problem.message
        await self._move("failed")

    async def _try_again(self) -> None:
        data = self._data
        data.failures += 1
        pause = min(data.backoff * 2 ** (data.failures - 1), _LAST)
        data.message = f"It failed, and is tried again ({data.failures} of {data.retries})."
        await self._move("working", due=time.time() + pause)

    async def leave(self) -> None:
        """The process ends: keep what the run came to, if it has come to its end, or let go of it. It is tried once;
        what the store can't take now, others do when the lease is over. Nothing, where the task is this worker's no
        longer.
        """
        if self.lost:
            return
        if self._ending is None:
            self._data = TaskData.of(self._record)
            self._data.in_order += 1
            self._ending = ("working", time.time())
        try:
            async with self._turn:
                await self._keep(once=True)
        except StoreError as problem:
            log.warning("a task could not be let go of, and is gone on with later: %s", problem)
        finally:
            self.lost = True

    async def _move(self, status: TaskStatus, *, due: float | None = None) -> None:
        """Leave the task in that status."""
        self._data.in_order += 1
        self._ending = (status, due)
        async with self._turn:
            await self._keep(once=False)

    async def _keep(self, *, once: bool) -> None:
        """Keep how the run ended."""
        while not self.lost and self._ending is not None:
            status, due = self._ending

            async def change(status: TaskStatus = status, due: float | None = due) -> bool:
                return await self._change(status, due, "")

            try:
                kept = await (change() if once else self._insist(change))
            except ValueTooLarge as problem:
                self._refuse_result(problem)
                self._ending = ("failed", None)
                continue
            self.lost = True  # to this worker: whether it was moved now, or by somebody before
            if not kept:
                log.info("a task of %s had ended, or was gone on with elsewhere", self._record.queue)

    async def _change(self, status: TaskStatus, due: float | None, holder: str) -> bool:
        """Change the task; False if it is this worker's no longer. Raises `StoreError`."""
        while True:
            changed = await self._tasks.change(self._record, status, self._data, due=due, holder=holder)
            if changed is not None:
                self._record = changed
                return True
            there = await self._tasks.tasks.load(self.id)
            if there is None:
                return False
            if self._is_made(there, status):
                self._record = there  # by the try before, whose answer did not come: nobody was told of it
                await self._tasks.tell_change(there, self._data)
                return True
            if there.ended or there.holder != self._holder:
                return False
            self._data.in_order += there.attempts - self._record.attempts  # claimed again by this worker
            self._record = there

    def _is_made(self, there: TaskRecord, status: TaskStatus) -> bool:
        """Whether a record is what the change of this one's would have made of it."""
        mine = self._record
        return (there.version, there.attempts, there.status, there.data) == (
            mine.version + 1,
            mine.attempts,
            status,
            self._data.encoded(),
        )

    async def _insist(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Do something in the store, again and again while it can't serve. Raises `LeaseLost`, and `StoreError` for
        what no store would take, or when it was closed.
        """
        pause = _SOON
        while True:
            try:
                return await attempt()
            except (KeyInvalid, StoreClosed, ValueTooLarge):
                raise
            except StoreError as problem:
                if self.lost:
                    raise LeaseLost("another worker has gone on with the task") from problem
                log.warning("what came of a task can't be kept yet, and is tried again: %s", problem)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _SLOW)

    def _refuse_result(self, problem: ValueTooLarge) -> None:
        data = self._data
        if data.error is not None:
            raise problem  # not even the error fits
        text = f"what came of the task has {problem.size} bytes, and {problem.limit} can be kept"
        data.result, data.message = NOTHING, text
        data.error = views.error_of(InternalError(text), -32603)


def _read(result: Encoded) -> Result:
    """A result that came encoded: what marks it as complete, and as an error, is the task's as well."""
    try:
        return reader(CallToolResult).keep(Raw(result))
    except DECODE_ERRORS:  # it is passed on as it is, and does not fit
        return reader(Result).keep(Raw(result))
