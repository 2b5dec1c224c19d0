"""`Client`: everything that a server of any revision offers, behind one face.

The parts: `connection` (one link, renewed when needed), `calls` (from method to typed result), `questions` (what the
server asks), `listening` (changes). This file is the face alone.
Specification: server/*, client/*, basic/*.
"""

from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, NoReturn, TypeVar, Unpack, cast, overload

from msgspec import UNSET, Raw

from ..protocol import codec, names
from ..protocol.errors import DovetailError, FeatureUnavailable, LocalProtocolError
from ..protocol.listening import ChangeType
from ..protocol.revisions import Era, Feature
from ..protocol.types import (
    CallToolParams,
    CallToolResult,
    ClientCapabilities,
    CompleteParams,
    CompleteResult,
    Completion,
    CompletionArgument,
    CompletionContext,
    DiscoverResult,
    GetPromptParams,
    GetPromptResult,
    Implementation,
    InputRequired,
    ListPromptsParams,
    ListPromptsResult,
    ListResourcesParams,
    ListResourcesResult,
    ListResourceTemplatesParams,
    ListResourceTemplatesResult,
    ListToolsParams,
    ListToolsResult,
    LogLevel,
    Params,
    PingParams,
    Prompt,
    PromptReference,
    ReadResourceParams,
    ReadResourceResult,
    Resource,
    ResourceReference,
    ResourceTemplate,
    Result,
    ServerCapabilities,
    SetLevelParams,
    SubscriptionFilter,
    Tool,
)
from .answers import ProgressHandler
from .arguments import as_json, as_plain, as_texts
from .blocking import BlockingClient
from .calls import Caller, CallOptions, CallSettings, ForwardSettings, Seconds, how_of
from .connection import ClientConnection
from .listening import Subscription
from .options import ClientOptions, Options, settle
from .own_meta import of_version, own_meta, passed_meta
from .resource_values import expanded, resource_into
from .results import ToolResult
from .server_warnings import ServerWarning
from .started_calls import StartedCall, starter_of
from .states import State
from .targets import Target, place_of

T = TypeVar("T")


def _caller(options: Options) -> Caller:
    if not options.observer.all:
        return Caller(options)
    from .observed_calls import ObservedCaller

    return ObservedCaller(options)


