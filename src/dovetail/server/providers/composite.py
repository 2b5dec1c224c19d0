"""Several providers as one: the first that has a thing of a name is the one that is listed and used.

Theory of operation. A list goes through the providers one after the other; its cursor says in which of them it goes on,
and with which cursor of theirs. Before something is listed, the providers before it are asked whether they have a thing
of that name, if they may; a URI that fits a template of one before is that one's. A provider that fails costs its own
part of a list, which is logged; a look-up that finds nothing elsewhere gets its error.

Specification: none.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial, reduce
from typing import Any, Final

from ...logs import get_logger
from ...protocol import codec
from ...protocol.call import Call
from ...protocol.errors import DovetailError, InternalError, InvalidParams, RPCError
from ...protocol.listening import Change
from ...protocol.paging import InvalidCursor
from ...protocol.types import Prompt, Resource, ResourceTemplate, Tool
from ...runtime.channel import Channel
from ...security.principal import Principal
from ..catalog import ListKind
from ..entries import CacheScope
from .provider import Offer, Provided, ProvidedPage, Provider, fits, known_reader
from .transform import asking
from .versions import asked_version, chosen, is_shadowed, joined

log = get_logger("dovetail.server")

PAGE_BYTES: Final = 512 * 1024
"""Bytes of things, from which on no more of a provider's pages are put on a page (512 KiB)."""
PAGES_AT_ONCE: Final = 50
"""Pages of providers that are put on one page: of more, which may be empty, the next request gets the rest."""

LIST: Final[dict[ListKind, Callable[[Provider], Callable[..., Awaitable[ProvidedPage[Any]]]]]] = {
    "tools": lambda source: source.list_tools,
    "resources": lambda source: source.list_resources,
    "templates": lambda source: source.list_templates,
    "prompts": lambda source: source.list_prompts,
}
FIND: Final[dict[ListKind, Callable[[Provider], Callable[..., Awaitable[Any]]]]] = {
    "tools": lambda source: source.find_tool,
    "resources": lambda source: source.find_resource,
    "templates": lambda source: source.find_template,
    "prompts": lambda source: source.find_prompt,
}


