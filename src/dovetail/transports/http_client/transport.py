"""Streamable HTTP, the client's side, for both eras.

Theory of operation. Every message is a POST of its own. The answer to a request is one JSON message, or an
event stream on which the answer comes last; what comes before it goes to the receiver, marked with the
request it belongs to. There is no reader task: whoever awaits the call reads its stream (`event_streams`).

In the stateful era a stream may break, or be ended by the server, before the answer: it is then resumed by a
GET that names the last event (`resumption`). In the stateless era that is a loss. In the stateful era,
too, the server may name a session with its answer to ``initialize``; the name is sent with everything that
follows (`requests`). A request that is refused because the session is gone raises `SessionEnded`; the
caller then opens a new one. Refusals for want of authorization are dealt with below (`endpoint`).

A call is ended from outside by closing, or by its answer arriving on another stream. Abandoning a call closes
its stream, which in the stateless era cancels it.
Specification: 2025-11-25 basic/transports, "Streamable HTTP"; 2026-07-28 basic/transports/streamable-http.
"""

import asyncio
import ssl as tls
from collections.abc import Callable
from typing import Final

from ...logs import get_logger
from ...protocol import envelope, names
from ...protocol.envelope import Kind, Message
from ...protocol.errors import (
    ConnectionLost,
    DovetailError,
    LocalProtocolError,
    RemoteProtocolError,
    SessionEnded,
    TransportError,
    closed_in_use,
)
from ...security.client_auth import ClientAuth
from ..client_transport import Outgoing, ReceivedResponse, Receiver, Transport
from ..deadlines import deadline
from ..http1.client.http_backend import HTTPBackend
from . import answers
from .answers import EndpointResponse
from .endpoint import HTTPEndpoint
from .event_streams import EventStreams, OpenCall
from .requests import RequestSender
from .resumption import Resumption
from .standalone import StandaloneStream
from .target import HeaderSource
from .turns import Turns

__all__ = ["HTTPTransport"]

_log: Final = get_logger("dovetail.transports")

_MAX_CALLS: Final = 1000
_RESPONSES: Final = (Kind.RESULT, Kind.ERROR)
_END_TIME: Final = 5.0


