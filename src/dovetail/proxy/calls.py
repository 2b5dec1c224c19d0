"""Passing calls on, whichever eras the caller and the upstream are of.

Theory of operation. Parameters go to the upstream as they came, the caller's capabilities and log level with them, and
the result comes back in its own bytes. Where the upstream asks:

==================  =====================================  ===================================================
caller              stateful upstream: a request           stateless upstream: "input required"
==================  =====================================  ===================================================
stateful            the same request to the caller         requests to the caller, then the call again
stateless           "input required"; the call is parked   "input required"; its state in ours, sealed
==================  =====================================  ===================================================

A caller of the stateless era is asked through the rounds of the app that the proxy is mounted on (`AskingRunner`): what
the upstream said before is recorded there like a step, sealed and bound to the caller and the call.

Specification: basic/patterns/mrtr; client/elicitation, client/sampling, client/roots.
"""

import asyncio
import contextvars
import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, cast

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from ..errors import InternalError, MissingCapability, RemoteProtocolError, RPCError
from ..extensions import Call, Channel, Encoded, Result
from ..logs import get_logger
from ..protocol import names
from ..providers import AskingRunner
from ..revisions import PROFILES, Feature, Profile
from ..server.context import Context, reached_body
from ..types import (
    CacheableResult,
    CallToolParams,
    InputRequired,
    LogLevel,
    Params,
    ReadResourceParams,
    RetryParams,
    decode,
    encode,
    reader,
)
from .connections import (
    NOTHING,
    Connection,
    ConnectionUse,
    UpstreamConnections,
    WayOfResults,
    announced,
    asking_part,
)
from .failures import unanswered
from .kept_results import CacheHints, KeptResults, hints_of, read_subject
from .lists import MAX_THINGS
from .parking import ParkedCall, Parking, PendingQuestions
from .passing import Passing, current
from .questions import PassedQuestion, carried, plain_params
from .upstream_tasks import (
    SendPassed,
    as_task,
    followed,
    knowing,
    state_of,
    takes_tasks,
    task_in,
    task_of,
    wants_tasks,
)

log = get_logger("dovetail.proxy")

MAX_ROUNDS: Final = 16
"""Times that an upstream may ask in one call, or answer that it is not done yet."""
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0


class _Outcome(Struct, frozen=True):
    """What a trip to the upstream came to: questions, for the journal."""

    asked: dict[str, dict[str, Any]]
    state: str | None = None
    parked: str | None = None


