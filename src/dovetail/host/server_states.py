"""What becomes of one server of a host, for those who wait for it or watch it.

===============  ==================================================================================================
state            meaning
===============  ==================================================================================================
``new``          the host was not opened yet
``connecting``   being connected to: for the first time, or again after a failure
``ready``        calls go out at once
``degraded``     it was ready, and was lost or does not answer; it is looked after at once, and calls wait for it
``failed``       no connection; another attempt comes in ``retry_in`` seconds, or none unless it is restarted
``needs_login``  it wants credentials that the client does not have: a person is being asked to log in, after which it
                 is ready; or that came to nothing, and nothing is tried until it is restarted
``closed``       the host was closed
===============  ==================================================================================================

A state changes before anybody is told of it, and all are told in order.
Specification: none.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Literal, get_args

from msgspec import Struct

from ..errors import Closed, DovetailError, LocalProtocolError, RequestTimeout
from ..security import one_line

__all__ = ["ServerState", "ServerStates", "ServerStatus", "ServerUnavailable"]

ServerState = Literal["new", "connecting", "ready", "degraded", "failed", "needs_login", "closed"]
STATES: Final[tuple[str, ...]] = get_args(ServerState)


class ServerStatus(Struct, frozen=True):
    """A server of a host is now in this ``state``.

    ``cause``: what led to it, where something failed. ``retry_in``: seconds until the next attempt, None if none comes
    by itself. ``connections``: how many were made until now; when it grew, what the server knew of the host may be
    gone.
    """

    state: ServerState
    cause: BaseException | None = None
    retry_in: float | None = None
    connections: int = 0

    def __str__(self) -> str:
        why = "" if self.cause is None else f" ({one_line(str(self.cause) or type(self.cause).__name__)})"
        return f"{self.state.replace('_', ' ')}{why}"


class ServerUnavailable(DovetailError):
    """A server of the host has no connection now, and nothing was sent to it: see ``status``, and try again later, or
    `Host.restart` it.
    """

    retry_safe = True

    def __init__(self, message: str, *, status: ServerStatus) -> None:
        super().__init__(message)
        self.status = status


class ServerStates:
    """The state of one server. ``tell`` hears of each. ``since``: when it came, by the monotonic clock."""

    def __init__(self, name: str, tell: Callable[[ServerStatus], None]) -> None:
        self.name = name
        self.current = ServerStatus("new")
        self.since = time.monotonic()
        self._tell = tell
        self._waiters: set[tuple[frozenset[str], asyncio.Future[ServerStatus]]] = set()

    def now(
        self,
        state: ServerState,
        cause: BaseException | None = None,
        *,
        retry_in: float | None = None,
        connected: bool = False,
    ) -> None:
        """Note a state and tell of it. ``connected``: by a new connection."""
        before = self.current
        if before.state == "closed":
            return
        self.current = ServerStatus(state, cause, retry_in, before.connections + connected)
        if self.current == before:
            return
        if state != before.state:
            self.since = time.monotonic()
        for wanted, waiter in tuple(self._waiters):
            self._answer(wanted, waiter)
        self._tell(self.current)

    async def wait(self, wanted: tuple[str, ...], seconds: float | None) -> ServerStatus:
        """Wait until the state is one of these. Raises `RequestTimeout`; `Closed` when it can't come any more."""
        for each in wanted:
            if each not in STATES:
                raise LocalProtocolError(f"there is no state {each!r}; the states are {', '.join(STATES)}")
        waiter: asyncio.Future[ServerStatus] = asyncio.get_running_loop().create_future()
        entry = (frozenset(wanted), waiter)
        self._waiters.add(entry)
        self._answer(*entry)
        try:
            await asyncio.wait((waiter,), timeout=seconds)
            if waiter.done():
                return waiter.result()
        finally:
            self._waiters.discard(entry)
            if not waiter.cancel() and not waiter.cancelled():
                waiter.exception()  # whoever was cancelled meanwhile does not ask for it
        raise RequestTimeout(
            f"the server {self.name!r} was not {' or '.join(wanted)} in time; it is {self.current}"
        )

    def _answer(self, wanted: frozenset[str], waiter: "asyncio.Future[ServerStatus]") -> None:
        if waiter.done():
            return
        if self.current.state in wanted:
            waiter.set_result(self.current)
        elif self.current.state == "closed":
            waiter.set_exception(Closed("the host is closed"))
