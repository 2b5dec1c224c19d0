"""Looking at one task of a server's: by its notifications where it tells of them, and by asking in any case.

Who listens asks once right after the acknowledgement, since the task may have changed before it, and then rarely. Who
does not asks at the interval that the server tells, within bounds; each answer may tell another one. A connection that
breaks is no reason to stop: the task outlives it.
Specification: the extension io.modelcontextprotocol/tasks, "Task Polling", "Task Status Notifications"; 2025-11-25,
basic/utilities/tasks, "Getting Tasks".
"""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar, cast

from msgspec import UNSET

from dovetail.errors import (
    DovetailError,
    HTTPStatusError,
    InternalError,
    InvalidParams,
    LocalProtocolError,
    MessageTooLarge,
    RateLimited,
    RemoteProtocolError,
    RequestTimeout,
    RPCError,
    ServerExited,
    TransportError,
)
from dovetail.extensions import Change, ChangeType
from dovetail.revisions import Era
from dovetail.types import DECODE_ERRORS, reader

from .changes import TASK_CHANGES
from .errors import TaskLost
from .names import GET, TASK_ID
from .wire import ENDED, DetailedTask, StatefulTask

__all__ = [
    "TaskSource",
    "TaskWatch",
    "detailed",
    "fetch",
    "interval_of",
    "is_passing",
    "pause_after",
    "wait_of",
]

T = TypeVar("T")
DEFAULT_POLL: Final = 1.0
"""Seconds between two looks where the server tells no interval."""
SHORTEST_POLL: Final = 0.1
LONGEST_POLL: Final = 60.0
"""Seconds; an interval that is told is taken to lie between these."""
BACKSTOP: Final = 30.0
"""Seconds between two looks while the server tells of changes."""
FAILURES: Final = 5
"""How often in a row the server may fail at telling how the task is."""
_MOMENT: Final = 0.5
"""Seconds that a look under way is waited for by who needs it no more."""
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 30.0


