"""From a method and its parameters to a typed result: caching, rounds, and recoveries that cost the caller nothing.

One `trip` is one round trip with at most one recovery of each kind, each only where the server refused the request
before any work: a session that is gone is opened anew, a mismatch of headers leads to a fresh listing of tools, an
unsupported revision to one that the server named. Everything else goes to the caller as it is.

What an extension of the client's makes of a call, or of its result, is in `resolving`.
Specification: basic/index "ResultType", basic/patterns/mrtr, server/utilities/caching,
basic/transports/streamable-http.
"""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from functools import partial
from typing import Any, Final, TypedDict, TypeVar, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ..protocol import names
from ..protocol.caching import Cache
from ..protocol.errors import (
    DovetailError,
    FeatureUnavailable,
    HeaderMismatch,
    InvalidParams,
    RemoteProtocolError,
    SessionEnded,
    TransportError,
    UnsupportedVersion,
    URLElicitationRequired,
)
from ..protocol.listening import Change
from ..protocol.opening import common, supported_in
from ..protocol.revisions import PROFILES, Feature
from ..protocol.types import (
    CacheableResult,
    CallToolParams,
    CallToolResult,
    ClientCapabilities,
    ElicitParams,
    InputRequired,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsParams,
    ListToolsResult,
    LogLevel,
    PageParams,
    PageResult,
    Params,
    RequestId,
    RetryParams,
)
from . import eras
from .answers import CallInfo, ProgressHandler
from .arguments import as_plain
from .catalogue import Catalogue
from .connection import ClientConnection
from .link import Link, RequestSettings, name_of, result_of
from .options import Options, check_names, check_seconds
from .own_meta import own_meta
from .resolving import ResultResolver
from .results import OutputInvalid, ToolResult
from .round_visits import RoundVisits
from .rounds import asks, check_result_type, drive, is_added, plainly_complete, says_nothing_else
from .server_warnings import ServerWarning

R = TypeVar("R")
P = TypeVar("P", bound=PageResult)

MAX_PAGES: Final = 10_000
_SCOPE: Final = "own"
#: Of an enum a member is looked up in Python, before Python 3.12.
_ROUNDS: Final = Feature.ROUNDS
_RESULT_TYPE: Final = Feature.RESULT_TYPE
_RECOVERABLE: Final = (SessionEnded, HeaderMismatch, UnsupportedVersion, URLElicitationRequired)
Seconds = float | None | UnsetType


class CallOptions(TypedDict, total=False):
    """What a caller may say about one call; all of it is optional.

    ``timeout``: seconds without an answer or progress until it ends (None: no limit; default: the client's). ``meta``:
    members for the ``_meta`` of the request, under keys of the caller's own: `LocalProtocolError` for those of the
    protocol. ``progress``: who hears of its progress. ``fresh``: ask the server, even if a result is kept that may
    still be used. For a method that makes several requests they hold for each.
    """

    timeout: Seconds
    meta: Mapping[str, Any] | None
    progress: ProgressHandler | None
    fresh: bool


class CallSettings(Struct, frozen=True, kw_only=True):
    """`CallOptions`, settled: ``timeout`` is UNSET for the client's."""

    timeout: Seconds = UNSET
    progress: ProgressHandler | None = None
    meta: Mapping[str, Any] | None = None
    fresh: bool = False


class ForwardSettings(CallSettings, frozen=True, kw_only=True):
    """Of a request that is passed on. ``log_level``: least severe log messages wanted, ``capabilities``: what is
    announced, both for this request (stateless era). What its error demands of a person is for who made the request
    first, so nothing is recovered from that.
    """

    log_level: LogLevel | None = None
    capabilities: ClientCapabilities | None = None


PLAIN: Final = CallSettings()
#: Methods that run an author's code, which takes the time it takes.
_CALLS: Final = frozenset(
    name
    for profile in PROFILES.values()
    for name, method in profile.client_requests.items()
    if issubclass(method.params, RetryParams)
)
#: Methods whose results may be kept.
_CACHEABLE: Final = frozenset(
    name
    for profile in PROFILES.values()
    for name, method in profile.client_requests.items()
    if method.cacheable
)
_OWN: Final = frozenset(name for profile in PROFILES.values() for name in profile.client_requests)


#: The members of pages that hold what is listed, and what each thing is told from the others by.
_LISTS: Final[dict[type[PageResult], tuple[str, str]]] = {
    ListToolsResult: ("tools", "name"),
    ListPromptsResult: ("prompts", "name"),
    ListResourcesResult: ("resources", "uri"),
    ListResourceTemplatesResult: ("resource_templates", "uri_template"),
}


