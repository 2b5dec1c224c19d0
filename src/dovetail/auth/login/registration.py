"""How a client comes to be known at an authorization server.

Theory of operation. In this order: an identity that was given beforehand, for its own issuer and no other; a document
that describes the client, where the server takes the document's address as an identity; a registration made earlier
at this issuer; a new registration. A registration is kept under its issuer, so a server that names another
authorization server leads to a registration there and never to the use of what an earlier one gave out. It is made
anew when it has expired, or does not cover the address of the callback or the scopes that are needed.

A server that refuses a registration is asked again where it may help: with a secret, if it knows no public clients;
with the name localhost instead of the number.

Specification: 2026-07-28 basic/authorization/client-registration; RFC 7591 section 3; RFC 8252 section 7.3.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...security.fetching import Fetched, Fetcher, FetchFailed, FetchRefused, parse_url
from ..metadata import AuthorizationServerMetadata, MetadataInvalid, parse_client
from .authorization import check_address
from .identity import BASIC, KEY_JWT, NONE, POST, Identity, SigningKey, method_for
from .problems import CredentialsUnbound, RegistrationFailed, said
from .records import Registration, decode, encode, key_of
from .storage import TokenStore
from .telling import LoginTeller, SentExchange

__all__ = ["ClientProfile", "Registrar", "identity_of"]

_ALLOWANCE: Final = 60.0


class ClientProfile:
    """Who the client is and how it presents itself, as the caller settled it. See `OAuth`."""

    def __init__(
        self,
        *,
        name: str,
        uri: str | None = None,
        client_id: str | None = None,
        secret: str | None = None,
        key: SigningKey | None = None,
        method: str | None = None,
        issuer: str | None = None,
        document: str | None = None,
    ) -> None:
        if client_id is None and (secret is not None or (key is not None and document is None)):
            raise ValueError("a client secret or key needs the client_id that it belongs to")
        if client_id is not None and issuer is None:
            raise ValueError(
                "a client_id needs the issuer that knows it: credentials are only ever sent to the authorization"
                " server they belong to, whatever a server says. Give issuer='https://...'"
            )
        if document is not None:
            _check_document(document)
        self.name = name
        self.uri = uri
        self.client_id = client_id
        self.secret = secret
        self.key = key
        self.method = method
        self.issuer = issuer
        self.document = document

    def given(self, server: AuthorizationServerMetadata) -> Identity | None:
        """The identity that needs no registration. Raises `CredentialsUnbound` for another issuer than its own."""
        if self.client_id is not None:
            if self.issuer != server.issuer:
                raise CredentialsUnbound(
                    f"the client {said(self.client_id)} is known to {said(self.issuer)}, not to {said(server.issuer)}"
                )
            method = method_for(
                server, secret=self.secret is not None, key=self.key is not None, given=self.method
            )
            return Identity(server.issuer, self.client_id, method=method, secret=self.secret, key=self.key)
        if self.document is not None and server.client_id_metadata_document_supported:
            return Identity(
                server.issuer, self.document, method=NONE if self.key is None else KEY_JWT, key=self.key
            )
        return None

    def described(self, redirect_uri: str | None) -> dict[str, Any]:
        """The document that describes this client. Raises ValueError where it has no address."""
        if self.document is None:
            raise ValueError("a document that describes the client needs its address: client_metadata_url")
        # By RFC 8252, section 7.3, the port of a loopback address is free to choose.
        addresses = ["http://127.0.0.1/callback", "http://localhost/callback"]
        found: dict[str, Any] = {
            "client_id": self.document,
            "client_name": self.name,
            "redirect_uris": addresses if redirect_uri is None else [redirect_uri],
            "application_type": _kind_of(redirect_uri or addresses[0]),
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": NONE if self.key is None else KEY_JWT,
        }
        if self.key is not None:
            found["jwks"] = {"keys": [self.key.public()]}
        return found if self.uri is None else {**found, "client_uri": self.uri}


class Registrar:
    """Finds or makes registrations, and keeps them by issuer."""

    def __init__(
        self, profile: ClientProfile, store: TokenStore, fetcher: Fetcher, steps: LoginTeller | None = None
    ) -> None:
        self._profile = profile
        self._store = store
        self._fetcher = fetcher
        self._steps = steps or LoginTeller()

    async def kept(self, issuer: str) -> Registration | None:
        """The registration made earlier at an issuer, unless it has expired."""
        found = decode(await self._store.read(self._key(issuer)), Registration)
        if found is None or found.issuer != issuer:
            return None
        return (
            None if found.expires_at is not None and found.expires_at <= time.time() + _ALLOWANCE else found
        )

    async def forget(self, issuer: str) -> None:
        """Forget the registration at an issuer: it does not know us any more."""
        await self._store.remove(self._key(issuer))

    async def register(
        self,
        server: AuthorizationServerMetadata,
        redirect_uri: str,
        scopes: Sequence[str],
        *,
        dpop: bool = False,
    ) -> Registration:
        """Register anew, and keep what came of it. Raises `RegistrationFailed`, `FetchFailed` and `FetchRefused`."""
        endpoint = server.registration_endpoint
        if not endpoint:
            raise RegistrationFailed(
                f"{server.issuer} does not know this client and takes no registrations; register it there by hand,"
                " then give client_id and issuer (and client_secret if there is one)"
            )
        check_address(
            endpoint, f"the registration endpoint of {server.issuer}", loopback=self._fetcher.allow_loopback
        )
        metadata = self._metadata(server, redirect_uri, scopes, dpop=dpop)
        answer = await self._fetcher.post_json(endpoint, metadata)
        for adjusted in self._adjustments(server, metadata, answer):
            refused = f"{said(server.issuer)} refuses that with status {answer.status}; another way is tried"
            asked = SentExchange("POST", endpoint, answer, metadata)
            await self._steps.tell(
                "registration", refused, "refused", requirement="R2607-AUTH-033", asked=asked
            )
            metadata, answer = adjusted, await self._fetcher.post_json(endpoint, adjusted)
            if answer.status in (200, 201):
                break
        asked = SentExchange("POST", endpoint, answer, metadata)
        try:
            made = self._registration(server, metadata, answer)
        except RegistrationFailed as problem:
            await self._steps.tell(
                "registration", str(problem), "refused", requirement="R2607-AUTH-034", asked=asked
            )
            raise
        await self._store.write(self._key(server.issuer), encode(made))
        self._steps.learn(made.client_secret)
        await self._steps.tell(
            "registration",
            f"{said(server.issuer)} has registered this client as {said(made.client_id)}, which proves itself by"
            f" {said(made.method)}; that is kept for this issuer alone",
            requirement="R2607-AUTH-029",
            asked=asked,
            client_id=made.client_id,
            method=made.method,
            redirect_uri=made.redirect_uri,
        )
        return made

    def _metadata(
        self,
        server: AuthorizationServerMetadata,
        redirect_uri: str,
        scopes: Sequence[str],
        *,
        dpop: bool,
    ) -> dict[str, Any]:
        supported = server.token_endpoint_auth_methods_supported
        # With Basic some servers look for the client_id in the form all the same, and others refuse it there.
        method = next((each for each in (NONE, POST, BASIC) if each in (supported or (NONE,))), NONE)
        found: dict[str, Any] = {
            "client_name": self._profile.name,
            "redirect_uris": [redirect_uri],
            "application_type": _kind_of(redirect_uri),
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": method,
        }
        if scopes:
            found["scope"] = " ".join(scopes)
        if self._profile.uri:
            found["client_uri"] = self._profile.uri
        if dpop:
            found["dpop_bound_access_tokens"] = True
        return found

    @staticmethod
    def _adjustments(
        server: AuthorizationServerMetadata, metadata: Mapping[str, Any], answer: Fetched
    ) -> list[dict[str, Any]]:
        """What else may be taken where a registration was refused; at most two more tries."""
        if answer.status != 400:
            return []
        error = _said_of(answer).get("error")
        uri = str(metadata["redirect_uris"][0])
        if error == "invalid_redirect_uri" and "//127.0.0.1:" in uri:
            return [{**metadata, "redirect_uris": [uri.replace("//127.0.0.1:", "//localhost:", 1)]}]
        tries: list[dict[str, Any]] = []
        if error == "invalid_client_metadata":
            plain = {name: value for name, value in metadata.items() if name != "scope"}
            if plain != metadata:
                tries.append(plain)
            public = metadata["token_endpoint_auth_method"] == NONE
            if public and not server.token_endpoint_auth_methods_supported:
                tries.append({**plain, "token_endpoint_auth_method": BASIC})
        return tries

    def _registration(
        self, server: AuthorizationServerMetadata, metadata: Mapping[str, Any], answer: Fetched
    ) -> Registration:
        if answer.status not in (200, 201):
            words = _said_of(answer)
            error = said(words.get("error")) or f"status {answer.status}"
            text = said(words.get("error_description"))
            raise RegistrationFailed(
                f"{server.issuer} did not register this client: {error}{f' ({text})' if text else ''}."
                " Register it there by hand, then give client_id and issuer"
            )
        try:
            found = parse_client(answer.body)
        except MetadataInvalid as problem:
            raise RegistrationFailed(f"{server.issuer} answered a registration unusably: {problem}") from None
        if not found.client_id or not found.client_id.isprintable() or len(found.client_id) > 2048:
            raise RegistrationFailed(f"{server.issuer} registered this client and did not say under which id")
        secret = found.client_secret or None
        method = found.token_endpoint_auth_method or str(metadata["token_endpoint_auth_method"])
        if method in (BASIC, POST) and secret is None:
            method = NONE
        scope = found.scope if found.scope is not None else str(metadata.get("scope", ""))
        expires = found.client_secret_expires_at
        return Registration(
            issuer=server.issuer,
            client_id=found.client_id,
            method=method,
            client_secret=secret,
            redirect_uri=str(metadata["redirect_uris"][0]),
            scopes=tuple(dict.fromkeys([*str(metadata.get("scope", "")).split(), *scope.split()])),
            expires_at=float(expires) if expires and secret is not None else None,
        )

    def _key(self, issuer: str) -> str:
        return key_of("client", issuer, self._profile.name)


def identity_of(registration: Registration) -> Identity:
    """The identity that a registration gives."""
    return Identity(
        registration.issuer,
        registration.client_id,
        method=registration.method,
        secret=registration.client_secret,
    )


def _kind_of(redirect_uri: str) -> str:
    """The kind of application that a browser comes back to there: on this machine it is a native one.

    Specification: OpenID Connect Dynamic Client Registration 1.0, section 2.
    """
    location = parse_url(redirect_uri)
    return "web" if location.scheme == "https" and not location.is_local_name else "native"


def _check_document(url: str) -> None:
    """A document that describes a client stands at an https URL with a path."""
    try:
        location = parse_url(url)
    except FetchRefused as problem:
        raise ValueError(f"client_metadata_url: {problem}") from None
    dotted = any(part in (".", "..") for part in location.path.split("/"))
    if location.scheme != "https" or location.path in ("", "/") or dotted or "#" in url:
        raise ValueError(
            "client_metadata_url is an https URL with a path, such as https://example.com/client.json"
        )


def _said_of(answer: Fetched) -> dict[str, Any]:
    try:
        return answer.json_object()
    except FetchFailed:
        return {}
