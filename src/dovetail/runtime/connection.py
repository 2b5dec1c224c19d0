"""A server's end of a channel that carries everything: stdio, a unix socket, memory, the old HTTP+SSE.

Messages of both eras may come interleaved; each is routed by what it is. A request with a modern ``_meta``
is judged alone by the `Exchange`; everything else belongs to the one `ServerSession` of the connection.
Each call gets a task, so a slow one holds nobody up, but for those that steer the session, which are
answered in order. Specification: basic/transports/stdio, basic/patterns/cancellation, basic/lifecycle.
"""

import asyncio
import itertools
import logging
import secrets
from typing import Final, cast

from msgspec import Raw

from ..protocol import envelope, exchange, messages, names
from ..protocol.call import Answer, Call, Cancel, Notification, Refused
from ..protocol.correlation import Pending
from ..protocol.envelope import Kind, Malformed, Message
from ..protocol.errors import Closed, InvalidRequest, RPCError, TransportError, rpc_error
from ..protocol.listening import Change
from ..protocol.revisions import PROFILES, Feature
from ..protocol.session import READY, ServerSession
from ..protocol.types.notifications import CancelledNotice
from ..protocol.types.requests import RequestId
from ..security.principal import ANONYMOUS, Principal
from . import tap
from .channel import Channel
from .dispatch import Reply
from .hub import Subscription
from .service import Send, Service

log = logging.getLogger("dovetail.server")

#: Answered before the next message is read: what follows them depends on what they change.
IN_ORDER: Final = frozenset(
    {
        names.INITIALIZE,
        names.PING,
        names.LOGGING_SET_LEVEL,
        names.RESOURCES_SUBSCRIBE,
        names.RESOURCES_UNSUBSCRIBE,
    }
)
#: Seconds that cancelled handlers have to clean up when a connection closes; then it no longer waits for them.
STUBBORN: Final = 10.0
#: What sending raises when the peer is no longer there.
GONE: Final = (OSError, TransportError)
_links = itertools.count(1)


