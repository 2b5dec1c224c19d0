"""The documents by which resources, authorization servers and clients describe themselves.

Theory of operation. Each is a Struct with the members that we use or pass on; unknown members are left out. Parsing
is bounded and strict about what could be read in two ways, and every member that holds an address holds an http(s)
one: no document makes a reader open anything else.

Specification: RFC 9728, section 2; RFC 8414, section 2; OpenID Connect Discovery 1.0, section 3; RFC 9207,
section 3; RFC 7591, section 2; OAuth Client ID Metadata Document, section 4.
"""

from typing import Any, Final, TypeVar

import msgspec

from ..protocol.errors import DovetailError
from .strict_json import NotAnObject, read_object

__all__ = [
    "AuthorizationServerMetadata",
    "ClientMetadata",
    "MetadataInvalid",
    "ProtectedResourceMetadata",
    "parse_authorization_server",
    "parse_client",
    "parse_protected_resource",
]

MAX_DOCUMENT: Final = 256 * 1024
_MAX_ITEMS: Final = 1000

M = TypeVar("M", bound=msgspec.Struct)


class MetadataInvalid(DovetailError):
    """A document is not what it should be. The message names the document and the member, and quotes nothing."""


class ProtectedResourceMetadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a resource says of itself (RFC 9728)."""

    resource: str
    authorization_servers: list[str] | None = None
    jwks_uri: str | None = None
    scopes_supported: list[str] | None = None
    bearer_methods_supported: list[str] | None = None
    resource_signing_alg_values_supported: list[str] | None = None
    resource_name: str | None = None
    resource_documentation: str | None = None
    resource_policy_uri: str | None = None
    resource_tos_uri: str | None = None
    tls_client_certificate_bound_access_tokens: bool | None = None
    authorization_details_types_supported: list[str] | None = None
    dpop_signing_alg_values_supported: list[str] | None = None
    dpop_bound_access_tokens_required: bool | None = None


class AuthorizationServerMetadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an authorization server says of itself (RFC 8414, and OpenID Connect Discovery)."""

    issuer: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    jwks_uri: str | None = None
    registration_endpoint: str | None = None
    scopes_supported: list[str] | None = None
    response_types_supported: list[str] | None = None
    response_modes_supported: list[str] | None = None
    grant_types_supported: list[str] | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None
    token_endpoint_auth_signing_alg_values_supported: list[str] | None = None
    service_documentation: str | None = None
    ui_locales_supported: list[str] | None = None
    op_policy_uri: str | None = None
    op_tos_uri: str | None = None
    revocation_endpoint: str | None = None
    revocation_endpoint_auth_methods_supported: list[str] | None = None
    introspection_endpoint: str | None = None
    introspection_endpoint_auth_methods_supported: list[str] | None = None
    code_challenge_methods_supported: list[str] | None = None
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    pushed_authorization_request_endpoint: str | None = None
    require_pushed_authorization_requests: bool | None = None
    subject_types_supported: list[str] | None = None
    id_token_signing_alg_values_supported: list[str] | None = None
    authorization_response_iss_parameter_supported: bool | None = None
    client_id_metadata_document_supported: bool | None = None
    dpop_signing_alg_values_supported: list[str] | None = None
    authorization_grant_profiles_supported: list[str] | None = None
    protected_resources: list[str] | None = None


class ClientMetadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client says of itself when it registers, in the document that its id names, or what came back of a
    registration (RFC 7591; Client ID Metadata Documents).
    """

    client_id: str | None = None
    client_name: str | None = None
    redirect_uris: list[str] | None = None
    client_uri: str | None = None
    logo_uri: str | None = None
    grant_types: list[str] | None = None
    response_types: list[str] | None = None
    scope: str | None = None
    token_endpoint_auth_method: str | None = None
    token_endpoint_auth_signing_alg: str | None = None
    application_type: str | None = None
    contacts: list[str] | None = None
    tos_uri: str | None = None
    policy_uri: str | None = None
    jwks_uri: str | None = None
    jwks: dict[str, Any] | None = None
    software_id: str | None = None
    software_version: str | None = None
    software_statement: str | None = None
    dpop_bound_access_tokens: bool | None = None
    client_secret: str | None = None
    client_id_issued_at: int | None = None
    client_secret_expires_at: int | None = None
    registration_access_token: str | None = None
    registration_client_uri: str | None = None

    def __repr__(self) -> str:
        return f"ClientMetadata(client_id={self.client_id!r}, client_name={self.client_name!r})"


def parse_protected_resource(data: bytes) -> ProtectedResourceMetadata:
    """The metadata of a resource. Raises `MetadataInvalid`."""
    return _parse(data, ProtectedResourceMetadata, "protected resource metadata")


def parse_authorization_server(data: bytes) -> AuthorizationServerMetadata:
    """The metadata of an authorization server. Raises `MetadataInvalid`."""
    return _parse(data, AuthorizationServerMetadata, "authorization server metadata")


def parse_client(data: bytes) -> ClientMetadata:
    """The metadata of a client. Raises `MetadataInvalid`. Redirect URIs may have any scheme: judge them yourself."""
    return _parse(data, ClientMetadata, "client metadata")


def _parse(data: bytes, kind: type[M], what: str) -> M:
    try:
        found = read_object(data, MAX_DOCUMENT)
    except NotAnObject as problem:
        raise MetadataInvalid(f"the {what} can't be read: {problem}") from None
    for name, value in found.items():
        if isinstance(value, list) and len(value) > _MAX_ITEMS:  # pyright: ignore[reportUnknownArgumentType] - whatever JSON has
            raise MetadataInvalid(f"the {what} has a list of more than {_MAX_ITEMS} entries")
        if name in _ADDRESSES and isinstance(value, str) and not _is_address(value):
            raise MetadataInvalid(f"{name} in the {what} is no http(s) address")
    servers = found.get("authorization_servers")
    if kind is ProtectedResourceMetadata and isinstance(servers, list):
        for each in servers:  # pyright: ignore[reportUnknownVariableType] - whatever JSON has
            if isinstance(each, str) and not _is_address(each):
                raise MetadataInvalid(
                    f"authorization_servers in the {what} has an entry that is no http(s) address"
                )
    try:
        return msgspec.convert(found, kind)
    except (msgspec.ValidationError, RecursionError) as problem:
        path = str(problem).rpartition("`$")[2].strip("`")[:80] if "`$" in str(problem) else ""
        missing = "" if path else ": a required member is missing"
        raise MetadataInvalid(
            f"the {what} has a member of the wrong type{path and f' at {path}'}{missing}"
        ) from None


_ADDRESSES: Final = frozenset(
    name
    for kind in (ProtectedResourceMetadata, AuthorizationServerMetadata, ClientMetadata)
    for name in kind.__struct_fields__
    if name.endswith(("_endpoint", "_uri", "_documentation")) or name in ("issuer", "resource")
)


def _is_address(value: str) -> bool:
    """Whether a text is an absolute http(s) URL without anything that two readers could read differently."""
    scheme, separator, rest = value.partition("://")
    return (
        bool(separator)
        and scheme.lower() in ("http", "https")
        and len(value) <= 4096
        and value.isprintable()
        and not any(character in value for character in ' \\"<>')
        and rest[:1] not in ("", "/", "?", "#", "@", ":")
    )
