"""Handles: a call that was started as a task, and is waited for later, here or in another process.

Specification: the extension io.modelcontextprotocol/tasks; 2025-11-25, basic/utilities/tasks.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, TypeVar, overload

import msgspec
from msgspec import UNSET, Struct

from dovetail.client import CallStatus, Client, ProgressHandler, Seconds, ToolResult
from dovetail.errors import FeatureUnavailable, InvalidParams, LocalProtocolError
from dovetail.extensions import Change, ChangeType
from dovetail.revisions import Era
from dovetail.types import DECODE_ERRORS, encode, reader

from .names import CANCEL, TASK_ID
from .orders import Order, Started, order
from .watching import TaskWatch, fetch
from .wire import ENDED, DetailedTask

__all__ = ["TaskHandle", "TaskStarter", "handle_of", "is_saved", "status_of"]

T = TypeVar("T")
_SAVED: Final = "dovetail-task-1."
"""What each saved handle begins with: what it is, and the form that it has."""


class _SavedHandle(Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a handle."""

    id: str
    tool: str


_read: Final = reader(_SavedHandle).keep


class ClientSource:
    """A client as `TaskWatch` asks it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def era(self) -> Era:
        """ "stateful" or "stateless"."""
        return self._client.era

    async def request(self, method: str, params: Mapping[str, Any], *, into: type[T]) -> T:
        """Send a request and read its result; over a new connection, if the one before was lost."""
        if self._client.state == "lost":
            await self._client.open()
        return await self._client.request(method, params, into=into)

    @asynccontextmanager
    async def listen(
        self, change: ChangeType, subjects: Sequence[str]
    ) -> AsyncGenerator[AsyncIterator[Change]]:
        """Hear of changes."""
        async with self._client.listen(further={change.filter: subjects}) as events:
            honoured: Any = (events.acknowledged.extra or {}).get(change.filter)
            if not isinstance(honoured, list) or any(each not in honoured for each in subjects):
                raise FeatureUnavailable(f"the server did not agree to tell of these {change.kind}")
            yield events


class TaskHandle:
    """A call that was started: see `dovetail.client.StartedCall`, which it is."""

    def __init__(
        self, client: Client, tool: str, task: DetailedTask | None, result: ToolResult | None = None
    ) -> None:
        self._client = client
        self._source = ClientSource(client)
        self._task = task
        self._result = result
        self._tool = tool

    @property
    def id(self) -> str:
        """The task's id; empty if the answer came at once, since the server made no task."""
        return "" if self._task is None else self._task.task_id

    @property
    def tool(self) -> str:
        """The tool that was called."""
        return self._tool

    def __await__(self) -> Generator[Any, None, ToolResult]:
        return self.result().__await__()

    @overload
    async def result(
        self, *, into: None = None, timeout: Seconds = UNSET, progress: ProgressHandler | None = None
    ) -> ToolResult: ...

    @overload
    async def result(
        self, *, into: type[T], timeout: Seconds = UNSET, progress: ProgressHandler | None = None
    ) -> T: ...

    async def result(
        self,
        *,
        into: type[Any] | None = None,
        timeout: Seconds = UNSET,
        progress: ProgressHandler | None = None,
    ) -> Any:
        """Wait for the result, and have the client's handlers answer what the task asks. ``into``: a type for its
        value.
        """
        if self._result is None:
            assert self._task is not None  # noqa: S101 - a handle has one or the other
            token = order.set(Order(resume=self._task))
            try:
                self._result = await self._client.call_tool(self._tool, timeout=timeout, progress=progress)
            finally:
                order.reset(token)
        return self._result if into is None else self._result.into(into)

    async def status(self) -> CallStatus:
        """How the task is now. Raises `TaskLost`, and as `Client.request` does."""
        if self._task is None:
            return CallStatus(id="", status="completed")
        return status_of(await fetch(self._source, self._task.task_id))

    async def updates(self) -> AsyncGenerator[CallStatus, None]:
        """How the task is, now and after each change, until it has ended. Raises as `status` does."""
        if self._task is None:
            yield await self.status()
            return
        last: CallStatus | None = None
        async with TaskWatch(self._source, self._task, at_once=True) as watch:
            while True:
                task = await watch.next()
                now = status_of(task)
                if now != last:
                    yield now
                if task.status in ENDED:
                    return
                last = now

    async def cancel(self) -> None:
        """Have the server stop the task. Does nothing for one that has ended. Raises `TaskLost` for an unknown one."""
        if self._task is None:
            return
        try:
            await self._source.request(CANCEL, {TASK_ID: self.id}, into=dict[str, Any])
        except InvalidParams:
            if (await fetch(self._source, self.id)).status not in ENDED:
                raise

    def save(self) -> str:
        """One word that `Client.reopen` goes on from. At some servers, who has it has what the task gives: keep it like
        a password. Raises `LocalProtocolError` if the answer came at once.
        """
        if self._task is None:
            raise LocalProtocolError("the answer came at once, so there is no task to come back to")
        data = encode(_SavedHandle(id=self.id, tool=self._tool))
        return _SAVED + urlsafe_b64encode(data).decode().rstrip("=")

    def __repr__(self) -> str:
        return f"<TaskHandle of {self._tool!r}: {f'task {self.id}' if self._task else 'answered at once'}>"


class TaskStarter:
    """Starts calls as tasks; what `Client.start_tool` and `Client.reopen` ask."""

    async def start(
        self,
        client: Client,
        name: str,
        arguments: Mapping[str, Any] | None,
        *,
        ttl: float | None,
        timeout: Seconds,
        meta: Mapping[str, Any] | None,
    ) -> TaskHandle:
        """Call a tool, and wait for no more than the task that the call becomes; or for its result, if it does not."""
        token = order.set(Order(ttl=ttl))
        try:
            result = await client.call_tool(name, arguments, timeout=timeout, meta=meta)
        except Started as made:
            return TaskHandle(client, name, made.task)
        finally:
            order.reset(token)
        return TaskHandle(client, name, None, result)

    def reopen(self, client: Client, text: str) -> TaskHandle:
        """A handle that was saved."""
        try:
            packed = text.removeprefix(_SAVED).encode("ascii") if is_saved(text) else b""
            saved = _read(urlsafe_b64decode(packed + b"=" * (-len(packed) % 4)))
        except (*DECODE_ERRORS, ValueError):
            saved = None
        if saved is None or not saved.id:
            raise LocalProtocolError(
                "this is no handle that was saved: it is what `save` of one gave, unchanged"
            )
        return handle_of(client, saved.id, saved.tool)


def is_saved(text: str) -> bool:
    """Whether a text looks like a handle that was saved."""
    return text.startswith(_SAVED)


def handle_of(client: Client, id: str, tool: str = "") -> TaskHandle:
    """A handle of a task that is known by its id alone. ``tool``: what was called, for errors, and to check the result
    by its schema.
    """
    task = DetailedTask(task_id=id, status="working", created_at="", last_updated_at="", ttl_ms=None)
    return TaskHandle(client, tool, task)


def status_of(task: DetailedTask) -> CallStatus:
    """A task as it is shown."""
    return CallStatus(
        id=task.task_id,
        status=task.status,
        message="" if task.status_message is UNSET else task.status_message,
        created=_moment(task.created_at),
        updated=_moment(task.last_updated_at),
        ttl=None if task.ttl_ms is None else task.ttl_ms / 1000,
        poll=None if task.poll_interval_ms is UNSET else task.poll_interval_ms / 1000,
    )


def _moment(text: str) -> datetime | None:
    try:
        return msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
