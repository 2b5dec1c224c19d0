"""The credentials for one MCP server: kept, renewed, and got anew when the server refuses them.

Theory of operation. `OAuthCredentials` is the `ClientAuth` behind every grant. A request gets the access token if there
is one; shortly before it expires, whoever comes first renews it, under the lock that all processes sharing the store
obey, and the rest wait for that: a renewal never waits for a person. A refusal is looked into by one task for all
calls that met it. If others have got new tokens meanwhile, these are used. Else the server is asked again who gives
out its tokens; if that is still the same, the refresh token gets a chance, and after that (or if it is another) the
grant starts from the beginning. A token refused right after it was given, or more scopes refused right after they were
granted, end the matter with an error instead of a circle.

A refresh whose answer is lost is tried once more with the same refresh token. If the server takes that for a theft,
there is one new login and nothing else. A refresh that is under way is not given up when the call that needed it is:
its answer may be the only one that has the next refresh token.

Specification: 2026-07-28 basic/authorization "Access Token Usage", "Refresh Tokens", "Scope Challenge Handling",
"Step-Up Authorization Flow"; RFC 9449 sections 7 to 9.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

from msgspec import Struct

from ...logs import get_logger
from ...protocol.errors import DovetailError
from ...security.client_auth import Refusal
from ...security.fetching import Fetcher, FetchFailed, FetchRefused
from ..challenges import Challenge, parse_challenges
from ..dpop import DPoPKey
from ..metadata import AuthorizationServerMetadata
from ..resources import canonical_resource, origin_of
from .discovery import Discovered, discover, discover_server
from .flight import SingleFlight
from .problems import (
    AuthorizationError,
    AuthorizationUnavailable,
    LoginDenied,
    LoginFailed,
    ScopeRefused,
    TokenRefused,
    TokensChanged,
    said,
)
from .proofs import Proofs
from .records import Pointer, Tokens, decode, encode, key_of
from .scopes import MAX_SCOPE, demanded, fits, selected
from .step_ups import FRESH, StepUps
from .storage import TokenStore
from .telling import LoginTeller

__all__ = ["OAuthCredentials", "TokenGrant", "TokenPolicy", "MAX_LOGINS", "SPAN"]

log = get_logger("dovetail.auth")

MAX_LOGINS: Final = 10
"""Times within `SPAN` that a server gets another login by refusing credentials that are good by their time."""
SPAN: Final = 3600.0
"""Seconds for which each of these counts."""

_PAUSE: Final = 5.0  # seconds between attempts that failed
_LOST: Final = (None, 502, 504)  # statuses of answers that may have been lost on the way
_UNKNOWN_SCOPE: Final = "invalid_scope"
_DEAD: Final = frozenset({"invalid_grant", "invalid_client", "unauthorized_client", _UNKNOWN_SCOPE})


class TokenGrant(Protocol):
    """A way to get tokens. ``interactive``: it may wait for a person. ``issuer``: the only one that its credentials
    are for, if any. ``nonces``: of DPoP, by origin.
    """

    @property
    def interactive(self) -> bool: ...

    @property
    def issuer(self) -> str | None: ...

    @property
    def nonces(self) -> dict[str, str]: ...

    async def obtain(self, found: Discovered, scopes: Sequence[str], dpop: DPoPKey | None) -> Tokens:
        """Tokens from nothing."""
        ...

    async def renew(self, tokens: Tokens, server: AuthorizationServerMetadata) -> Tokens:
        """Tokens from those before, without a person. Raises `TokenRefused` when they are good for nothing."""
        ...

    async def revoke(self, tokens: Tokens, server: AuthorizationServerMetadata) -> None:
        """End tokens where they came from, if that can be done."""
        ...


class TokenPolicy(Struct, frozen=True, kw_only=True):
    """What is asked for and taken, whatever the grant. ``name`` tells apart whom the tokens are for, where several use
    one store; ``scopes``: asked for besides those that the server demands; ``dpop``: True always binds tokens to a key,
    None only where the server demands it; ``parents``: metadata may name what is above the server on its host;
    ``extensions``: what a client that uses them declares.
    """

    name: str
    scopes: tuple[str, ...] = ()
    dpop: bool | None = None
    parents: bool = False
    extensions: Mapping[str, Mapping[str, Any]] = {}


class OAuthCredentials:
    """A `ClientAuth` for the MCP server at ``url``, by a grant. ``account`` names the server and whom the tokens are
    for, by a digest.
    """

    def __init__(
        self,
        url: str,
        grant: TokenGrant,
        store: TokenStore,
        fetcher: Fetcher,
        policy: TokenPolicy,
        *,
        clock: Callable[[], float] = time.time,
        steps: LoginTeller | None = None,
    ) -> None:
        self.url: Final = canonical_resource(url)
        self.extensions = policy.extensions
        self._origin = origin_of(url)
        self._grant = grant
        self._store = store
        self._fetcher = fetcher
        self._policy = policy
        self._clock = clock
        self._steps = steps or LoginTeller()
        self._place = self.account = key_of("server", self.url, policy.name)
        self._tokens: Tokens | None = None
        self._loaded = False
        self._servers: dict[str, AuthorizationServerMetadata] = {}
        self._proofs = Proofs(grant.nonces)
        self._recovery: SingleFlight[bool] = SingleFlight()
        self._renewal: SingleFlight[Tokens | None] = SingleFlight(lasting=True)
        self._step_ups = StepUps(self.url)
        self._forced: deque[float] = deque(maxlen=MAX_LOGINS)
        self._failure: tuple[float, AuthorizationError] | None = None
        self._renewal_failed = -1e9

    async def headers(self, method: str, url: str) -> Mapping[str, str]:
        """The credentials for one request; none for another origin than the server's."""
        if origin_of(url) != self._origin:
            return {}
        tokens = await self._current()
        if tokens is not None and tokens.stale(self._clock()):
            with _named():
                tokens = await self._renewed(tokens)
        return {} if tokens is None else self._proofs.headers(tokens, method, url)

    async def refused(self, refusal: Refusal) -> bool:
        """Whether to send a refused message once more. See `ClientAuth.refused`."""
        challenges = parse_challenges(refusal.challenges)
        if (again := self._proofs.nonce_wanted(refusal, challenges)) is not None:
            return again
        sent = refusal.sent.get("authorization", "").partition(" ")[2]
        if refusal.status == 401:
            if self._tokens is not None and self._tokens.access_token != sent:
                return True  # it has been replaced since
            if refusal.method == "DELETE":
                return False
            with _named():
                return await self._recovery.run(lambda: self._recover(sent, refusal, challenges))
        if refusal.status == 403 and refusal.method != "DELETE":
            with _named():
                return await self._step_up(sent, refusal, challenges)
        return False

    def answered(self, url: str, headers: Mapping[str, str]) -> None:
        """Takes note of nonces."""
        self._proofs.answered(url, headers)

    async def close(self) -> None:
        """End what is under way, and let go of connections. Idempotent."""
        await self._recovery.stop()
        await self._renewal.stop()
        await self._fetcher.close()

    def cache_scope(self) -> str:
        """What results that are private to these credentials may be kept under: another login, another scope."""
        return "" if self._tokens is None else self._tokens.login_id

    async def status(self) -> Tokens | None:
        """The tokens there are, expired or not."""
        return await self._load()

    async def log_in(self, scopes: Sequence[str] = ()) -> Tokens:
        """Get tokens now, whatever there is already. Raises `AuthorizationError`, `FetchFailed`, `FetchRefused`."""
        before = await self._load()
        try:
            found = await self._discovered((), before)
            wanted = (*self._policy.scopes, *scopes)
            scopes = selected((), found.scopes, wanted=wanted)
            await self._steps.scoped(scopes, *_why((), found, wanted, ()))
            return await self._obtain(found, scopes, ())
        except DovetailError as problem:
            await self._steps.failed(problem)
            raise

    async def log_out(self) -> Tokens | None:
        """Forget the tokens, and then end them at the authorization server, if it lets them be revoked. Gives those
        there were. A server that could not be told is a warning in the log: here they are forgotten all the same.
        """
        async with self._store.lock(self._place):
            tokens = await self._load()
            await self._drop(tokens)
        if tokens is not None:
            try:
                await self._grant.revoke(tokens, await self._server_of(tokens))
            except DovetailError as problem:
                log.warning(
                    "the tokens of %s were forgotten, but not revoked: %s", said(tokens.issuer), problem
                )
        return tokens

    def __repr__(self) -> str:
        return f"<Credentials for {self.url!r}>"

    # What is kept

    async def _current(self) -> Tokens | None:
        if not self._loaded:
            tokens = await self._load()
            if not self._loaded:
                self._tokens, self._loaded = tokens, True
                if tokens is not None:
                    await self._steps.loaded(tokens, "a token of an earlier login is used")
        return self._tokens

    async def _load(self) -> Tokens | None:
        """The tokens in the store, if they are for this server and these credentials."""
        pointer = decode(await self._store.read(self._place), Pointer)
        if pointer is None:
            return None
        tokens = decode(await self._store.read(_key_of(pointer)), Tokens)
        if tokens is None or (tokens.issuer, tokens.client_id, tokens.resource) != (
            pointer.issuer,
            pointer.client_id,
            pointer.resource,
        ):
            return None
        bound = self._grant.issuer
        return tokens if bound is None or bound == tokens.issuer else None

    async def _keep(self, tokens: Tokens) -> None:
        pointer = Pointer(
            issuer=tokens.issuer,
            client_id=tokens.client_id,
            resource=tokens.resource,
            scopes=tokens.scopes if fits(tokens.scopes) else (),
        )
        await self._store.write(_key_of(pointer), encode(tokens))
        await self._store.write(self._place, encode(pointer))
        self._tokens, self._loaded = tokens, True
        await self._steps.kept(tokens)

    async def _drop(self, tokens: Tokens | None) -> None:
        await self._end(tokens)
        await self._store.remove(self._place)

    async def _end(self, tokens: Tokens | None) -> None:
        """Forget tokens that are good for nothing any more, and not their scopes."""
        if tokens is not None:
            await self._store.remove(_key_of(tokens))
        self._tokens, self._loaded = None, True

    async def _last(self, before: Tokens | None) -> Tokens | Pointer | None:
        """What there was: ``before``, or what is known of tokens that have ended."""
        return before or decode(await self._store.read(self._place), Pointer)

    # Renewing

    async def _renewed(self, stale: Tokens) -> Tokens | None:
        """Tokens that are good, or None where only the whole grant helps. Raises `FetchFailed` and others, if the
        stale ones can't be used any more.
        """
        now = self._clock()
        if not stale.expired(now) and now - self._renewal_failed < _PAUSE:
            return stale
        try:
            return await self._renewal.run(lambda: self._renew(stale))
        except DovetailError:
            self._renewal_failed = now
            if stale.expired(self._clock()):
                raise
            return stale

    async def _renew(self, stale: Tokens, *, refused: str = "") -> Tokens | None:
        """Renew under the lock, unless somebody else has done it meanwhile. ``refused``: a token that the server does
        not take, whatever its time says.
        """
        async with self._steps.gathered():
            with suppress(TokensChanged):  # the lock was lost; whoever has it now may have renewed them
                return await self._renew_locked(stale, refused)
            return await self._renew_locked(stale, refused)

    async def _renew_locked(self, stale: Tokens, refused: str) -> Tokens | None:
        async with self._store.lock(self._place):
            stored = await self._load()
            if stored is not None and stored.access_token not in (stale.access_token, refused):
                if not stored.stale(self._clock()):
                    self._tokens = stored
                    await self._steps.loaded(stored, "somebody else has renewed the token meanwhile")
                    return stored
                stale = stored
            if stale.refresh_token is None and self._grant.interactive:
                if self._tokens is not None and self._tokens.access_token == stale.access_token:
                    self._tokens = None
                return None
            try:
                fresh = await self._grant_renewal(stale)
            except TokenRefused as problem:
                if problem.error not in _DEAD or not self._grant.interactive:
                    raise
                await self._end(stale)
                return None
            await self._keep(fresh)
            return fresh

    async def _grant_renewal(self, stale: Tokens) -> Tokens:
        server = await self._server_of(stale)
        await self._confirm()
        try:
            return await self._grant.renew(stale, server)
        except FetchFailed as problem:
            if problem.status not in _LOST:
                raise
            await self._confirm()
            return await self._grant.renew(
                stale, server
            )  # the answer was lost; the server may know the token still

    async def _confirm(self) -> None:
        """Raise unless the lock is still ours, where it is of a kind that can be lost: see `StoredTokens`."""
        confirm = getattr(self._store, "confirm", None)
        if confirm is not None:
            await confirm(self._place)

    async def _server_of(self, tokens: Tokens) -> AuthorizationServerMetadata:
        """The authorization server that gave tokens, from its own metadata: no one else's word counts."""
        server = self._servers.get(tokens.issuer)
        if server is None:
            server = await discover_server(
                self._fetcher, tokens.issuer, legacy=tokens.legacy, steps=self._steps
            )
            self._servers[tokens.issuer] = server
        return server

    # Refusals

    async def _recover(self, sent: str, refusal: Refusal, challenges: Sequence[Challenge]) -> bool:
        self._pause()
        now = self._clock()
        stored = await self._load()
        if stored is not None and stored.access_token != sent and not stored.stale(now):
            self._tokens, self._loaded = stored, True
            await self._steps.loaded(stored, "another token than the one refused is there already")
            return True
        before = stored or self._tokens
        last = await self._last(before)
        try:
            await self._steps.challenged(refusal, challenges)
            found = await self._discovered(challenges, last)
            self._servers[found.issuer] = found.server
            same = before is not None and (before.issuer, before.resource) == (found.issuer, found.resource)
            if before is not None and same:
                just_now = before.access_token == sent and now - before.obtained_at < FRESH
                if before.refresh_token is not None and not (just_now and refusal.attempt > 1):
                    if await self._renewal.run(lambda: self._renew(before, refused=sent)) is not None:
                        return True
                elif just_now and now - before.login_at < FRESH:
                    raise LoginFailed(
                        f"{said(self.url)} refuses the token that {said(found.issuer)} has just given for it"
                        f"{_reason(challenges, sent)}; their settings of issuer and audience may not agree"
                    )
            early = before is not None and (not before.expired(now) or now - before.login_at < FRESH)
            if early and self._grant.interactive:
                self._count_forced(LoginFailed)
            await self._obtain_all(found, _held(last, found), challenges)
        except (DovetailError, TimeoutError) as problem:
            await self._fail(problem)
            raise
        return True

    async def _obtain_all(
        self, found: Discovered, held: Sequence[str], challenges: Sequence[Challenge]
    ) -> None:
        """Get a token with the scopes that are demanded and those ``held`` before; without these where they are
        too many, or the authorization server says that there is one which it does not know, or not any more.
        """
        if not fits(self._chosen(found, held, challenges)):
            held = ()
        try:
            await self._obtain_chosen(found, held, challenges)
        except (LoginDenied, TokenRefused) as problem:
            if problem.error != _UNKNOWN_SCOPE or not held:
                raise
            await self._obtain_chosen(found, (), challenges)

    async def _obtain_chosen(
        self, found: Discovered, held: Sequence[str], challenges: Sequence[Challenge]
    ) -> None:
        scopes = self._chosen(found, held, challenges)
        await self._steps.scoped(scopes, *_why(challenges, found, self._policy.scopes, held))
        if not fits(scopes):
            raise ScopeRefused(
                f"{said(self.url)} wants {len(scopes)} scopes, which are more than {MAX_SCOPE} characters: so many are"
                " never asked for at once"
            )
        await self._obtain(found, scopes, challenges)

    def _chosen(
        self, found: Discovered, held: Sequence[str], challenges: Sequence[Challenge]
    ) -> tuple[str, ...]:
        return selected(demanded(challenges), found.scopes, wanted=self._policy.scopes, before=held)

    async def _discovered(
        self, challenges: Sequence[Challenge], before: Tokens | Pointer | None
    ) -> Discovered:
        """Who gives out the tokens, preferably whoever did ``before``. Raises as `discover` does."""
        return await discover(
            self._fetcher,
            self.url,
            challenges,
            issuer=self._grant.issuer,
            known=before.issuer if before else None,
            parents=self._policy.parents,
            steps=self._steps,
        )

    async def _fail(self, problem: Exception) -> None:
        """A login has failed; one for want of authorization is not tried again at once."""
        if isinstance(problem, AuthorizationError):
            self._failure = (self._clock(), problem)
        await self._steps.failed(problem)

    async def _step_up(self, sent: str, refusal: Refusal, challenges: Sequence[Challenge]) -> bool:
        """Get a token with the scopes that a refusal demands, besides those there are."""
        found = [each for each in challenges if each.parameters.get("error") == "insufficient_scope"]
        wanted = frozenset(demanded(found))
        if not found or not wanted:
            return False
        if self._tokens is not None and self._tokens.access_token != sent:
            return True
        return await self._recovery.run(lambda: self._widen(sent, wanted, refusal, found))

    async def _widen(
        self, sent: str, wanted: frozenset[str], refusal: Refusal, challenges: Sequence[Challenge]
    ) -> bool:
        self._pause()
        before = await self._load() or self._tokens
        if before is not None and before.access_token != sent:
            self._tokens, self._loaded = before, True
            await self._steps.loaded(before, "another token than the one refused is there already")
            return True
        await self._steps.challenged(refusal, challenges)
        try:
            self._step_ups.check(wanted, before, attempt=refusal.attempt, now=self._clock())
            self._count_forced(ScopeRefused)
        except ScopeRefused as problem:
            await self._steps.failed(problem)
            raise
        try:
            last = await self._last(before)
            found = await self._discovered(challenges, last)
            await self._obtain_all(found, _held(last, found), challenges)
        except (DovetailError, TimeoutError) as problem:
            await self._fail(problem)
            raise
        return True

    async def _obtain(
        self, found: Discovered, scopes: Sequence[str], challenges: Sequence[Challenge]
    ) -> Tokens:
        """Go through the whole grant and keep what comes of it."""
        self._servers[found.issuer] = found.server
        await self._steps.tell(
            "resource",
            f"the token is asked for {said(found.resource)} alone, in both requests",
            requirement="R2607-AUTH-066",
            resource=found.resource,
        )
        key = self._key_for(found, challenges)
        if key is not None:
            reason = "the server demands that" if self._policy.dpop is None else "the settings say so"
            await self._steps.tell(
                "proof-key", f"the tokens will be bound to a new key: {reason}", thumbprint=key.thumbprint
            )
        tokens = await self._grant.obtain(found, scopes, key)
        async with self._steps.gathered():
            await self._keep_locked(tokens)
        self._failure = None
        return tokens

    async def _keep_locked(self, tokens: Tokens) -> None:
        try:
            async with self._store.lock(self._place):
                await self._keep(tokens)
        except AuthorizationUnavailable:  # the store is away: a login is not thrown away for that
            await self._keep(tokens)

    def _count_forced(self, problem: type[AuthorizationError]) -> None:
        """Count what the server brings about by refusing what had not expired; it could do so for ever, with other
        scopes each time. Raises ``problem`` beyond the bound.
        """
        now = self._clock()
        if len(self._forced) == MAX_LOGINS and 0 <= now - self._forced[0] < SPAN:
            raise problem(
                f"{said(self.url)} has refused good credentials, or wanted more scopes, {MAX_LOGINS} times within an"
                " hour; it gets no other login before that hour is over"
            )
        self._forced.append(now)

    def _key_for(self, found: Discovered, challenges: Sequence[Challenge]) -> DPoPKey | None:
        """The key to bind new tokens to, if they have to be."""
        schemes = {challenge.scheme for challenge in challenges}
        demanded_here = found.dpop_required or ("dpop" in schemes and "bearer" not in schemes)
        if self._policy.dpop is False or not (self._policy.dpop or demanded_here):
            return None
        return DPoPKey.generate()

    def _pause(self) -> None:
        """Raise what failed a moment ago again: many calls shall not ask a person many times."""
        if self._failure is not None:
            when, problem = self._failure
            if 0 <= self._clock() - when < _PAUSE:
                raise problem
            self._failure = None


