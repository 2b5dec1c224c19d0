"""Showing a provider in another way: under other names, with other words, or less of it.

Theory of operation. A `Transform` says two things: how a thing that the provider has is shown (or that it is not), and
by which name the provider knows what is asked for. `Transformed` is the provider so shown: lists, look-ups, calls,
completions and changes all pass through these two, so what is listed is what can be used. Where the name inwards leads
to a thing that is shown under another name, or is not shown, there is nothing under that name.

What a transform does depends on the thing and on who asks, and on nothing else: lists are kept as long as both stay.

Specification: none.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Literal

from msgspec.structs import replace

from ...protocol import codec
from ...protocol.call import Call
from ...protocol.listening import Change
from ...protocol.types import Prompt, Resource, ResourceTemplate, Tool
from ...runtime.channel import Channel
from ...security.principal import Principal
from ..access import is_judged
from .provider import AskingRunner, ListKind, Offer, Provided, ProvidedPage, Provider, as_listed, known_reader
from .versions import asked_version, chosen

_MAX_PRINTS: Final = 1000


class Transform:
    """How the things of a provider are shown. Override what changes; by default nothing does.

    The methods of a kind are given a thing and who asks (None: one on this machine, who may see all), and give it as it
    is shown, or None for one that is not. ``inner_name`` gives the name, URI or template by which the provider knows
    what is asked for by a name, None where there can be nothing; ``shown_uri`` how a URI of the provider's is shown,
    also where results and changes name it. ``by_caller``: set it where what is shown depends on who asks. ``by_name``:
    set it where it depends on nothing but the name: then to read a resource of a proxy, which knows what it is only
    from the upstream's lists, costs no look at these.
    """

    by_caller: bool = False
    by_name: bool = False

    def __call__(self, provider: Provider) -> Provider:
        """The provider, shown so."""
        return Transformed(provider, self)

    def tool(self, found: Provided[Tool], principal: Principal | None) -> Provided[Tool] | None:
        """A tool as it is shown."""
        return found

    def resource(self, found: Provided[Resource], principal: Principal | None) -> Provided[Resource] | None:
        """A resource as it is shown."""
        return found

    def template(
        self, found: Provided[ResourceTemplate], principal: Principal | None
    ) -> Provided[ResourceTemplate] | None:
        """A resource template as it is shown."""
        return found

    def prompt(self, found: Provided[Prompt], principal: Principal | None) -> Provided[Prompt] | None:
        """A prompt as it is shown."""
        return found

    def inner_name(self, kind: ListKind, name: str) -> str | None:
        """By which name the provider knows what is asked for."""
        return name

    def shown_uri(self, uri: str) -> str:
        """How a URI of the provider's is shown."""
        return uri


