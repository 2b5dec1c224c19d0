"""Grants without a person: client credentials, enterprise-managed authorization, workload identity.

Theory of operation. Each is bound to one issuer from the start, because its credentials would be sent to whoever a
server names; a server that names another gets nothing. Renewing means asking again from the beginning: these grants
need nobody, so refresh tokens add nothing but another secret. What a token endpoint refuses is not tried in another
way.

* Client credentials: the client's own secret or key.
* Enterprise-managed: the company's identity provider exchanges the person's identity token for an assertion meant for
  this one authorization server and this one resource; that is then exchanged for an access token.
* Workload identity: a token that the platform gives the workload is the assertion itself.

Specification: the extensions oauth-client-credentials, enterprise-managed-authorization (sections 4 and 5) and
auth/wif; RFC 6749 section 4.4, RFC 7523 section 2.1, RFC 8693; RFC 8707.
"""

from __future__ import annotations

import inspect
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct

from ...security.fetching import Fetcher
from ..dpop import DPoPKey
from ..metadata import AuthorizationServerMetadata
from .authorization import check_address
from .discovery import Discovered, discover_server
from .identity import NONE, Identity
from .interactive import tokens_of
from .problems import AuthorizationError, DiscoveryFailed, TokenRefused, said
from .records import Tokens
from .registration import ClientProfile
from .telling import LoginTeller
from .token_endpoint import TokenEndpoint

__all__ = ["AssertionGrant", "ClientCredentialsGrant", "EnterpriseExchange", "TokenSource", "value_of"]

JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a public name
ID_JAG: Final = "urn:ietf:params:oauth:token-type:id-jag"
ID_TOKEN: Final = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - a public name
SAML2: Final = "urn:ietf:params:oauth:token-type:saml2"
_MAX_SECRET: Final = 64 * 1024

#: A credential, or a function (plain or async) that gives the one that is good now.
TokenSource = str | Callable[[], Any]


async def value_of(secret: TokenSource, what: str) -> str:
    """The credential itself. Raises `AuthorizationError` if there is none."""
    found: Any = secret() if callable(secret) else secret
    if inspect.isawaitable(found):
        found = await found
    if not isinstance(found, str) or not found.strip() or len(found) > _MAX_SECRET or not found.isascii():
        raise AuthorizationError(f"{what} was not given as a text of ASCII characters")
    return found.strip()


class _Machine(ABC):
    """What the grants have in common: one issuer, no person, and renewal from the beginning."""

    def __init__(self, profile: ClientProfile, fetcher: Fetcher, steps: LoginTeller | None = None) -> None:
        self._profile = profile
        self._fetcher = fetcher
        self._steps = steps or LoginTeller()
        self._nonces: dict[str, str] = {}

    @property
    def interactive(self) -> bool:
        """It never waits for a person."""
        return False

    @property
    def nonces(self) -> dict[str, str]:
        """The nonces of DPoP, by origin."""
        return self._nonces

    @property
    def issuer(self) -> str | None:
        """The only issuer that the credentials are for."""
        return self._profile.issuer

    @abstractmethod
    async def fields(self, issuer: str, resource: str, scopes: Sequence[str]) -> dict[str, str]:
        """The token request, apart from the resource and the scopes."""

    async def obtain(self, found: Discovered, scopes: Sequence[str], dpop: DPoPKey | None) -> Tokens:
        """A token for what discovery found. Raises `TokenRefused` and others."""
        start = Tokens(
            issuer=found.issuer,
            client_id=self._profile.client_id or "",
            resource=found.resource,
            access_token="",
            login_id=secrets.token_urlsafe(12),
            requested=tuple(scopes),
            granted=tuple(scopes),
            dpop_key=dpop.export() if dpop is not None else None,
        )
        return await self._request(start, found.server, by="login")

    async def renew(self, tokens: Tokens, server: AuthorizationServerMetadata) -> Tokens:
        """The same again."""
        return await self._request(tokens, server, by="refresh")

    async def revoke(self, tokens: Tokens, server: AuthorizationServerMetadata) -> None:  # noqa: B027 - it does nothing
        """Nothing: the tokens are short-lived, and with the credentials new ones are had at once."""

    async def _request(self, start: Tokens, server: AuthorizationServerMetadata, *, by: str) -> Tokens:
        identity = self._profile.given(server)
        if identity is None or server.token_endpoint is None:
            raise DiscoveryFailed(f"{server.issuer} has no token endpoint")
        self._steps.learn(*identity.confidential)
        if by == "login":
            await self._steps.tell(
                "registration",
                f"{said(server.issuer)} knows this client as {said(identity.client_id)}, which was given",
                requirement="R2607-AUTH-028",
                client_id=identity.client_id,
                method=identity.method,
            )
        check_address(
            server.token_endpoint,
            f"the token endpoint of {server.issuer}",
            loopback=self._fetcher.allow_loopback,
        )
        key = DPoPKey(start.dpop_key) if start.dpop_key is not None else None
        endpoint = TokenEndpoint(
            self._fetcher,
            server.token_endpoint,
            identity,
            issuer=server.issuer,
            dpop=key,
            nonces=self._nonces,
            steps=self._steps,
        )
        fields = {
            **await self.fields(server.issuer, start.resource, start.requested),
            "resource": start.resource,
        }
        if start.requested:
            fields["scope"] = " ".join(start.requested)
        return tokens_of(await endpoint.request(fields), start, by=by)


