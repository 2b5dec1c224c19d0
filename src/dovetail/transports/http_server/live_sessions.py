"""What this process holds of a session of the stateful era: what can't be stored, for it goes on.

Calls in progress, questions waiting for answers, open streams: each is keyed within its session, and belongs to the
process that it began in. Specification: 2025-11-25 basic/transports "Session Management".
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Protocol

from ...protocol.call import PeerResponse
from ...protocol.correlation import OpenRequests
from ...protocol.errors import Closed
from ...protocol.listening import Change, everything
from ...protocol.types.requests import RequestId
from ...runtime.hub import HubSubscription
from .streams import MessageStream

MAX_ASKED: Final = 1000


class SessionStream:
    """The stream of a session as a whole: what changed, told on one connection at a time.

    ``teller`` puts changes on the stream, and ends it when ``changes`` ended: a task that exists only as long as there
    is something to do, and not before it ``may_tell``. ``doubted``: changes may have been lost; all that its client
    ``hears`` may have changed.
    """

    __slots__ = ("changes", "doubted", "expiry", "hears", "may_tell", "stream", "teller", "wake")

    def __init__(self, stream: MessageStream) -> None:
        self.stream = stream
        self.may_tell = True
        self.doubted = False
        self.hears: Callable[[Change], bool] = everything
        #: Lets the teller begin, if it has something to do.
        self.wake: Callable[[], None] | None = None
        self.changes: HubSubscription | None = None
        self.teller: asyncio.Task[None] | None = None
        self.expiry: asyncio.TimerHandle | None = None

    def doubt(self) -> None:
        """Changes may have been lost."""
        self.doubted = True
        if self.wake is not None:
            self.wake()

    def stay(self) -> None:
        """Do not expire: somebody reads again, or the end is there."""
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None

    def close(self) -> None:
        """Hear of no more changes; the stream ends once what was heard is told."""
        if self.changes is not None:
            self.changes.close()


class RunningCall(Protocol):
    """A call in progress."""

    def stop(self) -> asyncio.Task[None]:
        """Cancel it: nobody wants its answer any more. Gives its task, which is ending."""
        ...


class LiveSession:
    """What this process holds of one session. Everything in it is keyed within the session, never across. It is made
    for almost each request, so what few requests need is made when they do. ``asker``: the process that its questions
    name in their ids, where others may get the answers. ``over``: the session has ended. ``visits``: the requests that
    hold it.
    """

    __slots__ = (
        "_asked",
        "_asker",
        "_changing",
        "_opening",
        "id",
        "over",
        "running",
        "standalone",
        "streams",
        "visits",
    )

    def __init__(self, id: str, asker: str = "") -> None:
        self.id = id
        self._asker = asker
        self.over = False
        self.visits = 0
        self.running: dict[RequestId, RunningCall] = {}
        self.streams: dict[str, MessageStream] = {}
        self.standalone: SessionStream | None = None
        self._asked: OpenRequests[asyncio.Future[PeerResponse]] | None = None

    @property
    def changing(self) -> asyncio.Lock:
        """Held while a call changes what the session keeps."""
        try:
            return self._changing
        except AttributeError:
            self._changing = asyncio.Lock()
            return self._changing

    @property
    def opening(self) -> asyncio.Lock:
        """Held while it is decided where the standalone stream is."""
        try:
            return self._opening
        except AttributeError:
            self._opening = asyncio.Lock()
            return self._opening

    @property
    def asked(self) -> OpenRequests[asyncio.Future[PeerResponse]]:
        """The questions that wait for an answer."""
        if self._asked is None:
            self._asked = OpenRequests(f"s{self._asker}{secrets.token_hex(4)}-", limit=MAX_ASKED)
        return self._asked

    @property
    def asks(self) -> bool:
        """Whether questions wait for an answer."""
        return bool(self._asked)

    @property
    def digest(self) -> str:
        """What stands for the session where its id is not to be seen."""
        return session_digest(self.id)

    @property
    def prefix(self) -> str:
        """What the names of its streams begin with in the store."""
        return _prefix(self.id)

    @property
    def link(self) -> str:
        """What it is called on the tap."""
        return link_of(self.digest)

    @property
    def quiet(self) -> bool:
        """Whether nothing needs this any more."""
        return not (self.visits or self.running or self.streams or self.standalone or self._asked)

    @property
    def lasts(self) -> bool:
        """Whether something goes on that may outlast a request."""
        return bool(self.running or self.streams or self.standalone or self._asked)

    def cancel(self, id: RequestId) -> bool:
        """Cancel a call: nobody wants its answer any more. False if it does not run here."""
        call = self.running.get(id)
        if call is not None:
            call.stop()
        return call is not None

    def close(self) -> list[asyncio.Task[None]]:
        """End everything; gives the tasks that are ending."""
        tasks = [call.stop() for call in self.running.values()]
        standalone, self.standalone = self.standalone, None
        if standalone is not None:
            if standalone.teller is not None:
                standalone.teller.cancel()
                tasks.append(standalone.teller)
                standalone.teller = None  # another one is to end the stream
            standalone.stay()
            standalone.close()
            if standalone.teller is not None:
                tasks.append(standalone.teller)
        for _, waiter in self.asked.drain():
            if not waiter.done():
                waiter.set_exception(Closed("the session has ended"))
                waiter.exception()  # nobody may be waiting any more: it is told, not lost
        return tasks


@lru_cache(maxsize=1024)
def session_digest(id: str) -> str:
    """What stands for the id of a session where that is not to be seen."""
    return hashlib.sha256(id.encode()).hexdigest()


@lru_cache(maxsize=1024)
def _prefix(id: str) -> str:
    return name_of(session_digest(id), "")


def name_of(digest: str, stream: str) -> str:
    """What a stream is called in the store."""
    return f"http/{digest[:40]}/{stream}"


def link_of(digest: str) -> str:
    """What a session is called on the tap."""
    return f"session-{digest[:16]}"
