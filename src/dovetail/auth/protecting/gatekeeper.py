"""The gatekeeper of one protected endpoint: who may come in, and what those hear who may not.

Theory of operation
-------------------
The token is read from the one header, its verdict looked up or made, and then the parts that belong to the request
and not to the token are checked each time: that it has not ended meanwhile, and for a token that is bound to a key,
the proof that came with this request. A bound token without its proof is refused, and so is a proof with a token that
is bound to nothing.

Refusals are challenges (RFC 6750, RFC 9449): 401 says where the resource describes itself and which scopes it takes
to begin with, and what was wrong with the token, if there was one; 403 names all scopes that this one operation takes
(and not those that the token has already: clients keep these by themselves); 400 is for requests that can't be meant.
A server that can't tell whether a token is good says so with 503, and never lets it in.

Specification: basic/authorization, "Scope Selection Strategy", "Error Handling"; RFC 9728, sections 3 and 5.1;
RFC 6750, section 3; RFC 9449, sections 7 to 9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, cast
from urllib.parse import quote, unquote, urlsplit

import msgspec

from ...logs import get_logger
from ...protocol import names
from ...security.authenticator import AuthenticationFailed, Credentials
from ...security.callers import network_of
from ...security.principal import Principal
from ...stores.errors import StoreError
from ..challenges import render_challenge
from ..dpop import NonceRequired, ProofChecker, ProofInvalid
from ..resources import origin_of, protected_resource_urls
from ..signed import ALGORITHMS, SignatureInvalid, read_compact
from .credentials import CredentialsMalformed, PresentedCredentials, is_token, read_authorization
from .verdicts import Checker, InvalidToken, TokenCheck, Unavailable, Verdicts, Verified, token_digest

log = get_logger("dovetail.auth")

__all__ = ["TokenGatekeeper", "GatekeeperRules"]

DPoPUse = Literal["accepted", "required", "refused"]

_RETRY: Final = (("retry-after", "5"),)
_OLD_ROUTES: Final = ("/sse", "/messages")


class GatekeeperRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a gatekeeper goes by. ``scopes``: what it takes to come in at all; ``document``: how the resource describes
    itself; ``path``: where the endpoint is served, as the transport sees it.
    """

    resource: str
    path: str
    scopes: tuple[str, ...]
    document: bytes
    metadata_url: str | None
    dpop: DPoPUse
    checkers: tuple[tuple[TokenCheck, Checker], ...]
    clock: Callable[[], float]