class ClientCredentialsGrant(_Machine):
    """The client's own credentials."""

    async def fields(self, issuer: str, resource: str, scopes: Sequence[str]) -> dict[str, str]:
        """The token request."""
        return {"grant_type": "client_credentials"}


class AssertionGrant(_Machine):
    """An assertion that the caller has or gets."""

    def __init__(
        self,
        profile: ClientProfile,
        fetcher: Fetcher,
        *,
        assertion: TokenSource,
        steps: LoginTeller | None = None,
    ) -> None:
        super().__init__(profile, fetcher, steps)
        self._assertion = assertion

    async def fields(self, issuer: str, resource: str, scopes: Sequence[str]) -> dict[str, str]:
        """The token request."""
        return {
            "grant_type": JWT_BEARER,
            "assertion": await value_of(self._assertion, "the workload's token"),
        }


class IdentityProvider(Struct, frozen=True):
    """A company's identity provider, and who we are there. Without its token endpoint it is asked for that."""

    issuer: str
    client_id: str
    client_secret: str | None
    token_endpoint: str | None

    def __repr__(self) -> str:
        return f"IdentityProvider({self.issuer!r}, {self.client_id!r})"


class SubjectToken(Struct, frozen=True):
    """What says who the person is, or gives it; and its type, a URN."""

    token: TokenSource
    type: str

    def __repr__(self) -> str:
        return f"SubjectToken(type={self.type!r})"


class EnterpriseExchange(_Machine):
    """An assertion from the company's identity provider, for the identity token of a person. Raises ValueError for a
    token of another type than `ID_TOKEN` and `SAML2`.
    """

    def __init__(
        self,
        profile: ClientProfile,
        fetcher: Fetcher,
        idp: IdentityProvider,
        subject: SubjectToken,
        steps: LoginTeller | None = None,
    ) -> None:
        super().__init__(profile, fetcher, steps)
        if subject.type not in (ID_TOKEN, SAML2):
            raise ValueError(f"subject_token_type is {ID_TOKEN} or {SAML2}")
        self._idp = idp
        self._subject = subject

    async def fields(self, issuer: str, resource: str, scopes: Sequence[str]) -> dict[str, str]:
        """The token request, with an assertion made for it."""
        return {"grant_type": JWT_BEARER, "assertion": await self._assertion(issuer, resource, scopes)}

    async def _assertion(self, issuer: str, resource: str, scopes: Sequence[str]) -> str:
        idp = self._idp
        endpoint = idp.token_endpoint
        if endpoint is None:
            endpoint = (await discover_server(self._fetcher, idp.issuer, steps=self._steps)).token_endpoint
        check_address(
            endpoint or "", f"the token endpoint of {idp.issuer}", loopback=self._fetcher.allow_loopback
        )
        method = NONE if idp.client_secret is None else "client_secret_basic"
        identity = Identity(idp.issuer, idp.client_id, method=method, secret=idp.client_secret)
        fields = {
            "grant_type": TOKEN_EXCHANGE,
            "requested_token_type": ID_JAG,
            "audience": issuer,
            "resource": resource,
            "subject_token": await value_of(self._subject.token, "the person's identity token"),
            "subject_token_type": self._subject.type,
        }
        if scopes:
            fields["scope"] = " ".join(scopes)
        exchange = TokenEndpoint(self._fetcher, endpoint, identity, issuer=idp.issuer, steps=self._steps)
        reply = await exchange.request(fields, bearer_only=True)
        if reply.issued_type != ID_JAG:
            raise TokenRefused(f"{idp.issuer} gave something else than the assertion it was asked for")
        return reply.access_token
