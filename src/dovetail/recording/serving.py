"""A recording as a server: it answers what was recorded by what was recorded.

Theory of operation. `replay_app` makes an `App` that serves the revisions of the recording, and a middleware that
answers every request. The engines of the era do what they always do (handshake, sessions, streams, rounds); the
results, notifications and questions are those of the capture. A request is the recorded one when method and parameters
are the same, ``_meta`` aside; of several that are, each answers once, in order. Notifications come before the answer
that they came before; a change of a subscription waits for the request that it came after.

Specification: none; docs/recording.md, "Replay".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, cast

from ..capture.reading import Capture
from ..errors import FeatureUnavailable, InternalError, RPCError
from ..extensions import Call, Change, Channel, Encoded, Extension, ExtensionMethod, Handler, Serving
from ..protocol import messages, names
from ..revisions import PROFILES
from ..server.app import App
from ..types import Result, decode, encode
from .matching import Difference, differences, fits
from .talk import RecordedCall, RecordedQuestion, ServerNotice, Talk, plain_params

__all__ = ["NotRecorded", "ReplayServer", "replay_app"]

_IDENTIFIER: Final = "io.dovetail/recorded"
_ANSWERS: Final = "inputResponses"
_SHOWN: Final = 3
_CAPABILITIES: Final = {
    "tools/": "tools",
    "prompts/": "prompts",
    "resources/": "resources",
    "completion/": "completions",
    "logging/": "logging",
}


class NotRecorded(RPCError):
    """A recording was asked for what it does not have. The text names the nearest request that it has; ``data.nearest``
    has its line and parameters, ``data.differs`` the places at which it is another.
    """

    default_code = -31404


def replay_app(capture: Capture, *, strict: bool = False) -> App:
    """An app that answers as the server of a recording did, in the revisions in which it did.

    ``strict``: a request is answered as often as it was recorded, and answers to questions have to be the recorded
    ones; by default the last answer is repeated, and whatever is answered is taken. Raises ValueError for a recording
    in which no request was answered. Requests that the recording does not have are answered with `NotRecorded`.
    """
    return ReplayServer(capture, strict=strict).app()


class ReplayServer:
    """What stands in the place of all handlers. ``strict``: see `replay_app`."""

    def __init__(self, capture: Capture, *, strict: bool = False) -> None:
        self._talk = Talk(capture)
        self._strict = strict
        self._used: set[int] = set()
        self._begun: set[int] = set()
        self._answered: set[int] = set()
        self._waiting: list[asyncio.Future[None]] = []
        self._serving: Serving | None = None

    def app(self) -> App:
        """The app. Raises ValueError for a recording in which no request was answered."""
        talk = self._talk
        spoken = [each for each in talk.revisions if each in PROFILES]
        revisions = [each for each in PROFILES if each in spoken]
        if not revisions:
            raise ValueError(f"{talk.name} can't be served: no request in it was answered, in any revision")
        info = talk.server_info
        return App(
            _text(info.get("name")) or "recording",
            version=_text(info.get("version")) or "0",
            title=_text(info.get("title")) or None,
            description=_text(info.get("description")) or None,
            revisions=revisions,
            rate_limit=None,
            middleware=[self.answer],
            extensions=[self._extension()],
            telemetry=(),
        )

    @property
    def unasked(self) -> list[RecordedCall]:
        """The recorded requests that nobody has made; those that open a session or ask whether anybody is there do not
        count.
        """
        return [
            each for each in self._talk.calls if each.line not in self._used and each.method not in _UNCOUNTED
        ]

    def _extension(self) -> Extension:
        """What brings the methods that no revision has; it is not announced, for the recorded answers say what is."""
        known = {each.method for each in self._talk.calls if each.method not in PROFILES.methods}
        methods = [
            ExtensionMethod(name=name, answer=self._nothing, declared=False, revisions=list(PROFILES))
            for name in sorted(known)
        ]
        return Extension(identifier=_IDENTIFIER, methods=methods, lifespan=self._life)

    @asynccontextmanager
    async def _life(self, serving: Serving) -> AsyncGenerator[None]:
        self._serving = serving
        yield

    async def _nothing(self, call: Call, channel: Channel) -> Result:
        """Never reached: the middleware answers."""
        raise self._missing(call.method, plain_params(call.members))

    async def answer(self, call: Call, channel: Channel, inner: Handler) -> Result | Encoded:
        """The middleware."""
        if call.method == names.PING:
            return Result()
        if call.method == names.INITIALIZE:
            self._reset()
            return await self._initialize(call, channel, inner)
        if call.method == names.DISCOVER:
            return await self._discover(call, channel, inner)
        recorded = self._find(call)
        _steer(call, channel)
        if recorded is None:
            if self._strict or call.method not in _STEERING:
                raise self._missing(call.method, plain_params(call.members))
            if call.method == names.SUBSCRIPTIONS_LISTEN:
                return await inner(call, channel)
            return Result()
        if call.method == names.SUBSCRIPTIONS_LISTEN:
            return await self._listen(recorded, call, channel)
        return await self._replay(recorded, call, channel)

    # Opening

    async def _initialize(self, call: Call, channel: Channel, inner: Handler) -> Result:
        opened: dict[str, Any] = decode(cast("bytes", await inner(call, channel)))
        recorded = self._talk.opening(names.INITIALIZE)
        if recorded is None or recorded.result is None:
            return _result({**opened, "capabilities": self._offered()})
        return _result({**recorded.result, "protocolVersion": opened["protocolVersion"]})

    async def _discover(self, call: Call, channel: Channel, inner: Handler) -> Result:
        asked = [
            each for each in self._talk.calls if each.method == names.DISCOVER and each.result is not None
        ]
        if all(each.line in self._used for each in asked):
            self._reset()  # another client begins
        own = cast("Any", await inner(call, channel)).to_wire()
        recorded = next((each for each in asked if each.line not in self._used), None)
        if recorded is None or recorded.result is None:
            return _result({**own, "capabilities": self._offered()})
        self._used.add(recorded.line)
        return _result({**recorded.result, "supportedVersions": own["supportedVersions"]})

    def _offered(self) -> dict[str, Any]:
        """What a server must have that answered so, where the recording does not have its own word on it."""
        methods = [each.method for each in self._talk.calls if each.result is not None]
        return {
            name: {}
            for beginning, name in _CAPABILITIES.items()
            if any(m.startswith(beginning) for m in methods)
        }

    def _reset(self) -> None:
        """Begin anew: everything is answered as it was the first time."""
        self._used.clear()
        self._begun.clear()
        self._answered.clear()

    # Calls

    def _find(self, call: Call) -> RecordedCall | None:
        """The recorded call that is answered with now."""
        asked = self._compared(plain_params(call.members))
        same = [
            each
            for each in self._talk.calls
            if each.method == call.method and fits(self._compared(each.plain), asked)
        ]
        same.sort(
            key=lambda each: self._compared(each.plain) != asked
        )  # a secret's placeholder fits anything
        free = next((each for each in same if each.line not in self._used), None)
        if free is None and same and not self._strict:
            answered = [each for each in same if each.answered]
            free = (answered or same)[-1]
        if free is not None:
            self._used.add(free.line)
        return free

    def _compared(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters, as far as they count. What a client answers counts only where that is asked for."""
        answers = params.get(_ANSWERS)
        if self._strict or not isinstance(answers, dict):
            return params
        return {**params, _ANSWERS: sorted(cast("dict[str, Any]", answers))}

    def _missing(self, method: str, params: dict[str, Any]) -> NotRecorded:
        """The error for a request that was not recorded, or not so often."""
        name = self._talk.name
        candidates = [each for each in self._talk.calls if each.method == method]
        if not candidates:
            known = ", ".join(sorted({each.method for each in self._talk.calls}))
            return NotRecorded(f"{name} has no {method}; it has {known}", data={"method": method})
        nearest, found = min(
            ((each, list(differences(each.plain, params))) for each in candidates),
            key=lambda each: len(each[1]),
        )
        data = {
            "method": method,
            "nearest": {"line": nearest.line, "params": nearest.plain},
            "differs": [each.pointer for each in found],
        }
        if not found:
            often = sum(fits(each.plain, params) for each in candidates)
            text = f"{name} has this {method} {often} times, and it was asked for once more"
        else:
            text = f"{name} has no such {method}; the nearest is in line {nearest.line}, and differs: {_listed(found)}"
        return NotRecorded(text, data=data)

    async def _replay(self, recorded: RecordedCall, call: Call, channel: Channel) -> Result:
        self._note(self._begun, recorded)
        for step in recorded.steps:
            if isinstance(step, RecordedQuestion):
                await self._ask(step, channel)
            elif step.change is not None:
                self._publish(step.change)
            else:
                await _tell(step, call, channel)
        if recorded.result is None and recorded.error is None:
            if recorded.cancelled:
                await asyncio.Event().wait()  # until this client gives it up, too
            raise InternalError(
                f"{self._talk.name} ends before the answer to the request in line {recorded.line}"
            )

        async def after() -> None:
            self._note(self._answered, recorded)
            for each in recorded.later:
                if each.change is not None:
                    self._publish(each.change)

        if not channel.later(after):
            await after()
        if recorded.error is not None:
            raise _error(recorded.error)
        return _result(recorded.result or {})

    async def _ask(self, question: RecordedQuestion, channel: Channel) -> None:
        """Ask what was asked. Raises what the client's answer comes to where that has to be as recorded."""
        try:
            answer: Any = decode(await channel.ask(question.method, encode(question.params)))
        except (RPCError, FeatureUnavailable):
            if self._strict and question.error is None:
                raise
            return
        if self._strict and not (question.result is not None and fits(question.result, answer)):
            found = list(differences(question.result, answer))
            raise NotRecorded(
                f"the answer to {question.method} (line {question.line}) is not the recorded one: {_listed(found)}",
                data={"line": question.line, "differs": [each.pointer for each in found]},
            )

    def _publish(self, change: Change) -> None:
        if self._serving is not None:
            self._serving.publish(change)

    # Subscriptions of the stateless era

    async def _listen(self, recorded: RecordedCall, call: Call, channel: Channel) -> Result:
        """What was told to a subscription, each once the request that it came after has been made again."""
        steps = [each for each in (*recorded.steps, *recorded.later) if isinstance(each, ServerNotice)]
        for step in steps:
            if step.method != names.NOTIFY_ACKNOWLEDGED and step.after > recorded.line:
                await self._until(self._answered if step.answered else self._begun, step.after)
            await channel.emit(_notification(step.method, _subscribed(step.params, call.id)))
        if recorded.result is None and recorded.error is None:
            await asyncio.Event().wait()  # as long as the client listens
        last = max((each.line for each in self._talk.calls if each.line < recorded.answered), default=0)
        if last > recorded.line:
            await self._until(self._begun, last)
        if recorded.error is not None:
            raise _error(recorded.error)
        return _result(_subscribed(recorded.result or {}, call.id))

    def _note(self, where: set[int], recorded: RecordedCall) -> None:
        where.add(recorded.line)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.get_loop().call_soon_threadsafe(_wake, each)

    async def _until(self, where: set[int], line: int) -> None:
        while line not in where:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter


