"""What handlers ask clients of 2025-11-25 that take questions as tasks: asked so, looked at, fetched, given up.

Theory of operation. A question that is a request holds its stream until the person has answered. One that is a task is
answered at once with a handle; then the client is asked how it is, as often as it told, and in the end what came of it.
The handler sees nothing of that: what stands in its call's channel (`Channel.asking`) asks in its stead. A client tells
of a change, or does not; what it tells is looked up.

Whoever no longer waits has the client cancel the task. Where the client was not told its id yet, that is waited for, in
vain only where the client does not answer at all: then the request is taken back, as there is no task to be cancelled.

Decisions. A task that the client cancelled is a question that was dismissed, one that it has forgotten is a question
without an answer. A client that answers at once, though it was to make a task, has answered.

Specification: 2025-11-25, basic/utilities/tasks, "Task-Augmented Sampling Request"; basic/utilities/cancellation.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeVar, cast

from msgspec import Raw, Struct

from dovetail.errors import Dismissed, FeatureUnavailable, ToolError, Unanswered
from dovetail.extensions import Call, Change, ChangeType, Channel, Encoded, Handler, Result
from dovetail.revisions import Era, Feature
from dovetail.types import DECODE_ERRORS, ClientCapabilities, encode, reader

from .errors import TaskLost
from .following import PARTING, over
from .names import CANCEL, RESULT, TASK_ID
from .notified import Notified
from .watching import TaskWatch, detailed, fetch
from .wire import ENDED, DetailedTask, StatefulTask

__all__ = ["Ask", "TaskRequestor", "takes"]

T = TypeVar("T")
Ask = Callable[[str, bytes], Awaitable[Raw]]
"""Sends a request to the client, given its method and parameters, and gives the result; as `Channel.ask` does."""


def takes(capabilities: ClientCapabilities, method: str) -> bool:
    """Whether a client announced that it takes such requests as tasks."""
    kind, _, what = method.partition("/")
    found: Any = capabilities.tasks
    for name in ("requests", kind, what):
        if not isinstance(found, dict):
            return False
        found = cast("dict[str, Any]", found).get(name)
    return found is not None


class TaskRequestor:
    """Asks clients by tasks what handlers ask them. ``ttl``: seconds that such a task is kept and waited for; None: all
    is asked by plain requests. ``notified``: hears what clients tell.
    """

    def __init__(self, ttl: float | None, notified: Notified) -> None:
        self._ttl = ttl
        self._notified = notified

    @property
    def asks(self) -> bool:
        """Whether anything is asked by tasks."""
        return self._ttl is not None

    def around(self, call: Call, channel: Channel, handler: Handler) -> Awaitable[Result | Encoded]:
        """A middleware: what the call asks is asked so. What a task asks is put by who waits for it."""
        if channel.durable is None and call.profile.has(Feature.TASKS):
            channel.asking = self.asking(channel, call.peer.capabilities)
        return handler(call, channel)

    def asking(self, channel: Channel, capabilities: ClientCapabilities) -> Ask:
        """What asks the client at the end of that channel."""
        ask = channel.asking or channel.ask
        if self._ttl is None or capabilities.tasks is None:
            return ask
        return _TaskQuestions(ask, capabilities, self._ttl, self._notified).ask


class _Created(Struct, frozen=True):
    """What a request is answered with that became a task; no task: it was answered at once."""

    task: StatefulTask | None = None


_created: Final = reader(_Created)


class _TaskReceiver:
    """A client as `TaskWatch` asks it."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    @property
    def era(self) -> Era:
        """Servers send requests in the stateful era alone."""
        return "stateful"

    async def request(self, method: str, params: Mapping[str, Any], *, into: type[T]) -> T:
        """Send a request and read its result. Raises `ToolError` for what can't be read."""
        answer = await self._ask(method, encode(params))
        try:
            return reader(into).keep(answer)
        except DECODE_ERRORS as problem:
            raise ToolError(
                f"what the client says of its task can't be read: {str(problem)[:200]}"
            ) from problem

    def listen(
        self, change: ChangeType, subjects: Sequence[str]
    ) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Nothing of a client's can be listened for."""
        raise FeatureUnavailable(f"a client tells of no {change.kind} by subscription")


class _TaskQuestions:
    """The questions of one call. ``ask`` sends a request to its client, which can do what ``capabilities`` says."""

    def __init__(self, ask: Ask, capabilities: ClientCapabilities, ttl: float, notified: Notified) -> None:
        self._ask = ask
        self._capabilities = capabilities
        self._ttl = ttl
        self._notified = notified
        self._source = _TaskReceiver(ask)

    async def ask(self, method: str, params: bytes) -> Raw:
        """Ask, by a task where the client takes one. Raises as `Channel.ask` does, and `ToolError`, `Dismissed` and
        `Unanswered`.
        """
        if not takes(self._capabilities, method):
            return await self._ask(method, params)
        answer = await self._begun(method, params)
        task = _task_in(answer)
        if task is None:
            return answer
        try:
            async with asyncio.timeout(self._ttl):
                return await self._followed(method, task)
        except TaskLost:
            raise Unanswered(f"the client has forgotten what it was asked by {method}") from None
        except TimeoutError:
            await self._give_up(task.task_id)
            raise Unanswered(f"{method} was not answered within {self._ttl:g} seconds") from None
        except asyncio.CancelledError:
            await self._give_up(task.task_id)
            raise

    async def _begun(self, method: str, params: bytes) -> Raw:
        """What the client answers that is to make a task."""
        members = {**_members.read(params), "task": {"ttl": round(self._ttl * 1000)}}
        asking = asyncio.ensure_future(self._ask(method, encode(members)))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            await asyncio.wait((asking,), timeout=PARTING)
            try:
                if asking.done() and not asking.cancelled() and asking.exception() is None:
                    task = _task_in(asking.result())
                    if task is not None:
                        await self._give_up(task.task_id)
            finally:
                await over(asking)
            raise

    async def _followed(self, method: str, task: DetailedTask) -> Raw:
        """What came of a task, once it has ended."""
        async with TaskWatch(self._source, task) as watch:
            with self._notified.of(task.task_id, watch.wake):
                while True:
                    if task.status == "cancelled":
                        raise Dismissed(f"the client cancelled what it was asked by {method}")
                    if task.status in ENDED:
                        return await self._ask(RESULT, encode({TASK_ID: task.task_id}))
                    if task.status == "input_required":
                        try:
                            return await self._ask(RESULT, encode({TASK_ID: task.task_id}))
                        except Unanswered:  # it takes longer than a request may
                            task = await fetch(self._source, task.task_id)
                            continue
                    task = await watch.next()

    async def _give_up(self, task: str) -> None:
        """Nobody waits any more: have the client stop, without waiting long for it to hear that."""
        if "cancel" not in (self._capabilities.tasks or {}):
            return
        telling = asyncio.ensure_future(self._ask(CANCEL, encode({TASK_ID: task})))
        try:
            await asyncio.wait((telling,), timeout=PARTING)
        finally:
            await over(telling)


def _task_in(answer: Raw) -> DetailedTask | None:
    """The task that a client made; None for an answer. Raises `ToolError` for what can't be read."""
    try:
        made = _created.read(answer).task
    except DECODE_ERRORS as problem:
        raise ToolError(f"what the client answered can't be read: {str(problem)[:200]}") from problem
    return None if made is None else detailed(made)


_members: Final = reader(dict[str, Raw])
