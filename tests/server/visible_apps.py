"""Apps, mounts, transforms and providers drawn at random, and what one caller finds in them over a wire."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import strategies as st
from msgspec import Struct

from dovetail import App
from dovetail.protocol.call import Call
from dovetail.protocol.listening import Change
from dovetail.protocol.types import (
    CallToolResult,
    CompleteResult,
    Completion,
    GetPromptResult,
    Prompt,
    PromptMessage,
    ReadResourceResult,
    Resource,
    ResourceContents,
    ResourceTemplate,
    TextContent,
    Tool,
)
from dovetail.protocol.uri_template.template import URITemplate
from dovetail.providers import (
    Argument,
    Described,
    Provided,
    ProvidedPage,
    Provider,
    arguments,
    describe,
    hide,
    map_results,
    only,
    rename,
    tag,
    versions,
    visible,
)
from dovetail.runtime.channel import Channel
from dovetail.runtime.connection import ServerConnection
from dovetail.security.principal import ANONYMOUS, Principal
from wire_of_server import Wire

ID = "dev.example/id"
VERSION = "io.dovetail/version"
VERSIONS = "io.dovetail/versions"
KINDS = ("tools", "resources", "templates", "prompts")
NAMES: dict[str, tuple[str, ...]] = {
    "tools": ("t1", "t2", "p_t1"),
    "prompts": ("p1", "p2", "p_p1"),
    "resources": ("r://1", "r://p/1", "urn:one"),
    "templates": ("r://{name}", "s://{name}", "u://p/{+rest}"),
}
PREFIXES = ("p", "q")
ISSUER = "https://id.example"


class EntrySpec(Struct, frozen=True):
    """One entry. ``need``: what it requires: nothing, scopes (letters), to be root, or both; ``version``: a tool's, if
    it has one.
    """

    kind: str
    name: str
    need: str = ""
    completes: bool = False
    id: str = ""
    version: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that it requires."""
        return tuple(self.need.removeprefix("root").strip())

    @property
    def is_roots(self) -> bool:
        """Whether it is shown to root alone."""
        return self.need.startswith("root")


class SourceSpec(Struct, frozen=True):
    """An app, or a provider that is asked for each request (``dynamic``); ``mounts`` are those of an app."""

    entries: tuple[EntrySpec, ...]
    page_size: int
    dynamic: bool = False
    filtered: str = ""
    mounts: tuple["MountSpec", ...] = ()


class MountSpec(Struct, frozen=True):
    """A mount, with transforms by name."""

    prefix: str | None
    source: SourceSpec
    transforms: tuple[tuple[str, Any], ...] = ()


CALLERS: dict[str, tuple[str, Principal]] = {
    "here": ("memory", ANONYMOUS),
    "nameless": ("http", ANONYMOUS),
    "ada": ("http", Principal(ISSUER, "ada")),
    "ada with a": ("http", Principal(ISSUER, "ada", scopes=frozenset("a"))),
    "bob with ab": ("http", Principal(ISSUER, "bob", scopes=frozenset("ab"), claims={"team": "blue"})),
    "root": ("http", Principal(ISSUER, "root", scopes=frozenset("ab"))),
}


# Drawing


@st.composite
def _entries(draw: st.DrawFn) -> tuple[EntrySpec, ...]:
    found: dict[tuple[str, str, str | None], EntrySpec] = {}
    has_versions: dict[str, bool] = {}
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(KINDS))
        name = draw(st.sampled_from(NAMES[kind]))
        need = draw(st.sampled_from(("", "", "a", "b", "ab", "root", "root a")))
        version = draw(st.sampled_from((None, "1", "2", "10"))) if kind == "tools" else None
        if kind == "tools" and has_versions.setdefault(name, version is not None) is (version is None):
            continue  # an app is told so
        tags = draw(st.sampled_from(((), (), ("red",), ("blue", "red"))))
        found[kind, name, version] = EntrySpec(
            kind, name, need, draw(st.booleans()), version=version, tags=tags
        )
    return tuple(found.values())


