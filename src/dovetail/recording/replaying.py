"""A recording as a client: its requests are sent to a server again, and what comes back is held against what came.

Theory of operation. Messages are sent as they were recorded, not by a `Client`: what differs then differs at the
server. Each connection of the recording is made again, one after the other. A request goes out once those have been
answered that had been when it was recorded, so calls that ran at once do so again. What a server makes up anew (states
of rounds, cursors, ids of tasks) is sent back as it is now. Questions are answered as they were; a call that was given
up is given up again once as much was told of it.

Specification: basic/lifecycle, basic/patterns; docs/recording.md, "Replay".
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, Unpack, cast

from msgspec import Struct, field

from ..capture.reading import Capture
from ..capture.redaction import PLACEHOLDER
from ..client.options import ClientOptions, settle
from ..client.targets import Target, place_of
from ..errors import DovetailError, HTTPStatusError, RPCError
from ..protocol import envelope, messages, names
from ..protocol.bindings.headers import mirror
from ..protocol.envelope import Kind, Message
from ..protocol.header_parameters import HeaderParameter, InvalidHeaderAnnotation, header_parameters
from ..protocol.opening import may_be_http_sse
from ..revisions import PROFILES
from ..transports.client_transport import Outgoing, ReceivedResponse, Transport
from ..types import DECODE_ERRORS, decode, encode
from .matching import Difference, differences, fits, ignored
from .talk import ClientNotice, RecordedCall, RecordedQuestion, ServerNotice, Talk, plain_params

__all__ = ["CallReplay", "ReplayReport", "replay"]

_PATIENCE: Final = 30.0
_OPENING: Final = frozenset({names.INITIALIZE, names.DISCOVER})
#: What a server makes up anew each time.
VARYING: Final = (
    "/requestState",
    "/nextCursor",
    "/ttlMs",
    f"/{names.META}",
    "/task/taskId",
    "/task/createdAt",
    "/task/lastUpdatedAt",
    "/taskId",
    "/createdAt",
    "/lastUpdatedAt",
)
"""Where results may differ in any case: JSON pointers into them."""

_MADE_UP: Final = ("requestState", "nextCursor", "taskId")


class CallReplay(Struct, kw_only=True):
    """What came of one request: its ``line`` in the recording, what it was ``about``, and where the outcome
    ``differs``; ``problem`` says what kept it from an outcome at all.
    """

    line: int
    method: str
    about: str = ""
    differs: list[Difference] = field(default_factory=list[Difference])
    problem: str = ""

    @property
    def same(self) -> bool:
        """Whether the outcome was the recorded one."""
        return not self.differs and not self.problem


class ReplayReport(Struct, kw_only=True):
    """What came of a replay: each of its ``calls``, in order."""

    calls: list[CallReplay] = field(default_factory=list[CallReplay])

    @property
    def same(self) -> bool:
        """Whether every outcome was the recorded one."""
        return all(each.same for each in self.calls)

    def __str__(self) -> str:
        return "\n".join(
            f"line {each.line}, {each.method} {each.about}".rstrip() + f": {text}"
            for each in self.calls
            for text in ([each.problem] if each.problem else map(str, each.differs))
        )


async def replay(
    capture: Capture,
    target: Target,
    *,
    strict: bool = False,
    ignore: Collection[str] = (),
    secrets: Mapping[str, str] | None = None,
    request_timeout: float = _PATIENCE,
    **options: Unpack[ClientOptions],
) -> ReplayReport:
    """Send the requests of a recording to a server, and say where it answers otherwise.

    ``target``: as of `Client`. ``strict``: texts of errors, and what was told on the way, count as well. ``ignore``:
    JSON pointers to what may differ in results (``*`` for any one member or item), besides `VARYING`. ``secrets``: what
    was left out of the recording, by placeholder (``{"redacted-1": "..."}``). ``timeout``: seconds that each request
    has. ``options``: those of `Client` that say how to reach it (``headers``, ``auth``, ``env``, ``cwd``,
    ``on_stderr``, ``record``). Raises `ConnectFailed` where nothing answers, `LocalProtocolError` for a target or an
    option that is none.
    """
    talk = Talk(capture)
    settled = settle(options)
    place = place_of(target, settled)
    rules = _Rules(
        strict=strict, ignore=(*VARYING, *ignore), secrets=dict(secrets or {}), timeout=request_timeout
    )
    report = ReplayReport()
    try:
        for links in talk.conversations:
            replayed = _LinkReplay(talk, links, place.make(), rules)
            await replayed.run(report)
    finally:
        if place.auth is not None:
            await place.auth.close()
        if settled.record is not None:
            settled.record.close()
    return report


class _Rules(Struct, frozen=True, kw_only=True):
    """How one replay compares."""

    strict: bool
    ignore: tuple[str, ...]
    secrets: dict[str, str]
    timeout: float


class _Running:
    """A request on its way: what was told and asked since."""

    def __init__(self, call: RecordedCall, id: int) -> None:
        self.call = call
        self.id = id
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[str] = []
        self.changed = asyncio.Event()


class _LinkReplay:
    """One connection of a recording, made again; or several, whose requests stand each for itself."""

    def __init__(self, talk: Talk, links: list[int], transport: Transport, rules: _Rules) -> None:
        self._transport = transport
        self._rules = rules
        self._name = talk.name
        self._moves: list[RecordedCall | ClientNotice] = sorted(
            [
                *(each for each in talk.calls if each.link in links and not _probes(each)),
                *(each for each in talk.notices if each.link in links),
            ],
            key=lambda each: each.line,
        )
        self._questions = [
            step for each in self._moves if isinstance(each, RecordedCall)
            for step in each.steps if isinstance(step, RecordedQuestion)
        ]  # fmt: skip
        self._running: dict[int, _Running] = {}
        self._tasks: dict[int, asyncio.Task[CallReplay]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._begun: list[RecordedCall] = []
        self._over = asyncio.Event()
        self._ids = 0
        self._values: dict[str, Any] = {}
        self._headers: dict[str, tuple[HeaderParameter, ...]] = {}
        self._lost: DovetailError | None = None

    # The moves

    async def run(self, report: ReplayReport) -> None:
        """Make all moves, and note what came of them."""
        try:
            async with asyncio.timeout(self._rules.timeout):
                await self._transport.open(self)
            for move in self._moves:
                if isinstance(move, ClientNotice):
                    await self._notify(move)
                    continue
                before = [
                    self._tasks[each.line]
                    for each in self._unended()
                    if 0 < each.answered < move.line or (each.cancelled and _ends(each))
                ]
                if before:
                    await asyncio.wait(before)
                await self._acknowledged()
                self._tasks[move.line] = asyncio.create_task(self._call(move))
                self._begun.append(move)
                if move.method in _OPENING:
                    await asyncio.wait([self._tasks[move.line]])
                else:
                    await asyncio.sleep(0)  # it goes out before the next one does
            ending = [self._tasks[each.line] for each in self._moves if _ends(each)]
            if ending:
                await asyncio.wait(ending)
            await self._acknowledged()
            self._over.set()
            report.calls += [await task for task in self._tasks.values()]
        finally:
            for task in (*self._tasks.values(), *self._answering):
                task.cancel()
            try:
                async with asyncio.timeout(self._rules.timeout):
                    await self._transport.end_session()
            except (DovetailError, TimeoutError, OSError):
                pass  # it is gone, or never had one
            await self._transport.close()

    async def _acknowledged(self) -> None:
        """Wait until each subscription that was acknowledged is so again: what follows may change what it tells of."""
        for running in tuple(self._running.values()):
            if running.call.method == names.SUBSCRIPTIONS_LISTEN and running.call.steps:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._rules.timeout):
                        while not running.told and running.id in self._running:
                            running.changed.clear()
                            await running.changed.wait()

    def _unended(self) -> list[RecordedCall]:
        """The calls that were begun and have not ended."""
        self._begun = [each for each in self._begun if not self._tasks[each.line].done()]
        return self._begun

    async def _notify(self, move: ClientNotice) -> None:
        if move.method == names.NOTIFY_CANCELLED:
            return  # the call sees to it
        data = messages.notification(move.method, encode(self._now(move.params)) if move.params else b"")
        profile = PROFILES.get(self._revision(move.line))
        stateless = profile is not None and profile.stateless
        headers = mirror(move.method, None) if stateless and self._transport.http else []
        out = Outgoing(
            data, None, move.method, stateless, "" if profile is None else profile.revision, tuple(headers)
        )
        try:
            await self._transport.send(out)
        except DovetailError:
            return  # the calls that follow tell of it
        if move.method == names.NOTIFY_INITIALIZED:
            await self._transport.listen()

    async def _call(self, call: RecordedCall) -> CallReplay:
        found = CallReplay(line=call.line, method=call.method, about=_about(call.params))
        self._ids += 1
        running = self._running[self._ids] = _Running(call, self._ids)
        try:
            if self._lost is not None:
                raise self._lost
            if call.answered:
                async with asyncio.timeout(self._rules.timeout):
                    reply = await self._requested(running)
                self._compare(found, running, reply.message)
            else:
                await self._unanswered(found, running)
        except TimeoutError:
            found.problem = f"there was no answer within {self._rules.timeout:g} s"
        except DovetailError as problem:
            found.problem = f"{type(problem).__name__}: {problem}"
        except DECODE_ERRORS as problem:
            found.problem = f"the answer can't be read: {problem}"
        finally:
            del self._running[running.id]
            running.changed.set()
        return found

    async def _requested(self, running: _Running) -> ReceivedResponse:
        """The response to a request. A server that refuses to be opened may have the transport of 2024-11-05 alone."""
        out = self._outgoing(running)
        offer: Any = getattr(self._transport, "fall_back_to_sse", None)
        try:
            reply = await self._transport.request(out)
            code = envelope.read_error(reply.message.body).code if reply.message.kind is Kind.ERROR else None
            refused = code is not None and may_be_http_sse(reply.status, code)
            if out.method != names.INITIALIZE or offer is None or not refused:
                return reply
        except HTTPStatusError as problem:
            if out.method != names.INITIALIZE or offer is None or not may_be_http_sse(problem.status):
                raise
        before, self._transport = self._transport, offer()
        await before.close()
        await self._transport.open(self)
        return await self._transport.request(out)

    async def _unanswered(self, found: CallReplay, running: _Running) -> None:
        """A call that had no answer: it is given up once as much was told of it as before."""
        call = running.call
        wanted = sum(isinstance(each, ServerNotice) for each in call.steps)
        task = asyncio.ensure_future(self._transport.request(self._outgoing(running)))
        try:
            async with asyncio.timeout(self._rules.timeout):
                while len(running.told) < wanted and not task.done():
                    running.changed.clear()
                    waiter = asyncio.ensure_future(running.changed.wait())
                    await asyncio.wait((task, waiter), return_when=asyncio.FIRST_COMPLETED)
                    waiter.cancel()
                if call.method == names.SUBSCRIPTIONS_LISTEN and not task.done():
                    over = asyncio.ensure_future(self._over.wait())
                    await asyncio.wait((task, over), return_when=asyncio.FIRST_COMPLETED)
                    over.cancel()
            if task.done():
                task.result()
                found.problem = "it was answered, and was given up before its answer when it was recorded"
        except TimeoutError:
            found.problem = f"{wanted} notifications had come, and now {len(running.told)}"
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))
                await self._take_back(running)

    async def _take_back(self, running: _Running) -> None:
        profile = PROFILES.get(running.call.revision)
        stateless = profile is not None and profile.stateless
        if stateless and not self._transport.shared:
            return  # the end of its stream says so
        data = messages.notification(names.NOTIFY_CANCELLED, encode({"requestId": running.id}))
        revision = "" if profile is None else profile.revision
        try:
            await self._transport.send(Outgoing(data, None, names.NOTIFY_CANCELLED, stateless, revision))
        except DovetailError:
            return  # the server is gone, and with it the call

    # What goes out

    def _outgoing(self, running: _Running) -> Outgoing:
        call = running.call
        params = self._now(call.params)
        meta = params.get(names.META)
        if isinstance(meta, dict) and names.META_PROGRESS_TOKEN in meta:
            params = {
                **params,
                names.META: {**cast("dict[str, Any]", meta), names.META_PROGRESS_TOKEN: running.id},
            }
        data = messages.request(running.id, call.method, encode(params) if params else b"")
        profile = PROFILES.get(call.revision)
        if profile is None:
            return Outgoing(data, running.id, call.method, False, "")
        headers: list[tuple[str, str]] = []
        if profile.stateless and self._transport.http:
            method = profile.client_requests.get(call.method)
            subject = None if method is None else method.subject_in(params)
            known = self._headers.get(subject or "", ())
            headers = mirror(call.method, subject, params.get("arguments"), known)
        revision = "" if call.method == names.INITIALIZE else profile.revision
        return Outgoing(data, running.id, call.method, profile.stateless, revision, tuple(headers))

    def _now(self, value: Any) -> Any:
        """What was recorded, with what it is now in the place of what servers make up and of secrets."""
        if isinstance(value, str):
            if value in self._values:
                return self._values[value]
            return PLACEHOLDER.sub(lambda each: self._rules.secrets.get(each[0][1:-1], each[0]), value)
        if isinstance(value, dict):
            return {name: self._now(item) for name, item in cast("dict[str, Any]", value).items()}
        if isinstance(value, list):
            return [self._now(item) for item in cast("list[Any]", value)]
        return value

    def _revision(self, line: int) -> str:
        at = bisect_left(self._moves, line, key=lambda each: each.line)
        before = (each for each in reversed(self._moves[:at]) if isinstance(each, RecordedCall))
        return next((each.revision for each in before), "")

    # What comes back

    def _compare(self, found: CallReplay, running: _Running, message: Message) -> None:
        call, rules = running.call, self._rules
        if message.kind is Kind.ERROR:
            problem = envelope.read_error(message.body)
            now: dict[str, Any] = {"code": problem.code}
            if rules.strict:
                now["message"] = problem.message
            if call.error is None:
                found.problem = (
                    f"it was answered, and is now refused: {problem.message} (code {problem.code})"
                )
                return
            before = {name: item for name, item in call.error.items() if name in now}
            found.differs += differences(before, now, "/error")
        else:
            result: Any = decode(message.body)
            if call.result is None:
                code = (call.error or {}).get("code")
                found.problem = f"it was refused (code {code}), and is now answered: {_shown(result)}"
                return
            self._learn(call.result, result)
            self._note_tools(call.method, result)
            expected = call.result
            if call.method == names.DISCOVER:
                expected = {**expected, "supportedVersions": result.get("supportedVersions")}
            found.differs += ignored(differences(expected, result), rules.ignore)
        asked = [each.method for each in call.steps if isinstance(each, RecordedQuestion)]
        found.differs += differences(self._sure(asked), self._sure(running.asked), "/questions")
        if rules.strict:
            told = [(each.method, _told(each.params)) for each in call.steps if _counts(each)]
            found.differs += differences(
                [list(each) for each in told],
                [[method, _told(params)] for method, params in running.told],
                "/told",
            )

    def _sure(self, questions: list[str]) -> list[str]:
        """Those that belong to a call for sure: servers ask for roots, and whether anybody is there, when they like."""
        return [
            each for each in questions if self._rules.strict or each not in (names.ROOTS_LIST, names.PING)
        ]

    def _learn(self, recorded: Any, found: Any) -> None:
        """Note what the server makes up: it is sent back as it is now."""
        if isinstance(recorded, dict) and isinstance(found, dict):
            old, new = cast("dict[str, Any]", recorded), cast("dict[str, Any]", found)
            for name, item in old.items():
                if name in _MADE_UP and isinstance(item, str) and isinstance(new.get(name), str):
                    self._values[item] = new[name]
                elif name in new:
                    self._learn(item, new[name])
        elif isinstance(recorded, list) and isinstance(found, list):
            for before, now in zip(cast("list[Any]", recorded), cast("list[Any]", found), strict=False):
                self._learn(before, now)

    def _note_tools(self, method: str, result: Any) -> None:
        if method != names.TOOLS_LIST:
            return
        for each in cast("Iterable[Any]", result.get("tools") or ()):
            try:
                self._headers[each["name"]] = header_parameters(each.get("inputSchema"))
            except (InvalidHeaderAnnotation, KeyError, TypeError, AttributeError):
                continue  # such a tool has none

    # What a transport tells

    async def message(self, message: Message, related: Any) -> None:
        """See `Receiver.message`."""
        if message.kind is Kind.REQUEST:
            task = asyncio.create_task(self._answer(message, related))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
            return
        if message.kind is not Kind.NOTIFICATION:
            return
        try:
            params: Any = decode(message.params) if message.params else {}
        except DECODE_ERRORS:
            params = {}
        running = self._whose(params, related)
        if running is not None:
            running.told.append((message.method, params))
            running.changed.set()

    def missed(self) -> None:
        """See `Receiver.missed`."""

    def lost(self, error: DovetailError) -> None:
        """See `Receiver.lost`."""
        self._lost = error

    def _whose(self, params: dict[str, Any], related: Any) -> _Running | None:
        meta: Any = params.get(names.META) or {}
        marks = (params.get(names.META_PROGRESS_TOKEN), meta.get(names.META_SUBSCRIPTION_ID), related)
        for mark in marks:
            if mark is not None:
                return next((each for each in self._running.values() if str(each.id) == str(mark)), None)
        waiting = [each for each in self._running.values() if each.call.method != names.SUBSCRIPTIONS_LISTEN]
        return waiting[-1] if waiting else None

    async def _answer(self, message: Message, related: Any) -> None:
        """Answer a question as it was answered."""
        try:
            params: Any = decode(message.params) if message.params else {}
        except DECODE_ERRORS:
            params = {}
        running = self._whose({}, related)
        if running is not None:
            running.asked.append(message.method)
        recorded = self._recorded(message.method, params)
        id: Any = message.id
        if recorded is not None and recorded.result is not None:
            data = messages.result(id, encode(self._now(recorded.result)))
        elif recorded is not None and recorded.error is not None:
            error = recorded.error
            problem = RPCError(
                str(error.get("message", "")), code=int(error.get("code", -32603)), data=error.get("data")
            )
            data = messages.error(id, problem)
        elif message.method == names.PING:
            data = messages.result(id, b"{}")
        else:
            data = messages.error(
                id, RPCError(f"{self._name} has no answer to this {message.method}", code=-32603)
            )
        revision = "" if running is None else running.call.revision
        try:
            await self._transport.send(Outgoing(data, None, "", False, revision))
        except DovetailError:
            return  # the call that asked tells of it

    def _recorded(self, method: str, params: dict[str, Any]) -> RecordedQuestion | None:
        """The first recorded question that is the same and was not answered yet, or that is of the same kind."""
        asked = plain_params(params)
        same = [each for each in self._questions if each.method == method]
        found = next(
            (each for each in same if fits(plain_params(each.params), asked)), same[0] if same else None
        )
        if found is not None:
            self._questions.remove(found)
        return found


def _probes(call: RecordedCall) -> bool:
    """Whether a request was an attempt to open a session that came to nothing: another one followed."""
    return call.method in _OPENING and call.result is None


def _ends(move: RecordedCall | ClientNotice) -> bool:
    """Whether a move comes to an end by itself."""
    return isinstance(move, RecordedCall) and move.method != names.SUBSCRIPTIONS_LISTEN


def _counts(step: ServerNotice | RecordedQuestion) -> bool:
    """Whether something told on the way belongs to its call for sure."""
    return isinstance(step, ServerNotice) and step.change is None


def _told(params: dict[str, Any]) -> dict[str, Any]:
    """What was told, without what names its call."""
    return {
        name: item for name, item in params.items() if name not in (names.META, names.META_PROGRESS_TOKEN)
    }


def _about(params: dict[str, Any]) -> str:
    found = params.get("name", params.get("uri"))
    return repr(found)[:80] if isinstance(found, str) else ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