class TokenGatekeeper:
    """A `Gatekeeper`. ``proofs`` checks the proofs of tokens that are bound to keys."""

    def __init__(self, rules: GatekeeperRules, proofs: ProofChecker) -> None:
        self._rules = rules
        self._proofs = proofs
        self._verdicts = Verdicts(rules.clock)
        self._well_known = protected_resource_urls(rules.resource)[0]
        self._resource_path = urlsplit(rules.resource).path
        self._documents = frozenset(
            names.WELL_KNOWN_RESOURCE + each for each in ("", unquote(self._resource_path), rules.path)
        )

    # What the transport asks

    async def authenticate(self, request: Credentials) -> Principal:
        """Who sent the request. Raises `AuthenticationFailed`."""
        return await self._judge(request, proven=False)

    async def authenticate_again(self, request: Credentials) -> Principal:
        """Who sent a request that was taken before: its proof, if it has one, was used then. Raises as `authenticate`
        does.
        """
        return await self._judge(request, proven=True)

    async def _judge(self, request: Credentials, *, proven: bool) -> Principal:
        try:
            shown = read_authorization(request.authorization)
        except CredentialsMalformed as problem:
            raise self._refusal(request, str(problem), status=400, error="invalid_request") from None
        if shown is None:
            raise self._refusal(request, "the request shows no token")
        try:
            verified = await self._verify(shown, request.remote)
            if not proven:
                await self._check_binding(request, shown, verified)
        except InvalidToken as problem:
            raise self._refusal(request, str(problem), error="invalid_token", scheme=shown.scheme) from None
        except (Unavailable, StoreError) as problem:
            if isinstance(problem, StoreError):
                log.warning("no token can be checked, for the store failed: %s", problem)
            raise AuthenticationFailed(str(problem), status=503, headers=_RETRY) from None
        principal = verified.principal
        if not principal.scopes.issuperset(self._rules.scopes):
            raise self.insufficient(request, self._rules.scopes)
        return principal

    def document(self, path: str, mount: str) -> bytes | None:
        """See `Gatekeeper`. Below a mount the document is found below that as well, for the root is not ours."""
        if names.WELL_KNOWN_RESOURCE not in path:
            return None
        local = path.removeprefix(mount.rstrip("/"))
        return self._rules.document if path in self._documents or local in self._documents else None

    def insufficient(self, request: Credentials, scopes: Sequence[str]) -> AuthenticationFailed:
        """See `Gatekeeper`."""
        return self._refusal(
            request,
            f"this needs a token with the scope {' '.join(scopes)}",
            status=403,
            error="insufficient_scope",
            scopes=tuple(scopes),
            scheme="dpop" if "".join(request.authorization)[:5].lower() == "dpop " else "bearer",
        )

    # Tokens

    async def _verify(self, shown: PresentedCredentials, remote: str) -> Verified:
        """The verdict on the token itself. Raises `InvalidToken` and `Unavailable`."""
        token = shown.token
        if not is_token(token):
            raise InvalidToken("the token has characters that tokens don't have, or too many")
        digest = token_digest(token)
        found = self._verdicts.get(digest)
        if found is None:
            checker = self._checker(token)
            check_from = getattr(checker, "check_from", None)
            if check_from is None:
                found = await checker.check(token)
            else:
                found = cast("Verified", await check_from(token, network_of(remote)))
            self._verdicts.put(digest, found, checker.keep)
        return found

    def _checker(self, token: str) -> Checker:
        """The check that a token is for: that of its issuer, or the one for tokens that only their issuer can read."""
        checkers = self._rules.checkers
        if len(checkers) == 1:
            return checkers[0][1]
        try:
            issuer = read_compact(token, ALGORITHMS).claims.get("iss")
        except SignatureInvalid:
            issuer = None
        for check, checker in checkers:
            if check.issuer == issuer if issuer is not None else check.opaque:
                return checker
        raise InvalidToken("the token is of no issuer that this server knows")

    async def _check_binding(
        self, request: Credentials, shown: PresentedCredentials, verified: Verified
    ) -> None:
        """Raise for a token that is bound to a key and shown without a proof, and the other way around."""
        rules = self._rules
        if shown.scheme == "bearer":
            if verified.key:
                raise InvalidToken("the token is bound to a key: send it with the scheme DPoP, and a proof")
            if rules.dpop == "required":
                raise InvalidToken("this server takes only tokens that are bound to a key (DPoP)")
            return
        if rules.dpop == "refused":
            raise InvalidToken("this server takes bearer tokens only")
        if not verified.key:
            raise InvalidToken("the token is bound to no key: send it with the scheme Bearer")
        proof = request.headers.get("dpop")
        try:
            if proof is None:
                raise ProofInvalid("the request has no proof (DPoP)")
            await self._proofs.check(proof, request.method, self._target(request), shown.token, verified.key)
        except NonceRequired as problem:
            raise self._refusal(
                request, str(problem), error="use_dpop_nonce", scheme="dpop", nonce=problem.nonce
            ) from None
        except ProofInvalid as problem:
            raise self._refusal(request, str(problem), error="invalid_dpop_proof", scheme="dpop") from None

    def _target(self, request: Credentials) -> str:
        """The address that a proof has to name: the public one, whatever this process is reached by."""
        resource = self._rules.resource.partition("?")[0]
        path = urlsplit(request.url).path
        for route in _OLD_ROUTES:
            if path.endswith(route) and not self._resource_path.endswith(route):
                return resource + route
        return resource

    # Refusals

    def _refusal(
        self,
        request: Credentials,
        message: str,
        *,
        status: int = 401,
        error: str = "",
        scopes: tuple[str, ...] | None = None,
        scheme: str = "bearer",
        nonce: str = "",
    ) -> AuthenticationFailed:
        rules = self._rules
        parameters: dict[str, str] = {}
        if error:
            parameters = {"error": error, "error_description": message}
        if wanted := rules.scopes if scopes is None else scopes:
            parameters["scope"] = " ".join(wanted)
        parameters["resource_metadata"] = self._metadata_url(request.mount)
        headers: list[tuple[str, str]] = []
        if rules.dpop == "required" or scheme == "dpop":
            algorithms = " ".join(self._proofs.algorithms)
            headers.append(("www-authenticate", render_challenge("DPoP", {**parameters, "algs": algorithms})))
        else:
            headers.append(("www-authenticate", render_challenge("Bearer", parameters)))
        if nonce:
            headers.append(("dpop-nonce", nonce))
        return AuthenticationFailed(message, status=status, headers=tuple(headers))

    def _metadata_url(self, mount: str) -> str:
        """Where clients find the document. Of a mounted endpoint it is told where the mount serves it: the
        well-known place at the root belongs to whoever mounted it.
        """
        rules = self._rules
        if rules.metadata_url is not None:
            return rules.metadata_url
        mount = mount.rstrip("/")
        if not mount:
            return self._well_known
        public = self._resource_path
        prefix = public.removesuffix(rules.path) if public.endswith(rules.path) else quote(mount)
        return origin_of(rules.resource) + prefix + names.WELL_KNOWN_RESOURCE
