"""How a server answers: which calls become tasks, and the methods about them, in both vocabularies.

Theory of operation. With the extension the server decides: a tool that may run as a task does so for every client that
declared the extension with its request. In 2025-11-25 the client decides, by ``params.task``. In earlier revisions
there are no tasks, so a tool that has to be one can't be called.

Decisions. Cancelling a task that has ended is acknowledged by the extension (its acknowledgement promises nothing) and
refused by 2025-11-25. ``tasks/list`` is for callers that can be told apart: where nobody has a name, over HTTP, it is
neither announced nor answered. ``tasks/result`` of a task that was cancelled is answered with -32600, which says so.

Specification: the extension io.modelcontextprotocol/tasks; 2025-11-25, basic/utilities/tasks.
"""

import asyncio
import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final

from msgspec import UNSET, Raw, Struct

from dovetail.errors import InvalidParams, InvalidRequest, MethodNotFound, MissingCapability
from dovetail.extensions import (
    BodyReached,
    Call,
    Channel,
    Encoded,
    Handler,
    Middleware,
    Principal,
    ServedTool,
    Serving,
    TaskOptions,
)
from dovetail.revisions import Feature
from dovetail.stores import MemoryStore, Store, TaskRecord
from dovetail.types import DECODE_ERRORS, Result, encode, reader

from . import names, views
from .engine import TaskEngine
from .needs import lacking
from .notified import MAX_ID, Notified
from .polling import PollLimit
from .records import TaskData
from .requesting import TaskRequestor
from .runner import ServerTaskRunner
from .server_tasks import ServerTasks
from .submissions import Submissions
from .waiting import TaskWaiter
from .worker import TaskWorker
from .working_off import room_of

PAGE: Final = 100
_DECLARED: Final[dict[str, Any]] = {"extensions": {names.EXTENSION: {}}}
_MARK: Final = b'"task"'


class _TaskParam(Struct, frozen=True):
    """What 2025-11-25 says of the task that a call is to become; ``ttl`` in milliseconds."""

    ttl: float | None = None


class _Augmented(Struct, frozen=True):
    task: _TaskParam | None = None


class _About(Struct, frozen=True, rename="camel"):
    """The parameters of a method about one task."""

    task_id: str
    input_responses: dict[str, Raw] | None = None


class _Listing(Struct, frozen=True):
    cursor: str | None = None


_augmented: Final = reader(_Augmented)
_about: Final = reader(_About)
_listing: Final = reader(_Listing)


