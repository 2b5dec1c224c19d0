"""What a server's transports need of it, in one place: how to judge, open, dispatch, and where changes come
from.

The `App` makes one; each transport holds it. Nothing in it belongs to a connection.

The lifespan is left in good order whoever runs the event loop, and whether or not they say that the end has come: by
`Service.stop`; when a loop that is about to be closed cancels its tasks, by the task that entered it, which takes the
cancellation as the word to leave; and when a loop is simply not run any more, by the process at its exit, which runs
it once more.
"""

import asyncio
import atexit
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from threading import get_ident
from typing import Any, Final

from ..logs import get_logger
from ..protocol.call import Call
from ..protocol.errors import DovetailError
from ..protocol.exchange import Exchange
from ..protocol.header_parameters import HeaderParameter
from ..protocol.listening import Change, everything
from ..protocol.revisions import PROFILES
from ..protocol.revisions.profiles import Profiles, ServedRevisions
from ..protocol.session import ServerSession, SessionState
from ..protocol.types.capabilities import ServerCapabilities
from ..security.principal import Principal
from .dispatch import Dispatcher
from .extension import NO_EXTENSIONS, Extensions
from .hub import Hub
from .observer import NO_OBSERVER, Observer
from .shutdown import LIMIT, exit_in
from .stalls import watch

log = get_logger("dovetail.server")


class LifespanFailed(DovetailError, RuntimeError):
    """The lifespan of an app raised something while it was entered, which is the ``__cause__``; nothing is served
    until that is mended.
    """


