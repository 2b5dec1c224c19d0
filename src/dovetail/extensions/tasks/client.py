"""The client's half of tasks: what `tasks` gives a client, so that a call waits through a task by itself.

In 2026-07-28 the server decides: what it answers with a task is followed to its end. In 2025-11-25 the client does: a
call of a tool that must be run as a task is sent as one, where the server declares that it takes such calls. Which
tools those are stands in the list of tools, which is asked for once. What starts a call to wait for it later, and what
waits for one that was started before, makes the very call that waits by itself, and leaves an `Order` for it.
Specification: the extension io.modelcontextprotocol/tasks; 2025-11-25, basic/utilities/tasks, "Tool-Level Negotiation".
"""

from typing import Any, Final, cast

from msgspec import Raw

from dovetail.errors import InvalidRequest, MethodNotFound, RemoteProtocolError, RPCError
from dovetail.extensions import (
    ExtensionNotice,
    PreparedCall,
    Resolving,
    ResultType,
)
from dovetail.revisions import PROFILES, Feature
from dovetail.types import ServerCapabilities

from .changes import TASK_CHANGES
from .following import follow
from .names import NOTIFY_STATUS, RESULT, RESULT_TASK, TOOLS_CALL
from .notified import Notified
from .orders import Order, Started, order
from .receiving import ReceivedTasks, announced
from .watching import detailed
from .wire import CreatedTask, DetailedTask

__all__ = ["client_parts"]

_WITH_TASKS: Final = tuple(each.revision for each in PROFILES.values() if each.has(Feature.TASKS))


class _Waiting:
    """What one value of tasks() does at clients."""

    def __init__(self) -> None:
        self.notified = Notified()

    async def prepare(self, client: Resolving, refused: RPCError | None) -> PreparedCall | None:
        """How a tool is called."""
        wanted = _order_of(client)
        if wanted is not None and wanted.resume is not None:
            return PreparedCall(resolve=self.resume)
        if not (client.has(RESULT) and _takes_tasks(client.capabilities)):
            return None
        if refused is not None and not isinstance(refused, (MethodNotFound, InvalidRequest)):
            return None
        tool = await client.tool(fresh=refused is not None)
        support = None if tool is None or tool.execution is None else tool.execution.task_support
        if support != "required" and (support != "optional" or wanted is None):
            return None
        ttl = None if wanted is None else wanted.ttl
        task = {} if ttl is None else {"ttl": round(ttl * 1000)}
        return PreparedCall(members={"task": task}, type=CreatedTask, resolve=self.created)

    async def created(self, client: Resolving, made: CreatedTask) -> Raw:
        """A call that was sent as a task has become one."""
        return await self.follow(client, detailed(made.task))

    async def follow(self, client: Resolving, task: DetailedTask) -> Raw:
        """A call has become a task: wait for it, unless it was only to be started."""
        if not task.task_id:
            raise RemoteProtocolError("the server made a task and gave it no id")
        if _order_of(client) is not None:
            raise Started(task)
        return await follow(client, task, self.notified)

    async def resume(self, client: Resolving, _: None) -> Raw:
        """Wait for a task that was started before."""
        wanted = _order_of(client)
        assert wanted is not None  # noqa: S101 - `prepare` saw it
        assert wanted.resume is not None  # noqa: S101 - as above
        return await follow(client, wanted.resume, self.notified, resumed=True)


class _LazyStarter:
    """Starts calls, by `handles`: whoever starts none imports none of that."""

    async def start(self, client: Any, name: str, arguments: Any, **options: Any) -> Any:
        """Start a call."""
        from .handles import TaskStarter

        return await TaskStarter().start(client, name, arguments, **options)

    def reopen(self, client: Any, text: str) -> Any:
        """Go on with one."""
        from .handles import TaskStarter

        return TaskStarter().reopen(client, text)


def client_parts(*notices: ExtensionNotice) -> dict[str, Any]:
    """The members of the `Extension` that are the client's. ``notices``: those that servers hear."""
    waiting = _Waiting()
    return {
        "results": [
            ResultType(method=TOOLS_CALL, name=RESULT_TASK, type=DetailedTask, resolve=waiting.follow)
        ],
        "changes": [TASK_CHANGES],
        "calls": {TOOLS_CALL: waiting.prepare},
        "starter": _LazyStarter(),
        "questions": ReceivedTasks().questions(_WITH_TASKS),
        "client_capabilities": announced,
        "notices": [
            ExtensionNotice(name=NOTIFY_STATUS, sender="server", handler=waiting.notified.tell),
            *notices,
        ],
    }


def _order_of(client: Resolving) -> Order | None:
    given = order.get()
    return None if given is None else given.take(client)


def _takes_tasks(offered: ServerCapabilities | None) -> bool:
    """Whether a server declares that it takes calls of tools as tasks."""
    found: Any = None if offered is None else offered.tasks
    for name in ("requests", "tools", "call"):
        if not isinstance(found, dict):
            return False
        found = cast("dict[str, Any]", found).get(name)
    return found is not None