class Client:
    """A client of one server: ``async with Client("https://example.com/mcp") as client: ...``.

    ``target``: a URL, a command line, a path to a .py file, an `App`, or a transport (see `targets`). Options: see
    `ClientOptions`. Open it with ``async with`` or `open` and `close`, from any task of one event loop.

    Every call ends exactly once: with a result, or with the server's `RPCError`, a `TransportError`, `RequestTimeout`,
    `Closed`, a `LocalProtocolError` (nothing was sent) or a `RemoteProtocolError` (the server broke the protocol).
    Each says by ``retry_safe`` whether the same call may be made again without doing its work twice.
    """

    def __init__(self, target: Target, **options: Unpack[ClientOptions]) -> None:
        self._target = target
        self._given = options
        self._options = settle(options)
        self._caller = _caller(self._options)
        self._connection = ClientConnection(
            place_of(target, self._options), self._options, self._caller.changed, self._caller.renewed
        )
        self._caller.connection = self._connection
        self._watched: dict[str, Subscription] = {}

    @staticmethod
    def sync(target: Target, **options: Unpack[ClientOptions]) -> BlockingClient:
        """The same client for programs without an event loop: ``with Client.sync("weather.py") as client: ...``."""
        return BlockingClient(lambda: Client(target, **options))

    @property
    def target(self) -> Target:
        """What the client was pointed at, as it was given."""
        return self._target

    @property
    def options(self) -> ClientOptions:
        """The options that the client was given, a copy: another client of the same server is
        ``Client(client.target, **{**client.options, "timeout": 5})``. There may be secrets among them.
        """
        return self._given.copy()

    # Life

    async def open(self) -> "Client":
        """Connect and find out what the server speaks; anew after a loss.

        Does nothing when open. Raises `ConnectFailed` and what calls raise; also what the connection was lost by, if
        no other can be made because the client was given a transport. When it is cancelled, or fails, it may be called
        again, and others that wait for the same connection go on waiting.
        """
        await self._connection.open()
        for uri in self._connection.held.restored():
            wanted = SubscriptionFilter(resource_subscriptions=[uri])
            self._watched[uri] = Subscription(self._connection, wanted, again=True)
            self._watched[uri].adopt()
        for uri in [uri for uri, subscription in self._watched.items() if subscription.over]:
            await self._watched.pop(uri).close()
            await self.subscribe(uri)
        return self

    async def close(self, *, end_session: bool = False) -> None:
        """Let go of the server. Calls in progress end with `Closed`. Idempotent, bounded, from any task.

        A session of the stateful era ends, unless it is kept in the option ``store`` for the next process;
        ``end_session`` ends that one, too.
        """
        self._watched.clear()
        await self._connection.close(end_session=end_session)

    async def __aenter__(self) -> "Client":
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        connection: ClientConnection | None = vars(self).get("_connection")
        if connection is not None:  # else it was refused when it was made
            connection.dropped()

    def describe(self) -> str:
        """Names the server as errors do: by its URL or program, without secrets."""
        return self._connection.describe()

    @property
    def state(self) -> State:
        """What has become of the connection: "new", "opening", "ready", "renewing", "lost" or "closed" (`states`)."""
        return self._connection.states.current.state

    async def wait_for(self, *states: State, timeout: float | None = None) -> State:
        """Wait until the connection is in one of these states; gives it. ``timeout``: seconds, None for no limit.

        Raises `RequestTimeout`; `Closed` when the client is closed; when the connection is lost and nobody makes
        another, what it was lost by.
        """
        return await self._connection.states.wait(states, timeout)

    # What is known of the server

    @property
    def revision(self) -> str:
        """The revision in use."""
        return self._connection.link.profile.revision

    @property
    def era(self) -> Era:
        """ "stateful" or "stateless"."""
        return self._connection.link.profile.era

    @property
    def server_info(self) -> Implementation | None:
        """How the server describes itself; None if it does not. Never a ground for a security decision."""
        return self._connection.link.server_info

    @property
    def server_capabilities(self) -> ServerCapabilities | None:
        """What the server offers; None if it did not say."""
        return self._connection.link.capabilities

    @property
    def instructions(self) -> str | None:
        """What the server says about its use."""
        return self._connection.link.instructions

    @property
    def discovered(self) -> DiscoverResult | None:
        """What ``server/discover`` gave when the connection was opened: what the server offers and says of its use, and
        for how long that may be kept (``ttl_ms``, ``cache_scope``). None in the stateful era, and of a server that does
        not know it. `request` asks again. Specification: server/discover.
        """
        return self._connection.link.discovered

    @property
    def warnings(self) -> tuple[ServerWarning, ...]:
        """What the server got wrong and the client put up with, the oldest first: the last 256, each once.

        As they come, the option ``on_warning`` is told of them.
        """
        return self._connection.notifications.warnings.all

    # Tools

    @overload
    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        into: None = None,
        timeout: Seconds = UNSET,
        progress: ProgressHandler | None = None,
        meta: Mapping[str, Any] | None = None,
        version: str | None = None,
    ) -> ToolResult: ...

    @overload
    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        into: type[T],
        timeout: Seconds = UNSET,
        progress: ProgressHandler | None = None,
        meta: Mapping[str, Any] | None = None,
        version: str | None = None,
    ) -> T: ...

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        into: type[Any] | None = None,
        timeout: Seconds = UNSET,
        progress: ProgressHandler | None = None,
        meta: Mapping[str, Any] | None = None,
        version: str | None = None,
    ) -> Any:
        """Call a tool. A failure of the tool is a result with ``is_error``; with ``into`` it raises `ToolFailed`.

        ``arguments``: values that can be JSON: dataclasses, pydantic models, paths, dates, enums and the like included.
        ``into``: a type that the value is converted to. ``timeout``: seconds without an answer or progress.
        ``version``: which of several versions of a tool to call (default: the highest); a server of ours refuses
        one that there is not, others may know nothing of versions. Raises `OutputInvalid` when the output breaks the
        schema of the last listing; `ToolResult.checked` says whether it was held against one. With
        ``rounds="manual"`` the result may be an `InputRequired`.
        Specification: server/tools.
        """
        if arguments is None:
            params = CallToolParams(name=name)
        else:
            params = CallToolParams(name=name, arguments=Raw(as_json("the arguments", arguments)))
        how = CallSettings(timeout=timeout, progress=progress, meta=of_version(meta, version))
        found = await self._caller.call(names.TOOLS_CALL, params, CallToolResult, how)
        if isinstance(found, InputRequired):
            return found
        if found.structured_content is None:
            found = self._caller.without_null(name, found)
        result = ToolResult(name, found)
        try:
            if not self._caller.check(result, version):
                await self._caller.check_again(result, version)
            return result if into is None else result.into(into)
        except DovetailError as problem:
            problem.of_call(names.TOOLS_CALL, self._connection.link.server)
            raise

    async def start_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        ttl: float | None = None,
        timeout: Seconds = UNSET,
        meta: Mapping[str, Any] | None = None,
        version: str | None = None,
    ) -> StartedCall:
        """Start a tool, and wait for its result later: ``started = await client.start_tool("bake")``, then
        ``result = await started``, or in another process `reopen` what ``started.save()`` gave.

        Needs an extension that can (``Client(..., extensions=[tasks()])``); else raises `FeatureUnavailable`. Where the
        server answers at once, the result is there already. ``ttl``: seconds that the server is asked to keep the
        result for, where the revision lets a client ask (2025-11-25). ``timeout``: until the server has taken the call.
        ``version`` as for `call_tool`, which this raises as well.
        """
        starter = starter_of(self._options.additions)
        meta = of_version(meta, version)
        return await starter.start(self, name, arguments, ttl=ttl, timeout=timeout, meta=meta)

    def reopen(self, text: str) -> StartedCall:
        """Go on with a call that was started before: ``text`` is what `StartedCall.save` gave. Nothing is sent yet.

        Raises `LocalProtocolError` for another text, `FeatureUnavailable` as `start_tool` does.
        """
        return starter_of(self._options.additions).reopen(self, text)

    async def list_tools(self, cursor: str | None = None, **options: Unpack[CallOptions]) -> ListToolsResult:
        """One page of tools. ``cursor``: the ``next_cursor`` of the page before. ``options``: see `CallOptions`."""
        params = ListToolsParams(cursor=cursor)
        return await self._caller.page(names.TOOLS_LIST, params, ListToolsResult, how_of(options))

    async def tools(self, **options: Unpack[CallOptions]) -> AsyncIterator[Tool]:
        """All tools, page by page. ``options``: see `CallOptions`."""
        async for page in self.tool_pages(**options):
            for tool in page.tools:
                yield tool

    def tool_pages(self, **options: Unpack[CallOptions]) -> AsyncIterator[ListToolsResult]:
        """All pages of tools, with what each says of how long it may be kept. ``options``: see `CallOptions`."""
        params = ListToolsParams()
        return self._caller.pages(names.TOOLS_LIST, params, ListToolsResult, how_of(options))

    # Resources

    async def list_resources(
        self, cursor: str | None = None, **options: Unpack[CallOptions]
    ) -> ListResourcesResult:
        """One page of resources. ``options``: see `CallOptions`."""
        params = ListResourcesParams(cursor=cursor)
        return await self._caller.page(names.RESOURCES_LIST, params, ListResourcesResult, how_of(options))

    async def resources(self, **options: Unpack[CallOptions]) -> AsyncIterator[Resource]:
        """All resources, page by page. ``options``: see `CallOptions`."""
        params = ListResourcesParams()
        async for page in self._caller.pages(
            names.RESOURCES_LIST, params, ListResourcesResult, how_of(options)
        ):
            for resource in page.resources:
                yield resource

    async def list_resource_templates(
        self, cursor: str | None = None, **options: Unpack[CallOptions]
    ) -> ListResourceTemplatesResult:
        """One page of resource templates. ``options``: see `CallOptions`."""
        params = ListResourceTemplatesParams(cursor=cursor)
        return await self._caller.page(
            names.RESOURCES_TEMPLATES_LIST, params, ListResourceTemplatesResult, how_of(options)
        )

    async def resource_templates(self, **options: Unpack[CallOptions]) -> AsyncIterator[ResourceTemplate]:
        """All resource templates, page by page. ``options``: see `CallOptions`."""
        params = ListResourceTemplatesParams()
        async for page in self._caller.pages(
            names.RESOURCES_TEMPLATES_LIST, params, ListResourceTemplatesResult, how_of(options)
        ):
            for template in page.resource_templates:
                yield template

    @overload
    async def read(
        self,
        uri: str | Resource,
        variables: Mapping[str, Any] | None = None,
        *,
        into: None = None,
        **options: Unpack[CallOptions],
    ) -> ReadResourceResult: ...

    @overload
    async def read(
        self,
        uri: str | Resource,
        variables: Mapping[str, Any] | None = None,
        *,
        into: type[T],
        **options: Unpack[CallOptions],
    ) -> T: ...

    async def read(
        self,
        uri: str | Resource,
        variables: Mapping[str, Any] | None = None,
        *,
        into: type[Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> Any:
        """What a resource holds. Raises `ResourceNotFound` or `InvalidParams`.

        ``uri``: one that the server listed, or a `Resource` or `ResourceLink` that it gave, is sent as it came. Of any
        other, characters beyond ASCII are percent-encoded; with spaces or control characters it is a
        `LocalProtocolError`. So it is wherever a URI is given. ``variables``: of a template, which ``uri`` is then;
        `LocalProtocolError` for one that it does not have. ``into``: a type for the one content of the resource: `str`,
        `bytes`, or what its JSON is converted to; `RemoteProtocolError` where that does not fit. ``options``: see
        `CallOptions`.
        Specification: server/resources.
        """
        if variables is not None:
            if not isinstance(uri, str):
                raise LocalProtocolError("variables are for a template, which is text, not for a Resource")
            uri = expanded(uri, variables)
        params = ReadResourceParams(uri=self._caller.catalogue.uri(uri))
        found = await self._caller.call(names.RESOURCES_READ, params, ReadResourceResult, how_of(options))
        if into is None or isinstance(found, InputRequired):
            return _complete(found)
        try:
            return resource_into(params.uri, found, into)
        except DovetailError as problem:
            problem.of_call(names.RESOURCES_READ, self._connection.link.server)
            raise

    @property
    def subscriptions(self) -> Sequence[str]:
        """The URIs of `subscribe`, in order: what ``on_change`` hears of while there is a connection."""
        return tuple(self._watched)

    async def subscribe(self, uri: str | Resource, **options: Unpack[CallOptions]) -> None:
        """Hear of updates of a resource, and of what is below it, by the ``on_change`` callback. Works in both eras.

        ``options``: see `CallOptions`. Raises `FeatureUnavailable` where the server does not agree to tell of it.
        """
        uri = self._caller.catalogue.uri(uri)
        settings = self._caller.steering(how_of(options))
        link = await self._connection.ready()
        if uri in self._watched:
            return
        wanted = SubscriptionFilter(resource_subscriptions=[uri])
        subscription = self._watched[uri] = Subscription(
            self._connection, wanted, again=True, background=link.stateless, settings=settings
        )
        try:
            await subscription.open()
            if subscription.missing.resource_subscriptions:
                await subscription.close()
                raise FeatureUnavailable(f"{link.server} did not agree to tell of updates of {uri[:256]!r}")
        except BaseException:
            self._watched.pop(uri, None)
            raise

    async def unsubscribe(self, uri: str | Resource, **options: Unpack[CallOptions]) -> None:
        """Hear no more of updates of a resource. Does nothing if it was not subscribed to."""
        settings = self._caller.steering(how_of(options))
        subscription = self._watched.pop(self._caller.catalogue.uri(uri), None)
        if subscription is not None:
            await subscription.release(settings)

    # Prompts and completion

    async def list_prompts(
        self, cursor: str | None = None, **options: Unpack[CallOptions]
    ) -> ListPromptsResult:
        """One page of prompts. ``options``: see `CallOptions`."""
        params = ListPromptsParams(cursor=cursor)
        return await self._caller.page(names.PROMPTS_LIST, params, ListPromptsResult, how_of(options))

    async def prompts(self, **options: Unpack[CallOptions]) -> AsyncIterator[Prompt]:
        """All prompts, page by page. ``options``: see `CallOptions`."""
        async for page in self.prompt_pages(**options):
            for prompt in page.prompts:
                yield prompt

    def prompt_pages(self, **options: Unpack[CallOptions]) -> AsyncIterator[ListPromptsResult]:
        """All pages of prompts, with what each says of how long it may be kept. ``options``: see `CallOptions`."""
        params = ListPromptsParams()
        return self._caller.pages(names.PROMPTS_LIST, params, ListPromptsResult, how_of(options))

    async def get_prompt(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> GetPromptResult:
        """The messages of a prompt. Raises `InvalidParams` for an unknown one.

        ``arguments``: the protocol has text only; what is no text is sent as JSON text. ``options``: see `CallOptions`.
        Specification: server/prompts.
        """
        texts = None if arguments is None else as_texts("the arguments", arguments)
        params = GetPromptParams(name=name, arguments=texts)
        found = await self._caller.call(names.PROMPTS_GET, params, GetPromptResult, how_of(options))
        return _complete(found)

    async def complete(
        self,
        ref: PromptReference | ResourceReference | str,
        argument: str,
        value: str = "",
        context: Mapping[str, str] | None = None,
        **options: Unpack[CallOptions],
    ) -> Completion:
        """Suggestions for an argument of a prompt (by name), or a variable of a resource template (by URI).

        ``ref``: text is what the server listed it as; else a resource if it has ``://`` or a brace in it, and a prompt
        otherwise, "code:review" too. ``context``: the arguments settled already (since 2025-06-18). ``options``: see
        `CallOptions`.
        Specification: server/utilities/completion.
        """
        params = CompleteParams(
            ref=self._caller.catalogue.reference(ref) if isinstance(ref, str) else ref,
            argument=CompletionArgument(name=argument, value=value),
            context=None
            if context is None
            else CompletionContext(arguments=as_texts("the context", context)),
        )
        found = await self._caller.call(names.COMPLETION_COMPLETE, params, CompleteResult, how_of(options))
        return _complete(found).completion

    # Steering

    async def ping(self, **options: Unpack[CallOptions]) -> None:
        """See that the server answers. The stateless era has no ping: there, it is asked to describe itself."""
        how = how_of(options)
        link = await self._connection.ready()
        if link.stateless:
            await self._caller.typed(names.DISCOVER, {}, how, complete=True)
        else:
            await self._caller.call(names.PING, PingParams(), Result, how)

    async def set_log_level(self, level: LogLevel, **options: Unpack[CallOptions]) -> None:
        """Hear of log messages from this severity on. Stateless era: of the requests that follow."""
        how = how_of(options)
        link = await self._connection.ready()
        if link.profile.has(Feature.SESSION_LOG_LEVEL):
            await self._caller.call(names.LOGGING_SET_LEVEL, SetLevelParams(level=level), Result, how)
        self._caller.log_level = level

    def visit_done(self, elicitation_id: str | None = None) -> None:
        """The person has been at the address that a call waits for: the call is made again now, without more waiting.

        ``elicitation_id``: of the `Visit`, or its ``url``; None: all visits that are waited for. Does nothing if none
        is. To be called on the client's event loop.
        Specification: client/elicitation, "URL Elicitation Required Error" (2025-11-25), "URL Mode Elicitation
        Requests" (2026-07-28).
        """
        self._connection.notifications.visits.done(elicitation_id)

    def listen(
        self,
        *,
        tools: bool = False,
        prompts: bool = False,
        resources: bool | Sequence[str | Resource] = False,
        resource_list: bool = False,
        further: Mapping[str, Sequence[str]] | None = None,
        again: bool = False,
        **options: Unpack[CallOptions],
    ) -> Subscription:
        """Hear of changes: ``async with client.listen(tools=True, resources=["notes://a"]) as events``.

        ``resources``: URIs to hear of updates of, and of what is below them (``notes://a/b``); True is the same as
        ``resource_list``: changes of the list. ``further``: what extensions bring, as members of the filter
        (``{"taskIds": ["7"]}``); only since 2026-07-28. ``again``: after a loss, or an end by the server, listen anew,
        and report everything as changed, since changes may have been missed; else a loss raises. ``options``: see
        `CallOptions`; ``timeout`` is for the server's agreement. Works in both eras.
        Specification: basic/patterns/subscriptions.
        """
        if isinstance(resources, (str, bytes, Resource)):
            shown = resources.uri if isinstance(resources, Resource) else resources
            raise LocalProtocolError(f"resources is a list of URIs: write resources=[{shown!r}]")
        uri_of = self._caller.catalogue.uri
        uris = [] if isinstance(resources, bool) else [uri_of(uri) for uri in resources]
        wanted = SubscriptionFilter(
            tools_list_changed=tools or None,
            prompts_list_changed=prompts or None,
            resources_list_changed=(resource_list or resources is True) or None,
            resource_subscriptions=uris or None,
        )
        more = self._further(further or {})
        if wanted == SubscriptionFilter() and not more:
            raise LocalProtocolError("say what to listen to: tools, prompts, resources or resource_list")
        settings = self._caller.steering(how_of(options))
        return Subscription(self._connection, wanted, again=again, settings=settings, further=more)

    def _further(self, wanted: Mapping[str, Sequence[str]]) -> dict[ChangeType, list[str]]:
        known = {each.filter: each for each in self._options.additions.changes}
        if unknown := sorted(wanted.keys() - known.keys()):
            raise LocalProtocolError(f"no extension of this client brings {unknown[0]!r} to listen for")
        return {known[name]: list(subjects) for name, subjects in wanted.items()}

    async def roots_changed(self, *, timeout: Seconds = UNSET, meta: Mapping[str, Any] | None = None) -> None:
        """Tell the server that the roots are others now. The stateless era has no such message: nothing is sent.

        ``timeout``: seconds that sending may take. Raises `FeatureUnavailable` for a client without ``roots``.
        """
        link = await self._connection.ready()
        if names.NOTIFY_ROOTS_CHANGED in link.profile.client_notices:
            if self._options.roots is None:
                raise FeatureUnavailable("this client declared no roots")
            await self.notify(names.NOTIFY_ROOTS_CHANGED, timeout=timeout, meta=meta)

    # Anything else

    @overload
    async def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: Seconds = UNSET,
        progress: ProgressHandler | None = None,
        meta: Mapping[str, Any] | None = None,
        into: None = None,
    ) -> dict[str, Any]: ...

    @overload
    async def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: Seconds = UNSET,
        progress: ProgressHandler | None = None,
        meta: Mapping[str, Any] | None = None,
        into: type[T],
    ) -> T: ...

    async def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: Seconds = UNSET,
        progress: ProgressHandler | None = None,
        meta: Mapping[str, Any] | None = None,
        into: type[Any] | None = None,
    ) -> Any:
        """Send any request and get its result as plain values, whatever its type; or, with ``into``, as a value of a
        type that msgspec reads. Options as `CallOptions`.

        A result that asks for input is given as it is. Raises `RemoteProtocolError` for a result that is none, and for
        a ``resultType`` that is not the protocol's, unless this client declared ``extensions``, which may add some.
        """
        members = as_plain("the parameters", params or {})
        given: Any = members.pop(names.META, None)
        meta = {**(cast("dict[str, Any]", given) if isinstance(given, dict) else {}), **(meta or {})}
        how = CallSettings(timeout=timeout, progress=progress, meta=meta or None)
        body = await self._caller.typed(method, members, how, known_only=not self._options.additions.declared)
        return codec.decode(body) if into is None else self._connection.link.read(method, body, into)

    def forward(
        self,
        method: str,
        params: Params | Mapping[str, Any],
        *,
        timeout: Seconds = UNSET,
        progress: ProgressHandler | None = None,
        meta: Mapping[str, Any] | None = None,
        log_level: LogLevel | None = None,
        capabilities: ClientCapabilities | None = None,
    ) -> Coroutine[Any, Any, Raw | InputRequired]:
        """Send a request on that somebody else made, and give its result as it came: as JSON that was not read, or as
        what it asks for.

        ``params``: a value of the protocol's, or members; what is JSON already is a `msgspec.Raw`, and is sent as it
        is. ``meta``: as that of `call_tool`; members that a client may not say are left out. ``log_level``: the least
        severe log messages wanted of this request, ``capabilities``: what is announced in it, both in the stateless
        era; there, what is asked is given as an `InputRequired`, and where they announce extensions, a result of a type
        that one adds is given as it came. Nothing is kept, checked against a schema or asked:
        see `dovetail.proxy`. Raises as `request` does.
        """
        how = ForwardSettings(
            timeout=timeout,
            progress=progress,
            meta=meta and passed_meta(meta, self._options.additions.declared),
            log_level=log_level,
            capabilities=capabilities,
        )
        return self._caller.forward(method, params, how)

    async def notify(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: Seconds = UNSET,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Send any notification. ``timeout``: seconds that sending may take. ``meta``: members for its ``_meta``."""
        members = None if params is None else as_plain("the parameters", params)
        given: Any = None if members is None else members.pop(names.META, None)
        meta = {**(cast("dict[str, Any]", given) if isinstance(given, dict) else {}), **(meta or {})}
        if meta:
            members = {**(members or {}), names.META: own_meta(meta, self._options.additions.declared)}
        seconds, _ = self._caller.limits(CallSettings(timeout=timeout))
        link = await self._connection.ready()
        await link.notify(method, members, timeout=seconds)


def _complete(found: T | InputRequired) -> T:
    """The result itself, also an `InputRequired` where the caller asked for manual rounds."""
    return found  # pyright: ignore[reportReturnType] - only rounds="manual" gives the other, and documents it


def _no_such_name(self: object, name: str) -> NoReturn:
    from .other_names import no_such_name  # for mistakes alone

    no_such_name(self, name)


setattr(Client, "__getattr__", _no_such_name)  # noqa: B010 - type checkers would take any name