class Forwarder:
    """Passes calls on. ``park``: how long one waits for the answers of its caller, in seconds; ``timeout``: for a sign
    of life of the upstream.
    """

    def __init__(
        self,
        connections: UpstreamConnections,
        kept: KeptResults,
        *,
        park: float,
        timeout: float | None,
        label: Callable[[], str],
    ) -> None:
        self.asking: AskingRunner | None = None
        self._timeout = timeout
        self._connections = connections
        self._kept = kept
        self._parking = Parking(park)
        self._label = label
        self._tasks: set[str] = set()  # tools that the upstream runs for those who know tasks alone

    def close(self) -> None:
        """Take back all that waits for its callers."""
        self._parking.close()

    async def answer(self, call: Call, channel: Channel, support: str = "") -> Result | Encoded:
        """What the upstream answers. Raises the upstream's `RPCError`, what its client raises, and what msgspec does
        for an answer that is not what it should be. ``support``: as of `Passing`.
        """
        by_rounds = call.profile.stateless or channel.durable is not None
        if by_rounds and getattr(call.params, "request_state", None) is not None:
            return await self._by_rounds(call, channel, None, support)
        keeps = may_be_kept(call)
        if keeps and (kept := self._at_hand(call, channel)) is not None:
            return kept
        passing = Passing(call, channel, support)
        connections = self._connections
        lease = connections.shared(passing) or await connections.lease(call, channel, passing)
        connection = lease.connection
        changes = self._kept.changes(connection) if keeps else 0
        if (
            by_rounds
            and asking_part(call.peer.capabilities) is not NOTHING
            and connection.client.era == "stateful"
        ):
            return await self._parkable(call, channel, lease, passing)
        try:
            body = await self._send(connection, passing, call.params)
            if isinstance(body, InputRequired):
                if by_rounds:
                    return await self._by_rounds(call, channel, _outcome(body), support)
                body = await self._by_requests(connection, passing, body)
            elif keeps and connection.client.era == "stateless":
                self._keep(call, channel, connection, body, changes)
            return result_for(call, connection, body)
        finally:
            lease.release()

    # Reads that may be kept

    def _at_hand(self, call: Call, channel: Channel) -> Result | Encoded | None:
        """What is kept of a read that may be, for its caller; with what is left of its time."""
        connection = self._connections.at_hand(call, channel)
        if connection is None:
            return None
        found = self._kept.get(connection, call.method, _subject(call), channel.principal)
        if found is None:
            return None
        body, hints = found
        return result_for(call, connection, body if hints is None else lowered(body, hints))

    def _keep(self, call: Call, channel: Channel, connection: Connection, body: Raw, changes: int) -> None:
        said = _hints.read(body)
        self._kept.put(
            connection,
            call.method,
            _subject(call),
            channel.principal,
            body.copy(),
            hints_of(said.ttl_ms, said.cache_scope),
            size=len(body),
            changes=changes,
        )

    # Stateful callers

    async def _by_requests(self, connection: Connection, passing: Passing, required: InputRequired) -> Raw:
        """Ask by requests what a stateless upstream wants to know, until it has a result."""
        pause = 0.0
        for _ in range(MAX_ROUNDS):
            answers: dict[str, Raw] | None = None
            if required.input_requests is not None:
                answers = await _asked_by_requests(passing, required)
            if not required.input_requests:
                pause = await _waited(pause)
            again = _again(passing.call, answers, required.request_state)
            body = await self._send(connection, passing, again)
            if not isinstance(body, InputRequired):
                return body
            required = body
        raise unanswered(f"it asked {MAX_ROUNDS} times without coming to an end")

    # Stateless callers

    async def _parkable(
        self, call: Call, channel: Channel, lease: ConnectionUse, passing: Passing
    ) -> Result | Encoded:
        """Send a call whose upstream may ask during it."""
        connection = lease.connection
        parked = ParkedCall(connection, passing, lease.release)

        async def work() -> Raw:
            return cast("Raw", await self._send(connection, passing, call.params))

        parked.begin(work)
        came = await parked.came_to(0)
        if isinstance(came, PendingQuestions):
            self._parking.park(parked)
            return await self._by_rounds(call, channel, _parked_outcome(parked, came), passing.support)
        return result_for(call, connection, came)

    async def _by_rounds(
        self, call: Call, channel: Channel, first: _Outcome | None, support: str
    ) -> Result | Encoded:
        """Go on in rounds of the caller's. ``first``: what the first trip came to, where this is its request."""
        asking = self.asking
        if asking is None:
            raise InternalError("the proxy is not mounted on an app, so it can't ask its callers")

        async def body(ctx: Context) -> Result | Encoded:
            outcome, final = first, None
            answers: dict[str, Any] = {}
            used: set[str] = set()
            for number in range(1, MAX_ROUNDS + 1):
                apart = (
                    contextvars.copy_context()
                )  # an upstream in this process must not find itself in a step of ours

                async def trip(
                    number: int = number,
                    before: _Outcome | None = outcome,
                    answers: dict[str, Any] = answers,
                    apart: contextvars.Context = apart,
                ) -> _Outcome | None:
                    nonlocal final
                    if number == 1 and before is not None:
                        return before
                    assert before is not None  # noqa: S101 - the first is recorded in every state
                    work = self._trip(number - 1, Passing(call, channel, support), before, answers)
                    found = await asyncio.create_task(work, context=apart)
                    if isinstance(found, _Outcome):
                        return found
                    final = found
                    return None

                outcome = await ctx.step(f"upstream-{number}", trip, into=_Outcome | None)
                if outcome is None:
                    assert final is not None  # noqa: S101 - a trip without questions has it
                    return final
                if task_of(outcome.state) is not None and channel.stops_at_body:
                    raise reached_body(ctx)  # from here on it is a task of this app's, too
                named = {key: key if key not in used else f"{key}-{number}" for key in outcome.asked}
                used.update(named.values())
                asked = {
                    named[key]: PassedQuestion(each["method"], each["params"])
                    for key, each in outcome.asked.items()
                }
                given = await ctx.ask(**asked) if asked or task_of(outcome.state) is None else {}
                answers = {key: given[name] for key, name in named.items()}
            raise unanswered(f"it asked {MAX_ROUNDS} times without coming to an end")

        return await asking(call, channel, body)

    async def _trip(
        self, step: int, passing: Passing, before: _Outcome, answers: Mapping[str, Any]
    ) -> "_Outcome | Result | Encoded":
        """Bring the upstream the answers to what it asked."""
        call, channel = passing.call, passing.channel
        given = {key: Raw(encode(answer)) for key, answer in answers.items()}
        if before.parked is not None:
            parked = self._parking.take(before.parked)
            parked.passing.went_on(call, channel)
            try:
                came = await parked.came_to(step, given)
            except BaseException:
                self._parking.done(parked)
                raise
            if isinstance(came, PendingQuestions):
                self._parking.park(parked)
                return _parked_outcome(parked, came)
            self._parking.done(parked)
            return result_for(call, parked.connection, came)
        with await self._connections.lease(call, channel, passing) as connection:
            body = await self._send(connection, passing, _again(call, given, before.state))
            if isinstance(body, InputRequired):
                return _outcome(body)
            return result_for(call, connection, body)

    # Sending

    def _send(
        self, connection: Connection, passing: Passing, params: Params
    ) -> Awaitable[Raw | InputRequired]:
        """One trip to the upstream, to the end of the task that it may become, and what it says meanwhile told. Raises
        as `Client.forward` does.
        """
        if isinstance(params, CallToolParams):
            return self._call_tool(connection, passing, params)
        return self._forward(connection, passing, passing.call.method, params)

    async def _call_tool(
        self, connection: Connection, passing: Passing, params: CallToolParams
    ) -> Raw | InputRequired:
        client, channel, method = connection.client, passing.channel, passing.call.method
        if client.era == "stateful":
            wanted = passing.support == "required" or (passing.support and channel.durable is not None)
            if wanted and takes_tasks(client.server_capabilities):
                return await as_task(self._sender(connection, passing), params, label=self._label())
            return await self._forward(connection, passing, method, params)
        task = None if params.request_state is None else task_of(params.request_state)
        if task is not None:
            send, answers = self._sender(connection, passing), params.input_responses
            return await followed(send, channel, task, answers, label=self._label())
        tasks = channel.stops_at_body or params.name in self._tasks
        try:
            body = await self._forward(connection, passing, method, params, tasks=tasks)
        except MissingCapability as refusal:
            if tasks or not wants_tasks(refusal):
                raise
            if len(self._tasks) >= MAX_THINGS:
                self._tasks.clear()
            self._tasks.add(params.name)
            tasks, body = True, await self._forward(connection, passing, method, params, tasks=True)
        task = task_in(body) if tasks else None
        if task is None:
            return body
        if channel.stops_at_body:
            return InputRequired(request_state=state_of(task))
        return await followed(
            self._sender(connection, passing), passing.channel, task, None, label=self._label()
        )

    def _sender(self, connection: Connection, passing: Passing) -> SendPassed:
        return partial(self._forward, connection, passing)

    async def _forward(
        self,
        connection: Connection,
        passing: Passing,
        method: str,
        params: Any,
        *,
        tasks: bool = False,
        patient: bool = False,
    ) -> Raw | InputRequired:
        """One request to the upstream. Raises as `Client.forward` does."""
        call, client = passing.call, connection.client
        level = call.log_level
        if level is not None and level != connection.level and client.era == "stateful":
            await _set_level(connection, level)
        said = call.params.meta
        announced_now = announced(call.peer.capabilities)
        if isinstance(params, Params) and params.meta is not None:
            params = replace(params, meta=None)
        token = current.set(passing)
        try:
            return await client.forward(
                method,
                params,
                progress=None if said is None or said.progress_token is None else passing.progress,
                meta=_meta(call.raw).meta if said is not None and call.says_more else None,
                log_level=level,
                capabilities=knowing(announced_now) if tasks else announced_now,
                timeout=None if patient else self._timeout,
            )
        finally:
            current.reset(token)
            if passing.sending is not None:
                await passing.said()


