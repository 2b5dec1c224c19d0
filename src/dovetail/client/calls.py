"""From a method and its parameters to a typed result: caching, rounds, and recoveries that cost the caller nothing.

One `trip` is one round trip with at most one recovery of each kind, each only where the server refused the request
before any work: a session that is gone is opened anew, a mismatch of headers leads to a fresh listing of tools, an
unsupported revision to one that the server named. Everything else goes to the caller as it is.
Specification: basic/patterns/mrtr, server/utilities/caching, basic/transports/streamable-http.
"""

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ..protocol import codec, names
from ..protocol.caching import Cache
from ..protocol.errors import (
    FeatureUnavailable,
    HeaderMismatch,
    InvalidParams,
    RemoteProtocolError,
    SessionEnded,
    UnsupportedVersion,
    URLElicitationRequired,
)
from ..protocol.listening import Change
from ..protocol.opening import common, supported_in
from ..protocol.revisions import PROFILES, Feature
from ..protocol.types import (
    CacheableResult,
    CallToolParams,
    ElicitParams,
    InputRequired,
    ListToolsParams,
    ListToolsResult,
    LogLevel,
    PageParams,
    PageResult,
    Params,
    RetryParams,
)
from . import eras
from .answers import ProgressHandler
from .catalogue import Catalogue
from .connection import Connection
from .link import Link, Wish, result_of
from .options import Options
from .rounds import asks, drive

R = TypeVar("R")
P = TypeVar("P", bound=PageResult)

MAX_PAGES: Final = 10_000
_SCOPE: Final = "own"
Seconds = float | None | UnsetType


class How(Struct, frozen=True, kw_only=True):
    """What a caller may say about one call. ``timeout``: seconds, None for none, UNSET for the client's."""

    timeout: Seconds = UNSET
    progress: ProgressHandler | None = None
    meta: Mapping[str, Any] | None = None


PLAIN: Final = How()


