"""How a client's requests and answers come to be observed: the parts of an observed client, in the place of the plain
ones. A client that nobody observes imports none of this.

Theory of operation. An `ObservedLink` tells of each request that goes out, so what the client does by itself (opening,
subscribing) is told of as well; `ObservedQuestions` of what a server asks, in either era. What is asked belongs to the
trace of the call that it was asked for, since handlers run in that call's context. Between the rounds of a call, an
`ObservedCaller` stays in the context that the observer wants.

Specification: OpenTelemetry, "Semantic conventions for Model Context Protocol (MCP)".
"""

import asyncio
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final, cast
from urllib.parse import urlsplit

import msgspec
from msgspec import Raw, Struct, field

from ..protocol import codec, names
from ..protocol.call import Call
from ..protocol.envelope import Kind
from ..protocol.errors import DovetailError, RPCError
from ..protocol.revisions import Profile
from ..protocol.types import Params, RequestId, Result, RetryParams
from ..runtime.observed_fetches import FetchObserver
from ..runtime.observer import ObservedOperation, ObserverGroup
from ..security.fetching import fetch_watcher
from ..transports.client_transport import ReceivedResponse, Transport
from .answers import CallInfo
from .link import Link, LinkObserver, RequestSettings, error_of, name_of
from .options import Options
from .questions import Questions
from .round_visits import RoundVisits
from .rounds import asks

__all__ = ["ObservedLink", "ObservedQuestions"]

_KINDS: Final = {names.TOOLS_CALL: "tool", names.PROMPTS_GET: "prompt"}


class _ResultMarks(Struct, frozen=True):
    """What of a result says how its call ended."""

    result_type: Any = field(default=None, name="resultType")
    is_error: Any = field(default=False, name="isError")


_marks: Final = codec.reader(_ResultMarks).read
_came: Final[ContextVar[Mapping[str, Any] | None]] = ContextVar("dovetail_meta_of_question", default=None)


class ObservedLink(Link):
    """A connection, observed."""

    def __init__(self, transport: Transport, options: Options, owner: LinkObserver) -> None:
        super().__init__(transport, options, owner)
        self._observer: ObserverGroup = options.observer
        self._fetches = FetchObserver(self._observer)
        self._since = time.perf_counter()
        self.questions: Questions = ObservedQuestions(options, self)
        self.name(None)

    @property
    def place(self) -> tuple[str, int | None]:
        """The host and the port of a server over HTTP; "" and None elsewhere."""
        if not self.transport.http:
            return "", None
        try:
            parts = urlsplit(self.describe())
            return parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        except ValueError:
            return "", None

    async def ask_reply(
        self, method: str, params: Params | dict[str, Any], settings: RequestSettings
    ) -> ReceivedResponse:
        operation = self._operation(method, params)
        begun = self._observer.begin(operation)
        watched = fetch_watcher.set(self._fetches)
        started = settings.started

        def sent(id: RequestId) -> None:
            operation.id = id
            if started is not None:
                started(id)

        try:
            reply = await super().ask_reply(method, params, msgspec.structs.replace(settings, started=sent))
            self._finish(operation, reply, params)
            return reply
        except BaseException as problem:
            fail(operation, problem)
            raise
        finally:
            fetch_watcher.reset(watched)
            self._observer.end(operation, begun)

    def _operation(self, method: str, params: Params | dict[str, Any]) -> ObservedOperation:
        kind = _KINDS.get(method, "")
        name = name_of(self.profile, method, params) or ""
        host, port = self.place
        return ObservedOperation(
            "client",
            method,
            kind=kind,
            target=name if kind else "",
            uri="" if kind else name,
            revision=self.profile.revision,
            transport=self.transport.name,
            state=getattr(params, "request_state", None),
            server=host,
            port=port,
        )

    def _finish(
        self, operation: ObservedOperation, reply: ReceivedResponse, params: Params | dict[str, Any]
    ) -> None:
        message = reply.message
        if message.kind is not Kind.RESULT:
            fail(operation, error_of(reply))
            return
        try:
            marks = _marks(message.body)
        except codec.DECODE_ERRORS:
            return  # whoever reads the result says what is wrong with it
        if marks.is_error is True and operation.kind == "tool":
            operation.outcome = "tool_error"
        elif isinstance(params, RetryParams) and marks.result_type == names.RESULT_INPUT_REQUIRED:
            operation.outcome = "input_required"
            try:
                required = asks(message.body, may_ask=True, method=operation.method)
            except DovetailError:
                required = None  # as above
            questions = None if required is None else required.input_requests
            operation.asked = [each.method for each in (questions or {}).values()]

    async def _answer(self, call: Call, asker: CallInfo | None) -> None:
        _came.set(call.meta)  # it runs in a task of its own
        await super()._answer(call, asker)

    async def _close(self, quietly: bool, given_up: list[int], *, leave: bool) -> None:
        if self.opened:
            seconds = time.perf_counter() - self._since
            self._observer.session_ended("client", self.profile.revision, self.transport.name, seconds)
        await super()._close(quietly, given_up, leave=leave)


class ObservedQuestions(Questions):
    """What servers ask, observed."""

    def __init__(self, options: Options, link: Link) -> None:
        super().__init__(options)
        self._observer: ObserverGroup = options.observer
        self._link = link

    async def answer(
        self,
        method: str,
        params: Params,
        profile: Profile | None = None,
        call: CallInfo | None = None,
        visits: RoundVisits | None = None,
    ) -> Result:
        came = _came.get()
        operation = ObservedOperation(
            "server",
            method,
            revision="" if profile is None else profile.revision,
            transport=self._link.transport.name,
            meta=None if not came else lambda: came,
        )
        begun = self._observer.begin(operation)
        try:
            return await super().answer(method, params, profile, call, visits)
        except BaseException as problem:
            fail(operation, problem)
            raise
        finally:
            self._observer.end(operation, begun)

    async def answer_raw(
        self,
        method: str,
        params: Raw,
        profile: Profile,
        call: CallInfo | None = None,
        visits: RoundVisits | None = None,
    ) -> Result:
        try:
            members: Any = codec.decode(params) if params else {}
        except codec.DECODE_ERRORS:
            members = {}
        meta: Any = cast("dict[str, Any]", members).get(names.META) if isinstance(members, dict) else None
        _came.set(cast("dict[str, Any]", meta) if isinstance(meta, dict) else None)
        return await super().answer_raw(method, params, profile, call, visits)


def fail(operation: ObservedOperation, problem: BaseException) -> None:
    """How an operation ended that raised something."""
    if isinstance(problem, asyncio.CancelledError):
        operation.outcome, operation.problem = "cancelled", problem
    else:
        operation.fail(problem, problem.code if isinstance(problem, RPCError) else None)