class TaskServer:
    """The server's half of tasks. Options: `dovetail.extensions.tasks.tasks`."""

    def __init__(
        self,
        *,
        store: Store | None,
        room: int,
        max_unended: int,
        lease: float,
        max_polls: int | None,
        requestor: TaskRequestor,
        notified: Notified,
        engine: TaskEngine | None,
    ) -> None:
        self._max_polls = max_polls
        self._polls: dict[asyncio.AbstractEventLoop, PollLimit] = {}
        self._requestor = requestor
        self._notified = notified
        self._store = store
        self._given = engine
        self._room = room
        self._max_unended = max_unended
        self._lease = lease
        self._engines: dict[asyncio.AbstractEventLoop, ServerTasks] = {}
        self._runners: dict[asyncio.AbstractEventLoop, ServerTaskRunner] = {}

    def lifespan(self, serving: Serving) -> AbstractAsyncContextManager[None]:
        """Serve and work as long as this lasts."""
        return self._live(serving)

    @asynccontextmanager
    async def _live(self, serving: Serving) -> AsyncGenerator[None]:
        loop = asyncio.get_running_loop()
        if loop in self._engines:
            raise RuntimeError("tasks() was given to two apps that run in one event loop: give each its own")
        store = self._store or serving.store
        room = room_of(self._room, store, serving)
        if store is None:  # what is begun is there as long as the app, through all of its lives
            store = self._store = MemoryStore()
        tasks = ServerTasks(serving, store, max_unended=self._max_unended)
        tasks.on_told = self._notified.wake
        runner = ServerTaskRunner(tasks, room=room, lease=self._lease)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(tasks.hearing())
            if self._given is None:
                submit = await stack.enter_async_context(TaskWorker(tasks).serve(runner))
                submissions = Submissions(tasks, runner, submit)
            else:
                submit = await stack.enter_async_context(self._given.serve(runner))
                submissions = Submissions(tasks, runner, submit)
                runner.on_place = submissions.next_of
                await stack.enter_async_context(submissions.sweeping())
            tasks.on_due = submissions.submit
            await stack.enter_async_context(runner.holding())
            self._engines[loop] = tasks
            self._runners[loop] = runner
            self._polls[loop] = PollLimit(self._max_polls, store, serving.name)
            try:
                yield
            finally:
                del self._engines[loop], self._runners[loop], self._polls[loop]

    @property
    def _engine(self) -> ServerTasks:
        return self._engines[asyncio.get_running_loop()]

    async def ending(self, seconds: float) -> None:
        """Let what runs come to an end that others can go on from, within so many seconds."""
        runner = self._runners.get(asyncio.get_running_loop())
        if runner is not None:
            await runner.finish(seconds)

    def capabilities(self, channel: Channel) -> dict[str, Any]:
        """What 2025-11-25 is told of tasks."""
        listed: dict[str, Any] = {"list": {}} if _is_known(channel) else {}
        return {"tasks": {**listed, "cancel": {}, "requests": {"tools": {"call": {}}}}}

    async def may_listen(self, principal: Principal, id: str) -> bool:
        """Whether a caller may hear of a task."""
        return await self._engine.may_listen(principal.key, id)

    # Becoming a task

    def around_tool(self, served: ServedTool) -> Middleware | None:
        """What stands around a tool."""
        options = served.task

        async def plain(call: Call, channel: Channel, handler: Handler) -> Result | Encoded:
            if channel.durable is None and _augmentation(call) is not None:
                raise MethodNotFound(f"the tool {served.tool.name!r} can't be called as a task")
            return await handler(call, channel)

        async def tasked(call: Call, channel: Channel, handler: Handler) -> Result | Encoded:
            if channel.durable is not None or options is None:
                return await handler(call, channel)
            return await self._begin(served, options, call, channel, handler)

        return plain if options is None else tasked

    async def _begin(
        self, served: ServedTool, options: TaskOptions, call: Call, channel: Channel, handler: Handler
    ) -> Result | Encoded:
        required = options.support == "required"
        if call.profile.declares_extensions:
            if names.EXTENSION in (call.peer.capabilities.extensions or {}):
                return await self._create_asked(served, options, call, channel, handler)
            if required:
                raise MissingCapability(
                    f"the tool {served.tool.name!r} runs as a task, and this client did not declare {names.EXTENSION}",
                    data={"requiredCapabilities": _DECLARED},
                )
            return await handler(call, channel)
        if not call.profile.has(Feature.TASKS):
            if required:
                raise InvalidRequest(
                    f"the tool {served.tool.name!r} runs as a task, and revision {call.profile.revision} has no tasks"
                )
            return await handler(call, channel)
        asked = _augmentation(call)
        if asked is None:
            if required:
                raise MethodNotFound(f"the tool {served.tool.name!r} can only be called as a task")
            return await handler(call, channel)
        if asked.ttl is not None and asked.ttl < 1:
            raise InvalidParams("the ttl of a task is at least 1 millisecond")
        ttl = None if asked.ttl is None else asked.ttl / 1000
        made = await self._engine.create(call, channel, served, options, ttl=ttl)
        return views.created_stateful(*made, options.immediate)

    async def _create_asked(
        self, served: ServedTool, options: TaskOptions, call: Call, channel: Channel, handler: Handler
    ) -> Result | Encoded:
        """A task for a call whose first questions are answered: what has to be asked before the tool begins is asked
        in rounds of the call itself ("SHOULD resolve all MRTR exchanges synchronously").
        """
        state = ""
        if served.asks_first:
            channel.stops_at_body = True
            try:
                return await handler(call, channel)
            except BodyReached as reached:
                state = reached.state
            finally:
                channel.stops_at_body = False
        return views.created(*await self._engine.create(call, channel, served, options, state=state))

    # Methods of both

    async def get(self, call: Call, channel: Channel) -> Result:
        """``tasks/get``."""
        record, data = await self._found(call, channel)
        if not call.profile.declares_extensions:
            return views.stateful(record, data)
        task = views.detailed(record, data)
        asked = {} if task.input_requests is UNSET else task.input_requests
        missing = lacking(asked.values(), call.peer.capabilities)
        if missing:
            raise MissingCapability(
                f"the task asks what this client did not declare that it can be asked: {' and '.join(missing)}",
                data={"requiredCapabilities": missing},
            )
        return task

    async def _found(self, call: Call, channel: Channel) -> tuple[TaskRecord, TaskData]:
        """The task that somebody looks at. Raises `RateLimited`, and as `ServerTasks.find` does."""
        record, data = await self._engine.find(_about_task(call).task_id, channel)
        await self._polls[asyncio.get_running_loop()].admit(record.id, data)
        return record, data

    async def cancel(self, call: Call, channel: Channel) -> Result:
        """``tasks/cancel``."""
        id = _about_task(call).task_id
        cancelled = await self._engine.cancel(id, channel)
        if call.profile.declares_extensions:
            return Result()
        if cancelled is None:
            record, _ = await self._engine.find(id, channel)
            raise InvalidParams(f"the task can't be cancelled: it has ended already, as {record.status!r}")
        return views.stateful(*cancelled)

    # Of the extension

    async def update(self, call: Call, channel: Channel) -> Result:
        """``tasks/update``."""
        about = _about_task(call)
        if about.input_responses is None:
            raise InvalidParams("the parameters of tasks/update are invalid: there are no inputResponses")
        await self._engine.answer(about.task_id, channel, about.input_responses)
        return Result()

    # Of 2025-11-25

    async def list(self, call: Call, channel: Channel) -> Result:
        """``tasks/list``."""
        if not _is_known(channel):
            raise MethodNotFound("this server lists tasks only for callers that it can tell apart")
        cursor = _read(_listing, call).cursor
        found = await self._engine.list(channel, None if cursor is None else _after(cursor), PAGE + 1)
        tasks = [views.stateful(each, TaskData.of(each)).to_wire() for each in found[:PAGE]]
        if len(found) <= PAGE:
            return views.TasksResult(tasks=tasks)
        return views.TasksResult(
            tasks=tasks, next_cursor=_cursor(found[PAGE - 1].created, found[PAGE - 1].id)
        )

    async def result(self, call: Call, channel: Channel) -> Result | Encoded:
        """``tasks/result``: waits until the task has ended, and asks meanwhile what it asks."""
        await self._found(call, channel)
        able = call.peer.capabilities
        ask = self._requestor.asking(channel, able)
        return _outcome(
            *await TaskWaiter(self._engine, _about_task(call).task_id, channel, able, ask).ended()
        )

    def told(self, params: dict[str, Any]) -> Awaitable[None] | None:
        """A client told of a task of its own: who waits for it looks at once, in whatever process that is."""
        id = params.get(names.TASK_ID)
        if not isinstance(id, str) or not 1 <= len(id) <= MAX_ID or self._notified.wake(id):
            return None
        engine = self._engines.get(asyncio.get_running_loop())
        return engine.pass_on(id) if engine is not None and self._requestor.asks else None


