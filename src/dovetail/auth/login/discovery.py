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
from .telling import LoginTeller, SentExchange

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
    steps: LoginTeller | None = None,
) -> Discovered:
    """Find the authorization server of the MCP server at ``url``.

    ``challenges``: of its refusal. ``issuer``: the only one acceptable, because credentials are bound to it;
    ``known``: the one to prefer where several are named. ``parents``: also believe metadata that name what is above the
    server on its host, by their word alone. ``steps``: told of each place. Raises `DiscoveryFailed`,
    `CredentialsUnbound` and `FetchRefused`.
    """
    steps = steps or LoginTeller()
    metadata = await _resource_metadata(fetcher, url, challenges, steps, parents=parents)
    if metadata is None:
        resource = canonical_resource(url)
        if issuer is not None:
            reason = f"the server has no metadata, and the credentials are for {said(issuer)}"
            await steps.tell("server-chosen", reason, issuer=issuer)
            return Discovered(resource=resource, server=await discover_server(fetcher, issuer, steps=steps))
        await steps.tell(
            "server-chosen",
            "the server has no metadata: by the rules of 2025-03-26 it is its own authorization server",
            issuer=origin_of(url),
        )
        server, assumed = await _legacy_server(fetcher, origin_of(url), steps)
        return Discovered(resource=resource, server=server, legacy=True, assumed=assumed)
    chosen = await _chosen(metadata, url, issuer, known, steps)
    return Discovered(
        resource=metadata.resource,
        server=await discover_server(fetcher, chosen, steps=steps),
        scopes=None if metadata.scopes_supported is None else tuple(metadata.scopes_supported),
        dpop_required=bool(metadata.dpop_bound_access_tokens_required),
    )


async def discover_server(
    fetcher: Fetcher, issuer: str, *, legacy: bool = False, steps: LoginTeller | None = None
) -> AuthorizationServerMetadata:
    """The metadata of an authorization server, from its own well-known addresses. ``legacy``: by the rules of
    2025-03-26. ``steps``: told of each place. Raises `DiscoveryFailed` and `FetchRefused`.
    """
    steps = steps or LoginTeller()
    if legacy:
        return (await _legacy_server(fetcher, origin_of(issuer), steps))[0]
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
            await _server_step(steps, SentExchange("GET", place), missing=missed)
            continue
        asked = SentExchange("GET", place, answer)
        if not _is_document(answer):
            missed = missed if _absent(answer) else f"{place} answered with status {answer.status}"
            await _server_step(steps, asked, missing=f"there is no document, status {answer.status}")
            continue
        found, missed = _server_of(answer, (issuer,), missed)
        await _server_step(steps, asked, found, refused=missed)
        if found is not None:
            return found
    raise DiscoveryFailed(f"the authorization server {said(issuer)} can't be used: {missed}")


async def _server_step(
    steps: LoginTeller,
    asked: SentExchange,
    found: AuthorizationServerMetadata | None = None,
    *,
    missing: str = "",
    refused: str = "",
) -> None:
    """Tell of a place where the metadata of an authorization server could be."""
    if found is not None:
        decision = f"this is the metadata of {said(found.issuer)}, which names itself by exactly that text"
        await steps.tell(
            "server-metadata", decision, requirement="R2607-AUTH-010", asked=asked, issuer=found.issuer
        )
    elif refused:
        await steps.tell("server-metadata", refused, "refused", requirement="R2607-AUTH-011", asked=asked)
    else:
        await steps.tell("server-metadata", missing, "missing", requirement="R2607-AUTH-007", asked=asked)


async def _resource_metadata(
    fetcher: Fetcher, url: str, challenges: Sequence[Challenge], steps: LoginTeller, *, parents: bool
) -> ProtectedResourceMetadata | None:
    """The metadata of the resource, checked to be its own; None if there is none."""
    outage = ""
    for pointed in _places_elsewhere(url, challenges):
        await steps.tell(
            "resource-metadata",
            f"the challenge points to {said(pointed)}, which is not of the server's own origin: it is not asked",
            "refused",
        )
    for place in _resource_places(url, challenges):
        try:
            answer = await fetcher.get(place)
        except FetchFailed as problem:
            outage = outage or str(problem)
            await steps.tell("resource-metadata", str(problem), "missing", asked=SentExchange("GET", place))
            continue
        asked = SentExchange("GET", place, answer)
        if not _is_document(answer):
            if not _absent(answer):
                outage = outage or f"{place} answered with status {answer.status}"
            missing = f"there is no document, status {answer.status}"
            await steps.tell(
                "resource-metadata", missing, "missing", requirement="R2607-AUTH-005", asked=asked
            )
            continue
        try:
            found = _resource_of(answer, url, place, parents=parents)
        except DiscoveryFailed as problem:
            await steps.tell(
                "resource-metadata", str(problem), "refused", requirement="R2607-AUTH-141", asked=asked
            )
            raise
        await steps.tell(
            "resource-metadata",
            f"this is the metadata of {said(found.resource)}, which the server may be called",
            requirement="R2607-AUTH-005",
            asked=asked,
            resource=found.resource,
            authorization_servers=found.authorization_servers or [],
            scopes_supported=found.scopes_supported,
        )
        return found
    if outage:
        raise DiscoveryFailed(f"it can't be found out who gives out tokens for {_shown(url)}: {outage}")
    return None


