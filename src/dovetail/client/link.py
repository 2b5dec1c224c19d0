"""One connection to one server: requests out, responses back, and everything the server says besides.

A `Link` holds a transport and the engine of the era that was found out (see `opening`). `ask` is one round trip: it
makes the message, sets the deadline, and, when the wait ends without an answer, takes the request back in the way the
era and the transport demand. What comes in otherwise is read by the engine and sorted: questions to `Questions`,
progress to the request it belongs to, changes and log messages to the client, a response that nobody waits for into a
counter. A question or message belongs to the call on whose stream it came; on a shared channel to the one call that is
open, if there is just one. Handlers run in the context of that call.
Specification: basic/index, basic/lifecycle "Timeouts", basic/patterns/{cancellation,progress}.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context, copy_context
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

from msgspec import UNSET, Raw, Struct, UnsetType

from ..logs import get_logger
from ..protocol import codec, envelope, messages, names
from ..protocol.bindings.headers import InvalidHeaderValue, mirror
from ..protocol.call import Call, Cancellation, MessageRefused, Notification, clipped
from ..protocol.correlation import OpenRequests
from ..protocol.envelope import Kind, Malformed, Message
from ..protocol.errors import (
    Closed,
    DovetailError,
    InternalError,
    LocalProtocolError,
    RemoteProtocolError,
    RequestTimeout,
    RPCError,
    closed_in_use,
    copy_of,
    not_sent,
    rpc_error,
)
from ..protocol.exchange import ClientExchange
from ..protocol.header_parameters import HeaderParameter
from ..protocol.revisions import Feature, Profile
from ..protocol.salvage import salvage
from ..protocol.session import ClientSession
from ..protocol.types import (
    CallToolParams,
    CancelledNotice,
    ClientCapabilities,
    DiscoverResult,
    Implementation,
    LogLevel,
    Params,
    ProgressNotice,
    RequestId,
    Result,
    ServerCapabilities,
)
from ..transports.client_transport import Outgoing, ReceivedResponse, Transport
from .answers import CallInfo, ProgressHandler
from .callbacks import CallbackQueue
from .options import Options, capabilities_of, own_info
from .questions import Questions
from .server_warnings import ServerWarning, WarningKind
from .timeouts import CallTimeout, TimeoutTimer
from .tracing import trace_context

log = get_logger("dovetail.client")
R = TypeVar("R")

MAX_QUESTIONS: Final = 64
MAX_ASKED: Final = 256
"""Questions that one call may have asked (stateful era)."""
CLEANUP_SECONDS: Final = 5.0
_SHOWN: Final = 100
_DIGITS: Final = 19
#: Characters of a name whose headers are made anew each time: those of others are remembered.
_LONG_NAME: Final = 1024
#: Of an enum a member is looked up in Python, before Python 3.12.
_RESULT: Final = Kind.RESULT
_REQUEST_HEADERS: Final = Feature.REQUEST_HEADERS
#: Requests that no caller made: an error names them only if it is about one of them.
_OPENING: Final = frozenset({names.DISCOVER, names.INITIALIZE})


class NotificationObserver(Protocol):
    """Who hears of what a server tells. ``context``: that in which the client was opened."""

    context: Context

    def noticed(self, link: "Link", event: Notification, related: RequestId | None) -> None:
        """A notification, read. Must return soon and not raise."""
        ...

    def warned(self, warning: ServerWarning) -> None:
        """The server got something wrong that was put up with. Must return soon and not raise."""
        ...

    def missed(self, link: "Link") -> None:
        """Changes may have been missed. Must return soon and not raise."""
        ...

    def ended(self, link: "Link", id: RequestId) -> None:
        """The server ended a subscription."""
        ...


class LinkObserver(Protocol):
    """Who hears of what becomes of a link: the client's connection."""

    @property
    def notifications(self) -> NotificationObserver:
        """Who hears of what the server tells."""
        ...

    def answered(self) -> None:
        """A request of the server's was answered: it is the server's turn again."""
        ...

    def lost(self, link: "Link", error: DovetailError) -> None:
        """The connection is gone."""
        ...


class CallOrigin(Struct, frozen=True):
    """Where handlers are called from: a call's context and what is known of it; ``call`` is None for none."""

    context: Context
    call: CallInfo | None = None


