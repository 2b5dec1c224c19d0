"""The ready settings: tokens as each provider writes them come in, and those of its other tenants don't."""

from __future__ import annotations

from typing import Any

import pytest

from dovetail.auth import Protected, providers
from dovetail.auth.protecting.claims import verified
from dovetail.auth.protecting.verdicts import CheckContext, InvalidToken
from dovetail.security.fetching import Fetcher

RESOURCE = "https://notes.example.com/mcp"
TENANT = "11111111-2222-3333-4444-555555555555"
NOW = 1_800_000_000.0
SETTINGS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    # the check, a token as the provider's documentation shows it, and what makes it a token of somewhere else
    "auth0": (
        providers.auth0("example.eu.auth0.com", audience="https://api.example.com"),
        {
            "iss": "https://example.eu.auth0.com/",
            "aud": ["https://api.example.com", "https://example.eu.auth0.com/userinfo"],
            "azp": "app",
            "scope": "openid notes:read",
        },
        {"iss": "https://example.eu.auth0.com"},
    ),
    "authkit": (
        providers.authkit("example.authkit.app"),
        {"iss": "https://example.authkit.app", "aud": RESOURCE, "scope": "notes:read"},
        {"aud": "client_0123"},
    ),
    "cognito": (
        providers.cognito("eu-west-1", "eu-west-1_AbC123"),
        {
            "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123",
            "aud": RESOURCE,
            "client_id": "app",
            "token_use": "access",
            "scope": "notes:read",
        },
        {"token_use": "id"},
    ),
    "descope": (
        providers.descope("P123", "MS456", audience="P123"),
        {
            "iss": "https://api.descope.com/v1/apps/agentic/P123/MS456",
            "aud": ["app", "P123"],
            "scope": "notes:read",
        },
        {"iss": "https://api.descope.com/v1/apps/agentic/P123/MS457"},
    ),
    "entra": (
        providers.entra(TENANT, audience="66666666-7777-8888-9999-000000000000"),
        {
            "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "aud": "66666666-7777-8888-9999-000000000000",
            "tid": TENANT,
            "azp": "app",
            "scp": "notes:read",
        },
        {"tid": "another"},
    ),
    "keycloak": (
        providers.keycloak("https://login.example.com/auth/", "staff"),
        {
            "iss": "https://login.example.com/auth/realms/staff",
            "aud": [RESOURCE, "account"],
            "azp": "app",
            "typ": "Bearer",
            "scope": "notes:read",
        },
        {"iss": "https://login.example.com/auth/realms/guests"},
    ),
    "okta": (
        providers.okta("example.okta.com", audience="api://notes"),
        {
            "iss": "https://example.okta.com/oauth2/default",
            "aud": "api://notes",
            "cid": "app",
            "scp": ["notes:read"],
        },
        {"iss": "https://example.okta.com"},
    ),
}


def judge(check: Any, claims: dict[str, Any]) -> Any:
    """What the check's rules say of claims."""
    surroundings = CheckContext(RESOURCE, Fetcher, lambda scopes: scopes, clock=lambda: NOW)
    return verified({"sub": "ann", "exp": NOW + 60, **claims}, check.rules, surroundings).principal


@pytest.mark.parametrize("name", SETTINGS)
def test_tokens_as_providers_write_them(name):
    check, claims, elsewhere = SETTINGS[name]
    who = judge(check, claims)
    assert (who.issuer, who.subject) == (claims["iss"], "ann")
    assert "notes:read" in who.scopes
    assert who.client_id == ("app" if {"azp", "cid", "client_id"} & claims.keys() else "")
    for change in (
        elsewhere,
        {"aud": None},
        {"aud": "https://other.example/mcp"},
        {"iss": claims["iss"] + "x"},
    ):
        with pytest.raises(InvalidToken):
            judge(check, {**claims, **change})
    assert check.issuer.encode() in Protected(RESOURCE, check).metadata


def test_every_provider_is_tried():
    assert set(providers.__all__) == set(SETTINGS)


@pytest.mark.parametrize(
    "make",
    [
        lambda: providers.auth0("https://example.auth0.com", audience="a"),
        lambda: providers.auth0("example.auth0.com/", audience="a"),
        lambda: providers.auth0("example.auth0.com@evil.example", audience="a"),
        lambda: providers.auth0("Example.auth0.com", audience="a"),
        lambda: providers.auth0("localhost", audience="a"),
        lambda: providers.authkit(""),
        lambda: providers.cognito("eu-west-1/x", "p"),
        lambda: providers.cognito("eu-west-1", "../p"),
        lambda: providers.descope("p", ".."),
        lambda: providers.entra("common", audience="a"),
        lambda: providers.entra("organizations", audience="a"),
        lambda: providers.entra("example.onmicrosoft.com", audience="a"),
        lambda: providers.entra(TENANT, audience=""),
        lambda: providers.keycloak("login.example.com", "staff"),
        lambda: providers.keycloak("https://login.example.com", "a/b"),
        lambda: providers.okta("example.okta.com", audience=[]),
    ],
)
def test_names_that_would_make_another_issuer_are_refused(make):
    with pytest.raises(ValueError, match=r"."):
        make()
