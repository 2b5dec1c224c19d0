"""Waiting for a task to its end, for a call that was answered with one: its questions answered, its result given.

A question is asked once, by its key, of the client's own handlers. The task is looked at meanwhile: when it ends
without the answers, nobody is kept waiting for them. Whoever no longer waits has the server cancel the task, unless it
was started to be waited for later.
Specification: the extension io.modelcontextprotocol/tasks, "Task Update Requests", "Task Cancellation"; 2025-11-25,
basic/utilities/tasks, "Retrieving Task Results".
"""

import asyncio
from types import TracebackType
from typing import Any, Final

from msgspec import UNSET, Raw, Struct, UnsetType, field

from dovetail.errors import (
    DovetailError,
    InvalidParams,
    InvalidRequest,
    RemoteProtocolError,
    RequestTimeout,
    RPCError,
    rpc_error,
)
from dovetail.extensions import InputRequest, Resolving
from dovetail.types import DECODE_ERRORS, ProgressNotice, reader

from .errors import TaskCancelled
from .names import CANCEL, RESULT, TASK_ID, UPDATE
from .notified import Notified
from .watching import FAILURES, TaskWatch, fetch, is_passing, pause_after, wait_of
from .wire import ENDED, DetailedTask

__all__ = ["PARTING", "follow", "over"]

MAX_OPEN: Final = 64
"""Questions that a task may ask at once."""
MAX_ASKED: Final = 1024
"""Questions that it may ask in all."""
PARTING: Final = 2.0
"""Seconds that somebody who no longer waits gives the server to hear that."""
_COMPLETE: Final = "complete"


class _Outline(Struct, frozen=True):
    """Of a result: what it is, and whether there is one at all."""

    result_type: Any = field(default=None, name="resultType")
    content: Raw | UnsetType = UNSET


_outline: Final = reader(_Outline).read


async def follow(client: Resolving, task: DetailedTask, notified: Notified, *, resumed: bool = False) -> Raw:
    """The result of the call that became this task. ``resumed``: it was started before, so it is not known how it is,
    and who no longer waits leaves it as it is.

    Raises the error that it failed with, `TaskCancelled`, `TaskLost`, `RemoteProtocolError`, and what the client's
    handlers raise.
    """
    try:
        async with TaskWatch(client, task, at_once=resumed or task.status != "working") as watch:
            with notified.of(task.task_id, watch.wake):
                if client.era == "stateful":
                    return await _by_result(client, task, watch)
                return await _by_status(client, task, watch)
    except (asyncio.CancelledError, _CannotAnswer) as end:
        if not resumed:
            await _give_up(client, task.task_id)
        if isinstance(end, _CannotAnswer):
            raise end.problem from None
        raise


class _CannotAnswer(Exception):
    """A question of the task's can't be answered."""

    def __init__(self, problem: Exception) -> None:
        self.problem = problem


class _Reports:
    """Tells a call what changes of its task."""

    def __init__(self, client: Resolving) -> None:
        self._client = client
        self._last: tuple[str, object] = ("working", UNSET)

    def see(self, task: DetailedTask) -> None:
        seen = (task.status, task.status_message)
        if seen != self._last:
            self._last = seen
            message = task.status if task.status_message is UNSET else task.status_message
            self._client.progress(message)

    def reached(self, notice: ProgressNotice) -> None:
        """The server told of progress in numbers."""
        self._client.progress(reached=notice)


async def _by_status(client: Resolving, task: DetailedTask, watch: TaskWatch) -> Raw:
    """The extension: all that there is to know stands in the task."""
    reports = _Reports(client)
    first = True
    async with _OpenQuestions(client, task.task_id, watch) as answers:
        while True:
            reports.see(task)
            if task.status in ENDED and not first:  # what a task is made with has no result
                return _end_of(task)
            first = False
            if answers.problem is not None:
                raise _CannotAnswer(answers.problem)
            if task.status == "input_required" and task.input_requests is not UNSET:
                answers.take(task.input_requests)
            task = await watch.next()


def _end_of(task: DetailedTask) -> Raw:
    shown = repr(task.task_id[:64])
    if task.status == "cancelled":
        raise _cancelled(task)
    if task.status == "failed":
        if task.error is UNSET:
            raise RemoteProtocolError(
                f"the task {shown} failed, and the server does not say by which error{_said(task)}"
            )
        data: Any = None if task.error.data is UNSET else task.error.data
        raise rpc_error(task.error.code, task.error.message, data)
    if task.result is UNSET:
        raise RemoteProtocolError(f"the task {shown} is completed, and the server gives no result")
    return _result(task.result, task.task_id)


def _result(result: Raw, task: str) -> Raw:
    """What a call would have given. Raises `RemoteProtocolError` for what is no final result."""
    try:
        kind = _outline(result).result_type
    except DECODE_ERRORS as problem:
        raise RemoteProtocolError(f"the result of the task {task[:64]!r} can't be read: {problem}") from None
    if kind not in (None, _COMPLETE):
        raise RemoteProtocolError(f"the result of the task {task[:64]!r} is of the type {str(kind)[:64]!r}")
    return result


def _cancelled(task: DetailedTask) -> TaskCancelled:
    return TaskCancelled(f"the task {task.task_id[:64]!r} was cancelled{_said(task)}", task=task.task_id)


def _said(task: DetailedTask) -> str:
    return "" if task.status_message is UNSET else f": {task.status_message}"


