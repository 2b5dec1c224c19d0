"""What decides when and where tasks run: the seam at which a durable engine that an operator runs already takes over.

Theory of operation. What a task is, its record says, whoever runs it: its status, its answers, what its steps came to
and what clients see stay in the store, changed by compare-and-set. An engine is told of each task that becomes due
(`DueTask`), brings it to some process at some time, and calls `TaskRunner.run` there; that claims the task under a
lease, runs it once over what was recorded, and leaves it as it is then. So an engine may bring a task twice, or
late, or again after a crash, and nothing is done twice for it; what it lost it is told of again.

Specification: none; the extension io.modelcontextprotocol/tasks leaves it to servers how they work.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

__all__ = ["DueTask", "SubmitTask", "TaskEngine", "TaskRunner"]


@dataclass(frozen=True, slots=True)
class DueTask:
    """A task that is to be run: it is new, was answered, is tried again, or was let go of by a process that ends.

    ``id``: what `TaskRunner.run` is called with. Whoever has it may ask for the task where callers have no names, so
    keep it out of logs. ``key``: a name for it that tells nothing, the same for all its runs (and the beginning of
    what its steps see as ``ctx.step_key``). ``queue``: what it waits in, the server's name and the tool's
    (``press/print_book``). ``at``: not before that time, in seconds since the epoch. ``lost``: it is due, and nobody
    is known to run it: if the engine has it still, there is nothing to do.
    """

    id: str
    key: str
    queue: str
    at: float
    lost: bool = False


SubmitTask: TypeAlias = Callable[[DueTask], Awaitable[None]]
"""Takes a task that is to be run. What it raises is logged; the task is submitted again, as lost, by the next sweep."""


class TaskRunner(Protocol):
    """What an engine is given: runs tasks of one server, in this process."""

    @property
    def server(self) -> str:
        """The name of the server."""
        ...

    @property
    def room(self) -> int:
        """How many tasks this process runs at a time; 0: none, it only submits."""
        ...

    @property
    def lease(self) -> float:
        """Seconds after which a task of a process that died may be run by others."""
        ...

    @property
    def queues(self) -> Mapping[str, int | None]:
        """The queues of the server's tasks as it is now, each with how many of it all processes together may run at a
        time (None: any number). Whatever an engine does, no more are run.
        """
        ...

    async def run(self, id: str) -> float | None:
        """Run a task now, in the event loop of the server. None: there is nothing more to do for this time; it has
        ended, waits for an answer, was submitted anew, or is another process's. A number: it could not be run here
        yet (this process has no room, its time has not come, the store did not serve, or the process ends), and is to
        be run after so many seconds, here or elsewhere. Where its queue has no room, the answer is None, and the task
        is submitted again when there is some.

        Cancelled, it lets go of the task, which is submitted anew. Raises nothing else. May be called again for a task
        that runs, or did; may not be called from another event loop.
        """
        ...


class TaskEngine(Protocol):
    """When and where tasks run: give one to `tasks` (``engine=``). Our own, which needs nothing but the store, is used
    where none is given.
    """

    def serve(self, runner: TaskRunner) -> AbstractAsyncContextManager[SubmitTask]:
        """Around the life of one server; gives what takes its tasks. It is entered before anything is submitted, and
        left when what ran was let go of. One engine may serve several servers.
        """
        ...