_place: Final = reader(tuple[float, str])


def _augmentation(call: Call) -> _TaskParam | None:
    """What 2025-11-25 says of the task that a call is to become; None for a plain call. Raises `InvalidParams`."""
    if not call.profile.has(Feature.TASKS):
        return None
    raw = call.raw
    return _read(_augmented, call).task if _MARK in bytes(raw) else None


def _read(kind: Any, call: Call) -> Any:
    try:
        return kind.read(call.raw or Raw(b"{}"))
    except DECODE_ERRORS as problem:
        raise InvalidParams(f"the parameters of {call.method} are invalid: {str(problem)[:200]}") from None


def _about_task(call: Call) -> _About:
    about: _About = _read(_about, call)
    return about


def _is_known(channel: Channel) -> bool:
    """Whether callers can be told apart here: they have names, or there is but one."""
    return not channel.principal.is_anonymous or channel.transport != "http"


def _cursor(created: float, id: str) -> str:
    return urlsafe_b64encode(encode((created, id))).decode()


def _after(cursor: str) -> tuple[float, str]:
    """The place that a page follows. Raises `InvalidParams`."""
    try:
        found = _place.read(urlsafe_b64decode(cursor.encode()))
    except DECODE_ERRORS:
        found = (0.0, "")
    if not math.isfinite(found[0]) or not 1 <= len(found[1]) <= 512 or "\0" in found[1]:
        raise InvalidParams("the cursor is none that this server gave")
    return found


def _outcome(record: TaskRecord, data: TaskData) -> Result:
    """What the call came to. Raises the error that it came to."""
    if record.status == "completed":
        result = reader(Result).keep(data.result)
        extra = dict(result.extra or {})
        meta = {**(result.meta or {}), **views.related(record)}
        return Result(meta=meta, extra=extra)
    if data.error is not None:
        raise views.raised(data.error)
    raise InvalidRequest("the task was cancelled")
