"""The door of a gateway: what may be done by whom, asked before it is done, and the record of it.

Theory of operation. A `HostPolicy` decides, as in a host: deny refuses, and what is always denied is not shown; allow
lets pass. "Ask" asks the caller's person, by a form; where the caller can't be asked, the answer is no. In the
stateless era that is a round of the gateway's own: the state of that round begins with a mark, and what comes back
with it is judged here; the call itself begins after that, and rounds of the server's behind have their own state,
which is taken for a sign that the call was let in. So "ask" guards a person against what a model wants, and no server
against a caller that makes up states: that is what "deny" and scopes are for. What is not recorded is not done.

A completion is judged as a use of the prompt or template that it is for, with what has been typed so far, since it
sends that to the server and gives what the server has. Nobody is asked at each letter, so "ask" is a no there.

Flows are refused: a gateway sees calls, and no conversation in which one thing leads to another.

Specification: index, "Security and Trust & Safety"; server/tools, "Security Considerations".
"""

import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from ..errors import Declined, Dismissed, InternalError, InvalidRequest, LocalProtocolError, RPCError
from ..extensions import Call, Channel, Encoded, Handler, Result
from ..host import HostPolicy
from ..host.consent import ConsentKind, ConsentRequest
from ..host.records import HostRecorder
from ..logs import get_logger
from ..providers import AskingRunner
from ..runtime.observer import digest_of
from ..security import ANONYMOUS, one_line
from ..server.context import Context
from ..server.questions import Elicit
from ..types import CallToolResult, InputRequired, TextContent, Tool, decode, encode

__all__ = ["GatewayDoor", "Visited"]

log = get_logger("dovetail.gateway")
_MARK: Final = "door."
_NOBODY: Final = "it has to be asked for, and the caller's client can't ask its person"
_NOT_AT_EACH_LETTER: Final = "it has to be asked for, and nobody is asked for completions"


class Visited(Struct, frozen=True, kw_only=True):
    """What a call is about: the ``server``, the ``kind`` of thing, its ``name`` for callers, and its ``own`` name
    there. ``tool``: as the server lists it. ``completes``: whether it is about completing an argument of that thing.
    """

    server: str
    kind: ConsentKind
    name: str
    own: str
    tool: Tool | None = None
    completes: bool = False

    @property
    def recorded(self) -> str:
        """The kind of thing that records have."""
        return "completion" if self.completes else self.kind


