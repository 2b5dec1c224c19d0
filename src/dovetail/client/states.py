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

from collections.abc import Callable, Collection
from typing import Any, Literal, get_args

from msgspec import Struct

from ..protocol.errors import Closed, DovetailError, copy_of, in_seconds
from .callbacks import CallbackQueue
from .state_waiters import StateWaiters

State = Literal["new", "opening", "ready", "renewing", "lost", "closed"]


class StateChange(Struct, frozen=True):
    """The connection of a client is now in this ``state``.

    ``cause``: the error that led to it, where there was one. ``renewals``: how many times the server was opened anew
    since the client was opened; when it grew, what the server knew of this client may be gone.
    """

    state: State
    cause: DovetailError | None = None
    renewals: int = 0


StateHandler = Callable[[StateChange], Any]


class States(StateWaiters[State]):
    """The state of one connection. ``callback_queue``: tells the host's callback. What `wait` raises where a state
    can't come any more: see `Client.wait_for`.
    """

    STATES = get_args(State)

    def __init__(self, callback_queue: CallbackQueue | None) -> None:
        super().__init__()
        self.current = StateChange("new")
        self._callback_queue = callback_queue

    def now(self, state: State, cause: DovetailError | None = None, *, renewed: bool = False) -> None:
        """Note a state and tell of it. ``renewed``: the server was opened anew."""
        before = self.current
        if before.state in (state, "closed"):
            return
        self.current = StateChange(state, cause, before.renewals + renewed)
        self.changed()
        if self._callback_queue is not None:
            self._callback_queue.put(self.current)

    def _outcome(self, wanted: Collection[str]) -> State | Exception | None:
        now = self.current
        if now.state in wanted:
            return now.state
        if now.state == "closed":
            return Closed("the client is closed")
        return copy_of(now.cause) if now.state == "lost" and now.cause is not None else None

    def _late(self, wanted: Collection[str], seconds: float) -> str:
        return f"the client was not {' or '.join(wanted)} within {in_seconds(seconds)}; it is {self.current.state}"
