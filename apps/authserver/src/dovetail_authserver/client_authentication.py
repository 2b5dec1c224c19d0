"""Which client is asking, and can it prove it?

Theory of operation. A request names its client once and proves it in one way: nothing at all for a public client, a
secret in the Authorization header or in the body, or a signed statement. More than one way in one request is refused.
A client that has a way to prove itself must use it: a secret left out is a wrong secret. Unknown clients, wrong secrets
and wrong signatures all get the same answer.

Specification: OAuth 2.1 section 2.4; RFC 6749 section 2.3.1 (the encoding of Basic); RFC 7523 section 2.2 and 3.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_plus

from .assertions import AssertionChecker, AssertionInvalid
from .clients import METHODS, Directory, OAuthClient
from .exchange import HTTPRequest
from .refusals import OAuthError, invalid_client, invalid_request

__all__ = ["ClientAuthentication"]

_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_WRONG: Final = "The client is unknown here, or did not prove who it is."
_TYPES: Final = (None, "jwt", "client-authentication+jwt")
NONE, BASIC, POST, SIGNED = METHODS


class ClientAuthentication:
    """Finds out which client sent a request."""

    def __init__(self, directory: Directory, checker: AssertionChecker) -> None:
        self._directory = directory
        self._checker = checker

    async def client_of(self, request: HTTPRequest, form: Mapping[str, list[str]]) -> OAuthClient:
        """The client, proven in its own way. Raises `OAuthError`."""
        header = request.headers.get("authorization")
        shown = [header is not None, "client_secret" in form, "client_assertion" in form]
        if sum(shown) > 1:
            raise invalid_request("Prove the client in one way only.")
        named = form.get("client_id", [""])[0]
        if header is not None:
            id, secrets = _basic(header, named)
            return await self._by_secret(id, *secrets, method=BASIC)
        if "client_secret" in form:
            return await self._by_secret(named, form["client_secret"][0], method=POST)
        if "client_assertion" in form or "client_assertion_type" in form:
            return await self._by_statement(form, named)
        if not named:
            raise invalid_client("Say which client this is, with client_id.")
        client = await self._find(named)
        if not client.public:
            raise invalid_client(_WRONG)
        return client

    async def _by_secret(self, id: str, *secrets: str, method: str) -> OAuthClient:
        challenge = method == BASIC
        client = await self._find(id, challenge=challenge)
        if method not in client.auth_methods or not any(client.knows(each) for each in secrets):
            raise invalid_client(_WRONG, challenge=challenge)
        return client

    async def _by_statement(self, form: Mapping[str, list[str]], named: str) -> OAuthClient:
        assertion = form.get("client_assertion", [""])[0]
        if form.get("client_assertion_type", [""])[0] != _ASSERTION_TYPE or not assertion:
            raise invalid_request(
                "client_assertion comes with client_assertion_type, which is the one for JWTs."
            )
        try:
            claimed = self._checker.peek(assertion)
            id = claimed.get("sub")
            if not isinstance(id, str) or claimed.get("iss") != id or (named and named != id):
                raise AssertionInvalid("iss and sub are not both the client's id")
            client = await self._find(id)
            if SIGNED not in client.auth_methods:
                raise invalid_client(_WRONG)
            await self._checker.check(
                assertion,
                issuer=id,
                jwks=client.jwks,
                jwks_uri=client.jwks_uri,
                types=_TYPES,
                endpoint_fits=True,
                once=True,
            )
        except AssertionInvalid as problem:
            raise invalid_client(f"The client assertion proves nothing: {problem}.") from None
        return client

    async def _find(self, id: str, *, challenge: bool = False) -> OAuthClient:
        try:
            client = await self._directory.find(id) if id else None
        except OAuthError as problem:
            raise invalid_client(problem.description) from None
        if client is None:
            raise invalid_client(_WRONG, challenge=challenge)
        return client


def _basic(header: str, named: str) -> tuple[str, tuple[str, str]]:
    """The client's id, and its secret in both readings: as it should be sent, and as some send it."""
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        raise invalid_client("Authorization has to be Basic here.", challenge=True)
    try:
        text = base64.b64decode(encoded.strip().encode("ascii"), validate=True).decode("utf-8")
        id, colon, secret = text.partition(":")
        # Each half was form-encoded before it was joined (RFC 6749, 2.3.1); clients in use leave that out.
        id = unquote_plus(id, errors="strict")
    except (binascii.Error, UnicodeError):
        raise invalid_client("The Authorization header can't be read.", challenge=True) from None
    if not colon or (named and named != id):
        raise invalid_client(
            "The Authorization header can't be read, or names another client.", challenge=True
        )
    return id, (unquote_plus(secret), secret)
