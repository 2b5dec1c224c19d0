"""A source of tools, resources, resource templates and prompts: what `App.mount` takes.

Theory of operation. A provider lists what it has, a page at a time, and finds one thing by its name. Each comes with
the handler that answers for it, a `Handler` like any other: it is given the call and its channel, and gives the result.
So whatever a thing is behind (a function, another server, a row of a database), to list it, to change how it looks and
to use it are the same everywhere. A provider is asked for each request, and told who asks: what one caller sees,
another need not. Names in the calls that a handler is given are those of its own provider; whoever shows a thing under
another name gives the handler the call as it was meant (`transform`).

What can be known without waiting may be said by `known`, `knows` and `hears`: then lists are kept encoded, observers
name what was called, tools may run as tasks, and nobody hears of a change in what it can't see.

Specification: server/tools, server/resources, server/prompts, server/utilities/pagination.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import lru_cache
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

from msgspec import Struct

from ...protocol import codec
from ...protocol.call import Call
from ...protocol.listening import Change
from ...protocol.types import Prompt, Resource, ResourceTemplate, Tool
from ...protocol.uri_template.template import URITemplate
from ...runtime.channel import Channel
from ...runtime.dispatch import Handler
from ...runtime.extension import TaskOptions
from ...security.principal import Principal
from ..catalog import ListKind
from ..context import Context
from .versions import asked_version, chosen

T = TypeVar("T", Tool, Resource, ResourceTemplate, Prompt)
Offer = Literal["tools", "resources", "prompts", "completions"]
"""What a server announces that it offers."""

ALL: Final[frozenset[Offer]] = frozenset(("tools", "resources", "prompts"))
MAX_PAGES: Final = 1000
"""Pages that are gone through to find one thing."""


class Provided(Struct, Generic[T], frozen=True, kw_only=True):
    """A thing that a provider has.

    ``described``: as clients see it. ``answer``: what answers a call of the tool, a read of the resource, a get of the
    prompt; it raises what the caller is told. ``complete``: what suggests values for the arguments of a prompt and the
    variables of a template, given the ``completion/complete`` (default: nothing does). ``tags``: words to choose by,
    which clients don't see. ``version``: of several tools that have the same name, the one that is higher is listed,
    and used unless the call says which (`Provider.tool_versions`). ``scopes``: what a caller's token needs to use it,
    all of them; without, it is listed all the same, so that clients can ask for them. ``whole``: where a URI that a
    template reads is a part of a resource, or another name for it: that resource, and whoever does not see it reads no
    part of it. ``unlisted``: a resource made of the URI that was asked for, without a look at the lists, which may say
    more of it. ``task``: how a tool may be run as a task, if it may; ``asks_first``: it asks for input before it
    begins.
    """

    described: T
    answer: Handler
    complete: Handler | None = None
    tags: frozenset[str] = frozenset()
    version: str | None = None
    scopes: tuple[str, ...] = ()
    whole: "Provided[Resource] | None" = None
    unlisted: bool = False
    task: TaskOptions | None = None
    asks_first: bool = False

    @property
    def name(self) -> str:
        """What it is found by: its name, its URI, or its URI template."""
        return name_of(self.described)


class ProvidedPage(Struct, Generic[T], frozen=True):
    """Some of what a provider has. ``next``: the cursor of the next page, None for the last. ``partial``: something is
    missing that may be there soon, so nobody should keep it. ``ttl``: for how many seconds clients may keep it
    (default: as the app says of its lists); ``scope``: "public" where it is the same for whoever may see it, "private"
    where only who asked may keep it (default: "public" if it can be `known`).
    """

    items: Sequence[Provided[T]] = ()
    next: str | None = None
    partial: bool = False
    ttl: float | None = None
    scope: Literal["public", "private"] | None = None


class AskingRunner(Protocol):
    """How what a provider has may ask the client: runs ``body`` for a call, with a `Context` that can ask.

    In the stateless era the body runs again in each round of the call, over what was answered and done before, and what
    this gives is `InputRequired` where a round ends with questions; so it is for calls that outlive their requests.
    Raises what the body raises, and `InvalidParams` for request state that is not valid here.
    """

    def __call__(
        self, call: Call, channel: Channel, body: Callable[[Context], Awaitable[Any]]
    ) -> Awaitable[Any]:
        """See the class."""
        ...


class Provider:
    """A source of tools, resources, templates and prompts. Override what it has; every method has a default.

    The methods that list and find are given the request as its handler gets it: ``channel.principal`` is who asks.
    ``cursor`` is a text that this provider gave out as `ProvidedPage.next`, None for the beginning; what it gave may
    come back damaged, and is answered with `InvalidParams`. What they raise costs this provider's part of a list, which
    is logged, and is the answer to a request that was about one thing.
    """

    @property
    def label(self) -> str:
        """What people know it by, in logs and errors."""
        return type(self).__name__

    @property
    def instructions(self) -> str | None:
        """What models should know of its use; told where the app that it is mounted on has nothing to say itself."""
        return None

    @property
    def discovery_hints(self) -> tuple[float, Literal["public", "private"]] | None:
        """For how many seconds, and for whom, what `offers` and `instructions` say may be kept by clients who asked
        (``server/discover``); None: as long as the app says. Specification: server/utilities/caching.
        """
        return None

    @property
    def offers(self) -> frozenset[Offer]:
        """What it may have at any time (default: tools, resources and prompts). A server announces no more than that
        it, or what is mounted on it, offers.
        """
        return ALL

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        """A page of its tools."""
        return ProvidedPage()

    async def list_resources(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Resource]:
        """A page of its resources."""
        return ProvidedPage()

    async def list_templates(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[ResourceTemplate]:
        """A page of its resource templates."""
        return ProvidedPage()

    async def list_prompts(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Prompt]:
        """A page of its prompts."""
        return ProvidedPage()

    async def find_tool(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
        """The tool of a name, None for one that there is not for who asks; of several versions the one that the call is
        about, or the highest (default: one of `tool_versions`).
        """
        return chosen(await self.tool_versions(call, channel, name), asked_version(call))

    async def tool_versions(self, call: Call, channel: Channel, name: str) -> Sequence[Provided[Tool]]:
        """All versions of the tool of a name, for who asks; a tool without versions is one (default: looks through the
        list, or gives what `find_tool` does where that is overridden). Override it, rather than `find_tool`, where a
        tool may have several.
        """
        if type(self).find_tool is not Provider.find_tool:
            found = await self.find_tool(call, channel, name)
            return () if found is None else (found,)
        return [each async for each in _listed(self.list_tools, call, channel) if each.described.name == name]

    async def find_resource(
        self, call: Call, channel: Channel, uri: str
    ) -> Provided[Resource] | Provided[ResourceTemplate] | None:
        """The resource of a URI, or the template that it fits, None where there is neither (default: looks through the
        lists).
        """
        resource = await _found(self.list_resources, call, channel, lambda each: each.described.uri == uri)
        if resource is not None:
            return resource
        return await _found(
            self.list_templates, call, channel, lambda each: fits(each.described.uri_template, uri)
        )

    async def find_template(
        self, call: Call, channel: Channel, template: str
    ) -> Provided[ResourceTemplate] | None:
        """The template that is written so, None where there is none (default: looks through the list)."""
        return await _found(
            self.list_templates, call, channel, lambda each: each.described.uri_template == template
        )

    async def find_prompt(self, call: Call, channel: Channel, name: str) -> Provided[Prompt] | None:
        """The prompt of a name, None for one that there is not for who asks (default: looks through the list)."""
        return await _found(self.list_prompts, call, channel, lambda each: each.described.name == name)

    # What can be known without waiting

    def known(self, kind: ListKind, principal: Principal | None) -> Sequence[Provided[Any]] | None:
        """All that a caller sees in a list (None: one on this machine, who may see all); None where that can't be said
        without waiting: then lists are asked for each time, and everybody hears of changes.
        """
        return None

    def known_one(self, kind: ListKind, name: str, principal: Principal | None) -> Provided[Any] | None:
        """The thing of a name, or URI template, where `known` has one, the highest of several versions (default: looks
        through it).
        """
        return chosen([each for each in self.known(kind, principal) or () if each.name == name], None)

    def tool_at_hand(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
        """The tool that `find_tool` would give who asks, where that is certain without waiting; None where it is not,
        and `find_tool` is asked (default: always). Raises nothing. Override it where calls are to cost little.
        """
        return None

    def fingerprint(self, kind: ListKind, principal: Principal | None) -> Hashable | None:
        """What is equal as long as a caller sees the same list, None where `known` is (default: a hash of `known`)."""
        known = self.known(kind, principal)
        return None if known is None else hash(tuple(codec.encode(each.described) for each in known))

    def knows(self, kind: ListKind, name: str) -> bool:
        """Whether it has a thing of that name, for whomever, as far as that is known: metrics name no other calls."""
        return False

    def may_have(self, kind: ListKind, name: str) -> bool:
        """Whether it could have a thing of that name; False spares looking for it."""
        return True

    def hears(self, uri: str, principal: Principal) -> bool:
        """Whether a caller may hear of a change in a resource, or in one below it."""
        return True

    def must_ask(self, uri: str, principal: Principal) -> bool:
        """Whether `hears` can't say if a caller sees a resource, so that `shows` is asked before the caller is told of
        a change in it.
        """
        return False

    async def shows(self, call: Call, channel: Channel, uri: str) -> bool | None:
        """Whether who asks sees the resource of a URI; None where there is none (default: whether `find_resource` has
        one).
        """
        return None if await self.find_resource(call, channel, uri) is None else True

    def lacking(self, uri: str, principal: Principal) -> Sequence[str]:
        """The scopes that a caller lacks to hear of a resource: it is told which, and can ask for them."""
        return ()

    async def watch(self, uri: str) -> None:
        """Somebody listens to changes of a resource from now on, once more."""

    async def unwatch(self, uri: str) -> None:
        """One listener less. Of sessions that were lost, nobody tells."""

    @property
    def single_use(self) -> bool:
        """Whether the state of calls of anything that it has counts once."""
        return False

    @property
    def guarded(self) -> bool:
        """Whether anything that it has requires that callers are known."""
        return False

    @property
    def gathers(self) -> bool:
        """Whether it makes its pages of those of others, of which it goes through as many as it may for one."""
        return False

    # Its life

    def mounted(self, asking: "AskingRunner") -> None:
        """Called when it is mounted, before it lives. ``asking``: how its things may ask the client that uses them."""

    def mounted_under(self, prefix: str) -> None:
        """Called with the prefix that it is mounted under, before `mounted`; without one, it is not called."""

    def life(self, publish: Callable[[Change], None]) -> AbstractAsyncContextManager[None]:
        """Around the time in which it is served. ``publish`` tells of a change in what it has; it may be called from
        any task or thread, and never waits.
        """
        return _nothing()

    # Other views of it

    def provide(self) -> "Provider":
        """Itself: what `App.mount` asks for."""
        return self

    def transformed(self, *transforms: Callable[["Provider"], "Provider"]) -> "Provider":
        """The same with other names, descriptions, arguments or results, or less of it: see `Transform`. The first is
        innermost.
        """
        provider: Provider = self
        for each in transforms:
            provider = each(provider)
        return provider


def name_of(described: Tool | Resource | ResourceTemplate | Prompt) -> str:
    """What a thing is found by."""
    if isinstance(described, Resource):
        return described.uri
    return described.uri_template if isinstance(described, ResourceTemplate) else described.name


async def _found(
    pages: Callable[[Call, Channel, str | None], Any],
    call: Call,
    channel: Channel,
    wanted: Callable[[Provided[Any]], bool],
) -> Any:
    """The first thing of a list that is wanted, None where none is."""
    async with aclosing(_listed(pages, call, channel)) as listed:
        async for each in listed:
            if wanted(each):
                return each
    return None


async def _listed(
    pages: Callable[[Call, Channel, str | None], Any], call: Call, channel: Channel
) -> AsyncGenerator[Provided[Any]]:
    """A list, page by page."""
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await pages(call, channel, cursor)
        for each in page.items:
            yield each
        if page.next is None or page.next == cursor:
            break
        cursor = page.next


async def as_listed(
    provider: Provider, found: Provided[Any] | None, call: Call, channel: Channel, uri: str
) -> Provided[Any] | None:
    """What a provider found for a URI, as its lists have it: for whoever judges by more than the URI. What no list
    names stays as it was found.
    """
    if found is None or not found.unlisted:
        return found
    return await Provider.find_resource(provider, call, channel, uri) or found


def fits(template: str, uri: str) -> bool:
    """Whether a URI can be made of a template."""
    try:
        return _parsed(template).match(uri) is not None
    except ValueError:
        return False


def known_reader(provider: Provider, uri: str, principal: Principal | None) -> Provided[Any] | None:
    """The resource that a provider is known to show a caller under a URI, or the template that the URI fits."""
    found = provider.known_one("resources", uri, principal)
    if found is not None:
        return found
    templates = provider.known("templates", principal) or ()
    return next((each for each in templates if fits(each.name, uri)), None)


@lru_cache(maxsize=1000)
def _parsed(template: str) -> URITemplate:
    return URITemplate(template)


@asynccontextmanager
async def _nothing() -> AsyncGenerator[None]:
    yield


__all__ = [
    "ALL",
    "AskingRunner",
    "ListKind",
    "Offer",
    "ProvidedPage",
    "Provided",
    "Provider",
    "as_listed",
    "fits",
    "known_reader",
    "name_of",
]
