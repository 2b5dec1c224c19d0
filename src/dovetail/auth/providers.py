"""Ready settings for the tokens of well-known providers: only names of yours are to be filled in.

Theory of operation. Each function gives a `jwt` check with the provider's way of writing its issuer and its claims;
where its keys are is said by its metadata, which is asked when the first token comes. The audience is yours to say
where the provider names a server by something else than its URL; else tokens must be for the resource itself. Any
other provider whose access tokens are signed JWTs works by ``jwt(issuer)``, any that answers questions about its tokens
by `introspection`.

Google is not here: its access tokens are neither, and its ID tokens are for clients.

Specification: none; each function names the documentation that it follows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from .protecting import TokenCheck, jwt

__all__ = ["auth0", "authkit", "cognito", "descope", "entra", "keycloak", "okta"]

_DOMAIN: Final = re.compile(
    r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]"
)
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")


def auth0(domain: str, *, audience: str | Sequence[str]) -> TokenCheck:
    """Auth0. ``domain``: the tenant's, such as ``example.eu.auth0.com``, or your own; ``audience``: the identifier of
    the API. Auth0 writes its issuer with a slash at the end. See "Validate Access Tokens" in its documentation.
    """
    return jwt(f"https://{_domain(domain)}/", audience=audience, client_claims=("azp", "client_id"))


def authkit(domain: str, *, audience: str | Sequence[str] | None = None) -> TokenCheck:
    """WorkOS AuthKit. ``domain``: such as ``example.authkit.app``. Register the resource as its resource indicator:
    then tokens are for it. See "Model Context Protocol" in its documentation.
    """
    return jwt(f"https://{_domain(domain)}", audience=audience)


def cognito(region: str, pool: str, *, audience: str | Sequence[str] | None = None) -> TokenCheck:
    """Amazon Cognito user pools. ``region``: such as ``eu-west-1``; ``pool``: the user pool's id. Its tokens name an
    audience only where the client asked for a resource (resource binding), as MCP clients do; others are refused. See
    "Understanding the access token" in its documentation.
    """
    issuer = f"https://cognito-idp.{_name(region)}.amazonaws.com/{_name(pool)}"
    return jwt(issuer, audience=audience, algorithms=["RS256"], required={"token_use": "access"})


def descope(project: str, server: str, *, audience: str | Sequence[str] | None = None) -> TokenCheck:
    """Descope. ``project`` and ``server``: the ids of the project and of the MCP server, which has an issuer of its
    own; where its tokens are for the project, say ``audience=project``. See "Discovery Endpoints" in its documentation.
    """
    return jwt(f"https://api.descope.com/v1/apps/agentic/{_name(project)}/{_name(server)}", audience=audience)


def entra(tenant: str, *, audience: str | Sequence[str]) -> TokenCheck:
    """Microsoft Entra ID, tokens of version 2.0. ``tenant``: its id, not its name; ``audience``: the application's
    (client) id. See "Access tokens in the Microsoft identity platform". Raises ValueError for ``common`` and its like,
    whose issuer is anyone's tenant.
    """
    try:
        id = str(UUID(tenant))
    except ValueError:
        raise ValueError(
            "the tenant is given by its id, such as 00000000-0000-0000-0000-000000000000"
        ) from None
    issuer = f"https://login.microsoftonline.com/{id}/v2.0"
    return jwt(issuer, audience=audience, client_claims=("azp", "appid"), required={"tid": id})


def keycloak(url: str, realm: str, *, audience: str | Sequence[str] | None = None) -> TokenCheck:
    """Keycloak. ``url``: of the server, with its path if it has one; ``realm``: its name. Its tokens name the audiences
    that an audience mapper puts there: let it put the resource. See "Audience support" in its documentation.
    """
    return jwt(
        f"{url.rstrip('/')}/realms/{_name(realm)}", audience=audience, client_claims=("azp", "client_id")
    )


def okta(domain: str, *, audience: str | Sequence[str], server: str = "default") -> TokenCheck:
    """Okta, custom authorization servers. ``domain``: such as ``example.okta.com``; ``server``: the authorization
    server's id; ``audience``: what is set as its audience. See "Create an authorization server" in its documentation;
    the organization's own authorization server is for Okta's API alone.
    """
    return jwt(f"https://{_domain(domain)}/oauth2/{_name(server)}", audience=audience, client_claims=("cid",))


def _domain(text: str) -> str:
    if not _DOMAIN.fullmatch(text):
        raise ValueError(
            f"{text!r} is no domain: write it in lower case, without https:// and without a slash"
        )
    return text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text) or not text.strip("."):
        raise ValueError(f"{text!r} is no name that can stand in an issuer")
    return text