class Composite(Provider):
    """``sources`` in their order, to which more may be added. ``page_size``: things of a page, if there are so many.
    ``ttl``: seconds for which clients may keep what sources list that don't say it.
    """

    def __init__(self, label: str, sources: list[Provider], *, page_size: int, ttl: float) -> None:
        self._label = label
        self.sources = sources
        self._page_size = page_size
        self._ttl = ttl

    @property
    def label(self) -> str:
        """What people know it by."""
        return self._label

    @property
    def offers(self) -> frozenset[Offer]:
        """What any of them may have."""
        return frozenset(each for source in self.sources for each in source.offers)

    @property
    def gathers(self) -> bool:
        """Whether it makes its pages of those of others: of its sources."""
        return True

    @property
    def single_use(self) -> bool:
        """Whether the state of calls of anything counts once."""
        return any(source.single_use for source in self.sources)

    @property
    def guarded(self) -> bool:
        """Whether anything requires that callers are known."""
        return any(source.guarded for source in self.sources)

    @property
    def instructions(self) -> str | None:
        """What they say of their use."""
        return "\n\n".join(said for source in self.sources if (said := source.instructions)) or None

    @property
    def discovery_hints(self) -> tuple[float, CacheScope] | None:
        """The shortest time that any of them says; for all, where all who say it do."""
        said = [hints for source in self.sources if (hints := source.discovery_hints) is not None]
        if not said:
            return None
        return min(ttl for ttl, _ in said), "private" if any(
            scope == "private" for _, scope in said
        ) else "public"

    # Lists

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        """A page of all tools."""
        return await self._page("tools", call, channel, cursor)

    async def list_resources(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Resource]:
        """A page of all resources."""
        return await self._page("resources", call, channel, cursor)

    async def list_templates(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[ResourceTemplate]:
        """A page of all resource templates."""
        return await self._page("templates", call, channel, cursor)

    async def list_prompts(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Prompt]:
        """A page of all prompts."""
        return await self._page("prompts", call, channel, cursor)

    async def _page(
        self, kind: ListKind, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Any]:
        """What is listed from a place on."""
        place, inner = self._place(cursor)
        found: dict[tuple[str, str | None], Any] = {}
        partial, size = False, 0
        hints = PageHints(self._ttl)
        for _ in range(PAGES_AT_ONCE):  # a page may be empty, and another follow
            following: str | None = None
            given_up = False
            try:
                page = await LIST[kind](self.sources[place])(call, channel, inner)
            except InvalidParams:
                raise  # the cursor is the caller's
            except Exception as problem:  # noqa: BLE001 - told in the log; the others are listed all the same
                partial = True
                _tell(self.sources[place], f"its {kind} are not listed", problem)
            else:
                partial = partial or page.partial
                hints.add(page, self.sources[place].fingerprint(kind, asking(channel)) is not None)
                following = None if page.next == inner else page.next
                given_up = following is not None and _has_given_up(self.sources[place], page)
                for each in page.items:
                    if not await self._is_shadowed(kind, each, place, call, channel):
                        found.setdefault((each.name, each.version), each)
                        size += len(codec.encode(each.described))
            place, inner = (place, following) if following is not None else (place + 1, None)
            if place >= len(self.sources):
                whole = cursor is None or self._has_one_lister(kind)
                return ProvidedPage(list(found.values()), None, partial, hints.ttl, hints.scope(whole))
            if given_up or len(found) >= self._page_size or size >= PAGE_BYTES:
                break
        scope = hints.scope(self._has_one_lister(kind))
        return ProvidedPage(list(found.values()), f"{place}:{inner or ''}", partial, hints.ttl, scope)

    def _has_one_lister(self, kind: ListKind) -> bool:
        """Whether all pages of a list are those of one source, so that they have the scope that it gives all of its
        own: others say theirs only once they are asked, and all pages have to have the same.
        """
        lists = 0
        for source in self.sources:
            known = source.known(kind, None)
            lists += known is None or len(known) > 0
        return lists <= 1

    def _place(self, cursor: str | None) -> tuple[int, str | None]:
        """Where a list goes on. Raises `InvalidCursor`."""
        if cursor is None:
            return 0, None
        place, colon, inner = cursor.partition(":")
        if not colon or not place.isdecimal() or len(place) > 6 or int(place) >= len(self.sources):
            raise InvalidCursor
        return int(place), inner or None

    async def _is_shadowed(
        self, kind: ListKind, thing: Provided[Any], place: int, call: Call, channel: Channel
    ) -> bool:
        """Whether what answers to that name comes before those of a provider."""
        name, version = thing.name, thing.version
        before: list[Provided[Tool]] = []  # what is shadowed itself shadows nothing
        for source in self.sources[:place]:
            if source.may_have(kind, name):
                try:
                    if version is None:
                        if await FIND[kind](source)(call, channel, name) is not None:
                            return True
                    else:
                        before = joined(before, await source.tool_versions(call, channel, name))
                except Exception:  # noqa: BLE001, S112 - it was told when that provider was listed
                    continue
        return any(is_shadowed(thing, each) for each in before)

    # One thing

    async def find_tool(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
        """The first tool of that name, of all its versions the one that the call is about."""
        return chosen(await self.tool_versions(call, channel, name), asked_version(call))

    async def tool_versions(self, call: Call, channel: Channel, name: str) -> Sequence[Provided[Tool]]:
        """All versions of the first tool of that name. Raises what the provider raised that failed, if no other has
        one.
        """
        found: list[Sequence[Provided[Tool]]] = await self._asked(
            "tools", call, channel, name, lambda source: source.tool_versions, _has_no_versions
        )
        return found[0] if len(found) == 1 else reduce(joined, found, [])

    async def find_resource(
        self, call: Call, channel: Channel, uri: str
    ) -> Provided[Resource] | Provided[ResourceTemplate] | None:
        """The first resource of that URI, or template that it fits and that is listed: none of the same text before."""
        found = await self._asked(
            "resources", call, channel, uri, lambda source: partial(self._listed_reader, source), _is_enough
        )
        return found[0] if found else None

    async def _listed_reader(
        self, source: Provider, call: Call, channel: Channel, uri: str
    ) -> Provided[Resource] | Provided[ResourceTemplate] | None:
        found = await source.find_resource(call, channel, uri)
        if found is None or found.name == uri:
            return found
        place = self.sources.index(source)
        return None if await self._is_shadowed("templates", found, place, call, channel) else found

    async def find_template(
        self, call: Call, channel: Channel, template: str
    ) -> Provided[ResourceTemplate] | None:
        """The first template that is written so."""
        return await self._find("templates", call, channel, template)

    async def find_prompt(self, call: Call, channel: Channel, name: str) -> Provided[Prompt] | None:
        """The first prompt of that name."""
        return await self._find("prompts", call, channel, name)

    async def _find(self, kind: ListKind, call: Call, channel: Channel, name: str) -> Any:
        """The first thing of that name. Raises what the provider raised that failed, if no other has one."""
        found = await self._asked(kind, call, channel, name, FIND[kind], _is_enough)
        return found[0] if found else None

    async def _asked(
        self,
        kind: ListKind,
        call: Call,
        channel: Channel,
        name: str,
        ask: Callable[[Provider], Callable[..., Awaitable[Any]]],
        enough: Callable[[list[Any]], bool],
    ) -> list[Any]:
        """What those say that have something of that name, one after the other until it is enough. Raises what the
        provider raised that failed, if no other has anything.
        """
        found: list[Any] = []
        failure: Exception | None = None
        for source in self.sources:
            if not source.may_have(kind, name):
                continue
            try:
                said: Any = await ask(source)(call, channel, name)
            except RPCError as problem:
                failure = failure or problem
            except Exception as problem:  # noqa: BLE001 - told in the log, and to who asks if nobody else has it
                _tell(source, f"it can't say whether it has {name[:128]!r}", problem)
                told = str(problem) if isinstance(problem, DovetailError) else "it failed"
                failure = failure or InternalError(f"{source.label}: {told}")
            else:
                if said:
                    found.append(said)
                    if enough(found):
                        break
        if failure is not None and not found:
            raise failure
        return found

    # What can be known without waiting

    def known(self, kind: ListKind, principal: Principal | None) -> Sequence[Provided[Any]] | None:
        """All that a caller sees in a list, where all of them can say it."""
        first: dict[str, list[Provided[Any]]] = {}
        templates: list[str] = []
        for source in self.sources:
            known = source.known(kind, principal)
            if known is None:
                return None
            for each in known:
                if not any(fits(template, each.name) for template in templates):
                    before = first.setdefault(each.name, [])
                    if not before or not any(is_shadowed(each, other) for other in before):
                        before.append(each)
            if kind == "resources":
                templates += [each.name for each in source.known("templates", principal) or ()]
        return [each for versions in first.values() for each in versions]

    def known_one(self, kind: ListKind, name: str, principal: Principal | None) -> Provided[Any] | None:
        """The first thing of that name that is known, the highest of several versions."""
        versions: list[Provided[Any]] = []
        for source in self.sources:
            if source.may_have(kind, name) and (found := source.known_one(kind, name, principal)) is not None:
                if found.version is not None:
                    versions.append(found)
                elif not versions:
                    return found
        return chosen(versions, None) if versions else None

    def tool_at_hand(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
        """The tool of that name, where the first that may have one is certain of it, and it is the only version."""
        for source in self.sources:
            if source.may_have("tools", name):
                found = source.tool_at_hand(call, channel, name)
                return found if found is not None and found.version is None else None
        return None

    def fingerprint(self, kind: ListKind, principal: Principal | None) -> Hashable | None:
        """What is equal as long as a caller sees the same list."""
        kinds: tuple[ListKind, ...] = (kind, "templates") if kind == "resources" else (kind,)
        prints = tuple(source.fingerprint(each, principal) for source in self.sources for each in kinds)
        return None if None in prints else prints

    def knows(self, kind: ListKind, name: str) -> bool:
        """Whether any has a thing of that name, as far as that is known."""
        return any(source.knows(kind, name) for source in self.sources)

    def may_have(self, kind: ListKind, name: str) -> bool:
        """Whether any could have a thing of that name."""
        return any(source.may_have(kind, name) for source in self.sources)

    def hears(self, uri: str, principal: Principal) -> bool:
        """Whether a caller may hear of a resource: what the first says that is known to show it, and all before that
        may have it.
        """
        hidden = False
        for source in self.sources:
            if source.may_have("resources", uri):
                if source.fingerprint("resources", principal) is None:
                    if not source.hears(uri, principal):
                        return False
                elif known_reader(source, uri, principal) is not None:
                    return source.hears(uri, principal)
                else:
                    hidden = True
        return not hidden

    def must_ask(self, uri: str, principal: Principal) -> bool:
        """Whether any has to be asked if a caller sees a resource."""
        return any(
            source.must_ask(uri, principal) for source in self.sources if source.may_have("resources", uri)
        )

    async def shows(self, call: Call, channel: Channel, uri: str) -> bool | None:
        """Whether any shows who asks the resource of a URI; None where none has it. Raises what the provider raised
        that failed, if no other shows it.
        """
        said: bool | None = None
        failure: Exception | None = None
        for source in self.sources:
            if source.may_have("resources", uri):
                try:
                    shown = await source.shows(call, channel, uri)
                except Exception as problem:  # noqa: BLE001 - raised below, if nobody else has it
                    failure = failure or problem
                else:
                    if shown:
                        return True
                    said = said if shown is None else False
        if failure is not None:
            raise failure
        return said

    def lacking(self, uri: str, principal: Principal) -> Sequence[str]:
        """The scopes that a caller lacks to hear of a resource: of the first that shows it, or asks for any."""
        for source in self.sources:
            if source.may_have("resources", uri):
                lacking = source.lacking(uri, principal)
                if lacking or known_reader(source, uri, principal) is not None:
                    return lacking
        return ()

    async def watch(self, uri: str) -> None:
        """Somebody listens to a resource."""
        await self._tell_each(uri, lambda source: source.watch(uri))

    async def unwatch(self, uri: str) -> None:
        """One listener less."""
        await self._tell_each(uri, lambda source: source.unwatch(uri))

    async def _tell_each(self, uri: str, tell: Callable[[Provider], Awaitable[None]]) -> None:
        for source in self.sources:
            if source.may_have("resources", uri):
                try:
                    await tell(source)
                except Exception as problem:  # noqa: BLE001 - told in the log; a listener hears of the others
                    _tell(source, f"changes of {uri[:256]!r} may not be told", problem)

    # Their lives

    def life(self, publish: Callable[[Change], None]) -> AbstractAsyncContextManager[None]:
        """The lives of all of them, in order."""
        return self._live(publish)

    @asynccontextmanager
    async def _live(self, publish: Callable[[Change], None]) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for source in self.sources:
                await stack.enter_async_context(source.life(publish))
            yield


class PageHints:
    """How long a page of several sources may be kept, and for whom. ``unsaid``: as long, where a source says
    nothing.
    """

    def __init__(self, unsaid: float) -> None:
        self._unsaid = unsaid
        self._shortest: float | None = None
        self._says = False
        self._scopes: set[CacheScope | None] = set()

    def add(self, page: ProvidedPage[Any], known: bool) -> None:
        """A source's page is a part of it. ``known``: without waiting, so that it is the same for all."""
        self._says = self._says or page.ttl is not None
        if page.items or page.ttl is not None:
            ttl = self._unsaid if page.ttl is None else page.ttl
            self._shortest = ttl if self._shortest is None else min(self._shortest, ttl)
        self._scopes.add(page.scope or (None if known else "private"))

    @property
    def ttl(self) -> float | None:
        """Seconds; None where nobody said any."""
        return self._shortest if self._says else None

    def scope(self, one: bool) -> CacheScope | None:
        """For whom; None where nobody said it. ``one``: the list has no pages of others."""
        if "private" in self._scopes or ("public" in self._scopes and not one):
            return "private"
        return "public" if "public" in self._scopes else None


def _has_given_up(source: Provider, page: ProvidedPage[Any]) -> bool:
    """Whether a source has gone through as many pages of others as it may for one of its own."""
    return isinstance(source, Composite) or (source.gathers and not page.items)


def _is_enough(found: list[Any]) -> bool:
    return bool(found)


def _has_no_versions(found: list[Sequence[Provided[Tool]]]) -> bool:
    """Whether what has been found is a tool without versions, beside which there is no other of its name."""
    return found[0][0].version is None


def _tell(source: Provider, what: str, problem: Exception) -> None:
    """Log that a provider failed: in one line what it foresaw, with a traceback what nobody did."""
    foreseen = isinstance(problem, DovetailError)
    log.warning("%s: %s: %s", source.label, what, problem, exc_info=None if foreseen else problem)


__all__ = ["FIND", "LIST", "Composite"]
