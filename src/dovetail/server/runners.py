"""Running an app: the event loop around a transport, or a transport in a loop that runs already. Each transport is
imported only when it is used.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from ..logs import get_logger
from ..runtime.service import Service
from ..security.authenticator import Protection
from ..stores.contracts import Store
from .options import check_options

log = get_logger("dovetail.server")

# The options of `serve` in `transports/http1/server/runner.py`; the others are those of `HTTPApp`.
_SERVING: Final = (
    "host",
    "port",
    "uds",
    "workers",
    "allow_remote",
    "announce",
    "header_timeout",
    "forwarded_allow_ips",
    "connections",
)


class _RunnableApp(Protocol):
    auth: Protection | None

    @property
    def service(self) -> Service: ...

    def endpoint(self, options: Mapping[str, Any], *, workers: int) -> Any: ...

    def share_keys(self, secret: bytes) -> None: ...

    def adopt_store(self, store: Store | None) -> None: ...


def run(app: _RunnableApp, transport: str, options: Mapping[str, Any]) -> None:
    """Serve an app until told to stop. Raises ValueError for a transport that does not exist, TypeError for an option
    that it does not have.
    """
    _check(app, transport, options)
    if transport == "stdio":
        from ..transports.stdio.server import run_stdio

        run_stdio(app.service, **options)
    elif transport == "unix":
        from ..transports.unix.server import run_unix

        run_unix(app.service, **options)
    else:
        from ..transports.http1.server.runner import serve

        endpoint, serving = _over_http(app, options)
        serve(endpoint, path=options.get("path", "/mcp"), **serving)


def work(app: _RunnableApp, *, drain: float, ready: Callable[[], None] | None = None) -> None:
    """Live without serving, until told to stop. ``ready`` is called once the lifespan was entered."""
    from ..runtime.shutdown import Shutdown

    ending = Shutdown(drain)
    with ending.enforced():
        asyncio.run(_live(app.service, ending, ready))


async def _live(service: Service, ending: Any, ready: Callable[[], None] | None) -> None:
    from ..runtime.shutdown import ShutdownWaiter

    with ending.hearing():
        asked = asyncio.ensure_future(ShutdownWaiter(ending).asked.wait())
        started = asyncio.ensure_future(service.start())
        try:
            await asyncio.wait((started, asked), return_when=asyncio.FIRST_COMPLETED)
            if not started.done():
                return
            started.result()
            if ready is not None:
                ready()
            await asked
        finally:
            asked.cancel()
            started.cancel()
            ending.begin()
            await ending.within(service.stop(), "the lifespan")


async def serve(app: _RunnableApp, transport: str, options: Mapping[str, Any]) -> None:
    """Serve an app in the running loop, until told to stop or cancelled. Raises as `run` does."""
    _check(app, transport, options)
    from ..runtime.shutdown import LIMIT, Shutdown

    given = dict(options)
    if transport == "stdio":
        from ..transports.stdio.server import serve_stdio
        from ..transports.stdio.streams import claim_stdio

        streams = claim_stdio(max_line=app.service.max_message)
        ending = Shutdown(given.pop("drain", LIMIT))
        await ending.after(serve_stdio(app.service, streams, ending=ending, **given))
    elif transport == "unix":
        from ..transports.unix.server import serve_unix

        ending = Shutdown(given.pop("drain", LIMIT))
        await ending.after(serve_unix(app.service, ending=ending, **given))
    else:
        from ..transports.http1.server.runner import serve_here

        if options.get("workers", 1) > 1:
            raise ValueError("several workers need processes of their own; use App.run, or one worker")
        endpoint, serving = _over_http(app, options)
        serving.pop("workers", None)
        await serve_here(endpoint, path=options.get("path", "/mcp"), **serving)


def _check(app: _RunnableApp, transport: str, options: Mapping[str, Any]) -> None:
    check_options(transport, options)
    if app.auth is not None and transport != "http":
        log.info("auth is for HTTP: over %s nobody is asked for a token", transport)


def _over_http(app: _RunnableApp, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The endpoint, and the options of who serves it."""
    from ..protocol.bindings.origins import OriginPolicy

    given: dict[str, Any] = {"probes": True, **options}
    serving = {name: given.pop(name) for name in _SERVING if name in given}
    workers = serving.get("workers", 1)
    # Where the endpoint is protected, the resource's name says which hosts are served.
    protected = given.get("auth", app.auth) is not None
    if not protected and not {"policy", "allowed_hosts", "allowed_origins"} & given.keys():
        given["policy"] = OriginPolicy.for_bind(serving.get("host", "127.0.0.1"))
    app.adopt_store(given.get("store"))
    if workers > 1:
        from ..transports.http1.server.generations import secret

        app.share_keys(secret())
        if given.get("metrics") is not None:
            from ..telemetry.prometheus import share_between_processes

            share_between_processes()
    endpoint = app.endpoint(given, workers=workers)
    endpoint.drained_by_caller()
    return endpoint, serving