_UNCOUNTED: Final = frozenset({names.INITIALIZE, names.DISCOVER, names.PING})

_STEERING: Final = frozenset(
    {
        names.LOGGING_SET_LEVEL,
        names.RESOURCES_SUBSCRIBE,
        names.RESOURCES_UNSUBSCRIBE,
        names.SUBSCRIPTIONS_LISTEN,
    }
)
"""What a client may do that its recording did not, unless that is strict."""


def _steer(call: Call, channel: Channel) -> None:
    """Have the session know what it is told."""
    session, params = channel.session, cast("Any", call.params)
    if session is None:
        return
    if call.method == names.RESOURCES_SUBSCRIBE:
        session.subscribe(params.uri)
    elif call.method == names.RESOURCES_UNSUBSCRIBE:
        session.unsubscribe(params.uri)
    elif call.method == names.LOGGING_SET_LEVEL:
        session.set_level(params)


async def _tell(told: ServerNotice, call: Call, channel: Channel) -> None:
    """Send a notification that belongs to a call, if this client wants to hear it."""
    params = told.params
    if told.method == names.NOTIFY_PROGRESS:
        token = call.progress_token
        if token is None:
            return
        params = {**params, names.META_PROGRESS_TOKEN: token}
    elif told.method == names.NOTIFY_MESSAGE and call.profile.stateless and call.log_level is None:
        return
    elif told.method == names.NOTIFY_CANCELLED:
        return  # of a question that was taken back: this one is not
    await channel.emit(_notification(told.method, params))


def _notification(method: str, params: dict[str, Any]) -> bytes:
    return messages.notification(method, encode(params) if params else b"")


def _subscribed(members: dict[str, Any], id: Any) -> dict[str, Any]:
    """Members that name their subscription by its id, which is another one now."""
    meta = members.get(names.META)
    if not isinstance(meta, dict) or names.META_SUBSCRIPTION_ID not in meta:
        return members
    return {**members, names.META: {**cast("dict[str, Any]", meta), names.META_SUBSCRIPTION_ID: id}}


def _result(members: Mapping[str, Any]) -> Result:
    """A result that is sent as it was recorded."""
    rest = {name: item for name, item in members.items() if name not in (names.META, "resultType")}
    return Result(meta=members.get(names.META), result_type=members.get("resultType"), extra=rest)


def _error(error: dict[str, Any]) -> RPCError:
    code = error.get("code")
    return RPCError(
        _text(error.get("message")), code=code if isinstance(code, int) else -32603, data=error.get("data")
    )


def _listed(found: list[Difference]) -> str:
    shown = "; ".join(map(str, found[:_SHOWN]))
    return f"{shown} and {len(found) - _SHOWN} more" if len(found) > _SHOWN else shown


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