class Service:
    """A server as its transports see it.

    ``served``: the revisions that it speaks; ``profiles``: the rules of each. ``max_running`` bounds the calls in
    progress on one connection, ``max_message`` (bytes) one message. ``header_parameters`` gives the arguments of a call
    that HTTP headers must repeat; ``extensions`` are its own; ``hearing`` what changes a caller may hear of.
    ``lifespan_name``: what a person knows the lifespan by. ``observer`` is told of what never becomes a call.
    """

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        hub: Hub,
        capabilities: Callable[[], ServerCapabilities],
        served: ServedRevisions,
        profiles: Profiles = PROFILES,
        extensions: Extensions = NO_EXTENSIONS,
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
        lifespan_name: str = "the lifespan",
        max_running: int = 1000,
        max_message: int = 16 * 1024 * 1024,
        header_parameters: Callable[[Call, Principal], Sequence[HeaderParameter]] | None = None,
        hearing: Callable[[Principal, str], Callable[[Change], bool]] | None = None,
        observer: Observer = NO_OBSERVER,
    ) -> None:
        self.observer = observer
        self.dispatcher = dispatcher
        dispatcher.watch, dispatcher.unwatched = watch, True
        self.hub = hub
        self.capabilities = capabilities
        self.speak(served, profiles)
        self.max_running = max_running
        self.max_message = max_message
        self.header_parameters = header_parameters
        self.extensions = extensions
        self._hearing = hearing
        self._lifespan = lifespan
        self._lifespan_name = lifespan_name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._opening: asyncio.Future[None] | None = None
        self._ending: asyncio.Event | None = None
        self._life: asyncio.Task[None] | None = None
        self._kept = False
        self._guests = 0

    def speak(self, served: ServedRevisions, profiles: Profiles) -> None:
        """Serve these revisions from now on, by these rules."""
        self.stateful = served.stateful
        self.stateless = served.stateless
        self.profiles = profiles
        self.exchange = Exchange(served.stateless, announced=served.announced, profiles=profiles)

    def session(self, state: SessionState | None = None) -> ServerSession:
        """The engine of a session: a new one, or one from its record."""
        return ServerSession(state, profiles=self.profiles)

    def hearing(self, principal: Principal, transport: str) -> Callable[[Change], bool]:
        """Which changes a session of the stateful era may hear of, whose caller came that way. What extensions bring is
        listened for by name, which no session can.
        """
        hears = everything if self._hearing is None else self._hearing(principal, transport)
        if not self.extensions.changes:
            return hears
        return (
            _of_protocol if hears is everything else lambda change: not change.notification and hears(change)
        )

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The running loop, if the lifespan has been entered on it."""
        # A loop that runs in this thread is the running one; asking asyncio for that is a system call before 3.12.
        loop = self._loop
        return loop if loop is not None and self._thread == get_ident() and loop.is_running() else None

    @property
    def started(self) -> bool:
        """Whether the lifespan has been entered on the running loop."""
        return self.loop is not None

    async def start(self) -> None:
        """Enter the app's lifespan, once per event loop: a loop that replaced a dead one starts anew.

        It lasts until `stop`. Raises `LifespanFailed`; the next call tries again.
        """
        self._kept = True
        try:
            await self._start()
        except Exception:
            self._kept = False  # nothing was entered that could be kept
            raise

    async def enter(self) -> None:
        """Enter the app's lifespan for a guest: what no `start` keeps alive ends when the last guest leaves."""
        self._guests += 1
        try:
            await self._start()
        except BaseException:
            self._guests -= 1
            raise

    async def leave(self) -> None:
        """One guest less."""
        self._guests -= 1
        if self._guests == 0 and not self._kept:
            await self.stop()

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._opening is None or self._opening.get_loop() is not loop:
            self._opening = loop.create_future()
            self._ending = asyncio.Event()
            self._life = loop.create_task(self._live(self._opening, self._ending))
        await asyncio.shield(self._opening)

    async def stop(self) -> None:
        """End all change streams gracefully and leave the lifespan. Does nothing when it was not entered on
        this loop.
        """
        if self._loop is not asyncio.get_running_loop() or self._ending is None or self._life is None:
            return
        self.hub.close()
        self._kept = False
        self._loop = self._opening = None
        self._ending.set()
        await asyncio.shield(self._life)

    async def _live(self, opening: asyncio.Future[None], ending: asyncio.Event) -> None:
        """The lifespan from beginning to end, in a task of its own: a task group or a timeout in it must be
        left by the task that entered it.
        """
        limit = asyncio.timeout(None)
        try:
            async with limit, self._lifespan() if self._lifespan is not None else nullcontext():
                self._loop, self._thread = asyncio.get_running_loop(), get_ident()
                _remember(self)
                opening.set_result(None)
                await self._until_ended(ending, limit)
        except asyncio.CancelledError:
            opening.cancel()
            raise
        except TimeoutError:
            if not limit.expired():
                raise
            log.error("%s did not end in time, and is cancelled", self._lifespan_name)
        except BaseException as problem:
            if opening.done():
                raise
            opening.set_exception(self._failed(problem))
        finally:
            _living.discard(self)
            if self._opening is opening:
                self._loop = self._opening = None

    async def _until_ended(self, ending: asyncio.Event, limit: asyncio.Timeout) -> None:
        """Wait for `stop`, or for the loop to be closed: that cancels this task, which has to leave nevertheless."""
        try:
            await ending.wait()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.uncancel():
                raise
            self.hub.close()
            limit.reschedule(asyncio.get_running_loop().time() + exit_in(LIMIT))

    def _failed(self, problem: BaseException) -> BaseException:
        """What `start` raises for what the lifespan raised."""
        if not isinstance(problem, Exception):
            return problem
        failed = LifespanFailed(f"{self._lifespan_name} failed to start: {type(problem).__name__}: {problem}")
        failed.__cause__ = problem
        return failed

    @property
    def gone(self) -> bool:
        """Whether the loop of the lifespan was closed without a word to anybody."""
        return self._loop is None or self._loop.is_closed()

    def end_abandoned(self) -> None:
        """The process exits: leave a lifespan whose loop nobody runs any more, and nobody closed."""
        loop = self._loop
        if loop is None or self.gone or loop.is_running():
            return
        try:
            loop.run_until_complete(asyncio.wait_for(self.stop(), exit_in(LIMIT)))
        except Exception:
            log.exception("%s failed to end", self._lifespan_name)


def _of_protocol(change: Change) -> bool:
    return not change.notification


_living: Final[set[Service]] = set()
_hooked: Final[set[str]] = set()


@atexit.register
def _end_abandoned() -> None:
    for service in tuple(_living):
        service.end_abandoned()


def _remember(service: Service) -> None:
    """Note a lifespan that was entered. Processes of `multiprocessing` end by hooks of their own."""
    _living.difference_update([other for other in _living if other.gone])
    _living.add(service)
    if "multiprocessing.process" in sys.modules and "multiprocessing" not in _hooked:
        from multiprocessing import parent_process, util

        if parent_process() is not None:
            _hooked.add("multiprocessing")
            util.Finalize(None, _end_abandoned, exitpriority=100)


Send = Callable[[bytes], Awaitable[None]]
SendNow = Callable[[bytes], Awaitable[None] | None]
