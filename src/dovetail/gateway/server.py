"""One server behind a gateway: a proxy of it, kept up, under its names here, behind the door.

Theory of operation. What the server offers passes through a `ProxyProvider` as it is; here it gets its names
(`names`), and calls pass the door (`door`). One task connects to the server and waits until the connection is lost;
then it connects anew, at once the first time and then after growing pauses, and tells callers that lists may have
changed. Calls do not wait for that task: each connects by itself where there is no connection.

Specification: server/tools, server/resources, server/prompts.
"""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Literal

from msgspec.structs import replace

from ..errors import Closed, DovetailError
from ..extensions import Call, Change, Channel, Encoded, Handler, Result
from ..host import ServerState, ServerStatus
from ..host.consent import ConsentKind
from ..host.hosted_server import needs_login
from ..host.icons import safe_icons
from ..host.server_states import ServerStates
from ..logs import get_logger
from ..providers import AskingRunner, ListKind, Offer, Provided, ProvidedPage, Provider
from ..proxy import ProxyProvider
from ..security.principal import Principal
from ..server.providers.calls import has_uris, renamed, with_uris
from ..types import (
    CallToolResult,
    GetPromptResult,
    Prompt,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    Tool,
)
from .door import GatewayDoor, Visited
from .limits import ServerRateLimits
from .names import ServerNames

__all__ = ["GatewayServer"]

log = get_logger("dovetail.gateway")
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 60.0
_SETTLED: Final = 30.0
"""Seconds after which a loss is no longer part of the trouble before."""
_AGAIN: Final = 1.0
"""Seconds in which a list is not gone through again for a name that nobody has seen."""
MAX_SHOWN: Final = 10_000
"""Things of one kind that are kept as they are shown."""
_LEVELS: Final = {"failed": logging.WARNING, "needs_login": logging.WARNING, "degraded": logging.WARNING}
_KINDS: Final[dict[ListKind, ConsentKind]] = {
    "tools": "tool",
    "resources": "resource",
    "templates": "resource",
    "prompts": "prompt",
}
_RESULTS: Final[dict[ListKind, type[Result]]] = {
    "tools": CallToolResult,
    "resources": ReadResourceResult,
    "templates": ReadResourceResult,
    "prompts": GetPromptResult,
}