_TRANSFORMS = st.lists(
    st.one_of(
        st.tuples(
            st.just("rename tools"), st.sampled_from([{"t1": "t2"}, {"t1": "t2", "t2": "t1"}, {"t2": "t9"}])
        ),
        st.tuples(st.just("rename prompts"), st.sampled_from([{"p1": "p2"}, {"p2": "p9"}])),
        st.tuples(st.just("rename resources"), st.sampled_from([{"r://1": "r://9"}, {"urn:one": "r://1"}])),
        st.tuples(st.just("namespace"), st.sampled_from(PREFIXES)),
        st.tuples(st.just("visible"), st.sampled_from(["root", "blue", "tagged", "scoped", "unclear"])),
        st.tuples(st.just("only"), st.sampled_from(["t1", "r*", "*1"])),
        st.tuples(st.just("hide"), st.sampled_from(["t1", "r*", "p*"])),
        st.tuples(st.just("versions"), st.sampled_from([{"below": "10"}, {"at_least": "2"}])),
        st.tuples(st.just("hide tagged"), st.just("red")),
        st.tuples(st.just("tag"), st.just("red")),
        st.tuples(st.just("describe"), st.just("t1")),
        st.tuples(st.just("arguments"), st.just("t1")),
        st.tuples(st.just("results"), st.none()),
    ),
    max_size=3,
)


@st.composite
def _sources(draw: st.DrawFn, depth: int) -> SourceSpec:
    entries, page_size = draw(_entries()), draw(st.sampled_from((1, 2, 1000)))
    if depth < 2 and draw(st.integers(0, 3)) == 0:
        return SourceSpec(entries, page_size, dynamic=True)
    mounts: list[MountSpec] = []
    for _ in range(draw(st.integers(1 if depth == 2 else 0, 2)) if depth else 0):
        prefix = draw(st.one_of(st.none(), st.sampled_from(PREFIXES)))
        source = draw(_sources(depth - 1))
        mounts.append(MountSpec(prefix, source, tuple(draw(_TRANSFORMS))))
    filtered = draw(st.sampled_from(("", "", "", "t1"))) if depth < 2 else ""
    return SourceSpec(entries, page_size, filtered=filtered, mounts=tuple(mounts))


TREES = _sources(2)
CHANGES = st.tuples(
    st.integers(0, 9),
    st.sampled_from(KINDS).flatmap(
        lambda kind: st.builds(
            EntrySpec, st.just(kind), st.sampled_from(NAMES[kind]), st.sampled_from(("", "a", "root"))
        )
    ),
    st.booleans(),
)
WHO = st.lists(st.sampled_from(sorted(CALLERS)), min_size=2, max_size=3, unique=True)


# Building


