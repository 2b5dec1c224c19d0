"""Whether a server asks for a login, whether it says where, and whether its documents lead to who gives out tokens.

Theory of operation. All of it is asked by nobody in particular, through `HTTPProbe`: what is looked at is what a client
finds that has no credentials yet.

Specification: basic/authorization; RFC 9728, RFC 8414, RFC 6750.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ..auth.challenges import Challenge
from ..auth.login.discovery import discover_server
from ..auth.login.problems import AuthorizationError
from ..auth.metadata import MetadataInvalid, ProtectedResourceMetadata, parse_protected_resource
from ..auth.resources import canonical_resource, protected_resource_urls
from ..protocol import names
from ..protocol.errors import DovetailError, TransportError
from ..security.fetching import Fetcher, FetchFailed, parse_url
from .findings import Step
from .http_probes import HTTPProbe, ProbeAnswer, leads_here

__all__ = ["check_authorization"]


async def check_authorization(probe: HTTPProbe, before: ProbeAnswer, timeout: float) -> Step:
    """Whether it wants credentials, whether it says which, and whether its documents lead to who gives them."""
    wanted = before.status == 401
    bearer = next((each for each in before.challenges if each.scheme in ("bearer", "dpop")), None)
    facts: dict[str, Any] = {"status": before.status, "scopes": list(bearer.scopes) if bearer else []}
    metadata, place, trouble = await _metadata(probe, bearer)
    if metadata is None and not wanted:
        if trouble:
            advice = ("mend the document, or take it away",)
            return Step(name="authorization", status="warning", what=trouble, advice=advice, facts=facts)
        if before.status == 403:
            advice = (
                "if a login is what it takes, answer with 401 and WWW-Authenticate: 403 says that none helps",
            )
            what = "no login is asked for, and strangers are refused (403)"
            return Step(name="authorization", status="warning", what=what, advice=advice, facts=facts)
        return Step(name="authorization", status="ok", what="none is asked for", facts=facts)
    problems: list[tuple[str, str]] = []
    own = protected_resource_urls(probe.url)[0]
    if wanted and not before.headers.get("www-authenticate"):
        problems.append(
            (
                "the refusal has no WWW-Authenticate header",
                f'send one with 401: WWW-Authenticate: Bearer resource_metadata="{own}"',
            )
        )
    elif wanted and bearer is None:
        problems.append(
            (
                "the refusal asks for no bearer token",
                f'ask for one: WWW-Authenticate: Bearer resource_metadata="{own}"',
            )
        )
    elif wanted and bearer is not None and not bearer.parameters.get("resource_metadata"):
        problems.append(
            (
                "the challenge does not name its metadata",
                "add resource_metadata, so that clients need not guess",
            )
        )
    if trouble:
        problems.append((trouble, f'serve the metadata of RFC 9728 at {own}, with {probe.url} as "resource"'))
    if metadata is not None:
        facts |= {"metadata": place, "servers": metadata.authorization_servers or []}
        facts["scopes"] = facts["scopes"] or metadata.scopes_supported or []
        problems += await _servers(probe, metadata, facts, timeout)
    said = "a login is asked for" if wanted else "not asked for here, and described"
    issuers = ", ".join(metadata.authorization_servers or []) if metadata is not None else ""
    if issuers:
        said += f"; {issuers} gives out tokens"
    if facts["scopes"]:
        said += f", for {' '.join(facts['scopes'][:12])}"
    if problems:
        what = "; ".join([said, *(each for each, _ in problems)])
        advice = tuple(dict.fromkeys(each for _, each in problems))
        return Step(name="authorization", status="warning", what=what, advice=advice, facts=facts)
    return Step(name="authorization", status="ok", what=said, facts=facts)


async def _metadata(
    probe: HTTPProbe, bearer: Challenge | None
) -> tuple[ProtectedResourceMetadata | None, str, str]:
    """The metadata of the resource, where they stand, and what is wrong with them."""
    named = bearer.parameters.get("resource_metadata", "") if bearer is not None else ""
    places = protected_resource_urls(probe.url)
    if named:
        try:
            if parse_url(named).origin != parse_url(probe.url).origin:
                return None, "", f"the challenge leads to another origin: {named}"
        except DovetailError:
            return None, "", f"the challenge names no URL: {named}"
        places = list(dict.fromkeys([named, *places]))
    missed = ""
    for place in places:
        try:
            answer = await probe.send("GET", {"accept": names.MEDIA_JSON}, url=place)
        except TransportError as problem:
            missed = missed or f"{place}: {problem}"
            continue
        if answer.status != 200 or answer.body.lstrip()[:1] != b"{":
            if place == named or answer.status >= 500:
                media = f" and {answer.media or 'no media type'}, not JSON" if answer.status == 200 else ""
                missed = missed or f"{place} answers with status {answer.status}{media}"
            continue
        try:
            found = parse_protected_resource(answer.body)
        except MetadataInvalid as problem:
            return None, "", f"{place}: {problem}"
        return found, place, _resource_named(found, probe.url)
    if not missed and bearer is not None:
        missed = "there are no metadata of the protected resource"
    return None, "", missed


def _resource_named(found: ProtectedResourceMetadata, url: str) -> str:
    """What is wrong with the name of the resource."""
    try:
        named, own = canonical_resource(found.resource), canonical_resource(url)
    except ValueError as problem:
        return f"the metadata name no resource: {problem}"
    parts = urlsplit(own)
    if named in (own, f"{parts.scheme}://{parts.netloc}"):
        return ""
    return f"the metadata are about {found.resource}, which is not this server: clients refuse them"


async def _servers(
    probe: HTTPProbe, metadata: ProtectedResourceMetadata, facts: dict[str, Any], timeout: float
) -> list[tuple[str, str]]:
    """What is wrong with the authorization servers that a resource names."""
    if not metadata.authorization_servers:
        return [("no authorization server is named", "name one in authorization_servers")]
    location = parse_url(probe.url)
    found: list[tuple[str, str]] = []
    fetcher = Fetcher(allow_loopback=location.is_local_name or leads_here(location.host), timeout=timeout)
    for issuer in metadata.authorization_servers[:4]:
        try:
            server = await discover_server(fetcher, issuer)
        except (AuthorizationError, FetchFailed, DovetailError) as problem:
            found.append(
                (str(problem), f"serve the metadata of {issuer} at its well-known address (RFC 8414)")
            )
            continue
        if "S256" not in (server.code_challenge_methods_supported or []):
            found.append(
                (
                    f"{issuer} does not say that it takes PKCE",
                    "have it list S256: clients MUST refuse it otherwise",
                )
            )
        ways = {
            "registration": server.registration_endpoint is not None,
            "metadata document": bool(server.client_id_metadata_document_supported),
        }
        facts.setdefault("clients", {})[issuer] = [name for name, there in ways.items() if there]
        if not any(ways.values()):
            advice = "clients need an id that is agreed on before (--client-id), or let them register"
            found.append((f"{issuer} lets no client register by itself", advice))
    return found
