"""What a handler sees of the call it serves, the same in both eras.

Ask for it by annotation (``ctx: Context``). It reports progress and logs, asks the client, and tells who is
calling.
"""

# The functions below `Context` belong to it: what runs a body needs them, and authors are not to see them on it.
# pyright: reportPrivateUsage=false

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, NoReturn, TypeVar, Unpack, cast, overload

from msgspec import Raw

from ..protocol import codec, messages, names
from ..protocol.call import Call, Peer
from ..protocol.errors import (
    Declined,
    Dismissed,
    FeatureUnavailable,
    LocalProtocolError,
    ToolError,
    URLElicitationRequired,
)
from ..protocol.revisions import Feature
from ..protocol.rounds import MAX_QUESTIONS, WireQuestion
from ..protocol.types import (
    LOG_LEVELS,
    CreateMessageResult,
    ElicitationCompleteNotice,
    LogLevel,
    MessageNotice,
    ProgressNotice,
    RequestId,
    Root,
    SamplingMessage,
)
from ..runtime.channel import BodyReached, Channel
from ..runtime.context_mark import Mark, mark
from ..runtime.rounds import Rounds
from ..security.principal import Principal
from .access import demand
from .forms import AnswerInvalid, Form
from .questions import Elicit, ElicitURL, Question, Roots, Sample, SampleOptions, missing, visits_in
from .session import Session, session_of
from .steps import StepCodec, refuse_inside, result_type, run

T = TypeVar("T")
CleanUp = Callable[[], Awaitable[None]]

_TRIES = 3
_RANK = {level: rank for rank, level in enumerate(LOG_LEVELS)}