class _CallInProgress(Struct, frozen=True, gc=False):
    """A call in progress, for its handlers."""

    context: Context
    method: str
    params: Any
    meta: Mapping[str, Any] | None


class RequestSettings(Struct, frozen=True, kw_only=True):
    """How a request is to be made: its limits in seconds, who hears of progress, what goes beside the parameters.

    ``call``: an author's code runs for it, which may take its time, tell of progress, and ask. ``capabilities``: what
    is announced with it in the stateless era, None for the client's own.
    """

    call: bool = False
    timeout: float | None = None
    maximum: float | None = None
    progress: ProgressHandler | None = None
    meta: dict[str, Any] | None = None
    log_level: LogLevel | None = None
    header_parameters: Sequence[HeaderParameter] = ()
    started: Callable[[RequestId], None] | None = None
    capabilities: ClientCapabilities | None = None


class Link:
    """One connection. Opened by `opening.Opener`; ended by `close` or by the loss of its transport.

    ``greeted``: the server answered ``initialize``, so it has a session of ours. ``opened``: calls may go out.
    ``expired``: they may not until there is a new session, since the server lost the one before.
    """

    def __init__(self, transport: Transport, options: Options, owner: LinkObserver) -> None:
        self.transport = transport
        self.options = options
        info: Implementation = options.info or own_info()
        capabilities = capabilities_of(options)
        self._profiles = options.additions.profiles
        self.session = ClientSession(info, options.additions.in_handshake(capabilities), self._profiles)
        self.exchange = ClientExchange(info, capabilities, profiles=self._profiles)
        self.stateless = True
        self.greeted = False
        self.opened = False
        self.expired = False
        self.lost_by: DovetailError | None = None
        self.late = 0
        self.generation = 0
        self.questions = Questions(options)
        self.server = ""
        self.name(None)
        self.server_info: Implementation | None = None
        self._owner = owner
        self._ids: OpenRequests[None] = OpenRequests()
        self._timeouts: dict[RequestId, CallTimeout] = {}
        self._alarm = TimeoutTimer(self._timeouts)
        #: Who hears of progress, by request: a queue from the first notice on.
        self._progress: dict[RequestId, ProgressHandler | CallbackQueue] = {}
        #: Who hears of progress under the token of a request that was answered, and goes on all the same.
        self.followed: dict[RequestId, Callable[[ProgressNotice], None]] = {}
        self._asked: dict[RequestId, asyncio.Task[None]] = {}
        self._asked_by: dict[RequestId, int] = {}  # calls in progress, and how often a question came of them
        self._background: set[asyncio.Task[None]] = set()
        self._receiver = _LinkReceiver(self)
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
        return self.exchange.profile if self.stateless else self.session.profile

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

    @property
    def discovered(self) -> DiscoverResult | None:
        """What ``server/discover`` gave when it was opened."""
        found = self.exchange.server if self.stateless else None
        return found if isinstance(found, DiscoverResult) else None

    def skip_ids(self, number: int) -> None:
        """Use no request id up to this number: they are those of a process that had the session before."""
        self._ids.skip_to(number)

    def describe(self) -> str:
        """Says where the server is, in error messages."""
        return self.transport.describe()

    def name(self, info: Implementation | None) -> None:
        """Call the server what it calls itself, as far as it does: to handlers, and (``server``) in error messages."""
        place = self.describe()
        own = "" if info is None else info.title or info.name
        self.questions.server = f"{own} ({place})" if own else place
        shown = "".join(each if each.isprintable() else "?" for each in own[:_SHOWN])
        self.server = f"{shown} ({place})" if own else place

    # Connecting

    async def connect(self, seconds: float | None) -> None:
        """Open the transport. Raises `ConnectFailed`, `RequestTimeout`."""
        self._check()
        with self._guard(f"connecting to {self.describe()}", seconds, None) as guard:
            key = f"open-{id(guard)}"
            self._timeouts[key] = guard
            try:
                await self.transport.open(self._receiver)
            finally:
                self._timeouts.pop(key, None)

    async def replace(self, transport: Transport, seconds: float | None) -> None:
        """Go on with another transport: the old one is let go."""
        old, self.transport = self.transport, transport
        self._receiver.link = None
        self._receiver = _LinkReceiver(self)
        await old.close()
        self.lost_by = None
        self.name(None)
        await self.connect(seconds)

    # Requests

    async def ask(self, method: str, params: Params | dict[str, Any], settings: RequestSettings) -> Raw:
        """One round trip; gives the result, still as bytes.

        Raises the server's `RPCError`, `TransportError`, `RequestTimeout`.
        """
        return result_of(await self.ask_reply(method, params, settings))

    async def ask_reply(
        self, method: str, params: Params | dict[str, Any], settings: RequestSettings
    ) -> ReceivedResponse:
        """As `ask`, for those who need the response whole."""
        self._check()
        id = self._ids.next_id()
        out = self._outgoing(id, method, params, settings)
        guard = self._guard(f"{method} to {self.server}", settings.timeout, settings.maximum)
        if settings.call:
            guard.call = _CallInProgress(copy_context(), method, params, settings.meta)
        progress = settings.progress
        if progress is not None:
            self._progress[id] = progress
        self._timeouts[id] = guard
        if settings.started is not None:
            settings.started(id)
        try:
            with guard:
                reply = await self.transport.request(out)
                if reply.message.odd:
                    self._odd_response(method, reply.message)
                if progress is not None and isinstance(heard := self._progress[id], CallbackQueue):
                    await heard.drain()
                return reply
        except DovetailError as problem:
            if guard.ended:
                self._give_up(guard, problem, id, method)
            problem.of_call("" if method in _OPENING else method, self.server)
            raise
        except asyncio.CancelledError:
            if not guard.unsent:
                self._take_back(id, method)
            raise
        finally:
            del self._timeouts[id]
            self._asked_by.pop(id, None)
            if self._quiet is not None and not self._timeouts:
                self._quiet.set()
            if progress is not None and isinstance(heard := self._progress.pop(id), CallbackQueue):
                heard.close()

    async def notify(
        self, method: str, params: Any = None, *, timeout: float | None | UnsetType = UNSET
    ) -> None:
        """Send a notification, within ``timeout`` seconds. Raises `TransportError`, `RequestTimeout`."""
        self._check()
        data = messages.notification(method, b"" if params is None else self.profile.encode(params))
        repeatable = method in self._profiles.repeatable
        headers = self._mirrored(method)
        out = Outgoing(data, None, method, self.stateless, self.profile.revision, headers, repeatable)
        try:
            await self._send(out, self.options.timeout if timeout is UNSET else timeout)
        except DovetailError as problem:
            problem.of_call(method, self.server)
            raise

    def warn(self, kind: WarningKind, message: str, method: str = "", subject: str = "") -> None:
        """The server got something wrong, and it was put up with. ``message`` is one line."""
        text = f"{self.server}: {message}"
        self._owner.notifications.warned(
            ServerWarning(kind=kind, message=text, method=method, subject=subject[:256])
        )

    def _odd_response(self, method: str, message: Message) -> None:
        self.warn("envelope", f"the response to {method} has {message.odd}", method)

    def read(self, method: str, body: Raw, kind: type[R]) -> R:
        """A result, read. What does not fit is left out with a warning where that is possible.

        Raises `RemoteProtocolError`.
        """
        reader = codec.reader(kind)
        try:
            return reader.keep(body)
        except codec.DECODE_ERRORS as problem:
            unfit = problem
        try:
            kept, flaws = salvage(kind, body)
            result = reader.keep(kept)
        except codec.DECODE_ERRORS:
            raise RemoteProtocolError(f"the result of {method} is malformed: {clipped(unfit)}") from None
        for flaw in flaws:
            place = f"{flaw.path[:128]} of {flaw.subject[:64]!r}" if flaw.subject else flaw.path[:128]
            text = f"{place} was left out of the result of {method}: {flaw.problem}"
            self.warn("item" if flaw.whole else "member", text, method, flaw.subject)
        return result

    def _outgoing(
        self, id: RequestId, method: str, params: Params | dict[str, Any], settings: RequestSettings
    ) -> Outgoing:
        meta = trace_context()
        if settings.meta:
            meta.update(settings.meta)
        # Progress moves the deadline of a call, so a server has to be able to tell of it, whoever else hears it.
        token = (
            id if settings.progress is not None or (settings.call and settings.timeout is not None) else None
        )
        if settings.progress is None and settings.meta and names.META_PROGRESS_TOKEN in settings.meta:
            token = None  # the caller has one of its own
        repeatable = method in self._profiles.repeatable
        typed: Any = params  # the engines only encode it, and a plain dict encodes as well
        if self.stateless:
            exchange = self.exchange
            data = exchange.request(
                id,
                method,
                typed,
                meta,
                progress_token=token,
                log_level=settings.log_level,
                capabilities=settings.capabilities,
            )
            headers = (
                self._mirrored(method, params, settings.header_parameters) if self.transport.http else ()
            )
            return Outgoing(data, id, method, True, exchange.profile.revision, headers, repeatable)
        session = self.session
        data = session.request(id, method, typed, meta, progress_token=token)
        revision = session.profile.revision if self.opened else ""
        return Outgoing(data, id, method, False, revision, repeatable=repeatable)

    def _mirrored(
        self, method: str, params: Any = None, annotated: Sequence[HeaderParameter] = ()
    ) -> tuple[tuple[str, str], ...]:
        if not self.transport.http or not self.stateless:
            return ()
        profile = self.exchange.profile
        if not profile.has(_REQUEST_HEADERS):
            return ()
        try:
            if not annotated:
                name = name_of(profile, method, params)
                if name is not None and len(name) > _LONG_NAME:
                    return tuple(mirror(method, name))
                return _mirrored_plainly(method, name)
            arguments: Any = None
            if isinstance(params, CallToolParams) and params.arguments:
                arguments = codec.decode(params.arguments)
            return tuple(mirror(method, name_of(profile, method, params), arguments, annotated))
        except InvalidHeaderValue as problem:
            raise LocalProtocolError(f"{method} can't be sent over HTTP: {problem}") from None

    def _guard(self, what: str, seconds: float | None, maximum: float | None) -> CallTimeout:
        return CallTimeout(what, seconds, maximum, held=self._held, alarm=self._alarm)

    def _give_up(self, guard: CallTimeout, problem: DovetailError, id: RequestId, method: str) -> None:
        """The wait for a request was ended: take it back if it was sent, and say in the error which of these it is."""
        if guard.unsent:
            problem.retry_safe = True
            fate = "it had not been sent yet"
        elif self._take_back(id, method):
            fate = "it was taken back"
        else:
            return
        if isinstance(problem, RequestTimeout):
            problem.args = (f"{problem.args[0]}; {fate}",)

    def _take_back(self, id: RequestId, method: str) -> bool:
        """We gave a request up: tell the server, where ending the wait did not tell it already. Whether it is told."""
        if self.lost_by is not None or self._closing is not None or method == names.INITIALIZE:
            return False
        if not self.stateless or self.transport.shared:  # else closing the response stream says it
            self.start(self._send_quietly(self._taking_back(id)))
        return True

    def _taking_back(self, id: RequestId) -> Outgoing:
        notice = CancelledNotice(request_id=id, reason="the client gave up waiting")
        data = messages.notification(names.NOTIFY_CANCELLED, self.profile.encode(notice))
        return Outgoing(
            data, None, names.NOTIFY_CANCELLED, self.stateless, self.profile.revision, repeatable=True
        )

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
        except MessageRefused as problem:
            log.debug("%s: refused a message: %s", self.transport.name, problem)
            if message.kind is Kind.NOTIFICATION:
                self.warn("notification", f"a notification was dropped: {problem}", message.method[:128])
            if not problem.silent and problem.id is not None:
                self.start(
                    self._send_quietly(
                        self._response(messages.error(problem.id, problem.error, self.profile))
                    )
                )
            return
        if isinstance(event, Call):
            self._question(event, self.origin(related))
        elif isinstance(event, Cancellation):
            self._cancelled(event)
        elif isinstance(event, Notification):
            self._noticed(event, related)

    def _noticed(self, event: Notification, related: RequestId | None) -> None:
        if isinstance(event.params, ProgressNotice):
            token = event.params.progress_token
            if type(token) is str:
                token = self._meant(token)
            guard = self._timeouts.get(token)
            if guard is not None:
                guard.progress()
            heard = self._progress.get(token)
            if heard is not None:
                if not isinstance(heard, CallbackQueue):
                    heard = self._progress[token] = CallbackQueue(heard, "progress")
                origin = self.origin(token)
                heard.put(event.params, call=origin.call, context=origin.context)
            elif token in self.followed:
                self.followed[token](event.params)
            return
        self._owner.notifications.noticed(self, event, related)

    def _meant(self, token: str) -> RequestId:
        """The request that a token belongs to which was sent back as text: all of ours are numbers."""
        number = int(token) if len(token) < _DIGITS and token.isascii() and token.isdigit() else None
        if number not in self._timeouts:
            return token
        text = f"progress is told with the token {token!r}, text in place of a number"
        self.warn("envelope", text, names.NOTIFY_PROGRESS)
        return number

    def _cancelled(self, event: Cancellation) -> None:
        if self.stateless:
            self._owner.notifications.ended(self, event.id)
            return
        task = self._asked.get(event.id)
        if task is not None:
            log.debug("question %r was taken back: %s", event.id, (event.reason or "no reason given")[:256])
            task.cancel()

    def origin(self, related: RequestId | None) -> CallOrigin:
        """Where what came with a request, or with none, has its handlers run."""
        guard = None if related is None else self._timeouts.get(related)
        if guard is None or guard.call is None:
            found = [id for id, each in self._timeouts.items() if each.call is not None]
            if len(found) != 1:
                return CallOrigin(self._owner.notifications.context)
            related, guard = found[0], self._timeouts[found[0]]
        call: _CallInProgress = guard.call
        info = CallInfo(
            method=call.method,
            name=name_of(self.profile, call.method, call.params) or "",
            id=related,
            meta=call.meta,
        )
        return CallOrigin(call.context, info)

    def _question(self, call: Call, origin: CallOrigin) -> None:
        refusal: InternalError | None = None
        by = None if origin.call is None or call.method == names.PING else origin.call.id
        if call.id in self._asked or len(self._asked) >= MAX_QUESTIONS:
            refusal = InternalError("the client is busy with too many questions, or the id is in use")
        elif by is not None:
            asked = self._asked_by[by] = self._asked_by.get(by, 0) + 1
            if asked > MAX_ASKED:
                refusal = InternalError(
                    f"the call has asked {MAX_ASKED} questions, which is all that one may"
                )
        if refusal is not None:
            self.start(self._send_quietly(self._response(messages.error(call.id, refusal, self.profile))))
            return
        task = self.start(self._answer(call, origin.call), origin.context.copy())
        self._asked[call.id] = task
        task.add_done_callback(lambda _: self._asked.pop(call.id, None))

    async def _answer(self, call: Call, asker: CallInfo | None) -> None:
        try:
            result = await self._answered(call, asker)
            data = messages.result(call.id, call.profile.encode(result))
        except RPCError as problem:
            data = messages.error(call.id, problem, call.profile)
        except DovetailError as problem:  # the revision can't carry the answer
            log.warning("the answer to %s can't be sent: %s", call.method, problem)
            data = messages.error(call.id, _unanswered(call), call.profile)
        except Exception:  # whatever an extension raises stays here
            log.exception("answering %s failed", call.method)
            data = messages.error(call.id, _unanswered(call), call.profile)
        for guard in self._timeouts.values():
            guard.progress()
        self._owner.answered()
        await self._send_quietly(self._response(data))

    async def _answered(self, call: Call, asker: CallInfo | None) -> Result:
        """The answer to a request of the server's. Raises an `RPCError`, or another error of ours."""
        further = self.options.additions.question(call.method, self.profile.revision)
        if further is None:
            return await self.questions.answer(call.method, call.params, call.profile, asker)
        from .extension_questions import AskedOverLink  # for those whose extensions answer any

        self.questions.open += 1
        try:
            return await further.answer(call, AskedOverLink(self, asker))
        finally:
            self.questions.open -= 1

    def _response(self, data: bytes) -> Outgoing:
        revision = self.profile.revision if self.opened else ""
        return Outgoing(data, None, "", self.stateless, revision, repeatable=True)

    def miss(self) -> None:
        """Nobody knows what the server said that belongs to no call."""
        self._owner.notifications.missed(self)

    # Ends

    def lose(self, error: DovetailError) -> None:
        """The transport is gone: everything open ends with the cause."""
        if self.lost_by is not None or self._closing is not None:
            return
        self.lost_by = error
        self._end_all(error)
        self._owner.lost(self, error)

    async def close(self, *, quietly: bool = False, leave: bool = False) -> None:
        """End everything and let go of the transport. Idempotent, bounded, from any task. ``quietly``: no goodbye.
        ``leave``: the session goes on without us.
        """
        if self._closing is None:
            given_up = [id for id in self._timeouts if isinstance(id, int)]
            self._end_all(closed_in_use("the client was closed"))
            self._closing = asyncio.create_task(self._close(quietly, given_up, leave=leave))
        await asyncio.shield(self._closing)

    async def _close(self, quietly: bool, given_up: list[int], *, leave: bool) -> None:
        tasks = set(self._background)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLEANUP_SECONDS)
        if (self.transport.shared or leave) and self.opened and self.lost_by is None and not quietly:
            with contextlib.suppress(DovetailError, TimeoutError):
                async with asyncio.timeout(CLEANUP_SECONDS):
                    for id in given_up:  # else a server at the end of its input would finish them first
                        await self.transport.send(self._taking_back(id))
        if leave:
            leaving: Any = self.transport  # over HTTP, or there would be no session to leave
            await leaving.leave_session()
        elif not self.stateless and self.greeted and self.lost_by is None and not quietly:
            try:
                await asyncio.wait_for(self.transport.end_session(), CLEANUP_SECONDS)
            except (DovetailError, TimeoutError, OSError) as problem:
                log.debug("the session could not be ended: %s", type(problem).__name__)
        await self.transport.close()
        self._receiver.link = None
        self._alarm.silence()

    async def idle(self) -> None:
        """Wait until no request is in progress."""
        while self._timeouts:
            self._quiet = asyncio.Event()
            await self._quiet.wait()

    def start(self, work: Coroutine[Any, Any, None], context: Context | None = None) -> asyncio.Task[None]:
        """Run something beside, in ``context``; it ends with the link at the latest."""
        task = asyncio.create_task(work, context=context)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def _end_all(self, error: DovetailError) -> None:
        for guard in tuple(self._timeouts.values()):
            guard.abort(copy_of(error))
        for task in tuple(self._asked.values()):
            task.cancel()
        for heard in self._progress.values():
            if isinstance(heard, CallbackQueue):
                heard.close()

    def _check(self) -> None:
        if self._closing is not None:
            raise Closed("the client is closed")
        if self.lost_by is not None:
            raise not_sent(self.lost_by)

    async def _send(self, out: Outgoing, seconds: float | None) -> None:
        with self._guard(f"sending to {self.describe()}", seconds, None) as guard:
            key = f"send-{id(guard)}"
            self._timeouts[key] = guard
            try:
                await self.transport.send(out)
            finally:
                self._timeouts.pop(key, None)

    async def _send_quietly(self, out: Outgoing) -> None:
        try:
            await self._send(out, self.options.timeout)
        except DovetailError as problem:
            log.debug("%s could not be sent: %s", out.method or "a response", problem)


