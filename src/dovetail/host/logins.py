"""Logins to servers of a host: what the program gave as ``auth``, behind the gate.

Theory of operation. A client is given a `HostedLogin` in the place of the program's own setting. The credentials that
come of it are those of the program; what a person is sent to passes the host's question first, and so does a server's
demand for more scopes where no address would be shown for it. A login with an address is one question, which names
the scopes that the address asks for. A token of the program's own (`Bearer`) has no more scopes to get. Credentials
that the program made itself (a `ClientAuth`), and a login with an ``approve`` of its own, send nobody anywhere without
asking whom the program told them to ask.

Specification: basic/authorization, "Scope Challenge Handling", "Step-Up Authorization Flow"; client/elicitation, "Safe
URL Handling".
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from types import SimpleNamespace
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

from ..errors import DovetailError
from ..logs import get_logger
from ..security import ClientAuth, Refusal

__all__ = ["HostedLogin", "added_to", "scopes_in"]

log = get_logger("dovetail.host")
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403

AskLogin = Callable[[Any], Awaitable[Any]]
AskScopes = Callable[[tuple[str, ...]], Awaitable[None]]


class HostedLogin:
    """A setting of how to get credentials, as `dovetail.security.AuthSetting` has it. ``auth``: that of the program.

    ``ask_login``: asked with a `dovetail.auth.login.LoginVisit` before a person is sent there. ``ask_scopes``: asked
    with the scopes that a server demands, where nobody is sent anywhere; raises to refuse.
    """

    def __init__(self, auth: Any, ask_login: AskLogin, ask_scopes: AskScopes) -> None:
        self._auth = auth
        self._ask_login = ask_login
        self._ask_scopes = ask_scopes
        self._made: ClientAuth | None = None

    @property
    def extensions(self) -> Mapping[str, Mapping[str, Any]]:
        """The extensions of the protocol that the program's setting is."""
        return getattr(self._auth, "extensions", None) or {}

    def with_tokens(self, tokens: Any) -> "HostedLogin":
        """The same, with tokens kept there unless the program's setting has a place of its own."""
        auth = _setting(self._auth)
        other = getattr(auth, "with_tokens", None)
        if callable(other) and not isinstance(auth, type):
            self._auth = other(tokens)
        return self

    def client_auth(self, url: str, *, approve: Callable[..., Any] | None = None) -> ClientAuth:
        """The credentials for the server at ``url``. ``approve`` is not asked: the host is. Raises as what the program
        gave does.
        """
        from ..auth.login import Bearer, OAuth, resolve

        auth = _setting(self._auth)
        made = resolve(auth, url, SimpleNamespace(approve_login=self._ask_login))
        self._made = made
        asked_elsewhere = isinstance(auth, (Bearer, OAuth))
        return cast("ClientAuth", _Gated(made, None if asked_elsewhere else self._ask_scopes))

    async def scopes(self) -> tuple[str, ...] | None:
        """The scopes of the token that there is now; None where nobody knows them."""
        status = getattr(self._made, "status", None)
        if status is None:
            return None
        try:
            tokens = await status()
        except DovetailError as problem:
            log.warning("the scopes of a login can't be looked up: %s", problem)
            return None
        return () if tokens is None else tuple(tokens.granted)


class _Gated:
    """The credentials of the program; a demand for more scopes is asked about first."""

    def __init__(self, inner: ClientAuth, ask: AskScopes | None) -> None:
        self._inner = inner
        self._ask = ask
        self._agreed: set[frozenset[str]] = set()
        self._asking = asyncio.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)  # ``account`` and what else there may be

    async def headers(self, method: str, url: str) -> Mapping[str, str]:
        """See `ClientAuth`."""
        return await self._inner.headers(method, url)

    async def refused(self, refusal: Refusal) -> bool:
        """See `ClientAuth`. Raises `ConsentRefused` where nobody agreed to more scopes."""
        if self._ask is not None and (wanted := await self._more(refusal)):
            async with self._asking:  # many calls may be refused at once, for the same
                if frozenset(wanted) not in self._agreed:
                    await self._ask(wanted)
                    self._agreed.add(frozenset(wanted))
        return await self._inner.refused(refusal)

    async def _more(self, refusal: Refusal) -> tuple[str, ...]:
        """The scopes that a refusal demands besides those there are. What it demands of who has no token yet is the
        beginning, and no more than that.
        """
        if refusal.status == _FORBIDDEN:
            return _demanded(refusal)
        status = getattr(self._inner, "status", None)
        if refusal.status != _UNAUTHORIZED or status is None:
            return ()
        from ..auth.login import Tokens

        tokens = await status()
        sent = refusal.sent.get("authorization", "").partition(" ")[2]
        if not isinstance(tokens, Tokens) or tokens.access_token != sent:  # it has been replaced since
            return ()
        return tuple(each for each in _demanded(refusal) if each not in tokens.scopes)

    def answered(self, url: str, headers: Mapping[str, str]) -> None:
        """See `ClientAuth`."""
        self._inner.answered(url, headers)

    async def close(self) -> None:
        """See `ClientAuth`."""
        await self._inner.close()


def scopes_in(url: str) -> tuple[str, ...]:
    """The scopes that an address of an authorization server asks for."""
    found = parse_qs(urlsplit(url).query).get("scope", [])
    return tuple(dict.fromkeys(" ".join(found).split()))


def added_to(before: Collection[str] | None, scopes: Collection[str]) -> tuple[str, ...]:
    """Those that were not there before; none where there was nothing before, or nobody knows."""
    return tuple(each for each in scopes if each not in before) if before else ()


def _setting(auth: Any) -> Any:
    if auth != "oauth":
        return auth
    from ..auth.login import OAuth

    return OAuth()


def _demanded(refusal: Refusal) -> tuple[str, ...]:
    """The scopes that a refusal demands."""
    from ..auth.oauth import parse_challenges

    found: dict[str, None] = {}
    for challenge in parse_challenges(refusal.challenges):
        more = challenge.parameters.get("error") == "insufficient_scope"
        if more or refusal.status == _UNAUTHORIZED:
            found |= dict.fromkeys(challenge.scopes)
    return tuple(found)
