"""What is mounted on an app, and the app's own entries with it, as the app's methods need them.

Theory of operation. The app's own entries come first, then the providers in the order in which they were mounted. A
call of an own entry never comes here: it is found before. A page of a list is kept, encoded, as long as all providers
say that what its caller sees is the same; where one can't say, the list is made each time.

Specification: server/utilities/pagination, server/utilities/caching.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from ...logs import get_logger
from ...protocol import codec, names
from ...protocol.bindings.headers import check_parameters
from ...protocol.call import Call
from ...protocol.errors import (
    Declined,
    Dismissed,
    InvalidParams,
    MissingCapability,
    ResourceNotFound,
    RPCError,
    ToolError,
)
from ...protocol.header_parameters import HeaderParameter, InvalidHeaderAnnotation, header_parameters
from ...protocol.listening import Change
from ...protocol.messages import CachedResult
from ...protocol.paging import decode_part_cursor, encode_part_cursor
from ...protocol.revisions import Feature
from ...protocol.safe_text import in_place
from ...protocol.types import (
    CompleteResult,
    Completion,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PageParams,
    Prompt,
    PromptReference,
    ReadResourceResult,
    Result,
    Tool,
)
from ...runtime.channel import Channel
from ...runtime.dispatch import Encoded
from ...runtime.extension import Extensions, ServedTool
from ...security.authenticator import InsufficientScope
from ...security.principal import Principal
from ..access import demand
from ..catalog import ListKind
from ..checks import TOOL_NAME, TOOL_NAMES_HAVE
from ..entries import CacheScope, failed_tool, hinted, tell_failure
from .calls import of_version, typed
from .composite import LIST, Composite
from .heard import HeardResources
from .provider import Provided, Provider, known_reader
from .transform import asking
from .versions import asked_version, highest_first, marked

log = get_logger("dovetail.server")

_MAX_KEPT: Final = 16 * 1024 * 1024
_MAX_ANNOTATED: Final = 10_000
"""Tools of which is kept what headers repeat."""
_MAX_ODD: Final = 100
"""Names that no tool should have which are told of."""
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


class Composition:
    """``own``: what the app called ``name`` has itself. ``page_size``: entries of one page, at least where there are so
    many; ``ttl_ms``: for clients that cache. ``mask_errors``: what fails unforeseen says nothing of why. ``publish``
    tells of changes.
    """

    def __init__(
        self,
        own: Provider,
        *,
        name: str,
        page_size: int,
        ttl_ms: int,
        mask_errors: bool,
        extensions: Extensions,
        publish: Callable[[Change], None],
    ) -> None:
        self._mounted = Composite(name, [], page_size=page_size, ttl=ttl_ms / 1000)
        self.everything = Composite(name, [own, self._mounted], page_size=page_size, ttl=ttl_ms / 1000)
        self._own = own
        self._name = name.encode("utf-8", "surrogatepass")
        self._ttl_ms = ttl_ms
        self._mask_errors = mask_errors
        self._extensions = extensions
        self._publish = publish
        self._changes: dict[tuple[Provider, str], int] = {}
        self._pages: OrderedDict[Hashable, CachedResult] = OrderedDict()
        self._kept = 0
        self._tasks: dict[str, ServedTool] = {}
        self._odd_names: set[str] = set()
        self._parameters: dict[str, tuple[Any, tuple[HeaderParameter, ...]]] = {}

    def mount(self, provider: Provider) -> None:
        """Add a provider, after all that are there."""
        self._mounted.sources.append(provider)
        self._announce(provider)

    def mount_first(self, provider: Provider) -> None:
        """Add a provider, before all that are there; at any time, if it tells of its changes itself and has no life."""
        self._mounted.sources.insert(0, provider)

    def _announce(self, provider: Provider) -> None:
        offers = provider.offers
        for kind in _OF_CHANGE:
            if kind in offers:
                self._publish(Change(kind))

    # What there is

    def offers(self, what: str) -> bool:
        """Whether any provider may have such a thing."""
        return what in self._mounted.offers

    @property
    def instructions(self) -> str | None:
        """What the providers say of their use."""
        return self._mounted.instructions

    @property
    def discovery_hints(self) -> tuple[float, CacheScope] | None:
        """For how long what the providers say of themselves may be kept, and for whom."""
        return self._mounted.discovery_hints

    async def watch(self, uris: Sequence[str]) -> None:
        """Somebody listens to these resources."""
        for uri in uris:
            await self._mounted.watch(uri)

    async def unwatch(self, uris: Sequence[str]) -> None:
        """One listener less for each."""
        for uri in uris:
            await self._mounted.unwatch(uri)

    @property
    def single_use(self) -> bool:
        """Whether the state of calls of anything mounted counts once."""
        return self._mounted.single_use

    @property
    def guarded(self) -> bool:
        """Whether anything mounted requires that callers are known."""
        return self._mounted.guarded

    def knows(self, kind: ListKind, name: str) -> bool:
        """Whether a thing of that name is known to be mounted."""
        return self._mounted.knows(kind, name)

    def is_hidden(self, kind: ListKind, name: str, principal: Principal) -> bool:
        """Whether a caller, who is judged, can't see a thing that is known to be mounted."""
        return self.knows(kind, name) and self._mounted.known_one(kind, name, principal) is None

    def served_tools(self) -> Sequence[ServedTool]:
        """Mounted tools that may run as tasks."""
        found = dict(self._tasks)
        for source in self._mounted.sources:
            for each in source.known("tools", None) or ():
                if each.task is not None:
                    found.setdefault(each.name, _served(each))
        return list(found.values())

    def served_tool(self, name: str, channel: Channel | None) -> ServedTool | None:
        """The mounted tool of a name, as far as that is known without waiting; with a ``channel``, if its caller may
        call it. Raises `InsufficientScope`.
        """
        found = self._mounted.known_one("tools", name, None if channel is None else asking(channel))
        if found is None:
            return self._tasks.get(name) if channel is None else None
        if channel is not None:
            demand(channel, found.scopes)
        return _served(found)

    def _note_tasks(self, found: Provided[Any]) -> None:
        """A tool that may run as a task was seen: what runs tasks has to know of it, and a provider need not say it."""
        if found.task is not None and found.name not in self._tasks:
            if len(self._tasks) >= _MAX_ANNOTATED:
                self._tasks.clear()
            self._tasks[found.name] = _served(found)

    def fingerprint(self, kind: str, principal: Principal) -> Hashable:
        """What changes when what a caller, who is judged, can see of a list does, or may have."""
        return tuple(
            self._changes.get((source, kind), 0)
            if (found := source.fingerprint(each, principal)) is None
            else found
            for source in self._mounted.sources
            for each in _OF_CHANGE[kind]
        )

    def hides(self, kind: str, principal: Principal) -> bool:
        """Whether there is anything mounted that a caller, who is judged, can't see."""
        return any(
            (seen := source.fingerprint(each, principal)) is not None
            and seen != source.fingerprint(each, None)
            for source in self._mounted.sources
            for each in _OF_CHANGE[kind]
        )

    def hears(self, uri: str, principal: Principal) -> bool:
        """Whether a caller, who is judged, may hear of a resource."""
        return self._mounted.hears(uri, principal)

    def surely_shows(self, uri: str, principal: Principal) -> bool:
        """Whether it is known without waiting that a caller, who is judged, sees a mounted resource."""
        return known_reader(self._mounted, uri, principal) is not None and self.hears(uri, principal)

    def must_ask(self, uri: str, principal: Principal) -> bool:
        """Whether `shows` has to be asked if a caller, who is judged, may hear of a resource."""
        return self._mounted.must_ask(uri, principal)

    async def shows(self, call: Call, channel: Channel, uri: str) -> bool | None:
        """Whether who asks sees the resource of a URI, of the app or mounted; None where there is none."""
        return await self.everything.shows(call, channel, uri)

    def heard(self, call: Call, channel: Channel) -> HeardResources | None:
        """What the listener that sent a call hears, where it has to be asked for; None for one who may see all."""
        return None if asking(channel) is None else HeardResources(self, call, channel)

    async def lacking(self, uri: str, call: Call, channel: Channel) -> Sequence[str]:
        """The scopes that whoever asks, who is judged, lacks to hear of a mounted resource. Where it seems that there
        are any, a read would say so as well: it may be hidden from the caller, or another one be read in its place.
        """
        if not self._mounted.lacking(uri, channel.principal):
            return ()
        try:
            await self.find_resource(call, channel, uri)
        except InsufficientScope as problem:
            return problem.scopes
        except RPCError:  # nobody hears of what can't be found
            return ()
        return ()

    # Lists

    async def page(self, kind: ListKind, call: Call, channel: Channel) -> Result | CachedResult:
        """A page of a list, encoded where it is whole. Raises `InvalidCursor`."""
        params = call.params
        cursor = params.cursor if isinstance(params, PageParams) else None
        principal = asking(channel)
        owner = b"" if principal is None or principal.is_anonymous else principal.key.encode()
        prints = self.everything.fingerprint(kind, principal)
        seen = None if prints is None else (kind, call.profile.revision, prints, bool(owner))
        if seen is not None:
            kept = self._pages.get((seen, cursor, owner)) or (
                self._pages.get(seen) if cursor is None else None
            )
            if kept is not None:
                return kept
        binding = b"%b\0%b\0%b" % (self._name, call.method.encode(), owner)
        inner = None if cursor is None else decode_part_cursor(cursor, binding)
        page = await LIST[kind](self.everything)(call, channel, inner)
        following = None if page.next is None else encode_part_cursor(page.next, binding)
        shown: list[Any] = (
            [self._as_task(each) for each in await self._listed(page.items, call, channel)]
            if kind == "tools"
            else [each.described for each in page.items]
        )
        if kind == "tools":
            self._check_names(page.items)
        result = _BUILD[kind](shown, following)
        if call.profile.has(Feature.CACHE_HINTS):
            same = page.scope == "public" or (page.scope is None and seen is not None)
            public = same and not owner and not self.everything.guarded
            ttl = self._ttl_ms if page.ttl is None else int(page.ttl * 1000)
            result = hinted(result, 0 if page.partial else ttl, "public" if public else "private")
        if page.partial:
            return replace(result, meta={names.META_PARTIAL: True})
        body = CachedResult(call.profile.encode(result))
        if seen is not None:
            # A list of one page has no cursor in it, and is the same for all who see it.
            self._keep(seen if cursor is None and following is None else (seen, cursor, owner), body)
        return body

    def _check_names(self, tools: Sequence[Provided[Any]]) -> None:
        """Log names that no tool should have, each once: prefixes and other servers make them, and no model may be able
        to call what is called so.
        """
        for each in tools:
            name = each.name
            if TOOL_NAME.fullmatch(name) or name in self._odd_names:
                continue
            if len(self._odd_names) < _MAX_ODD:
                self._odd_names.add(name)
                told = (in_place(name[:140]), len(name), TOOL_NAMES_HAVE)
                log.warning("a mounted tool has the name '%s' (%d characters), and names have %s", *told)

    async def _listed(
        self, items: Sequence[Provided[Any]], call: Call, channel: Channel
    ) -> Sequence[Provided[Any]]:
        """Some tools as they are listed: of those with versions the highest alone, which says which ones there are."""
        if all(each.version is None for each in items):
            return items
        found: list[Provided[Any]] = []
        for each in items:
            if each.version is None:
                found.append(each)
                continue
            versions = await self.everything.tool_versions(call, channel, each.name)
            texts = highest_first(other.version for other in versions if other.version is not None)
            if texts and texts[0] == each.version:
                found.append(replace(each, described=marked(each.described, each.version, texts)))
        return found

    def _as_task(self, found: Provided[Any]) -> Any:
        """A tool as it is listed: that it may be a task is said where it may be one here."""
        if found.task is None or not self._extensions.run_tasks:
            tool = found.described
            return tool if tool.execution is None else replace(tool, execution=None)
        self._note_tasks(found)
        return found.described

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

    def call_tool(self, call: Call, channel: Channel) -> Awaitable[Result | Encoded]:
        """Call a mounted tool. Raises `InvalidParams` for one that there is not, at the latest when it is awaited."""
        params: Any = call.params
        found = None
        if (
            params.meta is None or params.meta.version is None
        ):  # else it may be about another one of that name
            found = self._mounted.tool_at_hand(call, channel, params.name)
        if found is None:
            return self._call_sought(params.name, call, channel)
        return self._call_found(found, call, channel)

    async def _call_sought(self, name: str, call: Call, channel: Channel) -> Result | Encoded:
        found = await self._mounted.find_tool(call, channel, name)
        if found is None:
            version = asked_version(call)
            of_it = "" if version is None else f" in the version {version[:64]!r}"
            raise InvalidParams(f"there is no tool {name[:128]!r}{of_it}")
        return await self._call_found(found, call, channel)

    def _call_found(self, found: Provided[Any], call: Call, channel: Channel) -> Awaitable[Result | Encoded]:
        """Call the tool that was found. Raises what keeps its caller from that."""
        demand(channel, found.scopes)
        self._check_headers(found, call, channel)
        if found.version is not None:
            call = of_version(call, channel, found.version)  # what goes on later goes on in it
        if not self._extensions.run_tasks:
            return self._called(found, call, channel)
        self._note_tasks(found)
        return self._extensions.around_tool(_served(found), partial(self._called, found))(call, channel)

    async def _called(self, found: Provided[Any], call: Call, channel: Channel) -> Result | Encoded:
        """Call a tool, whose failures are told as those of an app's own tools are."""
        try:
            return await found.answer(call, channel)
        except Exception as problem:
            if _is_told(problem) and not (
                isinstance(problem, MissingCapability) and not call.profile.stateless
            ):
                raise
            return failed_tool(found.name, call, channel, problem, mask=self._mask_errors)

    async def _used(self, found: Provided[Any], call: Call, channel: Channel) -> Result | Encoded:
        """Use what is no tool. Raises what the caller is told."""
        try:
            return await found.answer(call, channel)
        except Exception as problem:
            if _is_told(problem):
                raise
            kind = "prompt" if isinstance(found.described, Prompt) else "resource"
            tell_failure(f"{kind} {found.name!r}", problem, channel, mask=self._mask_errors)

    def _check_headers(self, found: Provided[Any], call: Call, channel: Channel) -> None:
        """Raise `HeaderMismatch` where a header contradicts an argument that it repeats: for tools that are not known
        before they are looked for; of others the endpoint has seen it (`header_parameters`).
        """
        if channel.transport != "http" or not call.profile.stateless:
            return
        parameters = self._annotated(found)
        if parameters and not self.knows("tools", found.name):
            params: Any = call.params
            given = codec.tree(codec.decode(params.arguments)) if params.arguments else None
            headers = {name: value.encode("latin-1", "replace") for name, value in channel.headers.items()}
            check_parameters(headers, given, parameters)

    def _annotated(self, found: Provided[Any]) -> tuple[HeaderParameter, ...]:
        """The arguments that headers repeat in a call of a tool; gone through once for each schema that it has."""
        tool: Tool = found.described
        schema = tool.input_schema
        kept = self._parameters.get(tool.name)
        if kept is None or kept[0] is not schema:
            if len(self._parameters) >= _MAX_ANNOTATED:
                self._parameters.clear()
            kept = self._parameters[tool.name] = schema, _mirrored(schema)
        return kept[1]

    def header_parameters(self, name: str, principal: Principal | None) -> tuple[HeaderParameter, ...]:
        """The arguments that headers repeat in a call of a tool known without waiting, if the caller sees it."""
        found = self._mounted.known_one("tools", name, principal)
        return () if found is None else _mirrored(found.described.input_schema)

    async def read(self, call: Call, channel: Channel, uri: str) -> Result | Encoded:
        """Read a mounted resource. Raises `ResourceNotFound`."""
        found = await self.find_resource(call, channel, uri)
        result = await self._used(found, call, channel)
        if not call.profile.has(Feature.CACHE_HINTS):
            return result
        if found.scopes:
            result = typed(result, ReadResourceResult)
        if not isinstance(result, ReadResourceResult):
            return result
        result = hinted(result, 0, "private")
        return replace(result, cache_scope="private") if found.scopes else result

    async def find_resource(self, call: Call, channel: Channel, uri: str) -> Provided[Any]:
        """The mounted resource or template that reads a URI. Raises `ResourceNotFound`, and `InsufficientScope`."""
        found = await self._mounted.find_resource(call, channel, uri)
        if found is not None and found.name != uri:  # a template: not listed where the app has the same
            found = None if await self._own.find_template(call, channel, found.name) else found
        if found is None:
            raise ResourceNotFound(f"there is no resource {uri[:256]!r}", uri=uri[:2048])
        demand(channel, found.scopes)
        return found

    async def get_prompt(self, call: Call, channel: Channel) -> Result | Encoded:
        """Get a mounted prompt. Raises `InvalidParams` for one that there is not."""
        params: Any = call.params
        found = await self._mounted.find_prompt(call, channel, params.name)
        if found is None:
            raise InvalidParams(f"there is no prompt {params.name[:128]!r}")
        demand(channel, found.scopes)
        return await self._used(found, call, channel)

    async def complete(self, call: Call, channel: Channel) -> Result | Encoded:
        """Suggest values for an argument of something mounted. Raises `InvalidParams` for what there is not."""
        params: Any = call.params
        ref = params.ref
        if isinstance(ref, PromptReference):
            found = await self._mounted.find_prompt(call, channel, ref.name)
            missing = f"there is no prompt {ref.name[:128]!r}"
        else:
            found = await self._mounted.find_template(call, channel, ref.uri)
            if found is None:
                found = await self._mounted.find_resource(call, channel, ref.uri)
                found = found if found is None or found.name == ref.uri else None  # a template that it fits
            missing = f"there is no resource or template {ref.uri[:128]!r}"
        if found is None:
            raise InvalidParams(missing)
        demand(channel, found.scopes)
        if found.complete is None:
            return CompleteResult(completion=Completion(values=[]))
        return await found.complete(call, channel)

    # Their lives

    @asynccontextmanager
    async def living(self) -> AsyncGenerator[None]:
        """Around the life of the app: the lives of all that is mounted, in order."""
        async with AsyncExitStack() as stack:
            for source in self._mounted.sources:
                await stack.enter_async_context(source.life(self._publishing(source)))
            yield

    def _publishing(self, source: Provider) -> Callable[[Change], None]:
        def publish(change: Change) -> None:
            self._changes[source, change.kind] = self._changes.get((source, change.kind), 0) + 1
            self._publish(change)

        return publish


def _is_told(problem: Exception) -> bool:
    """Whether somebody foresaw a failure, and says what its caller is told."""
    return isinstance(problem, (RPCError, ToolError, Declined, Dismissed))


def _mirrored(schema: Any) -> tuple[HeaderParameter, ...]:
    """The arguments that headers repeat: none of a schema that says it wrongly, as that of another server may."""
    try:
        return header_parameters(schema)
    except InvalidHeaderAnnotation:
        return ()


def _served(found: Provided[Any]) -> ServedTool:
    return ServedTool(tool=found.described, task=found.task, asks_first=found.asks_first)


__all__ = ["Composition"]
