"""How an app is protected: which resource it is, who issues tokens for it, and what it takes to come in.

Theory of operation. `Protected` is a setting, made once and read-only: it can be given to several apps, and each
endpoint gets a gatekeeper of its own from it. There is no protection without the name of the resource, for without it
nobody could say which tokens are for this server.

Specification: basic/authorization; RFC 9728, section 2.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from ...protocol.bindings.origins import is_local_name
from ...security.authenticator import Gatekeeper
from ...security.fetching import Fetcher
from ...security.key_ring import KeyRing
from ...stores.contracts import Store
from ..dpop import DPOP_ALGORITHMS, ProofChecker
from ..metadata import ProtectedResourceMetadata
from ..resources import canonical_resource
from .gatekeeper import DPoPUse, GatekeeperRules, TokenGatekeeper
from .verdicts import CheckContext, TokenCheck

__all__ = ["Protected"]

_SCOPE: Final = re.compile(r"[!#-\[\]-~]{1,256}")
_OFFLINE: Final = "offline_access"


class Protected:
    """A protected resource: ``App(auth=Protected(url, jwt(issuer)))``.

    ``resource``: the URL by which clients reach the endpoint, path and all; tokens must be for it. ``checks``: how the
    tokens of each issuer are checked (`jwt`, `introspection`, or one of `dovetail.auth.providers`).

    ``scopes``: what every request needs; ``scopes_supported``: what clients are told to ask for to begin with
    (default: ``scopes``). ``implies``: scopes that contain others, ``{"notes:write": ["notes:read"]}``. ``dpop``:
    whether tokens that are bound to a key are "accepted" (as bearer tokens are), "required", or "refused";
    ``dpop_nonces``: demand a fresh nonce in their proofs; ``dpop_once_per_worker``: serve with several workers that
    share no store all the same, where a proof can be used once at each of them. ``name`` and ``documentation`` (a URL)
    are for people.
    ``metadata_url``: where clients find the resource's metadata, if not at the well-known place. ``leeway``: seconds
    that clocks may be apart. ``allow_private``: issuers may have private addresses. Loopback ones may be used when
    the resource is on this machine itself.

    Raises ValueError for what can't protect anything.
    """

    def __init__(
        self,
        resource: str,
        *checks: TokenCheck,
        scopes: Sequence[str] = (),
        scopes_supported: Sequence[str] | None = None,
        implies: Mapping[str, Sequence[str]] | None = None,
        dpop: DPoPUse = "accepted",
        dpop_nonces: bool = False,
        dpop_once_per_worker: bool = False,
        name: str | None = None,
        documentation: str | None = None,
        metadata_url: str | None = None,
        leeway: float = 30.0,
        allow_private: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.resource = canonical_resource(resource)
        self._host = urlsplit(self.resource).hostname or ""
        self._local = is_local_name(self._host)
        if not self.resource.startswith("https://") and not self._local:
            raise ValueError(f"the resource {self.resource} must have https: tokens would travel in the open")
        if not checks:
            raise ValueError("say how tokens are checked: Protected(resource, jwt(issuer)), for one")
        self._checks = checks
        self._check_issuers()
        self.scopes = _checked(scopes)
        self._supported = self.scopes if scopes_supported is None else _checked(scopes_supported)
        self._implied = _closure({scope: _checked(others) for scope, others in (implies or {}).items()})
        if dpop not in ("accepted", "required", "refused"):
            raise ValueError(f"dpop is {dpop!r}; it is 'accepted', 'required' or 'refused'")
        if not 0 <= leeway <= 300:
            raise ValueError("the leeway for clocks is 0 to 300 seconds")
        self._dpop: DPoPUse = dpop
        self._nonces = dpop_nonces
        self._once_per_worker = dpop_once_per_worker
        self._metadata_url = None if metadata_url is None else canonical_resource(metadata_url)
        self._leeway = leeway
        self._allow_private = allow_private
        self._clock = clock
        self._document = self._describe(name, documentation)

    @property
    def hosts(self) -> tuple[str, ...]:
        """See `Protection`."""
        return (f"[{self._host}]" if ":" in self._host else self._host,)

    @property
    def shares_proofs(self) -> bool:
        """See `Protection`."""
        return self._dpop != "refused" and not self._once_per_worker

    @property
    def metadata(self) -> bytes:
        """The document that describes the resource (RFC 9728), for whoever serves it at the root of a host."""
        return self._document

    def gate(self, *, path: str, store: Store, keys: KeyRing | None = None) -> Gatekeeper:
        """See `Protection`."""
        surroundings = CheckContext(
            resource=self.resource,
            fetcher=self._fetcher,
            expand=self._expand,
            leeway=self._leeway,
            clock=self._clock,
        )
        rules = GatekeeperRules(
            resource=self.resource,
            path=path,
            scopes=self.scopes,
            document=self._document,
            metadata_url=self._metadata_url,
            dpop=self._dpop,
            checkers=tuple((check, check.checker(surroundings)) for check in self._checks),
            clock=self._clock,
        )
        return TokenGatekeeper(rules, ProofChecker(store, nonces=self._nonces, keys=keys, clock=self._clock))

    def __repr__(self) -> str:
        return f"Protected({self.resource!r}, issuers={[check.issuer for check in self._checks]!r})"

    def _fetcher(self) -> Fetcher:
        return Fetcher(allow_loopback=self._local, allow_private=self._allow_private)

    def _expand(self, scopes: frozenset[str]) -> frozenset[str]:
        """The scopes and all that they imply."""
        if not self._implied or scopes.isdisjoint(self._implied):
            return scopes
        return scopes.union(*(self._implied.get(scope, ()) for scope in scopes))

    def _check_issuers(self) -> None:
        issuers = [check.issuer for check in self._checks]
        if len(set(issuers)) != len(issuers):
            raise ValueError("an issuer is given twice; which check should its tokens have?")
        if sum(check.opaque for check in self._checks) > 1:
            raise ValueError(
                "only one check can be for tokens that name no issuer: give one introspection at most"
            )
        for issuer in issuers:
            if not issuer.startswith("https://") and not (
                self._local and is_local_name(urlsplit(issuer).hostname or "")
            ):
                raise ValueError(f"the issuer {issuer} must have https (http is for this machine alone)")

    def _describe(self, name: str | None, documentation: str | None) -> bytes:
        bound = self._dpop != "refused"
        return msgspec.json.encode(
            ProtectedResourceMetadata(
                resource=self.resource,
                authorization_servers=[check.issuer for check in self._checks],
                scopes_supported=list(self._supported) or None,
                bearer_methods_supported=["header"],
                resource_name=name,
                resource_documentation=None if documentation is None else canonical_resource(documentation),
                dpop_signing_alg_values_supported=list(DPOP_ALGORITHMS) if bound else None,
                dpop_bound_access_tokens_required=True if self._dpop == "required" else None,
            )
        )


def _checked(scopes: Sequence[str]) -> tuple[str, ...]:
    """Scopes that a challenge can name. Raises ValueError."""
    if isinstance(scopes, str):
        raise ValueError(f"scopes are a list of texts: [{scopes!r}]")
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            raise ValueError(
                f"{scope!r} is no scope: one word of visible ASCII without quotes and backslashes"
            )
        if scope == _OFFLINE:
            raise ValueError(
                f"{_OFFLINE} is between the client and its authorization server; no resource needs it"
            )
    return tuple(dict.fromkeys(scopes))


def _closure(implied: Mapping[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    """All that each scope implies, at any remove."""
    found: dict[str, frozenset[str]] = {}
    for scope in implied:
        reached: set[str] = set()
        waiting = list(implied[scope])
        while waiting:
            if (each := waiting.pop()) not in reached:
                reached.add(each)
                waiting.extend(implied.get(each, ()))
        found[scope] = frozenset(reached)
    return found
