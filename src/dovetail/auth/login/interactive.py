"""Logging a person in: from what discovery found to tokens.

Theory of operation. The callback address is opened first, because its port is part of what a registration and the
authorization request say. It takes the port of an earlier registration if that is still free. Then the client is made
known, the person is sent off, and the first answer that belongs to this login ends it, whichever way it came. The
browser's last page waits for the token request and says how that went. A registration that the server has forgotten
is made anew, once.

Specification: 2026-07-28 basic/authorization; OAuth 2.1 sections 4.1 and 4.3.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from ...security.fetching import Fetcher, parse_url
from ...transports.deadlines import deadline
from .. import pkce
from ..dpop import DPoPKey
from ..metadata import AuthorizationServerMetadata
from .authorization import Attempt, check_address, check_endpoints
from .callback import Loopback
from .discovery import Discovered
from .identity import Identity
from .pages import CallbackPage
from .person import Person
from .problems import DiscoveryFailed, LoginDenied, LoginFailed, LoginTimeout, TokenRefused, said
from .records import Registration, Tokens
from .registration import ClientProfile, Registrar, identity_of
from .scopes import fits, with_offline
from .storage import TokenStore
from .telling import LoginTeller, SentExchange
from .token_endpoint import TokenEndpoint, TokenReply

__all__ = ["AuthorizationCode", "tokens_of"]

_PATH: Final = "/callback"
_STRANGERS: Final = (
    5  # answers of other logins that are told of: whoever is on this machine can send any number
)


class AuthorizationCode:
    """The grant by which a person lets a client in. See `OAuth` for the arguments."""

    def __init__(
        self,
        profile: ClientProfile,
        person: Person,
        store: TokenStore,
        fetcher: Fetcher,
        *,
        server: str,
        redirect_uri: str | None,
        offline: bool,
        steps: LoginTeller | None = None,
    ) -> None:
        self._profile = profile
        self._person = person
        self._fetcher = fetcher
        self._steps = steps or LoginTeller()
        self._registrar = Registrar(profile, store, fetcher, self._steps)
        self._server = server
        self._redirect_uri = redirect_uri
        self._offline = offline
        self._nonces: dict[str, str] = {}

    @property
    def interactive(self) -> bool:
        """It waits for a person."""
        return True

    @property
    def nonces(self) -> dict[str, str]:
        """The nonces of DPoP, by origin."""
        return self._nonces

    @property
    def issuer(self) -> str | None:
        """The only issuer that the credentials are for, if they are for one."""
        return self._profile.issuer

    async def obtain(self, found: Discovered, scopes: Sequence[str], dpop: DPoPKey | None) -> Tokens:
        """Log somebody in. Raises `AuthorizationError` of many kinds, `FetchFailed` and `FetchRefused`."""
        wanted = (
            with_offline(tuple(scopes), found.server.scopes_supported) if self._offline else tuple(scopes)
        )
        if wanted != tuple(scopes):
            reason = f"{said(found.issuer)} lists offline_access, for refresh tokens"
            await self._steps.scoped(wanted, reason, "R2607-AUTH-087")
        await self._check_endpoints(found)
        try:
            return await self._log_in(found, wanted, dpop)
        except TokenRefused as problem:
            if (
                problem.error not in ("invalid_client", "unauthorized_client")
                or self._profile.client_id is not None
            ):
                raise
            if await self._registrar.kept(found.issuer) is None:
                raise
        await self._registrar.forget(found.issuer)
        return await self._log_in(found, wanted, dpop)

    async def renew(self, tokens: Tokens, server: AuthorizationServerMetadata) -> Tokens:
        """New tokens for a refresh token. Raises `TokenRefused`, `FetchFailed` and others."""
        identity = await self._known(server)
        if identity is None or identity.client_id != tokens.client_id or tokens.refresh_token is None:
            raise TokenRefused(
                "the client that the tokens belong to is not known any more", error="invalid_client"
            )
        key = DPoPKey(tokens.dpop_key) if tokens.dpop_key is not None else None
        endpoint = self._endpoint(server, identity, key)
        fields = {
            "grant_type": "refresh_token",
            "refresh_token": tokens.refresh_token,
            "resource": tokens.resource,
        }
        reply = await endpoint.request(fields)
        return tokens_of(reply, tokens, by="refresh")

    async def revoke(self, tokens: Tokens, server: AuthorizationServerMetadata) -> None:
        """End the tokens at the server, where there is an address for that. Raises `TokenRefused`, `FetchFailed` and
        others.

        Specification: RFC 7009 section 2.1.
        """
        url, identity = server.revocation_endpoint, await self._known(server)
        if url is None or identity is None or identity.client_id != tokens.client_id:
            return
        check_address(
            url, f"the revocation endpoint of {server.issuer}", loopback=self._fetcher.allow_loopback
        )
        endpoint = TokenEndpoint(self._fetcher, url, identity, issuer=server.issuer)
        if tokens.refresh_token is not None:  # with it goes all that came of it
            await endpoint.tell({"token": tokens.refresh_token, "token_type_hint": "refresh_token"})
        else:
            await endpoint.tell({"token": tokens.access_token, "token_type_hint": "access_token"})

    async def forget(self, issuer: str) -> None:
        """Forget the registration at an issuer."""
        await self._registrar.forget(issuer)

    async def _check_endpoints(self, found: Discovered) -> None:
        """See to it that a person can be sent there. Raises `DiscoveryFailed`."""
        try:
            check_endpoints(found.server, assumed=found.assumed, loopback=self._fetcher.allow_loopback)
        except DiscoveryFailed as problem:
            await self._steps.tell(
                "code-challenge", str(problem), "refused", requirement="R2607-AUTH-116", issuer=found.issuer
            )
            raise
        listed = "is taken for granted without metadata" if found.assumed else "is listed in its metadata"
        await self._steps.tell(
            "code-challenge",
            f"the code is bound to a verifier of ours by {pkce.METHOD}, which {listed}",
            requirement="R2607-AUTH-113",
            issuer=found.issuer,
            method=pkce.METHOD,
        )

    async def _known(self, server: AuthorizationServerMetadata) -> Identity | None:
        given = self._profile.given(server)
        if given is not None:
            return given
        kept = await self._registrar.kept(server.issuer)
        return None if kept is None else identity_of(kept)

    async def _log_in(self, found: Discovered, scopes: tuple[str, ...], dpop: DPoPKey | None) -> Tokens:
        async with AsyncExitStack() as stack:
            given = self._profile.given(found.server)
            kept = await self._registrar.kept(found.issuer) if given is None else None
            loopback, kept = await self._callback(stack, kept)
            redirect_uri = self._redirect_uri or loopback.redirect_uri
            if given is not None:
                identity = given
                await self._given(given)
            else:
                if kept is None or not _covers(kept, redirect_uri, scopes):
                    asked = tuple(
                        dict.fromkeys([*(kept.scopes if kept else ()), *(found.scopes or ()), *scopes])
                    )
                    asked = asked if fits(asked) else scopes
                    kept = await self._registrar.register(
                        found.server, redirect_uri, asked, dpop=dpop is not None
                    )
                else:
                    await self._registered_before(kept)
                redirect_uri = kept.redirect_uri
                identity = identity_of(kept)
            loopback.check(redirect_uri)
            attempt = Attempt(
                found.server,
                client_id=identity.client_id,
                redirect_uri=redirect_uri,
                resource=found.resource,
                scopes=scopes,
            )
            login = _Login(attempt)
            loopback.listen_for(login.take)
            reply = await self._ask(attempt, login, self._endpoint(found.server, identity, dpop))
        start = Tokens(
            issuer=found.issuer,
            client_id=identity.client_id,
            resource=found.resource,
            access_token="",
            login_id=secrets.token_urlsafe(12),
            requested=scopes,
            granted=scopes,
            legacy=found.legacy,
            dpop_key=dpop.export() if dpop is not None else None,
        )
        return tokens_of(reply, start, by="login")

    async def _callback(
        self, stack: AsyncExitStack, kept: Registration | None
    ) -> tuple[Loopback, Registration | None]:
        """The open callback server, and the registration if it can be kept: its port was free."""
        if self._redirect_uri is not None:
            parts = urlsplit(self._redirect_uri)
            if parts.scheme == "https":  # the browser ends up elsewhere, and its address is pasted
                return await stack.enter_async_context(Loopback()), kept
            location = parse_url(self._redirect_uri)
            name = f"[{location.host}]" if ":" in location.host else location.host
            loopback = Loopback(location.port, path=location.path or "/", name=name)
            return await stack.enter_async_context(loopback), kept
        if kept is not None and kept.redirect_uri:
            location = parse_url(kept.redirect_uri)
            try:
                wanted = Loopback(location.port, path=location.path, name=location.host)
                return await stack.enter_async_context(wanted), kept
            except (LoginFailed, ValueError):
                kept = None  # the port is taken: another one, and a registration for it
        return await stack.enter_async_context(Loopback(path=_PATH)), None

    async def _given(self, identity: Identity) -> None:
        document = identity.client_id == self._profile.document
        how = (
            "by the document that describes it, which such servers fetch" if document else "by what was given"
        )
        self._steps.learn(*identity.confidential)
        await self._steps.tell(
            "registration",
            f"{said(identity.issuer)} knows this client as {said(identity.client_id)}, {how}",
            requirement="R2607-AUTH-027" if document else "R2607-AUTH-028",
            client_id=identity.client_id,
            method=identity.method,
        )

    async def _registered_before(self, kept: Registration) -> None:
        self._steps.learn(kept.client_secret)
        await self._steps.tell(
            "registration",
            f"this client was registered at {said(kept.issuer)} before, as {said(kept.client_id)}, and that"
            " registration covers this login",
            requirement="R2607-AUTH-036",
            client_id=kept.client_id,
            method=kept.method,
            redirect_uri=kept.redirect_uri,
        )

    async def _ask(self, attempt: Attempt, login: _Login, endpoint: TokenEndpoint) -> TokenReply:
        url = attempt.url
        self._steps.learn(attempt.verifier)
        await self._steps.tell(
            "authorization",
            f"the person is sent to {said(attempt.issuer)}, to let {said(attempt.client_id)} use"
            f" {said(attempt.resource)}; the answer has to bring back our state",
            requirement="R2607-AUTH-060",
            asked=SentExchange("GET", url, sent=dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))),
            redirect_uri=attempt.redirect_uri,
        )
        exchange = asyncio.create_task(self._exchange(attempt, login, endpoint), name="dovetail-login")
        pasting: asyncio.Task[None] | None = None
        try:
            # A hook that opens addresses may follow them to the end: the answer can be here before it returns.
            opened = await self._person.send(url, server=self._server, issuer=attempt.issuer)
            pasting = asyncio.create_task(self._person.bring(url, login.take, opened=opened))
            pasting.add_done_callback(lambda _: login.heard.set())
            await self._answered(attempt, login, pasting)
            return await exchange
        finally:
            login.end(CallbackPage.FAILED)
            exchange.cancel()
            await asyncio.gather(exchange, return_exceptions=True)
            if pasting is not None:
                pasting.cancel()
                await asyncio.gather(pasting, return_exceptions=True)

    async def _exchange(self, attempt: Attempt, login: _Login, endpoint: TokenEndpoint) -> TokenReply:
        """Wait for the answer of the login, and exchange its code. Raises `LoginFailed`, `TokenRefused` and others."""
        answer = await login.answer
        try:
            code = await self._code(attempt, answer)
            reply = await endpoint.request(attempt.fields(code))
        except LoginDenied:
            login.end(CallbackPage.DENIED)
            raise
        except BaseException:
            login.end(CallbackPage.FAILED)
            raise
        login.end(CallbackPage.DONE)
        return reply

    async def _answered(self, attempt: Attempt, login: _Login, pasting: asyncio.Task[None]) -> None:
        """Wait until the answer is there. The time that the person has stands still while somebody is told."""
        try:
            async with deadline(self._person.timeout):
                while not login.answer.done():
                    await login.heard.wait()
                    login.heard.clear()
                    while login.strangers and not login.answer.done():
                        await self._stranger(login.strangers.popleft())
                    if pasting.done() and not login.answer.done():
                        pasting.result()
        except TimeoutError:
            raise LoginTimeout(
                f"nobody logged in at {attempt.issuer} within {self._person.timeout:g} s; the login was given up"
            ) from None

    async def _stranger(self, answer: dict[str, str]) -> None:
        await self._steps.tell(
            "redirect",
            "an answer came that does not bring back the state of this login; it is not used",
            "refused",
            requirement="R2607-AUTH-122",
            answer=answer,
        )

    async def _code(self, attempt: Attempt, answer: dict[str, str]) -> str:
        """The code in an answer. Raises `LoginFailed` and `LoginDenied`."""
        try:
            code = attempt.code(answer)
        except LoginFailed as problem:
            requirement = "" if isinstance(problem, LoginDenied) else "R2607-AUTH-063"
            await self._steps.tell(
                "redirect", str(problem), "refused", requirement=requirement, answer=answer
            )
            raise
        issuer = (
            "it names its issuer, exactly" if "iss" in answer else "its server announces no issuer in answers"
        )
        await self._steps.tell(
            "redirect",
            f"the answer brings back our state, for the first time; {issuer}; its code is exchanged now",
            requirement="R2607-AUTH-063",
            answer=answer,
        )
        return code

    def _endpoint(
        self, server: AuthorizationServerMetadata, identity: Identity, dpop: DPoPKey | None
    ) -> TokenEndpoint:
        return TokenEndpoint(
            self._fetcher,
            server.token_endpoint,
            identity,
            issuer=server.issuer,
            dpop=dpop,
            nonces=self._nonces,
            steps=self._steps,
        )


class _Login:
    """Takes the answers that come back, hands on the first that belongs here (``answer``), and says which page to show.
    ``strangers``: the first of those that belong elsewhere. ``heard``: set when there is something new.
    """

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._strange = 0
        loop = asyncio.get_running_loop()
        self._over: asyncio.Future[CallbackPage] = loop.create_future()
        self.answer: asyncio.Future[dict[str, str]] = loop.create_future()
        self.heard = asyncio.Event()
        self.strangers: deque[dict[str, str]] = deque()

    async def take(self, answer: dict[str, str]) -> CallbackPage:
        """What to show for an answer. The right one is used once; the same again gets the same page."""
        if not self._attempt.is_answer(answer):
            self._strange += 1
            if self._strange <= _STRANGERS:
                self.strangers.append(answer)
                self.heard.set()
            return CallbackPage.STRANGER
        if not self.answer.done() and not self._over.done():
            self.answer.set_result(answer)
            self.heard.set()
        await asyncio.wait([self._over])
        return self._over.result()

    def end(self, page: CallbackPage) -> None:
        """It is over, and this is the page of it; late answers get the same."""
        if not self._over.done():
            self._over.set_result(page)


def tokens_of(reply: TokenReply, before: Tokens, *, by: str) -> Tokens:
    """The tokens in a reply, with what stays of those before: the refresh token, unless there is a new one, and the
    scopes, unless the reply says otherwise.
    """
    now = time.time()
    kept: Mapping[str, Any] = {
        name: getattr(before, name)
        for name in ("issuer", "client_id", "resource", "login_id", "requested", "legacy", "dpop_key")
    }
    return Tokens(
        **kept,
        access_token=reply.access_token,
        token_type=reply.token_type,
        by=by,
        expires_at=None if reply.expires_in is None else now + reply.expires_in,
        obtained_at=now,
        login_at=now if by == "login" else before.login_at,
        refresh_token=reply.refresh_token or (before.refresh_token if by == "refresh" else None),
        granted=before.granted if reply.scopes is None else reply.scopes,
    )


def _covers(kept: Registration, redirect_uri: str, scopes: Sequence[str]) -> bool:
    """Whether a registration is good for a login."""
    same = urlsplit(kept.redirect_uri).port == urlsplit(redirect_uri).port
    return same and (not kept.scopes or set(scopes) <= set(kept.scopes))
