"""`ProxyProvider`: another server's tools, resources and prompts, as a provider.

Theory of operation. Lists and calls go to the upstream as they are asked for, over a connection that stays open
(`connections`), and what comes back is passed on in the bytes that it came in, unless the caller's revision can't carry
them. What the upstream asks during a call goes to the caller of that call, whichever eras the two are of: see `calls`.

Specification: server/tools, server/resources, server/prompts, server/utilities/completion.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import cached_property
from typing import Any, Final, Literal, Unpack

from msgspec import MsgspecError
from msgspec.structs import replace

from ..client import Client, ClientOptions, Target
from ..errors import DovetailError, FeatureUnavailable, LocalProtocolError, MethodNotFound, RPCError
from ..extensions import Call, Change, Channel, Encoded, Handler, Result, TaskOptions
from ..logs import get_logger
from ..protocol import names
from ..providers import AskingRunner, ListKind, Offer, Provided, ProvidedPage, Provider
from ..revisions import PROFILES
from ..security.limits import LogThrottle
from ..security.principal import Principal
from ..types import Prompt, Resource, ResourceTemplate, ServerCapabilities, Tool, ToolExecution
from .calls import Forwarder
from .connections import Connection, Credentials, Share, UpstreamConnections
from .description import UpstreamDescription
from .failures import UpstreamFailed, failure_of, unreadable
from .kept_results import KeptResults
from .lists import MAX_THINGS, Lists, ListSpending
from .upstream_tasks import makes_tasks

log = get_logger("dovetail.proxy")

MAX_WATCHED: Final = 10_000
"""Resources whose changes are heard of at a time."""
FIRST_WAIT: Final = 2.0
"""Seconds that serving waits for the upstream, to announce what it offers; clients that find out the era of a server on
stdio wait no longer than five.
"""
_TASK: Final = TaskOptions(poll=1.0)
_OURS: Final = ("elicitation", "approve", "sampling", "roots", "logging", "progress", "rounds")


class ProxyProvider(Provider):
    """What another server offers: ``app.mount("weather", ProxyProvider("https://weather.example/mcp"))``.

    ``target`` and ``options`` are those of `dovetail.Client`, but for what it is asked and told: that goes to the
    callers. ``name``: what people know the upstream by, in errors and logs (default: the
    prefix that it is mounted under, else what it calls itself, or where it is).

    ``share``: "caller": each session of callers has a connection of its own to a stateful upstream, and callers
    without a session one for each principal; a stateless upstream, which keeps nothing, is reached over one for all.
    "all": one for all in any case, for an upstream that keeps nothing between calls; what it asks reaches the caller
    only where the connection tells which call it is for. ``credentials``: gives the options (``auth``, ``headers``) of
    the connections of a principal, so that lists and calls are those of that principal; without it all callers have
    the credentials of ``options``. The caller's own token and headers are never sent to the upstream.

    ``max_connections``: beyond these, a call is refused until one is unused (64); ``caller_share``: the percentage of
    them that the calls of one caller may keep busy, those that wait for its answers among them (25); callers without a
    name may keep half of them busy together, where others have one. ``idle``: seconds after which an unused one is
    closed (300). ``list_timeout``: seconds that the upstream has for a page of a list (10). ``first_wait``: seconds
    that serving waits for the upstream, to announce what it offers (2); None: it is connected to when something is
    asked of it, or by `connect`. ``park``: seconds that a call at a stateful upstream waits for the answers
    of a caller of the stateless era (300). Raises `LocalProtocolError` for options that can't be.
    """

    def __init__(
        self,
        target: Target,
        *,
        name: str = "",
        share: Share = "caller",
        credentials: Credentials | None = None,
        max_connections: int = 64,
        caller_share: int = 25,
        idle: float = 300.0,
        list_timeout: float = 10.0,
        first_wait: float | None = FIRST_WAIT,
        park: float = 300.0,
        **options: Unpack[ClientOptions],
    ) -> None:
        for each in _OURS:
            if each in options:
                raise LocalProtocolError(
                    f"a proxy has no option {each!r}: what its upstream asks and tells goes to its callers"
                )
        if isinstance(target, Client):
            raise LocalProtocolError("a proxy makes its own clients: give it what the client was given")
        if share not in ("caller", "all"):
            raise LocalProtocolError(f'share is "caller" or "all", not {share!r}')
        if max_connections < 1 or not 0 < caller_share <= 100:
            raise LocalProtocolError("max_connections is at least 1, caller_share a percentage from 1 to 100")
        self._name = name
        self._first_wait = first_wait
        self._main: Connection | None = None
        self._publish: Callable[[Change], None] | None = None
        self._watched: dict[str, int] = {}
        self._kept = KeptResults(wanted=options.get("cache", True))
        self._lists = Lists(list_timeout, self._kept)
        self._description = UpstreamDescription(list_timeout)
        self._seldom = LogThrottle()
        self._tools: dict[str, tuple[Tool, Provided[Tool]]] = {}
        kind = type(self)  # a class that finds tools in its own way is asked for each
        self._finds_tools: Final = (
            kind.find_tool is ProxyProvider.find_tool and kind.tool_versions is Provider.tool_versions
        )
        self._connections = UpstreamConnections(
            target,
            options,
            credentials=credentials,
            share=share,
            limit=max_connections,
            caller_share=caller_share,
            idle=idle,
            changed=self._changed,
            opened=self._subscribe_all,
        )
        self._caller = Forwarder(
            self._connections, self._kept, park=park, timeout=options.get("timeout"), label=lambda: self.label
        )
        self._uses: Final = {
            kind: self._by("" if kind in ("use", "complete") else kind)
            for kind in ("use", "complete", "optional", "required")
        }

    @property
    def label(self) -> str:
        """What people know the upstream by."""
        if self._name:
            return self._name
        main = self._main
        info = None if main is None or main.client.state != "ready" else main.client.server_info
        return self._described if info is None else (info.title or info.name)[:100]

    @cached_property
    def _described(self) -> str:
        """Where the upstream is, without secrets."""
        try:
            return Client(self._connections.target).describe()
        except DovetailError:  # there is no such file yet, or ever: who connects is told
            return "the upstream server"

    def mounted_under(self, prefix: str) -> None:
        """Called with the prefix that it is mounted under."""
        self._name = self._name or prefix

    @property
    def offers(self) -> frozenset[Offer]:
        """What the upstream offers; anything, as long as that is not known."""
        offered = None
        if self._main is not None:
            with suppress(LocalProtocolError):
                offered = self._description.capabilities
        if offered is None:
            return frozenset(("tools", "resources", "prompts", "completions"))
        known: Mapping[Offer, Any] = {
            "tools": offered.tools,
            "resources": offered.resources,
            "prompts": offered.prompts,
            "completions": offered.completions,
        }
        unsaid = PROFILES[self._main.client.revision].absent.get(ServerCapabilities, ()) if self._main else ()
        return frozenset(kind for kind, there in known.items() if there is not None or kind in unsaid)

    @property
    def instructions(self) -> str | None:
        """What the upstream says of its use."""
        main = self._main
        return None if main is None or main.client.state != "ready" else self._description.instructions

    @property
    def discovery_hints(self) -> tuple[float, Literal["public", "private"]] | None:
        """For how long what the upstream says of itself may be kept, and for whom: not at all while it is away. None of
        a stateful one, which does not say it.
        """
        if self._main is None or self._main.client.state != "ready":
            return 0.0, "public"
        return self._description.hints()

    async def watch(self, uri: str) -> None:
        """Hear of changes of a resource, for one listener more. Raises as `Client.subscribe` does."""
        many = self._watched.get(uri, 0)
        if not many and len(self._watched) >= MAX_WATCHED:
            return
        self._watched[uri] = many + 1
        if many:
            return
        main = await self._connections.main()
        await _subscribe(main, uri)
        for each in self._others(main):
            with suppress(DovetailError):  # what is lost there is lost with that connection
                await _subscribe(each, uri)

    async def unwatch(self, uri: str) -> None:
        """One listener less. Raises as `Client.unsubscribe` does."""
        left = self._watched.get(uri, 0) - 1
        if left > 0:
            self._watched[uri] = left
        elif self._watched.pop(uri, None) is not None:
            main = await self._connections.main()
            for each in self._others(main):
                with suppress(DovetailError):
                    await each.client.unsubscribe(uri)
            await main.client.unsubscribe(uri)

    def _others(self, main: Connection) -> list[Connection]:
        """Connections that hear of their own changes alone: those to a stateful upstream, which may be processes."""
        if self._connections.stateless:
            return []
        return [each for each in self._connections.open_ones() if each is not main]

    async def _subscribe_all(self, connection: Connection) -> None:
        """A connection was opened: it hears of what is listened to from its beginning."""
        if connection.client.era == "stateful":
            for uri in list(self._watched):
                try:
                    await _subscribe(connection, uri)
                except RPCError as problem:
                    log.debug("%s: not subscribed to %s: %s", self.label, uri[:128], problem)

    # Lists

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        """A page of the upstream's tools."""
        return await self._page("tools", call, channel, cursor)

    async def list_resources(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Resource]:
        """A page of the upstream's resources."""
        return await self._page("resources", call, channel, cursor)

    async def list_templates(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[ResourceTemplate]:
        """A page of the upstream's resource templates."""
        return await self._page("templates", call, channel, cursor)

    async def list_prompts(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Prompt]:
        """A page of the upstream's prompts."""
        return await self._page("prompts", call, channel, cursor)

    async def find_tool(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
        """The upstream's tool of a name."""
        return self._provided("tools", await self._found("tools", call, channel, name))

    def tool_at_hand(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
        """The upstream's tool of a name, where its list is known and the connection for the call is open."""
        if not self._finds_tools:
            return None
        there = self._connections.at_hand(call, channel)
        found = None if there is None else self._lists.at_hand("tools", there, name)
        return None if found is None else self._provided_tool(found)

    def known_one(self, kind: ListKind, name: str, principal: Principal | None) -> Provided[Any] | None:
        """Nothing is known without its caller, whose connection it is about."""
        return None

    async def find_prompt(self, call: Call, channel: Channel, name: str) -> Provided[Prompt] | None:
        """The upstream's prompt of a name."""
        return self._provided("prompts", await self._found("prompts", call, channel, name))

    async def find_template(
        self, call: Call, channel: Channel, template: str
    ) -> Provided[ResourceTemplate] | None:
        """The upstream's template that is written so."""
        return self._provided("templates", await self._found("templates", call, channel, template))

    async def find_resource(
        self, call: Call, channel: Channel, uri: str
    ) -> Provided[Resource] | Provided[ResourceTemplate] | None:
        """The resource of a URI: to be read any, if the upstream has resources at all, for it need not list what it
        names in results.
        """
        if "resources" not in self.offers:
            return None
        if call.method != names.RESOURCES_READ:
            return await super().find_resource(call, channel, uri)
        return Provided(described=Resource(uri=uri, name=uri), answer=self._uses["use"], unlisted=True)

    async def _page(
        self, kind: ListKind, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Any]:
        spent = ListSpending.of(cursor)
        clock = asyncio.get_running_loop().time
        try:
            with await self._connections.lease(call, channel) as connection:
                began = clock()
                try:
                    page = await self._lists.page(kind, connection, spent.cursor, channel.principal)
                except (MethodNotFound, FeatureUnavailable):
                    return ProvidedPage()
        except DovetailError as problem:
            raise self._told(problem) from problem
        following = spent.after(page.next, clock() - began)
        partial = page.partial
        if following is not None and following.is_enough:
            self._tell_of_cut(kind, following)
            following, partial = None, True
        onward = None if following is None else str(following)
        items, hints = [self._provided(kind, each) for each in page.items], page.hints
        if hints is None:  # it tells of changes, so the app may say how long to keep it
            return ProvidedPage(items, onward, partial)
        scope = "public" if hints.public else "private"
        return ProvidedPage(items, onward, partial, ttl=hints.ttl, scope=scope)

    def _tell_of_cut(self, kind: ListKind, spent: ListSpending) -> None:
        if self._seldom.due(("not all", kind)):
            log.warning(
                "%s: not all its %s are listed: there were %d pages in %g seconds, and more to come (said once a"
                " minute)",
                self.label,
                kind,
                spent.pages,
                spent.milliseconds / 1000,
            )

    async def _found(self, kind: ListKind, call: Call, channel: Channel, name: str) -> Any:
        there = self._connections.at_hand(call, channel)
        if there is not None and (found := self._lists.at_hand(kind, there, name)) is not None:
            return found
        try:
            with await self._connections.lease(call, channel) as connection:
                try:
                    return await self._lists.find(kind, connection, name, channel.principal)
                except (MethodNotFound, FeatureUnavailable):
                    return None
        except DovetailError as problem:
            raise self._told(problem) from problem

    def _provided(self, kind: ListKind, described: Any) -> Any:
        if described is None:
            return None
        if kind == "tools":
            return self._provided_tool(described)
        complete = self._uses["complete"] if kind in ("prompts", "templates") else None
        return Provided(described=described, answer=self._uses["use"], complete=complete)

    def _provided_tool(self, tool: Tool) -> Provided[Tool]:
        """A tool, which may be run as a task of the app's own where the upstream has tasks: its body is the call. Made
        once for each that was listed, as long as the same is connected to.
        """
        kept = self._tools.get(tool.name)
        if kept is not None and kept[0] is tool:
            return kept[1]
        provided = self._made_tool(tool)
        if len(self._tools) >= MAX_THINGS:
            self._tools.clear()
        self._tools[tool.name] = tool, provided
        return provided

    def _made_tool(self, tool: Tool) -> Provided[Tool]:
        support = None if tool.execution is None else tool.execution.task_support
        if support in ("optional", "required"):  # none has to be one: a plain call is followed to its end
            shown = replace(tool, execution=ToolExecution(task_support="optional"))
            return Provided(described=shown, answer=self._uses[support], task=_TASK)
        main = self._main
        makes = (
            self._connections.stateless and main is not None and makes_tasks(main.client.server_capabilities)
        )
        return Provided(
            described=tool, answer=self._uses["use"], task=_TASK if makes else None, asks_first=bool(makes)
        )

    # Using

    def _by(self, support: str) -> Handler:
        forwarder = self._caller

        async def answer(call: Call, channel: Channel) -> Result | Encoded:
            try:
                return await forwarder.answer(call, channel, support)
            except DovetailError as problem:
                raise self._told(problem) from problem
            except MsgspecError as problem:
                raise self._told(unreadable(call.method, problem)) from problem

        return answer

    def _told(self, problem: DovetailError) -> RPCError:
        """What a caller is told of a problem with the upstream, and the log seldom: the upstream's own errors are told
        as they are.
        """
        if isinstance(problem, RPCError) and not isinstance(problem, UpstreamFailed):
            return problem
        if self._seldom.due(type(problem)):
            log.warning("%s: %s (said once a minute)", self.label, problem)
        return failure_of(self.label, problem)

    # Its life

    def mounted(self, asking: AskingRunner) -> None:
        """Called when it is mounted."""
        self._caller.asking = asking

    def life(self, publish: Callable[[Change], None]) -> AbstractAsyncContextManager[None]:
        """Around the time in which it is served: connected to the upstream, which may come later."""
        return self._live(publish)

    @asynccontextmanager
    async def _live(self, publish: Callable[[Change], None]) -> AsyncGenerator[None]:
        self._publish = publish
        tasks = [asyncio.create_task(self._connections.tidy())]
        try:
            if self._first_wait is not None:
                tasks.append(asyncio.create_task(self._begin()))
                await asyncio.wait(tasks[1:], timeout=self._first_wait)
            yield
        finally:
            self._publish = None
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._description.close()
            self._caller.close()
            await self._connections.close()

    async def connect(self) -> Client:
        """Connect to the upstream, where the connection of the proxy itself is not open, and give its client: what that
        says of itself, and its states. It is the proxy's: close it by ending the proxy. Raises what opening it raises.
        """
        main = await self._connections.main()
        if main is not self._main:
            self._tools.clear()  # whether they may be tasks is known now
            self._main = main
            self._description.opened(main.client)
        return main.client

    async def _begin(self) -> None:
        try:
            await self.connect()
        except DovetailError as problem:
            log.warning("%s is not there yet: %s", self.label, problem)

    def _changed(self, connection: Connection, change: Change | None) -> None:
        self._tools.clear()
        if change is None and connection is self._main:
            self._description.opened(connection.client)
        self._kept.changed(connection, change)
        self._lists.changed(connection, change)
        if change is not None and self._publish is not None:
            self._publish(change)


async def _subscribe(connection: Connection, uri: str) -> None:
    """Hear of changes of a resource over a connection, where the upstream tells of any."""
    offered = connection.client.server_capabilities
    if offered is not None and offered.resources is not None and offered.resources.subscribe:
        await connection.client.subscribe(uri)


__all__ = ["ProxyProvider"]