class Caller:
    """Makes calls over a connection."""

    def __init__(self, options: Options) -> None:
        self.connection: Connection = cast(
            "Connection", None
        )  # set by the client, which ties the two together
        self.catalogue = Catalogue()
        self.cache = Cache()
        self.log_level: LogLevel | None = options.log_level
        self._options = options
        self._epoch = 0

    def changed(self, change: Change) -> None:
        """Forget what a change made stale."""
        self._epoch += 1
        self.cache.invalidate(change)

    def renewed(self) -> None:
        """Forget everything: what answers now may be another server."""
        self._epoch += 1
        self.cache.clear()
        self.catalogue.clear()

    async def call(self, method: str, params: Params, kind: type[R], how: How = PLAIN) -> R | InputRequired:
        """The result of a method; `InputRequired` only where rounds are manual.

        Raises as the class's users document.
        """
        connection = self.connection
        link = connection.at_hand() or await connection.ready()
        profile = link.profile
        spec = profile.client_requests.get(method)
        cacheable = spec is not None and spec.cacheable and self._options.cache and how.meta is None
        scope = self._scope() if cacheable else ""
        if cacheable:
            kept = self.cache.get(method, params, scope, time.monotonic())
            if kept is not None:
                return cast("R", kept)
        epoch = self._epoch
        may_ask = (
            spec is not None
            and spec.rounds
            and isinstance(params, RetryParams)
            and profile.has(Feature.ROUNDS)
        )
        body = await self.trip(method, params, how, link)
        required: InputRequired | None = None
        if may_ask or link.profile.has(Feature.RESULT_TYPE):
            required = asks(body, may_ask=may_ask, method=method)
        if required is not None:
            if self._options.rounds == "manual":
                return required
            body = await self._rounds(required, link, method, cast("RetryParams", params), how)
        result = self._read(method, body, kind)
        if cacheable and required is None and epoch == self._epoch and isinstance(result, CacheableResult):
            kept_under = self._scope()
            if scope in (_SCOPE, kept_under):  # nobody else has logged in meanwhile
                self.cache.put(method, params, kept_under, result, time.monotonic())
        return result

    async def _rounds(
        self, required: InputRequired, link: Link, method: str, params: RetryParams, how: How
    ) -> Raw:
        async def trip(again: RetryParams) -> Raw:
            return await self.trip(method, again, how)

        return await drive(required, trip, method, params, lambda: link.profile, link.questions)

    def _scope(self) -> str:
        """What private results are kept under: another login finds none of them."""
        if callable(self._options.headers):  # they may name another caller each time
            return f"{_SCOPE}{secrets.token_hex(12)}"
        auth = self.connection.place.auth or self._options.auth
        name = getattr(auth, "cache_scope", None)
        return f"{_SCOPE}{name()}" if callable(name) else _SCOPE

    def _read(self, method: str, body: Raw, kind: type[R]) -> R:
        try:
            return codec.reader(kind).keep(body)
        except codec.DECODE_ERRORS as problem:
            raise RemoteProtocolError(f"the result of {method} is malformed: {problem}") from None

    async def trip(
        self, method: str, params: Params | dict[str, Any], how: How = PLAIN, at_hand: Link | None = None
    ) -> Raw:
        """One round trip with its recoveries; the result as bytes. ``at_hand``: the link, if it is known now."""
        connection = self.connection
        recovered: set[type] = set()
        while True:
            link = at_hand or connection.at_hand() or await connection.ready()
            at_hand = None
            generation = link.generation
            try:
                return result_of(await link.ask_reply(method, params, self._wish(link, params, how)))
            except SessionEnded as problem:
                self._once(problem, recovered)
                await self.connection.renew(link, generation, problem)
                if not problem.retry_safe:
                    raise  # the call had been accepted: what comes next has a session, but this may be done
            except HeaderMismatch as problem:
                self._once(problem, recovered)
                if not isinstance(params, CallToolParams):
                    raise
                await self._relist(params.name)
            except UnsupportedVersion as problem:
                self._once(problem, recovered)
                if not link.stateless:
                    raise
                await self._respeak(link, problem)
            except URLElicitationRequired as problem:
                self._once(problem, recovered)
                await self._visit(link, problem)

    def _once(self, problem: Exception, recovered: set[type]) -> None:
        if type(problem) in recovered:
            raise problem
        recovered.add(type(problem))

    def _wish(self, link: Link, params: Any, how: How) -> Wish:
        options = self._options
        timeout = options.timeout if how.timeout is UNSET else how.timeout
        maximum = options.max_timeout
        if how.timeout is not UNSET and maximum is not None:
            maximum = None if timeout is None else max(timeout, maximum)
        mirrored = isinstance(params, CallToolParams) and link.transport.http
        return Wish(
            timeout=timeout,
            maximum=maximum,
            progress=how.progress or options.progress,
            meta=None if how.meta is None else dict(how.meta),
            log_level=self.log_level if link.stateless else None,
            header_parameters=self.catalogue.headers(params.name) if mirrored else (),
        )

    # Recoveries

    async def _relist(self, tool: str) -> None:
        """The headers of a tool were wrong: what is known of it is stale."""
        self.cache.forget(names.TOOLS_LIST)
        async for page in self.pages(names.TOOLS_LIST, ListToolsParams(), ListToolsResult):
            if any(item.name == tool for item in self.take_tools(page).tools):
                return

    def take_tools(self, page: ListToolsResult) -> ListToolsResult:
        """Note a page of tools; gives it without those that can't be used here."""
        link = self.connection.link
        mirrored = link.transport.http and link.profile.has(Feature.REQUEST_HEADERS)
        usable = self.catalogue.take(page.tools, mirrored=mirrored)
        return page if len(usable) == len(page.tools) else msgspec.structs.replace(page, tools=usable)

    async def _respeak(self, link: Link, problem: UnsupportedVersion) -> None:
        """The server names the revisions that it speaks: take the newest we share, of the other era if need be."""
        theirs = supported_in(problem.data)
        eras.forget(self.connection.place.key())
        chosen = common(self._options.stateless, theirs)
        if chosen is not None and PROFILES[chosen] is not link.profile:
            link.exchange.speak(chosen)
        elif common(self._options.stateful, theirs) is not None:
            await self.connection.reopen(link, problem)
        else:
            raise problem

    async def _visit(self, link: Link, problem: URLElicitationRequired) -> None:
        """The person has to visit addresses first (2025-11-25): ask, wait until it is done.

        Raises ``problem`` on a no.
        """
        if self._options.approve is None:
            raise problem
        data: Any = problem.data
        try:
            listed = msgspec.convert(data["elicitations"], list[ElicitParams])
        except (msgspec.ValidationError, KeyError, TypeError):
            raise RemoteProtocolError("the server asks for visits and does not say which") from problem
        if not listed or len(listed) > 16 or any(item.mode != "url" for item in listed):
            raise problem
        ids = [item.elicitation_id for item in listed if item.elicitation_id]
        for id in ids:
            self.connection.expect_visit(id)
        try:
            for item in listed:
                answer: Any = await link.questions.answer(names.ELICITATION_CREATE, item)
                if answer.action != "accept":
                    raise problem
        except BaseException:
            await self.connection.visited(ids, 0)
            raise
        await self.connection.visited(ids, self._options.timeout)

    # Pages

    async def pages(
        self, method: str, params: PageParams, kind: type[P], how: How = PLAIN
    ) -> AsyncIterator[P]:
        """All pages of a list; none where the server has no such list.

        An empty cursor is a cursor; one that comes again ends in `RemoteProtocolError`.
        """
        seen: set[str] = set()
        while True:
            try:
                page = await self.page(method, params, kind, how)
            except FeatureUnavailable:
                return
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return
            if cursor in seen or len(seen) >= MAX_PAGES:
                raise RemoteProtocolError(f"the pages of {method} go round in circles")
            seen.add(cursor)
            params = msgspec.structs.replace(params, cursor=cursor)

    async def page(self, method: str, params: PageParams, kind: type[P], how: How = PLAIN) -> P:
        """One page of a list."""
        try:
            result = await self.call(method, params, kind, how)
        except InvalidParams:
            if params.cursor is not None:
                self.cache.forget(method)
            raise
        return cast("P", result)  # a list never asks for input: `asks` refuses it
