"""The ASGI application: routes, the order of things before and after a message, start and drain.

Every request takes the same way: its head is read in one pass, the origin check decides, the caller is
authenticated, and only then is the body read and its envelope opened. Which era it belongs to is said by
the message itself or by its version header. Whatever goes wrong on the way is an `HTTPRefusal`, answered in one
place.

Specification: 2025-11-25 basic/transports; 2026-07-28 basic/transports/streamable-http; ASGI 3.0, "HTTP"
and "Lifespan".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from ...logs import get_logger
from ...protocol import envelope, exchange
from ...protocol.bindings.origins import OriginPolicy
from ...protocol.envelope import Malformed
from ...protocol.errors import InternalError
from ...runtime.observer import RefusedMessage, is_anybody
from ...runtime.service import LifespanFailed, Service
from ...runtime.shutdown import calls_in_progress
from ...security.authenticator import AuthenticationFailed, Authenticator, Protection
from ...security.principal import ANONYMOUS, Principal
from ...stores.contracts import Store
from ...stores.errors import StoreError
from ...stores.memory import MemoryStore
from .answering import HTTPRefusal, Receive, Scope, Send, answer, refuse, unreadable
from .bodies import ClientDisconnected, read_body
from .endpoint_request import EndpointRequest, PostRequest
from .head import CLOSE, Head
from .health import Health, check_version
from .holding import SMALL
from .limits import RETRY_SOON, EndpointLimits
from .metrics import MetricsPage
from .origin_check import OriginCheck, with_loopback
from .routes import Request, Route, found, in_order
from .server_shutdown import ServerShutdown, UvicornHost
from .settings import Responses, Settings
from .sse_2024 import HTTPSSEServer
from .stateful import Stateful
from .stateless import Stateless
from .store_failed import StoreFailed
from .watching import RequestTicker, RequestWatch

log = get_logger("dovetail.http")

_POST_ONLY: Final = ("POST",)
_READ_ONLY: Final = ("GET", "HEAD")
_DOCUMENT: Final = "document"
_HEALTH: Final = "health"
_METRICS: Final = "metrics"
_ROUTE: Final = "route"
_KEPT_AN_HOUR: Final = ((b"cache-control", b"max-age=3600"),)
#: Why a message was refused, where the status says it.
_REASONS: Final = {
    401: "auth",
    403: "auth",
    404: "session",
    408: "timeout",
    413: "size",
    429: "rate",
    500: "failure",
    503: "capacity",
}
_ALL: Final = ("POST", "GET", "DELETE")
#: Seconds in which the answers of calls that were cut short may leave.
_TELLING: Final = 0.5


class HTTPApp:
    """One endpoint over HTTP: an ASGI 3 application for a `Service`. Times in seconds, sizes in bytes.

    ``path`` is where the endpoint is, relative to where the application is mounted; mounted below a prefix,
    the prefix itself serves too. ``store`` keeps sessions and what can be resumed (default: in this
    process). ``allowed_hosts`` are the names that the server is reached by: without them only loopback
    names are served. ``allowed_origins`` are the pages that may call it, and get CORS headers. ``policy``
    replaces both. ``authenticate`` names the caller before a body is read. ``protection`` does that as well and
    describes the resource to clients; where no hosts are allowed by name, it also serves the resource's.

    ``sessions`` False serves the stateful era without sessions, each request alone. ``responses``: "auto"
    answers with JSON unless a call is slow or says something on its way, "json" never streams (what would
    have been said is dropped), "sse" always does. ``http_sse`` serves the deprecated transport of
    2024-11-05 below ``path`` as well.

    ``keep_alive``: a comment after so much silence. ``body_timeout``: for a body to arrive.
    ``send_timeout``: for a client to read one event. ``slow_after``: when a call counts as slow. ``retry``:
    when a client whose stream was closed comes back. ``linger``: how long changes are kept for a client
    that lost its standalone stream, and questions of the stateful era for one that lost the stream of its call.
    ``answer_timeout``: how long such a question waits for its answer. ``drain``: how long a shutdown waits for calls.
    ``max_requests``, ``max_streams`` and ``max_held`` (bytes of messages above 4 KiB that are being received, worked on
    or listened with) bound the whole endpoint: beyond them clients get 503. Of each, one caller may have
    ``caller_share`` percent, and where some callers have names, those without one ``anonymous_share`` percent together.
    ``workers``: how many processes serve the endpoint; with more than one and no store that they share, clients of the
    stateful era can't be asked, since their answers may reach a process that does not know the question.
    ``routes`` are served beside the endpoint.
    ``health``: a path that says whether the server is ready (200 or 503), to anyone; below it ``/live`` and ``/ready``.

    Raises ValueError for settings that make no sense.
    """

    store: Store
    _metrics: MetricsPage | None = None
    _draining = _drained = False
    _health: Health | None = None
    _idle: asyncio.Event | None = None
    _leaving: asyncio.Task[None] | None = None
    _kept: asyncio.Task[None] | None = None
    #: The path, once it is known where the server listens.
    _plain: str | None = None

    def __init__(
        self,
        service: Service,
        *,
        path: str = "/mcp",
        trailing_slash: bool = False,
        store: Store | None = None,
        allowed_hosts: tuple[str, ...] | None = None,
        allowed_origins: tuple[str, ...] | None = None,
        policy: OriginPolicy | None = None,
        authenticate: Authenticator | None = None,
        protection: Protection | None = None,
        sessions: bool = True,
        responses: Responses = "auto",
        http_sse: bool = False,
        keep_alive: float = 15.0,
        body_timeout: float = 30.0,
        send_timeout: float = 60.0,
        slow_after: float = 0.005,
        max_requests: int = 10_000,
        max_streams: int = 5_000,
        max_held: int = 256 * 1024 * 1024,
        caller_share: int = 25,
        anonymous_share: int = 50,
        retry: float = 1.0,
        linger: float = 120.0,
        answer_timeout: float = 900.0,
        drain: float = 10.0,
        workers: int = 1,
        routes: Sequence[Route] = (),
        health: str | None = None,
    ) -> None:
        self.settings = settings = Settings(
            path=path,
            trailing_slash=trailing_slash,
            sessions=sessions,
            responses=responses,
            http_sse=http_sse,
            keep_alive=keep_alive,
            body_limit=service.max_message,
            body_timeout=body_timeout,
            send_timeout=send_timeout,
            slow_after=slow_after,
            max_requests=max_requests,
            max_streams=max_streams,
            max_held=max_held,
            caller_share=caller_share,
            anonymous_share=anonymous_share,
            retry=retry,
            linger=linger,
            answer_timeout=answer_timeout,
            drain=drain,
            workers=workers,
            health=health,
        )
        self.service, self.store = service, MemoryStore() if store is None else store
        self._gate = None if protection is None else protection.gate(path=path, store=self.store)
        self._authenticate = _observed(_one_of(self._gate, authenticate), service)
        self._guard = _guard(policy, protection, allowed_hosts, allowed_origins)
        self._assemble(service, settings, routes)

    def _assemble(self, service: Service, settings: Settings, routes: Sequence[Route]) -> None:
        """Make the parts. Raises ValueError for routes that can't be served."""
        self._limits = EndpointLimits(settings, self._authenticate)
        asks = self._authenticate
        self._pulse = RequestTicker(settings.slow_after)
        self._stateless = Stateless(service, settings, self._limits, self._gate, asks)
        self._stateful = Stateful(service, settings, self._limits, self.store, self._gate, asks)
        self._old = None
        if settings.http_sse:
            processes = self._stateful.processes
            if processes is None and settings.workers > 1:
                raise ValueError(
                    "http_sse keeps each connection in one process, and what a client posts may reach another: give "
                    "the workers a store that they share (and sessions), or serve it with one worker"
                )
            self._old = HTTPSSEServer(service, settings, self._limits, asks, self.store.kv, processes)
        self._methods = _ALL if settings.sessions and service.stateful else _POST_ONLY
        self._routes = in_order(routes, taken=self._taken_paths())
        if settings.health is not None:
            self._health = Health(settings.health, self.store, self._readiness)
        self._departure = ServerShutdown(self._limits, self._pulse, self._leave)
        service.observer.watch(self)

    def replace_routes(self, routes: Sequence[Route], /) -> None:
        """Serve these beside the endpoint from now on, and no others. Raises ValueError as the constructor does."""
        self._routes = in_order(routes, taken=self._taken_paths())

    def show_metrics(self, page: MetricsPage) -> None:
        """Serve a page of metrics beside the endpoint. Raises ValueError where something else is at its path."""
        if page.path in self._taken_paths():
            raise ValueError(f"metrics={page.path!r} is the path of something else")
        self._metrics = page
        self._routes = in_order(self._routes, taken=self._taken_paths())

    @property
    def drain_limit(self) -> float:
        """Seconds that the end of the server may take."""
        return self.settings.drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan of the server. WebSockets are refused."""
        if scope["type"] != "http":
            await self._not_http(scope, receive, send)
            return
        head = Head(scope)
        watch: RequestWatch | None = None
        limits = self._limits
        counted = False
        principal = ANONYMOUS
        try:
            self._guard.admit(head)
            route = "" if scope["path"] == self._plain else self._route(scope)
            if route and await self._beside(route, head, scope, receive, send):
                return
            if self._draining:
                self._check_draining(scope)
            if head.method == "OPTIONS" and await self._preflight(route, head, send):
                return  # before authentication: a browser shows no credentials when it only asks
            limits.take_request(head)
            counted = True
            loop = self.service.loop
            if loop is None:
                loop = await self._start()
            if self._authenticate is not None:
                principal = await self._identify(self._authenticate, head)
            if route != "":
                await self._serve_old(route, head, principal, scope, receive, send)
            elif head.method == "POST":
                readable = self._guard.check_post(head)
                limit = self.settings.body_limit
                if (length := head.declared_length(limit)) is not None and length > SMALL:
                    limits.check_bytes(head, length)
                watch = RequestWatch(receive, self._pulse, self.settings.body_timeout, loop)
                request = PostRequest(head, principal, receive, send, readable, watch)
                # In no variable of this one: whatever reads the message lets go of it when it has.
                await self._served(request, await read_body(receive, limit, watch, head, limits))
            else:
                await self._other(EndpointRequest(head, principal, receive, send))
        except HTTPRefusal as refusal:
            # What asks for the health of a server names it by whatever address it has, and learns nothing else.
            if not await self._probed(scope, head, send):
                await self._refuse(refusal, head, principal, send)
        except ClientDisconnected:
            return
        except StoreError as problem:
            await self._refuse(StoreFailed(problem), head, principal, send)
        except Exception:
            # If an answer has begun, the server refuses this one and closes the connection: as it should be then.
            log.exception("a request failed")
            failure = HTTPRefusal(500, InternalError("the server failed while it handled the request"))
            await self._refuse(failure, head, principal, send)
        finally:
            if watch is not None:
                watch.close()
            if counted:
                limits.leave_request(head)
                if self._idle is not None:
                    self._look_idle()

    async def _probed(self, scope: Scope, head: Head, send: Send) -> bool:
        """Answer who watches the server. False for anyone else."""
        if self._health is not None and await self._health.serve(scope, head.method, send):
            return True
        return self._metrics is not None and await self._metrics.serve(scope, head, send)

    def _look_idle(self) -> None:
        if self._idle is not None and self._limits.requests == 0:
            self._idle.set()

    async def _not_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    def _served(self, request: PostRequest, body: bytes) -> Awaitable[None]:
        """Open the envelope and hand the message to its era."""
        request.watch.body_read()
        service, revision = self.service, request.head.revision
        modern = revision in service.stateless
        if body[:1] != b"{" and envelope.is_batch(body):
            if modern or not service.stateful:
                raise HTTPRefusal(400, "batches do not exist in this revision")
            return self._stateful.serve_batch(request, body)
        try:
            message = envelope.read(body)
        except Malformed as problem:
            if modern or not service.stateful:
                raise unreadable(body, revision, problem) from None
            return self._stateful.refuse_unreadable(request, body, problem)
        if not service.stateful or (service.stateless and (modern or exchange.belongs(message, body))):
            return self._stateless.serve(request, body, message)
        return self._stateful.serve(request, body, message)

    async def _preflight(self, route: str, head: Head, send: Send) -> bool:
        """Answer a CORS preflight, where origins are configured."""
        return await self._granted(head, (HTTPSSEServer.ROUTES[route],) if route else self._methods, send)

    async def _granted(self, head: Head, methods: Sequence[str], send: Send) -> bool:
        granted = self._guard.preflight(head, methods)
        if granted is not None:
            await answer(send, 204, b"", granted)
        return granted is not None

    async def _other(self, request: EndpointRequest) -> None:
        """Any method but POST."""
        head = request.head
        method = head.method
        if method not in self._methods or head.revision in self.service.stateless:
            allowed = (b"allow", ", ".join(self._methods).encode())
            raise HTTPRefusal(405, f"the method {method[:20]!a} is not served here", headers=(allowed,))
        if method == "GET":
            self._guard.check_get(head)
            await self._stateful.listen(request)
        else:
            await self._stateful.end(request)
            await answer(request.send, 204, b"", head.extra)

    def _route(self, scope: Scope) -> str:
        """ "" for the endpoint, else the rest of the path below it, or what else is served there. Raises `HTTPRefusal`
        (404).
        """
        if self._plain is None:
            self._departure.note(scope)
            self._plain = self.settings.path
        settings = self.settings
        path, root = below(scope)
        base = settings.path
        if path == base or scope["path"] == base:
            return ""
        if root and path in ("", "/"):
            return ""
        if settings.trailing_slash and path == base.rstrip("/") + "/":
            return ""
        if self._old is not None:
            rest = path.removeprefix(base.rstrip("/"))
            if rest in HTTPSSEServer.ROUTES and (path.startswith(base) or root):
                return rest
        if self._health is not None and self._health.kind(path) is not None:
            return _HEALTH
        if self._metrics is not None and self._metrics.at(path):
            return _METRICS
        if self._gate is not None and self._gate.document(scope["path"], root) is not None:
            return _DOCUMENT
        if found(self._routes, path) is not None:
            return _ROUTE
        raise HTTPRefusal(404, f"there is nothing at this path; the endpoint is at {base}", reason="route")

    async def _refuse(self, refusal: HTTPRefusal, head: Head, principal: Principal, send: Send) -> None:
        """Answer with a refusal. Whoever watches hears of it."""
        self._stateful.note(refusal)
        told = RefusedMessage(
            reason=refusal.reason or _REASONS.get(refusal.status, "protocol"),
            transport="http",
            status=refusal.status,
            code=refusal.problem.code,
            message=refusal.problem.message,
            principal=principal,
            remote=head.remote,
        )
        self.service.observer.refused(told)
        await refuse(send, refusal, head.extra, head.revision)

    def gauges(self) -> Mapping[str, float]:
        """How much goes on here, by the names of `dovetail.telemetry`."""
        limits = self._limits
        return {
            "dovetail.server.requests.active": limits.requests,
            "dovetail.server.streams.active": limits.streams,
            "dovetail.server.sessions.active": self._stateful.sessions_in_use,
            "dovetail.server.listeners": len(self.service.hub),
            "dovetail.server.held": limits.bytes.all,
            "dovetail.server.queue.length": len(limits.large),
            "dovetail.server.queue.age": limits.large.age,
            "dovetail.server.workers": self.settings.workers,
        }

    # What is beside the endpoint

    def _taken_paths(self) -> tuple[str, ...]:
        base = self.settings.path.rstrip("/")
        old = HTTPSSEServer.ROUTES if self.settings.http_sse else ()
        health = self.settings.health
        shown = () if self._metrics is None else (self._metrics.path,)
        return (
            base or "/",
            *(base + rest for rest in old),
            *(Health.paths(health) if health else ()),
            *shown,
        )

    async def _beside(self, route: str, head: Head, scope: Scope, receive: Receive, send: Send) -> bool:
        """Serve what is no part of the protocol. False for what is."""
        if route == _DOCUMENT:
            await self._describe(head, scope, send)
        elif route == _HEALTH and self._health is not None:
            await self._health.serve(scope, head.method, send)
        elif route == _METRICS:
            await self._show_metrics(head, scope, send)
        elif route == _ROUTE:
            await self._serve_route(head, scope, receive, send)
        else:
            return False
        return True

    async def _show_metrics(self, head: Head, scope: Scope, send: Send) -> None:
        if self._metrics is None or await self._metrics.serve(scope, head, send):
            return
        if head.method not in _READ_ONLY and self._metrics.readable(head):
            raise HTTPRefusal(
                405, "metrics are only read", headers=((b"allow", ", ".join(_READ_ONLY).encode()),)
            )
        text = "the metrics are for this machine, and for those whom metrics_allow_ips names"
        raise HTTPRefusal(403, text, reason="auth")

    async def _serve_route(self, head: Head, scope: Scope, receive: Receive, send: Send) -> None:
        match = found(self._routes, below(scope)[0])
        if match is None:
            return
        if self._draining:
            self._check_draining(scope)
        methods = match.methods
        if head.method == "OPTIONS" and await self._granted(head, methods, send):
            return
        route = match.by_method(head.method)
        if route is None:
            allowed = (b"allow", ", ".join(methods).encode())
            raise HTTPRefusal(405, f"the method {head.method[:20]!a} is not served here", headers=(allowed,))
        limits = self._limits
        limits.take_request(head)
        try:
            if self.service.loop is None:
                await self._start()
            principal = ANONYMOUS
            if self._authenticate is not None:
                if route.protected:
                    principal = await self._identify(self._authenticate, head)
                else:
                    limits.identify(head, principal)
            request = Request(
                {**scope, "path_params": dict(match.values)},
                receive,
                principal=principal,
                settings=self.settings,
                head=head,
                limits=limits,
            )
            await route.serve(request, send, head.extra)
        finally:
            limits.leave_request(head)
            self._look_idle()

    async def _describe(self, head: Head, scope: Scope, send: Send) -> None:
        """What protects the endpoint, for anyone to read. Pages may read it from the origins that are configured."""
        granted = self._guard.preflight(head, _READ_ONLY) if head.method == "OPTIONS" else None
        if granted is not None:
            await answer(send, 204, b"", granted)
            return
        if head.method not in _READ_ONLY:
            raise HTTPRefusal(
                405, "a document is only read", headers=((b"allow", ", ".join(_READ_ONLY).encode()),)
            )
        found = None if self._gate is None else self._gate.document(scope["path"], scope.get("root_path", ""))
        await answer(send, 200, found or b"", (*_KEPT_AN_HOUR, *head.extra))

    async def _serve_old(
        self, route: str, head: Head, principal: Principal, scope: Scope, receive: Receive, send: Send
    ) -> None:
        old = self._old
        if old is None:
            return
        method = HTTPSSEServer.ROUTES[route]
        if head.method != method:
            raise HTTPRefusal(405, f"only {method} is served here", headers=((b"allow", method.encode()),))
        if method == "GET":
            self._guard.check_get(head)
            await old.open(head, principal, scope, route, receive, send)
            return
        self._guard.check_post(head)
        limit = self.settings.body_limit
        self._limits.check_bytes(head, head.declared_length(limit) or 0)
        watch = RequestWatch(receive, self._pulse, self.settings.body_timeout, asyncio.get_running_loop())
        try:
            body = await read_body(receive, limit, watch, head, self._limits)
        finally:
            watch.close()
        await old.take(head, principal, body)
        await answer(send, 202, b"", head.extra)

    async def _identify(self, authenticate: Authenticator, head: Head) -> Principal:
        """Who makes a request, for whom it counts from now on. Raises `HTTPRefusal`."""
        try:
            principal = await authenticate.authenticate(head.credentials())
        except AuthenticationFailed as failure:
            log.info("a request was refused: %s", failure)
            raise _refused(failure) from None
        except Exception:
            log.exception("the authenticator failed")
            raise HTTPRefusal(500, InternalError("the server failed to check the credentials")) from None
        self._limits.identify(head, principal)
        return principal

    # Start and end

    async def start(self) -> None:
        """Enter the app's lifespan, before there is a request. Raises `LifespanFailed`, for a store that is of another
        version as well.
        """
        await check_version(self.store)
        await self.service.start()
        self._draining = self._drained = False
        self._plain = None  # the server may be another one than before

    async def _start(self) -> asyncio.AbstractEventLoop:
        """Enter the lifespan, since a request is there and nobody has done so."""
        loop = asyncio.get_running_loop()
        try:
            await self.service.start()
        except Exception:
            log.exception("the server's lifespan failed to start")
            raise HTTPRefusal(503, InternalError("the server failed to start"), headers=RETRY_SOON) from None
        if (self._kept is None or self._kept.get_loop() is not loop) and (
            host := UvicornHost.around()
        ) is not None:
            self._kept = host.keep(self._end_with(host))
        return loop

    async def _end_with(self, host: UvicornHost) -> None:
        """End when the server does: nobody else would say it."""
        await host.ends()
        self._leave()
        await self._end()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:
        """The app's life, for a framework that has the endpoint mounted and a lifespan of its own, as in
        ``Starlette(lifespan=endpoint.lifespan)``: then the app starts with the server, and not with its first request.
        Raises `LifespanFailed`.
        """
        await self.start()
        try:
            yield
        finally:
            await self._end()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                try:
                    await self.start()
                except LifespanFailed as problem:
                    log.exception("the server's lifespan failed to start")
                    await send({"type": "lifespan.startup.failed", "message": str(problem)})
                    return
                await send({"type": "lifespan.startup.complete"})
            elif event["type"] == "lifespan.shutdown":
                await self._end()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _end(self) -> None:
        """Let what is in progress finish, and leave the app's lifespan."""
        leaving = self._leaving
        if leaving is not None and not leaving.done():
            await asyncio.wait((leaving,))
        elif not self._drained:
            await self.drain()
        try:
            await self.service.stop()
        except Exception:
            log.exception("the server's lifespan failed to end")

    def answer_probes(self) -> None:
        """Say at ``/healthz`` whether the server lives, and at ``/readyz`` whether it is ready, where no route is."""
        path = self.settings.path
        self._health = Health(
            self.settings.health,
            self.store,
            self._readiness,
            probed=lambda asked: asked != path and found(self._routes, asked) is None,
        )

    def drained_by_caller(self) -> None:
        """Whoever serves this calls `drain` when the end comes: nothing has to be noticed."""
        self._departure.ignore()

    def _leave(self) -> None:
        """The server no longer listens: what is open has to end, or the server would wait for it."""
        if not self._draining:
            self._leaving = asyncio.get_running_loop().create_task(self.drain())

    def _check_draining(self, scope: Scope) -> None:
        """Raise `HTTPRefusal` (503) while the server ends. One that was only replaced, in this process, serves
        again.
        """
        if self._leaving is None or not self._leaving.done() or not self._departure.returned(scope):
            raise HTTPRefusal(503, "the server is shutting down", headers=(*RETRY_SOON, *CLOSE))
        self._leaving = None
        self._draining = self._drained = False

    async def _readiness(self) -> str | None:
        """Why the server is not ready, None when it is."""
        if self._draining:
            return "draining"
        if self.service.loop is None:
            try:
                await self._start()
            except HTTPRefusal:
                return "not started"
        return None

    async def drain(self, limit: float | None = None) -> None:
        """Take no more requests, end the streams gracefully, and wait for the calls in progress, at most
        ``limit`` seconds.

        Calls that still run then are cancelled, and their clients told so. May be called again.
        """
        self._draining = self._drained = True
        self.service.hub.close()
        self._stateful.begin_drain()
        self._idle = asyncio.Event()
        try:
            async with asyncio.timeout(self.settings.drain if limit is None else limit):
                await self._stateful.idle()
                if self._old is not None:
                    await self._old.drain()
                if self._limits.requests:
                    await self._idle.wait()
        except TimeoutError:
            log.warning("shutting down with requests in progress: %s", ", ".join(calls_in_progress()))
            self._pulse.evict()
        finally:
            ending = [self._stateful.close(), self._responses_sent()]
            if self._old is not None:
                ending.append(self._old.close())
            await asyncio.gather(*ending)
            self._idle = None

    async def _responses_sent(self) -> None:
        """Wait until those whose calls were cut short have been told, but not for who does not read."""
        if self._idle is not None and self._limits.requests:
            with suppress(TimeoutError):
                async with asyncio.timeout(_TELLING):
                    await self._idle.wait()


