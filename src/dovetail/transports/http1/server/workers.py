"""Several processes that serve one socket, and the one that looks after them.

Theory of operation
-------------------
The parent serves nothing: it has one thread and no event loop, so it can fork at any time, and whatever happens to a
worker does not happen to it. A worker that ends without being asked to is started anew: at once if it served for a
while, else after a pause that doubles up to a bound, so that one which can't live costs next to nothing. One that does
not even start the first time ends them all: it would not start the next time either.

Each worker holds the reading end of a pipe that only the parent can write to, its leash. When the parent is asked to
end it closes the pipe, and when it dies the system does: workers then end in good order, whatever killed the parent. A
signal could not do that: a terminal or a service manager may have sent one to the whole group already, and a second
one means "now". For that the parent sends SIGQUIT. Workers that are still there after their limit are killed.

Specification: none; this is operation, not protocol.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any, Final

from ....logs import get_logger
from ....runtime.shutdown import OVERDUE, finish

log = get_logger("dovetail.http")

#: Exit status of a worker that could not start.
NOT_STARTED: Final = 3
#: The first pause before a worker that did not live long is replaced, and the longest, in seconds.
PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
#: How long a worker has to live for its end to count as a mishap, and not as a habit, in seconds.
SETTLED: Final = 10.0
_MARGIN: Final = 0.5
_AT_ONCE: Final = 2.0


class WorkersNotStarted(RuntimeError):
    """The workers can't start; the log says why."""


class Supervisor:
    """Keeps ``count`` workers alive until it is asked to end, by a signal.

    ``work`` is what a worker does, given its leash, and what to call once it serves; it may raise `WorkersNotStarted`.
    ``limit``: seconds that workers have to end. ``at_start`` is called when the first of them serves, ``at_end`` when
    the end begins.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[int, Callable[[], None]], None],
        *,
        limit: float,
        at_end: Callable[[], None],
        at_start: Callable[[], None],
    ) -> None:
        self._count = count
        self._work = work
        self._limit = limit
        self._at_end = at_end
        self._at_start = at_start
        self._asked = 0
        self._children: dict[int, float] = {}
        self._replaced = False
        self._mishaps = 0
        self._due: list[float] = []
        self._leash: tuple[int, int] = (-1, -1)
        self._news: tuple[int, int] = (-1, -1)  # a byte from each worker that serves
        self._serving = False
        self._ear = self._bell = socket.socket()
        self._before: dict[int, Any] = {}

    def run(self) -> None:
        """Look after the workers. Raises `WorkersNotStarted`."""
        self._leash, self._news = os.pipe(), os.pipe()
        try:
            with self._hearing():
                try:
                    self._due = [time.monotonic()] * self._count
                    while not self._asked:
                        self._start_due()
                        self._listen(min(self._due, default=None))
                        self._reap()
                finally:
                    self._end()
        finally:
            for end in (*self._leash, *self._news):
                with contextlib.suppress(OSError):
                    os.close(end)

    def _start_due(self) -> None:
        now = time.monotonic()
        for due in [due for due in self._due if due <= now]:
            self._due.remove(due)
            try:
                child = os.fork()
            except OSError as problem:
                log.error("a worker can't be started: %s", problem)
                self._due.append(now + self._pause())
                continue
            if child == 0:
                self._be_worker()
            self._children[child] = now

    def _reap(self) -> None:
        """See who has ended, and put others into their places. Raises `WorkersNotStarted`."""
        for child, begun in tuple(self._children.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended == 0:
                continue
            del self._children[child]
            code = os.waitstatus_to_exitcode(status)
            if self._asked:
                if code == OVERDUE:
                    log.error("worker %d did not end in good order", child)
                continue
            if code == NOT_STARTED and not self._replaced and time.monotonic() - begun < SETTLED:
                raise WorkersNotStarted("the workers do not start; see the log")
            if time.monotonic() - begun >= SETTLED:
                self._mishaps = 0
            pause = self._pause() if self._mishaps else 0.0
            self._mishaps += 1
            self._replaced = True
            self._due.append(time.monotonic() + pause)
            log.error("worker %d %s; another one starts in %g seconds", child, _how(code), pause)

    def _pause(self) -> float:
        return min(LONGEST_PAUSE, PAUSE * 2 ** min(self._mishaps, 16))

    def _end(self) -> None:
        """End the workers, and wait for them."""
        self._at_end()
        os.close(self._leash[1])
        until = time.monotonic() + self._limit + _MARGIN
        self._asked = seen = max(self._asked, 1)
        self._reap()  # those whose end was told together with what brought us here: nothing will tell of them again
        while self._children:
            if self._asked > seen:
                seen = self._asked
                until = min(until, time.monotonic() + _AT_ONCE)
                self._tell(signal.SIGQUIT)
            if time.monotonic() >= until:
                log.error("killing %d workers that do not end", len(self._children))
                self._tell(signal.SIGKILL)
                for child in self._children:
                    os.waitpid(child, 0)
                return
            self._listen(until)
            self._reap()

    def _tell(self, number: int) -> None:
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)

    # Signals

    @contextlib.contextmanager
    def _hearing(self) -> Generator[None]:
        """Hear signals as bytes, so that none is lost between looking and waiting."""
        self._ear, self._bell = socket.socketpair()
        self._ear.setblocking(False)
        self._bell.setblocking(False)
        wakeup = signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._heard)
        try:
            yield
        finally:
            self._unhear(wakeup)

    def _unhear(self, wakeup: int) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(wakeup)
        self._ear.close()
        self._bell.close()

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._asked += 1

    def _listen(self, until: float | None) -> None:
        """Wait for a signal, at most so long."""
        wait = None if until is None else max(0.0, until - time.monotonic())
        heard = select.select([self._ear] if self._serving else [self._ear, self._news[0]], [], [], wait)[0]
        if self._ear in heard:
            with contextlib.suppress(BlockingIOError):
                self._ear.recv(4096)
        if self._news[0] in heard:
            self._serving = True
            self._at_start()

    def _begun(self) -> None:
        """A worker serves; said by the worker itself."""
        os.write(self._news[1], b"!")

    # In a worker

    def _be_worker(self) -> None:
        """Serve, in a forked process, which must never return into the code of its parent."""
        status = 1
        try:
            self._unhear(-1)
            for number in (
                signal.SIGINT,
                signal.SIGHUP,
            ):  # a terminal sends them to all; the parent says what they mean
                signal.signal(number, _nothing)
            os.close(self._leash[1])
            self._work(self._leash[0], self._begun)
            status = 0
        except WorkersNotStarted:
            status = NOT_STARTED
        except BaseException:
            log.exception("a worker failed")
        finally:
            with contextlib.suppress(BaseException):
                finish()
                logging.shutdown()
            os._exit(status)


def _nothing(number: int, frame: FrameType | None) -> None:
    """A handler, and not SIG_IGN, which processes started by a worker would inherit."""


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