class GatewayServer(Provider):
    """A server of a `Gateway`, under its ``name`` there. ``status`` says what has become of the connection that the
    gateway keeps to it; a server that is reached with the credentials of its callers alone has none, and stays "new".
    ``url``: where it is, if it has one.
    """

    def __init__(
        self,
        name: str,
        proxy: ProxyProvider,
        names: ServerNames,
        door: GatewayDoor,
        limits: ServerRateLimits,
        *,
        kept_up: bool,
        url: str = "",
    ) -> None:
        self.name = name
        self._kept_up = kept_up
        self._proxy = proxy
        self._names = names
        self._door = door
        self._limits = limits
        self._url = url
        self._states = ServerStates(name, self._told)
        self._wanted = asyncio.Event()
        self._publish: Callable[[Change], None] | None = None
        self._shown: dict[ListKind, OrderedDict[str, tuple[Any, Provided[Any] | None]]] = {
            kind: OrderedDict() for kind in _KINDS
        }
        self._sought: dict[ListKind, float] = {}
        self._trouble = ""

    @property
    def status(self) -> ServerStatus:
        """What has become of the connection: see `dovetail.host.ServerStatus`."""
        return self._states.current

    async def wait_for(self, *states: ServerState, timeout: float | None = None) -> ServerStatus:
        """Wait until the connection is in one of these states. ``timeout``: seconds, None for no limit. Raises
        `RequestTimeout`.
        """
        return await self._states.wait(states, timeout)

    def restart(self) -> None:
        """Try to connect now, whatever pause was to come: after a login, or once what was wrong is mended."""
        self._wanted.set()

    @property
    def label(self) -> str:
        """What people know it by: its name in the gateway."""
        return self.name

    @property
    def offers(self) -> frozenset[Offer]:
        """What it may have."""
        return self._proxy.offers

    @property
    def instructions(self) -> str | None:
        """What it says of its use, below the names that it has here."""
        said = (self._proxy.instructions or "").strip()
        if not said or self._names.bare:
            return said or None
        return f"{self.name} (its tools begin with {self.name}__):\n{said}"

    @property
    def discovery_hints(self) -> tuple[float, Literal["public", "private"]] | None:
        """For how long what it says of itself may be kept, and for whom: not at all while it is away. One that is
        reached with the credentials of callers alone says nothing.
        """
        return self._proxy.discovery_hints if self._kept_up else None

    # Lists

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        """A page of its tools."""
        return self._page("tools", await self._proxy.list_tools(call, channel, cursor))

    async def list_resources(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Resource]:
        """A page of its resources."""
        return self._page("resources", await self._proxy.list_resources(call, channel, cursor))

    async def list_templates(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[ResourceTemplate]:
        """A page of its resource templates."""
        return self._page("templates", await self._proxy.list_templates(call, channel, cursor))

    async def list_prompts(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Prompt]:
        """A page of its prompts."""
        return self._page("prompts", await self._proxy.list_prompts(call, channel, cursor))

    def _page(self, kind: ListKind, page: ProvidedPage[Any]) -> ProvidedPage[Any]:
        items = [shown for each in page.items if (shown := self._as_shown(kind, each)) is not None]
        return replace(page, items=items)

    # One thing

    async def tool_versions(self, call: Call, channel: Channel, name: str) -> Sequence[Provided[Tool]]:
        """The tool that is shown under a name, if there is one."""
        own = await self._own("tools", call, channel, name)
        found = None if own is None else await self._proxy.find_tool(call, channel, own)
        shown = None if found is None else self._as_shown("tools", found)
        return () if shown is None else (shown,)

    def tool_at_hand(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
        """The tool that is shown under a name, where the server's list is known."""
        own = self._names.own("tools", name)
        found = None if own is None else self._proxy.tool_at_hand(call, channel, own)
        return None if found is None else self._as_shown("tools", found)

    def known_one(self, kind: ListKind, name: str, principal: Principal | None) -> Provided[Any] | None:
        """Nothing is known without its caller, whose connection it is about."""
        return None

    async def find_prompt(self, call: Call, channel: Channel, name: str) -> Provided[Prompt] | None:
        """The prompt that is shown under a name."""
        own = await self._own("prompts", call, channel, name)
        found = None if own is None else await self._proxy.find_prompt(call, channel, own)
        return None if found is None else self._as_shown("prompts", found)

    async def find_template(
        self, call: Call, channel: Channel, template: str
    ) -> Provided[ResourceTemplate] | None:
        """The template that is shown as it is written there."""
        own = self._names.own("templates", template)
        found = None if own is None else await self._proxy.find_template(call, channel, own)
        return None if found is None else self._as_shown("templates", found)

    async def find_resource(
        self, call: Call, channel: Channel, uri: str
    ) -> Provided[Resource] | Provided[ResourceTemplate] | None:
        """The resource that is shown under a URI, or the template that it fits."""
        own = self._names.own("resources", uri)
        found: Any = None if own is None else await self._proxy.find_resource(call, channel, own)
        if found is None or own is None or self._door.hides(self._visited("resources", own, None)):
            return None
        kind: ListKind = "resources" if isinstance(found.described, Resource) else "templates"
        return self._made(kind, found)

    async def _own(self, kind: ListKind, call: Call, channel: Channel, name: str) -> str | None:
        """What the server calls it; its list is gone through for a name that ends in a digest nobody has seen."""
        found = self._names.own(kind, name)
        if found is not None or not self._names.may_have(kind, name):
            return found
        now = asyncio.get_running_loop().time()
        if now - self._sought.get(kind, -_AGAIN) < _AGAIN:
            return None
        self._sought[kind] = now
        pages = self._proxy.list_tools if kind == "tools" else self._proxy.list_prompts
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = await pages(call, channel, cursor)
            for each in page.items:
                self._names.shown(kind, each.name)
            cursor = page.next
            if cursor is None or cursor in seen:
                return self._names.own(kind, name)
            seen.add(cursor)

    def may_have(self, kind: ListKind, name: str) -> bool:
        """Whether it could have a thing of that name."""
        return self._names.may_have(kind, name)

    def hears(self, uri: str, principal: Principal) -> bool:
        """Whether a caller may hear of a change in a resource: of one that is not denied."""
        own = self._names.own("resources", uri)
        return own is not None and not self._door.hides(self._visited("resources", own, None))

    async def watch(self, uri: str) -> None:
        """Somebody listens to a resource."""
        own = self._names.own("resources", uri)
        if own is not None and not self._door.hides(self._visited("resources", own, None)):
            await self._proxy.watch(own)

    async def unwatch(self, uri: str) -> None:
        """One listener less."""
        own = self._names.own("resources", uri)
        if own is not None and not self._door.hides(self._visited("resources", own, None)):
            await self._proxy.unwatch(own)

    # As it is shown

    def _as_shown(self, kind: ListKind, found: Provided[Any]) -> Provided[Any] | None:
        """A thing of the server's as callers know it, None for one that is always denied. Made once for each."""
        kept = self._shown[kind]
        before = kept.get(found.name)
        if before is not None and before[0].described is found.described and before[0].task is found.task:
            return before[1]
        tool = found.described if isinstance(found.described, Tool) else None
        hidden = self._door.hides(self._visited(kind, found.name, tool))
        shown = None if hidden else self._made(kind, found)
        kept[found.name] = found, shown
        if len(kept) > MAX_SHOWN:
            kept.popitem(last=False)
        return shown

    def _made(self, kind: ListKind, found: Provided[Any]) -> Provided[Any]:
        tool = found.described if isinstance(found.described, Tool) else None
        visited = self._visited(kind, found.name, tool)
        answer = self._door.guarded(visited, found.answer)
        complete = found.complete and self._door.guarded_completion(visited, found.complete)
        if not self._names.bare:
            own = None if kind in ("resources", "templates") else found.name
            answer = self._under(answer, kind, own)
            complete = complete and self._completing(complete, found.name)
        answer = self._limits.guarded(self.name, answer)
        complete = complete and self._limits.guarded(self.name, complete)
        described = self._names.renamed(kind, found.described)
        if described.icons:  # a person at a caller's can't tell whose they are
            icons = safe_icons(described.icons, self._url, anywhere=not self._url)
            described = replace(described, icons=icons or None)
        if tool is None or not self._door.asks:
            return replace(found, described=described, answer=answer, complete=complete)
        # Who is asked at the door is asked before anything begins, so the call is a plain one.
        plain = replace(described, execution=None)
        return replace(found, described=plain, answer=answer, task=None, asks_first=False)

    def _visited(self, kind: ListKind, own: str, tool: Tool | None) -> Visited:
        shown = own if kind in ("resources", "templates") else self._names.shown(kind, own)
        return Visited(server=self.name, kind=_KINDS[kind], name=shown, own=own, tool=tool)

    def _under(self, inner: Handler, kind: ListKind, own: str | None) -> Handler:
        """A handler that is asked for the server's own name, or URI, and shows URIs as callers know them."""
        names, result_type = self._names, _RESULTS[kind]

        async def answer(call: Call, channel: Channel) -> Result | Encoded:
            name = own
            if name is None:
                params: Any = call.params
                name = names.own("resources", params.uri) or params.uri
            result = await inner(renamed(call, channel, name), channel)
            return with_uris(result, result_type, names.shown_uri) if has_uris(result) else result

        return answer

    def _completing(self, inner: Handler, own: str) -> Handler:
        async def answer(call: Call, channel: Channel) -> Result | Encoded:
            return await inner(renamed(call, channel, own), channel)

        return answer

    # Its life

    def mounted(self, asking: AskingRunner) -> None:
        """Called when it is mounted."""
        self._proxy.mounted(asking)

    def life(self, publish: Callable[[Change], None]) -> AbstractAsyncContextManager[None]:
        """Around the time in which it is served. Waits for nothing."""
        return self._live(publish)

    @asynccontextmanager
    async def _live(self, publish: Callable[[Change], None]) -> AsyncGenerator[None]:
        def shown(change: Change) -> None:
            publish(
                replace(change, uri=self._names.shown_uri(change.uri))
                if change.kind == "resource"
                else change
            )

        self._publish = publish
        self._states = ServerStates(self.name, self._told)
        keeping: asyncio.Task[None] | None = None
        async with self._proxy.life(shown):
            if self._kept_up:
                self._states.now("connecting")
                keeping = asyncio.create_task(self._keep(), name=f"dovetail gateway: {self.name}")
            try:
                yield
            finally:
                self._publish = None
                if keeping is not None:
                    keeping.cancel()
                    await asyncio.wait((keeping,))
                self._states.now("closed")

    async def _keep(self) -> None:
        """Connect, wait until that is lost, and connect again."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            self._wanted.clear()
            began = loop.time()
            problem: BaseException
            try:
                client = await self._proxy.connect()
                while True:
                    self._states.now("ready", connected=True)
                    self._tell_changes()
                    await client.wait_for("renewing", "lost")
                    self._states.now("degraded")
                    await client.wait_for("ready")
            except Closed as closed:  # the proxy let go of that connection
                problem = closed
            except DovetailError as failed:
                problem = failed
            except Exception as unforeseen:  # whatever it is, the server is looked after further
                log.exception("connecting to the server %s failed", self.name)
                problem = unforeseen
            if self._states.current.state in ("ready", "degraded"):
                self._states.now("degraded", problem)
                failures = 0 if loop.time() - began > _SETTLED else failures
                if failures == 0:
                    failures = 1
                    continue
            failures += 1
            await self._rest(problem, failures)
            self._states.now("connecting", problem)

    async def _rest(self, problem: BaseException, failures: int) -> None:
        """Wait for the time of the next attempt, or until one is wanted."""
        pause: float | None = None
        if needs_login(problem):
            self._states.now("needs_login", problem)
        else:
            longest = min(_FIRST_PAUSE * 2 ** min(failures - 1, 16), _LONGEST_PAUSE)
            pause = longest * random.SystemRandom().uniform(0.5, 1)  # spreads attempts
            self._states.now("failed", problem, retry_in=pause)
        try:
            async with asyncio.timeout(pause):
                await self._wanted.wait()
        except TimeoutError:
            pass  # it is time

    def _tell_changes(self) -> None:
        """It is there: what it lists may be new to those who listen."""
        publish = self._publish
        if publish is not None:
            offers = self._proxy.offers
            for kind in ("tools", "resources", "prompts"):
                if kind in offers:
                    publish(Change(kind))

    def _told(self, status: ServerStatus) -> None:
        """Tell the log what has become of it; of attempts that fail as the one before did, only who looks closely."""
        said = str(status)
        level = _LEVELS.get(status.state, logging.INFO)
        if status.state == "ready":
            if self._trouble:
                level = logging.WARNING  # whoever read of the trouble reads that it is over
            self._trouble = ""
        elif level == logging.WARNING:
            level = logging.DEBUG if said == self._trouble else level
            self._trouble = said
        log.log(level, "%s: %s", self.name, said)
