"""A small authorization server: an ASGI application for development, for tests, and for a few people of your own.

Theory of operation
-------------------
`AuthServer` puts the parts together and finds the endpoint for a path; each endpoint has a module of its own, named
after what it does. Paths are compared whole, from the root of the host, with those of the issuer; so the same object
can be mounted anywhere, as long as the requests for its paths arrive. Errors become answers in one place: JSON for
programs, pages for people. Whatever else goes wrong is logged without its data and answered with 500.

It is no identity provider: who people are, the login hook says (see `login`). It is not made for thousands of users,
for many tenants or for high availability, though several processes may share its store.

Specification: basic/authorization; OAuth 2.1; RFC 8414 (metadata, also at the places where OpenID Connect Discovery
looks), RFC 7591, RFC 7009, RFC 7662, RFC 8707, RFC 9068, RFC 9207, RFC 9449.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any, Final, Literal

from dovetail.auth.oauth import canonical_resource
from dovetail.security import Fetcher, KeyRing, get_logger, parse_host
from dovetail.stores import SQLiteStore, Store

from . import metadata, pages
from .assertions import AssertionChecker, KeySets, TrustedIssuer
from .authorizing import Authorizing
from .client_authentication import ClientAuthentication
from .clients import Directory, RegisteredClient
from .documents import ClientDocuments
from .exchange import HTTPRequest, HTTPResponse, Receive, Scope, Send, json_answer, read, send_answer
from .granting import Granting
from .login import Login, developer_only
from .parts import AttemptGate, Guessed, IssuerLocation, Parts, ResourceHook, Storage, Urls
from .refusals import OAuthError, PageRefusal
from .registration import Registering
from .revocation import Revocation
from .scopes import Implies, Scopes
from .settings import Bounds, Lifetimes

__all__ = ["AuthServer"]

_LOG: Final = get_logger("dovetail_authserver")
_DEFAULT_FILE: Final = "dovetail-authserver.db"
_KEYS_AGE: Final = 60
_METADATA_AGE: Final = 300

Endpoint = Callable[[HTTPRequest], Awaitable[HTTPResponse]]
Documents = Literal["public", "loopback", "off"]


class AuthServer:
    """An authorization server for one `issuer`: an https URL without a slash at its end, or http on this machine.

    `login`: who is at the browser (see `login`). `store`: a `Store`, or the path of an SQLite file (default:
    ``dovetail-authserver.db`` here). `key_ring`: seals the private keys in it. `resources`: what tokens are issued for;
    `accepts_resource(url)`: more of them, by a hook. `scopes`: names, with words for people; `default_scopes`: for who
    asks for none; `implies(scope)`: narrower scopes that one includes. `clients`: those you write down. `registration`:
    "off", "open", or the initial access tokens one of which has to be shown. `documents`: take clients that publish a
    metadata document ("public", "loopback": of this machine too, "off"); `trusts_document(url)`: a hook that may refuse
    some. `trusted`: whose statements count (see `TrustedIssuer`). `require_dpop`: no bearer tokens at all;
    `dpop_nonces`: proofs need our nonce. `remember_consent`: for so many seconds the same consent is not asked for
    again (0: always asked). `cors_origins`: web pages that may read the answers for programs. `lifetimes`, `bounds`:
    numbers. `fetcher`: for documents and keys of others; `clock`: seconds since the epoch.

    Raises `ValueError` for settings that would not be safe.
    """

    def __init__(
        self,
        issuer: str,
        *,
        login: Login,
        store: Store | str | os.PathLike[str] | None = None,
        key_ring: KeyRing | None = None,
        resources: Iterable[str] = (),
        accepts_resource: ResourceHook | None = None,
        scopes: Mapping[str, str] | Iterable[str] = (),
        default_scopes: Iterable[str] = (),
        implies: Implies | None = None,
        clients: Sequence[RegisteredClient] = (),
        registration: Literal["off", "open"] | Sequence[str] = "off",
        documents: Documents = "public",
        trusts_document: Callable[[str], bool] | None = None,
        trusted: Sequence[TrustedIssuer] = (),
        require_dpop: bool = False,
        dpop_nonces: bool = False,
        remember_consent: float = 0.0,
        cors_origins: Sequence[str] = (),
        lifetimes: Lifetimes = Lifetimes(),
        bounds: Bounds = Bounds(),
        fetcher: Fetcher | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.place = place = IssuerLocation.of(issuer)
        known = {canonical_resource(each): each for each in resources}
        offers = bool(known or accepts_resource)
        _check(place, login, resources=offers, documents=documents, registration=registration)
        self._closing: list[Callable[[], Awaitable[None]]] = []
        store = self._opened(store)
        if fetcher is None:
            fetcher = Fetcher(allow_loopback=documents == "loopback")
            self._closing.append(fetcher.close)
        kept = Storage.within(store, issuer, lifetimes, key_ring=key_ring, nonces=dpop_nonces, clock=clock)
        described = _documents(fetcher, bounds, documents, trusts_document)
        directory = Directory(clients, kept.clients, described)
        self._parts = Parts(
            place=place,
            kept=kept,
            directory=directory,
            login=login,
            scopes=Scopes(scopes, default_scopes, implies),
            resources=known,
            accepts_resource=accepts_resource,
            gate=AttemptGate(bounds, clock),
            lifetimes=lifetimes,
            bounds=bounds,
            remember_consent=remember_consent,
            require_dpop=require_dpop,
            clock=clock,
        )
        self._cors = frozenset(cors_origins)
        self._metadata = metadata.document(
            self._parts, registration=registration != "off", documents=documents != "off", trusted=trusted
        )
        self._pages, self._programs = self._routes(fetcher, trusted, registration)
        self._guessed = _guessed(place.path, open_to_all=isinstance(registration, str))

    @property
    def issuer(self) -> str:
        """The issuer, exactly as tokens name it."""
        return self.place.issuer

    @property
    def urls(self) -> Urls:
        """The endpoints."""
        return self.place.urls

    def _opened(self, store: Store | str | os.PathLike[str] | None) -> Store:
        """The store, or one in a file, which is ours to close."""
        if store is not None and not isinstance(store, (str, os.PathLike)):
            return store
        opened = SQLiteStore(_DEFAULT_FILE if store is None else store)
        self._closing.append(opened.aclose)
        return opened

    async def rotate_keys(self) -> None:
        """Sign with a new key from now on; the old one stays published until its tokens have ended."""
        await self._parts.kept.key_store.rotate()

    async def aclose(self) -> None:
        """Let go of what this server opened by itself: the store it was given a path of, its connections."""
        for close in self._closing:
            await close()

    def run(self, *, host: str | None = None, port: int | None = None, proxies: Sequence[str] = ()) -> None:
        """Serve until interrupted, with uvicorn: where the issuer says if that is this machine, else on `host` and
        `port`, behind something that ends TLS.

        `proxies`: addresses and networks ("10.0.0.7", "10.1.0.0/16") of those whose ``X-Forwarded-For`` is believed;
        by default nobody's, so that callers are told apart by where they really come from. Raises `ImportError`
        without ``dovetail[server]``, `ValueError` for proxies that have no such name.
        """
        trusted = _proxies(proxies)
        try:
            import uvicorn
        except ImportError:
            raise ImportError("serving needs uvicorn: pip install 'dovetail[server]'") from None
        here = parse_host(self.place.origin.partition("://")[2])
        bound = host or (here.host if here is not None and self.place.local else "127.0.0.1")
        at = port if port is not None else self.place.port if not self.place.secure else 8400
        uvicorn.run(
            self,
            host=bound,
            port=at,
            log_level="warning",
            server_header=False,
            proxy_headers=bool(trusted),
            forwarded_allow_ips=trusted,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            answer = await self._answer(scope, receive)
            await send_answer(send, answer, head=scope["method"] == "HEAD")
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, receive: Receive) -> HTTPResponse:
        path, root = str(scope["path"]), str(scope.get("root_path") or "")
        if root and not path.startswith(root):
            path = root + path  # as older frameworks mount
        endpoint = self._pages.get(path)
        for_people = endpoint is not None
        endpoint = endpoint or self._programs.get(path)
        if endpoint is None:
            return json_answer({"error": "not_found"}, 404)
        try:
            request = await read(scope, receive, path, self._parts.bounds)
            async with asyncio.timeout(self._parts.bounds.work):
                answer = await self._judged(endpoint, request, for_people=for_people)
        except OAuthError as problem:
            return _told(problem, for_people=for_people)
        except TimeoutError:
            return _told(
                OAuthError("temporarily_unavailable", "It took too long.", status=503), for_people=for_people
            )
        except Exception:  # noqa: BLE001 - a hook's or our own fault must not end the server, nor tell its data
            _LOG.exception("a request to %s failed", path)
            return _told(
                OAuthError("server_error", "Something went wrong here.", status=500), for_people=for_people
            )
        return answer if for_people else self._shared(request, answer)

    async def _judged(self, endpoint: Endpoint, request: HTTPRequest, *, for_people: bool) -> HTTPResponse:
        """The endpoint's answer, if host and, where something can be guessed at, failures so far let it pass."""
        gate, what = self._parts.gate, self._guessed.get(request.path)
        try:
            self._check_host(request)
            if what is not None:
                self._check_page(request)
                gate.check(what, request.remote)
            if request.method == "OPTIONS" and not for_people:
                return HTTPResponse(
                    204, headers=(("allow", "GET, POST, OPTIONS"), ("cache-control", "no-store"))
                )
            return await endpoint(request)
        except OAuthError as problem:
            if problem.failure and what is not None:
                gate.failed(what, request.remote)
            return _told(problem, for_people=for_people)
        except PageRefusal as problem:
            return pages.refusal(problem.title, problem.text, status=problem.status).having(*problem.headers)

    def _check_host(self, request: HTTPRequest) -> None:
        """On this machine, a name that somebody else pointed here (DNS rebinding) is refused."""
        host = parse_host(request.headers.get("host"))
        if self.place.local and (host is None or not host.is_loopback):
            raise OAuthError("invalid_request", "The Host header does not name this server.", status=403)

    def _check_page(self, request: HTTPRequest) -> None:
        """A page of another site that may not read the answer is not asked what it wants: its tries would be counted as
        those of whoever looks at it.
        """
        site = request.headers.get("sec-fetch-site")
        if site in ("cross-site", "same-site") and request.headers.get("origin", "") not in self._cors:
            raise OAuthError("invalid_request", "This was sent by a page of another site.", status=403)

    def _shared(self, request: HTTPRequest, answer: HTTPResponse) -> HTTPResponse:
        """Let the listed web pages read the answer."""
        origin = request.headers.get("origin", "")
        if origin not in self._cors:
            return answer
        answer = answer.having(
            ("access-control-allow-origin", origin),
            ("access-control-expose-headers", "dpop-nonce, www-authenticate"),
            ("vary", "origin"),
        )
        if request.method != "OPTIONS":
            return answer
        return answer.having(
            ("access-control-allow-methods", "GET, POST"),
            ("access-control-allow-headers", "authorization, content-type, dpop, mcp-protocol-version"),
            ("access-control-max-age", "600"),
        )

    def _routes(
        self, fetcher: Fetcher, trusted: Sequence[TrustedIssuer], registration: str | Sequence[str]
    ) -> tuple[dict[str, Endpoint], dict[str, Endpoint]]:
        """The endpoints by path: those for people, those for programs."""
        parts, path = self._parts, self.place.path
        keys, clock = KeySets(fetcher), parts.clock
        checker = AssertionChecker(self.issuer, self.urls.token, keys, parts.kept.replays, clock=clock)
        authentication = ClientAuthentication(parts.directory, checker)
        authorizing, ending = Authorizing(parts), Revocation(parts, authentication)
        granting = Granting(parts, authentication, checker, trusted)
        oauth, openid = metadata.places(path)
        programs: dict[str, Endpoint] = {
            f"{path}/token": _posted(granting.token),
            f"{path}/revoke": _posted(ending.revoke),
            f"{path}/introspect": _posted(ending.introspect),
            f"{path}/jwks": _got(self._keys),
            oauth: _got(self._described),
            **dict.fromkeys(openid, _got(self._described_for_openid)),
        }
        if registration != "off":
            tokens = None if isinstance(registration, str) else registration
            programs[f"{path}/register"] = _posted(Registering(parts, parts.kept.clients, tokens).register)
        people: dict[str, Endpoint] = {
            f"{path}/authorize": authorizing.begin,
            f"{path}/login": authorizing.log_in,
            f"{path}/consent": authorizing.decide,
        }
        return people, programs

    async def _keys(self, request: HTTPRequest) -> HTTPResponse:
        keys = [key.public for key in await self._parts.kept.key_store.published()]
        return json_answer({"keys": keys}, max_age=_KEYS_AGE)

    async def _described(self, request: HTTPRequest) -> HTTPResponse:
        return json_answer(self._metadata, max_age=_METADATA_AGE)

    async def _described_for_openid(self, request: HTTPRequest) -> HTTPResponse:
        return json_answer({**self._metadata, **metadata.openid_extra()}, max_age=_METADATA_AGE)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _check(
    place: IssuerLocation, login: Login, *, resources: bool, documents: str, registration: str | Sequence[str]
) -> None:
    if developer_only(login) and not place.local:
        raise ValueError(
            "This login asks for no proof; it is for an issuer on this machine only. Write a login hook."
        )
    if not resources:
        raise ValueError("Name the resources that tokens are for: resources=['https://example.com/mcp'].")
    if documents not in ("public", "loopback", "off"):
        raise ValueError("documents is 'public', 'loopback' or 'off'.")
    if isinstance(registration, str):
        if registration not in ("off", "open"):
            raise ValueError("registration is 'off', 'open' or a list of initial access tokens.")
    elif not registration or any(len(token) < 16 for token in registration):
        raise ValueError("An initial access token has at least 16 characters, better 43 random ones.")


