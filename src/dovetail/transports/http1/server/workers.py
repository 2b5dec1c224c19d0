"""Several processes that serve one socket, and the one that looks after them.

Theory of operation
-------------------
The parent serves nothing: it has one thread and no event loop, so it can fork at any time, and whatever happens to a
worker does not happen to it. A worker that ends without being asked to is started anew: at once if it served for a
while, else after a pause that doubles up to a bound, so that one which can't live costs next to nothing. One that does
not even start the first time ends them all: it would not start the next time either.

Each worker holds the reading end of a pipe that only the parent can write to. When the parent is asked to end it closes
the pipe, and when it dies the system does: workers then end in good order, whatever killed the parent. A signal could
not do that: a terminal or a service manager may have sent one to the whole group already, and a second one means "now".
For that the parent sends SIGQUIT. Workers that are still there after their limit are killed.

SIGHUP rolls: the program is started again (`generations`), forks workers from what it has read, and says when all of
them serve. Then a second pipe tells the old workers to retire: they accept no more connections, answer what comes on
those that they have, and end. Until then nothing has changed, so new code that does not start does no harm, and why it
does not is in the log. From then on this parent looks after one child, the parent of the new workers, as it did after
its own; all of them end when it does. One roll at a time: whoever asks meanwhile is heard when it is over. A
terminal that goes away sends SIGHUP too. Whoever had a terminal and has none any more is asked to end by it.

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
from .generations import ChildEnds, ParentEnds

log = get_logger("dovetail.http")

#: Exit status of a worker that could not start.
NOT_STARTED: Final = 3
#: The first pause before a worker that did not live long is replaced, and the longest, in seconds.
PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
#: How long a worker has to live for its end to count as a mishap, and not as a habit, in seconds.
SETTLED: Final = 10.0
#: Seconds that a worker which retires waits for requests on the connections that it has, before it drains.
RETIRING: Final = 5.0
#: Seconds that new code has until all of its workers serve.
ROLL_LIMIT: Final = 300.0
_MARGIN: Final = 0.5
_AT_ONCE: Final = 2.0


class WorkersNotStarted(RuntimeError):
    """The workers can't start; the log says why."""


class _Generation:
    """The processes that serve one reading of the code. ``forked``: they are workers of this process; else the one
    child is their parent. ``limit``: seconds that they have to end. ``until``: when what is left of them is killed.
    """

    def __init__(self, limit: float, *, forked: bool) -> None:
        self.pipes = ParentEnds()
        self.forked = forked
        self.limit = limit
        self.children: dict[int, float] = {}
        self.serving: set[int] = set()
        self.until: float | None = None

    def hear(self) -> None:
        """Take in who serves."""
        for child, limit in self.pipes.read_news():
            self.limit = max(self.limit, limit)
            if child in self.children:
                self.serving.add(child)

    def reap(self) -> list[tuple[int, float, int]]:
        """Those that have ended: process id, when it began, and exit code."""
        ended: list[tuple[int, float, int]] = []
        for child in tuple(self.children):
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                ended.append((child, self.children.pop(child), os.waitstatus_to_exitcode(status)))
                self.serving.discard(child)
        return ended

    def retire(self) -> None:
        """Have them finish, and know when they have to be gone."""
        self.pipes.retire()
        self.until = time.monotonic() + RETIRING + self.limit + 2 * _MARGIN

    def tell(self, number: int) -> None:
        """Send them a signal."""
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)

    def kill(self) -> None:
        """End them now, and wait for that."""
        self.tell(signal.SIGKILL)
        for child in self.children:
            os.waitpid(child, 0)
        self.children.clear()