class _LinkReceiver:
    """What a transport is given to hand messages to; a transport that was replaced speaks to nobody."""

    def __init__(self, link: Link) -> None:
        self.link: Link | None = link

    async def message(self, message: Message, related: RequestId | None) -> None:
        if self.link is not None:
            await self.link.take(message, related)

    def missed(self) -> None:
        if self.link is not None:
            self.link.miss()

    def lost(self, error: DovetailError) -> None:
        if self.link is not None:
            self.link.lose(error)


def _unanswered(call: Call) -> InternalError:
    return InternalError(f"the client could not answer {call.method}")


@lru_cache(maxsize=256)
def _mirrored_plainly(method: str, name: str | None) -> tuple[tuple[str, str], ...]:
    """The headers that repeat method and name alone. A client says the same few again and again."""
    return tuple(mirror(method, name))


def result_of(reply: ReceivedResponse) -> Raw:
    """The result in a reply. Raises the `RPCError` in it, or `RemoteProtocolError`."""
    message = reply.message
    if message.kind is _RESULT:
        return message.body
    raise error_of(reply)


def error_of(reply: ReceivedResponse) -> DovetailError:
    """The error that a reply carries."""
    try:
        problem = envelope.read_error(reply.message.body)
    except Malformed as malformed:
        return RemoteProtocolError(f"the server's error is malformed: {malformed}")
    return rpc_error(problem.code, problem.message, problem.data)


def name_of(profile: Profile, method: str, params: Any) -> str | None:
    """What a request is about, which the name header repeats: the tool, the prompt, the resource; None for others.

    Specification: basic/transports/streamable-http, "Request Metadata".
    """
    spec = profile.client_requests.get(method)
    if spec is None or not spec.subject:
        return None
    found = getattr(params, spec.subject, None)  # as the protocol's own types have it
    return found if isinstance(found, str) else spec.subject_in(params)
