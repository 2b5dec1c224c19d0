"""Changes that go from one process to all others that share a store.

Theory of operation
-------------------
What is published on the hub of one process is put on the bus of the store, and every other process that serves the
same app tells its own listeners. The listeners here are told at once, whatever becomes of the rest.

Publishing never waits. What is to go out is a set, so a fast change costs one entry, and it is bounded: what finds it
full is not forgotten but told as "something was lost". One *carrier* empties the set, piece by piece and in order: a
task in the event loop in which the app is served; where there is none (a job that only imports the app), one in the
loop of a thread of ours, made when it is first needed. A carrier whose loop stops is replaced by the next one, and
what it was about to say is said again: to hear of a change twice does no harm. While a thread of ours has something to
send, a second one keeps the process from ending, for a bounded time: threads of stores can be started as long as one
of those lives that the interpreter waits for, and not later.

Hearing begins with the app's life. A message names the relay that it comes from, so that nobody hears himself, and
changes that can be; anything else on the channel is ignored. A None from the bus, a message that tells of a loss, and
a bus that could not be listened to for a while all mean the same: the hub is in doubt, and everyone here is told of all
that they may have missed. Who may hear of what is judged here, as it is for a change of our own.

Lists are this process's own until it serves: what is registered while an app is imported, or while its lifespan is
entered, is no news for others.

Specification: none; this is operation. What clients are told: basic/patterns/subscriptions.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from msgspec import Struct

from ..logs import get_logger
from ..protocol import codec
from ..protocol.listening import MAX_URI, Change, ChangeType
from ..security.limits import LogThrottle
from ..stores.contracts import Bus
from ..stores.errors import StoreClosed, ValueTooLarge
from .hub import Hub

__all__ = ["ChangeRelay", "channel_of"]

log = get_logger("dovetail.changes")

#: Changes that wait to be published, and changes heard that wait to be told.
MAX_WAITING: Final = 10_000
#: Bytes of one message, roughly, unless a single change is larger; it fits into a notification of PostgreSQL.
PIECE: Final = 4 * 1024
#: Bytes of a message that is read at all.
MAX_MESSAGE: Final = 256 * 1024
#: Listeners that are asked in one turn of the event loop whether they want what was heard.
ASKED_AT_ONCE: Final = 10_000
#: Seconds that the start of an app waits until it hears.
START: Final = 1.0
#: Seconds that the end of an app waits for what is not published yet, and the end of a process that serves nothing.
FLUSH: Final = 1.0
EXIT: Final = 5.0
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0
_MAX_CHANNEL: Final = 200
_LISTS: Final = frozenset({"tools", "prompts", "resources"})


class _RelayedChange(Struct, frozen=True, array_like=True):
    """A `Change` as it travels."""

    kind: str
    uri: str = ""
    notification: str = ""
    params: str = ""


class _ChangesMessage(Struct, frozen=True, omit_defaults=True):
    """What is said on the channel. ``origin``: the relay that says it. ``lost``: it has lost some."""

    origin: str
    changes: list[_RelayedChange] = []
    lost: bool = False


def channel_of(app: str) -> str:
    """The channel of an app, by its name: apps of one name that share a store are one app."""
    named = f"changes/{app}"
    if len(named) <= _MAX_CHANNEL and named.isascii() and named.isprintable():
        return named
    import hashlib

    return "changes/" + hashlib.sha256(app.encode("utf-8", "surrogatepass")).hexdigest()


class ChangeRelay:
    """Publishes the changes of a hub on a channel of a bus, and tells the hub of those that others publish there.

    ``kinds``: those that extensions bring. Each process of an app has one; it may be used from any thread, and after a
    fork.
    """

    def __init__(self, hub: Hub, bus: Bus, channel: str, kinds: Iterable[ChangeType] = ()) -> None:
        self._hub = hub
        self._bus = bus
        self._channel = channel
        self._kinds = {each.kind: each for each in kinds}
        self._begin()

    def _begin(self) -> None:
        """Have nothing to say yet, in this process."""
        self._process = os.getpid()
        self.origin = os.urandom(8).hex()
        self._lock = threading.Lock()
        self._waiting: dict[Change, None] = {}
        self._sending: list[Change] = []
        self._lost = False
        self._piece = PIECE
        self._serving = 0
        self._homes: list[asyncio.AbstractEventLoop] = []
        self._own: asyncio.AbstractEventLoop | None = None
        self._carrier: _Carrier | None = None
        self._guard: threading.Thread | None = None
        self._sent: ThreadFuture[None] | None = None
        self._failures = LogThrottle()
        self._garbage = LogThrottle()

    # What is said

    def publish(self, change: Change) -> None:
        """Tell the other processes. Never waits; may be called from any thread."""
        if self._process != os.getpid():
            self._begin()
        if change.kind in _LISTS and not self._serving:
            return
        with self._lock:
            if change not in self._waiting:
                if len(self._waiting) < MAX_WAITING:
                    self._waiting[change] = None
                else:
                    self._lost = True
            self._carry()

    def _carry(self) -> None:
        """See that somebody sends what waits. With the lock held."""
        if self._sent is None:
            self._sent = ThreadFuture()
        carrier = self._carrier
        if carrier is not None and carrier.loop.is_running():
            return
        self._carrier = None
        for loop in reversed(self._homes):
            if loop.is_running() and self._start(loop):
                return
        if self._own is None:
            self._own = _loop_of_a_thread()
        if self._own is not None:
            self._start(self._own)
            if self._guard is None or not self._guard.is_alive():
                self._guard = threading.Thread(target=self._keep_process, name="dovetail-changes-exit")
                with suppress(RuntimeError):  # the process is past the point up to which it could be kept
                    self._guard.start()

    def _start(self, loop: asyncio.AbstractEventLoop) -> bool:
        carrier = _Carrier(loop)
        try:
            loop.call_soon_threadsafe(carrier.start, self._send_all)
        except RuntimeError:  # it was closed meanwhile
            return False
        self._carrier = carrier
        return True

    async def _send_all(self, carrier: _Carrier) -> None:
        """Publish what waits, until nothing does or another one has taken over."""
        pause = FIRST_PAUSE
        try:
            while (message := self._next(carrier)) is not None:
                try:
                    await self._bus.publish(self._channel, codec.encode(message))
                    pause = FIRST_PAUSE
                    self._done(carrier, lost=message.lost)
                except StoreClosed:
                    self._give_up(carrier, "the store is closed")
                    return
                except ValueTooLarge as problem:
                    if not self._shortened(carrier):
                        self._give_up(carrier, str(problem))
                except Exception as problem:  # noqa: BLE001 - whatever keeps it from leaving, it is tried again
                    if self._failures.due("publish"):
                        log.warning("other processes are not told of changes, and will be later: %s", problem)
                    await asyncio.sleep(pause * random.SystemRandom().uniform(0.5, 1.0))  # not all at once
                    pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            with self._lock:
                if self._carrier is carrier:  # it was cancelled: its loop is about to end
                    self._carrier = None
                    if self._unsent:
                        self._homes = [loop for loop in self._homes if loop is not carrier.loop]
                        self._carry()

    def _next(self, carrier: _Carrier) -> _ChangesMessage | None:
        """The next message; None where the carrier has nothing more to do."""
        with self._lock:
            if self._carrier is not carrier:
                return None
            if self._sending:  # it was not said, or nobody knows
                self._waiting = dict.fromkeys([*self._sending, *self._waiting])
                self._sending = []
            if not self._unsent:
                self._end_sending()
                return None
            changes: list[_RelayedChange] = []
            size = 0
            for change in self._waiting:
                size += len(change.uri) + len(change.params) + 64
                if self._sending and size > self._piece:
                    break
                self._sending.append(change)
                if (relayed := _relayed(change)) is not None:
                    changes.append(relayed)
            for change in self._sending:
                del self._waiting[change]
            return _ChangesMessage(self.origin, changes, lost=self._lost)

    def _done(self, carrier: _Carrier, *, lost: bool) -> None:
        """What was sent need not be sent again. ``lost``: that changes were lost was said, too."""
        with self._lock:
            if self._carrier is carrier:
                self._sending = []
                self._lost = self._lost and not lost

    def _shortened(self, carrier: _Carrier) -> bool:
        """The bus takes no message of this length: make them shorter. One that holds a single change is told as lost;
        False where even that is too long.
        """
        with self._lock:
            if self._carrier is carrier:
                if len(self._sending) > 1:
                    self._piece //= 2
                elif not self._sending:
                    return False
                else:
                    self._sending, self._lost = [], True
            return True

    def _give_up(self, carrier: _Carrier, why: str) -> None:
        with self._lock:
            if self._carrier is carrier:
                log.warning("%s: other processes are not told of %d changes", why, self._unsent)
                self._waiting, self._sending, self._lost = {}, [], False
                self._end_sending()

    def _end_sending(self) -> None:
        """There is nothing left to say. With the lock held."""
        self._carrier = None
        sent, self._sent = self._sent, None
        if sent is not None:
            sent.set_result(None)

    @property
    def _unsent(self) -> int:
        return len(self._waiting) + len(self._sending) + self._lost

    def _keep_process(self) -> None:
        """Keep the process from ending while something is to be said, but not for long."""
        end = 0.0
        main = threading.main_thread()
        while (sent := self._sent) is not None:
            if not main.is_alive():
                end = end or time.monotonic() + EXIT
                if time.monotonic() >= end:
                    log.error("the process ends, and others were not told of %d changes", self._unsent)
                    return
            wait((sent,), timeout=0.1)

    # The app's life

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[None]:
        """While the app is served here: changes of lists concern others too, and what was said by the end is sent."""
        with self._lock:
            self._serving += 1
        try:
            yield
        finally:
            with self._lock:
                self._serving -= 1
                if self._unsent:
                    self._carry()
                sent = self._sent
            if sent is not None:
                await asyncio.wait((asyncio.wrap_future(sent),), timeout=FLUSH)

    @asynccontextmanager
    async def hearing(self) -> AsyncGenerator[None]:
        """Hear what other processes publish, in the running loop, as long as this lasts. A bus that is away is waited
        for while everything else goes on.
        """
        if self._process != os.getpid():
            self._begin()
        loop = asyncio.get_running_loop()
        hearer = _Hearer(self, loop)
        listening = loop.create_task(hearer.listen(), name="dovetail-changes")
        with self._lock:
            self._homes.append(loop)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(hearer.tried.wait(), START)
            yield
        finally:
            with self._lock:
                if loop in self._homes:
                    self._homes.remove(loop)
                if self._carrier is not None and self._carrier.loop is loop:
                    self._carrier = None  # whatever it has not sent, another one does
                    if self._unsent:
                        self._carry()
            listening.cancel()
            await asyncio.wait((listening,))
            hearer.end()

    async def listen(
        self, heard: Callable[[bytes | None], None], tried: Callable[[], None]
    ) -> Callable[[], None] | None:
        """Listen to the channel, however long it takes until that is possible; ``tried`` is called after the first try.
        Gives what ends it; None where the store was closed. The hub is in doubt where it was not possible at once.
        """
        pause, missed = FIRST_PAUSE, False
        while True:
            try:
                end = await self._bus.listen(self._channel, heard)
            except StoreClosed:
                tried()
                return None
            except Exception as problem:  # noqa: BLE001 - whatever keeps us from hearing, it is tried again
                if self._failures.due("listen"):
                    log.warning("changes in other processes are not heard of for now: %s", problem)
                missed = True
                tried()
                await asyncio.sleep(pause * random.SystemRandom().uniform(0.5, 1.0))  # not all at once
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                if missed:
                    heard(None)
                tried()
                return end

    def read(self, data: bytes) -> tuple[list[Change], bool]:
        """The changes in a message of another relay, and whether it has lost some; none in garbage."""
        try:
            if len(data) > MAX_MESSAGE:
                raise ValueError("it is too long")
            message = codec.reader(_ChangesMessage).read(data)
            if message.origin == self.origin:
                return [], False
            return [self._judged(each) for each in message.changes], message.lost
        except (ValueError, *codec.DECODE_ERRORS):
            if self._garbage.due("heard"):
                log.warning("something on the channel %r of the bus is no change, and ignored", self._channel)
            return [], False

    def _judged(self, said: _RelayedChange) -> Change:
        """The change that somebody tells of. Raises ValueError for what is none."""
        kind, uri, notification, params = said.kind, said.uri, said.notification, said.params.encode()
        if len(uri) <= MAX_URI:
            if kind == "resource" and uri and not (notification or params):
                return Change(kind, uri)
            if kind in _LISTS and not (uri or notification or params):
                return Change(kind)
            type = self._kinds.get(kind)
            if type is not None and type.notification == notification:
                members = codec.decode(params)
                if isinstance(members, dict) and codec.tree(members).get(type.subject) == uri:
                    return Change(kind, uri, notification, params)
        raise ValueError("no such change")

    def tell(self, change: Change, loop: asyncio.AbstractEventLoop) -> None:
        """Tell the listeners of a loop."""
        self._hub.tell(change, loop)

    def doubt(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell the listeners of a loop of all that they may have missed."""
        self._hub.doubt(loop)

    @property
    def listeners(self) -> int:
        """How many there are."""
        return len(self._hub)


