"""An HTTP server that passes everything on to another, and records it.

Theory of operation. Clients are given this one's address in the place of the server's. Each request is read whole and
sent on, to the same path at the origin of the server; its response is passed back piece by piece as it comes, so that
streams flow. What a relay must not pass on (what is said of the connection) is left out, and compression is not asked
for, since it could not be read. Requests belong to the link of their session; those without one to one link, or to a
new one where they open a session. In the transport of 2024-11-05 a GET opens one, which says where its messages go.

With an interceptor, a request and the function that passes it on are handed to that, and what it gives is the response.

It listens on this machine alone, and judges Host and Origin as every server of ours does: a page in a browser must not
reach through it what it could not reach without it.

Specification: basic/transports; RFC 9110, 7.6.1 "Connection".
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Final, cast
from urllib.parse import urljoin, urlsplit

from ..capture.writing import CapturedExchange, CaptureLink, CaptureWriter
from ..errors import DovetailError, LocalProtocolError
from ..protocol import names
from ..protocol.bindings.origins import OriginPolicy
from ..security.client_auth import ClientAuth
from ..transports.http1.client.http1_backend import HTTP1Backend
from ..transports.http1.client.http_backend import BackendResponse
from ..transports.http1.server.request import AnswerAborted
from ..types import DECODE_ERRORS, decode
from .intercepting import HTTPInterceptor, RelayedRequest, RelayedResponse

__all__ = ["HTTPRelay"]

MAX_BODY: Final = 64 * 1024 * 1024
"""Bytes of a request that is passed on (64 MiB); a longer one is refused with 413."""

_SESSIONS: Final = 1000
_UNREACHED: Final = "the server could not be reached: {}"
_OF_CONNECTION: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_SENT: Final = _OF_CONNECTION | {"accept-encoding"}
_NOT_GIVEN: Final = _OF_CONNECTION | {"content-encoding"}


class HTTPRelay:
    """An ASGI application that passes requests on to the origin of ``url``, and records them. ``headers`` are sent with
    each, in place of those that the client sends under these names; so are those of ``auth``, which stays the caller's
    to close, and is not asked again where the server refuses them. ``interceptor``: what decides about each request
    (default: nothing, all of them pass); it can be set anew at any time, and counts from the next request on. ``path``:
    that of ``url``, at which clients find the server here. Raises `LocalProtocolError` for a URL that is none.
    """

    drain_limit: float = 5.0

    def __init__(
        self,
        url: str,
        writer: CaptureWriter,
        *,
        headers: Mapping[str, str] | None = None,
        auth: ClientAuth | None = None,
        interceptor: HTTPInterceptor | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LocalProtocolError(f"{url!r} is no URL of a server: it begins with http:// or https://")
        if "@" in parts.netloc:
            raise LocalProtocolError("a URL with a password in it can't be relayed; give it as a header")
        self.path: Final = parts.path or "/"
        self.interceptor = interceptor
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._headers = {name.lower(): value for name, value in (headers or {}).items()}
        self._writer = writer
        self._auth = auth
        self._policy = OriginPolicy()
        self._backend: HTTP1Backend | None = None
        self._sessions: OrderedDict[str, CaptureLink] = OrderedDict()
        self._streams: list[tuple[str, CaptureLink]] = []
        self._link: CaptureLink | None = None
        self._open: set[asyncio.Task[Any]] = set()

    def run(
        self, host: str = "127.0.0.1", port: int = 8001, *, announce: Callable[[str], None] | None = None
    ) -> None:
        """Serve until a signal ends it (SIGINT, SIGTERM, SIGHUP). ``port`` 0: any free one. ``announce`` gets the URL
        at which clients find the server, once it is served (default: a line on standard error). Raises OSError for an
        address that can't be had, ValueError for one that is not of this machine alone, ImportError without what serves
        HTTP.
        """
        from ..transports.http1.server.runner import serve

        def announced(line: str) -> None:
            if announce is not None:
                announce(line.rpartition(" ")[2])

        serve(self, host, port, path=self.path, announce=None if announce is None else announced)

    async def start(self) -> None:
        """Get ready. Nothing is sent yet."""
        if self._backend is None:
            self._backend = HTTP1Backend()

    async def drain(self, limit: float | None = None) -> None:
        """End what is open, and close all connections."""
        for task in tuple(self._open):
            task.cancel()
        backend, self._backend = self._backend, None
        if backend is not None:
            await backend.close()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Be an ASGI application."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"a relay has no use for {scope['type']!r}")
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        given = {name.lower(): value for name, value in headers}
        refusal = self._policy.judge(given.get("host"), given.get("origin"), given.get("sec-fetch-site"))
        if refusal is not None:
            await _answer(send, refusal.status, refusal.reason)
            return
        body = await _body(receive)
        if body is None:
            await _answer(send, 413, f"a relay takes requests of at most {MAX_BODY} bytes")
            return
        await self._pass_on(scope, headers, body, receive, send)

    async def _pass_on(
        self, scope: Any, headers: list[tuple[str, str]], body: bytes, receive: Any, send: Any
    ) -> None:
        await self.start()
        backend = self._backend
        if backend is None:
            await _answer(send, 503, "the relay is ending")
            return
        method: str = scope["method"]
        query = scope.get("query_string") or b""
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        target = path.decode("latin-1") + (f"?{query.decode('latin-1')}" if query else "")
        link, opens = self._link_of(method, target, headers, body)
        try:
            ours = await self._ours(method, target)
        except DovetailError as problem:
            await _answer(send, 502, f"there are no credentials for the server: {problem}")
            return
        sent = [
            (name, value)
            for name, value in headers
            if name.lower() not in _NOT_SENT and name.lower() not in ours
        ]
        sent += ours.items()
        interceptor = self.interceptor
        exchange = link.request(method, target, sent, body or None)
        if interceptor is not None:

            async def forward(request: RelayedRequest, exchange: CapturedExchange) -> BackendResponse:
                url = self._origin + request.target
                response = await backend.request(
                    request.method, url, [*request.headers], request.body or None
                )
                self._begun(response, exchange, link, opens=opens)
                return response

            passing = _PassingOn(forward, link, exchange)
            request = RelayedRequest(
                method=method, target=target, headers=sent, body=body, link=link, exchange=exchange.number
            )
            await _until_left(_intercepted(interceptor, request, passing, send), receive)
            return
        try:
            response = await backend.request(method, self._origin + target, sent, body or None)
        except DovetailError as problem:
            exchange.end(broken=True)
            await _answer(send, 502, _UNREACHED.format(problem))
            return
        except BaseException:
            exchange.end(broken=True)
            raise
        self._begun(response, exchange, link, opens=opens)
        await self._pass_back(response, exchange, receive, send)

    def _begun(
        self, response: BackendResponse, exchange: CapturedExchange, link: CaptureLink, *, opens: bool
    ) -> None:
        """The head of a response is there."""
        exchange.begin(response.status, response.headers.items())
        session = response.headers.get(names.HEADER_SESSION)
        if opens and session:
            self._sessions[session] = link
            while len(self._sessions) > _SESSIONS:
                self._sessions.popitem(last=False)

    async def _ours(self, method: str, target: str) -> dict[str, str]:
        """What is sent in any case. Raises what getting credentials raises."""
        if self._auth is None:
            return self._headers
        given = await self._auth.headers(method, self._origin + target)
        return {**self._headers, **{name.lower(): value for name, value in given.items()}}

    async def _pass_back(
        self, response: BackendResponse, exchange: CapturedExchange, receive: Any, send: Any
    ) -> None:
        """The response, until it ends or the client goes away, which the server is then told by the end of its own."""
        try:
            await _until_left(_flow(response, exchange, send), receive)
        finally:
            exchange.end(broken=not response.ended)
            response.close()

    def _link_of(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes
    ) -> tuple[CaptureLink, bool]:
        """The link that a request belongs to, and whether its response may name the session of that."""
        given = {name.lower(): value for name, value in headers}
        session = given.get(names.HEADER_SESSION)
        if session is not None and session in self._sessions:
            self._sessions.move_to_end(session)
            return self._sessions[session], False
        if session is None and method == "GET" and names.MEDIA_SSE in given.get("accept", ""):
            stream = self._writer.link("http", self._origin + target)
            self._streams = [*self._streams[1 - _SESSIONS :], (target, stream)]
            return stream, False
        for path, stream in self._streams:
            if stream.endpoint and urljoin(self._origin + path, stream.endpoint) == self._origin + target:
                return stream, False
        opens = _opens(body)
        if opens or self._link is None:
            found = self._writer.link("http", self._origin + self.path)
            self._link = self._link if self._link is not None and session else found
            return found, opens
        return self._link, False


def _opens(body: bytes) -> bool:
    if names.INITIALIZE.encode() not in body:
        return False
    try:
        message: Any = decode(body)
    except DECODE_ERRORS:
        return False
    return isinstance(message, dict) and cast("dict[str, Any]", message).get("method") == names.INITIALIZE


class _PassingOn:
    """A request that an interceptor decides about: what it passes on, as often as it likes. Each time but the first is
    recorded as a request of its own, for the server hears one.
    """

    def __init__(
        self,
        request: Callable[[RelayedRequest, CapturedExchange], Awaitable[BackendResponse]],
        link: CaptureLink,
        exchange: CapturedExchange,
    ) -> None:
        self._request = request
        self._link = link
        self._first: CapturedExchange | None = exchange
        self._open: list[tuple[BackendResponse | None, CapturedExchange]] = []

    async def forward(self, request: RelayedRequest) -> RelayedResponse:
        """See `Forward`."""
        exchange, self._first = self._first, None
        if exchange is None:
            sent = request.headers
            exchange = self._link.request(request.method, request.target, sent, request.body or None)
        place = len(self._open)
        self._open.append((None, exchange))
        response = await self._request(request, exchange)
        self._open[place] = (response, exchange)
        headers = [(name, value) for name, value in response.headers.items() if name not in _NOT_GIVEN]
        return RelayedResponse(status=response.status, headers=headers, body=_pieces(response, exchange))

    def close(self) -> None:
        """Nobody wants more of what was passed on."""
        for response, exchange in self._open:
            exchange.end(broken=response is None or not response.ended)
            if response is not None:
                response.close()


async def _pieces(response: BackendResponse, exchange: CapturedExchange) -> AsyncGenerator[bytes]:
    while chunk := await response.read():
        exchange.feed(chunk)
        yield chunk
    exchange.end()


async def _intercepted(
    interceptor: HTTPInterceptor, request: RelayedRequest, passing: _PassingOn, send: Any
) -> None:
    """What an interceptor makes of a request, to the client."""
    begun = False
    try:
        response = await interceptor(request, passing.forward)
        head = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        await send({"type": "http.response.start", "status": response.status, "headers": head})
        begun = True
        if _is_stream(response.headers):
            await send({"type": "http.response.body", "body": b"", "more_body": True})
        async with aclosing(response.body) as body:
            async for chunk in body:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except ConnectionResetError:
        raise AnswerAborted("the interceptor breaks the connection off") from None
    except DovetailError as problem:
        if begun:
            raise AnswerAborted("the server broke the response off") from None
        await _answer(send, 502, _UNREACHED.format(problem))
    finally:
        passing.close()


async def _until_left(work: Any, receive: Any) -> None:
    """Do something until it is done, or until the client goes away. Raises what it raises."""
    flowing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((flowing, leaving), return_when=asyncio.FIRST_COMPLETED)
        if flowing.done():
            flowing.result()
    finally:
        for each in (flowing, leaving):
            each.cancel()
        await asyncio.wait((flowing, leaving))


async def _flow(response: BackendResponse, exchange: CapturedExchange, send: Any) -> None:
    head = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers.items()
        if name not in _NOT_GIVEN
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": head})
    if _is_stream(
        response.headers.items()
    ):  # its client waits for the head, and the first event may be long in coming
        await send({"type": "http.response.body", "body": b"", "more_body": True})
    while chunk := await response.read():
        exchange.feed(chunk)
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    exchange.end()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _is_stream(headers: Iterable[tuple[str, str]]) -> bool:
    return any(
        name.lower() == "content-type" and value.startswith(names.MEDIA_SSE) for name, value in headers
    )


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Any) -> bytes | None:
    """The body of a request; None for one that is too long."""
    pieces: list[bytes] = []
    length = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return b"".join(pieces)
        piece = event.get("body", b"")
        length += len(piece)
        if length > MAX_BODY:
            return None
        pieces.append(piece)
        if not event.get("more_body"):
            return b"".join(pieces)


async def _answer(send: Any, status: int, text: str) -> None:
    headers: Iterable[tuple[bytes, bytes]] = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


async def _live(receive: Any, send: Any) -> None:
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return
