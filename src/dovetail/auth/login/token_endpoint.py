"""Requests to a token endpoint, and what comes back.

Theory of operation. Every request carries the client's proof, made for this issuer only, and, where tokens are bound
to a key, a proof of that key; a server that wants a nonce in it is asked once more with the nonce. The answer is read
as a stranger's: a token is printable ASCII or no token, a kind of token that we can't present is refused, and a
lifetime that is no positive number is no lifetime, which RFC 6749 only recommends to tell. Nothing of it appears in an
error but the error code and its description.

Specification: RFC 6749 sections 5.1 and 5.2; RFC 8707 section 2.2; RFC 9449 sections 5 and 8.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from ...protocol.errors import DovetailError
from ...security.fetching import Fetched, Fetcher, FetchFailed
from ..dpop import DPoPKey
from .identity import Identity
from .problems import AuthorizationError, TokenRefused, said
from .steps import LoginStepKind, described
from .telling import LoginTeller, SentExchange

__all__ = ["TokenEndpoint", "TokenReply"]

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,65536}")
_MAX_LIFE: Final = 10 * 365 * 86400.0
_NONCE_HEADER: Final = "dpop-nonce"
_NONCE_WANTED: Final = "use_dpop_nonce"
_KINDS: Final[dict[str, LoginStepKind]] = {"refresh_token": "refresh"}
_CONFIDENTIAL: Final = frozenset(
    {
        "assertion", "client_assertion", "client_secret", "code", "code_verifier", "refresh_token", "subject_token",
        "token",
    }
)  # fmt: skip


class TokenReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a token endpoint granted. ``expires_in`` in seconds, None if unknown; ``scopes`` None if it did not say."""

    access_token: str
    token_type: str
    expires_in: float | None = None
    refresh_token: str | None = None
    scopes: tuple[str, ...] | None = None
    issued_type: str | None = None

    def __repr__(self) -> str:
        return f"<TokenReply of type {self.token_type}>"


class _Exchanged(NamedTuple):
    """An exchange as steps show it, and its answer, which there is."""

    shown: SentExchange
    answer: Fetched