def below(scope: Scope) -> tuple[str, str]:
    """The path of a request below where the application is mounted, and that place."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        path = path[len(root) :]
    return path, root


def _one_of(gate: Authenticator | None, authenticate: Authenticator | None) -> Authenticator | None:
    if gate is not None and authenticate is not None:
        raise ValueError("give authenticate or protection, not both: who would decide?")
    return gate or authenticate


def _observed(authenticator: Authenticator | None, service: Service) -> Authenticator | None:
    """The authenticator, with what it fetches told to whoever watches the server."""
    if authenticator is None or not is_anybody(service.observer):
        return authenticator
    from ...runtime.observed_fetches import ObservedAuthenticator

    return ObservedAuthenticator(authenticator, service.observer)


def _guard(
    policy: OriginPolicy | None,
    protection: Protection | None,
    hosts: tuple[str, ...] | None,
    origins: tuple[str, ...] | None,
) -> OriginCheck:
    if protection is not None and hosts is None:
        hosts = with_loopback(protection.hosts)
    return OriginCheck(policy or OriginPolicy(hosts, origins), cross_origin=origins is not None)


def _refused(failure: AuthenticationFailed) -> HTTPRefusal:
    """The answer that the authenticator wants given. What it logs stays in the log."""
    challenge = tuple((name.lower().encode(), value.encode("latin-1")) for name, value in failure.headers)
    text = "authentication is required" if failure.status == 401 else "the request is not authorized"
    return HTTPRefusal(failure.status, text, headers=challenge, reason="auth")
