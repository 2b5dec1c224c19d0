"""What ``auth=`` of a client can be given.

Theory of operation. Each class here holds settings and makes, for one server, the `ClientAuth` that follows from them;
one value may serve many clients. Everything that needs a decision has a safe default, and every loosening has a name.

Specification: basic/authorization; the extensions oauth-client-credentials, enterprise-managed-authorization,
auth/dpop and auth/wif.
"""

from __future__ import annotations

import ssl as tls
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, Final, Self, TypedDict, Unpack

from ...protocol.errors import LocalProtocolError
from ...security.egress_proxy import EgressProxy
from ...security.fetching import Fetcher, FetchRefused, parse_url
from .. import extension_names
from .bearer import check_transport
from .credentials import OAuthCredentials, TokenGrant, TokenPolicy
from .discovery import Discovered, discover
from .identity import SigningKey
from .interactive import AuthorizationCode
from .machine import (
    ID_TOKEN,
    AssertionGrant,
    ClientCredentialsGrant,
    EnterpriseExchange,
    IdentityProvider,
    SubjectToken,
    TokenSource,
)
from .person import Person
from .registration import ClientProfile
from .storage import FileTokens, MemoryTokens, TokenStore
from .telling import LoginStepHandler, LoginTeller

__all__ = [
    "ClientCredentials",
    "EnterpriseManaged",
    "LoginOptions",
    "OAuth",
    "WorkloadIdentity",
    "discover_login",
]

PrivateKey = str | bytes | Mapping[str, Any] | SigningKey
_NAME: Final = "Dovetail"


class LoginOptions(TypedDict, total=False):
    """What all of them can be told, each by its keyword; all are optional.

    ``scopes``: asked for besides those that the server demands. ``tokens``: where tokens are kept. ``dpop``: True binds
    tokens to a key (an extension), False never does, None does where the server demands it. ``allow_private``:
    authorization servers in private networks too; on this machine they are allowed if the MCP server is there itself.
    ``accept_parent_resource``: also log in where the metadata of the server name something above it on its host (RFC
    9728, section 3.3, forbids that; the tokens are then for all of it). ``ssl``: a context for the requests to
    authorization servers. ``fetch_timeout``: seconds for each of these (10). ``proxy``: the http or https URL of a
    proxy that they go through (never one of the environment); it resolves their names, so it has to judge where these
    lead. ``on_step``: called with each `LoginStep` when it has happened, and awaited, if that can be, before the next
    one begins: the login and all deadlines of calls stand still so long. A `LoginFailed` that it raises ends the login;
    of anything else one is made.
    """

    scopes: Sequence[str]
    tokens: TokenStore | None
    dpop: bool | None
    allow_private: bool
    accept_parent_resource: bool
    ssl: tls.SSLContext | None
    fetch_timeout: float
    proxy: str | None
    on_step: LoginStepHandler | None


