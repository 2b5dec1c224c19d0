"""Who waits for the result of a task, in 2025-11-25: asks meanwhile what the task asks, and says how far it is.

Theory of operation. ``tasks/result`` is a request that lasts until the task has ended, so its stream is where questions
of the task go out, and what the body says of its progress, with the token of the call that became the task. Of all that
wait, in whatever process, one puts the questions: who has the seat, a lease in the store. It is given up when that one
goes, and taken from one that stands still. What was answered elsewhere is taken back.

Decisions. A client that answers a question with an error ends the task with that error, as nothing in a recorded round
can say it. One that gives no answer, or can't be asked here, ends nothing but this request: the task goes on waiting.
Whether it can be asked, its own session says, and not that of the call that became the task.

Specification: 2025-11-25, basic/utilities/tasks, "Input Required Status", "Task Progress Notifications".
"""

import asyncio
import math
import time
from typing import Any, Final

from msgspec import Raw

from dovetail.errors import Dismissed, FeatureUnavailable, InvalidRequest, RPCError
from dovetail.extensions import Channel
from dovetail.security import get_logger
from dovetail.stores import Lease, StoreError, TaskRecord
from dovetail.types import ClientCapabilities, encode, reader

from . import names, views
from .needs import lacking
from .records import TaskData, TaskQuestion
from .requesting import Ask
from .server_tasks import SEAT, ServerTasks

log = get_logger("dovetail.tasks")

LOOK: Final = 10.0
"""Seconds after which who waits for a task looks, though nobody said that it changed: who changed it may have died."""


class TaskWaiter:
    """Somebody who waits for the end of a task over a channel. ``ask`` puts a question to the client, which can do what
    ``capabilities`` says.
    """

    def __init__(
        self, engine: ServerTasks, id: str, channel: Channel, capabilities: ClientCapabilities, ask: Ask
    ) -> None:
        self._engine = engine
        self._id = id
        self._channel = channel
        self._capabilities = capabilities
        self._put = ask
        self._seat: Lease | None = None
        self._sits = False
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._answered: set[str] = set()
        self._told = -math.inf
        self._status = ""

    async def ended(self) -> tuple[TaskRecord, TaskData]:
        """The task when it has ended. Raises `InvalidParams` for one that is not the caller's or has expired,
        `InvalidRequest` where it asks what nobody answers here, and `InternalError`.
        """
        async with self._engine.watching(self._id) as changed:
            try:
                while True:
                    changed.clear()
                    record, data = await self._engine.find(self._id, self._channel)
                    if record.ended:
                        return record, data
                    await self._say_reached(record, data)
                    await self._say_status(record, data)
                    await self._ask_what_is_open(record, data)
                    await self._next(changed, record)
            finally:
                await self._leave()

    async def _ask_what_is_open(self, record: TaskRecord, data: TaskData) -> None:
        """Put each open question, if this is who does; take back what is open no longer."""
        pending = {key: each for key, each in data.questions.items() if key not in data.responses}
        self._sits = bool(pending) and await self._has_seat()
        for key, task in self._asking.items():
            if key not in self._answered and not (self._sits and key in pending):
                task.cancel()
        if not self._sits:
            return
        for key, question in pending.items():
            before = self._asking.get(key)
            if before is None or (
                key not in self._answered and before.cancelled()
            ):  # the seat was another's meanwhile
                self._asking[key] = asyncio.create_task(self._ask(record, key, question))

    async def _has_seat(self) -> bool:
        """Whether it is this one who puts the questions. While the store is away all is left as it is."""
        if self._seat is None:
            self._seat = self._engine.seat(self._id)
        try:
            return await self._seat.acquire()
        except StoreError as problem:
            log.info("who puts the questions of a task can't be settled yet: %s", problem)
            return self._sits

    async def _ask(self, record: TaskRecord, key: str, question: TaskQuestion) -> None:
        missing = lacking([question.request], self._capabilities)
        if missing:
            raise InvalidRequest(
                f"the task waits for an answer that this client can't give: it did not declare {' and '.join(missing)}",
                data={"requiredCapabilities": missing},
            )
        params: dict[str, Any] = _members.read(question.request.params or Raw(b"{}"))
        params["_meta"] = {**(params.get("_meta") or {}), **views.related(record)}
        try:
            answer = await self._put(question.request.method, encode(params))
        except RPCError as problem:
            self._answered.add(key)
            await self._engine.fail(self._id, self._channel, problem)
        except (FeatureUnavailable, Dismissed) as problem:
            raise InvalidRequest(
                f"the task waits for an answer that was not given here: {problem}"
            ) from problem
        else:
            self._answered.add(key)
            await self._engine.answer(self._id, self._channel, {key: answer})

    async def _say_reached(self, record: TaskRecord, data: TaskData) -> None:
        """Say how far the work is, if the call that became the task gave a token for that."""
        reached, token = data.reached, data.call.progress_token
        if reached is None or token is None or reached.progress <= self._told:
            return
        self._told = reached.progress
        said = {names.PROGRESS_TOKEN: token, "_meta": views.related(record), **reached.members()}
        await self._say(names.NOTIFY_PROGRESS, said)

    async def _say_status(self, record: TaskRecord, data: TaskData) -> None:
        """Say that the status has changed since the waiting began."""
        before, self._status = self._status, record.status
        if before not in ("", record.status):
            await self._say(names.NOTIFY_STATUS, views.stateful(record, data).to_wire())

    async def _say(self, method: str, params: dict[str, Any]) -> None:
        message = encode({"jsonrpc": "2.0", "method": method, "params": params})
        if not self._channel.tell(message):
            await self._channel.emit(message)

    async def _next(self, changed: asyncio.Event, record: TaskRecord) -> None:
        """Wait for a change, or for the task to expire, which nobody tells; no longer than the seat is left alone where
        something is asked. Raises what a question came to.
        """
        most = SEAT / 3 if record.status == "input_required" else LOOK
        left = most if record.expires is None else min(most, max(0.0, record.expires - time.time()) + _GRACE)
        waiting = asyncio.create_task(changed.wait())
        asking = [each for each in self._asking.values() if not each.done()]
        try:
            await asyncio.wait({waiting, *asking}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        for each in self._asking.values():
            if each.done() and not each.cancelled():
                each.result()

    async def _leave(self) -> None:
        """Leave open questions to others who wait; what was answered is kept first."""
        for key, task in self._asking.items():
            if key not in self._answered:
                task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        if self._seat is None:
            return
        try:
            await self._seat.release()
        except StoreError as problem:
            log.info("others who wait for a task put its questions only later: %s", problem)
        await self._engine.tell_waiting(self._id)


_members: Final = reader(dict[str, Any])
_GRACE: Final = 0.01
"""Seconds after the end of a task at which it surely is no longer found."""
