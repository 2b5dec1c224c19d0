"""One HTTP/1.1 connection of the servers that this project runs: uvicorn opens and ends it, httptools parses.

uvicorn brings a connection of its own, for any application. This one is for an application that answers most requests
at once: a head and the body that belongs to it leave in one write, which is one packet and one wake-up for the client,
lines of a head that come again are not made again, and no connection has a timer: the server's tick looks after
deadlines (`HTTPServerConnections.sweep`). It is also stricter: a head has a size, a time and a number of lines, those
that are not whole yet have a size together, what a body is wrapped in has a size, trailers are dropped, and targets and
versions are those of RFC 9112 and nothing else.
What clients do not read has a bound for all connections together (`unread`), and a time.

Requests of one connection are answered one after the other. What comes meanwhile waits here, and beyond a bound in
the system's buffers (see `request` for the requests themselves). What can't be read is answered in its turn.
Where a connection is over but the client may still be sending, it is told so and listened to for a moment longer:
closed at once, the system would take the answer away from a client that has not read it yet.
A client that closes its side may have left or may wait for its answer, which nobody can tell: the application is told
that it left, and what it still answers is sent.

Specification: RFC 9112; RFC 9110, sections 7.8 and 15.5; ASGI 3.0, "HTTP".
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final, cast

from ....logs import get_logger
from ....runtime.beginning import MakeTask, task_maker
from ....security.callers import outside
from ...http_server.unread import Unread, weight_of
from .heads import (
    DROPPED,
    Dropped,
    Lines,
    RepeatedHead,
    RequestRefused,
    Targets,
    check_version,
    size_of,
    with_host,
)
from .request import Application, ASGIRequest, access, unavailable

try:
    import httptools
    import uvicorn
    from uvicorn.server import ServerState
except ImportError:
    raise ImportError(
        "serving over HTTP needs uvicorn and httptools: pip install 'dovetail[server]'"
    ) from None

log = get_logger("dovetail.http")

#: Bytes that a head may have, and lines.
HEAD_LIMIT: Final = 64 * 1024
HEAD_LINES: Final = 200
#: Bytes of heads that are not whole, of all connections together; those of few bytes are not counted, and each line
#: counts as some besides its own.
MAX_HEADS: Final = 32 * 1024 * 1024
_SMALL_HEAD: Final = 4096
_LINE: Final = 128
#: Bytes of a body that wait to be asked for before the client has to wait.
_BODY_WAITING: Final = 64 * 1024
#: Bytes of a body that nobody wants, which are read and dropped so that the connection can be used again.
_UNWANTED: Final = 1024 * 1024
#: What event loops read at once, at most; and what may come without a head or a part of a body being complete.
_READ: Final = 256 * 1024
_FRUITLESS: Final = _READ + HEAD_LIMIT
#: Seconds that a client has to read some of an answer that is not whole yet. (For one that is it has less.)
READING: Final = 60.0
#: Seconds that a client has to notice that a connection is over.
_LINGER: Final = 2.0
_MAX_PIPELINED: Final = 100
#: How many requests in a row may be unlike the one before until only each so manieth is remembered.
_HOPEFUL: Final = 8
_NEVER: Final = math.inf
_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class HTTPServerConnections:
    """What the connections of one server share, and what makes them. ``patience``: seconds that a head may take."""

    state: ServerState

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.unread = Unread()
        self.heads = Unread(MAX_HEADS, "heads of requests that are not whole")
        self.all: set[HTTPServerConnection] = set()
        self.retiring = False
        self._lines = Lines()
        self._server: ServerState | None = None

    def __call__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> HTTPServerConnection:
        """A new connection: what uvicorn asks its class of connections for."""
        if self._server is not server_state:
            self._server = self.state = server_state
            self.loop = _loop or asyncio.get_running_loop()
            self.start = task_maker(self.loop)
            self.app_state = app_state
            self.app = cast("Application", config.loaded_app)
            self.keep_alive = config.timeout_keep_alive
            self.logs_access = access.hasHandlers()
            self.target = Targets(config.root_path).read
            self._root = config.root_path
            self._most = config.limit_concurrency
            self._context = (
                contextvars.Context()
                if getattr(config, "reset_contextvars", False)
                else contextvars.copy_context()
            )
            # uvicorn's type names its own two classes of connections
            self.all = cast("set[HTTPServerConnection]", cast("object", server_state.connections))
        return HTTPServerConnection(self)

    def sweep(self) -> None:
        """Close the connections whose time is up."""
        if self.all:
            now = self.loop.time()
            for connection in [each for each in self.all if each.deadline < now]:
                connection.expire()

    def retire(self) -> None:
        """Let each connection end with the next answer."""
        self.retiring = True
        for connection in self.all:
            connection.retire()

    @property
    def idle(self) -> bool:
        """Whether any connection waits for its next request."""
        return any(connection.idle for connection in self.all)

    def scope(self, transport: asyncio.Transport) -> dict[str, Any]:
        """What the scopes of all requests of one connection have in common."""
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1",
            "server": _address(transport.get_extra_info("sockname")),
            "client": _address(transport.get_extra_info("peername")),
            "scheme": "https" if transport.get_extra_info("sslcontext") else "http",
            "root_path": self._root,
        }

    def head(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], framing: dict[bytes, bytes]
    ) -> list[bytes]:
        """The lines of an answer's head: see `Lines.head`."""
        return self._lines.head(status, headers, self.state.default_headers, framing)

    def begin(self, request: ASGIRequest, make: MakeTask) -> None:
        """Have the application answer. No request sees what another one has set in its context."""
        app = unavailable if self._crowded else self.app
        task = request.task = make(request.run(app), context=self._context.copy())
        if not task.done():
            self.state.tasks.add(task)

    def forget(self, task: asyncio.Task[None] | None) -> None:
        """A request is over."""
        self.state.tasks.discard(cast("asyncio.Task[None]", task))

    @property
    def _crowded(self) -> bool:
        """Whether there is more going on than the server was told to take."""
        most = self._most
        return most is not None and (len(self.all) >= most or len(self.state.tasks) >= most)


