"""The logins of one server, step by step: told as they happen, and held where the person wants to go through them.

Theory of operation. Each login is one of the library's, which tells of its steps (`OAuth(on_step=...)`) without their
secrets. A step is kept and told at once; where steps are held it waits here until the person lets it go, and the login
waits with it. Tokens are in a store of their own, so that a login of another program is neither used nor lost, and one
can be begun again from nothing.

Specification: basic/authorization.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from dovetail.auth.login import LoginStep, LoginVisit, MemoryTokens, OAuth, TokenStore

from ..views import (
    LoginDocumentView,
    LoginParty,
    LoginRequestView,
    LoginResponseView,
    LoginStepView,
    LoginView,
)

__all__ = ["NothingHeld", "ServerLogins"]

_MOST: Final = 300
_LONGEST: Final = 64 * 1024
_NAME: Final = "Dovetail Inspector"
_TITLES: Final[dict[str, tuple[str, LoginParty, LoginParty]]] = {
    "challenge": ("The server refuses", "server", "client"),
    "loaded": ("Tokens are there", "client", "client"),
    "resource-metadata": ("Metadata of the server", "client", "server"),
    "server-chosen": ("Authorization server", "client", "client"),
    "server-metadata": ("Metadata of the authorization server", "client", "authority"),
    "scopes": ("Scopes", "client", "client"),
    "resource": ("Resource", "client", "client"),
    "proof-key": ("Key for proofs", "client", "client"),
    "code-challenge": ("Code challenge", "client", "client"),
    "registration": ("Registration", "client", "authority"),
    "authorization": ("The person is sent to log in", "client", "person"),
    "redirect": ("The browser comes back", "person", "client"),
    "assertion": ("Assertion", "client", "authority"),
    "token": ("Token", "client", "authority"),
    "refresh": ("Renewal", "client", "authority"),
    "kept": ("Tokens are kept", "client", "client"),
    "failed": ("The login ended", "client", "client"),
}
_LAST: Final = ("kept", "failed")


class NothingHeld(LookupError):
    """No step waits for the person."""


class ServerLogins:
    """Those of the server with this id. ``stepping``: whether steps are to be held; ``told``: called with what is new;
    ``tokens``: where they are kept, None for memory.
    """

    def __init__(
        self,
        server: str,
        stepping: Callable[[], bool],
        told: Callable[[LoginView], None],
        tokens: TokenStore | None = None,
    ) -> None:
        self._server: Final = server
        self._stepping: Final = stepping
        self._told: Final = told
        self._shared: Final = tokens
        self._tokens: TokenStore = tokens or MemoryTokens()
        self._steps: OrderedDict[int, LoginStepView] = OrderedDict()
        self._held: OrderedDict[int, asyncio.Event] = OrderedDict()
        self._count = 0
        self._running = False

    @property
    def view(self) -> LoginView:
        """All steps that are remembered."""
        return self._view(list(self._steps.values()))

    def auth(self, approve: Callable[[LoginVisit], Any] | None = None) -> OAuth:
        """What a client of the server logs in with. ``approve``: asked before an address is opened."""
        return OAuth(approve=approve, client_name=_NAME, tokens=self._tokens, on_step=self.happened)

    async def happened(self, step: LoginStep) -> None:
        """A step, which is held here if the person wants to go through them."""
        self._count += 1
        id, holds = self._count, self._stepping() and not self._running and step.kind not in _LAST
        self._steps[id] = view = _step_view(id, step, held=holds)
        while len(self._steps) > _MOST:
            self._steps.popitem(last=False)
        if step.kind in _LAST:
            self._running = False
        if not holds:
            self._told(self._view([view]))
            return
        self._held[id] = let_go = asyncio.Event()
        self._told(self._view([view]))
        try:
            await let_go.wait()
        finally:
            self._held.pop(id, None)
            if id in self._steps:
                self._steps[id] = replace(view, held=False)
                self._told(self._view([self._steps[id]]))

    def step(self, *, run: bool = False) -> None:
        """Let the oldest step that is held go; with ``run`` all of this login, and those that follow. Raises
        `NothingHeld`.
        """
        if not self._held:
            raise NothingHeld("no step of a login waits; connect with step_login set, and it will")
        if run:
            self.release()
            self._running = True
        else:
            _, oldest = self._held.popitem(last=False)
            oldest.set()

    def release(self) -> None:
        """Let all go that are held."""
        while self._held:
            self._held.popitem(last=False)[1].set()

    async def forget(self, url: str) -> None:
        """Forget the steps, and the tokens for the server at ``url``; where they are in memory, registrations too."""
        self.release()
        self._steps.clear()
        self._running = False
        if self._shared is None:
            self._tokens = MemoryTokens()
        elif url:
            credentials = OAuth(client_name=_NAME, tokens=self._shared).client_auth(url)
            try:
                await credentials.log_out()
            finally:
                await credentials.close()
        self._told(self.view)

    def _view(self, steps: list[LoginStepView]) -> LoginView:
        return LoginView(
            server=self._server,
            steps=steps,
            waiting=bool(self._held),
            stepping=self._stepping() and not self._running,
        )


def _step_view(id: int, step: LoginStep, *, held: bool) -> LoginStepView:
    title, source, target = _TITLES[step.kind]
    exchange = step.exchange
    if step.kind == "registration" and exchange is None:
        target = "client"  # it was known before
    documents: list[LoginDocumentView] = []
    request = response = None
    if exchange is not None:
        request = LoginRequestView(
            method=exchange.method, url=exchange.url, headers=dict(exchange.headers), sent=exchange.sent
        )
        if exchange.status:
            response = LoginResponseView(status=exchange.status, headers=dict(exchange.answered))
        if exchange.document is not None:
            documents.append(_document("answer", exchange.document))
    if step.values:
        documents.append(_document("decided with", dict(step.values)))
    return LoginStepView(
        id=id,
        kind=step.kind,
        title=title,
        source=source,
        target=target,
        state=step.outcome,
        held=held,
        time=datetime.now(UTC).isoformat(),
        decision=step.decision,
        requirement=step.requirement,
        request=request,
        response=response,
        documents=documents,
    )


def _document(title: str, content: Any) -> LoginDocumentView:
    """A document, or as much of it as is shown at once."""
    data = msgspec.json.encode(content)
    if len(data) <= _LONGEST:
        return LoginDocumentView(title=title, content=content)
    return LoginDocumentView(
        title=title, content=data[:_LONGEST].decode("utf-8", "ignore"), omitted=len(data) - _LONGEST
    )
