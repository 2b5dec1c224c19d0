"""The one way out for URLs that others name: metadata, key sets, client documents, token endpoints.

Theory of operation. Each fetch is one exchange within one limit of time and one of size, from the name look-up
to the last byte. The URL is taken apart strictly first (ASCII, no user info, no control characters, nothing
that two parsers could read differently). Then the name is resolved once, every address it has is checked,
and the connection goes to exactly those addresses, so that a second look-up cannot move it elsewhere; an IP
literal is checked as well. A GET follows at most three redirects, and only within its origin; a POST, which
carries credentials, follows none. There are no cookies, no ``.netrc``, no proxies of the environment, no
compression, and no connection is kept: but within `Fetcher.keeping`, for an API that is called again and again.

Through a proxy, which is only ever named by an option, it is the proxy that resolves names: literal addresses and names
of this machine are judged here, and the rest by the proxy. What is for this machine does not go through it.

Plain http is for loopback only, and only when that was allowed; names that mean this machine (``localhost`` and below)
lead nowhere else, whatever a resolver says.
Specification: 2026-07-28 basic/authorization/security-considerations "Communication Security"; "Security Best
Practices", Server-Side Request Forgery; RFC 9110 section 15.4.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl as tls
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import ModuleType
from typing import Any, Final, NamedTuple, Protocol, Self
from urllib.parse import urlencode, urljoin, urlsplit

import msgspec

from ..protocol.bindings.origins import is_local_name
from ..protocol.errors import DovetailError, TransportError
from .addresses import AddressPolicy, AddressRefused, is_loopback
from .egress_proxy import EgressProxy

__all__ = ["FetchFailed", "FetchRefused", "Fetched", "Fetcher", "Location", "parse_url"]

_MAX_URL: Final = 4096
_MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_HEADERS: Final = 128
_MAX_HEADER: Final = 16 * 1024
KEEP_ALIVE: Final = 4.0
"""Seconds that a connection is kept unused: less than servers keep theirs (5 s and more), for a request that meets the
end of its connection may or may not have been carried out.
"""
_NAME: Final = re.compile(
    r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.)*[a-z0-9_](?:[a-z0-9_-]{0,62})\.?"
)
_PLAIN: Final = re.compile(r"[!#-;=?-\[\]_a-z~%]+")  # visible ASCII that every parser of URLs reads alike
_NUMBER: Final = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")

#: Resolves a host name to the texts of its addresses.
Resolve = Callable[[str, int], Awaitable[list[str]]]


class FetchWatcher(Protocol):
    """Who is told of each exchange, redirects one by one. It neither waits nor raises."""

    def began(self, method: str, host: str, port: int) -> Any:
        """One begins; what this gives comes back in `ended`."""
        ...

    def ended(self, begun: Any, status: int, problem: BaseException | None) -> None:
        """It has ended: with a status, or a problem, and 0."""
        ...


#: Who is told of what is fetched in this context, if anybody.
fetch_watcher: Final[ContextVar[FetchWatcher | None]] = ContextVar("dovetail_fetch_watcher", default=None)


class FetchRefused(DovetailError):
    """A URL that is not fetched, for its scheme, its form, its address, or where it redirects to: use a public https
    URL, or allow what the text names. ``allowed_by``: the option of a `Fetcher` that would allow it, such as
    "allow_loopback"; "" where none does.
    """

    def __init__(self, message: str, *, allowed_by: str = "") -> None:
        super().__init__(message)
        self.allowed_by = allowed_by


class FetchFailed(TransportError):
    """A fetch that brought nothing usable; try again later. ``status``: the HTTP status, None if there was no proper
    answer.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Location(NamedTuple):
    """The parts of a URL that was found to be plain."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port; two URLs of one origin have the same."""
        return self.scheme, self.host, self.port

    @property
    def is_local_name(self) -> bool:
        """Whether the host says itself that it is this machine."""
        return is_local_name(self.host)


class Fetched(msgspec.Struct, frozen=True):
    """One answer. ``headers`` have lower-case names; ``url`` is where it came from at last."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object. Raises `FetchFailed` if it is none."""
        try:
            value = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            value = None
        if not isinstance(value, dict):
            raise FetchFailed(f"{shown(self.url)} did not answer with a JSON object", status=self.status)
        return value  # pyright: ignore[reportUnknownVariableType] - the keys of a JSON object are strings

    def __repr__(self) -> str:
        return f"<Fetched {self.status} from {shown(self.url)}, {len(self.body)} bytes>"


