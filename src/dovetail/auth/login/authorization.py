"""One authorization request, and the judgement of what comes back for it.

Theory of operation. An `Attempt` is made before the browser is sent off, and holds all that the answer has to agree
with: the state, the verifier of the code challenge, the redirect address, and the issuer that was selected. An answer
that does not carry the state is not for this attempt at all. One that does is compared with the issuer before anything
else in it is believed, its error messages included. The code is given out once.

Specification: 2026-07-28 basic/authorization "Authorization Response Validation", "Resource Parameter
Implementation"; RFC 9207 section 2.4, RFC 7636, RFC 8707 section 2.1; OAuth 2.1 section 4.1.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit

from ...security.fetching import FetchRefused, parse_url
from .. import pkce
from ..metadata import AuthorizationServerMetadata
from .problems import AuthorizationError, DiscoveryFailed, LoginDenied, LoginFailed, said
from .scopes import OFFLINE

__all__ = ["Attempt", "check_endpoints", "single_valued"]

_MAX_QUERY = 16 * 1024
_OWN = frozenset(
    {
        "response_type", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method", "resource",
        "scope", "prompt",
    }
)  # fmt: skip


class Attempt:
    """One login, from the URL to open until the code is taken."""

    def __init__(
        self,
        server: AuthorizationServerMetadata,
        *,
        client_id: str,
        redirect_uri: str,
        resource: str,
        scopes: Sequence[str],
    ) -> None:
        self.issuer = server.issuer
        self.client_id = client_id
        self.redirect_uri = redirect_uri
        self.resource = resource
        self.scopes = tuple(scopes)
        self.verifier = pkce.new_verifier()
        self._state = secrets.token_urlsafe(32)
        self._endpoint = server.authorization_endpoint or ""
        self._iss_required = bool(server.authorization_response_iss_parameter_supported)
        self._used = False

    @property
    def url(self) -> str:
        """What the person has to visit."""
        parts = urlsplit(self._endpoint)
        query = [(name, value) for name, value in parse_qsl(parts.query) if name not in _OWN]
        query += [
            ("response_type", "code"),
            ("client_id", self.client_id),
            ("redirect_uri", self.redirect_uri),
            ("state", self._state),
            ("code_challenge", pkce.challenge_of(self.verifier)),
            ("code_challenge_method", pkce.METHOD),
            ("resource", self.resource),
        ]
        if self.scopes:
            query.append(("scope", " ".join(self.scopes)))
        if OFFLINE in self.scopes:
            query.append(
                ("prompt", "consent")
            )  # OpenID Connect Core, section 11: it counts only with consent
        return parts._replace(query=urlencode(query)).geturl()

    def is_answer(self, answer: Mapping[str, str]) -> bool:
        """Whether an answer is for this attempt."""
        return hmac.compare_digest(
            answer.get("state", "").encode("utf-8", "surrogatepass"), self._state.encode()
        )

    def code(self, answer: Mapping[str, str]) -> str:
        """The code in an answer, once. Raises `LoginFailed` for an answer that proves nothing, `LoginDenied` for a
        refusal.
        """
        if not self.is_answer(answer):
            raise LoginFailed("the answer of the authorization server belongs to another login")
        if self._used:
            raise LoginFailed("the answer of the authorization server has been used already")
        self._used = True
        issuer = answer.get("iss")
        if issuer is None and self._iss_required:
            raise LoginFailed(
                f"the answer of {self.issuer} does not say whom it is from, though that server always does;"
                " it was not used"
            )
        if issuer is not None and issuer != self.issuer:
            raise LoginFailed(
                f"an answer came that is not from {self.issuer}, which was asked; it was not used. If this happens"
                " again, do not trust this server"
            )
        error = answer.get("error")
        if error is not None:
            text = said(answer.get("error_description"))
            raise LoginDenied(
                f"{self.issuer} did not let us in: {said(error)}{f' ({text})' if text else ''}",
                error=said(error),
            )
        code = answer.get("code", "")
        if not code or len(code) > _MAX_QUERY:
            raise LoginFailed(f"the answer of {self.issuer} holds no code")
        return code

    def fields(self, code: str) -> dict[str, str]:
        """The token request for a code."""
        return {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
            "resource": self.resource,
        }

    def __repr__(self) -> str:
        return f"<Attempt at {self.issuer!r}>"


def single_valued(query: str) -> dict[str, str]:
    """The parameters of a query. Raises `LoginFailed` for one that is there twice, or for too many."""
    if len(query) > _MAX_QUERY:
        raise LoginFailed("the answer is too long")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=64, errors="strict")
    except ValueError:
        raise LoginFailed("the answer can't be read") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise LoginFailed("the answer holds a parameter twice")
    return found


def check_endpoints(server: AuthorizationServerMetadata, *, assumed: bool, loopback: bool) -> None:
    """See to it that a person can be sent there. ``assumed``: it has no metadata; ``loopback``: plain
    http to this machine is allowed.

    Raises `DiscoveryFailed` for endpoints that are missing or not https, and for a server without S256.
    """
    if "code" not in (server.response_types_supported or ["code"]):
        raise DiscoveryFailed(f"{server.issuer} does not log people in by authorization codes")
    methods = server.code_challenge_methods_supported
    if not assumed and (methods is None or pkce.METHOD not in methods):
        raise DiscoveryFailed(
            f"{server.issuer} does not say that it knows code challenges of the method {pkce.METHOD}; without"
            " them a stolen code could be used, so nobody is sent there"
        )
    for name, url in (("authorization", server.authorization_endpoint), ("token", server.token_endpoint)):
        if not url:
            raise DiscoveryFailed(f"{server.issuer} names no {name} endpoint")
        check_address(url, f"the {name} endpoint of {server.issuer}", loopback=loopback)
    if require := server.require_pushed_authorization_requests:
        raise DiscoveryFailed(
            f"{server.issuer} wants pushed authorization requests, which are not made here: {require}"
        )


def check_address(url: str, what: str, *, loopback: bool) -> None:
    """Raise `DiscoveryFailed` unless a URL is https, or http on this machine where that is allowed."""
    try:
        location = parse_url(url)
    except FetchRefused:
        raise DiscoveryFailed(f"{what} is no plain https URL; nothing is opened or sent there") from None
    if "#" in url or (location.scheme == "http" and not (loopback and location.is_local_name)):
        raise DiscoveryFailed(f"{what} is not https; nothing is opened or sent there")


def answer_of(text: str) -> dict[str, str]:
    """The parameters in what a person pasted: a whole URL, or its query. Raises `AuthorizationError`."""
    plain = text.strip()
    if not plain or len(plain) > _MAX_QUERY:
        raise AuthorizationError("that is not the address of the page you were sent to")
    query = urlsplit(plain).query if "?" in plain else plain
    return single_valued(query)