class _MetaMember(Struct, frozen=True):
    meta: dict[str, Any] | None = field(default=None, name="_meta")


_meta: Final = msgspec.json.Decoder(_MetaMember).decode


async def _set_level(connection: Connection, level: LogLevel) -> None:
    """Tell a stateful upstream what its caller wants to hear."""
    offered = connection.client.server_capabilities
    connection.level = level
    if offered is not None and offered.logging is not None:
        try:
            await connection.client.set_log_level(level)
        except RPCError as problem:
            log.debug("%s did not take the log level %s: %s", connection.client.describe(), level, problem)


async def _asked_by_requests(passing: Passing, required: InputRequired) -> dict[str, Raw]:
    """The caller's answers, by request. Raises the caller's `RPCError`."""
    profile = passing.call.profile

    async def ask(method: str, params: Raw) -> Raw:
        asked = profile.encode(carried(method, params, profile))
        return (await passing.ask(method, Raw(asked))).copy()

    asking = {
        key: asyncio.ensure_future(ask(each.method, each.params))
        for key, each in (required.input_requests or {}).items()
    }
    try:
        await asyncio.gather(*asking.values())
        return {key: each.result() for key, each in asking.items()}
    finally:
        for each in asking.values():
            each.cancel()


async def _waited(pause: float) -> float:
    """Wait before an upstream that asked nothing is called again; how long the next time."""
    await asyncio.sleep(pause * random.SystemRandom().uniform(0.5, 1))  # spreads retries
    return min(pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)