class Fetcher:
    """Fetches from public https URLs, safely; see the module. For any event loop.

    ``allow_loopback``: this machine too, also over http. ``allow_private``: private ranges too, over https.
    ``allow_http``: without encryption elsewhere, too. ``timeout``: seconds for a whole exchange. ``limit``: bytes of
    an answer's body. ``ssl``: a context, for private authorities. ``proxy``: the http or https URL of a proxy that all
    but what is for this machine goes through; it resolves the names, so it has to judge where they lead. ``resolve``:
    another resolver, for tests. Raises ValueError for a ``proxy`` that is none, and ImportError, which names the extra,
    at the first fetch without aiohttp.
    """

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        allow_private: bool = False,
        allow_http: bool = False,
        timeout: float = 10.0,
        limit: int = 256 * 1024,
        ssl: tls.SSLContext | None = None,
        proxy: str | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._policy = AddressPolicy(allow_loopback, allow_private)
        self._allow_http = allow_http
        self._timeout = timeout
        self._limit = limit
        self._ssl = ssl
        self._proxy = None if proxy is None else EgressProxy(proxy)
        self._resolve = resolve or _resolve
        self._kept: dict[asyncio.AbstractEventLoop, _KeptSessions] = {}

    @property
    def allow_loopback(self) -> bool:
        """Whether this machine may be fetched from, also over http."""
        return self._policy.allow_loopback

    async def get(
        self, url: str, accept: str = "application/json", headers: Mapping[str, str] | None = None
    ) -> Fetched:
        """GET ``url``, with whatever status it answers.

        Raises `FetchRefused` and `FetchFailed`.
        """
        location = parse_url(url)
        async with self._bounded(url):
            for _ in range(_MAX_REDIRECTS + 1):
                answer = await self._exchange("GET", url, None, {"accept": accept, **(headers or {})})
                if answer.status not in _REDIRECTS:
                    return answer
                target = answer.headers.get("location", "")
                if not target:
                    raise FetchFailed(f"{shown(url)} redirects nowhere", status=answer.status)
                following = urljoin(url, target)
                if parse_url(following).origin != location.origin:
                    raise FetchRefused(f"{shown(url)} redirects to another origin; that is never followed")
                url = following
            raise FetchRefused(f"{shown(url)} redirects more than {_MAX_REDIRECTS} times")

    async def get_json(self, url: str) -> dict[str, Any]:
        """The JSON object at ``url``. Raises `FetchFailed` as well for any status but 200."""
        answer = await self.get(url)
        if answer.status != 200:
            raise FetchFailed(f"{shown(url)} answered with status {answer.status}", status=answer.status)
        return answer.json_object()

    async def post_form(
        self, url: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Fetched:
        """POST ``fields`` as a form. A redirect is an answer like any other: it is not followed."""
        body = urlencode(fields).encode("ascii")
        return await self._post(url, body, "application/x-www-form-urlencoded", headers)

    async def post_json(self, url: str, value: Any, headers: Mapping[str, str] | None = None) -> Fetched:
        """POST ``value`` as JSON; see `post_form`."""
        return await self._post(url, msgspec.json.encode(value), "application/json", headers)

    async def send(
        self, method: str, url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Fetched:
        """Send a request of any method, with whatever status it is answered. A redirect is an answer like any other.

        ``url`` goes out as it stands, not a character of it escaped anew. Raises `FetchRefused` and `FetchFailed`.
        """
        parse_url(url)
        async with self._bounded(url):
            return await self._exchange(method, url, body, headers or {})

    @asynccontextmanager
    async def keeping(self) -> AsyncGenerator[None]:
        """Keep connections between requests that are made meanwhile, in this event loop. Each leads to addresses that
        were checked when it was made, to one origin; nothing of an answer is kept.
        """
        loop = asyncio.get_running_loop()
        kept = self._kept.setdefault(loop, _KeptSessions())
        kept.users += 1
        try:
            yield
        finally:
            kept.users -= 1
            if not kept.users:
                del self._kept[loop]
                for session in kept.sessions.values():
                    await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Nothing stays open between two fetches but within `keeping`, so there is nothing to do; part of the contract
        all the same.
        """

    async def _post(self, url: str, body: bytes, kind: str, headers: Mapping[str, str] | None) -> Fetched:
        parse_url(url)
        async with self._bounded(url):
            sent = {"accept": "application/json", **(headers or {}), "content-type": kind}
            return await self._exchange("POST", url, body, sent)

    def _bounded(self, url: str) -> _FetchTimeout:
        return _FetchTimeout(self._timeout, shown(url))

    async def _exchange(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Fetched:
        """One request and its answer; whoever watches is told."""
        location, watcher = parse_url(url), fetch_watcher.get()
        if watcher is None:
            return await self._send(method, url, location, body, headers)
        status, problem = 0, None
        begun = watcher.began(method, location.host, location.port)
        try:
            answer = await self._send(method, url, location, body, headers)
            status = answer.status
            return answer
        except BaseException as raised:
            problem = raised
            raise
        finally:
            watcher.ended(begun, status, problem)

    async def _send(
        self, method: str, url: str, location: Location, body: bytes | None, headers: Mapping[str, str]
    ) -> Fetched:
        self._check(location)
        http = _aiohttp()
        import yarl  # what aiohttp reads URLs with

        local = location.is_local_name or (location.scheme == "http" and not self._allow_http)
        sent = {"accept-encoding": "identity", "user-agent": "dovetail", **headers}
        way: dict[str, Any] = {}
        if self._proxy is not None and not local:
            way = {"proxy": self._proxy.address, "proxy_headers": self._proxy.headers}
            if location.scheme == "http":  # no tunnel: the proxy reads the request itself
                sent |= self._proxy.headers
        try:
            async with (
                self._entered(http, local=local) as session,
                session.request(
                    method,
                    yarl.URL(url, encoded=True),
                    data=body,
                    headers=sent,
                    allow_redirects=False,
                    **way,
                ) as response,
            ):
                found = {name.lower(): str(value) for name, value in reversed(response.headers.items())}
                self._check_coding(found, url)
                return Fetched(response.status, found, await self._body(response, url), url)
        except AddressRefused as problem:
            raise _refused(shown(url), problem) from None
        except (OSError, RuntimeError, ValueError, http.ClientError) as problem:
            inner = problem.__cause__
            if isinstance(inner, AddressRefused):
                raise _refused(shown(url), inner) from None
            through = f" through the proxy {way['proxy']}" if way else ""
            reason = _reason(problem)
            if isinstance(problem, http.ClientHttpProxyError):  # its words may repeat what it was sent
                reason = f"that refuses with status {getattr(problem, 'status', 0)}"
            raise FetchFailed(f"{shown(url)} cannot be fetched{through}: {reason}") from None

    def _check(self, location: Location) -> None:
        """What can be told before a name is resolved."""
        policy = self._policy
        alone = policy.allow_loopback and location.is_local_name
        if location.scheme == "http" and not (self._allow_http or alone):
            raise FetchRefused(
                f"http://{location.host} is not fetched: it must be https, or this machine where that is allowed",
                allowed_by="allow_loopback" if location.is_local_name else "allow_http",
            )
        try:
            address = ip_address(location.host)
        except ValueError:
            return
        try:
            policy.check(address)
        except AddressRefused as problem:
            raise _refused(f"{location.scheme}://{location.host}", problem) from None

    @staticmethod
    def _check_coding(headers: Mapping[str, str], url: str) -> None:
        if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise FetchFailed(f"{shown(url)} answered in a compressed form that was not asked for")

    async def _body(self, response: Any, url: str) -> bytes:
        if (response.content_length or 0) > self._limit:
            raise FetchFailed(f"{shown(url)} answered with more than {self._limit} bytes")
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > self._limit:
                raise FetchFailed(f"{shown(url)} answered with more than {self._limit} bytes")
        return bytes(body)

    @asynccontextmanager
    async def _entered(self, http: Any, *, local: bool) -> AsyncGenerator[Any]:
        """The session for an exchange: one that is kept, or one for it alone."""
        kept = self._kept.get(asyncio.get_running_loop())
        if kept is not None:
            if local not in kept.sessions:
                kept.sessions[local] = self._session(http, local=local, keep=True)
            yield kept.sessions[local]
            return
        async with self._session(http, local=local, keep=False) as session:
            yield session

    def _session(self, http: Any, *, local: bool, keep: bool) -> Any:
        """A session. ``local``: it must not leave this machine, whatever a resolver takes the name for; it has no
        encryption, or a name that means this machine. ``keep``: connections are left open between two exchanges.
        """
        life: dict[str, Any] = (
            {"keepalive_timeout": KEEP_ALIVE, "limit": 0} if keep else {"force_close": True}
        )
        policy = _LoopbackOnly(self._policy.allow_loopback) if local else self._policy
        if self._proxy is not None and not local:
            policy = _Anywhere()
        return http.ClientSession(
            connector=http.TCPConnector(
                ssl=True if self._ssl is None else self._ssl,
                resolver=_pinning(http, policy, self._resolve),
                use_dns_cache=False,
                **life,
            ),
            cookie_jar=http.DummyCookieJar(),
            timeout=http.ClientTimeout(total=None),
            trust_env=False,
            auto_decompress=False,
            max_line_size=_MAX_HEADER,
            max_field_size=_MAX_HEADER,
            max_headers=_MAX_HEADERS,
        )


def parse_url(url: str) -> Location:
    """The parts of an absolute http(s) URL. Raises `FetchRefused` for anything unusual in it."""
    if len(url) > _MAX_URL or not _PLAIN.fullmatch(url):
        raise FetchRefused(f"{shown(url)} is not a plain URL; write it in ASCII, escaped, without spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").lower()
    except ValueError:
        raise FetchRefused(f"{shown(url)} is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise FetchRefused(f"{shown(url)} is neither an https nor an http URL")
    if "@" in parts.netloc or parts.netloc.endswith(":") or port == 0:
        raise FetchRefused(
            f"the authority of {shown(url)} must be a host, and a port if need be, nothing more"
        )
    if ":" in host or "[" in parts.netloc:
        _literal(host, url)
    elif not _NAME.fullmatch(host):
        raise FetchRefused(f"the host of {shown(url)} is not a proper name")
    elif _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        _literal(host, url)
    return Location(
        parts.scheme, host, port or (443 if parts.scheme == "https" else 80), parts.path, parts.query
    )


def shown(url: str) -> str:
    """A URL for messages: without user info, query and fragment, printable and short."""
    head = url.partition("#")[0].partition("?")[0][:300]
    before, separator, rest = head.partition("://")
    authority, slash, path = rest.partition("/")
    safe = f"{before}{separator}{authority.rpartition('@')[2]}{slash}{path}"
    return "".join(character if character.isprintable() else "?" for character in safe)


class _KeptSessions:
    """Sessions that are kept, by whether they must not leave this machine, and for how many."""

    def __init__(self) -> None:
        self.users = 0
        self.sessions: dict[bool, Any] = {}


class _FetchTimeout:
    """`asyncio.timeout`, whose end is a `FetchFailed`."""

    def __init__(self, seconds: float, where: str) -> None:
        self._seconds = seconds
        self._where = where
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        self._timeout = asyncio.timeout(self._seconds)
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: Any, problem: BaseException | None, trace: Any) -> None:
        try:
            await self._timeout.__aexit__(kind, problem, trace)
        except TimeoutError:
            raise FetchFailed(f"{self._where} did not answer within {self._seconds:g} s") from None


def _literal(host: str, url: str) -> None:
    try:
        ip_address(host)
    except ValueError:
        raise FetchRefused(f"the host of {shown(url)} is not an IP address in its usual notation") from None


def _refused(where: str, problem: AddressRefused) -> FetchRefused:
    return FetchRefused(f"{where} is not fetched: {problem}", allowed_by=problem.allowed_by)


async def _resolve(host: str, port: int) -> list[str]:
    name = "localhost" if is_local_name(host) else host
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class _LoopbackOnly(AddressPolicy):
    """This machine and nothing else."""

    def check(self, ip: str | IPv4Address | IPv6Address) -> None:
        """Raise `AddressRefused` for any other address."""
        if not is_loopback(ip_address(ip)):
            raise AddressRefused("it is for this machine, and its name does not lead there")
        super().check(ip)


class _Anywhere(AddressPolicy):
    """Any address: for the proxy's own, which nobody else has named."""

    def check(self, ip: str | IPv4Address | IPv6Address) -> None:
        """Nothing is refused."""


def _pinning(http: Any, policy: AddressPolicy, resolve: Resolve) -> Any:
    """aiohttp's resolver, giving out only addresses that were checked; one bad address refuses the name."""

    class PinnedResolver(http.abc.AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
            texts = list(dict.fromkeys(await resolve(host, port)))
            if not texts:
                raise OSError(f"{host} has no address")
            for text in texts:
                policy.check(text)
            return [
                {
                    "hostname": host,
                    "host": text,
                    "port": port,
                    "family": socket.AF_INET6 if ":" in text else socket.AF_INET,
                    "proto": 0,
                    "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                }
                for text in texts
            ]

        async def close(self) -> None:
            pass

    return PinnedResolver()


def _reason(problem: BaseException) -> str:
    inner = getattr(problem, "os_error", None) or getattr(problem, "certificate_error", None) or problem
    text = str(getattr(inner, "strerror", None) or getattr(inner, "message", None) or inner)[:200]
    plain = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(plain.split()) or type(inner).__name__


def _aiohttp() -> ModuleType:
    try:
        import aiohttp
    except ImportError:
        raise ImportError("fetching needs aiohttp: pip install 'dovetail[auth]'") from None
    return aiohttp
