"""How a process that serves comes to its end: when it has to be over, what still runs, and what is done if it is not.

Theory of operation
-------------------
The first signal (SIGTERM, SIGINT, SIGHUP) asks for an end, a second one for an end now. From the first on there are
``limit`` seconds in all, shared out so that everything gets some. Calls in progress may go on until `CALLS` of it have
passed; then they are cancelled, and their callers told so until `SPARE`. What is left of requests then is cancelled
once more, and has until `CANCELLED`. Connections have until `ORDERLY`, the lifespan has until `LAST`; then it is
cancelled.

Whoever owns the process serves inside `Shutdown.enforced`. There a thread looks on, which was started before anything
could go wrong and does nothing until it is woken: when the end takes longer than its limit, whatever keeps it (a
handler that swallows cancellation, an event loop that is blocked, a lifespan or a thread pool that never ends), it
logs what still runs, flushes, and ends the process with `OVERDUE` as its status. A signal handler may interrupt
anything, so it takes no lock and starts no thread: it writes a byte into a socket.

Specification: basic/lifecycle "Shutdown"; the rest is operation, not protocol.
"""

import asyncio
import atexit
import contextlib
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterable
from types import CoroutineType, FrameType
from typing import Any, Final, cast

from ..logs import get_logger
from ..protocol.call import Call
from ..protocol.errors import in_seconds
from .dispatch import call_in

log = get_logger("dovetail.server")

#: Seconds that an end may take, unless told otherwise: what supervisors grant before they kill.
LIMIT: Final = 10.0
#: Exit status of a process that could not be ended in good order within its limit (EX_SOFTWARE of sysexits.h).
OVERDUE: Final = 70
CALLS: Final = 0.7
SPARE: Final = 0.75
CANCELLED: Final = 0.8
ORDERLY: Final = 0.85
LAST: Final = 0.95
#: The share of what is left at the end of requests in which extensions finish what they began.
OF_EXTENSIONS: Final = 0.8
_MOMENT: Final = 0.1
_FLUSH: Final = 0.5
_AT_ONCE: Final = 1.0
#: How the names of threads begin that are not worth telling.
OURS: Final = "dovetail-"
SIGNALS: Final = tuple(
    number
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK")
    if (number := getattr(signal, name, None)) is not None
)


class ShutdownClock:
    """When this process has to be over, by `time.monotonic`; None while nobody asked for its end. ``last_acts``: what
    `finish` does.
    """

    until: float | None = None
    last_acts: list[Callable[[], None]] = []  # noqa: RUF012 - one for the process


@atexit.register
def finish() -> None:
    """Do what is left for the end of the process: `ShutdownClock.last_acts`, each once."""
    while ShutdownClock.last_acts:
        ShutdownClock.last_acts.pop()()


class Shutdown:
    """The end of what is served: asked for by a signal or by `ask`, over within ``limit`` seconds.

    ``signals`` ask for an end, ``force`` for an end now. ``loop``: where the calls run, once that is known.
    """

    def __init__(
        self, limit: float = LIMIT, *, signals: Iterable[int] = SIGNALS, force: Iterable[int] = ()
    ) -> None:
        self.limit = limit
        self.asked = 0
        self.loop: asyncio.AbstractEventLoop | None = None
        self._signals = tuple(signals)
        self._force = tuple(force)
        self._begun = False
        self._since = 0.0
        self._listeners: list[Callable[[], None]] = []
        self._bell: socket.socket | None = None

    def listen(self, listener: Callable[[], None]) -> None:
        """Call this each time an end is asked for. It may interrupt anything in the main thread."""
        self._listeners.append(listener)

    def begin(self) -> None:
        """The end begins: from now on the time counts. Idempotent."""
        if not self._begun:
            self._begun = True
            self._since = time.monotonic()
            if self._bell is not None:  # else the process is somebody else's, and may go on
                ShutdownClock.until = self._since + self.limit
            self._ring()

    def ask(self) -> None:
        """Ask for an end; a second time, for an end now."""
        self.asked += 1
        self._tell()

    def ask_once(self) -> None:
        """Ask for an end, however many asked for one already. A signal that comes in between is no second one."""
        self.asked = self.asked or 1
        self._tell()

    def _tell(self) -> None:
        self.begin()
        self._ring()
        for listener in self._listeners:
            listener()

    def left(self, share: float = 1.0) -> float:
        """Seconds until this share of the limit has passed since the end began; none once it was asked for twice."""
        if self.asked > 1:
            return 0.0
        return (
            max(0.0, self._since + self.limit * share - time.monotonic())
            if self._begun
            else self.limit * share
        )

    async def within(self, ending: Coroutine[Any, Any, None], what: str) -> None:
        """Wait for something to end for as long as there is time, and a moment in any case; then cancel it. Raises
        what it raises.
        """
        task = asyncio.ensure_future(ending)
        try:
            await asyncio.wait((task,), timeout=max(self.left(LAST), _MOMENT))
        finally:
            if not task.done():
                log.error("%s did not end within %s, and is cancelled", what, in_seconds(self.limit * LAST))
                task.cancel()
        if task.done():
            task.result()

    async def after(self, serving: Coroutine[Any, Any, None]) -> None:
        """Serve, in a task of its own. A cancellation asks for the end, as a signal does, and a second one for an end
        now; it is passed on when the end has come.
        """
        task = asyncio.ensure_future(serving)
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError as asked:
                cancelled = asked
                self.ask()
        task.result()
        if cancelled is not None:
            raise cancelled

    def _ring(self) -> None:
        if self._bell is not None:
            with contextlib.suppress(OSError):
                self._bell.send(b"!")

    @contextlib.contextmanager
    def hearing(self) -> Generator[None]:
        """Hear the signals that end a process, and leave them as they were. Several that hear at a time hear all of
        them. Elsewhere than in the main thread there is nothing to hear.
        """
        hearing: list[list[Shutdown]] = []
        try:
            with contextlib.suppress(ValueError):
                for number in (*self._signals, *self._force):
                    if (
                        number != getattr(signal, "SIGHUP", None)
                        or signal.getsignal(number) != signal.SIG_IGN
                    ):
                        if signal.getsignal(number) is not _heard:  # the first, or somebody took our place
                            _before[number] = signal.signal(number, _heard)
                            _hearing[number] = []
                        hearing.append(_hearing[number])
                        hearing[-1].append(self)
            yield
        finally:
            for each in hearing:
                each.remove(self)
            for number in [number for number in _before if not _hearing[number]]:
                handler = _before.pop(number)
                # A handler that was not set from Python can't be set again from Python either.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def heard(self, number: int) -> None:
        """A signal came."""
        if number in self._force and not self.asked:
            self.ask()
        self.ask()

    @contextlib.contextmanager
    def enforced(self) -> Generator[None]:
        """See to it that the process is over in time: for who owns the process, around everything that has to end."""
        bell, ear = socket.socketpair()
        bell.setblocking(False)
        self._bell = bell
        watch = threading.Thread(target=_watch, args=(ear, self), name=OURS + "ending", daemon=True)
        watch.start()
        try:
            yield
        finally:
            self._bell = None
            bell.close()
            watch.join()


