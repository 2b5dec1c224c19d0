"""The token endpoint: codes, refresh tokens, clients' own rights and statements of others become access tokens.

Theory of operation. Each request is judged in one order: its form, the client, whether that client may use that grant,
the proof of possession if there is one, and only then the grant itself, for that is what gets used up. A token gets one
resource and no more scopes than were granted. The answer says which scopes those are.

A DPoP proof binds the access token to its key, and for public clients the refresh token too. A proof with the wrong
nonce is answered before anything is used up, so the client can simply try again.

Specification: OAuth 2.1 sections 3.2, 4.1.3, 4.2 and 4.3; RFC 7523 section 2.1; RFC 8707; RFC 9449 sections 5 and 8;
extensions "OAuth Client Credentials" and "Enterprise-Managed Authorization".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from dovetail.auth.oauth import NonceRequired, ProofInvalid, verifies

from .assertions import AssertionChecker, AssertionInvalid, TrustedIssuer
from .client_authentication import ClientAuthentication
from .clients import CLIENT_CREDENTIALS, CODE, JWT_BEARER, REFRESH, OAuthClient
from .exchange import HTTPRequest, HTTPResponse, json_answer
from .grants import Grant, Issued
from .login import User
from .parts import Parts
from .refusals import OAuthError, invalid_grant, invalid_request
from .scopes import OFFLINE, scope_text
from .tokens import TokenSubject

__all__ = ["ID_JAG_PROFILE", "Granting"]

ID_JAG_PROFILE: Final = "urn:ietf:params:oauth:grant-profile:id-jag"
_ID_JAG: Final = "oauth-id-jag+jwt"
_WORKLOAD_TYPES: Final = (None, "jwt", "at+jwt")
_WRONG_CODE: Final = "The code or token is not valid here: unknown, ended, used before, or another client's."

Form = Mapping[str, list[str]]


class Granting:
    """``POST /token``."""

    def __init__(
        self,
        parts: Parts,
        authentication: ClientAuthentication,
        checker: AssertionChecker,
        trusted: Sequence[TrustedIssuer],
    ) -> None:
        self._parts = parts
        self._authentication = authentication
        self._checker = checker
        self._trusted = {each.issuer: each for each in trusted}
        self._kinds = {
            CODE: self._by_code,
            REFRESH: self._by_refresh_token,
            CLIENT_CREDENTIALS: self._by_own_right,
            JWT_BEARER: self._by_statement,
        }

    async def token(self, request: HTTPRequest) -> HTTPResponse:
        """Answer one token request. Raises `OAuthError`."""
        form = request.form()
        client = await self._authentication.client_of(request, form)
        kind = form.get("grant_type", [""])[0]
        if not kind:
            raise invalid_request("grant_type is missing.")
        grant = self._kinds.get(kind)
        if grant is None:
            raise OAuthError("unsupported_grant_type", f"There are: {', '.join(self._kinds)}.")
        if kind not in client.grants and kind != REFRESH:  # who has a refresh token may use it
            raise OAuthError("unauthorized_client", "This client may not use this grant.")
        thumbprint = await self._prove(request, client)
        issued = await grant(client, form, thumbprint)
        await self._parts.directory.used(client, self._parts.lifetimes.idle_client)
        said: dict[str, Any] = {
            "access_token": issued.access_token,
            "token_type": issued.token_type,
            "expires_in": max(1, int(issued.ends - self._parts.clock())),
            "scope": issued.scope,
        }
        if issued.refresh_token:
            said["refresh_token"] = issued.refresh_token
        answer = json_answer(said).having(("pragma", "no-cache"))
        return answer.having(("dpop-nonce", await self._parts.kept.proofs.nonce())) if thumbprint else answer

    async def _prove(self, request: HTTPRequest, client: OAuthClient) -> str:
        """The thumbprint of the key that the request proves to have; "" without a proof."""
        proof = request.headers.get("dpop")
        if proof is None:
            if client.require_dpop or self._parts.require_dpop:
                raise OAuthError("invalid_dpop_proof", "A DPoP proof is required.")
            return ""
        try:
            return await self._parts.kept.proofs.check(proof, "POST", self._parts.place.urls.token)
        except NonceRequired as wanted:
            headers = (("dpop-nonce", wanted.nonce),)
            raise OAuthError("use_dpop_nonce", "Use the nonce of this answer.", headers=headers) from None
        except ProofInvalid as problem:
            raise OAuthError("invalid_dpop_proof", f"{problem}.") from None

    async def _by_code(self, client: OAuthClient, form: Form, thumbprint: str) -> Issued:
        code, verifier = _one(form, "code"), _one(form, "code_verifier")
        if not code or not verifier:
            raise invalid_request("code and code_verifier are required.")
        resources = form.get("resource", ())
        if len(resources) > 1:
            raise invalid_request("Ask for one resource at a time.")
        record = await self._parts.kept.grants.spend(code)
        shown = _one(form, "redirect_uri")
        if (
            record.client_id != client.id
            or (shown is not None and shown != record.redirect_uri)
            or not verifies(record.challenge, verifier)
            or record.thumbprint not in ("", thumbprint)
        ):
            raise invalid_grant(_WRONG_CODE)
        await self._parts.resource(client, resources, record.resource)
        refreshing = REFRESH in client.grants or OFFLINE in record.scopes
        bound = thumbprint if client.public else ""
        grant, refresh_token = await self._parts.kept.grants.begin(record, bound, refreshing=refreshing)
        return await self._issue(grant, record.scopes, refresh_token, thumbprint)

    async def _by_refresh_token(self, client: OAuthClient, form: Form, thumbprint: str) -> Issued:
        shown = _one(form, "refresh_token")
        if not shown:
            raise invalid_request("refresh_token is required.")
        asked = _one(form, "scope")
        resources = form.get("resource", ())
        found = await self._parts.kept.grants.find(shown)
        if found is not None and found.client_id == client.id:
            await self._parts.resource(client, resources, found.resource)

        async def make(grant: Grant, scopes: tuple[str, ...], refresh_token: str) -> Issued:
            return await self._issue(grant, scopes, refresh_token, thumbprint)

        return await self._parts.kept.grants.refresh(
            shown, self._check_refresh(client, asked, thumbprint), make
        )

    def _check_refresh(
        self, client: OAuthClient, asked: str | None, thumbprint: str
    ) -> Callable[[Grant], tuple[str, ...]]:
        def check(grant: Grant) -> tuple[str, ...]:
            if grant.client_id != client.id or grant.thumbprint not in ("", thumbprint):
                raise invalid_grant(_WRONG_CODE)
            if asked is None:
                return grant.scopes
            scopes = self._parts.scopes.asked(asked)
            if not self._parts.scopes.covers(grant.scopes, scopes):
                raise OAuthError(
                    "invalid_scope", "More scopes than were granted; ask the user again for those."
                )
            return scopes

        return check

    async def _by_own_right(self, client: OAuthClient, form: Form, thumbprint: str) -> Issued:
        if client.public or not client.trusted:
            raise OAuthError("unauthorized_client", "This client may not use this grant.")
        resource = await self._parts.resource(client, form.get("resource", ()))
        scopes = self._parts.scopes_for(client, _one(form, "scope"))
        return await self._issue_for(client, User(client.id), resource, scopes, thumbprint)

    async def _by_statement(self, client: OAuthClient, form: Form, thumbprint: str) -> Issued:
        assertion = _one(form, "assertion")
        if not assertion:
            raise invalid_request("assertion is required.")
        try:
            claims, trusted = await self._checked(client, assertion)
            user = _user_of(trusted, claims)
        except AssertionInvalid as problem:
            raise invalid_grant(f"The assertion is not accepted: {problem}.") from None
        scopes = self._parts.scopes_for(client, _one(form, "scope"))
        resources = list(form.get("resource", ()))
        if trusted.kind == "enterprise":
            scopes, resources = self._as_asserted(claims, form, scopes, resources)
        for allowed in (client.scopes, trusted.scopes, user.scopes):
            scopes = self._parts.scopes.within(scopes, allowed)
        resource = await self._parts.resource(client, resources)
        if _one(form, "scope") is not None and not scopes:
            raise OAuthError("invalid_scope", "None of these scopes can be had with this assertion.")
        return await self._issue_for(client, user, resource, scopes, thumbprint)

    async def _checked(self, client: OAuthClient, assertion: str) -> tuple[Mapping[str, Any], TrustedIssuer]:
        """What a trusted issuer states, proven, for this client."""
        trusted = self._trusted.get(str(self._checker.peek(assertion).get("iss")))
        if trusted is None:
            raise AssertionInvalid("its issuer is not trusted here")
        if client.id not in trusted.clients:
            raise OAuthError("unauthorized_client", "This client may not use statements of this issuer.")
        enterprise = trusted.kind == "enterprise"
        if enterprise and client.public:
            raise OAuthError("unauthorized_client", "An ID-JAG is taken from a client that proves who it is.")
        claims = await self._checker.check(
            assertion,
            issuer=trusted.issuer,
            jwks=trusted.jwks,
            jwks_uri=trusted.jwks_uri,
            types=(_ID_JAG,) if enterprise else _WORKLOAD_TYPES,
            endpoint_fits=not enterprise,
            once=trusted.single_use,
        )
        if enterprise and claims.get("client_id") != client.id:
            raise AssertionInvalid("it is for another client (client_id)")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject:
            raise AssertionInvalid("it does not say who it is about (sub)")
        return claims, trusted

    def _as_asserted(
        self, claims: Mapping[str, Any], form: Form, scopes: tuple[str, ...], resources: list[str]
    ) -> tuple[tuple[str, ...], list[str]]:
        """An ID-JAG says for which resource it is, and may say for which scopes: nothing else can be had with it."""
        named = claims.get("resource")
        if not isinstance(named, str) or not named:
            raise invalid_grant("The assertion is not accepted: it is for no one resource (resource).")
        if resources and resources != [named]:
            raise OAuthError("invalid_target", "The assertion is for another resource.")
        stated = claims.get("scope")
        if isinstance(stated, str):
            known = [name for name in stated.split(" ") if name in self._parts.scopes.words]
            wanted = scopes if _one(form, "scope") is not None else tuple(known)
            scopes = self._parts.scopes.within(wanted, known)
        return scopes, [named]

    async def _issue_for(
        self, client: OAuthClient, user: User, resource: str, scopes: tuple[str, ...], thumbprint: str
    ) -> Issued:
        """An access token without a grant behind it, and so without a refresh token."""
        about = TokenSubject(user.subject, client.id, resource, scope_text(scopes), user.claims, thumbprint)
        token, ends = await self._parts.kept.tokens.issue(about)
        return Issued(token, ends, about.scope, "DPoP" if thumbprint else "Bearer")

    async def _issue(
        self, grant: Grant, scopes: tuple[str, ...], refresh_token: str, thumbprint: str
    ) -> Issued:
        about = TokenSubject(
            grant.subject,
            grant.client_id,
            grant.resource,
            scope_text(scopes),
            grant.claims,
            thumbprint,
            grant.id,
        )
        token, ends = await self._parts.kept.tokens.issue(about)
        return Issued(token, ends, about.scope, "DPoP" if thumbprint else "Bearer", refresh_token)


def _user_of(trusted: TrustedIssuer, claims: Mapping[str, Any]) -> User:
    if trusted.subjects is not None and claims["sub"] not in trusted.subjects:
        raise AssertionInvalid("it is about somebody who is not let in here (sub)")
    if trusted.accept is None:
        try:
            return User(f"{trusted.issuer}#{claims['sub']}")
        except ValueError:
            raise AssertionInvalid(
                "it is about somebody whose name is too long or unreadable (sub)"
            ) from None
    user = trusted.accept(claims)
    if user is None:
        raise AssertionInvalid("it is about somebody who is not let in here (sub)")
    return user


def _one(form: Form, name: str) -> str | None:
    values = form.get(name, ())
    return values[0] if values else None
