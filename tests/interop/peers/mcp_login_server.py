"""The official Python SDK as a protected server. Its one argument is JSON: `role`, and what that needs.

`authority`: with the SDK's own authorization server beside it, whose provider is kept in memory here. `introspection`
and `jwks`: a resource server of the authorization server at `issuer`, which it asks, or whose keys it fetches.
It listens at the socket `fd`, which is at `origin`, and says so. Told `{"do": "end"}` it ends all access tokens that it
gave out, and told `{"do": "grants"}` it says how tokens were got; it ends with its input.

Written with the SDK's public pieces, as its own documentation teaches it. Runs in the environment of `mcp`.

Follows: no page of the specification; see `tests/interop/login_scene.py`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import sys
import time
from typing import Any

import httpx2
import jwt
import uvicorn
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    IdentityAssertionParams,
    OAuthAuthorizationServerProvider,
    RefreshToken,
    TokenError,
    TokenVerifier,
    construct_redirect_uri,
)
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions, RevocationOptions
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import JWT_BEARER_GRANT_TYPE, OAuthClientInformationFull, OAuthToken

SCOPES = ["notes:read", "notes:write"]
HOUR = 3600


def say(**what: Any) -> None:
    """A line for the test."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Authority(OAuthAuthorizationServerProvider[AuthorizationCode, RefreshToken, AccessToken]):
    """Takes whoever comes for alice; and for its company's people, whom the company vouches for."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.clients: dict[str, OAuthClientInformationFull] = {}
        self.codes: dict[str, AuthorizationCode] = {}
        self.access: dict[str, AccessToken] = {}
        self.refreshing: dict[str, RefreshToken] = {}
        self.grants: list[str] = []
        if "secret" in given:
            self.clients["desktop"] = OAuthClientInformationFull(
                client_id="desktop",
                client_secret=given["secret"],
                token_endpoint_auth_method=given["method"],
                grant_types=[JWT_BEARER_GRANT_TYPE],
            )

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        self.clients[client_info.client_id] = client_info

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        code = AuthorizationCode(
            code=secrets.token_urlsafe(32),
            client_id=client.client_id,
            expires_at=time.time() + 60,
            subject="alice",
            **{**params.model_dump(exclude={"state"}), "scopes": params.scopes or SCOPES},
        )
        self.codes[code.code] = code
        return construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state)

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        del self.codes[authorization_code.code]
        return self.issue("authorization_code", authorization_code)

    async def load_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: str
    ) -> RefreshToken | None:
        return self.refreshing.get(refresh_token)

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        del self.refreshing[refresh_token.token]
        return self.issue("refresh_token", refresh_token)

    async def load_access_token(self, token: str) -> AccessToken | None:
        return self.access.get(token)

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        self.access.pop(token.token, None)
        self.refreshing.pop(token.token, None)
        self.grants.append("revoked")

    async def exchange_identity_assertion(
        self, client: OAuthClientInformationFull, params: IdentityAssertionParams
    ) -> OAuthToken:
        key = jwt.PyJWK(self.given["company_keys"]["keys"][0]).key
        try:
            claims = jwt.decode(
                params.assertion,
                key,
                algorithms=["ES256"],
                audience=self.given["issuer"],
                issuer=self.given["company"],
            )
        except jwt.InvalidTokenError as error:
            raise TokenError("invalid_grant", repr(error)) from error
        if jwt.get_unverified_header(params.assertion)["typ"] != "oauth-id-jag+jwt":
            raise TokenError("invalid_grant", "it is no ID-JAG")
        if (claims["client_id"], claims["resource"]) != (client.client_id, self.given["resource"]):
            raise TokenError("invalid_grant", "it is for another client or resource")
        made = AuthorizationCode(
            code="",
            scopes=claims["scope"].split(),
            expires_at=0,
            client_id=client.client_id,
            code_challenge="",
            redirect_uri="http://127.0.0.1/",  # type: ignore[arg-type] - pydantic makes it one
            redirect_uri_provided_explicitly=False,
            resource=claims["resource"],
            subject=claims["sub"],
        )
        return self.issue("jwt-bearer", made, refresh=False)

    def issue(
        self, how: str, source: AuthorizationCode | RefreshToken, *, refresh: bool = True
    ) -> OAuthToken:
        """Tokens for what was granted."""
        self.grants.append(how)
        same = source.model_dump(include={"client_id", "scopes", "resource", "subject"})
        access = AccessToken(token=secrets.token_urlsafe(), expires_at=int(time.time()) + HOUR, **same)
        self.access[access.token] = access
        more = RefreshToken(token=secrets.token_urlsafe(), **same)
        if refresh:
            self.refreshing[more.token] = more
        return OAuthToken(
            access_token=access.token,
            expires_in=HOUR,
            scope=" ".join(source.scopes),
            refresh_token=more.token if refresh else None,
        )


class Verifier(TokenVerifier):
    """Checks the tokens of an authorization server elsewhere."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given

    async def verify_token(self, token: str) -> AccessToken | None:
        claims = await (self.asked(token) if self.given["role"] == "introspection" else self.checked(token))
        if claims is None:
            return None
        return AccessToken(
            token=token,
            client_id=claims["client_id"],
            scopes=claims["scope"].split(),
            expires_at=claims["exp"],
            resource=claims["aud"],
            subject=claims["sub"],
            claims=claims,
        )

    async def asked(self, token: str) -> dict[str, Any] | None:
        """By introspection (RFC 7662)."""
        async with httpx2.AsyncClient(auth=("notes-server", self.given["secret"])) as http:
            answer = await http.post(f"{self.given['issuer']}/introspect", data={"token": token})
        found = answer.json()
        return found if answer.status_code == 200 and found["active"] else None

    async def checked(self, token: str) -> dict[str, Any] | None:
        """By the issuer's keys (RFC 9068)."""
        async with httpx2.AsyncClient() as http:
            keys = jwt.PyJWKSet.from_dict((await http.get(f"{self.given['issuer']}/jwks")).json())
        try:
            key = keys[jwt.get_unverified_header(token)["kid"]]
            return jwt.decode(
                token, key.key, ["ES256"], issuer=self.given["issuer"], audience=self.given["resource"]
            )
        except (jwt.InvalidTokenError, KeyError):
            return None