class Transformed(Provider):
    """A provider as a `Transform` shows it."""

    def __init__(self, inner: Provider, transform: Transform) -> None:
        self._inner = inner
        self._transform = transform
        self._judges_readers = not transform.by_name and (
            type(transform).resource is not Transform.resource
            or type(transform).template is not Transform.template
        )
        self._prints: OrderedDict[Hashable, Hashable] = OrderedDict()
        self._show: dict[ListKind, Callable[[Provided[Any], Principal | None], Provided[Any] | None]] = {
            "tools": transform.tool,
            "resources": transform.resource,
            "templates": transform.template,
            "prompts": transform.prompt,
        }

    @property
    def label(self) -> str:
        """What people know the provider by."""
        return self._inner.label

    @property
    def instructions(self) -> str | None:
        """What the provider says of its use."""
        return self._inner.instructions

    @property
    def discovery_hints(self) -> tuple[float, Literal["public", "private"]] | None:
        """For how long what the provider says of itself may be kept, and for whom."""
        return self._inner.discovery_hints

    @property
    def offers(self) -> frozenset[Offer]:
        """What the provider may have."""
        return self._inner.offers

    @property
    def gathers(self) -> bool:
        """Whether the provider makes its pages of those of others."""
        return self._inner.gathers

    @property
    def single_use(self) -> bool:
        """Whether the state of calls of anything that it has counts once."""
        return self._inner.single_use

    @property
    def guarded(self) -> bool:
        """Whether anything that it has requires that callers are known."""
        return self._inner.guarded

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        """A page of its tools."""
        return self._page("tools", channel, await self._inner.list_tools(call, channel, cursor))

    async def list_resources(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Resource]:
        """A page of its resources."""
        return self._page("resources", channel, await self._inner.list_resources(call, channel, cursor))

    async def list_templates(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[ResourceTemplate]:
        """A page of its resource templates."""
        return self._page("templates", channel, await self._inner.list_templates(call, channel, cursor))

    async def list_prompts(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Prompt]:
        """A page of its prompts."""
        return self._page("prompts", channel, await self._inner.list_prompts(call, channel, cursor))

    async def find_tool(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
        """The tool that is shown under a name, of its versions that are shown."""
        return chosen(await self.tool_versions(call, channel, name), asked_version(call))

    async def tool_versions(self, call: Call, channel: Channel, name: str) -> Sequence[Provided[Tool]]:
        """All versions of a tool that are shown under a name."""
        inner = self._transform.inner_name("tools", name)
        found = () if inner is None else await self._inner.tool_versions(call, channel, inner)
        shown = (self._named("tools", each, channel, name) for each in found)
        return [each for each in shown if each is not None]

    async def find_resource(
        self, call: Call, channel: Channel, uri: str
    ) -> Provided[Resource] | Provided[ResourceTemplate] | None:
        """The resource that is shown under a URI, or the template that it fits."""
        inner = self._transform.inner_name("resources", uri)
        found = None if inner is None else await self._inner.find_resource(call, channel, inner)
        if inner is not None and self._judges_readers:
            found = await as_listed(self._inner, found, call, channel, inner)
        if found is None:
            return None
        if isinstance(found.described, Resource):
            return self._named("resources", found, channel, uri)
        principal = asking(channel)
        if found.whole is not None:
            whole = self._show["resources"](found.whole, principal)
            if whole is None:
                return None
            found = replace(found, whole=whole)
        return self._show["templates"](found, principal)

    async def find_template(
        self, call: Call, channel: Channel, template: str
    ) -> Provided[ResourceTemplate] | None:
        """The template that is shown as it is written there."""
        inner = self._transform.inner_name("templates", template)
        found = None if inner is None else await self._inner.find_template(call, channel, inner)
        return self._named("templates", found, channel, template)

    async def find_prompt(self, call: Call, channel: Channel, name: str) -> Provided[Prompt] | None:
        """The prompt that is shown under a name."""
        inner = self._transform.inner_name("prompts", name)
        found = None if inner is None else await self._inner.find_prompt(call, channel, inner)
        return self._named("prompts", found, channel, name)

    def _page(self, kind: ListKind, channel: Channel, page: ProvidedPage[Any]) -> ProvidedPage[Any]:
        show, principal = self._show[kind], asking(channel)
        shown = [each for found in page.items if (each := show(found, principal)) is not None]
        if page.scope is not None and self._transform.by_caller:
            page = replace(page, scope="private")
        return replace(page, items=shown)

    def _named(self, kind: ListKind, found: Provided[Any] | None, channel: Channel, name: str) -> Any:
        """A thing as it is shown, if that is under this name."""
        shown = None if found is None else self._show[kind](found, asking(channel))
        return shown if shown is not None and shown.name == name else None

    # What can be known without waiting

    def known(self, kind: ListKind, principal: Principal | None) -> Sequence[Provided[Any]] | None:
        """All that a caller sees in a list, where that can be said."""
        known, show = self._inner.known(kind, principal), self._show[kind]
        if known is None:
            return None
        return [each for found in known if (each := show(found, principal)) is not None]

    def known_one(self, kind: ListKind, name: str, principal: Principal | None) -> Provided[Any] | None:
        """The thing that is known to be shown under a name."""
        inner = self._transform.inner_name(kind, name)
        found = None if inner is None else self._inner.known_one(kind, inner, principal)
        shown = None if found is None else self._show[kind](found, principal)
        if shown is not None and shown.name == name:
            return shown
        return None if found is None or found.version is None else super().known_one(kind, name, principal)

    def fingerprint(self, kind: ListKind, principal: Principal | None) -> Hashable | None:
        """What is equal as long as a caller sees the same list."""
        inner = self._inner.fingerprint(kind, principal)
        if inner is None:
            return None
        key = (kind, inner, caller_key(principal) if self._transform.by_caller else None)
        found = self._prints.get(key)
        if found is None:
            found = self._prints[key] = super().fingerprint(kind, principal)
            if len(self._prints) > _MAX_PRINTS:
                self._prints.popitem(last=False)
        return found

    def knows(self, kind: ListKind, name: str) -> bool:
        """Whether it has a thing of that name, as far as that is known."""
        inner = self._transform.inner_name(kind, name)
        return inner is not None and self._inner.knows(kind, inner)

    def may_have(self, kind: ListKind, name: str) -> bool:
        """Whether it could have a thing of that name."""
        inner = self._transform.inner_name(kind, name)
        return inner is not None and self._inner.may_have(kind, inner)

    def hears(self, uri: str, principal: Principal) -> bool:
        """Whether a caller may hear of a change in a resource."""
        inner = self._transform.inner_name("resources", uri)
        return (
            inner is not None
            and self._inner.hears(inner, principal)
            and not self._hides(uri, inner, principal)
        )

    def must_ask(self, uri: str, principal: Principal) -> bool:
        """Whether a provider has to be asked if a caller sees a resource."""
        inner = self._transform.inner_name("resources", uri)
        if inner is None or not self._inner.may_have("resources", inner):
            return False
        if self._inner.must_ask(inner, principal):
            return True
        kinds: tuple[ListKind, ...] = ("resources", "templates")
        return self._transform.by_caller and any(
            self._inner.fingerprint(each, principal) is None for each in kinds
        )

    async def shows(self, call: Call, channel: Channel, uri: str) -> bool | None:
        """Whether who asks sees the resource of a URI; None where there is none."""
        inner = self._transform.inner_name("resources", uri)
        shown = None if inner is None else await self._inner.shows(call, channel, inner)
        if not shown or not self._transform.by_caller:
            return shown
        return await self.find_resource(call, channel, uri) is not None

    def lacking(self, uri: str, principal: Principal) -> Sequence[str]:
        """The scopes that a caller lacks to hear of a resource."""
        inner = self._transform.inner_name("resources", uri)
        if inner is None or self._hides(uri, inner, principal):
            return ()
        return self._inner.lacking(inner, principal)

    def _hides(self, uri: str, inner: str, principal: Principal) -> bool:
        """Whether what reads a URI, as far as it is known, is not shown to a caller."""
        found = known_reader(self._inner, inner, principal)
        if found is None:
            return False
        if not isinstance(found.described, Resource):
            return self._show["templates"](found, principal) is None
        shown = self._show["resources"](found, principal)
        return shown is None or shown.name != uri

    async def watch(self, uri: str) -> None:
        """Somebody listens to a resource."""
        inner = self._transform.inner_name("resources", uri)
        if inner is not None:
            await self._inner.watch(inner)

    async def unwatch(self, uri: str) -> None:
        """One listener less."""
        inner = self._transform.inner_name("resources", uri)
        if inner is not None:
            await self._inner.unwatch(inner)

    # Its life

    def mounted(self, asking: AskingRunner) -> None:
        """Called when it is mounted."""
        self._inner.mounted(asking)

    def mounted_under(self, prefix: str) -> None:
        """Called with the prefix that it is mounted under."""
        self._inner.mounted_under(prefix)

    @asynccontextmanager
    async def _life(self, publish: Callable[[Change], None]) -> AsyncGenerator[None]:
        show = self._transform.shown_uri

        def publish_shown(change: Change) -> None:
            publish(replace(change, uri=show(change.uri)) if change.kind == "resource" else change)

        async with self._inner.life(publish_shown):
            yield

    def life(self, publish: Callable[[Change], None]) -> AbstractAsyncContextManager[None]:
        """Around the time in which the provider is served."""
        return self._life(publish)


def asking(channel: Channel) -> Principal | None:
    """Who asks, None for one on this machine, who may see all."""
    return channel.principal if is_judged(channel.principal, channel.transport) else None


def caller_key(principal: Principal | None) -> Hashable:
    """What is equal for callers of whom the same is known."""
    if principal is None or principal.is_anonymous:
        return principal is None
    return principal.key, principal.scopes, codec.encode(principal.claims)


__all__ = ["Transform", "Transformed", "asking", "caller_key"]
