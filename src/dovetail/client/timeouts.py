"""The end of every wait: a deadline that progress moves, and a way to end the wait from outside with a reason.

A `CallTimeout` is entered around one await. It ends it, by cancelling the task it was entered in and turning that
cancellation into a typed error, when the time is up or when `abort` is called (the connection is lost, the client is
closed). A cancellation that came from elsewhere passes unchanged, so no one else's cancellation is ever swallowed or
replaced. The timeouts of a link share one timer, a `TimeoutTimer`, which is armed for the earliest of them and moved
lazily: a timeout that ends in time, or makes progress, costs an assignment. A timeout is a `deadlines.PausableClock`:
while a transport waits for a person to log in, its time stands still.
Specification: basic/lifecycle "Timeouts", basic/patterns/progress.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from contextvars import Token
from types import TracebackType
from typing import Any, Final

from ..protocol.errors import DovetailError, LocalProtocolError, RequestTimeout, in_seconds
from ..transports.deadlines import PausableClock, tick, untick


class TimeoutTimer:
    """One timer for all ``timeouts`` of a link, which rings when it is ``due``. Made and used in its event loop."""

    __slots__ = ("_timeouts", "_timer", "due", "loop")

    def __init__(self, timeouts: "Mapping[Any, CallTimeout]") -> None:
        self.loop: Final = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._timer: asyncio.TimerHandle | None = None
        self.due = math.inf

    def by(self, due: float) -> None:
        """Ring by this time of the loop at the latest. Early is no harm."""
        if due < self.due:
            self.silence()
            self.due = due
            self._timer = self.loop.call_at(due, self._ring)

    def silence(self) -> None:
        """Do not ring."""
        self.due = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer, self.due = None, math.inf
        for guard in tuple(self._timeouts.values()):
            guard.look()


class CallTimeout:
    """Ends the awaits inside its ``with`` block after ``seconds`` without progress, or ``maximum`` seconds in all.

    None means no limit. While ``held`` is true the time without progress does not run out: the peer waits for us.
    ``alarm``: what looks after it, if it is among the timeouts of that; else it has one of its own. ``call``: what its
    owner keeps of what is waited for. ``unsent``: see `PausableClock`. Raises `RequestTimeout`, or the error given to
    `abort`.
    """

    __slots__ = (
        "_alarm",
        "_alone",
        "_begun",
        "_cancelling",
        "_due",
        "_error",
        "_held",
        "_last",
        "_loop",
        "_seconds",
        "_stopped",
        "_stops",
        "_struck",
        "_task",
        "_token",
        "_what",
        "call",
        "unsent",
    )

    def __init__(
        self,
        what: str,
        seconds: float | None,
        maximum: float | None = None,
        held: Callable[[], bool] | None = None,
        alarm: TimeoutTimer | None = None,
    ) -> None:
        self._what = what
        self._seconds = seconds
        self._held = held
        self._last = maximum
        self._error: DovetailError | None = None
        self._task: asyncio.Task[object] | None = None
        self._due: float | None = None
        self._alone = alarm is None
        self._alarm = TimeoutTimer({"": self}) if alarm is None else alarm
        self._begun = 0.0
        self._cancelling = 0
        self._struck = False
        self._stops = 0
        self._stopped = 0.0
        self._token: Token[tuple[PausableClock, ...]] | None = None
        self.call: Any = None
        self.unsent = False

    def __enter__(self) -> "CallTimeout":
        alarm = self._alarm
        loop = self._loop = alarm.loop
        task = asyncio.current_task(loop)
        if task is None:
            raise LocalProtocolError("a client's methods are awaited inside a task of an event loop")
        self._task = task
        self._cancelling = task.cancelling()
        self._begun = now = loop.time()
        if self._last is not None:
            self._last += now
        self._move(now)
        if self._error is not None:  # aborted before it began
            error = self._error
            self._task = None
            raise error
        due = self._due
        if due is not None and due < alarm.due:
            alarm.by(due)
        self._token = tick(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._token is not None:
            untick(self._token)
        if self._alone:
            self._alarm.silence()
        if self._error is None or task is None:
            return
        ours = self._struck and task.uncancel() <= self._cancelling
        if kind is not None and (ours or not issubclass(kind, asyncio.CancelledError)):
            raise self._error from None

    def progress(self) -> None:
        """There was a sign of life: the time without progress starts anew."""
        self._move(self._loop.time())

    def _move(self, now: float) -> None:
        last = self._last
        if self._seconds is None:
            self._due = last
        else:
            due = now + self._seconds
            self._due = due if last is None or due < last else last

    def stop(self) -> None:
        """The time stands still: somebody has to be waited for. Pairs with `go_on`."""
        self._stops += 1
        if self._stops == 1 and self._task is not None:
            self._stopped = self._loop.time()

    def go_on(self) -> None:
        """The time goes on; that without progress starts anew, since the message is sent anew."""
        self._stops -= 1
        if self._stops or self._task is None:
            return
        gone = self._loop.time() - self._stopped
        self._begun += gone
        if self._last is not None:
            self._last += gone
        self.progress()
        if self._due is not None:
            self._alarm.by(self._due)

    def abort(self, error: DovetailError) -> None:
        """End the wait with this error. Does nothing once it has ended."""
        if self._error is not None:
            return
        self._error = error
        if self._task is not None and self._task is asyncio.current_task():
            # The task does this itself, and may leave before it awaits again: a cancellation now would then
            # strike at its next await, outside of this block (before Python 3.13 nothing takes it back).
            self._loop.call_soon(self._strike)
        else:
            self._strike()

    def _strike(self) -> None:
        if self._task is not None:
            self._struck = True
            self._task.cancel()

    @property
    def ended(self) -> bool:
        """Whether the timeout ended the wait."""
        return self._error is not None

    def look(self) -> None:
        """The alarm rang: see whether the time is up."""
        if self._task is None or self._due is None or self._stops:
            return
        now = self._loop.time()
        if now < self._due - 0.0005:
            self._alarm.by(self._due)
            return
        final = self._last is not None and now >= self._last - 0.0005
        if not final and self._held is not None and self._held():
            self.progress()
            self._alarm.by(self._due)
            return
        spent = now - self._begun
        self.abort(RequestTimeout(f"{self._what} was not answered within {in_seconds(spent)}"))
