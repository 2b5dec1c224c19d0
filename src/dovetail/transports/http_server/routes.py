"""Plain HTTP beside the endpoint: a page, a webhook, a picture. What an author writes is a function of a `Request`.

Theory of operation. A `Route` has a path with ``{names}`` for whole segments, its methods, and a function. The endpoint
judges Host and Origin as for itself, authenticates unless the route is open to all, and hands over; the function gives
a `Response`, something that can stand for one, or any ASGI application, which then answers itself: so whatever a
framework has for answering can be returned. A body is read only when it is asked for, within the limits of messages.

Specification: ASGI 3.0, "HTTP"; RFC 9110. No part of the protocol.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast
from urllib.parse import parse_qsl

import msgspec

from ...logs import get_logger
from ...security.principal import ANONYMOUS, Principal
from .answering import HeaderList, HTTPRefusal, Receive, Scope, Send
from .bodies import read_rest
from .head import CLOSE, Head
from .holding import SMALL
from .limits import EndpointLimits
from .settings import Settings

log = get_logger("dovetail.http")

InThread = Callable[[str, Callable[[], Any]], Awaitable[Any]]
_METHOD: Final = re.compile(r"[A-Z]+(-[A-Z]+)*")
_SEGMENT: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%-]*")
_TEXT: Final = "text/plain; charset=utf-8"
_BYTES: Final = "application/octet-stream"
_JSON: Final = "application/json"


class Request:
    """One HTTP request to a route, as its function sees it.

    ``method`` in capitals; ``path`` below where the app is mounted; ``path_params``: what stands for each ``{name}``;
    ``query``: the last value of each parameter; ``headers`` by lower-case name, repeated ones joined by a comma;
    ``principal``: who is calling (`Principal`, anonymous on an open route); ``client``: the peer's address or None.
    ``scope`` and ``receive`` are those of ASGI, for what needs them.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        *,
        principal: Principal = ANONYMOUS,
        settings: Settings | None = None,
        head: Head | None = None,
        limits: EndpointLimits | None = None,
    ) -> None:
        self.scope = scope
        self.receive = receive
        self.principal = principal
        self.method: str = scope["method"]
        root: str = scope.get("root_path", "").rstrip("/")
        self.path: str = scope["path"].removeprefix(root) if root else scope["path"]
        self.path_params: Mapping[str, str] = scope.get("path_params") or {}
        self._settings = settings or Settings()
        self._head = head or Head(scope)
        self._limits = limits or EndpointLimits(self._settings)
        self._body: bytes | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """See `Request`."""
        found: dict[str, str] = {}
        for name, value in self.scope["headers"]:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            found[key] = f"{found[key]}, {text}" if key in found else text
        return found

    @property
    def query(self) -> Mapping[str, str]:
        """See `Request`."""
        text: bytes = self.scope.get("query_string") or b""
        return dict(parse_qsl(text.decode("latin-1"), keep_blank_values=True, max_num_fields=1000))

    @property
    def client(self) -> str | None:
        """See `Request`."""
        peer = self.scope.get("client")
        return peer[0] if peer else None

    async def body(self) -> bytes:
        """The whole body, read once. One that is larger than a message may be (``max_message``), or takes longer than
        ``body_timeout`` seconds, ends the request: it raises what becomes a 413 or 408 if nobody catches it, and a 503
        where the server holds as many bytes as it may (``max_held``).
        """
        if self._body is None:
            settings, first = self._settings, {"more_body": True}
            try:
                async with asyncio.timeout(settings.body_timeout):
                    body = await read_rest(self.receive, first, settings.body_limit, self._head, self._limits)
            except TimeoutError:
                raise HTTPRefusal(408, "the body took too long to arrive", headers=CLOSE) from None
            if len(body) > SMALL:
                self._limits.hold(self._head, len(body))
            self._body = body
        return self._body

    async def json(self) -> Any:
        """The body, read as JSON. Raises as `body`; one that is none ends the request with 400."""
        try:
            return msgspec.json.decode(await self.body())
        except msgspec.DecodeError as problem:
            raise HTTPRefusal(400, f"the body is not JSON: {problem}") from None

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"


class Response:
    """What a route answers.

    ``body``: text (sent as ``text/plain``), bytes (``application/octet-stream``), or any other value, sent as JSON;
    ``media_type`` says otherwise. ``headers``: a mapping, or pairs, where names may come again. Raises ValueError for a
    status that ends no request, and for headers that would break out of their line.
    """

    def __init__(
        self,
        body: Any = b"",
        *,
        status: int = 200,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        media_type: str | None = None,
    ) -> None:
        if not 200 <= status <= 599:
            raise ValueError(f"{status} is no status that answers a request; use 200 to 599")
        kind = _TEXT if isinstance(body, str) else _BYTES if isinstance(body, bytes) else _JSON
        self.body = (
            body.encode()
            if isinstance(body, str)
            else body
            if isinstance(body, bytes)
            else msgspec.json.encode(body)
        )
        self.status = status
        pairs = cast(
            "Iterable[tuple[str, str]]", headers.items() if isinstance(headers, Mapping) else headers
        )
        self.headers = [(name.lower(), value) for name, value in pairs]
        if any("\r" in text or "\n" in text or "\0" in text for pair in self.headers for text in pair):
            raise ValueError("a header has no line breaks")
        if (media_type is not None or self.body) and all(name != "content-type" for name, _ in self.headers):
            self.headers.append(("content-type", media_type or kind))

    async def send(self, send: Send, *, head_only: bool = False, extra: HeaderList = ()) -> None:
        """Send it over ASGI."""
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers]
        if self.status not in (204, 304):
            fields.append((b"content-length", b"%d" % len(self.body)))
        await send({"type": "http.response.start", "status": self.status, "headers": [*fields, *extra]})
        await send({"type": "http.response.body", "body": b"" if head_only else self.body})


