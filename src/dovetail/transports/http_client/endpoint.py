"""One MCP endpoint, as both HTTP transports talk to it: a backend, the caller's headers, credentials, refusals.

Theory of operation. An `HTTPEndpoint` puts the caller's headers on every request and knows them again in what
comes back, so that an error never shows a credential. The HTTP library is loaded when the endpoint is opened,
in the event loop that will use it; a backend that the caller brought stays the caller's to close.

With a `ClientAuth`, each request also carries the headers that it gives. A refusal for want of authorization
(401, or 403 with a challenge for more scopes; no login could turn any other 403) is read to its end, so that no
connection is held while somebody logs in; then the `ClientAuth` is asked whether to send the same message
again, at most `MAX_ATTEMPTS` times in all. While it is at it the deadlines of that request stand still
(`deadlines`), and closing the endpoint ends the wait.
Specification: 2025-11-25 basic/transports "Streamable HTTP"; basic/authorization "Access Token Usage",
"Error Handling"; RFC 9449 section 9.
"""

import asyncio
import re
import ssl as tls
from collections.abc import Callable, Mapping
from typing import Final

from ...logs import get_logger
from ...protocol.errors import (
    Closed,
    ConnectionLost,
    DovetailError,
    LocalProtocolError,
    LoginRequired,
    TransportError,
)
from ...security.client_auth import MAX_ATTEMPTS, ClientAuth, Refusal
from ..deadlines import standing_still
from ..http1.client.http_backend import Headers, HTTPBackend
from . import answers
from .answers import EndpointResponse
from .target import EndpointURL, HeaderSource, caller_headers, checked

__all__ = ["HTTPEndpoint"]

_log: Final = get_logger("dovetail.transports")
_WANTS_NONCE: Final = re.compile(r'\berror="?use_dpop_nonce\b')
_CHALLENGE: Final = 8 * 1024
_ENCODINGS: Final = ("accept-encoding", "gzip, deflate")


