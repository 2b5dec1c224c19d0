"""A server's end of a channel that carries everything: stdio, a unix socket, memory, the old HTTP+SSE.

Messages of both eras may come interleaved; each is routed by what it is. A request with a modern ``_meta``
is judged alone by the `Exchange`; everything else belongs to the one `ServerSession` of the connection.
Each call gets a task, so a slow one holds nobody up; those that steer the session are answered before the next
message is read. What needs no waiting is done at once (`ServerConnection.take`): a transport that reads in a callback
of the loop is through with a plain call before it reads again. What calls in progress hold, their requests and the
answers that wait to be sent, is bounded in bytes: beyond that nothing more is read for a while, and then refused.
Specification: basic/transports/stdio, basic/patterns/cancellation, basic/lifecycle.
"""

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final, cast

from msgspec import Raw

from ..logs import get_logger
from ..protocol import envelope, exchange, messages, names
from ..protocol.call import Call, Cancellation, MessageRefused, Notification, PeerResponse
from ..protocol.correlation import OpenRequests
from ..protocol.envelope import Kind, Malformed, Message
from ..protocol.errors import (
    Closed,
    InternalError,
    InvalidRequest,
    RPCError,
    TransportError,
    Unanswered,
    rpc_error,
)
from ..protocol.listening import Change, is_heard, missed_in_session
from ..protocol.revisions import Feature, Profile
from ..protocol.session import NEW, READY, ServerSession, SessionState
from ..protocol.types.notifications import CancelledNotice
from ..protocol.types.requests import RequestId
from ..security.principal import ANONYMOUS, Principal
from . import tap
from .beginning import begun
from .channel import Channel
from .dispatch import EncodedResponse, shutdown_response
from .hub import HubSubscription
from .observer import RefusedMessage
from .service import Send, SendNow, Service
from .shutdown import name_of

log = get_logger("dovetail.server")

#: Seconds that cancelled handlers have to clean up when a connection closes; then it no longer waits for them.
STUBBORN: Final = 10.0
#: How many messages of the largest size the calls in progress on one connection may hold together; as many bytes may
#: the answers of one batch have.
IN_FLIGHT: Final = 4
#: Seconds that a call beyond that holds up what follows it; then it is refused, so that cancellations get through.
PATIENCE: Final = 5.0
#: Seconds that a peer has to answer a question.
ANSWER_TIMEOUT: Final = 900.0
#: What sending raises when the peer is no longer there.
GONE: Final = (OSError, TransportError)
#: Who answered a question, in the text of an error that it was answered with.
CLIENT: Final = "the client"
_links = itertools.count(1)


