"""The one place that everything passes before it is done: policy, what was decided before, a person, the record of it.

Theory of operation. The policy is asked first; what it denies is refused. What was decided before holds where it was
decided on the same: a tool whose definition is not the one that was shown is asked for again, with what changed, also
where the policy allows it. So is one with characters that nobody sees, until somebody agreed to it. Then the person is
asked, one question after the other; what was decided meanwhile answers those that wait. Where nobody is there to ask,
the answer is no. Everything is recorded before it is done. An address is shown each time that somebody is to go there:
what was agreed to of another one says nothing of it.

Specification: server/tools, "Security Considerations"; index, "Security and Trust & Safety".
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ..client import call_handler
from ..logs import get_logger
from ..security import one_line
from ..types import Tool
from .consent import (
    Approve,
    ConsentAnswer,
    ConsentHandler,
    ConsentKind,
    ConsentRefused,
    ConsentRequest,
    Refuse,
)
from .decisions import Decisions, RememberedDecision, canonical, fingerprint_of_tools
from .policy import HostPolicy
from .records import HostRecorder
from .tool_definitions import changes_of, definition_of, fingerprint_of, hidden_in

__all__ = ["ConsentGate"]

log = get_logger("dovetail.host")
_SEEN_EACH_TIME: Final[tuple[ConsentKind, ...]] = ("visit", "login")  # another address may come next


class ConsentGate:
    """Lets things pass, or not. ``identities``: of the servers, by name; ``listed``: the tools of a server, as they are
    known now.
    """

    def __init__(
        self,
        ask: ConsentHandler | None,
        policy: HostPolicy,
        decisions: Decisions,
        recorder: HostRecorder,
        *,
        identities: Mapping[str, str],
        listed: Callable[[str], Mapping[str, Tool]],
    ) -> None:
        self._ask = ask
        self._policy = policy
        self.decisions = decisions
        self.recorder = recorder
        self._identities = identities
        self._listed = listed
        self._asking = asyncio.Lock()

    async def passed(self, request: ConsentRequest) -> Approve:
        """The approval. Raises `ConsentRefused`."""
        request = self._examined(request)
        decided = self._decided(request)
        if decided is None:
            async with self._asking:
                decided = self._decided(request)
                if decided is None:
                    decided = await self._asked(request)
        answer, by, why = decided
        try:
            self._record(request, allowed=isinstance(answer, Approve), by=by, why=why)
            if by == "person" and answer.remember != "once" and _may_be_remembered(request, answer):
                await self._remember(request, answer)
            if isinstance(answer, Approve) and request.tool is not None:
                await self._show(request.server, request.tool)
        except Exception as problem:
            log.exception("a decision could not be recorded")
            raise ConsentRefused(
                f"{_what(request)} was refused: the decision could not be recorded ({type(problem).__name__})",
                request=request,
                by="audit",
            ) from problem
        if isinstance(answer, Approve):
            return answer
        raise ConsentRefused(f"{_what(request)} was refused: {answer.reason or why}", request=request, by=by)

    def _examined(self, request: ConsentRequest) -> ConsentRequest:
        """The request, with what is odd about its tool."""
        if request.tool is None:
            return request
        now = definition_of(request.tool)
        before = self.decisions.shown(request.server, self._identities[request.server], request.tool.name)
        return msgspec.structs.replace(
            request,
            hidden=hidden_in(now),
            changed=() if before is None else changes_of(before, now),
        )

    def _decided(self, request: ConsentRequest) -> tuple[Approve | Refuse, str, str] | None:
        """What needs no asking: the answer, by what, and why."""
        decision, why, always = self._policy.decide(request)
        if decision == "deny":
            return Refuse(reason=why), "policy", why
        remembered = self._remembered(request)
        if remembered and not remembered[0].allowed:
            return Refuse(reason=remembered[0].reason), "remembered", "it was refused before"
        if remembered and not always:
            return Approve(), "remembered", "it was allowed before"
        if decision == "allow" and not request.changed and not self._unseen(request):
            return Approve(), "policy", why
        return None

    def _remembered(self, request: ConsentRequest) -> list[RememberedDecision]:
        """Earlier decisions that hold for this: refusals of whatever it was, approvals of the same."""
        own_name = request.tool.name if request.tool is not None else request.name
        found = self.decisions.find(
            request.server,
            self._identities[request.server],
            request.kind,
            own_name,
            request.arguments,
        )
        return [
            each
            for each in found
            if not each.allowed
            or (request.kind not in _SEEN_EACH_TIME and each.fingerprint == self._print(request, each.tool))
        ]

    def _print(self, request: ConsentRequest, reach: str) -> str:
        """The fingerprint of what a decision is on: of the tool, or of all of its server."""
        if request.tool is None:
            return ""
        if reach:
            return fingerprint_of(definition_of(request.tool))
        return fingerprint_of_tools(self._listed(request.server))

    def _unseen(self, request: ConsentRequest) -> bool:
        """Whether there are hidden characters that nobody agreed to."""
        if not request.hidden or request.tool is None:
            return False
        identity = self._identities[request.server]
        return self.decisions.shown(request.server, identity, request.tool.name) is None

    async def _asked(self, request: ConsentRequest) -> tuple[Approve | Refuse, str, str]:
        decision, why, _ = self._policy.decide(request)
        if request.changed:
            why = "the tool is not what it was when it was agreed to"
        elif decision == "allow":
            why = "the tool's definition has characters that nobody sees"
        if self._ask is None:
            return (
                Refuse(),
                "nobody",
                f"it has to be asked for ({why}), and the host has nobody to ask (consent=)",
            )
        try:
            answer = await call_handler(self._ask, msgspec.structs.replace(request, why=why))
        except Exception:  # whatever a program's handler raises is no approval
            log.exception("the consent handler failed")
            return Refuse(), "nobody", "the consent handler failed"
        settled = _settled(answer)
        return settled, "person", "" if isinstance(settled, Approve) else "the person said no"

    async def _show(self, server: str, tool: Tool) -> None:
        """Keep the definition that was agreed to."""
        identity = self._identities[server]
        if self.decisions.shown(server, identity, tool.name) != definition_of(tool):
            await asyncio.to_thread(
                self.decisions.show, server, identity, tool
            )  # it may wait for another host

    async def _remember(self, request: ConsentRequest, answer: Approve | Refuse) -> None:
        own_name = request.tool.name if request.tool is not None else request.name
        name = "" if answer.reach == "server" else own_name
        matching = answer.matching if isinstance(answer, Approve) else None
        exact = answer.reach == "arguments" and matching is None
        decision = RememberedDecision(
            server=request.server,
            identity=self._identities[request.server],
            kind=request.kind,
            allowed=isinstance(answer, Approve),
            tool=name,
            fingerprint=self._print(request, name),
            arguments=canonical(request.arguments) if exact else None,
            matching=None if matching is None else dict(matching),
            reason=answer.reason if isinstance(answer, Refuse) else "",
            kept=answer.remember == "always",
        )
        if decision.kept:
            await asyncio.to_thread(self.decisions.remember, decision)  # it may wait for another host
        else:
            self.decisions.remember(decision)

    def _record(self, request: ConsentRequest, **members: Any) -> None:
        arguments = "" if request.arguments is None else canonical(request.arguments)
        self.recorder.put(
            "decision",
            arguments,
            server=request.server,
            kind=request.kind,
            name=request.name
            if request.address is None
            else "".join(request.address[:2]),  # no secret of a query
            fingerprint="" if request.tool is None else fingerprint_of(definition_of(request.tool)),
            scopes=(request.scopes or ()) if request.kind == "login" else (),
            **members,
        )


def _may_be_remembered(request: ConsentRequest, answer: Approve | Refuse) -> bool:
    return isinstance(answer, Refuse) or request.kind not in _SEEN_EACH_TIME


def _settled(answer: ConsentAnswer) -> Approve | Refuse:
    if isinstance(answer, (Approve, Refuse)):
        return answer
    return Approve() if answer is True else Refuse()


def _what(request: ConsentRequest) -> str:
    return f"{request.kind} {one_line(request.name)}".strip() + f" of the server {request.server!r}"
