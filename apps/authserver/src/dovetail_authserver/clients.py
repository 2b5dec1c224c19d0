"""Who may ask for tokens: clients that the operator wrote down, that registered, or that publish a document.

Theory of operation. A client id finds its client in one of three places, in this order: the operator's list; the
document at the https address that the id is; the store, where dynamic registration put it. What a client may do follows
from how it came: grants without a user (client credentials, assertions) and introspection are for the operator's own
clients. Secrets are kept as digests: ours are random and long, so a fast digest is enough, and the operator's have to
be long too.

Specification: OAuth 2.1 section 2; basic/authorization/client-registration.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from dovetail.stores import KeyValue

from . import redirects
from .documents import ClientDocuments, is_document_id

__all__ = [
    "CLIENT_CREDENTIALS",
    "CODE",
    "OAuthClient",
    "Directory",
    "JWT_BEARER",
    "METHODS",
    "REFRESH",
    "RegisteredClient",
]

CODE: Final = "authorization_code"
REFRESH: Final = "refresh_token"
CLIENT_CREDENTIALS: Final = "client_credentials"
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
METHODS: Final = ("none", "client_secret_basic", "client_secret_post", "private_key_jwt")
_GRANTS: Final = (CODE, REFRESH, CLIENT_CREDENTIALS, JWT_BEARER)
_LEAST_SECRET: Final = 16


class RegisteredClient(msgspec.Struct, frozen=True, kw_only=True):
    """A client that the operator writes down.

    `id`; `name` for the consent page. `redirect_uris`: see `redirects`. `secret` (at least 16 characters, better 43
    random ones), or `jwks` / `jwks_uri` with public keys for private_key_jwt, or none of them for a public client.
    `auth_method` follows from these; with a secret, both ways to send one are fine. `grants`: what it may use
    (default: codes and refreshing, where it has redirect URIs). `scopes`, `resources`: all that it may get; None: all
    there are. `introspects`: the resources whose tokens it may ask about, for it is their server.
    `require_dpop`: only bound tokens. Raises `ValueError`.
    """

    id: str
    name: str = ""
    redirect_uris: Sequence[str] = ()
    secret: str = ""
    jwks: Mapping[str, Any] | None = None
    jwks_uri: str = ""
    grants: Sequence[str] | None = None
    scopes: Sequence[str] | None = None
    resources: Sequence[str] | None = None
    introspects: Sequence[str] = ()
    require_dpop: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.id) <= 256 or not self.id.isascii() or not self.id.isprintable():
            raise ValueError("A client id has 1 to 256 printable ASCII characters.")
        for uri in self.redirect_uris:
            if problem := redirects.problem_of(uri):
                raise ValueError(f"client {self.id!r}: {problem} ({uri!r})")
        if self.secret and len(self.secret) < _LEAST_SECRET:
            raise ValueError(
                f"client {self.id!r}: a secret has at least {_LEAST_SECRET} characters, better 43 random ones."
            )
        if bool(self.secret) + bool(self.jwks) + bool(self.jwks_uri) > 1:
            raise ValueError(f"client {self.id!r}: give a secret, or jwks, or jwks_uri, not several of them.")
        grants = tuple(self.grants or ())
        if unknown := [grant for grant in grants if grant not in _GRANTS]:
            raise ValueError(f"client {self.id!r}: unknown grants {unknown}; there are {', '.join(_GRANTS)}.")
        public = not (self.secret or self.jwks or self.jwks_uri)
        if public and (CLIENT_CREDENTIALS in grants or self.introspects):
            raise ValueError(
                f"client {self.id!r}: client_credentials and introspection need a secret or keys."
            )

    def __repr__(self) -> str:
        return f"RegisteredClient(id={self.id!r}, name={self.name!r})"


class OAuthClient(msgspec.Struct, frozen=True, kw_only=True):
    """A client as the endpoints see it, wherever it came from. `origin` says where."""

    id: str
    origin: Literal["operator", "document", "registered"]
    name: str = ""
    redirect_uris: tuple[str, ...] = ()
    auth_methods: tuple[str, ...] = ("none",)
    secret_digest: str = ""
    jwks: dict[str, Any] | None = None
    jwks_uri: str = ""
    grants: tuple[str, ...] = (CODE, REFRESH)
    scopes: tuple[str, ...] | None = None
    resources: tuple[str, ...] | None = None
    introspects: tuple[str, ...] = ()
    require_dpop: bool = False

    @property
    def public(self) -> bool:
        """Whether it can't prove who it is."""
        return self.auth_methods == ("none",)

    @property
    def trusted(self) -> bool:
        """Whether the operator vouches for its redirect URIs."""
        return self.origin == "operator"

    def knows(self, secret: str) -> bool:
        """Whether this is its secret, compared in constant time."""
        shown = digest(secret)
        return bool(self.secret_digest) and hmac.compare_digest(shown, self.secret_digest)

    def __repr__(self) -> str:
        return f"Client({self.id!r}, {self.origin})"


