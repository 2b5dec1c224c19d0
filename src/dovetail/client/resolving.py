"""What extensions make of a call: how it is made, and what becomes of a result that is not the method's own.

An extension may say that a call is made otherwise (`PreparedCall`), and a server may answer with a result of a kind
that the extension brings, if the client declared it (`ResultType`). The extension's own function then gets what was
answered, and a `ResultResolver` to ask the server with, and gives the result that the caller waits for. All that it
waits for is within the limits of the call: each sign of progress starts its time anew, and `ClientConnection.waits`
has what the end of the client ends.
Specification: basic/index "ResultType"; basic/versioning "Extension Negotiation".
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from ..protocol import codec, names
from ..protocol.errors import DovetailError, FeatureUnavailable, RemoteProtocolError, RPCError
from ..protocol.listening import Change, ChangeType
from ..protocol.revisions import Era, Feature
from ..protocol.types import (
    InputRequest,
    ListToolsParams,
    ListToolsResult,
    Params,
    ProgressNotice,
    RequestId,
    Result,
    ServerCapabilities,
    SubscriptionFilter,
    Tool,
)
from ..runtime.client_extension import Resolving
from .answers import CallInfo
from .arguments import as_plain
from .callbacks import CallbackQueue
from .link import Link
from .listening import Subscription
from .options import Options
from .rounds import answers, result_type
from .timeouts import CallTimeout

R = TypeVar("R")
_Resolve = Callable[[Resolving, Any], Awaitable[Result | Mapping[str, Any] | Raw]]


class ResultResolver:
    """What an extension's function is given, one for each call; see `dovetail.runtime.client_extension.Resolving`."""

    def __init__(self, caller: Any, call: CallInfo, how: Any, options: Options) -> None:
        self._caller = caller
        self._call = call
        self._link: Link = caller.link()
        self._how = how
        self._options = options
        self._guard: CallTimeout | None = None
        self._asking = 0
        self._heard = 0.0
        self._numbered = False
        self._reports: CallbackQueue | None = None

    # What the client makes of it

    async def call(self, params: Params, link: Link) -> Raw:
        """Make the call, as far as an extension has it made otherwise; its result, resolved. Raises as calls do."""
        method = self.method
        prepare = self._options.additions.prepares(method)
        prepared = None if prepare is None else await prepare(self, None)
        if prepared is None:
            try:
                return await self.final(await self._caller.trip(method, params, self._how, link))
            except RPCError as refusal:
                prepared = None if prepare is None else await prepare(self, refusal)
                if prepared is None:
                    raise
        if prepared.members is None:
            return await self._resolved(prepared.resolve, None)
        plain = msgspec.json.decode(self.link.profile.encode(params), type=dict[str, Raw])
        members = {**plain, **as_plain("the parameters", prepared.members)}
        sent: list[RequestId] = []
        body = await self._caller.trip(method, members, self._how, None, sent.append)
        link = self.link
        link.followed[sent[-1]] = self._reached  # the token of the call stays good for what it became
        try:
            return await self._resolved(prepared.resolve, self._read(body, prepared.type, ""))
        finally:
            link.followed.pop(sent[-1], None)

    async def final(self, body: Raw) -> Raw:
        """A result, resolved if it is of a kind that an extension brings. Raises what resolving it raises."""
        if not self.link.profile.has(Feature.RESULT_TYPE):
            return body
        further = self._options.additions.result(self.method, result_type(body, self.method))
        if further is None:
            return body
        return await self._resolved(further.resolve, self._read(body, further.type, further.name))

    def _read(self, body: Raw, kind: Any, name: str) -> Any:
        try:
            return msgspec.json.decode(body, type=kind)
        except codec.DECODE_ERRORS as problem:
            of = f" of the type {name!r}" if name else ""
            raise RemoteProtocolError(f"the result of {self.method}{of} can't be read: {problem}") from None

    async def _resolved(self, resolve: _Resolve, value: Any) -> Raw:
        connection = self._caller.connection
        timeout, maximum = self._caller.limits(self._how)
        guard = self._guard = CallTimeout(
            f"{self.method} to {self.link.server}", timeout, maximum, held=self._is_asking
        )
        connection.waits.add(guard)
        try:
            with guard:
                found = await resolve(self, value)
                if self._reports is not None:
                    await self._reports.drain()
        except DovetailError as problem:
            problem.of_call(self.method, self.link.server)
            raise
        finally:
            connection.waits.discard(guard)
            if self._reports is not None:
                self._reports.close()
        if isinstance(found, Raw):
            return found
        if isinstance(found, Result):
            return Raw(self.link.profile.encode(found))
        return Raw(codec.encode(as_plain("the result", found)))

    def _reached(self, notice: ProgressNotice) -> None:
        self.progress(reached=notice)

    def _is_asking(self) -> bool:
        return self._asking > 0 or self.link.questions.open > 0

    # What the extension makes of it

    @property
    def link(self) -> Link:
        """The link as it is; while there is none that is open, the one before."""
        self._link = self._caller.connection.at_hand() or self._link
        return self._link

    @property
    def method(self) -> str:
        """The method that was called."""
        return self._call.method

    @property
    def name(self) -> str:
        """What the call was about."""
        return self._call.name

    @property
    def era(self) -> Era:
        """ "stateful" or "stateless"."""
        return self.link.profile.era

    def has(self, method: str) -> bool:
        """Whether the revision in use has such a request."""
        return method in self.link.profile.client_requests

    @property
    def capabilities(self) -> ServerCapabilities | None:
        """What the server offers."""
        return self.link.capabilities

    async def tool(self, *, fresh: bool = False) -> Tool | None:
        """The tool that is called, as it is listed."""
        catalogue = self._caller.catalogue
        if fresh or catalogue.tool(self.name) is None:
            async for page in self._caller.pages(names.TOOLS_LIST, ListToolsParams(), ListToolsResult):
                if any(each.name == self.name for each in page.tools):
                    break
            else:
                return None
        return catalogue.tool(self.name)

    async def request(
        self,
        method: str,
        params: Mapping[str, Any],
        *,
        into: type[R],
        progress: Callable[[ProgressNotice], None] | None = None,
    ) -> R:
        """Send a request and read its result, over a connection that stands."""
        connection = self._caller.connection
        if connection.at_hand() is None and (self._options.restart or not connection.target.process):
            await connection.open()
        return await self._caller.asked(method, params, into, progress)

    async def answer(self, questions: Mapping[str, InputRequest]) -> dict[str, Raw]:
        """Have the client's handlers answer questions."""
        link = self.link
        self._asking += 1
        try:
            return await answers(questions, link.profile, link.questions, self._call)
        finally:
            self._asking -= 1
            if self._guard is not None:
                self._guard.progress()  # from here on it is the server again that takes its time

    @asynccontextmanager
    async def listen(
        self, change: ChangeType, subjects: Sequence[str]
    ) -> AsyncGenerator[AsyncIterator[Change]]:
        """Hear of changes of these things."""
        if not self.link.stateless:
            raise FeatureUnavailable(
                f"nobody can listen to {change.kind} in revision {self.link.profile.revision}"
            )
        subscription = Subscription(
            self._caller.connection,
            SubscriptionFilter(),
            settings=self._caller.steering(self._how),
            further={change: list(subjects)},
        )
        async with subscription:
            honoured: Any = (subscription.acknowledged.extra or {}).get(change.filter)
            if not isinstance(honoured, list) or any(each not in honoured for each in subjects):
                raise FeatureUnavailable(f"{self.link.server} did not agree to tell of these {change.kind}")
            yield subscription

    def progress(self, message: str = "", *, reached: ProgressNotice | None = None) -> None:
        """There was a sign of life."""
        if self._guard is not None:
            self._guard.progress()
        callback = self._how.progress or self._options.progress
        if callback is None:
            return
        if self._reports is None:
            self._reports = CallbackQueue(callback, "progress")
        notice = reached
        if notice is None:
            notice = ProgressNotice(
                progress_token=self.name[:64], progress=self._heard + 1, message=message or None
            )
        if notice.progress <= self._heard or (reached is None and self._numbered):
            return
        self._heard = notice.progress
        self._numbered = reached is not None
        self._reports.put(notice, call=self._call, context=copy_context())