def server(given: dict[str, Any]) -> tuple[MCPServer, Authority | None]:
    """The server, and its authorization server if that is its own."""
    authority = Authority(given) if given["role"] == "authority" else None
    auth = AuthSettings(
        issuer_url=given["issuer"],
        resource_server_url=given["resource"],
        required_scopes=["notes:read"],
        validate_token_resource=True,
        client_registration_options=ClientRegistrationOptions(
            enabled=True, valid_scopes=SCOPES, default_scopes=SCOPES
        ),
        revocation_options=RevocationOptions(enabled=True),
        identity_assertion_enabled="company" in given,
    )
    made = MCPServer(
        "notes",
        auth=auth,
        auth_server_provider=authority,
        token_verifier=None if authority else Verifier(given),
        log_level="WARNING",
    )

    @made.tool()
    def read() -> str:
        """Read a note."""
        token = get_access_token()
        return f"{token.subject if token else None} reads"

    return made, authority


async def obey(authority: Authority | None) -> None:
    """Do what is told, until nothing more is."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        match json.loads(line)["do"]:
            case "end" if authority:
                authority.access.clear()
                say(text="ended")
            case _:
                say(text=authority.grants if authority else [])


async def main() -> None:
    """Serve until the input ends."""
    given = json.loads(sys.argv[1])
    with socket.socket(fileno=given["fd"]) as sock:
        origin = given["origin"]
        given = {"issuer": origin, "resource": f"{origin}/mcp", **given}
        made, authority = server(given)
        sock.listen()
        say(text="listening")
        serving = uvicorn.Server(
            uvicorn.Config(made.streamable_http_app(), log_level="warning", timeout_graceful_shutdown=1)
        )
        task = asyncio.create_task(serving.serve(sockets=[sock]))
        await obey(authority)
        serving.should_exit = True
        await task


if __name__ == "__main__":
    asyncio.run(main())