class ServerConnection:
    """Serves one peer. The transport calls `receive` for each message, in order, and `close` at the end.

    ``send`` may do what it can at once and give None, or what is left to be awaited. ``at_once``: calls take their
    first step within `take`, where Python can do that. Only for what arrives from outside: a peer in this very loop
    that calls and calls would never let anything else run. ``answer_timeout``: seconds that the peer has for a
    question.
    """

    def __init__(
        self,
        service: Service,
        send: Send | SendNow,
        *,
        transport: str,
        principal: Principal = ANONYMOUS,
        remote: str | None = None,
        at_once: bool = False,
        answer_timeout: float = ANSWER_TIMEOUT,
    ) -> None:
        self._service = service
        self._loop: asyncio.AbstractEventLoop | None = None
        self._send = send
        self._at_once = at_once
        self._answer_timeout = answer_timeout
        self._transport = transport
        self._principal = principal
        self._remote = remote
        self._session: ServerSession = service.session()
        self._running: dict[RequestId, asyncio.Task[None]] = {}
        self._channels: dict[asyncio.Task[None], _ConnectionChannel] = {}
        self._asked: OpenRequests[asyncio.Future[PeerResponse]] = OpenRequests(
            prefix=f"s{os.urandom(4).hex()}-"
        )
        self._changes: HubSubscription | None = None
        self._teller: asyncio.Task[None] | None = None
        self._closed = False
        self._refusing = False
        self._deaf = False
        self._lost: Exception | None = None
        self._held = 0
        self._room = asyncio.Event()
        self._cutting = asyncio.Event()
        self._gathering: set[asyncio.Future[None]] = set()
        self._tidying: set[asyncio.Task[None]] = set()
        self.link = f"{transport}-{next(_links)}"
        self._session_id = ""
        self._since = time.monotonic()
        service.observer.watch(self)

    def gauges(self) -> Mapping[str, float]:
        """How much goes on here, by the names of `dovetail.telemetry`."""
        if self._closed:
            return {}
        return {
            "dovetail.server.connections.active": 1.0,
            "dovetail.server.requests.active": len(self._running),
        }

    @property
    def session_id(self) -> str:
        """What stands for the session of this connection."""
        if not self._session_id:
            self._session_id = os.urandom(32).hex()
        return self._session_id

    async def receive(self, data: bytes) -> None:
        """Take one message, or one batch; waits while the calls in progress hold too much. Never raises for what the
        peer sent; what sending raises once the peer is gone.
        """
        rest = self.take(data)
        if rest is not None:
            await rest

    def sent_by(self, principal: Principal, remote: str | None) -> None:
        """Who sends what is taken from now on: where each message shows credentials of its own."""
        self._principal, self._remote = principal, remote

    def take(self, data: bytes) -> Awaitable[None] | None:
        """Take one message, or one batch, as far as that goes at once. Gives what has to be awaited before the next, if
        anything. Raises as `receive` does.
        """
        if self._lost is not None:
            raise self._lost.with_traceback(None)
        if tap.listeners:
            tap.note(self.link, "server", False, self._transport, data, self._session.state.revision or None)
        if envelope.is_batch(data):
            return self._receive_batch(data)
        outcome = self._take(data, None)
        if outcome is None:
            return None
        return self.put(outcome) if isinstance(outcome, bytes) else self._finish(outcome)

    async def _finish(self, outcome: Awaitable[bytes | None]) -> None:
        reply = await outcome
        if reply is not None:
            await self.write(reply)

    async def write(self, data: bytes) -> None:
        """Send one message."""
        rest = self.put(data)
        if rest is not None:
            await rest

    @property
    def held(self) -> int:
        """Bytes that the calls in progress hold: their requests, and the answers that wait to be sent."""
        return self._held

    def put(self, data: bytes) -> Awaitable[None] | None:
        """Send one message, as far as that goes at once. Gives what is left to be awaited, if anything: now."""
        if self._closed:
            return None
        if tap.listeners:
            tap.note(self.link, "server", True, self._transport, data, self._session.state.revision or None)
        return self._send(data)

    def refuse(self) -> None:
        """Take no more calls: the server is about to end. Everything else is still taken."""
        self._refusing = True
        self._room.set()

    def deafen(self) -> None:
        """The client says nothing more: what it was asked stays without an answer. What it asked is still answered."""
        self._deaf = True
        for _, waiter in self._asked.drain():
            if not waiter.done():
                waiter.set_exception(Closed("the client says nothing more"))
                waiter.exception()  # nobody may be waiting any more: it is told, not lost

    async def drain(self) -> None:
        """Wait until every call in progress has been answered."""
        while self._running:
            await asyncio.wait(tuple(self._running.values()))

    async def cut(self, patience: float) -> None:
        """Cancel the calls in progress and answer them as cut short: the server is at its end. They are answered first,
        so that those learn of it too whose handlers swallow the cancellation. What is written has ``patience`` seconds
        to leave, and no more time.
        """
        self.refuse()
        self._cutting.set()
        leaving: list[Awaitable[None]] = []
        for task, channel in tuple(self._channels.items()):
            if channel.ended:  # it was answered, or its client cancelled it
                continue
            channel.cancelled = channel.ended = True
            reply = shutdown_response(channel.call)
            if channel.batch is not None:
                self._held += channel.batch.take(channel.call, reply.data)
            else:
                with suppress(*GONE):
                    rest = self.put(reply.data)
                    if rest is not None:
                        leaving.append(rest)
            self._give_up(channel.call.id, task)
        leaving += self._gathering
        if leaving:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await asyncio.gather(*leaving, return_exceptions=True)

    async def close(self, patience: float | None = None) -> None:
        """End everything that runs for this peer; handlers have ``patience`` seconds to clean up (default: `STUBBORN`).
        Idempotent.
        """
        if not self._closed and self._session.state.phase != NEW:
            seconds, revision = time.monotonic() - self._since, self._session.profile.revision
            self._service.observer.session_ended("server", revision, self._transport, seconds)
        self._closed = True
        self._room.set()
        if self._changes is not None:
            self._changes.close()
        tasks = list(self._running.values())
        if self._teller is not None:
            tasks.append(self._teller)
        for channel in self._channels.values():
            channel.cancelled = channel.ended = True
        for id, task in tuple(self._running.items()):
            if not (self._cutting.is_set() and task in self._channels):  # else it was cancelled by `cut`
                self._give_up(id, task)
        if self._teller is not None:
            self._teller.cancel()
        tasks += self._tidying
        self.deafen()
        if tasks:
            _, stubborn = await asyncio.wait(tasks, timeout=STUBBORN if patience is None else patience)
            if stubborn:
                names_of = sorted(
                    {name_of(self._channels[task].call) for task in stubborn if task in self._channels}
                )
                told = ", ".join(names_of)
                log.error(
                    "%d handlers of %s go on after they were cancelled: %s", len(stubborn), self.link, told
                )

    async def ask(self, method: str, params: bytes) -> Raw:
        """Send a request to the client and wait for the result. Raises its `RPCError`, `Closed`, or `Unanswered`."""
        if self._closed or self._deaf:
            raise Closed("the client is gone")
        id = self._asked.next_id()
        message = self._session.ask(id, method, params)
        waiter: asyncio.Future[PeerResponse] = asyncio.get_running_loop().create_future()
        self._asked.add(id, waiter)
        self._room.set()  # the answer has to get through
        try:
            await self.write(message)
            await asyncio.wait((waiter,), timeout=self._answer_timeout)
            if not waiter.done():
                raise Unanswered(f"{method} was not answered within {self._answer_timeout:g} seconds")
            answer = waiter.result()
        except (asyncio.CancelledError, Unanswered) as why:
            if self._asked.take(id) is not None and not self._closed:
                notice = taken_back(id, why)
                await self.write(
                    messages.notification(names.NOTIFY_CANCELLED, self._session.profile.encode(notice))
                )
            raise
        except RPCError as problem:  # the answer can't be read
            problem.of_call(method, CLIENT)
            raise
        return read_answer(method, answer)

    # What comes in

    def _take(self, data: bytes, batch: "_Batch | None") -> "bytes | Awaitable[bytes | None] | None":
        """One message; gives the answer if it is known at once, or what has to be awaited for it. ``batch``: what it is
        part of.
        """
        alone = False
        try:
            message = envelope.read(data)
            if message.kind is Kind.REQUEST and self._judged_alone(message, data):
                alone = True
                return self._start(self._service.exchange.judge(message), None, len(data), batch)
            return self._route(message, len(data), batch)
        except Malformed as problem:
            self._tell_refused(problem.error)
            self._fail_question(problem, data)
            if problem.response:
                return None
            return messages.error(problem.id, problem.error, self._session.profile)
        except MessageRefused as problem:
            service = self._service
            return self._refusal(
                problem, service.profiles[service.stateless[-1]] if alone else self._session.profile
            )

    def _refusal(self, problem: MessageRefused, profile: Profile) -> bytes | None:
        self._tell_refused(problem.error)
        if problem.silent:
            log.debug("ignored: %s", problem)
            return None
        return messages.error(problem.id, problem.error, profile)

    def _tell_refused(self, error: RPCError) -> None:
        """Whoever watches hears of a message that broke the protocol."""
        self._service.observer.refused(
            RefusedMessage.by_engine(error, self._transport, self._principal, self._remote)
        )

    def _judged_alone(self, message: Message, data: bytes) -> bool:
        """Whether a request is of the stateless era; a server of that era alone judges every one so. One that comes
        before any session, and does not open one, can be of no other.
        """
        service = self._service
        if not service.stateless:
            return False
        if not service.stateful or exchange.belongs(message, data):
            return True
        return self._session.state.phase == NEW and message.method not in self._service.profiles.early

    def _fail_question(self, problem: Malformed, data: bytes) -> None:
        """An answer that can't be read ends the waiting for it."""
        log.debug("not taken: %s", problem)
        if not self._asked:
            return
        waiter = self._asked.take(self._asked.named_in(data) if problem.id is None else problem.id)
        if waiter is not None and not waiter.done():
            waiter.set_exception(RPCError(f"the client's answer is malformed: {problem}"))

    def _route(self, message: Message, size: int, batch: "_Batch | None") -> "Awaitable[bytes | None] | None":
        session = self._session
        if batch is not None and message.method == names.INITIALIZE:
            raise MessageRefused(InvalidRequest("initialize must not be part of a batch"), message.id)
        event = session.receive(message)
        if isinstance(event, Call):
            return self._start(event, session, size, batch)
        if isinstance(event, Cancellation):
            self._cancel(event)
        elif isinstance(event, PeerResponse):
            waiter = self._asked.take(event.id)
            if waiter is not None and not waiter.done():
                waiter.set_result(event)
        else:
            self._noticed(event)
        return None

    async def _receive_batch(self, data: bytes) -> None:
        """The one revision with batches: each message on its own, the answers together once all are there."""
        session = self._session
        if not session.profile.has(Feature.BATCHES) or not session.state.revision:
            problem = InvalidRequest("batches do not exist in the revision in use")
            await self.write(messages.error(None, problem, session.profile))
            return
        try:
            items = envelope.split_batch(data)
        except Malformed as problem:
            await self.write(messages.error(None, problem.error, session.profile))
            return
        batch = _Batch(self._most)
        for item in items:
            outcome = self._take(bytes(item), batch)
            reply = outcome if isinstance(outcome, bytes) or outcome is None else await outcome
            if reply is not None:
                batch.replies.append(reply)
        gathering = asyncio.ensure_future(self._answer_batch(batch))
        self._gathering.add(gathering)
        gathering.add_done_callback(self._gathering.discard)
        self._running[f"\0batch-{id(gathering)}"] = gathering
        gathering.add_done_callback(lambda task: self._running.pop(f"\0batch-{id(task)}", None))

    async def _answer_batch(self, batch: "_Batch") -> None:
        try:
            if batch.started:
                await self._all_answered(batch.started)
            if batch.replies:
                await self.write(b"[" + b",".join(batch.replies) + b"]")
        except GONE as problem:
            self._lost = self._lost or problem
        finally:
            self._held -= batch.size
            self._room.set()

    async def _all_answered(self, started: list[asyncio.Task[None]]) -> None:
        """Wait for the calls of a batch; where the server ends, each of them was answered already."""
        cut = asyncio.ensure_future(self._cutting.wait())
        over = asyncio.ensure_future(asyncio.wait(started))
        try:
            await asyncio.wait((cut, over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            cut.cancel()
            over.cancel()

    def _noticed(self, event: Notification) -> None:
        if event.method == names.NOTIFY_INITIALIZED and self._changes is None:
            hears = self._service.hearing(self._principal, self._transport)
            self._changes = self._service.hub.subscribe(
                lambda change: self._wants(change) and hears(change), doubted=self._missed
            )
            self._teller = asyncio.create_task(self._tell(self._changes))
        elif self._service.extensions.hears:
            self._service.extensions.hear("client", event.method, event.params)

    # Calls

    def _start(
        self, call: Call, session: ServerSession | None, size: int, batch: "_Batch | None"
    ) -> Awaitable[bytes | None] | None:
        """Begin a call, or give what has to be awaited before. Raises `MessageRefused`."""
        self._check_id(call)
        # A ping is answered promptly, however busy the server is (basic/utilities/ping).
        ping = call.method == names.PING
        full = len(self._running) >= self._service.max_running and not ping
        if full and batch is None:
            raise MessageRefused(
                InvalidRequest(f"more than {self._service.max_running} requests are in progress; wait"),
                call.id,
            )
        if full or (self._held and self._held + size > self._most and not ping):
            return self._start_later(call, session, size, batch)
        if self._refusing:
            raise MessageRefused(InvalidRequest("the server is shutting down"), call.id)
        task = self._launch(call, session, size, batch)
        if session is None or task is None or call.method not in self._service.profiles.ordered:
            return None
        return None if task.done() and self._lost is None else self._ended_in_order(task)

    async def _start_later(
        self, call: Call, session: ServerSession | None, size: int, batch: "_Batch | None"
    ) -> bytes | None:
        """Begin a call once there is room for it. Gives the answer to one that there is none for."""
        try:
            if batch is not None and len(self._running) >= self._service.max_running:
                await self._wait_for_turn(call)
            if self._held and self._held + size > self._most:
                await self._make_room(call, size)
            self._check_id(call)
            if self._refusing:
                raise MessageRefused(InvalidRequest("the server is shutting down"), call.id)
            task = self._launch(call, session, size, batch)
        except MessageRefused as problem:
            return self._refusal(problem, call.profile)
        if session is not None and task is not None and call.method in self._service.profiles.ordered:
            await self._ended_in_order(task)
        return None

    def _launch(
        self, call: Call, session: ServerSession | None, size: int, batch: "_Batch | None"
    ) -> asyncio.Task[None] | None:
        if self._closed:
            return None
        channel = _ConnectionChannel(self, call, session, size, self._transport, batch)
        channel.principal, channel.remote = self._principal, self._remote
        self._held += size
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        running = self._run(call, channel, batch)
        task = begun(running, loop) if self._at_once else loop.create_task(running)
        if not task.done():
            channel.task = task
            self._channels[task] = channel
            if not channel.ended:  # else it was answered in its first step, and only cleans up
                self._running[call.id] = task
            if batch is not None:
                batch.started.append(task)
        return task

    async def _ended_in_order(self, task: asyncio.Task[None]) -> None:
        await asyncio.wait((task,))
        if self._lost is not None:
            raise self._lost.with_traceback(None)

    def _check_id(self, call: Call) -> None:
        if call.id in self._running:
            raise MessageRefused(InvalidRequest(f"the request id {call.id!r} is in use"), call.id)

    @property
    def _most(self) -> int:
        return IN_FLIGHT * self._service.max_message

    async def _make_room(self, call: Call, size: int) -> None:
        """Wait until calls in progress have let go of enough. Where one of them waits for the client itself, or lets go
        of nothing for long, what follows has to be read: the call is refused.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while (
                    self._held and self._held + size > self._most and not (len(self._asked) or self._refusing)
                ):
                    self._room.clear()
                    await self._room.wait()
                    if self._closed:
                        return
        if self._held and self._held + size > self._most and not self._refusing:
            raise MessageRefused(
                InvalidRequest(f"requests in progress hold {self._held} bytes, and more is not taken; wait"),
                call.id,
            )

    async def _wait_for_turn(self, call: Call) -> None:
        """Before one more message of a batch: wait until one of the calls in progress is over. As in `_make_room`, not
        for long, and not where one of them waits for the client itself: then the call is refused.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while len(self._running) >= self._service.max_running and not (
                    len(self._asked) or self._refusing or self._closed
                ):
                    self._room.clear()
                    await self._room.wait()
        if len(self._running) >= self._service.max_running and not (self._refusing or self._closed):
            raise MessageRefused(
                InvalidRequest(f"more than {self._service.max_running} requests are in progress; wait"),
                call.id,
            )

    def _ended(self, id: RequestId, task: asyncio.Task[None]) -> None:
        channel = self._channels.pop(task, None)
        if channel is not None:
            self._let_go(channel)
        if self._running.get(id) is task:
            del self._running[id]

    def _let_go(self, channel: "_ConnectionChannel") -> None:
        self._held -= channel.size
        channel.size = 0
        self._room.set()

    async def _run(self, call: Call, channel: "_ConnectionChannel", batch: "_Batch | None") -> None:
        try:
            reply: EncodedResponse = await self._service.dispatcher.answer(call, channel)
            if channel.ended:
                return  # cancelled, and the handler swallowed it: nothing more is said of this request
            channel.ended = True
            if batch is not None:
                self._held += batch.take(call, reply.data)
                return
            data = reply.data
            rest = self.put(data)
            if rest is not None:
                self._held += len(data)
                channel.size += len(data)
                await rest
        except GONE as problem:
            self._lost = self._lost or problem
            log.debug("the peer of %s went away before its answer", self.link)
        finally:
            channel.ended = True
            self._let_go(channel)
            self._running.pop(call.id, None)
            try:
                if channel.clean_ups:
                    await self._tidy(channel)
            finally:
                if channel.task is not None:
                    self._channels.pop(channel.task, None)

    async def _tidy(self, channel: "_ConnectionChannel") -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tidying.add(task)
        try:
            await channel.tidy()
        finally:
            self._tidying.discard(task)

    def _cancel(self, event: Cancellation) -> None:
        task = self._running.get(event.id)
        if task is not None:
            log.debug("request %r was cancelled: %s", event.id, (event.reason or "no reason given")[:256])
            channel = self._channels.get(task)
            if channel is not None:
                channel.cancelled = channel.ended = True
            self._give_up(event.id, task)

    def _give_up(self, id: RequestId, task: asyncio.Task[None]) -> None:
        """Cancel a call. If it has not begun yet it will not see its own end, so that is seen to here."""
        task.add_done_callback(lambda task: self._ended(id, task))
        task.cancel()

    # Changes, in the stateful era

    def _wants(self, change: Change) -> bool:
        state = self._session.state
        if state.phase != READY:
            return False
        return change.kind != "resource" or is_heard(change.uri, state.subscriptions)

    def _missed(self) -> Iterator[Change]:
        """All that the session may have missed, each once."""
        return missed_in_session(self._session.state.subscriptions, self._service.capabilities())

    async def _tell(self, changes: HubSubscription) -> None:
        async for change in changes:
            try:
                await self.write(change.message(self._session.profile))
            except GONE:
                return


class _Batch:
    """The messages of one array: the calls among them, and the answers until all are there. ``limit``: bytes that the
    answers of calls may have together; ``size``: those that they have.
    """

    def __init__(self, limit: int) -> None:
        self.started: list[asyncio.Task[None]] = []
        self.replies: list[bytes] = []
        self.size = 0
        self._limit = limit

    def take(self, call: Call, data: bytes) -> int:
        """Keep the answer of a call, or say in its place that it is too large for the rest; gives the bytes kept."""
        if self.size + len(data) > self._limit:
            data = beyond_batch(call, self._limit)
        self.size += len(data)
        self.replies.append(data)
        return len(data)


class _ConnectionChannel(Channel):
    """A call's way back over the connection. Nothing passes once the call has ended. ``size``: the bytes it holds."""

    owned = True
    tidies = True

    def __init__(
        self,
        connection: ServerConnection,
        call: Call,
        session: ServerSession | None,
        size: int,
        transport: str,
        batch: _Batch | None = None,
    ) -> None:
        self.batch = batch
        self._connection = connection
        self.call = call
        self.session = session
        self.size = size
        self.transport = transport
        self.task: asyncio.Task[None] | None = None
        self.ended = False

    @property
    def shared(self) -> bool:
        return True

    @property
    def session_id(self) -> str | None:
        return None if self.session is None else self._connection.session_id

    @property
    def caller_id(self) -> str | None:
        return self._connection.session_id if self.principal.is_anonymous else self.principal.key

    async def read_session(self) -> SessionState:
        return await super().read_session() if self.session is None else self.session.state

    async def change_session(self, change: Callable[[SessionState], None]) -> None:
        if self.session is None:
            await super().change_session(change)
        else:
            change(self.session.state)

    async def emit(self, message: bytes) -> None:
        if not self.ended:
            await self._connection.write(message)

    async def ask(self, method: str, params: bytes) -> Raw:
        if self.session is None:
            return await super().ask(method, params)
        return await self._connection.ask(method, params)


def beyond_batch(call: Call, limit: int) -> bytes:
    """What stands for an answer that its batch has no room for. ``limit``: the bytes that all have together."""
    problem = InternalError(
        f"the call has run, but the answers of its batch would have more than {limit} bytes together; "
        "send fewer requests at once"
    )
    return messages.error(call.id, problem, call.profile)


def taken_back(id: RequestId, why: BaseException) -> CancelledNotice:
    """What tells the client that a question needs no answer any more. ``why``: what ended the waiting for it."""
    reason = str(why) if isinstance(why, Unanswered) else "the call that asked this has ended"
    return CancelledNotice(request_id=id, reason=reason)


def read_answer(method: str, answer: PeerResponse) -> Raw:
    """The result in the client's answer to a request. Raises the `RPCError` in it, which knows what was asked."""
    if not answer.failed:
        return answer.body
    try:
        said = envelope.read_error(answer.body)
        problem = rpc_error(said.code, said.message, said.data)
    except Malformed as malformed:
        problem = RPCError(str(malformed))
    problem.of_call(method, CLIENT)
    raise problem