class Built:
    """An app made of a `SourceSpec`. ``apps``: all apps in it; ``ids``: what each entry is called."""

    def __init__(self, spec: SourceSpec) -> None:
        self.apps: list[App] = []
        self.providers: list[FromDatabase] = []
        self.count = 0
        self.app = self._app(spec)

    def id(self, entry: EntrySpec) -> str:
        """A name for one entry, which it gives when it is used."""
        self.count += 1
        return f"{entry.kind}:{entry.name}:{self.count}"

    def _app(self, spec: SourceSpec) -> App:
        middleware = [_without(spec.filtered)] if spec.filtered else []
        app = App(
            f"app{len(self.apps)}",
            page_size=spec.page_size,
            rate_limit=None,
            middleware=middleware,
            telemetry=(),
        )
        self.apps.append(app)
        for entry in spec.entries:
            self.add(app, entry)
        for mount in spec.mounts:
            what: Any = self._provider(mount.source) if mount.source.dynamic else self._app(mount.source)
            app.mount(mount.prefix, what, *(_transform(*each) for each in mount.transforms))
        return app

    def _provider(self, spec: SourceSpec) -> "FromDatabase":
        rows = [(entry, self.id(entry)) for entry in spec.entries]
        self.providers.append(FromDatabase(rows, spec.page_size))
        return self.providers[-1]

    def change(self, place: int, entry: EntrySpec, remove: bool) -> None:
        """Take an entry out of one of the apps, if it is to be removed and is there, or put it in."""
        app = self.apps[place % len(self.apps)]
        removed = {"tools": app.remove_tool, "prompts": app.remove_prompt}.get(
            entry.kind, app.remove_resource
        )
        with contextlib.suppress(KeyError):
            removed(entry.name)
        if not remove:
            self.add(app, entry, completes=False)

    def held_back(self) -> float:
        """Seconds until all is told that was published."""
        now = asyncio.get_running_loop().time()
        calms = self.app.service.hub._calm.values()
        return max((calm.due[change] - now for calm in calms for change in calm.held), default=0.0)

    def add(self, app: App, entry: EntrySpec, *, completes: bool = True) -> None:
        """Register an entry."""
        id, needs = self.id(entry), _needs(entry)
        options: dict[str, Any] = {"meta": {ID: id}, "replace": True, "tags": entry.tags, **needs}
        if entry.kind == "tools":
            app.add_tool(_tool(id), name=entry.name, version=entry.version, **options)
        elif entry.kind == "prompts":
            app.add_prompt(_prompt(id), name=entry.name, **options)
        else:
            variable = "rest" if "{+rest}" in entry.name else "name" if "{" in entry.name else ""
            app.add_resource(_resource(id, variable), entry.name, **options)
        if completes and entry.completes and entry.kind in ("prompts", "templates"):
            argument = "topic" if entry.kind == "prompts" else "rest" if "{+rest}" in entry.name else "name"
            app.completion(entry.name, argument)(_completer(id))


def _needs(entry: EntrySpec) -> dict[str, Any]:
    found: dict[str, Any] = {"scopes": list(entry.scopes)} if entry.scopes else {}
    return {**found, "allow": lambda who: who.subject == "root"} if entry.is_roots else found


def _tool(id: str) -> Callable[..., Any]:
    async def tool(x: int = 0) -> str:
        return id

    return tool


def _prompt(id: str) -> Callable[..., Any]:
    async def prompt(topic: str = "") -> str:
        return id

    return prompt


def _resource(id: str, variable: str) -> Callable[..., Any]:
    async def plain() -> str:
        return id

    async def by_name(name: str) -> str:
        return id

    async def by_rest(rest: str) -> str:
        return id

    return {"": plain, "name": by_name, "rest": by_rest}[variable]


def _completer(id: str) -> Callable[..., Any]:
    async def complete(typed: str) -> list[str]:
        return [id]

    return complete


def _without(name: str) -> Any:
    """Middleware that leaves a name out of lists, and refuses it."""

    async def layer(call: Call, channel: Channel, handler: Any) -> Any:
        result = await handler(call, channel)
        if call.method == "tools/list":
            from msgspec.structs import replace

            from dovetail.protocol.types import ListToolsResult
            from dovetail.server.providers.calls import typed

            listed: Any = typed(result, ListToolsResult)
            return replace(listed, tools=[each for each in listed.tools if each.name != name])
        return result

    return layer


def _transform(what: str, how: Any) -> Any:
    from dovetail.providers import namespace

    if what.startswith("rename "):
        return rename(how, kind=what.removeprefix("rename "))  # type: ignore[arg-type] - one of three
    made: dict[str, Callable[[], Any]] = {
        "namespace": lambda: namespace(how),
        "visible": lambda: visible(_SEES[how]),
        "only": lambda: only(how),
        "hide": lambda: hide(how),
        "hide tagged": lambda: hide(tags=[how]),
        "tag": lambda: tag(how),
        "versions": lambda: versions(**how),
        "describe": lambda: describe({how: Described(title="Other", description="Other words")}),
        "arguments": lambda: arguments(how, x=Argument(name="y", default=3)),
        "results": lambda: map_results(lambda result: result),
    }
    return made[what]()


_SEES: dict[str, Callable[[Any, Principal | None], bool]] = {
    "root": lambda _found, who: who is None or who.subject == "root",
    "blue": lambda _found, who: who is not None and who.claims.get("team") == "blue",
    "tagged": lambda found, _who: "red" in found.tags,
    "scoped": lambda _found, who: who is None or "a" in who.scopes,
    "unclear": lambda found, _who: "yes",  # type: ignore[dict-item,return-value] - anything but True says no
}


