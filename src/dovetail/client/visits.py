"""Waiting for a person who was sent to an address before a call can be made (2025-11-25).

Such a wait ends when the server tells that the visit is done, when the host says so, when the client is closed or
loses the server, and in any case by a bound: the server need not tell.
Specification: client/elicitation, "URL Elicitation Required Error", "Completion Notifications for URL Mode".
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from ..logs import get_logger
from ..protocol.errors import LocalProtocolError, in_seconds

log = get_logger("dovetail.client")
MAX_VISITS: Final = 256


class Visits:
    """The visits that calls wait for, by their ids. ``bound``: seconds that a call waits at most."""

    def __init__(self, bound: float) -> None:
        self._bound = bound
        self._open: dict[str, asyncio.Event] = {}

    @property
    def waited_for(self) -> bool:
        """Whether any call waits for a visit."""
        return bool(self._open)

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

    def forget(self, ids: Sequence[str]) -> None:
        """Nobody waits for these any more."""
        for id in ids:
            self._open.pop(id, None)

    async def over(self, ids: Sequence[str]) -> None:
        """Wait until all these visits are over, or the bound is reached."""
        events = [self._open[id] for id in ids if id in self._open]
        try:
            async with asyncio.timeout(self._bound):
                for event in events:
                    await event.wait()
        except TimeoutError:
            log.info("nobody told within %s that the visit is done; going on", in_seconds(self._bound))
        finally:
            self.forget(ids)