class TaskSource(Protocol):
    """Whom to ask about a task: a call that waits for it (`Resolving`), or a client."""

    @property
    def era(self) -> Era:
        """ "stateful" (tasks as 2025-11-25 has them) or "stateless" (those of the extension)."""
        ...

    async def request(self, method: str, params: Mapping[str, Any], *, into: type[T]) -> T:
        """Send a request and read its result."""
        ...

    def listen(
        self, change: ChangeType, subjects: Sequence[str]
    ) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Hear of changes."""
        ...


def detailed(task: StatefulTask) -> DetailedTask:
    """A task of 2025-11-25 as one of the extension."""
    return DetailedTask(
        task_id=task.task_id,
        status=task.status,
        created_at=task.created_at,
        last_updated_at=task.last_updated_at,
        ttl_ms=task.ttl,
        status_message=task.status_message,
        poll_interval_ms=task.poll_interval,
    )


async def fetch(source: TaskSource, task: str) -> DetailedTask:
    """How a task is. Raises `TaskLost`, `RemoteProtocolError`, and what requests raise."""
    try:
        if source.era == "stateful":
            found = detailed(await source.request(GET, {TASK_ID: task}, into=StatefulTask))
        else:
            found = await source.request(GET, {TASK_ID: task}, into=DetailedTask)
    except InvalidParams as problem:
        raise TaskLost(
            f"the server knows no task {task[:64]!r}, or no more: {problem.message}", task=task
        ) from problem
    return checked(found, task)


def checked(found: DetailedTask, task: str) -> DetailedTask:
    """A task, if it is the one that was asked about. Raises `RemoteProtocolError`."""
    if found.task_id != task:
        raise RemoteProtocolError(
            f"the server was asked about the task {task[:64]!r} and told of {found.task_id[:64]!r}"
        )
    return found


def interval_of(task: DetailedTask) -> float:
    """Seconds until the next look, as the server wants it, within bounds."""
    told = task.poll_interval_ms
    if told is UNSET:
        return DEFAULT_POLL
    return min(max(told, SHORTEST_POLL * 1000), LONGEST_POLL * 1000) / 1000


def is_passing(problem: DovetailError) -> bool:
    """Whether what a request failed with may be gone when it is made again."""
    if isinstance(problem, HTTPStatusError):
        return problem.status in (408, 425, 429) or problem.status >= 500
    if isinstance(problem, ServerExited):
        return not problem.retry_safe  # a request that was not even sent found nobody who starts it again
    if isinstance(problem, MessageTooLarge):
        return False
    if wait_of(problem) is not None:
        return True
    return isinstance(problem, (TransportError, RequestTimeout, InternalError))


def wait_of(problem: DovetailError) -> float | None:
    """Seconds that a server wants who asks too often to wait, within bounds; None for any other error."""
    if not isinstance(problem, RPCError) or problem.code != RateLimited.default_code:
        return None
    found: Any = problem.data
    told = cast("dict[str, Any]", found).get("retryAfter") if isinstance(found, dict) else None
    seconds = told if isinstance(told, (int, float)) and not isinstance(told, bool) else DEFAULT_POLL
    return min(max(seconds, SHORTEST_POLL), LONGEST_POLL)


def pause_after(failures: int, problem: DovetailError | None = None) -> float:
    """Seconds before the next attempt, after so many in a row that failed, the last one so."""
    wait = None if problem is None else wait_of(problem)
    if wait is not None:
        return wait
    longest = min(_FIRST_PAUSE * 2 ** min(failures, 10), _LONGEST_PAUSE)
    return longest * random.SystemRandom().uniform(0.5, 1)  # spreads retries


class TaskWatch:
    """Looks at a task until somebody has seen enough: ``async with TaskWatch(source, task) as watch``.

    ``task`` is how it was last. `wake` makes it look at once. Who holds `turn` is not crossed by a look: there are
    servers that take a task for completed, without a result, while they take in an answer to its question.
    """

    def __init__(self, source: TaskSource, task: DetailedTask, *, at_once: bool = False) -> None:
        self._source = source
        self._task = task
        self._told: DetailedTask | None = None
        self._woken = asyncio.Event()
        self._listens = False
        self._listener: asyncio.Task[None] | None = None
        self._looked = 0.0
        self._failures = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.turn = asyncio.Lock()
        self._problem: DovetailError | None = None
        self._begun = asyncio.get_running_loop().time()
        if at_once:
            self._woken.set()

    async def __aenter__(self) -> "TaskWatch":
        if self._source.era == "stateless":
            self._listener = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait((self._listener,))

    def wake(self) -> None:
        """Look soon: something may have changed."""
        self._woken.set()

    async def next(self) -> DetailedTask:
        """How the task is, once there is a reason to look. Raises `TaskLost`, and what does not pass."""
        while True:
            seconds = BACKSTOP if self._listens else interval_of(self._task)
            if self._failures:
                seconds = pause_after(self._failures, self._problem)
            await self._waited(seconds)
            told, self._told = self._told, None
            if told is not None:
                self._task = told
                return told
            async with self.turn:
                self._idle.clear()
                try:
                    self._task = await fetch(self._source, self._task.task_id)
                except DovetailError as problem:
                    self._missed(problem)
                    continue
                finally:
                    self._idle.set()
                    self._looked = asyncio.get_running_loop().time()
            self._failures = 0
            return self._task

    async def settled(self) -> None:
        """Let a look that is under way come to its end, for a moment: some servers do not survive that a request is
        cancelled while they answer it.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_MOMENT):
                await self._idle.wait()

    async def _waited(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        if self._told is None:  # however often it is woken, it asks no more often than this
            left = self._looked + SHORTEST_POLL - asyncio.get_running_loop().time()
            if left > 0:
                await asyncio.sleep(left)
        self._woken.clear()

    def _missed(self, problem: DovetailError) -> None:
        """It could not be found out how the task is. Raises what will not pass."""
        self._failures += 1
        self._problem = problem
        refused = isinstance(problem, RPCError) and wait_of(problem) is None and self._failures >= FAILURES
        if refused or not is_passing(problem):
            raise problem
        ttl = self._task.ttl_ms
        if ttl is not None and asyncio.get_running_loop().time() > self._begun + ttl / 1000:
            raise problem  # the server may have forgotten it by now

    async def _listen(self) -> None:
        """Hear of changes as long as the server tells of them; where it does not, asking has to do."""
        failures = 0
        while True:
            try:
                async with self._source.listen(TASK_CHANGES, [self._task.task_id]) as changes:
                    failures, self._listens = 0, True
                    self._woken.set()
                    async for change in changes:
                        self._heard(change)
            except (RPCError, LocalProtocolError, RemoteProtocolError):
                return
            except DovetailError as problem:
                if not is_passing(problem):
                    return
            finally:
                if self._listens:
                    self._listens = False
                    self._woken.set()
            failures += 1
            await asyncio.sleep(pause_after(failures))

    def _heard(self, change: Change) -> None:
        """The server told of the task. What can't be read is looked up."""
        try:
            found = _read(change.params)
        except DECODE_ERRORS:
            found = None
        has_ended = self._told is not None and self._told.status in ENDED
        if found is not None and found.task_id == self._task.task_id and not has_ended:
            self._told = found  # what was said before the end may come after it
        self._woken.set()


_read: Final = reader(DetailedTask).keep