@contextmanager
def _named() -> Generator[None]:
    """A failure to fetch, or to get a lock, is named as what it is to a caller: no authorization."""
    try:
        yield
    except (FetchFailed, FetchRefused) as problem:
        raise AuthorizationUnavailable(f"no credentials can be had: {problem}") from None
    except TimeoutError:
        raise AuthorizationUnavailable(
            "no credentials can be had: another process holds the lock of the tokens and does not let go"
        ) from None


def _key_of(record: Pointer | Tokens) -> str:
    return key_of("tokens", record.issuer, record.client_id, record.resource)


def _held(last: Tokens | Pointer | None, found: Discovered) -> tuple[str, ...]:
    """The scopes that tokens of the same issuer for the same resource had: they are asked for again."""
    same = last is not None and (last.issuer, last.resource) == (found.issuer, found.resource)
    return last.scopes if last is not None and same else ()


def _why(
    challenges: Sequence[Challenge], found: Discovered, wanted: Sequence[str], held: Sequence[str]
) -> tuple[str, str]:
    """Why scopes were chosen as they were, and the requirement that says so."""
    if demanded(challenges):
        reason, requirement = "those that the challenge demands", "R2607-AUTH-055"
        if held:
            reason, requirement = f"{reason}, and those there were before", "R2607-AUTH-056"
    elif held:
        reason, requirement = "those there were before", "R2607-AUTH-056"
    elif wanted:
        return "those of the settings; the challenge demands none", ""
    elif found.scopes and not fits(found.scopes):
        return "the server's metadata list too many to ask for, and the challenge demands none", ""
    elif found.scopes:
        reason, requirement = (
            "those that the server's metadata list, for the challenge demands none",
            "R2607-AUTH-059",
        )
    else:
        return "neither the challenge nor the metadata name any", "R2607-AUTH-059"
    return (f"{reason}, with those of the settings" if wanted else reason), requirement


def _reason(challenges: Sequence[Challenge], sent: str) -> str:
    for challenge in challenges:
        text = challenge.parameters.get("error_description") or challenge.parameters.get("error")
        if text := said(text, secrets=(sent,)):
            return f" ({text})"
    return ""
