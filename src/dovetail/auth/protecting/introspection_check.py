"""Tokens that only their issuer can read, checked by asking it.

Theory of operation. The issuer is asked once per token and then not again for a short while; everyone who shows the
same token meanwhile waits for the same question. A token that it does not know is remembered too, for a moment, and
what may be asked at once is divided (`fair_queue`), so that made-up tokens neither become a flood of questions nor keep
those out who have good ones. What the issuer says is judged by the same rules as a signed token: above all, it must be
for this server.

Specification: RFC 7662; RFC 6749, section 2.3.1 (client authentication).
"""

from __future__ import annotations

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec

from ...logs import get_logger
from ...protocol.errors import DovetailError
from ..resources import authorization_server_urls, origin_of
from ..strict_json import NotAnObject, read_object
from .claims import ClaimRules, verified
from .fair_queue import FairQueue
from .jwt_check import audiences_of
from .key_sets import find_endpoint
from .verdicts import CheckContext, InvalidToken, TokenCheck, Unavailable, Verified, token_digest

__all__ = ["Introspection", "introspection"]

log = get_logger("dovetail.auth")

_MAX_ANSWER: Final = 16 * 1024
_MAX_REFUSED: Final = 10_000
_REFUSED_FOR: Final = 5.0
_MAX_KNOWN: Final = 10_000
_KNOWN_FOR: Final = 3600.0

ClientAuthentication = Literal["client_secret_basic", "client_secret_post"]


class Introspection(msgspec.Struct, frozen=True, kw_only=True):
    """See `introspection`, which makes one."""

    rules: ClaimRules
    client_id: str
    client_secret: str
    url: str | None = None
    method: ClientAuthentication = "client_secret_basic"
    typed: bool = False
    keep: float = 10.0

    @property
    def issuer(self) -> str:
        """The issuer."""
        return self.rules.issuer

    @property
    def opaque(self) -> bool:
        """Tokens of any form are for it to read."""
        return True

    def checker(self, surroundings: CheckContext) -> _IntrospectionChecker:
        """See `TokenCheck`."""
        return _IntrospectionChecker(self, surroundings)

    def __repr__(self) -> str:
        return f"Introspection(issuer={self.issuer!r}, client_id={self.client_id!r})"


def introspection(
    issuer: str,
    *,
    client_id: str,
    client_secret: str,
    audience: str | Sequence[str] | None = None,
    url: str | None = None,
    method: ClientAuthentication = "client_secret_basic",
    typed: bool = False,
    client_claims: Sequence[str] = ("client_id", "azp", "cid", "appid"),
    required: Mapping[str, Any] | None = None,
    keep: float = 10.0,
) -> TokenCheck:
    """Check tokens by asking ``issuer``, as the client ``client_id`` with its secret.

    ``audience``: what stands for this server in the answer's ``aud``, by default the resource itself; an answer
    without one is refused. ``url``: where to ask; by default the issuer's metadata says so. ``method``: how the
    secret is sent. ``typed``: take only answers that name the token's type, Bearer or DPoP: for issuers that answer
    for refresh tokens too, and mark these in no way that is known here (``token_use``, ``typ``, ``token_type``).
    ``keep``: for how many seconds an answer is used again (0 to 60), never past the token's end; a token that is
    revoked is good for so long.

    Raises ValueError for settings that make no sense.
    """
    authorization_server_urls(issuer)
    if url is not None:
        origin_of(url)
    if not client_id or not client_secret:
        raise ValueError("the issuer answers only clients that it knows: give client_id and client_secret")
    if method not in ("client_secret_basic", "client_secret_post"):
        raise ValueError("the secret is sent by client_secret_basic or client_secret_post")
    if not 0 <= keep <= 60:
        raise ValueError("an answer is kept for 0 to 60 seconds")
    rules = ClaimRules(
        issuer=issuer,
        audiences=audiences_of(audience),
        client_claims=tuple(client_claims),
        required=dict(required or {}),
        bare=True,
    )
    return Introspection(
        rules=rules,
        client_id=client_id,
        client_secret=client_secret,
        url=url,
        method=method,
        typed=typed,
        keep=keep,
    )


