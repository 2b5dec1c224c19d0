"""An authorization server for the length of a test, and a person who clicks through its pages.

Theory of operation. `authorization_server` serves one with uvicorn on a free port of this machine, in the loop of the
test, with a store in memory. `Browser` is a stand-in for a browser: it keeps cookies, fills in forms and follows
redirects, and it runs no script, for the pages need none. `approve` is what a person does with an authorization URL.

Specification: none.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import parse_qsl, urljoin, urlsplit

import msgspec

from dovetail.stores import MemoryStore

from .login import pick_user, single_user
from .server import AuthServer

__all__ = ["AuthorizationServer", "Browser", "HTMLForm", "Shown", "authorization_server"]

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_STEPS: Final = 12


class HTMLForm(msgspec.Struct):
    """A form of a page: where it goes, its hidden and filled fields, and the values of its buttons by name."""

    action: str
    method: str
    fields: dict[str, str]
    buttons: list[tuple[str, str]]


class Shown(msgspec.Struct):
    """A page. `url`: where it is; `left`: where a redirect would have led away from the server, or ""."""

    url: str
    status: int
    headers: dict[str, str]
    text: str
    forms: list[HTMLForm]
    left: str = ""


class Browser:
    """Keeps cookies, fills in forms. Use it as an async context manager. ``home``: the origin it stays at."""

    def __init__(self, home: str) -> None:
        self._home = _origin(home)
        self._session: Any = None

    async def __aenter__(self) -> Browser:
        try:
            import aiohttp
        except ImportError:
            raise ImportError("the browser stand-in needs aiohttp: pip install 'dovetail[auth]'") from None
        jar = aiohttp.CookieJar(unsafe=True)  # that is: also for addresses without a name
        self._session = aiohttp.ClientSession(cookie_jar=jar, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def open(self, url: str, headers: Mapping[str, str] | None = None) -> Shown:
        """Go to a URL, and on from there until there is a page, or a redirect that leads away."""
        return await self._go("GET", url, None, headers or {})

    async def submit(
        self, page: Shown, *, form: int = 0, headers: Mapping[str, str] | None = None, **filled: str
    ) -> Shown:
        """Send a form of the page, with more fields filled in (a button that is pressed is one)."""
        found = page.forms[form]
        sent = {"origin": _origin(page.url), **(headers or {})}
        return await self._go(found.method, urljoin(page.url, found.action), {**found.fields, **filled}, sent)

    async def visit(self, url: str) -> int:
        """Load a URL anywhere on this machine, as a browser that follows a redirect does; gives the status."""
        async with self._session.get(url, allow_redirects=False) as response:
            await response.read()
            return int(response.status)

    async def _go(
        self, method: str, url: str, form: dict[str, str] | None, headers: Mapping[str, str]
    ) -> Shown:
        for _ in range(_STEPS):
            async with self._session.request(
                method, url, data=form, headers=dict(headers), allow_redirects=False
            ) as response:
                text = await response.text()
                said = {name.lower(): str(value) for name, value in response.headers.items()}
            if response.status not in _REDIRECTS:
                return Shown(url, int(response.status), said, text, _forms(text))
            target = urljoin(url, said["location"])
            if _origin(target) != self._home:
                return Shown(url, int(response.status), said, text, [], left=target)
            method, url, form, headers = "GET", target, None, {}
        raise RuntimeError(f"{url} redirects without an end")


class AuthorizationServer(msgspec.Struct):
    """One that is being served. `url` is its issuer."""

    url: str
    server: AuthServer

    async def approve(
        self,
        url: str,
        *,
        user: str = "",
        allow: bool = True,
        visit: bool = True,
    ) -> str:
        """Open an authorization URL, log in as `user` where the page asks who, and press Allow (or Deny).

        Gives the address that the browser is sent to; with `visit` it goes there, as a browser would. Raises
        `RuntimeError` with the page's text where the server refuses.
        """
        async with Browser(self.url) as browser:
            shown = await browser.open(url)
            for _ in range(3):
                if shown.left:
                    break
                if shown.status >= 400 or not shown.forms:
                    raise RuntimeError(f"{shown.status}: {shown.text}")
                names = {name for name, _ in shown.forms[0].buttons}
                if "decision" in names:
                    shown = await browser.submit(shown, decision="allow" if allow else "deny")
                else:
                    shown = await browser.submit(shown, user=user or shown.forms[0].buttons[0][1])
            if visit:
                await browser.visit(shown.left)
            return shown.left

    async def code(self, url: str, **how: Any) -> dict[str, str]:
        """`approve` without going there; gives the parameters of the answer: code, state, iss."""
        return dict(parse_qsl(urlsplit(await self.approve(url, visit=False, **how)).query))


@contextlib.asynccontextmanager
async def authorization_server(
    resource: str = "http://127.0.0.1/mcp",
    *,
    users: tuple[str, ...] = ("alice",),
    path: str = "",
    wrap: Callable[[Any], Any] = lambda app: app,
    **options: Any,
) -> AsyncGenerator[AuthorizationServer]:
    """A running authorization server: ``async with authorization_server(url) as authority``. Options as of
    `AuthServer`; without others it takes any client that registers or publishes a document on this machine.

    ``users``: one is logged in without a question, of several one is chosen (see `AuthorizationServer.approve`).
    ``path``: a path for the issuer; ``wrap``: what the application is served in. Needs ``dovetail[auth,server]``.
    """
    # With its protocol named, asyncio turns Nagle's algorithm off for it, which costs 40 ms per answer.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    issuer = f"http://127.0.0.1:{sock.getsockname()[1]}{path}"
    options.setdefault("login", single_user(users[0]) if len(users) == 1 else pick_user(*users))
    options.setdefault("store", MemoryStore())
    options.setdefault("registration", "open")
    options.setdefault("documents", "loopback")
    if "accepts_resource" not in options:
        options.setdefault("resources", [resource])
    server = AuthServer(issuer, **options)
    async with _served(wrap(server), sock):
        try:
            yield AuthorizationServer(issuer, server)
        finally:
            await server.aclose()


@contextlib.asynccontextmanager
async def _served(application: Any, sock: socket.socket) -> AsyncGenerator[None]:
    import uvicorn

    ending = asyncio.Event()

    class EmbeddedAuthServer(uvicorn.Server):
        """Leaves the signals of the test's process alone, and ends at once."""

        async def main_loop(self) -> None:
            await self.on_tick(0)
            await ending.wait()

        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None]:
            yield

    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        lifespan="off",
    )
    serving = EmbeddedAuthServer(config)
    task = asyncio.create_task(serving.serve(sockets=[sock]))
    while not serving.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.001)
    try:
        yield
    finally:
        ending.set()
        await task
        sock.close()


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[HTMLForm] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(HTMLForm(found.get("action", ""), found.get("method", "get").upper(), {}, []))
        elif tag == "input" and self.forms and "name" in found:
            self.forms[-1].fields[found["name"]] = found.get("value", "")
        elif tag == "button" and self.forms:
            self.forms[-1].buttons.append((found.get("name", ""), found.get("value", "")))


def _forms(text: str) -> list[HTMLForm]:
    reader = _FormReader()
    reader.feed(text)
    return reader.forms


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
