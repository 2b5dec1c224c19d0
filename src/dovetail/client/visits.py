"""Waiting for a person who was sent to an address before a call can be made (2025-11-25; later see `round_visits`).

Such a wait ends when the server tells that the visit is done, when the host says so, when the client is closed or
loses the server, and in any case by a bound: the server need not tell.
Specification: client/elicitation, "URL Elicitation Required Error", "Completion Notifications for URL Mode".
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from ..logs import get_logger
from ..protocol.errors import LocalProtocolError, in_seconds

log = get_logger("dovetail.client")
MAX_VISITS: Final = 256


class CallWithVisits(Protocol):
    """A call that is made again until its visits are over."""

    @property
    def waits(self) -> bool:
        """Whether it waits for a visit."""
        ...

    def done(self, id: str | None) -> None:
        """A visit is over; None: all of them are."""
        ...


class Visits:
    """The visits that calls wait for, by their ids. ``bound``: seconds that a call waits at most; ``calls``: those that
    are made again and again meanwhile.
    """

    def __init__(self, bound: float) -> None:
        self.bound = bound
        self.calls: set[CallWithVisits] = set()
        self._open: dict[str, asyncio.Event] = {}

    @property
    def waited_for(self) -> bool:
        """Whether any call waits for a visit."""
        return bool(self._open) or any(each.waits for each in self.calls)

    def expect(self, ids: Sequence[str]) -> None:
        """Listen for the end of visits. Raises `LocalProtocolError` for too many."""
        if len(self._open) + len(ids) > MAX_VISITS:
            raise LocalProtocolError(f"more than {MAX_VISITS} visits are awaited")
        for id in ids:
            self._open.setdefault(id, asyncio.Event())

    def done(self, id: str | None = None) -> None:
        """A visit is over; None: all of them are."""
        for each, event in self._open.items():
            if id is None or each == id:
                event.set()
        for call in tuple(self.calls):
            call.done(id)

    def forget(self, ids: Sequence[str]) -> None:
        """Nobody waits for these any more."""
        for id in ids:
            self._open.pop(id, None)

    async def over(self, ids: Sequence[str]) -> None:
        """Wait until all these visits are over, or the bound is reached."""
        events = [self._open[id] for id in ids if id in self._open]
        try:
            async with asyncio.timeout(self.bound):
                for event in events:
                    await event.wait()
        except TimeoutError:
            log.info("nobody told within %s that the visit is done; going on", in_seconds(self.bound))
        finally:
            self.forget(ids)
