"""The author's server object: what it offers is registered on it (`AppEntries`), and it runs on any transport."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Literal, NoReturn, Unpack, overload

from ..logs import get_logger
from ..protocol.revisions import Method
from ..protocol.types import Icon, Params, Result
from ..runtime.dispatch import Dispatcher, Handler, Middleware
from ..runtime.extension import Extension, Extensions, Serving
from ..runtime.observer import Observer, observer_of
from ..runtime.service import Service
from ..security.authenticator import Protection
from ..security.limits import RateLimiter
from ..security.sealing import Sealer
from ..stores.contracts import KeyValue, Store
from .app_entries import AppEntries
from .checks import NotHere, check_timeout, described_app, known_options, refused_app, served
from .keys_and_store import KeysAndStore, NotShared, NotSharedByWorkers
from .methods import Methods
from .options import (
    ASGIReceive,
    ASGIScope,
    ASGISend,
    Endpoint,
    EndpointOptions,
    HTTPOptions,
    StdioOptions,
    TransportName,
    UnixOptions,
    check_endpoint_options,
)
from .signature import where_of

log = get_logger("dovetail.server")

Lifespan = Callable[["App"], AbstractAsyncContextManager[Any]]


class App(AppEntries):
    """A Model Context Protocol server.

    ``revisions``: those to serve, all by default. ``page_size``: entries per page of a list. ``list_ttl``:
    for how many seconds clients may keep a list. ``timeout``: seconds that a tool may take unless it has
    its own, None for no limit. ``threads``: how many sync functions run at once. ``mask_errors``: what an
    unforeseen exception says stays in the log. ``strict``: a tool's arguments are taken as its schema says and
    not otherwise; by default a text that does not fit is read as the JSON it holds, "5" as 5 and "[1]" as a list, as
    models send them. ``rate_limit``: tool calls and completions per second for
    each remote caller (None: no limit); ``burst``: how many at once. ``lifespan``: an async context manager
    around the app's life, given the app; what it yields is ``ctx.state``. ``keys``: secrets, newest first,
    that seal what goes through the client between rounds; at least 32 random bytes each, the same in all
    workers (default: those in the environment's DOVETAIL_KEYS, separated by commas; else keys that the first
    of all workers leaves in the ``store``, or without one keys of this process). ``sealer``: does that instead.
    ``store``: what outlives a request, shared by all workers, and brings changes to all of them
    (default: the one whose URL is in the environment's DOVETAIL_STORE; else this process's memory).
    ``replay_check``: in development, run what leads to a question twice and fail if it differs. ``extensions``: what is
    added to the protocol, `Extension` values, or identifiers and settings to announce (2026-07-28). ``auth``: what
    protects the app over HTTP, a `dovetail.auth.Protected`; on stdio and unix sockets it has no effect. ``telemetry``:
    who watches what goes on, from `dovetail.telemetry`; by default what was switched on for the whole program, and ()
    for nobody.
    """

    _methods: Methods | None = None
    _provider: Any = None

    @known_options("App(...)")
    def __init__(
        self,
        name: str,
        *,
        version: str = "0.1.0",
        title: str | None = None,
        description: str | None = None,
        website_url: str | None = None,
        icons: list[Icon] | None = None,
        instructions: str | None = None,
        revisions: Sequence[str] | None = None,
        lifespan: Lifespan | None = None,
        page_size: int = 1000,
        list_ttl: float = 60.0,
        timeout: float | None = None,
        threads: int = 32,
        mask_errors: bool = True,
        strict: bool = False,
        rate_limit: float | None = 50.0,
        burst: int = 200,
        max_message: int = 16 * 1024 * 1024,
        middleware: Sequence[Middleware] = (),
        keys: Sequence[str | bytes] | None = None,
        sealer: Sealer | None = None,
        store: Store | None = None,
        replay_check: bool = False,
        extensions: Iterable[Extension] | Mapping[str, dict[str, Any]] | None = None,
        auth: Protection | None = None,
        telemetry: Observer | Iterable[Observer] | None = None,
    ) -> None:
        self.auth, self._observer = auth, observer_of(telemetry)
        self.info = described_app(
            name=name,
            version=version,
            title=title,
            description=description,
            website_url=website_url,
            icons=icons,
        )
        check_timeout(refused_app, timeout)
        self.instructions = instructions
        self._served = served(revisions)
        self._lifespan, self._max_message = lifespan, max_message
        self._middleware = tuple(middleware)
        own = KeysAndStore(name, keys=keys, sealer=sealer, store=store, observer=self._observer)
        added = Extensions(extensions)
        self._limiter = None if rate_limit is None else RateLimiter(rate_limit, burst)
        super().__init__(
            name,
            keys_and_store=own,
            extensions=added,
            page_size=page_size,
            list_ttl=list_ttl,
            timeout=timeout,
            threads=threads,
            mask_errors=mask_errors,
            strict=strict,
            replay_check=replay_check,
        )

    @property
    def name(self) -> str:
        """The server's name."""
        return self.info.name

    # Running

    @property
    def service(self) -> Service:
        """The app as transports see it."""
        if self._service is None:
            self._service = self._build()
        return self._service

    @overload
    def run(self, transport: Literal["stdio"] = "stdio", **options: Unpack[StdioOptions]) -> None: ...
    @overload
    def run(self, transport: Literal["http"], **options: Unpack[HTTPOptions]) -> None: ...
    @overload
    def run(self, transport: Literal["unix"], **options: Unpack[UnixOptions]) -> None: ...
    def run(self, transport: TransportName = "stdio", **options: Any) -> None:
        """Serve until told to stop: on stdio, over HTTP (``host``, ``port``, ``path``, ``uds``...), or
        lines on a unix socket (``path``).

        Blocks, and owns the process: it ends in good order at SIGTERM, SIGINT and SIGHUP. The options are those of
        `StdioOptions`, `HTTPOptions` and `UnixOptions`. Raises ValueError and TypeError for what can't be,
        `LifespanFailed` when the app's lifespan does not start, and `AddressUnavailable` or `ConnectFailed` when the
        address is taken.
        """
        from .runners import run

        run(self, transport, options)

    @overload
    async def serve(self, transport: Literal["stdio"] = "stdio", **options: Unpack[StdioOptions]) -> None: ...
    @overload
    async def serve(self, transport: Literal["http"], **options: Unpack[HTTPOptions]) -> None: ...
    @overload
    async def serve(self, transport: Literal["unix"], **options: Unpack[UnixOptions]) -> None: ...
    async def serve(self, transport: TransportName = "stdio", **options: Any) -> None:
        """Do what `run` does, in the loop that runs: beside other tasks, until a signal or a cancellation ends it.

        Either ends it in good order, within ``drain`` seconds; a second one ends it now. The signals that end a process
        are heard while it serves, in the main thread, and are as before afterwards. Raises as `run` does.
        """
        from .runners import serve

        await serve(self, transport, options)

    def work(self, *, drain: float = 10.0, ready: Callable[[], None] | None = None) -> None:
        """Live without serving anybody, until told to stop: the lifespans of the app and of its extensions are entered,
        so that what these do besides goes on here, such as tasks that other processes took.

        Blocks, and owns the process: it ends in good order, within ``drain`` seconds, at SIGTERM, SIGINT and SIGHUP.
        ``ready`` is called once the lifespans were entered. Raises `LifespanFailed`.
        """
        from .runners import work

        work(self, drain=drain, ready=ready)

    @property
    def replay_check(self) -> bool:
        """Whether what leads to a question is run twice, to see that it asks the same. May be set before it runs."""
        return self._runner_state.replay_check

    @replay_check.setter
    def replay_check(self, checked: bool) -> None:
        self._runner_state.replay_check = checked

    def share_keys(self, secret: bytes | None = None) -> None:
        """Make the keys that seal rounds now, so that processes forked from this one have the same; of ``secret``, at
        least 32 bytes, where others have that (default: a random one). Raises ValueError when something whose state
        counts once has no store to share with them.
        """
        self._keys_and_store.share(single_use=self._catalog.single_use, secret=secret)

    def adopt_store(self, store: Store | None) -> None:
        """Let a store that the app is served with be its own, where it has none. Raises ValueError for a store whose
        room is given away.
        """
        if self._keys_and_store.adopt(store):
            self._keys_and_store.relay(self._hub, self._extensions)

    def asgi(self, **options: Unpack[EndpointOptions]) -> Endpoint:
        """The app as an ASGI application, to be served by any ASGI server and mounted anywhere, with no lifespan
        wiring.

        ``auth`` replaces the app's own; all options: `EndpointOptions`. Raises TypeError for one that does not exist,
        ValueError for one that makes no sense, when entries require something of callers and nothing tells these apart,
        and (`NotShared`) when the server around was told to start several workers that share no keys or no store.
        """
        from .worker_count import count_workers

        check_endpoint_options(options)
        try:
            return self.endpoint(options, workers=options.get("workers") or count_workers())
        except NotShared as problem:
            log.critical("%s", problem)
            raise NotSharedByWorkers(str(problem)) from None

    async def __call__(self, scope: ASGIScope, receive: ASGIReceive, send: ASGISend) -> None:
        """Be an ASGI application: what `asgi` gives without options, made when it is first called."""
        endpoint, refusal = self._endpoint, ""
        if endpoint is None:
            from .worker_count import count_workers

            try:
                endpoint = self._endpoint = self.endpoint({}, workers=count_workers())
            except ValueError as problem:
                if scope["type"] != "lifespan":
                    raise
                refusal = str(problem)
        if endpoint is not None:
            await endpoint(scope, receive, send)
        else:  # an exception would only say that there is no lifespan here
            await receive()
            await send({"type": "lifespan.startup.failed", "message": refusal})

    def endpoint(self, options: Mapping[str, Any], *, workers: int) -> Any:
        """The app as one of ``workers`` processes serves it over HTTP. Raises as `asgi` does."""
        from ..transports.http_server.asgi import HTTPApp

        self.adopt_store(options.get("store"))
        auth = options.get("auth", self.auth)
        protection = None if auth is None else self._keys_and_store.protecting(auth)
        given: dict[str, Any] = {**options, "workers": workers, "protection": protection}
        given.pop("auth", None)
        probes = given.pop("probes", False)
        if self._catalog.guarded and not (given["protection"] or given.get("authenticate")):
            raise ValueError(
                "some entries require scopes, or ask who is calling: protect the app with App(auth=...)"
            )
        shown = None
        if given.get("metrics") is not None:
            from .metrics import metrics_page

            shown = metrics_page(self._observer, given, workers, self._watched)
        for name in ("metrics", "metrics_allow_ips"):
            given.pop(name, None)
        given["store"] = self._keys_and_store.store_for(given.get("store"))
        self._keys_and_store.check_workers(
            workers,
            store=given["store"],
            sessions=bool(given.get("sessions", True) and self._served.stateful),
            single_use=self._catalog.single_use,
            proofs=bool(getattr(auth, "shares_proofs", False)),
        )
        service = self.service
        if self._limiter is not None and given["store"] is not None:
            self._share_limit(self._limiter, given["store"].kv)
        endpoint = HTTPApp(service, routes=self.http_routes(), **given)
        if probes:
            endpoint.answer_probes()
        if shown is not None:
            endpoint.show_metrics(shown)
        return endpoint

    def _share_limit(self, limiter: RateLimiter, kv: KeyValue) -> None:
        """Have the rate limit hold over all processes whose store has the same data."""
        from ..security.shared_limits import SharedRateLimiter
        from ..stores.memory import MemoryKeyValue

        if self._methods is not None and not isinstance(kv, MemoryKeyValue):
            self._methods.limit_by(SharedRateLimiter(limiter.rate, limiter.burst, kv=kv, name=self.name))

    def http_routes(self) -> list[Any]:
        """What `custom_route` was given, as an endpoint serves it."""
        if not self._routes:
            return []
        from ..transports.http_server.routes import Route

        in_thread = self._runner_state.in_thread
        return [Route(*each, **more, in_thread=in_thread) for each, more in self._routes]

    def provide(self) -> Any:
        """The app as a `dovetail.providers.Provider`: what `mount` of another app makes of it."""
        if self._provider is None:
            from .providers.app_provider import AppProvider

            own = self._own_entries()
            self._provider = AppProvider(
                self.name,
                entries=lambda: own if self._catalog.mounted is None else self._catalog.mounted.everything,
                handlers=lambda: self._handlers()[1],
                middleware=self._middleware,
                service=lambda: self.service,
                instructions=lambda: self.instructions,
            )
        return self._provider

    def _handlers(self) -> tuple[Methods, dict[str, Handler]]:
        """The methods of the app, and what answers each."""
        extensions = self._extensions
        methods = Methods(
            info=self.info,
            instructions=self.instructions,
            catalog=self._catalog,
            completers=self._completers,
            hub=self._hub,
            served=self._served,
            extensions=extensions,
            limiter=self._limiter,
        )
        handlers = {name: extensions.around(name, handler) for name, handler in methods.handlers().items()}
        handlers.update(self._added)
        handlers.update((name, entry.answer) for name, entry in self._custom.items())
        return methods, extensions.guarded(handlers)

    def _build(self) -> Service:
        extensions = self._extensions
        own = [Method(name, Params, Result) for name in self._custom]
        profiles = extensions.profiles.extended(client_requests=own)
        self._methods, handlers = self._handlers()
        methods = self._methods
        middleware = self._middleware
        if self._observer.all:
            from ..runtime.observing import observing

            middleware = (observing(self._observer, self._catalog), *middleware)
        return Service(
            dispatcher=Dispatcher(handlers, info=self.info, middleware=middleware, profiles=profiles),
            observer=self._observer,
            hub=self._hub,
            capabilities=methods.capabilities,
            served=self._served,
            profiles=profiles,
            extensions=extensions,
            lifespan=self._life,
            lifespan_name=self._lifespan_name(),
            max_message=self._max_message,
            header_parameters=methods.header_parameters,
            hearing=self._catalog.hearing,
        )

    def _watched(self) -> None:
        """Somebody watches who did not before: what is composed is composed anew."""
        self._keys_and_store.observe()
        self._service = None

    def _lifespan_name(self) -> str:
        """What a person knows the lifespan by."""
        if self._lifespan is None:
            return f"the lifespan of {self.name!r}"
        name = getattr(self._lifespan, "__qualname__", type(self._lifespan).__name__)
        return f"the lifespan {name}() of {self.name!r} ({where_of(self._lifespan)})"

    def _serving(self) -> Serving:
        """The app as its extensions see it."""
        from .serving_app import ServingApp

        return ServingApp(self.name, self.service, self._keys_and_store.store, self._catalog)

    @asynccontextmanager
    async def _life(self) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._keys_and_store.prepared())
            if self._hub.relay is not None:
                await stack.enter_async_context(self._hub.relay.hearing())
            for each in self._extensions:
                if each.lifespan is not None:
                    await stack.enter_async_context(each.lifespan(self._serving()))
            if self._catalog.mounted is not None:
                await stack.enter_async_context(self._catalog.mounted.living())
            for layer in self._middleware:
                entered: Callable[[Serving], AbstractAsyncContextManager[Any]] | None
                if (entered := getattr(layer, "lifespan", None)) is not None:
                    await stack.enter_async_context(entered(self._serving()))
            if self._lifespan is not None:
                self._runner_state.state = await stack.enter_async_context(self._lifespan(self))
            if self._hub.relay is not None:
                await stack.enter_async_context(self._hub.relay.serving())
            try:
                yield
            finally:
                await self._finish()
                await self._runner_state.end()

    async def _finish(self) -> None:
        """Let extensions finish what they began, while all that it needs is still there."""
        endings = [each.ending for each in self._extensions if each.ending is not None]
        if endings:
            import asyncio

            from ..runtime.shutdown import LIMIT, OF_EXTENSIONS, exit_in

            seconds = exit_in(LIMIT) * OF_EXTENSIONS
            for outcome in await asyncio.gather(*(end(seconds) for end in endings), return_exceptions=True):
                if isinstance(outcome, Exception):
                    log.error("an extension of %r failed to end", self.name, exc_info=outcome)


def _no_such_name(self: object, name: str) -> NoReturn:
    from .other_names import MEANT_OF_APP, naming  # for mistakes alone

    naming("an App", MEANT_OF_APP)(self, name)


setattr(App, "__getattr__", _no_such_name)  # noqa: B010 - type checkers would take any name
for _name in ("as_proxy", "from_client", "from_fastapi", "from_openapi"):  # what others ask the class for
    setattr(App, _name, NotHere(_name, _no_such_name))
