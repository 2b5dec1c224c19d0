"""Tasks that a server of 2025-11-25 makes of what it asks a client: the person, or the model, takes its time.

The handler is asked at once and runs on; the server is told of a task, asks how it is, and fetches what came of it.
Tasks belong to the connection that they were asked on: another one sees none of them, and they end with it.
Specification: 2025-11-25, basic/utilities/tasks; client/sampling, client/elicitation.
"""

import asyncio
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from msgspec import UNSET, to_builtins
from msgspec.structs import replace

from dovetail.errors import DovetailError, InternalError, InvalidParams, RPCError
from dovetail.extensions import Asked, Call, ExtensionQuestion, Result
from dovetail.types import ClientCapabilities

from .names import CANCEL, GET, LIST, META_RELATED, NOTIFY_STATUS, QUESTIONS, RESULT, TASK_ID
from .wire import ENDED, StatefulTask, TaskStatus, timestamp

__all__ = ["ReceivedTasks", "announced"]

MOST: Final = 64
"""Tasks of one connection that are kept at a time; a further one is refused."""
TTL: Final = 3600.0
LONGEST_TTL: Final = 24 * 3600.0
"""Seconds that a task is kept from its beginning on: where the server does not say, and at most."""
POLL: Final = 1.0
"""Seconds between two looks that servers are advised to leave."""
PAGE: Final = 50


def announced(capabilities: ClientCapabilities) -> Mapping[str, Any]:
    """What a client says of tasks, by what it can be asked."""
    requests: dict[str, Any] = {}
    if capabilities.sampling is not None:
        requests["sampling"] = {"createMessage": {}}
    if capabilities.elicitation is not None:
        requests["elicitation"] = {"create": {}}
    return {"tasks": {"list": {}, "cancel": {}, "requests": requests}} if requests else {}


class _Received:
    """One task. ``work`` runs until it has ended."""

    def __init__(self, number: int, ttl: float) -> None:
        self.id = secrets.token_urlsafe(24)
        self.number = number
        self.ttl = ttl
        self.status: TaskStatus = "working"
        self.message = ""
        self.result: Result | None = None
        self.error: RPCError | None = None
        self.ended = asyncio.Event()
        self.work: asyncio.Task[None] | None = None
        self.expires = asyncio.get_running_loop().time() + ttl
        self._created = self._updated = time.time()

    def end(self, status: TaskStatus, message: str = "") -> None:
        """Settle how it ended; the first to say so is right."""
        if self.status not in ENDED:
            self.status, self.message, self._updated = status, message, time.time()
            self.ended.set()

    def shown(self) -> dict[str, Any]:
        """As it travels."""
        return to_builtins(
            StatefulTask(
                task_id=self.id,
                status=self.status,
                created_at=timestamp(self._created),
                last_updated_at=timestamp(self._updated),
                ttl=round(self.ttl * 1000),
                status_message=self.message or UNSET,
                poll_interval=round(POLL * 1000),
            )
        )


class _OfConnection:
    """The tasks of one connection."""

    def __init__(self) -> None:
        self._tasks: dict[str, _Received] = {}
        self._made = 0

    def make(self, ttl: float) -> _Received:
        """A new task. Raises `InternalError` where there are too many."""
        self._forget_expired()
        if len(self._tasks) >= MOST:
            raise InternalError(
                f"the client keeps {MOST} tasks at a time: wait until one of them has expired"
            )
        self._made += 1
        task = _Received(self._made, ttl)
        self._tasks[task.id] = task
        return task

    def find(self, call: Call) -> _Received:
        """The task that a request is about. Raises `InvalidParams`."""
        self._forget_expired()
        found = self._tasks.get(cast("str", call.members.get(TASK_ID)))
        if found is None:
            raise InvalidParams("there is no such task: it has expired, or never was")
        return found

    def after(self, number: int) -> list[_Received]:
        """The tasks that were made after one, the oldest first."""
        self._forget_expired()
        return [each for each in self._tasks.values() if each.number > number]

    def _forget_expired(self) -> None:
        now = asyncio.get_running_loop().time()
        for each in [each for each in self._tasks.values() if each.expires <= now]:
            del self._tasks[each.id]
            if each.work is not None:
                each.work.cancel()