class TokenEndpoint:
    """One token endpoint, as one client uses it."""

    def __init__(
        self,
        fetcher: Fetcher,
        url: str | None,
        identity: Identity,
        *,
        issuer: str,
        dpop: DPoPKey | None = None,
        nonces: dict[str, str] | None = None,
        steps: LoginTeller | None = None,
    ) -> None:
        if not url:
            raise AuthorizationError(f"the authorization server {issuer} has no token endpoint")
        self._fetcher = fetcher
        self._url = url
        self._identity = identity
        self._issuer = issuer
        self._dpop = dpop
        self._nonces = nonces if nonces is not None else {}
        self._steps = steps or LoginTeller()

    async def request(self, fields: Mapping[str, str], *, bearer_only: bool = False) -> TokenReply:
        """Ask for a token. ``bearer_only``: no proof of a key goes with it, and the answer may be of any type.

        Raises `TokenRefused`, `FetchFailed` and `FetchRefused`.
        """
        kind: LoginStepKind = "assertion" if bearer_only else _KINDS.get(fields["grant_type"], "token")
        asked, hidden = await self._asked(kind, fields, proof=not bearer_only)
        origin = origin_key(self._url)
        nonce = asked.answer.headers.get(_NONCE_HEADER, "")
        wanted = asked.answer.status in (400, 401) and _error_of(asked.answer) == _NONCE_WANTED
        if self._dpop is not None and nonce:
            known, self._nonces[origin] = self._nonces.get(origin), nonce[:1024]
            if wanted and known != nonce:
                again = "the proof of the key has to hold a nonce of the server's: the same is asked with it"
                await self._steps.tell(kind, again, "refused", asked=asked.shown)
                asked, hidden = await self._asked(kind, fields, proof=not bearer_only)
        try:
            reply = self._reply(asked.answer, hidden, any_type=bearer_only)
        except DovetailError as problem:
            await self._steps.tell(kind, str(problem), "refused", asked=asked.shown)
            raise
        await self._granted(kind, reply, asked.shown)
        return reply

    async def _granted(self, kind: LoginStepKind, reply: TokenReply, asked: SentExchange) -> None:
        life = "without an end" if reply.expires_in is None else f"good for {reply.expires_in:g} s"
        scopes = (
            "the scopes that were asked for"
            if reply.scopes is None
            else f"the scopes {described(reply.scopes)}"
        )
        await self._steps.tell(
            kind,
            f"{self._issuer} gave a token of the type {said(reply.token_type) or 'none'}, {life}, with {scopes}",
            requirement="R2607-AUTH-067" if "resource" in (asked.sent or ()) else "",
            asked=asked,
            scopes=None if reply.scopes is None else list(reply.scopes),
            expires_in=reply.expires_in,
            refresh_token=reply.refresh_token,
        )

    async def _asked(
        self, kind: LoginStepKind, fields: Mapping[str, str], *, proof: bool
    ) -> tuple[_Exchanged, list[str]]:
        sent, headers, hidden = self._signed(fields, proof=proof)
        self._steps.learn(*hidden)
        asked = SentExchange("POST", self._url, None, sent, headers)
        try:
            answer = await self._fetcher.post_form(self._url, sent, headers)
        except FetchFailed as problem:
            await self._steps.tell(kind, str(problem), "missing", asked=asked)
            raise
        return _Exchanged(asked._replace(answer=answer), answer), hidden

    async def tell(self, fields: Mapping[str, str]) -> None:
        """Say something of which only the status of the answer matters. Raises as `request` does."""
        sent, headers, hidden = self._signed(fields, proof=False)
        answer = await self._fetcher.post_form(self._url, sent, headers)
        if answer.status != 200:
            raise self._refused(answer, _object_of(answer) or {}, hidden)

    def _signed(
        self, fields: Mapping[str, str], *, proof: bool
    ) -> tuple[dict[str, str], dict[str, str], list[str]]:
        """The form and the headers to send, and what the answer must not be quoted with."""
        sent, headers = dict(fields), dict[str, str]()
        self._identity.sign(self._issuer, sent, headers)
        if proof and self._dpop is not None:
            headers["dpop"] = self._dpop.proof(
                "POST", self._url, nonce=self._nonces.get(origin_key(self._url))
            )
        hidden = [value for name, value in sent.items() if name in _CONFIDENTIAL]
        return sent, headers, [*hidden, *self._identity.confidential]

    def _reply(self, answer: Fetched, hidden: Sequence[str], *, any_type: bool) -> TokenReply:
        value = _object_of(answer)
        if value is None or "error" in value or answer.status != 200:
            raise self._refused(answer, value or {}, hidden)
        token, kind = value.get("access_token"), value.get("token_type")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise TokenRefused(
                f"the token endpoint of {self._issuer} answered without a usable token", status=200
            )
        kind = kind.lower() if isinstance(kind, str) else ""
        if not any_type and self._dpop is not None and kind == "bearer":
            raise TokenRefused(
                f"{self._issuer} gave a token that is not bound to a key, though a bound one was asked for",
                status=200,
            )
        if not any_type and kind != ("bearer" if self._dpop is None else "dpop"):
            raise TokenRefused(
                f"{self._issuer} gave a token of the type {said(kind)!r}, which can't be presented here",
                status=200,
            )
        refresh, scope, issued = (value.get(name) for name in ("refresh_token", "scope", "issued_token_type"))
        return TokenReply(
            access_token=token,
            token_type=kind,
            expires_in=_life(value.get("expires_in")),
            refresh_token=refresh if isinstance(refresh, str) and _TOKEN.fullmatch(refresh) else None,
            scopes=tuple(dict.fromkeys(scope.split()))[:1000] if isinstance(scope, str) else None,
            issued_type=issued if isinstance(issued, str) else None,
        )

    def _refused(self, answer: Fetched, value: Mapping[str, Any], hidden: Sequence[str]) -> Exception:
        error, description = (
            said(value.get(name), secrets=hidden) for name in ("error", "error_description")
        )
        if not error and answer.status >= 500:
            return FetchFailed(
                f"the token endpoint of {self._issuer} answered with status {answer.status}",
                status=answer.status,
            )
        text = f"{self._issuer} gave no token: {error or f'status {answer.status}'}"
        if answer.status == 200 and not error:
            text = f"the token endpoint of {self._issuer} did not answer as one"
        return TokenRefused(
            f"{text} ({description})" if description else text, error=error, status=answer.status
        )


def origin_key(url: str) -> str:
    """What nonces are kept by: each server has its own."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _object_of(answer: Fetched) -> dict[str, Any] | None:
    try:
        return answer.json_object()
    except FetchFailed:
        return None


def _error_of(answer: Fetched) -> str:
    error = (_object_of(answer) or {}).get("error")
    return error if isinstance(error, str) else ""


def _life(value: Any) -> float | None:
    """Seconds that a token is good for: a positive number of JSON, from one second on. Anything else counts as left
    out: the member is only recommended, so an answer without it is whole, and what it grants is not thrown away. A
    token without an end is used until it is refused.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value < math.inf:
        return None
    return float(min(value, _MAX_LIFE))
