"""The web face as an ASGI application, and running it on this machine.

Theory of operation. `WebFace` lets requests in (`access`), adds the headers that keep a browser from doing what the
page never does, and routes the rest. `serve` runs it under uvicorn on a socket that is open already, so a port that
is taken is told before anything is started.

Specification: Content Security Policy 3; basic/transports, "Security Warning".
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from dovetail.logs import get_logger

from ..inspection import Inspection
from ..views import ErrorView
from .access import Access
from .answers import BadRequest, answer, body_of, refusal
from .routes import routes
from .streaming import event_stream

__all__ = ["PAGE", "WebFace", "listener", "serve"]

PAGE: Final = Path(__file__).with_name("page")
"""Where the built page is."""
_log: Final = get_logger("dovetail_inspector")
_MOST_BODY: Final = 256 * 1024 * 1024
_NONCE: Final = b"__NONCE__"
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), usb=(), payment=()",
}


class WebFace:
    """The application. ``access``: who may come in; ``page``: the folder of the built page."""

    def __init__(self, inspection: Inspection, access: Access, *, page: Path = PAGE) -> None:
        self._access: Final = access
        self._page: Final = page
        self._inspection: Final = inspection
        self._app = Starlette(
            routes=[
                Route("/api/session", self._session, methods=["POST"]),
                Route("/api/events", self._events, methods=["GET"]),
                *routes(inspection),
                Route("/", self._index, methods=["GET"]),
                Route("/assets/{path:path}", self._asset, methods=["GET"]),
            ],
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Be an ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        response = self._kept_out(request)
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["nonce"] = nonce
        answered = _with_headers(send, nonce)
        if response is not None:
            await response(scope, receive, answered)
            return
        await self._app(scope, _bounded(receive), answered)

    def _kept_out(self, request: Request) -> Response | None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        refused = self._access.judge(headers)
        if refused is not None:
            return refusal(ErrorView(kind="Refused", message=refused.reason), refused.status)
        path = request.url.path
        if (
            path.startswith("/api/")
            and path != "/api/session"
            and not self._access.admits(_cookie(request, self._access))
        ):
            return refusal(
                ErrorView(
                    kind="NotLoggedIn",
                    message="open the address that `dovetail inspect` printed: it has the token of this launch",
                ),
                401,
            )
        return None

    async def _session(self, request: Request) -> Response:
        try:
            token = (await body_of(request, dict[str, str])).get("token", "")
        except BadRequest as problem:
            return refusal(ErrorView(kind="BadRequest", message=str(problem)), problem.status)
        cookie = self._access.redeem(token)
        if cookie is None:
            return refusal(
                ErrorView(
                    kind="WrongToken",
                    message="that is not the token of this launch; take the address printed last",
                ),
                401,
            )
        response = answer({})
        response.set_cookie(self._access.cookie_name, cookie, httponly=True, samesite="strict", path="/")
        return response

    async def _events(self, request: Request) -> Response:
        return event_stream(self._inspection.events, request)

    async def _index(self, request: Request) -> Response:
        place = self._page / "index.html"
        if not place.is_file():
            return Response(
                "The page was not built. In a checkout: make page\n",
                503,
                media_type="text/plain; charset=utf-8",
            )
        text = place.read_bytes().replace(_NONCE, request.state.nonce.encode())
        return Response(text, media_type="text/html; charset=utf-8", headers={"cache-control": "no-store"})

    async def _asset(self, request: Request) -> Response:
        folder = (self._page / "assets").resolve()
        place = (folder / request.path_params["path"]).resolve()
        if not place.is_relative_to(folder) or not place.is_file():
            return Response("there is no such file\n", 404, media_type="text/plain")
        # Their names have a digest of what is in them.
        return FileResponse(place, headers={"cache-control": "private, max-age=31536000, immutable"})


def listener(port: int, host: str = "127.0.0.1") -> socket.socket:
    """A socket of this machine alone. Raises OSError for a port that is taken, OverflowError for none."""
    # With its protocol named, asyncio turns Nagle's algorithm off for it.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if hasattr(socket, "SO_REUSEADDR") and not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen()
    except (OSError, OverflowError):
        found.close()
        raise
    return found


async def serve(face: WebFace, socket: socket.socket, *, started: Callable[[], None]) -> None:
    """Take connections until a signal comes. ``started``: called when they are taken.

    Raises ImportError without uvicorn, which names the extra.
    """
    try:
        import uvicorn
    except ImportError:
        raise ImportError("the page needs uvicorn: pip install 'dovetail[server]'") from None

    class PageServer(uvicorn.Server):
        """uvicorn, which says when it takes connections."""

        async def startup(self, sockets: list[Any] | None = None) -> None:
            """Called by uvicorn."""
            await super().startup(sockets=sockets)
            started()

    config = uvicorn.Config(
        face,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        access_log=False,
    )
    await PageServer(config).serve(sockets=[socket])


def _cookie(request: Request, access: Access) -> str | None:
    try:
        found = SimpleCookie(request.headers.get("cookie", "")).get(access.cookie_name)
    except CookieError:
        return None
    return None if found is None else found.value


def _with_headers(send: Any, nonce: str) -> Any:
    policy = (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' blob: data:; "
        "media-src blob: data:; connect-src 'self'; font-src 'self'; form-action 'none'; base-uri 'none'; "
        "frame-ancestors 'none'; manifest-src 'self'"
    )
    ours = {**_HEADERS, "content-security-policy": policy}

    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            have = {name.lower() for name, _ in message["headers"]}
            message = {
                **message,
                "headers": [
                    *message["headers"],
                    *(
                        (name.encode(), value.encode())
                        for name, value in ours.items()
                        if name.encode() not in have
                    ),
                ],
            }
        await send(message)

    return sent


def _bounded(receive: Any) -> Any:
    """A body of bounded length: beyond that, the client is treated as one that went away."""
    length = 0

    async def received() -> Any:
        nonlocal length
        message = await receive()
        length += len(message.get("body", b""))
        if length > _MOST_BODY:
            _log.warning("a request of more than %d bytes was not read", _MOST_BODY)
            return {"type": "http.disconnect"}
        return message

    return received
