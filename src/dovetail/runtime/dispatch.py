"""From a call to the bytes that answer it.

One dictionary look-up finds the handler; middleware is composed around each handler once, at construction.
Whatever a handler does, exactly one reply comes out: its result, a typed error with the revision's code, or
for anything unforeseen an internal error that says nothing about the inside, while the log says everything.

Cancellation passes through: a call that its transport cancelled has no reply. A `CancelledError` out of nowhere (a
library's task group, an awaited task that somebody else cancelled) is a failure like any other: `Channel.abandoned`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import CodeType, FrameType
from typing import Any, Final, TypeVar

from msgspec import Struct

from ..logs import get_logger
from ..protocol import messages, names
from ..protocol.call import Call
from ..protocol.errors import (
    Declined,
    Dismissed,
    FeatureUnavailable,
    InternalError,
    InvalidRequest,
    MethodNotFound,
    RPCError,
    ToolError,
)
from ..protocol.messages import CachedResult
from ..protocol.revisions import PROFILES
from ..protocol.revisions.profiles import Profiles
from ..protocol.types.content import TextContent
from ..protocol.types.metadata import Implementation
from ..protocol.types.requests import Result
from ..protocol.types.tools import CallToolResult
from ..security.authenticator import InsufficientScope
from .channel import Channel

log = get_logger("dovetail.server")

Encoded = bytes
"""The result of a handler as the JSON that it becomes."""
#: How many bytes of a kept result cost more to copy than to hand on as a second part, in bytes.
_WORTH_SHARING: Final = 32 * 1024
Handler = Callable[[Call, Channel], Awaitable[Result | Encoded]]
Middleware = Callable[[Call, Channel, Handler], Awaitable[Result | Encoded]]


_answers: Final[dict[CodeType, str]] = {}
A = TypeVar("A", bound=Callable[..., Any])


def answers(function: A) -> A:
    """Mark a function of ours that answers a call, its first parameter after ``self``, as long as it runs: whoever
    looks what goes on (`call_in`) finds the call in it. The function itself stays as it is, and pays nothing.
    """
    code = function.__code__
    _answers[code] = code.co_varnames[1]
    return function


def call_in(frame: FrameType) -> Call | None:
    """The call that is answered there; None in a frame of any function but those that `answers` marked."""
    name = _answers.get(frame.f_code)
    held = None if name is None else frame.f_locals.get(name)
    return held if isinstance(held, Call) else None


class EncodedResponse(Struct, frozen=True, gc=False):
    """The message that answers a call: ``head``, and ``tail``, which many replies may share. ``code`` is the error's,
    None for a result. ``shortfall``: the scopes that the caller's token would need, all of them.
    """

    head: bytes
    code: int | None = None
    shortfall: tuple[str, ...] = ()
    tail: bytes = b""

    @property
    def data(self) -> bytes:
        """The whole message; with a tail, a copy."""
        return self.head + self.tail if self.tail else self.head


class Dispatcher:
    """Answers calls. ``handlers`` by method name; ``middleware`` outermost first, each around the methods that it names
    in an attribute ``methods``, or around all.

    ``unwatched``: whether a call that begins has to say so, by ``watch`` (see `dovetail.runtime.stalls`).
    """

    unwatched: bool = False
    watch: Callable[["Dispatcher"], None]

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        info: Implementation,
        middleware: Sequence[Middleware] = (),
        profiles: Profiles = PROFILES,
    ) -> None:
        self._handlers = {name: composed(handler, middleware, name) for name, handler in handlers.items()}
        self._stamps: Final = {
            revision: messages.Stamp(profile, info)
            for revision, profile in profiles.items()
            if profile.stateless
        }

    def handle(self, call: Call, channel: Channel) -> Awaitable[Result | Encoded]:
        """What the handler of a call gives, behind the middleware. Raises `MethodNotFound` where there is none, and
        what the handler raises.
        """
        handler = self._handlers.get(call.method)
        if handler is None:
            raise MethodNotFound(f"this server does not have the method {call.method!r}")
        return handler(call, channel)

    @answers
    async def answer(self, call: Call, channel: Channel) -> EncodedResponse:
        """The reply to a call. Raises nothing but `asyncio.CancelledError`."""
        if self.unwatched:
            self.watch(self)
        handler = self._handlers.get(call.method)
        if handler is None:
            return error_response(
                call, MethodNotFound(f"this server does not have the method {call.method!r}")
            )
        try:
            result = await handler(call, channel)
            return self._reply(call, result)
        except RPCError as problem:
            return error_response(call, problem)
        except FeatureUnavailable as problem:
            return error_response(call, InvalidRequest(str(problem)))
        except (ToolError, Declined, Dismissed) as problem:
            # Meant for the caller to read. A tool has results for that, also where middleware or a provider raised it;
            # all else has protocol errors alone.
            if call.method == names.TOOLS_CALL:
                return self._reply(
                    call, CallToolResult(content=[TextContent(text=str(problem))], is_error=True)
                )
            return error_response(call, InternalError(str(problem)))
        except asyncio.CancelledError:
            if channel.abandoned:
                raise
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                return self._unforeseen(call)
            # Somebody else cancelled the task, as a loop does with all of its tasks when it ends: no fault of anybody.
            log.warning(
                "%s (request %r) was cut short: its task was cancelled from outside", call.method, call.id
            )
            return error_response(call, InternalError("the server ended while it handled the request"))
        except BaseException:  # noqa: BLE001 - a handler that raises SystemExit ends its own call, not the server
            return self._unforeseen(call)

    def _reply(self, call: Call, result: Result | Encoded) -> EncodedResponse:
        stamp = self._stamps.get(call.profile.revision)
        if isinstance(result, bytes) and len(result) > 2:
            head = messages.head(call.id) + (b"{" if stamp is None else stamp.head)
            tail = result.tail if isinstance(result, CachedResult) else messages.tail(result)
            return (
                EncodedResponse(head, tail=tail)
                if len(tail) > _WORTH_SHARING
                else EncodedResponse(head + tail)
            )
        if isinstance(result, bytes):  # without a member that could follow the marks
            result = Result()
        marked = result if stamp is None else stamp.mark(result)
        return EncodedResponse(messages.response(call.id, call.profile.projection.apply(marked)))

    def _unforeseen(self, call: Call) -> EncodedResponse:
        log.exception("%s (request %r) failed", call.method, call.id)
        return error_response(call, InternalError("the server failed while it handled the request"))


def error_response(call: Call, problem: RPCError) -> EncodedResponse:
    """The reply that carries an error; an error that can't be written as JSON becomes an internal one."""
    try:
        shortfall = problem.scopes if isinstance(problem, InsufficientScope) else ()
        return EncodedResponse(
            messages.error(call.id, problem, call.profile), call.profile.code(problem), shortfall
        )
    except (TypeError, ValueError, RecursionError, OverflowError):
        log.exception("the error that answers %s (request %r) is no JSON", call.method, call.id)
        problem = InternalError("the server failed while it handled the request")
        return EncodedResponse(messages.error(call.id, problem, call.profile), call.profile.code(problem))


def shutdown_response(call: Call) -> EncodedResponse:
    """What answers a call that the end of the server cancelled."""
    return error_response(call, InternalError("the server is shutting down, and cancelled the call"))


def composed(handler: Handler, middleware: Sequence[Middleware], method: str) -> Handler:
    """The handler of a method with those layers around it that concern it, the first outermost."""
    middleware = [layer for layer in middleware if _concerns(layer, method)]
    for layer in reversed(middleware):
        handler = around(layer, handler)
    return handler


def _concerns(layer: Middleware, method: str) -> bool:
    """Whether a middleware is to stand around a method."""
    methods: Collection[str] | None = getattr(layer, "methods", None)
    return methods is None or method in methods


def around(layer: Middleware, inner: Handler) -> Handler:
    """A handler with a layer around it."""

    def handle(call: Call, channel: Channel) -> Awaitable[Result | Encoded]:
        return layer(call, channel, inner)

    return handle
