"""An app's own entries and all that is mounted on it, as one: lists, look-ups, changes.

Theory of operation. The app's own entries come first, then the providers in the order in which they were mounted; of
several things with one name the first is the one that is listed and used. A call of an own entry never comes here: it
is found before. A list goes through the providers one after the other; its cursor says in which of them it goes on,
and with which cursor of theirs. A page is kept, encoded, as long as all providers say that what its caller sees is the
same; where one can't say, the list is made each time.

A provider that fails costs its own part of a list, which is logged; what remains is not to be kept by clients. A call
that finds nothing elsewhere gets its error.

Specification: server/utilities/pagination, server/utilities/caching.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from ...logs import get_logger
from ...protocol import codec
from ...protocol.bindings.headers import check_parameters
from ...protocol.call import Call
from ...protocol.errors import DovetailError, InternalError, InvalidParams, ResourceNotFound, RPCError
from ...protocol.header_parameters import HeaderParameter, header_parameters
from ...protocol.listening import Change
from ...protocol.messages import CachedResult
from ...protocol.paging import InvalidCursor, decode_part_cursor, encode_part_cursor
from ...protocol.revisions import Feature
from ...protocol.types import (
    CompleteResult,
    Completion,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PageParams,
    PromptReference,
    Result,
)
from ...runtime.channel import Channel
from ...runtime.dispatch import Encoded
from ...runtime.extension import Extensions, ServedTool
from ...security.principal import Principal
from ..catalog import ListKind
from ..entries import hinted
from .provider import Provided, ProvidedPage, Provider
from .transform import asking

log = get_logger("dovetail.server")

_MAX_KEPT: Final = 16 * 1024 * 1024
_OF_CHANGE: Final[dict[str, tuple[ListKind, ...]]] = {
    "tools": ("tools",),
    "prompts": ("prompts",),
    "resources": ("resources", "templates"),
}
_BUILD: Final[dict[ListKind, Callable[[list[Any], str | None], Any]]] = {
    "tools": lambda found, cursor: ListToolsResult(tools=found, next_cursor=cursor),
    "resources": lambda found, cursor: ListResourcesResult(resources=found, next_cursor=cursor),
    "templates": lambda found, cursor: ListResourceTemplatesResult(
        resource_templates=found, next_cursor=cursor
    ),
    "prompts": lambda found, cursor: ListPromptsResult(prompts=found, next_cursor=cursor),
}
_LIST: Final[dict[ListKind, Callable[[Provider], Callable[..., Awaitable[ProvidedPage[Any]]]]]] = {
    "tools": lambda source: source.list_tools,
    "resources": lambda source: source.list_resources,
    "templates": lambda source: source.list_templates,
    "prompts": lambda source: source.list_prompts,
}
_FIND: Final[dict[ListKind, Callable[[Provider], Callable[..., Awaitable[Any]]]]] = {
    "tools": lambda source: source.find_tool,
    "resources": lambda source: source.find_resource,
    "templates": lambda source: source.find_template,
    "prompts": lambda source: source.find_prompt,
}


class Composition:
    """``own``: what the app called ``name`` has itself. ``page_size``: entries of one page, at least where there are so
    many; ``ttl_ms``: for clients that cache. ``publish`` tells of changes. ``lives``: all of it is being served.
    """

    def __init__(
        self,
        own: Provider,
        *,
        name: str,
        page_size: int,
        ttl_ms: int,
        extensions: Extensions,
        publish: Callable[[Change], None],
    ) -> None:
        self._own = own
        self._mounted: list[Provider] = []
        self._name = name.encode("utf-8", "surrogatepass")
        self._page_size = page_size
        self._ttl_ms = ttl_ms
        self._extensions = extensions
        self._publish = publish
        self._changes: dict[tuple[int, str], int] = {}
        self._pages: OrderedDict[Hashable, CachedResult] = OrderedDict()
        self._kept = 0
        self.lives = False

    def mount(self, provider: Provider) -> None:
        """Add a provider, after all that are there."""
        self._mounted.append(provider)
        offers = provider.offers
        for kind in _OF_CHANGE:
            if kind in offers:
                self._publish(Change(kind))

    # What there is

    def offers(self, what: str) -> bool:
        """Whether any provider may have such a thing."""
        return any(what in source.offers for source in self._mounted)

    @property
    def instructions(self) -> str | None:
        """What the providers say of their use."""
        return "\n\n".join(said for source in self._mounted if (said := source.instructions)) or None

    async def watch(self, uris: Sequence[str]) -> None:
        """Somebody listens to these resources."""
        for uri in uris:
            await self._each_watch(uri, lambda source, uri=uri: source.watch(uri))

    async def unwatch(self, uris: Sequence[str]) -> None:
        """One listener less for each."""
        for uri in uris:
            await self._each_watch(uri, lambda source, uri=uri: source.unwatch(uri))

    async def _each_watch(self, uri: str, tell: Callable[[Provider], Awaitable[None]]) -> None:
        for source in self._mounted:
            if source.may_have("resources", uri):
                try:
                    await tell(source)
                except Exception as problem:  # noqa: BLE001 - told in the log: a listener hears of the others all the same
                    _tell(source, f"changes of {uri[:256]!r} may not be told", problem)

    @property
    def single_use(self) -> bool:
        """Whether the state of calls of anything mounted counts once."""
        return any(source.single_use for source in self._mounted)

    @property
    def guarded(self) -> bool:
        """Whether anything mounted requires that callers are known."""
        return any(source.guarded for source in self._mounted)

    def knows(self, kind: ListKind, name: str) -> bool:
        """Whether a thing of that name is known to be mounted."""
        return any(source.knows(kind, name) for source in self._mounted)

    def is_hidden(self, kind: ListKind, name: str, principal: Principal) -> bool:
        """Whether a caller, who is judged, can't see a thing that is known to be mounted."""
        for source in self._mounted:
            if source.knows(kind, name):
                known = source.known(kind, principal)
                return known is not None and all(each.name != name for each in known)
        return False

    def served_tools(self) -> Sequence[ServedTool]:
        """Mounted tools that may run as tasks."""
        found: dict[str, ServedTool] = {}
        for source in self._mounted:
            for each in source.known("tools", None) or ():
                if each.task is not None:
                    found.setdefault(each.name, _served(each))
        return list(found.values())

    def fingerprint(self, kind: str, principal: Principal) -> Hashable:
        """What changes when what a caller, who is judged, can see of a list does, or may have."""
        return tuple(
            self._changes.get((place, kind), 0)
            if (found := source.fingerprint(each, principal)) is None
            else found
            for place, source in enumerate(self._mounted)
            for each in _OF_CHANGE[kind]
        )

    def hides(self, kind: str, principal: Principal) -> bool:
        """Whether there is anything mounted that a caller, who is judged, can't see."""
        return any(
            (seen := source.known(each, principal)) is not None
            and len(seen) < len(source.known(each, None) or ())
            for source in self._mounted
            for each in _OF_CHANGE[kind]
        )

    def hears(self, uri: str, principal: Principal) -> bool:
        """Whether a caller, who is judged, may hear of a resource."""
        return all(
            source.hears(uri, principal) for source in self._mounted if source.may_have("resources", uri)
        )

    # Lists

    async def page(self, kind: ListKind, call: Call, channel: Channel) -> CachedResult:
        """A page of a list, encoded. Raises `InvalidCursor`."""
        params = call.params
        cursor = params.cursor if isinstance(params, PageParams) else None
        principal = asking(channel)
        owner = b"" if principal is None or principal.is_anonymous else principal.key.encode()
        sources = [self._own, *self._mounted]
        prints = tuple(source.fingerprint(kind, principal) for source in sources)
        key = None if None in prints else (kind, call.profile.revision, cursor, owner, prints)
        if key is not None and (kept := self._pages.get(key)) is not None:
            return kept
        binding = b"%b\0%b\0%b" % (self._name, call.method.encode(), owner)
        place, inner = 0, None
        if cursor is not None:
            place, inner = decode_part_cursor(cursor, binding)
            if place >= len(sources):
                raise InvalidCursor
        found, following, whole = await self._gather(kind, call, channel, place, inner or None)
        result = _BUILD[kind](found, following and encode_part_cursor(*following, binding))
        if call.profile.has(Feature.CACHE_HINTS):
            public = key is not None and not owner and not self._own.guarded and not self.guarded
            result = hinted(result, self._ttl_ms if whole else 0, "public" if public else "private")
        body = CachedResult(call.profile.encode(result))
        if key is not None and whole:
            self._keep(key, body)
        return body

    async def _gather(
        self, kind: ListKind, call: Call, channel: Channel, place: int, cursor: str | None
    ) -> tuple[list[Any], tuple[int, str] | None, bool]:
        """What is listed from a place on, where it goes on, and whether nothing is missing."""
        sources = [self._own, *self._mounted]
        found: list[Any] = []
        whole = True
        while place < len(sources) and len(found) < self._page_size:
            following: str | None = None
            try:
                page = await _LIST[kind](sources[place])(call, channel, cursor)
            except InvalidParams:
                raise
            except Exception as problem:  # noqa: BLE001 - told in the log; the other providers are listed all the same
                whole = False
                _tell(sources[place], f"its {kind} are not listed", problem)
            else:
                following = None if page.next == cursor else page.next
                found += [
                    each.described
                    for each in page.items
                    if not await self._is_shadowed(kind, each.name, place, call, channel)
                ]
            place, cursor = (place, following) if following is not None else (place + 1, None)
        return found, (place, cursor or "") if place < len(sources) else None, whole

    async def _is_shadowed(self, kind: ListKind, name: str, place: int, call: Call, channel: Channel) -> bool:
        """Whether a thing of that name comes before those of a provider."""
        for source in [self._own, *self._mounted][:place]:
            if source.may_have(kind, name):
                try:
                    there: Provided[Any] | None = await _FIND[kind](source)(call, channel, name)
                except Exception:  # noqa: BLE001, S112 - it was told when that provider was listed
                    continue
                if there is not None and there.name == name:
                    return True
        return False

    def _keep(self, key: Hashable, body: CachedResult) -> None:
        size = 2 * len(body)
        if size > _MAX_KEPT // 4:
            return
        self._pages[key] = body
        self._kept += size
        while self._kept > _MAX_KEPT:
            _, gone = self._pages.popitem(last=False)
            self._kept -= 2 * len(gone)

    # Using

    async def call_tool(self, call: Call, channel: Channel) -> Result | Encoded:
        """Call a mounted tool. Raises `InvalidParams` for one that there is not."""
        params: Any = call.params
        found = await self._find("tools", params.name, call, channel)
        if found is None:
            raise InvalidParams(f"there is no tool {params.name[:128]!r}")
        self._check_headers(found, call, channel)
        answer = found.answer
        if self._extensions.run_tasks:
            answer = self._extensions.around_tool(_served(found), answer)
        return await answer(call, channel)

    def _check_headers(self, found: Provided[Any], call: Call, channel: Channel) -> None:
        """Raise `HeaderMismatch` where a header contradicts an argument that it repeats: for tools that are not known
        before they are looked for; of others the endpoint has seen it (`header_parameters`).
        """
        if channel.transport != "http" or not call.profile.stateless or self.knows("tools", found.name):
            return
        parameters = header_parameters(found.described.input_schema)
        if parameters:
            params: Any = call.params
            given = codec.tree(codec.decode(params.arguments)) if params.arguments else None
            headers = {name: value.encode("latin-1", "replace") for name, value in channel.headers.items()}
            check_parameters(headers, given, parameters)

    def header_parameters(self, name: str, principal: Principal | None) -> tuple[HeaderParameter, ...]:
        """The arguments that headers repeat in a call of a tool known without waiting, if the caller sees it."""
        for source in self._mounted:
            if source.knows("tools", name):
                for each in source.known("tools", principal) or ():
                    if each.name == name:
                        return header_parameters(each.described.input_schema)
        return ()

    async def read(self, call: Call, channel: Channel, uri: str) -> Result | Encoded:
        """Read a mounted resource. Raises `ResourceNotFound`."""
        found = await self.find_resource(call, channel, uri)
        return await found.answer(call, channel)

    async def find_resource(self, call: Call, channel: Channel, uri: str) -> Provided[Any]:
        """The mounted resource or template that reads a URI. Raises `ResourceNotFound`."""
        found = await self._find("resources", uri, call, channel)
        if found is None:
            raise ResourceNotFound(f"there is no resource {uri[:256]!r}", uri=uri[:2048])
        return found

    async def get_prompt(self, call: Call, channel: Channel) -> Result | Encoded:
        """Get a mounted prompt. Raises `InvalidParams` for one that there is not."""
        params: Any = call.params
        found = await self._find("prompts", params.name, call, channel)
        if found is None:
            raise InvalidParams(f"there is no prompt {params.name[:128]!r}")
        return await found.answer(call, channel)

    async def complete(self, call: Call, channel: Channel) -> Result | Encoded:
        """Suggest values for an argument of something mounted. Raises `InvalidParams` for what there is not."""
        params: Any = call.params
        ref = params.ref
        if isinstance(ref, PromptReference):
            found = await self._find("prompts", ref.name, call, channel)
            missing = f"there is no prompt {ref.name[:128]!r}"
        else:
            found = await self._find("templates", ref.uri, call, channel)
            found = found or await self._find("resources", ref.uri, call, channel)
            missing = f"there is no resource or template {ref.uri[:128]!r}"
        if found is None:
            raise InvalidParams(missing)
        if found.complete is None:
            return CompleteResult(completion=Completion(values=[]))
        return await found.complete(call, channel)

    async def _find(self, kind: ListKind, name: str, call: Call, channel: Channel) -> Provided[Any] | None:
        """The first thing of that name. Raises what the provider raised that failed, if no other has one."""
        failure: Exception | None = None
        for source in self._mounted:
            if not source.may_have(kind, name):
                continue
            try:
                found: Provided[Any] | None = await _FIND[kind](source)(call, channel, name)
            except RPCError as problem:
                failure = failure or problem
            except Exception as problem:  # noqa: BLE001 - told in the log, and to who asks if nobody else has it
                _tell(source, f"it can't say whether it has {name[:128]!r}", problem)
                said = str(problem) if isinstance(problem, DovetailError) else "it failed"
                failure = failure or InternalError(f"{source.label}: {said}")
            else:
                if found is not None:
                    return found
        if failure is not None:
            raise failure
        return None

    # Their lives

    @asynccontextmanager
    async def living(self) -> AsyncGenerator[None]:
        """Around the life of the app: the lives of all that is mounted, in order."""
        async with AsyncExitStack() as stack:
            for place, source in enumerate(self._mounted):
                await stack.enter_async_context(source.life(self._publishing(place)))
            self.lives = True
            try:
                yield
            finally:
                self.lives = False

    def _publishing(self, place: int) -> Callable[[Change], None]:
        def publish(change: Change) -> None:
            self._changes[place, change.kind] = self._changes.get((place, change.kind), 0) + 1
            self._publish(change)

        return publish


def _served(found: Provided[Any]) -> ServedTool:
    return ServedTool(tool=found.described, task=found.task, asks_first=found.asks_first)


def _tell(source: Provider, what: str, problem: BaseException) -> None:
    """Log that a provider failed: in one line what it foresaw, with a traceback what nobody did."""
    log.warning(
        "%s: %s: %s",
        source.label,
        what,
        problem,
        exc_info=None if isinstance(problem, DovetailError) else problem,
    )


__all__ = ["Composition"]