class FromDatabase(Provider):
    """Rows, a page at a time, those that a caller may see; nothing of it is known without waiting."""

    def __init__(self, rows: list[tuple[EntrySpec, str]], page_size: int) -> None:
        self.rows = rows
        self.page_size = page_size
        self.publish: Callable[[Change], None] = lambda change: None

    @property
    def offers(self) -> frozenset[Any]:
        return frozenset(("tools", "resources", "prompts", "completions"))

    def hears(self, uri: str, principal: Principal) -> bool:
        """What this caller has, and what nobody has here."""
        rows, first = self._read_by(uri, principal)
        return principal.scopes.issuperset(first.scopes) if first is not None else not rows

    def lacking(self, uri: str, principal: Principal) -> tuple[str, ...]:
        first = self._read_by(uri, principal)[1]
        return () if first is None or principal.scopes.issuperset(first.scopes) else first.scopes

    def _read_by(self, uri: str, principal: Principal) -> tuple[list[EntrySpec], EntrySpec | None]:
        """All that a URI is for, and what it is for this caller."""
        rows = [
            each[0]
            for each in self.rows
            if (each[0].kind == "resources" and each[0].name == uri)
            or (each[0].kind == "templates" and URITemplate(each[0].name).match(uri) is not None)
        ]
        shown = [each for each in rows if not each.is_roots or principal.subject == "root"]
        return rows, min(shown, key=lambda each: each.kind == "templates", default=None)

    async def _page(self, kind: str, channel: Channel, cursor: str | None) -> ProvidedPage[Any]:
        await asyncio.sleep(0)
        judged = channel.transport == "http" or not channel.principal.is_anonymous
        seen = [
            each
            for each in self.rows
            if each[0].kind == kind
            and (not each[0].is_roots or not judged or channel.principal.subject == "root")
        ]
        start = int(cursor or 0)
        part = seen[start : start + self.page_size]
        end = start + self.page_size
        return ProvidedPage([_provided(*each) for each in part], str(end) if end < len(seen) else None)

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        return await self._page("tools", channel, cursor)

    async def list_resources(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Resource]:
        return await self._page("resources", channel, cursor)

    async def list_templates(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[ResourceTemplate]:
        return await self._page("templates", channel, cursor)

    async def list_prompts(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Prompt]:
        return await self._page("prompts", channel, cursor)


def _provided(entry: EntrySpec, id: str) -> Provided[Any]:
    more: dict[str, Any] = {"meta": {ID: id}}
    described: Any
    if entry.kind == "tools":
        schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
        described = Tool(name=entry.name, input_schema=schema, **more)
    elif entry.kind == "prompts":
        described = Prompt(name=entry.name, **more)
    elif entry.kind == "resources":
        described = Resource(uri=entry.name, name="row", **more)
    else:
        described = ResourceTemplate(uri_template=entry.name, name="row", **more)

    async def answer(call: Call, channel: Channel) -> Any:
        params: Any = call.params
        if entry.kind == "tools":
            assert params.name == entry.name
            return CallToolResult(content=[TextContent(text=id)])
        if entry.kind == "prompts":
            assert params.name == entry.name
            return GetPromptResult(messages=[PromptMessage(role="user", content=TextContent(text=id))])
        if entry.kind == "resources":
            assert params.uri == entry.name
        return ReadResourceResult(contents=[ResourceContents(uri=params.uri, text=id)])

    async def complete(call: Call, channel: Channel) -> Any:
        return CompleteResult(completion=Completion(values=[id]))

    return Provided(
        described=described,
        answer=answer,
        complete=complete if entry.completes else None,
        scopes=entry.scopes,
        tags=frozenset(entry.tags),
        version=entry.version,
    )


# Looking


class CallerWire(Wire):
    """A wire of somebody who came by a transport, as somebody."""

    def __init__(self, app: App, revision: str, transport: str, principal: Principal) -> None:
        super().__init__(app, revision)
        self.connection = ServerConnection(app.service, self._take, transport=transport, principal=principal)
        self.cursors: dict[str, list[str]] = {}
        self.offered: set[str] = set()
        self.versions: dict[str, list[str]] = {}

    async def listed(self, kind: str) -> list[dict[str, Any]]:
        """All pages of a list; none where there is no such method."""
        method = "resources/templates/list" if kind == "templates" else f"{kind}/list"
        member = "resourceTemplates" if kind == "templates" else kind
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(200):
            answer = await self.request(method, {} if cursor is None else {"cursor": cursor})
            if "error" in answer:
                assert answer["error"]["code"] == -32601, answer
                assert cursor is None
                return []
            self.offered.add(kind)
            found += answer["result"][member]
            cursor = answer["result"].get("nextCursor")
            if cursor is None:
                return found
            self.cursors.setdefault(method, []).append(cursor)
        raise AssertionError("a list without an end")

    async def use(self, method: str, params: dict[str, Any], version: str | None = None) -> str:
        """What a use comes to: what was used, "scopes" where these lack, or nothing where there is no such thing."""
        answer = await self.request(method, params, meta=None if version is None else {VERSION: version})
        if "error" in answer:
            error = answer["error"]
            if "scopes" in error.get("data", {}) or "scope" in error["message"]:
                return "scopes"
            assert error["code"] in (-32602, -32002, -32601), answer
            return ""
        return _id_in(answer["result"])

    async def listen(self) -> None:
        """Hear of changes in lists from now on, which the stateful era does by itself."""
        if self.stateless:
            wanted = {f"{kind}ListChanged": True for kind in ("tools", "prompts", "resources")}
            await self.start("listening", "subscriptions/listen", {"notifications": wanted})
            assert (await self.next())["method"] == "notifications/subscriptions/acknowledged"

    async def hear_of(self, uris: list[str]) -> None:
        """Hear of updates of resources from now on."""
        if not self.stateless:
            for uri in uris:
                assert await self.use("resources/subscribe", {"uri": uri}) == "done"
        elif uris:
            wanted = {"notifications": {"resourceSubscriptions": uris}}
            await self.start("hearing", "subscriptions/listen", wanted)
            assert (await self.next())["method"] == "notifications/subscriptions/acknowledged"

    def updated(self) -> set[str]:
        """Which resources it has heard of that it did not wait for."""
        found: set[str] = set()
        while not self.inbox.empty():
            message = self.inbox.get_nowait()
            if message["method"] == "notifications/resources/updated":
                found.add(message["params"]["uri"])
        return found

    def heard(self) -> set[str]:
        """Which lists it has heard of that it did not wait for."""
        found: set[str] = set()
        while not self.inbox.empty():
            found.add(self.inbox.get_nowait()["method"].split("/")[1])
        return found


def _id_in(result: dict[str, Any]) -> str:
    if "contents" in result:
        return result["contents"][0]["text"]
    if "messages" in result:
        return result["messages"][0]["content"]["text"]
    if "completion" in result:
        return next(iter(result["completion"]["values"]), "nothing to suggest")
    if "content" in result:
        assert not result.get("isError"), result
        return result["content"][0]["text"]
    return "done"


def name_in(kind: str, item: dict[str, Any]) -> str:
    """What a listed thing is found by."""
    return item[{"resources": "uri", "templates": "uriTemplate"}.get(kind, "name")]


def candidates(kind: str, seen: Iterable[str]) -> list[str]:
    """Names that somebody could try: those that anybody sees, and those that there are behind a prefix or a name."""
    found = {
        *NAMES[kind],
        *seen,
        *{"tools": ("t9",), "prompts": ("p9",), "resources": ("r://9",)}.get(kind, ()),
    }
    for name in NAMES[kind][:2]:
        scheme, authority, rest = name.partition("://")
        found.add(f"p_{name}" if kind in ("tools", "prompts") else f"{scheme}{authority}p/{rest}")
    return sorted(found)
