"""A handler that blocks the event loop is named in the log, while it does.

Theory of operation
-------------------
Nothing that runs in a loop can say that the loop does not turn. So a thread looks on, one for the process: once in each
`INTERVAL` it sends a message to the loop, and where the last one has not come back it looks what the loop's thread
executes. If that is a handler, the log gets its name and the line where it stands.

A call pays for the reading of one flag. The first one after a while wakes the thread. It sleeps again, and nothing
wakes it, once no call began for an interval and none is in progress, change streams aside, which end when their clients
like; what is in progress is looked up in the loop, seldom and seldomer.

Sync functions of authors run in threads (`dovetail.server.threads`) and block no loop: they are not looked at.

Specification: none.
"""

import asyncio
import os
import sys
import threading
import time
import weakref
from types import FrameType
from typing import Final

from ..logs import get_logger
from ..protocol import names
from .dispatch import Dispatcher
from .shutdown import OURS, call_of, call_on, name_of

__all__ = ["INTERVAL", "watch"]

log = get_logger("dovetail.server")

INTERVAL: Final = 1.0
"""Seconds that a loop may stand still."""

#: After how many quiet intervals, at most, it is looked up again whether calls are in progress.
_SELDOM: Final = 64
_HERE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class _Loop:
    """A loop that is looked at. ``turned``: whether it took the last message; ``begun``: whether calls began since."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.thread = threading.get_ident()
        self.dispatchers: weakref.WeakSet[Dispatcher] = weakref.WeakSet()
        self.begun = self.turned = True
        self.blocking = ""
        self._sent = self._blocked = 0.0
        self._quiet = 0
        self._patience = 1
        self._looking_up = False
        self._in_progress = True

    def look(self) -> bool:
        """Look at it once. False when there is nothing more to look at."""
        if not self.loop.is_running():
            return False
        if not self.turned:
            self._stands_still()
            return True
        if self.blocking:
            log.warning(
                "the event loop turns again; %s had blocked it for %.1f seconds", self.blocking, self._blocked
            )
            self.blocking = ""
        if not self._is_needed():
            return False
        self.turned = False
        self._sent = time.monotonic()
        try:
            self.loop.call_soon_threadsafe(self._turn)
        except RuntimeError:  # it was closed meanwhile
            return False
        return True

    def _is_needed(self) -> bool:
        for dispatcher in tuple(self.dispatchers):
            dispatcher.unwatched = True  # the next call says that there was one
        if self.begun:
            self.begun, self._quiet, self._patience = False, 0, 1
            self._in_progress = True
            return True
        if not self._in_progress:
            return False
        self._quiet += 1
        if self._quiet >= self._patience:
            self._quiet, self._patience = 0, min(2 * self._patience, _SELDOM)
            self._looking_up = True
        return True

    def _turn(self) -> None:
        """In the loop: it turns."""
        self._blocked = time.monotonic() - self._sent
        if self._looking_up:
            self._looking_up = False
            calls = (call_of(task.get_coro()) for task in asyncio.all_tasks(self.loop))
            self._in_progress = any(
                call is not None and call.method != names.SUBSCRIPTIONS_LISTEN for call in calls
            )
        self.turned = True

    def _stands_still(self) -> None:
        if self.blocking:
            return
        frame = sys._current_frames().get(self.thread)  # pyright: ignore[reportPrivateUsage] - documented, for debuggers
        call = call_on(frame)
        if call is not None:
            self.blocking = name_of(call)
            log.warning(
                "%s blocks the event loop, for more than %g seconds now, and nothing else is answered: %s. Await what "
                "takes time, or write a plain `def`, which runs in a thread",
                self.blocking,
                time.monotonic() - self._sent,
                _place(frame),
            )


def _place(frame: FrameType | None) -> str:
    """Where the author's code stands: its innermost line outside of this package and of the standard library."""
    library = os.path.dirname(os.__file__) + os.sep
    innermost = frame
    while frame is not None:
        name = frame.f_code.co_filename
        theirs = not name.startswith((_HERE, "<")) and (
            not name.startswith(library) or "site-packages" in name
        )
        if theirs:
            break
        frame = frame.f_back
    found = frame or innermost
    return (
        ""
        if found is None
        else f"{found.f_code.co_filename}, line {found.f_lineno}, in {found.f_code.co_name}"
    )


class _Watcher:
    """The thread and what it looks at."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}
        self._wake = threading.Event()
        self._asleep = True
        self._resting = False
        self._thread: threading.Thread | None = None

    @property
    def asleep(self) -> bool:
        """Whether only a call wakes it."""
        return self._asleep

    def watch(self, dispatcher: Dispatcher) -> None:
        """A call begins in the running loop."""
        dispatcher.unwatched = False
        loop = asyncio.get_running_loop()
        with self._lock:
            found = self._loops.get(loop)
            if found is None:
                found = self._loops[loop] = _Loop(loop)
            found.begun, found.thread = True, threading.get_ident()
            found.dispatchers.add(dispatcher)
            if self._thread is None or not self._thread.is_alive():
                self._asleep = False
                self._wake.clear()
                self._thread = threading.Thread(target=self._look_on, name=OURS + "stalls", daemon=True)
                self._thread.start()
            elif self._asleep:
                self._asleep = False
                self._wake.set()

    def rest(self) -> None:
        """End the thread, if there is one: this process becomes two, and threads do not."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            self._resting = True
            self._wake.set()
            thread.join()
            self._resting = False

    def _look_on(self) -> None:
        while not self._resting:
            self._wake.wait(None if self._asleep else INTERVAL)
            if self._wake.is_set():
                self._wake.clear()
                continue
            with self._lock:
                for loop, found in tuple(self._loops.items()):
                    if not found.look():
                        del self._loops[loop]
                self._asleep = not self._loops
        for found in self._loops.values():
            for dispatcher in tuple(found.dispatchers):
                dispatcher.unwatched = True
        self._loops.clear()


_watcher: Final = _Watcher()
watch: Final = _watcher.watch
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_watcher.rest)