class GatewayDoor:
    """``policy``: None lets everything pass. ``recorder``: None records nothing. ``identities``: whether records name
    callers, or have digests of them. ``asks``: whether a person may have to be asked. Raises `LocalProtocolError` for a
    policy with flows.
    """

    def __init__(
        self, policy: HostPolicy | None, recorder: HostRecorder | None, *, identities: bool = False
    ) -> None:
        if policy is not None and policy.flows:
            raise LocalProtocolError(
                "the policy has flows, which a gateway can't keep: it sees calls, and no conversation; put them into"
                " the policy of a host, or write a rule"
            )
        self.asking: AskingRunner | None = None
        self._policy = policy
        self._recorder = recorder
        self._identities = identities
        rules = () if policy is None else policy.rules
        self._denies: Final = tuple(each for each in rules if each.decision == "deny")
        self._reads_arguments: Final = recorder is not None or any(each.arguments for each in rules)
        self.asks: Final = policy is not None and (
            policy.default in (None, "ask") or any(each.decision == "ask" for each in rules)
        )

    @property
    def is_open(self) -> bool:
        """Whether nothing is judged or recorded."""
        return self._policy is None and self._recorder is None

    def hides(self, visited: Visited) -> bool:
        """Whether a thing is denied whatever it is used with, and so not shown."""
        if self._policy is None:
            return False
        request = _request(visited, None)
        if any(not each.arguments and each.fits(request) for each in self._denies):
            return True
        return self._policy.default == "deny" and not any(
            each.decision != "deny" and replace(each, arguments={}).fits(request)
            for each in self._policy.rules
        )

    def guarded(self, visited: Visited, inner: Handler) -> Handler:
        """What answers for a thing, behind the door."""
        if self.is_open:
            return inner

        async def answer(call: Call, channel: Channel) -> Result | Encoded:
            return await self._answer(visited, inner, call, channel)

        return answer

    def guarded_completion(self, visited: Visited, inner: Handler) -> Handler:
        """What completes arguments of a thing, behind the door."""
        if self.is_open:
            return inner
        visited = replace(visited, completes=True)

        async def answer(call: Call, channel: Channel) -> Result | Encoded:
            request = _request(visited, _typed_so_far(call))
            allowed, by, why = self._judged(request) or (False, "nobody", _NOT_AT_EACH_LETTER)
            self._record_decision(visited, request, channel, allowed=allowed, by=by, why=why)
            if not allowed:
                return _refusal(visited, why)
            return await self._done(visited, inner, call, channel)

        return answer

    async def _answer(
        self, visited: Visited, inner: Handler, call: Call, channel: Channel
    ) -> Result | Encoded:
        if visited.kind == "resource":
            uri = getattr(call.params, "uri", visited.own)
            visited = replace(visited, name=uri, own=uri)
        request = _request(visited, None)
        if self._reads_arguments:
            request, call = _with_arguments(request, call)
        decided = self._judged(request)
        state = _state(call)
        if decided is None and state is not None and not state.startswith(_MARK):
            decided = True, "remembered", "it goes on with a call that was let in before"
        if decided is None:
            request, call = _with_arguments(request, call)
            asked = await self._asked(request, call, channel)
            if isinstance(asked, InputRequired):
                return asked
            decided = asked
        if state is not None and state.startswith(_MARK):
            call = _again(call, None, answers=False)
        allowed, by, why = decided
        self._record_decision(visited, request, channel, allowed=allowed, by=by, why=why)
        if not allowed:
            return _refusal(visited, why)
        return await self._done(visited, inner, call, channel)

    def _judged(self, request: ConsentRequest) -> tuple[bool, str, str] | None:
        """Whether it may be done, by what and why; None where a person has to be asked."""
        if self._policy is None:
            return True, "policy", "there is none"
        verdict = self._policy.decide(request)
        if verdict.decision == "ask":
            return None
        return verdict.decision == "allow", "policy", verdict.why

    # Asking

    async def _asked(
        self, request: ConsentRequest, call: Call, channel: Channel
    ) -> tuple[bool, str, str] | InputRequired:
        """What the caller's person says; the question, in the stateless era."""
        form = call.peer.capabilities.elicitation
        if (
            self.asking is None
            or form is None
            or (form.form is None and form.url is not None)
            or Elicit.method not in call.profile.server_requests
        ):
            return False, "nobody", _NOBODY
        state = _state(call)
        if state is not None:
            call = _again(call, state.removeprefix(_MARK), answers=True)

        async def body(ctx: Context) -> bool:
            try:
                return await ctx.elicit(f"{request.text()}\n\nMay it be done?", bool)
            except (Declined, Dismissed):
                return False

        found: Any = await self.asking(call, channel, body)
        if isinstance(found, InputRequired):
            return replace(found, request_state=f"{_MARK}{found.request_state}")
        return found is True, "person", "" if found is True else "the person said no"

    # Recording

    async def _done(self, visited: Visited, inner: Handler, call: Call, channel: Channel) -> Result | Encoded:
        """What comes of something that was let in, recorded."""
        if self._recorder is None:
            return await inner(call, channel)
        began, outcome = time.monotonic(), "ok"
        try:
            result = await inner(call, channel)
            outcome = _outcome(result)
            return result
        except BaseException as problem:
            outcome = type(problem).__name__
            raise
        finally:
            self._put("call", visited, channel, outcome=outcome, duration=round(time.monotonic() - began, 6))

    def _record_decision(
        self, visited: Visited, request: ConsentRequest, channel: Channel, **members: Any
    ) -> None:
        """Record a decision. Raises `InternalError` where that fails: then nothing is done."""
        recorder = self._recorder
        if recorder is None:
            return
        given = "" if request.arguments is None else msgspec.json.encode(request.arguments).decode()
        try:
            recorder.put(
                "decision",
                given,
                server=request.server,
                kind=visited.recorded,
                name=one_line(request.name),
                principal=self._who(channel),
                **members,
            )
        except Exception as problem:
            log.exception("a decision could not be recorded")
            raise InternalError(
                "the call was not made: it can't be recorded, as this gateway has to; try again"
            ) from problem

    def _put(self, event: Any, visited: Visited, channel: Channel, **members: Any) -> None:
        assert self._recorder is not None  # noqa: S101 - who calls this has looked
        try:
            self._recorder.put(
                event,
                server=visited.server,
                kind=visited.recorded,
                name=one_line(visited.name),
                principal=self._who(channel),
                **members,
            )
        except Exception:
            log.exception("what came of a call could not be recorded")

    def _who(self, channel: Channel) -> str:
        principal = channel.principal
        if principal == ANONYMOUS:
            return ""
        return principal.key if self._identities else digest_of(principal.key)