class Directory:
    """Finds clients. `kv` holds the registered ones, `documents` the published ones (None: not supported)."""

    def __init__(
        self, listed: Sequence[RegisteredClient], kv: KeyValue, documents: ClientDocuments | None
    ) -> None:
        self.listed = {client.id: _from_operator(client) for client in listed}
        if len(self.listed) != len(listed):
            raise ValueError("Two clients have the same id.")
        self._kv = kv
        self._documents = documents

    async def find(self, id: str) -> OAuthClient | None:
        """The client, or None. Raises `OAuthError` when its document is not to be used."""
        if id in self.listed:
            return self.listed[id]
        if is_document_id(id):
            return await self._published(id)
        if not 1 <= len(id) <= 256 or not id.isascii() or not id.isprintable():
            return None
        raw = await self._kv.get(id)
        return None if raw is None else msgspec.json.decode(raw, type=OAuthClient)

    async def used(self, client: OAuthClient, idle: float) -> None:
        """A registered client got a token: remember it for `idle` seconds more."""
        if client.origin == "registered":
            await self._kv.expire(client.id, idle)

    async def _published(self, id: str) -> OAuthClient | None:
        if self._documents is None:
            return None
        found = await self._documents.get(id)
        keys = found.jwks is not None or found.jwks_uri is not None
        return OAuthClient(
            id=id,
            origin="document",
            name=found.client_name or "",
            redirect_uris=tuple(found.redirect_uris or ()),
            auth_methods=("private_key_jwt",)
            if keys and found.token_endpoint_auth_method == METHODS[3]
            else ("none",),
            jwks=found.jwks,
            jwks_uri=found.jwks_uri or "",
            grants=tuple(grant for grant in found.grant_types or (CODE,) if grant in (CODE, REFRESH)),
            require_dpop=bool(found.dpop_bound_access_tokens),
        )


def digest(secret: str) -> str:
    """What is kept of a secret, a code or a token."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _from_operator(client: RegisteredClient) -> OAuthClient:
    keys = bool(client.jwks or client.jwks_uri)
    methods = METHODS[1:3] if client.secret else METHODS[3:] if keys else METHODS[:1]
    default = (CODE, REFRESH) if client.redirect_uris else ()
    return OAuthClient(
        id=client.id,
        origin="operator",
        name=client.name or client.id,
        redirect_uris=tuple(client.redirect_uris),
        auth_methods=methods,
        secret_digest=digest(client.secret) if client.secret else "",
        jwks=dict(client.jwks) if client.jwks else None,
        jwks_uri=client.jwks_uri,
        grants=default if client.grants is None else tuple(client.grants),
        scopes=None if client.scopes is None else tuple(client.scopes),
        resources=None if client.resources is None else tuple(client.resources),
        introspects=tuple(client.introspects),
        require_dpop=client.require_dpop,
    )
