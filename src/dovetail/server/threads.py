"""The threads that sync functions of authors run in: a pool that never keeps a process alive.

Theory of operation. `concurrent.futures` makes threads that the interpreter waits for at its end, however long their
work takes: a tool that blocks would keep a server from ending. These are daemons instead. So that work which was begun
is not cut off for nothing, the interpreter's end waits for it all the same, but only as long as the end of the process
may take (`dovetail.runtime.shutdown`); what still runs then is logged by name, and ends with the process.

A thread is started when work comes and none is idle, up to ``most``; idle ones wait for the next. They end when the
pool is closed or forgotten.

Specification: none.
"""

import queue
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from ..logs import get_logger
from ..runtime.shutdown import LIMIT, OURS, ShutdownClock, exit_in

log = get_logger("dovetail.server")

_IDLE: Final = OURS + "idle"


class _Work:
    """Something to do: the function, its name for people, and who waits for what it gives."""

    __slots__ = ("do", "future", "name")

    def __init__(self, do: Callable[[], Any], name: str) -> None:
        self.do = do
        self.name = name
        self.future: Future[Any] = Future()

    def run(self) -> None:
        """Do it."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            value = self.do()
        except BaseException as problem:  # noqa: BLE001 - whoever waits shall see it
            self.future.set_exception(problem)
        else:
            self.future.set_result(value)


class _PoolState:
    """What a pool and its threads have in common; the threads do not hold the pool itself."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self.lock = threading.Lock()
        self.idle = 0
        self.count = 0


class Busy:
    """The work that goes on in all pools of this process, by thread."""

    lock = threading.Condition()
    now: dict[threading.Thread, str] = {}  # noqa: RUF012 - one for all


class Threads:
    """A pool of at most ``most`` threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._shared = _PoolState()
        self._forgotten = weakref.finalize(self, _close, self._shared)
        self._forgotten.atexit = False

    def submit(self, name: str, do: Callable[[], Any]) -> "Future[Any]":
        """Do something in a thread. ``name``: what to call it when it keeps the process from ending."""
        shared, work = self._shared, _Work(do, name)
        with shared.lock:
            starting = shared.idle == 0 and shared.count < self._most
            if starting:
                shared.count += 1
            elif shared.idle:
                shared.idle -= 1
        shared.queue.put(work)
        if starting:
            threading.Thread(target=_serve, args=(shared,), name=_IDLE, daemon=True).start()
        return work.future

    @property
    def waiting(self) -> int:
        """How much work no thread has begun."""
        return self._shared.queue.qsize()

    def close(self) -> None:
        """Let the threads go, each when it is done with what it does."""
        self._forgotten()


def _close(shared: _PoolState) -> None:
    for _ in range(shared.count):
        shared.queue.put(None)


def _serve(shared: _PoolState) -> None:
    thread = threading.current_thread()
    while (work := shared.queue.get()) is not None:
        thread.name = work.name
        with Busy.lock:
            Busy.now[thread] = work.name
        try:
            work.run()
        finally:
            del work
            thread.name = _IDLE
            with Busy.lock:
                del Busy.now[thread]
                Busy.lock.notify_all()
            with shared.lock:
                shared.idle += 1


def _wait_for_work() -> None:
    """At the end of the interpreter: wait for what was begun, for as long as the process may take to end."""
    end = time.monotonic() + exit_in(LIMIT)
    with Busy.lock:
        while Busy.now and (left := end - time.monotonic()) > 0:
            Busy.lock.wait(left)
        if Busy.now:
            log.error("the process ends while these still run: %s", ", ".join(sorted(Busy.now.values())))


ShutdownClock.last_acts.append(_wait_for_work)