class _Carrier:
    """Who sends, and in which loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._task: asyncio.Task[None] | None = None

    def start(self, sending: Callable[[_Carrier], Any]) -> None:
        """Begin, in the loop."""
        self._task = self.loop.create_task(sending(self), name="dovetail-changes-out")


class _Hearer:
    """Hears in one loop, and tells its listeners: some in each turn, so that everything else gets its turn too.

    ``tried``: it hears, or could not at once.
    """

    def __init__(self, relay: ChangeRelay, loop: asyncio.AbstractEventLoop) -> None:
        self._relay = relay
        self._loop = loop
        self._heard: dict[Change, None] = {}
        self._end: Callable[[], None] | None = None
        self._telling = False
        self.tried = asyncio.Event()

    async def listen(self) -> None:
        """Hear from now on, or as soon as that is possible."""
        self._end = await self._relay.listen(self.hear, self.tried.set)

    def end(self) -> None:
        """Hear nothing more."""
        self._heard.clear()
        if self._end is not None:
            self._end()

    def hear(self, data: bytes | None) -> None:
        """Take what the bus says."""
        if data is None:
            self._relay.doubt(self._loop)
            return
        changes, lost = self._relay.read(data)
        heard = self._heard
        for change in changes:
            heard[change] = None
        if len(heard) > MAX_WAITING:  # they come faster than they can be told
            heard.clear()
            lost = True
        if lost:
            self._relay.doubt(self._loop)
        if heard and not self._telling:
            self._tell()

    def _tell(self) -> None:
        heard = self._heard
        for _ in range(max(1, ASKED_AT_ONCE // max(1, self._relay.listeners))):
            for change in heard:
                del heard[change]
                self._relay.tell(change, self._loop)
                break
            else:
                break
        self._telling = bool(heard)
        if heard:
            self._loop.call_soon(self._tell)


class _InlineExecutor(ThreadPoolExecutor):
    """Runs what it is given there and then: in a thread that does nothing else, and when the process ends, where no
    thread can be started any more.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> ThreadFuture[Any]:
        """See `Executor.submit`."""
        future: ThreadFuture[Any] = ThreadFuture()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as problem:  # noqa: BLE001 - it is the one's who asked
            future.set_exception(problem)
        return future


def _loop_of_a_thread() -> asyncio.AbstractEventLoop | None:
    """An event loop that runs in a thread of its own, as long as the process lives; None where there can be none."""
    loop = asyncio.new_event_loop()
    loop.set_default_executor(_InlineExecutor(1))
    ready = threading.Event()
    loop.call_soon(ready.set)
    try:
        threading.Thread(target=loop.run_forever, name="dovetail-changes", daemon=True).start()
    except RuntimeError as problem:  # the process ends
        loop.close()
        log.error("other processes are not told of a change: %s", problem)
        return None
    ready.wait()
    return loop


def _relayed(change: Change) -> _RelayedChange | None:
    """A change as it travels; None for one that nobody could be told of."""
    try:
        change.uri.encode()
        return _RelayedChange(change.kind, change.uri, change.notification, change.params.decode())
    except UnicodeError:  # half of a character, which is in no URI that a client could name
        return None