class _Setting(ABC):
    """What all of them have in common, with the defaults of their `LoginOptions`."""

    _extension: str | None = None

    def __init__(self, **options: Unpack[LoginOptions]) -> None:
        for name in options.keys() - LoginOptions.__annotations__.keys():
            raise TypeError(f"{type(self).__name__} has no option {name!r}")
        scopes = options.get("scopes", ())
        if isinstance(scopes, str):
            scopes = scopes.split()
        self._scopes = tuple(scopes)
        self._tokens = options.get("tokens")
        self._dpop = options.get("dpop")
        self._allow_private = options.get("allow_private", False)
        self._parents = options.get("accept_parent_resource", False)
        self._ssl = options.get("ssl")
        self._fetch_timeout = options.get("fetch_timeout", 10.0)
        self._proxy = options.get("proxy")
        if self._proxy is not None:
            EgressProxy(self._proxy)
        self._on_step = options.get("on_step")

    def client_auth(self, url: str, *, approve: Callable[..., Any] | None = None) -> OAuthCredentials:
        """The `ClientAuth` for the server at ``url``. ``approve``: shown the login address before it is opened.

        Raises `LocalProtocolError` for a server that credentials can't be sent to.
        """
        check_transport(url)
        fetcher = Fetcher(
            allow_loopback=_is_local(url),
            allow_private=self._allow_private,
            timeout=self._fetch_timeout,
            ssl=self._ssl,
            proxy=self._proxy,
        )
        store = self._store()
        steps = LoginTeller(self._on_step)
        return OAuthCredentials(
            url,
            self._grant(url, store, fetcher, approve, steps),
            store,
            fetcher,
            TokenPolicy(
                name=self._identity(),
                scopes=self._scopes,
                dpop=self._dpop,
                parents=self._parents,
                extensions=self.extensions,
            ),
            steps=steps,
        )

    def with_tokens(self, tokens: TokenStore) -> Self:
        """The same, with tokens kept there, unless it was told another place (``tokens``) or has used its own."""
        if self._tokens is not None:
            return self
        found = copy(self)
        found._tokens = tokens
        return found

    @property
    def extensions(self) -> dict[str, dict[str, Any]]:
        """The extensions of the protocol that this is, by identifier: a client declares them."""
        used = (self._extension, extension_names.DPOP if self._dpop else None)
        return {name: {} for name in used if name is not None}

    def _store(self) -> TokenStore:
        if self._tokens is None:
            self._tokens = MemoryTokens()
        return self._tokens

    @abstractmethod
    def _identity(self) -> str:
        """What tells these credentials from others in the same store."""

    @abstractmethod
    def _grant(
        self,
        url: str,
        store: TokenStore,
        fetcher: Fetcher,
        approve: Callable[..., Any] | None,
        steps: LoginTeller,
    ) -> TokenGrant:
        """The way to get tokens for the server at ``url``."""


class OAuth(_Setting):
    """``auth=OAuth()``: a person logs in, in a browser, when the server first asks for it.

    Nothing has to be given: the client registers by itself. With an identity from beforehand: ``client_id`` and the
    ``issuer`` that knows it, and a ``client_secret`` or ``private_key`` (PEM or JWK) if it has one; these are sent to
    that issuer only. ``client_metadata_url``: an https address of a document that describes the client, used where the
    authorization server takes such.

    ``redirect_uri``: where the browser comes back to, if that is registered by hand; by default a free port on this
    machine. ``approve``: asked with a `LoginVisit` before the person is sent off; False or None to stay away, "done"
    where it has opened the address itself.
    ``open_browser``: opens an address, False if it can't. ``announce``: told of the address, to show it. ``paste``:
    given the address, asks for the one that the person ended up at. All may be plain functions, which run in a thread,
    or async. ``timeout``: seconds for a person to log in (300). ``offline_access``: ask for a refresh token where that
    needs asking. ``tokens``: `FileTokens()` by default, so a login outlives the program.

    Raises ValueError for settings that make no sense together.
    """

    def __init__(
        self,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        private_key: PrivateKey | None = None,
        issuer: str | None = None,
        auth_method: str | None = None,
        client_metadata_url: str | None = None,
        client_name: str = _NAME,
        client_uri: str | None = None,
        redirect_uri: str | None = None,
        open_browser: Callable[..., Any] | None = None,
        paste: Callable[..., Any] | None = None,
        announce: Callable[..., Any] | None = None,
        approve: Callable[..., Any] | None = None,
        timeout: float = 300.0,
        offline_access: bool = True,
        **options: Unpack[LoginOptions],
    ) -> None:
        super().__init__(**options)
        self._profile = ClientProfile(
            name=client_name,
            uri=client_uri,
            client_id=client_id,
            secret=client_secret,
            key=_key(private_key),
            method=auth_method,
            issuer=issuer,
            document=client_metadata_url,
        )
        if redirect_uri is not None:
            _check_redirect(redirect_uri)
        if not timeout > 0:
            raise ValueError("timeout is a number of seconds above zero")
        self._redirect_uri = redirect_uri
        self._person = Person(
            approve=approve, open_browser=open_browser, paste=paste, announce=announce, timeout=timeout
        )
        self._offline = offline_access

    def metadata_document(self) -> dict[str, Any]:
        """What has to stand, as JSON, at ``client_metadata_url``. Raises ValueError without one.

        Specification: OAuth Client ID Metadata Document, section 4.
        """
        return self._profile.described(self._redirect_uri)

    def _store(self) -> TokenStore:
        return self._tokens or FileTokens()

    def _identity(self) -> str:
        return f"person {self._profile.issuer} {self._profile.client_id or self._profile.document}"

    def _grant(
        self,
        url: str,
        store: TokenStore,
        fetcher: Fetcher,
        approve: Callable[..., Any] | None,
        steps: LoginTeller,
    ) -> TokenGrant:
        return AuthorizationCode(
            self._profile,
            self._person.asked_by(approve),
            store,
            fetcher,
            server=url.partition("?")[0],
            redirect_uri=self._redirect_uri,
            offline=self._offline,
            steps=steps,
        )

    def __repr__(self) -> str:
        return f"OAuth(client_id={self._profile.client_id!r}, issuer={self._profile.issuer!r})"


