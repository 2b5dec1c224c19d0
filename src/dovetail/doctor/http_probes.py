"""What an endpoint answers to plain HTTP: to nothing, to strangers, to pages of other origins.

Theory of operation. Every request here is made by hand and carries no credentials, whatever the client has: what is
asked is how the server treats somebody it does not know. No redirect is followed, answers are cut at 64 KiB, and of an
event stream only the head is read. The one message that is sent is ``ping``, which changes nothing.

Specification: basic/transports, "Streamable HTTP", "Security Warning"; 2025-11-25 "Session Management";
basic/transports/streamable-http (2026-07-28).
"""

from __future__ import annotations

import asyncio
import ssl as tls
import time
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final, Self
from urllib.parse import urljoin, urlsplit

import msgspec
from msgspec import Struct

from ..auth.challenges import Challenge, parse_challenges
from ..protocol import names
from ..protocol.errors import METHOD_NOT_FOUND, TransportError
from ..security.addresses import is_loopback
from ..security.fetching import parse_url
from .findings import Step

__all__ = [
    "HTTPProbe",
    "ProbeAnswer",
    "check_endpoint",
    "check_origins",
    "check_sessions",
    "leads_here",
]

_MOST: Final = 64 * 1024
_HEAD: Final = 4096
_STREAM: Final = 0.5
_ACCEPT: Final = f"{names.MEDIA_JSON}, {names.MEDIA_SSE}"
_USUAL: Final = ("/mcp", "/", "/sse")
_FOREIGN: Final = "https://dovetail-doctor.invalid"
_PING: Final = {"jsonrpc": names.JSONRPC_VERSION, "id": "doctor", "method": names.PING}
_NOT_TOLD: Final = (401, 403, 405, 406, 415, 421, 429)
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
    def is_stream(self) -> bool:
        """Whether it is an event stream."""
        return self.status == 200 and self.media == names.MEDIA_SSE

    @property
    def is_of_protocol(self) -> bool:
        """Whether a server of the protocol gave it: a message, or a refusal that asks for a token."""
        if self.status == 401:
            return any(each.scheme in ("bearer", "dpop") for each in self.challenges)
        if self.status == 404 and _error_code(self) != METHOD_NOT_FOUND:
            return False  # some servers refuse in this form wherever nothing is
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            return "jsonrpc" in msgspec.json.decode(self.body, type=dict[str, Any])
        return False

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

    async def ping(self, *, url: str = "", **headers: str) -> ProbeAnswer:
        """A ``ping`` as a client of the stateful era sends one, outside of any session."""
        return await self.send("POST", {"accept": _ACCEPT, **headers}, _PING, url=url)

    async def beginning(self) -> bytes:
        """What there is of an answer to a ``ping`` that does not come whole: its first bytes, if there are any."""
        location = parse_url(self.url)
        context = tls.create_default_context() if location.scheme == "https" else None
        body = msgspec.json.encode(_PING)
        head = (
            f"POST {location.path or '/'}{location.query and '?'}{location.query} HTTP/1.1\r\n"
            f"Host: {urlsplit(self.url).netloc}\r\nUser-Agent: dovetail-doctor\r\nAccept: {_ACCEPT}\r\n"
            f"Content-Type: {names.MEDIA_JSON}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        found, writer = b"", None
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(min(self._timeout, _STREAM)):
                reader, writer = await asyncio.open_connection(location.host, location.port, ssl=context)
                writer.write(head.encode("ascii") + body)
                while len(found) < _HEAD and (piece := await reader.read(_HEAD)):
                    found += piece
        if writer is not None:
            writer.transport.abort()
        return found

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
        return await _unanswered(probe, problem), None
    others: dict[str, int] = {}
    stream = False
    for method in ("GET", "OPTIONS"):
        try:
            answer = await probe.send(method, {"accept": names.MEDIA_SSE if method == "GET" else "*/*"})
            others[method] = answer.status
            stream = stream or (method == "GET" and answer.is_stream)
        except TransportError:
            others[method] = 0
    facts: dict[str, Any] = {
        "POST": posted.status,
        **others,
        "type": posted.media,
        "server": posted.header("server"),
    }
    seconds = time.perf_counter() - began
    status, what, advice = _judged(probe.url, posted, others, stream=stream)
    if status != "ok" and posted.status < 500 and not stream:
        advice = await _elsewhere(probe) or advice
    cause = "protocol" if status == "failed" else ""
    step = Step(
        name="http", status=status, what=what, advice=advice, facts=facts, cause=cause, seconds=seconds
    )
    return step, posted


async def _unanswered(probe: HTTPProbe, problem: TransportError) -> Step:
    """The step where a message got no answer: what there was of one, and what to do."""
    if "no answer to" not in str(problem):
        advice = ("check the port: what listens there does not speak HTTP",)
        return Step(name="http", status="failed", what=str(problem), advice=advice, cause="protocol")
    begun = await probe.beginning()
    if begun:
        head = begun.partition(b"\r\n")[0].decode("latin-1")[:80]
        part = "body" if b"\r\n\r\n" in begun else "head"
        what = f"{problem} that comes whole: it begins with {head!r}, and its {part} does not end"
        advice = (
            "have it end the head with an empty line, and send what it has: something writes a part and waits"
            if part == "head"
            else "look for a Content-Length that is too large, or a stream that is not called text/event-stream",
        )
        return Step(name="http", status="failed", what=what, advice=advice, cause="timeout")
    advice = (
        "something takes the connection and does not answer: look into the server's log",
        "a proxy in front of it may wait for a server that is not there",
    )
    return Step(name="http", status="failed", what=str(problem), advice=advice, cause="timeout")


async def _elsewhere(probe: HTTPProbe) -> tuple[str, ...]:
    """What to do where a URL is no endpoint, if one of the usual places is; else nothing."""
    parts = urlsplit(probe.url)
    path = parts.path or "/"
    other = path.rstrip("/") if path != "/" and path.endswith("/") else f"{path}/"
    page = False
    for place in dict.fromkeys((other, *_USUAL)):
        url = parts._replace(path=place, query="", fragment="").geturl()
        if place == path:
            continue
        try:
            posted = await probe.ping(url=url)
            if posted.is_of_protocol:
                return (f"use {url}: a server of the protocol answers there",)
            got = await probe.send("GET", {"accept": names.MEDIA_SSE}, url=url)
        except TransportError:
            continue
        if got.is_stream:
            return (f"use {url}: a server of HTTP+SSE (2024-11-05) seems to be there",)
        page = page or (place == "/" and got.media in _WEB)
    if page:
        return (
            "check the path: no server of the protocol is there, at /mcp, or at /sse",
            "at / there is a web page, which may say where it is",
        )
    return ()


def _judged(
    url: str, posted: ProbeAnswer, others: dict[str, int], *, stream: bool
) -> tuple[Any, str, tuple[str, ...]]:
    """What the answers of an endpoint say: status, words, advice. ``stream``: GET is answered with events."""
    told = f"POST {posted.status}, " + ", ".join(
        f"{method} {code or 'no answer'}" for method, code in others.items()
    )
    if posted.status in (301, 302, 303, 307, 308):
        place = urljoin(url, posted.header("location"))
        if urlsplit(place).hostname != urlsplit(url).hostname:
            advice = (
                f"if people log in at {urlsplit(place).hostname}, have what sends them there let this path through",
                f"else use that URL: {place}",
            )
            return "failed", f"it redirects to another host: {place}", advice
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
    if posted.status == 405 and stream:
        advice = (
            "serve Streamable HTTP as well: HTTP+SSE is deprecated, and not every client speaks it any more",
        )
        return "warning", f"{told}: it speaks the HTTP+SSE of 2024-11-05 alone", advice
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
    local = location.is_local_name or leads_here(address)
    try:
        owned = await probe.ping(origin=f"{location.scheme}://{urlsplit(probe.url).netloc}")
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
    if before.status == 403 and owned.status != 403:
        advice = ("let requests without an Origin header pass: only browsers send one",)
        what = f"without an Origin header it refuses everybody (403); with its own it answers {owned.status}"
        return Step(name="origins", status="warning", what=what, advice=advice, facts=facts)
    refused = paged.status in (400, 403, 421) and paged.status != before.status
    if not refused and before.status in _NOT_TOLD:
        what = f"not told: strangers are refused in any case ({before.status})"
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


def leads_here(host: str) -> bool:
    """Whether a host of a URL is an address of this machine."""
    try:
        return is_loopback(ip_address(host.partition("%")[0]))
    except ValueError:
        return False
