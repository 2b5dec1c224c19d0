"""What goes back over ASGI: plain answers, refusals, event streams.

Every refusal is one exception, raised where the fault is seen and sent in one place, with a JSON-RPC error
for its body. An `EventWriter` is one open event stream: each event is one write, bounded in time, so that a
reader who never reads costs its own stream and nobody else's. A write that the server takes at once meets
neither lock nor timer: a server of this project is asked whether it does (`Pushing`), with any other the first step
is taken by hand (`Begun`), and only what has to wait waits under both. A large body goes to such a server in pieces:
what its client does not read waits here, where it is counted.
Specification: 2026-07-28 basic/transports/streamable-http "Receiving Messages"; 2025-11-25 basic/transports.
"""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator, MutableMapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from ...protocol import messages, names
from ...protocol.bindings.sse import comment
from ...protocol.envelope import Malformed
from ...protocol.errors import ConnectionLost, InvalidRequest, RPCError
from ...protocol.types.requests import RequestId
from ...runtime import tap
from ...security.callers import outside
from .unread import Unread, weight_of

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
HeaderList = Sequence[tuple[bytes, bytes]]


class Drainable(Protocol):
    """An ASGI application that can be asked to come to an end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        ...

    async def start(self) -> None:
        """Begin the application's life. Raises what keeps it from that."""
        ...

    async def drain(self, limit: float | None = None) -> None:
        """Take no more requests and wait for those in progress, at most ``limit`` seconds."""
        ...

    @property
    def drain_limit(self) -> float:
        """Seconds that the end of the server may take."""
        ...