def _again(call: Call, answers: Mapping[str, Raw] | None, state: str | None) -> RetryParams:
    """The parameters of the call with answers. Raises `InternalError` for a method that can't be asked."""
    params = call.params
    if not isinstance(params, RetryParams):
        raise InternalError(f"{call.method} must not ask for input")
    return replace(params, input_responses=None if answers is None else dict(answers), request_state=state)


def _outcome(required: InputRequired) -> _Outcome:
    """What a stateless upstream asks, to be recorded."""
    asked = {
        key: {"method": each.method, "params": decode(plain_params(each.params))}
        for key, each in (required.input_requests or {}).items()
    }
    return _Outcome(asked, state=required.request_state)


def _parked_outcome(parked: ParkedCall, came: PendingQuestions) -> _Outcome:
    """What a stateful upstream asks, to be recorded."""
    asked = {
        key: {"method": method, "params": decode(params)} for key, (method, params) in came.questions.items()
    }
    return _Outcome(asked, parked=parked.id)


def may_be_kept(call: Call) -> bool:
    """Whether the result of a call may be kept: a read without answers, and without a word to the upstream that is not
    part of its key.
    """
    params = call.params
    return (
        isinstance(params, ReadResourceParams)
        and params.request_state is None
        and params.input_responses is None
        and not call.custom_meta
    )


def _subject(call: Call) -> str:
    params = cast("ReadResourceParams", call.params)
    return read_subject(params.uri, encode(announced(call.peer.capabilities)))


def lowered(body: Raw, hints: CacheHints) -> Raw:
    """A result that was kept, with what is left of its time."""
    members = _members(body)
    members["ttlMs"] = Raw(encode(int(hints.ttl * 1000)))
    return Raw(encode(members))


