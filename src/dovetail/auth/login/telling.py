"""Who is told of the steps of a login.

Theory of operation. Each step is told when what it is about has happened, and before anything follows from it: whoever
is told may take its time, and the login stands still so long, with all deadlines of the calls that wait for it. Where
nobody is told, nothing is made of what happened. What is done under the lock of the tokens is told when the lock is
free again (`LoginTeller.gathered`): nobody is to keep other processes from their tokens, or a refresh token from
being kept.

Specification: none.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from ...logs import get_logger
from ...protocol.errors import DovetailError
from ...security.client_auth import Refusal
from ...security.fetching import Fetched
from ...transports.deadlines import standing_still
from ..challenges import Challenge
from .problems import LoginFailed, said
from .records import Tokens
from .steps import LoginExchange, LoginStep, LoginStepKind, LoginStepOutcome, SecretKeeper, described

__all__ = ["SentExchange", "LoginTeller", "LoginStepHandler"]

log = get_logger("dovetail.auth")

#: Told of each step; what it gives is awaited, if it can be.
LoginStepHandler = Callable[[LoginStep], Awaitable[None] | None]

_gathered: Final[ContextVar[list[LoginStep] | None]] = ContextVar("dovetail_login_steps", default=None)


class SentExchange(NamedTuple):
    """A request as it was sent, with its answer if there was one; with all secrets."""

    method: str
    url: str
    answer: Fetched | None = None
    sent: Any = None
    headers: Mapping[str, str] = {}


class LoginTeller:
    """Tells of the steps of one server's logins. ``told``: the handler, if there is one."""

    def __init__(self, told: LoginStepHandler | None = None) -> None:
        self._told = told
        self._secrets = SecretKeeper()

    async def tell(
        self,
        kind: LoginStepKind,
        decision: str,
        outcome: LoginStepOutcome = "done",
        *,
        requirement: str = "",
        asked: SentExchange | None = None,
        **values: Any,
    ) -> None:
        """Tell of a step, and wait until it was heard. Raises `LoginFailed` where the handler fails."""
        if self._told is None:
            return
        exchange = None if asked is None else self._exchange(asked)
        shown = self._secrets.value(values)
        step = LoginStep(
            kind=kind,
            outcome=outcome,
            decision=self._secrets.text(decision),
            requirement=requirement,
            exchange=exchange,
            values=shown,
        )
        gathered = _gathered.get()
        if gathered is None:
            await self._hand_over(step)
        else:
            gathered.append(step)

    def learn(self, *secrets: str | None) -> None:
        """These must not be shown, wherever they turn up."""
        if self._told is not None:
            self._secrets.learn(*secrets)

    @asynccontextmanager
    async def gathered(self) -> AsyncGenerator[None]:
        """What is told inside is told afterwards."""
        if self._told is None:
            yield
            return
        steps: list[LoginStep] = []
        token = _gathered.set(steps)
        try:
            yield
        except DovetailError:
            _gathered.reset(token)
            for step in steps:
                await self._mention(step)
            raise
        except BaseException:
            _gathered.reset(token)
            raise
        _gathered.reset(token)
        for step in steps:
            await self._hand_over(step)

    async def challenged(self, refusal: Refusal, challenges: Sequence[Challenge]) -> None:
        """A server refused a request."""
        if self._told is None:
            return
        sent = refusal.sent.get("authorization", "")
        self.learn(sent.partition(" ")[2], refusal.sent.get("dpop"))
        answer = Fetched(
            refusal.status,
            {**refusal.headers, "www-authenticate": ", ".join(refusal.challenges)},
            b"",
            refusal.url,
        )
        await self.tell(
            "challenge",
            _challenge_said(refusal, challenges, token=bool(sent)),
            requirement="R2607-AUTH-006" if refusal.status == 401 else "R2607-AUTH-096",
            asked=SentExchange(refusal.method, refusal.url, answer, headers=refusal.sent),
            challenges=[{"scheme": each.scheme, **each.parameters} for each in challenges],
        )

    async def scoped(self, scopes: Sequence[str], reason: str, requirement: str) -> None:
        """Scopes were chosen."""
        await self.tell(
            "scopes",
            f"the scopes to ask for are {described(scopes)}: {reason}",
            requirement=requirement,
            scopes=list(scopes),
        )

    async def loaded(self, tokens: Tokens, reason: str) -> None:
        """Tokens were in the store."""
        self.learn(tokens.access_token, tokens.refresh_token)
        await self.tell(
            "loaded",
            f"{reason}: one of {said(tokens.issuer)} for {said(tokens.resource)}",
            requirement="R2607-AUTH-036",
            **_shown(tokens),
        )

    async def kept(self, tokens: Tokens) -> None:
        """Tokens were put into the store."""
        self.learn(tokens.access_token, tokens.refresh_token)
        what = "an access token and no refresh token" if tokens.refresh_token is None else "both tokens"
        await self.tell(
            "kept",
            f"{what} of {said(tokens.issuer)} kept, for {said(tokens.resource)} alone",
            requirement="R2607-AUTH-036",
            **_shown(tokens),
        )

    async def failed(self, problem: BaseException) -> None:
        """The login ended. What the handler raises now changes nothing any more: the problem is raised in any case."""
        if self._told is None:
            return
        step = LoginStep(
            kind="failed",
            outcome="failed",
            decision=self._secrets.text(str(problem) or type(problem).__name__),
            values={"error": type(problem).__name__},
        )
        await self._mention(step)

    async def _hand_over(self, step: LoginStep) -> None:
        if self._told is None:
            return
        try:
            with standing_still():
                found = self._told(step)
                if inspect.isawaitable(found):
                    await found
        except LoginFailed:
            raise
        except Exception as problem:
            raise LoginFailed(
                f"the login was given up: on_step raised {type(problem).__name__} at the step {step.kind!r}"
            ) from problem

    async def _mention(self, step: LoginStep) -> None:
        """Tell of a step where something else is about to be raised."""
        try:
            await self._hand_over(step)
        except LoginFailed as problem:
            log.warning("a login failed, and so did who was told of it: %s", problem)

    def _exchange(self, asked: SentExchange) -> LoginExchange:
        """What was sent and got, as it may be shown. What was sent is looked at first: the answer may repeat it."""
        secrets, answer = self._secrets, asked.answer
        sent, headers = secrets.value(asked.sent), secrets.value(asked.headers)
        document = None if answer is None else secrets.document(answer.body)
        return LoginExchange(
            method=asked.method,
            url=secrets.url(asked.url),
            headers=headers,
            sent=sent,
            status=0 if answer is None else answer.status,
            answered={} if answer is None else secrets.value(answer.headers),
            document=document,
        )


def _challenge_said(refusal: Refusal, challenges: Sequence[Challenge], *, token: bool) -> str:
    """What a refusal means."""
    if refusal.status == 403:
        return "the token is good, and this request needs more scopes than it has"
    pointed = "its challenge does not say where its metadata is"
    if any(each.parameters.get("resource_metadata") for each in challenges):
        pointed = "its challenge says where its metadata is"
    if not challenges:
        pointed = "it sends no challenge that can be read, though it should"
    refused = "the server does not take the token that was sent" if token else "the server wants a token"
    return f"{refused}; {pointed}"


def _shown(tokens: Tokens) -> dict[str, Any]:
    return {
        "issuer": tokens.issuer,
        "resource": tokens.resource,
        "client_id": tokens.client_id,
        "token_type": tokens.token_type,
        "scopes": list(tokens.granted),
        "expires_at": tokens.expires_at,
        "access_token": tokens.access_token,
        "refresh_token": tokens.refresh_token,
    }