class ReceivedTasks:
    """What one value of tasks() answers at clients."""

    def __init__(self) -> None:
        self._by_connection: WeakKeyDictionary[Any, _OfConnection] = WeakKeyDictionary()

    def questions(self, revisions: tuple[str, ...]) -> list[ExtensionQuestion]:
        """The requests of servers that are answered here."""
        own = {GET: self.get, RESULT: self.result, CANCEL: self.cancel, LIST: self.list}
        asked = dict.fromkeys(QUESTIONS, self.ask)
        return [
            ExtensionQuestion(name=name, answer=answer, revisions=revisions)
            for name, answer in (asked | own).items()
        ]

    async def ask(self, call: Call, asked: Asked) -> Result:
        """A question: answered at once, or as a task if the server wants one and the client declared that."""
        wanted = call.members.get("task")
        if not isinstance(wanted, dict) or not _is_declared(asked.capabilities, call.method):
            return _related(await asked.answer(call), call.meta.get(META_RELATED))
        task = self._of(asked).make(_ttl(cast("dict[str, Any]", wanted).get("ttl")))
        shown = task.shown()
        task.work = asked.run(_worked(task, call, asked))
        return Result(extra={"task": shown})

    async def get(self, call: Call, asked: Asked) -> Result:
        """How a task is."""
        return Result(extra=self._of(asked).find(call).shown())

    async def result(self, call: Call, asked: Asked) -> Result:
        """What came of a task, once it has ended."""
        task = self._of(asked).find(call)
        await task.ended.wait()
        if task.result is None:
            raise task.error or InternalError("the task was cancelled")
        return _related(task.result, {TASK_ID: task.id})

    async def cancel(self, call: Call, asked: Asked) -> Result:
        """Stop a task. Raises `InvalidParams` for one that has ended."""
        task = self._of(asked).find(call)
        if task.status in ENDED:
            raise InvalidParams(f"the task has ended already: it is {task.status}")
        task.end("cancelled", "The task was cancelled by request.")
        if task.work is not None:
            task.work.cancel()
        return Result(extra=task.shown())

    async def list(self, call: Call, asked: Asked) -> Result:
        """All tasks of the connection, page by page. Raises `InvalidParams` for a cursor that is none."""
        found = self._of(asked).after(_number(call.members.get("cursor")))
        page: dict[str, Any] = {"tasks": [each.shown() for each in found[:PAGE]]}
        if len(found) > PAGE:
            page["nextCursor"] = urlsafe_b64encode(b"%d" % found[PAGE - 1].number).decode()
        return Result(extra=page)

    def _of(self, asked: Asked) -> _OfConnection:
        return self._by_connection.setdefault(asked.connection, _OfConnection())


async def _worked(task: _Received, call: Call, asked: Asked) -> None:
    """Have the question answered, and tell the server when that is done."""
    try:
        result = await asked.answer(call)
    except RPCError as problem:
        task.error = problem
        task.end("failed", problem.message)
    except asyncio.CancelledError:
        task.end("cancelled")
        raise
    except Exception:  # noqa: BLE001 - what a handler raises was logged where it was asked
        task.error = InternalError(f"the client could not answer {call.method}")
        task.end("failed", task.error.message)
    else:
        if task.status not in ENDED:
            task.result = result
        task.end("completed")
    with suppress(DovetailError):  # whoever made it asks in any case
        await asked.notify(NOTIFY_STATUS, task.shown())


def _is_declared(capabilities: ClientCapabilities, method: str) -> bool:
    kind, _, what = method.partition("/")
    found: Any = (capabilities.tasks or {}).get("requests", {})
    return what in found.get(kind, {})


def _related(result: Result, related: Any) -> Result:
    """An answer that says of which task it is, if it is of any."""
    return result if related is None else replace(result, meta={**(result.meta or {}), META_RELATED: related})


def _ttl(wanted: object) -> float:
    """Seconds that a task is kept, by what the server asked for (milliseconds)."""
    if isinstance(wanted, (int, float)) and not isinstance(wanted, bool) and wanted > 0:
        return min(wanted / 1000, LONGEST_TTL)
    return TTL


def _number(cursor: object) -> int:
    if cursor is None:
        return 0
    try:
        return int(urlsafe_b64decode(cast("str", cursor).encode("ascii")))
    except (ValueError, AttributeError):
        raise InvalidParams("this is no cursor that the client gave") from None
