"""Calls that wait at a stateful upstream for an answer of a caller which has no requests to be asked by.

Theory of operation. The upstream asks by a request during the call, and the caller of the stateless era is asked by the
result of its own: so its request ends, the call at the upstream goes on waiting, and when the caller sends its request
again, with the answers, the upstream gets them. Which call that is stands in the request state, which is sealed. A
caller that lost a reply may send the same request again; it is told the same.

A parked call is held in this process, for so long, and there are so many, of one caller and of all: beyond that, or on
another worker, the caller is told that it has to begin anew. Those that have ended, kept for who lost the reply, make
room for those that wait.

Specification: basic/patterns/mrtr; client/elicitation (2025-11-25).
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from msgspec import Raw, Struct

from ..errors import InternalError
from ..security.callers import HERE, caller_of
from .passing import Passing

MAX_PARKED: Final = 256
"""Calls of one proxy that wait for their callers at a time."""
MAX_PARKED_EACH: Final = 64
"""Those of one caller; of callers without a name on this machine, who can't be told apart, there is no such bound."""
MAX_KEPT: Final = 8 * 1024 * 1024
"""Bytes of results that one proxy keeps for callers who lost the reply, for half a minute (8 MiB)."""
_KEPT: Final = 30.0
_QUIET: Final = 0.02
"""Seconds in which no further question came: those that an upstream asks together come as requests of their own, one
write each, and a process may be made to wait between two writes.
"""
_MOST: Final = 16
"""Times that further questions are waited for."""


class ParkingLost(InternalError):
    """A call that waited for answers is no more: it took too long, or the process that had it ended. It may have done
    its work, or part of it.
    """


class PendingQuestions(Struct, frozen=True):
    """What the upstream asks: method and parameters by key."""

    questions: Mapping[str, tuple[str, Raw]]


class ParkedCall:
    """A call at the upstream that may wait for answers. ``let_go`` is called once it has ended."""

    def __init__(self, connection: Any, passing: Passing, let_go: Callable[[], None]) -> None:
        self.id: Final = os.urandom(16).hex()
        self.connection = connection
        self.passing = passing
        self.caller: Final = caller_of(passing.channel.principal, passing.channel.remote)
        self._let_go = let_go
        self._task: asyncio.Task[Raw] | None = None
        self._open: dict[str, tuple[str, Raw, asyncio.Future[Raw]]] = {}
        self._told: list[PendingQuestions | Raw] = []
        self._wake = asyncio.Event()
        self._number = 0
        self._lock = asyncio.Lock()
        passing.park = self._ask
        passing.reaches_caller = self._lock.locked

    def begin(self, work: Callable[[], Awaitable[Raw]]) -> None:
        """Send it."""

        async def run() -> Raw:
            try:
                return await work()
            finally:
                self._let_go()

        self._task = asyncio.create_task(run())
        self._task.add_done_callback(lambda _: self._wake.set())

    async def came_to(self, step: int, answers: Mapping[str, Any] | None = None) -> PendingQuestions | Raw:
        """What it came to after so many rounds, given the answers of the last: its result, or what it asks next.
        Raises what it was refused with; whoever is cancelled here ends it.
        """
        async with self._lock:  # a request that was sent again while the first is answered
            return self._told[step] if step < len(self._told) else await self._came_to(answers or {})

    async def _came_to(self, answers: Mapping[str, Any]) -> PendingQuestions | Raw:
        for key, answer in answers.items():
            found = self._open.pop(key, None)
            if found is not None and not found[2].done():
                found[2].set_result(answer)
        try:
            found = await self._next()
        except asyncio.CancelledError:
            self.end()
            raise
        self._told.append(found)
        return found

    def end(self) -> None:
        """Take it back at the upstream."""
        if self._task is not None:
            self._task.cancel()

    @property
    def size(self) -> int:
        """Bytes of the result that was told; nothing as long as there is none."""
        return sum(len(each) for each in self._told if isinstance(each, Raw))

    @property
    def over(self) -> bool:
        """Whether the upstream answered it."""
        return self._task is None or self._task.done()

    async def _next(self) -> PendingQuestions | Raw:
        task = self._task
        assert task is not None  # noqa: S101 - `begin` comes first
        while True:
            if task.done():
                if task.cancelled():
                    raise ParkingLost("the call waited too long for its answers, and was taken back")
                return task.result()
            if self._open:
                await self._gather(task)
                asked = {key: (method, params) for key, (method, params, _) in self._open.items()}
                if asked and not task.done():
                    return PendingQuestions(asked)
                continue
            self._wake.clear()
            await self._wake.wait()

    async def _gather(self, task: asyncio.Task[Raw]) -> None:
        """Wait until no further question comes: those that were asked together go out together. Once the call has
        ended, none does.
        """
        for _ in range(_MOST):
            if task.done():
                return
            self._wake.clear()
            try:
                async with asyncio.timeout(_QUIET):
                    await self._wake.wait()
            except TimeoutError:
                return

    async def _ask(self, method: str, params: Raw) -> Raw:
        self._number += 1
        place: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
        key = f"question-{self._number}"
        self._open[key] = (method, params, place)
        self._wake.set()
        try:
            return await place
        finally:
            self._open.pop(key, None)


