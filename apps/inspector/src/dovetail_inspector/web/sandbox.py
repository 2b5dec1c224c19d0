"""The second origin: what documents of views are loaded in, apart from the page.

Theory of operation. A view is in two frames. The outer one is a document of ours (`sandbox_proxy.html`) at another
origin than the page: another port and the other name of this machine (``localhost`` for a page at ``127.0.0.1``), so
that to a browser it is another site: no cookie of the page reaches it, and it may have a process of its own. It makes
the inner frame, without an origin, of the HTML that the page posts to it, and carries messages. The policy of a view is
a header of the outer document, which the inner one inherits; that document says nothing about the view, so who has its
address has nothing. The port is taken when the page is loaded, since a page has to know in its policy which frames it
may have, and served from the first view on. Only a page of this Inspector may have the outer document in a frame.

Specification: MCP Apps 2026-01-26, "Sandbox proxy" and "Content Security Policy Enforcement"; CSP 3.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from ..app_views.hosting import AppViews
from .listening import bound, serve_on

__all__ = ["Sandbox"]

MAX_REPORT: Final = 16 * 1024
"""Bytes of a browser's report that are read."""
REPORT_TIMEOUT: Final = 5.0
"""Seconds for it to come."""
_PROXY: Final = Path(__file__).with_name("sandbox_proxy.html")
_SCRIPT: Final = Path(__file__).with_name("sandbox_proxy.js")
_OTHER_NAME: Final = {"127.0.0.1": "localhost", "localhost": "127.0.0.1", "[::1]": "localhost"}
_ATTEMPTS: Final = 20
_FEATURES: Final = ("camera", "microphone", "geolocation", "clipboard-write")
_DENIED: Final = ("usb", "payment", "serial", "hid", "midi", "display-capture")


class Sandbox:
    """The origin of views. ``apps``: those there are; ``page_port``: where the page is."""

    def __init__(self, apps: AppViews, page_port: int) -> None:
        self._apps: Final = apps
        self._page_port: Final = page_port
        self._sockets: list[socket.socket] = []
        self._serving: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._pages: dict[str, tuple[str, str]] = {}

    @property
    def ports(self) -> tuple[int, ...]:
        """Those that are the Inspector's: of the page, and of this."""
        return (self._page_port, *({self._port} if self._sockets else ()))

    def reserve(self, host: str) -> str:
        """The origin of views for a page at this ``Host``, which is taken if it was not yet; "" where it has none."""
        name = _OTHER_NAME.get(host.lower().rpartition(":")[0], "")
        if not name:
            return ""
        if not self._sockets:
            self._sockets = _reserved()
        return f"http://{name}:{self._port}"

    async def start(self) -> None:
        """Take connections, if it does not yet. Raises OSError, ImportError."""
        async with self._starting:
            if self._serving is not None:
                return
            started = asyncio.Event()
            serving = asyncio.create_task(
                serve_on(self, self._sockets, started=started.set), name="the sandbox"
            )
            waiting = asyncio.create_task(started.wait())
            await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if serving.done():
                serving.result()
                raise OSError("the sandbox of views could not be served")
            self._serving = serving

    async def stop(self) -> None:
        """Take none any more. Idempotent."""
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.cancel()
            await asyncio.wait((serving,))
        for each in self._sockets:
            each.close()
        self._sockets = []

    def place(self, id: str, host: str) -> str:
        """The address of the outer document of a view, for a page at this ``Host``."""
        key = secrets.token_urlsafe(16)
        self._pages = {each: of for each, of in self._pages.items() if of[0] in self._apps}
        self._pages[key] = (id, f"http://{host.lower()}")
        return f"{self.reserve(host)}/view/{key}"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Be an ASGI application."""
        if scope["type"] != "http":
            raise RuntimeError(f"this speaks HTTP alone, no {scope['type']}")
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        response.headers.update(
            {
                "x-content-type-options": "nosniff",
                "referrer-policy": "no-referrer",
                "cache-control": "no-store",
            }
        )
        if request.method == "GET":  # what reports is a document without an origin
            response.headers["cross-origin-resource-policy"] = "same-origin"
        await response(scope, receive, send)

    @property
    def _port(self) -> int:
        return self._sockets[0].getsockname()[1]

    async def _answer(self, request: Request) -> Response:
        host = request.headers.get("host", "").lower()
        if host not in (f"localhost:{self._port}", f"127.0.0.1:{self._port}"):
            return PlainTextResponse("nothing is here under this name\n", 421)
        kind, _, key = request.scope["path"].strip("/").partition("/")
        if request.method == "GET" and (kind, key) == ("sandbox_proxy.js", ""):
            return Response(_SCRIPT.read_bytes(), media_type="text/javascript; charset=utf-8")
        found = self._pages.get(key)
        if found is None:
            return PlainTextResponse("there is nothing here\n", 404)
        if request.method == "GET" and kind == "view":
            return self._proxy(request, key, *found)
        if request.method == "POST" and kind == "report":
            return await self._report(request, host, found[0])
        return PlainTextResponse("there is nothing here\n", 404)

    def _proxy(self, request: Request, key: str, id: str, page: str) -> Response:
        """The outer document."""
        if request.headers.get("sec-fetch-dest", "iframe") != "iframe" or "origin" in request.headers:
            return PlainTextResponse("this is a part of a page, and is shown in it alone\n", 403)
        try:
            policy = self._apps.policy(id)
        except LookupError:
            return PlainTextResponse("this view is not open any more\n", 404)
        features = [f"{each}={'*' if each in policy.features else '()'}" for each in _FEATURES]
        headers = {
            "content-security-policy": f"{policy.directives}; frame-ancestors {page}; report-uri /report/{key}",
            "permissions-policy": ", ".join([*features, *(f"{each}=()" for each in _DENIED)]),
            "origin-agent-cluster": "?1",
        }
        text = _PROXY.read_text("utf-8").replace("__PAGE__", page).replace("__ALLOW__", policy.allow)
        return Response(text, media_type="text/html; charset=utf-8", headers=headers)

    async def _report(self, request: Request, host: str, id: str) -> Response:
        """What a browser says that it kept a view from."""
        if request.headers.get("origin", "null") not in ("null", f"http://{host}"):
            return PlainTextResponse("another page's requests are not answered\n", 403)
        data = b""
        try:
            async with asyncio.timeout(REPORT_TIMEOUT):
                async for piece in request.stream():
                    data += piece
                    if len(data) > MAX_REPORT:
                        return PlainTextResponse("this is too long for a report\n", 413)
        except TimeoutError:
            return PlainTextResponse("the report did not come\n", 408)
        try:
            report = msgspec.json.decode(data, type=dict[str, dict[str, Any]])["csp-report"]
        except (msgspec.MsgspecError, UnicodeError, KeyError, RecursionError):
            return PlainTextResponse("this is no report\n", 400)
        with suppress(LookupError):  # it was closed meanwhile
            self._apps.blocked(id, report)
        return Response(status_code=204)


def _reserved() -> list[socket.socket]:
    """Sockets of one port of this machine, for both kinds of addresses that ``localhost`` may mean. Raises OSError."""
    for attempt in range(_ATTEMPTS):
        first = bound(0, "127.0.0.1")
        try:
            return [first, bound(first.getsockname()[1], "::1")]
        except OSError as problem:
            if problem.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT):
                return [first]  # a machine without IPv6
            first.close()
            if problem.errno != errno.EADDRINUSE or attempt == _ATTEMPTS - 1:
                raise
    raise OSError(errno.EADDRINUSE, "no port of this machine is free for both kinds of addresses")
