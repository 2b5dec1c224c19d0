"""The web face as an ASGI application, and running it on this machine.

Theory of operation. `WebFace` lets requests in (`access`), adds the headers that keep a browser from doing what the
page never does, bounds what is read of a body and for how long, and routes the rest. `serve` runs it under uvicorn on
a socket that is open already, so a port that is taken is told before anything is started; streams of events end before
the server does, which would wait for them.

Specification: Content Security Policy 3; basic/transports, "Security Warning".
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from ..inspection import Inspection
from ..views import ErrorView
from .access import Access
from .answers import BadRequest, answer, body_of, refusal
from .app_routes import app_routes
from .bodies import bounded
from .listening import listener, serve_on
from .routes import routes
from .sandbox import Sandbox
from .streaming import event_stream

__all__ = ["PAGE", "WebFace", "listener", "serve"]

PAGE: Final = Path(__file__).with_name("page")
"""Where the built page is."""
_MOST_STREAMS: Final = 64
"""Streams of events at once: each is a connection, of which the system gives a process a thousand or so."""
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
        self._ended: Final = asyncio.Event()
        self._streams = 0
        self.sandbox: Final = Sandbox(inspection.apps, access.port)
        self._app = Starlette(
            exception_handlers={HTTPException: _failed, ClientDisconnect: _gone},
            routes=[
                Route("/api/session", self._session, methods=["POST"]),
                Route("/api/events", self._events, methods=["GET"]),
                *routes(inspection, app_routes(inspection, self.sandbox)),
                Route("/", self._index, methods=["GET"]),
                Route("/assets/{path:path}", self._asset, methods=["GET"]),
            ],
        )
        self._app.router.redirect_slashes = False

    def end_streams(self) -> None:
        """End the streams of events that are open, and those that somebody asks for from now on."""
        self._ended.set()

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
        await self._app(scope, bounded(scope, receive), answered)

    def _kept_out(self, request: Request) -> Response | None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        refused = self._access.judge(headers)
        if refused is not None:
            return refusal(ErrorView(kind="Refused", message=refused.reason), refused.status)
        path = request.scope["path"]
        if path.startswith("/api/") and request.method == "HEAD":
            return refusal(
                ErrorView(kind="Refused", message="HEAD says nothing of what goes on; use GET"), 405
            )
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
        if self._streams >= _MOST_STREAMS:
            return refusal(
                ErrorView(
                    kind="TooManyStreams",
                    message=f"{_MOST_STREAMS} pages follow this Inspector already; close some of them",
                ),
                503,
            )
        return event_stream(self._inspection.events, request, self._followed, self._ended)

    @contextmanager
    def _followed(self) -> Generator[None]:
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    async def _index(self, request: Request) -> Response:
        place = self._page / "index.html"
        if not place.is_file():
            return Response(
                "The page was not built. In a checkout: make page\n",
                503,
                media_type="text/plain; charset=utf-8",
            )
        text = place.read_bytes().replace(_NONCE, request.state.nonce.encode())
        # A document has its policy from the start, so the place of views is known before there are any.
        frames = self.sandbox.reserve(request.headers.get("host", ""))
        headers = {
            "cache-control": "no-store",
            "content-security-policy": _policy(request.state.nonce, frames),
            "permissions-policy": _permissions(frames),
        }
        return Response(text, media_type="text/html; charset=utf-8", headers=headers)

    async def _asset(self, request: Request) -> Response:
        place = _below(self._page / "assets", request.path_params["path"])
        if place is None:
            return Response("there is no such file\n", 404, media_type="text/plain")
        # Their names have a digest of what is in them.
        return FileResponse(place, headers={"cache-control": "private, max-age=31536000, immutable"})


async def serve(face: WebFace, socket: socket.socket, *, started: Callable[[], None]) -> None:
    """Take connections until it is cancelled, which ends those that there are. ``started``: called when they are taken.

    Raises ImportError without uvicorn, which names the extra.
    """
    try:
        await serve_on(face, [socket], started=started, ending=face.end_streams)
    finally:
        await face.sandbox.stop()


async def _failed(request: Request, problem: Exception) -> Response:
    """What no route answers, and bodies that are not read."""
    del request
    status, message = getattr(problem, "status_code", 500), getattr(problem, "detail", "")
    return refusal(ErrorView(kind="Refused", message=message), status)


async def _gone(request: Request, problem: Exception) -> Response:
    """Nobody is there to be answered."""
    del request, problem
    return Response(status_code=400)


def _below(folder: Path, name: str) -> Path | None:
    """A file of a folder; None where it has none of that name."""
    try:
        place = (folder / name).resolve()
        return place if place.is_relative_to(folder.resolve()) and place.is_file() else None
    except (OSError, ValueError):  # no file can be called that
        return None


def _cookie(request: Request, access: Access) -> str | None:
    try:
        found = SimpleCookie(request.headers.get("cookie", "")).get(access.cookie_name)
    except CookieError:
        return None
    return None if found is None else found.value


def _policy(nonce: str, frames: str = "") -> str:
    """What a browser is told to keep a page to. ``frames``: the one origin whose documents may be in it."""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' blob: data:; "
        "media-src blob: data:; connect-src 'self'; font-src 'self'; form-action 'none'; base-uri 'none'; "
        f"frame-ancestors 'none'; manifest-src 'self'{'; frame-src ' + frames if frames else ''}"
    )


def _permissions(frames: str) -> str:
    """What documents may use. The page uses none of it; it can only hand on what it has itself."""
    handed = f'(self "{frames}")' if frames else "()"
    return f"camera={handed}, geolocation={handed}, microphone={handed}, usb=(), payment=()"


def _with_headers(send: Any, nonce: str) -> Any:
    ours = {**_HEADERS, "content-security-policy": _policy(nonce)}

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
