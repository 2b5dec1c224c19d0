"""Streamable HTTP, the client's side, for both eras.

Theory of operation. Every message is a POST of its own. The answer to a request is one JSON message, or an
event stream on which the answer comes last; what comes before it goes to the receiver, marked with the
request it belongs to. There is no reader task: whoever awaits the call reads its stream.

In the stateful era a stream may break, or be ended by the server, before the answer: it is then resumed by a
GET that names the last event (`http_resumption`). In the stateless era that is a loss. In the stateful era,
too, the server may name a session with its answer to ``initialize``; the name is sent with everything that
follows and never shown. A request that is refused because the session is gone raises `SessionEnded`; the
caller then opens a new one.

A call is ended from outside (closing, or its answer arriving on another stream) through its `asyncio.timeout`
scope, which tells our cancellation from that of the caller. Abandoning a call closes its stream, which in the
stateless era cancels it.
Specification: 2025-11-25 basic/transports, "Streamable HTTP"; 2026-07-28 basic/transports/streamable-http.
"""

import asyncio
import logging
import ssl as tls
from typing import Final

from ..protocol import envelope, names
from ..protocol.bindings.headers import is_json_content_type, is_session_id
from ..protocol.bindings.sse import EventTooLarge, SSEParser
from ..protocol.envelope import Kind, Malformed, Message
from ..protocol.errors import (
    Closed,
    ConnectionLost,
    DovetailError,
    LocalProtocolError,
    RemoteProtocolError,
    SessionEnded,
    TransportError,
)
from ..protocol.types.requests import RequestId
from ..runtime import tap
from . import http_answers
from .client_seam import Outgoing, Receiver, Reply, Transport
from .http_backend import HttpBackend, Response
from .http_endpoint import REPEATABLE, Endpoint
from .http_resumption import Resumption, pause
from .http_target import HeaderSource
from .shared_channel import link

__all__ = ["HTTPTransport"]

_log: Final = logging.getLogger("dovetail.transports")

_MAX_CALLS: Final = 1000
_END_TIME: Final = 5.0
_ACCEPT: Final = f"{names.MEDIA_JSON}, {names.MEDIA_SSE}"


class _Call:
    """One request whose answer is awaited. ``scope`` ends it from outside, with ``outcome``."""

    def __init__(self) -> None:
        self.scope = asyncio.timeout(None)
        self.outcome: Reply | DovetailError | None = None

    def settle(self, outcome: Reply | DovetailError) -> None:
        if self.outcome is None and not self.scope.expired():
            self.outcome = outcome
            self.scope.reschedule(0)


