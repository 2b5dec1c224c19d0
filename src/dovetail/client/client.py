"""`Client`: everything that a server of any revision offers, behind one face.

The parts: `connection` (one link, renewed when needed), `calls` (from method to typed result), `questions` (what the
server asks), `listening` (changes). This file is the face alone.
Specification: server/*, client/*, basic/*.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, Unpack, overload

from msgspec import UNSET, Raw

from ..protocol import codec, names
from ..protocol.errors import FeatureUnavailable, LocalProtocolError
from ..protocol.revisions import Era, Feature
from ..protocol.types import (
    CallToolParams,
    CallToolResult,
    CompleteParams,
    CompleteResult,
    Completion,
    CompletionArgument,
    CompletionContext,
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
    PingParams,
    Prompt,
    PromptReference,
    ReadResourceParams,
    ReadResourceResult,
    Resource,
    ResourceReference,
    ResourceTemplate,
    Result,
    SetLevelParams,
    SubscriptionFilter,
    Tool,
)
from ..protocol.uris import legal_uri
from .answers import ProgressHandler
from .blocking import BlockingClient
from .calls import Caller, How, Seconds
from .connection import Connection
from .listening import Subscription
from .options import ClientOptions, settle
from .results import ToolResult
from .states import State
from .targets import Target, place_of

T = TypeVar("T")


class Client:
    """A client of one server: ``async with Client("https://example.com/mcp") as client: ...``.

    ``target``: a URL, a command line, a path to a .py file, an `App`, or a transport (see `targets`). Options: see
    `ClientOptions`. Open it with ``async with`` or `open` and `close`, from any task of one event loop.

    Every call ends exactly once: with a result, or with the server's `RPCError`, a `TransportError`, `RequestTimeout`,
    `Closed`, a `LocalProtocolError` (nothing was sent) or a `RemoteProtocolError` (the server broke the protocol).
    Each says by ``retry_safe`` whether the same call may be made again without doing its work twice.
    """

    def __init__(self, target: Target, **options: Unpack[ClientOptions]) -> None:
        self._options = settle(options)
        self._caller = Caller(self._options)
        self._connection = Connection(
            place_of(target, self._options), self._options, self._caller.changed, self._caller.renewed
        )
        self._caller.connection = self._connection
        self._watched: dict[str, Subscription] = {}

    @staticmethod
    def sync(target: Target, **options: Unpack[ClientOptions]) -> BlockingClient:
        """The same client for programs without an event loop: ``with Client.sync("weather.py") as client: ...``."""
        return BlockingClient(lambda: Client(target, **options))

    # Life

    async def open(self) -> "Client":
        """Connect and find out what the server speaks; anew after a loss.

        Does nothing when open. Raises `ConnectFailed` and what calls raise; also what the connection was lost by, if
        no other can be made because the client was given a transport. When it is cancelled, or fails, it may be called
        again, and others that wait for the same connection go on waiting.
        """
        await self._connection.open()
        for uri in [uri for uri, subscription in self._watched.items() if subscription.over]:
            await self._watched.pop(uri).close()
            await self.subscribe(uri)
        return self

    async def close(self) -> None:
        """Let go of the server. Calls in progress end with `Closed`. Idempotent, bounded, from any task."""
        self._watched.clear()
        await self._connection.close()

    async def __aenter__(self) -> "Client":
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        connection: Connection | None = getattr(self, "_connection", None)
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
    def server_capabilities(self) -> Any:
        """What the server offers, a `ServerCapabilities`; None if it did not say."""
        return self._connection.link.capabilities

    @property
    def instructions(self) -> str | None:
        """What the server says about its use."""
        return self._connection.link.instructions

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
    ) -> Any:
        """Call a tool. A failure of the tool is a result with ``is_error``; with ``into`` it raises `ToolFailed`.

        ``arguments``: values that can be JSON. ``into``: a type that the value is converted to. ``timeout``: seconds
        without an answer or progress. Raises `OutputInvalid` when the output breaks the schema of the last listing.
        With ``rounds="manual"`` the result may be an `InputRequired`.
        Specification: server/tools.
        """
        if arguments is None:
            params = CallToolParams(name=name)
        else:
            params = CallToolParams(name=name, arguments=Raw(_encode(arguments)))
        how = How(timeout=timeout, progress=progress, meta=meta)
        found = await self._caller.call(names.TOOLS_CALL, params, CallToolResult, how)
        if isinstance(found, InputRequired):
            return found
        result = ToolResult(name, found)
        self._caller.catalogue.check(result)
        return result if into is None else result.into(into)

    async def list_tools(self, cursor: str | None = None) -> ListToolsResult:
        """One page of tools."""
        page = await self._caller.page(names.TOOLS_LIST, ListToolsParams(cursor=cursor), ListToolsResult)
        return self._caller.take_tools(page)

    async def tools(self) -> AsyncIterator[Tool]:
        """All tools."""
        async for page in self._caller.pages(names.TOOLS_LIST, ListToolsParams(), ListToolsResult):
            for tool in self._caller.take_tools(page).tools:
                yield tool

    # Resources

    async def list_resources(self, cursor: str | None = None) -> ListResourcesResult:
        """One page of resources."""
        return await self._caller.page(
            names.RESOURCES_LIST, ListResourcesParams(cursor=cursor), ListResourcesResult
        )

    async def resources(self) -> AsyncIterator[Resource]:
        """All resources."""
        async for page in self._caller.pages(
            names.RESOURCES_LIST, ListResourcesParams(), ListResourcesResult
        ):
            for resource in page.resources:
                yield resource

    async def list_resource_templates(self, cursor: str | None = None) -> ListResourceTemplatesResult:
        """One page of resource templates."""
        params = ListResourceTemplatesParams(cursor=cursor)
        return await self._caller.page(names.RESOURCES_TEMPLATES_LIST, params, ListResourceTemplatesResult)

    async def resource_templates(self) -> AsyncIterator[ResourceTemplate]:
        """All resource templates."""
        params = ListResourceTemplatesParams()
        async for page in self._caller.pages(
            names.RESOURCES_TEMPLATES_LIST, params, ListResourceTemplatesResult
        ):
            for template in page.resource_templates:
                yield template

    async def read(
        self, uri: str, *, timeout: Seconds = UNSET, meta: Mapping[str, Any] | None = None
    ) -> ReadResourceResult:
        """What a resource holds. Raises `ResourceNotFound` or `InvalidParams`.

        ``uri``: characters beyond ASCII are percent-encoded; with spaces or control characters it is a
        `LocalProtocolError`. So it is wherever a URI is given.
        Specification: server/resources.
        """
        how = How(timeout=timeout, meta=meta)
        found = await self._caller.call(
            names.RESOURCES_READ, ReadResourceParams(uri=legal_uri(uri)), ReadResourceResult, how
        )
        return _complete(found)

    async def subscribe(self, uri: str) -> None:
        """Hear of updates of a resource, by the ``on_change`` callback. Works in both eras."""
        uri = legal_uri(uri)
        link = await self._connection.ready()
        if uri in self._watched:
            return
        wanted = SubscriptionFilter(resource_subscriptions=[uri])
        subscription = self._watched[uri] = Subscription(
            self._connection, wanted, again=True, background=link.stateless
        )
        try:
            await subscription.open()
        except BaseException:
            self._watched.pop(uri, None)
            raise

    async def unsubscribe(self, uri: str) -> None:
        """Hear no more of updates of a resource. Does nothing if it was not subscribed to."""
        subscription = self._watched.pop(legal_uri(uri), None)
        if subscription is not None:
            await subscription.close()

    # Prompts and completion

    async def list_prompts(self, cursor: str | None = None) -> ListPromptsResult:
        """One page of prompts."""
        return await self._caller.page(
            names.PROMPTS_LIST, ListPromptsParams(cursor=cursor), ListPromptsResult
        )

    async def prompts(self) -> AsyncIterator[Prompt]:
        """All prompts."""
        async for page in self._caller.pages(names.PROMPTS_LIST, ListPromptsParams(), ListPromptsResult):
            for prompt in page.prompts:
                yield prompt

    async def get_prompt(
        self,
        name: str,
        arguments: Mapping[str, str] | None = None,
        *,
        timeout: Seconds = UNSET,
        meta: Mapping[str, Any] | None = None,
    ) -> GetPromptResult:
        """The messages of a prompt. Raises `InvalidParams` for an unknown one. Specification: server/prompts."""
        params = GetPromptParams(name=name, arguments=None if arguments is None else dict(arguments))
        how = How(timeout=timeout, meta=meta)
        return _complete(await self._caller.call(names.PROMPTS_GET, params, GetPromptResult, how))

    async def complete(
        self,
        ref: PromptReference | ResourceReference | str,
        argument: str,
        value: str = "",
        context: Mapping[str, str] | None = None,
    ) -> Completion:
        """Suggestions for an argument of a prompt (by name), or a variable of a resource template (by URI).

        ``context``: the arguments settled already (since 2025-06-18). Specification: server/utilities/completion.
        """
        if isinstance(ref, str):
            ref = ResourceReference(uri=ref) if ":" in ref else PromptReference(name=ref)
        params = CompleteParams(
            ref=ref,
            argument=CompletionArgument(name=argument, value=value),
            context=None if context is None else CompletionContext(arguments=dict(context)),
        )
        return _complete(
            await self._caller.call(names.COMPLETION_COMPLETE, params, CompleteResult)
        ).completion

    # Steering

    async def ping(self, *, timeout: Seconds = UNSET) -> None:
        """See that the server answers. The stateless era has no ping: there, it is asked to describe itself."""
        link = await self._connection.ready()
        if link.stateless:
            await self._caller.trip(names.DISCOVER, {}, How(timeout=timeout))
        else:
            await self._caller.call(names.PING, PingParams(), Result, How(timeout=timeout))

    async def set_log_level(self, level: LogLevel) -> None:
        """Hear of log messages from this severity on. Stateless era: of the requests that follow."""
        link = await self._connection.ready()
        if link.profile.has(Feature.SESSION_LOG_LEVEL):
            await self._caller.call(names.LOGGING_SET_LEVEL, SetLevelParams(level=level), Result)
        self._caller.log_level = level

    def listen(
        self,
        *,
        tools: bool = False,
        prompts: bool = False,
        resources: bool | Sequence[str] = False,
        resource_list: bool = False,
        again: bool = False,
    ) -> Subscription:
        """Hear of changes: ``async with client.listen(tools=True, resources=["notes://a"]) as events``.

        ``resources``: URIs to hear of updates of; True is the same as ``resource_list``: changes of the list.
        ``again``: after a loss listen anew, and report everything as changed, since changes may have been missed;
        else a loss raises. Works in both eras.
        Specification: basic/patterns/subscriptions.
        """
        uris = [] if isinstance(resources, bool) else [legal_uri(uri) for uri in resources]
        wanted = SubscriptionFilter(
            tools_list_changed=tools or None,
            prompts_list_changed=prompts or None,
            resources_list_changed=(resource_list or resources is True) or None,
            resource_subscriptions=uris or None,
        )
        if wanted == SubscriptionFilter():
            raise LocalProtocolError("say what to listen to: tools, prompts, resources or resource_list")
        return Subscription(self._connection, wanted, again=again)

    async def roots_changed(self) -> None:
        """Tell the server that the roots are others now. The stateless era has no such message: nothing is sent."""
        link = await self._connection.ready()
        if names.NOTIFY_ROOTS_CHANGED in link.profile.client_notices:
            if self._options.roots is None:
                raise FeatureUnavailable("this client declared no roots")
            await link.notify(names.NOTIFY_ROOTS_CHANGED)

    # Anything else

    async def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: Seconds = UNSET,
        progress: ProgressHandler | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Send any request and get its result as plain values, whatever its type."""
        members = dict(params or {})
        given: Any = members.pop(names.META, None)
        meta = {**(given if isinstance(given, Mapping) else {}), **(meta or {})}
        body = await self._caller.trip(method, members, How(timeout=timeout, progress=progress, meta=meta))
        return codec.decode(body)

    async def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send any notification."""
        link = await self._connection.ready()
        await link.notify(method, None if params is None else dict(params))


def _complete(found: T | InputRequired) -> T:
    """The result itself, also an `InputRequired` where the caller asked for manual rounds."""
    return found  # pyright: ignore[reportReturnType] - only rounds="manual" gives the other, and documents it


def _encode(arguments: Mapping[str, Any]) -> bytes:
    try:
        return codec.encode(dict(arguments))
    except (TypeError, ValueError, RecursionError) as problem:
        raise LocalProtocolError(f"the arguments can't be sent as JSON: {problem}") from None
