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
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final
from urllib.parse import urlsplit

from ...protocol.errors import DovetailError
from ...security.fetching import Fetcher, parse_url
from ..dpop import DPoPKey
from ..metadata import AuthorizationServerMetadata
from .authorization import Attempt, check_address, check_endpoints
from .callback import Loopback
from .discovery import Discovered
from .identity import Identity
from .pages import CallbackPage
from .person import Person
from .problems import LoginDenied, LoginFailed, LoginTimeout, TokenRefused
from .records import Registration, Tokens
from .registration import ClientProfile, Registrar, identity_of
from .scopes import with_offline
from .storage import TokenStore
from .token_endpoint import TokenEndpoint, TokenReply

__all__ = ["AuthorizationCode", "tokens_of"]

_PATH: Final = "/callback"


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
    ) -> None:
        self._profile = profile
        self._person = person
        self._fetcher = fetcher
        self._registrar = Registrar(profile, store, fetcher)
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
        check_endpoints(found.server, assumed=found.assumed, loopback=self._fetcher.allow_loopback)
        wanted = (
            with_offline(tuple(scopes), found.server.scopes_supported) if self._offline else tuple(scopes)
        )
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
            else:
                if kept is None or not _covers(kept, redirect_uri, scopes):
                    asked = tuple(
                        dict.fromkeys([*(kept.scopes if kept else ()), *(found.scopes or ()), *scopes])
                    )
                    kept = await self._registrar.register(
                        found.server, redirect_uri, asked, dpop=dpop is not None
                    )
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
            endpoint = self._endpoint(found.server, identity, dpop)
            login = _Login(attempt, endpoint)
            loopback.listen_for(login.take)
            reply = await self._ask(attempt, login)
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

    async def _ask(self, attempt: Attempt, login: _Login) -> TokenReply:
        url = attempt.url
        opened = await self._person.send(url, server=self._server, issuer=attempt.issuer)
        pasting = asyncio.create_task(self._person.bring(url, login.take, opened=opened))
        try:
            async with asyncio.timeout(self._person.timeout):
                await asyncio.wait({pasting, login.over}, return_when=asyncio.FIRST_COMPLETED)
                if pasting.done() and not login.over.done():
                    pasting.result()
                return await asyncio.shield(login.over)
        except TimeoutError:
            raise LoginTimeout(
                f"nobody logged in at {attempt.issuer} within {self._person.timeout:g} s; the login was given up"
            ) from None
        finally:
            pasting.cancel()
            await asyncio.gather(pasting, return_exceptions=True)
            login.stop()

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
        )


class _Login:
    """Takes the answers that come back, uses the first that belongs here, and says which page to show."""

    def __init__(self, attempt: Attempt, endpoint: TokenEndpoint) -> None:
        self._attempt = attempt
        self._endpoint = endpoint
        self._taken = False
        self.over: asyncio.Future[TokenReply] = asyncio.get_running_loop().create_future()

    async def take(self, answer: dict[str, str]) -> CallbackPage:
        """What to show for an answer. The right one is used once; the same again gets the same page."""
        if not self._attempt.is_answer(answer):
            return CallbackPage.STRANGER
        if not self._taken:
            self._taken = True
            try:
                code = self._attempt.code(answer)
                reply = await self._endpoint.request(self._attempt.fields(code))
            except DovetailError as problem:
                if not self.over.done():
                    self.over.set_exception(problem)
            except BaseException:
                self.over.cancel()
                raise
            else:
                if not self.over.done():
                    self.over.set_result(reply)
        await asyncio.wait([self.over])
        problem = None if self.over.cancelled() else self.over.exception()
        if isinstance(problem, LoginDenied):
            return CallbackPage.DENIED
        return CallbackPage.DONE if problem is None and not self.over.cancelled() else CallbackPage.FAILED

    def stop(self) -> None:
        """Nobody waits any more: late answers get the page of a failure."""
        if not self.over.done():
            self._taken = True
            self.over.cancel()


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
