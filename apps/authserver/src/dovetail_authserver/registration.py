"""Dynamic client registration: a client writes itself down.

Theory of operation. Anybody may try, or only who shows an initial access token: the operator decides. What a client
says of itself is judged in full before anything is kept, and only what is understood is kept and said back. Registered
clients get codes and refresh tokens, with the redirect URIs they named, and nothing that needs trust. A secret, if the
client wants one, is made here, said once, and kept as a digest. Registrations are bounded in number and size, and
forgotten when they are not used.

Deprecated since 2026-07-28 in favour of Client ID Metadata Documents (see `documents`), which need nothing kept here.

Specification: RFC 7591; OpenID Connect Dynamic Client Registration 1.0 (``application_type``);
basic/authorization/client-registration, "Dynamic Client Registration".
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from dovetail.auth.oauth import ClientMetadata, MetadataInvalid, parse_client
from dovetail.security import RateLimiter
from dovetail.stores import KeyValue

from . import redirects
from .clients import CODE, METHODS, REFRESH, OAuthClient, digest
from .exchange import HTTPRequest, HTTPResponse, json_answer
from .parts import Parts
from .refusals import OAuthError

__all__ = ["Registering"]

_MAX_NAME: Final = 256
_MAX_REDIRECTS: Final = 16
_TYPES: Final = ("native", "web")


class Registering:
    """``POST /register``. `tokens`: initial access tokens, one of which has to be shown; None: anybody may."""

    def __init__(self, parts: Parts, kv: KeyValue, tokens: Sequence[str] | None) -> None:
        self._parts = parts
        self._kv = kv
        self._tokens = None if tokens is None else [digest(token) for token in tokens]
        self._limiter = RateLimiter(0.1, 30)

    async def register(self, request: HTTPRequest) -> HTTPResponse:
        """Keep a new client and say what was kept. Raises `OAuthError`."""
        self._check_token(request)
        if request.media_type != "application/json":
            raise _wrong("send the client's metadata as application/json")
        if len(request.body) > self._parts.bounds.registration:
            raise OAuthError(
                "invalid_client_metadata", f"More than {self._parts.bounds.registration} bytes.", status=413
            )
        try:
            metadata = parse_client(request.body)
        except MetadataInvalid as problem:
            raise _wrong(str(problem)) from None
        client, secret = self._judge(metadata)
        await self._check_room(request)
        lifetime = self._parts.lifetimes.unused_client
        await self._kv.set(client.id, msgspec.json.encode(client), ttl=lifetime)
        return json_answer(self._said(client, metadata, secret), 201).having(("pragma", "no-cache"))

    def _check_token(self, request: HTTPRequest) -> None:
        if self._tokens is None:
            return
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        found = [hmac.compare_digest(digest(shown.strip()), known) for known in self._tokens]
        if scheme.lower() != "bearer" or not any(found):
            headers = (("www-authenticate", 'Bearer error="invalid_token"'),)
            text = "An initial access token is required to register."
            raise OAuthError("invalid_token", text, status=401, headers=headers, failure=True)

    async def _check_room(self, request: HTTPRequest) -> None:
        wait = self._limiter.take(request.remote)
        count = 0
        async for _ in self._kv.scan():
            count += 1
            if count >= self._parts.bounds.clients:
                wait = max(wait, 600.0)
                break
        if wait > 0:
            headers = (("retry-after", str(int(wait) + 1)),)
            raise OAuthError(
                "temporarily_unavailable", "Too many registrations; try later.", status=503, headers=headers
            )

    def _judge(self, metadata: ClientMetadata) -> tuple[OAuthClient, str]:
        """The client that is kept, and its secret if it has one. Raises `OAuthError`."""
        uris = tuple(dict.fromkeys(metadata.redirect_uris or ()))
        if not 1 <= len(uris) <= _MAX_REDIRECTS:
            raise OAuthError("invalid_redirect_uri", f"1 to {_MAX_REDIRECTS} redirect_uris are required.")
        kind = metadata.application_type or ("native" if redirects.native(uris) else "web")
        if kind not in _TYPES:
            raise _wrong("application_type is native or web")
        for uri in uris:
            if problem := redirects.problem_of(uri, application_type=kind):
                raise OAuthError("invalid_redirect_uri", f"{problem[0].upper()}{problem[1:]}.")
        grants = tuple(grant for grant in metadata.grant_types or (CODE,) if grant in (CODE, REFRESH))
        if CODE not in grants:
            raise _wrong("grant_types has to hold authorization_code")
        if "code" not in (metadata.response_types or ("code",)):
            raise _wrong("response_types has to hold code")
        method = metadata.token_endpoint_auth_method or METHODS[1]
        if method not in METHODS:
            raise _wrong(f"token_endpoint_auth_method is one of {', '.join(METHODS)}")
        keys = metadata.jwks is not None or metadata.jwks_uri is not None
        if keys != (method == METHODS[3]) or (metadata.jwks is not None and metadata.jwks_uri is not None):
            raise _wrong("jwks or jwks_uri, one of them, belongs to private_key_jwt and to nothing else")
        if metadata.scope is not None:
            self._parts.scopes.asked(metadata.scope)
        secret = secrets.token_urlsafe(32) if method.startswith("client_secret") else ""
        client = OAuthClient(
            id=secrets.token_urlsafe(16),
            origin="registered",
            name=(metadata.client_name or "")[:_MAX_NAME],
            redirect_uris=uris,
            auth_methods=(method,),
            secret_digest=digest(secret) if secret else "",
            jwks=metadata.jwks,
            jwks_uri=metadata.jwks_uri or "",
            grants=grants,
            require_dpop=bool(metadata.dpop_bound_access_tokens),
        )
        return client, secret

    def _said(self, client: OAuthClient, metadata: ClientMetadata, secret: str) -> dict[str, Any]:
        said: dict[str, Any] = {
            "client_id": client.id,
            "client_id_issued_at": int(self._parts.clock()),
            "redirect_uris": client.redirect_uris,
            "grant_types": client.grants,
            "response_types": ["code"],
            "token_endpoint_auth_method": client.auth_methods[0],
            "application_type": metadata.application_type
            or ("native" if redirects.native(client.redirect_uris) else "web"),
        }
        if client.name:
            said["client_name"] = client.name
        if metadata.scope is not None:
            said["scope"] = metadata.scope
        if client.jwks is not None:
            said["jwks"] = client.jwks
        if client.jwks_uri:
            said["jwks_uri"] = client.jwks_uri
        if client.require_dpop:
            said["dpop_bound_access_tokens"] = True
        if secret:
            said |= {"client_secret": secret, "client_secret_expires_at": 0}
        return said


def _wrong(why: str) -> OAuthError:
    return OAuthError("invalid_client_metadata", f"{why[0].upper()}{why[1:]}.")