class _IntrospectionChecker:
    def __init__(self, settings: Introspection, surroundings: CheckContext) -> None:
        self._settings = settings
        self._surroundings = surroundings
        self._url = settings.url
        self._open: dict[bytes, asyncio.Task[dict[str, Any]]] = {}
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._known: OrderedDict[bytes, float] = OrderedDict()
        self._turns: tuple[asyncio.AbstractEventLoop, FairQueue] | None = None

    @property
    def keep(self) -> float:
        return self._settings.keep

    async def check(self, token: str) -> Verified:
        return await self.check_from(token, "")

    async def check_from(self, token: str, network: str) -> Verified:
        digest, clock = token_digest(token), self._surroundings.clock
        if self._refused.get(digest, 0.0) > clock():
            raise InvalidToken("the token is not active")
        claims = await asyncio.shield(self._ask_once(digest, token, network))
        if claims.get("active") is not True:
            self._known.pop(digest, None)
            _keep(self._refused, digest, clock() + _REFUSED_FOR, _MAX_REFUSED)
            raise InvalidToken("the token is not active")
        if self._settings.typed and str(claims.get("token_type")).lower() not in ("bearer", "dpop"):
            raise InvalidToken("the authorization server does not say that the token is an access token")
        found = verified(claims, self._settings.rules, self._surroundings)
        _keep(self._known, digest, clock() + _KNOWN_FOR, _MAX_KNOWN)
        return found

    def _ask_once(self, digest: bytes, token: str, network: str) -> asyncio.Task[dict[str, Any]]:
        """The one question about a token that is open or waits, or a new one."""
        loop = asyncio.get_running_loop()
        task = self._open.get(digest)
        if task is not None and task.get_loop() is loop:
            return task
        if self._turns is None or self._turns[0] is not loop:
            self._turns = loop, FairQueue()
        known = self._known.get(digest, 0.0) > self._surroundings.clock()
        task = self._open[digest] = loop.create_task(
            self._ask_in_turn(self._turns[1], token, network, known=known)
        )
        task.add_done_callback(lambda done: self._closed(digest, done))
        return task

    async def _ask_in_turn(
        self, turns: FairQueue, token: str, network: str, *, known: bool
    ) -> dict[str, Any]:
        async with turns.turn(network, known=known):
            return await self._ask(token)

    def _closed(self, digest: bytes, task: asyncio.Task[dict[str, Any]]) -> None:
        if self._open.get(digest) is task:
            del self._open[digest]
        if not task.cancelled():
            task.exception()  # whoever asked may be gone: it is told, not lost

    async def _ask(self, token: str) -> dict[str, Any]:
        fetcher = self._surroundings.fetcher()
        try:
            if self._url is None:
                self._url = await find_endpoint(fetcher, self._settings.issuer, "introspection_endpoint")
            fields, headers = self._credentials()
            answer = await fetcher.post_form(
                self._url, {"token": token, "token_type_hint": "access_token", **fields}, headers
            )
            if answer.status != 200:
                raise Unavailable(f"introspection answered with status {answer.status}")
            return read_object(answer.body, _MAX_ANSWER)
        except NotAnObject as problem:
            log.warning("the answer of %s to introspection can't be used: %s", self._settings.issuer, problem)
        except DovetailError as problem:
            log.warning("%s can't be asked about a token: %s", self._settings.issuer, problem)
        finally:
            await fetcher.close()
        raise Unavailable("the authorization server can't be asked about the token now; retry")

    def _credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        """How this server shows who it is: fields of the form, and headers."""
        settings = self._settings
        if settings.method == "client_secret_post":
            return {"client_id": settings.client_id, "client_secret": settings.client_secret}, {}
        # Form-encoded, with a space as %20, which those read as well who take a plus for a plus.
        pair = ":".join(quote(part, safe="") for part in (settings.client_id, settings.client_secret)).encode(
            "ascii"
        )
        return {}, {"authorization": "Basic " + base64.b64encode(pair).decode("ascii")}


def _keep(table: OrderedDict[bytes, float], digest: bytes, until: float, most: int) -> None:
    """Remember a token, and forget the one noted longest ago where there are too many."""
    table[digest] = until
    table.move_to_end(digest)
    while len(table) > most:
        table.popitem(last=False)