def _resource_of(answer: Fetched, url: str, place: str, *, parents: bool) -> ProtectedResourceMetadata:
    """The metadata in an answer. Raises `DiscoveryFailed` unless they are those of the server at ``url``."""
    try:
        found = parse_protected_resource(answer.body)
    except MetadataInvalid as problem:
        raise DiscoveryFailed(f"what {place} says can't be used: {problem}") from None
    above = _is_above(found.resource, url)
    if not (_is_named(found.resource, url, place) or (parents and above)):
        remedy = ", unless accept_parent_resource=True says that it may stand for the server" if above else ""
        raise DiscoveryFailed(
            f"{place} is about {said(found.resource)}, which is not the server {_shown(url)};"
            f" no token is asked for in its name{remedy}"
        )
    return found


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


def _places_elsewhere(url: str, challenges: Sequence[Challenge]) -> list[str]:
    """Where challenges point to that is not asked."""
    pointed = [each.parameters.get("resource_metadata", "") for each in challenges]
    return [place for place in pointed if place and not _same_origin(place, url)]


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


async def _chosen(
    metadata: ProtectedResourceMetadata, url: str, issuer: str | None, known: str | None, steps: LoginTeller
) -> str:
    """The authorization server to use, of those that the resource names."""
    named = (metadata.authorization_servers or [])[:_MAX_SERVERS]
    if not named:
        raise DiscoveryFailed(f"{_shown(url)} wants authorization, and names no authorization server for it")
    if issuer is None:
        chosen, why = named[0], "it is the first"
        if known is not None and known in named:
            chosen, why = known, "the last login was there"
    elif not any(same_issuer(issuer, each) for each in named):
        problem = CredentialsUnbound(
            f"the credentials are for {said(issuer)}, but {_shown(url)} names {said(', '.join(named))};"
            " they are not sent there"
        )
        await steps.tell("server-chosen", str(problem), "refused", requirement="R2607-AUTH-038", named=named)
        raise problem
    else:
        chosen, why = issuer, "the credentials are for it"
    await steps.tell(
        "server-chosen",
        f"of {len(named)} that the server names, {said(chosen)} is used: {why}",
        requirement="R2607-AUTH-047",
        issuer=chosen,
        named=named,
    )
    return chosen


async def _legacy_server(
    fetcher: Fetcher, origin: str, steps: LoginTeller
) -> tuple[AuthorizationServerMetadata, bool]:
    """The server itself as authorization server, and whether its endpoints are the default ones."""
    place = origin + names.WELL_KNOWN_OAUTH
    headers = {names.HEADER_PROTOCOL_VERSION: str(ASSUMED_WITHOUT_HEADER.revision)}
    try:
        answer = await fetcher.get(place, headers=headers)
    except FetchFailed as problem:
        await _server_step(steps, SentExchange("GET", place, headers=headers), missing=str(problem))
        raise DiscoveryFailed(f"it can't be found out who gives out tokens at {origin}: {problem}") from None
    asked = SentExchange("GET", place, answer, headers=headers)
    if _is_document(answer):
        found, missed = _server_of(answer, (origin, f"{origin}/"), "")
        await _server_step(steps, asked, found, refused=missed)
        found = found or await _below(fetcher, answer, origin, steps)
        if found is None:
            raise DiscoveryFailed(f"the authorization server {origin} can't be used: {missed}")
        return found, False
    default = ", so its endpoints are at their default places" if _absent(answer) else ""
    await _server_step(steps, asked, missing=f"there is no document, status {answer.status}{default}")
    if not _absent(answer):
        raise DiscoveryFailed(f"{place} answered with status {answer.status}")
    endpoints: dict[str, Any] = {name: origin + path for name, path in _DEFAULTS.items()}
    return AuthorizationServerMetadata(issuer=origin, **endpoints), True


async def _below(
    fetcher: Fetcher, answer: Fetched, origin: str, steps: LoginTeller
) -> AuthorizationServerMetadata | None:
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
        return await discover_server(fetcher, found.issuer, steps=steps)
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
