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

import time
from collections.abc import Callable, Collection
from typing import Literal, get_args

from msgspec import Struct

from ..client.state_waiters import StateWaiters
from ..errors import Closed, DovetailError
from ..protocol.errors import in_seconds
from ..security import one_line

__all__ = ["ServerState", "ServerStates", "ServerStatus", "ServerUnavailable"]

ServerState = Literal["new", "connecting", "ready", "degraded", "failed", "needs_login", "closed"]


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


class ServerStates(StateWaiters[ServerStatus]):
    """The state of one server. ``tell`` hears of each. ``since``: when it came, by the monotonic clock. `wait` raises
    `Closed` where a state can't come any more.
    """

    STATES = get_args(ServerState)

    def __init__(self, name: str, tell: Callable[[ServerStatus], None]) -> None:
        super().__init__()
        self.name = name
        self.current = ServerStatus("new")
        self.since = time.monotonic()
        self._tell = tell

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
        self.changed()
        self._tell(self.current)

    def _outcome(self, wanted: Collection[str]) -> ServerStatus | Exception | None:
        if self.current.state in wanted:
            return self.current
        return Closed("the host is closed") if self.current.state == "closed" else None

    def _late(self, wanted: Collection[str], seconds: float) -> str:
        return (
            f"the server {self.name!r} was not {' or '.join(wanted)} within {in_seconds(seconds)}; "
            f"it is {self.current}"
        )