def _request(visited: Visited, arguments: Mapping[str, Any] | None) -> ConsentRequest:
    name = visited.name if visited.kind == "tool" else visited.own
    return ConsentRequest(
        kind=visited.kind, server=visited.server, name=name, tool=visited.tool, arguments=arguments
    )


def _with_arguments(request: ConsentRequest, call: Call) -> tuple[ConsentRequest, Call]:
    """The request with what is to be judged, and the call with exactly that: of members that a JSON object has twice,
    the server must not take the other one.
    """
    params: Any = call.params
    given: Any = getattr(params, "arguments", None)
    if isinstance(given, Raw):
        given = decode(given) if given else {}
        call = replace(call, params=replace(params, arguments=Raw(encode(given))))
    return replace(request, arguments=given if isinstance(given, dict) else None), call


def _typed_so_far(call: Call) -> Mapping[str, str]:
    """The arguments that a completion tells the server: those that are known, and the one that is typed."""
    params: Any = call.params
    known = None if params.context is None else params.context.arguments
    return {**(known or {}), params.argument.name: params.argument.value}


def _state(call: Call) -> str | None:
    """The state that the caller brought, in the era that has it."""
    found: Any = getattr(call.params, "request_state", None) if call.profile.stateless else None
    return found if isinstance(found, str) else None


def _again(call: Call, state: str | None, *, answers: bool) -> Call:
    """The call with another state, or as it was before the door asked."""
    params: Any = call.params
    if not hasattr(params, "request_state"):
        return call
    kept = {} if answers else {"input_responses": None}
    return replace(call, params=replace(params, request_state=state, **kept))


def _refusal(visited: Visited, why: str) -> Result:
    """What a caller is told. Raises an `RPCError` for what has no result that a model reads."""
    of = "completion of " if visited.completes else ""
    text = f"{of}{visited.kind} {visited.name} was refused: {why}"
    if visited.kind == "tool":
        return CallToolResult(content=[TextContent(text=text)], is_error=True)
    refused: RPCError = InvalidRequest(text)
    raise refused


class _Failure(Struct, frozen=True):
    is_error: bool = field(default=False, name="isError")


_failure: Final = msgspec.json.Decoder(_Failure)


def _outcome(result: Result | Encoded) -> str:
    if isinstance(result, InputRequired):
        return "asked"
    if isinstance(result, CallToolResult):
        return "tool_error" if result.is_error else "ok"
    if isinstance(result, Result):
        failed: Any = (result.extra or {}).get("isError", b"")
        return "tool_error" if bytes(failed) == b"true" else "ok"
    try:
        return "tool_error" if _failure.decode(result).is_error else "ok"
    except msgspec.MsgspecError:
        return "ok"
