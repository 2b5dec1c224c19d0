"""One MCP endpoint, as both HTTP transports talk to it: a backend, the caller's headers, refusals.

Theory of operation. An `Endpoint` puts the caller's headers on every request and knows them again in what
comes back, so that an error never shows a credential. The HTTP library is loaded when the endpoint is opened,
in the event loop that will use it; a backend that the caller brought stays the caller's to close.
Specification: 2025-11-25 basic/transports "Streamable HTTP"; basic/authorization "Access Token Usage".
"""

import ssl as tls
from typing import Final

from ..protocol import names
from ..protocol.errors import Closed, LocalProtocolError, TransportError
from . import http_answers
from .http_backend import Headers, HttpBackend, Response
from .http_target import HeaderSource, Target, caller_headers

__all__ = ["REPEATABLE", "Endpoint"]

#: Requests that change nothing, or the same thing however often they arrive. A tool call is not among them.
REPEATABLE: Final = frozenset(
    {
        "",
        names.INITIALIZE,
        names.DISCOVER,
        names.PING,
        names.TOOLS_LIST,
        names.RESOURCES_LIST,
        names.RESOURCES_TEMPLATES_LIST,
        names.RESOURCES_READ,
        names.RESOURCES_SUBSCRIBE,
        names.RESOURCES_UNSUBSCRIBE,
        names.PROMPTS_LIST,
        names.PROMPTS_GET,
        names.COMPLETION_COMPLETE,
        names.LOGGING_SET_LEVEL,
        names.SUBSCRIPTIONS_LISTEN,
        names.NOTIFY_INITIALIZED,
        names.NOTIFY_CANCELLED,
        names.NOTIFY_ROOTS_CHANGED,
    }
)


class Endpoint:
    """Where requests go, and with what. The arguments are those of `HTTPTransport`."""

    def __init__(
        self,
        url: str,
        *,
        headers: HeaderSource | None,
        backend: HttpBackend | None,
        ssl: tls.SSLContext | None,
        unix_socket: str | None,
        connect_timeout: float,
    ) -> None:
        self.target: Final = Target(url, unix_socket=unix_socket)
        self.url: Final = self.target.url
        self.shown: Final = self.target.shown
        self.connect_timeout: Final = connect_timeout
        self.given: Final = backend
        self.ssl: Final = ssl
        self.closed = False
        self._source = headers
        self._backend: HttpBackend | None = None

    @property
    def is_open(self) -> bool:
        """Whether `open` was called."""
        return self._backend is not None

    async def open(self) -> None:
        """Get the backend ready, and check headers that can be known now. Nothing is sent."""
        self.check(opened=False)
        if self._backend is None:
            if not callable(self._source):
                await self.headers()
            self._backend = self.given or self._new_backend()

    def check(self, *, opened: bool = True) -> None:
        """Raise `Closed` after `close`, and `LocalProtocolError` before `open`."""
        if self.closed:
            raise Closed("the connection is closed")
        if opened and self._backend is None:
            raise LocalProtocolError("this transport is not open yet")

    async def headers(self) -> dict[str, str]:
        """The caller's headers for one request, the credentials of the URL among them."""
        return dict(await caller_headers(self._source, self.target))

    async def request(
        self,
        method: str,
        headers: Headers,
        body: bytes | None = None,
        *,
        url: str | None = None,
        repeatable: bool = False,
    ) -> Response:
        """Send a request with ``headers`` and the caller's; see `HttpBackend.request`."""
        self.check()
        given = await self.headers()
        backend = self._backend
        if backend is None:
            raise LocalProtocolError("this transport is not open yet")
        sent = [("accept-encoding", "gzip, deflate"), *given.items(), *headers]
        return await backend.request(method, url or self.url, sent, body, repeatable=repeatable)

    async def refused(
        self, response: Response, body: bytes | None = None, *, secret: str = ""
    ) -> TransportError:
        """The error that an answer amounts to; reads its body unless it is given, and lets go of it."""
        if body is None:
            body = await http_answers.read_refusal(response)
        response.close()
        secrets = [secret, *(part for value in (await self.headers()).values() for part in value.split())]
        return http_answers.refusal(response, body, url=self.url, where=self.shown, secrets=secrets)

    async def close(self) -> None:
        """Close the backend if it is ours. Idempotent."""
        self.closed = True
        if self._backend is not None and self.given is None:
            await self._backend.close()

    def _new_backend(self) -> HttpBackend:
        from .aiohttp_backend import AiohttpBackend

        return AiohttpBackend(
            unix_socket=self.target.unix_socket, ssl=self.ssl, connect_timeout=self.connect_timeout
        )