class ClientCredentials(_Setting):
    """``auth=ClientCredentials(...)``: a program is let in for itself, with a secret or, better, a ``private_key``
    (PEM, JWK or `SigningKey`).

    ``issuer`` is the authorization server that knows it; the credentials are sent nowhere else. Raises ValueError
    unless there is exactly one of ``client_secret`` and ``private_key``.
    """

    _extension = extension_names.CLIENT_CREDENTIALS

    def __init__(
        self,
        client_id: str,
        *,
        issuer: str,
        client_secret: str | None = None,
        private_key: PrivateKey | None = None,
        auth_method: str | None = None,
        **options: Unpack[LoginOptions],
    ) -> None:
        super().__init__(**options)
        if (client_secret is None) == (private_key is None):
            raise ValueError(
                "a program proves who it is by a client_secret or a private_key: give one of them"
            )
        self._profile = _profile(client_id, issuer, client_secret, private_key, auth_method)

    def _identity(self) -> str:
        return f"client_credentials {self._profile.issuer} {self._profile.client_id}"

    def _grant(
        self,
        url: str,
        store: TokenStore,
        fetcher: Fetcher,
        approve: Callable[..., Any] | None,
        steps: LoginTeller,
    ) -> TokenGrant:
        return ClientCredentialsGrant(self._profile, fetcher, steps)

    def __repr__(self) -> str:
        return f"ClientCredentials({self._profile.client_id!r}, issuer={self._profile.issuer!r})"


class WorkloadIdentity(_Setting):
    """``auth=WorkloadIdentity(...)``: a workload is let in by the token that its platform gives it.

    ``assertion``: the token, or a function (plain or async) that gives the one that is good now. ``issuer``: the
    authorization server that takes it; it is sent nowhere else.
    """

    _extension = extension_names.WORKLOAD_IDENTITY

    def __init__(
        self,
        client_id: str,
        *,
        issuer: str,
        assertion: TokenSource,
        **options: Unpack[LoginOptions],
    ) -> None:
        super().__init__(**options)
        self._profile = _profile(client_id, issuer, None, None, None)
        self._assertion = assertion

    def _identity(self) -> str:
        return f"workload {self._profile.issuer} {self._profile.client_id}"

    def _grant(
        self,
        url: str,
        store: TokenStore,
        fetcher: Fetcher,
        approve: Callable[..., Any] | None,
        steps: LoginTeller,
    ) -> TokenGrant:
        return AssertionGrant(self._profile, fetcher, assertion=self._assertion, steps=steps)

    def __repr__(self) -> str:
        return f"WorkloadIdentity({self._profile.client_id!r}, issuer={self._profile.issuer!r})"