#: Who hears each signal, and what it did before anybody did.
_hearing: Final[dict[int, list[Shutdown]]] = {}
_before: Final[dict[int, Any]] = {}


def _heard(number: int, _: FrameType | None) -> None:
    for ending in tuple(_hearing[number]):
        ending.heard(number)


class ShutdownWaiter:
    """An ending as a coroutine waits for it. To be made in the running loop."""

    def __init__(self, ending: Shutdown) -> None:
        self._loop = ending.loop = asyncio.get_running_loop()
        self._ending = ending
        self.asked = asyncio.Event()
        self.now = asyncio.Event()
        ending.listen(self._tell)
        self._take()

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        if self._ending.asked:
            self.asked.set()
        if self._ending.asked > 1:
            self.now.set()


def exit_in(otherwise: float) -> float:
    """Seconds until this process has to be over, ``otherwise`` if nobody asked for its end."""
    return otherwise if ShutdownClock.until is None else max(0.0, ShutdownClock.until - time.monotonic())


def name_of(call: Call) -> str:
    """A call, for people: its method, and the tool, prompt or resource it is about."""
    subject = getattr(call.params, "name", None) or getattr(call.params, "uri", None)
    return f"{call.method} {str(subject)[:128]!r}" if subject else call.method


def calls_in_progress(loop: asyncio.AbstractEventLoop | None = None) -> list[str]:
    """The calls that run on a loop, for people. Found in the tasks' frames, so that a call costs nothing for it."""
    try:
        tasks = asyncio.all_tasks(loop)
    except RuntimeError:
        return []
    calls = (call_of(task.get_coro()) for task in tasks)
    return sorted(name_of(call) for call in calls if call is not None)


def call_of(awaited: object) -> Call | None:
    """The call that a task answers, by what it awaits."""
    while isinstance(awaited, CoroutineType):
        coroutine = cast("CoroutineType[Any, Any, Any]", awaited)
        call = None if coroutine.cr_frame is None else call_in(coroutine.cr_frame)
        if call is not None:
            return call
        awaited = coroutine.cr_await
    return None


def call_on(frame: FrameType | None) -> Call | None:
    """The call that is answered on a stack, given its innermost frame."""
    while frame is not None:
        call = call_in(frame)
        if call is not None:
            return call
        frame = frame.f_back
    return None


def _watch(ear: socket.socket, ending: Shutdown) -> None:
    """Wait for the end to be asked for, and then for it to come. Each byte is a request; closing says that it came."""
    with ear:
        if not ear.recv(1):
            return
        while select.select([ear], [], [], ending.left() if ending.asked < 2 else _AT_ONCE)[0]:
            if not ear.recv(1):
                return
        last_words = threading.Thread(
            target=_take_leave, args=(ending.limit, ending.loop), name=OURS + "last-words", daemon=True
        )
        last_words.start()
        last_words.join(_FLUSH)  # whoever reads the log may have stopped doing so
        os._exit(OVERDUE)


def _take_leave(limit: float, loop: asyncio.AbstractEventLoop | None) -> None:
    running = _call_on_the_stack() + ([] if loop is None else calls_in_progress(loop))
    busy = sorted(
        thread.name
        for thread in threading.enumerate()
        if not thread.name.startswith(OURS) and thread is not threading.main_thread()
    )
    log.critical(
        "the end took longer than %g seconds; ending the process with status %d. Calls in progress: %s. Threads: %s",
        limit,
        OVERDUE,
        ", ".join(running) or "none",
        ", ".join(busy) or "none",
    )
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    logging.shutdown()


def _call_on_the_stack() -> list[str]:
    """The call whose handler holds the main thread at this moment, if one does."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # pyright: ignore[reportPrivateUsage] - documented, for debuggers
    call = call_on(frame)
    return [] if call is None else [name_of(call)]
