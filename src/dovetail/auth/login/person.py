"""The person who logs in: asked first, shown the whole address, sent to a browser, and waited for.

Theory of operation. The address comes from a server that we may not know, so it is checked before (https, or http on
this machine), shown whole to the ``approve`` hook if there is one, and given to the browser as one argument; no shell
sees it and nothing of it is fetched. Where no browser can be opened, the person may open the address anywhere and
paste the address that they end up at, which the ``paste`` hook asks for.

Specification: "Security Best Practices", authorization URLs; RFC 8252 section 7.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import webbrowser
from collections.abc import Callable
from copy import copy
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from ...protocol.errors import Declined, Dismissed
from .authorization import answer_of
from .callback import Taker
from .pages import CallbackPage
from .problems import AuthorizationError, LoginDenied, LoginFailed

__all__ = ["LoginVisit", "Person", "open_in_browser"]

_PASTES: Final = 3


class LoginVisit(msgspec.Struct, frozen=True, kw_only=True):
    """An address that a person is to visit in order to log in; what ``approve`` hooks are shown.

    ``server``: the MCP server that wants it. ``url``: the whole address. ``host``: its host, for emphasis. The rest is
    what other visits have: a login belongs to no call, and is waited for by itself.
    """

    server: str
    message: str
    url: str
    host: str
    elicitation_id: str | None = None
    call: None = None
    call_waits: bool = False


def open_in_browser(url: str) -> bool:
    """Open an address in the person's browser; False if there is none that has a window."""
    if sys.platform.startswith("linux") and not any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME")
    ):
        return False  # what would be found is a browser inside the terminal, and the terminal is ours
    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False


class Person:
    """Sends somebody to an address and brings the answer back.

    ``approve(visit)``: False or None to stay away, "done" where it has opened the address itself.
    ``open_browser(url)``: False if it can't. ``paste(url)``: asks for the address that the person ended up at.
    ``announce(url)``: told of the address, to show it. All may be plain functions, which run in a thread, or async.
    ``timeout``: seconds that the person has.
    """

    def __init__(
        self,
        *,
        timeout: float,
        approve: Callable[..., Any] | None = None,
        open_browser: Callable[..., Any] | None = None,
        paste: Callable[..., Any] | None = None,
        announce: Callable[..., Any] | None = None,
    ) -> None:
        self._approve = approve
        self._open = open_browser or open_in_browser
        self._paste = paste
        self._announce = announce
        self.timeout = timeout

    def asked_by(self, approve: Callable[..., Any] | None) -> Person:
        """The same, asked by ``approve`` first, unless there is such a hook already."""
        if self._approve is not None or approve is None:
            return self
        asked = copy(self)
        asked._approve = approve
        return asked

    async def send(self, url: str, *, server: str, issuer: str) -> bool:
        """Send the person off; whether a browser was opened. Raises `LoginDenied` if they don't want to."""
        consent: Any = True
        if self._approve is not None:
            visit = LoginVisit(
                server=server,
                message=f"Log in to {server} at {issuer}",
                url=url,
                host=urlsplit(url).hostname or "",
            )
            try:
                consent = await _called(self._approve, visit)
            except (Declined, Dismissed):
                consent = False
            if not consent:
                raise LoginDenied("the login was declined before a browser was opened", error="declined")
        if self._announce is not None:
            await _called(self._announce, url)
        if consent == "done":
            return True
        return bool(await _called(self._open, url))

    async def bring(self, url: str, taker: Taker, *, opened: bool) -> None:
        """Wait for an address to be pasted, if there is no browser to wait for. Raises `LoginFailed`."""
        if self._paste is None:
            if not opened:
                raise LoginFailed(
                    "logging in needs a browser, and none could be opened here; log in with"
                    " 'dovetail auth login', or give OAuth a paste hook"
                )
            return
        if opened:
            return
        for _ in range(_PASTES):
            try:
                page = await taker(answer_of(str(await _called(self._paste, url) or "")))
            except AuthorizationError:
                continue
            if page not in (CallbackPage.STRANGER, CallbackPage.MALFORMED):
                return
        raise LoginFailed("what was pasted is not the address at the end of this login")


async def _called(hook: Callable[..., Any], argument: Any) -> Any:
    """Call a hook: async ones here, plain ones in a thread, since they may wait for somebody."""
    if inspect.iscoroutinefunction(hook):
        return await hook(argument)
    found = await asyncio.to_thread(hook, argument)
    return await found if inspect.isawaitable(found) else found