def _guessed(path: str, *, open_to_all: bool) -> dict[str, Guessed]:
    """Where something can be guessed at by trying, and what; the login counts for itself."""
    found: dict[str, Guessed] = dict.fromkeys(
        (f"{path}/token", f"{path}/revoke", f"{path}/introspect"), "secret"
    )
    return found if open_to_all else {**found, f"{path}/register": "registration"}


def _documents(
    fetcher: Fetcher, bounds: Bounds, kind: Documents, trusts: Callable[[str], bool] | None
) -> ClientDocuments | None:
    if kind == "off":
        return None
    return ClientDocuments(fetcher, bounds, loopback=kind == "loopback", trusts=trusts)


def _proxies(named: Sequence[str]) -> list[str]:
    """The proxies to trust. Raises `ValueError` for what is no address and no network, or is all of them."""
    if isinstance(named, str):
        raise ValueError(f"proxies is a list: [{named!r}]")
    for each in named:
        try:
            everybody = ip_network(each).prefixlen == 0
        except ValueError:
            raise ValueError(
                f"{each!r} is no address or network of a proxy; write '10.0.0.7' or '10.1.0.0/16'"
            ) from None
        if everybody:
            raise ValueError(f"{each!r} would believe everybody; name the proxies alone")
    return list(named)


def _told(problem: OAuthError, *, for_people: bool) -> HTTPResponse:
    if for_people:
        answer = pages.refusal("This did not work", problem.description, status=problem.status)
    else:
        said: dict[str, Any] = {"error": problem.code, "error_description": problem.description}
        answer = json_answer(said, problem.status)
    return answer.having(*problem.headers)


def _posted(endpoint: Endpoint) -> Endpoint:
    return _only(("POST",), endpoint)


def _got(endpoint: Endpoint) -> Endpoint:
    return _only(("GET", "HEAD"), endpoint)


def _only(methods: tuple[str, ...], endpoint: Endpoint) -> Endpoint:
    async def judged(request: HTTPRequest) -> HTTPResponse:
        if request.method not in methods:
            headers = (("allow", ", ".join(methods)),)
            raise OAuthError("invalid_request", f"Use {methods[0]}.", status=405, headers=headers)
        return await endpoint(request)

    return judged
