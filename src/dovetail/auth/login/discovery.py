"""Who gives out the tokens of an MCP server: the resource first, then its authorization server.

Theory of operation. The resource's metadata stands where the challenge says, if that is on the server's own origin,
else below the well-known address with the path, else at the root. It has to name the server we talk to, or (at the
root) its host: nobody is to get tokens in the name of somebody else. The
authorization server's metadata stands at two or three well-known addresses made from its issuer; a document that names
another issuer, be it by a slash, is not used. Only where a server has no resource metadata at all, and nothing else is
known, the rules of 2025-03-26 apply: metadata at the root of the server, else the default endpoints there.

"Not there" is a status of 400 to 499, or a page that is no JSON. Anything else that goes wrong (no answer, 5xx) is not
taken for an answer: the older rules do not apply because of an outage.

Specification: 2026-07-28 basic/authorization/authorization-server-discovery; RFC 9728 sections 3 and 5, RFC 8414
section 3, OpenID Connect Discovery section 4; 2025-03-26 basic/authorization "Server Metadata Discovery".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from ...protocol import names
from ...protocol.revisions import ASSUMED_WITHOUT_HEADER
from ...security.fetching import Fetched, Fetcher, FetchFailed, FetchRefused, parse_url
from ..challenges import Challenge
from ..metadata import (
    AuthorizationServerMetadata,
    MetadataInvalid,
    ProtectedResourceMetadata,
    parse_authorization_server,
    parse_protected_resource,
)
from ..resources import (
    authorization_server_urls,
    canonical_resource,
    origin_of,
    protected_resource_urls,
    same_issuer,
)
from .problems import CredentialsUnbound, DiscoveryFailed, said

__all__ = ["Discovered", "discover", "discover_server"]

_MAX_SERVERS: Final = 16
_DEFAULTS: Final = {
    "authorization_endpoint": "/authorize",
    "token_endpoint": "/token",
    "registration_endpoint": "/register",
}


class Discovered(msgspec.Struct, frozen=True, kw_only=True):
    """What discovery found. ``resource``: what tokens are to be for; ``scopes``: those the resource names, None if it
    names none. ``legacy``: the MCP server is its own authorization server, by the rules of 2025-03-26; ``assumed``:
    and it has no metadata, so its endpoints are the default ones.
    """

    resource: str
    server: AuthorizationServerMetadata
    scopes: tuple[str, ...] | None = None
    legacy: bool = False
    assumed: bool = False
    dpop_required: bool = False

    @property
    def issuer(self) -> str:
        """The authorization server."""
        return self.server.issuer


async def discover(
    fetcher: Fetcher,
    url: str,
    challenges: Sequence[Challenge] = (),
    *,
    issuer: str | None = None,
    known: str | None = None,
    parents: bool = False,
) -> Discovered:
    """Find the authorization server of the MCP server at ``url``.

    ``challenges``: of its refusal. ``issuer``: the only one acceptable, because credentials are bound to it;
    ``known``: the one to prefer where several are named. ``parents``: also believe metadata that name what is above the
    server on its host, by their word alone. Raises `DiscoveryFailed`, `CredentialsUnbound` and
    `FetchRefused`.
    """
    metadata = await _resource_metadata(fetcher, url, challenges, parents=parents)
    if metadata is None:
        resource = canonical_resource(url)
        if issuer is not None:
            return Discovered(resource=resource, server=await discover_server(fetcher, issuer))
        server, assumed = await _legacy_server(fetcher, origin_of(url))
        return Discovered(resource=resource, server=server, legacy=True, assumed=assumed)
    chosen = _chosen(metadata, url, issuer, known)
    return Discovered(
        resource=metadata.resource,
        server=await discover_server(fetcher, chosen),
        scopes=None if metadata.scopes_supported is None else tuple(metadata.scopes_supported),
        dpop_required=bool(metadata.dpop_bound_access_tokens_required),
    )


async def discover_server(
    fetcher: Fetcher, issuer: str, *, legacy: bool = False
) -> AuthorizationServerMetadata:
    """The metadata of an authorization server, from its own well-known addresses. ``legacy``: by the rules of
    2025-03-26. Raises `DiscoveryFailed` and `FetchRefused`.
    """
    if legacy:
        return (await _legacy_server(fetcher, origin_of(issuer)))[0]
    try:
        places = authorization_server_urls(issuer)
    except ValueError as problem:
        raise DiscoveryFailed(f"{said(issuer)} can't be an authorization server: {problem}") from None
    missed = "it has no metadata at its well-known addresses"
    for place in places:
        try:
            answer = await fetcher.get(place)
        except FetchFailed as problem:
            missed = str(problem)
            continue
        if not _is_document(answer):
            missed = missed if _absent(answer) else f"{place} answered with status {answer.status}"
            continue
        found, missed = _server_of(answer, (issuer,), missed)
        if found is not None:
            return found
    raise DiscoveryFailed(f"the authorization server {said(issuer)} can't be used: {missed}")


async def _resource_metadata(
    fetcher: Fetcher, url: str, challenges: Sequence[Challenge], *, parents: bool
) -> ProtectedResourceMetadata | None:
    """The metadata of the resource, checked to be its own; None if there is none."""
    outage = ""
    for place in _resource_places(url, challenges):
        try:
            answer = await fetcher.get(place)
        except FetchFailed as problem:
            outage = outage or str(problem)
            continue
        if not _is_document(answer):
            if not _absent(answer):
                outage = outage or f"{place} answered with status {answer.status}"
            continue
        try:
            found = parse_protected_resource(answer.body)
        except MetadataInvalid as problem:
            raise DiscoveryFailed(f"what {place} says can't be used: {problem}") from None
        above = _is_above(found.resource, url)
        if not (_is_named(found.resource, url, place) or (parents and above)):
            remedy = (
                ", unless accept_parent_resource=True says that it may stand for the server" if above else ""
            )
            raise DiscoveryFailed(
                f"{place} is about {said(found.resource)}, which is not the server {_shown(url)};"
                f" no token is asked for in its name{remedy}"
            )
        return found
    if outage:
        raise DiscoveryFailed(f"it can't be found out who gives out tokens for {_shown(url)}: {outage}")
    return None


def _resource_places(url: str, challenges: Sequence[Challenge]) -> list[str]:
    """Where the metadata of a resource is looked for. A challenge may point to the server's own origin only: anywhere
    else, it would make us knock at doors of its choice.
    """
    places: list[str] = []
    for challenge in challenges:
        place = challenge.parameters.get("resource_metadata", "")
        if place and _same_origin(place, url):
            places.append(place)
            break
    return list(dict.fromkeys([*places, *protected_resource_urls(url)]))


def _same_origin(place: str, url: str) -> bool:
    try:
        return parse_url(place).origin == parse_url(url).origin
    except FetchRefused:
        return False


def _is_named(resource: str, url: str, place: str) -> bool:
    """Whether metadata from ``place`` name the server at ``url``: by that very URL or, at the root of the host, by that
    of the host, from which the place is made.

    Specification: RFC 9728 section 3.3.
    """
    try:
        named = canonical_resource(resource)
        return named == canonical_resource(url) or (
            named == origin_of(url) and place == protected_resource_urls(url)[-1]
        )
    except ValueError:
        return False


def _is_above(resource: str, url: str) -> bool:
    """Whether a resource is the server at ``url`` but for its query or a slash, or what the server stands below."""
    try:
        named, own = urlsplit(canonical_resource(resource)), urlsplit(canonical_resource(url))
    except ValueError:
        return False
    if (named.scheme, named.netloc) != (own.scheme, own.netloc) or named.query not in ("", own.query):
        return False
    above = named.path.rstrip("/")
    if any(part in ("", ".", "..") for part in above.split("/")[1:]) or "%" in above:
        return above == own.path.rstrip("/")
    return (own.path.rstrip("/") + "/").startswith(above + "/")


def _chosen(metadata: ProtectedResourceMetadata, url: str, issuer: str | None, known: str | None) -> str:
    """The authorization server to use, of those that the resource names."""
    named = (metadata.authorization_servers or [])[:_MAX_SERVERS]
    if not named:
        raise DiscoveryFailed(f"{_shown(url)} wants authorization, and names no authorization server for it")
    if issuer is None:
        return known if known is not None and known in named else named[0]
    if not any(same_issuer(issuer, each) for each in named):
        raise CredentialsUnbound(
            f"the credentials are for {said(issuer)}, but {_shown(url)} names {said(', '.join(named))};"
            " they are not sent there"
        )
    return issuer


async def _legacy_server(fetcher: Fetcher, origin: str) -> tuple[AuthorizationServerMetadata, bool]:
    """The server itself as authorization server, and whether its endpoints are the default ones."""
    place = origin + names.WELL_KNOWN_OAUTH
    try:
        answer = await fetcher.get(
            place, headers={names.HEADER_PROTOCOL_VERSION: str(ASSUMED_WITHOUT_HEADER.revision)}
        )
    except FetchFailed as problem:
        raise DiscoveryFailed(f"it can't be found out who gives out tokens at {origin}: {problem}") from None
    if _is_document(answer):
        found, missed = _server_of(answer, (origin, f"{origin}/"), "")
        found = found or await _below(fetcher, answer, origin)
        if found is None:
            raise DiscoveryFailed(f"the authorization server {origin} can't be used: {missed}")
        return found, False
    if not _absent(answer):
        raise DiscoveryFailed(f"{place} answered with status {answer.status}")
    endpoints: dict[str, Any] = {name: origin + path for name, path in _DEFAULTS.items()}
    return AuthorizationServerMetadata(issuer=origin, **endpoints), True


async def _below(fetcher: Fetcher, answer: Fetched, origin: str) -> AuthorizationServerMetadata | None:
    """The metadata at the root of a host that calls itself a part of that host: what that part says itself, and only if
    it says nothing, what the root says, as long as it leads to no other host.
    """
    try:
        found = parse_authorization_server(answer.body)
        if origin_of(found.issuer) != origin:
            return None
    except (MetadataInvalid, ValueError):
        return None
    try:
        return await discover_server(fetcher, found.issuer)
    except DiscoveryFailed:
        endpoints = (found.authorization_endpoint, found.token_endpoint, found.registration_endpoint)
        return found if all(each is None or _same_origin(each, origin) for each in endpoints) else None


def _server_of(
    answer: Fetched, issuers: Sequence[str], missed: str
) -> tuple[AuthorizationServerMetadata | None, str]:
    """The metadata in an answer, or why it can't be used."""
    try:
        found = parse_authorization_server(answer.body)
    except MetadataInvalid as problem:
        return None, f"what {answer.url} says can't be used: {problem}"
    if not any(same_issuer(found.issuer, issuer) for issuer in issuers):
        return None, (
            f"what {answer.url} says is of the issuer {said(found.issuer)}, and only exactly {said(issuers[0])}"
            " would do"
        )
    return found, missed


def _is_document(answer: Fetched) -> bool:
    return answer.status == 200 and answer.body.lstrip()[:1] == b"{"


def _absent(answer: Fetched) -> bool:
    """Whether an answer says that there is nothing: a page instead of JSON says so too."""
    return answer.status == 200 or (400 <= answer.status < 500 and answer.status != 429)


def _shown(url: str) -> str:
    return said(url.partition("?")[0])
