"""One connection to one server: requests out, responses back, and everything the server says besides.

A `Link` holds a transport and the engine of the era that was found out (see `opening`). `ask` is one round trip: it
makes the message, sets the deadline, and, when the wait ends without an answer, takes the request back in the way the
era and the transport demand. What comes in otherwise is read by the engine and sorted: questions to `Questions`,
progress to the request it belongs to, changes and log messages to the client, a response that nobody waits for into a
counter.
Specification: basic/index, basic/lifecycle "Timeouts", basic/patterns/{cancellation,progress}.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol, cast

from msgspec import Raw, Struct

from ..protocol import codec, envelope, messages, names
from ..protocol.bindings.headers import InvalidHeaderValue, mirror
from ..protocol.call import Call, Cancel, Notification, Refused
from ..protocol.correlation import Pending
from ..protocol.envelope import Kind, Malformed, Message
from ..protocol.errors import (
    Closed,
    DovetailError,
    InternalError,
    LocalProtocolError,
    RemoteProtocolError,
    RPCError,
    rpc_error,
)
from ..protocol.exchange import ClientExchange
from ..protocol.header_parameters import HeaderParameter
from ..protocol.revisions import Feature, Profile
from ..protocol.session import ClientSession
from ..protocol.types import (
    CallToolParams,
    CancelledNotice,
    GetPromptParams,
    Implementation,
    LogLevel,
    Params,
    ProgressNotice,
    ReadResourceParams,
    RequestId,
    ServerCapabilities,
)
from ..transports.client_seam import Outgoing, Reply, Transport
from ..transports.shared_channel import again, cut_short, unsent
from .answers import ProgressHandler
from .courier import Courier
from .guard import Alarm, Guard
from .options import Options, capabilities_of, own_info
from .questions import Questions
from .tracing import trace_context

log = logging.getLogger("dovetail.client")

MAX_QUESTIONS: Final = 64
CLEANUP_SECONDS: Final = 5.0
_NAMED: Final = {names.TOOLS_CALL: "name", names.PROMPTS_GET: "name", names.RESOURCES_READ: "uri"}


class Owner(Protocol):
    """Who hears of what a link takes in: the client."""

    def noticed(self, link: "Link", event: Notification, related: RequestId | None) -> None:
        """A notification, read. Must return soon and not raise."""
        ...

    def ended(self, link: "Link", id: RequestId) -> None:
        """The server ended a subscription."""
        ...

    def lost(self, link: "Link", error: DovetailError) -> None:
        """The connection is gone."""
        ...


class Wish(Struct, frozen=True, kw_only=True):
    """How a request is to be made: its limits in seconds, who hears of progress, what goes beside the parameters."""

    timeout: float | None = None
    maximum: float | None = None
    progress: ProgressHandler | None = None
    meta: dict[str, Any] | None = None
    log_level: LogLevel | None = None
    header_parameters: Sequence[HeaderParameter] = ()
    started: Callable[[RequestId], None] | None = None


class Link:
    """One connection. Opened by `opening.Opener`; ended by `close` or by the loss of its transport.

    ``greeted``: the server answered ``initialize``, so it has a session of ours. ``opened``: calls may go out.
    ``expired``: they may not until there is a new session, since the server lost the one before.
    """

    def __init__(self, transport: Transport, options: Options, owner: Owner) -> None:
        self.transport = transport
        self.options = options
        info: Implementation = options.info or own_info()
        capabilities = capabilities_of(options)
        self.session = ClientSession(info, capabilities)
        self.exchange = ClientExchange(info, capabilities)
        self.stateless = True
        self.greeted = False
        self.opened = False
        self.expired = False
        self.lost_by: DovetailError | None = None
        self.late = 0
        self.generation = 0
        self.questions = Questions(options)
        self.questions.server = transport.describe()
        self.server_info: Implementation | None = None
        self._owner = owner
        self._ids: Pending[None] = Pending()
        self._guards: dict[RequestId, Guard] = {}
        self._alarm = Alarm(self._guards)
        self._couriers: dict[RequestId, Courier] = {}
        self._asked: dict[RequestId, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._inlet = _Inlet(self)
        self._held = lambda: self.questions.open > 0
        self._quiet: asyncio.Event | None = None
        self._closing: asyncio.Task[None] | None = None

    # What is known of the server

    @property
    def engine(self) -> ClientSession | ClientExchange:
        """The engine of the era in use."""
        return self.exchange if self.stateless else self.session

    @property
    def profile(self) -> Profile:
        """The rules of the revision in use."""
        return self.engine.profile

    @property
    def capabilities(self) -> ServerCapabilities | None:
        """What the server offers, as far as it said."""
        server = self.engine.server
        return None if server is None else server.capabilities

    @property
    def instructions(self) -> str | None:
        """What the server says about its use."""
        server = self.engine.server
        return None if server is None else server.instructions

    def describe(self) -> str:
        """Names the server in error messages."""
        return self.transport.describe()

    # Connecting

    async def connect(self, seconds: float | None) -> None:
        """Open the transport. Raises `ConnectFailed`, `RequestTimeout`."""
        self._check()
        with self._guard(f"connecting to {self.describe()}", seconds, None) as guard:
            key = f"open-{id(guard)}"
            self._guards[key] = guard
            try:
                await self.transport.open(self._inlet)
            finally:
                self._guards.pop(key, None)

    async def replace(self, transport: Transport, seconds: float | None) -> None:
        """Go on with another transport: the old one is let go."""
        old, self.transport = self.transport, transport
        self._inlet.link = None
        self._inlet = _Inlet(self)
        await old.close()
        self.lost_by = None
        self.questions.server = transport.describe()
        await self.connect(seconds)

    # Requests

    async def ask(self, method: str, params: Params | dict[str, Any], wish: Wish) -> Raw:
        """One round trip; gives the result, still as bytes.

        Raises the server's `RPCError`, `TransportError`, `RequestTimeout`.
        """
        return result_of(await self.ask_reply(method, params, wish))

    async def ask_reply(self, method: str, params: Params | dict[str, Any], wish: Wish) -> Reply:
        """As `ask`, for those who need the response whole."""
        self._check()
        id = self._ids.next_id()
        out = self._outgoing(id, method, params, wish)
        guard = self._guard(f"{method} to {self.describe()}", wish.timeout, wish.maximum)
        courier = None if wish.progress is None else Courier(wish.progress, "progress")
        if courier is not None:
            self._couriers[id] = courier
        self._guards[id] = guard
        if wish.started is not None:
            wish.started(id)
        try:
            with guard:
                reply = await self.transport.request(out)
                if courier is not None:
                    await courier.drain()
                return reply
        except DovetailError:
            if guard.ended:
                self._take_back(id, method)
            raise
        except asyncio.CancelledError:
            self._take_back(id, method)
            raise
        finally:
            del self._guards[id]
            if self._quiet is not None and not self._guards:
                self._quiet.set()
            if courier is not None:
                del self._couriers[id]
                courier.close()

    async def notify(self, method: str, params: Any = None) -> None:
        """Send a notification. Raises `TransportError`."""
        self._check()
        data = messages.notification(method, b"" if params is None else self.profile.encode(params))
        await self._send(
            Outgoing(data, None, method, self.stateless, self.profile.revision, self._mirrored(method))
        )

    def _outgoing(self, id: RequestId, method: str, params: Params | dict[str, Any], wish: Wish) -> Outgoing:
        meta = trace_context()
        if wish.meta:
            meta.update(wish.meta)
        token = id if wish.progress is not None else None
        typed: Any = params  # the engines only encode it, and a plain dict encodes as well
        if self.stateless:
            exchange = self.exchange
            data = exchange.request(id, method, typed, meta, progress_token=token, log_level=wish.log_level)
            headers = self._mirrored(method, params, wish.header_parameters) if self.transport.http else ()
            return Outgoing(data, id, method, True, exchange.profile.revision, headers)
        if token is not None:
            meta[names.META_PROGRESS_TOKEN] = token
        session = self.session
        data = session.request(id, method, typed, meta)
        return Outgoing(data, id, method, False, session.profile.revision if self.opened else "")

    def _mirrored(
        self, method: str, params: Any = None, annotated: Sequence[HeaderParameter] = ()
    ) -> tuple[tuple[str, str], ...]:
        if not self.transport.http or not self.stateless or not self.profile.has(Feature.REQUEST_HEADERS):
            return ()
        try:
            if not annotated:
                return _mirrored_plainly(method, name_of(method, params))
            arguments: Any = None
            if isinstance(params, CallToolParams) and params.arguments:
                arguments = codec.decode(params.arguments)
            return tuple(mirror(method, name_of(method, params), arguments, annotated))
        except InvalidHeaderValue as problem:
            raise LocalProtocolError(f"{method} can't be sent over HTTP: {problem}") from None

    def _guard(self, what: str, seconds: float | None, maximum: float | None) -> Guard:
        return Guard(what, seconds, maximum, held=self._held, alarm=self._alarm)

    def _take_back(self, id: RequestId, method: str) -> None:
        """We gave a request up: tell the server, where ending the wait did not tell it already."""
        if self.lost_by is not None or self._closing is not None or method == names.INITIALIZE:
            return
        if self.stateless and not self.transport.shared:
            return  # closing the response stream says it
        self.start(self._send_quietly(self._taking_back(id)))

    def _taking_back(self, id: RequestId) -> Outgoing:
        notice = CancelledNotice(request_id=id, reason="the client gave up waiting")
        data = messages.notification(names.NOTIFY_CANCELLED, self.profile.encode(notice))
        return Outgoing(data, None, names.NOTIFY_CANCELLED, self.stateless, self.profile.revision)

    # What comes in

    async def take(self, message: Message, related: RequestId | None) -> None:
        """Take anything but an awaited response."""
        if message.kind is Kind.RESULT or message.kind is Kind.ERROR:
            self.late += 1
            log.debug(
                "%s: a response that nobody waits for (id %r) was dropped", self.transport.name, message.id
            )
            return
        try:
            event = self.engine.receive(message)
        except Refused as problem:
            log.debug("%s: refused a message: %s", self.transport.name, problem)
            if not problem.silent and problem.id is not None:
                self.start(
                    self._send_quietly(
                        self._response(messages.error(problem.id, problem.error, self.profile))
                    )
                )
            return
        if isinstance(event, Call):
            self._question(event)
        elif isinstance(event, Cancel):
            self._cancelled(event)
        elif isinstance(event, Notification):
            self._noticed(event, related)

    def _noticed(self, event: Notification, related: RequestId | None) -> None:
        if isinstance(event.params, ProgressNotice):
            token = event.params.progress_token
            guard = self._guards.get(token)
            if guard is not None:
                guard.progress()
            courier = self._couriers.get(token)
            if courier is not None:
                courier.put(event.params)
            return
        self._owner.noticed(self, event, related)

    def _cancelled(self, event: Cancel) -> None:
        if self.stateless:
            self._owner.ended(self, event.id)
            return
        task = self._asked.get(event.id)
        if task is not None:
            task.cancel()

    def _question(self, call: Call) -> None:
        if call.id in self._asked or len(self._asked) >= MAX_QUESTIONS:
            busy = InternalError("the client is busy with too many questions, or the id is in use")
            self.start(self._send_quietly(self._response(messages.error(call.id, busy, self.profile))))
            return
        task = self.start(self._answer(call))
        self._asked[call.id] = task
        task.add_done_callback(lambda _: self._asked.pop(call.id, None))

    async def _answer(self, call: Call) -> None:
        try:
            result = await self.questions.answer(call.method, call.params, call.profile)
            data = messages.result(call.id, call.profile.encode(result))
        except RPCError as problem:
            data = messages.error(call.id, problem, call.profile)
        except DovetailError as problem:  # the revision can't carry the answer
            log.warning("the answer to %s can't be sent: %s", call.method, problem)
            data = messages.error(
                call.id, InternalError(f"the client could not answer {call.method}"), call.profile
            )
        for guard in self._guards.values():
            guard.progress()
        await self._send_quietly(self._response(data))

    def _response(self, data: bytes) -> Outgoing:
        return Outgoing(data, None, "", self.stateless, self.profile.revision if self.opened else "")

    # Ends

    def lose(self, error: DovetailError) -> None:
        """The transport is gone: everything open ends with the cause."""
        if self.lost_by is not None or self._closing is not None:
            return
        self.lost_by = error
        self._end_all(error)
        self._owner.lost(self, error)

    async def close(self, *, quietly: bool = False) -> None:
        """End everything and let go of the transport. Idempotent, bounded, from any task. ``quietly``: no goodbye."""
        if self._closing is None:
            given_up = [id for id in self._guards if isinstance(id, int)]
            self._end_all(cut_short("the client was closed"))
            self._closing = asyncio.create_task(self._close(quietly, given_up))
        await asyncio.shield(self._closing)

    async def _close(self, quietly: bool, given_up: list[int]) -> None:
        tasks = set(self._background)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLEANUP_SECONDS)
        if self.transport.shared and self.opened and self.lost_by is None and not quietly:
            with contextlib.suppress(DovetailError, TimeoutError):
                async with asyncio.timeout(CLEANUP_SECONDS):
                    for id in given_up:  # else a server at the end of its input would finish them first
                        await self.transport.send(self._taking_back(id))
        if not self.stateless and self.greeted and self.lost_by is None and not quietly:
            try:
                await asyncio.wait_for(self.transport.end_session(), CLEANUP_SECONDS)
            except (DovetailError, TimeoutError, OSError) as problem:
                log.debug("the session could not be ended: %s", type(problem).__name__)
        await self.transport.close()
        self._inlet.link = None
        self._alarm.silence()

    async def idle(self) -> None:
        """Wait until no request is in progress."""
        while self._guards:
            self._quiet = asyncio.Event()
            await self._quiet.wait()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside; it ends with the link at the latest."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def _end_all(self, error: DovetailError) -> None:
        for guard in tuple(self._guards.values()):
            guard.abort(again(error))
        for task in tuple(self._asked.values()):
            task.cancel()
        for courier in self._couriers.values():
            courier.close()

    def _check(self) -> None:
        if self._closing is not None:
            raise Closed("the client is closed")
        if self.lost_by is not None:
            raise unsent(self.lost_by)

    async def _send(self, out: Outgoing) -> None:
        with self._guard(f"sending to {self.describe()}", self.options.timeout, None) as guard:
            key = f"send-{id(guard)}"
            self._guards[key] = guard
            try:
                await self.transport.send(out)
            finally:
                self._guards.pop(key, None)

    async def _send_quietly(self, out: Outgoing) -> None:
        try:
            await self._send(out)
        except DovetailError as problem:
            log.debug("%s could not be sent: %s", out.method or "a response", problem)


class _Inlet:
    """What a transport is given to hand messages to; a transport that was replaced speaks to nobody."""

    def __init__(self, link: Link) -> None:
        self.link: Link | None = link

    async def message(self, message: Message, related: RequestId | None) -> None:
        if self.link is not None:
            await self.link.take(message, related)

    def lost(self, error: DovetailError) -> None:
        if self.link is not None:
            self.link.lose(error)


@lru_cache(maxsize=256)
def _mirrored_plainly(method: str, name: str | None) -> tuple[tuple[str, str], ...]:
    """The headers that repeat method and name alone. A client says the same few again and again."""
    return tuple(mirror(method, name))


def result_of(reply: Reply) -> Raw:
    """The result in a reply. Raises the `RPCError` in it, or `RemoteProtocolError`."""
    message = reply.message
    if message.kind is Kind.RESULT:
        return message.body
    raise error_of(reply)


def error_of(reply: Reply) -> DovetailError:
    """The error that a reply carries."""
    try:
        problem = envelope.read_error(reply.message.body)
    except Malformed as malformed:
        return RemoteProtocolError(f"the server's error is malformed: {malformed}")
    return rpc_error(problem.code, problem.message, problem.data)


def name_of(method: str, params: Any) -> str | None:
    """What the name header repeats of a request.

    Specification: basic/transports/streamable-http, "Request Metadata".
    """
    if isinstance(params, (CallToolParams, GetPromptParams)):
        return params.name
    if isinstance(params, ReadResourceParams):
        return params.uri
    if isinstance(params, dict):
        found = cast("dict[str, Any]", params).get(_NAMED.get(method, ""))
        return found if isinstance(found, str) else None
    return None
