"""The client for programs without an event loop.

A `BlockingClient` runs the same client on a loop of its own in a background thread and waits for it. It may be used
from any number of threads at once, but not from callbacks that run on its own loop (plain functions given as
``logging``, ``progress`` and ``on_change``): those would wait for themselves, and get a `LocalProtocolError` instead.

The thread knows nothing of the `BlockingClient`, so that one which is forgotten can be noticed; what is still open when
the interpreter ends is closed then. Both are told by a `ResourceWarning` (`unclosed`).
"""

import asyncio
import atexit
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any, Final, TypeVar, Unpack, cast, overload
from weakref import WeakSet

from msgspec import UNSET

from ..protocol.errors import Closed, LocalProtocolError, RequestCancelled
from ..protocol.listening import Change
from ..protocol.types import (
    Completion,
    DiscoverResult,
    GetPromptResult,
    Implementation,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    LogLevel,
    Prompt,
    PromptReference,
    ReadResourceResult,
    Resource,
    ResourceReference,
    ResourceTemplate,
    ServerCapabilities,
    SubscriptionFilter,
    Tool,
)
from .answers import ProgressHandler
from .calls import CallOptions, Seconds
from .listening import Subscription
from .results import ToolResult
from .server_warnings import ServerWarning
from .started_calls import BlockingStartedCall
from .states import State
from .unclosed import Process, warn

T = TypeVar("T")
_THREAD: Final = "dovetail-client"
_HOW: Final = "write `with Client.sync(...) as client:`, or client.close() when it is done"
_AT_EXIT: Final = 10.0
"""Seconds that closing a forgotten client may take at the end of the program."""

_open: Final = WeakSet["BlockingClient"]()


@atexit.register
def _close_forgotten() -> None:
    for client in tuple(_open):
        client.forgotten()


