"""Results of tools that are kept for a while.

Theory of operation. What is kept is found again by all that an answer may depend on: who calls, with which scopes and
claims, what its client can do, the tool as it is registered now, its arguments in canonical form, what the caller put
into ``_meta``, and the revision. A caller that can't be told from others (without a name, over HTTP and without a
session) has nothing kept for it, unless the author said that answers are for everybody. Before anything that is kept is
given, the app is asked whether this caller may call the tool, as for any call.

Calls for the same at the same time wait for the first. If that gives an answer that may be kept, they all get it; if it
fails, or asks something, each of them goes on alone; if its client takes it back, another one is the first.

Kept are results of type `CallToolResult` that are no failure, of calls during which the client was asked nothing and
that are no task. What is kept is bounded in number and in bytes; what was not used for longest goes first.

Specification: none; what clients keep is told by hints: server/utilities/caching.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import Struct

from dovetail.extensions import Call, Channel, Encoded, Handler, Result, ServedTool
from dovetail.types import DECODE_ERRORS, CallToolParams, CallToolResult, encode

from .questions import HeardQuestions
from .results import methods_with
from .serving import AppMiddleware

__all__ = ["ResultCache"]

_TASK: Final = b'"task"'
#: Numbers as they are written: as floats, some that differ would be one.
_arguments: Final = msgspec.json.Decoder(float_hook=Decimal)
_canonical: Final = msgspec.json.Encoder(order="sorted", decimal_format="number")


class _CachedAnswer(Struct):
    """A result, and what it was kept for: ``tool`` as it was registered. ``until``: of the clock."""

    tool: ServedTool
    result: CallToolResult
    size: int
    until: float


class _CallUnderWay:
    """The first of several calls for the same. ``over``: set when it has ended; ``result``: what may be shared of it;
    ``withdrawn``: its client took it back, so nobody knows what would have come of it.
    """

    __slots__ = ("loop", "over", "result", "withdrawn")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.over = asyncio.Event()
        self.result: CallToolResult | None = None
        self.withdrawn = False


class ResultCache(AppMiddleware):
    """Keeps results of tools: ``App(middleware=[ResultCache(60.0)])``.

    ``ttl``: seconds that a result is kept. ``tools``: the names of those whose results may be (default: those that
    say of themselves that they are read-only, `ToolAnnotations.read_only_hint`). ``public``: the names of those whose
    answers are the same for everybody, so that one caller may get another's (none). ``max_entries`` (1000) and
    ``max_bytes`` (16 MiB) bound what is kept. Keep no results of a tool that looks at more than its arguments, its
    caller and ``ctx.meta``: at HTTP headers, or at what is in the session. What a tool says on its way (progress, log
    messages) is heard by the first caller alone. Raises ValueError for a bound that is not above zero.
    """

    methods = methods_with(CallToolParams)

    def __init__(
        self,
        ttl: float,
        *,
        tools: Collection[str] | None = None,
        public: Collection[str] = (),
        max_entries: int = 1000,
        max_bytes: int = 16 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        if not ttl > 0 or max_entries < 1 or max_bytes < 1:
            raise ValueError("ttl, max_entries and max_bytes of a ResultCache must be above zero")
        if isinstance(tools, str) or isinstance(public, str):
            raise ValueError("tools and public of a ResultCache are lists of names")
        self._ttl = ttl
        self._tools = None if tools is None else frozenset(tools) | frozenset(public)
        self._public = frozenset(public)
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._clock = clock
        self._kept: OrderedDict[bytes, _CachedAnswer] = OrderedDict()
        self._size = 0
        self._under_way: dict[bytes, _CallUnderWay] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self, tool: str | None = None) -> None:
        """Forget what is kept, or what is kept of one tool. What is under way is given to whoever waits for it."""
        for key in [key for key, kept in self._kept.items() if tool is None or kept.tool.tool.name == tool]:
            self._forget(key)

    def __call__(self, call: Call, channel: Channel, handler: Handler) -> Awaitable[Result | Encoded]:
        """See `Middleware`. Raises what the call raises, and `InsufficientScope` as it would."""
        tool = self._keeps(call, channel)
        key = None if tool is None else self._key(tool, call, channel)
        if tool is None or key is None:
            return handler(call, channel)
        return self._answer(key, tool, call, channel, handler)

    def _keeps(self, call: Call, channel: Channel) -> ServedTool | None:
        """The tool, if the result of this call may be kept."""
        params = call.params
        if not isinstance(params, CallToolParams) or channel.durable is not None:
            return None
        if params.request_state is not None or params.input_responses:
            return None  # answers of a person's are part of it
        if self._tools is not None and params.name not in self._tools and params.name not in self._public:
            return None
        tool = self.admitted_tool(call, channel)
        if tool is not None and tool.task is not None and _TASK in bytes(call.raw):
            return None  # the caller wants a task, and no answer
        if tool is None or self._tools is not None or params.name in self._public:
            return tool
        hints = tool.tool.annotations
        return tool if hints is not None and hints.read_only_hint else None

    def _key(self, tool: ServedTool, call: Call, channel: Channel) -> bytes | None:
        """What an answer is found again by; None where it is nobody's in particular, or can't be told."""
        name = tool.tool.name
        whose: Any = None
        if name not in self._public:
            caller, principal = channel.caller_id, channel.principal
            if caller is None:
                return None
            whose = [caller, sorted(principal.scopes), principal.claims]
        params: Any = call.params
        try:
            arguments: Any = _arguments.decode(params.arguments) if params.arguments else {}
            able = encode(call.peer.capabilities)
            whole = _canonical.encode([name, call.profile.revision, whose, arguments, call.custom_meta, able])
        except (*DECODE_ERRORS, TypeError):
            return None
        return hashlib.sha256(whole).digest()

    async def _answer(
        self, key: bytes, tool: ServedTool, call: Call, channel: Channel, handler: Handler
    ) -> Result | Encoded:
        while True:
            kept = self._find(key, tool)
            if kept is not None:
                return kept
            first = self._under_way.get(key)
            if first is None:
                return await self._lead(key, tool, call, channel, handler)
            if first.loop is not asyncio.get_running_loop():
                return await handler(call, channel)
            await first.over.wait()
            if first.result is not None:
                return first.result
            if not first.withdrawn:
                return await handler(call, channel)

    async def _lead(
        self, key: bytes, tool: ServedTool, call: Call, channel: Channel, handler: Handler
    ) -> Result | Encoded:
        """Be the first."""
        mine = self._under_way[key] = _CallUnderWay()
        try:
            with HeardQuestions(channel) as questions:
                result = await handler(call, channel)
            if type(result) is CallToolResult and not result.is_error and not questions.asked:
                mine.result = result
                self._keep(key, tool, result)
            return result
        except asyncio.CancelledError:
            mine.withdrawn = True
            raise
        finally:
            del self._under_way[key]
            mine.over.set()

    def _find(self, key: bytes, tool: ServedTool) -> CallToolResult | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if not _is_same(kept.tool, tool) or kept.until <= self._clock():
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return kept.result

    def _keep(self, key: bytes, tool: ServedTool, result: CallToolResult) -> None:
        size = len(encode(result)) + len(key)
        if size > self._max_bytes:
            return
        self._forget(key)
        self._kept[key] = _CachedAnswer(tool, result, size, self._clock() + self._ttl)
        self._size += size
        while len(self._kept) > self._max_entries or self._size > self._max_bytes:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._size -= kept.size


def _is_same(kept: ServedTool, tool: ServedTool) -> bool:
    """Whether a tool is still the one that it was. One that is mounted is described anew for each call, by the same
    schema as long as it is registered.
    """
    return kept is tool or (kept.tool.input_schema is tool.tool.input_schema and kept == tool)
