"""Tasks run by DBOS, the durable engine that lives in a database: ``tasks(engine=DBOSEngine())``.

Theory of operation. Each task that becomes due is enqueued as a workflow of DBOS, in a queue of PostgreSQL or SQLite
which all processes of the DBOS application poll. The workflow has no steps of its own: it calls `TaskRunner.run`,
which claims the task and goes on where it was. So a workflow that DBOS brings again after a crash, or that is there
twice, finds the task held or ended, and ends. Of the processes that crash DBOS tells nobody unless they are started
again under their executor id (or it is watched by its Conductor): tasks of those that stay away are submitted as lost,
once their lease is over.

DBOS is called from threads of our own: from a task of asyncio it would put its pool of threads in place of the loop's,
and take what is submitted in a run for a part of the workflow. For the same reason a run begins in an empty context.

Workflows are named by `DueTask.key`, so that no task's id is in the log of DBOS.

Specification: none; see `engine`.
"""

import asyncio
import secrets
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import Context
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar

from .engine import DueTask, SubmitTask, TaskRunner

__all__ = ["DBOSEngine"]

WORKFLOW: Final = "dovetail.task"
"""What the workflow is called in DBOS."""
_WAITS: Final = ("ENQUEUED", "DELAYED")
"""How workflows stand that DBOS has and nobody runs."""
_SQLITE: Final = (3, 42)
"""The version of SQLite whose clock DBOS takes for granted since Python 3.12."""
_T = TypeVar("_T")


class _Served(NamedTuple):
    """A server of this process, and the event loop in which its tasks run."""

    engine: "DBOSEngine"
    runner: TaskRunner
    loop: asyncio.AbstractEventLoop


_served: Final[dict[str, _Served]] = {}
_lock: Final = threading.Lock()


class DBOSEngine:
    """A `TaskEngine`: runs tasks as workflows of the `DBOS` of this process, which the program makes with
    ``DBOS(config=...)`` before it serves.

    ``launch``: launch DBOS when the server begins, and destroy it when it ends; else the program does both. A server
    that runs no tasks itself (``tasks(room=0)``) then listens to no queue of DBOS either. ``queue``: the name of a
    queue that is registered already, with limits of its own (default: one for each server, ``tasks/NAME``, from which a
    process runs as many as it has room for). ``poll``: seconds between two looks at that queue, above 0.

    The order is that of DBOS, which is that of coming; limits of tools hold all the same. Raises `ImportError` without
    ``dovetail[dbos]``, and `ValueError`; when the server begins, `RuntimeError` where DBOS was not made or launched.
    """

    def __init__(self, *, launch: bool = False, queue: str | None = None, poll: float = 1.0) -> None:
        if not poll > 0:
            raise ValueError(f"poll is above 0 seconds, not {poll}")
        self._dbos = _workflow()
        self._launch = launch
        self._queue = queue
        self._poll = poll
        self._pool = ThreadPoolExecutor(4, "dovetail-dbos")

    @asynccontextmanager
    async def serve(self, runner: TaskRunner) -> AsyncGenerator[SubmitTask]:
        """See `TaskEngine.serve`."""
        served = _Served(self, runner, asyncio.get_running_loop())
        with _lock:
            if _served.setdefault(runner.server, served) is not served:
                raise RuntimeError(
                    f"two servers named {runner.server!r} would run the same tasks: rename one"
                )
        try:
            if self._launch:
                await self._call(lambda: self._begin(runner))
            queue = self._queue or f"tasks/{runner.server}"
            if self._queue is None:
                await self._call(lambda: self._register(queue, runner.room))
            yield lambda due: self._call(lambda: self._submit(queue, runner.server, due))
        finally:
            with _lock:
                del _served[runner.server]
            if self._launch:
                await self._call(self._dbos.destroy)

    async def _call(self, make: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, make)

    def _begin(self, runner: TaskRunner) -> None:
        """Raises `RuntimeError`."""
        from dbos import error

        try:
            if not runner.room:
                self._dbos.listen_queues([])
            self._dbos.launch()
        except error.DBOSException as problem:
            raise RuntimeError(
                f"DBOS can't be launched: {problem}. Make it first, with DBOS(config=...)"
            ) from problem
        except Exception as problem:
            if sys.version_info < (3, 12) or sqlite3.sqlite_version_info >= _SQLITE:
                raise
            raise RuntimeError(
                f"DBOS can't be launched: {problem}. In SQLite it needs version {'.'.join(map(str, _SQLITE))} since"
                f" Python 3.12, and this Python has {sqlite3.sqlite_version}: use PostgreSQL, or a newer SQLite"
            ) from problem

    def _register(self, queue: str, room: int) -> None:
        """Raises `RuntimeError`."""
        from dbos import error

        try:
            self._dbos.register_queue(
                queue,
                worker_concurrency=room or None,
                polling_interval_sec=self._poll,
                on_conflict="always_update" if room else "never_update",
            )
        except error.DBOSException as problem:
            raise RuntimeError(
                f"tasks can't be handed to DBOS: {problem}. Make it with DBOS(config=...) and launch it before the app"
                " serves, or let DBOSEngine(launch=True) do that"
            ) from problem

    def _submit(self, queue: str, server: str, due: DueTask) -> None:
        """Runs in a thread."""
        if due.lost and self._dbos.list_workflows(
            workflow_id_prefix=f"{due.key}.",
            status=list(_WAITS),
            limit=1,
            load_input=False,
            load_output=False,
        ):
            return
        self.enqueue(queue, (server, due.id, due.key), due.at - time.time())

    def enqueue(self, queue: str, given: tuple[str, str, str], delay: float) -> None:
        """Have the workflow run after ``delay`` seconds, by any version of the program: no steps are DBOS's."""
        options: dict[str, Any] = {
            "workflow_name": WORKFLOW,
            "queue_name": queue,
            "workflow_id": f"{given[2]}.{secrets.token_hex(6)}",
        }
        if delay > 0:
            options["delay_seconds"] = delay
        self._dbos.enqueue_workflow_with_options(options, *given)

    async def again(self, given: tuple[str, str, str], delay: float) -> None:
        """Have a task brought again that could not be run now."""
        queue = self._queue or f"tasks/{given[0]}"
        await self._call(lambda: self.enqueue(queue, given, delay))


async def _run(server: str, id: str, key: str) -> None:
    """The workflow, in whatever event loop DBOS runs it."""
    with _lock:
        served = _served.get(server)
    if served is None:
        raise RuntimeError(f"this process serves no app named {server!r}, and can't run its task {key}")
    running = Context().run(asyncio.run_coroutine_threadsafe, served.runner.run(id), served.loop)
    pause = await asyncio.wrap_future(running)
    if pause is not None:
        again = served.engine.again((server, id, key), pause)
        await asyncio.wrap_future(Context().run(asyncio.run_coroutine_threadsafe, again, served.loop))


@cache
def _workflow() -> Any:
    """The class `DBOS`, which knows the workflow from now on. Raises `ImportError` that names the extra."""
    try:
        from dbos import DBOS
    except ImportError as missing:
        raise ImportError("DBOSEngine needs the package dbos: pip install 'dovetail[dbos]'") from missing
    DBOS.workflow(name=WORKFLOW)(_run)
    return DBOS
