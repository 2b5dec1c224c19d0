"""The way back from a running call to whoever made it.

A transport gives each call a `Channel`: where its notifications go, how its questions travel (in the
stateful era), who is calling. A plain call never touches it.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

from msgspec import Raw

from ..logs import get_logger
from ..protocol.errors import FeatureUnavailable
from ..protocol.session import ServerSession, SessionState
from ..security.principal import ANONYMOUS, Principal

log = get_logger("dovetail.server")

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
#: Whether `Task.cancelling` can be believed: before Python 3.13 a task group that failed may leave a request behind.
_COUNTS: Final = sys.version_info >= (3, 13)


class DurableCall(Protocol):
    """A call that outlives its requests, and is run more than once, from its beginning each time: `Channel.durable`.

    A body that asks is run again over what was answered and done before: its journal. For a call of a client's that
    journal travels, sealed, with the request. Of work that goes on without a request, somebody keeps it (an extension):
    who runs the call over a channel with this gets `InputRequired` when the body waits for answers, and keeps its
    ``request_state``, which is neither sealed nor bound and never leaves the server. To go on, the call is run with
    that state and the answers. Each step is recorded when it ends, so a crash repeats at most the one that ran. This
    holds in all revisions, also in those in which questions are requests.
    """

    @property
    def key(self) -> str:
        """What identifies it in all of its runs: at least 16 characters that no other call has."""
        ...

    @property
    def steps(self) -> Mapping[str, Raw]:
        """What was recorded of its steps."""
        ...

    async def record(self, step: str, result: bytes) -> None:
        """Keep what a step came to, so that no later run repeats it. The body goes on when this returns; what it raises
        is raised in the body.
        """
        ...

    async def began(self, step: str) -> None:
        """A step is about to begin that runs once (``once`` of the tool): a run that is cut short before `ended` leaves
        it unknown what became of the step. The step begins when this returns, and never where it raises.
        """
        ...

    def ended(self, step: str) -> None:
        """What a step that runs once came to was recorded, or it failed."""
        ...

    def failed(self, problem: Exception) -> None:
        """The body raised something that nobody had foreseen; what a caller is told of it comes as the result."""
        ...


class BodyReached(BaseException):
    """All that has to be asked before the body of a call was answered: raised instead of running it where the channel
    says `stops_at_body`; let it pass. ``state``: what a `DurableCall` goes on from.
    """

    def __init__(self, state: str) -> None:
        super().__init__("the body of the call is not run here")
        self.state = state


class Channel:
    """What a transport provides to a call; this one goes nowhere.

    ``remote`` is the peer's address, None on transports that have none. ``session`` is the session of the stateful
    era. ``tidies``: the transport calls `tidy` once it has answered. ``owned``: the call has a task of its own, which
    nobody but the transport may cancel; ``cancelled``: the transport did. ``lasting``: what a session is told is
    remembered, and changes find their way to it; ``speaking``: what is said during a call is not dropped. ``lapse``:
    what ends the call in good order when its caller's credentials are good no more; without it, it is cancelled then.
    ``lean``: what is large of the request is let go of once it was read. ``durable``: what keeps a call that outlives
    its requests; ``stops_at_body``: `BodyReached` is raised in place of running what asks before it begins. ``asking``:
    what the handler's questions go through in place of `ask`, given the same; whoever puts something there asks by what
    was there before it, or by `ask`. ``failing``: given what the author's function raised, before it becomes an answer,
    gives what it is answered as; whoever puts something there hands on to what was there before it.
    """

    principal: Principal = ANONYMOUS
    lean: bool = False
    stops_at_body: bool = False
    transport: str = ""
    remote: str | None = None
    session: ServerSession | None = None
    tidies: bool = False
    owned: bool = False
    cancelled: bool = False
    lasting: bool = True
    speaking: bool = True
    clean_ups: list[Callable[[], Awaitable[None]]] | None = None
    lapse: Callable[[], None] | None = None
    durable: DurableCall | None = None
    asking: Callable[[str, bytes], Awaitable[Raw]] | None = None
    failing: Callable[[Exception], Exception] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The HTTP request's headers, names in lower case, without credentials; empty elsewhere."""
        return _NO_HEADERS

    @property
    def session_id(self) -> str | None:
        """What stands for the session of the call, the same for all its calls; None where there is no session."""
        return None

    @property
    def caller_id(self) -> str | None:
        """What tells who calls from all others: a principal's key, else a session or a connection that is nobody
        else's. None where nothing does: for whoever has no name, over HTTP and without a session.
        """
        return self.session_id if self.principal.is_anonymous else self.principal.key

    async def read_session(self) -> SessionState:
        """The newest record of the session. Raises `FeatureUnavailable` where there is none, and `StoreError`."""
        raise FeatureUnavailable("there is no session here")

    async def change_session(self, change: Callable[[SessionState], None]) -> None:
        """Change the record of the session and save it, in one move; ``change`` may run again, on a newer record.

        Raises what ``change`` raises, `FeatureUnavailable` where there is no session, and `StoreError`.
        """
        raise FeatureUnavailable("there is no session here")

    def later(self, clean_up: Callable[[], Awaitable[None]]) -> bool:
        """Do this once the call has been answered, in the task that runs the call. False where nobody would."""
        if not self.tidies:
            return False
        if self.clean_ups is None:
            self.clean_ups = []
        self.clean_ups.append(clean_up)
        return True

    async def tidy(self) -> None:
        """Do what was left for later, the last first. What fails in it is logged: the call has its answer."""
        while self.clean_ups:
            clean_up = self.clean_ups.pop()
            try:
                await clean_up()
            except Exception:
                log.exception("cleaning up after a call failed")

    @property
    def abandoned(self) -> bool:
        """Whether a `CancelledError` in the call's task means that nobody wants the answer.

        In a task of somebody else's (an ASGI server's) that is what the task says, where it can be believed. Where
        not, the answer is given: one that nobody reads does less harm than one that never comes.
        """
        if self.owned or self.cancelled:
            return self.cancelled
        task: asyncio.Task[Any] | None = asyncio.current_task()
        return _COUNTS and task is not None and task.cancelling() > 0

    @property
    def shared(self) -> bool:
        """Whether messages of other calls travel on the same channel (stdio), so that endings must be told in
        words.
        """
        return False

    def tell(self, message: bytes) -> bool:
        """Send a notification that belongs to the call, if that takes no waiting. False, and nothing is sent, where it
        does, or may: then `emit` it.
        """
        return False

    async def emit(self, message: bytes) -> None:
        """Send a notification that belongs to the call. Waits while the peer is slow; drops it once the call
        has ended.
        """

    async def ask(self, method: str, params: bytes) -> Raw:
        """Send a request to the client and wait for its result. Raises the client's `RPCError`, or
        `FeatureUnavailable`.
        """
        raise FeatureUnavailable(f"{method} can't be sent to this client: there is no way back to it")

    async def close_stream(self, retry: float | None = None) -> None:
        """Where streams can be resumed, close the connection now and let the client come back for the rest.

        ``retry``: after how many seconds. Elsewhere this does nothing. Specification: 2025-11-25,
        basic/transports.
        """