class HTTPEndpoint:
    """Where requests go, and with what. The arguments are those of `HTTPTransport`."""

    def __init__(
        self,
        url: str,
        *,
        headers: HeaderSource | None,
        auth: ClientAuth | None,
        backend: HTTPBackend | None,
        ssl: tls.SSLContext | None,
        unix_socket: str | None,
        connect_timeout: float,
        around: Callable[[HTTPBackend], HTTPBackend] | None = None,
    ) -> None:
        self.target: Final = EndpointURL(url, unix_socket=unix_socket)
        self.url: Final = self.target.url
        self.shown: Final = self.target.shown
        self.connect_timeout: Final = connect_timeout
        self.given: Final = backend
        self.around: Final = around
        self.ssl: Final = ssl
        self._source: Final = headers
        self.auth: Final = auth
        self.closed = False
        self._backend: HTTPBackend | None = None
        self._fixed: dict[str, str] | None = None
        #: The headers of the last request, as they were given and as they were sent, where neither can change.
        self._last: tuple[Headers, Headers] | None = None
        self._waits: set[asyncio.Timeout] = set()
        if auth is not None:
            static = [] if headers is None or callable(headers) else [name.lower() for name in headers]
            if self.target.authorization is not None or "authorization" in static:
                raise _two_credentials("authorization")

    @property
    def is_open(self) -> bool:
        """Whether `open` was called."""
        return self._backend is not None

    async def open(self) -> None:
        """Get the backend ready, and check headers that can be known now. Nothing is sent."""
        self.check(opened=False)
        if self._backend is None:
            if not callable(self._source):
                self._fixed = await self.headers()
            self._backend = self.given or self._new_backend()

    def check(self, *, opened: bool = True) -> None:
        """Raise `Closed` after `close`, and `LocalProtocolError` before `open`."""
        if self.closed:
            raise Closed("the connection is closed")
        if opened and self._backend is None:
            raise LocalProtocolError("this transport is not open yet")

    async def request(
        self,
        method: str,
        headers: Headers,
        body: bytes | None = None,
        *,
        url: str | None = None,
        repeatable: bool = False,
    ) -> EndpointResponse:
        """Send a request with ``headers``, the caller's and the credentials; see `HTTPBackend.request`.

        With a `ClientAuth`, again until it is not refused for want of authorization any more, or there is no
        sense in another try; also raises what the `ClientAuth` raises.
        """
        backend = self._usable()
        where = url or self.url
        if self.auth is not None:
            return await self._authorized(self.auth, backend, method, where, headers, body, repeatable)
        callers, last = self._fixed, self._last
        if last is not None and headers is last[0] and callers is not None:
            sent = last[1]
        else:
            changing = callers is None or not isinstance(headers, tuple)
            if callers is None:
                callers = await self.headers()
            sent = (_ENCODINGS, *callers.items(), *headers)
            self._last = None if changing else (headers, sent)
        return EndpointResponse(
            await backend.request(method, where, sent, body, repeatable=repeatable), callers
        )

    async def refused(
        self, answer: EndpointResponse, body: bytes | None = None, *, secret: str = ""
    ) -> TransportError:
        """The error that an answer amounts to; reads its body unless it is given, and lets go of it."""
        if body is None:
            body = await answers.read_refusal(answer)
        answer.close()
        secrets = [secret, *(part for value in answer.sent.values() for part in value.split())]
        return answers.refusal(answer, body, url=self.url, where=self.shown, secrets=secrets)

    async def close(self) -> None:
        """Close the backend if it is ours, and end the waits for credentials. Idempotent."""
        self.closed = True
        for wait in tuple(self._waits):
            wait.reschedule(0)
        if self._backend is not None and self.given is None:
            await self._backend.close()

    def _new_backend(self) -> HTTPBackend:
        from ..http1.client.http1_backend import HTTP1Backend

        backend = HTTP1Backend(
            unix_socket=self.target.unix_socket, ssl=self.ssl, connect_timeout=self.connect_timeout
        )
        return backend if self.around is None else self.around(backend)

    def _usable(self) -> HTTPBackend:
        backend = self._backend
        if self.closed or backend is None:
            self.check()
            raise LocalProtocolError("this transport is not open yet")
        return backend

    async def headers(self) -> dict[str, str]:
        """The caller's headers for one request, the credentials of the URL among them."""
        if self._fixed is not None:
            return self._fixed
        return dict(await caller_headers(self._source, self.target))

    # Credentials

    async def _authorized(
        self,
        auth: ClientAuth,
        backend: HTTPBackend,
        method: str,
        where: str,
        headers: Headers,
        body: bytes | None,
        repeatable: bool,
    ) -> EndpointResponse:
        """As `request`, with credentials."""
        attempt = 0
        while True:
            callers = await self.headers()
            credentials = await self._credentials(auth, where, method, callers)
            given = {**callers, **credentials}
            try:
                response = await backend.request(method, where, [_ENCODINGS, *given.items(), *headers], body)
            except ConnectionLost:
                if not repeatable or self.closed:
                    raise
                repeatable = False  # once more, and with headers of its own: a proof counts for one request
                continue
            answer = EndpointResponse(response, given)
            self._tell(auth, where, answer.headers)
            if not _wants_credentials(answer):
                return answer
            attempt += 1
            await answer.finish()
            refusal = _refusal(answer, method, where, credentials, attempt)
            if attempt >= MAX_ATTEMPTS or not await self._asked(auth, refusal):
                return answer
            self.check()

    async def _credentials(
        self, auth: ClientAuth, url: str, method: str, callers: Mapping[str, str]
    ) -> dict[str, str]:
        try:
            given = dict(checked(await auth.headers(method, url)))
        except DovetailError:
            raise
        except Exception as problem:
            raise LocalProtocolError(
                f"there are no credentials for {self.shown}: {type(problem).__name__}"
            ) from problem
        for name in given.keys() & callers.keys() | callers.keys() & {"authorization"}:
            raise _two_credentials(name)
        self.check()
        return given

    def _tell(self, auth: ClientAuth, url: str, headers: Mapping[str, str]) -> None:
        try:
            auth.answered(url, headers)
        except Exception as problem:  # noqa: BLE001 - who only listens must not end the call
            _log.error("auth: taking in the headers of an answer failed: %s", type(problem).__name__)

    async def _asked(self, auth: ClientAuth, refusal: Refusal) -> bool:
        """Whether to send the message again. All the time in the world, unless the endpoint is closed."""
        with standing_still():
            wait = asyncio.timeout(None)
            try:
                async with wait:
                    self._waits.add(wait)
                    try:
                        self.check()
                        return await auth.refused(refusal)
                    finally:
                        self._waits.discard(wait)
            except DovetailError:
                raise
            except Exception as problem:
                if wait.expired():
                    raise Closed("the connection was closed while it waited for authorization") from None
                raise LoginRequired(
                    f"{self.shown} refused with HTTP {refusal.status}, and authorization failed:"
                    f" {type(problem).__name__}",
                    status=refusal.status,
                    challenge=", ".join(refusal.challenges),
                ) from problem


def _wants_credentials(answer: EndpointResponse) -> bool:
    """Whether an answer is a refusal that credentials could turn."""
    if answer.status == 401:
        return True
    challenge = _challenge(answer).lower()
    if answer.status == 403:
        return answers.wants_scopes(challenge)
    return answer.status == 400 and "dpop " in challenge and _WANTS_NONCE.search(challenge) is not None


def _challenge(answer: EndpointResponse) -> str:
    return answer.headers.get("www-authenticate", "")[:_CHALLENGE]


def _refusal(
    answer: EndpointResponse, method: str, url: str, credentials: Mapping[str, str], attempt: int
) -> Refusal:
    challenge = _challenge(answer)
    return Refusal(
        status=answer.status,
        method=method,
        url=url,
        challenges=(challenge,) if challenge else (),
        headers=answer.headers,
        sent=credentials,
        attempt=attempt,
    )


def _two_credentials(name: str) -> LocalProtocolError:
    return LocalProtocolError(
        f"the header {name} comes from auth and also from headers, or from the URL; give one of them"
    )