async def _by_result(client: Resolving, task: DetailedTask, watch: TaskWatch) -> Raw:
    """2025-11-25: ``tasks/result`` is answered when the task has ended, and brings its questions until then."""
    reports = _Reports(client)
    failures, last, has_ended = 0, None, False
    while True:
        request = client.request(RESULT, {TASK_ID: task.task_id}, into=Raw, progress=reports.reached)
        waiting = asyncio.create_task(request)
        try:
            await _watched(waiting, watch, reports)
            return await _given(client, task.task_id, Raw(bytes(waiting.result())))
        except RPCError as problem:
            last = problem
            if wait_of(problem) is None:  # who asks too often is told nothing else by asking once more
                task = await fetch(client, task.task_id)
                if task.status == "cancelled":
                    raise _cancelled(task) from problem
                if not has_ended and isinstance(problem, (InvalidParams, InvalidRequest)):
                    has_ended = (
                        True  # not every server waits in the request: ask again when there must be a result
                    )
                    if task.status not in ENDED:
                        await _until_ended(watch, reports)
                    continue
                if task.status in ENDED or not is_passing(problem) or failures + 1 >= FAILURES:
                    raise
            failures += 1
        except DovetailError as problem:
            if not is_passing(problem):
                raise
            last, failures = problem, 0 if isinstance(problem, RequestTimeout) else failures + 1
        finally:
            await over(waiting)
        if failures:
            await asyncio.sleep(pause_after(failures, last))


async def _given(client: Resolving, task: str, result: Raw) -> Raw:
    """What ``tasks/result`` gave. Some servers give an empty result for a task that came to none, where the error of
    the call belongs: then how it ended says it.
    """
    result = _result(result, task)
    if _outline(result).content is UNSET:
        ended = await fetch(client, task)
        if ended.status in ("failed", "cancelled"):
            return _end_of(ended)
    return result


async def _until_ended(watch: TaskWatch, reports: _Reports) -> None:
    while True:
        task = await watch.next()
        reports.see(task)
        if task.status in ENDED:
            return


async def _watched(waiting: "asyncio.Task[Raw]", watch: TaskWatch, reports: _Reports) -> None:
    """Until the result is there: what changes is told. Raises `TaskCancelled` for a task that will have none."""
    while not waiting.done():
        looking = asyncio.create_task(watch.next())
        try:
            await asyncio.wait((waiting, looking), return_when=asyncio.FIRST_COMPLETED)
            if not looking.done() or waiting.done():
                continue
            task = looking.result()
            reports.see(task)
            if task.status == "cancelled":
                raise _cancelled(task)
            if task.status in ENDED:
                await asyncio.wait((waiting,))
        finally:
            if waiting.done():
                await watch.settled()
            await over(looking)


class _OpenQuestions:
    """Has the questions of a task answered, each once. ``problem``: why one could not be."""

    def __init__(self, client: Resolving, task: str, watch: TaskWatch) -> None:
        self._client = client
        self._task = task
        self._watch = watch
        self._seen: set[str] = set()
        self._open: set[asyncio.Task[None]] = set()
        self.problem: Exception | None = None

    async def __aenter__(self) -> "_OpenQuestions":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._open:
            each.cancel()
        if self._open:
            await asyncio.wait(self._open)

    def take(self, asked: dict[str, InputRequest]) -> None:
        """What the task asks now. Raises `RemoteProtocolError` for more than anybody would ask."""
        new = {key: request for key, request in asked.items() if key not in self._seen}
        if len(asked) > MAX_OPEN or len(self._seen) + len(new) > MAX_ASKED:
            raise _CannotAnswer(
                RemoteProtocolError(
                    f"the task {self._task[:64]!r} asks more than {MAX_OPEN} questions at once, or {MAX_ASKED} in all"
                )
            )
        if new:
            self._seen.update(new)
            answering = asyncio.create_task(self._answer(new))
            self._open.add(answering)
            answering.add_done_callback(self._open.discard)

    async def _answer(self, asked: dict[str, InputRequest]) -> None:
        try:
            responses = await self._client.answer(asked)
            await self._send({TASK_ID: self._task, "inputResponses": responses})
        except Exception as problem:  # noqa: BLE001 - whatever a handler raises is the caller's, who is told by `problem`
            self.problem = self.problem or problem
        self._watch.wake()

    async def _send(self, update: dict[str, Any]) -> None:
        """Send answers; again where nobody knows whether they arrived, since each counts once."""
        failures = 0
        while True:
            try:
                async with self._watch.turn:
                    await self._client.request(UPDATE, update, into=dict[str, Any])
                return
            except DovetailError as problem:
                if isinstance(problem, RPCError) or not is_passing(problem):
                    raise
            failures += 1
            await asyncio.sleep(pause_after(failures))


async def _give_up(client: Resolving, task: str) -> None:
    """Nobody waits any more: have the server stop, without waiting long for it to hear that."""
    telling = asyncio.create_task(client.request(CANCEL, {TASK_ID: task}, into=dict[str, Any]))
    try:
        await asyncio.wait((telling,), timeout=PARTING)
    finally:
        await over(telling)


async def over(work: "asyncio.Task[Any]") -> None:
    """End something that was begun; what it raises is not asked for."""
    work.cancel()
    await asyncio.wait((work,))
    if not work.cancelled():
        work.exception()