class Parking:
    """The parked calls of one proxy. ``seconds``: how long one may wait for its caller."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._calls: dict[str, ParkedCall] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def park(self, parked: ParkedCall) -> None:
        """Keep a call until its caller comes back. Raises `InternalError` where there is no room."""
        if parked.id not in self._calls and (many := self._too_many(parked)):
            parked.end()
            raise InternalError(f"{many} wait for answers already; answer those, or try again later")
        self._calls[parked.id] = parked
        self._keep(parked, self._seconds)

    def _too_many(self, parked: ParkedCall) -> str:
        """How many calls there are, in words, where there is no room for one more; else room is made."""
        if len(self._calls) >= MAX_PARKED:
            if (ended := next((id for id, each in self._calls.items() if each.over), None)) is None:
                return f"{MAX_PARKED} calls"
            self._drop(ended)
        if parked.caller != HERE:
            own = sum(1 for each in self._calls.values() if each.caller == parked.caller and not each.over)
            if own >= MAX_PARKED_EACH:
                return f"{own} of your calls"
        return ""

    def take(self, id: str) -> ParkedCall:
        """The call of that id. Raises `ParkingLost`."""
        found = self._calls.get(id)
        if found is None:
            raise ParkingLost(
                "the call that waited for these answers is gone: its time was up, or another process of this server had"
                " it; part of its work may be done. Send the request again without its state to begin anew"
            )
        if (
            timer := self._timers.pop(id, None)
        ) is not None:  # none while the same request is answered already
            timer.cancel()
        return found

    def done(self, parked: ParkedCall) -> None:
        """Its caller was answered: kept a little while, for one that lost the reply."""
        if parked.id not in self._calls:
            return
        if sum(each.size for each in self._calls.values()) > MAX_KEPT:
            self._drop(parked.id)
        else:
            self._keep(parked, _KEPT)

    def close(self) -> None:
        """Take all of them back."""
        for id in list(self._calls):
            self._drop(id)

    def _keep(self, parked: ParkedCall, seconds: float) -> None:
        if (timer := self._timers.pop(parked.id, None)) is not None:
            timer.cancel()
        self._timers[parked.id] = asyncio.get_running_loop().call_later(seconds, self._drop, parked.id)

    def _drop(self, id: str) -> None:
        if (timer := self._timers.pop(id, None)) is not None:
            timer.cancel()
        if (parked := self._calls.pop(id, None)) is not None:
            parked.end()


__all__ = ["MAX_PARKED", "MAX_PARKED_EACH", "PendingQuestions", "ParkedCall", "Parking", "ParkingLost"]