class HTTPTransport:
    """One MCP endpoint over HTTP. It follows `client_transport.Transport`.

    ``url``: ``http://``, ``https://`` or ``http+unix:///path/to.sock:/mcp``; user name and password in it
    become an Authorization header. ``headers``: more headers, or a function (async or not) that gives them
    for each request. ``auth``: gives the credentials for each request, and is asked when one is refused; it
    stays the caller's to close. ``backend``: an `HTTPBackend`, which then stays the caller's to close; by default
    our own (`backend`), which leaves proxies of the environment to aiohttp. ``around``: what stands around that one,
    and closes it. ``ssl``: a context for the default backend. ``max_message``: bytes of one message (default 64 MiB).
    ``connect_timeout``: seconds (default 10). ``send_timeout``: seconds a server has to accept a notification or
    response (default 30). ``resume_attempts``: tries in a row, without a new event, to resume a broken stream (default
    8). Raises `LocalProtocolError` for a URL or headers that cannot be used.
    """

    name: str = "http"
    http: bool = True
    shared: bool = False

    def __init__(
        self,
        url: str,
        *,
        headers: HeaderSource | None = None,
        auth: ClientAuth | None = None,
        backend: HTTPBackend | None = None,
        ssl: tls.SSLContext | None = None,
        unix_socket: str | None = None,
        max_message: int = 64 * 1024 * 1024,
        connect_timeout: float = 10.0,
        send_timeout: float = 30.0,
        resume_attempts: int = 8,
        around: Callable[[HTTPBackend], HTTPBackend] | None = None,
    ) -> None:
        self.endpoint: Final = HTTPEndpoint(
            url,
            headers=headers,
            auth=auth,
            backend=backend,
            ssl=ssl,
            unix_socket=unix_socket,
            connect_timeout=connect_timeout,
            around=around,
        )
        self._max_message = max_message
        self._send_timeout = send_timeout
        self._resume_attempts = resume_attempts
        self._requests = RequestSender(self.endpoint)
        self._event_streams = EventStreams(self._requests, max_message)
        self._standalone = StandaloneStream(self._requests, self._event_streams, resume_attempts)
        self._turns = Turns(_MAX_CALLS)

    # What a client asks of its transport

    async def open(self, receiver: Receiver) -> None:
        """Get ready; nothing is sent yet. Raises ImportError, naming the extra, without an HTTP library."""
        await self.endpoint.open()
        self._event_streams.receiver = receiver

    async def request(self, out: Outgoing) -> ReceivedResponse:
        """POST a request and await its answer, wherever it comes.

        Raises `ConnectFailed`, `ConnectionLost`, `SessionEnded`, `LoginRequired`, `HTTPStatusError`,
        `MessageTooLarge`, `RemoteProtocolError` (the answer is no legal message) or `Closed`.
        """
        self.endpoint.check()
        id, calls = out.id, self._event_streams.calls
        if id is None:
            raise LocalProtocolError("a request needs an id; send notifications with send()")
        if id in calls:
            raise LocalProtocolError(f"the request id {id!r} is in use")
        call = calls[id] = OpenCall()
        turns = self._turns
        try:
            with call:
                if not turns.take():
                    await turns.wait()
                try:
                    return await self._call(out)
                finally:
                    turns.give_back()
        except DovetailError:
            if self.endpoint.closed:
                raise closed_in_use("the connection was closed while the call was open") from None
            raise
        finally:
            del calls[id]
        return call.settled()

    async def send(self, out: Outgoing) -> None:
        """POST a notification or a response. Raises like `request`; `TransportError` if it takes too long."""
        self.endpoint.check()
        try:
            async with deadline(self._send_timeout):
                session = self._requests.session
                answer = await self._requests.post(out, session)
                try:
                    if not 200 <= answer.status < 300:
                        raise await self._requests.refused(answer, session)
                    if not answer.ended:
                        self._event_streams.let_end(answer)
                except BaseException:
                    answer.close()
                    raise
        except TimeoutError:
            raise TransportError(
                f"{self.describe()} did not accept a message within {self._send_timeout:g} s"
            ) from None

    async def listen(self) -> None:
        """Open the standalone stream in the background, and keep it open; anew if it was there."""
        self.endpoint.check()
        await self._standalone.start()

    @property
    def session_state(self) -> tuple[str, str]:
        """The session id, and the last event id of the standalone stream; each empty where there is none."""
        return self._requests.session or "", self._standalone.position

    def resume_session(self, session: str, revision: str, position: str) -> None:
        """Go on in a session of before. ``position``: the last event id of its standalone stream, or "".

        ``session`` empty: there is none after all.
        """
        self._requests.session, self._requests.revision = session or None, revision
        self._standalone.position, self._standalone.resumed = position, bool(session)

    async def leave_session(self) -> None:
        """Speak no more in the session, which goes on at the server."""
        await self._standalone.stop()
        self._requests.session = None

    async def end_session(self) -> None:
        """DELETE the session, if there is one. A server that does not offer it, or is gone, is no fault.

        Takes 5 seconds at most, whoever has to be asked for credentials.
        """
        session, self._requests.session = self._requests.session, None
        await self._standalone.stop()
        if session is None or self.endpoint.closed:
            return
        try:
            async with asyncio.timeout(_END_TIME):
                answer = await self._requests.delete(session)
                answer.close()
        except (DovetailError, TimeoutError) as problem:
            _log.debug("ending the session of %s: %s", self.describe(), type(problem).__name__)

    async def close(self) -> None:
        """Fail what is open and close all connections. Idempotent, bounded."""
        self.endpoint.closed = True
        await self._standalone.stop()
        await self._event_streams.close(closed_in_use("the connection was closed while the call was open"))
        await self.endpoint.close()

    def describe(self) -> str:
        """The URL, without user, password and query."""
        return self.endpoint.shown

    @property
    def has_session(self) -> bool:
        """Whether the server has named a session."""
        return self._requests.session is not None

    @property
    def listening(self) -> asyncio.Event:
        """Set once the server said whether it has a standalone stream."""
        return self._standalone.answered

    @property
    def late(self) -> int:
        """Answers that nobody waited for."""
        return self._event_streams.late

    @property
    def malformed(self) -> int:
        """Messages on streams that were none."""
        return self._event_streams.malformed

    def fall_back_to_sse(self) -> Transport:
        """The transport of 2024-11-05 to the same URL, for a server that refused to initialize here.

        The refusal is one with status 400, 404 or 405. It has its own connections; this transport should be
        closed.
        """
        from .sse_2024 import HTTPSSETransport

        endpoint = self.endpoint
        return HTTPSSETransport(
            endpoint.url,
            headers=endpoint.headers,
            auth=endpoint.auth,
            backend=endpoint.given,
            ssl=endpoint.ssl,
            unix_socket=endpoint.target.unix_socket,
            max_message=self._max_message,
            connect_timeout=endpoint.connect_timeout,
            send_timeout=self._send_timeout,
            around=endpoint.around,
        )

    # One call

    async def _call(self, out: Outgoing) -> ReceivedResponse:
        requests = self._requests
        opening = out.method == names.INITIALIZE
        if opening:
            self.resume_session("", "", "")
        session = requests.session
        answer = await requests.post(out, session)
        try:
            if answer.status != 200:
                return await self._other_status(out, answer, session)
            if opening:
                session = requests.take_session(answer)
            elif answer.headers.get("content-type") == names.MEDIA_JSON:
                body = answer.whole(self._max_message)  # most often it is all there
                if body is not None:
                    return self._reply(out, body)
            if answers.is_event_stream(answer):
                reply = await self._read_stream(out, answer, session)
            else:
                reply = await self._read_json(out, answer)
            if opening and reply.message.kind is Kind.ERROR:
                requests.session = None
            return reply
        except BaseException:
            answer.close()
            raise

    async def _read_json(self, out: Outgoing, answer: EndpointResponse) -> ReceivedResponse:
        """The answer as one JSON message."""
        if not answers.is_json(answer):
            raise await self._requests.refused(answer, None)
        body = await answers.read_body(answer, self._max_message, self.describe())
        answer.close()
        return self._reply(out, body)

    def _reply(self, out: Outgoing, body: bytes) -> ReceivedResponse:
        """The reply in the body of an answer with status 200. Raises `RemoteProtocolError` where it has none."""
        message = self._requests.opened(body, out.revision)
        if message.id != out.id and out.id is not None:
            message = envelope.under_number(message, (out.id,)) or message
        if message.id != out.id or message.kind not in _RESPONSES:
            if message.kind is Kind.ERROR and message.id is None:
                return ReceivedResponse(Message(Kind.ERROR, out.id, body=message.body), 200)
            raise RemoteProtocolError(
                f"{self.describe()} answered {out.method} with a message that is not its response"
            )
        return ReceivedResponse(message, 200)

    async def _read_stream(
        self, out: Outgoing, answer: EndpointResponse, session: str | None
    ) -> ReceivedResponse:
        """The answer at the end of an event stream, resumed as often as it takes where that exists."""
        progress = Resumption(self._resume_attempts, awaited=True)
        while True:
            try:
                reply = await self._event_streams.follow(answer, progress, out)
            except BaseException:
                answer.close()
                raise
            if reply is not None:
                return ReceivedResponse(reply, 200)
            answer.close()
            if out.stateless:
                raise progress.problem or ConnectionLost(
                    f"{self.describe()} ended the stream of {out.method} before the answer came"
                )
            try:
                answer = await self._resumed(out, progress, session)
            except DovetailError as problem:
                # the call itself was accepted and may have done its work
                problem.retry_safe = isinstance(problem, SessionEnded) and out.repeatable
                raise

    async def _resumed(self, out: Outgoing, progress: Resumption, session: str | None) -> EndpointResponse:
        """The stream of a call, opened again after its last event. Raises when that is not possible."""
        what = f"the stream of {out.method} at {self.describe()}"
        while True:
            if not progress.last_event_id:
                raise progress.problem or ConnectionLost(
                    f"{self.describe()} ended the stream of {out.method} before its answer came,"
                    " and without an event id it can't be resumed"
                )
            await progress.wait(what)
            try:
                answer = await self._requests.get(
                    session, progress.last_event_id, out.revision or self._requests.revision
                )
            except TransportError as problem:
                progress.failed(problem)
                continue
            progress.reached()
            if answer.status == 200 and answers.is_event_stream(answer):
                return answer
            refused = await self._requests.refused(answer, session)
            if not progress.may_retry(refused, answer.status):
                if answer.status in (401, 403) or isinstance(refused, SessionEnded):
                    raise refused
                raise ConnectionLost(f"the stream of {out.method} broke and could not be resumed: {refused}")

    async def _other_status(
        self, out: Outgoing, answer: EndpointResponse, session: str | None
    ) -> ReceivedResponse:
        """The outcome of an answer other than 200: a JSON-RPC error in its body, or a typed error."""
        body = await answers.read_refusal(answer)
        if session is not None and (
            answer.status == 404 or (answer.status == 400 and answers.denies_session(body))
        ):
            raise await self._requests.refused(answer, session, body)
        message = None
        if answer.status >= 400 and answer.status != 401:
            message = answers.rpc_refusal(answer, body, out.id)
        if message is None:
            raise await self._requests.refused(answer, session, body)
        self._requests.noted(body, out.revision)
        answer.close()
        return ReceivedResponse(message, answer.status)
