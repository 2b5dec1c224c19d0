"""What the servers of a host ask: forms, addresses, the model, folders. All of it passes the gate first.

Theory of operation. A host declares what it has something for: forms where there is a handler that shows them,
addresses where somebody can agree to a visit, the model and folders where they were given. A form is shown under the
host's own name of the server. Nothing is fetched from an address, and it is opened only by ``open_address``, once a
person agreed; a login goes the same way, and names the scopes that it asks for. The model answers within a budget for
each server and session, and its answer may be looked over before it is sent. A server that may not know the folders is
told of none.

Specification: client/elicitation, "Security Considerations"; client/sampling, "User Interaction Model"; client/roots.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct

from ..client import (
    Decline,
    ElicitationHandler,
    ElicitRequest,
    RootsSource,
    SamplingHandler,
    Visit,
    call_handler,
)
from ..errors import UserRejected
from ..types import CreateMessageParams, CreateMessageResult, Root, TextContent
from .consent import ConsentRefused, ConsentRequest, warnings_of_address
from .gate import ConsentGate
from .logins import HostedLogin, added_to, scopes_in

__all__ = ["QuestionSettings", "SamplingBudget", "ServerQuestions"]


class SamplingBudget(Struct, frozen=True, kw_only=True):
    """What one server may use of the model in a session: ``requests`` (20), and ``tokens`` (100,000), counted by how
    many it says that an answer may have.
    """

    requests: int = 20
    tokens: int = 100_000


class QuestionSettings(Struct, frozen=True, kw_only=True):
    """What answers questions; see the arguments of `Host`."""

    elicitation: ElicitationHandler | None = None
    open_address: Callable[[str], Any] | None = None
    sampling: SamplingHandler | None = None
    budget: SamplingBudget = SamplingBudget()
    review_answers: bool = False
    roots: RootsSource | None = None


class ServerQuestions:
    """The handlers of one server's client. What the program gave that client for itself goes before the host's."""

    def __init__(
        self,
        server: str,
        gate: ConsentGate,
        settings: QuestionSettings,
        own: Mapping[str, Any],
        sources: Callable[[], tuple[str, ...]],
        *,
        login_begins: Callable[[], None],
    ) -> None:
        self._server = server
        self._gate = gate
        self._settings = settings
        self._sources = sources
        self._elicitation: Any = own.get("elicitation") or settings.elicitation
        self._open: Any = own.get("approve") or settings.open_address
        self._opens_visits = own.get("approve") is not None
        self._sampling: Any = own.get("sampling") or settings.sampling
        self._roots = own.get("roots") if own.get("roots") is not None else settings.roots
        self._requests = self._tokens = 0
        self._login_begins = login_begins
        auth = own.get("auth")
        self._login = None if auth is None else HostedLogin(auth, self._log_in, self._more_scopes)
        self._has_headers = bool(own.get("headers"))

    def new_session(self) -> None:
        """The budget is whole again."""
        self._requests = self._tokens = 0

    def handlers(self) -> dict[str, Any]:
        """The options of a client, by what there is."""
        return {
            "elicitation": None if self._elicitation is None else self._form,
            "approve": None if self._open is None else self._visit,
            "sampling": None if self._sampling is None else self._sample,
            "roots": None if self._roots is None else self._folders,
        } | ({} if self._login is None else {"auth": self._login})

    async def scopes(self) -> tuple[str, ...] | None:
        """The scopes of the token that the server is used with; None where nobody knows them."""
        if self._login is not None:
            return await self._login.scopes()
        return None if self._has_headers else ()

    def _request(self, kind: Any, **members: Any) -> ConsentRequest:
        return ConsentRequest(kind=kind, server=self._server, sources=self._sources(), **members)

    def _named(self, described: str) -> str:
        return f"{self._server} ({described})"

    async def _form(self, form: ElicitRequest) -> Any:
        form = msgspec.structs.replace(form, server=self._named(form.server))
        try:
            await self._gate.passed(self._request("form", form=form))
        except ConsentRefused:
            return Decline()
        return await call_handler(self._elicitation, form, call=form.call)

    async def _visit(self, visit: Visit) -> Any:
        visit = msgspec.structs.replace(visit, server=self._named(visit.server))
        try:
            await self._gate.passed(self._request("visit", visit=visit, warnings=warnings_of_address(visit)))
        except ConsentRefused:
            return False
        if self._opens_visits:
            return await call_handler(self._open, visit, call=visit.call)
        done = await call_handler(self._open, visit.url)
        return "done" if done == "done" else True

    async def _log_in(self, visit: Any) -> Any:
        """Whether the person goes to the address of a `dovetail.auth.login.LoginVisit`; "done" where the host has
        opened it.
        """
        self._login_begins()
        shown = Visit(server=self._named(visit.server), message=visit.message, url=visit.url, host=visit.host)
        scopes = scopes_in(visit.url)
        added = added_to(await self.scopes(), scopes)
        request = self._request(
            "login", visit=shown, scopes=scopes, added=added, warnings=warnings_of_address(shown)
        )
        try:
            await self._gate.passed(request)
        except ConsentRefused:
            return False
        if self._open is None:
            return True
        if self._opens_visits:
            return await call_handler(self._open, shown)
        await call_handler(self._open, visit.url)
        return "done"

    async def _more_scopes(self, wanted: tuple[str, ...]) -> None:
        before = await self.scopes()
        scopes = tuple(dict.fromkeys((*(before or ()), *wanted)))
        added = tuple(each for each in wanted if each not in (before or ()))
        await self._gate.passed(self._request("login", scopes=scopes, added=added))

    async def _sample(self, params: CreateMessageParams) -> CreateMessageResult:
        budget = self._settings.budget
        self._requests += 1
        self._tokens += max(params.max_tokens, 0)
        if self._requests > budget.requests or self._tokens > budget.tokens:
            self._tokens -= max(params.max_tokens, 0)
            why = "the budget of the server for the model is used up"
            self._gate.recorder.put(
                "decision", server=self._server, kind="sampling", allowed=False, by="policy", why=why
            )
            raise UserRejected(why)
        try:
            answer = await self._gate.passed(self._request("sampling", sampling=params))
            if isinstance(answer.replacement, CreateMessageParams):
                params = answer.replacement
            given = await call_handler(self._sampling, params)
            result = (
                CreateMessageResult(
                    role="assistant", content=TextContent(text=given), model="unknown", stop_reason="endTurn"
                )
                if isinstance(given, str)
                else given
            )
            if not self._settings.review_answers:
                return result
            answer = await self._gate.passed(self._request("answer", answer=result))
        except ConsentRefused as refused:
            raise UserRejected("the person refused") from refused
        return answer.replacement if isinstance(answer.replacement, CreateMessageResult) else result

    async def _folders(self) -> Sequence[Any]:
        source: Any = self._roots
        given = cast("Sequence[Any]", await call_handler(source, call=None) if callable(source) else source)
        shown = tuple(each.uri if isinstance(each, Root) else str(each) for each in given)
        try:
            await self._gate.passed(self._request("roots", roots=shown))
        except ConsentRefused:
            return []
        return given
