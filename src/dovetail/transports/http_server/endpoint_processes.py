"""The processes that serve one endpoint over one store: what they say to each other, and whether each still lives.

Theory of operation. Any worker serves any request of a session, since what a session is stands in the store. What only
one process has (calls that run, questions that wait, open streams) the others reach by a word over the bus of the
store: to that process, or to all. Each process has a random id, and listens from its first request of the stateful era
on; never before, and never where the store is its own. Requests wait until it hears: what they begin may be cancelled
at once, elsewhere. A word names sessions by their digests, since ids are secret.
Words are hints: what must not be lost is put into the store first, and what a word claims is looked up there where it
would end something. Where words may have been lost, each part is told so and looks into the store itself. An engine
that is away stops nothing: listening is tried again until it succeeds.

A process that has something which others may wait for gives signs of life every few seconds, as long as it has that.
Specification: none; it is how 2025-11-25 basic/transports "Session Management" is kept with several workers.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from ...logs import get_logger
from ...protocol.types.requests import RequestId
from ...stores.contracts import Bus, KeyValue
from ...stores.errors import StoreError

__all__ = [
    "CallCancelled",
    "EndpointProcesses",
    "MessagePosted",
    "QuestionAnswered",
    "QuestionOpen",
    "SessionOver",
    "StandaloneWanted",
    "StreamGrew",
    "StreamRead",
]

log = get_logger("dovetail.http")

#: Seconds between two signs of life, and after how many a process counts as dead.
BEAT: Final = 1.5
DEAD_AFTER: Final = 6.0
#: Seconds before a sign of life is given again that the store did not take; and after which it is looked once more for
#: one that is missing, so that nobody is taken for dead because the store was away.
_SIGN_AGAIN: Final = 0.25
CONFIRM: Final = 1.0
#: Seconds within which a process that lives says what it is asked.
REPLY: Final = 2.0
#: Seconds before it is tried again to listen, at first and at most.
_AGAIN: Final = 0.1
_AGAIN_AT_MOST: Final = 5.0
#: Seconds after which it is looked again for what may have been missed, where the store did not say.
LOOK_AGAIN: Final = 2.0
#: How many questions of other processes are worked on at once; those beyond stay without an answer.
AT_ONCE: Final = 1000
_ALIVE: Final = "http/claims/alive/"
_OWN: Final = "http/process/"
_ALL: Final = "http/all"


class QuestionAnswered(Struct, frozen=True, tag="answered"):
    """The answer to a question of the process's is in the store."""

    id: str


class CallCancelled(Struct, frozen=True, tag="cancelled"):
    """Nobody wants the answer to a request any more, wherever it runs."""

    session: str
    id: RequestId


class SessionOver(Struct, frozen=True, tag="over"):
    """A session has ended: each process lets go of what it has of it. ``counted``: whoever watches was told so."""

    session: str
    counted: bool = True


class StreamGrew(Struct, frozen=True, tag="grew"):
    """There is more in the log of a stream that the process reads, or its end."""

    stream: str


class StreamRead(Struct, frozen=True, tag="read"):
    """Asked of the process that writes a stream: the asking one reads it. The answer says whether it is written
    there.
    """

    session: str
    stream: str


class QuestionOpen(Struct, frozen=True, tag="open"):
    """Asked of the process that asks a question, where the store has nothing of it: whether it waits for an answer."""

    session: str
    id: str


class MessagePosted(Struct, frozen=True, tag="posted"):
    """Asked of the process that has a connection of HTTP+SSE: a message of it is in the store. The answer says whether
    it was taken.
    """

    key: str


class StandaloneWanted(Struct, frozen=True, tag="standalone"):
    """Asked of the process that has the standalone stream of a session: another one wants it, to open a new one in its
    place, or to go on with it (``resumed``). The answer says whether it has let go.
    """

    session: str
    stream: str
    resumed: bool


