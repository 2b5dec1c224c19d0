"""One HTTP/1.1 connection of the servers that this project runs: uvicorn opens and ends it, httptools parses.

uvicorn brings a connection of its own, for any application. This one is for an application that answers most requests
at once: a head and the body that belongs to it leave in one write, which is one packet and one wake-up for the client,
lines of a head that come again are not made again, and no connection has a timer: the server's tick looks after
deadlines (`Connections.sweep`). It is also stricter: a head has a size, a time and a number of lines.

Requests of one connection are answered one after the other. What comes meanwhile waits here, and beyond a bound in
the system's buffers (see `uvicorn_request` for the requests themselves).

Specification: RFC 9112; ASGI 3.0, "HTTP".
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import re
import urllib.parse
from collections import deque
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, cast

from .http.answering import Receive, Scope, Send
from .uvicorn_request import Application, Request, status_line

try:
    import httptools
    import uvicorn
    from uvicorn.server import ServerState
except ImportError:
    raise ImportError(
        "serving over HTTP needs uvicorn and httptools: pip install 'dovetail[server]'"
    ) from None

log = logging.getLogger("dovetail.http")
_access: Final = logging.getLogger("uvicorn.access")

#: Bytes that a head may have, and lines.
HEAD_LIMIT: Final = 64 * 1024
HEAD_LINES: Final = 200
#: Bytes of a body that wait to be asked for before the client has to wait.
_BODY_WAITING: Final = 64 * 1024
#: Bytes of a body that nobody wants, which are read and dropped so that the client comes to read its answer.
_UNWANTED: Final = 1024 * 1024
#: What event loops read at once, at most.
_READ: Final = 256 * 1024
_MAX_PIPELINED: Final = 100
_MAX_REMEMBERED: Final = 512
_NEVER: Final = math.inf
_BAD_NAME: Final = re.compile(rb"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class Connections:
    """What the connections of one server share, and what makes them. ``patience``: seconds that a head may take."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.all: set[Connection] = set()
        self._lines: dict[tuple[bytes, bytes], bytes] = {}
        self._targets: dict[bytes, tuple[str, bytes, bytes]] = {}
        self._common: tuple[object, bytes] = (None, b"")

    def __call__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> Connection:
        """A new connection: what uvicorn asks its class of connections for."""
        self.loop = _loop or asyncio.get_running_loop()
        self.state = server_state
        self.app = cast("Application", config.loaded_app)
        self.root = config.root_path
        self.keep_alive = config.timeout_keep_alive
        self.logs_access = _access.hasHandlers()
        self.apart = config.reset_contextvars
        self._most = config.limit_concurrency
        self._app_state = app_state
        # uvicorn's type names its own two classes of connections
        self.all = cast("set[Connection]", cast("object", server_state.connections))
        return Connection(self)

    def sweep(self) -> None:
        """Close the connections whose time is up."""
        if self.all:
            now = self.loop.time()
            for connection in [each for each in self.all if each.deadline < now]:
                connection.expire()

    def scope(self, transport: asyncio.Transport) -> dict[str, Any]:
        """What the scopes of all requests of one connection have in common."""
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1",
            "server": _address(transport.get_extra_info("sockname")),
            "client": _address(transport.get_extra_info("peername")),
            "scheme": "https" if transport.get_extra_info("sslcontext") else "http",
            "root_path": self.root,
        }
        if self._app_state:
            scope["state"] = self._app_state
        return scope

    def target(self, url: bytes) -> tuple[str, bytes, bytes]:
        """Path, raw path and query of what a request asks for. Raises httptools' errors."""
        found = self._targets.get(url)
        if found is None:
            parsed = httptools.parse_url(url)
            raw = parsed.path or b"/"
            path = raw.decode("ascii")
            if "%" in path:
                path = urllib.parse.unquote(path)
            found = (self.root + path, self.root.encode("ascii") + raw, parsed.query or b"")
            if len(self._targets) >= _MAX_REMEMBERED or len(url) > 256:
                self._targets.clear()
            self._targets[url] = found
        return found

    def head(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """The lines of an answer's head, but for the last. Raises ValueError for what can't be in one."""
        default = self.state.default_headers
        if self._common[0] is not default:  # uvicorn makes a new list every second
            self._common = (default, b"".join([self._line(*header) for header in default]))
        lines = [status_line(status), self._common[1]]
        known = self._lines
        for header in headers:
            line = known.get(header)
            lines.append(self._line(*header) if line is None else line)
        return lines

    def _line(self, name: bytes, value: bytes) -> bytes:
        if not name or _BAD_NAME.search(name):
            raise ValueError(f"{name[:60]!r} can't be the name of a header")
        if _BAD_VALUE.search(value):
            raise ValueError(f"the header {name[:60]!r} has a control character in its value")
        line = b"%b: %b\r\n" % (name.lower(), value)
        if name != b"content-length":
            if len(self._lines) >= _MAX_REMEMBERED:
                self._lines.clear()
            if len(line) <= 256:
                self._lines[name, value] = line
        return line

    def forget(self, task: asyncio.Task[None] | None) -> None:
        """A request is over."""
        self.state.tasks.discard(cast("asyncio.Task[None]", task))

    @property
    def crowded(self) -> bool:
        """Whether there is more going on than the server was told to take."""
        most = self._most
        return most is not None and (len(self.all) >= most or len(self.state.tasks) >= most)

    def note_access(self, scope: Scope, status: int) -> None:
        """Write the access log, where one is asked for."""
        client = scope["client"]
        target: str = scope["path"]
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        _access.info(
            '%s - "%s %s HTTP/%s" %d',
            f"{client[0]}:{client[1]}" if client else "",
            scope["method"],
            urllib.parse.quote(target, safe="/?=&%"),
            scope["http_version"],
            status,
        )


class Connection(asyncio.Protocol):
    """One connection. ``deadline`` is when it is closed, in the loop's time, unless something comes before."""

    __slots__ = (
        "_answering",
        "_deaf",
        "_fed",
        "_headers",
        "_heading",
        "_parser",
        "_pipeline",
        "_reading",
        "_room",
        "_scope",
        "_stopped",
        "_url",
        "deadline",
        "shared",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, shared: Connections) -> None:
        self.shared = shared
        self.deadline = shared.loop.time() + shared.patience
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._reading: Request | None = None
        self._answering: Request | None = None
        self._pipeline: deque[Request] | None = None
        self._heading = self._deaf = self._stopped = False
        self._fed = 0
        self._room: asyncio.Event | None = None
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []

    # What the event loop says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there, and has yet to say what it wants."""
        self.transport = cast("asyncio.Transport", transport)
        self._scope = self.shared.scope(self.transport)
        self.shared.all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.shared.all.discard(self)
        self.deadline = _NEVER
        self._parser = self._pipeline = None
        self.resume_writing()
        if self._answering is not None:
            self._answering.leave()

    def data_received(self, data: bytes) -> None:
        """Something came: most often one whole request."""
        parser = self._parser
        if parser is None or self._deaf:
            return
        headed = self._heading
        self._fed = self._fed + len(data) if headed else len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # what follows is another protocol, which nobody here speaks
        except httptools.HttpParserError as problem:
            self._misread(problem)
        if self._heading:
            if self._fed > _READ + HEAD_LIMIT:
                self._refuse(431)
            elif not headed and self._answering is None:
                self.deadline = self.shared.loop.time() + self.shared.patience

    def pause_writing(self) -> None:
        """The client is slow to read."""
        self._room = asyncio.Event()

    def resume_writing(self) -> None:
        """The client has read."""
        if self._room is not None:
            self._room.set()
            self._room = None

    # What the parser says.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._heading = True
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of the head."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The whole head: the request begins, when those before it are answered."""
        parser = cast("httptools.HttpRequestParser", self._parser)
        headers = self._headers
        if len(headers) > HEAD_LINES or (self._fed > HEAD_LIMIT and _size(self._url, headers) > HEAD_LIMIT):
            raise _TooLong
        self._heading = False
        self.deadline = _NEVER
        scope = self._scope.copy()
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"], scope["raw_path"], scope["query_string"] = self.shared.target(self._url)
        scope["headers"] = headers
        version = parser.get_http_version()
        if version != "1.1":
            scope["http_version"] = version
        last = version == "1.0" or not parser.should_keep_alive() or parser.should_upgrade()
        request = self._reading = Request(self, scope, last=last)
        if self._answering is None:
            self._begin(request)
        else:
            self._queue(request)

    def on_body(self, data: bytes) -> None:
        """A part of a body."""
        request = cast("Request", self._reading)
        if request.feed(data) > (_UNWANTED if request.complete else _BODY_WAITING):
            if request.complete:
                self.transport.close()
            else:
                self._stop()

    def on_message_complete(self) -> None:
        """The end of a request."""
        request = cast("Request", self._reading)
        request.end_of_body()
        if request.complete and self._answering is None:
            self.deadline = self.shared.loop.time() + self.shared.keep_alive

    # What requests say.

    async def room(self) -> None:
        """Wait until the client has read some of what was written."""
        while self._room is not None:
            await self._room.wait()

    @property
    def full(self) -> bool:
        """Whether the client has to read before more is written."""
        return self._room is not None

    def body_taken(self) -> None:
        """There is place for more of the body."""
        if self._stopped and not self._pipeline:
            self._go_on()

    def answered(self, request: Request) -> None:
        """The answer is complete: on to the next request."""
        shared = self.shared
        shared.state.total_requests += 1
        self._answering = None
        if request.last:
            self.transport.close()
        elif self._pipeline:
            self._begin(self._pipeline.popleft())
        else:
            waits = self._heading or not request.whole
            self.deadline = shared.loop.time() + (shared.patience if waits else shared.keep_alive)
        if self._stopped and not self._pipeline:
            self._go_on()

    # What the server says.

    def shutdown(self) -> None:
        """Close when what is being answered is."""
        if self._answering is None:
            self.transport.close()
        else:
            self._answering.last = True

    def expire(self) -> None:
        """The client has had its time."""
        self.deadline = _NEVER
        if self._heading:
            self.transport.abort()
        else:
            self.transport.close()

    def _begin(self, request: Request) -> None:
        shared = self.shared
        self._answering = request
        app = _unavailable if shared.crowded else shared.app
        context = contextvars.Context() if shared.apart else None
        request.task = shared.loop.create_task(request.run(app), context=context)
        shared.state.tasks.add(request.task)

    def _queue(self, request: Request) -> None:
        if self._pipeline is None:
            self._pipeline = deque()
        self._pipeline.append(request)
        self._stop()
        if len(self._pipeline) >= _MAX_PIPELINED:
            self._deaf = request.last = True

    def _stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self.transport.pause_reading()

    def _go_on(self) -> None:
        self._stopped = False
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _misread(self, problem: httptools.HttpParserError) -> None:
        """The parser did not understand the client, or we not the parser."""
        reading = self._reading
        if reading is not None and reading.last and reading.whole:
            self._deaf = True  # more, after what was to be the last request: it is not looked at
            return
        cause = problem.__context__
        if isinstance(problem, httptools.HttpParserCallbackError) and not isinstance(cause, _EXPECTED):
            log.error("a request could not be taken", exc_info=cause)
        self._refuse(431 if isinstance(cause, _TooLong) else 400)

    def _refuse(self, status: int) -> None:
        """Answer something that never became a request, unless others are still to be answered, and close."""
        self._deaf = True
        self.deadline = _NEVER
        answering = self._answering
        if answering is not None and not (answering is self._reading and not answering.whole):
            answering.last = True
            return
        if answering is not None:
            answering.leave()
        if answering is None or not answering.begun:
            text = HTTPStatus(status).phrase.encode()
            fields = (
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"%d" % len(text)),
                (b"connection", b"close"),
            )
            self.transport.write(b"".join([*self.shared.head(status, fields), b"\r\n", text]))
        self.transport.close()


class _TooLong(Exception):
    """A head is longer than heads may be."""


_EXPECTED: Final = (_TooLong, httptools.HttpParserError)


def _size(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    return sum([len(name) + len(value) for name, value in headers], len(url))


def _address(found: Any) -> tuple[str, int | None] | None:
    """What a socket is called in a scope: the path of a unix socket has no port."""
    if isinstance(found, tuple):
        host, port = cast("tuple[Any, ...]", found)[:2]
        return str(host), int(port)
    return (found, None) if found and isinstance(found, str) else None


async def _unavailable(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answers where there is more going on than the server was told to take."""
    text = b"the server is busy; retry"
    fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
    fields += [(b"connection", b"close"), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": 503, "headers": fields})
    await send({"type": "http.response.body", "body": text})