class Context:
    """One call, from the inside. ``state`` is what the app's lifespan gave."""

    __slots__ = (
        *("_begin", "_body", "_call", "_channel", "_clean_ups", "_identity", "_keys", "_numbered"),
        *("_mark", "_progress", "_rounds", "_steps", "state"),
    )

    def __init__(
        self,
        call: Call,
        channel: Channel,
        *,
        state: Any = None,
        begin: Callable[[Call, Channel, Any], Rounds] | None = None,
        rounds: Rounds | None = None,
    ) -> None:
        self._call = call
        self._channel = channel
        self._begin = begin
        self._rounds = rounds
        self._body = _current_task() if rounds is None else rounds.body
        self._clean_ups: list[CleanUp] | None = None
        self._identity: str | None = None
        self._mark: Mark | None = None
        self._progress: float | None = None
        self._keys: set[str] = set()
        self._numbered = 0
        self._steps: set[str] = set()
        self.state = state

    # Who and what

    def require_scopes(self, *scopes: str) -> None:
        """Go on only if the caller's token has all of these scopes: for what depends on the arguments.

        Raises `InsufficientScope`: over HTTP the client is told which scopes to ask for, by a 403 if nothing was said
        on the call's behalf yet. On stdio and unix sockets, where there are no tokens, nothing is asked. Specification:
        basic/authorization, "Runtime Insufficient Scope Errors".
        """
        demand(self._channel, scopes)

    @property
    def principal(self) -> Principal:
        """Who is calling; anonymous unless the server authenticates."""
        return self._channel.principal

    @property
    def request_id(self) -> RequestId:
        """The id of the request; in the stateless era each round has its own."""
        return self._call.id

    @property
    def revision(self) -> str:
        """The revision that the call is made in."""
        return self._call.profile.revision

    @property
    def client(self) -> Peer:
        """What the client says of itself: ``info`` (for display only) and ``capabilities``."""
        return self._call.peer

    @property
    def headers(self) -> Mapping[str, str]:
        """The HTTP request's headers, names in lower case, credentials left out; empty on other transports."""
        return self._channel.headers

    @property
    def meta(self) -> dict[str, Any]:
        """The request's ``_meta``, as it came."""
        return self._call.meta

    @property
    def transport(self) -> str:
        """How the call came: "stdio", "http", "memory", ..."""
        return self._channel.transport

    @property
    def session_id(self) -> str | None:
        """What stands for the session of the call: the same for all its calls and on all workers, and no secret. None
        where there is no session: since 2026-07-28, and on endpoints without sessions.
        """
        return self._channel.session_id

    @property
    def session(self) -> Session:
        """The session of the call, and what the app keeps in it. Raises `FeatureUnavailable` where there is none, and
        says what to use instead.
        """
        return session_of(self._channel, self._call.profile.revision)

    # Telling

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Report how far the work is, if the caller wants to know. ``progress`` has to grow: what does not
        is not sent, nor what is no finite number.

        Specification: basic/patterns/progress.
        """
        call = self._call
        token = call.progress_token
        if token is None or not math.isfinite(progress):
            return
        if self._progress is not None and progress <= self._progress:
            return
        if total is not None and not math.isfinite(total):
            total = None
        self._progress = progress
        notice = ProgressNotice(progress_token=token, progress=progress, total=total, message=message)
        said = messages.notice(call.profile, names.NOTIFY_PROGRESS, notice)
        if not self._channel.tell(said):
            await self._channel.emit(said)

    async def log(self, level: LogLevel, data: Any, *, logger: str | None = None) -> None:
        """Send a log message to the client, if it wants that level: any JSON value, never a secret.

        In the stateless era only when the request asked for logs. Deprecated since 2026-07-28: log to
        stderr or OpenTelemetry. Raises `LocalProtocolError` for a level that does not exist.
        Specification: server/utilities/logging.
        """
        if level not in _RANK:
            raise LocalProtocolError(f"there is no log level {level!r}; use one of {', '.join(LOG_LEVELS)}")
        wanted = self._call.log_level
        if wanted is None:
            if self._call.profile.stateless or not self._channel.lasting:
                return  # where no level can be kept, logs are not offered
        elif _RANK[level] < _RANK[wanted]:
            return
        notice = MessageNotice(level=level, data=data, logger=logger)
        said = messages.notice(self._call.profile, names.NOTIFY_MESSAGE, notice)
        if not self._channel.tell(said):
            await self._channel.emit(said)

    async def debug(self, data: Any, *, logger: str | None = None) -> None:
        """`log` at the level "debug"."""
        await self.log("debug", data, logger=logger)

    async def info(self, data: Any, *, logger: str | None = None) -> None:
        """`log` at the level "info"."""
        await self.log("info", data, logger=logger)

    async def warning(self, data: Any, *, logger: str | None = None) -> None:
        """`log` at the level "warning"."""
        await self.log("warning", data, logger=logger)

    async def error(self, data: Any, *, logger: str | None = None) -> None:
        """`log` at the level "error"."""
        await self.log("error", data, logger=logger)

    async def close_stream(self, retry: float | None = None) -> None:
        """Where streams can be resumed (2025-11-25 over HTTP), let go of the connection; the client comes
        back for the rest.

        ``retry``: after how many seconds. Elsewhere this does nothing.
        """
        await self._channel.close_stream(retry)

    # Asking

    @overload
    async def elicit(self, message: str, form: type[T], *, key: str | None = None) -> T: ...
    @overload
    async def elicit(self, message: str, form: Any, *, key: str | None = None) -> Any: ...
    async def elicit(self, message: str, form: Any, *, key: str | None = None) -> Any:
        """Ask the person: a form for ``form``, a type (bool, str, Enum, dataclass, ...) or a form schema as
        a dict.

        Gives the answer as that type. Raises `Declined` or `Dismissed` when there is none,
        `MissingCapability` when this client can't be asked, `ToolError` when it was asked three times and no answer
        fits. Specification: client/elicitation.
        """
        question = Elicit(message, form_of(form))
        key, named = self._key(key)
        answers = self._put({key: question}, named=named)
        return (answers if isinstance(answers, dict) else await answers)[key]

    async def elicit_url(
        self, message: str, url: str, *, key: str | None = None, elicitation_id: str | None = None
    ) -> None:
        """Ask the person to visit an address; returns once they agreed to. Raises as `elicit` does (since
        2025-11-25).
        """
        question = ElicitURL(message, url, elicitation_id)
        key, named = self._key(key)
        await self._ask_all({key: question}, named=named)

    async def sample(
        self,
        messages: str | list[SamplingMessage],
        *,
        key: str | None = None,
        **options: Unpack[SampleOptions],
    ) -> CreateMessageResult:
        """Ask the client's model; options as `SampleOptions`. Raises `MissingCapability`.

        Deprecated since 2026-07-28: call a model provider instead.
        """
        question = Sample(messages, **options)
        key, named = self._key(key)
        return (await self._ask_all({key: question}, named=named))[key]

    async def roots(self, *, key: str | None = None) -> list[Root]:
        """The client's roots. Raises `MissingCapability`. Deprecated since 2026-07-28: take paths as
        arguments.
        """
        key, named = self._key(key)
        return (await self._ask_all({key: Roots()}, named=named))[key]

    async def ask(self, **questions: Question[Any]) -> dict[str, Any]:
        """Several questions at once, by key; gives the answers by key. Raises as `elicit` does.

        In the stateless era they travel in one round, in the stateful era as requests at the same time. In both, all
        of them are asked and answered, or none is if the client can't be asked one of them; of several that were
        declined or dismissed, the first as they stand here is raised.
        """
        return await self._ask_all(questions, named=True)

    async def elicitation_complete(self, elicitation_id: str) -> None:
        """Tell the client that what the person was sent to an address for is done (2025-11-25).

        ``elicitation_id``: the one that `elicit_url` was given. In other revisions, and for a client that can't be sent
        to addresses, this does nothing.
        """
        notice = names.NOTIFY_ELICITATION_COMPLETE
        declared = self._call.peer.capabilities.elicitation
        if notice in self._call.profile.server_notices and declared is not None and declared.url is not None:
            params = self._call.profile.encode(ElicitationCompleteNotice(elicitation_id=elicitation_id))
            await self._channel.emit(messages.notification(notice, params))

    def _open_rounds(self) -> Rounds | None:
        """The rounds of the call, in the stateless era; opened when first needed."""
        if self._rounds is None and self._begin is not None:
            self._rounds = self._begin(self._call, self._channel, self._body)
            self._rounds.mark = self._mark
        return self._rounds

    def _key(self, key: str | None) -> tuple[str, bool]:
        """The key of a question, and whether the author gave it; else it is known by its number."""
        if key is not None:
            return key, True
        if asyncio.current_task() is not self._body:
            raise LocalProtocolError(
                "questions asked at the same time, in tasks of their own, need a key each, since their order may "
                'change from run to run: pass key="..."'
            )
        self._numbered += 1
        return f"question-{self._numbered}", False

    async def _ask_all(self, questions: Mapping[str, Question[Any]], *, named: bool) -> dict[str, Any]:
        answers = self._put(questions, named=named)
        return answers if isinstance(answers, dict) else await answers

    def _put(
        self, questions: Mapping[str, Question[Any]], *, named: bool
    ) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        """Ask; the answers if they are there, else what is to be awaited for them. ``named``: see `Rounds.find`."""
        refuse_inside("a question was asked")
        if len(questions) > MAX_QUESTIONS:
            raise LocalProtocolError(f"at most {MAX_QUESTIONS} questions fit into one round")
        for key in questions:
            if key in self._keys:
                raise LocalProtocolError(
                    f"two questions of one call have the key {key!r}; give them different ones"
                )
            self._keys.add(key)
        rounds = self._open_rounds()
        if rounds is None:
            return self._ask_by_requests(questions)
        return self._put_in_rounds(rounds, questions, named=named)

    async def _ask_by_requests(self, questions: Mapping[str, Question[Any]]) -> dict[str, Any]:
        call = self._call
        wire = self._on_the_wire(questions)
        if call.profile.stateless:
            raise FeatureUnavailable(
                f"{call.method} can't ask the client in revision {call.profile.revision}: tools, prompts and "
                "resources can"
            )
        if len(questions) == 1:
            return {key: await self._request(questions[key], wire[key].params) for key in questions}
        asking = {
            key: asyncio.create_task(self._request(question, wire[key].params))
            for key, question in questions.items()
        }
        try:
            await _all_answered(asking.values())
            return {key: task.result() for key, task in asking.items()}
        finally:
            for task in asking.values():
                task.cancel()
            await asyncio.gather(*asking.values(), return_exceptions=True)

    async def _request(self, question: Question[T], params: bytes) -> T:
        """Ask by a request, again if what comes is no answer. Raises what the answer says, and `ToolError` if none
        fits.
        """
        problem: Exception | None = None
        for _ in range(_TRIES):
            try:
                return question.read(await self._send(question, params))
            except (AnswerInvalid, *codec.DECODE_ERRORS) as wrong:
                problem = wrong
        why = str(problem) if isinstance(problem, AnswerInvalid) else "it can't be read"
        raise ToolError(
            f"the client was asked {_TRIES} times, and gave no answer that fits: {why}"
        ) from problem

    async def _send(self, question: Question[Any], params: bytes) -> Raw:
        try:
            return await (self._channel.asking or self._channel.ask)(question.method, params)
        except FeatureUnavailable as problem:
            raise missing(question.needs(), str(problem)) from problem

    def _put_in_rounds(
        self, rounds: Rounds, questions: Mapping[str, Question[Any]], *, named: bool
    ) -> dict[str, Any] | Awaitable[NoReturn]:
        wire = self._on_the_wire(questions)
        answers = rounds.find(wire, named=named)
        if answers is None:
            return rounds.park(wire)
        values: dict[str, Any] = {}
        again: dict[str, WireQuestion] = {}
        for key, question in questions.items():
            try:
                values[key] = question.read(answers[key])
            except (AnswerInvalid, *codec.DECODE_ERRORS):
                again[key] = wire[key]
        if again:
            rounds.reject(again)
            return rounds.park(again)
        return values

    def _on_the_wire(self, questions: Mapping[str, Question[Any]]) -> dict[str, WireQuestion]:
        call = self._call
        wire: dict[str, WireQuestion] = {}
        for key, question in questions.items():
            question.check(call.profile, call.peer.capabilities)
            wire[key] = question.wire(call.profile)
        return wire

    # Doing once

    async def step(self, name: str, fn: Callable[..., Any], *args: Any, into: Any = None) -> Any:
        """Do something whose result is kept while the call goes through rounds, so that no round does it
        again.

        ``fn`` may be sync or async. Its result goes through JSON, the first time too and in both eras, and comes as
        its return annotation, or ``into``, says. A step is kept once a reply that carries it has reached the client;
        see `step_key`, and ``once`` of `App.add_tool`. Raises `LocalProtocolError` for a name used twice in one call,
        and for a result that JSON can't carry.
        """
        if name in self._steps:
            raise LocalProtocolError(
                f"two steps of one call have the name {name!r}; give them different ones"
            )
        self._steps.add(name)
        codec = StepCodec(name, result_type(fn) if into is None else into)

        async def produce() -> bytes:
            return codec.write(await run(fn, args, name))

        rounds = self._open_rounds()
        return codec.read(await (produce() if rounds is None else rounds.step(name, produce)))

    def step_key(self, name: str) -> str:
        """A key that is the same whenever this step of this call runs, and no other's: for the idempotency of what
        it calls.
        """
        rounds = self._open_rounds()
        if rounds is not None:
            return f"{rounds.nonce}:{name}"
        if self._identity is None:
            self._identity = os.urandom(16).hex()
        return f"{self._identity}:{name}"


def _no_such_name(self: object, name: str) -> NoReturn:
    from .other_names import MEANT, naming  # for mistakes alone

    naming("a Context", MEANT)(self, name)


setattr(Context, "__getattr__", _no_such_name)  # noqa: B010 - type checkers would take any name


def opened_rounds(context: Context) -> Rounds | None:
    """The rounds of the call, if there was need for them so far."""
    return context._rounds


def clean_ups_of(context: Context) -> list[CleanUp] | None:
    """What is to be done after the answer, by the task of its own that the body runs in; None if it has none."""
    return context._clean_ups


def reached_body(context: Context) -> BodyReached:
    """What is raised in place of running the body: with all that was answered before it."""
    rounds = context._open_rounds()
    return BodyReached("" if rounds is None else rounds.kept())


def run_apart(context: Context, clean_ups: list[CleanUp]) -> None:
    """The body runs in a task of its own, which calls this first, and does ``clean_ups`` after the answer."""
    context._clean_ups, context._body = clean_ups, asyncio.current_task()
    if context._rounds is not None:
        context._rounds.body = context._body


def begins(context: Context) -> None:
    """The function of the call is about to begin, in the running task: what it starts may ask beside it."""
    rounds = context._rounds
    if rounds is not None:
        rounds.mark = mark()
    elif context._begin is not None:
        context._mark = mark()


async def demand_visits(context: Context, visits: URLElicitationRequired) -> NoReturn:
    """Answer the call with addresses that the person has to visit first, as the revision does it.

    In the stateless era they are asked in a round, again and again until the body no longer demands them.
    """
    call, rounds = context._call, context._open_rounds()
    asked = {f"visit-{number}": visit for number, visit in enumerate(visits_in(visits), 1)}
    if rounds is not None:
        wire = context._on_the_wire(asked)
        rounds.reject(wire)
        await rounds.park(wire)
    for visit in asked.values():
        visit.check(call.profile, call.peer.capabilities)
    if not call.profile.has(Feature.URL_ELICITATION_ERROR):
        raise missing({"elicitation": {"url": {}}}, f"{call.method} can't send anybody there") from visits
    raise visits


def form_of(form: Any) -> Form[Any]:
    """A form of whatever an author may give for one."""
    if isinstance(form, Form):
        return cast("Form[Any]", form)
    if isinstance(form, dict):
        return Form.raw(cast("dict[str, Any]", form))
    return Form.of(form)


async def _all_answered(asking: Collection["asyncio.Task[Any]"]) -> None:
    """Wait until all are answered, a refusal being an answer too. Raises whatever else one of them ends with, at
    once: nothing can come of the others then.
    """
    waiting = set(asking)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in [
            each for each in asking if each in done
        ]:  # as they stand: which one is told is no accident
            problem = None if task.cancelled() else task.exception()
            if problem is not None and not isinstance(problem, (Declined, Dismissed)):
                raise problem


def _current_task() -> "asyncio.Task[Any] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