def _listed(page: PageResult) -> list[str]:
    """What the things on a page are called."""
    member, key = _LISTS.get(type(page), ("", ""))
    return [getattr(each, key) for each in getattr(page, member, ())]


def _without(page: P, given: Collection[str]) -> P:
    """A page without what was given already."""
    member, key = _LISTS.get(type(page), ("", ""))
    if not member:
        return page
    left = [each for each in getattr(page, member) if getattr(each, key) not in given]
    return msgspec.structs.replace(page, **{member: left})


def how_of(options: CallOptions) -> CallSettings:
    """The options of one call. Raises `LocalProtocolError` for one that there is not."""
    try:
        how = CallSettings(**options)
    except TypeError:
        check_names("a call", options, CallOptions.__annotations__)
        raise
    if how.timeout is not UNSET:
        check_seconds("timeout", how.timeout)  # here, as what is kept may be given without a call
    return how


class Caller:
    """Makes calls over a connection."""

    def __init__(self, options: Options) -> None:
        self.connection: ClientConnection = cast(
            "ClientConnection", None
        )  # set by the client, which ties the two together
        self.catalogue = Catalogue(self.warn)
        self.cache = Cache()
        self.log_level: LogLevel | None = options.log_level
        self._options = options
        self._epoch = 0
        self._reused = 0  # results that were kept, and given again

    def warn(self, warning: ServerWarning) -> None:
        """The server got something wrong that was put up with."""
        self.connection.notifications.warned(warning)

    def changed(self, change: Change) -> None:
        """Forget what a change made stale."""
        self._epoch += 1
        self.cache.invalidate(change)
        if (results := self._stored_results) is not None:
            results.invalidate(PROFILES.stale_after(change.kind))

    def renewed(self) -> None:
        """Forget everything that may be no more: what answers now may be another server."""
        self._epoch += 1
        self.cache.clear()
        self.catalogue.age()
        if (results := self._stored_results) is not None:
            results.invalidate(_CACHEABLE)

    @property
    def _stored_results(self) -> Any:
        stored = self.connection.stored
        return None if stored is None else stored.results

    def _forget(self, method: str) -> None:
        """Kept results of a method turned out to be stale."""
        self.cache.forget(method)
        if (results := self._stored_results) is not None:
            results.invalidate((method,))

    async def call(
        self, method: str, params: Params, kind: type[R], how: CallSettings = PLAIN
    ) -> R | InputRequired:
        """The result of a method; `InputRequired` only where rounds are manual.

        Raises as the class's users document.
        """
        connection = self.connection
        link = connection.at_hand() or await self._ready(method)
        profile = link.profile
        spec = profile.client_requests.get(method)
        cacheable = spec is not None and spec.cacheable and self._options.cache and how.meta is None
        scope = self._scope() if cacheable else ""
        if cacheable and not how.fresh:
            kept = self.cache.get(method, params, scope, time.monotonic())
            if kept is not None:
                self._reused += 1
                return cast("R", kept)
        results, place = self._stored_results if cacheable else None, None
        if results is not None and (place := await results.place(method, params, link)) and not how.fresh:
            kept = await results.get(place, scope, partial(link.read, method, kind=kind))
            if kept is not None:
                self._reused += 1
                return kept
        epoch = self._epoch
        may_ask = (
            spec is not None and spec.rounds and isinstance(params, RetryParams) and profile.has(_ROUNDS)
        )
        further: ResultResolver | None = None
        if method in self._options.additions.extended:
            further = self._resolver(method, params, how)
            body = await further.call(params, link)
        else:
            body = await self.trip(method, params, how, link)
        required: InputRequired | None = None
        try:
            typed = may_ask or link.profile.has(_RESULT_TYPE)
            result = plainly_complete(body, kind, typed=typed)
            if result is None:
                if typed:
                    required = asks(body, may_ask=may_ask, method=method)
                if required is not None:
                    if self._options.rounds == "manual":
                        return required
                    body = await self._rounds(
                        required, link, method, cast("RetryParams", params), how, further
                    )
                result = link.read(method, body, kind)
        except DovetailError as problem:
            problem.of_call(method, link.server)
            raise
        if cacheable and required is None and epoch == self._epoch and isinstance(result, CacheableResult):
            kept_under = self._scope()
            if scope in (_SCOPE, kept_under):  # nobody else has logged in meanwhile
                self.cache.put(method, params, kept_under, result, time.monotonic(), size=len(body))
                if results is not None and place is not None:
                    await results.put(place, kept_under, result, body)
        return result

    async def _rounds(
        self,
        required: InputRequired,
        link: Link,
        method: str,
        params: RetryParams,
        how: CallSettings,
        further: ResultResolver | None = None,
    ) -> Raw:
        async def trip(again: RetryParams) -> Raw:
            body = await self.trip(method, again, how)
            return body if further is None else await further.final(body)

        call = self._info(method, params, how)
        with RoundVisits(self.connection.notifications.visits) as visits:
            return await drive(
                required, trip, method, params, lambda: link.profile, link.questions, visits, call
            )

    def _resolver(self, method: str, params: Params, how: CallSettings) -> ResultResolver:
        return ResultResolver(self, self._info(method, params, how), how, self._options)

    async def asked(
        self, method: str, params: Mapping[str, Any], into: type[R], progress: ProgressHandler | None = None
    ) -> R:
        """Send any request, and read its result. Raises `RemoteProtocolError` for one that does not fit."""
        how = PLAIN if progress is None else CallSettings(progress=progress)
        body = await self.trip(method, as_plain("the parameters", params), how)
        return self.link().read(method, body, into)

    def link(self) -> Link:
        """The link as it is."""
        return self.connection.link

    async def _ready(self, method: str) -> Link:
        """The open link, after any renewal in progress. Raises as `ClientConnection.ready` does."""
        try:
            return await self.connection.ready()
        except TransportError as problem:
            problem.of_call(method, self.connection.server)
            raise

    def _info(self, method: str, params: Any, how: CallSettings) -> CallInfo:
        name = name_of(self.connection.link.profile, method, params)
        return CallInfo(method=method, name=name or "", meta=how.meta)

    def without_null(self, tool: str, result: CallToolResult) -> CallToolResult:
        """A result whose structured content is null. Where only an object may be one, there is none, with a warning."""
        link = self.connection.link
        if link.profile.has(Feature.ANY_STRUCTURED_CONTENT):
            return result
        text = f"the result of {tool[:64]!r} has null for structured content, which was taken for none"
        link.warn("structured_content", text, names.TOOLS_CALL, tool)
        return msgspec.structs.replace(result, structured_content=UNSET)

    def _scope(self) -> str:
        """What private results are kept under: another login finds none of them."""
        if callable(self._options.headers):  # they may name another caller each time
            return f"{_SCOPE}{secrets.token_hex(12)}"
        auth = self.connection.target.auth or self._options.auth
        name = getattr(auth, "cache_scope", None)
        return f"{_SCOPE}{name()}" if callable(name) else _SCOPE

    async def trip(
        self,
        method: str,
        params: Params | dict[str, Any],
        how: CallSettings = PLAIN,
        at_hand: Link | None = None,
        started: Callable[[RequestId], None] | None = None,
    ) -> Raw:
        """One round trip with its recoveries; the result as bytes. ``at_hand``: the link, if it is known now;
        ``started``: told the id of each request that is sent.

        Its errors know the method and the server.
        """
        connection = self.connection
        recovered: set[type] = set()
        while True:
            link = at_hand or connection.at_hand() or await self._ready(method)
            at_hand = None
            generation = link.generation
            settings = self._settings(link, method, params, how)
            if started is not None:
                settings = msgspec.structs.replace(settings, started=started)
            try:
                return result_of(await link.ask_reply(method, params, settings))
            except DovetailError as problem:
                problem.of_call(method, link.server)
                if not isinstance(problem, _RECOVERABLE) or type(problem) in recovered:
                    raise
                recovered.add(type(problem))
                await self._recover(problem, link, generation, method, params, how)

    async def typed(
        self,
        method: str,
        params: dict[str, Any],
        how: CallSettings,
        *,
        complete: bool = False,
        known_only: bool = True,
    ) -> Raw:
        """`trip`, and the type of the result held against those there are (``complete``: against that one alone).

        Raises `RemoteProtocolError` for another, where ``known_only``.
        """
        body = await self.trip(method, params, how)
        link = self.connection.link
        if link.profile.has(Feature.RESULT_TYPE):
            try:
                kind = check_result_type(body, method, complete=complete, known_only=known_only)
                if self._options.additions.is_misplaced(method, kind):
                    raise RemoteProtocolError(f"{method} must not give a result of the type {kind[:64]!r}")
            except RemoteProtocolError as problem:
                problem.of_call(method, link.server)
                raise
        return body

    def _settings(self, link: Link, method: str, params: Any, how: CallSettings) -> RequestSettings:
        options = self._options
        timeout, maximum = options.timeout, options.max_timeout
        if how.timeout is None:
            timeout = maximum = None
        elif how.timeout is not UNSET:
            timeout, maximum = self.limits(how)
        mirrored = isinstance(params, CallToolParams) and link.transport.http
        forwarded = how if isinstance(how, ForwardSettings) else None
        log_level = self.log_level if forwarded is None else forwarded.log_level
        return RequestSettings(
            call=method in _CALLS or method not in _OWN,
            timeout=timeout,
            maximum=maximum,
            progress=how.progress or options.progress,
            meta=None if how.meta is None else own_meta(how.meta, options.additions.declared),
            log_level=log_level if link.stateless else None,
            capabilities=None if forwarded is None else forwarded.capabilities,
            header_parameters=self.catalogue.headers(params.name) if mirrored else (),
        )

    async def forward(
        self, method: str, params: Params | Mapping[str, Any], how: CallSettings
    ) -> Raw | InputRequired:
        """The result of a request that is passed on, as it came. Raises as `trip` does, and `RemoteProtocolError` for a
        result of an unknown type.
        """
        body = await self.trip(method, params if isinstance(params, Params) else dict(params), how)
        if says_nothing_else(body):
            return body
        link = self.connection.link
        if not link.profile.has(_RESULT_TYPE):
            return body
        try:
            capabilities = how.capabilities if isinstance(how, ForwardSettings) else None
            if capabilities is not None and capabilities.extensions and is_added(body, method):
                return body
            return asks(body, may_ask=method in _CALLS, method=method) or body
        except RemoteProtocolError as problem:
            problem.of_call(method, link.server)
            raise

    def limits(self, how: CallSettings) -> tuple[float | None, float | None]:
        """Seconds without an answer or progress, and in all. Raises `LocalProtocolError` for what is no time."""
        options = self._options
        if how.timeout is UNSET:
            return options.timeout, options.max_timeout
        check_seconds("timeout", how.timeout)
        if how.timeout is None or options.max_timeout is None:
            return how.timeout, None
        return how.timeout, max(how.timeout, options.max_timeout)

    def steering(self, how: CallSettings) -> RequestSettings:
        """How a subscription is asked for, or ended."""
        timeout, maximum = self.limits(how)
        meta = own_meta(how.meta, self._options.additions.declared)
        return RequestSettings(timeout=timeout, maximum=maximum, meta=meta)

    # Recoveries

    async def _recover(
        self, problem: DovetailError, link: Link, generation: int, method: str, params: Any, how: CallSettings
    ) -> None:
        """Mend what a call failed by, so that it can be made again. Raises ``problem`` where that can't be."""
        if isinstance(problem, SessionEnded):
            await self.connection.renew(link, generation, problem)
            if not problem.retry_safe:
                raise problem  # the call had been accepted: what comes next has a session, but this may be done
        elif isinstance(problem, HeaderMismatch):
            if not isinstance(params, CallToolParams):
                raise problem
            await self._relist(params.name)
        elif isinstance(problem, UnsupportedVersion):
            if not link.stateless:
                raise problem
            await self._respeak(link, problem)
        elif isinstance(problem, URLElicitationRequired):
            if isinstance(how, ForwardSettings):
                raise problem
            await self._visit(link, problem, self._info(method, params, how))

    async def _relist(self, tool: str) -> None:
        """The headers of a tool were wrong: what is known of it is stale."""
        self._forget(names.TOOLS_LIST)
        async for page in self.pages(names.TOOLS_LIST, ListToolsParams(), ListToolsResult):
            if any(item.name == tool for item in page.tools):
                return

    def check(self, result: ToolResult, version: str | None) -> bool:
        """Hold the output of a tool against its schema; see `Catalogue.check`. False where it breaks one of a listing
        from before the server was opened anew: `check_again` then says more. Raises `OutputInvalid`.
        """
        try:
            self.catalogue.check(result, version)
        except OutputInvalid:
            if not self.catalogue.is_aged(result.tool):
                raise
            return False
        return True

    async def check_again(self, result: ToolResult, version: str | None) -> None:
        """As `check`, by a new listing. Raises what listing raises, too."""
        await self._relist(result.tool)
        self.catalogue.forget_aged(result.tool)
        self.catalogue.check(result, version)

    def _note(self, page: P) -> P:
        """Note what a page lists."""
        if isinstance(page, ListToolsResult):
            return cast("P", self._note_tools(page))
        if isinstance(page, ListPromptsResult):
            self.catalogue.note_prompts(page.prompts)
        elif isinstance(page, ListResourcesResult):
            self.catalogue.note_resources(page.resources)
        elif isinstance(page, ListResourceTemplatesResult):
            self.catalogue.note_resources(page.resource_templates)
        return page

    def _note_tools(self, page: ListToolsResult) -> ListToolsResult:
        """Note a page of tools; gives it without those that can't be used here."""
        link = self.connection.link
        mirrored = link.transport.http and link.profile.has(Feature.REQUEST_HEADERS)
        usable = self.catalogue.take(page.tools, mirrored=mirrored)
        return page if len(usable) == len(page.tools) else msgspec.structs.replace(page, tools=usable)

    async def _respeak(self, link: Link, problem: UnsupportedVersion) -> None:
        """The server names the revisions that it speaks: take the newest we share, of the other era if need be."""
        theirs = supported_in(problem.data)
        eras.forget(self.connection.target.key())
        chosen = common(self._options.stateless, theirs)
        if chosen is not None and self._options.additions.profiles[chosen] is not link.profile:
            link.exchange.speak(chosen)
        elif common(self._options.stateful, theirs) is not None:
            await self.connection.reopen(link, problem)
        else:
            raise problem

    async def _visit(self, link: Link, problem: URLElicitationRequired, call: CallInfo) -> None:
        """The person has to visit addresses first (2025-11-25): ask, wait until it is done; see `visits`.

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
        visits = self.connection.notifications.visits
        visits.expect(ids)
        try:
            for item in listed:
                consent = await link.questions.visit(item, call)
                if not consent:
                    raise problem
                if consent == "done" and item.elicitation_id:
                    visits.done(item.elicitation_id)
            await visits.over(ids)
        finally:
            visits.forget(ids)

    # Pages

    async def pages(
        self, method: str, params: PageParams, kind: type[P], how: CallSettings = PLAIN
    ) -> AsyncIterator[P]:
        """All pages of a list; none where the server has no such list.

        An empty cursor is a cursor, so it is followed. Some servers mean the end of the list by it: where they refuse
        it, or give the same page or the same cursor for it, that was the end. Any other cursor that comes again ends
        in `RemoteProtocolError`. Where a cursor of a page that was kept is refused, all is asked for once more, and
        what was given already is left out.
        """
        seen: set[str] = set()
        before: P | None = None
        given: set[str] = set()
        reused, again = self._reused, False
        while True:
            try:
                page = await self.page(method, params, kind, how)
            except FeatureUnavailable:
                return
            except InvalidParams:
                if params.cursor is not None and self._reused > reused and not again:
                    again, before = True, None
                    seen.clear()
                    params = msgspec.structs.replace(params, cursor=None)
                    how = msgspec.structs.replace(how, fresh=True)
                    continue
                if params.cursor != "":
                    raise
                self._warn_of_cursor(method, "refused it")
                return
            if params.cursor == "" and page == before:
                self._warn_of_cursor(method, "gave the same page again")
                return
            yield _without(page, given) if again else page
            given.update(_listed(page))
            before, cursor = page, page.next_cursor
            if cursor is None:
                return
            if cursor == "" and cursor in seen:
                self._warn_of_cursor(method, "gave it again")
                return
            if cursor in seen or len(seen) >= MAX_PAGES:
                problem = RemoteProtocolError("the pages of the list go round in circles")
                problem.of_call(method, self.connection.link.server)
                raise problem
            seen.add(cursor)
            params = msgspec.structs.replace(params, cursor=cursor)

    async def page(self, method: str, params: PageParams, kind: type[P], how: CallSettings = PLAIN) -> P:
        """One page of a list."""
        try:
            result = await self.call(method, params, kind, how)
        except InvalidParams:
            if params.cursor is not None:
                self._forget(method)
            raise
        return self._note(cast("P", result))  # a list never asks for input: `asks` refuses it

    def _warn_of_cursor(self, method: str, did: str) -> None:
        text = (
            f'the server named "" as the cursor of the next page of {method} and then {did}; that was the end'
        )
        self.connection.link.warn("cursor", text, method)