class EnterpriseManaged(_Setting):
    """``auth=EnterpriseManaged(...)``: a person is let in by their company's identity provider, without being asked.

    ``client_id``, ``client_secret`` or ``private_key``, ``issuer``: at the MCP server's authorization server.
    ``idp_issuer``, ``idp_client_id``, ``idp_client_secret``: at the identity provider; ``idp_token_endpoint`` if it is
    not to be looked up. ``subject_token``: the person's identity token, or a function that gives it;
    ``subject_token_type``: an OpenID Connect one by default.
    """

    _extension = extension_names.ENTERPRISE_MANAGED

    def __init__(
        self,
        client_id: str,
        *,
        issuer: str,
        idp_issuer: str,
        idp_client_id: str,
        subject_token: TokenSource,
        subject_token_type: str = ID_TOKEN,
        client_secret: str | None = None,
        private_key: PrivateKey | None = None,
        auth_method: str | None = None,
        idp_token_endpoint: str | None = None,
        idp_client_secret: str | None = None,
        **options: Unpack[LoginOptions],
    ) -> None:
        super().__init__(**options)
        self._profile = _profile(client_id, issuer, client_secret, private_key, auth_method)
        self._idp = IdentityProvider(idp_issuer, idp_client_id, idp_client_secret, idp_token_endpoint)
        self._subject = SubjectToken(subject_token, subject_token_type)

    def _identity(self) -> str:
        return f"enterprise {self._profile.issuer} {self._profile.client_id} {self._idp.issuer}"

    def _grant(
        self,
        url: str,
        store: TokenStore,
        fetcher: Fetcher,
        approve: Callable[..., Any] | None,
        steps: LoginTeller,
    ) -> TokenGrant:
        return EnterpriseExchange(self._profile, fetcher, self._idp, self._subject, steps)

    def __repr__(self) -> str:
        return f"EnterpriseManaged({self._profile.client_id!r}, issuer={self._profile.issuer!r})"


async def discover_login(
    url: str,
    *,
    allow_private: bool = False,
    accept_parent_resource: bool = False,
    ssl: tls.SSLContext | None = None,
    proxy: str | None = None,
    on_step: LoginStepHandler | None = None,
) -> Discovered:
    """Who gives out the tokens of the MCP server at ``url``, as it says itself. Only public documents are fetched.
    ``accept_parent_resource``, ``proxy``, ``on_step``: see `LoginOptions`.

    Raises `DiscoveryFailed`, `FetchFailed` and `FetchRefused`.
    """
    fetcher = Fetcher(allow_loopback=_is_local(url), allow_private=allow_private, ssl=ssl, proxy=proxy)
    try:
        return await discover(fetcher, url, parents=accept_parent_resource, steps=LoginTeller(on_step))
    finally:
        await fetcher.close()


def _profile(
    client_id: str, issuer: str, secret: str | None, key: PrivateKey | None, method: str | None
) -> ClientProfile:
    return ClientProfile(
        name=_NAME, client_id=client_id, issuer=issuer, secret=secret, key=_key(key), method=method
    )


def _key(given: PrivateKey | None) -> SigningKey | None:
    return given if given is None or isinstance(given, SigningKey) else SigningKey(given)


def _is_local(url: str) -> bool:
    try:
        return parse_url(url).is_local_name
    except FetchRefused as problem:
        raise LocalProtocolError(str(problem)) from None


def _check_redirect(url: str) -> None:
    """A redirect address is on this machine, or https."""
    try:
        location = parse_url(url)
    except FetchRefused as problem:
        raise ValueError(f"redirect_uri: {problem}") from None
    if "#" in url or (location.scheme == "http" and not location.is_local_name):
        raise ValueError("redirect_uri is on this machine (http://127.0.0.1:PORT/PATH), or https")
