"""What an endpoint answers to plain HTTP: to nothing, to strangers, to pages of other origins; and its documents.

Theory of operation. Every request here is made by hand and carries no credentials, whatever the client has: what is
asked is how the server treats somebody it does not know. No redirect is followed, answers are cut at 64 KiB, and of an
event stream only the head is read. The one message that is sent is ``ping``, which changes nothing.

Specification: basic/transports, "Streamable HTTP", "Security Warning"; 2025-11-25 "Session Management";
basic/authorization; RFC 9728, RFC 8414, RFC 6750.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final, Self
from urllib.parse import urljoin, urlsplit

import msgspec
from msgspec import Struct

from ..auth.challenges import Challenge, parse_challenges
from ..auth.login.discovery import discover_server
from ..auth.login.problems import AuthorizationError
from ..auth.metadata import MetadataInvalid, ProtectedResourceMetadata, parse_protected_resource
from ..auth.resources import canonical_resource, protected_resource_urls
from ..protocol import names
from ..protocol.errors import METHOD_NOT_FOUND, DovetailError, TransportError
from ..security.addresses import is_loopback
from ..security.fetching import Fetcher, FetchFailed, parse_url
from .findings import Step

__all__ = [
    "HTTPProbe",
    "ProbeAnswer",
    "check_authorization",
    "check_endpoint",
    "check_origins",
    "check_sessions",
]

_MOST: Final = 64 * 1024
_STREAM: Final = 0.5
_FOREIGN: Final = "https://dovetail-doctor.invalid"
_PING: Final = {"jsonrpc": names.JSONRPC_VERSION, "id": "doctor", "method": names.PING}
_WEB: Final = ("text/html", "application/xhtml+xml")


class ProbeAnswer(Struct, frozen=True):
    """One answer. ``headers`` have lower-case names; of several of one name, all."""

    status: int
    headers: dict[str, list[str]]
    body: bytes

    def header(self, name: str) -> str:
        """The first value of a header; "" if there is none."""
        return next(iter(self.headers.get(name, ())), "")

    @property
    def media(self) -> str:
        """The media type, without its parameters."""
        return self.header("content-type").partition(";")[0].strip().lower()

    @property
    def challenges(self) -> tuple[Challenge, ...]:
        """What it asks for in WWW-Authenticate."""
        return parse_challenges(self.headers.get("www-authenticate", ()))


class HTTPProbe:
    """Requests to one URL, by nobody in particular. ``timeout``: seconds for each."""

    def __init__(self, url: str, timeout: float) -> None:
        self.url = url
        self._timeout = timeout
        self._session: Any = None

    async def __aenter__(self) -> Self:
        try:
            import aiohttp
        except ImportError:
            raise ImportError("looking into HTTP needs aiohttp: pip install 'dovetail[client]'") from None
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(
        self, method: str, headers: Mapping[str, str], body: Any = None, *, url: str = ""
    ) -> ProbeAnswer:
        """One request. Raises `TransportError` where there is no answer."""
        import aiohttp

        data = None if body is None else msgspec.json.encode(body)
        sent = {"user-agent": "dovetail-doctor", **headers}
        if data is not None:
            sent["content-type"] = names.MEDIA_JSON
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._session.request(
                    method, url or self.url, headers=sent, data=data, allow_redirects=False
                ) as response,
            ):
                told: dict[str, list[str]] = {}
                for name, value in response.headers.items():
                    told.setdefault(name.lower(), []).append(value)
                stream = response.content_type == names.MEDIA_SSE
                content = b"" if stream else await self._read(response)
                return ProbeAnswer(response.status, told, content)
        except TimeoutError:
            raise TransportError(f"no answer to {method} within {self._timeout:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            raise TransportError(f"{method} has no answer that is HTTP: {problem}") from None

    async def ping(self, **headers: str) -> ProbeAnswer:
        """A ``ping`` as a client of the stateful era sends one, outside of any session."""
        accept = f"{names.MEDIA_JSON}, {names.MEDIA_SSE}"
        return await self.send("POST", {"accept": accept, **headers}, _PING)

    @staticmethod
    async def _read(response: Any) -> bytes:
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) >= _MOST:
                break
        return bytes(body[:_MOST])


async def check_endpoint(probe: HTTPProbe) -> tuple[Step, ProbeAnswer | None]:
    """What the URL answers to GET, OPTIONS and a message; gives the answer to the message."""
    began = time.perf_counter()
    try:
        posted = await probe.ping()
    except TransportError as problem:
        slow = "no answer to" in str(problem)
        advice = (
            "something takes the connection and does not answer: look into the server's log",
            "a proxy in front of it may wait for a server that is not there",
        )
        cause = "timeout" if slow else "protocol"
        return Step(name="http", status="failed", what=str(problem), advice=advice, cause=cause), None
    others: dict[str, int] = {}
    for method in ("GET", "OPTIONS"):
        try:
            answer = await probe.send(method, {"accept": names.MEDIA_SSE if method == "GET" else "*/*"})
            others[method] = answer.status
        except TransportError:
            others[method] = 0
    facts: dict[str, Any] = {
        "POST": posted.status,
        **others,
        "type": posted.media,
        "server": posted.header("server"),
    }
    seconds = time.perf_counter() - began
    status, what, advice = _judged(probe.url, posted, others)
    cause = "protocol" if status == "failed" else ""
    step = Step(
        name="http", status=status, what=what, advice=advice, facts=facts, cause=cause, seconds=seconds
    )
    return step, posted


def _judged(url: str, posted: ProbeAnswer, others: dict[str, int]) -> tuple[Any, str, tuple[str, ...]]:
    """What the answers of an endpoint say: status, words, advice."""
    told = f"POST {posted.status}, " + ", ".join(
        f"{method} {code or 'no answer'}" for method, code in others.items()
    )
    if posted.status in (301, 302, 303, 307, 308):
        place = urljoin(url, posted.header("location"))
        return "failed", f"it redirects to {place}", (f"use that URL, if it is the server's: {place}",)
    if posted.status == 404:
        path = urlsplit(url).path.strip("/")
        advice = (
            "check the path: most servers are at /mcp"
            if not path
            else "check the path: nothing is served there",
            "a server of HTTP+SSE (2024-11-05) is often at /sse",
        )
        if (
            _error_code(posted) == METHOD_NOT_FOUND
        ):  # so a server without a stateful era says that it knows no ping
            return "ok", told, ()
        return "failed", f"{told}: nothing is there", advice
    if posted.status >= 500:
        advice = ("look into the server's log, and that of a proxy in front of it",)
        return "failed", f"{told}: the server, or a proxy, failed", advice
    if posted.media in _WEB and posted.status < 400:
        advice = ("this is a web page: check the path; most servers are at /mcp",)
        return "failed", f"{told}: it answers with a web page", advice
    if posted.status == 405:
        advice = ("check the path; a server of HTTP+SSE (2024-11-05) takes GET there, and is spoken to, too",)
        return "warning", f"{told}: it takes no messages by POST", advice
    if any(not code for code in others.values()):
        advice = ("have it answer GET with an event stream, or with 405",)
        return "warning", f"{told}: a method is left without an answer", advice
    if others.get("GET", 0) >= 500:
        advice = ("have it answer GET with an event stream, or with 405",)
        return "warning", f"{told}: GET makes it fail", advice
    return "ok", told, ()


def _error_code(answer: ProbeAnswer) -> int | None:
    """The code of the error that an answer is, if it is one of JSON-RPC."""
    try:
        return msgspec.json.decode(answer.body, type=dict[str, dict[str, Any] | Any])["error"]["code"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return None


async def check_origins(probe: HTTPProbe, address: str, before: ProbeAnswer) -> Step:
    """How it treats a page of another origin, and a name that is not its own."""
    location = parse_url(probe.url)
    local = location.is_local_name or _is_loopback(address)
    try:
        paged = await probe.ping(origin=_FOREIGN)
        named = await probe.ping(host="dovetail-doctor.invalid")
        asked = await probe.send(
            "OPTIONS",
            {
                "origin": _FOREIGN,
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type,authorization",
            },
        )
    except TransportError as problem:
        advice = ("look into the server's log",)
        return Step(name="origins", status="warning", what=str(problem), advice=advice)
    open_to = asked.header("access-control-allow-origin") or paged.header("access-control-allow-origin")
    with_credentials = asked.header("access-control-allow-credentials").lower() == "true"
    facts = {
        "foreignOrigin": paged.status,
        "foreignHost": named.status,
        "without": before.status,
        "allowOrigin": open_to,
        "allowCredentials": with_credentials,
    }
    if open_to == _FOREIGN and with_credentials:
        advice = ("name the origins that may read it; with credentials, never all",)
        what = "a page of any origin may use it with the visitor's credentials"
        return Step(name="origins", status="warning", what=what, advice=advice, facts=facts)
    refused = paged.status in (400, 403, 421) and paged.status != before.status
    if not refused and before.status in (401, 403):
        what = "not told: strangers are refused in any case"
        return Step(name="origins", status="ok", what=what, facts=facts)
    if not refused and local:
        advice = (
            "have it check the Origin header (the specification says that it MUST), and the Host header",
            "as it is, any page in a browser on this machine can talk to it (DNS rebinding)",
        )
        what = f"a page of another origin is let in ({paged.status})"
        return Step(name="origins", status="warning", what=what, advice=advice, facts=facts)
    if not refused:
        advice = ("have it check the Origin header: the specification says that it MUST",)
        what = f"a page of another origin is answered as anybody is ({paged.status})"
        return Step(name="origins", status="warning", what=what, advice=advice, facts=facts)
    host = "; a foreign Host as well" if named.status in (400, 403, 404, 421) else ""
    return Step(
        name="origins", status="ok", what=f"a foreign Origin is refused ({paged.status}){host}", facts=facts
    )


async def check_sessions(probe: HTTPProbe) -> Step:
    """What it says of a session that it does not know. For servers of the stateful era."""
    headers = {names.HEADER_SESSION: "dovetail-doctor-no-such-session"}
    try:
        answer = await probe.ping(**headers)
    except TransportError as problem:
        return Step(name="sessions", status="warning", what=str(problem))
    facts = {"unknownSession": answer.status}
    if answer.status == 404:
        return Step(name="sessions", status="ok", what="an unknown session is answered with 404", facts=facts)
    if answer.status in (401, 403):
        return Step(
            name="sessions", status="ok", what="not told: strangers are refused in any case", facts=facts
        )
    if answer.status < 300:
        return Step(name="sessions", status="ok", what="it keeps no sessions: any id will do", facts=facts)
    advice = ("answer with 404: a client knows by it that its session is gone, and opens another one",)
    what = f"an unknown session is answered with {answer.status}"
    return Step(name="sessions", status="warning", what=what, advice=advice, facts=facts)


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
        return Step(name="authorization", status="ok", what="none is asked for", facts=facts)
    problems: list[tuple[str, str]] = []
    if wanted and not before.headers.get("www-authenticate"):
        problems.append(
            (
                "the refusal has no WWW-Authenticate header",
                "send one with 401: clients read there where to log in",
            )
        )
    elif wanted and bearer is None:
        problems.append(
            (
                "the refusal asks for no bearer token",
                "ask for one: WWW-Authenticate: Bearer resource_metadata=...",
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
        problems.append(
            (trouble, f"serve the metadata of RFC 9728 at {protected_resource_urls(probe.url)[0]}")
        )
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
                missed = missed or f"{place} answers with status {answer.status}"
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
    fetcher = Fetcher(allow_loopback=location.is_local_name or _is_loopback(location.host), timeout=timeout)
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


def _is_loopback(host: str) -> bool:
    try:
        return is_loopback(ip_address(host.partition("%")[0]))
    except ValueError:
        return False