class Supervisor:
    """Keeps ``count`` workers alive until it is asked to end, by a signal.

    ``work`` is what a worker does, given its ends of the pipes; it may raise `WorkersNotStarted`. ``limit``: seconds
    that workers have to end. ``at_start`` is called when the first of them serves, ``at_end`` when the end begins,
    ``at_roll`` when a new generation has taken over. ``successor`` starts the program again with such ends, and gives
    the id of the process; a text says why that can't be. ``above``: the ends that this process was itself given, by the
    one that started it to roll.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[ChildEnds], None],
        *,
        limit: float,
        at_end: Callable[[], None],
        at_start: Callable[[], None],
        at_roll: Callable[[], None],
        successor: Callable[[ChildEnds], int] | str,
        above: ChildEnds | None = None,
    ) -> None:
        self._count = count
        self._work = work
        self._limit = limit
        self._at_end = at_end
        self._at_start = at_start
        self._at_roll = at_roll
        self._successor = successor
        self._above = above
        self._asked = 0
        self._forced = self._hung_up = self._announced = self._retiring = self._replaced = False
        self._current = _Generation(limit, forked=True)
        self._coming: _Generation | None = None
        self._leaving: list[_Generation] = []
        self._mishaps = 0
        self._due: list[float] = []
        self._ear = self._bell = socket.socket()
        self._before: dict[int, Any] = {}
        self._terminal = above is None and _has_terminal()

    def run(self) -> None:
        """Look after the workers. Raises `WorkersNotStarted`."""
        try:
            with self._hearing():
                try:
                    self._due = [time.monotonic()] * self._count
                    while not self._asked and not (self._retiring and not self._current.children):
                        self._start_due()
                        self._listen(self._next())
                        self._reap()
                        self._take_over()
                        self._look_hung_up()
                finally:
                    self._end()
        finally:
            for generation in self._all():
                generation.pipes.close()

    def _all(self) -> list[_Generation]:
        coming = [] if self._coming is None else [self._coming]
        return [*self._leaving, self._current, *coming]

    def _next(self) -> float | None:
        """When something has to be done, whether or not anything is heard."""
        times = [*self._due, *(each.until for each in self._all() if each.until is not None)]
        return min(times, default=None)

    def _start_due(self) -> None:
        now = time.monotonic()
        for due in [due for due in self._due if due <= now]:
            self._due.remove(due)
            try:
                if self._current.forked:
                    self._fork(self._current)
                else:
                    self._current.pipes.close()
                    self._current = self._spawn()
            except OSError as problem:
                log.error("a worker can't be started: %s", problem)
                self._due.append(now + self._pause())
                self._mishaps += 1

    def _fork(self, generation: _Generation) -> None:
        child = os.fork()
        if child == 0:
            self._be_worker(generation)
        generation.children[child] = time.monotonic()

    def _spawn(self) -> _Generation:
        """Start the program again, as a generation. Raises `OSError`."""
        if isinstance(self._successor, str):
            raise OSError(self._successor)
        generation = _Generation(self._limit, forked=False)
        try:
            child = self._successor(generation.pipes.children)
        except BaseException:
            generation.pipes.close()
            raise
        generation.pipes.close_children()
        generation.children[child] = time.monotonic()
        return generation

    def _reap(self) -> None:
        """See who has ended, and put others into their places. Raises `WorkersNotStarted`."""
        now = time.monotonic()
        for generation in tuple(self._leaving):
            for child, _, code in generation.reap():
                if code == OVERDUE:
                    log.error("worker %d did not end in good order", child)
            if generation.children and generation.until is not None and now >= generation.until:
                log.error("killing %d processes that should have retired", len(generation.children))
                generation.kill()
            if not generation.children:
                self._leaving.remove(generation)
                generation.pipes.close()
        for child, begun, code in self._current.reap():
            if not self._retiring:
                self._replace(child, begun, code)
        if self._retiring and self._current.until is not None and now >= self._current.until:
            self._asked = max(self._asked, 1)

    def _replace(self, child: int, begun: float, code: int) -> None:
        """Have another one in the place of a worker that ended. Raises `WorkersNotStarted`."""
        lived = time.monotonic() - begun
        if code == NOT_STARTED and not self._replaced and lived < SETTLED:
            raise WorkersNotStarted("the workers do not start; see the log")
        if lived >= SETTLED:
            self._mishaps = 0
        pause = self._pause() if self._mishaps else 0.0
        self._mishaps += 1
        self._replaced = True
        self._due.append(time.monotonic() + pause)
        what = "worker" if self._current.forked else "the parent of the workers,"
        log.error("%s %d %s; another one starts in %g seconds", what, child, _how(code), pause)

    def _pause(self) -> float:
        return min(LONGEST_PAUSE, PAUSE * 2 ** min(self._mishaps, 16))

    def _end(self) -> None:
        """End the workers, and wait for them."""
        self._at_end()
        generations = self._all()
        for generation in generations:
            generation.pipes.end()
        if self._coming is not None:
            self._coming.tell(signal.SIGTERM)  # it may still be loading, and hear nothing else
        until = time.monotonic() + max(
            each.limit + (1 if each.forked else 2) * _MARGIN for each in generations
        )
        self._asked = seen = max(self._asked, 1)
        forced = False
        # Those whose end was told together with what brought us here: nothing will tell of them again.
        self._bury(generations)
        while any(generation.children for generation in generations):
            if self._asked > seen or (self._forced and not forced):
                seen, forced = self._asked, True
                until = min(until, time.monotonic() + _AT_ONCE)
                for generation in generations:
                    generation.tell(signal.SIGQUIT)
            if time.monotonic() >= until:
                log.error(
                    "killing %d workers that do not end", sum(len(each.children) for each in generations)
                )
                for generation in generations:
                    generation.kill()
                return
            self._listen(until)
            self._bury(generations)

    def _bury(self, generations: list[_Generation]) -> None:
        for generation in generations:
            for child, _, code in generation.reap():
                if code == OVERDUE:
                    log.error("worker %d did not end in good order", child)

    # Rolling

    def _look_hung_up(self) -> None:
        """Do what SIGHUP asks for."""
        if not self._hung_up or self._retiring:
            return
        if self._terminal and not _has_terminal():
            self._asked += 1
            return
        if self._coming is not None:
            return  # it is done once the present one is over
        self._hung_up = False
        if isinstance(self._successor, str):
            log.error(
                "SIGHUP: the workers can't be replaced by new ones, since this program can't be started again: %s. The "
                "old ones go on; to have new code served, start another process",
                self._successor,
            )
            return
        try:
            self._coming = self._spawn()
            self._coming.until = time.monotonic() + ROLL_LIMIT
        except OSError as problem:
            log.error("SIGHUP: the program can't be started again: %s. The old workers go on", problem)

    def _take_over(self) -> None:
        """See what has become of the generation that is to take over, if there is one."""
        coming = self._coming
        if coming is None:
            return
        ended = coming.reap()
        if coming.serving:
            self._coming, coming.until = None, None
            self._current.retire()
            self._leaving.append(self._current)
            self._current = coming
            self._due.clear()
            self._mishaps, self._replaced = 0, True
            self._at_roll()
            return
        if not ended and coming.until is not None and time.monotonic() >= coming.until:
            log.error("SIGHUP: the new workers did not serve within %g seconds, and are ended", ROLL_LIMIT)
            coming.retire()
            coming.pipes.end()
            coming.tell(signal.SIGTERM)
            self._coming = None
            self._leaving.append(coming)
        for child, _, code in ended:
            log.error(
                "SIGHUP: the program was started again as process %d and does not serve: it %s; what it said is above. "
                "The old workers go on",
                child,
                _how(code),
            )
            self._coming = None
            coming.pipes.close()

    # Signals and pipes

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
        if self._above is not None:
            self._before[signal.SIGQUIT] = signal.signal(signal.SIGQUIT, self._heard)
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
        if number == signal.SIGQUIT:
            self._forced = True
            self._asked = max(self._asked, 1)
        elif number == signal.SIGTERM or (number == signal.SIGINT and self._above is None):
            self._asked += 1
        elif number == signal.SIGHUP and self._above is None:
            self._hung_up = True

    def _listen(self, until: float | None) -> None:
        """Wait for a signal, or a word of a child or of the process above, at most so long."""
        wait = None if until is None else max(0.0, until - time.monotonic())
        news = {each.pipes.news: each for each in self._all() if each.children}
        above = () if self._above is None or self._asked else (self._above.end,)
        above += () if self._above is None or self._retiring or self._asked else (self._above.retire,)
        heard = select.select([self._ear, *news, *above], [], [], wait)[0]
        if self._ear in heard:
            with contextlib.suppress(BlockingIOError):
                self._ear.recv(4096)
        for end, generation in news.items():
            if end in heard:
                generation.hear()
        if self._above is not None and self._above.end in heard:
            self._asked = max(self._asked, 1)
        elif self._above is not None and self._above.retire in heard:
            self._retiring = True
            self._due.clear()
            self._current.retire()
        self._announce()

    def _announce(self) -> None:
        """Tell the world that the first worker serves, the process above that all do."""
        serving = len(self._current.serving)
        if not self._announced and serving >= (1 if self._above is None else self._count):
            self._announced = True
            if self._above is None:
                self._at_start()
            else:
                self._above.tell_serving(self._limit)

    # In a worker

    def _be_worker(self, generation: _Generation) -> None:
        """Serve, in a forked process, which must never return into the code of its parent."""
        status = 1
        try:
            self._unhear(-1)
            # A terminal sends them to all; the parent says what they mean.
            for number in (signal.SIGINT, signal.SIGHUP):
                signal.signal(number, _nothing)
            for other in self._all():
                if other is not generation:
                    other.pipes.close()
            for end in self._above or ():
                os.close(end)
            generation.pipes.keep_children()
            self._work(generation.pipes.children)
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


def _has_terminal() -> bool:
    """Whether there is a terminal that this process belongs to."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