class HTTPTransport:
    """One MCP endpoint over HTTP. It follows `client_seam.Transport`.

    ``url``: ``http://``, ``https://`` or ``http+unix:///path/to.sock:/mcp``; user name and password in it
    become an Authorization header. ``headers``: more headers, or a function (async or not) that gives them
    for each request. ``backend``: an `HttpBackend`, which then stays the caller's to close; by default
    aiohttp. ``ssl``: a context for the default backend. ``max_message``: bytes of one message (default 64
    MiB). ``connect_timeout``: seconds (default 10). ``send_timeout``: seconds a server has to accept a
    notification or response (default 30). ``resume_attempts``: tries in a row, without a new event, to resume
    a broken stream (default 8). Raises `LocalProtocolError` for a URL or headers that cannot be used.
    """

    name: str = "http"
    http: bool = True
    shared: bool = False

    def __init__(
        self,
        url: str,
        *,
        headers: HeaderSource | None = None,
        backend: HttpBackend | None = None,
        ssl: tls.SSLContext | None = None,
        unix_socket: str | None = None,
        max_message: int = 64 * 1024 * 1024,
        connect_timeout: float = 10.0,
        send_timeout: float = 30.0,
        resume_attempts: int = 8,
    ) -> None:
        self.endpoint: Final = Endpoint(
            url,
            headers=headers,
            backend=backend,
            ssl=ssl,
            unix_socket=unix_socket,
            connect_timeout=connect_timeout,
        )
        self.late = 0
        self.malformed = 0
        self._max_message = max_message
        self._send_timeout = send_timeout
        self._resume_attempts = resume_attempts
        self._link = link(self.name)
        self._receiver: Receiver | None = None
        self._session: str | None = None
        self._revision = ""
        self._calls: dict[RequestId, _Call] = {}
        self._turns = asyncio.Semaphore(_MAX_CALLS)
        self._standalone: asyncio.Task[None] | None = None
        self.listening = asyncio.Event()  # set once the server said whether it has a standalone stream
        self._endings: set[asyncio.Task[None]] = set()

    # The seam

    async def open(self, receiver: Receiver) -> None:
        """Get ready; nothing is sent yet. Raises ImportError, naming the extra, without an HTTP library."""
        await self.endpoint.open()
        self._receiver = receiver

    async def request(self, out: Outgoing) -> Reply:
        """POST a request and await its answer, wherever it comes.

        Raises `ConnectFailed`, `ConnectionLost`, `SessionEnded`, `LoginRequired`, `HTTPStatusError`,
        `MessageTooLarge`, `RemoteProtocolError` (the answer is no legal message) or `Closed`.
        """
        self.endpoint.check()
        id = out.id
        if id is None:
            raise LocalProtocolError("a request needs an id; send notifications with send()")
        if id in self._calls:
            raise LocalProtocolError(f"the request id {id!r} is in use")
        call = self._calls[id] = _Call()
        try:
            async with call.scope, self._turns:
                return await self._call(out)
        except TimeoutError:
            if isinstance(call.outcome, Reply):
                return call.outcome
            if call.outcome is not None:
                raise call.outcome from None
            raise
        except DovetailError:
            if self.endpoint.closed:
                raise Closed("the connection was closed while the call was open") from None
            raise
        finally:
            del self._calls[id]

    async def send(self, out: Outgoing) -> None:
        """POST a notification or a response. Raises like `request`; `TransportError` if it takes too long."""
        self.endpoint.check()
        try:
            async with asyncio.timeout(self._send_timeout):
                session = self._session
                response = await self._post(out, session)
                try:
                    if not 200 <= response.status < 300:
                        raise await self._refused(response, session)
                    if not response.ended:
                        self._let_end(response)
                except BaseException:
                    response.close()
                    raise
        except TimeoutError:
            raise TransportError(
                f"{self.describe()} did not accept a message within {self._send_timeout:g} s"
            ) from None

    async def listen(self) -> None:
        """Open the standalone stream in the background, and keep it open; anew if it was there."""
        self.endpoint.check()
        await self._stop_listening()
        answered = self.listening = asyncio.Event()
        self._standalone = asyncio.create_task(self._listen(), name="dovetail: standalone stream")
        self._standalone.add_done_callback(lambda _: answered.set())

    async def end_session(self) -> None:
        """DELETE the session, if there is one. A server that does not offer it, or is gone, is no fault."""
        session, self._session = self._session, None
        await self._stop_listening()
        if session is None or self.endpoint.closed:
            return
        try:
            async with asyncio.timeout(_END_TIME):
                response = await self.endpoint.request(
                    "DELETE", self._marks(session, self._revision), repeatable=True
                )
                response.close()
        except (DovetailError, TimeoutError) as problem:
            _log.debug("ending the session of %s: %s", self.describe(), type(problem).__name__)

    async def close(self) -> None:
        """Fail what is open and close all connections. Idempotent, bounded."""
        self.endpoint.closed = True
        for call in tuple(self._calls.values()):
            call.settle(Closed("the connection was closed while the call was open"))
        await self._stop_listening()
        current = asyncio.current_task()
        endings = [task for task in self._endings if task is not current]
        for task in endings:
            task.cancel()
        if endings:
            await asyncio.wait(endings)
        await self.endpoint.close()

    def describe(self) -> str:
        """The URL, without user, password and query."""
        return self.endpoint.shown

    @property
    def has_session(self) -> bool:
        """Whether the server has named a session."""
        return self._session is not None

    def fall_back_to_sse(self) -> Transport:
        """The transport of 2024-11-05 to the same URL, for a server that refused to initialize here.

        The refusal is one with status 400, 404 or 405. It has its own connections; this transport should be
        closed.
        """
        from .http_sse_client import HTTPSSETransport

        endpoint = self.endpoint
        return HTTPSSETransport(
            endpoint.url,
            headers=endpoint.headers,
            backend=endpoint.given,
            ssl=endpoint.ssl,
            unix_socket=endpoint.target.unix_socket,
            max_message=self._max_message,
            connect_timeout=endpoint.connect_timeout,
            send_timeout=self._send_timeout,
        )

    # One call

    async def _call(self, out: Outgoing) -> Reply:
        opening = out.method == names.INITIALIZE
        if opening:
            self._session, self._revision = None, ""
        session = self._session
        response = await self._post(out, session)
        try:
            if response.status != 200:
                return await self._other_status(out, response, session)
            if opening:
                session = self._take_session(response)
            if http_answers.is_event_stream(response):
                reply = await self._read_stream(out, response, session)
            else:
                reply = await self._read_json(out, response)
            if opening and reply.message.kind is Kind.ERROR:
                self._session = None
            return reply
        except BaseException:
            response.close()
            raise

    async def _read_json(self, out: Outgoing, response: Response) -> Reply:
        """The answer as one JSON message."""
        if not is_json_content_type(response.headers.get("content-type")):
            raise await self._refused(response, None)
        body = await http_answers.read_body(response, self._max_message, self.describe())
        response.close()
        message = self._opened(body, out.revision)
        if message.id != out.id or message.kind in (Kind.REQUEST, Kind.NOTIFICATION):
            if message.kind is Kind.ERROR and message.id is None:
                return Reply(Message(Kind.ERROR, out.id, body=message.body), response.status)
            raise RemoteProtocolError(
                f"{self.describe()} answered {out.method} with a message that is not its response"
            )
        return Reply(message, response.status)

    def _opened(self, data: bytes, revision: str) -> Message:
        if tap.listeners:
            tap.note(self._link, "client", False, self.name, data, revision or None)
        try:
            return envelope.read(data)
        except Malformed as problem:
            raise http_answers.malformed(self.describe(), problem) from None

    async def _read_stream(self, out: Outgoing, response: Response, session: str | None) -> Reply:
        """The answer at the end of an event stream, resumed as often as it takes where that exists."""
        progress = Resumption(self._resume_attempts)
        while True:
            try:
                reply = await self._follow(response, progress, out)
            except BaseException:
                response.close()
                raise
            if reply is not None:
                return Reply(reply, 200)
            response.close()
            if out.stateless:
                raise progress.problem or ConnectionLost(
                    f"{self.describe()} ended the stream of {out.method} before the answer came"
                )
            response = await self._resumed(out, progress, session)

    async def _follow(self, response: Response, progress: Resumption, out: Outgoing | None) -> Message | None:
        """Read one stream to the awaited answer, or to its end (None); what else comes is handed over."""
        parser = SSEParser(self._max_message)
        parser.last_event_id = progress.last_event_id
        while True:
            try:
                chunk = await response.read()
            except ConnectionLost as problem:
                progress.broke(problem)
                return None
            if not chunk:
                return None
            too_large: EventTooLarge | None = None
            try:
                events = parser.feed(chunk)
            except EventTooLarge as problem:
                events, too_large = problem.events, problem
            progress.heard(parser.last_event_id, parser.retry)
            for event in events:
                if event.data and event.event == "message":
                    answer = await self._sort(event.data, out, progress)
                    if answer is not None:
                        self._let_end(response)
                        return answer
            if too_large is not None:
                raise too_large

    async def _sort(self, data: bytes, out: Outgoing | None, progress: Resumption) -> Message | None:
        """Sort one message of a stream: give the answer to ``out``, pass on anything else."""
        try:
            message = self._opened(data, out.revision if out is not None else self._revision)
        except RemoteProtocolError as problem:
            self.malformed += 1
            progress.problem = problem
            return None
        response = message.kind is Kind.RESULT or message.kind is Kind.ERROR
        if response and message.id is not None:
            if out is not None and message.id == out.id:
                return message
            call = self._calls.get(message.id)
            if call is None:
                self.late += 1
            else:
                call.settle(Reply(message, 200))
            return None
        if response and out is not None:
            return Message(Kind.ERROR, out.id, body=message.body)
        await self._hand_over(message, None if out is None else out.id)
        return None

    async def _hand_over(self, message: Message, related: RequestId | None) -> None:
        try:
            if self._receiver is not None:
                await self._receiver.message(message, related)
        except Exception as problem:  # noqa: BLE001 - a faulty receiver must not end the call whose stream this is
            _log.error("http: taking in %s failed: %s", message.kind.name.lower(), type(problem).__name__)

    async def _resumed(self, out: Outgoing, progress: Resumption, session: str | None) -> Response:
        """The stream of a call, opened again after its last event. Raises when that is not possible."""
        while True:
            if not progress.last_event_id:
                raise progress.problem or ConnectionLost(
                    f"{self.describe()} ended the stream of {out.method} before its answer came,"
                    " and without an event id it can't be resumed"
                )
            await pause(progress.next_wait(f"the stream of {out.method} at {self.describe()}"))
            try:
                response = await self._get(session, progress.last_event_id, out.revision or self._revision)
            except TransportError as problem:
                progress.failed(problem)
                continue
            if response.status == 200 and http_answers.is_event_stream(response):
                return response
            refused = await self._refused(response, None)
            response.close()
            if not progress.may_retry(refused, response.status):
                refused.retry_safe = False  # the call itself was accepted and may have done its work
                if response.status in (401, 403):
                    raise refused
                raise ConnectionLost(f"the stream of {out.method} broke and could not be resumed: {refused}")

    # The standalone stream

    async def _listen(self) -> None:
        session, progress = self._session, Resumption(self._resume_attempts)
        try:
            while not self.endpoint.closed:
                if not await self._listen_once(session, progress):
                    return
                await pause(progress.next_wait(f"the standalone stream of {self.describe()}"))
        except DovetailError as problem:
            if not self.endpoint.closed:
                _log.warning("no longer listening to %s: %s", self.describe(), problem)

    async def _listen_once(self, session: str | None, progress: Resumption) -> bool:
        """One connection of the standalone stream, to its end. Whether to try again."""
        try:
            response = await self._get(session, progress.last_event_id, self._revision)
        except TransportError as problem:
            progress.failed(problem)
            return True
        self.listening.set()
        try:
            if response.status == 200 and http_answers.is_event_stream(response):
                progress.opened()
                await self._follow(response, progress, None)
                return True
            if response.status == 405:
                return False
            refused = await self._refused(response, session)
            if progress.may_retry(refused, response.status):
                return True
            raise refused
        finally:
            response.close()

    async def _stop_listening(self) -> None:
        task, self._standalone = self._standalone, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait({task})

    # HTTP

    async def _post(self, out: Outgoing, session: str | None) -> Response:
        if tap.listeners:
            tap.note(self._link, "client", True, self.name, out.data, out.revision or None)
        if out.revision and not out.stateless:
            self._revision = out.revision
        headers = self._marks(None if out.stateless else session, out.revision)
        headers += (("accept", _ACCEPT), ("content-type", names.MEDIA_JSON), *out.headers)
        return await self.endpoint.request("POST", headers, out.data, repeatable=out.method in REPEATABLE)

    async def _get(self, session: str | None, last_event_id: str, revision: str) -> Response:
        headers = [*self._marks(session, revision), ("accept", names.MEDIA_SSE)]
        if last_event_id:
            headers.append((names.HEADER_LAST_EVENT_ID, last_event_id))
        return await self.endpoint.request("GET", headers)

    def _marks(self, session: str | None, revision: str) -> list[tuple[str, str]]:
        """The headers that name the revision and the session, where there are any."""
        marks: list[tuple[str, str]] = []
        if revision:
            marks.append((names.HEADER_PROTOCOL_VERSION, revision))
        if session is not None:
            marks.append((names.HEADER_SESSION, session))
        return marks

    async def _other_status(self, out: Outgoing, response: Response, session: str | None) -> Reply:
        """The outcome of an answer other than 200: a JSON-RPC error in its body, or a typed error."""
        body = await http_answers.read_refusal(response)
        if response.status == 404 and session is not None:
            raise await self._refused(response, session)
        message = None
        if response.status >= 400 and response.status != 401:
            message = http_answers.rpc_refusal(response, body, out.id)
        if message is None:
            raise await self._refused(response, session, body)
        if tap.listeners:
            tap.note(self._link, "client", False, self.name, body, out.revision or None)
        response.close()
        return Reply(message, response.status)

    async def _refused(
        self, response: Response, session: str | None, body: bytes | None = None
    ) -> TransportError:
        if response.status == 404 and session is not None:
            response.close()
            return SessionEnded(
                f"{self.describe()} no longer knows our session (HTTP 404); a new one has to be opened"
            )
        return await self.endpoint.refused(response, body, secret=self._session or "")

    def _take_session(self, response: Response) -> str | None:
        session = response.headers.get(names.HEADER_SESSION)
        if session is not None and not is_session_id(session):
            raise RemoteProtocolError(
                f"{self.describe()} named a session by something that is no legal session id"
            )
        self._session = session
        return session

    def _let_end(self, response: Response) -> None:
        """The answer is there; read what little may follow, so that the connection can be used again."""
        if response.ended or self.endpoint.closed:
            response.close()
            return
        task = asyncio.create_task(http_answers.read_out(response), name="dovetail: end of a stream")
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        task.add_done_callback(lambda _: response.close())  # a task cancelled before it began runs no finally