class ServerConnection:
    """Serves one peer. The transport calls `receive` for each message, in order, and `close` at the end."""

    def __init__(
        self,
        service: Service,
        send: Send,
        *,
        transport: str,
        principal: Principal = ANONYMOUS,
        remote: str | None = None,
    ) -> None:
        self._service = service
        self._send = send
        self._transport = transport
        self._principal = principal
        self._remote = remote
        self._session: ServerSession = service.session()
        self._running: dict[RequestId, asyncio.Task[None]] = {}
        self._channels: dict[asyncio.Task[None], _ConnectionChannel] = {}
        self._asked: Pending[asyncio.Future[Answer]] = Pending(prefix=f"s{secrets.token_hex(4)}-")
        self._changes: Subscription | None = None
        self._teller: asyncio.Task[None] | None = None
        self._closed = False
        self._tidying: set[asyncio.Task[None]] = set()
        self.link = f"{transport}-{next(_links)}"

    async def receive(self, data: bytes) -> None:
        """Take one message, or one batch. Never raises for what the peer sent."""
        if tap.listeners:
            tap.note(self.link, "server", False, self._transport, data, self._session.state.revision or None)
        if envelope.is_batch(data):
            await self._receive_batch(data)
            return
        reply = await self._take(data)
        if reply is not None:
            await self.write(reply)

    async def write(self, data: bytes) -> None:
        """Send one message."""
        if self._closed:
            return
        if tap.listeners:
            tap.note(self.link, "server", True, self._transport, data, self._session.state.revision or None)
        await self._send(data)

    async def drain(self) -> None:
        """Wait until every call in progress has been answered."""
        while self._running:
            await asyncio.wait(tuple(self._running.values()))

    async def close(self) -> None:
        """End everything that runs for this peer. Idempotent."""
        self._closed = True
        if self._changes is not None:
            self._changes.close()
        tasks = list(self._running.values())
        if self._teller is not None:
            tasks.append(self._teller)
        for task in tasks:
            task.cancel()
        tasks += self._tidying
        for _, waiter in self._asked.drain():
            if not waiter.done():
                waiter.set_exception(Closed("the client is gone"))
                waiter.exception()  # nobody may be waiting any more: it is told, not lost
        if tasks:
            _, stubborn = await asyncio.wait(tasks, timeout=STUBBORN)
            if stubborn:
                log.error("%d handlers of %s go on after they were cancelled", len(stubborn), self.link)

    async def ask(self, method: str, params: bytes) -> Raw:
        """Send a request to the client and wait for the result. Raises its `RPCError`, or `Closed`."""
        if self._closed:
            raise Closed("the client is gone")
        id = self._asked.next_id()
        message = self._session.ask(id, method, params)
        waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked.add(id, waiter)
        try:
            await self.write(message)
            answer = await waiter
        except asyncio.CancelledError:
            if self._asked.take(id) is not None and not self._closed:
                notice = CancelledNotice(request_id=id)
                await self.write(
                    messages.notification(names.NOTIFY_CANCELLED, self._session.profile.encode(notice))
                )
            raise
        return read_answer(answer)

    # What comes in

    async def _take(self, data: bytes | Raw, replies: list[bytes] | None = None) -> bytes | None:
        """One message; gives the answer if it is known at once. ``replies`` collects the answers of a batch."""
        profile = self._session.profile
        try:
            message = envelope.read(bytes(data))
            if message.kind is Kind.REQUEST and self._judged_alone(message):
                profile = PROFILES[self._service.stateless[-1]]
                return await self._start(self._service.exchange.judge(message), None, replies)
            return await self._route(message, replies)
        except Malformed as problem:
            if problem.response:
                log.debug("ignored: %s", problem)
                return None
            return messages.error(problem.id, problem.error, profile)
        except Refused as problem:
            if problem.silent:
                log.debug("ignored: %s", problem)
                return None
            return messages.error(problem.id, problem.error, profile)

    def _judged_alone(self, message: Message) -> bool:
        """Whether a request is of the stateless era; a server of that era alone judges every one so."""
        service = self._service
        return bool(service.stateless) and (not service.stateful or exchange.belongs(message))

    async def _route(self, message: Message, replies: list[bytes] | None) -> bytes | None:
        session = self._session
        if replies is not None and message.method == names.INITIALIZE:
            raise Refused(InvalidRequest("initialize must not be part of a batch"), message.id)
        event = session.receive(message)
        if isinstance(event, Call):
            return await self._start(event, session, replies)
        if isinstance(event, Cancel):
            self._cancel(event)
        elif isinstance(event, Answer):
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
        replies: list[bytes] = []
        before = set(self._running)
        for item in items:
            reply = await self._take(item, replies)
            if reply is not None:
                replies.append(reply)
        started = [task for id, task in self._running.items() if id not in before]
        gathering = asyncio.ensure_future(self._answer_batch(started, replies))
        self._running[f"\0batch-{id(gathering)}"] = gathering
        gathering.add_done_callback(lambda task: self._running.pop(f"\0batch-{id(task)}", None))

    async def _answer_batch(self, started: list[asyncio.Task[None]], replies: list[bytes]) -> None:
        if started:
            await asyncio.wait(started)
        if replies:
            await self.write(b"[" + b",".join(replies) + b"]")

    def _noticed(self, event: Notification) -> None:
        if event.method == names.NOTIFY_INITIALIZED and self._changes is None:
            self._changes = self._service.hub.subscribe(self._wants)
            self._teller = asyncio.create_task(self._tell(self._changes))

    # Calls

    async def _start(
        self, call: Call, session: ServerSession | None, replies: list[bytes] | None
    ) -> bytes | None:
        if call.id in self._running:
            raise Refused(InvalidRequest(f"the request id {call.id!r} is in use"), call.id)
        if len(self._running) >= self._service.max_running:
            raise Refused(
                InvalidRequest(f"more than {self._service.max_running} requests are in progress; wait"),
                call.id,
            )
        channel = _ConnectionChannel(self, session, self._principal, self._transport, self._remote)
        if call.method in IN_ORDER and session is not None:
            return (await self._service.dispatcher.answer(call, channel)).data
        task = asyncio.create_task(self._run(call, channel, replies))
        self._running[call.id] = task
        self._channels[task] = channel
        # Not in a `finally` of the task: one that is cancelled before its first step never gets there.
        task.add_done_callback(lambda task: self._ended(call.id, task))
        return None

    def _ended(self, id: RequestId, task: asyncio.Task[None]) -> None:
        self._channels.pop(task, None)
        if self._running.get(id) is task:
            del self._running[id]

    async def _run(self, call: Call, channel: "_ConnectionChannel", replies: list[bytes] | None) -> None:
        try:
            reply: Reply = await self._service.dispatcher.answer(call, channel)
            if channel.ended:
                return  # cancelled, and the handler swallowed it: nothing more is said of this request
            channel.ended = True
            if replies is not None:
                replies.append(reply.data)
            else:
                await self.write(reply.data)
        except GONE:
            log.debug("the peer of %s went away before its answer", self.link)
        finally:
            channel.ended = True
            self._running.pop(call.id, None)
            if channel.clean_ups:
                await self._tidy(channel)

    async def _tidy(self, channel: "_ConnectionChannel") -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tidying.add(task)
        try:
            await channel.tidy()
        finally:
            self._tidying.discard(task)

    def _cancel(self, event: Cancel) -> None:
        task = self._running.get(event.id)
        if task is not None:
            log.debug("request %r was cancelled: %s", event.id, (event.reason or "no reason given")[:256])
            channel = self._channels.get(task)
            if channel is not None:
                channel.ended = True
            task.cancel()

    # Changes, in the stateful era

    def _wants(self, change: Change) -> bool:
        state = self._session.state
        if state.phase != READY:
            return False
        return change.kind != "resource" or change.uri in state.subscriptions

    async def _tell(self, changes: Subscription) -> None:
        async for change in changes:
            try:
                await self.write(change.message(self._session.profile))
            except GONE:
                return


class _ConnectionChannel(Channel):
    """A call's way back over the connection. Nothing passes once the call has ended."""

    def __init__(
        self,
        connection: ServerConnection,
        session: ServerSession | None,
        principal: Principal,
        transport: str,
        remote: str | None,
    ) -> None:
        self._connection = connection
        self.session = session
        self.principal = principal
        self.transport = transport
        self.remote = remote
        self.ended = False
        self.tidies = True

    @property
    def shared(self) -> bool:
        return True

    async def emit(self, message: bytes) -> None:
        if not self.ended:
            await self._connection.write(message)

    async def ask(self, method: str, params: bytes) -> Raw:
        if self.session is None:
            return await super().ask(method, params)
        return await self._connection.ask(method, params)


def read_answer(answer: Answer) -> Raw:
    """The result in an answer. Raises the `RPCError` in it."""
    if not answer.failed:
        return answer.body
    try:
        problem = envelope.read_error(answer.body)
    except Malformed as malformed:
        raise RPCError(str(malformed)) from None
    raise rpc_error(problem.code, problem.message, problem.data)
