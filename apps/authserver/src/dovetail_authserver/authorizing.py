"""The authorization endpoint: from a client's request, over login and consent, to the answer at its redirect URI.

Theory of operation
-------------------
First the client and its redirect URI: until both are known to be right, whatever is wrong is told to the person, on a
page, and nobody is redirected. Then the rest of the request; what is wrong with that is told to the client, at its
redirect URI, where the operator vouches for it or it is on this machine; else the person is asked first, or
strangers could use us to send people anywhere.

Nothing is stored before somebody logged in. The request in progress travels as a ticket in the URL of our pages,
sealed, limited in time, and bound to a random cookie of this browser, so that a link that somebody else started opens
nothing. After the login the consent page carries a ticket of its own, with the user in it and good for one decision.
Consent is remembered only where the operator said so, and then for exactly this user, client, redirect URI, resource
and scopes.

Specification: OAuth 2.1 section 4.1; RFC 9207; RFC 8707; RFC 9700 sections 2.1, 4.11 and 4.16; basic/authorization;
"Security Best Practices", "Confused Deputy Problem".
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from dovetail.auth.oauth import is_challenge
from dovetail.security import AESGCMSealer, SealBroken, parse_origin

from . import pages, redirects
from .clients import CODE, OAuthClient
from .documents import is_document_id
from .exchange import HTTPRequest, HTTPResponse, redirect
from .grants import CodeRecord, new_handle
from .login import LoginRequest, User, ask_hook
from .parts import Parts
from .refusals import OAuthError, PageRefusal, invalid_request
from .settings import CHALLENGE_METHOD

__all__ = ["Authorizing"]

_COOKIE_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_MAX_STATE: Final = 2048
_STALE: Final = "This page is out of date"
_STALE_TEXT: Final = (
    "It was used already, is too old, or was opened in another browser. Start again from the application."
)


class PendingAuthorization(msgspec.Struct, frozen=True, kw_only=True):
    """A checked authorization request."""

    client_id: str
    redirect_uri: str
    state: str | None
    challenge: str
    resource: str
    scopes: tuple[str, ...]
    thumbprint: str = ""


class ConsentPage(msgspec.Struct, frozen=True, kw_only=True):
    """A consent page: what was asked of whom. `nonce` makes its decision count once."""

    pending: PendingAuthorization
    user: User
    scopes: tuple[str, ...]
    nonce: str


class Authorizing:
    """The endpoints with pages: ``/authorize``, ``/login`` and ``/consent``."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def begin(self, request: HTTPRequest) -> HTTPResponse:
        """``GET /authorize``."""
        if request.method != "GET":
            raise PageRefusal(
                "Not allowed", "An authorization request is a GET.", status=405, headers=(("allow", "GET"),)
            )
        try:
            parameters = {name: list(values) for name, values in request.parameters().items()}
            client, redirect_uri = await self._client_of(parameters, request.remote)
        except OAuthError as problem:
            raise PageRefusal(
                "This login can't go on",
                problem.description,
                status=max(400, problem.status),
                headers=problem.headers,
            ) from None
        try:
            pending = await self._judge(client, redirect_uri, parameters)
        except OAuthError as problem:
            return self._failed(client, redirect_uri, _one(parameters, "state"), problem)
        browser = request.cookies.get(self._cookie, "")
        if not _COOKIE_VALUE.fullmatch(browser):
            browser = secrets.token_urlsafe(32)
        answer = await self._log_in(request, client, pending, browser, came_back=False)
        secure = "; Secure" if self._parts.place.secure else ""
        age = int(self._parts.lifetimes.interaction)
        cookie = f"{self._cookie}={browser}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}"
        return answer.having(("set-cookie", cookie))

    async def log_in(self, request: HTTPRequest) -> HTTPResponse:
        """``GET`` and ``POST /login?ticket=...``: the login hook is asked again."""
        if request.method == "POST":
            self._check_own_form(request)
        ticket = _one(request.parameters(), "ticket") or ""
        browser = request.cookies.get(self._cookie, "")
        pending = await self._open(ticket, browser, "login", PendingAuthorization)
        client = await self._parts.directory.find(pending.client_id)
        if client is None:
            raise PageRefusal(_STALE, _STALE_TEXT)
        return await self._log_in(request, client, pending, browser, came_back=True)

    async def decide(self, request: HTTPRequest) -> HTTPResponse:
        """``POST /consent``: allow or deny, once."""
        if request.method != "POST":
            raise PageRefusal(
                "Not allowed", "A decision is posted.", status=405, headers=(("allow", "POST"),)
            )
        self._check_own_form(request)
        form = request.form()
        asked = await self._open(
            _one(form, "ticket") or "", request.cookies.get(self._cookie, ""), "consent", ConsentPage
        )
        decision = _one(form, "decision")
        if decision not in ("allow", "deny"):
            raise PageRefusal("Nothing was decided", "Go back and choose to allow or to deny.")
        if not await self._parts.kept.consents.add(
            f"used/{asked.nonce}", b"1", ttl=self._parts.lifetimes.interaction + 60
        ):
            raise PageRefusal(_STALE, _STALE_TEXT)
        client = await self._parts.directory.find(asked.pending.client_id)
        if client is None or not redirects.matches(client.redirect_uris, asked.pending.redirect_uri):
            raise PageRefusal(_STALE, _STALE_TEXT)
        if decision == "deny":
            denied = OAuthError("access_denied", "The request was denied.")
            return redirect(self._error_url(asked.pending.redirect_uri, asked.pending.state, denied))
        if self._parts.remember_consent and not redirects.is_loopback(asked.pending.redirect_uri):
            await self._parts.kept.consents.set(_remembered(asked), b"1", ttl=self._parts.remember_consent)
        return await self._allowed(asked)

    async def _client_of(self, parameters: dict[str, list[str]], remote: str) -> tuple[OAuthClient, str]:
        """The client and where it wants the answer. Until this has returned, nobody is redirected."""
        id, redirect_uri = _one(parameters, "client_id"), _one(parameters, "redirect_uri")
        if id is None:
            raise invalid_request("client_id is missing.")
        client = await self._found(id, remote)
        if client is None:
            raise OAuthError("invalid_client", "This application is not known here.")
        if redirect_uri is None:
            raise invalid_request("redirect_uri is missing.")
        if not redirects.matches(client.redirect_uris, redirect_uri):
            raise OAuthError("invalid_request", "redirect_uri is not one that this application registered.")
        return client, redirect_uri

    async def _found(self, id: str, remote: str) -> OAuthClient | None:
        """The client. Whoever names documents that are none, and so makes us fetch in vain, has to wait."""
        if not is_document_id(id):
            return await self._parts.directory.find(id)
        gate = self._parts.gate
        gate.check("document", remote)
        try:
            return await self._parts.directory.find(id)
        except OAuthError:
            gate.failed("document", remote)
            raise

    async def _judge(
        self, client: OAuthClient, redirect_uri: str, parameters: dict[str, list[str]]
    ) -> PendingAuthorization:
        """The rest of the request. Raises `OAuthError`, which may be told to the client."""
        for name in ("request", "request_uri"):
            if name in parameters:
                raise OAuthError(f"{name}_not_supported", f"{name} is not supported.")
        state = _one(parameters, "state")
        if state is not None and len(state) > _MAX_STATE:
            raise invalid_request(f"state has more than {_MAX_STATE} characters.")
        if _one(parameters, "response_type") != "code":
            raise OAuthError("unsupported_response_type", "response_type has to be code.")
        if _one(parameters, "response_mode") not in (None, "query"):
            raise invalid_request("response_mode has to be query, or left out.")
        if CODE not in client.grants:
            raise OAuthError("unauthorized_client", "This client may not use authorization codes.")
        if _one(parameters, "code_challenge_method") != CHALLENGE_METHOD:
            raise invalid_request("PKCE is required: code_challenge_method has to be S256.")
        challenge = _one(parameters, "code_challenge") or ""
        if not is_challenge(challenge):
            raise invalid_request("PKCE is required: code_challenge has 43 characters of base64url.")
        thumbprint = _one(parameters, "dpop_jkt") or ""
        if thumbprint and not _THUMBPRINT.fullmatch(thumbprint):
            raise invalid_request("dpop_jkt is the SHA-256 thumbprint of a key.")
        return PendingAuthorization(
            client_id=client.id,
            redirect_uri=redirect_uri,
            state=state,
            challenge=challenge,
            resource=await self._parts.resource(client, parameters.get("resource", ())),
            scopes=self._parts.scopes_for(client, _one(parameters, "scope")),
            thumbprint=thumbprint,
        )

    async def _log_in(
        self,
        request: HTTPRequest,
        client: OAuthClient,
        pending: PendingAuthorization,
        browser: str,
        *,
        came_back: bool,
    ) -> HTTPResponse:
        ticket = await self._seal(pending, browser, "login")
        action = f"{self._parts.place.urls.login}?{urlencode({'ticket': ticket})}"
        tried = came_back and request.method == "POST"  # a form that leads to no login may be a guess
        if tried:
            self._parts.gate.begin("login", request.remote)
        found = await ask_hook(
            self._parts.login, _login_request(request, client, pending, action, came_back=came_back)
        )
        if not isinstance(found, User):
            return pages.operator_page(found)
        if tried:
            self._parts.gate.succeeded("login", request.remote)
        return await self._ask(client, pending, found, browser)

    async def _ask(
        self, client: OAuthClient, pending: PendingAuthorization, user: User, browser: str
    ) -> HTTPResponse:
        """The consent page, or at once the answer where the same consent is remembered."""
        parts = self._parts
        if user.subject in parts.directory.listed:
            raise ValueError(
                "The login hook gave a user whose subject is a client's id; tokens could not tell them apart."
            )
        granted = parts.scopes.within(pending.scopes, user.scopes)
        if pending.scopes and not granted:
            problem = OAuthError("access_denied", "This user may not grant any of these scopes.")
            return self._failed(client, pending.redirect_uri, pending.state, problem)
        asked = ConsentPage(pending=pending, user=user, scopes=granted, nonce=secrets.token_urlsafe(24))
        if parts.remember_consent and await parts.kept.consents.get(_remembered(asked)) is not None:
            return await self._allowed(asked)
        return pages.consent(
            client,
            user,
            redirect_uri=pending.redirect_uri,
            resource=pending.resource,
            scopes=granted,
            words=parts.scopes,
            action=parts.place.urls.consent,
            ticket=await self._seal(asked, browser, "consent"),
        )

    async def _allowed(self, asked: ConsentPage) -> HTTPResponse:
        pending = asked.pending
        handle, grant = new_handle()
        code = await self._parts.kept.grants.new_code(
            CodeRecord(
                client_id=pending.client_id,
                redirect_uri=pending.redirect_uri,
                challenge=pending.challenge,
                subject=asked.user.subject,
                claims=asked.user.claims,
                resource=pending.resource,
                scopes=asked.scopes,
                grant=grant,
                handle=handle,
                thumbprint=pending.thumbprint,
            )
        )
        return redirect(self._answer_url(pending.redirect_uri, pending.state, {"code": code}))

    def _failed(
        self, client: OAuthClient, redirect_uri: str, state: str | None, problem: OAuthError
    ) -> HTTPResponse:
        """Tell the client; but let a person decide whether to go where only a stranger says that it is right."""
        url = self._error_url(
            redirect_uri, None if state is not None and len(state) > _MAX_STATE else state, problem
        )
        if client.trusted or redirects.is_loopback(redirect_uri):
            return redirect(url)
        return pages.refusal("This login can't go on", problem.description, status=400, onward=url)

    def _error_url(self, redirect_uri: str, state: str | None, problem: OAuthError) -> str:
        said = {"error": problem.code, "error_description": problem.description}
        return self._answer_url(redirect_uri, state, said)

    def _answer_url(self, redirect_uri: str, state: str | None, said: dict[str, str]) -> str:
        if state is not None:
            said["state"] = state
        said["iss"] = self._parts.place.issuer
        return f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{urlencode(said)}"

    @property
    def _cookie(self) -> str:
        # Cookies of one host are shared by its ports; two servers on this machine must not take each other's.
        return "__Host-dovetail" if self._parts.place.secure else f"dovetail-{self._parts.place.port}"

    def _check_own_form(self, request: HTTPRequest) -> None:
        """A form that comes from another site's page is refused, whatever it holds."""
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        own = parse_origin(self._parts.place.origin)
        if (origin is not None and (own is None or parse_origin(origin) != own)) or site in (
            "cross-site",
            "same-site",
        ):
            raise PageRefusal("Not allowed", "This form was sent by another site.", status=403)

    async def _seal(self, value: PendingAuthorization | ConsentPage, browser: str, purpose: str) -> str:
        sealer = await self._sealer(purpose)
        return sealer.seal(msgspec.json.encode(value), binding=browser.encode("ascii"))

    async def _open(self, ticket: str, browser: str, purpose: str, type: type[Any]) -> Any:
        sealer = await self._sealer(purpose)
        try:
            if not _COOKIE_VALUE.fullmatch(browser):
                raise SealBroken
            return msgspec.json.decode(sealer.open(ticket, binding=browser.encode("ascii")), type=type)
        except (SealBroken, msgspec.MsgspecError):
            raise PageRefusal(_STALE, _STALE_TEXT) from None

    async def _sealer(self, purpose: str) -> AESGCMSealer:
        ring = await self._parts.kept.key_store.ring()
        age = self._parts.lifetimes.interaction
        purpose = f"authorization server {self._parts.place.issuer} {purpose}"
        return AESGCMSealer(ring, purpose, max_age=age, max_bytes=16 * 1024, clock=self._parts.clock)


def _login_request(
    request: HTTPRequest, client: OAuthClient, pending: PendingAuthorization, action: str, *, came_back: bool
) -> LoginRequest:
    form = request.form() if came_back and request.method == "POST" else {}
    query = request.parameters() if came_back else {}
    return LoginRequest(
        method=request.method,
        action=action,
        form={name: values[0] for name, values in form.items()},
        query={name: values[0] for name, values in query.items() if name != "ticket"},
        cookies=request.cookies,
        headers=request.headers,
        client_name=client.name,
        client_id=client.id,
        scopes=pending.scopes,
        resource=pending.resource,
    )


def _remembered(asked: ConsentPage) -> str:
    pending = asked.pending
    what = (
        asked.user.subject,
        pending.client_id,
        pending.redirect_uri,
        pending.resource,
        sorted(asked.scopes),
    )
    return f"remembered/{hashlib.sha256(msgspec.json.encode(what)).hexdigest()}"


def _one(parameters: dict[str, list[str]], name: str) -> str | None:
    values: Sequence[str] = parameters.get(name, ())
    return values[0] if values else None
