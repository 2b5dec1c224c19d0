"""Asking about tokens, and ending them: introspection and revocation.

Theory of operation. Both endpoints know who asks, and say the same of a token that does not exist as of one that is
somebody else's: it is not active; it was, as far as the asker is concerned, revoked. Introspection is for the servers
of resources (clients whose `introspects` names the resource) and tells everything at once, so that a grant that ended
ends its access tokens there too; a server that only checks signatures learns of it when they expire. Refresh tokens
are not active there: no server of a resource has a use for one, and what it takes for active it lets in.

Specification: RFC 7009; RFC 7662 sections 2 and 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dovetail.auth.oauth import canonical_resource

from .client_authentication import ClientAuthentication
from .clients import OAuthClient
from .exchange import HTTPRequest, HTTPResponse, json_answer
from .parts import Parts
from .refusals import invalid_client, invalid_request

__all__ = ["Revocation"]


class Revocation:
    """``POST /revoke`` and ``POST /introspect``."""

    def __init__(self, parts: Parts, authentication: ClientAuthentication) -> None:
        self._parts = parts
        self._authentication = authentication

    async def revoke(self, request: HTTPRequest) -> HTTPResponse:
        """End a token of the client that asks. Anything else is answered alike, and left alone."""
        client, token = await self._asked(request)
        grant = await self._parts.kept.grants.find(token)
        if grant is not None:
            if grant.client_id == client.id:
                await self._parts.kept.grants.end(grant.id)
            return json_answer({})
        claims = await self._parts.kept.tokens.read(token)
        if claims is not None and claims.get("client_id") == client.id:
            await self._parts.kept.tokens.revoke(claims)
        return json_answer({})

    async def introspect(self, request: HTTPRequest) -> HTTPResponse:
        """Say what a token is good for, to the server of its resource."""
        client, token = await self._asked(request)
        if client.public or not client.introspects:
            raise invalid_client(
                "Only the server of a resource, which proves who it is, may ask about tokens."
            )
        return json_answer(await self._about(client, token) or {"active": False})

    async def _asked(self, request: HTTPRequest) -> tuple[OAuthClient, str]:
        form = request.form()
        client = await self._authentication.client_of(request, form)
        token = form.get("token", [""])[0]
        if not token:
            raise invalid_request("token is missing.")
        return client, token

    async def _about(self, client: OAuthClient, token: str) -> dict[str, Any] | None:
        claims = await self._parts.kept.tokens.read(token)
        if claims is None:
            return None
        gone = "gid" in claims and await self._parts.kept.grants.get(str(claims["gid"])) is None
        if gone or not _serves(client, str(claims.get("aud"))):
            return None
        kind = "DPoP" if "cnf" in claims else "Bearer"
        return {"active": True, "token_type": kind, **_without(claims, "gid")}


def _serves(client: OAuthClient, resource: str) -> bool:
    return any(canonical_resource(each) == canonical_resource(resource) for each in client.introspects)


def _without(claims: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in claims.items() if key != name}
