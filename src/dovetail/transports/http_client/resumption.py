"""When to open a broken event stream again, and when to give up.

Theory of operation. A `Resumption` remembers the last event of one stream and how often it was tried in vain.
A stream that brought something new starts with a clean slate, so a server may let its client poll for hours;
one that keeps failing is given up after a bounded number of tries. A server that said how long to wait
(``retry``) is given that time exactly at the first try; otherwise waiting grows, with some chance in it so
that many clients do not come back at once.

Nobody listening where the server was is another matter: somebody waits for an answer that will hardly come
any more. A server that is just being restarted is back within a few seconds; then we give up.
Specification: 2025-11-25 basic/transports, "Resumability and Redelivery" and "Sending Messages to the
Server".
"""

import asyncio
import random
import re
from collections.abc import Callable
from typing import Final

from ...protocol.errors import ConnectFailed, ConnectionLost, DovetailError, HTTPStatusError, TransportError
from ..http1.client.http_backend import ConnectRefused

__all__ = ["Resumption", "pause"]

_FIRST: Final = 1.0
_LONGEST: Final = 60.0
_WORTH_RETRYING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_USABLE_ID: Final = re.compile(r"[\x20-\x7e\x80-\U0010ffff]{1,4096}")
_REFUSED_WAITS: Final = (0.25, 0.5, 0.75, 1.0)
"""Seconds between tries while nobody listens where the server was."""


class Resumption:
    """The state of one stream over its connections. ``limit``: tries in a row that bring nothing new.

    ``awaited``: somebody waits for what the stream brings, so a server that is gone ends it soon. ``problem``
    is the last thing that went wrong, for the error at the end. ``on_event_id``: told of each last event id.
    """

    def __init__(self, limit: int, *, awaited: bool) -> None:
        self.last_event_id = ""
        self.problem: DovetailError | None = None
        self.on_event_id: Callable[[str], None] | None = None
        self._limit = limit
        self._awaited = awaited
        self._refused = 0
        self._retry: float | None = None
        self._tries = 0
        self._wait = 0.0

    def heard(self, last_event_id: str, retry: int | None) -> None:
        """Bytes came in; these are the id and the reconnection time (milliseconds) in force now."""
        if retry is not None:
            self._retry = min(retry / 1000, _LONGEST)
        if last_event_id and last_event_id != self.last_event_id:
            # One that no header carries can't be given back: the stream can't be resumed then.
            self.last_event_id = last_event_id if _USABLE_ID.fullmatch(last_event_id) else ""
            self._tries = 0
            if self.on_event_id is not None:
                self.on_event_id(self.last_event_id)

    def reached(self) -> None:
        """The server answered, whatever it said."""
        self._refused = 0

    def opened(self) -> None:
        """A connection to a stream that has no end was made."""
        self.problem = None

    def broke(self, problem: ConnectionLost) -> None:
        """The connection broke."""
        self.problem = problem

    def failed(self, problem: TransportError) -> None:
        """A try failed. Raises ``problem`` again if there is no sense in another."""
        self.problem = problem
        if not isinstance(problem, (ConnectFailed, ConnectionLost)):
            raise problem
        self._refused = self._refused + 1 if isinstance(problem, ConnectRefused) else 0

    def may_retry(self, problem: TransportError, status: int) -> bool:
        """Whether a refusal may pass with time; if so, its Retry-After is kept in mind."""
        self.problem = problem
        if status not in _WORTH_RETRYING:
            return False
        if isinstance(problem, HTTPStatusError) and problem.retry_after is not None:
            self._wait = min(problem.retry_after, _LONGEST)
        return True

    async def wait(self, what: str) -> None:
        """Wait before the next try. Raises `ConnectionLost` when there have been enough."""
        await pause(self.next_wait(what))

    def next_wait(self, what: str) -> float:
        """Seconds to wait before the next try. Raises `ConnectionLost` when there have been enough."""
        if self._awaited and self._refused:
            if self._refused > len(_REFUSED_WAITS):
                raise ConnectionLost(f"{what} broke, and the server is gone: {self.problem}")
            return _REFUSED_WAITS[self._refused - 1] * random.SystemRandom().uniform(0.75, 1.0)
        tries, self._tries = self._tries, self._tries + 1
        if tries >= self._limit:
            cause = f": {self.problem}" if self.problem is not None else ""
            raise ConnectionLost(f"{what} broke and could not be resumed in {tries} tries{cause}")
        asked, self._wait = max(self._wait, self._retry or 0.0), 0.0
        if tries == 0 and self._retry is not None:
            return asked
        growing = min(_FIRST * 2 ** max(0, tries - 1), _LONGEST)
        return max(asked, growing * random.SystemRandom().uniform(0.75, 1.0))  # spreads load


async def pause(seconds: float) -> None:
    """Wait. Tests put another in its place."""
    await asyncio.sleep(seconds)