class HTTPServerConnection(asyncio.Protocol):
    """One connection. ``deadline`` is when it is closed, in the loop's time, unless something comes before. ``full``:
    the client has to read before more is written. ``largest``: bytes of what was written last in one piece, if that is
    large, all of which is kept until all of it was read.
    """

    __slots__ = (
        "_again",
        "_answering",
        "_deaf",
        "_dry",
        "_fed",
        "_headers",
        "_heading",
        "_missed",
        "_parser",
        "_pipeline",
        "_reading",
        "_refused",
        "_room",
        "_scope",
        "_stopped",
        "_unsent",
        "_url",
        "deadline",
        "full",
        "largest",
        "shared",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, shared: HTTPServerConnections) -> None:
        self.shared = shared
        self.deadline = shared.loop.time() + shared.patience
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._reading: ASGIRequest | None = None
        self._answering: ASGIRequest | None = None
        self._pipeline: list[ASGIRequest] = []
        self._heading = self._deaf = self._stopped = False
        self._refused: int | None = None
        self._fed = self._dry = self._unsent = self._missed = 0
        self._again: RepeatedHead | None = None
        self.full = False
        self.largest = 0
        self._room: asyncio.Event | None = None
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] | Dropped = []

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
        if self._heading:
            self.shared.heads.remove(self)
        answering = self._answering
        self._parser = self._reading = self._answering = None
        self._pipeline.clear()
        self.resume_writing()
        if answering is not None:
            answering.leave()

    def eof_received(self) -> bool:
        """The client says nothing more. True keeps what can be half closed until its requests are answered."""
        answering = self._answering
        reading = self._reading
        if (
            answering is None
            or (reading is not None and not reading.whole)
            or not self.transport.can_write_eof()
        ):
            return False
        self._deaf = True
        waiting = [answering, *self._pipeline]
        for request in waiting:
            request.end()
        waiting[-1].last = True
        return True

    def data_received(self, data: bytes) -> None:
        """Something came: most often one whole request."""
        parser = self._parser
        if parser is None or self._deaf:
            return
        headed = self._heading
        if not headed and self._reading is None and self._again is not None and self._repeated(data):
            return
        upgrade = -1
        self._fed = self._fed + len(data) if headed else len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as pause:
            upgrade = pause.args[0]
        except httptools.HttpParserError as problem:
            self._misread(problem)
        if upgrade >= 0:  # out of the handler, or its exception would be the context of the parser's next one
            self._read_again(data, upgrade)
        answering = self._answering
        if answering is not None and answering.task is None:
            if not (headed or self._pipeline) and upgrade < 0 and answering.whole and not answering.last:
                self._remember(data, answering)
            self.shared.begin(answering, self.shared.start)
        if headed:
            self.shared.heads.remove(self)
        if self._heading:
            self._weigh_head()
            if not headed and answering is None and self._heading:
                self.deadline = self.shared.loop.time() + self.shared.patience
        elif (reading := self._reading) is not None and not reading.whole:
            self._dry += len(data)
            if self._dry > _FRUITLESS:
                self._refuse(400)

    def pause_writing(self) -> None:
        """The client is slow to read."""
        self._room = asyncio.Event()
        self.full = True
        waiting = max(self.transport.get_write_buffer_size(), weight_of(self.largest))
        self.shared.unread.add(self, self._network, waiting, self._drop_soon)
        if self.deadline == _NEVER:
            self.deadline = self.shared.loop.time() + READING

    def resume_writing(self) -> None:
        """The client has read."""
        if self._room is not None:
            self._room.set()
            self._room = None
            self.full = False
            self.shared.unread.remove(self)
            self._unsent = self.largest = 0
            if self._answering is not None:
                self.deadline = _NEVER

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
        """One line of the head, or of a trailer, which is dropped."""
        self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """The whole head: the request begins, when those before it are answered."""
        parser = cast("httptools.HttpRequestParser", self._parser)
        headers = cast("list[tuple[bytes, bytes]]", self._headers)
        if len(headers) > HEAD_LINES or (self._fed > HEAD_LIMIT and size_of(self._url, headers) > HEAD_LIMIT):
            raise RequestRefused(431)
        if parser.should_upgrade():
            if parser.get_method() == b"CONNECT":
                raise RequestRefused(501)
            return  # and the parser stops: see _read_again
        shared = self.shared
        scope = self._scope.copy()
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"], scope["raw_path"], scope["query_string"], host = shared.target(self._url)
        scope["headers"] = headers if host is None else with_host(host, headers)
        if shared.app_state:
            scope["state"] = shared.app_state.copy()
        last = shared.retiring or not parser.should_keep_alive()
        version = parser.get_http_version()
        if version != "1.1":
            check_version(version, headers)
            scope["http_version"] = version
            last = True
        request = ASGIRequest(self, scope, last=last)
        if self._answering is None:
            self._answering = request
        else:
            self._queue(request)
        self._reading = request
        self._heading = False
        self._headers = DROPPED
        self._dry = 0
        self.deadline = _NEVER

    def on_body(self, data: bytes) -> None:
        """A part of a body."""
        self._dry = 0
        request = cast("ASGIRequest", self._reading)
        if request.feed(data) > (_UNWANTED if request.complete else _BODY_WAITING):
            if request.complete:
                if not request.last:
                    request.last = True
                    self._linger()
                raise _BodyTooLarge
            self._stop()

    def on_message_complete(self) -> None:
        """The end of a request."""
        request = self._reading
        if request is None or self._heading:
            return  # the parser stops for another protocol: see _read_again
        request.end_of_body()
        if request.complete:
            if request.last:
                self.close()
                raise _BodyTooLarge
            self.deadline = self.shared.loop.time() + self.shared.keep_alive

    # What requests say.

    async def room(self) -> None:
        """Wait until the client has read some of what was written."""
        while self._room is not None:
            await self._room.wait()

    def body_taken(self) -> None:
        """There is place for more of the body."""
        if self._stopped and not self._pipeline:
            self._go_on()

    def answered(self, request: ASGIRequest) -> None:
        """The answer is complete: on to the next request."""
        shared = self.shared
        shared.state.total_requests += 1
        self._unsent = 0
        self._answering = None
        if request.last:
            self._pipeline.clear()
            unread = self._deaf or self._stopped
            self._deaf = request.whole
            if request.whole and (request.ended or not unread):
                self.close()
            else:
                self._linger()
        elif self._pipeline:
            self._answering = self._pipeline.pop(0)
            shared.begin(self._answering, shared.loop.create_task)  # begun at once, a line of them would nest
        elif self._refused is not None:
            self._refuse(self._refused)
        elif request.whole and not self._heading:
            self._reading = None
            self.deadline = shared.loop.time() + shared.keep_alive
        else:
            self.deadline = shared.loop.time() + shared.patience
        if self._stopped and not self._pipeline:
            self._go_on()

    def close(self) -> None:
        """Close when what was written has left."""
        self._deaf = True
        self.deadline = self.shared.loop.time() + self.shared.patience
        self.transport.close()

    # What the server says.

    def shutdown(self) -> None:
        """Close when what is being answered is."""
        answering = self._answering
        if answering is None or (answering.task is not None and answering.task.done()):
            self.close()
        else:
            answering.last = True

    def retire(self) -> None:
        """Let the connection end with what is being answered, or with the next request if there is nothing."""
        self._again = None  # a head that comes again would be read without a look
        waiting = self._pipeline[-1] if self._pipeline else self._answering
        if waiting is not None:
            waiting.last = True

    @property
    def idle(self) -> bool:
        """Whether it waits for a request."""
        return self._answering is None and not self.transport.is_closing()

    def expire(self) -> None:
        """The client has had its time. One that is still reading what was written gets more."""
        unsent = self.transport.get_write_buffer_size()
        if unsent and not 0 < self._unsent <= unsent:
            self._unsent = unsent
            self.deadline = self.shared.loop.time() + self.shared.patience
        elif unsent or self._heading or self.transport.is_closing():
            self.deadline = _NEVER
            self.transport.abort()
        else:
            self.close()

    def _weigh_head(self) -> None:
        """Refuse a head that is too large already; count one that is not small."""
        if self._fed > _FRUITLESS or len(self._headers) > HEAD_LINES:
            self._refuse(431)
        elif self._fed > _SMALL_HEAD:
            size = self._fed + _LINE * len(self._headers)
            self.shared.heads.add(self, self._network, size, self._drop_soon)

    @property
    def _network(self) -> str:
        """Whom what waits for this client counts for."""
        client = self._scope["client"]
        return outside(client and client[0])

    def _repeated(self, data: bytes) -> bool:
        """Take a whole request that says what the last one said. False where it is anything else."""
        found = cast("RepeatedHead", self._again).read(data)
        if found is None or len(found[1]) > _BODY_WAITING:
            return False
        self._missed = 0
        scope, body = found
        shared = self.shared
        if shared.app_state:
            scope["state"] = shared.app_state.copy()
        request = self._reading = self._answering = ASGIRequest(self, scope, last=False)
        request.feed(body)
        request.whole = True
        self.deadline = _NEVER
        shared.begin(request, shared.start)
        return True

    def _remember(self, data: bytes, request: ASGIRequest) -> None:
        """Keep a head that may come again; seldom where the last ones did not."""
        if self._missed < _HOPEFUL or self._missed % _HOPEFUL == 0:
            self._again = RepeatedHead.of(data, request.scope)
        self._missed += 1

    def _drop_soon(self) -> None:
        """Have done with a client that does not read. Not now: it may be in the middle of a write."""
        self.shared.loop.call_soon(self.transport.abort)

    def _queue(self, request: ASGIRequest) -> None:
        before = self._pipeline[-1] if self._pipeline else cast("ASGIRequest", self._answering)
        if before.last or len(self._pipeline) >= _MAX_PIPELINED:
            before.last = True
            raise _BodyTooLarge
        self._pipeline.append(request)
        self._stop()

    def _stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self.transport.pause_reading()

    def _go_on(self) -> None:
        self._stopped = False
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _linger(self) -> None:
        """Say that the connection is over; what still comes is dropped until the client has noticed."""
        self.deadline = self.shared.loop.time() + min(_LINGER, self.shared.patience)
        if not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()
        if self._stopped:
            self._go_on()

    def _read_again(self, data: bytes, at: int) -> None:
        """Read a request once more, without its wish for another protocol: nobody here speaks one, and the parser takes
        its body for that protocol. ``at`` is where in ``data`` its head ends.
        """
        rest = memoryview(data)[at:]
        while True:
            before = cast("httptools.HttpRequestParser", self._parser)
            lines = [b"%b %b HTTP/%b" % (before.get_method(), self._url, before.get_http_version().encode())]
            headers = cast("list[tuple[bytes, bytes]]", self._headers)
            lines += [b"%b: %b" % header for header in headers if header[0] != b"upgrade"]
            parser = self._parser = httptools.HttpRequestParser(self)
            try:
                parser.feed_data(b"\r\n".join(lines) + b"\r\n\r\n")
                parser.feed_data(rest)
            except httptools.HttpParserUpgrade as pause:
                rest = rest[pause.args[0] :]
                continue
            except httptools.HttpParserError as problem:
                self._misread(problem)
            return

    def _misread(self, problem: httptools.HttpParserError) -> None:
        """The parser did not understand the client, or we have had enough."""
        cause = problem.__context__
        reading = self._reading
        if isinstance(cause, _BodyTooLarge) or (reading is not None and reading.last and reading.whole):
            self._deaf, self._heading = True, False  # what comes after the last request is not looked at
            return
        status = 400
        if isinstance(cause, RequestRefused):
            status = cause.status
        elif isinstance(problem, httptools.HttpParserCallbackError):
            log.error("a request could not be taken", exc_info=cause)
            status = 500
        self._refuse(status)

    def _refuse(self, status: int) -> None:
        """Answer something that never became a request, after those before it, and be done with the client."""
        self._deaf = True
        self._heading = False
        reading = self._reading
        if reading is not None and not reading.whole:  # its body can't be read
            if reading.begun:
                self._answering = None
                reading.leave()
                self.close()
                return
            if reading is self._answering:
                self._answering = None
                reading.leave()
            else:
                self._pipeline.pop()
            self._reading = None
        if self._answering is not None:
            self._refused = status
            return
        text = HTTPStatus(status).phrase.encode()
        lines = self.shared.head(status, ((b"content-type", b"text/plain; charset=utf-8"),), {})
        lines += (b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(text), text)
        self.transport.write(b"".join(lines))
        self._linger()


class _BodyTooLarge(Exception):
    """Nothing more of this connection is looked at."""


def _address(found: Any) -> tuple[str, int | None] | None:
    """What a socket is called in a scope: the path of a unix socket has no port."""
    if isinstance(found, tuple):
        host, port = cast("tuple[Any, ...]", found)[:2]
        return str(host), int(port)
    return (found, None) if found and isinstance(found, str) else None
