"""HTTP+SSE, the transport of 2024-11-05. Deprecated since 2025-03-26; use Streamable HTTP instead.

Theory of operation. A GET opens one event stream; its first event, ``endpoint``, names the URL for POSTs,
which must have the origin of the first: our headers go there. All that the server says, answers too, comes on
the stream, so a `SharedChannel` sorts it. The stream cannot be resumed: when it ends, everything open fails.
Specification: 2024-11-05 basic/transports, "HTTP with SSE".
"""

import asyncio
import ssl as tls
from collections.abc import Callable
from typing import Final
from urllib.parse import urljoin

from ...protocol import names
from ...protocol.bindings.sse import EventTooLarge, ServerSentEvent, SSEParser
from ...protocol.errors import (
    Closed,
    ConnectFailed,
    ConnectionLost,
    DovetailError,
    LocalProtocolError,
    RemoteProtocolError,
    TransportError,
)
from ...security.client_auth import ClientAuth
from ..client_transport import Outgoing, ReceivedResponse, Receiver
from ..deadlines import deadline
from ..http1.client.http_backend import HTTPBackend
from ..shared_channel import SharedChannel
from . import answers
from .answers import EndpointResponse
from .endpoint import HTTPEndpoint
from .target import EndpointURL, HeaderSource, same_origin

__all__ = ["HTTPSSETransport"]

_MAX_ENDPOINT: Final = 4096


class HTTPSSETransport:
    """A server of 2024-11-05 over HTTP+SSE. It follows `client_transport.Transport`.

    The options are those of `HTTPTransport`; ``connect_timeout`` also bounds the wait for the ``endpoint``
    event.
    """

    name: str = "sse"
    http: bool = True
    shared: bool = True

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
        self._channel: SharedChannel | None = None
        self._post_url = ""
        self._reading: asyncio.Task[None] | None = None

    async def open(self, receiver: Receiver) -> None:
        """Open the stream and await its ``endpoint``.

        Raises `ConnectFailed`, or what the server's answer amounts to: `HTTPStatusError`, `LoginRequired`,
        `RemoteProtocolError`.
        """
        if self._channel is not None and self._channel.ended is None:
            raise LocalProtocolError("this transport is open already")
        await self.endpoint.open()
        channel = SharedChannel(self.name, self._post)
        parser = SSEParser(self._max_message)
        try:
            async with deadline(self.endpoint.connect_timeout):
                response = await self._stream()
                try:
                    rest = await self._await_endpoint(response, parser)
                except BaseException:
                    response.close()
                    raise
        except TimeoutError:
            raise ConnectFailed(
                f"{self.describe()} did not open an event stream and name its endpoint"
                f" within {self.endpoint.connect_timeout:g} s"
            ) from None
        if self.endpoint.closed:
            response.close()
            raise Closed("this transport was closed while it opened")
        self._channel = channel
        channel.attach(receiver)
        self._reading = asyncio.create_task(
            self._read(response, parser, channel, rest), name="dovetail: read event stream"
        )
        # a task that is cancelled before it began runs no finally
        self._reading.add_done_callback(lambda _: response.close())

    async def request(self, out: Outgoing) -> ReceivedResponse:
        """POST a request, await its answer on the stream. Raises `ConnectionLost` when the stream ends."""
        return await self._opened().request(out)

    async def send(self, out: Outgoing) -> None:
        """POST a notification or a response."""
        await self._opened().send(out)

    async def listen(self) -> None:
        """Nothing to do: everything comes in on the one stream."""

    async def end_session(self) -> None:
        """Nothing to do: the session ends with the stream."""

    async def close(self) -> None:
        """End the stream and fail what is open. Idempotent, bounded."""
        self.endpoint.closed = True
        if self._channel is not None:
            self._channel.close()
        reading = self._reading
        if reading is not None and reading is not asyncio.current_task():
            reading.cancel()
            await asyncio.wait({reading})
        await self.endpoint.close()

    def describe(self) -> str:
        """The URL, without user, password and query."""
        return self.endpoint.shown

    def _opened(self) -> SharedChannel:
        if self._channel is None:
            raise LocalProtocolError("this transport is not open yet")
        return self._channel

    async def _stream(self) -> EndpointResponse:
        response = await self.endpoint.request("GET", [("accept", names.MEDIA_SSE)])
        if response.status == 200 and answers.is_event_stream(response):
            return response
        raise await self.endpoint.refused(response)

    async def _await_endpoint(self, response: EndpointResponse, parser: SSEParser) -> list[ServerSentEvent]:
        """Read up to the ``endpoint`` event, which has to be the first; give what came with it."""
        while chunk := await response.read():
            events = parser.feed(chunk)
            if not events:
                continue
            first = events[0]
            if first.event != "endpoint" or len(first.data) > _MAX_ENDPOINT:
                raise RemoteProtocolError(
                    f"{self.describe()} did not name its endpoint first; is this an MCP endpoint?"
                )
            self._post_url = self._checked(first.data)
            return events[1:]
        raise ConnectionLost(f"{self.describe()} ended its event stream before it named its endpoint")

    def _checked(self, data: bytes) -> str:
        try:
            endpoint = EndpointURL(urljoin(self.endpoint.url, data.decode("utf-8").strip()))
        except (ValueError, LocalProtocolError):
            raise RemoteProtocolError(f"{self.describe()} named an endpoint that is no URL") from None
        if endpoint.authorization is not None or not same_origin(endpoint.url, self.endpoint.url):
            raise RemoteProtocolError(
                f"{self.describe()} named an endpoint of another origin, where our headers must not go"
            )
        return endpoint.url

    async def _read(
        self,
        response: EndpointResponse,
        parser: SSEParser,
        channel: SharedChannel,
        rest: list[ServerSentEvent],
    ) -> None:
        error: DovetailError = ConnectionLost(f"{self.describe()} ended its event stream")
        try:
            events = rest
            while True:
                for event in events:
                    if event.event == "message" and event.data:
                        channel.accept(event.data)
                if not channel.may_read:
                    await channel.room()
                chunk = await response.read()
                if not chunk:
                    break
                events = self._fed(parser, chunk, channel)
        except DovetailError as problem:
            error = problem
        finally:
            channel.lose(error)

    def _fed(self, parser: SSEParser, chunk: bytes, channel: SharedChannel) -> list[ServerSentEvent]:
        try:
            return parser.feed(chunk)
        except EventTooLarge as problem:
            for event in problem.events:
                if event.event == "message" and event.data:
                    channel.accept(event.data)
            raise

    async def _post(self, data: bytes) -> None:
        headers = [("content-type", names.MEDIA_JSON), ("accept", f"{names.MEDIA_JSON}, {names.MEDIA_SSE}")]
        try:
            async with deadline(self._send_timeout):
                response = await self.endpoint.request("POST", headers, data, url=self._post_url)
                try:
                    if not 200 <= response.status < 300:
                        raise await self.endpoint.refused(response)
                    await answers.read_refusal(response)
                finally:
                    response.close()
        except TimeoutError:
            raise TransportError(
                f"{self.describe()} did not accept a message within {self._send_timeout:g} s"
            ) from None
