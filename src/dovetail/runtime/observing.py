"""How a server's calls, questions and stores come to be observed: layers that are put around them where an app is
made, and nowhere else.

Theory of operation. The outermost middleware of an observed app is `observing`. It makes an `ObservedOperation` of each
call, and of the questions that the call sends to the client (stateful era), which are operations of the other role. In
the stateless era a question is no message: the call ends with what it asks, and the observer is told so.

Specification: OpenTelemetry, "Semantic conventions for Model Context Protocol (MCP)".
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from msgspec import Raw

from ..protocol import codec, names
from ..protocol.call import Call
from ..protocol.errors import INVALID_REQUEST, FeatureUnavailable, InternalError, RPCError
from ..protocol.messages import join
from ..protocol.types import CallToolParams, CallToolResult, InputRequired, Result
from ..security.fetching import fetch_watcher
from ..security.principal import Principal
from .channel import Channel
from .dispatch import Encoded, Handler, Middleware
from .observed_fetches import FetchObserver
from .observer import ObservedOperation, Observer

__all__ = ["Offered", "observing"]


class Offered(Protocol):
    """What an app offers, as far as it has to be known to tell of a call."""

    def target_of(self, call: Call) -> tuple[str, str]:
        """What a call is about, if that is registered: its kind and its name; else two empty texts."""
        ...

    def is_hidden(self, kind: str, name: str, principal: Principal) -> bool:
        """Whether the caller may not know of it."""
        ...

    def schema_of(self, tool: str) -> Mapping[str, Any] | None:
        """What a tool's arguments have to be."""
        ...


def observing(observer: Observer, offered: Offered) -> Middleware:
    """The layer that tells an observer of each call of an app that offers this."""
    admits, reads = observer.admits, observer.reads_arguments
    fetches = FetchObserver(observer)

    async def observe(call: Call, channel: Channel, handler: Handler) -> Result | Encoded:
        operation = _of_call(call, channel, offered, reads)
        begun = observer.begin(operation)
        watched = fetch_watcher.set(fetches)
        try:
            if not call.profile.stateless:
                # This channel belongs to this call alone.
                vars(channel)["ask"] = _observed_ask(observer, channel.ask, channel, call)
            if admits:
                await observer.admit(operation)
            result = await handler(call, channel)
            _finish(operation, result)
            return result
        except BaseException as problem:
            _fail(operation, problem, call)
            raise
        finally:
            vars(channel).pop("ask", None)  # it refers to the channel in turn
            fetch_watcher.reset(watched)
            observer.end(operation, begun)

    return observe


def _of_call(call: Call, channel: Channel, offered: Offered, reads: bool) -> ObservedOperation:
    params = call.params
    kind, name = offered.target_of(call)
    return ObservedOperation(
        "server",
        call.method,
        kind=kind,
        target=name,
        id=call.id,
        revision=call.profile.revision,
        transport=channel.transport,
        session=channel.session_id,
        principal=channel.principal,
        remote=channel.remote,
        meta=None if params.meta is None else lambda: call.meta,
        headers=lambda: channel.headers,
        state=getattr(params, "request_state", None),
        uri=getattr(params, "uri", ""),
        named=getattr(params, "name", ""),
        hidden=bool(name) and offered.is_hidden(kind, name, channel.principal),
        arguments=bytes(params.arguments) if reads and isinstance(params, CallToolParams) else b"",
        schema=offered.schema_of(name) if reads and kind == "tool" else None,
    )


def _finish(operation: ObservedOperation, result: Result | Encoded) -> None:
    if isinstance(result, CallToolResult):
        if result.is_error:
            operation.outcome = "tool_error"
    elif isinstance(result, InputRequired):
        operation.outcome = "input_required"
        operation.asked = [each.method for each in (result.input_requests or {}).values()]


def _fail(operation: ObservedOperation, problem: BaseException, call: Call) -> None:
    """What the dispatcher will answer, with its code (see `Dispatcher.answer`)."""
    if isinstance(problem, asyncio.CancelledError):
        operation.outcome, operation.problem = "cancelled", problem
    elif isinstance(problem, RPCError):
        operation.fail(problem, call.profile.code(problem))
    elif isinstance(problem, FeatureUnavailable):
        operation.fail(problem, INVALID_REQUEST)
    else:
        operation.fail(problem, InternalError.default_code)


def _observed_ask(
    observer: Observer, ask: Callable[[str, bytes], Awaitable[Raw]], channel: Channel, call: Call
) -> Callable[[str, bytes], Awaitable[Raw]]:
    async def asked(method: str, params: bytes) -> Raw:
        operation = ObservedOperation(
            "client",
            method,
            revision=call.profile.revision,
            transport=channel.transport,
            session=channel.session_id,
            principal=channel.principal,
            remote=channel.remote,
        )
        begun = observer.begin(operation)
        try:
            return await ask(method, _carrying(params, operation.carrier))
        except BaseException as problem:
            _fail(operation, problem, call)
            raise
        finally:
            observer.end(operation, begun)

    return asked


def _carrying(params: bytes, carrier: dict[str, str]) -> bytes:
    """Parameters with members of ``_meta`` more; those that have one keep it as it is."""
    if not carrier:
        return params
    members: Any = codec.decode(params) if params else {}
    if not isinstance(members, dict) or names.META in members:
        return params
    marked = codec.encode({names.META: carrier})
    return join(marked, params) if len(params) > 2 else marked