def result_for(call: Call, connection: Connection, body: Raw) -> Result | Encoded:
    """A result of the upstream's as its caller is given it: its bytes, where the caller's revision can carry them, and
    they are what they should be. Raises `RemoteProtocolError` for what is no object, and what msgspec raises.
    """
    data = bytes(body)
    if data[:1] != b"{":
        raise RemoteProtocolError(f"the result of {call.method} is no object")
    client, profile = connection.client, call.profile
    between = (call.method, profile, client.revision)
    way = connection.results.get(between)
    if way is None:
        way = connection.results[between] = _way_of_results(*between)
    hinted = way.hinted
    if not way.carried:
        result = way.reader.keep(body)
        if hinted and isinstance(result, CacheableResult) and result.ttl_ms is None:
            return replace(result, ttl_ms=0, cache_scope="private")
        return result
    way.reader.read(body)
    begins = connection.result_head
    if begins and not hinted and profile.stateless and data.startswith(begins):
        rest = data[len(begins) :]
        if _TYPE_MARK not in rest and _META_MARK not in rest and _ESCAPE not in rest:
            return b"{" + rest
    own = _TYPE_MARK in data or _ESCAPE in data  # a member that its era does not have would be there twice
    if client.era == "stateful" and not (own or (profile.stateless and (hinted or _META_MARK in data))):
        return data
    members = _members(body)
    members.pop("resultType", None)
    if not profile.has(Feature.CACHE_HINTS):
        for name in _HINTS:
            members.pop(name, None)
    elif hinted:
        members.setdefault("ttlMs", _ZERO)
        members.setdefault("cacheScope", _PRIVATE)
    meta = members.get("_meta")
    if meta is not None and profile.stateless:
        decoded = _object(meta)
        lacking = decoded.pop(names.META_MISSING, None) if client.era == "stateful" else None
        if lacking is not None and not _is_within(lacking, decode(encode(call.peer.capabilities))):
            raise MissingCapability(
                "the tool asks what this client did not declare", data={"requiredCapabilities": lacking}
            )
        # Else it is the upstream's revision that has no way to ask, and the result says so.
        said = {key: each for key, each in decoded.items() if key != names.META_SERVER_INFO}
        if not said and client.era == "stateless":
            connection.result_head = _result_head(data, meta)
        del members["_meta"]
        if said:
            return Result(meta=said, extra=members)
    return msgspec.json.encode(members)


def _way_of_results(method: str, profile: Profile, revision: str) -> WayOfResults:
    """How results of a method pass to callers of a profile from an upstream of a revision."""
    kind = profile.client_requests[method].result
    return WayOfResults(
        reader=reader(kind),
        hinted=issubclass(kind, CacheableResult) and profile.has(Feature.CACHE_HINTS),
        carried=profile.carries(PROFILES[revision], kind),
    )


def _result_head(data: bytes, meta: Raw) -> bytes:
    """How results begin that have nothing of their caller's before their own members; none where this one does not."""
    kind, said = b'"resultType":"complete"', b'"_meta":%b' % bytes(meta)
    heads = (b"{%b,%b," % (said, kind), b"{%b,%b," % (kind, said))
    return next((head for head in heads if len(head) <= _LONGEST_HEAD and data.startswith(head)), b"")


def _is_within(lacking: Any, declared: Any) -> bool:
    """Whether a caller has declared all that an upstream says it lacks."""
    if not isinstance(lacking, dict):
        return True
    return isinstance(declared, dict) and all(
        name in declared and _is_within(each, declared[name])
        for name, each in cast("dict[str, Any]", lacking).items()
    )


_LONGEST_HEAD: Final = 4096
_object: Final = msgspec.json.Decoder(dict[str, Any]).decode
_META_MARK: Final = b'"_meta"'
_TYPE_MARK: Final = b'"resultType"'
_ESCAPE: Final = b"\\u"
_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_HINTS: Final = ("ttlMs", "cacheScope")
_hints: Final = reader(CacheableResult)
_ZERO: Final = Raw(b"0")
_PRIVATE: Final = Raw(b'"private"')

__all__ = ["Forwarder", "result_for"]
