"""What the endpoints of one server share, and the two questions that several of them ask.

Theory of operation. `Parts` is put together once, by `AuthServer`, and then only read. It also settles which resource
and which scopes a request gets: one resource, one that this server issues tokens for, and one that the client may have.

Specification: RFC 8707 section 2; RFC 6749 section 3.3.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from dovetail.auth.oauth import ProofChecker, canonical_resource
from dovetail.security import KeyRing, RateLimiter, parse_host
from dovetail.stores import KeyValue, Store

from .clients import Directory, OAuthClient
from .grants import Grants
from .key_store import KeyStore
from .login import Login
from .refusals import OAuthError, invalid_target
from .scopes import Scopes
from .settings import Bounds, Lifetimes
from .tokens import AccessTokens

__all__ = ["AttemptGate", "Guessed", "Storage", "Parts", "IssuerLocation", "ResourceHook", "Urls"]

ResourceHook = Callable[[str], bool | Awaitable[bool]]
#: What can be tried until it works: people's passwords, clients' secrets (and codes, and refresh tokens), initial
#: access tokens; and documents, which are no secret, but cost us a fetch.
Guessed = Literal["login", "secret", "registration", "document"]
SHARE: Final = 1 / 4
_MAX_RESOURCE: Final = 1024


@dataclass(frozen=True)
class Urls:
    """The endpoints, absolute."""

    authorize: str
    login: str
    consent: str
    token: str
    register: str
    revoke: str
    introspect: str
    jwks: str

    @classmethod
    def below(cls, issuer: str) -> Urls:
        """Those of an issuer."""
        names = ("authorize", "login", "consent", "token", "register", "revoke", "introspect", "jwks")
        return cls(*(f"{issuer}/{name}" for name in names))


@dataclass(frozen=True)
class IssuerLocation:
    """Where the server is: its issuer taken apart. `local`: on this machine."""

    issuer: str
    origin: str
    path: str
    port: int
    secure: bool
    local: bool
    urls: Urls

    @classmethod
    def of(cls, issuer: str) -> IssuerLocation:
        """The place of an issuer. Raises `ValueError` for what can't be one."""
        parts = urlsplit(issuer)
        authority = parse_host(parts.netloc)
        if authority is None or parts.query or parts.fragment or "?" in issuer or "#" in issuer:
            raise ValueError(
                f"{issuer!r} is no issuer: it is a URL with a host, perhaps a path, and nothing more."
            )
        if (
            issuer.endswith("/")
            or "//" in parts.path
            or issuer != f"{parts.scheme}://{parts.netloc.lower()}{parts.path}"
        ):
            raise ValueError(
                f"{issuer!r} is no issuer: write its host in lower case and no slash at the end."
            )
        if parts.scheme != "https" and not (parts.scheme == "http" and authority.is_loopback):
            raise ValueError(
                f"{issuer!r} is no issuer: it has to be https; plain http is for this machine only."
            )
        secure = parts.scheme == "https"
        return cls(
            issuer=issuer,
            origin=f"{parts.scheme}://{parts.netloc}",
            path=parts.path,
            port=authority.port or (443 if secure else 80),
            secure=secure,
            local=authority.is_loopback,
            urls=Urls.below(issuer),
        )


@dataclass(frozen=True)
class Storage:
    """What outlives a request, in the server's store."""

    key_store: KeyStore
    grants: Grants
    tokens: AccessTokens
    proofs: ProofChecker
    clients: KeyValue
    consents: KeyValue
    replays: KeyValue

    @classmethod
    def within(
        cls,
        store: Store,
        issuer: str,
        lifetimes: Lifetimes,
        *,
        key_ring: KeyRing | None,
        nonces: bool,
        clock: Callable[[], float],
    ) -> Storage:
        """Everything of the server with this issuer. Each kind has a share of its own: who fills one fills no other."""
        kv = store.kv.within("authserver/", share=SHARE)
        key_store = KeyStore(kv, lifetimes, key_ring=key_ring, clock=clock)
        return cls(
            key_store=key_store,
            grants=Grants(kv, lifetimes, clock=clock),
            tokens=AccessTokens(
                issuer, key_store, kv.within("revoked/", share=1 / 16), lifetimes, clock=clock
            ),
            proofs=ProofChecker(store, nonces=nonces, room=kv.within("dpop/", share=1 / 8), clock=clock),
            clients=kv.within("client/", share=1 / 4),
            consents=kv.within("consent/", share=1 / 16),
            replays=kv.within("replay/", share=1 / 16),
        )