class Route:
    """A path, its methods, and the function that answers. ``protected``: whoever calls is authenticated, if the
    endpoint asks that of anyone. ``where``: where it was written, for errors. ``in_thread`` runs functions that are
    not async.

    Raises ValueError for a path or a method that is none.
    """

    def __init__(
        self,
        path: str,
        function: Callable[[Request], Any],
        *,
        methods: Sequence[str] = ("GET",),
        protected: bool = True,
        where: str = "",
        in_thread: InThread | None = None,
    ) -> None:
        self.path = path
        self.segments = _segments(path)
        self.methods = _methods(methods)
        self.protected = protected
        self.where = where
        self._function = function
        self._in_thread = in_thread
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object whose call is a coroutine function
        )

    @property
    def shape(self) -> tuple[str | None, ...]:
        """The path without the names in it: two routes of one shape would answer the same requests."""
        return tuple(None if _SEGMENT.fullmatch(each) else each for each in self.segments)

    def match(self, segments: Sequence[str]) -> dict[str, str] | None:
        """What stands for the names, if a path is of this shape."""
        if len(segments) != len(self.segments):
            return None
        values: dict[str, str] = {}
        for wanted, given in zip(self.segments, segments, strict=True):
            if name := _SEGMENT.fullmatch(wanted):
                if not given:
                    return None
                values[name[1]] = given
            elif wanted != given:
                return None
        return values

    async def serve(self, request: Request, send: Send, extra: HeaderList) -> None:
        """Answer one request, with ``extra`` headers. Raises `HTTPRefusal`, and what the function raises."""
        function = self._function
        if self._is_async or self._in_thread is None:
            given = function(request)
            if inspect.isawaitable(given):
                given = await given
        else:
            given = await self._in_thread(f"{request.method} {self.path}", lambda: function(request))
        if not isinstance(given, Response) and callable(given):
            await cast("Any", given)(request.scope, request.receive, _with_headers(send, extra))
            return
        if not isinstance(given, Response):
            given = Response(status=204) if given is None else Response(given)
        await given.send(send, head_only=request.method == "HEAD", extra=extra)


class Match(NamedTuple):
    """The routes at a path, and what stands for the names in it."""

    routes: tuple[Route, ...]
    values: Mapping[str, str]

    @property
    def methods(self) -> tuple[str, ...]:
        """What is served there."""
        return tuple(dict.fromkeys(method for route in self.routes for method in route.methods))

    def by_method(self, method: str) -> Route | None:
        """The route for a method."""
        return next((route for route in self.routes if method in route.methods), None)


def in_order(routes: Sequence[Route], *, taken: Sequence[str]) -> tuple[Route, ...]:
    """The routes, those without names in their paths first. Raises ValueError where two, or one and what is served in
    any case, answer the same requests.
    """
    seen: dict[tuple[Any, str], Route] = {}
    reserved = [path.rstrip("/").split("/")[1:] for path in taken]
    for route in routes:
        place = f"{route.where}: " if route.where else ""
        if any(route.match(path) is not None for path in reserved):
            raise ValueError(
                f"{place}the path {route.path!r} is taken by the server itself; choose another one"
            )
        for method in route.methods:
            other = seen.setdefault((route.shape, method), route)
            if other is not route:
                there = f", at {other.where}" if other.where else ""
                raise ValueError(f"{place}{method} {route.path} has a route already{there}")
    return tuple(sorted(routes, key=lambda route: sum(each is None for each in route.shape)))


def found(routes: Sequence[Route], path: str) -> Match | None:
    """What is served at a path."""
    if not routes:
        return None
    segments = path.split("/")[1:]
    for route in routes:
        values = route.match(segments)
        if values is not None:
            return Match(tuple(each for each in routes if each.shape == route.shape), values)
    return None


def _segments(path: str) -> tuple[str, ...]:
    if not path.startswith("/"):
        raise ValueError(f"the path {path!r} has to begin with a slash")
    segments = tuple(path.split("/")[1:])
    names = [found[1] for each in segments if (found := _SEGMENT.fullmatch(each))]
    for each in segments:
        if not (_SEGMENT.fullmatch(each) or _PLAIN.fullmatch(each)):
            raise ValueError(
                f"the path {path!r} can't be served: {each!r} is neither plain nor one whole {{name}}"
            )
    if len(set(names)) != len(names):
        raise ValueError(f"the path {path!r} has a name twice")
    return segments


def _methods(given: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str) or not given:
        raise ValueError(f"methods={given!r} is no list of methods; write one such as ['GET', 'POST']")
    methods = [each.upper() for each in given]
    for each in methods:
        if not _METHOD.fullmatch(each):
            raise ValueError(f"{each!r} is no method of HTTP")
    if "GET" in methods and "HEAD" not in methods:
        methods.append("HEAD")
    return tuple(dict.fromkeys(methods))


def _with_headers(send: Send, extra: HeaderList) -> Send:
    """What an application of somebody else sends, with the headers that origins need."""
    if not extra:
        return send

    async def sending(event: Any) -> None:
        if event["type"] == "http.response.start":
            event = {**event, "headers": [*event.get("headers", ()), *extra]}
        await send(event)

    return sending
