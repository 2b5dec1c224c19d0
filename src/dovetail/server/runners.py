"""Running an app: the event loop around a transport. Each transport is imported only when it is used."""

import logging
from typing import Any, Final, Protocol

from ..runtime.service import Service
from ..security.authenticator import Protection

log = logging.getLogger("dovetail.server")

# The options of `uvicorn_runner.serve`; the others are those of `HTTPApp`.
_SERVING: Final = ("host", "port", "uds", "workers", "allow_remote", "announce", "header_timeout")


class _Runnable(Protocol):
    auth: Protection | None

    @property
    def service(self) -> Service: ...

    def asgi(self, **options: Any) -> Any: ...

    def share_keys(self) -> None: ...


def run(app: _Runnable, transport: str, **options: Any) -> None:
    """Serve an app until told to stop. Raises ValueError for a transport that does not exist."""
    if app.auth is not None and transport != "http":
        log.info("auth is for HTTP: over %s nobody is asked for a token", transport)
    if transport == "stdio":
        from ..transports.stdio import run_stdio

        run_stdio(app.service, **options)
    elif transport == "unix":
        from ..transports.unix import run_unix

        run_unix(app.service, **options)
    elif transport == "http":
        _serve_http(app, options)
    else:
        raise ValueError(f'there is no transport {transport!r}; there are "stdio", "http" and "unix"')


def _serve_http(app: _Runnable, options: dict[str, Any]) -> None:
    from ..protocol.bindings.origins import OriginPolicy
    from ..transports.uvicorn_runner import serve

    serving = {name: options.pop(name) for name in _SERVING if name in options}
    protected = (
        options.get("auth", app.auth) is not None
    )  # then the resource's name says which hosts are served
    if not protected and not {"policy", "allowed_hosts", "allowed_origins"} & options.keys():
        options["policy"] = OriginPolicy.for_bind(serving.get("host", "127.0.0.1"))
    if serving.get("workers", 1) > 1:
        options["workers"] = serving["workers"]
        app.share_keys()
        if options.get("store") is None and options.get("sessions", True):
            raise ValueError(
                "several workers need a store that they share, or clients lose their sessions at random: "
                "pass store=SQLiteStore(path), or sessions=False"
            )
    serve(app.asgi(**options), path=options.get("path", "/mcp"), **serving)