class AttemptGate:
    """Slows down whoever keeps failing: after so many failures at one thing, an address has to wait for each further
    try at it. `what`: what is tried, so that a program that fails at the token endpoint keeps nobody from the login.
    """

    def __init__(self, bounds: Bounds, clock: Callable[[], float]) -> None:
        self._limiter = RateLimiter(1.0 / bounds.recovery, bounds.failures, clock=clock)
        self._shut: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._clock = clock

    def check(self, what: Guessed, remote: str) -> None:
        """Raises `OAuthError` (429) while the address has to wait."""
        wait = self._shut.get((what, remote), 0.0) - self._clock()
        if wait > 0:
            raise _too_many(wait)
        self._shut.pop((what, remote), None)

    def failed(self, what: Guessed, remote: str) -> None:
        """The address failed once more."""
        wait = self._limiter.take((what, remote))
        if wait > 0:
            self._shut[what, remote] = self._clock() + wait
            self._shut.move_to_end((what, remote))
            while len(self._shut) > 10_000:
                self._shut.popitem(last=False)

    def begin(self, what: Guessed, remote: str) -> None:
        """Count a try before it is known how it ends: of many at once, each would be the first. Raises `OAuthError`
        (429) for one too many.
        """
        wait = self._limiter.take((what, remote))
        if wait > 0:
            raise _too_many(wait)

    def succeeded(self, what: Guessed, remote: str) -> None:
        """The try that was begun was none to be counted."""
        self._limiter.give_back((what, remote))


def _too_many(wait: float) -> OAuthError:
    after = (("retry-after", str(int(wait) + 1)),)
    return OAuthError("temporarily_unavailable", "Too many failed tries; wait.", status=429, headers=after)


@dataclass(frozen=True)
class Parts:
    """Everything that the endpoints of one server work with."""

    place: IssuerLocation
    kept: Storage
    directory: Directory
    login: Login
    scopes: Scopes
    resources: Mapping[str, str]
    accepts_resource: ResourceHook | None
    gate: AttemptGate
    lifetimes: Lifetimes
    bounds: Bounds
    remember_consent: float
    require_dpop: bool
    clock: Callable[[], float]

    async def resource(self, client: OAuthClient, asked: Sequence[str], granted: str = "") -> str:
        """The one resource that a token will be for, spelled as configured; `granted`: what was granted before.

        Raises `OAuthError` (``invalid_target``).
        """
        if len(asked) > 1:
            raise invalid_target("Ask for one resource at a time.")
        if not asked:
            if granted:
                return granted
            if len(self.resources) != 1:
                raise invalid_target("Say for which resource, with the parameter resource.")
            found = next(iter(self.resources.values()))
        else:
            found = await self._named(asked[0])
        if granted and found != granted:
            raise invalid_target("This was granted for another resource.")
        if client.resources is not None and _canonical(found) not in [
            _canonical(each) for each in client.resources
        ]:
            raise invalid_target("This client may not have tokens for this resource.")
        return found

    async def _named(self, asked: str) -> str:
        name = _canonical(asked) if len(asked) <= _MAX_RESOURCE else None
        if name is None:
            raise invalid_target("resource is an absolute https URL without a fragment.")
        if name in self.resources:
            return self.resources[name]
        if self.accepts_resource is not None:
            judged = self.accepts_resource(name)
            if await judged if inspect.isawaitable(judged) else judged:
                return name
        raise invalid_target("No tokens are issued here for this resource.")

    def scopes_for(self, client: OAuthClient, asked: str | None) -> tuple[str, ...]:
        """The scopes of a request, all of which the client may have. Raises `OAuthError` (``invalid_scope``)."""
        scopes = self.scopes.asked(asked)
        if asked is None:
            return self.scopes.within(scopes, client.scopes)
        if client.scopes is not None and not self.scopes.covers((*client.scopes, "offline_access"), scopes):
            raise OAuthError("invalid_scope", "This client may not have all of these scopes.")
        return scopes


def _canonical(url: str) -> str | None:
    try:
        return canonical_resource(url)
    except ValueError:
        return None