class BlockingClient:
    """`Client`, blocking: ``with Client.sync("weather.py") as client: ...``.

    Methods and errors are those of `Client`.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._client = make()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._process: Process | None = None

    # Life

    def open(self) -> "BlockingClient":
        """Connect. Does nothing when open. Raises `Closed` after `close`, and what `Client.open` raises."""
        if self._process is not None:
            self._process.check()
        with self._lock:
            if self._closed:
                raise Closed("the client is closed")
            if self._loop is None:
                begun: Future[asyncio.AbstractEventLoop] = Future()
                self._thread = threading.Thread(target=_serve, args=(begun,), name=_THREAD, daemon=True)
                self._thread.start()
                self._loop = begun.result()
                self._process = Process()
                _open.add(self)
        try:
            self._wait(self._client.open())
        except BaseException:
            self.close()
            raise
        return self

    def close(self, *, end_session: bool = False) -> None:
        """Let go of the server and end the thread. Idempotent, from any thread. ``end_session``: see `Client.close`.

        Raises `LocalProtocolError` on the thread of the client's own callbacks. In a forked child it ends nothing.
        """
        if self._forked:
            return
        with self._lock:
            loop, thread = self._loop, self._thread
            if self._closed or loop is None:
                self._closed = True
                return
            if thread is threading.current_thread():
                raise LocalProtocolError(
                    "the client can't be closed from its own callbacks; close it from another thread"
                )
            self._closed = True
        _open.discard(self)
        try:
            closing = self._client.close(end_session=end_session)
            asyncio.run_coroutine_threadsafe(closing, loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            if thread is not None:
                thread.join()

    def forgotten(self) -> None:
        """The interpreter ends, and nobody closed the client: say so, and do it."""
        if self._forked:
            return
        try:
            warn(self, self.describe(), _HOW)
        finally:
            self._let_go().join(_AT_EXIT)

    def _let_go(self) -> threading.Thread:
        """Close without waiting; gives the thread, which ends when that is done."""
        loop, thread, self._closed = self._loop, self._thread, True
        assert loop is not None  # noqa: S101 - only what was opened is let go
        assert thread is not None  # noqa: S101 - as above
        _open.discard(self)
        closing = asyncio.run_coroutine_threadsafe(self._client.close(), loop)
        closing.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
        return thread

    def __del__(self) -> None:
        if getattr(self, "_loop", None) is None or self._closed or self._forked:
            return
        try:
            warn(self, self.describe(), _HOW)
        finally:
            self._let_go()

    @property
    def _forked(self) -> bool:
        return self._process is not None and not self._process.is_ours

    def describe(self) -> str:
        """Names the server in messages."""
        return self._client.describe()

    def __enter__(self) -> "BlockingClient":
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        loop, thread = self._loop, self._thread
        if self._forked:
            work.close()
            cast("Process", self._process).check()
        if loop is None or self._closed:
            work.close()
            raise (
                Closed("the client is closed")
                if self._closed
                else LocalProtocolError("the client is not open; use it inside `with Client.sync(...)`")
            )
        if thread is threading.current_thread():
            work.close()
            raise LocalProtocolError("a callback on the client's own loop can't wait for the client")
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except CancelledError:
            raise RequestCancelled("the call was cancelled") from None
        except BaseException:
            future.cancel()
            raise

    def _iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        async def step() -> tuple[T] | None:
            try:
                return (await anext(items),)
            except StopAsyncIteration:
                return None

        while True:
            found = self._wait(step())
            if found is None:
                return
            yield found[0]

    # The client's face

    @property
    def state(self) -> State:
        """What has become of the connection; see `Client.state`."""
        return self._client.state

    def wait_for(self, *states: State, timeout: float | None = None) -> State:
        """Wait until the connection is in one of these states; see `Client.wait_for`."""
        return self._wait(self._client.wait_for(*states, timeout=timeout))

    @property
    def revision(self) -> str:
        """The revision in use."""
        return self._client.revision

    @property
    def era(self) -> str:
        """ "stateful" or "stateless"."""
        return self._client.era

    @property
    def server_info(self) -> Implementation | None:
        """How the server describes itself."""
        return self._client.server_info

    @property
    def server_capabilities(self) -> ServerCapabilities | None:
        """What the server offers, a `ServerCapabilities`."""
        return self._client.server_capabilities

    @property
    def instructions(self) -> str | None:
        """What the server says about its use."""
        return self._client.instructions

    @property
    def discovered(self) -> DiscoverResult | None:
        """What ``server/discover`` gave when the connection was opened; None in the stateful era."""
        return self._client.discovered

    @property
    def warnings(self) -> tuple[ServerWarning, ...]:
        """What the server got wrong and the client put up with, the oldest first."""
        return self._client.warnings

    @overload
    def call_tool(
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
    def call_tool(
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

    def call_tool(
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
        """See `Client.call_tool`."""
        return self._wait(
            self._client.call_tool(
                name, arguments, into=into, timeout=timeout, progress=progress, meta=meta, version=version
            )
        )

    def start_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        ttl: float | None = None,
        timeout: Seconds = UNSET,
        meta: Mapping[str, Any] | None = None,
        version: str | None = None,
    ) -> BlockingStartedCall:
        """Start a tool, and wait for its result later. See `Client.start_tool`."""
        started = self._wait(
            self._client.start_tool(name, arguments, ttl=ttl, timeout=timeout, meta=meta, version=version)
        )
        return BlockingStartedCall(started, self._wait, self._iterate)

    def reopen(self, text: str) -> BlockingStartedCall:
        """Go on with a call that was started before. See `Client.reopen`."""
        return BlockingStartedCall(self._client.reopen(text), self._wait, self._iterate)

    def list_tools(self, cursor: str | None = None, **options: Unpack[CallOptions]) -> ListToolsResult:
        """One page of tools."""
        return self._wait(self._client.list_tools(cursor, **options))

    def tools(self, **options: Unpack[CallOptions]) -> Iterator[Tool]:
        """All tools."""
        return self._iterate(self._client.tools(**options))

    def tool_pages(self, **options: Unpack[CallOptions]) -> Iterator[ListToolsResult]:
        """All pages of tools, with what each says of how long it may be kept."""
        return self._iterate(self._client.tool_pages(**options))

    def list_resources(
        self, cursor: str | None = None, **options: Unpack[CallOptions]
    ) -> ListResourcesResult:
        """One page of resources."""
        return self._wait(self._client.list_resources(cursor, **options))

    def resources(self, **options: Unpack[CallOptions]) -> Iterator[Resource]:
        """All resources."""
        return self._iterate(self._client.resources(**options))

    def list_resource_templates(
        self, cursor: str | None = None, **options: Unpack[CallOptions]
    ) -> ListResourceTemplatesResult:
        """One page of resource templates."""
        return self._wait(self._client.list_resource_templates(cursor, **options))

    def resource_templates(self, **options: Unpack[CallOptions]) -> Iterator[ResourceTemplate]:
        """All resource templates."""
        return self._iterate(self._client.resource_templates(**options))

    def list_prompts(self, cursor: str | None = None, **options: Unpack[CallOptions]) -> ListPromptsResult:
        """One page of prompts."""
        return self._wait(self._client.list_prompts(cursor, **options))

    def prompts(self, **options: Unpack[CallOptions]) -> Iterator[Prompt]:
        """All prompts."""
        return self._iterate(self._client.prompts(**options))

    def prompt_pages(self, **options: Unpack[CallOptions]) -> Iterator[ListPromptsResult]:
        """All pages of prompts, with what each says of how long it may be kept."""
        return self._iterate(self._client.prompt_pages(**options))

    @overload
    def read(
        self,
        uri: str | Resource,
        variables: Mapping[str, Any] | None = None,
        *,
        into: None = None,
        **options: Unpack[CallOptions],
    ) -> ReadResourceResult: ...

    @overload
    def read(
        self,
        uri: str | Resource,
        variables: Mapping[str, Any] | None = None,
        *,
        into: type[T],
        **options: Unpack[CallOptions],
    ) -> T: ...

    def read(
        self,
        uri: str | Resource,
        variables: Mapping[str, Any] | None = None,
        *,
        into: type[Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> Any:
        """What a resource holds. See `Client.read`."""
        read: Any = self._client.read
        return self._wait(read(uri, variables, into=into, **options))

    def get_prompt(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> GetPromptResult:
        """The messages of a prompt."""
        return self._wait(self._client.get_prompt(name, arguments, **options))

    def complete(
        self,
        ref: PromptReference | ResourceReference | str,
        argument: str,
        value: str = "",
        context: Mapping[str, str] | None = None,
        **options: Unpack[CallOptions],
    ) -> Completion:
        """Suggestions for an argument."""
        return self._wait(self._client.complete(ref, argument, value, context, **options))

    def ping(self, **options: Unpack[CallOptions]) -> None:
        """See that the server answers."""
        self._wait(self._client.ping(**options))

    def set_log_level(self, level: LogLevel, **options: Unpack[CallOptions]) -> None:
        """Hear of log messages from this severity on."""
        self._wait(self._client.set_log_level(level, **options))

    def visit_done(self, elicitation_id: str | None = None) -> None:
        """The person has been at the address that a call waits for. May be called from any thread."""
        if self._loop is not None and not self._closed:
            self._loop.call_soon_threadsafe(self._client.visit_done, elicitation_id)

    def subscribe(self, uri: str | Resource, **options: Unpack[CallOptions]) -> None:
        """Hear of updates of a resource, and of what is below it, by ``on_change``."""
        self._wait(self._client.subscribe(uri, **options))

    @property
    def subscriptions(self) -> Sequence[str]:
        """The URIs of `subscribe`, in order."""
        return self._client.subscriptions

    def unsubscribe(self, uri: str | Resource, **options: Unpack[CallOptions]) -> None:
        """Hear no more of updates of a resource."""
        self._wait(self._client.unsubscribe(uri, **options))

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
    ) -> "BlockingSubscription":
        """Hear of changes: ``with client.listen(tools=True) as events: for change in events: ...``."""
        subscription = self._client.listen(
            tools=tools,
            prompts=prompts,
            resources=resources,
            resource_list=resource_list,
            further=further,
            again=again,
            **options,
        )
        return BlockingSubscription(subscription, self._wait, self._iterate)

    def roots_changed(self, *, timeout: Seconds = UNSET, meta: Mapping[str, Any] | None = None) -> None:
        """Tell the server that the roots are others now. See `Client.roots_changed`."""
        self._wait(self._client.roots_changed(timeout=timeout, meta=meta))

    @overload
    def request(
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
    def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: Seconds = UNSET,
        progress: ProgressHandler | None = None,
        meta: Mapping[str, Any] | None = None,
        into: type[T],
    ) -> T: ...

    def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: Seconds = UNSET,
        progress: ProgressHandler | None = None,
        meta: Mapping[str, Any] | None = None,
        into: type[Any] | None = None,
    ) -> Any:
        """Send any request and get its result as plain values, or as ``into``. See `Client.request`."""
        request: Any = self._client.request
        return self._wait(request(method, params, timeout=timeout, progress=progress, meta=meta, into=into))

    def notify(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: Seconds = UNSET,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Send any notification. See `Client.notify`."""
        self._wait(self._client.notify(method, params, timeout=timeout, meta=meta))


def _serve(begun: "Future[asyncio.AbstractEventLoop]") -> None:
    """The thread: its loop, until that is stopped."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        loop.call_soon(begun.set_result, loop)
        loop.run_forever()


class BlockingSubscription:
    """`Subscription`, blocking."""

    def __init__(
        self,
        subscription: Subscription,
        wait: Callable[[Coroutine[Any, Any, Any]], Any],
        iterate: Callable[[AsyncIterator[Change]], Iterator[Change]],
    ) -> None:
        self._subscription = subscription
        self._wait = wait
        self._iterate = iterate

    @property
    def acknowledged(self) -> SubscriptionFilter:
        """What the server agreed to tell of."""
        return self._subscription.acknowledged

    @property
    def missing(self) -> SubscriptionFilter:
        """What was asked for and the server did not agree to tell of."""
        return self._subscription.missing

    def __enter__(self) -> "BlockingSubscription":
        self._wait(self._subscription.open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._wait(self._subscription.close())

    def __iter__(self) -> Iterator[Change]:
        return self._iterate(self._subscription)