class _Reply(Struct, frozen=True, tag="reply"):
    """What was asked under a number."""

    number: int
    value: bool


Word = QuestionAnswered | CallCancelled | SessionOver | StreamGrew
Question = StreamRead | StandaloneWanted | QuestionOpen | MessagePosted


class _Said(Struct, frozen=True):
    """``number``: under which the sender is to be answered; 0 for a word that has no answer."""

    sender: str
    number: int
    what: (
        QuestionAnswered
        | CallCancelled
        | SessionOver
        | StreamGrew
        | StreamRead
        | StandaloneWanted
        | QuestionOpen
        | MessagePosted
        | _Reply
    )


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Said).decode
W = TypeVar("W", bound=Word)
Q = TypeVar("Q", bound=Question)


class EndpointProcesses:
    """This process among those that share a store, and the way to the others."""

    def __init__(self, kv: KeyValue, bus: Bus) -> None:
        self._alive = kv.within(_ALIVE)
        self._bus = bus
        self._id = ""
        self._hears: dict[type[Any], Callable[[Any], None]] = {}
        self._answers: dict[type[Any], Callable[[Any, str], Awaitable[bool]]] = {}
        self._missed: list[Callable[[], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._ends: list[Callable[[], None]] = []
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[bool]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._held: set[str] = set()
        self._beating: asyncio.Task[None] | None = None
        self._signed = False

    @property
    def id(self) -> str:
        """What this process is called: 16 random hexadecimal digits, drawn when they are first needed."""
        if not self._id:
            self._id = secrets.token_hex(8)
        return self._id

    def hear(self, kind: type[W], heard: Callable[[W], None]) -> None:
        """Have words of a kind heard. ``heard`` must not wait."""
        self._hears[kind] = heard

    def answer(self, kind: type[Q], answered: Callable[[Q, str], Awaitable[bool]]) -> None:
        """Have questions of a kind answered; ``answered`` is given the id of the process that asks as well."""
        self._answers[kind] = answered

    def missed(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called where words may have been lost."""
        self._missed.append(callback)

    # Saying

    async def say(self, process: str, word: Word) -> None:
        """Tell one process. Where the bus fails, it finds out by looking into the store."""
        await self._publish(_OWN + process, _Said(self.id, 0, word))

    async def say_all(self, word: Word) -> None:
        """Tell every process, this one too."""
        await self._publish(_ALL, _Said(self.id, 0, word))

    async def ask(self, process: str, question: Question) -> bool | None:
        """Ask one process; None when it does not answer in time."""
        if not await self.ready():
            return None
        loop, number = asyncio.get_running_loop(), next(self._numbers)
        self._asked[number] = waiter = loop.create_future()
        try:
            async with asyncio.timeout(REPLY):
                if not await self._publish(_OWN + process, _Said(self.id, number, question)):
                    return None
                return await waiter
        except TimeoutError:
            return None
        finally:
            del self._asked[number]

    async def _publish(self, channel: str, said: _Said) -> bool:
        try:
            await self._bus.publish(channel, _encode(said))
        except StoreError as problem:
            log.debug("a word to other workers was not said: %s", problem)
            return False
        return True

    # Hearing

    def begin(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Listen from now on, in the running loop. Served in several loops at once, the first one listens. False while
        that is tried for the first time: wait for `tried` before anything begins of which others may send word.
        """
        if self._loop is not loop and (self._loop is None or not self._loop.is_running()):
            self.rest()
            self._ends.clear()
            self._loop, self._tried = loop, asyncio.Event()
            self._listening = loop.create_task(self._listen())
        return self._loop is not loop or self._tried.is_set()

    async def tried(self) -> None:
        """Wait until this process hears what it is told, or the first try to has failed; no longer than an answer may
        take, for an engine that is away stops nothing.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(REPLY):
                await self._tried.wait()

    async def ready(self) -> bool:
        """Wait until this process hears what it is told, for as long as an answer may take. Whether it does."""
        self.begin(asyncio.get_running_loop())
        if self._listening is not None and not self._listening.done():
            await asyncio.wait((self._listening,), timeout=REPLY)
        return bool(self._ends)

    async def _listen(self) -> None:
        pause = _AGAIN
        while True:
            ends: list[Callable[[], None]] = []
            try:
                ends.append(await self._bus.listen(_OWN + self.id, self._heard))
                ends.append(await self._bus.listen(_ALL, self._heard))
            except StoreError as problem:
                log.debug("what other workers say is not heard yet: %s", problem)
                for end in ends:
                    end()
            else:
                self._ends = ends
                self._heard(None)  # of what was said before, nothing was heard
                return
            finally:
                self._tried.set()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _AGAIN_AT_MOST)

    def _heard(self, data: bytes | None) -> None:
        if data is None:
            for told in self._missed:
                told()
            return
        try:
            said = _decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            log.debug("something on a channel of the workers is no word of theirs")
            return
        what = said.what
        if isinstance(what, _Reply):
            waiter = self._asked.get(what.number)
            if waiter is not None and not waiter.done():
                waiter.set_result(what.value)
        elif (heard := self._hears.get(type(what))) is not None:
            heard(what)
        elif (answered := self._answers.get(type(what))) is not None and len(self._answering) < AT_ONCE:
            task = asyncio.get_running_loop().create_task(self._answer(said, answered))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, said: _Said, answered: Callable[[Any, str], Awaitable[bool]]) -> None:
        try:
            value = await answered(said.what, said.sender)
        except StoreError as problem:
            log.debug("another worker gets no answer: %s", problem)
            return
        await self._publish(_OWN + said.sender, _Said(self.id, 0, _Reply(said.number, value)))

    # Signs of life

    async def hold(self, what: str) -> None:
        """There is something here that others may wait for; once this has returned they see that this process lives.
        Raises `StoreError`; it is held all the same.
        """
        self._held.add(what)
        loop = asyncio.get_running_loop()
        if self._beating is None or self._beating.done() or self._beating.get_loop() is not loop:
            self._signed = False
            self._beating = loop.create_task(self._live())
        if not self._signed:
            await self._alive.set(self.id, b"1", ttl=DEAD_AFTER)
            self._signed = True

    def release(self, what: str) -> None:
        """It is no longer there."""
        self._held.discard(what)
        if not self._held:
            self.rest()

    def rest(self) -> None:
        """Give no more signs of life, until there is something again."""
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        last, pause = loop.time(), BEAT
        while True:
            await asyncio.sleep(pause)
            try:
                await self._alive.set(self.id, b"1", ttl=DEAD_AFTER)
            except StoreError as problem:
                log.debug("a sign of life could not be given: %s", problem)
                self._signed, pause = False, _SIGN_AGAIN
                continue
            self._signed, pause = True, BEAT
            before, last = last, loop.time()
            if last - before > DEAD_AFTER:  # others may have taken it for dead
                self._heard(None)

    async def lives(self, process: str) -> bool:
        """Whether a process that has something lives. Raises `StoreError`."""
        if process == self.id or await self._alive.get(process) is not None:
            return True
        await asyncio.sleep(CONFIRM)
        return await self._alive.get(process) is not None

    async def close(self) -> None:
        """Hear nothing more, and count as dead at once, until there is a request again."""
        self.rest()
        if self._signed:
            self._signed = False
            try:
                await self._alive.delete(self.id)
            except StoreError as problem:  # it expires
                log.debug("a sign of life could not be taken back: %s", problem)
        listening, self._listening, self._loop = self._listening, None, None
        self._tried.set()
        for end in self._ends:
            end()
        self._ends = []
        loop = asyncio.get_running_loop()
        tasks = [
            each for each in (*self._answering, listening) if each is not None and each.get_loop() is loop
        ]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