JSON: Final = (b"content-type", names.MEDIA_JSON.encode())
STREAM: Final = (
    (b"content-type", names.MEDIA_SSE.encode()),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
#: Up to how many bytes a body of two parts is joined: one write costs more than copying that.
_JOINED: Final = 64 * 1024
#: Bytes of a large body that a server of somebody else gets at once, and seconds that its client has to take them.
PIECE: Final = 256 * 1024
READING: Final = 60.0
#: What waits for such clients. (A server of this project counts what waits itself.)
_unread: Final = Unread()
_links: Final = itertools.count(1)


class Pushing(ABC):
    """What an ASGI server's ``send`` may be a method of: a request whose answer can go on without anybody waiting.

    Whoever wraps ``send`` hides this, and all that is sent goes the way that ASGI has, through the wrapping.
    """

    __slots__ = ()

    @abstractmethod
    def push(self, data: bytes) -> bool:
        """Send a part of the body, with more to come. False, and nothing is sent, where `send` would have to wait."""


class HTTPRefusal(Exception):
    """A request that is not served: the HTTP status, and the JSON-RPC error of the body (under ``id``, if one
    is known).

    ``link`` and ``revision``: under what the request was put through the `tap`, where it was. ``reason``: in a word,
    where the status does not say it (see `RefusedMessage`).
    """

    def __init__(
        self,
        status: int,
        problem: RPCError | str,
        *,
        id: RequestId | None = None,
        headers: HeaderList = (),
        body: bytes | None = None,
        link: str = "",
        revision: str | None = None,
        reason: str = "",
    ) -> None:
        self.reason = reason
        self.problem = InvalidRequest(problem) if isinstance(problem, str) else problem
        super().__init__(f"{status}: {self.problem.message}")
        self.status = status
        self.id = id
        self.headers = headers
        self.body = body
        self.link = link
        self.revision = revision

    def render(self) -> bytes:
        """The body of the answer."""
        return messages.error(self.id, self.problem) if self.body is None else self.body


async def answer(
    send: Send,
    status: int,
    body: bytes,
    extra: HeaderList = (),
    *,
    tail: bytes = b"",
    kind: HeaderList = (JSON,),
    remote: str | None = None,
) -> None:
    """A whole answer: JSON, an event stream (``kind``: `STREAM`), or nothing at all.

    ``tail``: the rest of the body, which other answers may share. ``remote``: the peer's address, whose
    network a large one counts for while it is not read.
    """
    length = (b"content-length", b"%d" % (len(body) + len(tail)))
    headers = [*kind, length, *extra] if body else [length, *extra] if status != 204 else list(extra)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if tail:
        if len(tail) > _JOINED:
            await send({"type": "http.response.body", "body": body, "more_body": True})
            body = tail
        else:
            body += tail
    if len(body) > PIECE and not isinstance(getattr(send, "__self__", None), Pushing):
        await _send_in_pieces(send, body, outside(remote))
    else:
        await send({"type": "http.response.body", "body": body})


async def _send_in_pieces(send: Send, body: bytes, network: str) -> None:
    """Send a large body, which no server then has to keep for a client that does not read it. Such a client is not
    waited for longer than `READING`, nor once too much waits for such clients: the server ends an answer that is not
    whole.
    """
    size = len(body)
    for at in range(0, size, PIECE):
        part = body[at : at + PIECE]
        begun = Begun(send({"type": "http.response.body", "body": part, "more_body": at + PIECE < size}))
        if begun.over:
            continue
        limit = asyncio.timeout(READING)
        try:
            async with limit:
                # All of it is kept until the end.
                _unread.add(limit, network, weight_of(size), partial(_expire, limit))
                await begun
        except TimeoutError:
            return
        finally:
            _unread.remove(limit)


def _expire(limit: asyncio.Timeout) -> None:
    limit.reschedule(asyncio.get_running_loop().time())


async def refuse(send: Send, refusal: HTTPRefusal, extra: HeaderList, revision: str | None) -> None:
    """Answer with a refusal, the one way that any leaves by. ``revision``: what the request says of itself."""
    body = refusal.render()
    if tap.listeners:
        tap.note(refusal.link or new_link(), "server", True, "http", body, refusal.revision or revision)
    await answer(send, refusal.status, body, (*refusal.headers, *extra))


def new_link() -> str:
    """What one exchange is called on the `tap`."""
    return f"http-request-{next(_links)}"


def heard(body: bytes, revision: str | None) -> str:
    """Put a request that stands alone through the `tap`. Gives its link, "" when nobody listens."""
    if not tap.listeners:
        return ""
    link = new_link()
    tap.note(link, "server", False, "http", body, revision)
    return link


def unreadable(body: bytes, revision: str | None, problem: Malformed) -> HTTPRefusal:
    """The refusal (400) of a message that can't be read. To be raised where it is made: in a variable of whoever raises
    it, it would keep the body until the collector comes.
    """
    id = None if problem.response else problem.id  # that of a response is an id of ours
    return HTTPRefusal(400, problem.error, id=id, link=heard(body, revision))


class Begun:
    """Something awaitable whose first step is taken at once, by the task that makes this. ``over``: that was all;
    else the rest is to be awaited, by the same task. Raises what the first step raises.
    """

    __slots__ = ("_steps", "_waits", "over")

    def __init__(self, what: Awaitable[None]) -> None:
        self._steps = what.__await__()
        self._waits: Any = None
        self.over = False
        try:
            self._waits = next(self._steps)
        except StopIteration:
            self.over = True

    def __await__(self) -> Generator[Any, Any, None]:
        waits = self._waits
        try:
            while True:
                try:
                    yield waits
                except BaseException as problem:  # noqa: BLE001 - a cancellation, and whatever else, is for what waits
                    waits = self._steps.throw(problem)
                else:
                    waits = next(self._steps)
        except StopIteration:
            return


class EventWriter:
    """One event stream on its way to one client.

    ``limit`` is how long one write may wait for the client to read, in seconds: writes raise
    `ConnectionLost` after that. ``interval`` is after how many seconds of silence a comment keeps the
    connection alive; ``alive`` is called as often. ``pushing``: the server's own request, if there is one to `push` to.
    """

    __slots__ = (
        "_alive",
        "_beating",
        "_extra",
        "_interval",
        "_limit",
        "_lock",
        "_queued",
        "_send",
        "_silent",
        "broken",
        "pushing",
    )

    def __init__(
        self,
        send: Send,
        extra: HeaderList,
        *,
        limit: float,
        interval: float,
        alive: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._send = send
        server = getattr(send, "__self__", None)
        self.pushing = server if isinstance(server, Pushing) else None
        self._extra = extra
        self._limit = limit
        self._interval = interval
        self._alive = alive
        self._lock: asyncio.Lock | None = None
        self._queued = 0
        self._silent = True
        self._beating: asyncio.TimerHandle | asyncio.Task[None] | None = None
        self.broken = False

    async def start(self, first: bytes = b"") -> None:
        """Send the head of the answer, and its first event."""
        await self._pass({"type": "http.response.start", "status": 200, "headers": [*STREAM, *self._extra]})
        # Servers may hold the head back until a part of the body comes, be it an empty one.
        await self._pass({"type": "http.response.body", "body": first, "more_body": True})
        self._set_timer()

    def push(self, data: bytes) -> bool:
        """Send one event or several, all of them whole, if that takes no waiting. False, and nothing is sent, where it
        does, or may.
        """
        pushing = self.pushing
        if pushing is None or self._queued or self.broken or not pushing.push(data):
            return False
        self._silent = False
        return True

    async def write(self, data: bytes) -> None:
        """Send one event or several, all of them whole."""
        if self.pushing is None or not self.push(data):
            self._silent = False
            await self._pass({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        """Send the last event, if any, and end the stream."""
        if self._lock is not None:
            async with self._lock:  # not in the middle of a comment
                self.close()
        self.close()
        if len(data) > PIECE and self.pushing is None:  # or the server would keep all of it
            for at in range(0, len(data), PIECE):
                await self._pass(
                    {"type": "http.response.body", "body": data[at : at + PIECE], "more_body": True}
                )
            data = b""
        await self._pass({"type": "http.response.body", "body": data, "more_body": False})

    def close(self) -> None:
        """Send no more comments. Idempotent."""
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None

    def _set_timer(self) -> None:
        self._silent = True
        self._beating = asyncio.get_running_loop().call_later(self._interval, self._time)

    def _time(self) -> None:
        """A while has passed. A stream in use, of which nobody wants to know, needs no task."""
        if self._silent or self._alive is not None:
            self._beating = asyncio.get_running_loop().create_task(self._beat())
        else:
            self._set_timer()

    async def _beat(self) -> None:
        try:
            if self._silent:
                await self._pass({"type": "http.response.body", "body": comment(), "more_body": True})
            if self._alive is not None:
                await self._alive()
        except ConnectionLost:
            return
        if self._beating is not None:
            self._set_timer()

    async def _pass(self, event: Event) -> None:
        if self._queued:  # an earlier event is still on its way
            await self._wait(event, None)
            return
        if self.broken:
            raise _lost()
        try:
            begun = Begun(self._send(event))
        except OSError:
            self.broken = True
            raise _lost() from None
        if not begun.over:
            await self._wait(event, begun)

    async def _wait(self, event: Event, begun: Begun | None) -> None:
        """Send an event when its turn has come. Nobody waits for a turn when one has ``begun``."""
        if self._lock is None:
            self._lock = asyncio.Lock()
        self._queued += 1
        try:
            async with self._lock:
                if self.broken:
                    raise _lost()
                try:
                    async with asyncio.timeout(self._limit):
                        await (begun or self._send(event))
                except (TimeoutError, OSError):
                    self.broken = True
                    raise _lost() from None
                except asyncio.CancelledError:
                    self.broken = True  # whatever came next might not be whole
                    raise
        finally:
            self._queued -= 1


def _lost() -> ConnectionLost:
    return ConnectionLost("the client stopped reading")
