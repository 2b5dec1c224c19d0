"""What becomes of a client's connection, for those who wait for it or watch it.

======================  ===========================================================================================
state                   meaning
======================  ===========================================================================================
``new``                 not opened, or opening failed; `Client.open` opens it
``opening``             being opened for the first time
``ready``               calls go out at once
``renewing``            the session or the process has ended and another is on its way; calls wait for it
``lost``                the connection has ended and nobody makes another; calls raise the cause, `Client.open` connects
``closed``              it was closed, for good
======================  ===========================================================================================

Over HTTP nothing stands between two calls: a server that is gone is only found by the next one, and that tells its
caller alone. A state changes before anybody is told of it, and all are told in order.
Specification: none; what ends a session is in basic/lifecycle and basic/transports "Session Management" (2025-11-25).
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Literal, get_args

from msgspec import Struct

from ..protocol.errors import Closed, DovetailError, LocalProtocolError, RequestTimeout, copy_of, in_seconds
from .callbacks import CallbackQueue

State = Literal["new", "opening", "ready", "renewing", "lost", "closed"]
STATES: Final[tuple[str, ...]] = get_args(State)


class StateChange(Struct, frozen=True):
    """The connection of a client is now in this ``state``.

    ``cause``: the error that led to it, where there was one. ``renewals``: how many times the server was opened anew
    since the client was opened; when it grew, what the server knew of this client may be gone.
    """

    state: State
    cause: DovetailError | None = None
    renewals: int = 0


StateHandler = Callable[[StateChange], Any]


class States:
    """The state of one connection. ``callback_queue``: tells the host's callback."""

    def __init__(self, callback_queue: CallbackQueue | None) -> None:
        self.current = StateChange("new")
        self._callback_queue = callback_queue
        self._waiters: set[tuple[frozenset[str], asyncio.Future[State]]] = set()

    def now(self, state: State, cause: DovetailError | None = None, *, renewed: bool = False) -> None:
        """Note a state and tell of it. ``renewed``: the server was opened anew."""
        before = self.current
        if before.state in (state, "closed"):
            return
        self.current = StateChange(state, cause, before.renewals + renewed)
        for wanted, waiter in tuple(self._waiters):
            self._tell(wanted, waiter)
        if self._callback_queue is not None:
            self._callback_queue.put(self.current)

    async def wait(self, wanted: tuple[str, ...], seconds: float | None) -> State:
        """Wait until the state is one of these; gives it. Raises what can't come any more: see `Client.wait_for`."""
        for each in wanted:
            if each not in STATES:
                raise LocalProtocolError(f"there is no state {each!r}; the states are {', '.join(STATES)}")
        if not wanted:
            raise LocalProtocolError('say which state to wait for, such as wait_for("ready")')
        waiter: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        entry = (frozenset(wanted), waiter)
        self._waiters.add(entry)
        self._tell(*entry)
        try:
            await asyncio.wait((waiter,), timeout=seconds)
            if waiter.done():
                return waiter.result()
        finally:
            self._waiters.discard(entry)
            if not waiter.cancel() and not waiter.cancelled():
                waiter.exception()  # whoever was cancelled meanwhile does not ask for it
        raise RequestTimeout(
            f"the client was not {' or '.join(wanted)} within {in_seconds(seconds or 0.0)}; it is {self.current.state}"
        )

    def _tell(self, wanted: frozenset[str], waiter: "asyncio.Future[State]") -> None:
        """Let a waiter go if its state is there, or can't come by itself any more."""
        now = self.current
        if waiter.done():
            return
        if now.state in wanted:
            waiter.set_result(now.state)
        elif now.state == "closed":
            waiter.set_exception(Closed("the client is closed"))
        elif now.state == "lost" and now.cause is not None:
            waiter.set_exception(copy_of(now.cause))
